"""Performance without labels, from what scores promise (CBPE), and how labels bear it out.

>>> rng = np.random.default_rng(0)
>>> held, live = rng.random((2, 4000))
>>> spec = ModelSpec(1, "binary", (), classes=(0, 1), primary_metric="roc_auc",
...                  metrics=(Metric("roc_auc", 0.83, 0.82, 0.84),))
>>> model = Promised.fit(held, rng.random(4000) < held, spec=spec)
>>> found = estimate(model, live > 0.5, live, labels=np.full(4000, None), spec=spec)
>>> found.metric, round(found.value, 2)
('roc_auc', 0.83)

A calibrated score says how probable each label is; the metric that is to be expected follows
without labels: each row counts for every class with that class's probability. So the estimate is
the weighted metric of these copies, whichever metric it is (Confidence-Based Performance
Estimation: Bialek, Kuberski, Perrakis, Bifet, "Estimating Model Performance Under Covariate Shift
Without Labels", arXiv 2401.08348, 2024). It follows inputs that move, and is blind to labels that
change at equal inputs.

With `d_ik` what the copy of row i for class k adds to the metric per unit of weight (the influence
function, see `lifecycle.models.influence`) and `p_ik` its probability, labels drawn at random move
the metric by a variance of sum_i Var_k(d_ik), the rows themselves by sum_i (sum_k p_ik d_ik)^2, and
the hold-out from which the probabilities are known by the variance of its share in each bin of
scores times the square of what the live rows of that bin add.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import ndtr, stdtr, stdtrit

from lifecycle.drift.calibration import ShareMap
from lifecycle.drift.performance import Z
from lifecycle.drift.reasons import chance
from lifecycle.drift.stretches import freedom, inflation
from lifecycle.errors import DataError, LifecycleError
from lifecycle.models import metrics
from lifecycle.models.answers import Answers
from lifecycle.models.influence import Array, Floats
from lifecycle.records import Estimate, Metric, ModelSpec, Outcome

ASSUMPTION = (
    "labels at equal scores are as on the hold-out: inputs may move, what they mean for the label"
    " may not"
)
_TINY = 1e-9
LEAST_MISS = 0.01  # of a share or an area; a smaller difference does not matter
MOST_CELLS = 20_000_000  # of larger windows every n-th row is estimated
LEAST_MISS_LOSS = 0.05  # of a loss, as a share of it


@dataclass(frozen=True)
class Promised:
    """From a model's scores to the probability of each class, learnt on its hold-out.

    Attributes:
        maps: one for each class, in the order of the specification; for two classes only that of
            the second.
        temperature: of several classes; scores are taken to the power of its inverse first (Guo,
            Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", 2017).
        doubted: whether the hold-out doubts the scores before that.
    """

    maps: tuple[ShareMap, ...]
    temperature: float = 1.0
    doubted: bool = False

    @classmethod
    def fit(cls, scores: Any, labels: Any, *, spec: ModelSpec) -> "Promised":
        """Learn on the hold-out.

        Args:
            scores: (m, k), or (m,) of the second class.
            labels: (m,) what was true.
            spec: the version; its classes.
        """
        table, truth = as_table(scores), np.asarray(labels)
        hits = np.column_stack([np.asarray(truth == item) for item in spec.classes]).astype(float)
        if table.shape[1] == 2:
            return cls((ShareMap.fit(table[:, 1], hits[:, 1]),))
        temperature = _temperature(table, hits)
        doubted = any(item.recalibrated for item in _maps(table, hits))
        return cls(_maps(_tempered(table, temperature), hits), temperature, doubted)

    @property
    def recalibrated(self) -> bool:
        """Whether the hold-out doubts the scores as they are."""
        return self.doubted or any(item.recalibrated for item in self.maps)

    def probabilities(self, table: Floats) -> Floats:
        """Of each class, shape (n, k); each row adds up to one."""
        if len(self.maps) == 1:
            positive = self.maps[0].shares(table[:, 1])
            return np.column_stack((1.0 - positive, positive))
        table = _tempered(table, self.temperature)
        raw = np.column_stack([item.shares(table[:, k]) for k, item in enumerate(self.maps)])
        return np.asarray(raw / raw.sum(axis=1, keepdims=True))

    def variance(self, table: Floats, pulls: Floats) -> float:
        """Of a figure that adds `pulls` (n, k) per unit of each class's probability."""
        columns = (1,) if len(self.maps) == 1 else range(len(self.maps))
        table = _tempered(table, self.temperature)
        total = 0.0
        for item, k in zip(self.maps, columns, strict=True):
            own = pulls[:, 1] - pulls[:, 0] if len(self.maps) == 1 else pulls[:, k]
            cells = item.cells(table[:, k])
            by_bin = np.bincount(cells, weights=own, minlength=len(item.variance))
            total += float((by_bin**2 * item.variance).sum())
        return total


def _maps(table: Floats, hits: Floats) -> tuple[ShareMap, ...]:
    return tuple(ShareMap.fit(table[:, k], hits[:, k]) for k in range(table.shape[1]))


def _tempered(table: Floats, temperature: float) -> Floats:
    if temperature == 1.0:
        return table
    powers = np.clip(table, _TINY, 1.0) ** (1.0 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _temperature(table: Floats, hits: Floats) -> float:
    """The one with the smallest log loss on the hold-out."""

    def loss(log: float) -> float:
        own = (_tempered(table, float(np.exp(log))) * hits).sum(axis=1)
        return float(-np.log(np.maximum(own, _TINY)).mean())

    found = minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded")
    return float(np.exp(found.x))


def as_table(scores: Any) -> Floats:
    """Scores as (n, k); those of the second class become two columns.

    >>> as_table([0.25]).tolist()
    [[0.75, 0.25]]
    """
    table = np.asarray(scores, dtype=float)
    return np.column_stack((1.0 - table, table)) if table.ndim == 1 else table


def estimate(
    model: Promised,
    prediction: Any,
    scores: Any,
    labels: Any,
    *,
    spec: ModelSpec,
    min_rows: int = 30,
    blocks: Array | None = None,
    min_labels: int = 50,
    alpha: float = 0.01,
) -> Estimate:
    """Estimate the primary metric of live rows, and hold it against the labels that have come.

    Rows count as independent, but for `blocks`.

    Args:
        model: what scores promise.
        prediction: (n,) what was answered.
        scores: (n, k), or (n,) of the second class.
        labels: (n,) None where the label has not come.
        spec: the version.
        blocks: (n,) stretch of each row, whose labels may go together.
        min_rows: fewer live rows are not estimated.
        min_labels: fewer labelled rows do not judge the estimate.
        alpha: how often an estimate whose assumption holds may be said to fail.
    """
    name = spec.primary_metric or metrics.default_metric(spec.task)
    before = next((item for item in spec.metrics if item.name == name), None)
    found = Estimate(
        "cbpe", name, None, None, None, before.value if before else None, len(np.asarray(labels)),
        metrics.rule(name).higher_is_better, ASSUMPTION, recalibrated=model.recalibrated,
    )  # fmt: skip
    table, answers, truth = as_table(scores), np.asarray(prediction), np.asarray(labels, object)
    step = -(-table.size * table.shape[1] // MOST_CELLS) or 1
    table, answers, truth = table[::step], answers[::step], truth[::step]
    blocks = None if blocks is None else blocks[::step]
    if len(table) < min_rows:
        return replace(found, reason=f"{len(table)} live rows, {min_rows} are needed")
    try:
        whole = _expected(name, model, table, answers, spec)
    except DataError as error:
        return replace(found, reason=f"{name} cannot be estimated: {error.what}")
    low, high = metrics.interval(name, whole.value, whole.error)
    found = replace(found, value=whole.value, low=low, high=high)
    known = np.array([item is not None for item in truth])
    if known.sum() < min_labels:
        few = f"{int(known.sum())} labelled rows, {min_labels} are needed to judge the estimate"
        return replace(found, labelled_rows=int(known.sum()), reason=few)
    try:
        there = _expected(name, model, table[known], answers[known], spec)
        seen = metrics.evaluate(
            name, truth[known], answers[known], table[known], classes=spec.classes
        )
        held = None if blocks is None else blocks[known]
        apart = inflation(_misses(model, table[known], truth[known], spec), held)
    except LifecycleError as error:
        return replace(found, reason=f"{name} of the labelled rows cannot be computed: {error}")
    miss = there.miss * apart
    return judged(
        found, seen, there.value, miss, int(known.sum()), alpha=alpha, tails=freedom(held)
    )


def _misses(model: Promised, table: Floats, truth: Array, spec: ModelSpec) -> Floats:
    """By how much each row's label exceeds what its scores promise of the last class."""
    shares = model.probabilities(table)
    return np.asarray((truth == spec.classes[-1]).astype(float) - shares[:, -1])


@dataclass(frozen=True)
class _Figure:
    value: float
    error: float  # of what labels of these rows would show, against the truth
    miss: float  # standard error of what labels show minus this


def _expected(
    name: str, model: Promised, table: Floats, prediction: Array, spec: ModelSpec
) -> _Figure:
    """The metric of copies of each row, one a class, weighted by the class's probability."""
    rows, classes = table.shape
    shares = model.probabilities(table)
    codes = np.full(rows, -1, dtype=np.intp)
    for code, label in enumerate(spec.classes):
        codes[np.asarray(prediction == label, dtype=bool)] = code
    if (codes < 0).any():
        raise DataError("a prediction is none of the model's classes")
    weights = shares.T.reshape(-1)
    copies = Answers(
        np.repeat(np.arange(classes), rows),
        np.tile(codes, classes),
        np.tile(table, (classes, 1)),
        weights,
        classes,
    )
    made = metrics.rule(name).estimate(copies)
    influence = (made.parts / weights).reshape(classes, rows).T
    mean = (shares * influence).sum(axis=1)
    labels = float((shares * (influence - mean[:, None]) ** 2).sum())
    known = model.variance(table, influence - mean[:, None])
    among = float((mean**2).sum())
    return _Figure(
        made.value, float(np.sqrt(among + labels + known)), float(np.sqrt(labels + known))
    )


def judged(
    found: Estimate,
    seen: Metric,
    estimated: float,
    error: float,
    labelled: int,
    *,
    alpha: float,
    tails: float = np.inf,
) -> Estimate:
    """An estimate beside what labels show on the same rows.

    >>> bare = Estimate("cbpe", "accuracy", 0.8, 0.7, 0.9, 0.8, 100)
    >>> judged(bare, Metric("accuracy", 0.6), 0.8, 0.03, 100, alpha=0.01).holds
    False

    Args:
        found: the estimate on all rows.
        seen: the metric on the labelled rows.
        estimated: the estimate on the labelled rows.
        error: the standard error of their difference.
        labelled: how many there are.
        alpha: how often an estimate whose assumption holds may be said to fail.
        tails: degrees of freedom of the error.
    """
    miss = seen.value - estimated
    p_value, reach = float(miss == 0.0), Z
    if error > 0 and np.isfinite(tails):
        p_value, reach = float(2.0 * stdtr(tails, -abs(miss) / error)), float(stdtrit(tails, 0.975))
    elif error > 0:
        p_value = float(2.0 * ndtr(-abs(miss) / error))
    scale = metrics.rule(found.metric).scale
    least = LEAST_MISS if scale in {"unit", "wilson"} else LEAST_MISS_LOSS * abs(estimated)
    fails = p_value <= alpha and abs(miss) >= least
    said = (
        f"{found.metric} {seen.value:.4f} on {labelled:,} labelled rows, estimated {estimated:.4f}"
    )
    word = "does not hold" if fails else "is not refuted"
    return replace(
        found,
        outcome=Outcome.FAIL if fails else Outcome.PASS,
        reason=f"the assumption {word}: {said} ({chance(p_value)})",
        labelled_rows=labelled,
        realised=seen.value,
        estimated=estimated,
        difference=miss,
        difference_low=miss - reach * error,
        difference_high=miss + reach * error,
    )
