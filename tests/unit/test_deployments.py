"""Rollouts through MLflow's client for deployments, on a real registry."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import pandas as pd
import pytest
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException

import lifecycle as lc
from lifecycle import deployments
from lifecycle.deployments import LifecycleDeploymentClient, Refused, settings
from lifecycle.errors import ConfigError
from lifecycle.records import ModelRef
from lifecycle.stores import registry
from lifecycle.stores.tracking import connect
from lifecycle.workflows.route import ask

FORCED = {"force": "true", "reason": "a test"}


@pytest.fixture(scope="module")
def project(
    champion_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[lc.Project]:
    """churn/1 in production, churn/2 and churn/3 are its twins; MLflow finds the same registry."""
    folder = tmp_path_factory.mktemp("deployments")
    shutil.copy(champion_database, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LIFECYCLE_TRACKING_URI", uri)
        made = lc.Project("churn")
        client = connect(made.config)
        first = registry.find(client, "churn/1")
        for _ in range(2):
            registry.register(client, "churn", model_uri=first.source, tags=dict(first.tags))
        yield made


@pytest.fixture
def client(project: lc.Project) -> Iterator[LifecycleDeploymentClient]:
    """Of a model without an open rollout."""
    assert project.name == "churn"
    found = get_deploy_client("lifecycle:/churn")
    assert type(found).__name__ == "LifecycleDeploymentClient"
    yield found
    found.delete_deployment("churn")


def test_what_never_was_cannot_be_shown(client) -> None:
    with pytest.raises(MlflowException, match="there never was a rollout") as wrong:
        client.get_deployment("churn")
    assert wrong.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert client.list_deployments() == []
    with pytest.raises(MlflowException, match="there never was a rollout"):
        client.update_deployment("churn", config={"step": "true"})


def test_a_rollout_is_made_moved_and_deleted(client, project: lc.Project) -> None:
    made = client.create_deployment(
        "churn", "models:/churn/2",
        config={"strategy": "canary", "steps": "5,50,100", "guards": "errors,invalid",
                "hold_back": "0", **FORCED},
    )  # fmt: skip
    assert made["name"] == "churn"
    assert made["flavor"] == "python_function"
    assert made["arms"] == {
        "champion": {"version": 1, "share": 0.95}, "challenger": {"version": 2, "share": 0.05},
    }  # fmt: skip
    spec = project.rollout_status().rollout.spec
    assert (spec.steps, spec.guards, spec.hold_back) == ((0.05, 0.5, 1.0), ("errors", "invalid"), 0)
    assert [one["name"] for one in client.list_deployments()] == ["churn"]
    moved = client.update_deployment("churn", config={"step": "true", "reason": "in a hurry"})
    assert moved["arms"]["challenger"]["share"] == 0.5
    assert project.history().entries[-1].reason == "in a hurry"
    shown = client.get_deployment("churn")
    assert (shown["status"], shown["step"]) == ("running", 1)
    assert json.loads(json.dumps(shown)) == shown, "plain values"
    assert all(type(one["outcome"]) is str for one in shown["evidence"])
    client.delete_deployment("churn", config={"reason": "enough"})
    after = client.get_deployment("churn")
    assert (after["status"], after["reason"]) == ("aborted", "enough")
    assert client.list_deployments() == []
    assert project.status().production.version == 1
    entries = len(project.history().entries)
    client.delete_deployment("churn")
    assert len(project.history().entries) == entries, "nothing to delete, nothing written"


@pytest.mark.slow
def test_another_version_takes_the_place_of_the_one_that_is_tried(client, project) -> None:
    config = {"steps": "5,100", "guards": "errors", **FORCED}
    client.create_deployment("churn", "models:/churn/2", config=config)
    entries = len(project.history().entries)
    client.update_deployment("churn", "models:/churn/2", config=config)
    assert len(project.history().entries) == entries, "it is tried already"
    shown = client.update_deployment("churn", "models:/churn/3", config=config)
    assert shown["arms"]["challenger"] == {"version": 3, "share": 0.05}
    with pytest.raises(MlflowException, match="champion itself"):
        client.update_deployment("churn", "models:/churn/1", config=config)
    assert client.get_deployment("churn")["status"] == "running", "what cannot begin ends nothing"


def test_a_second_one_is_refused(client) -> None:
    client.create_deployment("churn", "models:/churn/2", config=FORCED)
    with pytest.raises(MlflowException, match="a rollout of version 2 is open"):
        client.create_deployment("churn", "models:/churn/3", config=FORCED)


@pytest.mark.parametrize(
    ("name", "uri", "given", "words"),
    [
        ("other", "models:/churn/2", {}, "write --name churn"),
        ("churn", "models:/other/2", {}, "is not a version of 'churn'"),
        ("churn", "runs:/abc/model", {}, "not a model reference"),
        ("churn", "models:/churn/9", {}, "9"),
        ("churn", "models:/churn/2", {"stps": "1"}, "did you mean 'steps'"),
        ("churn", "models:/churn/2", {"steps": "1,x"}, "write a list of numbers"),
        ("churn", "models:/churn/2", {"steps": "50,5"}, "rise"),
        ("churn", "models:/churn/2", {"strategy": "canry"}, "did you mean 'canary'"),
        ("churn", "models:/churn/2", {"guards": "erors"}, "did you mean 'errors'"),
        ("churn", "models:/churn/2", {"force": "maybe"}, "write true or false"),
        ("churn", "models:/churn/2", {"force": "true"}, "needs a reason"),
        ("churn", "models:/churn/1", FORCED, "champion itself"),
    ],
)  # fmt: skip
def test_wrong_turns_are_told_in_mlflows_terms(client, name, uri, given, words) -> None:
    with pytest.raises(MlflowException) as wrong:
        client.create_deployment(name, uri, config=given)
    assert words in str(wrong.value)
    assert isinstance(wrong.value, click.ClickException), "the command prints it, no traceback"


@pytest.mark.parametrize(
    ("uri", "given", "words"),
    [
        (None, {}, "name one thing to do"),
        (None, {"step": "true", "promote": "true"}, "step and promote are two things"),
        ("models:/churn/2", {"step": "true"}, "do one"),
        (None, {"step": "perhaps"}, "write true or false"),
        (None, {"step": "true"}, "no rollout is open"),
        (None, {"resume": "true"}, "no rollout is open"),
    ],
)
def test_an_update_does_one_thing(client, uri, given, words) -> None:
    with pytest.raises(MlflowException) as wrong:
        client.update_deployment("churn", uri, config=given)
    assert words in str(wrong.value)


def test_rows_are_answered_by_the_arm_of_their_key(client, project, make_churn) -> None:
    rows = make_churn(40, seed=4, start="2026-03-01").drop(columns="churned")
    alone = client.predict("churn", rows)
    assert set(alone["arms"]) == {"champion"}
    made = project.rollout(2, steps=[50, 100], guards=["errors"], force=True, reason="a test")
    found = client.predict("churn", rows)
    assert dict(zip(found["arms"], found["versions"], strict=True)) == {
        "champion": 1, "challenger": 2,
    }  # fmt: skip
    assert found["predictions"] == alone["predictions"], "they are twins, and rows keep their order"
    assert client.predict("churn", rows)["arms"] == found["arms"], "sticky by key"
    assert len(found.get_predictions()) == 40
    unkeyed = client.predict("churn", rows.drop(columns="customer_id"))
    assert len(set(unkeyed["arms"])) == 1, "rows of one call without keys stay together"
    logged = project.rollout_status()
    assert logged.rollout.seq == made.seq
    assert logged.look.exposed.get("challenger", 0) == 0, "batches are not counted"


def test_a_table_may_be_given_as_records(client, make_churn) -> None:
    rows = make_churn(3, seed=4, start="2026-03-01").drop(columns="churned")
    assert len(client.predict("churn", rows.to_dict("records"))["predictions"]) == 3
    for wrong in (pd.DataFrame(), 7):
        with pytest.raises(MlflowException, match=r"no rows|no table"):
            client.predict("churn", wrong)


class _Server(BaseHTTPRequestHandler):
    """Answers what it was asked, or 400 for a model that it does not know."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = self.headers["X-Model"] == "churn"
        answer = {"predictions": body["dataframe_split"]["data"]} if known else {"error": "unknown"}
        self.send_response(200 if known else 400)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_is_asked_where_one_is_named(address: str) -> None:
    client = get_deploy_client("lifecycle:/churn")
    found = client.predict("churn", {"age": [41, 7]}, endpoint=address)
    assert found["predictions"] == [[41], [7]]
    with pytest.raises(MlflowException, match=r"the server answers 400.*unknown"):
        get_deploy_client("lifecycle:/other").predict(inputs={"age": [1]}, endpoint=address)


def test_no_server_is_told() -> None:
    frame = pd.DataFrame({"age": [1]})
    with pytest.raises(lc.ServeError, match="lifecycle serve churn"):
        ask("http://127.0.0.1:9", "churn", frame)
    with pytest.raises(lc.ServeError, match="no address"):
        ask("file:///etc/passwd", "churn", frame)


def test_explaining_is_not_offered_and_says_what_is() -> None:
    client = get_deploy_client("lifecycle:/churn")
    with pytest.raises(MlflowException, match="lifecycle rollout explain churn"):
        client.explain("churn", pd.DataFrame())


def test_every_setting_of_a_rollout_can_be_given() -> None:
    for key in deployments._SETTINGS:
        assert settings({key: "1"}) == {f"rollout__{key}": "1"}
        assert key in deployments.target_help()
    for key in deployments.ASKED:
        assert settings({key: "1"}) == {}
        assert f"{key}=" in deployments.target_help()
    with pytest.raises(ConfigError, match="unknown config"):
        settings({"after_retrain": "true"})


def test_a_target_without_a_name_takes_that_of_the_call() -> None:
    client = LifecycleDeploymentClient("lifecycle")
    assert client.model == ""
    assert client._project("churn").name == "churn"
    assert LifecycleDeploymentClient("lifecycle:/my%20model").model == "my model"


def test_a_reference_may_be_an_alias(project: lc.Project) -> None:
    assert deployments._version(project, "churn@champion") == ModelRef("churn", 1)


def test_a_refusal_is_mlflows_and_clicks() -> None:
    told = Refused(ConfigError("no", fix="yes"))
    assert told.message == "no. Next: yes."
    assert told.format_message() == "no. Next: yes."
    assert json.loads(told.serialize_as_json())["error_code"] == "INVALID_PARAMETER_VALUE"


def test_mlflow_finds_the_plugin() -> None:
    from mlflow.deployments import interface

    assert "lifecycle" in interface.plugin_store.registry
    assert interface._target_help("lifecycle") == deployments.target_help()
    assert isinstance(deployments.run_local, Callable)
