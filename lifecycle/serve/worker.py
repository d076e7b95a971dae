"""One worker process: load, listen, answer, drain, seal.

>>> Stop().told
False

On SIGTERM or SIGINT health checks fail first and every answer says `Connection: close`. New
connections are still taken, and kept ones may ask once more, until all are closed or
`drain_seconds` are over (SIGINT: at once); then the listener closes, what is in flight is answered,
and the log is sealed. While models still load a worker ends at once. A model's call that does not
return is given up when its time is over, which the log says, and the process ends without it.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from lifecycle.config import Config
from lifecycle.errors import ServeError
from lifecycle.serve import beside, rpc
from lifecycle.serve.building import Built, build, described
from lifecycle.serve.logs import say, set_up

if TYPE_CHECKING:
    from lifecycle.serve.http import Http

BACKLOG = 2048
DRAIN_SECONDS = 30  # how long requests in flight may take after the signal to stop, at most
RECEIVE_SECONDS = 5  # how long requests that have begun may take to arrive after it
_LOG = logging.getLogger("lifecycle.serve")


class _Told(BaseException):
    """The signal to stop came before the server takes signals itself; no `except` may keep it."""


@contextlib.contextmanager
def ends_when_told() -> Iterator[None]:
    """Leave what is loading, by SIGTERM or SIGINT, as an error would: nothing half is left."""

    def told(_number: int, _frame: FrameType | None) -> None:
        raise _Told

    before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except _Told:
        say("told to stop before the models were loaded")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def work(
    config: Config,
    names: Sequence[str],
    listener: socket.socket,
    *,
    ready: Any | None = None,
    shared: Path | None = None,
) -> None:
    """One worker's whole life.

    Args:
        config: see `lifecycle.serve.server.serve`.
        names: model references.
        listener: a bound socket, which other workers may share.
        ready: an event that is set when the worker answers; None: a line is printed instead.
        shared: a folder that the workers of one server share; None: there is one worker.

    Raises:
        LifecycleError: what `lifecycle.serve.server.serve` raises.
    """
    set_up(config.serve.logs)
    tls = certificate(config)
    with ends_when_told():
        built = build(config, names, shared=shared)

        def announce() -> None:
            if ready is None:
                table = built.app.engine.table
                line = described(table, address_of(listener, secure=tls is not None))
                line += rpc.told(config, listener.getsockname()[0]) + beside.told(config, names)
                say(line, event="ready")
            else:
                ready.set()

        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(answer(built, config, listener, announce, tls=tls))
        finally:
            built.close()
            if built.app.predicting or built.shadow.stuck:
                os._exit(0)  # Python would wait for the thread, and so for ever


class Stop:
    """The signals to stop, as an event of the loop."""

    def __init__(self) -> None:
        self.told = False
        self.hurried = False  # by SIGINT, or told twice
        self._event = asyncio.Event()

    def tell(self, number: int) -> None:
        """Take a signal."""
        self.hurried = self.hurried or self.told or number == signal.SIGINT
        self.told = True
        self._event.set()

    async def wait(self) -> None:
        """Until the first signal."""
        await self._event.wait()


async def answer(
    built: Built,
    config: Config,
    listener: socket.socket,
    announce: Callable[[], None],
    *,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Answer until told to stop, then drain.

    Args:
        built: the server's parts.
        config: `[serve]`.
        listener: a bound socket.
        announce: called when the worker answers.
        tls: the certificate; None: plain HTTP.
    """
    from lifecycle.serve.http import Connection, Http  # httptools is of an extra

    loop, stop = asyncio.get_running_loop(), Stop()
    figures = built.app.engine.figures
    http = Http(
        built.app.handle,
        max_body=config.serve.max_body_mb << 20,
        refused=figures.turned_away,
        admit=built.app.admit if built.app.early is not None else None,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.tell, number)
    server = await loop.create_server(
        lambda: Connection(http), sock=listener, backlog=BACKLOG, ssl=tls
    )
    calls = await rpc.started(built.app, config, listener.getsockname()[0])
    built.start()
    looking = loop.create_task(_look(http, built))
    announce()
    try:
        await stop.wait()
        built.app.service.draining = http.closing = True
        kept = 0.0 if stop.hurried else config.serve.drain_seconds
        await _until(
            lambda: stop.hurried or not (http.connections or (calls and not calls.quiet)), kept
        )
        last = _pending(listener)
        server.close()
        for client in last:
            with contextlib.suppress(OSError):  # it has left meanwhile
                await loop.connect_accepted_socket(lambda: Connection(http), client, ssl=tls)
        http.close_idle()
        receive = 0.0 if stop.hurried else RECEIVE_SECONDS
        left = min(DRAIN_SECONDS, config.serve.timeout_seconds)
        ending = loop.create_task(calls.stop(left, receive=receive)) if calls else None
        await _until(lambda: not http.busy or stop.hurried, RECEIVE_SECONDS)
        await _until(lambda: not (http.answering or built.app.predicting), left)
        for model, count in built.app.predicting.items():
            told = "%s: %s requests given up, the model's call has not returned after %g s"
            _LOG.error(told, model, count, left, extra={"event": "given_up", "model": model})
        if ending is not None:
            await ending
    finally:
        looking.cancel()
        http.close_idle()
        await _until(lambda: not http.connections, 1.0)
        http.abort()


def _pending(listener: socket.socket) -> list[socket.socket]:
    """Clients that have connected and were not taken yet: closing the listener would reset them."""
    found = []
    with contextlib.suppress(OSError):  # there is none any more
        while True:
            found.append(listener.accept()[0])
    return found


async def _look(http: "Http", built: Built) -> None:
    while True:
        http.look()
        built.look()
        await asyncio.sleep(1.0)


async def _until(done: Callable[[], bool], seconds: float) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not done() and loop.time() < deadline:
        await asyncio.sleep(0.02)


def certificate(config: Config) -> ssl.SSLContext | None:
    """The certificate of `[serve] tls_cert` and `tls_key`; None where none is set.

    Raises:
        ServeError: a file is missing, no PEM, or the two do not belong together.
    """
    cert, key = config.serve.tls_cert, config.serve.tls_key
    if not cert and not key:
        return None
    if not cert or not key:
        raise ServeError(
            "TLS needs both a certificate and its key", fix="set --tls-cert, --tls-key"
        )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise ServeError(
            f"the certificate cannot be used: {error}",
            where=f"{cert}, {key}",
            fix="name PEM files of one chain and its private key",
        ) from error
    return context


def _loop_factory() -> Callable[[], Any] | None:
    if find_spec("uvloop") is None:  # not on Windows
        return None
    import uvloop

    factory: Callable[[], Any] = uvloop.new_event_loop
    return factory


def address_of(listener: socket.socket, *, secure: bool = False) -> str:
    """A bound socket as a URL."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if secure else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
