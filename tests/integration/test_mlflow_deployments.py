"""MLflow's own command starts, shows, moves and ends a rollout; each call is a process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException

from lifecycle.config import load_config
from lifecycle.stores import registry
from lifecycle.stores.tracking import connect

pytestmark = pytest.mark.slow
TARGET = ("-t", "lifecycle:/churn", "--name", "churn")


@pytest.fixture(scope="module")
def folder(world: Path) -> Path:
    """The world with a twin of its champion, churn/2."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world)
        client = connect(load_config().with_values(tracking__uri="sqlite:///mlflow.db"))
        first = registry.find(client, "churn/1")
        registry.register(client, "churn", model_uri=first.source, tags=dict(first.tags))
    return world


def mlflow(folder: Path, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One call of the command, which may last five minutes on a busy machine."""
    return subprocess.run(
        [sys.executable, "-m", "mlflow", "deployments", verb, *arguments],
        capture_output=True, text=True, check=False, cwd=folder, timeout=300,
        env={**os.environ, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"},
    )  # fmt: skip


def test_a_rollout_from_the_first_call_to_the_last(folder: Path) -> None:
    steps = ("-C", "steps=50,100", "-C", "guards=errors,invalid", "-C", "strategy=canary")
    forced = ("-C", "force=true", "-C", "reason=a twin")
    made = mlflow(folder, "create", *TARGET, "-m", "models:/churn/2", *steps, *forced)
    assert made.returncode == 0, made.stderr
    assert "python_function deployment churn is created" in made.stdout
    again = mlflow(folder, "create", *TARGET, "-m", "models:/churn/2")
    assert again.returncode == 1
    assert "Error: a rollout of version 2 is open" in again.stderr
    assert "Traceback" not in again.stderr
    rows = pd.read_parquet(folder / "live.parquet").drop(columns="churned").head(30)
    rows.to_json(folder / "rows.json", orient="records", date_format="iso")
    answered = mlflow(folder, "predict", *TARGET, "-I", "rows.json")
    assert answered.returncode == 0, answered.stderr
    found = json.loads(answered.stdout.splitlines()[-1])
    assert set(found["versions"]) == {1, 2}
    assert len(found["predictions"]) == 30
    moved = mlflow(folder, "update", *TARGET, "-C", "step=true")
    assert "Deployment churn is updated" in moved.stdout, moved.stderr
    gone = mlflow(folder, "delete", *TARGET)
    assert gone.returncode == 0, gone.stderr
    shown = mlflow(folder, "get", *TARGET).stdout
    assert "status: aborted" in shown
    assert "'challenger': {'version': 2, 'share': 0.0}" in shown
    assert "step: 1" in shown


LOCAL = """
import sys
from lifecycle.deployments import run_local
run_local("lifecycle:/churn", "churn", "models:/churn/1", config={"port": sys.argv[2]})
"""


def test_a_version_is_served_here_and_asked_through_the_client(
    folder: Path, serving: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    rows = pd.read_parquet(folder / "live.parquet").drop(columns="churned").head(5)
    client = get_deploy_client("lifecycle:/churn")
    with serving({}, script=LOCAL) as server:
        found = client.predict("churn", rows, endpoint=f"http://{server.address}")
        with pytest.raises(MlflowException, match="the server answers 400"):
            client.predict("churn", rows[["customer_id"]], endpoint=f"http://{server.address}")
    assert found["predictions"] == client.predict("churn", rows)["predictions"]
