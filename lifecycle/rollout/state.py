"""Which rollouts there were, and which one is open; pure functions of the ledger's entries.

>>> from lifecycle.records import Arm, Entry, RolloutSpec
>>> spec = RolloutSpec("churn", "canary", (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0)),
...     steps=(0.05, 1.0))
>>> start = Entry(1, "", "", "2026-03-01T08:00:00+00:00", "ann", **begun(spec))
>>> found = open_rollout([start])
>>> found.status, found.shares
('running', (0.95, 0.05))
>>> step = Entry(2, "", "", "2026-03-01T09:00:00+00:00", "ann", **stepped(found, 1))
>>> plan_of(open_rollout([start, step])).arms[1]
Arm(name='challenger', version=8, share=1.0)

A rollout's state is never stored beside the ledger: it is folded from the entries each time, and
so a reader sees one state after each entry, whoever wrote it and whatever it wrote elsewhere.

- The `stage` entry that brings an arm to production and names the rollout ends it as promoted.
- Any other entry that changes who is in production ends it as aborted, and so does one that
  registers an arm's number anew or takes an arm's version out of service. What rolls back a
  rollout is therefore its `end`; moves of the version come after it.
- A decision under an older lease than the newest, a step that does not rise, an event of another
  rollout and whatever cannot be read change nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import fsum, isclose, isfinite
from typing import Any

from lifecycle.records import Entry, Plan, Rollout
from lifecycle.records.rollouts import (
    ABORTED,
    FINISHED,
    HELD,
    PROMOTED,
    ROLLED_BACK,
    RUNNING,
)
from lifecycle.rollout import events
from lifecycle.rollout.events import (
    KIND,
    START,
    begun,
    ended,
    held,
    leased,
    promotion,
    resumed,
    shares_at,
    spec_of,
    stepped,
)
from lifecycle.stages import BIRTHS, MOVES, ORDER, PRODUCTION, tenures

__all__ = [
    "begun",
    "busy",
    "ended",
    "held",
    "latest",
    "leased",
    "open_rollout",
    "plan_of",
    "promotion",
    "refusal",
    "resumed",
    "rollouts",
    "shares_at",
    "spec_of",
    "stepped",
]

MOST_LEFT_OUT = 100  # steps that an entry may leave out; more is damage
ENDS = (PROMOTED, ROLLED_BACK, ABORTED, FINISHED)


def rollouts(entries: Sequence[Entry], order: Sequence[str] = ORDER) -> tuple[Rollout, ...]:
    """All rollouts of a model, oldest first; at most the last one is open.

    Args:
        entries: all entries of the ledger, oldest first.
        order: the stages; from the first and the last of them nothing answers requests.
    """
    if not any(item.kind == KIND for item in entries):
        return ()
    moves: dict[int, int | None] = {}  # who is in production after the entries that change it
    for tenure in tenures(entries, order):
        if tenure.entry is not None:
            moves[tenure.entry.seq] = tenure.version
        if tenure.ended is not None:
            moves.setdefault(tenure.ended.seq, None)
    found: list[Rollout] = []
    current: int | None = None
    for entry in entries:
        current = moves.get(entry.seq, current)
        last = found[-1] if found else None
        if last is None or not last.open:
            begins = _begun(entry, current)
            if begins is not None:
                found.append(begins)
        else:
            found[-1] = _after(last, entry, entry.seq in moves, order)
    return tuple(found)


def latest(entries: Sequence[Entry], order: Sequence[str] = ORDER) -> Rollout | None:
    """The last rollout, open or not; None: there never was one."""
    found = rollouts(entries, order)
    return found[-1] if found else None


def open_rollout(entries: Sequence[Entry], order: Sequence[str] = ORDER) -> Rollout | None:
    """The rollout that goes on; None: there is none, and production answers everything."""
    found = latest(entries, order)
    return found if found is not None and found.open else None


def plan_of(rollout: Rollout) -> Plan:
    """Who answers while a rollout is in its present state.

    After its end that is the champion alone, and after a promotion the arm that was promoted.
    """
    spec = rollout.spec
    arms = tuple(
        replace(arm, share=share) for arm, share in zip(spec.arms, rollout.shares, strict=True)
    )
    return Plan(spec.name, arms, rollout.step, spec.salt or f"{spec.name}/{rollout.seq}")


def refusal(
    entries: Sequence[Entry],
    rollout: int,
    generation: int,
    step: int | None = None,
    *,
    order: Sequence[str] = ORDER,
) -> str:
    """Why a decision no longer counts; empty: it does.

    Args:
        entries: the ledger as it is now.
        rollout: the entry that began it.
        generation: of the lease under which it was decided.
        step: the step that it was decided upon; None: it holds at any.
        order: the stages.
    """
    found = next((item for item in rollouts(entries, order) if item.seq == rollout), None)
    if found is None:
        return f"there is no rollout {rollout}"
    if not found.open:
        why = f": {found.reason}" if found.reason else ""
        return f"rollout {rollout} has ended, {found.status}{why}"
    if generation < found.generation:
        return (
            f"{found.holder or 'another controller'} has taken the lease since,"
            f" generation {found.generation}"
        )
    if step is not None and step != found.step:
        return f"it was decided upon step {step}, and step {found.step} has begun since"
    return ""


def busy(rollout: Rollout, holder: str, now: str) -> str:
    """Why a controller cannot take the lease now; empty: it can, or has it.

    >>> from lifecycle.records import Arm, RolloutSpec
    >>> pair = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
    >>> spec = RolloutSpec("churn", "canary", pair)
    >>> taken = Rollout(spec, 1, holder="a:1", generation=1, until="2026-03-01T08:15:00+00:00")
    >>> busy(taken, "b:2", "2026-03-01T08:10:00+00:00")
    'a:1 has the lease until 2026-03-01T08:15:00+00:00'
    >>> busy(taken, "b:2", "2026-03-01T08:16:00+00:00")
    ''
    """
    if rollout.holder in ("", holder):
        return ""
    until = moment(rollout.until)
    if until is None or until <= (moment(now) or until):
        return ""
    return f"{rollout.holder} has the lease until {rollout.until}"


def moment(time: str) -> datetime | None:
    """A time of an entry; None where it cannot be read. Without a zone it is UTC.

    >>> moment("2026-03-01T08:15:00").isoformat(), moment("soon")
    ('2026-03-01T08:15:00+00:00', None)
    """
    try:
        found = datetime.fromisoformat(time)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _begun(entry: Entry, current: int | None) -> Rollout | None:
    if entry.kind != KIND or entry.extra.get("event") != START:
        return None
    spec = spec_of(entry.extra.get("spec"))
    if spec is None:
        return None
    begins = Rollout(
        spec=spec,
        seq=entry.seq,
        shares=shares_at(spec, 0),
        started=entry.time,
        since=entry.time,
        reason=entry.reason,
        run_id=str(entry.extra.get("run") or ""),
        history=(shares_at(spec, 0),),
    )
    if current is not None and current != spec.arms[0].version:
        why = f"version {current}, not {spec.arms[0].version}, is in production"
        return _over(begins, entry, ABORTED, why)
    return begins


def _after(now: Rollout, entry: Entry, moved: bool, order: Sequence[str]) -> Rollout:
    """An open rollout after one more entry."""
    if entry.kind != KIND:
        return _outside(now, entry, moved, order)
    extra = entry.extra
    generation = _count(extra.get("generation"))
    if extra.get("rollout") != now.seq or generation < now.generation:
        return now
    match extra.get("event"):
        case events.LEASE:
            return _leased(now, extra.get("holder"), generation, extra.get("until"))
        case events.STEP:
            return _stepped(now, entry)
        case events.HOLD:
            return replace(now, status=HELD, reason=entry.reason)
        case events.RESUME:
            return replace(now, status=RUNNING, reason=entry.reason)
        case events.END:
            outcome = extra.get("outcome")
            known = str(outcome) if outcome in ENDS else ABORTED
            return _over(now, entry, known, entry.reason)
    return now


def _outside(now: Rollout, entry: Entry, moved: bool, order: Sequence[str]) -> Rollout:
    """… after an entry that is not a rollout's own."""
    tried = [arm for arm in now.spec.arms[1:] if arm.version == entry.version]
    at = f"entry {entry.seq}"
    if moved:
        if entry.to == PRODUCTION and tried and entry.extra.get("rollout") == now.seq:
            shares = tuple(float(arm is tried[0]) for arm in now.spec.arms)
            return replace(_over(now, entry, PROMOTED, entry.reason), shares=shares)
        to = f"version {entry.version} came to production"
        left = f"version {entry.version} left production"
        return _over(now, entry, ABORTED, f"{to if entry.to == PRODUCTION else left} with {at}")
    if tried and entry.kind in BIRTHS:
        return _over(now, entry, ABORTED, f"version {entry.version} was registered anew with {at}")
    if tried and entry.kind in MOVES and entry.to in (order[0], order[-1]):
        why = f"version {entry.version} was moved to {entry.to} with {at}"
        return _over(now, entry, ABORTED, why)
    return now


def _over(now: Rollout, entry: Entry, status: str, reason: str) -> Rollout:
    shares = (1.0, *[0.0] * (len(now.spec.arms) - 1))
    return replace(now, status=status, ended=entry.time, reason=reason, shares=shares)


def _leased(now: Rollout, holder: Any, generation: int, until: Any) -> Rollout:
    """… after a lease; of two that took the same generation the first has it."""
    if not isinstance(holder, str) or not holder or not isinstance(until, str):
        return now
    if generation == now.generation and holder != now.holder:
        return now
    return replace(now, holder=holder, generation=generation, until=until)


def _stepped(now: Rollout, entry: Entry) -> Rollout:
    """… after a step: it must rise, and its shares must be a plan of the same arms."""
    step = _count(entry.extra.get("step"))
    spec = now.spec
    if step <= now.step or (spec.steps and step >= len(spec.steps)):
        return now
    given = entry.extra.get("shares")
    if given is None and spec.steps:
        shares = shares_at(spec, step)
    elif isinstance(given, (list, tuple)) and all(
        isinstance(item, (int, float)) and not isinstance(item, bool) for item in given
    ):
        shares = tuple(float(item) for item in given)
    else:
        return now
    whole = all(isfinite(item) and 0.0 <= item <= 1.0 for item in shares)
    if len(shares) != len(spec.arms) or not whole or not isclose(fsum(shares), 1.0, abs_tol=1e-9):
        return now
    if step > now.step + MOST_LEFT_OUT:
        return now
    past = now.history + ((),) * (step - len(now.history))
    return replace(now, step=step, shares=shares, since=entry.time, history=(*past, shares))


def _count(value: Any) -> int:
    """A whole number of an entry; -1 where it is none, which is older than anything."""
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
