"""Sticky keys of unequal error rates: a key's requests all fail or none do, more or less.

>>> rollout = visits(np.random.default_rng(0), 40)
>>> by_key(rollout).units.shape
(1, 40)

3,000 keys, a few of which send most of the requests. A tenth of them fail at 15 % of their
requests, the others at 0.55 %, and each key's latency has a level of its own. A key's arm follows
from its place, as in `lifecycle.rollout.assignment`.
"""

from dataclasses import dataclass

import numpy as np
from arrivals import LOOK, RNG, SHARES, Array, Seen, steps_of

from lifecycle.rollout.numbers import contrasts, log_e_difference

KEYS = 3000
EVERY = 8  # looks between two at which a mean is judged


@dataclass(frozen=True)
class Visits:
    """The requests of a rollout, in the order of time."""

    key: Array
    place: Array  # of each key, 0 … 1
    event: Array
    value: Array  # the logarithm of its latency
    step: Array  # of each look

    def mine(self) -> Array:
        """Whether the challenger answers each request."""
        share: Array = np.asarray(SHARES)[np.repeat(self.step, LOOK)]
        return self.place[self.key] < share


def visits(rng: RNG, looks: int, ratio: float = 1.0) -> Visits:
    """Requests of keys; the challenger's fail `ratio` times as often, the rest is alike."""
    weights = np.cumsum(rng.gamma(0.5, size=KEYS))
    key = np.searchsorted(weights, rng.random(looks * LOOK) * weights[-1])
    rate = np.where(rng.random(KEYS) < 0.1, 0.15, 0.0055)
    level = rng.normal(0.0, 0.5, KEYS)
    place, step = rng.random(KEYS), steps_of(looks)
    mine = place[key] < np.asarray(SHARES)[np.repeat(step, LOOK)]
    return Visits(
        key,
        place,
        rng.random(key.size) < rate[key] * np.where(mine, ratio, 1.0),
        level[key] + rng.normal(0.0, 0.55, key.size),
        step,
    )


def earliest(keys: Array, at: Array) -> Array:
    """The first request of each key among those `at` some places; the number of all if none."""
    found = np.full(KEYS, keys.size)
    found[keys[at][::-1]] = at[::-1]
    return found


def by_key(rollout: Visits) -> Seen:
    """Keys as units: each until its first event, at each step anew."""
    key, looks = rollout.key, rollout.step.size
    stop = earliest(key, np.flatnonzero(rollout.event))
    table = np.zeros((4, looks), int)
    for step in range(int(rollout.step.max()) + 1):
        inside = np.flatnonzero(np.repeat(rollout.step == step, LOOK))
        seen = earliest(key, inside)
        at_risk = (seen < key.size) & (seen <= stop)
        failed = np.isin(stop // LOOK, np.flatnonzero(rollout.step == step)) & (stop < key.size)
        mine = rollout.place < SHARES[step]
        for row, (which, when) in enumerate(
            [(at_risk & mine, seen), (failed & mine, stop), (at_risk & ~mine, seen),
             (failed & ~mine, stop)]
        ):  # fmt: skip
            table[row] += np.bincount(when[which] // LOOK, minlength=looks)
    return Seen(*table[:, None, :], rollout.step)


def by_request(rollout: Visits) -> Seen:
    """Requests as units, as if they were independent."""
    look = np.repeat(np.arange(rollout.step.size), LOOK)
    mine, event = rollout.mine(), rollout.event
    table = [
        np.bincount(look[which], minlength=rollout.step.size)[None, :]
        for which in (mine, mine & event, ~mine, ~mine & event)
    ]
    return Seen(*table, rollout.step)


def first_met(rollout: Visits) -> tuple[Array, Array]:
    """Keys of either arm that were met first at each look, shape (1, looks) each."""
    looks = rollout.step.size
    met = earliest(rollout.key, np.arange(rollout.key.size))
    known = met < rollout.key.size
    mine = np.zeros(KEYS, bool)
    mine[known] = rollout.mine()[met[known]]
    ours, theirs = (
        np.bincount(met[known & which] // LOOK, minlength=looks) for which in (mine, ~mine)
    )
    return ours[None, :], theirs[None, :]


def slow(rollout: Visits, limit: float, *, clustered: bool = True) -> bool:
    """Whether the numeric guard ever finds the challenger slower, looking every 8,000 requests."""
    mine, look = rollout.mine(), np.repeat(np.arange(rollout.step.size), LOOK)
    steps = rollout.step[look]
    for end in range(EVERY * LOOK, mine.size + 1, EVERY * LOOK):
        step = steps[:end]
        realised = np.bincount(step, mine[:end]) / np.bincount(step)
        found = contrasts(
            rollout.value[:end],
            mine[:end],
            realised[step],
            rollout.key[:end] if clustered else None,
            step,
        )
        s, v, w = (sum(part[at] for part in found.values()) for at in range(3))
        if log_e_difference(s, v, w, against=0.0, side="above") >= limit:
            return True
    return False
