"""Requests that are no plain columns are kept in the prediction log, row by row."""

import json
import shutil

import mlflow
import numpy as np
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map

from lifecycle.models import loading, specs
from lifecycle.serve.engine import Engine
from lifecycle.serve.slots import SlotTable, slot
from lifecycle.stores.predictions import PredictionLog, PredictionWriter


class First(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):  # noqa: ARG002 - MLflow's signature
        return [0.5, 0.25]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("first") / "m"
    mlflow.pyfunc.save_model(folder, python_model=First(), signature=False, pip_requirements=[])
    return folder


def floats(*shape, name=None):
    return ModelSignature(Schema([TensorSpec(np.dtype("float64"), shape, name)]))


def columns(**kinds):
    return ModelSignature(Schema([ColSpec(kind, name) for name, kind in kinds.items()]))


KEPT = {
    "a table": (floats(-1, 2), {"inputs": [[1, 2], [3, 4]]}, {"0": [1.0, 3.0], "1": [2.0, 4.0]}),
    "a cube": (floats(-1, 1, 1), {"inputs": [[[1]], [[2]]]}, {"0": [[[1.0]], [[2.0]]]}),
    "a named one": (
        floats(-1, 2, name="x"),
        {"inputs": {"x": [[1, 2], [3, 4]]}},
        {"x": [[1.0, 2.0], [3.0, 4.0]]},
    ),
    "lists": (
        columns(v=Array("double"), s="string"),
        {"dataframe_records": [{"v": [1, 2.5], "s": "a"}, {"v": [3.5], "s": "b"}]},
        {"v": [[1, 2.5], [3.5]], "s": ["a", "b"]},
    ),
    "maps": (
        columns(m=Map("long")),
        {"dataframe_records": [{"m": {"a": 1}}, {"m": {"b": 2}}]},
        {"m": [{"a": 1}, {"b": 2}]},
    ),
    "anything": (
        columns(z=AnyType()),
        {"dataframe_records": [{"z": "a"}, {"z": [1, None, {"b": "c"}]}]},
        {"z": ["a", [1, None, {"b": "c"}]]},
    ),
    "bytes": (
        columns(w="binary"),
        {"dataframe_records": [{"w": "aGk="}, {"w": "AP8="}]},
        {"w": [b"hi", b"\x00\xff"]},
    ),
    "no signature": (
        None,
        {"dataframe_records": [{"a": 1, "b": "x", "c": None}, {"a": 2, "b": None, "c": None}]},
        {"a": [1, 2], "b": ["x", None], "c": [None, None]},
    ),
    "rows without a signature": (None, {"instances": [[1, 2], [3, 4]]}, {"0": [1, 3], "1": [2, 4]}),
    "texts without a signature": (None, {"inputs": ["a", "b"]}, {"0": ["a", "b"]}),
}


@pytest.mark.parametrize("name", KEPT)
def test_requests_of_any_form_are_logged(saved, tmp_path, name):
    signature, body, kept = KEPT[name]
    shutil.copytree(saved, tmp_path / "m")
    described = mlflow.models.Model.load(str(tmp_path / "m"))
    described.signature = signature
    described.save(str(tmp_path / "m" / "MLmodel"))
    spec = specs.from_signature(loading.describe(tmp_path / "m").get("signature"))
    one = slot("m", loading.load(tmp_path / "m", spec=spec, digest="", allow_pickle=True))
    with PredictionWriter(tmp_path / "log", background=False) as writer:
        engine = Engine(SlotTable().with_only(one), secret=b"s" * 32, writer=writer)
        answer = engine.answer("m", one.decoder.json(json.dumps(body).encode()))
        engine.answer("m", one.decoder.json(json.dumps(body).encode()))
    log = PredictionLog(tmp_path / "log").read("m")
    assert answer.predictions == [0.5, 0.25]
    assert log["prediction"].to_list() == [0.5, 0.25] * 2
    features = log["features"].struct.unnest().to_dict(as_series=False)
    found = {key: list(map(value_of, cells)) for key, cells in features.items()}
    assert found == {key: cells * 2 for key, cells in kept.items()}


def value_of(cell):
    """What JSON text in the log stands for."""
    return json.loads(cell) if isinstance(cell, str) and cell[:1] in "[{" else cell
