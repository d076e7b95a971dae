"""Told once, again when it gets worse, and when it is over; what was not taken is told later."""

import json
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest

from lifecycle.config import Config
from lifecycle.records import (
    ColumnDrift,
    Decision,
    DriftReport,
    Incident,
    MonitorReport,
    Outcome,
    Performance,
)
from lifecycle.stores import checks
from lifecycle.stores.ledger import Ledger
from lifecycle.stores.tracking import connect, experiment_id
from lifecycle.workflows.alerts import MOST_BODY, follow, message
from lifecycle.workflows.monitor import monitor
from lifecycle.workflows.score import score

Make = Callable[..., pd.DataFrame]
SECRET = "hunter2"


def report(*moved: str, harm: Outcome | None = None, drift: Outcome | None = None, **more):
    """A check in which columns moved, or labels said something."""
    columns = {name: ColumnDrift(name, "numeric", True, Outcome.FAIL, effect=0.5) for name in moved}
    outcome = drift or (Outcome.FAIL if moved else Outcome.PASS)
    seen = harm and Performance(
        "roc_auc", 0.5, 0.4, 0.6, 0.8, 0.7, 0.9, 90, 0, harm, "roc_auc fell to 0.5"
    )
    given = {
        "reasons": tuple(f"{name} is higher" for name in moved),
        "decision": Decision(retrain=False, reasons=()),
        "drift": DriftReport(outcome, columns, 100, 1234),
        "performance": seen,
        "window": ("2026-03-01T00:00:00", "2026-03-01T23:59:00"),
        "run_id": "5f0c",
    }
    return MonitorReport("churn", 3, outcome, **{**given, **more})


@pytest.fixture
def ledger(config: Config) -> Ledger:
    return Ledger(connect(config), "churn")


def kinds(ledger: Ledger, scope: str = "champion") -> list[str]:
    return [e.to for e in ledger.entries() if e.kind == "incident" and e.source == scope]


def test_the_ledger_has_one_entry_for_each_piece_of_news(ledger: Ledger) -> None:
    told = []
    for number, found in enumerate(
        [report(), report("a"), report("a"), report("a", "b"), report(drift=Outcome.UNSURE),
         report(), report()]
    ):  # fmt: skip
        now, _ = follow(ledger, found, scope="champion", key=f"check {number}")
        told.append(now.change if now else None)
    assert told == [None, "opened", "", "worse", "", "resolved", None]
    assert kinds(ledger) == ["opened", "worse", "resolved"]
    opened, worse, resolved = ledger.entries()
    assert (opened.version, opened.reason) == (3, "churn/3 drifted")
    assert opened.extra["columns"] == {"a": 0.5}
    assert worse.extra["columns"] == {"a": 0.5, "b": 0.5}
    assert worse.extra["since"] == resolved.extra["since"] == "2026-03-01T00:00:00"
    assert resolved.extra["run"] == "5f0c"


def test_what_was_entered_before_a_kill_is_not_entered_again(ledger: Ledger) -> None:
    first = follow(ledger, report("a"), scope="champion", key="one")
    again = follow(ledger, report("a", run_id="other"), scope="champion", key="one")
    assert again == first
    assert (again[0].change, again[1]) == ("opened", "one"), "its message has not been sent"
    assert kinds(ledger) == ["opened"]


def test_what_a_killed_check_had_entered_is_told_once_when_its_rows_are_others_by_then(
    ledger: Ledger,
) -> None:
    told: set[str] = set()

    def check(found: MonitorReport, key: str) -> str:
        now, news = follow(ledger, found, scope="champion", key=key, told=told.__contains__)
        told.add(news)
        return f"{now.change} {news}" if now and news else ""

    follow(ledger, report("a"), scope="champion", key="killed")
    assert check(report("a"), "with more labels") == "opened killed"
    assert check(report("a"), "the next") == ""
    assert kinds(ledger) == ["opened"], "entered once"
    follow(ledger, report(), scope="champion", key="killed, too")
    assert check(report(), "the one after") == "resolved killed, too"
    assert check(report(), "the last") == ""
    assert kinds(ledger) == ["opened", "resolved"]


def test_scopes_have_incidents_of_their_own(ledger: Ledger) -> None:
    follow(ledger, report("a"), scope="champion", key="one")
    part, _ = follow(ledger, report("a"), scope="champion, plan=pro", key="two")
    assert part.change == "opened"
    assert kinds(ledger) == kinds(ledger, "champion, plan=pro") == ["opened"]


def test_an_older_window_can_tell_of_late_harm_and_of_nothing_else(ledger: Ledger) -> None:
    def old(found, key):
        now, _ = follow(ledger, found, scope="champion", key=key, recent=False)
        return now and now.change

    assert old(report("a"), "one") is None, "its drift was told of in its time"
    assert old(report(harm=Outcome.FAIL), "two") == "opened"
    assert old(report(harm=Outcome.PASS), "three") == "", "later windows may still be harmed"
    over, _ = follow(ledger, report(harm=Outcome.PASS), scope="champion", key="four")
    assert over.change == "resolved"


def test_many_long_foreign_names_fit_an_entry(ledger: Ledger) -> None:
    names = [f"{number}{'列' * 80}" for number in range(400)]
    assert follow(ledger, report(*names), scope="champion", key="one")[1] == "one"
    assert follow(ledger, report(*names), scope="champion", key="two")[1] == ""


def test_a_message_says_what_where_since_when_and_what_next() -> None:
    opened = Incident("opened", {"charges": 0.5})
    told = message(report("charges"), opened)
    assert told.title == "churn/3 drifted"
    assert told.kind == "failure"
    assert told.body.splitlines() == [
        "2026-03-01 00:00 to 2026-03-01 23:59 UTC, 1,234 rows",
        "- charges is higher",
        "",
        "Check: run 5f0c of experiment churn/monitoring",
        "Next: look at the columns in the check's report; drift alone does not call for training",
    ]
    both = report("a", harm=Outcome.FAIL)
    assert message(both, opened).title == "churn/3 drifted and is harmed"
    harmed = message(report(harm=Outcome.FAIL), Incident("opened", {}), part="plan=pro")
    assert harmed.title == "churn/3 (plan=pro) is harmed"
    late = message(report(drift=Outcome.UNSURE), replace(opened, harmed=True))
    assert late.title == "churn/3 drifted and is harmed", "found by a check that was killed"
    worse = replace(opened, change="worse", since="2026-02-11T10:00:00")
    later = message(report("a"), worse)
    assert later.title == "churn/3 got worse"
    assert "open since the window of 2026-02-11 10:00" in later.body
    over = message(report(), replace(worse, change="resolved"))
    assert (over.title, over.kind) == ("churn/3: resolved", "success")
    call = replace(both, decision=Decision(retrain=True, reasons=("harm",)))
    assert message(call, opened).body.endswith("lifecycle retrain churn --data FILE --if-flagged")


def test_a_message_links_to_the_run_without_a_password() -> None:
    found = message(
        report("a"),
        Incident("opened"),
        address=f"https://me:{SECRET}@mlflow.example.org/",
        place="7",
    )
    assert "Check: https://me:***@mlflow.example.org/#/experiments/7/runs/5f0c" in found.body
    here = message(report("a"), Incident("opened"), address="sqlite:////srv/mlflow.db", place="7")
    assert "run 5f0c of experiment" in here.body


def test_a_long_message_keeps_its_beginning_and_its_end() -> None:
    found = message(report(*(f"{'x' * 900}{n}" for n in range(50))), Incident("opened"))
    assert len(found.body) <= MOST_BODY
    assert found.body.startswith("2026-03-01")
    assert "Next: look" in found.body


# with a real registry, a real webhook and a real mail server


def calm(make_churn: Make, day: int) -> pd.DataFrame:
    rows = make_churn(150, seed=3, start=f"2025-04-{day:02}")
    return rows.drop(columns="churned")


def moved(make_churn: Make, day: int, *, by: float = 60.0, tenure: float = 0.0) -> pd.DataFrame:
    rows = calm(make_churn, day)
    return rows.assign(charges=rows["charges"] + by, tenure=rows["tenure"] + tenure)


@pytest.fixture
def telling(serving: Config, webhook) -> Config:
    return serving.with_values(monitor__notify=(f"{webhook.address}?token={SECRET}",))


def titles(webhook) -> list[str]:
    return [item["title"] for item in webhook.got]


def test_an_incident_is_told_when_it_opens_gets_worse_and_is_over(
    telling: Config, make_churn: Make, webhook
) -> None:
    monitor(telling, calm(make_churn, 1))
    assert webhook.got == []
    opened = monitor(telling, moved(make_churn, 3))
    assert opened.incident.change == "opened"
    assert titles(webhook) == ["churn/1 drifted"]
    assert "charges is higher" in webhook.got[0]["message"]
    assert opened.run_id in webhook.got[0]["message"]
    assert webhook.got[0]["type"] == "failure"
    assert monitor(telling, moved(make_churn, 3)).repeated
    monitor(telling, moved(make_churn, 5))
    assert len(webhook.got) == 1, "once per incident"
    monitor(telling, moved(make_churn, 7, tenure=40.0))
    assert titles(webhook)[1:] == ["churn/1 got worse"]
    monitor(telling, calm(make_churn, 9).head(5))
    assert len(webhook.got) == 2, "what cannot tell says nothing"
    over = monitor(telling, calm(make_churn, 11))
    assert over.incident.change == "resolved"
    monitor(telling, calm(make_churn, 13))
    assert titles(webhook)[2:] == ["churn/1: resolved"]
    entries = Ledger(connect(telling), "churn").entries()
    assert [e.to for e in entries if e.kind == "incident"] == ["opened", "worse", "resolved"]


def test_what_nobody_took_is_told_with_the_next_check_before_its_own(
    telling: Config, make_churn: Make, webhook
) -> None:
    webhook.stop()
    first = monitor(telling, moved(make_churn, 3))
    assert first.exit_code == 2, "the check is done all the same"
    assert first.notes == (
        "json://127.0.0.1 did not answer: 1 alert waits for it, to be sent with the next check",
    )
    second = monitor(telling, calm(make_churn, 5))
    assert second.notes == first.notes, "an address that failed is left alone for the call"
    webhook.start()
    third = monitor(telling, calm(make_churn, 7))
    assert third.notes == ()
    assert titles(webhook) == ["churn/1 drifted", "churn/1: resolved"]
    monitor(telling, calm(make_churn, 9))
    assert len(webhook.got) == 2, "once"


def test_one_address_that_fails_keeps_nothing_from_the_others(
    telling: Config, make_churn: Make, webhook, mailbox
) -> None:
    host, port = mailbox.server_address
    mail = f"mailto://{host}:{port}?from=churn@example.org&to=team@example.org"
    everyone = (*telling.monitor.notify, mail)
    webhook.answer = 503
    found = monitor(telling, moved(make_churn, 3), notify=everyone)
    assert len(found.notes) == 1
    assert len(mailbox.got) == 1
    assert "Subject: churn/1 drifted" in mailbox.got[0]
    webhook.answer = 200
    monitor(telling, calm(make_churn, 5), notify=everyone)
    assert titles(webhook) == ["churn/1 drifted", "churn/1: resolved"]
    assert len(mailbox.got) == 2


def test_no_address_is_stored_or_shown(telling: Config, make_churn: Make, webhook, capfd) -> None:
    webhook.answer = 500
    found = monitor(telling, moved(make_churn, 3))
    assert SECRET not in json.dumps(found.to_dict())
    assert SECRET not in "".join(capfd.readouterr())
    client = connect(telling)
    run = client.get_run(found.run_id)
    assert SECRET not in json.dumps(run.to_dictionary())
    states = {value for name, value in run.data.tags.items() if name.startswith(checks.ALERT)}
    assert states == {checks.PENDING}
    entries = [entry.to_dict() for entry in Ledger(client, "churn").entries()]
    assert SECRET not in json.dumps(entries)
    webhook.answer = 200
    monitor(telling, moved(make_churn, 3))
    states = client.get_run(found.run_id).data.tags
    assert next(value for name, value in states.items() if name.startswith(checks.ALERT)) > "20"
    assert len(webhook.got) == 1, "a repeated check tells what was left, and nothing new"


def test_an_incident_that_nobody_is_told_of_waits_for_nobody(
    serving: Config, make_churn: Make
) -> None:
    found = monitor(serving, moved(make_churn, 3))
    assert found.incident.change == "opened"
    client = connect(serving)
    place = experiment_id(client, "churn/monitoring")
    assert checks.pending(client, place, "abcd1234") == []
    assert checks.MESSAGE not in client.get_run(found.run_id).data.tags


def test_a_note_of_an_earlier_window_stands_in_the_last_report_too(
    telling: Config, make_churn: Make, webhook
) -> None:
    webhook.stop()
    score(telling, "churn", moved(make_churn, 3).head(96))
    score(telling, "churn", calm(make_churn, 4).head(96))
    report = monitor(telling, every="1d", since="2025-04-03", until="2025-04-05")
    webhook.start()
    assert [item.drifted for item in (*report.earlier, report)] == [True, False]
    assert len(report.notes) == 1
    assert report.notes[0].startswith("json://127.0.0.1 did not answer")
