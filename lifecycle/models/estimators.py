"""Write fitted estimators as ONNX, in double precision.

To add one: a function of inputs, fitted estimator and features that gives the name of a value, and
a row in SCORES (probabilities), VALUES (a regressor's answer) or MARGINS (`decision_function`),
under the name of its class or of one that it derives from.

>>> SCORES["LogisticRegression"].__name__
'_logistic'
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lifecycle.models.elements import Unsupported
from lifecycle.models.features import Features, Inputs
from lifecycle.models.growing import grown, histogram_trees, of_tree, shares
from lifecycle.models.predicting import Array
from lifecycle.models.preparing import prepared

Writer = Callable[[Inputs, Any, Features], str]


def linear(inputs: Inputs, model: Any, features: Features) -> str:
    """Weights and a shift: (n, outputs)."""
    weights = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64)).T
    shift = np.broadcast_to(np.asarray(model.intercept_, dtype=np.float64), (weights.shape[1],))
    product = inputs.graph.add("MatMul", inputs.value(features), constant(inputs, weights))
    return inputs.graph.add("Add", product, constant(inputs, shift[None, :]))


def constant(inputs: Inputs, numbers: Any) -> str:
    """Numbers in the graph, as double."""
    return inputs.graph.constant(np.ascontiguousarray(numbers, dtype=np.float64))


def one_output(inputs: Inputs, model: Any, features: Features) -> str:
    """A linear regressor of one target."""
    if np.atleast_2d(model.coef_).shape[0] != 1:
        raise Unsupported("a regressor of several targets")
    return linear(inputs, model, features)


def probabilities(inputs: Inputs, raw: str, classes: int) -> str:
    """Scores from raw values: one column for two classes, else one a class."""
    if classes > 2:
        return inputs.graph.add("Softmax", raw, axis=1)
    return two(inputs, inputs.graph.add("Sigmoid", raw))


def two(inputs: Inputs, positive: str) -> str:
    """Both classes' scores from the second's."""
    other = inputs.graph.add("Sub", constant(inputs, [[1.0]]), positive)
    return inputs.graph.add("Concat", other, positive, axis=1)


def shared(inputs: Inputs, value: str, classes: int) -> str:
    """One score against the rest a class, made to add up to one; alike where all are 0."""
    graph, zero = inputs.graph, constant(inputs, [[0.0]])
    total = graph.add("ReduceSum", value, graph.constant(np.array([1])), keepdims=1)
    nothing = graph.add("Equal", total, zero)
    safe = graph.add("Where", nothing, constant(inputs, [[1.0]]), total)
    alike = constant(inputs, np.full((1, classes), 1.0 / classes))
    return graph.add("Where", nothing, alike, graph.add("Div", value, safe))


def against_rest(inputs: Inputs, model: Any, features: Features) -> str:
    """A logistic function for each class against the rest."""
    raw = linear(inputs, model, features)
    if len(model.classes_) == 2:
        return probabilities(inputs, raw, 2)
    return shared(inputs, inputs.graph.add("Sigmoid", raw), len(model.classes_))


def _logistic(inputs: Inputs, model: Any, features: Features) -> str:
    if model.solver == "liblinear":
        return against_rest(inputs, model, features)
    return probabilities(inputs, linear(inputs, model, features), len(model.classes_))


def _discriminant(inputs: Inputs, model: Any, features: Features) -> str:
    return probabilities(inputs, linear(inputs, model, features), len(model.classes_))


def _descent(inputs: Inputs, model: Any, features: Features) -> str:
    if model.loss == "log_loss":
        return against_rest(inputs, model, features)
    if model.loss != "modified_huber":
        raise Unsupported(f"SGDClassifier with loss {model.loss}")
    graph, raw = inputs.graph, linear(inputs, model, features)
    ends = constant(inputs, [[1.0]]), constant(inputs, [[-1.0]])
    clipped = graph.add("Max", graph.add("Min", raw, ends[0]), ends[1])
    half = graph.add("Div", graph.add("Add", clipped, ends[0]), constant(inputs, [[2.0]]))
    count = len(model.classes_)
    return two(inputs, half) if count == 2 else shared(inputs, half, count)


def _log_linear(inputs: Inputs, model: Any, features: Features) -> str:
    """A generalized linear model (Poisson, gamma, Tweedie)."""
    raw = one_output(inputs, model, features)
    link = type(model._base_loss.link).__name__
    if link not in ("LogLink", "IdentityLink"):
        raise Unsupported(f"{type(model).__name__} with {link}")
    return inputs.graph.add("Exp", raw) if link == "LogLink" else raw


def forest(inputs: Inputs, model: Any, features: Features) -> str:
    """The mean of trees; a single tree too."""
    grown_trees = getattr(model, "estimators_", [model])
    return mean_of_trees(inputs, model, features, [(item.tree_, None) for item in grown_trees])


def mean_of_trees(
    inputs: Inputs, model: Any, features: Features, trees: Sequence[tuple[Any, Array | None]]
) -> str:
    """The mean of trees' answers, each on its own columns of the features."""
    count = constant(inputs, [[float(len(trees))]])
    classes = getattr(model, "classes_", None)
    if trees[0][0].value.shape[1] != 1:
        raise Unsupported("trees of several targets")
    if classes is None:
        grove = [of_tree(tree, tree.value[:, 0, 0], columns=own) for tree, own in trees]
        total = grown(inputs, grove, features, targets=1, single=True)
        return inputs.graph.add("Div", total, count)
    # summed, then divided, as scikit-learn does: 50 of 100 votes are exactly a half
    shown = slice(1, 2) if len(classes) == 2 else slice(None)
    grove = [of_tree(tree, shares(tree)[:, shown], columns=own) for tree, own in trees]
    targets = grove[0].values.shape[1]
    total = grown(inputs, grove, features, targets=targets, single=True)
    found = inputs.graph.add("Div", total, count)
    return two(inputs, found) if len(classes) == 2 else found


def boosted_margin(inputs: Inputs, model: Any, features: Features) -> str:
    """GradientBoosting before its link: trees on float32, a constant start, a rate."""
    if model.init is not None and model.init != "zero":
        raise Unsupported(f"{type(model).__name__} that starts from a model")
    start = np.asarray(model._raw_predict_init(np.zeros((1, model.n_features_in_))))
    grove = [
        of_tree(item.tree_, item.tree_.value[:, 0, 0] * model.learning_rate, target=target)
        for stage in model.estimators_
        for target, item in enumerate(stage)
    ]
    sums = grown(inputs, grove, features, targets=start.shape[1], single=True)
    return inputs.graph.add("Add", sums, constant(inputs, start.reshape(1, -1)))


def _boosted(inputs: Inputs, model: Any, features: Features) -> str:
    raw = boosted_margin(inputs, model, features)
    if model.loss == "exponential":
        raw = inputs.graph.add("Mul", raw, constant(inputs, [[2.0]]))
    return probabilities(inputs, raw, len(model.classes_))


def histogram_margin(inputs: Inputs, model: Any, features: Features) -> str:
    """HistGradientBoosting before its link: trees on doubles, NaN goes where training sent it."""
    if getattr(model, "_preprocessor", None) is not None:
        features = prepared(inputs, model._preprocessor, features)
    grove, features = histogram_trees(model, features)
    start = np.asarray(model._baseline_prediction, dtype=np.float64).reshape(1, -1)
    sums = grown(inputs, grove, features, targets=start.shape[1], single=False)
    return inputs.graph.add("Add", sums, constant(inputs, start))


def _histogram(inputs: Inputs, model: Any, features: Features) -> str:
    return probabilities(inputs, histogram_margin(inputs, model, features), len(model.classes_))


def _histogram_value(inputs: Inputs, model: Any, features: Features) -> str:
    raw = histogram_margin(inputs, model, features)
    return inputs.graph.add("Exp", raw) if model.loss in ("gamma", "poisson") else raw


ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


def _network(inputs: Inputs, model: Any, features: Features) -> str:
    graph, value = inputs.graph, inputs.value(features)
    for depth, (weights, shift) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        if depth and model.activation != "identity":
            value = graph.add(ACTIVATIONS[model.activation], value)
        product = graph.add("MatMul", value, constant(inputs, weights))
        value = graph.add("Add", product, constant(inputs, shift[None, :]))
    return value


def _network_scores(inputs: Inputs, model: Any, features: Features) -> str:
    return probabilities(inputs, _network(inputs, model, features), len(model.classes_))


def _network_value(inputs: Inputs, model: Any, features: Features) -> str:
    if model.out_activation_ != "identity" or model.n_outputs_ != 1:
        raise Unsupported(f"a network that ends in {model.out_activation_}")
    return _network(inputs, model, features)


def _bayes(inputs: Inputs, model: Any, features: Features) -> str:
    """Gaussian naive Bayes: the logarithm of each class's density, then its share."""
    graph, value = inputs.graph, inputs.value(features)
    axes, joint = graph.constant(np.array([1])), []
    for mean, spread, prior in zip(model.theta_, model.var_, model.class_prior_, strict=True):
        away = graph.add("Sub", value, constant(inputs, mean[None, :]))
        terms = graph.add("Div", graph.add("Mul", away, away), constant(inputs, spread[None, :]))
        half = graph.add(
            "Mul",
            graph.add("ReduceSum", terms, axes, keepdims=1),
            constant(inputs, [[-0.5]]),
        )
        start = np.log(prior) - 0.5 * np.sum(np.log(2.0 * np.pi * spread))
        joint.append(graph.add("Add", half, constant(inputs, [[start]])))
    return graph.add("Softmax", graph.add("Concat", *joint, axis=1), axis=1)


def _dummy(inputs: Inputs, model: Any, _: Features) -> str:
    name = model.strategy
    if hasattr(model, "classes_"):
        shares = {"prior": model.class_prior_}
        likely = np.eye(len(model.classes_))[int(np.argmax(model.class_prior_))]
        shares["most_frequent"] = likely
        if name not in shares:
            raise Unsupported(f"DummyClassifier that answers {name}")
        answers = np.asarray(shares[name])[None, :]
    else:
        answers = np.asarray(model.constant_).reshape(1, -1)
    zeros = inputs.zeros()
    return inputs.graph.add("Add", zeros, constant(inputs, answers))


def _support_margin(inputs: Inputs, model: Any, features: Features) -> str:
    """A support vector machine's distance from its border, (n, 1)."""
    graph, value = inputs.graph, inputs.value(features)
    vectors = np.asarray(model.support_vectors_, dtype=np.float64)
    product = graph.add("MatMul", value, constant(inputs, vectors.T))
    axes, gamma = graph.constant(np.array([1])), getattr(model, "_gamma", 0.0)
    if model.kernel == "linear":
        near = product
    elif model.kernel == "rbf":
        own = graph.add("ReduceSum", graph.add("Mul", value, value), axes, keepdims=1)
        theirs = constant(inputs, (vectors**2).sum(axis=1)[None, :])
        twice = graph.add("Mul", product, constant(inputs, [[2.0]]))
        away = graph.add("Sub", graph.add("Add", own, theirs), twice)
        near = graph.add("Exp", graph.add("Mul", away, constant(inputs, [[-gamma]])))
    elif model.kernel in ("poly", "sigmoid"):
        scaled = graph.add("Mul", product, constant(inputs, [[gamma]]))
        near = graph.add("Add", scaled, constant(inputs, [[model.coef0]]))
        if model.kernel == "sigmoid":
            near = graph.add("Tanh", near)
        else:
            near = graph.add("Pow", near, constant(inputs, [[float(model.degree)]]))
    else:
        raise Unsupported(f"{type(model).__name__} with the kernel {model.kernel}")
    weights = np.asarray(model.dual_coef_, dtype=np.float64)
    if weights.shape[0] != 1:
        raise Unsupported(f"{type(model).__name__} of more than two classes")
    weighed = graph.add("MatMul", near, constant(inputs, weights.T))
    return graph.add("Add", weighed, constant(inputs, np.atleast_2d(model.intercept_)))


SCORES: Mapping[str, Writer] = {
    "LogisticRegression": _logistic,
    "SGDClassifier": _descent,
    "LinearDiscriminantAnalysis": _discriminant,
    "ForestClassifier": forest,
    "DecisionTreeClassifier": forest,
    "GradientBoostingClassifier": _boosted,
    "HistGradientBoostingClassifier": _histogram,
    "MLPClassifier": _network_scores,
    "GaussianNB": _bayes,
    "DummyClassifier": _dummy,
}
VALUES: Mapping[str, Writer] = {
    "LinearModel": one_output,
    "SGDRegressor": one_output,
    "LinearSVR": one_output,
    "_GeneralizedLinearRegressor": _log_linear,
    "ForestRegressor": forest,
    "DecisionTreeRegressor": forest,
    "GradientBoostingRegressor": boosted_margin,
    "HistGradientBoostingRegressor": _histogram_value,
    "MLPRegressor": _network_value,
    "SVR": _support_margin,
    "NuSVR": _support_margin,
    "DummyRegressor": _dummy,
}
MARGINS: Mapping[str, Writer] = {
    "LinearClassifierMixin": linear,
    "GradientBoostingClassifier": boosted_margin,
    "HistGradientBoostingClassifier": histogram_margin,
    "SVC": _support_margin,
    "NuSVC": _support_margin,
}
