"""How answers behave where nobody looks: nulls, new categories, extremes, and what was asked for.

>>> import numpy as np
>>> import pandas as pd
>>> from lifecycle.models.predicting import LoadedModel
>>> from lifecycle.records import Column
>>> spec = ModelSpec(1, "regression", (Column("x", "double", required=False),), target="y")
>>> model = LoadedModel(spec, "sklearn", lambda columns: Output(np.sqrt(columns["x"])))
>>> rows = pd.DataFrame({"x": [1.0, 4.0, 9.0]})
>>> [result.gate for result in behaviour(GateInput(model, rows)) if result.outcome == "fail"]
['behaviour.missing', 'behaviour.extreme']

These are the invariance, directional and minimum functionality tests of CheckList (Ribeiro et al.
2020), on rows of the hold-out that are changed in one column at a time.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from lifecycle.errors import DataError, LifecycleError
from lifecycle.gates.given import GateInput, failed, passed
from lifecycle.gates.sanity import strange
from lifecycle.models.inputs import columns
from lifecycle.models.predicting import Array, Columns, Output
from lifecycle.named import nearest
from lifecycle.records import Column, GateResult, ModelSpec

ROWS = 40  # of the hold-out, for each column
VALUES = 9  # observed values that a column is set to
BEYOND = 10.0  # ranges outside the one that was seen
UNSEEN = "never seen in training"
TOLERANCE = 0.01  # of a probability, or of the range of a regression's answers
NUMBERS = {"double": None, "float": None, "long": np.int64, "integer": np.int32}


def behaviour(given: GateInput) -> list[GateResult]:
    """Change hold-out rows one column at a time and look at the answers.

    Without configuration each answer must be finite and of the model's kind, or be refused in
    words, where a column that may be null is null (`behaviour.missing`), a text is one that
    training did not have (`behaviour.unseen`), and a number lies ten times its range outside what
    was seen (`behaviour.extreme`).

    `[gates] invariant` names columns whose other observed values may not change a probability, or
    a regression's answer as a share of their range, by more than 0.01; with a column in
    `increasing` or `decreasing` it may not move the wrong way by more than that. A binary model
    is judged by its score of the positive class, one without scores by its labels.
    """
    found = [
        _finite(given, "missing", "a null", _nulls),
        _finite(given, "unseen", "a value that training did not have", _unseen),
        _finite(given, "extreme", "a value far outside what was seen", _extreme),
    ]
    limits = given.limits
    found += [_invariant(given, name) for name in limits.invariant]
    found += [_monotone(given, name, 1.0) for name in limits.increasing]
    found += [_monotone(given, name, -1.0) for name in limits.decreasing]
    return found


Change = Callable[[Column, Array], Iterator[Array]]


def _finite(given: GateInput, name: str, what: str, change: Change) -> GateResult:
    """Ask with each column changed; the reason names those that are not answered."""
    gate, inputs = f"behaviour.{name}", _inputs(given)
    tried, wrong = 0, []
    for column in given.spec.features:
        changes = list(change(column, inputs[column.name]))
        tried += bool(changes)
        for values in changes:
            problem = _asked(given, {**inputs, column.name: values})
            if problem:
                wrong.append(f"{column.name!r}: {problem}")
                break
    if wrong:
        more = f" and {len(wrong) - 3} more columns" if len(wrong) > 3 else ""
        said = f"{what} is not answered in {'; '.join(wrong[:3])}{more}"
        return failed(gate, said, value=float(len(wrong)), limit=0.0)
    if not tried:
        return passed(gate, f"no column can hold {what}")
    said = f"{what} is answered, or refused in words; columns tried: {tried}"
    return passed(gate, said, value=0.0, limit=0.0)


def _inputs(given: GateInput) -> Columns:
    rows = given.rows
    step = max(1, len(rows) // ROWS)
    return columns(rows.iloc[::step].head(ROWS), given.spec)


def _asked(given: GateInput, inputs: Columns) -> str:
    """What is wrong with the answers; empty for good ones and for a refusal in words."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # that a value is odd is known here
            output = given.candidate.predict(inputs)
    except LifecycleError:
        return ""
    except Exception as error:  # noqa: BLE001 - a model may raise anything: that is the finding
        return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    found = strange(output, given.spec, len(next(iter(inputs.values()))))
    return found[0] if found else ""


def _nulls(column: Column, values: Array) -> Iterator[Array]:
    if column.required:
        return  # the request is refused before the model is asked
    if column.dtype in NUMBERS:
        kind = np.float32 if column.dtype == "float" else np.float64
        yield np.full(len(values), np.nan, dtype=kind)
    elif column.dtype == "datetime":
        yield np.full(len(values), np.datetime64("NaT"), dtype="datetime64[us]")
    else:
        yield np.full(len(values), None, dtype=object)


def _unseen(column: Column, values: Array) -> Iterator[Array]:
    if column.dtype == "string":
        yield np.full(len(values), UNSEEN, dtype=object)
        yield np.full(len(values), "", dtype=object)


def _extreme(column: Column, values: Array) -> Iterator[Array]:
    if column.dtype not in NUMBERS:
        return
    numbers = values.astype(np.float64)
    seen = numbers[np.isfinite(numbers)]
    if not len(seen):
        return
    reach = BEYOND * (float(np.ptp(seen)) or abs(float(seen[0])) or 1.0)
    whole = NUMBERS[column.dtype]
    for edge in (float(seen.min()) - reach, float(seen.max()) + reach):
        if whole is not None:
            info = np.iinfo(whole)
            edge = float(np.clip(edge, info.min / 2, info.max / 2))  # noqa: PLW2901 - kept in its type
        yield np.full(len(values), edge).astype(values.dtype if whole is None else whole)


def _invariant(given: GateInput, name: str) -> GateResult:
    gate = f"behaviour.invariant.{name}"
    if (problem := _known(given, gate, name)) is not None:
        return problem
    inputs = _inputs(given)
    before = _level(given, given.candidate.predict(inputs))
    worst, at = 0.0, ""
    for value in _observed(given, name):
        changed = {**inputs, name: np.full(len(inputs[name]), value, dtype=inputs[name].dtype)}
        apart = np.abs(_level(given, given.candidate.predict(changed)) - before)
        if float(apart.max()) > worst:
            worst, at = float(apart.max()), f" when it is set to {_shown(value)}"
    figures = {"value": worst, "limit": TOLERANCE}
    said = f"{name!r} moves answers by up to {worst:.3g} of their range{at}"
    if worst > TOLERANCE:
        return failed(gate, f"{said}, and must not: {TOLERANCE:g} is allowed", **figures)
    return passed(gate, f"{said}; {TOLERANCE:g} is allowed", **figures)


def _monotone(given: GateInput, name: str, sign: float) -> GateResult:
    way = "increasing" if sign > 0 else "decreasing"
    gate = f"behaviour.{way}.{name}"
    if (problem := _known(given, gate, name)) is not None:
        return problem
    if given.spec.task == "multiclass":
        return failed(gate, "a multiclass model has no direction; name its columns in no direction")
    column = next(item for item in given.spec.features if item.name == name)
    if column.dtype not in NUMBERS and column.dtype not in {"boolean", "datetime"}:
        return failed(gate, f"{name!r} is {column.dtype} and has no order")
    inputs, levels = _inputs(given), []
    values = sorted(_observed(given, name))
    for value in values:
        changed = {**inputs, name: np.full(len(inputs[name]), value, dtype=inputs[name].dtype)}
        levels.append(_level(given, given.candidate.predict(changed)))
    if len(levels) < 2:
        return passed(gate, f"{name!r} has one value in the hold-out rows: nothing can move")
    steps = sign * np.diff(np.array(levels), axis=0)
    wrong = max(0.0, -float(steps.min()))
    figures = {"value": wrong, "limit": TOLERANCE}
    if wrong > TOLERANCE:
        at = int(np.argmin(steps.min(axis=1)))
        between = f"between {_shown(values[at])} and {_shown(values[at + 1])}"
        said = f"answers move the wrong way by {wrong:.3g} of their range {between}"
        return failed(gate, f"not {way} in {name!r}: {said}, {TOLERANCE:g} is allowed", **figures)
    rows = len(next(iter(inputs.values())))
    said = f"{way} in {name!r} over {len(values)} values of {rows} rows"
    return passed(gate, f"{said}, to within {wrong:.3g}", **figures)


def _known(given: GateInput, gate: str, name: str) -> GateResult | None:
    """A result where the column is no input of the model."""
    if name in given.spec.feature_names:
        return None
    if given.holdout is not None and name in given.holdout:
        return passed(gate, f"{name!r} is no input of the model: it cannot move an answer")
    known = nearest(name, given.spec.feature_names)
    return failed(gate, f"there is no column {name!r}; {known}")


def _observed(given: GateInput, name: str) -> list[Any]:
    """Values of a column in the hold-out rows: the most common texts, quantiles of numbers."""
    values = columns(given.rows, given.spec)[name]
    known = pd.Series(values).dropna()
    if known.empty:
        return []
    if values.dtype.kind == "O" or known.nunique() <= VALUES:
        return list(known.value_counts().index[:VALUES])
    ranks = np.linspace(0, len(known) - 1, VALUES).astype(np.int64)
    return list(np.unique(np.sort(known.to_numpy())[ranks]))


def _level(given: GateInput, output: Output) -> Array:
    """Each row's answer as a figure between 0 and 1, shape (n,) or (n, classes)."""
    if wrong := strange(output, given.spec, len(output.prediction)):
        raise DataError(wrong[0])
    if output.score is not None:
        return np.asarray(output.score, dtype=float)
    if given.spec.task != "regression":
        return np.asarray(
            np.asarray(output.prediction)[:, None] == _classes(given.spec), dtype=float
        )
    if wrong := strange(given.answers, given.spec, len(given.rows)):
        raise DataError(wrong[0])
    spread = float(np.ptp(np.asarray(given.answers.prediction, dtype=float))) or 1.0
    return np.asarray(np.asarray(output.prediction, dtype=float) / spread)


def _classes(spec: ModelSpec) -> Array:
    """The classes whose labels stand for an answer: the positive one of two."""
    return np.array(spec.classes[1:] if len(spec.classes) == 2 else spec.classes, dtype=object)


def _shown(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, (float, np.floating)) else repr(str(value))
