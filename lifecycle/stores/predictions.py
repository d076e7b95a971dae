"""The prediction log: what was answered, as Parquet that any tool reads.

>>> import tempfile, time, numpy as np
>>> with tempfile.TemporaryDirectory() as folder:
...     with PredictionWriter(folder) as writer:
...         writer.append("churn", 7, "id", time=time.time_ns() // 1000, latency_ms=0.4,
...                       features={"age": np.array([41.0])}, prediction=np.array([1]))
...     PredictionLog(folder).read("churn")["prediction"].to_list()
[1]

Layout, below the folder that `[log] dir` names:

    journal/*.journal                         what is not sealed yet, see `stores.journal`
    model=NAME/date=YYYY-MM-DD/*.parquet      sealed, hive-partitioned; the day is that of `time`
    labels/model=NAME/*.parquet               late labels, see `stores.labels`

Each Parquet file has the columns of `COLUMNS` and the metadata `lifecycle.schema = 1`. It is
named after the journal that it was made of: where both exist, the crash came between the two
steps of sealing, and the journal's rows are not read again.
"""

import logging
import os
import threading
import time as clock
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import polars as pl

from lifecycle.errors import DataError, LogError
from lifecycle.stores import journal, sealed
from lifecycle.stores.journal import Journal
from lifecycle.stores.rows import COLUMNS, TIME, dated
from lifecycle.stores.sealed import Moment

_LOGGER = logging.getLogger("lifecycle.log")
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


class PredictionWriter:
    """Keeps what a process answers: into its journal at once, into Parquet every now and then.

    Safe for several threads, and after a fork. Sealing runs in a thread of its own; without one
    (`background=False`) filled journals are let go, for `PredictionLog.seal` in any process.

    Attributes:
        trouble: why the last sealing failed, empty when it did not. The rows are in the journal.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        seal_seconds: float = 60.0,
        seal_bytes: int = 32 << 20,
        background: bool = True,
    ) -> None:
        self.directory = Path(directory)
        self.trouble = ""
        self._seconds, self._bytes, self._background = seal_seconds, seal_bytes, background
        self._full: list[Journal] = []
        self._start()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock, self._sealing = threading.Lock(), threading.Lock()
        self._stop, self._wake = threading.Event(), threading.Event()
        self._journal = Journal(self.directory / "journal")
        self._due = clock.monotonic() + self._seconds
        self._thread: threading.Thread | None = None
        if self._background:
            self._thread = threading.Thread(target=self._run, name="lifecycle-seal", daemon=True)
            self._thread.start()

    def append(
        self,
        model: str,
        version: int,
        prediction_id: str | Sequence[str],
        *,
        time: int | np.ndarray,
        features: Mapping[str, np.ndarray],
        prediction: np.ndarray | None,
        score: np.ndarray | None = None,
        arm: str = "champion",
        step: int = 0,
        key: str | Sequence[str | None] | None = None,
        latency_ms: float | Sequence[float] | None = None,
        error: str | None = None,
        types: Mapping[str, str] | None = None,
        block: np.ndarray | None = None,
    ) -> None:
        """Log what was predicted in one call, before it is answered: one request, or several.

        Args:
            model: the registered model's name.
            version: the version that answered.
            prediction_id: the request's id; one row is logged under it, row i of several under
                `<id>.<i>`. Of several requests, the id of each row.
            time: microseconds since 1970 UTC, or one datetime64 a row; a row whose time is none
                (NaT, or outside the years 1 … 9999) gets the present one.
            features: model inputs by column, each of shape (n,); NaN and None become null. Empty
                where the request failed before they were known.
            prediction: shape (n,); None when the model failed, then one row is logged unless
                the features have more.
            score: shape (n,) for binary, (n, k) for multiclass, None for regression.
            arm: the arm that answered.
            step: the rollout's step.
            key: one routing key for all rows, or one a row.
            latency_ms: how long the request took, in milliseconds; of several, one a row.
            error: what went wrong, None when nothing did.
            types: MLflow's dtype by feature, so that a column of objects which are all None
                keeps its type; the same mapping at each call.
            block: the features once more as one array of shape (features, n), if they are numbers
                of one type: it is written as it is, which is cheaper.

        Raises:
            LogError: the disk is full or gone; nothing of the call was logged.
            DataError: features, ids, keys or latencies are not as many as the answers.
        """
        if self._forked():
            self._start()
        if prediction is not None:
            rows = len(prediction)
        else:
            rows = len(next(iter(features.values()), "1"))
        if not isinstance(time, int):
            time = dated(time, clock.time_ns() // 1000)
        with self._lock:
            self._journal.append(
                model,
                version,
                prediction_id,
                rows=rows,
                time=time,
                features=features,
                prediction=prediction,
                score=score,
                arm=arm,
                step=step,
                key=key,
                latency_ms=latency_ms,
                error=error,
                types=types,
                block=block,
            )
            if self._journal.size > self._bytes or clock.monotonic() > self._due:
                try:
                    self._rotate()
                except LogError as problem:  # this request is logged; the journal grows on
                    self.trouble = str(problem)

    def _forked(self) -> bool:
        """Whether this is a child of the writer's process; the journals are then let go.

        They are the parent's, which goes on appending to them: a child must not seal them.
        """
        if os.getpid() == self._pid:
            return False
        for inherited in (*self._full, self._journal):
            inherited.close()
        self._full = []
        return True

    def _rotate(self) -> None:
        full = self._journal
        self._due = clock.monotonic() + self._seconds
        if not full.size:
            return
        self._journal = Journal(self.directory / "journal")
        if self._background:
            self._full.append(full)
            self._wake.set()
        else:
            full.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._lock:
                    if clock.monotonic() >= self._due:
                        self._rotate()
                self._seal_full()
                PredictionLog(self.directory).seal()
                self.trouble = ""
            except Exception as error:  # noqa: BLE001 - a thread that died would seal no more
                self.trouble = str(error)
                _LOGGER.error("predictions stay in their journals: %s", error)
            self._wake.wait(max(0.05, self._due - clock.monotonic()))
            self._wake.clear()

    def _seal_full(self) -> None:
        with self._sealing:
            while self._full:
                with suppress(FileNotFoundError):  # removed by hand: nothing is left to seal
                    sealed.seal(self.directory, self._full[0].path)
                self._full.pop(0).close()

    def seal(self) -> None:
        """Make Parquet of all that was appended so far, and of what nobody writes any more.

        Raises:
            LogError: it cannot be written; nothing is lost, the journals stay.
        """
        if self._forked():
            self._start()
        with self._lock:
            self._rotate()
        self._seal_full()
        PredictionLog(self.directory).seal()

    def close(self) -> None:
        """Seal everything (let it go when not `background`) and end; safe to call twice.

        Raises:
            LogError: it cannot be sealed; nothing is lost, the next writer will.
        """
        if self._forked():
            return
        if self._stop.is_set():
            return
        self._stop.set()
        self._wake.set()
        if self._thread:
            self._thread.join()
        with self._lock:
            self._full.append(self._journal)
        try:
            if self._background:
                self._seal_full()
        finally:
            for left in self._full:
                left.close()
            self._full = []

    def __enter__(self) -> "PredictionWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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

        Raises:
            LogError: a file is damaged or cannot be read; names it.
            DataError: `since` or `until` is no time, or a column does not exist.
        """
        wanted = list(columns or COLUMNS)
        if unknown := sorted(set(wanted) - set(COLUMNS)):
            raise DataError(f"the log has no column {unknown[0]!r}", where=model)
        query, first, last = sealed.window(since, until, version)
        # journals first: what is sealed between is then met twice and dropped, never missed
        unsealed = self._unsealed(model, skip_damaged=skip_damaged)
        paths = sealed.files(self.directory, model)
        known = {(path.parent.name, path.stem) for path in paths}
        frames = [
            rows.filter(query).select(wanted)
            for day, name, rows in unsealed
            if (f"date={day}", name) not in known
        ]
        oldest = written.timestamp() if written else 0.0
        recent = [path for path in paths if first <= path.parent.name <= last]
        recent = [path for path in recent if not oldest or path.stat().st_mtime >= oldest]
        frames += sealed.scan(recent, query, wanted, skip_damaged=skip_damaged)
        if not frames:
            return pl.DataFrame(schema={name: _EMPTY[name] for name in wanted})
        met = [frame for frame in frames if len(frame)] or frames
        together = sealed.unified(met, wanted)
        return together.sort("time", maintain_order=True) if "time" in wanted else together

    def models(self) -> tuple[str, ...]:
        """The names of the models with sealed predictions."""
        found = self.directory.glob("model=*")
        return tuple(sorted(unquote(path.name.removeprefix("model=")) for path in found))

    def write(self, model: str, frame: pl.DataFrame, *, name: str | None = None) -> None:
        """Store rows as sealed Parquet directly; the same name again replaces what it wrote.

        Args:
            model: the registered model's name.
            frame: the columns of `COLUMNS`.
            name: names the files; by default a new one.

        Raises:
            LogError: it cannot be written; no half-written file is left.
        """
        chosen = name or f"{clock.time_ns() // 1_000_000}-{os.getpid()}-{os.urandom(4).hex()}"
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
        for path in self._journals():
            descriptor = journal.adopt(path)
            if descriptor is None:
                continue
            try:
                sealed.seal(self.directory, path)
                count += 1
            except LogError as error:
                problem = error
            finally:
                os.close(descriptor)
        if problem:
            raise problem
        return count

    def damaged(self) -> tuple[str, ...]:
        """What cannot be read, one message a file; reads footers and journals, not all rows."""
        found = []
        for path in self._journals():
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

    def _unsealed(self, model: str, *, skip_damaged: bool) -> list[tuple[str, str, pl.DataFrame]]:
        found: list[tuple[str, str, pl.DataFrame]] = []
        for path in self._journals():
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
                found += [(day, name, rows) for day, rows in sealed.days(frame)]
        return found

    def _journals(self) -> list[Path]:
        return sorted((self.directory / "journal").glob(f"*{journal.SUFFIX}"))
