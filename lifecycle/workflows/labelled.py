"""What labels, and their absence, say of live rows beside the metric itself.

>>> rows = pl.DataFrame({"x": [0.0] * 9, "prediction": [0.0] * 9})
>>> live = Live(rows, pl.Series("label", [None] * 9, dtype=pl.Float64), pl.Series([None] * 9))
>>> found = told(Config(), ModelSpec(1, "regression", ()), live, None, "churn/1 has no hold-out")
>>> found.labels.missing, found.estimate.reason
(9, 'churn/1 has no hold-out')
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from lifecycle.config import Config
from lifecycle.drift.calibration import calibration
from lifecycle.drift.coverage import label_coverage
from lifecycle.drift.direct import ASSUMPTION as DIRECT
from lifecycle.drift.direct import LossModel, loss_estimate
from lifecycle.drift.estimated import ASSUMPTION as PROMISED
from lifecycle.drift.estimated import Promised, as_table, estimate
from lifecycle.drift.slices import worst_slices
from lifecycle.errors import ConfigError, DataError
from lifecycle.models import metrics
from lifecycle.models.influence import Array, Floats
from lifecycle.named import nearest
from lifecycle.records import Calibration, Estimate, LabelCoverage, ModelSpec, Outcome, Slice
from lifecycle.workflows.holdout import Holdout
from lifecycle.workflows.live import Live


@dataclass(frozen=True)
class Told:
    """Coverage of labels, the estimate without them, calibration and slices."""

    labels: LabelCoverage
    estimate: Estimate
    calibration: Calibration
    slices: tuple[Slice, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the report should know, one sentence each."""
        said = []
        if self.labels.selective:
            said.append(
                f"{self.labels.reason}; figures on labelled rows are those of such rows only"
            )
        if self.estimate.holds is False:
            said.append(
                f"the estimate without labels is not to be relied on: {self.estimate.reason}"
            )
        if self.calibration.outcome is Outcome.FAIL:
            said.append(self.calibration.reason)
        worse = [item for item in self.slices if item.outcome is Outcome.FAIL]
        said += [f"worse where {item.where}: {item.reason}" for item in worse]
        return tuple(said)


def told(
    config: Config,
    spec: ModelSpec,
    live: Live,
    before: Holdout | None,
    why: str = "",
    *,
    now: datetime | None = None,
) -> Told:
    """Look at live rows with and without labels.

    Args:
        config: `[monitor]`.
        spec: the version, with its metrics on `before`.
        live: the rows, with what was answered.
        before: the hold-out; None where there is none.
        why: there is none.
        now: when the check is; rows that are younger than labels take are not held to have one.

    Raises:
        ConfigError: `[monitor] segments` names no feature.
    """
    for name in config.monitor.segments:
        if name not in spec.feature_names:
            raise ConfigError(
                f"segments names {name!r}, no feature; {nearest(name, spec.feature_names)}",
                where="[monitor]",
            )
    rows = live.rows.select([name for name in spec.feature_names if name in live.rows.columns])
    truth = np.array([*live.labels.to_list(), None], dtype=object)[:-1]
    known = live.labels.is_not_null().to_numpy()
    covered = label_coverage(
        live.rows.drop(spec.time or "", strict=False),
        known,
        live.times,
        live.label_times,
        now=now,
        alpha=config.monitor.alpha,
    )
    answered = "prediction" in live.rows.columns
    if before is None or not answered:
        why = why or ("" if answered else "the rows have no predictions")
        return Told(
            covered, _not_estimated(spec, len(truth), why), _not_tested(int(known.sum()), why), ()
        )
    prediction = live.rows["prediction"].to_numpy()
    blocks = live.blocks(spec)
    return Told(
        covered,
        _estimate(config, spec, (rows, prediction, live.scores, truth), before, blocks),
        _calibration(config, spec, (prediction, live.scores, truth), before, blocks),
        _slices(config, spec, (rows, prediction, live.scores, truth), before, blocks),
    )


def _not_estimated(spec: ModelSpec, rows: int, why: str) -> Estimate:
    regression = spec.task == "regression"
    name = spec.primary_metric or metrics.default_metric(spec.task)
    return Estimate(
        "direct loss" if regression else "cbpe", name, None, None, None, None, rows,
        metrics.rule(name).higher_is_better, DIRECT if regression else PROMISED, reason=why,
    )  # fmt: skip


def _not_tested(rows: int, why: str) -> Calibration:
    return Calibration(rows, Outcome.UNSURE, reason=why)


def _estimate(
    config: Config,
    spec: ModelSpec,
    live: tuple[pl.DataFrame, Array, Array | None, Array],
    before: Holdout,
    blocks: Array | None,
) -> Estimate:
    rows, prediction, scores, truth = live
    section = config.monitor
    limits: dict[str, Any] = {
        "min_rows": section.min_rows, "min_labels": section.min_labels, "alpha": section.alpha,
        "blocks": blocks,
    }  # fmt: skip
    if len(before.labels) < section.min_labels:
        few = f"{len(before.labels)} hold-out rows, {section.min_labels} are needed"
        return _not_estimated(spec, len(truth), few)
    try:
        if spec.task == "regression":
            model = LossModel.fit(
                before.rows, before.output.prediction, before.labels, spec=spec,
                seed=config.train.seed,
            )  # fmt: skip
            if model is None:
                few = f"{len(before.labels)} hold-out rows are too few to learn the loss from"
                return _not_estimated(spec, len(truth), few)
            return loss_estimate(model, rows, prediction, truth, spec=spec, **limits)
        if scores is None or before.output.scores is None:
            return _not_estimated(spec, len(truth), "it needs scores, the model answers labels")
        promised = Promised.fit(before.output.scores, before.labels, spec=spec)
        return estimate(promised, prediction, scores, truth, spec=spec, **limits)
    except DataError as error:
        return _not_estimated(spec, len(truth), error.what)


def _calibration(
    config: Config,
    spec: ModelSpec,
    live: tuple[Array, Array | None, Array],
    before: Holdout,
    blocks: Array | None,
) -> Calibration:
    prediction, scores, truth = live
    known = np.array([item is not None for item in truth], dtype=bool)
    limits: dict[str, Any] = {
        "min_labels": config.monitor.min_labels, "alpha": config.monitor.alpha,
        "blocks": (before.blocks, None if blocks is None else blocks[known]),
    }  # fmt: skip
    if not known.any():
        return _not_tested(0, "there are no labels")
    if spec.task == "regression":
        try:
            values = truth[known].astype(float)
            held = before.labels.astype(float)
        except (TypeError, ValueError):
            return _not_tested(int(known.sum()), "the labels are no numbers")
        given = before.output.prediction.astype(float), held
        return calibration(
            *given, prediction[known].astype(float), values, regression=True, **limits
        )
    if scores is None or before.output.scores is None:
        return _not_tested(int(known.sum()), "it needs scores, the model answers labels")
    then = _confidence(spec, before.output.scores, before.labels)
    return calibration(*then, *_confidence(spec, scores[known], truth[known]), **limits)


def _confidence(spec: ModelSpec, scores: Array, labels: Array) -> tuple[Floats, Floats]:
    """The positive class's score and whether it was so; of several, the largest one's."""
    table = as_table(scores)
    if table.shape[1] == 2:
        return table[:, 1], np.asarray(labels == spec.classes[1], dtype=float)
    top = table.argmax(axis=1)
    hits = [label == spec.classes[code] for label, code in zip(labels, top.tolist(), strict=True)]
    return table.max(axis=1), np.array(hits, dtype=float)


def _slices(
    config: Config,
    spec: ModelSpec,
    live: tuple[pl.DataFrame, Array, Array | None, Array],
    before: Holdout,
    blocks: Array | None,
) -> tuple[Slice, ...]:
    rows, prediction, scores, truth = live
    known = np.array([item is not None for item in truth], dtype=bool)
    held = before.output.scores
    name = _row_loss(spec, scored=scores is not None and held is not None)
    if not known.any():
        return ()
    losses = np.full(len(truth), np.nan)
    classes = spec.classes
    try:
        chosen = None if scores is None else scores[known]
        losses[known] = metrics.loss(name, truth[known], prediction[known], chosen, classes=classes)
        then = metrics.loss(name, before.labels, before.output.prediction, held, classes=classes)
    except DataError:
        return ()
    return worst_slices(
        rows,
        losses,
        before.rows,
        then,
        metric="error rate" if name == "accuracy" else name,
        named=config.monitor.segments,
        blocks=(blocks, before.blocks),
        alpha=config.monitor.alpha,
        min_rows=config.monitor.min_rows,
    )


def _row_loss(spec: ModelSpec, *, scored: bool) -> str:
    """Absolute errors for numbers, which one row cannot carry by itself as squares can."""
    return "mae" if spec.task == "regression" else metrics.default_loss(spec.task, scores=scored)
