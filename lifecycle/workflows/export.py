"""Write a version's, a year's or a model's evidence as a folder that anybody can check offline.

>>> from lifecycle.config import Config
>>> export_audit(Config(), "churn-2026", ref="churn", year=2026).shown  # doctest: +SKIP
12

The folder is made under another name beside its place, its list of sums last, and renamed when it
is whole; what a killed process leaves begins with a dot, ends with `.part` and has no sums.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lifecycle
from lifecycle.config import Config
from lifecycle.errors import DataError, LedgerError, LifecycleError, RegistryUnavailable
from lifecycle.models import specs
from lifecycle.records import (
    Card,
    Entry,
    Exported,
    Finding,
    FolderCheck,
    ModelRef,
    ModelVersion,
    Outcome,
    plain,
)
from lifecycle.stages import tenures
from lifecycle.stores import artifacts, contents, heads, registry
from lifecycle.stores.ledger import FIRST, actor, dumps
from lifecycle.stores.tracking import connect, public
from lifecycle.workflows import card, offline
from lifecycle.workflows.dossier import BIRTHS, Dossier, about, dossier, evidence
from lifecycle.workflows.promote import report_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

YEARS = range(1970, 10_000)


@dataclass
class _Folder:
    """The folder that is being written."""

    root: Path
    missing: list[dict[str, str]] = field(default_factory=list)

    def write(self, name: str, content: str | bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def lacks(self, where: str, why: str, digest: str = "") -> None:
        self.missing.append({"where": where, "why": why, "digest": digest})


def export_audit(
    config: Config,
    folder: str | Path,
    *,
    ref: str | ModelVersion = "",
    year: int | None = None,
    files: bool = False,
) -> Exported:
    """Write evidence as a folder with its own checker.

    Args:
        config: the model's name where `ref` has none; stages; where the registry is.
        folder: a folder that is not there yet, or is empty.
        ref: NAME for all versions, NAME/VERSION or NAME@ALIAS for one.
        year: only what happened in it, UTC, with what was in production when it began.
        files: copy the model's files, too; otherwise their digests alone.

    Raises:
        DataError: nothing is recorded of that, the folder is in use or cannot be written.
        ModelNotFound: no such model or version.
        LedgerError: the ledger was changed or deleted.
        RegistryUnavailable: no answer in time.
    """
    place = Path(folder)
    if year is not None and year not in YEARS:
        raise DataError(f"{year} is no year", fix="write it as 2026")
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise DataError(
            "the folder is there already and is not empty",
            where=place,
            fix="name another one; evidence is never written over",
        )
    client, order = connect(config), config.stages.order
    text = ref.ref if isinstance(ref, ModelVersion) else ref or config.name
    wanted = ModelRef.parse(text)
    one = set(text.removeprefix("models:/")) & {"/", "@"}
    number = registry.find(client, wanted, order=order).version if one else None
    known, ledger, _ = registry.survey(client, wanted.name, order=order)
    shown = selected(ledger, version=number, year=year, order=order)
    if not shown:
        raise DataError(_nothing(ledger, year), where=text, fix="see `lifecycle history`")
    scope = {"version": number, "year": year}
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".part", dir=place.parent))
    except OSError as error:
        raise _unwritable(error, place) from error
    try:
        scratch.chmod(0o755)
        into = _Folder(scratch)
        done = _write(
            config, client, into, known=known, ledger=ledger, shown=shown,
            name=wanted.name, scope=scope, files=files,
        )  # fmt: skip
        os.replace(scratch, place)  # noqa: PTH105 - onto an empty folder, which Path says no more of
    except OSError as error:
        if isinstance(error, LifecycleError):
            raise
        raise _unwritable(error, place) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Exported(folder=str(place), **done)


def selected(
    ledger: Sequence[Entry],
    *,
    version: int | None = None,
    year: int | None = None,
    order: Sequence[str],
) -> tuple[Entry, ...]:
    """The entries that an export shows, oldest first; a pure rule.

    Of a version: all that are about it. Of a year: all of it, the births of the versions that
    these are about, and the entry that brought there what was in production when the year began.

    Args:
        ledger: all entries.
        version: only of this version; None: of all.
        year: only of this year, UTC; None: of all.
        order: the stages.
    """
    mine = about(ledger, version) if version is not None else ledger
    kept = {item.seq for item in mine}
    if year is not None:
        start, end = f"{year:04d}-", f"{year + 1:04d}-"
        within = {item.seq for item in mine if start <= item.time < end}
        for item in tenures(ledger, order):
            if item.since < start and (not item.until or item.until >= start) and item.entry:
                within.add(item.entry.seq)
        concerned = {item.version for item in ledger if item.seq in within}
        births = {
            item.seq for item in ledger
            if item.kind in BIRTHS and item.version in concerned and item.time < end
        }  # fmt: skip
        kept &= within | births
    return tuple(item for item in ledger if item.seq in kept)


def verify_folder(folder: str | Path, *, head: str | Path = "") -> FolderCheck:
    """Check a folder that `export_audit` wrote; no registry is needed.

    Args:
        folder: where it is.
        head: the digest of an entry, or a file with one, that was kept elsewhere.

    Raises:
        DataError: there is no such folder, or the head is none.
    """
    if not Path(folder).is_dir():
        raise DataError("there is no such folder", where=folder, fix="check the path")
    told = offline.check(str(folder), heads.noted(head).digest if head else "")
    for key, outcome in (("problems", Outcome.FAIL), ("missing", Outcome.UNSURE)):
        told[key] = tuple(Finding(item["where"], outcome, item["what"]) for item in told[key])
    return FolderCheck(str(folder), name=told.pop("model"), **told)


def ledger_lines(ledger: Sequence[Entry], shown: Sequence[Entry]) -> str:
    """The ledger as text: each shown entry as it is stored, of each other its link.

    Raises:
        LedgerError: an entry is not stored as this version of lifecycle would write it.
    """
    chosen, lines = {item.seq for item in shown}, []
    for entry in ledger:
        text = dumps(entry)
        if hashlib.sha256(text.encode()).hexdigest() != entry.digest:
            raise LedgerError(
                f"entry {entry.seq} was written by another version of lifecycle",
                fix="export it with that one",
            )
        if entry.seq not in chosen:
            link = {"seq": entry.seq, "prev": entry.prev, "digest": entry.digest, "left_out": True}
            text = json.dumps(link, sort_keys=True, separators=(",", ":"))
        lines.append(f"{text}\n")
    return "".join(lines)


def _write(
    config: Config,
    client: "MlflowClient",
    into: _Folder,
    *,
    known: Sequence[ModelVersion],
    ledger: Sequence[Entry],
    shown: Sequence[Entry],
    name: str,
    scope: Mapping[str, int | None],
    files: bool,
) -> dict[str, Any]:
    """All files of the folder, the sums last; gives what the record of it says."""
    order = config.stages.order
    into.write(offline.LEDGER, ledger_lines(ledger, shown))
    reports = _evidence(client, into, shown)
    numbers = sorted({item.version for item in shown if item.version is not None})
    by_number = {item.version: item for item in known}
    cards: list[Card] = []
    for number in numbers if scope["version"] is None else [scope["version"]]:
        if number not in by_number:
            into.lacks(f"version {number}", "it was deleted from the registry")
            continue
        found = dossier(client, by_number[number], ledger)
        made = card.of(client, found, ledger, order)
        _version(client, into, found, made, files=files)
        cards.append(made)
    head = {"seq": len(ledger), "digest": ledger[-1].digest if ledger else FIRST}
    manifest = {
        "format": offline.FORMAT,
        "model": name,
        "scope": dict(scope),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": actor(),
        "registry": public(str(client.tracking_uri)),
        "lifecycle": lifecycle.__version__,
        "entries": len(ledger),
        "shown": len(shown),
        "head": head,
        "versions": {str(item.version): by_number[item.version].digest for item in cards},
        "missing": into.missing,
    }
    from lifecycle.views import audit_pages

    spans = tenures(ledger, order)
    page = audit_pages.page(manifest, shown, _inside(spans, scope), cards, reports)
    into.write("index.html", page)
    into.write("README.md", audit_pages.readme(manifest))
    into.write("verify.py", Path(offline.__file__).read_bytes())
    into.write(offline.MANIFEST, json.dumps(plain(manifest), indent=1, sort_keys=True) + "\n")
    count, seal = _seal(into.root)
    parts = [f"{key} {value}" for key, value in scope.items() if value]
    return {
        "name": name,
        "scope": ", ".join(parts) or "everything",
        "entries": len(ledger),
        "shown": len(shown),
        "files": count,
        "head": head["digest"],
        "seal": seal,
        "missing": tuple(f"{item['where']}: {item['why']}" for item in into.missing),
    }


def _inside(spans: Sequence[Any], scope: Mapping[str, int | None]) -> list[Any]:
    """The tenures of the version and year that the folder is about."""
    version, year = scope["version"], scope["year"]
    start, end = (f"{year:04d}-", f"{year + 1:04d}-") if year else ("", "~")
    return [
        item
        for item in spans
        if version in (None, item.version)
        and item.since < end
        and (not item.until or item.until >= start)
    ]


def _evidence(
    client: "MlflowClient", into: _Folder, shown: Sequence[Entry]
) -> list[tuple[Entry, Any]]:
    """The reports that entries rest on, each once; gives the gate reports for the page."""
    reports, seen = [], set()
    for entry in shown:
        digest = entry.evidence_digest
        if not digest or digest in seen:
            continue
        seen.add(digest)
        try:
            content = evidence(client, entry)
        except RegistryUnavailable:
            raise
        except LifecycleError as error:
            into.lacks(f"evidence of entry {entry.seq}", error.what, digest)
            continue
        into.write(f"evidence/{digest}.json", content)
        if entry.kind == "gate":
            reports.append((entry, report_of(json.loads(content))))
    return reports


def _version(
    client: "MlflowClient", into: _Folder, found: Dossier, made: Card, *, files: bool
) -> None:
    """What is recorded of one version."""
    from lifecycle.views import card_sheets

    version, base = found.version, f"versions/{found.version.version}"
    for where, why in found.missing.items():
        into.lacks(f"version {version.version}, {where}", why)
    into.write(f"{base}/card.md", card_sheets.markdown(made))
    record = {**version.to_dict(), "tags": dict(version.tags)}
    into.write(f"{base}/version.json", _text(record))
    if found.spec is not None:
        run_id = version.tags.get(artifacts.SPEC_RUN, "")
        place = contents.link(run_id, "spec.json")
        as_stored = contents.content(client, place) if run_id else b""
        into.write(f"{base}/spec.json", as_stored or specs.dumps(found.spec))
    if found.holdout is not None:
        rows, digest, content = found.holdout
        told = {"rows": rows, "sha256": digest, "file_sha256": content}
        into.write(f"{base}/holdout.json", _text(told))
    into.write(f"{base}/checks.json", _text([item.to_dict() for item in found.checks]))
    if not found.files:
        return
    listed = [asdict(item) for item in found.files]
    into.write(f"{base}/files.json", _text({"digest": found.files_digest, "files": listed}))
    if files:
        with artifacts.files(client, version) as source:
            for item in found.files:
                target = into.root / base / "model" / item.name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source / item.name, target)


def _seal(root: Path) -> tuple[int, str]:
    """Write the sums of all files; gives how many there are, and the sha256 of the sums."""
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    lines = []
    for name in names:
        if not offline.LINE.fullmatch(f"{'0' * 64}  {name}"):
            raise DataError("a file's name cannot be written into a list of sums", where=name)
        with (root / name).open("rb") as stream:
            lines.append(f"{hashlib.file_digest(stream, 'sha256').hexdigest()}  {name}\n")
    content = "".join(lines).encode()
    (root / offline.SUMS).write_bytes(content)
    return len(names), hashlib.sha256(content).hexdigest()


def _text(tree: Any) -> str:
    return json.dumps(plain(tree), indent=1, sort_keys=True) + "\n"


def _nothing(ledger: Sequence[Entry], year: int | None) -> str:
    if not ledger:
        return "the model has no ledger yet, so there is no evidence"
    what = f"of {year}" if year else "of this version"
    first, last = ledger[0].time[:10], ledger[-1].time[:10]
    return f"the ledger has no entry {what}; it goes from {first} to {last}"


def _unwritable(error: OSError, place: Path) -> DataError:
    return DataError(
        f"the folder cannot be written: {error.strerror or error}",
        where=place,
        fix="free some space, or name a folder that can be written; nothing was left behind",
    )
