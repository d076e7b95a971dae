"""Where a model comes from: code, environment and the process that trained it.

>>> lineage(data_digest="ab", data_rows=2, data_source="a frame", seed=7).seed
7
"""

import hashlib
import os
import platform
import socket
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from lifecycle.records import Lineage


def lineage(
    *,
    data_digest: str,
    data_rows: int,
    data_source: str,
    seed: int,
    parent_version: int | None = None,
    cause: str = "",
) -> Lineage:
    """All of it; from notebooks too, where MLflow records no commit.

    Args:
        data_digest: what `datasets.digest` says.
        data_rows: how many rows there were.
        data_source: a path, or "a frame".
        seed: of the training.
        parent_version: the version that this one is meant to replace.
        cause: why it was trained.
    """
    commit, dirty, difference = code(Path.cwd())
    return Lineage(
        data_digest=data_digest,
        data_rows=data_rows,
        data_source=data_source,
        code_commit=commit,
        code_dirty=dirty,
        code_diff_digest=difference,
        environment_digest=environment(),
        python=platform.python_version(),
        seed=seed,
        parent_version=parent_version,
        cause=cause,
    )


def code(folder: Path) -> tuple[str, bool, str]:
    """The git commit of the repository around `folder`, whether it is dirty, its diff's sha256.

    Empty outside a repository, and where there is no git. Files that git does not know do not
    count as dirty: data and logs often lie beside the code.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return "", False, ""
    difference = _git(folder, "diff", "HEAD", "--no-ext-diff", "--binary")
    if not difference:
        return commit.decode().strip(), False, ""
    return commit.decode().strip(), True, hashlib.sha256(difference).hexdigest()


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        found = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            timeout=10,
            check=False,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return found.stdout if found.returncode == 0 else b""


@cache
def environment() -> str:
    """The sha256 of the names and versions of all installed packages."""
    installed = {f"{item.name}=={item.version}".lower() for item in metadata.distributions()}
    return hashlib.sha256("\n".join(sorted(installed)).encode()).hexdigest()


@cache
def requirements() -> tuple[str, ...]:
    """What a trained model needs to be loaded, with the versions that are installed."""
    names = ("mlflow", "scikit-learn", "skops", "pandas", "numpy", "scipy", "cloudpickle")
    return tuple(f"{name}=={metadata.version(name)}" for name in names)


def process() -> str:
    """This process as host, id and start: no two ever have the same."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def is_dead(text: str) -> bool:
    """Whether a process that `process` described ran on this host and is gone.

    >>> is_dead(process()), is_dead("another-host:1:0")
    (False, False)
    """
    host, _, rest = text.rpartition(":")[0].rpartition(":")
    started = text.rpartition(":")[2]
    if host != socket.gethostname() or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _started(int(rest)) != started


def _started(process_id: int) -> str:
    """When a process started, in ticks since boot; "" where the system does not say."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
