"""The MLflow run of a rollout: its series look by look, its evidence, its pictures.

>>> names(("errors", "latency<=50", "errors:carrier=UA"))["errors:carrier=UA"]
'errors:carrier is UA'

The run belongs to no process: it is opened when the rollout begins, and whoever writes the
rollout's end closes it. A run whose rollout never came to be is closed by the next start.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lifecycle.records import Look, Rollout, RolloutSpec
from lifecycle.records.rollouts import ABORTED
from lifecycle.stores import artifacts
from lifecycle.stores.aliases import ROLLOUT
from lifecycle.stores.runs import log_files
from lifecycle.stores.tracking import answers, quiet

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_TAG = "lifecycle.rollout.model"
VERSION_TAG = "lifecycle.rollout.version"
STATUS_TAG = "lifecycle.rollout.status"
FIELDS = ("harm", "harm_limit", "certificate", "certificate_limit", "ratio", "low", "high")
ACTIONS = ("wait", "step", "promote", "rollback", "hold", "finish")  # as numbers in the series
MOST_METRICS = 1000  # that MLflow takes at once
MOST_SERIES = 400  # series of one run that are read back
_REFUSED = re.compile(r"[^\w.: -]")  # what MLflow takes in no name of a metric


def begin(client: "MlflowClient", experiment: str, spec: RolloutSpec) -> str:
    """Open the run of a rollout; gives its id.

    Args:
        client: of the registry.
        experiment: its id.
        spec: what was agreed; its plain settings become the run's parameters.

    Raises:
        RegistryUnavailable: no answer in time.
    """
    from mlflow.entities import Param

    version = spec.arms[1].version
    where = f"rollout {spec.name}/{version}"
    tags = {
        ROLLOUT: spec.strategy,
        MODEL_TAG: spec.name,
        VERSION_TAG: str(version),
        "mlflow.runName": where,
    }
    told = {key: value for key, value in spec.to_dict().items() if key not in ("arms", "limits")}
    params = [Param(key, _text(value)) for key, value in told.items()]
    params += [Param(f"arm {arm.name}", f"{spec.name}/{arm.version}") for arm in spec.arms]
    with answers(where):
        run_id = str(client.create_run(experiment, tags=tags).info.run_id)
        client.log_batch(run_id, params=params)
    return run_id


def record(client: "MlflowClient", rollout: Rollout, look: Look) -> None:
    """Add one look to the series: what was found of each guard, shares and units of the arms.

    The time of the metrics is the look's; their step is the seconds since the rollout began. A run
    that was deleted or closed takes none.

    Raises:
        RegistryUnavailable: no answer in time.
    """
    from mlflow.entities import Metric

    if not open_still(client, rollout):
        return
    moment = datetime.fromisoformat(look.time)
    since = int((moment - datetime.fromisoformat(rollout.started)).total_seconds())
    figures = {
        name: Metric(name, value, int(moment.timestamp() * 1000), max(0, since))
        for name, value in _figures(rollout, look)
        if value is not None and math.isfinite(value)
    }
    metrics = list(figures.values())
    with answers(f"run {rollout.run_id}"):
        for first in range(0, len(metrics), MOST_METRICS):
            client.log_batch(rollout.run_id, metrics=metrics[first : first + MOST_METRICS])


def series(client: "MlflowClient", rollout: Rollout) -> tuple[dict[str, Any], ...]:
    """The looks that were recorded, oldest first.

    Each has `time`, `step`, `action`, `shares` and `units` by arm, and by guard in `guards` its
    `harm`, `harm_limit`, `certificate`, `certificate_limit`, `ratio`, `low` and `high` where there
    were any.

    Raises:
        ModelNotFound: the run was deleted.
        RegistryUnavailable: no answer in time.
    """
    if not rollout.run_id:
        return ()
    looks: dict[int, dict[str, float]] = {}
    with answers(f"run {rollout.run_id}"):
        known = client.get_run(rollout.run_id).data.metrics
        for name in sorted(known)[:MOST_SERIES]:
            for point in client.get_metric_history(rollout.run_id, name):
                looks.setdefault(point.timestamp, {})[name] = point.value
    return tuple(_read(rollout, at, found) for at, found in sorted(looks.items()))


def evidence(client: "MlflowClient", rollout: Rollout, look: Look) -> tuple[str, str]:
    """Store what a decision rests on: the rollout as it was, and the look with its tallies.

    Returns:
        The sha256 of the file and its address; empty where the run was deleted.
    """
    if not open_still(client, rollout):
        return "", ""
    moment = "".join(character for character in look.time.partition("+")[0] if character.isdigit())
    tree = {"v": 1, "rollout": rollout.to_dict(), "look": look.to_dict()}
    name = f"look-{rollout.seq}-{look.step}-{moment}"
    return artifacts.evidence(client, rollout.run_id, name, tree)


def open_still(client: "MlflowClient", rollout: Rollout) -> bool:
    """Whether the run is there and was not closed yet."""
    if not rollout.run_id:
        return False
    try:
        with answers(f"run {rollout.run_id}"):
            info = client.get_run(rollout.run_id).info
    except LookupError:
        return False
    return bool(info.status == "RUNNING" and info.lifecycle_stage == "active")


def finish(client: "MlflowClient", rollout: Rollout, pictures: Mapping[str, bytes]) -> None:
    """Close the run of a rollout that has ended, with its pictures.

    Args:
        client: of the registry.
        rollout: with its outcome.
        pictures: by file name, as `rollout.png`.
    """
    if pictures:
        log_files(client, rollout.run_id, dict(pictures))
    with answers(f"run {rollout.run_id}"), quiet():
        client.set_tag(rollout.run_id, STATUS_TAG, rollout.status)
        client.set_terminated(rollout.run_id, "KILLED" if rollout.status == ABORTED else "FINISHED")


def abandon(client: "MlflowClient", experiment: str, name: str, known: Iterable[str]) -> None:
    """Close open runs of a model's rollouts that no entry names: their start was interrupted."""
    named = set(known)
    with answers(name), quiet():
        found = client.search_runs(
            [experiment], f"attributes.status = 'RUNNING' AND tags.`{ROLLOUT}` != ''"
        )
        for run in found:
            if run.data.tags.get(MODEL_TAG) == name and run.info.run_id not in named:
                client.set_tag(run.info.run_id, STATUS_TAG, "never began")
                client.set_terminated(run.info.run_id, "KILLED")


def names(guards: Sequence[str]) -> dict[str, str]:
    """What each guard is called in the run; MLflow takes few marks in names of metrics.

    >>> names(("a<=1", "a>1", "a(1"))
    {'a<=1': 'a to 1', 'a>1': 'a_1', 'a(1': 'a_1 2'}
    """
    found: dict[str, str] = {}
    for guard in guards:
        plain = _REFUSED.sub("_", guard.replace("<=", " to ").replace("=", " is "))[:200]
        plain = plain if plain.strip(".") else "_"  # MLflow takes it for a path
        taken = sum(1 for item in found.values() if item == plain or item.startswith(f"{plain} "))
        found[guard] = f"{plain} {taken + 1}" if plain in found.values() else plain
    return found


def _figures(rollout: Rollout, look: Look) -> Iterable[tuple[str, float | None]]:
    called = names(_guards(rollout))
    yield "step", float(look.step)
    if look.action in ACTIONS:
        yield "action", float(ACTIONS.index(look.action))
    for arm, share in zip(rollout.spec.arms, rollout.shares, strict=True):
        yield f"share/{arm.name}", share
    for tally in look.tallies:
        if not tally.guard and tally.step == look.step:
            yield f"units/{tally.arm}", float(tally.units)
    for item in look.evidence:
        for field in FIELDS:
            value = getattr(item, field)
            yield f"{called.get(item.guard, item.guard)}/{item.arm}/{field}", value


def _read(rollout: Rollout, at: int, found: Mapping[str, float]) -> dict[str, Any]:
    """One look of the series from the metrics of its moment."""
    guards = {called: guard for guard, called in names(_guards(rollout)).items()}
    told: dict[str, dict[str, float]] = {}
    for name, value in found.items():
        called, _, rest = name.partition("/")
        arm, _, field = rest.rpartition("/")
        if field in FIELDS and arm:
            guard = guards.get(called, called)
            shown = guard if arm == rollout.challenger.name else f"{guard} of {arm}"
            told.setdefault(shown, {})[field] = value
    zone = datetime.fromisoformat(rollout.started).tzinfo
    return {
        "time": datetime.fromtimestamp(at / 1000, zone).isoformat(timespec="milliseconds"),
        "step": int(found.get("step", 0)),
        "action": ACTIONS[int(found.get("action", 0))],
        "shares": _by_arm(rollout, "share", found),
        "units": _by_arm(rollout, "units", found),
        "guards": told,
    }


def _by_arm(rollout: Rollout, kind: str, found: Mapping[str, float]) -> dict[str, float]:
    named = ((arm.name, f"{kind}/{arm.name}") for arm in rollout.spec.arms)
    return {arm: found[name] for arm, name in named if name in found}


def _guards(rollout: Rollout) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*rollout.spec.guards, rollout.spec.metric, "assignment"]))


def _text(value: Any) -> str:
    listed = isinstance(value, list)
    return (", ".join(str(item) for item in value) if listed else str(value))[:5000]
