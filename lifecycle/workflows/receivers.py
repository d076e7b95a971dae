"""Who hears of incidents: apprise's addresses, kept secret, and one attempt to reach one of them.

>>> receiver = Receiver.read("json://me:secret@hooks.example.org/churn?token=abc", environ={})
>>> receiver.shown, receiver
('json://hooks.example.org', Receiver(shown='json://hooks.example.org', digest='8e0747bf'))

An address holds passwords and tokens. It is never shown, logged or stored: messages name its scheme
and, where that is no secret, its host; MLflow keeps a digest. `env:NAME` stands for the address in
an environment variable. Which services there are, and how their addresses are written, is said at
https://github.com/caronc/apprise/wiki.
"""

import hashlib
import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from lifecycle.errors import ConfigError, MissingExtra

LIMIT = 5.0  # seconds that one address may take
HOSTS = ("json", "xml", "form", "mailto")  # whose host is a machine; elsewhere it is a token
_WEB = "for a webhook write json://HOST/PATH, over TLS jsons://HOST/PATH"


@dataclass(frozen=True)
class Receiver:
    """One address.

    Attributes:
        shown: what messages may say of it.
        digest: names it in tags.
    """

    address: str = field(repr=False)
    shown: str
    digest: str

    @classmethod
    def read(cls, text: str, *, environ: Mapping[str, str] | None = None) -> "Receiver":
        """An address as it stands in the configuration.

        Args:
            text: an address of apprise, or `env:NAME`.
            environ: the environment; by default the process's own.

        Raises:
            ConfigError: the variable is not set.
        """
        address, known = text.strip(), os.environ if environ is None else environ
        if address.startswith("env:"):
            name = address.removeprefix("env:")
            address = known.get(name, "").strip()
            if not address:
                raise ConfigError(
                    f"the environment variable {name!r} is not set, or empty",
                    where="notify",
                    fix="set it to an address such as json://HOST/PATH",
                )
        digest = hashlib.sha256(address.encode()).hexdigest()[:8]
        return cls(address, _shown(address, digest), digest)

    def send(self, title: str, body: str, kind: str, *, limit: float = LIMIT) -> bool:
        """Try once, within a limit; a receiver that takes longer may have got it all the same.

        Args:
            title: the subject.
            body: plain text.
            kind: info, success, warning or failure.
            limit: seconds.

        Returns:
            Whether it was taken; never an error.
        """
        taken = []

        def attempt() -> None:
            with _silent(), suppress(Exception):  # of any service; its words may hold secrets
                made = _apprise().Apprise()
                made.add(self.address)
                if made.notify(title=title, body=body, notify_type=kind, body_format="text"):
                    taken.append(True)

        thread = threading.Thread(target=attempt, name="lifecycle-notify", daemon=True)
        thread.start()
        thread.join(limit)
        return bool(taken)


def receivers(notify: Sequence[str]) -> tuple[Receiver, ...]:
    """All addresses, each once, before any work is done.

    Raises:
        ConfigError: one is none that apprise knows; names its scheme, not the address.
        MissingExtra: apprise is not installed.
    """
    found = {}
    for text in notify:
        if not text.strip():
            continue
        receiver = Receiver.read(text)
        with _silent(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what its services import when first asked for
            good = _apprise().Apprise.instantiate(receiver.address, suppress_exceptions=True)
        if good is None:
            scheme = _scheme(receiver.address)
            raise ConfigError(
                f"{scheme}://… is no address that apprise can send to"
                if scheme
                else "an address without a scheme is none that apprise can send to",
                where="notify",
                fix=_WEB if scheme in ("", "http", "https") else "see apprise's page of services",
            )
        found[receiver.digest] = receiver
    return tuple(found.values())


def _shown(address: str, digest: str) -> str:
    scheme = _scheme(address)
    if scheme.removesuffix("s") in HOSTS:
        try:
            host = urlsplit(address).hostname
        except ValueError:
            host = None
        if host:
            return f"{scheme}://{host}"
    return f"{scheme}://… ({digest})"


def _scheme(address: str) -> str:
    scheme, colon, _ = address.partition("://")
    return scheme.lower() if colon and scheme.replace("+", "").isalnum() else ""


def _apprise() -> ModuleType:
    try:
        import apprise
    except ImportError as error:
        raise MissingExtra("apprise", extra="alerts", purpose="telling people") from error
    found: Any = apprise
    return found  # type: ignore[no-any-return]


@contextmanager
def _silent() -> Iterator[None]:
    """Keep apprise's log lines, which may hold addresses, to itself."""
    logger = logging.getLogger("apprise")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
