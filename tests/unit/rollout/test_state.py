"""What the ledger's entries make of rollouts, as a table and for every ledger."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.records import Arm, Entry, Plan, RolloutSpec
from lifecycle.rollout import state
from lifecycle.rollout.assignment import assign
from lifecycle.rollout.plan import checked
from lifecycle.stages import production

PAIR = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
CANARY = RolloutSpec(
    "churn", "canary", PAIR, steps=(0.05, 0.25, 1.0), margins=(2.0,), hold_back=0.1, salt="s"
)
AB = RolloutSpec(
    "churn",
    "ab",
    (Arm("champion", 7, 0.5), Arm("challenger", 8, 0.3), Arm("challenger-2", 9, 0.2)),
    metric="label",
)
SHADOW = RolloutSpec("churn", "shadow", (Arm("champion", 7, 1.0), Arm("shadow", 8, 0.0)))


def entry(seq, kind="rollout", version=8, to=None, **said):
    extra = said.pop("extra", {})
    at = f"2026-01-01T{seq // 60:02d}:{seq % 60:02d}:00.000+00:00"
    return Entry(seq, "", str(seq), at, "me", kind, version=version, to=to, extra=extra, **said)


class Ledger:
    """Entries one after another, each from the state before it."""

    def __init__(self, spec=CANARY):
        self.entries = [entry(1, "stage", 7, "production")]
        self.add(**state.begun(spec, "run-1"))

    def add(self, **said):
        said.setdefault("kind", "rollout")
        self.entries.append(entry(len(self.entries) + 1, **said))
        return self

    def do(self, verb, *args, **kwargs):
        return self.add(**verb(self.now, *args, **kwargs))

    @property
    def now(self):
        return state.latest(self.entries)


def test_an_empty_ledger_has_no_rollout():
    assert state.rollouts(()) == ()
    assert state.latest(()) is None
    assert state.open_rollout(()) is None
    assert state.open_rollout([entry(1, "stage", 7, "production")]) is None


def test_a_start_is_an_open_rollout_at_the_first_step():
    found = Ledger().now
    assert (found.status, found.step, found.seq, found.run_id) == ("running", 0, 2, "run-1")
    assert found.shares == (0.95, 0.05)
    assert found.spec == CANARY
    assert found.started == found.since == "2026-01-01T00:02:00.000+00:00"
    assert found.ended == ""


def test_a_spec_survives_the_ledgers_json():
    for spec in (CANARY, AB, replace(SHADOW, limits={"differs": 0.1}, guards=("errors",))):
        assert state.spec_of(json.loads(json.dumps(spec.to_dict()))) == spec


def test_steps_raise_the_share_and_the_last_holds_back():
    ledger = Ledger().do(state.leased, "a:1", "2026-01-01T01:00:00+00:00")
    ledger.do(state.stepped, 1)
    assert (ledger.now.step, ledger.now.shares) == (1, (0.75, 0.25))
    assert ledger.now.since == ledger.entries[-1].time
    assert (ledger.entries[-1].source, ledger.entries[-1].to) == ("5 %", "25 %")
    ledger.do(state.stepped, 2)
    assert ledger.now.shares == (0.1, 0.9)


def test_the_shares_of_all_steps_are_remembered():
    ledger = Ledger().do(state.stepped, 1)
    assert ledger.now.history == ((0.95, 0.05), (0.75, 0.25))
    skipped = Ledger().do(state.stepped, 2)
    assert skipped.now.history == ((0.95, 0.05), (), (0.1, 0.9))
    assert Ledger(AB).do(state.stepped, 1, (0.2, 0.7, 0.1)).now.history == (
        (0.5, 0.3, 0.2),
        (0.2, 0.7, 0.1),
    )


def test_a_step_that_leaves_out_a_hundred_is_damage():
    before = Ledger(AB).now
    assert Ledger(AB).do(state.stepped, 100, (0.2, 0.7, 0.1)).now.step == 100
    assert Ledger(AB).do(state.stepped, 101, (0.2, 0.7, 0.1)).now == before
    assert Ledger(AB).do(state.stepped, 10**9, (0.2, 0.7, 0.1)).now == before


def test_the_plan_is_what_is_served():
    ledger = Ledger()
    plan = state.plan_of(ledger.now)
    arms = (Arm("champion", 7, 0.95), Arm("challenger", 8, 0.05))
    assert plan == Plan("churn", arms, 0, "s")
    ledger.do(state.stepped, 1)
    assert checked(state.plan_of(ledger.now)).step == 1


def test_a_spec_without_salt_gets_one_of_its_own():
    first = state.plan_of(Ledger(replace(CANARY, salt="")).now)
    later = Ledger().do(state.ended, "aborted").add(**state.begun(replace(CANARY, salt="")))
    assert first.salt == "churn/2"
    assert state.plan_of(later.now).salt == "churn/4"


def test_shadow_answers_nobody():
    plan = state.plan_of(Ledger(SHADOW).now)
    assert [arm.share for arm in plan.arms] == [1.0, 0.0]
    assert {assign(plan, f"c{item}").name for item in range(500)} == {"champion"}
    assert Ledger(SHADOW).entries[-1].to == "shadow"


def test_shares_of_a_test_are_the_arms_own():
    ledger = Ledger(AB)
    assert ledger.now.shares == (0.5, 0.3, 0.2)
    ledger.do(state.stepped, 1, (0.2, 0.7, 0.1), probabilities=(0.1, 0.8, 0.1))
    assert (ledger.now.step, ledger.now.shares) == (1, (0.2, 0.7, 0.1))
    assert ledger.entries[-1].to == "70 % + 10 %"
    assert ledger.entries[-1].extra["probabilities"] == [0.1, 0.8, 0.1]


def test_hold_freezes_and_resume_goes_on():
    ledger = Ledger().do(state.held)
    assert (ledger.now.status, ledger.now.open, ledger.now.shares) == ("held", True, (0.95, 0.05))
    assert ledger.do(state.resumed).now.status == "running"


@pytest.mark.parametrize("outcome", ["rolled back", "aborted", "finished", "promoted"])
def test_an_end_gives_everything_to_the_champion(outcome):
    ledger = Ledger().do(state.ended, outcome)
    assert (ledger.now.status, ledger.now.open) == (outcome, False)
    assert ledger.now.ended == ledger.entries[-1].time
    assert state.plan_of(ledger.now).arms[0].share == 1.0
    assert state.open_rollout(ledger.entries) is None


def test_an_outcome_of_a_later_version_is_an_end_all_the_same():
    ledger = Ledger().do(state.ended, "paused for good")
    assert ledger.now.status == "aborted"


def test_one_entry_promotes():
    ledger = Ledger()
    extra = {"replaced": 7, "replaced_to": "archived", **state.promotion(ledger.now)}
    ledger.add(kind="stage", to="production", extra=extra, reason="proven")
    assert (ledger.now.status, ledger.now.reason) == ("promoted", "proven")
    assert [arm.share for arm in state.plan_of(ledger.now).arms] == [0.0, 1.0]
    before = ledger.now
    assert ledger.do(state.ended, "promoted").now == before


def test_a_promotion_under_an_older_lease_is_one_all_the_same():
    ledger = Ledger()
    extra = state.promotion(ledger.now)
    ledger.do(state.leased, "b:2", "2026-01-01T01:00:00+00:00")
    ledger.add(kind="stage", to="production", extra=extra)
    assert ledger.now.status == "promoted"
    assert production(ledger.entries) == 8


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (("stage", 8, "production"), "version 8 came to production with entry 3"),
        (("stage", 9, "production"), "version 9 came to production with entry 3"),
        (("rollback", 5, "production"), "version 5 came to production with entry 3"),
        (("stage", 7, "archived"), "version 7 left production with entry 3"),
        (("register", 7), "version 7 left production with entry 3"),
        (("register", 8), "version 8 was registered anew with entry 3"),
        (("stage", 8, "archived"), "version 8 was moved to archived with entry 3"),
        (("stage", 8, "none"), "version 8 was moved to none with entry 3"),
    ],
)
def test_moves_by_hand_end_it(said, reason):
    ledger = Ledger()
    ledger.entries.append(entry(3, *said))
    assert (ledger.now.status, ledger.now.reason) == ("aborted", reason)
    assert ledger.now.ended == ledger.entries[-1].time


@pytest.mark.parametrize(
    "said",
    [
        ("stage", 8, "staging"),
        ("stage", 7, "production"),
        ("stage", 9, "staging"),
        ("stage", 9, "archived"),
        ("register", 9),
        ("gate", 8),
        ("flag", None),
        ("adopt", 8),
    ],
)
def test_what_changes_neither_arm_changes_nothing(said):
    ledger = Ledger()
    before = ledger.now
    ledger.entries.append(entry(3, *said))
    assert ledger.now == before


def test_another_rollouts_promotion_is_a_move_by_hand():
    ledger = Ledger()
    ledger.add(kind="stage", to="production", extra={"rollout": 99})
    assert ledger.now.status == "aborted"


def test_stages_with_other_names():
    order = ("new", "staging", "production", "retired")
    ledger = Ledger()
    ledger.entries.append(entry(3, "stage", 8, "retired"))
    assert state.open_rollout(ledger.entries, order) is None
    assert state.open_rollout(ledger.entries).open


def test_a_start_while_one_is_open_does_not_count():
    ledger = Ledger().add(**state.begun(AB))
    assert len(state.rollouts(ledger.entries)) == 1
    ledger.do(state.ended, "aborted").add(**state.begun(AB))
    assert [item.spec.strategy for item in state.rollouts(ledger.entries)] == ["canary", "ab"]
    assert ledger.now.open


def test_a_start_against_another_champion_is_over_at_once():
    entries = [entry(1, "stage", 6, "production"), entry(2, **state.begun(CANARY))]
    found = state.latest(entries)
    assert (found.status, found.reason) == ("aborted", "version 6, not 7, is in production")


def test_a_champion_from_before_the_ledger_is_believed():
    assert state.open_rollout([entry(1, **state.begun(CANARY))]) is not None


def test_leases_have_generations():
    ledger = Ledger().do(state.leased, "a:1", "2026-01-01T01:00:00+00:00")
    assert (ledger.now.holder, ledger.now.generation) == ("a:1", 1)
    ledger.do(state.leased, "a:1", "2026-01-01T02:00:00+00:00")
    assert (ledger.now.generation, ledger.now.until) == (1, "2026-01-01T02:00:00+00:00")
    ledger.do(state.leased, "b:2", "2026-01-01T03:00:00+00:00")
    assert (ledger.now.holder, ledger.now.generation) == ("b:2", 2)


def test_of_two_that_take_the_same_generation_the_first_has_it():
    ledger = Ledger()
    drafts = [state.leased(ledger.now, holder, "2026-01-01T01:00:00+00:00") for holder in "ab"]
    for draft in drafts:
        ledger.add(**draft)
    assert (ledger.now.holder, ledger.now.generation) == ("a", 1)


def test_decisions_of_an_older_lease_change_nothing():
    ledger = Ledger().do(state.leased, "a:1", "2026-01-01T01:00:00+00:00")
    old = ledger.now
    drafts = [state.stepped(old, 1), state.held(old), state.ended(old, "rolled back")]
    ledger.do(state.leased, "b:2", "2026-01-01T03:00:00+00:00")
    before = ledger.now
    for draft in drafts:
        ledger.add(**draft)
        assert ledger.now == before


def test_a_step_twice_is_one_step():
    ledger = Ledger()
    draft = state.stepped(ledger.now, 1)
    before = ledger.add(**draft).now
    assert ledger.add(**draft).now == before
    assert ledger.add(**{**draft, "extra": {**draft["extra"], "step": 0}}).now == before


@pytest.mark.parametrize(
    "changes",
    [
        {"step": 3},
        {"step": "1"},
        {"step": True},
        {"step": None},
        {"rollout": 99},
        {"rollout": None},
        {"generation": "x"},
        {"generation": None},
        {"shares": [0.5]},
        {"shares": [0.5, 0.6]},
        {"shares": [float("nan"), 1.0]},
        {"shares": [1.5, -0.5]},
        {"shares": "all"},
        {"shares": [True, False]},
        {"event": "twist"},
        {"event": None},
        {"event": ["step"]},
    ],
)
def test_damaged_steps_change_nothing(changes):
    ledger = Ledger()
    before = ledger.now
    draft = state.stepped(before, 1)
    assert ledger.add(**{**draft, "extra": {**draft["extra"], **changes}}).now == before


def test_a_step_without_shares_has_the_specs():
    ledger = Ledger()
    draft = state.stepped(ledger.now, 1)
    extra = {key: value for key, value in draft["extra"].items() if key != "shares"}
    assert ledger.add(**{**draft, "extra": extra}).now.shares == (0.75, 0.25)


@pytest.mark.parametrize(
    "changes", [{"holder": ""}, {"holder": 3}, {"until": None}, {"generation": -1}]
)
def test_damaged_leases_change_nothing(changes):
    ledger = Ledger()
    before = ledger.now
    draft = state.leased(before, "a:1", "2026-01-01T01:00:00+00:00")
    assert ledger.add(**{**draft, "extra": {**draft["extra"], **changes}}).now == before


@pytest.mark.parametrize(
    "changes",
    [
        {"arms": None},
        {"arms": []},
        {"arms": [{"name": "champion", "version": 7, "share": 1.0}]},
        {"arms": [{"name": "champion"}, {"name": "challenger"}]},
        {"arms": [{"name": "a", "version": "7", "share": 0}] * 2},
        {"arms": [{"name": "a", "version": True, "share": 0}] * 2},
        {"arms": [{"name": "a", "version": 7, "share": "none"}] * 2},
        {"steps": "all"},
        {"steps": [2.0]},
        {"steps": 5},
        {"steps": [None]},
        {"alpha": "x"},
        {"alpha": float("nan")},
        {"alpha": None},
        {"salt": None},
        {"limits": [1]},
        {"guards": None},
    ],
)
def test_a_spec_that_cannot_be_read_begins_nothing(changes):
    assert state.spec_of({**CANARY.to_dict(), **changes}) is None
    said = state.begun(CANARY)
    extra = {**said["extra"], "spec": {**CANARY.to_dict(), **changes}}
    assert state.rollouts([entry(1, **{**said, "extra": extra})]) == ()


@pytest.mark.parametrize("value", [None, 3, "spec", [], {}, {"name": "churn"}])
def test_what_is_no_spec_is_none(value):
    assert state.spec_of(value) is None


def test_fields_of_other_versions_are_tolerated():
    later = {**CANARY.to_dict(), "colour": "green", "parts": [1]}
    assert state.spec_of(later) == CANARY
    earlier = {key: value for key, value in later.items() if key not in ("salt", "limits")}
    assert state.spec_of(earlier) == replace(CANARY, salt="")


def test_refusals_say_why():
    ledger = Ledger()
    assert state.refusal(ledger.entries, 2, 0) == ""
    assert state.refusal(ledger.entries, 2, 0, 0) == ""
    assert state.refusal(ledger.entries, 5, 0) == "there is no rollout 5"
    ledger.do(state.leased, "b:2", "2026-01-01T03:00:00+00:00").do(state.stepped, 1)
    assert state.refusal(ledger.entries, 2, 0).startswith("b:2 has taken the lease since")
    assert state.refusal(ledger.entries, 2, 1) == ""
    assert "step 1 has begun since" in state.refusal(ledger.entries, 2, 1, 0)
    ledger.add(**{**state.ended(ledger.now, "rolled back"), "reason": "errors rose"})
    assert state.refusal(ledger.entries, 2, 1) == "rollout 2 has ended, rolled back: errors rose"


@pytest.mark.parametrize(
    ("holder", "now", "free"),
    [
        ("a:1", "2026-03-01T08:10:00+00:00", True),
        ("b:2", "2026-03-01T08:10:00+00:00", False),
        ("b:2", "2026-03-01T09:10:00+01:00", False),
        ("b:2", "2026-03-01T08:15:00+00:00", True),
        ("b:2", "2026-03-01T08:16:00", True),
    ],
)
def test_a_lease_that_runs_is_respected(holder, now, free):
    ledger = Ledger().do(state.leased, "a:1", "2026-03-01T08:15:00+00:00")
    assert (state.busy(ledger.now, holder, now) == "") is free


def test_a_lease_whose_end_cannot_be_read_has_ended():
    taken = replace(Ledger().now, holder="a:1", until="soon")
    assert state.busy(taken, "b:2", "2026-03-01T08:10:00+00:00") == ""
    assert state.busy(replace(taken, holder=""), "b:2", "never") == ""


EVENTS = st.sampled_from(["start", "lease", "step", "hold", "resume", "end", "twist", None, 3])
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 4),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.one_of(st.none(), st.floats(0, 1), st.text(max_size=2)), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.just(CANARY.to_dict()),
    st.just(AB.to_dict()),
)
FIELDS = "rollout generation step shares spec holder until outcome run"
EXTRA = st.fixed_dictionaries(
    {"event": EVENTS},
    optional=dict.fromkeys(FIELDS.split(), JUNK),
)
KINDS = st.sampled_from(["rollout"] * 6 + ["stage", "rollback", "register", "gate"])
ROWS = st.lists(
    st.tuples(
        KINDS,
        st.sampled_from([7, 8, 9, None]),
        st.sampled_from(["production", "staging", "none", "archived", "x", None]),
        EXTRA,
    ),
    max_size=12,
)


@given(rows=ROWS, begin=st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_ledger_has_a_state_and_a_plan(rows, begin):
    entries = Ledger().entries if begin else []
    for kind, version, to, extra in rows:
        entries.append(entry(len(entries) + 1, kind, version, to, extra=extra))
    found = state.rollouts(entries)
    assert all(not item.open for item in found[:-1])
    for item in found:
        plan = checked(state.plan_of(item))
        assert item.open or max(arm.share for arm in plan.arms) == 1.0
        json.dumps(item.to_dict())
        assert isinstance(state.refusal(entries, item.seq, 0), str)


MOVES = st.sampled_from(["lease a", "lease b", "step", "hold", "resume", "end", "promote", "hand"])


@given(moves=st.lists(MOVES, max_size=12))
@settings(max_examples=80, deadline=None)
def test_after_every_entry_who_serves_agrees_with_who_is_in_production(moves):
    ledger = Ledger()
    for move in moves:
        before = ledger.now
        if move.startswith("lease"):
            ledger.do(state.leased, move[-1], "2026-01-01T01:00:00+00:00")
        elif move == "step":
            ledger.do(state.stepped, before.step + 1)
        elif move == "promote":
            ledger.add(kind="stage", to="production", extra=state.promotion(before))
        elif move == "hand":
            ledger.add(kind="stage", version=9, to="production")
        else:
            verbs = {"hold": state.held, "resume": state.resumed}
            if move == "end":
                ledger.do(state.ended, "rolled back")
            else:
                ledger.do(verbs[move])
        now = ledger.now
        assert now.generation >= before.generation
        assert now.step >= before.step
        assert before.open or now == before
        if now.open:
            assert production(ledger.entries) == now.champion.version
        if now.status == "promoted":
            assert before.status == "promoted" or production(ledger.entries) == 8


@given(steps=st.lists(st.floats(0.001, 1.0), min_size=1, max_size=5, unique=True))
@settings(max_examples=40, deadline=None)
def test_shares_of_each_step_are_a_plan(steps):
    spec = replace(CANARY, steps=tuple(sorted(steps)), hold_back=0.0)
    for step in range(len(steps)):
        shares = state.shares_at(spec, step)
        assert sum(shares) == pytest.approx(1.0, abs=1e-9)
        assert shares[1] == pytest.approx(spec.steps[step], abs=1e-9)
