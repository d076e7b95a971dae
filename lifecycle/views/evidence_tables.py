"""What is proven of each guard, as a table: rates, their ratio, and evidence against its limit.

>>> one = GuardEvidence("errors", "challenger", "event", harm=2.05, harm_limit=4.1)
>>> table([one], None)["rows"][0][4]
Gauge(share=0.5, words='2.0 of 4.1', mark='unsure')
"""

from collections.abc import Callable, Sequence
from math import exp, isfinite
from typing import Any

from lifecycle.records import GuardEvidence, Outcome, RolloutSpec
from lifecycle.views.layout import (
    BAD,
    GOOD,
    MARKS,
    PLAIN,
    UNSURE,
    Cell,
    Gauge,
    count,
    middle,
    number,
)
from lifecycle.views.rollout_series import LOGARITHMIC, unit_of

SHADOW_ARM = "shadow"  # of which milliseconds are told, and not their logarithms
ASSIGNMENT = "assignment"  # the check that arms got the shares that were planned
SHOWN = 12  # guards with bars, those nearest to their limits; the rest is counted


def table(evidence: Sequence[GuardEvidence], spec: RolloutSpec | None) -> dict[str, Any]:
    """Parts of a sheet: rows of guards, the one nearest to harm first, the last ones folded away.

    Args:
        evidence: of all guards and arms.
        spec: of the rollout; None where it is not known.
    """
    ranked = sorted(evidence, key=lambda one: -part(one.harm, one.harm_limit))
    kinds = {one.kind for one in evidence}
    compared = (
        "ratio" if kinds == {"event"} else "shift" if "event" not in kinds else "ratio, shift"
    )
    shadow = {one.arm for one in evidence} == {SHADOW_ARM}
    arm, onward = (
        (SHADOW_ARM, "towards finishing") if shadow else ("challenger", "towards next step")
    )
    headers = ("guard", "champion", arm, compared, "evidence of harm", onward)
    shown = ranked[:SHOWN]
    several = len({one.arm for one in evidence}) > 1 or (spec is not None and len(spec.arms) > 2)
    return {
        "headers": headers if evidence else (),
        "rows": [_row(one, several=several) for one in shown],
        "marks": [MARKS[one.outcome] if one.outcome is not Outcome.UNSURE else "" for one in shown],
        "said": [one.reason.removeprefix(f"{one.guard}: ") for one in shown],
        "rest": [_told(one) for one in ranked[SHOWN:]],
        "folded": count(len(ranked) - SHOWN, "more guard") if len(ranked) > SHOWN else "",
    }


def _told(one: GuardEvidence) -> tuple[str, ...]:
    return (
        middle(one.guard, 60),
        one.arm,
        f"harm {against(one.harm, one.harm_limit)}",
        one.reason,
    )


def _row(one: GuardEvidence, *, several: bool) -> tuple[Cell, ...]:
    event = one.kind == "event"
    return (
        middle(one.guard, 40) + (f"\n{one.arm}" if several else ""),
        _rate(one, one.champion_rate, one.champion_events, one.champion_units, event=event),
        _rate(one, one.rate, one.events, one.units, event=event),
        _ratio(one),
        _gauge(one.harm, one.harm_limit, bad=True),
        _certificate(one),
    )


def _rate(one: GuardEvidence, value: float | None, events: int, units: int, *, event: bool) -> str:
    if one.guard == ASSIGNMENT:
        return f"{'' if value is None else percent(value)}\n{count(units, 'unit')}"
    if event:
        shown = "" if value is None else percent(value)
        return f"{shown}\n{events:,} of {units:,}"
    if value is not None and one.guard.partition(":")[0] == LOGARITHMIC:
        taken = value if one.arm == SHADOW_ARM else exp(min(value, 700.0))
        return f"{number(taken, 3)} ms\n{count(units, 'unit')}"
    return f"{number(value)}\n{count(units, 'unit')}"


def _ratio(one: GuardEvidence) -> str:
    """The ratio of rates, or the difference of means, with its interval in the line below."""
    tell = TOLD[unit_of(one)]
    words = ["" if value is None else tell(value) for value in (one.ratio, one.low, one.high)]
    return f"{words[0]}\n[{words[1]}, {words[2] or '∞'}]" if words[1] else words[0]


def _times(value: float) -> str:
    return f"{value:.3g}" if isfinite(value) and value < 1000 else "∞"


def _shift(log: float) -> str:
    """A difference of logarithms as percent."""
    return f"{100 * (exp(log) - 1):+.3g} %" if log < 5 else "∞"


TOLD: dict[str, Callable[[float], str]] = {
    "ratio": _times,
    "percent": _shift,
    "points": lambda value: f"{100 * value:+.3g} %",
    "difference": lambda value: f"{value:+.3g}",
}


def _gauge(value: float, limit: float, *, bad: bool) -> Cell:
    if not limit > 0:
        return ""
    share = part(value, limit)
    mark = (BAD if bad else GOOD) if share >= 1 else UNSURE if bad and share >= 0.5 else PLAIN
    return Gauge(share, against(value, limit), mark)


def _certificate(one: GuardEvidence) -> Cell:
    if one.certificate is None:
        return ""
    gauge = _gauge(one.certificate, one.certificate_limit, bad=False)
    if not isinstance(gauge, Gauge) or one.margin is None:
        return gauge
    unit = unit_of(one)
    allowed = f"{one.margin:g} times" if unit in ("ratio", "percent") else f"{one.margin:.3g}"
    allowed = percent(one.margin) if unit == "points" else allowed
    return Gauge(gauge.share, f"{gauge.words} (≤ {allowed})", gauge.mark)


def part(value: float, limit: float) -> float:
    """Evidence as a share of its limit, 0 to 1.

    >>> part(2.0, 4.0), part(9.0, 4.0), part(-1.0, 4.0)
    (0.5, 1.0, 0.0)
    """
    return min(1.0, max(0.0, value / limit)) if limit > 0 else 0.0


def against(value: float, limit: float) -> str:
    """Evidence and its limit in words.

    >>> against(-1.0, 4.1), against(826.3, 3.0)
    ('0.0 of 4.1', '826 of 3.0')
    """
    return f"{max(0.0, value):.{1 if value < 100 else 0}f} of {limit:.1f}"


def percent(share: float) -> str:
    """A share to three figures.

    >>> percent(0.05), percent(0.00042), percent(1.0)
    ('5 %', '0.042 %', '100 %')
    """
    return f"{100 * share:.3g} %"
