"""Tune a candidate with Optuna on a part of the training rows; the hold-out is never looked at.

>>> sorted(SPACES)[:2]
['DecisionTree', 'ElasticNet']
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lifecycle.errors import DataError, MissingExtra
from lifecycle.models import metrics
from lifecycle.models.candidates import Prepared
from lifecycle.models.fitting import fit
from lifecycle.models.splits import Split
from lifecycle.models.tables import Table

Space = Callable[[Any], dict[str, Any]]
# the start of a class's name: what is tried for it
SPACES: Mapping[str, Space] = {
    "LogisticRegression": lambda trial: {"C": trial.suggest_float("C", 1e-3, 1e2, log=True)},
    "Ridge": lambda trial: {"alpha": trial.suggest_float("alpha", 1e-3, 1e3, log=True)},
    "ElasticNet": lambda trial: {
        "alpha": trial.suggest_float("alpha", 1e-4, 1e1, log=True),
        "l1_ratio": trial.suggest_float("l1_ratio", 0.0, 1.0),
    },
    "HistGradientBoosting": lambda trial: {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 7, 63, log=True),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 5, 100, log=True),
        "l2_regularization": trial.suggest_float("l2_regularization", 1e-3, 10.0, log=True),
    },
    "GradientBoosting": lambda trial: {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.3, log=True),
        "max_depth": trial.suggest_int("max_depth", 2, 6),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
    },
    "RandomForest": lambda trial: {
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 50, log=True),
        "max_features": trial.suggest_float("max_features", 0.1, 1.0),
    },
    "ExtraTrees": lambda trial: {
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 50, log=True),
        "max_features": trial.suggest_float("max_features", 0.1, 1.0),
    },
    "DecisionTree": lambda trial: {
        "max_depth": trial.suggest_int("max_depth", 2, 16),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 100, log=True),
    },
    "KNeighbors": lambda trial: {
        "n_neighbors": trial.suggest_int("n_neighbors", 3, 101, log=True),
        "weights": trial.suggest_categorical("weights", ["uniform", "distance"]),
    },
    "MLP": lambda trial: {
        "alpha": trial.suggest_float("alpha", 1e-5, 1e-1, log=True),
        "learning_rate_init": trial.suggest_float("learning_rate_init", 1e-4, 1e-2, log=True),
    },
}


def tuned(
    prepared: Prepared, table: Table, rows: Split, *, metric: str, trials: int, seed: int
) -> Prepared:
    """The candidate with the parameters that were best on a fifth of the training rows.

    Args:
        prepared: not fitted.
        table: all rows.
        rows: the hold-out rows are left out.
        metric: a key of `lifecycle.models.metrics.METRICS`.
        trials: how many sets of parameters are tried; the estimator's own are kept where none of
            them is better.
        seed: of the search and of the inner split.

    Returns:
        A new candidate, not fitted; the same with a note where there is no space for its class.

    Raises:
        MissingExtra: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise MissingExtra("optuna", extra="tune", purpose="[train] tune") from error
    from sklearn.base import clone

    step, model = prepared.estimator.steps[-1]
    kind = type(model).__name__
    space = next((found for name, found in SPACES.items() if kind.startswith(name)), None)
    if space is None:
        return replace(
            prepared, notes=(*prepared.notes, f"{prepared.name}: no search space, not tuned")
        )
    inner = _inner(table, rows, seed)
    rule = metrics.rule(metric)

    def changed(values: Mapping[str, Any]) -> Prepared:
        estimator = clone(prepared.estimator)
        estimator.set_params(**{f"{step}__{key}": value for key, value in values.items()})
        return replace(prepared, estimator=estimator)

    def figure(values: Mapping[str, Any]) -> float | None:
        found = fit(changed(values), table, inner, seed=seed)
        y, output = table.y[inner.holdout], found.output
        try:
            return metrics.evaluate(
                metric, y, output.prediction, output.scores, classes=table.classes
            ).value
        except DataError:  # such as one class only in the inner hold-out
            return None

    def objective(trial: Any) -> float:
        value = figure(space(trial))
        if value is None:
            raise optuna.TrialPruned
        return value

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize" if rule.higher_is_better else "minimize",
        sampler=optuna.samplers.TPESampler(seed=seed),
    )
    study.optimize(objective, n_trials=trials)
    own = figure({})
    if own is None or not any(trial.value is not None for trial in study.trials):
        return replace(
            prepared, notes=(*prepared.notes, f"{prepared.name}: {metric} cannot tell, not tuned")
        )
    better = study.best_value > own if rule.higher_is_better else study.best_value < own
    return changed(study.best_params if better else {})


def _inner(table: Table, rows: Split, seed: int) -> Split:
    count = max(1, len(rows.train) // 5)
    held = np.zeros(len(rows.train), dtype=bool)
    if table.time:
        held[-count:] = True
    elif rows.how == "group":
        keys, _ = table.frame[table.key].iloc[rows.train].factorize()
        order = np.random.default_rng(seed).permutation(keys.max() + 1)
        before = np.cumsum(np.bincount(keys)[order]) - np.bincount(keys)[order]
        held = np.isin(keys, order[before < count])  # whole keys, as in the hold-out itself
    else:
        held[np.random.default_rng(seed).permutation(len(rows.train))[:count]] = True
    return Split(rows.how, rows.train[~held], rows.train[held])
