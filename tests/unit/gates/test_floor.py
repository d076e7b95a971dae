"""The floors that are configured, and nothing where there are none."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lifecycle.config import GatesConfig
from lifecycle.gates import GateInput, run
from lifecycle.gates.floor import floor
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import ModelSpec, Outcome


def given(y: np.ndarray, scores: np.ndarray, **limits: float) -> GateInput:
    spec = ModelSpec(1, "binary", (), target="y", classes=(0, 1), primary_metric="roc_auc")
    output = Output((scores > 0.5).astype(int), np.column_stack([1 - scores, scores]))
    model = LoadedModel(spec, "sklearn", lambda _columns: output)
    return GateInput(model, pd.DataFrame({"y": y}), output, limits=GatesConfig(floor=limits))


def scored(rows: int, seed: int, *, signal: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(rows) < 0.3).astype(int)
    return y, 1 / (1 + np.exp(1 - signal * y - rng.normal(size=rows)))


@pytest.mark.parametrize(
    ("limit", "outcome"), [(0.6, Outcome.PASS), (0.8, Outcome.UNSURE), (0.95, Outcome.FAIL)]
)
def test_limit_that_is_kept_open_or_missed(limit: float, outcome: Outcome) -> None:
    y, scores = scored(400, 2, signal=1.2)
    (result,) = floor(given(y, scores, roc_auc=limit))
    assert (result.gate, result.outcome) == ("floor.roc_auc", outcome), result.reason
    assert (result.low < limit < result.high) is (outcome is Outcome.UNSURE)


@pytest.mark.parametrize(
    ("limit", "outcome"), [(2.0, Outcome.PASS), (1.0, Outcome.UNSURE), (0.5, Outcome.FAIL)]
)
def test_limit_is_a_ceiling_where_smaller_is_better(limit: float, outcome: Outcome) -> None:
    rng = np.random.default_rng(0)
    y = 3 * rng.normal(size=200)
    noise = rng.normal(size=200)
    output = Output(y + noise / np.sqrt((noise**2).mean()))  # rmse is 1
    spec = ModelSpec(1, "regression", (), target="y", primary_metric="rmse")
    model = LoadedModel(spec, "sklearn", lambda _columns: output)
    limits = GatesConfig(floor={"rmse": limit})
    results = floor(GateInput(model, pd.DataFrame({"y": y}), output, limits=limits))
    assert [item.outcome for item in results] == [outcome]


def test_wrong_metric_names_are_refusals_that_say_so() -> None:
    case = given(*scored(300, 0, signal=2.0), roc_acu=0.7)
    (result,) = run(["floor"], case)
    assert result.outcome is Outcome.FAIL
    assert "did you mean 'roc_auc'" in result.reason
    (result,) = run(["floor"], replace(case, limits=GatesConfig(floor={"rmse": 1.0})))
    assert "no meaning for a binary" in result.reason
