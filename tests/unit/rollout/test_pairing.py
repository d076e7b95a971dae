"""Pairs of answers as tallies, each cell by hand."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.records import Arm, Outcome, RolloutSpec
from lifecycle.rollout.pairing import tallied
from lifecycle.rollout.shadowing import LIMITS, judge

SPEC = RolloutSpec("churn", "shadow", (Arm("champion", 7, 1.0), Arm("shadow", 8, 0.0)))


def cells(frame, limits=None, **more):
    return {(one.guard, one.arm): one for one in tallied(pl.DataFrame(frame), limits or {}, **more)}


def test_labels_that_differ_are_counted_and_the_champions_from_itself():
    found = cells(
        {
            "prediction": ["a", "b", "a", "a"],
            "shadow_prediction": ["a", "a", "b", "a"],
            "again_prediction": ["a", None, None, "b"],
        }
    )
    assert (found["differs", "shadow"].units, found["differs", "shadow"].events) == (4, 2)
    assert (found["differs", "champion"].units, found["differs", "champion"].events) == (2, 1)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([1, 0], [1.0, 0.0]),
        ([True, False], [1, 0]),
        (["1", "0"], [1, 0]),
        ([True, False], ["1", "0"]),
    ],
)
def test_classes_of_other_types_are_the_same_classes(ours, theirs):
    found = cells({"prediction": ours, "shadow_prediction": theirs, "score": [0.9, 0.1]})
    assert found["differs", "shadow"].events == 0


def test_failed_rows_are_errors_and_compared_in_nothing_else():
    found = cells(
        {
            "prediction": [None, "a", "a", "a", "a"],
            "error": ["E: x", None, None, None, None],
            "shadow_prediction": [None, None, None, "a", "b"],
            "shadow_error": ["E: x", "E: y", None, None, None],
        }
    )
    assert found["differs", "shadow"].units == 2
    assert (found["errors", "shadow"].units, found["errors", "shadow"].events) == (5, 2)
    assert found["errors", "shadow"].total == 3
    assert (found["errors", "champion"].events, found["errors", "champion"].total) == (0, 1)


def test_an_answer_that_is_no_number_is_a_failure_of_a_regression():
    found = cells({"prediction": [1.0, 2.0, 3.0], "shadow_prediction": [1.0, math.nan, math.inf]})
    assert found["errors", "shadow"].events == 2
    assert found["differs", "shadow"].units == 1


def test_shift_and_scale_are_sums_of_scores():
    theirs, ours = np.array([0.1, 0.4, 0.7, 0.8]), np.array([0.2, 0.4, 0.9, 0.9])
    found = cells(
        {
            "prediction": ["n", "n", "y", "y"],
            "shadow_prediction": ["n", "n", "y", "y"],
            "score": theirs,
            "shadow_score": ours,
            "again_prediction": ["n", None, "y", None],
            "again_score": [0.1, None, 0.6, None],
        },
        {"scale": 2.0},
    )
    shift = found["shift", "shadow"]
    assert (shift.units, shift.w) == (4, 4.0)
    assert shift.total == pytest.approx(ours.sum())
    assert (shift.s, shift.v) == pytest.approx(
        ((ours - theirs).sum(), ((ours - theirs) ** 2).sum())
    )
    noise = found["shift", "champion"]
    assert (noise.units, noise.s, noise.v) == pytest.approx((2, -0.1, 0.01))
    a, b = (theirs - theirs.mean()) ** 2, (ours - ours.mean()) ** 2
    wider, narrower = found["scale", "shadow"], found["scale", "champion"]
    assert (wider.total, wider.s) == pytest.approx((b.sum(), (b - 4 * a).sum()))
    assert (narrower.total, narrower.s) == pytest.approx((a.sum(), (a - 4 * b).sum()))
    assert wider.v == pytest.approx(((b - 4 * a) ** 2).sum())


def test_of_several_classes_the_champions_own_score_is_compared():
    found = cells(
        {
            "prediction": ["b", "c"],
            "shadow_prediction": ["b", "a"],
            "score": [[0.1, 0.7, 0.2], [0.0, 0.1, 0.9]],
            "shadow_score": [[0.2, 0.5, 0.3], [0.8, 0.1, 0.1]],
        }
    )
    assert found["shift", "shadow"].s == pytest.approx(-0.2 - 0.8)


def test_scores_that_are_missing_or_no_numbers_are_left_out():
    found = cells(
        {
            "prediction": ["n"] * 3,
            "shadow_prediction": ["n"] * 3,
            "score": [0.1, None, 0.3],
            "shadow_score": [0.1, 0.2, math.nan],
        }
    )
    assert found["shift", "shadow"].units == 1
    plain = cells({"prediction": ["n"], "shadow_prediction": ["n"]})
    assert ("shift", "shadow") not in plain


def test_answers_of_a_regression_are_measured_in_spreads():
    theirs = np.array([0.0, 10.0, 20.0, 30.0])
    spread = theirs.std(ddof=1)
    ours = theirs + np.array([0.0, 0.4, 0.6, -0.6]) * spread
    found = cells({"prediction": theirs, "shadow_prediction": ours})
    assert found["differs", "shadow"].events == 2
    assert found["shift", "shadow"].s == pytest.approx(0.4)
    assert found["scale", "champion"].total == pytest.approx(3.0)
    tight = cells({"prediction": theirs, "shadow_prediction": ours}, {"beyond": 0.3})
    assert tight["differs", "shadow"].events == 3


def test_whether_answers_are_classes_can_be_said():
    frame = {"prediction": [1.0, 2.0], "shadow_prediction": [1.0, 1.0]}
    assert cells(frame, classes=True)["differs", "shadow"].events == 1
    assert ("shift", "shadow") in cells(frame)
    assert ("shift", "shadow") not in cells(frame, classes=True)


def test_latency_counts_calls_and_not_their_rows():
    found = cells(
        {
            "prediction": ["a"] * 5,
            "shadow_prediction": ["a"] * 5,
            "shadow_latency_ms": [2.0, 2.0, 8.0, 3.0, 0.0],
            "again_latency_ms": [1.0, 1.0, 2.0, None, 1.0],
        }
    )
    latency = found["latency", "shadow"]
    assert latency.units == 3
    assert latency.s == pytest.approx(math.log(2) + math.log(4) + math.log(0.001))
    assert latency.total == pytest.approx(10.001)
    assert found["latency", "champion"].total == 4.0
    assert ("latency", "shadow") not in cells({"prediction": ["a"], "shadow_prediction": ["a"]})


def test_labels_count_who_alone_is_wrong_and_a_failure_is_wrong():
    found = cells(
        {
            "prediction": [1, 1, 0, 0, 1],
            "shadow_prediction": [1, 0, 1, 0, None],
            "score": [0.9, 0.8, 0.1, 0.1, 0.9],
            "shadow_error": [None, None, None, None, "E"],
            "label": ["1", "1", "1", None, "1"],
        }
    )
    ours, theirs = found["label_error", "shadow"], found["label_error", "champion"]
    assert (ours.units, ours.events, ours.total) == (4, 2, 2.0)
    assert (theirs.units, theirs.events, theirs.total) == (4, 1, 1.0)


def test_labels_of_a_regression_give_sizes_of_errors():
    found = cells(
        {
            "prediction": [1.0, 2.0, 5.0],
            "shadow_prediction": [1.5, 2.0, 4.0],
            "label": [1.0, 3.0, None],
        }
    )
    ours = found["error_size", "shadow"]
    assert (ours.units, ours.total, ours.s, ours.v) == (2, 1.5, 0.5, 0.25)
    assert found["error_size", "champion"].total == 1.0
    assert ("label_error", "shadow") not in found


def test_no_pairs_are_no_verdict():
    empty = pl.DataFrame(
        schema={"prediction": pl.Float64, "shadow_prediction": pl.Float64, "label": pl.Float64}
    )
    assert judge(SPEC, tallied(empty, {})) == ()
    assert judge(SPEC, tallied(pl.DataFrame(), {})) == ()


def test_the_same_answers_pass_and_others_do_not():
    rng = np.random.default_rng(0)
    score = rng.random(3000)
    label = rng.random(3000) < score

    def frame(shadow):
        return {
            "prediction": (score > 0.5).astype(int),
            "score": score,
            "shadow_prediction": (shadow > 0.5).astype(int),
            "shadow_score": shadow,
            "again_prediction": (score > 0.5).astype(int),
            "again_score": score,
            "shadow_latency_ms": rng.gamma(3, 1, 3000),
            "again_latency_ms": rng.gamma(3, 1, 3000),
            "label": label.astype(int),
        }

    same = {item.guard: item for item in judge(SPEC, tuple(cells(frame(score)).values()))}
    assert set(same) == {"differs", "shift", "scale", "errors", "latency", "label_error"}
    assert same["differs"].outcome is same["shift"].outcome is Outcome.PASS
    assert not [item for item in same.values() if item.outcome is Outcome.FAIL]
    squeezed = judge(SPEC, tuple(cells(frame(0.5 + (score - 0.5) * 0.5)).values()))
    caught = {item.guard for item in squeezed if item.outcome is Outcome.FAIL}
    assert caught == {"scale"}


kinds = st.sampled_from([None, "a", "b"])


@given(rows=st.lists(st.tuples(kinds, kinds, kinds, kinds), max_size=30), cut=st.integers(0, 30))
@settings(max_examples=40, deadline=None)
def test_tallies_of_disjoint_rows_add_up(rows, cut):
    names = ["prediction", "shadow_prediction", "again_prediction", "label"]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    whole = tallied(frame, LIMITS, classes=True)
    parts = [*tallied(frame[:cut], {}, classes=True), *tallied(frame[cut:], {}, classes=True)]
    for one in whole:
        same = [each for each in parts if (each.guard, each.arm) == (one.guard, one.arm)]
        assert sum(each.units for each in same) == one.units
        assert sum(each.events for each in same) == one.events
        assert sum(each.total for each in same) == one.total
