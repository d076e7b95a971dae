"""The tests of one column: what moved, how far, and how likely that is by chance.

>>> import polars as pl
>>> from lifecycle.drift.counting import build_profile
>>> rows = pl.DataFrame({"x": [float(value) for value in range(1000)]})
>>> reference = build_profile(rows)
>>> live = build_profile(rows + 200.0, like=reference)
>>> found = column_findings(reference.columns["x"], live.columns["x"], seconds=None)
>>> [item.test for item in found if item.p_value < 1e-6]
['location', 'out of range', 'shape']

To add a test: write a function (Pair) -> Finding | None and name it in `TESTS`; it gives None where
it does not apply, so that it is not counted when chance is shared out among the tests.

Sources: Mann & Whitney (1947), location; Mood (1954), scale; Rao & Scott (1984), shape; Good (1953)
and Robbins (1968), unseen levels; the exact law of how many live rows lie beyond the reference's
extremes is hypergeometric (Wilks 1942).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from lifecycle.drift.cells import Floats, Integers, banded
from lifecycle.drift.pairs import mid_ranks
from lifecycle.drift.profile import LEVELLED, ColumnProfile
from lifecycle.drift.runs import Runs, Spread

LEAST_EFFECT = {
    "location": 0.05,
    "scale": 0.05,
    "shape": 0.07,
    "missing": 0.01,
    "out of range": 0.005,
    "new level": 0.005,
    "correlation": 0.05,
}
FEWEST_FOR_RANKS = 20  # below, only exact tests speak
LEAST_EXPECTED = 5.0  # rows in a band of the chi-squared test
PIECE_FREEDOM = 4.0
SEEN_BLOCKS = 10  # blocks with nulls from which their runs can be measured


@dataclass(frozen=True)
class Finding:
    """One test's answer; `effect` in standard deviations of ranks, or as a share of rows."""

    test: str
    p_value: float
    effect: float

    @property
    def matters(self) -> bool:
        """Whether the effect is large enough to be worth an alarm."""
        return abs(self.effect) >= LEAST_EFFECT[self.test]


@dataclass(frozen=True)
class Pair:
    """One column of the reference and of the live rows, and the live window's length."""

    reference: ColumnProfile
    live: ColumnProfile
    seconds: float | None  # None: rows are taken as independent

    @cached_property
    def counts(self) -> tuple[Integers, Integers]:
        """Counts of reference and live by cell, without null."""
        return np.array(self.reference.counts[:-1]), np.array(self.live.counts[:-1])

    @cached_property
    def rows(self) -> tuple[int, int]:
        """Rows of reference and live that are not null."""
        return int(self.counts[0].sum()), int(self.counts[1].sum())

    @cached_property
    def runs(self) -> Runs | None:
        """The reference's blocks; None where rows are taken as independent."""
        blocks = self.reference.blocks
        return Runs(blocks, self.seconds) if blocks is not None and self.seconds else None

    @cached_property
    def common(self) -> Spread:
        """How the column itself runs: the spread of its location or of its commonest level."""
        if self.runs is None:
            return Spread(1.0)
        width = self.runs.blocks.counts.shape[1]
        if self.reference.kind == "numeric" and self.rows[0]:
            return self.runs.spread(self.by_band(2 * mid_ranks(self.counts[0]) - 1))
        candidates = [self.runs.spread(_indicator(width, place)) for place in range(width - 2)]
        candidates.append(self.runs.spread(_indicator(width, width - 1, null=True)))
        return max(candidates, key=lambda item: item.design_effect(1.0))

    @property
    def design_effects(self) -> tuple[float, float]:
        """How many rows count as one, in the reference and in the live rows."""
        spread, (m, n) = self.common, (self.reference.rows, self.live.rows)
        live = spread.design_effect(n)
        whole = 1 + spread.reference * m / spread.row if spread.row > 0 else 1.0
        return whole, live

    def by_band(self, scores: Floats) -> Floats:
        """Scores by cell as mean scores by band, then outside, then null (which is NaN)."""
        counts = self.counts[0]
        bands = np.array(self.reference.bands)
        size = int(bands.max()) + 1
        weights = np.bincount(bands, weights=counts, minlength=size)
        sums = np.bincount(bands, weights=counts * scores, minlength=size)
        means = np.divide(sums, weights, out=np.zeros(size), where=weights > 0)
        return np.append(means, [0.0, np.nan])

    def events(self, place: int, rows: int, side: ColumnProfile) -> float:
        """How many runs hold the rows of one band: as many rows where rows are independent."""
        effect = self.design_effects[1]
        if self.seconds is None or side.blocks is None or effect < 1.5 or not rows:
            return float(rows)
        piece = self.seconds * effect / max(1, self.live.rows)  # seconds that count as one row
        held = np.flatnonzero(side.blocks.counts[:, place] > 0) + side.blocks.first
        pieces = np.unique(held * side.blocks.seconds // max(side.blocks.seconds, int(piece)))
        stretches = np.split(pieces, np.flatnonzero(np.diff(pieces) > 1) + 1)
        runs = sum((stretch.size + 1) // 2 for stretch in stretches)  # a run may straddle two
        return min(float(rows), max(float(runs), rows / effect))

    def pieces(self) -> tuple[float, float]:
        """Independent pieces of reference and live."""
        one, two = self.design_effects
        return max(1.0, self.reference.rows / one), max(1.0, self.live.rows / two)


def _indicator(width: int, place: int, *, null: bool = False) -> Floats:
    scores = np.zeros(width)
    scores[place] = 1.0
    if not null:
        scores[-1] = np.nan
    return scores


def _two_sided(difference: float, variance: float, freedom: float) -> float:
    if variance <= 0:
        return 1.0
    return float(2 * stats.t.sf(abs(difference) / variance**0.5, freedom))


def _few_pieces(spread: Spread, rows: int) -> float:
    """Freedom that a mean of few skewed pieces deserves, however well its variance is known."""
    return max(2.0, PIECE_FREEDOM * rows / spread.design_effect(rows))


def _rank_test(pair: Pair, test: str, shape: Callable[[Floats], Floats]) -> Finding | None:
    m, n = pair.rows
    if pair.reference.kind != "numeric" or min(m, n) < FEWEST_FOR_RANKS:
        return None
    reference, live = pair.counts
    pooled = reference + live
    scores = shape(mid_ranks(pooled))
    scores = scores - scores @ pooled / (m + n)
    spread = float(scores**2 @ pooled) / (m + n - 1)
    if spread <= 0:
        return None
    gap = float(scores @ live) / n - float(scores @ reference) / m
    p_value = _two_sided(gap, spread * (1 / m + 1 / n), np.inf)
    own = shape(mid_ranks(reference))
    own = own - own @ reference / m
    deviation = float(own**2 @ reference / m) ** 0.5
    shift = float(own @ live) / n
    if deviation <= 0:
        return Finding(test, p_value, gap / spread**0.5)
    if pair.runs is not None:
        measured = pair.runs.spread(pair.by_band(own))
        freedom = measured.tails(n, m)
        if test == "scale":
            freedom = min(freedom, _few_pieces(measured, n))
        p_value = max(p_value, _two_sided(shift, measured.variance(n, m), freedom))
    return Finding(test, p_value, shift / deviation)


def location(pair: Pair) -> Finding | None:
    """Whether values are higher or lower: the mean rank."""
    return _rank_test(pair, "location", lambda ranks: ranks)


def scale(pair: Pair) -> Finding | None:
    """Whether values lie further out: the mean squared distance from the middle rank."""
    return _rank_test(pair, "scale", lambda ranks: (ranks - 0.5) ** 2)


def shape(pair: Pair) -> Finding | None:
    """Whether shares of bands moved: chi-squared, with runs as a sum of weighted chi-squared."""
    m, n = pair.rows
    if pair.reference.kind not in ("numeric", *LEVELLED) or min(m, n) < FEWEST_FOR_RANKS:
        return None
    bands = pair.reference.bands
    reference, live = (banded(item, bands).astype(np.float64) for item in pair.counts)
    groups = _merged((reference + live) / (m + n) * min(m, n))
    if groups.max() < 1:
        return None
    merge = np.eye(int(groups.max()) + 1)[groups].T
    one, two = merge @ reference / m, merge @ live / n
    pooled = (merge @ (reference + live)) / (m + n)
    gap = two - one
    independent = float((gap**2 / pooled).sum()) / (1 / m + 1 / n)
    p_value = float(stats.chi2.sf(independent, len(gap) - 1))
    effect = float((gap**2 / pooled).sum()) ** 0.5
    if pair.runs is not None:
        p_value = max(p_value, _rao_scott(pair, pair.runs, gap, pooled, merge))
    return Finding("shape", p_value, effect)


def _merged(expected: Floats) -> Integers:
    """Group of each band, neighbours together until a group expects 5 rows."""
    groups = np.zeros(len(expected), dtype=np.int64)
    group, filled = 0, 0.0
    for place, rows in enumerate(expected):
        groups[place] = group
        filled += rows
        if filled >= LEAST_EXPECTED:
            group, filled = group + 1, 0.0
    if group and filled < LEAST_EXPECTED:  # what is left joins the last full group
        groups[groups == group] = group - 1
    return groups


def _rao_scott(pair: Pair, runs: Runs, gap: Floats, share: Floats, merge: Floats) -> float:
    """The second-order corrected p-value, with an F tail for a variance that is itself measured."""
    m, n = pair.rows
    inner = merge.shape[1]
    spreads = []
    for group in merge:
        scores = np.append(group, [0.0, np.nan])
        spreads.append(runs.spread(scores))
    totals = runs.blocks.counts[:, :inner] @ merge.T
    residual = totals - totals.sum(axis=1, keepdims=True) * totals.sum(axis=0) / totals.sum()
    products = residual.T @ residual
    scale = np.sqrt(np.maximum(np.diag(products), 1e-12))
    correlation = products / np.outer(scale, scale)
    excess = np.sqrt([item.live + item.reference for item in spreads])
    covariance = (np.diag(share) - np.outer(share, share)) * (1 / m + 1 / n)
    covariance += correlation * np.outer(excess, excess)
    weighted = covariance / np.sqrt(np.outer(share, share))
    mean, square = float(np.trace(weighted)), float((weighted**2).sum())
    if mean <= 0:
        return 1.0
    tails = np.array([min(1e6, item.tails(n, m), _few_pieces(item, n)) for item in spreads])
    freedom = float(np.average(tails, weights=np.maximum(np.diag(weighted), 1e-12)))
    statistic = float((gap**2 / share).sum()) / mean
    return float(stats.f.sf(statistic, mean**2 / square, freedom))


def missing(pair: Pair) -> Finding | None:
    """Whether more or fewer values are null."""
    reference, live = pair.reference, pair.live
    if not reference.null + live.null or not min(reference.rows, live.rows):
        return None
    effect = live.null / live.rows - reference.null / reference.rows
    counts = (live.null, reference.rows + live.rows, reference.null + live.null, live.rows)
    p_value = _two_sided_exact(*counts)
    if pair.runs is not None:
        p_value = max(p_value, _missing_in_runs(pair, pair.runs, effect))
    return Finding("missing", p_value, effect)


def _missing_in_runs(pair: Pair, runs: Runs, effect: float) -> float:
    reference, live = pair.reference, pair.live
    width = runs.blocks.counts.shape[1]
    if (runs.blocks.counts[:, -1] > 0).sum() >= SEEN_BLOCKS:
        spread = runs.spread(_indicator(width, width - 1, null=True))
        freedom = spread.tails(live.rows, reference.rows)
        return _two_sided(effect, spread.variance(live.rows, reference.rows), freedom)
    m, n = pair.pieces()
    held = min(n, pair.events(width - 1, live.null, live))
    before = min(m, pair.events(width - 1, reference.null, reference))
    return _two_sided_exact(int(held), round(m + n), round(before) + int(held), round(n))


def _two_sided_exact(held: int, every: int, marked: int, drawn: int) -> float:
    law = stats.hypergeom(every, marked, drawn)
    return float(min(1.0, 2 * min(law.sf(held - 1), law.cdf(held))))


def out_of_range(pair: Pair) -> Finding | None:
    """Whether more rows lie beyond the reference's smallest and largest than chance allows."""
    if pair.reference.kind != "numeric" or not min(pair.rows):
        return None
    (reference, live), (m, n) = pair.counts, pair.rows
    outside = int(live[0] + live[-1])
    if not outside:
        return Finding("out of range", 1.0, 0.0)
    runs = pair.events(pair.reference.bands[-1] + 1, outside, pair.live)
    pieces_m, pieces_n = (round(item) for item in pair.pieces())
    values = []
    for place in (0, -1):
        held, before = int(live[place]), int(reference[place])
        p_value = stats.hypergeom.sf(held - 1, m + n, held + before, n)
        if runs < outside:
            share = min(pieces_n, int(runs * held / outside))
            many = (share - 1, pieces_m + pieces_n, share + before, pieces_n)
            p_value = max(p_value, stats.hypergeom.sf(*many))
        values.append(float(p_value))
    return Finding("out of range", min(1.0, 2 * min(values)), outside / n)


def new_level(pair: Pair) -> Finding | None:
    """Whether more rows carry levels the reference never had than its rare levels let expect.

    The unseen mass has the law of (levels seen once + 1) further draws: Good-Turing's estimate with
    its own uncertainty, so that the count of new rows is negative binomial.
    """
    if pair.reference.kind not in LEVELLED or not pair.reference.complete or not min(pair.rows):
        return None
    (reference, live), (m, n) = pair.counts, pair.rows
    fresh = int(live[-1])
    if not fresh:
        return Finding("new level", 1.0, 0.0)
    once = int((reference[:-1] == 1).sum()) + int(reference[-1])
    p_value = float(stats.nbinom.sf(fresh - 1, once + 1, m / (m + n)))
    runs = pair.events(max(pair.reference.bands) + 1, fresh, pair.live)
    if runs < fresh:
        pieces_m, pieces_n = pair.pieces()
        rare = int((reference[:-1] <= pair.design_effects[0]).sum()) + int(reference[-1] > 0)
        law = (rare + 1, pieces_m / (pieces_m + pieces_n))
        p_value = max(p_value, float(stats.nbinom.sf(int(runs) - 1, *law)))
    return Finding("new level", p_value, fresh / n)


TESTS = (location, out_of_range, new_level, scale, shape, missing)


def column_findings(
    reference: ColumnProfile, live: ColumnProfile, *, seconds: float | None
) -> tuple[Finding, ...]:
    """All tests that apply to a column.

    Args:
        reference: the column's reference counts.
        live: counts of the live rows in the same cells.
        seconds: length of the live window; None where rows are taken as independent.
    """
    pair = Pair(reference, live, seconds)
    return tuple(found for test in TESTS if (found := test(pair)) is not None)
