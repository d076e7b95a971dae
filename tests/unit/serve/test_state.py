"""What a server says of itself: versions, reasons, its log; and nothing of its inside."""

import json

import numpy as np
import pytest

from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Column, ModelSpec, ModelVersion
from lifecycle.serve.building import build
from lifecycle.serve.state import gauges, uncompiled
from lifecycle.stores.predictions import PredictionWriter
from lifecycle.stores.upkeep import Kept

SPEC = ModelSpec(1, "regression", (Column("x", "double"),))


@pytest.mark.parametrize(
    ("how", "tag", "why"),
    [
        ("onnx", "sha256:ab", ""),
        ("sklearn", "sha256:ab", "compiled, but compiled models are switched off"),
        ("sklearn", "no: a part is not known", "a part is not known"),
        ("sklearn", "", "not compiled"),
        ("pyfunc", "", "not compiled"),
    ],
)
def test_why_a_model_is_not_compiled(how, tag, why):
    tags = {"lifecycle.compiled": tag} if tag else {}
    version = ModelVersion("churn", 7, tags=tags)
    loaded = LoadedModel(SPEC, how, lambda c: Output(c["x"]), version)
    said = uncompiled(loaded)
    assert said.startswith(why)
    assert bool(said) is bool(why)


def test_the_figures_of_the_log_are_told(tmp_path):
    with PredictionWriter(tmp_path, background=False) as writer:
        assert {name: value for name, _, _, value in gauges(writer)} == {
            "log_trouble": 0,
            "log_files_merged": 0,
            "log_files_deleted": 0,
            "log_bytes_deleted": 0,
        }
        writer.kept += Kept(merged=3, deleted_files=2, deleted_bytes=1000)
        writer.trouble = "the disk is full"
        assert [value for *_, value in gauges(writer)] == [1, 3, 2, 1000]


@pytest.fixture
def whole(served):
    """The parts of a server of churn and late; closed in the end."""
    built = build(served, ("churn", "late"))
    yield built
    built.close()


def told(built, ask):
    status, headers, body = ask(built.app, "GET", "/status")
    assert (status, headers["content-type"]) == (200, "application/json")
    return json.loads(body)


def test_a_server_tells_what_serves_and_how(whole, ask):
    state = told(whole, ask)
    assert (state["ready"], state["draining"]) == (True, False)
    assert [item["model"] for item in state["models"]] == ["churn", "late"]
    (arm,) = state["models"][0]["serving"]
    assert arm == {
        "version": 1,
        "arm": "champion",
        "share": 1.0,
        "how": "sklearn",
        "not_compiled": "not compiled",
    }
    assert state["keys"] == {"asked": False, "trouble": ""}
    assert state["log"] == {"trouble": "", "not_logged_rows": 0}
    assert state["waiting"] == 0


def test_a_server_that_ends_says_so(whole, ask):
    whole.app.service.draining = True
    state = told(whole, ask)
    assert (state["ready"], state["draining"]) == (False, True)


def test_why_a_newer_version_waits_is_told(whole, ask):
    whole.app.engine.figures.not_swapped("late", "version 2: its files are damaged")
    found = {item["model"]: item["refused"] for item in told(whole, ask)["models"]}
    assert found == {"churn": "", "late": "version 2: its files are damaged"}


def test_no_path_of_the_machine_is_told(whole, ask, tmp_path):
    whole.writer.trouble = f"the log cannot be written ({tmp_path}/journal)"
    state = told(whole, ask)
    assert "cannot be written" in state["log"]["trouble"]
    assert str(tmp_path) not in json.dumps(state)


def test_what_was_not_logged_is_counted(whole, ask):
    rows = whole.app.engine.choose("churn").slot.decoder.json(b'{"inputs": {"x": 2.0}}')
    whole.app.engine.answer("churn", rows)
    assert told(whole, ask)["log"]["not_logged_rows"] == 0
    whole.writer.lost += int(np.int64(4))
    assert told(whole, ask)["log"]["not_logged_rows"] == 4


def test_the_answers_of_a_server_without_state_say_so(engine, make_app, ask):
    app = make_app(engine)
    assert ask(app, "GET", "/status")[0] == 404
    assert ask(app, "POST", "/hooks/mlflow", b"{}")[0] == 404
