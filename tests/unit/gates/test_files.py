"""What of a version's files may run code."""

from lifecycle.gates import Files, GateInput
from lifecycle.gates.files import files
from lifecycle.models.predicting import LoadedModel
from lifecycle.records import GateResult, ModelSpec, Outcome

MODEL = LoadedModel(ModelSpec(1, "regression", ()), "sklearn", lambda _columns: None)


def result(found: Files | None) -> GateResult:
    return files(GateInput(MODEL, files=found))


def test_files_without_code_pass_and_say_their_format() -> None:
    passed = result(Files({"MLmodel": 1, "model.skops": 2}, "skops"))
    assert passed.outcome is Outcome.PASS
    assert passed.reason == "loaded as skops, which holds no code; 2 files"


def test_refused_files_say_why() -> None:
    refused = result(Files({"MLmodel": 1}, "pickle", refused="the model is a pickle"))
    assert refused.outcome is Outcome.FAIL
    assert refused.reason == "the model is a pickle"


def test_risks_that_are_allowed_are_named() -> None:
    allowed = result(Files({"MLmodel": 1}, "pickle", ("model.pkl is a pickle",)))
    assert allowed.outcome is Outcome.PASS
    assert "allow_pickle, although model.pkl is a pickle" in allowed.reason


def test_files_that_nobody_looked_at_are_no_obstacle() -> None:
    assert result(None).outcome is Outcome.PASS
