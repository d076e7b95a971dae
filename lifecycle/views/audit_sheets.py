"""What became of an export, of a check of its folder, and of a transfer.

>>> from lifecycle.records import FolderCheck
>>> check(FolderCheck("churn-2026", "churn", "year 2026", 12, 9, 14)).title
'churn, year 2026: everything holds'
"""

from lifecycle.records import Exported, FolderCheck, Outcome, Transfer
from lifecycle.views.layout import BAD, GOOD, MARKS, UNSURE, Sheet, count


def exported(record: Exported) -> Sheet:
    """What was written."""
    facts = [
        ("ledger", f"{record.entries} entries, {record.shown} of them shown"),
        ("files", str(record.files)),
        ("head", record.head),
        ("SHA256SUMS", record.seal),
    ]
    notes = (
        *(f"missing: {why}" for why in record.missing),
        "note head and SHA256SUMS down elsewhere: only they show that a folder was replaced whole",
        f"check it with: python3 -I {record.folder}/verify.py",
    )
    mark = UNSURE if record.missing else GOOD
    return Sheet(
        f"{record.name}, {record.scope}: written to {record.folder}", mark, facts=facts, notes=notes
    )


def check(record: FolderCheck) -> Sheet:
    """What a check of a folder found."""
    verdict = {
        Outcome.PASS: "everything holds",
        Outcome.FAIL: f"{count(len(record.problems), 'problem')}: do not rely on this folder",
    }.get(record.outcome, "what is here holds; evidence was missing when it was written")
    about = ", ".join(part for part in (record.name, record.scope) if part) or record.folder
    found = [*record.problems, *record.missing]
    facts = [
        ("ledger", f"{record.entries} entries, {record.shown} of them shown"),
        ("files", str(record.files)),
        ("head", record.head),
        ("SHA256SUMS", record.seal),
    ]
    return Sheet(
        f"{about}: {verdict}",
        mark=MARKS[record.outcome],
        facts=facts if record.seal else (),
        headers=("where", "what"),
        rows=[(item.check, item.detail) for item in found],
        marks=[BAD if item.outcome is Outcome.FAIL else UNSURE for item in found],
    )


def transfer(record: Transfer) -> Sheet:
    """What was carried over."""
    done = "was carried over before; nothing was written" if record.repeated else "carried over"
    facts = [
        ("to", f"{record.target} of {record.registry}"),
        ("files", record.digest),
        ("ledger here", record.source_head),
        ("ledger there", record.target_head),
    ]
    notes = (f"promote it there: its gates judge {record.target} against the champion there",)
    return Sheet(f"{record.source}: {done}", mark=GOOD, facts=facts, notes=notes)
