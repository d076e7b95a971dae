"""A request in a terminal: who agreed, what is missing, and the next step."""

from dataclasses import replace

import pytest

from lifecycle.records import Approval, ApprovalRequest, Entry, History, ModelVersion, Status
from lifecycle.views.approval_sheets import line, vouched
from lifecycle.views.layout import BAD, GOOD, UNSURE
from lifecycle.views.sheets import sheet
from lifecycle.views.terminal import text

KNOWN = "authenticated by https://mlflow.example.org"
ASKED = ApprovalRequest(
    "churn", 3, "production", "ann", 7, "2026-01-01T10:00:00", "better", gate=6,
    authors=("ann",), needed=2,
)  # fmt: skip
ONE = replace(ASKED, approvals=(Approval("bob", KNOWN, 8, "2026-01-01T11:00:00", "agreed"),))
BOTH = replace(ONE, approvals=(*ONE.approvals, Approval("eve", "self-declared", 9, "")))


@pytest.mark.parametrize(
    ("record", "title", "mark", "step"),
    [
        (ASKED, "0 of 2 approvals", UNSURE, "next: lifecycle approve churn/3"),
        (ONE, "1 of 2 approvals", UNSURE, "next: lifecycle approve churn/3"),
        (BOTH, "2 of 2 approvals", GOOD, "next: lifecycle promote churn/3 --to production"),
        (replace(ONE, rejected="kim in entry 9: slow"), "rejected", BAD, "by kim in entry 9: slow"),
    ],
)
def test_the_sheet_of_a_request(record, title, mark, step):
    made = sheet(record)
    assert made.title == f"churn/3 to production: {title}"
    assert made.mark == mark
    assert made.notes[-1] == step
    assert len(made.rows) == 1 + len(record.approvals)


def test_everything_is_drawn():
    shown = text(BOTH, width=140)
    for words in ("ann", "better", "bob", KNOWN, "agreed", "self-declared", "the gate report is"):
        assert words in shown
    assert "not to approve it: ann" in shown


def test_a_line_for_status_and_history():
    said = "churn/3 waits for production: 1 of 2 approvals (bob), requested by ann in entry 7"
    assert line(ONE) == said
    assert said in sheet(History("churn", (), (), (ONE,))).notes
    row = Status("churn", ModelVersion("churn", 1, "", ""), 3, requests=(ONE,))
    assert sheet((row,)).notes == [said]


def test_how_many_names_a_server_vouches_for():
    own = Entry(1, "", "", "", "ann", "flag")
    known = replace(own, identity=KNOWN)
    assert vouched([own, own]) == ""
    assert vouched([known]) == "who: 1 authenticated by the tracking server"
    assert vouched([own, known, own]).endswith(
        "1 authenticated by the tracking server, 2 self-declared"
    )
    assert vouched([known, own]) in sheet(History("churn", (known, own))).notes
