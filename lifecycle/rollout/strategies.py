"""How a version is tried: one row of `STRATEGIES` a strategy.

>>> strategy_of("canary").about
'the challenger answers a growing share of requests'
>>> strategy_of("canry")
Traceback (most recent call last):
    ...
lifecycle.errors.ConfigError: unknown strategy 'canry'; did you mean 'canary'? \
Known: ab, canary, shadow. Next: name one of these, or your own as "module:attribute".

What all strategies have in common, `deciding.decide` does: requests that do not fall to arms as
planned hold a rollout, a proven harm rolls it back, and its longest duration ends it. A strategy
says what is weighed and what follows when none of these speaks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lifecycle.errors import ConfigError
from lifecycle.named import named
from lifecycle.records import GuardEvidence, Outcome, Rollout, RolloutSpec, Tally

STRATEGIES = {
    "shadow": "lifecycle.rollout.shadow:SHADOW",
    "canary": "lifecycle.rollout.canary:CANARY",
    "ab": "lifecycle.rollout.ab:AB",
}


@dataclass(frozen=True)
class Verdict:
    """What a strategy does next.

    Attributes:
        action: wait, step, promote, rollback, hold or finish.
        reason: for people; what is still missing where it waits.
        to_step: the step that begins.
        shares: of the arms, where they are others than the spec's at that step.
        best: the arm that is proven better.
        probabilities: that each arm is the best, where the shares were made of them.
        outcome: what it means where it is not what the action says.
    """

    action: str
    reason: str
    to_step: int | None = None
    shares: tuple[float, ...] = ()
    best: str = ""
    probabilities: tuple[float, ...] = ()
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Given:
    """What a strategy decides upon.

    Attributes:
        rollout: as the ledger has it.
        tallies: what was counted since it began.
        evidence: what these prove.
        waited: seconds since the step began.
    """

    rollout: Rollout
    tallies: Sequence[Tally]
    evidence: tuple[GuardEvidence, ...]
    waited: float

    @property
    def spec(self) -> RolloutSpec:
        """What was agreed."""
        return self.rollout.spec

    @property
    def early(self) -> str:
        """Why the step must last longer; empty: it has lasted."""
        left = self.spec.step_seconds - self.waited
        return f"the step lasts {left:.0f} s more" if left > 0 else ""


@dataclass(frozen=True)
class Strategy:
    """A way to try a version.

    Attributes:
        name: as users write it.
        about: one line for people.
        arms: how many there may be, with the champion's.
        check: refuses a spec with a ConfigError.
        weigh: what the tallies prove; an outcome `fail` is a proven harm.
        onward: what to do when nothing is harmful and time is left.
        counts: whether its arms answer requests, so that they must fall to arms as planned.
        promotes: whether its end is a promotion; otherwise it just finishes.
    """

    name: str
    about: str
    arms: tuple[int, int]
    check: Callable[[RolloutSpec], None]
    weigh: Callable[[Rollout, Sequence[Tally]], tuple[GuardEvidence, ...]]
    onward: Callable[[Given], Verdict]
    counts: bool = True
    promotes: bool = True


def strategy_of(name: str) -> Strategy:
    """The strategy of a name.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    found = named(name, STRATEGIES, kind="strategy")
    if isinstance(found, Strategy):
        return found
    raise ConfigError(
        f"strategy {name!r} is no Strategy",
        where=name,
        fix="see lifecycle.rollout for how to write one",
    )
