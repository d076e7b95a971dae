"""A rollout on a real server: followed from the ledger while clients ask without a pause."""

import http.client
import json
import os
import re
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from lifecycle.records import Arm, RolloutSpec
from lifecycle.rollout import state
from lifecycle.rollout.assignment import place
from lifecycle.stores import cuts
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.predictions import PredictionLog
from lifecycle.stores.registry import project
from lifecycle.stores.tracking import connect

SALT = "r"
ARMS = (Arm("champion", 1, 0.0), Arm("challenger", 2, 0.0))
SPEC = RolloutSpec("churn", "canary", ARMS, steps=(0.3, 0.6, 1.0), hold_back=0.0, salt=SALT)
KEYS = [f"customer-{number}" for number in range(60)]
SECONDS = 30.0  # until something that was decided must have happened


@pytest.fixture
def two(config, put):
    """A registry whose champion answers x and whose version 2 answers 2 x."""
    put(config, 1.0)
    put(config, 2.0, champion=False)
    return config


def values(config, **more):
    given = {"name": "churn", "log__dir": config.log.dir, "serve__poll_seconds": 0.2}
    return {**given, **more}


def write(config, said, **more):
    """One entry of the ledger; aliases and tags follow, as a controller has them."""
    client = connect(config)
    Ledger(client, "churn").append(lambda _entries: draft(**said, **more))
    project(client, "churn")


def now(config):
    return state.latest(Ledger(connect(config), "churn").entries())


def arm_of(key, share):
    return "challenger" if place(SALT, key) < share else "champion"


class Client(threading.Thread):
    """Asks with one key after another on a kept connection, until it is told to stop.

    Attributes:
        seen: key, x, status, arm, version, answer and prediction id of every answer.
        lost: what was not answered.
    """

    def __init__(self, address, keys, stop):
        super().__init__(daemon=True)
        self.address, self.keys, self.stop = address, keys, stop
        self.seen, self.lost = [], []

    def run(self):
        connection = http.client.HTTPConnection(self.address, timeout=20)
        count = 0
        while not self.stop.is_set():
            key, x = self.keys[count % len(self.keys)], float(count)
            count += 1
            try:
                self.seen.append((key, x, *asked(connection, x, key=key)))
            except (OSError, http.client.HTTPException) as error:
                self.lost.append((key, x, repr(error)))
                connection.close()
                connection = http.client.HTTPConnection(self.address, timeout=20)
            time.sleep(0.002)
        connection.close()


def asked(connection, x, *, key="", **headers):
    """Status, arm, version, answer and prediction id of one request."""
    head = {name.replace("_", "-"): text for name, text in headers.items()}
    head |= {"Content-Type": "application/json"} | ({"X-Routing-Key": key} if key else {})
    connection.request("POST", "/invocations", json.dumps({"inputs": {"x": x}}), head)
    answer = connection.getresponse()
    said = json.loads(answer.read())
    found = answer.headers
    version = int(found.get("x-model-version", 0))
    predictions = said.get("predictions", [None])
    return (
        answer.status,
        found.get("x-model-arm"),
        version,
        predictions[0],
        found["x-prediction-id"],
    )


def fetched(address, path):
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request("GET", path)
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def serving_now(address):
    """The arms that the worker which is asked serves."""
    (model,) = json.loads(fetched(address, "/status"))["models"]
    return {arm["arm"]: (arm["version"], arm["share"]) for arm in model["serving"]}, model


def until(condition, *, seconds=SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def started(address, count=3):
    stop = threading.Event()
    clients = [Client(address, KEYS[number::count], stop) for number in range(count)]
    for client in clients:
        client.start()
    return clients, stop


def ended(clients, stop):
    stop.set()
    for client in clients:
        client.join(40)
        assert not client.is_alive()
    assert [item for client in clients for item in client.lost] == []
    return [item for client in clients for item in client.seen]


def logged(config):
    frame = PredictionLog(config.log.dir).read("churn")
    ids = frame["prediction_id"].to_list()
    assert len(ids) == len(set(ids))
    columns = ("arm", "version", "step", "key", "prediction")
    return dict(
        zip(ids, zip(*(frame[name].to_list() for name in columns), strict=True), strict=True)
    )


def test_a_rollout_from_its_start_to_the_promotion_loses_no_request(two, serving):
    with serving(values(two)) as server:
        clients, stop = started(server.address)
        until(lambda: all(len(client.seen) > 20 for client in clients))
        write(two, state.begun(SPEC))
        shown = {}
        for step, share in enumerate(SPEC.steps):
            if step:
                write(two, state.stepped(now(two), step))
            wanted = {"champion": (1, round(1 - share, 12)), "challenger": (2, share)}
            until(lambda wanted=wanted: serving_now(server.address)[0] == wanted)
            before = [len(client.seen) for client in clients]
            until(
                lambda before=before: all(
                    len(client.seen) > count + 40
                    for client, count in zip(clients, before, strict=True)
                )
            )
            shown[step] = [
                item
                for client, count in zip(clients, before, strict=True)
                for item in client.seen[count + 1 :]
            ]
        connection = http.client.HTTPConnection(server.address, timeout=20)
        status, arm, version, answer, _ = asked(connection, 3.0, key="k", X_Model_Version="1")
        assert (status, arm, version, answer) == (200, "asked", 1, pytest.approx(3.0))
        connection.close()
        told = serving_now(server.address)[1]["rollout"]
        assert (told["rollout"], told["strategy"], told["step"]) == (1, "canary", 2)
        said = {"kind": "stage", "version": 2, "source": "none", "to": "production"}
        write(two, {**said, "extra": state.promotion(now(two))})
        until(lambda: serving_now(server.address)[0] == {"champion": (2, 1.0)})
        seen = ended(clients, stop)
        figures = fetched(server.address, "/metrics")
    assert {item[2] for item in seen} == {200}
    for step, share in enumerate(SPEC.steps):
        for key, x, _, arm, version, answer, _ in shown[step]:
            assert arm == arm_of(key, share), "a key has the arm that its place says"
            assert (version, answer) == (1 + (arm == "challenger"), pytest.approx(version * x))
    answered = re.findall(
        r"arm_requests_total\{.*arm=\"challenger\",step=\"(\d)\"\} (\d+)", figures
    )
    assert [step for step, _ in answered] == ["0", "1", "2"]
    held = logged(two)
    for key, _, _, arm, version, _, token in seen:
        assert held[token][:2] == (arm, version)
        assert held[token][3] == key
    steps = {arm: {row[2] for row in held.values() if row[0] == arm} for arm in ("challenger",)}
    assert steps == {"challenger": {0, 1, 2}}
    assert "has been lost" not in "".join(server.lines)


@pytest.mark.slow
def test_two_workers_split_alike_and_a_killed_one_loses_nothing(two, serving):
    write(two, state.begun(SPEC))
    with serving(values(two, serve__workers=2)) as server:
        clients, stop = started(server.address, 6)
        until(lambda: all(len(client.seen) > 40 for client in clients))
        text = fetched(server.address, "/metrics")
        (victim,) = set(re.findall(r'lifecycle_process\{pid="(\d+)"\}', text))
        stop.set()  # what is under way when a process is killed is lost to its client
        for client in clients:
            client.join(40)
        first = [item for client in clients for item in client.seen]
        os.kill(int(victim), signal.SIGKILL)
        until(lambda: any(f"worker {victim} died" in line for line in server.lines))
        clients, stop = started(server.address, 6)
        write(two, state.stepped(now(two), 1))
        until(lambda: any(item[3] == "challenger" for client in clients for item in client.seen))
        until(lambda: all(len(client.seen) > 200 for client in clients))
        seen = ended(clients, stop)
        figures = fetched(server.address, "/metrics")
    assert {item[2] for item in (*first, *seen)} == {200}
    held = logged(two)
    for key, x, _, arm, version, answer, token in (*first, *seen):
        assert held[token][:2] == (arm, version)
        assert answer == pytest.approx(version * x)
        step = held[token][2]
        assert arm == arm_of(key, SPEC.steps[step]), "whichever worker answers"
    assert {held[item[6]][2] for item in first} == {0}
    assert {held[item[6]][2] for item in seen} >= {1}
    counts = re.findall(r"arm_requests_total\{.*step=\"\d\"\} (\d+)", figures)
    assert sum(map(int, counts)) > len(seen) / 2, "the figures of all workers"
    assert 'lifecycle_arm_share{model="churn",version="2",arm="challenger"} 0.6' in figures


@pytest.mark.slow
def test_a_cut_stops_the_challenger_though_the_ledger_does_not_know(two, serving):
    write(two, state.begun(SPEC))
    with serving(values(two)) as server:
        clients, stop = started(server.address)
        until(lambda: any(item[3] == "challenger" for client in clients for item in client.seen))
        cuts.cut(two.log.dir, "churn", 1, "errors are 3 times as many")
        until(lambda: serving_now(server.address)[0] == {"fallback": (1, 1.0)})
        before = [len(client.seen) for client in clients]
        until(
            lambda: all(
                len(client.seen) > count + 30 for client, count in zip(clients, before, strict=True)
            )
        )
        after = [
            item[3]
            for client, count in zip(clients, before, strict=True)
            for item in client.seen[count + 1 :]
        ]
        withheld = serving_now(server.address)[1]["rollout"]["withheld"]
        figures = fetched(server.address, "/metrics")
        write(two, state.ended(now(two), "rolled back"))
        until(lambda: serving_now(server.address)[0] == {"champion": (1, 1.0)})
        ended(clients, stop)
    assert set(after) == {"fallback"}
    assert "errors are 3 times as many" in withheld
    assert 'reason="cut on this machine: errors are 3 times as many"' in figures


CRASHING = """
import json, os, sys
import numpy as np
from lifecycle.config import Config
from lifecycle.serve import copies
from lifecycle.serve.server import serve

warmed = copies.warmed

def poisoned(ref, folder, config):
    from dataclasses import replace
    one = warmed(ref, folder, config)
    if one.version != 2:
        return one
    answer = one.loaded.answer

    def broken(columns, *more):
        x = np.asarray(columns["x"])
        if (x % 3 == 0).any():
            raise SystemExit(3)
        if (x % 3 == 1).any():
            raise MemoryError("too much")
        return answer(columns, *more)

    return replace(one, loaded=replace(one.loaded, answer=broken))

copies.warmed = poisoned
config = Config().with_values(**json.loads(sys.argv[1]))
serve(config, ("churn",), port=int(sys.argv[2]))
"""


@pytest.mark.slow
def test_a_crashing_challenger_costs_nobody_an_answer(two, serving):
    write(two, state.begun(SPEC))
    with serving(values(two), script=CRASHING) as server:
        clients, stop = started(server.address)
        until(lambda: all(len(client.seen) > 150 for client in clients))
        seen = ended(clients, stop)
    arms = Counter(item[3] for item in seen)
    assert set(arms) == {"champion", "challenger", "fallback"}
    assert {item[2] for item in seen} == {200}
    for key, x, _, arm, version, answer, _ in seen:
        drawn = arm_of(key, SPEC.steps[0])
        wanted = drawn if drawn == "champion" or x % 3 == 2 else "fallback"
        assert (arm, answer) == (wanted, pytest.approx(version * x))
    frame = PredictionLog(two.log.dir).read("churn")
    failed = frame.filter(frame["error"].is_not_null())
    assert set(failed["arm"]) == {"challenger"}
    assert len(failed) == arms["fallback"]


# the controller beside it -----------------------------------------------------------------------


def controllers(server):
    """The process ids of a server's controllers: its children at low priority."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == server and int(fields[16]) > os.getpriority(
                os.PRIO_PROCESS, server
            ):
                found.append(int(entry.name))
    return found


@pytest.mark.slow
def test_the_server_keeps_a_controller_beside_it(two, serving):
    write(two, state.begun(SPEC))
    more = {"rollout__controller": True, "rollout__every_seconds": 0.5, "serve__workers": 2}
    with serving(values(two, **more)) as server:
        assert "with the controller of churn" in "".join(server.lines)
        until(lambda: now(two).holder, seconds=90)
        (controller,) = controllers(server.process.pid)
        os.kill(controller, signal.SIGKILL)
        until(lambda: any("the controller died (-9)" in line for line in server.lines))
        until(lambda: controllers(server.process.pid) not in ([], [controller]))
        (second,) = controllers(server.process.pid)
    assert not Path(f"/proc/{second}").exists(), "it ends with the server"
    assert "Traceback" not in "".join(server.lines)
