"""History: which version served when and why, as table, CSV and head."""

import csv
import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from lifecycle.errors import DataError, ModelNotFound
from lifecycle.project import Project
from lifecycle.records import History, Served
from lifecycle.stores import heads, registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect
from lifecycle.workflows.history import history, history_at, write_csv


@pytest.fixture
def client(serving):
    return connect(serving)


def put(client, version, **extra):
    """An entry that brings a version to production, as promote writes it."""
    return Ledger(client, "churn").append(
        lambda _: draft(kind="stage", version=version, source="none", to="production",
                        reason=f"version {version} is better", extra=extra)
    )  # fmt: skip


def test_who_served_when_and_before_the_first_nobody(serving, client):
    first = next(item for item in history(serving).entries if item.to == "production")
    began = datetime.fromisoformat(first.time)
    second = put(client, 2, replaced=1, replaced_to="archived")
    now = datetime.now(UTC)
    for at, version in (
        (began - timedelta(milliseconds=1), None),
        (began, 1),
        (began.astimezone(timezone(timedelta(hours=9))).isoformat(), 1),
        (now + timedelta(days=1), 2),
        ("2020-01-01", None),
    ):
        found = history_at(serving, at)
        assert found.version == version, at
    found = history_at(serving, now + timedelta(seconds=1))
    assert [item.entry.id for item in found.tenures] == [second.id]
    assert found.tenures[0].entry.reason == "version 2 is better"


def test_a_day_lists_all_who_served_in_it(serving, client):
    put(client, 2, replaced=1, replaced_to="archived")
    days = {datetime.fromisoformat(item.time).date() for item in history(serving).entries}
    day = max(days)
    for at in (day, day.isoformat(), f" {day.isoformat()} "):
        found = history_at(serving, at)
        assert found.version == 2
        assert found.asked == day.isoformat()
    assert history_at(serving, "2099-01-01").version == 2, "the last one serves on"
    assert history_at(serving, date(2020, 1, 1)).tenures == ()


@pytest.mark.parametrize("at", ["yesterday", "2026-13-01", "", "12"])
def test_what_is_no_time_is_refused(serving, at):
    with pytest.raises(DataError, match="no date or time"):
        history_at(serving, at)
    with pytest.raises(DataError, match="no date or time was given"):
        history_at(serving, None)


def test_the_project_gives_both_and_frames_of_them(serving):
    project = Project(config=serving)
    told = project.history()
    assert isinstance(told, History)
    frame = told.to_frame()
    assert list(frame["seq"]) == [1, 2]
    assert str(frame["time"].dtype).startswith("datetime64")
    assert str(frame["time"].dt.tz) == "UTC"
    assert frame["version"].tolist() == [1, 1]
    assert json.loads(frame["extra"][1])["forced"] is True
    assert len(frame) == len(told)
    at = project.history(at=told.entries[-1].time)
    assert isinstance(at, Served)
    tenures = at.to_frame()
    assert tenures[["version", "kind", "to"]].to_numpy().tolist() == [[1, "stage", "production"]]
    assert tenures["until"].isna().all()
    assert History("churn", ()).to_frame().empty
    assert Served("churn", "x", ()).to_frame().empty
    assert project.verify(head=told.head).passed


def test_csv_is_whole_and_no_formula(serving, client, tmp_path):
    for reason in ("=1+1", "-2", "@me", 'plain; with, "quotes" and\na line', "Größe"):
        Ledger(client, "churn").append(lambda _, reason=reason: draft(kind="flag", reason=reason))
    path = tmp_path / "history.csv"
    told = history(serving)
    write_csv(told, path)
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["seq"]) for row in rows] == [entry.seq for entry in told.entries]
    assert [row["reason"] for row in rows[-5:]] == [
        "'=1+1", "'-2", "'@me", 'plain; with, "quotes" and\na line', "Größe",
    ]  # fmt: skip
    assert [row["digest"] for row in rows] == [entry.digest for entry in told.entries]
    write_csv(history_at(serving, told.entries[-1].time), path)
    assert path.read_text().splitlines()[0].startswith("since,until,")
    with pytest.raises(DataError, match="cannot be written"):
        write_csv(told, tmp_path / "no" / "folder.csv")


def test_the_head_is_written_and_a_model_without_a_ledger_has_none(serving, client, tmp_path):
    path = tmp_path / "churn.head"
    told = history(serving, head=path)
    noted = heads.noted(path)
    assert (noted.name, noted.seq, noted.digest) == ("churn", len(told), told.head)
    client.create_registered_model("plain")
    with pytest.raises(DataError, match="no entry, so it has no head"):
        history(serving.with_values(name="plain"), head=tmp_path / "none")
    assert not (tmp_path / "none").exists()
    with pytest.raises(ModelNotFound):
        history_at(serving.with_values(name="chrun"), "2026-01-01")


def test_every_verb_leaves_an_entry_that_says_who_when_what_and_why(serving, client):
    """Register and promote made the first two; what is done by hand is not in it."""
    from lifecycle.workflows.promote import promote
    from lifecycle.workflows.rollback import rollback

    first = registry.find(client, "churn/1")
    again = registry.register(client, "churn", model_uri=first.source, tags=dict(first.tags))
    promote(serving, again, to="production", force=True, reason="try it")
    rollback(serving, reason="worse")
    told = history(serving)
    shown = [(item.kind, item.version, item.source, item.to, item.reason) for item in told.entries]
    assert shown == [
        ("register", 1, None, "none", ""),
        ("stage", 1, "none", "production", "a test"),
        ("register", 2, None, "none", ""),
        ("stage", 2, "none", "production", "try it"),
        ("rollback", 1, "archived", "production", "worse"),
    ]
    assert all(item.actor and item.time.endswith("+00:00") for item in told.entries)
    assert [item.version for item in history_at(serving, told.entries[-1].time).tenures] == [1]
