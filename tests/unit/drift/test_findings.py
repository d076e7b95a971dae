"""Each test of a column: it speaks where it applies, is calm without a change, and measures it."""

import numpy as np
import polars as pl
import pytest

from lifecycle.drift.counting import build_profile
from lifecycle.drift.findings import (
    LEAST_EFFECT,
    TESTS,
    Finding,
    Pair,
    column_findings,
    location,
    missing,
    new_level,
    out_of_range,
    scale,
    shape,
)

RNG = np.random.default_rng(3)
NORMAL = RNG.normal(size=2_000)
LEVELS = RNG.choice(["a", "b", "c"], 2_000, p=[0.5, 0.3, 0.2])


def pair(before, after):
    reference = build_profile(pl.DataFrame({"x": before}))
    live = build_profile(pl.DataFrame({"x": after}), like=reference)
    return Pair(reference.columns["x"], live.columns["x"], None)


def test_every_test_has_a_least_effect_and_a_unique_name():
    both = column_findings(*_columns(pair(NORMAL, NORMAL)), seconds=None)
    also = column_findings(*_columns(pair(LEVELS, LEVELS)), seconds=None)
    assert {item.test for item in (*both, *also)} <= set(LEAST_EFFECT)
    assert len({test.__name__ for test in TESTS}) == len(TESTS)


def _columns(known):
    return known.reference, known.live


@pytest.mark.parametrize("test", [location, scale, shape, out_of_range])
def test_numbers_that_did_not_move_are_calm(test):
    values = [
        test(pair(rng.normal(size=500), rng.normal(size=300))).p_value
        for rng in map(np.random.default_rng, range(60))
    ]
    assert np.mean(np.array(values) < 0.05) < 0.15  # 3 of 60 are expected
    assert min(values) > 1e-6


def test_levels_that_did_not_move_are_calm():
    values = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        values.append(
            shape(pair(rng.choice(list("abc"), 500), rng.choice(list("abc"), 300))).p_value
        )
    assert np.mean(np.array(values) < 0.05) < 0.15


@pytest.mark.parametrize("by", [-0.5, 0.5])
def test_a_shift_has_its_sign_and_its_size(by):
    found = location(pair(NORMAL, NORMAL[:800] + by))
    assert found.p_value < 1e-6
    assert np.sign(found.effect) == np.sign(by)
    assert abs(found.effect) == pytest.approx(0.48, abs=0.08)  # of ranks: a little less than by
    assert found.matters


@pytest.mark.parametrize(("factor", "sign"), [(2.0, 1), (0.5, -1)])
def test_a_spread_has_its_sign(factor, sign):
    found = scale(pair(NORMAL, NORMAL[:800] * factor))
    assert found.p_value < 1e-6
    assert np.sign(found.effect) == sign


def test_rank_tests_keep_silent_on_few_rows_and_on_levels():
    assert location(pair(NORMAL, NORMAL[:9])) is None
    assert location(pair(NORMAL, NORMAL[:10])) is not None
    assert scale(pair(LEVELS, LEVELS)) is None
    assert location(pair(np.ones(100), np.ones(100))) is None  # no ranks to speak of


def test_missing_measures_the_share_both_ways():
    gaps = [None if place % 5 == 0 else item for place, item in enumerate(NORMAL)]
    more, less = missing(pair(NORMAL, gaps)), missing(pair(gaps, NORMAL))
    assert more.effect == pytest.approx(0.2)
    assert less.effect == pytest.approx(-0.2)
    assert more.p_value < 1e-6
    assert less.p_value < 1e-6
    assert missing(pair(NORMAL, NORMAL)) is None


def test_out_of_range_counts_both_ends():
    after = NORMAL[:1000].copy()
    after[:15], after[15:30] = 99.0, -99.0
    found = out_of_range(pair(NORMAL, after))
    assert found.effect == pytest.approx(0.03)
    assert found.p_value < 1e-4
    assert out_of_range(pair(NORMAL, NORMAL)) == Finding("out of range", 1.0, 0.0)
    assert out_of_range(pair(LEVELS, LEVELS)) is None


def test_one_row_beyond_the_reference_is_chance():
    after = np.append(NORMAL[:999], 99.0)
    assert out_of_range(pair(NORMAL, after)).p_value > 0.05


def test_new_levels_count_rows_and_expect_rare_ones():
    after = [*LEVELS[:900], *["new"] * 100]
    found = new_level(pair(LEVELS, after))
    assert found.effect == pytest.approx(0.1)
    assert found.p_value < 1e-6
    assert new_level(pair(LEVELS, LEVELS)) == Finding("new level", 1.0, 0.0)
    assert new_level(pair(NORMAL, NORMAL)) is None
    once = [*LEVELS[:1990], *(f"rare{place}" for place in range(10))]  # rare levels are usual here
    assert new_level(pair(once, [*LEVELS[:498], "p", "q"])).p_value > 0.05


def test_shape_sees_two_humps_that_rank_means_do_not():
    before = np.random.default_rng(0).normal(size=4_000)
    humps = np.abs(np.random.default_rng(1).normal(1.0, 0.1, 2_000))
    after = np.where(np.arange(2_000) % 2, humps, -humps)
    known = pair(before, after)
    assert shape(known).p_value < 1e-6
    assert abs(location(known).effect) < 0.1


@pytest.mark.parametrize(("effect", "matters"), [(0.049, False), (0.05, True), (-0.05, True)])
def test_small_effects_do_not_matter_however_sure(effect, matters):
    assert Finding("location", 0.0, effect).matters is matters
