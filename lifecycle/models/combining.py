"""Write estimators that are made of estimators: averages, stacks, votes and calibrations.

>>> sorted(set(SCORES) - set(estimators.SCORES))[:2]
['AdaBoostClassifier', 'BaggingClassifier']
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lifecycle.models import boosters, estimators
from lifecycle.models.elements import Unsupported, interpolated
from lifecycle.models.estimators import Writer, constant, mean_of_trees, probabilities, shared, two
from lifecycle.models.features import LIBRARIES, Features, Inputs
from lifecycle.models.growing import grown, of_tree
from lifecycle.models.preparing import made, prepared


def answer(inputs: Inputs, estimator: Any, features: Features) -> str:
    """Scores of a classifier, shape (n, classes), or values of a regressor, shape (n, 1)."""
    from sklearn.base import is_classifier

    return (scores if is_classifier(estimator) else values)(inputs, estimator, features)


def scores(inputs: Inputs, estimator: Any, features: Features) -> str:
    """What `predict_proba` answers."""
    return _written(SCORES, inputs, estimator, features)


def values(inputs: Inputs, estimator: Any, features: Features) -> str:
    """What a regressor's `predict` answers."""
    return _written(VALUES, inputs, estimator, features)


def margins(inputs: Inputs, estimator: Any, features: Features) -> str:
    """What `decision_function` answers: (n, 1) for two classes, else (n, classes)."""
    return _written(MARGINS, inputs, estimator, features)


def _written(
    table: Mapping[str, Writer], inputs: Inputs, estimator: Any, features: Features
) -> str:
    estimator, features = opened(inputs, estimator, features)
    writer = find(table, estimator)
    if writer is None:
        raise Unsupported(type(estimator).__name__)
    return writer(inputs, estimator, features)


def opened(inputs: Inputs, estimator: Any, features: Features) -> tuple[Any, Features]:
    """The last estimator of a Pipeline or a search, and the features that reach it."""
    while True:
        name = type(estimator).__name__
        if name == "Pipeline":
            for _, step in estimator.steps[:-1]:
                if step is not None and step != "passthrough":
                    features = prepared(inputs, step, features)
            estimator = estimator.steps[-1][1]
        elif name in INSIDE and hasattr(estimator, INSIDE[name]):
            estimator = getattr(estimator, INSIDE[name])
        else:
            return estimator, features


INSIDE = {
    "FixedThresholdClassifier": "estimator_",
    "TunedThresholdClassifierCV": "estimator_",
    "FrozenEstimator": "estimator",
    "GridSearchCV": "best_estimator_",
    "RandomizedSearchCV": "best_estimator_",
    "HalvingGridSearchCV": "best_estimator_",
    "HalvingRandomSearchCV": "best_estimator_",
}


def find(table: Mapping[str, Writer], estimator: Any) -> Writer | None:
    """The writer of an estimator's class, or of one that it derives from."""
    if type(estimator).__module__.partition(".")[0] not in LIBRARIES:
        return None
    names = [kind.__name__ for kind in type(estimator).__mro__]
    return next((table[name] for name in names if name in table), None)


def _added(inputs: Inputs, parts: Sequence[str], weights: Sequence[float]) -> str:
    """The weighted mean of values of one shape."""
    graph, total = inputs.graph, ""
    for part, weight in zip(parts, weights, strict=True):
        term = part if weight == 1.0 else graph.add("Mul", part, constant(inputs, [[weight]]))
        total = graph.add("Add", total, term) if total else term
    return graph.add("Div", total, constant(inputs, [[float(sum(weights))]]))


def _voting(inputs: Inputs, model: Any, features: Features) -> str:
    if getattr(model, "voting", "soft") == "hard":
        raise Unsupported("VotingClassifier that counts votes")
    weights = model._weights_not_none or [1.0] * len(model.estimators_)
    parts = [answer(inputs, item, features) for item in model.estimators_]
    return _added(inputs, parts, [float(weight) for weight in weights])


def _stacking(inputs: Inputs, model: Any, features: Features) -> str:
    graph, count, stacked = inputs.graph, len(getattr(model, "classes_", ())), []
    for item, method in zip(model.estimators_, model.stack_method_, strict=True):
        if method == "predict" and count:
            raise Unsupported("StackingClassifier of labels")
        if method == "predict_proba":
            value = scores(inputs, item, features)
            if count == 2:
                stacked += made(graph.columns(value, [1]), 1)
                continue
            stacked += made(value, count)
        elif method == "decision_function":
            stacked += made(margins(inputs, item, features), 1 if count == 2 else count)
        else:
            stacked += made(values(inputs, item, features), 1)
    rest = features if model.passthrough else []
    return answer(inputs, model.final_estimator_, [*stacked, *rest])


def _bagging(inputs: Inputs, model: Any, features: Features) -> str:
    classes, parts = getattr(model, "classes_", None), []
    for item in model.estimators_:
        if classes is not None and len(item.classes_) != len(classes):
            raise Unsupported("BaggingClassifier whose parts know different classes")
    columns = [np.asarray(own) for own in model.estimators_features_]
    if all(hasattr(item, "tree_") for item in model.estimators_):
        trees = [item.tree_ for item in model.estimators_]
        return mean_of_trees(inputs, model, features, list(zip(trees, columns, strict=True)))
    for item, own in zip(model.estimators_, columns, strict=True):
        parts.append(answer(inputs, item, [features[at] for at in own]))
    return _added(inputs, parts, [1.0] * len(parts))


def _boost_votes(inputs: Inputs, model: Any, features: Features) -> str:
    """AdaBoost's votes, (n, classes): each tree adds its weight to the class that it names."""
    count, grove = len(model.classes_), []
    if not all(hasattr(item, "tree_") for item in model.estimators_):
        raise Unsupported("AdaBoostClassifier of what is no tree")
    weights = model.estimator_weights_[: len(model.estimators_)]
    for item, weight in zip(model.estimators_, weights, strict=True):
        own = np.argmax(item.tree_.value[:, 0, :], axis=1)
        named = np.searchsorted(model.classes_, item.classes_)[own]
        votes = np.where(np.arange(count) == named[:, None], weight, -weight / (count - 1))
        grove.append(of_tree(item.tree_, votes))
    sums = grown(inputs, grove, features, targets=count, single=True)
    return inputs.graph.add("Div", sums, constant(inputs, [[model.estimator_weights_.sum()]]))


def _boost_margin(inputs: Inputs, model: Any, features: Features) -> str:
    votes = _boost_votes(inputs, model, features)
    if len(model.classes_) > 2:
        return votes
    turned = constant(inputs, [[-1.0], [1.0]])
    return inputs.graph.add("MatMul", votes, turned)


def _boost_scores(inputs: Inputs, model: Any, features: Features) -> str:
    count = len(model.classes_)
    raw = _boost_margin(inputs, model, features)
    if count > 2:
        raw = inputs.graph.add("Div", raw, constant(inputs, [[count - 1.0]]))
    return probabilities(inputs, raw, count)


def _calibrated(inputs: Inputs, model: Any, features: Features) -> str:
    parts = [_one_calibrated(inputs, item, features) for item in model.calibrated_classifiers_]
    return _added(inputs, parts, [1.0] * len(parts))


def _one_calibrated(inputs: Inputs, part: Any, features: Features) -> str:
    graph, count = inputs.graph, len(part.classes)
    inner = part.estimator
    if len(inner.classes_) != count:
        raise Unsupported("CalibratedClassifierCV whose parts know different classes")
    if hasattr(inner, "decision_function"):
        raw = margins(inputs, inner, features)
    else:
        raw = scores(inputs, inner, features)
        raw = graph.columns(raw, [1]) if count == 2 else raw
    if part.method == "temperature":
        return _tempered(inputs, part, raw, margin=hasattr(inner, "decision_function"))
    columns = [raw] if count == 2 else [graph.columns(raw, [at]) for at in range(count)]
    found = [
        _calibration(inputs, item, column)
        for item, column in zip(part.calibrators, columns, strict=True)
    ]
    if count == 2:
        return two(inputs, found[0])
    return shared(inputs, graph.add("Concat", *found, axis=1), count)


def _calibration(inputs: Inputs, calibrator: Any, raw: str) -> str:
    graph = inputs.graph
    if type(calibrator).__name__ == "_SigmoidCalibration":
        scaled = graph.add("Mul", raw, constant(inputs, [[-calibrator.a_]]))
        return graph.add("Sigmoid", graph.add("Sub", scaled, constant(inputs, [[calibrator.b_]])))
    knots, heights = calibrator.X_thresholds_, calibrator.y_thresholds_
    if len(knots) == 1:
        knots, heights = np.repeat(knots, 2), np.repeat(heights, 2)
    if knots.dtype != np.float64:
        raw = graph.cast(graph.cast(raw, "FLOAT"), "DOUBLE")
    knots, heights = (np.asarray(item, dtype=np.float64) for item in (knots, heights))
    return interpolated(graph, raw, knots, heights, right=False)


def _tempered(inputs: Inputs, part: Any, raw: str, *, margin: bool) -> str:
    """Raw values over a temperature; of scores, their logarithm."""
    graph, slope = inputs.graph, float(part.calibrators[0].beta_)
    if not margin:
        raw = two(inputs, raw) if len(part.classes) == 2 else raw
        raw = graph.add("Log", graph.add("Add", raw, constant(inputs, [[1e-12]])))
        return graph.add("Softmax", graph.add("Mul", raw, constant(inputs, [[slope]])), axis=1)
    slope = slope * 2.0 if len(part.classes) == 2 else slope  # of x and of -x
    return probabilities(
        inputs, graph.add("Mul", raw, constant(inputs, [[slope]])), len(part.classes)
    )


def _target(inputs: Inputs, model: Any, features: Features) -> str:
    """A regressor whose target was scaled."""
    value, back = values(inputs, model.regressor_, features), model.transformer_
    name = type(back).__name__
    if name == "StandardScaler":
        back_scale, back_mean = np.atleast_2d(back.scale_), np.atleast_2d(back.mean_)
        value = inputs.graph.add("Mul", value, constant(inputs, back_scale))
        return inputs.graph.add("Add", value, constant(inputs, back_mean))
    if name == "FunctionTransformer" and back.inverse_func in TURNED:
        return TURNED[back.inverse_func](inputs, value)
    raise Unsupported(f"TransformedTargetRegressor with {name}")


def _exponential(inputs: Inputs, value: str) -> str:
    return inputs.graph.add("Exp", value)


def _exponential_less_one(inputs: Inputs, value: str) -> str:
    return inputs.graph.add("Sub", _exponential(inputs, value), constant(inputs, [[1.0]]))


TURNED: Mapping[Any, Callable[[Inputs, str], str]] = {
    np.exp: _exponential,
    np.expm1: _exponential_less_one,
}
SCORES: Mapping[str, Writer] = {
    **estimators.SCORES,
    **boosters.SCORES,
    "VotingClassifier": _voting,
    "StackingClassifier": _stacking,
    "BaggingClassifier": _bagging,
    "AdaBoostClassifier": _boost_scores,
    "CalibratedClassifierCV": _calibrated,
}
VALUES: Mapping[str, Writer] = {
    **estimators.VALUES,
    **boosters.VALUES,
    "VotingRegressor": _voting,
    "StackingRegressor": _stacking,
    "BaggingRegressor": _bagging,
    "TransformedTargetRegressor": _target,
}
MARGINS: Mapping[str, Writer] = {**estimators.MARGINS, "AdaBoostClassifier": _boost_margin}
