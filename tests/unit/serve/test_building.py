"""What a configuration is made into: models loaded, a log, labels; and the line that says so."""

import json
import threading
from contextlib import closing
from pathlib import Path

import pytest

from lifecycle.config import Config
from lifecycle.errors import ConfigError, LabelError, LogError, ModelNotFound
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Column, ModelSpec, ModelVersion
from lifecycle.serve import copies
from lifecycle.serve.building import build, described, labeller
from lifecycle.serve.engine import Engine
from lifecycle.serve.slots import SlotTable, slot
from lifecycle.stores import ids
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionLog
from lifecycle.stores.tracking import connect

JSON = {"Content-Type": "application/json"}


# what is ready ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "compiled", "said"),
    [
        ("onnx", "sha256:ab", "churn/7 (onnx) on"),
        ("sklearn", "", "churn/7 (sklearn, not compiled) on"),
        ("sklearn", "no: HashingVectorizer", "churn/7 (sklearn, HashingVectorizer) on"),
        ("pyfunc", "sha256:ab", "churn/7 (pyfunc, compiled, but compiled models are switched off"),
    ],
)
def test_the_line_says_how_each_version_answers(how, compiled, said):
    version = ModelVersion("churn", 7, tags={"lifecycle.compiled": compiled} if compiled else {})
    spec = ModelSpec(1, "regression", (Column("x", "double"),))
    one = slot("churn", LoadedModel(spec, how, lambda c: Output(c["x"]), version))
    line = described(SlotTable().with_only(one), "http://x")
    assert line.startswith("serving churn/7 (")
    assert said in line
    assert line.endswith(" on http://x")


def test_a_model_that_is_not_registered_can_be_described():
    spec = ModelSpec(1, "regression", ())
    one = slot("mine", LoadedModel(spec, "sklearn", lambda c: Output(c["x"])))
    assert "mine/0 (sklearn, not compiled)" in described(SlotTable().with_only(one), "http://x")


# the whole application --------------------------------------------------------------------------


@pytest.fixture
def whole(served):
    """The application of churn and late, with its log; closed in the end."""
    built = build(served, ("churn", "late"))
    yield built.app, served
    built.close()


def x(value):
    return json.dumps({"inputs": {"x": value}}).encode()


def test_a_prediction_is_answered_logged_and_labelled(whole, ask):
    app, config = whole
    status, headers, body = ask(app, "POST", "/invocations", x(2.0), headers=JSON)
    assert status == 200
    assert json.loads(body)["predictions"] == [pytest.approx(2.0)]
    told = {"prediction_id": headers["x-prediction-id"], "label": 2.5}
    answer = ask(app, "POST", "/feedback", json.dumps(told).encode(), headers=JSON)
    assert json.loads(answer[2]) == {"accepted": 1}
    logged = PredictionLog(config.log.dir).read("churn")
    assert logged["prediction_id"].to_list() == [headers["x-prediction-id"]]
    assert LabelStore(config.log.dir).read("churn")["label"].to_list() == [2.5]
    figures = ask(app, "GET", "/metrics")[2].decode()
    assert 'lifecycle_labels_total{model="churn"} 1' in figures
    assert 'lifecycle_model_info{model="late",version="1",arm="champion"' in figures


def test_a_label_for_one_model_is_not_taken_for_another(whole, ask):
    app, _ = whole
    _, headers, _ = ask(app, "POST", "/invocations", x(2.0), headers={**JSON, "X-Model": "late"})
    told = json.dumps({"prediction_id": headers["x-prediction-id"], "label": 1.0}).encode()
    status, _, body = ask(app, "POST", "/feedback", told, headers=JSON)
    assert status == 400
    assert "of another model than 'churn'" in json.loads(body)["message"]
    assert ask(app, "POST", "/feedback", told, headers={**JSON, "X-Model": "late"})[0] == 200


def test_what_was_built_starts_and_ends(served):
    built = build(served, ("churn", "late"))
    built.start()
    assert "lifecycle-reload" in {thread.name for thread in threading.enumerate()}
    app = built.app
    for _ in range(2):  # a second time changes nothing
        built.close()
    with pytest.raises(LogError):  # the log is closed: nothing is answered unlogged
        app.engine.answer("churn", app.engine.choose("churn").slot.decoder.json(x(1.0)))
    assert not list(Path(served.log.dir, "journal").glob("*.journal*"))


def test_a_short_secret_stops_the_start_before_anything_is_copied(served, monkeypatch):
    monkeypatch.setenv("LIFECYCLE_SECRET", "short")
    with pytest.raises(ConfigError, match="LIFECYCLE_SECRET"):
        build(served, ("churn",))
    assert not Path(served.log.dir, copies.FOLDER).exists()


def test_the_same_secret_signs_after_a_restart(served):
    tokens = []
    for _ in range(2):
        built = build(served, ("churn",))
        app = built.app
        rows = app.engine.choose().slot.decoder.json(x(1.0))
        tokens.append(app.engine.answer("churn", rows).id)
        built.close()
    for token in tokens:
        assert ids.check(app.engine.secret, token, model="churn").version == 1


# labels -----------------------------------------------------------------------------------------


def given(engine, config, *labels):
    """Give labels to predictions of version 7 that were just issued."""
    rows = [
        {
            "prediction_id": ids.issue(engine.secret, model="churn", version=7, time=1),
            "label": label,
        }
        for label in labels
    ]
    return labeller(engine, config)("churn", rows)


@pytest.mark.parametrize("labels", [("yes", 1), (1, "yes"), (True, "no"), (0.5, "yes", "no")])
def test_text_and_numbers_in_one_batch_are_refused(engine, tmp_path, labels):
    config = Config().with_values(log__dir=str(tmp_path))
    with pytest.raises(LabelError, match="some labels are text and some are not"):
        given(engine, config, *labels)
    assert len(LabelStore(tmp_path).read("churn")) == 0


def test_labels_are_kept_in_the_type_of_the_classes(make_slot, tmp_path):
    config = Config().with_values(log__dir=str(tmp_path))
    spec = ModelSpec(1, "binary", (Column("age", "double"),), classes=(0, 1))
    engine = Engine(SlotTable().with_only(make_slot(spec=spec)), secret=b"s" * 32)
    assert given(engine, config, True, 0, 1.0) == 3
    assert LabelStore(tmp_path).read("churn")["label"].to_list() == [1, 0, 1]
    with pytest.raises(LabelError, match="the labels are Float64, those of the model are Int64"):
        given(engine, config, 0.5)
    with pytest.raises(LabelError, match="the labels are String"):
        given(engine, config, "1")


def test_labels_may_stand_under_the_targets_name(engine, tmp_path):
    config = Config().with_values(log__dir=str(tmp_path))
    token = ids.issue(engine.secret, model="churn", version=7, time=1)
    add = labeller(engine, config)
    assert add("churn", [{"prediction_id": token, "churned": "yes"}]) == 1
    with pytest.raises(LabelError, match="no column 'label' or 'churned'"):
        add("churn", [{"prediction_id": token, "truth": "yes"}])
    with pytest.raises(ModelNotFound):
        add("other", [{"prediction_id": token, "label": "yes"}])


def test_the_champion_that_is_served_is_the_registrys(served, ask):
    connect(served).set_registered_model_alias("churn", "champion", "2")
    with closing(build(served, ("churn",))) as built:
        _, headers, body = ask(built.app, "POST", "/invocations", x(2.0), headers=JSON)
        assert headers["x-model-version"] == "2"
        assert json.loads(body)["predictions"] == [pytest.approx(4.0)]
