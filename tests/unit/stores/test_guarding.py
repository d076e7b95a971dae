"""What the ledger says against a write, as a table."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.config import ApprovalsConfig
from lifecycle.records import Arm, Entry, Outcome, RolloutSpec
from lifecycle.rollout.state import begun, ended, held, leased, rollouts, stepped
from lifecycle.stages import standing
from lifecycle.stores.guarding import ALIASES, Guard


def entry(seq, kind, version=1, *, to=None, **more):
    return Entry(seq, "", str(seq), "2026-01-01T00:00:00Z", "ann", kind, version, to=to, **more)


def forced(seq, version, to, **extra):
    return entry(seq, "stage", version, to=to, reason="night", extra={"forced": True, **extra})


# 1 was in production, 2 is, 3 is in staging and challenger, 4 was only registered and gated
LEDGER = (
    entry(1, "register", 1),
    forced(2, 1, "production"),
    entry(3, "register", 2),
    forced(4, 2, "production", replaced=1),
    entry(5, "register", 3),
    forced(6, 3, "staging"),
    entry(7, "retrain", 3, to="challenger"),
    entry(8, "register", 4),
    entry(9, "gate", 4, evidence_digest="e9", extra={"outcome": str(Outcome.FAIL)}),
)
GUARD = Guard(LEDGER)
RIGHT = {"champion": 2, "previous": 1, "staging": 3, "challenger": 3, "shadow": None}
PAIR = (Arm("champion", 2, 0.0), Arm("challenger", 4, 0.0))
SPEC = RolloutSpec("churn", "canary", PAIR, steps=(0.05, 0.5))


def after(*said, kind="canary"):
    """The ledger with a rollout of version 4, and what came after it."""
    spec = SPEC
    if kind == "shadow":
        spec = RolloutSpec("churn", kind, (Arm("champion", 2, 1.0), Arm("shadow", 4, 0.0)))
    entries = [*LEDGER, entry(10, **begun(spec, "run"), reason="try it")]
    for make in said:
        found = rollouts(entries)[-1]
        entries.append(entry(len(entries) + 1, **make(found), reason="so"))
    return Guard(tuple(entries))


@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
def test_an_alias_is_what_the_ledger_says(alias, version):
    right = RIGHT[alias]
    said = GUARD.alias(alias, version)
    why = (
        f"the ledger says that {alias} is version {right}"
        if right
        else f"the ledger names no {alias}"
    )
    assert said == ("" if version == right else why)


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_that_the_ledger_names_stays(alias):
    right = RIGHT[alias]
    why = f"the ledger says that {alias} is version {right}" if right else ""
    assert GUARD.no_alias(alias) == why


@pytest.mark.parametrize(
    ("guard", "challenger", "shadow"),
    [
        (after(), 4, None),  # an open rollout goes before what was retrained
        (after(lambda it: stepped(it, 1)), 4, None),
        (after(held), 4, None),
        (after(lambda it: leased(it, "a:1", "2027-01-01T00:00:00Z")), 4, None),
        (after(lambda it: ended(it, "rolled back")), 3, None),
        (after(lambda it: ended(it, "aborted")), 3, None),
        (after(kind="shadow"), 3, 4),
        (after(lambda it: ended(it, "finished"), kind="shadow"), 3, None),
    ],
)
def test_challenger_and_shadow_follow_the_rollouts(guard, challenger, shadow):
    right = {"challenger": challenger, "shadow": shadow}
    for alias, version in right.items():
        for tried in (2, 3, 4):
            assert (guard.alias(alias, tried) == "") == (tried == version)
        assert (guard.no_alias(alias) == "") == (version is None)


def test_what_was_retrained_and_rolled_back_is_no_challenger_any_more():
    pair = (Arm("champion", 2, 0.0), Arm("challenger", 3, 0.0))
    start = entry(10, **begun(RolloutSpec("churn", "canary", pair, steps=(0.05,))))
    entries = (*LEDGER, start)
    lost = (*entries, entry(11, **ended(rollouts(entries)[-1], "rolled back")))
    assert Guard(lost).alias("challenger", 3) == "the ledger names no challenger"
    anew = (*lost, entry(12, "retrain", 5, to="challenger"))
    assert Guard(anew).alias("challenger", 5) == ""


def test_the_tags_of_a_rollout_are_what_the_ledger_says():
    guard = after(lambda it: stepped(it, 1))
    told = '{"seq":10,"shares":[0.5,0.5],"status":"running","step":1,"strategy":"canary"}'
    assert guard.model_tag("lifecycle.rollout", told) == ""
    assert told in guard.model_tag("lifecycle.rollout", "{}")
    assert guard.tag(4, "lifecycle.rollout", "running: try it", {}) == ""
    assert "running" in guard.tag(4, "lifecycle.rollout", "promoted", {"lifecycle.rollout": "x"})
    assert guard.tag(3, "lifecycle.rollout", "running", {}) == (
        "the ledger says of lifecycle.rollout: nothing"
    )
    assert GUARD.model_tag("lifecycle.rollout", "{}").endswith("nothing")


def test_a_version_that_is_rolled_out_is_not_deleted():
    assert after().deletion(4) == "version 4 is being rolled out"
    assert after().deletion(3) == ""
    assert after(lambda it: ended(it, "aborted")).deletion(4) == ""


def test_aliases_of_others_are_theirs():
    assert GUARD.alias("nightly", 4) == ""
    assert GUARD.no_alias("nightly") == ""


@pytest.mark.parametrize("alias", ALIASES)
def test_before_the_first_move_nobody_is_named(alias):
    guard = Guard(LEDGER[:1])
    assert guard.alias(alias, 1) == f"the ledger names no {alias}"
    assert guard.no_alias(alias) == ""


def test_a_challenger_that_has_won_is_no_challenger_any_more():
    won = Guard((*LEDGER, forced(10, 3, "production", replaced=2)))
    assert won.no_alias("challenger") == ""


def test_a_model_without_a_ledger_is_plain_mlflows():
    guard = Guard(())
    assert not any(guard.alias(alias, 1) or guard.no_alias(alias) for alias in ALIASES)
    assert guard.stage(1, "Production", archive=True) == ""
    assert guard.deletion(1) == guard.deletion() == guard.rename() == ""
    assert guard.tag(1, "lifecycle.digest", "x", {"lifecycle.digest": "y"}) == ""
    assert guard.no_tag("lifecycle.digest") == ""


@pytest.mark.parametrize(
    ("move", "why"),
    [
        (entry(10, "stage", 4, to="production"), "no gate report of it was in force"),
        (
            entry(10, "stage", 4, to="production", extra={"gate": 9}),
            "its gate report, entry 9, is no pass",
        ),
        (
            entry(10, "stage", 4, to="production", extra={"forced": True}),
            "it was forced without a reason",
        ),
        (entry(10, "rollback", 4, to="production"), "it was not in production before"),
        (entry(10, "stage", 4, to="staging"), "no gate report of it was in force"),
    ],
)
def test_a_move_that_somebody_wrote_past_the_rules_moves_no_alias(move, why):
    alias = "champion" if move.to == "production" else "staging"
    said = Guard((*LEDGER, move)).alias(alias, 4)
    assert said == f"entry 10 of the ledger is not in order: {why}"
    assert Guard((*LEDGER, move)).stage(4, move.to, archive=False) == said


def test_the_servers_own_policy_asks_for_approvals():
    gate = entry(9, "gate", 4, extra={"outcome": str(Outcome.PASS)})
    moved = (*LEDGER[:8], gate, entry(10, "stage", 4, to="production", extra={"gate": 9}))
    assert Guard(moved).alias("champion", 4) == ""
    said = Guard(moved, ApprovalsConfig(needed=1)).alias("champion", 4)
    assert said.endswith("1 approval is needed and nobody has asked for them")


@pytest.mark.parametrize(
    ("version", "right"), [(1, "Archived"), (2, "Production"), (3, "Staging"), (4, "None")]
)
@pytest.mark.parametrize("stage", ["None", "Staging", "Production", "Archived", "production"])
def test_mlflows_stage_is_the_ledgers(version, right, stage):
    said = GUARD.stage(version, stage, archive=False)
    assert (said == "") == (stage.lower() == right.lower())


def test_others_are_archived_by_production_only():
    assert GUARD.stage(2, "Production", archive=True) == ""
    assert GUARD.stage(3, "Staging", archive=True) == (
        "the ledger does not say that others leave the stage"
    )


def test_what_serves_is_not_deleted_and_a_name_is_kept():
    assert GUARD.deletion(2) == GUARD.deletion() == "version 2 is in production"
    assert GUARD.deletion(1) == GUARD.deletion(3) == ""
    assert GUARD.rename() == "its ledger is kept under its name"


RECORDED = {"lifecycle.digest": "d", "lifecycle.stage": "production"}


@pytest.mark.parametrize(
    ("version", "key", "value", "why"),
    [
        (2, "lifecycle.stage", "production", ""),
        (2, "lifecycle.stage", "staging", "the ledger says of lifecycle.stage: 'production'"),
        (4, "lifecycle.stage", "production", "the ledger says of lifecycle.stage: nothing"),
        (0, "lifecycle.stage", "production", "the ledger says of lifecycle.stage: nothing"),
        (4, "lifecycle.gate", "fail", ""),
        (4, "lifecycle.gate", "pass", "the ledger says of lifecycle.gate: 'fail'"),
        (4, "lifecycle.gate_digest", "e9", ""),
        (4, "lifecycle.gate_digest", "x", "the ledger says of lifecycle.gate_digest: 'e9'"),
        (0, "lifecycle.gate", "pass", "the ledger has no gate report of version 0"),
        (2, "lifecycle.digest", "d", ""),
        (2, "lifecycle.digest", "x", "lifecycle.digest is recorded, and version 2 has been moved"),
        (2, "lifecycle.spec_run", "f", ""),
        (4, "lifecycle.digest", "x", ""),
        (2, "lifecycle.drift", "drifted", ""),
        (2, "owner", "ann", ""),
    ],
)
def test_tags_of_a_version(version, key, value, why):
    assert GUARD.tag(version, key, value, RECORDED).startswith(why)
    assert bool(why) == bool(GUARD.tag(version, key, value, RECORDED))


@pytest.mark.parametrize("value", ["0", "7", "9"])
def test_the_models_mark_goes_no_further_than_the_ledger(value):
    assert GUARD.model_tag("lifecycle.projected", value) == ""
    assert Guard(LEDGER[:3]).model_tag("lifecycle.projected", value) == (
        "" if value == "0" else "the ledger has 3 entries"
    )


@pytest.mark.parametrize("value", ["-1", "many", "", "²"])
def test_the_models_mark_is_a_number(value):
    assert GUARD.model_tag("lifecycle.projected", value) == "the ledger has 9 entries"


def test_what_was_recorded_is_not_removed():
    for key in ("lifecycle.projected", "lifecycle.digest"):
        assert GUARD.no_tag(key) == "what lifecycle has recorded stays"
    assert GUARD.no_tag("owner") == GUARD.no_tag("lifecycle.drift") == ""
    assert GUARD.model_tag("owner", "ann") == ""


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["register", "stage", "rollback", "retrain"]),
        st.integers(1, 3),
        st.sampled_from(["staging", "production", "archived", "challenger"]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(MOVES, st.integers(1, 3))
def test_at_most_the_ledgers_version_is_ever_let_through(moves, version):
    entries = tuple(
        entry(
            seq, kind, number, to=None if kind == "register" else to, reason="r",
            extra={"forced": True},
        )
        for seq, (kind, number, to) in enumerate(moves, start=1)
    )  # fmt: skip
    guard, now = Guard(entries), standing(entries)
    for alias, meant in (
        ("champion", now.production), ("previous", now.previous), ("staging", now.staging),
    ):  # fmt: skip
        assert (guard.alias(alias, version) == "") == (meant == version)
        assert (guard.no_alias(alias) == "") == (meant is None)
    assert (guard.deletion(version) == "") == (now.production != version)
