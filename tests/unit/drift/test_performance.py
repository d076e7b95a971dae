"""Harm: its false alarms, its power, what it does not decide; losses a window."""

from dataclasses import replace

import numpy as np
import pytest

from lifecycle.drift.performance import (
    expected_loss,
    performance,
    row_losses,
    window_losses,
    worse,
)
from lifecycle.models.metrics import METRICS, evaluate, loss, standard_metrics
from lifecycle.records import Metric, ModelSpec, Outcome

CLASSES = {"binary": (0, 1), "multiclass": ("a", "b", "c"), "regression": ()}


def rows(task: str, count: int, seed: int, *, noise: float = 1.0) -> tuple:
    rng = np.random.default_rng(seed)
    if task == "regression":
        y = rng.normal(size=count)
        return y, y + noise * rng.normal(size=count), None
    classes = np.array(CLASSES[task], dtype=object)
    codes = rng.integers(0, len(classes), count)
    raw = np.exp(np.eye(len(classes))[codes] + noise * rng.normal(size=(count, len(classes))))
    scores = raw / raw.sum(axis=1, keepdims=True)
    return classes[codes], classes[scores.argmax(axis=1)], scores


def spec(task: str, primary: str, count: int = 1000, seed: int = 10_000) -> ModelSpec:
    y, prediction, scores = rows(task, count, seed)
    classes = CLASSES[task]
    found = tuple(
        evaluate(name, y, prediction, scores, classes=classes) for name in standard_metrics(task)
    )
    return ModelSpec(1, task, (), "y", classes=classes, primary_metric=primary, metrics=found)


PAIRS = [(task, name) for name, row in METRICS.items() for task in row.tasks]


@pytest.mark.parametrize(("task", "primary"), PAIRS)
def test_model_as_good_as_before_is_rarely_called_harmed(task: str, primary: str) -> None:
    alarms = 0
    for seed in range(150):
        before = spec(task, primary, 500, 10_000 + seed)
        found = performance(*rows(task, 300, seed), spec=before, alpha=0.05)
        alarms += found.harmed
    # nominal 5 %; 150 repeats have a standard error of 1.8 points
    assert alarms / 150 <= 0.105


@pytest.mark.parametrize(("task", "primary"), PAIRS)
def test_clearly_worse_model_is_harmed_with_the_figures_in_words(task: str, primary: str) -> None:
    found = performance(
        *rows(task, 1000, 1, noise=2.5), spec=spec(task, primary), unlabelled_rows=7
    )
    assert found.harmed
    assert found.reason.startswith(f"worse: {primary} ")
    assert "1,000 labelled rows" in found.reason
    assert found.unlabelled_rows == 7
    assert found.higher_is_better is METRICS[primary].higher_is_better
    assert (found.value < found.expected) is found.higher_is_better


@pytest.mark.parametrize(("task", "primary"), PAIRS)
def test_better_model_is_not_harmed(task: str, primary: str) -> None:
    found = performance(*rows(task, 1000, 1, noise=0.5), spec=spec(task, primary))
    assert found.outcome is Outcome.PASS
    assert "not shown to be worse" in found.reason


def test_few_labels_do_not_decide_and_nothing_is_computed() -> None:
    found = performance(*rows("binary", 49, 0), spec=spec("binary", "roc_auc"))
    assert (found.outcome, found.value) == (Outcome.UNSURE, None)
    assert found.reason == "49 labelled rows, 50 are needed"
    empty = performance([], [], None, spec=spec("regression", "rmse"), min_labels=0)
    assert empty.outcome is Outcome.UNSURE


def test_one_class_does_not_decide() -> None:
    y, prediction, scores = rows("binary", 200, 0)
    found = performance(np.zeros(200, dtype=int), prediction, scores, spec=spec("binary", "f1"))
    assert found.outcome is Outcome.UNSURE
    assert "two classes" in found.reason
    y = np.zeros(200, dtype=int)
    y[0] = 1
    found = performance(y, prediction, scores, spec=spec("binary", "roc_auc"))
    assert found.outcome is Outcome.UNSURE
    assert "too few labels of one class" in found.reason


def test_unknown_label_does_not_decide_and_is_named() -> None:
    _, prediction, scores = rows("binary", 200, 0)
    found = performance(np.full(200, "?"), prediction, scores, spec=spec("binary", "roc_auc"))
    assert found.outcome is Outcome.UNSURE
    assert "'?'" in found.reason


def test_no_hold_out_figure_gives_the_live_one_and_no_verdict() -> None:
    bare = replace(spec("binary", "roc_auc"), metrics=(), primary_metric="")
    found = performance(*rows("binary", 200, 0), spec=bare)
    assert found.outcome is Outcome.UNSURE
    assert (found.metric, found.expected) == ("roc_auc", None)
    assert found.value is not None
    assert "not known" in found.reason
    no_interval = replace(bare, metrics=(Metric("roc_auc", 0.7),), primary_metric="roc_auc")
    found = performance(*rows("binary", 200, 0), spec=no_interval)
    assert (found.outcome, found.expected) == (Outcome.UNSURE, 0.7)


def test_positive_scores_alone_are_enough_as_the_log_keeps_them() -> None:
    y, prediction, scores = rows("binary", 300, 0)
    both = performance(y, prediction, scores, spec=spec("binary", "roc_auc"))
    one = performance(y, prediction, scores[:, 1], spec=spec("binary", "roc_auc"))
    assert one.value == pytest.approx(both.value)


def test_few_hold_out_rows_make_harm_harder_to_show() -> None:
    live = Metric("roc_auc", 0.70, 0.68, 0.72)
    sharp, blunt = Metric("roc_auc", 0.75, 0.74, 0.76), Metric("roc_auc", 0.75, 0.65, 0.83)
    assert worse(live, sharp) < 0.001
    assert worse(live, blunt) > 0.1


def test_perfect_expectation_is_met_on_its_own_scale() -> None:
    perfect = Metric("roc_auc", 1.0, 0.99, 1.0)
    assert worse(Metric("roc_auc", 0.6, 0.5, 0.7), perfect) < 0.001
    assert worse(Metric("mae", 0.0, 0.0, 0.0, False), Metric("mae", 0.0, 0.0, 0.0, False)) == 1.0
    assert worse(Metric("mae", 1.0, 1.0, 1.0, False), Metric("mae", 0.0, 0.0, 0.0, False)) == 0.0


def test_windows_come_in_order_with_their_errors_and_small_ones_are_left_out() -> None:
    losses = np.array([1.0, 2.0, 3.0, 10.0, 10.0, 12.0, 99.0])
    windows = ["2026-02"] * 3 + ["2026-01"] * 3 + ["2026-03"]
    found = window_losses(losses, windows, min_rows=3)
    assert [(item.window, item.rows, item.loss) for item in found] == [
        ("2026-01", 3, pytest.approx(32 / 3)),
        ("2026-02", 3, 2.0),
    ]
    assert found[1].error == pytest.approx(1.0 / np.sqrt(3))
    assert window_losses(losses, windows, min_rows=30) == ()


@pytest.mark.parametrize("task", CLASSES)
def test_loss_a_row_averages_to_what_the_hold_out_expects(task: str) -> None:
    made = spec(task, standard_metrics(task)[0], 800, 5)
    y, prediction, scores = rows(task, 800, 5)
    losses = row_losses(y, prediction, scores, spec=made)
    expected, error = expected_loss(made)
    assert losses.mean() == pytest.approx(expected)
    assert error == pytest.approx(losses.std(ddof=1) / np.sqrt(800), rel=0.05)


def test_without_scores_the_loss_is_the_share_of_wrong_labels() -> None:
    y, prediction, _ = rows("multiclass", 400, 2)
    made = spec("multiclass", "accuracy", 400, 2)
    losses = row_losses(y, prediction, None, spec=made)
    assert (losses == loss("accuracy", y, prediction, classes=made.classes)).all()
    expected, error = expected_loss(made, scores=False)
    assert expected == pytest.approx(losses.mean())
    assert error == pytest.approx(losses.std() / 20, rel=0.05)


def test_expected_loss_is_unknown_without_its_metric_or_interval() -> None:
    made = spec("binary", "roc_auc")
    assert expected_loss(replace(made, metrics=())) is None
    assert expected_loss(replace(made, metrics=(Metric("log_loss", 0.5),))) is None
