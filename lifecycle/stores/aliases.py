"""MLflow's aliases of a model beside what the ledger says of them.

>>> model = Model("churn", {"champion": 2}, {}, (), Standing(), "none", {})
>>> warnings(model)
()

The ledger is the truth about stages; an alias that somebody set by hand is told of, not followed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lifecycle.records import Entry, ModelVersion
from lifecycle.stages import STAGING, Standing
from lifecycle.stores.tracking import answers

if TYPE_CHECKING:
    from mlflow import MlflowClient

STAGE = "lifecycle.stage"  # tag of a version
CHALLENGER = "challenger"  # alias of the last version that a retraining made and the gates passed
PROJECTED = "lifecycle.projected"  # tag of the registered model: the last entry that was projected
UNSPOKEN = "nothing was promoted through the ledger yet"
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

    @property
    def lagging(self) -> bool:
        """Whether the last move has not reached the aliases: its writer was killed."""
        return self.now.moved > followed(self.tags)

    @property
    def expected(self) -> dict[str, int | None]:
        """What the ledger says of the aliases that are ours."""
        return {
            "previous": self.now.previous,
            "champion": self.now.production,
            STAGING: self.now.staging,
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
        if model.now.production and model.aliases.get(CHALLENGER) == model.now.production:
            client.delete_registered_model_alias(name, CHALLENGER)  # it has won
        for number, stage in model.now.stages.items():
            if number in found and found[number].tags.get(STAGE) != stage:
                client.set_model_version_tag(name, str(number), STAGE, stage)
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
        return (f"the aliases lag behind entry {model.now.moved} of the ledger; {MENDED}",)
    said = []
    for alias, version in model.expected.items():
        present = model.aliases.get(alias)
        if present == version:
            continue
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
    return model.now.promoted if alias != STAGING else model.now.moved > 0


def followed(tags: Mapping[str, str]) -> int:
    """The number of the last entry that aliases and tags were brought in line with.

    >>> followed({PROJECTED: "12"}), followed({})
    (12, 0)
    """
    text = tags.get(PROJECTED, "")
    return int(text) if text.isdigit() else 0
