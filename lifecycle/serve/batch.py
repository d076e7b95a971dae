"""Micro-batches without a timer: what arrives in one turn of the loop is predicted in one call.

    ask ──> queue of the model ──next turn of the loop──> one call ──> one record of the log
                  ^ requests gather here while a thread predicts          └──> each its answer

Nobody waits for others to come: a request that is alone is predicted alone. Requests share a call
when one version in one arm answers them, and each row is answered by itself (`together`); those
with params go alone. A call that fails is halved until the requests that make it fail stand alone,
so that none harms its neighbours. What takes less than about a millisecond is predicted on the
loop's thread, anything else in one thread a model, so that health checks are answered meanwhile.

A request whose turn does not come in time is answered 504 and never predicted. One that is being
predicted then is answered 504 too; its prediction is logged as an error when it is there, because
nobody was told it.

>>> Limits().queue
1024
"""

import asyncio
import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lifecycle.errors import LifecycleError, LogError, PredictionFailed
from lifecycle.models.predicting import Output, Table
from lifecycle.serve.engine import Answer, Choice, Engine
from lifecycle.serve.pace import INLINE_NS
from lifecycle.serve.rows import Rows
from lifecycle.serve.shadow import Shadow
from lifecycle.serve.wire import Refused

OFTEN = 256  # rows of one call, however long each takes: many models cost as much for one
SWITCH_SECONDS = 0.0005  # a thread that computes gives the interpreter to the loop so often
_LOG = logging.getLogger("lifecycle.serve")

Done = Callable[[Answer | Exception], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """`[serve]`: what a server takes on.

    Attributes:
        queue: requests that may wait; further ones are answered 503.
        batch_rows: rows of one call; a longer request goes alone. Of a model that is slow row by
            row fewer are taken together, so that who comes next does not wait long.
        seconds: a request that takes longer is answered 504.
    """

    queue: int = 1024
    batch_rows: int = 1024
    seconds: float = 60.0


@dataclass(slots=True, eq=False)
class _Asked:
    """A request that waits or is being predicted."""

    choice: Choice
    rows: Rows
    done: Done
    begun: int
    late: bool = False  # it was answered 504


Batch = list[_Asked]
# requests that one call answered, their rows, and what it gave
Predicted = tuple[Batch, Rows, Output | Exception]


@dataclass(slots=True, eq=False)
class _Line:
    """The requests of one model."""

    waiting: deque[_Asked] = field(default_factory=deque)
    busy: Batch = field(default_factory=list)  # what the thread is predicting
    thread: ThreadPoolExecutor | None = None


class Batcher:
    """Predicts and records requests, together where it can; lives on one loop's thread.

    Args:
        engine: answers.
        limits: what it takes on.
        shadow: is given copies of what is answered; None: nothing is.
    """

    def __init__(
        self, engine: Engine, limits: Limits | None = None, shadow: Shadow | None = None
    ) -> None:
        self.engine, self.limits, self.shadow = engine, limits or Limits(), shadow
        self._lines: dict[str, _Line] = {}
        self._count = 0
        self._soon = self._flushing = self._watched = False

    @property
    def waiting(self) -> int:
        """Requests whose turn has not come."""
        return self._count

    def ask(self, choice: Choice, rows: Rows, done: Done, *, begun: int) -> None:
        """Queue a request.

        Args:
            choice: who answers.
            rows: from the decoder of the version that answers.
            done: takes the answer, or what the client is to be told instead; called once.
            begun: `time.perf_counter_ns()` when the request was there; 0: now.
        """
        if self._count >= self.limits.queue:
            self._flush()
            if self._count >= self.limits.queue:
                done(Refused(503, "too many requests are waiting"))
                return
        line = self._lines.get(choice.slot.model)
        if line is None:
            line = self._lines[choice.slot.model] = _Line()
        line.waiting.append(_Asked(choice, rows, done, begun or time.perf_counter_ns()))
        self._count += 1
        if not self._soon:
            self._on_next_turn()

    @property
    def predicting(self) -> dict[str, int]:
        """By model how many requests a thread is predicting, also those that were answered 504."""
        return {name: len(line.busy) for name, line in self._lines.items() if line.busy}

    def close(self) -> None:
        """End the threads; one that is predicting still is left alone, it may never return."""
        for line in self._lines.values():
            if line.thread is not None:
                line.thread.shutdown(wait=not line.busy, cancel_futures=True)

    def _on_next_turn(self) -> None:
        self._soon = True
        asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        """Predict what waits, but for the models whose thread is busy."""
        if self._flushing:  # an answer has led to a new request
            return
        self._soon, self._flushing = False, True
        try:
            for line in tuple(self._lines.values()):
                self._serve(line)
        finally:
            self._flushing = False

    def _serve(self, line: _Line) -> None:
        while line.waiting and not line.busy:
            batch = self._taken(line)
            rows = sum(asked.rows.count for asked in batch)
            if self.engine.expected(batch[0].choice, rows) < INLINE_NS:
                self._settle(self._tried(batch, aside=False))
            else:
                self._in_thread(line, batch)

    def _taken(self, line: _Line) -> Batch:
        """The request that waits longest, and those that may share its call."""
        waiting = line.waiting
        first = waiting.popleft()
        batch, passed = [first], []
        if waiting and _sociable(first):
            choice = first.choice
            most = max(OFTEN, self.engine.affordable(choice))
            room = min(self.limits.batch_rows, most) - first.rows.count
            while waiting and room > 0:
                other = waiting.popleft()
                fits = other.rows.count <= room and _same(choice, other.choice)
                if fits and _alike(first.rows, other.rows):
                    batch.append(other)
                    room -= other.rows.count
                else:
                    passed.append(other)
            waiting.extendleft(reversed(passed))
        self._count -= len(batch)
        return batch

    def _tried(self, batch: Batch, *, aside: bool) -> list[Predicted]:
        """As `_predicted`; what goes wrong around the calls is told to each."""
        try:
            return self._predicted(batch, aside=aside)
        except Exception as error:  # noqa: BLE001 - nobody is left without an answer
            return [([asked], asked.rows, error) for asked in batch]

    def _predicted(self, batch: Batch, *, aside: bool) -> list[Predicted]:
        """Predict in one call where it works, else in smaller ones; may run in any thread."""
        choice, engine = batch[0].choice, self.engine
        if len(batch) == 1:
            rows = batch[0].rows
            return [(batch, rows, engine.predict(choice, rows, aside=aside))]
        found: Output | Exception
        try:
            rows = _joined(batch)
            found = engine.predict(choice, rows, aside=aside)
        except Exception as error:  # noqa: BLE001 - whose rows it is, their own call shows
            found = error
        if isinstance(found, Output):
            if _splits(found, rows.count):
                return [(batch, rows, found)]
            parts = [[asked] for asked in batch]
        else:
            half = len(batch) // 2
            parts = [batch[:half], batch[half:]]
        return [each for part in parts for each in self._predicted(part, aside=aside)]

    def _settle(self, predicted: Sequence[Predicted]) -> None:
        """Log what was predicted, then answer."""
        for batch, rows, output in predicted:
            one = batch[0].choice.slot
            self.engine.figures.called(one.model, one.version, len(batch))
            if len(batch) == 1 or isinstance(output, Exception):
                self._tell_one(batch[0], output)
                continue
            if not any(asked.late for asked in batch):
                try:
                    answers = self.engine.record_all(batch, rows, output)
                except LogError as error:
                    for asked in batch:
                        _tell(asked, error)
                    continue
                except Exception:  # noqa: BLE001, S110 - one of them cannot be logged
                    pass
                else:
                    for asked, answer in zip(batch, answers, strict=True):
                        _tell(asked, answer)
                    if self.shadow is not None:
                        self.shadow.offer(batch, rows, answers)
                    continue
            start = 0
            for asked in batch:
                stop = start + asked.rows.count
                try:
                    own: Output | Exception = output.part(start, stop)
                except Exception as error:  # noqa: BLE001 - it is told to this one alone
                    own = error
                self._tell_one(asked, own)
                start = stop

    def _tell_one(self, asked: _Asked, output: Output | Exception) -> None:
        choice, rows, begun = asked.choice, asked.rows, asked.begun
        if asked.late:
            try:
                self.engine.too_late(choice, rows, begun=begun)
            except LifecycleError as error:
                _LOG.error("%s", error)
            return
        try:
            answer = self.engine.record(choice, rows, output, begun=begun)
        except Exception as error:  # noqa: BLE001 - the client is told
            _tell(asked, error)
            if self.shadow is not None and isinstance(error, PredictionFailed):
                self.shadow.offer([asked], rows, [error])
        else:
            _tell(asked, answer)
            if self.shadow is not None:
                self.shadow.offer([asked], rows, [answer])

    def _in_thread(self, line: _Line, batch: Batch) -> None:
        loop = asyncio.get_running_loop()
        if line.thread is None:
            line.thread = ThreadPoolExecutor(1, thread_name_prefix="lifecycle-predict")
            # the loop asks for it once a callback: by default it waits 5 ms each time
            sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
        line.busy = batch

        def back(predicted: list[Predicted]) -> None:
            line.busy = []
            self._settle(predicted)
            if line.waiting and not self._soon:  # whoever was answered may ask again at once
                self._on_next_turn()

        def finished(future: Future[list[Predicted]]) -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(back, future.result())

        line.thread.submit(self._tried, batch, aside=True).add_done_callback(finished)
        if not self._watched:
            self._watched = True
            loop.call_later(self._period, self._look)

    @property
    def _period(self) -> float:
        return min(1.0, self.limits.seconds / 4)

    def _look(self) -> None:
        """Answer 504 where the time is over; again in a while, as long as a thread predicts."""
        oldest = time.perf_counter_ns() - int(self.limits.seconds * 1e9)
        for line in self._lines.values():
            for asked in line.busy:
                if asked.begun < oldest and not asked.late:
                    asked.late = True
                    _tell(asked, Refused(504, "the prediction takes too long"))
            over = [asked for asked in line.waiting if asked.begun < oldest]
            for asked in over:
                line.waiting.remove(asked)
                self._count -= 1
                _tell(asked, Refused(504, "too many requests are waiting, its turn did not come"))
        self._watched = any(line.busy for line in self._lines.values())
        if self._watched:
            asyncio.get_running_loop().call_later(self._period, self._look)


def _tell(asked: _Asked, answer: Answer | Exception) -> None:
    try:
        asked.done(answer)
    except Exception:  # noqa: BLE001 - the others are answered all the same
        _LOG.exception("an answer could not be given")


def _sociable(asked: _Asked) -> bool:
    """Whether its rows may be predicted with others."""
    rows = asked.rows
    kind = type(rows.columns)
    return asked.choice.slot.loaded.together and rows.params is None and kind in (Table, dict)


def _same(one: Choice, other: Choice) -> bool:
    """Whether one version in one arm answers both."""
    if one is other:
        return True
    return one.slot is other.slot and one.arm is other.arm and one.step == other.step


def _alike(rows: Rows, others: Rows) -> bool:
    """Whether the rows of two requests are one request's as well, type by type."""
    ours, theirs = rows.columns, others.columns
    if type(ours) is not type(theirs) or others.params is not None:
        return False
    if type(ours) is Table:
        return True
    return [(name, array.dtype, array.shape[1:]) for name, array in ours.items()] == [
        (name, array.dtype, array.shape[1:]) for name, array in theirs.items()
    ]


def _joined(batch: Batch) -> Rows:
    """The rows of several requests, one behind the other."""
    first, count = batch[0].rows.columns, sum(asked.rows.count for asked in batch)
    if isinstance(first, Table):
        tables: list[Any] = [asked.rows.columns for asked in batch]
        return Rows(Table.joined(tables), count)
    columns = {
        name: np.concatenate([asked.rows.columns[name] for asked in batch]) for name in first
    }
    return Rows(columns, count)


def _splits(output: Output, rows: int) -> bool:
    """Whether each row's part of an answer can be told from the others'."""
    return all(
        part is None
        or (np.shape(part)[:1] == (rows,) if isinstance(part, np.ndarray) else _long(part, rows))
        for part in (output.prediction, output.scores, output.raw)
    )


def _long(part: Any, rows: int) -> bool:
    return (isinstance(part, list) or hasattr(part, "iloc")) and len(part) == rows
