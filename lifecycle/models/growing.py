"""Write ensembles of trees so that they ask of a model's inputs themselves.

A tree behind scalers and imputers asks whether a scaled number is above a threshold. The threshold
is carried back to the number as it was sent, to the last bit, and so is the way that a null takes:
the graph then has no scaler, and compares as scikit-learn does (histogram boosting in double, other
trees after rounding to float32). Columns from a table or from another model are compared as they
are.

>>> Tree.__name__
'Tree'
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lifecycle.models.elements import Step, Unsupported, applied, carried, write
from lifecycle.models.features import Features, Inputs, Level, Made, Number
from lifecycle.models.graphs import Trees
from lifecycle.models.predicting import Array

SINGLE = (Step("single"),)
MOST_NODES = 10_000_000  # of all trees, a file of some 600 MB


@dataclass(frozen=True)
class Tree:
    """One fitted tree in arrays of shape (nodes,).

    Attributes:
        left: the node that follows where the feature is not above the split; below 0: a leaf.
        right: the node that follows elsewhere.
        features: column of each question.
        splits: threshold of each question.
        missing: whether NaN goes left.
        values: answer of each leaf, one column a target: (nodes, targets).
        target: the first target that the answers are added to.
    """

    left: Array
    right: Array
    features: Array
    splits: Array
    missing: Array
    values: Array
    target: int = 0


def of_tree(tree: Any, values: Array, *, target: int = 0, columns: Array | None = None) -> Tree:
    """A tree of scikit-learn's `tree_`.

    Args:
        tree: the fitted arrays.
        values: answer of each node, shape (nodes,) or (nodes, targets).
        target: the first target.
        columns: which of the features the tree was given; None: all.
    """
    features = np.maximum(tree.feature, 0)
    missing = getattr(tree, "missing_go_to_left", np.zeros(tree.node_count))
    return Tree(
        tree.children_left,
        tree.children_right,
        features if columns is None else np.asarray(columns)[features],
        tree.threshold,
        np.asarray(missing),
        values if values.ndim == 2 else values[:, None],
        target,
    )


def grown(
    inputs: Inputs, grove: Sequence[Tree], features: Features, *, targets: int, single: bool
) -> str:
    """Write trees; gives the sums of their answers, shape (n, targets).

    Args:
        inputs: what the trees ask of.
        grove: the trees.
        features: what the trees' columns are.
        targets: columns of the result.
        single: whether the original rounds its input to float32.
    """
    size = sum(len(tree.left) * tree.values.shape[1] for tree in grove)
    if size > MOST_NODES:
        raise Unsupported(f"trees of {size:,} nodes together ({MOST_NODES:,} at most)")
    value, places = _table(inputs, features, single=single)
    nodes = [np.flatnonzero(tree.left >= 0) for tree in grove]
    asked = np.concatenate([tree.features[own] for tree, own in zip(grove, nodes, strict=True)])
    splits = np.concatenate([tree.splits[own] for tree, own in zip(grove, nodes, strict=True)])
    missing = np.concatenate([tree.missing[own] for tree, own in zip(grove, nodes, strict=True)])
    splits, missing = splits.astype(np.float64), missing.astype(bool)
    for feature in np.unique(asked):
        item = features[feature]
        if not isinstance(item, Number):
            continue
        own = asked == feature
        chain = item.chain + SINGLE if single else item.chain
        null = applied(chain, np.array([np.nan]))[0]
        missing[own] = missing[own] if np.isnan(null) else null <= splits[own]
        splits[own] = carried(chain, splits[own])
    trees, start = Trees(), 0
    for tree, own in zip(grove, nodes, strict=True):
        span = slice(start, start + len(own))
        start += len(own)
        new: dict[str, Array] = {"features": np.zeros(len(tree.left), dtype=np.int64)}
        new |= {"splits": np.zeros(len(tree.left)), "missing": np.zeros(len(tree.left), dtype=bool)}
        new["features"][own] = places[asked[span]]
        new["splits"][own], new["missing"][own] = splits[span], missing[span]
        for column in range(tree.values.shape[1]):
            trees.tree(
                tree.left,
                tree.right,
                **new,
                values=tree.values[:, column],
                target=tree.target + column,
            )
    return trees.write(inputs.graph, value, targets=targets)


def _table(inputs: Inputs, features: Features, *, single: bool) -> tuple[str, Array]:
    """The trees' table, and where in it each feature stands."""
    places = np.zeros(len(features), dtype=np.int64)
    numbers = [at for at, item in enumerate(features) if isinstance(item, Number)]
    others = [at for at, item in enumerate(features) if not isinstance(item, Number)]
    for at in numbers:
        item = features[at]
        assert isinstance(item, Number)
        places[at] = item.place
    if not others:
        return "numbers", places
    rounded: Features = []
    singles: dict[str, str] = {}
    for at in others:
        item = features[at]
        if isinstance(item, Level) and single and item.values.dtype != object:
            item = Level(item.source, applied(SINGLE, item.values))
        elif isinstance(item, Made) and single:
            if item.value not in singles:
                singles[item.value] = write(inputs.graph, item.value, [SINGLE])
            item = Made(singles[item.value], item.place)
        rounded.append(item)
    order, parts = inputs.blocks(rounded)
    first = len(inputs.numbers) if numbers else 0
    for to, at in enumerate(order):
        places[others[at]] = first + to
    parts = ["numbers", *parts] if numbers else parts
    graph = inputs.graph
    return (parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)), places


def histogram_trees(model: Any, features: Features) -> tuple[list[Tree], Features]:
    """The trees of histogram boosting, categorical questions as columns of their own.

    Returns:
        The trees, and the features with one more for each set of categories that is asked for.

    Raises:
        Unsupported: a categorical column that is not one of few values.
    """
    known, places = model._bin_mapper.make_known_categories_bitsets()
    extended, sets = list(features), dict[tuple[int, bytes], int]()
    grove = []
    for stage in model._predictors:
        for target, predictor in enumerate(stage):
            nodes = predictor.nodes
            asked, splits = nodes["feature_idx"].astype(np.int64), nodes["num_threshold"].copy()
            for at in np.flatnonzero(nodes["is_categorical"] & ~nodes["is_leaf"].astype(bool)):
                feature = int(asked[at])
                left = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][at]]
                item = features[feature]
                if not isinstance(item, Level):
                    raise Unsupported("a categorical column that no encoder made")
                key = (feature, left.tobytes() + bytes([int(nodes["missing_go_to_left"][at])]))
                if key not in sets:
                    goes = _goes_left(item.values, left, known[places[feature]])
                    goes[goes < 0] = nodes["missing_go_to_left"][at]
                    sets[key] = len(extended)
                    extended.append(Level(item.source, 1.0 - goes))
                asked[at], splits[at] = sets[key], 0.5
            grove.append(
                Tree(
                    np.where(nodes["is_leaf"], -1, nodes["left"].astype(np.int64)),
                    nodes["right"].astype(np.int64),
                    asked,
                    splits,
                    nodes["missing_go_to_left"],
                    nodes["value"][:, None],
                    target,
                )
            )
    return grove, extended


def _goes_left(values: Array, left: Array, known: Array) -> Array:
    """1 where a category goes left, 0 where right, -1 where it is as good as missing."""
    goes = np.full(len(values), -1.0)
    for at, value in enumerate(values.tolist()):
        if not 0 <= value < 256:  # null too
            continue
        word, bit = divmod(int(value), 32)
        if known[word] >> np.uint32(bit) & np.uint32(1):
            goes[at] = float(left[word] >> np.uint32(bit) & np.uint32(1))
    return goes


def shares(tree: Any) -> Array:
    """The classes' shares in each node, shape (nodes, classes)."""
    weights = tree.value[:, 0, :]
    found: Array = weights / weights.sum(axis=1, keepdims=True)
    return found
