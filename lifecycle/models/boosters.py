"""Write the boosted trees of XGBoost and LightGBM as ONNX, as both libraries compare.

XGBoost rounds its input to float32 and goes left below a threshold; LightGBM compares doubles and
goes left up to it. Both are carried over to the last bit. XGBoost adds its leaves in float32, here
they are added in double: scores differ by some 1e-8. Formats:
https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html,
https://lightgbm.readthedocs.io/en/stable/pythonapi/lightgbm.Booster.html#lightgbm.Booster.dump_model

>>> _before(np.array([1.0])).tolist()
[0.9999999403953552]
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from lifecycle.models.elements import Unsupported
from lifecycle.models.estimators import Writer, constant, probabilities
from lifecycle.models.features import Features, Inputs
from lifecycle.models.growing import Tree, grown
from lifecycle.models.predicting import Array

IDENTITY = ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror")
LEAF = "leaf_value"
ZERO = float(np.float32(1e-35))  # LightGBM takes what is not further from 0 for 0


def _before(cuts: Array) -> Array:
    """The largest float32 below each: x < cut is x <= that, for x of float32."""
    found: Array = np.nextafter(cuts.astype(np.float32), np.float32(-np.inf)).astype(np.float64)
    return found


def _xgboost(inputs: Inputs, model: Any, features: Features) -> tuple[str, str, int]:
    """The sums of XGBoost's leaves, its objective, and how many outputs there are."""
    learner = json.loads(model.get_booster().save_raw("json"))["learner"]
    booster, objective = learner["gradient_booster"], learner["objective"]["name"]
    if booster["name"] != "gbtree":
        raise Unsupported(f"XGBoost's {booster['name']}")
    if not np.isnan(model.missing):
        raise Unsupported(f"XGBoost with {model.missing!r} as missing")
    outputs = max(1, int(learner["learner_model_param"]["num_class"]))
    if int(learner["learner_model_param"].get("num_target", 1)) > 1:
        raise Unsupported("XGBoost of several targets")
    trees, target = booster["model"]["trees"], booster["model"]["tree_info"]
    best = getattr(model, "best_iteration", None) if model.early_stopping_rounds else None
    if best is not None:
        parallel = int(booster["model"]["gbtree_model_param"]["num_parallel_tree"])
        trees = trees[: (best + 1) * outputs * parallel]
    grove = []
    for tree, to in zip(trees, target, strict=False):
        if any(tree["split_type"]):
            raise Unsupported("XGBoost with categorical splits")
        left = np.array(tree["left_children"], dtype=np.int64)
        values = np.array(tree["split_conditions"], dtype=np.float32).astype(np.float64)
        grove.append(
            Tree(
                left,
                np.array(tree["right_children"], dtype=np.int64),
                np.array(tree["split_indices"], dtype=np.int64),
                _before(values),
                np.array(tree["default_left"], dtype=bool),
                values[:, None],
                to,
            )
        )
    start = np.atleast_1d(json.loads(learner["learner_model_param"]["base_score"]))
    if objective in ("binary:logistic", "reg:logistic"):
        start = np.log(start / (1.0 - start))
    start = np.broadcast_to(start, (outputs,)).astype(np.float64)
    sums = grown(inputs, grove, features, targets=outputs, single=True)
    return inputs.graph.add("Add", sums, constant(inputs, start[None, :])), objective, outputs


def _xgboost_scores(inputs: Inputs, model: Any, features: Features) -> str:
    raw, objective, outputs = _xgboost(inputs, model, features)
    if objective not in ("binary:logistic", "multi:softprob"):
        raise Unsupported(f"XGBoost with the objective {objective}")
    return probabilities(inputs, raw, max(2, outputs))


def _xgboost_value(inputs: Inputs, model: Any, features: Features) -> str:
    raw, objective, _ = _xgboost(inputs, model, features)
    if objective not in IDENTITY:
        raise Unsupported(f"XGBoost with the objective {objective}")
    return raw


def _lightgbm(inputs: Inputs, model: Any, features: Features) -> tuple[str, str, int]:
    """The sums of LightGBM's leaves, its objective, and how many outputs there are."""
    described = model.booster_.dump_model()
    outputs = int(described["num_tree_per_iteration"])
    if described.get("average_output"):
        raise Unsupported("LightGBM's random forest")
    grove = [
        _lightgbm_tree(tree["tree_structure"], at % outputs)
        for at, tree in enumerate(described["tree_info"])
    ]
    sums = grown(inputs, grove, features, targets=outputs, single=False)
    return sums, str(described.get("objective", "")), outputs


def _lightgbm_tree(root: Mapping[str, Any], target: int) -> Tree:
    nodes: list[Mapping[str, Any]] = []
    left: list[int] = []
    right: list[int] = []

    def visit(node: Mapping[str, Any]) -> int:
        place = len(nodes)
        nodes.append(node)
        left.append(-1)
        right.append(-1)
        if LEAF not in node:
            left[place] = visit(node["left_child"])
            right[place] = visit(node["right_child"])
        return place

    visit(root)
    splits, missing = np.zeros(len(nodes)), np.zeros(len(nodes), dtype=bool)
    for place, node in enumerate(nodes):
        if LEAF in node:
            continue
        if node["decision_type"] != "<=" or node["missing_type"] == "Zero":
            raise Unsupported("LightGBM with categorical splits, or zero as missing")
        splits[place] = node["threshold"]
        null_is_zero = node["missing_type"] == "None"
        missing[place] = splits[place] >= 0.0 if null_is_zero else node["default_left"]
    splits[(splits >= -ZERO) & (splits < 0.0)] = np.nextafter(-ZERO, -np.inf)
    splits[(splits >= 0.0) & (splits < ZERO)] = ZERO
    return Tree(
        np.array(left),
        np.array(right),
        np.array([node.get("split_feature", 0) for node in nodes]),
        splits,
        missing,
        np.array([[node.get(LEAF, 0.0)] for node in nodes]),
        target,
    )


def _lightgbm_scores(inputs: Inputs, model: Any, features: Features) -> str:
    raw, objective, outputs = _lightgbm(inputs, model, features)
    if objective not in ("binary sigmoid:1", f"multiclass num_class:{outputs}"):
        raise Unsupported(f"LightGBM with the objective {objective}")
    return probabilities(inputs, raw, max(2, outputs))


def _lightgbm_value(inputs: Inputs, model: Any, features: Features) -> str:
    raw, objective, _ = _lightgbm(inputs, model, features)
    if objective.partition(" ")[0] not in ("regression", "regression_l1", "huber", "quantile"):
        raise Unsupported(f"LightGBM with the objective {objective}")
    return raw


SCORES: Mapping[str, Writer] = {
    "XGBClassifier": _xgboost_scores,
    "LGBMClassifier": _lightgbm_scores,
}
VALUES: Mapping[str, Writer] = {
    "XGBRegressor": _xgboost_value,
    "LGBMRegressor": _lightgbm_value,
}
