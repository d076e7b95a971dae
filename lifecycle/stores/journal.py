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
cut short was never answered. It holds one request, or several that were predicted together. A
journal begins with heads, which name a version's columns and their types once; rows carry raw
little-endian arrays, all columns of numbers in one piece, so that writing and reading are columnar.

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
from typing import Any, NamedTuple
from zlib import crc32

import msgspec
import numpy as np
import polars as pl

from lifecycle.errors import DataError, LogError
from lifecycle.stores import tombstones
from lifecycle.stores.rows import (
    Head,
    OldRecord,
    Record,
    assembled,
    code,
    columns_of,
    moments,
    packed,
    renewed,
)

SUFFIX = ".journal"
_FRAME = struct.Struct("<II")
_READ = 1 << 18  # bytes at a time: a journal is not held as a whole beside its rows
_DISK = "free space or make the folder writable; nothing was logged for this request"


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else str(value)


_SINGLE = (str, int, float, np.number)
_encode_into = msgspec.msgpack.Encoder(enc_hook=_plain).encode_into
_decode = msgspec.msgpack.Decoder(Head | OldRecord | Record).decode


class _Plan(NamedTuple):
    """How requests like the last one are packed; known once, so that each costs little."""

    names: list[str]
    shapes: list[Any]
    head: int  # its number
    width: int  # bytes of a row's numbers
    texts: list[int]  # which features are lists of objects
    numbers: list[int]  # which are not; empty where all are not
    buffers: bool  # numbers can be joined as they lie in memory


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
        self._plans: dict[tuple[str, int], _Plan] = {}
        self._frame = bytearray()
        self._torn = False
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
        prediction_id: str | Sequence[str],
        *,
        rows: int,
        time: int | np.ndarray,
        features: Mapping[str, np.ndarray],
        prediction: np.ndarray | None,
        score: np.ndarray | None = None,
        arm: str = "champion",
        step: int = 0,
        key: str | Sequence[str | None] | None = None,
        latency_ms: float | Sequence[float] | None = None,
        error: str | None = None,
        types: Mapping[str, str] | None = None,
        block: np.ndarray | None = None,
        parts: Sequence[int] | None = None,
    ) -> None:
        """Write one record; see `PredictionWriter.append` for the arguments.

        Raises:
            LogError: the disk is full or gone; the journal is as it was before.
            DataError: the features have another length than the answers.
        """
        names = list(features)
        if block is None:
            values = list(features.values())
            shapes: list[Any] = [array.dtype for array in values]
        else:  # the columns are not looked at: they may have to be made first
            values, shapes = [], [block.dtype, block.ndim]
        if prediction is not None:
            shapes.append(prediction.dtype)
            if score is not None:
                shapes += (score.dtype, score.shape[1:])
        plan = self._plans.get((model, version))
        if plan is None or plan.names != names or plan.shapes != shapes:
            columns = columns_of(features, types or {})
            index = self._head((model, version, columns, code(prediction), code(score)))
            plan = _planned(names, list(features.values()), shapes, index)
            self._plans[model, version] = plan
        by_rows = False
        if block is not None:
            by_rows = not block.flags.c_contiguous
            fixed = packed(block.T if by_rows else block)
        else:
            numbers: list[Any] = [values[at] for at in plan.numbers] if plan.texts else values
            try:
                fixed = b"".join(numbers if plan.buffers else map(packed, numbers))
            except (TypeError, BufferError):  # columns that are no contiguous memory
                fixed = b"".join(map(packed, numbers))
        texts = [
            (values[place] if values else features[names[place]]).tolist() for place in plan.texts
        ]
        length = plan.width * rows if names else 0
        if len(fixed) != length or any(len(text) != rows for text in texts):
            raise _uneven("features", rows, model, version)
        asked = rows if parts is None else len(parts)
        for each, count in ((prediction_id, asked), (latency_ms, asked), (time, rows), (key, rows)):
            if not isinstance(each, _SINGLE) and each is not None and len(each) != count:
                raise _uneven("ids, times, keys or latencies", rows, model, version)
        if parts is not None and (sum(parts) != rows or isinstance(prediction_id, str)):
            raise _uneven("rows of the requests", rows, model, version)
        self._write(
            (
                2,  # a `Record`, field by field: one is not made only to be written
                plan.head,
                prediction_id,
                rows,
                moments(time),
                arm,
                step,
                key,
                latency_ms,
                fixed if names else None,
                by_rows,
                texts,
                None if prediction is None else packed(prediction),
                None if score is None else packed(score),
                error,
                parts,
            )
        )

    def _head(self, head: tuple[str, int, tuple[tuple[str, str], ...], str, str]) -> int:
        if head in self._known:
            return self._known[head]
        model, version, columns, prediction, _ = head
        if not prediction:  # a failed request stands among the answered ones of its version
            for known, index in self._known.items():
                if known[:2] == (model, version) and known[2] == (columns or known[2]):
                    return index
        index = len(self._known)
        self._write((0, index, *head))  # a `Head`
        self._known[head] = index  # only now: a head that was not written must be tried again
        return index

    def _write(self, record: tuple[Any, ...]) -> None:
        frame = self._frame  # one buffer for all records: nothing is copied twice
        _encode_into(record, frame, _FRAME.size)
        with memoryview(frame) as view:
            _FRAME.pack_into(frame, 0, len(view) - _FRAME.size, crc32(view[_FRAME.size :]))
        try:
            if self._torn:  # what stands behind a torn record would never be read
                os.ftruncate(self._file, self.size)
                self._torn = False
            written = os.write(self._file, frame)
            self._torn = written < len(frame)
            while written < len(frame):  # the rest goes in as well, or the reason comes out
                written += os.write(self._file, frame[written:])
            self._torn = False
        except OSError as error:
            if self._torn:
                with suppress(OSError):
                    os.ftruncate(self._file, self.size)
                    self._torn = False
            raise LogError(
                f"the prediction log cannot be written: {error}", where=self.path, fix=_DISK
            ) from error
        self.size += len(frame)

    def close(self, *, unlock: bool = True) -> None:
        """Let go of the journal; the file stays for whoever seals it. Safe to call twice.

        Args:
            unlock: also where a child of this process still has the file open; the child itself,
                whose lock it is not, says False.
        """
        if self._file >= 0:
            if unlock:
                fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
        self._file = -1  # the number may be another file's now


def _planned(names: list[str], values: list[np.ndarray], shapes: list[Any], index: int) -> _Plan:
    texts = [place for place, array in enumerate(values) if array.dtype.kind in "OU"]
    numbers = [place for place, array in enumerate(values) if array.dtype.kind not in "OU"]
    kinds = [values[place].dtype for place in numbers]
    width = sum(
        values[place].dtype.itemsize * int(np.prod(values[place].shape[1:])) for place in numbers
    )
    # numpy lends out no memory of times, and big-endian numbers are turned round
    buffers = all(kind.kind not in "mM" and kind.byteorder != ">" for kind in kinds)
    return _Plan(names, shapes, index, width, texts, numbers, buffers)


def _uneven(what: str, rows: int, model: str, version: int) -> DataError:
    return DataError(
        f"the {what} are not {rows}, as the answers",
        where=f"{model}/{version}",
        fix="log as many rows as were answered",
    )


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
    heads: list[Head] = []
    rows: dict[int, list[Record]] = {}
    places: dict[int, list[int]] = {}
    for place, record in _records(path, damaged=damaged):
        if isinstance(record, Head):
            heads.append(record)
        elif record.head >= len(heads):
            if damaged:
                break
            raise _damage(path, f"its rows name head {record.head}, which is missing")
        elif model is None or heads[record.head].model == model:
            found = renewed(record) if isinstance(record, OldRecord) else record
            rows.setdefault(record.head, []).append(found)
            places.setdefault(record.head, []).append(place)
    frames = {index: assembled(heads[index], found) for index, found in rows.items()}
    erased = tombstones.read(path)
    if erased:
        for index, frame in frames.items():
            begins = np.repeat(places[index], [record.rows for record in rows[index]])
            kept = tombstones.kept(frame, begins, erased, heads[index].model)
            frames[index] = frame.filter(kept)
    return {index: frame for index, frame in frames.items() if len(frame)}


def _records(path: Path, *, damaged: bool) -> Iterator[tuple[int, Head | OldRecord | Record]]:
    """Each record, and at which byte it begins; what is appended meanwhile is left out."""
    with path.open("rb", buffering=_READ) as file:
        end, place = os.fstat(file.fileno()).st_size, 0
        while place + _FRAME.size <= end:
            length, checksum = _FRAME.unpack(file.read(_FRAME.size))
            begin, start = place, place + _FRAME.size
            place = start + length
            if place > end:
                return
            payload = file.read(length)
            if crc32(payload) != checksum:
                if damaged:
                    return
                raise _damage(path, f"at byte {start}")
            try:
                record = _decode(payload)
            except msgspec.MsgspecError as error:
                if damaged:
                    return
                raise _damage(path, f"at byte {start}: {error}") from error
            yield begin, record


def _damage(path: Path, what: str) -> LogError:
    return LogError(
        f"the journal is damaged: {what}",
        where=path,
        fix="restore the file, or move it away and lose the predictions in it",
    )
