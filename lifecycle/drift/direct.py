"""A regression's error without labels: a model of the loss, learnt on the hold-out's own losses.

>>> rng = np.random.default_rng(0)
>>> x = rng.random((2, 2000))
>>> y = 3.0 * rng.normal(size=2000) * x[0]  # the hold-out's errors grow with x
>>> spec = ModelSpec(1, "regression", (), primary_metric="mae")
>>> model = LossModel.fit(pl.DataFrame({"x": x[0]}), np.zeros(2000), y, spec=spec)
>>> live = pl.DataFrame({"x": 0.5 + x[1] / 2})
>>> round(loss_estimate(model, live, np.zeros(2000), np.full(2000, None), spec=spec).value, 1)
1.7

Direct Loss Estimation (as in NannyML, 2022): boosted trees predict each row's squared or absolute
error from its inputs and the prediction, and the mean over live rows is the error that is to be
expected. Trees of each fold are asked about the rows that they have not seen, so that the spread of
what they miss is honest, and labels are expected to scatter around the estimate accordingly; by how
much the folds' own estimates of the live rows differ (delete-a-group jackknife) says how well the
hold-out knows such rows. The estimate follows inputs that move within what the hold-out has seen,
and is blind to a target that changes at equal inputs.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from lifecycle.drift.estimated import judged
from lifecycle.drift.stretches import freedom, inflation
from lifecycle.errors import LifecycleError
from lifecycle.models import metrics
from lifecycle.models.influence import Array, Floats
from lifecycle.records import Estimate, ModelSpec

ASSUMPTION = (
    "the error at equal inputs is as on the hold-out: inputs may move, within what the hold-out"
    " holds, what they mean for the target may not"
)
FOLDS = 5
LEAST_ROWS = 150  # of a hold-out that a loss is learnt on
MOST_ROWS = 30_000  # of a larger hold-out every n-th row is learnt from
MOST_LIVE = 50_000  # of a larger window every n-th row is estimated
MOST_LEVELS = 100
ESTIMABLE = {"rmse": "rmse", "mae": "mae", "r2": "rmse"}  # the spread of the target is not known


@dataclass(frozen=True)
class _Columns:
    """How rows become numbers: levels as codes, in the order of the hold-out."""

    names: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, rows: pl.DataFrame) -> "_Columns":
        names, levels = [], {}
        for name in rows.columns:
            kind = rows.schema[name]
            if kind.is_numeric() or kind.is_temporal() or kind == pl.Boolean:
                names.append(name)
            elif kind in (pl.String, pl.Categorical, pl.Enum):
                text = rows[name].cast(pl.String).drop_nulls()
                levels[name] = tuple(text.value_counts(sort=True)[name].head(MOST_LEVELS).to_list())
                names.append(name)
        return cls(tuple(names), levels)

    def table(self, rows: pl.DataFrame, prediction: Array) -> Floats:
        """Shape (n, columns + 1); what is unknown is NaN."""
        columns = []
        for name in self.names:
            if name not in rows.columns:
                columns.append(np.full(rows.height, np.nan))
                continue
            column = rows[name]
            if name in self.levels:
                known = self.levels[name]
                column = column.cast(pl.String).replace_strict(
                    known, range(len(known)), default=None, return_dtype=pl.Float64
                )
            elif column.dtype.is_temporal():
                column = column.to_physical()
            numbers = column.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
            columns.append(np.where(np.isfinite(numbers), numbers, np.nan))
        return np.column_stack([*columns, np.asarray(prediction, dtype=float)])

    @property
    def categorical(self) -> list[bool]:
        """Which columns of the table are codes."""
        return [*(name in self.levels for name in self.names), False]


@dataclass(frozen=True)
class LossModel:
    """What a row's loss is expected to be.

    Attributes:
        metric: rmse or mae.
        columns: how rows become numbers.
        trees: one model a fold.
        scatter: mean squared miss of a loss, as a share of the squared loss that was predicted.
        rows: of the hold-out.
    """

    metric: str
    columns: _Columns
    trees: tuple[Any, ...]
    scatter: float
    rows: int

    @classmethod
    def fit(
        cls, rows: pl.DataFrame, prediction: Any, labels: Any, *, spec: ModelSpec, seed: int = 0
    ) -> "LossModel | None":
        """Learn from the hold-out; None where it has too few rows.

        Args:
            rows: (m,) features; columns that are no numbers, text or times are not used.
            prediction: (m,) what was answered.
            labels: (m,) what was true.
            spec: the version; its primary metric.
            seed: of the folds.
        """
        from sklearn.ensemble import HistGradientBoostingRegressor

        name = ESTIMABLE.get(spec.primary_metric, "rmse")
        losses = metrics.loss(name, labels, prediction)
        step = -(-len(losses) // MOST_ROWS)
        if len(losses[::step]) < LEAST_ROWS:
            return None
        columns = _Columns.of(rows)
        table = columns.table(rows, np.asarray(prediction))[::step]
        losses = losses[::step]
        fold = np.random.default_rng(seed).permutation(len(losses)) % FOLDS
        trees, expected = [], np.zeros(len(losses))
        for number in range(FOLDS):
            model = HistGradientBoostingRegressor(
                max_iter=60,
                learning_rate=0.08,
                max_leaf_nodes=8,
                min_samples_leaf=max(20, len(losses) // 50),
                categorical_features=columns.categorical,
                early_stopping=False,
                random_state=seed,
            ).fit(table[fold != number], losses[fold != number])
            expected[fold == number] = model.predict(table[fold == number])
            trees.append(model)
        expected = np.maximum(expected, _floor(losses))
        scatter = float(((losses - expected) ** 2).sum() / (expected**2).sum())
        return cls(name, columns, tuple(trees), scatter, len(losses))

    def losses(self, rows: pl.DataFrame, prediction: Any) -> Floats:
        """What each row's loss is expected to be by the trees of each fold, (folds, n)."""
        table = self.columns.table(rows, np.asarray(prediction))
        return np.maximum([tree.predict(table) for tree in self.trees], 0.0)

    def figure(self, losses: Floats) -> tuple[float, float]:
        """The metric of rows with such losses (folds, n), and its standard error."""
        folds = losses.mean(axis=1)
        value, rows = float(folds.mean()), losses.shape[1]
        spread = self.scatter * float((losses.mean(axis=0) ** 2).mean())
        known = float(((folds - value) ** 2).sum()) * (FOLDS - 1) / FOLDS
        error = float(np.sqrt(spread / rows + max(spread / self.rows, known)))
        if self.metric == "mae" or not value:
            return value, error
        root = float(np.sqrt(value))
        return root, error / (2.0 * root)


def _floor(losses: Floats) -> float:
    return 0.05 * float(losses.mean())


def loss_estimate(
    model: LossModel,
    rows: pl.DataFrame,
    prediction: Any,
    labels: Any,
    *,
    spec: ModelSpec,
    min_rows: int = 30,
    blocks: Array | None = None,
    min_labels: int = 50,
    alpha: float = 0.01,
) -> Estimate:
    """Estimate the error on live rows, and hold it against the labels that have come.

    Rows count as independent, but for `blocks`. R² cannot be estimated, since the spread of the
    target is not known without labels; the root mean squared error stands in.

    Args:
        model: what losses are expected to be.
        rows: (n,) features.
        prediction: (n,) what was answered.
        labels: (n,) None where the label has not come.
        spec: the version.
        blocks: (n,) stretch of each row, whose labels may go together.
        min_rows: fewer live rows are not estimated.
        min_labels: fewer labelled rows do not judge the estimate.
        alpha: how often an estimate whose assumption holds may be said to fail.
    """
    before = next((item for item in spec.metrics if item.name == model.metric), None)
    answers, truth = np.asarray(prediction, dtype=float), np.asarray(labels, dtype=object)
    found = Estimate(
        "direct loss", model.metric, None, None, None, before.value if before else None,
        rows.height, higher_is_better=False, assumption=ASSUMPTION,
    )  # fmt: skip
    if rows.height < min_rows:
        return replace(found, reason=f"{rows.height} live rows, {min_rows} are needed")
    step = -(-rows.height // MOST_LIVE)
    rows, answers, truth = rows.gather_every(step), answers[::step], truth[::step]
    blocks = None if blocks is None else blocks[::step]
    losses = model.losses(rows, answers)
    value, error = model.figure(losses)
    low, high = metrics.interval(model.metric, value, error)
    found = replace(found, value=value, low=low, high=high)
    known = np.array([item is not None for item in truth])
    if known.sum() < min_labels:
        few = f"{int(known.sum())} labelled rows, {min_labels} are needed to judge the estimate"
        return replace(found, labelled_rows=int(known.sum()), reason=few)
    there, error = model.figure(losses[:, known])
    try:
        seen = metrics.evaluate(model.metric, truth[known], answers[known])
    except LifecycleError as problem:
        return replace(found, reason=f"{model.metric} of the labelled rows: {problem}")
    held = None if blocks is None else blocks[known]
    own = metrics.loss("mae" if model.metric == "mae" else "rmse", truth[known], answers[known])
    error *= inflation(own - losses[:, known].mean(axis=0), held)
    return judged(found, seen, there, error, int(known.sum()), alpha=alpha, tails=freedom(held))
