"""Shares of windows with their intervals, gathered from what was measured on each reference."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tables import Plan

Z = 1.96  # 95 %


@dataclass
class Rate:
    """How often one rule alarmed, by reference.

    Attributes:
        draws: windows asked, alarms and answers of "cannot tell", one entry a reference.
    """

    draws: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def windows(self) -> int:
        """Windows asked."""
        return sum(item[0] for item in self.draws)

    @property
    def alarms(self) -> float:
        """Share of windows with an alarm."""
        return sum(item[1] for item in self.draws) / self.windows

    @property
    def unsure(self) -> float:
        """Share of windows of which the rule cannot tell."""
        return sum(item[2] for item in self.draws) / self.windows

    def interval(self) -> tuple[float, float]:
        """95 % interval of the share of alarms (Wilson 1927).

        Windows that share a reference share its luck: the number of windows is divided by the
        design effect of that (Kish 1965), measured between the references.
        """
        share, windows, many = self.alarms, self.windows, len(self.draws)
        rows = float(windows)
        if many > 1 and 0 < share < 1:
            squares = sum((alarms - share * asked) ** 2 for asked, alarms, _ in self.draws)
            effect = squares * many / (many - 1) / (windows * share * (1 - share))
            rows = windows / max(1.0, effect)
        middle = (share + Z**2 / (2 * rows)) / (1 + Z**2 / rows)
        half = Z * (share * (1 - share) / rows + Z**2 / (4 * rows**2)) ** 0.5 / (1 + Z**2 / rows)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass
class Row:
    """One row of a table: a stream, a reference, a window's size and a change."""

    plan: Plan
    rows: int
    change: str
    rates: dict[str, Rate] = field(default_factory=dict)  # by figure
    errors: dict[str, str] = field(default_factory=dict)  # by rule


def gather(plan: Plan, jobs: Iterable[Mapping[str, Any]]) -> list[Row]:
    """The rows of a plan that something was measured for."""
    rows = {
        (size.rows, change): Row(plan, size.rows, change)
        for size in plan.sizes
        for change in plan.changes
    }
    for job in sorted(jobs, key=lambda item: item["draw"]):
        for key, (asked, alarms, unsure) in job["counts"].items():
            size, change, label = key.split("|")
            rate = rows[int(size), change].rates.setdefault(label, Rate())
            rate.draws.append((asked, alarms, unsure))
        for key, text in job["errors"].items():
            size, name = key.split("|")
            for (wanted, _), row in rows.items():
                if int(size) in (0, wanted):
                    row.errors[name] = text
    return [row for row in rows.values() if row.rates or row.errors]
