"""Every row of PROTOCOLS: the same numbers for the same rows, errors in its own form, no 5xx."""

import asyncio
import io
import json
import struct
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from lifecycle.models.loading import from_estimator
from lifecycle.records import Column, ModelSpec
from lifecycle.serve.app import PROTOCOLS, App
from lifecycle.serve.engine import Engine
from lifecycle.serve.slots import SlotTable, slot
from lifecycle.serve.wire import Request, Service

COLUMNS = (
    Column("age", "double"),
    Column("calls", "long"),
    Column("plan", "string"),
    Column("paperless", "boolean"),
)
NAMES = [column.name for column in COLUMNS]
DATATYPES = {"age": "FP64", "calls": "INT64", "plan": "BYTES", "paperless": "BOOL"}
TRAINING = pd.DataFrame(
    {
        "age": [20.5, 33.0, 47.25, 61.0, 28.0, 55.5] * 5,
        "calls": [0, 1, 4, 3, 2, 5] * 5,
        "plan": ["basic", "pro", "plus", "pro", "basic", "plus"] * 5,
        "paperless": [True, False, True, True, False, False] * 5,
    }
)
# asked of the server itself, or described: they predict nothing
SILENT = {"operations", "watching", "openapi", "hooks"}


def model(name, estimator, target, *, classes=(), method="predict"):
    encode = make_column_transformer((OneHotEncoder(), ["plan"]), remainder="passthrough")
    fitted = make_pipeline(encode, estimator).fit(TRAINING, target)
    task = "binary" if classes else "regression"
    spec = ModelSpec(1, task, COLUMNS, key="id", classes=classes)
    return slot(name, from_estimator(fitted, spec, method=method))


def asked(app, method, path, body=b"", headers=None):
    """Status, headers and body of an answer."""

    async def run():
        done = asyncio.get_running_loop().create_future()
        raw = {name.lower().encode(): value.encode() for name, value in (headers or {}).items()}
        request = Request(method, path, b"", raw, body, time.perf_counter_ns())
        app.handle(request, done.set_result)
        return await asyncio.wait_for(done, 30)

    answer = asyncio.run(run())
    return answer.status, dict(answer.headers), answer.body


@pytest.fixture(scope="module")
def app():
    """Labels, a number, and probabilities."""
    labels = np.array(["no", "yes", "no", "yes", "yes", "no"] * 5)
    table = SlotTable()
    logistic = LogisticRegression(max_iter=5000)
    for one in (
        model("labels", logistic, labels, classes=("no", "yes")),
        model("number", LinearRegression(), TRAINING["age"] * 2 + TRAINING["calls"]),
        model("both", logistic, labels, classes=("no", "yes"), method="predict_proba"),
    ):
        table = table.with_only(one)
    made = App(Service(Engine(table, secret=b"s" * 32), max_body=1 << 20))
    yield made
    made.close()


def texts(items):
    encoded = [item.encode() for item in items]
    return b"".join(struct.pack("<I", len(item)) + item for item in encoded)


def tensors(rows, shape):
    return [
        {
            "name": name,
            "datatype": DATATYPES[name],
            "shape": shape,
            "data": [[row[name]] for row in rows]
            if len(shape) > 1
            else [row[name] for row in rows],
        }
        for name in NAMES
    ]


def json_of(value):
    return json.dumps(value).encode(), {}


def binary(rows):
    parts, inputs = [], []
    for name in NAMES:
        cells = [row[name] for row in rows]
        if name == "plan":
            parts.append(texts(cells))
        else:
            parts.append(
                np.array(cells, {"age": "<f8", "calls": "<i8", "paperless": "?"}[name]).tobytes()
            )
        inputs.append(
            {
                "name": name,
                "datatype": DATATYPES[name],
                "shape": [len(rows)],
                "parameters": {"binary_data_size": len(parts[-1])},
            }
        )
    head = json.dumps({"inputs": inputs}).encode()
    return head + b"".join(parts), {"Inference-Header-Content-Length": str(len(head))}


def mlflow(value):
    return json.dumps(value).encode(), {"Content-Type": "application/json"}


def csv(rows):
    buffer = io.StringIO()
    pd.DataFrame(rows)[NAMES].to_csv(buffer, index=False)
    return buffer.getvalue().encode(), {"Content-Type": "text/csv"}


def columns(rows):
    return {name: [row[name] for row in rows] for name in NAMES}


def lists(rows):
    return [[row[name] for name in NAMES] for row in rows]


# protocol's row and form: the path, the body of rows, and where the predictions stand
FORMS = {
    ("mlflow", "records"): ("/invocations", lambda rows: mlflow({"dataframe_records": rows})),
    ("mlflow", "split"): (
        "/invocations",
        lambda rows: mlflow({"dataframe_split": {"columns": NAMES, "data": lists(rows)}}),
    ),
    ("mlflow", "instances"): ("/invocations", lambda rows: mlflow({"instances": lists(rows)})),
    ("mlflow", "inputs"): ("/invocations", lambda rows: mlflow({"inputs": columns(rows)})),
    ("mlflow", "csv"): ("/invocations", csv),
    ("v2", "flat"): (
        "/v2/models/{}/infer",
        lambda rows: json_of({"inputs": tensors(rows, [len(rows)])}),
    ),
    ("v2", "nested"): (
        "/v2/models/{}/infer",
        lambda rows: json_of({"inputs": tensors(rows, [len(rows), 1])}),
    ),
    ("v2", "binary"): ("/v2/models/{}/infer", binary),
    ("v2", "version"): (
        "/v2/models/{}/versions/0/infer",
        lambda rows: json_of({"inputs": tensors(rows, [len(rows)])}),
    ),
    ("tfserving", "rows"): ("/v1/models/{}:predict", lambda rows: json_of({"instances": rows})),
    ("tfserving", "columns"): (
        "/v1/models/{}/labels/stable:predict",
        lambda rows: json_of({"inputs": columns(rows)}),
    ),
    ("kserve", "instances"): (
        "/v1/models/{}:predict",
        lambda rows: json_of({"instances": lists(rows)}),
    ),
}


def predictions(app, key, name, rows):
    path, write = FORMS[key]
    body, headers = write(rows)
    if path == "/invocations":
        headers = {**headers, "X-Model": name}
    status, _, answer = asked(app, "POST", path.format(name), body, headers)
    assert status == 200, (key, answer)
    return said_by(key, answer)


def said_by(key, body):
    """The predictions that an answer holds."""
    said = json.loads(body)
    if key[0] != "v2":
        return next(iter(said.values()))
    found = said["outputs"][0]
    return np.array(found["data"], dtype=object).reshape(found["shape"]).tolist()


def test_every_row_is_asked_or_known_to_be_silent():
    assert {protocol for protocol, _ in FORMS} | SILENT >= set(PROTOCOLS)


ROW = st.fixed_dictionaries(
    {
        "age": st.floats(-1e6, 1e6),
        "calls": st.integers(-(2**31), 2**31),
        "plan": st.sampled_from(["basic", "pro", "plus"]),
        "paperless": st.booleans(),
    }
)


@given(rows=st.lists(ROW, min_size=1, max_size=4))
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@pytest.mark.parametrize("name", ["labels", "number", "both"])
def test_the_same_rows_get_the_same_answer_from_all(app, name, rows):
    expected = predictions(app, ("mlflow", "records"), name, rows)
    assert len(expected) == len(rows)
    for key in FORMS:
        assert predictions(app, key, name, rows) == expected, key


@pytest.mark.parametrize("name", ["labels", "number", "both"])
def test_requests_of_all_protocols_may_be_predicted_in_one_call(app, name):
    rows = TRAINING.head(6).to_dict("records")
    expected = predictions(app, ("mlflow", "records"), name, rows)
    parts = {key: slice(index % 5, index % 5 + 1 + index % 2) for index, key in enumerate(FORMS)}
    answers = {}

    async def run():
        for key, part in parts.items():
            path, write = FORMS[key]
            body, headers = write(rows[part])
            raw = {head.lower().encode(): value.encode() for head, value in headers.items()}
            raw[b"x-model"] = name.encode()
            request = Request("POST", path.format(name), b"", raw, body, time.perf_counter_ns())
            app.handle(request, lambda answer, key=key: answers.update({key: answer}))
        while len(answers) < len(parts):
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 30))
    for key, part in parts.items():
        assert answers[key].status == 200, answers[key].body
        assert said_by(key, answers[key].body) == expected[part], key


def test_scores_of_v2_and_classify_are_those_of_the_model(app):
    rows = TRAINING.head(4).to_dict("records")
    expected = predictions(app, ("mlflow", "records"), "both", rows)
    body = json.dumps({"examples": rows}).encode()
    result = json.loads(asked(app, "POST", "/v1/models/labels:classify", body)[2])["result"]
    assert [[score for _, score in row] for row in result] == expected
    sent = json.dumps({"inputs": tensors(rows, [4]), "outputs": [{"name": "probabilities"}]})
    answer = json.loads(asked(app, "POST", "/v2/models/labels/infer", sent.encode())[2])
    assert answer["outputs"][0]["data"] == [score for row in expected for score in row]


def test_regress_is_predict(app):
    rows = TRAINING.head(4).to_dict("records")
    body = json.dumps({"examples": rows}).encode()
    said = json.loads(asked(app, "POST", "/v1/models/number:regress", body)[2])
    assert said["result"] == predictions(app, ("mlflow", "records"), "number", rows)


ERROR_KEYS = {"mlflow": {"error_code", "message"}}
WRONG = {
    "a missing column": [{"calls": 1, "plan": "pro", "paperless": True}],
    "a text for a number": [{"age": "x", "calls": 1, "plan": "pro", "paperless": True}],
    "a fraction for a whole number": [{"age": 1, "calls": 1.5, "plan": "pro", "paperless": True}],
    "null": [{"age": None, "calls": 1, "plan": "pro", "paperless": True}],
    "no rows": [],
}
STRUCTURED = [key for key in FORMS if key[1] not in ("csv", "binary")]


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("key", STRUCTURED, ids="-".join)
def test_each_protocol_has_one_form_of_error_and_names_the_column(app, key, what):
    rows = [{**dict.fromkeys(NAMES), **row} for row in WRONG[what]]
    if what == "a missing column":
        rows[0].pop("age")
    path, write = FORMS[key]
    try:
        body, headers = write(rows)
    except KeyError:  # a row as a list has no column that is missing
        body, headers = write([{**rows[0], "age": "missing"}])
    if path == "/invocations":
        headers = {**headers, "X-Model": "labels"}
    status, _, answer = asked(app, "POST", path.format("labels"), body, headers)
    said = json.loads(answer)
    assert status == 400
    assert set(said) == ERROR_KEYS.get(key[0], {"error"})
    column = {"no rows": "no rows", "a fraction for a whole number": "'calls'"}.get(what, "'age'")
    assert column in " ".join(said.values())


@pytest.mark.parametrize("key", FORMS, ids="-".join)
def test_a_model_that_is_not_served_is_404(app, key):
    path, write = FORMS[key]
    body, headers = write(TRAINING.head(1).to_dict("records"))
    if path == "/invocations":
        headers = {**headers, "X-Model": "nobody"}
    status, _, answer = asked(app, "POST", path.format("nobody"), body, headers)
    said = json.loads(answer)
    assert (status, set(said)) == (404, ERROR_KEYS.get(key[0], {"error"}))
    assert "'nobody' is not served here" in " ".join(said.values())


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**65), 2**65), st.floats(), st.text(max_size=4)
)
ANY = st.recursive(JUNK, lambda inner: st.lists(inner, max_size=3), max_leaves=4)
TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from([*NAMES, "in", "id"]),
        "shape": st.one_of(
            st.lists(st.integers(-1, 3), max_size=3), st.just([2**62]), st.just([0, 2**62]), ANY
        ),
        "datatype": st.one_of(st.sampled_from(["FP64", "INT64", "BYTES", "BOOL", "FP16"]), ANY),
    },
    optional={
        "data": ANY,
        "parameters": st.fixed_dictionaries(
            {},
            optional={
                "binary_data_size": st.one_of(st.integers(-1, 40), ANY),
                "content_type": st.one_of(st.sampled_from(["pd", "np", "str", "base64"]), ANY),
            },
        ),
    },
)
BODY = st.fixed_dictionaries(
    {"inputs": st.one_of(st.lists(TENSOR, max_size=4), ANY)},
    optional={
        "id": ANY,
        "parameters": st.one_of(
            ANY, st.fixed_dictionaries({}, optional={"binary_data_output": ANY, "other": ANY})
        ),
        "outputs": st.one_of(
            ANY, st.lists(st.fixed_dictionaries({"name": ANY}, optional={"parameters": ANY}))
        ),
    },
)


@given(body=BODY, tail=st.binary(max_size=40), off=st.integers(-3, 3), header=st.booleans())
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_tensors_whatever_make_the_server_fail(app, body, tail, off, header):
    head = json.dumps(body).encode()
    headers = {"Inference-Header-Content-Length": str(len(head) + off)} if header else {}
    content = head + tail if header else head
    status, _, answer = asked(app, "POST", "/v2/models/labels/infer", content, headers)
    assert status in (200, 400)
    assert status == 200 or set(json.loads(answer)) == {"error"}


@given(
    body=st.dictionaries(
        st.sampled_from(["instances", "inputs", "examples", "context", "signature_name", "params"]),
        st.one_of(ANY, st.lists(st.dictionaries(st.sampled_from(NAMES), ANY), max_size=2)),
        max_size=3,
    ),
    verb=st.sampled_from(["predict", "classify", "regress"]),
    name=st.sampled_from(["labels", "number"]),
)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_no_instances_whatever_make_the_server_fail(app, body, verb, name):
    content = json.dumps(body).encode()
    status, _, answer = asked(app, "POST", f"/v1/models/{name}:{verb}", content)
    assert status in (200, 400)
    assert status == 200 or set(json.loads(answer)) == {"error"}
