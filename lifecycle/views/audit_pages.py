"""The page and the plain words of an audit folder, and the page of a model card.

>>> head = {"digest": "ab" * 32, "seq": 7}
>>> told = {"model": "churn", "scope": {"version": 3}, "head": head, "entries": 7, "shown": 5}
>>> about = {"created": "2026-03-01", "by": "ann", "lifecycle": "1.0", "registry": "sqlite:///m.db"}
>>> readme({**told, **about}).splitlines()[0]
'# Evidence of the model churn: version 3'
"""

from collections.abc import Sequence
from typing import Any

from lifecycle.records import Card, Entry, GateReport, Tenure
from lifecycle.views import card_sheets, pages
from lifecycle.views.layout import PLAIN, UNSURE, Sheet, count

README = """\
# Evidence of the model {name}: {scope}

Written {created} by {by}, with lifecycle {lifecycle}, from the registry {registry}.
It can be checked without us, without MLflow and without a network.

## What is here

| file | what it is |
|---|---|
| index.html | all of this to read, in any browser |
| ledger.jsonl | the ledger: who did what to the model, when and why; line n is entry n |
| evidence/ | the reports that entries rest on, each named by its sha256 |
| versions/N/card.md | the model card of version N: purpose, data, figures, gates, origin, limits |
| versions/N/spec.json | what version N is: columns, target, figures, lineage |
| versions/N/holdout.json | how many hold-out rows there are, and their digest; not the rows |
| versions/N/files.json | the model's files with their sha256; `model/`, if there, has them |
| versions/N/checks.json | what was found while it served |
| MANIFEST.json | what this folder is about, the head of the ledger, and what was missing |
| SHA256SUMS | the sha256 of every other file |
| verify.py | a check of all this; it needs Python 3.8 or later and nothing else |

## How to check it

    sha256sum -c SHA256SUMS      no file was changed or lost
    python3 -I verify.py         that, the chain, the evidence and the model's files

verify.py is a part of this folder, as SHA256SUMS is. Whoever could change the one could change the
other: run your own copy (`lifecycle verify --folder` has it), or compare with what was noted
elsewhere on the day of the export:

    sha256 of SHA256SUMS         ask who wrote the folder
    head of the ledger           {head} (entry {seq})

One entry by hand; its sha256 is the `prev` of the next line:

    sed -n 5p ledger.jsonl | tr -d '\\n' | sha256sum

## What it proves, and what not

Each line of ledger.jsonl is an entry as it is stored, byte for byte, and names the sha256 of the
one before it. So no entry that is shown can be changed, and none removed or added between two that
are shown next to each other, without the head becoming another one. {shown} of {entries} entries
are shown here. Of each of the others there is its link (`left_out`): its number, its sha256 and
that of the one before. A link stands for an entry whose text is not here; whoever has the whole
ledger can compare it.

An entry names the sha256 of the report that it rests on (`evidence_digest`). The entry that
registered a version names the digests of the model's files, of spec.json and of the hold-out rows.
The other files below versions/ are copies of what was stored on the day of the export; SHA256SUMS
alone vouches for them.

Who could write to the registry's database could have written a whole other ledger before the
export. Only a head that was noted elsewhere earlier shows that: `verify.py --head DIGEST`.
"""


def readme(manifest: dict[str, Any]) -> str:
    """The plain words that lie in the folder."""
    scope = [f"{key} {value}" for key, value in manifest["scope"].items() if value]
    head = manifest["head"]
    told = {"name": manifest["model"], "head": head["digest"], "seq": head["seq"]}
    return README.format(**{**manifest, "scope": ", ".join(scope) or "everything", **told})


def page(
    manifest: dict[str, Any],
    shown: Sequence[Entry],
    tenures: Sequence[Tenure],
    cards: Sequence[Card],
    reports: Sequence[tuple[Entry, GateReport]],
) -> str:
    """The page that lies in the folder.

    Args:
        manifest: what the folder is about.
        shown: the entries that are in it.
        tenures: of the model's versions in production.
        cards: of the versions that are in it.
        reports: gate reports, with the entry that each belongs to.
    """
    scope = [f"{key} {value}" for key, value in manifest["scope"].items() if value]
    title = f"Evidence of {manifest['model']}: {', '.join(scope) or 'everything'}"
    parts: list[Any] = [_about(title, manifest), _served(tenures), _ledger(manifest, shown)]
    for record in cards:
        heading = f"{record.name}, version {record.version}, {record.stage}"
        parts += [Sheet(heading, notes=(card_sheets.SAID,)), *card_sheets.sections(record)]
    for entry, report in reports:
        parts += [Sheet(f"Gate report of entry {entry.seq}, {_moment(entry.time)}"), report]
    return pages.page(title, parts)


def _about(title: str, manifest: dict[str, Any]) -> Sheet:
    head = manifest["head"]
    facts = [
        ("written", f"{manifest['created']} by {manifest['by']}"),
        ("from", manifest["registry"]),
        ("ledger", f"{manifest['entries']} entries, {manifest['shown']} of them shown"),
        ("head", f"{head['digest']} (entry {head['seq']})"),
    ]
    missing = [f"missing: {item['where']}: {item['why']}" for item in manifest["missing"]]
    notes = (*missing, "README.md says how to check this folder and what that proves")
    return Sheet(title, mark=UNSURE if missing else PLAIN, facts=facts, notes=notes)


def _served(tenures: Sequence[Tenure]) -> Sheet:
    rows = [
        (
            str(item.version),
            _moment(item.since) or "before the ledger",
            _moment(item.until) or "now",
            f"entry {item.entry.seq}, {item.entry.actor}" if item.entry else "",
            item.entry.reason if item.entry else "",
        )
        for item in tenures
    ]
    return Sheet(
        "Which version served when (UTC)" if rows else "No version was in production",
        headers=("version", "from", "until", "brought there by", "why"),
        rows=rows,
    )


def _ledger(manifest: dict[str, Any], shown: Sequence[Entry]) -> Sheet:
    rows: list[tuple[str, ...]] = []
    last = 0
    for entry in (*shown, None):
        seq = entry.seq if entry else manifest["entries"] + 1
        if seq > last + 1:
            gap = count(seq - last - 1, "entry left out", "entries left out")
            which = f"{last + 1}…{seq - 1}" if seq > last + 2 else str(last + 1)
            rows.append((which, "", "", gap, "", "", "", ""))
        if entry:
            way = " → ".join(str(part) for part in (entry.source, entry.to) if part)
            version = "" if entry.version is None else str(entry.version)
            digests = f"{entry.digest[:16]}…"
            who = f"{entry.actor}\n{entry.identity}"
            rows.append((str(seq), _moment(entry.time), who, entry.kind, version, way,
                         entry.reason, digests))  # fmt: skip
        last = seq
    return Sheet(
        f"The ledger: {manifest['shown']} of {manifest['entries']} entries",
        headers=("#", "time (UTC)", "who", "what", "version", "from → to", "why", "sha256"),
        rows=rows,
    )


def _moment(time: str) -> str:
    return time[:19].replace("T", " ")


def card(record: Card) -> str:
    """A model card as a page of its own."""
    title = card_sheets.title(record)
    parts = [Sheet(title, notes=(card_sheets.SAID,)), *card_sheets.sections(record)]
    return pages.page(title, parts)
