"""The numeric guard: logarithms of latencies, in the sums of `lifecycle.rollout.numbers`.

>>> found = measured(np.random.default_rng(0), 2, 20, lognormal)
>>> found["ours"].shape
(2,)

A rollout has 1,000 requests a look on the fixed schedule of `arrivals`. Latencies are log-normal
with a standard deviation of 0.75 of the logarithm: their 99th percentile is 5.7 times the median.
"""

from collections.abc import Callable

import numpy as np
from arrivals import LOOK, LOOKS, RNG, SHARES, Array, steps_of
from deciders import ALPHA, first, judged
from scipy.special import ndtri

from lifecycle.rollout.numbers import before, log_e_differences

SPREAD = 0.75
CHUNK = 10  # rollouts at a time, that fit into the processor's cache
Draw = Callable[[RNG, tuple[int, int]], Array]


def lognormal(rng: RNG, size: tuple[int, int]) -> Array:
    """Logarithms of latencies, the same throughout."""
    return rng.standard_normal(size) * SPREAD


def drifting_level(rng: RNG, size: tuple[int, int]) -> Array:
    """The level doubles in the course of a rollout, with jumps by a half for a while."""
    at = np.linspace(0.0, size[1] / (LOOKS * LOOK), size[1])
    jumps = 0.4 * ((at * 7 + rng.random((size[0], 1))) % 1.0 < 0.2)
    return lognormal(rng, size) + np.log(2.0) * at + jumps


def heavy(rng: RNG, size: tuple[int, int]) -> Array:
    """Latencies with Pareto tails of index 1: not even they have a mean, their logarithms have."""
    return rng.standard_exponential(size)


def wild(rng: RNG, size: tuple[int, int]) -> Array:
    """Numbers themselves of infinite variance (Student's t with 1.8 degrees of freedom)."""
    return rng.standard_t(1.8, size)


def measured(
    rng: RNG, rollouts: int, looks: int, draw: Draw, *, slower: float = 1.0
) -> dict[str, Array]:
    """The look at which each rule rolls back, as in `deciders`.

    Args:
        rng: of all.
        rollouts: how many.
        looks: each of 1,000 requests.
        draw: the champion's values.
        slower: what the challenger's latencies are multiplied by.
    """
    parts: list[dict[str, Array]] = []
    step = steps_of(looks)
    planned = np.repeat(np.asarray(SHARES)[step], LOOK)
    for start in range(0, rollouts, CHUNK):
        size = (min(CHUNK, rollouts - start), looks * LOOK)
        mine = rng.random(size) < planned
        values = draw(rng, size) + np.log(slower) * mine
        parts.append(_judged(values, mine, step))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def sums(values: Array, mine: Array, step: Array) -> tuple[Array, Array, Array, Array]:
    """S, sum of Z², sum of its expected values, and W at each look: (rollouts, looks) each.

    With them `lifecycle.rollout.numbers.contrast` makes S, V and W of each look's requests.
    """
    shape = (len(values), step.size, LOOK)
    rest = (values - before(values)).reshape(shape)
    arm = mine.reshape(shape)
    inside = (step[:, None] == np.arange(step.max() + 1)).astype(float)

    def until(terms: Array) -> Array:
        return np.cumsum(terms.sum(axis=-1)[..., None] * inside, axis=1)

    squares = rest**2
    units, size = until(arm.astype(float)), until(np.ones(shape))
    share = np.divide(units, size, out=np.zeros_like(units), where=size > 0)
    own, all_squares = until(squares * arm), until(squares)
    s = until(rest * arm) - share * until(rest)
    z_squares = own * (1.0 - 2.0 * share) + share**2 * all_squares
    chance = share * (1.0 - share)
    return (
        s.sum(axis=-1),
        z_squares.sum(axis=-1),
        (chance * all_squares).sum(axis=-1),
        (chance * size).sum(axis=-1),
    )


def _judged(values: Array, mine: Array, step: Array) -> dict[str, Array]:
    s, squares, expected, w = sums(values, mine, step)
    v = (squares + 2.0 * expected) / 3.0
    limit = np.log(1.0 / ALPHA)
    shape = (len(values), step.size, LOOK)
    arm, each = mine.reshape(shape), values.reshape(shape)
    units = arm.sum(axis=-1)
    ours, theirs = (each * arm).sum(axis=-1), (each * ~arm).sum(axis=-1)
    pooled = [np.cumsum(item, axis=1) for item in (units, LOOK - units, ours, theirs)]
    spread = np.cumsum((each**2).sum(axis=-1), axis=1) / np.cumsum(np.full(step.size, LOOK))
    with np.errstate(divide="ignore", invalid="ignore"):
        off = pooled[2] / pooled[0] - pooled[3] / pooled[1]
        error = np.sqrt(spread * (1.0 / pooled[0] + 1.0 / pooled[1]))
        minutes = np.exp(ours / np.maximum(units, 1)), np.exp(theirs / np.maximum(LOOK - units, 1))
        z = np.nan_to_num(off / error)
    return {
        "z-test at each look": first(z > ndtri(1.0 - ALPHA)),
        "Mann-Whitney every 30 min (Kayenta)": judged(*minutes),
        "normal mixture, V = sum of squares": first(
            log_e_differences(s, squares, w, against=0.0, side="above") >= limit
        ),
        "ours": first(log_e_differences(s, v, w, against=0.0, side="above") >= limit),
    }
