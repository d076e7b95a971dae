"""Look for the traps that people fall into, and mend what is safe to mend.

>>> from lifecycle.config import Config
>>> [item.outcome.value for item in doctor(Config()).findings][:1]  # doctest: +SKIP
['pass']

Nothing raises here: what cannot be looked at is a finding, too. A finding fails when something
will not work, and is "not enough evidence" when only a part that is not installed or not there
would not.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any

from lifecycle.config import Config
from lifecycle.errors import LifecycleError
from lifecycle.records import Diagnosis, Finding, Outcome
from lifecycle.stores import registry, tracking
from lifecycle.stores.predictions import PredictionLog

SECONDS = 3.0  # a dead registry is called dead after this long
EXTRAS = {
    "serve": ("uvloop", "httptools"),
    "compile": ("skl2onnx", "onnx", "onnxruntime"),
    "monitor": ("evidently",),
    "tune": ("optuna",),
    "alerts": ("apprise",),
}


def doctor(config: Config, fix: bool = False) -> Diagnosis:
    """All findings, the ones that everything else needs first.

    Args:
        config: tracking and log.
        fix: bring aliases in line with the ledger and enter versions whose registration was
            interrupted; nothing else is touched.
    """
    findings = [*_installed(), *_extras(), _git(), *_managers(), _file_store(), *_log(config)]
    answering = _registry(config)
    findings.append(answering)
    if answering.outcome is Outcome.PASS:
        findings += _models(config, fix=fix)
    return Diagnosis(tuple(findings))


def _installed() -> Iterator[Finding]:
    running = ".".join(str(part) for part in sys.version_info[:3])
    good = sys.version_info >= (3, 11)
    yield _finding("python", good, f"Python {running}", "use Python 3.11 or later")
    pandas = _version("pandas") or "0"
    yield _finding(
        "pandas",
        _major(pandas) < 3,
        f"pandas {pandas}" + ("" if _major(pandas) < 3 else ": Evidently cannot be imported"),
        'pip install "pandas<3"',
    )


def _extras() -> Iterator[Finding]:
    for extra, packages in EXTRAS.items():
        missing = [name for name in packages if _version(name) is None]
        yield Finding(
            f"extra {extra}",
            Outcome.UNSURE if missing else Outcome.PASS,
            f"not installed: {', '.join(missing)}" if missing else "installed",
            f'pip install "mlflow-lifecycle[{extra}]"' if missing else "",
        )
    protobuf = _version("protobuf")
    if protobuf and _version("skl2onnx"):
        yield _finding(
            "protobuf",
            _major(protobuf) < 7,
            f"protobuf {protobuf}" + ("" if _major(protobuf) < 7 else ": forests do not compile"),
            'pip install "protobuf<7"',
        )


def _git() -> Finding:
    found = shutil.which("git")
    detail = found or "no git: trainings are recorded without commit and difference"
    return Finding("git", _or_unsure(found), detail, "" if found else "install git")


def _managers() -> Iterator[Finding]:
    """Which environment managers `mlflow run .` can use here, and why not."""
    running = ".".join(str(part) for part in sys.version_info[:3])
    pyenv, name = shutil.which("pyenv"), "mlflow run (virtualenv)"
    if pyenv is None:
        yield Finding(
            name,
            Outcome.UNSURE,
            "no pyenv on PATH, which MLflow's default needs",
            "use --env-manager uv or --env-manager local",
        )
    elif running not in _lines(pyenv, "versions", "--bare"):
        yield Finding(
            name,
            Outcome.UNSURE,
            f"pyenv has no Python {running}, the one that runs here",
            f"pyenv install {running}, or use --env-manager uv or local",
        )
    else:
        yield Finding(name, Outcome.PASS, f"works: pyenv has Python {running}")
    uv = shutil.which("uv")
    yield Finding(
        "mlflow run (uv)",
        _or_unsure(uv),
        "works: uv is on PATH" if uv else "no uv on PATH",
        "" if uv else "pip install uv, then --env-manager uv",
    )
    command = shutil.which("lifecycle")
    yield Finding(
        "mlflow run (local)",
        _or_unsure(command),
        "works: lifecycle is on PATH" if command else "the command lifecycle is not on PATH",
        "" if command else "activate the environment that lifecycle is installed in",
    )


def _file_store() -> Finding:
    """A folder `mlruns` of MLflow's old kind makes every plain MLflow call here fail."""
    old = [path.parent for path in Path("mlruns").glob("*/meta.yaml")]
    return Finding(
        "file store",
        Outcome.FAIL if old else Outcome.PASS,
        f"./mlruns holds {len(old)} experiments as files, which MLflow no longer serves: plain"
        " `mlflow` commands fail in this folder"
        if old
        else "no old file store in this folder",
        "mlflow migrate-filestore, then move ./mlruns away" if old else "",
    )


def _log(config: Config) -> Iterator[Finding]:
    log = PredictionLog(config.log.dir)
    folder = log.directory
    try:
        place = next(item for item in (folder, *folder.absolute().parents) if item.exists())
        with tempfile.NamedTemporaryFile(dir=place):
            pass
    except OSError as error:
        yield Finding(
            "prediction log",
            Outcome.FAIL,
            f"{folder} cannot be written: {error.strerror}",
            "make it writable, or set [log] dir",
        )
        return
    if not folder.exists():
        yield Finding("prediction log", Outcome.PASS, f"{folder} is made with the first prediction")
        return
    damaged = log.damaged()
    yield Finding(
        "prediction log",
        Outcome.FAIL if damaged else Outcome.PASS,
        "; ".join(damaged[:5]) or f"{folder}: {len(log.models())} models, all files readable",
        "restore these files or move them away" if damaged else "",
    )


def _registry(config: Config) -> Finding:
    started = perf_counter()
    try:
        tracking.reachable(config, seconds=SECONDS)
        tracking.connect(config)
    except LifecycleError as error:
        return Finding("registry", Outcome.FAIL, f"{error.what} ({error.where})", error.fix)
    took = perf_counter() - started
    return Finding(
        "registry", Outcome.PASS, f"{tracking.public(config.tracking_uri)} answers in {took:.2f} s"
    )


def _models(config: Config, *, fix: bool) -> Iterator[Finding]:
    client = tracking.connect(config)
    try:
        names = registry.names(client)
    except LifecycleError as error:
        yield Finding("models", Outcome.FAIL, str(error), error.fix)
        return
    for name in names:
        try:
            yield _model(client, config, name, fix=fix)
        except LifecycleError as error:
            yield Finding(f"model {name}", Outcome.FAIL, f"{error.what} ({error.where})", error.fix)


def _model(client: Any, config: Config, name: str, *, fix: bool) -> Finding:
    """What is wrong with a model's ledger and aliases; after mending, what is left."""
    unborn = registry.unborn(client, name)
    found = [*registry.survey(client, name)[2]]
    found += [f"{name}/{number} was registered without an entry" for number in unborn]
    mended = ""
    if found and fix:
        registry.heal(client, name, order=config.stages.order)
        registry.project(client, name, order=config.stages.order)
        left = registry.survey(client, name)[2]
        mended = "mended: " + "; ".join(item for item in found if item not in left)
        found = list(left)
    # an alias on a model that nothing was promoted of is followed, not mended
    harmless = all(registry.UNSPOKEN in item for item in found)
    return Finding(
        f"model {name}",
        Outcome.PASS if not found else Outcome.UNSURE if harmless else Outcome.FAIL,
        "; ".join(found) or mended or "ledger and aliases agree",
        "" if not found else "lifecycle promote" if harmless else "lifecycle doctor --fix",
    )


def _finding(check: str, good: bool, detail: str, fix: str) -> Finding:
    return Finding(check, Outcome.PASS if good else Outcome.FAIL, detail, "" if good else fix)


def _or_unsure(found: object) -> Outcome:
    return Outcome.PASS if found else Outcome.UNSURE


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _major(text: str) -> int:
    return int(text.partition(".")[0])


def _lines(*command: str) -> list[str]:
    try:
        done = subprocess.run(  # noqa: S603 - a program that was found on PATH
            command, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split()
