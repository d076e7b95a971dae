"""A custom model shows with its input example whether requests may share a call."""

import json

import mlflow
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

from lifecycle.config import Config
from lifecycle.models import loading, specs
from lifecycle.models.separable import TAG
from lifecycle.records import ModelRef
from lifecycle.serve.copies import warmed

FRAME = pd.DataFrame({"x": [1.0, 2.0, 4.0], "s": ["a", "b", "a"]})
SIGNATURE = ModelSignature(
    Schema([ColSpec("double", "x"), ColSpec("string", "s")]),
    params=ParamSchema([ParamSpec("times", "double", 2.0)]),
)


class Alone(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):  # noqa: ARG002 - MLflow's signature
        return model_input["x"] * params["times"]


class Ranks(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):  # noqa: ARG002 - MLflow's signature
        return model_input["x"].rank().to_numpy()


def served(tmp_path, model, example, tags=None):
    """The slot of a local copy of a model."""
    folder = tmp_path / "copy"
    mlflow.pyfunc.save_model(
        folder / "model",
        python_model=model,
        signature=SIGNATURE,
        input_example=example,
        pip_requirements=[],
    )
    spec = specs.from_signature(loading.describe(folder / "model")["signature"])
    (folder / "spec.json").write_text(specs.dumps(spec))
    known = {"name": "m", "version": 1, "tags": tags or {}, "copied_digest": ""}
    (folder / "version.json").write_text(json.dumps(known))
    return warmed(ModelRef("m", 1), folder, Config().with_values(models__allow_pickle=True))


@pytest.mark.parametrize("rows", [1, 3])
def test_an_example_shows_which_models_may_be_batched(tmp_path, rows):
    one = served(tmp_path, Alone(), (FRAME.head(rows), {"times": 3.0}))
    assert one.loaded.together
    asked = one.decoder.json(b'{"inputs": {"x": [1, 2], "s": ["a", "b"]}}')
    assert one.loaded.predict(asked.columns, asked.params).prediction.tolist() == [2.0, 4.0]


@pytest.mark.parametrize("rows", [1, 3])
def test_a_model_that_ranks_its_rows_is_asked_one_by_one(tmp_path, rows):
    assert not served(tmp_path, Ranks(), FRAME.head(rows)).loaded.together


def test_without_an_example_nothing_is_known(tmp_path):
    assert not served(tmp_path, Alone(), None).loaded.together


def test_what_adoption_has_seen_is_kept(tmp_path):
    assert served(tmp_path, Alone(), None, {TAG: "true"}).loaded.together
