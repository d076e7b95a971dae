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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lifecycle.config import StagesConfig
from lifecycle.errors import ConfigError, TransitionRefused
from lifecycle.named import nearest
from lifecycle.records import Entry, Record

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


def standing(entries: Sequence[Entry], order: Sequence[str] = ORDER) -> Standing:
    """Fold a ledger, oldest entry first, into who is where now.

    Args:
        entries: all entries of one model.
        order: the stages, for the name of the last one, where replaced versions go.
    """
    stages: dict[int, str] = {}
    served: list[int] = []  # versions in the order in which they came to production
    current: int | None = None
    moved, promoted = 0, False
    for entry in entries:
        version = entry.version
        if version is None:
            continue
        if entry.kind in BIRTHS:
            stages.pop(version, None)
            served = [item for item in served if item != version]
            current = None if current == version else current
        elif entry.kind in MOVES and entry.to:
            moved = entry.seq
            stages.pop(version, None)  # the last that moved comes last
            stages[version] = entry.to
            if entry.to == PRODUCTION:
                promoted = True
                replaced = entry.extra.get("replaced", current)
                if replaced is not None and replaced != version:
                    stages[replaced] = str(entry.extra.get("replaced_to") or order[-1])
                    if replaced not in served:
                        served.append(replaced)
                served = _served(served, version, rollback=entry.kind == "rollback")
                current = version
            elif current == version:
                current = None
    before = [item for item in served if item != current]
    staged = [item for item, stage in stages.items() if stage == STAGING]
    return Standing(
        stages=stages,
        production=current,
        previous=before[-1] if before else None,
        staging=staged[-1] if staged else None,
        moved=moved,
        promoted=promoted,
    )


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


def allowed(source: str, order: Sequence[str] = ORDER) -> tuple[str, ...]:
    """Where a version may go from a stage without force.

    >>> allowed("staging")
    ('production', 'archived', 'none')

    One step on, out of service, or back to the start; from the end the way begins again.
    """
    place = order.index(source) if source in order else 0
    onward = order[1] if place == len(order) - 1 else order[place + 1]
    return tuple(item for item in dict.fromkeys((onward, order[-1], order[0])) if item != source)


def check_move(
    source: str, to: str, order: Sequence[str] = ORDER, force: bool = False, *, where: object = ""
) -> None:
    """Refuse a move that the stages do not allow.

    Args:
        source: the stage the version is in.
        to: the stage it shall go to.
        order: the stages; the first is where a version starts, the last where it ends.
        force: allow any known stage.
        where: the version, for the message.

    Raises:
        TransitionRefused: the stage is unknown, or cannot follow; names those that can.
        ConfigError: the order itself cannot be used.
    """
    check_order(order)
    if to not in order:
        raise TransitionRefused(f"unknown stage {to!r}; {nearest(to, order)}", where=where)
    ways = allowed(source, order)
    if force or to in ways:
        return
    listed = " or ".join(item for item in ways if item != order[0])
    raise TransitionRefused(
        f"a version in stage {source!r} cannot go to {to!r}",
        where=where,
        fix=f"from there it may go to {listed}; force it with a reason",
    )


def check_order(order: Sequence[str]) -> None:
    """Refuse an order of stages that has no start, no end, or no production between.

    >>> check_order(["none", "live"])
    Traceback (most recent call last):
        ...
    lifecycle.errors.ConfigError: stages.order ['none', 'live'] cannot be used. \
Next: give at least three different stages with 'production' between the first and the last.

    Raises:
        ConfigError: as said.
    """
    if len(set(order)) != len(order) or PRODUCTION not in list(order)[1:-1]:
        raise ConfigError(
            f"stages.order {list(order)} cannot be used",
            fix=f"give at least three different stages with {PRODUCTION!r} between the first"
            " and the last",
        )


def _served(served: list[int], version: int, *, rollback: bool) -> list[int]:
    if rollback and version in served:  # what came after it is not returned to again
        last = len(served) - 1 - served[::-1].index(version)
        return served[: last + 1]
    return [*served, version]
