"""The variance of a window's mean, measured on the reference, is that of fresh windows."""

import numpy as np
import pytest
from scipy.signal import lfilter

from lifecycle.drift.blocks import Blocks
from lifecycle.drift.runs import Runs, Spread

STEP = 900


def stream(rng, rows, phi):
    noise = rng.normal(size=rows + 300) * np.sqrt(1 - phi**2)
    return lfilter([1.0], [1.0, -phi], noise)[300:]


def bands_of(values):
    return np.searchsorted([-1.0, 0.0, 1.0], values)


SCORES = np.array([-1.5, -0.5, 0.5, 1.5])


def measured(rng, rows, phi, window):
    blocks = Blocks.count(bands_of(stream(rng, rows, phi)), np.arange(rows) * STEP, width=4)
    return Runs(blocks, seconds=window * STEP).spread(SCORES)


@pytest.mark.parametrize(("phi", "window"), [(0.0, 100), (0.9, 36), (0.9, 200), (0.9, 2_000)])
def test_it_agrees_with_fresh_windows(phi, window):
    rng = np.random.default_rng(1)
    found = [measured(rng, 4_000, phi, window) for _ in range(12)]
    means = [SCORES[bands_of(stream(rng, window, phi))].mean() for _ in range(300)]
    variance = np.mean([item.row / window + item.live for item in found])
    assert 0.7 < variance / np.var(means) < 1.6


def test_independent_rows_cost_about_nothing():
    spread = measured(np.random.default_rng(2), 8_000, 0.0, 200)
    assert 1.0 <= spread.design_effect(200) < 1.7
    assert spread.tails(200, 8_000) > 20


def test_runs_cost_what_their_correlation_says():
    spread = measured(np.random.default_rng(3), 20_000, 0.9, 500)
    assert 10 < spread.design_effect(500) < 25  # (1 + 0.9) / (1 - 0.9) = 19 for the values


def test_a_sampled_window_pays_less_for_runs():
    spread = measured(np.random.default_rng(4), 8_000, 0.9, 500)
    assert spread.design_effect(50) == pytest.approx(1 + spread.live * 50 / spread.row)
    assert spread.variance(50, 8_000) > spread.variance(500, 8_000)


def test_few_windows_have_heavy_tails():
    rng = np.random.default_rng(5)
    assert measured(rng, 2_000, 0.9, 1_000).freedom < measured(rng, 20_000, 0.9, 1_000).freedom


def test_a_constant_score_has_no_spread():
    blocks = Blocks.count(np.zeros(50, int), np.arange(50) * 60, width=2)
    spread = Runs(blocks, 600).spread(np.array([1.0, np.nan]))
    assert spread == Spread(0.0)
    assert spread.design_effect(10) == 1.0


def test_a_reference_of_one_moment_is_no_error():
    blocks = Blocks.count(np.array([0, 1, 1]), np.array([5, 5, 5]), width=2)
    assert Runs(blocks, 60).spread(np.array([0.0, 1.0])).row > 0


@pytest.mark.parametrize("factor", [0.25, 3.0, -1.0])
def test_a_design_effect_does_not_depend_on_the_scores_unit(factor):
    rng = np.random.default_rng(6)
    blocks = Blocks.count(bands_of(stream(rng, 6_000, 0.9)), np.arange(6_000) * STEP, width=4)
    plain, other = (
        Runs(blocks, seconds=300 * STEP).spread(scores) for scores in (SCORES, factor * SCORES + 7)
    )
    assert other.design_effect(300) == pytest.approx(plain.design_effect(300), rel=1e-9)
    assert other.row == pytest.approx(factor**2 * plain.row)
    assert other.freedom == plain.freedom


def test_when_the_clock_started_does_not_matter():
    rng = np.random.default_rng(7)
    bands, times = bands_of(stream(rng, 5_000, 0.8)), np.arange(5_000) * STEP
    later = times + (86_400 << 15) * 2  # a whole number of every block length
    found = [
        Runs(Blocks.count(bands, moments, width=4), seconds=200 * STEP).spread(SCORES)
        for moments in (times, later)
    ]
    assert found[0] == found[1]


def test_stronger_runs_cost_more_rows():
    effects = [
        measured(np.random.default_rng(8), 20_000, phi, 400).design_effect(400)
        for phi in (0.0, 0.5, 0.8, 0.95)
    ]
    assert effects == sorted(effects)
    assert effects[-1] > 5 * effects[0]


@pytest.mark.parametrize("seconds", [1.0, 600.0, 86_400.0, 1e9])
def test_any_window_has_a_finite_variance_that_is_not_negative(seconds):
    rng = np.random.default_rng(9)
    blocks = Blocks.count(bands_of(stream(rng, 800, 0.9)), np.arange(800) * STEP, width=4)
    spread = Runs(blocks, seconds).spread(SCORES)
    assert np.isfinite(spread.variance(30, 800))
    assert spread.variance(30, 800) >= spread.row * (1 / 30 + 1 / 800)
    assert spread.design_effect(30) >= 1.0
    assert spread.tails(30, 800) >= 2.0
