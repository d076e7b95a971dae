"""The level and the power of the test of calibration, its bins, and the map that it rests on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from lifecycle.drift.calibration import BINS, ShareMap, calibration, quantile_edges
from lifecycle.records import Outcome


def draw(rng, rows, *, base=0.0, moved=0.0, slope=1.0, offset=0.0, wrong=1.0):
    """Scores and labels; `wrong` bends the scores, `slope` and `offset` what they mean."""
    odds = rng.normal(size=rows) * 1.3 + base + moved
    return expit(odds * wrong), (rng.random(rows) < expit(odds * slope + offset)).astype(float)


def rate(count, *, held=1000, rows=500, **changes):
    """The share of simulated windows that are called changed."""
    common = {key: changes[key] for key in ("base", "wrong") if key in changes}
    found = 0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        before, after = draw(rng, held, **common), draw(rng, rows, **changes)
        found += calibration(*before, *after).outcome is Outcome.FAIL
    return found / count


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"held": 300, "rows": 100},
        {"held": 3000, "rows": 3000},
        {"base": -4.0, "held": 1000, "rows": 1000},
        {"wrong": 2.0},
        {"moved": 1.0},
        {"moved": 1.0, "wrong": 0.5, "held": 400, "rows": 2000},
    ],
)
def test_unchanged_calibration_is_left_alone(case):
    assert rate(200, **case) <= 0.03


@pytest.mark.parametrize(
    ("case", "power"),
    [
        ({"offset": 0.5}, 0.75),
        ({"offset": 0.5, "held": 2000, "rows": 2000}, 0.99),
        ({"slope": 0.5}, 0.9),
        ({"slope": 0.5, "wrong": 2.0, "held": 2000, "rows": 2000}, 0.99),
    ],
)
def test_changed_calibration_is_found(case, power):
    assert rate(50, **case) >= power


def test_a_change_that_does_not_matter_is_no_alarm():
    assert rate(5, held=100_000, rows=100_000, offset=0.06) == 0.0


def regression(seed, *, moved=0.0, offset=0.0, slope=0.0, rows=600):
    rng = np.random.default_rng(seed)
    held, live = rng.normal(size=1000), rng.normal(size=rows) + moved
    noise = rng.standard_t(4, 1000) * (1 + 0.5 * (held > 0))
    now = rng.standard_t(4, rows) * (1 + 0.5 * (live > 0)) + offset + slope * live
    return calibration(held, held + noise, live, live + now, regression=True)


@pytest.mark.parametrize("moved", [0.0, 1.0])
def test_a_regression_keeps_its_level(moved):
    assert sum(regression(seed, moved=moved).outcome is Outcome.FAIL for seed in range(400)) <= 12


@pytest.mark.parametrize("change", [{"offset": 0.6}, {"slope": 0.6}])
def test_a_regression_that_is_off_is_found(change):
    found = [regression(seed, **change) for seed in range(20)]
    assert sum(item.outcome is Outcome.FAIL for item in found) >= 18
    assert "labels at equal predictions have changed: a mean of" in found[0].reason


def test_bins_show_what_was_promised_and_what_happened():
    rng = np.random.default_rng(0)
    found = calibration(*draw(rng, 4000), *draw(rng, 2000, offset=0.8))
    assert len(found.bins) == BINS
    assert sum(item.rows for item in found.bins) == found.rows == 2000
    assert found.error > found.expected_error
    for item in found.bins:
        assert item.low <= item.score <= item.high
        assert item.label_low <= item.label <= item.label_high
        assert item.expected == pytest.approx(item.score, abs=0.06)
        assert item.label > item.expected
    assert found.reason.startswith("labels at equal scores have changed: a share of")


@pytest.mark.parametrize(
    ("held", "rows", "reason"),
    [(1000, 40, "40 labelled rows"), (40, 1000, "40 hold-out rows")],
)
def test_few_rows_cannot_tell(held, rows, reason):
    rng = np.random.default_rng(0)
    found = calibration(*draw(rng, held), *draw(rng, rows))
    assert found.outcome is Outcome.UNSURE
    assert reason in found.reason


def test_one_class_cannot_tell():
    rng = np.random.default_rng(0)
    before, after = draw(rng, 500, base=-9.0), draw(rng, 500, base=-9.0)
    assert calibration(*before, *after).outcome is Outcome.UNSURE


def test_a_constant_score_is_one_bin():
    labels = np.repeat([0.0, 1.0], 100)
    found = calibration(np.full(200, 0.5), labels, np.full(200, 0.5), labels)
    assert (found.outcome, len(found.bins)) == (Outcome.PASS, 1)


def test_scores_that_the_hold_out_bears_out_stay_nearly_as_they_are():
    scores, labels = draw(np.random.default_rng(1), 2000)
    fitted = ShareMap.fit(scores, labels)
    assert not fitted.recalibrated
    assert np.abs(fitted.shares(scores) - scores).max() < 0.05


@pytest.mark.parametrize("wrong", [0.4, 2.5])
def test_scores_that_are_too_timid_or_too_sure_are_mapped(wrong):
    scores, labels = draw(np.random.default_rng(0), 5000, wrong=wrong)
    fitted = ShareMap.fit(scores, labels)
    true = expit(np.log(scores / (1 - scores)) / wrong)
    assert fitted.recalibrated
    assert np.abs(fitted.shares(scores) - true).max() < 0.05


def test_scores_that_no_line_mends_are_followed_bin_by_bin():
    rng = np.random.default_rng(0)
    scores = rng.random(20_000)
    true = np.where(scores < 0.5, 0.1, 0.8)
    fitted = ShareMap.fit(scores, rng.random(20_000) < true)
    assert fitted.shift.any()
    assert np.abs(fitted.shares(np.array([0.2, 0.4, 0.6, 0.8])) - [0.1, 0.1, 0.8, 0.8]).max() < 0.04


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 400), st.floats(0.2, 4.0))
def test_a_map_never_turns_scores_round_and_stays_within_bounds(seed, rows, wrong):
    scores, labels = draw(np.random.default_rng(seed), rows, wrong=wrong)
    found = ShareMap.fit(scores, labels).shares(np.linspace(0, 1, 101))
    assert (np.diff(found) >= -1e-12).all()
    assert ((found > 0) & (found < 1)).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.integers(1, 8))
def test_edges_leave_no_part_empty(values, bins):
    array = np.array(values)
    edges = quantile_edges(array, bins)
    cells = np.searchsorted(edges, array, side="right")
    assert len(edges) < bins or bins == 1
    assert set(cells.tolist()) == set(range(len(edges) + 1))
