"""What a plan of arms is, which plans are valid, and what a rollout may be asked to do.

>>> only("churn", 7).arms
(Arm(name='champion', version=7, share=1.0),)
>>> pair = (Arm("champion", 7, 0.0), Arm("challenger", 7, 0.0))
>>> checked_spec(RolloutSpec("churn", "canary", pair, steps=(1.0,)))
Traceback (most recent call last):
    ...
lifecycle.errors.ConfigError: version 7 is the champion itself (churn). Next: name another version.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import isclose, isfinite

from lifecycle.errors import ConfigError
from lifecycle.named import nearest
from lifecycle.records import Arm, Plan, RolloutSpec

CHAMPION = "champion"
AT_END = ("hold", "rollback", "promote")
ALLOCATIONS = ("fixed", "thompson")


def only(model: str, version: int, *, arm: str = CHAMPION) -> Plan:
    """The plan in which one version answers everything.

    >>> only("churn", 7).arms[0].share
    1.0

    Args:
        model: the registered model's name.
        version: the version that answers.
        arm: the arm's name, as it stands in the prediction log.
    """
    return Plan(model, (Arm(arm, version, 1.0),))


def checked(plan: Plan) -> Plan:
    """The plan itself when it is valid.

    The first arm takes what the others leave, so the shares must add up to 1.

    >>> checked(Plan("churn", (Arm("champion", 7, 0.9), Arm("challenger", 8, 0.1)))).step
    0

    Raises:
        ConfigError: no arms, an arm named twice, a share outside 0 … 1, or a sum other than 1.
    """
    if not plan.arms:
        raise ConfigError("the plan has no arms", where=plan.model, fix="name at least one version")
    _check_names(plan.arms, plan.model)
    _check_shares(plan.arms, plan.model)
    return plan


def checked_spec(spec: RolloutSpec) -> RolloutSpec:
    """The spec itself when a rollout may follow it.

    Raises:
        ConfigError: names what is wrong and what is allowed: an unknown strategy, guard or metric
            (and the nearest), a version that stands in two arms, steps that do not rise, shares
            that do not add up to 1, margins that nothing could meet, and what else cannot be.
    """
    from lifecycle.rollout.strategies import strategy_of

    where = spec.name
    strategy = strategy_of(spec.strategy)
    _check_arms(spec, strategy.arms)
    _check_guards(spec.guards, where)
    _check_numbers(spec)
    strategy.check(spec)
    return spec


def cut_margins(margins: Sequence[float], steps: Sequence[float]) -> tuple[float, ...]:
    """As many margins as there are steps: the last, which are the strictest, are kept.

    >>> cut_margins((5.0, 2.0, 1.5, 1.25), (0.1, 1.0))
    (1.5, 1.25)

    For settings that were made for other steps; margins that people give with the steps are not
    cut but refused.
    """
    return tuple(margins[-len(steps) :]) if steps else ()


def check_no_steps(spec: RolloutSpec, why: str) -> None:
    """Refuse steps where a strategy has none.

    Raises:
        ConfigError: says why it has none.
    """
    if spec.steps:
        raise ConfigError(why, where=spec.name, fix="leave the steps out, or use --strategy canary")


def check_steps(spec: RolloutSpec) -> None:
    """Refuse steps and margins that no rollout in steps could follow."""
    where = spec.name
    if not spec.steps:
        raise ConfigError("there are no steps", where=where, fix="give them as in --steps 5,25,100")
    for share in spec.steps:
        if not (isfinite(share) and 0.0 < share <= 1.0):
            raise ConfigError(
                f"a step has the share {100 * share:g} %",
                where=where,
                fix="write percent above 0 and up to 100",
            )
    for low, high in pairwise(spec.steps):
        if high <= low:
            raise ConfigError(
                f"the steps do not rise: {100 * high:g} % comes after {100 * low:g} %",
                where=where,
                fix="write them from the smallest share to the largest",
            )
    last = min(spec.steps[-1], 1.0 - spec.hold_back)
    if len(spec.steps) > 1 and last <= spec.steps[-2]:
        raise ConfigError(
            f"with a hold-back of {100 * spec.hold_back:g} % the last step"
            f" is not above {100 * spec.steps[-2]:g} %",
            where=where,
            fix="lower rollout.hold_back, or leave out the step before the last",
        )
    if len(spec.margins) > len(spec.steps):
        raise ConfigError(
            f"there are {len(spec.margins)} margins for {len(spec.steps)} steps",
            where=where,
            fix="give one margin a step or fewer; the last one holds for the steps after it",
        )
    for margin in spec.margins:
        if not (isfinite(margin) and margin > 1.0):
            raise ConfigError(
                f"the margin {margin:g} cannot be proven even of an equal version",
                where=where,
                fix="write how many times worse is still allowed, above 1, as in 1.25",
            )


def check_shares(spec: RolloutSpec) -> None:
    """Refuse arms of a test whose shares are no division of the requests."""
    for arm in spec.arms:
        if isfinite(arm.share) and arm.share <= 0.0:
            raise ConfigError(
                f"arm {arm.name!r} has the share {arm.share:g}",
                where=spec.name,
                fix="give each arm a share above 0",
            )
    _check_shares(spec.arms, spec.name)


def check_metric(spec: RolloutSpec) -> None:
    """Refuse a metric that is none, or of which neither more nor less is better."""
    from lifecycle.rollout.guards import GUARDS, parse

    if not spec.metric:
        raise ConfigError(
            "a test needs a metric that is to improve",
            where=spec.name,
            fix=f"name one of {', '.join(sorted(GUARDS))}, as in --metric label",
        )
    watched = parse(spec.metric)
    if watched.column and watched.value is None:
        raise ConfigError(
            f"metric {spec.metric!r} names a column and no value of it",
            where=spec.name,
            fix=f"write it as {watched.guard.name}:{watched.column}=VALUE",
        )
    if watched.guard.worse == 0:
        raise ConfigError(
            f"of metric {spec.metric!r} neither more nor less is better",
            where=spec.name,
            fix="name another, or one of your own whose Guard says `worse`",
        )


def _check_arms(spec: RolloutSpec, allowed: tuple[int, int]) -> None:
    where, arms = spec.name, spec.arms
    least, most = allowed
    if not least <= len(arms) <= most:
        raise ConfigError(
            f"{spec.strategy} takes {least - 1 if least == most else f'{least - 1} to {most - 1}'}"
            f" version{'s' if most > 2 else ''} beside the champion, not {len(arms) - 1}",
            where=where,
            fix="compare several versions with --strategy ab" if most == 2 else "name the versions",
        )
    if arms[0].name != CHAMPION:
        raise ConfigError(
            f"the first arm is {arms[0].name!r}", where=where, fix=f"name it {CHAMPION!r}"
        )
    _check_names(arms, where)
    for at, arm in enumerate(arms):
        if arm.version == arms[0].version and at > 0:
            raise ConfigError(
                f"version {arm.version} is the champion itself",
                where=where,
                fix="name another version",
            )
        if arm.version in [item.version for item in arms[:at]]:
            raise ConfigError(
                f"version {arm.version} stands in two arms", where=where, fix="name it once"
            )


def _check_names(arms: Sequence[Arm], where: str) -> None:
    names = [arm.name for arm in arms]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(
                f"arm {name!r} is named twice", where=where, fix="give each arm a name"
            )


def _check_shares(arms: Sequence[Arm], where: str) -> None:
    for arm in arms:
        if not (isfinite(arm.share) and 0.0 <= arm.share <= 1.0):
            raise ConfigError(
                f"arm {arm.name!r} has the share {arm.share}",
                where=where,
                fix="write a share between 0 and 1",
            )
    total = sum(arm.share for arm in arms)
    if not isclose(total, 1.0, abs_tol=1e-9):
        raise ConfigError(
            f"the shares add up to {total:g}", where=where, fix="make them add up to 1"
        )


def _check_guards(guards: Sequence[str], where: str) -> None:
    from lifecycle.rollout.guards import parse

    for at, text in enumerate(guards):
        watched = parse(text)
        if watched.column and watched.value is None:
            raise ConfigError(
                f"guard {text!r} names a column and no value of it",
                where=where,
                fix=f"write it as {watched.guard.name}:{watched.column}=VALUE",
            )
        if text in guards[:at]:
            raise ConfigError(f"guard {text!r} is named twice", where=where, fix="name it once")


def _check_numbers(spec: RolloutSpec) -> None:
    where = spec.name
    if not 0.0 < spec.alpha < 1.0:
        raise ConfigError(
            f"alpha is {spec.alpha:g}", where=where, fix="write a share between 0 and 1, as in 0.05"
        )
    if not 0.0 <= spec.hold_back < 1.0:
        raise ConfigError(
            f"the hold-back is {100 * spec.hold_back:g} %",
            where=where,
            fix="write percent from 0 to below 100",
        )
    if not 0.0 < spec.sample <= 1.0:
        raise ConfigError(
            f"the sample is {100 * spec.sample:g} %",
            where=where,
            fix="write percent above 0 and up to 100",
        )
    for name, value in (("step", spec.step_seconds), ("rollout", spec.max_seconds)):
        if not (isfinite(value) and value >= 0.0):
            raise ConfigError(
                f"a {name} lasts {value:g} seconds", where=where, fix="write 0 or more"
            )
    least = spec.step_seconds * max(len(spec.steps), 1)
    if 0.0 < spec.max_seconds < least:
        raise ConfigError(
            f"its steps take {least:g} seconds at least, and it may last {spec.max_seconds:g}",
            where=where,
            fix="raise rollout.max_hours or lower rollout.step_minutes",
        )
    for name, text, known in (
        ("at_end", spec.at_end, AT_END),
        ("allocation", spec.allocation, ALLOCATIONS),
    ):
        if text not in known:
            raise ConfigError(f"{name} is {text!r}; {nearest(text, known)}", where=where)
    for limit, value in spec.limits.items():
        if not (isfinite(value) and value >= 0.0):
            raise ConfigError(
                f"the limit of {limit!r} is {value:g}",
                where=where,
                fix="write a number of 0 or more",
            )
