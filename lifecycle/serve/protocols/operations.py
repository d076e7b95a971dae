"""What is asked of the server itself: is it alive, its figures; and what came of predictions.

    POST /feedback   {"prediction_id": "…", "label": …} or {"labels": [{…}, …]}
    GET  /metrics    Prometheus' text format
    GET  /           {"status": "alive"}

>>> labels_of(b'{"prediction_id": "p1", "label": 1}')
[{'prediction_id': 'p1', 'label': 1}]
"""

import re
from typing import Any

import msgspec

from lifecycle.errors import LabelError
from lifecycle.serve.protocols import mlflow
from lifecycle.serve.wire import Chore, Refused, Request, Response, Route, Service

PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"

_Row = dict[str, str | int | float | bool]


class _Labels(msgspec.Struct, forbid_unknown_fields=True):
    labels: list[_Row]


def routes(service: Service) -> list[Route]:
    """The routes."""

    def feedback(request: Request) -> Chore:
        if mlflow.media_type(request.text(b"content-type")) != mlflow.JSON:
            raise Refused(415, f"send {mlflow.JSON}")
        name = request.text(b"x-model") or service.engine.table.first
        service.engine.table.find(name)
        add = service.add_labels
        if add is None:
            raise Refused(404, "this server keeps no labels")
        labels = labels_of(request.body)

        def work() -> Response:
            accepted = add(name, labels)
            counted = service.engine.figures.labels
            counted[name] = counted.get(name, 0) + accepted
            return Response(200, msgspec.json.encode({"accepted": accepted}))

        return Chore(work)

    def metrics(_request: Request) -> Response:
        figures, gauges = service.engine.figures, service.gauged()
        if service.total is not None:
            figures, gauges = service.total(gauges)
        return Response(200, figures.text(gauges).encode(), PROMETHEUS)

    return [
        Route("POST", "/feedback", feedback, mlflow.failure),
        Route("GET", "/metrics", metrics, mlflow.failure),
        Route("GET", "/", lambda _request: Response(200, b'{"status": "alive"}'), mlflow.failure),
    ]


def labels_of(body: bytes) -> list[dict[str, Any]]:
    """The labels of a /feedback body, as rows.

    Raises:
        LabelError: the body is of neither form.
    """
    try:
        if re.match(rb'\s*\{\s*"labels"\s*:', body):
            return list(msgspec.json.decode(body, type=_Labels).labels)
        return [msgspec.json.decode(body, type=_Row)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LabelError(
            f"the labels cannot be read: {error}",
            fix='send {"prediction_id": "…", "label": …} or {"labels": [{…}, …]}',
        ) from None
