"""Which rows to train on: all, unless a cheap model on recent rows beats one on all rows.

>>> frame = pd.DataFrame({"x": range(40), "y": range(40)})
>>> choose(check_training(frame, target="y"), share=0.2, seed=0).reason
'trained on all rows: there is no time column to say which are recent'
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from lifecycle.errors import LifecycleError
from lifecycle.models.candidates import find, prepare
from lifecycle.models.fitting import Fitted, fit
from lifecycle.models.metrics import default_loss, paired_difference
from lifecycle.models.splits import Split, split
from lifecycle.models.tables import Table, check_training
from lifecycle.records import Record

__all__ = ["Choice", "check_training", "choose"]

RECENT = 1 / 3  # of the rows before the newest
LEAST = 200  # recent rows; fewer are not tried
LEVEL = 0.95


@dataclass(frozen=True)
class Choice(Record):
    """Which rows to train on, and why.

    Attributes:
        since: rows from this time on; None: all.
        reason: in words, with the figures of the test.
    """

    since: pd.Timestamp | None
    reason: str


def choose(table: Table, *, share: float, seed: int) -> Choice:
    """Compare a cheap model on the recent third of the rows with one on all, on the newest rows.

    The newest `share` of the rows judge; of those before, the last third is recent. Recent rows are
    chosen only when their model's loss is lower by more than chance (paired, 95 %): recent rows
    alone made two of six real streams worse than never training again, and all rows lagged on one.

    Args:
        table: all rows, in order of time.
        share: of the rows that judge, 0 … 1.
        seed: of the models.
    """
    if not table.time:
        return _all("there is no time column to say which are recent")
    try:
        newest = split(table, share=share, how="time", seed=seed)
    except LifecycleError as error:
        return _all(f"the newest rows cannot judge: {error.what}")
    before = newest.train
    recent = before[-int(len(before) * RECENT) :]
    if len(recent) < LEAST:
        return _all(f"{len(recent)} recent rows are fewer than {LEAST}")
    try:
        whole, late = (
            _fit(table, Split("time", rows, newest.holdout), seed) for rows in (before, recent)
        )
        name = default_loss(table.task)
        held = newest.holdout
        weights = None if table.weights is None else table.weights[held]
        found = paired_difference(
            name,
            table.y[held],
            late.output,
            whole.output,
            table.classes,
            weights=weights,
            level=LEVEL,
        )
    except (LifecycleError, ValueError) as error:
        return _all(f"the comparison with recent rows failed: {error}")
    figures = (
        f"{name} of a cheap model on the last {len(recent):,} rows against one on {len(before):,}, "
        f"judged on the newest {len(held):,}: {_interval(found)}"
    )
    if found.high is None or found.high >= 0.0:
        return _all(f"recent rows are not shown to be better ({figures})")
    since = pd.Timestamp(table.frame[table.time].to_numpy()[recent[0]])
    return Choice(since, f"trained on rows since {since.isoformat()}: {figures}")


def _all(why: str) -> Choice:
    return Choice(None, f"trained on all rows: {why}")


def _interval(found: Any) -> str:
    if found.low is None or found.high is None:
        return f"difference {found.value:+.4g}"
    return f"difference {found.value:+.4g} [{found.low:+.4g}, {found.high:+.4g}]"


def _fit(table: Table, rows: Split, seed: int) -> Fitted:
    estimator = find("hist_gradient_boosting", table.task)
    estimator.set_params(max_iter=40, max_leaf_nodes=15)
    return fit(prepare("cheap", estimator, table.features, seed=seed), table, rows, seed=seed)
