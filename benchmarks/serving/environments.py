"""Environments of the servers that are not ours: one folder each, made by `run.py --install`.

>>> folder_of("mlserver", Path("envs"))
PosixPath('envs/mlserver/bin')
"""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from processes import BenchError

ALONGSIDE = ("joblib", "pandas<3")  # with our own scikit-learn and numpy: they load the same file
PACKAGES: dict[str, tuple[str, ...]] = {
    "mlserver": ("mlserver", "mlserver-sklearn"),
    "bentoml": ("bentoml",),
    "litserve": ("litserve",),
    "fastapi": ("fastapi", "uvicorn[standard]"),
    "ray": ("ray[serve]",),
    "granian": ("granian", "msgspec", "uvloop"),
}
NO_MODEL = ("granian",)


def default() -> Path:
    """The user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "lifecycle-benchmarks"


def folder_of(name: str, environments: Path) -> Path:
    """Where the programs of an environment are; without a name those of ours."""
    return environments / name / "bin" if name else Path(sys.executable).parent


def install(name: str, environments: Path) -> None:
    """Make an environment, where it is not there yet.

    Raises:
        BenchError: pip's reason why not.
    """
    mark = environments / name / "installed.json"
    if mark.exists():
        return
    environments.mkdir(parents=True, exist_ok=True)
    wanted = list(PACKAGES[name])
    if name not in NO_MODEL:
        wanted += [*ALONGSIDE, *(f"{own}=={metadata.version(own)}" for own in ("scikit-learn",))]
    made = environments / name
    for command in (
        [sys.executable, "-m", "venv", str(made)],
        [str(made / "bin" / "pip"), "install", "--quiet", *wanted],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise BenchError(f"{name}: {' '.join(lines[-3:])[:500]}")
    mark.write_text(json.dumps(wanted), encoding="utf-8")


def versions(name: str, environments: Path) -> dict[str, str]:
    """The versions of an environment's main packages."""
    names = [package.partition("[")[0] for package in PACKAGES[name]]
    code = "import sys, importlib.metadata as m; print(*(m.version(n) for n in sys.argv[1:]))"
    python = folder_of(name, environments) / "python"
    if not python.exists():
        return {}
    command = [str(python), "-c", code, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return dict(zip(names, done.stdout.split(), strict=False))
