"""A difference of two means is as likely as simulated ones are."""

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from lifecycle.drift.means import Mean, few_pieces, rareness, skewness
from lifecycle.drift.runs import Spread


def test_independent_rows_give_the_usual_z():
    found = Mean(0.25, Spread(1.0), (400, 100), 0.0).p_value()
    assert found == pytest.approx(2 * stats.norm.sf(0.25 / (1 / 400 + 1 / 100) ** 0.5))


def test_a_measured_variance_has_t_tails():
    plain = Mean(1.0, Spread(1.0, 0.05), (10_000, 100), 0.0)
    few = Mean(1.0, Spread(1.0, 0.05, freedom=8.0, seen=0.06), (10_000, 100), 0.0)
    assert few.p_value() > 5 * plain.p_value()
    assert few.p_value(few=True) >= few.p_value()


def test_nothing_that_varies_is_no_finding():
    assert Mean(1.0, Spread(0.0), (100, 100), 0.0).p_value() == 1.0


def test_only_the_heavy_side_costs():
    up, down = (Mean(by, Spread(1.0), (1e6, 60), 1.5).p_value() for by in (0.5, -0.5))
    assert up > 3 * down
    assert down == pytest.approx(Mean(-0.5, Spread(1.0), (1e6, 60), 0.0).p_value())


def test_equal_sides_cancel_their_skewness():
    even = Mean(0.5, Spread(1.0), (60, 60), 1.5).p_value()
    assert even == pytest.approx(Mean(0.5, Spread(1.0), (60, 60), 0.0).p_value(), rel=1e-6)


def test_skewed_means_reject_as_often_as_they_should():
    rng = np.random.default_rng(0)
    means = rng.exponential(size=(200_000, 30)).mean(axis=1) - 1
    spread = Spread(1.0)
    limits = np.linspace(0.3, 1.2, 200)
    p_values = np.array([Mean(gap, spread, (1e9, 30), 2.0).p_value() for gap in limits])
    gap = limits[np.searchsorted(-p_values, -1e-3)]
    above = np.mean(means > gap)
    assert 0.3e-3 < above < 1.2e-3
    plain = stats.norm.isf(0.5e-3) / 30**0.5
    assert np.mean(means > plain) > 4 * 0.5e-3  # a normal law rejects far too often


def test_runs_make_skewness_heavier():
    rng = np.random.default_rng(1)
    rows, phi = 200, 0.9
    noise = rng.normal(size=(4_000, rows + 100)) * (1 - phi**2) ** 0.5
    values = lfilter([1.0], [1.0, -phi], noise, axis=1)[:, 100:]
    means = ((stats.norm.cdf(values) - 0.5) ** 2 - 1 / 12).mean(axis=1)
    row, skew = 1 / 180, 0.639  # of the squared distance from the middle rank
    pieces = row / means.var()
    assert stats.skew(means) > 1.5 * skew / pieces**0.5  # more than as many equal pieces have
    gap = 3.5 * means.std()
    spread = Spread(row, means.var() - row / rows)
    told, plain = (Mean(gap, spread, (1e9, rows), item).p_value() for item in (skew, 0.0))
    assert plain < np.mean(np.abs(means) > gap)
    assert told > 1.5 * plain


def test_few_pieces_have_little_freedom():
    assert few_pieces(Spread(1.0), 100) == 400
    assert few_pieces(Spread(1.0, live=0.5), 100) == pytest.approx(400 / 51)
    assert few_pieces(Spread(1.0, live=9.0), 100) == 2.0


def test_skewness_is_that_of_the_rows():
    values, counts = np.array([-1.0, 0.0, 3.0]), np.array([6, 2, 2])
    rows = np.repeat(values, counts)
    assert skewness(values - rows.mean(), counts) == pytest.approx(stats.skew(rows))
    assert skewness(np.zeros(3), counts) == 0.0
    assert rareness(20, 200) == pytest.approx(stats.bernoulli(0.1).stats("s"))
    assert np.isfinite(rareness(0, 200))
