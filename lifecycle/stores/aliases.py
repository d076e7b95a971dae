"""MLflow's aliases of a model beside what the ledger says of them.

>>> model = Model("churn", {"champion": 2}, {}, (), Standing(), "none", {})
>>> warnings(model)
()

The ledger is the truth about stages and rollouts; an alias that somebody set by hand is told of,
not followed.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lifecycle.records import Entry, ModelVersion
from lifecycle.records.rollouts import FINISHED, Rollout
from lifecycle.rollout.events import KIND, LEASE
from lifecycle.rollout.events import SHADOW as SHADOW_ARM
from lifecycle.rollout.state import rollouts
from lifecycle.stages import ORDER, STAGING, Standing
from lifecycle.stores.tracking import answers

if TYPE_CHECKING:
    from mlflow import MlflowClient

STAGE = "lifecycle.stage"  # tag of a version
CHALLENGER = "challenger"  # alias of what is rolled out, else of what a retraining made last
SHADOW = "shadow"  # alias of what answers copies of requests
ROLLOUT = "lifecycle.rollout"  # tag of the registered model and of versions: how a rollout stands
PROJECTED = "lifecycle.projected"  # tag of the registered model: the last entry that was projected
UNSPOKEN = "nothing was promoted through the ledger yet"
MOST_REASON = 500  # characters of a reason in a tag
MENDED = "the next verb, or `lifecycle doctor --fix`, brings them in line"


@dataclass(frozen=True)
class Model:
    """A registered model as MLflow has it, and what the ledger says."""

    name: str
    aliases: Mapping[str, int]
    tags: Mapping[str, str]
    entries: tuple[Entry, ...]
    now: Standing
    first: str  # the stage of a version that nothing has moved
    births: Mapping[int, Entry]
    order: Sequence[str] = ORDER  # the stages

    @cached_property
    def rollouts(self) -> tuple[Rollout, ...]:
        """All that there were, oldest first."""
        return rollouts(self.entries, self.order)

    @cached_property
    def changed(self) -> int:
        """The last entry that aliases and tags follow; 0: there is none."""
        seen = (entry.seq for entry in reversed(self.entries) if _shown(entry))
        return max(self.now.moved, next(seen, 0))

    @property
    def trying(self) -> bool:
        """Whether a rollout is open."""
        return bool(self.rollouts) and self.rollouts[-1].open

    @property
    def lagging(self) -> bool:
        """Whether the last move has not reached the aliases: its writer was killed."""
        return self.changed > followed(self.tags)

    @cached_property
    def expected(self) -> dict[str, int | None]:
        """What the ledger says of the aliases that are ours."""
        return {
            "previous": self.now.previous,
            "champion": self.now.production,
            STAGING: self.now.staging,
            **tried(self.entries, self.rollouts, self.now.production),
        }


def follow(client: "MlflowClient", model: Model, versions: Iterable[Any]) -> None:
    """Write what differs from the ledger; the order is told in `registry.project`.

    Args:
        client: what `connect` gave.
        model: as it was read.
        versions: MLflow's, all of them.

    Raises:
        RegistryError: MLflow refused a write; RegistryUnavailable: no answer in time.
    """
    name, last = model.name, model.entries[-1].seq
    found = {int(item.version): item for item in versions}
    with answers(name):
        for alias, version in model.expected.items():
            present = model.aliases.get(alias)
            if version is not None and version in found and present != version:
                client.set_registered_model_alias(name, alias, str(version))
            elif version is None and present is not None and ours(model, alias):
                client.delete_registered_model_alias(name, alias)
        for number, stage in model.now.stages.items():
            if number in found and found[number].tags.get(STAGE) != stage:
                client.set_model_version_tag(name, str(number), STAGE, stage)
        for number, said in said_of_versions(model.rollouts).items():
            if number in found and found[number].tags.get(ROLLOUT) != said:
                client.set_model_version_tag(name, str(number), ROLLOUT, said)
        said = said_of_model(model.rollouts)
        if said and model.tags.get(ROLLOUT) != said:
            client.set_registered_model_tag(name, ROLLOUT, said)
        if followed(model.tags) < last:
            client.set_registered_model_tag(name, PROJECTED, str(last))


@dataclass(frozen=True)
class Listing:
    """What MLflow has of a model: its versions, and the last entry that its aliases followed."""

    versions: tuple[ModelVersion, ...]
    projected: int


def warnings(model: Model) -> tuple[str, ...]:
    """What MLflow's aliases say that the ledger does not; empty when they agree."""
    if not model.entries:
        return ()
    if model.lagging:
        return (f"the aliases lag behind entry {model.changed} of the ledger; {MENDED}",)
    said = []
    for alias, version in model.expected.items():
        present = model.aliases.get(alias)
        if present == version or (present is None and alias == CHALLENGER and not model.trying):
            continue  # with a version that is deleted its alias goes, too
        if not ours(model, alias):
            said.append(f"alias {alias} was set by hand to {model.name}/{present}: {UNSPOKEN}")
            continue
        shown = f"was set by hand to {model.name}/{present}" if present else "was removed by hand"
        meant = f"{model.name}/{version}" if version else "nothing"
        said.append(
            f"alias {alias} {shown}; the ledger says {meant}, and that is what we follow"
            " (`lifecycle doctor --fix` restores it)"
        )
    return tuple(said)


def ours(model: Model, alias: str) -> bool:
    """Whether the ledger speaks for this alias: for the champion once something was promoted."""
    if alias in (CHALLENGER, SHADOW):
        return alias in model.expected
    return model.now.promoted if alias != STAGING else model.now.moved > 0


def tried(
    entries: Sequence[Entry], found: Sequence[Rollout], production: int | None
) -> dict[str, int | None]:
    """Which version the ledger calls challenger and shadow; an alias that it never named is absent.

    >>> tried([], [], None)
    {}

    An open rollout names its challenger. Without one it is what the last retraining made, unless
    that is in production or was rolled out since and did not finish well.

    Args:
        entries: all entries.
        found: the rollouts that they tell of.
        production: the version in production.
    """
    made = next(
        (item for item in reversed(entries) if item.kind == "retrain" and item.to == CHALLENGER),
        None,
    )
    named: dict[str, int | None] = {}
    if any(_alias(item) == SHADOW for item in found):
        named[SHADOW] = None
    if made is not None or any(_alias(item) == CHALLENGER for item in found):
        since = [item for item in found if made and item.seq > made.seq and not item.open]
        lost = [
            item.challenger.version
            for item in since
            if _alias(item) == CHALLENGER or item.status != FINISHED
        ]
        version = made.version if made else None
        named[CHALLENGER] = None if version in (production, *lost) else version
    if found and found[-1].open:
        named[_alias(found[-1])] = found[-1].challenger.version
    return named


def said_of_versions(found: Iterable[Rollout]) -> dict[int, str]:
    """The tag of each version that was tried: how its last rollout stands, and why."""
    return {
        arm.version: f"{item.status}: {item.reason}"[:MOST_REASON] if item.reason else item.status
        for item in found
        for arm in item.spec.arms[1:]
    }


def said_of_model(found: Sequence[Rollout]) -> str:
    """The tag of the model: the last rollout as compact JSON; empty when there was none."""
    if not found:
        return ""
    last = found[-1]
    told = {
        "seq": last.seq,
        "strategy": last.spec.strategy,
        "status": last.status,
        "step": last.step,
        "shares": [round(share, 6) for share in last.shares],
    }
    return json.dumps(told, sort_keys=True, separators=(",", ":"))


def _alias(rollout: Rollout) -> str:
    return SHADOW if rollout.challenger.name == SHADOW_ARM else CHALLENGER


def _shown(entry: Entry) -> bool:
    """Whether an alias or a tag may follow an entry that moves no version."""
    if entry.kind == "retrain":
        return entry.to == CHALLENGER
    return entry.kind == KIND and entry.extra.get("event") != LEASE


def followed(tags: Mapping[str, str]) -> int:
    """The number of the last entry that aliases and tags were brought in line with.

    >>> followed({PROJECTED: "12"}), followed({})
    (12, 0)
    """
    text = tags.get(PROJECTED, "")
    return int(text) if text.isdigit() else 0
