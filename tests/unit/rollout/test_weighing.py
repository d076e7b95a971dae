"""What tallies prove: every field, every direction, and how alpha is shared."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.records import Arm, Outcome, RolloutSpec, Tally
from lifecycle.rollout.evidence import log_e, ratio_interval
from lifecycle.rollout.guards import parse
from lifecycle.rollout.numbers import contrast, log_e_difference
from lifecycle.rollout.weighing import ASSIGNMENT, counts_of, imbalance, weigh

PAIR = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
CANARY = RolloutSpec("churn", "canary", PAIR, (0.05, 0.5, 1.0), (2.0, 1.5), hold_back=0.1)
ERRORS, LATENCY = parse("errors"), parse("latency")
few = settings(max_examples=25, deadline=None)


@dataclass(frozen=True)
class Row:
    """A guard of one's own."""

    worse: int = 1
    log: bool = False
    negligible: float = 0.002
    slight: float = 0.0


@dataclass(frozen=True)
class Own:
    """… as a rollout watches it."""

    guard: Row
    text: str = "own"
    kind: str = "event"
    certify: bool = True


def counted(step, challenger, champion, *, guard="errors", block=0):
    """Tallies of (units, events) of both arms."""
    return [
        Tally(guard, arm, step, *pair, block=block)
        for arm, pair in (("champion", champion), ("challenger", challenger))
    ]


def latencies(by=0.0, size=6000, share=0.3, seed=0, mean=3.0):
    rng = np.random.default_rng(seed)
    arm = rng.random(size) < share
    values = rng.normal(mean, 0.4, size) + by * arm
    s, v, w = contrast(values, arm, arm.mean())
    mine, rest = values[arm], values[~arm]
    return [
        Tally("latency", "champion", 0, len(rest), total=float(rest.sum())),
        Tally("latency", "challenger", 0, len(mine), total=float(mine.sum()), s=s, v=v, w=w),
    ]


HARMFUL = counted(0, (100, 30), (1900, 20))
EQUAL = counted(0, (1000, 20), (9000, 180))


def test_a_harmful_challenger_fails_with_every_figure():
    found = weigh(CANARY, 0, HARMFUL, [ERRORS])[0]
    assert (found.guard, found.arm, found.kind) == ("errors", "challenger", "event")
    assert (found.units, found.events) == (100, 30)
    assert (found.champion_units, found.champion_events) == (1900, 20)
    assert (found.rate, found.champion_rate) == (0.3, 20 / 1900)
    assert found.ratio == pytest.approx(0.3 / (20 / 1900))
    assert 1.0 < found.low < found.ratio < found.high
    assert found.harm >= found.harm_limit == pytest.approx(math.log(20.0))
    assert found.certificate < found.certificate_limit == pytest.approx(math.log(20.0))
    assert found.margin == 2.0
    assert found.outcome is Outcome.FAIL
    assert found.reason.startswith("errors: 28.5 times the rate [")
    assert found.reason.endswith("which is proven to be worse")


@few
@given(events=st.integers(0, 60), champion=st.integers(0, 200))
def test_an_interval_never_contradicts_a_proof_of_harm(events, champion):
    found = weigh(CANARY, 0, counted(0, (1000, events), (9000, champion)), [ERRORS])[0]
    if found.outcome is Outcome.FAIL:
        assert 1.0 <= found.low <= found.ratio <= found.high
    less = replace(parse("label<=0"), guard=replace(parse("label<=0").guard, worse=-1))
    tallies = counted(0, (1000, events), (9000, champion), guard="label<=0")
    rarer = weigh(CANARY, 0, tallies, [less])[0]
    if rarer.outcome is Outcome.FAIL:
        assert rarer.low <= rarer.ratio <= rarer.high <= 1.0


def test_events_where_the_champion_has_none_are_told_as_such():
    found = weigh(CANARY, 0, counted(0, (1000, 3), (9000, 0)), [ERRORS])[0]
    assert found.reason.startswith("errors: 3 where the champion has none, at least 1 times")


def test_a_proven_delay_is_longer_than_what_counts_as_none():
    found = weigh(CANARY, 0, latencies(by=0.2), [LATENCY])[0]
    assert found.outcome is Outcome.FAIL
    assert math.log1p(0.5 * math.exp(-found.champion_rate)) <= found.low < found.ratio < found.high


def test_an_equal_challenger_gets_its_certificate():
    found = weigh(CANARY, 0, EQUAL, [ERRORS])[0]
    assert found.outcome is Outcome.PASS
    assert found.certificate >= found.certificate_limit
    assert "no more than 2 times worse" in found.reason


def test_without_counts_nothing_is_proven():
    for guard in (ERRORS, LATENCY):
        found = weigh(CANARY, 0, [], [guard])[0]
        assert found.outcome is Outcome.UNSURE
        assert (found.rate, found.champion_rate, found.ratio, found.low) == (None,) * 4
        assert found.harm == pytest.approx(0.0, abs=1e-12)
        assert found.certificate == pytest.approx(0.0, abs=1e-12)
        assert "to compare" in found.reason
        assert "proven" in found.reason


def test_a_harm_is_told_although_a_certificate_is_there():
    # with a generous margin both are true: worse, and no more than five times
    spec = replace(CANARY, margins=(5.0,))
    found = weigh(spec, 0, counted(0, (5000, 200), (5000, 100)), [ERRORS])[0]
    assert found.certificate >= found.certificate_limit
    assert found.outcome is Outcome.FAIL


@pytest.mark.parametrize(("step", "margin"), [(0, 2.0), (1, 1.5), (2, 1.5), (7, 1.5)])
def test_each_step_has_its_margin_and_the_last_is_repeated(step, margin):
    assert weigh(CANARY, step, EQUAL, [ERRORS])[0].margin == margin


def test_no_margins_ask_for_no_certificate():
    found = weigh(replace(CANARY, margins=()), 0, EQUAL, [ERRORS])[0]
    assert (found.certificate, found.certificate_limit, found.margin) == (None, 0.0, None)
    assert found.outcome is Outcome.UNSURE
    assert found.reason.endswith("no harm is proven")


def test_a_guard_that_does_not_certify_has_no_certificate():
    found = weigh(CANARY, 0, counted(0, (9, 1), (9, 1), guard="score<=1"), [parse("score<=1")])[0]
    assert found.certificate is None
    assert found.outcome is Outcome.UNSURE


def test_alpha_is_split_over_guards_and_arms_for_harm_only():
    arms = (*PAIR, Arm("challenger-2", 9, 0.0))
    guards = [ERRORS, LATENCY, parse("invalid")]
    found = weigh(replace(CANARY, arms=arms), 0, EQUAL, guards)
    assert [(item.guard, item.arm) for item in found] == [
        (guard.text, arm) for guard in guards for arm in ("challenger", "challenger-2")
    ]
    assert {round(item.harm_limit, 9) for item in found} == {round(math.log(6 / 0.05), 9)}
    assert {round(item.certificate_limit, 9) for item in found} == {round(math.log(20.0), 9)}


def test_the_interval_is_as_wide_as_the_split_alpha():
    one = weigh(CANARY, 0, HARMFUL, [ERRORS])[0]
    many = weigh(CANARY, 0, HARMFUL, [ERRORS, LATENCY])[0]
    assert many.low < one.low
    steps = [(30, 20, 0.05)]
    assert (one.ratio, one.low, one.high) == pytest.approx(ratio_interval(steps, 0.05))
    assert one.harm == pytest.approx(log_e(steps, against=1.0, side="above"))


def test_steps_are_weighed_at_their_own_realised_shares():
    tallies = [*counted(0, (100, 1), (9900, 400)), *counted(1, (5000, 50), (5000, 50))]
    found = weigh(CANARY, 1, tallies, [ERRORS])[0]
    steps = [(1, 400, 0.01), (50, 50, 0.5)]
    assert found.harm == pytest.approx(log_e(steps, against=1.0, side="above"))
    # pooled, the challenger would look 1.4 times as bad, by the change of the base rate alone
    assert found.rate / found.champion_rate > 0.3
    assert 0.6 < found.ratio < 1.4


@few
@given(st.permutations(range(8)))
def test_parts_may_come_in_any_order_and_number(order):
    parts = [
        *counted(0, (60, 3), (900, 10)),
        *counted(0, (40, 1), (1000, 30)),
        *counted(1, (500, 9), (500, 8)),
        *counted(1, (0, 0), (20, 1)),
    ]
    whole = [*counted(0, (100, 4), (1900, 40)), *counted(1, (500, 9), (520, 9))]
    mixed = weigh(CANARY, 1, [parts[at] for at in order], [ERRORS])
    assert mixed == weigh(CANARY, 1, whole, [ERRORS])


def test_blocks_hold_arms_against_each_other_at_the_same_time():
    # labels of the champion's second day are not there yet, and that day is ten times as bad
    days = [*counted(0, (500, 5), (500, 5), block=0), *counted(0, (500, 50), (10, 1), block=1)]
    told = weigh(CANARY, 0, days, [ERRORS])[0]
    at_once = weigh(CANARY, 0, [replace(item, block=0) for item in days], [ERRORS])[0]
    assert at_once.outcome is Outcome.FAIL
    assert told.outcome is Outcome.UNSURE
    assert told.units == at_once.units == 1000


def test_steps_without_units_in_both_arms_do_not_compare():
    alone = counted(0, (0, 0), (1000, 900))
    assert counts_of({(0, 0): alone[1]}, {(0, 0): alone[0]}) == []
    assert counts_of({}, {(0, 0): alone[0]}) == []
    found = weigh(CANARY, 1, [*alone, *EQUAL], [ERRORS])[0]
    assert found.champion_events == 1080


def test_events_where_the_champion_answers_nothing_count_for_the_rate():
    """A certificate of a rate that counts as none must not overlook them."""
    clean = counted(0, (100, 0), (100, 0))
    alone = [Tally("errors", "challenger", 1, 5000, 0)]
    bad = [Tally("errors", "challenger", 1, 5000, 400)]
    spec = replace(CANARY, margins=(2.0,))
    assert weigh(spec, 1, [*clean, *alone], [ERRORS])[0].outcome is Outcome.PASS
    assert weigh(spec, 1, [*clean, *bad], [ERRORS])[0].outcome is Outcome.UNSURE


def test_the_extreme_is_written_and_read_as_numbers_or_none():
    found = weigh(CANARY, 0, counted(0, (10, 10), (10, 0)), [ERRORS])[0]
    kept = found.to_dict()
    assert kept["high"] is None
    assert math.isfinite(kept["low"])
    assert math.isfinite(kept["harm"])


@pytest.mark.parametrize(
    ("worse", "better", "expected"),
    [(1, False, Outcome.FAIL), (-1, True, Outcome.FAIL), (0, False, Outcome.FAIL),
     (0, True, Outcome.FAIL), (1, True, Outcome.PASS), (-1, False, Outcome.PASS)],
)  # fmt: skip
def test_worse_is_what_the_guard_says(worse, better, expected):
    events = (20, 300) if better else (300, 20)
    tallies = counted(0, (1000, events[0]), (1000, events[1]), guard="own")
    assert weigh(CANARY, 0, tallies, [Own(Row(worse))])[0].outcome is expected


def test_where_either_way_is_worse_both_must_be_ruled_out():
    tallies = counted(0, (4000, 400), (4000, 400), guard="own")
    assert weigh(CANARY, 0, tallies, [Own(Row(0))])[0].outcome is Outcome.PASS
    fewer = counted(0, (400, 20), (400, 40), guard="own")
    assert weigh(CANARY, 0, fewer, [Own(Row(0))])[0].outcome is Outcome.UNSURE
    assert weigh(CANARY, 0, fewer, [Own(Row(1))])[0].outcome is Outcome.PASS


def test_a_slower_challenger_fails():
    found = weigh(CANARY, 0, latencies(by=0.3), [LATENCY])[0]
    assert (found.kind, found.outcome) == ("number", Outcome.FAIL)
    assert found.low < 0.3 < found.high
    assert found.ratio == pytest.approx(found.rate - found.champion_rate, abs=0.02)
    assert (found.events, found.champion_events) == (0, 0)
    assert "times [" in found.reason


def test_half_a_millisecond_more_harms_nobody():
    for mean, expected in ((-1.5, Outcome.PASS), (3.0, Outcome.FAIL)):  # 0.2 ms and 20 ms
        found = weigh(CANARY, 0, latencies(by=0.4, mean=mean), [LATENCY])[0]
        assert found.outcome is expected
        assert found.low < 0.4 < found.high
    worse = weigh(CANARY, 0, latencies(by=1.8, mean=-1.5), [LATENCY])[0]  # 1.35 ms
    assert worse.outcome is Outcome.FAIL


def test_an_equally_fast_challenger_gets_its_certificate():
    tallies = latencies()
    found = weigh(CANARY, 0, tallies, [LATENCY])[0]
    assert found.outcome is Outcome.PASS
    sums = tallies[1].s, tallies[1].v, tallies[1].w
    expected = log_e_difference(*sums, against=math.log(2.0), side="below")
    assert found.certificate == pytest.approx(expected)


@pytest.mark.parametrize(("worse", "by"), [(-1, -0.3), (0, 0.3), (0, -0.3)])
def test_numbers_may_be_worse_in_any_direction(worse, by):
    guard = Own(Row(worse, log=True), text="latency", kind="number")
    assert weigh(CANARY, 0, latencies(by=by), [guard])[0].outcome is Outcome.FAIL
    assert weigh(CANARY, 0, latencies(), [guard])[0].outcome is Outcome.PASS


def test_plain_numbers_are_told_as_a_difference():
    guard = Own(Row(), text="latency", kind="number", certify=False)
    found = weigh(CANARY, 0, latencies(by=0.3), [guard])[0]
    assert f"{found.ratio:+.3g} on average [" in found.reason


def test_requests_that_fall_as_planned_are_no_alarm():
    tallies = [*counted(0, (50, 0), (950, 0), guard=""), *counted(1, (510, 0), (490, 0), guard="")]
    found = imbalance(CANARY, tallies)
    assert (found.guard, found.arm) == (ASSIGNMENT, "challenger")
    assert (found.units, found.champion_units) == (560, 1440)
    assert found.rate == pytest.approx(0.28)
    assert found.outcome is Outcome.UNSURE
    assert found.reason == "560 of 2,000 units fell to challenger, 550 were planned"


def test_requests_that_fall_otherwise_are_an_alarm():
    found = imbalance(CANARY, counted(0, (200, 0), (1800, 0), guard=""))
    assert found.outcome is Outcome.FAIL
    assert found.harm >= found.harm_limit == pytest.approx(math.log(1000.0))
    assert "cannot be compared" in found.reason


def test_the_last_step_plans_for_the_hold_back():
    good = counted(2, (900, 0), (100, 0), guard="")
    assert imbalance(CANARY, good).outcome is Outcome.UNSURE
    assert imbalance(replace(CANARY, hold_back=0.3), good).outcome is Outcome.FAIL


def test_shares_of_its_own_history_are_the_plan():
    tallies = counted(0, (700, 0), (300, 0), guard="")
    assert imbalance(CANARY, tallies).outcome is Outcome.FAIL
    assert imbalance(CANARY, tallies, [(0.3, 0.7)]).outcome is Outcome.UNSURE
    assert imbalance(CANARY, tallies, [()]).outcome is Outcome.FAIL


def test_of_several_arms_the_worst_is_told():
    arms = (Arm("champion", 7, 0.4), Arm("challenger", 8, 0.3), Arm("challenger-2", 9, 0.3))
    spec = RolloutSpec("churn", "ab", arms)
    tallies = [
        Tally("", "champion", 0, 4000),
        Tally("", "challenger", 0, 3000),
        Tally("", "challenger-2", 0, 2500),
    ]
    found = imbalance(spec, tallies)
    assert found.arm == "challenger-2"
    assert found.outcome is Outcome.FAIL
    assert found.harm_limit == pytest.approx(math.log(2000.0))


def test_other_guards_do_not_count_as_requests():
    assert imbalance(CANARY, counted(0, (200, 0), (200, 0))).units == 0
    empty = imbalance(CANARY, [])
    assert (empty.rate, empty.outcome) == (None, Outcome.UNSURE)


@few
@given(
    st.lists(
        st.tuples(
            st.integers(0, 4), st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0, 1),
            st.floats(0, 1),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_any_counts_give_evidence_that_can_be_kept(rows):
    tallies = []
    for step, units, rest, bad, worse in rows:
        tallies += counted(step, (units, int(units * bad)), (rest, int(rest * worse)))
        tallies += counted(step, (units, 0), (rest, 0), guard="")
    for found in (*weigh(CANARY, 1, tallies, [ERRORS, LATENCY]), imbalance(CANARY, tallies)):
        assert not math.isnan(found.harm)
        assert found.reason
        again = type(found)(**{**found.to_dict(), "outcome": found.outcome})
        assert again.harm_limit == found.harm_limit
