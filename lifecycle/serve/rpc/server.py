"""The gRPC server of one worker: its port, its limits, its certificate, and its way out.

>>> sorted(OPEN)
['Check', 'ServerLive', 'ServerReady', 'Watch']

It runs on the worker's own loop, so that calls and HTTP requests share batches. Several workers
bind the same port with SO_REUSEPORT and the kernel spreads the connections over them.
"""

import asyncio
import time
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from lifecycle.config import Config
from lifecycle.errors import ServeError
from lifecycle.serve.app import App
from lifecycle.serve.rpc import address, health, inference, predict
from lifecycle.serve.rpc.answered import Answers, Handler, Method
from lifecycle.serve.rpc.messages import SERVICES, message, methods
from lifecycle.serve.wire import Service

QUIET = 1.0  # seconds without a call after which nobody seems to ask any more
CLOSING = 1.0  # seconds at most in which busy clients are told to go elsewhere
SILENT = 0.05  # seconds without a call after which none is busy
AGE = 300.0  # seconds until clients are told to connect anew; what has half arrived is given up
OPEN = {"ServerLive", "ServerReady", "Check", "Watch"}  # what load balancers ask


class RpcServer:
    """Answers calls on the running loop.

    Args:
        app: makes the predictions.
        config: `[serve]`.
        host: the address to bind.
        age: seconds that a connection lives; the calls that are in it then have the server's time
            limit to end, so that a message that never comes whole holds nothing for ever.

    Raises:
        ServeError: the port cannot be bound, or the certificate cannot be used.

    Attributes:
        address: where it answers.
        answers: what answers.
    """

    def __init__(self, app: App, config: Config, host: str, *, age: float = AGE) -> None:
        serve = config.serve
        wanted = address(host, serve.grpc_port)
        self.answers = Answers(app)
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", int(serve.workers > 1)),
                ("grpc.max_receive_message_length", serve.max_body_mb << 20),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", max(serve.queue, 100)),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.max_connection_age_ms", int(age * 1000)),
                ("grpc.max_connection_age_grace_ms", int(serve.timeout_seconds * 1000)),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
            ]
        )
        for name, found in _handlers(app.service).items():
            self._server.add_generic_rpc_handlers((self._service(name, found, app.service),))
        try:
            if serve.tls_cert:
                port = self._server.add_secure_port(wanted, credentials(config))
            else:
                port = self._server.add_insecure_port(wanted)
        except RuntimeError as error:
            raise ServeError(
                "the port for gRPC cannot be bound", where=wanted, fix="name another: --grpc-port"
            ) from error
        self.address = address(host, port)

    async def start(self) -> None:
        """Begin to answer."""
        await self._server.start()

    @property
    def quiet(self) -> bool:
        """Whether no call is being answered, and none was for a while."""
        return not self.answers.busy and self.answers.silent(QUIET)

    async def stop(self, seconds: float, *, receive: float = 5.0) -> None:
        """Take no more calls, tell the clients so, and answer those that are here.

        A call that reaches grpc while it stops is cancelled there, which no client tries again. So
        busy clients are told UNAVAILABLE first, until none asks, or for a second.

        Args:
            seconds: how long the calls that are here may take.
            receive: how long messages that are still arriving may take.
        """
        self.answers.closing = True
        end = time.monotonic() + CLOSING
        while time.monotonic() < end and not self.answers.silent(SILENT):
            await asyncio.sleep(0.01)
        ending = asyncio.ensure_future(self._server.stop(seconds))
        await asyncio.wait({ending}, timeout=receive)
        while self.answers.busy and not ending.done():
            await asyncio.sleep(0.01)
        if not ending.done():
            await self._server.stop(None)  # cancels what has not arrived
        await ending
        self.answers.close()

    def _service(self, name: str, found: dict[str, Handler], service: Service) -> Any:
        made = {}
        for method, described in methods(name).items():
            if described.server_streaming:
                made[method] = grpc.unary_stream_rpc_method_handler(partial(health.watch, service))
                continue
            kind = message(described.input_type.full_name)
            one = Method(f"/{name}/{method}", kind, found[method], method in OPEN)
            made[method] = grpc.unary_unary_rpc_method_handler(partial(self.answers.answer, one))
        return grpc.method_handlers_generic_handler(name, made)


def _handlers(service: Service) -> dict[str, dict[str, Handler]]:
    """What answers each method of each service."""
    makers = (inference.handlers, predict.handlers, predict.statuses, health.handlers)
    return {name: make(service) for name, make in zip(SERVICES, makers, strict=True)}


def credentials(config: Config) -> Any:
    """The certificate of `[serve] tls_cert` and `tls_key`, which the HTTP side has checked."""
    key, chain = (Path(name).read_bytes() for name in (config.serve.tls_key, config.serve.tls_cert))
    return grpc.ssl_server_credentials([(key, chain)])
