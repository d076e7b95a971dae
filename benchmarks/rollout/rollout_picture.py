"""The picture of the bench: how often a rule is wrong, and how fast it is."""

from pathlib import Path

from arrivals import LOOKS
from shown import Section

CASES = ("steady 2 %", "drifting 1 → 4 %")
# short names, and where they stand beside their points, in points of the page
NAMES = {
    "threshold 95 %, 3 failures (Argo)": ("Argo, 95 %", -9, 0),
    "threshold 97 %, 10 failed checks (Flagger)": ("Flagger, 97 %", 9, 0),
    "z-test at each look": ("z-test", 9, 0),
    "mSPRT, pooled": ("mSPRT", -9, 0),
    "Mann-Whitney every 30 min (Kayenta)": ("Kayenta", 9, 0),
    "**event-ratio e-process (ours)**": ("event-ratio (ours)", 9, 24),
}
NEVER = 200.0  # thousand requests, at the right edge


def draw(sections: list[Section], path: Path) -> None:
    """Write the PNG.

    Args:
        sections: those with the figures of false rollbacks and of detection.
        path: of the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figures = {key: value for section in sections for key, value in section.figures.items()}
    rules = [key.split("|")[1] for key in figures if key.startswith("found|")]
    figure = Figure(figsize=(9.0, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for rule in rules:
        spent = figures[f"found|{rule}"]
        x = spent / 1000.0 if spent == spent else NEVER  # noqa: PLR0124 - not a number: never
        ours = "ours" in rule
        colour = "#0a7d4b" if ours else "#8a8f98"
        ys = [100.0 * figures[f"false|{case}|{rule}"] for case in CASES]
        axes.plot([x, x], ys, color=colour, linewidth=1.2, zorder=1)
        axes.scatter([x], ys[:1], color=colour, s=46, zorder=2)
        axes.scatter([x], ys[1:], facecolors="white", edgecolors=colour, s=46, zorder=2)
        name, across, up = NAMES[rule]
        axes.annotate(
            name,
            (x, (ys[0] + ys[1]) / 2.0),
            xytext=(across, up),
            textcoords="offset points",
            ha="left" if across > 0 else "right",
            va="center",
            fontsize=9,
            color=colour,
            fontweight="bold" if ours else "normal",
        )
    axes.axhline(5.0, color="#b3261e", linewidth=1.0, linestyle="--")
    axes.annotate("alpha, 5 %", (0.005, 5.5), xycoords=("axes fraction", "data"), ha="left",
                  va="bottom", fontsize=8, color="#b3261e")  # fmt: skip
    axes.set_xlim(0.0, 80.0)
    axes.set_ylim(-4.0, 108.0)
    axes.set_xlabel("median requests until 2 → 3 % is rolled back, thousands")
    axes.set_ylabel(f"identical models rolled back\nwithin {LOOKS} thousand requests, %")
    axes.set_title("● steady 2 %    ○ drifting 1 → 4 %", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
