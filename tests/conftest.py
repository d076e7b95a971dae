"""Shared parts: a real MLflow on a copied sqlite file, a small real table, a clean environment."""

import gc
import json
import multiprocessing
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings

from lifecycle.config import Config

# CI judges a commit by examples that anyone can have again; elsewhere each run tries new ones
settings.register_profile("repeatable", derandomize=True, database=None)
if os.environ.get("CI"):
    settings.load_profile("repeatable")

# what many programs of tests import; a process forked off one that has them starts at once
WARM = (
    "duckdb", "httptools", "lifecycle.cli", "lifecycle.project", "lifecycle.serve.http",
    "lifecycle.serve.worker", "lifecycle.stores.predictions", "lifecycle.workflows.monitor",
    "lifecycle.workflows.promote", "lifecycle.workflows.rollback", "lifecycle.workflows.train",
    "mlflow.sklearn", "mlflow.pyfunc", "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store", "pyarrow.parquet", "skops.io",
    "sklearn.linear_model", "uvloop",
)  # fmt: skip

START = 240.0  # seconds until a server that has not answered never will

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "1")
# several test processes share the cores; boosting in as many threads each waits for all of them
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish() -> None:
    """What is imported by now stays: it need not be looked at by each collection of garbage."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Let it end as ever."""
    gc.unfreeze()


BEGIN = """
import os, sys, types
os.environ.clear()
os.environ.update(environment)
os.chdir(folder)
for number, stream in ((1, out), (2, err)):
    os.dup2(stream.fileno(), number)
    stream.close()
sys.argv[:] = ["-c", *arguments]
sys.path.insert(0, "")
main = sys.modules["__main__"] = types.ModuleType("__main__")
exec(compile(script, "<script>", "exec"), main.__dict__)
"""


class Forked:
    """A Python process of its own that has imported WARM already; used as `subprocess.Popen` is.

    Attributes:
        pid, stdout, stderr: as of Popen.
    """

    def __init__(
        self, script: str, *arguments: object, environment: Mapping[str, str] | None = None
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(WARM))
        pipes = [context.Pipe(duplex=False) for _ in range(2)]
        given = {
            "script": script,
            "arguments": [str(item) for item in arguments],
            "environment": {**os.environ, **(environment or {})},
            "folder": str(Path.cwd()),
            "out": pipes[0][1],
            "err": pipes[1][1],
        }
        self._process = context.Process(target=exec, args=(BEGIN, given))
        self._process.start()
        streams = []
        for read, write in pipes:
            write.close()
            streams.append(os.fdopen(os.dup(read.fileno()), encoding="utf-8"))
            read.close()
        self.stdout, self.stderr = streams
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """As of Popen: negative where a signal ended it."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("a forked process", timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it said, to its end; it has the time that a test has."""
        with ThreadPoolExecutor(2) as pool:
            said = [pool.submit(stream.read) for stream in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            finally:
                self.kill()  # which ends the reading too
        self.close()
        return said[0].result(), said[1].result()

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()
        self.close()

    def close(self) -> None:
        for stream in (self.stdout, self.stderr):
            stream.close()


@pytest.fixture(scope="session")
def forked() -> type[Forked]:
    """`forked(script, *arguments, environment=…)`: `python -c` that is ready at once."""
    return Forked


@pytest.fixture(scope="session")
def run_forked() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """`run_forked(script, *arguments, timeout=…)`, as `subprocess.run` with captured text."""

    def run(script: str, *arguments: object, timeout: float = 240, **options: Any) -> Any:
        process = Forked(script, *arguments, **options)
        out, err = process.communicate(timeout)
        return subprocess.CompletedProcess([script], process.returncode, out, err)

    return run


@pytest.fixture(scope="session")
def template_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables made once; tests copy it (0.5 s instead of 7)."""
    from lifecycle.stores.tracking import connect

    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    connect(Config().with_values(tracking__uri=f"sqlite:///{path}"))
    return path


@pytest.fixture
def config(template_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A model named churn in an empty folder with a registry and a prediction log of its own."""
    shutil.copy(template_database, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    for name in [key for key in os.environ if key.startswith("LIFECYCLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    # an experiment that another test chose is one of another database
    monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", None)
    return Config().with_values(
        name="churn",
        target="churned",
        time="ts",
        key="customer_id",
        log__dir=str(tmp_path / "lifecycle-log"),
    )


def churn_frame(rows: int = 2000, *, seed: int = 0, start: str = "2026-01-01") -> pd.DataFrame:
    """Customers over time: numbers, levels, a boolean, gaps, and a target one can learn."""
    rng = np.random.default_rng(seed)
    tenure = rng.gamma(2.0, 12.0, rows)
    charges = rng.normal(70.0, 20.0, rows)
    plan = rng.choice(["basic", "plus", "pro"], rows, p=[0.5, 0.3, 0.2])
    support_calls = rng.poisson(1.5, rows)
    paperless = rng.random(rows) < 0.6
    logit = -1.0 - 0.04 * tenure + 0.02 * (charges - 70) + 0.5 * support_calls
    logit = logit + np.where(plan == "pro", -0.8, 0.2)
    churned = (rng.random(rows) < 1.0 / (1.0 + np.exp(-logit))).astype(int)
    charges[rng.random(rows) < 0.05] = np.nan
    return pd.DataFrame(
        {
            "customer_id": [f"c{seed}-{index}" for index in range(rows)],
            "ts": pd.date_range(start, periods=rows, freq="15min"),
            "tenure": tenure,
            "charges": charges,
            "plan": plan,
            "support_calls": support_calls,
            "paperless": paperless,
            "churned": churned,
        }
    )


@pytest.fixture
def churn() -> pd.DataFrame:
    """2,000 customers, 20 days."""
    return churn_frame()


@pytest.fixture(scope="session")
def make_churn() -> Callable[..., pd.DataFrame]:
    """`churn_frame(rows, seed=…, start=…)` for tests that want other rows."""
    return churn_frame


@pytest.fixture(scope="session")
def logged_model() -> Callable[..., str]:
    """Log a tiny model with plain MLflow, as anybody might; returns its `models:/m-…`."""
    return _logged_model


def _logged_model(client: Any, *, experiment: str = "elsewhere", slope: float = 1.0) -> str:
    import mlflow
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    from lifecycle.stores.tracking import experiment_id, quiet

    frame = pd.DataFrame({"x": [0.0, 1.0, 2.0], "z": [1.0, 0.0, 1.0]})
    model = LinearRegression().fit(frame, frame["x"] * slope)
    with quiet(), mlflow.start_run(experiment_id=experiment_id(client, experiment)):
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(frame, model.predict(frame)),
            pip_requirements=["scikit-learn"],
        )
    return str(logged.model_uri)


@pytest.fixture
def with_spec() -> Callable[..., str]:
    """Store a specification with the run of a logged model, as training does; gives the run."""
    return _with_spec


def _with_spec(client: Any, model_uri: str) -> str:
    from lifecycle.models import loading, specs
    from lifecycle.stores import artifacts, runs

    run_id = str(client.get_logged_model(model_uri.removeprefix("models:/")).source_run_id)
    with artifacts.logged_files(client, model_uri) as folder:
        spec = specs.from_signature(loading.describe(folder).get("signature"))
    runs.log_files(client, run_id, {"spec.json": specs.dumps(spec)})
    return run_id


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
def started() -> Callable[..., None]:
    """Wait until a server process answers at an address; shows its log when it never does."""
    return _wait


@pytest.fixture(scope="session")
def mlflow_server(mlflow_process: tuple[str, int]) -> str:
    """The server's address on loopback."""
    return mlflow_process[0]


@pytest.fixture
def over_http(config: Config, mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The configuration of a model on the server; tests share it, so give yours another name."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    return config


class Webhook:
    """A receiver on loopback that can be started, stopped and started again at its port."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.answer = 200
        self.delay = threading.Event()  # set: answers at once
        self.delay.set()
        self.port, self._server = 0, None
        self.start()

    @property
    def address(self) -> str:
        """For apprise."""
        return f"json://127.0.0.1:{self.port}/hook"

    def start(self) -> None:
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.delay.wait(60)
                if webhook.answer == 200:
                    webhook.got.append(json.loads(body))
                self.send_response(webhook.answer)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Mailbox(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321) as a message needs; messages go to the server's `got`."""

    def handle(self) -> None:
        self.wfile.write(b"220 loopback\r\n")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = list(iter(self.rfile.readline, b".\r\n"))
                self.server.got.append(b"".join(lines).decode())
            elif verb == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            self.wfile.write(b"250 ok\r\n")


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A real HTTP receiver: `.address`, `.got`, `.answer`, `.stop()`, `.start()`."""
    made = Webhook()
    yield made
    made.delay.set()
    made.stop()


@pytest.fixture
def mailbox() -> Iterator[Any]:
    """A real SMTP server: `.server_address`, `.got`."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox) as server:
        server.got = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def answer() -> Callable[..., None]:
    """Log requests of a rollout's present step: `answer(config, rollout, champion=(n, failed))`."""
    return _answer


def _answer(config: Config, rollout: Any, **counts: tuple[int, int]) -> None:
    import polars as pl

    from lifecycle.stores.predictions import PredictionLog

    now = datetime.now(UTC)
    for arm in rollout.spec.arms:
        rows, failed = counts.get(arm.name, (0, 0))
        numbers = pl.int_range(rows, eager=True)
        frame = pl.DataFrame(
            {
                "prediction_id": numbers.cast(pl.String) + f"-{now.timestamp()}-{arm.name}",
                "time": pl.Series([now] * rows, dtype=pl.Datetime("us", "UTC")),
                "model": [rollout.spec.name] * rows,
                "version": [arm.version] * rows,
                "arm": [arm.name] * rows,
                "step": [rollout.step] * rows,
                "key": pl.Series([None] * rows, dtype=pl.String),
                "latency_ms": [1.0] * rows,
                "features": pl.Series(
                    [{"plan": "pro"}] * rows, dtype=pl.Struct({"plan": pl.String})
                ),
                "prediction": [1] * rows,
                "score": [0.5] * rows,
                "error": pl.Series(["failed"] * failed + [None] * (rows - failed), dtype=pl.String),
            }
        )
        PredictionLog(config.log.dir).write(rollout.spec.name, frame)


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signed itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("pem")
    cert, secret = folder / "cert.pem", folder / "key.pem"
    cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert, secret
