"""Requests that nobody should send: each gets one short answer, and the next good one is served."""

import asyncio
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.config import Config
from lifecycle.models.predicting import Output
from lifecycle.serve.app import App
from lifecycle.serve.building import labeller
from lifecycle.serve.engine import Engine
from lifecycle.serve.protocols.mlflow import CODES
from lifecycle.serve.slots import SlotTable
from lifecycle.serve.wire import Request, Service
from lifecycle.stores import ids
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionLog

JSON = {"Content-Type": "application/json"}
CSV = {"Content-Type": "text/csv"}
GOOD = b'{"dataframe_records": [{"age": 50, "plan": "pro"}]}'


@pytest.fixture
def app(engine, make_app, tmp_path):
    """The application of version 7 with a real log and real labels, both in `tmp_path`."""
    config = Config().with_values(log__dir=str(tmp_path))
    return make_app(engine, add_labels=labeller(engine, config))


async def answered(app, body, headers):
    answer = asyncio.get_running_loop().create_future()
    app.handle(Request("POST", "/invocations", b"", headers, body), answer.set_result)
    return await answer


def refused(answer, *statuses):
    """The message of an error, once it has the form of all errors."""
    status, headers, body = answer
    assert status in statuses, body
    error = json.loads(body)
    assert error.keys() == {"error_code", "message"}
    assert error["error_code"] == CODES[status]
    assert headers["content-type"] == "application/json"
    assert 0 < len(error["message"]) < 1000
    assert "Traceback" not in error["message"]
    assert "/" + "tmp" not in error["message"]
    return error["message"]


def record(**cells):
    return json.dumps({"dataframe_records": [cells]}).encode()


ROW = b'{"age": 1, "plan": "x"%s}'
BODIES = {
    "empty": (b"", "the body is not JSON"),
    "null": (b"null", "not a request"),
    "a list": (b"[]", "not a request"),
    "a number": (b"7", "not a request"),
    "a text": (b'"age"', "not a request"),
    "an open object": (b'{"inputs": {"age": 1', "the body is not JSON"),
    "two values": (GOOD + GOOD, "the body is not JSON"),
    "a comma too many": (b'{"inputs": {"age": 1,}}', "the body is not JSON"),
    "not UTF-8": (b'{"inputs": {"plan": "\xff"}}', "UTF-8"),
    "UTF-16": (GOOD.decode().encode("utf-16"), "the body is not JSON"),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD, "the body is not JSON"),
    "a lone surrogate": (b'{"inputs": {"age": 1, "plan": "\\ud800"}}', "the body is not JSON"),
    "no form": (b"{}", "none of them is there"),
    "an unknown form": (b'{"rows": []}', "rows"),
    "two forms": (b'{"inputs": {"age": 1}, "instances": []}', "instances and inputs is there"),
    "no rows": (b'{"dataframe_records": []}', "no rows"),
    "no rows in columns": (b'{"inputs": {"age": [], "plan": []}}', "no rows"),
    "null for rows": (b'{"dataframe_records": null}', "the body is null, not a list"),
    "an object for rows": (b'{"dataframe_records": {"age": 1}}', "is an object, not a list"),
    "a number for a row": (b'{"dataframe_records": [7]}', "row 0 is a whole number"),
    "split without columns": (b'{"dataframe_split": {"data": [[1]]}}', "no columns"),
    "split without data": (b'{"dataframe_split": {"columns": ["age"]}}', "data"),
    "split with more": (
        b'{"dataframe_split": {"columns": [], "data": [], "x": 1}}',
        "unknown field `x`",
    ),
    "a column twice": (
        b'{"dataframe_split": {"columns": ["age", "plan", "age"], "data": [[1, "x", 2]]}}',
        "'age' is there twice",
    ),
    "a short row": (
        b'{"dataframe_split": {"columns": ["age", "plan"], "data": [[1, "x"], [1]]}}',
        "row 1 does not have one value",
    ),
    "columns of two lengths": (b'{"inputs": {"age": [1, 2], "plan": ["x"]}}', "different lengths"),
    "a key twice": (b'{"inputs": {"age": 1, "age": 2, "plan": "x"}}', "'age' is there twice"),
    "a form twice": (b'{"inputs": {"age": 1, "plan": "x"}, "inputs": {}}', ""),
    "text for a number": (record(age="31", plan="x"), "column 'age' of row 0 is text, not a num"),
    "true for a number": (record(age=True, plan="x"), "'age' of row 0 is true or false, not"),
    "a number for text": (record(age=1, plan=7), "'plan' of row 0 is a whole number, not text"),
    "null for a number": (record(age=None, plan="x"), "'age' of row 0 is null, not a number"),
    "a list for a number": (record(age=[1], plan="x"), "'age' of row 0 is a list, not a number"),
    "an object for text": (record(age=1, plan={}), "'plan' of row 0 is an object, not text"),
    "NaN": (b'{"inputs": {"age": NaN, "plan": "x"}}', "JSON has no NaN"),
    "minus infinity": (b'{"inputs": {"age": -Infinity, "plan": "x"}}', "JSON has no NaN"),
    "a number past doubles": (b'{"inputs": {"age": 1e999, "plan": "x"}}', "out of range"),
    "5,000 digits": (b'{"inputs": {"age": %s, "plan": "x"}}' % (b"9" * 5000), "out of range"),
    "a leading zero": (b'{"inputs": {"age": 007, "plan": "x"}}', "the body is not JSON"),
    "hexadecimal": (b'{"inputs": {"age": 0x1F, "plan": "x"}}', "the body is not JSON"),
    "a column too many": (record(age=1, plan="x", income=3), "column 'income' is not known"),
    "a misspelt column": (record(aeg=1, plan="x"), "did you mean 'age'"),
    "another case": (record(Age=1, plan="x"), "'Age' is not known; did you mean 'age'"),
    "a missing column": (record(plan="x"), "column 'age' is missing"),
    "an endless name": (record(**{"a" * 50_000: 1}), "is not known"),
    "a name with a path in it": (record(**{"x` - at `$[0].age": 1}), "is not known"),
    "a name of escapes": (record(**{"\x1b[2J\n\r\0": 1}), "is not known"),
    "__class__": (record(__class__="x", age=1, plan="x"), "'__class__' is not known"),
    "a time that is none": (b'{"dataframe_records": [%s]}' % (ROW % b', "ts": "soon"'), "no time"),
    "a time past calendars": (
        b'{"dataframe_records": [%s]}' % (ROW % b', "ts": 9e99'),
        "is no time",
    ),
    "a list for a key": (b'{"dataframe_records": [%s]}' % (ROW % b', "id": [1]'), "'id' of row 0"),
    "params": (
        b'{"inputs": {"age": 1, "plan": "x"}, "params": {"p": 1}}',
        "takes no params",
    ),
    "params of another form": (b'{"inputs": {"age": 1, "plan": "x"}, "params": 7}', "params"),
    "deep lists": (b'{"inputs": ' + b"[" * 90_000, ""),
    "deep objects": (b'{"inputs": ' + b'{"a":' * 15_000, ""),
    "a deep extra": (
        b'{"dataframe_records": [{"age": 1, "plan": "x", "churned": %s%s}]}'
        % (b"[" * 40_000, b"]" * 40_000),
        "",
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_no_model_should_see(app, ask, name, tmp_path):
    body, said = BODIES[name]
    message = refused(ask(app, "POST", "/invocations", body, headers=JSON), 400)
    assert said in message
    assert message.isprintable() or name == "params"  # it goes to terminals
    assert ask(app, "POST", "/invocations", GOOD, headers=JSON)[0] == 200
    assert len(PredictionLog(tmp_path).read("churn")) == 1  # of the good one alone
    assert app.engine.figures.requests == {("churn", 7, 200): 1}
    assert app.engine.figures.refused == {("/invocations", 400): 1}


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("X-Model", "other", 404),
        ("X-Model", "Churn", 404),
        ("X-Model", "churn/7", 404),
        ("X-Model", "m" * 5000, 404),
        ("X-Model", "../../etc/passwd", 404),
        ("X-Model-Version", "8", 404),
        ("X-Model-Version", "0", 404),
        ("X-Model-Version", "-7", 400),
        ("X-Model-Version", "7.0", 400),
        ("X-Model-Version", " 7", 400),
        ("X-Model-Version", "7" * 5000, 400),
        ("X-Model-Version", "champion", 400),
        ("X-Model-Version", "\u0667", 400),
        ("Content-Type", "application/jsonx", 415),
        ("Content-Type", "application/json; charset=utf-16", 415),
        ("Content-Type", "multipart/form-data; boundary=x", 415),
        ("Content-Type", ";" * 5000, 415),
        ("Content-Type", "application/json, text/csv", 415),
    ],
)
def test_a_header_that_means_nothing_here(app, ask, name, value, status):
    answer = ask(app, "POST", "/invocations", GOOD, headers={**JSON, name: value})
    refused(answer, status)
    assert ask(app, "POST", "/invocations", GOOD, headers=JSON)[0] == 200


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Content-Type", "APPLICATION/JSON"),
        ("Content-Type", 'application/json;charset="UTF-8"'),
        ("Content-Type", " application/json ; charset=utf8 ;"),
        ("X-Model", ""),
        ("X-Model-Version", ""),
        ("X-Model-Version", "007"),
        ("X-Routing-Key", ""),
        ("X-Routing-Key", "k" * 10_000),
        ("X-Routing-Key", "顧客 7; drop table\t"),
        ("X-Unknown", "\x7f"),
    ],
)
def test_a_header_that_does_no_harm(app, ask, name, value):
    answer = ask(app, "POST", "/invocations", GOOD, headers={**JSON, name: value})
    assert (answer[0], answer[2]) == (200, b'{"predictions":["yes"]}')


def test_bytes_in_a_header_that_are_no_text(app, tmp_path):
    headers = {b"content-type": b"application/json", b"x-routing-key": b"\xff\xfe\x80"}
    assert asyncio.run(answered(app, GOOD, headers)).status == 200
    assert PredictionLog(tmp_path).read("churn")["key"].to_list() == ["\ufffd" * 3]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "", 404),
        ("GET", "//", 404),
        ("POST", "/invocations/", 404),
        ("POST", "/Invocations", 404),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "/ping\x00", 404),
        ("GET", "/" + "a" * 50_000, 404),
        ("GET", "/\x1b[2J", 404),
        ("TRACE", "/ping", 405),
        ("invocations", "/invocations", 405),
        ("HEAD", "/invocations", 405),
        ("POST", "/metrics", 405),
        ("PUT", "/feedback", 405),
    ],
)
def test_a_path_that_is_not_there(app, ask, method, path, status):
    message = refused(ask(app, method, path, GOOD, headers=JSON), status)
    assert message.isprintable()
    # no stranger can fill the figures with names
    known = {"/ping", "/metrics", "/invocations", "/feedback", "other"}
    assert {place for place, _ in app.engine.figures.refused} <= known


CSVS = {
    "empty": (b"", "no header"),
    "blank lines": (b"\n\r\n\n", "no header"),
    "a header alone": (b"age,plan\n", "no rows"),
    "another separator": (b"age;plan\n1;x\n", "'age;plan' is not known"),
    "no header": (b"31,pro\n32,plus\n", "'31' is not known"),
    "a short row": (b"age,plan\n1,x\n2\n", "row 1 has 1 values, the header has 2"),
    "a long row": (b"age,plan\n1,x,y\n", "row 0 has 3 values"),
    "a column twice": (b"age,age,plan\n1,1,x\n", "'age' is there twice"),
    "an open quote": (b'age,plan\n1,"x\n', "unexpected end of data"),
    "letters after a quote": (b'age,plan\n1,"x"y\n', "not CSV"),
    "a digit of another script": ("age,plan\n\u0661,x\n".encode(), "not a finite number"),
    "a digit of full width": ("age,plan\n\uff11,x\n".encode(), "not a finite number"),
    "underscores": (b"age,plan\n1_000,x\n", "'1_000', not a finite number"),
    "hexadecimal": (b"age,plan\n0x10,x\n", "'0x10', not a finite number"),
    "infinity": (b"age,plan\n-inf,x\n", "not a finite number"),
    "a number past doubles": (b"age,plan\n1e999,x\n", "not a finite number"),
    "400 digits": (b"age,plan\n" + b"9" * 400 + b",x\n", "not a finite number"),
    "NULL": (b"age,plan\nNULL,x\n", "'NULL', not a finite number"),
    "an empty field": (b"age,plan\n,x\n", "column 'age' of row 0 is empty"),
    "nan where none may be": (b"age,plan\nnan,x\n", "column 'age' of row 0 is empty"),
    "empty text": (b'age,plan\n1,""\n', "column 'plan' of row 0 is empty"),
    "UTF-16": ("age,plan\n1,x\n".encode("utf-16"), "UTF-8"),
    "latin 1": ("age,plan\n1,Köln\n".encode("latin-1"), "UTF-8"),
    "a time that is none": (b"age,plan,ts\n1,x,soon\n", "is no time: 'soon'"),
}


@pytest.mark.parametrize("name", CSVS)
def test_a_table_that_no_model_should_see(app, ask, name):
    body, said = CSVS[name]
    message = refused(ask(app, "POST", "/invocations", body, headers=CSV), 400)
    assert said in message
    assert message.isprintable()


@given(body=st.binary(max_size=60), kind=st.sampled_from(["application/json", "text/csv"]))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_rows_or_one_clear_error(ask_once, body, kind):
    status, _, content = ask_once(body, kind)
    assert status in {200, 400}
    assert json.loads(content).keys() in ({"predictions"}, {"error_code", "message"})


@given(cut=st.integers(0, len(GOOD)), junk=st.binary(max_size=6))
@settings(max_examples=80, deadline=None)
def test_a_good_body_with_a_hole_is_never_a_crash(ask_once, cut, junk):
    status, _, _ = ask_once(GOOD[:cut] + junk + GOOD[cut + len(junk) :], "application/json")
    assert status in {200, 400}


@pytest.fixture(scope="module")
def ask_once(one_slot):
    """`ask_once(body, kind)` of an application without a log."""
    app = App(Service(Engine(SlotTable().with_only(one_slot), secret=b"s" * 32)))

    def ask(body, kind):
        answer = asyncio.run(answered(app, body, {b"content-type": kind.encode()}))
        return answer.status, answer.headers, answer.body

    yield ask
    app.close()


# labels -----------------------------------------------------------------------------------------


def token(engine, **changes):
    given = {"model": "churn", "version": 7, "time": 1_760_000_000_000_000}
    return ids.issue(engine.secret, **{**given, **changes})


BAD_LABELS = {
    "nothing": {},
    "a label of nothing": {"label": "yes"},
    "an id without a label": {"prediction_id": "$"},
    "an id that is none": {"prediction_id": "x", "label": "yes"},
    "an empty id": {"prediction_id": "", "label": "yes"},
    "an endless id": {"prediction_id": "A" * 50_000, "label": "yes"},
    "a number for an id": {"prediction_id": 7, "label": "yes"},
    "an id with a row too many": {"prediction_id": "$.1", "label": "yes"},
    "an id with a spare letter": {"prediction_id": "$A", "label": "yes"},
    "an id with padding": {"prediction_id": "$=", "label": "yes"},
    "two labels": {"prediction_id": "$", "label": "yes", "churned": "no"},
    "a label of another type": {"prediction_id": "$", "label": 1},
    "a label past 64 bits": {"prediction_id": "$", "label": 10**30},
    "a label past 128 bits": {"prediction_id": "$", "label": 10**60},
    "a key that was never seen": {"id": "c1", "label": "yes"},
    "a key past 64 bits": {"id": 10**30, "label": "yes"},
    "a key past all integers": {"id": 1e300, "label": "yes"},
    "a time that is none": {"id": "c1", "ts": "soon", "label": "yes"},
    "true for a time": {"id": "c1", "ts": True, "label": "yes"},
    "the first of all times": {"id": "c1", "ts": "0001-01-01T00:00:00", "label": "yes"},
    "the last of all times": {"id": "c1", "ts": "9999-12-31T23:59:59.999999", "label": "yes"},
    "a time past calendars": {"id": "c1", "ts": 2**62, "label": "yes"},
    "a time before calendars": {"id": "c1", "ts": -(2**62), "label": "yes"},
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_a_label_that_cannot_be_is_refused_whole(app, ask, engine, name, tmp_path):
    good = token(engine)
    bad = {
        key: cell.replace("$", token(engine)) if isinstance(cell, str) else cell
        for key, cell in BAD_LABELS[name].items()
    }
    answer = ask(app, "POST", "/feedback", json.dumps(bad).encode(), headers=JSON)
    message = refused(answer, 400)
    assert message.isprintable()
    if "prediction_id" in bad:
        both = {"labels": [{"prediction_id": good, "label": "yes"}, bad]}
        refused(ask(app, "POST", "/feedback", json.dumps(both).encode(), headers=JSON), 400)
        assert len(LabelStore(tmp_path).read("churn")) == 0
    one = json.dumps({"prediction_id": good, "label": "yes"}).encode()
    assert json.loads(ask(app, "POST", "/feedback", one, headers=JSON)[2]) == {"accepted": 1}
    assert engine.figures.labels == {"churn": 1}


def test_an_id_of_another_model_or_server_is_refused(app, ask, engine):
    for stranger in (
        token(engine, model="late"),
        ids.issue(b"o" * 32, model="churn", version=7, time=0),
    ):
        body = json.dumps({"prediction_id": stranger, "label": "yes"}).encode()
        refused(ask(app, "POST", "/feedback", body, headers=JSON), 400)


def test_a_label_comes_back_to_its_prediction(app, ask, tmp_path):
    _, headers, _ = ask(app, "POST", "/invocations", GOOD, headers=JSON)
    prediction = headers["x-prediction-id"]
    body = json.dumps({"prediction_id": prediction, "label": "no"}).encode()
    for accepted in (1, 0):  # sent again it is known, and no error
        answer = ask(app, "POST", "/feedback", body, headers=JSON)
        assert json.loads(answer[2]) == {"accepted": accepted}
    stored = LabelStore(tmp_path).read("churn")
    assert stored["prediction_id"].to_list() == [prediction]
    assert stored["label"].to_list() == ["no"]
    other = body.replace(b'"no"', b'"yes"')
    message = refused(ask(app, "POST", "/feedback", other, headers=JSON), 400)
    assert "contradict" in message


# models -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (np.array([float("nan")]), b"[null]"),
        (np.array([float("-inf")]), b"[null]"),
        (np.array([2**62]), b"[4611686018427387904]"),
        (np.array([None], dtype=object), b"[null]"),
        (np.array([True]), b"[true]"),
        (np.array(["ä\n"], dtype=object), '["ä\\n"]'.encode()),
        (np.array(["2026-01-01"], dtype="datetime64[s]"), b'["2026-01-01T00:00:00"]'),
        (np.array([{"a": np.float32(0.5)}], dtype=object), b'[{"a":0.5}]'),
        (np.array([0.1], dtype=np.float32), b"[0.10000000149011612]"),
    ],
)
def test_whatever_a_model_answers_is_json(make_slot, make_app, ask, answer, body):
    slot = make_slot(answer=lambda _columns: Output(answer))
    app = make_app(Engine(SlotTable().with_only(slot), secret=b"s" * 32))
    status, _, content = ask(app, "POST", "/invocations", GOOD, headers=JSON)
    assert (status, content) == (200, b'{"predictions":%s}' % body)


@pytest.mark.parametrize(
    "raised", [ValueError("x"), MemoryError(), RecursionError(), KeyError("/secret"), StopIteration]
)
def test_whatever_a_model_raises_is_an_error_id(make_slot, make_app, ask, raised):
    def answer(_columns):
        raise raised

    app = make_app(Engine(SlotTable().with_only(make_slot(answer=answer)), secret=b"s" * 32))
    answer = ask(app, "POST", "/invocations", GOOD, headers=JSON)
    message = refused(answer, 500)
    assert answer[1]["x-prediction-id"] in message
    assert "secret" not in message
