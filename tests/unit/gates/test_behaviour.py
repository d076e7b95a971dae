"""Rows changed in one column at a time: nulls, new categories, extremes, directions."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from lifecycle.config import GatesConfig
from lifecycle.errors import DataError
from lifecycle.gates import GateInput
from lifecycle.gates.behaviour import behaviour
from lifecycle.models.predicting import Columns, LoadedModel, Output
from lifecycle.records import Column, GateResult, ModelSpec, Outcome

SPEC = ModelSpec(
    1,
    "regression",
    (
        Column("x", "double", required=False),
        Column("n", "long"),
        Column("plan", "string", required=False),
        Column("on", "boolean", required=False),
        Column("at", "datetime", required=False),
    ),
    target="y",
)
RNG = np.random.default_rng(0)
ROWS = pd.DataFrame(
    {
        "x": RNG.normal(size=90),
        "n": RNG.integers(0, 20, 90),
        "plan": RNG.choice(["basic", "pro"], 90),
        "on": RNG.random(90) < 0.5,
        "at": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(90), "D"),
        "y": RNG.normal(size=90),
    }
)


def robust(columns: Columns) -> Output:
    plan = np.array([len(item or "") for item in columns["plan"]], dtype=float)
    return Output(np.nan_to_num(np.clip(columns["x"], -5, 5)) + 0.1 * columns["n"] + 0.01 * plan)


def found(
    answer: Callable[[Columns], Output] = robust,
    spec: ModelSpec = SPEC,
    rows: pd.DataFrame = ROWS,
    **limits: object,
) -> dict[str, GateResult]:
    model = LoadedModel(spec, "sklearn", answer)
    from lifecycle.models.inputs import columns

    output = robust(columns(rows, spec)) if spec is SPEC else None
    given = GateInput(model, rows, output, limits=GatesConfig(**limits))
    return {item.gate: item for item in behaviour(given)}


def test_robust_model_passes_and_says_how_much_was_tried() -> None:
    results = found()
    assert list(results) == ["behaviour.missing", "behaviour.unseen", "behaviour.extreme"]
    assert {item.outcome for item in results.values()} == {Outcome.PASS}
    assert "columns tried: 4" in results["behaviour.missing"].reason
    assert "columns tried: 1" in results["behaviour.unseen"].reason
    assert "columns tried: 2" in results["behaviour.extreme"].reason


def raising(error: Exception, when: Callable[[Columns], bool]):
    def answer(columns: Columns) -> Output:
        if when(columns):
            raise error
        return robust(columns)

    return answer


@pytest.mark.parametrize(
    ("when", "gate", "column"),
    [
        (lambda c: np.isnan(c["x"]).all(), "behaviour.missing", "x"),
        (lambda c: all(item is None for item in c["plan"]), "behaviour.missing", "plan"),
        (lambda c: all(item is None for item in c["on"]), "behaviour.missing", "on"),
        (lambda c: np.isnat(c["at"]).all(), "behaviour.missing", "at"),
        (lambda c: "never seen in training" in c["plan"], "behaviour.unseen", "plan"),
        (lambda c: "" in c["plan"], "behaviour.unseen", "plan"),
        (lambda c: c["n"].max() > 100, "behaviour.extreme", "n"),
        (lambda c: c["x"].min() < -10, "behaviour.extreme", "x"),
    ],
)
def test_crash_is_a_refusal_that_names_the_column(
    when: Callable[[Columns], bool], gate: str, column: str
) -> None:
    results = found(raising(ValueError("Found unknown\n categories"), when))
    assert results[gate].outcome is Outcome.FAIL
    assert f"'{column}': ValueError: Found unknown categories" in results[gate].reason
    assert sum(item.outcome is Outcome.FAIL for item in results.values()) == 1


def test_refusal_in_words_is_an_answer() -> None:
    results = found(raising(DataError("plan 'x' is not sold"), lambda c: "" in c["plan"]))
    assert results["behaviour.unseen"].outcome is Outcome.PASS


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_answers_that_are_no_numbers_are_refused(odd: float) -> None:
    def answer(columns: Columns) -> Output:
        return Output(np.where(np.abs(columns["x"]) > 10, odd, 0.0))

    result = found(answer)["behaviour.extreme"]
    assert result.outcome is Outcome.FAIL
    assert "missing or infinite" in result.reason


def test_same_answer_to_all_odd_rows_is_fine() -> None:
    assert found(lambda c: Output(np.zeros(len(c["x"]))))["behaviour.extreme"].outcome == "pass"


def test_warnings_about_odd_values_are_kept_quiet() -> None:
    import warnings

    def answer(columns: Columns) -> Output:
        if "" in columns["plan"]:
            warnings.warn("Found unknown categories", UserWarning, stacklevel=1)
        return robust(columns)

    assert found(answer)["behaviour.unseen"].outcome is Outcome.PASS


def test_model_of_required_numbers_has_no_null_and_no_text_to_try() -> None:
    spec = ModelSpec(1, "regression", (Column("n", "integer"),), target="y")
    results = found(lambda c: Output(c["n"] * 1.0), spec)
    assert "no column can hold a null" in results["behaviour.missing"].reason
    assert "no column can hold" in results["behaviour.unseen"].reason
    assert results["behaviour.extreme"].outcome is Outcome.PASS


def test_extremes_of_whole_numbers_keep_their_type() -> None:
    spec = ModelSpec(1, "regression", (Column("n", "integer"),), target="y")
    seen = []

    def answer(columns: Columns) -> Output:
        seen.append(columns["n"])
        return Output(columns["n"] * 1.0)

    rows = pd.DataFrame({"n": [-(2**31), 2**31 - 1], "y": 0.0})
    assert found(answer, spec, rows)["behaviour.extreme"].outcome is Outcome.PASS
    assert {item.dtype for item in seen} == {np.dtype(np.int32)}


def test_column_that_is_always_null_has_no_extreme() -> None:
    spec = ModelSpec(1, "regression", (Column("x", "double", required=False),), target="y")
    results = found(lambda c: Output(np.zeros(len(c["x"]))), spec, ROWS.assign(x=np.nan))
    assert "no column can hold" in results["behaviour.extreme"].reason


def test_invariant_columns() -> None:
    results = found(invariant=("plan", "x", "y", "pan"))
    assert results["behaviour.invariant.x"].outcome is Outcome.FAIL
    assert results["behaviour.invariant.x"].value > 0.1
    assert results["behaviour.invariant.plan"].outcome is Outcome.PASS
    assert "no input of the model" in results["behaviour.invariant.y"].reason
    assert results["behaviour.invariant.pan"].outcome is Outcome.FAIL
    assert "did you mean 'plan'" in results["behaviour.invariant.pan"].reason


def test_directions() -> None:
    results = found(increasing=("n", "at", "plan"), decreasing=("n", "on", "nn"))
    outcomes = {name.removeprefix("behaviour."): item.outcome for name, item in results.items()}
    assert outcomes["increasing.n"] is Outcome.PASS
    assert outcomes["increasing.at"] is Outcome.PASS
    assert outcomes["decreasing.on"] is Outcome.PASS
    assert outcomes["decreasing.n"] is Outcome.FAIL
    assert outcomes["increasing.plan"] is Outcome.FAIL
    assert "has no order" in results["behaviour.increasing.plan"].reason
    assert "there is no column 'nn'" in results["behaviour.decreasing.nn"].reason
    assert "between " in results["behaviour.decreasing.n"].reason


@settings(max_examples=20, deadline=None)
@drawn(st.floats(-2.0, 2.0))
def test_direction_is_that_of_the_slope(slope: float) -> None:
    spec = ModelSpec(1, "binary", (Column("x", "double"),), target="y", classes=(0, 1))

    def answer(columns: Columns) -> Output:
        share = 1.0 / (1.0 + np.exp(-slope * columns["x"]))
        return Output((share > 0.5).astype(int), np.column_stack([1.0 - share, share]))

    results = found(answer, spec, increasing=("x",), decreasing=("x",), invariant=("x",))
    up, down = (results[f"behaviour.{way}.x"].outcome for way in ("increasing", "decreasing"))
    if abs(slope) > 0.2:
        assert (up is Outcome.PASS) == (slope > 0)
        assert (down is Outcome.PASS) == (slope < 0)
        assert results["behaviour.invariant.x"].outcome is Outcome.FAIL
    if slope == 0.0:
        assert up is down is results["behaviour.invariant.x"].outcome is Outcome.PASS


def test_labels_stand_for_scores_where_there_are_none() -> None:
    spec = ModelSpec(1, "binary", (Column("x", "double"),), target="y", classes=("no", "yes"))

    def answer(columns: Columns) -> Output:
        return Output(np.where(columns["x"] > 0, "yes", "no").astype(object))

    results = found(answer, spec, increasing=("x",), decreasing=("x",))
    assert results["behaviour.increasing.x"].outcome is Outcome.PASS
    assert results["behaviour.decreasing.x"].value == 1.0


def test_three_classes_have_no_direction() -> None:
    spec = ModelSpec(1, "multiclass", (Column("x", "double"),), target="y", classes=(1, 2, 3))

    def answer(columns: Columns) -> Output:
        return Output(np.clip(np.round(columns["x"]), 1, 3).astype(int))

    results = found(answer, spec, increasing=("x",), invariant=("x",))
    assert "no direction" in results["behaviour.increasing.x"].reason
    assert results["behaviour.invariant.x"].outcome is Outcome.FAIL


def test_single_value_cannot_move() -> None:
    results = found(rows=ROWS.assign(n=3), increasing=("n",))
    assert "one value" in results["behaviour.increasing.n"].reason


def test_without_rows_it_is_open() -> None:
    from lifecycle.gates import run

    given = replace(GateInput(LoadedModel(SPEC, "sklearn", robust)), holdout=None)
    names = ["lifecycle.gates.behaviour:behaviour"]
    assert run(names, given)[0].outcome is Outcome.UNSURE
