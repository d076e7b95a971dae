"""Arrays packed into records come back as the log's columns, whatever their type and order."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.stores.rows import (
    COLUMNS,
    TIME,
    Head,
    OldRecord,
    assembled,
    code,
    columns_of,
    dated,
    moments,
    packed,
    renewed,
)

NOW = 1_775_044_800_000_000


def record(array, *, count=None, name="id", key=None, time=NOW, error=None):
    """One request of one feature that answers the number 1 for each row."""
    rows = len(array) if count is None else count
    answers = packed(np.ones(rows))
    values = [packed(array)]
    old = OldRecord(
        0, name, rows, moments(time), "champion", 0, key, 0.5, values, answers, None, error
    )
    return renewed(old)


def head(array, declared=""):
    return Head(0, "churn", 7, columns_of({"x": array}, {"x": declared}), code(np.ones(1)), "")


@pytest.mark.parametrize(
    ("array", "declared", "dtype"),
    [
        (np.array([1.5, -2.0]), "double", pl.Float64),
        (np.array([1.5, -2.0], "f4"), "float", pl.Float32),
        (np.array([1.5, -2.0], "f2"), "", pl.Float32),
        (np.array([1, 2]), "long", pl.Int64),
        (np.array([1, 2], "i4"), "integer", pl.Int32),
        (np.array([1, 2], ">i8"), "long", pl.Int64),
        (np.array([True, False]), "boolean", pl.Boolean),
        (np.array(["a", None], object), "string", pl.String),
        (np.array([None, None], object), "string", pl.String),
        (np.array([None, True], object), "boolean", pl.Boolean),
        (np.array(["2026-01-01", "2026-01-02"], "M8[D]"), "datetime", pl.Datetime("us")),
    ],
)
def test_every_type_comes_back(array, declared, dtype):
    if array.dtype.kind == "M":
        array = array.astype("M8[us]")
    found = assembled(head(array, declared), [record(array)])["features"].struct.field("x")
    assert found.dtype == dtype
    assert found.to_list() == array.tolist()


def test_the_columns_are_the_logs():
    frame = assembled(head(np.ones(1)), [record(np.ones(1))])
    assert tuple(frame.columns) == COLUMNS
    assert frame.schema["time"] == TIME


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_each_row_has_its_own_id_in_the_order_of_requests(sizes):
    records = [record(np.full(size, at, float), name=f"r{at}") for at, size in enumerate(sizes)]
    frame = assembled(head(np.ones(1)), records)
    wanted = [
        f"r{at}" if size == 1 else f"r{at}.{row}"
        for at, size in enumerate(sizes)
        for row in range(size)
    ]
    assert frame["prediction_id"].to_list() == wanted
    owners = [float(name[1:].partition(".")[0]) for name in wanted]
    assert frame["features"].struct.field("x").to_list() == owners


def test_nan_is_null_and_a_failed_request_without_inputs_too():
    failed = record(np.ones(1), name="bad", error="ValueError: no")
    failed.fixed, failed.texts, failed.prediction = None, [], None
    frame = assembled(head(np.ones(1)), [record(np.array([np.nan])), failed])
    assert frame["features"].to_list() == [{"x": None}, None]
    assert frame["prediction"].to_list() == [1.0, None]
    assert frame["error"].to_list() == [None, "ValueError: no"]


def test_one_key_and_one_time_stand_for_all_rows_of_a_request():
    times = np.array(["2026-01-01", "2026-01-02"], "M8[us]")
    records = [
        record(np.ones(2), name="a", key="k"),
        record(np.ones(2), name="b", key=["p", None], time=times),
    ]
    frame = assembled(head(np.ones(1)), records)
    assert frame["key"].to_list() == ["k", "k", "p", None]
    assert frame["time"].dt.timestamp("us").to_list() == [NOW, NOW, *times.astype(int).tolist()]


def test_dates_outside_the_calendar_are_now_and_its_ends_are_kept():
    ends = np.array(["0001-01-01", "9999-12-31T23:59:59.999999"], "M8[us]")
    assert (dated(ends, NOW) == ends).all()
    beyond = np.array([ends[0] - 1, ends[1] + 1, np.datetime64("NaT")])
    assert (dated(beyond, NOW).astype(int) == NOW).all()
