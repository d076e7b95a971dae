"""The server's own log lines, as text or as one JSON object a line; and ids that link to them.

>>> known = {"name": "lifecycle.serve", "msg": "churn is now version 8", "levelname": "WARNING"}
>>> record = logging.makeLogRecord({**known, "event": "swapped", "model": "churn", "version": 8})
>>> line = json.loads(Lines().format(record))
>>> line["level"], line["event"], line["message"], line["model"], line["version"]
('warning', 'swapped', 'churn is now version 8', 'churn', 8)

Requests are not logged one by one: predictions have a log of their own, and figures count the
rest. What fails inside is logged in full under an id, and the client is told the id alone.
"""

import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from lifecycle.serve.wire import Request, Response

# what a record may carry beside its message
FIELDS = (
    "model", "version", "prediction_id", "request_id", "error_id", "route", "status", "latency_ms",
)  # fmt: skip
_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_LOG = logging.getLogger("lifecycle.serve")

Reply = Callable[[Response], None]


class Lines(logging.Formatter):
    """One JSON object a record: time, level, event, message, and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        now = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": now.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", "log"),
            "message": record.getMessage(),
            "pid": record.process,
        }
        line |= {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        if not record.name.startswith("lifecycle"):
            line["logger"] = record.name
        return json.dumps(line, default=str)  # ASCII: half a character is no UTF-8


def set_up(kind: Literal["text", "json"]) -> None:
    """Send log lines to standard error, unless a program that embeds the server does already.

    Args:
        kind: as `[serve] logs`.
    """
    root = logging.getLogger()
    if kind == "json":
        if not any(isinstance(handler.formatter, Lines) for handler in root.handlers):
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(Lines())
            root.addHandler(handler)
        logging.getLogger("lifecycle").setLevel(logging.INFO)
        logging.captureWarnings(capture=True)
    elif not root.handlers and not _LOG.handlers:
        logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stderr)


def say(line: str, *, event: str = "said") -> None:
    """Tell the person who started the server; a log line where log lines are JSON.

    Args:
        line: what is said.
        event: what it is called in a log line.
    """
    if any(isinstance(handler.formatter, Lines) for handler in logging.getLogger().handlers):
        _LOG.info(line, extra={"event": event})
    else:
        print(line, file=sys.stderr, flush=True)


def noted(error: Exception, *, route: str, status: int) -> str:
    """Log what went wrong inside under an id, and return the id, which the client may know.

    Args:
        error: logged with its stack.
        route: the path of the route that was asked.
        status: what is answered.
    """
    error_id = secrets.token_hex(8)
    more = {"event": "error", "error_id": error_id, "route": route, "status": status}
    _LOG.error("%s failed, error id %s", route, error_id, exc_info=error, extra=more)
    return error_id


def echoed(request: Request, reply: Reply) -> Reply:
    """A reply that carries the request's X-Request-Id, and logs what was answered with an error.

    Args:
        request: an id that is not 1 to 128 visible ASCII characters is left aside.
        reply: takes the answer.
    """
    sent = request.headers.get(b"x-request-id", b"")
    if not _ID.fullmatch(sent):
        return reply

    def with_id(answer: Response) -> None:
        if answer.status >= 500:
            _failed(request, sent.decode(), answer)
        headers = (*answer.headers, (b"x-request-id", sent))
        reply(Response(answer.status, answer.body, answer.kind, headers, answer.close))

    return with_id


def _failed(request: Request, request_id: str, answer: Response) -> None:
    found = dict(answer.headers)
    latency = round((time.perf_counter_ns() - request.begun) / 1e6, 3)
    more: dict[str, object] = {"event": "request_failed", "request_id": request_id}
    more |= {"status": answer.status, "latency_ms": latency, "route": request.path[:100]}
    for name in (b"x-prediction-id", b"x-error-id"):
        if name in found:
            more[name[2:].decode().replace("-", "_")] = found[name].decode()
    _LOG.error("request %s was answered with %s", request_id, answer.status, extra=more)
