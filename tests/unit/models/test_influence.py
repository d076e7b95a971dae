"""Contributions of rows: derivatives by weight, checked by moving one row's weight."""

import numpy as np
import pytest

from lifecycle.models import influence, metrics
from lifecycle.models.influence import Estimate

ROWS = 40
RNG = np.random.default_rng(0)
TRUTH = np.r_[np.zeros(25, dtype=int), np.ones(15, dtype=int)]
SCORES = (TRUTH + RNG.normal(size=ROWS)).round(1)
PREDICTED = (SCORES > 0.5).astype(int)
NUMBERS = RNG.normal(size=ROWS)
GUESSES = NUMBERS + RNG.normal(size=ROWS)

CASES = {
    "mean": lambda w: influence.mean(NUMBERS, w),
    "roc_auc": lambda w: influence.roc_auc(TRUTH, SCORES, w),
    "average_precision": lambda w: influence.average_precision(TRUTH, SCORES, w),
    "recalls": lambda w: influence.recalls(TRUTH, PREDICTED, w, 2),
    "f1": lambda w: influence.f1(TRUTH, PREDICTED, w, (1,)),
    "f1 macro": lambda w: influence.f1(TRUTH, PREDICTED, w, (0, 1)),
    "root": lambda w: influence.root(influence.mean((NUMBERS - GUESSES) ** 2, w)),
    "r2": lambda w: influence.r2(NUMBERS, GUESSES, w),
}


@pytest.mark.parametrize("name", CASES)
def test_contributions_are_the_derivatives_by_weight(name: str) -> None:
    weights = RNG.uniform(0.5, 1.5, ROWS)
    made = CASES[name](weights)
    slopes = []
    for row in range(ROWS):
        step = np.zeros(ROWS)
        step[row] = 1e-5
        up, down = CASES[name](weights + step).value, CASES[name](weights - step).value
        slopes.append(weights[row] * (up - down) / 2e-5)
    # up to the factors m / (m - 1) of small samples, one a class at most
    for group in (TRUTH == 0, TRUTH == 1):
        ours, theirs = made.parts[group], np.array(slopes)[group]
        factor = float(ours @ theirs / (theirs @ theirs))
        assert 1.0 < factor < 1.06
        assert ours == pytest.approx(factor * theirs, abs=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_scale_of_the_weights_does_not_matter(name: str) -> None:
    weights = RNG.uniform(0.5, 1.5, ROWS)
    once, tenfold = CASES[name](weights), CASES[name](10 * weights)
    assert once.value == pytest.approx(tenfold.value)
    assert once.error == pytest.approx(tenfold.error)
    assert once.rows == pytest.approx(tenfold.rows)


@pytest.mark.parametrize("name", CASES)
def test_rows_without_weight_are_as_good_as_absent(name: str) -> None:
    weights = np.ones(ROWS)
    weights[[3, 30]] = 0.0
    made = CASES[name](weights)
    assert np.all(made.parts[[3, 30]] == 0.0)
    assert np.isfinite(made.error)


def test_error_of_a_mean_is_the_textbooks() -> None:
    made = influence.mean(NUMBERS, np.ones(ROWS))
    assert made.error == pytest.approx(NUMBERS.std(ddof=1) / np.sqrt(ROWS))


def test_area_of_an_uninformative_constant_score_is_one_half_for_sure() -> None:
    made = influence.roc_auc(TRUTH, np.zeros(ROWS), np.ones(ROWS))
    assert (made.value, made.error) == (0.5, 0.0)


def test_difference_cancels_what_is_common() -> None:
    one = Estimate(0.8, np.array([0.1, -0.1]), 2)
    assert one.minus(one).error == 0.0
    assert one.minus(Estimate(0.5, -one.parts, 5)).rows == 2


def test_single_row_has_no_error() -> None:
    assert np.isnan(influence.mean(np.array([1.0]), np.ones(1)).error)


def test_root_of_nothing_is_nothing() -> None:
    assert influence.root(Estimate(0.0, np.zeros(2), 2)).error == 0.0


def test_rows_of_one_block_count_once() -> None:
    once = influence.mean(NUMBERS, np.ones(ROWS))
    many = influence.mean(np.repeat(NUMBERS, 30), np.ones(30 * ROWS))
    blocked = influence.by_block(many, np.repeat(np.arange(ROWS), 30))
    assert many.error < 0.2 * once.error
    assert blocked.error == pytest.approx(once.error, rel=1e-3)
    assert blocked.rows == ROWS


def test_blocks_never_make_an_error_smaller() -> None:
    ordered = influence.mean(np.tile([0.0, 1.0], 20), np.ones(40))
    blocked = influence.by_block(ordered, np.arange(40) // 2)  # each block has both
    assert blocked.error == pytest.approx(ordered.error)


def test_one_block_gives_no_error() -> None:
    assert np.isnan(influence.by_block(CASES["mean"](np.ones(ROWS)), np.zeros(ROWS, int)).error)


def test_intervals_of_blocks_hold_for_runs() -> None:
    """Means of 10 blocks of an autoregression: 95 % intervals hold where rows' own do not."""
    rng = np.random.default_rng(3)
    held = {True: 0, False: 0}
    for _ in range(300):
        noise = rng.normal(size=1100)
        series = np.empty(1100)
        series[0] = noise[0]
        for place in range(1, 1100):
            series[place] = 0.8 * series[place - 1] + noise[place]
        truth = series[100:]
        for blocked in held:
            made = metrics.evaluate(
                "rmse", truth**2 * np.sign(truth), np.zeros(1000),
                blocks=np.arange(1000) // 100 if blocked else None,
            )  # fmt: skip
            expected = (3 * (1 / (1 - 0.8**2)) ** 2) ** 0.5
            held[blocked] += made.low <= expected <= made.high
    assert held[True] >= 0.88 * 300
    assert held[False] < 0.8 * 300


def test_widest_takes_the_way_that_tells_least() -> None:
    estimate = influence.mean(NUMBERS, np.ones(ROWS))
    halves, many = np.arange(ROWS) // 20, np.arange(ROWS) // 2
    assert influence.widest(estimate, []) is estimate
    assert influence.widest(estimate, [many, halves]).rows == 2.0
    alone = np.zeros(ROWS, dtype=np.int64)
    assert np.isnan(influence.widest(estimate, [many, alone]).error)


def test_stretches_are_of_equal_time() -> None:
    moments = np.array([0, 1, 49, 50, 99])
    found = influence.stretches(moments, 2)
    assert found is not None
    assert found.tolist() == [0, 0, 0, 1, 1]
    assert influence.stretches(np.array([7, 7]), 5) is None


def test_placements_are_shares_of_the_other_class() -> None:
    weights = np.where(np.arange(ROWS) % 3, 1.0, 2.0)
    found = influence.placements(TRUTH, SCORES, weights)
    for shares, other, sign in zip(found, (TRUTH == 0, TRUTH == 1), (1, -1), strict=True):
        for row in range(ROWS):
            ahead = sign * (SCORES[row] - SCORES[other])
            expected = ((ahead > 0) + (ahead == 0) / 2.0) @ weights[other] / weights[other].sum()
            assert shares[row] == pytest.approx(expected)
