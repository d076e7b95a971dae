"""The Open Inference Protocol over gRPC, asked through a channel with our own messages."""

import struct
from importlib.metadata import version

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.models.predicting import Output
from lifecycle.records import Column, ModelSpec
from lifecycle.serve.engine import Engine
from lifecycle.serve.protocols.tensors import DATATYPES
from lifecycle.serve.rpc.inference import CONTENTS, parameters, tensors
from lifecycle.serve.rpc.messages import message
from lifecycle.serve.slots import SlotTable
from lifecycle.stores.predictions import PredictionLog

V2 = "inference.GRPCInferenceService"
TWO = {"age": ("FP64", [31.0, 60.0]), "plan": ("BYTES", [b"pro", b"basic"])}


def texts(raw):
    """The elements of a raw BYTES tensor."""
    found = []
    while raw:
        (size,) = struct.unpack("<I", raw[:4])
        found.append(raw[4 : 4 + size].decode())
        raw = raw[4 + size :]
    return found


def request_of(name, datatype, shape, raw=None, **contents):
    request = message("inference.ModelInferRequest")(model_name="churn")
    item = request.inputs.add(name=name, datatype=datatype, shape=shape)
    for field, values in contents.items():
        getattr(item.contents, field).extend(values)
    if raw is not None:
        request.raw_input_contents.append(raw)
    return request


def beside(request, name, datatype, shape, **contents):
    """The same request with another column."""
    more = request_of(name, datatype, shape, **contents)
    request.inputs.add().CopyFrom(more.inputs[0])
    return request


def test_the_server_lives_is_ready_and_says_what_it_is(rpc):
    assert rpc.v2("ServerLive").live
    assert rpc.v2("ServerReady").ready
    about = rpc.v2("ServerMetadata")
    assert (about.name, about.version) == ("lifecycle", version("mlflow-lifecycle"))


def test_a_draining_server_lives_and_is_not_ready(rpc):
    rpc.service.draining = True
    assert rpc.v2("ServerLive").live
    assert not rpc.v2("ServerReady").ready
    request = message("inference.ModelReadyRequest")(name="churn")
    assert not rpc.v2("ModelReady", request).ready


def test_a_server_without_models_is_not_ready(serving_rpc):
    with serving_rpc(Engine(SlotTable(), secret=b"s")) as rpc:
        assert not rpc.v2("ServerReady").ready
        code, _ = rpc.refused(V2, "ModelInfer", message("inference.ModelInferRequest")())
        assert code == "NOT_FOUND"


@pytest.mark.parametrize("wanted", ["", "7"])
def test_a_model_that_is_served_is_ready(rpc, wanted):
    request = message("inference.ModelReadyRequest")(name="churn", version=wanted)
    assert rpc.v2("ModelReady", request).ready


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata", "ModelInfer"])
@pytest.mark.parametrize(
    "case",
    [
        ("churm", "", "model 'churm' is not served here"),
        ("churn", "8", "8"),
        ("churn", "latest", "version 'latest' is not served"),
        ("churn", "-7", "version '-7'"),
        ("churn", "\u0667", "send a version's number"),
    ],
)
def test_what_is_not_served_is_not_found(rpc, make_infer, method, case):
    name, wanted, told = case
    if method == "ModelInfer":
        request = make_infer(TWO, model_name=name, model_version=wanted)
    else:
        request = message(f"inference.{method}Request")(name=name, version=wanted)
    code, details = rpc.refused(V2, method, request)
    assert code == "NOT_FOUND"
    assert told in details


def test_metadata_names_inputs_and_outputs(rpc):
    found = rpc.v2("ModelMetadata", message("inference.ModelMetadataRequest")(name="churn"))
    assert (found.name, list(found.versions), found.platform) == ("churn", ["7"], "mlflow_sklearn")
    said = [(part.name, part.datatype, list(part.shape)) for part in found.inputs]
    assert said == [("age", "FP64", [-1]), ("plan", "BYTES", [-1])]
    said = [(part.name, part.datatype, list(part.shape)) for part in found.outputs]
    assert said == [("predictions", "BYTES", [-1]), ("probabilities", "FP64", [-1, 2])]


def test_typed_elements_are_answered_typed(rpc, make_infer):
    answer = rpc.v2("ModelInfer", make_infer(TWO, model_name="churn", id="ask-1"))
    assert (answer.model_name, answer.model_version, answer.id) == ("churn", "7", "ask-1")
    assert not answer.raw_output_contents
    labels, scores = answer.outputs
    assert (labels.name, labels.datatype, list(labels.shape)) == ("predictions", "BYTES", [2])
    assert list(labels.contents.bytes_contents) == [b"no", b"yes"]
    assert (scores.name, scores.datatype, list(scores.shape)) == ("probabilities", "FP64", [2, 2])
    assert list(scores.contents.fp64_contents) == [0.9, 0.1, pytest.approx(0.1), 0.9]


def test_raw_elements_are_answered_raw(rpc, make_infer):
    answer = rpc.v2("ModelInfer", make_infer(TWO, raw=True, model_name="churn"))
    assert not any(output.HasField("contents") for output in answer.outputs)
    labels, scores = answer.raw_output_contents
    assert texts(labels) == ["no", "yes"]
    assert np.frombuffer(scores).reshape(2, 2)[:, 1].tolist() == [0.1, 0.9]


def test_who_answered_stands_in_the_trailing_metadata(rpc, make_infer, tmp_path):
    answer = rpc.v2("ModelInfer", make_infer(TWO, model_name="churn"))
    assert rpc.trailers["x-model-version"] == "7"
    assert rpc.trailers["x-model-arm"] == "champion"
    assert rpc.trailers["x-prediction-id"] == answer.id
    rpc.service.engine.writer.close()
    frame = PredictionLog(tmp_path).read("churn").sort("prediction_id")
    assert frame["prediction_id"].to_list() == [f"{answer.id}.0", f"{answer.id}.1"]
    assert frame["features"].struct.field("age").to_list() == [31.0, 60.0]
    assert frame["features"].struct.field("plan").to_list() == ["pro", "basic"]


def test_without_a_name_the_first_model_answers(rpc, make_infer):
    assert rpc.v2("ModelInfer", make_infer(TWO)).model_name == "churn"


def test_only_the_outputs_that_were_asked_for_come(rpc, make_infer):
    request = make_infer(TWO, raw=True, model_name="churn")
    request.outputs.add(name="probabilities")
    answer = rpc.v2("ModelInfer", request)
    assert [output.name for output in answer.outputs] == ["probabilities"]
    assert len(answer.raw_output_contents) == 1


def test_an_output_that_the_model_does_not_give_is_refused(rpc, make_infer):
    request = make_infer(TWO, model_name="churn")
    request.outputs.add(name="logits")
    code, details = rpc.refused(V2, "ModelInfer", request)
    assert code == "INVALID_ARGUMENT"
    assert "'logits'" in details
    assert "predictions, probabilities" in details


def test_one_tensor_of_all_features_is_read(make_slot, serving_rpc):
    spec = ModelSpec(1, "regression", (Column("a", "double"), Column("b", "double")))
    table = SlotTable().with_only(make_slot(1, lambda c: Output(c["a"] - c["b"]), spec))
    with serving_rpc(Engine(table, secret=b"s")) as rpc:
        request = request_of("x", "FP32", [2, 2], fp32_contents=[3, 1, 10, 4])
        answer = rpc.v2("ModelInfer", request)
    assert list(answer.outputs[0].contents.fp64_contents) == [2.0, 6.0]


def test_the_numbers_are_those_of_invocations(rpc, make_infer):
    ages = np.random.default_rng(0).uniform(18, 90, 50).tolist()
    asked = {"age": ("FP64", ages), "plan": ("BYTES", [b"pro"] * 50)}
    answer = rpc.v2("ModelInfer", make_infer(asked, raw=True, model_name="churn"))
    body = {"inputs": {"age": ages, "plan": ["pro"] * 50}}
    status, said = rpc.post("/invocations", body)
    assert status == 200
    assert texts(answer.raw_output_contents[0]) == said["predictions"]


MAKING = {name: dtype.type for name, dtype in DATATYPES.items() if name not in ("BOOL", "FP16")}


@pytest.mark.parametrize("datatype", [*MAKING, "FP16"])
@pytest.mark.parametrize("raw", [False, True])
def test_numbers_of_every_datatype_are_read(datatype, raw):
    values = np.array([0, 1, 100], DATATYPES[datatype])
    if raw:
        request = request_of("x", datatype, [3], values.tobytes())
    elif datatype in CONTENTS:
        request = request_of("x", datatype, [3], **{CONTENTS[datatype]: values.tolist()})
    else:
        return
    (one,) = tensors(request)
    assert (one.name, one.datatype, one.shape) == ("x", datatype, (3,))
    assert np.asarray(one.data).tolist() == [0, 1, 100]


@pytest.mark.parametrize("datatype", ["FP64", "FP32", "INT64", "INT32", "INT16", "UINT8"])
def test_a_column_of_numbers_takes_every_datatype_of_numbers(rpc, make_infer, datatype):
    values = [30, 60] if "INT" in datatype else [30.0, 60.0]
    asked = {"age": (datatype, values), "plan": TWO["plan"]}
    answer = rpc.v2("ModelInfer", make_infer(asked, model_name="churn"))
    assert list(answer.outputs[0].contents.bytes_contents) == [b"no", b"yes"]


def test_booleans_and_texts_are_read():
    (one,) = tensors(request_of("x", "BOOL", [2], b"\x01\x00"))
    assert np.asarray(one.data).tolist() == [True, False]
    (one,) = tensors(request_of("x", "BOOL", [2], bool_contents=[True, False]))
    assert np.asarray(one.data).tolist() == [True, False]
    (one,) = tensors(request_of("x", "BYTES", [2], bytes_contents=["é".encode(), b""]))
    assert list(one.data) == ["é".encode(), b""]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(allow_nan=False, width=64), max_size=20))
def test_raw_and_typed_say_the_same(values):
    raw = request_of("x", "FP64", [len(values)], np.array(values, "<f8").tobytes())
    typed = request_of("x", "FP64", [len(values)], fp64_contents=values)
    assert np.array_equal(tensors(raw)[0].data, np.asarray(tensors(typed)[0].data))


HOSTILE = {
    "shape too large": (request_of("age", "FP64", [3], fp64_contents=[1.0]), "'age'"),
    "shape too small": (request_of("age", "FP64", [1], fp64_contents=[1.0, 2.0]), "'age'"),
    "negative shape": (request_of("age", "FP64", [-1], fp64_contents=[1.0]), "negative"),
    "overflowing shape": (
        request_of("age", "FP64", [2**62, 2**62, 2**62], fp64_contents=[1.0]),
        "'age'",
    ),
    "overflowing raw shape": (request_of("age", "FP64", [2**62, 8], bytes(8)), "'age'"),
    "no rows": (
        beside(request_of("age", "FP64", [0], fp64_contents=[]), "plan", "BYTES", [0]),
        "no rows",
    ),
    "no rows, huge": (
        beside(request_of("age", "FP64", [0, 2**62]), "plan", "BYTES", [0]),
        "'age'",
    ),
    "no shape": (
        beside(request_of("plan", "BYTES", [1], bytes_contents=[b"a"]), "age", "FP64", [],
               fp64_contents=[1.0]),
        "'age'",
    ),
    "truncated raw": (request_of("age", "FP64", [2], bytes(15)), "16 bytes, and 15 came"),
    "raw too long": (request_of("age", "FP64", [1], bytes(16)), "8 bytes, and 16 came"),
    "BYTES overrun": (request_of("plan", "BYTES", [1], b"\xff\xff\xff\xffpro"), "'plan'"),
    "BYTES within a length": (request_of("plan", "BYTES", [1], b"\x03\x00"), "'plan'"),
    "BYTES too few": (request_of("plan", "BYTES", [2], b"\x00\x00\x00\x00"), "'plan'"),
    "BYTES no text": (
        beside(request_of("age", "FP64", [1], fp64_contents=[1.0]), "plan", "BYTES", [1],
               bytes_contents=[b"\xff"]),
        "'plan'",
    ),
    "unknown datatype": (request_of("age", "FP128", [1], fp64_contents=[1.0]), "'FP128'"),
    "no datatype": (request_of("age", "", [1], fp64_contents=[1.0]), "'age'"),
    "lower case": (request_of("age", "fp64", [1], fp64_contents=[1.0]), "'fp64'"),
    "wrong field": (request_of("age", "FP64", [1], fp32_contents=[1.0]), "fp32_contents"),
    "two fields": (
        request_of("age", "FP64", [1], fp64_contents=[1.0], int_contents=[1]),
        "int_contents",
    ),
    "both forms": (request_of("age", "FP64", [1], bytes(8), fp64_contents=[1.0]), "'age'"),
    "FP16 typed": (request_of("age", "FP16", [1], fp32_contents=[1.0]), "raw_input_contents"),
    "BOOL that is 2": (request_of("flag", "BOOL", [1], b"\x02"), "'flag'"),
    "too large for INT8": (request_of("age", "INT8", [1], int_contents=[300]), "'age'"),
    "too large for UINT8": (request_of("age", "UINT8", [1], uint_contents=[256]), "'age'"),
    "unknown column": (request_of("agee", "FP64", [1], fp64_contents=[1.0]), "'agee'"),
    "missing column": (request_of("age", "FP64", [1], fp64_contents=[1.0]), "'plan'"),
    "no inputs": (message("inference.ModelInferRequest")(model_name="churn"), "no inputs"),
    "raw without inputs": (
        message("inference.ModelInferRequest")(model_name="churn", raw_input_contents=[b"1"]),
        "raw_input_contents has 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_tensors_are_refused_by_name(rpc, make_infer, name):
    request, told = HOSTILE[name]
    code, details = rpc.refused(V2, "ModelInfer", request)
    assert code == "INVALID_ARGUMENT"
    assert told in details
    assert "Traceback" not in details
    assert len(rpc.v2("ModelInfer", make_infer(TWO)).outputs) == 2


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"age": ("FP64", [float("nan")]), "plan": ("BYTES", [b"a"])}, "'age'"),
        ({"age": ("FP64", [float("inf")]), "plan": ("BYTES", [b"a"])}, "'age'"),
        ({"age": ("BOOL", [True]), "plan": ("BYTES", [b"a"])}, "'age'"),
        ({"age": ("BYTES", [b"31"]), "plan": ("BYTES", [b"a"])}, "'age'"),
        ({"age": ("FP64", [1.0]), "plan": ("INT64", [1])}, "'plan'"),
        ({"age": ("FP64", [1.0, 2.0]), "plan": ("BYTES", [b"a"])}, "different lengths"),
    ],
)
def test_values_that_the_column_does_not_take_are_refused(rpc, make_infer, columns, told):
    code, details = rpc.refused(V2, "ModelInfer", make_infer(columns, model_name="churn"))
    assert code == "INVALID_ARGUMENT"
    assert told in details


def test_a_tensor_that_is_there_twice_is_refused(rpc, make_infer):
    request = make_infer(TWO)
    request.inputs.add().CopyFrom(request.inputs[0])
    code, details = rpc.refused(V2, "ModelInfer", request)
    assert (code, "'age'" in details) == ("INVALID_ARGUMENT", True)


def test_params_of_a_model_that_takes_none_are_refused(rpc, make_infer):
    request = make_infer(TWO)
    request.parameters["top"].int64_param = 3
    code, details = rpc.refused(V2, "ModelInfer", request)
    assert (code, "top" in details) == ("INVALID_ARGUMENT", True)


def test_parameters_of_the_protocol_itself_are_let_pass(rpc, make_infer):
    request = make_infer(TWO)
    request.parameters["priority"].uint64_param = 3
    request.parameters["timeout"].int64_param = 1_000_000
    assert len(rpc.v2("ModelInfer", request).outputs) == 2


def test_parameters_are_python_values():
    request = message("inference.ModelInferRequest")()
    request.parameters["a"].bool_param = True
    request.parameters["b"].double_param = 0.5
    request.parameters["c"].string_param = "x"
    request.parameters["d"].SetInParent()
    assert parameters(request.parameters) == {"a": True, "b": 0.5, "c": "x"}


def test_more_inputs_than_raw_entries_are_refused(make_infer):
    request = make_infer(TWO, raw=True)
    del request.raw_input_contents[1]
    with pytest.raises(DataError, match="has 1 entries for 2 inputs"):
        tensors(request)
