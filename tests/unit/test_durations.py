from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.durations import duration, spoken
from lifecycle.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("90s", 90),
        ("5m", 300),
        ("1.5h", 5400),
        ("6 h", 21_600),
        ("1D", 86_400),
        ("2w", 1_209_600),
        ("1h30m", 5400),
        (" 1d 12h ", 129_600),
    ],
)
def test_a_length_is_read(text: str, seconds: float):
    assert duration(text, "every") == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "m", "-5m", "0s", "5 minutes", "1d,2h", "1e3s", "1y", "nan", "999999999999w"]
)
def test_what_is_no_length_is_refused_with_the_forms(text: str):
    with pytest.raises(ConfigError, match=r"'every' is .*, which is no length .* 90s, 5m, 6h, 1d"):
        duration(text, "every")


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 10_000), st.sampled_from("smhdw"))
def test_a_number_scales_its_unit(number: int, unit: str):
    assert duration(f"{number}{unit}", "every") == number * duration(f"1{unit}", "every")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "0.5 s"), (60, "1 min"), (5400, "1.5 h"), (90_000, "25 h"), (864_000, "10 days")],
)
def test_a_length_is_spoken(seconds: float, text: str):
    assert spoken(timedelta(seconds=seconds)) == text
