"""What people have open in MLflow neither breaks our verbs nor is changed by them."""

import json
import os
import subprocess
import sys

import mlflow
import pytest
from mlflow.tracking import fluent
from sklearn.linear_model import LogisticRegression

import lifecycle as lc

OURS = {"MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"}


@pytest.fixture
def project(request, config, monkeypatch):
    if request.param == "http":
        address = request.getfixturevalue("mlflow_server")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        config = config.with_values(name="churn-beside-others", tracking__timeout=30)
    for name in ("MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_RUN_ID"):
        monkeypatch.setenv(name, "")  # so that what the test sets is taken back
        monkeypatch.delenv(name)
    before = fluent._active_experiment_id
    fluent._active_experiment_id = None
    project = lc.Project(config=config.with_values(models__compile=False))
    yield project
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.sklearn.autolog(disable=True)
    fluent._active_experiment_id = before


def state():
    run = mlflow.active_run()
    return {
        "experiment": fluent._active_experiment_id,
        "run": run and (run.info.run_id, mlflow.get_run(run.info.run_id).info.status),
        "environment": {
            key: value
            for key, value in os.environ.items()
            if key.startswith("MLFLOW") and key not in OURS
        },
    }


def life(project, frame, *, whole):
    training = project.train(["logistic_regression"], frame)
    version = project.register(training.best)
    if not whole:
        return training
    project.gate(version)
    project.promote(version, to="staging", force=True, reason="a test")
    project.promote(version, to="production", force=True, reason="a test")
    project.score(frame.drop(columns="churned"))
    project.monitor()
    project.retrain(frame)
    return training


def chosen_experiment(_client):
    mlflow.set_experiment("mine")


def open_run(_client):
    mlflow.set_experiment("mine")
    mlflow.start_run(run_name="open")


def named_by_environment(_client):
    os.environ["MLFLOW_EXPERIMENT_NAME"] = "mine"


def run_of_a_project(client):
    experiment = mlflow.set_experiment("mine").experiment_id
    fluent._active_experiment_id = None
    made = client.create_run(experiment)
    os.environ |= {"MLFLOW_EXPERIMENT_ID": experiment, "MLFLOW_RUN_ID": made.info.run_id}


@pytest.mark.parametrize(
    ("project", "set_up"),
    [
        ("sqlite", open_run),
        ("sqlite", chosen_experiment),
        ("sqlite", named_by_environment),
        ("sqlite", run_of_a_project),
        ("http", open_run),
    ],
    indirect=["project"],
)
def test_the_verbs_leave_their_state_alone(project, make_churn, set_up, capsys):
    from lifecycle.stores.tracking import connect

    client = connect(project.config)
    mlflow.set_tracking_uri(client.tracking_uri)
    set_up(client)
    before = state()
    capsys.readouterr()
    training = life(project, make_churn(400), whole=set_up is open_run and project.name == "churn")
    assert capsys.readouterr().out == ""
    assert state() == before
    mine = client.get_experiment_by_name("mine")
    for candidate in training.candidates:
        home = client.get_run(candidate.run_id).info.experiment_id
        assert home != getattr(mine, "experiment_id", None)
        model = client.get_logged_model(candidate.model_uri.removeprefix("models:/"))
        assert model.experiment_id == home
        assert model.source_run_id == candidate.run_id
        assert str(model.status) == "READY"
        assert {item.key for item in model.metrics} >= {"roc_auc", "roc_auc_low"}
        assert model.params["model__max_iter"] == "1000"
    mlflow.log_metric("theirs", 1.0)
    theirs = mlflow.active_run().info
    assert theirs.experiment_id == client.get_experiment_by_name("mine").experiment_id
    if before["run"]:
        assert theirs.run_id == before["run"][0]


def test_autolog_makes_no_runs_of_our_fits(config, make_churn):
    from lifecycle.stores.tracking import connect

    client = connect(config)
    mlflow.sklearn.autolog(silent=True)
    try:
        project = lc.Project(config=config)
        project.train(["logistic_regression"], make_churn(400))
        everywhere = [item.experiment_id for item in client.search_experiments()]
        assert len(client.search_runs(everywhere)) == 2
        frame = make_churn(100)
        LogisticRegression().fit(frame[["tenure"]], frame["churned"])
        assert len(client.search_runs(everywhere)) == 3, "theirs goes on"
    finally:
        mlflow.sklearn.autolog(disable=True)


@pytest.mark.usefixtures("over_http")
@pytest.mark.slow
def test_json_over_http_is_all_that_stands_on_standard_output(make_churn, tmp_path):
    make_churn(400).to_parquet(tmp_path / "f.parquet", index=False)
    done = subprocess.run(
        [
            sys.executable, "-m", "lifecycle", "train", "churn-said-in-json", "--json",
            "--data", "f.parquet", "--target", "churned", "--candidate", "decision_tree",
        ],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["name"] == "churn-said-in-json"
    assert "View run" not in done.stderr
