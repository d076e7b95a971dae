"""Reference against live, for the columns that moved most.

>>> from lifecycle.records import ColumnDrift, DriftReport, Outcome
>>> side = {"rows": 4, "null": 1, "levels": ["a", "b"], "counts": [2, 1, 0]}
>>> moved = ColumnDrift("plan", "categorical", True, Outcome.FAIL, reference=side, current=side)
>>> len(figure(DriftReport(Outcome.FAIL, {"plan": moved}, 4, 4)).axes)
1
"""

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lifecycle.records import ColumnDrift, DriftReport
from lifecycle.views.layout import middle
from lifecycle.views.plots import saved, written
from lifecycle.views.svg import LIVE, REFERENCE

MOST = 6
HIGH = 2.8  # inches of a row
BARS = 24
LEVELS = 8
COLOURS = (REFERENCE, LIVE)
NAME = 48  # characters of a column's name
LINE = 78  # characters of a reason on one line, of at most two


def figure(report: DriftReport, *, most: int = MOST) -> Figure:
    """Small plots of the first columns that have a picture, worst first."""
    shown = [item for item in report.columns.values() if _drawable(item)][:most]
    rows = max(1, (len(shown) + 1) // 2)
    drawn = Figure(figsize=(10, HIGH * rows))
    for place, column in enumerate(shown):
        down, across = divmod(place, 2)  # places by hand: a layout that is solved takes as long
        base = (rows - 1 - down + 0.11) / rows
        axes = drawn.add_axes((0.015 + 0.5 * across, base, 0.47, 0.64 / rows))
        _draw(axes, column)
        if not place:
            axes.legend(frameon=False, fontsize=8)
    if not shown:
        drawn.text(0.5, 0.5, "no column can be drawn", ha="center", va="center")
    return drawn


def png(report: DriftReport, *, most: int = MOST) -> bytes:
    """The same as a PNG file."""
    return saved(figure(report, most=most))


def _drawable(column: ColumnDrift) -> bool:
    one, two = column.reference, column.current
    same = "counts" in one and len(one["counts"]) == len(two.get("counts", ()))
    return same and sum(one["counts"]) > 0 and sum(two["counts"]) > 0


def _draw(axes: Any, column: ColumnDrift) -> None:
    if column.kind == "numeric":
        edges = _bars(column)
        for side, colour, label, fill in _sides(column):
            heights = _heights(side, edges)
            axes.stairs(heights, edges, color=colour, fill=fill, alpha=0.6 if fill else 1.0,
                        label=label, linewidth=1.6)  # fmt: skip
    else:
        names, shares = _levels(column)
        for place, (_, colour, label, _) in enumerate(_sides(column)):
            offset = np.arange(len(names)) + 0.4 * place - 0.2
            axes.bar(offset, shares[place], 0.4, color=colour, label=label)
        axes.set_xticks(range(len(names)), names, fontsize=8)
    lines = wrap(
        written(column.reason) or "no change beyond chance", LINE, max_lines=2, placeholder=" …"
    )
    axes.set_title("\n".join(lines), fontsize=8, loc="left")
    name = written(middle(column.name, NAME))
    axes.annotate(
        name, (0, 1), (0, 12 * len(lines) + 6), "axes fraction", "offset points",
        fontsize=10, fontweight="bold",
    )  # fmt: skip
    axes.set_yticks([])
    axes.spines[["top", "left", "right"]].set_visible(False)


def _sides(column: ColumnDrift) -> list[tuple[Mapping[str, Any], str, str, bool]]:
    return [
        (column.reference, COLOURS[0], "reference", True),
        (column.current, COLOURS[1], "live", False),
    ]


def _bars(column: ColumnDrift) -> Any:
    """Edges of equal bars over what both sides span, without a far tail."""
    edges = np.array(column.reference["edges"], dtype=np.float64)
    low, high = float(edges[0]), float(edges[-1])
    width = max(high - low, 1e-9)
    if (lowest := column.current.get("low")) is not None:
        low = max(min(low, lowest), low - width)
    if (highest := column.current.get("high")) is not None:
        high = min(max(high, highest), high + width)
    return np.linspace(low, max(high, low + 1e-9), BARS + 1)


def _heights(side: Mapping[str, Any], edges: Any) -> Any:
    """Share of rows a bar: cells cut at the bars as if they were flat."""
    own = np.array(side["edges"], dtype=np.float64)
    counts = np.array(side["counts"], dtype=np.float64)
    ends = np.concatenate(([min(edges[0], own[0])], own, [max(edges[-1], own[-1])]))
    reached = np.concatenate(([0.0], np.cumsum(counts)))
    return np.diff(np.interp(edges, ends, reached)) / max(1.0, counts.sum())


def _levels(column: ColumnDrift) -> tuple[list[str], Any]:
    names = [str(name) for name in column.reference["levels"]][:LEVELS]
    shares = []
    for side in (column.reference, column.current):
        counts = np.array(side["counts"], dtype=np.float64)
        rest = counts[len(names) :].sum()
        shares.append(np.append(counts[: len(names)], rest) / max(1.0, counts.sum()))
    return [*(written(middle(name, 12)) for name in names), "other"], np.array(shares)
