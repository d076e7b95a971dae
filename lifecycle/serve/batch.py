"""Micro-batches without a timer: what arrives in one turn of the loop is predicted in one call.

    ask ──> queue of the version ─next turn of the loop─> one call ──> one record of the log
                  ^ requests gather here while a thread predicts          └──> each its answer

Nobody waits for others to come: a request that is alone is predicted alone. Requests share a call
when one version in one arm answers them, and each row is answered by itself (`together`); those
with params go alone. A call that fails is halved until the requests that make it fail stand alone,
so that none harms its neighbours. What takes less than about a millisecond is predicted on the
loop's thread, anything else in one thread a version; health checks are answered meanwhile.

A request whose turn does not come in time is answered 504 and never predicted. One that is being
predicted then is answered 504 too; its prediction is logged as an error when it is there, because
nobody was told it.

A request that a challenger fails on, in whichever way, is answered by the champion; the failure has
a row of its own in the log. So has one that the challenger takes too long for. A model that ends
the whole process, by a fault of its native code, is beyond that: the worker is replaced.

>>> Limits().queue
1024
"""

import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from lifecycle.errors import LifecycleError, LogError, PredictionFailed
from lifecycle.models.predicting import Output
from lifecycle.serve.choices import Choice, key_of
from lifecycle.serve.engine import Answer, Engine
from lifecycle.serve.joining import Asking, Batch, Done, Line, alike, joined, same, sociable, splits
from lifecycle.serve.pace import INLINE_NS
from lifecycle.serve.rows import Rows
from lifecycle.serve.shadow import Shadow
from lifecycle.serve.slots import Slot
from lifecycle.serve.wire import Refused

OFTEN = 256  # rows of one call, however long each takes: many models cost as much for one
SWITCH_SECONDS = 0.0005  # a thread that computes gives the interpreter to the loop so often
PATIENCE_SECONDS = 5.0  # that a challenger may take at least before the champion answers
PATIENCE = 10  # times what the champion takes, where that is longer
STALL_NS = 100_000_000  # a challenger that held up the loop so long is called in a thread
_LOG = logging.getLogger("lifecycle.serve")


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


# requests that one call answered, their rows, and what it gave
Predicted = tuple[Batch, Rows, Output | Exception]


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
        self._lines: dict[int, Line] = {}
        self._count = 0
        self._soon = self._flushing = self._watched = False
        # when this turn began, and how many of its nanoseconds calls of other versions took: a
        # request's latency is without them, or the arm that is served last would look slower
        self._turn = self._others = 0

    @property
    def waiting(self) -> int:
        """Requests whose turn has not come."""
        return self._count

    def ask(self, choice: Choice, rows: Rows, done: Done, *, begun: int) -> None:
        """Draw who answers a request, and queue it.

        Args:
            choice: who has read it.
            rows: from the decoder of that version.
            done: takes the answer, or what the client is to be told instead; called once.
            begun: `time.perf_counter_ns()` when the request was there; 0: now.
        """
        if self._count >= self.limits.queue:
            self._flush()
            if self._count >= self.limits.queue:
                done(Refused(503, "too many requests are waiting"))
                return
        asked = Asking(choice, rows, done, begun or time.perf_counter_ns())
        drawing = choice.route.drawing
        if drawing is not None:
            key = choice.key or (None if rows.key is None else key_of(rows))
            asked.choice = choice = drawing.drawn(key, choice.key)
            error = None if choice.route.backup is None else self._turned(asked)
            if error is not None:
                self._instead(asked, error)
                return
        line = self._lines.get(id(choice.slot)) or self._begun(choice.slot)
        line.waiting.append(asked)
        self._count += 1
        if not self._soon:
            self._on_next_turn()

    def _turned(self, asked: Asking) -> Exception | None:
        """Make the rows a challenger's; gives what keeps it from being asked."""
        turn = asked.choice.route.turn
        if turn is not None:
            asked.given = asked.rows
            try:
                asked.rows = turn(asked.rows)
            except Exception as error:  # noqa: BLE001 - as if the model had raised it
                return error
        line = self._lines.get(id(asked.choice.slot))
        if line is None:
            return None
        if line.stuck:
            return TimeoutError("the version does not return")
        if len(line.waiting) >= self.limits.queue // 4:
            return TimeoutError("the version is too slow, too many requests wait for it")
        return None

    def _begun(self, one: Slot) -> Line:
        """A line for a version that is asked for the first time; those that have left end."""
        groups = self.engine.table.groups.values()
        served = {id(slot) for group in groups for slot in group.slots.values()}
        for place, line in tuple(self._lines.items()):
            if place not in served and not line.waiting and not line.busy:
                if line.thread is not None:
                    line.thread.shutdown(wait=False)
                del self._lines[place]
        line = self._lines[id(one)] = Line(one)
        return line

    def _instead(self, asked: Asking, error: Exception) -> None:
        """Have the champion answer what another version failed on."""
        asked.late = True
        choice = self.engine.instead(asked.choice, asked.rows, error, begun=asked.begun)
        rows = asked.rows if asked.given is None else asked.given
        line = self._lines.get(id(choice.slot)) or self._begun(choice.slot)
        line.waiting.append(Asking(choice, rows, asked.done, asked.begun))
        self._count += 1
        if not self._soon:
            self._on_next_turn()

    @property
    def predicting(self) -> dict[str, int]:
        """By model how many requests a thread is predicting, also those that were answered 504."""
        found: dict[str, int] = {}
        for line in self._lines.values():
            if line.busy:
                found[line.slot.model] = found.get(line.slot.model, 0) + len(line.busy)
        return found

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
            lines = [line for line in self._lines.values() if line.waiting and not line.busy]
            self._turn = time.perf_counter_ns() if len(lines) > 1 else 0
            for line in lines:
                self._others = time.perf_counter_ns() - self._turn if self._turn else 0
                self._serve(line)
        finally:
            self._flushing, self._others = False, 0

    def _serve(self, line: Line) -> None:
        while line.waiting and not line.busy:
            batch = self._taken(line)
            choice = batch[0].choice
            expected = self.engine.expected(choice, sum(asked.rows.count for asked in batch))
            backed = choice.route.backup is not None
            # what nobody has measured yet may hang
            if expected >= INLINE_NS or (backed and (line.aside or not expected)):
                self._in_thread(line, batch)
                continue
            begun = time.perf_counter_ns() if backed else 0
            predicted = self._tried(batch, aside=False)
            if backed and time.perf_counter_ns() - begun > STALL_NS:
                line.aside = True
            self._settle(predicted)

    def _taken(self, line: Line) -> Batch:
        """The request that waits longest, and those that may share its call."""
        waiting = line.waiting
        first = waiting.popleft()
        batch, passed = [first], []
        if waiting and sociable(first):
            choice = first.choice
            most = max(OFTEN, self.engine.affordable(choice))
            room = min(self.limits.batch_rows, most) - first.rows.count
            while waiting and room > 0:
                other = waiting.popleft()
                fits = other.rows.count <= room and same(choice, other.choice)
                if fits and alike(first.rows, other.rows):
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
            rows = joined(batch)
            found = engine.predict(choice, rows, aside=aside)
        except Exception as error:  # noqa: BLE001 - whose rows it is, their own call shows
            found = error
        if isinstance(found, Output):
            if splits(found, rows.count):
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
                    answers = self.engine.record_all(
                        batch, rows, output, others=self._spared(batch[-1])
                    )
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

    def _tell_one(self, asked: Asking, output: Output | Exception) -> None:
        choice, rows, begun = asked.choice, asked.rows, asked.begun + self._spared(asked)
        backed = choice.route.backup is not None
        if asked.late:
            if not backed:  # else its failure is logged already
                try:
                    self.engine.too_late(choice, rows, begun=begun)
                except LifecycleError as error:
                    _LOG.error("%s", error)
            return
        if backed and isinstance(output, Exception):
            self._instead(asked, output)
            return
        try:
            answer = self.engine.record(choice, rows, output, begun=begun)
        except Exception as error:  # noqa: BLE001 - the client is told
            if backed and not isinstance(error, LogError):
                self._instead(asked, error)
                return
            _tell(asked, error)
            if self.shadow is not None and isinstance(error, PredictionFailed):
                self.shadow.offer([asked], rows, [error])
        else:
            _tell(asked, answer)
            if self.shadow is not None:
                self.shadow.offer([asked], rows, [answer])

    def _spared(self, newest: Asking) -> int:
        """What others took of a request's time; nothing of one that came during this turn."""
        return self._others if newest.begun < self._turn else 0

    def _in_thread(self, line: Line, batch: Batch) -> None:
        loop = asyncio.get_running_loop()
        if line.thread is None:
            line.thread = ThreadPoolExecutor(1, thread_name_prefix="lifecycle-predict")
            # the loop asks for it once a callback: by default it waits 5 ms each time
            sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
        line.busy = batch

        def back(predicted: list[Predicted]) -> None:
            line.busy, line.stuck = [], False
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
        """Answer 504 where the time is over; again in a while, as long as a thread predicts.

        Where a challenger's time is over, which is shorter, the champion answers.
        """
        now = time.perf_counter_ns()
        for line in tuple(self._lines.values()):
            for asked in line.busy:
                if not asked.late and now - asked.begun > self._patience(asked):
                    line.stuck = line.stuck or asked.choice.route.backup is not None
                    self._over(asked, "the prediction takes too long")
            over = [asked for asked in line.waiting if now - asked.begun > self._patience(asked)]
            for asked in over:
                line.waiting.remove(asked)
                self._count -= 1
                self._over(asked, "too many requests are waiting, its turn did not come")
        self._watched = any(line.busy for line in self._lines.values())
        if self._watched:
            asyncio.get_running_loop().call_later(self._period, self._look)

    def _patience(self, asked: Asking) -> float:
        """How many nanoseconds a request may take in its line."""
        backup = asked.choice.route.backup
        if backup is None:
            return self.limits.seconds * 1e9
        champions = PATIENCE * self.engine.expected(backup, asked.rows.count)
        return min(self.limits.seconds * 5e8, max(PATIENCE_SECONDS * 1e9, champions))

    def _over(self, asked: Asking, what: str) -> None:
        if asked.choice.route.backup is not None:
            self._instead(asked, TimeoutError(what))
        else:
            asked.late = True
            _tell(asked, Refused(504, what))


def _tell(asked: Asking, answer: Answer | Exception) -> None:
    try:
        asked.done(answer)
    except Exception:  # noqa: BLE001 - the others are answered all the same
        _LOG.exception("an answer could not be given")
