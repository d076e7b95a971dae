"""What a request asks, once it is decoded.

>>> Rows({"age": np.array([31.0])}, 1).count
1
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lifecycle.models.predicting import Array, Columns


@dataclass(slots=True)
class Rows:
    """What a request asks: n rows of model inputs and what goes to the log with them.

    Attributes:
        columns: one array of length n for every feature, in the signature's order.
        count: n, at least 1.
        time: the rows' own times in UTC, datetime64[us] of length n; None: not sent.
        key: the rows' keys, length n; None: not sent.
        params: the request's `params`, checked, with the signature's defaults; None: not sent.
    """

    columns: Columns
    count: int
    time: Array | None = None
    key: list[str | None] | None = None
    params: dict[str, Any] | None = None

    def keys(self, routed: str | None) -> str | list[str | None] | None:
        """The rows' keys for the log: their own, else the routing key."""
        if self.key is None:
            return routed
        return self.key if routed is None else [item or routed for item in self.key]


def moments(asked: Sequence[Rows], now: int) -> int | Array:
    """The times of all rows of some requests: their own, else now.

    >>> moments([Rows({}, 2), Rows({}, 1)], 1_790_000_000_000_000)
    1790000000000000

    Args:
        asked: the requests' rows, in the order of the answer.
        now: microseconds since 1970.
    """
    if all(rows.time is None for rows in asked):
        return now
    moment = np.datetime64(now, "us")
    return np.concatenate(
        [np.full(rows.count, moment) if rows.time is None else rows.time for rows in asked]
    )
