"""The records that an auditor's verbs give: their exit codes and what scripts read."""

import dataclasses
import json

import pytest

from lifecycle.records import (
    Card,
    CardFact,
    CardSection,
    Exported,
    Finding,
    FolderCheck,
    Outcome,
    Transfer,
)

BROKEN = Finding("ledger.jsonl line 3", Outcome.FAIL, "it was changed")
GONE = Finding("evidence of entry 5", Outcome.UNSURE, "the run is gone")


@pytest.mark.parametrize(
    ("problems", "missing", "outcome", "code"),
    [
        ((), (), Outcome.PASS, 0),
        ((), (GONE,), Outcome.UNSURE, 3),
        ((BROKEN,), (), Outcome.FAIL, 2),
        ((BROKEN,), (GONE,), Outcome.FAIL, 2),
    ],
)
def test_a_problem_counts_more_than_what_was_missing(problems, missing, outcome, code):
    record = FolderCheck("out", problems=problems, missing=missing)
    assert (record.outcome, record.exit_code) == (outcome, code)
    told = record.to_dict()
    assert [item["check"] for item in told["problems"]] == [item.check for item in problems]


def test_an_export_that_lacks_evidence_says_so_by_its_code():
    whole = Exported("churn", "out", "version 3", 9, 4, 12, "ab", "cd")
    assert whole.exit_code == 0
    assert dataclasses.replace(whole, missing=("entry 5: gone",)).exit_code == 3


@pytest.mark.parametrize(
    "record",
    [
        Exported("churn", "out", "version 3", 9, 4, 12, "ab", "cd", ("x",)),
        FolderCheck("out", problems=(BROKEN,)),
        Transfer("churn/3", "churn/1", "https://prod", "sha256:ab"),
        Card("churn", 3, "none", (CardSection("Data", (CardFact("rows", "12", "spec.json"),)),)),
    ],
)
def test_they_are_frozen_and_plain_json(record):
    told = record.to_dict()
    assert json.loads(json.dumps(told)) == told
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.name = "other"
