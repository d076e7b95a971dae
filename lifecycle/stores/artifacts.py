"""What is stored with a version: specification, hold-out, reference, profile, files, evidence.

>>> evidence_name = "gate-3"
>>> f"runs:/RUN/{FOLDER}/evidence/{evidence_name}.json"
'runs:/RUN/lifecycle/evidence/gate-3.json'
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd

from lifecycle.config import Config
from lifecycle.errors import DataError, DigestMismatch, ModelNotFound
from lifecycle.models import loading, specs
from lifecycle.models.files import PREFIX, verify_file
from lifecycle.models.files import verify as verify_files
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import ModelSpec, ModelVersion
from lifecycle.stores import recorded
from lifecycle.stores.runs import FOLDER, log_files
from lifecycle.stores.tracking import answers, quiet

if TYPE_CHECKING:
    from mlflow import MlflowClient

COMPILED, DIGEST = recorded.COMPILED, recorded.DIGEST
SPEC, SPEC_RUN = recorded.SPEC, recorded.SPEC_RUN
COMPILED_HOW = "lifecycle.compiled_how"
ANSWERS = "data/holdout_answers.parquet"


def spec(client: "MlflowClient", version: ModelVersion) -> ModelSpec:
    """What the version is; off MLflow's signature where it is not ours.

    Raises:
        ModelNotFound: its files are gone.
        DigestMismatch: the specification is not the one that was registered.
        RegistryError: the specification cannot be read.
    """
    return specs.loads(spec_text(client, version), where=version.ref)


def spec_text(client: "MlflowClient", version: ModelVersion) -> str:
    """The specification as it is stored; raises as `spec` does."""
    if not version.adopted:
        with files(client, version) as folder:
            return specs.dumps(specs.from_signature(loading.describe(folder).get("signature")))
    content = _text(client, own_run(version), "spec.json")
    check_spec(content, version)
    return content.decode()


def check_spec(content: bytes, version: ModelVersion) -> None:
    """Refuse a specification that is not the one that was registered.

    Raises:
        DigestMismatch: it differs; versions from before its digest was kept are let through.
    """
    known, found = version.tags.get(SPEC, ""), digest_of(content)
    if known and found != known:
        raise DigestMismatch(
            f"the version's specification is not the one that was registered: found {found}, "
            f"registered {known}",
            where=version.ref,
            fix="restore spec.json of its run, or register the model again",
        )


def digest_of(content: bytes) -> str:
    """The sha256 as it stands in tags, "sha256:" and 64 hexadecimal digits."""
    return f"{PREFIX}{hashlib.sha256(content).hexdigest()}"


def spec_digest(client: "MlflowClient", run_id: str) -> str:
    """The same of the specification that a candidate's run holds."""
    return digest_of(_read(client.tracking_uri, run_id, "spec.json"))


def verify(client: "MlflowClient", version: ModelVersion, config: Config) -> None:
    """All that is checked before a version is loaded, without loading it.

    Raises:
        ModelRefused: a file is not the one that was registered, or nobody vouches for it.
        ModelNotFound: its files are gone.
    """
    recorded.check(config.signing, version)
    if version.tags.get(SPEC):
        spec(client, version)
    known = version.tags.get(COMPILED, "")
    with files(client, version) as folder, tempfile.TemporaryDirectory() as scratch:
        if version.digest:
            verify_files(folder, version.digest)
        if known.startswith(PREFIX):
            onnx = Path(scratch) / "model.onnx"
            onnx.write_bytes(compiled(client, version))
            verify_file(onnx, known)


def spec_of_run(client: "MlflowClient", run_id: str) -> ModelSpec:
    """The specification that a candidate's run holds."""
    return specs.loads(_text(client, run_id, "spec.json").decode(), where=run_id)


def holdout(client: "MlflowClient", version: ModelVersion) -> pd.DataFrame:
    """The hold-out rows: features, target, and time, key and weight where there are any.

    Raises:
        ModelNotFound: none is stored with the version.
    """
    return _frame(client, version, "data/holdout.parquet")


def holdout_of_run(client: "MlflowClient", run_id: str) -> pd.DataFrame:
    """The hold-out rows of a training, by its run."""
    return _parquet(_text(client, run_id, "data/holdout.parquet"), f"run {run_id}")


def answers_table(output: Output) -> pd.DataFrame:
    """A model's answers to its hold-out rows as they are stored with it: `ANSWERS`.

    >>> answers_table(Output(np.array([1, 0]), np.array([[0.2, 0.8], [0.9, 0.1]])))
       prediction  score
    0           1    0.8
    1           0    0.1
    """
    table = pd.DataFrame({"prediction": output.prediction})
    if output.score is not None:
        table["score"] = output.score.tolist() if output.score.ndim > 1 else output.score
    return table


def holdout_answers(client: "MlflowClient", version: ModelVersion) -> Output:
    """What the version answered to its hold-out rows, in their order.

    Raises:
        ModelNotFound: the version stores none; it is from before they were kept, or has no rows.
    """
    return as_output(_parquet(_text(client, own_run(version), ANSWERS), version.ref))


def as_output(table: pd.DataFrame) -> Output:
    """The answers that `answers_table` made a table of."""
    prediction = table["prediction"].to_numpy()
    if "score" not in table:
        return Output(prediction)
    score = np.array(table["score"].tolist(), dtype=np.float64)
    return Output(prediction, score if score.ndim > 1 else np.column_stack((1.0 - score, score)))


def reference(client: "MlflowClient", version: ModelVersion) -> pd.DataFrame:
    """A sample of the rows that the model was made with; `score` on those that it had not seen.

    Raises:
        ModelNotFound: none is stored with the version.
    """
    return _frame(client, version, "data/reference.parquet")


def profile_text(client: "MlflowClient", version: ModelVersion) -> str:
    """The profile of the reference, as `lifecycle.drift.Profile.loads` reads it.

    Raises:
        ModelNotFound: none is stored with the version.
    """
    return _text(client, _data_run(client, version), "data/profile.json").decode()


def evidence(
    client: "MlflowClient", run_id: str, name: str, payload: Mapping[str, Any]
) -> tuple[str, str]:
    """Store what a decision rests on as `lifecycle/evidence/NAME.json` of a run.

    Returns:
        The sha256 of the file (64 digits) and its address, runs:/….
    """
    content = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    path = f"evidence/{name}.json"
    log_files(client, run_id, {path: content})
    return hashlib.sha256(content.encode()).hexdigest(), f"runs:/{run_id}/{FOLDER}/{path}"


def read_evidence(client: "MlflowClient", link: str, digest: str) -> dict[str, Any]:
    """Read evidence back by the address and digest that `evidence` gave.

    Raises:
        DataError: the file is not the one that was stored.
        ModelNotFound: it is gone.
    """
    tree: dict[str, Any] = json.loads(evidence_file(client, link, digest))
    return tree


def evidence_file(client: "MlflowClient", link: str, digest: str) -> bytes:
    """The same as it is stored, byte for byte.

    Raises:
        DataError: the file is not the one that was stored.
        ModelNotFound: it is gone.
    """
    run_id, _, path = link.removeprefix("runs:/").partition("/")
    content = _text(client, run_id, path.removeprefix(f"{FOLDER}/"))
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise DataError(
            f"the evidence is not what was stored: found sha256 {found}, recorded {digest}",
            where=link,
            fix="look at who changed the artifact; run the gates again",
        )
    return content


def run_file(client: "MlflowClient", run_id: str, name: str) -> bytes:
    """A file of a run's `lifecycle/` folder as it is stored.

    Raises:
        ModelNotFound: it is not there.
    """
    return _text(client, run_id, name)


def load(client: "MlflowClient", version: ModelVersion, config: Config) -> LoadedModel:
    """Load a version: verified, and compiled where it was compiled.

    Raises:
        ModelRefused: DigestMismatch or UntrustedModel, see `lifecycle.models.loading`; or nobody
            vouches for it whom `[signing] trusted` names.
        ModelNotFound: its files are gone.
    """
    recorded.check(config.signing, version)
    known = spec(client, version)
    compiled = version.tags.get(COMPILED, "")
    with files(client, version) as folder, tempfile.TemporaryDirectory() as scratch:
        onnx = None
        if compiled.startswith("sha256:") and config.models.compile and has_onnxruntime():
            onnx = Path(scratch) / "model.onnx"
            onnx.write_bytes(_text(client, own_run(version), "compiled/model.onnx"))
        loaded = loading.load(
            folder,
            spec=known,
            digest=version.digest,
            compiled=onnx,
            compiled_digest=compiled,
            allow_pickle=config.models.allow_pickle,
        )
    return replace(loaded, version=version)


def compiled(client: "MlflowClient", version: ModelVersion) -> bytes:
    """The version's ONNX file; not kept in memory, since a server meets many.

    Raises:
        ModelNotFound: it was not compiled.
    """
    return _read(client.tracking_uri, own_run(version), "compiled/model.onnx")


def has_onnxruntime() -> bool:
    """Whether compiled models can be used here."""
    from importlib.util import find_spec

    return find_spec("onnxruntime") is not None


@contextmanager
def files(client: "MlflowClient", version: ModelVersion) -> Iterator[Path]:
    """The folder of a version's files; a copy that is removed again where they are remote.

    Raises:
        ModelNotFound: they are gone.
    """
    with answers(version.ref):
        address = client.get_model_version_download_uri(version.name, str(version.version))
        if address.startswith("models:/m-"):
            address = client.get_logged_model(address.removeprefix("models:/")).artifact_location
    with _downloaded(address, version.ref) as folder:
        yield folder


@contextmanager
def logged_files(client: "MlflowClient", model_uri: str) -> Iterator[Path]:
    """The folder of a logged model that is not registered yet, by its models:/m-… address."""
    with answers(model_uri):
        found = client.get_logged_model(model_uri.removeprefix("models:/"))
    with _downloaded(found.artifact_location, model_uri) as folder:
        yield folder


def local(address: str) -> Path | None:
    """An artifact's path on this machine; None where it is elsewhere.

    >>> local("/srv/me/C# and R/mlruns/1").name, local("file:///srv/my%20files").name
    ('1', 'my files')
    >>> local("mlflow-artifacts:/1") is None
    True
    """
    parts = urlsplit(address)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    return None if parts.scheme else Path(address)  # a path may hold what a URL may not


@contextmanager
def _downloaded(address: str, where: str) -> Iterator[Path]:
    folder = local(address)
    if folder is not None:
        if not folder.is_dir():
            raise ModelNotFound(
                f"the model's folder is gone: {folder}", where=where, fix="restore it"
            )
        yield folder
        return
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory(prefix="lifecycle-") as scratch:
        with answers(where), quiet():
            found = download_artifacts(artifact_uri=address, dst_path=scratch)
        yield Path(found)


def own_run(version: ModelVersion) -> str:
    """The run that holds a version's specification.

    Raises:
        ModelNotFound: the version is not ours.
    """
    run_id = version.tags.get(SPEC_RUN, "")
    if not run_id:
        raise ModelNotFound(
            "the version is not ours yet",
            where=version.ref,
            fix=f"run `lifecycle adopt {version.ref}`",
        )
    return run_id


def _data_run(client: "MlflowClient", version: ModelVersion) -> str:
    run_id = own_run(version)
    return spec(client, version).data_run_id or run_id


def _frame(client: "MlflowClient", version: ModelVersion, name: str) -> pd.DataFrame:
    return _parquet(_text(client, _data_run(client, version), name), version.ref)


def _parquet(content: bytes, where: str) -> pd.DataFrame:
    try:
        return pd.read_parquet(BytesIO(content))
    except (OSError, ValueError) as error:
        raise DataError(
            f"the stored rows are damaged: {error}",
            where=where,
            fix="restore the artifact, or train again",
        ) from error


def _text(client: "MlflowClient", run_id: str, name: str) -> bytes:
    """A file of a run's `lifecycle/` folder; artifacts of runs are written once, so cached."""
    return _cached(client.tracking_uri, run_id, name)


def _read(tracking_uri: str, run_id: str, name: str) -> bytes:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri)
    with answers(f"run {run_id}"):
        root = str(client.get_run(run_id).info.artifact_uri).rstrip("/")
    address = f"{root}/{FOLDER}/{name}"
    try:
        path = local(address)
        if path is not None:
            return path.read_bytes()
        from mlflow.artifacts import download_artifacts

        with tempfile.TemporaryDirectory(prefix="lifecycle-") as scratch:
            with answers(f"run {run_id}"), quiet():
                found = download_artifacts(artifact_uri=address, dst_path=scratch)
            return Path(found).read_bytes()
    except (FileNotFoundError, ModelNotFound) as error:
        raise ModelNotFound(
            f"{FOLDER}/{name} is not stored with run {run_id}",
            where=address,
            fix="adopt the version with what is missing, or train again",
        ) from error


_cached = lru_cache(maxsize=64)(_read)
