"""The rules side by side: when each would roll a challenger back.

>>> from arrivals import counted, steady
>>> seen = counted(np.random.default_rng(0), 3, 20, steady, ratio=10.0)
>>> bool((ours(seen) < 20).all())
True

A rule gives the look of each rollout at which it first decides for a rollback, counted from 0; the
number of looks when it never does.
"""

from collections.abc import Callable

import numpy as np
from arrivals import Array, Seen
from scipy.special import ndtri

from lifecycle.rollout.evidence import log_e_arrays

ALPHA = 0.05
MINUTES = 30  # looks between two of Kayenta's judgements: 1,000 requests a minute
Rule = Callable[[Seen], Array]


def first(alarm: Array) -> Array:
    """The first look with an alarm along the last axis, or how many looks there are."""
    return np.where(alarm.any(axis=-1), alarm.argmax(axis=-1), alarm.shape[-1])


def cumulated(seen: Seen) -> tuple[Array, Array, Array]:
    """Events of both arms and the realised share, by step, at each look: (rollouts, looks, steps).

    The arguments of `log_e_arrays`, as `lifecycle.rollout.weighing` makes them of tallies.
    """
    inside = (seen.step[:, None] == np.arange(seen.step.max() + 1)).astype(float)

    def until(counts: Array) -> Array:
        return np.cumsum(counts[..., None] * inside, axis=1)

    units, rest = until(seen.units), until(seen.champion_units)
    both = (units > 0) & (rest > 0)
    share = np.divide(units, units + rest, out=np.zeros_like(units), where=both)
    return until(seen.events) * both, until(seen.champion_events) * both, share


def harm(seen: Seen) -> Array:
    """Our evidence of harm at each look."""
    return log_e_arrays(*cumulated(seen), against=1.0, side="above")


def ours(seen: Seen, sharing: int = 1) -> Array:
    """The event-ratio e-process, alpha split over guards."""
    return first(harm(seen) >= np.log(sharing / ALPHA))


def _failing(seen: Seen, success: float) -> Array:
    """Whether the challenger's success rate since the last look is too low."""
    rate = np.divide(seen.events, seen.units, out=np.zeros(seen.units.shape), where=seen.units > 0)
    return 1.0 - rate < success


def argo(seen: Seen) -> Array:
    """Argo Rollouts' documented analysis: at least 95 %, fails after more than 3 failures."""
    return first(np.cumsum(_failing(seen, 0.95), axis=1) > 3)


def flagger(seen: Seen) -> Array:
    """Flagger: at least 97 %, 10 failed checks."""
    return first(np.cumsum(_failing(seen, 0.97), axis=1) >= 10)


def _pooled(seen: Seen) -> tuple[Array, Array]:
    """The difference of the rates of all requests so far, and its variance under equality."""
    totals = [
        np.cumsum(item, axis=1).astype(float)
        for item in (seen.units, seen.events, seen.champion_units, seen.champion_events)
    ]
    units, events, rest, others = totals
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (events + others) / (units + rest)
        variance = pooled * (1.0 - pooled) * (1.0 / units + 1.0 / rest)
        return np.nan_to_num(events / units - others / rest), variance


def z_test(seen: Seen) -> Array:
    """A one-sided z-test of the pooled rates at each look."""
    off, variance = _pooled(seen)
    with np.errstate(divide="ignore", invalid="ignore"):
        return first(np.nan_to_num(off / np.sqrt(variance)) > ndtri(1.0 - ALPHA))


def msprt(seen: Seen, spread: float = 0.01) -> Array:
    """The mixture SPRT of the pooled difference (Johari et al.), mixed over 1 percentage point."""
    off, variance = _pooled(seen)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        wide = variance + spread**2
        evidence = 0.5 * np.log(variance / wide) + spread**2 * off**2 / (2.0 * variance * wide)
    return first((np.nan_to_num(evidence, neginf=0.0) >= np.log(1.0 / ALPHA)) & (off > 0))


def kayenta(seen: Seen) -> Array:
    """Kayenta's Mann-Whitney judge: 30 rates of a minute each, 98 % confidence, tolerance 25 %."""
    rates = np.divide(seen.events, seen.units, out=np.zeros(seen.units.shape), where=seen.units > 0)
    others = seen.champion_events / np.maximum(seen.champion_units, 1)
    return judged(rates, others)


def judged(values: Array, others: Array) -> Array:
    """`kayenta` of a number a minute in each arm, shape (rollouts, looks)."""
    looks = values.shape[1]
    alarm = np.zeros(values.shape, bool)
    for end in range(MINUTES, looks + 1, MINUTES):
        here = slice(end - MINUTES, end)
        apart = values[:, here, None] - others[:, None, here]
        apart = np.sort(apart.reshape(len(values), -1), axis=1)
        # the confidence limit of the Hodges-Lehmann shift, by the normal approximation
        n = MINUTES
        rank = n * n / 2.0 - ndtri(0.99) * np.sqrt(n * n * (2 * n + 1) / 12.0)
        shift = np.median(apart, axis=1)
        alarm[:, end - 1] = apart[:, max(int(rank), 0)] > np.maximum(0.25 * shift, 0.0)
    return first(alarm)


RULES: dict[str, Rule] = {
    "threshold 95 %, 3 failures (Argo)": argo,
    "threshold 97 %, 10 failed checks (Flagger)": flagger,
    "z-test at each look": z_test,
    "mSPRT, pooled": msprt,
    "Mann-Whitney every 30 min (Kayenta)": kayenta,
    "**event-ratio e-process (ours)**": ours,
}
