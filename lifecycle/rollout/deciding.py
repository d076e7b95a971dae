"""What to do with a rollout, from what was counted; a pure function that anybody can replay.

The rules speak in this order, and the first that has something to say decides:

1. requests that do not fall to arms as planned: hold, because then no count can be trusted;
2. a proven harm of any guard: roll back;
3. a rollout that is held stays held until somebody resumes it;
4. its longest duration is over: hold, roll back or promote, as its spec says;
5. its strategy: step up, promote, finish, or wait for more evidence.

>>> from lifecycle.records import Arm, RolloutSpec
>>> pair = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
>>> spec = RolloutSpec("churn", "canary", pair, (0.5, 1.0), (2.0,), ("errors",))
>>> rollout = Rollout(spec, 12, shares=(0.5, 0.5), history=((0.5, 0.5),))
>>> look = decide(rollout, [], now="2026-03-01T08:00:00+00:00")
>>> look.action, look.exit_code
('wait', 3)
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import fsum
from typing import Any

from lifecycle.records import GuardEvidence, Look, Outcome, Rollout, Tally
from lifecycle.records.rollouts import HELD
from lifecycle.rollout.events import shares_at
from lifecycle.rollout.state import moment
from lifecycle.rollout.strategies import Given, Strategy, Verdict, strategy_of
from lifecycle.rollout.weighing import imbalance

OUTCOMES = {
    "step": Outcome.PASS,
    "promote": Outcome.PASS,
    "finish": Outcome.PASS,
    "rollback": Outcome.FAIL,
}


def decide(
    rollout: Rollout,
    tallies: Sequence[Tally],
    *,
    now: str,
    exposed: Mapping[str, int] | None = None,
    coverage: Mapping[str, Any] | None = None,
) -> Look:
    """One look at a rollout.

    Args:
        rollout: as the ledger has it when it is looked at.
        tallies: all that was counted since it began, in any order and in any number of parts.
        now: the time of the look, ISO 8601.
        exposed: users, or requests without a key, that each arm answered; by default the units.
        coverage: what was read and what was missing, for people.

    Returns:
        What is to be done, and the evidence for it. The look of an ended rollout waits.

    Raises:
        ConfigError: its strategy or a guard is no longer there.
    """
    strategy = strategy_of(rollout.spec.strategy)
    counted = added(tallies)
    evidence = strategy.weigh(rollout, counted)
    given = Given(rollout, counted, evidence, _seconds(rollout.since, now))
    sample = imbalance(rollout.spec, counted, rollout.history) if strategy.counts else None
    verdict = _verdict(strategy, given, sample, _seconds(rollout.started, now))
    shown = evidence if sample is None else (sample, *evidence)
    return Look(
        name=rollout.spec.name,
        rollout=rollout.seq,
        step=rollout.step,
        time=now,
        tallies=counted,
        evidence=shown,
        action=verdict.action,
        to_step=verdict.to_step,
        shares=_shares(rollout, verdict),
        outcome=verdict.outcome or OUTCOMES.get(verdict.action, Outcome.UNSURE),
        reason=verdict.reason,
        best=verdict.best,
        probabilities=verdict.probabilities,
        exposed=dict(exposed) if exposed is not None else _units(counted),
        coverage=dict(coverage or {}),
    )


def replayed(rollout: Rollout, look: Mapping[str, Any]) -> Look:
    """The look anew, from its own tallies and time.

    Args:
        rollout: as the ledger had it when it was looked at.
        look: `Look.to_dict()`, as it was kept as evidence.

    Returns:
        The same look, where neither was changed.

    Raises:
        ValueError: the evidence has no tallies, or they cannot be read.
    """
    try:
        tallies = [tally_of(item) for item in look["tallies"]]
        time = str(look["time"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"the evidence has no tallies that can be read: {error}") from error
    return decide(
        rollout, tallies, now=time, exposed=look.get("exposed"), coverage=look.get("coverage")
    )


def tally_of(value: Mapping[str, Any]) -> Tally:
    """A tally as JSON has it; fields of later versions are left out."""
    known = {key: value[key] for key in Tally.__dataclass_fields__ if key in value}
    return Tally(**known)


def added(tallies: Sequence[Tally]) -> tuple[Tally, ...]:
    """One tally a guard, step, arm and block, in a fixed order; so counting's order is no matter.

    >>> added([Tally("errors", "champion", 0, 2, 1), Tally("errors", "champion", 0, 3)])[0].units
    5
    """
    groups: dict[tuple[str, int, str, int], list[Tally]] = {}
    for item in tallies:
        groups.setdefault((item.guard, item.step, item.arm, item.block), []).append(item)
    return tuple(_sum(groups[key]) for key in sorted(groups))


def _sum(parts: Sequence[Tally]) -> Tally:
    """Tallies of one cell as one; the order of the parts does not change the last digit."""
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        units=sum(item.units for item in parts),
        events=sum(item.events for item in parts),
        total=fsum(item.total for item in parts),
        s=fsum(item.s for item in parts),
        v=fsum(item.v for item in parts),
        w=fsum(item.w for item in parts),
    )


def _verdict(
    strategy: Strategy, given: Given, sample: GuardEvidence | None, lasted: float
) -> Verdict:
    rollout, spec = given.rollout, given.spec
    if not rollout.open:
        return Verdict("wait", f"it has ended, {rollout.status}")
    if sample is not None and sample.outcome is Outcome.FAIL:
        return Verdict("hold", sample.reason, outcome=Outcome.FAIL)
    harmed = [item for item in given.evidence if item.outcome is Outcome.FAIL]
    if harmed:
        return Verdict("rollback", "; ".join(_harm(item, len(spec.arms)) for item in harmed))
    over = 0.0 < spec.max_seconds <= lasted
    if rollout.status == HELD and not (over and spec.at_end == "rollback"):
        return Verdict("hold", f"it is held: {rollout.reason or 'somebody stopped it'}")
    if over:
        why = f"after {lasted / 3600:.1f} h its time is over and the evidence not enough"
        ends = "finish" if spec.at_end == "promote" and not strategy.promotes else spec.at_end
        return Verdict(ends, why, outcome=Outcome.UNSURE)
    return strategy.onward(given)


def _harm(item: GuardEvidence, arms: int) -> str:
    named = item.reason.startswith(f"{item.guard}:")
    said = item.reason if named else f"{item.guard}: {item.reason}"
    return f"{item.arm}, {said}" if arms > 2 else said


def _shares(rollout: Rollout, verdict: Verdict) -> tuple[float, ...]:
    """What the arms are to have after the decision."""
    if verdict.shares:
        return verdict.shares
    others = len(rollout.spec.arms) - 1
    if verdict.action == "step" and verdict.to_step is not None:
        return shares_at(rollout.spec, verdict.to_step)
    if verdict.action == "promote":
        return (0.0, 1.0, *[0.0] * (others - 1))
    if verdict.action in ("rollback", "finish"):
        return (1.0, *[0.0] * others)
    return rollout.shares


def _units(tallies: Sequence[Tally]) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in tallies:
        if not item.guard:
            found[item.arm] = found.get(item.arm, 0) + item.units
    return found


def _seconds(since: str, now: str) -> float:
    """From one time to another; 0 where one cannot be read, so that nothing ends too early."""
    start, end = moment(since), moment(now)
    return max((end - start).total_seconds(), 0.0) if start and end else 0.0
