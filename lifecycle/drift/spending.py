"""How much of a year's false alarms one check may spend.

>>> day = timedelta(days=1)
>>> round(alpha_of(day, alarms_per_year=1), 5), round(alpha_of(day, alarms_per_year=1, models=2), 5)
(0.00274, 0.00137)

A check that alarms on unchanged data with probability alpha adds alpha to the expected number of
false alarms, whatever the checks have to do with each other: expectations add up. So a check may
spend the share of the year that its window covers, and the expected number in a year is what was
asked for, however often one checks.
"""

from datetime import timedelta

from lifecycle.errors import ConfigError

YEAR = timedelta(days=365.25)
MOST = 0.05  # alpha of one check, however long its window is
LEAST = 1e-9  # keeps the limits of the tests finite in a window of a moment


def alpha_of(window: timedelta, *, alarms_per_year: float, models: int = 1) -> float:
    """The chance of a false alarm that a check of this window may have.

    >>> alpha_of(timedelta(days=365), alarms_per_year=12)
    0.05

    Args:
        window: from the last check's end to this one's.
        alarms_per_year: false alarms of all checks of all models in a year, on average.
        models: how many models are checked and share them.

    Raises:
        ConfigError: the number of alarms is not above zero.
    """
    if not alarms_per_year > 0:
        raise ConfigError(
            f"'alarms_per_year' is {alarms_per_year:g}, which leaves no check any chance to alarm",
            fix="write a number above 0, such as 4, or leave it out",
        )
    share = max(window, timedelta(0)) / YEAR
    return min(MOST, max(LEAST, alarms_per_year * share / max(1, models)))
