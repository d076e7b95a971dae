"""Counts of parts are the counts of the whole, whoever counted first, in whatever parts."""

import datetime as dt
import functools
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lifecycle.drift import Profile, build_profile, compare_frames
from lifecycle.drift.blocks import Blocks
from lifecycle.drift.pairs import Pairs
from lifecycle.errors import DataError

START = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - frames hold naive UTC


def made(rows, seed, *, start=0):
    """Whole quarters as values: their sums are exact in any order."""
    rng = np.random.default_rng(seed)
    base = rng.integers(-40, 40, rows) / 4.0
    times = [START + dt.timedelta(minutes=30 * (start + row)) for row in range(rows)]
    return pl.DataFrame(
        {
            "ts": pl.Series(times, dtype=pl.Datetime("us")),
            "x": np.where(rng.random(rows) < 0.1, np.nan, base),
            "y": base + rng.integers(-9, 9, rows),
            "plan": pl.Series([*rng.choice(["a", "b", "c", "d"], rows)], dtype=pl.String),
            "flag": rng.random(rows) < 0.3,
            "note": [f"note {row + start}" for row in range(rows)],
        }
    )


@functools.cache
def reference():
    return build_profile(made(600, 0), time="ts")


def counted(frame):
    return build_profile(frame, time="ts", like=reference())


def content(profile):
    tree = json.loads(profile.dumps())
    tree["columns"] = sorted(tree["columns"], key=lambda item: item["name"])
    return tree


PARTS = st.lists(st.integers(1, 80), min_size=2, max_size=5)


@settings(max_examples=25, deadline=None)
@given(PARTS, st.integers(0, 99), st.data())
def test_parts_merge_in_any_order_and_any_brackets(sizes, seed, data):
    parts = [
        counted(made(size, seed + place, start=sum(sizes[:place])))
        for place, size in enumerate(sizes)
    ]
    wanted = content(functools.reduce(Profile.merge, parts))
    mixed = data.draw(st.permutations(parts))
    while len(mixed) > 1:
        place = data.draw(st.integers(0, len(mixed) - 2))
        mixed = [*mixed[:place], mixed[place].merge(mixed[place + 1]), *mixed[place + 2 :]]
    assert content(mixed[0]) == wanted


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 300), st.integers(0, 99), st.data())
def test_parts_are_the_whole_wherever_they_are_cut(rows, seed, data):
    frame = made(rows, seed)
    cut = data.draw(st.integers(1, rows - 1))
    parts = counted(frame[:cut]).merge(counted(frame[cut:]))
    whole = counted(frame)
    assert parts.rows == whole.rows
    assert parts.window == whole.window
    assert parts.pairs.to_dict() == whole.pairs.to_dict()
    for name, column in whole.columns.items():
        merged = parts.columns[name]
        assert merged.counts == column.counts
        assert (merged.low, merged.high) == (column.low, column.high)
        assert (merged.total, merged.squares) == (column.total, column.squares)
        assert merged.blocks.counts.tolist() == column.blocks.counts.tolist()


@settings(max_examples=10, deadline=None)
@given(st.integers(40, 300), st.integers(0, 9))
def test_a_profile_of_merged_parts_gives_the_same_verdict(rows, seed):
    frame = made(rows, seed).with_columns(pl.col("y") + 3.0)
    half = build_profile(made(600, 0)[:300], time="ts", like=reference())
    both = half.merge(build_profile(made(600, 0)[300:], time="ts", like=reference()))
    one, two = (compare_frames(profile, frame) for profile in (reference(), both))
    assert one.reasons == two.reasons
    assert {name: item.test for name, item in one.columns.items()} == {
        name: item.test for name, item in two.columns.items()
    }


def test_no_rows_change_nothing():
    rows, nothing = counted(made(50, 1)), counted(made(0, 0))
    merged = rows.merge(nothing)
    assert merged.rows == 50
    assert {name: item.counts for name, item in merged.columns.items()} == {
        name: item.counts for name, item in rows.columns.items()
    }
    assert merged.pairs.to_dict() == rows.pairs.to_dict()
    for both in (merged, nothing.merge(rows)):
        found, wanted = both.columns["x"].blocks, rows.columns["x"].blocks
        assert found.to_dict() == wanted.to_dict(), "runs are still known"


@pytest.mark.parametrize("dtype", [pl.Null, None])
@pytest.mark.parametrize("name", ["x", "plan", "flag"])
def test_a_part_in_which_a_column_is_always_null_merges(name, dtype):
    gap = made(40, 2)
    gap = gap.with_columns(pl.lit(None, dtype=dtype or gap.schema[name]).alias(name))
    both = counted(made(50, 1)).merge(counted(gap))
    column = both.columns[name]
    assert column.rows == sum(column.counts) == 90
    assert column.null == counted(made(50, 1)).columns[name].null + 40
    assert column.blocks.counts[:, -1].sum() == column.null


def test_rows_in_other_cells_do_not_merge():
    with pytest.raises(DataError, match="different cells"):
        reference().merge(build_profile(made(50, 3).with_columns(pl.col("x") * 0.7), time="ts"))


def test_merging_leaves_both_as_they_were():
    one, two = counted(made(50, 1)), counted(made(60, 2))
    before = one.dumps(), two.dumps()
    one.merge(two)
    assert (one.dumps(), two.dumps()) == before


def test_a_part_without_times_makes_the_whole_one_without_runs():
    timed, plain = counted(made(50, 1)), build_profile(made(50, 2).drop("ts"), like=reference())
    both = timed.merge(plain)
    assert both.columns["x"].blocks is None
    assert both.columns["x"].rows == 100


def times(draw_from=10**7):
    return st.lists(st.integers(0, draw_from), min_size=1, max_size=30)


@settings(max_examples=40, deadline=None)
@given(st.lists(times(), min_size=2, max_size=4), st.data())
def test_blocks_merge_in_any_order(parts, data):
    made_of = [Blocks.count(np.arange(len(part)) % 3, np.array(part), width=3) for part in parts]
    wanted = functools.reduce(Blocks.merge, made_of).to_dict()
    mixed = data.draw(st.permutations(made_of))
    assert functools.reduce(Blocks.merge, mixed).to_dict() == wanted


@settings(max_examples=30, deadline=None)
@given(times(10**9), times(10**9))
def test_merged_blocks_hold_every_row_once_at_its_time(one, two):
    blocks = [
        Blocks.count(np.zeros(len(part), int), np.array(part), width=1) for part in (one, two)
    ]
    merged = blocks[0].merge(blocks[1])
    numbers = np.array(one + two) // merged.seconds - merged.first
    wanted = np.bincount(numbers, minlength=len(merged.counts))
    assert merged.counts[:, 0].tolist() == wanted.tolist()


@settings(max_examples=40, deadline=None)
@given(times(5000))
def test_blocks_survive_json_exactly(moments):
    blocks = Blocks.count(np.arange(len(moments)) % 2, np.array(moments), width=2)
    again = Blocks.from_dict(json.loads(json.dumps(blocks.to_dict())))
    assert (again.seconds, again.first) == (blocks.seconds, blocks.first)
    assert again.counts.tolist() == blocks.counts.tolist()
    assert {key: item.tolist() for key, item in again.products.items()} == {
        key: item.tolist() for key, item in blocks.products.items()
    }


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.integers(30, 400), st.sampled_from([-1.0, -0.4, 0.0, 0.4, 1.0]))
def test_few_different_values_have_spearmans_own_correlation(seed, rows, weight):
    rng = np.random.default_rng(seed)
    one = rng.integers(0, 12, rows).astype(float)
    two = np.round(weight * one + rng.integers(0, 8, rows))
    found = build_profile(pl.DataFrame({"one": one, "two": two})).pairs.correlations()[0, 1]
    if len(set(one)) > 1 and len(set(two)) > 1:
        assert found == pytest.approx(stats.spearmanr(one, two).statistic, abs=0.005)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 999), st.integers(2, 60))
def test_correlations_do_not_depend_on_the_order_of_columns(seed, rows):
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame({name: rng.normal(size=rows) for name in "abc"})
    one = build_profile(frame).pairs
    two = build_profile(frame.select("c", "a", "b")).pairs
    order = [two.names.index(name) for name in one.names]
    found = two.correlations()[np.ix_(order, order)]
    assert np.allclose(found, one.correlations(), equal_nan=True)
    assert np.all(np.abs(one.correlations()) <= 1 + 1e-9)


def test_pairs_of_parts_with_other_columns_keep_what_both_have():
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({name: rng.normal(size=90) for name in "abcd"})
    whole = build_profile(frame).pairs
    both = whole.merge(build_profile(frame.select("d", "b", "a")).pairs)
    assert both.names == ("a", "b", "d")
    assert both.rows.tolist() == [[180] * 3] * 3
    assert (
        Pairs.from_dict(json.loads(json.dumps(both.to_dict()))).sums.tolist() == both.sums.tolist()
    )
