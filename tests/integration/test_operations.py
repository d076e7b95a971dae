"""The server as those who run it see it: webhooks, a registry that fails, keys, figures."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow.entities.webhook import WebhookEvent

from lifecycle.serve import keys
from lifecycle.serve.hooks import signed
from lifecycle.stores.tracking import connect

SECRET = "the webhook's secret"
ALERTS = Path(__file__).parents[2] / "examples" / "prometheus" / "alerts.yml"
BODY = b'{"inputs": {"x": 2.0}}'
STRANGE = (
    b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n"
    b"Expect: 100-continue\r\n\r\n"
)


class Server:
    """Asks a lifecycle server; every request has a connection of its own."""

    def __init__(self, serving, key=""):
        self.address, self.lines, self.key = f"http://{serving.address}", serving.lines, key

    def ask(self, path, body=None, **headers):
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        if self.key:
            named.setdefault("X-API-Key", self.key)
        named["Content-Type"] = "application/json"
        request = urllib.request.Request(self.address + path, body, named)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read(), dict(answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), dict(error.headers)

    def predict(self):
        status, body, headers = self.ask("/invocations", BODY)
        assert status == 200, body
        return headers["x-model-version"]

    def state(self):
        return json.loads(self.ask("/status")[1])

    def metrics(self):
        text = self.ask("/metrics")[1].decode()
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {key: float(value) for key, _, value in lines}

    def workers(self, count):
        """The state of each worker by its process; asked until all have answered."""
        found, deadline = {}, time.monotonic() + 30
        while len(found) < count and time.monotonic() < deadline:
            state = self.state()
            found[state["pid"]] = state
        assert len(found) == count
        return found


@pytest.fixture
def served(serving):
    """`with served(values, port=…, key=…) as server`."""

    @contextmanager
    def run(values, *, key="", **more):
        with serving(values, **more) as found:
            yield Server(found, key)

    return run


def until(condition, *, seconds=40.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Registry:
    """An MLflow server that takes webhooks to loopback, and may be halted, killed and started."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None
        self.address = f"http://127.0.0.1:{self.port}"

    def start(self):
        command = [
            sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1",
            "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db",
            "--artifacts-destination", str(self.folder / "artifacts"),
        ]  # fmt: skip
        environment = {key: value for key, value in os.environ.items() if "MLFLOW" not in key}
        environment |= {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http",
            "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
            "MLFLOW_WEBHOOK_CACHE_TTL": "0",  # else a new webhook is unknown for a minute
        }
        with (self.folder / "said").open("a") as said:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=said, stderr=said,
                start_new_session=True,
            )  # fmt: skip
        until(self._answers, seconds=120)

    def _answers(self):
        assert self.process.poll() is None, (self.folder / "said").read_text()[-3000:]
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    def tell(self, number):
        os.killpg(self.process.pid, number)
        if number == signal.SIGKILL:
            self.process.wait(20)


@pytest.fixture
def registry(template_database, tmp_path, monkeypatch):
    folder = tmp_path / "registry"
    folder.mkdir()
    shutil.copy(template_database, folder / "mlflow.db")
    made = Registry(folder)
    made.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.address)
    yield made
    if made.process.poll() is None:
        made.tell(signal.SIGCONT)
        made.tell(signal.SIGKILL)


def values_of(config, **more):
    return {"name": "churn", "log__dir": config.log.dir, "tracking__timeout": 2, **more}


def versions(server, count):
    return {state["models"][0]["serving"][0]["version"] for state in server.workers(count).values()}


def deliver(server, name):
    """A delivery by our own hand, as MLflow would sign it."""
    data = {"name": "churn", "alias": "champion", "version": "1"}
    tree = {"entity": "model_version_alias", "action": "created", "data": data}
    body, sent = json.dumps(tree).encode(), str(int(time.time())).encode()
    headers = signed(SECRET.encode(), name.encode(), sent, body)
    named = {key.decode(): value.decode() for key, value in headers.items()}
    return server.ask("/hooks/mlflow", body, **named)[:2]


@pytest.mark.slow
def test_a_real_registry_that_calls_hangs_dies_and_comes_back(config, registry, put, served):
    at = config.with_values(tracking__uri=registry.address)
    client = connect(at)
    put(at, 1.0)
    put(at, 2.0, champion=False)
    port = free_port()
    client.create_webhook(
        name="lifecycle",
        url=f"http://127.0.0.1:{port}/hooks/mlflow",
        events=[WebhookEvent.from_str("model_version_alias.created")],
        secret=SECRET,
    )
    rarely = values_of(
        config, serve__workers=2, serve__poll_seconds=3600.0, serve__webhook_secret=SECRET,
        serve__logs="json",
    )  # fmt: skip
    with served(rarely, port=port) as server:
        assert versions(server, 2) == {1}
        client.set_registered_model_alias("churn", "champion", "2")
        until(lambda: versions(server, 2) == {2})  # both, though one of them was called

        registry.tell(signal.SIGSTOP)  # takes connections, answers never
        for index in range(3):
            assert deliver(server, f"d{index}")[0] == 200
            assert server.predict() == "2"
        until(lambda: server.metrics()["lifecycle_registry_down"] > 0)
        assert server.predict() == "2"
        threads = Path(f"/proc/{min(server.workers(2))}/task")
        assert len(list(threads.iterdir())) < 60, "looks do not pile up"
        registry.tell(signal.SIGCONT)
        until(lambda: deliver(server, str(time.time_ns())) and not trouble(server))

        registry.tell(signal.SIGKILL)
        assert deliver(server, "dead")[0] == 200
        until(lambda: server.metrics()["lifecycle_registry_down"] > 0)
        assert server.predict() == "2"
        registry.start()
        client.set_registered_model_alias("churn", "champion", "1")
        until(lambda: deliver(server, str(time.time_ns())) and versions(server, 2) == {1})
        assert deliver(server, "again")[0] == 200
        assert deliver(server, "again")[0] in (200, 409)  # the other worker may not have seen it
        assert server.ask("/hooks/mlflow", b"{}")[0] == 401
    lines = [json.loads(line) for line in server.lines]
    events = {line["event"] for line in lines}
    assert {"ready", "swapped", "registry_down"} <= events
    assert any(line.get("model") == "churn" and line.get("version") == 2 for line in lines)

    registry.tell(signal.SIGKILL)
    with served(values_of(config, serve__poll_seconds=0.3)) as server:  # from its last good copy
        assert server.predict() == "1"
        assert "did not answer" in server.state()["registry"]["trouble"]
        registry.start()
        until(lambda: not trouble(server))
        client.set_registered_model_alias("churn", "champion", "2")
        until(lambda: server.predict() == "2")


def trouble(server):
    return any(state["registry"]["trouble"] for state in server.workers(1).values())


@pytest.fixture
def local(config, put):
    """A model in a sqlite registry."""
    put(config, 1.0)
    return config


@pytest.mark.slow
def test_figures_are_of_all_workers_also_of_one_that_was_killed(local, tmp_path, served):
    token = keys.add(tmp_path / "keys.json", "web")
    values = values_of(local, serve__workers=2, serve__api_keys=str(tmp_path / "keys.json"))
    counter = 'lifecycle_requests_total{model="churn",version="1",status="200"}'
    with served(values, key=token) as server:
        for _ in range(40):
            server.predict()
        until(lambda: server.metrics()[counter] == 40)
        assert {server.metrics()[counter] for _ in range(10)} == {40.0}, "whoever is asked"
        found = server.metrics()
        assert found["lifecycle_ready"] == 2
        assert found["lifecycle_workers_died"] == 0
        shown = re.findall(r"(?m)^# TYPE (\w+)", server.ask("/metrics")[1].decode())
        wanted = re.findall(r"\blifecycle_\w+", ALERTS.read_text())
        bare = {re.sub("_(bucket|sum|count)$", "", name) for name in wanted}
        assert len(bare) >= 8
        assert bare <= set(shown), "an alert watches what the server does not show"

        time.sleep(1.5)  # both have written what they counted
        first, second = server.workers(2)
        os.kill(first, signal.SIGKILL)
        until(lambda: server.metrics()["lifecycle_workers_died"] == 1)
        assert {server.metrics()[counter] for _ in range(10)} == {40.0}
        until(lambda: server.metrics()["lifecycle_ready"] == 2)
        assert second in server.workers(2)
        for _ in range(10):
            server.predict()
        until(lambda: server.metrics()[counter] == 50)  # the other one writes once a second
        assert {server.metrics()[counter] for _ in range(10)} == {50.0}


def test_keys_change_while_the_server_runs(local, tmp_path, served):
    path = tmp_path / "keys.json"
    old = keys.add(path, "old")
    values = values_of(local, serve__api_keys=str(path))
    with served(values, key=old) as server:
        for open_path in ("/ping", "/health", "/version", "/"):
            assert server.ask(open_path, X_API_Key="wrong")[0] == 200
        for closed in ("/metrics", "/status", "/nothing"):
            status, body, headers = server.ask(closed, X_API_Key="wrong")
            assert (status, "Bearer" in headers["www-authenticate"]) == (401, True)
            assert json.loads(body)["error_code"] == "UNAUTHENTICATED"
        host, port = server.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as asked:
            asked.sendall(STRANGE)  # and nothing of the body
            assert asked.recv(100).startswith(b"HTTP/1.1 401 ")
        assert server.predict() == "1"
        new = keys.add(path, "new", rate="3/h")
        keys.remove(path, "old")
        until(lambda: server.ask("/metrics")[0] == 401)
        asked = [server.ask("/ping", X_API_Key=new)[0] for _ in range(5)]
        assert asked == [200] * 5
        asked = [server.ask("/invocations", BODY, Authorization=f"Bearer {new}") for _ in range(5)]
        assert [status for status, _, _ in asked] == [200] * 3 + [429] * 2
        assert int(asked[-1][2]["retry-after"]) > 600
    assert not any(old in line or new in line for line in server.lines)
