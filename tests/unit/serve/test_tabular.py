import io

import numpy as np
import pandas as pd
import pytest

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
