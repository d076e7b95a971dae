"""Where a model comes from: code, environment and the process that trained it.

>>> lineage(data_digest="ab", data_rows=2, data_source="a frame", seed=7).seed
7
"""

import hashlib
import os
import platform
import socket
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from lifecycle.records import Entry, Lineage

LOCK = "lineage/environment.txt"  # in a run's `lifecycle/`: the installed packages, one a line
DIFFERENCE = "lineage/code.diff"  # … the uncommitted difference, where there is one
RECIPE = "lineage/recipe.json"  # … what `reproduce` needs to train again
MOST_DIFFERENCE = 2**20  # bytes of a difference that are kept whole


def lineage(
    *,
    data_digest: str,
    data_rows: int,
    data_source: str,
    seed: int,
    parent_version: int | None = None,
    cause: str = "",
    caused_by: Entry | None = None,
    unordered: str = "",
    seeds: Mapping[str, str] | None = None,
) -> Lineage:
    """All of it; from notebooks too, where MLflow records no commit.

    Args:
        data_digest: what `datasets.digest` says.
        data_rows: how many rows there were.
        data_source: a path, or "a frame".
        seed: of the training.
        parent_version: the version that this one is meant to replace.
        cause: why it was trained.
        caused_by: the ledger's entry that called for it.
        unordered: what `datasets.unordered_digest` says.
        seeds: what else draws random numbers, by name.
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
        data_unordered=unordered,
        seeds={"[train] seed": str(seed), **(seeds or {})},
        cause_entry=caused_by.seq if caused_by else None,
        cause_evidence=caused_by.evidence_digest if caused_by else "",
        cause_link=caused_by.evidence_link if caused_by else "",
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


def difference(folder: Path) -> str:
    """The uncommitted difference as text; of one beyond 1 MiB only which files it is in.

    It holds whatever stands in the files that git knows, secrets too: `[train] keep_diff` leaves
    it out, and its sha256 stays in the lineage.
    """
    found = _git(folder, "diff", "HEAD", "--no-ext-diff", "--binary")
    if len(found) > MOST_DIFFERENCE:
        head = f"{len(found):,} bytes, more than are kept; these files differ:\n".encode()
        found = (head + _git(folder, "diff", "HEAD", "--no-ext-diff", "--stat"))[:MOST_DIFFERENCE]
    return found.decode("utf-8", "replace")


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
    return hashlib.sha256(lock().encode()).hexdigest()


@cache
def lock() -> str:
    """The installed packages with their versions, sorted, one a line, as pip reads them."""
    installed = {f"{item.name}=={item.version}".lower() for item in metadata.distributions()}
    return "\n".join(sorted(installed))


def changed_packages(before: str, after: str) -> tuple[str, ...]:
    r"""What differs between two environments that `lock` told of.

    >>> changed_packages("a==1\nb==2", "b==3\nc==1")
    ('a 1 is gone', 'b 2 is 3', 'c 1 is new')
    """
    old, new = (dict(line.split("==", 1) for line in text.split("\n") if "==" in line)
                for text in (before, after))  # fmt: skip
    return tuple(
        f"{name} {old[name]} is gone"
        if name not in new
        else f"{name} {new[name]} is new"
        if name not in old
        else f"{name} {old[name]} is {new[name]}"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    )


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
