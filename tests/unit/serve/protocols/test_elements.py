import json
from functools import reduce

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lifecycle.errors import DataError
from lifecycle.serve.protocols.bodies import parsed
from lifecycle.serve.protocols.elements import listed, read
from lifecycle.serve.protocols.tensors import DATATYPES, Tensor


@given(
    array=arrays.arrays(np.int64, arrays.array_shapes(max_dims=3, max_side=3)),
    flat=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_nested_and_flat_data_are_the_same(array, flat):
    data = json.dumps((array.ravel() if flat else array).tolist()).encode()
    tensor = read("x", "INT64", array.shape, data)
    assert tensor.shape == array.shape
    assert tensor.data.tolist() == array.ravel().tolist()


CONTRADICTIONS = [
    ([2], "[1, 2, 3]", "3 elements"),
    ([3], "[1, 2]", "2 elements"),
    ([2, 2], "[[1, 2], [3]]", "a list of 1"),
    ([2, 2], "[[1, 2, 3], [4]]", "a list of 3"),
    ([2, 1], "[[1, 2]]", "a list of 1"),
    ([1, 2], "[[1], [2]]", "a list of 2"),
    ([2], "[[1], [2]]", "2 lists deep"),
    ([2, 1], "[[[1]], [[2]]]", "3 lists deep"),
    ([2**62], "[1]", "1 elements"),
    ([2**62, 1], "[[1]]", "a list of 1"),
    ([0], "[1]", "1 elements"),
    ([], "[1, 2]", "2 elements"),
]


@pytest.mark.parametrize(("shape", "data", "reason"), CONTRADICTIONS)
def test_a_shape_that_contradicts_the_data(shape, data, reason):
    with pytest.raises(DataError, match=f"tensor 'x' has the shape.*{reason}"):
        read("x", "INT32", shape, data.encode())


WRONG = [
    ("FP64", '["1"]', "got `str`"),
    ("FP64", "[true]", "got `bool`"),
    ("FP64", "[[1], 2]", "got `int`|lists deep"),
    ("FP64", "[{}]", "got `object`"),
    ("FP64", "7", "expected `array`"),
    ("FP64", "null", "expected `array`"),
    ("FP64", "[1e999]", "out of range"),
    ("INT32", "[1.5]", "got `float`"),
    ("INT32", "[1.0]", "got `float`"),
    ("INT32", "[2147483648]", "no INT32"),
    ("UINT8", "[-1]", "no UINT8"),
    ("INT64", "[99999999999999999999]", "no INT64"),
    ("BOOL", "[1]", "got `int`"),
    ("BYTES", "[1]", "got `int`"),
    ("FP32", "[1e39]", "out of the range of FP32"),
    ("TEXT", "[1]", "datatype 'TEXT', which is not known"),
]


@pytest.mark.parametrize(("datatype", "data", "reason"), WRONG)
def test_elements_of_another_type(datatype, data, reason):
    with pytest.raises(DataError, match=f"tensor 'x'.*({reason})"):
        read("x", datatype, [1], data.encode())


def test_data_nested_without_end():
    data = b"[" * 5000 + b"]" * 5000
    with pytest.raises(DataError, match="tensor 'x' has the shape"):
        read("x", "FP64", [1], data)
    with pytest.raises(DataError, match="more than 8 dimensions"):
        read("x", "FP64", [1] * 9, b"[" * 9 + b"1" + b"]" * 9)


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_goes_to_json_and_back(datatype):
    data = np.array([0, 1], dtype=DATATYPES[datatype])
    text = json.dumps(listed(Tensor("x", datatype, (2,), data))).encode()
    assert list(read("x", datatype, [2], text).data) == data.tolist()


def test_bytes_that_are_no_text_are_still_json():
    said = listed(Tensor("x", "BYTES", (3,), [b"a", b"\xff", "é"]))
    assert said == ["a", "\ufffd", "é"]


POINT = msgspec.json.Decoder(dict[str, list[int]])
BODIES = [
    (b"", "is not JSON"),
    (b'{"a": [1', "is not JSON"),
    (b'{"a": [NaN]}', "JSON has no NaN"),
    (b'{"a": [-Infinity]}', "JSON has no NaN"),
    (b'{"a": [true]}', r"got `bool` at \$\[\.\.\.\]\[0\]"),
    (b"[]", "expected `object`, got `array`"),
]


@pytest.mark.parametrize(("body", "reason"), BODIES)
def test_bodies_that_are_not_of_the_form(body, reason):
    with pytest.raises(DataError, match=f"the thing.*({reason})"):
        parsed(POINT, body, what="the thing")


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b'"\xff"', "UTF-8|not JSON"), (b"[" * 100_000, "deeply"), (b"[1", "not JSON")],
)
def test_bodies_that_are_no_json_at_all(body, reason):
    with pytest.raises(DataError, match=f"the body is.*({reason})"):
        parsed(msgspec.json.Decoder(), body)


def test_messages_stay_short():
    body = reduce(lambda text, _: text + text, range(12), "x" * 10)
    with pytest.raises(DataError) as caught:
        parsed(POINT, json.dumps({"a": [body]}).encode())
    assert len(str(caught.value)) < 500
