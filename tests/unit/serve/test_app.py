import asyncio
import json
import threading
import time

import pytest

from lifecycle.errors import LabelError, LogError
from lifecycle.models.predicting import Output
from lifecycle.serve.batch import Limits
from lifecycle.serve.engine import Engine
from lifecycle.serve.protocols.mlflow import failure
from lifecycle.serve.slots import SlotTable
from lifecycle.serve.wire import Asked, Request, Route, Routes
from lifecycle.stores.predictions import PredictionLog

JSON = {"Content-Type": "application/json"}
GOOD = b'{"dataframe_records": [{"age": 50, "plan": "pro"}]}'


def post(ask, app, body=GOOD, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(app, "POST", "/invocations", body, headers={**JSON, **named})


def code(answer):
    status, headers, body = answer
    error = json.loads(body)
    assert set(error) == {"error_code", "message"}
    assert headers["content-type"] == "application/json"
    return status, error["message"]


def test_a_prediction_and_its_headers(engine, ask, make_app, tmp_path):
    status, headers, body = post(ask, make_app(engine))
    assert (status, body) == (200, b'{"predictions":["yes"]}')
    assert headers["x-model-version"] == "7"
    assert headers["x-model-arm"] == "champion"
    logged = PredictionLog(tmp_path).read("churn")
    assert logged["prediction_id"].to_list() == [headers["x-prediction-id"]]


def test_routing_key_version_and_model_are_read(engine, ask, make_app, tmp_path):
    assert (
        post(ask, make_app(engine), X_Routing_Key="k1", X_Model_Version="7", X_Model="churn")[0]
        == 200
    )
    assert PredictionLog(tmp_path).read("churn")["key"].to_list() == ["k1"]
    assert code(post(ask, make_app(engine), X_Model="other"))[0] == 404
    assert code(post(ask, make_app(engine), X_Model_Version="8"))[0] == 404
    status, message = code(post(ask, make_app(engine), X_Model_Version="seven"))
    assert (status, "X-Model-Version" in message) == (400, True)


def test_health_follows_the_table_and_the_signal(engine, ask, make_app):
    app = make_app(engine)
    for path in ("/ping", "/health"):
        assert ask(app, "GET", path)[::2] == (200, b"\n")
    app.service.draining = True
    for path in ("/ping", "/health"):
        assert ask(app, "GET", path)[0] == 503
    assert post(ask, app)[0] == 200  # what still comes is answered
    empty = make_app(Engine(SlotTable(), secret=b"s" * 32))
    assert ask(empty, "GET", "/health")[0] == 503
    assert code(post(ask, empty))[0] == 404


def test_version_root_and_metrics(engine, ask, make_app):
    app = make_app(engine)
    status, _, body = ask(app, "GET", "/version")
    assert status == 200
    assert body.decode()[0].isdigit()
    assert json.loads(ask(app, "GET", "/")[2]) == {"status": "alive"}
    post(ask, app)
    status, headers, body = ask(app, "GET", "/metrics")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'lifecycle_requests_total{model="churn",version="7",status="200"} 1' in body
    assert b'how="sklearn",why="not compiled"} 1' in body
    assert b"lifecycle_queue 0" in body
    assert b'lifecycle_batch_requests_count{model="churn",version="7"} 1' in body
    assert b"lifecycle_ready 1" in body


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("GET /nothing", 404),
        ("POST /", 405),
        ("GET /invocations", 405),
        ("DELETE /ping", 405),
        ("GET /feedback", 405),
        ("HEAD /ping", 200),
    ],
)
def test_what_is_not_there(engine, ask, make_app, asked, expected):
    status, headers, _ = ask(make_app(engine), *asked.split())
    assert status == expected
    assert ("allow" in headers) == (expected == 405)


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/json; charset=latin-1", "application/json; v=1", "json"]
)
def test_a_content_type_that_is_not_read(engine, ask, make_app, kind):
    status, message = code(
        ask(make_app(engine), "POST", "/invocations", GOOD, headers={"Content-Type": kind})
    )
    assert status == 415
    assert "application/json" in message


def test_a_missing_content_type_is_no_crash(engine, ask, make_app):
    assert code(ask(make_app(engine), "POST", "/invocations", GOOD))[0] == 415


def test_bad_input_names_the_column_and_is_counted(engine, ask, make_app):
    app = make_app(engine)
    status, message = code(post(ask, app, b'{"inputs": {"age": "x", "plan": "pro"}}'))
    assert status == 400
    assert "column 'age'" in message
    assert engine.figures.refused == {("/invocations", 400): 1}


def test_a_model_that_raises_gives_an_id_and_no_trace(engine, ask, make_app, tmp_path):
    answer = post(ask, make_app(engine), b'{"inputs": {"age": 99, "plan": "pro"}}')
    status, message = code(answer)
    assert status == 500
    assert "Traceback" not in message
    assert "secret" not in message
    token = answer[1]["x-prediction-id"]
    assert token in message
    assert PredictionLog(tmp_path).read("churn")["prediction_id"].to_list() == [token]


def test_what_cannot_be_logged_is_503(engine, ask, make_app):
    class Full:
        def append(self, *_arguments, **_more):
            raise LogError("no space left", where="/secret/path")

    engine.writer = Full()
    answer = post(ask, make_app(engine))
    status, message = code(answer)
    assert status == 503
    assert "secret" not in message


def test_health_is_answered_while_a_slow_model_works(make_slot, make_app):
    going = threading.Event()

    def slow(columns):
        if columns["age"][0] == 1:
            going.set()
            time.sleep(0.3)
        else:
            time.sleep(0.002)
        return Output(columns["age"])

    engine = Engine(SlotTable().with_only(make_slot(answer=slow)), secret=b"s" * 32)
    app = make_app(engine)
    done = []

    async def one(path, method, body=b""):
        answered = asyncio.get_running_loop().create_future()
        headers = {b"content-type": b"application/json"}
        app.handle(Request(method, path, b"", headers, body), answered.set_result)
        done.append((path, (await answered).status))

    async def story():
        body = b'{"inputs": {"age": %d, "plan": "x"}}'
        await one("/invocations", "POST", body % 2)  # the first tells how slow the model is
        task = asyncio.ensure_future(one("/invocations", "POST", body % 1))
        while not going.is_set():
            await asyncio.sleep(0.001)
        await one("/ping", "GET")
        await task

    asyncio.run(story())
    assert done == [("/invocations", 200), ("/ping", 200), ("/invocations", 200)]


def test_labels_are_passed_on(engine, ask, make_app):
    got = []

    def add(model, rows):
        got.append((model, rows))
        return len(rows)

    app = make_app(engine, add_labels=add)
    one = ask(app, "POST", "/feedback", b'{"prediction_id": "p", "label": 1}', headers=JSON)
    assert (one[0], json.loads(one[2])) == (200, {"accepted": 1})
    many = b' { "labels" : [{"prediction_id": "p", "label": true}, {"label": "x", "id": "q"}]}'
    assert json.loads(ask(app, "POST", "/feedback", many, headers=JSON)[2]) == {"accepted": 2}
    assert got[0] == ("churn", [{"prediction_id": "p", "label": 1}])
    pretty = json.dumps({"labels": [{"prediction_id": "p", "label": 1}]}, indent=2).encode()
    assert json.loads(ask(app, "POST", "/feedback", pretty, headers=JSON)[2]) == {"accepted": 1}
    assert engine.figures.labels == {"churn": 4}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"labels": 5}', b'{"labels": [5]}', b'{"label": [1]}', b"[" * 100_000],
)
def test_labels_that_cannot_be_read(engine, ask, make_app, body):
    app = make_app(engine, add_labels=lambda _model, rows: len(rows))
    assert code(ask(app, "POST", "/feedback", body, headers=JSON))[0] == 400


def test_labels_that_are_refused(engine, ask, make_app):
    def refuse(_model, _rows):
        raise LabelError("the id was not issued by this log")

    app = make_app(engine, add_labels=refuse)
    body = b'{"prediction_id": "p", "label": 1}'
    status, message = code(ask(app, "POST", "/feedback", body, headers=JSON))
    assert (status, message) == (400, "the id was not issued by this log")
    assert code(ask(app, "POST", "/feedback", body, headers={"Content-Type": "text/csv"}))[0] == 415
    assert code(ask(make_app(engine), "POST", "/feedback", body, headers=JSON))[0] == 404
    other = {**JSON, "X-Model": "other"}
    assert code(ask(app, "POST", "/feedback", body, headers=other))[0] == 404


def test_too_many_waiting_requests_are_sent_away(engine, ask, make_app, monkeypatch):
    monkeypatch.setattr("lifecycle.serve.app.WAITING", 0)
    monkeypatch.setattr("lifecycle.serve.app.LONG", 1)
    answer = post(ask, make_app(engine))
    assert code(answer)[0] == 503
    assert answer[1]["retry-after"] == "1"


def test_what_the_log_could_not_take_is_counted(engine, ask, make_app):
    class Losing:
        lost = 0

        def append(self, *_arguments, **_more):
            self.lost += 1

    engine.writer = Losing()
    app = make_app(engine)
    for _ in range(3):
        assert post(ask, app)[0] == 200
    assert b"lifecycle_not_logged_rows_total 3\n" in ask(app, "GET", "/metrics")[2]


def test_an_answer_that_cannot_be_written_is_an_error_of_the_server(engine, ask, make_app):
    app = make_app(engine)

    def write(_answer):
        raise ValueError("/secret/path")

    def handler(_request):
        choice = engine.choose()
        return Asked(choice, choice.slot.decoder.json(GOOD), write)

    app.routes = Routes([Route("POST", "/invocations", handler, failure)])
    status, message = code(post(ask, app))
    assert status == 500
    assert "secret" not in message


def test_requests_that_wait_too_long_are_told(make_slot, make_app):
    gate = threading.Event()

    def answer(columns):
        assert gate.wait(20)
        return Output(columns["age"])

    engine = Engine(SlotTable().with_only(make_slot(answer=answer)), secret=b"s" * 32)
    engine.paced("churn", 7).measured(1, 5_000_000)
    app = make_app(engine, limits=Limits(queue=2, seconds=0.1))

    async def story():
        loop = asyncio.get_running_loop()
        found = []
        for _ in range(4):
            answered = loop.create_future()
            headers = {b"content-type": b"application/json"}
            app.handle(
                Request("POST", "/invocations", b"", headers, GOOD, time.perf_counter_ns()),
                answered.set_result,
            )
            found.append(answered)
            await asyncio.sleep(0.001)
        try:
            return await asyncio.wait_for(asyncio.gather(*found), 20)
        finally:
            gate.set()

    answers = asyncio.run(story())
    assert [answer.status for answer in answers] == [504, 504, 504, 503]
    codes = [json.loads(answer.body)["error_code"] for answer in answers]
    assert codes == ["DEADLINE_EXCEEDED"] * 3 + ["TEMPORARILY_UNAVAILABLE"]
    assert dict(answers[3].headers)[b"retry-after"] == b"1"
