"""False alarms and power of the verdict on seeded streams: `python benchmarks/drift/rates.py`.

Prints a table in Markdown; `--windows N` sets how many windows each row is measured on.
"""

import argparse
import datetime as dt
from collections.abc import Callable

import numpy as np
import polars as pl
from scipy.signal import lfilter

from lifecycle.drift import build_profile, compare_frames
from lifecycle.records import Outcome

START = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - frames hold naive UTC
COLUMNS = 30


def stamps(rows: int, seconds: float, offset: float = 0.0) -> pl.Series:
    """Times of `rows` rows, `seconds` apart."""
    micro = ((np.arange(rows) + offset) * seconds * 1e6).astype("timedelta64[us]")
    return pl.Series("ts", np.datetime64(START, "us") + micro)


def table(values: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    """25 numbers and 5 columns of levels cut from numbers, as wide as `values`, shape (n, 30)."""
    columns = {f"x{place}": values[:, place] for place in range(25)}
    for place in range(25, COLUMNS):
        columns[f"c{place}"] = np.array(list("abcdef"))[
            np.clip((values[:, place] * 1.2 + 3).astype(int), 0, 5)
        ]
    columns["x3"] = np.where(rng.random(len(values)) < 0.05, np.nan, columns["x3"])
    columns["x4"] = np.round(columns["x4"])
    columns["x5"] = np.exp(1.5 * columns["x5"])
    return pl.DataFrame(columns)


def independent(rng: np.random.Generator, rows: int) -> np.ndarray:
    """Independent normal rows."""
    return rng.normal(size=(rows, COLUMNS))


def autoregression(rng: np.random.Generator, rows: int) -> np.ndarray:
    """AR(0.9), variance 1."""
    noise = rng.normal(size=(rows + 200, COLUMNS)) * np.sqrt(1 - 0.81)
    return lfilter([1.0], [1.0, -0.9], noise, axis=0)[200:]


def cycle(rng: np.random.Generator, rows: int) -> np.ndarray:
    """A daily cycle of amplitude 1 on independent rows, one row each 15 minutes."""
    phase = 2 * np.pi * (np.arange(rows)[:, None] / 96 + np.linspace(0, 1, COLUMNS)[None, :])
    return rng.normal(size=(rows, COLUMNS)) + np.sin(phase)


def both(rng: np.random.Generator, rows: int) -> np.ndarray:
    """The cycle with AR(0.9) instead of independent rows."""
    return (
        cycle(rng, rows) * 0
        + autoregression(rng, rows)
        + (
            cycle(np.random.default_rng(0), rows)
            - np.random.default_rng(0).normal(size=(rows, COLUMNS))
        )
    )


def false_alarms(
    stream: Callable[[np.random.Generator, int], np.ndarray],
    reference_rows: int,
    rows: int,
    windows: int,
    *,
    timed: bool,
    per: int = 20,
) -> tuple[float, float]:
    """Share of windows that alarm, and that cannot tell."""
    alarms = unsure = done = 0
    seed = 0
    while done < windows:
        rng = np.random.default_rng([seed, reference_rows, rows])
        seed += 1
        gap = 0 if not timed else rows
        many = min(per, windows - done)
        values = stream(rng, reference_rows + many * (rows + gap))
        frame = table(values, rng)
        if timed:
            frame = frame.with_columns(stamps(frame.height, 900.0))
        time = "ts" if timed else None
        profile = build_profile(frame[:reference_rows], time=time)
        for place in range(many):
            start = reference_rows + place * (rows + gap) + gap
            report = compare_frames(profile, frame[start : start + rows], time=time)
            alarms += report.outcome is Outcome.FAIL
            unsure += report.outcome is Outcome.UNSURE
            done += 1
    return alarms / done, unsure / done


def _missing(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    gone = pl.Series(rng.random(frame.height) < 0.3)
    return frame.with_columns(x7=pl.when(gone).then(None).otherwise(pl.col("x7")))


CHANGES: dict[str, Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]] = {
    "one column 0.3 sd": lambda f, _: f.with_columns(pl.col("x7") + 0.3),
    "three columns 0.3 sd": lambda f, _: f.with_columns(pl.col("x7", "x8", "x9") + 0.3),
    "one column 1 sd": lambda f, _: f.with_columns(pl.col("x7") + 1.0),
    "missing 0 to 30 %": _missing,
    "sd x 1.5": lambda f, _: f.with_columns(pl.col("x7") * 1.5),
    "unit x 1000": lambda f, _: f.with_columns(pl.col("x7") * 1000),
    "unit x 1000, 5 % of rows": lambda f, r: f.with_columns(
        pl.col("x7") * pl.Series(np.where(r.random(f.height) < 0.05, 1000.0, 1.0))
    ),
    "stuck sensor": lambda f, _: f.with_columns(x7=pl.col("x7").first()),
    "new level 5 %": lambda f, r: f.with_columns(
        c27=pl.when(pl.Series(r.random(f.height) < 0.05)).then(pl.lit("z")).otherwise(pl.col("c27"))
    ),
    "correlation flipped": lambda f, _: f.with_columns(x1=-pl.col("x1")),
}


def power(change: str, rows: int, windows: int, *, timed: bool = False) -> float:
    """Share of changed windows that alarm."""
    found = 0
    rng = np.random.default_rng([rows, windows])
    frame = table(independent(rng, 10_000 + rows * windows), rng)
    frame = frame.with_columns(x1=0.7 * pl.col("x0") + 0.7 * pl.col("x1"))
    if timed:
        frame = frame.with_columns(stamps(frame.height, 900.0))
    time = "ts" if timed else None
    profile = build_profile(frame[:10_000], time=time)
    for place in range(windows):
        start = 10_000 + place * rows
        live = CHANGES[change](frame[start : start + rows], rng)
        found += compare_frames(profile, live, time=time).drifted
    return found / windows


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=400)
    windows = parser.parse_args().windows
    print("| unchanged stream | reference | window | alarms | cannot tell |\n|---|---|---|---|---|")
    streams = (independent, autoregression, cycle, both)
    plans = [(independent, 10_000, rows, False) for rows in (200, 1_000, 10_000)]
    plans += [(independent, 2_000, 1_000, False)]
    plans += [(s, 6_720, rows, True) for s in streams for rows in (36, 200, 672, 2_016)]
    for stream, reference, rows, timed in plans:
        many = windows if rows < 5_000 else windows // 4
        alarm, unsure = false_alarms(stream, reference, rows, many, timed=timed)
        name = stream.__name__ + (", timed" if timed else "")
        print(f"| {name} | {reference} | {rows} | {alarm:.4f} | {unsure:.4f} |", flush=True)
    print("\n| change | 200 rows | 1,000 rows | 1,000 timed rows |\n|---|---|---|---|")
    for change in CHANGES:
        rates = [power(change, rows, max(20, windows // 8)) for rows in (200, 1_000)]
        rates.append(power(change, 1_000, max(20, windows // 8), timed=True))
        print(f"| {change} | " + " | ".join(f"{rate:.2f}" for rate in rates) + " |", flush=True)


if __name__ == "__main__":
    main()
