"""What a version takes and answers, as tensors: for metadata, and for examples that work.

>>> import numpy as np
>>> from lifecycle.models.predicting import LoadedModel, Output
>>> from lifecycle.records import Column, ModelSpec
>>> from lifecycle.serve.slots import slot
>>> spec = ModelSpec(1, "regression", (Column("x", "double"),))
>>> twice = slot("twice", LoadedModel(spec, "sklearn", lambda columns: Output(columns["x"] * 2)))
>>> signature = described(twice)
>>> signature.inputs
(Part(name='x', datatype='FP64', shape=(-1,), parameters={}),)
>>> signature.outputs[0].name, signature.predictions
('predictions', [0.0])

A signature of MLflow does not say how a classifier answers, so the version is asked once, with its
own example or a row of zeros and empty texts. That answer is not logged.
"""

import json
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from lifecycle.errors import DataError
from lifecycle.models.predicting import Output
from lifecycle.records import ModelSpec
from lifecycle.serve.jsonable import jsonable
from lifecycle.serve.protocols.inputs import COLUMN_DATATYPES
from lifecycle.serve.protocols.tensors import BYTES, tensors_of
from lifecycle.serve.rows import Rows
from lifecycle.serve.slots import Slot

PLAIN: Mapping[str, Any] = {
    "double": 0.0,
    "float": 0.0,
    "long": 0,
    "integer": 0,
    "boolean": False,
    "datetime": "2026-01-31T12:00:00",
}
_SHOWN = 2  # rows of an example


@dataclass(frozen=True, slots=True)
class Part:
    """One tensor of a signature.

    Attributes:
        name: of the column or output.
        datatype: as the Open Inference Protocol names it.
        shape: -1 stands for the number of rows.
        parameters: for probabilities, the classes in their order.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a version takes and answers.

    Attributes:
        inputs: one a feature.
        outputs: as `outputs_of` gives them.
        example: rows as JSON objects.
        predictions: what the version says of them, as JSON types; None where it fails on them.
        verb: TensorFlow Serving's beside "predict": "classify", "regress", or empty.
    """

    inputs: tuple[Part, ...]
    outputs: tuple[Part, ...]
    example: list[dict[str, Any]] = field(repr=False)
    predictions: Any
    verb: str


class Signatures:
    """The signatures of a server's versions, each made once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[weakref.ref[Any], Signature]] = {}

    def known(self, one: Slot) -> Signature | None:
        """A version's signature if it was made already."""
        found = self._known.get((one.model, one.version))
        return found[1] if found and found[0]() is one.loaded else None

    def of(self, one: Slot) -> Signature:
        """A version's signature; asks the model the first time, so keep it off the loop."""
        found = self.known(one)
        if found is None:
            found = described(one)
            self._known[one.model, one.version] = (weakref.ref(one.loaded), found)
        return found


def described(one: Slot) -> Signature:
    """Make a version's signature."""
    spec = one.loaded.spec
    inputs = tuple(
        Part(column.name, COLUMN_DATATYPES.get(column.dtype, BYTES), (-1,))
        for column in spec.features
    )
    rows, example = _example(one)
    try:
        output = one.loaded.predict(rows.columns, rows.params)
        raw = output.prediction if output.raw is None else output.raw
        predictions = jsonable(raw)
        tensors = tensors_of(output)
    except Exception:  # noqa: BLE001 - zeros and empty texts need not be what a model takes
        return Signature(inputs, (Part("predictions", _expected(spec), (-1,)),), example, None, "")
    outputs = tuple(
        Part(
            tensor.name,
            tensor.datatype,
            (-1, *tensor.shape[1:]),
            {"classes": json.dumps(spec.classes)} if tensor.name == "probabilities" else {},
        )
        for tensor in tensors
    )
    return Signature(inputs, outputs, example, predictions, _verb(spec, output))


def _verb(spec: ModelSpec, output: Output) -> str:
    if spec.classes:
        return "classify" if output.scores is not None else ""
    prediction = output.prediction
    return "regress" if prediction.ndim == 1 and prediction.dtype.kind in "iuf" else ""


def _expected(spec: ModelSpec) -> str:
    kinds = {type(label) for label in spec.classes}
    names = {bool: "BOOL", int: "INT64", str: BYTES}
    return names.get(kinds.pop(), "FP64") if len(kinds) == 1 else "FP64"


def _example(one: Slot) -> tuple[Rows, list[dict[str, Any]]]:
    """Rows that the version may be asked, decoded and as JSON objects."""
    if one.example:
        try:
            records = _records(one.decoder.json(one.example))
            return _decoded(one, records), records
        except DataError:  # it cannot be told in JSON
            records = []
    plain = {column.name: PLAIN.get(column.dtype, "") for column in one.loaded.spec.features}
    if not plain:
        return Rows({}, 1), []
    try:
        return _decoded(one, [plain]), [plain]
    except DataError:  # a column of a type that has no plain value
        return Rows({}, 1), [plain]


def _decoded(one: Slot, records: list[dict[str, Any]]) -> Rows:
    return one.decoder.json(msgspec.json.encode({"dataframe_records": records}))


def _records(rows: Rows) -> list[dict[str, Any]]:
    names = list(rows.columns)
    lists = [_listed(rows.columns[name][:_SHOWN]) for name in names]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*lists, strict=True)]


def _listed(values: Any) -> list[Any]:
    if values.dtype.kind == "M":
        values = np.datetime_as_string(values).astype(object)
    found: list[Any] = jsonable(values)
    return [None if item != item else item for item in found]  # noqa: PLR0124 - NaN
