"""A column that is read as often as needed, at most two million rows at a time.

>>> column = Column.of(pl.Series("age", [31, 45, 28]))
>>> column.rows, [chunk.to_list() for chunk in column.read()]
(3, [[31, 45, 28]])

Tables in memory and files are counted by the same code: a table of up to two million rows is one
chunk, and what is kept of it is exact; a larger one is read chunk by chunk in flat memory. What
needs rows rather than counts (correlations, reasons, where to cut a large column) is taken from
at most 100,000 of them, the same rows of every column.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import polars as pl

from lifecycle.drift.cells import Floats, Integers

EXACT_ROWS = 2_000_000
SAMPLE_ROWS = 100_000


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: of the column.
        rows: of the table.
        read: the values in order, at least one chunk.
        kind: their type, where chunks may be of another that holds the same values.
        whole: whether all rows are one chunk.
    """

    name: str
    rows: int
    read: Callable[[], Iterable[pl.Series]]
    kind: pl.DataType | None = None
    whole: bool = True

    @classmethod
    def of(cls, series: pl.Series, most: int = EXACT_ROWS) -> "Column":
        """A column in memory, in chunks of at most so many rows."""
        rows = series.len()
        chunks = [series.slice(at, most) for at in range(0, rows or 1, most)]
        return cls(series.name, rows, lambda: chunks, whole=rows <= most)

    def held(self) -> "Column":
        """The same column, read now and kept where it is one chunk."""
        if not self.whole:
            return self
        chunks = list(self.read())
        return replace(self, read=lambda: chunks)

    def at(self, rows: Integers | None) -> pl.Series:
        """The values of some rows; all of them for None."""
        if rows is None:
            return pl.concat([self._typed(chunk) for chunk in self.read()])
        taken, start = [], 0
        for chunk in self.read():
            first, last = np.searchsorted(rows, (start, start + chunk.len()))
            taken.append(self._typed(chunk[rows[first:last] - start]))
            start += chunk.len()
        return pl.concat(taken)

    def _typed(self, series: pl.Series) -> pl.Series:
        return series if self.kind in (None, series.dtype) else series.cast(self.kind)


@lru_cache(maxsize=8)
def sample_rows(rows: int, most: int = SAMPLE_ROWS) -> Integers | None:
    """Which rows stand for all: one at random of each stretch of equal length, in order.

    Evenly spaced rows would see one of two hundred machines that write in turn.

    >>> sample_rows(100) is None  # all of them
    True
    >>> sample_rows(10, most=5).tolist()
    [1, 3, 5, 6, 8]

    Returns:
        Row numbers, at most `most`, not to be written to; None where that is all rows.
    """
    if rows <= most:
        return None
    step = -(-rows // most)
    starts = np.arange(0, rows, step)
    chosen = starts + np.random.default_rng(0).integers(0, step, starts.size)
    found = np.asarray(np.minimum(chosen, rows - 1), dtype=np.int64)
    found.setflags(write=False)
    return found


@dataclass(frozen=True)
class Ordered:
    """A numeric column's values, sorted once: counts, extremes and scores follow from them.

    >>> ordered = Ordered.of(np.array([3.0, np.nan, 1.0, np.inf, 2.0]))
    >>> ordered.values.tolist(), ordered.infinite, ordered.null
    ([1.0, 2.0, 3.0], (0, 1), 1)
    >>> ordered.upto(np.array([0.0, 2.5])).tolist()
    [0, 2]

    Attributes:
        values: finite values, shape (n,), ascending.
        infinite: how many were minus and plus infinity.
        null: how many were null or NaN.
        whole: whether the column is of a type of whole numbers and has no null.
        single: whether it is of 32-bit floats.
    """

    values: Floats
    infinite: tuple[int, int]
    null: int
    whole: bool = False
    single: bool = False

    @classmethod
    def of(cls, values: Floats, *, whole: bool = False, single: bool = False) -> "Ordered":
        """Sort float64 values of shape (n,), null as NaN, in place."""
        values.sort()  # NaN goes last
        ordered = values
        known = int(np.searchsorted(ordered, np.nan)) if ordered.size else 0
        first = int(np.searchsorted(ordered[:known], -np.inf, side="right"))
        last = int(np.searchsorted(ordered[:known], np.inf))
        infinite = (first, known - last)
        return cls(ordered[first:last], infinite, values.size - known, whole, single)

    @property
    def rows(self) -> int:
        """All rows."""
        return self.values.size + sum(self.infinite) + self.null

    def upto(self, limits: Floats) -> Integers:
        """How many finite values are at most each limit."""
        return np.searchsorted(self.values, limits, side="right")

    def below(self, limits: Floats) -> Integers:
        """How many finite values are less than each limit."""
        return np.searchsorted(self.values, limits)
