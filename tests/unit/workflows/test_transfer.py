"""A version in another registry: the same files, its evidence, one entry on each side, once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from lifecycle.config import Config
from lifecycle.errors import (
    ConfigError,
    DigestMismatch,
    GateRefused,
    ModelNotFound,
    RegistryUnavailable,
    TransitionRefused,
)
from lifecycle.models.inputs import columns
from lifecycle.records import Entry, GateReport, Outcome, Transfer
from lifecycle.stores import artifacts, copies, registry
from lifecycle.stores.ledger import Ledger
from lifecycle.stores.tracking import connect
from lifecycle.views.terminal import text
from lifecycle.workflows import offline
from lifecycle.workflows.card import card
from lifecycle.workflows.export import export_audit, verify_folder
from lifecycle.workflows.gate import gate
from lifecycle.workflows.promote import promote
from lifecycle.workflows.transfer import transfer


@pytest.fixture
def prod(template_database, tmp_path, serving):
    """The configuration of an empty second registry, beside the one of `serving`."""
    (tmp_path / "prod").mkdir()
    shutil.copy(template_database, tmp_path / "prod" / "mlflow.db")
    return serving.with_values(tracking__uri=f"sqlite:///{tmp_path / 'prod' / 'mlflow.db'}")


@dataclass(frozen=True)
class Pair:
    """Two registries between which churn/1 was carried once."""

    dev: Config
    prod: Config
    before: tuple[Entry, ...]  # the ledger it came from
    report: GateReport
    done: Transfer


@pytest.fixture(scope="module")
def pair(champion_database, template_database, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    configs = []
    for name, database in (("dev", champion_database), ("prod", template_database)):
        (folder / name).mkdir()
        shutil.copy(database, folder / name / "mlflow.db")
        address = f"sqlite:///{folder / name / 'mlflow.db'}"
        configs.append(
            Config().with_values(name="churn", models__compile=False, tracking__uri=address)
        )
    dev, prod = configs
    report = gate(dev, "churn/1")
    before = Ledger(connect(dev), "churn").entries()
    return Pair(dev, prod, before, report, transfer(dev, "churn/1", to=prod.tracking.uri))


def kinds(config, name="churn"):
    return [(item.kind, item.version) for item in Ledger(connect(config), name).entries()]


def last(config, kind="transfer", name="churn"):
    return [item for item in Ledger(connect(config), name).entries() if item.kind == kind][-1]


def address(config):
    return config.tracking.uri


def test_a_version_arrives_whole_and_both_ledgers_name_each_other(pair):
    done, before = pair.done, pair.before
    assert (done.source, done.target, done.repeated) == ("churn/1", "churn/1", False)
    here, there = last(pair.dev), last(pair.prod)
    assert there.extra["head"] == {"seq": before[-1].seq, "digest": before[-1].digest}
    assert here.extra["head"] == {"seq": there.seq, "digest": there.digest}
    assert (done.source_head, done.target_head) == (before[-1].digest, there.digest)
    assert kinds(pair.prod) == [("register", 1), ("transfer", 1)]
    client = connect(pair.prod)
    bundle = artifacts.read_evidence(client, there.evidence_link, there.evidence_digest)
    assert [json.loads(line)["kind"] for line in bundle["ledger"]] == [item.kind for item in before]
    gates = [item for item in before if item.kind == "gate"]
    kept = json.loads(bundle["evidence"][gates[-1].evidence_digest])
    assert kept["digest"] == pair.report.digest
    assert bundle["missing"] == {}
    assert text(done).startswith("churn/1: carried over")


def test_the_version_there_is_the_same_and_needs_nothing_of_here(pair):
    source = connect(pair.dev)
    version = registry.find(source, "churn/1")
    rows, spec = artifacts.holdout(source, version), artifacts.spec(source, version)
    expected = artifacts.load(source, version, pair.dev).predict(columns(rows, spec)).score
    client = connect(pair.prod)
    made = registry.find(client, "churn/1")
    assert made.digest == version.digest == pair.done.digest
    assert made.stage == "none"
    assert "lifecycle.gate" not in made.tags, "what the gates said here does not count there"
    held = artifacts.holdout(client, made)
    pd.testing.assert_frame_equal(held, rows)
    known = artifacts.spec(client, made)
    assert known.data_run_id == made.tags["lifecycle.spec_run"] != spec.data_run_id
    assert (known.lineage, known.metrics) == (spec.lineage, spec.metrics)
    found = artifacts.load(client, made, pair.prod).predict(columns(held, known)).score
    assert found.tolist() == expected.tolist()
    assert artifacts.profile_text(client, made)
    assert artifacts.holdout_answers(client, made).score is not None
    folder = Path(pair.prod.tracking.uri.removeprefix("sqlite:///")).parent
    with artifacts.files(client, made) as place:
        assert place.is_relative_to(folder)
    run = client.get_run(made.tags["lifecycle.spec_run"])
    assert artifacts.local(run.info.artifact_uri).is_relative_to(folder)


def test_plain_mlflow_loads_what_was_carried_over(pair, make_churn):
    import mlflow

    from lifecycle.stores.tracking import quiet

    connect(pair.prod)
    rows = make_churn(3)[["tenure", "charges", "plan", "support_calls", "paperless"]]
    rows = rows.astype({"support_calls": float})
    with quiet():
        model = mlflow.pyfunc.load_model("models:/churn/1")
        assert len(model.predict(rows)) == 3


def test_a_second_call_does_nothing(pair):
    before = kinds(pair.dev), kinds(pair.prod)
    again = transfer(pair.dev, "churn/1", to=pair.prod.tracking.uri)
    assert again.repeated
    assert (again.target, again.target_head) == (pair.done.target, pair.done.target_head)
    assert (kinds(pair.dev), kinds(pair.prod)) == before
    assert len(registry.versions(connect(pair.prod), "churn")) == 1
    assert "nothing was written" in text(again)


@pytest.mark.slow
def test_each_registry_and_each_name_gets_its_own(serving, prod):
    transfer(serving, "churn/1", to=address(prod))
    transfer(serving, "churn/1", to=address(prod), name="other")
    assert kinds(prod, "other") == [("register", 1), ("transfer", 1)]
    assert [item for item in kinds(serving) if item[0] == "transfer"] == [("transfer", 1)] * 2
    beside = transfer(serving, "churn/1", to=address(serving) or serving.tracking_uri, name="twin")
    assert beside.target == "twin/1"


@pytest.mark.slow
def test_a_version_that_was_deleted_there_may_come_again(serving, prod):
    transfer(serving, "churn/1", to=address(prod))
    connect(prod).delete_model_version("churn", "1")
    again = transfer(serving, "churn/1", to=address(prod))
    assert not again.repeated
    assert registry.find(connect(prod), again.target).digest == again.digest
    assert [item[0] for item in kinds(prod)] == ["register", "transfer"] * 2


@pytest.mark.slow
def test_its_gates_judge_it_against_the_champion_there(serving, prod):
    """What the gates said here does not count there."""
    gate(serving, "churn/1")
    transfer(serving, "churn/1", to=address(prod))
    client = connect(prod)
    made = registry.find(client, "churn/1")
    assert "lifecycle.gate" not in made.tags
    strict = prod.with_values(gates__use="floor", gates__floor={"roc_auc": 0.999})
    with pytest.raises(GateRefused):
        promote(strict, made, to="staging")
    assert made.stage == "none"
    open_ = prod.with_values(gates__use="champion,signature")
    gate(open_, made)
    promote(open_, made, to="staging")
    promote(open_, made, to="production")
    assert last(prod, "gate").extra["champion"] is None
    transfer(serving, "churn/1", to=address(prod), name="rival")
    second = gate(open_.with_values(name="churn"), "churn/1")
    assert second.outcome in (Outcome.PASS, Outcome.UNSURE, Outcome.FAIL)


def test_changed_files_are_not_carried_over(serving, prod):
    client = connect(serving)
    version = registry.find(client, "churn/1")
    with artifacts.files(client, version) as folder:
        path, before = folder / "MLmodel", (folder / "MLmodel").read_bytes()
        path.write_bytes(before + b"\n")
        try:
            with pytest.raises(DigestMismatch):
                transfer(serving, "churn/1", to=address(prod))
        finally:
            path.write_bytes(before)
    assert kinds(prod) == []
    assert "transfer" not in dict(kinds(serving))


def test_changed_rows_are_not_carried_over(serving, prod):
    client = connect(serving)
    spec = artifacts.spec(client, registry.find(client, "churn/1"))
    root = artifacts.local(client.get_run(spec.data_run_id).info.artifact_uri)
    path = root / "lifecycle" / "data" / "holdout.parquet"
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    try:
        with pytest.raises(DigestMismatch, match=r"not the one that was registered.*holdout"):
            transfer(serving, "churn/1", to=address(prod))
    finally:
        path.write_bytes(before)
    assert kinds(prod) == []


def test_a_model_is_not_carried_to_itself(serving, tmp_path):
    with pytest.raises(TransitionRefused, match="the same model as here"):
        transfer(serving, "churn/1", to=serving.tracking_uri)
    (tmp_path / "way").symlink_to(tmp_path)
    with pytest.raises(TransitionRefused, match="the same model as here"):
        transfer(serving, "churn/1", to=f"sqlite:///{tmp_path}/way/mlflow.db")
    assert "transfer" not in dict(kinds(serving))


@pytest.mark.parametrize("name", ["a/b", "a:b", "a@b"])
def test_names_that_no_reference_could_have_are_refused(serving, prod, name):
    with pytest.raises(ConfigError, match="cannot be a model's name"):
        transfer(serving, "churn/1", to=address(prod), name=name)


def test_what_cannot_be_reached_leaves_the_registry_as_it_was(serving):
    with pytest.raises(RegistryUnavailable):
        transfer(serving, "churn/1", to="http://127.0.0.1:9")
    with pytest.raises(ConfigError):
        transfer(serving, "churn/1", to="mlruns")
    with pytest.raises(ModelNotFound):
        transfer(serving, "churn/9", to="http://127.0.0.1:9")
    assert "transfer" not in dict(kinds(serving))
    import mlflow

    assert mlflow.get_tracking_uri().endswith("mlflow.db"), "MLflow's own state is as before"


def test_a_version_of_nobody_is_to_be_adopted_first(config, prod, logged_model):
    import mlflow

    from lifecycle.stores.tracking import quiet

    client = connect(config)
    uri = logged_model(client)
    with quiet():
        mlflow.register_model(uri, "plain")
    with pytest.raises(ModelNotFound, match="lifecycle adopt plain/1"):
        transfer(config, "plain/1", to=address(prod))


def test_the_evidence_can_be_exported_on_both_sides(pair, tmp_path):
    for side, config in (("dev", pair.dev), ("prod", pair.prod)):
        done = export_audit(config, tmp_path / side / "out", ref="churn/1")
        assert done.exit_code == 0, done.missing
        assert verify_folder(done.folder).exit_code == 0
    digest = last(pair.prod).evidence_digest
    bundle = json.loads((tmp_path / "prod" / "out" / "evidence" / f"{digest}.json").read_text())
    lines = "".join(f"{line}\n" for line in bundle["ledger"])
    ledger = (tmp_path / "dev" / "out" / offline.LEDGER).read_text()
    assert ledger.startswith(lines), "the bundle is the beginning of the ledger it came from"


def test_a_transfer_has_a_view_and_a_dict():
    done = Transfer("churn/3", "churn/1", "https://prod", "sha256:ab", "cd", "ef")
    assert done.to_dict()["repeated"] is False
    assert "churn/1 of https://prod" in text(done)


@pytest.mark.slow
@pytest.mark.parametrize("step", ["files", "version", "two versions", "ours", "received"])
def test_a_transfer_goes_on_behind_each_step(serving, prod, tmp_path, step):
    """What a call leaves behind that ends after a step, made by the very functions that do it."""
    client = connect(serving)
    version = registry.find(client, "churn/1")
    key = Ledger(client, "churn").entries()[0].id
    (tmp_path / "taken").mkdir()
    copies.take(client, version, tmp_path / "taken")
    there = connect(prod)
    if step in ("ours", "received"):
        copies.put(there, "churn", tmp_path / "taken", key=key, version=version)
        if step == "received":
            registry.heal(there, "churn")
    else:
        _, model_uri = copies._stored(there, "churn", tmp_path / "taken", key=key, version=version)
        for _ in range({"files": 0, "version": 1, "two versions": 2}[step]):
            copies._made("churn", model_uri, key)
    done = transfer(serving, "churn/1", to=address(prod))
    assert not done.repeated
    assert kinds(prod) == [("register", 1), ("transfer", 1)]
    assert [item.ref for item in registry.versions(connect(prod), "churn")] == ["churn/1"]
    runs = connect(prod).search_runs(
        [connect(prod).get_experiment_by_name("churn").experiment_id],
        f"tags.`{copies.TRANSFER}` = '{key}'",
    )
    assert len(runs) == 1, "the files were stored once"
    assert transfer(serving, "churn/1", to=address(prod)).repeated


@pytest.mark.slow
def test_an_entry_that_is_missing_here_is_written_later(serving, prod):
    """The call ended between the two entries: here it is as if it had never been."""
    before = Path("mlflow.db").read_bytes()
    first = transfer(serving, "churn/1", to=address(prod))
    Path("mlflow.db").write_bytes(before)
    again = transfer(serving, "churn/1", to=address(prod))
    assert not again.repeated
    assert (again.target, again.target_head) == (first.target, first.target_head)
    assert kinds(prod) == [("register", 1), ("transfer", 1)]
    assert last(serving).extra["head"]["digest"] == first.target_head


@pytest.mark.slow
def test_a_signed_registry_vouches_for_what_arrives(serving, prod, tmp_path):
    """The signature names the version there, by the key that is configured here."""
    from lifecycle.stores import recorded, signing

    public = signing.make(tmp_path / "key")
    signed = serving.with_values(signing__key=str(tmp_path / "key"))
    done = transfer(signed, "churn/1", to=address(prod), name="vouched")
    trusting = prod.with_values(signing__trusted=public)
    client = connect(trusting)
    made = registry.find(client, done.target)
    recorded.check(trusting.signing, made)
    assert artifacts.load(client, made, trusting).spec.target == "churned"


CALL = """
import sys
from lifecycle.config import Config
from lifecycle.stores.tracking import connect
from lifecycle.workflows.transfer import transfer
import lifecycle.stores.runs as runs; runs.warm()
config = Config().with_values(name=sys.argv[3], tracking__uri=sys.argv[1], tracking__timeout=60)
connect(config)
print("ready", flush=True)
transfer(config, sys.argv[3] + "/1", to=sys.argv[2])
"""


def start(source, target):
    process = subprocess.Popen(
        [sys.executable, "-c", CALL, source, target, "churn"], stdout=subprocess.PIPE
    )
    assert process.stdout.readline()
    return process


@pytest.mark.slow
def test_killed_transfers_are_finished_once(serving, prod):
    for delay in (0.2, 0.6):
        process = start(f"sqlite:///{Path('mlflow.db').absolute()}", address(prod))
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    done = transfer(serving, "churn/1", to=address(prod))
    assert kinds(prod) == [("register", 1), ("transfer", 1)]
    assert [item for item in kinds(serving) if item[0] == "transfer"] == [("transfer", 1)]
    assert [item.ref for item in registry.versions(connect(prod), "churn")] == [done.target]


@pytest.mark.slow
def test_transfers_at_the_same_moment_make_one_version(serving, prod):
    both = [start(f"sqlite:///{Path('mlflow.db').absolute()}", address(prod)) for _ in range(2)]
    for process in both:
        assert process.wait() == 0
        process.stdout.close()
    assert [kind for kind, _ in kinds(prod)] == ["register", "transfer"]
    assert [item for item in kinds(serving) if item[0] == "transfer"] == [("transfer", 1)]
    assert len(registry.versions(connect(prod), "churn")) == 1
    assert transfer(serving, "churn/1", to=address(prod)).repeated


@pytest.mark.slow
def test_over_http_in_both_directions(serving, prod, mlflow_server, tmp_path):
    patient = serving.with_values(tracking__timeout=60)
    done = transfer(patient, "churn/1", to=mlflow_server, name="churn-carried")
    remote = patient.with_values(tracking__uri=mlflow_server, name="churn-carried")
    made = registry.find(connect(remote), done.target)
    assert made.digest == done.digest
    assert artifacts.load(connect(remote), made, remote).how == "sklearn"
    back = transfer(remote, made, to=address(prod), name="back")
    assert back.digest == done.digest
    assert transfer(remote, made, to=address(prod), name="back").repeated
    assert kinds(prod, "back") == [("register", 1), ("transfer", 1)]
    assert kinds(remote, "churn-carried") == [("register", 1), ("transfer", 1), ("transfer", 1)]
    evidence = export_audit(remote, tmp_path / "out", ref=made, files=True)
    assert (evidence.exit_code, verify_folder(evidence.folder).exit_code) == (0, 0)
    assert card(remote, made).section("Metrics").facts
