"""What the server answers, for people and for programs, with the loaded models' own columns.

    GET  /openapi.json     OpenAPI 3.1
    GET  /docs             the same as a page that loads nothing and runs no script

>>> operation = _operation("Predict", {}, {"model": "churn"}, "v2")
>>> sorted(operation["responses"])
['200', '400', '401', '404', '413', '415', '429', '500', '503', '504']

https://spec.openapis.org/oas/v3.1.0. Each model has paths of its own, so that columns, types and
examples are its own too; the examples were answered by the model before they are shown.
"""

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version as version_of
from typing import Any
from urllib.parse import quote

import msgspec

from lifecycle.serve.protocols import mlflow, page, schemas
from lifecycle.serve.protocols.schemas import Schema
from lifecycle.serve.protocols.signatures import Signature, Signatures
from lifecycle.serve.slots import Group, Slot, SlotTable
from lifecycle.serve.wire import Chore, Request, Response, Route, Service

HTML = b"text/html; charset=utf-8"
# nothing may be loaded by the page, whatever a model's columns are called
_SAFE = ((b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'"),)
_REASONS = {
    "400": "the body does not fit; the message names the column or tensor",
    "401": "no API key, or one that is not known",
    "404": "no such model or version",
    "413": "the body is too long",
    "415": "a content type or encoding that is not read",
    "429": "too many requests of this key",
    "500": "the model failed; X-Prediction-Id names the entry of the log that says why",
    "503": "too many requests wait, the log cannot be written, or the server stops",
    "504": "the answer took too long",
}
_TEXT = {"schema": {"type": "string"}}
_ANSWERED: Schema = {
    "X-Model-Version": {"schema": {"type": "string"}, "description": "the version that answered"},
    "X-Model-Arm": {"schema": {"type": "string"}, "description": "in which role"},
    "X-Prediction-Id": {"schema": {"type": "string"}, "description": "the request's signed id"},
}
Operation = dict[str, Any]


def routes(service: Service) -> list[Route]:
    """The routes."""
    signatures = Signatures()
    made: list[tuple[SlotTable, dict[str, Any]]] = []

    def document() -> dict[str, Any]:
        table = service.engine.table
        if not made or made[0][0] is not table:
            made[:] = [(table, described(table, signatures))]
        return made[0][1]

    def openapi(_request: Request) -> Chore:
        return Chore(lambda: Response(200, msgspec.json.encode(document())))

    def docs(_request: Request) -> Chore:
        return Chore(lambda: Response(200, page.html(document()).encode(), HTML, _SAFE))

    return [
        Route("GET", "/openapi.json", openapi, mlflow.failure),
        Route("GET", "/docs", docs, mlflow.failure),
    ]


def described(table: SlotTable, signatures: Signatures) -> dict[str, Any]:
    """The server as an OpenAPI document.

    Args:
        table: what is served.
        signatures: of its versions.
    """
    paths: dict[str, dict[str, Operation]] = {}
    for path, method, operation in _operations(table, signatures):
        operation["operationId"] = re.sub(r"\W+", "_", f"{method}{path}").strip("_")
        paths.setdefault(path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "lifecycle",
            "version": version_of("mlflow-lifecycle"),
            "description": "Predictions of MLflow models, in four protocols on one port.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {
                "MLflowError": _object(error_code={"type": "string"}, message={"type": "string"}),
                "Error": _object(error={"type": "string"}),
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
        # the empty one: a server without keys asks for none
        "security": [{}, {"bearer": []}, {"key": []}],
        "tags": [{"name": name} for name in ("server", *table.groups)],
    }


def _operations(table: SlotTable, signatures: Signatures) -> Iterator[tuple[str, str, Operation]]:
    yield from _server(table)
    first = table.first
    if first:
        group = table.groups[first]
        one = group.slots[group.plan.arms[0].version]
        yield "/invocations", "post", _invocations(one, signatures.of(one), list(table.groups))
        yield "/feedback", "post", _feedback(list(table.groups))
    for name, group in table.groups.items():
        one = group.slots[group.plan.arms[0].version]
        yield from _v2(name, group, signatures.of(one))
        yield from _v1(name, group, one, signatures.of(one))


def _server(table: SlotTable) -> Iterator[tuple[str, str, Operation]]:
    def get(summary: str, schema: Schema, kind: str = "application/json") -> Operation:
        content = {kind: {"schema": schema} if schema else {}}
        found = {"200": {"description": "as asked", "content": content}}
        refused = {code: _failure(code, "mlflow") for code in ("401", "429", "503")}
        return {"summary": summary, "tags": ["server"], "responses": {**found, **refused}}

    names: Schema = {"type": "array", "items": {"enum": list(table.groups)}}
    yield "/", "get", get("Is the server alive", {})
    for path in ("/ping", "/health"):
        operation = get("Is a model ready", {})
        operation["responses"]["503"] = {
            "description": "no model is ready, or the server stops",
            "content": {"application/json": {}},
        }
        yield path, "get", operation
    yield "/version", "get", get("MLflow's version", {}, "text/plain")
    yield "/metrics", "get", get("Figures for Prometheus", {}, "text/plain")
    yield "/status", "get", get("What serves, how, and what is wrong", {"type": "object"})
    yield "/v2", "get", get("Open Inference Protocol: the server", _object(name={}, version={}))
    live = _object(live={"type": "boolean"})
    yield "/v2/health/live", "get", get("Open Inference Protocol: is the server alive", live)
    ready = get("Open Inference Protocol: is a model ready", _object(ready={"type": "boolean"}))
    ready["responses"]["503"] = {
        "description": "no model is ready, or the server stops",
        "content": {"application/json": {"schema": _object(ready={}, error={})}},
    }
    yield "/v2/health/ready", "get", ready
    for path in ("/v1/models", "/v2/models"):
        yield path, "get", get("The models' names", _object(models=names))


def _invocations(one: Slot, signature: Signature, names: list[str]) -> Operation:
    spec = one.loaded.spec
    row = schemas.row(spec)
    forms = [
        _object(dataframe_records=schemas.rows(row)),
        _object(dataframe_split=_object(columns={"type": "array"}, data={"type": "array"})),
        _object(instances={"type": "array", "minItems": 1}),
        _object(inputs={}),
    ]
    for form in forms:
        form["properties"]["params"] = {"type": "object"}
    body = {
        "application/json": _with_example(
            {"oneOf": forms}, {"dataframe_records": signature.example}, signature
        ),
        "text/csv": _TEXT,
        "application/vnd.apache.parquet": {"schema": {}},
    }
    answer = _object(predictions=schemas.predictions(signature))
    found = _operation("MLflow's scoring protocol", body, answer, "mlflow")
    found["tags"] = ["server"]
    found["parameters"] = [
        *_choosing(),
        _header("X-Model", "which of the models", {"enum": names}),
    ]
    _show(found, {"predictions": signature.predictions}, signature)
    return found


def _feedback(names: list[str]) -> Operation:
    label = {
        "type": "object",
        "properties": {"prediction_id": {"type": "string"}},
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    }
    several = _object(labels={"type": "array", "items": label})
    several["additionalProperties"] = False
    body = {"schema": {"oneOf": [several, {**label, "required": ["prediction_id", "label"]}]}}
    answer = _object(accepted={"type": "integer"})
    found = _operation("Late labels", {"application/json": body}, answer, "mlflow")
    del found["responses"]["200"]["headers"]
    found["responses"]["200"]["description"] = "how many were taken"
    found["tags"] = ["server"]
    found["parameters"] = [_header("X-Model", "which of the models", {"enum": names})]
    return found


def _v2(name: str, group: Group, signature: Signature) -> Iterator[tuple[str, str, Operation]]:
    part = _object(name={"type": "string"}, datatype={"type": "string"}, shape={"type": "array"})
    parts = {"type": "array", "items": part}
    about = _object(name={"const": name}, versions={"type": "array"}, inputs=parts, outputs=parts)
    for path, given in _places("/v2/models", name, group, labels=False):
        body = _with_example(
            schemas.inference(signature), {"inputs": schemas.tensors(signature)}, signature
        )
        infer = _operation(
            "Open Inference Protocol: predict",
            {"application/json": body},
            schemas.inferred(),
            "v2",
        )
        infer["parameters"] = [*given, *([] if given else _choosing())]
        infer["tags"] = [name]
        yield f"{path}/infer", "post", infer
        for suffix, title, schema in (
            ("", "what it takes and answers", about),
            ("/ready", "is it ready", _object(ready={"type": "boolean"})),
        ):
            yield (
                f"{path}{suffix}",
                "get",
                _get(f"Open Inference Protocol: {title}", schema, given, name),
            )


def _v1(
    name: str, group: Group, one: Slot, signature: Signature
) -> Iterator[tuple[str, str, Operation]]:
    spec = one.loaded.spec
    state = _object(name={"const": name}, ready={}, model_version_status={"type": "array"})
    for path, given in _places("/v1/models", name, group, labels=True):
        yield path, "get", _get("TensorFlow Serving and KServe: status", state, given, name)
        yield (
            f"{path}/metadata",
            "get",
            _get(
                "TensorFlow Serving: what it takes and answers",
                _object(model_spec={}, metadata={}),
                given,
                name,
            ),
        )
        instances = _object(instances=schemas.rows(schemas.row(spec)))
        inputs = _object(inputs=schemas.columns(spec))
        for form in (instances, inputs):
            form["properties"]["signature_name"] = {"const": "serving_default"}
            form["additionalProperties"] = False
        asked = _with_example(
            {"oneOf": [instances, inputs]}, {"instances": signature.example}, signature
        )
        said = schemas.predictions(signature)
        answer = {"oneOf": [_object(predictions=said), _object(outputs=said)]}
        predict = _operation(
            "TensorFlow Serving and KServe: predict", {"application/json": asked}, answer, "v1"
        )
        _show(predict, {"predictions": signature.predictions}, signature)
        found = {"predict": predict}
        verb = signature.verb
        if verb:
            asked = _with_example(
                schemas.examples(spec), {"examples": signature.example}, signature
            )
            answer = _object(result={"type": "array"})
            content = {"application/json": asked}
            found[verb] = _operation(f"TensorFlow Serving: {verb}", content, answer, "v1")
        for suffix, operation in found.items():
            operation["parameters"] = [*given, *([] if given else _choosing())]
            operation["tags"] = [name]
            yield f"{path}:{suffix}", "post", operation


def _places(
    root: str, name: str, group: Group, *, labels: bool
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A model's paths: without a version, with one, with a label; and their parameters."""
    path = f"{root}/{quote(name)}"
    yield path, []
    versions = {"enum": [str(version) for version in group.slots]}
    yield f"{path}/versions/{{version}}", [_in_path("version", versions)]
    if labels:
        names = {"enum": [arm.name for arm in group.plan.arms]}
        yield f"{path}/labels/{{label}}", [_in_path("label", names)]


def _operation(summary: str, body: Mapping[str, Any], answer: Schema, protocol: str) -> Operation:
    """An operation that predicts."""
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": dict(body)},
        "responses": {
            "200": {
                "description": "predictions",
                "headers": _ANSWERED,
                "content": {"application/json": {"schema": answer}},
            },
            **{code: _failure(code, protocol) for code in _REASONS},
        },
    }


def _get(summary: str, schema: Schema, given: list[dict[str, Any]], tag: str) -> Operation:
    found = {"description": "as asked", "content": {"application/json": {"schema": schema}}}
    codes = ("400", "401", "404", "429")
    return {
        "summary": summary,
        "tags": [tag],
        "parameters": given,
        "responses": {
            "200": found,
            **{code: _failure(code, "v2") for code in codes},
            "503": {"description": _REASONS["503"], "content": {"application/json": {}}},
        },
    }


def _failure(code: str, protocol: str) -> dict[str, Any]:
    name = "MLflowError" if protocol == "mlflow" else "Error"
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": _REASONS[code], "content": {"application/json": {"schema": schema}}}


def _object(**properties: Schema) -> Schema:
    """An object that has all of these."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _with_example(schema: Schema, example: Any, signature: Signature) -> dict[str, Any]:
    if signature.predictions is None or not signature.example:
        return {"schema": schema}
    return {"schema": schema, "example": example}


def _show(operation: Operation, answer: Any, signature: Signature) -> None:
    """The answer to the example."""
    if signature.predictions is not None and signature.example:
        operation["responses"]["200"]["content"]["application/json"]["example"] = answer


def _header(name: str, about: str, schema: Schema) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": about, "schema": schema}


def _in_path(name: str, schema: Schema) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _choosing() -> list[dict[str, Any]]:
    """The headers that say which version answers."""
    return [
        _header("X-Model-Version", "this version must answer", {"type": "string"}),
        _header("X-Routing-Key", "the same key meets the same version", {"type": "string"}),
    ]
