"""Answered requests as copies for a shadow, and what became of them.

>>> Copied(eligible=8, answered=5, failed=1).coverage
0.75
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lifecycle.models.predicting import Columns, Table
from lifecycle.serve.rows import Rows


@dataclass(slots=True)
class Copied:
    """What became of one shadow's copies; requests.

    Attributes:
        eligible: that the champion answered while this shadow was there.
        copied: that were put into the queue.
        answered: that the shadow answered, and the log has it.
        failed: that it raised on, and the log has it.
        dropped: that found the queue full, the log broken or the server ending.
    """

    eligible: int = 0
    copied: int = 0
    answered: int = 0
    failed: int = 0
    dropped: int = 0

    @property
    def coverage(self) -> float | None:
        """The share of eligible requests that the log has an outcome of; None before the first."""
        return (self.answered + self.failed) / self.eligible if self.eligible else None


@dataclass(slots=True, eq=False)
class Copies:
    """Requests that are copied together.

    Attributes:
        rows: of all of them, one behind the other.
        ids: of each one's answer.
        time: when they were answered, microseconds since 1970.
        parts: how many rows each has; None: one.
        own: each one's rows as they came and its routing key, where any has times or keys; None:
            none has, and nothing else is kept of them, so that memory is free again at once.
    """

    rows: Rows
    ids: list[str]
    time: int
    parts: list[int] | None
    own: list[tuple[Rows, str | None]] | None

    @property
    def sizes(self) -> list[int]:
        """How many rows each has."""
        return [1] * len(self.ids) if self.parts is None else self.parts

    def single(self) -> list["Copies"]:
        """Each by itself."""
        found, start = [], 0
        for place, (token, size) in enumerate(zip(self.ids, self.sizes, strict=True)):
            own = None if self.own is None else self.own[place]
            rows = part(self.rows, start, start + size) if own is None else own[0]
            parts = None if size == 1 else [size]
            found.append(Copies(rows, [token], self.time, parts, None if own is None else [own]))
            start += size
        return found

    def times(self) -> np.ndarray:
        """The rows' own times, else when they were answered: as the champion's rows have them."""
        now = np.datetime64(self.time, "us")
        if self.own is None:
            return np.full(self.rows.count, now)
        return np.concatenate(
            [np.full(rows.count, now) if rows.time is None else rows.time for rows, _ in self.own]
        )

    def row_keys(self) -> list[str | None]:
        """Each row's key."""
        if self.own is None:
            return [None] * self.rows.count
        found: list[str | None] = []
        for rows, routed in self.own:
            keys = rows.keys(routed)
            found += keys if isinstance(keys, list) else [keys] * rows.count
        return found


def joined(rows: Sequence[Rows]) -> Rows:
    """The rows of several copies, one behind the other."""
    first, count = rows[0].columns, sum(each.count for each in rows)
    if isinstance(first, Table):  # their blocks are there: the champion has looked at them
        tables: list[Any] = [each.columns for each in rows]
        numbers, texts = (
            np.concatenate([getattr(table, name) for table in tables])
            for name in ("numbers", "texts")
        )
        return Rows(Table.of(first.layout, numbers, texts), count)
    columns = {name: np.concatenate([each.columns[name] for each in rows]) for name in first}
    return Rows(columns, count)


def times_of(batch: list[Copies], *, keyed: bool) -> int | np.ndarray:
    """One time a row, or one for all."""
    if keyed:
        return np.concatenate([each.times() for each in batch])
    if len(batch) == 1:
        return batch[0].time
    counts = [each.rows.count for each in batch]
    each_row: np.ndarray = np.repeat(np.array([each.time for each in batch]), counts)
    return each_row.view("datetime64[us]")


def part(rows: Rows, start: int, stop: int) -> Rows:
    """Some rows of a call."""
    columns: Columns = rows.columns
    if isinstance(columns, Table):
        numbers, texts = columns.numbers[start:stop], columns.texts[start:stop]
        return Rows(Table.of(columns.layout, numbers, texts), stop - start)
    return Rows({name: array[start:stop] for name, array in columns.items()}, stop - start)
