"""The scores are Evidently's, figure for figure; its own functions are asked."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from lifecycle.drift import compare_frames
from lifecycle.drift.columns import Ordered
from lifecycle.drift.scores import _area, area, bins, exact, jensen_shannon

NAMES = ("wasserstein", "jensenshannon", "psi")


def evidently(reference, current, *, levels=False):
    """What Evidently's functions answer, and which of them it chooses for 1,001 rows and more."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.legacy.calculations import stattests
        from evidently.legacy.core import ColumnType
    kind = ColumnType.Categorical if levels else ColumnType.Numerical
    sides = [
        pd.Series(side).replace([-np.inf, np.inf], np.nan).dropna() for side in (reference, current)
    ]
    tests = {
        "wasserstein": stattests.wasserstein_stat_test,
        "jensenshannon": stattests.jensenshannon_stat_test,
        "psi": stattests.psi_stat_test,
    }
    with np.errstate(all="ignore"):
        return {
            name: test.func(*sides, kind, 0.1)[0]
            for name, test in tests.items()
            if kind in test.allowed_feature_types
        }


def choice(reference, current):
    from evidently.legacy.calculations.stattests.registry import get_stattest
    from evidently.legacy.core import ColumnType

    sides = [pd.Series(np.repeat(side, 2000)) for side in (reference, current)]
    return get_stattest(*sides, ColumnType.Numerical, None).name


def rng(seed=0):
    return np.random.default_rng(seed)


CASES = {
    "normal": (rng(1).normal(size=3000), rng(2).normal(0.4, 2, 1001)),
    "equal rows": (rng(1).normal(size=2000), rng(2).exponential(2, 2000)),
    "32 bits": (rng(1).normal(size=3000).astype("f4"), rng(2).normal(1, 2, 900).astype("f4")),
    "22 whole numbers": (rng(1).integers(0, 22, 3000), rng(2).integers(0, 24, 3000)),
    "bytes": (np.arange(21, dtype="u1"), np.arange(25, dtype="u1")),
    "few whole numbers": (rng(1).integers(0, 5, 3000), rng(2).integers(1, 7, 300)),
    "whole against float": (rng(1).integers(0, 1000, 3000), rng(2).normal(0, 3, 300)),
    "large": (rng(1).exponential(1, 3000) * 1e9, rng(2).exponential(2, 400) * 1e9),
    "20 values": (np.arange(3000) % 20 / 7, np.arange(500) % 30 / 7),
    "21 values": (np.arange(3000) % 21 / 7, np.arange(500) % 30 / 7),
    "constant": (np.full(50, 7.0), np.full(20, 8.0)),
    "apart": (rng(1).normal(size=500), rng(2).normal(size=500) + 1e6),
    "gaps": (np.where(rng(1).random(900) < 0.3, np.nan, 1.5), rng(2).normal(size=300)),
    "infinite": (np.append(rng(1).normal(size=400), [np.inf, -np.inf]), rng(2).normal(size=300)),
}


@pytest.mark.parametrize("case", CASES)
def test_numbers_have_evidentlys_scores(case):
    reference, current = CASES[case]
    found = exact(pl.Series(reference), pl.Series(current))
    wanted = evidently(reference, current)
    assert set(found.figures) == set(NAMES)
    for name in NAMES:
        assert found.figures[name] == pytest.approx(wanted[name], rel=1e-9, abs=1e-9), name
        assert found.bounds[name] == 0.0


@pytest.mark.parametrize(
    ("reference", "current"),
    [
        (["a", "b", "c"] * 50, ["a", "b", "d"] * 20 + ["a"]),
        (["a"] * 30_000 + ["b"], ["a"] * 50 + ["c", "d"]),  # a share below a ten-thousandth
        (["x"] * 10, ["y"] * 10),
        ([True, False, True] * 9, [True] * 7),
        (["a", None, "b"] * 9, [None, "b"] * 9),
    ],
)
def test_levels_have_evidentlys_scores(reference, current):
    found = exact(pl.Series(reference), pl.Series(current))
    wanted = evidently(reference, current, levels=True)
    assert found.name == "jensenshannon"
    assert set(found.figures) == {"jensenshannon", "psi"}
    for name, figure in found.figures.items():
        assert figure == pytest.approx(wanted[name], rel=1e-9, abs=1e-9), name


@pytest.mark.parametrize("distinct", [1, 2, 3, 5, 6, 7])
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_the_choice_is_evidentlys(distinct, offset):
    values = np.array([float(row % distinct) for row in range(420)])
    found = exact(pl.Series(values), pl.Series(values[:100] + offset))
    assert found.name == choice(values, values[:100] + offset)
    assert found.value == found.figures[found.name]


def test_few_values_are_counted_in_all_rows_not_in_the_first():
    late = pl.Series("x", [0.0] * 2000 + [float(row) for row in range(10)])
    assert exact(late, late).name == "wasserstein"


def test_no_value_no_score():
    some = pl.Series([1.0, 2.0])
    assert exact(some, pl.Series([None, np.nan, np.inf])) is None
    assert exact(pl.Series(["a"]), pl.Series([None], dtype=pl.String)) is None


def test_a_range_beyond_all_numbers_has_no_bins():
    assert bins(-1e308, 1e308, 10, whole=False, single=False) is None
    wide = pl.Series(np.arange(-15, 16) * 1.1e307)
    assert exact(wide, wide).figures == {}
    assert exact(wide, wide).value is None


def test_bins_are_numpys():
    values = np.concatenate(CASES["22 whole numbers"])
    edges = bins(values.min(), values.max(), values.size, whole=True, single=False)
    assert edges.tolist() == np.histogram_bin_edges(values, bins="sturges").tolist()
    values = np.concatenate(CASES["32 bits"])
    edges = bins(values.min(), values.max(), values.size, whole=False, single=True)
    assert edges.tolist() == np.histogram_bin_edges(values, bins="sturges").tolist()


FINITE = st.lists(
    st.one_of(st.floats(-1e4, 1e4), st.integers(-3, 3).map(float)), min_size=1, max_size=60
)


@settings(max_examples=80, deadline=None)
@given(FINITE, FINITE)
def test_the_area_is_scipys(one, two):
    sides = [np.sort(np.array(side)) for side in (one, two)]
    wanted = wasserstein_distance(one, two)
    assert area(*sides) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 7))
def test_the_area_is_the_sum_of_its_parts(m, n, size):
    one, two = (np.sort(rng(size).normal(size=rows)) for rows in (m, n))
    parts = sum(_area(one, two, at, min(at + size, m)) for at in range(0, m, size))
    assert parts / (m * n) == pytest.approx(wasserstein_distance(one, two), rel=1e-9)


VALUE = st.one_of(st.floats(-1e4, 1e4), st.integers(-3, 3).map(float), st.just(np.nan))
VALUES = st.lists(VALUE, min_size=1, max_size=60).filter(lambda side: not np.isnan(side).all())


@settings(max_examples=60, deadline=None)
@given(VALUES, VALUES)
def test_any_numbers_have_evidentlys_scores(reference, current):
    found = exact(pl.Series(reference), pl.Series(current))
    wanted = evidently(reference, current)
    for name, figure in found.figures.items():
        assert figure == pytest.approx(wanted[name], rel=1e-7, abs=1e-7), name


LEVELS = st.lists(st.sampled_from(["a", "b", "c", "", "é", None]), min_size=1, max_size=50).filter(
    lambda side: any(item is not None for item in side)
)


@settings(max_examples=40, deadline=None)
@given(LEVELS, LEVELS)
def test_any_levels_have_evidentlys_scores_and_a_distance(reference, current):
    sides = [pl.Series(side, dtype=pl.String) for side in (reference, current)]
    found = exact(*sides).figures
    wanted = evidently(reference, current, levels=True)
    for name, figure in found.items():
        assert figure == pytest.approx(wanted[name], rel=1e-7, abs=1e-7), name
    back = exact(*sides[::-1]).figures["jensenshannon"]
    assert found["jensenshannon"] == pytest.approx(back, abs=1e-9)
    assert 0.0 <= found["jensenshannon"] <= np.sqrt(np.log(2)) + 1e-9
    assert exact(sides[0], sides[0]).figures["psi"] == 0.0


def test_a_constant_reference_is_divided_by_a_thousandth_as_evidently_does():
    flat = [7.0] * 50 + [7.0 + 1e-7 * step for step in range(6)]
    found = exact(pl.Series(flat), pl.Series([8.0] * 20))
    assert found.name == "wasserstein"
    assert found.value == pytest.approx(1000.0, rel=1e-3)


def test_equal_counts_are_no_distance():
    assert jensen_shannon(np.array([3, 5]), np.array([6, 10])) == 0.0


def test_the_report_has_all_scores_with_evidentlys_choice_first():
    before = pl.DataFrame({"x": rng(1).normal(size=500), "c": ["a", "b"] * 250})
    after = pl.DataFrame({"x": rng(2).normal(size=300), "c": ["a", "a", "b"] * 100})
    report = compare_frames(before, after)
    for name, levels in (("x", False), ("c", True)):
        column = report.columns[name]
        wanted = evidently(before[name].to_list(), after[name].to_list(), levels=levels)
        assert column.score == column.scores[column.score_name]
        assert dict(column.scores) == pytest.approx(wanted, rel=1e-9)
        assert set(column.bounds.values()) == {0.0}


def test_sorted_values_know_what_they_left_out():
    side = Ordered.of(np.array([2.0, np.nan, -np.inf, 1.0, np.inf, np.inf, 2.0]))
    assert side.values.tolist() == [1.0, 2.0, 2.0]
    assert (side.infinite, side.null, side.rows) == ((1, 2), 1, 7)
    assert side.below(np.array([2.0])).tolist() == [1]
    assert side.upto(np.array([2.0])).tolist() == [3]
