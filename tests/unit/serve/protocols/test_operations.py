import json

import pytest

from lifecycle.errors import LabelError
from lifecycle.serve.protocols.operations import labels_of

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "labels"),
    [
        (b'{"prediction_id": "p", "label": 1}', [{"prediction_id": "p", "label": 1}]),
        (b'{"labels": []}', []),
        (b' {\n "labels" : [{"id": "c", "label": true}]}', [{"id": "c", "label": True}]),
        (b'{"label": "labels", "id": 7.5}', [{"label": "labels", "id": 7.5}]),
    ],
)
def test_labels_come_alone_or_as_several(body, labels):
    assert labels_of(body) == labels


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"labels": {}}',
        b'{"labels": [], "more": 1}',
        b'{"labels": [[1]]}',
        b'{"label": null}',
        b'{"label": [1]}',
        b'"\xff"',
        b"[" * 100_000,
        b'{"labels":' + b"[" * 100_000,
    ],
)
def test_labels_of_another_form_are_refused(body):
    with pytest.raises(LabelError, match="cannot be read") as caught:
        labels_of(body)
    assert '{"labels": [{…}, …]}' in caught.value.fix


def test_metrics_hold_the_figures_and_the_gauges(engine, ask, make_app):
    app = make_app(engine, gauges=[lambda: [("special", "A thing.", {"a": "b"}, 2)]])
    status, headers, body = ask(app, "GET", "/metrics")
    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert b'lifecycle_special{a="b"} 2\n' in body
    assert b"lifecycle_requests_total" in body


def test_the_root_says_that_it_lives(engine, ask, make_app):
    status, _, body = ask(make_app(engine), "GET", "/")
    assert (status, json.loads(body)) == (200, {"status": "alive"})


def test_labels_are_counted_by_model(engine, ask, make_app):
    app = make_app(engine, add_labels=lambda _model, rows: len(rows))
    body = b'{"labels": [{"label": 1, "id": "a"}, {"label": 0, "id": "b"}]}'
    for headers in (JSON, {**JSON, "X-Model": "churn"}):
        assert json.loads(ask(app, "POST", "/feedback", body, headers=headers)[2])["accepted"] == 2
    assert engine.figures.labels == {"churn": 4}


def test_labels_that_no_one_keeps(engine, ask, make_app):
    status, _, body = ask(make_app(engine), "POST", "/feedback", b"{}", headers=JSON)
    assert (status, json.loads(body)["message"]) == (404, "this server keeps no labels")
