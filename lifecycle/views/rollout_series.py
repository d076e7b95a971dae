"""The looks of a rollout as lines to draw: evidence by guard, intervals, shares, decisions.

>>> from lifecycle.records import GuardEvidence, RolloutStatus
>>> look = {"time": "2026-03-01T08:00:00+00:00", "step": 0, "shares": {"challenger": 0.05},
...     "guards": {"errors": {"harm": 2.0, "harm_limit": 4.0}}, "action": "wait"}
>>> series(RolloutStatus("churn", looks=(look,))).guards[0].harm
(0.5,)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import exp, isfinite
from typing import Any

from lifecycle.records import GuardEvidence, RolloutStatus

COLOURS = ("#3d85c6", "#d1495b", "#2e9e5b", "#c58a00", "#8e6bbf", "#17a2a2", "#b5651d", "#d16ba5")
REST = "#8a8f98"  # of guards beyond those with a colour of their own
LOGARITHMIC = "latency"  # the built-in number that is counted as ln of milliseconds
# how a shadow's comparisons with the champion are told
SHADOW = {
    "differs": "points", "shift": "difference", "scale": "ratio", "latency": "ratio",
    "error_size": "difference",
}  # fmt: skip
UNITS = {
    "ratio": "ratio to the champion's",
    "percent": "% slower than the champion",
    "points": "% more rows than the champion's own",
    "difference": "difference from the champion's",
}
STEP = "next step"
DECISIONS = {
    "step": STEP,
    "promote": "promoted",
    "finish": "finished",
    "rollback": "rolled back",
    "hold": "held",
}
LOW, HIGH = -0.25, 1.3  # evidence beyond these parts of its limit is drawn at the edge


@dataclass(frozen=True)
class Line:
    """One guard over time; None where a look does not have it.

    Attributes:
        name: as the spec has it.
        harm: evidence of harm as a part of its limit.
        certificate: the same, that it is safe to go on.
        words: the last evidence against its limit.
        middle: ratio or difference.
        low: end of its interval.
        high: the other end.
        unit: of the interval, as `unit_of` says it.
    """

    name: str
    harm: tuple[float | None, ...]
    certificate: tuple[float | None, ...]
    words: str
    middle: tuple[float | None, ...]
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]
    unit: str

    @property
    def same(self) -> float:
        """What the middle is where both arms are alike."""
        return 1.0 if self.unit == "ratio" else 0.0


@dataclass(frozen=True)
class Series:
    """All that is drawn of a rollout, at the same places in time.

    Attributes:
        times: of the looks, oldest first, UTC.
        guards: the one that came nearest to its limit first.
        shares: by arm, at each look.
        decisions: place of a look and what was decided there; waiting is none.
    """

    times: tuple[datetime, ...]
    guards: tuple[Line, ...]
    shares: Mapping[str, tuple[float, ...]]
    decisions: tuple[tuple[int, str], ...]

    @property
    def stays(self) -> tuple[tuple[int, int], ...]:
        """First look of each stretch with the same shares, and the first after it."""
        rows = list(zip(*self.shares.values(), strict=True))
        starts = [at for at in range(len(rows)) if at == 0 or rows[at] != rows[at - 1]]
        return tuple(zip(starts, [*starts[1:], len(rows)], strict=True))

    @property
    def seconds(self) -> tuple[float, ...]:
        """Since the first look."""
        return tuple((time - self.times[0]).total_seconds() for time in self.times)


def series(record: RolloutStatus) -> Series:
    """What a status has of its looks; looks without a readable time are left out."""
    looks = [(time, look) for look in record.looks if (time := _time(look.get("time")))]
    looks.sort(key=lambda pair: pair[0])
    found = [look for _, look in looks]
    units = {one.guard: unit_of(one) for one in record.look.evidence} if record.look else {}
    names = dict.fromkeys(name for look in found for name in look.get("guards", {}))
    lines = [_line(name, found, units.get(name, units.get(guard_of(name), ""))) for name in names]
    arms = dict.fromkeys(name for look in found for name in look.get("shares", {}))
    return Series(
        tuple(time for time, _ in looks),
        tuple(sorted(lines, key=lambda line: -max(known(line.harm), default=0.0))),
        {arm: tuple(float(look.get("shares", {}).get(arm, 0.0)) for look in found) for arm in arms},
        tuple(_decisions(found)),
    )


def unit_of(one: GuardEvidence) -> str:
    """How the comparison with the champion is told.

    `ratio` of rates, `percent` more (of numbers that are logarithms), `points` of percent more, or
    a `difference` in the number's own unit.

    >>> unit_of(GuardEvidence("errors", "challenger", "event"))
    'ratio'
    >>> unit_of(GuardEvidence("latency:plan=pro", "challenger", "number"))
    'percent'
    """
    name = one.guard.partition(":")[0]
    if one.arm == "shadow" and name in SHADOW:
        return SHADOW[name]
    if one.kind == "event":
        return "ratio"
    return "percent" if name == LOGARITHMIC else "difference"


def guard_of(name: str) -> str:
    """A guard without the further arm that its line is about.

    >>> guard_of("label of challenger-2"), guard_of("errors:town=Isle of Man")
    ('label', 'errors:town=Isle of Man')
    """
    guard, _, arm = name.rpartition(" of ")
    return guard if guard and arm.startswith("challenger") else name


def known(values: Sequence[float | None]) -> list[float]:
    """Those that are there.

    >>> known([1.0, None])
    [1.0]
    """
    return [value for value in values if value is not None]


def ticks(times: Sequence[datetime], most: int = 6) -> list[tuple[float, str]]:
    """Seconds since the first look, and how they are written: the clock, or days where it is long.

    >>> ticks([datetime(2026, 3, 1, 8, tzinfo=UTC), datetime(2026, 3, 1, 9, tzinfo=UTC)], 2)
    [(0.0, '03-01 08:00'), (3600.0, '09:00')]
    """
    if not times:
        return []
    reach = (times[-1] - times[0]).total_seconds()
    form = "%m-%d" if reach > 6 * 86400 else "%m-%d %H:%M" if reach > 86400 else "%H:%M"
    form = "%H:%M:%S" if reach < 60 * most and len(times) > 1 else form
    count = min(most, max(len(times), 2)) if reach > 0 else 1
    places = [reach * at / max(1, count - 1) for at in range(count)]
    start = times[0].timestamp()
    written = [datetime.fromtimestamp(start + place, UTC).strftime(form) for place in places]
    if form.startswith("%H"):
        written[0] = f"{times[0]:%m-%d} {written[0]}"
    return list(zip(places, written, strict=True))


def _time(text: Any) -> datetime | None:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _decisions(looks: Sequence[Mapping[str, Any]]) -> Sequence[tuple[int, str]]:
    """Places of decisions; one that is said at several looks, as a hold is, at its first alone."""
    found: list[tuple[int, str]] = []
    before: Any = None
    for at, look in enumerate(looks):
        action = look.get("action", "")
        if action in DECISIONS and (action == "step" or action != before):
            found.append((at, DECISIONS[action]))
        before = action
    return found


def _line(name: str, looks: Sequence[Mapping[str, Any]], unit: str) -> Line:
    rows = [look.get("guards", {}).get(name, {}) for look in looks]
    harm = tuple(_part(row.get("harm"), row.get("harm_limit")) for row in rows)
    last: Mapping[str, Any] = next((row for row in reversed(rows) if row), {})
    certificates = [_part(row.get("certificate"), row.get("certificate_limit")) for row in rows]
    unit = unit or _unit(rows)

    def ends(key: str) -> tuple[float | None, ...]:
        return tuple(_end(row.get(key), unit) for row in rows)

    value, limit = _number(last.get("harm")), _number(last.get("harm_limit"))
    words = f"{max(0.0, value or 0.0):.1f} of {limit:.1f}" if limit else ""
    return Line(
        name, harm, tuple(certificates), words, ends("ratio"), ends("low"), ends("high"), unit
    )


def _unit(rows: Sequence[Mapping[str, Any]]) -> str:
    """Of a guard of which the last look says nothing: a ratio is never below 0."""
    values = [_number(row.get(key)) for row in rows for key in ("ratio", "low")]
    return "difference" if any(value is not None and value < 0 for value in values) else "ratio"


def _end(value: Any, unit: str) -> float | None:
    found = _number(value)
    if found is not None and unit == "points":
        return 100 * found
    if found is None or unit != "percent":
        return found
    return 100 * (exp(found) - 1) if found < 5 else None


def _part(value: Any, limit: Any) -> float | None:
    one, two = _number(value), _number(limit)
    if one is None or not two or two < 0:
        return None
    return min(HIGH, max(LOW, one / two))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and isfinite(value) else None
