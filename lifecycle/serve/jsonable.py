"""A model's answer as JSON types, and as the prediction log holds it.

>>> scalars(np.array([{"a": 1}, "x"], dtype=object)).tolist()
['{"a": 1}', 'x']
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from lifecycle.models.predicting import Array
from lifecycle.records import plain


def jsonable(answer: Any) -> Any:
    """What MLflow's server makes of a model's answer: lists, frames as records.

    >>> jsonable(np.array([[0.5, 0.5]]))
    [[0.5, 0.5]]
    """
    if isinstance(answer, np.ndarray):
        return _finite(answer.tolist()) if answer.dtype.kind in "OS" else answer.tolist()
    if hasattr(answer, "to_frame"):  # a pandas Series
        answer = answer.to_frame()
    if hasattr(answer, "to_dict") and hasattr(answer, "columns"):
        return _finite(answer.to_dict(orient="records"))
    return _finite(answer)


def _finite(value: Any) -> Any:
    """Any nest of Python and numpy values as JSON types."""
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    if isinstance(value, np.generic):
        return _finite(value.item())
    if isinstance(value, np.ndarray):
        return _finite(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, (bytes, bytearray)):  # in lines, as MIME and MLflow have it
        return base64.encodebytes(value).decode("ascii")
    if hasattr(value, "model_dump"):  # pydantic's
        return _finite(value.model_dump())
    return plain(value)


def scalars(prediction: Array) -> Array:
    """Predictions as the log can hold them: what is no scalar becomes JSON text."""
    if prediction.ndim == 1 and prediction.dtype.kind != "O":
        return prediction
    texts = [
        item if isinstance(item, str) or item is None else json.dumps(_finite(item))
        for item in prediction.tolist()
    ]
    return np.array(texts, dtype=object)
