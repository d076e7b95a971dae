"""What those who run the server ask and tell it: its state, and that an alias moved.

    GET  /status         JSON: versions, how they answer, what is wrong
    POST /hooks/mlflow   a delivery of MLflow's webhooks; {"followed": true} when it concerns us

>>> [route.path for route in routes(Service(engine=None))]
['/status', '/hooks/mlflow']
"""

import msgspec

from lifecycle.serve.protocols import mlflow
from lifecycle.serve.wire import Refused, Request, Response, Route, Service


def routes(service: Service) -> list[Route]:
    """The routes."""

    def state(_request: Request) -> Response:
        if service.state is None:
            raise Refused(404, "this server does not tell its state")
        return Response(200, msgspec.json.encode(service.state()))

    def hook(request: Request) -> Response:
        if service.hook is None:
            raise Refused(404, "webhooks are not taken here")
        followed = service.hook(request.headers, request.body)
        return Response(200, msgspec.json.encode({"followed": followed}))

    return [
        Route("GET", "/status", state, mlflow.failure),
        Route("POST", "/hooks/mlflow", hook, mlflow.failure),
    ]
