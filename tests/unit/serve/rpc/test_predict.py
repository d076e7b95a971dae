"""TensorFlow Serving over gRPC, asked through a channel with our own messages."""

import numpy as np
import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.models.predicting import LoadedModel, Output, labels
from lifecycle.records import Arm, Column, ModelSpec, ModelVersion, Plan
from lifecycle.serve.engine import Engine
from lifecycle.serve.protocols.tensors import BYTES, DATATYPES, Tensor
from lifecycle.serve.rpc.messages import message
from lifecycle.serve.rpc.tensorprotos import FILLED, TYPES, elements, of_examples, tensor, to_proto
from lifecycle.serve.slots import SlotTable, slot

TF = "tensorflow.serving.PredictionService"
STATUS = "tensorflow.serving.ModelService"
TWO = {"age": ("FP64", [31.0, 60.0]), "plan": ("BYTES", [b"pro", b"basic"])}
SPEC = ModelSpec(1, "regression", (Column("x", "double"), Column("vip", "boolean")))


def proto(number, shape=(), **fields) -> Message:
    made = message("tensorflow.TensorProto")(dtype=number, **fields)
    made.tensor_shape.SetInParent()
    for size in shape:
        made.tensor_shape.dim.add(size=size)
    return made


def examples(*rows, context=None):
    """An Input of Examples; a row maps names to lists of bytes, floats or whole numbers."""
    given = message("tensorflow.serving.Input")()
    listed = given.example_list if context is None else given.example_list_with_context
    listed.SetInParent()
    for row in rows:
        _fill(listed.examples.add(), row)
    if context is not None:
        _fill(listed.context, context)
    return given


def _fill(example, row):
    example.SetInParent()
    for name, values in row.items():
        feature = example.features.feature[name]
        kind = {bytes: "bytes_list", float: "float_list", int: "int64_list"}
        field = getattr(feature, kind[type(values[0])] if values else "float_list")
        field.SetInParent()
        field.value.extend(values)


def model_spec(request, **fields):
    for name, value in fields.items():
        if name == "version":
            request.model_spec.version.value = value
        else:
            setattr(request.model_spec, name, value)
    return request


@pytest.fixture
def two_arms(make_slot):
    """Version 7 is the champion, 8 the challenger of no share; 8 has the alias `night` as well."""
    one, other = make_slot(7), make_slot(8)
    version = ModelVersion("churn", 8, aliases=("night",))
    other = slot("churn", LoadedModel(other.loaded.spec, "sklearn", other.loaded.answer, version))
    plan = Plan("churn", (Arm("champion", 7, 1.0), Arm("challenger", 8, 0.0)))
    return Engine(SlotTable().with_group(plan, {7: one, 8: other}), secret=b"s")


@pytest.fixture
def regression():
    """A model of a number and a boolean without classes."""
    loaded = LoadedModel(SPEC, "sklearn", lambda c: Output(c["x"] * 2 + c["vip"]))
    return Engine(SlotTable().with_only(slot("price", loaded)), secret=b"s")


def test_predict_answers_every_output_and_says_who(rpc, make_predict):
    answer = rpc.tf("Predict", make_predict(TWO, name="churn"))
    assert set(answer.outputs) == {"predictions", "probabilities"}
    assert list(answer.outputs["predictions"].string_val) == [b"no", b"yes"]
    scores = answer.outputs["probabilities"]
    assert [dim.size for dim in scores.tensor_shape.dim] == [2, 2]
    assert list(scores.double_val)[1::2] == [0.1, 0.9]
    spec = answer.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("churn", 7, "serving_default")
    assert rpc.trailers["x-model-version"] == "7"


def test_predict_takes_tensor_content(rpc):
    request = message("tensorflow.serving.PredictRequest")()
    content = np.array([31.0, 60.0]).tobytes()
    request.inputs["age"].CopyFrom(proto(2, (2,), tensor_content=content))
    request.inputs["plan"].CopyFrom(proto(7, (2,), string_val=[b"a", b"b"]))
    assert list(rpc.tf("Predict", request).outputs["predictions"].string_val) == [b"no", b"yes"]


def test_predict_answers_the_outputs_of_the_filter(rpc, make_predict):
    request = make_predict(TWO)
    request.output_filter.append("probabilities")
    assert set(rpc.tf("Predict", request).outputs) == {"probabilities"}
    request.output_filter.append("logits")
    code, details = rpc.refused(TF, "Predict", request)
    assert (code, "'logits'" in details) == ("INVALID_ARGUMENT", True)


def test_the_numbers_are_those_of_invocations(rpc, make_predict):
    ages = np.random.default_rng(1).uniform(18, 90, 40).tolist()
    asked = {"age": ("FP64", ages), "plan": ("BYTES", [b"pro"] * 40)}
    answer = rpc.tf("Predict", make_predict(asked))
    _, said = rpc.post("/invocations", {"inputs": {"age": ages, "plan": ["pro"] * 40}})
    found = [item.decode() for item in answer.outputs["predictions"].string_val]
    assert found == said["predictions"]


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        ({"version": 8}, 8),
        ({"version": 7}, 7),
        ({"version_label": "stable"}, 7),
        ({"version_label": "champion"}, 7),
        ({"version_label": "canary"}, 8),
        ({"version_label": "challenger"}, 8),
        ({"version_label": "night"}, 8),
        ({}, 7),
    ],
)
def test_versions_and_labels_choose_who_answers(serving_rpc, two_arms, make_predict, spec, version):
    with serving_rpc(two_arms) as rpc:
        answer = rpc.tf("Predict", make_predict(TWO, name="churn", **spec))
    assert answer.model_spec.version.value == version


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({"name": "churm"}, "NOT_FOUND"),
        ({"version": 9}, "NOT_FOUND"),
        ({"version": -1}, "NOT_FOUND"),
        ({"version": 2**62}, "NOT_FOUND"),
        ({"version_label": "nightly"}, "INVALID_ARGUMENT"),
        ({"signature_name": "train"}, "INVALID_ARGUMENT"),
    ],
)
def test_what_is_not_there_is_refused(rpc, make_predict, spec, status):
    code, details = rpc.refused(TF, "Predict", make_predict(TWO, **spec))
    assert code == status
    assert details


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (proto(2, (3,), double_val=[1.0, 2.0]), "'age'"),
        (proto(2, (2**40, 2**40), double_val=[1.0]), f"{FILLED} at most"),
        (proto(2, (2,), tensor_content=bytes(15)), "16 bytes, and 15 came"),
        (proto(2, (-1,), double_val=[1.0]), "negative"),
        (proto(2, (), double_val=[1.0]), "'age'"),
        (proto(2, (2**62, 2**62)), "'age'"),
        (proto(2, (1,), float_val=[1.0]), "in float_val"),
        (proto(2, (1,), double_val=[1.0], tensor_content=bytes(8)), "tensor_content"),
        (proto(2, (1,), double_val=[1.0], int_val=[1]), "int_val"),
        (proto(7, (1,), tensor_content=b"x"), "string_val"),
        (proto(0, (1,)), "of the type 0"),
        (proto(8, (1,)), "of the type 8"),
        (proto(99, (1,)), "of the type 99"),
        (proto(6, (1,), int_val=[300]), "'age'"),
        (proto(10, (1,), bool_val=[True]), "'age'"),
        (proto(2, (1,), double_val=[float("nan")]), "'age'"),
    ],
)
def test_hostile_tensors_are_refused_by_name(rpc, make_predict, made, told):
    request = make_predict({"plan": ("BYTES", [b"pro"])})
    request.inputs["age"].CopyFrom(made)
    code, details = rpc.refused(TF, "Predict", request)
    assert (code, "Traceback" in details) == ("INVALID_ARGUMENT", False)
    assert told in details
    assert len(rpc.tf("Predict", make_predict(TWO)).outputs) == 2


def test_a_tensor_of_unknown_rank_is_refused():
    made = proto(2, (1,), double_val=[1.0])
    made.tensor_shape.unknown_rank = True
    with pytest.raises(DataError, match="has no shape"):
        tensor("x", made)


def test_one_value_stands_for_as_many_as_the_shape_says():
    """As tensor.proto has it, and as TensorFlow's make_tensor_proto writes constants."""
    assert tensor("x", proto(2, (3,), double_val=[1.5])).data.tolist() == [1.5, 1.5, 1.5]
    assert list(tensor("x", proto(7, (2,), string_val=[b"a"])).data) == [b"a", b"a"]
    with pytest.raises(DataError, match="2 elements"):
        tensor("x", proto(2, (3,), double_val=[1.0, 2.0]))


@pytest.mark.parametrize("datatype", TYPES)
def test_every_type_goes_there_and_back(datatype):
    if datatype == BYTES:
        one = Tensor("x", BYTES, (3,), [b"", "é".encode(), b"\xff"])
    else:
        one = Tensor("x", datatype, (3, 1), np.array([0, 1, 1], DATATYPES[datatype]))
    again = tensor("x", to_proto(one))
    assert (again.datatype, again.shape) == (one.datatype, one.shape)
    assert list(again.data) == list(one.data)


@pytest.mark.parametrize("datatype", [name for name in TYPES if name != BYTES])
def test_every_type_is_read_from_tensor_content(datatype):
    values = np.array([0, 1, 1], DATATYPES[datatype])
    made = proto(TYPES[datatype][0], (3,), tensor_content=values.tobytes())
    assert np.asarray(tensor("x", made).data).tolist() == values.tolist()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(width=16, allow_nan=False), min_size=1, max_size=8))
def test_half_floats_travel_as_their_bits(values):
    one = Tensor("x", "FP16", (len(values),), np.array(values, np.float16))
    made = to_proto(one)
    assert list(made.half_val) == np.array(values, np.float16).view(np.uint16).tolist()
    if len(values) > 1:
        assert np.asarray(tensor("x", made).data).tolist() == values


def test_elements_of_text_are_utf_8():
    assert elements(Tensor("x", BYTES, (2,), ["é", b"\xff"])) == ["é".encode(), b"\xff"]


def test_classify_gives_each_class_its_probability(rpc):
    request = message("tensorflow.serving.ClassificationRequest")()
    rows = ({"age": [31.0], "plan": [b"pro"]}, {"age": [60], "plan": [b"a"]})
    request.input.CopyFrom(examples(*rows))
    answer = rpc.tf("Classify", request)
    found = [
        [(one.label, round(one.score, 6)) for one in row.classes]
        for row in answer.result.classifications
    ]
    assert found == [[("no", 0.9), ("yes", 0.1)], [("no", 0.1), ("yes", 0.9)]]
    assert answer.model_spec.version.value == 7


def test_a_context_belongs_to_every_example(rpc):
    request = message("tensorflow.serving.ClassificationRequest")()
    rows = ({"age": [31.0]}, {"age": [60.0]})
    request.input.CopyFrom(examples(*rows, context={"plan": [b"pro"]}))
    assert len(rpc.tf("Classify", request).result.classifications) == 2


def test_labels_that_are_numbers_are_written_as_json(make_slot, serving_rpc):
    spec = ModelSpec(1, "binary", (Column("x", "double"),), classes=(False, True))

    def answer(columns):
        both = np.column_stack([1 - columns["x"], columns["x"]])
        return Output(labels(both, spec.classes, threshold=None), both)

    table = SlotTable().with_only(make_slot(1, answer, spec))
    request = message("tensorflow.serving.ClassificationRequest")()
    request.input.CopyFrom(examples({"x": [0.25]}))
    with serving_rpc(Engine(table, secret=b"s")) as rpc:
        (row,) = rpc.tf("Classify", request).result.classifications
    assert [(one.label, one.score) for one in row.classes] == [("false", 0.75), ("true", 0.25)]


def test_regress_gives_a_number_a_row(serving_rpc, regression):
    request = message("tensorflow.serving.RegressionRequest")()
    request.input.CopyFrom(examples({"x": [1.5], "vip": [1]}, {"x": [2], "vip": [0]}))
    with serving_rpc(regression) as rpc:
        answer = rpc.tf("Regress", request)
    assert [one.value for one in answer.result.regressions] == [4.0, 4.0]
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("price", 0)


def test_each_is_told_the_other_where_it_does_not_fit(rpc, serving_rpc, regression):
    request = message("tensorflow.serving.RegressionRequest")()
    code, details = rpc.refused(TF, "Regress", request)
    assert (code, "Classify" in details) == ("INVALID_ARGUMENT", True)
    request = message("tensorflow.serving.ClassificationRequest")()
    with serving_rpc(regression) as other:
        code, details = other.refused(TF, "Classify", request)
    assert (code, "Predict" in details) == ("INVALID_ARGUMENT", True)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (message("tensorflow.serving.Input")(), "no examples"),
        (examples(), "no examples"),
        (examples({}), "no inputs"),
        (examples({"age": [31.0, 32.0], "plan": [b"a"]}), "'age' of example 0 has 2 values"),
        (examples({"age": [31.0], "plan": [b"a"]}, {"plan": [b"a"]}), "'age'"),
        (examples({"age": [31.0], "plan": [b"a"]}, {"age": [b"x"], "plan": [b"a"]}), "'age'"),
        (examples({"age": [31.0], "plan": [7]}), "'plan'"),
        (examples({"age": [float("nan")], "plan": [b"a"]}), "'age'"),
        (examples({"agee": [31.0], "plan": [b"a"]}), "'agee'"),
    ],
)
def test_hostile_examples_are_refused_by_name(rpc, given, told):
    request = message("tensorflow.serving.ClassificationRequest")()
    request.input.CopyFrom(given)
    code, details = rpc.refused(TF, "Classify", request)
    assert code == "INVALID_ARGUMENT"
    assert told in details


def test_a_boolean_column_takes_nothing_but_0_and_1():
    (vip, x) = of_examples(examples({"x": [1], "vip": [1]}, {"x": [2.5], "vip": [0]}), SPEC)
    assert (x.datatype, vip.datatype) == ("FP64", "BOOL")
    (vip,) = of_examples(examples({"vip": [2]}), SPEC)
    assert vip.datatype == "INT64"


def test_a_feature_without_a_value_is_null():
    (x,) = of_examples(examples({"x": []}, {"x": [2.0]}), SPEC)
    assert np.isnan(x.data[0])
    assert x.data[1] == 2.0


def test_metadata_is_a_signature(rpc):
    request = message("tensorflow.serving.GetModelMetadataRequest")()
    request.metadata_field.append("signature_def")
    answer = rpc.tf("GetModelMetadata", request)
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("churn", 7)
    found = message("tensorflow.serving.SignatureDefMap")()
    assert answer.metadata["signature_def"].Unpack(found)
    signature = found.signature_def["serving_default"]
    assert signature.method_name == "tensorflow/serving/predict"
    assert {name: info.dtype for name, info in signature.inputs.items()} == {"age": 2, "plan": 7}
    assert [dim.size for dim in signature.outputs["probabilities"].tensor_shape.dim] == [-1, 2]


@pytest.mark.parametrize("fields", [[], ["weights"], ["signature_def", "weights"]])
def test_other_metadata_is_refused(rpc, fields):
    request = message("tensorflow.serving.GetModelMetadataRequest")(metadata_field=fields)
    code, details = rpc.refused(TF, "GetModelMetadata", request)
    assert (code, "signature_def" in details) == ("INVALID_ARGUMENT", True)


def test_metadata_of_several_arms_is_that_of_the_first(serving_rpc, two_arms):
    request = message("tensorflow.serving.GetModelMetadataRequest")()
    request.metadata_field.append("signature_def")
    v2 = message("inference.ModelMetadataRequest")(name="churn")
    with serving_rpc(two_arms) as rpc:
        said = rpc.tf("GetModelMetadata", model_spec(request, name="churn"))
        assert said.model_spec.version.value == 7
        said = rpc.tf("GetModelMetadata", model_spec(request, version_label="canary"))
        assert said.model_spec.version.value == 8
        assert list(rpc.v2("ModelMetadata", v2).versions) == ["7", "8"]
        v2.version = "8"
        assert rpc.v2("ModelMetadata", v2).name == "churn"


def test_status_lists_the_versions(serving_rpc, two_arms):
    with serving_rpc(two_arms) as rpc:
        request = message("tensorflow.serving.GetModelStatusRequest")()
        both = rpc.call(STATUS, "GetModelStatus", model_spec(request, name="churn"))
        one = rpc.call(STATUS, "GetModelStatus", model_spec(request, version=8))
        rpc.service.draining = True
        late = rpc.call(STATUS, "GetModelStatus", request)
        request.model_spec.version.value = 9
        code, _ = rpc.refused(STATUS, "GetModelStatus", request)
    said = [(item.version, item.state) for item in both.model_version_status]
    assert said == [(8, 30), (7, 30)]
    assert [item.version for item in one.model_version_status] == [8]
    assert one.model_version_status[0].status.error_code == 0
    assert late.model_version_status[0].state == 40
    assert code == "NOT_FOUND"
