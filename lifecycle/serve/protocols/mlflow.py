"""MLflow's scoring protocol: bodies in, `{"predictions": […]}` out, errors with a code.

>>> media_type("application/json; charset=UTF-8")
'application/json'
>>> status(ModelNotFound("no such model"))
404
>>> failure(404, "no such model")
b'{"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no such model"}'

As `mlflow models serve` of MLflow 3.17 answers, but for two defects of it: a body without a content
type is refused with 415 (MLflow: 500), and a model that raises is 500 with an error id (MLflow: 400
with a stack trace).
"""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec

from lifecycle.errors import DataError, LifecycleError, LogError, ModelNotFound
from lifecycle.serve.decode import Decoder, Rows
from lifecycle.serve.tabular import csv_rows, parquet_rows

JSON = "application/json"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
CODES = {
    400: "BAD_REQUEST",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    413: "REQUEST_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
}
_encode = msgspec.json.Encoder().encode


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
        rows = decoder.json(body)
        if rows.params:
            raise DataError(
                f"params are not passed on to the model: {', '.join(rows.params)[:200]}",
                fix="leave params out; the model answers with its own defaults",
            )
        return rows
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


def status(error: LifecycleError) -> int:
    """The HTTP status that an error is answered with."""
    if isinstance(error, DataError):
        return 400
    if isinstance(error, ModelNotFound):
        return 404
    return 503 if isinstance(error, LogError) else 500


def mlflow_version() -> str:
    """MLflow's version, which /version answers, without importing it."""
    try:
        return version("mlflow")
    except PackageNotFoundError:
        return version("mlflow-skinny")
