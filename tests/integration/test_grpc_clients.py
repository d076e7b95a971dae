"""gRPC clients that others wrote, each in an environment and a process of its own.

tritonclient and kserve bring each a copy of the same messages and cannot live in one process.
"""

import json

import pytest
from google.protobuf import descriptor_pb2

from lifecycle.serve.rpc.messages import pool

pytestmark = pytest.mark.slow

ROWS = [
    {"tenure": 3.0, "charges": 90.5, "plan": "basic", "support_calls": 4.0, "paperless": True},
    {"tenure": 70.25, "charges": 55.0, "plan": "pro", "support_calls": 0.0, "paperless": False},
    {"tenure": 12.0, "charges": 61.5, "plan": "plus", "support_calls": 1.0, "paperless": True},
]

# what every client's program begins with: the rows, and the schemas that it was built with
HEAD = """
import json, sys
address, rows = sys.argv[1], json.loads(sys.argv[2])
TYPES = {"plan": "BYTES", "paperless": "BOOL"}
KINDS = {"plan": object, "paperless": bool}

def schema(*modules):
    from google.protobuf import descriptor_pb2
    found = []
    for module in modules:
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        found.append(file.SerializeToString().hex())
    return found
"""

TRITON = (
    HEAD
    + """
import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(address)

def inputs(shape=None):
    found = []
    for name in rows[0]:
        values = np.array([row[name] for row in rows], dtype=KINDS.get(name, np.float64))
        values = values.reshape(shape or values.shape)
        one = triton.InferInput(name, list(values.shape), TYPES.get(name, "FP64"))
        found.append(one.set_data_from_numpy(values))
    return found

def asked(*arguments, **options):
    return told(client.infer("churn", *arguments, **options))

def told(answer):
    labels, scores = answer.as_numpy("predictions"), answer.as_numpy("probabilities")
    return [labels.tolist(), scores.tolist()]

def error(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except InferenceServerException as caught:
        return [caught.status(), caught.message()]

waiting = []
for _ in range(8):
    client.async_infer("churn", inputs(), lambda result, error: waiting.append((result, error)))
names = ("predictions", "probabilities")
found = {
    "live": [client.is_server_live(), client.is_server_ready()],
    "ready": client.is_model_ready("churn"),
    "version": client.is_model_ready("churn", "1"),
    "server": client.get_server_metadata(as_json=True),
    "model": client.get_model_metadata("churn", as_json=True),
    "answers": {
        "raw": asked(inputs()),
        "columns": asked(inputs((-1, 1))),
        "outputs": asked(inputs(), outputs=[triton.InferRequestedOutput(one) for one in names]),
        "gzip": asked(inputs(), compression_algorithm="gzip"),
        "deflate": asked(inputs(), compression_algorithm="deflate"),
        "version": asked(inputs(), model_version="1"),
        "timeout": asked(inputs(), client_timeout=30, timeout=1_000_000),
    },
    "id": client.infer("churn", inputs(), request_id="mine").get_response().id,
    "errors": [
        error(client.is_model_ready, "nothing"),
        error(client.infer, "nothing", inputs()),
        error(client.infer, "churn", inputs(), model_version="2"),
        error(client.infer, "churn", inputs()[1:]),
        error(client.infer, "churn", inputs(), outputs=[triton.InferRequestedOutput("none")]),
    ],
    "schema": schema(service_pb2),
}
import time
while len(waiting) < 8:
    time.sleep(0.01)
for place, (result, failed) in enumerate(waiting):
    assert failed is None, failed
    found["answers"][f"at once {place}"] = told(result)
for answer in found["answers"].values():
    answer[0] = [int(one) for one in answer[0]]
print(json.dumps(found))
"""
)

KSERVE = (
    HEAD
    + """
import asyncio
import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest
from kserve.protocol.grpc import grpc_predict_v2_pb2
from kserve.protocol.infer_type import RequestedOutput

def request(raw, model="churn", **options):
    inputs = []
    for name in rows[0]:
        values = [row[name] for row in rows]
        one = InferInput(name, [len(values)], TYPES.get(name, "FP64"), data=values)
        if raw:
            one.set_data_from_numpy(np.array(values, dtype=KINDS.get(name, np.float64)))
        inputs.append(one)
    return InferRequest(model, inputs, request_id="mine", **options)

async def error(call):
    try:
        await call
    except grpc.RpcError as caught:
        return [caught.code().name, caught.details()]

async def main():
    async with InferenceGRPCClient(address, timeout=30, retries=0) as client:
        wanted = [RequestedOutput(name) for name in ("predictions", "probabilities")]
        found = {
            "live": [await client.is_server_live(), await client.is_server_ready()],
            "ready": await client.is_model_ready("churn"),
            "answers": {},
            "errors": [
                await error(client.is_model_ready("nothing")),
                await error(client.infer(request(False, "nothing"))),
            ],
            "schema": schema(grpc_predict_v2_pb2),
        }
        for name, asked in (
            ("typed", request(False)),
            ("raw", request(True)),
            ("typed outputs", request(False, request_outputs=wanted)),
            ("raw outputs", request(True, request_outputs=wanted)),
        ):
            answer = await client.infer(asked)
            assert (answer.id, answer.model_name) == ("mine", "churn")
            labels, scores = (output.as_numpy().tolist() for output in answer.outputs)
            found["answers"][name] = [labels, scores]
        print(json.dumps(found))

asyncio.run(main())
"""
)

TENSORFLOW = (
    HEAD
    + """
import struct
import grpc
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow_serving.apis import (
    classification_pb2, get_model_metadata_pb2, get_model_status_pb2, input_pb2, model_pb2,
    model_service_pb2_grpc, predict_pb2, prediction_service_pb2, prediction_service_pb2_grpc,
    regression_pb2,
)

channel = grpc.insecure_channel(address)
predictions = prediction_service_pb2_grpc.PredictionServiceStub(channel)
models = model_service_pb2_grpc.ModelServiceStub(channel)

def tensors(content):
    found = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        kind = TYPES.get(name, "DOUBLE").replace("BYTES", "STRING")
        one = tensor_pb2.TensorProto(dtype=types_pb2.DataType.Value("DT_" + kind))
        one.tensor_shape.dim.add(size=len(values))
        if kind == "STRING":
            one.string_val.extend(value.encode() for value in values)
        elif kind == "BOOL":
            one.bool_val.extend(values)
        elif content:
            one.tensor_content = struct.pack(f"<{len(values)}d", *values)
        else:
            one.double_val.extend(values)
        found[name] = one
    return found

def predict(content=False, name="churn", **spec):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    for key, value in spec.items():
        if key == "version":
            request.model_spec.version.value = value
        else:
            setattr(request.model_spec, key, value)
    for key, value in tensors(content).items():
        request.inputs[key].CopyFrom(value)
    answer = predictions.Predict(request, timeout=30)
    assert answer.model_spec.version.value == 1, answer.model_spec
    scores = list(answer.outputs["probabilities"].double_val)
    return [list(answer.outputs["predictions"].int64_val), list(zip(scores[::2], scores[1::2]))]

def judged(stub, request):
    request.model_spec.name = "churn"
    for row in rows:
        feature = request.input.example_list.examples.add().features.feature
        for key, value in row.items():
            if isinstance(value, str):
                feature[key].bytes_list.value.append(value.encode())
            elif isinstance(value, bool):
                feature[key].int64_list.value.append(value)
            else:
                feature[key].float_list.value.append(value)
    return stub(request, timeout=30)

def error(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except grpc.RpcError as caught:
        return [caught.code().name, caught.details()]

def status(**spec):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = spec.get("name", "churn")
    found = models.GetModelStatus(request, timeout=30).model_version_status
    return [[one.version, one.state, one.status.error_code] for one in found]

classes = judged(predictions.Classify, classification_pb2.ClassificationRequest())
metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
metadata.model_spec.name = "churn"
said = predictions.GetModelMetadata(metadata, timeout=30)
defined = get_model_metadata_pb2.SignatureDefMap()
assert said.metadata["signature_def"].Unpack(defined)
signature = defined.signature_def["serving_default"]
found = {
    "answers": {
        "typed": predict(),
        "content": predict(True),
        "version": predict(version=1),
        "stable": predict(version_label="stable"),
        "champion": predict(version_label="champion"),
    },
    "classes": [[[one.label, one.score] for one in row.classes]
                for row in classes.result.classifications],
    "status": status(),
    "inputs": {name: info.dtype for name, info in signature.inputs.items()},
    "method": signature.method_name,
    "errors": [
        error(predict, name="nothing"),
        error(predict, version=2),
        error(predict, version_label="none"),
        error(status, name="nothing"),
        error(judged, predictions.Regress, regression_pb2.RegressionRequest()),
    ],
    "schema": schema(
        tensor_pb2, tensor_shape_pb2, types_pb2, example_pb2, feature_pb2, model_pb2, predict_pb2,
        classification_pb2, regression_pb2, input_pb2, get_model_metadata_pb2,
        get_model_status_pb2, prediction_service_pb2,
    ),
}
print(json.dumps(found))
"""
)


@pytest.fixture
def asked(environment, said, served_world):
    """`asked(name, program, *packages)`: what a program of an environment of its own found."""

    def run(name, program, *packages):
        python = environment(name, *packages) / "python"
        text = said(python, "-W", "ignore", "-c", program, served_world[1], json.dumps(ROWS))
        return json.loads(text.splitlines()[-1])

    return run


def check_schema(files):
    """Every field that ours and the client's schemas have is the same: number, type, label."""
    compared = 0
    for text in files:
        theirs = descriptor_pb2.FileDescriptorProto.FromString(bytes.fromhex(text))
        for message in theirs.message_type:
            compared += _compared(message, theirs.package)
        for service in theirs.service:
            try:
                ours = pool().FindServiceByName(f"{theirs.package}.{service.name}")
            except KeyError:
                continue
            methods = {method.name: method for method in service.method}
            for name, method in ours.methods_by_name.items():
                assert f".{method.input_type.full_name}" == methods[name].input_type
                assert f".{method.output_type.full_name}" == methods[name].output_type
                assert method.server_streaming == methods[name].server_streaming
    return compared


def _compared(theirs, package):
    name = f"{package}.{theirs.name}"
    try:
        ours = pool().FindMessageTypeByName(name)
    except KeyError:
        return 0  # a message that no call of ours uses
    numbers = {field.number: field for field in theirs.field}
    for field in ours.fields:
        other = numbers.get(field.number)
        if other is None:
            continue  # kserve's schema is older than Triton's
        repeated = other.label == descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
        assert (field.name, field.type) == (other.name, other.type), name
        assert field.is_repeated == repeated, f"{name}.{field.name}"
        kind = field.message_type or field.enum_type
        assert (f".{kind.full_name}" if kind else "") == other.type_name
    return len(ours.fields) + sum(_compared(inner, name) for inner in theirs.nested_type)


def test_tritonclient(asked, foreign):
    found = asked("triton", TRITON, ["tritonclient[grpc]==2.73.0"])
    assert found["live"] == [True, True]
    assert found["ready"] is found["version"] is True
    assert found["server"]["name"] == "lifecycle"
    assert [item["name"] for item in found["model"]["inputs"]] == list(ROWS[0])
    assert found["model"]["versions"] == ["1"]
    foreign(found["answers"], ROWS)
    assert len(found["answers"]) == 15
    assert found["id"] == "mine"
    not_ready, nobody, version, missing, output = found["errors"]
    told = "model 'nothing' is not served here; known: churn"
    assert not_ready == nobody == ["StatusCode.NOT_FOUND", told]
    assert version[0] == "StatusCode.NOT_FOUND"
    assert missing[0] == output[0] == "StatusCode.INVALID_ARGUMENT"
    assert "'tenure' is missing" in missing[1]
    assert "'none'" in output[1]
    assert check_schema(found["schema"]) > 50


def test_kserve(asked, foreign):
    found = asked("kserve", KSERVE, ["kserve==0.21.0"])
    assert found["live"] == [True, True]
    assert found["ready"] is True
    foreign(found["answers"], ROWS)
    assert len(found["answers"]) == 4
    told = "model 'nothing' is not served here; known: churn"
    assert found["errors"] == [["NOT_FOUND", told]] * 2
    assert check_schema(found["schema"]) > 50


def test_tensorflow_serving(asked, foreign):
    """The stubs that tensorflow-serving-api publishes, on TensorFlow's messages alone."""
    found = asked(
        "tensorflow",
        TENSORFLOW,
        ["tensorflow-protobuf==2.7.0", "protobuf==3.20.3", "grpcio"],
        ["--no-deps", "tensorflow-serving-api==2.7.0"],
    )
    _, scores = foreign(found["answers"], ROWS)
    assert len(found["answers"]) == 5
    for row, known in zip(found["classes"], scores, strict=True):
        assert [label for label, _ in row] == ["0", "1"]
        assert [score for _, score in row] == [pytest.approx(score, abs=1e-6) for score in known]
    assert found["status"] == [[1, 30, 0]]
    assert found["inputs"] == {
        "tenure": 2, "charges": 2, "plan": 7, "support_calls": 2, "paperless": 10,
    }  # fmt: skip
    assert found["method"] == "tensorflow/serving/predict"
    codes = [code for code, _ in found["errors"]]
    assert codes == ["NOT_FOUND", "NOT_FOUND", "INVALID_ARGUMENT", "NOT_FOUND", "INVALID_ARGUMENT"]
    assert check_schema(found["schema"]) > 50
