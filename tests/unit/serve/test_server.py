"""The server's parts without HTTP: what it binds, says, builds, and how it ends while it loads."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from lifecycle.config import Config
from lifecycle.errors import ConfigError, LabelError, LogError, ModelNotFound, ServeError
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Column, ModelSpec, ModelVersion
from lifecycle.serve import copies, server
from lifecycle.serve.engine import Engine
from lifecycle.serve.server import address_of, bind, build, described, labeller, serve, warn_if_open
from lifecycle.serve.slots import SlotTable, slot
from lifecycle.stores import ids
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionLog
from lifecycle.stores.tracking import connect

JSON = {"Content-Type": "application/json"}


# addresses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("256.1.1.1", 0, "cannot bind"),
        ("no such host", 0, "cannot bind"),
        ("a" * 70, 0, "cannot bind"),
        ("a" * 70 + ".example", 0, "cannot bind"),
        ("local\0host", 0, "cannot bind"),
        ("127.0.0.1:80", 0, "cannot bind"),
        ("203.0.113.7", 0, "cannot bind"),  # an address of nobody, RFC 5737
        ("127.0.0.1", 65536, "must be 0-65535"),
        ("127.0.0.1", -1, "must be 0-65535"),
    ],
)
def test_an_address_that_cannot_be_bound_is_named(host, port, said):
    with pytest.raises(ServeError, match=said) as caught:
        bind(host, port)
    assert caught.value.where == f"{host}:{port}"
    assert "--port" in caught.value.fix


def test_a_port_in_use_is_said_in_plain_words():
    with closing(bind("127.0.0.1", 0)) as first:
        first.listen()
        port = first.getsockname()[1]
        with pytest.raises(ServeError, match=f"port {port} is in use"):
            bind("127.0.0.1", port)
    bind("127.0.0.1", port).close()  # free again at once


def test_no_request_is_taken_before_the_models_are_there():
    with closing(bind("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.settimeout(2)
        with pytest.raises(ConnectionRefusedError):
            client.connect(listener.getsockname())


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:"),
        ("localhost", "http://127.0.0.1:"),
        ("::1", "http://[::1]:"),
    ],
)
def test_an_address_is_a_url_that_a_browser_takes(host, url):
    with closing(bind(host, 0)) as listener:
        assert address_of(listener) == f"{url}{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("host", "warned"),
    [
        ("127.0.0.1", False),
        ("127.8.8.8", False),
        ("::1", False),
        ("localhost", False),
        ("0.0.0.0", True),
        ("", True),  # every address of the machine
        ("::", True),
        ("192.168.1.4", True),
        ("box.example.org", True),
        ("localhost.example.org", True),
    ],
)
def test_an_address_that_others_reach_is_warned_of(host, warned, capsys):
    assert warn_if_open(host) is warned
    said = capsys.readouterr().err
    assert ("asks for no key" in said) is warned
    assert host in said or not warned


# what is ready ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "compiled", "said"),
    [
        ("onnx", "sha256:ab", "churn/7 (onnx) on"),
        ("sklearn", "", "churn/7 (sklearn, not compiled) on"),
        ("sklearn", "no: HashingVectorizer", "churn/7 (sklearn, HashingVectorizer) on"),
        ("pyfunc", "sha256:ab", "churn/7 (pyfunc, compiled, but compiled models are switched off"),
    ],
)
def test_the_line_says_how_each_version_answers(how, compiled, said):
    version = ModelVersion("churn", 7, tags={"lifecycle.compiled": compiled} if compiled else {})
    spec = ModelSpec(1, "regression", (Column("x", "double"),))
    one = slot("churn", LoadedModel(spec, how, lambda c: Output(c["x"]), version))
    line = described(SlotTable().with_only(one), "http://x")
    assert line.startswith("serving churn/7 (")
    assert said in line
    assert line.endswith(" on http://x")


def test_a_model_that_is_not_registered_can_be_described():
    spec = ModelSpec(1, "regression", ())
    one = slot("mine", LoadedModel(spec, "sklearn", lambda c: Output(c["x"])))
    assert "mine/0 (sklearn, not compiled)" in described(SlotTable().with_only(one), "http://x")


# the whole application --------------------------------------------------------------------------


@pytest.fixture
def whole(served):
    """The application of churn and late, with its log; closed in the end."""
    app, watch, writer = build(served, ("churn", "late"))
    yield app, served
    watch.stop()
    writer.close()


def x(value):
    return json.dumps({"inputs": {"x": value}}).encode()


def test_a_prediction_is_answered_logged_and_labelled(whole, ask):
    app, config = whole
    status, headers, body = ask(app, "POST", "/invocations", x(2.0), headers=JSON)
    assert status == 200
    assert json.loads(body)["predictions"] == [pytest.approx(2.0)]
    told = {"prediction_id": headers["x-prediction-id"], "label": 2.5}
    answer = ask(app, "POST", "/feedback", json.dumps(told).encode(), headers=JSON)
    assert json.loads(answer[2]) == {"accepted": 1}
    logged = PredictionLog(config.log.dir).read("churn")
    assert logged["prediction_id"].to_list() == [headers["x-prediction-id"]]
    assert LabelStore(config.log.dir).read("churn")["label"].to_list() == [2.5]
    figures = ask(app, "GET", "/metrics")[2].decode()
    assert 'lifecycle_labels_total{model="churn"} 1' in figures
    assert 'lifecycle_model_info{model="late",version="1",arm="champion"' in figures


def test_a_label_for_one_model_is_not_taken_for_another(whole, ask):
    app, _ = whole
    _, headers, _ = ask(app, "POST", "/invocations", x(2.0), headers={**JSON, "X-Model": "late"})
    told = json.dumps({"prediction_id": headers["x-prediction-id"], "label": 1.0}).encode()
    status, _, body = ask(app, "POST", "/feedback", told, headers=JSON)
    assert status == 400
    assert "of another model than 'churn'" in json.loads(body)["message"]
    assert ask(app, "POST", "/feedback", told, headers={**JSON, "X-Model": "late"})[0] == 200


def test_the_lifespan_starts_and_ends_what_was_built(whole):
    app, config = whole
    messages, sent = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}], []

    async def receive():
        if len(messages) == 1:  # between the two: the registry is followed
            assert "lifecycle-reload" in {thread.name for thread in threading.enumerate()}
        return messages.pop(0)

    async def send(message):
        sent.append(message["type"])

    asyncio.run(app({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    with pytest.raises(LogError):  # the log is closed: nothing is answered unlogged
        app.engine.answer("churn", app.engine.choose("churn").slot.decoder.json(x(1.0)))
    assert not list(Path(config.log.dir, "journal").glob("*.journal.part"))


def test_a_short_secret_stops_the_start_before_anything_is_copied(served, monkeypatch):
    monkeypatch.setenv("LIFECYCLE_SECRET", "short")
    with pytest.raises(ConfigError, match="LIFECYCLE_SECRET"):
        build(served, ("churn",))
    assert not Path(served.log.dir, copies.FOLDER).exists()


def test_the_same_secret_signs_after_a_restart(served):
    tokens = []
    for _ in range(2):
        app, watch, writer = build(served, ("churn",))
        rows = app.engine.choose().slot.decoder.json(x(1.0))
        tokens.append(app.engine.answer("churn", rows).id)
        watch.stop()
        writer.close()
    for token in tokens:
        assert ids.check(app.engine.secret, token, model="churn").version == 1


# labels -----------------------------------------------------------------------------------------


def given(engine, config, *labels):
    """Give labels to predictions of version 7 that were just issued."""
    rows = [
        {
            "prediction_id": ids.issue(engine.secret, model="churn", version=7, time=1),
            "label": label,
        }
        for label in labels
    ]
    return labeller(engine, config)("churn", rows)


@pytest.mark.parametrize("labels", [("yes", 1), (1, "yes"), (True, "no"), (0.5, "yes", "no")])
def test_text_and_numbers_in_one_batch_are_refused(engine, tmp_path, labels):
    config = Config().with_values(log__dir=str(tmp_path))
    with pytest.raises(LabelError, match="some labels are text and some are not"):
        given(engine, config, *labels)
    assert len(LabelStore(tmp_path).read("churn")) == 0


def test_labels_are_kept_in_the_type_of_the_classes(make_slot, tmp_path):
    config = Config().with_values(log__dir=str(tmp_path))
    spec = ModelSpec(1, "binary", (Column("age", "double"),), classes=(0, 1))
    engine = Engine(SlotTable().with_only(make_slot(spec=spec)), secret=b"s" * 32)
    assert given(engine, config, True, 0, 1.0) == 3
    assert LabelStore(tmp_path).read("churn")["label"].to_list() == [1, 0, 1]
    with pytest.raises(LabelError, match="the labels are Float64, those of the model are Int64"):
        given(engine, config, 0.5)
    with pytest.raises(LabelError, match="the labels are String"):
        given(engine, config, "1")


def test_labels_may_stand_under_the_targets_name(engine, tmp_path):
    config = Config().with_values(log__dir=str(tmp_path))
    token = ids.issue(engine.secret, model="churn", version=7, time=1)
    add = labeller(engine, config)
    assert add("churn", [{"prediction_id": token, "churned": "yes"}]) == 1
    with pytest.raises(LabelError, match="no column 'label' or 'churned'"):
        add("churn", [{"prediction_id": token, "truth": "yes"}])
    with pytest.raises(ModelNotFound):
        add("other", [{"prediction_id": token, "label": "yes"}])


# starting and stopping --------------------------------------------------------------------------


def test_nothing_named_is_said():
    with pytest.raises(ServeError, match="no model is named") as caught:
        serve(Config(), (), port=0)
    assert "lifecycle serve NAME" in caught.value.fix


@pytest.mark.parametrize("workers", [1, 2])
def test_one_model_named_twice_is_refused(served, workers):
    with pytest.raises(ServeError, match="'churn' is named twice, as churn/1 and churn/2"):
        serve(served, ("churn/1", "churn/2"), port=0, workers=workers)


def test_a_port_is_free_again_after_a_start_that_failed(served):
    with closing(bind("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for _ in range(2):
        with pytest.raises(ModelNotFound):
            serve(served, ("nothing",), port=port)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_what_is_loading_and_gives_the_handlers_back(number, capsys):
    before = signal.getsignal(number)
    left = []
    with server._ends_when_told():
        try:
            signal.raise_signal(number)
            left.append("went on")
        except Exception:  # noqa: BLE001 - as libraries do; it must not keep the signal
            left.append("kept")
        finally:
            left.append("tidied up")
    assert left == ["tidied up"]
    assert signal.getsignal(number) is before
    assert "told to stop" in capsys.readouterr().err


def test_an_error_while_loading_is_still_an_error(capsys):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ModelNotFound), server._ends_when_told():
        raise ModelNotFound("no such model")
    assert signal.getsignal(signal.SIGTERM) is before
    assert capsys.readouterr().err == ""


START = """
import sys
from lifecycle.config import Config
from lifecycle.serve.server import serve
config = Config().with_values(
    tracking__uri=sys.argv[1], tracking__timeout=60, log__dir=sys.argv[2]
)
serve(config, ("churn",), port=0, workers=int(sys.argv[3]))
print("left in order", file=sys.stderr)
"""


def asked(registry):
    """The first connection that asks something; one that only knocks is let go."""
    while True:
        connection, _ = registry.accept()
        connection.settimeout(20)
        if connection.recv(10):
            return connection
        connection.close()


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGTERM, 1), (signal.SIGINT, 2)])
def test_a_server_that_waits_for_its_registry_stops_at_once(tmp_path, number, workers):
    environment = {key: value for key, value in os.environ.items() if "MLFLOW_TR" not in key}
    with socket.socket() as registry:  # takes connections, answers never
        registry.bind(("127.0.0.1", 0))
        registry.listen()
        registry.settimeout(60)
        address = f"http://127.0.0.1:{registry.getsockname()[1]}"
        command = [sys.executable, "-c", START, address, str(tmp_path / "log"), str(workers)]
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
        ) as process:
            try:
                with closing(asked(registry)):
                    begun = time.monotonic()
                    process.send_signal(number)
                    _, said = process.communicate(timeout=20)
            finally:
                process.kill()
    assert process.returncode == 0, said
    assert time.monotonic() - begun < 10
    assert "told to stop before the models were loaded" in said
    assert said.rstrip().endswith("left in order")
    assert "Traceback" not in said
    left = [path for path in (tmp_path / "log").rglob("*") if path.is_file()]
    assert {path.name for path in left} <= {".secret"}


def test_the_champion_that_is_served_is_the_registrys(served, ask):
    connect(served).set_registered_model_alias("churn", "champion", "2")
    app, watch, writer = build(served, ("churn",))
    with closing(writer):
        _, headers, body = ask(app, "POST", "/invocations", x(2.0), headers=JSON)
        assert headers["x-model-version"] == "2"
        assert json.loads(body)["predictions"] == [pytest.approx(4.0)]
    watch.stop()
