"""One column of the reference and of the live rows: counts, scores, runs and season of both.

>>> import polars as pl
>>> from lifecycle.drift.counting import build_profile
>>> rows = pl.DataFrame({"x": [float(value) for value in range(1000)]})
>>> reference = build_profile(rows)
>>> live = build_profile(rows[:100], like=reference)
>>> pair = Pair(reference.columns["x"], live.columns["x"], seconds=None)
>>> pair.rows, pair.design_effects, pair.matched
((1000, 100), (1.0, 1.0), None)
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lifecycle.drift.cells import Floats, Integers
from lifecycle.drift.matching import Matched, pattern_of
from lifecycle.drift.pairs import mid_ranks
from lifecycle.drift.profile import ColumnProfile
from lifecycle.drift.runs import Runs, Spread
from lifecycle.drift.seasons import Pattern

SEEN_BLOCKS = 10  # blocks with nulls from which their runs can be measured


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
    def ranks(self) -> Floats:
        """Mid-rank of each cell among the reference, from 0 to 1."""
        return mid_ranks(self.counts[0])

    @cached_property
    def values(self) -> Floats:
        """What is looked at, by band: location and scale of numbers, levels; NaN for null."""
        width = max(self.reference.bands) + 3
        if self.reference.kind == "numeric":
            return np.stack([self.by_band(scores) for scores in rank_scores(self.ranks)])
        return indicators(width)

    @cached_property
    def pattern(self) -> Pattern | None:
        """The season of the reference's values."""
        return self._pattern(self.values)

    @cached_property
    def matched(self) -> Matched | None:
        """The reference at the live rows' hours; None where the column has no season."""
        if self.pattern is None or self.live.seasons is None:
            return None
        return Matched.of(self.pattern, self.live.seasons, self.values)

    @cached_property
    def runs(self) -> Runs | None:
        """The reference's blocks; None where rows are taken as independent."""
        return self._runs(self.matched.pattern if self.matched else None)

    def _runs(self, pattern: Pattern | None) -> Runs | None:
        blocks = self.reference.blocks
        return Runs(blocks, self.seconds, pattern) if blocks is not None and self.seconds else None

    def _pattern(self, scores: Floats) -> Pattern | None:
        blocks, seasons = self.reference.blocks, self.reference.seasons
        if not self.seconds or blocks is None or seasons is None or not self.live.seasons:
            return None
        return pattern_of(blocks, seasons, scores)

    @cached_property
    def gone(self) -> tuple[Runs | None, Matched | None]:
        """Runs of missing values, and the reference at the live hours where they have a season."""
        runs = self._runs(None)
        if runs is None or (runs.blocks.counts[:, -1] > 0).sum() < SEEN_BLOCKS:
            return runs, None
        scores = null_score(runs.blocks.counts.shape[1])
        pattern = self._pattern(scores)
        if pattern is None or self.live.seasons is None:
            return runs, None
        matched = Matched.of(pattern, self.live.seasons, scores)
        return (self._runs(pattern), matched) if matched else (runs, None)

    @cached_property
    def spreads(self) -> list[Spread]:
        """The spread of each of `values`; of independent rows where they have no time."""
        if self.runs is None:
            return [Spread(1.0)] * len(self.values)
        found = self.runs.spreads(self.values)
        if self.matched is None:
            return found
        return [self.matched.spread(item, place) for place, item in enumerate(found)]

    @cached_property
    def common(self) -> Spread:
        """How the column itself runs: the spread of its location or of its commonest level."""
        if self.reference.kind == "numeric" and self.rows[0]:
            return self.spreads[0]
        candidates = list(self.spreads)
        runs = self._runs(None)
        if runs is not None:
            candidates += runs.spreads(null_score(runs.blocks.counts.shape[1]))
        return max(candidates, key=lambda item: item.design_effect(1.0), default=Spread(1.0))

    @cached_property
    def compared_rows(self) -> float:
        """Reference rows that are not null, as many as the live rows' hours make of them."""
        return float(self.matched.rows[0]) if self.matched else float(self.rows[0])

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
        whole = (
            min(float(self.reference.rows), self.compared_rows)
            if self.matched
            else self.reference.rows
        )
        return max(1.0, whole / one), max(1.0, self.live.rows / two)


def rank_scores(ranks: Floats) -> tuple[Floats, Floats]:
    """What location and scale are the means of: the rank, and its squared distance from middle."""
    middle = ranks - 0.5
    return middle, middle**2


def null_score(width: int) -> Floats:
    """1 for null, shape (1, width)."""
    return np.eye(width)[-1:]


def indicators(width: int) -> Floats:
    """1 for each band, NaN for null, shape (width - 2, width)."""
    scores = np.eye(width)[:-2]
    scores[:, -1] = np.nan
    return scores
