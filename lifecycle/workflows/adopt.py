"""Take over a version that somebody logged and registered with plain MLflow.

>>> from lifecycle.config import Config
>>> adopt(Config(), "old/3", reference="train.parquet", target="churned")  # doctest: +SKIP
ModelVersion(name='old', version=3, ...)

What the other verbs need of a version is gathered from its signature, from the model itself and
from the rows that it was made with, and stored in a run of its own. What cannot be known is asked
for, not guessed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl

from lifecycle.config import Config
from lifecycle.drift import build_profile
from lifecycle.errors import DataError, TransitionRefused
from lifecycle.models import files, loading, metrics, native, separable, specs
from lifecycle.models.compiling import Compiled, compile_model
from lifecycle.models.inputs import columns, table
from lifecycle.models.predicting import Array, LoadedModel, Output
from lifecycle.models.tables import column_type
from lifecycle.named import nearest
from lifecycle.records import Column, Label, Lineage, ModelRef, ModelSpec, ModelVersion, Task
from lifecycle.stores import artifacts, datasets, recorded, registry, runs
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import answers, connect, experiment_id

if TYPE_CHECKING:
    from mlflow import MlflowClient

REFERENCE_ROWS = 20_000
MOST_CLASSES = 20
TASKS = ("binary", "multiclass", "regression")


@dataclass(frozen=True)
class Given:
    """What was given beside the version."""

    frame: pd.DataFrame | None
    where: str
    target: str
    time: str
    key: str

    @property
    def roles(self) -> tuple[str, ...]:
        """The columns that are no features."""
        return tuple(name for name in (self.target, self.time, self.key) if name)


def adopt(
    config: Config,
    ref: str | ModelRef | ModelVersion,
    *,
    reference: datasets.Source | None = None,
    target: str | None = None,
    time: str | None = None,
    key: str | None = None,
    task: Task | None = None,
) -> ModelVersion:
    """Make a version of plain MLflow one that can be gated, served and monitored.

    Args:
        config: tracking; target, time, key and task where they are not given here.
        ref: the version.
        reference: rows that it was trained or tested with, a frame or a path; the target's
            column makes them the hold-out rows that the gates judge by.
        target: the column that the model predicts.
        time: the column with each row's time.
        key: the column that says whose row it is.
        task: binary, multiclass or regression, where the model does not tell.

    Returns:
        The version with its tags; adopting again replaces what was stored.

    Raises:
        TransitionRefused: the version was trained and registered by lifecycle.
        DataError: the inputs or the task cannot be known, or the reference does not fit.
        UntrustedModel: the model is a pickle, and `[models] allow_pickle` is not set.
        ModelNotFound: no such version, or its files are gone.
    """
    client = connect(config)
    version = registry.find(client, ref, order=config.stages.order)
    _check_foreign(client, version)
    given = _given(config, reference, target, time, key)
    wanted = task or config.task
    if wanted and wanted not in TASKS:
        raise DataError(f"task is {wanted!r}; {nearest(wanted, TASKS)}", where=version.ref)
    with artifacts.files(client, version) as folder:
        digest = files.digest(folder)
        described = loading.describe(folder)
        first = ModelSpec(specs.SCHEMA, "regression", _features(described, given, version))
        loaded = _load(config, folder, first, digest)
        spec = _specified(loaded, described, given, wanted, version)
        loaded = _load(config, folder, spec, digest)
        stored = _stored(config, loaded, given)
        spec, judged = stored.spec, stored.contents
        compiled = _compiled(config, loaded, given, folder)
        together = separable.by_table(loaded, given.frame)
    experiment = experiment_id(client, config.tracking.experiment or version.name)
    runs.close_dead(client, experiment)
    tags = {"lifecycle.kind": "adoption", "lifecycle.name": version.name}
    with runs.run(client, experiment, f"adopt {version.ref}", tags=tags) as run_id:
        spec = replace(spec, data_run_id=run_id)
        runs.log_figures(client, run_id, spec.metrics, {"version": version.ref})
        contents = {**judged, "compiled/report.json": json.dumps(compiled.report, indent=1)}
        if compiled.onnx is not None:
            contents["compiled/model.onnx"] = compiled.onnx
        runs.log_files(client, run_id, {**contents, "spec.json": specs.dumps(spec)})
    _enter(client, version, {
        artifacts.DIGEST: digest,
        artifacts.COMPILED: compiled.tag,
        artifacts.COMPILED_HOW: compiled.how,
        separable.TAG: str(together).lower(),
        artifacts.SPEC: artifacts.spec_digest(client, run_id),
        artifacts.SPEC_RUN: run_id,  # last: with it the version is ours
    })  # fmt: skip
    return registry.find(client, version, order=config.stages.order)


def _check_foreign(client: "MlflowClient", version: ModelVersion) -> None:
    """Refuse a version of our own; what was adopted may be adopted again."""
    if not version.adopted:
        return
    births = [
        entry
        for entry in Ledger(client, version.name).entries()
        if entry.kind in ("register", "adopt") and entry.version == version.version
    ]
    if not births or births[-1].kind == "register":
        raise TransitionRefused(
            "the version was trained and registered by lifecycle; there is nothing to take over",
            where=version.ref,
        )


def _given(
    config: Config,
    reference: datasets.Source | None,
    target: str | None,
    time: str | None,
    key: str | None,
) -> Given:
    """The reference and its roles; a column that was named here must be there."""
    where = str(reference) if isinstance(reference, (str, Path)) else "the reference"
    frame = None if reference is None else datasets.read(reference, where=where)
    names = {"target": target, "time": time, "key": key}
    set_up = {"target": config.target, "time": config.time, "key": config.key}
    chosen: dict[str, str] = {}
    for role, name in names.items():
        chosen[role] = name or set_up[role]
        if frame is not None and chosen[role] and chosen[role] not in frame.columns:
            if name:
                raise DataError(
                    f"the {role} column {name!r} is missing; {nearest(name, frame.columns)}",
                    where=where,
                )
            if role != "target":
                chosen[role] = ""
    if frame is not None and chosen["target"] in frame.columns:
        unlabelled = frame[chosen["target"]].isna()
        if unlabelled.all():
            raise DataError(f"the target {chosen['target']!r} is all null", where=where)
        frame = frame[~unlabelled].reset_index(drop=True)
    return Given(frame, where, **chosen)


def _features(
    described: Mapping[str, Any], given: Given, version: ModelVersion
) -> tuple[Column, ...]:
    """The inputs by the signature; without one by the reference's columns."""
    known = specs.from_signature(described.get("signature")).features
    frame = given.frame
    if known and frame is not None:
        return tuple(
            replace(item, required=False)
            if item.name in frame.columns and frame[item.name].isna().any()
            else item
            for item in known
        )
    if known:
        return known
    if frame is None:
        raise DataError(
            "the model has no signature with named columns, so its inputs are not known",
            where=version.ref,
            fix="adopt it with reference= (--reference), a table that it was trained with",
        )
    found = []
    for name in frame.columns:
        kind = None if name in given.roles else column_type(frame[name], name, where=given.where)
        if kind is not None:
            found.append(Column(str(name), kind, required=not frame[name].isna().any()))
    return tuple(found)


def _load(config: Config, folder: Path, spec: ModelSpec, digest: str) -> LoadedModel:
    return loading.load(folder, spec=spec, digest=digest, allow_pickle=config.models.allow_pickle)


def _specified(
    loaded: LoadedModel,
    described: Mapping[str, Any],
    given: Given,
    task: str,
    version: ModelVersion,
) -> ModelSpec:
    """Task and classes: from the estimator, else from target and answers; never by a guess."""
    estimator = loaded.estimator
    own = getattr(estimator, "classes_", None)
    if own is not None:
        classes: tuple[Label, ...] = tuple(np.asarray(own).tolist())
        kind: Task = "binary" if len(classes) == 2 else "multiclass"
    else:
        kind, classes = _guessed(loaded, described, given, task, version)
    if task and task != kind:
        raise DataError(
            f"the model is made for a {kind} task, not {task}",
            where=version.ref,
            fix="leave out task",
        )
    cut = getattr(estimator, "best_threshold_", None)
    flavors = sorted(set(described.get("flavors", {})) - {"python_function"})
    return replace(
        loaded.spec,
        task=kind,
        classes=classes,
        threshold=float(cut) if cut is not None and kind == "binary" else None,
        target=given.target or None,
        time=given.time or None,
        key=given.key or None,
        estimator=_title(estimator) or ", ".join(flavors) or "python_function",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _guessed(
    loaded: LoadedModel,
    described: Mapping[str, Any],
    given: Given,
    task: str,
    version: ModelVersion,
) -> tuple[Task, tuple[Label, ...]]:
    """The task of a model that does not name its classes."""
    labels = _labels(given)
    if labels is None:
        if task == "regression" or (not task and _answers_numbers(described)):
            return "regression", ()
        raise DataError(
            "whether the model classifies, and into which classes, cannot be known",
            where=version.ref,
            fix="adopt it with a reference that has the target column",
        )
    assert given.frame is not None
    head = given.frame.head(200)
    said = loaded.predict(columns(head, loaded.spec, where=given.where)).prediction
    classes = tuple(np.unique(labels).tolist())
    fractions = said.dtype.kind == "f" and bool((said != np.floor(said)).any())
    if task == "regression" or (not task and labels.dtype.kind == "f" and _many(labels)):
        return "regression", ()
    if fractions and len(classes) == 2:
        raise DataError(
            "the model answers fractions while the target has two values: whether these are"
            " probabilities cannot be known",
            where=version.ref,
            fix="log it so that it answers labels, or give task='regression'",
        )
    unknown = sorted({str(item) for item in said.tolist()} - {str(item) for item in classes})
    if not task and labels.dtype.kind in "if" and (fractions or len(classes) > MOST_CLASSES):
        return "regression", ()
    if unknown:
        raise DataError(
            f"the model answers {unknown[0]!r}, which is no value of {given.target!r}",
            where=version.ref,
            fix="check target, or give task='regression'",
        )
    return ("binary" if len(classes) == 2 else "multiclass"), classes


def _labels(given: Given) -> Array | None:
    if given.frame is None or given.target not in given.frame.columns:
        return None
    found = given.frame[given.target]
    values: Array = found.to_numpy()
    return values.astype(str).astype(object) if values.dtype.kind in "OU" else values


def _many(values: Array) -> bool:
    return bool((values != np.floor(values)).any()) or len(np.unique(values)) > MOST_CLASSES


def _answers_numbers(described: Mapping[str, Any]) -> bool:
    """Whether the signature says that the answers are floating-point numbers."""
    outputs = json.loads((described.get("signature") or {}).get("outputs") or "[]")
    kinds = [item.get("tensor-spec", {}).get("dtype") or item.get("type") for item in outputs]
    return bool(kinds) and all(kind in ("float64", "float32", "double", "float") for kind in kinds)


@dataclass(frozen=True)
class _Stored:
    spec: ModelSpec
    contents: dict[str, Any]


def _stored(config: Config, loaded: LoadedModel, given: Given) -> _Stored:
    """Hold-out, reference and profile of the given rows, and what the model makes of them."""
    spec, frame = loaded.spec, given.frame
    if frame is None:
        return _Stored(spec, {})
    inputs = columns(frame, spec, where=given.where)
    output = loaded.predict(inputs)
    present = [name for name in given.roles if name in frame.columns]
    features = table(inputs)
    rows = features.assign(**{name: frame[name].to_numpy() for name in present})
    contents: dict[str, Any] = {}
    lineage = Lineage(
        data_digest=datasets.digest(frame), data_rows=len(frame), data_source=given.where
    )
    spec = replace(spec, lineage=lineage, trained_rows=len(frame))
    labels = _labels(given)
    if labels is not None:
        spec = _judged(spec, labels, output)
        contents["data/holdout.parquet"] = rows
        contents[artifacts.ANSWERS] = artifacts.answers_table(output)
        spec = replace(spec, holdout_rows=len(rows), split="given")
    seen = features.assign(**{given.time: frame[given.time]} if given.time else {})
    for name, values in (("prediction", output.prediction), ("score", output.score)):
        if values is not None and values.ndim == 1 and name not in seen.columns:
            seen[name] = values
    profile = build_profile(pl.from_pandas(seen), time=given.time or None)
    sample = runs.seeded_sample(
        seen.drop(columns="prediction", errors="ignore"), REFERENCE_ROWS, config.train.seed
    )
    return _Stored(
        spec, {**contents, "data/reference.parquet": sample, "data/profile.json": profile.dumps()}
    )


def _judged(spec: ModelSpec, labels: Array, output: Output) -> ModelSpec:
    scored = output.scores is not None
    if spec.task != "regression":
        strange = set(np.unique(labels).tolist()) - set(spec.classes)
        if strange:
            raise DataError(
                f"the target holds {min(map(str, strange))!r}, which the model does not know",
                where=spec.target or "target",
                fix=f"its classes are {', '.join(map(str, spec.classes))}",
            )
    chosen = metrics.default_metric(spec.task, scores=scored)
    names = dict.fromkeys([chosen, *metrics.standard_metrics(spec.task, scores=scored)])
    figures = tuple(
        metrics.evaluate(name, labels, output.prediction, output.scores, classes=spec.classes)
        for name in names
    )
    return replace(spec, metrics=figures, primary_metric=chosen)


def _compiled(config: Config, loaded: LoadedModel, given: Given, folder: Path) -> Compiled:
    if not config.models.compile:
        return Compiled(None, {}, "[models] compile is false")
    own = loaded.estimator
    booster = native.estimator_of(folder, loading.describe(folder)) if own is None else None
    if own is None and booster is None:
        return Compiled(None, {}, f"only scikit-learn is compiled, this answers by {loaded.how}")
    if given.frame is None:
        return Compiled(None, {}, "adopted without reference rows to compare the answers on")
    rows = table(columns(given.frame, loaded.spec, where=given.where))
    if booster is not None:
        return native.compile_native(booster, loaded, rows)
    return compile_model(own, loaded.spec, rows)


def _enter(client: "MlflowClient", version: ModelVersion, tags: Mapping[str, str]) -> None:
    with answers(version.ref):
        tags = recorded.vouch(client, version.name, version.version, tags)
        for name, value in tags.items():
            client.set_model_version_tag(version.name, str(version.version), name, value)
    entry = draft(
        kind="adopt",
        version=version.version,
        extra=recorded.kept(version.source, tags),
    )
    Ledger(client, version.name).append(lambda _: entry)


def _title(estimator: Any) -> str:
    """The estimator's class; of a pipeline its last step's."""
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    return "" if last is None else type(last).__name__
