"""Intervals keep the range of their figure."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.models.influence import Estimate
from lifecycle.models.intervals import interval_of

RANGES = {"unit": (0, 1), "wilson": (0, 1), "positive": (0, np.inf), "below_one": (-np.inf, 1)}


@given(st.floats(0.001, 0.999), st.floats(1e-6, 10), st.floats(2, 1e6), st.floats(0.5, 0.999))
@settings(max_examples=80, deadline=None)
@pytest.mark.parametrize("scale", [*RANGES, "free"])
def test_interval_holds_its_value_within_the_range(
    scale: str, value: float, error: float, rows: float, level: float
) -> None:
    low, high = interval_of(Estimate(value, np.array([error]), rows), scale, level)
    assert low is not None
    assert high is not None
    assert low <= value + 1e-12
    assert high >= value - 1e-12
    least, most = RANGES.get(scale, (-np.inf, np.inf))
    assert low >= least
    assert high <= most


@pytest.mark.parametrize(("error", "rows"), [(np.nan, 50.0), (0.1, 1.0)])
def test_what_one_row_carries_has_none(error: float, rows: float) -> None:
    assert interval_of(Estimate(0.5, np.array([error]), rows), "free", 0.95) == (None, None)


def test_higher_level_is_wider_and_fewer_rows_too() -> None:
    few, many = (Estimate(0.5, np.array([0.1]), rows) for rows in (4.0, 400.0))

    def width(estimate: Estimate, level: float) -> float:
        low, high = interval_of(estimate, "free", level)
        assert low is not None
        assert high is not None
        return high - low

    assert width(many, 0.99) > width(many, 0.95)
    assert width(few, 0.95) > 1.4 * width(many, 0.95)
