"""Cut hold-out rows into groups: levels of a column, bins of a number, missing, pairs of these.

>>> frame = pd.DataFrame({"plan": ["basic", "pro", "basic", None]})
>>> groups = cut(frame, "plan")
>>> groups.names, groups.codes.tolist()
(["plan = 'basic'", "plan = 'pro'", 'plan is missing'], [0, 1, 0, 2])
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lifecycle.models.influence import Array

SHARES = (0.05, 0.2, 0.4, 0.6, 0.8, 0.95)  # of a number's rows, where its bins are cut
COARSE = (0.2, 0.4, 0.6, 0.8)  # … where it is one of a pair
FEW_VALUES = 10  # numbers with so few are taken one by one
MOST_LEVELS = 25  # the commonest; the rest of the rows is in no group


@dataclass(frozen=True)
class Groups:
    """One column, or a pair, cut into groups.

    Attributes:
        columns: which.
        names: of the groups, in plain words.
        codes: (n,) the group of each row, -1 for none.
    """

    columns: tuple[str, ...]
    names: list[str]
    codes: NDArray[np.int64]


def cut(rows: pd.DataFrame, name: str, *, shares: tuple[float, ...] = SHARES) -> Groups:
    """The groups of one column.

    Args:
        rows: a table that has the column.
        name: of the column.
        shares: where a number is cut.
    """
    column = rows[name]
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numeric and column.nunique() > FEW_VALUES:
        return _binned(name, column.to_numpy(dtype=float, na_value=np.nan), shares)
    levels = column.value_counts().index[:MOST_LEVELS]
    shown = [f"{name} = {level if numeric else _plain(level)!r}" for level in levels]
    if numeric:
        shown = [f"{name} = {level:g}" for level in levels]
    codes = pd.Index(levels).get_indexer(column).astype(np.int64)
    missing = column.isna().to_numpy()
    codes[missing] = len(shown)
    return Groups((name,), [*shown, f"{name} is missing"], codes)


def _plain(level: object) -> object:
    return level if isinstance(level, (bool, np.bool_)) else str(level)


def _binned(name: str, values: Array, shares: tuple[float, ...]) -> Groups:
    known = values[np.isfinite(values)]
    edges = np.unique(np.quantile(known, shares)) if len(known) else np.zeros(0)
    shown = [f"{edge:.4g}" for edge in edges]
    names = [f"{low} <= {name} < {high}" for low, high in pairwise(shown)]
    if shown:
        names = [f"{name} < {shown[0]}", *names, f"{name} >= {shown[-1]}"]
    codes = np.searchsorted(edges, values, side="right").astype(np.int64)
    codes[np.isnan(values)] = len(names)
    return Groups((name,), [*names, f"{name} is missing"], codes)


def paired(one: Groups, two: Groups) -> Groups:
    """The groups that two columns make together.

    >>> frame = pd.DataFrame({"a": ["x", "x"], "b": ["p", "q"]})
    >>> paired(cut(frame, "a"), cut(frame, "b")).names[:2]
    ["a = 'x' and b = 'p'", "a = 'x' and b = 'q'"]
    """
    size = len(two.names)
    names = [f"{first} and {second}" for first in one.names for second in two.names]
    codes = np.where((one.codes >= 0) & (two.codes >= 0), one.codes * size + two.codes, -1)
    return Groups((*one.columns, *two.columns), names, codes)
