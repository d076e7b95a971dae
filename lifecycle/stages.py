"""Which stage may follow which, and who is where; pure functions of the ledger's entries.

>>> check_move("none", "staging", ORDER)
>>> check_move("none", "production", ORDER)
Traceback (most recent call last):
    ...
lifecycle.errors.TransitionRefused: a version in stage 'none' cannot go to 'production'. \
Next: from there it may go to staging or archived; force it with a reason.

A stage is never stored beside the ledger: it is folded from the entries each time. `production`
is the one stage that at most one version has; the entry that brings a version there also says
which one it replaces and where that one goes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from lifecycle.config import StagesConfig
from lifecycle.errors import ConfigError, TransitionRefused
from lifecycle.named import nearest
from lifecycle.records import Entry, Record, Tenure

ORDER = StagesConfig().order
PRODUCTION = "production"
STAGING = "staging"
MOVES = ("stage", "rollback")  # kinds of entries that move a version
BIRTHS = ("register",)  # … that begin one; a number that MLflow gives again begins anew


@dataclass(frozen=True)
class Standing(Record):
    """Who is where after some entries.

    >>> standing([]).production is None
    True
    """

    stages: Mapping[int, str] = field(default_factory=dict)
    production: int | None = None
    previous: int | None = None  # what a rollback returns to
    staging: int | None = None  # the last that came to staging and is still there
    moved: int = 0  # seq of the last entry that moved a version; 0: none did
    promoted: bool = False  # whether any entry ever brought a version to production


def standing(entries: Iterable[Entry], order: Sequence[str] = ORDER) -> Standing:
    """Fold a ledger, oldest entry first, into who is where now.

    Args:
        entries: all entries of one model.
        order: the stages, for the name of the last one, where replaced versions go.
    """
    fold = _Fold(order[-1])
    for entry in entries:
        fold.step(entry)
    before = [item for item in fold.served if item != fold.current]
    staged = [item for item, stage in fold.stages.items() if stage == STAGING]
    return Standing(
        stages=fold.stages,
        production=fold.current,
        previous=before[-1] if before else None,
        staging=staged[-1] if staged else None,
        moved=fold.moved,
        promoted=fold.promoted,
    )


def tenures(entries: Sequence[Entry], order: Sequence[str] = ORDER) -> tuple[Tenure, ...]:
    """Every time that a version was in production, oldest first; they do not overlap.

    >>> one = Entry(1, "", "", "2026-03-01T08:00:00+00:00", "ann", "stage", 1, to="production")
    >>> [(item.version, item.since, item.until) for item in tenures([one])]
    [(1, '2026-03-01T08:00:00.000+00:00', '')]

    The order of the ledger counts, not the writers' clocks: an entry takes effect at its own time,
    but never before the entries that it follows. A champion from before the ledger is known by the
    entry that replaced it; its beginning is not, and is empty.
    """
    fold, found, latest = _Fold(order[-1]), list[Tenure](), ""
    for entry in entries:
        before = fold.current
        fold.step(entry)
        latest = max(latest, _utc(entry.time))
        if fold.current == before:
            continue
        unknown = entry.extra.get("replaced") if not found else None
        if unknown is not None and unknown != fold.current:
            found.append(Tenure(int(unknown), until=latest, ended=entry))
        elif found and not found[-1].until:
            found[-1] = replace(found[-1], until=latest, ended=entry)
        if fold.current is not None:
            found.append(Tenure(fold.current, since=latest, entry=entry))
    return tuple(found)


def served(
    entries: Sequence[Entry], start: datetime, end: datetime, order: Sequence[str] = ORDER
) -> tuple[Tenure, ...]:
    """What was in production at any moment from `start` until before `end`; both with a zone.

    >>> from datetime import UTC
    >>> day = datetime(2026, 3, 1, tzinfo=UTC)
    >>> one = Entry(1, "", "", "2026-03-01T08:00:00+00:00", "ann", "stage", 1, to="production")
    >>> [len(served([one], day, moment)) for moment in (day, day.replace(hour=9))]
    [0, 1]

    With `end` equal to `start` it is that one moment.
    """
    first, last = _utc(start.isoformat()), _utc(end.isoformat())
    return tuple(
        item
        for item in tenures(entries, order)
        if (item.since <= first or item.since < last) and (not item.until or item.until > first)
    )


class _Fold:
    """Who is where after the entries that it was given, one after another."""

    def __init__(self, last: str) -> None:
        self._last = last
        self.stages: dict[int, str] = {}
        self.served: list[int] = []  # versions in the order in which they came to production
        self.current: int | None = None
        self.moved, self.promoted = 0, False

    def step(self, entry: Entry) -> None:
        version = entry.version
        if version is None:
            return
        if entry.kind in BIRTHS:
            self.stages.pop(version, None)
            self.served = [item for item in self.served if item != version]
            self.current = None if self.current == version else self.current
        elif entry.kind in MOVES and entry.to:
            self.moved = entry.seq
            self.stages.pop(version, None)  # the last that moved comes last
            self.stages[version] = entry.to
            if entry.to == PRODUCTION:
                self._arrive(version, entry)
            elif self.current == version:
                self.current = None

    def _arrive(self, version: int, entry: Entry) -> None:
        self.promoted = True
        replaced = entry.extra.get("replaced", self.current)
        if replaced is not None and replaced != version:
            self.stages[replaced] = str(entry.extra.get("replaced_to") or self._last)
            if replaced not in self.served:
                self.served.append(replaced)
        if entry.kind == "rollback" and version in self.served:
            last = len(self.served) - 1 - self.served[::-1].index(version)
            del self.served[last + 1 :]  # what came after it is not returned to again
        else:
            self.served.append(version)
        self.current = version


def _utc(time: str) -> str:
    """A time of an entry as text that sorts by time; one that cannot be read sorts first."""
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return ""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="milliseconds")


def stage_of(entries: Sequence[Entry], version: int, order: Sequence[str] = ORDER) -> str:
    """The stage of one version; the first of `order` when nothing has moved it."""
    return standing(entries, order).stages.get(version, order[0])


def production(entries: Sequence[Entry], order: Sequence[str] = ORDER) -> int | None:
    """The version in production, None when there is none."""
    return standing(entries, order).production


def previous(entries: Sequence[Entry], order: Sequence[str] = ORDER) -> int | None:
    """The version that a rollback returns to: in production before the present one.

    After a rollback it is the one before that; what was rolled back is not returned to.
    """
    return standing(entries, order).previous


def gated(to: str, order: Sequence[str] = ORDER) -> bool:
    """Whether the gates must have passed for this stage: those on the way to production.

    >>> gated("staging"), gated("archived")
    (True, False)
    """
    return to in order[1 : order.index(PRODUCTION) + 1]


def allowed(source: str, order: Sequence[str] = ORDER, ways: Sequence[str] = ()) -> tuple[str, ...]:
    """Where a version may go from a stage without force.

    >>> allowed("staging")
    ('production', 'archived', 'none')
    >>> allowed("staging", ways=["none > staging", "staging > production"])
    ('production',)

    Without `ways`: one step on, out of service, or back to the start; from the end the way begins
    again.
    """
    if ways:
        return tuple(to for first, to in map(_way, ways) if first == source)
    place = order.index(source) if source in order else 0
    onward = order[1] if place == len(order) - 1 else order[place + 1]
    return tuple(item for item in dict.fromkeys((onward, order[-1], order[0])) if item != source)


def check_move(
    source: str,
    to: str,
    order: Sequence[str] = ORDER,
    force: bool = False,
    *,
    ways: Sequence[str] = (),
    where: object = "",
) -> None:
    """Refuse a move that the stages do not allow.

    Args:
        source: the stage the version is in.
        to: the stage it shall go to.
        order: the stages; the first is where a version starts, the last where it ends.
        force: allow any known stage.
        ways: the only moves that are allowed, each as "FROM > TO"; empty: see `allowed`.
        where: the version, for the message.

    Raises:
        TransitionRefused: the stage is unknown, or cannot follow; names those that can.
        ConfigError: the order or the ways cannot be used.
    """
    check_order(order, ways)
    if to not in order:
        raise TransitionRefused(f"unknown stage {to!r}; {nearest(to, order)}", where=where)
    onward = allowed(source, order, ways)
    if force or to in onward:
        return
    listed = " or ".join(item for item in onward if item != order[0] or ways)
    raise TransitionRefused(
        f"a version in stage {source!r} cannot go to {to!r}",
        where=where,
        fix=f"from there it may go to {listed or 'no other stage'}; force it with a reason",
    )


def check_order(order: Sequence[str], ways: Sequence[str] = ()) -> None:
    """Refuse stages that have no start, no end, no production between, or no way out of a loop.

    >>> check_order(["none", "live"])
    Traceback (most recent call last):
        ...
    lifecycle.errors.ConfigError: stages.order ['none', 'live'] cannot be used. \
Next: give at least three different stages with 'production' between the first and the last.

    Raises:
        ConfigError: as said; names the stages.
    """
    twice = next((item for at, item in enumerate(order) if item in order[:at]), None)
    if twice is not None:
        raise ConfigError(
            f"stages.order {list(order)} is a loop: {twice!r} stands in it twice",
            fix="name each stage once; from the last one a version may begin again",
        )
    if PRODUCTION not in list(order)[1:-1]:
        raise ConfigError(
            f"stages.order {list(order)} cannot be used",
            fix=f"give at least three different stages with {PRODUCTION!r} between the first"
            " and the last",
        )
    if ways:
        _check_ways(order, ways)


def _check_ways(order: Sequence[str], ways: Sequence[str]) -> None:
    """Refuse ways on which a version cannot come to each stage, and from each to the last."""
    for way, (source, to) in zip(ways, map(_way, ways), strict=True):
        for name in (source, to):
            if name not in order:
                raise ConfigError(
                    f"stages.ways has {way!r}, and {name!r} is no stage; {nearest(name, order)}",
                    fix='write "FROM > TO" with stages of stages.order',
                )
        if source == to:
            raise ConfigError(
                f"stages.ways has {way!r}, a loop from a stage to itself", fix="leave it out"
            )
    pairs = [_way(way) for way in ways]
    lost = [item for item in order if item not in _reached(order[0], pairs)]
    if lost:
        raise ConfigError(
            f"stages.ways lead from {order[0]!r} never to {_listed(lost)}",
            fix=f"add a way to {lost[0]!r}, or take it out of stages.order",
        )
    back = _reached(order[-1], [(to, source) for source, to in pairs])
    stuck = [item for item in order if item not in back]
    if stuck:
        loop = len(stuck) > 1 and all(set(stuck) <= _reached(item, pairs) for item in stuck)
        what = "form a loop that nothing leaves" if loop else "have no way back"
        raise ConfigError(
            f"stages.ways: {_listed(stuck)} {what if len(stuck) > 1 else 'has no way back'},"
            f" what is there can never come to {order[-1]!r}",
            fix=f'add a way, as in "{stuck[0]} > {order[-1]}"',
        )


def _way(text: str) -> tuple[str, str]:
    """The two ends of "FROM > TO"."""
    source, _, to = text.partition(">")
    return source.strip(), to.strip()


def _reached(start: str, pairs: Sequence[tuple[str, str]]) -> set[str]:
    """Where the ways lead from a stage, with itself."""
    found, new = {start}, [start]
    while new:
        here = new.pop()
        onward = {to for source, to in pairs if source == here} - found
        found |= onward
        new += onward
    return found


def _listed(names: Sequence[str]) -> str:
    return " and ".join(repr(item) for item in names)
