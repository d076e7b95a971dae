"""Remote procedure calls (gRPC): the same models, batches, log and keys as over HTTP.

    answered  bytes of a call ──> message ──> handler ──> message or a prediction to be made
    server    ports, limits, TLS, the way out
    inference, predict, health   the services; their messages stand in the .proto files

>>> told(Config().with_values(serve__grpc_port=9000), "127.0.0.1")
', gRPC on 127.0.0.1:9000'

Nothing here imports grpc before `[serve] grpc_port` is set; it needs the extra `grpc`.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from lifecycle.config import Config
from lifecycle.errors import MissingExtra

if TYPE_CHECKING:
    from lifecycle.serve.app import App
    from lifecycle.serve.rpc.server import RpcServer


def check() -> None:
    """Refuse to start without the packages that gRPC needs.

    Raises:
        MissingExtra: one is not installed.
    """
    for module, package in (("grpc", "grpcio"), ("google.protobuf", "protobuf")):
        try:
            found = find_spec(module)
        except ModuleNotFoundError:  # the package google
            found = None
        if found is None:
            raise MissingExtra(package, extra="grpc", purpose="gRPC")


async def started(app: "App", config: Config, host: str) -> "RpcServer | None":
    """The server of calls, answering; None where no port is set for it.

    Args:
        app: makes the predictions, on the running loop.
        config: `[serve]`.
        host: the address to bind.

    Raises:
        ServeError: the port cannot be bound.
    """
    if not config.serve.grpc_port:
        return None
    from lifecycle.serve.rpc.server import RpcServer

    server = RpcServer(app, config, host)
    await server.start()
    return server


def told(config: Config, host: str) -> str:
    """What the line that says where the server answers adds for calls; empty without a port."""
    port = config.serve.grpc_port
    return f", gRPC on {address(host, port)}" if port else ""


def address(host: str, port: int) -> str:
    """Host and port as gRPC writes them.

    >>> address("::1", 9000)
    '[::1]:9000'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
