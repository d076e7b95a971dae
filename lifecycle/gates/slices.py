"""No group of rows that is served much worse: by the champion's measure, or by its own promise.

>>> rng = np.random.default_rng(0)
>>> values = rng.normal(size=2000)
>>> worse = Groups(("plan",), ["plan = 'pro'", "plan = 'basic'"], np.arange(2000) % 20 // 19)
>>> values[worse.codes == 1] -= 1.0
>>> [item.where for item in judge([worse], values, margin=0.1, alpha=0.05, ways=())]
["plan = 'basic'"]

Groups are looked for in all features: levels, bins of numbers, missing values, and pairs of
columns. Each is tested one-sided, and all groups share one level (Holm 1979), so that the search
itself raises no more false alarms than one test. Rows of one key or one stretch of time count
together, as in the champion gate.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import stdtr

from lifecycle.errors import LifecycleError
from lifecycle.gates.clusters import clusters, said
from lifecycle.gates.given import GateInput, Missing, failed, passed, unsure
from lifecycle.gates.groups import Groups, cut, paired
from lifecycle.models import influence, metrics
from lifecycle.models.answers import classification
from lifecycle.models.influence import Floats
from lifecycle.models.metrics import METRICS
from lifecycle.models.predicting import Output
from lifecycle.models.rows import answered
from lifecycle.records import GateResult, Label

SHARE = 0.25  # of alpha
FEWEST = 200  # rows in which groups are looked for
FEWEST_OF_GROUP = 50
PAIRED = 12  # columns that are paired
FEWEST_STRETCHES = 1.5  # clusters that must hold a group
SHOWN = 3

Ways = Sequence[NDArray[np.int64]]


@dataclass(frozen=True)
class Found:
    """A group that is worse.

    Attributes:
        where: in plain words.
        rows: (n,) true for its rows.
        value: the mean difference, negative is worse.
        chance: its probability under no difference beyond the margin, corrected for the search.
    """

    where: str
    rows: NDArray[np.bool_]
    value: float
    chance: float


def slices(given: GateInput) -> list[GateResult]:
    """Look for the groups of hold-out rows where the candidate is worst.

    Against a champion, the two models' figures of each row are compared: the area under the ROC
    curve, the loss or the hit of the primary metric (`lifecycle.models.rows`). A group is refused
    when it is surely worse by more than `slice_margin` (a share of the champion's mean loss, where
    the metric is a loss). The first version with scores of two classes is held against what its own
    scores promise, once a monotone curve has made them fit the outcomes of all rows: a group that
    is hard, and known to be, is none; one in which the scores order the rows worse than they claim
    is. Other first versions have nothing to be compared with.

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
    singles = [cut(given.rows, name) for name in columns if _cuttable(given.rows[name])]
    groups = singles + [paired(*two) for two in combinations(singles[:PAIRED], 2)]
    return [_result(given, "slices", groups, level), *named]


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
    return _result(given, gate, [cut(given.rows, name)], level)


def _level(given: GateInput) -> float:
    return given.shares.get("slices", given.limits.alpha * SHARE)


def _result(given: GateInput, gate: str, groups: Sequence[Groups], level: float) -> GateResult:
    values, margin = _differences(given)
    ways = clusters(given)
    tested = sum(len(item) for item in _sizes(groups))
    if not tested:
        return (passed if gate == "slices" else unsure)(
            gate, f"no group of at least {FEWEST_OF_GROUP} rows to judge"
        )
    found = judge(groups, values, margin=margin, alpha=level, ways=ways)
    note = said(given)
    if not found:
        against = "than the champion" if given.champion else "than its scores promise"
        return passed(
            gate,
            f"none of {tested:,} groups of {len(values):,} rows is surely worse {against} by more "
            f"than {given.limits.slice_margin:g}{note}",
            limit=-margin,
        )
    worst = found[0]
    words = "; ".join(_words(given, item) for item in found[:SHOWN])
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return failed(
        gate,
        f"worse in {words}{more} ({tested:,} groups were looked at){note}",
        value=worst.value,
        limit=-margin,
    )


def _sizes(groups: Sequence[Groups]) -> list[NDArray[np.int64]]:
    return [
        np.flatnonzero(
            np.bincount(item.codes[item.codes >= 0], minlength=len(item.names)) >= FEWEST_OF_GROUP
        )
        for item in groups
    ]


def _cuttable(column: pd.Series) -> bool:
    return not pd.api.types.is_datetime64_any_dtype(column)


def _differences(given: GateInput) -> tuple[Floats, float]:
    """Each row's figure, negative is worse, and the margin in its unit."""
    truth, classes = given.truth, given.spec.classes
    if given.champion is None:
        return promised(truth, given.answers, classes, given.weights), given.limits.slice_margin
    assert given.champion_output is not None
    mine, other = (
        answered(given.metric, truth, output, classes, weights=given.weights)
        for output in (given.answers, given.champion_output)
    )
    unit = 1.0 if other.min() >= 0.0 else abs(float(other.mean()))  # losses are negative
    return mine - other, given.limits.slice_margin * unit


def promised(
    truth: NDArray[np.generic],
    output: Output,
    classes: tuple[Label, ...],
    weights: NDArray[np.generic] | None = None,
) -> Floats:
    """Each row's figure of rank less what the model's own scores let expect of it.

    With p the share of positives among rows of that score (by isotonic regression over all rows),
    b the share of negatives that score less and a that of positives that score more, a row counts b
    where it is positive and a where it is not; p b + (1 - p) a is expected, and (y - p) (b - a) is
    what it has more.

    >>> scores = np.array([0.2, 0.2, 0.2, 0.2])
    >>> output = Output(np.array([0, 0, 1, 1]), np.column_stack([1 - scores, scores]))
    >>> promised(np.array([0, 1, 0, 1]), output, (0, 1)).round(3).any()
    np.False_

    Args:
        truth: (n,) labels of two classes.
        output: with scores (n, 2).
        classes: the labels, the positive one second.
        weights: (n,) sample weights.
    """
    checked = classification("slices", truth, None, output.scores, classes=classes, weights=weights)
    assert checked.scores is not None
    y, scores = (checked.truth == 1).astype(float), checked.scores[:, 1].astype(float)
    if y.min() == y.max():
        raise Missing("the rows hold one class only", fix="use rows in which both occur")
    below, above = influence.placements(y == 1, scores, checked.weights)
    _, cells = np.unique(scores, return_inverse=True)
    total = np.bincount(cells, weights=checked.weights)
    share = np.bincount(cells, weights=checked.weights * y) / np.maximum(total, 1e-300)
    expected = isotonic_regression(share, weights=np.maximum(total, 1e-12)).x[cells]
    return np.asarray((y - expected) * (below - above))


def judge(
    groups: Sequence[Groups], values: Floats, *, margin: float, alpha: float, ways: Ways
) -> list[Found]:
    """The groups whose mean value is surely below -margin, the surest first.

    Args:
        groups: that share alpha.
        values: (n,) negative is worse.
        margin: how much worse is allowed.
        alpha: how often values whose mean is nowhere below -margin may show any group.
        ways: each (n,) the cluster of a row; none: rows are independent.
    """
    drawn = []
    for place, item in enumerate(groups):
        mean, error, freedom, able = _moments(item, values, ways)
        far = (mean + margin) / np.maximum(error, 1e-12)
        chance = stdtr(np.maximum(freedom, 1.0), far)
        drawn += [(float(chance[k]), place, int(k), float(mean[k])) for k in np.flatnonzero(able)]
    drawn.sort()
    found: list[Found] = []
    for rank, (single, place, k, value) in enumerate(drawn):
        corrected = min(1.0, single * (len(drawn) - rank))
        if corrected > alpha:
            break
        item = groups[place]
        found.append(Found(item.names[k], item.codes == k, value, corrected))
    return _plainest(found)


def _plainest(found: list[Found]) -> list[Found]:
    """Without pairs one of whose halves is there itself."""
    alone = {item.where for item in found if " and " not in item.where}
    return [
        item
        for item in found
        if item.where in alone or not any(part in alone for part in item.where.split(" and "))
    ]


def _moments(
    item: Groups, values: Floats, ways: Ways
) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
    kept, size = item.codes >= 0, len(item.names)
    codes, own = item.codes[kept], values[kept]
    rows = np.bincount(codes, minlength=size).astype(float)
    count = np.maximum(rows, 1.0)
    mean = np.bincount(codes, weights=own, minlength=size) / count
    squares = np.bincount(codes, weights=(own - mean[codes]) ** 2, minlength=size)
    freedom = np.maximum(rows - 1.0, 1.0)
    error = np.sqrt(squares / freedom / count)
    able = rows >= FEWEST_OF_GROUP
    for blocks in ways:
        wide = int(blocks.max()) + 1
        cells = codes * wide + blocks[kept]
        held, away = (
            np.bincount(cells, weights=item, minlength=size * wide).reshape(size, wide)
            for item in (np.ones(len(own)), own - mean[codes])
        )
        many = count**2 / np.maximum((held**2).sum(axis=1), 1.0)
        able &= many >= FEWEST_STRETCHES
        spread = (away**2).sum(axis=1) * many / np.maximum(many - 1.0, 1e-9)
        error = np.maximum(error, np.sqrt(spread) / count)
        freedom = np.minimum(freedom, np.maximum(many - 1.0, 1.0))
    return mean, error, freedom, able


def _words(given: GateInput, found: Found) -> str:
    """One group with its rows and figures."""
    rows = f"{found.where}, {int(found.rows.sum()):,} rows"
    chance = f"p = {max(found.chance, 1e-12):.1g} after the search"
    if given.champion is None:
        return (
            f"{rows}: {found.value:+.3f} in the share of pairs that it orders right, by what its "
            f"scores promise ({chance})"
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
