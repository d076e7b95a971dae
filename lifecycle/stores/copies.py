"""A version's files taken out of one registry and put into another, digests checked on both sides.

>>> TRANSFER
'lifecycle.transfer'

What is put in carries a tag with the key of its transfer from its first moment, so that whoever
goes on after an interruption finds it and makes nothing twice.
"""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from lifecycle.errors import DigestMismatch, ModelNotFound
from lifecycle.models import files, specs
from lifecycle.records import ModelSpec, ModelVersion
from lifecycle.stores import artifacts, contents, recorded, registry, runs
from lifecycle.stores.tracking import answers, experiment_id, quiet

if TYPE_CHECKING:
    from mlflow import MlflowClient

TRANSFER = "lifecycle.transfer"  # tag of a version and of its run: the key of the transfer
MODEL = "lifecycle.model_uri"  # tag of the run: where the files are
LEFT = "evidence"  # of a run's files: those of decisions, which are another registry's
# of a version's tags those that its own registry decides
OWN = {
    "gate", "gate_digest", "stage", "last_check", "drift", "signature", "approvals", "transfer",
    "spec_run", "spec_digest",
}  # fmt: skip


def take(
    client: "MlflowClient",
    version: ModelVersion,
    folder: Path,
    *,
    stored: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Copy a version's files to `folder/model` and what is stored with it to `folder/lifecycle`.

    Args:
        client: of the registry that it is in.
        version: adopted.
        folder: an empty one.
        stored: the sha256 of what is stored with it, by address, as its registration recorded.

    Raises:
        DigestMismatch: something, before or after the copy, is not what was registered.
        ModelNotFound: files are gone.
    """
    with artifacts.files(client, version) as source:
        files.verify(source, version.digest)
        shutil.copytree(source, folder / "model")
    files.verify(folder / "model", version.digest)
    spec_run = version.tags[artifacts.SPEC_RUN]
    spec = artifacts.spec(client, version)
    data_run = spec.data_run_id or spec_run
    for run_id in dict.fromkeys((spec_run, data_run)):
        parts = [] if run_id == spec_run else ["data"]
        _take(client, run_id, "/".join([runs.FOLDER, *parts]), folder, stored)
    compiled = version.tags.get(artifacts.COMPILED, "")
    if compiled.startswith(files.PREFIX):
        files.verify_file(folder / runs.FOLDER / "compiled" / "model.onnx", compiled)


def _take(
    client: "MlflowClient", run_id: str, path: str, folder: Path, stored: Mapping[str, str]
) -> None:
    with answers(f"run {run_id}"):
        found = client.list_artifacts(run_id, path)
    for item in found:
        if item.is_dir:
            if item.path != f"{runs.FOLDER}/{LEFT}":
                _take(client, run_id, item.path, folder, stored)
            continue
        address = f"runs:/{run_id}/{item.path}"
        content = contents.content(client, address)
        found = hashlib.sha256(content).hexdigest()
        if stored.get(address, found) != found:
            raise DigestMismatch(
                f"the file is not the one that was registered: found sha256 {found}, registered"
                f" {stored[address]}",
                where=address,
                fix="look at who changed it with `lifecycle verify`, and restore it",
            )
        target = folder / item.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def put(
    client: "MlflowClient", name: str, folder: Path, *, key: str, version: ModelVersion
) -> ModelVersion:
    """Make one version of what `take` took; what an earlier call has made is gone on with.

    Args:
        client: of the registry that it goes to.
        name: of the model there; made when there is none.
        folder: what `take` filled.
        key: names the transfer; no two versions of the model have it.
        version: as it was in the other registry.

    Raises:
        DigestMismatch: the files as they are stored are not those that were taken.
        TrainingFailed: they cannot be stored.
    """
    known = _with(client, name, key)
    if not known or not known[0].adopted:
        run_id, model_uri = _stored(client, name, folder, key=key, version=version)
        if not known:
            _made(name, model_uri, key)
            known = _with(client, name, key)
        known = _alone(client, known)
        _marked(client, known[0], run_id, folder, version)
    return registry.find(client, known[0])


def _with(client: "MlflowClient", name: str, key: str) -> list[ModelVersion]:
    """The versions of this transfer, the first that was made first."""
    try:
        listed = registry.as_in_mlflow(client, name).versions
    except ModelNotFound:
        return []
    return [item for item in listed if item.tags.get(TRANSFER) == key]


def _stored(
    client: "MlflowClient", name: str, folder: Path, *, key: str, version: ModelVersion
) -> tuple[str, str]:
    """The run and the address of the files there; stored now unless they are already."""
    experiment = experiment_id(client, name)
    runs.close_dead(client, experiment)
    query = f"tags.`{TRANSFER}` = '{key}' AND attributes.status = 'FINISHED'"
    with answers(name):
        found = client.search_runs([experiment], query, max_results=1)
    if found:
        return str(found[0].info.run_id), str(found[0].data.tags[MODEL])
    text = (folder / runs.FOLDER / "spec.json").read_text(encoding="utf-8")
    spec = specs.loads(text, where=version.ref)
    tags = {"lifecycle.kind": "transfer", "lifecycle.name": name, TRANSFER: key}
    with runs.run(client, experiment, f"transfer {version.ref}", tags=tags) as run_id:
        runs.log_figures(client, run_id, spec.metrics, {"version": version.ref})
        model_uri = _log_model(client, experiment, run_id, folder / "model")
        with artifacts.logged_files(client, model_uri) as there:
            files.verify(there, version.digest)
        runs.log_files(client, run_id, _contents(folder / runs.FOLDER, spec, run_id))
        _check(client, run_id, folder / runs.FOLDER)
        with answers(name):
            client.set_tag(run_id, MODEL, model_uri)
    return run_id, model_uri


def _contents(folder: Path, spec: ModelSpec, run_id: str) -> dict[str, str | bytes]:
    """What goes with the run: as it was taken, but the specification names the new run."""
    found: dict[str, str | bytes] = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return {**found, "spec.json": specs.dumps(replace(spec, data_run_id=run_id))}


def _check(client: "MlflowClient", run_id: str, folder: Path) -> None:
    """What was stored is what was taken, byte for byte."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or name == "spec.json":
            continue
        if contents.content(client, contents.link(run_id, name)) != path.read_bytes():
            raise DigestMismatch(
                f"{name} is not stored as it was sent",
                where=f"run {run_id}",
                fix="look at the artifact store, and transfer again",
            )


def _log_model(client: "MlflowClient", experiment: str, run_id: str, folder: Path) -> str:
    """The files as a logged model of their own."""
    from mlflow.entities import LoggedModelOutput

    with answers("model"), quiet():
        made = client.create_logged_model(experiment, "model", source_run_id=run_id)
        model_id = str(made.model_id)
        try:
            client.log_model_artifacts(model_id, str(folder))
        except BaseException as error:
            client.finalize_logged_model(model_id, "FAILED")
            if isinstance(error, OSError):
                raise runs.storage_error(error) from error
            raise
        client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])
        client.finalize_logged_model(model_id, "READY")
    return f"models:/{model_id}"


def _made(name: str, model_uri: str, key: str) -> None:
    """A version that carries the key alone: it is not ours, and in no ledger, before `_marked`."""
    import mlflow

    with answers(name), quiet():
        mlflow.register_model(model_uri, name, tags={TRANSFER: key})


def _alone(client: "MlflowClient", known: list[ModelVersion]) -> list[ModelVersion]:
    """Of versions that two calls made at once the first stays; the others are nobody's yet."""
    first, *others = known
    for item in others:
        if not item.adopted:
            with answers(item.ref):
                client.delete_model_version(item.name, str(item.version))
    return [first]


def _marked(
    client: "MlflowClient", made: ModelVersion, run_id: str, folder: Path, version: ModelVersion
) -> None:
    """The tags that make a version ours, the run that holds its specification last."""
    stored = folder / "stored.json"
    stored.write_bytes(contents.content(client, contents.link(run_id, "spec.json")))
    tags = {key: value for key, value in version.tags.items() if _travels(key)}
    tags[recorded.SPEC] = files.file_digest(stored)
    tags[artifacts.DIGEST] = version.digest
    tags[artifacts.SPEC_RUN] = run_id
    with answers(made.ref):
        for key, value in tags.items():
            if key != artifacts.SPEC_RUN:
                client.set_model_version_tag(made.name, str(made.version), key, value)
        recorded.vouch(client, made.name, made.version, tags)
        client.set_model_version_tag(made.name, str(made.version), artifacts.SPEC_RUN, run_id)
    with artifacts.files(client, made) as there:
        files.verify(there, version.digest)


def _travels(tag: str) -> bool:
    """Whether a tag of a version says something of its files.

    >>> _travels("lifecycle.compiled"), _travels("lifecycle.gate"), _travels("mine")
    (True, False, True)
    """
    return not tag.startswith("mlflow.") and tag.removeprefix("lifecycle.") not in OWN
