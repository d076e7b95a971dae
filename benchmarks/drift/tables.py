"""What is measured: streams, sizes, changes and numbers of windows of each table, and its goal.

A plan is measured on several references ("draws"), each asked about several windows: a rate is over
both. `Size.others` says on how many of the references the other rules are asked, where they take
long.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from changes import CHANGES
from streams import STREAMS

UNCHANGED = "none"
MEASURED = 10_000  # --windows sets the number of windows up to this size, and caps it above


@dataclass(frozen=True)
class Size:
    """Windows of so many rows: `per` windows on each of `draws` references."""

    rows: int
    per: int
    draws: int
    others: int | None = None

    def draws_of(self, rule: str) -> int:
        """On how many references a rule is asked."""
        if rule == "ours" or self.others is None:
            return self.draws
        return min(self.draws, self.others)


@dataclass(frozen=True)
class Plan:
    """One stream, one size of reference: some rows of a table."""

    table: str
    stream: str
    reference: int
    sizes: tuple[Size, ...]
    changes: tuple[str, ...] = (UNCHANGED,)

    @property
    def key(self) -> str:
        """What names its results."""
        return f"{self.table}|{self.stream}|{self.reference}"

    @property
    def draws(self) -> int:
        """How many references are needed."""
        return max(size.draws for size in self.sizes)


def spread(rows: int, windows: int, draws: int, others: int | None = None) -> Size:
    """So many windows, and so many of other rules, on at most so many references."""
    draws = min(draws, windows)
    asked = None if others is None else max(1, round(draws * others / windows))
    return Size(rows, math.ceil(windows / draws), draws, asked)


def _independent() -> Iterator[Plan]:
    wanted = ((200, 1500, 750), (1_000, 1500, 750), (10_000, 300, 150), (100_000, 40, 20))
    wanted += ((1_000_000, 20, 5),)
    for reference, draws in ((2_000, 100), (10_000, 50), (100_000, 20), (1_000_000, 8)):
        sizes = tuple(spread(rows, many, draws, fewer) for rows, many, fewer in wanted)
        yield Plan("independent", "independent", reference, sizes)


def _timed() -> Iterator[Plan]:
    sizes = tuple(Size(rows, 10, 40) for rows in (36, 96, 200, 672))
    for stream in ("independent, timed", "AR(0.9)", "daily cycle", "daily cycle + AR(0.9)"):
        yield Plan("timed", stream, 6_720, sizes)


def _changes() -> Iterator[Plan]:
    sizes = (Size(200, 15, 20), Size(1_000, 15, 20), Size(10_000, 5, 20))
    plain = tuple(name for name in CHANGES if name not in ("three columns 1 sd", SMALL))
    yield Plan("changes", "independent", 10_000, sizes, (UNCHANGED, *plain, SMALL))
    yield Plan("changes", "independent", 1_000_000, (Size(1_000_000, 5, 4, 1),), (SMALL,))


def _season() -> Iterator[Plan]:
    changes = (UNCHANGED, "three columns 1 sd")
    for stream in ("daily cycle", "daily cycle + AR(0.9)"):
        yield Plan("season", stream, 6_720, (Size(12, 10, 40),), changes)
        yield Plan("season", f"{stream}, 1 min", 40_320, (Size(180, 10, 40),), changes)
    yield Plan("season", "daily and weekly cycle", 6_720, (Size(96, 10, 40),), changes)


CYCLE = "daily cycle"
SMALL = "one column 0.02 sd"
TABLES = {
    "independent": _independent,
    "timed": _timed,
    "changes": _changes,
    "season": _season,
}
TITLES = {
    "independent": "False alarms, independent rows",
    "timed": "False alarms, rows with times",
    "changes": "Changes found, independent rows",
    "season": "Windows shorter than a cycle, rows with times",
    "speed": "Time and memory",
}


def plans(table: str, *, quick: bool = False, windows: int | None = None) -> list[Plan]:
    """The plans of a table; `quick` leaves out large sizes and most windows."""
    found = list(TABLES[table]())
    if quick:
        found = [_quick(plan) for plan in found if plan.reference <= 100_000]
    if windows:
        found = [
            replace(plan, sizes=tuple(_limited(size, windows) for size in plan.sizes))
            for plan in found
        ]
    return found


def _quick(plan: Plan) -> Plan:
    kept = tuple(size for size in plan.sizes if size.rows <= MEASURED)
    return replace(
        plan, sizes=tuple(_limited(size, 40 if size.rows < 5000 else 10) for size in kept)
    )


def _limited(size: Size, windows: int) -> Size:
    """As many windows as wished, on as many references as before or fewer; large ones no more."""
    if size.rows > MEASURED:
        windows = min(windows, size.per * size.draws)
    return spread(size.rows, windows, min(size.draws, max(1, windows // 2)))


@dataclass(frozen=True)
class Goal:
    """At most or at least so large a share of windows."""

    share: float
    most: bool

    def __str__(self) -> str:
        """≤ 1.5 %."""
        if self.most and not self.share:
            return "none"
        return f"{'≤' if self.most else '≥'} {100 * self.share:g} %"

    def reached(self, share: float) -> bool:
        """Whether a measured share is good enough."""
        return share <= self.share if self.most else share >= self.share


FOUND_AT_200 = (
    *("stuck sensor", "unit x 1000, a column", "unit x 1000, 5 % of its rows", "new level, 5 %"),
    *("missing 0 to 30 %", "sd x 1.5", "correlation flipped"),
    *("one column 1 sd", "three columns 0.3 sd"),
)
FOUND_LATER = {("one column 0.3 sd", 1_000), ("one column 0.1 sd", 10_000)}


def goal(plan: Plan, rows: int, change: str) -> Goal | None:
    """What a row's rate should be; None where no goal was set."""
    if change == UNCHANGED:
        return Goal(0.015 if not STREAMS[plan.stream].timed else 0.03, most=True)
    if change == SMALL:
        return Goal(0.0, most=True) if rows == 1_000_000 else None
    if plan.table == "season":
        return Goal(0.8, most=False) if plan.stream.removesuffix(", 1 min") == CYCLE else None
    if change in FOUND_AT_200 and rows == 200:
        return Goal(0.95, most=False)
    return Goal(0.99, most=False) if (change, rows) in FOUND_LATER else None
