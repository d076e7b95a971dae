"""Every row of the table compiles and answers the same, or says in plain words why not.

To add a row: a name, an estimator, and what is expected: "exact" (our own writer), "skl2onnx", or
the beginning of the reason why it is not compiled.
"""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import (
    BayesianRidge,
    ElasticNet,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from lifecycle.models.compiling import compile_model
from lifecycle.models.inputs import columns, table
from lifecycle.records import Column, ModelSpec

pytestmark = pytest.mark.filterwarnings("ignore")  # of scikit-learn, about tiny data

FEATURES = (
    Column("age", "double", required=False),
    Column("fee", "double"),
    Column("visits", "long"),
    Column("plan", "string", required=False),
    Column("city", "string"),
    Column("paid", "boolean", required=False),
)
NUMBERS, TEXTS = ["age", "fee", "visits"], ["plan", "city"]
ROWS = 400


def frame(seed=0, rows=ROWS):
    rng = np.random.default_rng(seed)
    age = rng.normal(40.0, 12.0, rows)
    age[rng.random(rows) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "age": age,
            "fee": rng.gamma(2.0, 5.0, rows).round(2),
            "visits": rng.poisson(3.0, rows),
            "plan": rng.choice(np.array(["basic", "plus", "pro", None], dtype=object), rows),
            "city": rng.choice(np.array([f"c{n}" for n in range(12)], dtype=object), rows)
            if seed
            else np.array([f"c{n * n % 17}" for n in range(rows)], dtype=object),
            "paid": rng.choice(np.array([True, False, None], dtype=object), rows),
        }
    )


def target(rows, kind):
    rng = np.random.default_rng(5)
    signal = rows["age"].fillna(30.0) / 10.0 + (rows["plan"] == "pro") + rows["visits"] / 3.0
    signal = (signal + rng.normal(size=len(rows))).to_numpy()
    if kind == "regression":
        return np.abs(signal) + 0.1
    cuts = np.quantile(signal, [0.6] if kind == "binary" else [0.3, 0.7])
    return np.array(["a", "b", "c"], dtype=object)[np.searchsorted(cuts, signal)]


def on(numbers=None, texts=None, **options):
    """A preprocessor: numbers and texts of the frame, each by its own transformer."""
    parts = []
    if numbers is not None:
        parts.append((numbers, NUMBERS))
    if texts is not None:
        parts.append((texts, TEXTS))
    return make_column_transformer(*parts, **options)


def filled(*steps):
    return make_pipeline(SimpleImputer(), *steps)


HOT = OneHotEncoder(handle_unknown="ignore")
USUAL = on(filled(StandardScaler()), HOT, sparse_threshold=0)
WHOLE = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
BOOST = HistGradientBoostingClassifier(max_iter=8, min_samples_leaf=5)
FOREST = RandomForestClassifier(9)
LOGISTIC = LogisticRegression(max_iter=400)

ENCODERS = {
    "one-hot, ignore unknown": HOT,
    "one-hot, drop first": OneHotEncoder(drop="first", handle_unknown="ignore"),
    "one-hot, drop if binary": OneHotEncoder(drop="if_binary", handle_unknown="ignore"),
    "one-hot, rare": OneHotEncoder(min_frequency=15, handle_unknown="infrequent_if_exist"),
    "one-hot, most": OneHotEncoder(max_categories=3, handle_unknown="infrequent_if_exist"),
    "one-hot, unknown is an error": OneHotEncoder(),
    "ordinal": WHOLE,
    "ordinal, unknown is null": make_pipeline(
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan),
        SimpleImputer(strategy="most_frequent", add_indicator=True),
    ),
    "ordinal, rare": OrdinalEncoder(
        min_frequency=15, handle_unknown="use_encoded_value", unknown_value=-1
    ),
    "ordinal, unknown is an error": OrdinalEncoder(),
    "target": TargetEncoder(random_state=0),
    "most frequent, then one-hot": make_pipeline(
        SimpleImputer(missing_values=None, strategy="most_frequent"), HOT
    ),
    "constant, then target, scaled": make_pipeline(
        SimpleImputer(missing_values=None, strategy="constant", fill_value="?"),
        TargetEncoder(random_state=0),
        StandardScaler(),
    ),
}
SCALERS = {
    "standard": filled(StandardScaler()),
    "standard without mean": filled(StandardScaler(with_mean=False)),
    "min-max": make_pipeline(MinMaxScaler(), SimpleImputer(strategy="median")),
    "min-max, clipped": filled(MinMaxScaler(clip=True)),
    "robust": make_pipeline(SimpleImputer(strategy="median"), RobustScaler()),
    "largest": make_pipeline(MaxAbsScaler(), SimpleImputer(strategy="most_frequent")),
    "constant": make_pipeline(SimpleImputer(strategy="constant", fill_value=-1.0)),
    "indicator": make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()),
    "indicator alone": make_union(SimpleImputer(), MissingIndicator()),
    "quantiles": filled(QuantileTransformer(n_quantiles=50)),
    "power": filled(PowerTransformer()),
    "box-cox": filled(MinMaxScaler((1, 2)), PowerTransformer(method="box-cox")),
    "bins": filled(KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf")),
    "bins, one-hot": filled(KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf")),
    "polynomial": filled(StandardScaler(), PolynomialFeatures(2)),
    "interactions": filled(PolynomialFeatures(2, interaction_only=True, include_bias=False)),
    "binarizer": filled(Binarizer(threshold=5.0)),
    "passthrough": filled(FunctionTransformer()),
    "logarithm": filled(MinMaxScaler(), FunctionTransformer(np.log1p)),
    "components": filled(StandardScaler(), PCA(2, whiten=True)),
    "less components": filled(PolynomialFeatures(2), TruncatedSVD(3, random_state=0)),
    "chosen": filled(SelectKBest(k=2)),
}
CLASSIFIERS = {
    "logistic": LOGISTIC,
    "SGD": SGDClassifier(loss="log_loss", random_state=0),
    "SGD, Huber": SGDClassifier(loss="modified_huber", random_state=0),
    "discriminant": LinearDiscriminantAnalysis(),
    "tree": DecisionTreeClassifier(random_state=0),
    "forest": FOREST,
    "extra trees": ExtraTreesClassifier(9, random_state=0),
    "boosting": GradientBoostingClassifier(n_estimators=8, random_state=0),
    "histogram": BOOST,
    "AdaBoost": AdaBoostClassifier(n_estimators=9, random_state=0),
    "AdaBoost of deep trees": AdaBoostClassifier(
        DecisionTreeClassifier(max_depth=3), n_estimators=5, random_state=0
    ),
    "bagging": BaggingClassifier(n_estimators=5, random_state=0),
    "bagging of columns": BaggingClassifier(
        LOGISTIC, n_estimators=4, max_features=0.6, random_state=0
    ),
    "network": MLPClassifier((6, 4), max_iter=40, random_state=0),
    "network, tanh": MLPClassifier((6,), activation="tanh", max_iter=40, random_state=0),
    "naive Bayes": GaussianNB(),
    "sigmoid on boosting": CalibratedClassifierCV(BOOST, cv=2),
    "isotonic on boosting": CalibratedClassifierCV(BOOST, method="isotonic", cv=2),
    "isotonic on a forest": CalibratedClassifierCV(FOREST, method="isotonic", cv=2),
    "sigmoid on all folds": CalibratedClassifierCV(FOREST, cv=2, ensemble=False),
    "isotonic on all folds": CalibratedClassifierCV(
        LOGISTIC, method="isotonic", cv=2, ensemble=False
    ),
    "temperature": CalibratedClassifierCV(LOGISTIC, method="temperature", cv=2),
    "sigmoid on linear machine": CalibratedClassifierCV(LinearSVC(), cv=2),
    "sigmoid on ridge": CalibratedClassifierCV(RidgeClassifier(), cv=2),
    "voting": VotingClassifier(
        [("one", LOGISTIC), ("two", FOREST), ("three", BOOST)], voting="soft", weights=[1, 2, 3]
    ),
    "stacking": StackingClassifier([("one", LOGISTIC), ("two", FOREST)], cv=2),
    "stacking, passed through": StackingClassifier(
        [("one", BOOST), ("two", GaussianNB())], BOOST, cv=2, passthrough=True
    ),
    "most frequent": DummyClassifier(strategy="prior"),
    "search": GridSearchCV(LOGISTIC, {"C": [0.1, 1.0]}, cv=2),
}
REGRESSORS = {
    "linear": LinearRegression(),
    "ridge": Ridge(),
    "lasso": Lasso(alpha=0.01),
    "elastic net": ElasticNet(alpha=0.01),
    "Huber": HuberRegressor(max_iter=1000),
    "Bayesian ridge": BayesianRidge(),
    "SGD": SGDRegressor(random_state=0),
    "Poisson": PoissonRegressor(),
    "tree": DecisionTreeRegressor(random_state=0),
    "forest": RandomForestRegressor(9, random_state=0),
    "extra trees": ExtraTreesRegressor(9, random_state=0),
    "boosting": GradientBoostingRegressor(n_estimators=8, random_state=0),
    "histogram": HistGradientBoostingRegressor(max_iter=8),
    "histogram, gamma": HistGradientBoostingRegressor(max_iter=8, loss="gamma"),
    "network": MLPRegressor(hidden_layer_sizes=(6,), max_iter=60, random_state=0),
    "support vectors": SVR(),
    "bagging": BaggingRegressor(n_estimators=5, random_state=0),
    "voting": VotingRegressor([("one", Ridge()), ("two", RandomForestRegressor(5))]),
    "stacking": StackingRegressor([("one", Ridge()), ("two", RandomForestRegressor(5))], cv=2),
    "logarithm of the target": TransformedTargetRegressor(
        Ridge(), func=np.log1p, inverse_func=np.expm1
    ),
    "scaled target": TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
    "mean": DummyRegressor(),
}
BINARY = {
    "sigmoid on support vectors": CalibratedClassifierCV(SVC(), cv=2),
    "sigmoid on a polynomial kernel": CalibratedClassifierCV(SVC(kernel="poly"), cv=2),
    "temperature on probabilities": CalibratedClassifierCV(FOREST, method="temperature", cv=2),
    "logistic, liblinear": LogisticRegression(solver="liblinear"),
    "exponential boosting": GradientBoostingClassifier(
        n_estimators=8, loss="exponential", random_state=0
    ),
    "fixed threshold": FixedThresholdClassifier(BOOST, threshold=0.3),
    "tuned threshold": TunedThresholdClassifierCV(LOGISTIC, cv=2),
}
NAN = RandomForestClassifier(9, random_state=0)
WITH_NULLS = {  # trees on columns that hold nulls, as they are
    "forest": NAN,
    "tree": DecisionTreeClassifier(random_state=0),
    "extra trees": ExtraTreesClassifier(9, random_state=0),
    "histogram": BOOST,
    "calibrated forest": CalibratedClassifierCV(NAN, cv=2),
}
CATEGORIES = {  # of 12 and 4 levels, the places that an encoder made of them
    "by place": HistGradientBoostingClassifier(
        max_iter=8, min_samples_leaf=5, categorical_features=[3, 4]
    ),
    "by place, regression": HistGradientBoostingRegressor(max_iter=8, categorical_features=[3, 4]),
}
REFUSED = {
    "nearest rows": (
        make_pipeline(USUAL, KNeighborsClassifier()),
        "our writer does not know KNeighborsClassifier; skl2onnx takes no boolean column",
    ),
    "nearest rows as an imputer": (
        make_pipeline(on(KNNImputer()), FOREST),
        "our writer does not know KNNImputer, and skl2onnx rounds",
    ),
    "libsvm's own probabilities": (
        make_pipeline(USUAL, SVC(probability=True, random_state=0)),
        "our writer does not know SVC; skl2onnx takes no boolean column",
    ),
    "counted votes": (
        make_pipeline(USUAL, VotingClassifier([("one", LOGISTIC), ("two", FOREST)])),
        "the classifier has no probabilities",
    ),
    "no probabilities": (make_pipeline(USUAL, LinearSVC()), "the classifier has no probabilities"),
    "a function of one's own": (
        make_pipeline(on(filled(FunctionTransformer(np.square))), FOREST),
        "our writer does not know FunctionTransformer of square",
    ),
    "weighted medians": (
        make_pipeline(USUAL, AdaBoostRegressor(n_estimators=3)),
        "our writer does not know AdaBoostRegressor, and skl2onnx rounds",
    ),
}


def rows_of_the_table():
    for kind in ("binary", "multiclass"):
        for name, encoder in ENCODERS.items():
            yield f"{name}, forest, {kind}", make_pipeline(on(None, encoder), FOREST), kind
        for name, model in CLASSIFIERS.items():
            yield f"{name}, {kind}", make_pipeline(USUAL, model), kind
        for name, model in WITH_NULLS.items():
            yield f"{name} with nulls, {kind}", make_pipeline(on("passthrough", HOT), model), kind
    for name, encoder in ENCODERS.items():
        yield f"{name}, linear", make_pipeline(on(None, encoder), LOGISTIC), "binary"
        yield f"{name}, regression", make_pipeline(on(None, encoder), Ridge()), "regression"
    for name, scaler in SCALERS.items():
        yield f"{name}, linear", make_pipeline(on(scaler, HOT), LOGISTIC), "binary"
        yield f"{name}, histogram", make_pipeline(on(scaler, sparse_threshold=0), BOOST), "binary"
        yield f"{name}, forest", make_pipeline(on(scaler, WHOLE), FOREST), "multiclass"
    for name, model in BINARY.items():
        yield f"{name}, binary", make_pipeline(USUAL, model), "binary"
    for name, model in REGRESSORS.items():
        yield f"{name}, regression", make_pipeline(USUAL, model), "regression"
    for name, model in CATEGORIES.items():
        kind = "binary" if is_classifier(model) else "regression"
        unknown = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
        yield f"categories {name}", make_pipeline(on("passthrough", unknown), model), kind
    whole = make_pipeline(USUAL, BOOST)
    yield "calibration of a pipeline", CalibratedClassifierCV(whole, cv=2), "binary"
    voters = [("one", whole), ("two", make_pipeline(USUAL, LOGISTIC))]
    yield "vote of pipelines", VotingClassifier(voters, voting="soft"), "binary"
    yield "threshold around a pipeline", FixedThresholdClassifier(whole, threshold=0.2), "binary"
    hot_numbers = make_column_transformer((HOT, ["visits", "paid"]), (StandardScaler(), ["fee"]))
    yield "one-hot of numbers", make_pipeline(hot_numbers, LOGISTIC), "binary"
    strict = make_column_transformer((OneHotEncoder(), ["visits"]), sparse_threshold=0)
    yield "one-hot of numbers, strict", make_pipeline(strict, FOREST), "binary"


TABLE = {name: (model, kind) for name, model, kind in rows_of_the_table()}


def spec_of(kind):
    classes = {"binary": ("a", "b"), "multiclass": ("a", "b", "c")}.get(kind, ())
    return ModelSpec(1, kind, FEATURES, classes=classes)


def trained(model, kind):
    rows = frame()
    return clone(model).fit(table(columns(rows, spec_of(kind))), target(rows, kind))


@pytest.mark.parametrize("name", TABLE)
def test_compiles_and_answers_the_same(name):
    model, kind = TABLE[name]
    made, spec = trained(model, kind), spec_of(kind)
    found = compile_model(made, spec, frame(1, 300))
    assert found.reason == ""
    assert found.report["how"] == "exact"
    assert found.report["largest_difference"] <= 1e-9
    assert {"hold-out rows", "one row", "rows with nulls", "rows with new levels"} <= set(
        found.report["rows"]
    )


def test_what_the_page_names_is_in_the_table():
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    section = page.partition("## Compiled models")[2].partition("\n## ")[0]
    listed = section.partition("| compiled | |")[2].partition("\n\n")[0]
    models = [model for model, _ in TABLE.values()]
    parts = [part for model in models for part in model.get_params(deep=True).values()]
    tried = {type(part).__name__ for part in [*models, *parts]}
    for name in re.findall(r"`(\w+\*?)`", listed):
        if name[0].isupper():
            known = [kind for kind in tried if kind == name or kind.startswith(name.rstrip("*"))]
            assert known, f"docs/serving.md says that {name} compiles; no row tries it"


@pytest.mark.parametrize("name", REFUSED)
def test_says_why_not(name):
    model, reason = REFUSED[name]
    kind = "binary" if is_classifier(model) else "regression"
    found = compile_model(trained(model, kind), spec_of(kind), frame(1, 300))
    assert found.onnx is None
    assert found.reason.startswith(reason)
    assert found.report["accepted"] is False
