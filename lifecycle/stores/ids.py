"""Prediction ids: signed tokens, so that late labels need no look-up table and forgeries fail.

>>> token = issue(b"s" * 32, model="churn", version=7, time=1_760_000_000_000_000, rows=3)
>>> check(b"s" * 32, f"{token}.2", model="churn").row
2

One id stands for one request. A request of one row is logged under the id itself, row `i` of a
longer one under `<id>.<i>`; how many rows there are is signed too. Layout, big-endian, then
urlsafe base64 without padding:

    1 schema | 8 model hash | 4 version | 4 step | 4 rows | 8 time in ms | 8 key hash | 8 nonce
    arm in UTF-8 | 12 tag

The tag is keyed BLAKE2b (RFC 7693) over all before it; the key's hash is keyed as well, so that
an id does not tell whose it is.
"""

import os
from base64 import b64decode, b64encode
from binascii import b2a_base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from itertools import count
from pathlib import Path
from struct import Struct

from lifecycle.errors import ConfigError, LabelError, LogError
from lifecycle.records import Record

SCHEMA = 1
SHORTEST_SECRET = 16  # characters
_HEAD = Struct(">B8sIIIQ8s8s")
_TAG = 12
_LONGEST = 1000  # characters; no id that we issue comes near
_NO_KEY = bytes(8)
_ALPHABET = b"-_"
_URLSAFE = bytes.maketrans(b"+/", _ALPHABET)
_FIRST, _THEN = Struct(">B8sII"), Struct(">IQ8sQ")  # the head's constant part, and the rest
_nonce = count()


@dataclass(frozen=True)
class Issued(Record):
    """What a checked id says of the prediction it names."""

    id: str  # the prediction's id in the log: without a row where the request had one row
    request: str  # the id of the request
    row: int
    rows: int
    model: str
    version: int
    arm: str
    step: int
    time: datetime  # when it was issued, UTC
    key_hash: bytes


def secret(directory: str | Path) -> bytes:
    """The signing key: from LIFECYCLE_SECRET, else `<directory>/.secret`, made on first use.

    Every process that shares the log gets the same 32 bytes; what the file holds may be given to
    another machine as LIFECYCLE_SECRET.

    Args:
        directory: the prediction log's folder; made where it is missing.

    Raises:
        ConfigError: LIFECYCLE_SECRET is too short.
        LogError: the file cannot be made or read, is damaged, or others may read it.
    """
    given = os.environ.get("LIFECYCLE_SECRET")
    if given is None:
        given = _from_file(Path(directory) / ".secret")
    elif len(given) < SHORTEST_SECRET:
        raise ConfigError(
            f"the secret has {len(given)} characters, fewer than {SHORTEST_SECRET}",
            where="LIFECYCLE_SECRET",
            fix="set a longer one, for example the output of: openssl rand -hex 32",
        )
    # a variable of the environment may hold any bytes
    raw = given.encode("utf-8", "surrogateescape")
    return blake2b(raw, digest_size=32, person=b"lifecycle.id").digest()


def _from_file(path: Path) -> str:
    try:
        if not path.exists():
            _create(path)
        mode = path.stat().st_mode & 0o777
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LogError(
            f"the secret of the prediction ids cannot be made or read: {error}",
            where=path,
            fix="make the folder writable, or set LIFECYCLE_SECRET",
        ) from error
    if mode & 0o077:
        raise LogError(
            f"the secret of the prediction ids is readable by others (mode {mode:04o})",
            where=path,
            fix=f"chmod 600 {path}",
        )
    if len(text) < SHORTEST_SECRET:
        raise LogError(
            "the secret of the prediction ids is damaged",
            where=path,
            fix="restore the file; ids signed with the lost secret cannot be checked any more",
        )
    return text


def _create(path: Path) -> None:
    # complete before it is visible: of several processes that start at once the first link wins
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".secret.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(os.urandom(32).hex() + "\n")
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


@lru_cache(maxsize=1024)
def _model_hash(model: str) -> bytes:
    return blake2b(model.encode(), digest_size=8).digest()


def key_hash(secret: bytes, key: str | None) -> bytes:
    """Eight bytes that stand for a routing key in an id; zeros where there is none."""
    return _NO_KEY if key is None else blake2b(key.encode(), digest_size=8, key=secret).digest()


def issue(
    secret: bytes,
    *,
    model: str,
    version: int,
    time: int,
    arm: str = "champion",
    step: int = 0,
    key: str | None = None,
    rows: int = 1,
) -> str:
    """A new id for one request.

    >>> len(issue(b"s" * 32, model="churn", version=7, time=0))
    87

    Args:
        secret: what `secret` returned.
        model: the registered model's name.
        version: the version that answers.
        time: when, in microseconds since 1970 UTC.
        arm: the arm of the rollout that answers.
        step: the step of the rollout.
        key: the routing key; only its keyed hash is in the id.
        rows: how many rows the request has.
    """
    return issuer(secret, model, version, arm, step)(time, key_hash(secret, key), rows)


@lru_cache(maxsize=256)
def issuer(
    secret: bytes, model: str, version: int, arm: str, step: int
) -> Callable[[int, bytes, int], str]:
    """What issues the ids of one version in one arm; arguments as for `issue`.

    >>> make = issuer(b"s" * 32, "churn", 7, "champion", 0)
    >>> check(b"s" * 32, make(0, key_hash(b"s" * 32, None), 1), model="churn").rows
    1

    Returns:
        A function of the time, what `key_hash` gave, and how many rows there are.
    """
    first, last = _FIRST.pack(SCHEMA, _model_hash(model), version, step), arm.encode()
    begun, pack, bits = blake2b(first, digest_size=_TAG, key=secret), _THEN.pack, (1 << 64) - 1

    def make(time: int, hashed: bytes, rows: int) -> str:
        body = pack(rows, time // 1000 if time > 0 else 0, hashed, next(_nonce) & bits) + last
        tag = begun.copy()
        tag.update(body)
        text = b2a_base64(first + body + tag.digest(), newline=False)
        return text.translate(_URLSAFE).rstrip(b"=").decode()

    return make


def _start_anywhere() -> None:
    """Count nonces from a random number, in each process from one of its own."""
    global _nonce  # noqa: PLW0603 - a child must not go on where its parent is
    _nonce = count(int.from_bytes(os.urandom(8), "big"))


_start_anywhere()
os.register_at_fork(after_in_child=_start_anywhere)


def check(secret: bytes, token: str, *, model: str) -> Issued:
    """Read an id, with or without a row, once it is proven to be ours and of this model.

    Args:
        secret: what `secret` returned.
        token: `<id>` or `<id>.<row>`.
        model: the registered model's name.

    Raises:
        LabelError: the id is malformed, forged, of another model or log, or names no one row.
    """
    request, dot, text = token.partition(".")
    raw = _decoded(request)
    body, tag = raw[:-_TAG], raw[-_TAG:]
    if not compare_digest(tag, blake2b(body, digest_size=_TAG, key=secret).digest()):
        raise _refused(token, "was not issued by this log", "was LIFECYCLE_SECRET changed?")
    schema, model_hash, version, step, rows, time, hashed, _ = _HEAD.unpack(body[: _HEAD.size])
    if schema != SCHEMA:
        raise _refused(token, f"has schema {schema}", "update lifecycle")
    if model_hash != _model_hash(model):
        raise _refused(token, f"is of another model than {model!r}", "send it to its own model")
    row = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0
    if dot and (text != str(row) or row >= rows):
        raise _refused(token, f"names no row of a request of {rows}", "rows count from 0")
    if not dot and rows > 1:
        raise _refused(token, f"stands for {rows} rows", "name one as <id>.<row>, from 0")
    return Issued(
        id=request if rows == 1 else token,
        request=request,
        row=row,
        rows=rows,
        model=model,
        version=version,
        arm=body[_HEAD.size :].decode(),
        step=step,
        time=datetime.fromtimestamp(time / 1000, UTC),
        key_hash=hashed,
    )


def beginning(model: str) -> str:
    """The twelve characters that all ids of a model begin with; the time is in 28 to 40.

    >>> issue(b"s" * 32, model="churn", version=7, time=0).startswith(beginning("churn"))
    True
    """
    return b64encode(bytes([SCHEMA]) + _model_hash(model), _ALPHABET).decode()


def issued_at(token: str) -> datetime | None:
    """When an id was issued, unproven; None where it is none of ours.

    >>> issued_at(issue(b"s" * 32, model="churn", version=7, time=1_760_000_000_000_000)).year
    2025
    >>> issued_at("anything") is None
    True
    """
    try:
        raw = _decoded(token.partition(".")[0])
        return datetime.fromtimestamp(_HEAD.unpack(raw[: _HEAD.size])[5] / 1000, UTC)
    except (LabelError, OverflowError, ValueError, OSError):
        return None


def issued_for(token: str) -> bytes | None:
    """The hash of the key that an id of one row was issued for, unproven; None where it has none.

    >>> key = b"s" * 32
    >>> issued_for(issue(key, model="churn", version=7, time=0, key="c7")) == key_hash(key, "c7")
    True
    """
    try:
        head = _HEAD.unpack(_decoded(token.partition(".")[0])[: _HEAD.size])
    except LabelError:
        return None
    rows, hashed = head[4], head[6]
    return hashed if rows == 1 and hashed != _NO_KEY else None


def _decoded(request: str) -> bytes:
    try:
        if len(request) > _LONGEST:
            raise ValueError
        raw = b64decode(request.encode("ascii") + b"=" * (-len(request) % 4), _ALPHABET)
        # one spelling only: base64 allows spare bits and strangers' letters, labels must not
        if len(raw) < _HEAD.size + _TAG or b64encode(raw, _ALPHABET).rstrip(b"=") != (
            request.encode("ascii")
        ):
            raise ValueError
    except ValueError as error:
        raise _refused(request, "is no prediction id", "take it from the answer") from error
    return raw


def _refused(token: str, why: str, fix: str) -> LabelError:
    shown = token if len(token) <= 100 else f"{token[:100]}…"
    return LabelError(f"the id {why}", where=shown, fix=fix)
