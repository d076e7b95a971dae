"""Tables are read as they are or refused, and their digest notices every change."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.stores.datasets import batches, columns, digest, read, unordered_digest

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


DAY = dt.datetime(2026, 7, 1, 12)  # noqa: DTZ001 - the tests add zones
TYPES = {
    "bool": pl.Series([True, False, True]),
    "bool with a null": pl.Series([True, None, False]),
    "unsigned": pl.Series([1, 2, 255], dtype=pl.UInt8),
    "more than a signed number holds": pl.Series([1, 2, 2**64 - 1], dtype=pl.UInt64),
    "signed": pl.Series([1, -2, 3], dtype=pl.Int8),
    "float32": pl.Series([1.5, None, 2.0], dtype=pl.Float32),
    "NaN": pl.Series([1.0, float("nan"), 2.0]),
    "time": pl.Series([DAY, None, DAY + dt.timedelta(microseconds=1)]),
    "time with a zone": pl.Series([DAY, None, DAY]).dt.replace_time_zone("Europe/Berlin"),
    "date": pl.Series([DAY.date(), None, dt.date(1900, 1, 1)]),
    "time of day": pl.Series([dt.time(1, 2), None, dt.time(3, 4, 5, 6)]),
    "duration": pl.Series([dt.timedelta(1), None, dt.timedelta(seconds=3)]),
    "category": pl.Series(["a", None, "b"], dtype=pl.Categorical),
    "enum": pl.Series(["a", None, "b"], dtype=pl.Enum(["b", "a"])),
    "text with a NUL": pl.Series(["a\0b", None, "é"]),
    "bytes": pl.Series([b"a\0", None, b""]),
    "decimal": pl.Series([Decimal("1.50"), None, Decimal("2.25")]),
    "list": pl.Series([[1, 2], [], [3]]),
    "struct": pl.Series([{"a": 1, "b": "x"}, {"a": 2, "b": None}, {"a": 3, "b": "z"}]),
    "nothing but nulls": pl.Series([None, None, None]),
}


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("of", [digest, unordered_digest])
def test_pandas_and_polars_have_one_digest(of, kind):
    frame = pl.DataFrame({"x": TYPES[kind]})
    assert of(frame) == of(frame.to_pandas())
    assert of(frame) == of(frame.clone().rechunk())
    twice = pl.concat([frame, frame])
    assert of(twice[3:]) == of(frame), "a part of a larger table is like a table of its own"


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind != "nothing but nulls"])
@pytest.mark.parametrize("of", [digest, unordered_digest])
def test_every_value_of_every_type_counts(of, kind):
    whole = TYPES[kind]
    seen = {of(pl.DataFrame({"x": whole}))}
    for rows in ([0, 0, 2], [0, 1, 1], [0, 1], [0, 1, 2, 2]):
        seen.add(of(pl.DataFrame({"x": whole[rows]})))
    assert len(seen) == 5


def test_types_that_look_alike_have_digests_of_their_own():
    alike = [
        pl.Series([1, 0], dtype=kind) for kind in (pl.Int8, pl.UInt8, pl.Int64, pl.Float64)
    ] + [pl.Series([True, False]), pl.Series(["1", "0"]), pl.Series([b"1", b"0"]),
         pl.Series(["1", "0"], dtype=pl.Categorical), pl.Series([Decimal(1), Decimal(0)]),
         pl.Series([DAY, DAY]), pl.Series([DAY, DAY]).dt.replace_time_zone("UTC"),
         pl.Series([[1], [0]])]  # fmt: skip
    for of in (digest, unordered_digest):
        assert len({of(pl.DataFrame({"x": item})) for item in alike}) == len(alike)


def test_a_time_is_the_same_in_any_unit_and_its_nanoseconds_count():
    exact = pl.Series([DAY, None, DAY])
    units = [pl.DataFrame({"t": exact.dt.cast_time_unit(unit)}) for unit in ("ms", "us", "ns")]
    later = pl.DataFrame({"t": units[2]["t"].to_physical() + 1}).cast(pl.Datetime("ns"))
    for of in (digest, unordered_digest):
        assert len({of(frame) for frame in units}) == 1
        assert of(later) != of(units[2])


def test_the_unordered_digest_forgets_order_and_nothing_else():
    whole = unordered_digest(FRAME)
    assert len(whole) == 32
    assert unordered_digest(FRAME.iloc[[2, 0, 1]]) == whole
    assert unordered_digest(FRAME[["t", "s", "b", "i", "n"]]) == whole
    for name, change in CHANGES.items():
        same = name in ("row order", "column order")
        assert (unordered_digest(change(FRAME)) == whole) == same, name
    crossed = FRAME.assign(i=[2, 1, 3])
    assert unordered_digest(crossed) != whole, "values belong to their rows"
    renamed = FRAME.rename(columns={"n": "i", "i": "n"})
    assert unordered_digest(renamed) != whole


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(-3, 3), st.sampled_from(["", "a", "b"])), max_size=6),
    data=st.data(),
)
def test_tables_have_one_unordered_digest_only_when_they_hold_the_same_rows(rows, data):
    other = data.draw(st.one_of(st.permutations(rows), st.just(rows[1:]), st.just(rows + rows)))
    schema = {"n": pl.Int64, "s": pl.String}
    one, two = (
        unordered_digest(pl.DataFrame(part, schema=schema, orient="row")) for part in (rows, other)
    )
    assert (one == two) == (sorted(rows) == sorted(other))


def test_mixed_columns_have_an_unordered_digest_too():
    mixed = pd.DataFrame({"m": [1, "a", None]})
    assert unordered_digest(mixed) == unordered_digest(mixed[::-1])
    assert unordered_digest(mixed) != unordered_digest(pd.DataFrame({"m": ["1", "a", None]}))
