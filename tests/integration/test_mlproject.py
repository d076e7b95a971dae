"""`mlflow run .`: the entry points, their parameters, and the three ways to get an environment."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from lifecycle.cli import main

ROOT = Path(__file__).parents[2]
FILES = (
    "MLproject", "python_env.yaml", "constraints.txt", "pyproject.toml", "README.md", "LICENSE",
    "lifecycle.toml",
)  # fmt: skip
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))
CHURN = {"name": "churn", "target": "churned", "time": "ts", "key": "customer_id"}


@pytest.fixture
def project(tmp_path, template_database):
    """The project's files in a folder of their own, with a registry beside them."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "lifecycle", folder / "lifecycle")  # with what is compiled of it
    shutil.copy(template_database, folder / "mlflow.db")
    return folder


def run(project, entry, *, manager, path=None, **parameters):
    """`mlflow run` as people type it; returns the finished process."""
    environment = {key: value for key, value in os.environ.items() if key[:10] != "LIFECYCLE_"}
    environment |= {
        "MLFLOW_TRACKING_URI": f"sqlite:///{project / 'mlflow.db'}",
        "MLFLOW_ENV_ROOT": str(project.parent / "envs"),
        "PATH": path or os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    command = [sys.executable, "-m", "mlflow", "run", str(project), "-e", entry]
    command += ["--env-manager", manager] if manager else []
    for key, value in parameters.items():
        command += ["-P", f"{key}={value}"]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=project.parent
    )


def versions(project, name):
    """How many versions MLflow's registry holds of a model."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{project / 'mlflow.db'}"
    client = MlflowClient(uri, registry_uri=uri)
    return len(client.search_model_versions(f"name = '{name}'"))


def test_there_are_five_entry_points():
    assert set(PROJECT["entry_points"]) == {"main", "train", "score", "monitor", "retrain"}


@pytest.mark.parametrize("entry", PROJECT["entry_points"])
def test_an_entry_point_calls_a_command_with_options_that_it_has(entry):
    command = PROJECT["entry_points"][entry]["command"]
    verb = re.match(r"python -m lifecycle (\w+)", command)
    known = {option for item in main.commands[verb[1]].params for option in item.opts}
    assert set(re.findall(r"--[a-z-]+", command)) <= known
    used = set(re.findall(r"{(\w+)}", command))
    assert used == set(PROJECT["entry_points"][entry].get("parameters", {}))


def test_no_python_version_is_named():
    environment = yaml.safe_load((ROOT / "python_env.yaml").read_text(encoding="utf-8"))
    assert environment == {"dependencies": ["-c constraints.txt", ".[all]"]}


@pytest.mark.slow
def test_train_runs_in_the_environment_at_hand(project, churn, tmp_path):
    churn.to_parquet(tmp_path / "churn.parquet")
    done = run(project, "train", manager="local", data="churn.parquet", **CHURN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert versions(project, "churn") == 1


@pytest.mark.slow
def test_a_missing_package_fails_loudly(project, churn, tmp_path):
    churn.to_parquet(tmp_path / "churn.parquet")
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(bare)], check=True)
    path = os.pathsep.join([str(bare / "bin"), "/usr/bin", "/bin"])
    done = run(project, "train", manager="local", path=path, data="churn.parquet", **CHURN)
    assert done.returncode != 0
    assert "No module named" in done.stdout + done.stderr
    assert versions(project, "churn") == 0


@pytest.mark.slow
def test_a_wrong_parameter_fails_loudly(project):
    done = run(project, "train", manager="local", data="nothing.parquet", **CHURN)
    assert done.returncode != 0
    assert "nothing.parquet" in done.stdout + done.stderr


@pytest.mark.slow
def test_all_verbs_run_one_after_another(project, make_churn, tmp_path):
    known, live = make_churn(2000), make_churn(1500, seed=1, start="2026-02-01")
    known.to_parquet(tmp_path / "known.parquet")
    live.drop(columns="churned").to_parquet(tmp_path / "live.parquet")
    pd.concat([known, live]).to_parquet(tmp_path / "all.parquet", index=False)
    (project / "lifecycle.toml").unlink()  # it is about another model
    scores = tmp_path / "scores.parquet"
    steps = [
        ("train", {"data": "known.parquet", **CHURN}),
        ("score", {"model": "churn/1", "input": "live.parquet", "output": scores}),
        ("retrain", {"data": "all.parquet", "name": "churn", "if_flagged": "no"}),
    ]
    for entry, parameters in steps:
        done = run(project, entry, manager="local", **parameters)
        assert done.returncode == 0, done.stdout + done.stderr
        if entry == "train":
            promote = ["promote", "churn/1", "--to", "production", "--force", "--reason", "a test"]
            uri = f"sqlite:///{project / 'mlflow.db'}"
            subprocess.run(
                [sys.executable, "-m", "lifecycle", *promote],
                check=True, cwd=project, env={**os.environ, "MLFLOW_TRACKING_URI": uri},
            )  # fmt: skip
    assert len(pd.read_parquet(scores)) == 1500
    assert versions(project, "churn") == 2
    done = run(project, "monitor", manager="local", name="churn", since="2026-02-01")
    assert "Traceback" not in done.stdout + done.stderr


def pyenv_has_this_python():
    if shutil.which("pyenv") is None:
        return False
    listed = subprocess.run(
        ["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False
    )
    return "{}.{}.{}".format(*sys.version_info) in listed.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize("manager", [None, "uv"])
def test_an_environment_is_made_from_the_project_itself(project, churn, tmp_path, manager):
    if manager is None and not pyenv_has_this_python():
        pytest.skip("plain `mlflow run .` needs pyenv with the Python that runs the tests")
    churn.to_parquet(tmp_path / "churn.parquet")
    done = run(project, "train", manager=manager, data="churn.parquet", **CHURN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert versions(project, "churn") == 1
    assert len(list((tmp_path / "envs").iterdir())) == 1
