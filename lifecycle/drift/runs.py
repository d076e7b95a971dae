"""How much less rows in runs tell: measured on the reference, for the live window's length.

>>> hours = np.repeat(np.arange(960), 50)  # 50 rows an hour share their hour's value
>>> bands = np.random.default_rng(0).integers(0, 2, 960)[hours]
>>> blocks = Blocks.count(bands, hours * 3600, width=2)
>>> spread = Runs(blocks, seconds=6 * 3600).spread(np.array([-1.0, 1.0]))
>>> 40 < spread.design_effect(300) < 60
True

The mean of a score g over n rows of a window has the variance s²/n + t²: s² is the variance
between rows, t² the mean covariance of two rows of the same window, nothing for independent rows.
The reference's windows of the same length give t² by products of rows within a window (so that it
does not depend on how many rows a window has) where it holds at least ten such windows. Otherwise
means over shorter blocks are continued to the window's length as a first-order autoregression, and
as batch means of a tenth of the reference; the larger counts. That the deviations are taken from
the reference's own mean is corrected for, and the reference's mean has a variance of its own.

Sources: Kish (1965), design effect; Rao & Scott (1984), doi:10.1214/aos/1176346391; Geyer (1992),
doi:10.1214/ss/1177011137, batch means; Kendall (1954), bias of an estimated autocorrelation.
"""

from dataclasses import dataclass

import numpy as np

from lifecycle.drift.blocks import Blocks
from lifecycle.drift.cells import Floats

ENOUGH_WINDOWS = 10
LEAST_FREEDOM = 2.0


@dataclass(frozen=True)
class Spread:
    """What is known of the mean of one score over a window.

    Attributes:
        row: variance between rows, s².
        live: excess variance of the live window's mean, t².
        reference: excess variance of the reference's mean.
        freedom: degrees of freedom that `live` was measured with.
        seen: variance of the mean of a window as the reference has it, s²/rows + t².
    """

    row: float
    live: float = 0.0
    reference: float = 0.0
    freedom: float = np.inf
    seen: float = 0.0

    def variance(self, live_rows: float, reference_rows: float) -> float:
        """The variance of the difference between both means."""
        independent = self.row * (1 / live_rows + 1 / reference_rows)
        return independent + self.live + self.reference

    def tails(self, live_rows: float, reference_rows: float) -> float:
        """Degrees of freedom of a t statistic with that variance."""
        if not self.seen or not np.isfinite(self.freedom):
            return np.inf
        ratio = self.variance(live_rows, reference_rows) / self.seen
        return max(LEAST_FREEDOM, self.freedom * ratio**2)

    def design_effect(self, rows: float) -> float:
        """How many rows of the live window count as one."""
        return 1.0 + self.live * rows / self.row if self.row > 0 else 1.0


@dataclass(frozen=True)
class Runs:
    """The reference's blocks of one column and the live window's length in seconds."""

    blocks: Blocks
    seconds: float

    @property
    def span(self) -> float:
        """The reference's length in seconds."""
        return float(len(self.blocks.counts) * self.blocks.seconds)

    def spread(self, scores: Floats) -> Spread:
        """The spread of a score's mean.

        Args:
            scores: the score of each band, shape (width,); NaN for bands that do not count.
        """
        used = np.isfinite(scores)
        totals = self.blocks.counts.sum(axis=0)
        rows = float(totals[used].sum())
        if rows < 2:
            return Spread(0.0)
        centred = np.where(used, scores, 0.0)
        centred = np.where(used, centred - float(centred @ totals) / rows, 0.0)
        row = float(centred**2 @ totals) / rows
        if row <= 0:
            return Spread(0.0)
        series = _Series(self.blocks, centred, used.astype(np.float64), row, rows)
        windows = self.span / self.seconds
        if windows >= ENOUGH_WINDOWS:
            live, freedom = series.at(self.seconds)
            whole = series.continued(live, self.seconds, self.span)
            live += whole  # deviations were taken from the reference's own mean
        else:
            live, whole, freedom = series.extrapolated(self.seconds)
        live, whole = max(0.0, live), max(0.0, whole)
        return Spread(row, live, whole, freedom, live + row / max(1.0, rows / max(1.0, windows)))


@dataclass(frozen=True)
class _Series:
    blocks: Blocks
    scores: Floats
    used: Floats
    row: float
    rows: float

    def at(self, seconds: float) -> tuple[float, float]:
        """The mean covariance of two rows of a window of `seconds`, and its freedom."""
        lengths = sorted(self.blocks.products)
        unit = self.blocks.seconds
        span = len(self.blocks.counts) * unit
        if seconds >= unit:
            size = max(1, round(seconds / unit))
            return self._sliding(size), max(LEAST_FREEDOM, 1.5 * span / (size * unit) - 1)
        points = [(length, self._product(length)) for length in lengths]
        points.append((unit, self._sliding(1)))
        logs = np.log([point[0] for point in points])
        value = float(np.interp(np.log(seconds), logs, [point[1] for point in points]))
        return value, max(LEAST_FREEDOM, span / seconds - 1)

    def _product(self, length: int) -> float:
        matrix = self.blocks.products[length]
        pairs = float(self.used @ matrix @ self.used) - self.rows
        own = self.row * self.rows
        return (float(self.scores @ matrix @ self.scores) - own) / pairs if pairs > 0 else 0.0

    def _sliding(self, size: int) -> float:
        """Covariance within windows of `size` blocks at every start."""
        totals = _windows(self.blocks.counts @ self.scores, size)
        squares = _windows(self.blocks.counts @ self.scores**2, size)
        counts = _windows(self.blocks.counts @ self.used, size)
        pairs = float((counts**2 - counts).sum())
        return float((totals**2 - squares).sum()) / pairs if pairs > 0 else 0.0

    @staticmethod
    def continued(covariance: float, seconds: float, longer: float) -> float:
        """What is left over a longer window when windows of `seconds` are independent."""
        return max(0.0, covariance) * seconds / longer

    def extrapolated(self, seconds: float) -> tuple[float, float, float]:
        """Excess variance over the window and the reference, and the freedom, from short blocks."""
        blocks = len(self.blocks.counts)
        length = seconds / self.blocks.seconds
        variance, phi = self._autoregression()
        regressed = [variance * _mean_of_run(phi, size) for size in (length, float(blocks))]
        relative = 4 / ((1 - phi**2) * blocks) + 2 * (1 + phi**2) / ((1 - phi**2) * blocks)
        freedom = 2 / relative
        size = max(1, blocks // ENOUGH_WINDOWS)
        batch = max(0.0, self._sliding(size)) * (1 + size / blocks)
        means = [batch * min(1.0, size / part) for part in (length, float(blocks))]
        if means[0] > regressed[0]:
            return means[0], means[1], max(LEAST_FREEDOM, 1.5 * blocks / size - 1)
        return regressed[0], regressed[1], max(LEAST_FREEDOM, freedom)

    def _autoregression(self) -> tuple[float, float]:
        """Variance and lag-1 correlation of what rows of a block share, without centring's bias."""
        totals = self.blocks.counts @ self.scores
        counts = self.blocks.counts @ self.used
        blocks = len(totals)
        raw_zero = max(0.0, self._sliding(1))
        near = float(counts[1:] @ counts[:-1])
        raw_one = float(totals[1:] @ totals[:-1]) / near if near > 0 else 0.0
        variance, phi, bias = raw_zero, 0.0, 0.0
        most = 1 - 2 / blocks if blocks > 2 else 0.0
        for _ in range(8):
            variance = raw_zero + bias
            phi = min(most, max(0.0, (raw_one + bias) / variance)) if variance > 0 else 0.0
            bias = variance * _mean_of_run(phi, float(blocks))
        return variance, phi


def _windows(values: Floats, size: int) -> Floats:
    sums = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
    size = min(size, len(values))
    return np.asarray(sums[size:] - sums[:-size], dtype=np.float64)


def _mean_of_run(phi: float, size: float) -> float:
    """Variance of the mean of `size` autoregressive values of variance 1."""
    if size <= 1:
        return 1.0
    lags = phi * (1 - phi**size) / (size * (1 - phi)) if phi else 0.0
    return min(1.0, (1 + phi - 2 * lags) / ((1 - phi) * size))
