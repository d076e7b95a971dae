"""Move a rollout by hand: each verb is one entry of the ledger.

>>> from lifecycle.config import Config
>>> abort(Config(name="churn"), reason="a holiday").status  # doctest: +SKIP
'aborted'

The ledger decides. Aliases and tags follow it (`stores.registry.project`), and so do the servers;
a verb that is killed leaves the decision made or not made, and whoever looks next finishes it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from lifecycle.config import Config
from lifecycle.errors import ModelNotFound, TransitionRefused
from lifecycle.records import Entry, ModelRef, Outcome, Rollout
from lifecycle.records.rollouts import ABORTED, HELD
from lifecycle.rollout import state
from lifecycle.rollout.events import Said
from lifecycle.stages import PRODUCTION
from lifecycle.stores import rollout_runs
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect
from lifecycle.workflows.begin import plan, start
from lifecycle.workflows.looking import looked
from lifecycle.workflows.promote import Proof
from lifecycle.workflows.promote import promote as to_stage
from lifecycle.workflows.replay import explain, followed, status

__all__ = ["abort", "explain", "plan", "promote", "resume", "start", "status", "step"]

BY_HAND = "by hand"  # the reason of a move for which none was given


def step(config: Config, *, reason: str = "") -> Rollout:
    """Go to the next step by hand, whatever the evidence says.

    Raises:
        TransitionRefused: no rollout is open, it has no steps, or this is the last one.
        RegistryUnavailable: no answer in time.
    """

    def onward(now: Rollout) -> Said:
        if len(now.spec.steps) <= 1:
            raise TransitionRefused(
                f"a rollout of strategy {now.spec.strategy!r} has no next step",
                where=_where(now),
                fix="lifecycle rollout promote or abort",
            )
        if now.step >= len(now.spec.steps) - 1:
            raise TransitionRefused(
                f"step {now.step + 1} is the last one",
                where=_where(now),
                fix="lifecycle rollout promote",
            )
        return state.stepped(now, now.step + 1)

    return _moved(config, onward, reason)


def abort(config: Config, *, reason: str = "") -> Rollout:
    """End the rollout; the champion answers everything again.

    Raises:
        TransitionRefused: no rollout is open.
        RegistryUnavailable: no answer in time.
    """
    return _moved(config, lambda now: state.ended(now, ABORTED), reason)


def resume(config: Config, *, reason: str = "") -> Rollout:
    """Let a rollout go on that was held.

    Raises:
        TransitionRefused: no rollout is open, or it is not held.
        RegistryUnavailable: no answer in time.
    """

    def onward(now: Rollout) -> Said:
        if now.status != HELD:
            raise TransitionRefused("it is not held", where=_where(now), fix="it goes on by itself")
        return state.resumed(now)

    return _moved(config, onward, reason)


def promote(
    config: Config,
    *,
    reason: str = "",
    force: bool = False,
    log: Sequence[str | Path] = (),
) -> Rollout:
    """End the rollout with its challenger as champion, before all is proven.

    The log is counted once more, and what it shows goes with the entry. A harm that is proven is
    not promoted without force; of several challengers it is the one that is proven better.

    Args:
        config: names the model.
        reason: goes into the ledger; needed with `force`.
        force: skip gates, approvals and a proven harm; recorded as such.
        log: folders of the prediction log.

    Raises:
        TransitionRefused: no rollout is open, harm is proven, or none of several is the better.
        GateRefused: the gates do not allow it.
        ApprovalRefused: approvals are missing.
        RegistryUnavailable: no answer in time.
    """
    client = connect(config)
    now = _open(Ledger(client, config.name).entries(), config)
    found = looked(config, now, log=log)
    harm = [item.reason for item in found.evidence if item.outcome is Outcome.FAIL]
    if harm and not force:
        raise TransitionRefused(
            f"harm is proven: {'; '.join(harm)}",
            where=_where(now),
            fix="lifecycle rollout abort; or force it with a reason",
        )
    arms = [
        item for item in now.spec.arms[1:] if len(now.spec.arms) == 2 or item.name == found.best
    ]
    if not arms:
        raise TransitionRefused(
            "none of the challengers is proven better than the others",
            where=_where(now),
            fix="lifecycle rollout abort, then lifecycle promote NAME/VERSION",
        )
    proof = Proof(now, *rollout_runs.evidence(client, now, found))
    to_stage(
        config,
        ModelRef(config.name, arms[0].version),
        to=PRODUCTION,
        force=force,
        reason=reason or BY_HAND,
        proof=proof,
    )
    return followed(config, client, now.seq)


def _moved(config: Config, onward: Callable[[Rollout], Said], reason: str) -> Rollout:
    """Write what follows from the open rollout; it is read again whenever another was faster."""
    client = connect(config)
    ledger = Ledger(client, config.name)
    seq = 0

    def decide(entries: Sequence[Entry]) -> Entry:
        nonlocal seq
        now = _open(entries, config)
        seq = now.seq
        return draft(**onward(now), reason=reason.strip() or BY_HAND)

    ledger.append(decide)
    return followed(config, client, seq)


def _open(entries: Sequence[Entry], config: Config) -> Rollout:
    found = state.latest(entries, config.stages.order)
    if found is None:
        raise ModelNotFound(
            f"there never was a rollout of {config.name!r}",
            where=config.name,
            fix=f"lifecycle rollout start {config.name}/VERSION",
        )
    if not found.open:
        why = f": {found.reason}" if found.reason else ""
        raise TransitionRefused(
            f"no rollout is open; the last one, entry {found.seq}, is {found.status}{why}",
            where=config.name,
            fix=f"lifecycle rollout start {config.name}/VERSION",
        )
    return found


def _where(rollout: Rollout) -> str:
    return f"{rollout.spec.name}/{rollout.challenger.version}, rollout {rollout.seq}"
