"""A rollout as people see it: shares, the evidence against its limit, what is decided and why.

>>> from lifecycle.records import RolloutStatus
>>> status(RolloutStatus("churn")).title
'churn: no rollout yet'

Evidence is the natural logarithm of an e-value and convinces at its limit; a bar is its share of
that limit. The picture of a page is in `rollout_pictures`, those of the run in `rollout_plots`.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import exp, isfinite
from typing import Any

from lifecycle.records import Arm, GuardEvidence, Look, Outcome, Rollout, RolloutSpec, RolloutStatus
from lifecycle.views.layout import (
    BAD,
    GOOD,
    MARKS,
    PLAIN,
    UNSURE,
    Cell,
    Gauge,
    Sheet,
    count,
    middle,
    number,
)
from lifecycle.views.rollout_pictures import picture
from lifecycle.views.rollout_series import LOGARITHMIC

STATUS = {"promoted": GOOD, "finished": GOOD, "rolled back": BAD, "held": UNSURE}
ACTIONS = {"step": GOOD, "promote": GOOD, "finish": GOOD, "rollback": BAD, "hold": UNSURE}
SAYS = {
    "wait": "wait",
    "step": "go to the next step",
    "promote": "promote the challenger",
    "rollback": "roll back",
    "hold": "hold",
    "finish": "finish",
}
ASSIGNMENT = "assignment"  # the check that arms got the shares that were planned
SHOWN = 12  # guards with bars, those nearest to their limits; the rest is counted
NAMED = 6  # guards in a list
LISTED = 300  # tallies on a page


def status(record: RolloutStatus) -> Sheet:
    """The sheet of a rollout's status: bars of shares and of evidence."""
    if record.rollout is None:
        start = f"lifecycle rollout start {record.name}/VERSION"
        return Sheet(f"{record.name}: no rollout yet", notes=[f"start one: {start}"])
    made, look = record.rollout, record.look
    evidence = look.evidence if look else ()
    drawn = picture(record)
    return Sheet(
        _title(made),
        mark=STATUS.get(made.status, PLAIN),
        facts=tuple(_facts(made, look)),
        notes=[*_notes(record.name, look), *record.warnings],
        pictures=[drawn] if drawn else (),
        **_table(evidence, made.spec),
    )


def rollout(record: Rollout) -> Sheet:
    """The sheet of what `start`, `step`, `abort` and the like gave back."""
    spec = record.spec
    guards = listed(spec.guards)
    return Sheet(
        _title(record),
        mark=STATUS.get(record.status, PLAIN),
        facts=tuple(_facts(record, None)),
        notes=[
            *([f"guards: {guards}; alpha {spec.alpha:g} for all of them"] if guards else []),
            *([f"run {record.run_id}"] if record.run_id else []),
            *([f"see it: lifecycle rollout status {spec.name}"] if record.open else []),
        ],
    )


def listed(guards: Sequence[str]) -> str:
    """The first guards by name, and how many there are beyond them.

    >>> listed(["errors", "latency"])
    'errors, latency'
    """
    more = f" and {len(guards) - NAMED} more" if len(guards) > NAMED else ""
    return ", ".join(middle(guard, 40) for guard in guards[:NAMED]) + more


def look(record: Look) -> Sheet:
    """The sheet of one look: what is decided, and all counts that it follows from."""
    tallies = sorted(record.tallies, key=lambda one: (one.guard, one.step, one.arm))[:LISTED]
    facts = [
        ("decision", SAYS.get(record.action, record.action) + _ahead(record)),
        *([("because", record.reason)] if record.reason else []),
        *([("proven best", record.best)] if record.best else []),
        *_counted(record),
    ]
    table = _table(record.evidence, None)
    counts = [
        (one.guard or "requests", one.arm, f"step {one.step + 1}", count(one.units, "unit"),
         count(one.events, "event") if not one.v else f"s {one.s:.6g}, v {one.v:.6g}")
        for one in tallies
    ]  # fmt: skip
    folded = [
        table.pop("folded"),
        f"{count(len(counts), 'count')} by guard, arm and step" if counts else "",
    ]
    return Sheet(
        f"{record.name}: look at rollout {record.rollout}, step {record.step + 1}, "
        f"{_moment(record.time)}",
        mark=ACTIONS.get(record.action, PLAIN),
        facts=tuple(facts),
        rest=[*table.pop("rest"), *counts],
        folded=", ".join(filter(None, folded)),
        notes=_worth(record.evidence),
        **table,
    )


def evidence(record: GuardEvidence) -> Sheet:
    """The sheet of one guard's evidence."""
    return Sheet(
        f"{record.guard}: {record.arm} against the champion",
        mark=MARKS[record.outcome],
        **_table([record], None),
    )


def line(record: RolloutStatus) -> str:
    """A status in one line: shares, the guard nearest to its limit, the decision.

    >>> line(RolloutStatus("churn"))
    'churn: no rollout yet'
    """
    if record.rollout is None:
        return f"{record.name}: no rollout yet"
    words = [_title(record.rollout)]
    words.append(", ".join(_share(arm, share) for arm, share in _arms(record.rollout)))
    if record.look is not None:
        near = max(record.look.evidence, key=lambda one: _part(one.harm, one.harm_limit),
                   default=None)  # fmt: skip
        if near is not None:
            words.append(f"{near.guard}: harm {_against(near.harm, near.harm_limit)}")
        words.append(SAYS.get(record.look.action, record.look.action))
    return "; ".join([*words, *record.warnings[-1:]])


def _title(made: Rollout) -> str:
    spec = made.spec
    against = f"version {made.champion.version}"
    tried = " and ".join(str(arm.version) for arm in spec.arms[1:])
    kind = {"ab": "A/B test"}.get(spec.strategy, spec.strategy)
    said = f"{spec.name}: {kind} of version {tried} against {against}"
    if not made.open:
        return f"{said}, {made.status}"
    if len(spec.steps) > 1:
        said += f", step {made.step + 1} of {len(spec.steps)}"
    return f"{said}, {made.status}"


def _facts(made: Rollout, look: Look | None) -> Iterator[tuple[str, str | Gauge]]:
    exposed = look.exposed if look else {}
    for arm, share in _arms(made):
        words = f"{_percent(share):>5}  version {arm.version}"
        if arm.name in exposed:
            words += f", {count(exposed[arm.name], 'user')}"
        mark = "" if arm.name == made.champion.name else STATUS.get(made.status, PLAIN)
        yield middle(arm.name, 24), Gauge(share, words, mark)
    if len(made.spec.steps) > 1:
        yield "steps", _steps(made)
    if made.started:
        ended = f", ended {_moment(made.ended)}" if made.ended else ""
        since = f", this step since {_moment(made.since)}" if made.since and made.open else ""
        yield "started", _moment(made.started) + since + ended
    if made.reason and not (made.status == "running" and made.step == 0):
        yield "held because" if made.status == "held" else "because", made.reason
    if look is not None:
        yield from _counted(look, users=False)
        if made.open:
            yield "last look", f"{_moment(look.time)}, {_decided(look)}"
        if look.best:
            yield "proven best", look.best
    if made.holder and made.open:
        yield "controller", f"{middle(made.holder, 40)}, lease until {_moment(made.until)}"


def _decided(look: Look) -> str:
    """The action and why; of all that is waited for the first, for the table has the others."""
    first, *more = look.reason.split("; ") if look.action == "wait" else [look.reason]
    also = f", and {count(len(more), 'more thing')}" if more else ""
    return SAYS.get(look.action, look.action) + (f": {first}{also}" if first else "")


def _arms(made: Rollout) -> list[tuple[Arm, float]]:
    """Arms with their shares; those of a rollout that is over went back to the one that serves."""
    shares = made.shares or tuple(arm.share for arm in made.spec.arms)
    return list(zip(made.spec.arms, shares, strict=False))


def _steps(made: Rollout) -> str:
    """The way, with brackets round where it stands."""
    ends = [f"{100 * share:g}" for share in made.spec.steps]
    if made.open:
        at = min(made.step, len(ends) - 1)
        ends[at] = f"[{ends[at]}]"
    kept = f", the champion keeps {_percent(made.spec.hold_back)}" if made.spec.hold_back else ""
    return f"{' → '.join(ends)} %{kept}"


def _counted(look: Look, *, users: bool = True) -> Iterator[tuple[str, str]]:
    if users and look.exposed:
        told = (f"{name} {number:,}" for name, number in look.exposed.items())
        yield "users exposed", ", ".join(told)
    parts = [f"{name.replace('_', ' ')} {words}" for name, v in look.coverage.items()
            if (words := _figure(v))]  # fmt: skip
    if parts:
        yield "coverage", ", ".join(parts)


def _figure(value: object) -> str:
    """A figure, share, moment or count by name; empty where there is nothing to say."""
    if isinstance(value, Mapping):
        return " and ".join(f"{count} {name}" for name, count in value.items())
    if isinstance(value, float) and not value.is_integer():
        return _percent(value) if 0 < value < 1 else number(value)
    if isinstance(value, (int, float)):
        return f"{value:,.0f}"
    text = "" if value is None else str(value)
    return _moment(text) if text[10:11] == "T" else text


def _table(evidence: Sequence[GuardEvidence], spec: RolloutSpec | None) -> dict[str, Any]:
    """Rows of guards, the one nearest to harm first."""
    ranked = sorted(evidence, key=lambda one: -_part(one.harm, one.harm_limit))
    kinds = {one.kind for one in evidence}
    compared = (
        "ratio" if kinds == {"event"} else "shift" if "event" not in kinds else "ratio, shift"
    )
    headers = (
        "guard", "champion", "challenger", compared, "evidence of harm", "towards next step"
    )  # fmt: skip
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
        f"harm {_against(one.harm, one.harm_limit)}",
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
        return f"{'' if value is None else _percent(value)}\n{count(units, 'unit')}"
    if event:
        shown = "" if value is None else _percent(value)
        return f"{shown}\n{events:,} of {units:,}"
    if value is not None and _logarithmic(one):
        return f"{number(exp(min(value, 700.0)), 3)} ms\n{count(units, 'unit')}"
    return f"{number(value)}\n{count(units, 'unit')}"


def _ratio(one: GuardEvidence) -> str:
    """The ratio of rates, or the difference of means, with its interval in the line below."""
    values = [one.ratio, one.low, one.high]
    if one.kind == "event":
        words = ["" if value is None else _times(value) for value in values]
    elif _logarithmic(one):
        words = ["" if value is None else f"{_shift(value)}" for value in values]
    else:
        words = ["" if value is None else f"{value:+.3g}" for value in values]
    return f"{words[0]}\n[{words[1]}, {words[2] or '∞'}]" if words[1] else words[0]


def _logarithmic(one: GuardEvidence) -> bool:
    return one.kind == "number" and one.guard.partition(":")[0] == LOGARITHMIC


def _times(value: float) -> str:
    return f"{value:.3g}" if isfinite(value) and value < 1000 else "∞"


def _shift(log: float) -> str:
    """A difference of logarithms as percent."""
    return f"{100 * (exp(log) - 1):+.3g} %" if log < 5 else "∞"


def _gauge(value: float, limit: float, *, bad: bool) -> Cell:
    if not limit > 0:
        return ""
    part = _part(value, limit)
    mark = (BAD if bad else GOOD) if part >= 1 else UNSURE if bad and part >= 0.5 else PLAIN
    return Gauge(part, _against(value, limit), mark)


def _certificate(one: GuardEvidence) -> Cell:
    if one.certificate is None:
        return ""
    gauge = _gauge(one.certificate, one.certificate_limit, bad=False)
    if not isinstance(gauge, Gauge) or one.margin is None:
        return gauge
    times = one.kind == "event" or _logarithmic(one)
    allowed = f"{one.margin:g} times" if times else f"{one.margin:.3g}"
    return Gauge(gauge.share, f"{gauge.words} (≤ {allowed})", gauge.mark)


def _part(value: float, limit: float) -> float:
    """Evidence as a share of its limit, 0 to 1."""
    return min(1.0, max(0.0, value / limit)) if limit > 0 else 0.0


def _against(value: float, limit: float) -> str:
    return f"{max(0.0, value):.1f} of {limit:.1f}"


def _notes(name: str, look: Look | None) -> Sequence[str]:
    if look is None:
        return [f"no look yet: lifecycle rollout run {name}"]
    return _worth(look.evidence)


def _worth(evidence: Sequence[GuardEvidence]) -> Sequence[str]:
    if not evidence:
        return ["nothing was counted yet"]
    return ["evidence: natural logarithm of an e-value; it convinces at its limit, at any look"]


def _ahead(record: Look) -> str:
    if record.action != "step" or record.to_step is None:
        return ""
    return f", number {record.to_step + 1}"


def _share(arm: Arm, share: float) -> str:
    return f"{arm.name} {_percent(share)}"


def _percent(share: float) -> str:
    """A share to three figures.

    >>> _percent(0.05), _percent(0.00042), _percent(1.0)
    ('5 %', '0.042 %', '100 %')
    """
    return f"{100 * share:.3g} %"


def _moment(time: str) -> str:
    return time[:16].replace("T", " ")
