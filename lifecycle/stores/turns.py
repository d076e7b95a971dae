"""One check of a model at a time, on one machine or on all that share the log's folder.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as folder, turn(folder, "churn"):
...     print(Path(folder, "checks", "churn.lock").read_text().split(",")[0].split()[0])
pid

The turn is an advisory lock (flock(2); Linux passes it on to NFS servers), which ends with the
process that holds it, whatever ends that. The file stays; what stands in it only says who holds
the lock. A folder that is not there or cannot be written has no turns: the caller goes on, and
what it records is told apart by its content.
"""

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import IO
from urllib.parse import quote

from lifecycle.errors import LogError

WAIT = 5.0  # seconds for which another check may hold the turn
PAUSE = 0.05


@contextlib.contextmanager
def turn(directory: str | Path, model: str, *, wait: float = WAIT) -> Iterator[None]:
    """Hold the model's turn for as long as the block runs.

    Args:
        directory: the prediction log's.
        model: the registered model's name.
        wait: seconds to wait for another process or thread.

    Raises:
        LogError: another one holds it; names its process, its machine and since when.
    """
    file = _opened(Path(directory), model)
    if file is None:
        yield
        return
    with file:
        if not _locked(file, wait):
            raise LogError(
                f"another check of {model} is running ({_holder(file)})",
                where=file.name,
                fix="wait for it to end, then run this one again: nothing was lost",
            )
        file.seek(0)
        file.truncate()
        since = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(f"pid {os.getpid()} on {socket.gethostname()}, since {since}")
        file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                file.truncate(0)


def _opened(directory: Path, model: str) -> IO[str] | None:
    if not directory.is_dir():
        return None
    path = directory / "checks" / f"{quote(model, safe='')}.lock"
    try:
        path.parent.mkdir(exist_ok=True)
        return path.open("a+", encoding="utf-8")
    except OSError:  # read-only, or somebody else's
        return None


def _locked(file: IO[str], wait: float) -> bool:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(PAUSE)
        except OSError:  # a file system without locks
            return True
        else:
            return True


def _holder(file: IO[str]) -> str:
    file.seek(0)
    return file.read(200).strip() or "it has not said which"
