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
