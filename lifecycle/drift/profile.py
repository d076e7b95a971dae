"""What is kept of a table so that later tables can be compared with it: a few kB a column.

>>> column = ColumnProfile("on", "boolean", 3, (2, 1, 0, 0), levels=("no", "yes"), bands=(0, 1, 2))
>>> Profile(3, {"on": column}).merge(Profile(3, {"on": column})).columns["on"].counts
(4, 2, 0, 0)

A profile holds integers and sums only, so that profiles of parts merge into that of the whole in
any order. `counting` makes profiles of tables.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lifecycle.drift.blocks import Blocks
from lifecycle.drift.pairs import Pairs
from lifecycle.drift.seasons import Seasons
from lifecycle.errors import DataError

SCHEMA = 1
LEVELLED = ("categorical", "boolean")
DAMAGE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
MOST = sys.float_info.max
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
        complete: whether `levels` are all that the reference has; of a number, whether every
            value within the reference's range is one of `edges`.
        bands: band of each count but null.
        low: smallest finite value.
        high: largest finite value.
        total: sum of the finite values.
        squares: sum of their squares.
        infinite: how many values were minus and plus infinity.
        blocks: counts by block of time: bands, outside the reference, null; None without a time.
        seasons: the same counts by hour of the week.
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
    infinite: tuple[int, int] = (0, 0)
    blocks: Blocks | None = None
    seasons: Seasons | None = None

    @property
    def null(self) -> int:
        """How many rows are null."""
        return self.counts[-1]

    @property
    def finite(self) -> int:
        """Rows with a finite value, of a number."""
        return self.rows - self.null - sum(self.infinite)

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
        seasons = self.seasons or other.seasons
        if self.seasons is not None and other.seasons is not None:
            seasons = self.seasons.merge(other.seasons)
        return replace(
            self,
            rows=self.rows + other.rows,
            counts=tuple(one + two for one, two in zip(self.counts, other.counts, strict=True)),
            low=_outermost(min, self.low, other.low),
            high=_outermost(max, self.high, other.high),
            total=_limited(self.total + other.total),
            squares=_limited(self.squares + other.squares),
            infinite=(
                self.infinite[0] + other.infinite[0],
                self.infinite[1] + other.infinite[1],
            ),
            complete=self.complete and (other.complete or self.kind != "numeric"),
            blocks=blocks,
            seasons=seasons if blocks is not None else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """The column as JSON types."""
        parts = {
            "blocks": self.blocks.to_dict() if self.blocks else None,
            "seasons": self.seasons.to_dict() if self.seasons else None,
        }
        tree = {**self.__dict__, **parts}
        return {key: list(item) if isinstance(item, tuple) else item for key, item in tree.items()}

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> "ColumnProfile":
        """Read what `to_dict` wrote."""
        blocks = Blocks.from_dict(tree["blocks"]) if tree["blocks"] else None
        hours = tree.get("seasons")
        seasons = Seasons.from_dict(hours) if hours else None
        lists = {key: tuple(tree[key]) for key in ("counts", "edges", "levels", "bands")}
        lists["infinite"] = tuple(tree.get("infinite", (0, 0)))
        counted = "infinite" in tree or tree["kind"] != "numeric"  # else of an earlier version
        known = {"blocks": blocks, "seasons": seasons, "complete": tree["complete"] and counted}
        found = cls(**{**tree, **lists, **known})
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


def _limited(total: float) -> float:
    """A sum that JSON can hold."""
    return max(-MOST, min(MOST, total))


def _outermost(choose: Any, one: float | None, two: float | None) -> float | None:
    values = [item for item in (one, two) if item is not None]
    return choose(values) if values else None
