"""The metric on one stretch of a window after another, each with its interval.

>>> spec = ModelSpec(1, "regression", (), primary_metric="mae")
>>> y = np.arange(200.0)
>>> points = over_time(y, y + 1.0, None, None, spec=spec)
>>> [(point.start, point.labelled, point.value) for point in points]
[('0', 100, 1.0), ('100', 100, 1.0)]

Stretches are hours, days, weeks, months, quarters or years, whichever gives not too many; of rows
without a time as many rows each. Rows count as independent: where they come in runs, what a run
shares is not in the interval.
"""

from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from lifecycle.errors import DataError
from lifecycle.models import metrics
from lifecycle.models.influence import Array
from lifecycle.records import ModelSpec, PerformancePoint

MOST = 14  # stretches
LEAST_LABELS = 30  # of a stretch whose metric is told
ROWS = 100  # of a stretch without time, at least
LENGTHS = ("1h", "3h", "6h", "12h", "1d", "2d", "1w", "2w", "1mo", "1q", "1y", "10y", "100y")


def over_time(
    labels: Any, prediction: Any, scores: Any, times: pl.Series | None, *, spec: ModelSpec
) -> tuple[PerformancePoint, ...]:
    """Cut a window into stretches and give the primary metric of each.

    Args:
        labels: (n,) None where the label has not come.
        prediction: (n,) what was answered.
        scores: (n, k), or (n,) of the positive class; None where there are none.
        times: (n,) of the rows, UTC without a zone; None where they have none.
        spec: the version; its primary metric.

    Returns:
        The stretches that have rows, oldest first; none where the window has but one.
    """
    truth, answers = np.asarray(labels, dtype=object), np.asarray(prediction)
    if not len(truth):
        return ()
    known = np.array([item is not None for item in truth])
    if times is None or times.null_count():
        cell, starts = _by_count(len(truth))
    else:
        cell, starts = _by_time(times)
    if len(starts) < 2:
        return ()
    name = spec.primary_metric or metrics.default_metric(spec.task, scores=scores is not None)
    found = []
    for index, start in enumerate(starts):
        own = cell == index
        if not own.any():
            continue
        chosen = own & known
        value, low, high = None, None, None
        if chosen.sum() >= LEAST_LABELS:
            kept = None if scores is None else np.asarray(scores)[chosen]
            try:
                figure = metrics.evaluate(
                    name, truth[chosen], answers[chosen], kept, classes=spec.classes
                )
                value, low, high = figure.value, figure.low, figure.high
            except DataError:  # one class only: no figure
                pass
        end = (
            _last(own, times) if isinstance(start, datetime) else str(int(np.flatnonzero(own)[-1]))
        )
        said = start.isoformat() if isinstance(start, datetime) else start
        found.append(
            PerformancePoint(said, end, int(own.sum()), int(chosen.sum()), value, low, high)
        )
    return tuple(found)


def _by_count(rows: int) -> tuple[Array, list[Any]]:
    size = max(ROWS, -(-rows // MOST))
    cell = np.minimum(np.arange(rows) // size, max(rows // size - 1, 0))  # no short end
    return cell, [str(start * size) for start in range(int(cell[-1]) + 1)]


def _by_time(times: pl.Series) -> tuple[Array, list[Any]]:
    for length in LENGTHS:
        cut = times.dt.truncate(length)
        starts = cut.unique().sort()
        if len(starts) <= MOST:
            break
    return starts.search_sorted(cut).to_numpy(), starts.to_list()


def _last(own: Array, times: pl.Series | None) -> str:
    assert times is not None
    last = times.filter(pl.Series(own)).max()
    assert isinstance(last, datetime)
    return last.isoformat()
