"""Tuning looks at training rows only and finds what is better there."""

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.tree import DecisionTreeRegressor

from lifecycle.errors import MissingExtra
from lifecycle.models.candidates import TABLE, find, prepare
from lifecycle.models.fitting import fit
from lifecycle.models.splits import Split, split
from lifecycle.models.tables import check_training
from lifecycle.models.tuning import SPACES, _inner, tuned

pytestmark = pytest.mark.filterwarnings("ignore::Warning:optuna.*")


@pytest.fixture
def steps():
    """A target that a shallow tree cannot follow."""
    x = np.random.default_rng(0).random(400)
    return check_training(pd.DataFrame({"x": x, "y": np.floor(x * 32) % 2 + x}), target="y")


def test_the_best_parameters_are_kept_and_the_hold_out_is_not_looked_at(steps):
    rows = split(steps, share=0.2, how="random", seed=0)
    made = prepare("tree", find("decision_tree", "regression"), steps.features, seed=0)
    blind = steps.frame.copy()
    blind.loc[rows.holdout, "y"] = 1e9
    for table in (steps, check_training(blind, target="y")):
        found = tuned(made, table, rows, metric="rmse", trials=12, seed=1)
        model = found.estimator.named_steps["model"]
        assert (model.max_depth, model.min_samples_leaf) != (8, 5)
        assert not hasattr(model, "tree_"), "not fitted"
        values = (model.max_depth, model.min_samples_leaf)
    again = tuned(made, steps, rows, metric="rmse", trials=12, seed=1).estimator[-1]
    assert (again.max_depth, again.min_samples_leaf) == values, "same seed, hidden hold-out"


def test_a_class_without_a_space_is_left_alone_with_a_note(steps):
    rows = split(steps, share=0.2, how="random", seed=0)
    made = prepare("dummy", find("dummy", "regression"), steps.features, seed=0)
    found = tuned(made, steps, rows, metric="rmse", trials=2, seed=0)
    assert found.estimator is made.estimator
    assert found.notes == ("dummy: no search space, not tuned",)


def test_without_optuna_the_extra_is_named(steps, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    rows = split(steps, share=0.2, how="random", seed=0)
    made = prepare("ridge", find("ridge", "regression"), steps.features, seed=0)
    with pytest.raises(MissingExtra, match=r"mlflow-lifecycle\[tune\]"):
        tuned(made, steps, rows, metric="rmse", trials=2, seed=0)


class Middle:
    """Answers the least of each range, as a trial would."""

    def suggest_float(self, _name, low, _high, **_options):
        return low

    def suggest_int(self, _name, low, _high, **_options):
        return low

    def suggest_categorical(self, _name, choices):
        return choices[0]


@pytest.mark.parametrize("kind", TABLE)
def test_every_space_fits_its_estimators(kind):
    task = "regression" if kind == "regressor" else "binary"
    seen = set()
    for name in TABLE[kind]:
        model = find(name, task)
        for start, space in SPACES.items():
            if type(model).__name__.startswith(start):
                model.set_params(**space(Middle()))
                seen.add(start)
    assert len(seen) >= 8


def test_the_inner_hold_out_takes_whole_keys_and_never_the_hold_out():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.random(300), "id": rng.integers(0, 40, 300)})
    table = check_training(frame.assign(y=frame["x"] * 2.0 + 0.1), target="y", key="id")
    rows = split(table, share=0.2, how="group", seed=0)
    keys = table.frame["id"].to_numpy()
    for seed in range(5):
        inner = _inner(table, rows, seed)
        assert not set(inner.holdout) & set(rows.holdout)
        assert sorted([*inner.train, *inner.holdout]) == rows.train.tolist()
        assert not set(keys[inner.holdout]) & set(keys[inner.train])
        assert not set(keys[inner.holdout]) & set(keys[rows.holdout])
        assert len(inner.holdout) >= len(rows.train) // 5


def test_the_inner_hold_out_is_the_latest_of_the_training_rows():
    frame = pd.DataFrame({"x": np.arange(100.0), "ts": pd.date_range("2026", periods=100)})
    table = check_training(frame.assign(y=frame["x"] + 0.5), target="y", time="ts")
    rows = split(table, share=0.2, how="time", seed=0)
    inner = _inner(table, rows, 3)
    assert inner.holdout.tolist() == list(range(64, 80))
    assert inner.train.tolist() == list(range(64))


def test_tuning_never_makes_a_candidate_worse_than_it_came(steps):
    rows = split(steps, share=0.2, how="random", seed=0)
    best = DecisionTreeRegressor(max_depth=12, min_samples_leaf=1)
    made = prepare("tree", best, steps.features, seed=0)
    found = tuned(made, steps, rows, metric="rmse", trials=2, seed=4).estimator[-1]
    inner = _inner(steps, rows, 4)
    figures = []
    for model in (best, found):
        tried = fit(prepare("it", clone(model), steps.features, seed=0), steps, inner, seed=4)
        gap = tried.output.prediction - steps.y[inner.holdout]
        figures.append(float(np.sqrt(np.mean(gap**2))))
    assert figures[1] <= figures[0] + 1e-12


def test_a_metric_that_cannot_be_computed_is_a_note_and_no_error():
    y = np.array([0, 1] * 30 + [1] * 30)
    frame = pd.DataFrame({"x": np.arange(90.0), "ts": pd.date_range("2026", periods=90), "y": y})
    table = check_training(frame, target="y", time="ts")
    made = prepare("tree", find("decision_tree", "binary"), table.features, seed=0)
    rows = Split("given", np.arange(80), np.arange(80, 90))
    found = tuned(made, table, rows, metric="roc_auc", trials=2, seed=0)
    assert found.notes == ("tree: roc_auc cannot tell, not tuned",)
    assert found.estimator is made.estimator
