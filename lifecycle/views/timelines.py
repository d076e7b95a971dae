"""Checks over time: a heat map of columns by checks, and the metric with its interval.

>>> from lifecycle.records import Check, Outcome
>>> calm = Check("2026-03-08", 1, Outcome.PASS, effects={"charges": 0.1}, metric="mae", value=2.0)
>>> drift([calm])[:35], performance([calm])[-6:]
('<svg viewBox="0 0 800 96" width="80', '</svg>')

Checks stand at equal distances in order of their windows, in both pictures at the same places, so
that a moved column and a lost metric can be held against each other.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import ceil, floor, log10

from lifecycle.records import Check, Outcome
from lifecycle.views.layout import middle, number
from lifecycle.views.svg import LIVE, REFERENCE, frame, label

GOOD, UNSURE = "#2e9e5b", "#c58a00"
VERDICTS = {Outcome.PASS: GOOD, Outcome.FAIL: LIVE, Outcome.UNSURE: UNSURE}
MOST_COLUMNS = 20
CALM_COLUMNS = 8  # that are drawn where none of them ever moved
EFFECTS = (0.05, 0.1, 0.2, 0.4, 0.8)  # from each on a cell is darker
TONES = (0.15, 0.3, 0.5, 0.75, 1.0)
WIDTH, LEFT, RIGHT = 800, 170, 786
WIDEST = 44.0  # of a check
ROW, HEAD, FOOT = 15, 26, 22
TALL = 190  # of the metric's picture
DATES = 7

Scale = Callable[[float], float]


def columns(checks: Sequence[Check]) -> list[str]:
    """What is drawn: columns that moved most often, then those with the largest effects."""
    alarms = Counter(name for one in checks for name in one.drifted_columns)
    largest: dict[str, float] = {}
    for one in checks:
        for name, effect in one.effects.items():
            largest[name] = max(largest.get(name, 0.0), abs(effect))
    known = sorted(set(largest) | set(alarms))
    ranked = sorted(known, key=lambda name: (-alarms[name], -largest.get(name, 0.0)))
    return ranked[: max(CALM_COLUMNS, min(MOST_COLUMNS, len(alarms)))]


def tone(effect: float) -> int:
    """How dark a cell is: 0 nothing, 5 the darkest.

    >>> [tone(effect) for effect in (0.01, 0.05, -0.3, 2.0)]
    [0, 1, 3, 5]
    """
    return sum(abs(effect) >= limit for limit in EFFECTS)


def versions(checks: Sequence[Check]) -> list[tuple[int, int]]:
    """Where a version's checks begin: place and version; the first is at 0."""
    changes = [
        (at, now.version)
        for at, (before, now) in enumerate(pairwise(checks), start=1)
        if before.version != now.version
    ]
    return [(0, checks[0].version), *changes] if checks else []


def measured(checks: Sequence[Check]) -> list[tuple[int, Check]]:
    """The checks that have a figure of the metric that the last of them has, with their places."""
    known = [
        (at, one)
        for at, one in enumerate(checks)
        if one.metric and (one.value is not None or one.estimate is not None)
    ]
    return [(at, one) for at, one in known if one.metric == known[-1][1].metric]


def drift(checks: Sequence[Check]) -> str:
    """The heat map: a row a column, a cell a check, darker with its effect; red where it moved.

    Args:
        checks: oldest first; `Checks.latest` has one a window.
    """
    names = columns(checks)
    each = _each(checks)
    base = HEAD + ROW * (len(names) + 1)
    shapes = [label(LEFT - 8, HEAD + ROW - 4, "verdict", anchor="end")]
    for outcome, colour in VERDICTS.items():
        hit = [one.outcome is outcome for one in checks]
        shapes += _cells(hit, HEAD, each, f'fill="{colour}"')
    for row, name in enumerate(names, start=1):
        top = HEAD + ROW * row
        shapes.append(label(LEFT - 8, top + ROW - 4, middle(name, 26), anchor="end"))
        tones = [tone(one.effects.get(name, 0.0)) for one in checks]
        moved = [name in one.drifted_columns for one in checks]
        for level in range(1, len(TONES) + 1):
            calm = [at == level and not alarm for at, alarm in zip(tones, moved, strict=True)]
            shapes += _cells(calm, top, each, f'fill="{REFERENCE}" opacity="{TONES[level - 1]}"')
            hot = [alarm and max(at, 2) == level for at, alarm in zip(tones, moved, strict=True)]
            shapes += _cells(hot, top, each, f'fill="{LIVE}" opacity="{TONES[level - 1]}"')
            if each >= 8:
                shapes += _dots(hot, top, each)
    shapes += _marks(checks, each, base)
    shapes += _tones(base + FOOT + 4)
    told = sum(bool(one.drifted_columns) for one in checks)
    words = f"{told} of {len(checks)} checks found drift"
    return frame(WIDTH, base + FOOT + 18, "drift by column and check", words, shapes, grows=True)


def performance(checks: Sequence[Check], *, caption: str = "") -> str:
    """The metric of each check with its 95 % interval, against the hold-out's; estimates dashed.

    Args:
        checks: oldest first.
        caption: what the points are, where they are no checks.

    Returns:
        SVG; empty where no check has labels or an estimate.
    """
    known = measured(checks)
    if not known:
        return ""
    each, metric = _each(checks), known[-1][1].metric
    low, high = limits([one for _, one in known])
    top, base = HEAD + 4, TALL - FOOT

    def y(value: float) -> float:
        return base - (base - top) * (value - low) / (high - low)

    shapes = [label(LEFT - 52, top + 4, middle(metric, 18), anchor="end")]
    for value in ticks(low, high):
        shapes.append(label(LEFT - 8, y(value) + 3, number(value, 6), anchor="end"))
        shapes.append(
            f'<path d="M{LEFT} {y(value):.1f}H{RIGHT}" stroke="currentColor" opacity=".12"/>'
        )
    for at, one in known:
        shapes += _expected(one, LEFT + at * each, each, y)
    shapes += _estimates(known, each, y)
    shapes += _values(known, each, y)
    shapes += _marks(checks, each, base, caption)
    shapes += _key(known)
    labelled = sum(one.value is not None for _, one in known)
    title = f"{metric} {caption}" if caption else f"{metric} by check"
    words = f"{labelled} of {len(checks)} have labels; {metric} on the last: " + number(
        known[-1][1].value if known[-1][1].value is not None else known[-1][1].estimate
    )
    return frame(WIDTH, TALL, title, words, shapes, grows=True)


def limits(checks: Sequence[Check]) -> tuple[float, float]:
    """What the axis of the metric spans: all figures, intervals up to three times their spread."""
    figures = [
        value
        for one in checks
        for value in (one.value, one.expected, one.estimate)
        if value is not None
    ]
    ends = [
        value
        for one in checks
        for value in (one.low, one.high, one.expected_low, one.expected_high)
        if value is not None
    ]
    low, high = min(figures), max(figures)
    reach = max(high - low, abs(high) * 0.02, 1e-9)
    low = min([low, *(max(end, low - reach) for end in ends)])
    high = max([high, *(min(end, high + reach) for end in ends)])
    edge = 0.06 * max(high - low, abs(high) * 0.02, 1e-9)
    return low - edge, high + edge


def ticks(low: float, high: float) -> list[float]:
    """Round figures within an axis, three to six of them.

    >>> ticks(0.571, 0.764)
    [0.6, 0.65, 0.7, 0.75]
    """
    power = 10.0 ** floor(log10((high - low) / 3))
    step = max(power * much for much in (1, 2, 5) if (high - low) / (power * much) >= 3)
    first, last = ceil(low / step), floor(high / step)
    return [round(step * at, 12) for at in range(first, last + 1)]


def dates(checks: Sequence[Check]) -> Iterator[tuple[int, str]]:
    """Places and the days that their windows begin, as many as there is room for."""
    room = max(1, int((RIGHT - LEFT) / DATES / _each(checks)))
    step = max(room, -(-len(checks) // DATES))
    for at in range(0, len(checks), step):
        window = checks[at].window
        yield at, (window[0] if window else checks[at].time)[:10]


def _each(checks: Sequence[Check]) -> float:
    return min(WIDEST, (RIGHT - LEFT) / max(1, len(checks)))


def _cells(hit: Sequence[bool], top: float, each: float, look: str) -> list[str]:
    """One path of all cells of a row that look alike; neighbours are one shape."""
    path, at = "", 0
    gap = 1.0 if each >= 6 else 0.0
    while at < len(hit):
        if not hit[at]:
            at += 1
            continue
        end = at + 1
        while not gap and end < len(hit) and hit[end]:
            end += 1
        left, wide = LEFT + at * each, (end - at) * each - gap
        path += f"M{left:.1f} {top:.4g}h{wide:.1f}v{ROW - 2}h-{wide:.1f}z"
        at = end
    return [f'<path d="{path}" {look}/>'] if path else []


def _tones(top: float) -> list[str]:
    """What the colours of the cells mean."""
    shapes = []
    for place, opacity in enumerate(TONES):
        x = LEFT + 13 * place
        shapes += [
            f'<path d="M{x} {top:.4g}h12v9h-12z" fill="{REFERENCE}" opacity="{opacity}"/>',
            f'<path d="M{x + 340} {top:.4g}h12v9h-12z" fill="{LIVE}" opacity="{opacity}"/>',
        ]
    limits = " ".join(f"{limit:g}" for limit in EFFECTS)
    shapes.append(label(LEFT + 71, top + 8, f"effect from {limits} on, not flagged"))
    shapes.append(label(LEFT + 411, top + 8, "the same, flagged"))
    return shapes


def _dots(hit: Sequence[bool], top: float, each: float) -> list[str]:
    """An alarm has a dot too, for those who do not tell the colours apart."""
    path = "".join(
        f"M{LEFT + (at + 0.5) * each - 2:.1f} {top + ROW / 2 - 1:.4g}h3"
        for at, here in enumerate(hit)
        if here
    )
    return [f'<path d="{path}" stroke="currentColor" stroke-width="3"/>'] if path else []


def _marks(checks: Sequence[Check], each: float, base: float, caption: str = "") -> list[str]:
    """Versions as lines from top to bottom, calls for retraining as triangles, dates below."""
    shapes = [label(LEFT, HEAD - 9, caption)] if caption else []
    free = float(WIDTH) if caption else 0.0
    for at, version in versions(checks):
        x = LEFT + at * each
        if at:
            shapes.append(
                f'<path d="M{x - 0.5:.1f} {HEAD - 6}V{base:.4g}" stroke="currentColor"'
                ' stroke-dasharray="3 2" opacity=".7"/>'
            )
        if x >= free:
            shapes.append(label(x, HEAD - 9, f"version {version}" if not at else f"v{version}"))
            free = x + (52 if not at else 22)
    called = "".join(
        f"M{LEFT + (at + 0.5) * each - 3.5:.1f} {base + 8:.4g}l3.5-6l3.5 6z"
        for at, (before, one) in enumerate(zip([None, *checks], checks, strict=False))
        if one.retrain and not (before is not None and before.retrain)
    )
    if called:
        tip = "<title>retraining is called for from here on</title>"
        shapes.append(f'<path d="{called}" fill="{UNSURE}">{tip}</path>')
    for at, day in dates(checks):
        x = min(LEFT + at * each, RIGHT - 54)
        shapes.append(label(x, base + FOOT - 4, day))
    return shapes


def _expected(one: Check, left: float, each: float, y: Scale) -> Iterator[str]:
    """The hold-out's figure over the width of a check, with its interval as a band."""
    if one.expected is None:
        return
    if one.expected_low is not None and one.expected_high is not None:
        top, low = y(one.expected_high), y(one.expected_low)
        yield (
            f'<path d="M{left:.1f} {top:.1f}h{each:.1f}V{low:.1f}h-{each:.1f}z"'
            f' fill="{REFERENCE}" opacity=".25"/>'
        )
    yield (
        f'<path d="M{left:.1f} {y(one.expected):.1f}h{each:.1f}" stroke="{REFERENCE}"'
        ' stroke-width="1.5"/>'
    )


def _estimates(known: Sequence[tuple[int, Check]], each: float, y: Scale) -> Iterator[str]:
    path, before = "", -2
    for at, one in known:
        if one.estimate is None:
            continue
        x = LEFT + (at + 0.5) * each
        if at == before + 1:
            path += f"L{x:.1f} {y(one.estimate):.1f}"
        else:  # one alone can be seen
            path += f"M{x - 4:.1f} {y(one.estimate):.1f}h8M{x:.1f} {y(one.estimate):.1f}"
        before = at
    if path:
        yield (
            f'<path d="{path}" fill="none" stroke="{UNSURE}" stroke-width="1.6"'
            ' stroke-dasharray="5 3" stroke-linecap="round"/>'
        )


def _values(known: Sequence[tuple[int, Check]], each: float, y: Scale) -> Iterator[str]:
    """Points with whiskers; red where labels show harm."""
    size = min(3.5, max(1.2, each / 2.5))
    for harmed, colour in ((False, "currentColor"), (True, LIVE)):
        whiskers, points = "", ""
        for at, one in known:
            if one.value is None or one.harmed is not harmed:
                continue
            x = LEFT + (at + 0.5) * each
            if one.low is not None and one.high is not None:
                top, base = max(HEAD, y(one.high)), min(TALL - FOOT, y(one.low))
                whiskers += f"M{x:.1f} {top:.1f}V{base:.1f}"
            points += f"M{x - 0.05:.1f} {y(one.value):.1f}h.1"
        if whiskers:
            yield f'<path d="{whiskers}" stroke="{colour}" stroke-width="1.2" opacity=".75"/>'
        if points:
            yield (
                f'<path d="{points}" stroke="{colour}" stroke-width="{2 * size:.3g}"'
                ' stroke-linecap="round"/>'
            )


def _key(known: Sequence[tuple[int, Check]]) -> Iterator[str]:
    """What is what, on the left below the name of the metric."""
    rows = (
        ("currentColor", "with labels", any(one.value is not None for _, one in known)),
        (LIVE, "harmed", any(one.harmed for _, one in known)),
        (UNSURE, "estimated", any(one.estimate is not None for _, one in known)),
        (REFERENCE, "hold-out", any(one.expected is not None for _, one in known)),
    )
    top = HEAD + 24
    for colour, words, shown in rows:
        if shown:
            yield f'<path d="M8 {top}h12" stroke="{colour}" stroke-width="3"/>'
            yield label(26, top + 3, words)
            top += 15
