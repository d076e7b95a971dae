"""What a controller decides and writes, on a real registry and a real log."""

import signal
import threading
import time

import pytest

from lifecycle.errors import LedgerError, ModelNotFound, RegistryUnavailable
from lifecycle.records import Outcome
from lifecycle.rollout import state
from lifecycle.stores import cuts, rollout_runs
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.workflows.controller import Watch, explain, look, run
from lifecycle.workflows.promote import promote as to_stage
from lifecycle.workflows.rollout import resume, start, status
from lifecycle.workflows.verify import verify

GOOD = {"champion": (400, 120), "challenger": (400, 8)}
BAD = {"champion": (400, 8), "challenger": (400, 120)}
NEW = {"champion": (5, 0), "challenger": (5, 0)}


@pytest.fixture
def served(serving):
    """Servers know of a rollout at once, and the gates are quick."""
    return serving.with_values(serve__poll_seconds=1e-6, gates__use=("size",))


@pytest.fixture
def tried(served, second):
    """A rollout of churn/2 in two steps."""
    return start(served, second, steps=(50, 90), guards=("errors",))


def events(client, seq=None):
    """What the ledger tells of rollouts, without leases."""
    return [
        item.extra.get("event", item.kind)
        for item in Ledger(client, "churn").entries()
        if (item.kind == "rollout" or "rollout" in item.extra)
        and item.extra.get("event") != "lease"
        and seq in (None, item.extra.get("rollout", item.seq))
    ]


def aliases(client):
    found = client.get_registered_model("churn").aliases
    return {alias: int(version) for alias, version in found.items()}


def test_a_good_challenger_goes_step_by_step_to_production(served, client, tried, answer):
    answer(served, tried, **NEW)
    waits = look(served)
    assert (waits.action, waits.exit_code) == ("wait", 3)
    assert [item.kind for item in Ledger(client, "churn").entries()][-1] == "rollout", "no lease"
    answer(served, tried, **GOOD)
    steps = look(served)
    assert (steps.action, steps.to_step, steps.exit_code) == ("step", 1, 0)
    found = status(served)
    assert found.rollout.shares == (0.1, 0.9)
    answer(served, found.rollout, champion=(44, 40), challenger=(400, 8))
    assert look(served).action == "promote"
    assert events(client) == ["start", "step", "stage"]
    assert aliases(client) == {"champion": 2, "previous": 1}
    ended = status(served)
    assert ended.rollout.status == "promoted"
    assert ended.look.action == "promote"
    assert [item["action"] for item in ended.looks] == ["wait", "step", "promote"]
    assert ended.looks[-1]["guards"]["errors"]["harm_limit"] > 0
    assert ended.looks[-1]["units"] == {"champion": 44, "challenger": 400}
    done = client.get_run(tried.run_id)
    assert done.info.status == "FINISHED"
    kept = [item.path for item in client.list_artifacts(tried.run_id, "lifecycle")]
    assert "lifecycle/rollout.png" in kept
    assert explain(served).action == "promote"
    again = look(served)
    assert (again.action, again.exit_code) == ("finish", 0)
    assert "has ended, promoted" in again.reason


def test_a_harmful_one_is_rolled_back_with_its_evidence(served, client, tried, answer):
    answer(served, tried, **BAD)
    found = run(served, seconds=0.01)
    assert (found.action, found.exit_code) == ("rollback", 2)
    assert "errors" in found.reason
    assert events(client) == ["start", "end"]
    assert aliases(client) == {"champion": 1, "staging": 2}
    ended = status(served)
    assert (ended.rollout.status, ended.exit_code) == ("rolled back", 2)
    assert explain(served) == explain(served, rollout=tried.seq)
    assert explain(served).evidence == found.evidence
    told = [item for item in verify(served).findings if item.check.startswith("decision of")]
    assert [item.detail for item in told] == ["rollback follows from what was counted"]
    entry = Ledger(client, "churn").entries()[-1]
    assert entry.evidence_link.startswith(f"runs:/{tried.run_id}/lifecycle/evidence/look-")


@pytest.mark.slow
def test_evidence_that_was_changed_is_refused(served, client, tried, answer):
    from lifecycle.stores import artifacts
    from lifecycle.stores.artifacts import local

    answer(served, tried, **BAD)
    look(served)
    link = Ledger(client, "churn").entries()[-1].evidence_link
    folder = local(client.get_run(tried.run_id).info.artifact_uri)
    path = folder / link.partition(f"{tried.run_id}/")[2]
    path.write_text(path.read_text().replace('"events":120', '"events":1'))
    artifacts._cached.cache_clear()
    with pytest.raises(LedgerError, match="not what was stored"):
        explain(served)
    wrong = [item.check for item in verify(served).findings if item.outcome is Outcome.FAIL]
    seq = Ledger(client, "churn").entries()[-1].seq
    assert wrong == [f"evidence of entry {seq}", f"decision of entry {seq}"]


@pytest.mark.slow
def test_a_decision_that_its_evidence_does_not_carry_is_refused(served, client, tried, answer):
    answer(served, tried, **BAD)
    watch = Watch(served)
    found = watch.look()
    assert found.action == "rollback"
    forged = {**found.to_dict(), "action": "promote"}
    from lifecycle.stores import artifacts

    tree = {"v": 1, "rollout": tried.to_dict(), "look": forged}
    digest, link = artifacts.evidence(client, tried.run_id, "look-forged", tree)
    Ledger(client, "churn").append(
        lambda _: draft(**state.held(tried), reason="x", evidence_digest=digest, evidence_link=link)
    )
    with pytest.raises(LedgerError, match="does not lead to what was recorded"):
        explain(served)


@pytest.mark.slow
def test_only_one_controller_decides(served, client, tried, answer):
    answer(served, tried, **BAD)
    other = draft(**state.leased(tried, "elsewhere:1:0", "2999-01-01T00:00:00+00:00"))
    Ledger(client, "churn").append(lambda _: other)
    found = look(served)
    assert found.action == "wait"
    assert found.reason == (
        "another controller has the lease: elsewhere:1:0 has the lease until"
        " 2999-01-01T00:00:00+00:00"
    )
    assert events(client) == ["start"]


def test_the_lease_of_a_process_that_is_gone_binds_nobody(served, client, tried, answer):
    from lifecycle.stores.lineage import process

    host = process().partition(":")[0]
    answer(served, tried, **BAD)
    other = draft(**state.leased(tried, f"{host}:4194305:0", "2999-01-01T00:00:00+00:00"))
    Ledger(client, "churn").append(lambda _: other)
    assert look(served).action == "rollback"
    leases = [item.extra for item in Ledger(client, "churn").entries()]
    assert [item["generation"] for item in leases if item.get("event") == "lease"] == [1, 2]


def test_a_decision_under_an_older_lease_is_not_written(served, client, tried, answer):
    from lifecycle.stores.lineage import process
    from lifecycle.workflows.acting import Controller
    from lifecycle.workflows.looking import looked

    answer(served, tried, **GOOD)
    me = Controller(served, client, process())
    slow = me.lease(tried)
    assert slow.generation == 1
    found = looked(served, slow)
    assert found.action == "step"
    other = Controller(served, client, "elsewhere:1:0")
    later = draft(**state.leased(slow, other.holder, "2999-01-01T00:00:00+00:00"))
    Ledger(client, "churn").append(lambda _: later)
    before = Ledger(client, "churn").entries()
    me._write(slow, found, ("", ""), "too late")
    after, said = me.act(slow, found)
    assert Ledger(client, "churn").entries() == before
    assert (after.step, said.action) == (0, "wait")
    assert "elsewhere:1:0 has the lease" in said.reason


@pytest.mark.usefixtures("tried")
@pytest.mark.slow
def test_a_controller_that_stays_takes_the_lease_and_gives_it_back(served, client):
    ending = threading.Event()
    shown = []

    def enough(seen):
        shown.append(seen)
        if len(shown) == 3:
            ending.set()

    assert run(served, seconds=0.01, shown=enough, stop=ending).action == "wait"
    leases = [item for item in Ledger(client, "churn").entries() if item.reason == "given back"]
    assert len(leases) == 1
    assert leases[0].extra["generation"] == 1
    assert events(client) == ["start"], "one lease for all looks, and no decision"
    assert shown[-1].rollout.holder
    assert run(served, once=True).action == "wait"


def test_a_challenger_that_is_deleted_ends_it(served, client, tried):
    client.delete_model_version("churn", "2")
    found = look(served)
    assert found.reason == "version 2 was deleted from MLflow"
    assert found.exit_code == 2
    assert events(client, tried.seq) == ["start", "end"]
    assert status(served).rollout.status == "aborted"


@pytest.mark.slow
def test_an_alias_that_is_moved_by_hand_holds_it(served, client, tried, answer):
    answer(served, tried, **GOOD)
    client.set_registered_model_alias("churn", "challenger", "1")
    found = look(served)
    assert (found.action, found.exit_code) == ("hold", 2)
    assert found.reason.startswith("alias challenger was set by hand to churn/1; the ledger says")
    assert aliases(client)["challenger"] == 2, "it is as the ledger says again"
    assert look(served).action == "hold"
    assert events(client) == ["start", "hold"], "held once"
    assert status(served).exit_code == 2
    resume(served, reason="it was I")
    assert look(served).action == "step"


@pytest.mark.slow
def test_a_held_one_is_still_rolled_back(served, client, tried, answer):
    client.delete_registered_model_alias("churn", "challenger")
    assert look(served).action == "hold"
    answer(served, tried, **BAD)
    assert look(served).action == "rollback"


@pytest.mark.slow
def test_a_champion_that_changes_ends_it(served, client, tried):
    to_stage(served, "churn/2", to="production", force=True, reason="now")
    found = look(served)
    assert found.action == "finish"
    assert "aborted: version 2 came to production" in found.reason
    assert client.get_run(tried.run_id).info.status == "KILLED"


@pytest.mark.slow
def test_what_may_not_be_promoted_is_held_and_asked_for(served, client, second, answer):
    strict = served.with_values(approvals__needed=1)
    tried = start(strict, second, steps=(50,), guards=("errors",))
    answer(strict, tried, **GOOD)
    found = look(strict)
    assert found.action == "hold"
    assert "1 approval is needed" in found.reason
    kinds = [item.kind for item in Ledger(client, "churn").entries()]
    assert kinds.count("request") == 1
    assert status(strict).rollout.reason == found.reason
    assert explain(strict).action == "promote", "the evidence was for it"


def test_harm_is_cut_here_while_the_registry_is_down(served, client, tried, answer):
    watch = Watch(served)
    assert watch.look().action == "wait"
    lost = served.with_values(tracking__uri="http://127.0.0.1:9")
    watch.config, watch._client = lost, None
    answer(served, tried, **GOOD)
    found = watch.look_or_cut()
    assert found.action == "wait", "no step-ups meanwhile"
    assert "does not answer" in found.reason
    answer(served, tried, champion=(10, 0), challenger=(600, 590))
    found = watch.look_or_cut()
    assert found.action == "rollback"
    folder = served.log.dir
    assert cuts.cut_of(folder, "churn")[0] == tried.seq
    assert events(client) == ["start"], "it is written later"
    watch.config = served
    ended = watch.look_or_cut()
    assert ended.action == "rollback"
    assert events(client) == ["start", "end"]
    assert "did not answer" in status(served).rollout.reason
    assert cuts.cut_of(folder, "churn") is None
    assert explain(served).action == "rollback"


@pytest.mark.slow
def test_another_controller_writes_what_was_cut(served, client, tried, answer):
    answer(served, tried, **NEW)
    cuts.cut(served.log.dir, "churn", tried.seq, "errors")
    assert look(served).action == "rollback"
    assert events(client) == ["start", "end"]
    assert explain(served).action == "wait", "the evidence of now tells nothing"


@pytest.mark.slow
def test_a_cut_of_another_rollout_says_nothing(served, tried, answer):
    answer(served, tried, **NEW)
    cuts.cut(served.log.dir, "churn", tried.seq - 1, "errors")
    assert look(served).action == "wait"


def test_without_a_rollout_there_is_nothing_to_look_at(served):
    with pytest.raises(ModelNotFound, match="there never was a rollout of 'churn'"):
        run(served, once=True)
    with pytest.raises(ModelNotFound):
        explain(served)
    lost = served.with_values(tracking__uri="http://127.0.0.1:9")
    with pytest.raises(RegistryUnavailable):
        run(lost, seconds=0.01)


@pytest.mark.slow
def test_a_run_that_was_deleted_stops_nothing(served, client, tried, answer):
    client.delete_run(tried.run_id)
    answer(served, tried, **BAD)
    assert look(served).action == "rollback"
    assert not rollout_runs.open_still(client, tried)


RUN = """
import sys
from lifecycle.config import Config
from lifecycle.workflows.controller import run
config = Config().with_values(name="churn", log__dir=sys.argv[1])
print(run(config, seconds=0.2).action)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("tried")
def test_a_signal_ends_it_between_looks_and_the_lease_is_given_back(served, client, forked):
    with forked(RUN, served.log.dir) as process:
        deadline = time.monotonic() + 60
        while not any(item.extra.get("holder") for item in Ledger(client, "churn").entries()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(60)
    assert process.returncode == 0, err[-2000:]
    assert out.strip() == "wait"
    last = Ledger(client, "churn").entries()[-1]
    assert last.reason == "given back"
    found = state.open_rollout(Ledger(client, "churn").entries())
    assert state.busy(found, "another", "2999-01-01T00:00:00+00:00") == ""
