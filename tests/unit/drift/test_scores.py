"""The scores are Evidently's definitions; from profiles they come close."""

import numpy as np
import polars as pl
import pytest
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
