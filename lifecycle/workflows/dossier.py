"""All that is recorded of one version, read back in one place; for its card and for an auditor.

>>> Listed("MLmodel", "ab" * 32, 812).size
812
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lifecycle.errors import DataError, LifecycleError, RegistryUnavailable
from lifecycle.models import files
from lifecycle.records import Check, Entry, GateReport, ModelSpec, ModelVersion
from lifecycle.stores import artifacts, contents, datasets
from lifecycle.stores.tracking import answers
from lifecycle.workflows.checks import recorded
from lifecycle.workflows.promote import read_report

if TYPE_CHECKING:
    from mlflow import MlflowClient

BIRTHS = ("register", "adopt")


@dataclass(frozen=True)
class Listed:
    """One of a model's files."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Dossier:
    """What is recorded of a version; what could not be read is in `missing`, with the reason.

    Attributes:
        version: as the registry and the ledger have it.
        entries: of the ledger that are about it.
        model_description: of the registered model, as somebody wrote it in MLflow.
        description: of the version, likewise.
        spec: what it is; None where it was never adopted.
        files: the model's files as they are now.
        files_digest: what they come to; the version has what was registered.
        holdout: rows of the hold-out, their digest (`datasets.digest`), the sha256 of its file.
        gate: the ledger's newest gate entry of the version.
        report: what it rests on.
        checks: what was found while it served, oldest window first.
        missing: where, and why it could not be read.
    """

    version: ModelVersion
    entries: tuple[Entry, ...]
    model_description: str = ""
    description: str = ""
    spec: ModelSpec | None = None
    files: tuple[Listed, ...] = ()
    files_digest: str = ""
    holdout: tuple[int, str, str] | None = None
    gate: Entry | None = None
    report: GateReport | None = None
    checks: tuple[Check, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)


def dossier(client: "MlflowClient", version: ModelVersion, ledger: Sequence[Entry]) -> Dossier:
    """Gather what is recorded of a version.

    Args:
        client: of the registry.
        version: of which.
        ledger: all entries of the model.

    Raises:
        RegistryUnavailable: no answer in time.
    """
    missing: dict[str, str] = {}
    with answers(version.ref):
        model = client.get_registered_model(version.name)
        own = client.get_model_version(version.name, str(version.version))
    entries = about(ledger, version.version)
    gate = next((item for item in reversed(entries) if item.kind == "gate"), None)
    listed, digest = _had(missing, "model files", lambda: _files(client, version)) or ((), "")
    return Dossier(
        version,
        entries,
        model_description=model.description or "",
        description=own.description or "",
        spec=_had(missing, "specification", lambda: artifacts.spec(client, version)),
        files=listed,
        files_digest=digest,
        holdout=_had(missing, "hold-out", lambda: _holdout(client, version)),
        gate=gate,
        report=read_report(client, version, gate) if gate else None,
        checks=_had(missing, "checks", lambda: _checks(client, version)) or (),
        missing=missing,
    )


def about(ledger: Sequence[Entry], version: int) -> tuple[Entry, ...]:
    """The entries that are about a version, with those that took it out of production.

    >>> from lifecycle.stores.ledger import draft
    >>> moved = draft(kind="stage", version=2, to="production", extra={"replaced": 1})
    >>> about([moved], 1) == about([moved], 2) == (moved,)
    True

    Of a number that MLflow gave again after a deletion, those of both versions.
    """
    return tuple(item for item in ledger if version in (item.version, item.extra.get("replaced")))


def evidence(client: "MlflowClient", entry: Entry) -> bytes:
    """The file that an entry rests on, read anew and byte for byte.

    Raises:
        DataError: it is not the one that was stored, or has no address.
        ModelNotFound: it is gone.
        RegistryUnavailable: no answer in time.
    """
    if not entry.evidence_link:
        raise DataError("the entry has its digest, but no address", where=f"entry {entry.seq}")
    content = contents.content(client, entry.evidence_link)
    found = hashlib.sha256(content).hexdigest()
    if found != entry.evidence_digest:
        raise DataError(
            f"the evidence is not what was stored: found sha256 {found}, recorded"
            f" {entry.evidence_digest}",
            where=entry.evidence_link,
            fix="look at who changed the artifact",
        )
    return content


def _had(missing: dict[str, str], where: str, read: Any) -> Any:
    """What a reading gives; None where it cannot be had, with the reason in `missing`."""
    try:
        return read()
    except RegistryUnavailable:
        raise
    except LifecycleError as error:
        missing[where] = error.what
        return None


def _files(client: "MlflowClient", version: ModelVersion) -> tuple[tuple[Listed, ...], str]:
    with artifacts.files(client, version) as folder:
        found = tuple(
            Listed(
                path.relative_to(folder).as_posix(),
                files.file_digest(path).removeprefix(files.PREFIX),
                path.stat().st_size,
            )
            for path in files.listing(folder)
        )
        return found, files.digest(folder)


def _holdout(client: "MlflowClient", version: ModelVersion) -> tuple[int, str, str]:
    run_id = version.tags.get(artifacts.SPEC_RUN, "")
    frame = artifacts.holdout(client, version)
    data_run = artifacts.spec(client, version).data_run_id or run_id
    content = contents.content(client, contents.link(data_run, "data/holdout.parquet"))
    return len(frame), datasets.digest(frame), hashlib.sha256(content).hexdigest()


def _checks(client: "MlflowClient", version: ModelVersion) -> tuple[Check, ...]:
    found = recorded(client, version.name)
    return tuple(one for one in found if one.version == version.version)
