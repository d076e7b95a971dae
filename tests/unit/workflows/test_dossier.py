"""What is recorded of a version, read back; what is gone is named with its reason."""

import pytest

from lifecycle.errors import DataError, ModelNotFound
from lifecycle.stores import artifacts, registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect
from lifecycle.workflows.dossier import dossier, evidence


@pytest.fixture
def client(serving):
    return connect(serving)


@pytest.fixture
def version(client):
    return registry.find(client, "churn/1")


def entries(client):
    return Ledger(client, "churn").entries()


def test_a_whole_version_lacks_nothing(client, version):
    found = dossier(client, version, entries(client))
    assert found.missing == {}
    assert found.files_digest == version.digest
    assert {item.name for item in found.files} >= {"MLmodel", "model.skops"}
    assert all(len(item.sha256) == 64 and item.size for item in found.files)
    assert found.holdout[0] == found.spec.holdout_rows
    assert found.checks == ()
    assert (found.gate, found.report) == (None, None)
    assert [item.kind for item in found.entries] == ["register", "stage"]


def test_the_newest_gate_report_counts(client, version):
    for outcome in ("pass", "fail"):
        report = {
            "name": "churn", "version": 1, "champion": None, "created": "", "digest": outcome,
            "results": [{"gate": "floor", "outcome": outcome, "reason": "so"}],
        }  # fmt: skip
        digest, link = artifacts.evidence(client, version.run_id, f"dossier-{outcome}", report)
        made = draft(
            kind="gate", version=1, evidence_digest=digest, evidence_link=link,
            extra={"outcome": outcome},
        )  # fmt: skip
        Ledger(client, "churn").append(lambda _, made=made: made)
    found = dossier(client, version, entries(client))
    assert found.gate.seq == entries(client)[-1].seq
    assert [str(item.outcome) for item in found.report.results] == ["fail"]


def test_what_people_wrote_is_there(client, version):
    client.update_registered_model("churn", "for calls")
    client.update_model_version("churn", "1", "the first")
    found = dossier(client, version, entries(client))
    assert (found.model_description, found.description) == ("for calls", "the first")


def test_a_version_of_nobody_has_files_and_a_signature(client, logged_model):
    import mlflow

    from lifecycle.stores.tracking import quiet

    with quiet():
        mlflow.register_model(logged_model(client), "plain")
    found = dossier(client, registry.find(client, "plain/1"), ())
    assert found.files
    assert found.spec.feature_names == ("x", "z")
    assert set(found.missing) == {"hold-out"}


def test_a_version_that_is_gone_is_an_error(client, version):
    client.delete_registered_model_alias("churn", "champion")
    client.delete_model_version("churn", "1")
    with pytest.raises(ModelNotFound):
        dossier(client, version, entries(client))


def test_evidence_is_read_anew_and_held_against_its_digest(client, version):
    digest, link = artifacts.evidence(client, version.run_id, "dossier-x", {"rows": 3})
    made = draft(kind="flag", version=1, evidence_digest=digest, evidence_link=link)
    assert evidence(client, made) == b'{"rows":3}'
    run_id, _, name = link.removeprefix("runs:/").partition("/")
    path = artifacts.local(client.get_run(run_id).info.artifact_uri) / name
    path.write_bytes(b'{"rows":4}')
    with pytest.raises(DataError, match="not what was stored"):
        evidence(client, made)
    path.unlink()
    with pytest.raises(ModelNotFound, match="gone"):
        evidence(client, made)
