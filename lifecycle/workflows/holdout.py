"""A version's hold-out rows with what it answered to them: what live rows are held against.

>>> import numpy as np
>>> Holdout(pl.DataFrame({"x": [1.0]}), np.array([2.0]), Output(np.array([1.5]))).rows.height
1
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from lifecycle.config import Config
from lifecycle.drift.stretches import time_blocks
from lifecycle.errors import LifecycleError, ModelNotFound, RegistryUnavailable
from lifecycle.models import inputs, metrics
from lifecycle.models.predicting import Array, Output
from lifecycle.records import ModelSpec, ModelVersion
from lifecycle.stores import artifacts
from lifecycle.workflows.compare import to_polars
from lifecycle.workflows.live import table_times
from lifecycle.workflows.segments import Segment, within

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Holdout:
    """Hold-out rows, their labels and the version's answers, row by row.

    Attributes:
        rows: the features.
        labels: (n,) what was true.
        output: what the version answered.
        times: (n,) of the rows, where the model has a time.
    """

    rows: pl.DataFrame
    labels: Array
    output: Output
    times: pl.Series | None = None

    @property
    def blocks(self) -> Array | None:
        """The stretch of time of each row, whose labels may go together."""
        return time_blocks(self.times)

    def part(self, segment: Segment) -> "Holdout":
        """The rows of a segment.

        >>> import numpy as np
        >>> whole = Holdout(pl.DataFrame({"x": [1, 2]}), np.array([5, 6]), Output(np.array([5, 6])))
        >>> whole.part(Segment("x", "2")).labels
        array([6])

        Raises:
            DataError: there is no such column.
        """
        kept = within(self.rows, segment).to_numpy()
        scores = None if self.output.scores is None else self.output.scores[kept]
        return Holdout(
            self.rows.filter(pl.Series(kept)),
            self.labels[kept],
            Output(self.output.prediction[kept], scores),
            None if self.times is None else self.times.filter(pl.Series(kept)),
        )


def holdout(
    client: "MlflowClient", config: Config, version: ModelVersion, spec: ModelSpec
) -> tuple[Holdout | None, str]:
    """Read a version's hold-out and its answers; what was not stored is computed by the model.

    Returns:
        The hold-out, or None and why there is none.

    Raises:
        RegistryUnavailable: no answer in time.
    """
    try:
        frame = artifacts.holdout(client, version)
        labels = frame[spec.target].to_numpy() if spec.target in frame.columns else None
        if labels is None:
            return None, f"the hold-out of {version.ref} has no labels"
        output = _answers(client, config, version, frame)
    except RegistryUnavailable:
        raise
    except ModelNotFound:
        return None, f"{version.ref} has no hold-out rows to hold live rows against"
    except LifecycleError as error:
        return None, f"the hold-out of {version.ref} cannot be used: {error.what}"
    if len(output.prediction) != len(frame):
        return None, f"the hold-out of {version.ref} and its answers differ in length"
    names = [name for name in spec.feature_names if name in frame.columns]
    times = None
    if spec.time and spec.time in frame.columns:
        times = table_times(to_polars(frame[[spec.time]], "hold-out"), spec.time)
    return Holdout(to_polars(frame[names], "hold-out"), labels, output, times), ""


def _answers(
    client: "MlflowClient", config: Config, version: ModelVersion, frame: "pd.DataFrame"
) -> Output:
    try:
        return artifacts.holdout_answers(client, version)
    except ModelNotFound:  # a version from before its answers were stored
        model = artifacts.load(client, version, config)
        return model.predict(inputs.columns(frame, model.spec, where="hold-out"))


def expected_in(spec: ModelSpec, part: Holdout) -> ModelSpec:
    """The specification with the metrics that the hold-out, or a part of it, gives.

    Their intervals know that labels of one stretch of time may go together. A metric that cannot
    be computed is left out.

    Args:
        spec: with the metrics of the training, whose rows count as independent.
        part: the hold-out, or `Holdout.part` of a segment.
    """
    figures, blocks = [], part.blocks
    for item in spec.metrics:
        try:
            figures.append(
                metrics.evaluate(
                    item.name,
                    part.labels,
                    part.output.prediction,
                    part.output.scores,
                    classes=spec.classes,
                    blocks=blocks,
                )
            )
        except LifecycleError:
            continue
    return replace(spec, metrics=tuple(figures), holdout_rows=len(part.labels))
