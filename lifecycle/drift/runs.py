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
does not depend on how many rows a window has) where it holds at least ten such windows. Means over
shorter blocks, continued to the window's length as a first-order autoregression, count where they
give more; with fewer windows they stand beside batch means of a tenth of the reference. That the
deviations are taken from the reference's own mean is corrected for, and the reference's mean has a
variance of its own.

With a `Pattern` of hours the deviations are those from each hour's own mean, so that t² is what is
left when a window is held against the same hours.

Sources: Kish (1965), design effect; Rao & Scott (1984), doi:10.1214/aos/1176346391; Geyer (1992),
doi:10.1214/ss/1177011137, batch means; Kendall (1954), bias of an estimated autocorrelation.
"""

from dataclasses import dataclass

import numpy as np

from lifecycle.drift.blocks import DAY, Blocks
from lifecycle.drift.cells import Floats
from lifecycle.drift.seasons import HOUR, WEEK_HOURS, Pattern

ENOUGH_WINDOWS = 10
LEAST_FREEDOM = 2.0
LONG = 20  # a twentieth of the reference shows what its mean owes to long runs


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

    def scaled(self, times: float) -> "Spread":
        """The spread of rows that vary so many times as much, alone and together."""
        parts = (self.row, self.live, self.reference)
        row, live, reference = (item * times for item in parts)
        return Spread(row, live, reference, self.freedom, self.seen * times)

    def design_effect(self, rows: float) -> float:
        """How many rows of the live window count as one."""
        return 1.0 + self.live * rows / self.row if self.row > 0 else 1.0


@dataclass(frozen=True)
class Runs:
    """The reference's blocks of one column and the live window's length in seconds."""

    blocks: Blocks
    seconds: float
    pattern: Pattern | None = None  # hours whose own means are taken off

    @property
    def span(self) -> float:
        """The reference's length in seconds."""
        return float(len(self.blocks.counts) * self.blocks.seconds)

    def spread(self, scores: Floats) -> Spread:
        """The spread of a score's mean.

        Args:
            scores: the score of each band, shape (width,); NaN for bands that do not count.
        """
        return self.spreads(scores[None, :])[0]

    def spreads(self, scores: Floats) -> list[Spread]:
        """The spread of the means of several scores, shape (k, width)."""
        return self.together(scores)[0]

    def together(self, scores: Floats) -> tuple[list[Spread], Floats]:
        """Spreads of several scores, and how their means over blocks go together, shape (k, k)."""
        used = np.isfinite(scores)
        totals = self.blocks.counts.sum(axis=0)
        rows = used @ totals.astype(np.float64)
        given = np.where(used, scores, 0.0)
        given = np.where(used, given - (given @ totals / np.maximum(rows, 1.0))[:, None], 0.0)
        varies = (rows >= 2) & (given**2 @ totals > 0)
        found, correlation = [Spread(0.0)] * len(scores), np.eye(len(scores))
        if varies.any():
            weights = used[varies].astype(np.float64)
            series = _Series.of(self, given[varies], weights, rows[varies])
            for place, spread in zip(np.flatnonzero(varies), self._measured(series), strict=True):
                found[place] = spread
            products = series.totals.T @ series.totals
            scale = np.sqrt(np.maximum(np.diag(products), 1e-12))
            correlation[np.ix_(varies, varies)] = products / np.outer(scale, scale)
        return found, correlation

    def _measured(self, series: "_Series") -> list[Spread]:
        windows = self.span / self.seconds
        if windows >= ENOUGH_WINDOWS:
            live, freedom = series.at(self.seconds)
            if self.seconds >= 2 * self.blocks.seconds:  # few windows: the larger of two figures
                live = np.maximum(live, series.regressed(self.seconds)[0])
            freedoms = np.full(len(live), freedom)
            longer = max(self.seconds, self.span / LONG)
            covered = max(self.seconds, series.period)
            whole = np.maximum(live, 0.0) * covered / self.span
            whole = np.maximum(whole, series.at(longer)[0] * longer / self.span)
        else:
            live, whole, freedoms = series.extrapolated(self.seconds)
        live, whole = np.maximum(live, 0.0), np.maximum(whole, 0.0)
        seen = live + series.row / np.maximum(1.0, series.rows / max(1.0, windows))
        columns = (series.row, live, whole, freedoms, seen)
        return [Spread(*map(float, item)) for item in zip(*columns, strict=True)]


@dataclass(frozen=True)
class _Series:
    """Totals by block of k scores, each without its mean, or without that of its hour."""

    blocks: Blocks
    pattern: Pattern | None
    scores: Floats  # (k, width)
    used: Floats  # (k, width)
    rows: Floats  # (k,)
    row: Floats  # (k,), variance between rows
    totals: Floats  # (blocks, k)
    counts: Floats  # (blocks, k)
    own: Floats  # (blocks, k), what rows have in common with themselves
    hours: Floats  # (168, k), means by hour of the week; nothing without a pattern

    @classmethod
    def of(cls, runs: Runs, scores: Floats, used: Floats, rows: Floats) -> "_Series":
        table = runs.blocks.counts
        counts, totals = table @ used.T, table @ scores.T
        square = scores**2
        row, own = square @ table.sum(axis=0) / rows, table @ square.T
        hours = np.zeros((0, len(scores)))
        if runs.pattern is not None:
            hours = runs.pattern.means(scores, used)
            weights = runs.pattern.rows(used)
            row = np.maximum(0.0, row - (weights * hours**2).sum(axis=0) / rows)
            own = counts * row
            totals = totals - counts * _by_block(runs.blocks, hours, weights)
        return cls(runs.blocks, runs.pattern, scores, used, rows, row, totals, counts, own, hours)

    @property
    def span(self) -> float:
        return float(len(self.blocks.counts) * self.blocks.seconds)

    @property
    def period(self) -> float:
        """After how many seconds the hours come again."""
        return float(self.pattern.seconds) if self.pattern else 0.0

    def at(self, seconds: float) -> tuple[Floats, float]:
        """The mean covariance of two rows of a window of `seconds`, and its freedom."""
        unit = self.blocks.seconds
        if seconds >= unit:
            size = max(1, round(seconds / unit))
            value, freedom = self._sliding(size), 1.5 * self.span / (size * unit) - 1
        else:
            lengths = [*sorted(self.blocks.products), unit]
            after = min(len(lengths) - 1, int(np.searchsorted(lengths, seconds)))
            before = max(0, after - 1)
            low, high = np.log(lengths[before]), np.log(lengths[after])
            part = float(np.clip((np.log(seconds) - low) / (high - low), 0, 1)) if after else 1.0
            value = part * self._measured(lengths[after])
            if part < 1:
                value = value + (1 - part) * self._measured(lengths[before])
            freedom = self.span / seconds - 1
        return self._unfitted(value, seconds), max(LEAST_FREEDOM, freedom)

    def _unfitted(self, value: Floats, seconds: float) -> Floats:
        """Corrected for deviations being taken from means that were fitted to the same rows."""
        length = max(seconds, self.period)
        if not self.pattern:
            return value + np.maximum(0.0, value) * length / self.span
        times = max(1.5, self.span / length)
        rows = np.maximum(1.0, self.rows * seconds / self.span)
        return np.asarray((times * value + self.row / rows) / (times - 1), dtype=np.float64)

    def _measured(self, length: int) -> Floats:
        """The same for blocks of a length of the ladder."""
        if length == self.blocks.seconds:
            return self._sliding(1)
        matrix = self.blocks.products[length].astype(np.float64)
        pairs = ((self.used @ matrix) * self.used).sum(axis=1) - self.rows
        own = self.scores**2 @ self.blocks.counts.sum(axis=0)
        total = ((self.scores @ matrix) * self.scores).sum(axis=1) - own
        found = _ratio(total, pairs)
        return found - self._by_hours(length) if self.pattern else found

    def _by_hours(self, length: int) -> Floats:
        """What two rows of a block have in common because of their hours."""
        assert self.pattern is not None
        held = self.pattern.rows(self.used) / max(1.0, self.span / (WEEK_HOURS * HOUR))
        if length <= HOUR:
            total, pairs = (held**2 * self.hours**2).sum(axis=0), (held**2).sum(axis=0)
        else:
            size = (-1, length // HOUR, len(self.rows))
            weeks = (max(1, length // DAY), 1)  # as many as blocks of days take to fill weeks
            sums = np.tile(held * self.hours, weeks).reshape(size).sum(axis=1)
            many = np.tile(held, weeks).reshape(size).sum(axis=1)
            total = (sums**2).sum(axis=0) - weeks[0] * (held * self.hours**2).sum(axis=0)
            pairs = (many**2 - many).sum(axis=0)
        return _ratio(total, pairs)

    def _sliding(self, size: int) -> Floats:
        """Covariance within windows of `size` blocks at every start."""
        totals, own, counts = (
            _windows(item, size) for item in (self.totals, self.own, self.counts)
        )
        pairs = (counts**2 - counts).sum(axis=0)
        total = (totals**2 - own).sum(axis=0)
        return _ratio(total, pairs)

    def extrapolated(self, seconds: float) -> tuple[Floats, Floats, Floats]:
        """Excess variance over the window and the reference, and the freedom, from short blocks."""
        blocks = len(self.blocks.counts)
        length = seconds / self.blocks.seconds
        *regressed, phi = self.regressed(seconds)
        relative = (4 + 2 * (1 + phi**2)) / ((1 - phi**2) * blocks)
        freedom = np.maximum(LEAST_FREEDOM, 2 / relative)
        size = max(1, blocks // ENOUGH_WINDOWS)
        batch = np.maximum(0.0, self._sliding(size)) * (1 + size / blocks)
        means = [batch * min(1.0, size / part) for part in (length, float(blocks))]
        batched = max(LEAST_FREEDOM, 1.5 * blocks / size - 1)
        larger = means[0] > regressed[0]
        live, whole = (
            np.where(larger, mean, other) for mean, other in zip(means, regressed, strict=True)
        )
        times = max(1.5, self.span / self.period) if self.pattern else np.inf
        fitted = times / (times - 1) if np.isfinite(times) else 1.0
        return live * fitted, whole * fitted, np.where(larger, batched, freedom)

    def regressed(self, seconds: float) -> tuple[Floats, Floats, Floats]:
        """Excess variance over the window and the reference as an autoregression, and its phi."""
        variance, phi = self._autoregression()
        sizes = (seconds / self.blocks.seconds, float(len(self.blocks.counts)))
        live, whole = (variance * _mean_of_run(phi, size) for size in sizes)
        return live, whole, phi

    def _autoregression(self) -> tuple[Floats, Floats]:
        """Variance and lag-1 correlation of what rows of a block share, without centring's bias."""
        blocks = len(self.totals)
        raw_zero = np.maximum(0.0, self._sliding(1))
        near = (self.counts[1:] * self.counts[:-1]).sum(axis=0)
        product = (self.totals[1:] * self.totals[:-1]).sum(axis=0)
        raw_one = _ratio(product, near)
        variance, phi, bias = raw_zero, np.zeros_like(raw_zero), np.zeros_like(raw_zero)
        most = 1 - 2 / blocks if blocks > 2 else 0.0
        for _ in range(8):
            variance = raw_zero + bias
            phi = np.clip(_ratio(raw_one + bias, variance), 0.0, most)
            bias = variance * _mean_of_run(phi, float(blocks))
        return variance, phi


def _ratio(above: Floats, below: Floats) -> Floats:
    """Their ratio, 0 where there is nothing to divide by."""
    found = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    return np.asarray(found, dtype=np.float64)


def _windows(values: Floats, size: int) -> Floats:
    sums = np.concatenate((np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)))
    size = min(size, len(values))
    return np.asarray(sums[size:] - sums[:-size], dtype=np.float64)


def _by_block(blocks: Blocks, hours: Floats, weights: Floats) -> Floats:
    """The mean over each block's hours, shape (blocks, k)."""
    starts = (np.arange(len(blocks.counts)) + blocks.first) * blocks.seconds // HOUR
    if blocks.seconds <= HOUR:
        return np.asarray(hours[starts % WEEK_HOURS], dtype=np.float64)
    weeks, rest = divmod(blocks.seconds // HOUR, WEEK_HOURS)

    def summed(values: Floats) -> Floats:
        twice = np.concatenate((values, values))
        sums = np.concatenate((np.zeros((1, values.shape[1])), np.cumsum(twice, axis=0)))
        first = starts % WEEK_HOURS
        return np.asarray(weeks * sums[WEEK_HOURS] + sums[first + rest] - sums[first])

    many = summed(weights)
    total = summed(weights * hours)
    return _ratio(total, many)


def _mean_of_run(phi: Floats, size: float) -> Floats:
    """Variance of the mean of `size` autoregressive values of variance 1."""
    if size <= 1:
        return np.ones_like(phi)
    lags = phi * (1 - phi**size) / (size * (1 - phi))
    return np.minimum(1.0, (1 + phi - 2 * lags) / ((1 - phi) * size))
