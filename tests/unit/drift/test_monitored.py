"""Each kind of change carries the name of its test; each column that cannot be judged is named."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from lifecycle.drift import build_profile, compare_frames
from lifecycle.records import Outcome

START = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - frames hold naive UTC


def made(rows, seed):
    rng = np.random.default_rng(seed)
    base = rng.normal(10.0, 2.0, rows)
    return pl.DataFrame(
        {
            "price": base,
            "cost": 0.7 * base + rng.normal(size=rows),
            "visits": rng.poisson(4.0, rows),
            "plan": rng.choice(["basic", "plus", "pro"], rows, p=[0.6, 0.3, 0.1]),
            "paid": rng.random(rows) < 0.5,
        }
    )


@pytest.fixture(scope="module")
def reference():
    return build_profile(made(4000, 0))


def part(column, share, value):
    """Put a value into a share of the rows."""
    chosen = pl.Series(np.random.default_rng(3).random(800) < share)
    return pl.when(chosen).then(value).otherwise(pl.col(column)).alias(column)


CHANGES = {
    "higher": ("price", pl.col("price") + 1.5, "location", ["higher", "median", "sd", "p < 1e-6"]),
    "lower": ("price", pl.col("price") - 1.5, "location", ["lower", "median"]),
    "more calls": ("visits", pl.col("visits") + 2, "location", ["higher", "median 6 instead of 4"]),
    "wider": ("price", (pl.col("price") - 10) * 2.2 + 10, "scale", ["more spread out"]),
    "narrower": ("price", (pl.col("price") - 10) / 3 + 10, "scale", ["less spread out"]),
    "gaps": ("price", part("price", 0.2, None), "missing", ["missing in", "instead of 0 %"]),
    "gaps in levels": ("plan", part("plan", 0.2, None), "missing", ["missing in"]),
    "gaps in flags": ("paid", part("paid", 0.2, None), "missing", ["missing in"]),
    "sentinel": ("price", part("price", 0.04, -999.0), "out of range", ["below", "as far as -999"]),
    "spikes": ("price", part("price", 0.04, 5e4), "out of range", ["above", "as far as 50,000"]),
    "infinite": ("price", part("price", 0.04, np.inf), "out of range", ["above", "largest"]),
    "new plan": ("plan", part("plan", 0.04, pl.lit("team")), "new level", ["never had", "'team'"]),
    "upper case": ("plan", pl.col("plan").str.to_uppercase(), "new level", ["'BASIC'", "100 %"]),
    "other mix": ("plan", part("plan", 0.3, pl.lit("pro")), "shape", ["plan is 'pro' in"]),
    "flag stuck": ("paid", pl.lit(True).alias("paid"), "shape", ["paid is '", "instead of"]),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_has_the_name_of_its_test_and_says_what_happened(reference, change):
    column, expression, test, words = CHANGES[change]
    report = compare_frames(reference, made(800, 1).with_columns(expression.alias(column)))
    found = report.columns[column]
    assert (found.drifted, found.outcome, found.test) == (True, Outcome.FAIL, test)
    assert found.p_value < 1e-4
    for word in (column, *words):
        assert word in found.reason
    assert found.reason in report.reasons


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_told_from_stored_counts_as_from_rows(reference, change):
    column, expression, _, _ = CHANGES[change]
    live = made(800, 1).with_columns(expression.alias(column))
    stored = compare_frames(reference, live).columns[column]
    rows = compare_frames(made(4000, 0), live).columns[column]
    assert (stored.test, stored.reason, stored.p_value) == (rows.test, rows.reason, rows.p_value)


def test_a_value_that_used_to_be_missing_is_a_change_too():
    gone = pl.Series(np.random.default_rng(3).random(4000) < 0.2)
    gaps = made(4000, 0).with_columns(price=pl.when(gone).then(None).otherwise("price"))
    found = compare_frames(gaps, made(800, 1)).columns["price"]
    assert (found.drifted, found.test) == (True, "missing")
    assert "price is missing in 0 % of rows instead of " in found.reason


def test_two_columns_that_part_are_told_together(reference):
    live = made(800, 1)
    live = live.with_columns(cost=live["cost"].shuffle(seed=1))
    report = compare_frames(reference, live)
    found = {name: column for name, column in report.columns.items() if column.drifted}
    assert set(found) == {"price", "cost"}
    assert {column.test for column in found.values()} == {"correlation"}
    assert "price and cost are correlated" in found["price"].reason
    assert "cost and price are correlated" in found["cost"].reason


SCHEMA = {
    "gone": (lambda frame: frame.drop("cost"), "cost", "cost is missing from the live data"),
    "added": (lambda frame: frame.with_columns(tip=1.0), "tip", "the reference has no such column"),
    "number to text": (
        lambda frame: frame.with_columns(pl.col("price").cast(pl.String)),
        "price",
        "price is of type String (",
    ),
    "text to number": (
        lambda frame: frame.with_columns(plan=1),
        "plan",
        "of type Int32 (numeric) instead of categorical",
    ),
    "flag to number": (
        lambda frame: frame.with_columns(pl.col("paid").cast(pl.Int8)),
        "paid",
        "of type Int8 (numeric) instead of boolean",
    ),
    "number to list": (
        lambda frame: frame.with_columns(pl.concat_list("price").alias("price")),
        "price",
        "of type List(Float64) (nested) instead of numeric",
    ),
}


@pytest.mark.parametrize("change", SCHEMA)
@pytest.mark.parametrize("rows", [3, 500])
def test_a_column_of_another_kind_alarms_at_any_number_of_rows(reference, change, rows):
    alter, name, words = SCHEMA[change]
    report = compare_frames(reference, alter(made(rows, 1)))
    assert report.outcome is Outcome.FAIL
    assert next(iter(report.columns)) == name, "what breaks the model comes first"
    assert report.columns[name].test == "schema"
    assert words in report.columns[name].reason
    assert [column.name for column in report.columns.values() if column.drifted] == [name]


UNMONITORED = {
    "when": ([START + dt.timedelta(days=row) for row in range(120)], "move on by nature"),
    "day": ([dt.date(2026, 1, 1)] * 120, "move on by nature"),
    "id": ([f"customer {row}" for row in range(120)], "texts or ids"),
    "embedding": ([[0.1, 0.2]] * 120, "neither order nor levels"),
    "struct": ([{"a": 1}] * 120, "neither order nor levels"),
    "bytes": ([b"x"] * 120, "neither order nor levels"),
    "empty": ([None] * 120, "every value is null"),
}


@pytest.mark.parametrize("name", UNMONITORED)
def test_a_column_that_cannot_be_compared_is_named_with_the_reason(name):
    values, why = UNMONITORED[name]
    frame = pl.DataFrame({name: pl.Series(values), "x": np.arange(120.0)})
    report = compare_frames(frame, frame)
    assert list(report.not_monitored) == [name]
    assert why in report.not_monitored[name]
    assert "only missing values are compared" in report.not_monitored[name]
    assert report.outcome is Outcome.PASS, "the other column is judged"


@pytest.mark.parametrize("name", [name for name in UNMONITORED if name != "empty"])
def test_missing_values_of_such_a_column_are_still_seen(name):
    series = pl.Series(UNMONITORED[name][0])
    frame = pl.DataFrame({name: series, "x": np.arange(120.0)})
    gaps = frame.with_columns(
        pl.when(pl.col("x") % 3 == 0).then(None).otherwise(pl.col(name)).alias(name)
    )
    report = compare_frames(frame, gaps)
    assert report.columns[name].test == "missing"
    assert f"{name} is missing in 33 % of rows instead of 0 %" in report.reasons[0]
    assert name in report.not_monitored


def test_new_ids_are_no_alarm():
    old, new = ([f"{word} {row}" for row in range(200)] for word in ("old", "new"))
    report = compare_frames(
        pl.DataFrame({"id": old, "x": np.arange(200.0)}),
        pl.DataFrame({"id": new, "x": np.arange(200.0)}),
    )
    assert report.outcome is Outcome.PASS
    assert report.columns["id"].score is None


def test_a_column_that_comes_alive_is_an_alarm():
    dead = pl.DataFrame({"late": pl.Series([None] * 300, dtype=pl.Float64), "x": np.arange(300.0)})
    alive = dead.with_columns(late=pl.lit(3.5))
    report = compare_frames(dead, alive)
    assert report.columns["late"].test == "missing"
    assert "late is missing in 0 % of rows instead of 100 %" in report.columns["late"].reason


def test_with_nothing_to_compare_the_verdict_is_neither_pass_nor_fail():
    frame = pl.DataFrame({"id": [f"c{row}" for row in range(100)], "list": [[1]] * 100})
    report = compare_frames(frame, frame)
    assert report.outcome is Outcome.UNSURE
    assert report.reasons == ("no column can be compared by value",)
    assert report.exit_code == 3


@pytest.mark.parametrize("rows", [1, 29])
def test_what_is_beyond_chance_alarms_even_in_few_rows(reference, rows):
    live = made(rows, 1).with_columns(plan=pl.lit("team"), price=pl.lit(-999.0))
    report = compare_frames(reference, live)
    tests = {name: column.test for name, column in report.columns.items() if column.drifted}
    assert tests == {"plan": "new level", "price": "out of range"} or rows == 1
    quiet = compare_frames(reference, made(rows, 1))
    assert quiet.outcome is Outcome.UNSURE


def test_a_column_left_out_is_neither_judged_nor_named(reference):
    live = made(300, 1).drop("cost").with_columns(pl.col("price") + 9.0, note=pl.lit("x"))
    report = compare_frames(reference, live, ignore=("cost", "price", "note"))
    assert report.outcome is Outcome.PASS
    assert set(report.columns) == {"visits", "plan", "paid"}
