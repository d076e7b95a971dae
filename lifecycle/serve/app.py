"""The server as one ASGI callable: reads a request, asks the engine, writes the answer.

    GET  /ping /health     200 when a model is ready, else 503
    GET  /version          MLflow's version
    POST /invocations      MLflow's scoring protocol, `lifecycle.serve.protocols.mlflow`
    POST /feedback         late labels
    GET  /metrics          Prometheus
    GET  /                 {"status": "alive"}

Nothing lies between uvicorn and this file: no framework, no middleware, no thread per request.
Predictions that take about a millisecond or more, and long bodies, go through one worker thread,
so that health checks are answered meanwhile. See https://asgi.readthedocs.io for the interface.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from lifecycle.errors import LabelError, LifecycleError, PredictionFailed
from lifecycle.serve.engine import INLINE_NS, Engine
from lifecycle.serve.protocols import mlflow

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]
AddLabels = Callable[[str, list[dict[str, Any]]], int]

TEXT = b"text/plain; charset=utf-8"
JSON = b"application/json"
PROMETHEUS = b"text/plain; version=0.0.4; charset=utf-8"
LONG = 64 * 1024  # bytes; longer bodies are decoded in the worker thread
WAITING = 128  # requests that may wait for the worker thread
BODY_SECONDS = 30.0  # a body that takes longer to arrive is given up
_LOG = logging.getLogger("lifecycle.serve")


class _Refused(Exception):
    """A request that is answered with an error status before the engine sees it."""

    def __init__(self, status: int, message: str, *, close: bool = False) -> None:
        super().__init__(message)
        self.status, self.close = status, close


_Row = dict[str, str | int | float | bool]


class _Labels(msgspec.Struct, forbid_unknown_fields=True):
    labels: list[_Row]


class App:
    """The ASGI application.

    Args:
        engine: answers.
        max_body: bytes of the longest body.
        add_labels: stores late labels of a model and returns how many; None: no /feedback.
        body_seconds: how long a body may take to arrive.
        on_start: called in the server's process before the first request.
        on_stop: called when the last request was answered.

    Attributes:
        draining: set when the server is told to stop: health checks fail, connections are closed.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_body: int = 16 << 20,
        add_labels: AddLabels | None = None,
        body_seconds: float = BODY_SECONDS,
        on_start: Callable[[], None] | None = None,
        on_stop: Callable[[], None] | None = None,
    ) -> None:
        self.engine = engine
        self.draining = False
        self._max_body = max_body
        self._add_labels = add_labels
        self._body_seconds = body_seconds
        self._on_start, self._on_stop = on_start, on_stop
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="lifecycle-predict")
        self._chores = ThreadPoolExecutor(1, thread_name_prefix="lifecycle-chores")
        self._waiting = 0
        self._routes: dict[str, tuple[str, Callable[..., Awaitable[None]]]] = {
            "/invocations": ("POST", self._invocations),
            "/ping": ("GET", self._health),
            "/health": ("GET", self._health),
            "/version": ("GET", self._version),
            "/feedback": ("POST", self._feedback),
            "/metrics": ("GET", self._metrics),
            "/": ("GET", self._alive),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the server's start and end."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        path = scope["path"]
        try:
            method, handler = self._routes.get(path, ("", self._nothing))
            allowed = scope["method"] == method or (method == "GET" and scope["method"] == "HEAD")
            if method and not allowed:
                raise _Refused(405, f"{path} takes {method}")
            await handler(scope, receive, send)
        except _Refused as error:
            known = path if path in self._routes else "other"
            self.engine.figures.turned_away(known, error.status)
            body = mlflow.failure(error.status, str(error))
            headers = [(b"allow", self._routes[path][0].encode())] if error.status == 405 else []
            if error.status == 503:
                headers.append((b"retry-after", b"1"))
            if error.close:
                headers.append((b"connection", b"close"))
            await self._reply(send, error.status, body, headers)

    async def _invocations(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        body = await self._body(headers, receive)
        begun = time.perf_counter_ns()
        content_type = _text(headers, b"content-type") or ""
        kind = mlflow.media_type(content_type)
        if not kind:
            raise _Refused(
                415,
                f"the content type {content_type[:100]!r} is not read; send "
                f"{mlflow.JSON}, {mlflow.CSV} or {mlflow.PARQUET}, in UTF-8",
            )
        engine, choice = self.engine, None
        try:
            choice = engine.choose(
                _text(headers, b"x-model") or "",
                key=_text(headers, b"x-routing-key"),
                version=_version(_text(headers, b"x-model-version")),
            )
            decoder = choice.slot.decoder
            if len(body) > LONG:
                rows = await self._offload(mlflow.decode, decoder, body, kind)
            else:
                rows = mlflow.decode(decoder, body, kind)
            if engine.expected(choice, rows.count) < INLINE_NS:
                output = engine.predict(choice, rows)
            else:
                output = await self._offload(engine.predict, choice, rows)
            answer = engine.record(choice, rows, output, begun=begun)
            content = mlflow.success(answer.predictions)
        except LifecycleError as error:
            code = mlflow.status(error)
            if choice is not None and not isinstance(error, PredictionFailed):
                engine.figures.answered(choice.slot.model, choice.slot.version, code)
            elif choice is None:
                engine.figures.turned_away("/invocations", code)
            if code == 503:
                _LOG.error("%s", error)
                error = LifecycleError("the prediction log cannot be written, nothing is answered")
            more: Headers = []
            if isinstance(error, PredictionFailed):
                more = [(b"x-prediction-id", error.error_id.encode())]
            await self._reply(send, code, mlflow.failure(code, str(error)), more)
            return
        named: Headers = [
            (b"x-model-version", b"%d" % answer.version),
            (b"x-model-arm", answer.arm.encode()),
            (b"x-prediction-id", answer.id.encode()),
        ]
        await self._reply(send, 200, content, named)

    async def _feedback(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        body = await self._body(headers, receive)
        try:
            if mlflow.media_type(_text(headers, b"content-type")) != mlflow.JSON:
                raise _Refused(415, f"send {mlflow.JSON}")
            name = _text(headers, b"x-model") or self.engine.table.first
            self.engine.table.find(name)
            if self._add_labels is None:
                raise _Refused(404, "this server keeps no labels")
            labels = _labels(body)
            loop = asyncio.get_running_loop()
            accepted = await loop.run_in_executor(self._chores, self._add_labels, name, labels)
        except LifecycleError as error:
            code = mlflow.status(error)
            if code == 503:
                _LOG.error("%s", error)
                raise _Refused(code, "the labels cannot be stored now; send them again") from error
            raise _Refused(code, str(error)) from error
        figures = self.engine.figures
        figures.labels[name] = figures.labels.get(name, 0) + accepted
        await self._reply(send, 200, msgspec.json.encode({"accepted": accepted}))

    async def _health(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        ready = bool(self.engine.table.groups) and not self.draining
        await self._reply(send, 200 if ready else 503, b"\n")

    async def _version(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await self._reply(send, 200, mlflow.mlflow_version().encode(), kind=TEXT)

    async def _alive(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await self._reply(send, 200, b'{"status": "alive"}')

    async def _metrics(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        text = self.engine.figures.text(self._gauges())
        await self._reply(send, 200, text.encode(), kind=PROMETHEUS)

    async def _nothing(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        raise _Refused(404, f"there is no {scope['path'][:100]!r} here")

    def _gauges(self) -> Iterable[tuple[str, str, dict[str, object], float]]:
        groups = self.engine.table.groups
        for name, group in groups.items():
            for arm in group.plan.arms:
                loaded = group.slots[arm.version].loaded
                yield (
                    "model_info",
                    "What serves and how.",
                    {"model": name, "version": arm.version, "arm": arm.name, "how": loaded.how},
                    1,
                )
        yield "waiting", "Requests that wait for the worker thread.", {}, self._waiting
        ready = bool(groups) and not self.draining
        yield "ready", "Whether a model is ready.", {}, int(ready)

    async def _offload(self, work: Callable[..., Any], *arguments: Any) -> Any:
        if self._waiting >= WAITING:
            raise _Refused(503, "too many requests are waiting")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._worker, work, *arguments)
        finally:
            self._waiting -= 1

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and (len(length) > 18 or int(length) > self._max_body):
            raise self._too_large()
        message = await self._received(receive, time.monotonic() + self._body_seconds)
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            if len(body) > self._max_body:
                raise self._too_large()
            return body
        parts, size = [body], len(body)
        deadline = time.monotonic() + self._body_seconds
        while message.get("more_body"):
            message = await self._received(receive, deadline)
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_body:
                raise self._too_large()
        return b"".join(parts)

    async def _received(self, receive: Receive, deadline: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                message = await receive()
        except TimeoutError:
            raise _Refused(408, "the body did not arrive in time", close=True) from None
        if message["type"] == "http.disconnect":
            raise _Refused(400, "the body was cut off", close=True)
        return message

    def _too_large(self) -> _Refused:
        return _Refused(413, f"the body is longer than {self._max_body} bytes", close=True)

    async def _reply(
        self, send: Send, status: int, body: bytes, more: Headers | None = None, kind: bytes = JSON
    ) -> None:
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *(more or ())]
        if self.draining:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    if self._on_start:
                        self._on_start()
                except LifecycleError as error:
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                self._worker.shutdown()
                self._chores.shutdown()
                if self._on_stop:
                    self._on_stop()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _text(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("utf-8", "replace")


def _version(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise _Refused(400, f"X-Model-Version is {text[:50]!r}; send a version's number")
    return int(text)


def _labels(body: bytes) -> list[dict[str, Any]]:
    """The labels of a /feedback body, as rows."""
    try:
        if re.match(rb'\s*\{\s*"labels"\s*:', body):
            return list(msgspec.json.decode(body, type=_Labels).labels)
        return [msgspec.json.decode(body, type=_Row)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise LabelError(
            f"the labels cannot be read: {error}",
            fix='send {"prediction_id": "…", "label": …} or {"labels": [{…}, …]}',
        ) from None
