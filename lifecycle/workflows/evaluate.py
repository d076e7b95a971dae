"""How good a version is on labelled rows, alone or against another; nothing is logged.

>>> from lifecycle.config import Config
>>> evaluate(Config(), "churn/1", "labelled.xlsx")  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
lifecycle.errors.DataError: files that end with '.xlsx' cannot be read ...
"""

from typing import Any

import numpy as np
import pandas as pd

from lifecycle.config import Config
from lifecycle.errors import DataError
from lifecycle.models import inputs, metrics
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Evaluation, Metric, ModelRef, ModelVersion
from lifecycle.stores import artifacts, datasets, registry
from lifecycle.stores.tracking import connect

Reference = str | ModelRef | ModelVersion


def evaluate(
    config: Config, ref: Reference, data: datasets.Source, *, against: Reference | None = None
) -> Evaluation:
    """The standard metrics of a version on labelled rows, each with its 95 % interval.

    Args:
        config: tracking, `target` where the version does not know its own.
        ref: the version.
        data: labelled rows, a frame or a path; rows that the version was trained on flatter it.
        against: another version; then `difference` is the primary metric of `ref` minus its, on
            the same rows, with a paired interval.

    Raises:
        DataError: the target or an input is missing, a label is null or unknown to the model.
        ModelNotFound: no such version.
    """
    frame = datasets.read(data)
    client = connect(config)
    model = artifacts.load(client, registry.find(client, ref, order=config.stages.order), config)
    labels, output = _labels(config, model, frame), model.predict(inputs.columns(frame, model.spec))
    spec, scored = model.spec, output.scores is not None
    primary = spec.primary_metric or metrics.default_metric(spec.task, scores=scored)
    names = dict.fromkeys((primary, *metrics.standard_metrics(spec.task, scores=scored)))
    version = model.version
    assert version is not None
    evaluation = Evaluation(
        version.name,
        version.version,
        len(frame),
        tuple(_metric(name, labels, output, model) for name in names),
    )
    if against is None:
        return evaluation
    rival = artifacts.load(
        client, registry.find(client, against, order=config.stages.order), config
    )
    other = rival.predict(inputs.columns(frame, rival.spec))
    assert rival.version is not None
    return Evaluation(
        evaluation.name,
        evaluation.version,
        evaluation.rows,
        evaluation.metrics,
        rival.version.ref,
        metrics.paired_difference(primary, labels, output, other, spec.classes),
    )


def _labels(config: Config, model: LoadedModel, frame: pd.DataFrame) -> "pd.Series[Any]":
    target = model.spec.target or config.target
    if not target or target not in frame:
        raise DataError(
            f"the rows have no labels: column {target!r} is missing"
            if target
            else "the version does not know its target",
            fix="add the column, or name it with target=",
        )
    labels = frame[target]
    if labels.isna().any():
        raise DataError(
            f"{int(labels.isna().sum())} of {len(labels)} labels are null",
            where=f"column {target!r}",
            fix="leave out the rows whose label has not come yet",
        )
    known = np.asarray(model.spec.classes)
    if len(known) and not labels.isin(known).all():
        first = labels[~labels.isin(known)].iloc[0]
        raise DataError(
            f"the label {first} is none of the model's classes {model.spec.classes}",
            where=f"column {target!r}",
        )
    return labels


def _metric(name: str, labels: "pd.Series[Any]", output: Output, model: LoadedModel) -> Metric:
    return metrics.evaluate(
        name, labels, output.prediction, output.scores, classes=model.spec.classes
    )
