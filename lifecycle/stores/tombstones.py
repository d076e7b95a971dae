"""What was erased from a journal that a living process still writes: rows that nobody reads again.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     path = Path(folder, "1.journal")
...     bury(path, "churn", "c7", before=100)
...     keys = pl.Series(["c7", "c8", "c7"])
...     kept(keys, np.array([0, 50, 100]), read(path), "churn").to_list()
[False, True, True]

They stand beside the journal, in `<name>.erased`, and go when it is sealed: sealing leaves the
rows out. A key is there as a salted hash. What the journal takes in afterwards is not erased.
"""

import os
from hashlib import blake2b
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from lifecycle.errors import LogError

SUFFIX = ".erased"


class Tombstone(msgspec.Struct, frozen=True):
    """One key of one model, in what a journal held at a time."""

    model: str
    before: int  # records that begin before this byte
    salt: bytes
    hash: bytes


_decode = msgspec.json.Decoder(list[Tombstone]).decode


def beside(journal: Path) -> Path:
    """Where the tombstones of a journal stand."""
    return journal.with_suffix(SUFFIX)


def read(journal: Path) -> list[Tombstone]:
    """The tombstones of a journal, none where nothing was erased.

    Raises:
        LogError: they are damaged.
    """
    path = beside(journal)
    try:
        return _decode(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError) as error:
        raise LogError(
            f"what was erased from a journal cannot be read: {error}",
            where=path,
            fix="restore the file, or remove it and erase again",
        ) from error


def bury(journal: Path, model: str, key: str, *, before: int) -> None:
    """Erase a key's rows from what a journal holds so far.

    Args:
        journal: its path.
        model: the registered model's name.
        key: whose rows.
        before: the journal's length in bytes.

    Raises:
        LogError: it cannot be written; nothing is erased then.
    """
    salt = os.urandom(16)
    made = Tombstone(model, before, salt, _hash(key, salt))
    path = beside(journal)
    draft = path.with_name(f".{path.name}.tmp")
    try:
        found = read(journal)
        with draft.open("wb") as file:
            file.write(msgspec.json.encode([*found, made]))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise LogError(f"nothing can be erased: {error}", where=path, fix="free space") from error


def kept(keys: pl.Series, places: np.ndarray, tombstones: list[Tombstone], model: str) -> pl.Series:
    """Which rows of a journal still are.

    Args:
        keys: each row's.
        places: at which byte each row's record begins.
        tombstones: what `read` gave.
        model: whose rows they are.
    """
    gone = np.zeros(len(keys), dtype=bool)
    known = keys.drop_nulls().unique().to_list()
    for stone in tombstones:
        if stone.model == model:
            hit = [key for key in known if _hash(key, stone.salt) == stone.hash]
            gone |= keys.is_in(hit).fill_null(value=False).to_numpy() & (places < stone.before)
    return pl.Series(~gone)


def _hash(key: str, salt: bytes) -> bytes:
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=32, salt=salt).digest()
