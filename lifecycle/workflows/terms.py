"""What is agreed before a rollout begins: who takes part, which shares, what is watched.

>>> from lifecycle.config import Config
>>> terms = Terms(strategy="canary", steps=(5, 50, 100), guards=("errors",))
>>> agreed = spec_for(Config(name="churn"), terms, champion=7, others=(8,), guards=("errors",))
>>> agreed.steps, [arm.name for arm in agreed.arms]
((0.05, 0.5, 1.0), ['champion', 'challenger'])
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

from lifecycle.config import Config
from lifecycle.errors import ConfigError, TransitionRefused
from lifecycle.gates.signature import differences
from lifecycle.records import Arm, ModelSpec, RolloutSpec
from lifecycle.rollout.events import SHADOW
from lifecycle.rollout.plan import checked_spec, cut_margins


@dataclass(frozen=True)
class Terms:
    """What was asked for; what is empty the configuration says.

    Attributes:
        strategy: shadow, canary or ab.
        steps: percent of requests that the challenger answers; A/B: percent of each challenger.
        guards: as `lifecycle.rollout.guards.parse` reads them.
        metric: A/B: the guard whose value is to improve.
    """

    strategy: str = ""
    steps: Sequence[float] = ()
    guards: Sequence[str] = ()
    metric: str = ""


def spec_for(
    config: Config,
    terms: Terms,
    *,
    champion: int,
    others: Sequence[int],
    guards: Sequence[str],
) -> RolloutSpec:
    """The specification that follows from what was asked for and the configuration.

    Args:
        config: `[rollout]`.
        terms: what was asked for.
        champion: the version in production.
        others: the challengers.
        guards: one a value, as `expand` gives them.

    Raises:
        ConfigError: the strategy is unknown, or shares, steps or settings make no sense.
    """
    rules, name = config.rollout, terms.strategy or config.rollout.strategy
    spec = RolloutSpec(
        name=config.name,
        strategy=name,
        arms=_arms(name, terms.steps, champion, others),
        guards=tuple(guards),
        metric=terms.metric,
        alpha=rules.alpha,
        salt=uuid.uuid4().hex[:12],
        step_seconds=60.0 * rules.step_minutes,
        max_seconds=3600.0 * rules.max_hours,
        at_end=rules.at_end,
    )
    if name == "shadow":
        limits = {"differing": rules.differing, "shift": rules.shift, "scale": rules.scale}
        spec = replace(spec, sample=rules.sample / 100.0, limits=limits)
    elif name == "ab":
        spec = replace(spec, allocation=rules.allocation)
    else:
        steps = tuple(_share(item) for item in terms.steps or rules.steps)
        margins = cut_margins(rules.margins, steps)
        spec = replace(spec, steps=steps, margins=margins, hold_back=_share(rules.hold_back))
    return checked_spec(spec)


def _arms(
    strategy: str, steps: Sequence[float], champion: int, others: Sequence[int]
) -> tuple[Arm, ...]:
    if strategy == "shadow":
        if len(others) > 1:
            raise ConfigError("one version answers copies at a time", fix="leave out --also")
        return (Arm("champion", champion, 1.0), Arm(SHADOW, others[0], 0.0))
    names = ["challenger", *(f"challenger-{at}" for at in range(2, len(others) + 1))]
    if strategy != "ab":
        if len(others) > 1:
            raise ConfigError(
                f"strategy {strategy!r} tries one version",
                fix="leave out --also, or use --strategy ab for several",
            )
        return (Arm("champion", champion, 0.0), Arm(names[0], others[0], 0.0))
    shares = [_share(item) for item in steps] or [1.0 / (1 + len(others))] * len(others)
    if len(shares) == 1:
        shares *= len(others)
    rest = 1.0 - sum(shares)
    if len(shares) != len(others) or rest <= 0:
        raise ConfigError(
            f"the shares {_listed(steps)} do not suit {len(others)} challengers:"
            " with the champion's they must add up to 100 percent",
            where="--steps",
            fix="give one share a challenger, together less than 100",
        )
    arms = [Arm(*item) for item in zip(names, others, shares, strict=True)]
    return (Arm("champion", champion, round(rest, 12)), *arms)


def _share(percent: float) -> float:
    """A share from percent.

    Raises:
        ConfigError: it is none.
    """
    if not isfinite(percent) or not 0.0 <= percent <= 100.0:
        raise ConfigError(
            f"{percent:g} is no percentage", where="[rollout]", fix="write 0 … 100, as in 1,5,25"
        )
    return round(percent / 100.0, 12)


def check_suits(champion: ModelSpec, challenger: ModelSpec, where: str) -> None:
    """Refuse a challenger that the champion's requests do not suffice.

    It may leave inputs out that the champion takes; it may not need others.

    Raises:
        TransitionRefused: names every difference.
    """
    taken = set(challenger.feature_names)
    shared = tuple(item for item in champion.features if item.name in taken)
    found = differences(replace(champion, features=shared), challenger)
    if found:
        raise TransitionRefused(
            f"the champion's requests do not suit it: {'; '.join(found)}",
            where=where,
            fix="train it on the champion's inputs, or promote it once callers send its own",
        )


def _listed(values: Sequence[float]) -> str:
    return " + ".join(f"{item:g}" for item in values)
