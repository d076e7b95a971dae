"""Sums from which Spearman's rank correlation of every pair of numeric columns follows.

>>> counts = (0, 1, 1, 1, 0, 0)
>>> sums = Pairs.count({"a": (np.array([1, 2, 3]), counts), "b": (np.array([3, 2, 1]), counts)})
>>> round(float(sums.correlations()[0, 1]), 6)
-1.0

A value's score is its cell's mid-rank among the reference, a whole number from -1000 to 1000, so
that sums are exact and merge in any order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from lifecycle.drift.cells import Floats, Integers, outer_sums

Index = npt.NDArray[np.integer[Any]]

MAX_COLUMNS = 20
SCALE = 1000
SLICE = 8192  # rows that are summed at once


def _none() -> Integers:
    return np.zeros((4, 0, 0), dtype=np.int64)


def mid_ranks(counts: Integers) -> Floats:
    """Each index's mid-rank among the reference, from 0 to 1; `counts` without null, shape (k,)."""
    total = max(1, int(counts.sum()))
    return np.asarray((np.cumsum(counts) - counts / 2) / total, dtype=np.float64)


@dataclass(frozen=True)
class Pairs:
    """Sums over rows where both columns have a value.

    Attributes:
        names: the columns, at most 20.
        sums: rows, scores of the row's column, their squares, products; shape (4, k, k).
    """

    names: tuple[str, ...] = ()
    sums: Integers = field(default_factory=_none)

    @classmethod
    def count(cls, cells: Mapping[str, tuple[Index, tuple[int, ...]]]) -> "Pairs":
        """Sum over rows.

        Args:
            cells: by column each row's index and the reference's counts; the first 20 are used,
                all of as many rows.
        """
        names = cls.first(tuple(cells))
        if len(names) < 2:
            return cls()
        ranks = []
        for name in names:
            counts = np.asarray(cells[name][1][:-1])
            ranks.append(np.append(np.rint((2 * mid_ranks(counts) - 1) * SCALE), 0.0))
        rows = len(cells[names[0]][0])
        sums = np.zeros((4, len(names), len(names)))
        for start in range(0, rows, SLICE):
            index = [cells[name][0][start : start + SLICE] for name in names]
            values = np.array([rank[item] for rank, item in zip(ranks, index, strict=True)])
            null = [len(rank) - 1 for rank in ranks]
            mask = np.array([item != last for item, last in zip(index, null, strict=True)], float)
            if mask.all():  # rows, totals and squares are the same beside every other column
                sums[0] += values.shape[1]
                sums[1] += values.sum(axis=1)[:, None]
                sums[2] += (values**2).sum(axis=1)[:, None]
            else:
                sums[:3] += [outer_sums(item, mask) for item in (mask, values, values**2)]
            sums[3] += outer_sums(values, values)
        return cls(names, np.rint(sums).astype(np.int64))

    @staticmethod
    def first(names: Sequence[str]) -> tuple[str, ...]:
        """The columns whose pairs are counted: the first 20."""
        return tuple(names)[:MAX_COLUMNS]

    def merge(self, other: "Pairs") -> "Pairs":
        """The sums of both, over the columns that both have."""
        names = tuple(name for name in self.names if name in other.names)
        mine = [self.names.index(name) for name in names]
        theirs = [other.names.index(name) for name in names]
        sums = self.sums[:, mine][:, :, mine] + other.sums[:, theirs][:, :, theirs]
        return Pairs(names, sums)

    @property
    def rows(self) -> Integers:
        """Rows with both values, shape (k, k)."""
        return np.asarray(self.sums[0])

    def correlations(self) -> Floats:
        """Spearman's correlation, shape (k, k); NaN where a column is constant."""
        rows, totals, squares, products = self.sums.astype(np.float64)
        covariance = products * rows - totals * totals.T
        spread = squares * rows - totals**2
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(covariance / np.sqrt(spread * spread.T), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """The sums as JSON types; symmetric ones as upper triangles."""
        upper = np.triu_indices(len(self.names))
        return {
            "names": list(self.names),
            "rows": self.sums[0][upper].tolist(),
            "totals": self.sums[1].tolist(),
            "squares": self.sums[2].tolist(),
            "products": self.sums[3][upper].tolist(),
        }

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> "Pairs":
        """Read what `to_dict` wrote."""
        size = len(tree["names"])
        sums = np.zeros((4, size, size), dtype=np.int64)
        upper = np.triu_indices(size)
        for place, key in ((0, "rows"), (3, "products")):
            sums[place][upper] = tree[key]
            sums[place] += np.triu(sums[place], 1).T
        for place, key in ((1, "totals"), (2, "squares")):
            sums[place] = np.array(tree[key], dtype=np.int64).reshape(size, size)
        return cls(tuple(tree["names"]), sums)
