"""What reads the sealed log without us: polars, DuckDB and pyarrow, over versions that differ."""

import duckdb
import numpy as np
import polars as pl
import pyarrow.dataset as ds
import pytest

from lifecycle.stores.predictions import PredictionLog, PredictionWriter
from lifecycle.stores.upkeep import tend

NOW = 1_775_044_800_000_000
DAY = 86_400_000_000
# What three versions of a model have: a column comes, one goes, one changes its type.
VERSIONS = {
    1: {"age": np.array([41, 19]), "plan": np.array(["pro", None], object)},
    2: {"age": np.array([41.5, np.nan]), "calls": np.array([3, 4], "i4")},
    3: {"calls": np.array([5, 6], "i4"), "plan": np.array(["basic", "pro"], object)},
}


@pytest.fixture(params=["small files", "merged files"])
def log(request, tmp_path):
    """Two requests of each version, in two days, each sealed by itself."""
    for version, features in VERSIONS.items():
        for turn in range(2):
            with PredictionWriter(tmp_path, seal_seconds=1e6) as writer:
                writer.append(
                    "churn",
                    version,
                    [f"{version}-{turn}-{row}" for row in range(2)],
                    time=NOW + (version % 2) * DAY + turn,
                    features=features,
                    prediction=np.array([1, 0]) if version < 3 else np.array([0.5, 1.5]),
                    score=np.array([0.75, 0.25]) if version < 3 else None,
                )
    if request.param == "merged files":
        assert tend(tmp_path, everything=True).merged == 12 // 2
    return tmp_path


NAMES = sorted(
    f"{version}-{turn}-{row}" for version in VERSIONS for turn in (0, 1) for row in (0, 1)
)


def test_our_reader_has_all_versions_and_each_by_itself(log):
    rows = PredictionLog(log).read("churn")
    assert sorted(rows["prediction_id"]) == NAMES
    fields = rows.schema["features"].to_schema()
    assert fields == {"age": pl.Float64, "plan": pl.String, "calls": pl.Int32}
    assert rows.schema["prediction"] == pl.Float64
    for version, features in VERSIONS.items():
        alone = PredictionLog(log).read("churn", version=version)
        assert alone["features"].struct.fields == list(features)
        assert (
            alone["features"].struct.field("age" if version < 3 else "calls").dtype
            == {
                1: pl.Int64,
                2: pl.Float64,
                3: pl.Int32,
            }[version]
        )


def test_polars_scans_it_with_the_folders_as_columns(log):
    options = pl.ScanCastOptions(
        integer_cast=["upcast", "allow-float"],
        missing_struct_fields="insert",
        extra_struct_fields="ignore",
    )
    rows = pl.scan_parquet(
        log / "model=*" / "date=*" / "*.parquet",
        hive_partitioning=True,
        schema=PredictionLog(log).read("churn").schema,
        missing_columns="insert",
        cast_options=options,
    ).collect()
    assert sorted(rows["prediction_id"]) == NAMES
    assert set(rows["date"].cast(pl.String)) == {"2026-04-01", "2026-04-02"}
    features = {
        name: (age, plan, calls)
        for name, age, plan, calls in rows.select(
            "prediction_id", *(pl.col("features").struct.field(n) for n in ("age", "plan", "calls"))
        ).rows()
    }
    assert features["1-0-0"] == (41.0, "pro", None)
    assert features["2-1-0"] == (41.5, None, 3)
    assert features["3-0-1"] == (None, "pro", 6)


def test_polars_reads_the_common_columns_without_any_option(log):
    common = ["prediction_id", "time", "version", "key", "latency_ms"]
    rows = pl.scan_parquet(log / "model=*" / "date=*" / "*.parquet").select(common).collect()
    assert sorted(rows["prediction_id"]) == NAMES


def test_duckdb_unites_the_versions_by_name(log):
    query = f"""
        SELECT prediction_id, model, date, version, features.age, features.plan, features.calls
        FROM read_parquet('{log}/model=*/date=*/*.parquet', union_by_name = true,
                          hive_partitioning = true)
        ORDER BY prediction_id
    """
    rows = duckdb.sql(query).fetchall()
    assert [row[0] for row in rows] == NAMES
    by_id = {row[0]: row[1:] for row in rows}
    assert by_id["1-0-0"][3:] == (41.0, "pro", None)
    assert by_id["2-0-0"][3:] == (41.5, None, 3)
    assert by_id["2-0-1"][3:] == (None, None, 4)
    assert by_id["3-1-1"][3:] == (None, "pro", 6)
    assert {row[1] for row in rows} == {"churn"}
    assert {str(row[2]) for row in rows} == {"2026-04-01", "2026-04-02"}


def test_duckdb_counts_while_a_server_writes(log):
    count = f"SELECT count(*) FROM read_parquet('{log}/model=*/date=*/*.parquet')"
    with PredictionWriter(log, seal_seconds=1e6) as writer:
        x = np.ones(1)
        writer.append("churn", 1, "new", time=NOW, features={"x": x}, prediction=x)
        assert duckdb.sql(count).fetchall() == [(12,)]
    assert duckdb.sql(count).fetchall() == [(13,)]


def test_arrow_reads_the_common_columns_by_hive_partition(log):
    found = ds.dataset(log / "model=churn", format="parquet", partitioning="hive")
    table = found.to_table(columns=["prediction_id", "date", "version"])
    assert sorted(table["prediction_id"].to_pylist()) == NAMES


def test_nothing_else_in_the_log_looks_like_predictions(log):
    odd = log / "model=churn" / "date=2026-04-01" / ".half-written.parquet.tmp"
    odd.write_bytes(b"PAR1")
    assert (
        len(pl.scan_parquet(log / "model=*" / "date=*" / "*.parquet").select("key").collect()) == 12
    )
    assert duckdb.sql(
        f"SELECT count(*) FROM read_parquet('{log}/model=*/date=*/*.parquet')"
    ).fetchall() == [(12,)]
