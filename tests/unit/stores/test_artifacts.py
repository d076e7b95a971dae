"""What is stored with a version is read back from any folder, or said to be gone."""

from pathlib import Path

import pytest

from lifecycle.errors import DataError, ModelNotFound
from lifecycle.records import ModelVersion
from lifecycle.stores import artifacts, runs
from lifecycle.stores.tracking import connect, experiment_id


@pytest.fixture(params=["plain", "C# and R"])
def folder(request, tmp_path):
    made = tmp_path / request.param
    made.mkdir()
    return made


@pytest.fixture
def client(config):
    return connect(config)


def run_in(client, folder, name):
    experiment = client.create_experiment(name, artifact_location=str(folder))
    return client.create_run(experiment).info.run_id


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("/a/b", "/a/b"),
        ("/a#b/c?d", "/a#b/c?d"),
        ("/100%25", "/100%25"),
        ("file:///a%20b/c", "/a b/c"),
        ("s3://bucket/a", None),
        ("mlflow-artifacts:/1/2", None),
        ("http://host/a", None),
    ],
)
def test_only_addresses_of_this_machine_are_paths(address, path):
    assert artifacts.local(address) == (Path(path) if path else None)


def test_evidence_comes_back_from_any_folder(client, folder):
    run_id = run_in(client, folder, f"in {folder.name}")
    digest, link = artifacts.evidence(client, run_id, "gate-1", {"outcome": "pass"})
    assert artifacts.read_evidence(client, link, digest) == {"outcome": "pass"}
    assert list(folder.rglob("gate-1.json"))


def test_what_is_not_stored_says_so_with_its_address(client):
    run_id = client.create_run(experiment_id(client, "churn")).info.run_id
    version = ModelVersion("churn", 3, tags={artifacts.SPEC_RUN: run_id})
    with pytest.raises(
        ModelNotFound, match=r"lifecycle/compiled/model\.onnx is not stored"
    ) as told:
        artifacts.compiled(client, version)
    assert run_id in str(told.value)


def test_a_version_that_is_not_ours_says_how_it_becomes_so(client):
    with pytest.raises(ModelNotFound, match="adopt churn/3"):
        artifacts.holdout(client, ModelVersion("churn", 3))


def test_rows_that_are_damaged_are_an_error(client):
    run_id = client.create_run(experiment_id(client, "churn")).info.run_id
    runs.log_files(client, run_id, {"data/holdout.parquet": b"no parquet"})
    with pytest.raises(DataError, match="the stored rows are damaged"):
        artifacts.holdout_of_run(client, run_id)
