"""Who answers a request: everything about the arms of one model, made once for each table.

>>> from lifecycle.models.predicting import LoadedModel, Output
>>> from lifecycle.records import ModelSpec, ModelVersion, Plan
>>> from lifecycle.serve.slots import slot
>>> def version(number):
...     spec, answer = ModelSpec(1, "regression", ()), lambda columns: Output(columns["x"])
...     return slot("churn", LoadedModel(spec, "sklearn", answer, ModelVersion("churn", number)))
>>> arms = (Arm("champion", 7, 0.5), Arm("challenger", 8, 0.5))
>>> group = Group(Plan("churn", arms, salt="r"), {7: version(7), 8: version(8)})
>>> choices = Choices(group, Figures())
>>> sorted({choices.plain.drawn(f"customer-{number}").arm.name for number in range(20)})
['challenger', 'champion']

A request is read by the champion's decoder before an arm is drawn for it, so a request that cannot
be read counts for nobody. Then the arm is drawn by the routing key, by the one key that its rows
have, or at random. When another arm than the champion's fails, the champion answers.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from lifecycle.errors import ModelNotFound, ModelRefused
from lifecycle.records import Arm
from lifecycle.rollout.assignment import ASKED
from lifecycle.serve.figures import Figures
from lifecycle.serve.fitting import Turn, fitted
from lifecycle.serve.rows import Rows
from lifecycle.serve.slots import FALLBACK, Group, Slot

_random = random.random  # shares, not secrets
_STEP = 2.0**-53  # between two places; a power of two, so the product is exact


@dataclass(slots=True, eq=False)
class Route:
    """What all choices of one arm share.

    Attributes:
        counts: requests answered, failed, and answered by the champion instead; of the figures.
        drawing: the arms that one is drawn from; None: it is this one.
        backup: who answers when this one fails; None: nobody.
        turn: makes this version's rows of what the champion's decoder read; None: they are it.
    """

    counts: list[int] = field(default_factory=lambda: [0, 0, 0])
    drawing: "Drawing | None" = None
    backup: "Choice | None" = None
    turn: Turn | None = None


ALONE = Route()  # of a choice that stands in no table


@dataclass(slots=True)
class Choice:
    """Who answers a request; until an arm is drawn, who reads it. Never changed: see `keyed`."""

    slot: Slot
    arm: Arm
    step: int
    key: str | None  # the routing key
    route: Route = field(default=ALONE, repr=False, compare=False)

    def drawn(self, key: str | None = None) -> "Choice":
        """The choice of the arm that answers; itself where there is nothing to draw.

        Args:
            key: of the rows, where the request has no routing key.
        """
        drawing = self.route.drawing
        return self if drawing is None else drawing.drawn(self.key or key, self.key)

    def keyed(self, key: str | None) -> "Choice":
        """The same with a routing key."""
        return self if key is None else Choice(self.slot, self.arm, self.step, key, self.route)


@dataclass(frozen=True, slots=True)
class Drawing:
    """The arms of a plan behind each other, as `lifecycle.rollout.assignment` lays them out.

    Attributes:
        salted: the hash that `lifecycle.rollout.assignment.place` begins with.
        edges: where each arm but the champion's ends, and its choice.
        rest: the champion's.
    """

    salted: Any
    edges: Sequence[tuple[float, Choice]]
    rest: Choice

    def drawn(self, key: str | None, routed: str | None = None) -> Choice:
        """The choice of the arm that a key falls to; without one, of any.

        Args:
            key: the same key always meets the same arm.
            routed: the routing key that the choice is to have.
        """
        if key is None:
            position = _random()
        else:  # as `place`, whose hash of the salt is there already
            found = self.salted.copy()
            found.update(key.encode("utf-8", "surrogatepass"))
            position = (int.from_bytes(found.digest(), "big") >> 11) * _STEP
        one = self.rest
        for edge, choice in self.edges:
            if position < edge:
                one = choice
                break
        return one if routed is None else Choice(one.slot, one.arm, one.step, routed, one.route)


class Choices:
    """All choices of one model.

    Args:
        group: the model's plan and versions.
        figures: count what each arm answers.

    Attributes:
        plain: of a request that asks for no version and has no routing key.
        asked: of one that asks for a version by itself.
    """

    def __init__(self, group: Group, figures: Figures) -> None:
        self._group, self._figures = group, figures
        plan, champion = group.plan, group.champion
        self.plain = self._made(champion, plan.arms[0])
        self.asked = {
            version: self._made(one, Arm(ASKED, version, 0.0))
            for version, one in group.slots.items()
        }
        if not any(arm.share > 0 for arm in plan.arms[1:]):
            return
        backup = self._made(champion, Arm(FALLBACK, champion.version, 0.0))
        edges, edge = [], 0.0
        for arm in plan.arms[1:]:
            edge += arm.share
            edges.append((edge, self._backed(arm, backup)))
        salted = blake2b(f"{plan.salt}:".encode("utf-8", "surrogatepass"), digest_size=8)
        drawing = Drawing(salted, tuple(edges), self.plain)
        route = Route(self.plain.route.counts, drawing)
        self.plain = Choice(champion, plan.arms[0], plan.step, None, route)

    def of(self, key: str | None, version: int | None) -> Choice:
        """Who reads a request, and answers it where nothing is to be drawn.

        Raises:
            ModelNotFound: the version is not loaded; names those that are.
        """
        if version is None:
            return self.plain.keyed(key)
        found = self.asked.get(version)
        if found is None:
            raise ModelNotFound(
                f"version {version} is not served",
                where=self.plain.slot.model,
                fix=f"ask for one of: {', '.join(map(str, self.asked))}",
            )
        return found.keyed(key)

    def _made(self, one: Slot, arm: Arm) -> Choice:
        step = self._group.plan.step
        counts = self._figures.arm(one.model, one.version, arm.name, step)
        return Choice(one, arm, step, None, Route(counts))

    def _backed(self, arm: Arm, backup: Choice) -> Choice:
        """An arm's choice; the champion's where the arm cannot answer the champion's requests."""
        one = self._group.slots[arm.version]
        try:
            turn = fitted(self._group.champion, one)
        except ModelRefused:
            return backup
        made = self._made(one, arm)
        return Choice(one, arm, made.step, None, Route(made.route.counts, None, backup, turn))


def key_of(rows: Rows) -> str | None:
    """The key that all rows of a request share; None where they have several, or none."""
    keys = rows.key
    if keys is None:
        return None
    first = keys[0]
    return first if len(keys) == 1 or all(key == first for key in keys) else None
