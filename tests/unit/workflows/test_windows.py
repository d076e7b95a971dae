"""Which windows are due: complete, on one grid, none left out, none twice."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.config import Config
from lifecycle.errors import DataError
from lifecycle.records import ModelVersion
from lifecycle.stores.predictions import PredictionWriter
from lifecycle.workflows.segments import Segment
from lifecycle.workflows.windows import MOMENT, MONDAY, Due, Window, by_rows, by_time, logged

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


BEGIN = at(2026, 3, 4, 10)  # a Wednesday
TIMES = st.lists(st.integers(0, 20 * 24 * 60), max_size=40).map(
    lambda minutes: [BEGIN + timedelta(minutes=item) for item in minutes]
)
LENGTHS = st.sampled_from([HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY, timedelta(minutes=95)])


def series(times) -> pl.Series:
    return pl.Series("time", times, dtype=pl.Datetime("us", "UTC"))


def inside(times, window: Window) -> list[datetime]:
    return [item for item in times if window.start <= item < window.end]


@settings(max_examples=150, deadline=None)
@given(TIMES, LENGTHS, st.integers(0, 30 * 24))
def test_each_row_of_a_complete_window_is_checked_once_and_no_other_is(times, every, hours):
    until = BEGIN + hours * HOUR
    seen = [item for item in times if item < until]
    due = by_time(series(seen), start=None, every=every, until=until)
    checked = [row for window in due.windows for row in inside(seen, window)]
    assert len(checked) == len(set(map(id, checked)))
    assert all(inside(seen, window) for window in due.windows), "none of them is empty"
    assert all(window.end <= until for window in due.windows), "none of them is still open"
    left = [item for item in seen if item not in checked]
    assert all(item >= until - every for item in left), "only those of the last window wait"
    assert list(due.windows) == sorted(due.windows, key=lambda window: window.start)
    assert all((window.end - MONDAY) % every == timedelta(0) for window in due.windows)


@settings(max_examples=100, deadline=None)
@given(TIMES, LENGTHS, st.lists(st.integers(0, 30 * 24), max_size=6))
def test_however_often_one_looks_the_windows_are_the_same(times, every, looks):
    """Catching up in one call or in many gives the same windows."""
    found, start = [], None
    for hours in sorted(looks):
        until = BEGIN + hours * HOUR
        rows = [item for item in times if item < until and (start is None or item >= start)]
        due = by_time(series(rows), start=start, every=every, until=until)
        found += due.windows
        start = due.windows[-1].end if due.windows else start
    if looks:
        until = BEGIN + max(looks) * HOUR
        at_once = by_time(
            series([item for item in times if item < until]), start=None, every=every, until=until
        )
        # a window behind a silent stretch begins on the grid either way
        assert [window.end for window in found] == [window.end for window in at_once.windows]
        assert found == list(at_once.windows)


def test_windows_begin_at_midnight_on_mondays_or_on_the_hour():
    rows = series([BEGIN])
    far = BEGIN + 30 * DAY
    for every, start in (
        (DAY, at(2026, 3, 4)),
        (7 * DAY, at(2026, 3, 2)),
        (6 * HOUR, at(2026, 3, 4, 6)),
        (HOUR, at(2026, 3, 4, 10)),
    ):
        (window,) = by_time(rows, start=None, every=every, until=far).windows
        assert window == Window(start, start + every)


def test_after_a_check_that_ended_anywhere_the_next_one_ends_on_the_grid():
    rows = series([BEGIN + 3 * HOUR, BEGIN + DAY])
    due = by_time(rows, start=BEGIN + HOUR, every=DAY, until=BEGIN + 3 * DAY)
    midnight = at(2026, 3, 5)
    assert due.windows == (Window(BEGIN + HOUR, midnight), Window(midnight, midnight + DAY))


def test_windows_without_rows_are_skipped_and_the_last_ones_are_silence():
    rows = series([BEGIN, BEGIN + 3 * DAY])
    due = by_time(rows, start=None, every=DAY, until=BEGIN + 6 * DAY)
    assert len(due.windows) == 2
    assert due.skipped == 2
    assert due.silent == Window(at(2026, 3, 8), at(2026, 3, 10))
    nothing = by_time(series([]), start=BEGIN, every=DAY, until=BEGIN + 2 * DAY)
    assert nothing.windows == ()
    assert nothing.silent == Window(BEGIN, at(2026, 3, 6))


def test_what_waits_is_said():
    few = by_time(series([BEGIN, BEGIN + HOUR]), start=None, every=DAY, until=BEGIN + 2 * HOUR)
    assert few == Due(waiting="2 rows wait for the end of their window, 2026-03-05 00:00")
    assert by_time(series([]), start=None, every=DAY, until=BEGIN) == Due(
        waiting="no row has been logged"
    )
    calm = by_time(series([]), start=BEGIN, every=DAY, until=BEGIN + HOUR)
    assert calm.silent is None
    assert calm.waiting.endswith("since 2026-03-04 10:00, and the window ends 2026-03-05 00:00")
    some = by_rows(series([BEGIN]), start=None, rows=50)
    assert some == Due(waiting="1 row waits for 49 more")
    assert by_rows(series([]), start=BEGIN, rows=50).waiting == "no row of 50 has come"


def test_a_row_of_the_future_waits_for_its_time():
    rows = series([BEGIN, BEGIN + 9000 * DAY])
    due = by_time(rows, start=None, every=DAY, until=BEGIN + DAY)
    assert [window.end for window in due.windows] == [at(2026, 3, 5)]
    assert due.waiting.startswith("1 row waits")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=60), st.integers(1, 9))
def test_windows_of_rows_follow_each_other_and_part_no_moment(minutes, rows):
    times = [BEGIN + timedelta(minutes=item) for item in minutes]
    due = by_rows(series(times), start=None, rows=rows)
    counts = [len(inside(times, window)) for window in due.windows]
    assert all(count >= rows for count in counts)
    for before, after in zip(due.windows, due.windows[1:], strict=False):
        assert before.end == after.start
    if due.windows:
        assert due.windows[0].start == min(times)
    rest = [item for item in times if not due.windows or item >= due.windows[-1].end]
    assert len(rest) == len(times) - sum(counts)
    assert len(rest) < rows, "an incomplete last one waits"


def test_the_last_window_of_rows_ends_right_behind_its_last_row():
    (window,) = by_rows(series([BEGIN, BEGIN + HOUR]), start=BEGIN - DAY, rows=2).windows
    assert window == Window(BEGIN - DAY, BEGIN + HOUR + MOMENT)


@pytest.fixture
def log(config: Config) -> Config:
    with PredictionWriter(config.log.dir) as writer:
        for hour, (arm, plan) in enumerate(
            [("champion", "pro"), ("champion", "basic"), ("shadow", "pro")]
        ):
            when = int((BEGIN + hour * HOUR).timestamp() * 1e6)
            writer.append(
                "churn", 1, f"id{hour}", time=when, arm=arm, latency_ms=0.1,
                features={"plan": np.array([plan])}, prediction=np.array([hour]),
            )  # fmt: skip
        writer.append(
            "churn", 1, "failed", time=when, features={}, prediction=None, error="no answer"
        )
    return config


def test_the_times_of_the_log_are_those_of_the_part_that_is_asked_for(log: Config):
    version, until = ModelVersion("churn", 1), BEGIN + DAY

    def hours(**part):
        found = logged(log, version, since=part.pop("since", None), until=until, **part)
        return [item.hour for item in found]

    assert hours() == [10, 11, 12], "what failed is no row of a window"
    assert hours(since=BEGIN + HOUR) == [11, 12]
    assert hours(arm="shadow") == [12]
    assert hours(segment=Segment("plan", "pro")) == [10, 12]
    assert hours(segment=Segment("plan", "pro"), arm="champion") == [10]
    assert hours(arm="nobody") == []
    with pytest.raises(DataError, match="no column 'plam'"):
        hours(segment=Segment("plam", "pro"))
    nobody = logged(log, ModelVersion("churn", 9), since=None, until=until)
    assert nobody.len() == 0
    assert nobody.dtype == pl.Datetime("us", "UTC")
