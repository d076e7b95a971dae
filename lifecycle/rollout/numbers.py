"""How strongly numbers (latency, a score) speak for a difference of means, whenever one looks.

>>> rng = np.random.default_rng(0)
>>> arm = rng.random(20_000) < 0.05
>>> values = rng.normal(3.0, 0.5, 20_000) + 0.2 * arm
>>> s, v, w = contrast(values, arm, np.full(20_000, arm.mean()))
>>> log_e_difference(s, v, w, against=0.0, side="above") > math.log(20)
True
>>> low, high = difference_interval(s, v, w, 0.05)
>>> low < 0.2 < high
True

A request with the value y adds (A - p)·(y - m) to S, where A says whether the challenger answered,
p is its share, and m the mean of the requests before it. Identical arms get A by chance alone, so
that the sum has the mean 0 whatever the values are and however they drift; a difference of d adds
d·W on average, W = sum of p·(1 - p).

V = (sum of Z² + 2·sum of p·(1 - p)·(y - m)²) / 3 is such that exp(λS - λ²V/2) is a supermartingale
for every λ and any values of finite variance (Delyon 2009; Howard et al., Probability Surveys 2020,
table 3): for identical arms the test needs no large samples, which at a share of 1 % there are not.
The mixture over λ is normal with the precision rho (one-sided: half of it). The interval, and the
certificate against a margin, are asymptotic (Waudby-Smith et al., arXiv 2103.06476).

Requests of one key are one draw: their terms are added up before they are squared.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Side = Literal["above", "below", "both"]
Floats = NDArray[np.float64]

WINDOW = 500  # requests before, whose mean is taken off: it follows the hours of a day
TARGET = 20.0  # W at which the mixture is at its best, in which differences are searched


def contrast(
    values: ArrayLike,
    arm: ArrayLike,
    share: ArrayLike,
    units: Sequence[object] | NDArray[np.generic] | None = None,
) -> tuple[float, float, float]:
    """The sums S, V and W of requests in the order of time.

    Args:
        values: a number a request; those that are not finite are left out.
        arm: whether the challenger answered it.
        share: the realised share of the challenger at its step, one number or one a request.
        units: whose request it is, any labels; None: each is its own.
    """
    found = contrasts(values, arm, share, units, np.zeros(np.shape(values), int))
    return found.get(0, (0.0, 0.0, 0.0))


def contrasts(
    values: ArrayLike,
    arm: ArrayLike,
    share: ArrayLike,
    units: Sequence[object] | NDArray[np.generic] | None,
    steps: ArrayLike,
) -> dict[int, tuple[float, float, float]]:
    """`contrast` of each step, such that the sums over steps are those of the whole.

    A key is in the same arm at many steps, so what a step adds to V is not what it has alone.

    >>> contrasts([1.0, 2.0], [True, False], 0.5, None, [0, 1])[0][2]
    0.25

    Args:
        values: as in `contrast`, over all steps.
        arm: likewise.
        share: likewise.
        units: likewise.
        steps: of each request, not falling.
    """
    y, step = np.asarray(values, float), np.asarray(steps, int)
    known = np.isfinite(y)
    if not known.any():
        return {}
    p = np.broadcast_to(np.asarray(share, float), y.shape)[known]
    a, step = np.asarray(arm, float)[known], step[known]
    rest = y[known] - before(y[known])
    z = (a - p) * rest
    expected = np.sqrt(p * (1.0 - p)) * rest
    keys = None
    if units is not None:
        _, keys = np.unique(np.asarray(units)[known], return_inverse=True)
    found: dict[int, tuple[float, float, float]] = {}
    booked = 0.0
    for number in np.unique(step):
        now, until = step == number, step <= number
        v = (_squares(z, keys, now, until) + 2.0 * _squares(expected, keys, now, until)) / 3.0 + (
            booked if keys is None else 0.0
        )
        share_now = p[now]
        found[int(number)] = (
            float(z[now].sum()),
            v - booked,
            float((share_now * (1.0 - share_now)).sum()),
        )
        booked = v
    return found


def _squares(
    terms: Floats, keys: NDArray[np.intp] | None, now: NDArray[np.bool_], until: NDArray[np.bool_]
) -> float:
    """The sum of squares of this step, or with keys of the keys' sums so far."""
    if keys is None:
        return float((terms[now] ** 2).sum())
    return float((np.bincount(keys[until], weights=terms[until]) ** 2).sum())


def before(values: Floats, window: int = WINDOW) -> Floats:
    """The mean of at most `window` values before each, along the last axis; the first has its own.

    >>> before(np.array([1.0, 3.0, 5.0]))
    array([1., 1., 2.])
    """
    start = values[..., :1]
    sums = np.cumsum(values - start, axis=-1)  # from the first on: large values lose no digits
    found = np.zeros_like(values)
    early = min(window, values.shape[-1] - 1)
    found[..., 1 : early + 1] = sums[..., :early] / np.arange(1, early + 1)
    if values.shape[-1] > window + 1:
        found[..., window + 1 :] = (sums[..., window:-1] - sums[..., : -window - 1]) / window
    return found + start


def precision(v: ArrayLike, w: ArrayLike, target: float = TARGET) -> Floats:
    """The rho of the mixture: the variance of the values times the W to be at its best at."""
    most, size = np.asarray(v, float), np.asarray(w, float)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found: Floats = np.where(size > 0.0, target * most / size, 0.0)
    return np.where(np.isfinite(found), found, 0.0)


def log_e_difference(
    s: float, v: float, w: float, *, against: float, side: Side, rho: float | None = None
) -> float:
    """Evidence against the hypothesis that the difference is `against`, or on its other side.

    >>> log_e_difference(0.0, 0.0, 0.0, against=0.0, side="above")
    0.0

    Args:
        s: as `contrast` gives it.
        v: likewise.
        w: likewise.
        against: the difference of means, challenger less champion, that is to be refuted.
        side: where the truth would lie.
        rho: of the mixture; None: as `precision` has it.
    """
    return float(log_e_differences(s, v, w, against=against, side=side, rho=rho))


def log_e_differences(
    s: ArrayLike,
    v: ArrayLike,
    w: ArrayLike,
    *,
    against: float,
    side: Side,
    rho: ArrayLike | None = None,
) -> Floats:
    """`log_e_difference` of many rollouts at once; shapes broadcast."""
    size, most = np.asarray(w, float), np.asarray(v, float)
    wide = precision(most, size) if rho is None else np.asarray(rho, float)
    off = np.asarray(s, float) - against * size
    told = (wide > 0.0) & (most > 0.0)
    total = np.where(told, most + wide, 1.0)
    scaled = off / np.sqrt(total)
    found = 0.5 * np.log(np.where(told, wide, 1.0) / total) + scaled**2 / 2.0
    if side != "both":
        sign = 1.0 if side == "above" else -1.0
        found = found + math.log(2.0) + log_normal(sign * scaled)
    return np.where(told, found, 0.0)


def log_normal(x: ArrayLike) -> Floats:
    """The logarithm of the normal distribution function, exact far into the lower tail.

    >>> round(float(log_normal(0.0)), 6), round(float(log_normal(-40.0)), 3)
    (-0.693147, -804.608)
    """
    return np.asarray(_log_normal(np.asarray(x, float)), float)


def _log_normal_one(x: float) -> float:
    if x > -25.0:
        return math.log(0.5 * math.erfc(-x / math.sqrt(2.0)))
    inverse = 1.0 / (x * x)
    series = math.log1p(-inverse + 3.0 * inverse**2 - 15.0 * inverse**3)
    return -x * x / 2.0 - math.log(-x * math.sqrt(2.0 * math.pi)) + series


_log_normal = np.frompyfunc(_log_normal_one, 1, 1)


def difference_interval(
    s: float, v: float, w: float, alpha: float, rho: float | None = None
) -> tuple[float, float]:
    """All differences of means that the numbers do not refute at any look.

    >>> difference_interval(0.0, 0.0, 0.0, 0.05)
    (-inf, inf)

    Args:
        s: as `contrast` gives it.
        v: likewise.
        w: likewise.
        alpha: the interval ever misses the true difference with about this probability at most.
        rho: as in `log_e_difference`.
    """
    wide = float(precision(v, w)) if rho is None else rho
    if w <= 0.0 or v <= 0.0 or wide <= 0.0:  # nothing is known of the spread
        return -math.inf, math.inf
    total = v + wide
    half = math.sqrt(total * math.log(total / (wide * alpha**2)))
    return (s - half) / w, (s + half) / w
