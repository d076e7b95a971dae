"""What the gates look at: models, rows, files and logged traffic, read and put side by side.

>>> from lifecycle.config import LogConfig
>>> newest(LogConfig(dir="no/such/folder"), "churn") is None
True
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl

from lifecycle.config import Config, LogConfig
from lifecycle.errors import LifecycleError, ModelNotFound, RegistryUnavailable, UntrustedModel
from lifecycle.gates import Files, GateInput, Traffic
from lifecycle.gates.reproducible import NAME as REPRODUCIBLE
from lifecycle.gates.units import FEWEST
from lifecycle.models import files, flavours, loading
from lifecycle.models.inputs import columns
from lifecycle.models.predicting import Columns, LoadedModel, Output
from lifecycle.records import ModelRef, ModelSpec, ModelVersion
from lifecycle.stores import artifacts, registry, sealed
from lifecycle.stores.predictions import PredictionLog
from lifecycle.workflows.reproduce import attempted

if TYPE_CHECKING:
    from mlflow import MlflowClient

MOST = 5000  # newest requests that are compared
OWN = 500  # of a version's own, which are asked again


def gather(
    config: Config,
    client: "MlflowClient",
    version: ModelVersion,
    *,
    thresholds: Mapping[str, Any] | None = None,
) -> tuple[GateInput, ModelVersion | None]:
    """What the gates look at, and the champion that the version is compared with.

    Files that nobody may load are no error here but a finding of the gates.

    Raises:
        ModelRefused: the version's own files are not those that were registered.
        LogError: the prediction log is damaged; names the file.
    """
    candidate, refused = _candidate(client, version, config)
    rows = _stored(artifacts.holdout, client, version)
    rival, alone = _champion(client, version)
    given = GateInput(
        candidate,
        rows,
        limits=config.gates,
        alone=alone,
        reference=_stored(artifacts.reference, client, version),
        files=_files(client, version, candidate, refused),
        thresholds=thresholds or {},
    )
    if rows is not None:
        output, problem = _answer(candidate, rows)
        weight = config.train.weight
        weights = rows[weight].to_numpy(dtype=float) if weight in rows else None
        given = replace(given, output=output, problem=problem, weights=weights)
    champion = None
    if rival is not None:
        champion = _loaded(client, rival, config)
        given = replace(given, champion=champion)
        if rows is not None:
            output, problem = _answer(champion, rows)
            given = replace(given, champion_output=output, champion_problem=problem)
    given = replace(given, traffic=_traffic(config, version, champion))
    if REPRODUCIBLE in config.gates.use:
        again, problem = attempted(config, version)
        given = replace(given, reproduction=again, reproduction_problem=problem)
    return given, rival


def newest(
    config: LogConfig, model: str, *, version: int | None = None, most: int = MOST
) -> pl.DataFrame | None:
    """The newest answered requests of a model, the last `most`; None without any.

    Whole days are read from the last one back until they hold enough, so that a log of years costs
    no more than its last days.

    Returns:
        The log's columns version, features, prediction and score.

    Raises:
        LogError: a file is damaged; names it.
    """
    log = PredictionLog(config.dir)
    wanted = ["time", "version", "features", "prediction", "score"]
    days = sorted(
        {path.parent.name.removeprefix("date=") for path in sealed.files(config.dir, model)}
    )
    back = 1
    while True:
        since = days[-back] if back <= len(days) else None
        found = log.read(model, since=since, version=version, columns=wanted)
        found = found.filter(pl.col("prediction").is_not_null())
        if found.height >= most or since is None or back == len(days):
            break
        back = min(2 * back, len(days))
    return found.tail(most) if found.height else None


def _traffic(config: Config, version: ModelVersion, champion: LoadedModel | None) -> Traffic | None:
    """The requests that the champion answered, or those of all versions where these are few."""
    found, known = None, None
    if champion is not None and champion.version is not None:
        found = newest(config.log, version.name, version=champion.version.version)
        known = frozenset(champion.spec.feature_names) or None
    if found is None or found.height < FEWEST:
        found, known = newest(config.log, version.name), None
    if found is None or not isinstance(found["features"].dtype, pl.Struct):
        return None
    rows = found["features"].struct.unnest()
    if not rows.width:
        return None
    hidden = frozenset({*config.log.drop, *config.log.hash})
    logged = Traffic(rows.to_pandas(), hidden, known)
    if hidden:
        return logged  # a request of which a part is hidden cannot be asked again
    own = newest(config.log, version.name, version=version.version, most=OWN)
    if own is None:
        return logged
    table = own.select("prediction", "score").to_pandas().dropna(axis="columns", how="all")
    asked = own["features"].struct.unnest().to_pandas()
    return replace(logged, own=asked, answers=artifacts.as_output(table))


def _candidate(
    client: "MlflowClient", version: ModelVersion, config: Config
) -> tuple[LoadedModel, str]:
    """The candidate, and why its files must not be loaded; then it refuses whenever it is asked."""
    try:
        return artifacts.load(client, version, config), ""
    except UntrustedModel as error:
        return _refusing(artifacts.spec(client, version), version, error), str(error)


def _refusing(spec: ModelSpec, version: ModelVersion, problem: LifecycleError) -> LoadedModel:
    def refuse(_columns: Columns) -> Output:
        raise problem

    return LoadedModel(spec, "pyfunc", refuse, version)


def _files(
    client: "MlflowClient", version: ModelVersion, candidate: LoadedModel, refused: str
) -> Files:
    """Sizes of all files, what they are loaded as, and what in them may run code."""
    with artifacts.files(client, version) as folder:
        sizes = {
            path.relative_to(folder).as_posix(): path.stat().st_size
            for path in files.listing(folder)
        }
        described = loading.describe(folder)
        sklearn = described.get("flavors", {}).get("sklearn") or {}
        skops = sklearn.get("serialization_format") == "skops"
        risk = "" if skops or refused else flavours.danger(folder, described)
    how = "skops" if skops else ("a pickle" if sklearn else "a file of its own flavour")
    if candidate.how == "onnx" and version.tags.get(artifacts.COMPILED):
        sizes["compiled/model.onnx"] = len(artifacts.compiled(client, version))
        how = "ONNX"
    return Files(sizes, how, (risk,) if risk else (), refused)


def _stored(read: Any, client: "MlflowClient", version: ModelVersion) -> pd.DataFrame | None:
    try:
        found: pd.DataFrame = read(client, version)
    except ModelNotFound:
        return None
    return found


def _champion(client: "MlflowClient", version: ModelVersion) -> tuple[ModelVersion | None, str]:
    try:
        found = registry.find(client, ModelRef(version.name, alias="champion"))
    except ModelNotFound:
        return None, "first version"
    if found.version == version.version:
        return None, "it is the champion itself"
    return found, ""


def _loaded(client: "MlflowClient", champion: ModelVersion, config: Config) -> LoadedModel:
    """The champion; where it cannot be loaded, one that says so whenever it is asked."""
    try:
        return artifacts.load(client, champion, config)
    except RegistryUnavailable:
        raise
    except LifecycleError as error:
        return _refusing(artifacts.spec(client, champion), champion, error)


def _answer(model: LoadedModel, rows: pd.DataFrame) -> tuple[Output | None, str]:
    try:
        return model.predict(columns(rows, model.spec)), ""
    except LifecycleError as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001 - a model may raise anything: the gates say so
        return None, f"{type(error).__name__}: {error}"
