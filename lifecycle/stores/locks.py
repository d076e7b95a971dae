"""Who may change the files of the prediction log: locks that end with the process that holds them.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder, held(folder, UPKEEP):
...     with held(folder, UPKEEP, wait=False) as again:
...         print(again)
False

Two locks, taken in this order where both are needed:

* `UPKEEP`: by who rewrites or deletes sealed files (compaction, retention, erasure), one at a time.
* `SEALING`: shared by all who add files, exclusive for the moments in which files are exchanged or
  it must be certain that nothing is being sealed.

They are advisory (flock(2); Linux passes them on to NFS servers). Readers take none.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from lifecycle.errors import LogError

SEALING, UPKEEP = "sealing", "upkeep"


@contextlib.contextmanager
def held(
    directory: str | Path, name: str, *, shared: bool = False, wait: bool = True
) -> Iterator[bool]:
    """Hold a lock of the log for as long as the block runs.

    Args:
        directory: the log's folder.
        name: SEALING or UPKEEP.
        shared: together with others who share it.
        wait: until it is free; otherwise the block runs without it and is told so.

    Yields:
        Whether it is held.

    Raises:
        LogError: the folder cannot be written.
    """
    path = Path(directory) / f".{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise LogError(
            f"the log cannot be changed: {error}", where=path.parent, fix="make the folder writable"
        ) from error
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(lock, kind | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(lock)
