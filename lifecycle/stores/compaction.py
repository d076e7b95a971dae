"""Many small sealed files of a day as one, without a moment in which a row is twice or nowhere.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     day = Path(folder, "model=churn", "date=2026-04-01")
...     for name in ("1-1-0a0a0a0a.0", "2-1-0a0a0a0a.0"):
...         frame = pl.DataFrame({"time": [datetime(2026, 4, 1)], "prediction": [1]})
...         sealed.write(folder, "churn", frame, name)
...     merge(folder, everything=True), len(list(day.iterdir()))
(2, 1)

The day's folder is made anew beside the log's own, in `.merging/`: the merged file, and hard links
to the files that stay. Then the two folders exchange their names in one step, renameat2(2) with
RENAME_EXCHANGE, and the old one is deleted. Whoever lists the day sees the one or the other; a
process killed at any step leaves at most a folder below `.merging/`, which nobody reads and the
next upkeep deletes. Where the file system cannot exchange names, files stay as they are.

Only files of one schema are merged, so that each version keeps its types, and only those that came
from journals which are gone: sealing knows by its name what it has written already.
"""

import ctypes
import errno
import os
import re
import shutil
import time as clock
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from lifecycle.errors import LogError
from lifecycle.stores import journal, sealed
from lifecycle.stores.locks import SEALING, held

MANY = 32  # so many small files of a day are merged while it lasts
LARGE = 64 << 20  # bytes; larger files are left alone, and no merged one is much larger
QUIET = 3600.0  # seconds without a new file after which a past day is merged to the end
_MERGED = "merged-"
_SEALED = re.compile(r"(\d+-\d+-[0-9a-f]{8})\.\d+")
_EXCHANGE = 2  # RENAME_EXCHANGE of linux/fs.h
_HERE = -100  # AT_FDCWD: paths as they are


def merge(directory: str | Path, *, everything: bool = False, now: datetime | None = None) -> int:
    """Merge the small files of each model and day; the caller holds the lock UPKEEP.

    Args:
        directory: the log's folder.
        everything: wherever there are two that can be merged, however new.
        now: the present, UTC.

    Returns:
        How many files became part of another one.

    Raises:
        LogError: a file is damaged, or nothing can be written; the log is as it was.
        NotImplementedError: the file system cannot exchange folders, or has no hard links.
    """
    root = Path(directory)
    sweep(root)
    today = (now or datetime.now(UTC)).date()
    merged = 0
    for day in sorted(root.glob("model=*/date=*")):
        past = day.name < f"date={today - timedelta(days=1)}"  # rows of midnight come late
        merged += _merge_day(root, day, past=past, everything=everything)
    return merged


def sweep(directory: str | Path) -> None:
    """Delete what a killed process left in `.merging/`; the caller holds the lock UPKEEP."""
    with suppress(FileNotFoundError):
        shutil.rmtree(Path(directory) / ".merging")


def _merge_day(root: Path, day: Path, *, past: bool, everything: bool) -> int:
    small = _candidates(root, day)
    if not small:
        return 0
    quiet = past and clock.time() - max(found.st_mtime for found in small.values()) > QUIET
    if not (everything or quiet or len(small) >= MANY):
        return 0
    groups = [group for group in _groups(small) if len(group) > 1]
    if not groups:
        return 0
    draft = root / ".merging" / f"{day.parent.name}~{day.name}"
    try:
        draft.mkdir(parents=True)
        for group in groups:
            _merged(group, small, draft)
        with held(root, SEALING):
            gone = {path.name for group in groups for path in group}
            if any(_changed(path, small[path]) for group in groups for path in group):
                return 0  # erased meanwhile: next time
            for path in day.iterdir():
                if path.name not in gone and path.suffix == ".parquet":
                    os.link(path, draft / path.name)
            exchange(draft, day)
        return sum(map(len, groups))
    except OSError as error:
        if isinstance(error, LogError):
            raise
        raise LogError(
            f"small files cannot be merged: {error}", where=day, fix="free space or allow writing"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _candidates(root: Path, day: Path) -> dict[Path, os.stat_result]:
    found = {}
    for path in sorted(day.glob("*.parquet")):
        named = _SEALED.fullmatch(path.stem)
        waits = named and (root / "journal" / f"{named[1]}{journal.SUFFIX}").exists()
        if (named and not waits) or path.name.startswith(_MERGED):
            with suppress(FileNotFoundError):
                about = path.stat()
                if about.st_size < LARGE:
                    found[path] = about
    return found


def _groups(small: dict[Path, os.stat_result]) -> list[list[Path]]:
    """Files that may become one: of one schema, together not much larger than LARGE."""
    groups: list[list[Path]] = []
    last: dict[tuple[tuple[str, str], ...], list[Path]] = {}
    for path, about in small.items():
        schema = tuple((name, str(dtype)) for name, dtype in sealed.check(path).items())
        group = last.get(schema)
        if group is None or sum(small[item].st_size for item in group) + about.st_size > LARGE:
            last[schema] = group = []
            groups.append(group)
        group.append(path)
    return groups


def _merged(group: Sequence[Path], small: dict[Path, os.stat_result], draft: Path) -> None:
    frame = pl.scan_parquet(list(group), hive_partitioning=False, glob=False).collect()
    path = draft / f"{_MERGED}{clock.time_ns() // 1_000_000}-{os.urandom(4).hex()}.parquet"
    sealed.write_whole(frame.sort("time", maintain_order=True), path)
    newest = max(small[item].st_mtime for item in group)
    os.utime(path, (newest, newest))  # readers ask what was sealed since


def _changed(path: Path, before: os.stat_result) -> bool:
    try:
        now = path.stat()
    except FileNotFoundError:
        return True
    return (now.st_ino, now.st_mtime_ns) != (before.st_ino, before.st_mtime_ns)


def exchange(one: Path, other: Path) -> None:
    """Let two folders of a file system exchange their names, in one step.

    Raises:
        NotImplementedError: the system or the file system cannot.
        OSError: another reason.
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        raise NotImplementedError("this system cannot exchange two folders")
    if call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE):
        code = ctypes.get_errno()
        if code in {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV}:
            raise NotImplementedError("this file system cannot exchange two folders")
        raise OSError(code, os.strerror(code), str(one))
    for folder in (one.parent, other.parent):  # before anything is deleted, also after a power cut
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
