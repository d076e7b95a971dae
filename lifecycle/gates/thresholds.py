"""The thresholds of `mlflow.models.evaluate`, as they are: at least this, better by that much.

>>> from types import SimpleNamespace as MetricThreshold
>>> asked = MetricThreshold(
...     threshold=0.8, min_absolute_change=0.05, min_relative_change=None, greater_is_better=True)
>>> misses(asked, 0.82, 0.80)
['0.05 better than the champion (0.8000) is asked for']

An `mlflow.models.MetricThreshold` is read by its attributes. The rules are those of
`mlflow.validate_evaluation_results` since MLflow 3.17 (before, shares of negative figures had their
sign turned): figures are compared as they are, without intervals.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from lifecycle.errors import ConfigError, DataError
from lifecycle.gates.given import GateInput, Missing, failed, passed, unsure
from lifecycle.models.metrics import METRICS, evaluate
from lifecycle.models.predicting import Output
from lifecycle.named import nearest
from lifecycle.records import GateResult

FIELDS = ("threshold", "min_absolute_change", "min_relative_change", "greater_is_better")
SMALLEST = 1e-10  # by which a figure must be better than a champion's 0
# MLflow's names of what has a name of scikit-learn's here
SAME = {
    "accuracy_score": "accuracy",
    "precision_recall_auc": "average_precision",
    "root_mean_squared_error": "rmse",
    "mean_absolute_error": "mae",
    "r2_score": "r2",
}


def thresholds(given: GateInput) -> list[GateResult]:
    """One result a metric; a threshold that asks for a change passes where there is no champion.

    Metrics go by MLflow's names (`accuracy_score`, `f1_score`, `root_mean_squared_error`, …) or
    by ours.
    """
    if not given.thresholds:
        return [passed("thresholds", "no thresholds were given")]
    return [_held(given, name, asked) for name, asked in given.thresholds.items()]


def check(asked: Mapping[str, Any]) -> None:
    """Refuse what are no thresholds, before a gate runs.

    Raises:
        ConfigError: a value lacks the attributes of a MetricThreshold.
    """
    for name, item in asked.items():
        lacking = [field for field in FIELDS if not hasattr(item, field)]
        if lacking or not isinstance(item.greater_is_better, bool):
            raise ConfigError(
                f"the threshold of {name!r} is {type(item).__name__}, no MetricThreshold",
                fix="write mlflow.models.MetricThreshold(threshold=0.8, greater_is_better=True)",
            )


def _held(given: GateInput, name: str, asked: Any) -> GateResult:
    gate = f"thresholds.{name}"
    try:
        value = figure(given, name, given.answers)
    except ConfigError as error:
        return failed(gate, str(error))
    changes = bool(asked.min_absolute_change or asked.min_relative_change)
    before = None
    if changes and given.champion is not None:
        if given.champion_output is None:
            why = given.champion_problem or "it did not answer"
            return unsure(gate, f"the champion cannot be compared on these rows: {why}")
        before = figure(given, name, given.champion_output)
    wrong = misses(asked, value, before)
    figures = {"value": value, "limit": asked.threshold}
    said = f"{name} {value:.4f} on {len(given.rows):,} hold-out rows"
    if wrong:
        return failed(gate, f"{said}: {'; '.join(wrong)}", **figures)
    note = f"; {given.alone}: no change is asked of it" if changes and before is None else ""
    return passed(gate, f"{said} keeps its threshold{note}", **figures)


def misses(asked: Any, value: float, before: float | None) -> list[str]:
    """What a figure misses of a threshold; empty when it keeps all.

    Args:
        asked: a MetricThreshold, or what has its attributes.
        value: the candidate's figure.
        before: the champion's; None where there is none, then no change is asked for.
    """
    sign = 1.0 if asked.greater_is_better else -1.0
    found = []
    if asked.threshold is not None and not sign * value >= sign * asked.threshold:
        word = "at least" if asked.greater_is_better else "at most"
        found.append(f"{word} {asked.threshold:g} is asked for")
    if before is None:
        return found
    step = asked.min_absolute_change
    if step is not None and not _reaches(value, before, step, sign):
        found.append(f"{step:g} better than the champion ({before:.4f}) is asked for")
    share = asked.min_relative_change
    if share is None:
        return found
    if before == 0.0:
        if not _reaches(value, before, SMALLEST, sign):
            found.append("better than the champion (0) is asked for")
    elif sign * (value - before) / abs(before) < share:
        found.append(f"{share:.1%} better than the champion ({before:.4f}) is asked for")
    return found


def _reaches(value: float, before: float, step: float, sign: float) -> bool:
    """Whether a figure is better by a step, in the decimals that MLflow compares."""
    edge = Decimal(before + sign * step)
    return Decimal(value) >= edge if sign > 0 else Decimal(value) <= edge


def figure(given: GateInput, name: str, output: Output) -> float:
    """A metric by MLflow's name or ours, on the hold-out rows.

    Raises:
        ConfigError: there is no such metric, or it has no meaning for the task.
        DataError: the rows have no target, or the answers are none of the classes.
    """
    task, classes = given.spec.task, given.spec.classes
    own = SAME.get(name, name)
    if task == "binary" and name == "f1_score":
        own = "f1"
    if own in METRICS and task in METRICS[own].tasks and not (own == "f1" and task != "binary"):
        found = evaluate(
            own,
            given.truth,
            output.prediction,
            output.scores,
            classes=classes,
            weights=given.weights,
        )
        return found.value
    made = (_OF_VALUES if task == "regression" else _OF_LABELS).get(name)
    if made is None:
        known = [*METRICS, *SAME, *(_OF_VALUES if task == "regression" else _OF_LABELS)]
        raise ConfigError(f"there is no metric {name!r} of a {task} model; {nearest(name, known)}")
    return float(made(given, output))


def _codes(given: GateInput, labels: Any) -> Any:
    """Labels as the places of their classes, shape (n,)."""
    places = {label: place for place, label in enumerate(given.spec.classes)}
    strange = [label for label in labels if label not in places]
    if strange:
        raise DataError(f"{strange[0]!r} is none of the model's classes")
    return np.array([places[label] for label in labels], dtype=np.int64)


def _labelled(name: str) -> Callable[[GateInput, Output], Any]:
    def score(given: GateInput, output: Output) -> Any:
        from sklearn import metrics

        truth, said = _codes(given, given.truth), _codes(given, output.prediction)
        average = "binary" if given.spec.task == "binary" else "weighted"
        return getattr(metrics, name)(
            truth, said, sample_weight=given.weights, zero_division=0, average=average
        )

    return score


def _of_many(given: GateInput, output: Output) -> Any:
    from sklearn.metrics import roc_auc_score

    if output.scores is None:
        raise Missing("roc_auc needs scores", fix="log a model with predict_proba")
    return roc_auc_score(
        _codes(given, given.truth),
        output.scores,
        average="weighted",
        multi_class="ovr",
        labels=list(range(len(given.spec.classes))),
        sample_weight=given.weights,
    )


def _matthews(given: GateInput, output: Output) -> Any:
    from sklearn.metrics import matthews_corrcoef

    truth, said = _codes(given, given.truth), _codes(given, output.prediction)
    return matthews_corrcoef(truth, said, sample_weight=given.weights)


def _errors(given: GateInput, output: Output) -> Any:
    return np.asarray(given.truth, dtype=float) - np.asarray(output.prediction, dtype=float)


def _share(given: GateInput, output: Output) -> Any:
    from sklearn.metrics import mean_absolute_percentage_error

    return mean_absolute_percentage_error(
        given.truth, output.prediction, sample_weight=given.weights
    )


_OF_LABELS: dict[str, Callable[[GateInput, Output], Any]] = {
    "precision_score": _labelled("precision_score"),
    "recall_score": _labelled("recall_score"),
    "f1_score": _labelled("f1_score"),
    "roc_auc": _of_many,
    "matthews_corrcoef": _matthews,
}
_OF_VALUES: dict[str, Callable[[GateInput, Output], Any]] = {
    "mean_squared_error": lambda given, output: np.average(
        _errors(given, output) ** 2, weights=given.weights
    ),
    "max_error": lambda given, output: np.abs(_errors(given, output)).max(),
    "mean_absolute_percentage_error": _share,
}
