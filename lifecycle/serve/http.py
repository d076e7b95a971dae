"""HTTP/1.1 between sockets and whole requests: an asyncio protocol on llhttp's parser.

>>> head(200, b"text/plain", 2, ((b"x-model-version", b"7"),)).split()[3:]
[b'content-type:', b'text/plain', b'content-length:', b'2', b'x-model-version:', b'7']

One `Connection` a socket parses what arrives, hands each whole request on, and writes the answers
in the order of the requests. No task and no future is made for a request. Time limits are kept by
one look at all connections a second, so that a request costs no timer. RFC 9112 is the protocol,
https://www.rfc-editor.org/rfc/rfc9112; parsing is httptools', which is Node's llhttp.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

import httptools

from lifecycle.serve.protocols import mlflow
from lifecycle.serve.wire import Headers, Request, Response

HEAD_BYTES = 64 * 1024  # the longest request line with its headers
PIPELINED = 16  # requests of one connection that may wait for the one before them
FRESH_SECONDS = 1.0  # in which a connection that was just opened is expected to ask
LINGER = 2.0  # seconds that a refused request may still send, so that its answer is not lost
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

Handle = Callable[[Request, Callable[[Response], None]], None]


@lru_cache(maxsize=1024)
def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return b"HTTP/1.1 %d %s\r\ncontent-type: " % (status, phrase.encode())


def head(status: int, kind: bytes, length: int, more: Headers) -> bytes:
    """The status line and headers of an answer, without the empty line that ends them.

    Args:
        status: the HTTP status.
        kind: the content type.
        length: bytes of the body.
        more: further headers.
    """
    parts = [_status_line(status), kind, b"\r\ncontent-length: %d\r\n" % length]
    for name, value in more:
        parts += (name, b": ", value, b"\r\n")
    return b"".join(parts)


@lru_cache(maxsize=1024)
def target(url: bytes) -> tuple[str, bytes]:
    """A request's target as its decoded path and its query.

    >>> target(b"/v2/models/a%20b/infer?x=1")
    ('/v2/models/a b/infer', b'x=1')
    """
    if not url.startswith(b"/"):  # the absolute form, or an asterisk
        found = httptools.parse_url(url)
        path, query = found.path or b"/", found.query or b""
    else:
        path, _, query = url.partition(b"?")
    if b"%" in path:
        path = unquote_to_bytes(path)
    return path.decode("utf-8", "replace"), query


class Http:
    """What all connections of one listener share.

    Args:
        handle: answers whole requests, see `App.handle`.
        max_body: bytes of the longest body.
        request_seconds: how long a request may take to arrive.
        idle_seconds: how long a connection is kept without a request.
        refused: told path and status of what never became a request.
        admit: told of each request whose body is still to come; calls back to refuse it, else the
            body is read. None: all are.

    Attributes:
        closing: answers say `Connection: close`, and connections end after them.
        connections: those that are open.
    """

    def __init__(
        self,
        handle: Handle,
        *,
        max_body: int = 16 << 20,
        request_seconds: float = 30.0,
        idle_seconds: float = 75.0,
        refused: Callable[[str, int], None] = lambda _path, _status: None,
        admit: Handle | None = None,
    ) -> None:
        self.handle, self.max_body, self.refused = handle, max_body, refused
        self.admit = admit
        self.request_seconds, self.idle_seconds = request_seconds, idle_seconds
        self.closing = False
        self.connections: set[Connection] = set()
        self.now = time.monotonic()

    def look(self) -> None:
        """Refuse requests that do not arrive, and close idle connections; once a second."""
        self.now = time.monotonic()
        for connection in tuple(self.connections):
            connection.look(self.now)

    @property
    def busy(self) -> bool:
        """Whether a request is being received or answered, or about to come."""
        return any(connection.busy for connection in self.connections)

    @property
    def answering(self) -> bool:
        """Whether a whole request waits for its answer."""
        return any(connection.answering for connection in self.connections)

    def close_idle(self) -> None:
        """Close the connections that neither send nor wait."""
        for connection in tuple(self.connections):
            if not connection.busy:
                connection.close()

    def abort(self) -> None:
        """Close all connections at once."""
        for connection in tuple(self.connections):
            connection.abort()


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, http: Http) -> None:
        self.http = http
        self.transport: Any = None
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._admits: dict[bytes, bytes] | None = None  # the headers of whom `admit` let pass
        self._body: list[bytes] = []
        self._size = 0  # bytes of the head, then of the body
        self._in_head = True
        self._receiving = False  # a request has begun and is not whole
        self._fresh = True  # it has sent nothing yet
        # when it was opened, when the request began, or when the last answer went out
        self._since = time.monotonic()
        self._waiting: deque[tuple[Request, bool, bool]] = deque()
        self._answering = False
        self._soon = False  # the next that waits is about to be answered
        self._direct = True  # the request that is being parsed may be answered at once
        self._full = False  # the client does not read
        self._keep, self._old, self._bodyless = True, False, False  # of the one that is answered
        self._deaf = False  # what else arrives is thrown away
        self._last = b""  # what is still to be said before the connection is closed
        self._ended = False  # the client sends no more

    @property
    def busy(self) -> bool:
        """Whether a request is being received or answered, or about to come."""
        expected = self._fresh and time.monotonic() - self._since < FRESH_SECONDS
        return self._receiving or self.answering or expected

    @property
    def answering(self) -> bool:
        """Whether a whole request waits for its answer."""
        return self._answering or bool(self._waiting)

    def close(self) -> None:
        """Close when what is written has gone out."""
        self.transport.close()

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    # what the loop calls

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self.transport = transport
        self.http.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """End; what is being answered has nobody to go to, and stays in the log."""
        self.http.connections.discard(self)
        self._deaf = True
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        """Parse; whole requests are handed on from `on_message_complete`."""
        if self._deaf:
            return
        self._direct = True
        if self._in_head:
            self._size += len(data)
            if not self._receiving:
                self._receiving, self._since, self._fresh = True, self.http.now, False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # no other protocol is spoken; the request was answered as it is
        except httptools.HttpParserError as error:
            if not self._deaf:  # else a callback has refused it
                self._refuse(400, f"the request is not HTTP/1.1: {error}")
            return
        if self._receiving:
            if not self._in_head:
                self._admitted()
            elif self._size > HEAD_BYTES:
                self._refuse(431, f"the head of the request is longer than {HEAD_BYTES} bytes")

    def eof_received(self) -> bool:
        """The client sends no more; what it asked is still answered."""
        self._ended = True
        return self.answering

    def pause_writing(self) -> None:
        """The client does not read: take and answer no more requests of it."""
        self._full = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        self._full = False
        self._go_on()
        if len(self._waiting) < PIPELINED:
            self.transport.resume_reading()

    # what the parser calls

    def on_message_begin(self) -> None:
        """A request begins, maybe in the same bytes as the one before it ends."""
        self._receiving = not self._deaf
        self._url = b""
        self._headers = {}
        self._body = []

    def on_url(self, url: bytes) -> None:
        """A part of the target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        name = name.lower()
        if name in self._headers:
            value = self._headers[name] + b", " + value
        self._headers[name] = value

    def on_headers_complete(self) -> None:
        """The head is whole: is the body to come too long?"""
        self._in_head, self._size = False, 0
        length = self._headers.get(b"content-length", b"")
        if length and (len(length) > 18 or int(length) > self.http.max_body):
            self._too_large()
        elif self._headers.get(b"expect", b"").lower() == b"100-continue" and self._admitted():
            self.transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._size += len(body)
        if self._size > self.http.max_body:
            self._too_large()
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._deaf:
            return
        self._receiving, self._in_head, self._size = False, True, 0
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        method = self._parser.get_method().decode("ascii", "replace")
        try:
            path, query = target(self._url)
        except httptools.HttpParserError:
            self._refuse(400, "the request's target is no path")
            return
        request = Request(method, path, query, self._headers, body, time.perf_counter_ns())
        keep = self._parser.should_keep_alive()
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):
            self._refuse(400, f"the request is not HTTP/1.1: it is HTTP/{version}")
            return
        old = version == "1.0"
        if self._direct and not self.answering:
            self._direct = False  # what came with it waits a turn, so that a full client is seen
            self._answer(request, keep, old)
            return
        self._waiting.append((request, keep, old))
        self._go_on()
        if len(self._waiting) >= PIPELINED:
            self.transport.pause_reading()

    def _admitted(self) -> bool:
        """Whether the body of the request may come, asked once when its head is there."""
        if self.http.admit is not None and self._admits is not self._headers and not self._deaf:
            self._admits = self._headers
            method = self._parser.get_method().decode("ascii", "replace")
            try:
                path, query = target(self._url)
            except httptools.HttpParserError:
                self._refuse(400, "the request's target is no path")
            else:
                begun = time.perf_counter_ns()
                self.http.admit(Request(method, path, query, self._headers, b"", begun), self._end)
        return not self._deaf

    # answers

    def _go_on(self) -> None:
        """Answer the next that waits on the next turn: many must not nest, nor pile up unread."""
        if self._waiting and not (self._answering or self._soon or self._full):
            self._soon = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._soon = False
        if self._waiting and not (self._answering or self._full):
            request, keep, old = self._waiting.popleft()
            if len(self._waiting) == PIPELINED - 1:
                self.transport.resume_reading()
            self._answer(request, keep, old)

    def _answer(self, request: Request, keep: bool, old: bool) -> None:
        self._answering = True
        self._keep, self._old, self._bodyless = keep, old, request.method == "HEAD"
        self.http.handle(request, self._reply)

    def _reply(self, response: Response) -> None:
        self._answering = False
        if self.transport.is_closing():
            return
        keep = self._keep and not (response.close or self.http.closing)
        start = head(response.status, response.kind, len(response.body), response.headers)
        if not keep:
            start += b"connection: close\r\n"
        elif self._old:
            start += b"connection: keep-alive\r\n"
        body = b"" if self._bodyless else response.body
        self.transport.write(b"%b\r\n%b" % (start, body))
        if not keep or (self._ended and not self._waiting):
            self._deaf = True
            self._waiting.clear()
            self.transport.close()
        elif self._waiting:
            self._go_on()
        elif self._last:
            self._part()
        else:
            self._since = self.http.now

    def look(self, now: float) -> None:
        """Refuse a request that does not arrive; close the connection when it is idle."""
        waited = now - self._since
        if self._receiving and waited > self.http.request_seconds:
            part = "head" if self._in_head else "body"
            self._refuse(408, f"the {part} of the request did not arrive in time")
        elif not self.busy and not self._deaf and waited > self.http.idle_seconds:
            self.transport.close()

    def _too_large(self) -> None:
        self._refuse(413, f"the body is longer than {self.http.max_body} bytes")

    def _refuse(self, status: int, message: str) -> None:
        """Answer what never became a request, after what came before it; then close."""
        if self._deaf:
            return
        self.http.refused("other", status)
        self._end(Response(status, mlflow.failure(status, message)))

    def _end(self, response: Response) -> None:
        """Say a last word after what came before it, and read no more."""
        self._deaf, self._receiving = True, False
        more = (*response.headers, (b"connection", b"close"))
        start = head(response.status, response.kind, len(response.body), more)
        body = b"" if self._parser.get_method() == b"HEAD" else response.body
        self._last = start + b"\r\n" + body
        if not self.answering:
            self._part()

    def _part(self) -> None:
        """Say the last word, and close when the client had time to read it."""
        self.transport.write(self._last)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        # closing while the client still sends would reset the connection, and the answer with it
        asyncio.get_running_loop().call_later(LINGER, self.transport.close)
