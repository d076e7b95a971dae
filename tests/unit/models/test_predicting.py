"""One rule turns scores into labels, the same as scikit-learn's."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier

from lifecycle.errors import DataError
from lifecycle.models.parameters import Parameters
from lifecycle.models.predicting import (
    Layout,
    LoadedModel,
    Output,
    Table,
    class_array,
    labels,
)
from lifecycle.records import ModelSpec


@pytest.mark.parametrize(
    ("classes", "dtype"),
    [((0, 1), "int64"), ((False, True), "bool"), ((0.0, 1.5), "float64"), (("a", "b"), "object")],
)
def test_labels_keep_the_type_of_the_classes(classes, dtype):
    found = labels(np.array([[0.2, 0.8], [0.9, 0.1]]), classes, threshold=None)
    assert str(found.dtype) == dtype
    assert found.tolist() == [classes[1], classes[0]]
    assert class_array(classes).tolist() == list(classes)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.floats(0.0, 1.0), st.integers(0, 1000))
def test_a_threshold_answers_as_scikit_learn_does(rows, threshold, seed):
    y = np.arange(rows + 1) % 2
    x = np.random.default_rng(seed).random((rows + 1, 2))
    model = DummyClassifier(strategy="prior").fit(x, y)
    fixed = FixedThresholdClassifier(
        FrozenEstimator(model), threshold=threshold, response_method="predict_proba"
    ).fit(x, y)
    ours = labels(model.predict_proba(x), (0, 1), threshold=threshold)
    assert ours.tolist() == fixed.predict(x).tolist()


def test_the_log_keeps_one_score_for_two_classes_and_all_for_more():
    three = np.array([[0.2, 0.3, 0.5]])
    assert Output(np.array([2]), three).score is three
    assert Output(np.array([1.5])).score is None
    assert Output(np.array([1]), np.array([[0.25, 0.75]])).score.tolist() == [0.75]


def test_a_loaded_model_answers_through_its_engine():
    model = LoadedModel(
        ModelSpec(1, "regression", ()), "pyfunc", lambda inputs: Output(inputs["x"] * 2)
    )
    assert model.predict({"x": np.array([1.0, 2.0])}).prediction.tolist() == [2.0, 4.0]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=3, max_size=3), min_size=1, max_size=20))
def test_of_equal_scores_the_first_class_is_answered_as_by_numpy_and_scikit_learn(votes):
    scores = np.array(votes, dtype=float)
    found = labels(scores, ("a", "b", "c"), threshold=None)
    for row, label in zip(votes, found, strict=True):
        assert label == "abc"[row.index(max(row))]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20), st.floats(0.0, 1.0))
def test_a_higher_threshold_never_adds_positives(positive, threshold):
    scores = np.column_stack([1.0 - np.array(positive), positive])
    low = labels(scores, (0, 1), threshold=threshold)
    high = labels(scores, (0, 1), threshold=min(1.0, threshold + 0.1))
    assert (high <= low).all()
    at = labels(scores, (0, 1), threshold=positive[0])
    assert at[0] == 1, "a score equal to the threshold is positive"


def test_no_rows_are_answered_by_no_labels():
    found = labels(np.zeros((0, 2)), ("no", "yes"), threshold=0.5)
    assert found.shape == (0,)
    assert found.dtype == object


def test_an_answer_is_divided_by_rows():
    scores = np.array([[0.8, 0.2], [0.1, 0.9], [0.5, 0.5]])
    whole = Output(np.array(["a", "b", "c"]), scores, pd.DataFrame({"x": [1, 2, 3]}, [7, 8, 9]))
    part = whole.part(1, 3)
    assert part.prediction.tolist() == ["b", "c"]
    assert part.score.tolist() == [0.9, 0.5]
    assert part.raw.to_dict("records") == [{"x": 2}, {"x": 3}]
    assert Output(scores[:, 0]).part(0, 1).raw is None
    assert Output(scores[:, 0], raw=[1, 2, 3]).part(2, 3).raw == [3]


TOP = Parameters('[{"name": "top", "type": "long", "default": 3, "shape": null}]')


def test_params_reach_the_models_that_have_them():
    model = LoadedModel(
        ModelSpec(1, "regression", ()),
        "pyfunc",
        lambda columns, params: Output(columns["x"] * params["top"]),
        parameters=TOP,
    )
    rows = {"x": np.array([2.0])}
    assert model.predict(rows).prediction.tolist() == [6.0]
    assert model.predict(rows, {"top": 5}).prediction.tolist() == [10.0]


def test_a_model_without_params_is_given_none():
    model = LoadedModel(ModelSpec(1, "regression", ()), "sklearn", Output)
    assert model.predict({}, {}).prediction == {}
    with pytest.raises(DataError, match="takes no params"):
        model.predict({}, {"top": 1})


cell = {"double": st.none() | st.floats(allow_nan=False), "string": st.none() | st.text(max_size=3)}


@given(data=st.data(), kinds=st.lists(st.sampled_from(sorted(cell)), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_table_of_rows_holds_the_columns_that_arrays_would(data, kinds):
    names = [f"c{place}" for place in range(len(kinds))]
    texts = [name for name, kind in zip(names, kinds, strict=True) if kind == "string"]
    row = st.tuples(*(cell[kind] for kind in kinds))
    rows = data.draw(st.lists(row, min_size=1, max_size=4) | st.lists(row, min_size=9, max_size=12))
    table = Table(Layout(names, texts), rows)
    assert list(table) == names
    assert len(table) == len(kinds)
    for place, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        cells = [each[place] for each in rows]
        wanted = np.empty(len(rows), dtype=object)
        wanted[:] = cells
        if kind == "double":
            wanted = wanted.astype(np.float64)
        np.testing.assert_array_equal(table[name], wanted)
        assert table[name].dtype == wanted.dtype
    whole = table.columns()
    assert list(whole) == names
    for name in names:
        np.testing.assert_array_equal(whole[name], table[name])
        assert whole[name].flags.c_contiguous or whole[name].dtype == object
    assert table.numbers.shape == (len(rows), kinds.count("double"))
    assert table.texts.shape == (len(rows), kinds.count("string"))
    assert table.numbers.flags.c_contiguous
    assert table.numbers is table.numbers  # made once
    with pytest.raises(KeyError):
        table["other"]


@given(data=st.data(), kinds=st.lists(st.sampled_from(sorted(cell)), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_tables_that_are_joined_are_one_of_all_rows(data, kinds):
    names = [f"c{place}" for place in range(len(kinds))]
    layout = Layout(
        names, [name for name, kind in zip(names, kinds, strict=True) if kind != "double"]
    )
    row = st.tuples(*(cell[kind] for kind in kinds))
    sizes = st.lists(row, min_size=1, max_size=2) | st.lists(row, min_size=9, max_size=10)
    parts = data.draw(st.lists(sizes, min_size=1, max_size=4))
    whole = Table(layout, [row for part in parts for row in part])
    tables = [Table(layout, part) for part in parts]
    if data.draw(st.booleans()):
        tables[0] = Table.of(layout, tables[0].numbers, tables[0].texts)
    joined = Table.joined(tables)
    np.testing.assert_array_equal(joined.numbers, whole.numbers)
    np.testing.assert_array_equal(joined.texts, whole.texts)
    assert joined.numbers.flags.c_contiguous
    assert joined.numbers.flags.writeable
    assert list(joined.columns()) == names


def test_a_table_of_numbers_alone_has_no_texts():
    numbers = np.array([[1.0, 2.0], [3.0, 4.0]])
    table = Table.of(Layout(["a", "b"]), numbers)
    assert table.numbers is numbers
    assert table.texts.shape == (2, 0)
    assert table["b"].tolist() == [2.0, 4.0]
