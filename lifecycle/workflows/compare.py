"""Compare two tables: one verdict with a reason for each column, no registry needed.

>>> import pandas as pd
>>> before = pd.DataFrame({"age": [float(20 + row % 50) for row in range(500)]})
>>> compare(before, before + 9).columns["age"].reason
'age is higher: median 53.5 instead of 44, effect 0.6 sd, p < 1e-6; also out of range'
"""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from lifecycle.drift import compare_frames
from lifecycle.errors import DataError
from lifecycle.records import DriftReport
from lifecycle.stores import datasets

Table = pd.DataFrame | pl.DataFrame | str | Path


def compare(
    reference: Table,
    current: Table,
    *,
    time: str | None = None,
    key: str | None = None,
    alpha: float = 0.01,
    min_rows: int = 30,
    sample: int = 5000,
) -> DriftReport:
    """Compare live rows with reference rows.

    Args:
        reference: a frame, a Parquet or CSV file, or a folder of Parquet files.
        current: likewise; no rows are not enough evidence, not an error.
        time: the column with each row's time, so that rows in runs count for what they are worth.
        key: a column to leave out.
        alpha: chance of an alarm on unchanged data.
        min_rows: fewer live rows are not enough evidence.
        sample: rows of each side in the pictures of `.evidently()`.

    Raises:
        DataError: a table cannot be read, the reference has no rows, the two have no column in
            common, or `time` or `key` is in neither.
    """
    before = to_polars(reference, "reference")
    after = to_polars(current, "current")
    if not before.height:
        raise DataError("the reference has no rows", where=_place(reference, "reference"))
    for name in (time, key):
        if name and name not in before.columns and name not in after.columns:
            listed = ", ".join(before.columns)
            raise DataError(f"there is no column {name!r}", fix=f"name one of: {listed}")
    ignore = [key] if key else []
    if not (set(before.columns) & set(after.columns)) - {time, key}:
        raise DataError(
            "the two tables have no column in common",
            where=f"{', '.join(before.columns)} against {', '.join(after.columns)}",
            fix="check that both are of the same kind",
        )
    report = compare_frames(before, after, time=time, alpha=alpha, min_rows=min_rows, ignore=ignore)

    def draw() -> str:
        from lifecycle.drift.evidently_report import html

        return html(before.to_pandas(), after.to_pandas(), report, sample=sample)

    return replace(report, draw=draw)


def to_polars(table: Table, role: str, *, ignore: Collection[str] = ()) -> pl.DataFrame:
    """A table in memory; columns of mixed types become text.

    Raises:
        DataError: the file is missing, damaged or of another kind, or a column is there twice.
    """
    if isinstance(table, pl.DataFrame):
        return table.drop(ignore, strict=False)
    if isinstance(table, (str, Path)):
        return _from_file(Path(table)).drop(ignore, strict=False)
    if not isinstance(table, pd.DataFrame):
        raise DataError(
            f"{type(table).__name__} is no table", where=role, fix="give a frame or a path"
        )
    twins = table.columns[table.columns.duplicated()].tolist()
    if twins:
        raise DataError(f"column {twins[0]!r} is there twice", where=role, fix="rename one")
    kept = table.drop(columns=[name for name in ignore if name in table.columns])
    return pl.DataFrame({str(name): _series(str(name), kept[name]) for name in kept.columns})


def _series(name: str, values: "pd.Series[Any]") -> pl.Series:
    try:
        return pl.Series(name, pl.from_pandas(values, nan_to_null=True))
    except (TypeError, ValueError, NotImplementedError, pl.exceptions.PolarsError):  # mixed types
        texts = [None if _is_null(item) else str(item) for item in values]
        return pl.Series(name, texts, dtype=pl.String)


def _is_null(item: object) -> bool:
    return item is None or item is pd.NaT or item is pd.NA or item != item  # noqa: PLR0124


def _from_file(path: Path) -> pl.DataFrame:
    if path.is_dir():
        files = sorted(path.rglob("*.parquet"))
        if not files:
            raise DataError("the folder holds no Parquet file", where=path)
        return pl.concat([_parquet(file) for file in files], how="diagonal_relaxed")
    if not path.exists():
        raise DataError("the file does not exist", where=path, fix="check the path")
    if path.suffix == ".parquet":
        return _parquet(path)
    if path.suffix != ".csv":
        raise DataError("the file is neither .parquet nor .csv", where=path, fix="convert it")
    return pl.from_pandas(datasets.read(path))


def _parquet(path: Path) -> pl.DataFrame:
    if path.is_file() and not path.stat().st_size:
        raise DataError("the file is empty", where=path, fix="check the export that wrote it")
    try:
        return pl.read_parquet(path, hive_partitioning=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"the Parquet file cannot be read: {str(error).splitlines()[0]}",
            where=path,
            fix="write it again",
        ) from error


def _place(table: Table, role: str) -> str:
    return str(table) if isinstance(table, (str, Path)) else role


def write_html(report: DriftReport, path: str | Path) -> Path:
    """Write Evidently's report of a comparison.

    Raises:
        MissingExtra: Evidently is not installed.
        DataError: the file cannot be written.
    """
    page = report.evidently()
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        if Path(path).is_file():
            Path(path).unlink()  # half of a page
        raise DataError(f"the report cannot be written: {error.strerror}", where=path) from error
    return Path(path)
