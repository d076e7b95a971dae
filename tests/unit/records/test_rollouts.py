"""What records of rollouts say of themselves."""

import json
from dataclasses import replace

import pytest

from lifecycle.records import (
    Arm,
    GuardEvidence,
    Look,
    Outcome,
    Rollout,
    RolloutPlan,
    RolloutSpec,
    RolloutStatus,
    Tally,
)

ARMS = (Arm("champion", 7, 0.5), Arm("challenger", 8, 0.3), Arm("challenger-2", 9, 0.2))
SPEC = RolloutSpec("churn", "ab", ARMS, guards=("errors",), metric="label")
ROLLOUT = Rollout(SPEC, 12)
LOOK = Look("churn", 12, 0, "2026-03-01T08:00:00+00:00")


@pytest.mark.parametrize(
    ("status", "going"),
    [
        ("running", True),
        ("held", True),
        ("promoted", False),
        ("rolled back", False),
        ("aborted", False),
        ("finished", False),
    ],
)
def test_a_rollout_goes_on_while_it_runs_or_is_held(status, going):
    assert replace(ROLLOUT, status=status).open is going


def test_the_first_arm_is_the_champion_and_the_second_the_challenger():
    assert ROLLOUT.champion.version == 7
    assert ROLLOUT.challenger.version == 8


@pytest.mark.parametrize(
    ("action", "code"),
    [("wait", 3), ("step", 0), ("promote", 0), ("finish", 0), ("rollback", 2), ("hold", 2)],
)
def test_a_looks_exit_code(action, code):
    assert replace(LOOK, action=action).exit_code == code


@pytest.mark.parametrize(
    ("status", "code"),
    [("running", 0), ("held", 2), ("rolled back", 2), ("promoted", 0), ("aborted", 0)],
)
def test_a_status_exit_code(status, code):
    assert RolloutStatus("churn", replace(ROLLOUT, status=status), LOOK).exit_code == code


def test_no_rollout_is_no_trouble():
    assert RolloutStatus("churn").exit_code == 0


def test_they_are_json_also_where_evidence_is_endless():
    evidence = GuardEvidence("errors", "challenger", "event", high=float("inf"), harm=-float("inf"))
    look = replace(LOOK, tallies=(Tally("errors", "champion", 0, 5, 1),), evidence=(evidence,))
    for record in (
        SPEC,
        ROLLOUT,
        look,
        RolloutStatus("churn", ROLLOUT, look),
        RolloutPlan(SPEC, 3.0),
    ):
        json.dumps(record.to_dict(), allow_nan=False)
    told = look.to_dict()["evidence"][0]
    assert (told["high"], told["harm"], told["outcome"]) == (None, None, str(Outcome.UNSURE))


def test_the_series_is_not_part_of_a_status():
    shown = RolloutStatus("churn", ROLLOUT, LOOK, ({"step": 0},)).to_dict()
    assert "looks" not in shown
