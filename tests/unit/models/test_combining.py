"""Estimators around estimators: what is averaged, opened and refused."""

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, SGDClassifier
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from lifecycle.models.combining import answer, find, margins, opened, scores
from lifecycle.models.elements import Unsupported
from lifecycle.models.estimators import shared
from lifecycle.models.features import Inputs
from lifecycle.models.graphs import Graph, session_output
from lifecycle.records import Column

COLUMNS = (Column("a", "double"), Column("b", "double"))
RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(150, 2)), columns=["a", "b"])
Y = (X["a"] + RNG.normal(size=150) > 0).astype(int)
Y3 = np.digitize(X["a"] + X["b"], [-0.5, 0.5])
ASKED = np.random.default_rng(1).normal(size=(40, 2))


def written(write, model):
    inputs = Inputs(Graph(), COLUMNS, ())
    value = write(inputs, model, inputs.taken_by(model))
    return session_output(inputs.graph.build(value), {"numbers": ASKED})


@pytest.mark.parametrize("truth", [Y, Y3], ids=["two classes", "three classes"])
@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        RidgeClassifier(),
        SGDClassifier(random_state=0),
        AdaBoostClassifier(n_estimators=5, random_state=0),
        make_pipeline(StandardScaler(), LogisticRegression()),
        GridSearchCV(RidgeClassifier(), {"alpha": [0.1, 1.0]}, cv=2),
    ],
    ids=lambda model: type(model).__name__,
)
def test_margins_are_those_of_the_decision_function(model, truth):
    made = model.fit(X, truth)
    wanted = made.decision_function(pd.DataFrame(ASKED, columns=["a", "b"]))
    found = written(margins, made)
    np.testing.assert_allclose(found, wanted.reshape(len(ASKED), -1), atol=1e-10)


@pytest.mark.parametrize("kernel", ["linear", "rbf", "poly", "sigmoid"])
def test_every_kernel_has_its_margin(kernel):
    made = SVC(kernel=kernel).fit(X, Y)
    wanted = made.decision_function(pd.DataFrame(ASKED, columns=["a", "b"]))
    np.testing.assert_allclose(written(margins, made)[:, 0], wanted, atol=1e-9)


def test_a_kernel_of_ones_own_and_many_classes_are_named():
    with pytest.raises(Unsupported, match="more than two classes"):
        written(margins, SVC().fit(X, Y3))
    with pytest.raises((Unsupported, TypeError, AttributeError)):
        written(margins, SVC(kernel=lambda one, two: one @ two.T).fit(X, Y))


def test_one_against_the_rest_is_shared_out_and_alike_where_all_are_nothing():
    inputs = Inputs(Graph(), COLUMNS, ())
    content = inputs.graph.build(shared(inputs, "numbers", 2))
    found = session_output(content, {"numbers": np.array([[1.0, 3.0], [0.0, 0.0]])})
    assert found.tolist() == [[0.25, 0.75], [0.5, 0.5]]


def test_wrappers_are_opened_to_the_estimator_inside():
    inputs = Inputs(Graph(), COLUMNS, ())
    inner = LogisticRegression().fit(X, Y)
    search = GridSearchCV(LogisticRegression(), {"C": [1.0]}, cv=2).fit(X, Y)
    for model in (FrozenEstimator(inner), make_pipeline(FrozenEstimator(inner)), search):
        found, features = opened(inputs, model, inputs.taken_by(inner))
        assert type(found) is LogisticRegression
        assert len(features) == 2
    wrapped = FixedThresholdClassifier(LogisticRegression(), threshold=0.9).fit(X, Y)
    np.testing.assert_allclose(written(scores, wrapped), written(scores, inner), atol=1e-12)


def test_weights_of_a_vote_count():
    parts = [("one", LogisticRegression()), ("two", DecisionTreeClassifier(max_depth=3))]
    made = VotingClassifier(parts, voting="soft", weights=[0.2, 0.8]).fit(X, Y)
    wanted = made.predict_proba(pd.DataFrame(ASKED, columns=["a", "b"]))
    np.testing.assert_allclose(written(answer, made), wanted, atol=1e-12)


def stump_votes(model):
    return AdaBoostClassifier(model, n_estimators=2).fit(X, Y)


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (stump_votes(LogisticRegression()), "of what is no tree"),
        (
            VotingClassifier([("one", LogisticRegression())], voting="hard").fit(X, Y),
            "that counts votes",
        ),
        (
            StackingClassifier(
                [("one", LogisticRegression())], stack_method="predict", cv=2
            ).fit(X, Y),
            "StackingClassifier of labels",
        ),
        (
            TransformedTargetRegressor(Ridge(), transformer=MinMaxScaler()).fit(X, X["a"]),
            "TransformedTargetRegressor with MinMaxScaler",
        ),
        (
            TransformedTargetRegressor(
                Ridge(), func=np.cbrt, inverse_func=lambda x: x**3, check_inverse=False
            ).fit(X, X["a"]),
            "with FunctionTransformer",
        ),
        (
            make_pipeline(FunctionTransformer(np.sin), LogisticRegression()).fit(X, Y),
            "FunctionTransformer of sin",
        ),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)  # fmt: skip
def test_what_cannot_be_written_is_named(made, reason):
    with pytest.raises(Unsupported, match=reason):
        written(answer, made)


def test_a_calibrated_forest_is_read_through_its_probabilities():
    made = CalibratedClassifierCV(RandomForestClassifier(4, random_state=0), cv=2).fit(X, Y3)
    wanted = made.predict_proba(pd.DataFrame(ASKED, columns=["a", "b"]))
    np.testing.assert_allclose(written(scores, made), wanted, atol=1e-12)


def test_only_known_libraries_are_looked_up():
    class LogisticRegression:  # of the same name
        pass

    assert find({"LogisticRegression": scores}, LogisticRegression()) is None
