"""From the bytes of a call to the bytes of its answer; what goes wrong becomes a gRPC status.

>>> CODES[404]
'NOT_FOUND'
>>> headers([("x-routing-key", "c7")])
{b'x-routing-key': b'c7'}

Handlers are plain functions of a message and a `Request`, whose headers are the call's metadata.
They give the answer, or work that takes a while (`Chore`), or a prediction to be made (`Asked`),
which goes through the same batches and into the same log as those of HTTP.
https://grpc.io/docs/guides/status-codes/ lists the statuses.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from lifecycle.errors import DataError, PredictionFailed
from lifecycle.serve.app import LONG, WAITING, App, refusal
from lifecycle.serve.choices import Choice
from lifecycle.serve.engine import Answer
from lifecycle.serve.logs import echoed
from lifecycle.serve.rows import Rows
from lifecycle.serve.wire import Headers, Refused, Request, Response, named

# by the HTTP status that the same refusal has
CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
GONE = 499  # what traces show of a call whose client has gone
DETAILS = 800  # characters of a message; all metadata of an answer must stay below 8 kB


@dataclass(slots=True)
class Asked:
    """A prediction that a call asks for, and how its answer is written."""

    choice: Choice
    rows: Rows
    write: Callable[[Answer], Any]


@dataclass(slots=True)
class Chore:
    """Work that takes a while, such as asking a model for its example."""

    work: Callable[[], Any]


Handler = Callable[[Any, Request], Any]


@dataclass(frozen=True, slots=True)
class Method:
    """One remote procedure.

    Attributes:
        path: as it is called, `/package.Service/Method`.
        kind: the request's message class.
        handler: makes the answer's message, an Asked or a Chore; may raise Refused and
            LifecycleErrors.
        open: whether it may be called without an API key.
    """

    path: str
    kind: Any
    handler: Handler
    open: bool = False


class Answers:
    """Answers calls.

    Args:
        app: makes the predictions, on the loop that the calls come in on.

    Attributes:
        busy: calls that are being answered.
        closing: whether further calls are told to go elsewhere.
    """

    def __init__(self, app: App) -> None:
        self.app = app
        self.busy, self.closing = 0, False
        self._last = 0.0  # when a call came or was answered last; health checks do not count
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="lifecycle-rpc")
        self._waiting = 0

    def silent(self, seconds: float) -> bool:
        """Whether no call came or was answered in the last seconds."""
        return time.monotonic() - self._last > seconds

    async def answer(self, method: Method, body: bytes, context: Any) -> bytes:
        """Answer one call; ends it with a status where there is no answer.

        Args:
            method: what is called.
            body: the request's message.
            context: of grpc.aio.
        """
        self.busy += 1
        if not method.open:
            self._last = time.monotonic()
        sent = headers(context.invocation_metadata() or ())
        request = Request("POST", method.path, headers=sent, begun=time.perf_counter_ns())
        end = self.app.trace(request, _nobody) if self.app.trace else _nobody
        if b"x-request-id" in sent:
            end = echoed(request, end)
            context.set_trailing_metadata(metadata(own(request)))
        code = GONE
        more: Headers = ()
        try:
            message, more = await self._made(method, request, body, context)
            data: bytes = message.SerializeToString()
            code = 200
            return data
        except Exception as error:
            if isinstance(error, PredictionFailed):  # it is logged and counted already
                token = error.error_id.encode()
                said = Refused(500, str(error), headers=((b"x-prediction-id", token),))
            else:
                said = refusal(error, route=method.path)
                self.app.engine.figures.turned_away(method.path, said.status)
            code, more = said.status, said.headers
            await context.abort(
                getattr(grpc.StatusCode, CODES.get(code, "UNKNOWN")),
                cut(str(said)),
                metadata((*own(request), *more)),
            )
            raise AssertionError from error  # abort has raised
        finally:
            end(Response(code, headers=more))
            self.busy -= 1
            if not method.open:
                self._last = time.monotonic()

    def close(self) -> None:
        """End the thread."""
        self._reader.shutdown()

    async def _made(
        self, method: Method, request: Request, body: bytes, context: Any
    ) -> tuple[Any, Headers]:
        """The answer's message, and who made it."""
        if self.closing and not method.open:
            raise Refused(503, "the server stops")
        left = context.time_remaining()
        if left is not None and left <= 0:
            raise Refused(504, "the deadline is over")
        if self.app.guard is not None and not method.open:
            self.app.guard(request)

        def read() -> Any:
            try:
                message = method.kind.FromString(body)
            except DecodeError:
                name = method.kind.DESCRIPTOR.full_name
                raise DataError(f"the message is no {name}") from None
            return method.handler(message, request)

        made = await self._elsewhere(read) if len(body) > LONG else read()
        if isinstance(made, Chore):
            return await self._elsewhere(made.work), ()
        if not isinstance(made, Asked):
            return made, ()
        answer = await self._predicted(made, request.begun)
        context.set_trailing_metadata(metadata((*own(request), *named(answer))))
        return made.write(answer), named(answer)

    async def _elsewhere(self, work: Callable[[], Any]) -> Any:
        """What long messages cost is paid in a thread, so that health checks are answered."""
        if self._waiting >= WAITING:
            raise Refused(503, "too many requests are waiting")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reader, work)
        finally:
            self._waiting -= 1

    async def _predicted(self, asked: Asked, begun: int) -> Answer:
        found: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def done(answer: Answer | Exception) -> None:
            if found.done():  # the client has gone; what it asked is in the log
                return
            if isinstance(answer, Exception):
                found.set_exception(answer)
            else:
                found.set_result(answer)

        self.app.ask(asked.choice, asked.rows, done, begun=begun)
        return await found


def _nobody(_response: Response) -> None:
    """Takes what a trace is told; the answer itself goes to the client as a message."""


def cut(text: str) -> str:
    """A message that metadata can hold.

    >>> len(cut("x" * 5000))
    801
    """
    return text if len(text) <= DETAILS else f"{text[:DETAILS]}…"


def own(request: Request) -> Headers:
    """What of a call's metadata goes back: its x-request-id, if it is no longer than ids are."""
    sent = request.headers.get(b"x-request-id", b"")
    return ((b"x-request-id", sent),) if 0 < len(sent) <= 128 else ()


def headers(found: Sequence[tuple[str, str | bytes]]) -> dict[bytes, bytes]:
    """A call's metadata as a request's headers; of repeated ones the values joined by ", ".

    >>> headers([("x-routing-key", "c7"), ("trace-bin", b"1"), ("trace-bin", b"2")])
    {b'x-routing-key': b'c7', b'trace-bin': b'1, 2'}
    """
    made: dict[bytes, bytes] = {}
    for key, value in found:
        name = key.lower().encode()
        data = value.encode() if isinstance(value, str) else value
        made[name] = made[name] + b", " + data if name in made else data
    return made


def metadata(found: Headers) -> tuple[tuple[str, str], ...]:
    """Headers as metadata, which holds no other characters than ASCII's visible ones.

    >>> metadata(((b"x-model-version", b"7"), (b"x-model-arm", "für".encode())))
    (('x-model-version', '7'),)
    """
    return tuple(
        (name.decode(), value.decode())
        for name, value in found
        if value.isascii() and value.decode().isprintable()
    )
