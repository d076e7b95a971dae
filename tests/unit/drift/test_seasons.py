"""Counts by hour of the week add up, survive JSON, and fold into hours of the day."""

import datetime as dt
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.drift.counting import build_profile
from lifecycle.drift.profile import Profile
from lifecycle.drift.seasons import DAY_HOURS, HOUR, WEEK_HOURS, Pattern, Seasons, slots

WEEK = WEEK_HOURS * HOUR
moments = st.lists(st.integers(0, 40 * WEEK), max_size=60)
some = settings(max_examples=40, deadline=None)


def made(times, width=3):
    times = np.array(times, dtype=np.int64)
    return Seasons.count(times % width, times, width=width)


@some
@given(moments, moments)
def test_parts_add_up_to_the_whole(one, two):
    assert made(one).merge(made(two)).counts.tolist() == made(one + two).counts.tolist()


@some
@given(moments.filter(len))
def test_json_keeps_every_count(times):
    seasons = made(times)
    tree = json.loads(json.dumps(seasons.to_dict()))
    assert Seasons.from_dict(tree).counts.tolist() == seasons.counts.tolist()


@pytest.mark.parametrize("most", [1, 255, 256, 65_536, 2**33])
def test_large_counts_keep_their_size(most):
    counts = np.zeros((WEEK_HOURS, 4), dtype=np.int64)
    counts[5, 2] = most
    assert Seasons.from_dict(Seasons(counts).to_dict()).counts.tolist() == counts.tolist()


@pytest.mark.parametrize(
    "change",
    [{"counts": "0000"}, {"width": 5}, {"bytes": 3}, {"counts": ""}, {"counts": "~~~\x00"}],
)
def test_damage_is_a_value_error(change):
    tree = made(range(0, WEEK, 900)).to_dict()
    with pytest.raises((ValueError, TypeError)):
        Seasons.from_dict({**tree, **change})


def test_a_small_text_cannot_fill_the_memory():
    counts = np.zeros((WEEK_HOURS, 2_000), dtype=np.int64)
    tree = Seasons(counts).to_dict()
    with pytest.raises(ValueError, match="not those of 3 bands"):
        Seasons.from_dict({**tree, "width": 3})


def test_a_slot_is_the_hour_of_the_week():
    monday = int(dt.datetime(2026, 1, 5, 13, 59, tzinfo=dt.UTC).timestamp())
    sunday = int(dt.datetime(2026, 1, 4, 13, 0, tzinfo=dt.UTC).timestamp())
    found = slots(np.array([monday, monday + WEEK, sunday, monday + 60])).tolist()
    assert found[0] == found[1]
    assert (found[0] - found[2]) % WEEK_HOURS == DAY_HOURS
    assert found[3] == found[0] + 1


def test_hours_of_the_day_are_sums_of_those_of_the_week():
    seasons = made(range(0, 3 * WEEK, 977))
    daily, weekly = (Pattern.of(seasons, weekly=flag) for flag in (False, True))
    assert daily.counts.sum() == weekly.counts.sum() == seasons.counts.sum()
    assert weekly.fold(seasons.counts.astype(float)).tolist() == weekly.counts.tolist()
    assert daily.fold(seasons.counts.astype(float)).tolist() == daily.counts.tolist()
    assert (daily.seconds, weekly.seconds) == (DAY_HOURS * HOUR, WEEK)


def test_means_and_rows_are_those_of_each_hour():
    times = np.arange(0, 2 * WEEK, 600)
    bands = (times // HOUR % DAY_HOURS >= 12).astype(int)
    pattern = Pattern.of(Seasons.count(bands, times, width=3), weekly=False)
    scores, used = np.array([[-1.0, 1.0, 0.0]]), np.array([[1.0, 1.0, 0.0]])
    means = pattern.means(scores, used)[:, 0]
    assert means.tolist() == ([-1.0] * 12 + [1.0] * 12) * 7
    rows = pattern.rows(used)[:, 0]
    assert rows.sum() == times.size
    assert set(rows) == {12.0}


def frame(rows, seed=0):
    values = np.random.default_rng(seed).normal(size=rows)
    step = dt.timedelta(minutes=15)
    start = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - frames hold naive UTC
    times = pl.datetime_range(start, start + step * (rows - 1), step, eager=True)
    return pl.DataFrame({"ts": times, "x": values})


def test_a_profile_holds_them_for_a_kilobyte_a_column():
    profile = build_profile(frame(96 * 70), time="ts")
    column = profile.columns["x"]
    assert column.seasons.counts.sum() == column.rows
    assert column.seasons.counts.sum(axis=0).tolist() == column.blocks.counts.sum(axis=0).tolist()
    assert len(json.dumps(column.seasons.to_dict())) < 1_600
    assert build_profile(frame(500).drop("ts")).columns["x"].seasons is None


def test_profiles_of_parts_merge_to_that_of_the_whole():
    whole = frame(2_000)
    profile = build_profile(whole, time="ts")
    parts = [build_profile(part, time="ts", like=profile) for part in (whole[:700], whole[700:])]
    merged = Profile.loads(parts[0].merge(parts[1]).dumps())
    wanted = profile.columns["x"].seasons.counts
    assert merged.columns["x"].seasons.counts.tolist() == wanted.tolist()


def test_a_profile_of_an_earlier_version_has_none():
    profile = build_profile(frame(500), time="ts")
    tree = json.loads(profile.dumps())
    for column in tree["columns"]:
        del column["seasons"]
    assert Profile.loads(json.dumps(tree)).columns["x"].seasons is None
