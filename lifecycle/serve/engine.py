"""Answer requests: choose an arm, predict, log, count. Knows no HTTP.

>>> import numpy as np
>>> from lifecycle.models.predicting import LoadedModel, Output
>>> from lifecycle.records import Column, ModelSpec
>>> spec = ModelSpec(1, "regression", (Column("x", "double"),))
>>> double = LoadedModel(spec, "sklearn", lambda columns: Output(columns["x"] * 2))
>>> engine = Engine(SlotTable().with_only(slot("twice", double)), secret=b"s" * 32)
>>> rows = engine.choose("twice").slot.decoder.json(b'{"inputs": {"x": [1.5, 2.0]}}')
>>> engine.answer("twice", rows).predictions
[3.0, 4.0]

One request goes choose -> decode -> draw -> predict -> record; several that one version answers
may be predicted and recorded in one call. `predict` alone may run in another thread; the rest
belongs to the thread that owns the engine. `table` is replaced by one assignment.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lifecycle.errors import PredictionFailed
from lifecycle.models.predicting import Output, Table
from lifecycle.serve.choices import Choice, Choices, key_of
from lifecycle.serve.figures import Figures
from lifecycle.serve.jsonable import jsonable, scalars
from lifecycle.serve.pace import BOUNDLESS, Pace
from lifecycle.serve.rows import Rows, moments
from lifecycle.serve.slots import Slot, SlotTable, slot  # noqa: F401 - slot is used above
from lifecycle.stores import ids
from lifecycle.stores.predictions import PredictionWriter

QUIET_SECONDS = 10.0  # between two failures of a challenger that the server's own log tells
_LOG = logging.getLogger("lifecycle.serve")


class Question(Protocol):
    """A request that is to be answered."""

    @property
    def choice(self) -> Choice:
        """Who answers."""

    @property
    def rows(self) -> Rows:
        """What is asked."""

    @property
    def begun(self) -> int:
        """`time.perf_counter_ns()` when the request was there."""


@dataclass(slots=True)
class Answer:
    """What a request is answered with.

    Attributes:
        predictions: one a row, as JSON types.
        id: the request's prediction id; row i of several is `<id>.<i>`.
        model: the model's name.
        version: the version that answered.
        arm: the arm that it stands in.
        whole: what the model said, of this request's rows or of several requests'.
        part: from which row to which; None: all are this request's.
    """

    predictions: Any
    id: str
    model: str
    version: int
    arm: str
    whole: Output
    part: tuple[int, int] | None = None

    @property
    def output(self) -> Output:
        """What the model said of this request's rows, for protocols that answer more."""
        return self.whole if self.part is None else self.whole.part(*self.part)


class Engine:
    """The serving engine.

    Args:
        table: what is served.
        secret: signs prediction ids, see `lifecycle.stores.ids.secret`.
        writer: the prediction log; None keeps none.
    """

    def __init__(
        self, table: SlotTable, *, secret: bytes, writer: PredictionWriter | None = None
    ) -> None:
        self.figures = Figures()
        self.table = table
        self.secret = secret
        self.writer = writer
        self._pace: dict[tuple[str, int], Pace] = {}
        self._loud: dict[tuple[str, int], float] = {}  # when a challenger's failure was last said

    @property
    def table(self) -> SlotTable:
        """What is served."""
        return self._table

    @table.setter
    def table(self, table: SlotTable) -> None:
        choices = {name: Choices(group, self.figures) for name, group in table.groups.items()}
        if choices:
            choices[""] = choices[table.first]
        plain = {name: found.plain for name, found in choices.items()}
        self._table, self._choices, self._plain = table, choices, plain

    def choose(
        self, model: str = "", *, key: str | None = None, version: int | None = None
    ) -> Choice:
        """Who reads a request: the champion, or the version that is asked for.

        Args:
            model: the model's name; empty: the first of the table.
            key: the routing key; the same key meets the same arm.
            version: a version that must answer.

        Raises:
            ModelNotFound: the model or the version is not served.
        """
        if key is None and version is None:
            plain = self._plain.get(model)
            if plain is not None:
                return plain
        choices = self._choices.get(model)
        if choices is None:
            self.table.find(model or self.table.first)  # it is not there, and this says so
            choices = self._choices[model]
        return choices.of(key, version)

    def expected(self, choice: Choice, rows: int) -> float:
        """How many nanoseconds the prediction of so many rows will take; 0 before the first."""
        pace = self._pace.get((choice.slot.model, choice.slot.version))
        return pace.expected(rows) if pace else 0.0

    def affordable(self, choice: Choice) -> int:
        """How many rows one call may have for others not to wait long; many before the first."""
        pace = self._pace.get((choice.slot.model, choice.slot.version))
        return pace.affordable() if pace else BOUNDLESS

    def predict(self, choice: Choice, rows: Rows, *, aside: bool = False) -> Output | Exception:
        """The model's output, or what it raised; may run in any thread.

        Args:
            choice: who answers.
            rows: what is asked.
            aside: whether this is another thread than that which owns the engine.
        """
        pace = self.paced(choice.slot.model, choice.slot.version)
        computing = time.thread_time_ns() if aside else 0
        begun = time.perf_counter_ns()
        try:
            output = choice.slot.loaded.predict(rows.columns, rows.params)
            if len(output.prediction) != rows.count:
                raise ValueError(f"{len(output.prediction)} answers for {rows.count} rows")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a model may raise anything
            return error if isinstance(error, Exception) else RuntimeError("the model exits")
        taken = time.perf_counter_ns() - begun
        if aside:
            pace.measured_in_thread(rows.count, taken, time.thread_time_ns() - computing)
        else:
            pace.measured(rows.count, taken)
        return output

    def paced(self, model: str, version: int) -> Pace:
        """How long a version takes."""
        pace = self._pace.get((model, version))
        if pace is None:
            pace = self._pace[model, version] = Pace()
        return pace

    def record(
        self, choice: Choice, rows: Rows, output: Output | Exception, *, begun: int
    ) -> Answer:
        """Log a prediction, then give the answer.

        Args:
            choice: who answered.
            rows: what was asked.
            output: what `predict` gave.
            begun: `time.perf_counter_ns()` when the request was there.

        Raises:
            PredictionFailed: the model raised; the reason is in the log under the error's id.
            LogError: the prediction cannot be logged, so it is not answered either.
        """
        if isinstance(output, Exception):
            raise self._failure(choice, rows, output, begun)
        now, one = time.time_ns() // 1000, choice.slot
        said = jsonable(output.prediction if output.raw is None else output.raw)
        token, elapsed = self._issue(choice, rows, now), time.perf_counter_ns() - begun
        if self.writer is not None:
            self._log(
                choice,
                rows,
                output,
                token,
                time=now if rows.time is None else rows.time,
                key=rows.keys(choice.key),
                latency_ms=elapsed / 1e6,
            )
        self.figures.answered(one.model, one.version, 200, rows=rows.count, nanoseconds=elapsed)
        choice.route.counts[0] += 1
        return Answer(said, token, one.model, one.version, choice.arm.name, output)

    def record_all(
        self, questions: Sequence[Question], rows: Rows, output: Output, *, others: int = 0
    ) -> list[Answer]:
        """Log in one record what was predicted in one call for several requests.

        Args:
            questions: of one version, arm and step.
            rows: all of theirs, one behind the other.
            output: for all of them; one part a row.
            others: nanoseconds that calls of other versions took before this one's turn.

        Raises:
            LogError: the predictions cannot be logged, so none is answered either.
            LifecycleError: one of them cannot be; which one shows when each is recorded by itself.
        """
        now, choice = time.time_ns() // 1000, questions[0].choice
        said = jsonable(output.prediction if output.raw is None else output.raw)
        one, arm, hashed = choice.slot, choice.arm.name, ids.key_hash(self.secret, None)
        issue = ids.issuer(self.secret, one.model, one.version, arm, choice.step)
        ended = time.perf_counter_ns() - others
        tokens, elapsed, parts, keyed = [], [], [], False
        keys: list[str | None] = []
        for question in questions:
            asked = question.rows
            count, own = asked.count, asked.key
            taken = ended - question.begun
            elapsed.append(taken)
            if question.choice.key is None and own is None:
                token = issue(now, hashed, count)
                keys.append(None) if count == 1 else keys.extend([None] * count)
            else:
                token, keyed = self._issue(question.choice, asked, now), True
                found = asked.keys(question.choice.key)
                keys += [found] * count if isinstance(found, (str, type(None))) else found
            tokens.append(token)
            parts.append(count)
        if self.writer is not None:
            self._log(
                choice,
                rows,
                output,
                tokens,
                time=moments([question.rows for question in questions], now),
                key=keys if keyed else None,
                latency_ms=[taken / 1e6 for taken in elapsed],
                parts=None if len(parts) == rows.count else parts,
            )
        self.figures.answered_together(one.model, one.version, rows.count, elapsed)
        choice.route.counts[0] += len(tokens)
        answers, start, model, version = [], 0, one.model, one.version
        for question, token in zip(questions, tokens, strict=True):
            stop = start + question.rows.count
            part = (start, stop)
            answers.append(Answer(said[start:stop], token, model, version, arm, output, part))
            start = stop
        return answers

    def too_late(self, choice: Choice, rows: Rows, *, begun: int) -> None:
        """Log a prediction that came after its request was answered 504: as one that failed.

        Raises:
            LogError: it cannot be logged.
        """
        late = TimeoutError("the prediction came after the request was answered 504")
        self._failure(choice, rows, late, begun, counted=False)  # as refused, by whoever answered

    def instead(self, choice: Choice, rows: Rows, error: Exception, *, begun: int) -> Choice:
        """Log that an arm failed, under an id of its own; gives the champion's choice.

        The client hears nothing of it. A log that cannot be written is told when the champion's
        answer is to be logged.

        Args:
            choice: who failed; it has a backup.
            rows: what it was asked.
            error: what became of it.
            begun: `time.perf_counter_ns()` when the request was there.
        """
        backup = choice.route.backup
        assert backup is not None
        try:
            self._failure(choice, rows, error, begun, counted=False)
        except Exception as trouble:  # noqa: BLE001 - the champion answers all the same
            _LOG.error("%s", trouble)
        choice.route.counts[2] += 1
        return backup.keyed(choice.key)

    def _failure(
        self, choice: Choice, rows: Rows, error: Exception, begun: int, *, counted: bool = True
    ) -> PredictionFailed:
        """Log that there is no prediction, and why; gives what the client is told."""
        now, one = time.time_ns() // 1000, choice.slot
        token, elapsed = self._issue(choice, rows, now), time.perf_counter_ns() - begun
        if self.writer is not None:
            self._log(
                choice,
                rows,
                error,
                token,
                time=now if rows.time is None else rows.time,
                key=rows.keys(choice.key),
                latency_ms=elapsed / 1e6,
            )
        choice.route.counts[1] += 1
        if counted:
            self.figures.answered(one.model, one.version, 500, rows=rows.count, nanoseconds=elapsed)
        more = {"event": "prediction_failed", "prediction_id": token, "latency_ms": elapsed / 1e6}
        more |= {"model": one.model, "version": one.version}
        said = f"{one.model}/{one.version} failed, error id {token}"
        if choice.route.backup is None:
            _LOG.error(said, exc_info=error, extra=more)
        elif (
            time.monotonic() - self._loud.get((one.model, one.version), -QUIET_SECONDS)
            > QUIET_SECONDS
        ):
            self._loud[one.model, one.version] = time.monotonic()
            _LOG.error(f"{said}; the champion answers", exc_info=error, extra=more)
        failed = PredictionFailed(
            "the model failed on this input",
            error_id=token,
            where=f"{one.model}/{one.version}",
            fix=f"look up the error id {token} in the prediction log",
        )
        failed.__cause__ = error
        return failed

    def _issue(self, choice: Choice, rows: Rows, now: int) -> str:
        one = choice.slot
        single = rows.key[0] if rows.key is not None and rows.count == 1 else None
        hashed = ids.key_hash(self.secret, single or choice.key)
        issue = ids.issuer(self.secret, one.model, one.version, choice.arm.name, choice.step)
        return issue(now, hashed, rows.count)

    def _log(
        self,
        choice: Choice,
        rows: Rows,
        output: Output | Exception,
        tokens: str | Sequence[str],
        **more: Any,
    ) -> None:
        said = None if isinstance(output, Exception) else output
        columns, one = rows.columns, choice.slot
        block = None
        if isinstance(columns, Table) and columns.layout.numbers:
            block = columns.numbers.T
        assert self.writer is not None
        self.writer.append(
            one.model,
            one.version,
            tokens,
            features=columns,
            prediction=scalars(said.prediction) if said else None,
            score=said.score if said else None,
            arm=choice.arm.name,
            step=choice.step,
            error=None if said else f"{type(output).__name__}: {output}",
            types=one.types,
            block=block,
            **more,
        )
        self.figures.not_logged = self.writer.lost

    def answer(
        self, model: str, rows: Rows, *, key: str | None = None, version: int | None = None
    ) -> Answer:
        """Answer a decoded request from beginning to end.

        Args:
            model: the model's name; empty: the first of the table.
            rows: the request, from the decoder of what `choose` gives.
            key: the routing key.
            version: a version that must answer.

        Raises:
            ModelNotFound: the model or version is not served.
            PredictionFailed: the model raised.
            LogError: the prediction cannot be logged.
        """
        begun = time.perf_counter_ns()
        choice = self.choose(model, key=key, version=version).drawn(key_of(rows))
        theirs = rows if choice.route.turn is None else choice.route.turn(rows)
        output = self.predict(choice, theirs)
        if isinstance(output, Exception) and choice.route.backup is not None:
            choice, theirs = self.instead(choice, theirs, output, begun=begun), rows
            output = self.predict(choice, theirs)
        return self.record(choice, theirs, output, begun=begun)
