"""Which rows train and which are held out.

>>> import pandas as pd
>>> from lifecycle.models.tables import check_training
>>> times = pd.date_range("2026", periods=10)
>>> frame = pd.DataFrame({"x": range(10), "late": [0, 1] * 5, "ts": times})
>>> table = check_training(frame, target="late", time="ts")
>>> split(table, share=0.2, how="auto", seed=0).holdout.tolist()
[8, 9]
"""

from dataclasses import dataclass

import numpy as np

from lifecycle.errors import DataError
from lifecycle.models.predicting import Array
from lifecycle.models.tables import Table


@dataclass(frozen=True)
class Split:
    """Row numbers of a table, both sorted, and the way they were chosen."""

    how: str
    train: Array
    holdout: Array


def split(table: Table, *, share: float, how: str, seed: int) -> Split:
    """Hold out about `share` of the rows.

    Args:
        table: n rows, in order of time where there is one.
        share: 0 … 1.
        how: time (the last rows; rows of one instant stay together), group (whole keys),
            stratified (classes in proportion), random; or auto: time where there is a time, group
            where keys repeat, stratified for classes, else random.
        seed: of all but time.

    Raises:
        DataError: the way does not fit the table, or one side would be empty or hold one class.
    """
    if not 0.0 < share < 1.0:
        raise DataError(
            f"a hold-out share of {share} leaves one side empty",
            where="[train] holdout",
            fix="write a share between 0 and 1",
        )
    chosen = how if how != "auto" else _automatic(table)
    rows = len(table.frame)
    rng = np.random.default_rng(seed)
    if chosen == "time":
        held = _last(table, share)
    elif chosen == "group":
        held = _groups(table, share, rng)
    elif chosen == "stratified" and table.classes:
        held = _stratified(table, share, rng)
    else:
        chosen = "random"
        held = np.zeros(rows, dtype=bool)
        held[rng.permutation(rows)[: max(1, round(rows * share))]] = True
    if held.all() or not held.any():
        raise DataError(
            f"a {chosen} hold-out of {share:.0%} of {rows} rows leaves one side empty",
            where="[train] split",
            fix="bring more rows, or another share or split",
        )
    found = Split(chosen, np.flatnonzero(~held), np.flatnonzero(held))
    check_classes(table, found)
    return found


def check_classes(table: Table, found: Split) -> None:
    """Refuse a split of which one side holds a single class.

    Raises:
        DataError: names the side and the class.
    """
    if not table.classes:
        return
    for side, rows in (("hold-out", found.holdout), ("training", found.train)):
        seen = np.unique(table.y[rows])
        if len(seen) < 2:
            raise DataError(
                f"the {side} rows hold one class only, {seen[0]!s} ({len(rows)} rows, "
                f"{found.how} split)",
                where=f"{table.where}, column {table.target}" if table.where else table.target,
                fix='use a larger share, more rows, or [train] split = "stratified"',
            )


def _automatic(table: Table) -> str:
    if table.time:
        return "time"
    if table.key and table.frame[table.key].duplicated().any():
        return "group"
    return "stratified" if table.classes else "random"


def _last(table: Table, share: float) -> Array:
    if not table.time:
        raise DataError("a time split needs a time column", where="[train] split", fix="set `time`")
    times = table.frame[table.time].to_numpy()
    cut = times[min(len(times) - 1, round(len(times) * (1.0 - share)))]
    held: Array = times >= cut
    return held


def _groups(table: Table, share: float, rng: np.random.Generator) -> Array:
    if not table.key:
        raise DataError("a group split needs a key column", where="[train] split", fix="set `key`")
    codes, keys = table.frame[table.key].factorize()
    sizes = np.bincount(codes, minlength=len(keys))
    order = rng.permutation(len(keys))
    before = np.cumsum(sizes[order]) - sizes[order]
    chosen = order[before < share * len(codes)]
    held: Array = np.isin(codes, chosen)
    return held


def _stratified(table: Table, share: float, rng: np.random.Generator) -> Array:
    held = np.zeros(len(table.frame), dtype=bool)
    for label in np.unique(table.y):
        rows = rng.permutation(np.flatnonzero(table.y == label))
        held[rows[: round(len(rows) * share)]] = True
    return held
