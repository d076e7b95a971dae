"""How a column is cut into cells: reference quantiles for numbers, levels for everything else.

>>> cells = quantile_cells(np.array([0.0, 0.0, 0.0, 1.0, 2.0, 3.0]))
>>> cells.index(np.array([-1.0, 0.0, 2.5, 9.0, np.nan])).tolist()  # below, cells, above, null
[0, 1, 4, 5, 6]

A numeric value falls into one of at most 64 cells that hold about equally many reference rows;
a value that is very common gets a cell of its own, so that a stuck sensor stays visible.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from lifecycle.drift.grids import Grid

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

MAX_CELLS = 64
MAX_LEVELS = 200
MAX_BANDS = 10
MANY = 5_000  # values from which a grid is worth its making
PIECE = 200_000  # multiplications that are not worth a second thread
TEXT_SHARE = 0.5  # a column whose rare levels hold more than this share is text or an id


def outer_sums(one: Floats, two: Floats) -> Floats:
    """The product of (a, n) and (b, n) arrays over n: sums over rows, shape (a, b).

    In pieces that linear algebra libraries multiply in the thread that asks: theirs wait for each
    other, for seconds where the machine is busy.

    >>> outer_sums(np.ones((1, 5)), np.arange(10.0).reshape(2, 5)).tolist()
    [[10.0, 35.0]]
    """
    piece = max(1, PIECE // (len(one) * len(two)))
    whole = one.shape[1] // piece * piece
    total = one[:, whole:] @ two[:, whole:].T
    if whole:
        first = one[:, :whole].reshape(len(one), -1, piece).transpose(1, 0, 2)
        second = two[:, :whole].reshape(len(two), -1, piece).transpose(1, 2, 0)
        total = total + (first @ second).sum(axis=0)
    return np.asarray(total, dtype=np.float64)


@dataclass(frozen=True)
class NumericCells:
    """Right-closed cells between `edges`; the first edge lies just below the smallest value.

    A value's index is 0 below the reference's smallest value, 1 … k in a cell, k + 1 above its
    largest, k + 2 for null.
    """

    edges: tuple[float, ...]

    @property
    def size(self) -> int:
        """How many counts a column has: below, cells, above, null."""
        return len(self.edges) + 2

    def index(self, values: Floats) -> Integers:
        """The cell of each value, shape (n,)."""
        if values.size > MANY:
            found = Grid.of(self.edges).index(values)
        else:
            found = np.searchsorted(np.array(self.edges), values)
        found[np.isnan(values)] = self.size - 1
        return found.astype(np.int64, copy=False)


@dataclass(frozen=True)
class LevelCells:
    """One cell a level, then one for all other levels, then null."""

    levels: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many counts a column has: levels, other, null."""
        return len(self.levels) + 2

    def index(self, values: pl.Series) -> Integers:
        """The cell of each value of a string series, shape (n,)."""
        if not self.levels:
            return np.where(values.is_null().to_numpy(), 1, 0).astype(np.int64)
        places = list(range(len(self.levels)))
        other = len(self.levels)
        found = values.replace_strict(
            list(self.levels), places, default=other, return_dtype=pl.Int64
        )
        return np.where(values.is_null().to_numpy(), other + 1, found.to_numpy()).astype(np.int64)


def quantile_cells(values: Floats) -> NumericCells:
    """Cells from the reference's finite values, shape (n,); no finite value gives no cell."""
    return ordered_cells(np.sort(values[np.isfinite(values)]))


def ordered_cells(ordered: Floats) -> NumericCells:
    """The same from finite values that are sorted."""
    if not ordered.size:
        return NumericCells((0.0,))
    found = distinct(ordered, MAX_CELLS)
    if found is None:
        found = _quantiles(ordered)
    lowest = float(np.nextafter(ordered[0], -np.inf))
    return NumericCells((lowest, *found.tolist()))


def distinct(ordered: Floats, most: int) -> Floats | None:
    """The different ones of sorted values, shape (k,); None where there are more than `most`."""
    if ordered.size > 64 * most:  # a glance at some tells mostly
        glance = ordered[:: ordered.size // (8 * most)]
        if np.count_nonzero(glance[1:] != glance[:-1]) >= most:
            return None
    starts = np.flatnonzero(ordered[1:] != ordered[:-1])
    if not ordered.size or starts.size >= most:
        return ordered if not ordered.size else None
    return np.append(ordered[starts], ordered[-1])


def _quantiles(ordered: Floats) -> Floats:
    rows = ordered.size
    for parts in (MAX_CELLS, 48, MAX_CELLS // 2):
        places = np.ceil(rows * np.arange(1, parts + 1) / parts).astype(np.int64) - 1
        edges = np.unique(ordered[places])
        first = np.searchsorted(ordered, edges, side="left")
        common = (np.searchsorted(ordered, edges, side="right") - first) * parts >= rows
        before = ordered[first[common & (first > 0)] - 1]  # closes the cell before a common value
        edges = np.union1d(edges, before)
        if edges.size <= MAX_CELLS:
            break
    return np.asarray(edges, dtype=np.float64)


def common_levels(values: pl.Series) -> tuple[tuple[str, ...], bool, int]:
    """The levels of a string series, most common first.

    Returns:
        The levels (at most 200), whether that is all of them, and how many there are.
    """
    return ranked_levels(values.drop_nulls().alias("level").value_counts(name="rows"))


def ranked_levels(counted: pl.DataFrame) -> tuple[tuple[str, ...], bool, int]:
    """The same from a table of each `level` and its `rows`."""
    ranked = counted.sort(["rows", "level"], descending=[True, False])
    names = ranked["level"].head(MAX_LEVELS).to_list()
    return tuple(names), ranked.height <= MAX_LEVELS, ranked.height


def numeric_bands(counts: Integers) -> tuple[int, ...]:
    """The band of each index of `NumericCells`: neighbours merged to at most 10 equal shares.

    Values below or above the reference belong to its outermost bands.
    """
    inner = counts[1:-2]
    if inner.size <= MAX_BANDS:
        places = np.arange(inner.size)
    else:
        middle = np.cumsum(inner) - inner / 2
        places = np.floor(MAX_BANDS * middle / max(1, inner.sum())).astype(np.int64)
        places = np.unique(np.minimum(places, MAX_BANDS - 1), return_inverse=True)[1]
    last = int(places[-1]) if places.size else 0
    first = int(places[0]) if places.size else 0
    return (first, *(int(place) for place in places), last)


def level_bands(counts: Integers, *, complete: bool) -> tuple[int, ...]:
    """The band of each index of `LevelCells` but null: common levels alone, the rest together."""
    levels = counts.size - 2
    alone = (
        levels if levels <= MAX_BANDS - 1 or (complete and levels == MAX_BANDS) else MAX_BANDS - 1
    )
    rest = min(alone, MAX_BANDS - 1)
    order = np.argsort(-counts[:levels], kind="stable")
    places = np.full(levels + 1, rest, dtype=np.int64)
    places[order[:alone]] = np.arange(alone)
    return tuple(int(place) for place in places)


def banded(counts: Sequence[int] | Integers, bands: Sequence[int]) -> Integers:
    """Counts by band, shape (k,), from counts by cell without null."""
    size = max(bands) + 1 if bands else 1
    return np.bincount(bands, weights=np.asarray(counts)[: len(bands)], minlength=size).astype(
        np.int64
    )
