"""Tables in memory and Parquet files on this machine, counted one column at a time.

>>> before = pl.DataFrame({"age": [float(20 + row % 50) for row in range(500)]})
>>> compare(before, before + 9).drifted
True
>>> compare(profile(before), before).drifted
False

Each column of both sides is read, sorted and forgotten, several at once, so that memory does not
grow with the number of columns; a table of more than two million rows is read in chunks of as many,
so that it does not grow with that of rows.
"""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import polars as pl

from lifecycle.drift import Profile, compare_profiles
from lifecycle.drift.bounds import from_profiles
from lifecycle.drift.cells import Integers
from lifecycle.drift.clock import Clock
from lifecycle.drift.columns import Ordered, sample_rows
from lifecycle.drift.counting import Counted, count_column, gathered
from lifecycle.drift.cuts import counted, fine_cuts
from lifecycle.drift.profile import ColumnProfile
from lifecycle.drift.scores import Scores, of_levels, of_numbers
from lifecycle.engines.sources import Source, opened
from lifecycle.engines.tables import Table
from lifecycle.errors import DataError
from lifecycle.records import DriftReport

MOST_THREADS = 8
FEW_VALUES = 200_000  # of a table; they are counted before a thread has started
LONG = 80_000_000  # values that take longer than a second

Result = TypeVar("Result")
Bar = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def no_bar(_what: str, _total: int) -> Iterator[Callable[[int], None]]:
    """Shows nothing."""
    yield lambda _steps: None


@dataclass(frozen=True)
class Side:
    """One table, and what all its columns share."""

    table: Table
    clock: Clock | None
    chosen: Integers | None

    @classmethod
    def of(cls, table: Table, time: str | None) -> "Side":
        """A table whose rows are ordered by a column, where it has that."""
        clock = Clock.of(table.column(time)) if time in {*table.columns, *table.more} else None
        return cls(table, clock, sample_rows(table.rows))

    def count(
        self,
        name: str,
        known: ColumnProfile | None = None,
        finer: tuple[float, ...] = (),
        *,
        scored: bool = True,
    ) -> Counted:
        """One column, counted."""
        column = self.table.column(name)
        return count_column(column, self.chosen, self.clock, known, finer, scored=scored)

    def sample(self, name: str) -> pl.Series:
        """A column in the rows that stand for all."""
        return self.table.column(name).held().at(self.chosen)


@dataclass(frozen=True)
class Both:
    """One column of both sides, counted.

    What scores were made of is gone, and of the samples only what is drawn is left.
    """

    reference: Counted | None = None
    current: Counted | None = None
    sample: pl.Series | None = None  # of the live rows, for reasons
    scores: Scores | None = None


def profile(
    source: Source,
    *,
    time: str | None = None,
    ignore: Collection[str] = (),
    like: Profile | None = None,
) -> Profile:
    """Count a table, as `lifecycle.drift.build_profile` does, in bounded memory.

    Raises:
        DataError: the table cannot be read.
    """
    side = Side.of(opened(source, "table"), time)
    asked = like.columns if like else ()
    names = [name for name in side.table.asked(asked) if name != time and name not in ignore]
    known = like.columns if like else {}
    wanted = [name for name in names if like is None or name in known]

    def count(name: str) -> Counted:
        return replace(side.count(name, known.get(name), scored=False), values=None)

    columns = _each(count, wanted, side.table.rows, no_bar)
    found = dict(zip(wanted, columns, strict=True))
    return gathered(found, side.table.rows, side.clock, like=like)


def compare(
    reference: Source | Profile,
    current: Source,
    *,
    time: str | None = None,
    ignore: Collection[str] = (),
    alpha: float = 0.01,
    min_rows: int = 30,
    sample: int = 5000,
    bar: Bar = no_bar,
) -> DriftReport:
    """Compare live rows with reference rows, or with their profile.

    Args:
        reference: a table, a profile, or the path of a profile's .json file.
        current: a table.
        time: the column that orders the rows of both; by default the profile's own.
        ignore: columns to leave out.
        alpha: chance of an alarm on unchanged data.
        min_rows: fewer live rows are not enough evidence.
        sample: rows of each side in the pictures of `.evidently()`.
        bar: shows how far a long comparison is.

    Raises:
        DataError: a table cannot be read, the reference has no rows, the two have no column in
            common, or a column is named that neither has.
    """
    known = _profile(reference)
    after = opened(current, "current")
    named = {*ignore, *([time] if time else [])}
    if known is not None:
        time, before = time or known.time, None
        names = tuple(known.columns)
    else:
        assert not isinstance(reference, Profile)
        before = opened(reference, "reference")
        names = before.asked({*after.columns, *named})
    left_out = {*ignore, *([time] if time else [])}
    live = after.asked({*names, *left_out})
    _check(before, names, live, named)
    one = Side.of(before, time) if before else None
    two = Side.of(after, time)
    columns = known.columns if known else {}

    def both(name: str) -> Both:
        first = one.count(name) if one and name in names else None
        if name not in live:
            return Both(first and _bare(first, sample))
        if name not in names:
            return Both(sample=two.sample(name))
        counts = first.profile if first else columns[name]
        second = two.count(name, counts, _finer(first, two), scored=first is not None)
        scores = _scores(first, second) if first else None
        kept = second.sample
        return Both(first and _bare(first, sample), _bare(second, sample), kept, scores)

    wanted = [name for name in dict.fromkeys((*names, *live)) if name not in left_out]
    rows = after.rows + (before.rows if before else 0)
    found = dict(zip(wanted, _each(both, wanted, rows, bar), strict=True))
    if before:
        assert one is not None
        counted_before = {name: item.reference for name, item in found.items() if item.reference}
        known = gathered(counted_before, before.rows, one.clock)
    assert known is not None
    counted_after = {name: item.current for name, item in found.items() if item.current}
    report = compare_profiles(
        known,
        gathered(counted_after, after.rows, two.clock, like=known),
        pl.DataFrame([item.sample for item in found.values() if item.sample is not None]),
        alpha=alpha,
        min_rows=min_rows,
        ignore=left_out,
        scores={name: item.scores for name, item in found.items() if item.scores},
    )
    return replace(report, draw=_drawing(found, report, before, sample))


def _check(
    before: Table | None, names: Collection[str], live: Collection[str], named: Collection[str]
) -> None:
    """Refuse what cannot be compared at all."""
    if before and not before.rows:
        raise DataError("the reference has no rows", where=before.where)
    for name in sorted(named):
        if name not in names and name not in live:
            listed = ", ".join(names)
            raise DataError(f"there is no column {name!r}", fix=f"name one of: {listed}")
    if not (set(names) & set(live)) - set(named):
        raise DataError(
            "the two tables have no column in common",
            where=f"{', '.join(names)} against {', '.join(live)}",
            fix="check that both are of the same kind",
        )


def _finer(reference: Counted | None, live: Side) -> tuple[float, ...]:
    """Further edges at which the live values of a large table are counted for its scores."""
    values = reference.values if reference else None
    if isinstance(values, ColumnProfile):
        return values.edges
    if isinstance(values, Ordered) and not live.table.whole:
        return fine_cuts(values.values).fine
    return ()


def _scores(one: Counted, two: Counted) -> Scores | None:
    """Evidently's scores: exact where both sides are known row by row, else with their bounds."""
    name = one.profile.name
    first, second = one.values, two.values
    if isinstance(first, Ordered) and isinstance(second, Ordered):
        return of_numbers(first, second)
    if isinstance(first, pl.DataFrame) and isinstance(second, pl.DataFrame):
        return of_levels(first, second) if one.profile.kind == two.profile.kind else None
    if isinstance(first, ColumnProfile) and isinstance(second, Ordered):
        second = counted(name, second, first.edges)
    elif isinstance(first, Ordered) and isinstance(second, ColumnProfile):
        first = counted(name, first, second.edges)
    if isinstance(first, ColumnProfile) and isinstance(second, ColumnProfile):
        return from_profiles(first, second)
    return None


def _each(work: Callable[[str], Result], names: Sequence[str], rows: int, bar: Bar) -> list[Result]:
    """What the work gives for each column, several at once where there are many rows."""
    if rows * len(names) < FEW_VALUES:
        return [work(name) for name in names]
    shown = bar if rows * len(names) > LONG else no_bar
    threads = min(MOST_THREADS, len(os.sched_getaffinity(0)))
    found = []
    with shown("comparing columns", len(names)) as advance, ThreadPoolExecutor(threads) as pool:
        for result in pool.map(work, names):
            found.append(result)
            advance(1)
    return found


def _bare(column: Counted, drawn: int) -> Counted:
    """The counts, and as many rows as are drawn."""
    return replace(column, values=None, sample=_thinned(column.sample, drawn))


def _thinned(series: pl.Series, most: int) -> pl.Series:
    rows = sample_rows(series.len(), most)
    return series if rows is None else series[rows]


def _drawing(
    found: Mapping[str, Both], report: DriftReport, before: Table | None, sample: int
) -> Callable[[], str]:
    """What draws Evidently's report of a few rows of each side, with the figures of all."""
    sides: tuple[list[pl.Series], list[pl.Series]] = ([], [])
    for item in found.values():
        first = item.reference.sample if item.reference else None
        for kept, series in zip(sides, (first, item.sample), strict=True):
            if series is not None:
                kept.append(_thinned(series, sample))
    reference, current = (pl.DataFrame(kept) for kept in sides)

    def draw() -> str:
        if before is None:
            raise DataError(
                "a profile has no rows to draw", fix="compare with the reference's rows instead"
            )
        from lifecycle.drift.evidently_report import html

        return html(reference, current, report, sample=sample)

    return draw


def _profile(reference: Source | Profile) -> Profile | None:
    """The reference's profile where it is one, or the file of one."""
    if isinstance(reference, Profile):
        return reference
    if not isinstance(reference, (str, Path)) or Path(reference).suffix != ".json":
        return None
    try:
        return Profile.loads(Path(reference).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the profile cannot be read: {error}", where=reference, fix="check the path"
        ) from error
    except DataError as error:
        raise DataError(error.what, where=reference, fix=error.fix) from error
