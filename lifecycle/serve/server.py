"""Start the server: check, bind, load, say so, answer until told to stop.

>>> with bind("127.0.0.1", 0) as listener:
...     address_of(listener).rpartition(":")[0]
'http://127.0.0.1'

Several workers share one listening socket; each is a process with its own engine, journal of the
prediction log and figures. On SIGTERM or SIGINT a worker fails its health checks, answers what is
in flight, seals its part of the log and ends; while models still load it ends at once. A worker
that dies by itself is replaced.
"""

import contextlib
import ipaddress
import logging
import multiprocessing
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

from lifecycle.config import Config
from lifecycle.errors import LifecycleError, MissingExtra, ServeError
from lifecycle.serve import beside, rpc
from lifecycle.serve.beside import Beside
from lifecycle.serve.building import described
from lifecycle.serve.counts import bury
from lifecycle.serve.engine import Engine
from lifecycle.serve.logs import say, set_up
from lifecycle.serve.reload import Watch
from lifecycle.serve.slots import SlotTable
from lifecycle.serve.worker import (
    BACKLOG,
    DRAIN_SECONDS,
    address_of,
    certificate,
    ends_when_told,
    work,
)

_BAD_START = 3  # a worker's exit code when it could not start
_LOG = logging.getLogger("lifecycle.serve")


def serve(
    config: Config,
    names: Sequence[str] = (),
    *,
    host: str | None = None,
    port: int | None = None,
    workers: int | None = None,
    log: str | None = None,
) -> None:
    """Serve models until SIGTERM or SIGINT; prints one line on standard error when ready.

    Args:
        config: `[serve]` and `[log]` hold what is not given here.
        names: model references; the first is the one that requests fall to. By default the
            configured model.
        host: the address to bind.
        port: the port to bind; 0 takes a free one, which the line names.
        workers: how many processes answer.
        log: the prediction log's folder.

    Raises:
        MissingExtra: httptools is not installed, or what gRPC needs where it has a port.
        ServeError: the address cannot be bound, nothing is named, or one model twice.
        ModelNotFound: a model, version or champion does not exist.
        ModelRefused: a model's files must not be loaded.
        RegistryUnavailable: no answer, and no local copy of the model.
        LogError: the log's folder cannot be written.
    """
    if find_spec("httptools") is None:
        raise MissingExtra("httptools", extra="serve", purpose="the server")
    names = tuple(names) or ((config.name,) if config.name else ())
    if not names:
        raise ServeError("no model is named", fix="write: lifecycle serve NAME")
    if log is not None:
        config = replace(config, log=replace(config.log, dir=log))
    if config.serve.grpc_port:
        rpc.check()
    count = config.serve.workers if workers is None else workers
    config = config.with_values(serve__workers=count)
    host = config.serve.host if host is None else host
    certificate(config)  # a bad one fails here, before anything is loaded
    set_up(config.serve.logs)
    listener = bind(host, config.serve.port if port is None else port)
    with contextlib.closing(listener):
        if config.serve.grpc_port:  # the workers bind it; here it is seen early that it is taken
            bind(host, config.serve.grpc_port, fix="name another with --grpc-port").close()
        warn_if_open(host, keys=bool(config.serve.api_keys), tls=bool(config.serve.tls_cert))
        with Beside(config, names):
            if count > 1:
                with ends_when_told():
                    _Workers(config, names, listener, count).run()
            else:
                work(config, names, listener)


def bind(
    host: str, port: int, *, fix: str = "name another with --port; 0 takes a free one"
) -> socket.socket:
    """A socket bound to an address, not listening yet.

    Args:
        host: the address.
        port: 0 takes a free one.
        fix: what to do when it cannot be bound.

    Raises:
        ServeError: the port is in use, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError, TypeError, ValueError) as error:  # hosts that are no names
        listener.close()
        taken = getattr(error, "errno", None) == 98  # EADDRINUSE
        reason = f"port {port} is in use" if taken else f"cannot bind: {error}"
        raise ServeError(reason, where=f"{host}:{port}", fix=fix) from error
    listener.setblocking(False)
    return listener


def warn_if_open(host: str, *, keys: bool = False, tls: bool = False) -> bool:
    """Warn when others than this machine can reach the server without a key, or read along.

    >>> warn_if_open("127.0.0.1"), warn_if_open("localhost")
    (False, False)
    >>> warn_if_open("0.0.0.0", keys=True, tls=True)
    False

    Args:
        host: the address that is bound.
        keys: whether API keys are asked for.
        tls: whether what is sent is encrypted.
    """
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if loopback or (keys and tls):
        return False
    if keys:
        say(f"note: {host} is reachable by others, and keys travel unencrypted without --tls-cert")
    else:
        say(f"warning: {host} is reachable by others, and the server asks for no key: --api-keys")
    return True


class _Workers:
    """The parent of several workers: starts them, replaces the dead, passes the signal on."""

    def __init__(
        self, config: Config, names: Sequence[str], listener: socket.socket, count: int
    ) -> None:
        self.config, self.names, self.listener, self.count = config, names, listener, count
        self.context = multiprocessing.get_context("spawn")
        self.stopping = False
        self.shared = Path()  # what the workers share, while they run
        self.living: list[tuple[Any, Any]] = []

    def run(self) -> None:
        """Start all, then watch over them until told to stop."""
        with tempfile.TemporaryDirectory(prefix="lifecycle-serve-") as shared:
            self.shared = Path(shared)
            self._run()

    def _run(self) -> None:
        # what cannot be served fails here, once and with its reason
        table = Watch(self.config, Engine(SlotTable(), secret=b""), self.names).load()
        line = described(table, address_of(self.listener, secure=bool(self.config.serve.tls_cert)))
        line += rpc.told(self.config, self.listener.getsockname()[0])
        line += beside.told(self.config, self.names)
        del table
        self.listener.listen(BACKLOG)
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        for number in before:
            signal.signal(number, self._told)
        try:
            self.living = [self._started() for _ in range(self.count)]
            while not self.stopping and not all(ready.is_set() for _, ready in self.living):
                if any(process.exitcode is not None for process, _ in self.living):
                    raise ServeError("a worker could not start", fix="see its error above")
                time.sleep(0.02)
            if not self.stopping:
                say(f"{line}, {self.count} workers", event="ready")
            while not self.stopping:
                self._replace_dead()
                time.sleep(0.1)
        finally:
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _started(self) -> tuple[Any, Any]:
        ready = self.context.Event()
        arguments = (self.config, tuple(self.names), self.listener, ready, self.shared)
        process = self.context.Process(target=_child, args=arguments, name="lifecycle-worker")
        process.start()
        return process, ready

    def _replace_dead(self) -> None:
        for index, (process, _) in enumerate(self.living):
            if process.exitcode is not None and not self.stopping:
                more = {"event": "worker_died"}
                _LOG.error(
                    "worker %s died (%s); replaced", process.pid, process.exitcode, extra=more
                )
                bury(self.shared, process.pid)
                time.sleep(0.5)
                self.living[index] = self._started()

    def _told(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def _end(self) -> None:
        for process, _ in self.living:
            if process.is_alive():
                process.terminate()  # SIGTERM: the worker drains
        self.listener.close()  # so that it is closed when the last worker closes it
        for process, _ in self.living:
            process.join(self.config.serve.drain_seconds + DRAIN_SECONDS + 5)
            if process.is_alive():
                process.kill()
                process.join()


def _child(
    config: Config, names: Sequence[str], listener: socket.socket, ready: Any, shared: Path
) -> None:
    """A worker process's whole life."""
    try:
        work(config, names, listener, ready=ready, shared=shared)
    except LifecycleError as error:
        say(f"error: {error}")
        sys.exit(_BAD_START)
