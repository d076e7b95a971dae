"""MLflow's scoring protocol: bodies in, `{"predictions": […]}` out, errors with a code.

    GET  /ping /health     200 when a model is ready, else 503
    GET  /version          MLflow's version
    POST /invocations      JSON of four forms, CSV or Parquet

>>> media_type("application/json; charset=UTF-8")
'application/json'
>>> failure(404, "no such model")
b'{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no such model"}'

As `mlflow models serve` of MLflow 3.17 answers, but for two defects of it: a body without a content
type is refused with 415 (MLflow: 500), and a model that raises is 500 with an error id (MLflow: 400
with a stack trace).
"""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from lifecycle.serve.decode import Decoder
from lifecycle.serve.engine import Answer
from lifecycle.serve.rows import Rows
from lifecycle.serve.tabular import csv_rows, parquet_rows
from lifecycle.serve.wire import (
    TEXT,
    Asked,
    Refused,
    Request,
    Response,
    Route,
    Service,
    choose,
    named,
)

JSON = "application/json"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    409: "RESOURCE_CONFLICT",
    413: "REQUEST_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    429: "RESOURCE_EXHAUSTED",
    431: "REQUEST_TOO_LARGE",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_JSON = JSON.encode()
_encode = msgspec.json.Encoder().encode


def routes(service: Service) -> list[Route]:
    """The protocol's routes."""

    def health(_request: Request) -> Response:
        return Response(200 if service.ready else 503, b"\n")

    def invocations(request: Request) -> Asked:
        if request.headers.get(b"content-type") == _JSON:
            choice = choose(service.engine, request)
            return Asked(choice, choice.slot.decoder.json(request.body), written)
        content_type = request.text(b"content-type")
        kind = media_type(content_type)
        if not kind:
            raise Refused(
                415,
                f"the content type {content_type[:100]!r} is not read; "
                f"send {JSON}, {CSV} or {PARQUET}, in UTF-8",
            )
        choice = choose(service.engine, request)
        return Asked(choice, decode(choice.slot.decoder, request.body, kind), written)

    said = Response(200, mlflow_version().encode(), TEXT)
    return [
        Route("POST", "/invocations", invocations, failure),
        Route("GET", "/ping", health, failure),
        Route("GET", "/health", health, failure),
        Route("GET", "/version", lambda _request: said, failure),
    ]


def written(answer: Answer) -> Response:
    """The answer of /invocations."""
    return Response(200, success(answer.predictions), headers=named(answer))


def media_type(content_type: str | None) -> str:
    """The media type of a `Content-Type` header; empty when we do not read that type.

    >>> media_type("text/csv; header=present"), media_type("application/json; charset=latin-1")
    ('', '')
    """
    if content_type == JSON:
        return JSON
    kind, *parameters = (part.strip() for part in (content_type or "").split(";"))
    for parameter in filter(None, parameters):
        name, _, value = parameter.partition("=")
        if name.strip().lower() != "charset" or value.strip(' "').lower() not in ("utf-8", "utf8"):
            return ""
    return kind.lower() if kind.lower() in (JSON, CSV, PARQUET) else ""


def decode(decoder: Decoder, body: bytes, kind: str) -> Rows:
    """A body of one of our media types as rows.

    Raises:
        DataError: the body is not what the signature asks for.
    """
    if kind == JSON:
        return decoder.json(body)
    return csv_rows(decoder, body) if kind == CSV else parquet_rows(decoder, body)


def success(predictions: Any) -> bytes:
    """The answer's body; what JSON cannot hold (NaN, infinities) is null.

    >>> success([1, float("nan")])
    b'{"predictions":[1,null]}'
    """
    return _encode({"predictions": predictions})


def failure(code: int, message: str) -> bytes:
    """An error's body."""
    return _encode({"error_code": CODES[code], "message": message})


def mlflow_version() -> str:
    """MLflow's version, which /version answers, without importing it."""
    try:
        return version("mlflow")
    except PackageNotFoundError:
        return version("mlflow-skinny")
