"""What a plan says before anything moves, held against the evidence of sampled requests."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.records import Arm, RolloutSpec
from lifecycle.rollout.evidence import log_e_arrays
from lifecycle.rollout.expecting import Expected, expected, until
from lifecycle.rollout.guards import parse
from lifecycle.rollout.numbers import log_e_differences
from lifecycle.rollout.planning import forecast

PAIR = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
ONE = RolloutSpec("churn", "canary", PAIR, (0.05,), (1.25,), ("errors",))
STEPS = replace(ONE, steps=(0.01, 0.05, 0.25, 0.5, 1.0), margins=(5, 2, 1.5, 1.25), hold_back=0.05)
AB = RolloutSpec(
    "churn",
    "ab",
    (Arm("champion", 7, 0.4), Arm("challenger", 8, 0.3), Arm("challenger-2", 9, 0.3)),
    guards=("errors",),
    metric="label",
)
SHADOW = RolloutSpec("churn", "shadow", (Arm("champion", 7, 1.0), Arm("shadow", 8, 0.0)))


def harms(spec, **given):
    found = forecast(spec, **given)
    return {(item.guard, round(item.ratio, 3)): item for item in found.harms}


def sampled(rate, ratio, share, most):
    """Cumulative events of both arms at up to 200 looks, (runs, looks), and the looks' size."""
    rng, runs = np.random.default_rng(7), 60
    each = max(most // 200, 1)
    looks = most // each
    ours = rng.binomial(rng.binomial(each, share, (runs, looks)), rate * ratio).cumsum(axis=1)
    theirs = rng.binomial(rng.binomial(each, 1 - share, (runs, looks)), rate).cumsum(axis=1)
    return ours, theirs, each


def median_hit(evidence, limit, each):
    """The median over runs of the requests at which evidence first reaches its limit."""
    hit = evidence >= limit
    first = np.where(hit.any(axis=1), hit.argmax(axis=1) + 1.0, np.inf) * each
    return float(np.median(first))


@pytest.mark.parametrize(
    ("rate", "share", "ratio"),
    [(0.02, 0.05, 2.0), (0.02, 0.05, 5.0), (0.02, 0.5, 1.5), (0.1, 0.01, 5.0), (0.002, 0.5, 5.0)],
)
def test_harms_are_found_when_the_plan_says_within_a_factor_of_two(rate, share, ratio):
    spec = replace(ONE, steps=(share,))
    told = harms(spec, rates={"errors": rate}, per_day=None)["errors", ratio].requests
    ours, theirs, each = sampled(rate, ratio, share, int(told * 4))
    columns = (item[..., None] for item in (ours, theirs, np.full(ours.shape, share)))
    evidence = log_e_arrays(*columns, against=1.0, side="above")
    found = median_hit(evidence, math.log(1 / 0.05), each)
    assert 0.5 < found / told < 2.0


@pytest.mark.parametrize(("share", "margin"), [(0.05, 2.0), (0.5, 1.25), (0.01, 5.0)])
def test_a_step_lasts_as_the_plan_says_within_a_factor_of_two(share, margin):
    rate = 0.05
    spec = replace(ONE, steps=(share,), margins=(margin,))
    told = forecast(spec, rates={"errors": rate}, per_day=None).steps[0].requests
    ours, theirs, each = sampled(rate, 1.0, share, int(told * 4))
    columns = (item[..., None] for item in (ours, theirs, np.full(ours.shape, share)))
    evidence = log_e_arrays(*columns, against=margin, side="below")
    limit = math.log(1 / 0.05) - math.log(0.8)  # the ratio's part of a certificate
    found = median_hit(evidence, limit, each)
    assert 0.5 < found / told < 2.0


def test_a_slower_challenger_is_found_when_the_plan_says():
    share, ratio = 0.05, 1.5
    spec = replace(ONE, guards=("latency",), steps=(share,))
    told = harms(spec, rates={"latency": 1.0}, per_day=None)["latency", ratio].requests
    rng, most, runs = np.random.default_rng(7), int(told * 4), 60
    arm = rng.random((runs, most)) < share
    values = rng.normal(0.0, 0.5, (runs, most)) + math.log(ratio) * arm
    z = (arm - share) * (values - math.log(ratio) * share)
    s, v = z.cumsum(axis=1), (z**2).cumsum(axis=1)
    w = np.arange(1, most + 1) * share * (1 - share)
    at = np.arange(19, most, 20)
    evidence = log_e_differences(s[:, at], v[:, at], w[at], against=0.0, side="above")
    found = median_hit(evidence, math.log(1 / 0.05), 20)
    assert 0.5 < found / told < 2.0


def test_the_formula_of_one_alternative_is_near():
    # (log(1/alpha) + 1) / KL(q || p) events, at a share of 5 % and 2 against 4 %
    p, r, rate = 0.05, 2.0, 0.02
    q = p * r / (p * r + 1 - p)
    divergence = q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))
    formula = (math.log(20) + 1) / divergence / (rate * (p * r + 1 - p))
    told = harms(ONE, rates={"errors": rate}, per_day=None)["errors", r].requests
    assert 0.5 < told / formula < 1.5


def test_larger_harms_are_found_sooner_and_expose_fewer():
    found = forecast(STEPS, rates={"errors": 0.02}, per_day=10_000.0)
    assert [item.ratio for item in found.harms] == [1.5, 2.0, 5.0]
    for smaller, larger in zip(found.harms, found.harms[1:], strict=False):
        assert larger.requests < smaller.requests
        assert larger.exposed < smaller.exposed
        assert larger.days == pytest.approx(larger.requests / 10_000)


def test_more_guards_take_a_little_longer_each():
    alone = harms(ONE, rates={"errors": 0.02}, per_day=None)["errors", 2.0].requests
    guards = ("errors", *(f"errors:carrier={name}" for name in "abcdefghi"))
    many = harms(replace(ONE, guards=guards), rates=dict.fromkeys(guards, 0.02), per_day=None)
    assert alone < many["errors", 2.0].requests < 2.5 * alone


def test_at_little_traffic_it_says_begin_with_larger_steps():
    found = forecast(STEPS, rates={"errors": 0.02}, per_day=40.0)
    said = [note for note in found.notes if "begin with larger steps" in note]
    assert said[0].startswith("at 40 requests a day the 1 % step takes ")
    assert any(note.startswith("an equal challenger is promoted after") for note in found.notes)


def test_steps_follow_each_other_and_know_what_was_counted_before():
    found = forecast(STEPS, rates={"errors": 0.02}, per_day=40_000.0)
    assert [item.ratio for item in found.steps] == [5, 2, 1.5, 1.25, 1.25]
    assert all(item.guard == "errors" for item in found.steps)
    assert found.steps[-1].requests == 1.0  # certified by the step before
    alone = forecast(
        replace(STEPS, steps=(0.5,), margins=(1.25,)), rates={"errors": 0.02}, per_day=1.0
    )
    assert found.steps[3].requests < alone.steps[0].requests


def test_a_step_lasts_at_least_its_time():
    spec = replace(STEPS, step_seconds=86_400.0)
    found = forecast(spec, rates={"errors": 0.02}, per_day=1e6)
    assert [item.days for item in found.steps] == [pytest.approx(1.0)] * 5
    assert "an equal challenger is promoted after about 5 days" in found.notes


def test_a_rollout_that_cannot_end_in_time_says_so():
    spec = replace(STEPS, max_seconds=86_400.0, at_end="rollback")
    found = forecast(spec, rates={"errors": 0.02}, per_day=40.0)
    assert "it may last 24.0 hours, which is not enough: then rollback" in found.notes
    ample = forecast(spec, rates={"errors": 0.02}, per_day=1e6)
    assert not [note for note in ample.notes if "not enough" in note]


def test_what_can_pass_all_steps_unseen_is_said():
    spec = replace(STEPS, margins=(5.0, 5.0))
    found = forecast(spec, rates={"errors": 0.02}, per_day=None)
    small = found.harms[0]
    assert (small.ratio, small.requests, small.days, small.exposed) == (1.5, None, None, None)
    assert any("1.5 times worse can pass all steps unseen" in note for note in found.notes)


def test_what_counts_as_none_is_said_to_pass():
    found = forecast(STEPS, rates={"errors": 0.0008}, per_day=None)
    assert found.harms[0].requests is None
    assert "errors: 1.5 times 0.08 % is not found: less than 0.25 % counts as none" in found.notes
    assert found.harms[2].requests


def test_without_a_margin_steps_have_no_certificate_and_no_end_but_their_time():
    found = forecast(
        replace(STEPS, margins=(), step_seconds=60.0), rates={"errors": 0.02}, per_day=1e6
    )
    assert [item.guard for item in found.steps] == [""] * 5


def test_without_traffic_there_are_requests_and_no_days():
    for per_day in (None, 0.0, -1.0):
        found = forecast(STEPS, rates={"errors": 0.02}, per_day=per_day)
        assert found.per_day is None
        assert all(item.days is None and item.requests for item in (*found.harms, *found.steps))
        assert found.notes[0].startswith("no traffic was logged")


def test_of_nothing_logged_nothing_is_said():
    found = forecast(STEPS, rates={}, per_day=100.0)
    assert [(item.guard, item.rate, item.requests) for item in found.harms] == [
        ("errors", None, None)
    ]
    assert "errors: nothing was logged of it, so nothing is said of it" in found.notes


def test_a_guard_without_events_certifies_by_its_rate():
    found = forecast(STEPS, rates={"errors": 0.0}, per_day=None)
    # an e-value of 1/15 at first, and none in so many requests: log(15 · 20) / (5 · 0.002) at 1 %
    assert found.steps[0].exposed == pytest.approx(570, rel=0.15)
    assert found.harms[0].rate == 0.0
    assert found.harms[0].requests > found.harms[2].requests
    assert any("none was logged; for its harms 0.2 % is assumed" in note for note in found.notes)


def test_segments_and_labels_count_by_their_reach():
    spec = replace(ONE, guards=("errors:carrier=UA",), step_seconds=86400.0)
    rates = {"errors:carrier=UA": 0.02}
    whole = forecast(spec, rates=rates, per_day=1e9)
    part = forecast(spec, rates=rates, per_day=1e9, reach={"errors:carrier=UA": 0.1})
    assert part.harms[1].requests == pytest.approx(10 * whole.harms[1].requests, rel=0.03)
    note = "errors:carrier=UA: only requests of carrier UA count; how many these are is not known"
    assert note in whole.notes
    assert note not in part.notes
    labelled = forecast(
        replace(ONE, guards=("label_error",)), rates={"label_error": 0.1}, per_day=9.0
    )
    assert any("only requests with a label count" in note for note in labelled.notes)


def test_a_reach_of_nothing_finds_nothing():
    found = forecast(ONE, rates={"errors": 0.02}, per_day=1.0, reach={"errors": 0.0})
    assert [item.requests for item in (*found.harms, *found.steps)] == [None] * 4
    assert "the 5 % step never ends: errors gives no certificate" in found.notes


def test_a_latency_that_was_never_logged_is_not_known():
    found = forecast(replace(ONE, guards=("latency",)), rates={}, per_day=None)
    assert {one.rate for one in found.harms} == {None}
    assert all(one.requests for one in found.harms), "times longer, whatever it is"


def test_a_latency_is_shown_as_it_is_and_its_spread_is_assumed_unless_it_is_known():
    spec = replace(ONE, guards=("latency",))
    rates = {"latency": math.log(20.0)}
    found = forecast(spec, rates=rates, per_day=None)
    assert found.harms[0].rate == pytest.approx(20.0)
    assert found.harms[0].kind == "number"
    assert "latency: its logarithm is assumed to be spread by 0.5" in found.notes
    wide = forecast(spec, rates=rates, per_day=None, spreads={"latency": 1.0})
    assert wide.harms[0].requests > 2 * found.harms[0].requests
    assert not [note for note in wide.notes if "assumed" in note]


def test_a_number_needs_its_spread():
    spec = replace(ONE, guards=("errors", "error_size"))
    rates = {"errors": 0.02, "error_size": 12.0}
    found = forecast(spec, rates=rates, per_day=None)
    assert found.harms[-1].requests is None
    assert "error_size: its spread is not known, so nothing is said of it" in found.notes
    known = forecast(spec, rates=rates, per_day=None, spreads={"error_size": 6.0})
    assert known.harms[-1].requests


def test_a_test_says_when_an_improvement_is_found():
    found = harms(AB, rates={"errors": 0.02, "label": 0.1}, per_day=1000.0)
    better = [found["label", ratio] for ratio in (0.8, 0.667, 0.5)]
    assert better[0].requests > better[1].requests > better[2].requests
    assert found["errors", 2.0].days == pytest.approx(found["errors", 2.0].requests / 1000)
    # a third arm takes requests that tell nothing of the first challenger
    two = replace(AB, arms=(Arm("champion", 7, 0.5), Arm("challenger", 8, 0.5)))
    assert harms(two, rates={"errors": 0.02}, per_day=None)["errors", 2.0].requests < (
        found["errors", 2.0].requests
    )


def test_a_shadow_is_told_in_copies():
    found = forecast(SHADOW, rates={}, per_day=1000.0)
    assert [item.guard for item in found.harms] == ["differs"] * 3
    assert found.harms[0].requests > found.harms[2].requests
    assert found.steps[0].requests < 500
    assert all(item.exposed == 0.0 for item in (*found.harms, *found.steps))
    half = forecast(replace(SHADOW, sample=0.5), rates={}, per_day=1000.0)
    assert half.steps[0].requests == pytest.approx(2 * found.steps[0].requests, rel=0.02)
    strict = forecast(replace(SHADOW, limits={"differing": 0.01}), rates={}, per_day=None)
    assert strict.steps[0].requests > 5 * found.steps[0].requests


def test_until_is_the_first_number_that_reaches_it():
    assert until(lambda n: n, 1000.0) == pytest.approx(1000.0, rel=0.02)
    assert until(lambda n: 1.0, 1.0) == 0.0  # noqa: ARG005 - evidence of nothing at all
    assert until(lambda n: -n, 1.0) is None


def test_an_event_where_less_is_worse():
    watched = parse("errors")
    fewer = replace(watched, guard=replace(watched.guard, worse=-1))
    found = Expected(fewer, 0.1, 1.0, 0.0)
    path = ((20_000.0, 0.5),)
    assert found.harm(path, 2.0) > 3.0 > found.harm(path, 1.0)
    assert found.certificate(path, 1.0, 2.0) > 3.0 > found.certificate(path, 2.0, 2.0)


@given(
    rate=st.one_of(st.none(), st.floats(-1, 2), st.just(float("nan"))),
    text=st.sampled_from(["errors", "latency", "label", "error_size", "score", "latency<=50"]),
    reach=st.one_of(st.none(), st.floats(-1, 2)),
)
@settings(max_examples=60, deadline=None)
def test_whatever_was_logged_there_is_an_expectation_or_a_note(rate, text, reach):
    rates = {} if rate is None else {text: rate}
    found, note = expected(parse(text), rates, {} if reach is None else {text: reach})
    assert found is not None or note
    if found is not None:
        assert found.reach >= 0.0
        evidence = found.harm(((1000.0, 0.1),), 2.0)
        assert not math.isnan(evidence)


@given(
    rate=st.floats(1e-4, 0.4),
    per_day=st.floats(1, 1e7),
    steps=st.lists(st.integers(1, 99), min_size=1, max_size=3, unique=True).map(sorted),
)
@settings(max_examples=15, deadline=None)
def test_any_plan_is_in_order(rate, per_day, steps):
    spec = replace(STEPS, steps=tuple(item / 100 for item in steps), margins=(2.0,))
    found = forecast(spec, rates={"errors": rate}, per_day=per_day)
    for item in (*found.harms, *found.steps):
        if item.requests is not None:
            assert 0.0 <= item.exposed <= item.requests
            assert item.days == pytest.approx(item.requests / per_day)
    assert len(found.steps) == len(steps)
    assert all(isinstance(note, str) and note for note in found.notes)
