"""The scores are Evidently's definitions; from profiles they come close."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from lifecycle.drift import build_profile
from lifecycle.drift.scores import exact, from_profiles


@pytest.fixture
def sides():
    rng = np.random.default_rng(0)
    return (
        pl.DataFrame({"x": rng.normal(size=3_000), "c": rng.choice(["a", "b", "c"], 3_000)}),
        pl.DataFrame({"x": rng.normal(0.4, 2, 1_000), "c": rng.choice(["a", "b", "d"], 1_000)}),
    )


def test_wasserstein_is_scipys_over_the_deviation(sides):
    one, two = (side["x"].to_numpy() for side in sides)
    value, name = exact(sides[0]["x"], sides[1]["x"])
    assert name == "wasserstein"
    assert value == pytest.approx(wasserstein_distance(one, two) / one.std(), rel=1e-9)


def test_jensen_shannon_is_scipys(sides):
    value, name = exact(sides[0]["c"], sides[1]["c"])
    shares = [[(side["c"] == level).mean() for level in "abcd"] for side in sides]
    assert name == "jensenshannon"
    assert value == pytest.approx(jensenshannon(*shares), rel=1e-9)


def test_few_numbers_are_levels():
    value, name = exact(pl.Series([0, 1, 1, 0]), pl.Series([0, 0, 0, 2]))
    assert name == "jensenshannon"
    assert value == pytest.approx(jensenshannon([0.5, 0.5, 0], [0.75, 0, 0.25]))


def test_null_and_infinite_values_are_left_out(sides):
    dirty = pl.concat([sides[1]["x"], pl.Series("x", [None, np.inf, -np.inf, np.nan])])
    assert exact(sides[0]["x"], dirty) == exact(sides[0]["x"], sides[1]["x"])
    assert exact(sides[0]["x"], pl.Series([None, None], dtype=pl.Float64)) is None
    assert exact(pl.Series(["a"]), pl.Series([None], dtype=pl.String)) is None


def test_profiles_come_close(sides):
    reference = build_profile(sides[0])
    live = build_profile(sides[1], like=reference)
    value, name = from_profiles(reference.columns["x"], live.columns["x"])
    assert name == "wasserstein"
    assert value == pytest.approx(exact(sides[0]["x"], sides[1]["x"])[0], rel=0.25)
    assert from_profiles(reference.columns["c"], live.columns["c"])[0] == pytest.approx(
        exact(sides[0]["c"], sides[1]["c"])[0]
    )


def evidently(reference, current):
    """Evidently 0.7's choice and figure, from its documentation, with pandas-like counting."""
    one, two = (np.array([x for x in side if np.isfinite(x)]) for side in (reference, current))
    if len(set(one.tolist())) > 5:
        return wasserstein_distance(one, two) / max(np.std(one), 0.001), "wasserstein"
    every = sorted({*one.tolist(), *two.tolist()})
    shares = [[np.mean(side == value) for value in every] for side in (one, two)]
    return jensenshannon(*shares), "jensenshannon"


NUMBER = st.one_of(st.floats(-1e4, 1e4), st.integers(-3, 3).map(float), st.just(np.nan))


def some(values):
    return any(np.isfinite(values))


@settings(max_examples=120, deadline=None)
@given(
    st.lists(NUMBER, min_size=1, max_size=60).filter(some),
    st.lists(NUMBER, min_size=1, max_size=60).filter(some),
)
def test_any_numbers_have_evidentlys_score(reference, current):
    value, name = exact(pl.Series(reference), pl.Series(current))
    wanted, test = evidently(reference, current)
    assert name == test
    assert value == pytest.approx(wanted, rel=1e-6, abs=1e-7)


LEVELS = st.lists(st.sampled_from(["a", "b", "c", "", "é", None]), min_size=1, max_size=50).filter(
    any
)


@settings(max_examples=80, deadline=None)
@given(LEVELS, LEVELS)
def test_any_levels_have_evidentlys_score_from_rows_and_from_counts(reference, current):
    sides = [[value for value in side if value is not None] for side in (reference, current)]
    every = sorted({*sides[0], *sides[1]})
    wanted = jensenshannon(*[[side.count(value) / len(side) for value in every] for side in sides])
    one, two = (pl.Series("x", side, dtype=pl.String) for side in (reference, current))
    assert exact(one, two)[0] == pytest.approx(wanted, abs=1e-7)
    profile = build_profile(one.to_frame())
    if profile.columns["x"].kind == "categorical" and not set(sides[1]) - set(sides[0]):
        live = build_profile(two.to_frame(), like=profile)
        found = from_profiles(profile.columns["x"], live.columns["x"])[0]
        assert found == pytest.approx(wanted, abs=1e-7)


@settings(max_examples=40, deadline=None)
@given(LEVELS, LEVELS)
def test_the_distance_of_levels_is_a_distance(reference, current):
    one, two = (pl.Series("x", side, dtype=pl.String) for side in (reference, current))
    there, back = exact(one, two)[0], exact(two, one)[0]
    assert there == pytest.approx(back, abs=1e-9)
    assert 0.0 <= there <= np.sqrt(np.log(2)) + 1e-9
    assert exact(one, one)[0] == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("distinct", [1, 5, 6, 7])
def test_numbers_are_levels_up_to_five_different_ones(distinct):
    values = pl.Series("x", [float(row % distinct) for row in range(420)])
    live = pl.Series("x", [float(row % distinct) + 0.5 for row in range(100)])
    name = exact(values, live)[1]
    assert name == ("jensenshannon" if distinct <= 5 else "wasserstein")
    profile = build_profile(values.to_frame())
    counted = build_profile(live.to_frame(), like=profile)
    assert from_profiles(profile.columns["x"], counted.columns["x"])[1] == name


def test_few_values_are_counted_in_all_rows_not_in_the_first():
    late = pl.Series("x", [0.0] * 2000 + [float(row) for row in range(10)])
    assert exact(late, late)[1] == "wasserstein"


def test_a_constant_reference_is_divided_by_a_thousandth_as_evidently_does():
    flat = [7.0] * 50 + [7.0 + 1e-7 * step for step in range(6)]
    value, name = exact(pl.Series(flat), pl.Series([8.0] * 20))
    assert name == "wasserstein"
    assert value == pytest.approx(1000.0, rel=1e-3)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_live_end_at_exactly_zero_is_an_end(sign):
    rng = np.random.default_rng(0)
    values = sign * rng.uniform(5.0, 9.0, 2000)
    live = np.where(rng.random(2000) < 0.5, 0.0, values)
    near = np.where(live == 0.0, sign * 1e-9, live)
    frames = [pl.DataFrame({"x": side}) for side in (values, live, near)]
    profile = build_profile(frames[0])
    zero, beside = (
        from_profiles(profile.columns["x"], build_profile(side, like=profile).columns["x"])[0]
        for side in frames[1:]
    )
    assert zero == pytest.approx(beside, rel=1e-6)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.floats(-1.5, 1.5), st.floats(0.3, 1.2))
def test_counts_come_close_to_all_rows_while_most_are_in_range(seed, shift, spread):
    rng = np.random.default_rng(seed)
    frames = [pl.DataFrame({"x": rng.normal(size=2000)})]
    frames.append(pl.DataFrame({"x": rng.normal(shift, spread, 1500)}))
    profile = build_profile(frames[0])
    live = build_profile(frames[1], like=profile)
    found = from_profiles(profile.columns["x"], live.columns["x"])[0]
    wanted = exact(frames[0]["x"], frames[1]["x"])[0]
    assert found == pytest.approx(wanted, rel=0.35, abs=0.06)
