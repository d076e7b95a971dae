"""Metrics: what is refused, what the tables answer, and references computed the long way."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import ConfigError, DataError
from lifecycle.models.metrics import (
    METRICS,
    default_loss,
    default_metric,
    evaluate,
    loss,
    paired_difference,
    rule,
    standard_metrics,
)


def two_models(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(rows) < 0.3).astype(int)
    shared = rng.normal(size=rows)
    first = y + shared + 0.5 * rng.normal(size=rows)
    second = y + shared + 0.5 * rng.normal(size=rows)
    return y, 1 / (1 + np.exp(-first)), 1 / (1 + np.exp(-second))


def output(scores: np.ndarray) -> SimpleNamespace:
    return SimpleNamespace(
        prediction=(scores > 0.5).astype(int), scores=np.column_stack([1 - scores, scores])
    )


def delong_the_long_way(y: np.ndarray, *models: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong 1988, equations 4 to 6, with the full m x n kernel."""
    areas, tens, ones = [], [], []
    for scores in models:
        positive, negative = scores[y == 1][:, None], scores[y == 0][None, :]
        kernel = (positive > negative) + 0.5 * (positive == negative)
        areas.append(kernel.mean())
        tens.append(kernel.mean(axis=1))
        ones.append(kernel.mean(axis=0))
    s10, s01 = np.cov(tens), np.cov(ones)
    return np.array(areas), s10 / (y == 1).sum() + s01 / (y == 0).sum()


def test_difference_of_areas_has_delongs_covariance() -> None:
    from scipy.stats import t

    y, first, second = two_models(300, 1)
    first = first.round(1)  # ties
    areas, covariance = delong_the_long_way(y, first, second)
    contrast = np.array([1.0, -1.0])
    error = np.sqrt(contrast @ covariance @ contrast)
    found = paired_difference("roc_auc", y, output(first), output(second), (0, 1))
    reach = t.ppf(0.975, (y == 1).sum() - 1)
    assert found.value == pytest.approx(areas[0] - areas[1])
    assert (found.high - found.low) / 2 == pytest.approx(reach * error)


@pytest.mark.parametrize("name", ["average_precision", "f1", "balanced_accuracy"])
def test_error_agrees_with_a_bootstrap(name: str) -> None:
    y, scores, _ = two_models(400, 2)
    rng = np.random.default_rng(0)
    model = output(scores)
    values = []
    for _ in range(400):
        rows = rng.integers(0, 400, 400)
        values.append(
            evaluate(name, y[rows], model.prediction[rows], scores[rows], classes=(0, 1)).value
        )
    single = evaluate(name, y, model.prediction, scores, classes=(0, 1))
    assert single.high - single.low == pytest.approx(2 * 1.96 * np.std(values), rel=0.15)


def test_r2_and_rmse_agree_with_a_bootstrap() -> None:
    rng = np.random.default_rng(3)
    y = rng.normal(size=500)
    guess = 0.7 * y + 0.5 * rng.normal(size=500)
    for name in ("r2", "rmse"):
        values = []
        for _ in range(400):
            rows = rng.integers(0, 500, 500)
            values.append(evaluate(name, y[rows], guess[rows]).value)
        found = evaluate(name, y, guess)
        assert found.high - found.low == pytest.approx(3.92 * np.std(values), rel=0.15)


def test_wilson_matches_the_published_example() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263
    predicted = np.r_[np.ones(81), np.zeros(182)].astype(int)
    found = evaluate("accuracy", np.ones(263, dtype=int), predicted, classes=(0, 1))
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)


def test_a_perfect_figure_keeps_an_honest_interval() -> None:
    y = np.array([0] * 10 + [1] * 5)
    found = evaluate("roc_auc", y, y, y.astype(float), classes=(0, 1))
    assert found.value == found.high == 1.0
    assert 0.3 < found.low < 0.75  # five positives prove little


def test_one_row_of_a_class_gives_a_value_without_an_interval() -> None:
    found = evaluate("roc_auc", [0, 0, 1], None, np.array([0.1, 0.6, 0.5]), classes=(0, 1))
    assert (found.value, found.low, found.high) == (0.5, None, None)


def test_missing_class_is_left_out_of_the_mean_over_classes() -> None:
    rng = np.random.default_rng(0)
    scores = rng.dirichlet([1, 1, 1], 50)
    y = rng.choice(["a", "b"], 50)
    value = evaluate("roc_auc_ovr", y, None, scores, classes=("a", "b", "c")).value
    by_hand = [
        evaluate("roc_auc", (y == label).astype(int), None, scores[:, k], classes=(0, 1)).value
        for k, label in enumerate("ab")
    ]
    assert value == pytest.approx(np.mean(by_hand))


def test_labels_are_met_across_types() -> None:
    scores = np.array([0.2, 0.7, 0.6])
    as_float = evaluate("brier", np.array([0.0, 1.0, 1.0]), None, scores, classes=(0, 1))
    as_bool = evaluate("brier", np.array([False, True, True]), None, scores, classes=(False, True))
    assert as_float.value == as_bool.value == pytest.approx((0.04 + 0.09 + 0.16) / 3)


def test_float32_scores_are_clipped_as_scikit_learn_does() -> None:
    from sklearn.metrics import log_loss

    scores = np.array([0.0, 1.0, 1.0], dtype=np.float32)
    pairs = np.column_stack([1 - scores, scores])
    found = evaluate("log_loss", [1, 1, 0], None, pairs, classes=(0, 1))
    assert found.value == pytest.approx(log_loss([1, 1, 0], pairs), rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"y": []}, "needs rows"),
        ({"y": [[0, 1]]}, "needs rows"),
        ({"y": [0, 1, 2]}, "none of 0, 1"),
        ({"y": [0, 1, float("nan")]}, "none of 0, 1"),
        ({"prediction": [0, 1]}, "each of 3 rows"),
        ({"prediction": [0, 1, "x"]}, "none of 0, 1"),
        ({"weights": [1, -1, 1]}, "negative"),
        ({"weights": [0, 0, 0]}, "zero"),
        ({"weights": ["a", "b", "c"]}, "not a number"),
    ],
)
def test_odd_labels_are_data_errors(arguments: dict, what: str) -> None:
    row = {"y": [0, 1, 1], "prediction": [0, 1, 0], "classes": (0, 1)} | arguments
    with pytest.raises(DataError, match=what):
        evaluate("accuracy", row.pop("y"), row.pop("prediction"), **row)


@pytest.mark.parametrize(
    ("scores", "what"),
    [
        ([0.1, 0.2], "shape"),
        ([[0.1, 0.2, 0.7]] * 3, "shape"),
        ([0.1, float("nan"), 0.2], "missing or infinite in 1 rows"),
    ],
)
def test_odd_scores_are_data_errors(scores: list, what: str) -> None:
    with pytest.raises(DataError, match=what):
        evaluate("brier", [0, 1, 1], None, scores, classes=(0, 1))


def test_odd_numbers_are_data_errors() -> None:
    with pytest.raises(DataError, match="missing or infinite in 1"):
        evaluate("mae", [1.0, float("nan")], [1.0, 1.0])
    with pytest.raises(DataError, match="predictions, not scores"):
        evaluate("mae", [1.0, 2.0], None)


def test_names_are_checked_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'roc_auc'"):
        rule("roc_acu")
    with pytest.raises(ConfigError, match="no meaning for a regression"):
        rule("f1", task="regression")
    with pytest.raises(ConfigError, match="no mean over rows"):
        loss("roc_auc", [0, 1], [0, 1], [0.1, 0.2], classes=(0, 1))


def test_defaults_exist_and_fit_their_task() -> None:
    for task in ("binary", "multiclass", "regression"):
        for scores in (True, False):
            for name in (
                default_metric(task, scores=scores),
                default_loss(task, scores=scores),
                *standard_metrics(task, scores=scores),
            ):
                assert task in METRICS[name].tasks
                assert scores or not METRICS[name].needs_scores
            assert METRICS[default_loss(task, scores=scores)].row_loss


def test_loss_a_row_averages_to_the_metric() -> None:
    y, scores, _ = two_models(200, 4)
    model = output(scores)
    for name in ("log_loss", "brier"):
        rows = loss(name, y, model.prediction, model.scores, classes=(0, 1))
        whole = evaluate(name, y, model.prediction, model.scores, classes=(0, 1))
        assert rows.mean() == pytest.approx(whole.value)
    wrong = loss("accuracy", y, model.prediction, classes=(0, 1))
    assert 1 - wrong.mean() == pytest.approx((y == model.prediction).mean())


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=4, max_size=40))
@settings(max_examples=60, deadline=None)
def test_areas_turn_round_and_ignore_scale(rows: list[tuple[bool, float]]) -> None:
    y = np.array([positive for positive, _ in rows])
    scores = np.array([score for _, score in rows]).round(3)
    if y.all() or not y.any():
        return
    value = evaluate("roc_auc", y, None, scores, classes=(False, True)).value
    turned = evaluate("roc_auc", y, None, 1 - scores, classes=(False, True)).value
    squeezed = evaluate("roc_auc", y, None, scores / 2, classes=(False, True)).value
    assert 0.0 <= value <= 1.0
    assert value == pytest.approx(1 - turned)
    assert value == pytest.approx(squeezed)


def test_difference_of_rows_that_go_together_is_wider() -> None:
    y, one, two = (np.tile(item, 10) for item in two_models(100, 3))
    blocks = np.tile(np.arange(100), 10)
    a, b = output(one), output(two)
    apart = paired_difference("roc_auc", y, a, b, (0, 1))
    together = paired_difference("roc_auc", y, a, b, (0, 1), blocks=blocks)
    assert together.value == apart.value
    assert together.high - together.low > 2.5 * (apart.high - apart.low)


@pytest.mark.parametrize("name", ["roc_auc", "accuracy", "log_loss"])
def test_of_several_ways_the_widest_counts(name: str) -> None:
    y, one, two = two_models(200, 4)
    a, b = output(one), output(two)
    ways = (np.arange(200) // 2, np.arange(200) // 40)
    both = paired_difference(name, y, a, b, (0, 1), blocks=ways)
    each = [paired_difference(name, y, a, b, (0, 1), blocks=way) for way in ways]
    assert both in each
    assert both.high == max(item.high for item in each)
    none = paired_difference(name, y, a, b, (0, 1), blocks=())
    assert none == paired_difference(name, y, a, b, (0, 1))
    alone = evaluate(name, y, a.prediction, a.scores, classes=(0, 1), blocks=ways)
    assert alone.low < evaluate(name, y, a.prediction, a.scores, classes=(0, 1)).low + 0.05
