"""Which windows of the log are due for a check: those that are complete, oldest first.

>>> noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
>>> times = pl.Series([noon, noon + timedelta(hours=20), noon + timedelta(hours=40)])
>>> due = by_time(times, start=None, every=timedelta(days=1), until=noon + timedelta(days=2))
>>> [str(window) for window in due.windows]
['2026-03-02 00:00 to 2026-03-03 00:00', '2026-03-03 00:00 to 2026-03-04 00:00']
>>> due.waiting
'1 row waits for the end of its window, 2026-03-05 00:00'

Windows of a length lie on one grid for all models and machines: they begin at midnight UTC, on
Mondays, or at whole multiples of their length from there. Times are UTC.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from lifecycle.config import Config
from lifecycle.records import ModelVersion
from lifecycle.stores.predictions import PredictionLog
from lifecycle.workflows.segments import Segment, within

MONDAY = datetime(1970, 1, 5, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)  # the log's resolution


@dataclass(frozen=True)
class Window:
    """From `start` on, before `end`."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class Due:
    """What is to be checked now, and what is not yet.

    Attributes:
        windows: complete ones with rows.
        skipped: complete ones without rows, before the last of those.
        silent: the complete ones behind the last row, taken together; None where there is none.
        waiting: why the rows behind the windows wait; empty where none do.
    """

    windows: tuple[Window, ...] = ()
    skipped: int = 0
    silent: Window | None = None
    waiting: str = ""


def by_time(times: pl.Series, *, start: datetime | None, every: timedelta, until: datetime) -> Due:
    """Windows of a length, on the grid.

    Args:
        times: of the rows, from `start` on.
        start: where the last check ended; None begins with the window of the first row.
        every: the length.
        until: windows that end later are not complete.
    """
    places = ((times.sort() - MONDAY).dt.total_microseconds() // (every // MOMENT)).to_list()
    if start is None:
        if not places:
            return Due(waiting="no row has been logged")
        start = MONDAY + places[0] * every
    first, last = (start - MONDAY) // every, (until - MONDAY) // every - 1
    found = sorted({place for place in places if place <= last})
    windows = tuple(
        Window(max(start, MONDAY + place * every), MONDAY + (place + 1) * every) for place in found
    )
    reached = found[-1] if found else first - 1
    waiting = sum(place > last for place in places)
    silent = None
    if last > reached:
        silent = Window(max(start, MONDAY + (reached + 1) * every), MONDAY + (last + 1) * every)
    end = MONDAY + (max(last, first - 1) + 2) * every
    return Due(
        windows,
        reached - first + 1 - len(found),
        silent,
        f"{_rows(waiting)} for the end of {'its' if waiting == 1 else 'their'} window, "
        f"{end:%Y-%m-%d %H:%M}"
        if waiting
        else f"no row has been logged since {start:%Y-%m-%d %H:%M}, and the window ends "
        f"{end:%Y-%m-%d %H:%M}",
    )


def by_rows(times: pl.Series, *, start: datetime | None, rows: int) -> Due:
    """Windows of a number of rows; those of one moment stay together.

    >>> hours = pl.Series([datetime(2026, 3, 2, hour, tzinfo=UTC) for hour in (1, 2, 2, 3, 4)])
    >>> [window.end.hour for window in by_rows(hours, start=None, rows=2).windows]
    [3, 4]

    Args:
        times: of the rows, from `start` on.
        start: where the last check ended; None begins with the first row.
        rows: of a window, at least.
    """
    known = times.sort().to_list()
    windows: list[Window] = []
    done = 0
    while done + rows <= len(known):
        end = done + rows
        while end < len(known) and known[end] == known[end - 1]:
            end += 1
        close = known[end] if end < len(known) else known[-1] + MOMENT
        windows.append(Window(windows[-1].end if windows else start or known[0], close))
        done = end
    left = len(known) - done
    more = f"{_rows(left)} for {rows - left:,} more" if left else f"no row of {rows:,} has come"
    return Due(tuple(windows), waiting=more)


def _rows(count: int) -> str:
    return f"{count:,} row waits" if count == 1 else f"{count:,} rows wait"


def logged(
    config: Config,
    version: ModelVersion,
    *,
    since: datetime | None,
    until: datetime,
    arm: str | None = None,
    segment: Segment | None = None,
) -> pl.Series:
    """The times of what a version answered, UTC.

    Raises:
        LogError: the log is damaged.
        DataError: there is no column to take the segment of.
    """
    columns = ["time", "arm", "prediction", *(["features"] if segment else [])]
    log = PredictionLog(config.log.dir).read(
        version.name, since=since, until=until, version=version.version, columns=columns
    )
    log = log.filter(pl.col("prediction").is_not_null())
    if arm is not None:
        log = log.filter(pl.col("arm") == arm)
    if segment is not None and log.height:
        log = log.filter(within(log["features"].struct.unnest(), segment))
    return log["time"]
