"""The standard health service, https://github.com/grpc/grpc/blob/master/doc/health-checking.md.

>>> from lifecycle.serve.engine import Engine
>>> from lifecycle.serve.slots import SlotTable
>>> said(Service(Engine(SlotTable(), secret=b"")), "")
2

The empty name and those of the services stand for the server; a model's name stands for the model.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from lifecycle.serve.rpc.answered import Handler
from lifecycle.serve.rpc.messages import SERVICES, message
from lifecycle.serve.wire import Refused, Request, Service

UNKNOWN, SERVING, NOT_SERVING, SERVICE_UNKNOWN = range(4)
LOOK = 0.2  # seconds between two looks of a watch


def said(service: Service, name: str) -> int:
    """The status of the server, of one of its services, or of a model."""
    if name and name not in SERVICES and name not in service.engine.table.groups:
        return SERVICE_UNKNOWN
    return SERVING if service.ready else NOT_SERVING


def handlers(service: Service) -> dict[str, Handler]:
    """What answers each method that gives one answer."""
    response = message("grpc.health.v1.HealthCheckResponse")

    def check(asked: Any, _request: Request) -> Any:
        found = said(service, asked.service)
        if found == SERVICE_UNKNOWN:
            raise Refused(404, f"{asked.service[:100]!r} is not served here")
        return response(status=found)

    return {"Check": check}


async def watch(service: Service, body: bytes, _context: Any) -> AsyncIterator[bytes]:
    """The status now, and again whenever it changes; ends when the server is told to stop."""
    name = message("grpc.health.v1.HealthCheckRequest").FromString(body).service
    response = message("grpc.health.v1.HealthCheckResponse")
    last = None
    while True:
        found = said(service, name)
        if found != last:
            last = found
            yield response(status=found).SerializeToString()
        if service.draining:
            return
        await asyncio.sleep(LOOK)
