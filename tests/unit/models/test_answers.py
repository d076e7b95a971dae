"""Truth and answers reach the metrics checked and coded, or not at all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.models.answers import classification, regression

CLASSES = [("no", "yes"), (0, 1), (False, True), (0.5, 1.5), ("a", "b", "c"), (3, 1, 2)]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(CLASSES), st.data())
def test_labels_are_places_in_the_classes_and_nothing_is_lost(classes, data):
    label = st.sampled_from(classes)
    truth = data.draw(st.lists(label, min_size=1, max_size=20))
    said = data.draw(st.lists(label, min_size=len(truth), max_size=len(truth)))
    found = classification("accuracy", truth, said, classes=classes)
    assert [classes[code] for code in found.truth] == truth
    assert [classes[code] for code in found.labels] == said
    assert found.weights.tolist() == [1.0] * len(truth)
    assert found.classes == len(classes)


def test_objects_and_fixed_width_texts_are_the_same_labels():
    objects = np.array(["yes", "no"], dtype=object)
    found = classification("f1", np.array(["yes", "no"]), objects, classes=("no", "yes"))
    assert found.truth.tolist() == found.labels.tolist() == [1, 0]


def test_labels_keep_their_type_when_numbers_meet_booleans():
    found = classification("f1", [True, False], [1, 0], classes=(0, 1))
    assert found.truth.tolist() == [1, 0]
    with pytest.raises(DataError, match="is '1', which is none of 0, 1"):
        classification("f1", ["1", "0"], [1, 0], classes=(0, 1))


@pytest.mark.parametrize(
    ("truth", "said", "message"),
    [
        ([], [], "needs rows"),
        ([[0, 1]], [[0, 1]], "needs rows"),
        ([0, 2], [0, 1], "the target is 2, which is none of 0, 1"),
        ([0, 1], [0, 7], "a prediction is 7, which is none of 0, 1"),
        ([0, 1], [0], r"a prediction is needed for each of 2 rows, got shape \(1,\)"),
        ([0.0, np.nan], [0, 1], "the target is nan"),
        ([0, None], [0, 1], "the target is None"),
    ],
)
def test_labels_that_are_none_are_refused_by_name(truth, said, message):
    with pytest.raises(DataError, match=message):
        classification("f1", truth, said, classes=(0, 1))


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([0.1, np.nan], "missing or infinite in 1 rows"),
        ([[0.5, np.inf], [np.nan, 0.5]], "missing or infinite in 2 rows"),
        ([[0.1, 0.2, 0.7]] * 2, r"shape \(2, 3\), expected \(2, 2\)"),
        ([0.1, 0.2, 0.3], r"shape \(3, 2\), expected \(2, 2\)"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores, message):
    with pytest.raises(DataError, match=message):
        classification("brier", [0, 1], None, np.array(scores), classes=(0, 1))


def test_one_score_is_that_of_the_positive_class_only_where_there_are_two():
    found = classification("brier", [0, 1], None, np.array([0, 1]), classes=(0, 1))
    assert found.scores.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    with pytest.raises(DataError, match="expected"):
        classification("brier", [0, 1], None, np.array([0.1, 0.9]), classes=(0, 1, 2))


def test_scores_keep_their_precision():
    small = np.array([0.25, 0.5], dtype=np.float32)
    assert classification("b", [0, 1], None, small, classes=(0, 1)).scores.dtype == np.float32


def test_a_metric_of_labels_is_not_given_scores_alone():
    found = classification("f1", [0, 1], None, [0.1, 0.9], classes=(0, 1))
    with pytest.raises(DataError, match="needs predictions, not scores alone"):
        assert found.labels


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20), st.floats(-10, 10))
def test_numbers_pass_unchanged(truth, shift):
    said = np.array(truth) + shift
    found = regression("mae", truth, said)
    assert found.truth.tolist() == truth
    assert found.labels.tolist() == said.tolist()
    assert (found.scores, found.classes) == (None, 0)


@pytest.mark.parametrize(
    ("truth", "said", "message"),
    [
        ([1.0, np.nan], [1.0, 1.0], "the target is missing or infinite in 1 rows"),
        ([1.0, 2.0], [np.inf, -np.inf], "a prediction is missing or infinite in 2 rows"),
        (["x", "y"], [1.0, 1.0], "the target is not a number"),
        ([1.0, 2.0], [[1.0], [2.0]], r"a prediction is needed for each of 2 rows"),
        ([1.0, None], [1.0, 2.0], "the target is missing"),
        ([], [], "rmse needs rows"),
    ],
)
def test_numbers_that_are_none_are_refused_by_name(truth, said, message):
    with pytest.raises(DataError, match=message):
        regression("rmse", truth, said)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, -1.0], "not be negative"),
        ([0.0, 0.0], "not all zero"),
        ([1.0], "a weight is needed for each of 2 rows"),
        ([1.0, np.nan], "a weight is missing"),
        (["a", "b"], "a weight is not a number"),
    ],
)
def test_weights_that_weigh_nothing_are_refused(weights, message):
    with pytest.raises(DataError, match=message):
        regression("mae", [1.0, 2.0], [1.0, 2.0], weights)
    with pytest.raises(DataError, match=message):
        classification("f1", [0, 1], [0, 1], classes=(0, 1), weights=weights)
