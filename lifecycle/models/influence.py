"""Metrics with what each row contributes to them: one formula gives value, error and difference.

>>> estimate = roc_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]), np.ones(4))
>>> round(estimate.value, 3), round(estimate.error, 3)
(0.75, 0.354)

A metric M is a smooth function of the rows' weights w. Row i contributes `d_i = w_i * dM/dw_i`, and
the variance of M is the sum of d_i squared: the infinitesimal jackknife (Jaeckel 1972; Efron, "The
Jackknife, the Bootstrap and Other Resampling Plans", 1982, chapter 6). It is the limit of the
bootstrap's variance without its noise, costs one sort instead of a thousand resamples, and the
variance of a difference of two models on the same rows is the sum of (d_i of a - d_i of b) squared.
For the area under the ROC curve this is, exactly, DeLong's estimate and its covariance. Factors
m / (m - 1) for a mean over m rows are part of the contributions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]
Array = NDArray[Any]


@dataclass(frozen=True)
class Estimate:
    """A metric's value and the contributions of the rows.

    >>> mean(np.array([1.0, 3.0]), np.ones(2)).value
    2.0

    Attributes:
        value: the metric.
        parts: (n,) what each row adds to its error; NaN where one row alone carries a part.
        rows: how many equally weighted rows carry the value.
    """

    value: float
    parts: Floats
    rows: float

    @property
    def error(self) -> float:
        """The standard error."""
        return float(np.sqrt(np.sum(self.parts**2)))

    def minus(self, other: "Estimate") -> "Estimate":
        """The difference on the same rows; what both have in common cancels."""
        return Estimate(
            self.value - other.value, self.parts - other.parts, min(self.rows, other.rows)
        )


def by_block(estimate: Estimate, blocks: NDArray[np.int64]) -> Estimate:
    """The estimate with the error of rows that come in blocks: rows of one block may go together.

    The contributions of a block's rows are added up before they are squared, and the blocks
    count as the rows (batch means; for regressions Liang & Zeger 1986). The error is never
    smaller than that of independent rows.

    >>> once = mean(np.array([1.0, 3.0, 1.0, 3.0]), np.ones(4))
    >>> both = by_block(once, np.array([0, 1, 0, 1]))
    >>> round(once.error, 2), round(both.error, 2), both.rows
    (0.58, 1.15, 2.0)

    Args:
        estimate: of n rows.
        blocks: (n,) the number of each row's block; one block alone gives no error.
    """
    numbers = np.unique(blocks, return_inverse=True)[1]
    sums = np.bincount(numbers, weights=estimate.parts)
    if len(sums) < 2:
        return Estimate(estimate.value, np.full(1, np.nan), 1.0)
    parts = sums * np.sqrt(len(sums) / (len(sums) - 1.0))
    error = float(np.sqrt(np.sum(parts**2)))
    if error and error < estimate.error:
        parts *= estimate.error / error
    return Estimate(estimate.value, parts if error else estimate.parts, float(len(sums)))


def widest(estimate: Estimate, ways: Sequence[NDArray[np.int64]]) -> Estimate:
    """The estimate by that way of putting rows into blocks which makes its 95 % interval widest.

    >>> once = mean(np.array([1.0, 3.0, 1.0, 3.0]), np.ones(4))
    >>> widest(once, [np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])]).rows
    2.0

    Args:
        estimate: of n rows.
        ways: each (n,) the number of each row's block; none: rows are independent.
    """
    found = [by_block(estimate, blocks) for blocks in ways] or [estimate]
    return max(found, key=_reach)


def _reach(estimate: Estimate) -> float:
    error = estimate.error
    if not np.isfinite(error):
        return np.inf
    return error * float(stdtrit(max(estimate.rows - 1.0, 1.0), 0.975))


def stretches(moments: Array, count: int) -> NDArray[np.int64] | None:
    """The stretch of time of each row: from the first to the last in parts of equal length.

    >>> stretches(np.array([0, 5, 9, 10]), 2).tolist()
    [0, 0, 1, 1]

    Args:
        moments: (n,) whole numbers, none missing.
        count: how many parts.

    Returns:
        (n,) numbers of the parts; None where all rows have the same time.
    """
    low = int(moments.min())
    span = int(moments.max()) - low
    return (moments.astype(np.int64) - low) * count // (span + 1) if span else None


def effective(weights: Floats) -> float:
    """How many equally weighted rows are worth as much (Kish 1965).

    >>> effective(np.array([2.0, 2.0]))
    2.0
    """
    squares = float(np.sum(weights**2))
    return float(np.sum(weights)) ** 2 / squares if squares > 0 else 0.0


def _inflate(weights: Floats) -> float:
    rows = effective(weights)
    return float(np.sqrt(rows / (rows - 1.0))) if rows > 1.0 + 1e-9 else np.nan


def mean(values: Floats, weights: Floats) -> Estimate:
    """A weighted mean.

    >>> round(mean(np.array([0.0, 1.0, 1.0, 0.0]), np.ones(4)).error, 4)
    0.2887
    """
    total = float(weights.sum())
    value = float(weights @ values) / total
    parts = weights * (values - value) / total * _inflate(weights)
    return Estimate(value, parts, effective(weights))


def roc_auc(positive: Array, scores: Array, weights: Floats) -> Estimate:
    """Area under the ROC curve with DeLong's variance in one sort.

    >>> roc_auc(np.array([0, 1, 1]), np.array([0.2, 0.2, 0.9]), np.ones(3)).value
    0.75

    Sources: DeLong, DeLong, Clarke-Pearson, Biometrics 44 (1988); the O(n log n) form by mid-ranks
    is Sun, Xu, IEEE Signal Processing Letters 21 (2014), here with weights.

    Args:
        positive: (n,) true for the positive class; both classes must be present.
        scores: (n,) larger means more likely positive.
        weights: (n,) not negative.
    """
    truth = np.asarray(positive, dtype=bool)
    positives, negatives = float(weights[truth].sum()), float(weights[~truth].sum())
    below, above = placements(truth, scores, weights)
    value = float((weights * truth) @ below) / positives
    placement = np.where(truth, below, above) - value
    spread = np.where(
        truth,
        _inflate(weights[truth]) / positives,
        _inflate(weights[~truth]) / negatives,
    )
    rows = min(effective(weights[truth]), effective(weights[~truth]))
    return Estimate(value, weights * placement * spread, rows)


def placements(positive: Array, scores: Array, weights: Floats) -> tuple[Floats, Floats]:
    """Where each row stands among the others: negatives that score below, positives above.

    >>> below, above = placements(np.array([0, 1, 1]), np.array([0.2, 0.2, 0.9]), np.ones(3))
    >>> below.tolist(), above.tolist()
    ([0.5, 0.5, 1.0], [0.75, 0.75, 0.25])

    The area under the ROC curve is the mean of the first over positives, and of the second over
    negatives; ties count half.

    Args:
        positive: (n,) true for the positive class; both classes must be present.
        scores: (n,) larger means more likely positive.
        weights: (n,) not negative.

    Returns:
        Two shares of each row, (n,).
    """
    truth = np.asarray(positive, dtype=bool)
    cells, levels = _levels(scores)
    of_positive = np.bincount(cells, weights=weights * truth, minlength=levels)
    of_negative = np.bincount(cells, weights=weights * ~truth, minlength=levels)
    positives, negatives = float(of_positive.sum()), float(of_negative.sum())
    below = (np.cumsum(of_negative) - of_negative / 2.0) / negatives
    above = (positives - np.cumsum(of_positive) + of_positive / 2.0) / positives
    return below[cells], above[cells]


def average_precision(positive: Array, scores: Array, weights: Floats) -> Estimate:
    """Mean precision over the positives, each at its own score (ties as one threshold).

    >>> average_precision(np.array([0, 1]), np.array([0.1, 0.9]), np.ones(2)).value
    1.0

    With N(s) the weight of rows that score at least s, P(s) the precision there and W the weight of
    the positives, dAP/dw_j = [j positive] (P(s_j) - AP) / W + the sum over positives i with
    s_i <= s_j of ([j positive] - P(s_i)) w_i / (N(s_i) W).
    """
    truth = np.asarray(positive, dtype=bool)
    cells, levels = _levels(scores)
    of_positive = np.bincount(cells, weights=weights * truth, minlength=levels)
    of_all = np.bincount(cells, weights=weights, minlength=levels)
    at_least = np.maximum(np.cumsum(of_all[::-1])[::-1], np.finfo(float).tiny)
    precision = np.minimum(np.cumsum(of_positive[::-1])[::-1] / at_least, 1.0)
    positives = float(of_positive.sum())
    value = float(of_positive @ precision) / positives
    reach = np.cumsum(of_positive / at_least)
    pull = np.cumsum(of_positive * precision / at_least)
    own = truth * (precision[cells] - value + reach[cells])
    parts = weights * (own - pull[cells]) / positives * _inflate(weights)
    return Estimate(value, parts, effective(weights[truth]))


def _levels(scores: Array) -> tuple[NDArray[np.intp], int]:
    values, cells = np.unique(np.asarray(scores, dtype=float), return_inverse=True)
    return cells.reshape(-1), len(values)


def recalls(truth: Array, predicted: Array, weights: Floats, classes: int) -> Estimate:
    """Balanced accuracy: the mean over the classes that occur of the share found.

    >>> recalls(np.array([0, 0, 1]), np.array([0, 1, 1]), np.ones(3), 2).value
    0.75
    """
    of_class = np.bincount(truth, weights=weights, minlength=classes)
    correct = (truth == predicted).astype(float)
    found = np.bincount(truth, weights=weights * correct, minlength=classes)
    present = of_class > 0
    share = found / np.where(present, of_class, 1.0)
    count = int(present.sum())
    spread = np.array(
        [_inflate(weights[truth == k]) if present[k] else 0.0 for k in range(classes)]
    )
    per_row = (correct - share[truth]) / of_class[truth] * spread[truth]
    rows = min(effective(weights[truth == k]) for k in np.flatnonzero(present))
    return Estimate(float(share[present].mean()), weights * per_row / count, rows)


def f1(truth: Array, predicted: Array, weights: Floats, positives: tuple[int, ...]) -> Estimate:
    """F1 of one class, or the mean of several classes' (macro).

    >>> f1(np.array([0, 1, 1]), np.array([0, 1, 0]), np.ones(3), (1,)).value
    0.6666666666666666

    F1 = 2 TP / (actual + predicted); 0 where a class neither occurs nor is predicted.
    """
    value, parts = 0.0, np.zeros(len(truth))
    for positive in positives:
        actual = (truth == positive).astype(float)
        claimed = (predicted == positive).astype(float)
        both = float(weights @ (actual + claimed))
        if both > 0:
            one = 2.0 * float(weights @ (actual * claimed)) / both
            value += one / len(positives)
            parts += (2.0 * actual * claimed - one * (actual + claimed)) / both / len(positives)
    carried = [effective(weights[truth == positive]) for positive in positives]
    rows = min((count for count in carried if count > 0), default=0.0)
    return Estimate(value, weights * parts * _inflate(weights), rows)


def root(estimate: Estimate) -> Estimate:
    """The square root of an estimate, by the delta method.

    >>> root(Estimate(4.0, np.array([1.0]), 1)).parts
    array([0.25])
    """
    value = float(np.sqrt(estimate.value))
    return Estimate(value, estimate.parts / (2.0 * value if value else 1.0), estimate.rows)


def r2(y: Floats, predicted: Floats, weights: Floats) -> Estimate:
    """Share of the variance explained; `y` must not be constant.

    >>> r2(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0]), np.ones(3)).value
    0.5
    """
    total = float(weights.sum())
    squares = (y - float(weights @ y) / total) ** 2
    errors = (y - predicted) ** 2
    around, missed = float(weights @ squares), float(weights @ errors)
    parts = (missed / around * squares - errors) / around
    return Estimate(1.0 - missed / around, weights * parts * _inflate(weights), effective(weights))
