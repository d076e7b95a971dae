"""Scores from counts: as near as they say, whatever the rows were."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.drift import Profile, build_profile, compare_frames
from lifecycle.drift.bounds import Shares, from_profiles
from lifecycle.drift.scores import exact


def both(reference, current):
    """Scores from the profiles and of all rows of one column."""
    frames = [pl.DataFrame({"x": side}, strict=False) for side in (reference, current)]
    profile = build_profile(frames[0])
    live = build_profile(frames[1], like=profile)
    return from_profiles(profile.columns["x"], live.columns["x"]), exact(
        frames[0]["x"], frames[1]["x"]
    )


def holds(counted, wanted):
    for name, figure in counted.figures.items():
        near = counted.bounds[name] + 1e-9 * max(1.0, abs(figure))
        assert counted.bounds[name] >= 0.0
        assert abs(figure - wanted.figures[name]) <= near, name


NUMBER = st.one_of(
    st.floats(-1e3, 1e3),
    st.integers(-30, 30).map(float),
    st.floats(-1e9, 1e9),
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0]),
)
SIDE = st.lists(NUMBER, min_size=1, max_size=120).filter(lambda side: np.isfinite(side).any())


@settings(max_examples=150, deadline=None)
@given(SIDE, SIDE)
def test_the_bound_holds_for_any_numbers(reference, current):
    counted, wanted = both(reference, current)
    assert counted is not None
    holds(counted, wanted)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.floats(-3, 3),
    st.floats(0.05, 4),
    st.sampled_from(["normal", "exponential", "clipped", "rounded", "whole"]),
    st.integers(1, 700),
)
def test_the_bound_holds_for_many_rows(seed, shift, spread, shape, rows):
    rng = np.random.default_rng(seed)

    def draw(size, shift, spread):
        values = rng.normal(shift, spread, size)
        if shape == "exponential":
            return np.exp(values)
        if shape == "clipped":
            return np.clip(values, -1, 1)
        return np.round(values, 1) if shape == "rounded" else np.rint(values * 8)

    if shape == "normal":
        sides = rng.normal(size=900), rng.normal(shift, spread, rows)
    else:
        sides = draw(900, 0, 1), draw(rows, shift, spread)
    if shape == "whole":
        sides = tuple(side.astype(np.int64) for side in sides)
    holds(*both(*sides))


LEVEL = st.sampled_from([*"abcdefghij", None])


@settings(max_examples=80, deadline=None)
@given(st.lists(LEVEL, min_size=1, max_size=80), st.lists(LEVEL, min_size=1, max_size=80))
def test_the_bound_holds_for_any_levels(reference, current):
    if not any(reference) or not any(current):
        return
    counted, wanted = both(reference, current)
    holds(counted, wanted)
    assert counted.bounds["jensenshannon"] <= 1e-12  # new levels add what they add, split or not
    if set(current) <= set(reference):
        assert counted.figures["psi"] == pytest.approx(wanted.figures["psi"], rel=1e-9, abs=1e-12)


def test_the_bound_holds_for_more_levels_than_are_kept():
    rng = np.random.default_rng(0)
    levels = [f"l{place}" for place in range(400)]
    sides = [
        rng.choice(levels, 9000, p=share / share.sum())
        for share in (1 / np.arange(1, 401), 1 / np.arange(3, 403))
    ]
    counted, wanted = both(*sides)
    holds(counted, wanted)
    assert counted.bounds["jensenshannon"] < 0.2


def test_scores_from_profiles_are_near():
    rng = np.random.default_rng(0)
    counted, wanted = both(rng.normal(size=20_000), rng.normal(0.4, 1.2, 20_000))
    for name in ("wasserstein", "jensenshannon"):
        assert counted.figures[name] == pytest.approx(wanted.figures[name], rel=0.1)
    assert counted.bounds["wasserstein"] < 0.2


@pytest.mark.parametrize("rows", [300, 4000])
def test_few_different_numbers_are_known_exactly(rows):
    rng = np.random.default_rng(rows)
    sides = rng.integers(0, 9, rows) / 4, rng.integers(1, 9, rows // 2) / 4
    counted, wanted = both(*sides)
    assert counted.name == wanted.name
    for name, figure in counted.figures.items():
        assert figure == pytest.approx(wanted.figures[name], rel=1e-9), name
        assert counted.bounds[name] == pytest.approx(0.0, abs=1e-9)


def test_whole_numbers_up_to_64_are_known_exactly():
    rng = np.random.default_rng(0)
    counted, wanted = both(rng.integers(0, 60, 5000) * 1.5, rng.integers(10, 60, 900) * 1.5)
    for name, figure in counted.figures.items():
        assert figure == pytest.approx(wanted.figures[name], rel=1e-9), name
        assert counted.bounds[name] == pytest.approx(0.0, abs=1e-9)


def test_a_live_end_at_exactly_zero_is_an_end():
    rng = np.random.default_rng(0)
    for sign in (1.0, -1.0):
        values = sign * rng.uniform(5.0, 9.0, 2000)
        live = np.where(rng.random(2000) < 0.5, 0.0, values)
        near = np.where(live == 0.0, sign * 1e-9, live)
        one, two = (both(values, side)[0].figures["wasserstein"] for side in (live, near))
        assert one == pytest.approx(two, rel=1e-6)


def test_kinds_that_differ_and_sides_without_a_value_have_no_score():
    frame = pl.DataFrame({"x": [1.0, 2.0], "c": ["a", "b"], "n": [None, None]})
    columns = build_profile(frame).columns
    assert from_profiles(columns["x"], columns["c"]) is None
    assert from_profiles(columns["n"], columns["n"]) is None
    empty = build_profile(frame[:0].cast({"n": pl.Float64}), like=build_profile(frame))
    assert from_profiles(columns["x"], empty.columns["x"]) is None
    assert from_profiles(columns["c"], empty.columns["c"]) is None


def test_sums_beyond_all_numbers_have_no_distance_and_can_be_stored():
    wide = pl.DataFrame({"x": np.linspace(-1e300, 1e300, 300)})
    profile = Profile.loads(build_profile(wide).dumps())
    found = from_profiles(profile.columns["x"], profile.columns["x"])
    assert "wasserstein" not in found.figures
    assert compare_frames(profile, wide).columns["x"].scores["psi"] >= 0.0


def test_profiles_of_earlier_versions_claim_less():
    import json

    tree = json.loads(build_profile(pl.DataFrame({"x": [1.0, 2.0, 2.0] * 30})).dumps())
    for column in tree["columns"]:
        del column["infinite"]
    old = Profile.loads(json.dumps(tree)).columns["x"]
    assert old.infinite == (0, 0)
    assert not old.complete
    holds(from_profiles(old, old), exact(*[pl.Series([1.0, 2.0, 2.0] * 30)] * 2))


def test_the_stand_in_for_nothing_is_the_sides_own():
    sure = Shares(np.array([0.5, 0.0]), np.array([0.5, 0.0]), (0.5, 0.5), 10)
    assert sure.fill == (1e-4, 1e-4)
    rare = Shares(np.array([1 - 1e-5, 1e-5, 0.0]), np.array([1 - 1e-5, 1e-5, 0.0]), (0.0, 0.0), 10)
    assert rare.fill == pytest.approx((1e-11, 1e-11))
    low, high = rare.filled()
    assert low.tolist() == high.tolist() == pytest.approx([1 - 1e-5, 1e-5, 1e-11])


def test_the_report_of_a_stored_profile_shows_bounds():
    rng = np.random.default_rng(0)
    profile = build_profile(pl.DataFrame({"x": rng.normal(size=3000)}))
    live = pl.DataFrame({"x": rng.normal(0.5, 1, 2000)})
    column = compare_frames(profile, live).columns["x"]
    assert column.score == column.scores["wasserstein"]
    assert 0.0 < column.bounds["wasserstein"] < 0.2
    assert set(column.bounds) == set(column.scores)
