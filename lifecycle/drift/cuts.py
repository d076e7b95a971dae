"""Counts of sorted numbers in cells, and cells of a column that is too large to be sorted at once.

>>> profile = counted("x", Ordered.of(np.array([1.0, 2.0, 2.0, 7.0])), (0.5, 1.0, 2.0))
>>> profile.counts, profile.complete  # below, two cells, above, null
((0, 1, 2, 1, 0), True)

Edges are only where a column is cut: counts between them are exact wherever they lie. So those of a
large column come from a sample of its rows, with the outermost moved out to the true extremes.
"""

from dataclasses import dataclass, replace

import numpy as np

from lifecycle.drift.cells import MAX_CELLS, Floats, ordered_cells
from lifecycle.drift.columns import Ordered
from lifecycle.drift.profile import MOST, ColumnProfile

PIECE = 8_192  # values whose product no library shares out among threads
FINE_CELLS = 2048  # for scores of large tables, which are better known the finer the cells


def counted(name: str, values: Ordered, edges: tuple[float, ...]) -> ColumnProfile:
    """A numeric column's counts in cells; their bands are left open."""
    cuts = np.array(edges)
    upto = values.upto(cuts)
    cells = np.diff(upto)
    known = values.values
    with np.errstate(over="ignore"):
        total, squares = float(known.sum()), _squares(known)
    below, above = values.infinite
    on_edges = int((upto[1:] - values.below(cuts[1:])).sum())
    return ColumnProfile(
        name,
        "numeric",
        values.rows,
        (int(upto[0]) + below, *cells.tolist(), known.size - int(upto[-1]) + above, values.null),
        edges=edges,
        complete=on_edges == int(upto[-1] - upto[0]),
        low=float(known[0]) if known.size else None,
        high=float(known[-1]) if known.size else None,
        total=max(-MOST, min(MOST, total)),
        squares=min(MOST, squares),
        infinite=values.infinite,
    )


def _squares(values: Floats) -> float:
    """The sum of squares, in pieces that are multiplied where they are."""
    whole = values.size // PIECE * PIECE
    pieces = [float(piece @ piece) for piece in values[:whole].reshape(-1, PIECE)]
    rest = values[whole:]
    return float(np.sum(pieces)) + float(rest @ rest)


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
