"""Tables that people bring: frames, Parquet and CSV files, folders of Parquet files.

>>> opened(pd.DataFrame({"age": [31, 45]}), "reference").columns
{'age': Int64}
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from lifecycle.drift.columns import EXACT_ROWS, Column
from lifecycle.engines import parquet
from lifecycle.engines.tables import Table, frame_table
from lifecycle.errors import DataError
from lifecycle.stores import datasets

Source = pd.DataFrame | pl.DataFrame | pl.LazyFrame | str | Path | Table


def opened(source: Source, role: str) -> Table:
    """A table to be read column by column; of Parquet only footers are read.

    Args:
        source: a frame, a Parquet or CSV file, or a folder of Parquet files.
        role: what to call a frame in errors.

    Raises:
        DataError: it is missing, damaged or of another kind, or a column is there twice.
    """
    if isinstance(source, Table):
        return source
    if not isinstance(source, (str, Path)):
        return frame_table(to_polars(source, role), role)
    path = Path(source)
    if not path.exists():
        raise DataError("the file does not exist", where=path, fix="check the path")
    if path.is_dir() or path.suffix == ".parquet":
        return parquet.opened(path)
    if path.suffix != ".csv":
        raise DataError("the file is neither .parquet nor .csv", where=path, fix="convert it")
    names = datasets.columns(path)
    parts = list(datasets.batches(path, EXACT_ROWS))
    frame = pl.concat(parts, how="vertical_relaxed") if parts else pl.DataFrame(schema=names)
    return frame_table(frame, str(path))


def _held(column: Column) -> pl.Series:
    chunks = list(column.read())
    typed = chunks if column.kind is None else [chunk.cast(column.kind) for chunk in chunks]
    return pl.concat(typed)


def _collected(frame: pl.LazyFrame, role: str) -> pl.DataFrame:
    try:
        return frame.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"the lazy frame cannot be collected: {str(error).splitlines()[0]}", where=role
        ) from error


def to_polars(table: Source, role: str, *, ignore: Collection[str] = ()) -> pl.DataFrame:
    """A table in memory; columns of mixed types become text.

    Raises:
        DataError: the file is missing, damaged or of another kind, or a column is there twice.
    """
    if isinstance(table, pl.DataFrame):
        return table.drop(ignore, strict=False) if ignore else table
    if isinstance(table, pl.LazyFrame):
        return _collected(table, role).drop(ignore, strict=False)
    if isinstance(table, (str, Path, Table)):
        read = opened(table, role)
        wanted = [name for name in read.columns if name not in ignore]
        return pl.DataFrame([_held(read.column(name)) for name in wanted])
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
