"""When a table's rows were: read once, and shared by all columns that are counted by time.

>>> from datetime import datetime
>>> clock = Clock.of(Column.of(pl.Series("ts", [datetime(2026, 4, 1), datetime(2026, 4, 2)])))
>>> clock.window
('2026-04-01T00:00:00+00:00', '2026-04-02T00:00:00+00:00')
>>> Clock.of(Column.of(pl.Series("ts", [1, 2]))) is None  # no times
True
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import polars as pl

from lifecycle.drift.blocks import Ticks
from lifecycle.drift.cells import Integers, LevelCells
from lifecycle.drift.columns import Column
from lifecycle.drift.kinds import numbers, texts
from lifecycle.drift.profile import LEVELLED, ColumnProfile
from lifecycle.drift.seasons import HOUR, WEEK_HOURS, Seasons, slots


@dataclass(frozen=True)
class Clock:
    """The times of a table's rows.

    Attributes:
        name: of the column.
        ticks: the blocks of time.
        read: the block and the hour of the week of each row, in the chunks that columns are read
            in; no hours where they follow from the blocks.
    """

    name: str
    ticks: Ticks
    read: Callable[[], Iterable[tuple[Integers, Integers | None]]]

    @classmethod
    def of(cls, column: Column) -> "Clock | None":
        """The times of a column; None where it holds none, or its texts are in no known format.

        A row without a time has that of the row before it.
        """
        column = column.held()
        known = (_moments(chunk).drop_nulls() for chunk in column.read())
        start = next((moments[0] for moments in known if moments.len()), None)
        if start is None:
            return None
        parts = [(int(part.min()), int(part.max())) for part in _seconds(column, start)]
        low, high = min(one for one, _ in parts), max(two for _, two in parts)
        ticks = Ticks.spanning(low, high, column.rows)

        def read() -> Iterator[tuple[Integers, Integers | None]]:
            for seconds in _seconds(column, start):
                yield ticks.numbers(seconds), None if ticks.seconds <= HOUR else slots(seconds)

        if not column.whole:
            return cls(column.name, ticks, read)
        kept = list(read())
        return cls(column.name, ticks, lambda: kept)

    @property
    def window(self) -> tuple[str, str]:
        """ISO times of the first and last row, whole seconds."""
        ends = [datetime.fromtimestamp(item, tz=UTC) for item in (self.ticks.low, self.ticks.high)]
        return ends[0].isoformat(), ends[1].isoformat()

    def timed(self, profile: ColumnProfile, column: Column) -> ColumnProfile:
        """A column's counts with those by block of time and by hour of the week.

        Args:
            profile: the column's counts.
            column: its values.
        """
        width = max(profile.bands) + 3  # bands, outside the reference, null
        place = np.array([*profile.bands, width - 1])
        if profile.kind == "numeric":
            place[[0, -2]] = width - 2
        elif profile.kind in LEVELLED and profile.complete:
            place[-2] = width - 2
        table = np.zeros((self.ticks.count, width), dtype=np.int64)
        hours = np.zeros((WEEK_HOURS, width), dtype=np.int64)
        for chunk, (blocks, slot) in zip(column.read(), self.read(), strict=True):
            bands = _bands(chunk, profile, place)
            table += _table(bands, blocks, table.shape)
            if slot is not None:
                hours += _table(bands, slot, hours.shape)
        if self.ticks.seconds <= HOUR:
            starts = (self.ticks.low // self.ticks.seconds + np.arange(len(table))) * (
                self.ticks.seconds
            )
            np.add.at(hours, slots(starts), table)
        return replace(profile, blocks=self.ticks.blocks(table), seasons=Seasons(hours))


def _table(bands: Integers, rows: Integers, shape: tuple[int, ...]) -> Integers:
    """How often each row of a table meets each band, of that shape."""
    counts = np.bincount(rows * shape[1] + bands, minlength=shape[0] * shape[1])
    return np.asarray(counts.reshape(shape), dtype=np.int64)


def _bands(chunk: pl.Series, profile: ColumnProfile, place: Integers) -> Integers:
    """The band of each value, shape (n,); `place` is that of each of the profile's counts."""
    if chunk.null_count() == chunk.len():
        return np.full(chunk.len(), place[-1])
    if profile.kind == "numeric":
        values = numbers(chunk)
        turns = np.flatnonzero(place[1:-1] != place[:-2])  # edges between two bands
        found = place[np.append(turns, len(place) - 2)]
        edges = np.array(profile.edges)[turns]
        bands = np.asarray(found[np.searchsorted(edges, values)], dtype=np.int64)
        bands[np.isnan(values)] = place[-1]
        return bands
    if profile.kind in LEVELLED:
        return np.asarray(place[LevelCells(profile.levels).index(texts(chunk))])
    return np.asarray(place[chunk.is_null().to_numpy().astype(np.int64)])


def _seconds(column: Column, start: datetime) -> Iterator[Integers]:
    """Whole seconds since the epoch of each row, by chunk; `start` is the first known time."""
    last = start
    for chunk in column.read():
        filled = _moments(chunk).fill_null(strategy="forward").fill_null(last)
        last = filled[-1] if filled.len() else last
        yield filled.to_physical().to_numpy() // 1_000_000


def _moments(chunk: pl.Series) -> pl.Series:
    """Times in microseconds, null where there is none."""
    if chunk.dtype == pl.String:
        try:
            chunk = chunk.str.to_datetime(strict=False)
        except pl.exceptions.ComputeError:  # in no known format
            chunk = chunk.clear(chunk.len())
    if chunk.dtype not in (pl.Date, pl.Datetime):
        return pl.Series(chunk.name, [None] * chunk.len(), dtype=pl.Datetime("us"))
    return chunk.cast(pl.Datetime("us")).dt.replace_time_zone(None)
