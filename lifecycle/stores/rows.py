"""Requests as rows of the log: arrays are packed as they come, and unpacked column by column.

>>> made = frame("churn", 7, "id", rows=2, time=0, features={"age": np.array([41.0, 19.0])},
...              prediction=np.array([1, 0]), score=None, arm="batch", key=None, types={})
>>> made.select("prediction_id", "prediction").rows()
[('id.0', 1), ('id.1', 0)]
"""

from collections.abc import Mapping, Sequence
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
    found = times.astype("M8[us]")
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
    return assembled(head, [[*record, packed(prediction), scores, None]])


def assembled(head: list[Any], records: list[list[Any]]) -> pl.DataFrame:
    """The records of one head as rows of the log.

    Args:
        head: model, version, `columns_of` its features, `code` of prediction and score.
        records: what `Journal.append` writes behind the head's number, one list a request.
    """
    model, version, columns, prediction, score = head
    ids, counts, times, arms, steps, keys, latencies, values, predictions, scores, errors = zip(
        *records, strict=True
    )
    total = sum(counts)
    where = np.repeat(np.arange(len(counts)), counts)

    def spread(each: Sequence[Any], dtype: Any) -> pl.Series:
        return pl.Series(each, dtype=dtype).gather(where)

    absent = [not item for item in values]
    empty = [None] * len(columns)
    pieces = zip(*(item or empty for item in values), strict=True)
    joined = [
        _series(name, code, parts, counts)
        for (name, code), parts in zip(columns, pieces, strict=True)
    ]
    joined = [item.fill_nan(None) if item.dtype.is_float() else item for item in joined]
    features = pl.Series([None] * total, dtype=pl.Null)
    if joined:
        features = pl.DataFrame(joined).to_struct()
        if any(absent):
            missing = pl.Series(absent).gather(where)
            features = pl.select(pl.when(~missing).then(features)).to_series()
    return pl.DataFrame(
        {
            "prediction_id": _row_ids(ids, counts, where),
            "time": _times(times, counts),
            "model": pl.repeat(model, total, dtype=pl.String, eager=True),
            "version": pl.repeat(version, total, dtype=pl.Int64, eager=True),
            "arm": spread(arms, pl.String),
            "step": spread(steps, pl.Int64),
            "key": _keys(keys, counts),
            "latency_ms": spread(latencies, pl.Float64),
            "features": features,
            "prediction": _widest(_series("prediction", prediction, predictions, counts)),
            "score": _series("score", score, scores, counts).cast(
                pl.List(pl.Float64) if score.split("/")[-1].isdigit() else pl.Float64
            ),
            "error": spread(errors, pl.String),
        }
    )


def _row_ids(ids: Sequence[str], counts: Sequence[int], where: np.ndarray) -> pl.Series:
    if all(count == 1 for count in counts):
        return pl.Series(ids, dtype=pl.String)
    sizes = np.asarray(counts)
    row = np.arange(len(where)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    several = pl.Series(sizes > 1).gather(where)
    frame = pl.DataFrame(
        {"id": pl.Series(ids, dtype=pl.String).gather(where), "row": row, "several": several}
    )
    named = pl.when("several").then(pl.format("{}.{}", "id", "row")).otherwise("id")
    return frame.select(named).to_series()


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


def _keys(keys: Sequence[Any], counts: Sequence[int]) -> pl.Series:
    flat: list[str | None] = []
    for key, count in zip(keys, counts, strict=True):
        flat += key if isinstance(key, (list, tuple)) else [key] * count
    return pl.Series(flat, dtype=pl.String)


def _series(name: str, code: str, parts: Sequence[Any], counts: Sequence[int]) -> pl.Series:
    """One column from the pieces of all requests; a piece that is None is null."""
    if not code:
        return pl.Series(name, [None] * sum(counts), dtype=pl.Null)
    if code.startswith("O"):
        flat: list[Any] = []
        for part, count in zip(parts, counts, strict=True):
            flat += [None] * count if part is None else part
        return _objects(name, flat, code[1:])
    text, _, width = code.partition("/")
    dtype = np.dtype(text)
    gaps = None in parts
    known = [part for part in parts if part is not None] if gaps else parts
    joined = np.frombuffer(b"".join(known), dtype)
    if dtype.kind in "mM":
        joined = joined.astype("M8[us]" if dtype.kind == "M" else "m8[us]")
    elif dtype == np.float16:
        joined = joined.astype("f4")
    if width:
        series = pl.Series(name, joined.reshape(-1, int(width))).cast(pl.List(pl.Float64))
    else:
        series = pl.Series(name, joined)
    if gaps:
        present = np.repeat([part is not None for part in parts], counts)
        place = pl.Series(np.cumsum(present) - 1, dtype=pl.Int64)
        series = series.gather(place.set(~pl.Series(present), None)).alias(name)
    return series


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
