"""Thompson sampling: an arm's share is the probability that it is the best, above a floor.

>>> from lifecycle.records import Arm
>>> from lifecycle.rollout.guards import parse
>>> arms = (Arm("champion", 7, 0.5), Arm("challenger", 8, 0.5))
>>> spec = RolloutSpec("churn", "ab", arms, metric="errors", allocation="thompson", salt="r1")
>>> tallies = [
...     Tally("errors", "champion", 0, units=900, events=90),
...     Tally("errors", "challenger", 0, units=900, events=40),
... ]
>>> probabilities = best(spec, 0, tallies, parse("errors"))
>>> probabilities[1] > 0.99, shares(probabilities)
(True, (0.1, 0.9))

Each arm's effect against the champion has a normal posterior. Of events the effect is the logarithm
of the Mantel-Haenszel ratio of rates over steps and blocks of time, with the variance of Greenland
& Robins (1985), of numbers the mean difference: both compare within a step, so that a base rate
that moves while shares move does not pass for an effect, which pooled rates of arms would. The
prior is a normal one around "no effect".

The shares are fixed within a step and logged with it. Evidence holds each step at its own realised
shares, so it stays valid however the shares were chosen from what was seen before.

Source: Thompson, Biometrika 1933; Chapelle & Li, NeurIPS 2011.
"""

import math
from collections.abc import Sequence
from hashlib import blake2b
from random import Random
from statistics import NormalDist

from lifecycle.records import RolloutSpec, Tally
from lifecycle.rollout.guards import Watched

DRAWS = 1000
FLOOR = 0.1  # share that each arm keeps; of more than five arms half an equal share
PRIOR = 1.0  # standard deviation of the logarithm of a ratio, before anything was seen
LEAST = 0.05  # a smaller change of shares is not worth an entry in the ledger


def best(
    spec: RolloutSpec, step: int, tallies: Sequence[Tally], metric: Watched
) -> tuple[float, ...]:
    """The probability that each arm is the best, the champion first; replayable.

    Args:
        spec: its salt, with the step, seeds the draws.
        step: the present step.
        tallies: of the metric; others are left out.
        metric: says in which direction it is better.
    """
    counted = [item for item in tallies if item.guard == metric.text]
    champion = spec.arms[0].name
    posteriors = [_posterior(counted, champion, arm.name, metric) for arm in spec.arms[1:]]
    seed = blake2b(f"{spec.salt}:{step}".encode("utf-8", "surrogatepass"), digest_size=8)
    draws = Random(int.from_bytes(seed.digest(), "big"))  # noqa: S311 - shares, not secrets
    normal, wins = NormalDist(), [0] * len(spec.arms)
    for _ in range(DRAWS):
        drawn = [
            mean + spread * normal.inv_cdf((draws.getrandbits(52) + 0.5) / 2**52)
            for mean, spread in posteriors
        ]
        top = max(drawn)
        wins[0 if top <= 0.0 else 1 + drawn.index(top)] += 1
    return tuple(item / DRAWS for item in wins)


def shares(probabilities: Sequence[float]) -> tuple[float, ...]:
    """The arms' shares for their probabilities to be the best; each keeps the floor.

    >>> shares((0.0, 0.25, 0.75))
    (0.1, 0.275, 0.625)
    """
    arms = len(probabilities)
    floor = min(FLOOR, 0.5 / arms)
    others = [round(floor + (1.0 - arms * floor) * item, 3) for item in probabilities[1:]]
    return (round(1.0 - math.fsum(others), 12), *others)


def worth(now: Sequence[float], wanted: Sequence[float]) -> bool:
    """Whether shares differ by enough for a new step.

    >>> worth((0.5, 0.5), (0.48, 0.52)), worth((0.5, 0.5), (0.4, 0.6))
    (False, True)
    """
    return max(abs(one - two) for one, two in zip(now, wanted, strict=True)) >= LEAST


def _posterior(
    tallies: Sequence[Tally], champion: str, arm: str, metric: Watched
) -> tuple[float, float]:
    """Mean and standard deviation of how much better an arm is than the champion."""
    if metric.kind == "event":
        effect, variance, prior = _log_ratio(tallies, champion, arm)
    else:
        effect, variance, prior = _difference(tallies, arm)
    if not math.isfinite(variance) or variance <= 0.0:
        return 0.0, math.sqrt(prior) if prior > 0.0 else 1.0
    precision = 1.0 / variance + 1.0 / prior
    return -metric.guard.worse * effect / variance / precision, math.sqrt(1.0 / precision)


def _log_ratio(tallies: Sequence[Tally], champion: str, arm: str) -> tuple[float, float, float]:
    """Logarithm of the ratio of rates, its variance, the variance of the prior."""
    cells = {(item.arm, item.step, item.block): item for item in tallies}
    up = down = spread = 0.5  # half an event in each arm, so that no event is no certainty
    for (name, step, block), mine in cells.items():
        theirs = cells.get((champion, step, block))
        if name != arm or theirs is None or not mine.units or not theirs.units:
            continue
        units = mine.units + theirs.units
        up += mine.events * theirs.units / units
        down += theirs.events * mine.units / units
        both = (mine.events + theirs.events) * mine.units * theirs.units
        spread += (both / units - mine.events * theirs.events) / units
    return math.log(up / down), spread / (up * down), PRIOR**2


def _difference(tallies: Sequence[Tally], arm: str) -> tuple[float, float, float]:
    """Mean difference, its variance, the variance of the prior: that of a single value."""
    s, v, w = (
        math.fsum(getattr(item, name) for item in tallies if item.arm == arm) for name in "svw"
    )
    if w <= 0.0 or v <= 0.0:
        return 0.0, math.inf, 1.0
    return s / w, v / w**2, v / w
