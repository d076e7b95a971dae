"""Several small shifts that no column could show alone are found together, and no more often."""

import numpy as np
import polars as pl
import pytest

from lifecycle.drift import build_profile, compare_frames
from lifecycle.drift.omnibus import moved_together, together
from lifecycle.drift.pairs import Pairs
from lifecycle.drift.sharing import SHARES


@pytest.mark.parametrize("correlated", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("limit", [0.05, 0.002])
def test_it_rejects_no_more_often_than_asked(correlated, limit):
    rng = np.random.default_rng(0)
    size, draws = 20, 6_000
    matrix = np.full((size, size), correlated) + (1 - correlated) * np.eye(size)
    values = rng.multivariate_normal(np.zeros(size), matrix, draws)
    rate = np.mean([together(z, matrix, limit=limit) is not None for z in values])
    assert rate < 1.5 * limit + 3 * (limit / draws) ** 0.5


def test_it_names_the_columns_without_which_the_rest_is_chance():
    z = np.array([0.3, 4.9, -0.5, -4.8, 0.2, 4.7])
    found = together(z, np.eye(6), limit=0.001)
    assert found.places == (1, 3, 5)
    assert found.p_value < 1e-6
    assert together(z * 0.3, np.eye(6), limit=0.001) is None


def test_columns_that_say_the_same_count_once():
    z = np.full(20, 2.2)
    assert together(z, np.eye(20), limit=1e-3) is not None
    assert together(z, np.ones((20, 20)), limit=1e-3) is None


def test_too_few_columns_are_no_crowd():
    assert moved_together(Pairs(), {}, {}, limit=0.5) == ((), 1.0)


def rows(seed, many, shift=0.0):
    values = np.random.default_rng(seed).normal(size=(many, 16))
    values[:, :8] += shift
    return pl.DataFrame({f"x{place}": values[:, place] for place in range(16)})


@pytest.fixture(scope="module")
def reference():
    return build_profile(rows(0, 10_000))


def test_shifts_too_small_alone_are_found_together(reference):
    found = [compare_frames(reference, rows(seed, 200, 0.2)) for seed in range(1, 21)]
    assert sum(report.drifted for report in found) >= 18
    told = [text for report in found for text in report.reasons if " together with " in text]
    assert told
    assert all(text.startswith("x") and " alone, p " in text for text in told)


def test_unchanged_tables_are_calm(reference):
    drifted = sum(compare_frames(reference, rows(seed, 200)).drifted for seed in range(100, 180))
    assert drifted <= 3


def test_many_tiny_shifts_of_many_rows_do_not_matter():
    report = compare_frames(build_profile(rows(0, 100_000)), rows(1, 100_000, 0.03))
    assert not report.drifted


def test_it_spends_its_own_part_of_alpha():
    assert 0 < SHARES["together"] < SHARES["location"]
