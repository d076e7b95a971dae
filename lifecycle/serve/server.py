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
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from types import FrameType
from typing import TYPE_CHECKING, Any

from lifecycle.config import Config
from lifecycle.errors import LabelError, LifecycleError, MissingExtra, ServeError
from lifecycle.serve.app import AddLabels, App
from lifecycle.serve.engine import Engine
from lifecycle.serve.reload import Watch
from lifecycle.serve.slots import SlotTable
from lifecycle.stores import ids
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionWriter

if TYPE_CHECKING:
    import uvicorn

BACKLOG = 2048
DRAIN_SECONDS = 30  # how long requests in flight may take after the signal to stop
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
        MissingExtra: uvicorn or httptools is not installed.
        ServeError: the address cannot be bound, nothing is named, or one model twice.
        ModelNotFound: a model, version or champion does not exist.
        ModelRefused: a model's files must not be loaded.
        RegistryUnavailable: no answer, and no local copy of the model.
        LogError: the log's folder cannot be written.
    """
    for package in ("uvicorn", "httptools"):
        if find_spec(package) is None:
            raise MissingExtra(package, extra="serve", purpose="the server")
    names = tuple(names) or ((config.name,) if config.name else ())
    if not names:
        raise ServeError("no model is named", fix="write: lifecycle serve NAME")
    if log is not None:
        config = replace(config, log=replace(config.log, dir=log))
    count = config.serve.workers if workers is None else workers
    host = config.serve.host if host is None else host
    listener = bind(host, config.serve.port if port is None else port)
    with contextlib.closing(listener):
        warn_if_open(host)
        if count > 1:
            with _ends_when_told():
                _Workers(config, names, listener, count).run()
        else:
            _work(config, names, listener, ready=None)


class _Told(BaseException):
    """The signal to stop came before the server takes signals itself; no `except` may keep it."""


@contextlib.contextmanager
def _ends_when_told() -> Iterator[None]:
    """Leave what is loading, by SIGTERM or SIGINT, as an error would: nothing half is left."""

    def told(_number: int, _frame: FrameType | None) -> None:
        raise _Told

    before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except _Told:
        _say("told to stop before the models were loaded")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to an address, not listening yet.

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
        raise ServeError(
            reason, where=f"{host}:{port}", fix="name another with --port; 0 takes a free one"
        ) from error
    listener.setblocking(False)
    return listener


def warn_if_open(host: str) -> bool:
    """Warn when others than this machine can reach the server; there are no keys yet.

    >>> warn_if_open("127.0.0.1"), warn_if_open("localhost")
    (False, False)
    """
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        _say(f"warning: {host} is reachable by others, and the server asks for no key")
    return not loopback


def build(config: Config, names: Sequence[str]) -> tuple[App, Watch, PredictionWriter]:
    """The application with its models loaded, not started yet.

    Raises:
        LifecycleError: what `serve` raises.
    """
    secret = ids.secret(config.log.dir)
    engine = Engine(SlotTable(), secret=secret)
    watch = Watch(config, engine, names)
    watch.load()
    writer = PredictionWriter(config.log.dir, seal_seconds=config.log.seal_seconds)
    engine.writer = writer

    def stop() -> None:
        watch.stop()
        writer.close()

    app = App(
        engine,
        max_body=config.serve.max_body_mb << 20,
        add_labels=labeller(engine, config),
        on_start=watch.start,
        on_stop=stop,
    )
    return app, watch, writer


def labeller(engine: Engine, config: Config) -> AddLabels:
    """What stores the labels that /feedback takes."""
    import polars as pl

    store = LabelStore(config.log.dir)

    def add(model: str, rows: list[dict[str, Any]]) -> int:
        group = engine.table.find(model)
        spec = group.slots[group.plan.arms[0].version].loaded.spec
        given = [
            row[name] for row in rows for name in {"label", spec.target or "label"} & row.keys()
        ]
        if len({isinstance(label, str) for label in given}) > 1:  # polars would make all texts
            raise LabelError("some labels are text and some are not", fix="send those of the model")
        try:
            frame = pl.DataFrame(rows, infer_schema_length=None)
            like = pl.Series(list(spec.classes)).dtype if spec.classes else None
        except (TypeError, OverflowError, pl.exceptions.PolarsError) as error:
            raise LabelError(f"the labels are of mixed types: {error}", where=model) from error
        return store.add(
            model,
            frame,
            engine.secret,
            target=spec.target or "",
            key=spec.key or "key",
            time=spec.time or "time",
            like=like,
        ).accepted

    return add


def described(table: SlotTable, address: str) -> str:
    """The line that says what is ready: address, versions, and how they answer."""
    models = []
    for name, group in table.groups.items():
        for arm in group.plan.arms:
            loaded = group.slots[arm.version].loaded
            compiled = loaded.version.tags.get("lifecycle.compiled", "") if loaded.version else ""
            why = compiled.removeprefix("no: ")
            if loaded.how == "onnx":
                why = ""
            elif not compiled:
                why = "not compiled"
            elif compiled.startswith("sha256:"):
                why = "compiled, but compiled models are switched off or onnxruntime is missing"
            models.append(f"{name}/{arm.version} ({loaded.how}{', ' + why if why else ''})")
    return f"serving {', '.join(models)} on {address}"


def address_of(listener: socket.socket) -> str:
    """A bound socket as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _work(
    config: Config, names: Sequence[str], listener: socket.socket, *, ready: Any | None
) -> None:
    """One worker: load, answer, drain, seal."""
    if not logging.getLogger().handlers and not _LOG.handlers:
        logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stderr)
    with _ends_when_told():
        app, _, writer = build(config, names)

        def announce() -> None:
            if ready is None:
                _say(described(app.engine.table, address_of(listener)))
            else:
                ready.set()

        try:
            _run(_server(app), app, listener, announce)
        finally:
            writer.close()


def _server(app: App) -> "uvicorn.Server":
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            http="httptools",
            loop="none",
            ws="none",
            lifespan="on",
            interface="asgi3",
            access_log=False,
            log_config=None,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )


def _run(
    server: "uvicorn.Server", app: App, listener: socket.socket, announce: Callable[[], None]
) -> None:
    """Run uvicorn on our socket with our signals: readiness goes before the connections do."""
    import asyncio

    def told(number: int, _frame: FrameType | None) -> None:
        if server.should_exit and number == signal.SIGINT:
            server.force_exit = True
        app.draining = True
        server.should_exit = True

    async def main() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, told)
        task = asyncio.ensure_future(server._serve(sockets=[listener]))
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        if server.started and not server.should_exit:
            announce()
        await task

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(main())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if not server.started:
        raise ServeError("the server could not start", where=address_of(listener))


def _loop_factory() -> Callable[[], Any] | None:
    if find_spec("uvloop") is None:  # not on Windows
        return None
    import uvloop

    factory: Callable[[], Any] = uvloop.new_event_loop
    return factory


class _Workers:
    """The parent of several workers: starts them, replaces the dead, passes the signal on."""

    def __init__(
        self, config: Config, names: Sequence[str], listener: socket.socket, count: int
    ) -> None:
        self.config, self.names, self.listener, self.count = config, names, listener, count
        self.context = multiprocessing.get_context("spawn")
        self.stopping = False
        self.living: list[tuple[Any, Any]] = []

    def run(self) -> None:
        """Start all, then watch over them until told to stop."""
        # what cannot be served fails here, once and with its reason
        table = Watch(self.config, Engine(SlotTable(), secret=b""), self.names).load()
        line = described(table, address_of(self.listener))
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
                _say(f"{line}, {self.count} workers")
            while not self.stopping:
                self._replace_dead()
                time.sleep(0.1)
        finally:
            self._end()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _started(self) -> tuple[Any, Any]:
        ready = self.context.Event()
        arguments = (self.config, tuple(self.names), self.listener, ready)
        process = self.context.Process(target=_child, args=arguments, name="lifecycle-worker")
        process.start()
        return process, ready

    def _replace_dead(self) -> None:
        for index, (process, _) in enumerate(self.living):
            if process.exitcode is not None and not self.stopping:
                _LOG.error("worker %s died (%s); replaced", process.pid, process.exitcode)
                time.sleep(0.5)
                self.living[index] = self._started()

    def _told(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def _end(self) -> None:
        for process, _ in self.living:
            if process.is_alive():
                process.terminate()  # SIGTERM: the worker drains
        for process, _ in self.living:
            process.join(DRAIN_SECONDS + 5)
            if process.is_alive():
                process.kill()
                process.join()


def _child(config: Config, names: Sequence[str], listener: socket.socket, ready: Any) -> None:
    """A worker process's whole life."""
    try:
        _work(config, names, listener, ready=ready)
    except LifecycleError as error:
        _say(f"error: {error}")
        sys.exit(_BAD_START)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
