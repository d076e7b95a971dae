"""Fit one candidate and answer the hold-out rows with it; no registry, no files.

>>> import pandas as pd
>>> from lifecycle.models.candidates import find, prepare
>>> from lifecycle.models.splits import split
>>> from lifecycle.models.tables import check_training
>>> frame = pd.DataFrame({"x": [0.0, 1.0] * 20, "late": [0, 1] * 20})
>>> table = check_training(frame, target="late")
>>> rows = split(table, share=0.2, how="auto", seed=0)
>>> prepared = prepare("tree", find("decision_tree", "binary"), table.features, seed=0)
>>> fitted = fit(prepared, table, rows, seed=0)
>>> (fitted.output.prediction == table.y[rows.holdout]).all()
np.True_
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from lifecycle.models.candidates import Prepared
from lifecycle.models.inputs import table as frame_of
from lifecycle.models.loading import from_estimator
from lifecycle.models.predicting import Array, Columns, Output
from lifecycle.models.specs import SCHEMA
from lifecycle.models.splits import Split
from lifecycle.models.tables import Table
from lifecycle.records import ModelSpec


@dataclass(frozen=True)
class Fitted:
    """A fitted candidate.

    Attributes:
        prepared: what was fitted.
        estimator: with its threshold, where it has one.
        spec: what is known so far: task, features, classes, threshold.
        output: its answers on the hold-out rows.
        fit_seconds: of the fit, threshold included.
        score_seconds: of the answers.
        notes: what was left out.
    """

    prepared: Prepared
    estimator: Any
    spec: ModelSpec
    output: Output
    fit_seconds: float
    score_seconds: float
    notes: tuple[str, ...] = ()


def fit(
    prepared: Prepared,
    table: Table,
    rows: Split,
    *,
    seed: int,
    costs: tuple[float, float] = (0.0, 0.0),
) -> Fitted:
    """Fit on the training rows, then answer the hold-out rows.

    Args:
        prepared: not fitted; it is fitted in place.
        table: all rows.
        rows: which are which.
        seed: of the rows that the threshold is chosen on.
        costs: of a false positive and a false negative; both above 0: the threshold is chosen
            where the expected cost is least, on a fifth of the training rows that the model
            which is asked has not seen.
    """
    start = perf_counter()
    threshold = None
    if table.task == "binary":
        threshold = _threshold(prepared, table, rows.train, costs, seed)
    estimator = prepared.estimator
    notes = _fit(estimator, prepared, table, rows.train)
    if threshold is not None:
        estimator = with_threshold(estimator, threshold, table, inputs(prepared, table, rows.train))
    spec = ModelSpec(
        SCHEMA,
        table.task,
        prepared.features,
        table.target,
        table.time or None,
        table.key or None,
        table.classes,
        threshold,
        estimator=_describe(prepared.estimator),
    )
    fitted = perf_counter()
    output = from_estimator(estimator, spec).predict(columns_of(prepared, table, rows.holdout))
    done = perf_counter()
    return Fitted(prepared, estimator, spec, output, fitted - start, done - fitted, notes)


def columns_of(prepared: Prepared, table: Table, rows: Array) -> Columns:
    """The candidate's inputs of some rows."""
    return {item.name: table.frame[item.name].to_numpy()[rows] for item in prepared.features}


def inputs(prepared: Prepared, table: Table, rows: Array) -> pd.DataFrame:
    """The same as the frame that scikit-learn is given."""
    return frame_of(columns_of(prepared, table, rows))


def with_threshold(estimator: Any, threshold: float, table: Table, sample: pd.DataFrame) -> Any:
    """The fitted estimator wrapped so that plain scikit-learn and MLflow use the threshold too."""
    from sklearn.frozen import FrozenEstimator
    from sklearn.model_selection import FixedThresholdClassifier

    wrapped = FixedThresholdClassifier(
        FrozenEstimator(estimator),
        threshold=threshold,
        pos_label=table.classes[1],
        response_method="predict_proba",
    )
    y = np.resize(np.array(table.classes, dtype=table.y.dtype), 2)
    return wrapped.fit(pd.concat([sample.iloc[:1]] * 2, ignore_index=True), y)


def _fit(estimator: Any, prepared: Prepared, table: Table, rows: Array) -> tuple[str, ...]:
    weights, keywords = table.weights, {}
    notes: tuple[str, ...] = ()
    if weights is not None:
        from sklearn.utils.validation import has_fit_parameter

        step, model = estimator.steps[-1]
        if has_fit_parameter(model, "sample_weight"):
            keywords = {f"{step}__sample_weight": weights[rows]}
        else:
            notes = (f"{prepared.name}: takes no sample weights, fitted without",)
    with _all_cores(estimator.steps[-1][1]):
        estimator.fit(inputs(prepared, table, rows), table.y[rows], **keywords)
    return notes


@contextmanager
def _all_cores(model: Any) -> Iterator[None]:
    """A forest grows its trees in threads; what is kept answers in one, which is faster a row."""
    if "Forest" not in type(model).__name__ and "ExtraTrees" not in type(model).__name__:
        yield
        return
    own = model.get_params().get("n_jobs")
    if own is not None or "n_jobs" not in model.get_params():
        yield
        return
    model.set_params(n_jobs=-1)
    try:
        yield
    finally:
        model.set_params(n_jobs=own)


def _threshold(
    prepared: Prepared, table: Table, rows: Array, costs: tuple[float, float], seed: int
) -> float | None:
    """Where the cost of all mistakes is least; 0.5 where the positive class is not the last."""
    if not hasattr(prepared.estimator, "predict_proba"):
        return None
    if min(costs) <= 0.0:
        return None if list(np.unique(table.y)) == list(table.classes) else 0.5
    from sklearn.base import clone

    held = np.zeros(len(rows), dtype=bool)
    if table.time:
        held[-max(1, len(rows) // 5) :] = True
    else:
        held[np.random.default_rng(seed).permutation(len(rows))[: max(1, len(rows) // 5)]] = True
    trial = clone(prepared.estimator)
    _fit(trial, prepared, table, rows[~held])
    asked = rows[held]
    order = list(trial.classes_).index(table.classes[1])
    scores = trial.predict_proba(inputs(prepared, table, asked))[:, order]
    weights = np.ones(len(asked)) if table.weights is None else table.weights[asked]
    return cheapest(scores, table.y[asked] == table.classes[1], weights, costs)


def cheapest(scores: Array, positive: Array, weights: Array, costs: tuple[float, float]) -> float:
    """The threshold at which the mistakes cost least; of equals the middle one.

    >>> scores, positive = np.array([0.1, 0.3, 0.6, 0.9]), np.array([False, True, False, True])
    >>> cheapest(scores, positive, np.ones(4), (1.0, 10.0))
    0.2

    Args:
        scores: of the positive class, shape (n,).
        positive: whether each row is of it.
        weights: of the rows.
        costs: of a false positive and of a false negative.
    """
    order = np.argsort(scores, kind="stable")
    ranked, hit, weight = scores[order], positive[order], weights[order]
    missed = np.concatenate([[0.0], np.cumsum(weight * hit)]) * costs[1]
    alarms = np.concatenate([[0.0], np.cumsum((weight * ~hit)[::-1])])[::-1] * costs[0]
    edges = np.concatenate([[True], ranked[1:] > ranked[:-1], [True]])
    total = np.where(edges, missed + alarms, np.inf)
    best = np.flatnonzero(total <= total.min() * (1 + 1e-12))
    at = int(best[len(best) // 2])
    if at == 0:
        return float(ranked[0])
    if at == len(ranked):
        return float(np.nextafter(ranked[-1], 2.0))
    return float((ranked[at - 1] + ranked[at]) / 2.0)


def _describe(estimator: Any) -> str:
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    return " ".join(repr(last).split())[:500]
