"""A folder with a model in production, the command line in this process, servers in theirs."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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


# the command, and the server by itself; `values` are those of a configuration
COMMAND = "import sys; from lifecycle.cli import main; main(sys.argv[1:])"
SERVE = """
import json, sys
from lifecycle.config import Config
from lifecycle.serve.server import serve
config = Config().with_values(**json.loads(sys.argv[1]))
serve(config, ("churn",), port=int(sys.argv[2]))
"""


class Serving:
    """A server in a process of its own that has said that it answers.

    Attributes:
        process: ended with the test, see `Forked`.
        lines: what it has said on standard error, also later.
        address: host and port on loopback.
    """

    def __init__(self, process: Any) -> None:
        self.process, self.lines = process, []
        for line in process.stderr:
            self.lines.append(line)
            found = re.search(r"serving .* on https?://(127\.0\.0\.1:\d+)", line)
            if found:
                self.address = found[1]
                break
        else:
            process.wait(30)
            pytest.fail("the server did not start:\n" + "".join(self.lines))
        self._reader = threading.Thread(
            target=lambda: self.lines.extend(process.stderr), daemon=True
        )
        self._reader.start()

    def stop(self) -> None:
        """Tell it to, wait, and read what it said to its end."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.wait(20)
        self._reader.join(20)
        self.process.close()


@pytest.fixture(scope="session")
def serving(forked: Callable[..., Any]) -> Callable[..., Any]:
    """`with serving(values, port=0, script=…, environment=…) as server`, or `command=[…]`."""

    @contextmanager
    def started(
        values: Mapping[str, Any] | None = None,
        *,
        command: Sequence[object] = (),
        port: int = 0,
        script: str = SERVE,
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[Serving]:
        if command:
            process = forked(COMMAND, *command, environment=environment)
        else:
            process = forked(script, json.dumps(values), port, environment=environment)
        try:
            server = Serving(process)
        except BaseException:
            process.kill()
            process.wait()
            process.close()
            raise
        try:
            yield server
        finally:
            server.stop()

    return started


@pytest.fixture(scope="session")
def run_command(run_forked: Callable[..., Any]) -> Callable[..., Any]:
    """`run_command("train", …)`: the command line in a process of its own, to its end."""

    def run(*arguments: object, **options: Any) -> Any:
        return run_forked(COMMAND, *arguments, **options)

    return run


@pytest.fixture(scope="session")
def put() -> Callable[..., int]:
    """`put(config, factor)`: a plain MLflow model that answers factor * x, made the champion."""
    import mlflow
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    from lifecycle.stores.tracking import connect, experiment_id

    def made(config: Any, factor: float, *, name: str = "churn", champion: bool = True) -> int:
        client = connect(config)
        frame = pd.DataFrame({"x": [0.0, 1.0, 2.0]})
        model = LinearRegression().fit(frame, factor * frame["x"])
        with mlflow.start_run(experiment_id=experiment_id(client, "plain")):
            logged = mlflow.sklearn.log_model(
                model,
                name="model",
                signature=infer_signature(frame, model.predict(frame)),
                input_example=frame.head(1),
                pip_requirements=[],
            )
        version = int(mlflow.register_model(logged.model_uri, name).version)
        if champion:
            client.set_registered_model_alias(name, "champion", str(version))
        return version

    return made


def _said(*command: object, **options: Any) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True, text=True, check=False, timeout=600, **options,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="session")
def said() -> Callable[..., str]:
    """`said(program, *arguments)`: what a program that must succeed writes."""
    return _said


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`environment(name, packages, …)`: the programs of a new environment, made step by step."""

    def make(name: str, *steps: Sequence[str]) -> Path:
        folder = tmp_path_factory.mktemp(name) / "venv"
        uv = (sys.executable, "-m", "uv")
        _said(*uv, "venv", "-q", "--python", sys.executable, folder)
        for packages in steps:
            _said(*uv, "pip", "install", "-q", "--python", folder / "bin" / "python", *packages)
        return folder / "bin"

    return make


@pytest.fixture(scope="module")
def served_world(world: Path, serving: Callable[..., Any]) -> Iterator[tuple[str, str]]:
    """Where the model of the world answers: HTTP, gRPC."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["serve", "churn", "--port", "0", "--grpc-port", port]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world)
        clean(patch)
        with serving(command=command) as server:
            yield server.address, f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def foreign(served_world: tuple[str, str]) -> Callable[..., None]:
    """`foreign(answers, rows)`: what clients of others got is what MLflow's protocol answers.

    The scores, which that has none of, are those of TensorFlow Serving's classify.
    """

    def asked(path: str, body: Any) -> Any:
        head = {"Content-Type": "application/json"}
        address = f"http://{served_world[0]}{path}"
        request = urllib.request.Request(address, json.dumps(body).encode(), head)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def check(answers: dict[str, Any], rows: list[dict[str, Any]]) -> list[Any]:
        expected = asked("/invocations", {"dataframe_records": rows})["predictions"]
        classes = asked("/v1/models/churn:classify", {"examples": rows})["result"]
        scores = [[score for _, score in row] for row in classes]
        for name, (labels, found) in answers.items():
            assert labels == expected, name
            assert [pytest.approx(row) for row in found] == scores, name
        return [expected, scores]

    return check


@contextmanager
def _forwarding(places: Sequence[tuple[str, int]]) -> Iterator[str]:
    """An address on loopback whose connections go to the places in turn."""
    loop = asyncio.new_event_loop()
    turn = 0

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal turn
        turn += 1
        inner, outer = await asyncio.open_connection(*places[turn % len(places)])
        await asyncio.gather(pump(reader, outer), pump(inner, writer))

    server = loop.run_until_complete(asyncio.start_server(taken, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        asyncio.run_coroutine_threadsafe(_ended(server), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


async def _ended(server: asyncio.Server) -> None:
    server.close()
    rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


@pytest.fixture(scope="session")
def forwarding() -> Callable[..., Any]:
    """`with forwarding([(host, port), …]) as address`: several servers behind one address."""
    return _forwarding


class Registry:
    """A real MLflow server on a story's database, which can be stopped and started again."""

    def __init__(self, folder: Path, wait: Callable[..., None]) -> None:
        self.folder, self.wait = folder, wait
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port",
            str(self.port), "--workers", "1", "--default-artifact-root", str(self.folder / "new"),
            "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db",
        ]  # fmt: skip
        environment = {key: value for key, value in os.environ.items() if "MLFLOW" not in key}
        environment |= {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "1",
        }
        log = self.folder / "registry.log"
        with log.open("ab") as said:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=said, stderr=said,
                start_new_session=True,
            )  # fmt: skip
        self.wait(self.process, f"{self.address}/health", log)

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(20)
            self.process = None


@pytest.fixture
def registry(tmp_path: Path, started: Callable[..., None]) -> Iterator[Registry]:
    """`registry.start()` once the story is told; `.address`, `.stop()`."""
    made = Registry(tmp_path, started)
    yield made
    made.stop()
