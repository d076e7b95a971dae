"""Truth and one model's answers on the same rows, checked and coded, for the metrics.

>>> classification("f1", ["no", "yes"], ["yes", "yes"], classes=("no", "yes")).truth
array([0, 1])
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.errors import DataError
from lifecycle.models.influence import Array, Floats
from lifecycle.records import Label


@dataclass(frozen=True)
class Answers:
    """Truth and one model's answers on the same n rows, checked and coded.

    Attributes:
        truth: (n,) index into `classes`, or the target's value in a regression.
        predicted: (n,) likewise; None where only scores were given.
        scores: (n, k) probability of each class; None where the model gives none.
        weights: (n,) not negative.
        classes: how many classes; 0 in a regression.
    """

    truth: Array
    predicted: Array | None
    scores: Array | None
    weights: Floats
    classes: int

    @property
    def labels(self) -> Array:
        """What was predicted, for metrics that need it."""
        if self.predicted is None:
            raise DataError("the metric needs predictions, not scores alone")
        return self.predicted


def regression(name: str, y: Any, prediction: Any, weights: Any = None) -> Answers:
    """Numbers against numbers.

    >>> regression("mae", [1, 2], [1.5, 2.5]).labels
    array([1.5, 2.5])

    Raises:
        DataError: no rows, lengths that differ, or values that are missing or no numbers.
    """
    rows = _rows(name, np.asarray(y))
    guessed = None if prediction is None else _numbers(prediction, "a prediction", rows)
    return Answers(_numbers(y, "the target", rows), guessed, None, _weights(weights, rows), 0)


def classification(
    name: str,
    y: Any,
    prediction: Any,
    scores: Any = None,
    *,
    classes: Sequence[Label],
    weights: Any = None,
) -> Answers:
    """Labels as indices into `classes`, scores as an (n, k) array or None.

    >>> classification("brier", [0, 1], None, [0.2, 0.7], classes=(0, 1)).scores
    array([[0.8, 0.2],
           [0.3, 0.7]])

    Raises:
        DataError: no rows, lengths that differ, a label in no class, scores of another shape.
    """
    rows = _rows(name, np.asarray(y))
    return Answers(
        _codes(np.asarray(y), classes, "the target", rows),
        None
        if prediction is None
        else _codes(np.asarray(prediction), classes, "a prediction", rows),
        None if scores is None else _probabilities(np.asarray(scores), len(classes), rows),
        _weights(weights, rows),
        len(classes),
    )


def _rows(name: str, truth: Array) -> int:
    if truth.ndim != 1 or len(truth) == 0:
        raise DataError(f"{name} needs rows, got an array of shape {truth.shape}")
    return len(truth)


def _weights(weights: Any, rows: int) -> Floats:
    if weights is None:
        return np.ones(rows)
    weighed = _numbers(weights, "a weight", rows)
    if weighed.min() < 0 or weighed.sum() <= 0:
        raise DataError("sample weights must not be negative, and not all zero")
    return weighed


def _numbers(values: Any, what: str, rows: int) -> Floats:
    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} is not a number: {error}") from error
    if numbers.shape != (rows,):
        raise DataError(f"{what} is needed for each of {rows} rows, got shape {numbers.shape}")
    if not np.isfinite(numbers).all():
        raise DataError(f"{what} is missing or infinite in {(~np.isfinite(numbers)).sum()} rows")
    return numbers


def _codes(values: Array, classes: Sequence[Label], what: str, rows: int) -> NDArray[np.intp]:
    if values.shape != (rows,):
        raise DataError(f"{what} is needed for each of {rows} rows, got shape {values.shape}")
    codes = np.full(rows, -1, dtype=np.intp)
    for code, label in enumerate(classes):
        codes[np.asarray(values == label, dtype=bool)] = code
    if (codes < 0).any():
        strange = values[codes < 0].tolist()[0]
        raise DataError(f"{what} is {strange!r}, which is none of {', '.join(map(repr, classes))}")
    return codes


def _probabilities(found: Array, classes: int, rows: int) -> Array:
    if not np.issubdtype(found.dtype, np.floating):
        found = found.astype(float)
    if found.ndim == 1 and classes == 2:
        found = np.column_stack([1.0 - found, found])
    if found.shape != (rows, classes):
        raise DataError(f"scores have shape {found.shape}, expected ({rows}, {classes})")
    strange = int((~np.isfinite(found)).any(axis=1).sum())
    if strange:
        raise DataError(f"a score is missing or infinite in {strange} rows")
    return found
