"""Tables are read as they are or refused, and their digest notices every change."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.stores.datasets import batches, columns, digest, read

FRAME = pd.DataFrame(
    {
        "n": [1.5, np.nan, 3.0],
        "i": [1, 2, 3],
        "b": [True, False, True],
        "s": ["x", None, "z"],
        "t": pd.date_range("2026-01-01", periods=3),
    }
)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_files_and_frames_give_the_same_table(tmp_path, suffix):
    path = tmp_path / f"data.{suffix}"
    getattr(FRAME, f"to_{suffix}")(path, index=False)
    for source in (path, str(path), FRAME, pl.from_pandas(FRAME)):
        found = read(source)
        assert list(found.columns) == list(FRAME.columns)
        assert found["n"].isna().tolist() == [False, True, False]
        assert found["b"].dtype == bool
        assert pd.api.types.is_datetime64_any_dtype(found["t"])
    assert columns(path) == tuple(FRAME.columns)


def test_a_late_row_of_another_type_does_not_break_a_csv(tmp_path, monkeypatch):
    monkeypatch.setattr("lifecycle.stores.datasets.TYPED_ROWS", 5)
    path = tmp_path / "data.csv"
    path.write_text("x\n" + "1\n" * 20 + "2.5\n")
    assert read(path)["x"].tolist()[-1] == 2.5
    whole = pl.concat(list(batches(path, 4)), how="vertical_relaxed")
    assert whole["x"].to_list() == [1.0] * 20 + [2.5]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_batches_keep_order_and_bound(tmp_path, suffix):
    path = tmp_path / f"data.{suffix}"
    frame = pd.DataFrame({"x": np.arange(1000)})
    getattr(frame, f"to_{suffix}")(path, index=False)
    found = list(batches(path, 300))
    assert all(item.height <= 300 for item in found)
    assert pl.concat(found)["x"].to_list() == list(range(1000))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.csv", None, "no such file"),
        ("data.xlsx", b"x", "'.xlsx' cannot be read.*parquet, .csv"),
        ("data", b"x", "'nothing' cannot be read"),
        ("empty.csv", b"", "the file is empty"),
        ("empty.parquet", b"", "the file is empty"),
        ("header.csv", b"a,b\n", "columns but no rows"),
        ("damaged.parquet", b"PAR1 cut off", "cannot be read as Parquet"),
        ("ragged.csv", b"a,b\n1,2\n1,2,3,4\n", "cannot be read as CSV"),
        ("twins.csv", b"a,b,a\n1,2,3\n", "column 'a' is there 2 times"),
        ("binary.csv", b"\xff\xfe\x00\x01", "cannot be read as CSV"),
    ],
)
def test_bad_files_are_one_error_that_names_them(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert caught.value.where == str(path)
    assert caught.value.fix


def test_a_cut_off_parquet_file_is_refused(tmp_path):
    path = tmp_path / "data.parquet"
    FRAME.to_parquet(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read(path)
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        list(batches(path, 10))


def test_bad_frames_are_refused():
    with pytest.raises(DataError, match="no rows"):
        read(FRAME.iloc[:0])
    with pytest.raises(DataError, match="'n' is there 2 times"):
        read(pd.concat([FRAME, FRAME[["n"]]], axis=1))


CHANGES = {
    "last row": lambda frame: frame.assign(i=[1, 2, 4]),
    "bool": lambda frame: frame.assign(b=[True, True, True]),
    "time": lambda frame: frame.assign(t=frame.t + pd.Timedelta(1, "us")),
    "dtype": lambda frame: frame.assign(i=frame.i.astype("int32")),
    "bool to int": lambda frame: frame.assign(b=frame.b.astype("int64")),
    "level": lambda frame: frame.assign(s=["x", None, "y"]),
    "null to empty": lambda frame: frame.assign(s=["x", "", "z"]),
    "null to zero": lambda frame: frame.assign(n=[1.5, 0.0, 3.0]),
    "name": lambda frame: frame.rename(columns={"n": "m"}),
    "column order": lambda frame: frame[["i", "n", "b", "s", "t"]],
    "row order": lambda frame: frame.iloc[[1, 0, 2]],
    "a row less": lambda frame: frame.iloc[:2],
    "a column less": lambda frame: frame[["n", "i", "b", "s"]],
    "category": lambda frame: frame.assign(s=frame.s.astype("category")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_digest_notices(change):
    assert digest(CHANGES[change](FRAME)) != digest(FRAME)


def test_the_digest_is_the_same_for_the_same_values():
    assert digest(FRAME) == digest(FRAME.copy())
    assert digest(FRAME) == digest(pl.from_pandas(FRAME))
    assert digest(FRAME) == digest(FRAME.set_index(pd.Index([7, 8, 9])))
    with_none = pd.DataFrame({"n": pd.array([1.5, None, 3.0], dtype="Float64")})
    assert digest(with_none) == digest(FRAME[["n"]])
    assert len(digest(FRAME)) == 64


def test_mixed_columns_have_a_digest_too():
    mixed = pd.DataFrame({"m": [1, "a", None]})
    assert digest(mixed) == digest(mixed.copy())
    assert digest(mixed) != digest(pd.DataFrame({"m": [1, "b", None]}))
    assert digest(mixed) != digest(pd.DataFrame({"m": ["1", "a", None]}))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.text(max_size=4), min_size=2, max_size=6),
    st.lists(st.text(max_size=4), min_size=2, max_size=6),
)
def test_two_columns_of_text_have_one_digest_only_when_equal(one, two):
    first, second = (digest(pd.DataFrame({"s": values}, dtype=object)) for values in (one, two))
    assert (first == second) == (one == two)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_row_numbers_of_pandas_are_no_column(tmp_path, suffix):
    frame = pd.DataFrame({"n": [1, 2, 3], "__index_level_1__": [4, 5, 6]}, index=[7, 8, 9])
    path = tmp_path / f"rows.{suffix}"
    frame.to_parquet(path) if suffix == "parquet" else frame.to_csv(path)
    for names in (
        columns(path),
        list(read(path)),
        *(part.columns for part in batches(path, 2)),
    ):
        assert list(names) == ["n", "__index_level_1__"]
    named = frame.rename_axis("customer")
    named.to_parquet(path) if suffix == "parquet" else named.to_csv(path)
    assert "customer" in read(path), "somebody named it, so it says something"


def test_a_nul_in_a_name_is_one_clear_error(tmp_path):
    frame = pd.DataFrame({"a\0b": [1]})
    frame.to_parquet(tmp_path / "nul.parquet")
    (tmp_path / "nul.csv").write_bytes(b"a\0b,c\n1,2\n")
    for source in (frame, pl.from_pandas(frame), tmp_path / "nul.parquet", tmp_path / "nul.csv"):
        with pytest.raises(DataError, match="holds a NUL character"):
            read(source)


def test_names_that_are_no_text_become_text():
    given = pd.DataFrame(np.zeros((2, 2)))
    assert list(read(given)) == ["0", "1"]
    assert list(given) == [0, 1]
