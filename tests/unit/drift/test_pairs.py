"""Rank correlations from sums agree with those from rows."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from lifecycle.drift import build_profile
from lifecycle.drift.pairs import MAX_COLUMNS, Pairs


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    one = rng.normal(size=3_000)
    two = one + rng.normal(size=3_000)
    two[rng.random(3_000) < 0.2] = np.nan
    return pl.DataFrame({"one": one, "two": two, "three": -np.exp(one), "flat": np.ones(3_000)})


def test_correlations_are_spearmans(frame):
    pairs = build_profile(frame).pairs
    found = pairs.correlations()
    known = ~np.isnan(frame["two"].to_numpy())
    exact = stats.spearmanr(frame["one"].to_numpy()[known], frame["two"].to_numpy()[known])
    assert found[0, 1] == pytest.approx(exact.statistic, abs=0.01)
    assert found[0, 2] == pytest.approx(-1.0, abs=0.001)
    assert np.isnan(found[0, 3])
    assert pairs.rows[0, 1] == known.sum()
    assert np.allclose(found, found.T, equal_nan=True)


def test_the_number_of_columns_is_bounded():
    frame = pl.DataFrame({f"x{n}": [1.0, 2.0, 3.0] for n in range(MAX_COLUMNS + 5)})
    assert len(build_profile(frame).pairs.names) == MAX_COLUMNS


def test_one_column_has_no_pairs():
    pairs = build_profile(pl.DataFrame({"x": [1.0, 2.0]})).pairs
    assert pairs.names == ()
    assert pairs.merge(Pairs()).correlations().shape == (0, 0)


def test_json_round_trip(frame):
    pairs = build_profile(frame).pairs
    again = Pairs.from_dict(pairs.to_dict())
    assert again.names == pairs.names
    assert again.sums.tolist() == pairs.sums.tolist()


def test_of_many_rows_evenly_spaced_ones_are_used():
    values = np.arange(250_000.0)
    pairs = build_profile(pl.DataFrame({"x": values, "y": -values})).pairs
    assert pairs.rows[0, 1] == 83_334
    assert pairs.correlations()[0, 1] == pytest.approx(-1.0)
