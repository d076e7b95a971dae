from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.drift.spending import LEAST, MOST, YEAR, alpha_of
from lifecycle.errors import ConfigError

SECONDS = st.integers(1, 10_000_000)


def test_daily_checks_of_a_year_spend_what_was_asked_for():
    day = alpha_of(timedelta(days=1), alarms_per_year=4)
    assert 365.25 * day == pytest.approx(4)


@settings(max_examples=50, deadline=None)
@given(st.lists(SECONDS, min_size=1, max_size=20), st.floats(0.01, 3), st.integers(1, 9))
def test_however_a_period_is_cut_it_spends_the_same(lengths, rate, models):
    windows = [timedelta(seconds=item) for item in lengths]
    each = [alpha_of(item, alarms_per_year=rate, models=models) for item in windows]
    allowed = rate * (sum(windows, timedelta(0)) / YEAR) / models
    assert sum(each) <= allowed + LEAST * len(each)
    if max(each) < MOST and min(each) > LEAST:
        assert sum(each) == pytest.approx(allowed)


@settings(max_examples=50, deadline=None)
@given(SECONDS, st.floats(1e-6, 1e6), st.integers(0, 10_000))
def test_alpha_is_a_probability_and_more_models_share_it(seconds, rate, models):
    alpha = alpha_of(timedelta(seconds=seconds), alarms_per_year=rate, models=models)
    assert LEAST <= alpha <= MOST
    more = alpha_of(timedelta(seconds=seconds), alarms_per_year=rate, models=models + 1)
    assert more <= alpha


def test_a_window_of_a_moment_can_still_be_tested():
    assert alpha_of(timedelta(0), alarms_per_year=1) == LEAST
    assert alpha_of(timedelta(days=-3), alarms_per_year=1) == LEAST, "clocks that went back"


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_no_alarms_at_all_cannot_be_asked_for(rate):
    with pytest.raises(ConfigError, match=r"write a number above 0"):
        alpha_of(timedelta(days=1), alarms_per_year=rate)
