"""The run of a rollout: its series as they come back, its end, and names that MLflow takes."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lifecycle.records import Arm, GuardEvidence, Look, Rollout, RolloutSpec, Tally
from lifecycle.stores import rollout_runs
from lifecycle.stores.tracking import connect, experiment_id

ARMS = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
GUARDS = ("errors", "latency<=50", "errors:carrier=Ü/A (x)")
SPEC = RolloutSpec("churn", "canary", ARMS, steps=(0.5, 1.0), guards=GUARDS)


@pytest.fixture
def client(config):
    return connect(config)


@pytest.fixture
def rollout(client):
    run_id = rollout_runs.begin(client, experiment_id(client, "churn"), SPEC)
    return Rollout(SPEC, 12, shares=(0.5, 0.5), started="2026-03-01T08:00:00+00:00", run_id=run_id)


def look(at, action="wait", **values):
    found = [
        GuardEvidence(guard, "challenger", "event", harm=0.5, harm_limit=4.5, **values)
        for guard in ("assignment", *GUARDS)
    ]
    tallies = (Tally("", "champion", 0, 10), Tally("", "challenger", 0, 11), Tally("", "x", 1, 5))
    return Look("churn", 12, 0, at, tallies, tuple(found), action)


def test_series_come_back_look_by_look(client, rollout):
    rollout_runs.record(client, rollout, look("2026-03-01T08:00:30.500+00:00"))
    later = look("2026-03-01T08:01:00+00:00", "step", ratio=1.5, certificate=float("inf"))
    rollout_runs.record(client, rollout, later)
    one, two = rollout_runs.series(client, rollout)
    assert one["time"] == "2026-03-01T08:00:30.500+00:00"
    assert (one["step"], one["action"], two["action"]) == (0, "wait", "step")
    assert one["shares"] == {"champion": 0.5, "challenger": 0.5}
    assert one["units"] == {"champion": 10, "challenger": 11}
    assert set(one["guards"]) == {"assignment", *GUARDS}
    assert one["guards"]["errors"] == {"harm": 0.5, "harm_limit": 4.5, "certificate_limit": 0.0}
    assert two["guards"][GUARDS[2]]["ratio"] == 1.5
    assert "certificate" not in two["guards"]["errors"], "what is not finite is left out"
    history = client.get_metric_history(rollout.run_id, "errors/challenger/harm")
    assert [item.step for item in history] == [30, 60], "seconds since it began"


def test_evidence_names_its_look_and_is_read_back(client, rollout):
    from lifecycle.stores import artifacts

    found = look("2026-03-01T08:00:30.500+00:00")
    digest, link = rollout_runs.evidence(client, rollout, found)
    assert link.endswith("/evidence/look-12-0-20260301080030500.json")
    tree = artifacts.read_evidence(client, link, digest)
    assert tree["look"] == found.to_dict()
    assert tree["rollout"] == rollout.to_dict()


def test_a_run_that_has_ended_takes_no_more(client, rollout):
    assert rollout_runs.open_still(client, rollout)
    rollout_runs.finish(client, rollout, {"rollout.png": b"picture"})
    assert not rollout_runs.open_still(client, rollout)
    rollout_runs.record(client, rollout, look("2026-03-01T08:00:30+00:00"))
    assert rollout_runs.series(client, rollout) == ()
    assert rollout_runs.evidence(client, rollout, look("2026-03-01T08:00:30+00:00")) == ("", "")
    kept = [item.path for item in client.list_artifacts(rollout.run_id, "lifecycle")]
    assert kept == ["lifecycle/rollout.png"]


def test_without_a_run_nothing_is_kept(client):
    bare = Rollout(SPEC, 12, shares=(0.5, 0.5), started="2026-03-01T08:00:00+00:00")
    rollout_runs.record(client, bare, look("2026-03-01T08:00:30+00:00"))
    assert rollout_runs.series(client, bare) == ()
    assert rollout_runs.evidence(client, bare, look("2026-03-01T08:00:30+00:00")) == ("", "")


def test_only_runs_that_no_entry_names_are_abandoned(client, rollout):
    place = experiment_id(client, "churn")
    lost = rollout_runs.begin(client, place, SPEC)
    other = rollout_runs.begin(client, place, RolloutSpec("other", "canary", ARMS))
    rollout_runs.abandon(client, place, "churn", [rollout.run_id])
    states = [client.get_run(item).info.status for item in (rollout.run_id, lost, other)]
    assert states == ["RUNNING", "KILLED", "RUNNING"]


@settings(max_examples=60, deadline=None)
@example(["."])
@example(["..", ".", "_"])
@given(st.lists(st.text(min_size=1, max_size=12), max_size=8, unique=True))
def test_each_guard_has_a_name_of_its_own_that_mlflow_takes(guards):
    from mlflow.utils.validation import _validate_metric_name

    called = rollout_runs.names(guards)
    assert list(called) == guards
    assert len(set(called.values())) == len(guards)
    for name in called.values():
        _validate_metric_name(f"{name}/challenger/harm")
