"""What labels say of the champion in a check, and whether that calls for training.

>>> judge(Config(), version, spec, live, drifted=True).decision.retrain  # doctest: +SKIP
False
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from lifecycle.config import Config
from lifecycle.drift.over_time import over_time
from lifecycle.drift.performance import expected_loss, performance, row_losses, window_losses
from lifecycle.errors import DataError
from lifecycle.records import Decision, Evidence, ModelSpec, ModelVersion, Performance
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionLog
from lifecycle.stores.sealed import moment
from lifecycle.triggers import decide
from lifecycle.workflows.holdout import Holdout
from lifecycle.workflows.labelled import Told, told
from lifecycle.workflows.live import Live, from_log

LEAST_LABELS = 30  # of a window whose loss is told


@dataclass(frozen=True)
class Judged:
    """The live metric where there are labels, what they say beside it, and what follows."""

    decision: Decision
    performance: Performance | None = None
    told: Told | None = None  # None where there are no rows


def judge(
    config: Config,
    version: ModelVersion,
    spec: ModelSpec,
    live: Live,
    *,
    drifted: bool,
    before: Holdout | None = None,
    why: str = "",
    now: datetime | None = None,
) -> Judged:
    """Hold labelled rows against the hold-out and decide.

    Args:
        config: `[monitor]`, `[retrain]` and the log.
        version: the champion.
        spec: its specification.
        live: the rows of the check.
        drifted: whether they moved.
        before: the hold-out that they are held against; None where there is none.
        why: there is none.
        now: when the check is.

    Raises:
        ConfigError: `[monitor] segments` names no feature.
    """
    seen = _performance(config, spec, live)
    expected = expected_loss(spec, scores=live.scores is not None)
    evidence = Evidence(
        drifted=drifted,
        harmed=seen is not None and seen.harmed,
        labelled_rows=_labelled(config, version, spec, live),
        trained_rows=spec.trained_rows,
        recent_losses=_recent(config, version, spec, live),
        holdout_loss=expected[0] if expected else None,
        holdout_loss_error=expected[1] if expected else None,
    )
    beside = told(config, spec, live, before, why, now=now) if live.rows.height else None
    return Judged(decide(evidence, config.retrain), seen, beside)


def _known(live: Live) -> np.ndarray:
    return live.labels.is_not_null().to_numpy()


def _performance(config: Config, spec: ModelSpec, live: Live) -> Performance | None:
    known = _known(live)
    if not known.any() or "prediction" not in live.rows.columns:
        return None
    blocks = live.blocks(spec)
    seen = performance(
        live.labels.filter(pl.Series(known)).to_numpy(),
        live.rows["prediction"].filter(pl.Series(known)).to_numpy(),
        None if live.scores is None else live.scores[known],
        spec=spec,
        unlabelled_rows=int((~known).sum()),
        blocks=None if blocks is None else blocks[known],
        min_labels=config.monitor.min_labels,
        alpha=config.monitor.alpha,
    )
    course = over_time(
        live.labels.to_list(),
        live.rows["prediction"].to_numpy(),
        live.scores,
        live.times,
        spec=spec,
    )
    return replace(seen, over_time=course)


def _labelled(config: Config, version: ModelVersion, spec: ModelSpec, live: Live) -> int:
    """Labelled rows since training: of the log, or of the table that was given."""
    known_to = spec.known_to or spec.trained_to
    log = PredictionLog(config.log.dir).read(
        version.name, since=known_to, columns=["prediction_id", "key", "time"]
    )
    if known_to is not None:
        log = log.filter(pl.col("time") > moment(known_to, "known_to"))
    known = LabelStore(config.log.dir).read(version.name)
    logged = log.join(known.select("prediction_id"), on="prediction_id", how="semi")
    rows = logged.unique(["key", "time"]).height if logged["key"].null_count() == 0 else 0
    return max(rows or logged.height, int(_known(live).sum()))


def _recent(
    config: Config, version: ModelVersion, spec: ModelSpec, live: Live
) -> tuple[float, ...]:
    """The mean loss on the window before this one, of the same length, and on this one."""
    parts = [live]
    if live.window is not None:
        first, last = (pl.Series([item]).str.to_datetime()[0] for item in live.window)
        length = max(last - first, timedelta(seconds=1))
        earlier = from_log(config, version, spec, since=first - length, until=first)
        parts.insert(0, earlier)
    losses: list[float] = []
    for part in parts:
        known = _known(part)
        if known.sum() < LEAST_LABELS or "prediction" not in part.rows.columns:
            continue
        chosen = pl.Series(known)
        try:
            each = row_losses(
                part.labels.filter(chosen).to_numpy(),
                part.rows["prediction"].filter(chosen).to_numpy(),
                None if part.scores is None else part.scores[known],
                spec=spec,
            )
        except DataError:
            continue
        found = window_losses(each, np.zeros(len(each)), min_rows=LEAST_LABELS)
        losses.extend(item.loss for item in found)
    return tuple(losses)
