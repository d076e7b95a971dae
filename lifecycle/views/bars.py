"""A column's reference and live rows as the same few bars, for every kind of picture.

>>> from lifecycle.records import Outcome
>>> side = {"rows": 4, "null": 1, "levels": ["a", "b"], "counts": [2, 1, 0]}
>>> live = {"rows": 4, "null": 0, "levels": ["a", "b"], "counts": [0, 2, 2]}
>>> made = bars(ColumnDrift("plan", "boolean", False, Outcome.PASS, reference=side, current=live))
>>> made.labels, made.live, made.nulls
(('a', 'b', 'other'), (0.0, 0.5, 0.5), (0.25, 0.0))
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lifecycle.records import ColumnDrift

INNER = 14  # bars within the reference's range; rows outside of it get one more at either end
LEVELS = 10  # levels with a bar of their own
TAIL = 0.02  # share of the reference that an outermost bar may gather where tails are long
LONG = 3.0  # tails are: the range is so many times that of the bulk
BLOCKS = " ▁▂▃▄▅▆▇█"
PLAIN_BLOCKS = " .:-=+*#@"
SHOWN = 0.01  # a change in the share of null rows that is worth a word

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bars:
    """Shares of the rows with a value, by bar; the same bars on both sides.

    Attributes:
        labels: of each bar: a level, a value, or the bar's upper end.
        reference: share of the reference's rows with a value, by bar.
        live: share of the live rows with a value, by bar.
        nulls: share of null rows among all, reference and live.
        ends: the reference's range that the bars span; None for levels.
        outside: whether the first and the last bar are rows beyond the reference's range.
        drifted: whether the column moved.
    """

    labels: tuple[str, ...]
    reference: tuple[float, ...]
    live: tuple[float, ...]
    nulls: tuple[float, float]
    ends: tuple[float, float] | None = None
    outside: tuple[bool, bool] = (False, False)
    drifted: bool = False

    @property
    def null_changed(self) -> bool:
        """Whether the share of null rows is worth a word."""
        return abs(self.nulls[1] - self.nulls[0]) >= SHOWN

    def notes(self) -> tuple[str, ...]:
        """What the bars alone do not say: the level that changed most, and null rows."""
        found = []
        if self.ends is None and self.drifted and self.labels:
            moved = np.abs(np.subtract(self.live, self.reference))
            at = int(moved.argmax())
            if moved[at] >= SHOWN:
                shares = f"{percent(self.reference[at])} → {percent(self.live[at])}"
                found.append(f"{self.labels[at]} {shares}")
        if self.null_changed:
            found.append(f"null {percent(self.nulls[0])} → {percent(self.nulls[1])}")
        return tuple(found)


def percent(share: float) -> str:
    """A share as people read it.

    >>> percent(0.0), percent(0.0004), percent(0.034), percent(0.2), percent(1.0)
    ('0 %', '<0.1 %', '3.4 %', '20 %', '100 %')
    """
    if 0 < share < 0.001:
        return "<0.1 %"
    if 0.995 <= share < 1:
        return ">99 %"
    return f"{100 * share:.{1 if 0 < share < 0.095 else 0}f} %"


def spark(shares: Sequence[float], ramp: str = BLOCKS, *, top: float = 0.0) -> str:
    """One character a bar; no rows are a blank, few rows never are.

    >>> spark([0.0, 0.01, 0.5, 1.0]), spark([0.0, 0.01, 0.5, 1.0], PLAIN_BLOCKS)
    (' ▁▄█', ' .=@')

    Args:
        shares: height of each bar.
        ramp: characters from nothing to full.
        top: the height that is full; by default the highest bar's.
    """
    top = top or max(shares, default=0.0)
    if not top > 0:
        return " " * len(shares)
    full = len(ramp) - 1
    return "".join(ramp[min(full, int(np.ceil(full * share / top)))] for share in shares)


def bars(column: ColumnDrift) -> Bars | None:
    """The bars of a column; None where nothing was counted that could be drawn."""
    one, two = column.reference, column.current
    if not one.get("rows") or not two.get("rows"):
        return None
    nulls = (one.get("null", 0) / one["rows"], two.get("null", 0) / two["rows"])
    counts = [np.asarray(side.get("counts", ()), dtype=np.float64) for side in (one, two)]
    comparable = counts[0].size == counts[1].size and counts[0].sum() > 0
    if comparable and len(one.get("edges", ())) > 1:
        return _numeric(column, counts, nulls)
    if comparable and one.get("levels"):
        return _levels(column, counts, nulls)
    return Bars((), (), (), nulls, drifted=column.drifted) if any(nulls) else None


def _numeric(column: ColumnDrift, counts: list[Floats], nulls: tuple[float, float]) -> Bars:
    edges = np.asarray(column.reference["edges"], dtype=np.float64)
    if edges.size - 1 <= INNER:  # so few cells are the values themselves
        cuts = edges
    else:
        low, high = _range(edges, counts[0][1:-1])
        cuts = np.linspace(low, high, INNER + 1)
    one, two = (_cut(edges, side, cuts) for side in counts)
    outside = (bool(one[0] + two[0]), bool(one[-1] + two[-1]))
    labels = [short(cut) for cut in cuts[1:]]
    labels = [*(["below"] if outside[0] else []), *labels, *(["above"] if outside[1] else [])]
    lowest = column.reference.get("low")
    ends = (float(edges[0] if lowest is None else lowest), float(edges[-1]))
    reference, live = _share(one, outside), _share(two, outside)
    return Bars(tuple(labels), reference, live, nulls, ends, outside, drifted=column.drifted)


def _range(edges: Floats, counts: Floats) -> tuple[float, float]:
    """What equal bars span: all of the reference, or its bulk where tails are long."""
    reached = np.concatenate(([0.0], np.cumsum(counts))) / counts.sum()
    low, high = np.interp([TAIL, 1 - TAIL], reached, edges)
    first, last = float(edges[0]), float(edges[-1])
    if high <= low or last - first <= LONG * (high - low):
        return first, last
    return float(low), float(high)


def _cut(edges: Floats, counts: Floats, cuts: Floats) -> Floats:
    """Counts below, by bar, above: cells that a bar cuts are taken as flat."""
    reached = np.concatenate(([0.0], np.cumsum(counts[1:-1])))
    at = np.interp(cuts, edges, reached)
    at[0], at[-1] = 0.0, reached[-1]
    return np.concatenate((counts[:1], np.diff(at), counts[-1:]))


def _share(counts: Floats, outside: tuple[bool, bool]) -> tuple[float, ...]:
    kept = counts[0 if outside[0] else 1 : None if outside[1] else -1]
    return tuple((kept / max(1.0, counts.sum())).tolist())


def _levels(column: ColumnDrift, counts: list[Floats], nulls: tuple[float, float]) -> Bars:
    names = [str(name) for name in column.reference["levels"]]
    shares = [side / max(1.0, side.sum()) for side in counts]
    known = np.maximum(shares[0][:-1], shares[1][:-1])
    kept = np.sort(np.argsort(-known, kind="stable")[:LEVELS])
    labels = [names[at] for at in kept]
    sides = [side[kept].tolist() for side in shares]
    if len(kept) < len(names):
        labels.append(f"{len(names) - len(kept)} more")
        sides = [
            [*side, max(0.0, share[:-1].sum() - sum(side))]
            for side, share in zip(sides, shares, strict=True)
        ]
    if counts[0][-1] or counts[1][-1]:
        labels.append("other")
        sides = [[*side, share[-1]] for side, share in zip(sides, shares, strict=True)]
    one, two = (tuple(float(share) for share in side) for side in sides)
    return Bars(tuple(labels), one, two, nulls, drifted=column.drifted)


def short(value: float) -> str:
    """A value on an axis.

    >>> short(1234.5), short(0.00012), short(2.0), short(56000000.0)
    ('1,234', '0.00012', '2', '5.6e+07')
    """
    if value == 0 or 0.001 <= abs(value) < 1000:
        return f"{value + 0.0:.3g}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.2g}"
