"""Counts by block of time, from which the cost of rows that come in runs is measured.

>>> blocks = Blocks.count(np.array([0, 1, 1]), np.array([0, 60, 86_400]), width=2)
>>> blocks.seconds, blocks.counts.sum(axis=0).tolist()
(900, [1, 2])

A column's rows are counted by band in at most 128 consecutive blocks of equal length, aligned to
the epoch; the length is the shortest on a ladder (seconds … days, doubling) that spans the data.
For shorter lengths the sums of products of the counts within a block are kept: they give the
variance of any weighted mean over a window of that length, without the rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lifecycle.drift.cells import Integers, outer_sums

MAX_BLOCKS = 128
FINE_BLOCKS = 8192  # lengths that would need more blocks than this are not summed
MOST_EXACT = 94_906_265  # its square is below 2**53
MIN_FINE_ROWS = 1.5  # nor those with fewer rows a block: they tell nothing
DAY = 86_400
# each length divides the next, so that blocks merge without being split
LADDER: tuple[int, ...] = (
    *(1, 5, 15, 60, 300, 900, 3_600, 3 * 3_600, 6 * 3_600, 12 * 3_600),
    *(DAY << power for power in range(16)),
)


@dataclass(frozen=True)
class Blocks:
    """Counts of shape (blocks, width) from block number `first`, `seconds` long each.

    Attributes:
        seconds: length of a block.
        first: number of the first block since the epoch.
        counts: rows by block and band, shape (blocks, width).
        products: by shorter length, the sum over blocks of counts' outer product, (width, width).
    """

    seconds: int
    first: int
    counts: Integers
    products: Mapping[int, Integers] = field(default_factory=dict)

    @classmethod
    def count(cls, bands: Integers, times: Integers, *, width: int) -> "Blocks":
        """Count rows by block.

        Args:
            bands: band of each row, shape (n,), 0 … width - 1.
            times: whole seconds since the epoch, shape (n,).
            width: number of bands.
        """
        ticks = Ticks.of(times)
        flat = np.bincount(ticks.numbers(times) * width + bands, minlength=ticks.count * width)
        return ticks.blocks(flat.reshape(-1, width).astype(np.int64))

    def coarser(self, seconds: int) -> "Blocks":
        """The same counts in blocks of `seconds`, a longer length of the ladder."""
        if seconds == self.seconds:
            return self
        numbers = (np.arange(len(self.counts)) + self.first) * self.seconds // seconds
        first = int(numbers[0])
        counts = np.zeros((int(numbers[-1]) - first + 1, self.counts.shape[1]), dtype=np.int64)
        np.add.at(counts, numbers - first, self.counts)
        return Blocks(seconds, first, counts, self.products)

    def merge(self, other: "Blocks") -> "Blocks":
        """The counts of both; exact and associative.

        Sums of products add up as if no short block had rows in both parts.
        """
        low = min(self.first * self.seconds, other.first * other.seconds)
        high = max(self.end, other.end) - 1
        seconds = max(self.seconds, other.seconds, _length(low, high))
        one, two = self.coarser(seconds), other.coarser(seconds)
        first = min(one.first, two.first)
        blocks = max(one.first + len(one.counts), two.first + len(two.counts)) - first
        counts = np.zeros((blocks, self.counts.shape[1]), dtype=np.int64)
        for part in (one, two):
            start = part.first - first
            counts[start : start + len(part.counts)] += part.counts
        shared = sorted(set(self.products) & set(other.products))
        products = {length: self.products[length] + other.products[length] for length in shared}
        return Blocks(seconds, first, counts, products)

    @property
    def end(self) -> int:
        """Where the last block ends, in seconds since the epoch."""
        return (self.first + len(self.counts)) * self.seconds

    def to_dict(self) -> dict[str, Any]:
        """The blocks as JSON; products as upper triangles."""
        upper = np.triu_indices(self.counts.shape[1])
        return {
            "seconds": self.seconds,
            "first": self.first,
            "counts": self.counts.T.tolist(),
            "products": {str(key): item[upper].tolist() for key, item in self.products.items()},
        }

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> "Blocks":
        """Read what `to_dict` wrote."""
        counts = np.array(tree["counts"], dtype=np.int64).T
        upper = np.triu_indices(counts.shape[1])
        products = {}
        for key, items in tree["products"].items():
            matrix = np.zeros((counts.shape[1], counts.shape[1]), dtype=np.int64)
            matrix[upper] = items
            products[int(key)] = matrix + np.triu(matrix, 1).T
        return cls(int(tree["seconds"]), int(tree["first"]), counts, products)


def _length(low: int, high: int) -> int:
    for seconds in LADDER:
        if high // seconds - low // seconds + 1 <= MAX_BLOCKS:
            return seconds
    return LADDER[-1]


@dataclass(frozen=True)
class Ticks:
    """The blocks that a table's rows fall into, shared by all its columns.

    Rows are counted once, in the shortest blocks that are of use; those of all longer lengths
    follow from their sums, as each length divides the next.

    >>> ticks = Ticks.of(np.array([0, 60, 86_400]))
    >>> ticks.seconds, ticks.blocks(np.array([[1, 1], [1, 0]] + [[0, 0]] * 95)).counts.shape
    (900, (97, 2))

    Attributes:
        low: first row's time, whole seconds since the epoch.
        high: last row's.
        rows: of the table.
        seconds: length of the blocks that are counted.
    """

    low: int
    high: int
    rows: int
    seconds: int

    @classmethod
    def of(cls, times: Integers) -> "Ticks":
        """The blocks of rows at these times, whole seconds since the epoch, shape (n,)."""
        return cls.spanning(int(times.min()), int(times.max()), times.size)

    @classmethod
    def spanning(cls, low: int, high: int, rows: int) -> "Ticks":
        """The blocks of so many rows between two times, both included."""
        wanted = _length(low, high)
        most = min(FINE_BLOCKS, rows / MIN_FINE_ROWS)
        useful = [item for item in LADDER if high // item - low // item + 1 <= most]
        return cls(low, high, rows, min([wanted, *useful]))

    @property
    def count(self) -> int:
        """How many blocks."""
        return self.high // self.seconds - self.low // self.seconds + 1

    def numbers(self, times: Integers) -> Integers:
        """The block of each row, from 0, shape (n,)."""
        return times // self.seconds - self.low // self.seconds

    def blocks(self, table: Integers) -> Blocks:
        """Counts and sums of products from counts by block and band, shape (count, width)."""
        wanted = _length(self.low, self.high)
        products = {}
        most = min(FINE_BLOCKS, self.rows / MIN_FINE_ROWS)
        first, seconds = self.low // self.seconds, self.seconds
        for length in LADDER:
            if not self.seconds <= length <= wanted:
                continue
            table = _folded(table, first, seconds, length)
            first, seconds = self.low // length, length
            if length < wanted and len(table) <= most:
                products[length] = _squared(table)
        return Blocks(wanted, first, table, products)


def _folded(table: Integers, first: int, seconds: int, length: int) -> Integers:
    """Counts in blocks of `seconds`, the first of number `first`, in blocks of `length`."""
    if length == seconds:
        return table
    numbers = (np.arange(len(table)) + first) * seconds // length
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    return np.add.reduceat(table, starts, axis=0)


def _squared(table: Integers) -> Integers:
    if table.sum() < MOST_EXACT:  # floats multiply faster and are exact up to 2**53
        floats = np.ascontiguousarray(table.T, dtype=np.float64).T
        return outer_sums(floats.T, floats.T).astype(np.int64)
    return table.T @ table
