"""Small pictures as SVG text: no library, no script, no address outside; for light and dark pages.

>>> made = Bars(("a", "b"), (0.5, 0.5), (0.1, 0.9), (0.0, 0.0))
>>> histogram(made, "plan", "b is more common")[:31]
'<svg viewBox="0 0 210 76" width'

Texts take the colour of the page; shapes have two tones that are told apart on white, on black and
in grey.
"""

from collections.abc import Sequence
from html import escape

from lifecycle.views.bars import Bars, percent, short
from lifecycle.views.layout import harmless, middle

REFERENCE, LIVE = "#8a8f98", "#d1495b"
FILLED = "#3d85c6"  # of a bar that is neither good nor bad
WIDTH, HEIGHT = 210, 76
TOP, BASE = 12.0, 58.0  # of the bars
NULL = 30.0  # width kept for null rows where there are any
SEEN = 0.005  # share of null rows that is drawn
CLIP = 2.5  # live bars higher than this many times the reference's highest are cut and labelled
NAMED = 5  # levels so few that each has its name below


def histogram(bars: Bars, name: str, words: str = "") -> str:
    """Reference filled, live as a line or as bars beside it; null rows apart on the right.

    Args:
        bars: of one column.
        name: of the column, for readers of screens and as the tip under the mouse.
        words: what is said of it.
    """
    shapes: list[str] = []
    nulls = max(bars.nulls) >= SEEN or bars.null_changed
    right = WIDTH - (NULL + 8 if nulls else 0)
    if bars.labels:
        top = scale(bars)
        if bars.ends is None:
            shapes += _pairs(bars, top, right)
        else:
            shapes += _steps(bars, top, right)
    if nulls:
        shapes += _nulls(bars)
    return frame(WIDTH, HEIGHT, f"{name}: reference and live rows", words, shapes)


def frame(
    width: int, height: int, title: str, words: str, shapes: Sequence[str], *, grows: bool = False
) -> str:
    """A picture with its title and description; texts in the page's colour.

    Args:
        width: in pixels.
        height: in pixels.
        title: what is read out and shown under the mouse.
        words: what the picture shows, in words.
        shapes: elements.
        grows: take the width of the page where that is smaller.
    """
    size = f'width="{width}" height="{height}"'
    if grows:
        size = f'width="{width}" style="max-width:100%;height:auto"'
    look = 'font-family="system-ui,sans-serif" font-size="10" fill="currentColor"'
    box = f'viewBox="0 0 {width} {height}" {size} role="img" aria-label="{clean(title)}"'
    parts = [
        f'<svg {box} {look} xmlns="http://www.w3.org/2000/svg">',
        f"<title>{clean(title)}</title>",
        *([f"<desc>{clean(words)}</desc>"] if words else []),
        *shapes,
        "</svg>",
    ]
    return "".join(parts)


def clean(text: str) -> str:
    """A text of others as SVG or HTML may hold it."""
    return escape(harmless(text).replace("\n", " "))


def label(
    x: float, y: float, text: str, *, anchor: str = "start", more: str = 'opacity=".8"'
) -> str:
    """A word at a place."""
    side = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.4g}" y="{y:.4g}"{side} {more}>{clean(text)}</text>'


def scale(bars: Bars) -> float:
    """The share at full height: a live bar far above all of the reference is cut."""
    highest, live = max(bars.reference, default=0.0), max(bars.live, default=0.0)
    return max(highest, min(live, CLIP * highest), 1e-9) if highest else max(live, 1e-9)


def _height(share: float, top: float) -> float:
    """Of a bar; what is there can be seen."""
    return 0.0 if share <= 0 else max(1.0, (BASE - TOP) * min(1.0, share / top))


def _line(left: float, right: float) -> str:
    return f'<path d="M{left:.4g} {BASE:.4g}H{right:.4g}" stroke="currentColor" opacity=".35"/>'


def _steps(bars: Bars, top: float, right: float) -> list[str]:
    """Numbers: the reference as an area of steps, live as a line; beyond its range set apart."""
    edges = _places(bars, right)
    area = "".join(
        f"M{left:.1f} {BASE:.4g}V{BASE - _height(share, top):.1f}H{end:.1f}V{BASE:.4g}Z"
        for (left, end), share in zip(edges, bars.reference, strict=True)
        if share > 0
    )
    line, at = "", -1.0
    for (left, end), share in zip(edges, bars.live, strict=True):
        y = BASE - _height(share, top)
        line += f"V{y:.1f}H{end:.1f}" if left == at else f"M{left:.1f} {BASE:.4g}V{y:.1f}H{end:.1f}"
        at = end
        if end == edges[-1][1] or (bars.outside[0] and left == edges[0][0]):
            line += f"V{BASE:.4g}"
    low, high = bars.ends or (0.0, 0.0)
    inner = edges[bars.outside[0] : len(edges) - bars.outside[1]]
    found = [
        f'<path d="{area}" fill="{REFERENCE}" opacity=".6"/>',
        f'<path d="{line}" fill="none" stroke="{LIVE}" stroke-width="1.6"/>',
        *(_line(left, end) for left, end in ((inner[0][0], inner[-1][1]),)),
        label(inner[0][0], BASE + 12, short(low)),
        label(inner[-1][1], BASE + 12, short(high), anchor="end"),
    ]
    for beyond, at_edge, sign in ((0, edges[0], "<"), (1, edges[-1], ">")):
        if bars.outside[beyond]:
            found.append(_line(*at_edge))
            found.append(label(sum(at_edge) / 2, BASE + 12, sign, anchor="middle"))
    return found + _cut(bars, top, [(left + end) / 2 for left, end in edges])


def _places(bars: Bars, right: float) -> list[tuple[float, float]]:
    """Where each bar begins and ends; a gap before and after those outside the range."""
    gap, count = 6.0, len(bars.labels)
    each = (right - 2 - gap * sum(bars.outside)) / count
    places, at = [], 1.0
    for index in range(count):
        if bars.outside[1] and index == count - 1:
            at += gap
        places.append((at, at + each))
        at += each
        if bars.outside[0] and index == 0:
            at += gap
    return places


def _pairs(bars: Bars, top: float, right: float) -> list[str]:
    """Levels: two bars side by side for each, most common first."""
    count = len(bars.labels)
    each = min(right / count, 64.0)
    wide = each * 0.38
    found, middles = [], []
    for shares, colour, at in ((bars.reference, REFERENCE, 0.1), (bars.live, LIVE, 0.5)):
        path = "".join(
            f"M{(n + at) * each:.1f} {BASE:.4g}v-{_height(share, top):.1f}h{wide:.1f}V{BASE:.4g}Z"
            for n, share in enumerate(shares)
            if share > 0
        )
        found.append(f'<path d="{path}" fill="{colour}"/>')
        middles = [(n + at) * each + wide / 2 for n in range(count)]
    found.append(_line(0.0, each * count))
    if count <= NAMED:
        for n, name in enumerate(bars.labels):
            words = middle(name, max(3, int(each / 6.2)))
            found.append(label((n + 0.5) * each, BASE + 12, words, anchor="middle"))
    else:
        said = next((note for note in bars.notes() if not note.startswith("null ")), "")
        first = said or f"{bars.labels[0]} … {bars.labels[-1]}"
        found.append(label(0.0, BASE + 12, middle(first, 40)))
    return found + _cut(bars, top, middles)


def _cut(bars: Bars, top: float, middles: Sequence[float]) -> list[str]:
    """The share of each live bar that is higher than the picture."""
    return [
        label(min(max(at, 15.0), WIDTH - 18.0), TOP - 3, percent(share), anchor="middle")
        for at, share in zip(middles, bars.live, strict=True)
        if share > top * 1.02
    ]


def _nulls(bars: Bars) -> list[str]:
    """The share of null rows, reference and live, against all rows."""
    left, wide = WIDTH - NULL, NULL / 2 - 3
    found = [_line(left, WIDTH)]
    for at, (share, colour) in enumerate(zip(bars.nulls, (REFERENCE, LIVE), strict=True)):
        high = 0.0 if share <= 0 else max(1.0, (BASE - TOP) * share)
        x = left + 2 + at * (wide + 1)
        found.append(
            f'<path d="M{x:.1f} {BASE:.4g}v-{high:.1f}h{wide:.1f}V{BASE:.4g}Z" fill="{colour}"/>'
        )
    words = percent(bars.nulls[1]) if bars.null_changed else ""
    if words:
        found.append(label(WIDTH, TOP - 3, words, anchor="end"))
    found.append(label(left + NULL / 2, BASE + 12, "null", anchor="middle"))
    return found
