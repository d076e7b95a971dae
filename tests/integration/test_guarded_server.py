"""A real MLflow server that asks who one is and guards registry and ledgers; ann, bob and eve.

Everyone has all of MLflow's permissions, so whatever is refused is refused by the guard.
"""

import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from lifecycle.config import Config
from lifecycle.errors import ApprovalRefused, RegistryError
from lifecycle.models import files
from lifecycle.stores import artifacts, registry
from lifecycle.stores.identities import authenticated
from lifecycle.stores.ledger import Ledger, draft, dumps
from lifecycle.stores.tracking import connect
from lifecycle.workflows.approvals import approve, request
from lifecycle.workflows.history import history
from lifecycle.workflows.promote import promote
from lifecycle.workflows.rollout import abort, start

pytestmark = pytest.mark.slow
PASSWORD = "a-long-password-{}"
SETTINGS = """
[mlflow]
default_permission = MANAGE
database_uri = sqlite:///{folder}/auth.db
admin_username = admin
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


@pytest.fixture(scope="module")
def server(template_database, tmp_path_factory, started):
    pytest.importorskip("flask_wtf", reason="mlflow[auth]")
    folder = tmp_path_factory.mktemp("guarded-server")
    shutil.copy(template_database, folder / "mlflow.db")
    (folder / "auth.ini").write_text(
        SETTINGS.format(folder=folder, password=PASSWORD.format("admin"))
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--workers", "1",
        "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"lifecycle+sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if "MLFLOW" not in key}
    environment |= {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a secret of this test",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "1",
        "LIFECYCLE_APPROVALS_NEEDED": "1",
    }
    with (folder / "log").open("w") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=said, stderr=said, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        started(process, f"{address}/health", folder / "log")
        for name in ("ann", "bob", "eve"):
            requests.post(
                f"{address}/api/2.0/mlflow/users/create",
                json={"username": name, "password": PASSWORD.format(name)},
                auth=("admin", PASSWORD.format("admin")),
                timeout=30,
            ).raise_for_status()
        yield address
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 15)
        process.wait(30)


@pytest.fixture
def act(monkeypatch):
    """Act with somebody's password, whatever name one gives oneself."""

    def become(name, password=""):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password or PASSWORD.format(name))
        monkeypatch.setenv("LIFECYCLE_ACTOR", "admin")

    return become


@pytest.fixture
def place(server, act, tmp_path, monkeypatch):
    """Where ann works; bob or eve must approve."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    act("ann")
    config = Config().with_values(
        name="churn",
        tracking__timeout=60,
        approvals__needed=1,
        approvals__approvers=("bob", "eve"),
        approvals__authenticated=True,
    )
    return SimpleNamespace(config=config, address=server)


def make(client, logged_model):
    uri = logged_model(client)
    with artifacts.logged_files(client, uri) as folder:
        digest = files.digest(folder)
    run_id = client.get_logged_model(uri.removeprefix("models:/")).source_run_id
    tags = {"lifecycle.digest": digest, "lifecycle.spec_run": run_id}
    return registry.register(client, "churn", model_uri=uri, tags=tags)


def judge(client, version):
    """What a gate run leaves in the ledger."""
    Ledger(client, "churn").append(
        lambda _: draft(kind="gate", version=version, extra={"outcome": "pass"})
    )


def test_a_version_goes_to_production_and_nobody_steps_around(place, act, logged_model):
    config = place.config
    client = connect(config)
    who = authenticated(client)
    assert (who.actor, who.how) == ("ann", f"authenticated by {place.address}")
    assert make(client, logged_model).version == 1
    judge(client, 1)
    assert promote(config, "churn/1", to="staging").aliases == ("staging",)
    judge(client, 1)
    request(config, "churn/1", to="production")
    with pytest.raises(ApprovalRefused, match="'ann' is no approver"):
        approve(config, "churn/1")
    with pytest.raises(ApprovalRefused, match="so far nobody agreed"):
        promote(config, "churn/1", to="production")

    with pytest.raises(MlflowException, match="the ledger names no champion"):
        client.set_registered_model_alias("churn", "champion", "1")
    act("bob", "not the password")
    with pytest.raises((RegistryError, MlflowException), match=r"401|not authenticated"):
        approve(config, "churn/1")
    act("bob")
    assert approve(config, "churn/1").missing == 0
    act("ann")
    assert promote(config, "churn/1", to="production").aliases == ("champion",)
    found = client.get_model_version_by_alias("churn", "champion")
    assert (str(found.version), found.tags["lifecycle.stage"]) == ("1", "production")

    entries = history(config).entries
    assert {entry.identity for entry in entries} == {f"authenticated by {place.address}"}
    assert {entry.actor for entry in entries} == {"ann", "bob"}
    act("eve")
    _steps_around(MlflowClient(place.address), entries)
    assert history(config).entries == entries


def test_a_rollouts_aliases_and_tags_are_the_ledgers(place, logged_model, with_spec):
    config, forced = place.config.with_values(name="tried"), {"force": True, "reason": "a test"}
    client = connect(config)
    for slope in (1.0, 2.0):
        uri = logged_model(client, slope=slope)
        with artifacts.logged_files(client, uri) as folder:
            digest = files.digest(folder)
        tags = {"lifecycle.digest": digest, "lifecycle.spec_run": with_spec(client, uri)}
        registry.register(client, "tried", model_uri=uri, tags=tags)
    promote(config, "tried/1", to="production", **forced)
    began = start(config, "tried/2", steps=(50,), guards=("errors",), **forced)
    for work, words in (
        (
            lambda: client.set_registered_model_alias("tried", "challenger", "1"),
            "challenger is version 2",
        ),
        (lambda: client.set_registered_model_alias("tried", "shadow", "2"), "names no shadow"),
        (
            lambda: client.delete_registered_model_alias("tried", "challenger"),
            "challenger is version 2",
        ),
        (lambda: client.delete_model_version("tried", "2"), "version 2 is being rolled out"),
        (
            lambda: client.set_registered_model_tag("tried", "lifecycle.rollout", "{}"),
            "the ledger says of lifecycle.rollout",
        ),
    ):
        with pytest.raises(MlflowException, match=words):
            work()
    assert abort(config, reason="seen").seq == began.seq
    found = client.get_registered_model("tried").aliases
    assert {key: int(item) for key, item in found.items()} == {"champion": 1, "staging": 2}
    tag = client.get_model_version("tried", "2").tags["lifecycle.rollout"]
    assert tag == "aborted: seen"


def _steps_around(client, entries):
    """What eve tries, who may do everything that MLflow knows of."""
    at = client.get_experiment_by_name("churn/ledger")
    run_id = at.tags["lifecycle.ledger"]
    forged = replace(
        draft(kind="stage", version=1, to="archived"), seq=len(entries) + 1,
        prev=entries[-1].digest, actor="bob", identity=entries[-1].identity,
    )  # fmt: skip
    for work, words in (
        (lambda: client.delete_registered_model_alias("churn", "champion"), "champion is version"),
        (lambda: client.delete_model_version("churn", "1"), "version 1 is in production"),
        (
            lambda: client.set_model_version_tag("churn", "1", "lifecycle.stage", "none"),
            "the ledger says of lifecycle.stage",
        ),
        (lambda: client.delete_experiment(at.experiment_id), "a ledger is not deleted"),
        (lambda: client.delete_run(run_id), "a ledger is not deleted"),
        (
            lambda: client.log_param(run_id, f"t/{forged.seq:06d}", dumps(forged)),
            "it is by 'bob', but it is by 'eve'",
        ),
    ):
        with pytest.raises(MlflowException, match=words):
            work()
