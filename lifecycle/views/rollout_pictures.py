"""A rollout over time as SVG for pages: evidence of harm by guard, one interval, the shares.

>>> from lifecycle.records import RolloutStatus
>>> picture(RolloutStatus("churn"))
''
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import log

from lifecycle.records import RolloutStatus
from lifecycle.views.layout import middle, number
from lifecycle.views.rollout_series import (
    COLOURS,
    HIGH,
    LOW,
    REST,
    STEP,
    UNITS,
    Line,
    Series,
    series,
    ticks,
)
from lifecycle.views.svg import FILLED, clean, frame, label

WIDTH, LEFT, RIGHT = 800, 96, 560
HARM, RATIO, SHARES = 150.0, 80.0, 64.0  # heights of the panels
HEAD, GAP, FOOT = 30.0, 26.0, 20.0
LETTER = 13.0  # between two names on the right
DOT = 24  # looks up to which each has a dot

Scale = Callable[[float], float]


def picture(record: RolloutStatus) -> str:
    """The series of looks as a picture; empty where there was none."""
    found = series(record)
    if not found.times:
        return ""
    reach = found.seconds[-1]

    def across(seconds: float) -> float:
        return LEFT + (RIGHT - LEFT) * (seconds / reach if reach else 0.5)

    xs = [across(seconds) for seconds in found.seconds]
    shapes: list[str] = []
    at = HEAD
    if found.guards:
        shapes += _harm(found, xs, at)
        at += HARM + GAP
        first = found.guards[0]
        if any(value is not None for value in first.middle):
            shapes += _interval(first, xs, at)
            at += RATIO + GAP
    shapes += _shares(found, xs, at)
    at += SHARES
    for seconds, words in ticks(found.times):
        shapes.append(label(across(seconds), at + 14, words, anchor="middle"))
    shapes += _decided(found, xs, at)
    words = "; ".join(f"{line.name}: {line.words}" for line in found.guards[: len(COLOURS)])
    height = int(at + FOOT)
    return frame(WIDTH, height, "The rollout over time", words, shapes, grows=True)


def _harm(found: Series, xs: Sequence[float], top: float) -> Iterator[str]:
    """Each guard's evidence as a part of its limit, which is one line for all."""

    def y(part: float) -> float:
        return top + HARM * (HIGH - part) / (HIGH - LOW)

    yield label(LEFT, top - 8, "evidence of harm")
    yield _across(y(0.0), 'opacity=".25"')
    yield _across(y(1.0), 'stroke-dasharray="4 3" opacity=".8"')
    yield label(LEFT - 6, y(1.0) + 3.5, "limit", anchor="end")
    yield label(LEFT - 6, y(0.0) + 3.5, "0", anchor="end")
    named = found.guards[: len(COLOURS)]
    for line in reversed(found.guards[len(COLOURS) :]):
        yield _curve(line.harm, xs, y, REST, 0.8)
    for line, colour in reversed(list(zip(named, COLOURS, strict=False))):
        reached = any(part is not None and part >= 1 for part in line.harm)
        yield _curve(line.harm, xs, y, colour, 2.6 if reached else 1.5)
    more = len(found.guards) - len(named)
    ends = [y(next((v for v in reversed(line.harm) if v is not None), 0.0)) for line in named]
    places = _apart(ends, top, top + HARM - (LETTER if more else 0))
    for line, colour, end, place in zip(named, COLOURS, ends, places, strict=False):
        yield (
            f'<path d="M{xs[-1] + 3:.1f} {end:.1f}L{RIGHT + 14} {place:.1f}h6" fill="none"'
            f' stroke="{colour}" stroke-width="1.2"/>'
        )
        yield label(RIGHT + 24, place + 3.5, f"{middle(line.name, 24)} {line.words}", more="")
    if more:
        yield label(RIGHT + 24, top + HARM + 3.5, f"and {more} more, in grey")


def _interval(line: Line, xs: Sequence[float], top: float) -> Iterator[str]:
    """The interval of the guard that is nearest to its limit; ratios on a scale of logarithms."""
    told = log if line.unit == "ratio" else float
    ends = [value for value in (*line.low, *line.high, *line.middle) if value is not None]
    kept = [v for v in (*ends, line.same) if line.unit != "ratio" or 0.1 <= v <= 10.0]
    low, high = told(min(kept)), told(max(kept))
    low, high = (low - 0.1, high + 0.1) if high - low < 0.05 else (low, high)

    def y(value: float) -> float:
        least = min(kept) if line.unit == "ratio" else value
        part = (told(max(value, least)) - low) / (high - low)
        return top + RATIO * (1 - min(1.0, max(0.0, part)))

    yield label(LEFT, top - 8, f"{middle(line.name, 40)}: {UNITS[line.unit]}, with its interval")
    yield _across(y(line.same), 'stroke-dasharray="4 3" opacity=".8"')
    yield label(LEFT - 6, y(line.same) + 3.5, f"{line.same:g}", anchor="end")
    for value in {min(kept), max(kept)}:
        if abs(y(value) - y(line.same)) > LETTER:
            yield label(LEFT - 6, y(value) + 3.5, number(value, 2), anchor="end")
    band = [
        (x, y(one), y(two))
        for x, one, two in zip(xs, line.low, line.high, strict=True)
        if one is not None and two is not None
    ]
    if len(band) == 1:
        x, one, two = band[0]
        yield f'<path d="M{x:.1f} {one:.1f}V{two:.1f}" stroke="{COLOURS[0]}" stroke-width="2"/>'
    elif band:
        path = "L".join(f"{x:.1f} {two:.1f}" for x, _, two in band)
        back = "L".join(f"{x:.1f} {one:.1f}" for x, one, _ in reversed(band))
        yield f'<path d="M{path}L{back}Z" fill="{COLOURS[0]}" opacity=".25"/>'
    yield _curve(line.middle, xs, y, COLOURS[0], 1.8)


def _shares(found: Series, xs: Sequence[float], top: float) -> Iterator[str]:
    """Shares of all arms but the champion, one on the other, as steps."""
    base = top + SHARES
    yield label(LEFT, top - 8, "share of requests")
    for share in (0.0, 1.0):
        yield _across(base - SHARES * share, 'opacity=".25"')
        yield label(LEFT - 6, base - SHARES * share + 3.5, f"{100 * share:g} %", anchor="end")
    below = [0.0] * len(xs)
    tried = [arm for arm in found.shares if arm != "champion"]
    for arm, colour in zip(tried, (FILLED, *COLOURS[2:]), strict=False):
        upper = [a + b for a, b in zip(below, found.shares[arm], strict=True)]
        yield _steps(xs, [base - SHARES * s for s in upper], [base - SHARES * s for s in below],
                     colour)  # fmt: skip
        middle_of = base - SHARES * (upper[-1] + below[-1]) / 2
        words = f"{middle(arm, 18)} {100 * found.shares[arm][-1]:.3g} %"
        yield label(RIGHT + 24, min(middle_of + 3.5, base), words, more=f'fill="{colour}"')
        below = upper
    ends = [*xs, RIGHT]
    for start, end in found.stays if len(tried) == 1 else ():
        words = f"{100 * found.shares[tried[0]][start]:.3g} %"
        if ends[end] - ends[start] > 6 * len(words) and len(xs) > 1:
            high = base - SHARES * found.shares[tried[0]][start] - 3
            yield label(ends[start] + 3, max(high, top + 9), words)


def _steps(xs: Sequence[float], upper: Sequence[float], lower: Sequence[float], fill: str) -> str:
    ends = [*xs, max(xs[-1] + 4, RIGHT) if len(xs) > 1 else xs[-1] + 12]
    path = "".join(
        f"M{left:.1f} {low:.1f}V{high:.1f}H{right:.1f}V{low:.1f}Z"
        for (left, right), high, low in zip(pairwise(ends), upper, lower, strict=True)
    )
    return f'<path d="{path}" fill="{fill}" opacity=".75"/>'


def _decided(found: Series, xs: Sequence[float], base: float) -> Iterator[str]:
    """A line from top to bottom where something was decided; the last has its words."""
    for at, words in found.decisions:
        last = (at, words) == found.decisions[-1]
        look = 'stroke-dasharray="2 3" opacity=".6"' if words == STEP else 'stroke-width="1.6"'
        yield (
            f'<path d="M{xs[at]:.1f} {HEAD - 6}V{base:.1f}" stroke="currentColor" {look}>'
            f"<title>{clean(words)}</title></path>"
        )
        if last:
            yield label(xs[at], HEAD - 12, words, anchor="middle", more='font-weight="600"')


def _curve(
    values: Sequence[float | None], xs: Sequence[float], y: Scale, colour: str, wide: float
) -> str:
    """A line through all looks that have a value, and a dot at each where they are few."""
    places = [(x, y(v)) for x, v in zip(xs, values, strict=True) if v is not None]
    if not places:
        return ""
    path = "M" + "L".join(f"{x:.1f} {place:.1f}" for x, place in places)
    look = f'fill="none" stroke="{colour}" stroke-width="{wide}" stroke-linejoin="round"'
    drawn = f'<path d="{path}" {look}/>' if len(places) > 1 else ""
    if len(places) <= DOT:
        dots = "".join(f"M{x - 0.05:.2f} {place:.1f}h.1" for x, place in places)
        drawn += (
            f'<path d="{dots}" stroke="{colour}" stroke-width="{wide + 3}" stroke-linecap="round"/>'
        )
    return drawn


def _across(y: float, look: str) -> str:
    return f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="currentColor" {look}/>'


def _apart(ends: Sequence[float], top: float, base: float) -> list[float]:
    """Where names stand: near their lines, no two on each other, within the panel."""
    order = sorted(range(len(ends)), key=lambda at: ends[at])
    places = list(ends)
    free = top
    for at in order:
        places[at] = max(places[at], free)
        free = places[at] + LETTER
    limit = base
    for at in reversed(order):
        places[at] = min(places[at], limit)
        limit = places[at] - LETTER
    return places
