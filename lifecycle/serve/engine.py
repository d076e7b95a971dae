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

One request goes choose -> decode -> predict -> record. `predict` alone may run in another thread;
the rest belongs to the thread that owns the engine. `table` is replaced by one assignment.
"""

import json
import logging
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lifecycle.errors import PredictionFailed
from lifecycle.models.predicting import Array, Output
from lifecycle.records import Arm, plain
from lifecycle.rollout.assignment import assign, override
from lifecycle.serve.decode import Rows
from lifecycle.serve.figures import Figures
from lifecycle.serve.slots import Slot, SlotTable, slot  # noqa: F401 - slot is used above
from lifecycle.stores import ids
from lifecycle.stores.predictions import PredictionWriter

INLINE_NS = 1_000_000  # what takes longer is predicted in a thread of its own
_SHARE = 0.2  # weight of the newest measurement
_SMALL = 8  # rows up to which a call costs the same
_LOG = logging.getLogger("lifecycle.serve")


@dataclass(frozen=True, slots=True)
class Choice:
    """Who answers a request."""

    slot: Slot
    arm: Arm
    step: int
    key: str | None  # the routing key


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with.

    Attributes:
        predictions: one a row, as JSON types.
        id: the request's prediction id; row i of several is `<id>.<i>`.
        model: the model's name.
        version: the version that answered.
        arm: the arm that it stands in.
        output: what the model said, for protocols that answer more than predictions.
    """

    predictions: Any
    id: str
    model: str
    version: int
    arm: str
    output: Output


@dataclass(slots=True)
class Pace:
    """How long a version takes, smoothed; nanoseconds."""

    call: float = 0.0  # a call of few rows
    row: float = 0.0  # each row of a long call

    def measured(self, rows: int, nanoseconds: int) -> None:
        """Take one call's time in."""
        if rows <= _SMALL:
            self.call += (_SHARE if self.call else 1.0) * (nanoseconds - self.call)
        else:
            cost = nanoseconds / rows
            self.row += (_SHARE if self.row else 1.0) * (cost - self.row)

    def expected(self, rows: int) -> float:
        """What a call will take; before one is measured, rows are taken to cost a little each."""
        each = self.row or self.call / 100
        return max(self.call, rows * each) if rows > _SMALL else self.call


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
        self.table = table
        self.secret = secret
        self.writer = writer
        self.figures = Figures()
        self._pace: dict[tuple[str, int], Pace] = {}

    def choose(
        self, model: str = "", *, key: str | None = None, version: int | None = None
    ) -> Choice:
        """Who answers, by the plan, by the routing key, or because a version is asked for.

        Args:
            model: the model's name; empty: the first of the table.
            key: the routing key; the same key meets the same arm.
            version: a version that must answer.

        Raises:
            ModelNotFound: the model or the version is not served.
        """
        table = self.table
        group = table.find(model or table.first)
        plan = group.plan
        if version is None:
            arm = assign(plan, key, draw=random.random())  # noqa: S311 - shares, not secrets
        else:
            arm = override(plan, version)
        return Choice(group.slots[arm.version], arm, plan.step, key)

    def expected(self, choice: Choice, rows: int) -> float:
        """How many nanoseconds the prediction of so many rows will take; 0 before the first."""
        pace = self._pace.get((choice.slot.model, choice.slot.version))
        return pace.expected(rows) if pace else 0.0

    def predict(self, choice: Choice, rows: Rows) -> Output | Exception:
        """The model's output, or what it raised; may run in any thread."""
        begun = time.perf_counter_ns()
        try:
            output = choice.slot.loaded.predict(rows.columns, rows.params)
            if len(output.prediction) != rows.count:
                raise ValueError(f"{len(output.prediction)} answers for {rows.count} rows")
        except Exception as error:  # noqa: BLE001 - a model may raise anything; it is logged
            return error
        key = (choice.slot.model, choice.slot.version)
        self._pace.setdefault(key, Pace()).measured(rows.count, time.perf_counter_ns() - begun)
        return output

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
        now = time.time_ns() // 1000
        one = choice.slot
        model, version, arm = one.model, one.version, choice.arm.name
        single = rows.key[0] if rows.key is not None and rows.count == 1 else None
        token = ids.issue(
            self.secret,
            model=model,
            version=version,
            time=now,
            arm=arm,
            step=choice.step,
            key=single or choice.key,
            rows=rows.count,
        )
        said = None if isinstance(output, Exception) else output
        elapsed = time.perf_counter_ns() - begun
        if self.writer is not None:
            key: str | list[str | None] | None = rows.key
            if rows.key is None:
                key = choice.key
            elif choice.key is not None:
                key = [item or choice.key for item in rows.key]
            self.writer.append(
                model,
                version,
                token,
                time=now if rows.time is None else rows.time,
                features=rows.columns,
                prediction=_scalars(said.prediction) if said else None,
                score=said.score if said else None,
                arm=arm,
                step=choice.step,
                key=key,
                latency_ms=elapsed / 1e6,
                error=None if said else f"{type(output).__name__}: {output}",
                types=one.types,
            )
        if isinstance(output, Exception):
            self.figures.answered(model, version, 500, rows=rows.count, nanoseconds=elapsed)
            _LOG.error("%s/%s failed, error id %s", model, version, token, exc_info=output)
            raise PredictionFailed(
                "the model failed on this input",
                error_id=token,
                where=f"{model}/{version}",
                fix=f"look up the error id {token} in the prediction log",
            ) from output
        self.figures.answered(model, version, 200, rows=rows.count, nanoseconds=elapsed)
        raw = output.prediction if output.raw is None else output.raw
        return Answer(jsonable(raw), token, model, version, arm, output)

    def answer(
        self, model: str, rows: Rows, *, key: str | None = None, version: int | None = None
    ) -> Answer:
        """Answer a decoded request from beginning to end.

        Args:
            model: the model's name; empty: the first of the table.
            rows: the request, from the decoder of the version that answers.
            key: the routing key.
            version: a version that must answer.

        Raises:
            ModelNotFound: the model or version is not served.
            PredictionFailed: the model raised.
            LogError: the prediction cannot be logged.
        """
        begun = time.perf_counter_ns()
        choice = self.choose(model, key=key, version=version)
        return self.record(choice, rows, self.predict(choice, rows), begun=begun)


def jsonable(answer: Any) -> Any:
    """What MLflow's server makes of a model's answer: lists, frames as records.

    >>> jsonable(np.array([[0.5, 0.5]]))
    [[0.5, 0.5]]
    """
    if isinstance(answer, np.ndarray):
        return _finite(answer.tolist()) if answer.dtype.kind == "O" else answer.tolist()
    if hasattr(answer, "to_frame"):  # a pandas Series
        answer = answer.to_frame()
    if hasattr(answer, "to_dict") and hasattr(answer, "columns"):
        return _finite(answer.to_dict(orient="records"))
    return _finite(answer)


def _finite(value: Any) -> Any:
    """Any nest of Python and numpy values as JSON types."""
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    if isinstance(value, np.generic):
        return _finite(value.item())
    if isinstance(value, np.ndarray):
        return _finite(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return plain(value)


def _scalars(prediction: Array) -> Array:
    """Predictions as the log can hold them: what is no scalar becomes JSON text."""
    if prediction.ndim == 1 and prediction.dtype.kind != "O":
        return prediction
    texts = [
        item if isinstance(item, str) or item is None else json.dumps(_finite(item))
        for item in prediction.tolist()
    ]
    return np.array(texts, dtype=object)
