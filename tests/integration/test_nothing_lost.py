"""Under load: what was answered is in the log, what was sent is answered, whatever is ended."""

import http.client
import json
import os
import random
import re
import signal
import threading
import time
from contextlib import contextmanager

import mlflow
import pandas as pd
import pytest
from mlflow.models import infer_signature

from lifecycle.stores.predictions import PredictionLog
from lifecycle.stores.tracking import connect, experiment_id

HEADERS = {"Content-Type": "application/json"}
LONGEST = 60.0  # seconds after which a client gives up whatever happens


@pytest.fixture
def registry(config, put):
    """A registry whose champion answers 2 x."""
    put(config, 2.0)
    return config


@pytest.fixture
def server(serving):
    """`with server(config, workers, …) as (process, address, lines)`."""

    @contextmanager
    def run(config, workers, **values):
        given = {"name": "churn", "log__dir": config.log.dir, "serve__workers": workers, **values}
        with serving(given) as found:
            yield found.process, found.address, found.lines

    return run


class Asking(threading.Thread):
    """A client that asks on kept connections until nobody answers any more.

    Attributes:
        answered: the prediction id of each answer by the number that was asked.
        lost: what was sent whole and not answered.
        refused: answers that were not 200.
    """

    def __init__(self, address, first, *, pause=0.0, stop=None):
        super().__init__(daemon=True)
        self.address, self.next, self.pause = address, first, pause
        self.stop = stop or threading.Event()
        self.answered, self.lost, self.refused = {}, [], []

    def run(self):
        ends = time.monotonic() + LONGEST
        connection = None
        while time.monotonic() < ends and not self.stop.is_set():
            if connection is None:
                connection = http.client.HTTPConnection(self.address, timeout=20)
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    return
            self.next += 1
            body = json.dumps({"inputs": {"x": float(self.next)}})
            try:
                connection.request("POST", "/invocations", body, HEADERS)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append((self.next, repr(error)))
                connection.close()
                connection = None
                continue
            if answer.status == 200:
                assert json.loads(text)["predictions"] == [pytest.approx(2.0 * self.next)]
                self.answered[self.next] = answer.headers["x-prediction-id"]
            else:
                self.refused.append((answer.status, text))
            if answer.headers.get("connection") == "close":
                connection.close()
                connection = None
            time.sleep(self.pause)
        if connection is not None:
            connection.close()


def asking(address, count, *, pauses=(0.0,), stop=None):
    clients = [
        Asking(address, 1_000_000 * number, pause=pauses[number % len(pauses)], stop=stop)
        for number in range(count)
    ]
    for client in clients:
        client.start()
    return clients


def joined(clients):
    for client in clients:
        client.join(LONGEST + 30)
        assert not client.is_alive()
    found = {}
    for client in clients:
        found |= client.answered
    return found


def logged(config):
    """What was asked, by its prediction id."""
    rows = PredictionLog(config.log.dir).read("churn").unnest("features")
    ids = rows["prediction_id"].to_list()
    assert len(ids) == len(set(ids)), "no prediction stands twice"
    return dict(zip(ids, rows["x"].to_list(), strict=True))


def pids(address, wanted):
    """The workers that answer now."""
    found = set()
    for _ in range(400):
        connection = http.client.HTTPConnection(address, timeout=LONGEST)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        found |= {int(pid) for pid in re.findall(r'lifecycle_process\{pid="(\d+)"\}', text)}
        if len(found) >= wanted:
            break
    return sorted(found)


@pytest.mark.parametrize("kills", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_what_was_answered_is_logged_though_workers_are_killed(registry, kills, server):
    rng = random.Random(kills)
    stop = threading.Event()
    with server(registry, 2) as (process, address, lines):
        clients = asking(address, 6, stop=stop)
        for _ in range(kills):
            time.sleep(rng.uniform(0.1, 0.5))
            victim = rng.choice(pids(address, 2))
            os.kill(victim, signal.SIGKILL)
            seen = len(lines)
            while not any(f"worker {victim} died" in line for line in lines[max(0, seen - 5) :]):
                time.sleep(0.02)
        time.sleep(0.3)
        stop.set()
        answered = joined(clients)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert len(answered) > 20 * kills
    assert [item for client in clients for item in client.refused] == []
    held = logged(registry)
    missing = [number for number, token in answered.items() if held.get(token) != float(number)]
    assert missing == [], f"{len(missing)} of {len(answered)} answers are not in the log"


def test_a_whole_server_killed_loses_nothing_that_it_answered(registry, server):
    stop = threading.Event()
    with server(registry, 1) as (process, address, _):
        clients = asking(address, 6, stop=stop)
        time.sleep(1.0)
        process.kill()
        process.wait()
        stop.set()
        answered = joined(clients)
    held = logged(registry)
    assert len(answered) > 20
    assert all(held.get(token) == float(number) for number, token in answered.items())


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_server_told_to_stop_loses_nothing_that_was_sent(registry, workers, server):
    """Busy clients, and clients of kept connections that ask now and then."""
    with server(registry, workers, serve__drain_seconds=3.0) as (process, address, lines):
        clients = asking(address, 12, pauses=(0.0, 0.0, 0.4, 1.1))
        time.sleep(1.5)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, lines
        answered = joined(clients)
    assert [item for client in clients for item in client.lost] == []
    assert [item for client in clients for item in client.refused] == []
    assert all(len(client.answered) > 1 for client in clients)
    held = logged(registry)
    assert all(held.get(token) == float(number) for number, token in answered.items())


def test_readiness_goes_before_the_connections(registry, server):
    with server(registry, 1, serve__drain_seconds=5.0) as (process, address, _):
        kept = http.client.HTTPConnection(address, timeout=20)
        kept.request("GET", "/ping")
        answer = kept.getresponse()
        assert (answer.status, answer.read()) == (200, b"\n")
        process.send_signal(signal.SIGTERM)
        status = 200
        ends = time.monotonic() + 5
        while status == 200 and time.monotonic() < ends:  # new connections are still taken
            asked = http.client.HTTPConnection(address, timeout=20)
            asked.request("GET", "/ping")
            answer = asked.getresponse()
            status, said = answer.status, answer.headers["connection"]
            answer.read()
            asked.close()
        assert (status, said) == (503, "close")
        kept.request("POST", "/invocations", '{"inputs": {"x": 4.0}}', HEADERS)
        answer = kept.getresponse()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        answer.read()
        kept.close()
        assert process.wait(30) == 0


def test_a_client_that_never_ends_does_not_hold_the_server(registry, server):
    with server(registry, 1, serve__drain_seconds=0.5) as (process, address, _):
        host, port = address.split(":")
        held = http.client.HTTPConnection(host, int(port), timeout=20)
        held.connect()
        held.sock.sendall(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"
        )
        idle = http.client.HTTPConnection(host, int(port), timeout=20)
        idle.connect()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        begun = time.monotonic()
        process.wait(60)
        assert time.monotonic() - begun < 25
        assert process.returncode == 0
        held.close()
        idle.close()


HANGS = """
import time
import mlflow
class Hangs(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        time.sleep(3600 if (model_input["x"] == 13.0).any() else 0.03)
        return model_input["x"] * 2
"""


@pytest.fixture
def hanging(config):
    """A registry whose champion never answers 13."""
    made = {"__name__": "__main__"}  # so that the class itself is stored, not where it is
    exec(HANGS, made)
    client = connect(config)
    frame = pd.DataFrame({"x": [0.0, 1.0]})
    with mlflow.start_run(experiment_id=experiment_id(client, "plain")):
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=made["Hangs"](),
            signature=infer_signature(frame, frame["x"]),
            pip_requirements=[],
        )
    version = mlflow.register_model(logged.model_uri, "churn").version
    client.set_registered_model_alias("churn", "champion", version)
    return config


@pytest.mark.slow
def test_a_call_that_never_returns_is_given_up(hanging, server):
    limits = {"serve__timeout_seconds": 4.0, "serve__drain_seconds": 0.2}
    with server(hanging, 1, models__allow_pickle=True, **limits) as (process, address, lines):
        good, hung = (http.client.HTTPConnection(address, timeout=60) for _ in range(2))
        good.request("POST", "/invocations", '{"inputs": {"x": 2.0}}', HEADERS)
        answer = good.getresponse()
        assert (answer.status, answer.read()) == (200, b'{"predictions":[{"x":4.0}]}')
        hung.request("POST", "/invocations", '{"inputs": {"x": 13.0}}', HEADERS)
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        answer = hung.getresponse()
        assert (answer.status, answer.headers["connection"]) == (504, "close")
        assert process.wait(25) == 0
        good.close()
        hung.close()
    assert any("churn: 1 requests given up" in line for line in lines)
    assert list(logged(hanging).values()) == [2.0]
