from importlib.metadata import version

import pytest

from lifecycle.errors import (
    DataError,
    LabelError,
    LifecycleError,
    LogError,
    ModelNotFound,
    PredictionFailed,
)
from lifecycle.serve.protocols import mlflow
from lifecycle.serve.wire import status


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("application/json", "application/json"),
        ("Application/JSON", "application/json"),
        ("application/json;charset=utf-8", "application/json"),
        ('application/json; charset="UTF-8";', "application/json"),
        ("text/csv; charset=utf8", "text/csv"),
        ("application/vnd.apache.parquet", "application/vnd.apache.parquet"),
        ("text/csv; header=present", ""),
        ("application/json; charset=utf-16", ""),
        ("text/plain", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_media_types(header, expected):
    assert mlflow.media_type(header) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DataError("x"), 400),
        (LabelError("x"), 400),
        (ModelNotFound("x"), 404),
        (PredictionFailed("x", error_id="e"), 500),
        (LogError("x"), 503),
        (LifecycleError("x"), 500),
    ],
)
def test_every_error_has_a_status_with_a_code(error, expected):
    assert status(error) == expected
    assert expected in mlflow.CODES


def test_the_version_is_mlflows():
    assert mlflow.mlflow_version() == version("mlflow")


def test_what_json_cannot_hold_is_null():
    assert (
        mlflow.success([float("nan"), float("inf"), "ü"])
        == '{"predictions":[null,null,"ü"]}'.encode()
    )
