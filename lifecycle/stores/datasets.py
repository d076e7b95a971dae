"""Tables that people bring: read them, batch by batch where they are large, and sign them.

>>> frame = pd.DataFrame({"age": [31, 42], "plan": ["pro", None]})
>>> digest(frame) == digest(pl.from_pandas(frame))
True
>>> digest(frame) == digest(frame.assign(age=[31, 43]))
False
"""

import csv
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from numpy.typing import NDArray

from lifecycle.errors import DataError

Frame = pd.DataFrame | pl.DataFrame
Source = Frame | str | Path
INDEX = re.compile(r"__index_level_\d+__")  # what pandas calls an index without a name
READERS = (".parquet", ".csv")
LANES = (0x5851F42D4C957F2D, 0x14057B7EF767814F)  # any two numbers: two sums of 64 bits
TYPED_ROWS = 10_000  # of a CSV file are read to see its types; all of them takes 10 times as long


def read(source: Source, *, where: str = "") -> pd.DataFrame:
    """A table from a frame, a Parquet file or a CSV file.

    Args:
        source: a pandas or polars frame, or a path that ends with .parquet or .csv.
        where: what to call it in errors; by default the path.

    Returns:
        The rows in their order, at least one, without pandas' index; a pandas frame that was given
        is not copied. Columns are named by text.

    Raises:
        DataError: the file is missing, empty, damaged or of another kind, or a column is there
            twice; names file and column.
    """
    if isinstance(source, (str, Path)):
        place = where or str(source)
        frame = _read_file(Path(source)).to_pandas()
    else:
        place = where or "the frame"
        names = [str(name) for name in source.columns]
        _check_names(names, place)
        frame = source.to_pandas() if isinstance(source, pl.DataFrame) else source
        if list(frame.columns) != names:
            frame = frame.set_axis(names, axis="columns")
    if len(frame) == 0:
        raise DataError("the table has columns but no rows", where=place, fix="check the export")
    return frame


def batches(path: str | Path, rows: int) -> Iterator[pl.DataFrame]:
    """The rows of a file in order, at most `rows` at a time, in bounded memory.

    Raises:
        DataError: the file is missing, empty, damaged or of another kind, or a column is there
            twice.
    """
    file = Path(path)
    _check_file(file)
    try:
        yield from (
            _parquet_batches(file, rows) if file.suffix == ".parquet" else _csv_batches(file, rows)
        )
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise _damaged(file, error) from error


def _parquet_batches(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    import pyarrow.parquet as pq

    index = _index(path, _header(path))
    for batch in pq.ParquetFile(path).iter_batches(batch_size=rows):
        frame = pl.from_arrow(batch)
        yield (frame if isinstance(frame, pl.DataFrame) else frame.to_frame()).drop(index)


def _csv_batches(path: Path, rows: int) -> Iterator[pl.DataFrame]:
    """Types are read off the first rows; where a later row contradicts them, off all rows."""
    done, index = 0, _index(path, _header(path))
    for length in (TYPED_ROWS, None):
        lazy = pl.scan_csv(path, try_parse_dates=True, infer_schema_length=length).drop(index)
        try:
            for frame in lazy.slice(done).collect_batches(chunk_size=rows, maintain_order=True):
                for start in range(0, frame.height, rows):
                    yield frame.slice(start, rows)
                    done += min(rows, frame.height - start)
            return
        except pl.exceptions.ComputeError:
            if length is None:
                raise


def address(source: Source | None) -> str:
    """Where a table can be read again: the whole path of a file, empty for a frame or nothing.

    >>> address(pd.DataFrame({"age": [31]})), address("/data/churn.csv")
    ('', '/data/churn.csv')
    """
    known = isinstance(source, (str, Path)) and Path(source).suffix in READERS
    return str(Path(source).absolute()) if known else ""  # type: ignore[arg-type]  # a path


def columns(path: str | Path) -> tuple[str, ...]:
    """The names of a file's columns.

    Raises:
        DataError: the file is missing, empty, damaged or of another kind.
    """
    file = Path(path)
    return _check_file(file)


def columns_of(source: Source) -> tuple[str, ...]:
    """The same of a frame or a file.

    >>> columns_of(pd.DataFrame({"age": [31]}))
    ('age',)
    """
    if isinstance(source, (str, Path)):
        return columns(source)
    return tuple(str(name) for name in source.columns)


def digest(frame: Frame) -> str:
    """The sha256 over all rows, all values and all types of a table.

    Order counts, of rows and of columns, and so do names and types; NaN and null are one, and a
    time is the same in any unit. Unlike MLflow's own dataset digest (32 bits of the first 10,000
    rows, mlflow issue 22275) it notices a changed bool, time or last row. About 0.3 s for a million
    rows of 25 numbers.

    Returns:
        64 hexadecimal digits.
    """
    names = [str(name) for name in frame.columns]
    with ThreadPoolExecutor() as pool:
        parts = list(pool.map(lambda at: _column_digest(frame, at), range(len(names))))
    whole = hashlib.sha256(f"{len(frame)} rows".encode())
    for name, part in zip(names, parts, strict=True):
        whole.update(len(name.encode()).to_bytes(4, "little") + name.encode() + part)
    return whole.hexdigest()


def unordered_digest(frame: Frame) -> str:
    """The same for all orders of the rows, and of the columns: the sum of the rows' hashes.

    Tells whether two exports hold the same rows. A sum can be forged, so it proves nothing: that
    is what `digest` is for. Takes about four times as long as that.

    >>> frame = pd.DataFrame({"age": [31, 42], "plan": ["pro", None]})
    >>> unordered_digest(frame) == unordered_digest(frame[::-1])
    True

    Returns:
        32 hexadecimal digits.
    """
    names = [str(name) for name in frame.columns]
    with ThreadPoolExecutor() as pool:
        parts = list(pool.map(lambda at: _row_hashes(frame, at, names[at]), range(len(names))))
    rows = np.zeros(len(frame), dtype=np.uint64)
    for part in parts:
        rows += part
    sums = (int(_mixed(rows ^ np.uint64(lane)).sum(dtype=np.uint64)) for lane in LANES)
    return "".join(f"{item:016x}" for item in sums)


def _row_hashes(frame: Frame, at: int, name: str) -> NDArray[np.uint64]:
    """A 64-bit hash of each value of a column, which knows the column's name and type."""
    found = _values(frame, at)
    if isinstance(found, list):
        kind, values = "object", _text_hashes(found)
    else:
        kind, series = found
        if series.dtype in (pl.String, pl.Binary) or _is_odd(series):
            values = _text_hashes(series.to_list())
        else:
            numbers = series.fill_null(False if series.dtype == pl.Boolean else 0).to_numpy()
            if numbers.dtype.kind == "f":
                numbers = numbers.astype(np.float64).view(np.uint64)
            values = _mixed(numbers.astype(np.uint64) + np.uint64(1))
            values[series.is_null().to_numpy()] = 0
    seed = hashlib.sha256(f"{kind}\0{name}".encode()).digest()[:8]
    return _mixed(values ^ np.frombuffer(seed, dtype=np.uint64)[0])


def _text_hashes(values: list[Any]) -> NDArray[np.uint64]:
    """Of values of any type, by their sha256; 0 stands for null."""
    known: dict[str, int] = {}
    hashes = np.zeros(len(values), dtype=np.uint64)
    for row, value in enumerate(values):
        if value is None:
            continue
        text = f"{type(value).__name__}:{value!r}"
        if text not in known:
            hashed = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
            known[text] = int.from_bytes(hashed[:8], "little")
        hashes[row] = known[text]
    return hashes


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers of which each bit depends on all bits: the finaliser of SplitMix64 (Steele 2014)."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    return mixed


def _values(frame: Frame, at: int) -> "tuple[str, pl.Series] | list[Any]":
    """A column as its kind and plain values, or the values of a column of more than one type."""
    if isinstance(frame, pl.DataFrame):
        series = frame.to_series(at)
    else:
        values = frame.iloc[:, at]
        try:
            series = pl.from_pandas(values, nan_to_null=True)
        except Exception as error:
            known = (TypeError, ValueError, pl.exceptions.PolarsError, OverflowError)
            if isinstance(error, known) or type(error).__module__.startswith("pyarrow"):
                return _objects(values)
            raise
    if series.dtype == pl.Object:
        return [None if item != item else item for item in series.to_list()]  # noqa: PLR0124 - NaN
    kind = str(series.dtype)
    if series.dtype in (pl.Null, pl.String) and series.null_count() == len(series):
        kind, series = "Null", series.cast(pl.String)  # pandas has no type for it
    elif series.dtype == pl.Decimal:
        kind = f"Decimal({series.dtype.scale})"  # type: ignore[attr-defined]  # of a decimal
    elif series.dtype in (pl.Categorical, pl.Enum):
        kind, series = "Categorical", series.cast(pl.String)
    elif series.dtype in (pl.Date, pl.Datetime):
        zone = getattr(series.dtype, "time_zone", None)
        kind, series = f"Datetime({zone})", _in_microseconds(series)
    elif series.dtype == pl.Duration:
        kind, series = "Duration", _in_microseconds(series)
    elif series.dtype.is_float():
        series = series.fill_nan(None)
    return kind, series if _is_odd(series) else series.to_physical()


def _objects(values: "pd.Series[Any]") -> list[Any]:
    return [None if null else item for item, null in zip(values, values.isna(), strict=True)]


def _in_microseconds(series: pl.Series) -> pl.Series:
    """Times as microseconds where that loses nothing, else as nanoseconds in text."""
    if getattr(series.dtype, "time_unit", "") != "ns":
        to = pl.Duration("us") if series.dtype == pl.Duration else pl.Datetime("us")
        return series.cast(to).to_physical() if series.dtype != pl.Datetime else (
            series.dt.cast_time_unit("us").to_physical()
        )  # fmt: skip
    exact = series.to_physical()
    if bool((exact % 1000 == 0).all()):
        return exact // 1000
    return exact.cast(pl.String) + " ns"


def _is_odd(series: pl.Series) -> bool:
    """Whether its values have no bytes of a fixed size."""
    return series.dtype.is_nested() or series.dtype in (pl.Null, pl.Decimal)


def _column_digest(frame: Frame, at: int) -> bytes:
    found = _values(frame, at)
    if isinstance(found, list):
        return _object_digest(found)
    kind, series = found
    hashed = hashlib.sha256(kind.encode())
    hashed.update(np.packbits(series.is_null().to_numpy()).tobytes())
    if series.dtype in (pl.String, pl.Binary):
        text = series.dtype == pl.String
        filled = series.fill_null("" if text else b"")
        sizes = filled.str.len_bytes() if text else filled.bin.size()
        hashed.update(sizes.to_numpy().tobytes())
        for chunk in filled.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).buffers()[2:]:
            hashed.update(memoryview(chunk))
    elif _is_odd(series):
        hashed.update(repr(series.to_list()).encode("utf-8", "surrogatepass"))
    else:
        empty = False if series.dtype == pl.Boolean else 0
        hashed.update(np.ascontiguousarray(series.fill_null(empty).to_numpy()).data)
    return hashed.digest()


def _object_digest(values: list[Any]) -> bytes:
    hashed = hashlib.sha256(b"object")
    for item in values:
        said = "null;" if item is None else f"{type(item).__name__}:{item!r};"
        hashed.update(said.encode("utf-8", "surrogatepass"))
    return hashed.digest()


def _read_file(path: Path) -> pl.DataFrame:
    _check_file(path)
    try:
        return _parsed(path).drop(_index(path, _header(path)))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _parsed(path: Path) -> pl.DataFrame:
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    try:
        return pl.read_csv(path, try_parse_dates=True, infer_schema_length=TYPED_ROWS)
    except pl.exceptions.ComputeError:
        return pl.read_csv(path, try_parse_dates=True, infer_schema_length=None)


def _check_file(path: Path) -> tuple[str, ...]:
    if path.suffix not in READERS:
        raise DataError(
            f"files that end with {path.suffix or 'nothing'!r} cannot be read",
            where=path,
            fix=f"use one of: {', '.join(READERS)}",
        )
    if not path.is_file():
        raise DataError("there is no such file", where=path, fix="check the path")
    if path.stat().st_size == 0:
        raise DataError("the file is empty", where=path, fix="check the export that wrote it")
    try:
        names = _header(path)
    except (OSError, ValueError, csv.Error) as error:
        raise _damaged(path, error) from error
    _check_names(names, str(path))
    return tuple(name for name in names if name not in _index(path, names))


def _header(path: Path) -> list[str]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        return [str(name) for name in pq.read_schema(path).names]
    with path.open(encoding="utf-8", newline="") as stream:
        return next(csv.reader(stream), [])


def _index(path: Path, names: Sequence[str]) -> list[str]:
    """The columns that are the row numbers of a pandas frame: nobody named them."""
    if path.suffix == ".csv":
        return [name for name in names[:1] if not name]
    import pyarrow.parquet as pq

    stored = (pq.read_schema(path).metadata or {}).get(b"pandas", b"{}")
    levels = json.loads(stored).get("index_columns", [])
    return [name for name in names if name in levels and INDEX.fullmatch(name)]


def _check_names(names: list[str], where: str) -> None:
    for name in names:
        if "\0" in name:
            raise DataError(
                f"the name of column {name!r} holds a NUL character",
                where=where,
                fix="rename the column; it is often a sign of UTF-16 read as UTF-8",
            )
    twins = sorted({name for name in names if names.count(name) > 1})
    if twins:
        raise DataError(
            f"column {twins[0]!r} is there {names.count(twins[0])} times",
            where=where,
            fix="rename or drop one of them",
        )


def _damaged(path: Path, error: Exception) -> DataError:
    kind = "Parquet" if path.suffix == ".parquet" else "CSV"
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return DataError(
        f"the file cannot be read as {kind}: {reason}",
        where=path,
        fix="check that it was written completely",
    )
