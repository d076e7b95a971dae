"""Every chance is that of `scipy.stats`, far out in the tails and at the edges too."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from lifecycle.drift.tails import (
    bounded,
    chi_squared,
    fisher,
    hypergeometric,
    limit,
    negative_binomial,
    two_sided,
    two_sided_z,
)

some = settings(max_examples=80, deadline=None)
positive = st.floats(0.05, 500.0)


@some
@given(st.floats(-30, 30), st.floats(1.0, 1e5))
def test_t_values(z, freedom):
    assert two_sided(z, freedom) == pytest.approx(2 * stats.t.sf(abs(z), freedom), rel=1e-9)


@some
@given(st.floats(-30, 30))
def test_normal_values(z):
    wanted = 2 * stats.norm.sf(abs(z))
    assert two_sided(z) == pytest.approx(wanted, rel=1e-9)
    assert two_sided_z(np.array([z, 0.0])) == pytest.approx([wanted, 1.0], rel=1e-9)


@some
@given(st.floats(1e-12, 0.49), st.floats(1.0, 1e4))
def test_limits_are_exceeded_with_their_chance(chance, freedom):
    assert limit(chance, freedom) == pytest.approx(stats.t.isf(chance, freedom), rel=1e-6)
    assert limit(chance) == pytest.approx(stats.norm.isf(chance), rel=1e-9)


@some
@given(positive, positive, positive)
def test_chi_squared_and_fisher(value, above, below):
    assert chi_squared(value, above) == pytest.approx(stats.chi2.sf(value, above), rel=1e-9)
    assert fisher(value, above, below) == pytest.approx(
        stats.f.sf(value, above, below), rel=1e-6, abs=1e-290
    )


def test_fisher_of_a_known_variance_is_chi_squared():
    assert fisher(3.0, 4.0, np.inf) == chi_squared(12.0, 4.0)
    assert fisher(3.0, 4.0, 1e7) == pytest.approx(stats.f.sf(3.0, 4.0, 1e7), rel=1e-4)


@some
@given(st.integers(0, 300), st.integers(1, 60), st.floats(0.01, 0.99))
def test_negative_binomial(least, successes, chance):
    wanted = stats.nbinom.sf(least - 1, successes, chance)
    assert negative_binomial(least, successes, chance) == pytest.approx(wanted, rel=1e-7)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 200_000), st.data())
def test_hypergeometric(total, data):
    marked, drawn = data.draw(st.integers(0, total)), data.draw(st.integers(0, total))
    law = stats.hypergeom(total, marked, drawn)
    near = drawn * marked // total + data.draw(st.integers(-3, 60))
    least = data.draw(st.sampled_from([0, near, min(marked, drawn), min(marked, drawn) + 1]))
    wanted = float(law.sf(least - 1))
    assume(wanted > 1e-280)
    found = hypergeometric(least, total=total, marked=marked, drawn=drawn)
    assert found == pytest.approx(wanted, rel=1e-6)


def test_hypergeometric_of_many_rows_stays_exact():
    law = stats.hypergeom(2_000_000, 300_000, 1_000_000)
    for least in (149_000, 150_000, 150_500, 151_500):
        found = hypergeometric(least, total=2_000_000, marked=300_000, drawn=1_000_000)
        assert found == pytest.approx(float(law.sf(least - 1)), rel=1e-5)


def test_even_bounds_change_nothing():
    assert bounded(3.0, 0.1, -1.0, 1.0) == 3.0
    assert bounded(-3.0, 0.05, -0.3, 1.0) == -3.0  # the lighter tail is left alone
    assert bounded(0.5, 0.3, -0.1, 1.0) == 0.5
    assert bounded(3.0, 0.0, -0.1, 1.0) == 3.0
    assert bounded(3.0, 9.0, -0.1, 1.0) == 3.0  # no law on these bounds varies so much


@pytest.mark.parametrize("deviation", [0.02, 0.05, 0.08])
@pytest.mark.parametrize("z", [1.5, 3.0, 4.0])
def test_a_bounded_tail_is_that_of_a_beta_law(z, deviation):
    size = 0.1 * 0.9 / deviation**2 - 1
    wanted = stats.beta.sf(0.1 + z * deviation, 0.1 * size, 0.9 * size)
    found = bounded(z, deviation, -0.1, 0.9)
    assert stats.norm.sf(found) == pytest.approx(max(wanted, stats.norm.sf(z)), rel=1e-6)
    assert bounded(-z, deviation, -0.9, 0.1) == -found
    assert found <= z


def test_the_mean_of_few_skewed_pieces_has_that_tail():
    rng = np.random.default_rng(0)
    pieces = 12
    means = ((rng.random((400_000, pieces)) - 0.5) ** 2).mean(axis=1)
    deviation = (1 / 180 / pieces) ** 0.5
    for z in (2.5, 3.0, 3.5):
        seen = np.mean(means > 1 / 12 + z * deviation)
        told = stats.norm.sf(bounded(z, deviation, -1 / 12, 1 / 6))
        assert 0.5 * seen < told < 3 * seen
        assert seen > 1.2 * stats.norm.sf(z)  # which the normal law would miss
