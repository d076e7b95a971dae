"""What the log's files need now and then: sealed, merged, and deleted when they are too old.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     tend(folder)
Kept(merged=0, deleted_files=0, deleted_bytes=0, note='')

A server leaves it to a process of low priority: reading a full journal takes a second of
computing, in which its own interpreter would answer late.
"""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lifecycle.errors import LogError
from lifecycle.stores import compaction, retention
from lifecycle.stores.locks import UPKEEP, held
from lifecycle.stores.log import PredictionLog

LONGEST = 3600.0  # seconds that one call may take
_NICENESS = 10  # nice(2): a tenth of a core that is busy, which keeps up with a full load
# one thread; memory that is let go is used again, since new pages cost more than what is done there
_ENVIRONMENT = {
    "POLARS_MAX_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
}
_CODE = f"import os; os.nice({_NICENESS}); from lifecycle.stores.upkeep import main; main()"


@dataclass(frozen=True)
class Kept:
    """What became of sealed files.

    Attributes:
        merged: small files that became part of another one.
        deleted_files: files of days that were deleted.
        deleted_bytes: their size.
        note: why small files cannot be merged here; empty where they can.
    """

    merged: int = 0
    deleted_files: int = 0
    deleted_bytes: int = 0
    note: str = ""

    def __add__(self, other: "Kept") -> "Kept":
        return Kept(
            self.merged + other.merged,
            self.deleted_files + other.deleted_files,
            self.deleted_bytes + other.deleted_bytes,
            other.note,
        )


def tend(
    directory: str | Path,
    *,
    keep_days: float = 0.0,
    keep_gb: float = 0.0,
    everything: bool = False,
    wait: bool = False,
) -> Kept:
    """Seal what dead processes left, merge small files, delete old ones.

    Args:
        directory: the log's folder.
        keep_days: see `retention.expire`.
        keep_gb: see `retention.expire`.
        everything: merge wherever two files can be.
        wait: for another process that is at it; otherwise nothing is done then.

    Raises:
        LogError: a file is damaged or cannot be written; nothing is lost.
    """
    if not Path(directory).is_dir():
        return Kept()
    PredictionLog(directory).seal()
    with held(directory, UPKEEP, wait=wait) as mine:
        if not mine:
            return Kept()
        merged, note = 0, ""
        try:
            merged = compaction.merge(directory, everything=everything)
        except NotImplementedError as error:
            note = f"{error}: small files stay"
        files, size = retention.expire(directory, keep_days=keep_days, keep_gb=keep_gb)
    return Kept(merged, files, size, note)


def apart(
    directory: str | Path,
    *,
    keep_days: float = 0.0,
    keep_gb: float = 0.0,
    seal_only: bool = False,
    stop: threading.Event | None = None,
) -> Kept:
    """The same in a process of its own, of low priority; returns when it has ended.

    Args:
        directory: the log's folder.
        keep_days: see `retention.expire`.
        keep_gb: see `retention.expire`.
        seal_only: only make Parquet of journals that nobody writes.
        stop: once it is set the process is ended, which does no harm at any moment.

    Raises:
        LogError: what `tend` raises, or the process failed.
    """
    asked = {"directory": str(directory), "seal_only": seal_only}
    asked |= {"keep_days": keep_days, "keep_gb": keep_gb}
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", _CODE, json.dumps(asked)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Ctrl-C at the server does not end it half-way. Not a session of its own: the kernel shares
        # out cores by sessions first (sched_autogroup), where a priority means nothing
        process_group=0,
        env={**os.environ, **_ENVIRONMENT},
    )
    end = time.monotonic() + LONGEST
    while True:
        try:
            printed, complaint = process.communicate(timeout=0.1)
            break
        except subprocess.TimeoutExpired:
            if time.monotonic() > end or (stop is not None and stop.is_set()):
                process.terminate()
    if process.returncode < 0 and stop is not None and stop.is_set():
        return Kept()
    try:
        told = json.loads(printed)
    except ValueError:
        last = complaint.strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
        raise LogError(f"the log's upkeep failed: {last[0]}", where=directory) from None
    if "trouble" in told:
        raise LogError(told["trouble"])
    return Kept(**told)


def main() -> None:
    """What the process does: its argument is JSON, and so is what it prints."""
    asked = json.loads(sys.argv[1])
    seal_only = asked.pop("seal_only")
    try:
        if seal_only:
            PredictionLog(asked["directory"]).seal()
            told = asdict(Kept())
        else:
            told = asdict(tend(**asked))
    except LogError as error:
        told = {"trouble": str(error)}
    sys.stdout.write(json.dumps(told))
