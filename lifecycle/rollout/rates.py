"""Which rates of events the counts refute, whenever one looks.

>>> low, high = rate_bounds(1000, 50, 0.05)
>>> 0.02 < low < 0.05 < high < 0.09
True

Evidence against a rate is the mixture of likelihood ratios over all rates, each as likely as any
other before (Robbins, Annals of Mathematical Statistics 1970). Under that rate it ever exceeds
1/alpha with a probability of alpha at most, at whichever looks, so the rates that are not refuted
are a confidence sequence.
"""

import math


def log_e_rate_is(units: int, events: int, rate: float) -> float:
    """Evidence against a rate of events, of the mixture over all rates.

    >>> round(log_e_rate_is(10, 5, 0.5), 3), log_e_rate_is(0, 0, 0.5)
    (-0.996, 0.0)

    Args:
        units: all that could have had an event.
        events: those that had.
        rate: what is to be refuted; outside 0 … 1 nothing is needed, or nothing can be.
    """
    misses = units - events
    if rate <= 0.0 or rate >= 1.0:
        possible = (rate >= 1.0 and misses == 0) or (rate <= 0.0 and events == 0)
        return -math.log1p(units) if possible else (math.inf if 0.0 <= rate <= 1.0 else 0.0)
    mixed = math.lgamma(events + 1) + math.lgamma(misses + 1) - math.lgamma(units + 2)
    return mixed - events * math.log(rate) - misses * math.log1p(-rate)


def rate_bounds(units: int, events: int, alpha: float) -> tuple[float, float]:
    """All rates that the counts do not refute at any look, of which the true one is.

    >>> low, high = rate_bounds(1000, 50, 0.05)
    >>> low < 0.05 < high, rate_bounds(0, 0, 0.05)
    (True, (0.0, 1.0))

    Args:
        units: all that could have had an event.
        events: those that had.
        alpha: the bounds ever miss the true rate with this probability at most.
    """
    if units == 0:
        return 0.0, 1.0
    limit, middle = math.log(1 / alpha), events / units
    ends = []
    for outside in (0.0, 1.0):
        inside, edge = middle, outside
        if log_e_rate_is(units, events, outside) >= limit:
            for _ in range(40):
                half = (inside + edge) / 2
                refuted = log_e_rate_is(units, events, half) >= limit
                inside, edge = (inside, half) if refuted else (half, edge)
        ends.append(edge)
    return ends[0], ends[1]
