"""Tables in chunks give what tables in memory give: counts, verdicts, scores."""

import itertools
import json
import random

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.drift import Profile, build_profile, compare_frames
from lifecycle.drift.columns import EXACT_ROWS
from lifecycle.engines import ENGINES, load
from lifecycle.engines.local import compare, profile
from lifecycle.engines.tables import frame_table
from lifecycle.errors import ConfigError, DataError
from lifecycle.records import Outcome


def made(rows, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    gaps = rng.normal(3, 2, rows)
    gaps[rng.random(rows) < 0.1] = np.nan
    start = 1_700_000_000 + 900 * seed
    times = start + np.sort(rng.integers(0, 40 * 86_400, rows))
    return pl.DataFrame(
        {
            "ts": pl.Series(times * 1_000_000).cast(pl.Datetime("us")),
            "x": rng.normal(shift, 1, rows),
            "gaps": gaps,
            "whole": rng.integers(0, 30, rows),
            "code": rng.integers(0, 4, rows),
            "plan": rng.choice(["a", "b", "c"], rows),
            "on": rng.random(rows) < 0.3,
            "note": [f"note {place}" for place in range(rows)],
            "never": pl.Series([None] * rows, dtype=pl.Float64),
            "day": pl.Series(times * 1_000_000).cast(pl.Datetime("us")).dt.date(),
            "list": [[1]] * rows,
        }
    )


def plain(found):
    """A profile without the sums of floats, which depend on the order in the last digit."""
    tree = json.loads(found.dumps())
    for column in tree["columns"]:
        column["total"] = pytest.approx(column["total"], rel=1e-9, abs=1e-9)
        column["squares"] = pytest.approx(column["squares"], rel=1e-9, abs=1e-9)
    return tree


def dumped(found):
    return json.loads(found.dumps())


@pytest.mark.parametrize("time", ["ts", None])
@pytest.mark.parametrize("most", [1, 7, 100, 299])
def test_a_table_in_chunks_has_the_profile_of_the_whole(time, most):
    frame = made(300, 0)
    wanted = build_profile(frame, time=time)
    found = profile(frame_table(frame, "frame", most), time=time)
    assert dumped(found) == plain(wanted)
    live = made(250, 1, 0.5)
    wanted = build_profile(live, time=time, like=wanted)
    found = profile(frame_table(live, "frame", most), time=time, like=found)
    assert dumped(found) == plain(wanted)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 60), st.integers(1, 80))
def test_any_chunks_have_the_counts_of_the_whole(seed, most, rows):
    frame, live = made(80, seed), made(rows, seed + 1, 1.0)
    like = build_profile(frame, time="ts")
    found = profile(frame_table(live, "live", most), time="ts", like=like)
    assert dumped(found) == plain(build_profile(live, time="ts", like=like))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(0, 120), max_size=4), st.randoms())
def test_parts_merge_in_any_order(seed, cuts, order):
    frame, live = made(80, seed), made(120, seed + 1)
    like = profile(frame)
    ends = sorted({0, 120, *cuts})
    parts = [profile(live[one:two], like=like) for one, two in itertools.pairwise(ends)]
    order.shuffle(parts)
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    assert dumped(merged) == plain(profile(live, like=like))


def told(report):
    return {
        name: (item.outcome, item.test, item.p_value, item.effect, item.reason)
        for name, item in report.columns.items()
    }


@pytest.mark.parametrize("time", ["ts", None])
def test_the_engine_gives_the_verdict_of_frames(time):
    before, after = made(800, 0), made(500, 1, 0.8)
    wanted = compare_frames(before, after, time=time)
    found = compare(before, after, time=time)
    assert told(found) == told(wanted)
    assert (found.outcome, found.reasons) == (wanted.outcome, wanted.reasons)
    for name, column in wanted.columns.items():
        assert dict(found.columns[name].scores) == dict(column.scores)
        assert dict(found.columns[name].bounds) == dict(column.bounds)
    chunked = compare(frame_table(before, "b", 90), frame_table(after, "a", 70), time=time)
    assert told(chunked) == told(wanted)


@pytest.mark.parametrize(("first", "second"), [(50, 10_000), (10_000, 50), (50, 50)])
def test_scores_of_large_tables_are_as_near_as_they_say(first, second):
    before, after = made(900, 2), made(700, 3, 0.4)
    exact = compare(before, after)
    found = compare(frame_table(before, "b", first), frame_table(after, "a", second))
    for name, column in exact.columns.items():
        rough = found.columns[name]
        assert rough.score_name == column.score_name
        for score, figure in column.scores.items():
            bound = rough.bounds[score]
            assert abs(rough.scores[score] - figure) <= bound + 1e-9, (name, score)
        if column.scores and column.kind == "numeric":
            assert rough.bounds["wasserstein"] < 0.02
        for score, figure in column.scores.items() if column.kind != "numeric" else ():
            assert rough.scores[score] == pytest.approx(figure, rel=1e-9)


def test_more_than_two_million_rows_are_counted_to_the_last():
    rng = np.random.default_rng(0)
    rows = EXACT_ROWS + 100_000
    frame = pl.DataFrame({"x": rng.normal(size=rows), "c": rng.integers(0, 3, rows)})
    report = compare(frame, frame.with_columns(pl.col("x") + 0.3))
    assert report.columns["x"].test == "location"
    assert report.columns["c"].outcome is Outcome.PASS
    assert sum(report.columns["x"].reference["counts"]) == rows
    assert report.columns["x"].scores["wasserstein"] == pytest.approx(0.3, abs=1e-3)
    assert report.columns["x"].bounds["wasserstein"] < 0.02


def test_many_rows_are_counted_by_several_threads():
    before, after = made(30_000, 0), made(30_000, 1)
    assert told(compare(before, after)) == told(compare_frames(before, after))


def test_a_profile_stands_for_its_rows(tmp_path):
    before, after = made(800, 0), made(500, 1, 0.8)
    stored = profile(before, time="ts")
    path = tmp_path / "profile.json"
    path.write_text(stored.dumps(), encoding="utf-8")
    wanted = compare_frames(stored, after)
    assert told(compare(stored, after)) == told(wanted)
    assert told(compare(str(path), after)) == told(wanted)
    assert told(compare(path, frame_table(after, "a", 70))) == told(wanted)
    with pytest.raises(DataError, match="a profile has no rows to draw"):
        compare(stored, after).evidently()


def test_damaged_profiles_and_other_json_are_named(tmp_path):
    after = made(50, 1)
    for text in ("{", "[1]", '{"schema": 99}', "\xff"):
        path = tmp_path / "bad.json"
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(DataError, match=r"bad\.json"):
            compare(path, after)
    with pytest.raises(DataError, match=r"cannot be read.*no\.json"):
        compare(tmp_path / "no.json", after)
    with pytest.raises(DataError, match="no column in common"):
        compare(profile(after), pl.DataFrame({"other": [1]}))


def test_a_column_that_is_asked_for_must_be_there():
    frame = made(50, 0)
    for wrong in ({"time": "no"}, {"ignore": ["no"]}):
        with pytest.raises(DataError, match="there is no column 'no'"):
            compare(frame, frame, **wrong)
        with pytest.raises(DataError, match="there is no column 'no'"):
            compare(profile(frame), frame, **wrong)


def test_columns_on_one_side_are_told():
    frame = made(200, 0)
    report = compare(frame.with_columns(old=pl.lit(1)), frame.with_columns(new=pl.lit("a")))
    assert report.columns["old"].reason == "old is missing from the live data"
    assert report.columns["new"].reason == "new is new: the reference has no such column"
    chunked = compare(
        frame_table(frame.with_columns(old=pl.lit(1)), "b", 60),
        frame_table(frame.with_columns(new=pl.lit("a")), "a", 60),
    )
    assert told(chunked) == told(report)


def test_levels_beyond_those_that_are_kept_are_counted_together():
    rng = np.random.default_rng(0)
    names = [f"n{place}" for place in range(15_000)]
    shares = 1 / np.arange(1, 15_001)
    frame = pl.DataFrame({"c": rng.choice(names, 40_000, p=shares / shares.sum())})
    whole = build_profile(frame).columns["c"]
    found = profile(frame_table(frame, "f", 8_000)).columns["c"]
    assert found.kind == whole.kind == "categorical"
    assert not found.complete
    assert sum(found.counts) == 40_000
    assert found.levels[:20] == whole.levels[:20]
    assert found.counts[:20] == whole.counts[:20]
    live = profile(frame_table(frame, "f", 8_000), like=build_profile(frame)).columns["c"]
    assert live.counts == whole.counts


def test_ids_in_chunks_are_ids():
    frame = made(600, 0)
    found = profile(frame_table(frame, "f", 100))
    assert found.columns["note"].kind == "text"
    assert found.not_monitored == build_profile(frame).not_monitored


def test_a_bar_is_shown_of_long_comparisons_only():
    from contextlib import contextmanager

    shown = []

    @contextmanager
    def bar(what, total):
        shown.append((what, total))
        yield shown.append

    compare(made(100, 0), made(100, 1), bar=bar)
    assert not shown
    rows = np.zeros(20_200_000, dtype=np.float64)
    frame = pl.DataFrame({"a": rows, "b": rows})
    compare(frame, frame, bar=bar)
    assert shown == [("comparing columns", 2), 1, 1]


def test_engines_are_named():
    assert set(ENGINES) == {"local"}
    assert load("local").compare is compare
    with pytest.raises(
        ConfigError, match=r"there is no engine 'spark' yet\. Next: use one of: local"
    ):
        load("spark")
    with pytest.raises(ConfigError, match=r"there is no engine 'dusk'\. Next"):
        load("dusk")


def test_a_profile_read_back_is_the_same():
    found = profile(made(300, 0), time="ts")
    assert Profile.loads(found.dumps()).dumps() == found.dumps()
    random.seed(0)
    parts = [profile(made(40, seed), time="ts", like=found) for seed in range(4)]
    merged = parts[0]
    for part in random.sample(parts[1:], 3):
        merged = merged.merge(part)
    assert merged.rows == 160
