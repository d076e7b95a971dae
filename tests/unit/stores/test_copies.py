"""What is taken out of a registry and what is put into another, and what is left behind."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from lifecycle.errors import DigestMismatch, LifecycleError, TrainingFailed
from lifecycle.models import files, specs
from lifecycle.stores import artifacts, contents, copies, recorded, registry
from lifecycle.stores.ledger import Ledger
from lifecycle.stores.tracking import connect

KEY = "0d4f6a4e-key"


@pytest.fixture(scope="module")
def dev(champion_database, tmp_path_factory):
    """A client of a registry with churn/1."""
    from lifecycle.config import Config

    folder = tmp_path_factory.mktemp("dev")
    shutil.copy(champion_database, folder / "mlflow.db")
    return connect(Config().with_values(tracking__uri=f"sqlite:///{folder / 'mlflow.db'}"))


@pytest.fixture(scope="module")
def version(dev):
    return registry.find(dev, "churn/1")


@pytest.fixture(scope="module")
def taken(dev, version, tmp_path_factory):
    folder = tmp_path_factory.mktemp("taken")
    artifacts.evidence(dev, version.tags["lifecycle.spec_run"], "gate-x", {"passed": True})
    copies.take(dev, version, folder)
    return folder


@pytest.fixture
def folder(taken, tmp_path):
    return Path(shutil.copytree(taken, tmp_path / "taken"))


@pytest.fixture
def prod(config):
    return connect(config)


def test_all_but_decisions_is_taken(taken, version):
    names = {path.relative_to(taken).as_posix() for path in taken.rglob("*") if path.is_file()}
    assert {"model/MLmodel", "lifecycle/spec.json", "lifecycle/card.md"} <= names
    assert {f"lifecycle/data/{name}.parquet" for name in (
        "holdout", "reference", "holdout_answers",
    )} <= names  # fmt: skip
    assert not any("evidence" in name for name in names)
    assert files.digest(taken / "model") == version.digest


def test_what_was_put_is_byte_for_byte_what_was_taken(prod, folder, version):
    made = copies.put(prod, "churn", folder, key=KEY, version=version)
    assert made.digest == version.digest
    assert made.tags[copies.TRANSFER] == KEY
    run_id = made.tags["lifecycle.spec_run"]
    for path in (folder / "lifecycle").rglob("*"):
        name = path.relative_to(folder / "lifecycle").as_posix()
        if path.is_file() and name != "spec.json":
            stored = contents.content(prod, contents.link(run_id, name))
            assert stored == path.read_bytes(), name
    stored = contents.content(prod, contents.link(run_id, "spec.json"))
    before = json.loads((folder / "lifecycle" / "spec.json").read_text())
    assert {**json.loads(stored), "data_run_id": before["data_run_id"]} == before
    assert made.tags[recorded.SPEC] == f"sha256:{hashlib.sha256(stored).hexdigest()}"
    assert Ledger(prod, "churn").entries() == (), "the workflow writes the ledger"
    run = prod.get_run(run_id)
    assert run.info.status == "FINISHED"
    spec = specs.loads(stored.decode())
    assert run.data.metrics["roc_auc"] == pytest.approx(spec.metric.value)


def test_to_put_again_makes_nothing(prod, folder, version):
    first = copies.put(prod, "churn", folder, key=KEY, version=version)
    again = copies.put(prod, "churn", folder, key=KEY, version=version)
    other = copies.put(prod, "churn", folder, key="another", version=version)
    assert (again.version, other.version) == (first.version, first.version + 1)


@pytest.mark.parametrize("name", ["model/MLmodel", "lifecycle/data/holdout.parquet"])
def test_a_copy_that_is_damaged_on_its_way_is_refused_or_seen(prod, folder, version, name):
    """The model's files are held against their digest; rows against the recorded sha256."""
    path = folder / name
    path.write_bytes(path.read_bytes() + b"\n")
    if name.startswith("model"):
        with pytest.raises(DigestMismatch):
            copies.put(prod, "churn", folder, key=KEY, version=version)
        assert copies._with(prod, "churn", KEY) == []
    else:
        made = copies.put(prod, "churn", folder, key=KEY, version=version)
        link = contents.link(made.tags["lifecycle.spec_run"], "data/holdout.parquet")
        assert contents.content(prod, link) == path.read_bytes()


def test_a_specification_that_cannot_be_read_makes_no_version(prod, folder, version):
    (folder / "lifecycle" / "spec.json").write_text("{")
    with pytest.raises(LifecycleError, match="cannot be read"):
        copies.put(prod, "churn", folder, key=KEY, version=version)
    assert copies._with(prod, "churn", KEY) == []


def test_what_cannot_be_stored_makes_no_version_and_may_be_tried_again(
    prod, folder, version, tmp_path
):
    """The place of the artifacts is a file, as when a disk is not there."""
    (tmp_path / "mlruns").write_text("")
    with pytest.raises((TrainingFailed, LifecycleError)):
        copies.put(prod, "churn", folder, key=KEY, version=version)
    assert copies._with(prod, "churn", KEY) == []
    (tmp_path / "mlruns").unlink()
    assert copies.put(prod, "churn", folder, key=KEY, version=version).version == 1


def test_the_first_of_two_stays_and_nothing_that_is_ours_is_deleted(prod, folder, version):
    run_id, model_uri = copies._stored(prod, "churn", folder, key=KEY, version=version)
    for _ in range(3):
        copies._made("churn", model_uri, KEY)
    known = copies._with(prod, "churn", KEY)
    copies._marked(prod, known[1], run_id, folder, version)
    known = copies._with(prod, "churn", KEY)
    assert [item.version for item in copies._alone(prod, known)] == [1]
    assert [item.version for item in copies._with(prod, "churn", KEY)] == [1, 2]


@pytest.mark.parametrize(
    ("tag", "travels"),
    [
        (artifacts.COMPILED, True),
        (artifacts.COMPILED_HOW, True),
        ("lifecycle.rows_alike", True),
        ("team", True),
        ("lifecycle.gate", False),
        ("lifecycle.gate_digest", False),
        (registry.STAGE, False),
        (recorded.SIGNATURE, False),
        (recorded.SPEC, False),
        (recorded.SPEC_RUN, False),
        ("lifecycle.last_check", False),
        ("lifecycle.drift", False),
        (copies.TRANSFER, False),
        ("mlflow.anything", False),
    ],
)
def test_tags_that_say_something_of_the_files_travel(tag, travels):
    assert copies._travels(tag) is travels
