"""Requests that other servers stumble over, and good ones with something wrong put into them."""

import asyncio
import copy
import io
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Column, ModelSpec
from lifecycle.serve.app import App
from lifecycle.serve.engine import Engine
from lifecycle.serve.slots import SlotTable, slot
from lifecycle.serve.wire import Request, Service
from lifecycle.stores.predictions import PredictionLog, PredictionWriter

JSON = "application/json"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
SPEC = ModelSpec(
    1,
    "regression",
    (
        Column("age", "double"),
        Column("calls", "long"),
        Column("plan", "string"),
        Column("paperless", "boolean"),
        Column("since", "datetime", required=False),
        Column("income", "float", required=False),
    ),
    time="ts",
    key="id",
)
ROW = {
    "age": 31.5,
    "calls": 2,
    "plan": "pro",
    "paperless": True,
    "since": "2026-01-31T12:00:00",
    "income": 0.5,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """An application with a prediction log, and the log."""
    folder = tmp_path_factory.mktemp("log")
    model = LoadedModel(SPEC, "sklearn", lambda columns: Output(columns["age"] * 2))
    with PredictionWriter(folder, background=False) as writer:
        engine = Engine(SlotTable().with_only(slot("m", model)), secret=b"s" * 32, writer=writer)
        app = App(Service(engine))
        yield app, PredictionLog(folder)
        app.close()


@pytest.fixture(scope="module")
def ask(world):
    """`ask(body, kind, path)` -> status and JSON; afterwards a good request is served."""

    async def one(path, body, headers):
        answer = asyncio.get_running_loop().create_future()
        world[0].handle(Request("POST", path, b"", headers, body), answer.set_result)
        return await asyncio.wait_for(answer, 30)

    def run(body, kind=JSON, path="/invocations"):
        headers = {b"content-type": kind.encode()} if kind else {}
        answer = asyncio.run(one(path, body, headers))
        good = asyncio.run(
            one("/invocations", records(ROW), {b"content-type": b"application/json"})
        )
        assert (good.status, good.body) == (200, b'{"predictions":[63.0]}')
        content = json.loads(answer.body)
        text = answer.body.decode()
        assert "Traceback" not in text
        assert ".py" not in text
        assert "/" + "tmp" not in text
        return answer.status, content

    return run


def records(*rows):
    return json.dumps({"dataframe_records": list(rows)}).encode()


def split(*rows, columns=tuple(ROW)):
    return json.dumps({"dataframe_split": {"columns": columns, "data": rows}}).encode()


def cell(name, value):
    """A body with one cell in it as it is written here."""
    return records({**ROW, name: "HERE"}).replace(b'"HERE"', value)


def without(name):
    return {key: value for key, value in ROW.items() if key != name}


def infer(*tensors):
    return json.dumps({"inputs": tensors}).encode()


def tensor(name, shape, datatype, data):
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


V2 = [
    tensor("age", [2], "FP64", [1.5, 2.5]),
    tensor("calls", [2], "INT64", [1, 2]),
    tensor("plan", [2], "BYTES", ["a", "b"]),
    tensor("paperless", [2], "BOOL", [True, False]),
]

# what three other servers answer with 5xx, a stack trace or something silently wrong
HOSTILE = {
    "no content type": (records(ROW), "", 415, "content type"),
    "another content type": (records(ROW), "text/xml", 415, "content type"),
    "another charset": (records(ROW), "application/json; charset=utf-16", 415, "UTF-8"),
    "lists, 100,000 deep": (b'{"inputs": ' + b"[" * 100_000, JSON, 400, "nested too deeply"),
    "objects, 100,000 deep": (b'{"inputs": ' + b'{"a":' * 100_000, JSON, 400, "nested too deeply"),
    "deep lists that end": (
        b'{"inputs": {"age": ' + b"[" * 50_000 + b"]" * 50_000 + b"}}",
        JSON,
        400,
        "",
    ),
    "a missing column": (records(without("age")), JSON, 400, "column 'age' is missing"),
    "a missing column of a split": (
        split(list(without("calls").values()), columns=list(without("calls"))),
        JSON,
        400,
        "column 'calls' is missing",
    ),
    "a missing column in one of two rows": (
        records(ROW, without("plan")),
        JSON,
        400,
        "column 'plan' is missing in row 1",
    ),
    "text for a number": (cell("age", b'"old"'), JSON, 400, "column 'age' of row 0 is text"),
    "a number as text": (cell("age", b'"31.5"'), JSON, 400, "column 'age' of row 0 is text"),
    "a list for a number": (cell("age", b"[1]"), JSON, 400, "column 'age' of row 0 is a list"),
    "an object for text": (cell("plan", b'{"a": 1}'), JSON, 400, "column 'plan' of row 0"),
    "a number for text": (cell("plan", b"7"), JSON, 400, "column 'plan' of row 0"),
    "true for a number": (cell("age", b"true"), JSON, 400, "column 'age' of row 0"),
    "true for a whole number": (cell("calls", b"true"), JSON, 400, "column 'calls' of row 0"),
    "1 for true": (cell("paperless", b"1"), JSON, 400, "column 'paperless' of row 0"),
    "text for true": (cell("paperless", b'"true"'), JSON, 400, "column 'paperless' of row 0"),
    "a fraction for a whole number": (cell("calls", b"2.5"), JSON, 400, "column 'calls' of row 0"),
    "a whole number past 64 bits": (cell("calls", b"9" * 30), JSON, 400, "column 'calls'"),
    "a float past 32 bits": (cell("income", b"1e39"), JSON, 400, "column 'income' of row 0"),
    "null in a required column": (cell("age", b"null"), JSON, 400, "column 'age' of row 0 is null"),
    "NaN in a required column": (cell("age", b"NaN"), JSON, 400, "column 'age' is NaN"),
    "Infinity": (cell("age", b"Infinity"), JSON, 400, "column 'age' is Infinity"),
    "-Infinity": (cell("age", b"-Infinity"), JSON, 400, "column 'age' is -Infinity"),
    "1e400": (cell("age", b"1e400"), JSON, 400, "column 'age' of row 0 is a number out of range"),
    "a key twice": (cell("age", b'1, "age": 2'), JSON, 400, "'age' is there twice"),
    "no rows": (records(), JSON, 400, "no rows"),
    "no rows of a split": (split(), JSON, 400, "no rows"),
    "a ragged row": (split(list(ROW.values()), [1.5, 2]), JSON, 400, "row 1"),
    "a row too long": (split([*ROW.values(), 1]), JSON, 400, "row 0"),
    "an unknown column": (records({**ROW, "aeg": 1}), JSON, 400, "'aeg' is not known"),
    "a time that is none": (cell("since", b'"soon"'), JSON, 400, "column 'since' of row 0"),
    "a time past pandas": (cell("since", b'"9999-01-01"'), JSON, 400, "column 'since' of row 0"),
    "half of a body": (records(ROW)[:40], JSON, 400, "not JSON"),
    "no body": (b"", JSON, 400, "not JSON"),
    "a list": (b"[1, 2]", JSON, 400, "not a request"),
    "a short row of a table": (b"age,calls\n1\n", CSV, 400, "row 0 has 1 values"),
    "an empty field": (b"age,calls,plan,paperless\n,1,a,true\n", CSV, 400, "column 'age'"),
    "what is no Parquet": (b"PAR1" + b"\x00" * 40 + b"PAR1", PARQUET, 400, "not Parquet"),
}


def test_there_are_at_least_34_of_them():
    assert len(HOSTILE) >= 34


@pytest.mark.parametrize("name", HOSTILE)
def test_each_hostile_request_is_told_what_is_wrong(ask, world, name):
    body, kind, status, said = HOSTILE[name]
    before = len(world[1].read("m"))
    found, content = ask(body, kind)
    assert found == status
    assert said in content["message"]
    assert len(content["message"]) < 500
    assert len(world[1].read("m")) == before + 1  # the good one alone


@pytest.mark.parametrize(
    "shape", [[3], [1], [0], [2, 2], [-1], [2, 1, 1, 5], [2**63], []], ids=lambda shape: f"{shape}"
)
def test_a_shape_that_contradicts_its_data(ask, shape):
    wrong = [tensor("age", shape, "FP64", [1.5, 2.5]), *V2[1:]]
    status, content = ask(infer(*wrong), path="/v2/models/m/infer")
    assert status == 400
    assert "'age'" in content["error"]
    assert ask(infer(*V2), path="/v2/models/m/infer")[0] == 200


CELL = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["31", "2026-01-31", "columns", "data", "age", "\ud800", "\x00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)
BODIES = {
    "records": {"dataframe_records": [ROW, {**ROW, "ts": "2026-02-01", "id": "c7"}]},
    "split": {"dataframe_split": {"columns": list(ROW), "data": [list(ROW.values())] * 2}},
    "instances": {"instances": [ROW, ROW]},
    "lists": {"instances": [list(ROW.values())] * 2},
    "inputs": {"inputs": {name: [value] * 2 for name, value in ROW.items()}},
}


def places(value, path=()):
    """The paths of all nodes of a JSON value."""
    yield path
    parts = ()
    if isinstance(value, (dict, list)):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        yield from places(part, (*path, key))


def changed(body, path, how, value):
    """The body with one node replaced, taken out, doubled or renamed."""
    if not path:
        return value
    body = copy.deepcopy(body)
    parent = body
    for key in path[:-1]:
        parent = parent[key]
    key = path[-1]
    if how == "replace":
        parent[key] = value
    elif how == "drop":
        del parent[key]
    elif isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    else:
        parent[str(value)] = parent.pop(key) if how == "rename" else parent[key]
    return body


def sound(status, content):
    """Whether an answer is one prediction a row, or one clear error."""
    if status == 200:
        return all(isinstance(item, (float, int)) for item in content["predictions"])
    return status == 400 and content["message"].isprintable() and len(content["message"]) < 900


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_a_good_body_with_one_node_changed(ask, data):
    body = BODIES[data.draw(st.sampled_from(list(BODIES)))]
    path = data.draw(st.sampled_from(list(places(body))))
    how = data.draw(st.sampled_from(["replace", "replace", "drop", "double", "rename"]))
    sent = changed(body, path, how, data.draw(CELL))
    status, content = ask(json.dumps(sent).encode())
    assert sound(status, content)
    if status == 200:
        assert 1 <= len(content["predictions"]) <= 3


def table(write):
    buffer = io.BytesIO()
    frame = pd.DataFrame([ROW, ROW]).assign(since=pd.Timestamp("2026-01-31T12:00:00"))
    frame["income"] = frame["income"].astype(np.float32)
    getattr(frame, write)(buffer, index=False)
    return buffer.getvalue()


WHOLE = {
    "json": (JSON, json.dumps(BODIES["records"]).encode()),
    "csv": (CSV, table("to_csv")),
    "parquet": (PARQUET, table("to_parquet")),
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_bodies_are_served(ask, name):
    kind, body = WHOLE[name]
    assert ask(body, kind) == (200, {"predictions": [63.0, 63.0]})


@pytest.mark.parametrize("name", WHOLE)
def test_bodies_that_broke_on_the_way(ask, name):
    kind, whole = WHOLE[name]

    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def broken(data):
        body = bytearray(whole)
        for _ in range(data.draw(st.integers(1, 3))):
            place = data.draw(st.integers(0, len(body) - 1))
            how = data.draw(st.sampled_from(["flip", "cut", "drop", "insert"]))
            if how == "flip":
                body[place] ^= data.draw(st.integers(1, 255))
            elif how == "cut":
                del body[max(place, 1) :]
            elif how == "drop":
                del body[place : place + data.draw(st.integers(1, 4))]
            else:
                body[place:place] = data.draw(st.binary(max_size=4))
            if not body:
                break
        status, content = ask(bytes(body), kind)
        assert sound(status, content)

    broken()
