"""Count a table: one pass over its rows gives its profile.

>>> import polars as pl
>>> reference = build_profile(pl.DataFrame({"age": [31.0, 45.0, None], "plan": ["a", "b", "a"]}))
>>> live = build_profile(pl.DataFrame({"age": [99.0], "plan": ["c"]}), like=reference)
>>> live.columns["age"].counts  # below, the two cells, above, null
(0, 0, 0, 1, 0)
>>> reference.merge(live).rows
4

Live data are counted in the reference's cells. Columns that cannot be compared by value (texts,
dates, lists) are watched for missing values and named in `not_monitored`.
"""

from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl

from lifecycle.drift.blocks import Blocks
from lifecycle.drift.cells import (
    TEXT_SHARE,
    Integers,
    LevelCells,
    NumericCells,
    common_levels,
    level_bands,
    numeric_bands,
    quantile_cells,
)
from lifecycle.drift.kinds import kind_of, numbers, texts
from lifecycle.drift.pairs import Pairs
from lifecycle.drift.profile import LEVELLED, ColumnProfile, Profile

ID_SHARE = 0.5  # more different values than this share of rows: ids …
MIN_IDS = 50  # … if there are at least so many


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
        The profile; `time` itself is not one of its columns.
    """
    seconds, window = _times(frame, time)
    columns: dict[str, ColumnProfile] = {}
    notes: dict[str, str] = {}
    cells: dict[str, Integers] = {}
    for series in frame:
        name = series.name
        known = like.columns.get(name) if like else None
        if name == time or name in ignore or (like is not None and known is None):
            continue
        columns[name], note, index = _column(series, seconds, known)
        if note:
            notes[name] = note
        if columns[name].kind == "numeric":
            cells[name] = index
    scored = like.columns if like else columns
    chosen = like.pairs.names if like else tuple(cells)
    pairs = Pairs.count(
        {name: (cells[name], scored[name].counts) for name in chosen if name in cells}
    )
    named = time if seconds is not None else None
    return Profile(frame.height, columns, pairs, named, window, notes)


def _column(
    series: pl.Series, seconds: Integers | None, known: ColumnProfile | None
) -> tuple[ColumnProfile, str, Integers]:
    kind = kind_of(series)
    like = known if known and known.kind == kind else None
    if kind == "numeric":
        return _numeric(series, seconds, like)
    if kind in LEVELLED and not (known and known.kind == "text"):
        found = _levelled(series, kind, seconds, like)
        if found is not None:
            return found
    note = {
        "datetime": "dates and times move on by nature",
        "categorical": "its values are texts or ids",
        "boolean": "its values were texts or ids",
        "nested": f"values of type {series.dtype} have neither order nor levels",
        "empty": "every value is null",
    }[kind]
    note = f"{note}: only missing values are compared"
    if kind == "empty" and known:  # all null, in the reference's cells, so that parts merge
        size = len(known.counts)
        index = np.full(series.len(), size - 1, dtype=np.int64)
        bare = replace(
            known, rows=index.size, low=None, high=None, total=0.0, squares=0.0, blocks=None
        )
        return _counted(bare, index, size, seconds), note, index
    index = series.is_null().to_numpy().astype(np.int64)
    plain = "text" if kind in LEVELLED else kind
    column = ColumnProfile(series.name, plain, series.len(), (), bands=(0,))
    return _counted(column, index, 2, seconds), note, index


def _numeric(
    series: pl.Series, seconds: Integers | None, like: ColumnProfile | None
) -> tuple[ColumnProfile, str, Integers]:
    values = numbers(series)
    cells = NumericCells(like.edges) if like else quantile_cells(values)
    index = cells.index(values)
    finite = values[np.isfinite(values)]
    column = ColumnProfile(
        series.name,
        "numeric",
        values.size,
        (),
        edges=cells.edges,
        bands=like.bands if like else numeric_bands(np.bincount(index, minlength=cells.size)),
        low=float(finite.min()) if finite.size else None,
        high=float(finite.max()) if finite.size else None,
        total=float(finite.sum()),
        squares=float(finite @ finite),
    )
    return _counted(column, index, cells.size, seconds), "", index


def _levelled(
    series: pl.Series, kind: str, seconds: Integers | None, like: ColumnProfile | None
) -> tuple[ColumnProfile, str, Integers] | None:
    """A column of levels; None when its levels are too many to be told apart."""
    values = texts(series)
    if like:
        levels, complete, bands = like.levels, like.complete, like.bands
        cells = LevelCells(levels)
        index = cells.index(values)
    else:
        levels, complete, distinct = common_levels(values)
        cells = LevelCells(levels)
        index = cells.index(values)
        counts = np.bincount(index, minlength=cells.size)
        rare = counts[-2] > TEXT_SHARE * counts[:-1].sum()
        ids = distinct > MIN_IDS and distinct > ID_SHARE * counts[:-1].sum()
        if rare or ids:
            return None
        bands = level_bands(counts, complete=complete)
    column = ColumnProfile(
        series.name, kind, values.len(), (), levels=levels, complete=complete, bands=bands
    )
    return _counted(column, index, cells.size, seconds), "", index


def _counted(
    column: ColumnProfile, index: Integers, size: int, seconds: Integers | None
) -> ColumnProfile:
    counts = np.bincount(index, minlength=size)
    column = replace(column, counts=tuple(counts.tolist()))
    if seconds is None or not index.size:
        return column
    width = max(column.bands) + 3  # bands, outside the reference, null
    place = np.array([*column.bands, width - 1])
    if column.kind == "numeric":
        place[[0, -2]] = width - 2
    elif column.kind in LEVELLED and column.complete:
        place[-2] = width - 2
    return replace(column, blocks=Blocks.count(place[index], seconds, width=width))


def _times(frame: pl.DataFrame, time: str | None) -> tuple[Integers | None, tuple[str, str] | None]:
    """Whole seconds since the epoch of each row; None where the rows have no usable time."""
    if time is None or time not in frame.columns or not frame.height:
        return None, None
    series = frame[time]
    if series.dtype == pl.String:
        try:
            series = series.str.to_datetime(strict=False)
        except pl.exceptions.ComputeError:  # in no known format
            return None, None
    if series.dtype not in (pl.Date, pl.Datetime):
        return None, None
    moments = series.cast(pl.Datetime("us"))
    filled = moments.fill_null(strategy="forward").fill_null(strategy="backward")
    if filled.null_count():
        return None, None
    seconds = filled.to_physical().to_numpy() // 1_000_000
    ends = [datetime.fromtimestamp(int(item), tz=UTC) for item in (seconds.min(), seconds.max())]
    return seconds.astype(np.int64), (ends[0].isoformat(), ends[1].isoformat())
