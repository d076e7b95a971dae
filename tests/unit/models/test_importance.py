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
