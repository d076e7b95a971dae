import json

import numpy as np
import polars as pl
import pytest

from lifecycle.errors import DataError
from lifecycle.records import Column, ModelSpec
from lifecycle.serve.decode import Decoder
from lifecycle.serve.typed import BUILD, JSON_TYPES, key_text, times
from lifecycle.stores.labels import as_keys

GOOD = {
    "double": ([1, 2.5], [1.0, 2.5], "float64"),
    "float": ([1, 2.5], [1.0, 2.5], "float32"),
    "long": ([1, 2**63 - 1], [1, 2**63 - 1], "int64"),
    "integer": ([1, 2.0], [1, 2], "int32"),
    "boolean": ([True, False], [True, False], "bool"),
    "string": (["a", ""], ["a", ""], "object"),
    "binary": (["YWI=", ""], [b"ab", b""], "object"),
}
BAD = {
    "double": ["1", True, [1], {}],
    "float": ["1", True, 1e39],
    "long": ["1", True, 1.5, 2**63, -(2**63) - 1],
    "integer": ["1", True, 1.5, 2**31, -(2**31) - 1, 3e9],
    "boolean": [0, 1, "true"],
    "string": [1, True, 1.5, ["a"]],
    "datetime": ["noon", True, 1.5, "2026-13-01", 10**30],
    "binary": ["!", 1],
}


def decoder(dtype, *, required=True):
    return Decoder(ModelSpec(1, "regression", (Column("c", dtype, required),)))


def body(*cells):
    return json.dumps({"dataframe_records": [{"c": cell} for cell in cells]}).encode()


def test_every_type_is_here():
    assert set(JSON_TYPES) == set(BUILD) == set(BAD) == set(GOOD) | {"datetime"}


@pytest.mark.parametrize("dtype", sorted(GOOD))
def test_a_type_holds_what_it_should(dtype):
    cells, expected, kind = GOOD[dtype]
    array = decoder(dtype).json(body(*cells)).columns["c"]
    assert array.tolist() == expected
    assert str(array.dtype) == kind


@pytest.mark.parametrize("dtype", sorted(BAD))
def test_a_type_refuses_what_it_should_not_hold(dtype):
    for cell in BAD[dtype]:
        with pytest.raises(DataError, match=r"column 'c' of row 1"):
            decoder(dtype).json(body({**GOOD, "datetime": ([0],)}[dtype][0][0], cell))


@pytest.mark.parametrize("dtype", sorted(BAD))
def test_null_is_refused_where_it_is_not_allowed(dtype):
    with pytest.raises(DataError, match="column 'c' of row 0 is null"):
        decoder(dtype).json(body(None))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("boolean", None), ("string", None), ("binary", None)],
)
def test_null_is_none_in_objects(dtype, expected):
    cell = GOOD[dtype][0][0]
    array = decoder(dtype, required=False).json(body(cell, None)).columns["c"]
    assert array.dtype == object
    assert array[1] is expected


@pytest.mark.parametrize("dtype", ["double", "float"])
def test_null_is_nan_in_floats(dtype):
    assert np.isnan(decoder(dtype, required=False).json(body(1, None)).columns["c"][1])


@pytest.mark.parametrize("dtype", ["long", "integer"])
def test_whole_numbers_hold_no_null(dtype):
    with pytest.raises(DataError, match="column 'c' of row 1 is null"):
        decoder(dtype, required=False).json(body(1, None))


def test_times_are_utc():
    cells = [
        "2026-01-01",
        "2026-01-01T00:00:00Z",
        "2026-01-01 01:00:00+01:00",
        1_767_225_600 * 10**9,
    ]
    found = times([*cells, None], "ts")
    assert found.dtype == np.dtype("datetime64[us]")
    assert np.isnat(found[-1])
    assert set(found[:-1].astype(str)) == {"2026-01-01T00:00:00.000000"}


def test_a_type_we_do_not_know_is_passed_on():
    array = decoder("any").json(body([1], "x")).columns["c"]
    assert array.tolist() == [[1], "x"]


@pytest.mark.parametrize("far", [10**30, 9_223_372_036_854_775_807_000, -(10**24)])
def test_a_time_that_no_calendar_holds_is_refused(far):
    with pytest.raises(DataError, match="of row 1 is no time"):
        times(["2026-01-01", far], "ts")


@pytest.mark.parametrize(
    ("sent", "kept"), [(7, "7"), (7.0, "7"), (7.5, "7.5"), ("7.0", "7.0"), (1e300, str(int(1e300)))]
)
def test_a_key_is_the_text_that_labels_are_looked_up_by(sent, kept):
    assert key_text(sent) == kept
    if sent != 1e300:  # more than a table's whole numbers hold
        assert as_keys(pl.Series([sent])).to_list() == [kept]
