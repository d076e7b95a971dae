"""API keys in a file: names, salted hashes and rates; a key itself is shown once, when it is made.

>>> made, token = make("web", rate="100/s")
>>> made.fits(token.encode()), made.fits(b"lc_guess"), made.rate
(True, False, '100/s')

A key is 32 random bytes, so nobody finds it by trying and one keyed BLAKE2b is enough; the slow
hashes that passwords need would cost each request milliseconds. The salt is a key's own, so that
two files do not show whether they hold the same key.
"""

import contextlib
import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest
from pathlib import Path
from typing import Any

from lifecycle.errors import ConfigError, ServeError

PREFIX = "lc_"  # so that scanners and people know a key when they see one
UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}  # seconds
_RATE = re.compile(r"([1-9]\d{0,8})\s*/\s*(s|min|h|d)")
_NAME = re.compile(r"[\w.-]{1,64}")
_HEX = re.compile(r"(?:[0-9a-f]{2}){1,64}")


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the file.

    Attributes:
        name: whose it is.
        salt: hexadecimal, the key's own.
        hash: BLAKE2b of the key under the salt, hexadecimal.
        rate: how many requests it may make, as in "100/s"; empty: any number.
        created: when it was made, UTC.
    """

    name: str
    salt: str = field(repr=False)
    hash: str = field(repr=False)
    rate: str = ""
    created: str = ""

    def fits(self, token: bytes) -> bool:
        """Whether this is the key's token; takes as long for any."""
        return compare_digest(_hashed(token, self.salt), self.hash)

    @property
    def burst(self) -> int:
        """How many requests it may make at once; 0: any number."""
        return per(self.rate)[0]

    @property
    def interval(self) -> int:
        """Nanoseconds after which it may make one more; 0: none."""
        count, seconds = per(self.rate)
        return seconds * 1_000_000_000 // count if count else 0


@lru_cache(maxsize=256)
def per(rate: str) -> tuple[int, int]:
    """How many requests in how many seconds a rate allows; (0, 0) for the empty one.

    >>> per("100/s"), per("5000 / h")
    ((100, 1), (5000, 3600))

    Raises:
        ConfigError: it is no rate.
    """
    if not rate:
        return 0, 0
    found = _RATE.fullmatch(rate.strip())
    if found is None:
        raise ConfigError(f"the rate is {rate!r}", fix="write it as 100/s, 1000/min, 5000/h or 9/d")
    return int(found[1]), UNITS[found[2]]


def make(name: str, *, rate: str = "") -> tuple[Key, str]:
    """A new key and its token, which is kept nowhere.

    Raises:
        ConfigError: the name or the rate cannot be used.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"the key's name is {name!r}", fix="use 1 to 64 letters, digits, dots, - and _"
        )
    per(rate)
    token, salt = PREFIX + secrets.token_urlsafe(32), secrets.token_hex(16)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Key(name, salt, _hashed(token.encode(), salt), rate, now), token


def add(path: str | Path, name: str, *, rate: str = "") -> str:
    """Make a key, write what is known of it to the file, and return its token.

    Args:
        path: the file; made, readable for its owner alone, where it is missing.
        name: whose it is; each name has one key.
        rate: how many requests it may make, as in "100/s"; empty: any number.

    Raises:
        ConfigError: the name is taken, or name or rate cannot be used.
        ServeError: the file is damaged or cannot be written.
    """
    made, token = make(name, rate=rate)
    with _changing(Path(path)) as keys:
        if any(key.name == name for key in keys):
            raise ConfigError(
                f"there is a key named {name!r} already",
                where=path,
                fix="use another name, change clients over, then remove the old one",
            )
        keys.append(made)
    return token


def remove(path: str | Path, name: str) -> None:
    """Take a key out of the file; a running server refuses it within a second.

    Raises:
        ConfigError: there is none of that name.
        ServeError: the file is damaged, missing or cannot be written.
    """
    read(path)
    with _changing(Path(path)) as keys:
        left = [key for key in keys if key.name != name]
        if len(left) == len(keys):
            names = ", ".join(key.name for key in keys) or "none"
            raise ConfigError(f"there is no key named {name!r}; there are: {names}", where=path)
        keys[:] = left


def read(path: str | Path) -> tuple[Key, ...]:
    """The keys of a file.

    Raises:
        ServeError: the file is missing, or not as `add` writes it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ServeError(
            f"the file of API keys cannot be read: {reason}",
            where=path,
            fix=f"write it with: lifecycle keys add {path} --name NAME",
        ) from error
    try:
        keys = tuple(_key(item) for item in json.loads(text)["keys"])
        if len({key.name for key in keys}) != len(keys):
            raise ValueError("a name is there twice")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ServeError(
            f"the file of API keys is damaged: {error}",
            where=path,
            fix="restore it, or delete it and make new keys",
        ) from error
    return keys


def _key(item: Any) -> Key:
    key = Key(**item)
    if not all(isinstance(value, str) for value in asdict(key).values()):
        raise TypeError("a field is no text")
    if not (_NAME.fullmatch(key.name) and _HEX.fullmatch(key.salt) and len(key.hash) == 64):
        raise ValueError(f"the entry {key.name[:64]!r} is not whole")
    per(key.rate)
    return replace(key, hash=key.hash.lower())


def _hashed(token: bytes, salt: str) -> str:
    return blake2b(token, key=bytes.fromhex(salt), digest_size=32).hexdigest()


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[list[Key]]:
    """The file's keys, to be changed; written whole or not at all, one process at a time."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with Path(f"{path}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = list(read(path)) if path.exists() else []
            yield keys
            text = json.dumps({"keys": [asdict(key) for key in keys]}, indent=2) + "\n"
            mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise ServeError(
            f"the file of API keys cannot be written: {error.strerror}", where=path
        ) from error


def changed(
    path: str | Path, action: str, name: str = "", *, rate: str = ""
) -> tuple[dict[str, Any], list[str]]:
    """What `lifecycle keys` does and shows: as JSON types, and as lines.

    Args:
        path: the file.
        action: "add", "list" or "remove".
        name: whose key is made or removed.
        rate: of a new key.

    Raises:
        ConfigError: see `add` and `remove`.
        ServeError: see `add` and `read`.
    """
    if action == "add":
        token = add(path, name, rate=rate)
        return {"name": name, "key": token, "rate": rate}, [token]
    if action == "remove":
        remove(path, name)
        return {"removed": name}, [
            f"{name} is removed; a running server refuses it within a second"
        ]
    known = read(path)
    lines = [f"{key.name:20} {key.rate or 'any rate':12} {key.created}" for key in known]
    told = [{"name": key.name, "rate": key.rate, "created": key.created} for key in known]
    return {"keys": told}, lines or ["no keys"]
