"""XGBoost and LightGBM as MLflow's own flavours log them: compiled, and answering the same."""

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature

from lifecycle.models import loading, native, specs
from lifecycle.models.inputs import columns
from lifecycle.models.running import load_onnx
from lifecycle.records import Column, ModelSpec

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries, about names and pickles

FEATURES = (Column("age", "double", required=False), Column("fee", "double"))
SMALL = {"n_estimators": 12, "max_depth": 3, "n_jobs": 1, "random_state": 0}
QUIET = {**SMALL, "verbose": -1, "min_child_samples": 5}
TABLE = {
    "xgboost, binary": ("xgboost", "XGBClassifier", SMALL, 2),
    "xgboost, three classes": ("xgboost", "XGBClassifier", SMALL, 3),
    "xgboost, regression": ("xgboost", "XGBRegressor", SMALL, 0),
    "lightgbm, binary": ("lightgbm", "LGBMClassifier", QUIET, 2),
    "lightgbm, three classes": ("lightgbm", "LGBMClassifier", QUIET, 3),
    "lightgbm, regression": ("lightgbm", "LGBMRegressor", QUIET, 0),
}


def rows(seed, count=300):
    rng = np.random.default_rng(seed)
    made = pd.DataFrame({"age": rng.normal(size=count), "fee": rng.normal(size=count).round(1)})
    made.loc[::9, "age"] = np.nan
    return made


def fitted(library, name, options, classes):
    frame = rows(0)
    noise = np.random.default_rng(3).normal(size=len(frame))
    truth = (frame["age"].fillna(1.0) + frame["fee"] + noise).to_numpy()
    if classes:
        truth = np.searchsorted(np.quantile(truth, np.arange(1, classes) / classes), truth)
    return getattr(pytest.importorskip(library), name)(**options).fit(frame, truth)


def saved(folder, library, model):
    shape = infer_signature(rows(0), np.asarray(model.predict(rows(0))))
    flavour = getattr(mlflow, library)
    flavour.save_model(model, str(folder), signature=shape, pip_requirements=[])
    return folder


def spec_of(classes):
    kind = {0: "regression", 2: "binary", 3: "multiclass"}[classes]
    return ModelSpec(specs.SCHEMA, kind, FEATURES, classes=tuple(range(classes)))


def served(folder, spec):
    return loading.load(folder, spec=spec, digest="", allow_pickle=True)


@pytest.mark.parametrize("name", TABLE)
def test_compiles_and_answers_as_mlflow_does(tmp_path, name):
    library, _, _, classes = TABLE[name]
    folder = saved(tmp_path / "m", library, fitted(*TABLE[name]))
    model, spec = served(folder, spec_of(classes)), spec_of(classes)
    assert model.how == "pyfunc"
    estimator = native.estimator_of(folder, loading.describe(folder))
    found = native.compile_native(estimator, model, rows(1))
    assert found.reason == ""
    assert found.report["how"] == "exact"
    fresh = columns(rows(2), spec)
    ours = load_onnx(found.onnx, spec).predict(fresh)
    theirs = mlflow.pyfunc.load_model(str(folder)).predict(rows(2))
    if classes:
        assert ours.prediction.tolist() == np.asarray(theirs).tolist()
        assert ours.scores == pytest.approx(estimator.predict_proba(rows(2)), abs=1e-6)
    else:
        assert ours.prediction == pytest.approx(np.asarray(theirs), rel=1e-6, abs=1e-6)


def test_a_bare_booster_and_other_flavours_are_served_as_they_are(tmp_path):
    model = fitted(*TABLE["xgboost, binary"]).get_booster()
    folder = tmp_path / "m"
    mlflow.xgboost.save_model(model, str(folder), pip_requirements=[])
    assert native.estimator_of(folder, loading.describe(folder)) is None
    assert native.estimator_of(folder, {"flavors": {}}) is None


def test_what_answers_otherwise_than_its_labels_is_not_compiled(tmp_path):
    made = fitted(*TABLE["xgboost, binary"])
    folder, spec = (
        saved(tmp_path / "m", "xgboost", fitted(*TABLE["xgboost, regression"])),
        spec_of(2),
    )
    model = served(folder, spec)
    found = native.compile_native(made, model, rows(1))
    assert found.onnx is None
    assert "answers something else" in found.reason
    assert found.report["accepted"] is False


def test_what_cannot_be_compiled_says_why(tmp_path):
    options = {**SMALL, "booster": "dart"}
    made = fitted("xgboost", "XGBClassifier", options, 2)
    folder = saved(tmp_path / "m", "xgboost", made)
    found = native.compile_native(made, served(folder, spec_of(2)), rows(1))
    assert found.onnx is None
    assert "XGBoost's dart" in found.reason
