"""Performance without labels: near what labels show while only inputs move, and wrong, and said
to be wrong, when what they mean moves."""

import numpy as np
import pytest
from scipy.special import expit

from lifecycle.drift.estimated import Promised, as_table, estimate
from lifecycle.models import metrics
from lifecycle.records import Metric, ModelSpec, Outcome


def draw(rng, rows, classes, *, moved=0.0, concept=0.0, wrong=1.0):
    """Labels and scores; labels keep only `1 - concept` of what the scores' inputs say."""
    if classes == 2:
        odds = rng.normal(size=rows) * 1.5 + moved
        truth = (rng.random(rows) < expit(odds * (1 - concept))).astype(int)
        return truth, as_table(expit(odds * wrong))
    odds = rng.normal(size=(rows, classes)) * 1.5
    odds[:, 0] += moved
    shares = np.exp(odds * (1 - concept))
    shares /= shares.sum(axis=1, keepdims=True)
    truth = (shares.cumsum(axis=1) > rng.random(rows)[:, None]).argmax(axis=1)
    scores = np.exp(odds * wrong)
    return truth, scores / scores.sum(axis=1, keepdims=True)


def one(seed, name, *, classes=2, held=2000, rows=2000, wrong=1.0, labelled=None, **change):
    rng = np.random.default_rng(seed)
    task = "binary" if classes == 2 else "multiclass"
    spec = ModelSpec(1, task, (), classes=tuple(range(classes)), primary_metric=name)
    before, scores_before = draw(rng, held, classes, wrong=wrong)
    truth, scores = draw(rng, rows, classes, wrong=wrong, **change)
    model = Promised.fit(scores_before, before, spec=spec)
    labels = truth.astype(object)
    if labelled is not None:
        labels[labelled:] = None
    return estimate(model, scores.argmax(axis=1), scores, labels, spec=spec)


BINARY = [name for name, row in metrics.METRICS.items() if "binary" in row.tasks]
MULTICLASS = [name for name, row in metrics.METRICS.items() if "multiclass" in row.tasks]


@pytest.mark.parametrize("wrong", [1.0, 2.0])
@pytest.mark.parametrize(
    ("name", "classes"), [*((name, 2) for name in BINARY), *((name, 4) for name in MULTICLASS)]
)
def test_inputs_that_move_are_followed(name, classes, wrong):
    found = [one(seed, name, classes=classes, moved=1.0, wrong=wrong) for seed in range(20)]
    errors = np.array([(item.difference_high - item.difference_low) / 3.92 for item in found])
    misses = np.array([item.difference for item in found]) / errors
    assert (np.abs(misses) < 4).all(), "each within a few standard errors"
    assert abs(misses.mean()) < 1.0, "and not off to one side"
    assert sum(item.holds is False for item in found) <= 2


@pytest.mark.parametrize(
    ("name", "classes"),
    [("roc_auc", 2), ("accuracy", 2), ("f1", 2), ("accuracy", 4), ("roc_auc_ovr", 4)],
)
def test_labels_that_change_at_equal_inputs_break_the_assumption(name, classes):
    found = [one(seed, name, classes=classes, concept=0.6) for seed in range(10)]
    assert all(item.holds is False for item in found)
    assert all(item.realised < item.low for item in found), "the estimate is too good"
    assert "the assumption does not hold" in found[0].reason


def test_the_interval_covers_what_labels_show():
    found = [one(seed, "accuracy", held=1000, rows=300, moved=0.5) for seed in range(200)]
    assert np.mean([item.low <= item.realised <= item.high for item in found]) >= 0.95


def test_an_estimate_that_holds_is_rarely_said_to_fail():
    found = [one(seed, "roc_auc", held=500, rows=500, moved=0.5, wrong=1.5) for seed in range(200)]
    assert np.mean([item.holds is False for item in found]) <= 0.03


def test_labels_of_a_part_are_held_against_the_estimate_of_that_part():
    found = one(0, "accuracy", labelled=200)
    assert found.labelled_rows == 200
    assert found.rows == 2000
    assert found.estimated != found.value
    assert found.holds is True
    assert found.difference == pytest.approx(found.realised - found.estimated)
    assert "on 200 labelled rows" in found.reason


@pytest.mark.parametrize("labelled", [0, 49])
def test_few_labels_do_not_judge_the_estimate(labelled):
    found = one(0, "roc_auc", labelled=labelled)
    assert found.value is not None
    assert found.holds is None
    assert found.realised is None
    assert f"{labelled} labelled rows, 50 are needed" in found.reason


def test_few_rows_are_not_estimated():
    found = one(0, "roc_auc", rows=20)
    assert found.value is None
    assert "20 live rows, 30 are needed" in found.reason


def test_the_estimate_says_what_was_expected_and_assumed():
    rng = np.random.default_rng(0)
    truth, scores = draw(rng, 500, 2)
    spec = ModelSpec(
        1, "binary", (), classes=("no", "yes"), primary_metric="roc_auc",
        metrics=(Metric("roc_auc", 0.81, 0.8, 0.82),),
    )  # fmt: skip
    names = np.array(["no", "yes"], dtype=object)
    model = Promised.fit(scores, names[truth], spec=spec)
    found = estimate(model, names[scores.argmax(axis=1)], scores[:, 1], names[truth], spec=spec)
    assert (found.method, found.expected, found.higher_is_better) == ("cbpe", 0.81, True)
    assert "labels at equal scores are as on the hold-out" in found.assumption
    assert found.outcome is Outcome.PASS


def test_labels_of_one_class_cannot_judge_an_area():
    rng = np.random.default_rng(0)
    truth, scores = draw(rng, 500, 2)
    spec = ModelSpec(1, "binary", (), classes=(0, 1), primary_metric="roc_auc")
    labels = np.where(truth == 1, 1, None)
    found = estimate(Promised.fit(scores, truth, spec=spec), truth, scores, labels, spec=spec)
    assert found.holds is None
    assert "cannot be computed" in found.reason


def test_a_prediction_of_no_class_is_no_estimate():
    rng = np.random.default_rng(0)
    truth, scores = draw(rng, 100, 2)
    spec = ModelSpec(1, "binary", (), classes=(0, 1), primary_metric="accuracy")
    model = Promised.fit(scores, truth, spec=spec)
    found = estimate(model, np.full(100, 7), scores, np.full(100, None), spec=spec)
    assert found.value is None
    assert "none of the model's classes" in found.reason


def test_probabilities_of_several_classes_add_up():
    rng = np.random.default_rng(0)
    truth, scores = draw(rng, 2000, 4, wrong=2.0)
    spec = ModelSpec(1, "multiclass", (), classes=(0, 1, 2, 3))
    model = Promised.fit(scores, truth, spec=spec)
    assert model.recalibrated
    assert model.temperature == pytest.approx(2.0, rel=0.15)
    np.testing.assert_allclose(model.probabilities(scores).sum(axis=1), 1.0)
