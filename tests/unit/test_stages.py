"""The stages, as a table and as rules that hold for every history."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle import stages
from lifecycle.errors import ConfigError, TransitionRefused
from lifecycle.records import Entry

ORDER = ("none", "staging", "production", "archived")
LONGER = ("none", "review", "staging", "production", "retired")


def entry(seq, kind, version=None, to=None, **extra):
    return Entry(
        seq, "", str(seq), "2026-01-01T00:00:00Z", "me", kind, version=version, to=to, extra=extra
    )


def ledger(*moves):
    """Entries from (kind, version, to) or (kind, version)."""
    return tuple(entry(seq, *move) for seq, move in enumerate(moves, start=1))


def test_an_empty_ledger_says_nothing():
    assert stages.standing(()) == stages.Standing()
    assert stages.stage_of((), 1) == "none"
    assert stages.production(()) is None
    assert stages.previous(()) is None


def test_the_way_of_two_versions():
    moves = ledger(
        ("register", 1),
        ("stage", 1, "staging"),
        ("stage", 1, "production"),
        ("register", 2),
        ("stage", 2, "staging"),
    )
    assert stages.standing(moves) == stages.Standing(
        {1: "production", 2: "staging"}, 1, None, 2, 5, True
    )
    moves = (*moves, entry(6, "stage", 2, "production"))
    assert stages.standing(moves) == stages.Standing(
        {2: "production", 1: "archived"}, 2, 1, None, 6, True
    )


def test_a_rollback_goes_one_back_each_time_and_never_to_what_was_rolled_back():
    moves = ledger(*[("stage", version, "production") for version in (1, 2, 3)])
    assert stages.previous(moves) == 2
    moves = (*moves, entry(4, "rollback", 2, "production"))
    assert (stages.production(moves), stages.previous(moves)) == (2, 1)
    assert stages.stage_of(moves, 3) == "archived"
    moves = (*moves, entry(5, "rollback", 1, "production"))
    assert (stages.production(moves), stages.previous(moves)) == (1, None)


def test_what_leaves_production_is_what_a_rollback_returns_to():
    moves = ledger(("stage", 1, "production"), ("stage", 1, "archived"))
    assert (stages.production(moves), stages.previous(moves)) == (None, 1)


def test_a_champion_from_before_the_ledger_is_remembered_by_the_entry_that_replaces_it():
    moves = (entry(1, "stage", 4, "production", replaced=3, replaced_to="archived"),)
    assert (stages.production(moves), stages.previous(moves)) == (4, 3)
    assert stages.stage_of(moves, 3) == "archived"


def test_a_number_that_is_given_again_starts_anew():
    moves = ledger(("stage", 1, "production"), ("stage", 2, "production"), ("register", 2))
    assert stages.production(moves) is None
    assert stages.previous(moves) == 1
    assert stages.stage_of(moves, 2) == "none"


def test_the_last_that_came_to_staging_is_the_staged_one():
    moves = ledger(("stage", 1, "staging"), ("stage", 2, "staging"), ("stage", 1, "staging"))
    assert stages.standing(moves).staging == 1


def test_other_entries_move_nothing():
    moves = ledger(("stage", 1, "production"), ("gate", 2), ("flag", 1), ("adopt", 1), ("retrain",))
    assert stages.standing(moves) == stages.Standing({1: "production"}, 1, None, None, 1, True)


@pytest.mark.parametrize(
    ("source", "ways"),
    [
        ("none", {"staging", "archived"}),
        ("staging", {"production", "archived", "none"}),
        ("production", {"archived", "none"}),
        ("archived", {"staging", "none"}),
    ],
)
def test_every_pair_of_stages(source, ways):
    for to in ORDER:
        if to in ways:
            stages.check_move(source, to, ORDER)
        else:
            with pytest.raises(TransitionRefused, match=f"{source!r} cannot go to {to!r}"):
                stages.check_move(source, to, ORDER)
        stages.check_move(source, to, ORDER, force=True)


def test_the_refusal_names_what_is_allowed_and_the_version():
    with pytest.raises(TransitionRefused, match=r"churn/2.*staging or archived; force it"):
        stages.check_move("none", "production", ORDER, where="churn/2")
    with pytest.raises(TransitionRefused, match="did you mean 'staging'"):
        stages.check_move("none", "stagin", ORDER, force=True)


def test_which_stages_need_the_gates():
    assert [stage for stage in LONGER if stages.gated(stage, LONGER)] == [
        "review",
        "staging",
        "production",
    ]


@pytest.mark.parametrize(
    "order",
    [
        (),
        ("none", "production"),
        ("production", "archived", "none"),
        ("none", "live", "archived"),
        ("none", "none", "production", "archived"),
    ],
)
def test_orders_that_cannot_be_used(order):
    with pytest.raises(ConfigError, match=r"stages\.order"):
        stages.check_order(order)


moves = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.sampled_from(LONGER),
        st.booleans(),
        st.sampled_from(["stage", "rollback", "register"]),
    ),
    max_size=25,
)


def played(attempts, order):
    """What the verbs would write of these attempts: refused moves leave no entry."""
    entries = []
    for version, to, force, kind in attempts:
        if kind == "register":
            entries.append(entry(len(entries) + 1, "register", version))
            continue
        if kind == "rollback":
            back = stages.previous(entries, order)
            if back is not None:
                now = stages.production(entries, order)
                entries.append(
                    entry(len(entries) + 1, "rollback", back, "production", replaced=now)
                )
            continue
        source = stages.stage_of(entries, version, order)
        try:
            stages.check_move(source, to, order, force)
        except TransitionRefused:
            continue
        entries.append(entry(len(entries) + 1, "stage", version, to, forced=force, source=source))
    return entries


@settings(max_examples=60, deadline=None)
@given(attempts=moves)
def test_no_path_skips_a_stage_unless_forced(attempts):
    for item in played(attempts, LONGER):
        if item.kind == "stage" and not item.extra["forced"] and stages.gated(item.to, LONGER):
            before = LONGER[LONGER.index(item.to) - 1]
            first = before == "none"
            assert item.extra["source"] == before or (first and item.extra["source"] == "retired")


@settings(max_examples=60, deadline=None)
@given(attempts=moves)
def test_at_most_one_version_is_in_production_after_every_entry(attempts):
    entries = played(attempts, LONGER)
    for length in range(len(entries) + 1):
        now = stages.standing(entries[:length], LONGER)
        serving = [version for version, stage in now.stages.items() if stage == "production"]
        assert serving == ([] if now.production is None else [now.production])
        assert now.previous is None or now.previous != now.production


@settings(max_examples=40, deadline=None)
@given(attempts=moves)
def test_rollbacks_end(attempts):
    entries = played(attempts, LONGER)
    seen = []
    for _ in range(30):
        back = stages.previous(entries, LONGER)
        if back is None:
            break
        now = stages.production(entries, LONGER)
        entries.append(entry(len(entries) + 1, "rollback", back, "production", replaced=now))
        seen.append(back)
    assert stages.previous(entries, LONGER) is None
    assert all(one != other for one, other in pairwise(seen))
