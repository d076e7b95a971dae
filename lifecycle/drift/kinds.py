"""What a column is compared as, and its values in that form.

>>> kind_of(pl.Series([1, 2])), kind_of(pl.Series(["a"])), kind_of(pl.Series([[1]]))
('numeric', 'categorical', 'nested')
"""

import polars as pl

from lifecycle.drift.cells import Floats
from lifecycle.drift.columns import Ordered


def kind_of(series: pl.Series) -> str:
    """What a column is compared as: numeric, categorical, boolean, datetime, nested, empty."""
    dtype = series.dtype
    if dtype == pl.Null or series.null_count() == series.len():
        return "empty"
    if dtype.is_numeric() or dtype in (pl.Duration, pl.Time):
        return "numeric"
    if dtype == pl.Boolean:
        return "boolean"
    if dtype in (pl.Date, pl.Datetime):
        return "datetime"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return "categorical"
    if dtype == pl.Object:
        found = {type(item) for item in series if item is not None}
        return "categorical" if found <= {str} else "boolean" if found <= {bool} else "nested"
    return "nested"


def numbers(series: pl.Series) -> Floats:
    """A numeric column as float64 of shape (n,), null as NaN."""
    if series.dtype in (pl.Duration, pl.Time):
        series = series.to_physical()
    if series.dtype != pl.Float64:
        series = series.cast(pl.Float64, strict=False)
    if series.null_count():
        series = series.fill_null(float("nan"))
    return series.to_numpy()


def texts(series: pl.Series) -> pl.Series:
    """A column of levels as strings; booleans become "true" and "false"."""
    if series.dtype == pl.Object:
        words = [str(item).lower() if isinstance(item, bool) else item for item in series]
        return pl.Series(series.name, words, dtype=pl.String)
    return series if series.dtype == pl.String else series.cast(pl.String)


def ordered(series: pl.Series) -> Ordered:
    """A numeric column's values, sorted."""
    whole = series.dtype.is_integer() and not series.null_count()
    values = numbers(series)
    if not values.flags.writeable:  # the column's own memory
        values = values.copy()
    return Ordered.of(values, whole=whole, single=series.dtype == pl.Float32)


def level_rows(series: pl.Series) -> pl.DataFrame:
    """How many rows each level has, null left out: columns `level` (text) and `rows`."""
    if series.dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Boolean):
        series = texts(series)
    counted = series.drop_nulls().alias("level").value_counts(name="rows")
    return pl.DataFrame([texts(counted["level"]), counted["rows"].cast(pl.Int64)])
