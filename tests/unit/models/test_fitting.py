"""One candidate is fitted on the training rows and answers the hold-out rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.models.candidates import find, prepare
from lifecycle.models.fitting import cheapest, columns_of, fit, inputs
from lifecycle.models.splits import split
from lifecycle.models.tables import check_training


def prepared(table, name="logistic_regression"):
    return prepare(name, find(name, table.task), table.features, seed=0)


@pytest.fixture
def table(churn):
    return check_training(churn, target="churned", time="ts", key="customer_id")


def test_plain_scikit_learn_answers_the_same_labels(table):
    rows = split(table, share=0.2, how="auto", seed=0)
    candidate = prepared(table)
    found = fit(candidate, table, rows, seed=0)
    expected = found.estimator.predict(inputs(candidate, table, rows.holdout))
    assert found.output.prediction.tolist() == expected.tolist()
    assert found.spec.threshold is None
    assert found.fit_seconds > 0.0
    assert found.score_seconds > 0.0


def test_a_dear_miss_lowers_the_threshold_and_the_cost(table):
    rows = split(table, share=0.2, how="auto", seed=0)
    plain = fit(prepared(table), table, rows, seed=0)
    candidate = prepared(table)
    dear = fit(candidate, table, rows, seed=0, costs=(1.0, 10.0))
    assert dear.spec.threshold < 0.3

    def cost(output):
        truth, said = table.y[rows.holdout] == 1, output.prediction == 1
        return (said & ~truth).sum() + 10.0 * (~said & truth).sum()

    assert cost(dear.output) < 0.8 * cost(plain.output)
    wrapped = dear.estimator.predict(inputs(candidate, table, rows.holdout))
    assert wrapped.tolist() == dear.output.prediction.tolist(), "plain scikit-learn agrees"


def test_a_named_positive_class_turns_the_scores_round(churn):
    churn["churned"] = np.where(churn.churned == 1, "leaves", "stays")
    normal = check_training(churn.drop(columns=["ts", "customer_id"]), target="churned")
    turned = check_training(
        churn.drop(columns=["ts", "customer_id"]), target="churned", positive="leaves"
    )
    rows = split(normal, share=0.2, how="random", seed=0)
    one, two = (fit(prepared(item), item, rows, seed=0) for item in (normal, turned))
    assert one.spec.classes == ("leaves", "stays")
    assert two.spec.classes == ("stays", "leaves")
    np.testing.assert_allclose(one.output.score, 1.0 - two.output.score)
    assert one.output.prediction.tolist() == two.output.prediction.tolist()


def test_weights_reach_the_estimator_or_a_note_says_so(churn):
    churn["w"] = np.where(churn.plan == "pro", 5.0, 0.1)
    made = check_training(churn.drop(columns=["ts", "customer_id"]), target="churned", weight="w")
    rows = split(made, share=0.2, how="random", seed=0)
    weighted = fit(prepared(made), made, rows, seed=0)
    bare = check_training(churn.drop(columns=["ts", "customer_id", "w"]), target="churned")
    without = fit(prepared(bare), bare, rows, seed=0)
    assert np.abs(weighted.output.scores - without.output.scores).max() > 0.01
    knn = fit(prepared(made, "knn"), made, rows, seed=0)
    assert knn.notes == ("knn: takes no sample weights, fitted without",)


def test_a_forest_keeps_its_own_number_of_threads(table):
    rows = split(table, share=0.2, how="auto", seed=0)
    found = fit(prepared(table, "random_forest"), table, rows, seed=0)
    assert found.estimator.named_steps["model"].n_jobs is None


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 30), st.integers(0, 1000), st.floats(0.1, 10.0), st.floats(0.1, 10.0))
def test_no_other_threshold_is_cheaper(rows, seed, alarm, miss):
    rng = np.random.default_rng(seed)
    scores, positive = rng.random(rows).round(1), rng.random(rows) < 0.5
    weights = rng.random(rows)

    def cost(threshold):
        said = scores >= threshold
        wrong = weights * (alarm * (said & ~positive) + miss * (~said & positive))
        return wrong.sum()

    found = cost(cheapest(scores, positive, weights, (alarm, miss)))
    best = min(cost(threshold) for threshold in [*scores, 2.0])
    assert found == pytest.approx(best)


def test_inputs_are_the_candidates_own_columns(table):
    candidate = prepared(table)
    rows = np.array([3, 5])
    assert list(columns_of(candidate, table, rows)) == [item.name for item in candidate.features]
    pd.testing.assert_frame_equal(
        inputs(candidate, table, rows), table.frame.loc[rows, table.names].reset_index(drop=True)
    )
