"""Requests to models without plain columns: MLflow's own reading, and stricter where it guesses."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.pyfunc.scoring_server import infer_and_parse_data
from mlflow.types import ColSpec, Schema, TensorSpec
from mlflow.types.schema import Array, Map, Object, Property
from sklearn.linear_model import LinearRegression

from lifecycle.errors import DataError, ModelRefused
from lifecycle.models.forms import Forms, needed


def signed(*specs, **more):
    return {"signature": {"inputs": Schema(list(specs)).to_json()}, **more}


def tensor(*shape, kind="float64", name=None):
    return TensorSpec(np.dtype(kind), shape, name)


def forms(*specs):
    return needed(signed(*specs), plain=False)


@pytest.mark.parametrize(
    ("described", "plain", "wanted"),
    [
        (signed(ColSpec("double", "x"), ColSpec("datetime", "t")), True, False),
        (signed(ColSpec("double", "x"), ColSpec("binary", "w")), True, True),
        (signed(ColSpec(Array("double"), "x")), True, True),
        (signed(ColSpec(Object([Property("a", "long")]), "x")), True, True),
        (signed(ColSpec(Map("long"), "x")), False, True),
        (signed(ColSpec("double")), False, True),
        (signed(tensor(-1, 2)), False, True),
        (signed(tensor(-1, 2, name="x")), True, False),
        (signed(ColSpec("string"), is_signature_from_type_hint=True), False, True),
        ({}, False, True),
        ({"signature": None}, True, False),
    ],
)
def test_which_models_are_read_so(described, plain, wanted):
    assert (needed(described, plain=plain) is not None) == wanted


@pytest.mark.parametrize("text", ["{", "7", '[{"type": "odd"}]', '[{"type": "tensor"}]'])
def test_a_damaged_signature_is_the_models_fault(text):
    with pytest.raises(ModelRefused, match="signature in MLmodel"):
        needed({"signature": {"inputs": text}}, plain=False)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2), min_size=1, max_size=3),
    st.sampled_from(["float64", "float32"]),
    st.sampled_from(["instances", "inputs"]),
)
def test_arrays_are_those_of_mlflow(rows, kind, form):
    schema = Schema([tensor(-1, 2, kind=kind)])
    found = Forms(schema.to_json()).json(form, json.dumps(rows).encode()).data
    np.testing.assert_array_equal(found, infer_and_parse_data({form: rows}, schema))
    assert found.dtype == kind


REFUSED = [
    (tensor(-1, 2), "inputs", "[[1, true]]", "got `bool`"),
    (tensor(-1, 2), "inputs", '[[1, "2"]]', "got `str`"),
    (tensor(-1, 2), "instances", "[[1, null]]", "got `null`"),
    (tensor(-1, 2), "instances", "[[1, 2, 3]]", "does not match expected shape"),
    (tensor(-1, 2), "inputs", "[1, 2]", "does not match expected shape"),
    (tensor(-1, 2), "inputs", "[]", "no rows"),
    (tensor(-1, 2), "inputs", "[[1, 2], [3]]", "'inputs'"),
    (tensor(-1, 2), "inputs", "7", "'inputs'"),
    (tensor(-1, 2), "inputs", '{"x": [[1, 2]]}', "'inputs' cannot be read"),
    (tensor(-1, 1, kind="float32"), "inputs", "[[1e39]]", "out of range"),
    (tensor(-1, 1, 1, kind="float32"), "instances", "[[[1e39]]]", "out of range"),
    (tensor(-1, 1, kind="float32", name="x"), "inputs", '{"x": [[1e39]]}', "'x' is out of range"),
    (tensor(-1, kind="int64"), "inputs", "[1.5]", "Expected `int`, got `float`"),
    (tensor(-1, kind="int64"), "inputs", "[99999999999999999999]", "'inputs'"),
    (tensor(-1, kind="bool"), "inputs", "[1]", "Expected `bool`"),
    (tensor(-1, kind="str"), "inputs", "[1]", "Expected `str`"),
    (tensor(-1, 2, name="x"), "instances", '[{"x": [1, "a"]}]', "Expected `float`"),
    (tensor(-1, 2, name="x"), "inputs", '{"y": [[1, 2]]}', "missing inputs ['x']"),
    (tensor(-1, 2, name="x"), "inputs", '{"x": [[1, true]]}', "got `bool`"),
    (ColSpec(Array("double"), "v"), "dataframe_records", '[{"v": 1}]', "column v"),
    (ColSpec(Array("double"), "v"), "dataframe_records", '[{"v": ["a"]}]', "column v"),
    (ColSpec(Array("double"), "v"), "dataframe_records", '[{"w": [1]}]', "inputs ['v']"),
    (ColSpec(Map("long"), "m"), "dataframe_records", '[{"m": [1]}]', "column m"),
    (ColSpec("double"), "dataframe_split", '{"data": [[1], [2, 3]]}', "different lengths"),
    (ColSpec("double"), "dataframe_records", "[]", "no rows"),
    (ColSpec("binary", "w"), "dataframe_records", '[{"w": "?"}]', "'w' of row 0 is not base64"),
    (ColSpec("binary", "w"), "dataframe_records", '[{"w": 7}]', "'w' of row 0 is not base64"),
]


@pytest.mark.parametrize(("spec", "form", "text", "said"), REFUSED)
def test_what_does_not_fit_is_one_clear_error(spec, form, text, said):
    with pytest.raises(DataError) as error:
        forms(spec).json(form, text.encode())
    assert said in str(error.value)
    assert len(str(error.value)) < 600


@settings(max_examples=120, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False)
        | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["x", "y", "data", "columns"]), inner, max_size=3)
        ),
        max_leaves=10,
    ),
    st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs"]),
)
def test_anything_is_read_or_refused(value, form):
    body = json.dumps(value).encode()
    for reader in (Forms(), forms(tensor(-1, 2)), forms(ColSpec(Array("double"), "x"))):
        try:
            found = reader.json(form, body)
        except DataError as error:
            assert error.what  # noqa: PT017 - either outcome is fine, a third is not
        else:
            lengths = {len(values) for values in found.values()}
            assert len(lengths) == 1
            assert lengths != {0}


def test_what_goes_to_the_log_is_one_array_a_column():
    given = Forms().json("inputs", b"[[1, 2.5], [3, 4]]")
    assert {name: values.tolist() for name, values in given.items()} == {"0": [1, 3], "1": [2.5, 4]}
    given = forms(tensor(-1, 1, 2)).json("inputs", b"[[[1, 2]], [[3, 4]]]")
    assert given["0"].tolist() == ["[[1.0, 2.0]]", "[[3.0, 4.0]]"]
    assert given.data.shape == (2, 1, 2)
    given = Forms().frame(
        pd.DataFrame({"a": [1.5, None], "b": ["x", float("nan")], "c": [[1], {}]})
    )
    assert np.isnan(given["a"][1])
    assert given["b"].tolist() == ["x", None]
    assert given["c"].tolist() == ["[1]", "{}"]


def test_wide_arrays_are_one_column_of_the_log():
    given = Forms().json("inputs", json.dumps([[0.5] * 1001] * 2).encode())
    assert list(given) == ["0"]
    assert len(json.loads(given["0"][0])) == 1001


def test_an_estimator_knows_its_columns():
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [0.0, 1.0]})
    reader = Forms().of(LinearRegression().fit(frame, [1, 2]))
    assert list(reader.frame(frame[["b", "a"]]).data) == ["a", "b"]
    for other, said in (
        (frame[["a"]], "column 'b' is missing"),
        (frame.assign(c=1), "column 'c' is not known"),
        (frame.set_axis(["a", "a"], axis=1), "column 'a' is there twice"),
    ):
        with pytest.raises(DataError, match=said):
            reader.frame(other)
    with pytest.raises(DataError, match="no rows of 2 values"):
        reader.json("inputs", b"[[1, 2, 3]]")
    assert reader.json("instances", b"[[1, 2]]").data.tolist() == [[1, 2]]


def test_tables_are_read_by_pandas():
    given = Forms().csv("a,b\n1,x\n2.5,\n")
    assert given["a"].tolist() == [1.0, 2.5]
    assert given["b"].tolist() == ["x", None]
    with pytest.raises(DataError, match="the body cannot be read"):
        Forms().csv("a\n1,2\n3,4,5\n")
    with pytest.raises(DataError, match="out of range"):
        Forms().csv("a\ninf\n")
    with pytest.raises(DataError, match="no rows"):
        Forms().frame(pd.DataFrame({"a": []}))


def test_columns_of_two_lengths_are_refused():
    with pytest.raises(DataError, match="different lengths: 'a' has 1, 'b' has 2"):
        Forms().json("inputs", b'{"a": [1], "b": [1, 2]}')
