"""Whether two columns go together as they did: Spearman's correlation of every pair.

>>> correlations(Pairs(), Pairs(), {}, alpha=0.01)
{}

Source: Bonett & Wright (2000), doi:10.1007/BF02294183, the variance of Fisher's z of a rank
correlation. Rows in runs count for what the costlier of the two columns makes of them. Columns that
are held against other hours than the whole reference's have other correlations at those hours:
their pairs are not tested.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lifecycle.drift.findings import LEAST_EFFECT, Finding
from lifecycle.drift.pairs import Pairs
from lifecycle.drift.sides import Pair
from lifecycle.drift.tails import two_sided_z

JOINT_ROWS = 50


@dataclass(frozen=True)
class Correlation:
    """A rank correlation that moved."""

    finding: Finding
    other: str
    before: float
    after: float


def correlations(
    one: Pairs, two: Pairs, pairs: Mapping[str, Pair], *, alpha: float
) -> dict[str, Correlation]:
    """For each column the pair whose rank correlation moved most, where one did.

    Args:
        one: the reference's sums.
        two: the live rows'.
        pairs: the columns that are compared.
        alpha: chance of any alarm on unchanged data, shared out among the pairs.
    """
    names = [name for name in one.names if name in two.names and name in pairs]
    if len(names) < 2:
        return {}
    mine = np.ix_(*[[one.names.index(name) for name in names]] * 2)
    theirs = np.ix_(*[[two.names.index(name) for name in names]] * 2)
    before, after = one.correlations()[mine], two.correlations()[theirs]
    effects = np.array([pairs[name].design_effects for name in names])
    cost = np.maximum(effects[:, None, :], effects[None, :, :])
    rows = np.stack((one.rows[mine], two.rows[theirs]), axis=-1)
    uneven = np.array([(seen := pairs[name].matched) is not None and seen.uneven for name in names])
    usable = (
        ~(uneven[:, None] | uneven[None, :])
        & np.triu((rows >= JOINT_ROWS).all(axis=-1), 1)
        & np.isfinite(before + after)
    )
    if not usable.any():
        return {}
    independent = np.maximum(4.0, rows / cost)
    middle = (rows * np.stack((before, after), axis=-1)).sum(axis=-1) / rows.sum(axis=-1)
    variance = (1 + middle**2 / 2) * (1 / (independent - 3)).sum(axis=-1)
    limit = 1 - 1e-9
    gap = np.arctanh(np.clip(after, -limit, limit)) - np.arctanh(np.clip(before, -limit, limit))
    p_values = two_sided_z(gap / np.sqrt(variance))
    share = alpha / usable.sum()
    found: dict[str, Correlation] = {}
    moved = usable & (p_values <= share) & (np.abs(after - before) >= LEAST_EFFECT["correlation"])
    for row, column in sorted(np.argwhere(moved), key=lambda at: -abs(gap[at[0], at[1]])):
        first, second = names[row], names[column]
        figures = float(before[row, column]), float(after[row, column])
        finding = Finding("correlation", float(p_values[row, column]), figures[1] - figures[0])
        found.setdefault(first, Correlation(finding, second, *figures))
        found.setdefault(second, Correlation(finding, first, *figures))
    return found
