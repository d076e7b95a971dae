"""How a rollout stands, and its last decision computed again from its evidence.

>>> from lifecycle.config import Config
>>> status(Config(name="churn")).exit_code  # doctest: +SKIP
0
>>> explain(Config(name="churn")).action  # doctest: +SKIP
'rollback'
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle.config import Config
from lifecycle.errors import LedgerError, LifecycleError, ModelNotFound
from lifecycle.named import named
from lifecycle.records import Entry, Look, Rollout, RolloutStatus
from lifecycle.rollout.deciding import replayed
from lifecycle.rollout.events import KIND, spec_of
from lifecycle.rollout.state import latest, rollouts
from lifecycle.stores import artifacts, registry, rollout_runs
from lifecycle.stores.ledger import Ledger
from lifecycle.stores.tracking import connect
from lifecycle.workflows.looking import looked

if TYPE_CHECKING:
    from mlflow import MlflowClient

PLOTS = {  # views are loaded by name when shown
    "png": "lifecycle.views.rollout_plots:png",
    "svg": "lifecycle.views.rollout_plots:svg",
}
_LOG = logging.getLogger("lifecycle.rollout")


def status(config: Config, *, log: Sequence[str | Path] = ()) -> RolloutStatus:
    """The open rollout, else the last one, with what is known of it now; nothing is written.

    An open rollout is counted anew; of one that has ended the evidence of its last decision is
    shown.

    Args:
        config: names the model.
        log: folders of the prediction log; by default the configured one.

    Raises:
        ModelNotFound: no such model.
        LedgerError: the ledger was changed or deleted.
        RegistryUnavailable: no answer in time.
    """
    client = connect(config)
    _, entries, warnings = registry.survey(client, config.name, order=config.stages.order)
    found = latest(entries, config.stages.order)
    if found is None:
        return RolloutStatus(config.name, warnings=warnings)
    said, look = list(warnings), None
    try:
        look = _looked(config, client, entries, found, log)
    except LifecycleError as error:
        if isinstance(error, ConnectionError):
            raise
        said.append(str(error))
    return replace(drawn(client, found, look), warnings=tuple(said))


def explain(config: Config, *, rollout: int | None = None, log: Sequence[str | Path] = ()) -> Look:
    """The last decision of a rollout, computed again from the evidence that was kept of it.

    An open rollout about which nothing was decided yet is looked at now.

    Args:
        config: names the model.
        rollout: the entry that began it; by default the last one.
        log: folders of the prediction log, for a rollout without a decision.

    Raises:
        LedgerError: the evidence does not lead to what was decided, or is not that of the ledger.
        ModelNotFound: there is no such rollout, or the evidence is gone.
        RegistryUnavailable: no answer in time.
    """
    client = connect(config)
    entries = Ledger(client, config.name).entries()
    found = rollouts(entries, config.stages.order)
    wanted = [item for item in found if rollout in (None, item.seq)]
    if not wanted:
        known = ", ".join(str(item.seq) for item in found) or "none"
        raise ModelNotFound(
            f"there is no rollout {rollout} of {config.name!r}; known: {known}"
            if rollout is not None
            else f"there never was a rollout of {config.name!r}",
            where=config.name,
            fix="" if found else f"lifecycle rollout start {config.name}/VERSION",
        )
    kept = decisions(entries, wanted[-1])
    if kept:
        return decided_anew(client, kept[-1], wanted[-1])
    if wanted[-1].open:
        return looked(config, wanted[-1], log=log)
    raise ModelNotFound(
        f"rollout {wanted[-1].seq} ended by hand: nothing was ever decided about it",
        where=config.name,
        fix="lifecycle history shows who ended it, and why",
    )


def drawn(client: "MlflowClient", rollout: Rollout, look: Look | None) -> RolloutStatus:
    """A rollout with the series of its run, for people to look at."""
    try:
        looks = rollout_runs.series(client, rollout)
    except LookupError:  # the run was deleted: the ledger still has the decisions
        looks = ()
    return RolloutStatus(rollout.spec.name, rollout, look, looks)


def followed(config: Config, client: "MlflowClient", seq: int) -> Rollout:
    """Bring aliases, tags and the run in line with the ledger, and give a rollout as it is now.

    Args:
        config: names the model; the stages.
        client: of the registry.
        seq: the entry that began the rollout.

    Raises:
        RegistryError: MLflow refused a write; RegistryUnavailable: no answer in time.
    """
    order = config.stages.order
    registry.project(client, config.name, order=order)
    found = rollouts(Ledger(client, config.name).entries(), order)
    rollout = next(item for item in found if item.seq == seq)
    if not rollout.open:
        close(config, client, rollout)
    return rollout


def close(
    config: Config, client: "MlflowClient", rollout: Rollout, look: Look | None = None
) -> None:
    """Close the run of a rollout that has ended, with its pictures; once, by whoever comes first.

    Pictures that cannot be drawn are left out: the ledger has what counts.

    Args:
        config: names the model.
        client: of the registry.
        rollout: as it ended.
        look: the last one; by default the evidence of the last decision.

    Raises:
        RegistryUnavailable: no answer in time.
    """
    if not rollout_runs.open_still(client, rollout):
        return
    entries = Ledger(client, config.name).entries()
    pictures: dict[str, bytes] = {}
    try:
        shown = look or _looked(config, client, entries, rollout, ())
        record = drawn(client, rollout, shown)
        for kind, place in PLOTS.items():
            pictures[f"rollout.{kind}"] = named(place, {}, kind="view")(record)
    except ConnectionError:
        raise
    except Exception:  # noqa: BLE001 - the ledger has what counts
        _LOG.exception("no picture was drawn of rollout %s", rollout.seq)
    rollout_runs.finish(client, rollout, pictures)


def _looked(
    config: Config,
    client: "MlflowClient",
    entries: Sequence[Entry],
    rollout: Rollout,
    log: Sequence[str | Path],
) -> Look | None:
    """What is to be shown: an open rollout's counts of now, else its last decision."""
    if rollout.open:
        return looked(config, rollout, log=log)
    kept = decisions(entries, rollout)
    return decided_anew(client, kept[-1], rollout) if kept else None


def decisions(entries: Sequence[Entry], rollout: Rollout) -> tuple[Entry, ...]:
    """The entries of a rollout that rest on a look, oldest first.

    >>> from lifecycle.records import Arm, RolloutSpec
    >>> pair = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
    >>> decisions([], Rollout(RolloutSpec("churn", "canary", pair), 12))
    ()
    """
    return tuple(
        item
        for item in entries
        if item.kind in (KIND, "stage")
        and item.extra.get("rollout") == rollout.seq
        and "/evidence/look-" in item.evidence_link
    )


def decided_anew(client: "MlflowClient", entry: Entry, rollout: Rollout) -> Look:
    """The look of an entry, decided anew from its tallies.

    Args:
        client: of the registry.
        entry: one of `decisions`.
        rollout: as the ledger has it.

    Raises:
        ModelNotFound: the evidence is gone.
        LedgerError: another decision follows from them, or they are not of this rollout.
    """
    where = f"entry {entry.seq}"
    try:
        tree = artifacts.read_evidence(client, entry.evidence_link, entry.evidence_digest)
        then, recorded = rollout_of(tree["rollout"]), tree["look"]
        found = replayed(then, recorded)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, LifecycleError) and not isinstance(error, ValueError):
            raise
        raise LedgerError(f"its evidence cannot be read: {error}", where=where) from error
    if then.seq != rollout.seq or then.spec != rollout.spec:
        raise LedgerError(
            "its evidence is of another rollout, or of another specification", where=where
        )
    known = {key: recorded.get(key) for key in found.to_dict()}
    if found.to_dict() != known:
        differ = ", ".join(key for key, value in found.to_dict().items() if value != known[key])
        raise LedgerError(
            f"its evidence does not lead to what was recorded: {differ} differ",
            where=where,
            fix="lifecycle verify; was another version of lifecycle at work?",
        )
    return found


def rollout_of(tree: Mapping[str, Any]) -> Rollout:
    """A rollout from its `to_dict()`.

    >>> from lifecycle.records import Arm, RolloutSpec
    >>> pair = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
    >>> one = Rollout(RolloutSpec("churn", "canary", pair, (0.5, 1.0)), 12, shares=(0.5, 0.5))
    >>> rollout_of(one.to_dict()) == one
    True

    Raises:
        ValueError: it cannot be read.
    """
    spec = spec_of(tree["spec"])
    if spec is None:
        raise ValueError("the specification cannot be read")
    known = {
        item.name: _tuples(tree[item.name])
        for item in fields(Rollout)
        if item.name in tree and item.name != "spec"
    }
    return Rollout(spec, **known)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
