"""Train again on fresh rows, gate the result, and make it the challenger where it passes.

>>> from lifecycle.config import Config
>>> retrain(Config(name="churn"), "fresh.parquet", if_flagged=True).version  # doctest: +SKIP
ModelVersion(name='churn', version=4, ..., aliases=('challenger',), ...)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle.config import Config
from lifecycle.errors import (
    ApprovalRefused,
    ConfigError,
    DataError,
    GateRefused,
    LifecycleError,
    ModelNotFound,
    TransitionRefused,
)
from lifecycle.models.inputs import array
from lifecycle.models.recency import choose
from lifecycle.models.tables import check_training
from lifecycle.models.untrained import bare
from lifecycle.records import (
    Column,
    Decision,
    Entry,
    GateReport,
    ModelRef,
    ModelSpec,
    ModelVersion,
    Outcome,
    Retraining,
)
from lifecycle.stages import PRODUCTION, stage_of
from lifecycle.stores import artifacts, datasets, registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect
from lifecycle.triggers import open_flag
from lifecycle.workflows.approvals import request
from lifecycle.workflows.gate import gate
from lifecycle.workflows.promote import promote
from lifecycle.workflows.train import register, train

if TYPE_CHECKING:
    from mlflow import MlflowClient

MOST_REASON = 1500  # characters of a reason in the ledger


@dataclass(frozen=True)
class Rows:
    """What is trained on: the data as they were given, or some rows and columns of them."""

    data: datasets.Source
    reason: str


def retrain(
    config: Config,
    data: datasets.Source,
    *,
    validation: datasets.Source | None = None,
    if_flagged: bool = False,
    candidates: Sequence[Any] = (),
) -> Retraining:
    """Train on the champion's terms, register the best, gate it.

    Target, time, key, task and inputs are the champion's, whatever the configuration says; the
    kind of estimator too, unless it or `candidates` name others. What passes the gates gets the
    alias `challenger`; it is rolled out where `[rollout] after_retrain` says so, else promoted at
    once where `[retrain] promote` does. One ledger entry
    of kind `retrain` tells what came of it; a retraining that breaks off leaves none, and the flag
    stays up.

    Args:
        config: name, tracking, `[train]`, `[gates]`, `[retrain]`, `[rollout]`.
        data: all labelled rows, the old and the fresh; a frame or file.
        validation: rows to judge on; by default a hold-out is taken from `data`.
        if_flagged: do nothing unless a check of the champion has asked for training since.
        candidates: what is tried, as for `train`.

    Returns:
        The new version with its gate report; `.refused` says why it may not be promoted, or why
        its rollout could not begin. Without
        a flag `.decision.retrain` is False and nothing was done.

    Raises:
        DataError: the data cannot be used, or a column that the champion takes is missing.
        TrainingFailed: no candidate could be trained.
        RegistryUnavailable: MLflow does not answer.
    """
    if not config.name:
        raise ConfigError("no model name is set", fix="set `name` in lifecycle.toml")
    client = connect(config)
    champion = _champion(client, config.name)
    flag = open_flag(Ledger(client, config.name).entries(), champion)
    if if_flagged and flag is None:
        return Retraining(config.name, Decision(False, (_quiet(config.name, champion),)))
    spec = _spec(client, champion)
    config, said = _on_its_terms(config, spec, datasets.columns_of(data))
    rows = _rows(config, data, spec)
    why = (*_why(flag), *said)
    training = train(
        config,
        rows.data,
        candidates=tuple(candidates) or _candidates(config, client, champion),
        validation=validation,
        parent_version=champion.version if champion else None,
        cause=_cause(flag),
        caused_by=flag,
        where=_place(data),
        optional=[item.name for item in spec.features if not item.required] if spec else (),
    )
    version = register(config, training.best)
    report = gate(config, version)
    decision = Decision(True, (*why, rows.reason))
    refused = "" if report.passed else _refusal(report)
    _enter(client, version, report, decision, champion=champion, flag=flag)
    if report.passed:
        registry.project(client, version.name, order=config.stages.order)
        if config.rollout.after_retrain:
            refused = _roll_out(config, version, "; ".join(why))
        elif config.retrain.promote:
            refused = _promote(config, version, "; ".join(why))
    version = registry.find(client, version, order=config.stages.order)
    return Retraining(config.name, decision, version, report, training, refused)


def _champion(client: "MlflowClient", name: str) -> ModelVersion | None:
    try:
        return registry.find(client, ModelRef(name, alias="champion"))
    except ModelNotFound:
        return None


def _quiet(name: str, champion: ModelVersion | None) -> str:
    if champion is None:
        return f"no version of {name!r} is in production, so no check has called for training"
    return f"no check of {champion.ref} has called for training since the last one"


def _why(flag: Entry | None) -> tuple[str, ...]:
    if flag is None:
        return ("it was asked for",)
    return (f"the check of {flag.time[:16]} called for it: {flag.reason}",)


def _cause(flag: Entry | None) -> str:
    if flag is None:
        return "asked for"
    return f"ledger entry {flag.seq}: {flag.reason} {flag.evidence_link}".strip()[:MOST_REASON]


def _spec(client: "MlflowClient", champion: ModelVersion | None) -> ModelSpec | None:
    """What the champion is; None without one, and for one whose target is not known."""
    if champion is None:
        return None
    spec = artifacts.spec(client, champion)
    return spec if spec.target else None


def _on_its_terms(
    config: Config, spec: ModelSpec | None, columns: Sequence[str]
) -> tuple[Config, tuple[str, ...]]:
    """The configuration with the champion's roles, and where it had said otherwise.

    A role that the champion does not know is the configuration's where the rows have the column.
    """
    if spec is None:
        return config, ()
    free = set(columns) - set(spec.feature_names)
    known, said = {"task": str(spec.task)}, []
    for role in ("target", "time", "key"):
        its, mine = getattr(spec, role) or "", getattr(config, role)
        known[role] = its or (mine if mine in free else "")
        if mine and mine != known[role]:
            its_own = f"the champion's {role} is {its!r}" if its else f"the champion has no {role}"
            said.append(f"{its_own}: {mine!r} of the configuration was not used")
    if config.task and config.task != spec.task:
        said.append(f"the champion's task is {spec.task}: {config.task!r} was not used")
    if spec.task == "binary":
        known["train__positive"] = str(spec.classes[1])
    if not config.train.metric and spec.primary_metric:
        known["train__metric"] = spec.primary_metric
    return config.with_values(**known), tuple(said)


def _rows(config: Config, data: datasets.Source, spec: ModelSpec | None) -> Rows:
    """The champion's columns of the rows that are worth training on.

    Raises:
        DataError: a column that the champion takes is missing.
    """
    frame = datasets.read(data)
    chosen: Any = data
    kept = frame
    if spec is not None and spec.features:
        missing = [name for name in spec.feature_names if name not in frame.columns]
        if missing:
            raise DataError(
                f"columns that the champion takes are missing: {', '.join(missing)}",
                where=_place(data),
                fix="add them; to change the inputs use `lifecycle train`",
            )
        roles = {config.target, config.time, config.key, config.train.weight}
        wanted = [name for name in frame.columns if name in {*spec.feature_names, *roles}]
        if len(wanted) < len(frame.columns):
            chosen = kept = frame[wanted]
    if not config.time:
        return Rows(chosen, "trained on all rows: there is no time column to say which are recent")
    table = check_training(
        kept,
        target=config.target,
        time=config.time,
        key=config.key,
        weight=config.train.weight,
        task=config.task,
        positive=config.train.positive,
        where=_place(data),
    )
    choice = choose(table, share=config.train.holdout, seed=config.train.seed)
    if choice.since is not None:
        times = array(kept[config.time], Column(config.time, "datetime"))
        chosen = kept[times >= choice.since.to_datetime64()].reset_index(drop=True)
    return Rows(chosen, choice.reason)


def _place(data: datasets.Source) -> str:
    return str(data) if isinstance(data, (str, Path)) else "the data to retrain on"


def _candidates(
    config: Config, client: "MlflowClient", champion: ModelVersion | None
) -> tuple[Any, ...]:
    """The champion's own kind of estimator with its settings; () leaves the choice to `train`."""
    if champion is None or config.train.candidates:
        return ()
    try:
        loaded = artifacts.load(client, champion, config.with_values(models__compile=False))
    except LifecycleError:  # a champion that cannot be read must not stop its own replacement
        return ()
    found = bare(loaded.estimator)
    return () if found is None else (found,)


def _refusal(report: GateReport) -> str:
    open_ = [item for item in report.results if item.outcome is not Outcome.PASS]
    return "; ".join(f"{item.gate} ({item.outcome}): {item.reason}" for item in open_)


def _enter(
    client: "MlflowClient",
    version: ModelVersion,
    report: GateReport,
    decision: Decision,
    *,
    champion: ModelVersion | None,
    flag: Entry | None,
) -> None:
    """The ledger entry, with the gates' evidence as its own."""
    ledger = Ledger(client, version.name)
    gates = [
        entry
        for entry in ledger.entries()
        if entry.kind == "gate" and entry.version == version.version
    ]
    extra: dict[str, Any] = {
        "outcome": str(report.outcome),
        "parent": champion.version if champion else None,
        "flag": flag.seq if flag else None,
    }
    written = draft(
        kind="retrain",
        version=version.version,
        to="challenger" if report.passed else None,
        reason="; ".join(decision.reasons)[:MOST_REASON],
        evidence_digest=gates[-1].evidence_digest if gates else "",
        evidence_link=gates[-1].evidence_link if gates else "",
        extra=extra,
    )
    ledger.append(lambda _entries: written)


def _promote(config: Config, version: ModelVersion, reason: str) -> str:
    """Promote as far as it may; where approvals are missing, ask for them and say so."""
    order, said = config.stages.order, f"retrained: {reason}"[:MOST_REASON]
    for stage in order[1 : order.index(PRODUCTION) + 1]:
        try:
            promote(config, version, to=stage, reason=said)
        except ApprovalRefused as error:
            asked = request(config, version, to=stage, reason=said)
            return f"{error.what}; requested as entry {asked.seq}"
    return ""


def _roll_out(config: Config, version: ModelVersion, reason: str) -> str:
    """Begin its rollout; gives why it cannot begin, after asking for approvals that are missing."""
    from lifecycle.workflows.begin import start

    order, said = config.stages.order, f"retrained: {reason}"[:MOST_REASON]
    try:
        start(config, version, reason=said)
    except ApprovalRefused as error:
        here = stage_of(Ledger(connect(config), version.name).entries(), version.version, order)
        asked = request(config, version, to=order[order.index(here) + 1], reason=said)
        return f"{error.what}; requested as entry {asked.seq}"
    except (TransitionRefused, GateRefused, ConfigError) as error:
        return f"its rollout cannot begin: {error.what}"
    return ""
