"""Do scores still mean what they meant? Labels at equal scores, on live rows and on the hold-out.

>>> rng = np.random.default_rng(0)
>>> scores = rng.random((2, 2000))
>>> labels = (rng.random((2, 2000)) < scores).astype(float)
>>> calibration(scores[0], labels[0], scores[1], labels[1]).outcome
<Outcome.PASS: 'pass'>
>>> calibration(scores[0], labels[0], scores[1], 1.0 - labels[1]).outcome
<Outcome.FAIL: 'fail'>

What is compared are residuals, label minus what the hold-out says of such a score, so that scores
that moved are no alarm as long as each means the same. Three tests share alpha: bins one by one
(chi-squared, as Hosmer and Lemeshow, Communications in Statistics A9, 1980), all labels together,
and labels against the score, which together are what Spiegelhalter's z (Statistics in Medicine 5,
1986) and Cox's calibration line (Biometrika 45, 1958) look at. The hold-out's own sampling error is
part of each.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import chdtrc, expit, fdtrc, logit, ndtr, ndtri, stdtr

from lifecycle.drift.reasons import chance
from lifecycle.drift.stretches import freedom, inflation
from lifecycle.models.influence import Array, Floats
from lifecycle.records import Calibration, CalibrationBin, Outcome

BINS = 10  # of a picture and its test
MAP_BINS = 20
ROWS_A_BIN = 50  # of the hold-out, at least
FEWEST = 5.0  # variance of the labels of a bin that is tested: so many of either kind
FEWEST_ROWS = 20.0  # of such a bin in a regression
LEAST_CHANGE = 0.02  # of the share of labels, mean over rows
LEAST_CHANGE_SD = 0.05  # of a regression's mean, in deviations of its errors
DOUBT = 0.05  # p-value of the hold-out's own miscalibration that has scores mapped
_TINY = 1e-6
_Z = float(ndtri(0.975))


@dataclass(frozen=True)
class ShareMap:
    """From a score to the share of labels that the hold-out had at such scores.

    A line in log odds (Platt, "Probabilistic outputs for support vector machines", 1999), held near
    the scores' own; where the hold-out doubts the line, what is left is followed bin by bin,
    monotone (isotonic) and parallel to it beyond the outermost bins.

    >>> ShareMap.fit(np.full(100, 0.9), np.repeat([0.0, 1.0], 50)).shares(np.array([0.9])).round(3)
    array([0.504])

    Attributes:
        line: intercept and slope in log odds; 0 and 1 would leave scores as they are.
        edges: (k - 1,) between the bins, on the scores.
        knots: (k,) log odds of the bins' mean scores, on the line.
        shift: (k,) what is added to the log odds there.
        variance: (k,) of the bins' shares.
        recalibrated: whether the hold-out doubts the scores as they are.
    """

    line: tuple[float, float]
    edges: Floats
    knots: Floats
    shift: Floats
    variance: Floats
    recalibrated: bool

    @classmethod
    def fit(cls, scores: Any, labels: Any) -> "ShareMap":
        """Learn the map.

        Args:
            scores: (m,) hold-out scores between 0 and 1.
            labels: (m,) 1 where the label was the scores' class, else 0.
        """
        score, label = np.asarray(scores, dtype=float), np.asarray(labels, dtype=float)
        edges = quantile_edges(score, max(1, min(MAP_BINS, len(score) // ROWS_A_BIN)))
        cell, size = np.searchsorted(edges, score, side="right"), len(edges) + 1
        rows = _sums(cell, np.ones(len(score)), size)
        share = (_sums(cell, label, size) + 0.5) / (rows + 1.0)
        variance = share * (1.0 - share) / rows
        line = _line(_odds(score), label)
        fitted = expit(line[0] + line[1] * _odds(score))
        knots = _odds(_sums(cell, fitted, size) / rows)
        shift = np.zeros(size)
        if _doubt(cell, label - fitted, rows, variance) <= DOUBT:
            shift = _odds(isotonic_regression(share, weights=rows).x) - knots
        doubted = _doubt(cell, label - score, rows, variance) <= DOUBT
        return cls(line, edges, knots, shift, variance, doubted)

    def cells(self, scores: Array) -> Array:
        """The bin of each score."""
        cells: Array = np.searchsorted(self.edges, scores, side="right")
        return cells

    def shares(self, scores: Array) -> Floats:
        """The share of labels at each score, (n,)."""
        odds = self.line[0] + self.line[1] * _odds(np.asarray(scores, dtype=float))
        if self.shift.any():
            odds = odds + np.interp(odds, self.knots, self.shift)
        return np.asarray(np.clip(expit(odds), _TINY, 1.0 - _TINY))


def _doubt(cell: Array, residual: Floats, rows: Floats, variance: Floats) -> float:
    """The p-value of residuals that should be 0 in each bin and in all."""
    by_bin = _sums(cell, residual, len(rows))
    far = float(((by_bin / rows) ** 2 / variance).sum())
    offset = float(by_bin.sum() / np.sqrt((rows**2 * variance).sum()))
    return 2.0 * min(float(chdtrc(len(rows), far)), 2.0 * float(ndtr(-abs(offset))))


def _line(odds: Floats, label: Floats) -> tuple[float, float]:
    """Logistic regression of labels on log odds, by Newton's method; held near the scores' own."""
    inputs = np.column_stack((np.ones(len(odds)), odds))
    own = np.array([0.0, 1.0])
    found = own.copy()
    for _ in range(25):
        shares = expit(inputs @ found)
        slope = inputs.T @ (label - shares) - (found - own)
        bend = (inputs * (shares * (1.0 - shares))[:, None]).T @ inputs + np.eye(2)
        step = np.linalg.solve(bend, slope)
        found = found + np.clip(step, -2.0, 2.0)
        if float(np.abs(step).max()) < 1e-8:
            break
    return float(found[0]), max(float(found[1]), 1e-3)


def _odds(shares: Floats) -> Floats:
    return np.asarray(logit(np.clip(shares, _TINY, 1.0 - _TINY)))


def quantile_edges(values: Floats, bins: int) -> Floats:
    """Where to cut values into parts of as many rows; fewer parts where values repeat.

    >>> quantile_edges(np.arange(10.0), 2), quantile_edges(np.ones(10), 5)
    (array([5.]), array([], dtype=float64))
    """
    at = np.arange(1, bins) / bins
    cuts = np.unique(np.quantile(values, at, method="higher"))  # values, so that no part is empty
    return np.asarray(cuts[cuts > values.min()], dtype=float)


def calibration(
    holdout_scores: Any,
    holdout_labels: Any,
    scores: Any,
    labels: Any,
    *,
    regression: bool = False,
    blocks: tuple[Array | None, Array | None] = (None, None),
    min_labels: int = 50,
    alpha: float = 0.01,
) -> Calibration:
    """Compare what scores mean on labelled live rows with what they meant on the hold-out.

    Rows count as independent, but for `blocks`.

    Args:
        holdout_scores: (m,) between 0 and 1; of a regression, its predictions.
        holdout_labels: (m,) 1 where the label was the scores' class, else 0; the target's values.
        scores: (n,) of labelled live rows.
        labels: (n,) likewise.
        regression: predictions and values instead of scores and labels.
        blocks: (m,) and (n,) the stretch of each row, whose labels may go together.
        min_labels: fewer labelled rows, live or held out, are not enough evidence.
        alpha: how often unchanged calibration may be called changed.
    """
    held = np.asarray(holdout_scores, dtype=float), np.asarray(holdout_labels, dtype=float)
    live = np.asarray(scores, dtype=float), np.asarray(labels, dtype=float)
    rows = len(live[0])
    if min(rows, len(held[0])) < min_labels:
        few = f"{rows} labelled rows" if rows < min_labels else f"{len(held[0])} hold-out rows"
        return Calibration(rows, Outcome.UNSURE, reason=f"{few}, {min_labels} are needed")
    bins = max(2, min(BINS, len(held[0]) // ROWS_A_BIN))
    edges = quantile_edges(held[0], bins)
    shares = None if regression else ShareMap.fit(*held).shares
    before, after = (
        _Side.of(side, side[0] if shares is None else shares(side[0]), edges, regression=regression)
        for side in (held, live)
    )
    tails = min(freedom(item) for item in blocks)
    if not regression and min(before.noise.sum(), after.noise.sum()) < FEWEST:
        return Calibration(rows, Outcome.UNSURE, reason="too few labels of one class to tell")
    before, after = (
        replace(side, noise=side.noise * inflation(side.residual, item) ** 2)
        for side, item in zip((before, after), blocks, strict=True)
    )
    p_value, change = _tests(before, after, live[0], regression=regression, tails=tails)
    deviation = float(np.std(held[1] - held[0])) if regression else 1.0
    least = LEAST_CHANGE_SD * deviation if regression else LEAST_CHANGE
    found = Calibration(
        rows,
        Outcome.PASS,
        _bins(before, after, regression=regression),
        after.error(),
        before.error(),
        p_value,
    )
    if p_value <= alpha and change >= least:
        return replace(found, outcome=Outcome.FAIL, reason=_changed(found, regression=regression))
    kept = "predictions" if regression else "scores"
    said = f"calibration error {found.error:.3g}, on the hold-out {found.expected_error:.3g}"
    return replace(found, reason=f"{kept} are not shown to mean anything else: {said}")


def _changed(found: Calibration, *, regression: bool) -> str:
    worst = max(found.bins, key=_distance)
    assert found.p_value is not None
    kept, figure = ("predictions", "a mean") if regression else ("scores", "a share")
    return (
        f"labels at equal {kept} have changed: {figure} of {worst.label:.3g} where "
        f"{worst.expected:.3g} was expected at {worst.low:.3g} to {worst.high:.3g} "
        f"({chance(found.p_value)})"
    )


@dataclass(frozen=True)
class _Side:
    """The bins of one side, and its rows' residuals."""

    cell: Array
    residual: Floats  # label minus what the hold-out says of such a score
    noise: Floats  # variance of each row's label
    rows: Floats  # from here on by bin
    score: Floats
    label: Floats
    expected: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(
        cls, given: tuple[Floats, Floats], expected: Floats, edges: Floats, *, regression: bool
    ) -> "_Side":
        score, label = given
        cell = np.searchsorted(edges, score, side="right")
        size = len(edges) + 1
        rows = np.bincount(cell, minlength=size).astype(float)
        means = [
            np.where(rows > 0, _sums(cell, item, size) / np.maximum(rows, 1.0), np.nan)
            for item in (score, label, expected)
        ]
        residual = label - expected
        if regression:
            centre = means[1] - means[2]
            squares = np.bincount(cell, weights=(residual - centre[cell]) ** 2, minlength=size)
            pooled = float(np.var(residual))
            noise = np.where(rows >= FEWEST_ROWS, squares / np.maximum(rows - 1.0, 1.0), pooled)[
                cell
            ]
        else:
            noise = expected * (1.0 - expected)
        low, high = np.full(size, np.inf), np.full(size, -np.inf)
        np.minimum.at(low, cell, score)
        np.maximum.at(high, cell, score)
        return cls(cell, residual, noise, rows, means[0], means[1], means[2], low, high)

    def sums(self, values: Floats) -> Floats:
        """By bin."""
        return _sums(self.cell, values, len(self.rows))

    def error(self) -> float:
        """The expected calibration error: by how much the bins' scores miss their labels."""
        return float(np.nansum(abs(self.score - self.label) * self.rows) / self.rows.sum())


def _sums(cell: Array, values: Floats, size: int) -> Floats:
    return np.asarray(np.bincount(cell, weights=values, minlength=size), dtype=float)


def _tests(
    held: _Side, live: _Side, scores: Floats, *, regression: bool, tails: float
) -> tuple[float, float]:
    """The p-value of the three tests, and by how much the mean label of a bin has moved."""
    sides = (held, live)
    noise = [side.sums(side.noise) for side in sides]
    carried = (held.rows, live.rows) if regression else (noise[0], noise[1])
    group = _merged(*carried, FEWEST_ROWS if regression else FEWEST)
    size = int(group.max()) + 1
    rows = [_sums(group, side.rows, size) for side in sides]
    noise = [_sums(group, item, size) for item in noise]
    mean = [_sums(group, side.sums(side.residual), size) / side_rows
            for side, side_rows in zip(sides, rows, strict=True)]  # fmt: skip
    gap = mean[1] - mean[0]
    error = noise[0] / rows[0] ** 2 + noise[1] / rows[1] ** 2
    far = gap / np.sqrt(error)
    if regression:  # whose variances are estimated
        far = ndtri(stdtr(np.minimum(rows[0], rows[1]) - 1.0, -np.abs(far)))
    square = float((far**2).sum())
    few = np.isfinite(tails)
    p_values = [float(fdtrc(size, tails, square / size) if few else chdtrc(size, square))]
    rank = np.argsort(np.argsort(scores, kind="stable")) / len(scores) - 0.5
    for contrast in (np.ones(len(scores)), rank):
        pull = _sums(group[live.cell], contrast, size)
        total = float((contrast * live.residual).sum() - (pull * mean[0]).sum())
        spread = (contrast**2 * live.noise).sum() + (pull**2 * noise[0] / rows[0] ** 2).sum()
        beyond = -abs(total) / np.sqrt(spread)
        p_values.append(float(2.0 * (stdtr(tails, beyond) if few else ndtr(beyond))))
    weight = rows[1] / rows[1].sum()
    change = float(np.sqrt(max(0.0, (weight * (gap**2 - error)).sum())))  # beyond the noise
    return min(1.0, len(p_values) * min(p_values)), change


def _merged(held: Floats, live: Floats, least: float) -> Array:
    """Neighbouring bins put together until both sides of each carry enough; each bin's group."""
    group = np.zeros(len(held), dtype=int)
    carried = np.zeros(2)
    for index, both in enumerate(np.column_stack((held, live))):
        left = held[index:].sum(), live[index:].sum()
        full = min(carried) >= least and min(left) >= least
        group[index] = group[index - 1] + 1 if full else group[max(index - 1, 0)]
        carried = both if full else carried + both
    return group


def _bins(held: _Side, live: _Side, *, regression: bool) -> tuple[CalibrationBin, ...]:
    moved = np.nan_to_num(held.label - held.expected)  # what the map leaves of the hold-out
    found = []
    for index in np.flatnonzero(live.rows > 0):
        share, rows = float(live.label[index]), float(live.rows[index])
        noise = float(live.sums(live.noise)[index]) / rows
        if regression:
            reach = _Z * float(np.sqrt(noise / rows))
            low, high = share - reach, share + reach
        else:
            middle = (share + _Z**2 / (2.0 * rows)) / (1.0 + _Z**2 / rows)
            half = _Z * np.sqrt(share * (1.0 - share) / rows + _Z**2 / (4.0 * rows**2))
            reach = float(half) / (1.0 + _Z**2 / rows)
            low, high = max(middle - reach, 0.0), min(middle + reach, 1.0)
        found.append(
            CalibrationBin(
                float(live.low[index]), float(live.high[index]), int(rows),
                float(live.score[index]), share, low, high,
                float(live.expected[index] + moved[index]),
            )
        )  # fmt: skip
    return tuple(found)


def _distance(item: CalibrationBin) -> float:
    """By how many of its half intervals a bin is off."""
    assert item.label is not None
    assert item.expected is not None
    assert item.label_high is not None
    assert item.label_low is not None
    reach = max(item.label_high - item.label_low, 1e-12)
    return abs(item.label - item.expected) / reach
