"""Count a rollout: its guards, over the prediction log and the labels that came.

>>> from lifecycle.config import Config
>>> from lifecycle.records import Arm, Rollout, RolloutSpec
>>> arms = (Arm("champion", 7, 0.5), Arm("challenger", 8, 0.5))
>>> spec = RolloutSpec("churn", "ab", arms, guards=("errors",))
>>> tallies_of(Config(), Rollout(spec, seq=3), ["no/such/folder"]).exposed
{'challenger': 0}
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from lifecycle.config import Config, LogConfig
from lifecycle.errors import ConfigError, DataError, LifecycleError
from lifecycle.named import nearest
from lifecycle.records import ModelSpec, ModelVersion, Rollout, RolloutSpec
from lifecycle.rollout.guards import MOST, Watched, expand, parse
from lifecycle.rollout.numbers import contrasts
from lifecycle.rollout.pairing import tallied
from lifecycle.stores import artifacts, registry, tallies
from lifecycle.stores.arms import texts
from lifecycle.stores.tallies import Counted, Measure
from lifecycle.stores.tracking import connect
from lifecycle.workflows.gathering import newest

if TYPE_CHECKING:
    from mlflow import MlflowClient

Folders = Sequence[str | Path]
WHERE = "[rollout] guards"
_SPECS: dict[tuple[str, Path, str, int], ModelSpec] = {}  # a version's does not change


def tallies_of(config: Config, rollout: Rollout, log: Folders = ()) -> Counted:
    """Count what a rollout's spec watches, anew from its beginning.

    A shadow is not held against guards but against the champion's answers to the same rows.

    Args:
        config: `[log] dir` where no log is named, and how often servers ask for the plan.
        rollout: as the ledger has it.
        log: the folders of the logs, those of all servers; they may overlap.

    Raises:
        LogError: a log is damaged; names the file.
        ConfigError: a guard is no longer there, or cannot be computed.
    """
    folders = log or (config.log.dir,)
    if rollout.spec.strategy == "shadow":
        return _shadowed(config, rollout, folders)
    watched = watched_of(rollout.spec)
    wanted = any("known" in item.guard.needs for item in watched)
    spec = _champion(config, rollout) if wanted else None
    return tallies.counted(
        folders,
        rollout,
        measures(watched),
        contrasts=contrasts,
        classes=spec.classes if spec else (),
        settling=timedelta(seconds=2.0 * config.serve.poll_seconds),
    )


def _shadowed(config: Config, rollout: Rollout, folders: Folders) -> Counted:
    """What pairs of answers have in common; nobody was exposed."""
    found = tallies.counted(folders, rollout, ())
    pairs = tallies.pairs(folders, rollout)
    spec = _champion(config, rollout)
    classes = None if spec is None else spec.task != "regression"
    labelled = int(pairs["label"].is_not_null().sum())
    coverage = {
        **found.coverage,
        "pairs": len(pairs),
        "twice": int(pairs["again_prediction"].is_not_null().sum()),
        "labelled": {"shadow": labelled / len(pairs) if len(pairs) else 0.0},
    }
    return Counted(tallied(pairs, rollout.spec.limits, classes=classes), {}, coverage)


def watched_of(spec: RolloutSpec) -> tuple[Watched, ...]:
    """The guards of a spec, and the metric that is to improve."""
    return tuple(
        parse(text) for text in dict.fromkeys((*spec.guards, *filter(None, [spec.metric])))
    )


def measures(watched: Sequence[Watched]) -> tuple[Measure, ...]:
    """What `stores.tallies` counts for guards."""
    return tuple(
        Measure(
            item.text,
            item.values,
            kind=item.kind,
            needs=item.guard.needs,
            labelled=item.guard.labelled,
            by_request=item.guard.by_request,
            column=item.column,
            value=item.value,
            source=item.guard.name if item.limit is None else f"{item.guard.name}<={item.limit}",
        )
        for item in watched
    )


def guards_of(
    config: Config,
    client: "MlflowClient",
    champion: ModelVersion,
    guards: Sequence[str],
    *,
    log: Folders = (),
) -> tuple[str, ...]:
    """The guards of a rollout that is about to begin: checked, and one for each value of a column.

    Args:
        config: `[log]`.
        client: where the champion's reference rows are.
        champion: whose features the columns are, and whose logged requests have the values.
        guards: as `rollout.guards.parse` reads them.
        log: the folders of the logs.

    Raises:
        ConfigError: a guard is unknown or cannot be counted, or a column has no known values.
        LogError: the log is damaged.
    """
    try:
        spec = artifacts.spec(client, champion)
    except LifecycleError:
        spec = None  # a model of which nothing but MLflow's signature is known
    check_columns(config, spec, [parse(text) for text in guards])
    return expand(guards, values_of(config, client, champion, log=log))


def check_columns(config: Config, spec: ModelSpec | None, watched: Sequence[Watched]) -> None:
    """Refuse guards that the log cannot tell anything of.

    Raises:
        ConfigError: a segment's column is no feature, or is dropped from the log or hashed in it;
            or a guard does not fit the model's task.
    """
    for item in watched:
        name = item.column
        for setting, masked in (("drop", config.log.drop), ("hash", config.log.hash)):
            if name and name in masked:
                raise ConfigError(
                    f"guard {item.text!r} looks at {name!r}, which [log] {setting} keeps out of the"
                    " log",
                    where=WHERE,
                    fix=f"watch another column, or take {name!r} out of [log] {setting}",
                )
        if spec is None:
            continue
        if name and spec.feature_names and name not in spec.feature_names:
            raise ConfigError(
                f"guard {item.text!r} looks at {name!r}, no feature;"
                f" {nearest(name, spec.feature_names)}",
                where=WHERE,
                fix="name a feature of the champion",
            )
        _check_task(item, spec)


def _check_task(item: Watched, spec: ModelSpec) -> None:
    regression = spec.task == "regression"
    if item.guard.name == "label_error" and regression is (item.limit is None):
        needs = "needs a limit: how far from the label is wrong" if regression else "takes no limit"
        raise ConfigError(
            f"guard {item.text!r} of a model with the task {spec.task} {needs}",
            where=WHERE,
            fix="write it as label_error<=5" if regression else "write it as label_error",
        )
    if item.guard.name == "error_size" and not regression:
        raise ConfigError(
            f"guard {item.text!r} is for regressions, the task is {spec.task}",
            where=WHERE,
            fix="watch label_error",
        )


def values_of(
    config: Config, client: "MlflowClient", champion: ModelVersion, *, log: Folders = ()
) -> Callable[[str], Sequence[str]]:
    """A function of a column that gives its values, the most frequent first.

    They are those of the champion's newest logged requests; where there are none, of the rows that
    it was trained with.
    """

    @lru_cache(maxsize=1)
    def rows() -> pl.DataFrame | None:
        found = [
            newest(LogConfig(dir=str(folder)), champion.name, version=champion.version)
            for folder in log or (config.log.dir,)
        ]
        logged = [
            frame["features"].struct.unnest()
            for frame in found
            if frame is not None and isinstance(frame["features"].dtype, pl.Struct)
        ]
        if logged:
            return pl.concat(
                [frame.select(pl.all().cast(pl.String)) for frame in logged], how="diagonal"
            )
        try:
            return pl.from_pandas(artifacts.reference(client, champion))
        except (DataError, LifecycleError):
            return None

    def frequent(column: str) -> Sequence[str]:
        frame = rows()
        if frame is None or column not in frame.columns:
            return ()
        counts = texts(frame[column]).drop_nulls().alias("value").value_counts()
        ranked = counts.sort("count", "value", descending=[True, False])
        return tuple(ranked["value"].head(MOST).to_list())

    return frequent


def _champion(config: Config, rollout: Rollout) -> ModelSpec | None:
    """The champion's specification; none where it has none, or nobody can be asked."""
    name, version = rollout.spec.name, rollout.champion.version
    asked = (config.tracking_uri, Path.cwd(), name, version)  # the address may be a relative one
    if asked not in _SPECS:
        try:
            client = connect(config)
            _SPECS[asked] = artifacts.spec(client, registry.find(client, f"{name}/{version}"))
        except LifecycleError:
            return None  # with the registry down, all else is counted
    return _SPECS[asked]
