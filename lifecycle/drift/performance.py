"""Is the model worse on live rows than on its hold-out? Labelled rows answer, with their error.

>>> spec = ModelSpec(1, "regression", (), target="y", primary_metric="rmse",
...                  metrics=(Metric("rmse", 1.0, 0.9, 1.1, False),))
>>> y, misses = np.arange(100.0), np.random.default_rng(0).normal(size=100)
>>> found = performance(y, y + 2 * misses, None, spec=spec)
>>> found.harmed, round(found.value, 2), found.expected
(True, 1.93, 1.0)
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import logit, ndtr, stdtr, stdtrit

from lifecycle.drift.stretches import freedom
from lifecycle.errors import DataError
from lifecycle.models import metrics
from lifecycle.models.influence import Array, Floats, mean
from lifecycle.records import Metric, ModelSpec, Outcome, Performance, Record

Z = 1.959964  # of the two-sided 95 % intervals that metrics carry


@dataclass(frozen=True)
class WindowLoss(Record):
    """The mean loss of the labelled rows of one window.

    >>> WindowLoss("2026-01", 3, 0.5, 0.1).loss
    0.5
    """

    window: str
    rows: int
    loss: float
    error: float  # standard error of the mean


def performance(
    y: Any,
    prediction: Any,
    scores: Any,
    *,
    spec: ModelSpec,
    unlabelled_rows: int = 0,
    blocks: Array | None = None,
    min_labels: int = 50,
    alpha: float = 0.01,
) -> Performance:
    """Hold the primary metric on labelled live rows against the hold-out's.

    Harmed when the live figure is worse by a one-sided two-sample test at `alpha`, with the
    standard errors of both figures, on the scale where the metric's interval is symmetric (logit
    for areas and shares, logarithm for errors). Rows count as independent, but for `blocks`.

    Args:
        y: (n,) late labels.
        prediction: (n,) what was answered.
        scores: (n, k), or (n,) of the positive class, as logged; None where there are none.
        spec: the version; its primary metric on the hold-out is what is expected.
        unlabelled_rows: live rows whose label has not come; reported only.
        blocks: (n,) whole numbers, `lifecycle.drift.stretches`: rows of one block may go together.
            The intervals of `spec.metrics` are then expected to know of those of the hold-out.
        min_labels: fewer labelled rows are not enough evidence.
        alpha: how often a model that is as good as before may be called harmed.
    """
    truth = np.asarray(y)
    expected = next((item for item in spec.metrics if item.name == spec.primary_metric), None)
    if expected is None:
        scored = scores is not None
        expected = Metric(metrics.default_metric(spec.task, scores=scored), float("nan"))
    row = metrics.rule(expected.name, task=spec.task)
    known = np.isfinite(expected.value)
    seen = Performance(
        metric=expected.name,
        value=None,
        low=None,
        high=None,
        expected=expected.value if known else None,
        expected_low=expected.low,
        expected_high=expected.high,
        labelled_rows=len(truth),
        unlabelled_rows=unlabelled_rows,
        outcome=Outcome.UNSURE,
        higher_is_better=row.higher_is_better,
    )
    if len(truth) < min_labels:
        return replace(seen, reason=f"{len(truth)} labelled rows, {min_labels} are needed")
    try:
        live = metrics.evaluate(
            expected.name, truth, prediction, scores, classes=spec.classes, blocks=blocks
        )
    except DataError as error:
        return replace(seen, reason=f"{expected.name} cannot be computed: {error}")
    seen = replace(seen, value=live.value, low=live.low, high=live.high)
    if not known or expected.low is None:
        return replace(seen, reason=f"{live}; what to expect is not known from a hold-out")
    if live.low is None:
        return replace(seen, reason=f"{live}: too few labels of one class for an interval")
    p_value = worse(live, expected, tails=freedom(blocks))
    harmed = p_value <= alpha
    chance = "p < 0.0001" if p_value < 0.0001 else f"p = {p_value:.4f}"
    verdict = "worse" if harmed else "not shown to be worse"
    before = str(expected).removeprefix(expected.name + " ")
    said = f"{verdict}: {live} on {len(truth):,} labelled rows, expected {before} ({chance})"
    return replace(seen, outcome=Outcome.FAIL if harmed else Outcome.PASS, reason=said)


def worse(live: Metric, expected: Metric, *, tails: float = np.inf) -> float:
    """How probable so bad a live figure is where the model is as good as expected (one-sided).

    >>> then = Metric("mae", 1.0, 0.9, 1.111, False)
    >>> round(worse(Metric("mae", 1.2, 1.1, 1.309, False), then), 4)
    0.0044
    >>> worse(Metric("roc_auc", 0.7, 0.6, 0.8), Metric("roc_auc", 0.7, 0.6, 0.8))
    0.5

    Args:
        live: a metric with its 95 % interval on live rows.
        expected: the same metric with its 95 % interval on other rows, the hold-out.
        tails: degrees of freedom of both intervals.
    """
    bounds = [_scaled(item.name, _figures(item)) for item in (live, expected)]
    if not all(np.isfinite(item).all() for item in bounds):  # at the end of the scale: as it is
        bounds = [_figures(item) for item in (live, expected)]
    (now, now_low, now_high), (then, then_low, then_high) = bounds
    reach = float(stdtrit(tails, 0.975)) if np.isfinite(tails) else Z
    error = float(np.hypot(now_high - now_low, then_high - then_low)) / (2.0 * reach)
    drop = float(then - now) if live.higher_is_better else float(now - then)
    if error == 0.0:
        return 0.0 if drop > 0 else 1.0
    return float(stdtr(tails, -drop / error) if np.isfinite(tails) else ndtr(-drop / error))


def _figures(metric: Metric) -> Floats:
    assert metric.low is not None
    assert metric.high is not None
    return np.array([metric.value, metric.low, metric.high])


def _scaled(name: str, figures: Floats) -> Floats:
    scale = metrics.METRICS[name].scale
    with np.errstate(all="ignore"):
        if scale in {"unit", "wilson"}:
            return np.asarray(logit(figures))
        if scale == "positive":
            return np.asarray(np.log(figures))
        if scale == "below_one":
            return np.asarray(-np.log(1.0 - figures))
    return figures


def row_losses(y: Any, prediction: Any, scores: Any, *, spec: ModelSpec) -> Floats:
    """Each labelled row's loss: log loss, 0 or 1 without scores, the squared error, shape (n,).

    >>> spec = ModelSpec(1, "binary", (), classes=("no", "yes"))
    >>> row_losses(["no", "yes"], ["no", "no"], None, spec=spec)
    array([0., 1.])

    Raises:
        DataError: the rows cannot be used.
    """
    name = metrics.default_loss(spec.task, scores=scores is not None)
    return metrics.loss(name, y, prediction, scores, classes=spec.classes)


def window_losses(losses: Array, windows: Any, *, min_rows: int = 30) -> tuple[WindowLoss, ...]:
    """The mean loss a window with its standard error, oldest window first.

    >>> window_losses(np.array([1.0, 3.0, 5.0, 5.0]), ["b", "b", "a", "a"], min_rows=2)[1].loss
    2.0

    Args:
        losses: (n,) of `row_losses`.
        windows: (n,) the window of each row; their sorted order is their order in time.
        min_rows: windows with fewer labelled rows are left out.
    """
    names, cells = np.unique(np.asarray(windows), return_inverse=True)
    found = []
    for index, name in enumerate(names):
        own = losses[cells.reshape(-1) == index]
        if len(own) >= max(min_rows, 2):
            made = mean(own, np.ones(len(own)))
            found.append(WindowLoss(str(name), len(own), made.value, made.error))
    return tuple(found)


def expected_loss(spec: ModelSpec, *, scores: bool = True) -> tuple[float, float] | None:
    """The hold-out's mean loss a row and its standard error; None where it is not known.

    >>> spec = ModelSpec(1, "regression", (), metrics=(Metric("rmse", 2.0, 1.9, 2.1, False),))
    >>> [round(item, 3) for item in expected_loss(spec)]
    [4.0, 0.204]

    Args:
        spec: the version, with its metrics on the hold-out.
        scores: whether the log keeps scores; without them the loss is 0 or 1.
    """
    name = metrics.default_loss(spec.task, scores=scores)
    found = next((item for item in spec.metrics if item.name == name), None)
    if found is None or found.low is None or found.high is None:
        return None
    error = (found.high - found.low) / (2.0 * Z)
    if name == "rmse":
        return found.value**2, 2.0 * found.value * error
    return (1.0 - found.value if name == "accuracy" else found.value), error
