"""What the tallies of a rollout prove: one `GuardEvidence` a guard and arm.

>>> from lifecycle.records import Arm
>>> from lifecycle.rollout.guards import parse
>>> arms = (Arm("champion", 7, 0.95), Arm("challenger", 8, 0.05))
>>> spec = RolloutSpec("churn", "canary", arms, steps=(0.05, 1.0), margins=(2.0,))
>>> tallies = [
...     Tally("errors", "champion", 0, units=1900, events=20),
...     Tally("errors", "challenger", 0, units=100, events=30),
... ]
>>> found = weigh(spec, 0, tallies, [parse("errors")])[0]
>>> str(found.outcome), found.harm > found.harm_limit, found.rate
('fail', True, 0.3)

All steps count at every look. Harm is proven at log(K/alpha), K the guards times the challenger's
arms, so that all of them together raise a false alarm with a probability of alpha at most; a
certificate at log(1/alpha), since a step needs those of all guards.

A certificate says that the ratio of rates is below the margin, or that the challenger's own rate is
below the margin times a rate that counts as none (of no events a ratio cannot be told). Where
requests have keys, it is of keys that meet an event and not of requests: failures that fall to the
same few keys raise the rate of requests more than that of keys.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lifecycle.records import GuardEvidence, Outcome, RolloutSpec, Tally
from lifecycle.rollout.events import shares_at
from lifecycle.rollout.evidence import (
    Counts,
    Side,
    log_e,
    log_e_certificate,
    log_e_sample,
    ratio_interval,
)
from lifecycle.rollout.guards import Guard, Watched
from lifecycle.rollout.numbers import difference_interval, log_e_difference

ASSIGNMENT = "assignment"  # the name of the sample-ratio check among the guards
ASSIGNMENT_ALPHA = 0.001


@dataclass(frozen=True)
class _Asked:
    """What the evidence is held against."""

    alpha: float
    sharing: int  # guards times arms, which share alpha
    margin: float | None  # None: no certificate

    @property
    def harm_limit(self) -> float:
        """Evidence that proves harm."""
        return math.log(self.sharing / self.alpha)


def weigh(
    spec: RolloutSpec, step: int, tallies: Sequence[Tally], guards: Sequence[Watched]
) -> tuple[GuardEvidence, ...]:
    """What the counts prove of each guard in each challenger's arm, guards first.

    Args:
        spec: arms, margins and alpha.
        step: the present one, whose margin is asked for.
        tallies: of all steps so far, in any order; those of the same cell add up.
        guards: the guards to weigh, all that share alpha.
    """
    others = [arm.name for arm in spec.arms[1:]]
    sharing = max(1, len(guards) * len(others))
    margin = spec.margins[min(step, len(spec.margins) - 1)] if spec.margins else None
    cells = _cells(tallies)
    champion = spec.arms[0].name
    found = []
    for watched in guards:
        asked = _Asked(spec.alpha, sharing, margin if watched.certify else None)
        for arm in others:
            both = _both(cells, watched.text, champion, arm)
            evidence = _event if watched.kind == "event" else _number
            found.append(evidence(asked, watched, arm, *both))
    return tuple(found)


def imbalance(
    spec: RolloutSpec, tallies: Sequence[Tally], shares: Sequence[Sequence[float]] = ()
) -> GuardEvidence:
    """Whether requests fall to the arms as planned, at alpha 0.001; an alarm has the outcome fail.

    >>> from lifecycle.records import Arm
    >>> arms = (Arm("champion", 7, 0.5), Arm("challenger", 8, 0.5))
    >>> halves = [Tally("", "champion", 0, units=5300), Tally("", "challenger", 0, units=4700)]
    >>> str(imbalance(RolloutSpec("churn", "ab", arms), halves).outcome)
    'fail'

    Args:
        spec: the shares that were planned.
        tallies: those of the empty guard count requests, or keys.
        shares: planned shares of the arms by step, where they are others than the spec's.
    """
    limit = math.log(max(1, len(spec.arms) - 1) / ASSIGNMENT_ALPHA)
    cells = _cells(tallies)
    worst = GuardEvidence(ASSIGNMENT, "", "event", harm_limit=limit)
    for place, arm in enumerate(spec.arms[1:], start=1):
        ours, theirs = _both(cells, "", spec.arms[0].name, arm.name)
        steps = []
        for at, (mine, rest) in _by_step(ours, theirs).items():
            planned = shares[at] if at < len(shares) and shares[at] else shares_at(spec, at)
            both = planned[0] + planned[place]
            steps.append((mine, rest, planned[place] / both if both > 0.0 else 0.0))
        evidence = log_e_sample(steps)
        if not worst.arm or evidence > worst.harm:
            mine, rest = sum(item[0] for item in steps), sum(item[1] for item in steps)
            total = mine + rest
            expected = math.fsum((item[0] + item[1]) * item[2] for item in steps)
            off = evidence >= limit
            worst = GuardEvidence(
                ASSIGNMENT,
                arm.name,
                "event",
                champion_units=rest,
                units=mine,
                champion_rate=rest / total if total else None,
                rate=mine / total if total else None,
                harm=evidence,
                harm_limit=limit,
                outcome=Outcome.FAIL if off else Outcome.UNSURE,
                reason=f"{mine:,} of {total:,} units fell to {arm.name}, {expected:,.0f} were"
                + (" planned: the arms cannot be compared" if off else " planned")
                if total
                else "no unit since all servers knew of the rollout",
            )
    return worst


Cell = tuple[str, str, int, int]  # guard, arm, step, block


def _cells(tallies: Sequence[Tally]) -> dict[Cell, Tally]:
    found: dict[Cell, Tally] = {}
    for item in tallies:
        at = (item.guard, item.arm, item.step, item.block)
        have = found.get(at)
        found[at] = item if have is None else added(have, item)
    return found


def added(one: Tally, two: Tally) -> Tally:
    """Two tallies of disjoint units of the same guard, arm and step as one.

    >>> added(Tally("errors", "champion", 0, 5, 1), Tally("errors", "champion", 0, 2, 1)).units
    7
    """
    names = ("units", "events", "total", "s", "v", "w")
    return replace(one, **{name: getattr(one, name) + getattr(two, name) for name in names})


Place = tuple[int, int]  # step, block


def _both(
    cells: dict[Cell, Tally], guard: str, champion: str, arm: str
) -> tuple[dict[Place, Tally], dict[Place, Tally]]:
    ours, theirs = {}, {}
    for (name, of, step, block), tally in cells.items():
        if name == guard and of == arm:
            ours[step, block] = tally
        elif name == guard and of == champion:
            theirs[step, block] = tally
    return ours, theirs


def _by_step(ours: dict[Place, Tally], theirs: dict[Place, Tally]) -> dict[int, tuple[int, int]]:
    found: dict[int, tuple[int, int]] = {}
    for side, tallies in enumerate((ours, theirs)):
        for (step, _), tally in sorted(tallies.items()):
            pair = list(found.get(step, (0, 0)))
            pair[side] += tally.units
            found[step] = (pair[0], pair[1])
    return found


def counts_of(ours: dict[Place, Tally], theirs: dict[Place, Tally]) -> list[Counts]:
    """Events of both arms and the realised share, of each step and block with units in both."""
    found = []
    for at in sorted(set(ours) & set(theirs)):
        mine, rest = ours[at], theirs[at]
        if mine.units > 0 and rest.units > 0:
            share = mine.units / (mine.units + rest.units)
            found.append((mine.events, rest.events, share))
    return found


HARM: dict[int, Side] = {1: "above", -1: "below", 0: "both"}


def _event(
    asked: _Asked,
    watched: Watched,
    arm: str,
    ours: dict[Place, Tally],
    theirs: dict[Place, Tally],
) -> GuardEvidence:
    guard, steps = watched.guard, counts_of(ours, theirs)
    units, events = _sum(ours)
    champion_units, champion_events = _sum(theirs)
    estimate, low, high = ratio_interval(steps, asked.alpha / asked.sharing)
    told = not math.isnan(estimate)
    harm = log_e(steps, against=1.0, side=HARM[guard.worse])
    low, high = _without(low, high, 1.0, worse=guard.worse if harm >= asked.harm_limit else 0)
    certificate = None
    if asked.margin is not None:
        certificate = event_certificate(steps, units, events, asked.margin, guard)
    return _judged(
        asked,
        _ratio(estimate, low, high, events) if told else "no events to compare",
        GuardEvidence(
            watched.text,
            arm,
            "event",
            champion_units=champion_units,
            champion_events=champion_events,
            units=units,
            events=events,
            champion_rate=champion_events / champion_units if champion_units else None,
            rate=events / units if units else None,
            ratio=estimate if told else None,
            low=low if told else None,
            high=high if told else None,
            harm=harm,
            certificate=certificate,
        ),
    )


def event_certificate(
    steps: Sequence[Counts], units: int, events: int, margin: float, guard: Guard
) -> float:
    """Evidence that events are at most `margin` times as frequent, or as good as never happen.

    Args:
        steps: events of both arms and the realised share.
        units: of the challenger.
        events: of the challenger.
        margin: how many times worse is still allowed, over 1.
        guard: in which direction it is worse, and which rate counts as none.
    """
    if guard.worse < 0:
        return log_e(steps, against=1.0 / margin, side="above")
    if guard.worse == 0:
        lower = log_e(steps, against=margin, side="below")
        return min(lower, log_e(steps, against=1.0 / margin, side="above"))
    mine, rest, share = np.asarray(steps, float).reshape(-1, 3).T
    found = log_e_certificate(
        mine,
        rest,
        share,
        units=units,
        events=events,
        margin=margin,
        negligible=guard.negligible,
    )
    return float(found)


def _number(
    asked: _Asked,
    watched: Watched,
    arm: str,
    ours: dict[Place, Tally],
    theirs: dict[Place, Tally],
) -> GuardEvidence:
    guard = watched.guard
    s, v, w = (math.fsum(getattr(item, name) for item in ours.values()) for name in "svw")
    low, high = difference_interval(s, v, w, asked.alpha / asked.sharing)
    told = w > 0.0
    slack = _slack(guard, _mean(theirs))
    harm = log_e_difference(s, v, w, against=slack, side=HARM[guard.worse])
    low, high = _without(low, high, slack, worse=guard.worse if harm >= asked.harm_limit else 0)
    certificate = None
    if asked.margin is not None:
        margin = max(math.log(asked.margin), slack)
        certificate = number_certificate(s, v, w, margin, guard.worse)
    units, champion_units = _sum(ours)[0], _sum(theirs)[0]
    return _judged(
        asked,
        _difference(s / w, low, high, guard.log) if told else "no values to compare",
        GuardEvidence(
            watched.text,
            arm,
            "number",
            champion_units=champion_units,
            units=units,
            champion_rate=_mean(theirs),
            rate=_mean(ours),
            ratio=s / w if told else None,
            low=low if told else None,
            high=high if told else None,
            harm=harm,
            certificate=certificate,
        ),
    )


def _without(low: float, high: float, harmless: float, *, worse: int) -> tuple[float, float]:
    """An interval without what the proof of harm, which looks to one side only, has refuted too."""
    if worse > 0:
        return max(low, harmless), max(high, harmless)
    return (min(low, harmless), min(high, harmless)) if worse < 0 else (low, high)


def _slack(guard: Guard, mean: float | None) -> float:
    """Which difference of logarithms is slight: half as much again of nearly nothing harms nobody.

    It rests on the champion's mean, which is known far better than the difference.
    """
    if not guard.log or guard.slight <= 0.0 or mean is None or guard.worse != 1:
        return 0.0
    return math.log1p(guard.slight * math.exp(-max(mean, -700.0)))


def number_certificate(s: float, v: float, w: float, margin: float, worse: int) -> float:
    """Evidence that the mean is at most `margin` worse; where either way is worse, neither way."""
    lower = log_e_difference(s, v, w, against=margin, side="below")
    upper = log_e_difference(s, v, w, against=-margin, side="above")
    return {1: lower, -1: upper}.get(worse, min(lower, upper))


def _ratio(estimate: float, low: float, high: float, events: int) -> str:
    if math.isinf(estimate):
        return f"{events:,} where the champion has none, at least {low:.3g} times the rate"
    return f"{estimate:.3g} times the rate [{low:.3g}, {high:.3g}]"


def _difference(estimate: float, low: float, high: float, logs: bool) -> str:
    if logs:
        times = (math.exp(min(item, 700.0)) for item in (estimate, low, high))
        return "{:.3g} times [{:.3g}, {:.3g}]".format(*times)
    return f"{estimate:+.3g} on average [{low:.3g}, {high:.3g}]"


def _judged(asked: _Asked, told: str, found: GuardEvidence) -> GuardEvidence:
    """With its limits, its outcome and what that means."""
    margin = asked.margin
    limit = math.log(1.0 / asked.alpha) if margin is not None else 0.0
    certified = found.certificate is not None and found.certificate >= limit
    what = f"{found.guard}: {told}"
    if found.harm >= asked.harm_limit:
        outcome, reason = Outcome.FAIL, f"{what}, which is proven to be worse"
    elif certified:
        outcome, reason = Outcome.PASS, f"{what}, proven to be no more than {margin:g} times worse"
    elif margin is None:
        outcome, reason = Outcome.UNSURE, f"{what}, no harm is proven"
    else:
        outcome = Outcome.UNSURE
        reason = f"{what}, neither harm nor less than {margin:g} times worse is proven"
    return replace(
        found,
        harm_limit=asked.harm_limit,
        certificate_limit=limit,
        margin=margin,
        outcome=outcome,
        reason=reason,
    )


def _sum(tallies: dict[Place, Tally]) -> tuple[int, int]:
    return sum(item.units for item in tallies.values()), sum(
        item.events for item in tallies.values()
    )


def _mean(tallies: dict[Place, Tally]) -> float | None:
    units = sum(item.units for item in tallies.values())
    return math.fsum(item.total for item in tallies.values()) / units if units else None
