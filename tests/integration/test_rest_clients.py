"""Clients that others wrote, each in an environment of its own, against a real server process."""

import json
import re
import urllib.request
from pathlib import Path

import pandas as pd
import pytest

from lifecycle.stores.predictions import PredictionLog

pytestmark = pytest.mark.slow

ROWS = [
    {"tenure": 3.0, "charges": 90.5, "plan": "basic", "support_calls": 4.0, "paperless": True},
    {"tenure": 70.25, "charges": 55.0, "plan": "pro", "support_calls": 0.0, "paperless": False},
    {"tenure": 12.0, "charges": 61.5, "plan": "plus", "support_calls": 1.0, "paperless": True},
]

TRITON = """
import json, sys
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

address, rows = sys.argv[1], json.loads(sys.argv[2])
client = triton.InferenceServerClient(address)
TYPES = {"plan": "BYTES", "paperless": "BOOL"}
KINDS = {"plan": object, "paperless": bool}

def inputs(binary=True, shape=None):
    found = []
    for name in rows[0]:
        values = np.array([row[name] for row in rows], dtype=KINDS.get(name, np.float64))
        values = values.reshape(shape or values.shape)
        one = triton.InferInput(name, list(values.shape), TYPES.get(name, "FP64"))
        found.append(one.set_data_from_numpy(values, binary_data=binary))
    return found

def wanted(binary):
    names = ("predictions", "probabilities")
    return [triton.InferRequestedOutput(name, binary_data=binary) for name in names]

def asked(*arguments, **options):
    answer = client.infer("churn", *arguments, **options)
    return [answer.as_numpy(name).tolist() for name in ("predictions", "probabilities")]

def error(*arguments, **options):
    try:
        client.infer(*arguments, **options)
    except InferenceServerException as caught:
        return [caught.status(), caught.message()]

found = {
    "live": [client.is_server_live(), client.is_server_ready()],
    "ready": [client.is_model_ready(name) for name in ("churn", "nothing")],
    "version": [client.is_model_ready("churn", version) for version in ("1", "2")],
    "server": client.get_server_metadata(),
    "model": client.get_model_metadata("churn"),
    "answers": {
        "binary": asked(inputs()),
        "columns": asked(inputs(shape=(-1, 1))),
        "json": asked(inputs(False), outputs=wanted(False)),
        "json in": asked(inputs(False), outputs=wanted(True)),
        "json out": asked(inputs(), outputs=wanted(False)),
        "version": asked(inputs(), model_version="1"),
    },
    "id": client.infer("churn", inputs(), request_id="mine").get_response()["id"],
    "errors": [
        error("nothing", inputs()),
        error("churn", inputs(), model_version="2"),
        error("churn", inputs()[1:]),
        error("churn", inputs(), outputs=[triton.InferRequestedOutput("none")]),
    ],
}
for coding in ("gzip", "deflate"):
    found["answers"][coding] = asked(inputs(), request_compression_algorithm=coding)
    rows = rows * 40
    both = {"request_compression_algorithm": coding, "response_compression_algorithm": coding}
    long = asked(inputs(), **both)
    rows = rows[:3]
    found["answers"][coding + " both ways"] = [part[:3] for part in long]
    assert all(part[:3] == part[-3:] and len(part) == 120 for part in long)
print(json.dumps(found))
"""

KSERVE = """
import asyncio, json, sys
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput

address, rows = "http://" + sys.argv[1], json.loads(sys.argv[2])
TYPES = {"plan": "BYTES", "paperless": "BOOL"}
KINDS = {"plan": object, "paperless": bool}

def request(binary, wanted=None):
    inputs = []
    for name in rows[0]:
        values = np.array([row[name] for row in rows], dtype=KINDS.get(name, np.float64))
        one = InferInput(name, list(values.shape), TYPES.get(name, "FP64"))
        one.set_data_from_numpy(values, binary_data=binary)
        inputs.append(one)
    return InferRequest("churn", inputs, request_id="mine", request_outputs=wanted)

async def error(call):
    try:
        return await call
    except Exception as caught:
        return str(caught)

async def main():
    one = InferenceRESTClient(RESTConfig(protocol="v1", retries=1))
    two = InferenceRESTClient(RESTConfig(protocol="v2", retries=1))
    packed = [
        RequestedOutput(name, parameters={"binary_data": True})
        for name in ("predictions", "probabilities")
    ]
    found = {
        "live": [await one.is_server_live(address), await two.is_server_live(address)],
        "ready": [
            await one.is_model_ready(address, "churn"),
            await two.is_server_ready(address),
            await two.is_model_ready(address, "churn"),
            await two.is_model_ready(address, "nothing"),
        ],
        "v1": await one.infer(address, {"instances": rows}, model_name="churn"),
        "answers": {},
        "errors": [
            await error(one.infer(address, {"instances": [[1]]}, model_name="churn")),
            await error(two.infer(address, request(False), model_name="nothing")),
        ],
    }
    for name, asked in (
        ("json", request(False)),
        ("binary", request(True)),
        ("json in", request(False, packed)),
        ("binary both ways", request(True, packed)),
    ):
        answer = await two.infer(address, asked, model_name="churn")
        assert answer.id == "mine", answer.id
        found["answers"][name] = [output.as_numpy().tolist() for output in answer.outputs]
    print(json.dumps(found))

asyncio.run(main())
"""


@pytest.fixture
def address(served_world):
    """Host and port of `lifecycle serve churn`."""
    return served_world[0]


def test_tritonclient(environment, said, address, foreign):
    programs = environment("triton", ["tritonclient[http]==2.73.0"])
    found = json.loads(said(programs / "python", "-c", TRITON, address, json.dumps(ROWS)))
    assert found["live"] == [True, True]
    assert found["ready"] == found["version"] == [True, False]
    assert found["server"]["extensions"] == ["binary_tensor_data"]
    assert [item["name"] for item in found["model"]["inputs"]] == list(ROWS[0])
    assert found["model"]["versions"] == ["1"]
    foreign(found["answers"], ROWS)
    assert len(found["answers"]) == 10
    assert found["id"] == "mine"
    nobody, version, missing, output = found["errors"]
    assert nobody == ["404", "model 'nothing' is not served here; known: churn"]
    assert version[0] == "404"
    assert (missing[0], "'tenure' is missing" in missing[1]) == ("400", True)
    assert (output[0], "'none'" in output[1]) == ("400", True)


def test_kserve(environment, said, address, foreign):
    programs = environment("kserve", ["kserve==0.21.0"])
    text = said(programs / "python", "-W", "ignore", "-c", KSERVE, address, json.dumps(ROWS))
    found = json.loads(text.splitlines()[-1])
    assert found["live"] == [True, True]
    assert found["ready"] == [True, True, True, False]
    expected, _ = foreign(found["answers"], ROWS)
    assert found["v1"] == {"predictions": expected}
    assert "400 Bad Request" in found["errors"][0]
    assert "row 0 does not have one value" in found["errors"][0]
    assert "model 'nothing' is not served here" in found["errors"][1]


def test_schemathesis(environment, said, address, tmp_path):
    programs = environment("schemathesis", ["schemathesis==4.32.5"])
    checks = (
        "not_a_server_error,status_code_conformance,content_type_conformance,"
        "response_schema_conformance"
    )
    text = said(
        programs / "schemathesis", "run", f"http://{address}/openapi.json",
        "--max-examples", "20", "--checks", checks, "--phases", "examples,coverage,fuzzing",
        "--generation-database", "none", "--seed", "1", cwd=tmp_path,
    )  # fmt: skip
    assert re.search(r"(\d{3,}) generated, \1 passed", text), text[-3000:]
    with urllib.request.urlopen(f"http://{address}/ping", timeout=30) as answer:
        assert answer.status == 200


TENSORS = [
    {
        "name": name,
        "shape": [len(ROWS)],
        "datatype": {"plan": "BYTES", "paperless": "BOOL"}.get(name, "FP64"),
        "data": [row[name] for row in ROWS],
    }
    for name in ROWS[0]
]
ASKED = [
    ("/v1/models/churn:predict", {"instances": ROWS}),
    ("/v1/models/churn:classify", {"examples": ROWS}),
    ("/v2/models/churn/infer", {"inputs": TENSORS}),
]


@pytest.mark.parametrize(("path", "body"), ASKED)
def test_what_was_asked_is_in_the_log(address, world, path, body):
    request = urllib.request.Request(f"http://{address}{path}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=30) as answer:
        token = answer.headers["X-Prediction-Id"]
    log = PredictionLog(Path(world) / "lifecycle-log")
    logged = pd.DataFrame(log.read("churn").to_dicts())
    mine = logged[logged["prediction_id"].str.startswith(token)]
    for name in ("tenure", "plan", "paperless"):
        assert [row[name] for row in mine["features"]] == [row[name] for row in ROWS]
