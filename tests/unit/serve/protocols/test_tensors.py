import struct

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lifecycle.errors import DataError
from lifecycle.models.predicting import Output
from lifecycle.serve.protocols.tensors import (
    DATATYPES,
    Tensor,
    of_raw,
    of_values,
    tensors_of,
    to_raw,
)

EDGES = [
    ("INT8", 127, 128),
    ("INT16", -32768, -32769),
    ("INT32", 2**31 - 1, 2**31),
    ("INT64", -(2**63), -(2**63) - 1),
    ("UINT8", 255, 256),
    ("UINT16", 65535, -1),
    ("UINT32", 2**32 - 1, 2**32),
    ("UINT64", 2**64 - 1, 2**64),
]


@pytest.mark.parametrize(("datatype", "last", "first_out"), EDGES)
def test_whole_numbers_fit_their_datatype_or_are_refused(datatype, last, first_out):
    assert of_values("x", datatype, [1], [last]).data.tolist() == [last]
    with pytest.raises(DataError, match=f"tensor 'x' holds a value that is no {datatype}"):
        of_values("x", datatype, [1], [first_out])


@pytest.mark.parametrize(("datatype", "value"), [("FP32", 1e39), ("FP16", 70000.0)])
def test_numbers_beyond_a_narrow_type_are_refused_and_not_made_infinite(datatype, value):
    with pytest.raises(DataError, match=f"'x'.*out of the range of {datatype}"):
        of_values("x", datatype, [1], [value])


def test_null_is_nan_among_numbers_and_stays_elsewhere():
    assert np.isnan(of_values("x", "FP32", [1], [None]).data[0])
    assert of_values("x", "INT64", [2], [1, None]).data == [1, None]
    assert of_values("x", "BOOL", [1], [None]).data == [None]
    assert of_values("x", "BYTES", [2], ["a", None]).data == ["a", None]


@pytest.mark.parametrize("shape", [[3], [1], [2, 2], [0], [2**62], [2**62, 2**62]])
def test_a_shape_that_contradicts_the_values(shape):
    with pytest.raises(DataError, match=r"tensor 'x' has the shape \[.*\] and 2 elements"):
        of_values("x", "FP64", shape, [1.0, 2.0])


@pytest.mark.parametrize("make", [of_values, of_raw])
def test_a_datatype_that_is_not_known_and_a_negative_size(make):
    with pytest.raises(DataError, match=r"tensor 'x' is of datatype 'BF16'.*FP64"):
        make("x", "BF16", [1], b"")
    with pytest.raises(DataError, match=r"tensor 'x' has the shape \[2, -1\]: a size is negative"):
        make("x", "FP64", [2, -1], b"")


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("off", [-1, 1, 8])
def test_raw_bytes_of_another_length(datatype, off):
    raw = bytes(2 * DATATYPES[datatype].itemsize + off)
    with pytest.raises(DataError, match=f"tensor 'x' of {datatype} and shape \\[2\\]"):
        of_raw("x", datatype, [2], raw)


def test_a_huge_shape_allocates_nothing():
    with pytest.raises(DataError, match="36893488147419103232 bytes, and 8 came"):
        of_raw("x", "FP64", [2**62], bytes(8))


def test_bool_bytes_are_zero_and_one():
    assert of_raw("x", "BOOL", [2], b"\x00\x01").data.tolist() == [False, True]
    with pytest.raises(DataError, match="tensor 'x' is BOOL"):
        of_raw("x", "BOOL", [2], b"\x00\x02")


def element(item):
    return struct.pack("<I", len(item)) + item


def test_bytes_stand_behind_their_lengths():
    raw = element(b"pro") + element(b"") + element("é".encode())
    assert of_raw("x", "BYTES", [3], raw).data == [b"pro", b"", "é".encode()]
    assert to_raw(Tensor("x", "BYTES", (3,), ["pro", b"", "é"])) == raw


BROKEN = {
    "a length that is cut off": (b"\x03\x00", "ends within the length of element 0"),
    "a length past the end": (
        struct.pack("<I", 2**32 - 1) + b"a",
        "before element 0, which is said to be 4294967295",
    ),
    "a second one past the end": (element(b"a") + b"\x05\x00\x00\x00ab", "before element 1"),
    "one element too many": (element(b"a") * 3, "3 elements"),
    "one too few": (element(b"a"), "1 elements"),
    "nothing": (b"", "0 elements"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_bytes_that_are_broken(what):
    raw, reason = BROKEN[what]
    with pytest.raises(DataError, match=f"tensor 'plan'.*{reason}"):
        of_raw("plan", "BYTES", [2], raw)


@given(data=st.data(), datatype=st.sampled_from(sorted(DATATYPES)))
@settings(max_examples=60, deadline=None)
def test_raw_bytes_come_back_as_they_were(data, datatype):
    shape = data.draw(arrays.array_shapes(max_dims=2, max_side=4))
    array = data.draw(arrays.arrays(DATATYPES[datatype], shape))
    raw = array.tobytes()
    tensor = of_raw("x", datatype, shape, raw)
    assert tensor.shape == shape
    assert to_raw(tensor) == raw
    np.testing.assert_array_equal(tensor.data.reshape(shape), array)


@given(st.lists(st.one_of(st.binary(max_size=9), st.text(max_size=9)), max_size=6))
@settings(max_examples=60, deadline=None)
def test_elements_of_bytes_come_back(items):
    encoded = [
        item if isinstance(item, bytes) else item.encode("utf-8", "replace") for item in items
    ]
    tensor = Tensor("x", "BYTES", (len(items),), items)
    assert of_raw("x", "BYTES", [len(items)], to_raw(tensor)).data == encoded


@given(raw=st.binary(max_size=40), size=st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_or_refused_by_name(raw, size):
    try:
        tensor = of_raw("plan", "BYTES", [size], raw)
    except DataError as error:
        said = str(error)
    else:
        said = "tensor 'plan'"
        assert to_raw(tensor) == raw
    assert "tensor 'plan'" in said


SAID = [
    (np.array([1.5, 2.0]), "FP64", [1.5, 2.0]),
    (np.array([1, 2], dtype=np.int32), "INT32", [1, 2]),
    (np.array([1, 2], dtype=">i8"), "INT64", [1, 2]),
    (np.array([True, False]), "BOOL", [True, False]),
    (np.array([1.0, 2.0], dtype=np.longdouble), "FP64", [1.0, 2.0]),
    (np.array(["no", "yes"], dtype=object), "BYTES", ["no", "yes"]),
    (np.array(["no", "yes"]), "BYTES", ["no", "yes"]),
    (np.array([1, 2], dtype=object), "INT64", [1, 2]),
    (np.array([True, False], dtype=object), "BOOL", [True, False]),
    (np.array([2**70, 1], dtype=object), "BYTES", ["1180591620717411303424", "1"]),
    (np.array(["a", None], dtype=object), "BYTES", ['"a"', "null"]),
    (np.array([{"a": 1}, [2]], dtype=object), "BYTES", ['{"a":1}', "[2]"]),
    (np.array(["2026-01-31"] * 2, dtype="datetime64[s]"), "BYTES", ["2026-01-31T00:00:00"] * 2),
]


@pytest.mark.parametrize(("prediction", "datatype", "expected"), SAID)
def test_predictions_of_every_kind_are_a_tensor(prediction, datatype, expected):
    (tensor,) = tensors_of(Output(prediction))
    assert (tensor.name, tensor.datatype, tensor.shape) == ("predictions", datatype, (2,))
    assert list(tensor.data) == expected


def test_scores_are_probabilities_row_by_row():
    scores = np.array([[0.2, 0.8], [0.7, 0.3], [0.5, 0.5]])
    said = {tensor.name: tensor for tensor in tensors_of(Output(np.array([1, 0, 0]), scores))}
    assert list(said) == ["predictions", "probabilities"]
    assert said["probabilities"].shape == (3, 2)
    assert list(said["probabilities"].data) == [0.2, 0.8, 0.7, 0.3, 0.5, 0.5]


RAW = {
    "two values a row": (np.array([[1.0, 2.0], [3.0, 4.0]]), {"predictions": (2, 2)}),
    "a frame": (pd.DataFrame({"low": [1.0, 2.0], "name": ["a", "b"]}), {"low": (2,), "name": (2,)}),
    "a series": (pd.Series([1, 2]), {"predictions": (2,)}),
    "a dict of columns": ({"a": [1, 2], "b": ["x", "y"]}, {"a": (2,), "b": (2,)}),
    "a list of texts": (["a", "b"], {"predictions": (2,)}),
    "a list of objects": ([{"a": 1}, {"a": 2}], {"predictions": (2,)}),
}


@pytest.mark.parametrize("what", RAW)
def test_what_mlflow_answers_with_otherwise(what):
    raw, expected = RAW[what]
    said = tensors_of(Output(np.array([0.0, 0.0]), raw=raw))
    assert {tensor.name: tensor.shape for tensor in said} == expected
    assert all(len(tensor.data) == np.prod(tensor.shape) for tensor in said)
