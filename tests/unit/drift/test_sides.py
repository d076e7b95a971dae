"""Both sides of a column: scores, runs, seasons, and what is left of the rows."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from lifecycle.drift import build_profile, compare_frames
from lifecycle.drift.correlations import correlations
from lifecycle.drift.seasons import Seasons
from lifecycle.drift.sides import Pair, indicators, null_score, rank_scores

START = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - frames hold naive UTC
DAY = 96  # rows, one each 15 minutes


def stamped(columns, first=0):
    rows = len(next(iter(columns.values())))
    step = dt.timedelta(minutes=15)
    start = START + step * first
    times = pl.datetime_range(start, start + step * (rows - 1), step, eager=True)
    return pl.DataFrame({"ts": times, **columns})


def by_night(places):
    return places % DAY < DAY // 2


def table(rows, seed, first=0):
    rng = np.random.default_rng(seed)
    places = np.arange(first, first + rows)
    night = by_night(places)
    base = rng.normal(size=rows)
    return stamped(
        {
            "x": base + 2.0 * night,
            "y": 0.7 * base + 0.7 * rng.normal(size=rows) + 2.0 * night,
            "flat": rng.normal(size=rows),
            "gaps": np.where(rng.random(rows) < np.where(night, 0.6, 0.1), np.nan, base),
            "plan": np.where(rng.random(rows) < np.where(night, 0.8, 0.2), "dark", "light"),
        },
        first,
    )


@pytest.fixture(scope="module")
def profile():
    return build_profile(table(40 * DAY, 0), time="ts")


def pairs_of(profile, live, seconds):
    found = build_profile(live, time="ts", like=profile)
    return {
        name: Pair(profile.columns[name], found.columns[name], seconds) for name in found.columns
    }


def test_scores_are_centred_ranks_and_their_squares():
    ranks = np.array([0.1, 0.5, 1.0])
    place, distance = rank_scores(ranks)
    assert place.tolist() == pytest.approx([-0.4, 0.0, 0.5])
    assert distance.tolist() == pytest.approx([0.16, 0.0, 0.25])
    assert null_score(4).tolist() == [[0.0, 0.0, 0.0, 1.0]]
    assert np.isnan(indicators(4)[:, -1]).all()
    assert indicators(4)[:, :2].tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_only_columns_with_a_season_are_matched(profile):
    night = table(32, 1, first=50 * DAY)
    pairs = pairs_of(profile, night, 8 * 3600.0)
    assert {name for name, pair in pairs.items() if pair.matched} == {"x", "y", "plan"}
    assert pairs["gaps"].matched is None
    assert pairs["gaps"].gone[1] is not None  # its values have none, its gaps have
    assert pairs["flat"].compared_rows == 40 * DAY
    assert pairs["x"].compared_rows == pytest.approx(40 * 32, rel=0.05)


def test_rows_without_a_time_have_no_season(profile):
    night = table(32, 1, first=50 * DAY).drop("ts")
    found = build_profile(night, like=profile)
    pair = Pair(profile.columns["x"], found.columns["x"], 8 * 3600.0)
    assert pair.matched is None
    assert Pair(profile.columns["x"], found.columns["x"], None).runs is None


@pytest.mark.parametrize("first", [50 * DAY, 50 * DAY + DAY // 2, 50 * DAY + 20])
def test_gaps_and_levels_of_the_hour_are_calm(profile, first):
    reports = [compare_frames(profile, table(40, seed, first)) for seed in range(1, 13)]
    assert sum(report.drifted for report in reports) <= 1


def test_gaps_of_the_day_at_night_are_found(profile):
    night = table(40, 2, first=50 * DAY)
    day = table(40, 3, first=50 * DAY + DAY // 2)
    mixed = night.with_columns(gaps=day["gaps"], plan=day["plan"])
    found = compare_frames(profile, mixed)
    assert found.columns["gaps"].test == "missing"
    assert found.columns["gaps"].drifted
    assert found.columns["gaps"].effect == pytest.approx(-0.5, abs=0.2)
    assert found.columns["plan"].drifted
    assert not found.columns["flat"].drifted


def test_a_level_never_seen_is_found_at_any_hour(profile):
    night = table(40, 2, first=50 * DAY)
    odd = night.with_columns(
        plan=pl.when(pl.int_range(pl.len()) < 6).then(pl.lit("z")).otherwise("plan"),
        x=pl.when(pl.int_range(pl.len()) < 6).then(99.0).otherwise("x"),
    )
    found = compare_frames(profile, odd)
    assert found.columns["plan"].test == "new level"
    assert found.columns["x"].test == "out of range"


def test_correlations_are_tested_only_between_columns_without_a_season(profile):
    pairs = pairs_of(profile, table(4 * DAY, 5, first=50 * DAY), 4 * 86_400.0)
    whole = correlations(profile.pairs, profile.pairs, pairs, alpha=0.01)
    assert whole == {}  # equal to themselves
    live = table(4 * DAY, 5, first=50 * DAY).with_columns(x=-pl.col("x"))
    flipped = build_profile(live, time="ts", like=profile)
    assert "x" in correlations(profile.pairs, flipped.pairs, pairs, alpha=0.01)
    short = table(56, 5, first=50 * DAY).with_columns(x=-pl.col("x"))
    part = build_profile(short, time="ts", like=profile)
    held = pairs_of(profile, short, 14 * 3600.0)
    assert "x" not in correlations(profile.pairs, part.pairs, held, alpha=0.01)


def test_counts_by_hour_of_another_table_are_no_help(profile):
    column = profile.columns["x"]
    empty = Seasons(np.zeros_like(column.seasons.counts))
    bare = column.__class__(**{**column.__dict__, "seasons": empty})
    assert Pair(column, bare, 3600.0).matched is None
