"""Evidently's default scores, computed on all rows: Wasserstein and Jensen-Shannon distances.

>>> jensen_shannon(np.array([1, 1]), np.array([2, 0]))
0.4645...

Definitions as in evidently 0.7 (`legacy/calculations/stattests`): a number with more than 5
different values in the reference has the Wasserstein distance over the reference's standard
deviation (ddof 0, at least 0.001); everything else the square root of the Jensen-Shannon divergence
of the value counts, natural logarithm. Null and infinite values are left out.
"""

import numpy as np
import polars as pl

from lifecycle.drift.cells import Floats, Integers
from lifecycle.drift.kinds import kind_of, numbers, texts
from lifecycle.drift.profile import ColumnProfile

FEW_VALUES = 5
WASSERSTEIN = "wasserstein"
JENSEN_SHANNON = "jensenshannon"
Score = tuple[float, str] | None  # the figure and its name; None where a side has no value


def wasserstein(reference: Floats, current: Floats) -> float:
    """The area between both empirical distributions over the reference's standard deviation.

    Args:
        reference: finite values, shape (m,), sorted or not.
        current: finite values, shape (n,).
    """
    one, two = np.sort(reference), np.sort(current)
    every = np.concatenate((one, two))
    every.sort(kind="mergesort")
    below_one = np.searchsorted(one, every[:-1], side="right") / one.size
    below_two = np.searchsorted(two, every[:-1], side="right") / two.size
    area = float(np.abs(below_one - below_two) @ np.diff(every))
    return area / max(float(np.std(one)), 0.001)


def jensen_shannon(reference: Integers | Floats, current: Integers | Floats) -> float:
    """Jensen-Shannon distance of two vectors of counts of the same values."""
    one, two = reference / reference.sum(), current / current.sum()
    middle = (one + two) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = [np.where(item > 0, item * np.log(item / middle), 0.0).sum() for item in (one, two)]
    return float(np.sqrt(max(0.0, sum(parts) / 2)))


def exact(reference: pl.Series, current: pl.Series) -> Score:
    """Evidently's score of two columns of the same kind; None where one has no value."""
    if kind_of(reference) == "numeric":
        sides = [numbers(item) for item in (reference, current)]
        one, two = (item[np.isfinite(item)] for item in sides)
        if not one.size or not two.size:
            return None
        if _more_values(one):
            return wasserstein(one, two), WASSERSTEIN
        counted = [np.unique(item, return_counts=True) for item in (one, two)]
        tables = [dict(zip(*(part.tolist() for part in item), strict=True)) for item in counted]
    else:
        tables = []
        for item in (reference, current):
            rows = texts(item).drop_nulls().alias("level").value_counts(name="rows").rows()
            tables.append({str(row[0]): row[1] for row in rows})
    if not all(tables):
        return None
    names = sorted(set(tables[0]) | set(tables[1]))
    one, two = (np.array([table.get(name, 0) for name in names]) for table in tables)
    return jensen_shannon(one, two), JENSEN_SHANNON


def _more_values(values: Floats) -> bool:
    head = np.unique(values[:1000]).size
    return head > FEW_VALUES or np.unique(values).size > FEW_VALUES


def from_profiles(reference: ColumnProfile, current: ColumnProfile) -> Score:
    """The score from cell counts: Jensen-Shannon is exact, Wasserstein as if flat within a cell."""
    one, two = np.array(reference.counts[:-1]), np.array(current.counts[:-1])
    if not one.sum() or not two.sum() or reference.kind != current.kind:
        return None
    if reference.kind != "numeric" or len(reference.edges) - 1 <= FEW_VALUES:
        return jensen_shannon(one, two), JENSEN_SHANNON
    rows = one.sum()
    mean = reference.total / rows
    deviation = max(0.001, max(0.0, reference.squares / rows - mean**2) ** 0.5)
    edges = np.array(reference.edges)
    low = edges[0] if current.low is None else current.low
    high = edges[-1] if current.high is None else current.high
    ends = (min(edges[0], low), max(edges[-1], high))
    widths = np.diff(np.concatenate(([ends[0]], edges, [ends[1]])))
    gap = np.cumsum(one / rows - two / two.sum())
    start = np.concatenate(([0.0], gap[:-1]))
    crossing = start * gap < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        crossed = (start**2 + gap**2) / (2 * (np.abs(start) + np.abs(gap)))
    height = np.where(crossing, crossed, (np.abs(start) + np.abs(gap)) / 2)
    return float(height @ widths) / deviation, WASSERSTEIN
