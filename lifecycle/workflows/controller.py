"""Look at a rollout again and again, decide, and act: its controller.

>>> from lifecycle.config import Config
>>> look(Config(name="churn")).action  # doctest: +SKIP
'wait'

Any number of controllers may run. Looking needs nothing; deciding needs the lease, an entry of the
ledger that says who decides and until when. Everything is counted anew at each look, so a
controller that is killed leaves nothing behind but a lease that ends.

While the registry does not answer, nobody steps up. A harm that is proven meanwhile is cut here
(`stores.cuts`): servers that share the log's folder send everything to the champion, and the
ledger is told when it is back.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.config import Config
from lifecycle.errors import (
    LifecycleError,
    LogError,
    ModelNotFound,
    RegistryError,
    RegistryUnavailable,
)
from lifecycle.records import Entry, Look, Outcome, Rollout, RolloutStatus
from lifecycle.records.rollouts import ABORTED, HELD, ROLLED_BACK
from lifecycle.rollout import state
from lifecycle.stores import cuts, registry, rollout_runs
from lifecycle.stores.ledger import draft
from lifecycle.stores.lineage import process
from lifecycle.stores.tracking import connect
from lifecycle.workflows.acting import Controller, now, waiting
from lifecycle.workflows.looking import looked
from lifecycle.workflows.replay import drawn, explain, followed

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["Watch", "explain", "look", "run"]

SECOND_LOOK = 0.3  # seconds after which an alias that differs is read again
WATCHED = ("champion", "challenger", "shadow")  # aliases that nobody else may move meanwhile
_LOG = logging.getLogger("lifecycle.rollout")


def look(config: Config, *, log: Sequence[str | Path] = ()) -> Look:
    """Count the log once, decide, and write what was decided.

    A look that waits writes no entry. One of a rollout that has ended says so and closes its run.

    Args:
        config: names the model; `[rollout]`, tracking, log, stages, gates and approvals.
        log: folders of the prediction log, those of all servers; by default the configured one.

    Raises:
        ModelNotFound: there never was a rollout.
        LogError: the log cannot be read; nothing was decided.
        RegistryUnavailable: no answer in time.
    """
    return Watch(config, log=log).look()


def run(
    config: Config,
    *,
    once: bool = False,
    seconds: float | None = None,
    log: Sequence[str | Path] = (),
    shown: Callable[[RolloutStatus], object] | None = None,
    stop: threading.Event | None = None,
) -> Look:
    """Look until the rollout ends, or until SIGTERM or SIGINT, which end it between two looks.

    Args:
        config: as for `look`.
        once: one look, as for cron.
        seconds: between two looks; by default `[rollout] every_seconds`.
        log: as for `look`.
        shown: is given the status after each look.
        stop: ends it when it is set, for those who run it in a thread.

    Returns:
        The last look.

    Raises:
        ModelNotFound: there never was a rollout.
        RegistryUnavailable: no answer at the first look.
        LogError: with `once`, the log cannot be read.
    """
    every = config.rollout.every_seconds if seconds is None else seconds
    watch, ending = Watch(config, log=log, stays=not once), stop or threading.Event()
    with _signals(ending):
        try:
            while True:
                found = watch.look_or_cut(once=once)
                if shown is not None:
                    shown(watch.status(found))
                if once or watch.over or ending.wait(every):
                    return found
        finally:
            watch.leave()


class Watch:
    """A controller of one model's rollouts.

    Args:
        config: as for `look`.
        log: as for `look`.
        stays: keep the lease between looks.

    Attributes:
        rollout: as the ledger last had it; None before the first look.
        over: whether it has ended.
    """

    def __init__(
        self, config: Config, *, log: Sequence[str | Path] = (), stays: bool = False
    ) -> None:
        self.config = config
        self.rollout: Rollout | None = None
        self._log, self._stays = tuple(log), stays
        self._folders = self._log or (config.log.dir,)
        self._client: MlflowClient | None = None
        self._harm: Look | None = None  # found while the registry did not answer

    @property
    def over(self) -> bool:
        """Whether the rollout has ended."""
        return self.rollout is not None and not self.rollout.open

    def look(self) -> Look:
        """One look, decided and written; raises as `look`."""
        me = self._me()
        versions, entries, odd = self._survey(me)
        self.rollout = rollout = self._latest(entries)
        if not rollout.open:
            self.rollout = followed(self.config, me.client, rollout.seq)
            self._lift()
            return _over(rollout)
        why = me.busy(rollout)
        if why:
            return _nothing(rollout, f"another controller has the lease: {why}")
        if self._stays:
            leased = me.lease(rollout)
            if leased is None:
                return _nothing(rollout, "another controller was faster to take the lease")
            self.rollout = rollout = leased
        gone = [arm.version for arm in rollout.spec.arms if arm.version not in versions]
        if gone or odd:
            return self._stop(me, rollout, gone, odd)
        found = looked(self.config, rollout, log=self._log)
        cut = self._cut_of(rollout)
        if cut:
            seen = self._harm or found
            harm = replace(seen, action="rollback", outcome=Outcome.FAIL)
            said = f"{cut} (cut here while the registry did not answer)"
            self.rollout, found = me.act(rollout, harm, why=said, seen=seen)
            self._lift()
            return found
        if found.action == "wait" or (found.action == "hold" and rollout.status == HELD):
            rollout_runs.record(me.client, rollout, found)
            return found
        self.rollout, found = me.act(rollout, found)
        return found

    def look_or_cut(self, *, once: bool = False) -> Look:
        """The same; where the registry does not answer, what is known is counted all the same."""
        try:
            return self.look()
        except RegistryError as error:
            known = self.rollout
            if known is None or (once and not isinstance(error, RegistryUnavailable)):
                raise
            _LOG.warning("the registry is not followed: %s", error.what)
            self._client = None
            return self._alone(known, error)
        except LogError as error:
            if once or self.rollout is None:
                raise
            _LOG.error("nothing was decided: %s", error)
            return _nothing(self.rollout, f"nothing was decided: {error.what}")

    def status(self, found: Look) -> RolloutStatus:
        """What people see after a look."""
        if self._client is not None and self.rollout is not None:
            with suppress(LifecycleError):
                return drawn(self._client, self.rollout, found)
        return RolloutStatus(self.config.name, self.rollout, found)

    def leave(self) -> None:
        """Give the lease back; a registry that does not answer keeps it until it ends."""
        if self.rollout is None or not self.rollout.open or self._client is None:
            return
        with suppress(LifecycleError):
            self._me().release(self.rollout)

    def _me(self) -> Controller:
        self._client = self._client or connect(self.config)
        return Controller(self.config, self._client, process())

    def _survey(self, me: Controller) -> tuple[set[int], tuple[Entry, ...], str]:
        """MLflow's versions, the ledger, and what somebody has done to the aliases by hand."""
        name, order = self.config.name, self.config.stages.order
        versions, entries, warnings = registry.survey(me.client, name, order=order)
        if any("lag behind" in item for item in warnings):
            registry.project(me.client, name, order=order)  # of one that was killed
            warnings, entries = (), me.ledger.entries()
        if _odd(warnings):
            time.sleep(SECOND_LOOK)  # another process may be at work on them
            versions, entries, warnings = registry.survey(me.client, name, order=order)
        return {item.version for item in versions}, entries, _odd(warnings)

    def _latest(self, entries: Sequence[Entry]) -> Rollout:
        found = state.latest(entries, self.config.stages.order)
        if found is None:
            raise ModelNotFound(
                f"there never was a rollout of {self.config.name!r}",
                where=self.config.name,
                fix=f"lifecycle rollout start {self.config.name}/VERSION",
            )
        return found

    def _stop(self, me: Controller, rollout: Rollout, gone: Sequence[int], odd: str) -> Look:
        """End it where a challenger is gone, hold it where aliases or the champion are not safe."""
        tried = [version for version in gone if version != rollout.champion.version]
        if tried:
            why = f"version {tried[0]} was deleted from MLflow"
            return self._entered(me, rollout, "finish", why)
        why = f"version {gone[0]}, the champion, was deleted from MLflow" if gone else odd
        if rollout.status == HELD:
            registry.project(me.client, self.config.name, order=self.config.stages.order)
            return replace(_nothing(rollout, why), action="hold")
        return self._entered(me, rollout, "hold", why)

    def _entered(self, me: Controller, rollout: Rollout, action: str, why: str) -> Look:
        """Write a hold or an end that no count is needed for."""
        leased = me.lease(rollout)
        if leased is None:
            return _nothing(rollout, "another controller decides")

        order = self.config.stages.order

        def decide(entries: Sequence[Entry]) -> Entry | None:
            if state.refusal(entries, leased.seq, leased.generation, leased.step, order=order):
                return None
            held = state.held(leased)
            return draft(
                **(state.ended(leased, ABORTED) if action == "finish" else held), reason=why
            )

        me.ledger.append(decide)
        self.rollout = followed(self.config, me.client, rollout.seq)
        return replace(_nothing(self.rollout, why), action=action, outcome=Outcome.FAIL)

    def _alone(self, known: Rollout, error: LifecycleError) -> Look:
        """Count without the registry; a proven harm is cut here."""
        down = f"the registry does not answer, so nothing steps up: {error.what}"
        if not known.open:
            return _over(known)
        try:
            found = looked(self.config, known, log=self._log)
        except LifecycleError as second:
            return _nothing(known, f"{down}; {second.what}")
        if found.action != "rollback":
            return waiting(found, known, down)
        self._harm = self._harm or found
        for folder in self._folders:
            cuts.cut(folder, self.config.name, known.seq, found.reason)
        _LOG.warning("rollout %s is cut here: %s", known.seq, found.reason)
        return replace(found, reason=f"cut here, the registry does not answer: {found.reason}")

    def _cut_of(self, rollout: Rollout) -> str:
        """Why the rollout was cut here; empty when it was not."""
        for folder in self._folders:
            found = cuts.cut_of(folder, self.config.name)
            if found is not None and found[0] == rollout.seq:
                return found[1]
        return ""

    def _lift(self) -> None:
        """Take back what was cut here, once the ledger says it to everybody."""
        self._harm = None
        if self.over:
            for folder in self._folders:
                with suppress(LogError):
                    cuts.lift(folder, self.config.name)


def _odd(warnings: Sequence[str]) -> str:
    """What somebody has done by hand to the aliases that a rollout needs."""
    begins = tuple(f"alias {alias} " for alias in WATCHED)
    odd = [item for item in warnings if item.startswith(begins) and "by hand" in item]
    return "; ".join(item.partition(" (")[0] for item in odd)


def _over(rollout: Rollout) -> Look:
    why = f": {rollout.reason}" if rollout.reason else ""
    found = _nothing(rollout, f"rollout {rollout.seq} has ended, {rollout.status}{why}")
    if rollout.status == ROLLED_BACK:  # whoever did it: exit code 2 for whoever waits for the end
        return replace(found, action="rollback", outcome=Outcome.FAIL)
    return replace(found, action="finish", outcome=Outcome.PASS)


def _nothing(rollout: Rollout, reason: str) -> Look:
    """A look that counted nothing."""
    return Look(
        rollout.spec.name,
        rollout.seq,
        rollout.step,
        now(),
        shares=rollout.shares,
        reason=reason,
    )


@contextmanager
def _signals(ending: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set the event; a second one of them interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: object) -> None:
        if ending.is_set():
            raise KeyboardInterrupt
        _LOG.warning("signal %s: it ends after this look", number)
        ending.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
