"""An A/B test: two or more arms answer at once, and a metric says which of them is the best.

Shares are fixed, or Thompson's at each step of their own. The interval of the metric holds at every
look. The test finishes with the arm that is proven better than the champion and than all other
arms, or with the champion when every other arm is proven worse; `finish` moves no version, people
promote what they like. A proven harm of any guard in any arm rolls the whole back.

To name a wrong arm takes a false proof against the one that is truly the best, so that the
comparisons with that one share alpha: each of two arms is made at alpha / (arms - 1).
"""

from collections.abc import Sequence
from dataclasses import replace

from lifecycle.records import GuardEvidence, Outcome, Rollout, RolloutSpec, Tally
from lifecycle.rollout.allocation import best, shares, worth
from lifecycle.rollout.events import told
from lifecycle.rollout.guards import Watched, parse
from lifecycle.rollout.plan import check_metric, check_no_steps, check_shares
from lifecycle.rollout.strategies import Given, Strategy, Verdict
from lifecycle.rollout.weighing import weigh

MOST = 10  # arms
LEAST = 200  # units that a step of Thompson's has before the next
GROWTH = 0.2  # … and that part of all units, so that a long test has few entries in the ledger


def check(spec: RolloutSpec) -> None:
    """Refuse a test without a metric, without shares, or with steps.

    Raises:
        ConfigError: says which, and what to write.
    """
    check_no_steps(spec, "the shares of a test are those of its arms, it has no steps")
    check_shares(spec)
    check_metric(spec)


def weighed(rollout: Rollout, tallies: Sequence[Tally]) -> tuple[GuardEvidence, ...]:
    """What the tallies prove of each guard, then of the metric, one an arm each.

    Of the metric, `pass` is proven to be better than the champion; it is never a harm.
    """
    spec = replace(rollout.spec, margins=())
    metric = parse(spec.metric)
    found = weigh(spec, rollout.step, tallies, [parse(item) for item in spec.guards])
    told = weigh(spec, rollout.step, tallies, [metric])
    return (*found, *(_of_metric(item, metric) for item in told))


def onward(given: Given) -> Verdict:
    """Finish with the best arm when it is proven, else give the arms other shares or wait."""
    rollout, spec = given.rollout, given.spec
    metric = parse(spec.metric)
    found = given.evidence[-(len(spec.arms) - 1) :]
    if given.early:
        return Verdict("wait", given.early)
    winner = _winner(given, found, metric)
    if winner is not None:
        return Verdict("finish", winner.reason, best=winner.arm)
    if all(_side(item, metric) < 0 for item in found):
        reasons = "; ".join(item.reason for item in found)
        return Verdict("finish", reasons, best=rollout.champion.name)
    if spec.allocation == "thompson":
        step = _allocated(given, metric)
        if step is not None:
            return step
    better = [item.arm for item in found if item.outcome is Outcome.PASS]
    if better:
        one = " and ".join(better)
        return Verdict("wait", f"{one}: better than the champion, not yet told from other arms")
    return Verdict("wait", "; ".join(item.reason for item in found))


def _allocated(given: Given, metric: Watched) -> Verdict | None:
    """The next step of Thompson's; None while this one is young or the shares hardly change."""
    rollout = given.rollout
    here = [item for item in given.tallies if item.guard == metric.text]
    whole = sum(item.units for item in here)
    if sum(item.units for item in here if item.step == rollout.step) < max(LEAST, GROWTH * whole):
        return None
    probabilities = best(given.spec, rollout.step, here, metric)
    wanted = shares(probabilities)
    if not worth(rollout.shares, wanted):
        return None
    return Verdict(
        "step",
        f"shares follow the probability to be the best: now {told(wanted)}",
        rollout.step + 1,
        shares=wanted,
        probabilities=probabilities,
    )


def _winner(given: Given, found: Sequence[GuardEvidence], metric: Watched) -> GuardEvidence | None:
    """The arm that is better than the champion and than all others; None: none is yet."""
    for item in found:
        others = [other for other in found if other is not item]
        if item.outcome is Outcome.PASS and all(
            _beats(given, item, other, metric) for other in others
        ):
            return item
    return None


def _beats(given: Given, one: GuardEvidence, two: GuardEvidence, metric: Watched) -> bool:
    """Whether one challenger is proven better than another.

    Events of two arms are held against each other; numbers are counted against the champion's
    alone, so that their intervals must lie apart.
    """
    spec = given.spec
    if metric.kind == "event":
        pair = tuple(arm for name in (two.arm, one.arm) for arm in spec.arms if arm.name == name)
        alpha = spec.alpha / (len(spec.arms) - 1)
        between = replace(spec, arms=pair, margins=(), alpha=alpha)
        return _side(weigh(between, given.rollout.step, given.tallies, [metric])[0], metric) > 0
    if one.low is None or one.high is None or two.low is None or two.high is None:
        return False
    return one.high < two.low if metric.guard.worse > 0 else one.low > two.high


def _side(item: GuardEvidence, metric: Watched) -> int:
    """1 when an arm is proven better than the champion, -1 when worse, 0 when neither is."""
    if item.low is None or item.high is None:
        return 0
    same = 1.0 if item.kind == "event" else 0.0
    more = 1 if item.low > same else -1 if item.high < same else 0
    return -metric.guard.worse * more


def _of_metric(item: GuardEvidence, metric: Watched) -> GuardEvidence:
    side = _side(item, metric)
    said = {1: "proven to be better", -1: "proven to be worse", 0: "not told apart yet"}[side]
    what = item.reason.rpartition(", ")[0]
    return replace(
        item,
        outcome=Outcome.PASS if side > 0 else Outcome.UNSURE,
        reason=f"{item.arm}: {what}, {said}",
    )


AB = Strategy(
    "ab",
    "arms answer at once, and a metric says which is best",
    (2, MOST),
    check,
    weighed,
    onward,
    promotes=False,
)
