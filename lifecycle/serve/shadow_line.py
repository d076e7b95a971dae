"""One shadow's queue, and the thread that predicts and logs what is in it.

>>> logged_as("churn")
'churn@shadow'

Copies that came in one moment are predicted in one call, and then the thread rests, nine times as
long as the call took: so a shadow takes a tenth of the time of one core, in few long calls, however
slow it is. Only while nobody waits for an answer it works off a long queue at once. In each
`again`-th call, and for the first `early` rows, the champion answers once more, so that its noise
and the latencies of both are known from the same rows.
"""

import logging
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from lifecycle.errors import LogError, ModelRefused
from lifecycle.models.predicting import Output, Table
from lifecycle.rollout.plan import CHAMPION
from lifecycle.serve.copied import Copied, Copies, joined, times_of
from lifecycle.serve.fitting import Turn, fitted
from lifecycle.serve.joining import alike
from lifecycle.serve.jsonable import scalars
from lifecycle.serve.rows import Rows
from lifecycle.serve.slots import Group, Slot
from lifecycle.stores.predictions import PredictionWriter

ARM = "shadow"
GATHER_SECONDS = 0.02  # that copies wait for others; the answers are out of the house by then
REST = 9.0  # times as long as a call that nothing is done after it
LONGEST_REST = 1.0  # seconds
BATCH_ROWS = 1024  # of one call
MOST_ROWS = 1 << 16  # that may wait, in however few requests
SWITCH_SECONDS = 0.0005  # a thread that computes gives the interpreter to the loop so often
_LOG = logging.getLogger("lifecycle.serve")


def logged_as(model: str) -> str:
    """The name that a model's shadow is logged under."""
    return f"{model}@{ARM}"


class Line:
    """One shadow's queue and the thread that serves it.

    Args:
        group: a model's versions.
        one: the shadow among them.
        writer: opens the log.
        counts: what it counts into.
        again: see `Shadow`.
        early: likewise.
        queue: likewise.
        busy: likewise.
    """

    def __init__(
        self,
        group: Group,
        one: Slot,
        writer: Callable[[], PredictionWriter],
        counts: Copied,
        *,
        again: int,
        early: int,
        queue: int,
        busy: Callable[[], bool],
    ) -> None:
        self.group, self.one, self.counts = group, one, counts
        self.champion = group.champion
        self._turn = _turn(group, one)
        # requests and rows; each number is written by one thread alone
        self.put = self.gone = self.taken = 0
        self.put_rows = self.gone_rows = self.taken_rows = 0
        self.ended = False
        self._writer, self._again, self._early = writer, again, early
        self._most, self._busy = queue, busy
        self._calls = self._twice = 0  # calls, and rows that the champion answered twice
        self._queue: deque[Copies] = deque()
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._told = 0.0
        sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
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

    @property
    def full(self) -> bool:
        """Whether so many rows wait that no more are taken."""
        return self.put_rows - self.gone_rows - self.taken_rows >= MOST_ROWS

    def add(self, copies: Copies) -> None:
        """Queue copies."""
        self.put += len(copies.ids)
        self.put_rows += copies.rows.count
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
            self.gone_rows += copies.rows.count
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
                begun = time.monotonic()
                count = sum(len(copies.ids) for copies in batch)
                try:
                    self._serve(batch)
                except BaseException as error:  # noqa: BLE001 - a thread that died would copy no more
                    self._trouble(error)
                    self.counts.dropped += count
                self.taken += count
                self.taken_rows += sum(copies.rows.count for copies in batch)
                self._hurry.wait(self._rest(time.monotonic() - begun))

    def _rest(self, seconds: float) -> float:
        """How long to leave the machine to the answers after a call, while copies gather."""
        if 2 * self.waiting >= self._most and not self._busy():
            return 0.0
        return min(REST * seconds, LONGEST_REST)

    def _gathered(self) -> list[Copies]:
        """The copies that wait longest, as many as one call takes."""
        batch = [self._queue.popleft()]
        if not _sociable(self.one, batch[0].rows):
            return batch
        room = BATCH_ROWS - batch[0].rows.count
        while self._queue:
            rows = self._queue[0].rows
            if rows.count > room or not alike(batch[0].rows, rows):
                break
            room -= rows.count
            batch.append(self._queue.popleft())
        return batch

    def _serve(self, batch: list[Copies]) -> None:
        self._calls += 1
        again = self._again > 0 and (self._calls % self._again == 0 or self._twice < self._early)
        first = again and random.random() < 0.5  # noqa: S311 - whichever is second finds the rows warm
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
            for copies in batch[0].single():
                self._answer([copies])
        else:
            self._log_error(batch[0], said, taken)
            self.counts.failed += 1

    def _answer_again(self, batch: list[Copies]) -> None:
        """The champion's second answer; where it raises there is none."""
        said, taken = self._predicted(self.champion, batch)
        if isinstance(said, Output):
            self._twice += len(said.prediction)
            self._log(batch, self.champion, said, taken, CHAMPION)

    def _predicted(self, one: Slot, batch: list[Copies]) -> tuple[Output | str, float]:
        """What a version says or raises, and how many milliseconds its call took."""
        begun = time.perf_counter_ns()
        try:
            rows = batch[0].rows if len(batch) == 1 else joined([each.rows for each in batch])
            if one is self.one and self._turn is not None:
                rows = self._turn(rows)
            begun = time.perf_counter_ns()
            said = one.loaded.predict(rows.columns, rows.params)
            taken = (time.perf_counter_ns() - begun) / 1e6
            for part in (said.prediction, said.scores):
                if part is not None and len(part) != rows.count:
                    raise ValueError(f"{len(part)} answers for {rows.count} rows")
        except BaseException as error:  # noqa: BLE001 - a model may raise anything, also SystemExit
            return f"{type(error).__name__}: {error}", (time.perf_counter_ns() - begun) / 1e6
        return said, taken

    def _log(self, batch: list[Copies], one: Slot, said: Output, taken: float, arm: str) -> None:
        ids = batch[0].ids if len(batch) == 1 else [own for each in batch for own in each.ids]
        alone = len(ids) == 1
        several = any(each.parts is not None for each in batch) and not alone
        keyed = any(each.own is not None for each in batch)
        self._append(
            ids[0] if alone else ids,
            version=one.version,
            time=times_of(batch, keyed=keyed),
            prediction=scalars(said.prediction),
            score=said.score,
            arm=arm,
            key=[key for each in batch for key in each.row_keys()] if keyed else None,
            latency_ms=taken if alone else [taken] * len(ids),
            parts=[size for each in batch for size in each.sizes] if several else None,
        )

    def _log_error(self, copies: Copies, error: str, taken: float) -> None:
        """Log one request's error, row by row: each has the id of its answer."""
        [token], count = copies.ids, copies.rows.count
        for row, (moment, key) in enumerate(zip(copies.times(), copies.row_keys(), strict=True)):
            self._append(
                token if count == 1 else f"{token}.{row}",
                version=self.one.version,
                time=np.array([moment]),
                prediction=None,
                score=None,
                arm=ARM,
                key=key,
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


def _turn(group: Group, one: Slot) -> Turn | None:
    """What makes a shadow's rows of the champion's; where nothing can, what fails for each."""
    try:
        return fitted(group.champion, one)
    except ModelRefused as error:
        reason = error

        def turn(_: Rows) -> Rows:
            raise reason

        return turn


def _sociable(one: Slot, rows: Rows) -> bool:
    """Whether rows may be predicted with others."""
    return one.loaded.together and rows.params is None and type(rows.columns) in (Table, dict)
