"""A canary: the challenger's share grows, and each step-up needs its certificate.

A rollout leaves a step when every guard that certifies has proven the challenger to be less than
the step's margin worse, the step has lasted its time, and the challenger answered something in it.
Leaving the last step is the promotion. That no harm was found is no certificate.
"""

from collections.abc import Sequence

from lifecycle.errors import ConfigError
from lifecycle.records import GuardEvidence, Outcome, Rollout, RolloutSpec, Tally
from lifecycle.rollout.events import shares_at, told
from lifecycle.rollout.guards import parse
from lifecycle.rollout.plan import check_steps
from lifecycle.rollout.strategies import Given, Strategy, Verdict
from lifecycle.rollout.weighing import weigh

MOST_TOLD = 3  # guards that a reason to wait names


def check(spec: RolloutSpec) -> None:
    """Refuse steps that cannot be followed, and a canary that nothing would ever hold back.

    Raises:
        ConfigError: says which, and what to write.
    """
    check_steps(spec)
    if spec.allocation != "fixed":
        raise ConfigError(
            f"a canary's shares are those of its steps, not {spec.allocation!r}",
            where=spec.name,
            fix="use --strategy ab, or leave out rollout.allocation",
        )
    if not spec.guards:
        raise ConfigError(
            "a canary needs a guard", where=spec.name, fix="name one, as in --guard errors"
        )
    if not any(parse(item).certify for item in spec.guards) and spec.step_seconds <= 0.0:
        raise ConfigError(
            "none of its guards gives a certificate, so each look would step up",
            where=spec.name,
            fix="add a guard such as errors, or set rollout.step_minutes",
        )


def weighed(rollout: Rollout, tallies: Sequence[Tally]) -> tuple[GuardEvidence, ...]:
    """What the tallies prove of each guard."""
    spec = rollout.spec
    return weigh(spec, rollout.step, tallies, [parse(item) for item in spec.guards])


def onward(given: Given) -> Verdict:
    """Step up or promote when all is certified; otherwise wait, and say for what."""
    rollout, spec = given.rollout, given.spec
    asked = [item for item in given.evidence if item.certificate is not None]
    lacking = [item for item in asked if item.outcome is not Outcome.PASS]
    if lacking:
        named = [_lacking(item) for item in lacking[:MOST_TOLD]]
        more = [f"and {len(lacking) - MOST_TOLD} more guards"] if len(lacking) > MOST_TOLD else []
        return Verdict("wait", "; ".join([*named, *more]))
    name = rollout.challenger.name
    answered = any(
        item.units or item.total  # of keys that were all met before, only the total is left
        for item in given.tallies
        if (item.guard, item.arm, item.step) == ("", name, rollout.step)
    )
    if not answered:
        return Verdict("wait", f"nothing was answered by the {name} at this step yet")
    if given.early:
        return Verdict("wait", given.early)
    proven = _proven(asked)
    if rollout.step >= len(spec.steps) - 1:
        return Verdict("promote", f"{proven}; that was the last step")
    step = rollout.step + 1
    return Verdict("step", f"{proven}; now {told(shares_at(spec, step))}", step)


def _lacking(item: GuardEvidence) -> str:
    certificate = max(item.certificate or 0.0, 0.0)
    return f"{item.reason} (evidence {certificate:.2f} of {item.certificate_limit:.2f})"


def _proven(asked: Sequence[GuardEvidence]) -> str:
    if not asked:
        return "the step has lasted its time and no harm was found"
    margins = sorted({item.margin for item in asked if item.margin})
    names = ", ".join(dict.fromkeys(item.guard for item in asked))
    worse = f"less than {margins[-1]:g} times worse" if margins else "harmless"
    return f"{worse} is proven of {names}"


CANARY = Strategy(
    "canary", "the challenger answers a growing share of requests", (2, 2), check, weighed, onward
)
