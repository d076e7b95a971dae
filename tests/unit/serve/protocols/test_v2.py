import json
import re
import struct

import numpy as np
import pytest

from lifecycle.records import Arm, Plan
from lifecycle.serve.engine import Engine
from lifecycle.serve.slots import SlotTable

INFER = "/v2/models/churn/infer"


def tensor(name, datatype, shape, data, **more):
    return {"name": name, "datatype": datatype, "shape": shape, "data": data, **more}


AGE = tensor("age", "FP64", [2], [50, 20])
PLAN = tensor("plan", "BYTES", [2, 1], ["pro", "basic"])


def binary(document, *tails):
    """A body with binary tensors, and its header."""
    head = json.dumps(document).encode()
    return head + b"".join(tails), {"Inference-Header-Content-Length": str(len(head))}


def texts(*items):
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


def outputs(said):
    return {item["name"]: item for item in said["outputs"]}


def test_the_server_says_who_it_is_and_what_it_has(get):
    status, said = get("/v2")
    assert (status, said["name"], said["extensions"]) == (200, "lifecycle", ["binary_tensor_data"])
    assert get("/v2/health/live") == (200, {"live": True})
    assert get("/v2/health/ready") == (200, {"ready": True})
    assert get("/v2/models") == (200, {"models": ["churn", "total", "frame"]})


@pytest.mark.parametrize("path", ["/v2/models/churn", "/v2/models/churn/versions/7"])
def test_metadata_is_the_signature(get, path):
    status, said = get(path)
    assert status == 200
    assert (said["name"], said["versions"], said["platform"]) == ("churn", ["7"], "mlflow_sklearn")
    assert said["inputs"] == [
        {"name": "age", "datatype": "FP64", "shape": [-1]},
        {"name": "plan", "datatype": "BYTES", "shape": [-1]},
    ]
    predictions, probabilities = said["outputs"]
    assert predictions == {"name": "predictions", "datatype": "BYTES", "shape": [-1]}
    assert probabilities["shape"] == [-1, 2]
    assert json.loads(probabilities["parameters"]["classes"]) == ["no", "yes"]


def test_metadata_of_a_model_that_answers_a_frame(get):
    said = get("/v2/models/frame")[1]
    found = {item["name"]: item["datatype"] for item in said["outputs"]}
    assert found == {"low": "FP64", "name": "BYTES"}


def test_metadata_of_a_model_that_fails_on_an_example(make_slot, make_app, ask):
    def broken(_columns):
        raise ValueError("no such plan")

    app = make_app(Engine(SlotTable().with_only(make_slot(7, broken)), secret=b"s" * 32))
    status, _, body = ask(app, "GET", "/v2/models/churn")
    assert status == 200
    assert [item["name"] for item in json.loads(body)["outputs"]] == ["predictions"]


@pytest.mark.parametrize("tail", ["", "/ready", "/versions/7/ready"])
def test_readiness_of_models(get, tail):
    assert get(f"/v2/models/churn{tail}")[0] == 200
    status, said = get(f"/v2/models/nothing{tail}")
    assert (status, list(said)) == (404, ["error"])
    assert "'nothing' is not served here" in said["error"]


@pytest.mark.parametrize("version", ["8", "x", "07x", "99999999999999999999", "-1"])
@pytest.mark.parametrize("tail", ["", "/ready"])
def test_versions_that_are_not_served(get, version, tail):
    status, said = get(f"/v2/models/churn/versions/{version}{tail}")
    assert (status, list(said)) == (404, ["error"])
    assert "is not served" in said["error"]


def test_a_server_that_stops_is_alive_and_not_ready(app, get):
    app.service.draining = True
    assert get("/v2/health/live")[0] == 200
    for path in ("/v2/health/ready", "/v2/models/churn/ready"):
        status, said = get(path)
        assert (status, said["ready"], said["error"]) == (503, False, "the server stops")


def test_a_server_without_models(make_app, ask):
    app = make_app(Engine(SlotTable(), secret=b"s" * 32))
    assert ask(app, "GET", "/v2/health/ready")[0] == 503
    assert ask(app, "GET", "/v2/models/churn/ready")[0] == 404
    assert ask(app, "POST", INFER, b"{}")[0] == 404


def test_predictions_and_probabilities(app, ask):
    body = json.dumps({"id": "q1", "inputs": [AGE, PLAN]}).encode()
    status, headers, answer = ask(app, "POST", INFER, body)
    said = json.loads(answer)
    assert (status, headers["x-model-version"]) == (200, "7")
    assert headers["content-type"] == "application/json"
    assert (said["model_name"], said["model_version"], said["id"]) == ("churn", "7", "q1")
    assert outputs(said)["predictions"] == tensor("predictions", "BYTES", [2], ["yes", "no"])
    assert outputs(said)["probabilities"]["shape"] == [2, 2]
    assert outputs(said)["probabilities"]["data"] == pytest.approx([0.1, 0.9, 0.9, 0.1])


def test_without_an_id_the_prediction_id_is_told(app, ask):
    _, headers, answer = ask(app, "POST", INFER, json.dumps({"inputs": [AGE, PLAN]}).encode())
    assert json.loads(answer)["id"] == headers["x-prediction-id"]


@pytest.mark.parametrize("data", [[50, 20], [[50], [20]]], ids=["flat", "nested"])
def test_data_flat_or_nested(post, data):
    status, said = post(INFER, {"inputs": [tensor("age", "INT32", [2, 1], data), PLAN]})
    assert (status, said["outputs"][0]["data"]) == (200, ["yes", "no"])


def test_one_tensor_of_all_features(post):
    block = tensor("input-0", "FP64", [2, 3], [[1.5, 2, 0.5], [2.5, 1, 0]])
    status, said = post("/v2/models/total/infer", {"inputs": [block]})
    assert (status, said["outputs"]) == (200, [tensor("predictions", "FP64", [2], [4.0, 3.5])])


def test_a_frame_is_one_tensor_a_column(post):
    block = tensor("in", "FP64", [1, 3], [[1.5, 2, 0.5]])
    said = post("/v2/models/frame/infer", {"inputs": [block]})[1]
    assert {name: item["data"] for name, item in outputs(said).items()} == {
        "low": [0.5],
        "name": ["r2"],
    }


def test_the_version_in_the_path_answers(make_slot, make_app, ask):
    other = make_slot(8, lambda columns: replace_all(columns, "no"))
    plan = Plan("churn", (Arm("champion", 7, 1.0), Arm("challenger", 8, 0.0)))
    table = SlotTable().with_group(plan, {7: make_slot(7), 8: other})
    app = make_app(Engine(table, secret=b"s" * 32))
    body = json.dumps({"inputs": [AGE, PLAN]}).encode()
    for version, expected in ((7, ["yes", "no"]), (8, ["no", "no"])):
        answer = json.loads(ask(app, "POST", f"/v2/models/churn/versions/{version}/infer", body)[2])
        assert (answer["model_version"], answer["outputs"][0]["data"]) == (str(version), expected)
    assert json.loads(ask(app, "GET", "/v2/models/churn")[2])["versions"] == ["7", "8"]


def replace_all(columns, label):
    from lifecycle.models.predicting import Output

    return Output(np.array([label] * len(columns["age"]), dtype=object))


def test_binary_tensors_in(app, ask):
    age = np.array([50.0, 20.0], dtype="<f4").tobytes()
    plan = texts(b"pro", "gr\u00fcn".encode())
    inputs = [
        {"name": "age", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}},
        {
            "name": "plan",
            "datatype": "BYTES",
            "shape": [2, 1],
            "parameters": {"binary_data_size": len(plan)},
        },
    ]
    body, headers = binary({"inputs": inputs}, age, plan)
    status, _, answer = ask(app, "POST", INFER, body, headers=headers)
    assert (status, json.loads(answer)["outputs"][0]["data"]) == (200, ["yes", "no"])


def test_binary_and_json_tensors_may_be_mixed(app, ask):
    age = {"name": "age", "datatype": "INT8", "shape": [2], "parameters": {"binary_data_size": 2}}
    body, headers = binary({"inputs": [PLAN, age]}, bytes([50, 20]))
    status, _, answer = ask(app, "POST", INFER, body, headers=headers)
    assert (status, json.loads(answer)["outputs"][0]["data"]) == (200, ["yes", "no"])


WANTED = {
    "all": ({"parameters": {"binary_data_output": True}}, ["predictions", "probabilities"]),
    "one": (
        {"outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}]},
        ["probabilities"],
    ),
    "all but one": (
        {
            "parameters": {"binary_data_output": True},
            "outputs": [
                {"name": "probabilities"},
                {"name": "predictions", "parameters": {"binary_data": False}},
            ],
        },
        ["probabilities"],
    ),
    "none": ({"outputs": [{"name": "predictions"}]}, []),
}


@pytest.mark.parametrize("what", WANTED)
def test_binary_tensors_out(app, ask, what):
    asked, packed = WANTED[what]
    body = json.dumps({"inputs": [AGE, PLAN], **asked}).encode()
    status, headers, answer = ask(app, "POST", INFER, body)
    assert status == 200
    length = int(headers.get("inference-header-content-length", len(answer)))
    said, tail = json.loads(answer[:length]), answer[length:]
    kind = "application/octet-stream" if packed else "application/json"
    assert headers["content-type"] == kind
    if "outputs" in asked:
        assert list(outputs(said)) == [item["name"] for item in asked["outputs"]]
    found = {}
    for name, item in outputs(said).items():
        size = item.get("parameters", {}).get("binary_data_size")
        assert ("data" in item) == (size is None)
        if size is not None:
            found[name], tail = tail[:size], tail[size:]
    assert tail == b""
    assert sorted(found) == sorted(packed)
    if "predictions" in found:
        assert found["predictions"] == texts(b"yes", b"no")
    if "probabilities" in found:
        values = np.frombuffer(found["probabilities"], "<f8").tolist()
        assert values == pytest.approx([0.1, 0.9, 0.9, 0.1])


def test_outputs_that_there_are_not(post):
    for wanted in (
        {"name": "scores"},
        {"name": "predictions", "parameters": {"classification": 2}},
    ):
        status, said = post(INFER, {"inputs": [AGE, PLAN], "outputs": [wanted]})
        assert (status, list(said)) == (400, ["error"])
        assert wanted["name"] in said["error"]
        assert "predictions, probabilities" in said["error"]


def test_what_json_cannot_hold_is_null_and_raw_bytes_hold_it(make_slot, make_app, ask):
    from lifecycle.models.predicting import Output
    from lifecycle.records import Column, ModelSpec

    spec = ModelSpec(1, "regression", (Column("x", "double"),))
    nothing = make_slot(1, lambda columns: Output(columns["x"] * np.nan), spec, "nothing")
    app = make_app(Engine(SlotTable().with_only(nothing), secret=b"s" * 32))
    x = tensor("x", "FP64", [1], [1.0])
    asked = {"inputs": [x]}
    answer = ask(app, "POST", "/v2/models/nothing/infer", json.dumps(asked).encode())[2]
    assert json.loads(answer)["outputs"][0]["data"] == [None]
    asked["parameters"] = {"binary_data_output": True}
    answer = ask(app, "POST", "/v2/models/nothing/infer", json.dumps(asked).encode())[2]
    assert np.isnan(np.frombuffer(answer[-8:], "<f8")[0])


def test_mlservers_frames(post):
    inputs = [
        tensor("age", "FP64", [2, 1], [50, 20], parameters={"content_type": "np"}),
        tensor("plan", "BYTES", [2, 1], ["pro", "x"], parameters={"content_type": "str"}),
    ]
    status, said = post(INFER, {"inputs": inputs, "parameters": {"content_type": "pd"}})
    assert (status, said["outputs"][0]["data"]) == (200, ["yes", "no"])


RAW = {"name": "age", "datatype": "FP64", "shape": [2]}
HOSTILE = {
    "no body": (b"", "not JSON"),
    "a list": ([], "expected `object`"),
    "no inputs": ({}, "inputs"),
    "empty inputs": ({"inputs": []}, "no inputs"),
    "inputs that are no list": ({"inputs": {"age": [1]}}, "expected `array`"),
    "no name": ({"inputs": [{"shape": [1], "datatype": "FP64", "data": [1]}]}, "name"),
    "no shape": ({"inputs": [{"name": "age", "datatype": "FP64", "data": [1]}]}, "shape"),
    "no datatype": ({"inputs": [{"name": "age", "shape": [1], "data": [1]}]}, "datatype"),
    "no data": ({"inputs": [RAW, PLAN]}, "'age' has no data"),
    "an id that is a number": ({"id": 7, "inputs": [AGE, PLAN]}, "str"),
    "a fraction in the shape": ({"inputs": [{**AGE, "shape": [2.5]}]}, "int"),
    "a text in the shape": ({"inputs": [{**AGE, "shape": ["2"]}]}, "int"),
    "a text for a number": ({"inputs": [{**AGE, "data": ["50", 20]}, PLAN]}, "'age'"),
    "a missing tensor": ({"inputs": [AGE]}, "'plan' is missing"),
    "an unknown tensor": ({"inputs": [AGE, PLAN, {**AGE, "name": "agee"}]}, "'agee' is not known"),
    "a tensor twice": ({"inputs": [AGE, AGE, PLAN]}, "'age' is there twice"),
    "inputs twice": (b'{"inputs": [], "inputs": []}', "'inputs' is there twice"),
    "data twice": (
        b'{"inputs":[{"name":"age","shape":[1],"datatype":"FP64","data":[1],"data":[2]}]}',
        "'data' is there twice",
    ),
    "a name twice, escaped": (
        rb'{"inputs":[{"name":"age","n\u0061me":"x","shape":[1],"datatype":"FP64","data":[1]}]}',
        "'name' is there twice",
    ),
    "a wrong datatype": ({"inputs": [tensor("age", "BYTES", [2], ["a", "b"]), PLAN]}, "'age'"),
    "NaN": (b'{"inputs":[{"name":"age","shape":[1],"datatype":"FP64","data":[NaN]}]}', "NaN"),
    "null": ({"inputs": [{**AGE, "data": [50, None]}, PLAN]}, "'age' is null in row 1"),
    "a huge shape": ({"inputs": [{**AGE, "shape": [2**62]}, PLAN]}, "'age' has the shape"),
    "a huger shape": ({"inputs": [{**AGE, "shape": [2**62] * 40}, PLAN]}, "'age' has the shape"),
    "a shape past 64 bits": ({"inputs": [{**AGE, "shape": [2**80]}, PLAN]}, "'age' has the shape"),
    "a negative shape": ({"inputs": [{**AGE, "shape": [-1]}, PLAN]}, "'age'.*negative"),
    "two negatives": ({"inputs": [{**AGE, "shape": [-1, -2]}, PLAN]}, "'age'.*negative"),
    "a shape of zero": ({"inputs": [{**AGE, "shape": [0], "data": []}, PLAN]}, "different lengths"),
    "no rows": (
        {"inputs": [{**AGE, "shape": [0], "data": []}, {**PLAN, "shape": [0], "data": []}]},
        "no rows",
    ),
    "other lengths": ({"inputs": [AGE, tensor("plan", "BYTES", [1], ["x"])]}, "different lengths"),
    "binary without a header": (
        {"inputs": [{**RAW, "parameters": {"binary_data_size": 16}}, PLAN]},
        "'age' is said to be 16 bytes, and 0 are left",
    ),
    "data and binary": (
        {"inputs": [{**AGE, "parameters": {"binary_data_size": 16}}, PLAN]},
        "'age' has both",
    ),
    "a negative size": ({"inputs": [{**RAW, "parameters": {"binary_data_size": -8}}]}, "'age'"),
    "a size of text": ({"inputs": [{**RAW, "parameters": {"binary_data_size": "8"}}]}, "'age'"),
    "a size of true": ({"inputs": [{**RAW, "parameters": {"binary_data_size": True}}]}, "'age'"),
    "a size past 64 bits": (
        {"inputs": [{**RAW, "parameters": {"binary_data_size": 2**70}}]},
        "'age' is said to be 11805916207174113034",
    ),
    "parameters of the model": (
        {"inputs": [AGE, PLAN], "parameters": {"temperature": 2}},
        "takes no params.*temperature",
    ),
    "an endless name": ({"inputs": [{**AGE, "name": "a" * 50_000}]}, "is not known"),
    "deep data": (
        b'{"inputs":[{"name":"age","shape":[1],"datatype":"FP64","data":%s}]}' % (b"[" * 90_000),
        "deep|not JSON",
    ),
    "a text that is no UTF-8": (
        b'{"inputs":[{"name":"plan","shape":[1],"datatype":"BYTES","data":["\xff"]}]}',
        "UTF-8|not JSON",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_requests_are_400_and_say_why(post, what):
    body, reason = HOSTILE[what]
    status, said = post(INFER, body)
    assert (status, list(said)) == (400, ["error"])
    assert len(said["error"]) < 1000
    assert re.search(reason, said["error"]), said
    assert post(INFER, {"inputs": [AGE, PLAN]})[0] == 200


def sized(size, **more):
    return {**RAW, "parameters": {"binary_data_size": size}, **more}


SIXTEEN = np.array([50.0, 20.0]).tobytes()
TRUNCATED = {
    "half a tensor": ([sized(16), PLAN], SIXTEEN[:9], "'age' is said to be 16 bytes, and 9 are"),
    "a tensor too short": ([sized(8), PLAN], SIXTEEN[:8], "'age' of FP64 and shape .2. is 16 by"),
    "a tensor too long": (
        [sized(24), PLAN],
        SIXTEEN + bytes(8),
        "'age'.* is 16 bytes, and 24 came",
    ),
    "bytes that nobody names": ([AGE, PLAN], b"xyz", "3 bytes follow tensor 'plan'"),
    "bytes behind the last": ([sized(16), PLAN], SIXTEEN + b"x", "1 bytes follow tensor 'plan'"),
    "no inputs": ([], b"xyz", "3 bytes follow the JSON"),
    "NaN": ([sized(16), PLAN], np.array([1, np.nan]).tobytes(), "'age' is nan in row 1"),
    "infinity": ([sized(16), PLAN], np.array([-np.inf, 1]).tobytes(), "'age' is -inf in row 0"),
    "a length past the end": (
        [AGE, {**sized(9), "name": "plan", "datatype": "BYTES"}],
        struct.pack("<I", 2**31) + b"hello",
        "'plan' ends before element 0, which is said to be 2147483648 bytes",
    ),
    "a length that is cut off": (
        [AGE, {**sized(7), "name": "plan", "datatype": "BYTES"}],
        texts(b"") + b"abc",
        "'plan' ends within the length of element 1",
    ),
    "one text too few": (
        [AGE, {**sized(7), "name": "plan", "datatype": "BYTES"}],
        texts(b"pro"),
        "'plan' has the shape .2. and 1 elements",
    ),
    "texts that are none": (
        [AGE, {**sized(10), "name": "plan", "datatype": "BYTES"}],
        texts(b"\xff", b"\xfe"),
        "'plan' is no text in row 0",
    ),
}


@pytest.mark.parametrize("what", TRUNCATED)
def test_binary_tensors_that_are_broken_are_named(app, ask, what):
    inputs, tail, reason = TRUNCATED[what]
    body, headers = binary({"inputs": inputs}, tail)
    status, _, answer = ask(app, "POST", INFER, body, headers=headers)
    said = json.loads(answer)
    assert (status, list(said)) == (400, ["error"])
    assert re.search(reason, said["error"]), said


@pytest.mark.parametrize(
    "length", ["0", "-1", "x", "", "999999", "9" * 400, "1.5", "\u0661", "1, 1"]
)
def test_a_header_length_that_cannot_be(app, ask, length):
    body = json.dumps({"inputs": [AGE, PLAN]}).encode()
    headers = {"Inference-Header-Content-Length": length}
    status, _, answer = ask(app, "POST", INFER, body, headers=headers)
    assert status == 400
    assert "Inference-Header-Content-Length" in json.loads(answer)["error"]


@pytest.mark.parametrize("off", [-1, 1])
def test_a_header_length_that_is_off_by_one(app, ask, off):
    body, headers = binary({"inputs": [sized(16), PLAN]}, SIXTEEN)
    headers["Inference-Header-Content-Length"] = str(
        int(headers["Inference-Header-Content-Length"]) + off
    )
    status, _, answer = ask(app, "POST", INFER, body, headers=headers)
    assert (status, list(json.loads(answer))) == (400, ["error"])


def test_a_model_that_fails_is_500_without_its_reason(app, ask):
    body = json.dumps({"inputs": [{**AGE, "data": [99, 1]}, PLAN]}).encode()
    status, headers, answer = ask(app, "POST", INFER, body)
    said = json.loads(answer)["error"]
    assert (status, "secret" in said) == (500, False)
    assert headers["x-prediction-id"] in said


def test_wrong_methods_and_paths_have_the_protocols_errors(app, ask):
    status, headers, answer = ask(app, "GET", INFER)
    assert (status, headers["allow"], list(json.loads(answer))) == (405, "POST", ["error"])
    for path in ("/v2/nothing", "/v2/models/churn/explain", "/v2/"):
        status, _, answer = ask(app, "GET", path)
        assert (status, list(json.loads(answer))) == (404, ["error"])
    assert list(json.loads(ask(app, "GET", "/nothing")[2])) == ["error_code", "message"]


def test_refused_requests_are_counted_by_their_template(app, ask):
    for name in ("a", "b", "c"):
        ask(app, "POST", f"/v2/models/{name}/infer", b"{}")
    ask(app, "GET", INFER)
    ask(app, "GET", "/v2/who/knows")
    assert app.engine.figures.refused == {
        ("/v2/models/{model}/infer", 404): 3,
        ("/v2/models/{model}/infer", 405): 1,
        ("other", 404): 1,
    }
