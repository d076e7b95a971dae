"""Promotion and rollback: order, gates, force, races, and one entry a decision."""

import sqlite3

import pytest

from lifecycle.errors import (
    ConfigError,
    GateRefused,
    LedgerError,
    ModelNotFound,
    TransitionRefused,
)
from lifecycle.models import files
from lifecycle.records import GateReport, GateResult, ModelRef, Outcome
from lifecycle.stores import artifacts
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.registry import alias_warnings, find, register
from lifecycle.stores.tracking import connect
from lifecycle.workflows.history import history
from lifecycle.workflows.promote import promote
from lifecycle.workflows.rollback import rollback


@pytest.fixture
def client(config):
    return connect(config)


@pytest.fixture
def make(client, logged_model, with_spec):
    """Register a version of churn with the digest of its files, as `register` does."""

    def version(slope=1.0):
        uri = logged_model(client, slope=slope)
        with artifacts.logged_files(client, uri) as folder:
            digest = files.digest(folder)
        run_id = with_spec(client, uri)
        tags = {"lifecycle.digest": digest, "lifecycle.spec_run": run_id}
        return register(client, "churn", model_uri=uri, tags=tags)

    return version


def judge(client, version, outcome=Outcome.PASS, *, gate="floor"):
    """What a gate run leaves behind: evidence and an entry."""
    results = (
        GateResult(gate, outcome, f"{gate} says {outcome}", value=0.5, limit=0.7),
        GateResult("latency", Outcome.PASS, "2 ms"),
    )
    report = GateReport(version.name, version.version, results, created="2026-01-01")
    digest, link = artifacts.evidence(
        client, version.run_id, f"gate-{version.version}-{outcome[:4]}", report.to_dict()
    )
    Ledger(client, version.name).append(
        lambda _: draft(
            kind="gate",
            version=version.version,
            evidence_digest=digest,
            evidence_link=link,
            extra={"outcome": str(outcome)},
        )
    )
    return report


def put(config, client, version, *, to="production"):
    """Promote with passing gates through every stage on the way."""
    for stage in ("staging", "production"):
        judge(client, version)
        found = promote(config, version, to=stage)
        if stage == to:
            return found
    return None


def moves(client):
    return [
        entry for entry in Ledger(client, "churn").entries() if entry.kind in ("stage", "rollback")
    ]


def test_the_way_to_production(config, client, make):
    version = make()
    judge(client, version)
    staged = promote(config, "churn/1", to="staging")
    assert (staged.stage, staged.aliases) == ("staging", ("staging",))
    served = promote(config, "churn@staging", to="production", reason="best so far")
    assert (served.stage, served.aliases) == ("production", ("champion",))
    first, second = moves(client)
    gate = Ledger(client, "churn").entries()[1]
    assert (first.source, first.to, second.source, second.to) == (
        "none",
        "staging",
        "staging",
        "production",
    )
    assert second.reason == "best so far"
    assert second.evidence_digest == gate.evidence_digest
    assert second.evidence_link == gate.evidence_link
    assert second.extra == {
        "gate": gate.seq, "replaced": None, "replaced_to": "archived", "source": version.source,
    }  # fmt: skip
    assert "forced" not in second.extra
    assert second.actor


def test_one_entry_says_who_comes_and_who_goes(config, client, make):
    for version in (make(), make(2.0)):
        put(config, client, version)
    assert moves(client)[-1].extra["replaced"] == 1
    assert find(client, "churn/1").stage == "archived"
    assert find(client, "churn/1").aliases == ("previous",)
    assert find(client, "churn").version == 2
    assert alias_warnings(client, "churn") == ()


def test_plain_mlflow_reads_what_was_promoted(config, client, make):
    import mlflow
    import pandas as pd

    put(config, client, make(3.0))
    model = mlflow.pyfunc.load_model("models:/churn@champion")
    assert model.predict(pd.DataFrame({"x": [2.0], "z": [0.0]})).round(6).tolist() == [6.0]


def test_no_stage_is_skipped(config, client, make):
    judge(client, make())
    with pytest.raises(TransitionRefused, match=r"churn/1.*staging or archived"):
        promote(config, "churn/1", to="production")
    assert moves(client) == []


@pytest.mark.parametrize(("outcome", "code"), [(Outcome.FAIL, 2), (Outcome.UNSURE, 3)])
def test_the_gates_refuse_with_their_report(config, client, make, outcome, code):
    version = make()
    report = judge(client, version, outcome)
    with pytest.raises(GateRefused, match=r"floor.*churn/1") as refused:
        promote(config, version, to="staging")
    assert refused.value.report == report
    assert refused.value.exit_code == code
    assert refused.value.to_dict()["report"]["results"][0]["gate"] == "floor"
    assert moves(client) == []


def test_the_newest_gate_report_counts(config, client, make):
    version = make()
    judge(client, version)
    judge(client, version, Outcome.FAIL)
    with pytest.raises(GateRefused):
        promote(config, version, to="staging")
    judge(client, version)
    assert promote(config, version, to="staging").stage == "staging"


def test_a_report_that_was_changed_is_not_shown_as_true(config, client, make):
    version = make()
    judge(client, version, Outcome.FAIL)
    Ledger(client, "churn").append(
        lambda seen: draft(kind="gate", version=1, evidence_link=seen[-1].evidence_link,
                           evidence_digest="0" * 64, extra={"outcome": "fail"})
    )  # fmt: skip
    with pytest.raises(GateRefused) as refused:
        promote(config, version, to="staging")
    assert "not what was stored" in refused.value.report.results[0].reason
    assert refused.value.report.outcome is Outcome.FAIL


def test_force_needs_a_reason_and_is_recorded(config, client, make):
    make()
    with pytest.raises(TransitionRefused, match="needs a reason"):
        promote(config, "churn/1", to="production", force=True, reason="  ")
    version = promote(config, "churn/1", to="production", force=True, reason="the old one is down")
    assert version.stage == "production"
    (entry,) = moves(client)
    assert entry.extra["forced"] is True
    assert (entry.source, entry.reason) == ("none", "the old one is down")
    assert "gate" not in entry.extra


def test_being_there_already_is_fine_and_mends_what_lags(config, client, make):
    version = put(config, client, make())
    client.delete_registered_model_alias("churn", "champion")
    assert promote(config, version, to="production").stage == "production"
    assert len(moves(client)) == 2
    assert client.get_model_version_by_alias("churn", "champion").version in (1, "1")


def test_archiving_needs_no_gate_and_leaves_nothing_in_production(config, client, make):
    version = put(config, client, make())
    assert promote(config, version, to="archived").stage == "archived"
    with pytest.raises(ModelNotFound, match="in production"):
        find(client, "churn")
    assert rollback(config, reason="too early").version == 1


def test_a_champion_of_plain_mlflow_is_what_the_first_promotion_replaces(
    config, client, make, logged_model
):
    client.create_registered_model("churn")
    client.create_model_version("churn", logged_model(client))
    client.set_registered_model_alias("churn", "champion", "1")
    put(config, client, make())
    assert moves(client)[-1].extra["replaced"] == 1
    assert find(client, "churn").version == 2
    assert find(client, "churn@previous").version == 1
    assert rollback(config, reason="worse").version == 1


def test_a_version_whose_registration_was_killed_can_be_promoted(config, client, make):
    version = make()
    client.create_model_version("churn", version.source, tags=dict(version.tags))
    promote(config, "churn/2", to="production", force=True, reason="it is fine")
    kinds = [(entry.kind, entry.version) for entry in Ledger(client, "churn").entries()]
    assert kinds == [("register", 1), ("register", 2), ("stage", 2)]


@pytest.mark.parametrize("ref", ["churn/7", "chrun/1", "churn@champion"])
def test_what_does_not_exist_is_named(config, make, ref):
    make()
    with pytest.raises(ModelNotFound):
        promote(config, ref, to="staging")


def test_a_version_whose_registration_failed_goes_nowhere_but_out(config, make, tmp_path):
    make()
    database = sqlite3.connect(tmp_path / "mlflow.db")
    with database:
        database.execute(
            "UPDATE model_versions SET status = 'FAILED_REGISTRATION', status_message = 'disk full'"
        )
    database.close()
    for to, options in (
        ("staging", {}),
        ("production", {"force": True, "reason": "now"}),
    ):
        with pytest.raises(TransitionRefused, match=r"FAILED_REGISTRATION.*disk full.*register"):
            promote(config, "churn/1", to=to, **options)
    assert promote(config, "churn/1", to="archived").stage == "archived"


def test_a_version_that_was_deleted_is_not_promoted_even_by_force(config, client, make):
    put(config, client, make())
    gone = make(2.0)
    client.delete_model_version("churn", "2")
    with pytest.raises(ModelNotFound, match="no version 2; existing: 1"):
        promote(config, gone, to="production", force=True, reason="now")
    assert [entry.version for entry in moves(client)] == [1, 1]


def test_ways_of_ones_own_are_kept_to(config, client, make):
    ways = (
        "none > production",
        "none > staging",
        "staging > production",
        "production > archived",
        "archived > production",
    )
    own = config.with_values(stages__ways=ways)
    version = make()
    judge(client, version)
    assert promote(own, version, to="production").stage == "production"
    with pytest.raises(TransitionRefused, match="may go to archived; force"):
        promote(own, version, to="none")
    stuck = config.with_values(stages__ways=ways[:3] + ways[4:])
    with pytest.raises(ConfigError, match="lead from 'none' never to 'archived'"):
        promote(stuck, version, to="archived")


def test_unknown_stages_and_unusable_orders(config, make):
    make()
    with pytest.raises(TransitionRefused, match="did you mean 'staging'"):
        promote(config, "churn/1", to="stagin")
    wrong = config.with_values(stages__order=("none", "live"))
    with pytest.raises(ConfigError, match="production"):
        promote(wrong, "churn/1", to="live")


def test_stages_of_one_s_own(config, client, make):
    own = config.with_values(stages__order=("new", "review", "staging", "production", "retired"))
    for version in (make(), make(2.0)):
        for stage in ("review", "staging", "production"):
            judge(client, version)
            assert promote(own, version, to=stage).stage == stage
    assert find(client, "churn/1").stage == "retired"
    assert find(client, "churn").version == 2


def test_two_rollbacks_go_two_versions_back(config, client, make):
    for slope in (1.0, 2.0, 3.0):
        put(config, client, make(slope))
    back = rollback(config, reason="wrong prices")
    assert (back.version, back.stage, back.aliases) == (2, "production", ("champion",))
    entry = moves(client)[-1]
    assert (entry.kind, entry.version, entry.to) == ("rollback", 2, "production")
    assert (entry.reason, entry.extra["replaced"]) == ("wrong prices", 3)
    assert find(client, "churn/3").stage == "archived"
    assert find(client, "churn@previous").version == 1
    assert rollback(config, reason="still wrong").version == 1
    with pytest.raises(TransitionRefused, match="no version before churn/1 is left"):
        rollback(config, reason="no more")


def test_a_rollback_needs_a_reason_and_something_to_return_to(config, make):
    make()
    with pytest.raises(TransitionRefused, match="reason"):
        rollback(config, reason="")
    with pytest.raises(TransitionRefused, match="no version ever was in production"):
        rollback(config, reason="x")


def test_a_rollback_does_not_return_to_files_that_changed(config, client, make):
    for slope in (1.0, 2.0):
        put(config, client, make(slope))
    with artifacts.files(client, find(client, "churn/1")) as folder:
        (folder / "MLmodel").write_text("flavors: {}")
    with pytest.raises(TransitionRefused, match=r"churn/1.*not those that were registered"):
        rollback(config, reason="worse")
    assert find(client, "churn").version == 2
    client.delete_model_version("churn", "1")
    with pytest.raises(TransitionRefused, match=r"cannot be returned to.*no version 1"):
        rollback(config, reason="worse")


def test_history_tells_all_with_what_was_found_beside_it(config, client, make):
    put(config, client, make())
    told = history(config)
    assert [entry.kind for entry in told.entries] == ["register", "gate", "stage", "gate", "stage"]
    assert told.warnings == ()
    client.set_registered_model_alias("churn", "staging", "1")
    assert "staging was set by hand" in history(config).warnings[0]
    assert told.to_dict()["entries"][0]["digest"]
    with pytest.raises(ModelNotFound, match="did you mean 'churn'"):
        history(config.with_values(name="churm"))


def test_a_broken_ledger_stops_every_move(config, client, make):
    version = put(config, client, make())
    experiment = client.get_experiment_by_name("churn/ledger").experiment_id
    client.delete_experiment(experiment)
    for act in (
        lambda: promote(config, version, to="archived"),
        lambda: rollback(config, reason="x"),
        lambda: history(config),
        lambda: find(client, ModelRef("churn", 1)),
    ):
        with pytest.raises(LedgerError, match="restore"):
            act()
