import json
import re
from dataclasses import replace

import numpy as np
import pytest

from lifecycle.models.predicting import Output
from lifecycle.records import Arm, Column, ModelSpec, ModelVersion, Plan
from lifecycle.serve.engine import Engine
from lifecycle.serve.protocols.tfserving import examples_of, instances_of
from lifecycle.serve.slots import SlotTable

MODEL = "/v1/models/churn"
ROWS = [{"age": 50, "plan": "pro"}, {"age": 20, "plan": "basic"}]
COLUMNS = {"age": [50, 20], "plan": ["pro", "basic"]}


def labels_of(label):
    return lambda columns: Output(np.array([label] * len(columns["age"]), dtype=object))


@pytest.fixture
def rollout(make_slot, make_app):
    """churn/7 as champion, which had the alias `old` when it was loaded; churn/8 challenges."""
    seven = make_slot(7, labels_of("seven"))
    version = ModelVersion("churn", 7, aliases=("champion", "old"))
    seven = replace(seven, loaded=replace(seven.loaded, version=version))
    plan = Plan("churn", (Arm("champion", 7, 1.0), Arm("challenger", 8, 0.0)))
    table = SlotTable().with_group(plan, {7: seven, 8: make_slot(8, labels_of("eight"))})
    return make_app(Engine(table, secret=b"s" * 32))


BODIES = {
    "rows as objects": ({"instances": ROWS}, "predictions"),
    "rows as lists": ({"instances": [[50, "pro"], [20, "basic"]]}, "predictions"),
    "columns": ({"inputs": COLUMNS}, "outputs"),
    "rows under inputs": ({"inputs": [[50, "pro"], [20, "basic"]]}, "outputs"),
    "with the signature's name": (
        {"signature_name": "serving_default", "instances": ROWS},
        "predictions",
    ),
    "with no signature's name": ({"signature_name": "", "inputs": COLUMNS}, "outputs"),
}


@pytest.mark.parametrize("what", BODIES)
@pytest.mark.parametrize("place", ["", "/versions/7", "/labels/stable", "/labels/champion"])
def test_predict(post, what, place):
    body, key = BODIES[what]
    assert post(f"{MODEL}{place}:predict", body) == (200, {key: ["yes", "no"]})


def test_no_content_type_is_asked_for(app, ask):
    body = json.dumps({"instances": ROWS}).encode()
    for kind in ("application/x-www-form-urlencoded", "text/plain", "application/json"):
        status, headers, _ = ask(
            app, "POST", f"{MODEL}:predict", body, headers={"Content-Type": kind}
        )
        assert (status, headers["content-type"]) == (200, "application/json")
        assert headers["x-model-version"] == "7"


def test_single_inputs_are_plain_values(make_slot, make_app, ask):
    spec = ModelSpec(1, "regression", (Column("x", "double"),))
    twice = make_slot(1, lambda columns: Output(columns["x"] * 2), spec, "twice")
    app = make_app(Engine(SlotTable().with_only(twice), secret=b"s" * 32))
    for body, expected in (
        (b'{"instances": [1, 2.5]}', {"predictions": [2.0, 5.0]}),
        (b'{"inputs": [1, 2.5]}', {"outputs": [2.0, 5.0]}),
    ):
        assert json.loads(ask(app, "POST", "/v1/models/twice:predict", body)[2]) == expected


def test_other_models_have_their_own_path(post):
    body = {"instances": [{"x": 1.5, "n": 2}]}
    assert post("/v1/models/total:predict", body) == (200, {"predictions": [3.5]})
    said = {"predictions": [{"low": 0.5, "name": "r2"}]}
    assert post("/v1/models/frame:predict", body) == (200, said)


VERSIONS = [
    ("", "seven"),
    ("/versions/7", "seven"),
    ("/versions/8", "eight"),
    ("/labels/stable", "seven"),
    ("/labels/champion", "seven"),
    ("/labels/old", "seven"),
    ("/labels/canary", "eight"),
    ("/labels/challenger", "eight"),
]


@pytest.mark.parametrize(("place", "expected"), VERSIONS)
def test_versions_and_labels_answer(rollout, ask, place, expected):
    body = json.dumps({"instances": ROWS[:1]}).encode()
    status, headers, answer = ask(rollout, "POST", f"{MODEL}{place}:predict", body)
    assert (status, json.loads(answer)) == (200, {"predictions": [expected]})
    assert headers["x-model-version"] == {"seven": "7", "eight": "8"}[expected]


@pytest.mark.parametrize(("place", "expected"), [*VERSIONS])
def test_status_and_metadata_of_versions_and_labels(rollout, ask, place, expected):
    number = {"seven": "7", "eight": "8"}[expected]
    said = json.loads(ask(rollout, "GET", f"{MODEL}{place}")[2])
    found = [item["version"] for item in said["model_version_status"]]
    assert found == (["8", "7"] if place == "" else [number])
    said = json.loads(ask(rollout, "GET", f"{MODEL}{place}/metadata")[2])
    assert said["model_spec"] == {"name": "churn", "signature_name": "", "version": number}


def test_status_is_tensorflows_and_kserves(get):
    status, said = get(MODEL)
    assert (status, said["name"], said["ready"]) == (200, "churn", True)
    assert said["model_version_status"] == [
        {
            "version": "7",
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
    ]
    assert get("/v1/models") == (200, {"models": ["churn", "total", "frame"]})
    assert get("/") == (200, {"status": "alive"})


def test_a_server_that_stops_says_so(app, get):
    app.service.draining = True
    status, said = get(MODEL)
    assert (status, said["ready"]) == (503, False)
    assert said["model_version_status"][0]["state"] == "UNLOADING"


def test_metadata_is_the_signature(get):
    status, said = get(f"{MODEL}/metadata")
    defined = said["metadata"]["signature_def"]["signature_def"]["serving_default"]
    shape = {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert status == 200
    assert defined["method_name"] == "tensorflow/serving/predict"
    assert defined["inputs"] == {
        "age": {"dtype": "DT_DOUBLE", "tensor_shape": shape, "name": "age"},
        "plan": {"dtype": "DT_STRING", "tensor_shape": shape, "name": "plan"},
    }
    assert {name: item["dtype"] for name, item in defined["outputs"].items()} == {
        "predictions": "DT_STRING",
        "probabilities": "DT_DOUBLE",
    }


def test_metadata_has_a_type_for_every_column(get):
    said = get("/v1/models/total/metadata")[1]
    defined = said["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]
    found = {name: item["dtype"] for name, item in defined.items()}
    assert found == {"x": "DT_DOUBLE", "n": "DT_INT64", "z": "DT_FLOAT"}


def test_classify_gives_each_label_its_score(post):
    status, said = post(f"{MODEL}:classify", {"examples": ROWS})
    assert status == 200
    assert [[label for label, _ in row] for row in said["result"]] == [["no", "yes"]] * 2
    assert said["result"][0][1] == ["yes", pytest.approx(0.9)]
    assert said["result"][1][1] == ["yes", pytest.approx(0.1)]


def test_examples_may_share_a_context_and_hold_lists_of_one(post):
    body = {"context": {"plan": "pro"}, "examples": [{"age": [50]}, {"age": 20, "plan": ["x"]}]}
    status, said = post(f"{MODEL}/labels/stable:classify", body)
    assert (status, len(said["result"])) == (200, 2)
    assert said["result"] == post(f"{MODEL}:classify", {"examples": ROWS})[1]["result"]


def test_labels_that_are_no_texts_are_written_as_json(make_slot, make_app, ask):
    spec = ModelSpec(1, "binary", (Column("age", "double"),), classes=(False, True))
    scores = np.array([[0.25, 0.75]])
    one = make_slot(1, lambda _: Output(np.array([True]), scores), spec)
    app = make_app(Engine(SlotTable().with_only(one), secret=b"s" * 32))
    answer = ask(app, "POST", f"{MODEL}:classify", b'{"examples": [{"age": 1}]}')[2]
    assert json.loads(answer) == {"result": [[["false", 0.25], ["true", 0.75]]]}


def test_regress_gives_values(post):
    body = {"examples": [{"x": 1.5, "n": [2]}, {"x": 0, "n": 1, "z": 0.5}]}
    assert post("/v1/models/total:regress", body) == (200, {"result": [3.5, 1.5]})


def test_each_kind_of_model_has_its_verb(post, rollout, ask):
    status, said = post(f"{MODEL}:regress", {"examples": ROWS})
    assert (status, said) == (400, {"error": "churn answers with classes. Next: use :classify."})
    status, said = post("/v1/models/total:classify", {"examples": [{"x": 1, "n": 1}]})
    assert (status, "total gives no scores" in said["error"]) == (400, True)
    status, _, answer = ask(
        rollout, "POST", f"{MODEL}:classify", json.dumps({"examples": ROWS}).encode()
    )
    assert (status, "gives no scores" in json.loads(answer)["error"]) == (400, True)


def test_a_regression_that_answers_with_text(make_slot, make_app, ask):
    spec = ModelSpec(1, "regression", (Column("age", "double"),))
    app = make_app(
        Engine(SlotTable().with_only(make_slot(1, labels_of("x"), spec)), secret=b"s" * 32)
    )
    status, _, answer = ask(app, "POST", f"{MODEL}:regress", b'{"examples": [{"age": 1}]}')
    assert (status, "no number" in json.loads(answer)["error"]) == (400, True)


ABSENT = [
    ("/v1/models/nothing", 404, "'nothing' is not served here"),
    (f"{MODEL}/versions/8", 404, r"Servable not found for request: Specific\(churn, 8\)"),
    (f"{MODEL}/versions/x", 404, "Servable not found"),
    (f"{MODEL}/versions/99999999999999999999", 404, "Servable not found"),
    (f"{MODEL}/labels/nothing", 400, "Unrecognized servable version label: nothing"),
    (f"{MODEL}/labels/canary", 400, "Unrecognized servable version label: canary"),
]


@pytest.mark.parametrize("absent", ABSENT)
@pytest.mark.parametrize("tail", ["", "/metadata", ":predict", ":classify"])
def test_what_is_not_served(app, ask, absent, tail):
    path, code, reason = absent
    method = "POST" if tail.startswith(":") else "GET"
    status, _, answer = ask(app, method, path + tail, json.dumps({"instances": ROWS}).encode())
    said = json.loads(answer)
    assert (status, list(said)) == (code, ["error"])
    assert re.search(reason, said["error"])


HOSTILE = {
    "nothing": (b"", "not JSON"),
    "a list": ([], "expected `object`"),
    "neither": ({}, "neither instances nor inputs"),
    "both": ({"instances": ROWS, "inputs": COLUMNS}, "instances and inputs"),
    "another key": ({"instances": ROWS, "rows": 1}, "rows"),
    "another signature": ({"signature_name": "x", "instances": ROWS}, "'x' is not there"),
    "a signature of no text": ({"signature_name": 1, "instances": ROWS}, "str"),
    "instances twice": (b'{"instances": [[1, "x"]], "instances": []}', "'instances' is there twi"),
    "a column twice": (b'{"instances": [{"age": 1, "age": 2, "plan": "x"}]}', "'age' is there twi"),
    "no rows": ({"instances": []}, "no rows"),
    "a missing column": ({"instances": [{"age": 1}]}, "'plan' is missing"),
    "an unknown column": ({"instances": [{**ROWS[0], "agee": 1}]}, "'agee' is not known"),
    "a text for a number": ({"instances": [{"age": "1", "plan": "x"}]}, "'age' of row 0 is text"),
    "a number for a text": ({"instances": [[1, 2]]}, "'plan' of row 0"),
    "null": ({"instances": [[None, "x"]]}, "'age' of row 0 is null"),
    "NaN": (b'{"instances": [[NaN, "x"]]}', "JSON has no NaN"),
    "rows of other lengths": ({"instances": [[1, "x"], [1]]}, "row 1"),
    "columns of other lengths": ({"inputs": {"age": [1, 2], "plan": ["x"]}}, "different lengths"),
    "depth": (b'{"instances": ' + b"[" * 90_000, "deep|not JSON"),
    "params that the model has not": ({"instances": ROWS, "params": {"t": 1}}, "takes no params"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_requests_are_400_and_say_why(post, what):
    body, reason = HOSTILE[what]
    status, said = post(f"{MODEL}:predict", body)
    assert (status, list(said)) == (400, ["error"])
    assert re.search(reason, said["error"]), said
    assert post(f"{MODEL}:predict", {"instances": ROWS})[0] == 200


EXAMPLES = {
    "nothing": (b"", "JSON|cannot be read"),
    "no examples": ({"instances": ROWS}, "unknown field `instances`|examples"),
    "no list": ({"examples": {"age": 1}}, "array"),
    "an example that is no object": ({"examples": [[1, "x"]]}, "object"),
    "empty": ({"examples": []}, "no rows"),
    "two values": ({"examples": [{"age": [1, 2], "plan": "x"}]}, "'age' of row 0 is a list"),
    "a feature twice": (b'{"examples": [{"age": 1, "age": 2}]}', "'age' is there twice"),
    "another signature": ({"examples": ROWS, "signature_name": "x"}, "'x' is not there"),
    "a context of no object": ({"examples": ROWS, "context": [1]}, "object"),
}


@pytest.mark.parametrize("what", EXAMPLES)
def test_hostile_examples_are_400_and_say_why(post, what):
    body, reason = EXAMPLES[what]
    status, said = post(f"{MODEL}:classify", body)
    assert (status, list(said)) == (400, ["error"])
    assert re.search(reason, said["error"]), said


def test_a_model_that_fails_is_500_without_its_reason(app, ask):
    body = json.dumps({"instances": [{"age": 99, "plan": "x"}]}).encode()
    status, headers, answer = ask(app, "POST", f"{MODEL}:predict", body)
    said = json.loads(answer)["error"]
    assert (status, "secret" in said) == (500, False)
    assert headers["x-prediction-id"] in said


def test_wrong_methods(app, ask):
    for method, path in (("GET", f"{MODEL}:predict"), ("POST", MODEL)):
        status, headers, answer = ask(app, method, path)
        assert (status, list(json.loads(answer))) == (405, ["error"])
        assert headers["allow"] in ("GET", "POST")


def test_bodies_are_handed_on_as_they_came():
    raw = b'{"instances" : [ {"a:b": "c:d"} ] }'
    assert instances_of(raw) == ("instances", b'{"instances":[ {"a:b": "c:d"} ]}')
    both = b'{"params": {"top": 1}, "inputs": {"x": 1}}'
    assert instances_of(both) == ("inputs", b'{"inputs":{"x": 1},"params":{"top": 1}}')
    assert examples_of(b'{"examples": [{"x": []}]}') == b'{"dataframe_records":[{"x":[]}]}'
