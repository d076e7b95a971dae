"""When people are told of what checks find: once when it begins, when it gets worse, when it ends.

>>> begun = advance(None, drift=Outcome.FAIL, moved={"charges": 0.4})
>>> begun.change, advance(begun, drift=Outcome.FAIL, moved={"charges": 0.4}).change
('opened', '')
>>> advance(begun, drift=Outcome.FAIL, moved={"charges": 0.7}).change
'worse'
>>> advance(begun, drift=Outcome.PASS).change
'resolved'

A pure rule on what the last incident was and what a check found. Effects are compared with those
that people were last told of, so that slow growth is news in the end. A check that cannot tell
changes nothing: drift is over when a check finds none, harm when labels show none.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lifecycle.records import Entry, Incident, Outcome

KIND = "incident"  # of the ledger's entries
GROWTH = 1.5  # so many times the effect that was told of is news
MOST_TEXT = 3000  # characters that are kept of its columns; beyond, a further one is no news
MOST_NAME = 60  # characters of a column's name


def advance(
    before: Incident | None,
    *,
    drift: Outcome,
    harm: Outcome = Outcome.UNSURE,
    moved: Mapping[str, float | None] | None = None,
) -> Incident | None:
    """What a check makes of the incident that was open before it.

    >>> harmed = advance(None, drift=Outcome.PASS, harm=Outcome.FAIL)
    >>> advance(harmed, drift=Outcome.PASS).change, "no labels, no word on harm"
    ('', 'no labels, no word on harm')

    Worse is: harm where there was none, a column that had not moved, or an effect that has grown
    by half. A column that comes and goes within an incident is told of once.

    Args:
        before: the open incident; None or a resolved one where there is none.
        drift: what the check says of the data.
        harm: what labels say of the model; not enough evidence where there are none.
        moved: the columns that drifted and their effects, worst first.

    Returns:
        The incident as it is now with what `change` it is; None where there is and was none.
    """
    found = _kept(moved or {}) if drift is Outcome.FAIL else {}
    harmed = harm is Outcome.FAIL
    if before is None or before.change == "resolved":
        if drift is not Outcome.FAIL and not harmed:
            return None
        return Incident("opened", found, harmed)
    drift_over = drift is Outcome.PASS or (not before.columns and drift is Outcome.UNSURE)
    harm_over = harm is Outcome.PASS or not before.harmed
    if not harmed and drift_over and harm_over and Outcome.PASS in (drift, harm):
        return replace(before, change="resolved")
    full = _full(before.columns)
    worse = (harmed and not before.harmed) or any(
        not full if name not in before.columns else _grown(before.columns[name], effect)
        for name, effect in found.items()
    )
    if not worse:
        return replace(before, change="")
    told = {name: _larger(before.columns.get(name), effect) for name, effect in found.items()}
    columns = _kept({**before.columns, **told})
    return replace(before, change="worse", columns=columns, harmed=harmed or before.harmed)


def last(entries: Sequence[Entry], scope: str) -> Incident | None:
    """The incident that the ledger says is open for a scope; None where none is.

    Args:
        entries: the ledger, oldest first.
        scope: what the checks look at: the champion, another version, a segment of either.
    """
    for entry in reversed(entries):
        if entry.kind == KIND and entry.source == scope:
            return None if entry.to == "resolved" else replace(read(entry), change="")
    return None


def read(entry: Entry) -> Incident:
    """The incident as an entry of the ledger has it."""
    extra = entry.extra
    return Incident(
        entry.to,  # type: ignore[arg-type] # one of the three that `note` writes
        dict(extra.get("columns") or {}),
        bool(extra.get("harmed")),
        str(extra.get("since") or ""),
        str(extra.get("run") or ""),
    )


def _kept(columns: Mapping[str, float | None]) -> dict[str, float | None]:
    kept: dict[str, float | None] = {}
    for name, effect in columns.items():
        if not _full(kept):
            kept[name[:MOST_NAME]] = effect
    return kept


def _full(columns: Mapping[str, float | None]) -> bool:
    """Whether one more column would be too much for an entry of the ledger, as ASCII JSON."""
    return len(json.dumps(columns)) + 6 * MOST_NAME > MOST_TEXT


def _larger(told: float | None, now: float | None) -> float | None:
    known = [item for item in (told, now) if item is not None]
    return max(known) if known else None


def _grown(told: float | None, now: float | None) -> bool:
    return told is not None and now is not None and now > GROWTH * told
