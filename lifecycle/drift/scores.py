"""Evidently's scores, computed on all rows: Wasserstein and Jensen-Shannon distances, and PSI.

>>> jensen_shannon(np.array([1, 1]), np.array([2, 0]))
0.4645...
>>> found = exact(pl.Series([1.0, 2.0, 3.0]), pl.Series([2.0, 3.0, 5.0]))
>>> found.name, round(found.figures["wasserstein"], 4)
('jensenshannon', 1.633)

Definitions as in evidently 0.7 (`legacy/calculations/stattests`), without null and infinite values:

- Wasserstein distance of numbers over the reference's standard deviation (ddof 0, 0.001 or more);
- Jensen-Shannon distance with the natural logarithm, and PSI, of the shares of each value; of
  numbers with more than 20 different values in the reference, of bins of equal width over both
  sides, as many as Sturges's rule gives. PSI takes a share of nothing as 0.0001, or as a millionth
  of the side's smallest share where that is at most 0.0001.

Its choice is the Wasserstein distance of numbers with more than 5 different values in both sides
together, and the Jensen-Shannon distance of everything else. Where a side is known by its counts
only, scores are bounded (`lifecycle.drift.bounds`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from scipy.special import rel_entr

from lifecycle.drift.cells import Floats, Integers, distinct
from lifecycle.drift.columns import Ordered
from lifecycle.drift.kinds import kind_of, level_rows, ordered

FEW_VALUES = 5  # up to so many different numbers are compared as levels are …
FEW_KEYS = 20  # … and up to so many in the reference are counted one by one
WASSERSTEIN = "wasserstein"
JENSEN_SHANNON = "jensenshannon"
PSI = "psi"
LEAST_DEVIATION = 0.001
RARE = 1e-4
SLICE = 1 << 16  # quantiles that are compared at once, of sides with unequal rows


@dataclass(frozen=True)
class Scores:
    """One column's scores.

    Attributes:
        name: the score that Evidently shows by default.
        figures: by name.
        bounds: how far each may be from Evidently's; 0 where they are of all rows.
    """

    name: str
    figures: Mapping[str, float]
    bounds: Mapping[str, float] = field(default_factory=dict)

    @property
    def value(self) -> float | None:
        """Evidently's own figure."""
        return self.figures.get(self.name)


def exact(reference: pl.Series, current: pl.Series) -> Scores | None:
    """Evidently's scores of two columns of the same kind; None where one has no value."""
    if kind_of(reference) == "numeric":
        return of_numbers(ordered(reference), ordered(current))
    return of_levels(level_rows(reference), level_rows(current))


def of_numbers(one: Ordered, two: Ordered) -> Scores | None:
    """The scores of two numeric columns, the reference first; None where one has no value."""
    if not one.values.size or not two.values.size:
        return None
    figures = {}
    with np.errstate(over="ignore", invalid="ignore"):
        distance, spread = area(one.values, two.values), deviation(one)
    if np.isfinite(distance + spread):  # else the values are beyond what can be squared
        figures[WASSERSTEIN] = distance / spread
    shares = _shares(one, two)
    if shares is not None:
        figures |= {JENSEN_SHANNON: jensen_shannon(*shares), PSI: stability_index(*shares)}
    few = _few(one, two)
    return Scores(JENSEN_SHANNON if few else WASSERSTEIN, figures, dict.fromkeys(figures, 0.0))


def _few(one: Ordered, two: Ordered) -> bool:
    """Whether both sides together have at most five different values."""
    first, second = (distinct(side.values, FEW_VALUES) for side in (one, two))
    if first is None or second is None:
        return False
    return np.union1d(first, second).size <= FEW_VALUES


def of_levels(one: pl.DataFrame, two: pl.DataFrame) -> Scores | None:
    """The scores of two tables of each `level` and its `rows`; None where one is empty."""
    if not one.height or not two.height:
        return None
    both = one.join(two, on="level", how="full", coalesce=True).sort("level")
    counts = [both[name].fill_null(0).to_numpy() for name in ("rows", "rows_right")]
    figures = {JENSEN_SHANNON: jensen_shannon(*counts), PSI: stability_index(*counts)}
    return Scores(JENSEN_SHANNON, figures, dict.fromkeys(figures, 0.0))


def area(one: Floats, two: Floats) -> float:
    """The area between two empirical distributions: the mean distance of their quantiles.

    >>> area(np.array([0.0, 1.0]), np.array([0.0, 3.0]))
    1.0
    >>> area(np.array([1.0]), np.array([0.0, 4.0]))
    2.0

    Args:
        one: finite values, sorted, shape (m,).
        two: finite values, sorted, shape (n,).
    """
    if one.size == two.size:
        return float(np.abs(one - two).mean())
    starts = range(0, one.size, SLICE)
    parts = [_area(one, two, at, min(at + SLICE, one.size)) for at in starts]
    return float(sum(parts) / one.size / two.size)


def _area(one: Floats, two: Floats, start: int, stop: int) -> float:
    """The part of the area at the quantiles from start/m to stop/m, times m n.

    Value i of one side spans the quantiles from i/m to (i + 1)/m, of the other from i/n on. In
    units of 1/(m n) all ends are whole; merged in order, they tell which two values meet.
    """
    m, n = one.size, two.size
    first, last = start * n // m, -(-stop * n // m)
    ends = np.concatenate(
        (np.arange(start + 1, stop + 1) * (2 * n), np.arange(first + 1, last) * (2 * m) + 1)
    )
    ends.sort()
    theirs = ends & 1
    before = np.cumsum(theirs) - theirs
    at_one = start + np.arange(ends.size) - before
    widths = np.diff(ends >> 1, prepend=start * n)
    return float((np.abs(one[at_one] - two[first + before]) * widths).sum())


def deviation(values: Ordered) -> float:
    """What Evidently divides the distance by, of the reference."""
    spread = float(values.values.std())
    if values.single:  # pandas answers in the column's own type
        spread = float(np.sqrt(np.float32(values.values.var())))
    return spread if np.isnan(spread) else max(spread, LEAST_DEVIATION)


def bins(low: float, high: float, rows: int, *, whole: bool, single: bool) -> Floats | None:
    """The edges of numpy's bins by Sturges's rule; None where the range is beyond all numbers.

    >>> bins(0.0, 10.0, 16, whole=False, single=False).tolist()
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]

    Args:
        low: smallest value of both sides.
        high: largest.
        rows: values of both sides.
        whole: both are of a type of whole numbers; then no bin is narrower than 1.
        single: both are of 32-bit floats.
    """
    kind = np.float32 if single else np.float64
    first, last = kind(low), kind(high)
    with np.errstate(over="ignore"):
        spread = last - first
    if not np.isfinite(spread):
        return None
    width = spread / (np.log2(rows) + 1.0)
    if whole:
        width = max(width, 1.0)
    count = int(np.ceil(spread / width)) if width else 1
    return np.linspace(first, last, count + 1, dtype=kind).astype(np.float64)


def _shares(one: Ordered, two: Ordered) -> tuple[Integers, Integers] | None:
    """Counts of the same keys or bins of both sides."""
    keys = distinct(one.values, FEW_KEYS)
    if keys is not None:
        found = [np.unique(side.values, return_counts=True) for side in (one, two)]
        keys = np.union1d(found[0][0], found[1][0])
        counts = np.zeros((2, keys.size), dtype=np.int64)
        for row, (values, many) in zip(counts, found, strict=True):
            row[np.searchsorted(keys, values)] = many
        return counts[0], counts[1]
    low, high = (
        float(choose(one.values[at], two.values[at])) for choose, at in ((min, 0), (max, -1))
    )
    rows = one.values.size + two.values.size
    whole, single = one.whole and two.whole, one.single and two.single
    edges = bins(low, high, rows, whole=whole, single=single)
    if edges is None:
        return None
    return _binned(one, edges), _binned(two, edges)


def _binned(side: Ordered, edges: Floats) -> Integers:
    upto = np.append(side.below(edges[:-1]), side.upto(edges[-1:]))
    return upto[1:] - upto[:-1]


def jensen_shannon(reference: Integers | Floats, current: Integers | Floats) -> float:
    """Jensen-Shannon distance of two vectors of counts of the same values."""
    one, two = reference / reference.sum(), current / current.sum()
    return float(np.sqrt(max(0.0, float(divergences(one, two).sum()) / 2)))


def divergences(one: Floats, two: Floats) -> Floats:
    """Each key's part of twice the Jensen-Shannon divergence of two vectors of shares."""
    middle = (one + two) / 2
    return np.asarray(rel_entr(one, middle) + rel_entr(two, middle), dtype=np.float64)


def stability_index(reference: Integers | Floats, current: Integers | Floats) -> float:
    """Population stability index of two vectors of counts of the same values."""
    one, two = (_filled(side / side.sum()) for side in (reference, current))
    return float(instabilities(one, two).sum())


def instabilities(one: Floats, two: Floats) -> Floats:
    """Each key's part of the population stability index; shares above 0."""
    return np.asarray((one - two) * np.log(one / two))


def stand_in(least: float) -> float:
    """What a share of nothing is taken as, where the side's smallest share is `least`."""
    return least / 10**6 if least <= RARE else RARE


def _filled(shares: Floats) -> Floats:
    known = shares[shares > 0]
    return np.where(shares > 0, shares, stand_in(float(known.min())) if known.size else RARE)
