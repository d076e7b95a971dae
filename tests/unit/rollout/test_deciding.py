"""What a look decides: the order of its rules, and that anybody can replay it."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import ConfigError
from lifecycle.records import Arm, Outcome, Rollout, RolloutSpec, Tally
from lifecycle.rollout import state
from lifecycle.rollout.deciding import added, decide, replayed

START = "2026-03-01T08:00:00+00:00"
LATER = "2026-03-01T09:00:00+00:00"
PAIR = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
CANARY = RolloutSpec(
    "churn", "canary", PAIR, (0.05, 0.5, 1.0), (2.0, 1.5), ("errors",), hold_back=0.1, salt="s"
)
AB = RolloutSpec(
    "churn",
    "ab",
    (Arm("champion", 7, 0.5), Arm("challenger", 8, 0.5)),
    guards=("errors",),
    metric="label_error",
)
SHADOW = RolloutSpec("churn", "shadow", (Arm("champion", 7, 1.0), Arm("shadow", 8, 0.0)))


def rollout_of(spec, step=0, **changes):
    history = tuple(state.shares_at(spec, at) for at in range(step + 1))
    given = {"step": step, "shares": history[-1], "history": history, "started": START}
    return Rollout(spec, 12, **{"since": START, **given, **changes})


def counted(champion, challenger, guard="errors", step=0, name="challenger"):
    """Tallies of (units, events) of both arms, with the requests themselves."""
    arms = (("champion", champion), (name, challenger))
    found = [Tally("", arm, step, units=units) for arm, (units, _) in arms]
    return found + [Tally(guard, arm, step, units, events) for arm, (units, events) in arms]


EQUAL = counted((95_000, 1900), (5_000, 100))
HARMFUL = counted((9_500, 190), (500, 60))
SCARCE = counted((950, 19), (50, 1))
CROOKED = counted((9_500, 190), (800, 90))


def test_without_counts_it_waits():
    look = decide(rollout_of(CANARY), [], now=LATER)
    assert (look.action, look.outcome, look.exit_code) == ("wait", Outcome.UNSURE, 3)
    assert look.shares == (0.95, 0.05)
    assert (look.name, look.rollout, look.step, look.time) == ("churn", 12, 0, LATER)


def test_a_certificate_steps_up():
    look = decide(rollout_of(CANARY), EQUAL, now=LATER)
    assert (look.action, look.to_step, look.shares) == ("step", 1, (0.5, 0.5))
    assert (look.outcome, look.exit_code) == (Outcome.PASS, 0)
    assert look.reason == "less than 2 times worse is proven of errors; now 50 %"


def test_no_alarm_is_no_certificate():
    look = decide(rollout_of(CANARY), SCARCE, now=LATER)
    assert look.action == "wait"
    assert "errors: " in look.reason
    assert "of 3.00" in look.reason


def test_the_last_step_keeps_the_hold_back_and_its_certificate_promotes():
    up = decide(
        rollout_of(CANARY, 1), [*EQUAL, *counted((5000, 100), (5000, 100), step=1)], now=LATER
    )
    assert (up.action, up.to_step, up.shares) == ("step", 2, (0.1, 0.9))
    last = [*EQUAL, *counted((1000, 20), (9000, 180), step=2)]
    done = decide(rollout_of(CANARY, 2), last, now=LATER)
    assert (done.action, done.to_step, done.shares) == ("promote", None, (0.0, 1.0))
    assert done.exit_code == 0


def test_a_later_step_has_a_stricter_margin():
    # 5,000 requests prove less than 2, not less than 1.5
    counts = [*EQUAL, *counted((500, 10), (500, 10), step=1)]
    strict = replace(CANARY, margins=(2.0, 1.1))
    assert decide(rollout_of(CANARY), EQUAL, now=LATER).action == "step"
    assert decide(rollout_of(strict, 1), counts, now=LATER).action == "wait"


def test_a_step_that_answered_nothing_is_not_left():
    look = decide(rollout_of(CANARY, 1), EQUAL, now=LATER)
    assert (look.action, look.reason) == (
        "wait",
        "nothing was answered by the challenger at this step yet",
    )


def test_a_step_lasts_its_time():
    spec = replace(CANARY, step_seconds=3600.0)
    assert decide(rollout_of(spec), EQUAL, now="2026-03-01T08:59:59+00:00").action == "wait"
    assert decide(rollout_of(spec), EQUAL, now=LATER).action == "step"
    early = decide(rollout_of(spec), EQUAL, now="2026-03-01T08:30:00+00:00")
    assert early.reason == "the step lasts 1800 s more"


def test_harm_rolls_back_at_any_step_and_says_what():
    for step in range(3):
        look = decide(rollout_of(CANARY, step), HARMFUL, now=LATER)
        assert (look.action, look.outcome, look.exit_code) == ("rollback", Outcome.FAIL, 2)
        assert look.shares == (1.0, 0.0)
        assert look.reason.startswith("errors: 6 times the rate")
        assert look.reason.endswith("which is proven to be worse")


def test_one_harmed_guard_of_several_is_enough():
    spec = replace(CANARY, guards=("errors", "invalid", "label_error"))
    fine = counted((9_500, 190), (500, 10), "invalid")[2:]
    bad = counted((9_500, 190), (500, 60), "label_error")[2:]
    look = decide(rollout_of(spec), [*counted((9_500, 190), (500, 10)), *fine, *bad], now=LATER)
    assert look.action == "rollback"
    assert look.reason.startswith("label_error: ")
    assert "invalid" not in look.reason


def test_every_certifying_guard_must_certify():
    spec = replace(CANARY, guards=("errors", "invalid"))
    look = decide(rollout_of(spec), EQUAL, now=LATER)
    assert look.action == "wait"
    assert look.reason.startswith("invalid: ")
    both = [*EQUAL, *counted((95_000, 0), (5_000, 0), "invalid")[2:]]
    assert decide(rollout_of(spec), both, now=LATER).action == "step"


def test_a_reason_to_wait_names_a_few_guards():
    spec = replace(CANARY, guards=tuple(f"latency<={limit}" for limit in range(6)))
    reason = decide(rollout_of(spec), [], now=LATER).reason
    assert reason.count("latency<=") == 3
    assert reason.endswith("; and 3 more guards")


def test_a_step_does_not_wait_for_the_certificate_of_one_value():
    counts = counted((19_000, 380), (1_000, 20))
    asked = replace(CANARY, guards=("errors", "errors:carrier=UA"))
    rare = [replace(item, guard="errors:carrier=UA", units=2, events=0) for item in counts]
    look = decide(rollout_of(asked), [*counts, *rare], now=LATER)
    assert look.action == "step"
    assert look.evidence[-1].certificate is None


def test_harm_to_the_rows_of_one_value_takes_a_version_back():
    counts = counted((19_000, 380), (1_000, 20))
    asked = replace(CANARY, guards=("errors", "errors:carrier=UA"))
    harm = [
        replace(item, guard="errors:carrier=UA", units=units, events=events)
        for item, (units, events) in zip(counts[-2:], [(950, 19), (50, 40)], strict=True)
    ]
    look = decide(rollout_of(asked), [*counts, *harm], now=LATER)
    assert look.action == "rollback"
    assert "errors:carrier=UA" in look.reason


def test_requests_that_fall_otherwise_than_planned_hold_it_before_anything_else():
    for max_seconds in (0.0, 60.0):
        spec = replace(CANARY, max_seconds=max_seconds, at_end="promote")
        look = decide(rollout_of(spec), CROOKED, now=LATER)
        assert (look.action, look.outcome, look.exit_code) == ("hold", Outcome.FAIL, 2)
        assert "515 were planned" in look.reason
        assert look.evidence[0].guard == "assignment"
        assert look.shares == (0.95, 0.05)


def test_the_shares_that_were_in_force_are_those_that_were_planned():
    moved = rollout_of(AB, 1, history=((0.5, 0.5), (0.2, 0.8)), shares=(0.2, 0.8))
    counts = counted((200, 4), (800, 16), step=1)
    assert decide(moved, counts, now=LATER).action == "wait"
    assert decide(rollout_of(AB, 1), counts, now=LATER).action == "hold"


@pytest.mark.parametrize(
    ("at_end", "action", "shares"),
    [
        ("hold", "hold", (0.95, 0.05)),
        ("rollback", "rollback", (1.0, 0.0)),
        ("promote", "promote", (0.0, 1.0)),
    ],
)
def test_its_time_is_over(at_end, action, shares):
    spec = replace(CANARY, max_seconds=3600.0, at_end=at_end)
    assert decide(rollout_of(spec), SCARCE, now="2026-03-01T08:59:59+00:00").action == "wait"
    look = decide(rollout_of(spec), SCARCE, now=LATER)
    assert (look.action, look.shares, look.outcome) == (action, shares, Outcome.UNSURE)
    assert look.reason == "after 1.0 h its time is over and the evidence not enough"


def test_harm_comes_before_the_end_of_time():
    spec = replace(CANARY, max_seconds=3600.0, at_end="promote")
    assert decide(rollout_of(spec), HARMFUL, now=LATER).action == "rollback"


def test_the_end_of_time_is_counted_from_the_start_and_not_from_the_step():
    spec = replace(CANARY, max_seconds=3600.0)
    late = rollout_of(spec, since="2026-03-01T08:59:00+00:00")
    assert decide(late, SCARCE, now=LATER).action == "hold"


def test_what_is_held_stays_held_but_not_with_a_harm():
    stopped = rollout_of(CANARY, status="held", reason="lunch")
    look = decide(stopped, EQUAL, now=LATER)
    assert (look.action, look.reason) == ("hold", "it is held: lunch")
    assert decide(stopped, HARMFUL, now=LATER).action == "rollback"
    nameless = decide(replace(stopped, reason=""), EQUAL, now=LATER)
    assert nameless.reason == "it is held: somebody stopped it"


@pytest.mark.parametrize(
    ("at_end", "action"), [("hold", "hold"), ("promote", "hold"), ("rollback", "rollback")]
)
def test_time_never_promotes_what_is_held(at_end, action):
    spec = replace(CANARY, max_seconds=60.0, at_end=at_end)
    assert decide(rollout_of(spec, status="held"), EQUAL, now=LATER).action == action


@pytest.mark.parametrize("status", ["promoted", "rolled back", "aborted", "finished"])
def test_an_ended_rollout_is_left_alone(status):
    for counts in (EQUAL, HARMFUL, CROOKED):
        look = decide(rollout_of(CANARY, status=status), counts, now=LATER)
        assert (look.action, look.reason) == ("wait", f"it has ended, {status}")


def test_times_that_cannot_be_read_end_nothing():
    spec = replace(CANARY, max_seconds=1.0, step_seconds=1.0)
    for now in ("", "soon", "2026-02-01T08:00:00+00:00"):
        assert decide(rollout_of(spec), EQUAL, now=now).action == "wait"
    assert decide(rollout_of(spec, started="", since=""), EQUAL, now=LATER).action == "wait"


def test_tallies_of_one_cell_add_up_in_every_field():
    one = Tally("latency", "champion", 1, 2, 1, 3.0, 0.5, 0.25, 0.125, block=4)
    two = Tally("latency", "champion", 1, 20, 10, 30.0, 5.0, 2.5, 1.25, block=4)
    other = replace(two, block=5)
    both = Tally("latency", "champion", 1, 22, 11, 33.0, 5.5, 2.75, 1.375, block=4)
    assert added([one, other, two]) == (both, other)
    assert added([one]) == (one,)


def test_users_are_counted_by_arm_unless_they_are_given():
    assert decide(rollout_of(CANARY), HARMFUL, now=LATER).exposed == {
        "challenger": 500,
        "champion": 9500,
    }
    look = decide(
        rollout_of(CANARY), HARMFUL, now=LATER, exposed={"challenger": 3}, coverage={"a": 1}
    )
    assert (look.exposed, look.coverage) == ({"challenger": 3}, {"a": 1})


def test_a_guard_that_is_gone_is_a_clear_error():
    with pytest.raises(ConfigError, match="did you mean 'errors'"):
        decide(rollout_of(replace(CANARY, guards=("erors",))), [], now=LATER)
    with pytest.raises(ConfigError, match="did you mean 'canary'"):
        decide(rollout_of(replace(CANARY, strategy="canry")), [], now=LATER)


def test_evidence_that_is_damaged_is_a_value_error():
    for damaged in ({}, {"tallies": [3], "time": ""}, {"tallies": None, "time": ""}):
        with pytest.raises(ValueError, match="no tallies that can be read"):
            replayed(rollout_of(CANARY), damaged)
    with pytest.raises(ValueError, match="no tallies that can be read"):
        replayed(rollout_of(CANARY), {"tallies": [{"guard": "errors"}], "time": ""})


def test_evidence_of_a_later_version_is_read():
    look = decide(rollout_of(CANARY), EQUAL, now=LATER).to_dict()
    look["tallies"] = [{**item, "colour": "green"} for item in look["tallies"]]
    assert replayed(rollout_of(CANARY), look).action == "step"


COUNTS = st.tuples(st.integers(0, 5000), st.integers(0, 300)).map(lambda c: (c[0] + c[1], c[1]))
NUMBERS = st.floats(-50, 50)
GUARDS = ("errors", "latency", "invalid")


@st.composite
def tallies(draw, arms=("champion", "challenger"), steps=3):
    found = []
    for step in range(draw(st.integers(0, steps))):
        for arm in arms:
            for guard in ("", *GUARDS):
                units, events = draw(COUNTS)
                s, w = draw(NUMBERS), draw(st.floats(0, 50))
                sums = (s, s, abs(s) + w, w) if guard == "latency" else (0.0,) * 4
                block = draw(st.integers(0, 1))
                found.append(Tally(guard, arm, step, units, events, *sums, block=block))
    return found


SPECS = st.sampled_from(
    [
        replace(CANARY, guards=GUARDS),
        replace(CANARY, guards=GUARDS, step_seconds=4000.0, max_seconds=2000.0),
        replace(AB, guards=GUARDS, metric="latency"),
        replace(AB, guards=GUARDS, metric="errors", allocation="thompson"),
    ]
)


@given(spec=SPECS, counts=tallies(), seconds=st.integers(0, 9000), data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_look_is_replayed_from_its_own_evidence(spec, counts, seconds, data):
    held = data.draw(st.sampled_from(["running", "held"]))
    found = rollout_of(spec, data.draw(st.integers(0, 2)), status=held)
    now = f"2026-03-01T{8 + seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}+00:00"
    look = decide(found, counts, now=now, coverage={"rows": 3})
    assert decide(found, look.tallies, now=look.time, coverage={"rows": 3}) == look
    text = json.loads(json.dumps(look.to_dict(), allow_nan=False))
    assert replayed(found, text).to_dict() == look.to_dict()
    shuffled = data.draw(st.permutations(counts))
    assert decide(found, shuffled, now=now, coverage={"rows": 3}) == look


@given(spec=SPECS, counts=tallies(), step=st.integers(0, 2))
@settings(max_examples=60, deadline=None)
def test_what_is_decided_can_be_written_and_served(spec, counts, step):
    look = decide(rollout_of(spec, step), counts, now=LATER)
    assert look.action in ("wait", "step", "promote", "rollback", "hold", "finish")
    assert sum(look.shares) == pytest.approx(1.0)
    assert all(0.0 <= share <= 1.0 for share in look.shares)
    assert look.reason
    assert (look.to_step is not None) == (look.action == "step")
    if look.action == "step":
        assert look.to_step == step + 1
        said = state.stepped(rollout_of(spec, step), look.to_step, look.shares)
        assert said["extra"]["shares"] == list(look.shares)
    if look.action in ("step", "promote"):
        assert not any(item.outcome is Outcome.FAIL for item in look.evidence)


@given(counts=st.lists(tallies(), max_size=2), cut=st.integers(0, 20))
@settings(max_examples=40, deadline=None)
def test_counts_of_several_replicas_add_up_in_any_parts(counts, cut):
    flat = [item for part in counts for item in part]
    once = added(flat)
    again = added([*added(flat[:cut]), *added(flat[cut:])])
    assert [replace(item, total=0, s=0, v=0, w=0) for item in again] == [
        replace(item, total=0, s=0, v=0, w=0) for item in once
    ]
    for one, two in zip(once, again, strict=True):
        assert (two.total, two.s, two.v, two.w) == pytest.approx((one.total, one.s, one.v, one.w))
    assert added(once) == once


def test_a_shadow_passes_by_its_limits():
    same = [Tally("differs", "shadow", 0, 2000, 4), Tally("differs", "champion", 0, 500, 0)]
    look = decide(rollout_of(SHADOW), same, now=LATER)
    assert (look.action, look.outcome, look.exit_code) == ("finish", Outcome.PASS, 0)
    assert look.reason == "differs: 0.20% of answers differ, no more than 10.00%"
    other = [Tally("differs", "shadow", 0, 2000, 900), Tally("differs", "champion", 0, 500, 0)]
    look = decide(rollout_of(SHADOW), other, now=LATER)
    assert (look.action, look.outcome, look.exit_code) == ("rollback", Outcome.FAIL, 2)
    assert look.reason == "differs: 45.00% of answers differ, more than 10.00%"


def test_a_shadow_waits_for_pairs_and_for_its_time():
    assert decide(rollout_of(SHADOW), [], now=LATER).reason == (
        "no request was answered by both versions yet"
    )
    few = [Tally("differs", "shadow", 0, 5, 0), Tally("differs", "champion", 0, 5, 0)]
    assert decide(rollout_of(SHADOW), few, now=LATER).action == "wait"
    same = [Tally("differs", "shadow", 0, 2000, 4), Tally("differs", "champion", 0, 500, 0)]
    slow = rollout_of(replace(SHADOW, step_seconds=7200.0))
    assert decide(slow, same, now=LATER).reason == "the step lasts 3600 s more"


def test_few_labels_do_not_hold_a_shadow_back_and_many_wrong_ones_end_it():
    same = [Tally("differs", "shadow", 0, 2000, 4), Tally("differs", "champion", 0, 500, 0)]
    few = [Tally("label_error", "shadow", 0, 50, 1), Tally("label_error", "champion", 0, 50, 1)]
    assert decide(rollout_of(SHADOW), [*same, *few], now=LATER).action == "finish"
    wrong = [
        Tally("label_error", "shadow", 0, 500, 60),
        Tally("label_error", "champion", 0, 500, 5),
    ]
    assert decide(rollout_of(SHADOW), [*same, *wrong], now=LATER).action == "rollback"


@pytest.mark.parametrize(("spec", "end"), [(AB, "finish"), (SHADOW, "finish"), (CANARY, "promote")])
def test_only_a_canary_is_promoted_by_time(spec, end):
    spec = replace(spec, max_seconds=60.0, at_end="promote")
    look = decide(rollout_of(spec), [], now=LATER)
    assert (look.action, look.outcome, look.best) == (end, Outcome.UNSURE, "")
