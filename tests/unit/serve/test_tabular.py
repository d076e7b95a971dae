import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.records import Column, ModelSpec
from lifecycle.serve.decode import Decoder
from lifecycle.serve.tabular import csv_rows, parquet_rows

SPEC = ModelSpec(
    1,
    "binary",
    (
        Column("age", "double"),
        Column("plan", "string"),
        Column("calls", "long"),
        Column("paperless", "boolean"),
        Column("charge", "double", required=False),
    ),
    time="ts",
    key="id",
)
DECODER = Decoder(SPEC)
HEADER = b"age,plan,calls,paperless,charge\n"
FRAME = pd.DataFrame(
    {
        "age": [31.5, 4.0],
        "plan": ["pro", "a,b"],
        "calls": [2, 3],
        "paperless": [True, False],
        "charge": [1.5, np.nan],
    }
)
BARE = Decoder(ModelSpec(1, "regression", ()))


def parquet(frame, **more):
    buffer = io.BytesIO()
    frame.to_parquet(buffer, **more)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("read", "body"),
    [
        (csv_rows, FRAME.to_csv(index=False).encode()),
        (csv_rows, b"\xef\xbb\xbf" + FRAME.to_csv(index=False, lineterminator="\r\n").encode()),
        (csv_rows, FRAME[FRAME.columns[::-1]].to_csv(index=False).encode()),
        (parquet_rows, parquet(FRAME)),
        (parquet_rows, parquet(FRAME.set_index(pd.Index([5, 9])))),
        (parquet_rows, parquet(FRAME[FRAME.columns[::-1]])),
    ],
)
def test_tables_become_the_same_columns(read, body):
    rows = read(DECODER, body)
    assert rows.count == 2
    assert list(rows.columns) == list(SPEC.feature_names)
    pd.testing.assert_frame_equal(pd.DataFrame(dict(rows.columns)), FRAME, check_dtype=False)
    assert rows.columns["calls"].dtype == np.int64
    assert rows.columns["paperless"].dtype == bool


@pytest.mark.parametrize("read", [csv_rows, parquet_rows])
def test_time_and_key_come_along(read):
    frame = FRAME.assign(ts=pd.Timestamp("2026-01-01T02:00:00+02:00"), id=["c1", None])
    body = parquet(frame) if read is parquet_rows else frame.to_csv(index=False).encode()
    rows = read(DECODER, body)
    assert rows.time.astype("datetime64[s]").astype(str).tolist() == ["2026-01-01T00:00:00"] * 2
    assert rows.key == ["c1", None]
    assert list(rows.columns) == list(SPEC.feature_names)


@pytest.mark.parametrize("read", [csv_rows, parquet_rows])
def test_a_column_that_may_be_null_may_be_left_out(read):
    frame = FRAME.drop(columns="charge")
    body = parquet(frame) if read is parquet_rows else frame.to_csv(index=False).encode()
    assert np.isnan(read(DECODER, body).columns["charge"].astype(float)).all()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "no header"),
        (HEADER, "no rows"),
        (HEADER + b"1,a,1,true", "row 0 has 4 values, the header has 5"),
        (HEADER + b"1,a,1,true,1\n1,a,1,true,1,9", "row 1 has 6 values"),
        (HEADER + b"x,a,1,true,1", "column 'age' of row 0 is 'x', not a finite number"),
        (HEADER + b"inf,a,1,true,1", "column 'age' of row 0"),
        (HEADER + b"1e999,a,1,true,1", "column 'age' of row 0"),
        (HEADER + b"1_000,a,1,true,1", "column 'age' of row 0"),
        (HEADER + b",a,1,true,1", "column 'age' of row 0 is empty"),
        (HEADER + b"nan,a,1,true,1", "column 'age' of row 0 is empty"),
        (HEADER + b"1,,1,true,1", "column 'plan' of row 0 is empty"),
        (HEADER + b"1,a,1.5,true,1", "column 'calls' of row 0 is '1.5', not a whole"),
        (HEADER + b"1,a,9223372036854775808,true,1", "column 'calls' of row 0"),
        (HEADER + b"1,a,1,yes,1", "column 'paperless' of row 0 is 'yes', not true or false"),
        (b"age,plan,calls,paperless,odd\n1,a,1,true,1", "column 'odd' is not known"),
        (b"age,age,calls,paperless,charge\n1,a,1,true,1", "column 'age' is there twice"),
        (b"age,plan\n1,a", "column 'calls' is missing"),
        (HEADER + b'1,"a,1,true,1', "not CSV"),
        (HEADER + b"1,\xff,1,true,1", "not UTF-8"),
    ],
)
def test_csv_that_does_not_fit_is_refused_by_name(body, message):
    with pytest.raises(DataError, match=message):
        csv_rows(DECODER, body)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.drop(columns="age"), "column 'age' is missing"),
        (FRAME.assign(odd=1), "column 'odd' is not known"),
        (FRAME.assign(age=["1", "2"]), "column 'age'"),
        (FRAME.assign(age=[True, False]), "column 'age'"),
        (FRAME.assign(age=[np.inf, 1.0]), "column 'age'"),
        (FRAME.assign(age=[np.nan, 1.0]), "column 'age' is null in row 0"),
        (FRAME.assign(plan=[1, 2]), "column 'plan'"),
        (FRAME.assign(ts=["noon", "later"]), "column 'ts' is no time"),
        (FRAME.head(0), "no rows"),
    ],
)
def test_parquet_that_does_not_fit_is_refused_by_name(frame, message):
    with pytest.raises(DataError, match=message):
        parquet_rows(DECODER, parquet(frame))


@pytest.mark.parametrize("body", [b"", b"PAR1", b"x" * 100, b"PAR1" + b"\0" * 50 + b"PAR1"])
def test_what_is_no_parquet_is_refused(body):
    with pytest.raises(DataError, match="not Parquet"):
        parquet_rows(DECODER, body)


def test_without_a_signature_tables_come_as_they_are():
    rows = csv_rows(BARE, b"a,b\n1,x\n2.5,\n")
    assert rows.columns["a"].tolist() == [1.0, 2.5]
    assert rows.columns["b"].tolist() == ["x", None]
    assert parquet_rows(BARE, parquet(FRAME)).columns["calls"].tolist() == [2, 3]
    for body in (b"a,a\n1,2", b"a,b\n"):
        with pytest.raises(DataError):
            csv_rows(BARE, body)


def test_times_and_32_bits_in_csv():
    columns = (Column("at", "datetime"), Column("n", "integer"), Column("x", "float"))
    decoder = Decoder(ModelSpec(1, "regression", columns))
    rows = csv_rows(decoder, b"at,n,x\n2026-01-01,3,1.5\n")
    kinds = [str(array.dtype) for array in rows.columns.values()]
    assert kinds == ["datetime64[us]", "int32", "float32"]
    for row in (b"noon,3,1", b"2026-01-01,2147483648,1", b"2026-01-01,3,1e39"):
        with pytest.raises(DataError, match="of row 0"):
            csv_rows(decoder, b"at,n,x\n" + row)


def test_whole_keys_that_a_gap_made_floats_stay_whole():
    frame = pd.DataFrame({"age": [1.0, 2.0], "id": [7, None]})
    spec = ModelSpec(1, "binary", (Column("age", "double"),), key="id")
    stream = io.BytesIO()
    frame.to_parquet(stream)
    assert parquet_rows(Decoder(spec), stream.getvalue()).key == ["7", None]
    body = f'{{"dataframe_split": {frame.to_json(orient="split")}}}'
    assert '"data":[[1.0,7.0]' in body
    assert Decoder(spec).json(body.encode()).key == ["7", None]


def of(dtype, *, required=True):
    return Decoder(
        ModelSpec(1, "regression", (Column("a", "double"), Column("c", dtype, required)))
    )


@pytest.mark.parametrize(
    ("dtype", "field", "kept"),
    [
        ("long", "9223372036854775807", 2**63 - 1),
        ("long", "-9223372036854775808", -(2**63)),
        ("long", "+7.000", 7),
        ("long", " 7 ", 7),
        ("integer", "2147483647", 2**31 - 1),
        ("integer", "-2147483648", -(2**31)),
        ("double", ".5", 0.5),
        ("double", "5.", 5.0),
        ("double", "-1E-3", -0.001),
        ("double", "1.7976931348623157e308", 1.7976931348623157e308),
        ("double", "5e-324", 5e-324),
        ("boolean", "TRUE", True),
        ("boolean", " False", False),
        ("string", " pro ", " pro "),
        ("string", "nan", "nan"),
        ("string", "NULL", "NULL"),
        ("string", "\x00", "\x00"),
        ("string", '"a ""b"",\r\nc"', 'a "b",\r\nc'),
        ("binary", "eA==", b"x"),
    ],
)
def test_a_field_is_what_it_says(dtype, field, kept):
    rows = csv_rows(of(dtype), f"a,c\n1,{field}\n".encode())
    assert rows.columns["c"].tolist() == [kept]


@pytest.mark.parametrize(
    ("dtype", "field"),
    [
        ("long", "9223372036854775808"),
        ("long", "-9223372036854775809"),
        ("long", "7.5"),
        ("long", "1e3"),
        ("long", "--7"),
        ("long", "9" * 5000),
        ("integer", "2147483648"),
        ("integer", "-2147483649"),
        ("double", "1,5"),
        ("double", "1.7976931348623159e308"),
        ("double", "+"),
        ("double", "."),
        ("double", "e5"),
        ("double", "1 000"),
        ("float", "1e39"),
        ("boolean", "1"),
        ("boolean", "yes"),
        ("boolean", "tRUE"),
        ("boolean", "nan"),
        ("binary", "?"),
        ("datetime", "31.12.2026"),
    ],
)
def test_a_field_that_is_not_of_its_type_names_column_and_row(dtype, field):
    body = f"a,c\n1,\n2,{field}\n" if "," not in field else f'a,c\n1,\n2,"{field}"\n'
    wanted = of(dtype, required=False)
    if dtype in {"long", "integer"}:  # these hold no nulls
        body = body.replace("1,\n", "1,1\n")
    with pytest.raises(DataError, match="column 'c' of row 1 is") as caught:
        csv_rows(wanted, body.encode())
    assert len(str(caught.value)) < 300
    assert caught.value.fix


numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
texts = st.none() | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r"), min_size=1, max_size=6
)


@given(table=st.lists(st.tuples(numbers, texts), min_size=1, max_size=5))
@settings(max_examples=80, deadline=None)
def test_any_table_comes_through_csv_and_parquet_alike(table):
    frame = pd.DataFrame(table, columns=["n", "t"]).astype({"n": "float64", "t": object})
    spec = ModelSpec(
        1, "regression", (Column("n", "double", required=False), Column("t", "string", False))
    )
    bodies = (
        csv_rows(Decoder(spec), frame.to_csv(index=False).encode()),
        parquet_rows(Decoder(spec), parquet(frame)),
    )
    for rows in bodies:
        assert rows.count == len(table)
        assert rows.columns["t"].tolist() == [text for _, text in table]
        np.testing.assert_array_equal(rows.columns["n"], frame["n"].to_numpy())


def arrow(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


ROLES = Decoder(ModelSpec(1, "regression", (Column("a", "double"),), time="ts", key="id"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": [[1, 2]]}, "column 'id' of row 0 is no key"),
        ({"id": [{"x": 1}]}, "column 'id' of row 0 is no key"),
        ({"ts": [[1, 2]]}, "column 'ts' is no time"),
        ({"ts": ["soon"]}, "column 'ts' is no time"),
        ({"ts": [True]}, "column 'ts' is no time"),
        ({"ts": ["12026-01-01"]}, "column 'ts' is no time"),
        ({"ts": pa.array([5], pa.duration("s"))}, "column 'ts' is no time"),
        ({"ts": pa.array([5], pa.time32("s"))}, "column 'ts' is no time"),
        ({"a": [[1.0]]}, "column 'a' holds"),
        ({"a": [float("inf")]}, "the model wants finite numbers"),
        ({"a": pa.nulls(1)}, "column 'a' is null in row 0"),
        ({"a": [b"x"]}, "column 'a' holds"),
        ({"A": [1.0]}, "column 'A' is not known"),
        ({"a": pa.array([], pa.float64())}, "there are no rows"),
    ],
)
def test_a_hostile_parquet_is_refused_in_one_line(columns, message):
    with pytest.raises(DataError, match=message) as caught:
        parquet_rows(ROLES, arrow(**{"a": [1.0]} | columns))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("keys", "kept"),
    [
        (["c1", None], ["c1", None]),
        ([7, None], ["7", None]),
        ([7.5, 8.0], ["7.5", "8"]),
        (pa.array(["c1", "c2"]).dictionary_encode(), ["c1", "c2"]),
        ([None, None], [None, None]),
    ],
)
def test_keys_of_a_parquet_are_the_texts_that_labels_name(keys, kept):
    assert parquet_rows(ROLES, arrow(a=[1.0, 2.0], id=keys)).key == kept


def test_a_parquet_that_was_cut_off_is_refused_at_every_length():
    body = arrow(a=[1.0, 2.0])
    for length in range(0, len(body), 37):
        with pytest.raises(DataError, match="not Parquet"):
            parquet_rows(ROLES, body[:length])
