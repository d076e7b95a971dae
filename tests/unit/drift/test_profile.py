"""A profile holds what a comparison needs, merges in any order and survives any column."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.drift import Profile, build_profile
from lifecycle.errors import DataError

START = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - frames hold naive UTC


def table(rows: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    number = rng.normal(size=rows)
    return pl.DataFrame(
        {
            "ts": pl.datetime_range(START, START + dt.timedelta(hours=rows - 1), "1h", eager=True),
            "number": np.where(rng.random(rows) < 0.1, np.nan, number),
            "other": number + rng.normal(size=rows),
            "plan": rng.choice(["a", "b", "c"], rows),
            "flag": rng.random(rows) < 0.3,
        }
    )


@pytest.fixture(scope="module")
def reference() -> Profile:
    return build_profile(table(500), time="ts")


def test_counts_every_row_once(reference):
    for column in reference.columns.values():
        assert sum(column.counts) == column.rows == 500
        assert column.blocks.counts.sum() == 500
    assert "ts" not in reference.columns


def test_json_round_trip(reference):
    text = reference.dumps()
    assert Profile.loads(text).dumps() == text
    assert '"schema":1' in text
    assert len(text) / len(reference.columns) < 8_000


def test_live_rows_are_counted_in_the_reference_cells(reference):
    live = build_profile(
        pl.DataFrame(
            {"number": [1e9, -1e9, None, 0.0], "plan": ["a", "new", None, "b"], "x": [1] * 4}
        ),
        like=reference,
    )
    assert set(live.columns) == {"number", "plan"}
    assert live.columns["number"].outside == 2
    assert live.columns["plan"].outside == 1
    assert live.columns["plan"].null == live.columns["number"].null == 1


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=3, max_size=3), st.integers(0, 100))
def test_merge_is_associative_and_commutative(sizes, seed):
    reference = build_profile(table(200), time="ts")
    one, two, three = (
        build_profile(table(size, seed + place), time="ts", like=reference)
        for place, size in enumerate(sizes)
    )
    left, right = one.merge(two).merge(three), one.merge(two.merge(three))
    for name, column in left.columns.items():
        again = right.columns[name]
        assert column.counts == again.counts
        assert column.total == pytest.approx(again.total)
        assert column.blocks.to_dict() == again.blocks.to_dict()
    assert left.pairs.to_dict() == right.pairs.to_dict()
    assert left.rows == right.rows == sum(sizes)
    assert one.merge(two).columns["plan"].counts == two.merge(one).columns["plan"].counts


def test_parts_merge_into_the_whole(reference):
    whole = table(500)
    parts = [build_profile(part, time="ts", like=reference) for part in (whole[:200], whole[200:])]
    merged = parts[0].merge(parts[1])
    for name, column in reference.columns.items():
        assert merged.columns[name].counts == column.counts
        assert merged.columns[name].blocks.counts.tolist() == column.blocks.counts.tolist()
    assert merged.pairs.to_dict() == reference.pairs.to_dict()
    assert merged.window == reference.window


def test_different_cells_do_not_merge(reference):
    with pytest.raises(DataError, match="different cells"):
        reference.merge(build_profile(table(300, 5), time="ts"))


def test_different_columns_do_not_merge(reference):
    with pytest.raises(DataError, match="differ in their columns: flag"):
        reference.merge(build_profile(table(10).drop("flag"), time="ts", like=reference))


def test_joined_adds_columns_of_other_rows(reference):
    score = build_profile(pl.DataFrame({"score": [0.1, 0.9]}))
    both = reference.joined(score)
    assert both.columns["score"].rows == 2
    assert both.rows == 500
    assert Profile.loads(both.dumps()).columns["score"] == score.columns["score"]


def test_a_common_value_has_a_cell_of_its_own():
    values = np.concatenate([np.zeros(500), np.random.default_rng(0).gamma(1.0, size=500)])
    column = build_profile(pl.DataFrame({"x": values})).columns["x"]
    assert column.counts[1] == 500
    assert len(column.edges) <= 65


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pl.Series([None, None, None]), "empty"),
        (pl.Series([None, None], dtype=pl.Float64), "empty"),
        (pl.Series([[1], [2]]), "nested"),
        (pl.Series([{"a": 1}, {"a": 2}]), "nested"),
        (pl.Series([b"x", b"y"]), "nested"),
        (pl.Series([START, None]), "datetime"),
        (pl.Series([f"id-{n}" for n in range(100)]), "text"),
    ],
)
def test_what_cannot_be_compared_is_named(values, kind):
    profile = build_profile(pl.DataFrame({"x": values}))
    assert profile.columns["x"].kind == kind
    assert "missing values" in profile.not_monitored["x"]
    assert Profile.loads(profile.dumps()).not_monitored == profile.not_monitored


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pl.Series([True, None, False]), "boolean"),
        (pl.Series([True, None, "x"], dtype=pl.Object), "nested"),
        (pl.Series([True, None, False], dtype=pl.Object), "boolean"),
        (pl.Series(["a", "b"], dtype=pl.Categorical), "categorical"),
        (pl.Series([1, 2], dtype=pl.Int8), "numeric"),
        (pl.Series([dt.timedelta(1), None]), "numeric"),
        (pl.Series([dt.time(1), None]), "numeric"),
        (pl.Series([np.inf, -np.inf, np.nan, 1.0]), "numeric"),
        (pl.Series(["1.5", "2"]).cast(pl.Decimal(10, 2)), "numeric"),
    ],
)
def test_kinds_that_are_compared(values, kind):
    profile = build_profile(pl.DataFrame({"x": values}))
    assert profile.columns["x"].kind == kind
    assert sum(profile.columns["x"].counts) == len(values)
    assert Profile.loads(profile.dumps()).dumps() == profile.dumps()


def test_an_empty_table_has_an_empty_profile():
    profile = build_profile(pl.DataFrame({"x": pl.Series([], dtype=pl.Float64)}), time="t")
    assert profile.rows == 0
    assert Profile.loads(profile.dumps()).rows == 0


@pytest.mark.parametrize(
    "ts", [pl.Series(["no", "time"]), pl.Series([1, 2]), pl.Series([None, None])]
)
def test_a_time_that_is_none_orders_nothing(ts):
    profile = build_profile(pl.DataFrame({"ts": ts, "x": [1.0, 2.0]}), time="ts")
    assert profile.time is None
    assert profile.columns["x"].blocks is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema":1}', '{"schema":1,"columns":[{}]}']
)
def test_a_damaged_profile_says_so(text):
    with pytest.raises(DataError, match="damaged"):
        Profile.loads(text)


def test_a_profile_of_a_later_version_says_so():
    with pytest.raises(DataError, match="schema 2"):
        Profile.loads('{"schema":2}')
