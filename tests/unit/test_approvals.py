"""Who asked, who agreed and what is still lacking, as a table and as rules for every history."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle import approvals
from lifecycle.config import ApprovalsConfig
from lifecycle.errors import ApprovalRefused, ConfigError, TransitionRefused
from lifecycle.records import Entry, Identity, Outcome

TWO = ApprovalsConfig(needed=2, approvers=("bob", "eve", "kim"))
ANYONE = ApprovalsConfig(needed=1)
KNOWN = "authenticated by https://mlflow.example.org"


def entry(seq, kind, actor="ann", version=3, *, to=None, **more):
    return Entry(
        seq, "", str(seq), "2026-01-01T00:00:00Z", actor, kind, version=version, to=to, **more
    )


def gate(seq, version=3, outcome=Outcome.PASS):
    return entry(
        seq, "gate", version=version, evidence_digest=f"e{seq}", extra={"outcome": str(outcome)}
    )


def request(seq, of, actor="ann", version=3, *, to="production", **extra):
    told = {"gate": of, "digest": "d", **extra}
    return entry(seq, "request", actor, version, to=to, evidence_digest=f"e{of}", extra=told)


def approve(seq, actor, asked=3, of=2, *, version=3, digest="d", **more):
    told = {"request": asked, "digest": digest}
    return entry(
        seq,
        "approve",
        actor,
        version,
        to="production",
        evidence_digest=f"e{of}",
        extra=told,
        **more,
    )


ASKED = (entry(1, "register"), gate(2), request(3, 2))
AGREED = (*ASKED, approve(4, "bob"), approve(5, "eve"))


def names(entries, policy=TWO):
    found = approvals.request_of(entries, "churn", 3, policy)
    return None if found is None else [item.actor for item in found.approvals]


def test_a_request_and_its_approvals():
    found = approvals.request_of(AGREED, "churn", 3, TWO)
    assert (found.name, found.version, found.to, found.actor) == ("churn", 3, "production", "ann")
    assert (found.seq, found.gate, found.evidence_digest, found.digest) == (3, 2, "e2", "d")
    assert [(item.actor, item.seq) for item in found.approvals] == [("bob", 4), ("eve", 5)]
    assert found.missing == 0
    assert found.to_dict()["missing"] == 0
    assert approvals.requests(AGREED, "churn", TWO) == (found,)


def test_what_is_lacking_is_said():
    def lacking(entries, policy=TWO, to="production"):
        return approvals.lacking(entries, "churn", 3, to, policy)

    assert lacking(()) == "2 approvals are needed and nobody has asked for them"
    assert lacking((), ANYONE) == "1 approval is needed and nobody has asked for them"
    assert lacking(ASKED) == "2 approvals are needed; so far nobody agreed to entry 3"
    assert lacking(AGREED[:4]) == "2 approvals are needed; so far bob agreed to entry 3"
    assert lacking(AGREED) == ""
    assert lacking((), to="staging") == ""
    assert lacking((), ApprovalsConfig()) == ""


def test_a_request_for_another_stage_is_not_enough():
    policy = ApprovalsConfig(needed=1, stages=("staging", "production"))
    asked = (*ASKED[:2], request(3, 2, to="staging"), approve(4, "bob"))
    assert approvals.lacking(asked, "churn", 3, "staging", policy) == ""
    assert "nobody has asked" in approvals.lacking(asked, "churn", 3, "production", policy)


@pytest.mark.parametrize(
    ("vote", "policy"),
    [
        (approve(4, "ann"), ANYONE),  # who registered it
        (approve(4, "ann@laptop"), ANYONE),  # … on a machine
        (approve(4, "mallory"), TWO),  # not among the approvers
        (approve(4, "bob", asked=2), TWO),  # of another request
        (approve(4, "bob", of=1), TWO),  # of another gate report
        (approve(4, "bob", digest="x"), TWO),  # of other files
        (approve(4, "bob", version=4), TWO),  # of another version
        (approve(4, "bob"), ApprovalsConfig(needed=1, authenticated=True)),
    ],
)
def test_an_approval_that_does_not_count(vote, policy):
    assert names((*ASKED, vote), policy) == []


def test_one_person_approves_once():
    assert names((*ASKED, approve(4, "bob"), approve(5, "bob"))) == ["bob"]


def test_whoever_asked_or_trained_does_not_approve():
    asked = (*ASKED[:2], request(3, 2, actor="bob", trained_by="eve"))
    votes = [approve(4, "bob"), approve(5, "eve"), approve(6, "eve@host"), approve(7, "kim")]
    assert names((*asked, *votes)) == ["kim"]
    assert approvals.requests(asked)[0].authors == ("ann", "bob", "eve")


def test_a_number_that_was_given_again_has_another_author():
    again = (entry(1, "register", "bob"), entry(2, "register", "ann"), gate(3), request(4, 3))
    assert approvals.requests(again)[0].authors == ("ann",)


def test_a_policy_may_want_authenticated_approvers():
    policy = ApprovalsConfig(needed=1, authenticated=True)
    votes = [approve(4, "bob"), approve(5, "eve", identity=KNOWN)]
    assert names((*ASKED, *votes), policy) == ["eve"]


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (gate(6), "the gates ran again in entry 6"),
        (entry(6, "reject", "kim", reason="too slow"), "kim rejected it in entry 6: too slow"),
        (entry(6, "stage", version=9, to="production"), "the champion changed with entry 6"),
        (entry(6, "rollback", version=9, to="production"), "the champion changed with entry 6"),
        (
            entry(6, "stage", version=9, source="production", to="archived"),
            "the champion changed with entry 6",
        ),
        (entry(6, "register"), "the version was registered anew in entry 6"),
        (
            entry(6, "adopt", extra={"digest": "x"}),
            "the version was adopted with other files in entry 6",
        ),
    ],
)
def test_what_makes_approvals_void(after, why):
    assert names((*AGREED, after)) is None
    assert approvals.ended((*AGREED, after), 3) == why
    said = approvals.lacking((*AGREED, after), "churn", 3, "production", TWO)
    assert said == (
        f"2 approvals are needed and nobody has asked for them: the last request is void, {why}"
    )


@pytest.mark.parametrize(
    "after",
    [
        gate(6, version=4),
        entry(6, "reject", "kim", version=4),
        entry(6, "stage", version=3, source="none", to="staging"),
        entry(6, "stage", version=9, source="none", to="staging"),
        entry(6, "adopt", extra={"digest": "d"}),
        entry(6, "flag", version=None),
        entry(6, "a kind of later versions"),
    ],
)
def test_what_leaves_approvals_as_they_are(after):
    assert names((*AGREED, after)) == ["bob", "eve"]
    assert approvals.ended((*AGREED, after), 3) == ""


def test_a_new_request_begins_without_approvals():
    assert names((*AGREED, request(6, 2, actor="kim"))) == []
    assert names((*AGREED, request(6, 2), approve(7, "bob", asked=6))) == ["bob"]


def test_the_newest_request_comes_last():
    found = (*ASKED, gate(4, 4), request(5, 4, version=4), request(6, 2))
    assert [(item.version, item.seq) for item in approvals.requests(found)] == [(4, 5), (3, 6)]


def test_a_move_to_the_requested_stage_ends_the_request_quietly():
    policy = ApprovalsConfig(needed=1, stages=("staging",))
    moved = (*ASKED[:2], request(3, 2, to="staging"), entry(4, "stage", to="staging"))
    assert approvals.requests(moved, "churn", policy) == ()


def who_may(entries, actor, policy=TWO, *, how="self-declared", agrees=True):
    found = approvals.request_of(entries, "churn", 3, policy)
    approvals.check_vote(found, Identity(actor, how), policy, agrees=agrees)


@pytest.mark.parametrize(
    ("actor", "policy", "words"),
    [
        ("mallory", TWO, "'mallory' is no approver (churn/3). Next: ask one of eve, kim."),
        (
            "ann",
            ANYONE,
            "'ann' made or requested it, and so cannot approve it (churn/3). Next: ask somebody",
        ),
        (
            "ann",
            ApprovalsConfig(needed=1, approvers=("ann", "bob")),
            "'ann' made or requested it, and so cannot approve it (churn/3). Next: ask somebody",
        ),
        (
            "bob",
            TWO,
            "'bob' approved it already, entry 4 (churn/3). Next: ask one of eve, kim.",
        ),
    ],
)
def test_who_may_not_approve_is_told_who_may(actor, policy, words):
    with pytest.raises(ApprovalRefused) as caught:
        who_may(AGREED[:4], actor, policy)
    assert str(caught.value).startswith(words)
    assert caught.value.exit_code == 2
    assert isinstance(caught.value, TransitionRefused)


def test_a_self_declared_name_is_not_enough_where_servers_must_know_it():
    policy = ApprovalsConfig(needed=1, approvers=("bob",), authenticated=True)
    with pytest.raises(ApprovalRefused, match="'bob' is self-declared, but approvers must be"):
        who_may(ASKED, "bob", policy)
    who_may(ASKED, "bob", policy, how=KNOWN)


def test_an_author_may_take_it_back_and_a_stranger_may_not_reject():
    who_may(ASKED, "ann", agrees=False)
    who_may(AGREED, "bob", agrees=False)
    with pytest.raises(ApprovalRefused, match="'mallory' is no approver"):
        who_may(ASKED, "mallory", agrees=False)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (
            ApprovalsConfig(needed=1, stages=("prodution",)),
            "'prodution'; did you mean 'production'",
        ),
        (ApprovalsConfig(needed=1, stages=("none",)), "'none'"),
        (ApprovalsConfig(needed=-1), "approvals.needed is -1"),
        (ApprovalsConfig(needed=2, approvers=("ann",)), "only ann may approve"),
        (ApprovalsConfig(needed=2, approvers=("ann", "ann")), "only ann may approve"),
    ],
)
def test_a_policy_that_nobody_can_meet(policy, words):
    with pytest.raises(ConfigError, match=words):
        approvals.check_policy(policy)


def test_a_policy_that_can_be_met():
    approvals.check_policy(TWO)
    approvals.check_policy(ApprovalsConfig())
    approvals.check_policy(
        ApprovalsConfig(needed=1, stages=("live",)), ("none", "live", "production", "gone")
    )


def move(seq, *, to="production", kind="stage", reason="", version=3, **extra):
    return entry(seq, kind, version=version, to=to, reason=reason, extra=extra)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ((*AGREED, move(6, gate=2)), ""),
        ((*ASKED, move(4, gate=2)), "2 approvals are needed; so far nobody agreed to entry 3"),
        ((*AGREED, move(6)), "no gate report of it was in force"),
        ((*AGREED, move(6, gate=1)), "no gate report of it was in force"),
        ((*AGREED, gate(6), move(7, gate=2)), "no gate report of it was in force"),
        ((gate(1, outcome=Outcome.FAIL), move(2, gate=1)), "its gate report, entry 1, is no pass"),
        (
            (gate(1, outcome=Outcome.UNSURE), move(2, gate=1)),
            "its gate report, entry 1, is no pass",
        ),
        ((move(1, forced=True, reason="night"),), ""),
        ((move(1, forced=True, reason=" "),), "it was forced without a reason"),
        ((move(1, to="archived"),), ""),
        ((move(1, to="staging"),), "no gate report of it was in force"),
        ((gate(1), move(2, to="staging", gate=1)), ""),
        ((move(1, kind="rollback"),), "it was not in production before"),
        ((move(1), move(2, version=4), move(3, kind="rollback")), ""),
    ],
)
def test_what_the_rules_say_against_a_move(entries, words):
    assert approvals.objection(entries, len(entries), TWO) == words


KINDS = st.sampled_from(["register", "gate", "request", "approve", "reject", "stage", "flag"])


@st.composite
def histories(draw):
    """Any entries at all, as somebody might write them past our verbs."""
    made = []
    for seq in range(1, draw(st.integers(0, 14)) + 1):
        kind, version = draw(KINDS), draw(st.integers(1, 2))
        earlier = draw(st.integers(0, seq))
        told = {"request": earlier, "gate": earlier, "digest": "", "outcome": "pass"}
        to = draw(st.sampled_from(["staging", "production", None]))
        who = draw(st.sampled_from(["ann", "bob", "eve", "kim", "mallory"]))
        made.append(entry(seq, kind, who, version, to=to, extra=told))
    return tuple(made)


@settings(max_examples=150, deadline=None)
@given(histories())
def test_whatever_is_written_only_other_approvers_count_and_each_once(entries):
    for asked in approvals.requests(entries, "churn", TWO):
        actors = [item.actor for item in asked.approvals]
        assert len(set(actors)) == len(actors)
        assert not set(actors) & set(asked.authors)
        assert set(actors) <= set(TWO.approvers)
        assert all(item.seq > asked.seq for item in asked.approvals)


@settings(max_examples=150, deadline=None)
@given(histories(), st.integers(1, 2))
def test_a_request_is_open_or_said_to_be_ended(entries, version):
    asked = [item for item in entries if item.kind == "request" and item.version == version]
    open_ = approvals.request_of(entries, "churn", version, TWO)
    why = approvals.ended(entries, version)
    assert bool(asked) == (open_ is not None or bool(why))
    assert open_ is None or not why
    assert open_ is None or open_.seq == asked[-1].seq


@settings(max_examples=100, deadline=None)
@given(histories(), st.integers(1, 2))
def test_more_entries_of_other_kinds_change_nothing(entries, version):
    more = (*entries, entry(len(entries) + 1, "flag", version=version))
    assert approvals.requests(more, "churn", TWO) == approvals.requests(entries, "churn", TWO)


@settings(max_examples=100, deadline=None)
@given(histories(), st.integers(1, 2))
def test_after_a_rejection_nothing_is_approved(entries, version):
    more = (*entries, entry(len(entries) + 1, "reject", "kim", version))
    assert approvals.request_of(more, "churn", version, TWO) is None
    assert approvals.lacking(more, "churn", version, "production", TWO)
