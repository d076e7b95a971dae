"""A difference of two means is as likely as simulated ones are."""

import numpy as np
import pytest
from scipy import stats
from scipy.signal import lfilter

from lifecycle.drift.means import Mean, ends, few_pieces
from lifecycle.drift.runs import Spread

EVEN = (-9.0, 9.0)


def test_independent_rows_give_the_usual_z():
    found = Mean(0.25, Spread(1.0), (400, 100), EVEN).p_value()
    assert found == pytest.approx(2 * stats.norm.sf(0.25 / (1 / 400 + 1 / 100) ** 0.5))


def test_a_measured_variance_has_t_tails():
    plain = Mean(1.0, Spread(1.0, 0.05), (10_000, 100), EVEN)
    few = Mean(1.0, Spread(1.0, 0.05, freedom=8.0, seen=0.06), (10_000, 100), EVEN)
    assert few.p_value() > 5 * plain.p_value()
    assert few.p_value(few=True) >= few.p_value()


def test_nothing_that_varies_is_no_finding():
    assert Mean(1.0, Spread(0.0), (100, 100), EVEN).p_value() == 1.0


def test_only_the_heavy_side_costs():
    up, down = (Mean(by, Spread(1.0), (1e6, 60), (-0.5, 9.0)).p_value() for by in (0.5, -0.5))
    assert up > 3 * down
    assert down == pytest.approx(Mean(-0.5, Spread(1.0), (1e6, 60), EVEN).p_value())


def test_rare_rows_reject_as_often_as_they_should():
    share, rows = 0.1, 60
    law = stats.binom(rows, share)
    spread = Spread(share * (1 - share))
    held = np.arange(rows + 1)
    told = [
        Mean(float(item / rows - share), spread, (1e9, rows), (-share, 1 - share)).p_value()
        for item in held
    ]
    plain = [Mean(float(item / rows - share), spread, (1e9, rows), EVEN).p_value() for item in held]
    above = held > share * rows
    for limit in (1e-3, 1e-4):
        seen = law.pmf(held[above & (np.array(told) <= limit)]).sum()
        assert seen <= 1.2 * limit
        naive = law.pmf(held[above & (np.array(plain) <= limit)]).sum()
        assert naive > 2 * seen  # a normal law rejects far too often


def test_runs_make_skewness_heavier():
    rng = np.random.default_rng(1)
    rows, phi = 200, 0.9
    noise = rng.normal(size=(4_000, rows + 100)) * (1 - phi**2) ** 0.5
    values = lfilter([1.0], [1.0, -phi], noise, axis=1)[:, 100:]
    means = ((stats.norm.cdf(values) - 0.5) ** 2 - 1 / 12).mean(axis=1)
    gap = 3.0 * means.std()
    spread = Spread(1 / 180, means.var() - 1 / 180 / rows)
    told, plain = (
        Mean(gap, spread, (1e9, rows), item).p_value() for item in ((-1 / 12, 1 / 6), EVEN)
    )
    assert plain < np.mean(np.abs(means) > gap)
    assert told > 1.3 * plain


def test_few_pieces_have_little_freedom():
    assert few_pieces(Spread(1.0), 100) == 400
    assert few_pieces(Spread(1.0, live=0.5), 100) == pytest.approx(400 / 51)
    assert few_pieces(Spread(1.0, live=9.0), 100) == 2.0


def test_ends_are_told_from_the_mean():
    assert ends(np.array([0.5, -1.0, 3.0]), 1.0) == (-2.0, 2.0)
