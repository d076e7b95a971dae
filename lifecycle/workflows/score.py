"""Score a table in batches: bounded memory, logged with prediction ids, resumable.

    source -> batches -> model -> prediction log -> OUTPUT.part/ -> OUTPUT, at once and whole

>>> from lifecycle.config import Config
>>> score(Config(), "churn", "live.xlsx", "scores.parquet")
Traceback (most recent call last):
lifecycle.errors.DataError: 'live.xlsx' ends with neither .parquet nor .csv. Next: use one of them.

A batch is logged before its part is written, and its part says that it is done. A run that was
interrupted goes on behind its last part when it is started again with the same input and the same
version; what it logs again replaces what it had logged, so every row stands in the log once.
"""

import os
import time as clock
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from lifecycle.config import Config
from lifecycle.errors import DataError, LifecycleError
from lifecycle.models import inputs
from lifecycle.models.predicting import LoadedModel
from lifecycle.records import Column, ModelRef, ModelSpec, ModelVersion, Scored
from lifecycle.stores import artifacts, datasets, ids, registry
from lifecycle.stores import rows as log_rows
from lifecycle.stores.labels import as_keys
from lifecycle.stores.masking import Mask
from lifecycle.stores.predictions import PredictionLog
from lifecycle.stores.scores import Parts
from lifecycle.stores.tracking import connect
from lifecycle.workflows.progress import bar

ROWS = 100_000  # a batch
ARM = "batch"  # live rollouts do not count these rows
ENDINGS = (".parquet", ".csv")


def score(
    config: Config,
    ref: str | ModelRef | ModelVersion,
    source: datasets.Source,
    output: str | Path | None = None,
) -> "Scored | pd.DataFrame":
    """Answer every row of a table and log it.

    Args:
        config: `[tracking]`, `[log]`, `[models]`.
        ref: the version that answers.
        source: a frame, or a path to a .parquet or .csv file with the model's columns.
        output: a path to a .parquet or .csv file; without one the scores are returned.

    Returns:
        What became of it; without `output` the scores as a pandas frame, a row for a row and
        with the index of a pandas source. Columns: prediction_id, the model's key and time where
        the source has them, prediction, and `score` (binary) or `score_CLASS` (multiclass).

    Raises:
        DataError: the source lacks columns or has no rows, an ending is unknown, the output's
            folder is missing, or an interrupted run of another input is in the way.
        LogError: the log or the output cannot be written; a path that is scored again goes on.
        ModelNotFound: the version does not exist.
    """
    started = clock.perf_counter()
    _check_paths(source, output)
    client = connect(config)
    version = registry.find(client, ref, order=config.stages.order)
    job = _Job(config, artifacts.load(client, version, config), version)
    if output is None:
        frames = list(job.answers(_batches(source), f"score-{os.urandom(8).hex()}"))
        scores = pl.concat(frames).to_pandas()
        return scores.set_axis(source.index) if isinstance(source, pd.DataFrame) else scores
    identity = {**_origin(source), "version": version.ref, "digest": version.digest, "rows": ROWS}
    with Parts(Path(output), identity) as parts, bar("scoring", _count(source)) as advance:
        resumed = parts.rows
        advance(resumed)
        try:
            for frame in job.answers(_batches(source), f"score-{parts.job}", done=parts.done):
                parts.write(frame)
                advance(len(frame))
        except DataError:  # it would fail again: leave no half of it, here or in the log
            parts.discard()
            raise
        parts.finish()
        rows = parts.rows
    return Scored(
        name=version.name,
        version=version.version,
        rows=rows,
        output=str(output),
        seconds=clock.perf_counter() - started,
        how=job.model.how,
        resumed_rows=resumed,
    )


class _Job:
    """One version that answers batch after batch."""

    def __init__(self, config: Config, model: LoadedModel, version: ModelVersion) -> None:
        self.model, self.version, self.spec = model, version, model.spec
        self.log = PredictionLog(config.log.dir)
        self.secret = ids.secret(config.log.dir)
        self.types = {column.name: column.dtype for column in model.spec.features}
        self.mask = Mask.of(config.log)

    def answers(
        self, batches: Iterator[pl.DataFrame], name: str, *, done: int = 0
    ) -> Iterator[pl.DataFrame]:
        """The scores of the batches behind the first `done`, each once it is logged.

        Raises:
            DataError: there are no rows, or some that the model cannot take; what was logged
                under `name` is gone from the log then.
        """
        try:
            for number, batch in enumerate(batches):
                if number >= done:
                    yield self.answer(batch, f"{name}-{number:05}")
        except DataError:
            self.log.discard(self.version.name, name)
            raise

    def answer(self, batch: pl.DataFrame, name: str) -> pl.DataFrame:
        """The scores of a batch, once they are logged under `name`."""
        now = clock.time_ns() // 1000
        columns = inputs.columns(batch, self.spec)
        try:
            output = self.model.predict(columns)
        except LifecycleError:
            raise
        except Exception as error:
            said = " ".join(str(error).split())[:300]
            raise DataError(
                f"the model fails on these rows: {type(error).__name__}: {said}",
                where=self.version.ref,
                fix="check that they are what it was trained on",
            ) from error
        token = ids.issue(
            self.secret,
            model=self.version.name,
            version=self.version.version,
            time=now,
            arm=ARM,
            rows=len(batch),
        )
        logged, types = columns, self.types
        if self.mask is not None:
            logged, types = self.mask.apply(columns, types)
        rows = log_rows.frame(
            self.version.name,
            self.version.version,
            token,
            rows=len(batch),
            time=_times(batch, self.spec, now),
            features=logged,
            prediction=output.prediction,
            score=output.score,
            arm=ARM,
            key=_keys(batch, self.spec),
            types=types,
        )
        self.log.write(self.version.name, rows, name=name)
        return self._shown(batch, rows)

    def _shown(self, batch: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        carried = [name for name in (self.spec.key, self.spec.time) if name in batch.columns]
        shown = [rows["prediction_id"], *(batch[name] for name in carried), rows["prediction"]]
        if isinstance(rows.schema["score"], pl.List):
            shown += [
                rows["score"].list.get(place).alias(f"score_{label}")
                for place, label in enumerate(self.spec.classes)
            ]
        elif self.spec.task != "regression" and rows["score"].null_count() < len(rows):
            shown.append(rows["score"])
        return pl.DataFrame(shown)


def _times(batch: pl.DataFrame, spec: ModelSpec, now: int) -> int | np.ndarray:
    if not spec.time or spec.time not in batch.columns:
        return now
    column = Column(spec.time, "datetime", required=False)
    return log_rows.dated(inputs.array(batch[spec.time].to_pandas(), column), now)


def _keys(batch: pl.DataFrame, spec: ModelSpec) -> list[str | None] | None:
    if not spec.key or spec.key not in batch.columns:
        return None
    keys: list[str | None] = as_keys(batch[spec.key]).to_list()
    return keys


def _check_paths(source: datasets.Source, output: str | Path | None) -> None:
    for path in (source, output):
        if isinstance(path, (str, Path)) and Path(path).suffix not in ENDINGS:
            raise DataError(
                f"{str(path)!r} ends with neither .parquet nor .csv", fix="use one of them"
            )
    if isinstance(source, (str, Path)):
        datasets.columns(source)
    if output is None:
        return
    folder = Path(output).resolve().parent
    if not folder.is_dir():
        raise DataError("the output's folder does not exist", where=folder, fix="make it")
    if isinstance(source, (str, Path)) and Path(source).resolve() == Path(output).resolve():
        raise DataError("the output would replace the input", where=output, fix="choose another")


def _origin(source: datasets.Source) -> dict[str, Any]:
    """What tells whether an interrupted run was about the same rows."""
    if not isinstance(source, (str, Path)):
        return {"input": datasets.digest(source)}
    found = Path(source).stat()
    return {
        "input": str(Path(source).resolve()),
        "size": found.st_size,
        "changed": found.st_mtime_ns,
    }


def _batches(source: datasets.Source) -> Iterator[pl.DataFrame]:
    if isinstance(source, (str, Path)):
        empty = True
        for batch in datasets.batches(source, ROWS):
            empty = False
            yield batch
        if empty:
            raise DataError(
                "the table has columns but no rows", where=source, fix="check the export"
            )
        return
    table = datasets.read(source)
    for start in range(0, len(table), ROWS):
        yield pl.from_pandas(table.iloc[start : start + ROWS])


def _count(source: datasets.Source) -> int | None:
    if not isinstance(source, (str, Path)):
        return len(source)
    if Path(source).suffix == ".csv":
        return None
    return int(pl.scan_parquet(source).select(pl.len()).collect().item())
