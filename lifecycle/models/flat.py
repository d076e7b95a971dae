"""A linear model as weights and tables, where a graph would cost more than the sum.

Behind scalers, imputers and encoders of single columns, a linear model is a weight for each number
and a table for each text. onnxruntime takes some microseconds a call before it computes anything;
numpy is done by then. `running.Flat` computes what is noted here.

>>> flat([], [], object())
{}
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lifecycle.models.combining import opened
from lifecycle.models.elements import Chain, Unsupported
from lifecycle.models.features import Inputs, Level, Number
from lifecycle.models.graphs import Graph
from lifecycle.records import Column

if TYPE_CHECKING:
    from lifecycle.models.predicting import Array

MOST_NUMBERS = 100_000  # in weights and tables together; more are faster in a graph
LINEAR = {"LinearModel", "LinearClassifierMixin", "SGDRegressor"}


def flat(columns: Sequence[Column], vocabulary: Sequence[str], estimator: Any) -> dict[str, object]:
    """The note `flat` of a linear model; nothing for others.

    Args:
        columns: the model's features.
        vocabulary: the texts that its encoders know.
        estimator: fitted, and one that `exact` can write.

    Returns:
        `weights` (numbers, outputs), `shift` (outputs,), `fill` (numbers,) or None, `texts`: for
        each text column a table (levels + 2, outputs), and `link`.
    """
    inputs = Inputs(Graph(), columns, vocabulary)  # its graph is not used
    try:
        model, features = opened(inputs, estimator, inputs.taken_by(estimator))
        link = _link(model)
        if link is None or not inputs.features:
            return {}
        own = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64)).T  # (features, outputs)
        outputs = own.shape[1]
        shift = np.array(np.broadcast_to(model.intercept_, (outputs,)), dtype=np.float64)
        weights, fill = np.zeros((len(inputs.numbers), outputs)), _Fill(len(inputs.numbers))
        texts = {name: np.zeros((len(vocabulary) + 2, outputs)) for name in inputs.texts}
        for item, row in zip(features, own, strict=True):
            if isinstance(item, Number):
                slope, start = _line(item.chain, item.place, fill)
                weights[item.place] += slope * row
                shift += start * row
            elif isinstance(item, Level) and isinstance(item.source, str):
                texts[item.source] += item.values.astype(np.float64)[:, None] * row
            else:
                return {}
    except (Unsupported, _Curved):
        return {}
    if weights.size + sum(table.size for table in texts.values()) > MOST_NUMBERS:
        return {}
    return {
        "flat": {
            "weights": weights.tolist(),
            "shift": shift.tolist(),
            "fill": fill.values(),
            "texts": {name: table.tolist() for name, table in texts.items()},
            "levels": list(vocabulary),
            "link": link,
        }
    }


class _Curved(Exception):
    """A column that is no line."""


class _Fill:
    """What stands for null in each number column: one value a column."""

    def __init__(self, size: int) -> None:
        self._values: Array = np.full(size, np.nan)
        self._seen: Array = np.zeros(size, dtype=bool)

    def take(self, place: int, value: float) -> None:
        """Note a column's value.

        Raises:
            _Curved: the column is used twice, with different ones.
        """
        before = self._values[place]
        if self._seen[place] and not np.array_equal(before, value, equal_nan=True):
            raise _Curved
        self._values[place], self._seen[place] = value, True

    def values(self) -> list[float] | None:
        """One value a column, 0 for those that are not used; None where nulls stay nulls."""
        if self._seen.all() and np.isnan(self._values).all():
            return None
        found: list[float] = np.where(self._seen, self._values, 0.0).tolist()
        return found


def _line(chain: Chain, place: int, fill: _Fill) -> tuple[float, float]:
    """Slope and start of a chain that is a straight line once nulls are filled."""
    filling = float("nan")
    if chain and chain[0].kind == "fill":
        filling, chain = chain[0].values[0], chain[1:]
    slope, start = 1.0, 0.0
    for step in chain:
        if step.kind == "minus":
            start -= step.values[0]
        elif step.kind == "plus":
            start += step.values[0]
        elif step.kind == "times":
            slope, start = slope * step.values[0], start * step.values[0]
        elif step.kind == "over":
            slope, start = slope / step.values[0], start / step.values[0]
        else:
            raise _Curved
    fill.take(place, filling)
    return slope, start


def _link(model: Any) -> str | None:
    """From the sum to the answer: none, sigmoid, softmax; None: not a linear model of these."""
    kinds = {kind.__name__ for kind in type(model).__mro__}
    if not kinds & LINEAR or not type(model).__module__.startswith("sklearn."):
        return None
    if not hasattr(model, "classes_"):
        return "none"
    many = len(model.classes_) > 2
    if "LogisticRegression" in kinds and not (many and model.solver == "liblinear"):
        return "softmax" if many else "sigmoid"
    if "LinearDiscriminantAnalysis" in kinds:
        return "softmax" if many else "sigmoid"
    if type(model).__name__ == "SGDClassifier" and model.loss == "log_loss" and not many:
        return "sigmoid"
    return None
