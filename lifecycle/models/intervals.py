"""Intervals on a scale where they cannot leave a figure's range.

>>> low, high = interval_of(Estimate(0.9, np.array([0.05]), np.inf), "unit", 0.95)
>>> round(low, 3), round(high, 3)
(0.752, 0.964)
"""

import numpy as np
from scipy.special import expit, logit, ndtri, stdtrit

from lifecycle.models.influence import Estimate


def interval_of(estimate: Estimate, scale: str, level: float) -> tuple[float | None, float | None]:
    """The interval with Student's quantile by the rows that carry the figure.

    >>> none = Estimate(0.5, np.array([np.nan]), 1.0)
    >>> interval_of(none, "free", 0.95)
    (None, None)

    Args:
        estimate: value, contributions, and how many rows carry it.
        scale: the range that it keeps: unit (0 … 1), wilson (a plain share), positive, below_one,
            free.
        level: two-sided.

    Returns:
        Low and high; None where one row alone carries it.
    """
    value, error, rows = estimate.value, estimate.error, estimate.rows
    if not np.isfinite(error) or rows <= 1.0:
        return None, None
    reach = float(stdtrit(max(rows - 1.0, 1.0), 0.5 + level / 2.0))
    if scale == "wilson" or (scale == "unit" and (value <= 0.0 or value >= 1.0)):
        return _wilson(value, rows, float(ndtri(0.5 + level / 2.0)))
    if scale == "unit":
        middle, spread = float(logit(value)), reach * error / (value * (1.0 - value))
        return float(expit(middle - spread)), float(expit(middle + spread))
    if scale == "positive" and value > 0.0:
        factor = float(np.exp(min(reach * error / value, 700.0)))
        return value / factor, value * factor
    if scale == "below_one" and value < 1.0:
        rest = 1.0 - value
        factor = float(np.exp(min(reach * error / rest, 700.0)))
        return 1.0 - rest * factor, 1.0 - rest / factor
    return value - reach * error, value + reach * error


def _wilson(share: float, rows: float, z: float) -> tuple[float, float]:
    """Wilson 1927: the interval of a share, honest at 0 and 1."""
    squared = z**2
    middle = (share + squared / (2.0 * rows)) / (1.0 + squared / rows)
    half = z * np.sqrt(share * (1.0 - share) / rows + squared / (4.0 * rows**2))
    half = float(half) / (1.0 + squared / rows)
    return max(middle - half, 0.0), min(middle + half, 1.0)
