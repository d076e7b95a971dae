"""Specifications survive JSON, and signatures become specifications."""

import json

import pytest

from lifecycle.errors import RegistryError
from lifecycle.models.specs import dumps, from_signature, loads
from lifecycle.records import Column, Lineage, Metric, ModelSpec

SPEC = ModelSpec(
    1,
    "binary",
    (Column("age", "double", required=False), Column("plan", "string")),
    target="late",
    time="ts",
    key="id",
    classes=(False, True),
    threshold=0.25,
    estimator="KNeighborsClassifier()",
    primary_metric="roc_auc",
    metrics=(Metric("roc_auc", 0.8, 0.7, 0.9), Metric("log_loss", 0.4, higher_is_better=False)),
    split="time",
    trained_rows=80,
    lineage=Lineage(data_digest="ab", seed=7, parent_version=3),
)


@pytest.mark.parametrize("classes", [(0, 1), (False, True), ("a", "b"), (0.5, 1.5), ()])
def test_a_specification_survives_json_with_its_types(classes):
    spec = ModelSpec(**{**SPEC.__dict__, "classes": classes})
    back = loads(dumps(spec))
    assert back == spec
    assert [type(item) for item in back.classes] == [type(item) for item in classes]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1}', '{"schema": "x"}', "nonsense"])
def test_a_damaged_specification_is_one_error(text):
    with pytest.raises(RegistryError, match="cannot be read") as caught:
        loads(text, where="churn/3")
    assert caught.value.where == "churn/3"


def test_a_later_schema_asks_for_an_upgrade():
    tree = json.loads(dumps(SPEC))
    with pytest.raises(RegistryError, match=r"schema 2.*upgrade"):
        loads(json.dumps({**tree, "schema": 2}))


def test_a_signature_becomes_columns():
    inputs = [
        {"type": "double", "name": "age", "required": False},
        {"type": "string", "name": "plan"},
    ]
    assert from_signature({"inputs": json.dumps(inputs)}).features == (
        Column("age", "double", required=False),
        Column("plan", "string"),
    )
    tensor = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3]}}]
    assert from_signature({"inputs": json.dumps(tensor)}).features == ()
    assert from_signature(None).features == ()
