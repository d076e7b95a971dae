"""Take in late labels: what turned out to be true of predictions.

>>> from lifecycle.config import Config
>>> feedback(Config(), [{"prediction_id": "…", "label": 1}])
Traceback (most recent call last):
lifecycle.errors.ConfigError: no model name is set. Next: set `name` in lifecycle.toml.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl

from lifecycle.config import Config
from lifecycle.durations import duration
from lifecycle.errors import ConfigError, LabelError, ModelNotFound
from lifecycle.records import Feedback
from lifecycle.stores import datasets, ids
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionLog

Labels = datasets.Source | Sequence[Mapping[str, Any]]


def feedback(
    config: Config, labels: Labels, *, tolerance: timedelta | str = timedelta(0)
) -> Feedback:
    """Store labels by prediction id, or by key and time; a batch is taken whole or not at all.

    Args:
        config: name, `[log]`, and the target, time and key where the champion does not know its
            own or there is none.
        labels: a frame, a path to a .parquet or .csv file, or one dict a label. The label stands
            in the column `label` or in the target's; the prediction is named by `prediction_id`,
            else by the key's column (or `key`) and the time's (or `time`).
        tolerance: how far from its prediction's time a label's time may be; text as in "5m".

    Raises:
        ConfigError: no name is set, or the tolerance is no length of time.
        LabelError: the batch cannot be used; nothing of it was stored.
        LogError: the log cannot be read or written.
    """
    if not config.name:
        raise ConfigError("no model name is set", fix="set `name` in lifecycle.toml")
    away = duration(tolerance, "tolerance") if isinstance(tolerance, str) else tolerance
    frame = _frame(labels)
    target, key, time = _names(config, frame)
    answers = PredictionLog(config.log.dir).read(config.name, columns=["prediction"])
    return LabelStore(config.log.dir).add(
        config.name,
        frame,
        ids.secret(config.log.dir),
        target=target,
        key=key if key in frame.columns else "key",
        time=time if time in frame.columns else "time",
        tolerance=away,
        like=answers.schema["prediction"],
    )


def _frame(labels: Labels) -> pl.DataFrame:
    if isinstance(labels, pl.DataFrame):
        return labels
    try:
        if isinstance(labels, Sequence) and not isinstance(labels, (str, Path)):
            return pl.DataFrame(list(labels), infer_schema_length=None, strict=True)
        return pl.from_pandas(datasets.read(labels))
    except (pl.exceptions.PolarsError, TypeError, ValueError) as error:
        if isinstance(error, LabelError) or hasattr(error, "what"):
            raise
        raise LabelError(
            f"the labels are no table: {error}", fix="give each row the same columns and types"
        ) from error


def _names(config: Config, frame: pl.DataFrame) -> tuple[str, str, str]:
    """Target, key and time: the champion's, else the config's; asked for only where needed."""
    given = (config.target, config.key, config.time)
    if {"label", "prediction_id"} <= set(frame.columns):
        return given
    from lifecycle.stores import artifacts, registry
    from lifecycle.stores.tracking import connect

    client = connect(config)
    try:
        spec = artifacts.spec(client, registry.find(client, config.name))
    except ModelNotFound:
        return given
    known = (spec.target, spec.key, spec.time)
    target, key, time = (its or mine or "" for its, mine in zip(known, given, strict=True))
    return target, key, time
