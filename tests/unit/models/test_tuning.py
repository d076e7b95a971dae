"""Tuning looks at training rows only and finds what is better there."""

import sys

import numpy as np
import pandas as pd
import pytest

from lifecycle.errors import MissingExtra
from lifecycle.models.candidates import TABLE, find, prepare
from lifecycle.models.splits import split
from lifecycle.models.tables import check_training
from lifecycle.models.tuning import SPACES, tuned

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
