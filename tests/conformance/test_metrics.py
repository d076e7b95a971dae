"""Every row of METRICS: scikit-learn's value, a covering interval, no difference from itself."""

import time
from dataclasses import dataclass

import numpy as np
import pytest
import sklearn.metrics as sk

from lifecycle.errors import DataError
from lifecycle.models.metrics import METRICS, evaluate, paired_difference
from lifecycle.models.predicting import Output, labels

CLASSES = {"binary": (0, 1), "multiclass": ("a", "b", "c"), "regression": ()}


@dataclass(frozen=True)
class Case:
    y: np.ndarray
    output: Output
    classes: tuple
    weights: np.ndarray


def make(task: str, rows: int, seed: int, *, noise: float = 1.5) -> Case:
    """Rows from one population; scores have ties on purpose."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.5, 2.0, rows)
    classes = CLASSES[task]
    if task == "regression":
        truth = rng.normal(size=rows)
        return Case(truth, Output(truth + noise * rng.normal(size=rows)), classes, weights)
    codes = rng.choice(len(classes), rows, p=[0.5, 0.3, 0.2] if len(classes) == 3 else [0.7, 0.3])
    raw = np.eye(len(classes))[codes] + noise * rng.normal(size=(rows, len(classes)))
    scores = np.exp(raw.round(1))
    scores /= scores.sum(axis=1, keepdims=True)
    y = np.array(classes, dtype=object if task == "multiclass" else None)[codes]
    return Case(y, Output(labels(scores, classes, threshold=None), scores), classes, weights)


def by_sklearn(name: str, case: Case, weights: np.ndarray | None) -> float:
    y, predicted, scores = case.y, case.output.prediction, case.output.scores
    y = y.tolist() if case.classes else y
    predicted = predicted.tolist() if case.classes else predicted
    w = {"sample_weight": weights}
    onehot = np.eye(3)[np.searchsorted(("a", "b", "c"), y)] if "a" in case.classes else None
    table = {
        "roc_auc": lambda: sk.roc_auc_score(y, scores[:, 1], **w),
        "average_precision": lambda: sk.average_precision_score(y, scores[:, 1], **w),
        "roc_auc_ovr": lambda: sk.roc_auc_score(y, scores, multi_class="ovr", **w),
        "log_loss": lambda: sk.log_loss(y, scores, labels=list(case.classes), **w),
        "brier": lambda: (
            np.average(((scores - onehot) ** 2).sum(1), weights=weights)
            if onehot is not None
            else sk.brier_score_loss(y, scores[:, 1], **w)
        ),
        "accuracy": lambda: sk.accuracy_score(y, predicted, **w),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(y, predicted, **w),
        "f1": lambda: sk.f1_score(y, predicted, **w),
        "f1_macro": lambda: sk.f1_score(y, predicted, average="macro", **w),
        "rmse": lambda: sk.mean_squared_error(y, predicted, **w) ** 0.5,
        "mae": lambda: sk.mean_absolute_error(y, predicted, **w),
        "r2": lambda: sk.r2_score(y, predicted, **w),
    }
    return float(table[name]())


PAIRS = [(name, task) for name, row in METRICS.items() for task in row.tasks]


@pytest.mark.parametrize(("name", "task"), PAIRS)
@pytest.mark.parametrize("weighted", [False, True])
def test_value_is_scikit_learns(name: str, task: str, weighted: bool) -> None:
    for seed, rows in enumerate((40, 301)):
        case = make(task, rows, seed)
        weights = case.weights if weighted else None
        ours = evaluate(
            name,
            case.y,
            case.output.prediction,
            case.output.scores,
            classes=case.classes,
            weights=weights,
        )
        assert ours.value == pytest.approx(by_sklearn(name, case, weights), abs=1e-12)
        assert ours.low is not None
        assert ours.high is not None
        assert ours.low <= ours.value <= ours.high
        assert ours.higher_is_better is METRICS[name].higher_is_better


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_interval_covers_the_population_value(name: str, task: str) -> None:
    large = make(task, 200_000, 99)
    truth = evaluate(
        name, large.y, large.output.prediction, large.output.scores, classes=large.classes
    )
    held = 0
    repeats = 200
    for seed in range(repeats):
        case = make(task, 150, seed)
        found = evaluate(
            name, case.y, case.output.prediction, case.output.scores, classes=case.classes
        )
        held += found.low <= truth.value <= found.high
    # 95 % nominal; 200 repeats have a standard error of 1.5 points
    assert 0.90 <= held / repeats <= 0.995


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_weights_count_as_repeated_rows_in_the_value(name: str, task: str) -> None:
    case = make(task, 60, 3)
    counts = np.random.default_rng(1).integers(1, 4, 60)
    rows = np.repeat(np.arange(60), counts)
    scores = case.output.scores
    weighted = evaluate(
        name, case.y, case.output.prediction, scores, classes=case.classes, weights=counts
    )
    repeated = evaluate(
        name,
        case.y[rows],
        case.output.prediction[rows],
        None if scores is None else scores[rows],
        classes=case.classes,
    )
    assert weighted.value == pytest.approx(repeated.value)


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_difference_from_itself_is_nothing_and_turns_its_sign(name: str, task: str) -> None:
    case, other = make(task, 200, 5), make(task, 200, 5, noise=2.0)
    same = paired_difference(name, case.y, case.output, case.output, case.classes)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    there = paired_difference(name, case.y, case.output, other.output, case.classes)
    back = paired_difference(name, case.y, other.output, case.output, case.classes)
    assert there.value == pytest.approx(-back.value)
    assert there.low == pytest.approx(-back.high)
    assert there.low < there.value < there.high


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_one_class_or_constant_target_is_a_clear_error_where_it_matters(
    name: str, task: str
) -> None:
    case = make(task, 50, 7)
    y = np.full(50, case.y[0])
    row = METRICS[name]
    if row.needs_classes or name == "r2":
        with pytest.raises(DataError, match=r"two classes|constant"):
            evaluate(name, y, case.output.prediction, case.output.scores, classes=case.classes)
    else:
        found = evaluate(name, y, case.output.prediction, case.output.scores, classes=case.classes)
        assert np.isfinite(found.value)


@pytest.mark.parametrize("name", [name for name, row in METRICS.items() if row.needs_scores])
def test_labels_alone_are_a_clear_error_where_scores_are_needed(name: str) -> None:
    case = make(METRICS[name].tasks[0], 50, 8)
    with pytest.raises(DataError, match="needs scores"):
        evaluate(name, case.y, case.output.prediction, None, classes=case.classes)


def test_100_000_rows_take_less_than_a_third_of_a_second() -> None:
    cases = {task: make(task, 100_000, 1) for task in CLASSES}
    for name, task in PAIRS:
        case = cases[task]
        best = np.inf
        for _ in range(3):
            start = time.process_time()
            evaluate(name, case.y, case.output.prediction, case.output.scores, classes=case.classes)
            best = min(best, time.process_time() - start)
        assert best < 0.3, f"{name} takes {best:.2f} s"
