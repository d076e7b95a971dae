"""What was recorded of a version's files at registration: in its tags, the ledger, and signed.

>>> tags = {DIGEST: "sha256:ab", COMPILED: "sha256:cd", SPEC: "sha256:ef"}
>>> statement("churn", 3, tags)
'{"compiled":"sha256:cd","digest":"sha256:ab","name":"churn","spec":"sha256:ef","version":3}'

Tags of MLflow can be changed by anyone who may edit; the ledger's entry of the registration cannot
be changed unseen. Where the two differ, the entry is what files are held against.
"""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from lifecycle.config import SigningConfig
from lifecycle.errors import ModelRefused
from lifecycle.models.files import PREFIX
from lifecycle.records import Entry, ModelVersion
from lifecycle.stores import signing
from lifecycle.stores.signing import refusal, sign

if TYPE_CHECKING:
    from mlflow import MlflowClient

DIGEST = "lifecycle.digest"  # of the model's files
COMPILED = "lifecycle.compiled"  # of the ONNX file, or why there is none
SPEC = "lifecycle.spec_digest"  # of the specification, which holds classes and threshold
SPEC_RUN = "lifecycle.spec_run"  # the run with the specification
SIGNATURE = "lifecycle.signature"  # of `statement`
BIRTHS = ("register", "adopt")  # kinds of entries that hold it
_KEPT = {"digest": DIGEST, "compiled": COMPILED, "spec": SPEC, "spec_run": SPEC_RUN}
_NOT_COMPILED = "not compiled"


def kept(source: str, tags: Mapping[str, str]) -> dict[str, str]:
    """What the ledger's entry of a registration keeps.

    >>> kept("models:/m-1", {DIGEST: "sha256:ab", COMPILED: "a forest is too large"})
    {'source': 'models:/m-1', 'digest': 'sha256:ab', 'compiled': 'not compiled'}

    Args:
        source: MLflow's address of the files.
        tags: of the version.
    """
    known = {key: tags[tag] for key, tag in _KEPT.items() if tags.get(tag)}
    if not known.get("compiled", PREFIX).startswith(PREFIX):
        known["compiled"] = _NOT_COMPILED
    if tags.get(SIGNATURE):
        known["signature"] = tags[SIGNATURE]
    return {"source": source, **known}


def births(entries: Iterable[Entry]) -> dict[int, Entry]:
    """The last registration or adoption of each version."""
    return {
        entry.version: entry
        for entry in entries
        if entry.kind in BIRTHS and entry.version is not None
    }


def tags(found: Mapping[str, str], source: str, birth: Entry | None) -> dict[str, str]:
    """A version's tags, with what the ledger says of its files in place of theirs.

    Args:
        found: as MLflow has them.
        source: MLflow's address of the files; an entry of other files says nothing of these.
        birth: the version's entry; None where there is none.
    """
    if birth is None or birth.extra.get("source", source) != source:
        return dict(found)
    known = {tag: str(birth.extra[key]) for key, tag in _KEPT.items() if birth.extra.get(key)}
    reason = found.get(COMPILED, "")
    if known.get(COMPILED) == _NOT_COMPILED and reason and not reason.startswith(PREFIX):
        known[COMPILED] = reason
    return {**found, **known}


def statement(name: str, version: int, tags: Mapping[str, str]) -> str:
    """What a signature vouches for: these files are this version; canonical JSON.

    Args:
        name: the model.
        version: its number, so that another version's files cannot be put in its place.
        tags: of the version.
    """
    compiled = tags.get(COMPILED, "")
    told = {
        "name": name,
        "version": version,
        "digest": tags.get(DIGEST, ""),
        "compiled": compiled if compiled.startswith(PREFIX) else "",
        "spec": tags.get(SPEC, ""),
    }
    return json.dumps(told, sort_keys=True, separators=(",", ":"))


def vouch(
    client: "MlflowClient", name: str, version: int, tags: Mapping[str, str]
) -> dict[str, str]:
    """Sign a version's files and keep that as a tag, where `[signing] key` is set.

    Args:
        client: what `connect` gave; it knows the key.
        name: the model.
        version: its number.
        tags: of the version.

    Returns:
        The tags with the signature.

    Raises:
        ConfigError: the key cannot be used.
    """
    signature = sign(signing.of(client), statement(name, version, tags), purpose="model")
    if not signature:
        return dict(tags)
    client.set_model_version_tag(name, str(version), SIGNATURE, signature)
    return {**tags, SIGNATURE: signature}


def check(trust: SigningConfig, version: ModelVersion) -> None:
    """Refuse a version that nobody vouches for whom `[signing] trusted` names.

    Args:
        trust: `[signing]`; without `trusted` all are let through.
        version: with its tags.

    Raises:
        ModelRefused: it is not signed, by another key, or as something else.
    """
    if not trust.trusted:
        return
    tags = {**version.tags, DIGEST: version.digest}  # what its files are held against
    text = statement(version.name, version.version, tags)
    why = refusal(trust, text, version.tags.get(SIGNATURE, ""), purpose="model")
    if not why and not version.digest:
        why = "there is no digest of its files"
    if why:
        raise ModelRefused(
            f"nobody who is trusted vouches for this version: {why}",
            where=version.ref,
            fix=f"look at who registered it; who holds the key runs `lifecycle sign {version.ref}`",
        )
