"""Columns that the model uses cost something when they are shuffled; others nothing."""

import numpy as np
import pytest

from lifecycle.models.importance import ROWS, importance
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Column, ModelSpec

SPEC = ModelSpec(1, "binary", (Column("used", "double"), Column("idle", "double")), classes=(0, 1))


def answer(columns):
    positive = 1.0 / (1.0 + np.exp(-4.0 * columns["used"]))
    return Output((positive > 0.5).astype(int), np.column_stack([1.0 - positive, positive]))


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss"])
def test_the_used_column_comes_first_whatever_the_metrics_direction(metric):
    rng = np.random.default_rng(0)
    columns = {"idle": rng.normal(size=500), "used": rng.normal(size=500)}
    y = (columns["used"] + 0.3 * rng.normal(size=500) > 0).astype(int)
    found = importance(LoadedModel(SPEC, "sklearn", answer), columns, y, metric=metric)
    assert [item.name for item in found] == ["used", "idle"]
    assert found[0].mean > 0.2
    assert (found[1].mean, found[1].deviation) == (0.0, 0.0)


def test_the_rows_are_bounded_and_the_seed_decides():
    asked = []

    def counted(columns):
        asked.append(len(columns["used"]))
        return answer(columns)

    rng = np.random.default_rng(1)
    columns = {"used": rng.normal(size=9000), "idle": rng.normal(size=9000)}
    y = (columns["used"] > 0).astype(int)
    model = LoadedModel(SPEC, "sklearn", counted)
    first = importance(model, columns, y, metric="roc_auc", seed=5)
    assert max(asked) == ROWS
    assert importance(model, columns, y, metric="roc_auc", seed=5) == first


def test_a_regression_leans_on_what_it_uses_in_proportion():
    def twice(columns):
        return Output(3.0 * columns["used"] + 1.0 * columns["idle"])

    rng = np.random.default_rng(2)
    columns = {name: rng.normal(size=1500) for name in ("idle", "used")}
    y = 3.0 * columns["used"] + columns["idle"]
    spec = ModelSpec(1, "regression", SPEC.features)
    found = importance(LoadedModel(spec, "sklearn", twice), columns, y, metric="rmse")
    assert [item.name for item in found] == ["used", "idle"]
    # a shuffled column of weight w and variance 1 costs a root mean square error of w √2
    assert found[0].mean == pytest.approx(3.0 * np.sqrt(2.0), rel=0.1)
    assert found[1].mean == pytest.approx(np.sqrt(2.0), rel=0.1)


def test_the_rows_given_are_left_as_they_were():
    columns = {"idle": np.arange(50.0), "used": np.linspace(-2, 2, 50)}
    before = {name: values.copy() for name, values in columns.items()}
    y = (columns["used"] > 0).astype(int)
    importance(LoadedModel(SPEC, "sklearn", answer), columns, y, metric="log_loss")
    assert all((columns[name] == before[name]).all() for name in columns)


def test_texts_are_shuffled_as_well_as_numbers():
    def by_plan(columns):
        positive = np.where(columns["plan"] == "pro", 0.9, 0.1)
        return Output((positive > 0.5).astype(int), np.column_stack([1 - positive, positive]))

    plan = np.array(["pro", "basic", None] * 60, dtype=object)
    spec = ModelSpec(1, "binary", (Column("plan", "string"),), classes=(0, 1))
    y = (plan == "pro").astype(int)
    model = LoadedModel(spec, "sklearn", by_plan)
    assert importance(model, {"plan": plan}, y, metric="accuracy")[0].mean > 0.3
