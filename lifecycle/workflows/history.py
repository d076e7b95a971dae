"""What was done to a model, by whom and why; and which version served when.

>>> from lifecycle.config import Config
>>> history(Config(name="churn")).entries[-1].kind  # doctest: +SKIP
'stage'
"""

from datetime import timedelta
from pathlib import Path

from lifecycle.approvals import requests
from lifecycle.config import Config
from lifecycle.errors import DataError
from lifecycle.records import History, Served
from lifecycle.stages import served
from lifecycle.stores import heads, registry
from lifecycle.stores.sealed import Moment, moment
from lifecycle.stores.tracking import connect

DAY = len("2026-03-01")
RISKY = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would take for a formula


def history(config: Config, *, head: str | Path | None = None) -> History:
    """The model's ledger, oldest entry first, its chain checked, with what was found beside it.

    Args:
        config: names the model.
        head: a file to write the ledger's head to, for `lifecycle verify --head`; keep it where
            those who can change the ledger cannot.

    Raises:
        DataError: there is nothing to write a head of, or the file cannot be written.
        ModelNotFound: no such model.
        LedgerError: the ledger was changed or deleted.
        RegistryUnavailable: no answer in time.
    """
    _, entries, warnings = registry.survey(connect(config), config.name)
    asked = requests(entries, config.name, config.approvals)
    found = History(config.name, entries, warnings, asked)
    if head is not None:
        heads.save(head, found.name, found.entries)
    return found


def history_at(config: Config, at: Moment) -> Served:
    """Which version was in production at a moment or on a day, and the entries that say why.

    Args:
        config: names the model.
        at: a time, in UTC where it has no zone; or a date, which means that day in UTC.

    Raises:
        DataError: the text is no date or time.
        ModelNotFound: no such model.
        LedgerError: the ledger was changed or deleted.
        RegistryUnavailable: no answer in time.
    """
    at = at.strip() if isinstance(at, str) else at
    start = moment(at, "at")
    if start is None:
        raise DataError("no date or time was given", fix="write 2026-04-01 or 2026-04-01T12:00")
    asked = str(at)
    whole_day = len(asked) <= DAY
    end = start + timedelta(days=1) if whole_day else start
    _, entries, _ = registry.survey(connect(config), config.name)
    shown = start.date().isoformat() if whole_day else start.isoformat()
    return Served(config.name, shown, served(entries, start, end, config.stages.order))


def write_csv(found: History | Served, path: str | Path) -> None:
    """Write one row an entry, or a tenure, for spreadsheets; whole or not at all.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.

    Raises:
        DataError: the file cannot be written.
    """
    frame = found.to_frame()
    for name in frame.columns:
        if not frame[name].map(lambda value: isinstance(value, str)).any():
            continue
        frame[name] = [
            f"'{value}" if isinstance(value, str) and value.startswith(RISKY) else value
            for value in frame[name]
        ]
    heads.write(path, frame.to_csv(index=False))
