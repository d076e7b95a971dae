"""Every row of the table of strategies decides soundly on good, harmful, odd and no counts."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import ConfigError
from lifecycle.records import Arm, Entry, Outcome, Rollout, RolloutSpec, Tally
from lifecycle.rollout import state
from lifecycle.rollout.deciding import decide, replayed
from lifecycle.rollout.plan import checked, checked_spec
from lifecycle.rollout.planning import forecast
from lifecycle.rollout.strategies import STRATEGIES, strategy_of

NOW = "2026-03-01T09:00:00+00:00"
ACTIONS = {"wait", "step", "promote", "rollback", "hold", "finish"}
CHAMPION = Arm("champion", 7, 0.0)

# a spec of each strategy, counts of a good challenger, counts of a harmful one
SPECS = {
    "canary": RolloutSpec(
        "churn",
        "canary",
        (CHAMPION, Arm("challenger", 8, 0.0)),
        (0.1, 0.5, 1.0),
        (2.0, 1.25),
        ("errors",),
        salt="s",
        hold_back=0.05,
    ),
    "ab": RolloutSpec(
        "churn",
        "ab",
        (replace(CHAMPION, share=0.5), Arm("challenger", 8, 0.5)),
        guards=("errors",),
        metric="label_error",
        salt="s",
    ),
    "shadow": RolloutSpec(
        "churn", "shadow", (replace(CHAMPION, share=1.0), Arm("shadow", 8, 0.0)), salt="s"
    ),
}


def split(units, ours, theirs, *, share, guard="errors"):
    mine = round(units * share)
    return [
        Tally("", "champion", 0, units - mine),
        Tally("", "challenger", 0, mine),
        Tally(guard, "champion", 0, units - mine, round((units - mine) * theirs)),
        Tally(guard, "challenger", 0, mine, round(mine * ours)),
    ]


GOOD = {
    "canary": split(100_000, 0.02, 0.02, share=0.1),
    "ab": [
        *split(20_000, 0.02, 0.02, share=0.5),
        *split(20_000, 0.05, 0.1, share=0.5, guard="label_error")[2:],
    ],
    "shadow": [Tally("differs", "shadow", 0, 3000, 3), Tally("differs", "champion", 0, 900, 0)],
}
HARMFUL = {
    "canary": split(20_000, 0.1, 0.02, share=0.1),
    "ab": split(20_000, 0.1, 0.02, share=0.5),
    "shadow": [Tally("differs", "shadow", 0, 3000, 2000), Tally("differs", "champion", 0, 900, 0)],
}


def rollout_of(spec, **changes):
    shares = state.shares_at(spec, 0)
    given = {"shares": shares, "history": (shares,), "started": NOW, "since": NOW, **changes}
    return Rollout(spec, 12, **given)


def sound(rollout, look):
    """What holds of every look of every strategy."""
    assert look.action in ACTIONS
    assert look.reason
    assert (look.name, look.rollout, look.step) == ("churn", 12, rollout.step)
    assert len(look.shares) == len(rollout.spec.arms)
    assert sum(look.shares) == pytest.approx(1.0)
    assert (look.to_step is not None) == (look.action == "step")
    assert look.exit_code == {"rollback": 2, "hold": 2, "wait": 3}.get(look.action, 0)
    text = json.loads(json.dumps(look.to_dict(), allow_nan=False))
    assert replayed(rollout, text).to_dict() == look.to_dict()


@pytest.fixture(params=sorted(STRATEGIES))
def name(request):
    return request.param


def test_every_strategy_has_a_spec_to_be_tried_with():
    assert set(STRATEGIES) == set(SPECS) == set(GOOD) == set(HARMFUL)


def test_its_spec_is_valid_and_survives_the_ledger(name):
    spec = checked_spec(SPECS[name])
    assert strategy_of(name).name == name
    start = Entry(1, "", "", NOW, "ann", **state.begun(spec, "run"))
    found = state.open_rollout([start])
    assert found.spec == spec
    plan = checked(state.plan_of(found))
    assert plan.arms[0].version == 7


def test_a_good_challenger_goes_on(name):
    rollout = rollout_of(SPECS[name])
    look = decide(rollout, GOOD[name], now=NOW)
    sound(rollout, look)
    assert look.action in ("step", "promote", "finish")
    assert look.outcome is Outcome.PASS


def test_a_harmful_challenger_is_rolled_back_and_said_why(name):
    rollout = rollout_of(SPECS[name])
    look = decide(rollout, HARMFUL[name], now=NOW)
    sound(rollout, look)
    assert (look.action, look.outcome) == ("rollback", Outcome.FAIL)
    assert look.shares[0] == 1.0
    assert any(
        item.outcome is Outcome.FAIL and item.reason in look.reason for item in look.evidence
    )


@pytest.mark.parametrize(
    "counts",
    [
        [],
        [Tally("errors", "champion", 0)],
        [Tally("differs", "shadow", 0), Tally("differs", "champion", 0)],
        [Tally("errors", "challenger", 0, 5, 5), Tally("differs", "shadow", 0, 3, 3)],
        [Tally("", "champion", 0, 10), Tally("", "asked", 0, 10)],
        [Tally("of a later version", "challenger", 0, 500, 500)],
        [Tally("errors", "fallback", 7, 500, 500)],
    ],
)
def test_of_too_little_nothing_follows(name, counts):
    rollout = rollout_of(SPECS[name])
    look = decide(rollout, counts, now=NOW)
    sound(rollout, look)
    assert look.action == "wait"


def test_what_is_held_or_has_ended_does_not_go_on(name):
    held = rollout_of(SPECS[name], status="held", reason="lunch")
    assert decide(held, GOOD[name], now=NOW).action == "hold"
    assert decide(held, HARMFUL[name], now=NOW).action == "rollback"
    for status in ("promoted", "rolled back", "aborted", "finished"):
        over = rollout_of(SPECS[name], status=status)
        assert decide(over, HARMFUL[name], now=NOW).action == "wait"


def test_time_ends_it_as_its_spec_says(name):
    for at_end, action in (("hold", "hold"), ("rollback", "rollback")):
        spec = replace(SPECS[name], max_seconds=3600.0, at_end=at_end)
        rollout = rollout_of(spec, started="2026-03-01T07:00:00+00:00")
        look = decide(rollout, [], now=NOW)
        sound(rollout, look)
        assert look.action == action
    promoted = replace(SPECS[name], max_seconds=3600.0, at_end="promote")
    look = decide(rollout_of(promoted, started="2026-03-01T07:00:00+00:00"), [], now=NOW)
    assert look.action == ("promote" if strategy_of(name).promotes else "finish")


COUNTS = st.lists(
    st.builds(
        lambda guard, arm, units, events, s: Tally(
            guard, arm, 0, units, min(events, units), abs(s) * units, s * units, s**2 * units, units
        ),
        st.sampled_from(["", "errors", "label_error", "differs", "shift", "scale", "latency"]),
        st.sampled_from(["champion", "challenger", "shadow"]),
        st.integers(0, 10_000),
        st.integers(0, 10_000),
        st.floats(-3, 3),
    ),
    max_size=10,
)


@given(counts=COUNTS, at=st.sampled_from(sorted(STRATEGIES)))
@settings(max_examples=60, deadline=None)
def test_any_counts_have_a_sound_look(counts, at):
    rollout = rollout_of(SPECS[at])
    sound(rollout, decide(rollout, counts, now=NOW))


def test_a_plan_says_what_it_finds(name):
    found = forecast(SPECS[name], rates={"errors": 0.02, "label_error": 0.1}, per_day=1000.0)
    assert found.harms
    for item in (*found.harms, *found.steps):
        assert item.requests is None or item.requests > 0
    json.dumps(found.to_dict(), allow_nan=False)


def test_the_champion_itself_is_refused(name):
    spec = SPECS[name]
    same = replace(spec, arms=(spec.arms[0], replace(spec.arms[1], version=7)))
    with pytest.raises(ConfigError, match="version 7 is the champion itself"):
        checked_spec(same)
