import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from lifecycle.models.predicting import Output
from lifecycle.records import Column, ModelSpec
from lifecycle.serve.protocols.signatures import Signatures, described

EVERY = ("double", "float", "long", "integer", "boolean", "string", "datetime", "binary")


def test_an_example_is_its_own_and_answered(several):
    one = several.find("churn").slots[7]
    found = described(one)
    assert found.example == [{"age": 50.0, "plan": "pro"}, {"age": 20.0, "plan": "it's <b>"}]
    assert found.predictions == ["yes", "no"]
    assert found.verb == "classify"


def test_long_examples_are_cut(several):
    body = b'{"inputs": {"age": [1, 2, 3, 4, 50], "plan": ["a", "b", "c", "d", "e"]}}'
    found = described(replace(several.find("churn").slots[7], example=body))
    assert [row["age"] for row in found.example] == [1.0, 2.0]
    assert found.predictions == ["no", "no"]


@pytest.mark.parametrize("body", [b"", b"[", b'{"inputs": {"other": 1}}'])
def test_without_an_example_zeros_and_empty_texts_are_asked(several, body):
    found = described(replace(several.find("churn").slots[7], example=body))
    assert found.example == [{"age": 0.0, "plan": ""}]
    assert found.predictions == ["no"]


def test_columns_of_every_type_have_a_plain_value(make_slot):
    spec = ModelSpec(1, "regression", tuple(Column(dtype, dtype) for dtype in EVERY))
    found = described(make_slot(1, lambda columns: Output(columns["double"]), spec))
    assert [part.datatype for part in found.inputs] == [
        "FP64", "FP32", "INT64", "INT32", "BOOL", "BYTES", "BYTES", "BYTES",
    ]  # fmt: skip
    assert found.predictions == [0.0]


def test_nulls_of_an_example_stay(make_slot):
    spec = ModelSpec(1, "regression", (Column("x", "double", False), Column("s", "string", False)))
    one = make_slot(1, lambda columns: Output(np.zeros(len(columns["x"]))), spec)
    body = b'{"dataframe_records": [{"x": null, "s": null}, {"x": 1}]}'
    found = described(replace(one, example=body))
    assert found.example == [{"x": None, "s": None}, {"x": 1.0, "s": None}]


@pytest.mark.parametrize(
    ("classes", "datatype"),
    [((), "FP64"), ((0, 1), "INT64"), ((False, True), "BOOL"), (("a", "b"), "BYTES")],
)
def test_a_model_that_fails_has_the_types_of_its_classes(make_slot, classes, datatype):
    def broken(_columns):
        raise ValueError

    spec = ModelSpec(1, "binary", (Column("x", "double"),), classes=classes)
    found = described(make_slot(1, broken, spec))
    assert [part.datatype for part in found.outputs] == [datatype]
    assert (found.predictions, found.verb) == (None, "")


def test_a_version_is_asked_once_and_let_go_with_its_model(make_slot):
    asked = []

    def answer(columns):
        asked.append(1)
        return Output(columns["x"])

    spec = ModelSpec(1, "regression", (Column("x", "double"),))
    kept, one = Signatures(), make_slot(1, answer, spec)
    assert kept.known(one) is None
    assert kept.of(one) is kept.of(one) is kept.known(one)
    assert len(asked) == 1
    again = make_slot(1, answer, spec)
    kept.of(again)
    assert len(asked) == 2
    gone = weakref.ref(one.loaded)
    del one
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("classes", "prediction", "verb"),
    [
        ((), np.array([1.5]), "regress"),
        ((), np.array([1]), "regress"),
        ((), np.array(["a"], dtype=object), ""),
        ((0, 1), np.array([1]), ""),
    ],
)
def test_the_verb_is_one_that_the_model_can_answer(make_slot, classes, prediction, verb):
    spec = ModelSpec(1, "binary", (Column("x", "double"),), classes=classes)
    assert described(make_slot(1, lambda _: Output(prediction), spec)).verb == verb
