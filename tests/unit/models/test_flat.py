"""A linear model's weights and tables: what is a line, what is not, and that they add up."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)

from lifecycle.models import flat as module
from lifecycle.models.elements import Step
from lifecycle.models.flat import _Curved, _Fill, _line, flat
from lifecycle.models.running import Flat
from lifecycle.records import Column

FEATURES = (Column("a", "double", required=False), Column("b", "double"), Column("t", "string"))
LEVELS = ["x", "y"]


def frame(rows=120, seed=0):
    rng = np.random.default_rng(seed)
    made = pd.DataFrame({"a": rng.normal(5.0, 2.0, rows), "b": rng.gamma(2.0, 3.0, rows)})
    made["t"] = rng.choice(np.array(LEVELS, dtype=object), rows)
    made.loc[::7, "a"] = np.nan
    return made


def prepared(numbers, model):
    rows = frame()
    prepare = make_column_transformer(
        (numbers, ["a", "b"]), (OneHotEncoder(handle_unknown="ignore"), ["t"]), sparse_threshold=0
    )
    truth = rows["a"].fillna(0.0) + rows["b"] + (rows["t"] == "x")
    if hasattr(model, "decision_function") or isinstance(model, SGDClassifier):
        truth = np.digitize(truth, np.quantile(truth, [0.5]))
    return make_pipeline(prepare, model).fit(rows, truth)


def sums(made, rows):
    note = flat(FEATURES, LEVELS, made)["flat"]
    return Flat(note).raw(rows[["a", "b"]].to_numpy(), rows[["t"]].to_numpy(dtype=object))


NUMBERS = {
    "imputed": SimpleImputer(),
    "standard": make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
    "min-max": make_pipeline(SimpleImputer(fill_value=-3.0, strategy="constant"), MinMaxScaler()),
    "three": make_pipeline(SimpleImputer(), RobustScaler(), MaxAbsScaler(), StandardScaler()),
}


@pytest.mark.parametrize("numbers", NUMBERS)
@pytest.mark.parametrize("model", [LinearRegression(), Ridge(), SGDRegressor(random_state=0)])
def test_the_sum_is_the_regressors_answer(numbers, model):
    made, rows = prepared(NUMBERS[numbers], model), frame(60, 3)
    rows.loc[:5, "t"] = "never seen"
    wanted = made.predict(rows)
    np.testing.assert_allclose(sums(made, rows)[:, 0], wanted, rtol=1e-9)


@pytest.mark.parametrize(
    ("model", "link"),
    [
        (LogisticRegression(), "sigmoid"),
        (LinearDiscriminantAnalysis(), "sigmoid"),
        (SGDClassifier(loss="log_loss", random_state=0), "sigmoid"),
    ],
)
def test_the_sum_is_the_classifiers_margin(model, link):
    made, rows = prepared(NUMBERS["standard"], model), frame(60, 3)
    assert flat(FEATURES, LEVELS, made)["flat"]["link"] == link
    np.testing.assert_allclose(
        sums(made, rows)[:, 0], made.decision_function(rows), rtol=1e-9, atol=1e-12
    )


def test_three_classes_have_three_sums():
    rows = frame()
    made = make_pipeline(
        make_column_transformer((SimpleImputer(), ["a", "b"])), LogisticRegression()
    ).fit(rows, np.arange(len(rows)) % 3)
    note = flat(FEATURES, [], made)["flat"]
    assert (note["link"], np.shape(note["weights"]), len(note["shift"])) == ("softmax", (2, 3), 3)


@pytest.mark.parametrize(
    "made",
    [
        prepared(make_pipeline(SimpleImputer(), PowerTransformer()), Ridge()),
        prepared(make_pipeline(SimpleImputer(), MinMaxScaler(clip=True)), Ridge()),
        prepared(SimpleImputer(add_indicator=True), Ridge()),
        prepared(make_union(SimpleImputer(), SimpleImputer(strategy="median")), Ridge()),
        prepared(SimpleImputer(), RandomForestRegressor(2)),
        prepared(SimpleImputer(), RidgeClassifier()),
        prepared(SimpleImputer(), SGDClassifier(loss="modified_huber", random_state=0)),
    ],
    ids=["power", "clip", "indicator", "two fillings", "forest", "no scores", "another link"],
)
def test_what_is_no_line_is_left_to_the_graph(made):
    assert flat(FEATURES, LEVELS, made) == {}


def test_many_weights_are_left_to_the_graph(monkeypatch):
    made = prepared(SimpleImputer(), Ridge())
    assert flat(FEATURES, LEVELS, made)
    monkeypatch.setattr(module, "MOST_NUMBERS", 5)
    assert flat(FEATURES, LEVELS, made) == {}


def test_a_column_that_is_not_used_never_makes_the_answer_null():
    rows = frame()
    made = make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["t"])), Ridge()
    ).fit(rows, rows["b"])
    found = sums(made, rows.assign(a=np.nan))
    np.testing.assert_allclose(found[:, 0], made.predict(rows), rtol=1e-9)


step = st.tuples(st.sampled_from(["minus", "plus", "times", "over"]), st.floats(0.1, 10.0))


@settings(max_examples=60, deadline=None)
@given(st.lists(step, max_size=5), st.floats(-100.0, 100.0))
def test_a_chain_is_its_slope_and_start(steps, x):
    slope, start = _line(tuple(Step(kind, (value,)) for kind, value in steps), 0, _Fill(1))
    wanted = x
    for kind, value in steps:
        wanted = {"minus": wanted - value, "plus": wanted + value, "times": wanted * value,
                  "over": wanted / value}[kind]  # fmt: skip
    assert slope * x + start == pytest.approx(wanted, rel=1e-9, abs=1e-6)


def test_a_column_has_one_filling():
    fill = _Fill(3)
    fill.take(0, 1.5)
    fill.take(0, 1.5)
    fill.take(1, float("nan"))
    fill.take(1, float("nan"))
    assert str(fill.values()) == "[1.5, nan, 0.0]"
    with pytest.raises(_Curved):
        fill.take(0, 2.0)
    nulls = _Fill(1)
    nulls.take(0, float("nan"))
    assert nulls.values() is None
