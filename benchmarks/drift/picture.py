"""False alarms by window size, as one picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rates import Row

PANELS = (
    ("independent", 10_000, "independent rows, reference 10,000"),
    ("AR(0.9)", 6_720, "AR(0.9), reference 6,720"),
    ("daily cycle + AR(0.9)", 6_720, "daily cycle + AR(0.9), reference 6,720"),
)
COLOURS = ("#0b5fa5", "#d1495b", "#e8a598", "#2e8b57", "#8fbf9f", "#8d6a9f", "#555555", "#b8860b")
MARKERS = "oDdsv^Px"


def short(rows: int) -> str:
    """1,000 as 1k."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if rows >= size:
            return f"{rows / size:g}{unit}"
    return str(rows)


def panels(rows: Mapping[str, Sequence[Row]]) -> list[tuple[str, list[Row]]]:
    """Titles and rows of unchanged windows, by size; a panel needs two sizes at least."""
    members = [row for name in ("independent", "timed") for row in rows.get(name, ()) if row.rates]
    found = [
        (title, [row for row in members if (row.plan.stream, row.plan.reference) == (stream, size)])
        for stream, size, title in PANELS
    ]
    return [(title, sorted(chosen, key=_size)) for title, chosen in found if len(chosen) > 1]


def _size(row: Row) -> int:
    return row.rows


def draw_rates(rows: Mapping[str, Sequence[Row]], path: Path) -> bool:
    """Draw a panel a stream; False, and no file, where nothing was measured for it."""
    chosen = panels(rows)
    path.unlink(missing_ok=True)
    if not chosen:
        return False
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(name for _, found in chosen for row in found for name in row.rates))
    width = 3.4 * len(chosen) + 1.6
    figure, axes = plt.subplots(
        1, len(chosen), figsize=(width, 3.4), sharey=True, squeeze=False, layout="constrained"
    )
    figure.set_facecolor("white")
    for panel, (title, found) in zip(axes[0], chosen, strict=True):
        for place, name in enumerate(names):
            _line(panel, [row for row in found if name in row.rates], name, place)
        panel.set(xscale="log", title=title, xlabel="rows in the window", ylim=(-3, 103))
        panel.title.set_fontsize(9)
        sizes = [row.rows for row in found]
        panel.set_xticks(sizes, [short(rows) for rows in sizes], minor=False)
        panel.set_xticks([], minor=True)
        panel.grid(color="#e5e5e5", linewidth=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("windows with an alarm, %")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return True


def _line(panel: Any, rows: Sequence[Row], name: str, place: int) -> None:
    shares = [100 * row.rates[name].alarms for row in rows]
    ends = [[100 * end for end in row.rates[name].interval()] for row in rows]
    errors = [
        [max(0.0, share - low) for share, (low, _) in zip(shares, ends, strict=True)],
        [max(0.0, high - share) for share, (_, high) in zip(shares, ends, strict=True)],
    ]
    style: dict[str, Any] = {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[place % len(MARKERS)],
    }
    style |= {"markersize": 4, "linewidth": 2.4 if name == "ours" else 1.2}
    style |= {"elinewidth": 0.7, "label": name, "zorder": 20 - place}
    panel.errorbar([row.rows for row in rows], shares, errors, **style)
