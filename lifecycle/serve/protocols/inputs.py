"""Tensors of a request to model inputs, as strict as JSON.

>>> from lifecycle.records import Column, ModelSpec
>>> from lifecycle.serve.protocols.tensors import of_values
>>> spec = ModelSpec(1, "binary", (Column("age", "double"), Column("plan", "string")))
>>> age = of_values("age", "FP64", (2, 1), [31.0, 47.5])
>>> plan = of_values("plan", "BYTES", (2,), ["pro", b"basic"])
>>> rows = rows_of(Decoder(spec), [age, plan])
>>> rows.columns["age"].tolist(), rows.columns["plan"].tolist()
([31.0, 47.5], ['pro', 'basic'])

A number's column takes numbers of every datatype that lose nothing, a column of text takes BYTES.
NaN is null, and is refused where the model has seen no nulls. `content_type` is MLServer's
parameter, https://mlserver.readthedocs.io/en/stable/user-guide/content-type.html.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from math import isfinite
from types import MappingProxyType
from typing import Any, NoReturn

import msgspec
import numpy as np

from lifecycle.errors import DataError
from lifecycle.models.parameters import refuse
from lifecycle.models.predicting import Table
from lifecycle.records import Column
from lifecycle.serve.decode import Decoder
from lifecycle.serve.protocols.tensors import BYTES, DATATYPES, Parameters, Tensor, dims, shown
from lifecycle.serve.rows import Rows

# of an input of the type that MLflow's signature names
COLUMN_DATATYPES: Mapping[str, str] = MappingProxyType(
    {"double": "FP64", "float": "FP32", "long": "INT64", "integer": "INT32", "boolean": "BOOL"}
)
_WHOLE = tuple(name for name, dtype in DATATYPES.items() if dtype.kind in "iu")
_NUMBERS = (*_WHOLE, "FP16", "FP32", "FP64")
# the datatypes that a column can be made of; of other columns all
_MADE_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "double": _NUMBERS,
        "float": _NUMBERS,
        "long": _NUMBERS,
        "integer": _NUMBERS,
        "boolean": ("BOOL",),
        "string": (BYTES,),
        "binary": (BYTES,),
        "datetime": (BYTES, *_WHOLE),
    }
)
# parameters of a request that are the protocol's or its servers' own; all others are the model's
RESERVED = {
    "binary_data_output", "content_type", "headers", "priority", "sequence_end", "sequence_id",
    "sequence_start", "timeout",
}  # fmt: skip
CONTENT_TYPES = ("", "base64", "datetime", "np", "pd", "pd_json", "str")


def rows_of(
    decoder: Decoder, tensors: Sequence[Tensor], parameters: Parameters | None = None
) -> Rows:
    """What a request of tensors asks.

    Args:
        decoder: of the version that answers.
        tensors: one of shape (n,) or (n, 1) a column; or one of shape (n, features) with another
            name, and beside it at most the model's time, key and target.
        parameters: the request's; those that are not the protocol's own are the model's params.

    Raises:
        DataError: they are not what the signature asks for; names the tensor.
    """
    if not tensors:
        raise DataError("there are no inputs", fix="send one tensor for each column")
    names = [tensor.name for tensor in tensors]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"tensor {shown(twice)} is there twice", fix="send it once")
    params = {
        name: value
        for name, value in (parameters or {}).items()
        if name not in RESERVED and not name.startswith("triton_")
    }
    plain = decoder.names and decoder.forms is None
    rows = _typed(decoder, tensors) if plain else _as_json(decoder, tensors)
    if decoder.parameters is None:
        refuse(params)
        return rows
    if not params:
        return rows
    checked = decoder.parameters.checked(params)
    return Rows(rows.columns, rows.count, rows.time, rows.key, checked)


def _typed(decoder: Decoder, tensors: Sequence[Tensor]) -> Rows:
    columns = {column.name: column for column in decoder.spec.features}
    others = [item for item in tensors if item.name not in columns]
    block = [item for item in others if item.name not in decoder.extras]
    if len(block) == 1 and len(others) == len(tensors) and len(block[0].shape) == 2:
        rows = _as_block(block[0], decoder) if len(others) == 1 else None
        if rows is not None:
            return rows
        parts = _split(block[0], decoder)
        tensors = [*parts, *(item for item in others if item is not block[0])]
    names = [tensor.name for tensor in tensors]
    decoder.check_names(names)
    count = _count(tensors, columns)
    if not count:
        raise DataError("there are no rows", fix="send at least one")
    cells = [_cells(item, columns.get(item.name)) for item in tensors]
    layout = decoder.layout
    if layout is not None and len(tensors) == len(columns) and len(block) == len(others):
        found = dict(zip(names, cells, strict=True))
        table = Table(layout, list(zip(*(found[name] for name in layout.names), strict=True)))
        return Rows(table, count)
    return decoder.build(names, cells)


def _as_block(block: Tensor, decoder: Decoder) -> Rows | None:
    """One tensor of all features, of a model of doubles, without nulls; None: not so simple."""
    layout, data = decoder.layout, block.data
    count, width = block.shape
    if layout is None or layout.texts or width != len(layout.names) or not count:
        return None
    if isinstance(data, list):
        if block.datatype != "FP64" or None in data:
            return None
        cells = [tuple(data[place : place + width]) for place in range(0, len(data), width)]
        return Rows(Table(layout, cells), count)
    wide = data.astype(np.float64) if data.dtype.kind in "fiu" else None
    if wide is None or not np.isfinite(wide).all():
        return None
    return Rows(Table.of(layout, wide.reshape(count, width)), count)


def _split(block: Tensor, decoder: Decoder) -> list[Tensor]:
    """One tensor of all features as one tensor each."""
    count, width = block.shape
    if width != len(decoder.names):
        raise DataError(
            f"tensor {shown(block.name)} has {width} columns, the model has "
            f"{len(decoder.names)} features",
            fix="send one tensor for each column, or one with all features in their order",
        )
    kind, shape = block.datatype, (count,)
    return [
        Tensor(name, kind, shape, block.data[index::width], block.parameters)
        for index, name in enumerate(decoder.names)
    ]


def _count(tensors: Sequence[Tensor], columns: Mapping[str, Column]) -> int:
    """How many rows there are."""
    for tensor in tensors:
        shape = tensor.shape
        column = columns.get(tensor.name)
        flat = column is None or column.dtype in _MADE_OF
        if not shape or (flat and (len(shape) > 2 or shape[1:] not in ((), (1,)))):
            raise DataError(
                f"tensor {shown(tensor.name)} has the shape {dims(shape)}",
                fix="a column has the shape [rows] or [rows, 1]",
            )
    counts = {tensor.name: tensor.shape[0] for tensor in tensors}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{shown(name)} has {count}" for name, count in counts.items())
        raise DataError(f"the tensors have different lengths: {listed[:500]}", fix="send all rows")
    return next(iter(counts.values()))


def _cells(tensor: Tensor, column: Column | None) -> Sequence[Any]:
    """A tensor's elements with the types that `Decoder.build` wants of a column."""
    dtype = column.dtype if column else ""
    fits = tensor.datatype in _MADE_OF.get(dtype, (tensor.datatype,))
    if not fits:
        raise DataError(
            f"tensor {shown(tensor.name)} is of {tensor.datatype}, which the column's type "
            f"{dtype} cannot be made of",
            fix=f"send {COLUMN_DATATYPES.get(dtype, BYTES)}",
        )
    if tensor.datatype == BYTES:
        cells: Sequence[Any] = _texts(tensor, binary=dtype == "binary")
    elif dtype in ("double", "float", "long", "integer"):
        return _numbers(tensor, dtype, required=bool(column and column.required))
    else:
        cells = _listed(tensor, count=tensor.shape[0])
    if column and column.required and None in cells:
        _refuse(tensor, list(cells).index(None), "null", "the model has not seen nulls there")
    return cells


def _numbers(tensor: Tensor, dtype: str, *, required: bool) -> list[Any]:
    data = tensor.data
    whole = dtype in ("long", "integer")
    if isinstance(data, list):  # of JSON, so finite
        if (required or whole) and None in data:
            _refuse(tensor, data.index(None), "null", f"the column is {dtype} without nulls")
        if tensor.datatype == "FP64":
            return data
        return [None if cell is None else float(cell) for cell in data]
    if data.dtype.kind == "f":
        cells: list[Any] = data.tolist()
        if all(map(isfinite, cells)):
            return cells
        wrong = ~np.isfinite(data) if required or whole else np.isinf(data)
        if wrong.any():
            row = int(np.argmax(wrong))
            _refuse(tensor, row, str(data[row]), f"the column is {dtype} and takes numbers")
        return [None if cell != cell else cell for cell in cells]  # noqa: PLR0124 - NaN
    if whole:
        limits = np.iinfo(np.int64 if dtype == "long" else np.int32)
        wrong = (data > limits.max) | (data < limits.min)
        if wrong.any():
            row = int(np.argmax(wrong))
            _refuse(tensor, row, str(data[row]), f"the column is {dtype}")
    found: list[Any] = (data if whole else data.astype(np.float64)).tolist()
    return found


def _listed(tensor: Tensor, *, count: int) -> list[Any]:
    data = tensor.data
    if isinstance(data, list):
        return data
    if len(data) == count:
        return [None if item != item else item for item in data.tolist()]  # noqa: PLR0124 - NaN
    found: list[Any] = data.reshape(tensor.shape).tolist()
    return found


def _texts(tensor: Tensor, *, binary: bool) -> list[Any]:
    """The elements of BYTES as text; base64 for a column of bytes, as in JSON."""
    kind = str(tensor.parameters.get("content_type") or "")
    if kind not in CONTENT_TYPES:
        raise DataError(
            f"tensor {shown(tensor.name)} is of content_type {shown(kind)}, which is not known",
            fix=f"leave it out, or send one of {', '.join(CONTENT_TYPES[1:])}",
        )
    found: list[Any] = []
    for row, item in enumerate(tensor.data):
        try:
            if kind == "base64" and item is not None:
                item = b64decode(item, validate=True)  # noqa: PLW2901
            if kind == "pd_json" and item is not None:
                found.append(msgspec.json.decode(item, type=str | None))
            elif item is None:
                found.append(None)
            elif binary:
                found.append(b64encode(item.encode() if isinstance(item, str) else item).decode())
            else:
                found.append(item if isinstance(item, str) else item.decode())
        except (ValueError, msgspec.MsgspecError):
            _refuse(tensor, row, "no text", f"it is read as {kind or 'UTF-8'}")
    return found


def _as_json(decoder: Decoder, tensors: Sequence[Tensor]) -> Rows:
    """Rows of a model whose signature is no list of plain columns, read as if they came as JSON.

    Such a model may want an array, a dict of arrays or a frame; what fits is found by trying.
    """
    values = {tensor.name: _nested(tensor) for tensor in tensors}
    flat = all(len(tensor.shape) == 1 or tensor.shape[1:] == (1,) for tensor in tensors)
    bodies: list[dict[str, Any]] = [{"inputs": values}]
    if len(tensors) == 1:
        bodies.insert(0, {"inputs": next(iter(values.values()))})
    if len(tensors) > 1 or len(tensors[0].shape) == 1:
        columns = [_column(tensor) if flat else values[tensor.name] for tensor in tensors]
        if len({len(column) for column in columns}) == 1:
            rows = list(zip(*columns, strict=True))
            bodies.insert(0, {"dataframe_split": {"columns": list(values), "data": rows}})
    wrong: DataError | None = None
    for body in bodies:
        try:
            return decoder.json(msgspec.json.encode(body))
        except DataError as error:
            wrong = wrong or error
    assert wrong is not None
    raise wrong


def _column(tensor: Tensor) -> list[Any]:
    found = _texts(tensor, binary=False) if tensor.datatype == BYTES else tensor.data
    cells: list[Any] = found if isinstance(found, list) else found.tolist()
    return cells


def _nested(tensor: Tensor) -> Any:
    """A tensor's elements as lists in lists, by its shape."""
    if not tensor.shape or not len(tensor.data):
        raise DataError(
            f"tensor {shown(tensor.name)} has the shape {dims(tensor.shape)}: there are no rows",
            fix="send at least one",
        )
    cells = _column(tensor)
    for size in reversed(tensor.shape[1:]):
        cells = [cells[index : index + size] for index in range(0, len(cells), size)]
    return cells


def _refuse(tensor: Tensor, row: int, what: str, why: str) -> NoReturn:
    raise DataError(
        f"tensor {shown(tensor.name)} is {what} in row {row}; {why}",
        fix="send values of the signature's types",
    ) from None
