"""The rules that are compared: made from a reference once, then asked about window after window.

A rule is a function (reference, time) -> judge; `time` names the column with the times, or is None.
The judge takes a window and answers "alarm", "quiet" or "unsure" (it cannot tell), or a mapping of
such answers when one computation gives several figures.

To measure your own: `run.py --rules ours,mypkg.drift:rule`. A rule that is slow may carry an
attribute `every = 10`: it is then asked about each tenth window only.

alibi-detect's and NannyML's rules are written here from their published definitions, and read no
code of theirs at run time: `TabularDrift` (Kolmogorov-Smirnov with the asymptotic law, chi-squared
on the levels of both sides, p < level / features; a column with a null has no p-value and never
alarms) and `UnivariateDriftCalculator` (Jensen-Shannon distance with base 2 to the whole reference,
Doane's bins, alarm above mean + 3 sd over the reference's chunks of the window's size, the last of
which may be shorter).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from lifecycle.drift import Profile, build_profile, compare_frames
from lifecycle.named import named
from lifecycle.records import Outcome

Answer = str | Mapping[str, str]
Judge = Callable[[pl.DataFrame], Answer]
Rule = Callable[[pl.DataFrame, str | None], Judge]
Floats = np.ndarray
ALARM, QUIET, UNSURE = "alarm", "quiet", "unsure"

RULES: dict[str, str] = {
    "ours": "rules:ours",
    "evidently": "evidently_rule:evidently",
    "alibi": "rules:alibi",
    "nannyml": "rules:nannyml",
}


def rule(name: str) -> Any:
    """A row of `RULES`, or "module:function"."""
    return named(name, RULES, kind="rule")


def answers(name: str, answer: Answer) -> dict[str, str]:
    """What a judge said, by column of the table.

    Raises:
        ValueError: it said none of the three words.
    """
    found = {name: answer} if isinstance(answer, str) else dict(answer)
    for word in found.values():
        if word not in (ALARM, QUIET, UNSURE):
            raise ValueError(f"rule {name} answered {word!r}, not alarm, quiet or unsure")
    return found


def word(alarm: bool) -> str:
    """Alarm or quiet."""
    return ALARM if alarm else QUIET


def ours(reference: pl.DataFrame, time: str | None) -> Judge:
    """The verdict of `lifecycle.drift` against a stored profile, alpha 1 %."""
    profile = Profile.loads(build_profile(reference, time=time).dumps())
    words = {Outcome.FAIL: ALARM, Outcome.UNSURE: UNSURE, Outcome.PASS: QUIET}
    return lambda window: words[compare_frames(profile, window, time=time).outcome]


def split(frame: pl.DataFrame, time: str | None) -> tuple[list[str], list[str]]:
    """The columns of numbers and those of levels."""
    numbers = [name for name, dtype in frame.schema.items() if dtype.is_numeric()]
    return numbers, [name for name in frame.columns if name not in numbers and name != time]


def alibi(reference: pl.DataFrame, time: str | None) -> Judge:
    """Any column below level / columns; at its own level of 5 %, and at 1 %."""
    numbers, levels = split(reference, time)
    whole = {
        name: np.sort(reference[name].to_numpy())
        for name in numbers
        if not reference[name].null_count()
    }
    tables = {name: counted(reference[name]) for name in levels}

    def judge(window: pl.DataFrame) -> Answer:
        distances, effective = [], []
        for name, values in whole.items():
            if not window[name].null_count():
                m, n = len(values), window.height
                distances.append(kolmogorov_smirnov(values, np.sort(window[name].to_numpy())))
                effective.append(np.round(m * n / (m + n)))
        p_values = list(stats.kstwo.sf(np.array(distances), np.array(effective)))
        for name, known in tables.items():
            found = counted(window[name])
            both = [[side.get(key, 0) for key in known | found] for side in (known, found)]
            p_values.append(stats.chi2_contingency(both).pvalue if len(both[0]) > 1 else 1.0)
        least = min(p_values) * (len(numbers) + len(levels))
        return {"alibi at 5 %": word(least < 0.05), "alibi at 1 %": word(least < 0.01)}

    return judge


def counted(series: pl.Series) -> dict[Any, int]:
    """How often each value comes, null left out."""
    return dict(series.drop_nulls().alias("level").value_counts(name="rows").rows())


def kolmogorov_smirnov(reference: Floats, window: Floats) -> float:
    """The largest distance of both empirical distributions; both sorted."""
    m, n = len(reference), len(window)
    gaps = []
    for side in ("left", "right"):
        one = np.searchsorted(reference, window, side) / m
        two = np.searchsorted(window, window, side) / n
        gaps.append(np.abs(one - two).max())
    return float(max(gaps))


def nannyml(reference: pl.DataFrame, time: str | None) -> Judge:
    """Any column further from the reference than mean + 3 sd of the reference's own chunks."""
    numbers, levels = split(reference, time)
    bins = {name: _Bins(reference[name]) for name in numbers + levels}
    cells = {name: item.cells(reference[name]) for name, item in bins.items()}
    limits: dict[int, dict[str, float]] = {}

    def judge(window: pl.DataFrame) -> Answer:
        rows = window.height
        if rows not in limits:
            limits[rows] = {name: bins[name].limit(cells[name], rows) for name in bins}
        far = (item.distance(window[name]) > limits[rows][name] for name, item in bins.items())
        return word(any(far))

    return judge


class _Bins:
    """One column's bins and the reference's shares of them; the last bin is for anything else."""

    def __init__(self, reference: pl.Series) -> None:
        values = reference.drop_nulls()
        distinct = values.n_unique()
        many = distinct > 50 or distinct > 0.1 * len(values)
        self.edges = None
        if values.dtype.is_numeric() and many:
            self.edges = np.histogram_bin_edges(values.to_numpy(), bins="doane")
            self.size = len(self.edges) - 1
        else:
            self.levels = values.unique().sort()
            self.size = len(self.levels)
        counts = np.bincount(self.cells(values), minlength=self.size + 2)
        self.shares = counts[:-1] / len(values)

    def cells(self, series: pl.Series) -> np.ndarray:
        """The bin of each row; `size` for none of them, `size` + 1 for null."""
        none = self.size + 1
        if self.edges is None:
            codes = series.replace_strict(
                self.levels, np.arange(self.size), default=self.size, return_dtype=pl.Int64
            ).to_numpy()
            return np.where(series.is_null().to_numpy(), none, codes)
        values = series.cast(pl.Float64).fill_null(np.nan).to_numpy()
        place = np.searchsorted(self.edges, values, side="right") - 1
        place[values == self.edges[-1]] = self.size - 1
        place[(place < 0) | (place >= self.size)] = self.size
        return np.where(np.isnan(values), none, place)

    def limit(self, cells: np.ndarray, rows: int) -> float:
        """Mean + 3 sd of the distances of the reference's chunks of so many rows."""
        chunks = -(-len(cells) // rows)
        width = self.size + 2
        flat = np.arange(len(cells)) // rows * width + cells
        counts = np.bincount(flat, minlength=chunks * width).reshape(chunks, width)[:, :-1]
        found = self.distances(counts)
        return float(np.nanmean(found) + 3 * np.nanstd(found))

    def distance(self, series: pl.Series) -> float:
        """Jensen-Shannon distance of a window to the reference; NaN where all is null."""
        counts = np.bincount(self.cells(series), minlength=self.size + 2)[:-1]
        return float(self.distances(counts[None, :])[0])

    def distances(self, counts: np.ndarray) -> np.ndarray:
        """Distances of rows of counts, shape (chunks, bins), with base 2."""
        with np.errstate(divide="ignore", invalid="ignore"):
            two = counts / counts.sum(axis=1, keepdims=True)
            one = np.broadcast_to(self.shares, two.shape)
            middle = (one + two) / 2
            sums = [np.where(item > 0, item * np.log2(item / middle), 0.0) for item in (one, two)]
        found = np.sqrt(np.maximum(0.0, (sums[0] + sums[1]).sum(axis=1) / 2))
        return np.where(counts.sum(axis=1) > 0, found, np.nan)
