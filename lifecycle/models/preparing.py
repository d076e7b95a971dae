"""What each of scikit-learn's preprocessors makes of the columns that it is given.

To add one: a function of inputs, fitted transformer and features, and a row in TABLE under its
class's name; the conformance suite then wants a row that uses it.

>>> prepared(None, object(), [])
Traceback (most recent call last):
lifecycle.models.elements.Unsupported: object
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lifecycle.models.elements import Chain, Step, Unsupported, applied, write
from lifecycle.models.features import (
    Feature,
    Features,
    Inputs,
    Level,
    Made,
    Number,
    Textual,
    asked,
    transformed,
)
from lifecycle.models.predicting import Array

SINGLE = Step("single")


def prepared(inputs: Inputs, part: Any, features: Features) -> Features:
    """The features behind a fitted transformer.

    Raises:
        Unsupported: the transformer is not known, or not in this place.
    """
    name = type(part).__name__
    if name not in TABLE or not type(part).__module__.startswith("sklearn."):
        raise Unsupported(name)
    return TABLE[name](inputs, part, features)


def _pipeline(inputs: Inputs, part: Any, features: Features) -> Features:
    for _, step in part.steps:
        if step is not None and step != "passthrough":
            features = prepared(inputs, step, features)
    return features


def _columns(inputs: Inputs, part: Any, features: Features) -> Features:
    found: Features = []
    for name, step, _ in part.transformers_:
        places = part._transformer_to_input_indices[name]
        used = [features[place] for place in places]
        if not used or (isinstance(step, str) and step == "drop"):
            continue
        found += used if isinstance(step, str) else prepared(inputs, step, used)
    return found


def _union(inputs: Inputs, part: Any, features: Features) -> Features:
    found: Features = []
    for _, step in part.transformer_list:
        if step == "passthrough":
            found += features
        elif step != "drop":
            found += prepared(inputs, step, features)
    if part.transformer_weights:
        raise Unsupported("FeatureUnion with weights")
    return found


def stepped(inputs: Inputs, features: Features, chains: Sequence[Chain]) -> Features:
    """The features after a chain each, wherever they come from."""
    found: Features = []
    single = all(isinstance(item, Number) and item.single for item in features)
    for item, chain in zip(features, chains, strict=True):
        if isinstance(item, Number):
            own = item.chain + (_in_single(chain) if single else chain)
            found.append(Number(item.place, own, single=single))
        elif isinstance(item, Level):
            found.append(Level(item.source, applied(chain, _as_numbers(item))))
        else:
            alone = inputs.graph.columns(item.value, [item.place])
            found.append(Made(write(inputs.graph, alone, [chain]), 0))
    return found


def _in_single(chain: Chain) -> Chain:
    """The chain as float32 computes it: constants and results are rounded."""
    rounded = [
        Step(step.kind, tuple(np.array(step.values, dtype=np.float32).tolist())) for step in chain
    ]
    return tuple(step for one in rounded for step in (one, SINGLE))


def _as_numbers(item: Level) -> Array:
    if item.values.dtype == object:
        raise Unsupported(f"the column {item.source!r} as it is")
    return item.values


def _scaler(chain: Callable[[Any, int], Sequence[Step]]) -> Any:
    def scaled(inputs: Inputs, part: Any, features: Features) -> Features:
        return stepped(inputs, features, [tuple(chain(part, at)) for at in range(len(features))])

    return scaled


def _standard(part: Any, at: int) -> list[Step]:
    steps = []
    if part.with_mean and part.mean_ is not None:
        steps.append(Step("minus", (float(part.mean_[at]),)))
    if part.with_std and part.scale_ is not None:
        steps.append(Step("over", (float(part.scale_[at]),)))
    return steps


def _min_max(part: Any, at: int) -> list[Step]:
    steps = [Step("times", (float(part.scale_[at]),)), Step("plus", (float(part.min_[at]),))]
    return [*steps, Step("clip", tuple(map(float, part.feature_range)))] if part.clip else steps


def _max_abs(part: Any, at: int) -> list[Step]:
    steps = [Step("over", (float(part.scale_[at]),))]
    return [*steps, Step("clip", (-1.0, 1.0))] if getattr(part, "clip", False) else steps


def _robust(part: Any, at: int) -> list[Step]:
    steps = []
    if part.with_centering:
        steps.append(Step("minus", (float(part.center_[at]),)))
    if part.with_scaling:
        steps.append(Step("over", (float(part.scale_[at]),)))
    return steps


def _power(part: Any, at: int) -> list[Step]:
    kind = "log" if part.method == "box-cox" else "power"
    steps = [Step(kind, (float(part.lambdas_[at]),))]
    return [*steps, *_standard(part._scaler, at)] if part.standardize else steps


def _quantile(part: Any, at: int) -> list[Step]:
    steps = [Step("spread", tuple(part.quantiles_[:, at].tolist()))]
    return [*steps, Step("normal")] if part.output_distribution == "normal" else steps


def _binarizer(part: Any, _: int) -> list[Step]:
    return [Step("bins", (float(np.nextafter(part.threshold, np.inf)),))]


def _bins(inputs: Inputs, part: Any, features: Features) -> Features:
    cuts = [tuple(np.asarray(edges[1:-1]).tolist()) for edges in part.bin_edges_]
    if part.encode == "ordinal":
        return stepped(inputs, features, [(Step("bins", own),) for own in cuts])
    found: Features = []
    graph = inputs.graph
    for item, own, count in zip(features, cuts, part.n_bins_, strict=True):
        (binned,) = stepped(inputs, [item], [(Step("bins", own),)])
        places = graph.constant(np.arange(float(count))[None, :])
        shown = graph.cast(graph.add("Equal", inputs.value([binned]), places), "DOUBLE")
        found += [Made(shown, place) for place in range(count)]
    return found


def _imputed(inputs: Inputs, part: Any, features: Features) -> Features:
    if any(isinstance(item, Level) and item.values.dtype == object for item in features):
        return _texts_imputed(part, features)
    if part.missing_values is not None and not _is_nan(part.missing_values):
        raise Unsupported(f"SimpleImputer of {part.missing_values!r} as missing")
    filling = np.asarray(part.statistics_, dtype=np.float64)
    empty = np.isnan(filling)
    if empty.any() and part.keep_empty_features:
        filling = np.nan_to_num(filling)
        empty[:] = False
    kept = [at for at in range(len(features)) if not empty[at]]
    chains = [(Step("fill", (float(filling[at]),)),) for at in kept]
    found = stepped(inputs, [features[at] for at in kept], chains)
    if part.add_indicator:
        found += _indicated(inputs, part.indicator_, features)
    return found


def _texts_imputed(part: Any, features: Features) -> Features:
    """Fill texts: the imputer is asked what it makes of each."""
    if part.add_indicator or not all(isinstance(item, Level) for item in features):
        raise Unsupported("SimpleImputer with an indicator for text")
    levels = [item for item in features if isinstance(item, Level)]
    size = len(levels[0].values)
    rows = np.empty((size, len(levels)), dtype=object)
    for at, item in enumerate(levels):
        if len(item.values) != size:
            raise Unsupported("SimpleImputer on texts and flags at once")
        rows[:, at] = item.values
    found = transformed(part, rows)
    if found.shape[1] != len(levels):
        raise Unsupported("SimpleImputer that drops an empty column")
    return [Level(item.source, found[:, at]) for at, item in enumerate(levels)]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and np.isnan(value)


def _indicated(inputs: Inputs, part: Any, features: Features) -> Features:
    chosen = [features[place] for place in part.features_]
    return stepped(inputs, chosen, [(Step("missing"),)] * len(chosen))


def _encoded(inputs: Inputs, part: Any, features: Features) -> Features:
    try:
        return asked(inputs, part, features)
    except Textual:
        raise Unsupported(f"{type(part).__name__} that makes texts") from None


def _selected(_: Inputs, part: Any, features: Features) -> Features:
    return [item for item, keep in zip(features, part.get_support(), strict=True) if keep]


def _function(inputs: Inputs, part: Any, features: Features) -> Features:
    if part.func is None:
        return features
    if part.func is np.log1p and not part.kw_args:
        return stepped(inputs, features, [(Step("log1p"),)] * len(features))
    if getattr(part.func, "func", None) is not None and part.func.func.__name__ == "check_array":
        return features  # how histogram boosting passes numbers on
    name = getattr(part.func, "__name__", type(part.func).__name__)
    raise Unsupported(f"FunctionTransformer of {name}")


def made(value: str, width: int) -> list[Feature]:
    """The columns of a value as features."""
    return [Made(value, place) for place in range(width)]


def _polynomial(inputs: Inputs, part: Any, features: Features) -> Features:
    graph, powers = inputs.graph, part.powers_
    value = inputs.value(features)
    one = graph.constant(np.array([[1.0]]))
    first = graph.columns(value, [0])
    ones = graph.add("Add", graph.add("Sub", first, first), one)
    value = graph.add("Concat", value, ones, axis=1)
    factors = [np.repeat(np.arange(len(row)), row).tolist() for row in powers]
    degree = max(map(len, factors), default=0)
    filled = np.array([row + [len(features)] * (degree - len(row)) for row in factors])
    product = graph.columns(value, filled[:, 0])
    for at in range(1, degree):
        product = graph.add("Mul", product, graph.columns(value, filled[:, at]))
    return made(product, len(factors))


def _projected(inputs: Inputs, part: Any, features: Features) -> Features:
    graph, value = inputs.graph, inputs.value(features)
    if getattr(part, "mean_", None) is not None:
        value = graph.add(
            "Sub", value, graph.constant(np.asarray(part.mean_, dtype=np.float64)[None, :])
        )
    axes = np.ascontiguousarray(part.components_.T, dtype=np.float64)
    value = graph.add("MatMul", value, graph.constant(axes))
    if getattr(part, "whiten", False):
        spread = np.sqrt(part.explained_variance_)
        spread = np.maximum(spread, np.finfo(np.float64).eps)
        value = graph.add("Div", value, graph.constant(spread[None, :]))
    return made(value, axes.shape[1])


def _same(_: Inputs, __: Any, features: Features) -> Features:
    return features


TABLE: Mapping[str, Callable[[Inputs, Any, Features], Features]] = {
    "Pipeline": _pipeline,
    "ColumnTransformer": _columns,
    "FeatureUnion": _union,
    "FunctionTransformer": _function,
    "StandardScaler": _scaler(_standard),
    "MinMaxScaler": _scaler(_min_max),
    "MaxAbsScaler": _scaler(_max_abs),
    "RobustScaler": _scaler(_robust),
    "PowerTransformer": _scaler(_power),
    "QuantileTransformer": _scaler(_quantile),
    "Binarizer": _scaler(_binarizer),
    "KBinsDiscretizer": _bins,
    "PolynomialFeatures": _polynomial,
    "SimpleImputer": _imputed,
    "MissingIndicator": _indicated,
    "OneHotEncoder": _encoded,
    "OrdinalEncoder": _encoded,
    "TargetEncoder": _encoded,
    "PCA": _projected,
    "TruncatedSVD": _projected,
    "SelectKBest": _selected,
    "SelectPercentile": _selected,
    "SelectFromModel": _selected,
    "VarianceThreshold": _selected,
    "RFE": _selected,
    "RFECV": _selected,
}
