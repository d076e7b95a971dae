"""Which versions are loaded and who answers: an immutable table, replaced by one assignment.

>>> from lifecycle.models.predicting import Output
>>> from lifecycle.records import ModelSpec
>>> loaded = LoadedModel(ModelSpec(1, "regression", ()), "sklearn", lambda c: Output(c["x"]))
>>> table = SlotTable().with_only(slot("churn", loaded))
>>> table.first, table.find("churn").plan.arms[0].share
('churn', 1.0)

A request takes the table once and works with it to its end, so a swap never splits a request.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from lifecycle.errors import ConfigError, ModelNotFound
from lifecycle.models.predicting import LoadedModel
from lifecycle.named import nearest
from lifecycle.records import Plan, Rollout
from lifecycle.rollout.plan import CHAMPION, checked, only
from lifecycle.serve.decode import Decoder

FALLBACK = "fallback"  # the arm of a champion that stands in for another arm; it is not counted


@dataclass(frozen=True, slots=True)
class Slot:
    """One loaded version with the decoder of its signature."""

    model: str
    version: int  # 0 for a model that is not registered
    loaded: LoadedModel
    decoder: Decoder = field(repr=False)
    types: Mapping[str, str] = field(repr=False)  # MLflow's dtype by feature
    example: bytes = field(default=b"", repr=False)  # a JSON request that it has answered


@dataclass(frozen=True, slots=True)
class Group:
    """One model: its plan and a slot for every version that the plan names.

    Attributes:
        plan: who answers, by which share.
        slots: by version; also of versions that have no share.
        rollout: the open one that the plan follows; None: there is none.
        withheld: why the champion answers everything although a rollout is open; empty: it does
            not, or it is as the rollout wants it.
    """

    plan: Plan
    slots: Mapping[int, Slot]
    rollout: Rollout | None = None
    withheld: str = ""

    @property
    def champion(self) -> Slot:
        """The slot of the first arm, which reads the requests."""
        return self.slots[self.plan.arms[0].version]

    @property
    def shadow(self) -> Slot | None:
        """What answers copies of requests; None: nothing does."""
        if self.rollout is None or self.withheld or self.rollout.spec.strategy != "shadow":
            return None
        return self.slots.get(self.rollout.challenger.version)


@dataclass(frozen=True, slots=True)
class SlotTable:
    """All models of a server by name; the first is the one that a request falls to."""

    groups: Mapping[str, Group] = field(default_factory=dict)

    @property
    def first(self) -> str:
        """The name of the model that answers where none is asked for; empty when there is none."""
        return next(iter(self.groups), "")

    def find(self, name: str) -> Group:
        """A model's group.

        Raises:
            ModelNotFound: this server does not serve it; names the nearest that it does.
        """
        group = self.groups.get(name)
        if group is None:
            raise ModelNotFound(
                f"model {name[:100]!r} is not served here; {nearest(name[:100], self.groups)}"
            )
        return group

    def with_group(
        self,
        plan: Plan,
        slots: Mapping[int, Slot],
        *,
        rollout: Rollout | None = None,
        withheld: str = "",
    ) -> "SlotTable":
        """A table in which one model has another plan and other slots; see `Group`.

        Raises:
            ConfigError: the plan is not valid, or names a version that has no slot.
        """
        return self.placed(Group(plan, MappingProxyType(dict(slots)), rollout, withheld))

    def placed(self, group: Group) -> "SlotTable":
        """A table in which one model is served by another group.

        Raises:
            ConfigError: its plan is not valid, or names a version that has no slot.
        """
        for arm in checked(group.plan).arms:
            if arm.version not in group.slots:
                raise ConfigError(f"version {arm.version} is not loaded", where=group.plan.model)
        return SlotTable(MappingProxyType({**self.groups, group.plan.model: group}))

    def with_only(self, one: Slot, *, arm: str = CHAMPION) -> "SlotTable":
        """A table in which one version answers everything of its model."""
        return self.with_group(only(one.model, one.version, arm=arm), {one.version: one})


def slot(model: str, loaded: LoadedModel) -> Slot:
    """A loaded model made ready to answer requests: its signature is compiled here.

    Args:
        model: the name that it is served under.
        loaded: the model.
    """
    types = MappingProxyType({column.name: column.dtype for column in loaded.spec.features})
    version = loaded.version.version if loaded.version else 0
    return Slot(
        model, version, loaded, Decoder(loaded.spec, loaded.parameters, loaded.forms), types
    )
