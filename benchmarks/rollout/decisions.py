"""Whole rollouts, each look decided by `lifecycle.rollout.deciding.decide`.

>>> end = rolled_out(np.random.default_rng(0), rate=0.02, ratio=10.0, looks=40)
>>> end.action, end.requests <= 20_000
('rollback', True)

Steps of 1, 5, 25, 50 and 95 %, margins of 5, 2, 1.5 and 1.25, one guard of errors, a look every
1,000 requests. A step lasts until its certificate is there.
"""

from dataclasses import dataclass, replace

import numpy as np
from arrivals import LOOK, RNG, Seen

from lifecycle.records import Arm, Rollout, RolloutSpec, Tally
from lifecycle.rollout.deciding import decide
from lifecycle.rollout.events import shares_at

SPEC = RolloutSpec(
    name="bench",
    strategy="canary",
    arms=(Arm("champion", 1, 0.0), Arm("challenger", 2, 0.0)),
    steps=(0.01, 0.05, 0.25, 0.5, 1.0),
    margins=(5.0, 2.0, 1.5, 1.25),
    guards=("errors",),
    hold_back=0.05,
)
NOW = "2026-03-01T08:00:00+00:00"


@dataclass(frozen=True)
class End:
    """How a rollout ended.

    Attributes:
        action: promote, rollback, hold, or wait where nothing was decided in time.
        requests: of both arms until then.
        exposed: of those the challenger's.
        step: the last.
    """

    action: str
    requests: int
    exposed: int
    step: int


def rolled_out(rng: RNG, *, rate: float, ratio: float, looks: int, spec: RolloutSpec = SPEC) -> End:
    """One rollout.

    Args:
        rng: of all.
        rate: of the champion's events.
        ratio: of the challenger's rate to it.
        looks: after which nobody looks any more.
        spec: steps, margins, guards; each guard sees events of its own.
    """
    shares = shares_at(spec, 0)
    rollout = Rollout(spec, 1, shares=shares, history=(shares,))
    counts: dict[tuple[str, str, int], list[int]] = {}
    exposed = 0
    for look in range(looks):
        units = int(rng.binomial(LOOK, rollout.shares[1]))
        exposed += units
        for arm, size, chance in (
            ("champion", LOOK - units, rate), ("challenger", units, rate * ratio)
        ):  # fmt: skip
            for guard in ("", *spec.guards):
                cell = counts.setdefault((guard, arm, rollout.step), [0, 0])
                cell[0] += size
                cell[1] += int(rng.binomial(size, chance)) if guard else 0
        tallies = [Tally(*cell, units=n, events=x) for cell, (n, x) in counts.items()]
        found = decide(rollout, tallies, now=NOW)
        if found.action == "step":
            step = found.to_step or 0
            rollout = replace(
                rollout,
                step=step,
                shares=found.shares,
                history=(*rollout.history, found.shares),
            )
        elif found.action != "wait":
            return End(found.action, (look + 1) * LOOK, exposed, rollout.step)
    return End("wait", looks * LOOK, exposed, rollout.step)


def tallied(seen: Seen, rollout: int, look: int) -> list[Tally]:
    """The tallies of one of many simulated rollouts at a look."""
    found = []
    for step in np.unique(seen.step[: look + 1]):
        at = np.flatnonzero(seen.step[: look + 1] == step)
        for arm, units, events in (
            ("champion", seen.champion_units, seen.champion_events),
            ("challenger", seen.units, seen.events),
        ):
            count = int(units[rollout, at].sum()), int(events[rollout, at].sum())
            found.append(Tally("errors", arm, int(step), *count))
    return found
