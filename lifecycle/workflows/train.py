"""Train candidates, track each, keep all that the other verbs need of them.

    data -> checks -> split -> candidates, one by one -> a run each -> the best's pictures and card

>>> from lifecycle.config import Config
>>> train(Config(), "no.csv")
Traceback (most recent call last):
lifecycle.errors.ConfigError: no model name is set. Next: set `name` in lifecycle.toml.
"""

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from lifecycle.config import Config
from lifecycle.drift import build_profile
from lifecycle.errors import ConfigError, MissingExtra, RegistryError, TrainingFailed
from lifecycle.models import metrics
from lifecycle.models.candidates import DEFAULTS, Prepared, find, kind_of, names, prepare
from lifecycle.models.fitting import Fitted, fit
from lifecycle.models.splits import Split, check_classes, split
from lifecycle.models.tables import Table, check_training, joined
from lifecycle.models.tuning import tuned
from lifecycle.records import Candidate, Entry, Training
from lifecycle.stores import datasets, runs
from lifecycle.stores.lineage import DIFFERENCE, LOCK, RECIPE, difference, lineage, lock
from lifecycle.stores.tracking import connect, experiment_id
from lifecycle.workflows.present import present
from lifecycle.workflows.progress import bar
from lifecycle.workflows.register import register
from lifecycle.workflows.track import Job, answered, data_files, track

__all__ = ["register", "train"]

Tracked = tuple[Candidate, Fitted | None]


@dataclass(frozen=True)
class Origin:
    """Where the rows come from.

    Attributes:
        source: what the rows are called.
        digest: of all of them.
        rows: how many there are.
        unordered: their digest for any order.
        recipe: what it takes to gather them again: files, columns, and first and last time.
    """

    source: str
    digest: str
    rows: int
    unordered: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)


def train(
    config: Config,
    data: datasets.Source,
    *,
    candidates: Sequence[Any] = (),
    validation: datasets.Source | None = None,
    parent_version: int | None = None,
    cause: str = "",
    where: str = "",
    optional: Collection[str] = (),
    caused_by: Entry | None = None,
) -> Training:
    """Train every candidate on the same rows and judge it on the same hold-out.

    Args:
        config: name, target, time, key, `[train]`.
        data: a frame, or a path to a .parquet or .csv file.
        candidates: names of `lifecycle.models.candidates`, "module:attribute", or estimators;
            without any those of the config, else three of the built-in ones.
        validation: rows to hold out instead of a share of `data`.
        parent_version: the version that this training is meant to replace, for the lineage.
        cause: why it is trained, for the lineage.
        where: what the rows are called in errors and in the lineage; by default their path.
        optional: features that may be null in service though these rows hold no null.
        caused_by: the ledger's entry that called for the training, for the lineage.

    Returns:
        The candidates from best to worst, failed ones last. Nothing is registered.

    Raises:
        DataError: the data cannot be used; nothing was trained.
        ConfigError: a setting is wrong or a candidate unknown; nothing was trained.
        TrainingFailed: no candidate could be trained or stored.
        RegistryUnavailable: MLflow does not answer.
    """
    start = perf_counter()
    if not config.name:
        raise ConfigError("no model name is set", fix="set `name` in lifecycle.toml")
    table, rows, origin = gathered(config, data, validation, where=where, optional=optional)
    prepared, metric = _candidates(config, table, candidates)
    client = connect(config)
    experiment = experiment_id(client, config.experiment)
    runs.close_dead(client, experiment)
    runs.warm()
    came_from = lineage(
        data_digest=origin.digest,
        data_rows=origin.rows,
        data_source=origin.source,
        seed=config.train.seed,
        parent_version=parent_version,
        cause=cause,
        caused_by=caused_by,
        unordered=origin.unordered,
        seeds=hash_seed(),
    )
    tags = {
        "lifecycle.kind": "training",
        "lifecycle.name": config.name,
        "lifecycle.data_digest": origin.digest,
    }
    try:
        with (
            runs.no_autolog(),
            runs.run(client, experiment, f"train {config.name}", tags=tags) as run_id,
        ):
            job = Job(config, client, experiment, run_id, table, rows, came_from, metric)
            done: list[Tracked] = []
            with bar("training", len(prepared)) as advance:
                for item, found in _fitted(job, prepared):
                    fitted = found if isinstance(found, Fitted) else None
                    done.append((track(job, item, found), fitted))
                    advance(1)
            ranked = _ranked(done, metric)
            best = ranked[0][1]
            assert best is not None  # `_ranked` refuses a training without one
            _keep(job, ranked[0][0], best, origin)
            before = perf_counter()
            notes = present(job, ranked[0][0], best)
            extras = perf_counter() - before
    except (OSError, RegistryError) as error:
        raise runs.storage_error(error) from error
    said = [
        *table.notes,
        *(note for item in prepared for note in item.notes),
        *(note for _, fitted in ranked if fitted for note in fitted.prepared.notes),
        *(note for _, fitted in ranked if fitted for note in fitted.notes),
        *notes,
    ]
    return Training(
        config.name,
        run_id,
        metric,
        tuple(item for item, _ in ranked),
        extras_seconds=extras,
        seconds=perf_counter() - start,
        notes=tuple(dict.fromkeys(said)),
    )


def hash_seed() -> dict[str, str]:
    """What Python's own hashes are seeded with, where that was set."""
    found = os.environ.get("PYTHONHASHSEED", "")
    return {"PYTHONHASHSEED": found} if found else {}


def gathered(
    config: Config,
    data: datasets.Source,
    validation: datasets.Source | None = None,
    *,
    where: str = "",
    optional: Collection[str] = (),
) -> tuple[Table, Split, Origin]:
    """The rows that are trained and judged on, as `train` takes them.

    Raises:
        DataError: the data cannot be used.
    """
    source = where or (str(data) if isinstance(data, (str, Path)) else "a frame")
    frame = datasets.read(data, where=where)
    held, digest = None, datasets.digest(frame)
    named = {str(name): datasets.address(item) for name, item in
             (("data", where or data), ("validation", validation))}  # fmt: skip
    if validation is not None:
        place = str(validation) if isinstance(validation, (str, Path)) else "the validation frame"
        other = datasets.read(validation, where=place)
        held = np.arange(len(frame) + len(other)) >= len(frame)
        frame, source = joined(frame, other, where=place), f"{source} + {place}"
        digest = datasets.digest(frame)
    table = check_training(
        frame,
        target=config.target,
        time=config.time,
        key=config.key,
        weight=config.train.weight,
        task=config.task,
        positive=config.train.positive,
        held=held,
        where=source,
    )
    features = (replace(item, required=False) if item.name in optional else item
                for item in table.features)  # fmt: skip
    table = replace(table, features=tuple(features))
    if table.held is None:
        share, seed = config.train.holdout, config.train.seed
        rows = split(table, share=share, how=config.train.split, seed=seed)
    else:
        rows = Split("given", np.flatnonzero(~table.held), np.flatnonzero(table.held))
        check_classes(table, rows)
    times = table.frame[table.time] if table.time else pd.Series(dtype="datetime64[us]")
    recipe = {
        **named,
        "columns": [str(name) for name in frame.columns],
        "first": times.min().isoformat() if len(times) else None,
        "last": times.max().isoformat() if len(times) else None,
        "optional": sorted(optional),
    }
    unordered = datasets.unordered_digest(frame)
    return table, rows, Origin(source, digest, len(frame), unordered, recipe)


def _candidates(
    config: Config, table: Table, candidates: Sequence[Any]
) -> tuple[list[Prepared], str]:
    """The candidates ready to be fitted, and the metric that they are ordered by."""
    chosen = tuple(candidates) or config.train.candidates or DEFAULTS[kind_of(table.task)]
    found = [find(item, table.task) for item in chosen]
    seed = config.train.seed
    prepared = [
        prepare(name, estimator, table.features, seed=seed)
        for name, estimator in zip(names(chosen), found, strict=True)
    ]
    scores = any(hasattr(item, "predict_proba") for item in found)
    metric = config.train.metric or metrics.default_metric(table.task, scores=scores)
    metrics.rule(metric, task=table.task)
    return prepared, metric


def _fitted(
    job: Job, prepared: Sequence[Prepared]
) -> Iterator[tuple[Prepared, Fitted | Exception]]:
    """Fit each; gives each as it is done.

    One after another unless `[train] jobs` says more: boosting and forests use all cores
    themselves, and two of them at once took 1.5 times as long as one after the other.
    """
    train_config = job.config.train
    costs = (train_config.cost_false_positive, train_config.cost_false_negative)

    def one(item: Prepared) -> Fitted:
        if train_config.tune:
            item = tuned(
                item,
                job.table,
                job.rows,
                metric=job.metric,
                trials=train_config.tune,
                seed=train_config.seed,
            )
        return fit(item, job.table, job.rows, seed=train_config.seed, costs=costs)

    def attempt(item: Prepared) -> Fitted | Exception:
        try:
            return one(item)
        except (ConfigError, MissingExtra):
            raise  # they concern all candidates
        except Exception as error:  # noqa: BLE001 - a candidate's failure is its own
            return error

    if train_config.jobs <= 1:
        for item in prepared:
            yield item, attempt(item)
        return
    with ThreadPoolExecutor(train_config.jobs) as pool:
        waiting = {pool.submit(attempt, item): item for item in prepared}
        try:
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _ranked(done: Sequence[Tracked], metric: str) -> list[Tracked]:
    """From best to worst, failed ones last.

    Raises:
        TrainingFailed: there are only failed ones; the message carries each one's reason.
    """
    good = [item for item in done if not item[0].error]
    bad = [item for item in done if item[0].error]
    if not good:
        reasons = "; ".join(f"{item.name}: {item.error}" for item, _ in bad)
        raise TrainingFailed(
            f"no candidate could be trained: {reasons}", fix="correct the data or the candidates"
        )
    higher = metrics.rule(metric).higher_is_better

    def place(item: Tracked) -> float:
        value = next(figure.value for figure in item[0].metrics if figure.name == metric)
        return -value if higher else value

    return sorted(good, key=place) + bad


def _keep(job: Job, best: Candidate, fitted: Fitted, origin: Origin) -> None:
    """Rows, profile, dataset and headline of the training itself."""
    table = job.table
    features = [*table.names, *([table.time] if table.time else [])]
    profile = build_profile(pl.from_pandas(table.frame[features]), time=table.time or None)
    answers = pl.from_pandas(pd.DataFrame(answered(job, fitted)))
    profile = profile.joined(build_profile(answers, time=table.time or None))
    stored = {**data_files(job, fitted, profile.dumps()), **_origin_files(job, origin)}
    runs.log_files(job.client, job.run_id, stored)
    assert best.spec is not None  # of every candidate that did not fail
    runs.log_dataset(
        job.client,
        job.run_id,
        source=origin.source,
        digest=origin.digest,
        rows=origin.rows,
        spec_json=runs.input_columns(best.spec),
        unordered=origin.unordered,
    )
    headline = {"best": best.name, "metric": job.metric, "split": job.rows.how}
    runs.log_figures(job.client, job.run_id, best.metrics, headline)


def _origin_files(job: Job, origin: Origin) -> dict[str, str]:
    """What the lineage's digests are of: the environment, the code's difference, the recipe."""
    table, settings = job.table, asdict(job.config.train)
    for name in ("candidates", "jobs", "tune", "register", "keep_diff"):
        del settings[name]  # they change no model that is there already
    roles = {
        "target": table.target, "time": table.time, "key": table.key, "task": table.task,
        "metric": job.metric,
    }  # fmt: skip
    recipe = {**origin.recipe, **roles, "train": settings}
    stored = {LOCK: lock(), RECIPE: json.dumps(recipe, indent=1)}
    if job.lineage.code_dirty and job.config.train.keep_diff:
        stored[DIFFERENCE] = difference(Path.cwd())
    return stored
