"""Models of MLflow's own flavours: boosting without scikit-learn's frames, estimators on arrays."""

import json

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, Schema
from sklearn.linear_model import LinearRegression, LogisticRegression

from lifecycle.models import loading, specs
from lifecycle.models.separable import separable
from lifecycle.serve.decode import Decoder

JSON = "application/json"
RNG = np.random.default_rng(0)
DOUBLES = pd.DataFrame(RNG.normal(size=(200, 4)), columns=["a", "b", "c", "d"])
MIXED = DOUBLES.assign(
    b=RNG.integers(0, 9, 200).astype(np.int32), c=RNG.random(200) > 0.5, d=DOUBLES["d"].round(3)
)
LONG = DOUBLES.assign(b=RNG.integers(0, 9, 200))
TRUTH = (DOUBLES["a"] + DOUBLES["d"] > 0).astype(int)
FRAMES = {"doubles": DOUBLES, "mixed": MIXED, "long": LONG}


def xgboost_classifier(folder, frame):
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBClassifier(n_estimators=8, max_depth=3, n_jobs=1).fit(frame, TRUTH)
    signature = infer_signature(frame, model.predict(frame))
    mlflow.xgboost.save_model(model, folder, signature=signature, pip_requirements=[])


def xgboost_booster(folder, frame):
    xgboost = pytest.importorskip("xgboost")
    options = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1}
    booster = xgboost.train(options, xgboost.DMatrix(frame, TRUTH), 8)
    signature = infer_signature(frame, booster.predict(xgboost.DMatrix(frame)))
    mlflow.xgboost.save_model(booster, folder, signature=signature, pip_requirements=[])


def lightgbm_classifier(folder, frame):
    lightgbm = pytest.importorskip("lightgbm")
    model = lightgbm.LGBMClassifier(n_estimators=8, n_jobs=1, verbose=-1).fit(frame, TRUTH)
    signature = infer_signature(frame, model.predict(frame))
    mlflow.lightgbm.save_model(model, folder, signature=signature, pip_requirements=[])


BOOSTED = [xgboost_classifier, xgboost_booster, lightgbm_classifier]


@pytest.fixture
def saved(tmp_path):
    """`saved(save, *arguments)` -> the folder that `save` wrote."""

    def get(save, *arguments):
        save(str(tmp_path / "m"), *arguments)
        return tmp_path / "m"

    return get


def forms(frame):
    rows = frame.to_dict("records")
    data = {"columns": list(frame), "data": [list(row.values()) for row in rows]}
    bodies = {
        "dataframe_split": data,
        "dataframe_records": rows,
        "instances": rows,
        "inputs": frame.to_dict("list"),
    }
    return {form: json.dumps({form: body}).encode() for form, body in bodies.items()}


@pytest.mark.parametrize("columns", FRAMES)
@pytest.mark.parametrize("save", BOOSTED)
def test_boosted_models_answer_as_in_mlflow(saved, of_folder, save, columns):
    frame = FRAMES[columns]
    ask = of_folder(saved(save, frame))
    for rows in (frame.head(1), frame.head(7)):
        for form, body in forms(rows).items():
            theirs, ours = ask(JSON, body)
            assert theirs[0] == 200, (form, theirs)
            assert ours == theirs, form


@pytest.mark.parametrize("save", BOOSTED)
def test_boosted_models_answer_rows_of_many_requests_in_one_call(saved, save):
    folder = saved(save, MIXED)
    spec = specs.from_signature(loading.describe(folder)["signature"])
    model = loading.load(folder, spec=spec, digest="")
    assert model.how == "pyfunc"
    assert model.together
    assert separable(model, Decoder(spec).json(forms(MIXED.head(5))["inputs"]).columns)


@pytest.mark.parametrize("save", BOOSTED)
def test_gaps_are_gaps_to_boosted_models(saved, of_folder, save):
    frame = DOUBLES.assign(b=DOUBLES["b"].where(RNG.random(200) > 0.3))
    folder = saved(save, frame)
    described = mlflow.models.Model.load(str(folder))
    optional = [ColSpec("double", name, name != "b") for name in frame]
    described.signature = ModelSignature(Schema(optional))
    described.save(str(folder / "MLmodel"))
    body = b'{"inputs": {"a": [0.5, 0.5], "b": [null, 0.25], "c": [1, 2], "d": [-1.5, 0.1]}}'
    theirs, ours = of_folder(folder)(JSON, body)
    assert theirs[0] == 200
    assert ours == theirs


def test_an_order_that_is_not_the_boosters_own_is_an_error_as_in_mlflow(saved, of_folder):
    folder = saved(xgboost_classifier, DOUBLES)
    described = mlflow.models.Model.load(str(folder))
    described.signature = ModelSignature(Schema([ColSpec("double", name) for name in "badc"]))
    described.save(str(folder / "MLmodel"))
    theirs, ours = of_folder(folder)(JSON, forms(DOUBLES.head(2))["dataframe_records"])
    assert theirs[0] == 400
    assert ours[0] == 500


def sklearn(folder, rows, signature):
    model = LogisticRegression(max_iter=500).fit(rows, TRUTH)
    if signature == "inferred":
        signature = infer_signature(rows, model.predict(rows))
    mlflow.sklearn.save_model(model, folder, signature=signature, pip_requirements=[])


UNNAMED = ModelSignature(Schema([ColSpec("double")] * 4))


@pytest.mark.parametrize("signature", ["inferred", False, UNNAMED], ids=["tensor", "no", "unnamed"])
@pytest.mark.parametrize("form", ["instances", "inputs"])
def test_estimators_that_were_fitted_on_arrays(saved, of_folder, signature, form):
    ask = of_folder(saved(sklearn, DOUBLES.to_numpy(), signature))
    body = json.dumps({form: DOUBLES.head(6).to_numpy().tolist()}).encode()
    theirs, ours = ask(JSON, body)
    assert theirs[0] == 200
    assert ours == theirs


ARRAYS = {
    b'{"inputs": [[1, 2, 3]]}': "does not fit|rows of 4",
    b'{"inputs": [[1, 2, 3, 4], [1, 2]]}': "cannot be read|rows of 4",
    b'{"inputs": [1, 2, 3, 4]}': "does not fit|rows of 4",
    b'{"inputs": []}': "does not fit|rows",
    b'{"inputs": {"a": [1, 2]}}': "cannot be read|rows of 4",
    b'{"instances": [[1, 2, 3, 4], [1, 2]]}': "different lengths",
}


@pytest.mark.parametrize("body", ARRAYS)
@pytest.mark.parametrize("signature", ["inferred", False], ids=["tensor", "no"])
def test_arrays_that_no_estimator_takes(saved, of_folder, signature, body):
    theirs, ours = of_folder(saved(sklearn, DOUBLES.to_numpy(), signature))(JSON, body)
    assert theirs[0] == 400
    assert ours[0] == 400
    assert any(said in ours[1]["message"] for said in ARRAYS[body].split("|"))


def test_columns_that_an_estimator_without_a_signature_knows(saved, of_folder):
    ask = of_folder(saved(sklearn, DOUBLES, False))
    body = forms(DOUBLES.head(3))
    theirs, ours = ask(JSON, body["dataframe_split"])
    assert theirs[0] == 200
    assert ours == theirs
    for frame, said in (
        (DOUBLES.drop(columns="c"), "column 'c' is missing"),
        (DOUBLES.assign(z=1.0), "column 'z' is not known"),
    ):
        theirs, ours = ask(JSON, forms(frame.head(2))["dataframe_records"])
        assert (theirs[0], ours[0]) == (400, 400)
        assert said in ours[1]["message"]


def test_an_estimators_params_are_checked_and_not_used(saved, of_folder):
    from mlflow.types import ParamSchema, ParamSpec

    signature = ModelSignature(
        Schema([ColSpec("double", "a")]), params=ParamSchema([ParamSpec("top", "long", 3)])
    )

    def save(folder):
        model = LinearRegression().fit(DOUBLES[["a"]], TRUTH)
        mlflow.sklearn.save_model(model, folder, signature=signature, pip_requirements=[])

    ask = of_folder(saved(save))
    for params, status in (({"top": 5}, 200), ({"top": "x"}, 400), ({}, 200)):
        body = json.dumps({"inputs": {"a": [0.5]}, "params": params}).encode()
        theirs, ours = ask(JSON, body)
        assert (theirs[0], ours[0]) == (status, status)
