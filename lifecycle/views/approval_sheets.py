"""A request for approvals as a sheet, and as the line that `status` and `history` show.

>>> line(ApprovalRequest("churn", 3, "production", "ann", 7, "", needed=2))
'churn/3 waits for production: 0 of 2 approvals, requested by ann in entry 7'
"""

from collections.abc import Iterable

from lifecycle.records import ApprovalRequest, Entry
from lifecycle.records.approvals import AUTHENTICATED
from lifecycle.views.layout import BAD, GOOD, UNSURE, Sheet, count


def request(record: ApprovalRequest) -> Sheet:
    """The sheet of a request: who agreed, what is missing, what comes next."""
    ref = f"{record.name}/{record.version}"
    agreed = f"{len(record.approvals)} of {count(record.needed, 'approval')}"
    if record.rejected:
        title, mark, step = f"{ref} to {record.to}: rejected", BAD, f"by {record.rejected}"
    elif record.missing:
        title, mark = f"{ref} to {record.to}: {agreed}", UNSURE
        step = f"next: lifecycle approve {ref}"
    else:
        title, mark = f"{ref} to {record.to}: {agreed}", GOOD
        step = f"next: lifecycle promote {ref} --to {record.to}"
    rows = [("requested", record.actor, "", str(record.seq), record.reason)]
    rows += [
        ("approved", item.actor, item.identity, str(item.seq), item.reason)
        for item in record.approvals
    ]
    gate = f"the gate report is entry {record.gate}" if record.gate else ""
    authors = f"not to approve it: {', '.join(record.authors)}"
    return Sheet(
        title,
        mark=mark,
        headers=("", "who", "identity", "entry", "why"),
        rows=rows,
        notes=[item for item in (gate, authors, step) if item],
    )


def line(record: ApprovalRequest) -> str:
    """A request in a line."""
    names = ", ".join(item.actor for item in record.approvals)
    return (
        f"{record.name}/{record.version} waits for {record.to}: {len(record.approvals)} of"
        f" {count(record.needed, 'approval')}{f' ({names})' if names else ''}, requested by"
        f" {record.actor} in entry {record.seq}"
    )


def vouched(entries: Iterable[Entry]) -> str:
    """How many entries a server vouches for; empty when it vouches for none."""
    listed = list(entries)
    known = sum(entry.identity.startswith(AUTHENTICATED) for entry in listed)
    if not known:
        return ""
    rest = len(listed) - known
    others = f", {rest} self-declared" if rest else ""
    return f"who: {known} authenticated by the tracking server{others}"
