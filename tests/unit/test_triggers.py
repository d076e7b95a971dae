"""When to retrain: each reason alone, drift that is no reason, and a rule that only ever grows."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.config import RetrainConfig
from lifecycle.records import Entry, Evidence, ModelVersion
from lifecycle.triggers import decide, open_flag

CALM = Evidence(
    drifted=False,
    harmed=False,
    labelled_rows=100,
    trained_rows=1000,
    recent_losses=(0.5, 0.5),
    holdout_loss=0.5,
    holdout_loss_error=0.02,
)


def test_calm_evidence_calls_for_nothing_and_says_why() -> None:
    decision = decide(CALM)
    assert not decision.retrain
    assert "10 % of the 1,000 training rows (100), below 25 %" in decision.reasons[0]
    assert "0.5 and 0.5, is not above 0.52" in decision.reasons[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"harmed": True}, "worse on live rows"),
        ({"labelled_rows": 250}, "25 % of the 1,000 training rows (250), 25 % calls for training"),
        ({"recent_losses": (0.4, 0.53, 0.521)}, "0.53 and 0.521, is above 0.52"),
    ],
)
def test_each_reason_alone_calls_for_training(change: dict, said: str) -> None:
    decision = decide(replace(CALM, **change))
    assert decision.retrain
    assert len(decision.reasons) == 1
    assert said in decision.reasons[0]


@pytest.mark.parametrize(
    "change",
    [
        {"labelled_rows": 249},
        {"recent_losses": (0.9, 0.5)},  # one bad window passed
        {"recent_losses": (0.5, 0.9)},  # one bad window is chance
        {"recent_losses": (0.9,)},
        {"recent_losses": ()},
        {"recent_losses": (0.52, 0.52)},  # at the limit is not above it
        {"recent_losses": (9.0, 9.0), "holdout_loss": None},
        {"recent_losses": (9.0, 9.0), "holdout_loss_error": None},
        {"recent_losses": (float("nan"), float("nan"))},
    ],
)
def test_less_does_not(change: dict) -> None:
    decision = decide(replace(CALM, **change))
    assert not decision.retrain
    assert decision.reasons


def test_drift_alone_is_a_reason_to_look_and_not_to_train() -> None:
    decision = decide(replace(CALM, drifted=True))
    assert not decision.retrain
    assert "drift alone does not call for training" in decision.reasons[0]


def test_drift_beside_harm_is_told_after_it() -> None:
    decision = decide(replace(CALM, drifted=True, harmed=True))
    assert decision.retrain
    assert "worse" in decision.reasons[0]
    assert "moved" in decision.reasons[1]


def test_growth_is_set_by_the_policy() -> None:
    assert decide(CALM, RetrainConfig(growth=0.1)).retrain
    assert not decide(replace(CALM, labelled_rows=900), RetrainConfig(growth=1.0)).retrain


def test_unknown_training_rows_do_not_call_and_are_named() -> None:
    decision = decide(replace(CALM, trained_rows=0, labelled_rows=10_000))
    assert not decision.retrain
    assert "not known" in decision.reasons[0]


LOSS = st.floats(0, 10)
EVIDENCE = st.builds(
    Evidence,
    drifted=st.booleans(),
    harmed=st.booleans(),
    labelled_rows=st.integers(0, 10_000),
    trained_rows=st.integers(0, 10_000),
    recent_losses=st.lists(LOSS, max_size=4).map(tuple),
    holdout_loss=st.none() | LOSS,
    holdout_loss_error=st.none() | st.floats(0, 1),
)


@given(EVIDENCE, st.integers(0, 5000), LOSS, st.floats(0.01, 1))
@settings(max_examples=200)
def test_more_evidence_never_turns_a_yes_into_a_no(
    evidence: Evidence, rows: int, loss: float, growth: float
) -> None:
    policy = RetrainConfig(growth=growth)
    before = decide(evidence, policy)
    assert before.reasons
    worse = [
        replace(evidence, drifted=True),
        replace(evidence, harmed=True),
        replace(evidence, labelled_rows=evidence.labelled_rows + rows),
        replace(evidence, recent_losses=tuple(item + loss for item in evidence.recent_losses)),
    ]
    for more in worse:
        assert decide(more, policy).retrain >= before.retrain


@given(EVIDENCE)
@settings(max_examples=100)
def test_drift_never_changes_the_answer(evidence: Evidence) -> None:
    answers = {decide(replace(evidence, drifted=drifted)).retrain for drifted in (True, False)}
    assert len(answers) == 1


def flag(seq: int, version: int | None, *, call: bool, part: str = "") -> Entry:
    extra = {"retrain": call, **({"part": part} if part else {})}
    return Entry(seq, "", "", "", "", "flag", version=version, extra=extra)


MOVE = Entry(9, "", "", "", "", "stage", version=1, to="staging")
ANSWER = Entry(9, "", "", "", "", "retrain", version=2)
SERVING = ModelVersion("churn", 1)


@pytest.mark.parametrize(
    ("entries", "seq"),
    [
        ([], None),
        ([flag(1, 1, call=True)], 1),
        ([flag(1, None, call=True)], 1),
        ([flag(1, 1, call=True), flag(2, 1, call=True)], 2),
        ([flag(1, 1, call=True), MOVE], 1),  # other entries answer nothing
        ([flag(1, 1, call=True), flag(2, 1, call=False)], None),  # the last check calls it off
        ([flag(1, 1, call=False), flag(2, 1, call=True)], 2),
        ([flag(1, 1, call=True), ANSWER], None),
        ([flag(1, 1, call=True), ANSWER, flag(3, 1, call=True)], 3),
        ([flag(1, 2, call=True)], None),  # another champion's
        ([flag(1, 1, call=True), flag(2, 2, call=False)], 1),  # a challenger's check
        ([flag(1, 1, call=True), flag(2, 1, call=False, part="plan=pro")], 1),
    ],
)
def test_the_last_check_decides_whether_a_call_is_open(entries: list, seq: int | None) -> None:
    found = open_flag(entries, SERVING)
    assert (found.seq if found else None) == seq
    assert open_flag(entries, None) is None  # nothing serves, so nothing is to be replaced


@given(st.lists(st.tuples(st.sampled_from(["flag", "retrain", "stage"]), st.booleans())))
def test_what_follows_a_closed_call_never_opens_it_again_but_a_check(history: list) -> None:
    entries = [
        Entry(seq, "", "", "", "", kind, version=1, extra={"retrain": call})
        for seq, (kind, call) in enumerate(history, 1)
    ]
    said = [entry for entry in entries if entry.kind != "stage"]
    last = said[-1] if said else None
    calling = last is not None and last.kind == "flag" and last.extra["retrain"]
    assert open_flag(entries, SERVING) is (last if calling else None)
