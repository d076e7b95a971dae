"""What a call of `monitor` asks for, put together with `[monitor]` and checked before any work.

>>> ask(Config().with_values(monitor__rows=500), every="1d").config.monitor.rows
0
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lifecycle.config import Config
from lifecycle.durations import duration
from lifecycle.errors import ConfigError, DataError
from lifecycle.stores.sealed import Moment, moment
from lifecycle.workflows.receivers import Receiver, receivers
from lifecycle.workflows.segments import Segment

WHERE = "[monitor]"


@dataclass(frozen=True)
class Asked:
    """What is in force; windows of a length or of rows where `[monitor]` has one of the two."""

    config: Config
    since: datetime | None
    until: datetime | None
    segment: Segment | None
    receivers: tuple[Receiver, ...]
    html: str | Path | None

    @property
    def windowed(self) -> bool:
        """Whether the log is cut into windows."""
        return bool(self.config.monitor.every or self.config.monitor.rows)


def ask(
    config: Config,
    *,
    table: bool = False,
    since: Moment = None,
    until: Moment = None,
    every: str | None = None,
    rows: int | None = None,
    arm: str | None = None,
    segment: str | None = None,
    alarms_per_year: float | None = None,
    notify: Sequence[str] = (),
    html: str | Path | None = None,
) -> Asked:
    """Read a call; its arguments are those of `monitor`, and win over `[monitor]`.

    Args:
        config: with `[monitor]`.
        table: the rows are given and not the log's.
        since: start of the window; with `until` it names one window.
        until: end of the window.
        every: length of the windows.
        rows: or their number of rows.
        arm: of a rollout.
        segment: `COLUMN=VALUE`.
        alarms_per_year: of all checks.
        notify: addresses.
        html: where Evidently's report goes.

    Raises:
        ConfigError: a setting or an address that cannot be used.
        DataError: the window, the segment or the report's path cannot be used.
    """
    if table and (every or rows or arm):
        raise ConfigError(
            "every, rows and arm choose from the prediction log, not from a table",
            fix="leave them out, or leave out the table",
        )
    first, last = moment(since, "since"), moment(until, "until")
    if first is not None and last is not None and first >= last:
        raise DataError(
            f"the window ends ({until}) before it begins ({since})", fix="correct since or until"
        )
    given = {
        "every": every,
        "rows": rows,
        "alarms_per_year": alarms_per_year,
        "notify": tuple(notify) or None,
    }
    named = {key: value for key, value in given.items() if value is not None}
    one = table or (first is not None and last is not None)
    if ("every" in named) != ("rows" in named) or (one and "every" not in named):
        named = {"every": "", "rows": 0, **named}  # what is asked for, or one window
    config = config.with_values(**{f"monitor__{key}": value for key, value in named.items()})
    _check(config)
    if html is not None and not Path(html).parent.is_dir():
        raise DataError(
            "the report cannot be written: there is no such folder",
            where=html,
            fix="name a file in a folder that exists and can be written",
        )
    part = Segment.parse(segment) if segment else None
    return Asked(config, first, last, part, receivers(config.monitor.notify), html)


def _check(config: Config) -> None:
    section, where = config.monitor, config.path or WHERE
    if section.every and section.rows:
        raise ConfigError(
            f"every = {section.every!r} and rows = {section.rows} are both given",
            where=where,
            fix="keep one: a window has a length or a number of rows",
        )
    if section.every:
        duration(section.every, "every")
    least: Mapping[str, float] = {"rows": 0, "catch_up": 1, "alarms_per_year": 0}
    for key, low in least.items():
        value = getattr(section, key)
        if not math.isfinite(value) or value < low:
            raise ConfigError(f"{key!r} is {value:g}", where=where, fix=f"write {low:g} or more")
