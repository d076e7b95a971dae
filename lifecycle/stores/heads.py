"""A ledger's head, exported and kept elsewhere: what shows that a ledger was cut or rewritten.

>>> noted("ab" * 32).digest[:4]
'abab'

Whoever can write to MLflow's database can compute a whole new chain, or cut off its end. Neither
fits a head that was noted before: it says how many entries there were, and the digest of each.
"""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lifecycle.errors import DataError
from lifecycle.records import Entry
from lifecycle.stores.entries import sha256

FORMAT = "lifecycle-head/1"
SHORT = 16  # hexadecimal digits of each earlier entry's digest
_DIGEST = re.compile(r"(sha256:)?[0-9a-f]{64}")


@dataclass(frozen=True)
class Head:
    """What was noted of a ledger.

    Attributes:
        digest: of its last entry.
        seq: that entry's number; 0: not noted.
        name: of the model; empty: not noted.
        chain: the beginnings of all entries' digests, oldest first; empty: not noted.
        entries: the entries as they were, where all of them were kept.
    """

    digest: str
    seq: int = 0
    name: str = ""
    chain: tuple[str, ...] = ()
    entries: tuple[dict[str, Any], ...] = ()


def differences(head: Head, texts: Sequence[str]) -> list[tuple[int, str]]:
    """Where a ledger is not a continuation of what was noted: number of the entry, and how.

    >>> differences(Head(sha256("a")), ["a", "b"])
    []
    >>> differences(Head(sha256("b"), seq=2), ["a"])
    [(2, 'entries 2 to 2 are gone: the end was cut off')]

    Args:
        head: what was kept elsewhere.
        texts: the entries as they are stored now, oldest first.
    """
    digests = [sha256(text) for text in texts]
    if not head.seq:
        if head.digest in digests:
            return []
        return [(0, "no entry has the digest that was noted: cut off, or written anew")]
    pairs = list(enumerate(head.chain)) or [(head.seq - 1, head.digest)]
    said: list[tuple[int, str]] = []
    other = next(
        (at for at, was in pairs if at < len(digests) and _differs(was, digests[at])), None
    )
    if other is not None:
        said.append((other + 1, _from(head, other, texts, whole=bool(head.chain))))
    if len(digests) < head.seq:
        first = len(digests) + 1
        said.append((first, f"entries {first} to {head.seq} are gone: the end was cut off"))
    return said


def _differs(was: str, digest: str) -> bool:
    return not digest.startswith(was)


def _from(head: Head, at: int, texts: Sequence[str], *, whole: bool) -> str:
    """What is said of the first entry that differs, with its fields where they were kept."""
    if not whole:
        return "it is another than was noted: it, or one before it, was changed"
    changed = ""
    if head.entries:
        try:
            now = json.loads(texts[at])
        except ValueError:
            now = {}
        was = {key: value for key, value in head.entries[at].items() if key != "digest"}
        names = [
            key for key in sorted({*now, *was}) if (now.get(key) or None) != (was.get(key) or None)
        ]
        shown = [f"{key!r} is {now.get(key)!r}, was {was.get(key)!r}" for key in names]
        changed = f": {'; '.join(shown)}" if shown else ""
    if at == 0:
        return f"the first entry is another: the ledger was replaced{changed}"
    return f"it is another than was noted: the ledger was written anew from here{changed}"


def save(path: str | Path, name: str, entries: Sequence[Entry]) -> None:
    """Write the head of a ledger to a file, whole or not at all.

    Raises:
        DataError: there is no entry, or the file cannot be written.
    """
    if not entries:
        raise DataError("the ledger has no entry, so it has no head", where=name)
    tree = {
        "format": FORMAT,
        "name": name,
        "seq": entries[-1].seq,
        "digest": entries[-1].digest,
        "time": entries[-1].time,
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        "chain": [entry.digest[:SHORT] for entry in entries],
    }
    write(path, json.dumps(tree, indent=1) + "\n")


def noted(given: str | Path) -> Head:
    """A head from what was kept: the digest itself, or a file.

    Args:
        given: 64 hexadecimal digits; or a file that `save` wrote, that holds a digest alone, or
            that `lifecycle history --json` printed, which tells most.

    Raises:
        DataError: it is neither.
    """
    text = str(given).strip()
    if _DIGEST.fullmatch(text.lower()):
        return Head(text.lower().removeprefix("sha256:"))
    try:
        content = Path(text).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"no head can be read there: {error}",
            where=text,
            fix="give the 64 digits of a digest, or the file that `history --head` wrote",
        ) from error
    if _DIGEST.fullmatch(content.lower()):
        return Head(content.lower().removeprefix("sha256:"))
    try:
        return _parsed(json.loads(content))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise DataError(
            f"the file holds no head of a ledger: {type(error).__name__}: {error}",
            where=text,
            fix="write one with `lifecycle history NAME --head FILE`",
        ) from error


def _parsed(tree: Any) -> Head:
    if "entries" in tree:  # what `history --json` printed
        entries = tuple(dict(entry) for entry in tree["entries"])
        chain = tuple(str(entry["digest"]) for entry in entries)
        return Head(chain[-1], len(chain), str(tree["name"]), chain, entries)
    if tree["format"] != FORMAT:
        raise ValueError(f"format {tree['format']!r} is not {FORMAT}")
    chain = tuple(str(item) for item in tree["chain"])
    seq, digest = int(tree["seq"]), str(tree["digest"])
    if len(chain) != seq or not _DIGEST.fullmatch(digest) or not digest.startswith(chain[-1]):
        raise ValueError("its parts do not fit each other")
    return Head(digest, seq, str(tree["name"]), chain)


def write(path: str | Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    final = Path(path)
    draft = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    try:
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(final)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"the file cannot be written: {error.strerror or error}",
            where=final,
            fix="choose another place, or free some space",
        ) from error
