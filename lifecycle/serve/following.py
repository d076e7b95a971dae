"""What is to serve of one model reference: the champion, and the arms of the rollout that is open.

>>> from lifecycle.models.predicting import LoadedModel, Output
>>> from lifecycle.records import Arm, ModelSpec, ModelVersion, RolloutSpec
>>> from lifecycle.serve.slots import slot
>>> def version(number):
...     spec, answer = ModelSpec(1, "regression", ()), lambda columns: Output(columns["x"])
...     return slot("churn", LoadedModel(spec, "sklearn", answer, ModelVersion("churn", number)))
>>> spec = RolloutSpec("churn", "canary", (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0)))
>>> rollout = Rollout(spec, seq=12, shares=(0.95, 0.05))
>>> [arm.share for arm in routed(version(7), [version(8)], rollout).plan.arms]
[0.95, 0.05]
>>> routed(version(7), [], rollout, withheld="version 8: its weights are gone").plan.arms
(Arm(name='fallback', version=7, share=1.0),)

The ledger decides. It is read when the model's aliases or tags have changed, which one question
tells, and every now and then. All versions of a plan are loaded, verified and warmed before any of
them takes a request; what is loaded already is kept, so a promotion loads nothing. While an arm of
a rollout cannot answer here, or the rollout is cut here, the champion answers everything, in an arm
of its own that is not counted: nobody was drawn for it.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lifecycle.config import Config
from lifecycle.errors import LifecycleError, ModelRefused, RegistryUnavailable
from lifecycle.records import Arm, ModelRef, ModelVersion, Plan, Rollout
from lifecycle.rollout.plan import CHAMPION, only
from lifecycle.rollout.state import open_rollout, plan_of
from lifecycle.serve import copies
from lifecycle.serve.figures import Figures
from lifecycle.serve.fitting import fitted
from lifecycle.serve.outward import outward
from lifecycle.serve.pauses import gently
from lifecycle.serve.slots import FALLBACK, Group, Slot
from lifecycle.stores import cuts, registry
from lifecycle.stores.aliases import Model

if TYPE_CHECKING:
    from mlflow import MlflowClient

LEDGER_SECONDS = 20.0  # between looks at the ledger while aliases and tags stand
LOAD_SECONDS = 600.0  # that loading and warming a version may take while others serve
RETRY_SECONDS = 60.0  # before a version that could not be loaded is tried again
TAGS = ("lifecycle.rollout", "lifecycle.projected")  # change with each entry that moves something
_LOG = logging.getLogger("lifecycle.serve")


class Following:
    """One model reference, as long as a server runs.

    Args:
        ref: what is followed.
        config: where the registry, the copies and the cuts are.
        figures: take in what could not be loaded.

    Attributes:
        trouble: why it is not followed now; empty: it is.
    """

    def __init__(self, ref: ModelRef, config: Config, figures: Figures) -> None:
        self.ref, self.config, self.figures = ref, config, figures
        self.trouble = ""
        self._mark: Any = None  # aliases and tags when the ledger was read last
        self._settled = -math.inf  # when that was
        self._failed: dict[tuple[int, str], tuple[float, str]] = {}  # version: when, and why
        self._told = ""  # what was last said of a damaged cut
        self._noted: tuple[Any, ...] = ()  # what was last noted beside the copies

    def stands(self, client: "MlflowClient") -> bool:
        """Whether nothing has changed: one cheap question, a tenth of reading the ledger."""
        mark = self._marked(client)
        now = time.monotonic()
        fresh = now - self._settled < LEDGER_SECONDS and not self.trouble
        again = any(now - when >= RETRY_SECONDS for when, _ in self._failed.values())
        same, self._mark = mark is not None and mark == self._mark, mark
        return same and fresh and not again

    def found(self, client: "MlflowClient", serving: Group | None) -> Group:
        """What the registry wants to serve, loaded; of it what can be.

        Args:
            client: what `connect` gave.
            serving: what serves now, whose slots are kept; None: nothing does yet.

        Raises:
            ModelNotFound: no such model or version, or the alias is gone.
            RegistryUnavailable: no answer in time.
            LifecycleError: nothing serves yet, and the champion cannot be loaded.
        """
        order = self.config.stages.order
        model = registry.look(client, self.ref.name, order=order)
        number = self.ref.version
        if number is None:
            number = registry.meant(client, model, self.ref.alias)
        version = registry.version_of(client, model, number)
        rollout = open_rollout(model.entries, order) if self.ref.alias == CHAMPION else None
        try:
            champion = self._slot(client, version, serving)
            if rollout is None:
                self._remember(champion, (), None)
        except RegistryUnavailable:
            raise
        except LifecycleError as error:
            if serving is None:
                raise
            self._refused(version, error, serving)
            self._settled = time.monotonic()
            # whatever is new in production has ended the rollout that serves
            return serving if serving.rollout is None else routed(serving.champion, (), None)
        others, reasons = self._beside(client, model, rollout, champion, serving)
        self._settled = time.monotonic()
        if not reasons:
            self._failed.clear()
            self.figures.reasons.pop(self.ref.name, None)  # what was refused is not asked for
        arm, withheld = self.ref.alias or CHAMPION, "; ".join(reasons)
        return self.cut(routed(champion, others, rollout, arm=arm, withheld=withheld))

    def _beside(
        self,
        client: "MlflowClient",
        model: Model,
        rollout: Rollout | None,
        champion: Slot,
        serving: Group | None,
    ) -> tuple[list[Slot], list[str]]:
        """The rollout's other versions, loaded, and why some are not."""
        others: list[Slot] = []
        reasons: list[str] = []
        if rollout is None:
            return others, reasons
        for arm in rollout.spec.arms[1:]:
            wanted = ModelVersion(self.ref.name, arm.version)
            try:
                wanted = registry.version_of(client, model, arm.version)
                one = self._slot(client, wanted, serving)
                fitted(champion, one)
                others.append(one)
            except RegistryUnavailable:
                raise
            except LifecycleError as error:
                reasons.append(self._refused(wanted, error, serving))
        try:
            self._remember(champion, others, rollout)
        except LifecycleError as error:
            reasons.append(outward(error.what))
        return others, reasons

    def cut(self, group: Group) -> Group:
        """A group as a cut of this machine wants it; itself where that changes nothing."""
        rollout = group.rollout
        if rollout is None:
            return group
        found = cuts.cut_of(self.config.log.dir, self.ref.name)
        told = "" if found else cuts.damage(self.config.log.dir, self.ref.name)
        if told and told != self._told:
            _LOG.warning("%s: %s", self.ref, told, extra={"event": "cut_damaged"})
        self._told = told
        wanted = f"{CUT}{found[1]}" if found and found[0] == rollout.seq else ""
        if group.withheld and not group.withheld.startswith(CUT):
            return group  # it gets nothing anyway
        if wanted == group.withheld:
            return group
        others = [one for number, one in group.slots.items() if number != group.champion.version]
        arm = self.ref.alias or CHAMPION
        return routed(group.champion, others, rollout, arm=arm, withheld=wanted)

    def without(self) -> Group | None:
        """What serves while the registry does not answer: the last good copy; None: there is none.

        Of a rollout that was open only the champion serves until the registry is back.

        Raises:
            LifecycleError: the copy cannot be loaded.
        """
        folder = copies.last(self.ref, self.config)
        if folder is None:
            return None
        one = copies.warmed(self.ref, folder, self.config)
        seq = copies.under_way(self.ref, self.config)
        if not seq:
            return routed(one, (), None, arm=self.ref.alias or CHAMPION)
        why = f"rollout {seq} was under way when the registry last answered"
        _LOG.warning("%s: %s; the champion answers everything", self.ref, why)
        return Group(only(one.model, one.version, arm=FALLBACK), {one.version: one}, None, why)

    def forget(self, trouble: str) -> None:
        """Read the ledger again at the next look, whatever the mark says."""
        self.trouble, self._mark = trouble, None

    def _marked(self, client: "MlflowClient") -> Any:
        try:
            found = client.get_registered_model(self.ref.name)
        except Exception:  # noqa: BLE001 - the whole look says what is wrong
            return None
        return dict(found.aliases), [found.tags.get(name) for name in TAGS]

    def _slot(self, client: "MlflowClient", version: ModelVersion, serving: Group | None) -> Slot:
        """The version loaded: as it serves already, else from its copy."""
        kept = serving.slots.get(version.version) if serving else None
        known = kept.loaded.version if kept else None
        if kept and known and known.digest == version.digest:
            return kept
        when, why = self._failed.get((version.version, version.digest), (-math.inf, ""))
        if serving and time.monotonic() - when < RETRY_SECONDS:
            raise LifecycleError(why)

        def load() -> Slot:
            with gently():
                folder = copies.copy(client, version, self.config)
                return copies.warmed(self.ref, folder, self.config)

        return load() if serving is None else in_time(load, LOAD_SECONDS)

    def _remember(self, champion: Slot, others: Iterable[Slot], rollout: Rollout | None) -> None:
        """Note what serves, for a start without a registry."""
        first, *beside = (_folder(one) for one in (champion, *others))
        seq = rollout.seq if rollout else 0
        if self._noted != (first, *beside, seq):
            folder = Path(self.config.log.dir) / copies.FOLDER / first
            copies.remember(self.ref, folder, beside=beside, rollout=seq)
            self._noted = (first, *beside, seq)

    def _refused(
        self,
        version: ModelVersion,
        error: LifecycleError,
        serving: Group | None,
    ) -> str:
        """Say once that a version stays out; gives the reason."""
        mark = (version.version, version.digest)
        why = outward(error.what)
        reason = f"version {version.version}: {why}"
        when, before = self._failed.get(mark, (-math.inf, ""))
        if before and before == error.what and time.monotonic() - when < RETRY_SECONDS:
            return reason
        self._failed[mark] = (time.monotonic(), error.what)
        self.figures.not_swapped(self.ref.name, reason)
        _LOG.error(
            "version %s stays out, %s serves on: %s",
            version.version,
            serving.champion.version if serving else "the champion",
            error,
            extra={"event": "refused", "model": self.ref.name, "version": version.version},
        )
        return reason


CUT = "cut on this machine: "  # how a reason begins that a file gave


def routed(
    champion: Slot,
    others: Iterable[Slot],
    rollout: Rollout | None,
    *,
    arm: str = CHAMPION,
    withheld: str = "",
) -> Group:
    """Who answers: the rollout's plan where all its versions are loaded, else the champion alone.

    Args:
        champion: answers what nobody else does.
        others: the rollout's other versions, as far as they are loaded.
        rollout: the open one; None: there is none.
        arm: the champion's name where there is no rollout.
        withheld: why the others get nothing; empty: they get their shares.
    """
    slots = {champion.version: champion}
    if rollout is None:
        return Group(only(champion.model, champion.version, arm=arm), slots)
    slots |= {one.version: one for one in others}
    plan = plan_of(rollout)
    if withheld:
        # of a shadow's champion everything counts: who answers does not change
        name = CHAMPION if rollout.spec.strategy == "shadow" else FALLBACK
        plan = Plan(plan.model, (Arm(name, champion.version, 1.0),), plan.step, plan.salt)
    return Group(plan, slots, rollout, withheld)


def differs(one: Group | None, other: Group) -> bool:
    """Whether requests, or whoever looks, can tell two groups apart; leases cannot be seen."""
    if one is None or (one.plan, one.withheld) != (other.plan, other.withheld):
        return True
    ours, theirs = one.rollout, other.rollout
    if (ours and (ours.seq, ours.status)) != (theirs and (theirs.seq, theirs.status)):
        return True
    same = [(number, id(slot)) for number, slot in one.slots.items()]
    return same != [(number, id(slot)) for number, slot in other.slots.items()]


def told(group: Group) -> str:
    """A group in words, for the log.

    >>> from lifecycle.serve.slots import Group
    >>> told(Group(Plan("churn", (Arm("champion", 7, 0.75), Arm("challenger", 8, 0.25))), {}))
    'champion/7 75 %, challenger/8 25 %'
    """
    arms = ", ".join(f"{arm.name}/{arm.version} {100 * arm.share:.4g} %" for arm in group.plan.arms)
    if group.rollout is not None:
        arms += f" (rollout {group.rollout.seq}, step {group.plan.step})"
    return f"{arms}; {group.withheld}" if group.withheld else arms


def in_time(load: Callable[[], Slot], seconds: float) -> Slot:
    """What `load` gives; a model that hangs while it is loaded, or ends the thread, is refused.

    Raises:
        ModelRefused: it did not return in time, or it exits.
        LifecycleError: what `load` raises.
    """
    found: list[Slot | BaseException] = []

    def work() -> None:
        try:
            found.append(load())
        except BaseException as error:  # noqa: BLE001 - is raised below
            found.append(error)

    thread = threading.Thread(target=work, name="lifecycle-load", daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise ModelRefused(f"it is not loaded after {seconds:g} s")
    if isinstance(found[0], Slot):
        return found[0]
    if isinstance(found[0], Exception):
        raise found[0]
    raise ModelRefused(f"it ends the process while it is loaded: {found[0]!r}")


def _folder(one: Slot) -> str:
    assert one.loaded.version is not None
    return copies.key(one.loaded.version)
