"""Whether a model answers each row by itself, so that rows of many requests fit in one call.

>>> from lifecycle.models.predicting import Output
>>> from lifecycle.records import ModelSpec
>>> spec = ModelSpec(1, "regression", ())
>>> double = LoadedModel(spec, "pyfunc", lambda columns: Output(columns["x"] * 2))
>>> ranks = LoadedModel(spec, "pyfunc", lambda columns: Output(columns["x"].argsort()))
>>> rows = {"x": np.array([3.0, 1.0, 2.0])}
>>> separable(double, rows), separable(ranks, rows)
(True, False)

A custom model may answer with the mean of the rows it is given, count its calls, or draw at
random. Nothing declares that, so it is tried: rows answered together and one by one.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lifecycle.models.predicting import Array, Columns, LoadedModel

if TYPE_CHECKING:
    import pandas as pd

TAG = "lifecycle.together"  # of a version: what was found when it was taken over
TRIED = 8  # rows that are compared
_FEWEST = 3  # an example of fewer rows is filled up with rows like them
_CLOSE = 1e-6  # relative; sums over more rows may be taken in another order


def separable(model: LoadedModel, columns: Columns) -> bool:
    """Whether rows have the same answers together and one by one.

    Args:
        model: is called about a dozen times.
        columns: rows that it can answer, one array of length n >= 1 a feature.
    """
    try:
        rows = _filled({name: values[:TRIED] for name, values in columns.items()})
        count = len(next(iter(rows.values())))
        whole = model.predict(rows)
        if len(whole.prediction) != count:
            return False
        for row in range(count):
            alone = model.predict({name: values[row : row + 1] for name, values in rows.items()})
            part = whole.part(row, row + 1)
            if not (_same(part.prediction, alone.prediction) and _same(part.raw, alone.raw)):
                return False
            if not _same(part.scores, alone.scores):
                return False
    except Exception:  # noqa: BLE001 - a model may raise anything; then its requests stay alone
        return False
    return True


def by_table(model: LoadedModel, frame: "pd.DataFrame | None") -> bool:
    """The same with rows of a table; without a table, what the model's flavour says.

    Raises:
        DataError: the table is none of the model's.
    """
    if model.together or frame is None:
        return model.together
    from lifecycle.models.inputs import columns

    return separable(model, columns(frame.head(TRIED), model.spec))


def _filled(columns: Columns) -> Columns:
    """At least three rows that differ: numbers and times moved, true and false turned."""
    count = len(next(iter(columns.values())))
    if count >= _FEWEST:
        return columns
    return {
        name: np.concatenate([_moved(values[:1], step) for step in range(_FEWEST)])
        for name, values in columns.items()
    }


def _moved(values: Array, step: int) -> Any:
    if values.dtype.kind == "f":
        return values + values.dtype.type(step)
    if values.dtype.kind in "iu":
        return values - step if (values > 0).all() else values + step
    if values.dtype.kind == "M":
        return values + np.timedelta64(step, "D")
    if values.dtype.kind == "b":
        return values ^ bool(step % 2)
    return values


def _same(one: Any, other: Any) -> bool:
    """Equal in type and shape, and in value but for the last digits of a float."""
    if hasattr(one, "to_frame") and hasattr(other, "to_frame"):
        one, other = one.to_frame(), other.to_frame()
    if hasattr(one, "columns") and hasattr(other, "columns"):
        alike = one.columns.equals(other.columns) and (one.dtypes == other.dtypes).all()
        return bool(alike) and _same(one.to_numpy(), other.to_numpy())
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        alike = one.dtype == other.dtype and one.shape == other.shape
        return alike and _same(one.tolist(), other.tolist())
    if type(one) is not type(other):
        return False
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, Sequence) and not isinstance(one, (str, bytes)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, (float, np.floating)):
        close = math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_CLOSE * 1e-3)
        return close or (math.isnan(one) and math.isnan(other))
    return bool(one == other)
