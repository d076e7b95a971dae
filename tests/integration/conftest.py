"""A folder with a model in production, and the command line in this process."""

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lifecycle.cli import main

SETTINGS = """name = "churn"
target = "churned"
time = "ts"
key = "customer_id"
[train]
candidates = ["logistic_regression"]
[models]
compile = false
"""


def clean(patch: pytest.MonkeyPatch) -> None:
    for name in [key for key in os.environ if key.startswith("LIFECYCLE_")]:
        patch.delenv(name)
    patch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")


@pytest.fixture(scope="module")
def world(
    template_database: Path,
    tmp_path_factory: pytest.TempPathFactory,
    make_churn: Callable[..., pd.DataFrame],
) -> Path:
    """A folder with a registry, churn/1 in production, a prediction log and good files."""
    folder = tmp_path_factory.mktemp("world")
    shutil.copy(template_database, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        clean(patch)
        Path("lifecycle.toml").write_text(SETTINGS)
        make_churn(2500).to_parquet("good.parquet")
        make_churn(80, seed=1, start="2026-02-01").to_parquet("live.parquet")
        for arguments in (
            ["train", "--data", "good.parquet"],
            ["promote", "churn/1", "--to", "production", "--force", "--reason", "first"],
            ["score", "churn", "--input", "live.parquet", "--output", "scores.parquet"],
        ):
            patch.setattr(sys, "argv", ["lifecycle", *arguments])
            with pytest.raises(SystemExit) as stop:
                main(arguments)
            assert stop.value.code == 0, arguments
    return folder


@pytest.fixture
def in_world(world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The world as working folder."""
    monkeypatch.chdir(world)
    clean(monkeypatch)
    return world


@pytest.fixture
def new_world(template_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty registry and the settings, as working folder."""
    shutil.copy(template_database, tmp_path / "mlflow.db")
    (tmp_path / "lifecycle.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    clean(monkeypatch)
    return tmp_path


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Run a command under `--json` in this process; gives its code and its one object."""
    monkeypatch.setattr(sys, "argv", sys.argv)

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        sys.argv = ["lifecycle", *arguments, "--json"]
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--json"])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        assert out.count("\n") == 1, out
        return int(stop.value.code or 0), json.loads(out)

    return run
