"""TensorFlow's tensors and examples to tensors and back.

>>> proto = message("tensorflow.TensorProto")(dtype=2, double_val=[1.5, 2.0])
>>> _ = proto.tensor_shape.dim.add(size=2)
>>> tensor("age", proto).data.tolist()
[1.5, 2.0]
>>> to_proto(tensor("age", proto)) == proto
True

https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/framework/tensor.proto and
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/example/feature.proto: elements
stand in `tensor_content`, little-endian and row-major, or in the field of their type, where one
value stands for as many as the shape says. Fewer than that are refused, not filled up.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from lifecycle.errors import DataError
from lifecycle.records import ModelSpec
from lifecycle.serve.protocols.tensors import (
    BYTES,
    DATATYPES,
    Tensor,
    dims,
    of_raw,
    of_values,
    shown,
)
from lifecycle.serve.rpc.messages import message

# TensorFlow's number of a datatype, and the field that holds its elements
TYPES = {
    "FP32": (1, "float_val"),
    "FP64": (2, "double_val"),
    "INT32": (3, "int_val"),
    "UINT8": (4, "int_val"),
    "INT16": (5, "int_val"),
    "INT8": (6, "int_val"),
    "BYTES": (7, "string_val"),
    "INT64": (9, "int64_val"),
    "BOOL": (10, "bool_val"),
    "UINT16": (17, "int_val"),
    "FP16": (19, "half_val"),
    "UINT32": (22, "uint32_val"),
    "UINT64": (23, "uint64_val"),
}
_DATATYPES = {number: (name, field) for name, (number, field) in TYPES.items()}
FILLED = 1 << 20  # elements that one value may stand for


def tensor(name: str, proto: Any) -> Tensor:
    """A TensorProto as a tensor.

    Raises:
        DataError: type, shape and elements do not fit; names the tensor.
    """
    found = _DATATYPES.get(proto.dtype)
    if found is None:
        raise DataError(
            f"tensor {shown(name)} is of the type {proto.dtype}, which is not read here",
            fix="send DT_DOUBLE, DT_FLOAT, DT_INT64, DT_STRING, DT_BOOL or another whole number's",
        )
    datatype, field = found
    if proto.tensor_shape.unknown_rank:
        raise DataError(f"tensor {shown(name)} has no shape", fix="send one")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    filled = [item.name for item, _ in proto.ListFields() if item.name.endswith("_val")]
    if proto.tensor_content:
        filled.append("tensor_content")
    for other in filled:
        if other not in (field, "tensor_content") or len(filled) > 1:
            raise DataError(
                f"tensor {shown(name)} is of {datatype} and has elements in {' and '.join(filled)}",
                fix=f"send them in {field} alone",
            )
    if proto.tensor_content:
        if datatype == BYTES:
            raise DataError(
                f"tensor {shown(name)} is of DT_STRING and has tensor_content",
                fix="send its elements in string_val",
            )
        return of_raw(name, datatype, shape, proto.tensor_content)
    values = list(getattr(proto, field))
    if len(values) == 1 and shape and min(shape) >= 0 and prod(shape) != 1:
        if prod(shape) > FILLED:
            raise DataError(
                f"tensor {shown(name)} has the shape {dims(shape)} and one element",
                fix=f"send all elements; one stands for {FILLED} at most",
            )
        values *= prod(shape)
    if datatype == "FP16":  # its field holds the bits
        bits = of_values(name, "UINT16", shape, values)
        return Tensor(name, datatype, shape, np.asarray(bits.data).view(np.float16))
    return of_values(name, datatype, shape, values)


def to_proto(one: Tensor) -> Any:
    """A tensor as a TensorProto with its elements in the field of their type."""
    number, field = TYPES[one.datatype]
    made = message("tensorflow.TensorProto")(dtype=number)
    made.tensor_shape.SetInParent()
    for size in one.shape:
        made.tensor_shape.dim.add(size=size)
    getattr(made, field).extend(elements(one, bits=True))
    return made


def elements(one: Tensor, *, bits: bool = False) -> list[Any]:
    """A tensor's elements as messages hold them: Python's numbers, bytes for text.

    Args:
        one: the tensor.
        bits: give 16-bit floats as their bits.
    """
    if one.datatype == BYTES:
        return [
            item if isinstance(item, bytes) else str(item).encode("utf-8", "replace")
            for item in one.data
        ]
    data = np.asarray(one.data, DATATYPES[one.datatype])
    if bits and one.datatype == "FP16":
        data = data.view(np.uint16)
    found: list[Any] = data.tolist()
    return found


_KINDS = {"bytes_list": BYTES, "float_list": "FP32", "int64_list": "INT64"}


def of_examples(given: Any, spec: ModelSpec) -> list[Tensor]:
    """The Examples of an Input as one tensor a column; a feature that one lacks is null.

    Args:
        given: a tensorflow.serving.Input; features of a context belong to all of its examples.
        spec: a boolean column takes 0 and 1, since examples hold no booleans.

    Raises:
        DataError: there are no examples, or a feature is no single value; names it and the row.
    """
    kind = given.WhichOneof("kind")
    listed = getattr(given, kind) if kind else None
    if listed is None or not listed.examples:
        raise DataError("there are no examples", fix="send at least one in example_list")
    shared = dict(listed.context.features.feature) if kind == "example_list_with_context" else {}
    rows = [{**shared, **example.features.feature} for example in listed.examples]
    booleans = {column.name for column in spec.features if column.dtype == "boolean"}
    names = sorted({name for row in rows for name in row})  # a map has no order of its own
    return [_column(name, [row.get(name) for row in rows], name in booleans) for name in names]


def _column(name: str, features: Sequence[Any], boolean: bool) -> Tensor:
    kinds: set[str] = set()
    cells: list[Any] = []
    for row, feature in enumerate(features):
        kind = feature.WhichOneof("kind") if feature is not None else None
        values = getattr(feature, kind).value if kind else ()
        if len(values) > 1:
            raise DataError(
                f"feature {shown(name)} of example {row} has {len(values)} values",
                fix="a column takes one",
            )
        if values:
            kinds.add(_KINDS[kind or ""])
        cells.append(values[0] if values else None)
    if len(kinds) > 1 and BYTES in kinds:
        raise DataError(
            f"feature {shown(name)} is text in some examples and a number in others",
            fix="send one of the two",
        )
    datatype = kinds.pop() if len(kinds) == 1 else "FP64"
    if boolean and datatype == "INT64" and set(cells) <= {0, 1, None}:
        datatype, cells = "BOOL", [None if cell is None else bool(cell) for cell in cells]
    return of_values(name, datatype, (len(cells),), cells)
