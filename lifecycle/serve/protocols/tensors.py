"""Named, typed tensors: what the Open Inference Protocol and TensorFlow's gRPC speak.

>>> of_values("age", "FP64", (2, 1), [31, None]).data.tolist()
[31.0, nan]
>>> of_raw("plan", "BYTES", (2,), bytes([3, 0, 0, 0]) + b"pro" + bytes(4)).data
[b'pro', b'']

Datatypes and the raw form are those of the Open Inference Protocol and its binary extension,
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
and https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md:
little-endian, row-major; each element of BYTES behind its length in four bytes.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np

from lifecycle.errors import DataError
from lifecycle.models.predicting import Array, Output
from lifecycle.serve.engine import Answer
from lifecycle.serve.jsonable import jsonable

BYTES = "BYTES"
DATATYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "BOOL": np.dtype("?"),
        "UINT8": np.dtype("u1"),
        "UINT16": np.dtype("<u2"),
        "UINT32": np.dtype("<u4"),
        "UINT64": np.dtype("<u8"),
        "INT8": np.dtype("i1"),
        "INT16": np.dtype("<i2"),
        "INT32": np.dtype("<i4"),
        "INT64": np.dtype("<i8"),
        "FP16": np.dtype("<f2"),
        "FP32": np.dtype("<f4"),
        "FP64": np.dtype("<f8"),
    }
)
_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
Parameters = Mapping[str, Any]


@dataclass(slots=True)
class Tensor:
    """A named array of one datatype.

    >>> of_values("x", "INT8", (2,), [1, 2]).data.tolist()
    [1, 2]

    Attributes:
        name: of a column, or of all.
        datatype: BOOL, INT8 … INT64, UINT8 … UINT64, FP16, FP32, FP64, BYTES.
        shape: no entry is negative.
        data: flat and row-major, as many elements as the shape says: an array or a list, in which
            None is null; always a list for BYTES.
        parameters: the tensor's own.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Array | list[Any] = field(repr=False)
    parameters: Parameters = field(default_factory=dict)


def of_values(
    name: str,
    datatype: str,
    shape: Sequence[int],
    values: Sequence[Any],
    parameters: Parameters | None = None,
) -> Tensor:
    """A tensor of values that have the datatype's Python type; None is null.

    Args:
        name: of the tensor.
        datatype: as the protocol names it.
        shape: as it was sent.
        values: flat and row-major; str or bytes for BYTES.
        parameters: the tensor's own.

    Raises:
        DataError: the datatype is not known, the shape contradicts the values, or one of them is
            out of the datatype's range; names the tensor.
    """
    dtype, size = checked(name, datatype, shape)
    if len(values) != size:
        raise DataError(
            f"tensor {shown(name)} has the shape {dims(shape)} and {len(values)} elements",
            fix="send as many elements as the shape says",
        )
    data: Array | list[Any]
    if dtype is None or (dtype.kind != "f" and None in values):
        data = list(values)
    else:
        data = _array(name, datatype, dtype, values)
    return Tensor(name, datatype, tuple(shape), data, parameters or {})


def of_raw(
    name: str,
    datatype: str,
    shape: Sequence[int],
    raw: bytes,
    parameters: Parameters | None = None,
) -> Tensor:
    """A tensor of the bytes of the binary extension, or of `raw_input_contents`.

    Raises:
        DataError: datatype, shape and bytes do not fit; names the tensor.
    """
    dtype, size = checked(name, datatype, shape)
    data: Array | list[Any]
    if dtype is None:
        data = _elements(name, raw)
        if len(data) != size:
            raise DataError(
                f"tensor {shown(name)} has the shape {dims(shape)} and {len(data)} elements",
                fix="send as many elements as the shape says",
            )
    elif len(raw) != size * dtype.itemsize:
        raise DataError(
            f"tensor {shown(name)} of {datatype} and shape {dims(shape)} is "
            f"{size * dtype.itemsize} bytes, and {len(raw)} came",
            fix="send the elements one behind the other",
        )
    elif dtype.kind == "b" and max(raw, default=0) > 1:
        raise DataError(f"tensor {shown(name)} is BOOL: its bytes are 0 and 1")
    else:
        data = np.frombuffer(raw, dtype)
    return Tensor(name, datatype, tuple(shape), data, parameters or {})


def to_raw(tensor: Tensor) -> bytes:
    """The elements as the binary extension writes them.

    >>> list(to_raw(Tensor("x", "BYTES", (1,), ["é"])))
    [2, 0, 0, 0, 195, 169]
    """
    if tensor.datatype == BYTES:
        encoded = [
            item if isinstance(item, bytes) else str(item).encode("utf-8", "replace")
            for item in tensor.data
        ]
        return b"".join(part for item in encoded for part in (struct.pack("<I", len(item)), item))
    return np.asarray(tensor.data, DATATYPES[tensor.datatype]).tobytes()


def outputs_of(answer: Answer) -> list[Tensor]:
    """An answer as tensors, see `tensors_of`."""
    return tensors_of(answer.output)


def tensors_of(output: Output) -> list[Tensor]:
    """What a model said as tensors: `predictions`, `probabilities` where there are scores.

    >>> [tensor.name for tensor in tensors_of(Output(np.array([1]), np.array([[0.2, 0.8]])))]
    ['predictions', 'probabilities']

    A model that answers a frame gives one tensor for each of its columns instead of `predictions`.
    """
    raw = output.prediction if output.raw is None else output.raw
    found: dict[str, Tensor] = {}
    if hasattr(raw, "columns") or isinstance(raw, Mapping):
        for name in raw:
            found[str(name)] = _answered(str(name), np.asarray(raw[name]))
    elif hasattr(raw, "to_numpy"):
        found["predictions"] = _answered("predictions", raw.to_numpy())
    elif isinstance(raw, np.ndarray):
        found["predictions"] = _answered("predictions", raw)
    else:
        cells = np.empty(len(output.prediction), dtype=object)
        cells[:] = list(raw)
        found["predictions"] = _answered("predictions", np.array(cells.tolist(), dtype=object))
    if output.scores is not None:
        scores = np.asarray(output.scores)
        found.setdefault("probabilities", _answered("probabilities", scores))
    return list(found.values())


def _answered(name: str, values: Array) -> Tensor:
    array = np.atleast_1d(values)
    flat = array.reshape(-1)
    datatype = _NAMES.get(array.dtype.newbyteorder("<"))
    if datatype:
        return Tensor(name, datatype, array.shape, flat)
    if array.dtype.kind == "f":  # long doubles
        return Tensor(name, "FP64", array.shape, flat.astype(np.float64))
    cells = (flat.astype(str) if array.dtype.kind in "MSU" else flat).tolist()
    kinds = {type(cell) for cell in cells}
    if kinds <= {str, bytes}:
        return Tensor(name, BYTES, array.shape, cells)
    for kind, plain in ((bool, "BOOL"), (int, "INT64"), (float, "FP64")):
        if kinds == {kind} and (kind is not int or all(abs(cell) < 2**63 for cell in cells)):
            return Tensor(name, plain, array.shape, np.array(cells, dtype=DATATYPES[plain]))
    texts = [msgspec.json.encode(jsonable(cell)).decode() for cell in cells]
    return Tensor(name, BYTES, array.shape, texts, {"content_type": "pd_json"})


def checked(name: str, datatype: str, shape: Sequence[int]) -> tuple[np.dtype[Any] | None, int]:
    """The datatype's array type, None for BYTES, and how many elements the shape has.

    Raises:
        DataError: the datatype is not known, or a size is negative; names the tensor.
    """
    dtype = DATATYPES.get(datatype)
    if dtype is None and datatype != BYTES:
        raise DataError(
            f"tensor {shown(name)} is of datatype {shown(datatype)}, which is not known",
            fix=f"send one of {', '.join(DATATYPES)}, {BYTES}",
        )
    if min(shape, default=0) < 0:
        raise DataError(f"tensor {shown(name)} has the shape {dims(shape)}: a size is negative")
    return dtype, prod(shape)


def _array(name: str, datatype: str, dtype: np.dtype[Any], values: Sequence[Any]) -> Array:
    try:
        if dtype.kind != "f":
            return np.array(values, dtype)
        wide = np.array(values, np.float64)
        if dtype == wide.dtype:
            return wide
    except (OverflowError, ValueError, TypeError):
        raise DataError(f"tensor {shown(name)} holds a value that is no {datatype}") from None
    with np.errstate(over="ignore"):
        narrow = wide.astype(dtype)
    if (np.isinf(narrow) & np.isfinite(wide)).any():
        raise DataError(
            f"tensor {shown(name)} holds a value that is out of the range of {datatype}"
        )
    return narrow


def _elements(name: str, raw: bytes) -> list[bytes]:
    """The elements of BYTES, each behind its length."""
    found: list[bytes] = []
    place, end = 0, len(raw)
    while place < end:
        if place + 4 > end:
            raise DataError(f"tensor {shown(name)} ends within the length of element {len(found)}")
        length = int.from_bytes(raw[place : place + 4], "little")
        place += 4 + length
        if place > end:
            raise DataError(
                f"tensor {shown(name)} ends before element {len(found)}, which is said to be "
                f"{length} bytes long",
                fix="put each element's length before it, four bytes, little-endian",
            )
        found.append(raw[place - length : place])
    return found


def shown(text: str) -> str:
    """A name as messages show it."""
    return repr(text[:100])


def dims(shape: Sequence[int]) -> str:
    """A shape as messages show it."""
    return f"[{', '.join(str(size) for size in shape[:10])}{', …' if len(shape) > 10 else ''}]"
