"""A real `mlflow server` for the tests that go over HTTP."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lifecycle.config import Config

START = 240.0  # seconds until a server that has not answered never will


@pytest.fixture(scope="session")
def mlflow_process(
    template_database: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    """Address and process group of an MLflow server: one worker, no jobs, artifacts through it."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(template_database, folder / "mlflow.db")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if "MLFLOW" not in key}
    environment |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "1"}
    said = (folder / "log").open("w")
    server = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=said, stderr=said, start_new_session=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(server, f"{address}/health", folder / "log")
        yield address, server.pid
    finally:
        os.killpg(server.pid, 15)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait(10)
        said.close()


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(address, timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"the MLflow server did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def mlflow_server(mlflow_process: tuple[str, int]) -> str:
    """The server's address on loopback."""
    return mlflow_process[0]


@pytest.fixture
def over_http(config: Config, mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The configuration of a model on the server; tests share it, so give yours another name."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    return config
