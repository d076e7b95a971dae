"""The checks of a model as a sheet: strips or pictures over time, then one row a check.

>>> from lifecycle.records import Check, Checks, Outcome
>>> checks(Checks("churn", (Check("2026-03-08", 1, Outcome.PASS),))).title
'churn: 1 check, none found drift'
"""

from collections.abc import Iterator, Sequence

from lifecycle.records import Check, Checks, Outcome
from lifecycle.views import timelines
from lifecycle.views.layout import BAD, MARKS, UNSURE, Sheet, Strip, count, interval, middle
from lifecycle.views.monitor_sheets import span

SHOWN = 12  # checks, the last; the rest is folded away
LISTED = 1000
STRIP = 56  # checks in a strip
STRIPS = 6  # columns with one
FULL = 0.8  # the effect that fills a strip's character


def checks(record: Checks) -> Sheet:
    """The sheet of a model's checks, the last at the end."""
    shown = record.checks[-SHOWN:]
    earlier = record.checks[:-SHOWN]
    windows = record.latest
    pictures = [timelines.drift(windows), timelines.performance(windows)]
    return Sheet(
        _title(record),
        mark=UNSURE if any(one.outcome is Outcome.FAIL for one in shown) else "",
        facts=tuple(_strips(windows[-STRIP:])),
        headers=("window", "version", "verdict", "moved", _metric(record), "without labels", ""),
        rows=[_row(one) for one in shown],
        marks=[BAD if one.retrain or one.harmed else MARKS[one.outcome] for one in shown],
        rest=[_row(one) for one in earlier[-LISTED:]],
        folded=f"{count(len(earlier), 'earlier check')}" if earlier else "",
        pictures=[picture for picture in pictures if picture] if windows else (),
    )


def _title(record: Checks) -> str:
    drifted = sum(one.drifted for one in record.checks)
    harmed = sum(one.harmed for one in record.checks)
    said = f"{drifted:,} found drift" if drifted else "none found drift"
    harm = f", {harmed:,} found harm" if harmed else ""
    return f"{record.name}: {count(len(record.checks), 'check')}, {said}{harm}"


def _metric(record: Checks) -> str:
    known = timelines.measured(record.checks)
    return known[-1][1].metric if known else "metric"


def _row(one: Check) -> tuple[str, ...]:
    words = [word for word, on in (("drifted", one.drifted), ("harmed", one.harmed)) if on]
    calm = "fine" if one.outcome is Outcome.PASS else str(one.outcome)
    moved = middle(one.drifted_columns[0], 20) if one.drifted_columns else ""
    more = len(one.drifted_columns) - 1
    return (
        span(one.window) if one.window else one.time[:16].replace("T", " "),
        str(one.version),
        ", ".join([*words, *([one.part] if one.part else [])]) or calm,
        moved + (f" and {more} more" if more > 0 else ""),
        _figure(one.value, one.low, one.high),
        _figure(one.estimate, one.estimate_low, one.estimate_high),
        "retrain" if one.retrain else "",
    )


def _figure(value: float | None, low: float | None, high: float | None) -> str:
    """A figure, and its interval in the line below."""
    figure, _, ends = interval(value, low, high).partition(" ")
    return f"{figure}\n{ends}" if ends else figure


def _strips(windows: Sequence[Check]) -> Iterator[tuple[str, str | Strip]]:
    """Effects of the columns that moved most, then the metric; a terminal's timeline."""
    for name in timelines.columns(windows)[:STRIPS]:
        effects = (abs(one.effects.get(name, 0.0)) for one in windows)
        yield middle(name, 20), Strip(tuple(min(1.0, effect / FULL) for effect in effects))
    known = timelines.measured(windows)
    values = [one.value for _, one in known if one.value is not None]
    if values:
        low, reach = min(values), max(values) - min(values)
        heights = [0.0] * len(windows)
        for at, one in known:
            if one.value is not None:
                heights[at] = 0.1 + 0.9 * ((one.value - low) / reach if reach else 0.5)
        yield known[-1][1].metric, Strip(tuple(heights))
