"""Stretches of time whose rows may go together: what labelled rows of a day or two share.

>>> from datetime import datetime
>>> times = pl.Series([datetime(2026, 1, 1 + day) for day in range(28)])
>>> time_blocks(times).tolist()[:6], inflation(np.tile([1.0, -1.0], 14), time_blocks(times))
([0, 0, 1, 2, 2, 3], 1.0)

Late flights come on the same days, fraud in waves: the figures of a window of such rows have a
larger error than as many independent rows would. The window is cut into 20 stretches of equal time,
which are taken as independent (batch means; Geyer 1992, doi:10.1214/ss/1177011137); a t
distribution with as many degrees of freedom, less one, makes up for their small number. What goes
together for longer than a stretch is not seen.
"""

from typing import Any

import numpy as np
import polars as pl

from lifecycle.models.influence import Array, stretches

STRETCHES = 20


def time_blocks(times: pl.Series | None) -> Array | None:
    """The stretch of each row, (n,); None where rows have no time or all have the same.

    Args:
        times: (n,) datetimes; the stretches are those of the first to the last.
    """
    if times is None or not times.len() or times.null_count():
        return None
    moments = times.cast(pl.Datetime("us")).to_physical().to_numpy()
    return stretches(moments, STRETCHES)


def freedom(blocks: Array | None) -> float:
    """Degrees of freedom of an error that was measured on stretches; infinite without.

    >>> freedom(np.array([0, 3, 7, 7])), freedom(None)
    (2.0, inf)
    """
    return float(max(1, len(np.unique(blocks)) - 1)) if blocks is not None else np.inf


def inflation(residuals: Any, blocks: Array | None) -> float:
    """How much larger the error of a mean is than that of independent rows, at least 1.

    >>> inflation(np.repeat([1.0, -1.0, 1.0, -1.0], 25), np.repeat(np.arange(4), 25)).__round__(1)
    5.8

    Args:
        residuals: (n,) what has the mean.
        blocks: (n,) stretch of each row; None: rows are independent.
    """
    if blocks is None:
        return 1.0
    values = np.asarray(residuals, dtype=float)
    values = values - values.mean()
    numbers = np.unique(blocks, return_inverse=True)[1]
    sums, squares = np.bincount(numbers, weights=values), float(values @ values)
    if len(sums) < 2 or squares <= 0:
        return 1.0
    together = float(sums @ sums) * len(sums) / (len(sums) - 1)
    return float(np.sqrt(max(1.0, together / squares)))
