"""Rollouts as counts: units and events of both arms in every thousand requests.

>>> seen = counted(np.random.default_rng(0), 2, 40, lambda rng, size: steady(rng, size))
>>> seen.units.shape, int(seen.step[-1])
((2, 40), 1)

The schedule is fixed: 1, 5, 25 and 50 percent for 20,000 requests each, the last for as long as
anybody looks. There is a look every 1,000 requests.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
RNG = np.random.Generator
LOOK = 1000  # requests between two looks
SHARES = (0.01, 0.05, 0.25, 0.5)
LENGTH = 20  # looks that a step lasts
LOOKS = LENGTH * len(SHARES)  # of a whole rollout
RATE = 0.02  # of the champion's events, unless it changes
Base = Callable[[RNG, tuple[int, int]], Array]


@dataclass(frozen=True)
class Seen:
    """What was counted between two looks, each of the shape (rollouts, looks)."""

    units: Array  # the challenger's
    events: Array
    champion_units: Array
    champion_events: Array
    step: Array  # of each look

    def requests(self) -> Array:
        """Of both arms until each look, and those of the challenger: shape (2, rollouts, looks)."""
        return np.stack(
            [np.cumsum(self.units + self.champion_units, axis=1), np.cumsum(self.units, axis=1)]
        )


def steps_of(looks: int) -> Array:
    """The step of each look on the fixed schedule."""
    return np.minimum(np.arange(looks) // LENGTH, len(SHARES) - 1)


def counted(
    rng: RNG, rollouts: int, looks: int, base: Base, *, ratio: float = 1.0, off: float = 1.0
) -> Seen:
    """Rollouts of independent requests.

    Args:
        rng: of all.
        rollouts: how many.
        looks: each of 1,000 requests.
        base: the champion's rate of events at each look.
        ratio: of the challenger's rate to it.
        off: what the planned shares are multiplied by.
    """
    step = steps_of(looks)
    share = np.minimum(np.asarray(SHARES)[step] * off, 1.0)
    rate = base(rng, (rollouts, looks))
    units = rng.binomial(LOOK, share, (rollouts, looks))
    return Seen(
        units,
        rng.binomial(units, np.minimum(rate * ratio, 1.0)),
        LOOK - units,
        rng.binomial(LOOK - units, rate),
        step,
    )


def steady(_rng: RNG, size: tuple[int, int], rate: float = RATE) -> Array:
    """The same rate throughout."""
    return np.full(size, rate)


def drifting(_rng: RNG, size: tuple[int, int]) -> Array:
    """From 1 to 4 % in the course of a rollout."""
    return np.broadcast_to(np.interp(np.arange(size[1]), [0, LOOKS - 1], [0.01, 0.04]), size)


def diurnal(rng: RNG, size: tuple[int, int]) -> Array:
    """Days of 24,000 requests, from 0.4 to 3.6 %, that begin at any hour."""
    hour = rng.random((size[0], 1)) + np.arange(size[1]) / 24.0
    return RATE * (1.0 + 0.8 * np.sin(2.0 * np.pi * hour))


def incidents(rng: RNG, size: tuple[int, int]) -> Array:
    """2 %, and three times in a rollout 30 % for 1 to 5 looks."""
    found = np.full(size, RATE)
    looks = np.arange(size[1])
    for _ in range(3):
        start = rng.integers(0, LOOKS, (size[0], 1))
        found[(looks >= start) & (looks < start + rng.integers(1, 6, (size[0], 1)))] = 0.3
    return found


def delayed(
    seen: Seen, champion: int, challenger: int, *, blocks: bool
) -> tuple[Array, Array, Array]:
    """What is known at each look when labels come late, by another delay in each arm.

    Args:
        seen: as it happened.
        champion: looks that its labels take.
        challenger: likewise.
        blocks: whether the counts are told by the thousand requests they belong to; else by step.

    Returns:
        challenger's events, champion's events and the challenger's share among the labelled, each
        of the shape (rollouts, looks, steps or blocks).
    """
    looks = seen.step.size
    groups = np.arange(looks) if blocks else seen.step
    into = (groups[:, None] == np.arange(groups.max() + 1)).astype(float)  # look of the request
    now = np.arange(looks)

    def known(counts: Array, delay: int) -> Array:
        arrived = (now[None, :] + delay <= now[:, None]).astype(float)  # look, look of the request
        return np.einsum("rb,tb,bg->rtg", counts.astype(float), arrived, into, optimize=True)

    units, rest = known(seen.units, challenger), known(seen.champion_units, champion)
    both = (units > 0) & (rest > 0)
    share = np.divide(units, units + rest, out=np.zeros_like(units), where=both)
    ours = np.where(both, known(seen.events, challenger), 0.0)
    return ours, np.where(both, known(seen.champion_events, champion), 0.0), share
