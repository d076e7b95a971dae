"""Carry a version to another registry, with its evidence, once.

    files, specification, hold-out -> the other registry -> an entry there -> an entry here

>>> from lifecycle.config import Config
>>> transfer(Config(), "churn/3", to="https://prod.example").target  # doctest: +SKIP
'churn/1'

What names a transfer is the id of the entry that registered the version here, and the model's name
there. Each step looks first at whether it was done, so a call that was killed is finished by the
next one, and one that was finished does nothing.
"""

import contextlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle.config import Config
from lifecycle.errors import (
    ConfigError,
    LedgerError,
    LifecycleError,
    ModelNotFound,
    RegistryUnavailable,
    TransitionRefused,
)
from lifecycle.records import Entry, ModelRef, ModelVersion, Transfer
from lifecycle.stores import artifacts, copies, recorded, registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect, public
from lifecycle.workflows.dossier import about, evidence
from lifecycle.workflows.export import ledger_lines

if TYPE_CHECKING:
    from mlflow import MlflowClient

KIND = "transfer"
FORMAT = "lifecycle-transfer/1"


def transfer(
    config: Config, ref: str | ModelRef | ModelVersion, *, to: str, name: str = ""
) -> Transfer:
    """Copy a version with its evidence; its gates are run there, when it is promoted there.

    Args:
        config: the registry that it is in, and the stages.
        ref: the version.
        to: the tracking URI of the other registry.
        name: of the model there; by default as here.

    Raises:
        ConfigError: the address or the name cannot be used.
        TransitionRefused: both are the same model.
        DigestMismatch: the files are not those that were registered; nothing was written.
        ModelNotFound: no such version, or it was never adopted.
        RegistryUnavailable: one of the two did not answer; the same call goes on later.
    """
    if re.search(r"[/:@]", name):
        raise ConfigError(f"{name!r} cannot be a model's name", fix="leave out / : and @")
    here, order = connect(config), config.stages.order
    version = registry.find(here, ref, order=order)
    if not version.adopted:
        raise ModelNotFound(
            "the version is not ours yet", where=version.ref, fix=f"lifecycle adopt {version.ref}"
        )
    registry.heal(here, version.name, order=order)
    entries = Ledger(here, version.name).entries()
    birth = recorded.births(entries).get(version.version)
    if birth is None:
        raise LedgerError(
            "no entry registers this version", where=version.ref, fix="see `lifecycle verify`"
        )
    origin = {
        "registry": public(str(here.tracking_uri)),
        "name": version.name,
        "version": version.version,
        "head": _head(entries),
    }
    bundle = _bundle(here, origin, version, entries)
    with tempfile.TemporaryDirectory(prefix="lifecycle-") as scratch:
        stored = birth.extra.get("stored") or {}
        copies.take(here, version, Path(scratch), stored=stored)
        with _elsewhere(config, to) as there:
            target_name = name or version.name
            _check_other(there, target_name, birth, version)
            made = copies.put(there, target_name, Path(scratch), key=birth.id, version=version)
            registry.heal(there, target_name, order=order)
            received, new = _receive(there, made, birth.id, origin, bundle)
            registry_there = public(str(there.tracking_uri))
    new |= _send(connect(config), version, made, received, registry_there)
    return Transfer(
        source=version.ref,
        target=made.ref,
        registry=registry_there,
        digest=version.digest,
        source_head=str(received.extra["head"]["digest"]),
        target_head=received.digest,
        repeated=not new,
    )


@contextlib.contextmanager
def _elsewhere(config: Config, uri: str) -> Iterator["MlflowClient"]:
    """The other registry; MLflow's own state is about this one again afterwards."""
    try:
        yield connect(config.with_values(tracking__uri=uri))
    finally:
        with contextlib.suppress(LifecycleError):
            connect(config)


def _check_other(there: "MlflowClient", name: str, birth: Entry, version: ModelVersion) -> None:
    """Refuse a transfer of a model to itself, by whatever address."""
    if any(entry.id == birth.id for entry in Ledger(there, name).entries()):
        raise TransitionRefused(
            f"{version.name!r} there is the same model as here",
            where=version.ref,
            fix="give another registry, or another name with --name",
        )


def _head(entries: Sequence[Entry]) -> dict[str, Any]:
    return {"seq": entries[-1].seq, "digest": entries[-1].digest}


def _bundle(
    here: "MlflowClient", origin: dict[str, Any], version: ModelVersion, entries: Sequence[Entry]
) -> dict[str, Any]:
    """The ledger's entries about the version, links for the others, and their evidence."""
    shown = about(entries, version.version)
    reports: dict[str, str] = {}
    missing: dict[str, str] = {}
    for entry in shown:
        digest = entry.evidence_digest
        if not digest or digest in reports or entry.kind == KIND:
            continue
        try:
            reports[digest] = evidence(here, entry).decode()
        except RegistryUnavailable:
            raise
        except (LifecycleError, ValueError) as error:
            missing[digest] = str(error)
    return {
        "format": FORMAT,
        "source": origin,
        "digest": version.digest,
        "ledger": ledger_lines(entries, shown).splitlines(),
        "evidence": reports,
        "missing": missing,
    }


def _receive(
    there: "MlflowClient",
    made: ModelVersion,
    key: str,
    origin: dict[str, Any],
    bundle: dict[str, Any],
) -> tuple[Entry, bool]:
    """The entry of the other ledger, and whether it was written now."""
    ledger = Ledger(there, made.name)
    known = _received(ledger.entries(), made, key)
    if known is not None:
        return known, False
    head = origin["head"]
    digest, link = artifacts.evidence(
        there, made.tags[artifacts.SPEC_RUN], f"transfer-{key[:8]}-{head['digest'][:8]}", bundle
    )
    entry = draft(
        kind=KIND,
        version=made.version,
        reason=f"from {origin['name']}/{origin['version']} of {origin['registry']},"
        f" whose ledger ended with entry {head['seq']}, {head['digest'][:16]}…",
        evidence_digest=digest,
        evidence_link=link,
        extra={"direction": "from", "transfer": key, **origin, "digest": made.digest},
    )
    written = ledger.append(lambda entries: None if _received(entries, made, key) else entry)
    found = written or _received(ledger.entries(), made, key)
    assert found is not None  # `append` gives None only where it is there
    return found, written is not None


def _received(entries: Sequence[Entry], made: ModelVersion, key: str) -> Entry | None:
    """The entry that says so, unless the version was deleted since and its number given again."""
    birth = recorded.births(entries).get(made.version)
    for entry in reversed(entries):
        if entry.kind == KIND and entry.version == made.version and _key(entry) == key:
            return entry if birth is None or entry.seq > birth.seq else None
    return None


def _key(entry: Entry) -> str:
    return str(entry.extra.get("transfer", "")) if entry.extra.get("direction") == "from" else ""


def _send(
    here: "MlflowClient",
    version: ModelVersion,
    made: ModelVersion,
    received: Entry,
    address: str,
) -> bool:
    """Write the entry of this ledger, which names the one there; False where it is there."""
    head = {"seq": received.seq, "digest": received.digest}
    entry = draft(
        kind=KIND,
        version=version.version,
        reason=f"to {made.ref} of {address}, whose ledger has it as entry {received.seq},"
        f" {received.digest[:16]}…",
        extra={
            "direction": "to",
            "transfer": _key(received),
            "registry": address,
            "name": made.name,
            "version": made.version,
            "head": head,
        },
    )

    def once(entries: Sequence[Entry]) -> Entry | None:
        sent = any(
            item.kind == KIND
            and item.extra.get("direction") == "to"
            and item.extra.get("head") == head
            for item in entries
        )
        return None if sent else entry

    return Ledger(here, version.name).append(once) is not None
