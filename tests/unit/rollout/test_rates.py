import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.rollout.rates import log_e_rate_is, rate_bounds


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.9])
def test_the_true_rate_is_ever_outside_with_alpha_at_most(rate):
    rng, outside = np.random.default_rng(0), 0
    for _ in range(300):
        events = np.cumsum(rng.random(2000) < rate)
        looks = [10, 30, 100, 300, 600, 1000, 1500, 2000]
        outside += any(
            log_e_rate_is(n, int(events[n - 1]), rate) >= math.log(1 / 0.05) for n in looks
        )
    assert outside <= 15


@given(units=st.integers(0, 3000), data=st.data(), alpha=st.floats(1e-4, 0.5))
@settings(max_examples=60, deadline=None)
def test_bounds_enclose_what_was_seen_and_end_where_rates_are_refuted(units, data, alpha):
    events = data.draw(st.integers(0, units))
    low, high = rate_bounds(units, events, alpha)
    seen = events / units if units else 0.5
    assert 0.0 <= low <= seen <= high <= 1.0
    for edge in (low, high):
        if 0.0 < edge < 1.0:
            assert log_e_rate_is(units, events, edge) == pytest.approx(
                math.log(1 / alpha), abs=1e-3
            )


def test_more_of_the_same_makes_bounds_narrower():
    widths = [high - low for low, high in (rate_bounds(n, n // 10, 0.05) for n in (20, 200, 2000))]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < 0.06


def test_rates_at_the_ends_are_possible_or_impossible():
    assert log_e_rate_is(10, 0, 0.0) < 0
    assert log_e_rate_is(10, 10, 1.0) < 0
    assert log_e_rate_is(10, 1, 0.0) == math.inf
    assert log_e_rate_is(10, 9, 1.0) == math.inf
    assert log_e_rate_is(10, 9, 1.2) == 0.0
    assert rate_bounds(10, 0, 0.05)[0] == 0.0
    assert rate_bounds(10, 10, 0.05)[1] == 1.0
