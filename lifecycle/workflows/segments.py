"""One segment of the rows, written `carrier=EV`: a column and one of its values.

>>> rows = pl.DataFrame({"carrier": ["EV", "UA", "EV"]})
>>> within(rows, Segment.parse("carrier=EV")).to_list()
[True, False, True]
"""

from dataclasses import dataclass

import polars as pl

from lifecycle.errors import DataError
from lifecycle.named import nearest

MOST_SHOWN = 20  # values that an error lists


@dataclass(frozen=True)
class Segment:
    """A column and the value that its rows have there."""

    column: str
    value: str

    @classmethod
    def parse(cls, text: str) -> "Segment":
        """Read `column=value`; the value may hold further equals signs.

        Raises:
            DataError: the text is not of this form.
        """
        column, equals, value = text.partition("=")
        if not equals or not column.strip() or not value.strip():
            raise DataError(
                f"the segment is {text!r}, which names no column and value",
                fix="write COLUMN=VALUE, as in carrier=EV",
            )
        return cls(column.strip(), value.strip())

    def __str__(self) -> str:
        return f"{self.column}={self.value}"


def within(rows: pl.DataFrame, segment: Segment) -> pl.Series:
    """Which rows are of the segment; numbers are compared as numbers, the rest as text.

    >>> within(pl.DataFrame({"day": [1.0, 2.0, None]}), Segment("day", "1")).to_list()
    [True, False, False]

    Raises:
        DataError: there is no such column, or the value is no number where the column's are.
    """
    if segment.column not in rows.columns:
        raise DataError(
            f"there is no column {segment.column!r} to take a segment of; "
            f"{nearest(segment.column, rows.columns)}",
            where=f"segment {segment}",
        )
    column = rows[segment.column]
    if column.dtype == pl.Boolean:
        column, value = column.cast(pl.String), segment.value.lower()
        return (column == value).fill_null(value=False)
    if column.dtype.is_numeric():
        try:
            return (column == float(segment.value)).fill_null(value=False)
        except ValueError as error:
            raise DataError(
                f"{segment.column!r} holds numbers and {segment.value!r} is none",
                where=f"segment {segment}",
                fix=f"name one of its values: {_listed(column)}",
            ) from error
    return (column.cast(pl.String) == segment.value).fill_null(value=False)


def unknown(rows: pl.DataFrame, segment: Segment) -> DataError:
    """What to raise when no row was ever of the segment: names the values that there are."""
    return DataError(
        f"no row has {segment.column} = {segment.value!r}",
        where=f"segment {segment}",
        fix=f"name one of its values: {_listed(rows[segment.column])}",
    )


def _listed(column: pl.Series) -> str:
    """The values, the most frequent first."""
    counted = column.drop_nulls().value_counts(sort=True)
    known = counted[column.name].head(MOST_SHOWN).to_list()
    more = counted.height - MOST_SHOWN
    return ", ".join(str(item) for item in known) + (f" and {more} more" if more > 0 else "")
