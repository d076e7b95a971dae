"""Metrics by scikit-learn's names and values, each with an interval and a paired difference.

>>> y, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
>>> evaluate("roc_auc", y, None, np.column_stack([1 - scores, scores]), classes=(0, 1)).value
0.75

Every row of METRICS computes its value together with what each row of data contributes to its
error (`influence`), so an interval costs as much as the value and needs no random numbers: DeLong
for areas under the ROC curve, Wilson's for accuracy, the infinitesimal jackknife for the rest, with
Student's quantiles by the rows (of the smaller class) that carry the figure. Intervals are drawn on
a scale where they cannot leave the metric's range: logit for figures between 0 and 1, logarithm for
positive ones.

To add a metric: write a function (Answers) -> Estimate, add a row to METRICS; the conformance suite
then checks that its interval holds its value and that a model does not differ from itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lifecycle.errors import ConfigError, DataError
from lifecycle.models import influence
from lifecycle.models.answers import Answers, classification, regression
from lifecycle.models.influence import Array, Estimate, Floats, widest
from lifecycle.models.intervals import interval_of
from lifecycle.named import nearest
from lifecycle.records import Label, Metric, Task

CLASSIFICATION: tuple[Task, ...] = ("binary", "multiclass")
LEVEL = 0.95


@dataclass(frozen=True)
class Rule:
    """One row of METRICS.

    Attributes:
        estimate: Answers to value and contributions.
        higher_is_better: the direction.
        tasks: where it has a meaning.
        needs_scores: whether labels alone are not enough.
        needs_classes: whether one class alone leaves it undefined.
        scale: the range that its interval keeps: unit (0 … 1), positive, below_one, free.
        row_loss: Answers to (n,) loss a row, where the metric is a mean of one.
    """

    estimate: Callable[[Answers], Estimate]
    higher_is_better: bool
    tasks: tuple[Task, ...]
    needs_scores: bool = False
    needs_classes: bool = False
    scale: str = "unit"
    row_loss: Callable[[Answers], Floats] | None = None


def _scores(answers: Answers) -> Array:
    assert answers.scores is not None  # `_answers` refuses what lacks them
    return answers.scores


def _log_losses(answers: Answers) -> Floats:
    scores = _scores(answers)
    eps = float(np.finfo(scores.dtype).eps)  # as scikit-learn clips
    own = scores[np.arange(len(scores)), answers.truth].astype(float)
    return np.asarray(-np.log(np.clip(own, eps, 1.0 - eps)))


def _brier_losses(answers: Answers) -> Floats:
    scores = _scores(answers).astype(float)
    hits = np.eye(answers.classes)[answers.truth]
    squares = np.asarray(((scores - hits) ** 2).sum(axis=1))
    return squares / 2.0 if answers.classes == 2 else squares


def _wrong(answers: Answers) -> Floats:
    return np.asarray(answers.truth != answers.labels, dtype=float)


def _squares(answers: Answers) -> Floats:
    return np.asarray((answers.truth - answers.labels) ** 2)


def _absolutes(answers: Answers) -> Floats:
    return np.asarray(np.abs(answers.truth - answers.labels))


def _mean_of(losses: Callable[[Answers], Floats]) -> Callable[[Answers], Estimate]:
    return lambda answers: influence.mean(losses(answers), answers.weights)


def _accuracy(answers: Answers) -> Estimate:
    return influence.mean(1.0 - _wrong(answers), answers.weights)


def _roc_auc(answers: Answers) -> Estimate:
    return influence.roc_auc(answers.truth == 1, _scores(answers)[:, 1], answers.weights)


def _roc_auc_ovr(answers: Answers) -> Estimate:
    """The mean over the classes that occur, each against the rest (macro)."""
    present = np.unique(answers.truth)
    areas = [
        influence.roc_auc(answers.truth == k, _scores(answers)[:, k], answers.weights)
        for k in present
    ]
    return Estimate(
        float(np.mean([area.value for area in areas])),
        np.mean([area.parts for area in areas], axis=0),
        min(area.rows for area in areas),
    )


def _average_precision(answers: Answers) -> Estimate:
    return influence.average_precision(answers.truth == 1, _scores(answers)[:, 1], answers.weights)


def _balanced(answers: Answers) -> Estimate:
    return influence.recalls(answers.truth, answers.labels, answers.weights, answers.classes)


def _f1(answers: Answers) -> Estimate:
    return influence.f1(answers.truth, answers.labels, answers.weights, (1,))


def _f1_macro(answers: Answers) -> Estimate:
    shown = np.union1d(np.unique(answers.truth), np.unique(answers.labels))
    kept = tuple(int(k) for k in shown)
    return influence.f1(answers.truth, answers.labels, answers.weights, kept)


def _rmse(answers: Answers) -> Estimate:
    return influence.root(influence.mean(_squares(answers), answers.weights))


def _r2(answers: Answers) -> Estimate:
    if np.ptp(answers.truth) == 0:
        raise DataError("r2 is undefined: the target is constant in these rows")
    return influence.r2(answers.truth, answers.labels, answers.weights)


METRICS: dict[str, Rule] = {
    "roc_auc": Rule(_roc_auc, True, ("binary",), True, True),
    "average_precision": Rule(_average_precision, True, ("binary",), True, True),
    "roc_auc_ovr": Rule(_roc_auc_ovr, True, ("multiclass",), True, True),
    "log_loss": Rule(
        _mean_of(_log_losses), False, CLASSIFICATION, True, scale="positive", row_loss=_log_losses
    ),
    "brier": Rule(
        _mean_of(_brier_losses),
        False,
        CLASSIFICATION,
        True,
        scale="positive",
        row_loss=_brier_losses,
    ),
    "accuracy": Rule(_accuracy, True, CLASSIFICATION, scale="wilson", row_loss=_wrong),
    "balanced_accuracy": Rule(_balanced, True, CLASSIFICATION, needs_classes=True),
    "f1": Rule(_f1, True, ("binary",), needs_classes=True),
    "f1_macro": Rule(_f1_macro, True, ("multiclass",), needs_classes=True),
    "rmse": Rule(_rmse, False, ("regression",), scale="positive", row_loss=_squares),
    "mae": Rule(
        _mean_of(_absolutes), False, ("regression",), scale="positive", row_loss=_absolutes
    ),
    "r2": Rule(_r2, True, ("regression",), scale="below_one"),
}


def standard_metrics(task: Task, *, scores: bool = True) -> tuple[str, ...]:
    """The metrics that a task is judged by; without `scores` those that labels allow.

    >>> standard_metrics("regression")
    ('rmse', 'mae', 'r2')
    """
    rows = METRICS.items()
    return tuple(
        name for name, row in rows if task in row.tasks and (scores or not row.needs_scores)
    )


def default_metric(task: Task, *, scores: bool = True) -> str:
    """The metric that candidates are ordered by when none is named.

    >>> default_metric("binary"), default_metric("binary", scores=False)
    ('roc_auc', 'balanced_accuracy')
    """
    if task == "regression":
        return "rmse"
    if not scores:
        return "balanced_accuracy"
    return "roc_auc" if task == "binary" else "roc_auc_ovr"


def default_loss(task: Task, *, scores: bool = True) -> str:
    """The metric whose loss a row is followed over time.

    >>> default_loss("multiclass")
    'log_loss'
    """
    if task == "regression":
        return "rmse"
    return "log_loss" if scores else "accuracy"


def rule(name: str, *, task: Task | None = None) -> Rule:
    """The row of METRICS for `name`.

    >>> rule("rmse").higher_is_better
    False

    Raises:
        ConfigError: there is no such metric, or it has no meaning for the task.
    """
    found = METRICS.get(name)
    if found is None:
        raise ConfigError(f"unknown metric {name!r}; {nearest(name, METRICS)}")
    if task is not None and task not in found.tasks:
        allowed = ", ".join(standard_metrics(task))
        raise ConfigError(
            f"metric {name!r} has no meaning for a {task} task", fix=f"name one of {allowed}"
        )
    return found


def evaluate(
    name: str,
    y: Any,
    prediction: Any,
    scores: Any = None,
    *,
    classes: Sequence[Label] = (),
    weights: Any = None,
    blocks: Any = None,
    level: float = LEVEL,
) -> Metric:
    """One metric with its interval.

    >>> print(evaluate("accuracy", ["a", "b", "b", "b"], ["a", "b", "b", "a"], classes=("a", "b")))
    accuracy 0.7500 [0.3006, 0.9544]

    Args:
        name: a key of METRICS.
        y: (n,) true labels or values, none missing.
        prediction: (n,) predicted labels or values; may be None where scores are enough.
        scores: (n, k) class probabilities in the order of `classes`, or (n,) of the second class.
        classes: the k labels, the positive one second; empty in a regression.
        weights: (n,) sample weights; all one by default.
        blocks: (n,) whole numbers: rows of one block may go together, as those of one day do; or
            several such arrays, of which the one that tells least counts. By default rows are
            independent.
        level: of the interval, two-sided.

    Raises:
        ConfigError: the metric does not exist.
        DataError: lengths differ, values are missing, a label is in no class, the rows hold one
            class and the metric needs two, or scores are needed and absent.
    """
    row = rule(name)
    estimate = row.estimate(_answers(name, y, (prediction, scores), classes, weights))
    scale = row.scale
    if blocks is not None and len(blocks):
        estimate = widest(estimate, _ways(blocks))
        scale = "unit" if scale == "wilson" else scale
    low, high = interval_of(estimate, scale, level)
    return Metric(name, estimate.value, low, high, row.higher_is_better)


def paired_difference(
    name: str,
    y: Any,
    a: Any,
    b: Any,
    classes: Sequence[Label] = (),
    *,
    weights: Any = None,
    blocks: Any = None,
    level: float = LEVEL,
) -> Metric:
    """How much `a` exceeds `b` on the same rows, with an interval that knows they are the same.

    >>> from types import SimpleNamespace as Output
    >>> one = Output(prediction=np.array([1.0, 2.0, 2.0]), scores=None)
    >>> paired_difference("mae", [1.0, 2.0, 3.0], one, one).value
    0.0

    For areas under the ROC curve the variance is DeLong's, covariance included.

    Args:
        name: a key of METRICS.
        y: (n,) true labels or values.
        a: anything with `.prediction` (n,) and `.scores` (n, k) or None.
        b: likewise.
        classes: the labels, the positive one second; empty in a regression.
        weights: (n,) sample weights.
        blocks: as those of `evaluate`.
        level: of the interval, two-sided.

    Returns:
        The metric of `a` minus that of `b`; where smaller is better, a negative value favours `a`.
        The interval is absent where one row alone carries a class.
    """
    row = rule(name)
    first, second = (
        row.estimate(_answers(name, y, (item.prediction, item.scores), classes, weights))
        for item in (a, b)
    )
    difference = widest(first.minus(second), _ways(blocks))
    low, high = interval_of(difference, "free", level)
    return Metric(name, difference.value, low, high, row.higher_is_better)


def loss(
    name: str, y: Any, prediction: Any, scores: Any = None, *, classes: Sequence[Label] = ()
) -> Floats:
    """Each row's loss: what the metric is a mean of (0 or 1 for accuracy, squares for rmse).

    >>> loss("rmse", [1.0, 2.0], [1.0, 4.0])
    array([0., 4.])

    Raises:
        ConfigError: the metric is unknown, or no mean of a loss a row.
    """
    row = rule(name)
    if row.row_loss is None:
        known = ", ".join(key for key, item in METRICS.items() if item.row_loss)
        raise ConfigError(f"metric {name!r} is no mean over rows", fix=f"name one of {known}")
    return row.row_loss(_answers(name, y, (prediction, scores), classes, None))


def _answers(
    name: str, y: Any, output: tuple[Any, Any], classes: Sequence[Label], weights: Any
) -> Answers:
    row = rule(name)
    prediction, scores = output
    if row.tasks == ("regression",):
        return regression(name, y, prediction, weights)
    checked = classification(
        name, y, prediction, scores if row.needs_scores else None, classes=classes, weights=weights
    )
    if row.needs_scores and checked.scores is None:
        raise DataError(
            f"{name} needs scores and the model gives labels only",
            fix="use accuracy, balanced_accuracy or f1, or an estimator with predict_proba",
        )
    held = np.unique(checked.truth[checked.weights > 0])
    if row.needs_classes and len(held) < 2:
        raise DataError(
            f"{name} needs two classes and these rows hold only {classes[int(held[0])]!r}",
            fix="use rows in which both occur",
        )
    return checked


def _ways(blocks: Any) -> list[NDArray[np.int64]]:
    if blocks is None or not len(blocks):
        return []
    return list(np.atleast_2d(np.asarray(blocks, dtype=np.int64)))


def interval(name: str, value: float, error: float) -> tuple[float | None, float | None]:
    """The 95 % interval of a figure whose standard error is known, on the metric's own scale.

    >>> [round(item, 3) for item in interval("roc_auc", 0.9, 0.05)]
    [0.752, 0.964]

    Args:
        name: a key of METRICS.
        value: the figure.
        error: its standard error.

    Raises:
        ConfigError: there is no such metric.
    """
    scale = rule(name).scale
    known = Estimate(value, np.array([error]), np.inf)
    return interval_of(known, "unit" if scale == "wilson" else scale, LEVEL)
