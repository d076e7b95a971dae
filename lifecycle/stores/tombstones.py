"""What was erased from a journal that a living process still writes: rows that nobody reads again.

>>> import tempfile
>>> rows = pl.DataFrame({"prediction_id": ["a", "b", "c"], "key": ["c7", "c8", "c7"]})
>>> with tempfile.TemporaryDirectory() as folder:
...     path = Path(folder, "1.journal")
...     bury(path, "churn", "c7", before=100)
...     kept(rows, np.array([0, 50, 100]), read(path), "churn").to_list()
[False, True, True]

They stand beside the journal, in `<name>.erased`, and go when it is sealed: sealing leaves the
rows out. A key is there as a salted hash, and so are ids, of rows that carry no key. What the
journal takes in afterwards is not erased.
"""

import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from lifecycle.errors import LogError

SUFFIX = ".erased"


class Tombstone(msgspec.Struct, frozen=True):
    """One key of one model, or some predictions, in what a journal held at a time."""

    model: str
    before: int  # records that begin before this byte
    salt: bytes
    hash: bytes = b""  # of the key
    ids: tuple[bytes, ...] = ()  # hashes of predictions' ids


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
    _add(journal, Tombstone(model, before, salt, _hash(key, salt)))


def bury_ids(journal: Path, model: str, names: Iterable[str], *, before: int) -> None:
    """Erase predictions by their ids from what a journal holds so far; arguments as for `bury`.

    Raises:
        LogError: it cannot be written; nothing is erased then.
    """
    salt = os.urandom(16)
    hashes = tuple(sorted(_hash(name, salt) for name in names))
    _add(journal, Tombstone(model, before, salt, ids=hashes))


def _add(journal: Path, made: Tombstone) -> None:
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


def kept(
    rows: pl.DataFrame, places: np.ndarray, tombstones: list[Tombstone], model: str
) -> pl.Series:
    """Which rows of a journal still are.

    Args:
        rows: with the columns key and prediction_id.
        places: at which byte each row's record begins.
        tombstones: what `read` gave.
        model: whose rows they are.
    """
    gone = np.zeros(len(rows), dtype=bool)
    known: dict[str, list[str]] = {}
    for stone in tombstones:
        if stone.model == model:
            column = "prediction_id" if stone.ids else "key"
            found = known.get(column)
            if found is None:
                found = known[column] = rows[column].drop_nulls().unique().to_list()
            wanted = {stone.hash, *stone.ids}
            hit = [text for text in found if _hash(text, stone.salt) in wanted]
            theirs = rows[column].is_in(hit).fill_null(value=False).to_numpy()
            gone |= theirs & (places < stone.before)
    return pl.Series(~gone)


def _hash(key: str, salt: bytes) -> bytes:
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=32, salt=salt).digest()
