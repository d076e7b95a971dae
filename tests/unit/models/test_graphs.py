"""Trees as ONNX answer what the arrays say, exactly at thresholds, and for NaN."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeRegressor

from lifecycle.models.elements import Unsupported
from lifecycle.models.exact import exact
from lifecycle.models.graphs import Graph, Trees, session_output


def written(trees, targets=1):
    graph = Graph()
    value = graph.input("x", "double")
    return graph.build(trees.write(graph, value, targets=targets))


def test_a_threshold_belongs_to_the_left_in_double_precision():
    cut = 0.1 + 0.2
    trees = Trees()
    trees.tree(
        np.array([1, -1, -1]),
        np.array([2, -1, -1]),
        features=np.array([0, 0, 0]),
        splits=np.array([cut, 0.0, 0.0]),
        missing=np.array([1, 0, 0]),
        values=np.array([0.0, -1.0, 1.0]),
        target=0,
    )
    x = np.array([[cut], [np.nextafter(cut, 1)], [np.nextafter(cut, 0)], [np.nan]])
    assert session_output(written(trees), {"x": x}).ravel().tolist() == [-1.0, 1.0, -1.0, -1.0]


def test_trees_add_up_by_target_and_a_leaf_alone_is_a_tree():
    trees = Trees()
    trees.leaf_only(0.25, target=0)
    trees.leaf_only(0.5, target=1)
    trees.leaf_only(1.0, target=1)
    found = session_output(written(trees, 2), {"x": np.array([[3.0]])})
    assert found.tolist() == [[0.25, 1.5]]


@pytest.mark.parametrize("depth", [1, 4, 12])
def test_trees_of_scikit_learn_answer_the_same(depth):
    rng = np.random.default_rng(depth)
    x = rng.random((500, 1))
    model = DecisionTreeRegressor(max_depth=depth).fit(x, np.sin(9 * x[:, 0]))
    tree = model.tree_
    trees = Trees()
    trees.tree(
        tree.children_left,
        tree.children_right,
        features=tree.feature,
        splits=tree.threshold,
        missing=tree.missing_go_to_left,
        values=tree.value[:, 0, 0],
        target=0,
    )
    asked = x.astype(np.float32).astype(np.float64)
    found = session_output(written(trees), {"x": asked})
    assert found.ravel().tolist() == model.predict(asked).tolist()


def test_texts_are_compared_as_texts():
    graph = Graph()
    value = graph.input("plan", "string")
    known = graph.constant(np.array([["é", ""]], dtype=object))
    content = graph.build(graph.cast(graph.add("Equal", value, known), "DOUBLE"))
    asked = {"plan": np.array([["é"], [""], ["e"]], dtype=object)}
    assert session_output(content, asked).tolist() == [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]


def test_what_is_no_pipeline_of_ours_is_not_written():
    with pytest.raises(Unsupported, match="DecisionTreeRegressor"):
        exact(DecisionTreeRegressor(), ())


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6, unique=True),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12),
    st.booleans(),
)
def test_a_chain_of_questions_finds_the_step_of_every_value(cuts, asked, missing):
    cuts = sorted(cuts)
    size = 2 * len(cuts) + 1
    left, right, splits = np.full(size, -1), np.full(size, -1), np.zeros(size)
    values = np.zeros(size)
    for step, cut in enumerate(cuts):  # question 2 * step, its leaf beside it
        left[2 * step], right[2 * step], splits[2 * step] = 2 * step + 1, 2 * step + 2, cut
        values[2 * step + 1] = step
    values[-1] = len(cuts)
    trees = Trees()
    trees.tree(
        left,
        right,
        features=np.zeros(size, dtype=int),
        splits=splits,
        missing=np.full(size, int(missing)),
        values=values,
        target=0,
    )
    x = np.array([*asked, *cuts, np.nan])[:, None]
    found = session_output(written(trees), {"x": x}).ravel()
    assert found[:-1].tolist() == np.searchsorted(cuts, x[:-1, 0], side="left").tolist()
    assert found[-1] == (0 if missing else len(cuts))


def test_no_rows_are_answered_by_no_rows():
    trees = Trees()
    trees.leaf_only(1.0, target=0)
    assert session_output(written(trees), {"x": np.zeros((0, 1))}).shape == (0, 1)


def test_infinite_values_take_the_outermost_branches():
    trees = Trees()
    trees.tree(
        np.array([1, -1, -1]),
        np.array([2, -1, -1]),
        features=np.zeros(3, dtype=int),
        splits=np.array([5.0, 0.0, 0.0]),
        missing=np.zeros(3),
        values=np.array([0.0, -1.0, 1.0]),
        target=0,
    )
    found = session_output(written(trees), {"x": np.array([[np.inf], [-np.inf]])})
    assert found.ravel().tolist() == [1.0, -1.0]
