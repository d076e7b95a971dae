"""What a request and an answer are between HTTP, the routes and the engine; no sockets here.

>>> def hello(request: Request) -> Response:
...     return Response(200, request.params["name"].encode())
>>> table = Routes([Route("GET", "/hello/{name}", hello, lambda status, message: b"")])
>>> route, params = table.find("GET", "/hello/ann")
>>> route.handler(Request("GET", "/hello/ann", params=params)).body
b'ann'

A route's handler is a plain function. It gives the answer itself (`Response`), or a prediction to
be made (`Asked`), or work that blocks (`Chore`); the application sees to both and to the threads.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from lifecycle.errors import DataError, LifecycleError, LogError, ModelNotFound
from lifecycle.serve.choices import Choice
from lifecycle.serve.engine import Answer, Engine
from lifecycle.serve.figures import Figures
from lifecycle.serve.rows import Rows

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
Headers = tuple[tuple[bytes, bytes], ...]
_CHOOSING = frozenset({b"x-model", b"x-model-version", b"x-routing-key"})


class Refused(Exception):
    """A request that is answered with an error status before the engine sees it.

    >>> Refused(413, "the body is too long", close=True).status
    413
    """

    def __init__(
        self, status: int, message: str, *, close: bool = False, headers: Headers = ()
    ) -> None:
        super().__init__(message)
        self.status, self.close, self.headers = status, close, headers


@dataclass(slots=True)
class Request:
    """One whole request.

    >>> Request("GET", "/", headers={b"x-model": b"churn"}).text(b"x-model")
    'churn'

    Attributes:
        method: as sent, in capitals.
        path: percent-decoded, without the query.
        query: what follows the question mark, as sent.
        headers: by name in lower case; of repeated ones the values joined by ", ".
        body: all of it, not yet decompressed.
        begun: `time.perf_counter_ns()` when the request was whole.
        params: what the names in the route's path stand for.
    """

    method: str
    path: str
    query: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    begun: int = 0
    params: dict[str, str] = field(default_factory=dict)

    def text(self, name: bytes) -> str:
        """A header's value; empty where it was not sent."""
        value = self.headers.get(name)
        return "" if value is None else value.decode("utf-8", "replace")


@dataclass(slots=True)
class Response:
    """What is answered.

    Attributes:
        status: the HTTP status.
        body: all of it.
        kind: the content type.
        headers: further ones; length and type are added by the transport.
        close: whether the connection is closed afterwards.
    """

    status: int
    body: bytes = b""
    kind: bytes = JSON
    headers: Headers = ()
    close: bool = False


@dataclass(slots=True)
class Asked:
    """A prediction that a request asks for, and how its answer is written."""

    choice: Choice
    rows: Rows
    write: Callable[[Answer], Response]


@dataclass(slots=True)
class Chore:
    """Work that reads or writes files and may take a while."""

    work: Callable[[], Response]


AddLabels = Callable[[str, list[dict[str, Any]]], int]
Gauge = tuple[str, str, dict[str, object], float]  # name, help, labels, value


@dataclass(slots=True)
class Service:
    """What the routes of one server share.

    Attributes:
        engine: answers.
        add_labels: stores late labels of a model and returns how many; None: they are not taken.
        draining: set when the server is told to stop: health checks fail, connections are closed.
        gauges: what /metrics asks for beside the engine's figures.
        max_body: bytes of the longest body, also of one that came compressed.
        total: the figures and gauges of all workers, from the engine's and this worker's; None:
            there is one worker.
        state: what `GET /status` answers.
        hook: takes headers and body of a webhook's delivery; says whether it concerns us.
    """

    engine: Engine
    add_labels: AddLabels | None = None
    draining: bool = False
    gauges: list[Callable[[], Iterable[Gauge]]] = field(default_factory=list)
    max_body: int = 16 << 20
    total: Callable[[list[Gauge]], tuple[Figures, list[Gauge]]] | None = None
    state: Callable[[], dict[str, Any]] | None = None
    hook: Callable[[Mapping[bytes, bytes], bytes], bool] | None = None

    def gauged(self) -> list[Gauge]:
        """What all sources say now."""
        return [gauge for source in self.gauges for gauge in source()]

    @property
    def ready(self) -> bool:
        """Whether a model is there, and the server is not told to stop."""
        return bool(self.engine.table.groups) and not self.draining


Handler = Callable[[Request], Response | Asked | Chore]
Failure = Callable[[int, str], bytes]


@dataclass(frozen=True, slots=True)
class Route:
    """What answers one method of one path.

    Attributes:
        method: GET or POST; GET answers HEAD as well.
        path: names in braces stand for one part of the path, as in `/v2/models/{model}/infer`.
        handler: makes the answer; raises Refused or a LifecycleError.
        failure: an error's body in the protocol's own form, from its status and message.
    """

    method: str
    path: str
    handler: Handler
    failure: Failure


class Routes:
    """All routes of a server, found by method and path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._plain: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Route]]] = []
        self._manners: dict[str, Failure] = {}
        patterns: dict[str, dict[str, Route]] = {}
        for route in routes:
            self._manners.setdefault(route.path.split("/", 2)[1], route.failure)
            kept = patterns if "{" in route.path else self._plain
            kept.setdefault(route.path, {})[route.method] = route
        for path, methods in patterns.items():
            parts = re.split(r"\{(\w+)\}", path)
            text = "".join(
                f"(?P<{part}>[^/:]+)" if index % 2 else re.escape(part)
                for index, part in enumerate(parts)
            )
            self._patterns.append((re.compile(text), methods))
        self._match = lru_cache(maxsize=1024)(self._matched)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route of a request, and what the names in its path stand for.

        Raises:
            Refused: 404, or 405 with the methods that the path takes.
        """
        methods = self._plain.get(path)
        params: tuple[tuple[str, str], ...] = ()
        if methods is None:
            methods, params = self._match(path)
        if methods is None:
            raise Refused(404, f"there is no {path[:100]!r} here")
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            raise Refused(405, f"{path[:100]} takes {', '.join(methods)}")
        return route, dict(params)

    def known(self, path: str) -> Route | None:
        """A route of a path, whatever its method; None for a path that is not known."""
        methods = self._plain.get(path) or self._match(path)[0]
        return next(iter(methods.values())) if methods else None

    def manner(self, path: str) -> Failure | None:
        """How the protocol writes errors whose paths begin as this one does."""
        return self._manners.get(path.split("/", 2)[1] if path.startswith("/") else "")

    def _matched(self, path: str) -> tuple[dict[str, Route] | None, tuple[tuple[str, str], ...]]:
        for pattern, methods in self._patterns:
            found = pattern.fullmatch(path)
            if found:
                return methods, tuple(found.groupdict().items())
        return None, ()


def choose(engine: Engine, request: Request, model: str = "", version: str = "") -> Choice:
    """Who answers a request: by its path, else by the headers X-Model and X-Model-Version.

    Args:
        engine: knows who serves.
        request: its header X-Routing-Key keeps the same arm for the same key.
        model: the name in the path.
        version: the version's number in the path.

    Raises:
        Refused: the version is no number.
        ModelNotFound: the model or version is not served.
    """
    if not version and _CHOOSING.isdisjoint(request.headers):
        return engine.choose(model)
    text = version or request.text(b"x-model-version")
    if text and not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Refused(400, f"X-Model-Version is {text[:50]!r}; send a version's number")
    return engine.choose(
        model or request.text(b"x-model"),
        key=request.text(b"x-routing-key") or None,
        version=int(text) if text else None,
    )


def named(answer: Answer) -> Headers:
    """The headers that say who answered."""
    version, arm = _who(answer.version, answer.arm)
    return (version, arm, (b"x-prediction-id", answer.id.encode()))


@lru_cache(maxsize=256)
def _who(version: int, arm: str) -> Headers:
    return ((b"x-model-version", b"%d" % version), (b"x-model-arm", arm.encode()))


def status(error: LifecycleError) -> int:
    """The HTTP status that an error is answered with.

    >>> status(ModelNotFound("no such model")), status(DataError("no rows"))
    (404, 400)
    """
    if isinstance(error, DataError):
        return 400
    if isinstance(error, ModelNotFound):
        return 404
    return 503 if isinstance(error, LogError) else 500
