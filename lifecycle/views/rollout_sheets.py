"""A rollout as people see it: shares, the evidence against its limit, what is decided and why.

>>> from lifecycle.records import RolloutStatus
>>> status(RolloutStatus("churn")).title
'churn: no rollout yet'

Evidence is the natural logarithm of an e-value and convinces at its limit; a bar is its share of
that limit. The picture of a page is in `rollout_pictures`, those of the run in `rollout_plots`.
"""

from collections.abc import Iterator, Mapping, Sequence

from lifecycle.records import Arm, GuardEvidence, Look, Rollout, RolloutStatus
from lifecycle.views.evidence_tables import SHADOW_ARM, against, part, percent, table
from lifecycle.views.layout import (
    BAD,
    GOOD,
    MARKS,
    PLAIN,
    UNSURE,
    Gauge,
    Sheet,
    count,
    middle,
    number,
)
from lifecycle.views.rollout_pictures import picture

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
        **table(evidence, made.spec),
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
    found = table(record.evidence, None)
    counts = [
        (one.guard or "requests", one.arm, f"step {one.step + 1}", count(one.units, "unit"),
         count(one.events, "event") if not one.v else f"s {one.s:.6g}, v {one.v:.6g}")
        for one in tallies
    ]  # fmt: skip
    folded = [
        found.pop("folded"),
        f"{count(len(counts), 'count')} by guard, arm and step" if counts else "",
    ]
    return Sheet(
        f"{record.name}: look at rollout {record.rollout}, step {record.step + 1}, "
        f"{_moment(record.time)}",
        mark=ACTIONS.get(record.action, PLAIN),
        facts=tuple(facts),
        rest=[*found.pop("rest"), *counts],
        folded=", ".join(filter(None, folded)),
        notes=_worth(record.evidence),
        **found,
    )


def evidence(record: GuardEvidence) -> Sheet:
    """The sheet of one guard's evidence."""
    return Sheet(
        f"{record.guard}: {record.arm} against the champion",
        mark=MARKS[record.outcome],
        **table([record], None),
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
        near = max(record.look.evidence, key=lambda one: part(one.harm, one.harm_limit),
                   default=None)  # fmt: skip
        if near is not None:
            words.append(f"{near.guard}: harm {against(near.harm, near.harm_limit)}")
        if record.rollout.open:
            words.append(SAYS.get(record.look.action, record.look.action))
    if not record.rollout.open and record.rollout.reason:
        words.append(record.rollout.reason)
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
        words = f"{percent(share):>5}  version {arm.version}"
        if arm.name == SHADOW_ARM:
            words += f", which answers copies of {percent(made.spec.sample)} of the requests"
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
        if look.probabilities:
            names = (arm.name for arm in made.spec.arms)
            told = zip(names, map(percent, look.probabilities), strict=False)
            yield "best with probability", ", ".join(f"{name} {words}" for name, words in told)
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
    kept = f", the champion keeps {percent(made.spec.hold_back)}" if made.spec.hold_back else ""
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
        return percent(value) if 0 < value < 1 else number(value)
    if isinstance(value, (int, float)):
        return f"{value:,.0f}"
    text = "" if value is None else str(value)
    return _moment(text) if text[10:11] == "T" else text


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
    return f"{arm.name} {percent(share)}"


def _moment(time: str) -> str:
    return time[:16].replace("T", " ")
