"""Folders, hive keys, parts of several types, logs; what cannot be read names its file."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lifecycle.drift import build_profile
from lifecycle.engines import parquet
from lifecycle.engines.local import compare, profile
from lifecycle.engines.sources import opened, to_polars
from lifecycle.errors import DataError
from lifecycle.records import Outcome
from lifecycle.stores.predictions import PredictionLog, PredictionWriter


def rows(size=300, seed=0):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "x": rng.normal(size=size),
            "n": rng.integers(0, 40, size),
            "c": rng.choice(["a", "b"], size),
        }
    )


@pytest.fixture(params=["whole", "chunks"])
def read(request):
    """Opens a path whole or in chunks of 37 rows."""
    most = {"whole": 10_000, "chunks": 37}[request.param]
    return lambda path: parquet.opened(path, most)


def told(report):
    return {name: (item.outcome, item.test, item.reason) for name, item in report.columns.items()}


def test_parts_are_one_table(tmp_path, read):
    frame = rows()
    for place, start in enumerate((0, 100, 250)):
        stop = (100, 250, 300)[place]
        frame[start:stop].write_parquet(tmp_path / f"{place}.parquet", row_group_size=30)
    (tmp_path / "_metadata.parquet").write_bytes(b"not read")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "old.parquet").write_bytes(b"not read")
    assert to_polars(read(tmp_path), "folder").equals(frame)
    assert profile(read(tmp_path)).columns["c"] == build_profile(frame).columns["c"]
    assert profile(read(tmp_path)).columns["x"].counts == build_profile(frame).columns["x"].counts


def test_a_row_group_larger_than_a_chunk_is_read_in_pieces(tmp_path):
    frame = rows()
    frame.write_parquet(tmp_path / "one.parquet", row_group_size=300)
    table = parquet.opened(tmp_path / "one.parquet", 37)
    chunks = list(table.column("x").read())
    assert max(chunk.len() for chunk in chunks) <= 37
    assert pl.concat(chunks).equals(frame["x"])
    assert not table.whole
    assert told(compare(table, table)) == told(compare(frame, frame))


def test_a_column_that_a_part_lacks_is_null_there(tmp_path, read):
    frame = rows()
    frame[:150].drop("n").write_parquet(tmp_path / "a.parquet")
    frame[150:].with_columns(pl.col("x").cast(pl.Float32)).write_parquet(tmp_path / "b.parquet")
    table = read(tmp_path)
    assert dict(table.columns) == {"x": pl.Float64, "c": pl.String, "n": pl.Int64}
    assert profile(table).columns["n"].null == 150
    assert to_polars(table, "folder")["n"].null_count() == 150


def test_whole_and_broken_numbers_go_together(tmp_path, read):
    pl.DataFrame({"x": [1, 2, 3]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"x": [0.5, None]}).write_parquet(tmp_path / "b.parquet")
    pl.DataFrame({"x": [None, None]}).write_parquet(tmp_path / "c.parquet")
    assert to_polars(read(tmp_path), "folder")["x"].to_list() == [1.0, 2.0, 3.0, 0.5, *[None] * 3]


def test_types_that_do_not_go_together_name_the_file(tmp_path):
    pl.DataFrame({"x": [1, 2, 3]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"x": [[1]]}).write_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"column 'x' is List\(Int64\) here and Int64.*b\.parquet"):
        parquet.opened(tmp_path)


def test_a_damaged_file_among_good_ones_is_named(tmp_path):
    frame = rows()
    for name in "abc":
        frame.write_parquet(tmp_path / f"{name}.parquet")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no, not really PAR1")
    with pytest.raises(DataError, match=r"cannot be read.*b\.parquet"):
        compare(frame, tmp_path)
    (tmp_path / "b.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"the file is empty.*b\.parquet"):
        compare(frame, tmp_path)
    (tmp_path / "b.parquet").unlink()
    (tmp_path / "b.parquet").mkdir()
    with pytest.raises(DataError, match=r"b\.parquet"):
        compare(frame, tmp_path)


def test_damage_in_the_middle_of_a_file_names_it(tmp_path):
    path = tmp_path / "a.parquet"
    rows(3000).write_parquet(path, compression="zstd")
    damaged = bytearray(path.read_bytes())
    damaged[200:6000] = bytes(5800)
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"cannot be read.*a\.parquet"):
        compare(rows(), path)


def test_files_without_rows_and_with_one(tmp_path, read):
    frame = rows()
    frame[:0].write_parquet(tmp_path / "none.parquet")
    report = compare(frame, read(tmp_path / "none.parquet"))
    assert report.outcome is Outcome.UNSURE
    assert report.reasons == ("there are no live rows: at least 30 are needed",)
    with pytest.raises(DataError, match="the reference has no rows"):
        compare(read(tmp_path / "none.parquet"), frame)
    frame[:1].write_parquet(tmp_path / "one.parquet")
    report = compare(frame, read(tmp_path / "one.parquet"))
    assert report.reasons[0].startswith("1 live row is too few")
    assert to_polars(read(tmp_path), "folder").height == 1


def test_hive_keys_are_columns_for_those_who_ask(tmp_path, read):
    frame = rows().with_columns(plan=pl.Series(["free", "paid & more"] * 150))
    for name, folder in (("free", "plan=free"), ("paid & more", "plan=paid%20%26%20more")):
        (tmp_path / folder).mkdir()
        part = frame.filter(plan=name).drop("plan")
        part.write_parquet(tmp_path / folder / "a.parquet", row_group_size=40)
    table = read(tmp_path)
    assert list(table.columns) == ["x", "n", "c"]
    assert set(table.more) == {"plan"}
    with_plan = compare(frame, table)
    assert "plan" in with_plan.columns
    assert not with_plan.drifted
    assert "plan" not in compare(frame.drop("plan"), table).columns
    assert "plan" not in compare(table, table).columns
    assert "plan" in profile(table, like=build_profile(frame)).columns


def test_the_row_numbers_of_pandas_are_no_column(tmp_path):
    frame = rows().to_pandas().iloc[::2]
    frame.to_parquet(tmp_path / "a.parquet")
    assert list(parquet.opened(tmp_path / "a.parquet").columns) == ["x", "n", "c"]
    named = frame.set_axis([place * place for place in range(150)]).rename_axis("key")
    named.to_parquet(tmp_path / "b.parquet")
    assert "key" in parquet.opened(tmp_path / "b.parquet").columns


def test_a_text_column_of_few_levels_is_read_as_numbers(tmp_path, read):
    frame = rows(5000).with_columns(id=pl.Series([f"id {place}" for place in range(5000)]))
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=1000)
    table = read(tmp_path / "a.parquet")
    assert {str(chunk.dtype) for chunk in table.column("c").read()} == {"Categorical"}
    assert {str(chunk.dtype) for chunk in table.column("id").read()} == {"String"}
    assert table.column("c").at(np.array([3, 77])).to_list() == frame["c"][[3, 77]].to_list()
    found = profile(table)
    assert found.columns["c"] == build_profile(frame).columns["c"]
    assert found.columns["id"].kind == "text"
    odd = frame.with_columns(c=pl.lit(7))
    reason = compare(odd, table).columns["c"].reason
    assert reason == "c is of type String (categorical) instead of numeric"


ODD = {
    "int8 with nulls": pl.Series([1, None, 3] * 40, dtype=pl.Int8),
    "32 bits": pl.Series([0.5, 1.5, 2.5] * 40, dtype=pl.Float32),
    "decimal": pl.Series([Decimal("1.25"), Decimal("2.50"), None] * 40),
    "category": pl.Series(["a", "b", None] * 40, dtype=pl.Categorical),
    "enum": pl.Series(["a", "b", None] * 40, dtype=pl.Enum(["a", "b", "c"])),
    "boolean": pl.Series([True, None, False] * 40),
    "list": pl.Series([[1], None, [2, 3]] * 40),
    "struct": pl.Series([{"a": 1}, {"a": None}, None] * 40),
    "binary": pl.Series([b"a", None, b"c"] * 40),
    "all null": pl.Series([None] * 120, dtype=pl.Float64),
    "null type": pl.Series([None] * 120),
    "constant": pl.Series([7.0] * 120),
    "infinite": pl.Series([np.inf, -np.inf, np.nan, 1.0] * 30),
    "zone": pl.Series([dt.datetime(2026, 4, 1, tzinfo=dt.UTC)] * 120).dt.convert_time_zone(
        "Europe/Berlin"
    ),
    "day": pl.Series([dt.date(2026, 4, 1), None, dt.date(2026, 4, 2)] * 40),
    "span": pl.Series([dt.timedelta(hours=2), None, dt.timedelta(hours=3)] * 40),
    "clock": pl.Series([dt.time(2), None, dt.time(3)] * 40),
    "words": pl.Series([f"word {place}" for place in range(120)]),
    "a.b": pl.Series([1.0, 2.0, 3.0] * 40),
}


def test_any_column_is_monitored_in_a_stated_way(tmp_path, read):
    frame = pl.DataFrame({name: values.alias(name) for name, values in ODD.items()})
    frame.write_parquet(tmp_path / "odd.parquet", row_group_size=50)
    report = compare(frame, read(tmp_path / "odd.parquet"))
    assert told(report) == told(compare(frame, frame))
    assert set(report.columns) == set(ODD)
    assert not report.drifted
    kinds = {name: item.kind for name, item in report.columns.items()}
    assert kinds["decimal"] == kinds["int8 with nulls"] == kinds["infinite"] == "numeric"
    assert kinds["category"] == kinds["enum"] == "categorical"
    assert {"list", "struct", "binary", "zone", "day", "words", "null type", "all null"} == set(
        report.not_monitored
    )


def test_missing_values_of_any_column_are_found(tmp_path, read):
    frame = pl.DataFrame({name: values.alias(name) for name, values in ODD.items()})
    full = pl.concat([frame] * 3)
    names = [name for name in ODD if frame[name].null_count() < 60 and name != "infinite"]
    gone = full.select(
        [
            pl.when(pl.int_range(pl.len()) % 5 > 0).then(None).otherwise(pl.col(n)).alias(n)
            for n in names
        ]
    )
    gone.write_parquet(tmp_path / "gone.parquet")
    report = compare(full.select(names), read(tmp_path / "gone.parquet"))
    assert {name for name in names if not report.columns[name].drifted} == set()


def test_lazy_frames_and_csv_files(tmp_path):
    frame = rows()
    frame.write_csv(tmp_path / "a.csv")
    wanted = told(compare(frame, frame))
    assert told(compare(frame.lazy(), frame.lazy().filter(pl.col("x") < 9))) == wanted
    assert told(compare(frame, tmp_path / "a.csv")) == wanted
    with pytest.raises(DataError, match="the lazy frame cannot be collected"):
        compare(frame, frame.lazy().select("no"))
    (tmp_path / "none.csv").write_text("x,n,c\n", encoding="utf-8")
    assert compare(frame, tmp_path / "none.csv").outcome is Outcome.UNSURE
    with pytest.raises(DataError, match="does not exist"):
        opened(tmp_path / "no.parquet", "current")
    (tmp_path / "rows.xlsx").write_text("x")
    with pytest.raises(DataError, match=r"neither \.parquet nor \.csv"):
        opened(tmp_path / "rows.xlsx", "current")


def test_nullable_columns_of_pandas(tmp_path):
    frame = pd.DataFrame({"n": pd.array([1, None, 3] * 50, dtype="Int64"), "b": [1.5] * 150})
    frame.to_parquet(tmp_path / "a.parquet")
    report = compare(frame, tmp_path / "a.parquet")
    assert report.columns["n"].kind == "numeric"
    assert not report.drifted


def test_a_type_that_polars_cannot_hold_is_an_error(tmp_path):
    month = pa.array([1, 2], type=pa.int32()).cast(pa.date32())
    pq.write_table(pa.table({"x": [1.0, 2.0], "d": month}), tmp_path / "a.parquet")
    assert set(parquet.opened(tmp_path / "a.parquet").columns) == {"x", "d"}


def log(folder, models=("churn",), size=120, shift=0.0):
    rng = np.random.default_rng(size)
    with PredictionWriter(folder, background=False) as writer:
        for model in models:
            for place in range(size):
                writer.append(
                    model,
                    1 + place % 2,
                    f"id{place}",
                    time=1_770_000_000_000_000 + place * 3_600_000_000,
                    features={
                        "x": np.array([rng.normal(shift)]),
                        "plan": np.array([("a", "b")[place % 2]]),
                    },
                    prediction=np.array([place % 2]),
                    score=np.array([rng.random()]),
                )
    PredictionLog(folder).seal()


def reference(size=400, **more):
    rng = np.random.default_rng(1)
    return pl.DataFrame({"x": rng.normal(size=size), "plan": ["a", "b"] * (size // 2), **more})


def test_a_log_is_the_table_of_its_features(tmp_path, read):
    log(tmp_path / "log")
    report = compare(reference(), read(tmp_path / "log"))
    assert set(report.columns) == {"x", "plan"}
    assert not report.drifted
    assert report.current_rows == 120
    scored = reference(prediction=[0, 1] * 200, score=np.linspace(0, 1, 400))
    report = compare(scored, read(tmp_path / "log"))
    assert {"prediction", "score"} <= set(report.columns)
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    times = [start + dt.timedelta(minutes=place) for place in range(400)]
    timed = compare(reference(time=times), read(tmp_path / "log"), time="time")
    assert timed.window is not None
    assert timed.window[0].startswith("2026-02-02")


def test_the_log_of_several_models_must_be_narrowed(tmp_path):
    log(tmp_path / "log", ("churn", "a/b"))
    with pytest.raises(DataError, match=r"several models: a/b, churn"):
        compare(reference(), tmp_path / "log")
    report = compare(reference(), tmp_path / "log" / "model=churn")
    assert set(report.columns) == {"x", "plan"}


def test_labels_beside_a_log_are_not_its_rows(tmp_path, read):
    log(tmp_path / "log")
    labels = tmp_path / "log" / "labels" / "model=churn"
    labels.mkdir(parents=True)
    pl.DataFrame({"prediction_id": ["id1"], "label": [1]}).write_parquet(labels / "a.parquet")
    table = read(tmp_path / "log")
    assert table.rows == 120
    assert "label" not in table.columns


def test_a_shift_in_a_log_is_found(tmp_path, read):
    log(tmp_path / "log", shift=2.0)
    assert compare(reference(), read(tmp_path / "log")).columns["x"].test == "location"
