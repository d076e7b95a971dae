"""A version's files: read back whole, refused when they changed, gone when they are gone."""

from pathlib import Path

import numpy as np
import pytest

from lifecycle.drift import Profile
from lifecycle.errors import DataError, ModelNotFound, ModelRefused
from lifecycle.models.inputs import columns
from lifecycle.records import ModelVersion
from lifecycle.stores import artifacts, registry
from lifecycle.stores.tracking import connect


@pytest.fixture
def client(serving):
    return connect(serving)


@pytest.fixture
def version(client) -> ModelVersion:
    return registry.find(client, "churn")


def test_rows_profile_and_specification_belong_together(client, version):
    spec = artifacts.spec(client, version)
    held, reference = artifacts.holdout(client, version), artifacts.reference(client, version)
    assert len(held) == spec.holdout_rows == 240
    assert {"churned", "ts", "customer_id", *spec.feature_names} <= set(held.columns)
    assert len(reference) == 1200
    profile = Profile.loads(artifacts.profile_text(client, version))
    assert set(spec.feature_names) <= set(profile.columns)
    assert artifacts.spec_of_run(client, version.tags[artifacts.SPEC_RUN]) == spec
    again = artifacts.holdout_of_run(client, spec.data_run_id)
    assert again.equals(held)


def test_a_loaded_version_knows_which_it_is_and_answers(serving, client, version):
    loaded = artifacts.load(client, version, serving)
    assert (loaded.version, loaded.how) == (version, "sklearn")
    held = artifacts.holdout(client, version)
    output = loaded.predict(columns(held, loaded.spec))
    np.testing.assert_allclose(
        output.score, artifacts.reference(client, version)["score"].dropna(), atol=1e-9
    )


def test_a_version_with_another_digest_is_not_loaded(serving, client, version):
    changed = ModelVersion(**{**vars(version), "digest": "sha256:" + "0" * 64})
    with pytest.raises(ModelRefused):
        artifacts.load(client, changed, serving)


def test_files_are_a_folder_while_they_are_needed(client, version):
    with artifacts.files(client, version) as folder:
        assert (folder / "MLmodel").is_file()
    with artifacts.logged_files(client, version.source) as logged:
        assert logged == folder, "the same files by both addresses"
    with pytest.raises(ModelNotFound), artifacts.files(client, ModelVersion("churn", 9)):
        pass


def test_a_version_that_was_not_compiled_has_no_onnx_file(client, version):
    with pytest.raises(ModelNotFound, match=r"model\.onnx is not stored"):
        artifacts.compiled(client, version)


def test_evidence_that_was_changed_or_is_gone_is_not_believed(client, version):
    run_id = client.create_run(client.get_run(version.run_id).info.experiment_id).info.run_id
    digest, link = artifacts.evidence(client, run_id, "gate-1", {"b": [1, None], "a": "€"})
    assert link == f"runs:/{run_id}/lifecycle/evidence/gate-1.json"
    assert len(digest) == 64
    assert artifacts.read_evidence(client, link, digest) == {"a": "€", "b": [1, None]}
    with pytest.raises(DataError, match="is not what was stored") as told:
        artifacts.read_evidence(client, link, "0" * 64)
    assert digest in told.value.what
    assert told.value.where == link
    with pytest.raises(ModelNotFound, match=r"gate-2\.json is not stored"):
        artifacts.read_evidence(client, link.replace("gate-1", "gate-2"), digest)


def test_the_same_evidence_has_the_same_digest_however_it_was_built(client, version):
    run_id = client.create_run(client.get_run(version.run_id).info.experiment_id).info.run_id
    one, _ = artifacts.evidence(client, run_id, "one", {"a": 1, "b": 2})
    two, _ = artifacts.evidence(client, run_id, "two", {"b": 2, "a": 1})
    other, _ = artifacts.evidence(client, run_id, "three", {"a": 1, "b": 3})
    assert one == two != other


def test_a_model_that_is_not_ours_is_described_by_its_signature(client, logged_model):
    client.create_registered_model("plain")
    client.create_model_version("plain", logged_model(client))
    plain = registry.find(client, "plain/1")
    spec = artifacts.spec(client, plain)
    assert spec.feature_names == ("x", "z")
    assert spec.target is None
    for read in (artifacts.holdout, artifacts.reference, artifacts.profile_text):
        with pytest.raises(ModelNotFound, match="adopt plain/1"):
            read(client, plain)


def test_a_folder_that_was_removed_is_named(client, logged_model):
    uri = logged_model(client)
    client.create_registered_model("plain")
    client.create_model_version("plain", uri)
    made = client.get_logged_model(uri.removeprefix("models:/"))
    folder = Path(artifacts.local(made.artifact_location))
    folder.rename(folder.with_name("moved"))
    with (
        pytest.raises(ModelNotFound, match="the model's folder is gone") as told,
        artifacts.files(client, registry.find(client, "plain/1")),
    ):
        pass
    assert str(folder) in told.value.what
    assert told.value.where == "plain/1"
