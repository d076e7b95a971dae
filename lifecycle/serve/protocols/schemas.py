"""JSON Schemas of what a version takes and answers, with examples that it has answered.

>>> from lifecycle.records import Column, ModelSpec
>>> spec = ModelSpec(1, "regression", (Column("age", "double", False),), time="ts")
>>> row(spec)["properties"]["age"]
{'type': ['number', 'null']}
>>> row(spec)["required"]
[]

The dialect is OpenAPI 3.1's, https://spec.openapis.org/oas/v3.1.0, which is JSON Schema 2020-12.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lifecycle.records import ModelSpec
from lifecycle.serve.protocols.signatures import Part, Signature
from lifecycle.serve.protocols.tensors import BYTES, DATATYPES

Schema = dict[str, Any]

_COLUMN: Mapping[str, Schema] = MappingProxyType(
    {
        "double": {"type": "number"},
        "float": {"type": "number", "minimum": -3.4e38, "maximum": 3.4e38},
        "long": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
        "integer": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
        "boolean": {"type": "boolean"},
        "string": {"type": "string"},
        "datetime": {"type": "string", "examples": ["2026-01-31T12:00:00"]},
        "binary": {"type": "string", "contentEncoding": "base64"},
    }
)
_PARAMETERS: Schema = {"type": "object"}


def row(spec: ModelSpec) -> Schema:
    """One row as an object."""
    properties: Schema = {}
    for column in spec.features:
        kind = dict(_COLUMN.get(column.dtype, {}))
        if not column.required and "type" in kind:
            kind["type"] = [kind["type"], "null"]
        properties[column.name] = kind
    texts = {"type": ["string", "null"], "description": "logged with the prediction"}
    keys = {**texts, "type": ["string", "number", "boolean", "null"]}
    asides = {spec.time: texts, spec.key: keys, spec.target: {"description": "left aside"}}
    for name, aside in asides.items():
        if name:
            properties.setdefault(name, aside)
    found: Schema = {
        "type": "object",
        "properties": properties,
        "required": [column.name for column in spec.features if column.required],
    }
    if spec.features:
        found["additionalProperties"] = False
    return found


def rows(one: Schema) -> Schema:
    """Several rows."""
    return {"type": "array", "items": one, "minItems": 1}


def columns(spec: ModelSpec) -> Schema:
    """Rows as columns: a list for each."""
    one = row(spec)
    one["properties"] = {
        name: {"type": "array", "items": item, "minItems": 1}
        for name, item in one["properties"].items()
    }
    return one


def examples(spec: ModelSpec) -> Schema:
    """A request of TensorFlow Serving's :classify and :regress."""
    return {
        "type": "object",
        "properties": {
            "examples": rows(row(spec)),
            "signature_name": {"const": "serving_default"},
        },
        "required": ["examples"],
        "additionalProperties": False,
    }


def predictions(signature: Signature) -> Schema:
    """What every protocol but the one of tensors answers: one prediction a row."""
    parts = [part for part in signature.outputs if part.name != "probabilities"]
    if signature.predictions is None or [part.name for part in parts] != ["predictions"]:
        return {}
    return {"type": "array", "items": _nested(parts[0])}


def _nested(part: Part) -> Schema:
    found = _element(part.datatype)
    if part.parameters or (part.datatype == BYTES and part.shape[1:]):
        return {}
    for _ in part.shape[1:]:
        found = {"type": "array", "items": found}
    return found


def _element(datatype: str) -> Schema:
    if datatype == BYTES:
        return {"type": ["string", "null"]}
    if datatype == "BOOL":
        return {"type": "boolean"}
    whole = DATATYPES[datatype].kind in "iu"
    return {"type": "integer"} if whole else {"type": ["number", "null"]}


def inference(signature: Signature) -> Schema:
    """A request of tensors, one a column, or one of all features."""
    names = [part.name for part in signature.inputs]
    tensor: Schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "examples": names[:1]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "datatype": {"enum": [*DATATYPES, BYTES]},
            "data": {"type": "array"},
            "parameters": _PARAMETERS,
        },
        "required": ["name", "shape", "datatype", "data"],
    }
    wanted: Schema = {
        "type": "object",
        "properties": {
            "name": {"enum": [part.name for part in signature.outputs]},
            "parameters": _PARAMETERS,
        },
        "required": ["name"],
    }
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "items": tensor, "minItems": 1},
            "outputs": {"type": "array", "items": wanted},
            "parameters": _PARAMETERS,
        },
        "required": ["inputs"],
    }


def inferred() -> Schema:
    """An answer of tensors."""
    tensor: Schema = {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "datatype": {"enum": [*DATATYPES, BYTES]},
            "data": {"type": "array"},
            "parameters": _PARAMETERS,
        },
        "required": ["name", "shape", "datatype"],
    }
    return {
        "type": "object",
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": tensor},
        },
        "required": ["model_name", "model_version", "id", "outputs"],
    }


def tensors(signature: Signature) -> list[dict[str, Any]]:
    """The example's rows as tensors, one a column."""
    count = len(signature.example)
    return [
        {
            "name": part.name,
            "shape": [count],
            "datatype": part.datatype,
            "data": [one.get(part.name) for one in signature.example],
        }
        for part in signature.inputs
    ]
