"""Scores of columns that are known by their counts only, and how far they may be from the truth.

>>> import polars as pl
>>> from lifecycle.drift.counting import build_profile
>>> rows = pl.DataFrame({"x": [float(value) for value in range(1000)]})
>>> reference = build_profile(rows)
>>> live = build_profile(rows * 0.8, like=reference)
>>> found = from_profiles(reference.columns["x"], live.columns["x"])
>>> f"{found.value:.3f} ± {found.bounds['wasserstein']:.3f}"  # of all rows it is 0.346
'0.346 ± 0.053'

Between two edges a distribution function lies between its values at them, and nothing lies beyond
a side's smallest and largest value; from that every score is bounded term by term. The bounds hold
for whatever the rows were (of 64-bit numbers); complete levels give the scores of all rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lifecycle.drift.cells import Floats, Integers
from lifecycle.drift.profile import LEVELLED, MOST, ColumnProfile
from lifecycle.drift.scores import (
    FEW_KEYS,
    FEW_VALUES,
    JENSEN_SHANNON,
    LEAST_DEVIATION,
    PSI,
    WASSERSTEIN,
    Scores,
    bins,
    divergences,
    instabilities,
    stand_in,
)

Bounded = tuple[str, float, tuple[float, float]]  # a score, a guess at it, its limits
LOG2 = float(np.log(2))
ROUNDING = 1e-12  # of sums of as many floats as there are rows


@dataclass(frozen=True)
class Shares:
    """One side's shares of the same keys, each between two limits, and of all other keys.

    Attributes:
        low: smallest share of each key, shape (k,).
        high: largest.
        other: smallest and largest share of all keys that are not told apart.
        rows: of the side, with a value.
    """

    low: Floats
    high: Floats
    other: tuple[float, float]
    rows: int

    @cached_property
    def fill(self) -> tuple[float, float]:
        """Between what PSI may take this side's shares of nothing."""
        known = self.high[self.low > 0]
        certain = float(known.min()) if known.size else 1.0
        open_keys = (self.high > self.low).any() or self.other[1] > 0
        least = 1 / self.rows if open_keys else certain
        most = min(certain, self.other[1]) if self.other[0] > 0 else certain
        return stand_in(least), stand_in(most)

    def filled(self) -> tuple[Floats, Floats]:
        """The limits as PSI takes them: a share of nothing has its stand-in."""
        least, most = self.fill
        some = np.minimum(1 / self.rows, least)  # a share that is not nothing is one row at least
        low = np.where(self.low > 0, self.low, np.where(self.high > 0, some, least))
        return low, np.where(self.low > 0, self.high, np.maximum(self.high, most))


def from_profiles(reference: ColumnProfile, current: ColumnProfile) -> Scores | None:
    """Scores and bounds of two columns that were counted in the same cells.

    Returns:
        None where a side has no value or the kinds differ.
    """
    if reference.kind != current.kind:
        return None
    if reference.kind in LEVELLED:
        return _of_levels(reference, current)
    if reference.kind != "numeric" or not reference.finite or not current.finite:
        return None
    curves = Curve.of(reference), Curve.of(current)
    found = [*_distance(reference, current, curves), *_of_shares(reference, current, curves)]
    values = len(reference.edges) - 1
    new = not current.complete or _beyond(current) > 0
    few = reference.complete and values + new <= FEW_VALUES
    return _scores(JENSEN_SHANNON if few else WASSERSTEIN, found)


def _scores(name: str, found: list[Bounded]) -> Scores:
    figures, limits = {}, {}
    for score, guess, (low, high) in found:
        figures[score] = min(max(guess, low), high)
        limits[score] = max(high - figures[score], figures[score] - low)
    return Scores(name, figures, limits)


def _beyond(column: ColumnProfile) -> int:
    """Finite values outside the cells."""
    return column.counts[0] + column.counts[-2] - sum(column.infinite)


def _of_levels(reference: ColumnProfile, current: ColumnProfile) -> Scores | None:
    sides = []
    for column in (reference, current):
        counts = np.array(column.counts[:-1])
        rows = int(counts.sum())
        if not rows:
            return None
        shares = counts / rows
        other = float(shares[-1])
        sides.append(Shares(shares[:-1], shares[:-1], (other, other), rows))
    return _scores(JENSEN_SHANNON, _keyed(sides[0], sides[1], [side.low for side in sides]))


def _of_shares(
    reference: ColumnProfile, current: ColumnProfile, curves: "tuple[Curve, Curve]"
) -> list[Bounded]:
    """Jensen-Shannon distance and PSI of numbers; nothing where no one can tell how to count."""
    keys = len(reference.edges) - 1
    if reference.complete and keys <= FEW_KEYS:
        one = np.array(reference.counts[1:-2]) / reference.finite
        two = np.array(current.counts[1:-2]) / current.finite
        beyond = _beyond(current) / current.finite
        known = current.complete
        live = Shares(
            two if known else np.zeros(keys),
            two,
            (beyond, beyond if known else 1.0),
            current.finite,
        )
        return _keyed(Shares(one, one, (0.0, 0.0), reference.finite), live, [one, two])
    if keys <= FEW_KEYS:  # there may be more values than keys, or not
        return []
    ends = _ends(reference, current)
    rows = reference.finite + current.finite
    either = (False, True) if all(edge % 1 == 0 for edge in reference.edges[1:]) else (False,)
    edges = [bins(ends[0], ends[1], rows, whole=whole, single=False) for whole in either]
    cuts = [item for item in edges if item is not None]
    if len(cuts) == 2 and np.array_equal(cuts[0], cuts[1]):
        cuts = cuts[:1]
    found = [_binned(curves, item) for item in cuts]
    if len(found) < 2:
        return found[0] if found else []
    return [
        (name, guess, (min(other[0], limits[0]), max(other[1], limits[1])))
        for (name, _, other), (_, guess, limits) in zip(*found, strict=True)
    ]


def _ends(*columns: ColumnProfile) -> tuple[float, float]:
    lows = [column.low for column in columns if column.low is not None]
    highs = [column.high for column in columns if column.high is not None]
    return min(lows), max(highs)


def _binned(curves: "tuple[Curve, Curve]", edges: Floats) -> list[Bounded]:
    sides, guesses = [], []
    for curve in curves:
        low, high = curve.below(edges)
        share = np.maximum(0.0, low[1:] - high[:-1]), np.maximum(0.0, high[1:] - low[:-1])
        sides.append(Shares(*share, (0.0, 0.0), curve.rows))
        guess = np.minimum(np.maximum(curve.guess(edges), low), high)
        guesses.append(guess[1:] - guess[:-1])
    return _keyed(sides[0], sides[1], guesses)


def _keyed(one: Shares, two: Shares, guesses: list[Floats]) -> list[Bounded]:
    """Jensen-Shannon distance and PSI of keys and of all others, which are not told apart."""
    shares = (one.low, one.high), (two.low, two.high)
    low, guess, high = _boxed(divergences, *shares, guesses)
    if one.other[1] or two.other[1]:  # no key is on both sides at most; at least, all are one
        others = [np.array([limit]) for limit in (*one.other, *two.other)]
        pair = [others[0], others[2]]
        added = _boxed(divergences, tuple(others[:2]), tuple(others[2:]), pair)
        low, guess = low + added[0], guess + added[1]
        high += (one.other[1] + two.other[1]) * LOG2
    ends = low, min(high, 2 * LOG2), guess
    least, most, near = (float(np.sqrt(max(0.0, item) / 2)) for item in ends)
    distance = (JENSEN_SHANNON, near, (least, most))
    filled = one.filled(), two.filled()
    inside = [
        np.minimum(np.maximum(share, side[0]), side[1])
        for share, side in zip(guesses, filled, strict=True)
    ]
    low, guess, high = _boxed(instabilities, *filled, inside)
    rest = _unknown_instability(one, two)
    return [distance, (PSI, guess + rest[1], (low + rest[0], high + rest[2]))]


def _unknown_instability(one: Shares, two: Shares) -> tuple[float, float, float]:
    """What keys that are not told apart may add to PSI: least, a guess, most."""
    if not (one.other[1] or two.other[1]):
        return 0.0, 0.0, 0.0
    if one.other[1]:  # keys on both sides: |p - q| is at most p + q, each ratio that of the ends
        ends = (*one.fill, *two.fill, 1 / one.rows, 1 / two.rows)
        widest = np.log(max(*ends, one.other[1], two.other[1]) / min(ends))
        filled = two.other[1] * two.rows * one.fill[1] + one.other[1] * one.rows * two.fill[1]
        most = (one.other[1] + two.other[1] + filled) * widest
        pair = (max(one.other[0], one.fill[0]), max(two.other[0], two.fill[0]))
        return 0.0, float(instabilities(*np.array(pair)[:, None]).sum()), float(most)
    fills, single = np.array(one.fill), 1 / two.rows  # new keys: of one row each, or all one key

    def per_row(share: float) -> Floats:
        return instabilities(fills, np.full(2, share)) / share

    most = two.other[1] * max(per_row(single).max(), per_row(two.other[1]).max())
    least = two.other[0] * per_row(single)[1] if single >= fills[1] else 0.0
    guess = two.other[0] * per_row(two.other[0])[0] if two.other[0] else 0.0
    return float(least), float(guess), float(most)


def _boxed(
    parts: Callable[[Floats, Floats], Floats],
    one: tuple[Floats, ...],
    two: tuple[Floats, ...],
    guesses: list[Floats],
) -> tuple[float, float, float]:
    """The least sum of each key's part, that of the guesses, and most, for shares between limits.

    Both parts are convex and 0 where the shares are equal: most is in a corner, least where the
    shares are nearest.
    """
    if one[0] is one[1] and two[0] is two[1]:
        total = float(parts(one[0], two[0]).sum())
        return total, total, total
    above = one[0] > two[1]
    nearest = np.where(above, one[0], one[1]), np.where(above, two[1], two[0])
    first = np.array([one[0], one[0], one[1], one[1], nearest[0], guesses[0]])
    second = np.array([two[0], two[1], two[0], two[1], nearest[1], guesses[1]])
    found = parts(first, second)
    apart = above | (two[0] > one[1])
    return float(found[4][apart].sum()), float(found[5].sum()), float(found[:4].max(axis=0).sum())


@dataclass(frozen=True)
class Curve:
    """What counts tell of a distribution function.

    Attributes:
        edges: where it is known, ascending.
        upto: its values there.
        ends: smallest and largest value.
        steps: whether it rises at edges only, between the first and the last.
        rows: how many values it is of.
    """

    edges: Floats
    upto: Floats
    ends: tuple[float, float]
    steps: bool
    rows: int

    @classmethod
    def of(cls, column: ColumnProfile) -> "Curve":
        """The distribution function of a column's finite values."""
        upto = np.array(column.counts[:-2]).cumsum() - column.infinite[0]
        edges, rows = np.array(column.edges), column.finite
        return cls(edges, upto / rows, _ends(column), column.complete, rows)

    @cached_property
    def padded(self) -> Floats:
        """Its values at the edges, from 0 to 1."""
        return np.concatenate(([0.0], self.upto, [1.0]))

    @cached_property
    def known(self) -> tuple[Floats, Floats]:
        """Where it is known, its ends included, and its values there."""
        inside = (self.edges > self.ends[0]) & (self.edges < self.ends[1])
        places = np.concatenate(([self.ends[0]], self.edges[inside], [self.ends[1]]))
        return places, np.concatenate(([0.0], self.upto[inside], [1.0]))

    def _within(self, cell: Integers) -> tuple[Floats, Floats]:
        """Its limits inside cells, each named by how many edges lie below it."""
        low, high = self.padded[cell], self.padded[cell + 1]
        if self.steps:
            high = np.where((cell > 0) & (cell < self.edges.size), low, high)
        return low, high

    def below(self, points: Floats) -> tuple[Floats, Floats]:
        """Limits of the share of values less than each point; the last point counts as well."""
        low, high = self._within(self.edges.searchsorted(points))
        nothing, all_ = points <= self.ends[0], points > self.ends[1]
        all_[-1] = True
        low, high = np.where(all_, 1.0, low), np.where(all_, 1.0, high)
        return np.where(nothing & ~all_, 0.0, low), np.where(nothing & ~all_, 0.0, high)

    def between(self, grid: Floats) -> tuple[Floats, Floats]:
        """Limits between neighbouring points, which hold all edges and ends of the curve."""
        low, high = self._within(self.edges.searchsorted(grid[:-1], side="right"))
        low = np.where(grid[:-1] >= self.ends[1], 1.0, low)
        return low, np.where(grid[1:] <= self.ends[0], 0.0, high)

    def guess(self, points: Floats) -> Floats:
        """Its values if values were spread evenly between edges."""
        return np.asarray(np.interp(points, *self.known), dtype=np.float64)


def _distance(
    reference: ColumnProfile, current: ColumnProfile, curves: "tuple[Curve, Curve]"
) -> list[Bounded]:
    """Wasserstein distance; nothing where sums are beyond all numbers."""
    if max(reference.squares, current.squares) >= MOST:
        return []
    one, two = curves
    grid = np.unique(np.concatenate((one.edges, one.ends, two.ends)))
    widths = grid[1:] - grid[:-1]
    (low_one, high_one), (low_two, high_two) = one.between(grid), two.between(grid)
    most = float(np.maximum(high_one - low_two, high_two - low_one) @ widths)
    least = float(np.maximum(0.0, np.maximum(low_one - high_two, low_two - high_one)) @ widths)
    means = [column.total / column.finite for column in (reference, current)]
    scale = sum((column.squares / column.finite) ** 0.5 for column in (reference, current))
    least = max(least, abs(means[0] - means[1]) - ROUNDING * scale)
    gaps = one.guess(grid) - two.guess(grid)
    guess = float(_area(gaps[:-1], gaps[1:]) @ widths)
    mean_square = reference.squares / reference.finite
    variance = mean_square - means[0] ** 2
    spreads = [
        max(LEAST_DEVIATION, max(0.0, variance + slack) ** 0.5)
        for slack in (-ROUNDING * mean_square, 0.0, ROUNDING * mean_square)
    ]
    return [(WASSERSTEIN, guess / spreads[1], (least / spreads[2], most / spreads[0]))]


def _area(start: Floats, stop: Floats) -> Floats:
    """The mean height of lines from one value to another, without sign."""
    sums = np.abs(start) + np.abs(stop)
    crossed = np.divide(start**2 + stop**2, 2 * sums, out=np.zeros_like(sums), where=sums > 0)
    return np.where(start * stop < 0, crossed, sums / 2)
