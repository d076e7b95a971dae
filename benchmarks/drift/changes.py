"""What goes wrong with a window: one function (window, generator) -> changed window a row.

Sizes in sd are those of the rows around the cycle, where there is one.
"""

from collections.abc import Callable

import numpy as np
import polars as pl

Change = Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]


def higher(size: float, *names: str) -> Change:
    """Columns that are higher by `size`."""
    return lambda frame, _: frame.with_columns(pl.col(*names) + size)


def some(frame: pl.DataFrame, rng: np.random.Generator, share: float) -> pl.Series:
    """A random choice of rows."""
    return pl.Series(rng.random(frame.height) < share)


def stuck(frame: pl.DataFrame, _: np.random.Generator) -> pl.DataFrame:
    """A sensor that repeats its first value."""
    return frame.with_columns(x7=pl.col("x7").first())


def unit(frame: pl.DataFrame, _: np.random.Generator) -> pl.DataFrame:
    """Grams for kilograms."""
    return frame.with_columns(pl.col("x7") * 1000)


def unit_of_some(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Grams for kilograms in 5 % of the rows."""
    chosen = some(frame, rng, 0.05)
    return frame.with_columns(pl.when(chosen).then(pl.col("x7") * 1000).otherwise(pl.col("x7")))


def new_level(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """A level that the reference does not have, in 5 % of the rows."""
    chosen = some(frame, rng, 0.05)
    return frame.with_columns(c27=pl.when(chosen).then(pl.lit("z")).otherwise(pl.col("c27")))


def missing(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """30 % of the values of a column that had all of them."""
    chosen = some(frame, rng, 0.3)
    return frame.with_columns(x7=pl.when(chosen).then(None).otherwise(pl.col("x7")))


def wider(frame: pl.DataFrame, _: np.random.Generator) -> pl.DataFrame:
    """A standard deviation half as large again."""
    return frame.with_columns(pl.col("x7") * 1.5)


def flipped(frame: pl.DataFrame, _: np.random.Generator) -> pl.DataFrame:
    """A correlation of 0.7 that becomes -0.7; each column alone is as before."""
    return frame.with_columns(x1=-pl.col("x1"))


CHANGES: dict[str, Change] = {
    "stuck sensor": stuck,
    "unit x 1000, a column": unit,
    "unit x 1000, 5 % of its rows": unit_of_some,
    "new level, 5 %": new_level,
    "missing 0 to 30 %": missing,
    "sd x 1.5": wider,
    "correlation flipped": flipped,
    "one column 1 sd": higher(1.0, "x7"),
    "three columns 1 sd": higher(1.0, "x7", "x8", "x9"),
    "three columns 0.3 sd": higher(0.3, "x7", "x8", "x9"),
    "one column 0.3 sd": higher(0.3, "x7"),
    "one column 0.1 sd": higher(0.1, "x7"),
    "one column 0.02 sd": higher(0.02, "x7"),
}
