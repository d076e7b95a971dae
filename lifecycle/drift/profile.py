"""What is kept of a table so that later tables can be compared with it: a few kB a column.

>>> import polars as pl
>>> reference = build_profile(pl.DataFrame({"age": [31.0, 45.0, None], "plan": ["a", "b", "a"]}))
>>> live = build_profile(pl.DataFrame({"age": [99.0], "plan": ["c"]}), like=reference)
>>> live.columns["age"].counts  # below, the two cells, above, null
(0, 0, 0, 1, 0)
>>> reference.merge(live).rows
4

A profile holds integers and sums only, so that profiles of parts merge into that of the whole in
any order. Live data are counted in the reference's cells. Columns that cannot be compared by
value (texts, dates, lists) are watched for missing values and named in `not_monitored`.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

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
from lifecycle.errors import DataError

SCHEMA = 1
ID_SHARE = 0.5  # more different values than this share of rows: ids …
MIN_IDS = 50  # … if there are at least so many
LEVELLED = ("categorical", "boolean")
DAMAGE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
UNREADABLE = "make the profile again from the training data, or train again"


@dataclass(frozen=True)
class ColumnProfile:
    """One column's counts.

    Attributes:
        kind: numeric, categorical, boolean, datetime, text, nested, empty.
        rows: rows seen, null ones included.
        counts: numeric: below, cells, above, null; levels: levels, other, null; else: any, null.
        edges: upper edges of the numeric cells; the first is just below the smallest value.
        levels: known levels, most common first.
        complete: whether `levels` are all that the reference has.
        bands: band of each count but null.
        low: smallest finite value.
        high: largest finite value.
        total: sum of the finite values.
        squares: sum of their squares.
        blocks: counts by block of time: bands, outside the reference, null; None without a time.
    """

    name: str
    kind: str
    rows: int
    counts: tuple[int, ...]
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    complete: bool = True
    bands: tuple[int, ...] = ()
    low: float | None = None
    high: float | None = None
    total: float = 0.0
    squares: float = 0.0
    blocks: Blocks | None = None

    @property
    def null(self) -> int:
        """How many rows are null."""
        return self.counts[-1]

    @property
    def outside(self) -> int:
        """Rows below the smallest or above the largest reference value, or of a new level."""
        if self.kind == "numeric":
            return self.counts[0] + self.counts[-2]
        return self.counts[-2] if self.kind in LEVELLED and self.complete else 0

    def same_cells(self, other: "ColumnProfile") -> bool:
        """Whether counts of both mean the same."""
        mine = (self.kind, self.edges, self.levels, self.bands)
        return mine == (other.kind, other.edges, other.levels, other.bands)

    def merge(self, other: "ColumnProfile") -> "ColumnProfile":
        """The counts of both.

        Raises:
            DataError: the two were counted in different cells.
        """
        if not self.same_cells(other):
            raise DataError(
                f"two profiles of column {self.name!r} were counted in different cells",
                fix="build the second with like=the first",
            )
        blocks = None
        if self.blocks is not None and other.blocks is not None:
            blocks = self.blocks.merge(other.blocks)
        elif not (self.rows and other.rows):  # no rows, no blocks
            blocks = self.blocks or other.blocks
        return replace(
            self,
            rows=self.rows + other.rows,
            counts=tuple(one + two for one, two in zip(self.counts, other.counts, strict=True)),
            low=_outermost(min, self.low, other.low),
            high=_outermost(max, self.high, other.high),
            total=self.total + other.total,
            squares=self.squares + other.squares,
            blocks=blocks,
        )

    def to_dict(self) -> dict[str, Any]:
        """The column as JSON types."""
        tree = {**self.__dict__, "blocks": self.blocks.to_dict() if self.blocks else None}
        return {key: list(item) if isinstance(item, tuple) else item for key, item in tree.items()}

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> "ColumnProfile":
        """Read what `to_dict` wrote."""
        blocks = Blocks.from_dict(tree["blocks"]) if tree["blocks"] else None
        lists = {key: tuple(tree[key]) for key in ("counts", "edges", "levels", "bands")}
        found = cls(**{**tree, **lists, "blocks": blocks})
        cells = found.edges if found.kind == "numeric" else found.levels
        wanted = 2 + len(cells)  # no cells where only null is counted
        if len(found.counts) != wanted or len(found.bands) != wanted - 1:
            size = f"{len(found.counts)} counts and {len(found.bands)} bands"
            raise ValueError(f"{found.name} has {size}, not {wanted} and {wanted - 1}")
        if sum(found.counts) != found.rows or min(found.counts) < 0:
            raise ValueError(f"the counts of {found.name} are not those of {found.rows} rows")
        return found


@dataclass(frozen=True)
class Profile:
    """A table's counts, one entry a column.

    Attributes:
        rows: rows of the table it was made from (columns that were joined may have others).
        time: the column that orders the rows; None when they have no known order.
        window: ISO times of the first and last row.
        pairs: sums for rank correlations.
        not_monitored: columns that are not compared by value, and why.
    """

    rows: int
    columns: Mapping[str, ColumnProfile]
    pairs: Pairs = field(default_factory=Pairs)
    time: str | None = None
    window: tuple[str, str] | None = None
    not_monitored: Mapping[str, str] = field(default_factory=dict)

    def merge(self, other: "Profile") -> "Profile":
        """The profile of both tables' rows.

        Raises:
            DataError: the columns differ, or were counted in different cells.
        """
        if set(self.columns) != set(other.columns):
            odd = sorted(set(self.columns) ^ set(other.columns))
            raise DataError(
                f"two profiles differ in their columns: {', '.join(odd)}",
                fix="build the second with like=the first, from the same columns",
            )
        windows = [item.window for item in (self, other) if item.window]
        window = None
        if windows:
            window = (min(item[0] for item in windows), max(item[1] for item in windows))
        return Profile(
            rows=self.rows + other.rows,
            columns={name: item.merge(other.columns[name]) for name, item in self.columns.items()},
            pairs=self.pairs.merge(other.pairs),
            time=self.time,
            window=window,
            not_monitored={**other.not_monitored, **self.not_monitored},
        )

    def joined(self, other: "Profile") -> "Profile":
        """This profile with the other's columns added, which may have been made on other rows."""
        return replace(
            self,
            columns={**self.columns, **other.columns},
            not_monitored={**self.not_monitored, **other.not_monitored},
        )

    def dumps(self) -> str:
        """The profile as JSON; the same profile gives the same text."""
        tree = {
            "schema": SCHEMA,
            "rows": self.rows,
            "time": self.time,
            "window": list(self.window) if self.window else None,
            "not_monitored": dict(self.not_monitored),
            "pairs": self.pairs.to_dict(),
            "columns": [item.to_dict() for item in self.columns.values()],
        }
        return json.dumps(tree, separators=(",", ":"), allow_nan=False)

    @classmethod
    def loads(cls, text: str) -> "Profile":
        """Read what `dumps` wrote.

        Raises:
            DataError: the text is no profile, or one of a version that is not known here.
        """
        try:
            tree = json.loads(text)
            schema = tree["schema"]
        except (*DAMAGE, RecursionError) as error:
            raise DataError(f"the profile is damaged: {error}", fix=UNREADABLE) from error
        if schema != SCHEMA:
            raise DataError(f"the profile has schema {schema}, known is {SCHEMA}", fix=UNREADABLE)
        try:
            columns = [ColumnProfile.from_dict(item) for item in tree["columns"]]
            return cls(
                rows=int(tree["rows"]),
                columns={item.name: item for item in columns},
                pairs=Pairs.from_dict(tree["pairs"]),
                time=tree["time"],
                window=tuple(tree["window"]) if tree["window"] else None,
                not_monitored=tree["not_monitored"],
            )
        except DAMAGE as error:
            raise DataError(f"the profile is damaged: {error!r}", fix=UNREADABLE) from error


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


def _outermost(choose: Any, one: float | None, two: float | None) -> float | None:
    values = [item for item in (one, two) if item is not None]
    return choose(values) if values else None
