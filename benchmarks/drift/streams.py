"""Seeded streams of unchanged data: 27 numbers and 3 columns of levels.

    stream = STREAMS["daily cycle"]
    reference = stream.frame(np.random.default_rng(0), 6720)
    window = stream.frame(np.random.default_rng(1), 96, first=7000)

`first` is the number of the first row: it gives the time, and with it the place in the cycle. Rows
that were made by different generators are independent of each other, as a window is of a reference
that ended long before it.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.signal import lfilter

COLUMNS = 30
NUMBERS = 27
LEVELS = np.array(list("abcdef"))
START = np.datetime64(dt.datetime(2026, 1, 1), "us")  # noqa: DTZ001 - frames hold naive UTC
QUARTER, MINUTE, DAY = 900.0, 60.0, 86_400.0
PHI = 0.9  # a quarter of an hour later
TIME = "ts"

Values = np.ndarray
Maker = Callable[[np.random.Generator, int, int, float], Values]


@dataclass(frozen=True)
class Stream:
    """Rows of one law.

    Attributes:
        make: (generator, rows, first row, seconds between rows) -> values, shape (rows, 30).
        seconds: seconds between rows.
        timed: whether the frames carry the time in the column `ts`.
    """

    make: Maker
    seconds: float = QUARTER
    timed: bool = True

    @property
    def time(self) -> str | None:
        """The column with the time, if there is one."""
        return TIME if self.timed else None

    def frame(self, rng: np.random.Generator, rows: int, first: int = 0) -> pl.DataFrame:
        """So many rows from row number `first` on."""
        values = self.make(rng, rows, first, self.seconds)
        frame = table(values, rng)
        if not self.timed:
            return frame
        micro = ((np.arange(rows) + first) * self.seconds * 1e6).astype("timedelta64[us]")
        return frame.with_columns(pl.Series(TIME, START + micro))


def table(values: Values, rng: np.random.Generator) -> pl.DataFrame:
    """Values of shape (rows, 30) as a table in which not everything is a normal number.

    x0 and x1 are correlated, x3 has 5 % null, x4 is rounded, x5 has a heavy tail; the last three
    columns are levels.
    """
    columns = {f"x{place}": values[:, place] for place in range(NUMBERS)}
    columns["x1"] = 0.7 * values[:, 0] + 0.7 * values[:, 1]
    columns["x4"] = np.round(columns["x4"])
    columns["x5"] = np.exp(1.5 * columns["x5"])
    frame = pl.DataFrame(columns)
    gone = pl.Series(rng.random(len(values)) < 0.05)
    frame = frame.with_columns(x3=pl.when(gone).then(None).otherwise(pl.col("x3")))
    levels = []
    for place in range(NUMBERS, COLUMNS):
        cut = np.clip((values[:, place] * 1.2 + 3).astype(np.int64), 0, len(LEVELS) - 1)
        codes = pl.Series(f"c{place}", cut)
        names = pl.Series(LEVELS.tolist())
        levels.append(names.gather(codes).alias(f"c{place}"))
    return frame.with_columns(levels)


def independent(rng: np.random.Generator, rows: int, _first: int, _seconds: float) -> Values:
    """Independent normal rows of variance 1."""
    return rng.normal(size=(rows, COLUMNS))


def autoregression(rng: np.random.Generator, rows: int, _first: int, seconds: float) -> Values:
    """Stationary AR(1) of variance 1 whose correlation is 0.9 a quarter of an hour later."""
    phi = PHI ** (seconds / QUARTER)
    noise = rng.normal(size=(rows, COLUMNS))
    noise[1:] *= np.sqrt(1 - phi**2)
    return lfilter([1.0], [1.0, -phi], noise, axis=0)


def daily(rows: int, first: int, seconds: float) -> Values:
    """A daily cycle of amplitude 1, each column at its own hour."""
    days = (np.arange(rows)[:, None] + first) * seconds / DAY
    return np.sin(2 * np.pi * (days + np.linspace(0, 1, COLUMNS)[None, :]))


def cycle(rng: np.random.Generator, rows: int, first: int, seconds: float) -> Values:
    """The daily cycle with independent rows around it."""
    return daily(rows, first, seconds) + independent(rng, rows, first, seconds)


def cycle_runs(rng: np.random.Generator, rows: int, first: int, seconds: float) -> Values:
    """The daily cycle with AR(0.9) around it."""
    return daily(rows, first, seconds) + autoregression(rng, rows, first, seconds)


def week(rng: np.random.Generator, rows: int, first: int, seconds: float) -> Values:
    """The daily cycle with independent rows around it, two days of the week 1 lower."""
    day = (np.arange(rows) + first) * seconds // DAY % 7
    return cycle(rng, rows, first, seconds) - (day >= 5)[:, None]


STREAMS: dict[str, Stream] = {
    "independent": Stream(independent, timed=False),
    "independent, timed": Stream(independent),
    "AR(0.9)": Stream(autoregression),
    "daily cycle": Stream(cycle),
    "daily cycle + AR(0.9)": Stream(cycle_runs),
    "daily and weekly cycle": Stream(week),
    "daily cycle, 1 min": Stream(cycle, MINUTE),
    "daily cycle + AR(0.9), 1 min": Stream(cycle_runs, MINUTE),
}
