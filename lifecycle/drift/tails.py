"""Chances of values at least as extreme as one seen, without the cost of `scipy.stats`.

>>> round(two_sided(1.96), 4), round(two_sided(1.96, freedom=5.0), 4)
(0.05, 0.1073)
>>> round(hypergeometric(2, total=10, marked=4, drawn=3), 6)  # two or three of three
0.333333

The figures are those of `scipy.stats` (the tests compare them); its distributions cost 50 to 100
microseconds a call, which is what a whole column may cost here.
"""

import numpy as np
from scipy import special

from lifecycle.drift.cells import Floats

FAR = 45.0  # standard deviations behind which a tail holds nothing that a float can tell


def two_sided(z: float, freedom: float = np.inf) -> float:
    """Chance of a t value at least as far from zero as `z`; normal with infinite freedom."""
    low = -abs(z)
    return float(2 * (special.stdtr(freedom, low) if np.isfinite(freedom) else special.ndtr(low)))


def two_sided_z(z: Floats) -> Floats:
    """The same of normal values, shape (n,)."""
    return np.asarray(2 * special.ndtr(-np.abs(z)), dtype=np.float64)


def limit(chance: float, freedom: float = np.inf) -> float:
    """The value that a t value exceeds with this chance."""
    if np.isfinite(freedom):
        return float(-special.stdtrit(freedom, chance))
    return float(-special.ndtri(chance))


def chi_squared(value: float, freedom: float) -> float:
    """Chance of a chi-squared value of at least `value`."""
    return float(special.chdtrc(freedom, max(0.0, value)))


def fisher(value: float, above: float, below: float) -> float:
    """Chance of an F value of at least `value`."""
    if not np.isfinite(below) or below >= 1e6:
        return chi_squared(value * above, above)
    return float(special.fdtrc(above, below, max(0.0, value)))


def negative_binomial(least: int, successes: float, chance: float) -> float:
    """Chance of at least `least` failures before the given number of successes."""
    return float(special.betainc(least, successes, 1 - chance)) if least > 0 else 1.0


def hypergeometric(least: int, *, total: int, marked: int, drawn: int) -> float:
    """Chance of at least `least` marked ones among those drawn."""
    low, high = max(0, marked + drawn - total), min(marked, drawn)
    if least <= low:
        return 1.0
    if least > high:
        return 0.0
    mean = drawn * marked / total
    wide = (mean * (1 - marked / total) * (total - drawn) / max(1, total - 1)) ** 0.5
    reach = int(FAR * (wide + 1)) + FAR_ROWS
    if least > mean:
        return _mass(least, min(high, least + reach), total, marked, drawn)
    return max(0.0, 1 - _mass(max(low, least - 1 - reach), least - 1, total, marked, drawn))


FAR_ROWS = 50


def _mass(first: int, last: int, total: int, marked: int, drawn: int) -> float:
    """Chance of `first` … `last` marked ones; the first or last is the likeliest of them."""
    held = np.arange(first, last + 1, dtype=np.float64)
    # the ratio of neighbouring chances, and one chance by its logarithm
    ratio = (marked - held[:-1]) * (drawn - held[:-1])
    ratio /= (held[:-1] + 1) * (total - marked - drawn + held[:-1] + 1)
    start = _log_choose(marked, first) + _log_choose(total - marked, drawn - first)
    start -= _log_choose(total, drawn)
    logs = start + np.concatenate(([0.0], np.cumsum(np.log(ratio))))
    return float(min(1.0, np.exp(logs).sum()))


def _log_choose(whole: float, part: float) -> float:
    found = special.gammaln(whole + 1) - special.gammaln(part + 1)
    return float(found - special.gammaln(whole - part + 1))


def bounded(z: float, deviation: float, low: float, high: float) -> float:
    """The normal value that is as unlikely as `z` is for a mean that cannot leave its bounds.

    >>> round(bounded(3.5, 0.1, -0.3, 1.0), 2), bounded(-2.0, 0.1, -0.3, 1.0)
    (3.03, -2.0)

    A beta law with that deviation is as skewed as its bounds lie unevenly. Only a tail that this
    makes heavier is corrected.

    Args:
        z: the mean's distance from what is expected, in deviations.
        deviation: the mean's standard deviation.
        low: smallest value a row can have, less what is expected; below 0.
        high: largest value.
    """
    if z < 0:
        return -bounded(-z, deviation, -high, -low)
    width = high - low
    if z < 1 or deviation <= 0 or low >= 0 or high <= 0:
        return z
    middle = -low / width
    size = middle * (1 - middle) * (width / deviation) ** 2 - 1
    if size <= 0:
        return z
    place = min(1.0, middle + z * deviation / width)
    tail = float(special.betaincc(middle * size, (1 - middle) * size, place))
    return min(z, float(-special.ndtri(max(tail, 1e-300))))
