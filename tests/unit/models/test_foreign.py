"""What skl2onnx makes is made elsewhere, with a time limit, and fails in plain words."""

import os
import subprocess
import sys

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from lifecycle.models import specs
from lifecycle.models.foreign import CannotCompile, convert, kinds_of, write
from lifecycle.models.inputs import table
from lifecycle.models.loading import load_onnx
from lifecycle.records import Column, ModelSpec

FEATURES = (Column("x", "double"), Column("z", "double"))


def frame(rows=120, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"x": rng.normal(size=rows), "z": rng.normal(size=rows)})


@pytest.mark.parametrize("dtype", ["datetime", "boolean", "binary"])
def test_a_column_that_onnx_has_no_type_for_is_named(dtype):
    spec = ModelSpec(1, "regression", (*FEATURES, Column("odd one", dtype)))
    with pytest.raises(CannotCompile, match=rf"takes no {dtype} column \(odd one\)"):
        kinds_of(spec)


def test_every_number_becomes_a_double_and_texts_stay():
    named = [("a", "double"), ("b", "float"), ("c", "long"), ("d", "integer"), ("e", "string")]
    spec = ModelSpec(1, "regression", tuple(Column(name, kind) for name, kind in named))
    assert [kind for _, kind in kinds_of(spec)] == ["double"] * 4 + ["string"]


def test_a_classifier_keeps_its_scores_and_answers_in_its_classes(tmp_path):
    data = frame()
    y = np.where(data["x"] + data["z"] > 0.0, "yes", "no")
    made = make_pipeline(MinMaxScaler(), LogisticRegression()).fit(data, y)
    spec = ModelSpec(1, "binary", FEATURES, classes=("no", "yes"))
    write(made, spec, tmp_path / "onnx")
    asked = {name: frame(50, 1)[name].to_numpy() for name in ("x", "z")}
    found = load_onnx((tmp_path / "onnx").read_bytes(), spec).predict(asked)
    np.testing.assert_allclose(found.scores, made.predict_proba(table(asked)), atol=1e-6)
    assert found.prediction.tolist() == made.predict(table(asked)).tolist()


def test_a_regression_is_converted_in_a_process_of_its_own():
    data = frame()
    made = make_pipeline(MinMaxScaler(), KNeighborsRegressor(3)).fit(data, data["x"] * 2.0)
    spec = ModelSpec(1, "regression", FEATURES)
    content = convert(made, spec, timeout=120.0)
    asked = {name: data[name].to_numpy()[:20] for name in ("x", "z")}
    found = load_onnx(content, spec).predict(asked)
    np.testing.assert_allclose(found.prediction, made.predict(table(asked)), rtol=1e-5)


class Lines(RegressorMixin, BaseEstimator):
    """No converter knows it."""

    def fit(self, X, y):
        self.slope_ = float(np.mean(y) / len(X))
        return self

    def predict(self, X):
        return np.full(len(X), self.slope_)


def test_an_estimator_that_no_converter_knows_is_named(tmp_path):
    data = frame()
    made = Lines().fit(data, data["x"])
    with pytest.raises(CannotCompile, match="Lines"):
        write(made, ModelSpec(1, "regression", FEATURES), tmp_path / "onnx")
    assert not (tmp_path / "onnx").exists(), "half a model is left behind"


class Leaves(BaseEstimator):
    """Ends the process that reads it, as a broken converter may."""

    def __reduce__(self):
        return (os._exit, (7,))


def test_a_converter_that_dies_takes_nobody_along():
    with pytest.raises(CannotCompile, match="cannot convert it: no message"):
        convert(Leaves(), ModelSpec(1, "regression", FEATURES), timeout=60.0)


def test_a_column_it_cannot_take_costs_no_process():
    spec = ModelSpec(1, "regression", (Column("at", "datetime"),))
    with pytest.raises(CannotCompile, match="takes no datetime column"):
        convert(Leaves(), spec, timeout=0.0)


def test_the_module_is_a_program_of_three_files(tmp_path):
    data = frame()
    made = make_pipeline(MinMaxScaler(), GaussianNB()).fit(data, np.arange(120) % 2)
    spec = ModelSpec(1, "binary", FEATURES, classes=(0, 1))
    (tmp_path / "model").write_bytes(cloudpickle.dumps(made))
    (tmp_path / "spec").write_text(specs.dumps(spec))
    paths = [str(tmp_path / name) for name in ("model", "spec", "onnx")]
    command = [sys.executable, "-W", "ignore", "-m", "lifecycle.models.foreign", *paths]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    asked = {name: data[name].to_numpy() for name in ("x", "z")}
    found = load_onnx((tmp_path / "onnx").read_bytes(), spec).predict(asked)
    np.testing.assert_allclose(found.scores, made.predict_proba(table(asked)), atol=1e-5)
