"""Copies of live requests for a shadow version: predicted and logged behind the answers.

    answers are written ──> copies ──bounded queue──> a thread a shadow ──> predict ──> log
                              └── full: dropped and counted

>>> Shadow(SlotTable, directory="log").gauges()
[]

What a shadow says stands in the log of `NAME@shadow` under the ids of the champion's answers. A
copy is taken when its request is answered, never before, and nothing that becomes of it reaches a
client: a shadow that raises is logged with its error, one that hangs fills its queue, one whose
log cannot be written is counted. Copies that came in one moment are predicted in one call. In some
calls the champion answers once more, so that its noise and both latencies are known: these rows
stand in the same log in the arm `champion`.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lifecycle.errors import LogError, PredictionFailed
from lifecycle.rollout.plan import CHAMPION
from lifecycle.serve.copied import Copied, Copies
from lifecycle.serve.engine import Answer, Question
from lifecycle.serve.rows import Rows
from lifecycle.serve.shadow_line import Line
from lifecycle.serve.slots import Group, SlotTable
from lifecycle.serve.wire import Gauge
from lifecycle.stores.predictions import PredictionWriter

AGAIN = 5  # in one of so many calls the champion answers once more
EARLY = 500  # rows, the first ones, that it answers once more in any case
CLOSE_SECONDS = 1.5  # that what waits has at the end
_LOG = logging.getLogger("lifecycle.serve")

Told = Answer | PredictionFailed


class Shadow:
    """Copies answered requests to the shadow versions of a server.

    `offer` is called on the thread of the loop; each shadow has a thread of its own.

    Args:
        table: gives what is served now.
        directory: the prediction log's folder; the shadows' answers have a journal of their own.
        queue: `[rollout] queue`: copies that may wait; further ones are dropped and counted.
        again: in one of so many calls the champion answers once more; 0: never.
        early: rows, the first ones of each shadow, that it answers once more in any case.
        busy: whether somebody waits for a prediction now; asked by other threads.
        seal_seconds: how long a journal is written before another is begun.
    """

    def __init__(
        self,
        table: Callable[[], SlotTable],
        *,
        directory: str | Path,
        queue: int = 1024,
        again: int = AGAIN,
        early: int = EARLY,
        busy: Callable[[], bool] = lambda: False,
        seal_seconds: float = 60.0,
    ) -> None:
        self._table, self._directory, self._queue, self._again = table, directory, queue, again
        self._seconds, self._early, self._busy = seal_seconds, early, busy
        self._lines: dict[str, Line] = {}
        self._counts: dict[tuple[str, int], Copied] = {}
        self._opened: PredictionWriter | None = None
        self._opening = threading.Lock()
        self._closed = self._written = False

    def offer(self, asked: Sequence[Question], rows: Rows, told: Sequence[Told]) -> None:
        """Copy requests that are answered, if there is a shadow for them; never raises.

        Args:
            asked: requests that one version in one arm has answered.
            rows: all of theirs, one behind the other.
            told: what each was answered.
        """
        try:
            line = self._line(asked[0])
            if line is not None:
                self._offer(line, asked, rows, told)
        except Exception:  # noqa: BLE001 - the clients have their answers
            _LOG.exception("a request could not be copied")

    def _offer(
        self, line: Line, asked: Sequence[Question], rows: Rows, told: Sequence[Told]
    ) -> None:
        count, sample = len(asked), line.sample
        line.counts.eligible += count
        picked = range(count) if sample >= 1 else _drawn(count, sample)
        room = 0 if line.full else max(0, self._queue - line.waiting)
        if len(picked) > room:
            line.counts.dropped += len(picked) - room
            picked = picked[:room]
        if not picked:
            return
        now = time.time_ns() // 1000
        if len(picked) < count:
            for place in picked:
                one = asked[place]
                own = [(one.rows, one.choice.key)] if _special(one) else None
                parts = None if one.rows.count == 1 else [one.rows.count]
                line.add(Copies(one.rows, [_id(told[place])], now, parts, own))
            return
        ids = [_id(each) for each in told]
        parts = None if rows.count == count else [each.rows.count for each in asked]
        special = any(_special(each) for each in asked)
        own = [(each.rows, each.choice.key) for each in asked] if special else None
        line.add(Copies(rows, ids, now, parts, own))

    def _line(self, question: Question) -> Line | None:
        """The line of the shadow that a request is copied to; None where there is none."""
        choice = question.choice
        model = choice.slot.model
        group = self._table().groups.get(model)
        line = self._lines.get(model)
        if (line is None and (group is None or group.shadow is None)) or self._closed:
            return None
        if line is None or line.group is not group:
            line = self._followed(model, group, line)
        if line is None or choice.arm.name != CHAMPION or choice.slot is not line.champion:
            return None
        return line

    def _followed(self, model: str, group: Group | None, line: Line | None) -> Line | None:
        """The line after the table has changed; an old one ends."""
        one = None if group is None else group.shadow
        if line is not None:
            if group is not None and one is line.one and group.champion is line.champion:
                line.group = group
                return line
            line.end(now=True)
            del self._lines[model]
        if one is None or group is None:
            return None
        counts = self._counts.setdefault((model, one.version), Copied())
        line = self._lines[model] = Line(
            group,
            one,
            self._writer,
            counts,
            again=self._again,
            early=self._early,
            queue=self._queue,
            busy=self._busy,
        )
        return line

    def _writer(self) -> PredictionWriter:
        """The log, opened by the first line that writes; its journals are sealed with the others'.

        Raises:
            LogError: the server is ending.
        """
        with self._opening:
            if self._opened is None:
                if self._written:
                    raise LogError("the log is closed", where=self._directory)
                self._opened = PredictionWriter(
                    self._directory,
                    seal_seconds=self._seconds,
                    background=False,
                    policy="available",
                )
            return self._opened

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Predict what waits, as long as there is time; the rest counts as dropped."""
        self._closed = True
        deadline = time.monotonic() + seconds
        for line in self._lines.values():
            line.end(now=False)
        for line in self._lines.values():
            line.thread.join(max(0.0, deadline - time.monotonic()))
            line.drop()
        with self._opening:
            self._written = True
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    @property
    def stuck(self) -> bool:
        """Whether a shadow's call has not returned; Python must not wait for it at its end."""
        return self._closed and any(line.thread.is_alive() for line in self._lines.values())

    def gauges(self) -> list[Gauge]:
        """The counts of every shadow there was, for /metrics."""
        found: list[Gauge] = []
        for name, about in _ABOUT.items():
            for (model, version), counts in list(self._counts.items()):
                labels: dict[str, object] = {"model": model, "version": version}
                found.append((f"shadow_{name}", about, labels, getattr(counts, name)))
        for model, line in list(self._lines.items()):
            labels = {"model": model, "version": line.one.version}
            found.append(("shadow_waiting", "Copies that wait.", labels, line.waiting))
        return found

    def state(self, model: str) -> dict[str, Any] | None:
        """What `GET /status` says of a model's shadow; None where there is none."""
        line = self._lines.get(model)
        if line is None:
            return None
        counts = line.counts
        shown = {name: getattr(counts, name) for name in _ABOUT}
        return {
            "version": line.one.version,
            "sample": line.sample,
            **shown,
            "waiting": line.waiting,
            "coverage": counts.coverage,
        }


_ABOUT = {
    "eligible": "Requests that the champion answered beside a shadow.",
    "copied": "Requests whose copies were queued.",
    "answered": "Copies that the shadow answered.",
    "failed": "Copies that the shadow raised on.",
    "dropped": "Copies that found no room, no log or no time.",
}


def _drawn(count: int, sample: float) -> Sequence[int]:
    draw = random.random
    return [place for place in range(count) if draw() < sample]


def _special(asked: Question) -> bool:
    """Whether a request's rows have times or keys, which are logged with them."""
    rows = asked.rows
    return rows.key is not None or rows.time is not None or asked.choice.key is not None


def _id(told: Told) -> str:
    return told.id if isinstance(told, Answer) else told.error_id
