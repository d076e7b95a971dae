r"""The drift and the performance timeline as one PNG file, as `timelines` draws them for pages.

>>> from lifecycle.records import Check, Outcome
>>> png([Check("2026-03-08", 1, Outcome.PASS, effects={"charges": 0.1})])[:4]
b'\x89PNG'
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from lifecycle.records import Check
from lifecycle.views import timelines
from lifecycle.views.layout import middle
from lifecycle.views.plots import saved, written
from lifecycle.views.svg import LIVE, REFERENCE

INK = "#222222"
KEY = "red: flagged; grey: an effect, not flagged; the darker, the larger"
GUTTER, WIDE = 2.1, 9.6  # inches


def png(checks: Sequence[Check]) -> bytes:
    """Both timelines, oldest check first; the metric's is left out where there is no figure."""
    return saved(figure(checks))


def figure(checks: Sequence[Check]) -> Figure:
    """The same as a figure of matplotlib, on white so that it is legible anywhere."""
    names, known = timelines.columns(checks), timelines.measured(checks)
    rows = 0.2 * (len(names) + 1)
    below = 2.0 if known else 0.0
    high = rows + below + 1.0
    drawn = Figure(figsize=(WIDE, high), facecolor="white")
    FigureCanvasAgg(drawn)
    left, wide = GUTTER / WIDE, 1 - (GUTTER + 0.2) / WIDE
    axes = drawn.add_axes((left, (below + 0.4) / high, wide, rows / high))
    _heat(axes, checks, names)
    if known:
        under = drawn.add_axes((left, 0.3 / high, wide, (below - 0.45) / high))
        _metric(under, checks)
    return drawn


def _heat(axes: Any, checks: Sequence[Check], names: Sequence[str]) -> None:
    image = np.ones((len(names) + 1, max(1, len(checks)), 3))
    for at, one in enumerate(checks):
        image[0, at] = to_rgb(timelines.VERDICTS[one.outcome])
        for row, name in enumerate(names, start=1):
            level = timelines.tone(one.effects.get(name, 0.0))
            moved = name in one.drifted_columns
            level = max(level, 2) if moved else level
            if level:
                colour = np.array(to_rgb(LIVE if moved else REFERENCE))
                share = timelines.TONES[level - 1]
                image[row, at] = share * colour + (1 - share)
    axes.imshow(image, aspect="auto", interpolation="nearest")
    axes.set_yticks(
        range(len(names) + 1), ["verdict", *(written(middle(name, 26)) for name in names)]
    )
    axes.set_yticks(np.arange(len(names)) + 0.5, minor=True)
    axes.grid(visible=True, which="minor", axis="y", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    _across(axes, checks)
    axes.set_title(KEY, fontsize=8, loc="right", pad=16)
    for at, version in timelines.versions(checks):
        axes.annotate(
            f"version {version}", (at - 0.5, 1), (2, 3), ("data", "axes fraction"),
            "offset points", fontsize=8, annotation_clip=False,
        )  # fmt: skip


def _metric(axes: Any, checks: Sequence[Check]) -> None:
    known = timelines.measured(checks)
    held = [(at, one.expected) for at, one in known if one.expected is not None]
    axes.hlines(
        [value for _, value in held],
        [at - 0.5 for at, _ in held],
        [at + 0.5 for at, _ in held],
        color=REFERENCE,
        linewidth=1.5,
    )
    edges = [at + side for at, _ in known for side in (-0.5, 0.5)]
    bands = [
        [np.nan if end is None else end for end in ends for _ in range(2)]
        for ends in zip(*((one.expected_low, one.expected_high) for _, one in known), strict=True)
    ]
    axes.fill_between(edges, *bands, color=REFERENCE, alpha=0.25, linewidth=0)
    guessed = [(at, one.estimate) for at, one in known if one.estimate is not None]
    if guessed:
        axes.plot(*zip(*guessed, strict=True), "--", color=timelines.UNSURE, label="estimated")
    for harmed, colour, words in ((False, INK, "with labels"), (True, LIVE, "harmed")):
        found = [(at, one) for at, one in known if one.value is not None and one.harmed is harmed]
        if not found:
            continue
        places = [at for at, _ in found]
        axes.vlines(
            places,
            [one.value if one.low is None else one.low for _, one in found],
            [one.value if one.high is None else one.high for _, one in found],
            color=colour,
            linewidth=1,
        )
        size = 5 if len(checks) < 100 else 2
        axes.plot(places, [one.value for _, one in found], "o", color=colour, markersize=size,
                  label=words)  # fmt: skip
    axes.set_ylim(*timelines.limits([one for _, one in known]))
    axes.set_ylabel(known[-1][1].metric, fontsize=9)
    if guessed or any(one.value is not None for _, one in known):
        axes.legend(
            frameon=False, fontsize=8, ncols=3, loc="lower right", bbox_to_anchor=(1.0, 0.98)
        )
    _across(axes, checks)


def _across(axes: Any, checks: Sequence[Check]) -> None:
    """What both share: places, dates, and lines where a version begins."""
    axes.set_xlim(-0.5, max(len(checks) - 0.5, 3.5))
    places = list(timelines.dates(checks))
    axes.set_xticks([at for at, _ in places], [day for _, day in places])
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    for at, _ in timelines.versions(checks)[1:]:
        axes.axvline(at - 0.5, color=INK, linestyle="--", linewidth=1)
