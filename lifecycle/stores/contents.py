"""The digests of what is stored with a version: specification, rows, profile, compiled model.

>>> link("5f0c", "spec.json")
'runs:/5f0c/lifecycle/spec.json'

They stand in the entry that registers the version, so that `lifecycle verify` finds a file that was
changed since, and which.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.errors import LifecycleError, ModelNotFound, RegistryUnavailable
from lifecycle.stores.artifacts import local, spec_of_run
from lifecycle.stores.runs import FOLDER
from lifecycle.stores.tracking import answers, quiet

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARTS = ("data", "compiled")  # folders beside spec.json; evidence comes later and has its entries
MOST = 12  # files of a version; more would not fit in an entry


def digests(client: "MlflowClient", spec_run: str) -> dict[str, str]:
    """The sha256 of each file that is stored with a version, by its address.

    Args:
        client: what `connect` gave.
        spec_run: the run that holds the version's specification; the rows may be in another.

    Returns:
        Empty where that run is gone or holds nothing of ours.

    Raises:
        RegistryUnavailable: no answer in time.
    """
    try:
        spec = spec_of_run(client, spec_run)
        found = [link(spec_run, "spec.json")]
        for run_id in dict.fromkeys((spec_run, spec.data_run_id or spec_run)):
            found += [item for part in PARTS for item in _listed(client, run_id, part)]
        return {item: hashlib.sha256(content(client, item)).hexdigest() for item in found[:MOST]}
    except RegistryUnavailable:
        raise
    except LifecycleError:
        return {}


def link(run_id: str, name: str) -> str:
    """The address of a file in a run's `lifecycle/` folder."""
    return f"runs:/{run_id}/{FOLDER}/{name}"


def content(client: "MlflowClient", address: str) -> bytes:
    """The bytes of a file by its runs:/… address, read anew.

    Raises:
        ModelNotFound: it is gone, or its run is.
        RegistryUnavailable: no answer in time.
    """
    run_id, _, path = address.removeprefix("runs:/").partition("/")
    with answers(address):
        root = str(client.get_run(run_id).info.artifact_uri).rstrip("/")
    where = local(f"{root}/{path}")
    try:
        if where is not None:
            return where.read_bytes()
        from mlflow.artifacts import download_artifacts

        with tempfile.TemporaryDirectory(prefix="lifecycle-") as scratch:
            with answers(address), quiet():
                found = download_artifacts(artifact_uri=f"{root}/{path}", dst_path=scratch)
            return Path(found).read_bytes()
    except FileNotFoundError as error:
        raise ModelNotFound("the file is gone", where=address, fix="restore it") from error


def _listed(client: "MlflowClient", run_id: str, part: str) -> list[str]:
    with answers(f"run {run_id}"):
        found = client.list_artifacts(run_id, f"{FOLDER}/{part}")
    return [f"runs:/{run_id}/{item.path}" for item in found if not item.is_dir]
