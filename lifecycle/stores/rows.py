"""Requests as rows of the log: arrays are packed as they come, and unpacked column by column.

>>> made = frame("churn", 7, "id", rows=2, time=0, features={"age": np.array([41.0, 19.0])},
...              prediction=np.array([1, 0]), score=None, arm="batch", key=None, types={})
>>> made.select("prediction_id", "prediction").rows()
[('id.0', 1), ('id.1', 0)]
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
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


def _lists(value: object) -> bool:
    return isinstance(value, (list, tuple))


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
    head = Head(0, model, version, columns, code(prediction), code(score))
    values = [packed(array) for array in features.values()]
    scores = None if score is None else packed(score)
    moment, answers = moments(time), packed(prediction)
    old = OldRecord(
        0, prediction_id, rows, moment, arm, 0, key, None, values, answers, scores, None
    )
    return assembled(head, [renewed(old)])


class Head(msgspec.Struct, array_like=True, tag=0, gc=False, frozen=True):
    """What a version's columns are called and how they are stored, by `code`."""

    index: int
    model: str
    version: int
    columns: tuple[tuple[str, str], ...]
    prediction: str
    score: str


class OldRecord(msgspec.Struct, array_like=True, tag=1, gc=False):
    """A request in a journal of the first format: one piece for each feature."""

    head: int
    id: str
    rows: int
    time: int | bytes
    arm: str
    step: int
    key: Any
    latency: float | None
    values: list[Any]
    prediction: Any
    score: Any
    error: str | None


class Record(msgspec.Struct, array_like=True, tag=2, gc=False):
    """Rows that were logged in one call; see `Journal.append` for what its fields hold."""

    head: int
    id: Any
    rows: int
    time: int | bytes
    arm: str
    step: int
    key: Any
    latency: Any
    fixed: bytes | None  # the numbers of all features; None where a request failed without any
    by_rows: bool  # row after row, else column after column
    texts: list[list[Any]]
    prediction: Any
    score: Any
    error: str | None
    # how many rows each of `id` and `latency` stands for; None: for all, or where lists, for one
    parts: list[int] | None = None


def renewed(old: OldRecord) -> Record:
    """A record of the first format as one of the present format."""
    pieces = old.values
    texts = [item for item in pieces if not isinstance(item, bytes)]
    fixed = b"".join(item for item in pieces if isinstance(item, bytes)) if pieces else None
    before = (old.head, old.id, old.rows, old.time, old.arm, old.step, old.key, old.latency)
    return Record(*before, fixed, False, texts, old.prediction, old.score, old.error)


def assembled(head: Head, records: Sequence[Record]) -> pl.DataFrame:
    """The records of one head as rows of the log."""
    counts = np.array([record.rows for record in records])
    total = int(counts.sum())
    latencies = _each([_one_a_row(record) for record in records], counts, pl.Float64())
    prediction = _series("prediction", head.prediction, [at.prediction for at in records], counts)
    score = _series("score", head.score, [record.score for record in records], counts)
    several = head.score.split("/")[-1].isdigit()
    return pl.DataFrame(
        {
            "prediction_id": _row_ids(records),
            "time": _times([record.time for record in records], counts),
            "model": pl.repeat(head.model, total, dtype=pl.String, eager=True),
            "version": pl.repeat(head.version, total, dtype=pl.Int64, eager=True),
            "arm": _spread([record.arm for record in records], counts, pl.String()),
            "step": _spread([record.step for record in records], counts, pl.Int64()),
            "key": _each([record.key for record in records], counts, pl.String()),
            "latency_ms": latencies,
            "features": _features(head.columns, counts, records),
            "prediction": _widest(prediction),
            "score": score.cast(pl.List(pl.Float64) if several else pl.Float64),
            "error": _spread([record.error for record in records], counts, pl.String()),
        }
    )


def _spread(values: Sequence[Any], counts: np.ndarray, dtype: pl.DataType) -> pl.Series:
    """One value for all rows of a record."""
    if len(set(values)) == 1:
        return pl.repeat(values[0], int(counts.sum()), dtype=dtype, eager=True)
    return pl.Series(values, dtype=dtype).gather(np.repeat(np.arange(len(counts)), counts))


def _row_ids(records: Sequence[Record]) -> pl.Series:
    """The id of each row: the request's own where it has one row, else `<id>.<row>`."""
    names: list[str] = []
    sizes: list[int] = []
    for record in records:
        if isinstance(record.id, str):
            names.append(record.id)
            sizes.append(record.rows)
        else:
            names += record.id
            sizes += record.parts or [1] * len(record.id)
    flat, counts = pl.Series(names, dtype=pl.String), np.array(sizes, dtype=np.int64)
    if (counts == 1).all():
        return flat
    spread = flat.gather(np.repeat(np.arange(len(counts)), counts)).alias("id")
    within = np.arange(len(spread)) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = {"id": spread, "row": within, "several": np.repeat(counts > 1, counts)}
    own = pl.concat_str("id", pl.lit("."), "row")
    return pl.DataFrame(columns).select(
        pl.when("several").then(own).otherwise("id").alias("prediction_id")
    )["prediction_id"]


def _one_a_row(record: Record) -> Any:
    """A record's latency: one for all rows, or one a row."""
    if record.parts is None or not _lists(record.latency):
        return record.latency
    return np.repeat(record.latency, record.parts).tolist()


def _each(values: Sequence[Any], counts: np.ndarray, dtype: pl.DataType) -> pl.Series:
    """One value for all rows of a record, or one a row."""
    if any(map(_lists, values)):
        flat: list[Any] = []
        for value, count in zip(values, counts.tolist(), strict=True):
            flat += value if _lists(value) else [value] * count
        return pl.Series(flat, dtype=dtype)
    return _spread(values, counts, dtype)


def _features(
    columns: Sequence[tuple[str, str]], counts: np.ndarray, records: Sequence[Record]
) -> pl.Series:
    """The features of all records as one struct; null where a request failed without any."""
    if not columns:
        return pl.Series([None] * int(counts.sum()), dtype=pl.Null)
    known = np.array([record.fixed is not None for record in records])
    present = records if known.all() else [record for record in records if record.fixed is not None]
    arrays = _numbers([code for _, code in columns if not code.startswith("O")], present)
    lists = iter(zip(*(record.texts for record in present), strict=True))
    series = []
    for name, code in columns:
        if code.startswith("O"):
            made = _objects(name, list(chain.from_iterable(next(lists, ()))), code[1:])
        else:
            made = _typed(name, code, next(arrays).reshape(-1))
        series.append(made.fill_nan(None) if made.dtype.is_float() else made)
    struct = pl.DataFrame(series).to_struct()
    return struct if known.all() else _with_gaps(struct, known, counts)


def _numbers(codes: Sequence[str], records: Sequence[Record]) -> Iterator[np.ndarray]:
    """The columns of numbers, as bytes, from records that hold all columns in one piece each."""
    counts = np.array([record.rows for record in records], dtype=np.int64)
    layouts = counts * 2 + np.array([record.by_rows for record in records], dtype=np.int64)
    starts = np.cumsum(counts) - counts
    blocks = []
    for layout in np.unique(layouts).tolist():  # records of one size are taken apart together
        members = np.flatnonzero(layouts == layout)
        rows, across = divmod(layout, 2)
        joined = b"".join([records[at].fixed for at in members.tolist()])  # type: ignore[misc]
        cells = np.frombuffer(joined, "u1").reshape(
            len(members) * rows if across else len(members), -1
        )
        place = (starts[members][:, None] + np.arange(rows)).ravel()
        blocks.append((cells, place, rows, across))
    offset = 0
    for width in map(_width, codes):
        column = np.empty((int(counts.sum()), width), "u1")
        for cells, place, rows, across in blocks:
            if across:
                column[place] = cells[:, offset : offset + width]
            else:
                part = cells[:, offset * rows : (offset + width) * rows]
                column[place] = part.reshape(-1, width)
        offset += width
        yield column


def _width(code: str) -> int:
    """Bytes of one row of a column of numbers."""
    text, _, width = code.partition("/")
    return np.dtype(text).itemsize * int(width or 1)


def _times(times: Sequence[int | bytes], counts: np.ndarray) -> pl.Series:
    if all(isinstance(item, int) for item in times):
        raw = np.repeat(np.asarray(times, dtype="i8"), counts)
    else:
        raw = np.frombuffer(
            b"".join(
                item if isinstance(item, bytes) else np.full(count, item, "<i8").tobytes()
                for item, count in zip(times, counts.tolist(), strict=True)
            ),
            "<i8",
        )
    return pl.Series(raw, dtype=pl.Int64).cast(TIME)


def _series(name: str, code: str, parts: Sequence[Any], counts: np.ndarray) -> pl.Series:
    """One column from the pieces of all requests; a piece that is None is null."""
    if not code:
        return pl.Series(name, [None] * int(counts.sum()), dtype=pl.Null)
    if code.startswith("O"):
        flat: list[Any] = []
        for part, count in zip(parts, counts.tolist(), strict=True):
            flat += [None] * count if part is None else part
        return _objects(name, flat, code[1:])
    gaps = None in parts
    known = [part for part in parts if part is not None] if gaps else parts
    series = _typed(name, code, np.frombuffer(b"".join(known), "u1"))
    if gaps:
        series = _with_gaps(series, np.array([part is not None for part in parts]), counts)
    return series


def _with_gaps(series: pl.Series, known: np.ndarray, counts: np.ndarray) -> pl.Series:
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
