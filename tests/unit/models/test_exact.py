"""What is compiled answers row for row what scikit-learn answers: thresholds, nulls, new levels."""

import functools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from lifecycle.models.candidates import MOST_LEVELS, prepare
from lifecycle.models.compiling import compile_model, thresholds
from lifecycle.models.elements import Unsupported
from lifecycle.models.exact import exact
from lifecycle.models.inputs import table
from lifecycle.models.loading import load_onnx
from lifecycle.records import Column, ModelSpec

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FEATURES = (
    Column("age", "double", required=False),
    Column("fee", "double", required=False),
    Column("plan", "string", required=False),
    Column("paid", "boolean", required=False),
)
SPECS = {
    "binary": ModelSpec(1, "binary", FEATURES, classes=(0, 1)),
    "multiclass": ModelSpec(1, "multiclass", FEATURES, classes=("a", "b", "c")),
    "regression": ModelSpec(1, "regression", FEATURES),
}
HGB = {"max_iter": 6, "min_samples_leaf": 4}
CLASSIFIERS = {
    "logistic": LogisticRegression(max_iter=300),
    "logistic, no intercept": LogisticRegression(fit_intercept=False, C=0.1),
    "histogram": HistGradientBoostingClassifier(**HGB),
    "boosting": GradientBoostingClassifier(n_estimators=6),
    "forest": RandomForestClassifier(n_estimators=7, bootstrap=False),
    "extra trees": ExtraTreesClassifier(n_estimators=7),
    "tree": DecisionTreeClassifier(max_depth=4),
    "stump": DecisionTreeClassifier(max_depth=1),
    "network": MLPClassifier((5, 3), max_iter=8),
    "tanh network": MLPClassifier((4,), activation="tanh", max_iter=8),
}
REGRESSORS = {
    "linear": LinearRegression(),
    "ridge": Ridge(alpha=3.0),
    "elastic net": ElasticNet(alpha=0.1),
    "lasso": Lasso(alpha=0.1),
    "histogram": HistGradientBoostingRegressor(**HGB),
    "histogram, median": HistGradientBoostingRegressor(loss="absolute_error", **HGB),
    "histogram, upper": HistGradientBoostingRegressor(loss="quantile", quantile=0.9, **HGB),
    "histogram, counts": HistGradientBoostingRegressor(loss="poisson", **HGB),
    "histogram, gamma": HistGradientBoostingRegressor(loss="gamma", **HGB),
    "boosting": GradientBoostingRegressor(n_estimators=6, loss="huber"),
    "forest": RandomForestRegressor(n_estimators=7),
    "extra trees": ExtraTreesRegressor(n_estimators=7),
    "tree": DecisionTreeRegressor(max_depth=5),
    "network": MLPRegressor(hidden_layer_sizes=(5,), activation="logistic", max_iter=8),
    "straight network": MLPRegressor(hidden_layer_sizes=(5,), activation="identity", max_iter=8),
}
CASES = [
    *(("binary", name) for name in CLASSIFIERS),
    *(("multiclass", name) for name in CLASSIFIERS),
    *(("regression", name) for name in REGRESSORS),
]


def rows(count, seed):
    """Columns of our types, a few nulls in each."""
    rng = np.random.default_rng(seed)
    age, fee = rng.normal(40.0, 12.0, count), rng.gamma(2.0, 5.0, count)
    age[rng.random(count) < 0.1] = np.nan
    plan = rng.choice(np.array(["basic", "plus", "pro", None], dtype=object), count)
    paid = rng.choice(np.array([True, False, None], dtype=object), count)
    return {"age": age, "fee": fee, "plan": plan, "paid": paid}


def truth(task, columns, seed):
    signal = np.nan_to_num(columns["age"], nan=30.0) / 10.0 + (columns["plan"] == "pro")
    signal = signal + np.random.default_rng(seed).normal(size=len(signal))
    if task == "regression":
        return np.abs(signal) + 0.1
    cuts = [4.0] if task == "binary" else [3.4, 4.6]
    return np.array(SPECS[task].classes, dtype=object if task != "binary" else int)[
        np.searchsorted(cuts, signal)
    ]


def fitted(model, task, seed=0, count=160):
    columns = rows(count, seed)
    made = prepare("it", model, FEATURES, seed=seed).estimator
    return made.fit(table(columns), truth(task, columns, seed))


@functools.cache
def pair(task, name):
    """A fitted pipeline, its compiled twin, and where its number columns are split."""
    from sklearn.base import clone

    model = (REGRESSORS if task == "regression" else CLASSIFIERS)[name]
    made = fitted(clone(model), task)
    return made, load_onnx(exact(made, FEATURES), SPECS[task]), thresholds(exact(made, FEATURES))


def same(made, compiled, columns):
    """Scikit-learn is asked directly, without any of our own loading."""
    frame, answer = table(columns), compiled.predict(columns)
    assert answer.prediction.shape == (len(frame),)
    if answer.scores is None:
        np.testing.assert_allclose(answer.prediction, made.predict(frame), rtol=1e-9, atol=1e-12)
        return
    scores = made.predict_proba(frame)
    np.testing.assert_allclose(answer.scores, scores, rtol=0.0, atol=1e-12)
    near = np.sort(scores, axis=1)
    clear = near[:, -1] - near[:, -2] > 1e-12
    assert answer.prediction[clear].tolist() == made.predict(frame)[clear].tolist()


def numbers(cuts):
    """Any number, null, and numbers at, just below and just above a split."""
    plain = st.one_of(st.floats(-1e6, 1e6), st.just(np.nan))
    if cuts is None:
        return plain
    at = st.sampled_from(sorted(set(cuts.tolist()))).flatmap(
        lambda cut: st.sampled_from(
            [cut, np.nextafter(cut, np.inf), np.nextafter(cut, -np.inf), float(np.float32(cut))]
        )
    )
    return st.one_of(plain, at, at)


TEXTS = st.one_of(
    st.sampled_from(["basic", "plus", "pro", "", "PRO", "(missing)", None]), st.text()
)
FLAGS = st.sampled_from([True, False, None])


@pytest.mark.parametrize(("task", "name"), CASES)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_row_is_answered_as_scikit_learn_does(task, name, data):
    made, compiled, cuts = pair(task, name)
    row = st.tuples(numbers(cuts.get("age")), numbers(cuts.get("fee")), TEXTS, FLAGS)
    asked = data.draw(st.lists(row, min_size=1, max_size=8))
    age, fee, plan, paid = zip(*asked, strict=True)
    columns = {
        "age": np.array(age, dtype=float),
        "fee": np.array(fee, dtype=float),
        "plan": np.array(plan, dtype=object),
        "paid": np.array(paid, dtype=object),
    }
    same(made, compiled, columns)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.sampled_from(
        [
            DecisionTreeClassifier,
            ExtraTreesClassifier,
            RandomForestClassifier,
            HistGradientBoostingClassifier,
        ]
    ),
    st.sampled_from(["binary", "multiclass"]),
    st.integers(0, 10_000),
    st.integers(25, 120),
    st.integers(1, 9),
)
def test_any_generated_model_is_compiled_to_the_same(kind, task, seed, count, size):
    if kind is DecisionTreeClassifier:
        model = kind(max_depth=size)
    elif kind is HistGradientBoostingClassifier:
        model = kind(max_iter=size, min_samples_leaf=2)
    else:
        model = kind(n_estimators=size)
    made = fitted(model, task, seed, count)
    compiled = load_onnx(exact(made, FEATURES), SPECS[task])
    same(made, compiled, rows(200, seed + 1))


@pytest.mark.parametrize("count", [2, 10, 14, 48, 100])
def test_a_tied_vote_goes_to_the_first_class_however_many_trees_vote(count):
    rng = np.random.default_rng(count)
    features = FEATURES[:2]
    frame = pd.DataFrame({"age": rng.normal(size=150), "fee": rng.normal(size=150)})
    model = RandomForestClassifier(n_estimators=count)
    made = prepare("it", model, features, seed=1).estimator.fit(frame, rng.integers(0, 2, 150))
    asked = {name: rng.normal(size=4000) for name in ("age", "fee")}
    scores = made.predict_proba(table(asked))
    tied = scores[:, 0] == scores[:, 1]
    assert tied.sum() > 20
    spec = ModelSpec(1, "binary", features, classes=(0, 1))
    found = load_onnx(exact(made, features), spec).predict(asked)
    assert found.prediction[tied].tolist() == [0] * int(tied.sum())
    assert found.prediction.tolist() == made.predict(table(asked)).tolist()


def test_a_threshold_is_reached_by_an_equal_score():
    made, _, _ = pair("binary", "forest")
    asked = rows(300, 5)
    positive = made.predict_proba(table(asked))[:, 1]
    cut = float(np.sort(positive)[150])
    spec = ModelSpec(1, "binary", FEATURES, classes=(0, 1), threshold=cut)
    found = load_onnx(exact(made, FEATURES), spec).predict(asked)
    exactly = np.isclose(positive, cut, rtol=0, atol=0)
    assert exactly.any()
    assert found.prediction.tolist() == (positive >= cut).astype(int).tolist()


def test_rows_do_not_depend_on_the_rows_beside_them():
    made, compiled, _ = pair("multiclass", "histogram")
    asked = rows(40, 8)
    together = compiled.predict(asked).scores
    alone = [
        compiled.predict({name: values[at : at + 1] for name, values in asked.items()}).scores[0]
        for at in range(40)
    ]
    np.testing.assert_allclose(np.array(alone), together, rtol=0.0, atol=1e-15)
    same(made, compiled, asked)


@pytest.mark.parametrize("levels", [MOST_LEVELS - 1, MOST_LEVELS, MOST_LEVELS + 1, 90])
def test_rare_levels_share_a_column_and_new_ones_join_them(levels):
    rng = np.random.default_rng(levels)
    features = (Column("city", "string", required=False),)
    city = np.array([f"c{at}" for at in rng.zipf(1.4, 900) % levels], dtype=object)
    y = (np.char.str_len(city.astype(str)) + rng.random(900) > 3.2).astype(int)
    frame = pd.DataFrame({"city": pd.Series(city, dtype=object)})
    made = prepare("it", LogisticRegression(), features, seed=0).estimator.fit(frame, y)
    spec = ModelSpec(1, "binary", features, classes=(0, 1))
    asked = {"city": np.array([*sorted(set(city)), "new", "", None, "C1"], dtype=object)}
    same(made, load_onnx(exact(made, features), spec), asked)


@pytest.mark.parametrize(
    "levels", [["a\0b", "a"], ["", "é"], ["(missing)", "x"], ["a ", "a"], ["\U0001f600", "ﬁ"]]
)
def test_odd_texts_are_the_same_text_after_compiling(levels):
    features = (Column("plan", "string", required=False),)
    frame = pd.DataFrame({"plan": pd.Series(levels * 30, dtype=object)})
    made = prepare("it", LogisticRegression(), features, seed=0).estimator
    made.fit(frame, np.array([0, 1] * 30))
    spec = ModelSpec(1, "binary", features, classes=(0, 1))
    asked = np.array([*levels, None, "new", "a\0", "fi", "e\u0301"], dtype=object)
    same(made, load_onnx(exact(made, features), spec), {"plan": asked})


def test_a_column_that_was_always_null_stays_harmless():
    columns = rows(120, 3)
    columns["fee"] = np.full(120, np.nan)
    made = prepare("it", LogisticRegression(), FEATURES, seed=0).estimator
    made.fit(table(columns), truth("binary", columns, 3))
    compiled = load_onnx(exact(made, FEATURES), SPECS["binary"])
    same(made, compiled, columns)
    same(made, compiled, rows(50, 4))


OWN_PREPARATION = {
    "indicator": SimpleImputer(add_indicator=True),
    "no mean": StandardScaler(with_mean=False),
    "no deviation": StandardScaler(with_std=False),
    "a function": FunctionTransformer(np.square),
    "chained": Pipeline([("fill", SimpleImputer()), ("square", FunctionTransformer(np.square))]),
}


@pytest.mark.parametrize("name", OWN_PREPARATION)
def test_a_pipeline_that_only_looks_like_ours_is_never_answered_wrongly(name):
    gaps = name in ("indicator", "chained")
    features = (Column("age", "double", required=not gaps), Column("fee", "double"))
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"age": rng.normal(3.0, 1.0, 200), "fee": rng.normal(size=200)})
    frame.loc[::9, "fee"] = 0.0
    if gaps:
        frame.loc[::7, "age"] = np.nan
    y = (frame["fee"] ** 2 + frame["age"].fillna(0.0) > 3.5).astype(int)
    made = Pipeline(
        [
            ("prepare", ColumnTransformer([("number", OWN_PREPARATION[name], ["age", "fee"])])),
            ("model", LogisticRegression()),
        ]
    ).fit(frame, y)
    spec = ModelSpec(1, "binary", features, classes=(0, 1))
    found = compile_model(made, spec, frame)
    if found.onnx is None:
        assert found.reason
        return
    asked = {"age": frame["age"].to_numpy(), "fee": frame["fee"].to_numpy()}
    same(made, load_onnx(found.onnx, spec), asked)


def with_part(part, columns=("age",), model=None):
    frame = pd.DataFrame({"age": np.arange(40.0), "plan": ["a", "b"] * 20})
    made = Pipeline(
        [
            ("prepare", ColumnTransformer([("part", part, list(columns))])),
            ("model", LogisticRegression() if model is None else model),
        ]
    )
    return made.fit(frame, np.arange(40) % 2)


class Own(LogisticRegression):
    """Not of scikit-learn: what it answers is its own affair."""

    def predict_proba(self, X):
        return super().predict_proba(X)[:, ::-1]


@pytest.mark.parametrize(
    ("made", "part"),
    [
        (LogisticRegression(), "LogisticRegression"),
        (Pipeline([("model", LogisticRegression())]), "Pipeline"),
        (with_part(StandardScaler(), model=Own()), "Own"),
        (with_part(Normalizer()), "Normalizer"),
        (with_part("passthrough", model=KNeighborsClassifier()), "KNeighborsClassifier"),
        (
            with_part(
                StandardScaler(),
                model=GradientBoostingClassifier(n_estimators=2, init=DummyClassifier()),
            ),
            "starts from a model",
        ),
        (with_part(SimpleImputer(missing_values=0.0)), "0.0 as missing"),
    ],
)
def test_an_unknown_part_is_named_and_not_guessed(made, part):
    with pytest.raises(Unsupported, match=part):
        exact(made, (Column("age", "double"), Column("plan", "string")))


def test_the_same_model_compiles_to_the_same_bytes():
    made, _, _ = pair("binary", "histogram")
    assert exact(made, FEATURES) == exact(made, FEATURES)
