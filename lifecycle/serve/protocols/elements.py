"""The elements of a tensor as JSON: nested by its shape, or flat.

>>> read("x", "INT32", (2, 2), b"[[1, 2], [3, 4]]").data.tolist()
[1, 2, 3, 4]
>>> read("x", "INT32", (2, 2), b"[[1, 2, 3], [4]]")
Traceback (most recent call last):
    ...
lifecycle.errors.DataError: tensor 'x' has the shape [2, 2], and its data has a list of 3. ...
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from math import prod
from typing import Any

import msgspec

from lifecycle.errors import DataError
from lifecycle.serve.protocols.bodies import parsed
from lifecycle.serve.protocols.tensors import (
    BYTES,
    DATATYPES,
    Tensor,
    checked,
    dims,
    of_values,
    shown,
)

_DEEPEST = 8
_OPEN = re.compile(rb"\s*(?:\[\s*)*")


@lru_cache
def _decoder(datatype: str, depth: int) -> Any:
    kind: Any = {"BOOL": bool, "BYTES": str, "F": float}.get(
        "F" if datatype.startswith("FP") else datatype, int
    )
    kind = kind | None
    for _ in range(depth):
        kind = list[kind]
    return msgspec.json.Decoder(kind)


def read(
    name: str,
    datatype: str,
    shape: Sequence[int],
    data: Any,
    parameters: Mapping[str, Any] | None = None,
) -> Tensor:
    """A tensor of JSON data; null is null.

    Args:
        name: of the tensor.
        datatype: as the protocol names it.
        shape: as it was sent.
        data: JSON text, a list.
        parameters: the tensor's own.

    Raises:
        DataError: datatype, shape and data do not fit; names the tensor.
    """
    opened = _OPEN.match(data)
    depth = opened.group().count(b"[") if opened else 0
    if depth > 1 and depth != len(shape):
        raise DataError(
            f"tensor {shown(name)} has the shape {dims(shape)}, and its data is {depth} lists deep",
            fix="nest the data as the shape says, or send it flat",
        )
    if depth > _DEEPEST:
        raise DataError(f"tensor {shown(name)} has more than {_DEEPEST} dimensions")
    if datatype not in DATATYPES and datatype != BYTES:
        checked(name, datatype, shape)
    values = parsed(_decoder(datatype, max(depth, 1)), data, what=f"tensor {shown(name)}")
    if depth > 1:
        _same(name, shape, [len(values)], shape[0])
        for size in shape[1:]:
            _same(name, shape, [len(item) for item in values], size)
            values = list(chain.from_iterable(values))
    if datatype == "FP64" and len(values) == prod(shape) and min(shape, default=0) >= 0:
        return Tensor(name, datatype, tuple(shape), values, parameters or {})
    return of_values(name, datatype, shape, values, parameters)


def _same(name: str, shape: Sequence[int], lengths: Sequence[int], size: int) -> None:
    for length in lengths:
        if length != size:
            raise DataError(
                f"tensor {shown(name)} has the shape {dims(shape)}, and its data has a list of "
                f"{length}",
                fix="nest the data as the shape says, or send it flat",
            )


def listed(tensor: Tensor) -> list[Any]:
    """A tensor's elements as JSON types, flat.

    >>> listed(Tensor("x", "BYTES", (2,), [b"a", "b"]))
    ['a', 'b']
    """
    if not isinstance(tensor.data, list):
        found: list[Any] = tensor.data.tolist()
        return found
    return [
        item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in tensor.data
    ]
