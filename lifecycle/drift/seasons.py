"""Counts by hour of the week, so that a short window is held against the same hours.

>>> times = np.array([0, 1800, 3600, 7 * 86_400])  # a Thursday in UTC, and one a week later
>>> seasons = Seasons.count(np.array([0, 1, 1, 1]), times, width=2)
>>> seasons.counts[:2].tolist()
[[1, 2], [0, 1]]
>>> Seasons.from_dict(seasons.to_dict()).counts.sum()
np.int64(4)

A column's rows are counted by band in each of a week's 168 hours, in UTC and from the epoch's
weekday on. These are integers that add up when profiles merge; hours of the day are sums of them.
"""

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lifecycle.drift.cells import Floats, Integers

HOUR = 3_600
DAY_HOURS = 24
WEEK_HOURS = 168


@dataclass(frozen=True)
class Seasons:
    """Counts of shape (168, width): rows by hour of the week and band.

    The bands are those of `Blocks`: bands, outside the reference, null.

    Attributes:
        known: patterns that were found in these counts, by what was looked for.
    """

    counts: Integers
    known: "dict[bytes, Pattern | None]" = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def count(cls, bands: Integers, times: Integers, *, width: int) -> "Seasons":
        """Count rows by hour of the week.

        Args:
            bands: band of each row, shape (n,), 0 … width - 1.
            times: whole seconds since the epoch, shape (n,).
            width: number of bands.
        """
        flat = np.bincount(slots(times) * width + bands, minlength=WEEK_HOURS * width)
        return cls(flat.reshape(WEEK_HOURS, width).astype(np.int64))

    def merge(self, other: "Seasons") -> "Seasons":
        """The counts of both; exact and associative."""
        return Seasons(self.counts + other.counts)

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON: whole numbers of the fewest bytes that hold them, compressed."""
        kind = np.min_scalar_type(int(self.counts.max())).newbyteorder("<")
        packed = zlib.compress(np.ascontiguousarray(self.counts.T, dtype=kind).tobytes(), 9)
        text = base64.b85encode(packed).decode()
        return {"width": self.counts.shape[1], "bytes": kind.itemsize, "counts": text}

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> "Seasons":
        """Read what `to_dict` wrote.

        Raises:
            ValueError: the counts are damaged.
        """
        width, size = int(tree["width"]), int(tree["bytes"])
        wanted = WEEK_HOURS * width * size
        reader = zlib.decompressobj()
        try:
            found = reader.decompress(base64.b85decode(tree["counts"]), wanted + 1)
        except zlib.error as error:
            raise ValueError(f"the counts by hour are damaged: {error}") from error
        if len(found) != wanted:
            raise ValueError(f"the counts by hour are not those of {width} bands")
        counts = np.frombuffer(found, dtype=np.dtype(f"<u{size}")).reshape(width, WEEK_HOURS)
        return cls(counts.T.astype(np.int64))


def slots(times: Integers) -> Integers:
    """The hour of the week of each time in seconds since the epoch, shape (n,)."""
    return np.asarray(times // HOUR % WEEK_HOURS, dtype=np.int64)


@dataclass(frozen=True)
class Pattern:
    """What a reference holds at each hour of the day or of the week.

    Attributes:
        counts: rows by hour and band, shape (24 or 168, width).
    """

    counts: Integers

    @classmethod
    def of(cls, seasons: Seasons, *, weekly: bool) -> "Pattern":
        """The hours of the week, or those of the day from all weekdays together."""
        table = seasons.counts
        if not weekly:
            table = table.reshape(-1, DAY_HOURS, table.shape[1]).sum(axis=0)
        return cls(table)

    @property
    def seconds(self) -> int:
        """After how many seconds the hours come again."""
        return len(self.counts) * HOUR

    def rows(self, used: Floats) -> Floats:
        """Rows that count at each hour of the week, shape (168, k), for weights (k, width)."""
        return self._weekly(self.counts @ used.T) * (len(self.counts) / WEEK_HOURS)

    def means(self, scores: Floats, used: Floats) -> Floats:
        """The mean of k scores, shape (k, width), at each hour of the week: shape (168, k)."""
        many, total = self.counts @ used.T, self.counts @ scores.T
        return self._weekly(np.divide(total, many, out=np.zeros_like(total), where=many > 0))

    def _weekly(self, values: Floats) -> Floats:
        return np.tile(values, (WEEK_HOURS // len(values), 1))

    def fold(self, values: Floats) -> Floats:
        """Sums over the hours of the week, shape (168, …), as sums over this pattern's hours."""
        sums = values.reshape(-1, len(self.counts), *values.shape[1:]).sum(axis=0)
        return np.asarray(sums, dtype=np.float64)
