"""Every type of column has one kind, and its values one form."""

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.drift.kinds import kind_of, numbers, texts

NUMERIC = [pl.Int8, pl.Int64, pl.UInt8, pl.UInt64, pl.Float32, pl.Float64, pl.Decimal(10, 2)]


@pytest.mark.parametrize("dtype", NUMERIC)
def test_every_number_is_numeric_and_keeps_its_values(dtype):
    series = pl.Series("x", [1, None, 3], dtype=pl.Int64).cast(dtype)
    assert kind_of(series) == "numeric"
    assert np.array_equal(numbers(series), [1.0, np.nan, 3.0], equal_nan=True)
    assert numbers(series).dtype == np.float64


@pytest.mark.parametrize(
    ("series", "kind"),
    [
        (pl.Series([dt.date(2026, 1, 1)]), "datetime"),
        (pl.Series(["2026-01-01"]).str.to_datetime(time_zone="UTC"), "datetime"),
        (pl.Series(["a", None]), "categorical"),
        (pl.Series(["a"], dtype=pl.Enum(["a", "b"])), "categorical"),
        (pl.Series(["a", None], dtype=pl.Object), "categorical"),
        (pl.Series([True, None]), "boolean"),
        (pl.Series([1, "a"], dtype=pl.Object), "nested"),
        (pl.Series([[1.0, 2.0]], dtype=pl.Array(pl.Float64, 2)), "nested"),
        (pl.Series([b"a"]), "nested"),
        (pl.Series([], dtype=pl.String), "empty"),
        (pl.Series([None, None], dtype=pl.Boolean), "empty"),
    ],
)
def test_what_a_column_is_compared_as(series, kind):
    assert kind_of(series) == kind


@pytest.mark.parametrize("dtype", [pl.Object, pl.Boolean])
def test_booleans_read_the_same_however_they_are_stored(dtype):
    series = pl.Series("x", [True, None, False], dtype=dtype)
    assert texts(series).to_list() == ["true", None, "false"]


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Enum(["b", "a"]), pl.Object])
def test_texts_read_the_same_however_they_are_stored(dtype):
    series = pl.Series("x", ["b", None, "a"], dtype=dtype)
    assert texts(series).to_list() == ["b", None, "a"]
    assert texts(series).dtype == pl.String


def test_durations_and_times_of_day_are_ordered_as_numbers():
    long = pl.Series([dt.timedelta(hours=1), None, dt.timedelta(days=2)])
    found = numbers(long)
    assert found[2] / found[0] == 48.0
    assert np.isnan(found[1])
    day = numbers(pl.Series([dt.time(6), dt.time(18)]))
    assert day[1] == 3 * day[0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=True)), min_size=1, max_size=20))
def test_null_and_nan_are_both_missing(values):
    found = numbers(pl.Series("x", values, dtype=pl.Float64))
    wanted = np.array([np.nan if value is None else value for value in values])
    assert np.array_equal(found, wanted, equal_nan=True)
