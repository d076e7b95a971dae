"""Train a version again from what is recorded of it, and compare metrics and answers.

>>> from lifecycle.config import Config
>>> reproduce(Config(), "churn/3").same  # doctest: +SKIP
True

Nothing is registered or logged. The data are read again from where they were, and used only when
their digest is the recorded one; code is not checked out and packages are not installed: what
differs is told.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lifecycle.config import Config
from lifecycle.errors import (
    DataError,
    LifecycleError,
    ModelNotFound,
    RegistryUnavailable,
    TrainingFailed,
    TransitionRefused,
)
from lifecycle.models import metrics
from lifecycle.models.candidates import prepare
from lifecycle.models.fitting import Fitted, fit
from lifecycle.models.inputs import array
from lifecycle.models.predicting import Array, LoadedModel, Output
from lifecycle.models.splits import Split
from lifecycle.models.tables import Table
from lifecycle.models.untrained import bare
from lifecycle.records import (
    Column,
    Lineage,
    ModelRef,
    ModelSpec,
    ModelVersion,
    Reproduction,
)
from lifecycle.stores import artifacts, datasets, registry
from lifecycle.stores.lineage import LOCK, RECIPE, changed_packages, code, environment, lock
from lifecycle.stores.tracking import connect
from lifecycle.workflows.progress import bar
from lifecycle.workflows.train import gathered

if TYPE_CHECKING:
    from mlflow import MlflowClient

TOLERANCE = 1e-9  # of a score, or of a number as a share of the largest; sums differ by threads
NAMED = 5  # packages that differ are named


@dataclass(frozen=True)
class _Recipe:
    """What is recorded of a training."""

    version: ModelVersion
    spec: ModelSpec
    told: dict[str, Any]
    packages: str


def reproduce(
    config: Config,
    ref: str | ModelRef | ModelVersion,
    *,
    data: datasets.Source | None = None,
    validation: datasets.Source | None = None,
    strict: bool = False,
) -> Reproduction:
    """Train a version's estimator on the rows it was trained on, with its seed, and compare.

    Args:
        config: tracking and `[models]`; how it was trained is taken from the record.
        ref: the version; one that was trained with lifecycle.
        data: the rows, where they are not any more where they were; a frame or a file.
        validation: likewise the rows that were held out, where they were given apart.
        strict: refuse, before anything is trained, where code or environment differ.

    Returns:
        Whether the answers to the hold-out rows are the same, the differences, and what differs.

    Raises:
        DataError: the rows cannot be read, or are not those that were recorded.
        TransitionRefused: the version was adopted or is from before recipes were kept.
        TrainingFailed: `strict`, and something differs; or the estimator cannot be trained.
        ModelRefused: the version's files must not be loaded.
        ModelNotFound: no such version.
    """
    start = perf_counter()
    client = connect(config)
    version = registry.find(client, ref, order=config.stages.order)
    recipe = _recipe(client, version)
    differs = _differs(recipe)
    if strict and differs:
        raise TrainingFailed(
            f"this is not where {version.ref} was trained: {'; '.join(differs)}",
            where=version.ref,
            fix="check out its commit and install its environment, or do without strict",
        )
    with bar("reproducing", 3) as advance:
        model = artifacts.load(client, version, config.with_values(models__compile=False))
        advance(1)
        table, rows = _rows(config, recipe, data, validation)
        advance(1)
        fitted = _fitted(recipe, model, table, rows)
        advance(1)
    before = _answers(client, version, rows)
    found = _compared(recipe.spec, fitted, before, table, rows)
    return replace(
        found,
        name=version.name,
        version=version.version,
        differs=differs,
        seconds=perf_counter() - start,
    )


def attempted(config: Config, version: ModelVersion) -> tuple[Reproduction | None, str]:
    """The reproduction of a version for the gates, or None and why there is none.

    Raises:
        RegistryUnavailable: no answer in time.
    """
    try:
        return reproduce(config, version), ""
    except RegistryUnavailable:
        raise
    except LifecycleError as error:
        return None, str(error)


def _recipe(client: "MlflowClient", version: ModelVersion) -> _Recipe:
    spec = artifacts.spec(client, version)
    try:
        told = json.loads(artifacts.run_file(client, spec.data_run_id, RECIPE))
        packages = artifacts.run_file(client, spec.data_run_id, LOCK).decode()
    except ModelNotFound as error:
        raise TransitionRefused(
            "how the version was trained is not recorded: it was adopted, or is from before that"
            " was kept",
            where=version.ref,
            fix="train it with lifecycle to be able to reproduce it",
        ) from error
    return _Recipe(version, spec, told, packages)


def _differs(recipe: _Recipe) -> tuple[str, ...]:
    """What is not as it was when the version was trained; data are checked on their own."""
    was: Lineage = recipe.spec.lineage
    commit, dirty, digest = code(Path.cwd())
    found = []
    if commit != was.code_commit:
        found.append(f"code: commit {was.code_commit[:12] or 'none'} is {commit[:12] or 'none'}")
    elif (dirty, digest) != (was.code_dirty, was.code_diff_digest):
        found.append("code: the uncommitted changes are others")
    if environment() != was.environment_digest:
        changed = changed_packages(recipe.packages, lock())
        more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
        found.append(f"environment: {', '.join(changed[:NAMED])}{more}")
    seed = was.seeds.get("PYTHONHASHSEED", "")
    if seed and os.environ.get("PYTHONHASHSEED", "") != seed:
        found.append(f"PYTHONHASHSEED: {seed} is {os.environ.get('PYTHONHASHSEED') or 'not set'}")
    return tuple(found)


def _rows(
    config: Config,
    recipe: _Recipe,
    data: datasets.Source | None,
    validation: datasets.Source | None,
) -> tuple[Table, Split]:
    """The recorded rows, in the recorded roles and split.

    Raises:
        DataError: they cannot be read, or are others.
    """
    told, lineage, where = recipe.told, recipe.spec.lineage, recipe.version.ref
    source = told["data"] if data is None else data
    apart = (told["validation"] or None) if validation is None else validation
    if data is None and not source:
        raise DataError(
            f"the rows came from {lineage.data_source}, which cannot be read again",
            where=where,
            fix="give them with data= (--data FILE)",
        )
    frame = _part(datasets.read(source), told, apart is not None, where)
    roles = {name: told[name] or "" for name in ("target", "time", "key", "task")}
    settings = {f"train__{name}": value for name, value in told["train"].items()}
    settings["train__metric"] = told["metric"]
    trained = config.with_values(**roles, **settings)
    table, rows, origin = gathered(trained, frame, apart, where=where, optional=told["optional"])
    if origin.digest != lineage.data_digest:
        same = origin.unordered == lineage.data_unordered
        what = "the same rows in another order" if same else (
            f"{origin.rows:,} rows, recorded were {lineage.data_rows:,}"
            if origin.rows != lineage.data_rows
            else "other values or types"
        )  # fmt: skip
        raise DataError(
            f"the data are not those that the version was trained on: {what}"
            f" (sha256 {origin.digest}, recorded {lineage.data_digest})",
            where=source if isinstance(source, (str, Path)) else "the rows",
            fix="restore the file, or give the right one with data= (--data FILE)",
        )
    return table, rows


def _part(frame: pd.DataFrame, told: dict[str, Any], apart: bool, where: str) -> pd.DataFrame:
    """The columns and the stretch of time that a training took of a file that has more."""
    missing = [name for name in told["columns"] if name not in frame.columns]
    if missing:
        raise DataError(
            f"columns that the version was trained on are missing: {', '.join(missing)}",
            where=where,
        )
    frame = frame[told["columns"]] if list(frame.columns) != told["columns"] else frame
    if not told["time"] or not told["first"] or apart:
        return frame
    times = array(frame[told["time"]], Column(told["time"], "datetime"))
    first, last = (np.datetime64(told[name]) for name in ("first", "last"))
    kept = (times >= first) & (times <= last)
    if not kept.any():
        raise DataError(
            "the data are not those that the version was trained on: no row is of"
            f" {told['first']} … {told['last']}",
            where=where,
            fix="give the right file with data= (--data FILE)",
        )
    return frame if kept.all() else frame[kept].reset_index(drop=True)


def _fitted(recipe: _Recipe, model: LoadedModel, table: Table, rows: Split) -> Fitted:
    estimator = bare(model.estimator)
    if estimator is None:
        raise TransitionRefused(
            f"only estimators of scikit-learn are trained again; this one answers by {model.how}",
            where=recipe.version.ref,
        )
    settings = recipe.told["train"]
    seed = recipe.spec.lineage.seed
    costs = (settings["cost_false_positive"], settings["cost_false_negative"])
    try:
        prepared = prepare(recipe.version.ref, estimator, table.features, seed=seed)
        return fit(prepared, table, rows, seed=seed, costs=costs)
    except Exception as error:
        raise TrainingFailed(
            f"the estimator cannot be trained again: {type(error).__name__}: {error}",
            where=recipe.version.ref,
        ) from error


def _answers(client: "MlflowClient", version: ModelVersion, rows: Split) -> Output:
    """The recorded answers to the hold-out rows.

    Raises:
        DataError: they are of other rows.
    """
    found = artifacts.holdout_answers(client, version)
    if len(found.prediction) != len(rows.holdout):
        raise DataError(
            f"{len(found.prediction):,} answers are recorded, {len(rows.holdout):,} rows are held"
            " out now",
            where=version.ref,
        )
    return found


def _compared(
    spec: ModelSpec, fitted: Fitted, before: Output, table: Table, rows: Split
) -> Reproduction:
    held, after = rows.holdout, fitted.output
    weights = None if table.weights is None else table.weights[held]
    found = tuple(
        metrics.evaluate(
            item.name,
            table.y[held],
            after.prediction,
            after.scores,
            classes=table.classes,
            weights=weights,
        )
        for item in spec.metrics
    )
    changed = 0
    if spec.task != "regression":
        changed = int((np.asarray(before.prediction) != np.asarray(after.prediction)).sum())
    largest = difference(before, after, regression=spec.task == "regression")
    return Reproduction(
        "",
        0,
        same=changed == 0 and largest <= TOLERANCE,
        rows=len(held),
        largest_difference=largest,
        changed_answers=changed,
        metrics=found,
        recorded=spec.metrics,
    )


def difference(before: Output, after: Output, *, regression: bool) -> float:
    """The largest difference of two answers to the same rows.

    >>> one, two = Output(np.array([1.0, 4.0])), Output(np.array([1.0, 5.0]))
    >>> difference(one, two, regression=True)
    0.25

    Returns:
        Of scores as they are, of numbers as a share of the largest recorded one; 0 where only
        labels are answered. Infinite where only one of the two has scores, or other ones.
    """
    if regression:
        old, new = (np.asarray(item.prediction, dtype=float) for item in (before, after))
        scale = float(np.nanmax(np.abs(old), initial=0.0)) or 1.0
        with np.errstate(over="ignore"):  # what is infinitely far is so
            return _largest(old / scale, new / scale)
    if before.scores is None and after.scores is None:
        return 0.0
    if before.scores is None or after.scores is None or before.scores.shape != after.scores.shape:
        return float("inf")
    return _largest(before.scores, after.scores)


def _largest(old: Array, new: Array) -> float:
    gap = np.abs(old - new)
    gap[np.isnan(old) & np.isnan(new)] = 0.0
    return float(np.nan_to_num(gap, nan=np.inf).max(initial=0.0))
