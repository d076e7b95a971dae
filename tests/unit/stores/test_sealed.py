"""Sealed files: whole or not there, one folder a day, versions with other columns read together."""

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError, LogError
from lifecycle.stores import sealed
from lifecycle.stores.journal import Journal
from lifecycle.stores.sealed import (
    check,
    days,
    files,
    moment,
    part,
    scan,
    seal,
    unified,
    window,
    write,
    write_whole,
)

NOON = datetime(2026, 4, 1, 12, tzinfo=UTC)
ALL = pl.lit(value=True)


def frame(*times, version=1):
    return pl.DataFrame(
        {"time": list(times), "n": list(range(len(times))), "version": [version] * len(times)},
        schema_overrides={"time": pl.Datetime("us", "UTC")},
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("2026-04-01", datetime(2026, 4, 1, tzinfo=UTC)),
        ("2026-04-01T12:00:00+02:00", datetime(2026, 4, 1, 10, tzinfo=UTC)),
        (date(2026, 4, 1), datetime(2026, 4, 1, tzinfo=UTC)),
        (NOON.replace(hour=5, tzinfo=None), datetime(2026, 4, 1, 5, tzinfo=UTC)),
        (
            datetime(2026, 4, 1, 5, tzinfo=timezone(timedelta(hours=-3))),
            datetime(2026, 4, 1, 8, tzinfo=UTC),
        ),
    ],
)
def test_a_moment_is_utc_however_it_is_given(value, expected):
    assert moment(value) == expected


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "2026-04-01 25:00"])
def test_what_is_no_moment_names_the_argument(text):
    with pytest.raises(DataError, match=r"since is .*no date or time") as told:
        moment(text, "since")
    assert "write 2026-04-01" in told.value.fix


@settings(max_examples=40)
@given(st.datetimes())
def test_a_moment_reads_back_what_it_writes(naive):
    found = moment(naive)
    assert moment(found.isoformat()) == found
    assert moment(found) == found


def test_a_window_includes_its_start_and_not_its_end():
    rows = frame(NOON - timedelta(hours=1), NOON, NOON + timedelta(hours=1))
    query, first, last = window("2026-04-01T12:00", "2026-04-01T13:00", None)
    assert rows.filter(query)["n"].to_list() == [1]
    assert (first, last) == ("date=2026-04-01", "date=2026-04-01")
    query, first, last = window(None, None, None)
    assert rows.filter(query).height == 3
    assert first < "date=0001-01-01"
    assert last > "date=9999-12-31", "an open end includes every folder"
    both = pl.concat([rows, frame(NOON, version=2)])
    assert both.filter(window(None, None, 2)[0])["version"].to_list() == [2]


def test_rows_go_to_the_folder_of_their_day(tmp_path):
    late = datetime(2026, 4, 1, 23, 59, 59, 999999, tzinfo=UTC)
    rows = frame(late + timedelta(microseconds=1), late, NOON)
    assert [(day, part["n"].to_list()) for day, part in days(rows)] == [
        ("2026-04-01", [1, 2]),
        ("2026-04-02", [0]),
    ]
    write(tmp_path, "churn", rows, "x")
    assert [path.parent.name for path in files(tmp_path, "churn")] == [
        "date=2026-04-01",
        "date=2026-04-02",
    ]
    assert files(tmp_path, "other") == []


@pytest.mark.parametrize("name", ["a/b", "..", "prix €", "x=y", "50%"])
def test_a_models_name_cannot_leave_the_log(tmp_path, name):
    log = tmp_path / "log"
    write(log, name, frame(NOON), "x")
    (path,) = files(log, name)
    assert path.parent.parent.parent == log
    assert [item.name for item in tmp_path.iterdir()] == ["log"]
    assert files(log, "x") == []


def test_what_exists_is_not_written_again_unless_it_shall_be(tmp_path):
    write(tmp_path, "churn", frame(NOON), "x")
    write(tmp_path, "churn", frame(NOON, NOON), "x")
    (path,) = files(tmp_path, "churn")
    assert pl.read_parquet(path).height == 1
    write(tmp_path, "churn", frame(NOON, NOON), "x", replace=True)
    assert pl.read_parquet(path).height == 2


def test_no_half_file_stays_when_writing_fails(tmp_path):
    blocked = tmp_path / "date=2026-04-01" / "x.parquet"
    blocked.mkdir(parents=True)
    (blocked / "inside").write_text("")
    with pytest.raises(LogError, match="the log cannot be written") as told:
        write_whole(frame(NOON), blocked)
    assert "stays in its journal" in told.value.fix
    assert [item.name for item in blocked.parent.iterdir()] == ["x.parquet"]


def test_sealing_a_journal_moves_its_rows_and_twice_doubles_nothing(tmp_path):
    book = Journal(tmp_path)
    for number in range(3):
        book.append(
            "churn", 1, f"id{number}", rows=1, time=1_775_044_800_000_000,
            features={"age": np.array([float(number)])}, prediction=np.array([number]),
        )  # fmt: skip
    book.close()
    content = book.path.read_bytes()
    seal(tmp_path, book.path)
    assert not book.path.exists()
    (path,) = files(tmp_path, "churn")
    assert path.stem == part(book.path, 0)
    before = path.read_bytes()
    book.path.write_bytes(content)  # as after a crash before the journal was removed
    seal(tmp_path, book.path)
    assert files(tmp_path, "churn") == [path]
    assert path.read_bytes() == before
    found = scan([path], ALL, ["prediction_id", "prediction"], skip_damaged=False)
    assert found[0].rows() == [("id0", 0), ("id1", 1), ("id2", 2)]


def test_a_damaged_journal_is_not_removed(tmp_path):
    book = Journal(tmp_path)
    book.append("churn", 1, "id", rows=1, time=0, features={}, prediction=np.array([1]))
    book.close()
    content = bytearray(book.path.read_bytes())
    content[-1] ^= 1
    book.path.write_bytes(bytes(content))
    with pytest.raises(LogError, match="damaged"):
        seal(tmp_path, book.path)
    assert book.path.read_bytes() == bytes(content)
    assert files(tmp_path, "churn") == []


def test_a_file_of_another_schema_is_not_read_as_ours(tmp_path):
    other = tmp_path / "other.parquet"
    frame(NOON).write_parquet(other)
    with pytest.raises(LogError, match=r"lifecycle\.schema = None, not 1"):
        check(other)
    ours = tmp_path / "ours.parquet"
    write_whole(frame(NOON), ours)
    assert list(check(ours)) == ["time", "n", "version"]
    ours.write_bytes(ours.read_bytes()[:-9])
    with pytest.raises(LogError, match="cannot be read") as told:
        check(ours)
    assert told.value.where == str(ours)


def test_a_damaged_file_among_good_ones_is_named_or_left_out_with_a_warning(tmp_path):
    good, bad = tmp_path / "good.parquet", tmp_path / "bad.parquet"
    write_whole(frame(NOON, NOON), good)
    write_whole(frame(*[NOON] * 500), bad)
    content = bytearray(bad.read_bytes())
    content[4:80] = b"\xff" * 76  # the footer still reads, the pages do not
    bad.write_bytes(bytes(content))
    with pytest.raises(LogError, match="cannot be read") as told:
        scan([good, bad], ALL, ["n", "time", "version"], skip_damaged=False)
    assert told.value.where == str(bad)
    with pytest.warns(UserWarning, match="left out"):
        found = scan([good, bad], ALL, ["n", "time", "version"], skip_damaged=True)
    assert sum(item.height for item in found) == 2


def test_versions_with_other_columns_and_types_become_one_frame():
    old = pl.DataFrame({"score": [0.5], "prediction": [1], "features": [{"a": 1, "b": None}]})
    new = pl.DataFrame(
        {"score": [[0.1, 0.9]], "prediction": ["yes"], "features": [{"b": "x", "c": True}]}
    )
    none = pl.DataFrame({"score": [None], "prediction": [None], "features": [None]})
    found = unified([old, new, none], ["score", "prediction", "features"])
    assert found["score"].to_list() == [[0.5], [0.1, 0.9], None]
    assert found["prediction"].to_list() == ["1", "yes", None]
    assert found["features"].to_list() == [
        {"a": 1, "b": None, "c": None},
        {"a": None, "b": "x", "c": True},
        None,
    ]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from([pl.Int32, pl.Int64, pl.Float32, pl.Float64]), min_size=1, max_size=4)
)
def test_numbers_keep_their_value_whatever_types_meet(types):
    frames = [pl.DataFrame({"x": pl.Series([-3, 7], dtype=kind)}) for kind in types]
    found = unified(frames, ["x"])["x"]
    assert found.to_list() == [-3, 7] * len(types)
    whole = all(kind in (pl.Int32, pl.Int64) for kind in types)
    assert found.dtype.is_integer() is whole


def test_the_schema_is_what_the_files_promise(tmp_path):
    write(tmp_path, "churn", frame(NOON), "x")
    (path,) = files(tmp_path, "churn")
    assert pl.read_parquet_metadata(path)["lifecycle.schema"] == sealed.SCHEMA
    assert check(path)["time"] == pl.Datetime("us", "UTC")
