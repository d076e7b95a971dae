"""The guarded registry with a plain MlflowClient, in this process: what passes and what not."""

import shutil

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lifecycle.config import Config
from lifecycle.stores import registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.plugins import registry_store
from lifecycle.stores.tracking import connect
from lifecycle.workflows.promote import promote

TAGS = {"lifecycle.spec_run": "f" * 32, "lifecycle.digest": "sha256:1"}
PASSED = {"outcome": "pass", "champion": 2}


@pytest.fixture(scope="module")
def database(template_database, tmp_path_factory, logged_model):
    """churn/2 in production after churn/1, churn/3 in staging, churn/4 new; plain/1 is not ours."""
    folder = tmp_path_factory.mktemp("guarded")
    path = folder / "mlflow.db"
    shutil.copy(template_database, path)
    config = Config().with_values(name="churn", tracking__uri=f"sqlite:///{path}")
    client = connect(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        uri = logged_model(client)
        for _ in range(4):
            registry.register(client, "churn", model_uri=uri, tags=TAGS)
        for ref, to in (("1", "production"), ("2", "production"), ("3", "staging")):
            promote(config, f"churn/{ref}", to=to, force=True, reason="a test")
        client.create_registered_model("plain")
        client.create_model_version("plain", uri)
    return path


def plain_client(path):
    """What anybody has who may edit models on a guarded server."""
    return MlflowClient(f"sqlite:///{path}", f"lifecycle+sqlite:///{path}")


@pytest.fixture
def guarded(database, tmp_path, monkeypatch):
    """A client of a registry of its own."""
    path = tmp_path / "mlflow.db"
    shutil.copy(database, path)
    monkeypatch.chdir(tmp_path)
    return plain_client(path)


@pytest.fixture
def refusing(database, monkeypatch):
    """A client of the registry that all share; what is refused leaves it as it is."""
    monkeypatch.chdir(database.parent)
    return plain_client(database)


def to_stage(client, name, version, stage, **more):
    with pytest.warns(FutureWarning):
        client.transition_model_version_stage(name, version, stage, **more)


def aliases(client):
    found = client.get_registered_model("churn").aliases
    return {alias: int(version) for alias, version in found.items()}


REFUSED = {
    "champion": lambda c: c.set_registered_model_alias("churn", "champion", "4"),
    "champion, back": lambda c: c.set_registered_model_alias("churn", "champion", "1"),
    "previous": lambda c: c.set_registered_model_alias("churn", "previous", "4"),
    "staging": lambda c: c.set_registered_model_alias("churn", "staging", "4"),
    "challenger": lambda c: c.set_registered_model_alias("churn", "challenger", "4"),
    "no champion": lambda c: c.delete_registered_model_alias("churn", "champion"),
    "no previous": lambda c: c.delete_registered_model_alias("churn", "previous"),
    "stage": lambda c: to_stage(c, "churn", "4", "Production"),
    "deletion": lambda c: c.delete_model_version("churn", "2"),
    "deletion of all": lambda c: c.delete_registered_model("churn"),
    "name": lambda c: c.rename_registered_model("churn", "churn2"),
    "stage tag": lambda c: c.set_model_version_tag("churn", "4", "lifecycle.stage", "production"),
    "gate tag": lambda c: c.set_model_version_tag("churn", "4", "lifecycle.gate", "pass"),
    "digest": lambda c: c.set_model_version_tag("churn", "2", "lifecycle.digest", "sha256:2"),
    "no digest": lambda c: c.delete_model_version_tag("churn", "2", "lifecycle.digest"),
    "mark": lambda c: c.set_registered_model_tag("churn", "lifecycle.projected", "99"),
    "no mark": lambda c: c.delete_registered_model_tag("churn", "lifecycle.projected"),
    "copy": lambda c: c.create_model_version(
        "plain", "models:/churn/2", tags={"lifecycle.stage": "production"}
    ),
    "copy with a verdict": lambda c: c.create_model_version(
        "churn", "models:/churn/2", tags={"lifecycle.gate": "pass"}
    ),
    "model": lambda c: c.create_registered_model("new", tags={"lifecycle.projected": "3"}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_plain_client_is_refused(refusing, what):
    before = refusing.get_registered_model("churn")
    with pytest.raises(MlflowException, match="lifecycle refuses this for") as caught:
        REFUSED[what](refusing)
    assert caught.value.error_code == "PERMISSION_DENIED"
    assert "Next: use `lifecycle promote`" in str(caught.value)
    after = refusing.get_registered_model("churn")
    assert (after.aliases, after.tags) == (before.aliases, before.tags)
    assert aliases(refusing) == {"champion": 2, "previous": 1, "staging": 3}


def test_what_is_not_ours_or_is_so_passes(guarded):
    guarded.set_registered_model_alias("churn", "nightly", "4")
    guarded.delete_registered_model_alias("churn", "nightly")
    guarded.set_registered_model_alias("churn", "champion", "2")
    to_stage(guarded, "churn", "2", "Production", archive_existing_versions=True)
    guarded.set_model_version_tag("churn", "2", "owner", "ann")
    guarded.delete_model_version_tag("churn", "2", "owner")
    guarded.set_registered_model_tag("churn", "owner", "ann")
    guarded.delete_registered_model_tag("churn", "owner")
    guarded.update_model_version("churn", "2", description="serves")
    guarded.delete_model_version("churn", "4")
    guarded.create_registered_model("new", tags={"owner": "ann"})
    guarded.delete_registered_model("new")


def test_a_model_that_is_not_ours_is_left_alone(guarded):
    guarded.set_registered_model_alias("plain", "champion", "1")
    to_stage(guarded, "plain", "1", "Production")
    guarded.set_model_version_tag("plain", "1", "lifecycle.digest", "sha256:1")
    guarded.rename_registered_model("plain", "simple")
    guarded.delete_registered_model("simple")


def test_our_own_projection_follows_the_ledger(guarded):
    Ledger(guarded, "churn").append(
        lambda _: draft(
            kind="stage", version=3, source="staging", to="production", reason="night",
            extra={"forced": True, "replaced": 2, "replaced_to": "archived"},
        )
    )  # fmt: skip
    assert aliases(guarded)["champion"] == 2
    registry.project(guarded, "churn")
    assert aliases(guarded) == {"champion": 3, "previous": 2}
    assert guarded.get_model_version("churn", "2").tags["lifecycle.stage"] == "archived"
    guarded.delete_model_version("churn", "1")
    with pytest.raises(MlflowException, match="version 3 is in production"):
        guarded.delete_model_version("churn", "3")


def test_an_entry_written_past_the_gates_moves_nothing(guarded):
    Ledger(guarded, "churn").append(
        lambda _: draft(kind="stage", version=4, to="production", extra={"replaced": 2})
    )
    with pytest.raises(MlflowException, match="not in order: no gate report of it was in force"):
        guarded.set_registered_model_alias("churn", "champion", "4")
    assert aliases(guarded)["champion"] == 2


def test_the_servers_policy_asks_for_approvals(guarded, monkeypatch):
    assert aliases(guarded)["champion"] == 2  # its store is made with this first call
    monkeypatch.setenv("LIFECYCLE_APPROVALS_NEEDED", "1")
    strict = registry_store(guarded._registry_uri)
    gate = Ledger(guarded, "churn").append(lambda _: draft(kind="gate", version=4, extra=PASSED))
    Ledger(guarded, "churn").append(
        lambda _: draft(
            kind="stage", version=4, to="production", extra={"replaced": 2, "gate": gate.seq}
        )
    )
    with pytest.raises(MlflowException, match="1 approval is needed and nobody has asked"):
        strict.set_registered_model_alias("churn", "champion", "4")
    guarded.set_registered_model_alias("churn", "champion", "4")


def test_a_broken_ledger_refuses_all(guarded):
    guarded.delete_experiment(guarded.get_experiment_by_name("churn/ledger").experiment_id)
    with pytest.raises(MlflowException, match="the ledger of 'churn' was deleted") as caught:
        guarded.set_registered_model_alias("churn", "champion", "4")
    assert caught.value.error_code == "PERMISSION_DENIED"


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("MLFLOW_ENABLE_WORKSPACES", "true", "does not know workspaces"),
        ("LIFECYCLE_STAGES_ORDER", "none,live", "stages.order"),
        ("LIFECYCLE_APPROVALS_NEEDED", "-1", "approvals.needed is -1"),
        ("LIFECYCLE_APPROVALS_STAGES", "prod", "approvals.stages has 'prod'"),
    ],
)
def test_a_server_that_is_set_up_wrongly_does_not_start(
    database, monkeypatch, variable, value, words
):
    monkeypatch.chdir(database.parent)
    monkeypatch.setenv(variable, value)
    with pytest.raises(MlflowException, match=words):
        registry_store(f"lifecycle+sqlite:///{database}")
