"""How strongly counts speak for a ratio of rates, whenever one looks: e-processes of events.

>>> steps = [(12, 400, 0.01), (130, 1500, 0.05)]  # challenger's events, champion's, share
>>> log_e(steps, against=1.0, side="above") > math.log(20)  # at alpha 0.05 the harm is proven
True
>>> estimate, low, high = ratio_interval(steps, 0.05)
>>> low < estimate < high
True

Given that an event happens to a unit of either arm, it is the challenger's with the probability
p·r / (p·r + 1 - p), where p is its share of the units at risk and r the ratio of the two rates. The
base rate cancels, so neither its drift nor a change of the share does any harm. Evidence is the
mixture of likelihood ratios over a grid of ratios; under the hypothesis `against` it ever exceeds
1/alpha with a probability of alpha at most (Ville), at whichever looks. All evidence is a natural
logarithm.

The share is the realised one. Given how many units were in each arm and how many events happened,
identical arms share them as a hypergeometric draw, and any such draw has a smaller mean evidence
than the binomial draw at the realised share (Hoeffding 1963, theorem 4): to estimate the share from
the counts costs no validity at a look, and no units in an arm are no evidence.

Sources: Lindon & Malek, NeurIPS 2022 (arXiv 2011.03567); ter Schure, Perez-Ortiz, Ly & Grünwald,
the safe logrank test (arXiv 2011.06931), of which this is the form in blocks; Ramdas et al.,
Statistical Science 2023; Waudby-Smith & Ramdas, JRSS-B 2024.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Counts = tuple[int, int, float]  # challenger's events, champion's events, challenger's share
Side = Literal["above", "below", "both"]
Floats = NDArray[np.float64]

# Alternatives as multiples of the hypothesis, with weights. Most weight is where a canary can
# be found out early; those near 1 let the interval become as narrow as the counts allow.
ABOVE: tuple[tuple[float, float], ...] = (
    (1.02, 0.1), (1.06, 0.2), (1.15, 0.4), (1.3, 0.8), (1.75, 3.0), (3.0, 1.5), (5.0, 2.0),
    (20.0, 0.2),
)  # fmt: skip
# of a rate below a bound, as multiples of the bound
RATES: tuple[tuple[float, float], ...] = ((0.0, 2.0), (0.1, 2.0), (0.3, 1.0), (0.6, 1.0))
# of the odds of a share
ODDS: tuple[tuple[float, float], ...] = tuple(
    (factor, weight)
    for up, weight in ((1.02, 1.0), (1.05, 1.0), (1.1, 1.0), (1.3, 1.0), (2.0, 1.0), (5.0, 0.5))
    for factor in (up, 1.0 / up)
)
EQUAL = 0.7  # weight of "the arms are equal" where that is an alternative
RATIO = 0.8  # weight of the ratio in a certificate; the rest is the rate's
POINTS = 64  # at which a ratio is looked for at once
FARTHEST = 60.0  # of the logarithm of a ratio: beyond it no count tells anything


def log_e(steps: Sequence[Counts], *, against: float, side: Side) -> float:
    """Evidence against the hypothesis that the ratio of rates is `against`, or on its other side.

    >>> log_e([], against=1.0, side="above")
    0.0

    Args:
        steps: challenger's events, champion's events and challenger's share of the units at risk,
            one a step (or block): within it the share is constant.
        against: the ratio that is to be refuted.
        side: where the truth would lie: `above` refutes all ratios up to `against`.

    Returns:
        the natural logarithm of the e-value; -inf when the counts rule the alternatives out.
    """
    ours, theirs, share = _columns(steps)
    return float(log_e_arrays(ours, theirs, share, against=against, side=side))


def log_e_arrays(
    ours: ArrayLike,
    theirs: ArrayLike,
    share: ArrayLike,
    *,
    against: float | Floats,
    side: Side,
) -> Floats:
    """`log_e` of many rollouts at once.

    Args:
        ours: challenger's events, shape (..., steps).
        theirs: champion's events, likewise.
        share: challenger's share of the units at risk, 0 … 1, likewise.
        against: as in `log_e`; of two sides also many, shape (n, 1) with counts of the shape
            (steps,).
        side: as in `log_e`.

    Returns:
        shape (...), or (n,).
    """
    k, p = np.asarray(ours, float), np.asarray(share, float)
    total, mine = k + np.asarray(theirs, float), k.sum(axis=-1)
    factors, weights = zip(*_alternatives(against, side), strict=True)
    base = p * against + (1.0 - p)
    axes = max(total.ndim, base.ndim)
    each = np.reshape(factors, (-1, *[1] * axes))  # alternatives along a new first axis
    moved = np.log((p * against * each + (1.0 - p)) / base)
    found = mine * np.log(each[..., 0]) - (total * moved).sum(axis=-1)
    return log_mean(found, weights)


def _alternatives(against: float | Floats, side: Side) -> list[tuple[float, float]]:
    below = [(1.0 / factor, weight) for factor, weight in ABOVE]
    if side == "both":  # the same grid at each hypothesis, so that the interval is one
        return [*ABOVE, *below]
    grid = list(ABOVE) if side == "above" else below
    equal = 1.0 / float(against)
    if (equal > 1.0) == (side == "above") and equal != 1.0:
        heavy = sum(weight for _, weight in grid) * EQUAL / (1.0 - EQUAL)
        grid.append((equal, heavy))
    return grid


def log_mean(values: Floats, weights: Sequence[float]) -> Floats:
    """The logarithm of the weighted mean of exp(values) over the first axis, without overflow."""
    shares = np.log(np.asarray(weights, float) / math.fsum(weights))
    shifted = values + shares.reshape(-1, *([1] * (values.ndim - 1)))
    top = shifted.max(axis=0)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        found: Floats = np.log(np.exp(shifted - safe).sum(axis=0)) + safe
    return np.where(np.isposinf(top), np.inf, found)


def ratio_interval(steps: Sequence[Counts], alpha: float) -> tuple[float, float, float]:
    """The likeliest ratio of rates, and all ratios that the counts do not refute.

    >>> ratio_interval([(0, 0, 0.5)], 0.05)
    (nan, 0.0, inf)

    Args:
        steps: as in `log_e`.
        alpha: the interval ever misses the true ratio with this probability at most.

    Returns:
        estimate, low, high; the estimate is not a number where nothing happened that tells.
    """
    ours, theirs, share = _columns(steps)
    telling = (ours + theirs > 0) & (share > 0.0) & (share < 1.0)
    ours, theirs, share = ours[telling], theirs[telling], share[telling]
    if not telling.any():
        return math.nan, 0.0, math.inf
    estimate = _likeliest(ours, theirs, share)
    limit = math.log(1.0 / alpha)

    def refuted(log_ratios: Floats) -> NDArray[np.bool_]:
        against = np.exp(log_ratios)[:, None]
        found = log_e_arrays(ours, theirs, share, against=against, side="both")
        return np.asarray(found >= limit)

    centre = min(max(math.log(estimate) if estimate > 0 else -FARTHEST, -FARTHEST), FARTHEST)
    low, high = _edges(refuted, centre)
    return (
        estimate,
        0.0 if low <= -FARTHEST else math.exp(low),
        math.inf if high >= FARTHEST else math.exp(high),
    )


def _likeliest(ours: Floats, theirs: Floats, share: Floats) -> float:
    """The root of the score: events expected of the challenger are those seen."""
    mine = float(ours.sum())
    if mine <= 0.0:
        return 0.0
    if float(theirs.sum()) <= 0.0:
        return math.inf
    low, high = -FARTHEST, FARTHEST
    odds, total = np.log(share) - np.log1p(-share), ours + theirs
    for _ in range(6):
        points = np.linspace(low, high, POINTS)
        with np.errstate(over="ignore"):
            expected = (total / (1.0 + np.exp(-(odds + points[:, None])))).sum(axis=1)
        at = min(max(int(np.searchsorted(expected, mine)), 1), POINTS - 1)
        low, high = float(points[at - 1]), float(points[at])
    return math.exp((low + high) / 2.0)


def _edges(refuted: Callable[[Floats], NDArray[np.bool_]], centre: float) -> tuple[float, float]:
    """Where the ratios begin that are refuted, below and above the estimate; a little beyond."""
    inside, outside = np.full(2, centre), np.array([-FARTHEST, FARTHEST])
    for _ in range(4):
        points = np.linspace(inside, outside, POINTS, axis=1)
        held = ~refuted(points.ravel()).reshape(points.shape)
        for side in range(2):
            last = int(np.flatnonzero(held[side])[-1]) if held[side].any() else 0
            inside[side] = points[side, last]
            outside[side] = points[side, min(last + 1, POINTS - 1)]
    return float(outside[0]), float(outside[1])


def log_e_rate(units: int, events: int, *, below: float) -> float:
    """Evidence that the rate of events is below a bound.

    >>> log_e_rate(4000, 0, below=0.002) > math.log(20), log_e_rate(0, 0, below=0.002)
    (True, 0.0)

    Args:
        units: all that could have had an event.
        events: those that had.
        below: the bound, 0 … 1; rates of `below` and more are refuted.
    """
    return float(log_e_rate_arrays(units, events, below=below))


def log_e_rate_arrays(units: ArrayLike, events: ArrayLike, *, below: float) -> Floats:
    """`log_e_rate` of many rollouts at once; shapes broadcast."""
    n, x = np.broadcast_arrays(np.asarray(units, float), np.asarray(events, float))
    if not 0.0 < below < 1.0:
        return np.zeros(n.shape)
    found = []
    for factor, _ in RATES:
        hit = x * math.log(factor) if factor else np.where(x > 0, -np.inf, 0.0)
        found.append(hit + (n - x) * (math.log1p(-below * factor) - math.log1p(-below)))
    return log_mean(np.stack(found), [weight for _, weight in RATES])


def log_e_certificate(
    ours: ArrayLike,
    theirs: ArrayLike,
    share: ArrayLike,
    *,
    units: ArrayLike,
    events: ArrayLike,
    margin: float,
    negligible: float,
) -> Floats:
    """Evidence that a challenger is less than `margin` times worse, or has as good as no events.

    The hypothesis that is refuted: the ratio of rates is `margin` or more, and the challenger's own
    rate is `margin` times `negligible` or more. The evidence is the mean of both e-values with the
    weights `RATIO` and `1 - RATIO`, and so an e-value itself.

    >>> counts = {"units": 5000, "events": 0}
    >>> found = log_e_certificate([0], [0], [0.5], margin=2.0, negligible=0.002, **counts)
    >>> bool(found > math.log(20))
    True

    Args:
        ours: as in `log_e_arrays`, shape (..., steps).
        theirs: likewise.
        share: likewise.
        units: of the challenger in all steps, also where the champion has none, shape (...).
        events: likewise.
        margin: how many times worse is still allowed.
        negligible: a rate that counts as none.
    """
    ratio = log_e_arrays(ours, theirs, share, against=margin, side="below")
    rate = log_e_rate_arrays(units, events, below=margin * negligible)
    return log_mean(np.stack([ratio, rate]), (RATIO, 1.0 - RATIO))


def log_e_sample(steps: Sequence[tuple[int, int, float]]) -> float:
    """Evidence that units do not fall to an arm as planned (a sample-ratio mismatch).

    >>> log_e_sample([(500, 500, 0.5)]) < 0 < log_e_sample([(600, 400, 0.5)])
    True

    A key stays in its arm when the share rises, so it counts at the step where it was met first and
    nowhere else; else the steps would not be independent of each other.

    Args:
        steps: units in the arm, units elsewhere, planned share; one a step.
    """
    arm, rest, planned = _columns(steps)
    return float(log_e_sample_arrays(arm, rest, planned))


def log_e_sample_arrays(arm: ArrayLike, rest: ArrayLike, planned: ArrayLike) -> Floats:
    """`log_e_sample` of many rollouts at once, shape (..., steps) to (...)."""
    a, b, p = (np.asarray(item, float) for item in (arm, rest, planned))
    fixed = (p <= 0.0) | (p >= 1.0)  # an arm that gets all or nothing tells nothing of chance
    a, total = np.where(fixed, 0.0, a), np.where(fixed, 0.0, a + b)
    found = [
        (a * math.log(factor) - total * np.log(p * factor + (1.0 - p))).sum(axis=-1)
        for factor, _ in ODDS
    ]
    return log_mean(np.stack(found), [weight for _, weight in ODDS])


def _columns(steps: Sequence[tuple[float, float, float]]) -> tuple[Floats, Floats, Floats]:
    table = np.asarray(steps, float).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]
