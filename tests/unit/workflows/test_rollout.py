"""Begin a rollout and move it by hand: what is checked, what is written, what follows it."""

import pytest

from lifecycle.errors import (
    ConfigError,
    GateRefused,
    ModelNotFound,
    TransitionRefused,
)
from lifecycle.records import Rollout
from lifecycle.rollout import state
from lifecycle.stores import registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.workflows.promote import promote as to_stage
from lifecycle.workflows.retrain import _roll_out, retrain
from lifecycle.workflows.rollback import rollback
from lifecycle.workflows.rollout import abort, plan, promote, resume, start, status, step
from lifecycle.workflows.status import status as models
from lifecycle.workflows.verify import verify

pytestmark = pytest.mark.usefixtures("second")
FORCED = {"force": True, "reason": "a test"}
STEPS = {"steps": (5, 50, 100), "guards": ("errors",)}


WRONG = [
    ("churn/1", {}, TransitionRefused, "it is the champion itself"),
    ("churn/9", {}, ModelNotFound, "no version 9; existing: 1, 2"),
    ("churn/2", {"guards": ("erors",)}, ConfigError, "did you mean 'errors'"),
    ("churn/2", {"guards": ("errors:plam",)}, ConfigError, "did you mean 'plan'"),
    ("churn/2", {"steps": (50, 5)}, ConfigError, "the steps do not rise"),
    ("churn/2", {"steps": (120,)}, ConfigError, "120 is no percentage"),
    ("churn/2", {"strategy": "canry"}, ConfigError, "did you mean 'canary'"),
    ("churn/2", {"others": ("churn/2",)}, ConfigError, "a version is named twice"),
    (
        "churn/2",
        {"strategy": "ab", "steps": (60, 60)},
        ConfigError,
        "do not suit 1 challengers",
    ),
    ("churn/2", {"strategy": "ab", "steps": (100,), "metric": "errors"}, ConfigError, "100"),
    ("churn/2", {"reason": ""}, TransitionRefused, "a forced rollout needs a reason"),
]


@pytest.fixture
def tried(serving, second):
    """A rollout of churn/2 that has begun."""
    return start(serving, second, **STEPS, **FORCED)


def aliases(client, name="churn"):
    found = client.get_registered_model(name).aliases
    return {alias: int(version) for alias, version in found.items()}


def test_a_rollout_begins_with_one_entry_and_its_aliases_and_tags(client, tried):
    assert tried.open
    assert tried.shares == (0.95, 0.05)
    entry = Ledger(client, "churn").entries()[-1]
    assert (entry.kind, entry.version, entry.to, entry.reason) == (
        "rollout", 2, "challenger", "a test"
    )  # fmt: skip
    assert entry.seq == tried.seq
    assert aliases(client) == {"champion": 1, "challenger": 2, "staging": 2}
    model = client.get_registered_model("churn").tags["lifecycle.rollout"]
    assert model == (
        f'{{"seq":{tried.seq},"shares":[0.95,0.05],"status":"running","step":0,'
        '"strategy":"canary"}'
    )
    version = client.get_model_version("churn", "2")
    assert version.tags["lifecycle.rollout"] == "running: a test"
    run = client.get_run(tried.run_id)
    assert run.info.run_name == "rollout churn/2"
    assert run.info.status == "RUNNING"
    assert run.data.params["guards"] == "errors"
    assert registry.alias_warnings(client, "churn") == ()


@pytest.mark.usefixtures("tried")
def test_steps_by_hand_to_the_last_one(serving, client):
    assert step(serving, reason="so far so good").shares == (0.5, 0.5)
    assert step(serving).shares == (0.05, 0.95), "the champion keeps the hold-back"
    with pytest.raises(TransitionRefused, match="step 3 is the last one"):
        step(serving)
    told = [item for item in Ledger(client, "churn").entries() if item.kind == "rollout"]
    assert [(item.source, item.to, item.reason) for item in told[1:]] == [
        ("5 %", "50 %", "so far so good"),
        ("50 %", "95 %", "by hand"),
    ]


def test_an_abort_ends_it_and_closes_its_run(serving, client, tried):
    ended = abort(serving, reason="a holiday")
    assert (ended.status, ended.reason, ended.shares) == ("aborted", "a holiday", (1.0, 0.0))
    assert aliases(client) == {"champion": 1, "staging": 2}
    assert client.get_model_version("churn", "2").tags["lifecycle.rollout"] == "aborted: a holiday"
    assert client.get_run(tried.run_id).info.status == "KILLED"
    with pytest.raises(TransitionRefused, match="no rollout is open; the last one"):
        abort(serving)
    assert start(serving, "churn/2", **STEPS, **FORCED).seq > tried.seq, "another may follow"


def test_a_promotion_by_hand_is_one_entry_and_ends_it(serving, client, tried):
    ended = promote(serving, **FORCED)
    assert ended.status == "promoted"
    entries = Ledger(client, "churn").entries()
    assert entries[-1].kind == "stage"
    assert entries[-1].extra["rollout"] == tried.seq
    assert "/evidence/look-" in entries[-1].evidence_link
    assert aliases(client) == {"champion": 2, "previous": 1}
    assert client.get_run(tried.run_id).info.status == "FINISHED"
    assert client.get_model_version("churn", "2").tags["lifecycle.rollout"].startswith("promoted")
    assert status(serving).rollout.status == "promoted"


@pytest.mark.usefixtures("tried")
def test_only_what_is_held_goes_on(serving):
    with pytest.raises(TransitionRefused, match="it is not held"):
        resume(serving)


def test_a_second_start_is_refused(serving, client, tried):
    before = Ledger(client, "churn").entries()
    with pytest.raises(TransitionRefused, match=f"of version 2 is open, entry {tried.seq}"):
        start(serving, "churn/2", **STEPS, **FORCED)
    assert Ledger(client, "churn").entries() == before


@pytest.mark.usefixtures("tried")
@pytest.mark.slow
def test_moves_by_hand_end_it(serving, client):
    to_stage(serving, "churn/2", to="production", **FORCED)
    found = status(serving).rollout
    assert found.status == "aborted"
    assert "version 2 came to production" in found.reason
    rollback(serving, reason="worse")
    assert aliases(client) == {"champion": 1}


def test_what_makes_no_sense_is_refused_and_nothing_is_written(serving, client):
    before = Ledger(client, "churn").entries()
    for ref, given, error, said in WRONG:
        with pytest.raises(error, match=said):
            start(serving, ref, **{**FORCED, **STEPS, **given})
    assert Ledger(client, "churn").entries() == before


@pytest.mark.slow
def test_without_force_the_gates_must_pass(serving):
    with pytest.raises(GateRefused):
        start(serving.with_values(gates__use=("size",), gates__size_mb=1e-9), "churn/2", **STEPS)
    assert status(serving).rollout is None


def test_what_passes_its_gates_comes_to_the_stage_before_production(serving, client):
    config = serving.with_values(gates__use=("size",))
    found = start(config, "churn/2", **STEPS)
    assert found.open
    kinds = [item.kind for item in Ledger(client, "churn").entries()][-3:]
    assert kinds == ["gate", "stage", "rollout"]


def test_without_a_champion_there_is_nothing_to_hold_it_against(config):
    with pytest.raises(ModelNotFound, match="there is no model 'other'"):
        start(config, "other/1", **FORCED)
    with pytest.raises(ModelNotFound, match="there is no model 'other'"):
        status(config.with_values(name="other"))


@pytest.mark.slow
def test_a_shadow_has_its_own_alias(serving, client):
    found = start(serving, "churn/2", strategy="shadow", guards=("errors",), **FORCED)
    assert [arm.name for arm in found.spec.arms] == ["champion", "shadow"]
    assert found.shares == (1.0, 0.0)
    assert aliases(client) == {"champion": 1, "shadow": 2, "staging": 2}
    abort(serving)
    assert aliases(client) == {"champion": 1, "staging": 2}


@pytest.mark.slow
def test_segments_are_expanded_with_the_champions_reference(serving):
    found = start(serving, "churn/2", steps=(50,), guards=("errors", "errors:plan"), **FORCED)
    plans = [f"errors:plan={it}" for it in ("basic", "plus", "pro")]
    assert sorted(found.spec.guards) == ["errors", *plans]


def test_values_of_a_column_alone_certify_no_step(serving):
    with pytest.raises(ConfigError, match="none of its guards gives a certificate"):
        start(serving, "churn/2", steps=(50,), guards=("errors:plan",), **FORCED)


@pytest.mark.slow
def test_a_start_that_was_killed_before_its_entry_leaves_no_open_run(serving, client):
    from lifecycle.stores import rollout_runs
    from lifecycle.stores.tracking import experiment_id

    place = experiment_id(client, "churn")
    first = start(serving, "churn/2", **STEPS, **FORCED)
    left = rollout_runs.begin(client, place, first.spec)
    abort(serving)
    start(serving, "churn/2", **STEPS, **FORCED)
    run = client.get_run(left)
    assert (run.info.status, run.data.tags["lifecycle.rollout.status"]) == ("KILLED", "never began")


@pytest.mark.slow
def test_what_a_retraining_made_is_rolled_out(serving, client, second):
    config = serving.with_values(gates__use=("size",), rollout__guards=("errors",))
    assert _roll_out(config, second, "drift") == ""
    found = status(config).rollout
    assert (found.spec.steps, found.reason) == ((0.01, 0.05, 0.25, 0.5, 1.0), "retrained: drift")
    assert _roll_out(config, second, "drift") == (
        f"its rollout cannot begin: a rollout of version 2 is open, entry {found.seq}"
    )
    abort(config)
    Ledger(client, "churn").append(
        lambda _: draft(kind="stage", version=2, source="staging", to="none", reason="anew")
    )
    asking = config.with_values(approvals__needed=1, approvals__stages=("staging",))
    assert "1 approval is needed" in _roll_out(asking, second, "drift")
    assert "request" in [item.kind for item in Ledger(client, "churn").entries()]


@pytest.mark.slow
def test_a_retraining_begins_a_rollout(serving, client, make_churn):
    config = serving.with_values(
        gates__use=("size",), rollout__after_retrain=True, rollout__guards=("errors",)
    )
    done = retrain(config, make_churn(2000))
    assert done.refused == ""
    assert "challenger" in done.version.aliases
    assert status(config).rollout.challenger.version == done.version.version
    later = retrain(config, make_churn(2500))
    assert "is open" in later.refused
    assert later.exit_code == 0
    assert aliases(client)["challenger"] == done.version.version, "the one that is rolled out"
    abort(config)
    assert aliases(client)["challenger"] == later.version.version, "the later one"


@pytest.mark.slow
def test_a_plan_moves_nothing_and_knows_the_logged_traffic(serving, client, answer):
    before = Ledger(client, "churn").entries()
    given = {"steps": (5, 50), "guards": ("errors", "label_error")}
    unknown = plan(serving, "churn/2", **given)
    assert unknown.per_day is None
    champion = Rollout(unknown.spec, 0)
    answer(serving, champion, champion=(480, 24))
    found = plan(serving, "churn/2", **given)
    assert found.per_day == pytest.approx(480 * 24, rel=0.01), "an hour is the least"
    rates = {item.guard: item.rate for item in found.harms}
    assert rates["errors"] == pytest.approx(0.05)
    assert rates["label_error"] is None, "no label came"
    assert found.spec.arms[1].version == 2
    shadow = plan(serving, "churn/2", strategy="shadow", guards=("errors",))
    assert shadow.per_day == found.per_day
    assert Ledger(client, "churn").entries() == before


def test_status_tells_of_an_open_rollout(serving, client, tried):
    assert models(serving)[0].rollout == "canary of version 2, step 1 of 3, 5 %"
    Ledger(client, "churn").append(lambda _: draft(**state.held(tried), reason="wait"))
    assert models(serving)[0].rollout.endswith("5 %, held: wait")
    abort(serving)
    assert models(serving)[0].rollout == ""


@pytest.mark.slow
def test_verify_reads_a_rollout(serving, client):
    start(serving, "churn/2", **STEPS, **FORCED)
    abort(serving)
    assert verify(serving).passed
    client.set_registered_model_alias("churn", "challenger", "2")
    found = [item.detail for item in verify(serving).findings if item.check == "aliases"]
    assert len(found) == 1
    assert found[0].startswith(
        "alias challenger was set by hand to churn/2; the ledger says nothing"
    )
