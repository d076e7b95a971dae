"""Times are read once: blocks and hours of all lengths follow from one count."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.drift.blocks import FINE_BLOCKS, LADDER, MIN_FINE_ROWS, Blocks, Ticks
from lifecycle.drift.clock import Clock
from lifecycle.drift.columns import Column
from lifecycle.drift.counting import count_column
from lifecycle.drift.seasons import Seasons


def each_length(bands, times, width):
    """Blocks counted anew for each length."""

    def table(length):
        numbers = times // length - times.min() // length
        counts = np.zeros((numbers.max() + 1, width), dtype=np.int64)
        np.add.at(counts, (numbers, bands), 1)
        return counts

    spans = {length: times.max() // length - times.min() // length + 1 for length in LADDER}
    wanted = next(length for length, span in spans.items() if span <= 128)
    most = min(FINE_BLOCKS, times.size / MIN_FINE_ROWS)
    shorter = [length for length in LADDER if length < wanted and spans[length] <= most]
    products = {length: table(length).T @ table(length) for length in shorter}
    return Blocks(wanted, int(times.min() // wanted), table(wanted), products)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(1, 3_000),
    st.sampled_from([10, 5_000, 10**6, 4 * 10**7, 10**9]),
    st.sampled_from([0, -(10**7), 1_700_000_000]),
)
def test_folded_counts_are_those_of_each_length(seed, rows, span, start):
    rng = np.random.default_rng(seed)
    times = start + rng.integers(0, span, rows)
    bands = rng.integers(0, 4, rows)
    assert Blocks.count(bands, times, width=4).to_dict() == each_length(bands, times, 4).to_dict()


@pytest.mark.parametrize("days", [1, 40, 500, 4_000])
@pytest.mark.parametrize("most", [90, 10_000])
def test_hours_and_blocks_of_a_column(days, most):
    rng = np.random.default_rng(days)
    times = 1_700_000_000 + np.sort(rng.integers(0, days * 86_400, 2_000))
    moments = pl.Series("ts", times * 1_000_000).cast(pl.Datetime("us"))
    clock = Clock.of(Column.of(moments, most))
    values = rng.normal(size=2_000)
    values[rng.random(2_000) < 0.1] = np.nan
    values[5] = np.inf
    plain = count_column(Column.of(pl.Series("x", values)), None, None, None).profile
    timed = count_column(Column.of(pl.Series("x", values), most), None, clock, plain).profile
    width = max(plain.bands) + 3
    place = np.array([width - 2, *plain.bands[1:-1], width - 2, width - 1])
    index = np.searchsorted(plain.edges, values)
    index[np.isnan(values)] = len(plain.counts) - 1
    bands = place[index]
    assert timed.blocks.to_dict() == each_length(bands, times, width).to_dict()
    wanted = Seasons.count(bands, times, width=width)
    assert timed.seasons.counts.tolist() == wanted.counts.tolist()


def test_a_row_without_a_time_has_that_of_the_row_before():
    day = dt.datetime(2026, 4, 1)  # noqa: DTZ001 - a naive column
    known = [None, None, day, None, day + dt.timedelta(days=3), None]
    series = pl.Series("ts", known, dtype=pl.Datetime("us"))
    for most in (1, 2, 6):
        clock = Clock.of(Column.of(series, most))
        assert clock.window == ("2026-04-01T00:00:00+00:00", "2026-04-04T00:00:00+00:00")
        blocks = np.concatenate([part for part, _ in clock.read()])
        assert (np.diff(blocks) > 0).tolist() == [False, False, False, True, False]


@pytest.mark.parametrize(
    "series",
    [
        pl.Series("ts", [1, 2, 3]),
        pl.Series("ts", ["no", "time"]),
        pl.Series("ts", [None, None], dtype=pl.Date),
        pl.Series("ts", [], dtype=pl.Date),
        pl.Series("ts", [None]),
    ],
)
def test_columns_that_are_no_times(series):
    assert Clock.of(Column.of(series)) is None


def test_times_of_any_type_are_the_same():
    naive = pl.Series("ts", ["2026-04-01 10:00:00", "2026-04-02 11:30:00"])
    moments = naive.str.to_datetime()
    others = [moments, moments.dt.replace_time_zone("UTC"), moments.cast(pl.Datetime("ns"))]
    windows = {Clock.of(Column.of(series)).window for series in (naive, *others)}
    assert windows == {("2026-04-01T10:00:00+00:00", "2026-04-02T11:30:00+00:00")}
    berlin = moments.dt.replace_time_zone("UTC").dt.convert_time_zone("Europe/Berlin")
    assert Clock.of(Column.of(berlin)).window[0] == "2026-04-01T10:00:00+00:00"


def test_the_finest_useful_length_is_counted():
    assert Ticks.spanning(0, 99, 1_000).seconds == 1
    assert Ticks.spanning(0, 86_399, 100).seconds == 900
    assert Ticks.spanning(0, 10**9, 10**6).seconds >= 86_400
