"""How much a model leans on each column: the metric's loss when the column is shuffled.

>>> from lifecycle.models.predicting import LoadedModel, Output
>>> from lifecycle.records import Column, ModelSpec
>>> model = LoadedModel(ModelSpec(1, "regression", (Column("x", "double"), Column("z", "double"))),
...     "sklearn", lambda columns: Output(columns["x"]))
>>> x = np.arange(50.0)
>>> [item.name for item in importance(model, {"x": x, "z": x}, x, metric="rmse")]
['x', 'z']
"""

from dataclasses import dataclass

import numpy as np

from lifecycle.models import metrics
from lifecycle.models.predicting import Array, Columns, LoadedModel

ROWS = 2000
REPEATS = 3


@dataclass(frozen=True)
class Importance:
    """One column: mean and standard deviation of the loss over the repeats."""

    name: str
    mean: float
    deviation: float


def importance(
    model: LoadedModel, columns: Columns, y: Array, *, metric: str, seed: int = 0
) -> tuple[Importance, ...]:
    """Permutation importance (Breiman 2001) on at most 2,000 rows, the largest first.

    Args:
        model: what is asked.
        columns: rows that it has not seen, arrays of length n.
        y: the truth, shape (n,).
        metric: a key of `lifecycle.models.metrics.METRICS`.
        seed: of rows and shuffles.
    """
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(y))[:ROWS])
    chosen, truth = {name: values[rows] for name, values in columns.items()}, y[rows]
    sign = 1.0 if metrics.rule(metric).higher_is_better else -1.0

    def value(inputs: Columns) -> float:
        output = model.predict(inputs)
        found = metrics.evaluate(
            metric, truth, output.prediction, output.scores, classes=model.spec.classes
        )
        return sign * found.value

    whole = value(chosen)
    found = []
    for name, values in chosen.items():
        losses = [
            whole - value({**chosen, name: values[rng.permutation(len(rows))]})
            for _ in range(REPEATS)
        ]
        found.append(Importance(name, float(np.mean(losses)), float(np.std(losses))))
    return tuple(sorted(found, key=lambda item: -item.mean))
