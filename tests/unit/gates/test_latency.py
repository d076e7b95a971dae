"""The median of one row, warm."""

import time

import pandas as pd
import pytest

from lifecycle.config import GatesConfig
from lifecycle.gates import GateInput, run
from lifecycle.gates.latency import latency
from lifecycle.models.predicting import Columns, LoadedModel, Output
from lifecycle.records import Column, ModelSpec, Outcome

SPEC = ModelSpec(1, "regression", (Column("x", "double"),), target="y")


def given(seconds: float, *, first: float = 0.0, limit: float = 20.0, rows: int = 60) -> GateInput:
    calls = []

    def answer(inputs: Columns) -> Output:
        calls.append(len(inputs["x"]))
        assert len(inputs["x"]) in {1, 100}
        time.sleep(first if len(calls) == 1 else seconds)
        return Output(inputs["x"])

    frame = pd.DataFrame({"x": [float(index) for index in range(rows)], "y": 0.0})
    model = LoadedModel(SPEC, "onnx", answer)
    return GateInput(model, frame, limits=GatesConfig(latency_ms=limit))


def test_quick_model_passes_and_says_how_it_answered() -> None:
    result = latency(given(0.0))
    assert result.outcome is Outcome.PASS
    assert "(onnx)" in result.reason
    assert 0 <= result.value < result.limit == 20.0
    assert "100 rows take" in result.reason


def test_slow_model_is_refused_with_its_figure() -> None:
    result = latency(given(0.004, limit=1.0))
    assert result.outcome is Outcome.FAIL
    assert result.value >= 4.0


def test_first_call_may_be_slow() -> None:
    assert latency(given(0.0, first=0.2)).outcome is Outcome.PASS


def test_one_row_is_enough() -> None:
    assert latency(given(0.0, rows=1)).outcome is Outcome.PASS


def test_very_slow_model_is_judged_on_few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lifecycle.gates.latency.BUDGET", 0.05)
    start = time.perf_counter()
    assert latency(given(0.03, limit=1.0)).outcome is Outcome.FAIL
    assert time.perf_counter() - start < 1.0


def test_rows_that_do_not_fit_the_model_are_a_refusal() -> None:
    case = given(0.0)
    bad = GateInput(case.candidate, case.rows.assign(x="text"))
    (result,) = run(["latency"], bad)
    assert result.outcome is Outcome.FAIL
    assert "'x'" in result.reason
