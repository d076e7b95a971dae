"""Answers that can be answers: one a row, finite, probabilities, known classes, not all alike.

>>> spec = ModelSpec(1, "binary", (), target="y", classes=("no", "yes"))
>>> problems(Output(np.array(["no", "maybe"]), np.array([[0.7, 0.3], [0.2, 0.9]])), spec, 2)
["it answers 'maybe', which is none of its classes", 'the scores of a row sum to 1.1']
"""

import numpy as np

from lifecycle.gates.given import GateInput, failed, passed
from lifecycle.models.predicting import Array, Output
from lifecycle.records import GateResult, ModelSpec

TOLERANCE = 1e-3  # of a sum of float32 probabilities


def sanity(given: GateInput) -> GateResult:
    """Look at the candidate's answers on the hold-out rows; the reason names all that is wrong."""
    rows, answers = len(given.rows), given.answers
    found = problems(answers, given.spec, rows)
    if found:
        return failed("sanity", "; ".join(found))
    labels = np.unique(np.asarray(answers.prediction).astype(str))
    note = ""
    if given.spec.task != "regression" and len(labels) == 1:
        label = str(labels[0])
        note = f"; every row gets the label {label!r} at its threshold, only the scores differ"
    return passed("sanity", f"{rows} answers, all finite and not all alike{note}")


def problems(output: Output, spec: ModelSpec, rows: int) -> list[str]:
    """What is wrong with answers to `rows` rows; empty when nothing is.

    One label for all rows is wrong where there are no scores that differ: a rare class is often
    never the likelier one, and its scores still order the rows.
    """
    found = strange(output, spec, rows)
    prediction = np.asarray(output.prediction)
    if rows < 2 or prediction.shape != (rows,):
        return found
    if output.scores is None and len(np.unique(prediction.astype(str))) == 1:
        found.append(f"every row gets the same answer, {prediction[0]}")
    if output.scores is not None and bool((output.scores == output.scores[0]).all()):
        found.append("every row gets the same scores")
    return found


def strange(output: Output, spec: ModelSpec, rows: int) -> list[str]:
    """What in answers can be no answer, whatever the other rows get.

    >>> strange(Output(np.array([1.0, np.inf])), ModelSpec(1, "regression", ()), 2)
    ['1 answers are missing or infinite']
    """
    prediction = np.asarray(output.prediction)
    if prediction.shape != (rows,):
        return [f"{rows:,} rows got answers of shape {prediction.shape}"]
    found = _values(prediction) if spec.task == "regression" else _labels(prediction, spec)
    if output.scores is not None:
        found += _scores(np.asarray(output.scores, dtype=float), len(spec.classes), rows)
    return found


def _values(prediction: Array) -> list[str]:
    if prediction.dtype.kind not in "fiub":
        return [f"a regression answers {prediction.dtype}, not numbers"]
    strange = int((~np.isfinite(prediction.astype(float))).sum())
    return [f"{strange} answers are missing or infinite"] if strange else []


def _labels(prediction: Array, spec: ModelSpec) -> list[str]:
    unknown = np.ones(len(prediction), dtype=bool)
    for label in spec.classes:
        unknown &= ~np.asarray(prediction == label, dtype=bool)
    if not unknown.any():
        return []
    return [f"it answers {str(prediction[unknown][0])!r}, which is none of its classes"]


def _scores(scores: Array, classes: int, rows: int) -> list[str]:
    if scores.shape != (rows, classes):
        return [f"the scores have shape {scores.shape}, expected ({rows}, {classes})"]
    strange = int((~np.isfinite(scores)).any(axis=1).sum())
    if strange:
        return [f"{strange} rows have missing or infinite scores"]
    found = []
    outside = scores[(scores < -TOLERANCE) | (scores > 1.0 + TOLERANCE)]
    if outside.size:
        found.append(f"a score is {outside[0]:.4g}, outside 0 … 1")
    sums = scores.sum(axis=1)
    if np.abs(sums - 1.0).max() > TOLERANCE:
        found.append(f"the scores of a row sum to {sums[np.abs(sums - 1.0).argmax()]:.4g}")
    return found
