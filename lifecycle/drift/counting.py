"""Count a table: one pass over its rows gives its profile.

>>> import polars as pl
>>> reference = build_profile(pl.DataFrame({"age": [31.0, 45.0, None], "plan": ["a", "b", "a"]}))
>>> live = build_profile(pl.DataFrame({"age": [99.0], "plan": ["c"]}), like=reference)
>>> live.columns["age"].counts  # below, the two cells, above, null
(0, 0, 0, 1, 0)
>>> reference.merge(live).rows
4

Live data are counted in the reference's cells. Columns that cannot be compared by value (texts,
dates, lists) are watched for missing values and named in `not_monitored`. Each column is counted by
itself (`count_column`), whole or in chunks, so that engines can read one after another;
`gathered` makes a profile of the columns.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import numpy.typing as npt
import polars as pl

from lifecycle.drift.cells import (
    MANY,
    MAX_LEVELS,
    TEXT_SHARE,
    Integers,
    NumericCells,
    level_bands,
    numeric_bands,
    ordered_cells,
    ranked_levels,
)
from lifecycle.drift.clock import Clock
from lifecycle.drift.columns import Column, Ordered, sample_rows
from lifecycle.drift.cuts import Cuts, counted, fine_cuts, tallied
from lifecycle.drift.kinds import kind_of, level_rows, numbers, ordered
from lifecycle.drift.pairs import Pairs
from lifecycle.drift.profile import LEVELLED, ColumnProfile, Profile

ID_SHARE = 0.5  # more different values than this share of rows: ids …
MIN_IDS = 50  # … if there are at least so many
MOST_LEVELS = 10_000  # of a table in chunks; more are counted together

Values = Ordered | ColumnProfile | pl.DataFrame | None


@dataclass(frozen=True)
class Counted:
    """One column, counted.

    Attributes:
        profile: its counts.
        note: why it is not compared by value; empty where it is.
        sample: its values in the rows that stand for all.
        values: what scores are made of: sorted numbers, counts in fine cells, or a table of levels
            and their rows; None where only the profile is known.
        cells: the cell of each number of the sample, shape (n,).
    """

    profile: ColumnProfile
    note: str
    sample: pl.Series
    values: Values = None
    cells: npt.NDArray[np.uint8] | None = None


def build_profile(
    frame: pl.DataFrame,
    *,
    time: str | None = None,
    ignore: Collection[str] = (),
    like: Profile | None = None,
) -> Profile:
    """Count a table.

    Args:
        frame: the rows.
        time: the column with each row's time; needed to see that rows come in runs. A column that
            is no time, or not there, counts as no time.
        ignore: columns to leave out, such as the key and the target.
        like: the reference's profile: count in its cells, its columns only.

    Returns:
        The profile; `time` itself is not one of its columns. Of more than two million rows the
        cells are cut by a sample; what is in them is counted in all rows.
    """
    return gathered(*count_frame(frame, time=time, ignore=ignore, like=like), like=like)


def count_frame(
    frame: pl.DataFrame,
    *,
    time: str | None = None,
    ignore: Collection[str] = (),
    like: Profile | None = None,
) -> tuple[dict[str, Counted], int, Clock | None]:
    """The columns of a table, counted; its rows; its times."""
    clock = Clock.of(Column.of(frame[time])) if time in frame.columns else None
    chosen = sample_rows(frame.height)
    columns = {}
    for series in frame:
        name = series.name
        known = like.columns.get(name) if like else None
        if name == time or name in ignore or (like is not None and known is None):
            continue
        columns[name] = count_column(Column.of(series), chosen, clock, known, scored=False)
    return columns, frame.height, clock


def gathered(
    columns: Mapping[str, Counted],
    rows: int,
    clock: Clock | None,
    *,
    like: Profile | None = None,
) -> Profile:
    """The profile of columns that were counted one by one, with the sums of their pairs."""
    profiles = {name: item.profile for name, item in columns.items()}
    scored = like.columns if like else profiles
    numeric = [name for name, item in profiles.items() if item.kind == "numeric"]
    chosen = [name for name in (like.pairs.names if like else numeric) if name in profiles]
    cells = {
        name: (index, scored[name].counts)
        for name in Pairs.first(chosen)
        if (index := columns[name].cells) is not None
    }
    notes = {name: item.note for name, item in columns.items() if item.note}
    named, window = (clock.name, clock.window) if clock else (None, None)
    return Profile(rows, profiles, Pairs.count(cells), named, window, notes)


def count_column(
    column: Column,
    chosen: Integers | None,
    clock: Clock | None,
    known: ColumnProfile | None,
    finer: tuple[float, ...] = (),
    *,
    scored: bool = True,
) -> Counted:
    """Count one column.

    Args:
        column: the values.
        chosen: the rows that stand for all; None for all of them.
        clock: the rows' times; None where they have no known order.
        known: the reference's counts of that column; None where this is the reference.
        finer: further edges, at which a large column is counted for its scores.
        scored: keep what scores are made of; without it known cells are counted faster.
    """
    column = column.held()
    sample = column.at(chosen)
    kinds = map(kind_of, column.read())
    kind = next((found for found in kinds if found != "empty"), "empty")
    like = known if known and known.kind == kind else None
    found = None
    if kind == "numeric":
        found = _numeric(column, sample, like, finer, scored=scored)
        index = NumericCells(found.profile.edges).index(numbers(sample))
        found = replace(found, cells=index.astype(np.uint8))  # of at most 67
    elif kind in LEVELLED and not (known and known.kind == "text"):
        found = _levelled(column, sample, kind, like)
    if found is None:
        found = _unvalued(column, sample, kind, known)
    if clock is None or not column.rows:
        return found
    return replace(found, profile=clock.timed(found.profile, column))


def _unvalued(column: Column, sample: pl.Series, kind: str, known: ColumnProfile | None) -> Counted:
    """A column of which only missing values are counted."""
    note = {
        "datetime": "dates and times move on by nature",
        "categorical": "its values are texts or ids",
        "boolean": "its values were texts or ids",
        "nested": f"values of type {sample.dtype} have neither order nor levels",
        "empty": "every value is null",
    }[kind]
    note = f"{note}: only missing values are compared"
    if kind == "empty" and known:  # all null, in the reference's cells, so that parts merge
        counts = (*[0] * (len(known.counts) - 1), column.rows)
        bare = ColumnProfile(
            column.name,
            known.kind,
            column.rows,
            counts,
            edges=known.edges,
            levels=known.levels,
            complete=known.complete,
            bands=known.bands,
        )
        if known.kind != "numeric":
            return Counted(bare, note, sample)
        index = np.full(sample.len(), len(counts) - 1, dtype=np.uint8)
        return Counted(bare, note, sample, cells=index)
    null = sum(chunk.null_count() for chunk in column.read())
    counts = (column.rows - null, null)
    plain = "text" if kind in LEVELLED else kind
    return Counted(ColumnProfile(column.name, plain, column.rows, counts, bands=(0,)), note, sample)


def _numeric(
    column: Column,
    sample: pl.Series,
    like: ColumnProfile | None,
    finer: tuple[float, ...],
    *,
    scored: bool,
) -> Counted:
    if like and not scored and column.rows > MANY:
        parts = [tallied(column.name, chunk, like.edges) for chunk in column.read()]
        return Counted(_banded(reduce(ColumnProfile.merge, parts), like), "", sample)
    if column.whole:
        (series,) = column.read()
        values: Ordered = ordered(series)
        edges = like.edges if like else ordered_cells(values.values).edges
        profile = counted(column.name, values, edges)
        return Counted(_banded(profile, like), "", sample, values)
    cuts = Cuts(like.edges, finer) if like else fine_cuts(ordered(sample).values)
    fine = None
    for chunk in column.read():
        part = counted(column.name, ordered(chunk), cuts.all)
        fine = part if fine is None else fine.merge(part)
    assert fine is not None
    if like is None:
        cuts, fine = cuts.opened(fine)
    return Counted(_banded(cuts.coarse(fine), like), "", sample, fine)


def _banded(profile: ColumnProfile, like: ColumnProfile | None) -> ColumnProfile:
    return replace(profile, bands=like.bands if like else numeric_bands(np.array(profile.counts)))


def _levelled(
    column: Column, sample: pl.Series, kind: str, like: ColumnProfile | None
) -> Counted | None:
    """A column of levels; None when its levels are too many to be told apart."""
    if not column.whole and like is None and _too_many(level_rows(sample)):
        return None
    table, other = _levels(column, like)
    if like:
        levels, complete = like.levels, like.complete
    else:
        levels, complete, _ = ranked_levels(table)
        complete = complete and not other
        if column.whole and _too_many(table):
            return None
    known = _rows(table) + other
    found = dict(table.rows() if table.height <= MOST_LEVELS else _only(table, levels).rows())
    inner = [found.get(level, 0) for level in levels]
    counts = (*inner, known - sum(inner), column.rows - known)
    bands = like.bands if like else level_bands(np.array(counts), complete=complete)
    profile = ColumnProfile(
        column.name, kind, column.rows, counts, levels=levels, complete=complete, bands=bands
    )
    return Counted(profile, "", sample, None if other else table)


def _too_many(table: pl.DataFrame) -> bool:
    """Whether a column of these levels is one of texts or ids."""
    known = _rows(table)
    rare = known - int(table["rows"].top_k(MAX_LEVELS).sum())
    ids = table.height > MIN_IDS and table.height > ID_SHARE * known
    return rare > TEXT_SHARE * known or ids


def _levels(column: Column, like: ColumnProfile | None) -> tuple[pl.DataFrame, int]:
    """Each level with its rows, and the rows of levels that were too many to be kept."""
    table, other = None, 0
    names = like.levels if like else ()
    for chunk in column.read():
        part = level_rows(chunk)
        if table is not None:
            part = pl.concat([table, part]).group_by("level").agg(pl.col("rows").sum())
        table = part
        if not column.whole and table.height > MOST_LEVELS:
            names = names or ranked_levels(table)[0]
            kept = _only(table, names)
            other += _rows(table) - _rows(kept)
            table = kept
    assert table is not None
    if not other:
        return table, 0
    kept = _only(table, names)
    return kept, other + _rows(table) - _rows(kept)


def _rows(table: pl.DataFrame) -> int:
    return int(table["rows"].sum())


def _only(table: pl.DataFrame, levels: Collection[str]) -> pl.DataFrame:
    return table.filter(pl.col("level").is_in(list(levels)))
