"""What a custom model gives becomes predictions, one a row, and its frame is MLflow's own."""

import mlflow
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.models import ModelSignature
from mlflow.models.utils import _enforce_schema
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

from lifecycle.errors import DataError, ModelRefused, UntrustedModel
from lifecycle.models import loading, pyfunc, specs
from lifecycle.models.predicting import Given, Lacking
from lifecycle.records import Column, ModelSpec

BARE = ModelSpec(1, "regression", ())
TWO = ModelSpec(1, "binary", (), classes=("no", "yes"))


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (np.array([1.5, 2.5]), [1.5, 2.5]),
        (np.array([[1, 2], [3, 4]]), [1, 3]),
        (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), [1, 2]),
        (pd.Series(["a", "b"]), ["a", "b"]),
        ([True, False], [True, False]),
        ((1, 2.5), [1.0, 2.5]),
        (["a", None], ["a", None]),
        ([[1, 2], [3]], [[1, 2], [3]]),
        ([{"a": 1}, {"b": 2}], [{"a": 1}, {"b": 2}]),
        ("fine", ["fine", "fine"]),
        (None, [None, None]),
        (7, [7, 7]),
        ({"a": [1, 2]}, [{"a": [1, 2]}] * 2),
        ([1, 2, 3], [[1, 2, 3]] * 2),
        ([], [[], []]),
        (np.array(1.5), [np.array(1.5)] * 2),
        (pd.DataFrame({"a": [1]}), [[{"a": 1}]] * 2),
    ],
)
def test_every_row_has_a_prediction(result, expected):
    output = pyfunc.answered(result, 2, BARE)
    assert output.prediction.tolist() == expected
    assert output.scores is None
    assert output.raw is result or result is None


def test_a_column_a_class_is_its_score():
    scores = np.array([[0.9, 0.1], [0.4, 0.6]])
    output = pyfunc.answered(scores, 2, TWO)
    assert output.prediction.tolist() == ["no", "yes"]
    assert output.score.tolist() == [0.1, 0.6]
    assert output.raw is scores
    assert pyfunc.answered(scores[:, :1], 2, TWO).scores is None


class Typed(mlflow.pyfunc.PythonModel):
    """Answers the types of its columns."""

    def predict(self, context, model_input, params=None):  # noqa: ARG002 - MLflow's signature
        if "fail" in (params or {}).values():
            raise ValueError("as asked")
        return [f"{name}:{kind}" for name, kind in model_input.dtypes.items()][: len(model_input)]


class Plainly(mlflow.pyfunc.PythonModel):
    """Takes neither context nor params."""

    def predict(self, model_input):
        return model_input["x"] * 2


def saved(folder, model, signature):
    mlflow.pyfunc.save_model(folder, python_model=model, signature=signature, pip_requirements=[])
    return folder


def loaded(folder):
    spec = specs.from_signature(loading.describe(folder).get("signature"))
    return loading.load(folder, spec=spec, digest="", allow_pickle=True)


ALL = {
    "d": ("double", np.array([1.5])),
    "f": ("float", np.array([0.5], dtype=np.float32)),
    "n": ("long", np.array([7])),
    "i": ("integer", np.array([7], dtype=np.int32)),
    "b": ("boolean", np.array([True])),
    "s": ("string", np.array(["a"], dtype=object)),
    "t": ("datetime", np.array(["2026-01-31"], dtype="datetime64[us]")),
}


@settings(max_examples=40, deadline=None)
@given(st.permutations(list(ALL)), st.integers(1, 7), st.integers(1, 3))
def test_frames_have_the_types_that_mlflow_enforces(order, width, rows):
    names = order[:width]
    columns = {name: np.repeat(ALL[name][1], rows) for name in names}
    frame = pyfunc.frame(columns)
    schema = Schema([ColSpec(ALL[name][0], name) for name in names])
    pd.testing.assert_frame_equal(_enforce_schema(frame, schema), frame)


def test_a_frame_is_the_models_own():
    columns = {"x": np.array([1.0]), "y": np.array([2.0])}
    frame = pyfunc.frame(columns)
    frame["x"] = 5.0
    frame.loc[0, "y"] = 7.0
    assert columns["x"].tolist() == [1.0]
    assert columns["y"].tolist() == [2.0]


def test_columns_that_were_not_sent_are_not_in_the_frame():
    columns = {"x": np.array([1.0]), "s": np.array([None], dtype=object)}
    assert list(pyfunc.frame(Lacking(columns, {"s"}))) == ["x"]
    assert list(pyfunc.frame(columns)) == ["x", "s"]


def test_a_custom_model_is_given_its_types_and_params(tmp_path):
    schema = Schema([ColSpec(kind, name) for name, (kind, _) in ALL.items()])
    signature = ModelSignature(schema, params=ParamSchema([ParamSpec("how", "string", "well")]))
    model = loaded(saved(tmp_path / "m", Typed(), signature))
    columns = {name: np.repeat(cells, 7) for name, (_, cells) in ALL.items()}
    assert model.predict(columns).prediction.tolist() == [
        *["d:float64", "f:float32", "n:int64", "i:int32", "b:bool", "s:object"],
        "t:datetime64[ns]",
    ]
    with pytest.raises(ValueError, match="as asked"):
        model.predict(columns, model.parameters.checked({"how": "fail"}))
    assert not model.together  # until it was seen to be


def test_a_model_without_params_is_called_without(tmp_path):
    signature = ModelSignature(Schema([ColSpec("double", "x")]))
    model = loaded(saved(tmp_path / "m", Plainly(), signature))
    assert model.predict({"x": np.array([1.5])}).prediction.tolist() == [3.0]
    with pytest.raises(DataError, match="takes no params"):
        model.predict({"x": np.array([1.5])}, {"how": 1})


def test_a_signature_that_is_not_the_specification_is_enforced_by_mlflow(tmp_path):
    folder = saved(tmp_path / "m", Typed(), ModelSignature(Schema([ColSpec("float", "x")])))
    wide = ModelSpec(1, "regression", (Column("x", "double"), Column("y", "double")))
    model = loading.load(folder, spec=wide, digest="", allow_pickle=True)
    with pytest.raises(mlflow.exceptions.MlflowException, match="safely convert float64"):
        model.predict({"x": np.array([1.5]), "y": np.array([2.5])})


def test_a_model_of_type_hints_validates_by_itself(tmp_path):
    class Hinted(mlflow.pyfunc.PythonModel):
        def predict(self, model_input: list[str]) -> list[int]:
            return [len(text) for text in model_input]

    mlflow.pyfunc.save_model(tmp_path / "m", python_model=Hinted(), pip_requirements=[])
    model = loaded(tmp_path / "m")
    given = model.forms.json("inputs", b'["a", "bcd"]')
    assert isinstance(given, Given)
    assert model.predict(given).prediction.tolist() == [1, 3]
    with pytest.raises(DataError, match="takes no 'instances'"):
        model.forms.json("instances", b'["a"]')


def test_what_mlflow_cannot_load_is_refused(tmp_path):
    folder = saved(tmp_path / "m", Typed(), ModelSignature(Schema([ColSpec("double", "x")])))
    with pytest.raises(UntrustedModel):
        loading.load(folder, spec=BARE, digest="")
    (folder / "python_model.pkl").write_bytes(b"no pickle")
    with pytest.raises(ModelRefused, match=r"mlflow\.pyfunc cannot load the model"):
        loading.load(folder, spec=BARE, digest="", allow_pickle=True)


def test_a_damaged_signature_is_refused(tmp_path):
    folder = saved(tmp_path / "m", Typed(), ModelSignature(Schema([ColSpec("double", "x")])))
    text = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(text.replace('"type": "double"', '"type": "odd"'))
    with pytest.raises(ModelRefused):
        loading.load(folder, spec=BARE, digest="", allow_pickle=True)
