"""How long sealed predictions are kept: whole past days go, the oldest first.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder:
...     path = Path(folder, "model=churn", "date=2026-01-01", "part.parquet")
...     path.parent.mkdir(parents=True)
...     _ = path.write_bytes(b"12345")
...     os.utime(path, (0, 0))
...     expire(folder, keep_days=30, now=datetime(2026, 3, 1, tzinfo=UTC)), path.parent.exists()
((1, 5), False)

Journals are never deleted, nor is the present day, nor are labels: they tell nothing without the
predictions, and `lifecycle erase` finds a person's among them.
"""

import os
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from lifecycle.errors import LogError
from lifecycle.stores.locks import SEALING, held

GIGABYTE = 10**9


def expire(
    directory: str | Path,
    *,
    keep_days: float = 0.0,
    keep_gb: float = 0.0,
    now: datetime | None = None,
) -> tuple[int, int]:
    """Delete what is too old or too much; the caller holds the lock UPKEEP.

    Args:
        directory: the log's folder.
        keep_days: days of which both the end and the last sealing lie further back are deleted, so
            that rows of long ago which were scored today stay; 0 keeps all.
        keep_gb: the oldest days are deleted until no more is left, in 10^9 bytes; 0 keeps all.
        now: the present, UTC.

    Returns:
        How many files and bytes were deleted.

    Raises:
        LogError: they cannot be deleted.
    """
    root, present = Path(directory), now or datetime.now(UTC)
    days = [found for path in root.glob("model=*/date=*") if (found := _day(path))]
    days.sort(key=lambda found: (found[0], found[1]))
    total = sum(size for _, _, size, _ in days)
    files = deleted = 0
    for day, path, size, newest in days:
        if day >= present.date():
            break
        end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        age = present.timestamp() - max(end.timestamp(), newest)
        old = keep_days > 0 and age > keep_days * 86400
        much = keep_gb > 0 and total - deleted > keep_gb * GIGABYTE
        if old or much:
            files += _delete(root, path)
            deleted += size
    return files, deleted


def _day(path: Path) -> tuple[date, Path, int, float] | None:
    """A day's date, folder, bytes and when a file was last added; None where it is none."""
    try:
        found = date.fromisoformat(path.name.removeprefix("date="))
    except ValueError:
        return None
    about = [file.stat() for file in path.glob("*.parquet")]
    newest = max((item.st_mtime for item in about), default=0.0)
    return found, path, sum(item.st_size for item in about), newest


def _delete(root: Path, path: Path) -> int:
    grave = root / ".merging" / f"deleted-{path.parent.name}~{path.name}-{os.urandom(4).hex()}"
    try:
        count = len(list(path.glob("*.parquet")))
        with held(root, SEALING):  # nobody adds a file to the folder meanwhile
            grave.parent.mkdir(parents=True, exist_ok=True)
            path.rename(grave)  # all at once, for those who list it
        shutil.rmtree(grave)
    except OSError as error:
        if isinstance(error, LogError):
            raise
        raise LogError(
            f"old predictions cannot be deleted: {error}", where=path, fix="allow writing"
        ) from error
    return count
