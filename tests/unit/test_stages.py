"""The stages, as a table and as rules that hold for every history."""

from dataclasses import replace
from datetime import UTC, datetime
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
    at = f"2026-01-01T{seq % 24:02d}:00:00.000+00:00"
    return Entry(seq, "", str(seq), at, "me", kind, version=version, to=to, extra=extra)


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
        ("none", "staging", "production", "staging", "archived"),
    ],
)
def test_orders_that_cannot_be_used(order):
    with pytest.raises(ConfigError, match=r"stages\.order"):
        stages.check_order(order)


def test_an_order_that_comes_back_to_a_stage_is_called_a_loop():
    with pytest.raises(ConfigError, match=r"is a loop: 'staging' stands in it twice"):
        stages.check_order(("none", "staging", "production", "staging", "archived"))


WAYS = (
    "none > staging",
    "staging > production",
    "staging > none",
    "production > archived",
    "archived>staging",
)


def test_ways_of_ones_own_replace_the_order_of_steps():
    stages.check_order(ORDER, WAYS)
    pairs = [tuple(item.strip() for item in way.split(">")) for way in WAYS]
    for source in ORDER:
        for to in ORDER:
            if (source, to) in pairs:
                stages.check_move(source, to, ORDER, ways=WAYS)
            else:
                with pytest.raises(TransitionRefused, match="force it"):
                    stages.check_move(source, to, ORDER, ways=WAYS)
            stages.check_move(source, to, ORDER, force=True, ways=WAYS)
    with pytest.raises(TransitionRefused, match=r"production.*may go to archived; force"):
        stages.check_move("production", "none", ORDER, ways=WAYS)


@pytest.mark.parametrize(
    ("ways", "said"),
    [
        (["none > stagin"], r"'stagin' is no stage; did you mean 'staging'"),
        (["none staging"], r"is no stage.*write .FROM > TO."),
        (["none > none"], "a loop from a stage to itself"),
        (
            ["none > staging", "production > archived"],
            r"lead from 'none' never to 'production' and",
        ),
        (
            ["none > staging", "staging > production", "production > archived", "none > archived"],
            "",
        ),
        (
            ["none > staging", "staging > production", "none > archived"],
            r"'staging' and 'production' have no way back.*can never come to 'archived'",
        ),
        (
            ["none > staging", "staging > production", "production > staging", "none > archived"],
            r"'staging' and 'production' form a loop that nothing leaves",
        ),
        (
            ["none > staging", "none > production", "staging > archived"],
            r"'production' has no way back",
        ),
    ],
)
def test_ways_that_strand_a_version_are_refused(ways, said):
    if not said:
        stages.check_order(ORDER, ways)
        return
    with pytest.raises(ConfigError, match=said):
        stages.check_order(ORDER, ways)


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.lists(
        st.tuples(st.sampled_from(LONGER), st.sampled_from(LONGER)), max_size=12, unique=True
    )
)
def test_accepted_ways_lead_everywhere_and_back(pairs):
    ways = [f"{source} > {to}" for source, to in pairs]
    try:
        stages.check_order(LONGER, ways)
    except ConfigError:
        return
    for start in LONGER:
        seen, here = {start}, [start]
        while here:
            onward = set(stages.allowed(here.pop(), LONGER, ways)) - seen
            seen |= onward
            here += onward
        assert LONGER[-1] in seen
        assert start != LONGER[0] or seen == set(LONGER)


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


def hour(number):
    return datetime(2026, 1, 1, number, tzinfo=UTC)


def spells(entries):
    return [
        (item.version, item.since[11:13], item.until[11:13]) for item in stages.tenures(entries)
    ]


def test_nobody_served_before_the_first_promotion():
    assert stages.tenures(()) == ()
    one = ledger(("register", 1), ("stage", 1, "staging"), ("stage", 1, "production"))
    assert spells(one) == [(1, "03", "")]
    assert stages.served(one, hour(2), hour(2)) == ()
    assert [item.entry.seq for item in stages.served(one, hour(3), hour(3))] == [3]


def test_every_tenure_names_what_began_and_ended_it():
    entries = (
        *ledger(("stage", 1, "production"), ("gate", 2), ("stage", 2, "production")),
        entry(4, "rollback", 1, "production", replaced=2),
        entry(5, "stage", 1, "archived"),
        entry(6, "stage", 3, "production"),
    )
    assert spells(entries) == [(1, "01", "03"), (2, "03", "04"), (1, "04", "05"), (3, "06", "")]
    found = stages.tenures(entries)
    assert [(item.entry.seq, item.ended.seq if item.ended else None) for item in found] == [
        (1, 3), (3, 4), (4, 5), (6, None),
    ]  # fmt: skip
    assert stages.served(entries, hour(5), hour(5)) == ()


def test_a_champion_from_before_the_ledger_served_since_nobody_knows():
    entries = (entry(2, "stage", 4, "production", replaced=3, replaced_to="archived"),)
    assert spells(entries) == [(3, "", "02"), (4, "02", "")]
    assert stages.tenures(entries)[0].entry is None
    assert [item.version for item in stages.served(entries, hour(1), hour(1))] == [3]


def test_a_day_sees_all_who_served_in_it_and_its_end_does_not_count():
    entries = ledger(*[("stage", version, "production") for version in (1, 2, 3)])
    assert [item.version for item in stages.served(entries, hour(0), hour(3))] == [1, 2]
    assert [item.version for item in stages.served(entries, hour(0), hour(23))] == [1, 2, 3]
    assert stages.served(entries, hour(0), hour(1)) == ()


def test_a_clock_that_goes_wrong_does_not_turn_the_order_round():
    late = replace(entry(1, "stage", 1, "production"), time="2026-01-01T09:00:00.000+00:00")
    entries = (late, entry(2, "stage", 2, "production"), entry(12, "stage", 3, "production"))
    assert spells(entries) == [(1, "09", "09"), (2, "09", "12"), (3, "12", "")]
    assert [item.version for item in stages.served(entries, hour(10), hour(10))] == [2]


def test_times_of_other_zones_and_times_that_are_none_are_taken_in():
    east = replace(entry(1, "stage", 1, "production"), time="2026-01-01T03:00:00+02:00")
    broken = replace(entry(2, "stage", 2, "production"), time="yesterday")
    assert spells((east, broken)) == [(1, "01", "01"), (2, "01", "")]


@settings(max_examples=60, deadline=None)
@given(attempts=moves, at=st.integers(0, 23))
def test_what_served_at_a_time_is_the_fold_up_to_then(attempts, at):
    entries = played(attempts, LONGER)[:23]
    up_to = [item for item in entries if item.seq <= at]
    found = stages.served(entries, hour(at), hour(at), LONGER)
    assert [item.version for item in found] == (
        [] if (now := stages.production(up_to, LONGER)) is None else [now]
    )


@settings(max_examples=40, deadline=None)
@given(attempts=moves)
def test_tenures_never_overlap_and_the_last_is_the_present(attempts):
    entries = played(attempts, LONGER)[:23]
    found = stages.tenures(entries, LONGER)
    for one, after in pairwise(found):
        assert one.until
        assert one.until <= after.since
    last = found[-1] if found else None
    now = stages.production(entries, LONGER)
    assert (last.version if last and not last.until else None) == now
