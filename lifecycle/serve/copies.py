"""Local copies of what is served: loaded from here, also when the registry is down.

    <log dir>/.models/<digest>/           files of the model, copied whole or not at all
        model/…  spec.json  version.json  model.onnx
    <log dir>/.models/<ref>.json          which copy a reference last meant, and which rollout

>>> key(ModelVersion("churn", 7, digest="sha256:0123abcd"))
'churn-7-0123abcd'
"""

import contextlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import numpy as np

from lifecycle.config import Config
from lifecycle.errors import DataError, LogError, ModelNotFound, RegistryError
from lifecycle.models import files, specs
from lifecycle.models.loading import load
from lifecycle.models.predicting import LoadedModel
from lifecycle.models.separable import TAG, separable
from lifecycle.records import ModelRef, ModelSpec, ModelVersion
from lifecycle.serve.slots import Slot, slot
from lifecycle.stores import artifacts, recorded

if TYPE_CHECKING:
    from mlflow import MlflowClient

FOLDER = ".models"
_LONGEST = 120  # characters of a quoted name that are kept as they are
_KEPT = 24 * 3600.0  # seconds that a copy is kept which nothing refers to
# by MLflow's type; texts and all else are empty texts
PLAIN = {
    "double": "float64",
    "float": "float32",
    "long": "int64",
    "integer": "int32",
    "boolean": "bool",
    "datetime": "datetime64[us]",
}
_FIELDS = ("name", "version", "run_id", "source", "digest", "stage", "created")


def key(version: ModelVersion) -> str:
    """The name of a version's copy."""
    mark = version.digest.removeprefix(files.PREFIX) or version.source or version.created
    name = _short(quote(version.name, safe=""))
    whole = f"{name}-{version.version}-{quote(mark, safe='')[:64]}"
    return whole.replace("%", "=")  # MLflow takes a "%" of a path for the begin of an escape


def copy(client: "MlflowClient", version: ModelVersion, config: Config) -> Path:
    """The folder of a version's copy, made where it is missing.

    Raises:
        ModelNotFound: the version's files are gone.
        RegistryUnavailable: no answer in time.
        LogError: the copy cannot be written.
    """
    target = Path(config.log.dir) / FOLDER / key(version)
    if target.is_dir():
        _renew(target, version)
        return target
    draft = target.with_name(f".{target.name[:100]}.{os.getpid()}.{time.time_ns()}")
    spec = artifacts.spec_text(client, version)
    try:
        draft.mkdir(parents=True)
        with artifacts.files(client, version) as folder:
            shutil.copytree(folder, draft / "model", copy_function=shutil.copyfile)
        if version.tags.get(artifacts.COMPILED, "").startswith(files.PREFIX):
            (draft / "model.onnx").write_bytes(artifacts.compiled(client, version))
        (draft / "spec.json").write_text(spec, encoding="utf-8")
        # of a version without a recorded digest at least the copy is watched
        found = version.digest or files.digest(draft / "model")
        known = {name: getattr(version, name) for name in _FIELDS}
        known |= {"tags": dict(version.tags), "copied_digest": found}
        (draft / "version.json").write_text(json.dumps(known), encoding="utf-8")
        draft.rename(target)
    except OSError as error:
        if target.is_dir():  # another process was first
            return target
        raise LogError(
            f"the local copy of {version.ref} cannot be written: {error}",
            where=target,
            fix="make the log's folder writable, or name another with [log] dir",
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _renew(target: Path, version: ModelVersion) -> None:
    """Give a copy the signature that its version got later."""
    note = target / "version.json"
    draft = target.with_name(f".{target.name[:100]}.{os.getpid()}.json")
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # `open_copy` says what
        known = json.loads(note.read_text(encoding="utf-8"))
        if known["tags"].get(recorded.SIGNATURE) != version.tags.get(recorded.SIGNATURE):
            known["tags"] = dict(version.tags)
            draft.write_text(json.dumps(known), encoding="utf-8")
            draft.replace(note)


def open_copy(folder: Path, config: Config) -> LoadedModel:
    """Load a copy: verified by its digest, compiled where it was compiled.

    Raises:
        ModelRefused: the copy is not what was registered, nobody vouches for it, or it must not be
            loaded.
        ModelNotFound: there is no such copy, or what describes it is damaged.
    """
    try:
        known = json.loads((folder / "version.json").read_text(encoding="utf-8"))
        text = (folder / "spec.json").read_text(encoding="utf-8")
        copied = known.pop("copied_digest")
        version = ModelVersion(**known)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelNotFound(
            "there is no whole local copy", where=folder, fix="delete the folder and start again"
        ) from error
    recorded.check(config.signing, version)
    artifacts.check_spec(text.encode(), version)
    onnx = folder / "model.onnx"
    usable = onnx.is_file() and config.models.compile and artifacts.has_onnxruntime()
    loaded = load(
        folder / "model",
        spec=specs.loads(text, where=str(folder)),
        digest=version.digest or copied,
        compiled=onnx if usable else None,
        compiled_digest=version.tags.get(artifacts.COMPILED, ""),
        allow_pickle=config.models.allow_pickle,
    )
    together = loaded.together or version.tags.get(TAG) == "true"
    return replace(loaded, version=version, together=together and loaded.forms is None)


def remember(ref: ModelRef, folder: Path, *, beside: Sequence[str] = (), rollout: int = 0) -> None:
    """Note that a reference means this copy, and drop old copies that nothing means.

    Args:
        ref: the reference.
        folder: the copy of what it means.
        beside: the names of further copies that serve with it.
        rollout: the open rollout's first entry; 0: none is open.

    Raises:
        LogError: the note cannot be written; the last one stands.
    """
    pointer = _pointer(folder.parent, ref)
    draft = pointer.with_suffix(f".{os.getpid()}")
    note = {"copy": folder.name, "beside": list(beside), "rollout": rollout}
    try:
        draft.write_text(json.dumps(note), encoding="utf-8")
        draft.replace(pointer)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise LogError(
            f"which local copy {ref} means cannot be noted: {error}",
            where=pointer,
            fix="make the log's folder writable, or name another with [log] dir",
        ) from error
    with contextlib.suppress(OSError):  # another worker tidies up as well
        _tidy(folder.parent)


def _tidy(parent: Path) -> None:
    meant: set[str] = set()
    for path in parent.glob("*.json"):
        note = _note(path)
        meant.update({note["copy"], *note["beside"]} if note else ())
    for other in parent.iterdir():
        unused = other.is_dir() and other.name not in meant
        if unused and time.time() - other.stat().st_mtime > _KEPT:
            shutil.rmtree(other, ignore_errors=True)


def last(ref: ModelRef, config: Config) -> Path | None:
    """The copy that a reference last meant; None when there is none."""
    folder = Path(config.log.dir) / FOLDER
    note = _note(_pointer(folder, ref))
    return folder / note["copy"] if note and (folder / note["copy"]).is_dir() else None


def under_way(ref: ModelRef, config: Config) -> int:
    """The rollout that was open when the note was written; 0: none was."""
    note = _note(_pointer(Path(config.log.dir) / FOLDER, ref))
    return int(note["rollout"]) if note else 0


def _pointer(folder: Path, ref: ModelRef) -> Path:
    return folder / f"{_short(quote(str(ref), safe='@'))}.json"


def _short(name: str) -> str:
    """A name that a folder can have; a letter may take nine characters when it is quoted."""
    if len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}~{sha256(name.encode()).hexdigest()[:16]}"


def _note(pointer: Path) -> dict[str, Any] | None:
    """What a reference means; None where nothing was noted, or it cannot be read."""
    try:
        tree = json.loads(pointer.read_text(encoding="utf-8"))
        beside = [str(item) for item in tree.get("beside", ())]
        found = {
            "copy": str(tree["copy"]),
            "beside": beside,
            "rollout": int(tree.get("rollout", 0)),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if found["copy"] else None


def _plain_row(spec: ModelSpec) -> dict[str, np.ndarray]:
    """One row of zeros and empty texts."""
    return {
        column.name: np.array([""], dtype=object)
        if column.dtype not in PLAIN
        else np.zeros(1, dtype=PLAIN[column.dtype])
        for column in spec.features
    }


def warmed(ref: ModelRef, folder: Path, config: Config) -> Slot:
    """A slot of a copy that has answered: its own example, else a row of nothing special.

    Raises:
        ModelRefused: the files must not be loaded.
        RegistryError: it cannot answer its own example.
    """
    one = slot(ref.name, open_copy(folder, config))
    own = folder / "model" / "serving_input_example.json"
    rows: Any = None
    if own.is_file():
        try:
            # MLflow writes NaN, which no JSON has, for a null
            body = msgspec.json.encode(json.loads(own.read_bytes()))
            rows = one.decoder.json(body)
        except (DataError, ValueError, RecursionError):  # of a form that we do not serve
            rows = None
    if rows is None:
        with contextlib.suppress(Exception):  # it is no example of what the model must take
            one.loaded.predict(_plain_row(one.loaded.spec))
        return one
    for _ in range(2):
        try:
            one.loaded.predict(rows.columns, rows.params)
        except Exception as error:
            raise RegistryError(
                f"{ref} fails on its own example: {type(error).__name__}: {error}", where=folder
            ) from error
    one = replace(one, example=body)
    alone = one.loaded.forms is not None  # what it is given has no columns to put together
    if one.loaded.together or alone or not separable(one.loaded, rows.columns):
        return one
    return replace(one, loaded=replace(one.loaded, together=True))
