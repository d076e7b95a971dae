"""No group of rows that is served much worse: by the champion's measure, or by its own promise.

>>> rng = np.random.default_rng(0)
>>> values = rng.normal(size=2000)
>>> plans = Groups(("plan",), ["plan = 'pro'", "plan = 'basic'"], np.arange(2000) % 20 // 19)
>>> values[plans.codes == 1] -= 1.0
>>> loss = lambda groups: measures.mean(groups, values)
>>> [item.where for item in judge([plans], loss, margin=0.1, alpha=0.05, ways=())[1]]
["plan = 'basic'"]

Groups are looked for in all features: levels, bins of numbers, missing values, and pairs of
columns. Each is tested one-sided; single columns share one half of the gate's alpha and pairs the
other (Holm 1979), so that the search itself raises no more false alarms than one test. Rows of one
key or one stretch of time count together, as in the champion gate.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import stdtr

from lifecycle.errors import LifecycleError
from lifecycle.gates import measures
from lifecycle.gates.clusters import clusters, said
from lifecycle.gates.given import GateInput, Missing, failed, passed, unsure
from lifecycle.gates.groups import COARSE, Groups, cut, paired
from lifecycle.gates.measures import Measured, Ranked
from lifecycle.models import metrics
from lifecycle.models.answers import classification
from lifecycle.models.influence import Array, Floats
from lifecycle.models.metrics import METRICS
from lifecycle.models.predicting import Output
from lifecycle.models.rows import RANKED, answered
from lifecycle.records import GateResult, Label

SHARE = 0.25  # of alpha
FEWEST = 200  # rows in which groups are looked for
FEWEST_OF_GROUP = 50
LEAST_SHARE = 0.01  # of all rows; smaller groups only cost the others power
FEWEST_CARRIED = 15  # rows of the rarer class in it
PAIRED = 12  # columns that are paired
FEWEST_STRETCHES = 1.5  # clusters that must hold a group
SHOWN = 3
BROKEN = 2.5  # margins by which a first version is refused

Measure = Callable[[Groups], Measured]
Ways = Sequence[NDArray[np.int64]]


@dataclass(frozen=True)
class Found:
    """A group that is worse.

    Attributes:
        where: in plain words.
        rows: (n,) true for its rows.
        value: the difference, negative is worse.
        chance: its probability under no difference beyond the margin, corrected for the search.
    """

    where: str
    rows: NDArray[np.bool_]
    value: float
    chance: float


def slices(given: GateInput) -> list[GateResult]:
    """Look for the groups of hold-out rows where the candidate is worst.

    Against a champion, the two models' figures within the group are compared: the area under the
    ROC curve, or the mean loss or hit of the primary metric (`lifecycle.models.rows`). A group is
    refused when it is surely worse, and by more than `slice_margin` (a share of the champion's mean
    loss, where the metric is a loss). The first version with scores of two classes is held against
    what its own scores promise, once a monotone curve has made them fit the outcomes of all rows,
    with twice the margin: a group that is hard, and known to be, is none; one in which the scores
    order the rows worse than they claim is. It is named, and refused from five times
    `slice_margin` on: nothing that is served gets worse. Other first versions have nothing to be
    held against.

    All groups together refuse an equal candidate no more often than their part of alpha says
    (`lifecycle.gates.sharing`). The columns of `[gates] slices` get half of that, and a result
    each.
    """
    problem = _comparable(given)
    named = [_named(given, name, problem) for name in given.limits.slices]
    level = _level(given) / (2.0 if named else 1.0)
    if problem:
        return [passed("slices", problem), *named]
    columns = [name for name in given.spec.feature_names if name in given.rows]
    columns = [name for name in columns if _cuttable(given.rows[name])]
    singles = [cut(given.rows, name) for name in columns]
    halves = [cut(given.rows, name, shares=COARSE) for name in columns[:PAIRED]]
    pairs = [paired(*two) for two in combinations(halves, 2)]
    return [_result(given, "slices", (singles, pairs), level), *named]


def _comparable(given: GateInput) -> str:
    """Why there is nothing to look for; empty where there is."""
    rows, answers = len(given.truth), given.answers
    if rows < FEWEST:
        return f"{rows} hold-out rows are too few to look for groups in ({FEWEST} are needed)"
    if given.champion is None:
        if given.spec.task != "binary" or answers.scores is None:
            return (
                f"{given.alone}: there is no champion to compare groups with, and a "
                f"{given.spec.task} model's answers promise nothing of their own errors"
            )
        return ""
    other = given.champion_output
    if (
        other is None
        or given.champion.spec.task != given.spec.task
        or given.champion.spec.classes != given.spec.classes
        or (METRICS[given.metric].needs_scores and other.scores is None)
    ):
        raise Missing(
            "the groups cannot be compared with the champion's: "
            + (given.champion_problem or "it answers something else"),
            fix="promote without it, or take slices out of [gates] use",
        )
    return ""


def _named(given: GateInput, name: str, problem: str) -> GateResult:
    gate = f"slices.{name}"
    if name not in given.rows:
        return unsure(
            gate, f"[gates] slices names {name!r}, and the hold-out rows have no such column"
        )
    if problem:
        return unsure(gate, problem)
    level = _level(given) / 2.0 / len(given.limits.slices)
    return _result(given, gate, ([cut(given.rows, name)],), level)


def _level(given: GateInput) -> float:
    return given.shares.get("slices", given.limits.alpha * SHARE)


def _result(
    given: GateInput, gate: str, families: Sequence[Sequence[Groups]], level: float
) -> GateResult:
    measure, margin = _measure(given)
    ways, note, tested, found = clusters(given), said(given), 0, list[Found]()
    families = [family for family in families if family]
    for family in families:
        count, worse = judge(family, measure, margin=margin, alpha=level / len(families), ways=ways)
        tested += count
        found += worse
    if not tested:
        return (passed if gate == "slices" else unsure)(
            gate, f"no group of at least {FEWEST_OF_GROUP} rows to judge"
        )
    found = plainest(found)
    against = "than the champion" if given.champion else "than its scores promise"
    if not found:
        return passed(
            gate,
            f"none of {tested:,} groups of {len(given.rows):,} rows is surely worse {against} and "
            f"by more than {margin:.3g}{note}",
            limit=-margin,
        )
    words = "; ".join(_words(given, item) for item in found[:SHOWN])
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    figures = {"value": found[0].value, "limit": -margin}
    text = f"worse {against} in {words}{more} ({tested:,} groups were looked at){note}"
    if given.champion is None and min(item.value for item in found) > -BROKEN * margin:
        return passed(gate, f"nothing to hold it against, but look: {text}", **figures)
    return failed(gate, text, **figures)


def _cuttable(column: pd.Series) -> bool:
    return not pd.api.types.is_datetime64_any_dtype(column)


def _measure(given: GateInput) -> tuple[Measure, float]:
    """What groups are judged by, negative is worse, and the margin in its unit."""
    truth, classes, weights = given.truth, given.spec.classes, given.weights
    margin = given.limits.slice_margin
    if given.champion is None:
        return _promise(given), 2.0 * margin
    assert given.champion_output is not None
    outputs = (given.answers, given.champion_output)
    if given.metric in RANKED:
        one, two = (_areas(truth, item, classes, weights) for item in outputs)
        return (lambda groups: one(groups).minus(two(groups))), margin
    mine, other = (answered(given.metric, truth, item, classes) for item in outputs)
    unit = 1.0 if other.min() >= 0.0 else abs(float(other.mean()))  # losses are negative
    return (lambda groups: measures.mean(groups, mine - other)), margin * unit


def _areas(truth: Array, output: Output, classes: tuple[Label, ...], weights: Any) -> Measure:
    """The area under the ROC curve, or its mean over classes against the rest."""
    checked = classification("slices", truth, None, output.scores, classes=classes, weights=weights)
    assert checked.scores is not None
    wanted = [1] if len(classes) == 2 else np.unique(checked.truth).tolist()
    ranked = [Ranked.of(checked.scores[:, k]) for k in wanted]
    each = [(checked.truth == k) * checked.weights for k in wanted]

    def measure(groups: Groups) -> Measured:
        found = [
            measures.area(groups, ranks, own, checked.weights - own)
            for ranks, own in zip(ranked, each, strict=True)
        ]
        return Measured(
            np.mean([item.values for item in found], axis=0),
            np.mean([item.parts for item in found], axis=0),
            np.min([item.carried for item in found], axis=0),
        )

    return measure


def _promise(given: GateInput) -> Measure:
    """The area less the expected one, after a monotone curve made the scores fit all outcomes."""
    checked = classification(
        "slices", given.truth, None, given.answers.scores, classes=given.spec.classes
    )
    assert checked.scores is not None
    y, ranked = (checked.truth == 1).astype(float), Ranked.of(checked.scores[:, 1])
    if y.min() == y.max():
        raise Missing("the rows hold one class only", fix="use rows in which both occur")
    rows = np.bincount(ranked.levels).astype(float)
    share = np.bincount(ranked.levels, weights=y) / rows
    chance = isotonic_regression(share, weights=rows).x[ranked.levels]
    return lambda groups: measures.shortfall(groups, ranked, y, chance)


def judge(
    groups: Sequence[Groups], measure: Measure, *, margin: float, alpha: float, ways: Ways
) -> tuple[int, list[Found]]:
    """The groups whose figure is surely negative, and below -margin; the surest first.

    Args:
        groups: that share alpha.
        measure: of a cut, negative is worse.
        margin: how much worse is allowed.
        alpha: how often rows in which no group is worse may show any.
        ways: each (n,) the cluster of a row; none: rows are independent.

    Returns:
        How many groups were tested, and those that are worse.
    """
    drawn = []
    for place, item in enumerate(groups):
        found = measure(item)
        error, freedom, able = _errors(item, found, ways)
        with np.errstate(invalid="ignore"):
            chance = stdtr(np.maximum(freedom, 1.0), found.values / np.maximum(error, 1e-12))
        drawn += [
            (float(chance[k]), place, int(k), float(found.values[k])) for k in np.flatnonzero(able)
        ]
    drawn.sort()
    worse: list[Found] = []
    for rank, (single, place, k, value) in enumerate(drawn):
        corrected = min(1.0, single * (len(drawn) - rank))
        if corrected > alpha:
            break
        if value < -margin:
            item = groups[place]
            worse.append(Found(item.names[k], item.codes == k, value, corrected))
    return len(drawn), worse


def plainest(found: list[Found]) -> list[Found]:
    """The surest first, without pairs one of whose halves is there itself."""
    alone = {item.where for item in found if " and " not in item.where}
    kept = [
        item
        for item in found
        if item.where in alone or not any(part in alone for part in item.where.split(" and "))
    ]
    return sorted(kept, key=lambda item: item.chance)


def _errors(item: Groups, found: Measured, ways: Ways) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Standard error and degrees of freedom of each group's figure, and whether it is judged."""
    kept, size = item.codes >= 0, len(item.names)
    codes, parts = item.codes[kept], found.parts[kept]
    rows = np.bincount(codes, minlength=size).astype(float)
    error = np.sqrt(np.bincount(codes, weights=parts**2, minlength=size))
    freedom = found.carried - 1.0
    fewest = max(FEWEST_OF_GROUP, LEAST_SHARE * len(item.codes))
    able = (rows >= fewest) & (found.carried >= FEWEST_CARRIED) & (error > 0)
    for blocks in ways:
        wide = int(blocks.max()) + 1
        cells = codes * wide + blocks[kept]
        held, sums = (
            np.bincount(cells, weights=values, minlength=size * wide).reshape(size, wide)
            for values in (np.ones(len(parts)), parts)
        )
        many = rows**2 / np.maximum((held**2).sum(axis=1), 1.0)
        able &= many >= FEWEST_STRETCHES
        together = (sums**2).sum(axis=1) * many / np.maximum(many - 1.0, 1e-9)
        error = np.maximum(error, np.sqrt(together))
        freedom = np.minimum(freedom, many - 1.0)
    return error, freedom, able


def _words(given: GateInput, found: Found) -> str:
    """One group with its rows and figures."""
    rows = f"{found.where}, {int(found.rows.sum()):,} rows"
    chance = f"p = {max(found.chance, 1e-12):.1g} after the search"
    if given.champion is None:
        return (
            f"{rows}: roc_auc {found.value:+.3f} against what its scores promise there ({chance})"
        )
    mine, other = (
        _figure(given, output, found) for output in (given.answers, given.champion_output)
    )
    if mine is None or other is None:
        return f"{rows}: {found.value:+.4g} a row against the champion ({chance})"
    return f"{rows}: {given.metric} {mine:.4f} against the champion's {other:.4f} ({chance})"


def _figure(given: GateInput, output: Output | None, found: Found) -> float | None:
    """The metric on the group's rows; None where they cannot tell, as with one class."""
    if output is None:
        return None
    kept = found.rows
    scores = None if output.scores is None else output.scores[kept]
    try:
        return metrics.evaluate(
            given.metric,
            given.truth[kept],
            output.prediction[kept],
            scores,
            classes=given.spec.classes,
            weights=None if given.weights is None else given.weights[kept],
        ).value
    except LifecycleError:
        return None
