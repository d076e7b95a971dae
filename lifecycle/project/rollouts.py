"""Bring a version to users step by step, on evidence: the rollouts' methods of a project.

>>> import lifecycle as lc
>>> lc.Project.rollout is rollout
True
"""

# ruff: noqa: D417 - `self` is the project that the method belongs to

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle.project.references import Reference, named_ref
from lifecycle.records import Look, Rollout, RolloutPlan, RolloutStatus

if TYPE_CHECKING:
    from lifecycle.project import Project

Log = Sequence[str | Path]


def rollout(
    self: "Project",
    version: Reference,
    *,
    strategy: str = "",
    steps: Sequence[float] = (),
    guards: Sequence[str] = (),
    others: Sequence[Reference] = (),
    metric: str = "",
    force: bool = False,
    reason: str = "",
    log: Log = (),
    **settings: Any,
) -> Rollout:
    """Start a rollout: the version is tried on live requests beside the champion.

    Args:
        version: the challenger.
        strategy: "shadow", "canary" or "ab"; by default the configured one.
        steps: percent of requests that it answers at each step, rising.
        guards: what is held against the champion, as `NAME[:COLUMN[=VALUE]][<=LIMIT]`.
        others: A/B: further versions with an arm of their own.
        metric: A/B: the guard whose value is to improve.
        force: start although the gates did not pass; needs a reason.
        reason: goes into the ledger.
        log: folders of the prediction log, where there are several.
        **settings: further keys of `[rollout]`, as in `hold_back=0, max_hours=48`.

    Raises:
        TransitionRefused: nothing is in production, the version already is, another rollout is
            open, or the champion's requests do not suit it.
        GateRefused: its gates did not pass; `.report` says why.
        ConfigError: steps, guards or settings that make no sense.
    """
    from lifecycle.workflows.rollout import start

    return start(
        self.config.with_values(**_keys(settings)),
        named_ref(self.name, version),
        strategy=strategy,
        steps=tuple(steps),
        guards=tuple(guards),
        others=tuple(named_ref(self.name, other) for other in others),
        metric=metric,
        force=force,
        reason=reason,
        log=tuple(log),
    )


def rollout_plan(
    self: "Project",
    version: Reference,
    *,
    strategy: str = "",
    steps: Sequence[float] = (),
    guards: Sequence[str] = (),
    others: Sequence[Reference] = (),
    metric: str = "",
    log: Log = (),
    **settings: Any,
) -> RolloutPlan:
    """What such a rollout will be able to find, and how long it takes; nothing is moved."""
    from lifecycle.workflows.rollout import plan

    return plan(
        self.config.with_values(**_keys(settings)),
        named_ref(self.name, version),
        strategy=strategy,
        steps=tuple(steps),
        guards=tuple(guards),
        others=tuple(named_ref(self.name, other) for other in others),
        metric=metric,
        log=tuple(log),
    )


def rollout_status(self: "Project", *, log: Log = ()) -> RolloutStatus:
    """The open rollout, else the last one, with what its last look found; draws itself."""
    from lifecycle.workflows.rollout import status

    return status(self.config, log=tuple(log))


def rollout_look(self: "Project", *, log: Log = ()) -> Look:
    """Count the log once, decide and act: what the controller does over and over."""
    from lifecycle.workflows.controller import look

    return look(self.config, log=tuple(log))


def rollout_step(self: "Project", *, reason: str = "") -> Rollout:
    """Go to the next step by hand, whatever the evidence says."""
    from lifecycle.workflows.rollout import step

    return step(self.config, reason=reason)


def rollout_promote(
    self: "Project", *, force: bool = False, reason: str = "", log: Log = ()
) -> Rollout:
    """End the rollout with the challenger as champion; `force` skips gates and a proven harm."""
    from lifecycle.workflows.rollout import promote

    return promote(self.config, reason=reason, force=force, log=tuple(log))


def rollout_abort(self: "Project", *, reason: str = "") -> Rollout:
    """End the rollout; the champion answers everything again."""
    from lifecycle.workflows.rollout import abort

    return abort(self.config, reason=reason)


def rollout_resume(self: "Project", *, reason: str) -> Rollout:
    """Let a rollout go on that was held."""
    from lifecycle.workflows.rollout import resume

    return resume(self.config, reason=reason)


def rollout_explain(self: "Project", *, rollout: int | None = None, log: Log = ()) -> Look:
    """The last decision, computed again from its evidence: counts, e-values, intervals, exposed.

    Args:
        rollout: the ledger entry that began it; by default the last rollout.
        log: folders of the prediction log, for one about which nothing was decided yet.
    """
    from lifecycle.workflows.rollout import explain

    return explain(self.config, rollout=rollout, log=tuple(log))


def _keys(settings: dict[str, Any]) -> dict[str, Any]:
    return {f"rollout__{key}": value for key, value in settings.items()}
