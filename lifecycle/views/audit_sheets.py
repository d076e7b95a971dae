"""What became of an export, of a check of its folder, and of a transfer.

>>> from lifecycle.records import FolderCheck
>>> check(FolderCheck("churn-2026", "churn", "year 2026", 12, 9, 14)).title
'churn, year 2026: everything holds'
"""

from lifecycle.records import Exported, FolderCheck, Outcome, Reproduction, SigningKey, Transfer
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


def reproduction(record: Reproduction) -> Sheet:
    """Whether the same model came out, and each metric beside the recorded one."""
    old = {item.name: item.value for item in record.recorded}
    rows = [
        (
            item.name,
            f"{old[item.name]:.4f}",
            f"{item.value:.4f}",
            f"{item.value - old[item.name]:+.1e}",
        )
        for item in record.metrics
        if item.name in old
    ]
    verdict = "the same model" if record.same else "another model"
    return Sheet(
        f"{record.name}/{record.version} trained again: {verdict}",
        GOOD if record.same else BAD,
        facts=[
            ("hold-out rows", f"{record.rows:,}"),
            ("answers that are others", f"{record.changed_answers:,}"),
            ("largest difference", f"{record.largest_difference:.2g}"),
        ],
        headers=("metric", "recorded", "now", "difference"),
        rows=rows,
        notes=[f"not as at the training: {what}" for what in record.differs],
    )


def signing_key(record: SigningKey) -> Sheet:
    """Where the keys are, and what to set."""
    facts = [("private", record.private), ("public", record.public), ("as text", record.trusted)]
    notes = (
        f'set key = "{record.private}" in [signing] where models are registered',
        f'set trusted = ["{record.trusted}"] in [signing] wherever they are loaded',
        "keep the private key where no model is served, and a copy of it in a safe place",
    )
    return Sheet("a pair of signing keys was made", GOOD, facts=facts, notes=notes)
