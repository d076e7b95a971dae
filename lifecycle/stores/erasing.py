"""One person's rows leave the log: by key, from sealed files, journals and labels.

>>> import tempfile
>>> from lifecycle.stores.predictions import PredictionWriter
>>> with tempfile.TemporaryDirectory() as folder:
...     with PredictionWriter(folder) as writer:
...         for key in ("c7", "c8"):
...             writer.append("churn", 1, key, time=0, key=key, features={},
...                           prediction=None, error="no")
...     erased = erase(folder, "churn", "c7", secret=b"s" * 32)
...     erased.sealed, PredictionLog(folder).read("churn")["key"].to_list()
(1, ['c8'])

Sealed files are written anew without the rows and take the old ones' names, one after another; the
same for labels. What a living process has in its journal is erased by a tombstone beside it
(`stores.tombstones`), which readers and sealing honour: its rows are in no Parquet file, and leave
the disk when the journal is sealed, after `[log] seal_seconds` at most. So a server goes on
logging meanwhile, and no row of others is ever at risk.

Copies that a shadow answered stand below `model=NAME@shadow` without a key: those of the erased
rows' ids go too, and those whose id says that it was issued for the key.

Killed half-way, some rows are erased and some are not: calling again erases the rest. What a call
has erased stands in `.erasing/` until `done` says that it is recorded, so that nothing is erased
without a record.
"""

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from urllib.parse import quote

import msgspec
import polars as pl

from lifecycle.errors import LogError
from lifecycle.stores import compaction, ids, journal, sealed, tombstones
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.locks import SEALING, UPKEEP, held
from lifecycle.stores.log import SHADOW, PredictionLog


@dataclass(frozen=True)
class Erased:
    """How much was erased, by this call and by earlier ones that nobody recorded.

    Attributes:
        key_hash: stands for the key in records: 32 hexadecimal digits.
        sealed: rows of Parquet files.
        unsealed: rows of journals that living processes write; they go when those are sealed.
        labels: labels of the erased rows, and of others whose id says that they are the key's.
        files: Parquet files that were written anew or removed.
        copies: rows that a shadow answered, of both kinds of files.
        again: whether an earlier call had been interrupted.
    """

    key_hash: str
    sealed: int = 0
    unsealed: int = 0
    labels: int = 0
    files: int = 0
    again: bool = False
    copies: int = 0

    @property
    def anything(self) -> bool:
        """Whether there is something to record."""
        return self.again or bool(self.sealed or self.unsealed or self.labels or self.copies)


def key_hash(secret: bytes, model: str, key: str) -> str:
    """What stands for a model's key in the ledger: keyed BLAKE2b, 16 bytes as hexadecimal text.

    >>> key_hash(b"s" * 32, "churn", "c7") == key_hash(b"s" * 32, "churn", "c8")
    False
    """
    named = f"{model}\0{key}".encode("utf-8", "surrogatepass")
    return blake2b(named, digest_size=16, key=secret, person=b"lifecycle.erase").hexdigest()


def erase(directory: str | Path, model: str, key: str, *, secret: bytes) -> Erased:
    """Erase what the log holds of one key of a model; `done` must follow once it is recorded.

    Args:
        directory: the log's folder.
        model: the registered model's name.
        key: as the log's column `key` has it.
        secret: what `stores.ids.secret` returned.

    Raises:
        LogError: a file is damaged or cannot be written; what was erased before stays erased, and
            the next call goes on.
    """
    root, hashed = Path(directory), key_hash(secret, model, key)
    log = PredictionLog(root)
    log.seal()
    with held(root, UPKEEP):
        compaction.sweep(root)
        # all is read before anything is changed: a damaged file changes nothing
        found = {path: _names(path, key) for path in sealed.files(root, model)}
        copies = _Copies(root, model + SHADOW, ids.key_hash(secret, key))
        tally = _Tally(root, hashed)
        with held(root, SEALING):  # what is sealed from here on honours the tombstones
            _drop_drafts(root, model)
            later = set(sealed.files(root, model)) - found.keys()
            found |= {path: _names(path, key) for path in later}
            waiting = list(_unsealed(log, model, key))
            copies.read(log)
            names = set().union(*found.values(), *(part.names for part in waiting))
            tally.begin(names, _labelled(root, model, ids.key_hash(secret, key)))
            for part in waiting:
                tombstones.bury(part.path, model, key, before=part.length)
                tally.add(unsealed=len(part.names))
            for path, length, theirs in copies.waiting(tally.names):
                tombstones.bury_ids(path, model + SHADOW, theirs, before=length)
                tally.add(copies=len(theirs))
        for path in sorted(path for path, theirs in found.items() if theirs):
            with held(root, SEALING):
                tally.add(sealed=_rewrite(path, pl.col("key").eq_missing(pl.lit(key))), files=1)
        for path, theirs in copies.sealed(tally.names):
            with held(root, SEALING):
                tally.add(copies=_rewrite(path, pl.col("prediction_id").is_in(theirs)), files=1)
        tally.add(labels=LabelStore(root).erase(model, tally.names))
    return tally.erased


def done(directory: str | Path, erased: Erased) -> None:
    """The erasure is recorded: forget what was kept to record it."""
    (Path(directory) / ".erasing" / erased.key_hash).unlink(missing_ok=True)


@dataclass(frozen=True)
class _Waiting:
    """What a journal holds of the key."""

    path: Path
    length: int  # bytes
    names: list[str]


def _unsealed(log: PredictionLog, model: str, key: str) -> Iterator[_Waiting]:
    for path in log.journals():
        length = path.stat().st_size
        frames = journal.read(path, model=model).values()
        names = [name for frame in frames for name in _theirs(frame, key)["prediction_id"]]
        if names:
            yield _Waiting(path, length, names)


def _names(path: Path, key: str) -> set[str]:
    """The ids of the key's rows in a sealed file."""
    columns = ["prediction_id", "key"]
    (frame,) = sealed.scan([path], pl.lit(value=True), columns, skip_damaged=False)
    return set(_theirs(frame, key)["prediction_id"])


def _theirs(frame: pl.DataFrame, key: str) -> pl.DataFrame:
    return frame.filter(pl.col("key") == key)


def _labelled(root: Path, model: str, wanted: bytes) -> set[str]:
    """The ids of labels that were issued for the key, also where the prediction is gone."""
    known = LabelStore(root).read(model)["prediction_id"].to_list()
    return {name for name in known if ids.issued_for(name) == wanted}


def _rewrite(path: Path, theirs: pl.Expr) -> int:
    """Write a file anew without someone's rows; how many those were."""
    if not path.exists():  # a scoring job that failed has taken it back
        return 0
    about = path.stat()
    frame = pl.read_parquet(path, hive_partitioning=False, glob=False)
    rest = frame.filter(~theirs)
    if len(rest):
        sealed.write_whole(rest, path)
        os.utime(path, (about.st_atime, about.st_mtime))  # no other row is any newer
    else:
        path.unlink()
    return len(frame) - len(rest)


def _drop_drafts(root: Path, model: str) -> None:
    """Remove what killed processes had begun to write; nobody is writing now."""
    folder = root / f"model={quote(model, safe='')}"
    for path in folder.glob("date=*/.*.tmp"):
        path.unlink(missing_ok=True)


class _Copies:
    """The ids of what a shadow answered, in whichever files, and which of them are the key's."""

    def __init__(self, root: Path, model: str, wanted: bytes) -> None:
        self._model, self._wanted, self._root = model, wanted, root
        self._sealed = {path: self._of(path) for path in sealed.files(root, model)}
        self._waiting: list[tuple[Path, int, set[str]]] = []

    def read(self, log: PredictionLog) -> None:
        """Read what is unsealed, and what was sealed meanwhile; nobody seals now."""
        later = set(sealed.files(self._root, self._model)) - self._sealed.keys()
        self._sealed |= {path: self._of(path) for path in later}
        for path in log.journals():
            length = path.stat().st_size
            frames = journal.read(path, model=self._model).values()
            names = {name for frame in frames for name in frame["prediction_id"]}
            if names:
                self._waiting.append((path, length, names))

    def waiting(self, names: set[str]) -> Iterator[tuple[Path, int, list[str]]]:
        """Journals with the key's copies: path, length in bytes, and the copies' ids."""
        for path, length, known in self._waiting:
            if theirs := self._theirs(known, names):
                yield path, length, theirs

    def sealed(self, names: set[str]) -> Iterator[tuple[Path, list[str]]]:
        """Sealed files with the key's copies, and the copies' ids."""
        for path, known in sorted(self._sealed.items()):
            if theirs := self._theirs(known, names):
                yield path, theirs

    def _theirs(self, known: set[str], names: set[str]) -> list[str]:
        return sorted(
            name for name in known if name in names or ids.issued_for(name) == self._wanted
        )

    def _of(self, path: Path) -> set[str]:
        everything = pl.lit(value=True)
        (frame,) = sealed.scan([path], everything, ["prediction_id"], skip_damaged=False)
        return set(frame["prediction_id"])


class _Tally:
    """What is erased so far, on disk as well: a killed call is not forgotten."""

    def __init__(self, root: Path, hashed: str) -> None:
        self._path = root / ".erasing" / hashed
        self.erased = Erased(hashed)
        self.names: set[str] = set()
        try:
            kept = msgspec.json.decode(self._path.read_bytes())
            self.erased = Erased(**kept["erased"] | {"again": True})
            self.names = set(kept["names"])
        except FileNotFoundError:
            pass
        except (OSError, TypeError, KeyError, msgspec.MsgspecError) as error:
            raise LogError(
                f"an earlier erasure cannot be read: {error}",
                where=self._path,
                fix="remove the file; what that call erased is then not counted",
            ) from error

    def begin(self, names: set[str], labelled: set[str]) -> None:
        """Note the ids of what will be erased, before the first file is touched."""
        self.names |= names | labelled
        if self.names:
            self.add()

    def add(self, **counts: int) -> None:
        """Count what has been erased."""
        before = asdict(self.erased)
        self.erased = Erased(
            **before | {name: before[name] + more for name, more in counts.items()}
        )
        if not self.names:
            return
        draft = self._path.with_suffix(".tmp")
        try:
            self._path.parent.mkdir(exist_ok=True)
            noted = {"erased": asdict(self.erased), "names": sorted(self.names)}
            draft.write_bytes(msgspec.json.encode(noted))
            draft.rename(self._path)
        except OSError as error:
            raise LogError(
                f"what was erased cannot be noted: {error}", where=self._path, fix="free space"
            ) from error
