"""A real server in a process of its own, asked over HTTP; the models registered for real."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pytest

from lifecycle.config import Config
from lifecycle.errors import (
    DigestMismatch,
    LabelError,
    ModelNotFound,
    RegistryError,
    RegistryUnavailable,
    ServeError,
)
from lifecycle.serve import copies
from lifecycle.serve.building import described, labeller
from lifecycle.serve.engine import Engine
from lifecycle.serve.reload import Watch
from lifecycle.serve.server import bind, serve, warn_if_open
from lifecycle.serve.slots import SlotTable
from lifecycle.stores.predictions import PredictionLog
from lifecycle.stores.tracking import connect

JSON = {"Content-Type": "application/json"}


class Client:
    """One kept connection to the server."""

    def __init__(self, address, opened=None):
        self.address = address
        self.connection = http.client.HTTPConnection(address, timeout=20)
        self.opened = [] if opened is None else opened
        self.opened.append(self.connection)

    def another(self):
        """A connection of its own; `started` closes them all."""
        return Client(self.address, self.opened)

    def ask(self, method, path, body=None, headers=JSON):
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()

    def predict(self, x=2.0, **headers):
        status, found, body = self.ask(
            "POST", "/invocations", json.dumps({"inputs": {"x": x}}), {**JSON, **headers}
        )
        assert status == 200, body
        return json.loads(body)["predictions"][0], found


@pytest.fixture
def started(serving):
    """`with started(config, workers=…) as (process, client, lines)`."""

    @contextmanager
    def run(config, *, workers=1, **more):
        values = {
            "name": config.name,
            "log__dir": config.log.dir,
            "serve__poll_seconds": 0.2,
            "serve__workers": workers,
            "tracking__timeout": 2,
        }
        with serving(values, **more) as server:
            client = Client(server.address)
            yield server.process, client, server.lines
            for connection in client.opened:
                connection.close()

    return run


def until(condition, *, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_a_server_from_start_to_end(config, put, started):
    put(config, 2.0)
    with started(config) as (process, client, lines):
        assert "serving churn/1 (sklearn, not compiled) on http://127.0.0.1:" in lines[-1]
        assert client.ask("GET", "/ping")[::2] == (200, b"\n")
        assert client.ask("GET", "/version")[2].decode() == mlflow.__version__

        value, headers = client.predict(3.0, **{"X-Routing-Key": "k1"})
        assert value == pytest.approx(6.0)
        assert (headers["x-model-version"], headers["x-model-arm"]) == ("1", "champion")
        token = headers["x-prediction-id"]
        log = PredictionLog(config.log.dir).read("churn")  # not sealed yet, and there
        assert log["prediction_id"].to_list() == [token]
        assert log["key"].to_list() == ["k1"]

        label = json.dumps({"prediction_id": token, "label": 6.5})
        assert client.ask("POST", "/feedback", label)[::2] == (200, b'{"accepted":1}')
        forged = json.dumps({"prediction_id": token[:-4] + "AAAA", "label": 6.5})
        assert client.ask("POST", "/feedback", forged)[0] == 400
        many = {
            "labels": [{"prediction_id": token, "label": 6.5}, {"prediction_id": "x", "label": 1}]
        }
        assert client.ask("POST", "/feedback", json.dumps(many))[0] == 400

        status, _, body = client.ask("POST", "/invocations", b'{"inputs": {"x": "3"}}')
        assert (status, "column 'x'" in json.loads(body)["message"]) == (400, True)
        assert client.ask("POST", "/invocations", b"{}", {})[0] == 415
        assert client.ask("GET", "/invocations")[0] == 405
        assert client.predict()[0] == pytest.approx(4.0)  # the next good request is served

        put(config, 10.0)
        until(lambda: client.predict()[1]["x-model-version"] == "2")
        assert client.predict()[0] == pytest.approx(20.0)
        metrics = client.ask("GET", "/metrics")[2].decode()
        assert 'lifecycle_swaps_total{model="churn"} 1' in metrics

        answered = ask_until_it_ends(client, process)
    sealed = PredictionLog(config.log.dir).read("churn")
    assert set(answered) <= set(sealed["prediction_id"].to_list())
    assert set(sealed["version"].to_list()) == {1, 2}
    folder = Path(config.log.dir)
    assert not list(folder.glob("journal/*.journal"))
    assert list(folder.glob("model=churn/date=*/*.parquet"))


def ask_until_it_ends(client, process):
    """Four clients ask while the server is told to stop; the ids of what was answered."""
    answered, lost = [], []

    def work():
        mine = client.another()
        while True:
            try:
                _, headers = mine.predict(1.0)
            except ConnectionRefusedError:
                return
            except (OSError, http.client.HTTPException) as error:
                lost.append(error)
                return
            answered.append(headers["x-prediction-id"])
            if headers.get("connection") == "close":
                return

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(answered) > 50)
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert process.wait(20) == 0
    assert lost == []
    return answered


@pytest.mark.slow
def test_several_workers_share_a_port_and_the_dead_are_replaced(config, put, started):
    put(config, 2.0)
    with started(config, workers=2) as (process, client, lines):
        assert "2 workers" in lines[-1]

        def worker():
            text = client.another().ask("GET", "/metrics")[2].decode()
            return int(re.search(r'lifecycle_process\{pid="(\d+)"\}', text)[1])

        seen = set()
        until(lambda: seen.add(worker()) or len(seen) == 2)
        victim = seen.pop()
        os.kill(victim, signal.SIGKILL)
        until(lambda: "replaced" in "".join(lines))
        for _ in range(20):
            assert client.another().predict(1.0)[0] == pytest.approx(2.0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_a_kill_loses_nothing_and_a_start_needs_no_registry(config, put, started):
    put(config, 2.0)
    with started(config) as (process, client, _):
        tokens = {client.predict(float(index))[1]["x-prediction-id"] for index in range(20)}
        process.kill()
        process.wait()
    assert tokens == set(PredictionLog(config.log.dir).read("churn")["prediction_id"].to_list())

    gone = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    with started(config, environment=gone) as (_, client, lines):
        assert client.predict(4.0)[0] == pytest.approx(8.0)
        assert any("not followed" in line for line in lines)


def test_a_local_copy_is_verified(config, tmp_path, put):
    put(config, 2.0)
    engine_of(config)
    down = config.with_values(tracking__uri="http://127.0.0.1:1", tracking__timeout=1)
    assert engine_of(down)[0].figures.polls_failed == 1
    weights = next((tmp_path / "lifecycle-log" / ".models").glob("churn*/model/model.skops"))
    weights.write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(DigestMismatch):
        engine_of(down)
    shutil.rmtree(tmp_path / "lifecycle-log" / ".models")
    with pytest.raises(RegistryUnavailable):
        engine_of(down)


def engine_of(config, names=("churn",)):
    engine = Engine(SlotTable(), secret=b"s" * 32)
    watch = Watch(config, engine, names)
    watch.load()
    return engine, watch


def test_a_version_that_cannot_load_takes_no_traffic(config, put):
    put(config, 2.0)
    engine, watch = engine_of(config)
    version = put(config, 3.0)
    client = connect(config)
    source = client.get_model_version_download_uri("churn", str(version))
    if source.startswith("models:/m-"):
        source = client.get_logged_model(source.removeprefix("models:/")).artifact_location
    folder = source.removeprefix("file://")
    shutil.move(f"{folder}/model.skops", f"{folder}/elsewhere")
    watch.poll()
    assert list(engine.table.find("churn").slots) == [1]
    assert "version 2" in engine.figures.reasons["churn"]
    assert engine.figures.swap_failures == {"churn": 1}
    watch.poll()  # not tried again at once
    assert engine.figures.swap_failures == {"churn": 1}
    assert put(config, 4.0) == 3
    watch.poll()
    assert list(engine.table.find("churn").slots) == [3]
    assert engine.figures.reasons == {}


def test_a_lost_alias_or_registry_keeps_what_serves(config, put):
    put(config, 2.0)
    engine, watch = engine_of(config)
    connect(config).delete_registered_model_alias("churn", "champion")
    watch.poll()
    assert engine.figures.polls_failed == 1
    assert list(engine.table.find("churn").slots) == [1]


def test_a_version_by_number_is_not_followed(config, put):
    put(config, 2.0)
    put(config, 3.0)
    engine, watch = engine_of(config, ("churn/1",))
    watch.poll()
    assert list(engine.table.find("churn").slots) == [1]


def test_several_models_are_served_by_name(config, put):
    put(config, 2.0)
    put(config, 5.0, name="late")
    engine, _ = engine_of(config, ("churn", "late"))
    rows = engine.choose("late").slot.decoder.json(b'{"inputs": {"x": 2}}')
    assert engine.answer("late", rows).predictions == [pytest.approx(10.0)]
    assert engine.answer("", rows).predictions == [pytest.approx(4.0)]
    assert "churn/1 (sklearn, not compiled), late/1" in described(engine.table, "http://x")


def test_what_is_not_there_is_said_before_anything_starts(config, put):
    with pytest.raises(ModelNotFound, match="churn"):
        serve(config, ("churn",), port=0)
    put(config, 2.0, champion=False)
    with pytest.raises(ModelNotFound):
        serve(config, ("churn",), port=0)
    with pytest.raises(ServeError, match="no model is named"):
        serve(Config(), ())


def test_a_taken_port_is_named(config):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"port {port} is in use"):
            serve(config, ("churn",), port=port)
    with pytest.raises(ServeError, match="cannot bind"):
        bind("203.0.113.1", 0)


def test_an_open_address_is_warned_of(capsys):
    assert warn_if_open("0.0.0.0")
    assert "asks for no key" in capsys.readouterr().err
    assert not warn_if_open("::1")


def test_a_version_that_fails_its_own_example_is_refused(config, put):
    put(config, 2.0)
    version = engine_of(config)[0].table.find("churn").slots[1].loaded.version
    folder = copies.copy(connect(config), version, config)
    known = json.loads((folder / "spec.json").read_text())
    known["features"][0]["name"] = "other"
    (folder / "spec.json").write_text(json.dumps(known))
    (folder / "model" / "serving_input_example.json").write_text('{"inputs": {"other": 1.0}}')
    note = json.loads((folder / "version.json").read_text())
    note["copied_digest"] = ""
    (folder / "version.json").write_text(json.dumps(note))
    ref = Watch(config, Engine(SlotTable(), secret=b""), ("churn",)).refs[0]
    with pytest.raises(RegistryError, match="fails on its own example"):
        copies.warmed(ref, folder, config)


def test_old_copies_go_and_those_in_use_stay(config, put):
    put(config, 2.0)
    engine_of(config)
    folder = copies.last(Watch(config, Engine(SlotTable(), secret=b""), ("churn",)).refs[0], config)
    stale = folder.parent / "stale"
    stale.mkdir()
    os.utime(stale, (0, 0))
    os.utime(folder, (0, 0))
    engine_of(config)
    assert folder.is_dir()
    assert not stale.exists()


def test_labels_of_mixed_types_are_refused(config, put):
    put(config, 2.0)
    add = labeller(engine_of(config)[0], config)
    with pytest.raises(LabelError):
        add("churn", [{"prediction_id": "a", "label": "x"}, {"prediction_id": "b", "label": 1}])


COMPILED = """
import sys
import lifecycle.serve.server
from lifecycle.config import load_config
from lifecycle.serve.building import build
from lifecycle.serve.engine import Engine
from lifecycle.serve.reload import Watch
from lifecycle.serve.slots import SlotTable
config = load_config().with_values(log__dir="lifecycle-log")
engine = Engine(SlotTable(), secret=b"s" * 32)
Watch(config, engine, ("churn/1",)).load()
choice = engine.choose("churn")
rows = choice.slot.decoder.json(open("body.json", "rb").read())
answer = engine.answer("churn", rows)
heavy = ("sklearn", "evidently", "lifecycle.drift", "lifecycle.workflows")
loaded = [name for name in heavy if name in sys.modules]
print(choice.slot.loaded.how, answer.predictions, loaded)
"""


def test_a_compiled_model_needs_no_scikit_learn(config, make_churn, tmp_path):
    from sklearn.linear_model import LogisticRegression

    from lifecycle.workflows.train import register, train

    frame = make_churn(600)
    training = train(config, frame, candidates=[LogisticRegression(max_iter=1000)])
    register(config, training.best)
    row = json.loads(frame.head(2).to_json(orient="records", date_format="iso"))
    (tmp_path / "body.json").write_text(json.dumps({"dataframe_records": row}))
    found = subprocess.run(
        [sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False, timeout=120
    )
    assert found.returncode == 0, found.stderr
    assert re.fullmatch(r"onnx \[[01], [01]\] \[\]", found.stdout.strip())
