"""The sealed half of the prediction log: hive-partitioned Parquet, written whole or not at all.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     write(folder, "a/b", pl.DataFrame({"time": [datetime(2026, 4, 1)], "n": [1]}), "part")
...     [str(path.relative_to(folder)) for path in files(folder, "a/b")]
['model=a%2Fb/date=2026-04-01/part.parquet']
"""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lifecycle.errors import DataError, LogError
from lifecycle.stores import journal, tombstones

SCHEMA = "1"
_KEY = "lifecycle.schema"
_TEXTS = (pa.string(), pa.large_string())
_UNIQUE = {"prediction_id", "key"}
_FILTERED = {"time", "version", "model", "arm", "key"}  # columns that readers select rows by
_FIX = "restore the file, move it away, or read with skip_damaged=True"


Moment = str | datetime | date | None


def moment(value: Moment, name: str = "time") -> datetime | None:
    """A point in time in UTC; without a zone it is taken as UTC.

    >>> moment("2026-04-01")
    datetime.datetime(2026, 4, 1, 0, 0, tzinfo=datetime.timezone.utc)

    Raises:
        DataError: the text is no ISO date or time.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise DataError(
                f"{name} is {value!r}, no date or time", fix="write 2026-04-01 or 2026-04-01T12:00"
            ) from error
    if value is None:
        return None
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def window(since: Moment, until: Moment, version: int | None) -> tuple[pl.Expr, str, str]:
    """Which rows, and the first and last folder that can hold them."""
    start, end = moment(since, "since"), moment(until, "until")
    query, first, last = pl.lit(value=True), "date=", "date=~"
    if start:
        query, first = query & (pl.col("time") >= start), f"date={start.date()}"
    if end:
        query, last = query & (pl.col("time") < end), f"date={end.date()}"
    if version is not None:
        query &= pl.col("version") == version
    return query, first, last


def days(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """The rows of each day, in the order of `time`'s days."""
    first, last = frame["time"].min(), frame["time"].max()
    if isinstance(first, datetime) and isinstance(last, datetime) and first.date() == last.date():
        yield str(first.date()), frame  # as nearly always: nothing is copied
        return
    dated = frame.with_columns(pl.col("time").dt.date().cast(pl.String).alias("date"))
    for (day,), rows in sorted(dated.partition_by("date", as_dict=True).items()):
        yield str(day), rows.drop("date")


def write(
    directory: str | Path, model: str, frame: pl.DataFrame, name: str, *, replace: bool = False
) -> None:
    """Write rows as `model=…/date=…/<name>.parquet`.

    Args:
        directory: the log's folder.
        model: the registered model's name; what a path cannot hold is percent-encoded.
        frame: rows with a `time`.
        name: of the files, one a day; a file that exists already holds these very rows.
        replace: write it nevertheless.

    Raises:
        LogError: the disk is full, or the folder cannot be written; no half-written file stays.
    """
    for day, rows in days(frame):
        path = (
            Path(directory) / f"model={quote(model, safe='')}" / f"date={day}" / f"{name}.parquet"
        )
        if replace or not path.exists():
            write_whole(rows, path)


def write_whole(frame: pl.DataFrame, path: Path) -> None:
    """Write one Parquet file under a temporary name and rename it when it is complete.

    Raises:
        LogError: it cannot be written; nothing is left behind.
    """
    draft = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            table = _table(frame)
            pq.write_table(
                table,
                file,
                compression="zstd",
                use_dictionary=list(_repeating(table.schema)),
                write_statistics=list(_FILTERED & set(table.column_names)),
            )
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except (OSError, pa.ArrowException, pl.exceptions.PolarsError) as error:
        with suppress(OSError):
            draft.unlink()
        raise LogError(
            f"the log cannot be written: {error}",
            where=path.parent,
            fix="free space or allow writing; what was not sealed stays in its journal",
        ) from error


def _repeating(fields: Iterable[pa.Field], prefix: str = "") -> Iterator[str]:
    """Paths of columns that repeat a few texts: dictionaries of ids and numbers only cost time."""
    for field in fields:
        if pa.types.is_struct(field.type):
            yield from _repeating(field.type, f"{prefix}{field.name}.")
        elif field.type in _TEXTS and (prefix or field.name not in _UNIQUE):
            yield f"{prefix}{field.name}"


def _table(frame: pl.DataFrame) -> pa.Table:
    # Arrow's plain strings: its datasets refuse to merge large ones with the folders' names
    table = frame.to_arrow()
    fields = [
        field.with_type(pa.string()) if pa.types.is_large_string(field.type) else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields, metadata={_KEY: SCHEMA}))


def seal(directory: str | Path, path: Path) -> None:
    """Make Parquet of a journal that nobody appends to any more, then remove it.

    A crash in between does no harm: what exists is not written again.

    Raises:
        LogError: the journal is damaged, or Parquet cannot be written; the journal stays.
    """
    for index, frame in journal.read(path).items():
        write(directory, frame["model"][0], frame, part(path, index))
    path.unlink()
    tombstones.beside(path).unlink(missing_ok=True)


def part(path: Path, index: int) -> str:
    """What the Parquet of a journal's part is named, without the ending."""
    return f"{path.stem}.{index}"


def files(directory: str | Path, model: str) -> list[Path]:
    """All sealed files of a model, by day and name."""
    folder = Path(directory) / f"model={quote(model, safe='')}"
    return sorted(folder.glob("date=*/*.parquet"))


def check(path: Path) -> pl.Schema:
    """The columns of a sealed file.

    Raises:
        LogError: it is no complete Parquet file, or not one of this schema.
    """
    try:
        schema = pl.read_parquet_metadata(path).get(_KEY)
        columns = pl.Schema(pl.read_parquet_schema(path))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _damaged(path, error) from error
    if schema != SCHEMA:
        raise LogError(
            f"the file has {_KEY} = {schema}, not {SCHEMA}",
            where=path,
            fix="update lifecycle, or move the file away if it is not the log's",
        )
    return columns


def scan(
    paths: Sequence[Path],
    query: pl.Expr,
    columns: Sequence[str],
    *,
    skip_damaged: bool,
    each: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
    fields: Sequence[str] | None = None,
) -> list[pl.DataFrame]:
    """Read files by column projection, one frame for each set of types.

    Args:
        paths: sealed files.
        query: which rows.
        columns: which columns.
        skip_damaged: warn of a damaged file and go on.
        each: what is made of the rows of each file, one after another, so that no more than one
            is held as it is; then there is one frame a file.
        fields: with `each`: only these of the column features, where a file has them. The others
            are not even decoded, of which a model may have hundreds.

    Raises:
        LogError: a file is damaged; names it.
    """
    groups: dict[tuple[tuple[str, str], ...], list[Path]] = {}
    for path in paths:
        try:
            types = tuple((name, str(dtype)) for name, dtype in check(path).items())
        except LogError as error:
            if not skip_damaged:
                raise
            warnings.warn(f"left out: {error}", stacklevel=4)
            continue
        groups.setdefault(types, []).append(path)
    frames: list[pl.DataFrame] = []
    for group in groups.values():
        if each is not None:
            pieces = _one_by_one(group, query, columns, skip_damaged=skip_damaged, fields=fields)
            frames += map(each, pieces)
            continue
        try:
            frames.append(_collect(group, query, columns))
        except (OSError, pl.exceptions.PolarsError):
            frames += _one_by_one(group, query, columns, skip_damaged=skip_damaged)
    return frames


def _collect(paths: list[Path], query: pl.Expr, columns: Sequence[str]) -> pl.DataFrame:
    lazy = pl.scan_parquet(paths, hive_partitioning=False, glob=False)
    return lazy.filter(query).select(columns).collect()


def _narrow(
    path: Path, query: pl.Expr, columns: Sequence[str], fields: Sequence[str]
) -> pl.DataFrame:
    """One file with some fields of its features; Polars would decode all of them."""
    wanted = {*columns, *query.meta.root_names()} - {"features"}
    wanted |= {f"features.{name}" for name in fields}
    with pq.ParquetFile(path) as file:
        found = pl.from_arrow(file.read(columns=sorted(wanted)))
    assert isinstance(found, pl.DataFrame)
    return found.filter(query)


def _one_by_one(
    paths: list[Path],
    query: pl.Expr,
    columns: Sequence[str],
    *,
    skip_damaged: bool,
    fields: Sequence[str] | None = None,
) -> Iterator[pl.DataFrame]:
    for path in paths:
        try:
            if fields is None:
                frame = _collect([path], query, columns)
            else:
                frame = _narrow(path, query, columns, fields)
            yield frame
        except (OSError, pa.ArrowException, pl.exceptions.PolarsError) as error:
            if not skip_damaged:
                raise _damaged(path, error) from error
            warnings.warn(f"left out: {_damaged(path, error)}", stacklevel=5)


def _damaged(path: Path, error: Exception) -> LogError:
    return LogError(f"the file cannot be read: {error}", where=path, fix=_FIX)


def unified(frames: Sequence[pl.DataFrame], columns: Sequence[str]) -> pl.DataFrame:
    """Frames of several versions as one: struct fields united, types widened where they differ.

    >>> old = pl.DataFrame({"features": [{"age": 41}]})
    >>> new = pl.DataFrame({"features": [{"age": 0.5, "plan": "pro"}]})
    >>> unified([old, new], ["features"])["features"].to_list()
    [{'age': 41.0, 'plan': None}, {'age': 0.5, 'plan': 'pro'}]
    """
    target = {name: _union([frame.schema[name] for frame in frames]) for name in columns}
    return pl.concat(
        [
            frame.select(
                _cast(pl.col(name), frame.schema[name], target[name]).alias(name)
                for name in columns
            )
            for frame in frames
        ],
        how="vertical",
    )


def _union(types: Sequence[pl.DataType]) -> pl.DataType:
    known = list(dict.fromkeys(dtype for dtype in types if dtype != pl.Null))
    if len(known) <= 1:
        return known[0] if known else pl.Null()
    if all(isinstance(dtype, pl.Struct) for dtype in known):
        fields: dict[str, list[pl.DataType]] = {}
        for dtype in known:
            assert isinstance(dtype, pl.Struct)
            for field in dtype.fields:
                fields.setdefault(field.name, []).append(_instance(field.dtype))
        return pl.Struct({name: _union(found) for name, found in fields.items()})
    if any(isinstance(dtype, pl.List) for dtype in known):
        return pl.List(pl.Float64)  # scores of two and of more classes
    if all(dtype.is_numeric() for dtype in known):
        whole = all(dtype.is_integer() for dtype in known)
        return pl.Int64() if whole else pl.Float64()
    return pl.String()


def _instance(dtype: object) -> pl.DataType:
    made = dtype() if isinstance(dtype, type) else dtype
    assert isinstance(made, pl.DataType)
    return made


def _cast(column: pl.Expr, source: pl.DataType, target: pl.DataType) -> pl.Expr:
    if source == target:
        return column
    if source == pl.Null:
        return pl.lit(None, dtype=target)
    if isinstance(source, pl.Struct) and isinstance(target, pl.Struct):
        has = {field.name: _instance(field.dtype) for field in source.fields}
        parts = [
            _cast(column.struct.field(field.name), has[field.name], _instance(field.dtype))
            if field.name in has
            else pl.lit(None, dtype=field.dtype)
            for field in target.fields
        ]
        named = [part.alias(field.name) for part, field in zip(parts, target.fields, strict=True)]
        return pl.when(column.is_not_null()).then(pl.struct(named))
    if isinstance(target, pl.List) and not isinstance(source, pl.List):
        return pl.when(column.is_not_null()).then(pl.concat_list(column.cast(pl.Float64)))
    return column.cast(target)
