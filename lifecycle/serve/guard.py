"""Who may ask, and how often: looks at each request's API key before its route.

>>> import tempfile
>>> from lifecycle.serve import keys
>>> with tempfile.TemporaryDirectory() as folder:
...     token = keys.add(f"{folder}/keys.json", "web")
...     guard = Guard(f"{folder}/keys.json")
>>> guard(Request("GET", "/metrics", headers={b"authorization": b"Bearer " + token.encode()}))
>>> guard(Request("GET", "/ping"))
>>> guard(Request("GET", "/metrics"))
Traceback (most recent call last):
lifecycle.serve.wire.Refused: send an API key: Authorization: Bearer KEY, or X-API-Key: KEY

The file is looked at once a second and read again when it changed, so keys come and go without a
restart. A damaged or missing file keeps the last good keys, and says so.

Rates are the generic cell rate algorithm (ITU-T I.371), a token bucket of one number a key: the
time at which its bucket will be full again. The numbers stand in memory that the workers share.
"""

import logging
import mmap
import os
import time
from hashlib import blake2b
from pathlib import Path

from lifecycle.errors import ServeError
from lifecycle.serve import keys
from lifecycle.serve.keys import Key
from lifecycle.serve.wire import Refused, Request

# what load balancers and monitors ask; webhooks carry a signature of their own
OPEN = frozenset(
    {"/", "/ping", "/health", "/version", "/v2/health/live", "/v2/health/ready", "/hooks/mlflow"}
)
LOOK_NS = 1_000_000_000
_PLACES = 1 << 16  # of keys in the shared memory; two keys of one place would share a rate
_BEARER = b"bearer "
_LONGEST = 128  # bytes of a token that are hashed; a key is shorter
_LOG = logging.getLogger("lifecycle.serve")


class Guard:
    """Refuses requests without a key of the file, and those beyond a key's rate.

    Args:
        path: a file that `lifecycle keys add` wrote.
        shared: a folder that the workers of one server share; None: there is one worker.

    Attributes:
        trouble: why the file that is there now is not in force; empty when it is.

    Raises:
        ServeError: the file is missing, damaged, or holds no key.
    """

    def __init__(self, path: str | Path, *, shared: Path | None = None) -> None:
        self.path = Path(path)
        self.trouble = ""
        self._mark = self._stat()
        self._keys = keys.read(self.path)
        if not self._keys:
            raise ServeError(
                "the file of API keys holds none",
                where=path,
                fix=f"make one with: lifecycle keys add {path} --name NAME",
            )
        self._secret = os.urandom(32)
        self._known: dict[bytes, Key] = {}  # only keys of the file, so it cannot grow
        self._looked = time.perf_counter_ns()
        self._full = _places(shared)  # when each bucket will be full again, perf_counter_ns

    def __call__(self, request: Request) -> None:
        """Let a request pass.

        Raises:
            Refused: 401 without a valid key, 429 when the key asked too often.
        """
        now = request.begun or time.perf_counter_ns()
        key = self._key(request, now)
        if key is not None and key.rate:
            self._take(key, now)

    def admit(self, request: Request) -> None:
        """Let the body of a request come, of which the head is there; no rate is counted.

        Raises:
            Refused: 401 without a valid key.
        """
        self._key(request, request.begun or time.perf_counter_ns())

    def _key(self, request: Request, now: int) -> Key | None:
        """The key of a request; None where it needs none."""
        if request.path in OPEN:
            return None
        if now - self._looked > LOOK_NS:
            self._looked = now
            self._look()
        sent = request.headers.get(b"authorization", b"")
        if sent[:7].lower() == _BEARER:
            token = sent[7:].strip()
        else:
            token = request.headers.get(b"x-api-key", b"")
        token = token[:_LONGEST]
        key = self._known.get(blake2b(token, key=self._secret, digest_size=16).digest())
        return self._found(token) if key is None else key

    def _found(self, token: bytes) -> Key:
        if not token:
            raise Refused(
                401,
                "send an API key: Authorization: Bearer KEY, or X-API-Key: KEY",
                headers=((b"www-authenticate", b"Bearer"),),
            )
        fitting = [key for key in self._keys if key.fits(token)]  # all are compared
        if not fitting:
            raise Refused(
                401,
                "the API key is not valid here",
                headers=((b"www-authenticate", b'Bearer error="invalid_token"'),),
            )
        self._known[blake2b(token, key=self._secret, digest_size=16).digest()] = fitting[0]
        return fitting[0]

    def _take(self, key: Key, now: int) -> None:
        place = int(key.hash[:4], 16)
        interval = key.interval
        full = max(self._full[place], now)
        wait = full + interval - now - key.burst * interval
        if wait > 0:
            raise Refused(
                429,
                f"more than {key.rate} of this API key",
                headers=((b"retry-after", b"%d" % -(-wait // 1_000_000_000)),),
            )
        self._full[place] = full + interval

    def _look(self) -> None:
        mark = self._stat()
        if mark == self._mark:
            return
        self._mark = mark
        try:
            self._keys = keys.read(self.path)
        except ServeError as error:
            self.trouble = error.what
            _LOG.error("%s; the last good keys stay in force", error, extra={"event": "keys_kept"})
            return
        self.trouble = ""
        self._known.clear()
        _LOG.warning("API keys read again: %s", len(self._keys), extra={"event": "keys_read"})

    def _stat(self) -> tuple[int, ...]:
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return found.st_mtime_ns, found.st_size, found.st_ino


def _places(shared: Path | None) -> "memoryview[int]":
    """One time a place, all 0; the same memory for all workers that name the same folder."""
    length = _PLACES * 8
    if shared is None:
        return memoryview(bytearray(length)).cast("q")
    with (shared / "rates").open("a+b") as stream:
        stream.truncate(length)
        return memoryview(mmap.mmap(stream.fileno(), length)).cast("q")
