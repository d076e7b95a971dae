"""Specifications survive JSON, and signatures become specifications."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


PLACES = [
    *((key,) for key in json.loads(dumps(SPEC))),
    *(("features", 0, key) for key in ("name", "dtype", "required")),
    ("features", 0),
    ("metrics", 0),
    *(("lineage", key) for key in ("data_digest", "seed", "parent_version")),
]
ODD = [None, True, -1, 1.5, 10**30, "", "x", [], [None], {}, {"a": 1}, [[1]]]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(PLACES), st.sampled_from(ODD))
def test_any_part_that_is_replaced_is_refused_or_read_but_no_traceback(path, odd):
    tree = json.loads(dumps(SPEC))
    place = tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = odd
    try:
        found = loads(json.dumps(tree))
    except RegistryError:
        return
    assert loads(dumps(found)) == found


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema":' * 50_000, "1" * 5_000])
def test_a_text_that_was_made_to_break_the_reader_is_one_error(text):
    with pytest.raises(RegistryError, match="cannot be read"):
        loads(text)


@pytest.mark.parametrize("inputs", ["nonsense", "5", '{"a": 1}', "[1]", "[" * 100_000, '"text"'])
def test_a_damaged_signature_is_one_error(inputs):
    with pytest.raises(RegistryError, match="signature in MLmodel cannot be read"):
        from_signature({"inputs": inputs})


@pytest.mark.parametrize("signature", [None, {}, {"inputs": None}, {"inputs": "[]"}])
def test_no_signature_is_no_columns(signature):
    assert from_signature(signature).features == ()


NAME = st.text(min_size=1, max_size=12)
COLUMNS = st.lists(
    st.builds(
        Column,
        NAME,
        st.sampled_from(["double", "string", "boolean", "long", "datetime"]),
        required=st.booleans(),
    ),
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(COLUMNS, st.one_of(st.none(), st.floats(0.0, 1.0)), st.lists(NAME, max_size=4, unique=True))
def test_any_specification_survives_json(columns, threshold, classes):
    spec = ModelSpec(
        1, "multiclass", tuple(columns), classes=tuple(sorted(classes)), threshold=threshold
    )
    assert loads(dumps(spec)) == spec
