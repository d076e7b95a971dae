r"""A rollout over time as PNG or SVG file for its run in MLflow, on white so that it is legible.

>>> from lifecycle.records import RolloutStatus
>>> png(RolloutStatus("churn"))[:4]
b'\x89PNG'
>>> svg(RolloutStatus("churn"))[:5]
b'<?xml'

Panels share their axis of time: evidence of harm by guard against its limit, the certificate
towards the next step, the interval of the guards nearest to harm, the shares; a line goes through
all of them where something was decided.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lifecycle.records import RolloutStatus
from lifecycle.views.layout import middle
from lifecycle.views.plots import saved, written
from lifecycle.views.rollout_series import (
    COLOURS,
    HIGH,
    LOW,
    REST,
    STEP,
    UNITS,
    Line,
    Series,
    known,
    series,
    ticks,
)

WIDE = 10.0  # inches
INTERVALS = 3  # guards whose interval is drawn
INK = "#222222"
HEIGHTS = {"harm": 2.6, "certificate": 1.7, "interval": 1.4, "shares": 1.2}  # inches


def png(record: RolloutStatus, *, intervals: int = INTERVALS) -> bytes:
    """The figure as a PNG file.

    Args:
        record: with the series of looks.
        intervals: of how many guards the interval is drawn, those nearest to harm.
    """
    return saved(figure(record, intervals=intervals))


def svg(record: RolloutStatus) -> bytes:
    """The figure as an SVG file, the same bytes for the same status."""
    target = BytesIO()
    with rc_context({"svg.hashsalt": "lifecycle"}):
        figure(record).savefig(target, format="svg", metadata={"Date": None})
    return target.getvalue()


def figure(record: RolloutStatus, *, intervals: int = INTERVALS) -> Figure:
    """The same as a figure of matplotlib."""
    found = series(record)
    shown = [line for line in found.guards if known(line.middle)][:intervals]
    kinds = ["harm"] if found.guards else []
    kinds += ["certificate"] if any(known(line.certificate) for line in found.guards) else []
    kinds += ["interval"] * len(shown) + ["shares"]
    heights = [HEIGHTS[kind] for kind in kinds]
    drawn = Figure(figsize=(WIDE, sum(heights) + 0.8), facecolor="white", layout="constrained")
    FigureCanvasAgg(drawn)
    drawn.suptitle(written(_title(record)), fontsize=10, x=0.01, ha="left")
    if not found.times:
        drawn.text(0.5, 0.45, "no look yet", ha="center")
        return drawn
    panels = drawn.subplots(
        len(kinds), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0].tolist()
    rest = list(shown)
    for axes, kind in zip(panels, kinds, strict=True):
        if kind == "interval":
            _interval(axes, found, rest.pop(0))
        elif kind == "shares":
            _shares(axes, found)
        else:
            _evidence(axes, found, kind)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    _across(panels, found)
    return drawn


def _title(record: RolloutStatus) -> str:
    made = record.rollout
    if made is None:
        return f"{middle(record.name, 60)}: rollout"
    tried = " and ".join(str(arm.version) for arm in made.spec.arms[1:])
    said = f"{made.spec.strategy} of version {tried} against version {made.champion.version}"
    reason = f": {middle(made.reason, 90)}" if made.reason else ""
    return f"{middle(record.name, 60)}: {said}, {made.status}{reason}"


def _evidence(axes: Any, found: Series, kind: str) -> None:
    """Lines of all guards as parts of their limits."""
    named = found.guards[: len(COLOURS)]
    for line in found.guards[len(COLOURS) :]:
        _line(axes, found, getattr(line, kind), REST, wide=0.7)
    for line, colour in zip(named, COLOURS, strict=False):
        parts = getattr(line, kind)
        if not known(parts):
            continue
        words = f" {line.words}" if kind == "harm" else ""
        wide = 2.4 if max(known(parts)) >= 1 else 1.4
        _line(axes, found, parts, colour, wide=wide, label=written(middle(line.name, 28)) + words)
    more = len(found.guards) - len(named)
    if more > 0:
        axes.plot([], [], color=REST, linewidth=0.7, label=f"and {more} more")
    axes.axhline(1.0, color=INK, linestyle="--", linewidth=1)
    axes.axhline(0.0, color=REST, linewidth=0.6)
    axes.set_ylim(LOW - 0.05, HIGH + 0.05)
    axes.set_yticks([0, 1], ["0", "limit"])
    titles = {"harm": "evidence of harm (log e-value by its limit)",
              "certificate": "proof towards the next step (log e-value by its limit)"}  # fmt: skip
    axes.set_title(titles[kind], fontsize=9, loc="left")
    if kind == "harm" and axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _interval(axes: Any, found: Series, line: Line) -> None:
    colour = COLOURS[found.guards.index(line) % len(COLOURS)]
    ends = [
        (x, low, high)
        for x, low, high in zip(found.seconds, line.low, line.high, strict=True)
        if low is not None and high is not None
    ]
    if ends:
        xs, lows, highs = zip(*ends, strict=True)
        if len(xs) > 1:
            axes.fill_between(xs, lows, highs, color=colour, alpha=0.25, linewidth=0)
        else:
            axes.vlines(xs, lows, highs, color=colour, linewidth=2)
    seen = [None if line.unit == "ratio" and not value else value for value in line.middle]
    _line(axes, found, seen, colour, wide=1.6)
    axes.axhline(line.same, color=INK, linestyle="--", linewidth=1)
    if line.unit == "ratio":
        _ratios(axes, [*known(line.low), *known(line.high), *known(line.middle), line.same])
    name = written(middle(line.name, 60))
    axes.set_title(f"{name}: {UNITS[line.unit]}, with its interval", fontsize=9, loc="left")


def _ratios(axes: Any, values: Sequence[float]) -> None:
    """A scale of logarithms, from a tenth to ten times at most."""
    kept = [value for value in values if 0.1 <= value <= 10.0] or [1.0]
    low, high = min(kept) / 1.1, max(kept) * 1.1
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    marks = [mark for mark in (0.1, 0.2, 0.5, 1, 2, 5, 10) if low <= mark <= high]
    axes.set_yticks(marks, [f"{mark:g}" for mark in marks])
    axes.set_yticks([], minor=True)


def _shares(axes: Any, found: Series) -> None:
    below = [0.0] * len(found.times)
    tried = [arm for arm in found.shares if arm != "champion"]
    xs = list(found.seconds)
    end = xs[-1] + (0.02 * xs[-1] or 1.0)
    for arm, colour in zip(tried, (COLOURS[0], *COLOURS[2:]), strict=False):
        upper = [a + 100 * b for a, b in zip(below, found.shares[arm], strict=True)]
        axes.fill_between([*xs, end], [*below, below[-1]], [*upper, upper[-1]], step="post",
                          color=colour, alpha=0.6, linewidth=0, label=written(arm))  # fmt: skip
        below = upper
    for start, stop in found.stays if len(tried) == 1 else ():
        share = 100 * found.shares[tried[0]][start]
        left, right = xs[start], xs[stop] if stop < len(xs) else end
        if right - left > 0.04 * end:
            axes.annotate(f"{share:.3g} %", (left, min(share, 78.0)), (3, 2), "data",
                          "offset points", fontsize=8)  # fmt: skip
    axes.set_ylim(0, 100)
    axes.set_title("share of requests, %", fontsize=9, loc="left")
    if len(tried) > 1:
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _line(
    axes: Any, found: Series, values: Sequence[float | None], colour: str, *, wide: float = 1.4,
    label: str = "",
) -> None:  # fmt: skip
    places = [(x, v) for x, v in zip(found.seconds, values, strict=True) if v is not None]
    if not places:
        return
    mark = "o" if len(places) <= 24 else ""
    axes.plot(*zip(*places, strict=True), color=colour, linewidth=wide, marker=mark, markersize=3,
              label=label or None)  # fmt: skip


def _across(panels: Sequence[Any], found: Series) -> None:
    """What all panels share: the clock below, and lines where something was decided."""
    reach = found.seconds[-1]
    panels[-1].set_xlim(-0.01 * (reach or 100.0), reach * 1.02 or 100.0)
    panels[-1].set_xticks(*zip(*ticks(found.times), strict=True))
    panels[-1].set_xlabel("UTC", fontsize=8)
    for at, words in found.decisions:
        last = (at, words) == found.decisions[-1]
        for axes in panels:
            axes.axvline(
                found.seconds[at], color=INK, linewidth=0.8 if words == STEP else 1.4,
                linestyle=":" if words == STEP else "-",
            )  # fmt: skip
        if last:
            panels[0].annotate(
                words, (found.seconds[at], 1.0), (0, 3), ("data", "axes fraction"),
                "offset points", fontsize=8, ha="right", fontweight="bold",
            )  # fmt: skip
