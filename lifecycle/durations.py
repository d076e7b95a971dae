"""Lengths of time as people write them: `90s`, `5m`, `6h`, `1d`, `2w`.

>>> duration("90s", "tolerance"), duration("1d", "every")
(datetime.timedelta(seconds=90), datetime.timedelta(days=1))
"""

import re
from datetime import timedelta

from lifecycle.errors import ConfigError

UNITS = {
    "ms": "milliseconds",
    "s": "seconds",
    "m": "minutes",
    "h": "hours",
    "d": "days",
    "w": "weeks",
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")


def duration(text: str, name: str) -> timedelta:
    """A length of time; parts add up, the longest first or not.

    >>> duration("1h30m", "every")
    datetime.timedelta(seconds=5400)

    Args:
        text: a number and a unit (ms, s, m, h, d, w), or several of them.
        name: the setting or the option, for the error.

    Raises:
        ConfigError: the text is none, or the length is zero or longer than any calendar.
    """
    squeezed = text.strip().lower()
    parts = _PART.findall(squeezed)
    rest = _PART.sub("", squeezed).strip()
    length = timedelta(0)
    try:
        for number, unit in parts:
            length += timedelta(**{UNITS[unit]: float(number)})
    except OverflowError:
        length = timedelta(0)
    if rest or not parts or length <= timedelta(0):
        raise ConfigError(
            f"{name!r} is {text!r}, which is no length of time",
            fix="write a number and a unit, as in 90s, 5m, 6h, 1d, 2w or 1h30m",
        )
    return length


def spoken(length: timedelta) -> str:
    """A length of time in the largest unit that leaves it readable.

    >>> spoken(timedelta(seconds=90)), spoken(timedelta(hours=50)), spoken(timedelta(days=21))
    ('1.5 min', '2.1 days', '21 days')
    """
    seconds = length.total_seconds()
    for unit, size, least in (("days", 86_400, 172_800), ("h", 3_600, 3_600), ("min", 60, 60)):
        if abs(seconds) >= least:
            count = seconds / size
            return f"{count:.2g} {unit}" if abs(count) < 10 else f"{count:.0f} {unit}"
    return f"{seconds:.2g} s"
