"""Counts of numbers in cells, and cells of a column that is too large to be sorted at once.

>>> profile = counted("x", Ordered.of(np.array([1.0, 2.0, 2.0, 7.0])), (0.5, 1.0, 2.0))
>>> profile.counts, profile.complete  # below, two cells, above, null
((0, 1, 2, 1, 0), True)

Edges are only where a column is cut: counts between them are exact wherever they lie. So those of a
large column come from a sample of its rows, with the outermost moved out to the true extremes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from lifecycle.drift import grids
from lifecycle.drift.cells import MAX_CELLS, Floats, Integers, ordered_cells
from lifecycle.drift.columns import Ordered
from lifecycle.drift.grids import Grid
from lifecycle.drift.kinds import numbers
from lifecycle.drift.profile import MOST, ColumnProfile

PIECE = 8_192  # values whose product no library shares out among threads
FINE_CELLS = 2048  # for scores of large tables, which are better known the finer the cells


def counted(name: str, values: Ordered, edges: tuple[float, ...]) -> ColumnProfile:
    """A numeric column's counts in cells; their bands are left open."""
    cuts = np.array(edges)
    upto = values.upto(cuts)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = Sums(values.infinite, values.null).add(values.values)
    return sums.profile(name, edges, upto, upto - values.below(cuts))


def tallied(name: str, series: pl.Series, edges: tuple[float, ...]) -> ColumnProfile:
    """The same counts of values that are not sorted.

    >>> tallied("x", pl.Series([7.0, 2.0, None, 1.0, 2.0]), (0.5, 1.0, 2.0)).counts
    (0, 1, 2, 1, 1)
    """
    sums = Sums()

    def pieces() -> Iterator[Floats]:
        for chunk in series.get_chunks():
            values = numbers(chunk)
            for start in range(0, values.size, grids.PIECE):
                yield sums.finite(values[start : start + grids.PIECE])

    with np.errstate(over="ignore", invalid="ignore"):
        upto, equal = Grid.of(edges).upto(pieces())
    return sums.profile(name, edges, upto, equal)


class Sums:
    """What is added up of a numeric column beside its cells; sums may overflow.

    >>> sums = Sums()
    >>> sums.finite(np.array([1.0, np.inf, 3.0, np.nan])).tolist()
    [1.0, 3.0]
    >>> sums.total, sums.squares, sums.infinite, sums.null
    (4.0, 10.0, (0, 1), 1)
    """

    def __init__(self, infinite: tuple[int, int] = (0, 0), null: int = 0) -> None:
        """Begin with so many infinite values and so many null ones."""
        self.infinite = infinite
        self.null = null
        self.known = 0
        self.total = self.squares = 0.0
        self.low, self.high = np.inf, -np.inf

    def finite(self, values: Floats) -> Floats:
        """Add values of any kind; the finite ones of them."""
        total, squares = _total(values)
        if np.isfinite(total + squares):  # else there are others, or squares beyond all numbers
            self._take(values, total, squares)
            return values
        below, above = self.infinite
        infinite = below + int((values == -np.inf).sum()), above + int((values == np.inf).sum())
        self.infinite, self.null = infinite, self.null + int(np.isnan(values).sum())
        values = values[np.isfinite(values)]
        self.add(values)
        return values

    def add(self, values: Floats) -> "Sums":
        """Add finite values, shape (n,)."""
        self._take(values, *_total(values))
        return self

    def _take(self, values: Floats, total: float, squares: float) -> None:
        if values.size:
            self.known += values.size
            self.total, self.squares = self.total + total, self.squares + squares
            self.low = min(self.low, float(values.min()))
            self.high = max(self.high, float(values.max()))

    def profile(
        self, name: str, edges: tuple[float, ...], upto: Integers, equal: Integers
    ) -> ColumnProfile:
        """A column's counts.

        Args:
            name: of the column.
            edges: of the cells, shape (k,).
            upto: how many finite values are at most each edge, shape (k,).
            equal: how many of them are that edge.
        """
        below, above = self.infinite
        inner = np.diff(upto)
        return ColumnProfile(
            name,
            "numeric",
            self.known + below + above + self.null,
            (int(upto[0]) + below, *inner.tolist(), self.known - int(upto[-1]) + above, self.null),
            edges=edges,
            complete=int(equal[1:].sum()) == int(upto[-1] - upto[0]),
            low=self.low if self.known else None,
            high=self.high if self.known else None,
            total=max(-MOST, min(MOST, self.total)),
            squares=min(MOST, self.squares),
            infinite=self.infinite,
        )


def _total(values: Floats) -> tuple[float, float]:
    """The sum, and that of squares in pieces that are multiplied where they are."""
    whole = values.size // PIECE * PIECE
    pieces = [float(piece @ piece) for piece in values[:whole].reshape(-1, PIECE)]
    rest = values[whole:]
    return float(values.sum()), float(np.sum(pieces)) + float(rest @ rest)


@dataclass(frozen=True)
class Cuts:
    """Where a column that is read in chunks is cut.

    Attributes:
        edges: of the cells that a profile keeps.
        fine: further edges, for scores.
    """

    edges: tuple[float, ...]
    fine: tuple[float, ...]

    @property
    def all(self) -> tuple[float, ...]:
        """All edges, ascending."""
        return tuple(np.union1d(self.edges, self.fine).tolist())

    def coarse(self, fine: ColumnProfile) -> ColumnProfile:
        """The counts in the cells that a profile keeps, from those in all cells."""
        upto = np.cumsum(fine.counts[:-1])[np.searchsorted(fine.edges, self.edges)]
        cells = np.diff(upto).tolist()
        above = fine.rows - fine.null - int(upto[-1])
        counts = (int(upto[0]), *cells, above, fine.null)
        complete = fine.complete and len(self.edges) == len(fine.edges)
        return replace(fine, counts=counts, edges=self.edges, complete=complete)

    def opened(self, fine: ColumnProfile) -> tuple["Cuts", ColumnProfile]:
        """Cuts and counts with the outermost edges moved to the true extremes."""
        if fine.low is None or fine.high is None:
            return replace(self, edges=(0.0,), fine=()), counted_nothing(fine)
        lowest, highest = float(np.nextafter(fine.low, -np.inf)), fine.high
        upto = np.cumsum(fine.counts[:-1])
        inner = [at for at, edge in enumerate(fine.edges) if at and fine.low <= edge < highest]
        edges = (lowest, *(fine.edges[at] for at in inner), highest)
        below, above = fine.infinite
        ends = np.array([below, *upto[inner], below + fine.finite])
        counts = (below, *np.diff(ends).tolist(), above, fine.null)
        inside = lowest >= fine.edges[0] and highest <= fine.edges[-1]
        moved = replace(fine, edges=edges, counts=counts, complete=fine.complete and inside)
        kept = [edge for edge in self.edges[1:] if fine.low <= edge < highest][: MAX_CELLS - 1]
        return replace(self, edges=(lowest, *kept, highest)), moved


def counted_nothing(fine: ColumnProfile) -> ColumnProfile:
    """Counts of a column without any finite value, in no cell."""
    return replace(fine, edges=(0.0,), counts=(*fine.infinite, fine.null))


def fine_cuts(sample: Floats) -> Cuts:
    """Cuts from a sample's finite values, sorted, shape (n,)."""
    edges = ordered_cells(sample).edges
    if not sample.size:
        return Cuts(edges, ())
    places = np.linspace(0, sample.size - 1, FINE_CELLS + 1).astype(np.int64)
    return Cuts(edges, tuple(np.unique(sample[places]).tolist()))
