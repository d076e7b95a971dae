"""Whether several numbers moved a little, none of them by enough alone.

>>> z = np.array([3.9, 3.7, -3.6, *[1.0] * 17])
>>> found = together(z, np.eye(20), limit=0.005)
>>> found.places, round(found.p_value, 5)
((0, 1), 1e-05)

The sum of the squared z-values of all locations is a weighted sum of chi-squared values, where the
columns are correlated. The chi-squared value with the same first three moments stands for it; they
follow from the correlations, which are the reference's rank correlations. It is robust where many
columns say the same, which a Mahalanobis distance is not.

Source: Buckley & Eagleson (1988), doi:10.1111/j.1467-842X.1988.tb00471.x.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from lifecycle.drift.cells import Floats
from lifecycle.drift.findings import Finding
from lifecycle.drift.pairs import Pairs
from lifecycle.drift.sides import Pair
from lifecycle.drift.tails import chi_squared

FEWEST_COLUMNS = 3


@dataclass(frozen=True)
class Together:
    """Columns that moved together, by place, and how likely that is by chance."""

    places: tuple[int, ...]
    p_value: float


def together(z: Floats, correlation: Floats, *, limit: float) -> Together | None:
    """The columns without which the rest is within chance; None where all are.

    Args:
        z: normal values of the columns' locations, shape (k,).
        correlation: bounds on how they go together without a change, shape (k, k).
        limit: the p-value from which it is more than chance.
    """
    p_value = _chance(z, correlation)
    if p_value > limit:
        return None
    order = np.argsort(-np.abs(z))
    count = 1
    while (
        count < len(z)
        and _chance(z[order[count:]], correlation[np.ix_(*[order[count:]] * 2)]) <= limit
    ):
        count += 1
    return Together(tuple(sorted(int(place) for place in order[:count])), p_value)


def _chance(z: Floats, correlation: Floats) -> float:
    square = correlation @ correlation
    two, three = float(np.trace(square)), float((square * correlation).sum())
    freedom = two**3 / three**2
    spread = (two / freedom) ** 0.5
    return chi_squared(freedom + (float(z @ z) - len(z)) / spread, freedom)


def moved_together(
    sums: Pairs,
    pairs: Mapping[str, Pair],
    tested: Mapping[str, tuple[Finding, ...]],
    *,
    limit: float,
) -> tuple[tuple[str, ...], float]:
    """The names of the columns that moved together, and the p-value; no names where none did.

    Args:
        sums: the reference's, over at most 20 columns; others are not looked at.
        pairs: both sides of each column.
        tested: findings by column.
        limit: the p-value from which it is more than chance.
    """
    known = {
        name: found
        for name in sums.names
        for found in tested.get(name, ())
        if found.test == "location" and found.p_value < 1
    }
    if len(known) < FEWEST_COLUMNS:
        return (), 1.0
    names = tuple(known)
    places = [sums.names.index(name) for name in names]
    rows = np.abs(np.nan_to_num(sums.correlations()[np.ix_(places, places)]))
    np.fill_diagonal(rows, 1.0)
    own = 1 / np.array([pairs[name].design_effects[1] for name in names])
    # what comes in runs may be the same in all columns
    correlation = rows * np.sqrt(np.outer(own, own)) + np.sqrt(np.outer(1 - own, 1 - own))
    np.fill_diagonal(correlation, 1.0)
    sizes = -special.ndtri(np.array([max(found.p_value, 1e-300) for found in known.values()]) / 2)
    found = together(
        np.where([item.matters for item in known.values()], sizes, 0.0), correlation, limit=limit
    )
    return (tuple(names[place] for place in found.places), found.p_value) if found else ((), 1.0)
