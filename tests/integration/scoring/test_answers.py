"""Whatever a custom model gives, our server writes as MLflow's does, and the log can keep."""

import datetime
import json

import mlflow
import numpy as np
import pandas as pd
import pydantic
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

from lifecycle.models import loading, specs
from lifecycle.serve.engine import Engine
from lifecycle.serve.slots import SlotTable, slot
from lifecycle.stores.predictions import PredictionLog, PredictionWriter


class Point(pydantic.BaseModel):
    x: int
    name: str


MOMENT = datetime.datetime(2026, 1, 31, 12, 0, 0, 250)  # noqa: DTZ001 - as models answer
ANSWERS = {
    "a number": 2.5,
    "a whole number": 7,
    "a text": "both are fine",
    "nothing": None,
    "true": True,
    "a dict": {"mean": 1.5, "rows": [1, 2]},
    "a dict of arrays": {"a": np.array([1.5, 2.5]), "n": np.int64(3)},
    "a dict with numbers for keys": {1: "a", 2: "b"},
    "numbers": np.array([1.5, 2.5]),
    "small floats": np.array([0.1, 0.2], dtype=np.float32),
    "small whole numbers": np.array([1, 2], dtype=np.int8),
    "truth values": np.array([True, False]),
    "texts": np.array(["a", "ü"], dtype=object),
    "fixed texts": np.array(["a", "bc"]),
    "a matrix": np.array([[0.25, 0.75], [0.5, 0.5]]),
    "a cube": np.arange(8).reshape(2, 2, 2),
    "one row for two": np.array([1.5]),
    "three rows for two": [1, 2, 3],
    "no rows": [],
    "an array without a dimension": np.array(1.5),
    "a list of numbers": [1, 2.5],
    "a list of numbers of numpy": [np.float32(0.1), np.int64(2)],
    "a list of texts and gaps": ["a", None],
    "a list of lists": [[1, 2], [3]],
    "a list of arrays": [np.array([1.5, 2.5]), np.array([1])],
    "a list of dicts": [{"a": 1, "b": [1.5]}, {"a": 2, "b": []}],
    "a tuple": (1, 2),
    "a frame": pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": [0.5, 1.5]}),
    "a frame of one column": pd.DataFrame({"a": [1, 2]}),
    "a frame of another length": pd.DataFrame({"a": [1]}),
    "a frame with times": pd.DataFrame({"at": pd.to_datetime(["2026-01-31", "2026-02-01"])}),
    "a series": pd.Series([1.5, 2.5], name="y"),
    "a series without a name": pd.Series([1, 2]),
    "a series with an index": pd.Series([1, 2], index=[7, 9], name="y"),
    "times": [pd.Timestamp("2026-01-31T12:00:00.25"), MOMENT],
    "days": [datetime.date(2026, 1, 31), MOMENT.time()],
    "an array of times": np.array(["2026-01-31", "2026-02-01"], dtype="datetime64[s]"),
    "bytes": [b"hi", b"\x00\xff"],
    "records": [Point(x=1, name="a"), Point(x=2, name="b")],
}


class Answering(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):  # noqa: ARG002 - MLflow's signature
        return ANSWERS[params["which"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answers") / "m"
    signature = ModelSignature(
        Schema([ColSpec("double", "x")]),
        params=ParamSchema([ParamSpec("which", "string", "a number")]),
    )
    mlflow.pyfunc.save_model(
        folder, python_model=Answering(), signature=signature, pip_requirements=[]
    )
    return folder


def body(which):
    return json.dumps({"inputs": {"x": [1.0, 2.0]}, "params": {"which": which}}).encode()


def test_every_answer_is_written_as_by_mlflow(folder, of_folder):
    ask = of_folder(folder)
    different = {}
    for which in ANSWERS:
        theirs, ours = ask("application/json", body(which))
        assert theirs[0] == 200, which
        if ours != theirs:
            different[which] = (theirs, ours)
    assert different == {}


def test_every_answer_is_logged_with_its_rows(folder, tmp_path):
    spec = specs.from_signature(loading.describe(folder)["signature"])
    one = slot("m", loading.load(folder, spec=spec, digest="", allow_pickle=True))
    with PredictionWriter(tmp_path, background=False) as writer:
        engine = Engine(SlotTable().with_only(one), secret=b"s" * 32, writer=writer)
        answered = {which: engine.answer("m", one.decoder.json(body(which))) for which in ANSWERS}
        log = PredictionLog(tmp_path).read("m")
    ids = [f"{answer.id}.{row}" for answer in answered.values() for row in (0, 1)]
    assert log["prediction_id"].to_list() == ids
    assert log["features"].struct.field("x").to_list() == [1.0, 2.0] * len(ANSWERS)
