import json
import re
import shlex
from html.parser import HTMLParser

import numpy as np
import pytest

from lifecycle.models.predicting import Output
from lifecycle.records import Column, ModelSpec
from lifecycle.serve.engine import Engine
from lifecycle.serve.protocols import page
from lifecycle.serve.protocols.openapi import described
from lifecycle.serve.protocols.signatures import Signatures
from lifecycle.serve.slots import SlotTable

METHODS = {"get", "post"}


@pytest.fixture
def document(several):
    return described(several, Signatures())


def predicting(document):
    """Path and operation of all that predict."""
    for path, methods in document["paths"].items():
        if "post" in methods and path != "/feedback":
            yield path, methods["post"]


def filled(path, operation):
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["schema"]["enum"][0])
    return path


def test_each_model_has_paths_of_its_own(document):
    for name in ("churn", "total", "frame"):
        for tail in ("", "/versions/{version}"):
            assert {"get"} <= set(document["paths"][f"/v2/models/{name}{tail}"]) <= METHODS
            assert set(document["paths"][f"/v2/models/{name}{tail}/infer"]) == {"post"}
            assert set(document["paths"][f"/v1/models/{name}{tail}:predict"]) == {"post"}
        assert f"/v1/models/{name}/labels/{{label}}:predict" in document["paths"]
    assert "/v1/models/churn:classify" in document["paths"]
    assert "/v1/models/churn:regress" not in document["paths"]
    assert "/v1/models/total:regress" in document["paths"]


def test_the_columns_are_the_models(document):
    content = document["paths"]["/v1/models/churn:predict"]["post"]["requestBody"]["content"]
    row = content["application/json"]["schema"]["oneOf"][0]["properties"]["instances"]["items"]
    assert list(row["properties"]) == ["age", "plan", "ts", "id", "churned"]
    assert row["properties"]["age"] == {"type": "number"}
    assert row["required"] == ["age", "plan"]
    assert row["additionalProperties"] is False


def test_operations_have_names_of_their_own(document):
    names = [
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
    ]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"\w+", name) for name in names)


def test_every_documented_path_is_there(app, ask, document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            status, _, _ = ask(app, method.upper(), filled(path, operation))
            assert str(status) in operation["responses"], (method, path, status)
            assert status not in (405, 500)
            assert status < 400 or method == "post"


def test_every_example_works_and_is_answered_as_shown(app, ask, document):
    shown = 0
    for path, operation in predicting(document):
        example = operation["requestBody"]["content"]["application/json"]["example"]
        headers = {"Content-Type": "application/json"}
        body = json.dumps(example).encode()
        status, _, answer = ask(app, "POST", filled(path, operation), body, headers=headers)
        assert status == 200, (path, answer)
        expected = operation["responses"]["200"]["content"]["application/json"].get("example")
        if expected is not None:
            shown += 1
            assert json.loads(answer) == expected
    assert shown == 1 + 3 * 3


def test_a_model_that_fails_on_its_example_shows_none(make_slot):
    def broken(_columns):
        raise ValueError

    document = described(SlotTable().with_only(make_slot(7, broken)), Signatures())
    for _, operation in predicting(document):
        assert "example" not in operation["requestBody"]["content"]["application/json"]
        assert "example" not in operation["responses"]["200"]["content"]["application/json"]
    assert "-d '" not in page.html(document)


def test_classes_without_scores_are_neither_classified_nor_regressed(make_slot):
    one = make_slot(7, lambda columns: Output(np.array(["no"] * len(columns["age"]), dtype=object)))
    paths = described(SlotTable().with_only(one), Signatures())["paths"]
    assert "/v1/models/churn:predict" in paths
    assert not {"/v1/models/churn:classify", "/v1/models/churn:regress"} & set(paths)


def test_a_model_without_a_signature_is_described_without_columns(make_slot, make_app, ask):
    def double(columns):
        return Output(np.asarray(columns.data)[:, 0] * 2)

    one = make_slot(1, double, ModelSpec(1, "regression", ()), "free")
    app = make_app(Engine(SlotTable().with_only(one), secret=b"s" * 32))
    document = json.loads(ask(app, "GET", "/openapi.json")[2])
    assert "/v2/models/free/infer" in document["paths"]
    assert ask(app, "GET", "/docs")[0] == 200
    body = {"inputs": [{"name": "a", "shape": [2, 1], "datatype": "FP64", "data": [1.5, 2]}]}
    answer = json.loads(ask(app, "POST", "/v2/models/free/infer", json.dumps(body).encode())[2])
    assert answer["outputs"][0]["data"] == [3.0, 4.0]


def test_a_server_without_models_describes_itself(make_app, ask):
    app = make_app(Engine(SlotTable(), secret=b"s" * 32))
    status, _, body = ask(app, "GET", "/openapi.json")
    assert (status, "/invocations" in json.loads(body)["paths"]) == (200, False)
    assert ask(app, "GET", "/docs")[0] == 200


def test_a_swap_changes_the_document(app, ask, make_slot):
    assert "total" in ask(app, "GET", "/openapi.json")[2].decode()
    app.engine.table = SlotTable().with_only(make_slot(8))
    body = ask(app, "GET", "/openapi.json")[2].decode()
    assert "total" not in body
    assert json.loads(body)["paths"]["/v2/models/churn/versions/{version}"]["get"]["parameters"][0][
        "schema"
    ] == {"enum": ["8"]}


def test_references_lead_somewhere(document):
    text = json.dumps(document)
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
        found = document
        for part in reference.split("/"):
            found = found[part]
        assert found["type"] == "object"
    assert document["openapi"] == "3.1.0"


class Reader(HTMLParser):
    """Collects tags, attributes and what stands in <pre>."""

    def __init__(self):
        super().__init__()
        self.tags, self.links, self.pres, self.inside = [], [], [], False

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "action")]
        if tag == "pre":
            self.inside = True
            self.pres.append("")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "pre"

    def handle_data(self, data):
        if self.inside:
            self.pres[-1] += data


@pytest.fixture
def docs(app, ask):
    status, headers, body = ask(app, "GET", "/docs")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert headers["content-security-policy"].startswith("default-src 'none'")
    return body.decode()


def test_the_page_loads_nothing_and_runs_nothing(docs):
    reader = Reader()
    reader.feed(docs)
    assert not {"script", "link", "img", "iframe", "form", "object"} & set(reader.tags)
    assert all(link.startswith("#") or link == "/openapi.json" for link in reader.links)
    assert "url(" not in docs
    assert "@import" not in docs
    assert "prefers-color-scheme:dark" in docs


def test_the_pages_commands_are_the_examples(app, ask, docs):
    reader = Reader()
    reader.feed(docs)
    asked = 0
    for text in reader.pres:
        if not text.startswith("curl"):
            continue
        words = shlex.split(text)
        path = words[1].removeprefix("http://127.0.0.1:5001")
        if "-d" not in words:
            continue
        header, body = words[words.index("-H") + 1], words[words.index("-d") + 1]
        headers = dict([header.split(": ")])
        assert ask(app, "POST", path, body.encode(), headers=headers)[0] == 200, text
        asked += 1
    assert asked == 1 + 3 * (2 + 3 + 3)


def test_names_of_columns_are_escaped(make_slot, make_app, ask):
    odd = '<script>alert("1")</script>'
    spec = ModelSpec(1, "regression", (Column(odd, "double"), Column("a' & b", "double")))
    one = make_slot(1, lambda columns: Output(columns[odd]), spec)
    app = make_app(Engine(SlotTable().with_only(one), secret=b"s" * 32))
    body = ask(app, "GET", "/docs")[2].decode()
    assert "<script" not in body
    assert "&lt;script&gt;" in body
    reader = Reader()
    reader.feed(body)
    command = next(text for text in reader.pres if text.startswith("curl") and "-d" in text)
    sent = json.loads(shlex.split(command)[-1])
    assert set(sent["dataframe_records"][0]) == {odd, "a' & b"}
