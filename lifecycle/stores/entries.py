"""One entry of a ledger as text: canonical JSON, its digest, and the chain of several.

>>> entry = draft(kind="stage", version=3, source="none", to="staging", reason="first try")
>>> (entry.seq, entry.kind, entry.to)
(0, 'stage', 'staging')
>>> loads(dumps(entry)) == entry
True

Each entry names the sha256 of the text before it, so that nothing in the middle can be changed
unseen. A signature is over the text without it.
"""

import getpass
import hashlib
import json
import os
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

from lifecycle.errors import DataError, LedgerError
from lifecycle.records import Entry, plain

LONGEST = 6000  # characters that MLflow keeps of a parameter
CONTINUE = "continue"  # the kind of the entry that names the next run
FIRST = "0" * 64  # what the first entry names as the one before it
VERSION = 1
_NAMES = {item.name for item in fields(Entry)} - {"digest"}
_KINDS: dict[str, Any] = {
    "prev": str, "id": str, "time": str, "actor": str, "kind": str, "version": int | None,
    "source": str | None, "to": str | None, "reason": str, "evidence_digest": str,
    "evidence_link": str, "identity": str, "extra": dict, "signature": str,
}  # fmt: skip


def draft(
    *,
    kind: str,
    version: int | None = None,
    source: str | None = None,
    to: str | None = None,
    reason: str = "",
    evidence_digest: str = "",
    evidence_link: str = "",
    extra: Mapping[str, Any] | None = None,
) -> Entry:
    """An entry with id, time and actor; its place and chain are set when it is written.

    >>> draft(kind="flag").seq
    0
    """
    return Entry(
        seq=0,
        prev="",
        id=str(uuid.uuid4()),
        time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        actor=actor(),
        kind=kind,
        version=version,
        source=source,
        to=to,
        reason=reason,
        evidence_digest=evidence_digest,
        evidence_link=evidence_link,
        extra=plain(dict(extra or {})),
    )


def dumps(entry: Entry) -> str:
    """An entry as canonical JSON: sorted keys, no spaces, ASCII; what is hashed and stored.

    Raises:
        DataError: it is longer than MLflow keeps.
    """
    values = {item.name: getattr(entry, item.name) for item in fields(entry)}
    del values["digest"]
    if not entry.signature:
        del values["signature"]
    text = json.dumps(plain(values), sort_keys=True, separators=(",", ":"))
    if len(text) > LONGEST:
        raise DataError(
            f"a ledger entry of {len(text):,} characters is longer than the {LONGEST:,} that MLflow"
            " keeps",
            where=f"kind {entry.kind}, reason of {len(entry.reason):,} characters",
            fix="give a shorter reason and link to the long one",
        )
    return text


def loads(text: str) -> Entry:
    """An entry from its stored text, with its digest.

    >>> loads(dumps(draft(kind="flag", reason="drift"))).reason
    'drift'

    Raises:
        LedgerError: the text is no entry, or of a later version of lifecycle.
    """
    try:
        values = json.loads(text)
        if values["v"] != VERSION:
            raise LedgerError(
                f"an entry has version {values['v']!r}, this lifecycle reads {VERSION}",
                fix="upgrade mlflow-lifecycle",
            )
        unknown = sorted(set(values) - _NAMES)
        if unknown:
            raise LedgerError(f"an entry has a field {unknown[0]!r}, which no entry has")
        return Entry(**values, digest=sha256(text))
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, LedgerError):
            raise
        raise LedgerError(f"an entry cannot be read: {error}: {text[:80]!r}") from error


def verify(
    texts: Sequence[str], *, where: str = "", first: int = 1, prev: str = FIRST
) -> tuple[Entry, ...]:
    """Read stored texts, oldest first, and check numbers and chain.

    >>> from dataclasses import replace
    >>> first = replace(draft(kind="flag"), seq=1, prev=FIRST)
    >>> len(verify([dumps(first)]))
    1

    Args:
        texts: of all entries, or of those from `first` on.
        where: the ledger, for the message.
        first: the number of the first of them.
        prev: the digest of the entry before it.

    Raises:
        LedgerError: names the entry that does not fit the one before it.
    """
    entries: list[Entry] = []
    expected = prev
    for seq, text in enumerate(texts, start=first):
        try:
            entry = loads(text)
        except LedgerError as error:
            raise LedgerError(
                f"entry {seq}: {error.what}", where=where, fix=error.fix or "restore a backup"
            ) from error
        if entry.seq != seq or entry.prev != expected:
            what = (
                f"has number {entry.seq}" if entry.seq != seq else "does not follow the one before"
            )
            raise LedgerError(
                f"entry {seq} {what}: the ledger was changed",
                where=where,
                fix="restore the tracking database from a backup",
            )
        entries.append(entry)
        expected = entry.digest
    return tuple(entries)


def faults(texts: Mapping[int, str]) -> dict[int, list[str]]:
    """Every place where a ledger does not hold, not the first alone.

    >>> from dataclasses import replace
    >>> one = dumps(replace(draft(kind="flag"), seq=1, prev=FIRST))
    >>> faults({1: one})
    {}
    >>> faults({1: one, 3: one})
    {2: ['it is missing'], 3: ["its field 'seq' says 1", 'it has the id of entry 1: it was copied']}

    Args:
        texts: of the entries, as they are stored, by number.

    Returns:
        What is wrong, by the number of the entry. Of an entry that was changed the one after it
        tells: it seals another text.
    """
    found: dict[int, list[str]] = {}
    ids: dict[str, int] = {}
    digests = {seq: sha256(text) for seq, text in texts.items()}
    named = {seq: _sealed(text) for seq, text in texts.items()}
    for seq in range(1, max(texts, default=0) + 1):
        if seq not in texts:
            found[seq] = ["it is missing"]
            continue
        said = list(_wrong(seq, texts[seq]))
        before = digests.get(seq - 1, FIRST if seq == 1 else "")
        if before and named[seq] and named[seq] != before:
            # the entry after this one vouches for it, so the one before was changed
            vouched = named.get(seq + 1) == digests[seq]
            if vouched and seq > 1:
                found.setdefault(seq - 1, []).append(f"it was changed: entry {seq} seals another")
            else:
                said.append("it does not follow the one before: one of the two was changed")
        try:
            mine = str(loads(texts[seq]).id)
        except LedgerError:
            mine = ""
        if mine and ids.setdefault(mine, seq) != seq:
            said.append(f"it has the id of entry {ids[mine]}: it was copied")
        if said:
            found.setdefault(seq, []).extend(said)
    return dict(sorted(found.items()))


def _wrong(seq: int, text: str) -> Iterator[str]:
    """What an entry itself shows to be wrong; names the field where that can be told."""
    try:
        entry = loads(text)
    except LedgerError as error:
        yield error.what
        return
    if json.dumps(json.loads(text), sort_keys=True, separators=(",", ":")) != text:
        yield "its text is not in the form that is written: it was edited by hand"
    if entry.seq != seq:
        yield f"its field 'seq' says {entry.seq!r}"
    for name, kinds in _KINDS.items():
        if not isinstance(getattr(entry, name), kinds):
            yield f"its field {name!r} is {getattr(entry, name)!r}"


def _sealed(text: str) -> str:
    """The digest that an entry names as the one before it; empty when it cannot be read."""
    try:
        return str(loads(text).prev)
    except LedgerError:
        return ""


def actor() -> str:
    """Who acts: `LIFECYCLE_ACTOR`, else user@host.

    >>> bool(actor())
    True
    """
    named = os.environ.get("LIFECYCLE_ACTOR", "").strip()
    if named:
        return named
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def unsigned(text: str) -> str:
    """The text that an entry's signature is over: its own without the signature.

    >>> from dataclasses import replace
    >>> unsigned(dumps(replace(draft(kind="flag"), signature="x"))).count("signature")
    0
    """
    values = json.loads(text)
    values.pop("signature", None)
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def sha256(text: str) -> str:
    """The digest of a text, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
