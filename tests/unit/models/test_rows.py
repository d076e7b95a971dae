"""Each row's figure: its mean is the metric's, whatever the metric."""

import numpy as np
import pytest

from lifecycle.errors import DataError
from lifecycle.models.metrics import METRICS, evaluate
from lifecycle.models.predicting import Output
from lifecycle.models.rows import RANKED, answered

Y = np.array([0, 0, 1, 1, 1])
SCORES = np.array([0.2, 0.7, 0.6, 0.9, 0.4])
OUTPUT = Output((SCORES > 0.5).astype(int), np.column_stack([1 - SCORES, SCORES]))


@pytest.mark.parametrize("name", ["log_loss", "brier", "accuracy"])
def test_mean_over_rows_is_the_metric(name: str) -> None:
    value = evaluate(name, Y, OUTPUT.prediction, OUTPUT.scores, classes=(0, 1)).value
    sign = 1.0 if METRICS[name].higher_is_better else -1.0
    assert answered(name, Y, OUTPUT, (0, 1)).mean() == pytest.approx(sign * value)


@pytest.mark.parametrize("name", ["f1", "balanced_accuracy", "f1_macro"])
def test_labels_are_hits(name: str) -> None:
    assert answered(name, Y, OUTPUT, (0, 1)).tolist() == [1, 0, 1, 1, 0]


@pytest.mark.parametrize(
    ("name", "expected"), [("mae", [-1, -2]), ("rmse", [-1, -4]), ("r2", [-1, -4])]
)
def test_numbers_have_negative_losses(name: str, expected: list[float]) -> None:
    assert answered(name, [1.0, 2.0], Output(np.array([2.0, 4.0]))).tolist() == expected


@pytest.mark.parametrize("name", sorted(set(METRICS) - RANKED))
def test_every_metric_that_is_no_rank_has_one(name: str) -> None:
    classes = () if "regression" in METRICS[name].tasks else (0, 1)
    output = Output(Y.astype(float)) if not classes else OUTPUT
    assert answered(name, Y, output, classes).shape == Y.shape


def test_loss_of_scores_needs_scores() -> None:
    with pytest.raises(DataError):
        answered("log_loss", Y, Output(OUTPUT.prediction), (0, 1))
