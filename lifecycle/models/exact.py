"""Compile the default preprocessor and the common estimators exactly, in double precision.

skl2onnx compares in float32, where a value next to a threshold can take the other branch; what is
written here compares as scikit-learn does: histogram boosting in double, other trees on inputs
rounded to float32. What it does not know raises Unsupported, and skl2onnx is asked instead.

>>> exact(object(), ())
Traceback (most recent call last):
lifecycle.models.exact.Unsupported: object
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lifecycle.models.graphs import Graph, Trees
from lifecycle.models.predicting import Array
from lifecycle.records import Column


class Unsupported(Exception):
    """A part that cannot be compiled here; its message names the part."""


def exact(estimator: Any, features: Sequence[Column]) -> bytes:
    """The ONNX model of a fitted Pipeline of our default preprocessor and an estimator.

    Args:
        estimator: a Pipeline with the steps `prepare` and `model`.
        features: its input columns.

    Returns:
        A model with an input of shape (n, 1) a column and one output: scores (n, classes) in the
        order of the estimator's own classes, or values (n, 1).

    Raises:
        Unsupported: a part is not known.
    """
    from sklearn.compose import ColumnTransformer

    steps = getattr(estimator, "named_steps", {})
    if list(steps) != ["prepare", "model"] or not isinstance(steps["prepare"], ColumnTransformer):
        raise Unsupported(type(estimator).__name__)
    model = steps["model"]
    writer = next(
        (WRITERS[kind.__name__] for kind in type(model).__mro__ if kind.__name__ in WRITERS), None
    )
    if writer is None or not type(model).__module__.startswith("sklearn."):
        raise Unsupported(type(model).__name__)
    graph = Graph()
    names = {item.name: graph.input(item.name, item.dtype) for item in features}
    table, null = _prepare(graph, steps["prepare"], names)
    return graph.build(writer(graph, model, table), null=null)


def _prepare(graph: Graph, prepare: Any, names: Mapping[str, str]) -> tuple[str, str | None]:
    null = None
    blocks = []
    for _, part, columns in prepare.transformers_:
        used = [names[name] for name in columns]
        if isinstance(part, str) or not used:
            if part == "passthrough" or type(part).__name__ == "FunctionTransformer":
                blocks.append(_beside(graph, used))
            continue
        steps = part.named_steps if hasattr(part, "named_steps") else {"": part}
        kinds = [type(step).__name__ for step in steps.values()]
        if kinds == ["SimpleImputer", "OneHotEncoder"]:
            imputer, encoder = steps.values()
            null = str(imputer.fill_value)
            blocks.append(_levels(graph, encoder, used))
        elif kinds == ["OrdinalEncoder", "SimpleImputer"]:
            blocks.append(_filled(graph, list(steps.values())[1], _beside(graph, used)))
        elif all(
            kind in {"SimpleImputer", "StandardScaler", "FunctionTransformer"} for kind in kinds
        ):
            blocks.append(_numbers(graph, list(steps.values()), _beside(graph, used)))
        else:
            raise Unsupported(", ".join(kinds))
    return (blocks[0] if len(blocks) == 1 else graph.add("Concat", *blocks, axis=1)), null


def _beside(graph: Graph, columns: Sequence[str]) -> str:
    return columns[0] if len(columns) == 1 else graph.add("Concat", *columns, axis=1)


def _numbers(graph: Graph, steps: Sequence[Any], value: str) -> str:
    for step in steps:
        if type(step).__name__ == "SimpleImputer":
            value = _filled(graph, step, value)
        elif type(step).__name__ == "StandardScaler":
            value = graph.add("Sub", value, graph.constant(step.mean_[None, :]))
            value = graph.add("Div", value, graph.constant(step.scale_[None, :]))
    return value


def _filled(graph: Graph, imputer: Any, value: str) -> str:
    filling = np.nan_to_num(imputer.statistics_.astype(np.float64))[None, :]
    return graph.add("Where", graph.add("IsNaN", value), graph.constant(filling), value)


def _levels(graph: Graph, encoder: Any, columns: Sequence[str]) -> str:
    blocks = []
    rare = encoder.infrequent_categories_ if encoder.max_categories else [None] * len(columns)
    for column, levels, few in zip(columns, encoder.categories_, rare, strict=True):
        kept = [level for level in levels if few is None or level not in set(few)]
        block = None
        if kept:
            known = graph.constant(np.array(kept, dtype=object)[None, :])
            block = graph.cast(graph.add("Equal", column, known), "DOUBLE")
        if few is not None:
            one = graph.constant(np.array([[1.0]]))
            if block is None:
                raise Unsupported("a text column without frequent levels")
            axes = graph.constant(np.array([1]))
            rest = graph.add("Sub", one, graph.add("ReduceSum", block, axes, keepdims=1))
            block = graph.add("Concat", block, rest, axis=1)
        assert block is not None  # a column has at least one level
        blocks.append(block)
    return _beside(graph, blocks)


def _linear(graph: Graph, model: Any, table: str) -> str:
    weights = np.atleast_2d(model.coef_).T.astype(np.float64)
    shift = np.broadcast_to(np.asarray(model.intercept_, dtype=np.float64), (weights.shape[1],))
    product = graph.add("MatMul", table, graph.constant(weights))
    return graph.add("Add", product, graph.constant(shift[None, :]))


def _logistic(graph: Graph, model: Any, table: str) -> str:
    return _probabilities(graph, _linear(graph, model, table), len(model.classes_))


def _probabilities(graph: Graph, raw: str, classes: int) -> str:
    """Scores from raw values: one column for two classes, else one a class."""
    if classes > 2:
        return graph.add("Softmax", raw, axis=1)
    return _two(graph, graph.add("Sigmoid", raw))


def _two(graph: Graph, positive: str) -> str:
    other = graph.add("Sub", graph.constant(np.array([[1.0]])), positive)
    return graph.add("Concat", other, positive, axis=1)


def _rounded(graph: Graph, table: str) -> str:
    """As scikit-learn's trees see their input: rounded to float32."""
    return graph.cast(graph.cast(table, "FLOAT"), "DOUBLE")


def _grow(trees: Trees, tree: Any, values: Array, *, target: int) -> None:
    missing = getattr(tree, "missing_go_to_left", np.zeros(tree.node_count))
    trees.tree(
        tree.children_left,
        tree.children_right,
        features=tree.feature,
        splits=tree.threshold,
        missing=missing,
        values=values,
        target=target,
    )


def _forest(graph: Graph, model: Any, table: str) -> str:
    grown = [item.tree_ for item in getattr(model, "estimators_", [model])]
    classes = getattr(model, "classes_", None)
    trees, count = Trees(), graph.constant(np.array([[float(len(grown))]]))
    if classes is None:
        for tree in grown:
            _grow(trees, tree, tree.value[:, 0, 0], target=0)
        return graph.add("Div", trees.write(graph, _rounded(graph, table), targets=1), count)
    shown = [1] if len(classes) == 2 else list(range(len(classes)))
    for tree in grown:
        shares = tree.value[:, 0, :] / tree.value[:, 0, :].sum(axis=1, keepdims=True)
        for target, column in enumerate(shown):
            _grow(trees, tree, shares[:, column], target=target)
    # summed, then divided, as scikit-learn does: 50 of 100 votes are exactly a half
    scores = trees.write(graph, _rounded(graph, table), targets=len(shown))
    scores = graph.add("Div", scores, count)
    return _two(graph, scores) if len(shown) == 1 else scores


def _boosted(graph: Graph, model: Any, table: str) -> str:
    """GradientBoosting: float32 inputs, a constant start, a rate."""
    if model.init is not None:
        raise Unsupported("GradientBoosting with an own start")
    start = np.asarray(model._raw_predict_init(np.zeros((1, model.n_features_in_))))
    trees = Trees()
    for stage in model.estimators_:
        for target, item in enumerate(stage):
            values = item.tree_.value[:, 0, 0] * model.learning_rate
            _grow(trees, item.tree_, values, target=target)
    sums = trees.write(graph, _rounded(graph, table), targets=start.shape[1])
    raw = graph.add("Add", sums, graph.constant(start.astype(np.float64).reshape(1, -1)))
    classes = getattr(model, "classes_", None)
    if classes is None:
        return raw
    if model.loss != "log_loss":
        raise Unsupported(f"GradientBoosting with loss {model.loss}")
    return _probabilities(graph, raw, len(classes))


def _histogram(graph: Graph, model: Any, table: str) -> str:
    """HistGradientBoosting: double inputs, NaN goes where the training sent it."""
    trees = Trees()
    for stage in model._predictors:
        for target, predictor in enumerate(stage):
            nodes = predictor.nodes
            if nodes["is_categorical"].any():
                raise Unsupported("HistGradientBoosting with categorical splits")
            leaf = nodes["is_leaf"].astype(bool)
            trees.tree(
                np.where(leaf, -1, nodes["left"].astype(np.int64)),
                nodes["right"].astype(np.int64),
                features=nodes["feature_idx"],
                splits=nodes["num_threshold"],
                missing=nodes["missing_go_to_left"],
                values=nodes["value"],
                target=target,
            )
    start = np.asarray(model._baseline_prediction, dtype=np.float64).reshape(1, -1)
    sums = trees.write(graph, table, targets=start.shape[1])
    raw = graph.add("Add", sums, graph.constant(start))
    classes = getattr(model, "classes_", None)
    if classes is not None:
        return _probabilities(graph, raw, len(classes))
    if model.loss in ("gamma", "poisson"):
        return graph.add("Exp", raw)
    return raw


ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


def _network(graph: Graph, model: Any, table: str) -> str:
    value = table
    for depth, (weights, shift) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        if depth and model.activation != "identity":
            value = graph.add(ACTIVATIONS[model.activation], value)
        product = graph.add("MatMul", value, graph.constant(weights.astype(np.float64)))
        value = graph.add("Add", product, graph.constant(shift.astype(np.float64)[None, :]))
    classes = getattr(model, "classes_", None)
    if classes is None:
        if model.out_activation_ != "identity":
            raise Unsupported(f"a network that ends in {model.out_activation_}")
        return value
    return _probabilities(graph, value, len(classes))


WRITERS: Mapping[str, Callable[[Graph, Any, str], str]] = {
    "LogisticRegression": _logistic,
    "LinearRegression": _linear,
    "Ridge": _linear,
    "ElasticNet": _linear,
    "BaseHistGradientBoosting": _histogram,
    "BaseGradientBoosting": _boosted,
    "ForestClassifier": _forest,
    "ForestRegressor": _forest,
    "BaseDecisionTree": _forest,
    "BaseMultilayerPerceptron": _network,
}
