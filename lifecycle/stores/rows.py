"""Requests as rows of the log: arrays are packed as they come, and unpacked column by column.

>>> made = frame("churn", 7, "id", rows=2, time=0, features={"age": np.array([41.0, 19.0])},
...              prediction=np.array([1, 0]), score=None, arm="batch", key=None, types={})
>>> made.select("prediction_id", "prediction").rows()
[('id.0', 1), ('id.1', 0)]
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import polars as pl

# fmt: off
COLUMNS = (
    "prediction_id", "time", "model", "version", "arm", "step", "key", "latency_ms", "features",
    "prediction", "score", "error",
)
# fmt: on
TIME = pl.Datetime("us", "UTC")
EARLIEST, LATEST = np.datetime64("0001-01-01", "us"), np.datetime64("10000-01-01", "us")
_FIRST, _BEYOND = (int(item.astype("i8")) for item in (EARLIEST, LATEST))


def packed(array: np.ndarray) -> Any:
    """An array as a record holds it: raw little-endian bytes, or a list of objects."""
    if array.dtype.kind in "OU":
        return array.tolist()
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return array.tobytes()


def code(array: np.ndarray | None, declared: str = "") -> str:
    """How an array is stored: numpy's type and width, or the kind of objects."""
    if array is None:
        return ""
    if array.dtype.kind in "OU":
        return f"O{declared}" if declared in {"boolean", "string"} else "O"
    width = "" if array.ndim == 1 else str(array.shape[1])
    return f"{array.dtype.newbyteorder('<').str}/{width}"


def columns_of(
    features: Mapping[str, np.ndarray], types: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    """Name and code of each feature: what a head says of them."""
    return tuple((name, code(array, types.get(name, ""))) for name, array in features.items())


def dated(times: np.ndarray, now: int) -> np.ndarray:
    """Times that the log can hold: what is none, or outside the years 1 … 9999, becomes `now`.

    >>> dated(np.array(["NaT", "2026-04-01"], "M8[us]"), 0).astype(str).tolist()
    ['1970-01-01T00:00:00.000000', '2026-04-01T00:00:00.000000']

    Args:
        times: datetime64, UTC.
        now: microseconds since 1970 UTC.
    """
    found = times.astype("M8[us]", copy=False)
    ticks = found.view("i8")  # NaT is the least number
    if len(ticks) and ticks.min() >= _FIRST and ticks.max() < _BEYOND:
        return found
    held = (found >= EARLIEST) & (found < LATEST)
    return np.where(held, found, np.datetime64(now, "us"))


def moments(time: int | np.ndarray) -> int | bytes:
    """One time for all rows, or one a row, as a record holds it."""
    return time if isinstance(time, int) else time.astype("<M8[us]").tobytes()


def frame(
    model: str,
    version: int,
    prediction_id: str,
    *,
    rows: int,
    time: int | np.ndarray,
    features: Mapping[str, np.ndarray],
    prediction: np.ndarray,
    score: np.ndarray | None,
    arm: str,
    key: Sequence[str | None] | None,
    types: Mapping[str, str],
) -> pl.DataFrame:
    """A batch as rows of the log, without a journal between; arguments as for `Journal.append`."""
    columns = columns_of(features, types)
    head = [model, version, columns, code(prediction), code(score)]
    values = [packed(array) for array in features.values()]
    scores = None if score is None else packed(score)
    record = [prediction_id, rows, moments(time), arm, 0, key, None, values]
    return assembled(head, [renewed([*record, packed(prediction), scores, None])])


def renewed(record: list[Any]) -> list[Any]:
    """A record of the first format, with one piece a column, as one of the present format."""
    pieces = record[7]
    texts = [item for item in pieces if not isinstance(item, bytes)]
    fixed = b"".join(item for item in pieces if isinstance(item, bytes)) if pieces else None
    return [*record[:7], fixed, False, texts, *record[8:]]


def assembled(head: list[Any], records: list[list[Any]]) -> pl.DataFrame:
    """The records of one head as rows of the log.

    Args:
        head: model, version, `columns_of` its features, `code` of prediction and score.
        records: what `Journal.append` writes behind the head's number, one list a request.
    """
    model, version, columns, prediction, score = head
    ids, counts, times, arms, steps, keys, latencies, *values, predictions, scores, errors = zip(
        *records, strict=True
    )
    total = sum(counts)
    where = np.repeat(np.arange(len(counts)), counts)

    def spread(each: Sequence[Any], dtype: Any) -> pl.Series:
        return pl.Series(each, dtype=dtype).gather(where)

    return pl.DataFrame(
        {
            "prediction_id": _row_ids(ids, counts),
            "time": _times(times, counts),
            "model": pl.repeat(model, total, dtype=pl.String, eager=True),
            "version": pl.repeat(version, total, dtype=pl.Int64, eager=True),
            "arm": spread(arms, pl.String),
            "step": spread(steps, pl.Int64),
            "key": _each(keys, counts, pl.String()),
            "latency_ms": _each(latencies, counts, pl.Float64()),
            "features": _features(columns, counts, *values),
            "prediction": _widest(_series("prediction", prediction, predictions, counts)),
            "score": _series("score", score, scores, counts).cast(
                pl.List(pl.Float64) if score.split("/")[-1].isdigit() else pl.Float64
            ),
            "error": spread(errors, pl.String),
        }
    )


def _row_ids(ids: Sequence[str | Sequence[str]], counts: Sequence[int]) -> pl.Series:
    flat: list[str] = []
    for name, count in zip(ids, counts, strict=True):
        if not isinstance(name, str):
            flat += name  # one a row already
        elif count == 1:
            flat.append(name)
        else:
            flat += [f"{name}.{row}" for row in range(count)]
    return pl.Series(flat, dtype=pl.String)


def _each(values: Sequence[Any], counts: Sequence[int], dtype: pl.DataType) -> pl.Series:
    """One value for all rows of a record, or one a row."""
    flat: list[Any] = []
    for value, count in zip(values, counts, strict=True):
        flat += value if isinstance(value, (list, tuple)) else [value] * count
    return pl.Series(flat, dtype=dtype)


def _features(
    columns: Sequence[tuple[str, str]],
    counts: Sequence[int],
    fixed: Sequence[bytes | None],
    by_rows: Sequence[bool],
    texts: Sequence[list[list[Any]]],
) -> pl.Series:
    """The features of all records as one struct; null where a request failed without any."""
    if not columns:
        return pl.Series([None] * sum(counts), dtype=pl.Null)
    present = [index for index, piece in enumerate(fixed) if piece is not None]
    sizes = [counts[index] for index in present]
    numbers = [code for _, code in columns if not code.startswith("O")]
    arrays = iter(
        _numbers(numbers, sizes, [fixed[at] for at in present], [by_rows[at] for at in present])
    )
    lists = iter(zip(*(texts[index] for index in present), strict=True))
    series = []
    for name, code in columns:
        if code.startswith("O"):
            made = _objects(name, list(chain.from_iterable(next(lists, ()))), code[1:])
        else:
            made = _typed(name, code, next(arrays).reshape(-1))
        series.append(made.fill_nan(None) if made.dtype.is_float() else made)
    struct = pl.DataFrame(series).to_struct()
    if len(present) == len(fixed):
        return struct
    return _with_gaps(struct, [piece is not None for piece in fixed], counts)


def _numbers(
    codes: Sequence[str], counts: Sequence[int], pieces: Sequence[Any], by_rows: Sequence[bool]
) -> Iterator[np.ndarray]:
    """The columns of numbers, as bytes, from records that hold all columns in one piece each."""
    widths = [_width(code) for code in codes]
    starts = np.cumsum(counts) - counts
    groups: dict[tuple[int, bool], list[int]] = {}
    for index, group in enumerate(zip(counts, by_rows, strict=True)):
        groups.setdefault(group, []).append(index)
    blocks = []
    for (rows, _), members in groups.items():
        joined = np.frombuffer(b"".join([pieces[at] for at in members]), "u1")
        place = (starts[members][:, None] + np.arange(rows)).ravel()
        blocks.append((joined.reshape(len(members), -1), place))
    offset = 0
    for width in widths:
        column = np.empty((sum(counts), width), "u1")
        for ((rows, across), members), (block, place) in zip(groups.items(), blocks, strict=True):
            if across:
                cells = block.reshape(len(members) * rows, -1)[:, offset : offset + width]
            else:
                cells = block[:, offset * rows : (offset + width) * rows].reshape(-1, width)
            column[place] = cells
        offset += width
        yield column


def _width(code: str) -> int:
    """Bytes of one row of a column of numbers."""
    text, _, width = code.partition("/")
    return np.dtype(text).itemsize * int(width or 1)


def _times(times: Sequence[int | bytes], counts: Sequence[int]) -> pl.Series:
    if all(isinstance(item, int) for item in times):
        raw = np.repeat(np.asarray(times, dtype="i8"), counts)
    else:
        raw = np.frombuffer(
            b"".join(
                item if isinstance(item, bytes) else np.full(count, item, "<i8").tobytes()
                for item, count in zip(times, counts, strict=True)
            ),
            "<i8",
        )
    return pl.Series(raw, dtype=pl.Int64).cast(TIME)


def _series(name: str, code: str, parts: Sequence[Any], counts: Sequence[int]) -> pl.Series:
    """One column from the pieces of all requests; a piece that is None is null."""
    if not code:
        return pl.Series(name, [None] * sum(counts), dtype=pl.Null)
    if code.startswith("O"):
        flat: list[Any] = []
        for part, count in zip(parts, counts, strict=True):
            flat += [None] * count if part is None else part
        return _objects(name, flat, code[1:])
    gaps = None in parts
    known = [part for part in parts if part is not None] if gaps else parts
    series = _typed(name, code, np.frombuffer(b"".join(known), "u1"))
    if gaps:
        series = _with_gaps(series, [part is not None for part in parts], counts)
    return series


def _with_gaps(series: pl.Series, known: Sequence[bool], counts: Sequence[int]) -> pl.Series:
    """The rows of the records that are known, and nulls for those of the others."""
    present = np.repeat(known, counts)
    places = pl.Series(np.cumsum(present) - 1, dtype=pl.Int64)
    return series.gather(places.set(~pl.Series(present), None)).alias(series.name)


def _typed(name: str, code: str, raw: np.ndarray) -> pl.Series:
    """One column of numbers or times from their bytes."""
    text, _, width = code.partition("/")
    dtype = np.dtype(text)
    joined = raw.view(dtype)
    if dtype.kind in "mM":
        joined = joined.astype("M8[us]" if dtype.kind == "M" else "m8[us]")
    elif dtype == np.float16:
        joined = joined.astype("f4")
    if width:
        return pl.Series(name, joined.reshape(-1, int(width))).cast(pl.List(pl.Float64))
    return pl.Series(name, joined)


def _widest(series: pl.Series) -> pl.Series:
    if series.dtype.is_float():
        return series.cast(pl.Float64)
    return series.cast(pl.Int64) if series.dtype.is_integer() else series


def _objects(name: str, values: list[Any], declared: str) -> pl.Series:
    kinds = {type(value) for value in values if value is not None and value == value}  # noqa: PLR0124 - NaN is null
    if len(kinds) > 1 and not kinds <= {int, float}:
        kinds = {str}
        values = [None if value is None or value != value else str(value) for value in values]  # noqa: PLR0124
    elif float in kinds or not kinds:
        values = [None if value is None or value != value else value for value in values]  # noqa: PLR0124
    if not kinds:
        return pl.Series(name, values, dtype=pl.Boolean if declared == "boolean" else pl.String)
    return pl.Series(name, values, strict=False)
