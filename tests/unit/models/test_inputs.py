"""A frame becomes typed columns, or one error that names the column."""

from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.models.inputs import array, columns, table
from lifecycle.models.predicting import Layout, Table
from lifecycle.records import Column, ModelSpec

SPEC = ModelSpec(
    1,
    "binary",
    (
        Column("age", "double", required=False),
        Column("paid", "boolean", required=False),
        Column("plan", "string", required=False),
        Column("since", "datetime", required=False),
    ),
)
ROWS = {
    "age": [31.5, None],
    "paid": [True, None],
    "plan": ["pro", None],
    "since": [pd.Timestamp("2026-01-01"), None],
    "unknown": ["x", "y"],
}


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_both_kinds_of_frame_give_the_same_columns(kind):
    found = columns(kind(ROWS), SPEC)
    assert list(found) == ["age", "paid", "plan", "since"]
    assert found["age"].dtype == np.float64
    assert np.isnan(found["age"][1])
    assert found["paid"].tolist() == [True, None]
    assert found["plan"].tolist() == ["pro", None]
    assert found["since"].dtype == np.dtype("datetime64[us]")
    assert np.isnat(found["since"][1])


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("double", [1, 2], "float64"),
        ("double", pd.array([1, None], dtype="Int64"), "float64"),
        ("double", [Decimal("1.5"), None], "float64"),
        ("double", [None, None], "float64"),
        ("float", [1.0, 2.0], "float32"),
        ("long", [1, 2], "int64"),
        ("long", [1.0, 2.0], "int64"),
        ("long", [1.0, None], "float64"),
        ("integer", [1, 2], "int32"),
        ("boolean", [True, False], "bool"),
        ("boolean", pd.array([True, False], dtype="boolean"), "bool"),
        ("boolean", [True, None], "object"),
        ("boolean", [np.nan, np.nan], "object"),
        ("string", ["a", "b"], "object"),
        ("string", pd.array(["a", None], dtype="string"), "object"),
        ("string", pd.Categorical(["a", None]), "object"),
        ("string", [np.nan, np.nan], "object"),
        ("datetime", ["2026-01-01", "2026-01-02T03:04:05+01:00"], "datetime64[us]"),
        ("datetime", [None, None], "datetime64[us]"),
        ("binary", [b"a", b"b"], "object"),
    ],
)
def test_types_become_what_the_convention_says(dtype, values, expected):
    found = array(pd.Series(values), Column("x", dtype, required=False))
    assert str(found.dtype) == expected
    assert found.shape == (2,)


@pytest.mark.parametrize(
    ("dtype", "values", "message"),
    [
        ("double", ["1.5", "2"], "'1.5' \\(str\\) in row 0, the model wants numbers"),
        ("double", [1.0, "two"], "'two' \\(str\\) in row 1"),
        ("double", [1.5, True], "True \\(bool\\) in row 1"),
        ("double", [True, False], "the model wants numbers"),
        ("double", [1.0, np.inf], "inf .* in row 1, the model wants finite numbers"),
        ("double", pd.to_datetime(["2026-01-01"]), "the model wants numbers"),
        ("long", [1.5, 2.0], "1.5 .* the model wants whole numbers"),
        ("boolean", [1, 0], "the model wants true or false"),
        ("boolean", ["yes", None], "'yes' \\(str\\) in row 0"),
        ("string", [1, 2], "the model wants text"),
        ("string", ["a", 3], "3 \\(int\\) in row 1, the model wants text"),
        ("datetime", ["yesterday"], "the model wants times"),
        ("datetime", [5, 6], "the model wants times"),
        ("datetime", [True, False], "the model wants times"),
    ],
)
def test_a_wrong_type_names_column_row_and_wanted_type(dtype, values, message):
    with pytest.raises(DataError, match=message) as caught:
        array(pd.Series(values), Column("x", dtype, required=False), where="live.csv")
    assert "column 'x'" in caught.value.what
    assert caught.value.where == "live.csv"
    assert caught.value.fix


def test_null_where_training_had_none_is_refused():
    with pytest.raises(DataError, match="'x' is null in row 1 \\(1 of 2 rows\\)"):
        array(pd.Series([1.0, None]), Column("x", "double"))


def test_missing_and_doubled_columns_are_named():
    strict = ModelSpec(1, "binary", (*SPEC.features[:2], Column("plan", "string")))
    with pytest.raises(DataError, match="'plan' is missing; did you mean 'plans'") as wrong:
        columns(pd.DataFrame(ROWS).rename(columns={"plan": "plans"}), strict)
    assert wrong.value.fix == "the model needs all of: plan"
    with pytest.raises(DataError, match="columns are missing: age, paid, plan, since"):
        columns(pd.DataFrame({"unknown": [1]}), SPEC)
    frame = pd.DataFrame(ROWS)
    with pytest.raises(DataError, match="'age' is there twice"):
        columns(pd.concat([frame, frame[["age"]]], axis=1), SPEC)


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_columns_that_may_be_null_may_be_left_out(kind):
    whole = columns(
        kind({**ROWS, **{name: [None, None] for name in ("age", "paid", "plan")}}), SPEC
    )
    some = columns(kind({"since": ROWS["since"]}), SPEC)
    assert list(some) == list(whole)
    for name in some:
        assert some[name].dtype == whole[name].dtype
        assert pd.isna(some[name]).tolist() == pd.isna(whole[name]).tolist()


def test_the_callers_frame_is_left_as_it_was():
    frame = pd.DataFrame({"plan": np.array(["pro", np.nan], dtype=object)})
    spec = ModelSpec(1, "binary", (Column("plan", "string", required=False),))
    assert columns(frame, spec)["plan"][1] is None
    assert isinstance(frame["plan"][1], float)


def test_no_rows_are_no_error():
    found = columns(pd.DataFrame(ROWS).iloc[:0], SPEC)
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(found, 0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), min_size=1, max_size=20))
def test_text_comes_back_as_it_was(values):
    series = pd.Series(values, dtype=object)
    found = array(series, Column("x", "string", required=False))
    assert found.tolist() == values
    assert table({"x": found})["x"].isna().tolist() == [item is None for item in values]


KINDS = {
    "double": np.array([1.5, np.nan]),
    "float": np.array([0.5, 1.5], dtype=np.float32),
    "long": np.array([1, 2]),
    "boolean": np.array([True, False]),
    "text": np.array(["a", None], dtype=object),
    "time": np.array(["2026-01-31", "NaT"], dtype="datetime64[us]"),
}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=4))
def test_a_table_is_the_frame_of_its_columns(kinds):
    inputs = {f"{kind}{index}": KINDS[kind] for index, kind in enumerate(kinds)}
    expected = pd.DataFrame(inputs)
    for name in [name for name in inputs if name.startswith("time")]:
        expected[name] = expected[name].astype("datetime64[ns]")
    found = table(inputs)
    pd.testing.assert_frame_equal(found, expected)
    # the memory lies as in MLflow's frame, since sums depend on it in the last digit
    assert found.to_numpy().flags.f_contiguous == expected.to_numpy().flags.f_contiguous
    found.iloc[0, 0] = found.iloc[1, 0]
    assert inputs[next(iter(inputs))][0] == KINDS[kinds[0]][0]


def test_a_table_of_what_was_sent_as_rows():
    rows = Table(Layout(["a", "s", "b"], texts=["s"]), [(1.5, "x", None), (2, None, 3.5)])
    frame = table(rows)
    assert list(frame) == ["a", "s", "b"]
    assert frame.dtypes.astype(str).tolist() == ["float64", "object", "float64"]
    assert frame["a"].tolist() == [1.5, 2.0]
    assert frame["s"].tolist() == ["x", None]
    assert frame["b"].isna().tolist() == [True, False]


def test_a_time_that_pandas_cannot_hold_is_an_error():
    with pytest.raises(pd.errors.OutOfBoundsDatetime):
        table({"at": np.array(["9999-01-01"], dtype="datetime64[us]")})
