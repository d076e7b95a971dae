"""Evidence of numbers: sums, sides, keys, and that the level holds for any values."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lifecycle.rollout.numbers import (
    before,
    contrast,
    contrasts,
    difference_interval,
    log_e_difference,
    log_e_differences,
    log_normal,
    precision,
)

LIMIT = math.log(20.0)
SUMS = st.tuples(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.floats(1e-3, 1e6))
few = settings(max_examples=25, deadline=None)


def drawn(rng, size, *, share=0.05, by=0.0, values=None):
    arm = rng.random(size) < share
    drawn_values = rng.normal(3.0, 0.6, size) if values is None else values
    return drawn_values + by * arm, arm


def test_the_sums_are_what_the_formulas_say():
    y, a, p = [1.0, 4.0, 2.0], [True, False, True], [0.5, 0.25, 0.25]
    s, v, w = contrast(y, a, p)
    rest = [0.0, 3.0, 2.0 - 2.5]
    z = [0.0, -0.25 * 3.0, 0.75 * -0.5]
    expected = [0.0, 0.1875 * 9.0, 0.1875 * 0.25]
    assert s == pytest.approx(sum(z))
    assert v == pytest.approx((sum(item**2 for item in z) + 2 * sum(expected)) / 3)
    assert w == pytest.approx(0.25 + 2 * 0.1875)
    assert rest[1] == y[1] - y[0]


def test_a_mean_is_of_the_window_before_and_never_of_the_value_itself():
    values = np.arange(10.0)
    assert before(values, 3).tolist() == [0.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    table = np.stack([values, values[::-1]])
    assert before(table, 4)[1].tolist() == before(values[::-1], 4).tolist()
    assert before(np.array([5.0]), 3).tolist() == [5.0]


def test_large_levels_lose_no_digits():
    rng = np.random.default_rng(0)
    values, arm = drawn(rng, 5000)
    plain, shifted = (contrast(values + level, arm, 0.05) for level in (0.0, 1e9))
    assert shifted == pytest.approx(plain, rel=1e-4)


def test_values_that_are_none_are_left_out():
    rng = np.random.default_rng(1)
    values, arm = drawn(rng, 400)
    holes = np.insert(values, [3, 80, 200], [np.nan, np.inf, -np.inf])
    spread = np.insert(arm, [3, 80, 200], True)
    assert contrast(holes, spread, 0.05) == pytest.approx(contrast(values, arm, 0.05))
    assert contrast([np.nan, np.inf], [True, False], 0.5) == (0.0, 0.0, 0.0)
    assert contrast([], [], 0.5) == (0.0, 0.0, 0.0)


def test_steps_add_up_to_the_whole():
    rng = np.random.default_rng(2)
    values, arm = drawn(rng, 3000)
    steps = np.repeat([0, 2, 3], 1000)
    for units in (None, rng.integers(0, 40, 3000)):
        parts = contrasts(values, arm, 0.05, units, steps)
        assert sorted(parts) == [0, 2, 3]
        sums = [sum(part[at] for part in parts.values()) for at in range(3)]
        assert sums == pytest.approx(contrast(values, arm, 0.05, units))


def test_labels_of_keys_may_be_anything():
    values, arm = [1.0, 5.0, 2.0, 8.0], [True, True, False, False]
    texts = contrast(values, arm, 0.5, ["a", "a", "b", "b"])
    numbers = contrast(values, arm, 0.5, np.array([7, 7, 3, 3]))
    assert texts == pytest.approx(numbers)


def test_requests_of_one_key_do_not_pretend_to_be_many():
    rng = np.random.default_rng(3)
    keys = np.repeat(np.arange(100), 40)
    order = rng.permutation(keys.size)
    keys = keys[order]
    arm = (rng.random(100) < 0.3)[keys]
    values = rng.normal(0.0, 1.0, 100)[keys] + rng.normal(0.0, 0.1, keys.size)
    _, alone, _ = contrast(values, arm, 0.3)
    _, together, _ = contrast(values, arm, 0.3, keys)
    assert together > 20 * alone


def test_each_request_its_own_key_is_as_no_keys():
    rng = np.random.default_rng(4)
    values, arm = drawn(rng, 500)
    own = contrast(values, arm, 0.05, np.arange(500))
    assert own == pytest.approx(contrast(values, arm, 0.05))


@few
@given(SUMS, st.floats(-10.0, 10.0))
def test_the_sides_are_mirrored(sums, against):
    s, v, w = sums
    above = log_e_difference(s, v, w, against=against, side="above")
    assert above == pytest.approx(log_e_difference(-s, v, w, against=-against, side="below"))
    both = log_e_difference(s, v, w, against=against, side="both")
    assert both == pytest.approx(log_e_difference(-s, v, w, against=-against, side="both"))


@few
@given(SUMS, st.floats(0.001, 1e3))
def test_evidence_rises_with_the_sum(sums, more):
    s, v, w = sums
    worse = log_e_difference(s + more, v, w, against=0.0, side="above")
    assert worse >= log_e_difference(s, v, w, against=0.0, side="above")


@few
@given(SUMS, st.sampled_from([0.05, 0.001]))
def test_the_interval_holds_the_estimate_and_ends_where_the_test_does(sums, alpha):
    s, v, w = sums
    low, high = difference_interval(s, v, w, alpha)
    assert low <= s / w <= high
    limit = math.log(1.0 / alpha)
    for edge in (low, high):
        found = log_e_difference(s, v, w, against=edge, side="both")
        assert found == pytest.approx(limit, rel=1e-6)


@few
@given(SUMS, st.floats(0.01, 100.0))
def test_another_unit_changes_nothing(sums, factor):
    s, v, w = sums
    scaled = log_e_difference(s * factor, v * factor**2, w, against=0.0, side="above")
    assert scaled == pytest.approx(log_e_difference(s, v, w, against=0.0, side="above"))


@pytest.mark.parametrize(
    "sums", [(0.0, 0.0, 0.0), (0.0, 0.0, 5.0), (1e-300, 1e-300, 1.0), (1e150, 1e300, 1e9)]
)
def test_extreme_sums_stay_numbers(sums):
    for side in ("above", "below", "both"):
        assert math.isfinite(log_e_difference(*sums, against=0.0, side=side))
    low, high = difference_interval(*sums, 0.05)
    assert low <= high


def test_what_has_no_spread_proves_nothing():
    sums = contrast([2.0] * 50, [True, False] * 25, 0.5)
    assert sums[:2] == (0.0, 0.0)
    assert log_e_difference(*sums, against=0.1, side="below") == 0.0
    assert difference_interval(*sums, 0.05) == (-math.inf, math.inf)
    assert precision(1.0, 0.0) == 0.0


def test_a_given_precision_is_taken():
    s, v, w = 3.0, 4.0, 10.0
    formula = 0.5 * math.log(2.0 / 6.0) + s**2 / 12.0
    found = log_e_difference(s, v, w, against=0.0, side="both", rho=2.0)
    assert found == pytest.approx(formula)
    half = math.sqrt(6.0 * math.log(6.0 / (2.0 * 0.05**2))) / w
    expected = pytest.approx((s / w - half, s / w + half))
    assert difference_interval(s, v, w, 0.05, rho=2.0) == expected


def test_one_side_is_the_mixture_of_half_a_normal():
    s, v, rho = 2.5, 4.0, 3.0
    lambdas = np.linspace(0.0, 12.0, 200_001)
    density = 2.0 * stats.norm(0.0, 1.0 / math.sqrt(rho)).pdf(lambdas)
    mean = np.trapezoid(density * np.exp(lambdas * s - lambdas**2 * v / 2.0), lambdas)
    found = log_e_difference(s, v, 1.0, against=0.0, side="above", rho=rho)
    assert found == pytest.approx(math.log(mean), rel=1e-6)


@pytest.mark.parametrize("x", [-300.0, -40.0, -25.0, -24.9, -3.0, 0.0, 5.0, 40.0])
def test_the_tail_of_the_normal_is_exact(x):
    assert float(log_normal(x)) == pytest.approx(float(stats.norm.logcdf(x)), rel=1e-9, abs=1e-15)


def alarms(seed, rollouts, draw, *, by=0.0, share=0.02, looks=8, per_look=250):
    """The share of rollouts in which an alarm is raised at any look."""
    hits = 0
    for at in range(rollouts):
        rng = np.random.default_rng([seed, at])
        values, arm = drawn(rng, looks * per_look, share=share, by=by, values=draw(rng))
        for end in range(per_look, looks * per_look + 1, per_look):
            realised = arm[:end].mean()
            sums = contrast(values[:end], arm[:end], realised)
            if log_e_difference(*sums, against=0.0, side="above") >= LIMIT:
                hits += 1
                break
    return hits / rollouts


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.normal(size=2000),
        lambda rng: rng.pareto(1.5, 2000),  # of infinite variance, with very few in the arm
        lambda rng: rng.normal(size=2000) + np.linspace(0.0, 5.0, 2000),
    ],
    ids=["normal", "pareto", "drifting"],
)
def test_identical_arms_raise_no_more_than_alpha_alarms(draw):
    assert alarms(7, 200, draw) <= 0.05


def test_a_difference_is_found():
    assert alarms(8, 60, lambda rng: rng.normal(size=2000), by=0.8, share=0.1) > 0.9


def test_the_interval_covers_the_difference_at_all_looks():
    missed = 0
    for at in range(100):
        rng = np.random.default_rng([9, at])
        values, arm = drawn(rng, 4000, share=0.2, by=0.3)
        for end in range(500, 4001, 500):
            low, high = difference_interval(
                *contrast(values[:end], arm[:end], arm[:end].mean()), 0.05
            )
            if not low <= 0.3 <= high:
                missed += 1
                break
    assert missed / 100 <= 0.05


def test_many_rollouts_at_once_are_each_as_alone():
    rng = np.random.default_rng(10)
    s, v, w = rng.normal(size=(4, 6)), rng.random((4, 6)), rng.random((4, 6))
    many = log_e_differences(s, v, w, against=0.2, side="below")
    alone = log_e_difference(s[1, 2], v[1, 2], w[1, 2], against=0.2, side="below")
    assert many[1, 2] == pytest.approx(alone)
