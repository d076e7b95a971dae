"""What a rollout will be able to find, before anything moves.

>>> from lifecycle.records import RolloutPlan, RolloutSpec, Arm
>>> spec = RolloutSpec("churn", "canary", (Arm("champion", 7, 1.0), Arm("challenger", 8, 0.0)))
>>> plan(RolloutPlan(spec, None)).title
'churn: what a canary of version 8 against version 7 would find'
"""

from lifecycle.records import Forecast, RolloutPlan
from lifecycle.views.layout import UNSURE, Sheet, number
from lifecycle.views.rollout_sheets import listed

HEADERS = ("what", "the champion's", "found after", "which takes", "users exposed")


def plan(record: RolloutPlan) -> Sheet:
    """The sheet of a plan: harms that it will find, then how long each step takes."""
    spec = record.spec
    kind = {"ab": "n A/B test"}.get(spec.strategy, f" {spec.strategy}")
    tried = " and ".join(str(arm.version) for arm in spec.arms[1:])
    against = f"version {spec.arms[0].version}"
    harms = [_row(one, _harm(one)) for one in record.harms]
    steps = [_row(one, _step(spec.steps, at, one)) for at, one in enumerate(record.steps)]
    found = (*record.harms, *record.steps)
    return Sheet(
        f"{spec.name}: what a{kind} of version {tried} against {against} would find",
        headers=HEADERS if harms or steps else (),
        rows=[*harms, *steps],
        marks=[UNSURE if one.requests is None else "" for one in found],
        facts=tuple(_facts(record)),
        notes=[
            *record.notes,
            "medians, at the traffic that was logged; nothing was moved or recorded",
        ],
    )


def _facts(record: RolloutPlan) -> list[tuple[str, str]]:
    spec = record.spec
    known = "nothing was logged" if record.per_day is None else f"{record.per_day:,.0f} a day"
    facts = [("requests", known)]
    if len(spec.steps) > 1:
        facts.append(("steps", " → ".join(f"{100 * share:g}" for share in spec.steps) + " %"))
    if spec.guards:
        facts.append(("guards", listed(spec.guards)))
        facts.append(("alpha", f"{spec.alpha:g}, of all guards together"))
    return facts


def _harm(one: Forecast) -> str:
    if one.ratio < 1:
        return f"{one.guard}: {1 / one.ratio:g} times better"
    return f"{one.guard}: {one.ratio:g} times as {'many' if one.kind == 'event' else 'much'}"


def _step(steps: tuple[float, ...], at: int, one: Forecast) -> str:
    if not steps:
        return f"pass: {one.guard} proven to be within its limit"
    if not one.guard:
        return f"leave {100 * steps[at]:g} %: after its time"
    share = f"{100 * steps[at]:g} %" if at < len(steps) else f"step {at + 1}"
    return f"leave {share}: {one.guard} proven below {one.ratio:g} times"


def _row(one: Forecast, what: str) -> tuple[str, ...]:
    if one.requests is None:
        return (what, _rate(one), "never", "", "")
    return (
        what,
        _rate(one),
        f"{one.requests:,.0f} requests",
        lasting(one.days),
        "" if one.exposed is None else f"{one.exposed:,.0f}",
    )


def lasting(days: float | None) -> str:
    """A time in the unit that people would use.

    >>> lasting(1.5), lasting(0.25), lasting(0.01), lasting(1e-5), lasting(None)
    ('1.5 days', '6 h', '14 min', 'under a minute', '')
    """
    if days is None:
        return ""
    minutes = days * 1440
    if minutes < 1:
        return "under a minute"
    if minutes < 90:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.2g} h" if minutes < 36 * 60 else f"{days:.2g} days"


def _rate(one: Forecast) -> str:
    if one.rate is None:
        return "unknown"
    return f"{100 * one.rate:.3g} %" if one.kind == "event" else number(one.rate, 3)
