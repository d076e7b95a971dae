"""Sign entries and model files with an Ed25519 key (RFC 8032), and check who signed.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     public = make(Path(folder) / "key.pem")
...     signing = SigningConfig(key=f"{folder}/key.pem", trusted=(public,))
...     signature = sign(signing, "version 3", purpose="model")
...     print(repr(refusal(signing, "version 3", signature, purpose="model")))
...     print(refusal(signing, "version 4", signature, purpose="model"))
''
its signature is of another content

A signature is the text `ed25519:KEY:SIGNATURE`: 16 hexadecimal digits of the sha256 of the public
key, and the signature in base64. What is signed begins with its purpose, so that the signature of
an entry is none of a model.
"""

import base64
import hashlib
import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from weakref import WeakKeyDictionary

from lifecycle.config import SigningConfig
from lifecycle.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )
    from mlflow import MlflowClient

Purpose = Literal["entry", "model", "audit"]
PREFIX = "ed25519:"
_NONE = SigningConfig()
_of_clients: "WeakKeyDictionary[MlflowClient, SigningConfig]" = WeakKeyDictionary()


def remember(client: "MlflowClient", signing: SigningConfig) -> None:
    """Note what a client's entries are signed with; `stores.tracking.connect` does."""
    _of_clients[client] = signing


def of(client: "MlflowClient") -> SigningConfig:
    """What was noted of a client; without a note nothing is signed and none is asked for."""
    return _of_clients.get(client, _NONE)


def sign(signing: SigningConfig, text: str, *, purpose: Purpose) -> str:
    """The signature of a text; empty where `[signing] key` is not set.

    Args:
        signing: `[signing]`.
        text: canonical, without its signature.
        purpose: what it is; a signature holds for this purpose only.

    Raises:
        ConfigError: the key cannot be read, is of another kind, or others may read its file.
    """
    if not signing.key:
        return ""
    key = _private(signing.key)
    content = base64.b64encode(key.sign(_content(text, purpose))).decode()
    return f"{PREFIX}{_name(key.public_key())}:{content}"


def refusal(signing: SigningConfig, text: str, signature: str, *, purpose: Purpose) -> str:
    """Why a signature is not good enough; empty when it is, and where none is asked for.

    Takes about 0.1 ms.

    Args:
        signing: `[signing]`; without `trusted` nothing is checked.
        text: what `sign` was given.
        signature: what it gave; empty: there is none.
        purpose: what it must have been signed as.

    Raises:
        ConfigError: a trusted key cannot be read.
    """
    from cryptography.exceptions import InvalidSignature

    if not signing.trusted:
        return ""
    trusted = {_name(key): key for key in map(_public, signing.trusted)}
    if not signature:
        return "it is not signed"
    name, _, content = signature.removeprefix(PREFIX).partition(":")
    if not signature.startswith(PREFIX) or not content:
        return "its signature cannot be read"
    if name not in trusted:
        return f"it is signed with key {name[:16]!r}, which is not one of [signing] trusted"
    try:
        trusted[name].verify(base64.b64decode(content, validate=True), _content(text, purpose))
    except (InvalidSignature, ValueError):
        return "its signature is of another content"
    return ""


def make(path: str | Path) -> str:
    """Write a new pair of keys: the private one at `path`, the public one at `path`.pub.

    Returns:
        The public key as text, as `[signing] trusted` takes it besides a file.

    Raises:
        ConfigError: one of the files is there already, or cannot be written; nothing was changed.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    secret = Path(path)
    public = secret.with_name(f"{secret.name}.pub")
    for file in (secret, public):
        if file.exists() or file.is_symlink():
            raise ConfigError(
                "the file is there already; a key that signed something must not be lost",
                where=file,
                fix="choose another name",
            )
    key = Ed25519PrivateKey.generate()
    text = text_of(key.public_key())
    hidden = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    shown = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    try:
        handle = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as stream:
            stream.write(hidden)
        public.write_bytes(shown)
    except OSError as error:
        raise ConfigError(f"the key cannot be written: {error.strerror}", where=secret) from error
    return text


def text_of(key: "Ed25519PublicKey") -> str:
    """A public key as text: `ed25519:` and its 32 bytes in base64."""
    return PREFIX + base64.b64encode(key.public_bytes_raw()).decode()


def _content(text: str, purpose: str) -> bytes:
    return f"lifecycle {purpose} 1\n{text}".encode()


def _name(key: "Ed25519PublicKey") -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _private(name: str) -> "Ed25519PrivateKey":
    path = Path(name)
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(name, error.strerror or "") from error
    if found.st_uid == os.getuid() and found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"others may read the private key: its mode is {stat.S_IMODE(found.st_mode):o}",
            where=path,
            fix=f"chmod 600 {path}",
        )
    return _parsed_private(name, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=8)
def _parsed_private(name: str, _changed: int, _size: int) -> "Ed25519PrivateKey":
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    try:
        key = serialization.load_pem_private_key(Path(name).read_bytes(), password=None)
    except OSError as error:
        raise _unreadable(name, error.strerror or "") from error
    except Exception as error:
        raise _unreadable(name, str(error)) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _unreadable(name, "it is of another kind")
    return key


def _public(name: str) -> "Ed25519PublicKey":
    if name.startswith((PREFIX, "-----BEGIN")):
        return _parsed_public(name, name.encode())
    try:
        content = Path(name).read_bytes()
    except OSError as error:
        raise _unreadable(name, error.strerror or "") from error
    return _parsed_public(name, content)


@lru_cache(maxsize=64)
def _parsed_public(name: str, content: bytes) -> "Ed25519PublicKey":
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    text = content.strip()
    try:
        if text.startswith(PREFIX.encode()):
            raw = base64.b64decode(text.removeprefix(PREFIX.encode()), validate=True)
            return Ed25519PublicKey.from_public_bytes(raw)
        key = serialization.load_pem_public_key(text)
    except Exception as error:
        raise _unreadable(name, str(error)) from error
    if not isinstance(key, Ed25519PublicKey):
        raise _unreadable(name, "it is of another kind")
    return key


def _unreadable(name: str, why: str) -> ConfigError:
    reason = f": {why.splitlines()[0]}" if why else ""
    return ConfigError(
        f"this is no Ed25519 key that can be read{reason}",
        where=name if len(name) < 200 else f"{name[:60]}…",
        fix="make a pair with `lifecycle signing-key FILE`",
    )
