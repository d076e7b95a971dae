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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from lifecycle.config import LogConfig
from lifecycle.errors import LogError
from lifecycle.stores import upkeep
from lifecycle.stores.journal import Journal
from lifecycle.stores.log import PredictionLog
from lifecycle.stores.masking import Mask
from lifecycle.stores.rows import dated
from lifecycle.stores.upkeep import Kept

__all__ = ["PredictionLog", "PredictionWriter"]

UPKEEP_SECONDS = 600.0  # between merging and deleting sealed files
TOGETHER = (
    8  # so many full journals are sealed at once: a process for each would cost as much again
)
APART_BYTES = 4 << 20  # more is sealed by a process of its own, which does not hold up this one
_RETRY_SECONDS = 1.0
_LOGGER = logging.getLogger("lifecycle.log")


class PredictionWriter:
    """Keeps what a process answers: into its journal at once, into Parquet every now and then.

    Safe for several threads, and after a fork. Sealing runs in a thread of its own, large journals
    in a process of low priority; without them (`background=False`) filled journals are let
    go, for `PredictionLog.seal` in any process.

    Args:
        directory: the log's folder.
        seal_seconds: how long a row stays unsealed at most, about.
        seal_bytes: a journal that is longer is let go; several of these are sealed earlier.
        background: seal by itself.
        policy: what becomes of rows that cannot be written, as on a full disk: `strict` raises,
            so that nothing is answered that is not logged; `available` counts them and goes on.
        mask: features that must not be in the log.
        keep_days: sealed rows that are older are deleted now and then; 0 keeps them.
        keep_gb: the oldest days beyond this size are deleted; 0 keeps them.

    Attributes:
        trouble: why the last sealing failed, empty when it did not. The rows are in the journal.
        lost: rows that could not be logged, of the policy `available`.
        kept: what became of sealed files so far: merged, deleted.

    Raises:
        LogError: the folder cannot be written, and the policy is `strict`.
    """

    def __init__(
        self,
        directory: str | Path,
        *,
        seal_seconds: float = 60.0,
        seal_bytes: int = 32 << 20,
        background: bool = True,
        policy: Literal["strict", "available"] = "strict",
        mask: Mask | None = None,
        keep_days: float = 0.0,
        keep_gb: float = 0.0,
    ) -> None:
        self.directory = Path(directory)
        self.trouble = ""
        self.lost = 0
        self.kept = Kept()
        self._seconds, self._bytes, self._background = seal_seconds, seal_bytes, background
        self._available, self._mask = policy == "available", mask
        self._keep_days, self._keep_gb = keep_days, keep_gb
        self._start()

    @classmethod
    def of(cls, config: LogConfig) -> "PredictionWriter":
        """The writer that the configuration asks for.

        Raises:
            LogError: the folder or the log's secret cannot be used.
            ConfigError: a feature is both dropped and hashed.
        """
        return cls(
            config.dir,
            seal_seconds=config.seal_seconds,
            policy=config.policy,
            mask=Mask.of(config),
            keep_days=config.keep_days,
            keep_gb=config.keep_gb,
        )

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock, self._sealing = threading.Lock(), threading.Lock()
        self._stop, self._wake = threading.Event(), threading.Event()
        self._closed = False
        self._losing = False
        self._journal: Journal | None = None
        self._retry = 0.0
        try:
            self._journal = Journal(self.directory / "journal")
        except LogError as error:
            if not self._available:
                raise
            self._miss(0, error)
        self._due = clock.monotonic() + self._seconds  # when all is sealed
        self._filled = 0  # bytes that were let go since
        self._upkeep = clock.monotonic() + UPKEEP_SECONDS
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
        parts: Sequence[int] | None = None,
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
            block: those features that are numbers once more, as one array of shape (numbers, n) in
                the order of `features`, if they are of one type: it is written as it is, which is
                cheaper.
            parts: of several requests, how many rows each has; then there is one id a request, and
                one latency where these are several, while times and keys remain one a row.

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
        if self._mask is not None:
            features, types = self._mask.apply(features, types or {})
            block = None
        with self._lock:
            try:
                self._opened().append(
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
                    parts=parts,
                )
            except LogError as problem:
                if not self._available or self._closed:
                    raise
                self._miss(rows, problem)
                return
            if self._losing:
                self._losing = False
                _LOGGER.warning("predictions are logged again; %d rows were not", self.lost)
            due = clock.monotonic() > self._due
            if due or self._opened().size > self._bytes:
                try:
                    self._rotate()
                except LogError as problem:  # this request is logged; the journal grows on
                    self.trouble = str(problem)
                if due or self._filled > TOGETHER * self._bytes:
                    self._due = clock.monotonic() + self._seconds
                    self._filled = 0
                    self._wake.set()

    def _opened(self) -> Journal:
        """The journal; one that could not be made is tried again every now and then.

        Raises:
            LogError: it cannot be made.
        """
        if self._journal is None:
            if clock.monotonic() < self._retry:
                raise LogError("the prediction log cannot be written", where=self.directory)
            self._retry = clock.monotonic() + _RETRY_SECONDS
            self._journal = Journal(self.directory / "journal")
        return self._journal

    def _miss(self, rows: int, problem: LogError) -> None:
        """Count rows that were answered and not logged; say so once until it works again."""
        self.lost += rows
        if not self._losing:
            self._losing = True
            _LOGGER.warning("predictions are answered without being logged: %s", problem)

    def _forked(self) -> bool:
        """Whether this is a child of the writer's process; the journal is then let go.

        It is the parent's, which goes on appending to it: a child must not seal it.
        """
        if os.getpid() == self._pid:
            return False
        if self._journal is not None:
            self._journal.close(unlock=False)
        return True

    def _rotate(self) -> None:
        """Let a filled journal go, for whoever seals it; a new one takes its place."""
        full = self._journal
        if full is None or not full.size:
            return
        self._journal = Journal(self.directory / "journal")
        full.close()
        self._filled += full.size

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._lock:
                    if clock.monotonic() >= self._due:
                        self._due, self._filled = clock.monotonic() + self._seconds, 0
                        self._rotate()
                self._seal()
                self.trouble = ""
            except Exception as error:  # noqa: BLE001 - a thread that died would seal no more
                self.trouble = str(error)
                _LOGGER.error("predictions stay in their journals: %s", error)
            self._wake.wait(max(0.05, self._due - clock.monotonic()))
            self._wake.clear()

    def _seal(self) -> None:
        """Seal what was let go, here or, where it is much, in a process of its own."""
        log = PredictionLog(self.directory)
        with self._sealing:
            if clock.monotonic() >= self._upkeep:
                self._upkeep = clock.monotonic() + UPKEEP_SECONDS
                self.kept += upkeep.apart(
                    self.directory,
                    keep_days=self._keep_days,
                    keep_gb=self._keep_gb,
                    stop=self._stop,
                )
            elif log.waiting() > APART_BYTES:
                upkeep.apart(self.directory, seal_only=True, stop=self._stop)
            else:
                log.seal()

    def seal(self) -> None:
        """Make Parquet of all that was appended so far, and of what nobody writes any more.

        Raises:
            LogError: it cannot be written; nothing is lost, the journals stay.
        """
        if self._forked():
            self._start()
        with self._lock:
            self._rotate()
        with self._sealing:  # the thread may have it in hand
            PredictionLog(self.directory).seal()

    def close(self) -> None:
        """Seal everything (let it go when not `background`) and end; safe to call twice.

        Raises:
            LogError: it cannot be sealed; nothing is lost, the next writer will.
        """
        if self._forked() or self._closed:
            return
        self._stop.set()
        self._wake.set()
        if self._thread:
            self._thread.join()
        with self._lock:
            self._closed = True
            if self._journal is not None:
                self._journal.close()
        if self._background:
            PredictionLog(self.directory).seal()

    def __enter__(self) -> "PredictionWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
