"""Begin a rollout, or say what it would find: all that is checked before anything moves.

>>> from lifecycle.config import Config
>>> start(Config(name="churn"), "churn/8", steps=(5, 25, 100)).shares  # doctest: +SKIP
(0.95, 0.05)
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.config import Config
from lifecycle.errors import ConfigError, TransitionRefused
from lifecycle.records import Entry, ModelRef, ModelVersion, Rollout, RolloutPlan, RolloutSpec
from lifecycle.rollout import state
from lifecycle.rollout.guards import parse
from lifecycle.stages import PRODUCTION, stage_of, standing
from lifecycle.stores import artifacts, registry, rollout_runs
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect, experiment_id
from lifecycle.workflows.counting import check_columns, guards_of
from lifecycle.workflows.promote import gate_passed, promote, verify_files
from lifecycle.workflows.replay import close, followed
from lifecycle.workflows.terms import Terms, check_suits, spec_for

if TYPE_CHECKING:
    from mlflow import MlflowClient

Ref = str | ModelRef | ModelVersion


def start(
    config: Config,
    ref: Ref,
    *,
    strategy: str = "",
    steps: Sequence[float] = (),
    guards: Sequence[str] = (),
    others: Sequence[Ref] = (),
    metric: str = "",
    force: bool = False,
    reason: str = "",
    log: Sequence[str | Path] = (),
) -> Rollout:
    """Try a version on live requests beside the champion.

    The version must have passed its gates, which run now where no report is in force, and is
    brought to the stage before production.

    Args:
        config: names the model; `[rollout]`, tracking, stages, gates and approvals.
        ref: the challenger.
        strategy: shadow, canary or ab; by default the configured one.
        steps: percent that it answers at each step, rising; A/B: percent of each challenger.
        guards: what is held against the champion; by default the configured ones.
        others: A/B: further challengers.
        metric: A/B: the guard whose value is to improve.
        force: skip gates, approvals and stages between; recorded as such.
        reason: goes into the ledger; needed with `force`.
        log: folders of the prediction log, where a guard's values are looked up.

    Raises:
        TransitionRefused: nothing is in production, the version already is, another rollout is
            open, its files are not ready, or the champion's requests do not suit it.
        GateRefused: its gates did not pass; `.report` has every check.
        ApprovalRefused: a stage on the way needs approvals that are missing.
        DigestMismatch: its files are not those that were registered.
        ConfigError: strategy, steps, guards or settings that make no sense.
        ModelNotFound: no such version.
        RegistryUnavailable: no answer in time.
    """
    if force and not reason.strip():
        raise TransitionRefused(
            "a forced rollout needs a reason", where=ref, fix="say why: reason=… or --reason"
        )
    client = connect(config)
    terms = Terms(strategy, tuple(steps), tuple(guards), metric)
    config, spec, versions = _agreed(config, client, (ref, *others), terms, log)
    ledger, order = Ledger(client, config.name), config.stages.order
    _check_free(ledger.entries(), order, config.name)
    for ended in state.rollouts(ledger.entries(), order)[-1:]:
        close(config, client, ended)  # a verb of another kind has ended it
    for version in versions:
        registry.check_ready(client, version)
        registry.heal(client, config.name, order=order)
        verify_files(client, version)
        if not force:
            gate_passed(config, client, version, ledger.entries())
        _bring(config, version, force=force, reason=reason)
    place = experiment_id(client, config.experiment)
    run_id = rollout_runs.begin(client, place, spec)
    try:
        written = ledger.append(partial(_begin, spec=spec, run=run_id, reason=reason, order=order))
    finally:
        named = (item.run_id for item in state.rollouts(ledger.entries(), order))
        rollout_runs.abandon(client, place, config.name, named)
    assert written is not None
    return followed(config, client, written.seq)


def plan(
    config: Config,
    ref: Ref,
    *,
    strategy: str = "",
    steps: Sequence[float] = (),
    guards: Sequence[str] = (),
    others: Sequence[Ref] = (),
    metric: str = "",
    log: Sequence[str | Path] = (),
) -> RolloutPlan:
    """What such a rollout would be able to find at the logged traffic; nothing is moved.

    Args:
        config: names the model; `[rollout]` and the log.
        ref: the challenger.
        strategy: as for `start`.
        steps: as for `start`.
        guards: as for `start`.
        others: as for `start`.
        metric: as for `start`.
        log: folders of the prediction log.

    Raises:
        TransitionRefused: nothing is in production, the version already is, or the champion's
            requests do not suit it.
        ConfigError: strategy, steps, guards or settings that make no sense.
        ModelNotFound: no such version.
        LogError: the log cannot be read.
    """
    from lifecycle.rollout.planning import forecast
    from lifecycle.workflows.looking import traffic_of

    client = connect(config)
    terms = Terms(strategy, tuple(steps), tuple(guards), metric)
    config, spec, _ = _agreed(config, client, (ref, *others), terms, log)
    rates, per_day, reach = traffic_of(config, spec, log=log)
    return forecast(spec, rates=rates, per_day=per_day, reach=reach)


def _agreed(
    config: Config,
    client: "MlflowClient",
    refs: Sequence[Ref],
    terms: Terms,
    log: Sequence[str | Path],
) -> tuple[Config, RolloutSpec, tuple[ModelVersion, ...]]:
    """The specification and its challengers, after all that needs no gates was checked."""
    order = config.stages.order
    versions = tuple(registry.find(client, item, order=order) for item in refs)
    name = versions[0].name
    config = config if config.name == name else config.with_values(name=name)
    champion = _champion(client, config)
    known = artifacts.spec(client, champion)
    for at, version in enumerate(versions):
        if version.name != name:
            raise ConfigError(
                f"{version.ref} is a version of another model",
                where=name,
                fix="name one of its own",
            )
        if version.version == champion.version:
            raise TransitionRefused(
                "it is the champion itself", where=version.ref, fix="name another version"
            )
        if version.version in [item.version for item in versions[:at]]:
            raise ConfigError("a version is named twice", where=version.ref, fix="name it once")
        check_suits(known, artifacts.spec(client, version), version.ref)
    texts = tuple(terms.guards) or config.rollout.guards
    if terms.metric:
        check_columns(config, known, [parse(terms.metric)])
    guards = guards_of(config, client, champion, texts, log=log)
    numbers = [item.version for item in versions]
    spec = spec_for(config, terms, champion=champion.version, others=numbers, guards=guards)
    return config, spec, versions


def _champion(client: "MlflowClient", config: Config) -> ModelVersion:
    """What is in production by the ledger."""
    now = standing(Ledger(client, config.name).entries(), config.stages.order)
    if now.production is None:
        raise TransitionRefused(
            f"no version of {config.name!r} is in production to hold it against",
            where=config.name,
            fix="lifecycle promote a version to production first",
        )
    return registry.find(client, ModelRef(config.name, now.production), order=config.stages.order)


def _check_free(entries: Sequence[Entry], order: Sequence[str], name: str) -> None:
    found = state.open_rollout(entries, order)
    if found is not None:
        raise TransitionRefused(
            f"a rollout of version {found.challenger.version} is open, entry {found.seq}",
            where=name,
            fix=f"lifecycle rollout status {name}; promote or abort it first",
        )


def _bring(config: Config, version: ModelVersion, *, force: bool, reason: str) -> None:
    """Bring a version to the stage before production."""
    order = config.stages.order
    before = order[1 : order.index(PRODUCTION)]
    ledger = Ledger(connect(config), version.name)
    here = stage_of(ledger.entries(), version.version, order)
    if not before or here == before[-1]:
        return
    onward = before[before.index(here) + 1 :] if here in before else before
    for stage in onward[-1:] if force else onward:
        promote(config, version, to=stage, force=force, reason=reason or "to be rolled out")


def _begin(
    entries: Sequence[Entry], *, spec: RolloutSpec, run: str, reason: str, order: Sequence[str]
) -> Entry:
    """The entry, unless somebody else began one or moved a version since we looked."""
    _check_free(entries, order, spec.name)
    now = standing(entries, order)
    if now.production != spec.arms[0].version:
        raise TransitionRefused(
            f"version {now.production} came to production meanwhile",
            where=spec.name,
            fix="start the rollout anew",
        )
    for arm in spec.arms[1:]:
        here = now.stages.get(arm.version, order[0])
        if here in (order[0], order[-1]) and len(order[1 : order.index(PRODUCTION)]) > 0:
            raise TransitionRefused(
                f"version {arm.version} was moved to {here!r} meanwhile",
                where=spec.name,
                fix="start the rollout anew",
            )
    return draft(**state.begun(spec, run), reason=reason)
