"""Which requests may share one call of a model, and their rows put together.

>>> one, other = Rows({"x": np.array([1.0])}, 1), Rows({"x": np.array([2.0, 3.0])}, 2)
>>> alike(one, other), alike(one, Rows({"x": np.array([1])}, 1))
(True, False)
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lifecycle.models.predicting import Output, Table
from lifecycle.serve.choices import Choice
from lifecycle.serve.engine import Answer
from lifecycle.serve.rows import Rows
from lifecycle.serve.slots import Slot

Done = Callable[[Answer | Exception], None]


@dataclass(slots=True, eq=False)
class Asking:
    """A request that waits or is being predicted.

    Attributes:
        choice: who answers.
        rows: what is asked, as that version takes it.
        done: takes the answer, or what the client is to be told instead.
        begun: `time.perf_counter_ns()` when the request was there.
        given: the rows as they were read, where those are others; None: they are not.
        late: whether it was answered already, 504 or by another version.
    """

    choice: Choice
    rows: Rows
    done: Done
    begun: int
    given: Rows | None = None
    late: bool = False


Batch = list[Asking]


@dataclass(slots=True, eq=False)
class Line:
    """The requests of one version.

    Attributes:
        slot: the version.
        waiting: those whose turn has not come.
        busy: what the thread is predicting.
        thread: predicts what takes long; None: nothing did yet.
        stuck: whether the call in the thread has taken longer than a challenger's may.
        aside: whether a challenger's call held up the loop, so further ones are made in the thread.
    """

    slot: Slot
    waiting: deque[Asking] = field(default_factory=deque)
    busy: Batch = field(default_factory=list)
    thread: ThreadPoolExecutor | None = None
    stuck: bool = False
    aside: bool = False


def sociable(asked: Asking) -> bool:
    """Whether its rows may be predicted with others."""
    rows = asked.rows
    kind = type(rows.columns)
    return asked.choice.slot.loaded.together and rows.params is None and kind in (Table, dict)


def same(one: Choice, other: Choice) -> bool:
    """Whether one version in one arm answers both."""
    if one is other:
        return True
    if one.route is other.route and one.arm is other.arm:  # each has a key of its own
        return True
    return one.slot is other.slot and one.arm is other.arm and one.step == other.step


def alike(rows: Rows, others: Rows) -> bool:
    """Whether the rows of two requests are one request's as well, type by type."""
    ours, theirs = rows.columns, others.columns
    if type(ours) is not type(theirs) or others.params is not None:
        return False
    if type(ours) is Table:
        return True
    return [(name, array.dtype, array.shape[1:]) for name, array in ours.items()] == [
        (name, array.dtype, array.shape[1:]) for name, array in theirs.items()
    ]


def joined(batch: Batch) -> Rows:
    """The rows of several requests, one behind the other."""
    first, count = batch[0].rows.columns, sum(asked.rows.count for asked in batch)
    if isinstance(first, Table):
        tables: list[Any] = [asked.rows.columns for asked in batch]
        return Rows(Table.joined(tables), count)
    columns = {
        name: np.concatenate([asked.rows.columns[name] for asked in batch]) for name in first
    }
    return Rows(columns, count)


def splits(output: Output, rows: int) -> bool:
    """Whether each row's part of an answer can be told from the others'."""
    return all(
        part is None
        or (np.shape(part)[:1] == (rows,) if isinstance(part, np.ndarray) else _long(part, rows))
        for part in (output.prediction, output.scores, output.raw)
    )


def _long(part: Any, rows: int) -> bool:
    return (isinstance(part, list) or hasattr(part, "iloc")) and len(part) == rows
