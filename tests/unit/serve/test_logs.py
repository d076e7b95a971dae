"""Log lines as JSON, ids that link, and what leaves the server when something fails inside."""

import io
import json
import logging
import re
import subprocess
import sys

import pytest

from lifecycle import errors
from lifecycle.errors import LifecycleError, LogError
from lifecycle.serve import logs
from lifecycle.serve.wire import Chore, Request, Response, Route, Routes

JSON = {"Content-Type": "application/json"}
GOOD = b'{"dataframe_records": [{"age": 50, "plan": "pro"}]}'
SECRET_PLACE = "/secret/place/model.skops"


@pytest.fixture
def lines():
    """What a JSON log holds, as objects."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Lines())
    logger = logging.getLogger("lifecycle")
    logger.addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)


# lines ------------------------------------------------------------------------------------------


def test_a_line_is_one_object_whatever_the_message():
    # half a character cannot be written as UTF-8; pytest would keep it, and fail to send it on
    given = {"msg": "a\nb \x00 \ud83d %s", "args": ('"x"',), "levelname": "WARNING", "process": 1}
    given["name"] = "lifecycle.serve"
    line = logs.Lines().format(logging.makeLogRecord(given))
    assert line.encode().count(b"\n") == 0
    line = json.loads(line)
    assert line["level"] == "warning"
    assert line["event"] == "log"
    assert line["message"].startswith("a\nb")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])
    assert line["pid"] == 1


def test_what_is_known_beside_the_message_is_a_field(lines):
    more = {name: name.upper() for name in logs.FIELDS}
    logging.getLogger("lifecycle.serve").error("x", extra={**more, "event": "odd", "other": 1})
    (line,) = lines()
    assert {name: line[name] for name in more} == more
    assert line["event"] == "odd"
    assert "other" not in line


def test_an_exception_stands_in_its_line(lines):
    try:
        raise ValueError("deep\ninside")
    except ValueError:
        logging.getLogger("lifecycle.serve").exception("failed")
    (line,) = lines()
    assert "Traceback" in line["exception"]
    assert "deep\ninside" in line["exception"]


SETUP = """
import logging, sys, warnings
from lifecycle.serve.logs import say, set_up
for _ in range(2):
    set_up(sys.argv[1])
say("serving churn", event="ready")
logging.getLogger("lifecycle.serve").warning("swapped")
logging.getLogger("lifecycle.serve").info("detail")
logging.getLogger("other").error("theirs")
if sys.argv[1] == "json":
    warnings.warn("odd")
"""


@pytest.mark.parametrize("kind", ["text", "json"])
def test_a_process_writes_one_kind_of_lines(kind):
    done = subprocess.run(
        [sys.executable, "-c", SETUP, kind], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    said = done.stderr.splitlines()
    if kind == "text":
        assert said == ["serving churn", "WARNING swapped", "ERROR theirs"]
        return
    *found, warned = [json.loads(line) for line in said]
    assert (warned["logger"], "odd" in warned["message"]) == ("py.warnings", True)
    assert [(line["event"], line["message"]) for line in found] == [
        ("ready", "serving churn"), ("log", "swapped"), ("log", "detail"), ("log", "theirs"),
    ]  # fmt: skip
    assert found[3]["logger"] == "other"


# ids of requests --------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", ["r-1", "0", "!~" * 64])
def test_a_request_id_is_echoed(engine, make_app, ask, sent):
    app, headers = make_app(engine), {**JSON, "X-Request-Id": sent}
    assert ask(app, "POST", "/invocations", GOOD, headers=headers)[1]["x-request-id"] == sent
    assert ask(app, "POST", "/invocations", b"{", headers=headers)[1]["x-request-id"] == sent
    assert ask(app, "GET", "/nothing", headers=headers)[1]["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", " ", "a b", "x" * 129, "ä", "a\r\nSet-Cookie: b", "\x7f"])
def test_an_id_that_is_none_is_left_aside(engine, make_app, ask, sent):
    answered = ask(make_app(engine), "GET", "/ping", headers={"X-Request-Id": sent})
    assert answered[0] == 200
    assert "x-request-id" not in answered[1]


def test_without_an_id_none_is_made_up(engine, make_app, ask):
    assert "x-request-id" not in ask(make_app(engine), "GET", "/ping")[1]


def test_the_answer_that_routes_share_is_not_written_on():
    shared, got = Response(200, b"x"), []
    request = Request("GET", "/", headers={b"x-request-id": b"r"})
    logs.echoed(request, got.append)(shared)
    assert shared.headers == ()
    assert got[0].headers == ((b"x-request-id", b"r"),)


def test_a_failed_request_is_linked_to_its_prediction(engine, make_app, ask, lines):
    body = b'{"dataframe_records": [{"age": 99, "plan": "pro"}]}'
    headers = {**JSON, "X-Request-Id": "r-7"}
    status, found, _ = ask(make_app(engine), "POST", "/invocations", body, headers=headers)
    assert status == 500
    (line,) = [line for line in lines() if line["event"] == "request_failed"]
    assert line["request_id"] == "r-7"
    assert line["prediction_id"] == found["x-prediction-id"]
    assert line["status"] == 500
    assert line["latency_ms"] > 0
    assert any(found["x-prediction-id"] in other["message"] for other in lines()[:-1])


def test_what_succeeds_or_is_refused_makes_no_line(engine, make_app, ask, lines):
    headers = {**JSON, "X-Request-Id": "r-7"}
    assert ask(make_app(engine), "POST", "/invocations", GOOD, headers=headers)[0] == 200
    assert ask(make_app(engine), "POST", "/invocations", b"{", headers=headers)[0] == 400
    assert lines() == []


# what leaves the server -------------------------------------------------------------------------


def every_error():
    """One of each error that there is, with a path in every part of it."""
    kinds = [LifecycleError, *_below(LifecycleError)]
    for kind in kinds:
        if kind is errors.MissingExtra:
            yield kind(SECRET_PLACE, extra="x", purpose="y")
        elif kind is errors.PredictionFailed:
            yield kind("the model failed", error_id="p1", where="churn/7")
        elif kind is errors.GateRefused:
            continue  # holds a report; no route promotes
        else:
            yield kind(f"{SECRET_PLACE} is odd", where=SECRET_PLACE, fix=f"see {SECRET_PLACE}")
    yield from (ValueError(SECRET_PLACE), OSError(2, "gone", SECRET_PLACE), KeyError(SECRET_PLACE))
    yield from (MemoryError(SECRET_PLACE), RecursionError(SECRET_PLACE), AssertionError())


def _below(kind):
    return [one for below in kind.__subclasses__() for one in (below, *_below(below))]


ERRORS = list(every_error())


@pytest.mark.parametrize("error", ERRORS, ids=[type(error).__name__ for error in ERRORS])
def test_no_error_tells_of_the_inside(engine, make_app, ask, lines, error):
    app = make_app(engine)

    def fails():
        raise error

    failure = app.routes.known("/invocations").failure
    at_once = Route("GET", "/at-once", lambda _request: fails(), failure)
    app.routes = Routes([at_once, Route("GET", "/chore", lambda _request: Chore(fails), failure)])
    for path in ("/at-once", "/chore"):
        status, headers, body = ask(app, "GET", path, headers={"X-Request-Id": "r-1"})
        said = body.decode() + str(headers)
        assert 400 <= status < 600
        assert "secret" not in said
        assert "Traceback" not in said
        assert ".py" not in said
        assert set(json.loads(body)) == {"error_code", "message"}
        if status < 500 or isinstance(error, errors.PredictionFailed):
            continue
        error_id = headers["x-error-id"]
        assert error_id in json.loads(body)["message"]
        whole = [line for line in lines() if line.get("error_id") == error_id]
        assert [line["event"] for line in whole] == ["error", "request_failed"]
        assert "Traceback" in whole[0]["exception"]
        assert type(error).__name__ in whole[0]["exception"]


def test_a_log_that_cannot_be_written_asks_to_send_again(engine, make_app, ask):
    app = make_app(engine)

    def fails(_request):
        raise LogError("disk full", where=SECRET_PLACE)

    failure = app.routes.known("/invocations").failure
    app.routes = Routes([Route("GET", "/fails", fails, failure)])
    status, headers, body = ask(app, "GET", "/fails")
    assert (status, headers["retry-after"]) == (503, "1")
    assert "send it again" in json.loads(body)["message"]


def test_a_model_that_raises_tells_only_its_id(engine, make_app, ask, lines):
    body = b'{"dataframe_records": [{"age": 99, "plan": "pro"}]}'
    status, headers, said = ask(make_app(engine), "POST", "/invocations", body, headers=JSON)
    assert status == 500
    assert b"secret" not in said
    assert b"ZeroDivision" not in said
    assert headers["x-prediction-id"] in said.decode()
    assert "no one is 99 in /secret/path" in json.dumps(lines())
