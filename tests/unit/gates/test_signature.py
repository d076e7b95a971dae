"""Whoever calls the champion can call the candidate."""

from dataclasses import replace

import pytest

from lifecycle.gates import GateInput, run
from lifecycle.gates.signature import differences, signature
from lifecycle.models.predicting import LoadedModel
from lifecycle.records import Column, ModelSpec, Outcome

WAS = ModelSpec(
    1,
    "binary",
    (Column("age", "long"), Column("plan", "string", required=False)),
    target="y",
    classes=("no", "yes"),
)


def with_features(*columns: Column) -> ModelSpec:
    return replace(WAS, features=columns)


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (with_features(*WAS.features), []),
        (with_features(*reversed(WAS.features)), []),
        (with_features(Column("age", "double"), WAS.features[1]), []),
        (with_features(*WAS.features, Column("new", "double", required=False)), []),
        (with_features(WAS.features[0]), ["input 'plan' is gone"]),
        (
            with_features(*WAS.features, Column("new", "double")),
            ["new required input 'new' (double)"],
        ),
        (
            with_features(Column("age", "integer"), WAS.features[1]),
            ["input 'age' was long and is integer"],
        ),
        (
            with_features(Column("age", "string"), WAS.features[1]),
            ["input 'age' was long and is string"],
        ),
        (
            with_features(WAS.features[0], Column("plan", "string")),
            ["input 'plan' may no longer be null or left out"],
        ),
        (replace(WAS, classes=("no", "yes", "maybe")), ["the classes were ['no', 'yes'] and are "]),
        (replace(WAS, task="regression", classes=()), ["the task was binary and is regression"]),
    ],
)
def test_differences(now: ModelSpec, said: list[str]) -> None:
    found = differences(WAS, now)
    assert len(found) == len(said)
    for line, start in zip(found, said, strict=True):
        assert line.startswith(start)


def test_all_differences_stand_in_one_result() -> None:
    now = replace(WAS, features=(Column("age", "string"),), classes=("a", "b"))
    models = [LoadedModel(spec, "sklearn", lambda _columns: None) for spec in (now, WAS)]
    result = signature(GateInput(models[0], champion=models[1]))
    assert result.outcome is Outcome.FAIL
    for part in ("'plan' is gone", "long and is string", "classes were"):
        assert part in result.reason


def test_numbers_and_truth_values_are_different_classes_only_by_value() -> None:
    # 0 == False in Python: a caller that compares labels sees no difference
    assert differences(replace(WAS, classes=(0, 1)), replace(WAS, classes=(False, True))) == []


def test_models_that_are_not_adopted_are_judged_by_their_inputs_alone() -> None:
    bare = replace(WAS, task="regression", target=None, classes=())
    champion = LoadedModel(WAS, "sklearn", lambda _columns: None)
    candidate = LoadedModel(bare, "pyfunc", lambda _columns: None)
    (result,) = run(["signature"], GateInput(candidate, champion=champion))
    assert result.outcome is Outcome.UNSURE
    assert "lifecycle adopt" in result.reason
    candidate = replace(candidate, spec=replace(bare, features=()))
    (result,) = run(["signature"], GateInput(candidate, champion=champion))
    assert result.outcome is Outcome.FAIL
