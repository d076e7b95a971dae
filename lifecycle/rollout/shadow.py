"""A shadow: the challenger answers copies of requests, and nobody sees what it says.

It finishes when every comparison with the champion's answers is proven to be within its limit, and
is rolled back when one is proven to be outside. Labels that are too few for a proof of their own
hold it back no longer than that.
"""

from collections.abc import Sequence

from lifecycle.errors import ConfigError
from lifecycle.named import nearest
from lifecycle.records import GuardEvidence, Outcome, Rollout, RolloutSpec, Tally
from lifecycle.rollout.events import SHADOW as ARM
from lifecycle.rollout.plan import check_no_steps
from lifecycle.rollout.shadowing import LIMITS, judge
from lifecycle.rollout.strategies import Given, Strategy, Verdict

BY_LABELS = ("label_error", "error_size")


def check(spec: RolloutSpec) -> None:
    """Refuse a shadow with steps, another arm than `shadow`, or limits that there are not.

    Raises:
        ConfigError: says which, and what to write.
    """
    check_no_steps(spec, "a shadow answers nobody and so has no steps")
    if spec.arms[1].name != ARM:
        raise ConfigError(
            f"the arm of a shadow is {spec.arms[1].name!r}", where=spec.name, fix=f"name it {ARM!r}"
        )
    for name in spec.limits:
        if name not in LIMITS:
            raise ConfigError(f"unknown limit {name!r}; {nearest(name, LIMITS)}", where=spec.name)


def weighed(rollout: Rollout, tallies: Sequence[Tally]) -> tuple[GuardEvidence, ...]:
    """What the pairs of answers prove, one a comparison."""
    return judge(rollout.spec, tallies)


def onward(given: Given) -> Verdict:
    """Finish when all comparisons passed; otherwise wait, and say for which."""
    compared = [item for item in given.evidence if item.guard not in BY_LABELS]
    if not compared:
        return Verdict("wait", "no request was answered by both versions yet")
    lacking = [item for item in compared if item.outcome is not Outcome.PASS]
    if lacking:
        return Verdict("wait", "; ".join(map(_lacking, lacking)))
    if given.early:
        return Verdict("wait", given.early)
    passed = [item for item in given.evidence if item.outcome is Outcome.PASS]
    return Verdict("finish", "; ".join(f"{item.guard}: {item.reason}" for item in passed))


def _lacking(item: GuardEvidence) -> str:
    evidence = max(item.certificate or 0.0, 0.0)
    return f"{item.guard}: {item.reason} ({evidence:.2f} of {item.certificate_limit:.2f})"


SHADOW = Strategy(
    "shadow",
    "the challenger answers copies of requests, which nobody sees",
    (2, 2),
    check,
    weighed,
    onward,
    counts=False,
    promotes=False,
)
