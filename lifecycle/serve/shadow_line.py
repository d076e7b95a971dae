"""One shadow's queue, and the thread that predicts and logs what is in it.

>>> Copied(eligible=8, answered=5, failed=1).coverage
0.75

Copies that came in one moment are predicted in one call. In each `again`-th call the champion
answers once more, so that its noise and the latencies of both are known from the same rows.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from lifecycle.errors import LogError
from lifecycle.models.predicting import Columns, Given, Lacking, Output, Table
from lifecycle.rollout.plan import CHAMPION
from lifecycle.serve.jsonable import scalars
from lifecycle.serve.rows import Rows
from lifecycle.serve.slots import Group, Slot
from lifecycle.serve.typed import nulls
from lifecycle.stores.predictions import PredictionWriter

ARM = "shadow"
GATHER_SECONDS = 0.02  # that copies wait for others; the answers are out of the house by then
BATCH_ROWS = 512  # of one call
_KINDS = {"double": np.float64, "float": np.float32, "long": np.int64, "integer": np.int32}
_LOG = logging.getLogger("lifecycle.serve")


def logged_as(model: str) -> str:
    """The name that a model's shadow is logged under.

    >>> logged_as("churn")
    'churn@shadow'
    """
    return f"{model}@{ARM}"


@dataclass(slots=True)
class Copied:
    """What became of one shadow's copies; requests.

    Attributes:
        eligible: that the champion answered while this shadow was there.
        copied: that were put into the queue.
        answered: that the shadow answered, and the log has it.
        failed: that it raised on, and the log has it.
        dropped: that found the queue full, the log broken or the server ending.
    """

    eligible: int = 0
    copied: int = 0
    answered: int = 0
    failed: int = 0
    dropped: int = 0

    @property
    def coverage(self) -> float | None:
        """The share of eligible requests that the log has an outcome of; None before the first."""
        return (self.answered + self.failed) / self.eligible if self.eligible else None


@dataclass(slots=True, eq=False)
class Copies:
    """Requests that are copied together.

    Attributes:
        rows: of all of them, one behind the other.
        asked: each one's own rows and routing key.
        ids: of each one's answer.
        time: when they were answered, microseconds since 1970.
    """

    rows: Rows
    asked: list[tuple[Rows, str | None]]
    ids: list[str]
    time: int


class Line:
    """One shadow's queue and the thread that serves it.

    Args:
        group: a model's versions.
        one: the shadow among them.
        writer: opens the log.
        again: see `Shadow`.
        counts: what it counts into.
    """

    def __init__(
        self,
        group: Group,
        one: Slot,
        writer: Callable[[], PredictionWriter],
        again: int,
        counts: Copied,
    ) -> None:
        self.group, self.one, self.counts = group, one, counts
        self.champion = group.champion
        self.alike = _alike(self.champion, one)
        self.put = self.gone = self.taken = 0  # requests; each is written by one thread alone
        self.ended = False
        self._writer, self._again, self._calls = writer, again, 0
        self._queue: deque[Copies] = deque()
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._told = 0.0
        self.thread = threading.Thread(target=self._run, name="lifecycle-shadow", daemon=True)
        self.thread.start()

    @property
    def sample(self) -> float:
        """The share of requests that is copied."""
        return self.group.rollout.spec.sample if self.group.rollout is not None else 1.0

    @property
    def waiting(self) -> int:
        """Requests whose copies are not predicted yet."""
        return self.put - self.gone - self.taken

    def add(self, copies: Copies) -> None:
        """Queue copies."""
        self.put += len(copies.ids)
        self.counts.copied += len(copies.ids)
        self._queue.append(copies)
        if not self._wake.is_set():
            self._wake.set()

    def end(self, *, now: bool) -> None:
        """Take no more; what waits is predicted first, or dropped where it ends `now`."""
        self.ended = True
        if now:
            self.drop()
        self._hurry.set()
        self._wake.set()

    def drop(self) -> None:
        """Count what waits as dropped."""
        while self._queue:
            try:
                copies = self._queue.popleft()
            except IndexError:  # the thread was quicker
                return
            self.gone += len(copies.ids)
            self.counts.dropped += len(copies.ids)

    def _run(self) -> None:
        while not (self.ended and not self._queue):
            self._wake.wait()
            self._hurry.wait(GATHER_SECONDS)
            self._wake.clear()
            while self._queue:
                try:
                    batch = self._gathered()
                except IndexError:  # what waited was dropped
                    break
                count = sum(len(copies.ids) for copies in batch)
                try:
                    self._serve(batch)
                except BaseException as error:  # noqa: BLE001 - a thread that died would copy no more
                    self._trouble(error)
                    self.counts.dropped += count
                self.taken += count

    def _gathered(self) -> list[Copies]:
        """The copies that wait longest, as many as one call takes."""
        batch = [self._queue.popleft()]
        if not _sociable(self.one, batch[0].rows):
            return batch
        room, kind = BATCH_ROWS - batch[0].rows.count, type(batch[0].rows.columns)
        while self._queue:
            rows = self._queue[0].rows
            fits = rows.count <= room and type(rows.columns) is kind and rows.params is None
            if not fits or not _same_types(batch[0].rows.columns, rows.columns):
                break
            room -= rows.count
            batch.append(self._queue.popleft())
        return batch

    def _serve(self, batch: list[Copies]) -> None:
        self._calls += 1
        again = self._again > 0 and self._calls % self._again == 0
        first = again and self._calls // self._again % 2 == 0  # in turns: the second one is warmer
        if first:
            self._answer_again(batch)
        self._answer(batch)
        if again and not first:
            self._answer_again(batch)

    def _answer(self, batch: list[Copies]) -> None:
        """Predict in one call where it works, else in smaller ones, and log."""
        said, taken = self._predicted(self.one, batch)
        if isinstance(said, Output):
            self._log(batch, self.one, said, taken, ARM)
            self.counts.answered += sum(len(copies.ids) for copies in batch)
        elif len(batch) > 1:
            half = len(batch) // 2
            self._answer(batch[:half])
            self._answer(batch[half:])
        elif len(batch[0].ids) > 1:
            for copies in _single(batch[0]):
                self._answer([copies])
        else:
            self._log_error(batch[0], said, taken)
            self.counts.failed += 1

    def _answer_again(self, batch: list[Copies]) -> None:
        """The champion's second answer; where it raises there is none."""
        said, taken = self._predicted(self.champion, batch)
        if isinstance(said, Output):
            self._log(batch, self.champion, said, taken, CHAMPION)

    def _predicted(self, one: Slot, batch: list[Copies]) -> tuple[Output | str, float]:
        """What a version says or raises, and how many milliseconds its call took."""
        begun = time.perf_counter_ns()
        try:
            rows = batch[0].rows if len(batch) == 1 else _joined([each.rows for each in batch])
            columns = rows.columns
            if one is self.one and not self.alike:
                columns = fitted(columns, rows.count, one)
            begun = time.perf_counter_ns()
            said = one.loaded.predict(columns, rows.params)
            taken = (time.perf_counter_ns() - begun) / 1e6
            for part in (said.prediction, said.scores):
                if part is not None and len(part) != rows.count:
                    raise ValueError(f"{len(part)} answers for {rows.count} rows")
        except BaseException as error:  # noqa: BLE001 - a model may raise anything, also SystemExit
            return f"{type(error).__name__}: {error}", (time.perf_counter_ns() - begun) / 1e6
        return said, taken

    def _log(self, batch: list[Copies], one: Slot, said: Output, taken: float, arm: str) -> None:
        asked = [each for copies in batch for each in copies.asked]
        parts = [rows.count for rows, _ in asked]
        ids = batch[0].ids if len(batch) == 1 else [own for copies in batch for own in copies.ids]
        count = len(said.prediction)
        self._append(
            ids if len(ids) > 1 else ids[0],
            version=one.version,
            time=_times(batch),
            prediction=scalars(said.prediction),
            score=said.score,
            arm=arm,
            key=_keys(asked),
            latency_ms=[taken] * len(ids) if len(ids) > 1 else taken,
            parts=parts if 1 < len(parts) < count else None,
        )

    def _log_error(self, copies: Copies, error: str, taken: float) -> None:
        """Log one request's error, row by row: each has the id of its answer."""
        [(rows, routed)], [token] = copies.asked, copies.ids
        keys = rows.keys(routed)
        for row in range(rows.count):
            self._append(
                token if rows.count == 1 else f"{token}.{row}",
                version=self.one.version,
                time=copies.time if rows.time is None else rows.time[row : row + 1],
                prediction=None,
                score=None,
                arm=ARM,
                key=keys[row] if isinstance(keys, list) else keys,
                latency_ms=taken,
                parts=None,
                error=error,
            )

    def _append(self, ids: str | list[str], *, version: int, **more: Any) -> None:
        writer = self._writer()
        lost = writer.lost
        model, step = logged_as(self.one.model), self.group.plan.step
        writer.append(model, version, ids, features={}, step=step, **more)
        if writer.lost > lost:
            raise LogError("the shadow's answers cannot be logged", where=writer.directory)

    def _trouble(self, error: BaseException) -> None:
        """Say what is wrong, once a minute."""
        if time.monotonic() - self._told > 60 or not self._told:
            self._told = time.monotonic()
            more = {"event": "shadow_dropped", "model": self.one.model}
            _LOG.warning("copies for the shadow are dropped: %s", error, extra=more)


def fitted(columns: Columns, count: int, one: Slot) -> Columns:
    """A request as another version takes it: its columns, in its order and of its types.

    What was not sent is null; what does not fit the type is left for the model to refuse.

    Args:
        columns: decoded by the version that answered.
        count: rows.
        one: the other version.
    """
    if isinstance(columns, Given) or one.loaded.forms is not None:
        return columns
    found, absent = {}, []
    for column in one.loaded.spec.features:
        name = column.name
        if name not in columns:
            found[name] = nulls(column.dtype, count)
            absent.append(name)
            continue
        array, kind = columns[name], _KINDS.get(column.dtype)
        if kind is not None and array.dtype.kind in "fiu":
            whole = np.issubdtype(kind, np.integer)
            array = array if whole and np.isnan(array).any() else array.astype(kind, copy=False)
        found[name] = array
    return Lacking(found, absent) if absent else found


def _alike(one: Slot, other: Slot) -> bool:
    """Whether both versions take the same columns."""
    ours, theirs = (
        [(column.name, column.dtype) for column in each.loaded.spec.features]
        for each in (one, other)
    )
    return ours == theirs


def _sociable(one: Slot, rows: Rows) -> bool:
    """Whether rows may be predicted with others."""
    return one.loaded.together and rows.params is None and type(rows.columns) in (Table, dict)


def _same_types(ours: Columns, theirs: Columns) -> bool:
    if isinstance(ours, Table):
        return isinstance(theirs, Table) and ours.layout is theirs.layout
    return [(name, array.dtype, array.shape[1:]) for name, array in ours.items()] == [
        (name, array.dtype, array.shape[1:]) for name, array in theirs.items()
    ]


def _joined(rows: Sequence[Rows]) -> Rows:
    """The rows of several copies, one behind the other."""
    first, count = rows[0].columns, sum(each.count for each in rows)
    if isinstance(first, Table):
        tables: list[Any] = [each.columns for each in rows]
        return Rows(Table.joined(tables), count)
    columns = {name: np.concatenate([each.columns[name] for each in rows]) for name in first}
    return Rows(columns, count)


def _single(copies: Copies) -> list[Copies]:
    """Copies one by one."""
    return [
        Copies(own[0], [own], [token], copies.time)
        for own, token in zip(copies.asked, copies.ids, strict=True)
    ]


def _times(batch: list[Copies]) -> int | np.ndarray:
    """The rows' own times, else when they were answered: as the champion's rows have them."""
    if len(batch) == 1 and all(rows.time is None for rows, _ in batch[0].asked):
        return batch[0].time
    found = [
        np.full(rows.count, np.datetime64(copies.time, "us")) if rows.time is None else rows.time
        for copies in batch
        for rows, _ in copies.asked
    ]
    return np.concatenate(found)


def _keys(asked: list[tuple[Rows, str | None]]) -> list[str | None] | None:
    """One key a row; None where no row has one."""
    if all(rows.key is None and routed is None for rows, routed in asked):
        return None
    each = (
        keys if isinstance(keys, list) else [keys] * rows.count
        for rows, routed in asked
        for keys in [rows.keys(routed)]
    )
    return list(chain.from_iterable(each))
