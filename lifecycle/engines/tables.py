"""A table that is read column by column, wherever its rows are.

>>> table = frame_table(pl.DataFrame({"age": [31, 45]}), "reference")
>>> table.rows, [chunk.to_list() for chunk in table.column("age").read()]
(2, [[31, 45]])
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import polars as pl

from lifecycle.drift.columns import EXACT_ROWS, Column


@dataclass(frozen=True)
class Table:
    """Rows that can be read one column at a time.

    Attributes:
        where: what to call it in errors.
        rows: how many.
        columns: type of each column.
        more: of columns that are there for those who ask: keys in folders' names, a log's own.
        column: one of them by name.
        whole: whether columns are read whole; else in chunks.
    """

    where: str
    rows: int
    columns: Mapping[str, pl.DataType]
    more: Mapping[str, pl.DataType] = field(default_factory=dict)
    column: Callable[[str], Column] = field(kw_only=True)
    whole: bool = True

    def asked(self, names: Collection[str]) -> tuple[str, ...]:
        """Its columns, with those of `more` that are named."""
        return (*self.columns, *(name for name in self.more if name in names))


def frame_table(frame: pl.DataFrame, where: str, most: int = EXACT_ROWS) -> Table:
    """A frame in memory, counted in chunks of at most so many rows."""

    def column(name: str) -> Column:
        return Column.of(frame[name], most)

    rows = frame.height
    return Table(where, rows, dict(frame.schema), column=column, whole=rows <= most)
