"""What a controller writes: the lease, the evidence, the entry; each decided upon the ledger as is.

>>> from lifecycle.stores.lineage import process
>>> taken("", process()), taken("another-host:1:0", process())
(False, True)

A decision counts under the newest lease only (`rollout.state.refusal`). It is judged again within
`Ledger.append`, so that a controller that was slow, or stopped for longer than its lease, writes
nothing; evidence that it had stored by then is named by no entry and does no harm.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lifecycle.config import Config
from lifecycle.errors import (
    ApprovalRefused,
    GateRefused,
    LifecycleError,
    ModelRefused,
    RegistryError,
    TransitionRefused,
)
from lifecycle.records import Entry, Look, ModelRef, Rollout
from lifecycle.records.rollouts import FINISHED, HELD, ROLLED_BACK
from lifecycle.rollout import state
from lifecycle.rollout.events import Said
from lifecycle.stages import PRODUCTION
from lifecycle.stores import rollout_runs
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.lineage import is_dead
from lifecycle.workflows.approvals import request
from lifecycle.workflows.promote import Proof, promote
from lifecycle.workflows.replay import followed

if TYPE_CHECKING:
    from mlflow import MlflowClient

MOST_REASON = 1500  # characters of a reason in the ledger


@dataclass(frozen=True)
class Controller:
    """Who writes, and where.

    Attributes:
        config: names the model; stages, gates, approvals, `[rollout] lease_seconds`.
        client: of the registry.
        holder: this controller, as `stores.lineage.process` describes a process.
    """

    config: Config
    client: "MlflowClient"
    holder: str

    @property
    def ledger(self) -> Ledger:
        """The model's."""
        return Ledger(self.client, self.config.name)

    def busy(self, rollout: Rollout) -> str:
        """Why another controller decides now; empty: this one may.

        The lease of a process of this machine that is gone binds nobody.
        """
        why = state.busy(rollout, self.holder, now())
        return why if why and taken(rollout.holder, self.holder) else ""

    def lease(self, rollout: Rollout) -> Rollout | None:
        """Take the lease, or renew it when half of it is over.

        Returns:
            The rollout under it; None when another controller has it, or the rollout has ended.

        Raises:
            RegistryUnavailable: no answer in time.
        """
        seconds = self.config.rollout.lease_seconds

        def decide(entries: Sequence[Entry]) -> Entry | None:
            found = self._open(entries, rollout.seq)
            if found is None or self.busy(found):
                return None
            moment = datetime.now(UTC)
            until = state.moment(found.until)
            enough = moment + timedelta(seconds=seconds / 2)
            if found.holder == self.holder and until is not None and until > enough:
                return None
            end = (moment + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
            said = f"{self.holder} decides until {end}"
            return draft(**state.leased(found, self.holder, end), reason=said)

        self.ledger.append(decide)
        found = self._open(self.ledger.entries(), rollout.seq)
        return found if found is not None and found.holder == self.holder else None

    def release(self, rollout: Rollout) -> None:
        """Give the lease back, so that the next controller need not wait for its end.

        Raises:
            RegistryUnavailable: no answer in time.
        """

        def decide(entries: Sequence[Entry]) -> Entry | None:
            found = self._open(entries, rollout.seq)
            if found is None or found.holder != self.holder or not self._runs(found):
                return None
            return draft(**state.leased(found, self.holder, now()), reason="given back")

        self.ledger.append(decide)

    def act(
        self, rollout: Rollout, look: Look, *, why: str = "", seen: Look | None = None
    ) -> tuple[Rollout, Look]:
        """Write what a look decided: the lease, its evidence, the entry, then what follows them.

        Args:
            rollout: as it was looked at.
            look: with the action.
            why: the reason for the ledger where it is another than the look's.
            seen: the look that is kept as evidence where the action did not follow from it.

        Returns:
            The rollout after it, and the look; one that waits and says why when the decision did
            not count any more.

        Raises:
            RegistryUnavailable: no answer in time; whether it was written the ledger will say.
        """
        leased = self.lease(rollout)
        if leased is None:
            then = self._then(rollout)
            return then, waiting(look, then, self.busy(then) or f"it has ended, {then.status}")
        kept = rollout_runs.evidence(self.client, rollout, seen or look)
        reason = (why or look.reason)[:MOST_REASON]
        if look.action == "promote":
            refused = self._promote(leased, look, Proof(leased, *kept), reason)
            if refused:
                look = replace(look, action="hold", reason=refused, shares=leased.shares)
                self._write(leased, look, kept, refused[:MOST_REASON])
        else:
            self._write(leased, look, kept, reason)
        then = self._then(rollout)
        if _done(look, rollout, then):
            rollout_runs.record(self.client, rollout, look)
        else:
            said = f"it is {then.status}" if not then.open else "somebody has moved it"
            look = waiting(look, then, f"nothing was written: {said} meanwhile")
        return followed(self.config, self.client, rollout.seq), look

    def _write(self, rollout: Rollout, look: Look, kept: tuple[str, str], reason: str) -> None:
        """The entry of a step, a hold or an end, unless the ledger has moved on."""

        def decide(entries: Sequence[Entry]) -> Entry | None:
            order = self.config.stages.order
            step = None if look.action == "rollback" else rollout.step
            if state.refusal(entries, rollout.seq, rollout.generation, step, order=order):
                return None
            found = self._open(entries, rollout.seq)
            if found is None or (found.status == HELD and look.action != "rollback"):
                return None
            said = _said(found, look, rollout.generation)
            return draft(**said, reason=reason, evidence_digest=kept[0], evidence_link=kept[1])

        self.ledger.append(decide)

    def _promote(self, rollout: Rollout, look: Look, proof: Proof, reason: str) -> str:
        """Promote the arm that won; gives why it may not be, and asks for missing approvals."""
        won = next((arm for arm in rollout.spec.arms if arm.name == look.best), rollout.challenger)
        ref = ModelRef(self.config.name, won.version)
        try:
            promote(self.config, ref, to=PRODUCTION, reason=reason, proof=proof)
        except ApprovalRefused as error:
            try:
                asked = request(self.config, ref, to=PRODUCTION, reason=reason)
            except LifecycleError as second:
                if isinstance(second, RegistryError):
                    raise
                return f"it may not be promoted: {error.what}"
            return f"it may not be promoted: {error.what}; requested as entry {asked.seq}"
        except (GateRefused, TransitionRefused, ModelRefused, LookupError) as error:
            return f"it may not be promoted: {getattr(error, 'what', error)}"
        return ""

    def _then(self, rollout: Rollout) -> Rollout:
        """The rollout as the ledger has it by now."""
        found = state.rollouts(self.ledger.entries(), self.config.stages.order)
        return next(item for item in found if item.seq == rollout.seq)

    def _open(self, entries: Sequence[Entry], seq: int) -> Rollout | None:
        found = state.open_rollout(entries, self.config.stages.order)
        return found if found is not None and found.seq == seq else None

    def _runs(self, rollout: Rollout) -> bool:
        until, moment = state.moment(rollout.until), datetime.now(UTC)
        return until is not None and until > moment


def waiting(look: Look, rollout: Rollout, reason: str) -> Look:
    """The same look without a decision, and why there is none."""
    return replace(
        look, action="wait", to_step=None, shares=rollout.shares, reason=reason, probabilities=()
    )


def taken(holder: str, me: str) -> bool:
    """Whether a lease's holder is another controller that may still be alive."""
    return holder not in ("", me) and not is_dead(holder)


def now() -> str:
    """The time, as leases have it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _said(rollout: Rollout, look: Look, generation: int) -> Said:
    """The entry of an action."""
    if look.action == "step":
        to_step = rollout.step + 1 if look.to_step is None else look.to_step
        return state.stepped(
            rollout,
            to_step,
            look.shares,
            probabilities=look.probabilities,
            generation=generation,
        )
    if look.action == "hold":
        return state.held(rollout, generation=generation)
    outcome = ROLLED_BACK if look.action == "rollback" else FINISHED
    return state.ended(rollout, outcome, generation=generation)


def _done(look: Look, before: Rollout, after: Rollout) -> bool:
    """Whether the ledger has come where the look wanted it."""
    if look.action == "step":
        return after.open and after.step == look.to_step and after.step > before.step
    if look.action == "hold":
        return after.status == HELD
    meant = {"rollback": ROLLED_BACK, "finish": FINISHED, "promote": "promoted"}
    return after.status == meant.get(look.action)
