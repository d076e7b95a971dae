"""How the columns of sealed files are encoded, and into which days rows go."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.stores import sealed
from lifecycle.stores.rows import TIME

START = datetime(2026, 4, 1, tzinfo=UTC)


def frame(rows=50, **columns):
    times = [START + timedelta(seconds=row) for row in range(rows)]
    return pl.DataFrame({"time": pl.Series(times, dtype=TIME), **columns})


def encodings(path):
    file = pq.ParquetFile(path)
    group = file.metadata.row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    return {column.path_in_schema: column for column in columns}


@pytest.fixture
def columns(tmp_path):
    features = [
        {"age": float(row), "calls": row, "a.b": "x" if row % 2 else None} for row in range(50)
    ]
    whole = frame(
        prediction_id=[f"id.{row}" for row in range(50)],
        key=[f"c{row}" for row in range(50)],
        model=["churn"] * 50,
        features=features,
        error=pl.Series([None] * 50, dtype=pl.String),
    )
    path = tmp_path / "part.parquet"
    sealed.write_whole(whole, path)
    assert pl.read_parquet(path).equals(whole)
    return encodings(path)


def dictionary(column):
    return any("DICTIONARY" in name for name in column.encodings)


@pytest.mark.parametrize("name", ["model", "features.a.b"])
def test_texts_that_repeat_have_a_dictionary(columns, name):
    assert dictionary(columns[name])


@pytest.mark.parametrize("name", ["prediction_id", "key", "time", "features.age", "features.calls"])
def test_ids_and_numbers_have_none(columns, name):
    assert not dictionary(columns[name])


def test_what_rows_are_selected_by_has_statistics(columns):
    assert columns["time"].statistics.min == START
    assert columns["model"].statistics.max == "churn"
    assert columns["features.age"].statistics is None


def test_all_columns_are_compressed(columns):
    assert {column.compression for column in columns.values()} == {"ZSTD"}


def test_a_file_without_texts_is_written(tmp_path):
    sealed.write_whole(frame(n=list(range(50))), tmp_path / "part.parquet")
    assert pl.read_parquet(tmp_path / "part.parquet")["n"].sum() == sum(range(50))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-200_000, 200_000), min_size=1, max_size=20))
def test_rows_go_to_their_days(seconds):
    times = [START + timedelta(seconds=second) for second in seconds]
    made = pl.DataFrame({"time": pl.Series(times, dtype=TIME), "n": list(range(len(times)))})
    found = dict(sealed.days(made))
    wanted = {}
    for place, moment in enumerate(times):
        wanted.setdefault(str(moment.date()), []).append(place)
    assert {day: rows["n"].to_list() for day, rows in found.items()} == wanted
    assert all(rows.columns == ["time", "n"] for rows in found.values())
    assert list(found) == sorted(found)
