"""The rows of the tables: a case, the gates that are asked, the goal.

>>> len({row.name for row in ROWS}) == len(ROWS)
True
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import broken
import cases
from cases import RNG

from lifecycle.config import GatesConfig
from lifecycle.gates import GateInput

# latency is time, not chance: what a loaded machine refuses is not the rule's error
ALL = tuple(name for name in GatesConfig().use if name != "latency")
EQUAL = "An equal or honest candidate"
WORSE = "A worse candidate"
SLICE = "One bad slice of 5 % of the rows, area 0.10 less within it"
BROKEN = "What must never pass"


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        table: where it stands.
        name: what is tried.
        make: a random generator to the input of the gates.
        gates: that are asked.
        most: share of refusals that is allowed; None where refusals are wanted.
        least: share of refusals that is wanted; None where it is only reported.
        share: of the repetitions.
    """

    table: str
    name: str
    make: Callable[[RNG], GateInput]
    gates: tuple[str, ...] = ALL
    most: float | None = None
    least: float | None = None
    share: float = 0.1


def slices(name: str, **how: object) -> Row:
    """A row of 20,000 rows of which only the slices gate is asked."""
    make = partial(cases.equal, rows=20_000, bad_area=0.7, **how)
    return Row(SLICE, name, make, ("slices",))


def goal(row: Row, **changes: object) -> Row:
    """A row that has a goal, with all repetitions."""
    return Row(**{**row.__dict__, "share": 1.0, **changes})


def alike(name: str, make: Callable[..., GateInput], **how: object) -> Row:
    """An equal candidate, all gates."""
    return Row(EQUAL, name, partial(make, **how), most=0.05, share=0.2)


ROWS: tuple[Row, ...] = (
    goal(alike("equal, 5,000 rows", cases.equal, rows=5000)),
    alike("equal, 300 rows", cases.equal, rows=300),
    alike("equal, 1,000 rows", cases.equal, rows=1000),
    alike("first version, 5,000 rows", cases.equal, rows=5000, alone=True),
    alike("labels only, 1,000 rows", cases.labels_only, rows=1000),
    alike("three classes, 3,000 rows", cases.multiclass, rows=3000),
    alike("a number, 3,000 rows", cases.numbers, rows=3000),
    alike("50 rows a customer, key known, 5,000 rows", cases.grouped, rows=5000),
    Row(EQUAL, "… key not known", partial(cases.grouped, rows=5000, known=False)),
    alike("50 rows a day, time known, 5,000 rows", cases.timed, rows=5000),
    Row(EQUAL, "… time not known", partial(cases.timed, rows=5000, known=False)),
    *(
        Row(
            EQUAL,
            f"one feature of area {area:g}, {rows:,} rows, leakage alone",
            partial(broken.strong, area=area, rows=rows),
            ("leakage",),
            most=0.01 if area < 0.98 else None,
            share=0.5,
        )
        for area in (0.95, 0.97, 0.98, 0.985)
        for rows in (300, 5000)
    ),
    goal(
        Row(
            WORSE,
            "area 0.78 against 0.80, 5,000 rows",
            partial(cases.equal, rows=5000, area=0.78, correlation=0.88),
            ("champion",),
            least=0.95,
        )
    ),
    *(
        Row(
            WORSE,
            f"area {area:g} against 0.80, {rows:,} rows",
            partial(cases.equal, rows=rows, area=area, correlation=0.88),
            ("champion",),
        )
        for area, rows in ((0.78, 1000), (0.78, 20_000), (0.75, 1000), (0.75, 300))
    ),
    Row(
        WORSE,
        "three classes, the weight of the signal 0.05 less, 3,000 rows",
        partial(cases.multiclass, rows=3000, worse=0.05),
        ("champion",),
    ),
    Row(
        WORSE,
        "a number, errors up by a tenth, 3,000 rows",
        partial(cases.numbers, rows=3000, worse=0.1),
        ("champion",),
    ),
    goal(slices("none is bad: false alarms"), most=0.05),
    goal(slices("a level of a column", bad="level"), least=0.9),
    goal(slices("the end of a number", bad="tail"), least=0.9, share=0.2),
    slices("two columns together", bad="pair"),
    slices("first version: none is bad", alone=True),
    slices("first version: a level of a column", alone=True, bad="level"),
    *(
        Row(
            BROKEN,
            f"labels shuffled {where}, {rows:,} rows, {'a' if champion else 'no'} champion",
            partial(broken.shuffled, rows=rows, everywhere=everywhere, champion=champion),
            least=1.0 if rows > 100 else None,
        )
        for everywhere, where in ((True, "before the split"), (False, "in training"))
        for champion in (True, False)
        for rows in (100, 1000)
    ),
    *(
        Row(
            BROKEN,
            f"target leaked: {how}, {rows:,} rows",
            partial(broken.leaked, rows=rows, how=how),
            ("leakage",),
            least=None if (how, rows) == ("noisy", 300) else 1.0,
        )
        for how in broken.LEAKS
        for rows in (300, 2000)
    ),
    *(
        Row(
            BROKEN,
            f"scores off: {curve:g} times the logit, 5,000 rows",
            partial(cases.equal, rows=5000, alone=True, curve=curve),
            ("calibration",),
        )
        for curve in (1.5, 3.0)
    ),
    Row(
        EQUAL,
        "logged traffic as in training",
        partial(broken.skewed, rows=2000, how="none"),
        ("traffic",),
        0.01,
    ),
    *(
        Row(
            BROKEN,
            f"traffic: {how}",
            partial(broken.skewed, rows=2000, how=how),
            ("traffic",),
            least=1.0,
        )
        for how in broken.SKEWS[1:]
    ),
)
