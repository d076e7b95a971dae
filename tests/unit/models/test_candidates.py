"""Names become estimators, and bare ones a preprocessor that fits the columns."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lifecycle.errors import ConfigError
from lifecycle.models.candidates import MOST_LEVELS, find, names, prepare
from lifecycle.records import Column

FEATURES = (
    Column("age", "double", required=False),
    Column("plan", "string", required=False),
    Column("paid", "boolean", required=False),
    Column("since", "datetime"),
)
ROWS = pd.DataFrame(
    {
        "age": [31.0, np.nan, 53.0, 64.0],
        "plan": ["pro", None, "basic", "pro"],
        "paid": [True, None, False, True],
        "since": pd.date_range("2026-01-01", periods=4),
    }
)


def test_a_candidate_is_named_by_table_import_string_class_or_object():
    assert isinstance(find("random_forest", "multiclass"), RandomForestClassifier)
    assert isinstance(find("sklearn.linear_model:LogisticRegression", "binary"), LogisticRegression)
    assert isinstance(find(LogisticRegression, "binary"), LogisticRegression)
    own = LogisticRegression(C=3.0)
    found = find(own, "binary")
    assert found.C == 3.0
    assert found is not own


@pytest.mark.parametrize(
    ("candidate", "task", "message"),
    [
        ("random_forrest", "binary", "did you mean 'random_forest'"),
        ("sklearn.linear_model:Ridge", "binary", "is no classifier"),
        (LogisticRegression(), "regression", "is no regressor"),
        ("sklearn.nothing:Ridge", "regression", "cannot be imported"),
        ("math:sqrt", "binary", "needs arguments"),
        (object(), "binary", "is no classifier"),
    ],
)
def test_what_is_no_candidate_is_one_error(candidate, task, message):
    with pytest.raises(ConfigError, match=message):
        find(candidate, task)


def test_equal_names_are_numbered():
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    found = names(["knn", LogisticRegression(), pipeline, LogisticRegression])
    assert found == (
        "knn",
        "LogisticRegression",
        "LogisticRegression-2",
        "LogisticRegression-3",
    )


def test_a_pipeline_is_left_alone_but_for_the_seed():
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    found = prepare("own", pipeline, FEATURES, seed=7)
    assert found.estimator is pipeline
    assert found.features == FEATURES
    assert pipeline[-1].random_state == 7
    fixed = prepare("own", LogisticRegression(random_state=3), FEATURES, seed=7)
    assert fixed.estimator.named_steps["model"].random_state == 3


@pytest.mark.parametrize("model", [LogisticRegression(), HistGradientBoostingClassifier()])
def test_the_default_preprocessor_takes_nulls_levels_and_flags(model):
    found = prepare("bare", model, FEATURES, seed=0)
    assert [item.name for item in found.features] == ["age", "plan", "paid"]
    assert found.notes == ("bare: times are no features of its own: since",)
    made = found.estimator.named_steps["prepare"].fit(ROWS[["age", "plan", "paid"]])
    table = made.transform(ROWS[["age", "plan", "paid"]])
    takes_nulls = isinstance(model, HistGradientBoostingClassifier)
    assert np.isnan(table).any() == takes_nulls
    assert table.shape == (4, 1 + 3 + 1)
    if not takes_nulls:
        assert table[:, 0].mean() == pytest.approx(0.0), "scaled"
    unseen = made.transform(ROWS[["age", "plan", "paid"]].assign(plan="new"))
    assert unseen[:, 1:4].sum() == 0.0


def test_text_with_many_levels_stays_small():
    many = pd.DataFrame({"city": [f"c{at % 300}" for at in range(900)]}, dtype=object)
    found = prepare("bare", LogisticRegression(), (Column("city", "string"),), seed=0)
    table = found.estimator.named_steps["prepare"].fit_transform(many)
    assert table.shape[1] == MOST_LEVELS
    assert (table.sum(axis=1) == 1.0).all()


def test_times_alone_are_no_features():
    with pytest.raises(ConfigError, match="only features are times"):
        prepare("bare", LogisticRegression(), FEATURES[3:], seed=0)


def fitted_preprocessor(model, features, frame):
    return prepare("it", model, features, seed=0).estimator.named_steps["prepare"].fit(frame)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.sampled_from(["a", "b", "c", ""])), min_size=4, max_size=40),
    st.lists(st.one_of(st.none(), st.text(max_size=3)), min_size=1, max_size=10),
)
def test_any_text_is_at_most_one_level(seen, asked):
    features = (Column("plan", "string", required=False),)
    frame = pd.DataFrame({"plan": pd.Series(seen, dtype=object)})
    made = fitted_preprocessor(LogisticRegression(), features, frame)
    known = {"(missing)" if item is None else item for item in seen}
    found = made.transform(pd.DataFrame({"plan": pd.Series(asked, dtype=object)}))
    assert found.shape == (len(asked), len(known))
    for item, row in zip(asked, found, strict=True):
        assert row.sum() == float(("(missing)" if item is None else item) in known)


def test_numbers_are_scaled_for_lines_and_left_alone_for_trees():
    features = (Column("age", "double"),)
    frame = pd.DataFrame({"age": [10.0, 20.0, 30.0, 60.0]})
    line = fitted_preprocessor(LogisticRegression(), features, frame).transform(frame)[:, 0]
    assert line.mean() == pytest.approx(0.0)
    assert line.std() == pytest.approx(1.0)
    tree = fitted_preprocessor(RandomForestClassifier(), features, frame).transform(frame)[:, 0]
    assert tree.tolist() == [10.0, 20.0, 30.0, 60.0]


def test_what_fills_a_gap_is_learned_from_the_training_rows_alone():
    features = (Column("age", "double", required=False),)
    made = fitted_preprocessor(
        RandomForestClassifier(), features, pd.DataFrame({"age": [1.0, 2.0, 9.0, np.nan]})
    )
    later = pd.DataFrame({"age": [np.nan, 500.0, 700.0]})
    assert made.transform(later)[:, 0].tolist() == [2.0, 500.0, 700.0]


@pytest.mark.parametrize("empty", ["age", "paid"])
def test_a_column_that_is_always_null_keeps_its_place(empty):
    frame = ROWS[["age", "plan", "paid"]].copy()
    frame[empty] = pd.Series([None] * 4, dtype=object if empty == "paid" else float)
    table = fitted_preprocessor(LogisticRegression(), FEATURES[:3], frame).transform(frame)
    assert table.shape == (4, 5)
    assert np.isfinite(table).all()
