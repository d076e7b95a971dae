"""Candidates that must never pass: shuffled labels, leaked targets, other columns and units.

>>> given = shuffled(np.random.default_rng(0), rows=300, everywhere=True)
>>> given.spec.task
'binary'
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from cases import LOGIT, RNG, Array, distance, equal, pair, side, spec_of, two_classes

from lifecycle.gates import GateInput, Traffic
from lifecycle.models.predicting import Columns, Output

COLUMNS = 6


def learnable(rng: RNG, rows: int, columns: int = COLUMNS) -> tuple[pd.DataFrame, Array]:
    """Numbers of which a logistic regression learns the target, to an area of about 0.8."""
    x = rng.normal(size=(rows, columns))
    y = (rng.random(rows) < 1 / (1 + np.exp(1 - 1.3 * x[:, 0] - 0.5 * x[:, -1]))).astype(int)
    return pd.DataFrame({f"x{place}": x[:, place] for place in range(columns)}), y


def fitted(features: pd.DataFrame, y: Array) -> Any:
    """A logistic regression as a model."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit(features.to_numpy(), y)
    names = list(features.columns)

    def answer(columns: Columns) -> Output:
        table = np.column_stack([np.asarray(columns[name], dtype=float) for name in names])
        return two_classes(model.predict_proba(table)[:, 1])

    return answer


def shuffled(
    rng: RNG, rows: int, *, everywhere: bool, champion: bool = False, columns: int = COLUMNS
) -> GateInput:
    """A model of shuffled labels, trained on four times the hold-out's rows.

    Args:
        rng: of all.
        rows: of the hold-out.
        everywhere: the hold-out's labels are shuffled too, as where they were before the split.
        champion: there is one, trained on true labels.
        columns: of which it learns; few make it likelier that it points the right way by luck.
    """
    features, y = learnable(rng, 5 * rows, columns)
    mixed = rng.permutation(y)
    mine = fitted(features[rows:], mixed[rows:])
    other = fitted(features[rows:], y[rows:]) if champion else None
    frame = features[:rows].assign(y=(mixed if everywhere else y)[:rows])
    return pair(frame, spec_of("binary", tuple(features), (0, 1)), mine, other)


LEAKS = ("copy", "texts", "monotone", "hidden in nulls", "noisy", "rounded", "one of three")


def leaked(rng: RNG, rows: int, how: str, *, alone: bool = False) -> GateInput:
    """A model that was trained with a feature that gives the target away."""
    task = {"rounded": "regression", "one of three": "multiclass"}.get(how, "binary")
    columns = side(rng, rows)
    y: Array = (rng.random(rows) < 0.3).astype(int)
    if task == "multiclass":
        y = rng.integers(0, 3, rows)
    if task == "regression":
        y = rng.normal(50.0, 10.0, rows)
    columns["leak"] = _leak(rng, how, y)
    text = columns["leak"].dtype == object
    classes = {"binary": (0, 1), "multiclass": (0, 1, 2), "regression": ()}[task]
    spec = spec_of(task, tuple(columns), classes)
    if text:
        last = replace(spec.features[-1], dtype="string")
        spec = replace(spec, features=(*spec.features[:-1], last))

    def answering(sure: float) -> Any:
        def answer(_columns: Columns) -> Output:
            if task == "regression":
                return Output(y + (1.0 - sure) * np.random.default_rng(1).normal(0, 10, rows))
            scores = np.full((rows, len(classes)), (1.0 - sure) / len(classes))
            scores[np.arange(rows), y] += sure
            return Output(np.array(classes)[scores.argmax(axis=1)], scores)

        return answer

    return pair(
        pd.DataFrame({**columns, "y": y}), spec, answering(0.98), None if alone else answering(0.4)
    )


def _leak(rng: RNG, how: str, y: Array) -> Array:
    if how == "texts":
        return np.where(y == 1, "cancelled", "running").astype(object)
    if how == "one of three":
        return np.array(["red", "green", "blue"], dtype=object)[y]
    if how == "monotone":
        return np.exp(3.0 * y + rng.random(len(y)))
    if how == "hidden in nulls":
        return np.where(y == 1, rng.normal(size=len(y)), np.nan)
    if how == "noisy":
        return np.where(rng.random(len(y)) < 0.002, 1 - y, y).astype(float)
    return np.round(y) if how == "rounded" else y.astype(float)


def strong(rng: RNG, rows: int, area: float) -> GateInput:
    """An honest feature that alone has this area under the ROC curve; the model is that feature."""
    y = (rng.random(rows) < 0.3).astype(int)
    far = distance(area)
    columns = {"known": rng.normal(size=rows) + far * y, **side(rng, rows)}

    def answer(given: Columns) -> Output:
        odds = far * np.asarray(given["known"]) - far**2 / 2.0 + LOGIT
        return two_classes(1.0 / (1.0 + np.exp(-odds)))

    frame = pd.DataFrame({**columns, "y": y})
    return pair(frame, spec_of("binary", tuple(columns), (0, 1)), answer, None)


SKEWS = ("none", "cents for euros", "Fahrenheit", "swapped", "column gone", "texts for numbers")


def skewed(rng: RNG, rows: int, how: str) -> GateInput:
    """An equal candidate whose logged requests differ from the rows it was made with."""
    given = equal(rng, rows)
    features = given.rows[list(given.spec.feature_names)]
    money = np.exp(7.0 + rng.normal(size=rows))
    celsius = rng.normal(15.0, 8.0, rows)
    reference = features.assign(income=money, age=celsius)
    holdout = given.rows.assign(income=money, age=celsius)
    logged = reference.sample(rows // 4, random_state=int(rng.integers(1 << 30)))
    if how == "cents for euros":
        logged = logged.assign(income=logged["income"] * 100.0)
    elif how == "Fahrenheit":
        logged = logged.assign(age=logged["age"] * 1.8 + 32.0)
    elif how == "swapped":
        logged = logged.assign(income=logged["age"], age=logged["income"])
    elif how == "column gone":
        logged = logged.drop(columns=["income"])
    elif how == "texts for numbers":
        logged = logged.assign(income=[f"{item:.2f} EUR" for item in logged["income"]])
    return replace(
        given, holdout=holdout, reference=reference, traffic=Traffic(logged.reset_index(drop=True))
    )
