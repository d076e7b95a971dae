"""The unsealed half of the prediction log: one append-only file a process, read back as frames.

>>> import tempfile, numpy as np
>>> with tempfile.TemporaryDirectory() as folder:
...     journal = Journal(folder)
...     journal.append("churn", 7, "id", rows=2, time=0, features={"age": np.array([41.0, 19.0])},
...                    prediction=np.array([1, 0]))
...     read(journal.path)[0].select("prediction_id", "prediction").rows()
[('id.0', 1), ('id.1', 0)]

A record is `length | crc32 | msgpack`, written with one system call before the request is
answered; so it survives the death of the process, though not a power cut, and a record that was
cut short was never answered. A journal begins with heads, which name a version's columns and
their types once; rows carry raw little-endian arrays, so that reading is columnar.

The writer holds a lock on its journal (flock), which the kernel lets go when it dies: an unlocked
journal belongs to nobody and anyone may seal it.
"""

import fcntl
import os
import struct
import time as clock
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
import polars as pl

from lifecycle.errors import LogError

SUFFIX = ".journal"
# fmt: off
COLUMNS = (
    "prediction_id", "time", "model", "version", "arm", "step", "key", "latency_ms", "features",
    "prediction", "score", "error",
)
# fmt: on
TIME = pl.Datetime("us", "UTC")
EARLIEST, LATEST = np.datetime64("0001-01-01", "us"), np.datetime64("10000-01-01", "us")
_FRAME = struct.Struct("<II")
_HEAD, _ROWS = 0, 1
_DISK = "free space or make the folder writable; nothing was logged for this request"


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)


_encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


def _packed(array: np.ndarray) -> Any:
    return array.tolist() if array.dtype.kind in "OU" else array.tobytes()


def _code(array: np.ndarray | None, declared: str = "") -> str:
    """How an array is stored: numpy's type and width, or the kind of objects."""
    if array is None:
        return ""
    if array.dtype.kind in "OU":
        return f"O{declared}" if declared in {"boolean", "string"} else "O"
    width = "" if array.ndim == 1 else str(array.shape[1])
    return f"{array.dtype.newbyteorder('<').str}/{width}"


def _columns(
    features: Mapping[str, np.ndarray], types: Mapping[str, str]
) -> tuple[tuple[str, str], ...]:
    return tuple((name, _code(array, types.get(name, ""))) for name, array in features.items())


def dated(times: np.ndarray, now: int) -> np.ndarray:
    """Times that the log can hold: what is none, or outside the years 1 … 9999, becomes `now`.

    >>> dated(np.array(["NaT", "2026-04-01"], "M8[us]"), 0).astype(str).tolist()
    ['1970-01-01T00:00:00.000000', '2026-04-01T00:00:00.000000']

    Args:
        times: datetime64, UTC.
        now: microseconds since 1970 UTC.
    """
    moments = times.astype("M8[us]")
    held = (moments >= EARLIEST) & (moments < LATEST)
    return np.where(held, moments, np.datetime64(now, "us"))


def _moments(time: int | np.ndarray) -> int | bytes:
    return time if isinstance(time, int) else time.astype("<M8[us]").tobytes()


class Journal:
    """The journal that this process appends to; not safe for several threads at once.

    Attributes:
        path: the file, `<directory>/<time>-<pid>-<random>.journal`.
        size: bytes written so far.
    """

    def __init__(self, directory: str | Path) -> None:
        name = f"{clock.time_ns() // 1_000_000}-{os.getpid()}-{os.urandom(4).hex()}"
        self.path = Path(directory) / f"{name}{SUFFIX}"
        self.size = 0
        self._known: dict[tuple[Any, ...], int] = {}
        self._last: dict[tuple[str, int], tuple[list[str], list[Any], int]] = {}
        draft = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
            # locked before it has its name: nobody takes it for a dead process's
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.rename(self.path)
        except OSError as error:
            raise LogError(
                f"the prediction log cannot be written: {error}", where=self.path.parent, fix=_DISK
            ) from error

    def append(
        self,
        model: str,
        version: int,
        prediction_id: str,
        *,
        rows: int,
        time: int | np.ndarray,
        features: Mapping[str, np.ndarray],
        prediction: np.ndarray | None,
        score: np.ndarray | None = None,
        arm: str = "champion",
        step: int = 0,
        key: str | Sequence[str | None] | None = None,
        latency_ms: float | None = None,
        error: str | None = None,
        types: Mapping[str, str] | None = None,
    ) -> None:
        """Write one request; see `PredictionWriter.append` for the arguments.

        Raises:
            LogError: the disk is full or gone; the journal is as it was before.
        """
        values = list(features.values())
        names = list(features)
        shapes: list[Any] = [array.dtype for array in values]
        if prediction is not None:
            shapes.append(prediction.dtype)
            if score is not None:
                shapes += (score.dtype, score.shape[1:])
        last = self._last.get((model, version))
        if last is not None and last[0] == names and last[1] == shapes:
            index = last[2]
        else:
            columns = _columns(features, types or {})
            index = self._head((model, version, columns, _code(prediction), _code(score)))
            self._last[model, version] = (names, shapes, index)
        record = (
            _ROWS,
            index,
            prediction_id,
            rows,
            _moments(time),
            arm,
            step,
            key,
            latency_ms,
            [_packed(array) for array in values],
            None if prediction is None else _packed(prediction),
            None if score is None else score.tobytes(),
            error,
        )
        self._write(_encode(record))

    def _head(self, head: tuple[str, int, tuple[tuple[str, str], ...], str, str]) -> int:
        if head in self._known:
            return self._known[head]
        model, version, columns, prediction, _ = head
        if not prediction:  # a failed request stands among the answered ones of its version
            for known, index in self._known.items():
                if known[:2] == (model, version) and known[2] == (columns or known[2]):
                    return index
        index = len(self._known)
        self._write(_encode((_HEAD, index, *head)))
        self._known[head] = index  # only now: a head that was not written must be tried again
        return index

    def _write(self, payload: bytes) -> None:
        frame = _FRAME.pack(len(payload), crc32(payload)) + payload
        try:
            written = os.write(self._file, frame)
            while written < len(frame):  # the rest goes in as well, or the reason comes out
                written += os.write(self._file, frame[written:])
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self._file, self.size)
            raise LogError(
                f"the prediction log cannot be written: {error}", where=self.path, fix=_DISK
            ) from error
        self.size += len(frame)

    def close(self) -> None:
        """Let go of the lock; the file stays for whoever seals it. Safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1  # the number may be another file's now


def adopt(path: Path) -> int | None:
    """Lock a journal whose process is dead; None when it lives or the journal is gone.

    The caller closes the descriptor.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:  # otherwise someone sealed it meanwhile
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


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
    columns = _columns(features, types)
    head = [model, version, columns, _code(prediction), _code(score)]
    packed = [_packed(array) for array in features.values()]
    scores = None if score is None else score.tobytes()
    record = [prediction_id, rows, _moments(time), arm, 0, key, None, packed]
    return _frame(head, [[*record, _packed(prediction), scores, None]])


def read(path: Path, *, model: str | None = None, damaged: bool = False) -> dict[int, pl.DataFrame]:
    """The rows of a journal as frames with the log's columns, by the number of their head.

    Args:
        path: the journal, of a living process or a dead one.
        model: only this model's rows.
        damaged: return what stands before damage instead of raising.

    Raises:
        LogError: the journal is damaged: not cut short, as by a killed process, but changed.
        FileNotFoundError: it was sealed meanwhile.
    """
    heads: list[list[Any]] = []
    rows: dict[int, list[list[Any]]] = {}
    for kind, index, *record in _records(path, damaged=damaged):
        if kind == _HEAD:
            heads.append(record)
        elif index >= len(heads):
            if damaged:
                break
            raise _damage(path, f"its rows name head {index}, which is missing")
        elif model is None or heads[index][0] == model:
            rows.setdefault(index, []).append(record)
    return {index: _frame(heads[index], found) for index, found in rows.items()}


def _records(path: Path, *, damaged: bool) -> Iterator[list[Any]]:
    content = path.read_bytes()
    place = 0
    while place + _FRAME.size <= len(content):
        length, checksum = _FRAME.unpack_from(content, place)
        start, place = place + _FRAME.size, place + _FRAME.size + length
        if place > len(content):
            return
        payload = content[start:place]
        if crc32(payload) != checksum:
            if damaged:
                return
            raise _damage(path, f"at byte {start}")
        yield _decode(payload)


def _damage(path: Path, what: str) -> LogError:
    return LogError(
        f"the journal is damaged: {what}",
        where=path,
        fix="restore the file, or move it away and lose the predictions in it",
    )


def _frame(head: list[Any], records: list[list[Any]]) -> pl.DataFrame:
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
