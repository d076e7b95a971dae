"""One candidate's run: figures, model, specification; and the rows that all of them share.

>>> "holdout" in HOLDOUT
True
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lifecycle.config import Config
from lifecycle.errors import DataError, UntrustedModel
from lifecycle.models import metrics, specs
from lifecycle.models.candidates import Prepared
from lifecycle.models.fitting import Fitted, inputs
from lifecycle.models.predicting import Array
from lifecycle.models.splits import Split
from lifecycle.models.tables import Table
from lifecycle.models.untrained import seeds
from lifecycle.records import Candidate, Lineage, Metric, ModelSpec
from lifecycle.stores import artifacts, runs

if TYPE_CHECKING:
    from mlflow import MlflowClient

HOLDOUT = "data/holdout.parquet"
REFERENCE = "data/reference.parquet"
PROFILE = "data/profile.json"
REFERENCE_ROWS = 20_000


@dataclass(frozen=True)
class Job:
    """What all candidates of a training share."""

    config: Config
    client: "MlflowClient"
    experiment: str
    run_id: str
    table: Table
    rows: Split
    lineage: Lineage
    metric: str


def track(job: Job, prepared: Prepared, found: Fitted | Exception) -> Candidate:
    """Log one candidate as a child run; a failed one with its error.

    Raises:
        RegistryError: MLflow failed; the training is over.
    """
    start = perf_counter()
    tags = {"lifecycle.kind": "candidate", "lifecycle.candidate": prepared.name}
    try:
        with runs.run(
            job.client, job.experiment, prepared.name, tags=tags, parent=job.run_id
        ) as run_id:
            if isinstance(found, Exception):
                raise _CannotFit(explain(found))
            spec = specify(job, found)
            uri = _log(job, run_id, found, spec)
    except (_CannotFit, UntrustedModel, DataError) as error:
        return Candidate(prepared.name, error=str(error))
    return Candidate(
        prepared.name,
        run_id,
        uri,
        spec.metrics,
        found.fit_seconds,
        found.score_seconds,
        perf_counter() - start,
        spec=spec,
        estimator=found.estimator,
    )


class _CannotFit(Exception):
    """Ends a candidate's run as failed."""


def explain(error: Exception) -> str:
    r"""A failed fit in one line.

    >>> explain(ValueError("bad\n  rows"))
    'ValueError: bad rows'
    """
    text = " ".join(str(error).split())[:1000]
    return text if hasattr(error, "what") else f"{type(error).__name__}: {text}"


def specify(job: Job, found: Fitted) -> ModelSpec:
    """The whole specification of a fitted candidate."""
    table, rows = job.table, job.rows
    drawn = seeds(found.prepared.estimator)
    times = table.frame[table.time].to_numpy()[rows.train] if table.time else np.array([])
    return replace(
        found.spec,
        primary_metric=job.metric,
        metrics=judge(job, found),
        split=rows.how,
        trained_from=_iso(times.min()) if len(times) else None,
        trained_to=_iso(times.max()) if len(times) else None,
        known_to=_iso(table.frame[table.time].max()) if table.time else None,
        trained_rows=len(rows.train),
        holdout_rows=len(rows.holdout),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        data_run_id=job.run_id,
        lineage=replace(job.lineage, seeds={**job.lineage.seeds, **drawn}),
    )


def _iso(moment: Any) -> str:
    return f"{pd.Timestamp(moment).isoformat()}+00:00"


def judge(job: Job, found: Fitted) -> tuple[Metric, ...]:
    """All metrics of the task on the hold-out rows, with intervals; the primary one first."""
    table, held = job.table, job.rows.holdout
    scores = found.output.scores
    chosen = [job.metric, *metrics.standard_metrics(table.task, scores=scores is not None)]
    weights = None if table.weights is None else table.weights[held]
    return tuple(
        metrics.evaluate(
            name,
            table.y[held],
            found.output.prediction,
            scores,
            classes=table.classes,
            weights=weights,
        )
        for name in dict.fromkeys(chosen)
    )


def _log(job: Job, run_id: str, found: Fitted, spec: ModelSpec) -> str:
    parameters = {
        key: value
        for key, value in found.prepared.estimator.get_params(deep=True).items()
        if isinstance(value, (bool, int, float, str)) or value is None
    }
    parameters = {"estimator": spec.estimator, "threshold": spec.threshold, **parameters}
    uri = runs.log_model(
        job.client,
        run_id,
        found.estimator,
        spec,
        example=inputs(found.prepared, job.table, job.rows.holdout[:3]),
        prediction=found.output.prediction,
        params=parameters,
        allow_pickle=job.config.models.allow_pickle,
    )
    runs.log_figures(job.client, run_id, spec.metrics, parameters, model_uri=uri)
    contents: dict[str, str | bytes | pd.DataFrame] = {"spec.json": specs.dumps(spec)}
    contents[artifacts.ANSWERS] = artifacts.answers_table(found.output)
    runs.log_files(job.client, run_id, contents)
    return uri


def data_files(job: Job, found: Fitted, profile: str) -> Mapping[str, str | bytes | pd.DataFrame]:
    """The rows and the profile that gates and monitoring need of a training.

    Args:
        job: the training.
        found: the best candidate; its scores go with the rows that it had not seen.
        profile: as `lifecycle.drift.Profile.dumps` writes it.
    """
    table, held = job.table, job.rows.holdout
    reference = table.frame[[*([table.time] if table.time else []), *table.names]].copy()
    score = found.output.score
    if score is not None and score.ndim == 1 and "score" not in reference.columns:
        reference["score"] = np.nan
        reference.loc[held, "score"] = score
    sample = runs.seeded_sample(reference, REFERENCE_ROWS, job.config.train.seed)
    rows = table.frame.iloc[held].reset_index(drop=True)
    return {HOLDOUT: rows, REFERENCE: sample, PROFILE: profile}


def answered(job: Job, found: Fitted) -> dict[str, Array]:
    """The best candidate's answers to the hold-out rows, as columns for the profile."""
    columns: dict[str, Array] = {"prediction": found.output.prediction}
    score = found.output.score
    if score is not None and score.ndim == 1:
        columns["score"] = score
    if job.table.time:
        columns[job.table.time] = job.table.frame[job.table.time].to_numpy()[job.rows.holdout]
    return {name: values for name, values in columns.items() if name not in job.table.names}
