"""A ledger as a sheet: its last entries, which version served when, and what `verify` found.

>>> history(History("churn", ())).title
'churn: 0 ledger entries'
"""

from lifecycle.records import Entry, Finding, History, Outcome, Served, Tenure, Verification
from lifecycle.views.approval_sheets import line, vouched
from lifecycle.views.layout import BAD, GOOD, MARKS, PLAIN, UNSURE, Sheet, count

SHOWN = 60  # entries, the last; the rest is folded away
LISTED = 1000
MOST_FINE = 12  # findings without a fault that are listed one by one
MOST_BROKEN = 60  # … with one; all are in --json
HEADERS = ("#", "time (UTC)", "who", "what", "version", "from → to", "why")
SIGNS = {Outcome.PASS: "ok", Outcome.FAIL: "broken", Outcome.UNSURE: "not there"}


def history(record: History) -> Sheet:
    """The sheet of a ledger, the last entry at the end."""
    earlier = record.entries[:-SHOWN]
    folded = f"{count(len(earlier), 'earlier entry', 'earlier entries')} (all: --json or --csv)"
    return Sheet(
        f"{record.name}: {count(len(record), 'ledger entry', 'ledger entries')}",
        mark=UNSURE if record.warnings else PLAIN,
        facts=(("head", record.head),) if record.head else (),
        headers=HEADERS,
        rows=[_entry(item) for item in record.entries[-SHOWN:]],
        rest=[_entry(item) for item in earlier[-LISTED:]],
        folded=folded if earlier else "",
        notes=[
            *record.warnings,
            *map(line, record.requests),
            *([vouched(record.entries)] if vouched(record.entries) else []),
        ],
    )


def _entry(entry: Entry) -> tuple[str, ...]:
    return (
        str(entry.seq),
        _shown(entry.time),
        entry.actor,
        " ".join([entry.kind, *([str(entry.extra["event"])] if "event" in entry.extra else [])]),
        str(entry.version or ""),
        from_to(entry),
        entry.reason,
    )


def from_to(entry: Entry) -> str:
    """The stages of a move; of an incident what became of it, as its source is no stage."""
    parts = (None if entry.kind == "incident" else entry.source, entry.to)
    return " → ".join(str(part) for part in parts if part)


def served(record: Served) -> Sheet:
    """The sheet of what served at a moment or on a day."""
    versions = list(dict.fromkeys(item.version for item in record.tenures))
    named = " and ".join(f"version {version}" for version in versions)
    rows = [_tenure(item) for item in record.tenures]
    notes = [note for item in record.tenures for note in _grounds(item)]
    return Sheet(
        f"{record.name} on {record.asked}: {named or 'no version was in production'}",
        mark=PLAIN if rows else UNSURE,
        headers=("version", "since (UTC)", "until (UTC)", "entry", "who", "what", "why"),
        rows=rows,
        notes=notes,
    )


def _tenure(item: Tenure) -> tuple[str, ...]:
    entry = item.entry
    return (
        str(item.version),
        _shown(item.since) or "before the ledger",
        _shown(item.until) or "now",
        str(entry.seq) if entry else "",
        entry.actor if entry else "",
        entry.kind if entry else "",
        entry.reason if entry else "it was MLflow's champion before anything was promoted here",
    )


def _grounds(item: Tenure) -> list[str]:
    """What a tenure rests on, and what ended it."""
    said = []
    entry, ended = item.entry, item.ended
    if entry and entry.extra.get("forced"):
        said.append(f"entry {entry.seq} was forced: gates and stages were skipped")
    if entry and entry.evidence_link:
        said.append(f"entry {entry.seq} rests on {entry.evidence_link}")
        said.append(f"sha256 {entry.evidence_digest}")
    if ended:
        why = f": {ended.reason}" if ended.reason else ""
        said.append(f"ended by entry {ended.seq}, {ended.kind} by {ended.actor}{why}")
    return said


def verification(record: Verification) -> Sheet:
    """The sheet of a verification: what is broken first, and how much was found in order."""
    broken = [item for item in record.findings if item.outcome is Outcome.FAIL]
    missing = [item for item in record.findings if item.outcome is Outcome.UNSURE]
    fine = [item for item in record.findings if item.outcome is Outcome.PASS]
    wrong = [*broken, *missing]
    shown: list[Finding] = [*wrong[:MOST_BROKEN], *fine[:MOST_FINE]]
    rest = [*wrong[MOST_BROKEN:], *fine[MOST_FINE:]]
    more = count(len(rest), "more finding")
    said = f"{count(len(broken), 'thing')} not as recorded" if broken else "as it was recorded"
    if missing and not broken:
        said = f"nothing is changed, {count(len(missing), 'thing')} could not be looked at"
    signed = f", {record.signed:,} signed by a trusted key" if record.signed else ""
    return Sheet(
        f"{record.name}: {said}",
        mark=BAD if broken else UNSURE if missing else GOOD,
        facts=(
            ("entries", f"{record.entries:,}{signed}"),
            *((("head", record.head),) if record.head else ()),
        ),
        headers=("looked at", "", "finding", "what to do"),
        rows=[_finding(item) for item in shown],
        marks=[MARKS[item.outcome] for item in shown],
        rest=[_finding(item) for item in rest[:LISTED]],
        folded=f"{more} (all: --json)" if rest else "",
    )


def _finding(item: Finding) -> tuple[str, ...]:
    return (item.check, SIGNS[item.outcome], item.detail, item.fix)


def _shown(time: str) -> str:
    return time[:19].replace("T", " ")
