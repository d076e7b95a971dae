"""The ledger: one winner a number, a chain that shows every change, nothing lost when killed."""

import json
import os
import sqlite3
import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError, LedgerError
from lifecycle.stores import ledger as module
from lifecycle.stores.ledger import FIRST, LONGEST, Ledger, actor, draft, dumps, loads, verify
from lifecycle.stores.tracking import connect

WRITER = """
import sys
from lifecycle.config import Config
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect
ledger = Ledger(connect(Config()), "churn")
for turn in range(int(sys.argv[2])):
    seen = []
    def decide(entries):
        seen.append(len(entries))
        return draft(kind="stage", version=len(entries) + 1, reason=sys.argv[1])
    entry = ledger.append(decide)
    assert entry.seq == seen[-1] + 1 == entry.version, (entry, seen)
"""


@pytest.fixture
def client(config):
    return connect(config)


@pytest.fixture
def ledger(client):
    return Ledger(client, "churn")


def flag(reason=""):
    return lambda _entries: draft(kind="flag", reason=reason)


def change(path, statement, *values):
    database = sqlite3.connect(path)
    with database:
        assert database.execute(statement, values).rowcount == 1
    database.close()


def test_a_model_without_a_ledger_has_no_entries_and_reading_makes_none(ledger, client):
    assert ledger.entries() == ()
    assert client.get_experiment_by_name("churn/ledger") is None


def test_entries_come_back_as_they_were_written(ledger):
    first = ledger.append(
        lambda _: draft(
            kind="stage",
            version=3,
            source="none",
            to="staging",
            reason="Größe “ok” 🎉",
            evidence_digest="ab" * 32,
            evidence_link="runs:/x/gate.json",
            extra={"replaced": None, "score": float("nan"), "tags": ("a", "b")},
        )
    )
    second = ledger.append(flag("drift"))
    assert [first.seq, second.seq] == [1, 2]
    assert first.prev == FIRST
    assert second.prev == first.digest != second.digest
    read = ledger.entries()
    assert read == (first, second)
    assert read[0].digest == first.digest
    assert read[0].extra == {"replaced": None, "score": None, "tags": ["a", "b"]}
    assert read[0].reason == "Größe “ok” 🎉"


def test_nothing_is_written_when_nothing_is_decided(ledger, client):
    assert ledger.append(lambda _: None) is None
    assert client.get_experiment_by_name("churn/ledger") is None


def test_the_loser_of_a_race_decides_again(ledger, client):
    other = Ledger(client, "churn")
    ledger.append(flag("first"))
    asked = []

    def decide(entries):
        asked.append(len(entries))
        if len(asked) == 1:
            other.append(flag("faster"))
        return draft(kind="flag", reason=f"after {len(entries)}")

    assert ledger.append(decide).reason == "after 2"
    assert asked == [1, 2]
    assert [entry.reason for entry in ledger.entries()] == ["first", "faster", "after 2"]


def test_the_loser_may_find_that_there_is_nothing_left_to_do(ledger, client):
    other = Ledger(client, "churn")

    def decide(entries):
        if any(entry.kind == "flag" for entry in entries):
            return None
        other.append(flag("faster"))
        return draft(kind="flag")

    assert ledger.append(decide) is None
    assert len(ledger.entries()) == 1


def test_four_processes_write_one_chain(ledger, config, forked):
    turns = 5
    running = [forked(WRITER, f"w{number}", turns) for number in range(4)]
    said = [process.communicate(timeout=120)[1] for process in running]
    assert [process.returncode for process in running] == [0] * 4, said
    assert said == [""] * 4, "a lost race is nobody's business"
    entries = ledger.entries()
    assert [entry.seq for entry in entries] == list(range(1, 4 * turns + 1))
    assert {entry.reason for entry in entries} == {"w0", "w1", "w2", "w3"}
    client = connect(config)
    names = [item.name for item in client.search_experiments()]
    assert [name for name in names if name.startswith("churn")] == ["churn/ledger"]


def test_threads_of_one_process_write_one_chain(ledger, client):
    errors = []

    def write():
        try:
            for _ in range(5):
                Ledger(client, "churn").append(flag())
        except Exception as error:  # noqa: BLE001 - whatever a thread raises is a failure
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(ledger.entries()) == 15


def test_a_full_run_is_followed_by_another(ledger, client, monkeypatch):
    monkeypatch.setattr(module, "PER_RUN", 3)
    for number in range(8):
        assert ledger.append(flag(f"{number}")).reason == f"{number}"
    entries = ledger.entries()
    assert [entry.kind for entry in entries] == [
        *["flag"] * 3, "continue", *["flag"] * 3, "continue", *["flag"] * 2,
    ]  # fmt: skip
    assert [entry.seq for entry in entries] == list(range(1, 11))
    experiment = client.get_experiment_by_name("churn/ledger")
    runs = client.search_runs([experiment.experiment_id])
    assert sorted(len(run.data.params) for run in runs) == [2, 4, 4]


def test_of_two_that_continue_at_once_one_run_is_used(ledger, client, monkeypatch):
    monkeypatch.setattr(module, "PER_RUN", 2)
    ledger.append(flag())
    ledger.append(flag())
    other, asked = Ledger(client, "churn"), []

    def decide(entries):
        asked.append(len(entries))
        if len(asked) == 1:
            other.append(flag("other"))
        return draft(kind="flag", reason="mine")

    ledger.append(decide)
    reasons = [(entry.kind, entry.reason) for entry in ledger.entries()]
    assert reasons[2:] == [("continue", ""), ("flag", "other"), ("flag", "mine")]
    experiment = client.get_experiment_by_name("churn/ledger")
    assert len(client.search_runs([experiment.experiment_id])) == 2


def test_a_reason_that_mlflow_would_not_keep_is_refused(ledger):
    with pytest.raises(DataError, match=r"longer than the 6,000.*shorter reason"):
        ledger.append(flag("x" * LONGEST))
    assert ledger.entries() == ()
    assert ledger.append(flag("x" * (LONGEST - 500))).seq == 1


def test_a_deleted_ledger_is_said_to_be_deleted_and_can_be_restored(ledger, client):
    ledger.append(flag())
    experiment = client.get_experiment_by_name("churn/ledger")
    client.delete_experiment(experiment.experiment_id)
    for act in (ledger.entries, lambda: ledger.append(flag())):
        with pytest.raises(
            LedgerError, match=f"restore --experiment-id {experiment.experiment_id}"
        ):
            act()
    client.restore_experiment(experiment.experiment_id)
    run = client.search_runs([experiment.experiment_id])[0].info.run_id
    client.delete_run(run)
    with pytest.raises(LedgerError, match=f"mlflow runs restore --run-id {run}"):
        ledger.append(flag())
    client.restore_run(run)
    assert len(ledger.entries()) == 1


def test_a_ledger_that_lost_its_root_says_so(ledger, client, tmp_path):
    ledger.append(flag())
    run = client.get_experiment_by_name("churn/ledger").tags["lifecycle.ledger"]
    change(
        tmp_path / "mlflow.db",
        "UPDATE experiment_tags SET value = ? WHERE key = ?",
        "",
        "lifecycle.ledger",
    )
    with pytest.raises(LedgerError, match="does not say in which run"):
        ledger.entries()
    change(
        tmp_path / "mlflow.db",
        "UPDATE experiment_tags SET value = ? WHERE key = ?",
        "f" * 32,
        "lifecycle.ledger",
    )
    with pytest.raises(LedgerError, match="is gone"):
        ledger.entries()
    change(
        tmp_path / "mlflow.db",
        "UPDATE experiment_tags SET value = ? WHERE key = ?",
        run,
        "lifecycle.ledger",
    )
    assert len(ledger.entries()) == 1


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_a_changed_entry_is_found(ledger, tmp_path, seq):
    for number in range(3):
        ledger.append(flag(f"reason {number}"))
    change(
        tmp_path / "mlflow.db",
        "UPDATE params SET value = replace(value, 'reason ', 'raison ') WHERE key = ?",
        f"t/{seq:06d}",
    )
    if seq == 3:  # nothing follows it yet: the next entry will seal it
        assert ledger.entries()[-1].reason == "raison 2"
    else:
        with pytest.raises(LedgerError, match=f"entry {seq + 1} does not follow"):
            ledger.entries()


def test_a_removed_entry_is_found(ledger, tmp_path):
    for _ in range(3):
        ledger.append(flag())
    change(tmp_path / "mlflow.db", "DELETE FROM params WHERE key = ?", "t/000002")
    with pytest.raises(LedgerError, match="t/000002 is missing"):
        ledger.entries()


def texts(count):
    made, prev = [], FIRST
    for seq in range(1, count + 1):
        made.append(dumps(replace(draft(kind="flag", reason=f"{seq}"), seq=seq, prev=prev)))
        prev = loads(made[-1]).digest
    return made


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_no_swap_cut_or_change_in_the_middle_goes_unseen(data):
    made = texts(5)
    assert [entry.seq for entry in verify(made)] == [1, 2, 3, 4, 5]
    at = data.draw(st.integers(0, 3))
    change = data.draw(st.sampled_from(["drop", "swap", "edit", "double"]))
    wrong = list(made)
    if change == "drop":
        del wrong[at]
    elif change == "swap":
        wrong[at], wrong[at + 1] = wrong[at + 1], wrong[at]
    elif change == "double":
        wrong.insert(at, wrong[at])
    else:
        wrong[at] = wrong[at].replace('"kind":"flag"', '"kind":"gate"')
    with pytest.raises(LedgerError):
        verify(wrong)


@settings(max_examples=50, deadline=None)
@given(reason=st.text(max_size=200), version=st.none() | st.integers(1, 10**6))
def test_any_reason_survives_as_ascii_and_the_form_is_canonical(reason, version):
    written = draft(kind="flag", reason=reason, version=version)
    text = dumps(written)
    assert text.isascii()
    assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    assert loads(text) == written


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "cannot be read"),
        ("no json", "cannot be read"),
        ("[1]", "cannot be read"),
        ('{"v": 2}', "upgrade mlflow-lifecycle"),
        ('{"v": 1, "seq": 1}', "cannot be read"),
    ],
)
def test_what_is_no_entry_is_refused(text, said):
    with pytest.raises(LedgerError, match=said):
        verify([text])


def test_who_acts(monkeypatch):
    monkeypatch.setenv("LIFECYCLE_ACTOR", "airflow")
    assert actor() == "airflow"
    monkeypatch.delenv("LIFECYCLE_ACTOR")
    assert actor().endswith(f"@{os.uname().nodename}")


class AnswerLost:
    """A client whose next write arrives, though its answer does not."""

    def __init__(self, client):
        self.client, self.next = client, False

    def __getattr__(self, name):
        return getattr(self.client, name)

    def log_param(self, *given):
        self.client.log_param(*given)
        if self.next:
            self.next = False
            raise TimeoutError("timed out")


def test_a_lost_answer_at_the_end_of_a_run_breaks_nothing(client, monkeypatch):
    monkeypatch.setattr(module, "PER_RUN", 2)
    lossy = AnswerLost(client)
    ledger = Ledger(lossy, "churn")
    for reason in ("one", "two"):
        ledger.append(flag(reason))
    lossy.next = True
    written = ledger.append(flag("three"))
    assert (written.kind, written.reason) == ("flag", "three")
    assert [entry.reason for entry in ledger.entries()] == ["one", "two", "", "three"]


def test_a_lost_answer_is_not_written_twice(client):
    lossy = AnswerLost(client)
    ledger = Ledger(lossy, "churn")
    ledger.append(flag("one"))
    lossy.next = True
    assert ledger.append(flag("two")).seq == 2
    assert [entry.reason for entry in ledger.entries()] == ["one", "two"]
