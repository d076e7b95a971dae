"""Every protocol routes by the plan: by key, by version and label, and past a broken challenger."""

import json

import pytest

from lifecycle.models.predicting import Output
from lifecycle.records import Arm, Column, ModelSpec, Plan
from lifecycle.rollout.assignment import place
from lifecycle.serve.engine import Engine
from lifecycle.serve.slots import SlotTable

SPEC = ModelSpec(1, "regression", (Column("x", "double"),))
SALT = "r"
KEYS = {
    "champion": next(key for key in map(str, range(99)) if place(SALT, key) >= 0.5),
    "challenger": next(key for key in map(str, range(99)) if place(SALT, key) < 0.5),
}
V2 = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [3.0]}]}
ROWS = {"instances": [{"x": 3.0}]}
ASKS = {
    "mlflow": ("/invocations", {"inputs": {"x": 3.0}}),
    "v2": ("/v2/models/m/infer", V2),
    "tfserving": ("/v1/models/m:predict", ROWS),
    "regress": ("/v1/models/m:regress", {"examples": [{"x": 3.0}]}),
    "kserve": ("/v1/models/m:predict", {"instances": [[3.0]]}),
}


def answer_of(factor):
    return lambda columns: Output(columns["x"] * factor)


def breaks(_columns):
    raise ZeroDivisionError("it breaks")


@pytest.fixture
def routed(make_slot, make_app):
    """An application of two arms; the second answers 2 x, or as it is told."""

    def made(challenger=None):
        plan = Plan("m", (Arm("champion", 7, 0.5), Arm("challenger", 8, 0.5)), step=1, salt=SALT)
        slots = {
            7: make_slot(7, answer_of(1), SPEC, "m"),
            8: make_slot(8, challenger or answer_of(2), SPEC, "m"),
        }
        return make_app(Engine(SlotTable().with_group(plan, slots), secret=b"s" * 32))

    return made


def told(ask, app, path, body, **headers):
    head = {"Content-Type": "application/json"}
    head |= {name.replace("_", "-"): text for name, text in headers.items()}
    status, found, text = ask(app, "POST", path, json.dumps(body).encode(), headers=head)
    return status, found.get("x-model-arm"), found.get("x-model-version"), text


@pytest.mark.parametrize("protocol", list(ASKS))
@pytest.mark.parametrize("arm", list(KEYS))
def test_a_key_finds_its_arm(routed, ask, protocol, arm):
    path, body = ASKS[protocol]
    status, found, version, text = told(ask, routed(), path, body, X_Routing_Key=KEYS[arm])
    assert (status, found) == (200, arm)
    assert version == ("7" if arm == "champion" else "8")
    assert (b"3.0" if arm == "champion" else b"6.0") in text


@pytest.mark.parametrize("protocol", list(ASKS))
def test_a_broken_challenger_is_stood_in_for(routed, ask, protocol):
    path, body = ASKS[protocol]
    app = routed(breaks)
    status, found, version, text = told(ask, app, path, body, X_Routing_Key=KEYS["challenger"])
    assert (status, found, version) == (200, "fallback", "7")
    assert b"3.0" in text
    assert app.engine.figures.arms["m", 8, "challenger", 1] == [0, 1, 1]


@pytest.mark.parametrize("protocol", list(ASKS))
def test_what_cannot_be_read_counts_for_nobody(routed, ask, protocol):
    path, _ = ASKS[protocol]
    app = routed(breaks)
    for key in KEYS.values():
        assert told(ask, app, path, {"no": "form"}, X_Routing_Key=key)[0] == 400
    assert not any(any(counts) for counts in app.engine.figures.arms.values())


@pytest.mark.parametrize(
    ("path", "body", "version"),
    [
        ("/v1/models/m/labels/canary:predict", ROWS, "8"),
        ("/v1/models/m/labels/stable:predict", ROWS, "7"),
        ("/v1/models/m/labels/challenger:predict", ROWS, "8"),
        ("/v1/models/m/versions/8:predict", ROWS, "8"),
        ("/v2/models/m/versions/8/infer", V2, "8"),
        ("/v2/models/m/versions/7/infer", V2, "7"),
    ],
)
def test_a_version_or_label_of_the_path_is_asked_for_whatever_the_key(
    routed, ask, path, body, version
):
    for key in KEYS.values():
        status, arm, found, _ = told(ask, routed(), path, body, X_Routing_Key=key)
        assert (status, arm, found) == (200, "asked", version)


def test_what_is_asked_for_and_breaks_is_told(routed, ask):
    app = routed(breaks)
    assert told(ask, app, "/v2/models/m/versions/8/infer", V2)[0] == 500
    assert told(ask, app, "/invocations", {"inputs": {"x": 1}}, X_Model_Version="8")[0] == 500
    assert told(ask, app, "/invocations", {"inputs": {"x": 1}}, X_Model_Version="9")[0] == 404
