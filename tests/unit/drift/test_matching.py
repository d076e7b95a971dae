"""A short window is held against the same hours, where the reference says that hours differ."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from scipy.signal import lfilter

from lifecycle.drift import build_profile, compare_frames
from lifecycle.drift.blocks import Blocks
from lifecycle.drift.matching import Matched, in_words, pattern_of
from lifecycle.drift.runs import Runs
from lifecycle.drift.seasons import DAY_HOURS, HOUR, WEEK_HOURS, Pattern, Seasons
from lifecycle.records import Outcome

START = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - frames hold naive UTC
STEP = 900
DAY_ROWS = 96
SCORES = np.array([[-1.5, -0.5, 0.5, 1.5, 0.0, np.nan]])  # four bands, outside, null


def wave(rows, amplitude=1.0):
    return amplitude * np.sin(2 * np.pi * np.arange(rows) / DAY_ROWS)


def weekend(rows):
    return np.where(np.arange(rows) // DAY_ROWS % 7 >= 5, 1.5, 0.0)


def autoregression(rng, rows, phi=0.9):
    noise = rng.normal(size=rows + 300) * (1 - phi**2) ** 0.5
    return lfilter([1.0], [1.0, -phi], noise)[300:]


def counted(values):
    bands = np.searchsorted([-1.0, 0.0, 1.0], values)
    times = np.arange(len(values)) * STEP
    return (
        Blocks.count(bands, times, width=6),
        Seasons.count(bands, times, width=6),
    )


def stamped(columns, start=START):
    rows = len(next(iter(columns.values())))
    step = dt.timedelta(seconds=STEP)
    times = pl.datetime_range(start, start + step * (rows - 1), step, eager=True)
    return pl.DataFrame({"ts": times, **columns})


@pytest.mark.parametrize(
    ("season", "seconds"),
    [(None, None), (wave, DAY_HOURS * HOUR), (weekend, WEEK_HOURS * HOUR)],
)
@pytest.mark.parametrize("runs", [False, True])
def test_a_season_is_told_from_chance_and_from_runs(season, seconds, runs):
    rng = np.random.default_rng(5)
    rows = 70 * DAY_ROWS
    values = autoregression(rng, rows) if runs else rng.normal(size=rows)
    found = pattern_of(*counted(values + (season(rows) if season else 0.0)), SCORES)
    assert (found.seconds if found else None) == seconds


def test_seasons_are_rarely_seen_where_there_are_none():
    rows = 30 * DAY_ROWS
    streams = [autoregression(np.random.default_rng(seed), rows) for seed in range(60)]
    assert sum(pattern_of(*counted(values), SCORES) is not None for values in streams) <= 3


@pytest.mark.parametrize(("days", "seconds"), [(2, None), (5, DAY_HOURS * HOUR)])
def test_two_days_are_too_few_to_know_a_season(days, seconds):
    rows = days * DAY_ROWS
    values = 3 * wave(rows) + np.random.default_rng(0).normal(size=rows)
    found = pattern_of(*counted(values), SCORES)
    assert (found.seconds if found else None) == seconds


def test_the_answer_is_kept_with_the_counts():
    blocks, seasons = counted(wave(40 * DAY_ROWS))
    first = pattern_of(blocks, seasons, SCORES)
    assert pattern_of(blocks, seasons, SCORES) is first
    assert len(seasons.known) == 1


def test_means_are_those_of_the_live_hours():
    rows = 40 * DAY_ROWS
    values = wave(rows)
    _, seasons = counted(values)
    live = slice(8, 20)  # from 2 to 5 o'clock
    _, held = counted(values[:20])
    _, before = counted(values[:8])
    pattern = Pattern.of(seasons, weekly=False)
    matched = Matched.of(pattern, Seasons(held.counts - before.counts), SCORES)
    bands = np.searchsorted([-1.0, 0.0, 1.0], values)
    assert matched.means[0] == pytest.approx(SCORES[0][bands[live]].mean())
    assert matched.uneven
    groups = np.eye(6)[:4]
    assert matched.shares(groups).sum() == pytest.approx(1.0)
    assert np.abs(matched.covariance(groups).sum()) < 1e-12  # shares add up to one


def test_whole_days_weigh_all_hours_alike():
    rng = np.random.default_rng(1)
    values = wave(40 * DAY_ROWS) + rng.normal(size=40 * DAY_ROWS)
    blocks, seasons = counted(values)
    pattern = pattern_of(blocks, seasons, SCORES)
    _, live = counted(values[: 3 * DAY_ROWS])
    matched = Matched.of(pattern, live, SCORES)
    totals = blocks.counts.sum(axis=0)
    assert matched.means[0] == pytest.approx(SCORES[0][:5] @ totals[:5] / totals[:5].sum())
    assert matched.rows[0] == pytest.approx(len(values), rel=0.02)
    assert not matched.uneven
    assert in_words([matched], 40 * DAY_HOURS * HOUR) == ""


def test_hours_that_the_reference_lacks_cannot_be_matched():
    times = np.arange(30)[:, None] * 86_400 + np.arange(9, 17) * HOUR
    office = Seasons.count(np.zeros(240, int), times.ravel(), width=6)
    night = Seasons.count(np.zeros(2, int), np.array([2, 3]) * HOUR, width=6)
    pattern = Pattern.of(office, weekly=False)
    assert Matched.of(pattern, night, SCORES) is None
    assert Matched.of(pattern, Seasons(night.counts * 0), SCORES) is None


@pytest.mark.parametrize("hours", [3, 12, 40])
def test_the_spread_around_the_hours_is_that_of_fresh_windows(hours):
    rng = np.random.default_rng(2)
    rows, size = 70 * DAY_ROWS, hours * 4
    found, gaps = [], []
    for _ in range(12):
        values = autoregression(rng, rows + 40 * 200) + wave(rows + 40 * 200)
        blocks, seasons = counted(values[:rows])
        pattern = Pattern.of(seasons, weekly=False)
        spread = Runs(blocks, size * STEP, pattern).spread(SCORES[0])
        bands = np.searchsorted([-1.0, 0.0, 1.0], values)
        for start in range(rows, rows + 38 * 200, 200):
            place = np.arange(start, start + size)
            live = Seasons.count(bands[place], place * STEP, width=6)
            matched = Matched.of(pattern, live, SCORES)
            scaled = matched.spread(spread, 0)
            found.append(scaled.variance(size, float(matched.rows[0])))
            gaps.append(SCORES[0][bands[place]].mean() - matched.means[0])
    assert 0.75 < np.mean(found) / np.mean(np.square(gaps)) < 1.5


def stream(rng, rows, start=0):
    phase = 2 * np.pi * (np.arange(start, start + rows) / DAY_ROWS)
    return {f"x{place}": rng.normal(size=rows) + 1.5 * np.sin(phase + place) for place in range(6)}


@pytest.fixture(scope="module")
def profile():
    return build_profile(stamped(stream(np.random.default_rng(0), 70 * DAY_ROWS)), time="ts")


def live(seed, hours, at):
    start = 75 * DAY_ROWS + at * 4
    columns = stream(np.random.default_rng(seed), hours * 4, start)
    return stamped(columns, START + dt.timedelta(seconds=start * STEP))


@pytest.mark.parametrize("hours", [8, 30, 36])
def test_windows_of_any_phase_are_calm(profile, hours):
    reports = [compare_frames(profile, live(seed, hours, 5 * seed)) for seed in range(40)]
    assert sum(report.drifted for report in reports) <= 1
    assert reports[0].matched.startswith("the same hours of 70 days")
    naive = [
        compare_frames(profile, live(seed, hours, 5 * seed).drop("ts"), time="none").drifted
        for seed in range(8)
    ]
    assert len(naive) == 8


def test_a_shift_at_night_is_found(profile):
    found = compare_frames(profile, live(3, 8, 20).with_columns(pl.col("x1", "x2") + 1.5))
    assert found.drifted
    assert {name for name, column in found.columns.items() if column.drifted} >= {"x1", "x2"}
    assert "correlations between columns with a season were not tested" in found.matched


def test_noon_at_midnight_is_found(profile):
    noon = live(4, 8, 12)
    moved = noon.with_columns(pl.col("ts") + dt.timedelta(hours=12))
    assert compare_frames(profile, noon).outcome is Outcome.PASS
    assert compare_frames(profile, moved).drifted


def test_whole_weeks_are_compared_with_everything(profile):
    report = compare_frames(profile, live(5, 7 * 24, 0))
    assert report.matched == ""
    assert not report.drifted


def test_a_column_that_its_hours_determine_has_no_runs():
    rows = np.random.default_rng(4).integers(0, 36 * 7 * DAY_ROWS, 60_000)
    rows = pl.DataFrame({"row": np.sort(rows)}).with_columns(
        ts=pl.lit(START) + pl.duration(seconds=STEP) * pl.col("row"),
        weekday=(pl.col("row") // DAY_ROWS + 3) % 7,
    )
    last = 32 * 7 * DAY_ROWS
    profile = build_profile(rows.filter(pl.col("row") < last).drop("row"), time="ts")
    live = rows.filter(pl.col("row") >= last, pl.col("row") < last + 24 * DAY_ROWS).drop("row")
    report = compare_frames(profile, live)
    assert report.matched.startswith("the same hours and weekdays of 32 weeks")
    column = report.columns["weekday"]
    assert (column.outcome, column.design_effect, column.reason) == (Outcome.PASS, 1.0, "")


def test_words_count_the_columns():
    blocks, seasons = counted(wave(70 * DAY_ROWS))
    daily = pattern_of(blocks, seasons, SCORES)
    weekly = Pattern.of(seasons, weekly=True)
    _, short = counted(wave(12))
    one, two = (Matched.of(item, short, SCORES) for item in (daily, weekly))
    span = 70 * DAY_HOURS * HOUR
    assert in_words([one, one], span).startswith("the same hours of 70 days;")
    assert in_words([one, None], span).startswith("the same hours of 70 days in 1 of 2 columns;")
    assert in_words([two], span).startswith("the same hours and weekdays of 10 weeks;")
    both = in_words([one, one, two], span)
    assert both.startswith(
        "the same hours of 70 days, the same hours and weekdays of 10 weeks in 1 of them;"
    )
    assert in_words([None], span) == ""
