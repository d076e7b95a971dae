"""What is kept of checks is found again by its tags, and nothing else is."""

from datetime import UTC, datetime, timedelta

import pytest

from lifecycle.config import Config
from lifecycle.stores import checks, runs
from lifecycle.stores.tracking import connect, experiment_id

NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def client(config: Config):
    return connect(config)


@pytest.fixture
def experiment(client):
    return experiment_id(client, "churn/monitoring")


@pytest.fixture
def record(client, experiment):
    def made(*, end="", series="s", status="FINISHED", **tags):
        given = {checks.SERIES: series, **({checks.WINDOW_END: end} if end else {}), **tags}
        with runs.run(client, experiment, "a check", tags=given) as run_id:
            pass
        if status != "FINISHED":
            client.set_terminated(run_id, status)
        return run_id

    return made


def test_the_next_window_begins_behind_the_one_that_ended_last(client, experiment, record):
    assert checks.past(client, experiment, "s") is None
    record(end="2026-03-02T00:00:00.000001")
    record(end="2026-03-02T00:00:00")
    record(end="2026-02-02T00:00:00")  # an older window that was looked at again
    record(end="2026-04-02T00:00:00", series="another")
    record(end="2026-05-02T00:00:00", status="KILLED")
    record()  # of a table
    found = checks.past(client, experiment, "s")
    assert found.end == datetime(2026, 3, 2, 0, 0, 0, 1, tzinfo=UTC)
    assert abs(found.recorded - datetime.now(UTC)) < timedelta(minutes=10)


def test_a_check_is_known_by_what_was_checked_once_it_is_whole(client, experiment, record):
    record(status="FAILED", **{checks.CHECK: "abc"})
    assert checks.same(client, experiment, "abc") is None
    run_id = record(**{checks.CHECK: "abc"})
    assert checks.same(client, experiment, "abc").info.run_id == run_id
    assert checks.same(client, experiment, "abcd") is None


def test_news_are_told_once_a_run_with_them_has_ended(client, experiment, record):
    record(status="KILLED", **{checks.NEWS: "abc"})
    assert not checks.told(client, experiment, "abc")
    record(**{checks.NEWS: "abc"})
    assert checks.told(client, experiment, "abc")
    assert not checks.told(client, experiment, "ab")


def test_messages_wait_for_each_address_in_their_order(client, experiment, record):
    first = record(**{f"{checks.ALERT}aa": checks.PENDING, f"{checks.ALERT}bb": "sent"})
    second = record(**{f"{checks.ALERT}aa": checks.PENDING})
    record(**{f"{checks.ALERT}aa": "2026-03-01T00:00:00+00:00"})
    found = checks.pending(client, experiment, "aa")
    assert [item.info.run_id for item in found] == [first, second]
    assert checks.pending(client, experiment, "bb") == []


def test_models_that_were_checked_lately_share_the_alarms(client, experiment):
    assert checks.monitored(client, NOW, beside=experiment) == 1
    for name, days in (("a", 3), ("b", 29), ("c", 31)):
        other = experiment_id(client, f"{name}/monitoring")
        when = (NOW - timedelta(days=days)).isoformat()
        client.set_experiment_tag(other, checks.CHECKED, when)
    experiment_id(client, "d/monitoring")
    elsewhere = experiment_id(client, "notes on monitoring")
    client.set_experiment_tag(elsewhere, checks.CHECKED, NOW.isoformat())
    assert checks.monitored(client, NOW, beside=experiment) == 3
    client.set_experiment_tag(experiment, checks.CHECKED, NOW.isoformat())
    assert checks.monitored(client, NOW, beside=experiment) == 3, "counted once"


def test_a_series_is_a_version_and_a_part_of_its_rows():
    keys = {checks.key_of(ref, part) for ref in ("churn/1", "churn/11") for part in ("", "a=O'H")}
    assert len(keys) == 4
    assert all(key.isalnum() for key in keys), "they stand in queries"
