"""Another unit, coding or place is told; what drifts is not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.gates import units

MADE = {
    "normal": lambda rng, n: rng.normal(15.0, 8.0, n),
    "lognormal": lambda rng, n: rng.lognormal(3.0, 1.0, n),
    "gamma": lambda rng, n: rng.gamma(2.0, 10.0, n),
    "counts": lambda rng, n: rng.poisson(6.0, n).astype(float),
    "ages": lambda rng, n: rng.integers(18, 90, n).astype(float),
    "mostly zero": lambda rng, n: np.where(rng.random(n) < 0.6, 0.0, rng.lognormal(2.0, 1.0, n)),
}
GROSS = [10.0, 12.0, 24.0, 60.0, 100.0, 1000.0, 3600.0, 1e6]


@pytest.mark.parametrize("name", MADE)
@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.floats(-1.0, 1.0), st.floats(0.8, 1.25))
def test_drift_of_one_standard_deviation_is_no_other_unit(
    name: str, seed: int, shift: float, stretch: float
) -> None:
    rng = np.random.default_rng(seed)
    before, after = MADE[name](rng, 3000), MADE[name](rng, 400)
    after = (after - after.mean()) * stretch + after.mean() + shift * before.std() * 0.95
    assert units.number(before, after) == ""


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("part", ["low", "high", "middle"])
def test_half_of_the_customers_is_no_other_unit(name: str, part: str) -> None:
    rng = np.random.default_rng(4)
    after = np.sort(MADE[name](rng, 1200))
    half = {"low": after[:600], "high": after[600:], "middle": after[300:900]}[part]
    assert units.number(MADE[name](rng, 3000), half) == ""


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("factor", [*GROSS, *(1.0 / factor for factor in GROSS)])
def test_large_factor_is_another_unit_both_ways(name: str, factor: float) -> None:
    rng = np.random.default_rng(1)
    assert units.number(MADE[name](rng, 3000), MADE[name](rng, 300) * factor)


@pytest.mark.parametrize(
    "name", ["kilometres and miles", "pounds and kilograms", "feet and metres"]
)
@pytest.mark.parametrize("kind", ["gamma", "ages"])
def test_small_factor_is_named_where_rows_are_many(name: str, kind: str) -> None:
    rng = np.random.default_rng(2)
    for way in (item for item in units.CONVERSIONS if item.name == name):
        found = units.number(MADE[kind](rng, 4000), way.of(MADE[kind](rng, 2000)))
        assert found.startswith(name), way


def test_small_factor_is_left_alone_where_rows_are_few() -> None:
    rng = np.random.default_rng(3)
    miles = MADE["gamma"](rng, 60) / 1.609344
    assert units.number(MADE["gamma"](rng, 3000), miles) == ""


@pytest.mark.parametrize("back", [False, True])
def test_temperatures_are_named(back: bool) -> None:
    rng = np.random.default_rng(5)
    one, other = rng.normal(15.0, 8.0, 2000), rng.normal(16.0, 8.0, 300) * 1.8 + 32.0
    sides = (other, one) if back else (one, other)
    assert units.number(*sides).startswith("Fahrenheit and Celsius")


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 1000), st.floats(-6.0, 6.0))
def test_temperatures_that_also_drifted_are_told(seed: int, warmer: float) -> None:
    rng = np.random.default_rng(seed)
    celsius = rng.normal(15.0, 8.0, 3000)
    fahrenheit = (rng.normal(15.0, 8.0, 800) + warmer) * 1.8 + 32.0
    assert units.number(celsius, fahrenheit).startswith("Fahrenheit and Celsius")


@pytest.mark.parametrize(("winter", "summer"), [(0.0, 24.0), (2.0, 26.0), (35.0, 78.0)])
def test_summer_after_a_winter_is_no_other_unit(winter: float, summer: float) -> None:
    rng = np.random.default_rng(11)
    cold, warm = rng.normal(winter, 6.0, 3000), rng.normal(summer, 5.0, 800)
    assert units.number(cold, warm) == ""


def test_sign_and_place_are_told() -> None:
    rng = np.random.default_rng(6)
    delay = rng.gamma(2.0, 10.0, 2000)
    assert units.number(delay, -delay[:300]).startswith("the sign")
    stamps = rng.normal(2000.0, 3.0, 2000)
    assert "outside" in units.number(stamps, rng.normal(2100.0, 3.0, 200))
    assert units.number(stamps, rng.normal(2100.0, 3.0, 200), moves=True) == ""


def test_what_cannot_be_told_is_left_alone() -> None:
    rng = np.random.default_rng(7)
    values = rng.lognormal(3.0, 1.0, 2000)
    assert units.number(values, values[:29] * 100.0) == ""
    assert units.number(np.full(100, 3.0), np.full(100, 300.0)) == ""
    assert units.number(np.repeat(np.arange(1.0, 7.0), 50), np.full(300, 7.0)) == ""  # a new month
    assert units.number(values, np.full(500, 3.0)) == ""  # one request again and again


def test_codes_of_two_values() -> None:
    zero_one, one_two = np.tile([0.0, 1.0], 50), np.tile([1.0, 2.0, 2.0], 40)
    assert "0 and 1 only, the traffic has 2" in units.number(zero_one, one_two)
    rare = (np.arange(1000) < 50).astype(float)
    assert "turned round" in units.number(rare, 1.0 - rare)
    assert units.number(rare, (np.arange(1000) < 300).astype(float)) == ""


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (["BASIC"] * 60 + ["pro"] * 40, "another spelling: 'BASIC' for 'basic'"),
        ([" basic"] * 5 + ["pro"] * 95, "another spelling: ' basic' for 'basic'"),
        (["1"] * 60 + ["2"] * 40, "never had, such as '1' and '2'"),
        (["basic"] * 80 + ["trial"] * 20, ""),
        (["basic"] * 100, ""),
        (["pro"] * 29, ""),
    ],
)
def test_texts(after: list[str], said: str) -> None:
    found = units.levels(["basic"] * 70 + ["pro"] * 20 + ["team"] * 10, after)
    assert found == "" if not said else said in found


def test_names_that_are_always_new_are_no_other_coding() -> None:
    before, after = ([f"customer {i}" for i in range(at, at + 400)] for at in (0, 1000))
    assert units.levels(before, after) == ""


def test_training_with_both_spellings_has_none_of_its_own() -> None:
    assert units.levels(["a", "A"] * 40, ["a "] * 10 + ["a"] * 40) == ""


def test_turned_flags() -> None:
    before = ["False"] * 190 + ["True"] * 10
    assert "turned round" in units.levels(before, ["True"] * 190 + ["False"] * 10)
    assert units.levels(before, ["True"] * 60 + ["False"] * 140) == ""


def test_numbers_as_texts_may_gain_a_point() -> None:
    assert "'1.0' for '1'" in units.levels(["1", "2"] * 30, ["1.0", "2.0", "1.0"] * 20)


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(4)), st.integers(0, 1000))
def test_columns_in_one_anothers_places_are_found_exactly(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = [rng.normal(10.0 * at, 3.0, 500) for at in range(4)]
    after = [rng.normal(10.0 * at, 3.0, 200) for at in order]
    moved = {at for at in range(4) if order[at] != at}
    cycles = list(units.permuted(before, after))
    assert {at for cycle in cycles for at in cycle} == moved
    for cycle in cycles:
        assert [order[at] for at in cycle] == [*cycle[1:], cycle[0]]


def test_columns_that_drift_are_in_no_ones_place() -> None:
    rng = np.random.default_rng(8)
    for _ in range(30):
        before = [rng.normal(at, 1.0, 800) for at in (0.0, 0.5, 1.0, 3.0)]
        after = [rng.normal(at + rng.uniform(-1, 1), 1.0, 200) for at in (0.0, 0.5, 1.0, 3.0)]
        assert not list(units.permuted(before, after))


def test_columns_whose_order_turned_stand_for_one_another() -> None:
    rng = np.random.default_rng(9)
    start, later = rng.normal(10.0, 4.0, 900), rng.normal(10.5, 4.0, 300)
    stop, then = start + rng.gamma(2.0, 1.0, 900), later + rng.gamma(2.0, 1.0, 300)
    assert units.turned((start, stop), (then, later))
    assert not units.turned((start, stop), (later, then))
    assert not units.turned((start, stop), (then[:20], later[:20]))
    gaps = np.where(np.arange(300) % 3 == 0, np.nan, later)
    assert units.turned((start, stop), (then, gaps))
    other = rng.normal(10.0, 4.0, 900)
    assert not units.turned((start, other), (other[:300], start[:300])), "no order to turn"
    assert not units.turned((start, start + 30.0), (later, later - 30.0)), "no one's place"


def test_month_of_two_is_no_flag() -> None:
    january, march = np.tile([1.0, 2.0], 100), np.full(90, 3.0)
    assert units.number(january, march) == ""
    assert "0 and 1" in units.number(np.tile([0.0, 1.0], 50), np.tile([1.0, 2.0], 50))


def test_no_columns_no_cycles() -> None:
    assert list(units.permuted([], [])) == []
    assert list(units.permuted([np.arange(5.0)], [np.arange(5.0)])) == []


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_distance_is_symmetric_and_between_0_and_1(one: list[float], two: list[float]) -> None:
    a, b = np.array(one), np.array(two)
    assert units.distance(a, a) == 0.0
    assert units.distance(a, b) == pytest.approx(units.distance(b, a))
    assert 0.0 <= units.distance(a, b) <= 1.0
