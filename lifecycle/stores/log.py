"""The prediction log as a whole: of all processes and all versions, sealed or not.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     PredictionLog(folder).read("churn").shape
(0, 12)

Readers take no lock. What they listed may be sealed, merged or erased before they open it: then
they look again, so that a row is met once.
"""

import os
import time as clock
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

import polars as pl

from lifecycle.errors import DataError, LogError
from lifecycle.stores import journal, sealed
from lifecycle.stores.locks import SEALING, held
from lifecycle.stores.rows import COLUMNS, TIME
from lifecycle.stores.sealed import Moment

SHADOW = "@shadow"  # behind a model's name: the copies of its requests that a shadow answered
LOOKS = 5  # at files that change while they are read, before that is the answer
_EMPTY: dict[str, pl.DataType] = {
    **dict.fromkeys(COLUMNS, pl.String()),
    "time": TIME,
    "version": pl.Int64(),
    "step": pl.Int64(),
    "latency_ms": pl.Float64(),
    "features": pl.Struct({}),
    "prediction": pl.Null(),
    "score": pl.Float64(),
}


class PredictionLog:
    """The log as a whole: of all processes and all versions, sealed or not."""

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)

    def read(
        self,
        model: str,
        *,
        since: Moment = None,
        until: Moment = None,
        version: int | None = None,
        columns: Sequence[str] | None = None,
        written: datetime | None = None,
        skip_damaged: bool = False,
        where: pl.Expr | None = None,
        each: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
        fields: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """A window of a model's predictions in the order of time; none where none were logged.

        Columns: prediction_id, time (UTC), model, version, arm, step, key, latency_ms, features
        (a struct), prediction (the type the model answers), score (a number for binary, a list
        for multiclass, null for regression), error. Versions with other features are read
        together: a field that a version lacks is null there; where types differ, numbers become
        doubles and anything else text, so read one version to keep its types.

        Args:
            model: the registered model's name.
            since: from here on, inclusive; ISO text, date or datetime, UTC without a zone.
            until: up to here, exclusive.
            version: only this version.
            columns: only these columns.
            written: without the files that were sealed before.
            skip_damaged: warn of damaged files and read the others instead of raising.
            where: further says which rows.
            each: what is made of the rows of each file before the next one is read, with the same
                columns for all of them, also of no rows; gives all of that instead, in no order.
            fields: with `each`: the only features that it needs; it may get more, or none.

        Raises:
            LogError: a file is damaged or cannot be read; names it.
            DataError: `since` or `until` is no time, or a column does not exist.
        """
        wanted = list(columns or COLUMNS)
        if unknown := sorted(set(wanted) - set(COLUMNS)):
            raise DataError(f"the log has no column {unknown[0]!r}", where=model)
        query, first, last = sealed.window(since, until, version)
        query = query if where is None else query & where
        oldest = written.timestamp() if written else 0.0
        for look in range(LOOKS):
            last_look = look == LOOKS - 1
            # journals first: what is sealed between is then met twice and dropped, never missed
            unsealed = self._unsealed(model, skip_damaged=skip_damaged)
            paths = sealed.files(self.directory, model)
            known = {(path.parent.name, path.stem) for path in paths}
            if not last_look and self._moved(unsealed, known):
                continue
            frames = [
                rows.filter(query).select(wanted)
                for _, day, name, rows in unsealed
                if (f"date={day}", name) not in known
            ]
            recent = [path for path in paths if first <= path.parent.name <= last]
            try:
                recent = [path for path in recent if not oldest or path.stat().st_mtime >= oldest]
                if each is not None:
                    frames = [each(rows) for rows in frames if len(rows)]
                frames += sealed.scan(
                    recent, query, wanted, skip_damaged=skip_damaged, each=each, fields=fields
                )
                break
            except (LogError, FileNotFoundError):
                if last_look or all(path.exists() for path in recent):
                    raise
        if not frames:
            none = pl.DataFrame(schema={name: _EMPTY[name] for name in wanted})
            return none if each is None else each(none)
        if each is not None:
            return pl.concat(frames)
        met = [frame for frame in frames if len(frame)] or frames
        together = sealed.unified(met, wanted)
        return together.sort("time", maintain_order=True) if "time" in wanted else together

    @staticmethod
    def _moved(
        unsealed: Sequence[tuple[Path, str, str, pl.DataFrame]], known: set[tuple[str, str]]
    ) -> bool:
        """Whether a journal that was read is sealed by now, and its Parquet perhaps merged."""
        return any(
            (f"date={day}", name) not in known and not path.exists()
            for path, day, name, _ in unsealed
        )

    def models(self) -> tuple[str, ...]:
        """The names of the models with sealed predictions; a shadow's copies are no model."""
        found = self.directory.glob("model=*")
        names = sorted(unquote(path.name.removeprefix("model=")) for path in found)
        return tuple(name for name in names if not name.endswith(SHADOW))

    def write(self, model: str, frame: pl.DataFrame, *, name: str | None = None) -> None:
        """Store rows as sealed Parquet directly; the same name again replaces what it wrote.

        Args:
            model: the registered model's name.
            frame: the columns of `COLUMNS`.
            name: names the files; by default a new one.

        Raises:
            LogError: it cannot be written; no half-written file is left.
        """
        chosen = name or f"rows-{clock.time_ns() // 1_000_000}-{os.getpid()}-{os.urandom(4).hex()}"
        with held(self.directory, SEALING, shared=True):
            sealed.write(self.directory, model, frame.select(COLUMNS), chosen, replace=True)

    def discard(self, model: str, name: str) -> None:
        """Take back what `write` stored under names that begin with `name`."""
        for path in sealed.files(self.directory, model):
            if path.name.startswith(name):
                path.unlink()

    def seal(self) -> int:
        """Make Parquet of the journals of dead processes.

        Returns:
            How many journals were sealed.

        Raises:
            LogError: a journal is damaged or Parquet cannot be written; the others are sealed.
        """
        count, problem = 0, None
        for path in self.journals():
            descriptor = journal.adopt(path)
            if descriptor is None:
                continue
            try:
                with held(self.directory, SEALING, shared=True):
                    sealed.seal(self.directory, path)
                count += 1
            except LogError as error:
                problem = error
            finally:
                os.close(descriptor)
        if problem:
            raise problem
        return count

    def waiting(self) -> int:
        """Bytes of journals that nobody writes any more and that are not sealed yet."""
        total = 0
        for path in self.journals():
            descriptor = journal.adopt(path)
            if descriptor is not None:
                total += os.fstat(descriptor).st_size
                os.close(descriptor)
        return total

    def damaged(self) -> tuple[str, ...]:
        """What cannot be read, one message a file; reads footers and journals, not all rows."""
        found = []
        for path in self.journals():
            try:
                journal.read(path)
            except FileNotFoundError:
                continue
            except LogError as error:
                found.append(str(error))
        for path in sorted(self.directory.glob("model=*/date=*/*.parquet")):
            try:
                sealed.check(path)
            except LogError as error:
                found.append(str(error))
        return tuple(found)

    def _unsealed(
        self, model: str, *, skip_damaged: bool
    ) -> list[tuple[Path, str, str, pl.DataFrame]]:
        found: list[tuple[Path, str, str, pl.DataFrame]] = []
        for path in self.journals():
            try:
                parts = journal.read(path, model=model)
            except FileNotFoundError:
                continue  # sealed just now: its Parquet is listed later
            except LogError as error:
                if not skip_damaged:
                    raise
                warnings.warn(f"read up to the damage: {error}", stacklevel=3)
                parts = journal.read(path, model=model, damaged=True)
            for index, frame in parts.items():
                name = sealed.part(path, index)
                found += [(path, day, name, rows) for day, rows in sealed.days(frame)]
        return found

    def journals(self) -> list[Path]:
        """What is not sealed yet, of living processes and dead ones."""
        return sorted((self.directory / "journal").glob(f"*{journal.SUFFIX}"))
