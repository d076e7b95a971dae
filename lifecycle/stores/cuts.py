"""Cuts: what takes a challenger's traffic away on this machine while the registry is down.

>>> from tempfile import TemporaryDirectory
>>> with TemporaryDirectory() as folder:
...     cut(folder, "churn", 12, "errors are 3 times as many")
...     cut_of(folder, "churn"), lift(folder, "churn"), cut_of(folder, "churn")
((12, 'errors are 3 times as many'), True, None)

A cut is a file of the prediction log's folder, `rollout/<name>.json`, that names a rollout by the
number of its first entry. Servers look at it at every look for news, and while that rollout is the
one that they follow, their champion answers everything. So a controller that sees harm and cannot
reach the ledger stops it all the same; it writes the ledger later, and then the cut says nothing
any more: another rollout has another number.
"""

import contextlib
import json
import os
from pathlib import Path
from urllib.parse import quote

from lifecycle.errors import LogError

FOLDER = "rollout"
_LONGEST = 200  # bytes of a quoted name


def path_of(directory: str | Path, name: str) -> Path:
    """The file of a model's cut.

    >>> path_of("log", "my model").as_posix()
    'log/rollout/my%20model.json'

    Raises:
        LogError: the name is longer than a file's name can be.
    """
    quoted = quote(name, safe="")
    if len(quoted) > _LONGEST:
        raise LogError("the name is too long for a file", where=name[:80])
    return Path(directory) / FOLDER / f"{quoted}.json"


def cut(directory: str | Path, name: str, rollout: int, reason: str) -> None:
    """Have the champion answer everything of a rollout, from the servers' next look on.

    The file is there as a whole or not at all; an older cut of the model is replaced.

    Args:
        directory: the prediction log's folder.
        name: the model.
        rollout: the entry that began the rollout.
        reason: why; servers show it.

    Raises:
        LogError: it cannot be written.
    """
    path = path_of(directory, name)
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            json.dump({"rollout": rollout, "reason": reason}, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise LogError(
            f"the rollout cannot be cut here: {error}",
            where=path,
            fix="make the log's folder writable",
        ) from error


def cut_of(directory: str | Path, name: str) -> tuple[int, str] | None:
    """The rollout that is cut, and why; None where none is, and where the file is damaged."""
    found = _read(directory, name)
    return None if isinstance(found, str) else found


def damage(directory: str | Path, name: str) -> str:
    """Why a model's cut cannot be read; empty when it can, or when there is none."""
    found = _read(directory, name)
    return found if isinstance(found, str) else ""


def lift(directory: str | Path, name: str) -> bool:
    """Take a cut back; says whether there was one.

    Raises:
        LogError: it cannot be deleted.
    """
    path = path_of(directory, name)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise LogError(f"the cut cannot be taken back: {error}", where=path) from error
    return True


def _read(directory: str | Path, name: str) -> tuple[int, str] | str | None:
    try:
        text = path_of(directory, name).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        return f"the cut cannot be read: {error}"
    try:
        tree = json.loads(text)
        rollout, reason = tree["rollout"], tree["reason"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "the cut is damaged, it is no JSON of a rollout and a reason"
    if isinstance(rollout, bool) or not isinstance(rollout, int) or not isinstance(reason, str):
        return "the cut is damaged, it names no rollout"
    return rollout, reason
