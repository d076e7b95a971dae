"""The messages: their numbers are those of the specifications, their pool is our own."""

import subprocess
import sys

import pytest
from google.protobuf import descriptor_pool

from lifecycle.serve.rpc.messages import SCHEMAS, SERVICES, message, methods, pool

# numbers as the public schemas have them; a wrong one would be a silent misunderstanding
NUMBERS = {
    "inference.ModelMetadataResponse": {
        "name": 1, "versions": 2, "platform": 3, "inputs": 4, "outputs": 5,
    },
    "inference.InferParameter": {
        "bool_param": 1, "int64_param": 2, "string_param": 3, "double_param": 4, "uint64_param": 5,
    },
    "inference.InferTensorContents": {
        "bool_contents": 1, "int_contents": 2, "int64_contents": 3, "uint_contents": 4,
        "uint64_contents": 5, "fp32_contents": 6, "fp64_contents": 7, "bytes_contents": 8,
    },
    "inference.ModelInferRequest": {
        "model_name": 1, "model_version": 2, "id": 3, "parameters": 4, "inputs": 5, "outputs": 6,
        "raw_input_contents": 7,
    },
    "inference.ModelInferResponse": {
        "model_name": 1, "model_version": 2, "id": 3, "parameters": 4, "outputs": 5,
        "raw_output_contents": 6,
    },
    "tensorflow.TensorProto": {
        "dtype": 1, "tensor_shape": 2, "version_number": 3, "tensor_content": 4, "float_val": 5,
        "double_val": 6, "int_val": 7, "string_val": 8, "int64_val": 10, "bool_val": 11,
        "half_val": 13, "uint32_val": 16, "uint64_val": 17,
    },
    "tensorflow.TensorShapeProto": {"dim": 2, "unknown_rank": 3},
    "tensorflow.Feature": {"bytes_list": 1, "float_list": 2, "int64_list": 3},
    "tensorflow.SignatureDef": {"inputs": 1, "outputs": 2, "method_name": 3},
    "tensorflow.TensorInfo": {"name": 1, "dtype": 2, "tensor_shape": 3},
    "tensorflow.serving.ModelSpec": {
        "name": 1, "version": 2, "signature_name": 3, "version_label": 4,
    },
    "tensorflow.serving.PredictRequest": {"model_spec": 1, "inputs": 2, "output_filter": 3},
    "tensorflow.serving.PredictResponse": {"outputs": 1, "model_spec": 2},
    "tensorflow.serving.ClassificationResponse": {"result": 1, "model_spec": 2},
    "tensorflow.serving.RegressionResponse": {"result": 1, "model_spec": 2},
    "tensorflow.serving.GetModelMetadataRequest": {"model_spec": 1, "metadata_field": 2},
    "tensorflow.serving.GetModelMetadataResponse": {"model_spec": 1, "metadata": 2},
    "tensorflow.serving.ModelVersionStatus": {"version": 1, "state": 2, "status": 3},
    "grpc.health.v1.HealthCheckResponse": {"status": 1},
}  # fmt: skip

METHODS = {
    "inference.GRPCInferenceService": {
        "ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer",
    },
    "tensorflow.serving.PredictionService": {"Classify", "Regress", "Predict", "GetModelMetadata"},
    "tensorflow.serving.ModelService": {"GetModelStatus"},
    "grpc.health.v1.Health": {"Check", "Watch"},
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_fields_have_the_numbers_of_the_specification(name):
    fields = message(name).DESCRIPTOR.fields_by_name
    assert {field: found.number for field, found in fields.items()} == NUMBERS[name]


@pytest.mark.parametrize("service", SERVICES)
def test_services_have_their_methods(service):
    assert set(methods(service)) == METHODS[service]
    streaming = {name for name, method in methods(service).items() if method.server_streaming}
    assert streaming == ({"Watch"} if service == "grpc.health.v1.Health" else set())


def test_every_message_can_be_made_written_and_read():
    names = [
        found.full_name
        for schema in SCHEMAS
        for found in pool().FindFileByName(schema).message_types_by_name.values()
    ]
    assert len(names) > 40
    for name in names:
        kind = message(name)
        assert kind.FromString(kind().SerializeToString()) == kind()


def test_an_unknown_name_is_a_key_error():
    with pytest.raises(KeyError):
        message("inference.NoSuchMessage")


def test_a_field_of_a_newer_schema_is_no_error():
    """Protocol Buffers keep what they do not know: field 99, a varint."""
    kind = message("inference.ModelInferRequest")
    request = kind.FromString(kind(model_name="churn").SerializeToString() + b"\x98\x06\x01")
    assert request.model_name == "churn"


def test_the_default_pool_stays_free():
    message("inference.ModelInferRequest")
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("inference.ModelInferRequest")


def test_any_packs_a_message_under_its_public_name():
    found = message("tensorflow.serving.GetModelMetadataResponse")()
    found.metadata["signature_def"].Pack(message("tensorflow.serving.SignatureDefMap")())
    url = found.metadata["signature_def"].type_url
    assert url == "type.googleapis.com/tensorflow.serving.SignatureDefMap"


IMPORTED = """
import sys
import lifecycle, lifecycle.cli, lifecycle.config, lifecycle.serve.server, lifecycle.serve.rpc
print([name for name in ("grpc", "google.protobuf") if name in sys.modules])
"""


def test_nothing_imports_grpc_before_it_is_asked_for():
    said = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "[]"
