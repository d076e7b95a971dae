"""Scores that mean what they say: refused where they are surely far from what was observed.

>>> rng = np.random.default_rng(0)
>>> scores = rng.random(2000)
>>> y = (rng.random(2000) < scores**3).astype(float)
>>> honest, _ = gap((rng.random(2000) < scores).astype(float), scores)
>>> bold, (low, high) = gap(y, scores)
>>> round(honest, 1) == 0.0, low > 0.15
(True, True)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.gates.clusters import clusters, said
from lifecycle.gates.given import GateInput, Missing, failed, passed, unsure
from lifecycle.models import influence
from lifecycle.models.answers import classification
from lifecycle.models.influence import Floats
from lifecycle.models.intervals import interval_of
from lifecycle.models.predicting import Output
from lifecycle.records import GateResult

SHARE = 0.1  # of alpha
BINS = 10
FEWEST = 100  # rows
ONE_CLASS = 10  # rows of the rarer class


def calibration(given: GateInput) -> GateResult:
    """Hold scores against outcomes: by how much they are off, on average over rows.

    The rows are cut into ten bins by score, and halved. One half says on which side of its scores
    each bin's outcomes lie, the other half by how much; both ways round, and averaged. Chance has
    no part in the expected figure, as it has in the usual calibration error: that of honest scores
    is 0, that of others at most the true error. So a lower bound of it is one of the error.

    Refused is what is surely off by more than `[gates] calibration`, and surely by more than the
    champion, whose scores the callers' thresholds are made for. Scores of two classes are judged;
    other models pass.
    """
    gate = "calibration"
    answers, limit, rows = given.answers, given.limits.calibration, len(given.truth)
    if given.spec.task != "binary" or answers.scores is None:
        return passed(gate, f"a {given.spec.task} model without scores of two classes: not judged")
    y, scores, weights = _checked(given, answers)
    rarest = int(min((y == 1).sum(), (y == 0).sum()))
    if rows < FEWEST or rarest < ONE_CLASS:
        return unsure(
            gate,
            f"{rows} hold-out rows, {rarest} of the rarer class, are too few to judge scores by",
        )
    ways = clusters(given)
    share = min(given.shares.get(gate, given.limits.alpha * SHARE), 0.5)
    level = 1.0 - 2.0 * share
    found, (low, high) = gap(y, scores, weights=weights, ways=ways, level=level)
    figures = {"value": found, "limit": limit, "low": low, "high": high}
    error = f"scores are off by {found:.3f} [{low:.3f}, {high:.3f}] on average over {rows:,} rows"
    note = said(given)
    if low <= limit:
        return passed(gate, f"not shown to be off by more than {limit:g}: {error}{note}", **figures)
    before = _champion(given, ways, level)
    if before is not None and low <= before:
        return passed(
            gate,
            f"{error}, and so are the champion's, by up to {before:.3f}: no worse than what is "
            f"served{note}",
            **figures,
        )
    mean = float(weights @ (scores - y)) / float(weights.sum())
    return failed(
        gate,
        f"{error}, {limit:g} is allowed; their mean is too {'high' if mean > 0 else 'low'} by "
        f"{abs(mean):.3f}{note}",
        **figures,
    )


def _checked(given: GateInput, output: Output) -> tuple[Floats, Floats, Floats]:
    checked = classification(
        "calibration",
        given.truth,
        None,
        output.scores,
        classes=given.spec.classes,
        weights=given.weights,
    )
    assert checked.scores is not None
    return (checked.truth == 1).astype(float), checked.scores[:, 1].astype(float), checked.weights


def _champion(given: GateInput, ways: Sequence[NDArray[np.int64]], level: float) -> float | None:
    """How far the champion's scores may be off; None where there are none."""
    other, rival = given.champion_output, given.champion
    if rival is None or other is None or other.scores is None:
        return None
    if rival.spec.classes != given.spec.classes:
        return None
    y, scores, weights = _checked(given, other)
    return gap(y, scores, weights=weights, ways=ways, level=level)[1][1]


def gap(
    y: Floats,
    scores: Floats,
    *,
    weights: Floats | None = None,
    ways: Sequence[NDArray[np.int64]] = (),
    level: float = 0.95,
) -> tuple[float, tuple[float, float]]:
    """The mean distance of scores from outcomes, without what chance adds, and its interval.

    Args:
        y: (n,) 1 where the positive class came, else 0.
        scores: (n,) what was promised.
        weights: (n,) sample weights.
        ways: each (n,) the cluster of a row; clusters are halved whole.
        level: of the interval, two-sided.

    Raises:
        Missing: the rows carry no interval.
    """
    weighed = np.ones(len(y)) if weights is None else weights
    bins = _bins(scores)
    half = _halves(len(y), ways)
    residuals = (y - scores) * weighed
    sides = np.zeros((2, int(bins.max()) + 1))
    for part in (0, 1):
        here = half == part
        sums = np.bincount(bins[here], weights=residuals[here], minlength=sides.shape[1])
        sides[part] = np.sign(sums)
    turned = sides[1 - half, bins] * (y - scores)
    estimate = influence.widest(influence.mean(turned, weighed), ways)
    low, high = interval_of(estimate, "free", level)
    if low is None or high is None:
        raise Missing("the rows of one cluster carry no interval", fix="bring rows of more keys")
    return estimate.value, (low, high)


def _bins(scores: Floats) -> NDArray[np.int64]:
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, BINS + 1)[1:-1]))
    return np.searchsorted(edges, scores, side="right").astype(np.int64)


def _halves(rows: int, ways: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """Each row's half; the rows of a cluster, of the coarsest way, are in the same."""
    rng = np.random.default_rng(0)
    if not ways:
        return rng.integers(0, 2, rows)
    coarsest = min(ways, key=lambda codes: int(codes.max()))
    order: NDArray[np.int64] = rng.permutation(int(coarsest.max()) + 1)
    return np.asarray(order[coarsest] % 2)
