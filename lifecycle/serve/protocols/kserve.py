"""KServe's version 1: what it has beside TensorFlow Serving's paths, which are `tfserving`'s.

    GET  /v1/models                  {"models": ["churn"]}
    GET  /v1/models/{model}          {"name": "churn", "ready": true, …}
    POST /v1/models/{model}:predict  {"instances": […]} -> {"predictions": […]}
    GET  /                           {"status": "alive"}, of `operations`

>>> from lifecycle.serve.engine import Engine
>>> from lifecycle.serve.slots import SlotTable
>>> (route,) = routes(Service(Engine(SlotTable(), secret=b"s" * 32)))
>>> route.handler(Request("GET", "/v1/models")).body
b'{"models":[]}'

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol
"""

import msgspec

from lifecycle.serve.protocols.tfserving import failure
from lifecycle.serve.wire import Request, Response, Route, Service


def routes(service: Service) -> list[Route]:
    """The one route that is not TensorFlow Serving's too."""

    def models(_request: Request) -> Response:
        return Response(200, msgspec.json.encode({"models": list(service.engine.table.groups)}))

    return [Route("GET", "/v1/models", models, failure)]
