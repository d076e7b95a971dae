"""Running gates: one's own, broken ones, misspelt ones."""

import sys
from types import ModuleType

import pytest

from lifecycle.errors import ConfigError, DataError
from lifecycle.gates import GateInput, Missing, failed, passed, run, unsure
from lifecycle.models.predicting import LoadedModel
from lifecycle.records import ModelSpec, Outcome

GIVEN = GateInput(LoadedModel(ModelSpec(1, "regression", ()), "sklearn", lambda _columns: None))


def raises(error: Exception):
    def gate(_given: GateInput) -> None:
        raise error

    return gate


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package of gates of the user's own."""
    module = ModuleType("mine")
    module.fairness = lambda _given: passed("fairness", "equal rates", value=0.01)
    module.several = lambda _given: [passed("a", "fine"), unsure("b", "3 rows")]
    module.broken = raises(ZeroDivisionError("division by zero"))
    module.refusing = raises(DataError("column 'sex' is missing"))
    module.waiting = raises(Missing("no labels"))
    module.nothing = lambda _given: None
    module.empty = lambda _given: []
    module.mixed = lambda _given: [passed("a", "fine"), "yes"]
    module.truth = lambda _given: True
    monkeypatch.setitem(sys.modules, "mine", module)
    return module


@pytest.mark.usefixtures("mine")
def test_users_gate_runs_beside_ours_in_order() -> None:
    results = run(["mine:fairness", "signature", "mine:several"], GIVEN)
    assert [item.gate for item in results] == ["fairness", "signature", "a", "b"]


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("name", "outcome", "said"),
    [
        ("mine:broken", Outcome.FAIL, "ZeroDivisionError: division by zero"),
        ("mine:refusing", Outcome.FAIL, "column 'sex' is missing"),
        ("mine:waiting", Outcome.UNSURE, "no labels"),
        ("mine:nothing", Outcome.FAIL, "returned NoneType"),
        ("mine:empty", Outcome.FAIL, "not a GateResult"),
        ("mine:mixed", Outcome.FAIL, "returned str"),
        ("mine:truth", Outcome.FAIL, "returned bool"),
    ],
)
def test_broken_gate_is_a_result_and_stops_no_other(name: str, outcome: Outcome, said: str) -> None:
    first, second = run([name, "mine:fairness"], GIVEN)
    assert (first.gate, first.outcome) == (name, outcome)
    assert said in first.reason
    assert second.outcome is Outcome.PASS


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("latncy", "did you mean 'latency'"),
        ("mine:fairnes", "cannot be imported"),
        ("nowhere:gate", "cannot be imported"),
    ],
)
def test_unknown_gate_is_an_error_before_any_gate_runs(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        run(["mine:fairness", name], GIVEN)


def test_no_gates_no_results() -> None:
    assert run([], GIVEN) == ()


def test_results_are_made_with_their_outcome() -> None:
    made = [make("g", "why", value=1.0).outcome for make in (passed, failed, unsure)]
    assert made == [Outcome.PASS, Outcome.FAIL, Outcome.UNSURE]


def test_metric_of_comparison_falls_back_to_the_tasks_own() -> None:
    from dataclasses import replace

    import numpy as np
    import pandas as pd

    from lifecycle.models.predicting import Output

    spec = ModelSpec(1, "binary", (), target="y", classes=(0, 1), primary_metric="f1")
    scores = np.array([[0.4, 0.6], [0.7, 0.3]])
    case = GateInput(
        LoadedModel(spec, "sklearn", lambda _columns: None),
        pd.DataFrame({"y": [1, 0]}),
        Output(np.array([1, 0]), scores),
    )
    assert case.metric == "f1"
    for metric, labels_only, expected in (
        ("roc_auc", False, "roc_auc"),
        ("roc_auc", True, "balanced_accuracy"),
        ("rmse", False, "roc_auc"),
        ("", False, "roc_auc"),
    ):
        changed = replace(case.candidate, spec=replace(spec, primary_metric=metric))
        output = Output(np.array([1, 0]), None if labels_only else scores)
        assert replace(case, candidate=changed, output=output).metric == expected
