"""Look whether everything is as the ledger recorded it: the chain itself, files, data, aliases.

>>> from lifecycle.config import Config
>>> verify(Config(name="churn"), head="churn.head").passed  # doctest: +SKIP
True

Nothing is changed and nothing stops at the first fault: each thing that was looked at is a finding.
A ledger shows a change in its middle by itself. That its end was cut off, or that all of it was
written anew, only a head shows that was noted before and kept elsewhere.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lifecycle.config import Config
from lifecycle.errors import DataError, LedgerError, LifecycleError, ModelNotFound
from lifecycle.models import files
from lifecycle.records import Entry, Finding, ModelVersion, Outcome, Rollout, Verification
from lifecycle.rollout.state import rollouts
from lifecycle.stages import MOVES, standing
from lifecycle.stores import artifacts, contents, heads, recorded, registry, signing
from lifecycle.stores.entries import faults, loads, sha256, unsigned
from lifecycle.stores.ledger import Ledger
from lifecycle.stores.tracking import connect
from lifecycle.workflows.progress import bar
from lifecycle.workflows.replay import decided_anew, decisions

BACKUP = "restore the tracking database from a backup, and look at who changed it"
KEEP = "lifecycle history NAME --head FILE, and keep FILE elsewhere"
TAGS = {"digest": recorded.DIGEST, "spec": recorded.SPEC, "spec_run": recorded.SPEC_RUN}
MOST_NAMED = 10  # numbers in one sentence


def verify(config: Config, *, head: str | Path | None = None) -> Verification:
    """Recompute a model's ledger and compare with it what MLflow has.

    Args:
        config: names the model.
        head: what was noted of the ledger before: a digest, or a file that `history --head` or
            `history --json` wrote.

    Raises:
        ModelNotFound: no such model.
        DataError: `head` is none, or of another model.
        RegistryUnavailable: no answer in time.
    """
    name = config.name
    noted = heads.noted(head) if head is not None else None
    if noted is not None and noted.name not in ("", name):
        raise DataError(f"the head is that of {noted.name!r}, not of {name!r}", where=str(head))
    client = connect(config)
    listing = registry.as_in_mlflow(client, name)
    try:
        texts = Ledger(client, name).texts()
    except LedgerError as error:
        return Verification(name, 0, "", (_fail("ledger", f"{error.what}", error.fix),))
    entries = tuple(_readable(texts))
    ledger = [*_chain(texts, listing.projected), *_head(noted, texts)]
    sealed = not any(item.outcome is Outcome.FAIL for item in ledger)
    findings = [*ledger, *_signatures(signing.of(client), texts)]
    if sealed:
        findings += _aliases(client, config, entries)
    findings += _moves(entries)
    work = list(_files(client, config, entries, listing.versions))
    with bar("verifying", len(work)) as advance:
        for look in work:
            findings.append(look())
            advance(1)
    last = sha256(texts[max(texts)]) if texts else ""
    return Verification(name, len(texts), last, tuple(findings), _signed(entries, findings))


def _readable(texts: Mapping[int, str]) -> Iterator[Entry]:
    for text in texts.values():
        try:
            yield loads(text)
        except LedgerError:
            continue  # a finding of the chain


def _chain(texts: Mapping[int, str], projected: int) -> Iterator[Finding]:
    """Numbers, forms and digests of all entries; a tail that was cut off behind the aliases."""
    found = faults(texts)
    for seq, said in found.items():
        yield _fail(f"entry {seq}", "; ".join(said), BACKUP)
    if projected > len(texts):
        gone = f"the aliases followed entry {projected}, the ledger ends with {len(texts)}"
        yield _fail("ledger's end", f"{gone}: its end was cut off", BACKUP)
    elif not found:
        yield _pass("chain", f"{len(texts):,} entries, each sealed by the one after it")


def _head(noted: heads.Head | None, texts: Mapping[int, str]) -> Iterator[Finding]:
    if noted is None:
        said = "no head was given: a ledger that was cut off or written anew as a whole looks whole"
        yield Finding("head", Outcome.PASS, said, KEEP)
        return
    stored = tuple(texts.values())
    said_of = heads.differences(noted, stored)
    for seq, said in said_of:
        yield _fail(f"head, entry {seq}" if seq else "head", said, BACKUP)
    if not said_of:
        at = noted.seq or [sha256(text) for text in stored].index(noted.digest) + 1
        since = len(stored) - at
        yield _pass("head", f"entry {at} is as it was noted; {since:,} entries came since")


def _signatures(trust: Any, texts: Mapping[int, str]) -> Iterator[Finding]:
    """Signatures of trusted keys; an entry before the first signed one is sealed by that."""
    if not trust.trusted:
        return
    first = 0
    for seq, text in texts.items():
        try:
            signature = loads(text).signature
            if not signature and not first:
                continue
            first = first or seq
            why = signing.refusal(trust, unsigned(text), signature, purpose="entry")
        except LedgerError:
            continue
        if why:
            yield _fail(f"entry {seq}", why, "look at who wrote it, and with which key")
    if not first and texts:
        yield _fail("signatures", "no entry is signed", "set [signing] key where entries are made")
    elif first:
        earlier = f"; entries 1 to {first - 1} are sealed by it" if first > 1 else ""
        yield _pass("signatures", f"signed from entry {first} on{earlier}")


def _signed(entries: Sequence[Entry], findings: Sequence[Finding]) -> int:
    """How many entries carry a signature that was checked and holds."""
    if not any(item.check == "signatures" for item in findings):
        return 0
    broken = {item.check for item in findings if item.outcome is Outcome.FAIL}
    return sum(1 for item in entries if item.signature and f"entry {item.seq}" not in broken)


def _aliases(client: Any, config: Config, entries: Sequence[Entry]) -> Iterator[Finding]:
    """MLflow's aliases, stages and versions against what the ledger says."""
    name, order = config.name, config.stages.order
    said = registry.alias_warnings(client, name)
    for warning in said:
        if registry.UNSPOKEN in warning:
            yield _pass("aliases", warning)
        else:
            yield _fail("aliases", warning, "lifecycle doctor --fix")
    for number in registry.unborn(client, name):
        what = f"{name}/{number} was registered and has no entry"
        yield _fail(f"version {number}", what, "lifecycle doctor --fix")
    now = standing(entries, order)
    present = {item.version: item for item in registry.as_in_mlflow(client, name).versions}
    for number, stage in now.stages.items():
        tagged = present[number].tags.get(registry.STAGE, stage) if number in present else stage
        if tagged != stage and not said:
            what = f"its tag {registry.STAGE} says {tagged!r}, the ledger {stage!r}"
            yield _fail(f"version {number}", what, "lifecycle doctor --fix")
    if now.production is not None and now.production not in present:
        what = f"{name}/{now.production} is in production and was deleted from MLflow"
        yield _fail("production", what, "lifecycle rollback, or promote another version")
    known = {item.version for item in entries if item.version is not None}
    gone = sorted(known - set(present))
    if gone:
        more = f" and {len(gone) - MOST_NAMED} more" if len(gone) > MOST_NAMED else ""
        listed = ", ".join(str(item) for item in gone[:MOST_NAMED])
        yield _pass("deleted", f"versions {listed}{more} were deleted from MLflow since")
    if not said:
        yield _pass("aliases", "as the ledger says")


def _moves(entries: Sequence[Entry]) -> Iterator[Finding]:
    """Moves that begin where the version was not: an entry whose fields were changed."""
    stages: dict[int, str] = {}
    for entry in entries:
        if entry.version is None or not entry.to or entry.kind not in ("register", *MOVES):
            continue
        before = stages.get(entry.version)
        if entry.kind in MOVES and before is not None and entry.source not in (None, before):
            what = f"its field 'source' says {entry.source!r}; version {entry.version} was in"
            yield _fail(f"entry {entry.seq}", f"{what} {before!r} by then", BACKUP)
        stages[entry.version] = entry.to
        replaced = entry.extra.get("replaced")
        if isinstance(replaced, int) and replaced != entry.version:
            stages[replaced] = str(entry.extra.get("replaced_to", ""))


def _files(
    client: Any, config: Config, entries: Sequence[Entry], versions: Sequence[ModelVersion]
) -> Iterator[Callable[[], Finding]]:
    """One look a file: evidence of entries, what is stored with versions, the models' files."""
    births = recorded.births(entries)
    seen: set[tuple[str, str]] = set()
    for entry in entries:
        named = (entry.evidence_link, entry.evidence_digest)
        if entry.evidence_link and (named not in seen or entry.kind == "gate"):
            seen.add(named)  # a promotion names what its gate's entry named
            yield lambda entry=entry: _evidence(client, entry)  # type: ignore[misc]
    for rollout in rollouts(entries, config.stages.order):
        for entry in decisions(entries, rollout):
            yield lambda entry=entry, one=rollout: _decision(client, entry, one)  # type: ignore[misc]
    for version in versions:
        birth = births.get(version.version)
        if birth is None or birth.extra.get("source", version.source) != version.source:
            continue
        yield lambda one=version, born=birth: _model(client, config, one, born)  # type: ignore[misc]
        stored = birth.extra.get("stored")
        for link, digest in (stored if isinstance(stored, dict) else {}).items():
            yield lambda one=version, link=link, digest=digest: _file(  # type: ignore[misc]
                client, f"version {one.version}", str(link), str(digest)
            )


def _evidence(client: Any, entry: Entry) -> Finding:
    """The file that an entry rests on, and whether the two tell the same."""
    check = f"evidence of entry {entry.seq}"
    found = _file(client, check, entry.evidence_link, entry.evidence_digest)
    if found.outcome is not Outcome.PASS or entry.kind != "gate":
        return found
    try:
        tree = artifacts.read_evidence(client, entry.evidence_link, entry.evidence_digest)
    except (LifecycleError, ValueError) as error:
        return _fail(check, f"it cannot be read: {error}", BACKUP)
    told = {"version": entry.version, "outcome": entry.extra.get("outcome")}
    for field, value in told.items():
        if field in tree and tree[field] != value:
            what = f"the field {field!r} of entry {entry.seq} says {value!r}, its evidence"
            return _fail(check, f"{what} {tree[field]!r}", BACKUP)
    return found


def _decision(client: Any, entry: Entry, rollout: Rollout) -> Finding:
    """Whether what a rollout's entry rests on leads to the same decision again."""
    check = f"decision of entry {entry.seq}"
    try:
        found = decided_anew(client, entry, rollout)
    except ModelNotFound as error:
        return Finding(check, Outcome.UNSURE, error.what, "restore the artifact")
    except LifecycleError as error:
        if isinstance(error, ConnectionError):
            raise
        return _fail(check, error.what, error.fix or BACKUP)
    return _pass(check, f"{found.action} follows from what was counted")


def _file(client: Any, check: str, link: str, digest: str) -> Finding:
    """One stored file against the digest that an entry names."""
    try:
        found = hashlib.sha256(contents.content(client, link)).hexdigest()
    except LifecycleError as error:
        if isinstance(error, ConnectionError):
            raise
        return Finding(check, Outcome.UNSURE, f"{link}: {error.what}", "restore the artifact")
    if found != digest:
        what = f"{link} was changed: sha256 {found}, recorded {digest}"
        return _fail(check, what, "restore the file, and look at who changed it")
    return _pass(check, f"{link} is as it was recorded")


def _model(client: Any, config: Config, version: ModelVersion, birth: Entry) -> Finding:
    """A version's files and tags against the entry that registered or adopted it."""
    check = f"version {version.version}"
    digest = str(birth.extra.get("digest") or "")
    fix = "restore the files, and look at who changed them"
    try:
        recorded.check(config.signing, version)
        if not digest:
            return _pass(check, f"entry {birth.seq} recorded no digest of its files")
        with artifacts.files(client, version) as folder:
            files.verify(folder, digest)
    except ModelNotFound as error:
        return Finding(check, Outcome.UNSURE, f"its files: {error.what}", "restore them")
    except LifecycleError as error:
        if isinstance(error, ConnectionError):
            raise
        return _fail(check, error.what, error.fix or fix)
    told = {tag: birth.extra.get(key) for key, tag in TAGS.items()}
    for tag, value in told.items():
        if value and version.tags.get(tag) != value:
            what = f"its tag {tag} says {version.tags.get(tag)!r}, entry {birth.seq} {value!r}"
            return _fail(check, what, "set the tag as the entry has it; we go by the entry")
    return _pass(check, f"its files are those of entry {birth.seq}")


def _fail(check: str, detail: str, fix: str) -> Finding:
    return Finding(check, Outcome.FAIL, detail, fix)


def _pass(check: str, detail: str) -> Finding:
    return Finding(check, Outcome.PASS, detail)
