"""Requests to unusual signatures with one odd node: answered as by MLflow, or refused with 400."""

import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map, Object, Property

JSON = "application/json"


def signed(*specs):
    return ModelSignature(Schema(list(specs)))


def tensor(*shape, kind="float64", name=None):
    return TensorSpec(np.dtype(kind), shape, name)


SIGNATURES = {
    "tensor": (signed(tensor(-1, 3)), [[1, 2, 3], [4, 5, 6]]),
    "cube": (signed(tensor(-1, 2, 2, kind="float32")), [[[1, 2], [3, 4]]]),
    "whole numbers": (signed(tensor(-1, kind="int64")), [1, 2]),
    "named tensors": (
        signed(tensor(-1, 2, kind="float32", name="x"), tensor(-1, kind="int64", name="n")),
        [{"x": [1, 2], "n": 1}, {"x": [3, 4], "n": 2}],
    ),
    "lists": (
        signed(ColSpec(Array("double"), "v"), ColSpec("string", "s")),
        [{"v": [1.5], "s": "a"}, {"v": [1.5, 2.0], "s": "b"}],
    ),
    "objects": (
        signed(ColSpec(Object([Property("a", "long"), Property("b", "string", False)]), "o")),
        [{"o": {"a": 1}}, {"o": {"a": 2, "b": "x"}}],
    ),
    "maps": (
        signed(ColSpec(Map("double"), "m"), ColSpec("double", "x")),
        [{"m": {"k": 1.5}, "x": 1.5}],
    ),
    "anything": (
        signed(ColSpec(AnyType(), "z"), ColSpec("string", "s")),
        [{"z": 1, "s": "a"}, {"z": "q", "s": "b"}],
    ),
    "unnamed": (signed(ColSpec("double"), ColSpec("double")), [[1, 2], [3, 4]]),
    "none": (None, [{"a": 1, "b": "x"}, {"a": 2.5, "b": None}]),
}
FORMS = ["dataframe_split", "dataframe_records", "instances", "inputs"]
ODD = [None, True, 0, -1, 2.5, 1e39, 2**70, "", "x", "5", [], [1], [[1, 2]], {}, {"x": 1}, [True]]


def in_form(form, rows):
    named = isinstance(rows[0], dict)
    if form == "inputs" and named:
        return {name: [row[name] for row in rows] for name in rows[0]}
    if form == "dataframe_split" and named:
        return {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
    return {"data": rows} if form == "dataframe_split" else rows


def nodes(value, path=()):
    parts = ()
    if isinstance(value, (dict, list)):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        yield (*path, key)
        yield from nodes(part, (*path, key))


@pytest.mark.parametrize("name", SIGNATURES)
def test_one_odd_node_is_answered_as_by_mlflow_or_refused(side_by_side, name):
    signature, rows = SIGNATURES[name]
    ask = side_by_side(signature)

    @settings(
        max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(st.data())
    def same(data):
        form = data.draw(st.sampled_from(FORMS))
        value = copy.deepcopy(in_form(form, rows))
        path = data.draw(st.sampled_from(list(nodes(value))))
        parent = value
        for key in path[:-1]:
            parent = parent[key]
        if data.draw(st.booleans()):
            parent[path[-1]] = data.draw(st.sampled_from(ODD))
        else:
            del parent[path[-1]]
        theirs, ours = ask(JSON, json.dumps({form: value}).encode())
        assert ours[0] in {200, 400}
        if ours[0] == 200:
            assert ours == theirs
        else:
            assert ours[1]["message"]

    same()


def test_names_that_are_none(side_by_side):
    body = b'{"dataframe_split": {"columns": ["a", [true, 1]], "data": [[1, "x"]]}}'
    theirs, ours = side_by_side(None)(JSON, body)
    assert (theirs[0], ours[0]) == (400, 400)
    assert "'columns' holds no names" in ours[1]["message"]
