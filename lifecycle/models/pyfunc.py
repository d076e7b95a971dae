"""Models that answer through mlflow.pyfunc: custom ones, XGBoost, LightGBM and whatever else.

>>> answered([{"low": 1, "high": 2}], 1).prediction.tolist()
[{'low': 1, 'high': 2}]
>>> answered("both rows are fine", 2).prediction.tolist()
['both rows are fine', 'both rows are fine']

`PyFuncModel.predict` compares every column with the signature again, which takes longer than many
models do. Columns that already are what the signature says go straight to the model's own
`predict`, in the frame that MLflow would have made of them; for flavours and signatures that this
is not sure of, MLflow's predict is called.
"""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lifecycle.errors import ModelRefused
from lifecycle.models.forms import PLAIN, needed
from lifecycle.models.inputs import table
from lifecycle.models.parameters import Parameters
from lifecycle.models.predicting import (
    Array,
    Columns,
    Given,
    Lacking,
    LoadedModel,
    Output,
    labels,
)
from lifecycle.records import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

# flavours whose models answer each row by itself
ROW_BY_ROW = {"mlflow.catboost", "mlflow.lightgbm", "mlflow.sklearn", "mlflow.xgboost"}
# flavours that are given the frame as MLflow's enforcement leaves it
_DIRECT = {"mlflow.pyfunc.model", "mlflow.catboost", "mlflow.lightgbm", "mlflow.xgboost"}
_NUMBERS = {"double", "float", "integer"}  # whole in a float64
_SCALARS = (bool, int, float, np.generic)

Predict = Callable[[Any, dict[str, Any] | None], Any]


def load(
    root: Path, spec: ModelSpec, described: Mapping[str, Any], parameters: Parameters | None
) -> LoadedModel:
    """A model through mlflow.pyfunc.

    Args:
        root: the folder that holds `MLmodel`.
        spec: what the model is.
        described: what `MLmodel` says.
        parameters: the signature's params.

    Raises:
        ModelRefused: MLflow cannot load it.
    """
    import mlflow.pyfunc

    try:
        model = mlflow.pyfunc.load_model(str(root))
    except Exception as error:
        raise ModelRefused(
            f"mlflow.pyfunc cannot load the model: {type(error).__name__}: {error}",
            where=root,
            fix="install what its requirements.txt lists",
        ) from error
    forms = needed(described, plain=_of_cells(spec))
    predict = _predict(model, spec, described, boost=parameters is None)

    def answer(columns: Columns, params: Mapping[str, Any] | None = None) -> Output:
        given = None if params is None else dict(params)
        count = len(next(iter(columns.values())))
        if isinstance(columns, Given):
            return answered(model.predict(columns.data, params=given), count, spec)
        return answered(predict(columns, given), count, spec)

    flavour = described.get("flavors", {}).get("python_function", {})
    together = forms is None and flavour.get("loader_module") in ROW_BY_ROW
    return LoadedModel(
        spec, "pyfunc", answer, together=together, parameters=parameters, forms=forms
    )


def with_forms(
    model: LoadedModel, root: Path, described: Mapping[str, Any], *, method: str
) -> LoadedModel:
    """A scikit-learn model that takes what MLflow would give it, where that is no frame.

    Args:
        model: answers frames of columns.
        root: the folder that holds `MLmodel`.
        described: what `MLmodel` says.
        method: the estimator's method that plain MLflow answers with.
    """
    forms = needed(described, plain=_of_cells(model.spec))
    if forms is None:
        return model
    from mlflow.models import Model
    from mlflow.pyfunc import PyFuncModel

    enforcing = PyFuncModel(Model.load(str(root)), _Estimator(getattr(model.estimator, method)))
    plain, spec = model.answer, model.spec

    def answer(columns: Columns) -> Output:
        if not isinstance(columns, Given):
            return plain(columns)
        count = len(next(iter(columns.values())))
        return answered(enforcing.predict(columns.data), count, spec)

    return replace(model, answer=answer, together=False, forms=forms.of(model.estimator))


class _Estimator:
    """What mlflow.sklearn makes of an estimator, without loading it a second time."""

    def __init__(self, method: Callable[[Any], Any]) -> None:
        self._method = method

    def predict(self, data: Any) -> Any:
        return self._method(data)


def answered(result: Any, count: int, spec: ModelSpec | None = None) -> Output:
    """What a model gave for so many rows, one prediction a row.

    Args:
        result: as the model gave it; stays as `raw`, which is answered.
        count: how many rows were asked.
        spec: its classes tell scores from other columns.

    Returns:
        Of several columns the first is the prediction that is logged; an answer that has not one
        part a row is logged with each row.
    """
    values = _by_row(result, count)
    if values is None:
        whole = result.to_dict("records") if hasattr(result, "columns") else result
        values = np.empty(count, dtype=object)
        values[:] = [whole] * count
        return Output(values, raw=np.array(None) if result is None else result)
    if spec is not None and spec.classes and values.shape[1:] == (len(spec.classes),):
        chosen = labels(values, spec.classes, threshold=spec.threshold)
        return Output(chosen, values, result)
    flat = values.reshape(len(values), -1)[:, 0] if values.ndim > 1 else values
    return Output(flat, raw=result)


def _by_row(result: Any, count: int) -> Array | None:
    """The answer as an array of so many rows; None where it has no such rows."""
    if hasattr(result, "to_numpy"):
        result = result.to_numpy()
    if isinstance(result, (list, tuple)) and len(result) == count:
        kinds = {isinstance(item, _SCALARS) for item in result}
        values: Array = np.empty(count, dtype=object)
        values[:] = list(result)
        result = np.asarray(result) if kinds == {True} else values
    if isinstance(result, np.ndarray) and result.ndim and len(result) == count and result.size:
        return result
    return None


def _predict(model: Any, spec: ModelSpec, described: Mapping[str, Any], *, boost: bool) -> Predict:
    """The cheapest call that gives what `PyFuncModel.predict` gives."""
    flavour = described.get("flavors", {}).get("python_function", {})
    loader = flavour.get("loader_module")
    if loader not in _DIRECT or not _columns_are_plain(spec, described):
        return lambda columns, params: model.predict(frame(columns), params=params)
    inner = model._model_impl  # "a stable developer API", its docstring says
    if boost and loader == "mlflow.xgboost" and _only_numbers(inner.get_raw_model(), spec):
        return _boosted(inner.get_raw_model())
    call = getattr(inner, flavour.get("predict_fn") or "predict")
    if "params" in inspect.signature(call).parameters:
        return lambda columns, params: call(frame(columns), params=params)
    return lambda columns, _params: call(frame(columns))


def frame(columns: Columns) -> "pd.DataFrame":
    """The frame that MLflow makes of a request: without the columns that were not sent.

    >>> sent = Lacking({"x": np.array([1.0]), "y": np.array([np.nan])}, {"y"})
    >>> list(frame(sent))
    ['x']
    """
    if isinstance(columns, Lacking):
        columns = {name: cells for name, cells in columns.items() if name not in columns.absent}
    return table(columns)


def _of_cells(spec: ModelSpec) -> bool:
    """Whether the specification has columns, and no tensors among them."""
    return bool(spec.features) and all(column.dtype != "tensor" for column in spec.features)


def _columns_are_plain(spec: ModelSpec, described: Mapping[str, Any]) -> bool:
    """Whether the signature is the specification's columns, in order, of types of one value."""
    if described.get("is_signature_from_type_hint") or described.get("type_hint_from_example"):
        return False
    inputs = json.loads((described.get("signature") or {}).get("inputs") or "[]")
    own = [(item.get("name"), item.get("type")) for item in inputs]
    same = own == [(column.name, column.dtype) for column in spec.features]
    return bool(own) and same and all(kind in PLAIN for _, kind in own)


def _only_numbers(raw: Any, spec: ModelSpec) -> bool:
    """Whether an XGBoost model may be given an array: its own features, in order, and numbers."""
    booster = raw if hasattr(raw, "feature_names") else raw.get_booster()
    kinds = set(booster.feature_types or [])
    named = list(booster.feature_names or []) == list(spec.feature_names)
    numbers = all(column.dtype in _NUMBERS for column in spec.features)
    return named and numbers and kinds <= {"float", "int", "i", "q"}


def _boosted(raw: Any) -> Predict:
    """XGBoost on an array: a frame costs it several milliseconds, an array a few hundred µs."""
    import xgboost

    def block(columns: Columns) -> Array:
        return np.stack([values.astype(np.float64, copy=False) for values in columns.values()], 1)

    if isinstance(raw, xgboost.Booster):
        names = raw.feature_names

        def booster(columns: Columns, _params: Any) -> Any:
            return raw.predict(xgboost.DMatrix(block(columns), feature_names=names))

        return booster
    return lambda columns, _params: raw.predict(block(columns), validate_features=False)
