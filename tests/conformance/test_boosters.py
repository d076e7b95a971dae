"""XGBoost and LightGBM in a pipeline compile and answer the same, or say in plain words why not."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from lifecycle.models.compiling import compile_model
from lifecycle.records import Column, ModelSpec

pytestmark = pytest.mark.filterwarnings("ignore")  # of scikit-learn, about names and tiny data

FEATURES = (
    Column("age", "double", required=False),
    Column("fee", "double"),
    Column("plan", "string"),
)
CLASSES = {"binary": 2, "multiclass": 3, "regression": 0}
XGB, LGBM = {"n_estimators": 12}, {"n_estimators": 12, "verbose": -1}
TABLE = {
    "xgboost, binary": ("xgboost", "XGBClassifier", XGB, "binary"),
    "xgboost, multiclass": ("xgboost", "XGBClassifier", XGB, "multiclass"),
    "xgboost, regression": ("xgboost", "XGBRegressor", XGB, "regression"),
    "xgboost, absolute error": (
        "xgboost",
        "XGBRegressor",
        {**XGB, "objective": "reg:absoluteerror"},
        "regression",
    ),
    "xgboost, forest in each round": (
        "xgboost",
        "XGBClassifier",
        {**XGB, "num_parallel_tree": 3, "subsample": 0.7},
        "binary",
    ),
    "lightgbm, binary": ("lightgbm", "LGBMClassifier", LGBM, "binary"),
    "lightgbm, multiclass": ("lightgbm", "LGBMClassifier", LGBM, "multiclass"),
    "lightgbm, regression": ("lightgbm", "LGBMRegressor", LGBM, "regression"),
    "lightgbm, no nulls in training": (
        "lightgbm",
        "LGBMRegressor",
        {**LGBM, "use_missing": False},
        "regression",
    ),
}
REFUSED = {
    "xgboost, tweedie": (
        ("xgboost", "XGBRegressor", {"objective": "reg:tweedie"}),
        "XGBoost with the objective reg:tweedie",
    ),
    "xgboost, linear": (("xgboost", "XGBRegressor", {"booster": "gblinear"}), "XGBoost's gblinear"),
    "xgboost, -1 is null": (
        ("xgboost", "XGBRegressor", {"missing": -1.0}),
        "XGBoost with -1.0 as missing",
    ),
    "lightgbm, poisson": (
        ("lightgbm", "LGBMRegressor", {**LGBM, "objective": "poisson"}),
        "LightGBM with the objective poisson",
    ),
    "lightgbm, zero is null": (
        ("lightgbm", "LGBMRegressor", {**LGBM, "zero_as_missing": True}),
        "LightGBM with categorical splits, or zero as missing",
    ),
    "lightgbm, a forest": (
        ("lightgbm", "LGBMRegressor", {**LGBM, "boosting_type": "rf", "subsample": 0.5,
                                       "subsample_freq": 1}),
        "LightGBM's random forest",
    ),
}  # fmt: skip


def frame(seed, rows):
    rng = np.random.default_rng(seed)
    made = pd.DataFrame({"age": rng.normal(size=rows), "fee": rng.normal(size=rows).round(1)})
    made["plan"] = rng.choice(np.array(["a", "b", "c"], dtype=object), rows)
    made.loc[::9, "age"] = np.nan
    return made


def compiled(library, name, options, kind):
    rows, classes = frame(0, 400), CLASSES[kind]
    noise = np.random.default_rng(3).normal(size=len(rows))
    signal = (rows["age"].fillna(1.0) + (rows["plan"] == "a") + rows["fee"] + noise).to_numpy()
    truth = np.abs(signal)
    if classes:
        truth = np.searchsorted(np.quantile(signal, np.arange(1, classes) / classes), signal)
    prepare = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["plan"]),
        ("passthrough", ["age", "fee"]),
        sparse_threshold=0,
    )
    model = getattr(pytest.importorskip(library), name)(random_state=0, **options)
    spec = ModelSpec(1, kind, FEATURES, classes=tuple(range(classes)))
    made = make_pipeline(prepare, model).fit(rows, truth)
    return compile_model(made, spec, frame(1, 600))


@pytest.mark.parametrize("name", TABLE)
def test_compiles_and_answers_the_same(name):
    found = compiled(*TABLE[name])
    assert found.reason == ""
    assert found.report["how"] == "exact"
    assert {"rows at split thresholds", "rows with nulls", "rows with new levels"} <= set(
        found.report["rows"]
    )


@pytest.mark.parametrize("name", REFUSED)
def test_says_why_not(name):
    made, part = REFUSED[name]
    found = compiled(*made, "regression")
    assert found.onnx is None
    assert found.reason.startswith(f"our writer does not know {part}")


def test_early_stopping_keeps_the_best_rounds_only():
    library = pytest.importorskip("xgboost")
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(300, 2)), columns=["age", "fee"])
    y = (x["age"] + rng.normal(size=300) > 0).astype(int)
    model = library.XGBClassifier(n_estimators=200, early_stopping_rounds=3, learning_rate=1.0)
    model.fit(x[:200], y[:200], eval_set=[(x[200:], y[200:])], verbose=False)
    assert model.best_iteration < 20
    spec = ModelSpec(1, "binary", FEATURES[:2], classes=(0, 1))
    found = compile_model(model, spec, x)
    assert found.reason == ""
