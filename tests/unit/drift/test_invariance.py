"""The verdict depends on the values: not on names, order, units or who asks first."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.drift import Profile, build_profile, compare_frames

SHIFTS = {
    "none": lambda frame: frame,
    "x moved": lambda frame: frame.with_columns(pl.col("x") + 0.7),
    "x wider": lambda frame: frame.with_columns(pl.col("x") * 1.8),
    "plan changed": lambda frame: frame.with_columns(
        plan=pl.when(pl.col("x") > 0.5).then(pl.lit("c")).otherwise("plan")
    ),
    "plan new": lambda frame: frame.with_columns(
        plan=pl.when(pl.col("x") > 1.5).then(pl.lit("z")).otherwise("plan")
    ),
    "gaps": lambda frame: frame.with_columns(x=pl.when(pl.col("n") > 3).then(None).otherwise("x")),
}


def made(rows, seed):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "x": rng.normal(size=rows),
            "n": rng.poisson(2.0, rows).astype(float),
            "plan": rng.choice(["a", "b", "c"], rows, p=[0.5, 0.3, 0.2]),
            "flag": rng.random(rows) < 0.4,
        }
    )


def told(report, names=None):
    """What is said of each column, by its first name."""
    names = names or {}
    back = {new: old for old, new in names.items()}
    return {
        back.get(name, name): (
            column.drifted,
            column.outcome,
            column.test,
            pytest.approx(column.p_value, rel=1e-9, abs=1e-300),
            pytest.approx(column.effect, rel=1e-9),
        )
        for name, column in report.columns.items()
    }


CASES = st.tuples(st.sampled_from(sorted(SHIFTS)), st.integers(0, 50), st.integers(40, 400))


def sides(case):
    change, seed, rows = case
    return made(800, 0), SHIFTS[change](made(rows, seed + 1))


# names that also mean something to polars, to our own code, or to nobody
ODD = ["rows", "level", "count", "", "x y", "Ünï/cödé", "literal", "len", "index", "values", "a.b"]


@settings(max_examples=25, deadline=None)
@given(CASES, st.permutations(ODD))
def test_names_do_not_matter(case, words):
    reference, live = sides(case)
    names = dict(zip(reference.columns, words[:4], strict=True))
    report = compare_frames(reference, live)
    again = compare_frames(reference.rename(names), live.rename(names))
    assert told(again, names) == told(report)
    assert again.outcome is report.outcome
    assert len(again.reasons) == len(report.reasons)


@settings(max_examples=20, deadline=None)
@given(CASES, st.integers(0, 9), st.permutations(["x", "n", "plan", "flag"]))
def test_the_order_of_rows_and_columns_does_not_matter(case, seed, order):
    reference, live = sides(case)
    mixed = compare_frames(
        reference.sample(fraction=1.0, shuffle=True, seed=seed).select(order),
        live.sample(fraction=1.0, shuffle=True, seed=seed + 1).select(reversed(order)),
    )
    report = compare_frames(reference, live)
    assert told(mixed) == told(report)
    assert set(mixed.reasons) == set(report.reasons)


@settings(max_examples=20, deadline=None)
@given(CASES, st.integers(-8, 20), st.integers(-1000, 1000))
def test_the_unit_of_a_column_does_not_matter(case, power, zero):
    # powers of two are exact; Celsius for Fahrenheit would round
    reference, live = (
        side.with_columns(pl.col("n") * 2.0**power + zero * 2.0**power) for side in sides(case)
    )
    report = compare_frames(*sides(case))
    assert told(compare_frames(reference, live)) == told(report)


@settings(max_examples=15, deadline=None)
@given(CASES)
def test_only_the_order_of_values_is_compared(case):
    bent = [side.with_columns(pl.col("x").exp()) for side in sides(case)]
    assert told(compare_frames(*bent)) == told(compare_frames(*sides(case)))


@settings(max_examples=15, deadline=None)
@given(CASES)
def test_what_levels_are_called_does_not_matter(case):
    words = {"a": "première", "b": "zweite", "c": "третий", "z": "nth"}
    report = compare_frames(*sides(case))
    again = compare_frames(
        *(side.with_columns(pl.col("plan").replace_strict(words)) for side in sides(case))
    )
    assert told(again) == told(report)


@settings(max_examples=15, deadline=None)
@given(CASES)
def test_a_stored_profile_says_the_same_as_the_rows(case):
    reference, live = sides(case)
    stored = Profile.loads(build_profile(reference).dumps())
    assert told(compare_frames(stored, live)) == told(compare_frames(reference, live))


@pytest.mark.parametrize("dtype", [pl.Float32, pl.Int64, pl.Int16])
def test_the_type_of_a_whole_number_does_not_matter(dtype):
    reference, live = sides(("x moved", 3, 300))
    cast = [side.with_columns(pl.col("n").cast(dtype)) for side in (reference, live)]
    assert told(compare_frames(*cast)) == told(compare_frames(reference, live))


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["c", "a", "b"])])
def test_how_levels_are_stored_does_not_matter(dtype):
    reference, live = sides(("x moved", 3, 300))
    cast = [side.with_columns(pl.col("plan").cast(dtype)) for side in (reference, live)]
    assert told(compare_frames(*cast)) == told(compare_frames(reference, live))


def test_an_untouched_column_is_judged_the_same_whatever_another_does():
    reference, live = made(2000, 0), made(500, 1)
    alone = compare_frames(reference, live)
    beside = compare_frames(reference, live.with_columns(pl.col("n") + 4.0))
    for name in ("x", "plan", "flag"):
        one, two = alone.columns[name], beside.columns[name]
        assert (one.p_value, one.effect, one.outcome) == (two.p_value, two.effect, two.outcome)
    assert [item.name for item in beside.columns.values() if item.drifted] == ["n"]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(30, 500))
def test_rows_compared_with_themselves_have_not_moved(seed, rows):
    frame = made(rows, seed)
    report = compare_frames(frame, frame)
    assert not report.drifted
    assert all(column.score == pytest.approx(0.0) for column in report.columns.values())


@pytest.mark.parametrize("hours", [0, 5, -11])
def test_the_zone_of_the_clock_does_not_matter(hours):
    start = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - frames hold naive UTC
    frame = made(3000, 0)
    times = [start + dt.timedelta(minutes=10 * row) for row in range(3000)]
    zone = dt.timezone(dt.timedelta(hours=hours))
    aware = [time.replace(tzinfo=dt.UTC).astimezone(zone) for time in times]
    naive = frame.with_columns(ts=pl.Series(times))
    zoned = frame.with_columns(ts=pl.Series([time.astimezone(dt.UTC) for time in aware]))
    one = compare_frames(naive[:2400], naive[2400:], time="ts")
    two = compare_frames(zoned[:2400], zoned[2400:], time="ts")
    assert one.window == two.window
    assert told(one) == told(two)


def test_more_rows_of_the_same_change_are_more_certain():
    reference, moved = made(5000, 0), made(4000, 1).with_columns(pl.col("x") + 0.3)
    values = [
        compare_frames(reference, moved[:rows]).columns["x"].p_value for rows in (50, 400, 4000)
    ]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 1e-20


@pytest.mark.parametrize("alpha", [1e-6, 0.01, 0.2])
def test_a_stricter_alpha_never_finds_more(alpha):
    reference = made(2000, 0)
    for seed in range(8):
        live = made(150, seed).with_columns(pl.col("x") + 0.12 * seed)
        strict = compare_frames(reference, live, alpha=alpha / 10)
        loose = compare_frames(reference, live, alpha=alpha)
        assert strict.drifted <= loose.drifted
        assert strict.columns["x"].p_value == loose.columns["x"].p_value
