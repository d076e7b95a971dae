"""Evidently's default rule, computed from its definitions, and checked against Evidently itself.

Definitions as in evidently 0.7 (`legacy/calculations/stattests`): null and infinite values are left
out; with more than 1,000 reference values that remain, a number with more than 5 different values
on both sides together has the Wasserstein distance over the reference's standard deviation,
everything else the Jensen-Shannon distance of the counts, and drifts from 0.1 on; with up to 1,000
they have the p-value of Kolmogorov-Smirnov, chi-squared or (two values) a z-test, and drift below
0.05. The data set drifts when half of its columns do.

The distances take time with the window's size only, once the reference is sorted.
"""

import os
import warnings
from typing import Any

import numpy as np
import polars as pl
from rules import Answer, Floats, Judge, counted, split, word
from scipy import stats
from scipy.spatial.distance import jensenshannon

FEW_ROWS = 1000
FEW_VALUES = 5
DISTANCE, P_VALUE = 0.1, 0.05
SHARE = 0.5
Score = tuple[float, bool]  # the figure, and whether the column drifts


def evidently(reference: pl.DataFrame, time: str | None) -> Judge:
    """Half of all columns, as Evidently has it, and any column."""
    judged = scorer(reference, time)

    def judge(window: pl.DataFrame) -> Answer:
        drifts = [drifted for _, drifted in judged(window).values()]
        whole = sum(drifts) / len(drifts) >= SHARE
        return {"evidently": word(whole), "evidently, any column": word(any(drifts))}

    return judge


def scorer(reference: pl.DataFrame, time: str | None) -> Any:
    """A function window -> score by column; a column with no value on a side does not drift."""
    numbers, levels = split(reference, time)
    columns = {name: _Column(reference[name], name in numbers) for name in numbers + levels}

    def scores(window: pl.DataFrame) -> dict[str, Score]:
        return {name: column.score(window[name]) for name, column in columns.items()}

    return scores


def finite(series: pl.Series) -> pl.Series:
    """The values that Evidently looks at."""
    kept = series.drop_nulls()
    return kept.filter(kept.is_finite()) if kept.dtype.is_float() else kept


class _Column:
    """One column of the reference, sorted and summed once."""

    def __init__(self, reference: pl.Series, number: bool) -> None:
        self.values, self.number = finite(reference), number
        self.few_rows = len(self.values) <= FEW_ROWS
        distinct = self.values.head(FEW_ROWS).n_unique()
        self.continuous = number and (distinct > FEW_VALUES or self.values.n_unique() > FEW_VALUES)
        if self.continuous:
            values = self.values.to_numpy().astype(np.float64)
            self.centre, self.sd = float(values.mean()), float(np.std(values))
            self.sorted = np.sort(values) - self.centre
            self.sums = np.concatenate(([0.0], np.cumsum(self.sorted)))
        else:
            self.counts = counted(self.values)

    def score(self, series: pl.Series) -> Score:
        live = finite(series)
        if not len(self.values) or not len(live):
            return float("nan"), False
        if self.continuous:
            return self._continuous(np.sort(live.to_numpy().astype(np.float64)))
        counts = counted(live)
        keys = sorted(self.counts | counts)
        if self.number and len(keys) > FEW_VALUES:  # known only now: few values in the reference
            return self._continuous(np.sort(live.to_numpy().astype(np.float64)))
        sides = [np.array([side.get(key, 0) for key in keys]) for side in (self.counts, counts)]
        if not self.few_rows:
            distance = float(jensenshannon(sides[0] / sides[0].sum(), sides[1] / sides[1].sum()))
            return distance, distance >= DISTANCE
        p_value = _chi_squared(*sides) if len(keys) > 2 else _proportions(*sides)
        return p_value, p_value < P_VALUE

    def _continuous(self, live: Floats) -> Score:
        values = self.values.to_numpy().astype(np.float64)
        if self.few_rows:
            p_value = float(stats.ks_2samp(values, live).pvalue)
            return p_value, p_value <= P_VALUE
        if not self.continuous:
            distance = float(stats.wasserstein_distance(values, live) / max(np.std(values), 0.001))
        else:
            distance = wasserstein(self.sorted, self.sums, live - self.centre) / max(self.sd, 0.001)
        return distance, distance >= DISTANCE


def wasserstein(reference: Floats, sums: Floats, live: Floats) -> float:
    """The area between both empirical distributions, in steps of the smaller side.

    Between two live values the live distribution stands still at i / n while the reference's rises:
    they cross at most once, at the reference's quantile of i / n. Areas under the reference's
    distribution come from sums of its sorted values.

    Args:
        reference: sorted values, shape (m,).
        sums: sums of the first 0 … m of them.
        live: sorted values, shape (n,).
    """
    m, n = len(reference), len(live)

    def area(points: Floats) -> Floats:  # under the reference's distribution up to each point
        below = np.searchsorted(reference, points, side="right")
        return (below * points - sums[below]) / m

    start, end = live[:-1], live[1:]
    level = np.arange(1, n)
    quantile = reference[(level * m + n - 1) // n - 1]  # the first value with i / n at or below it
    crossing = np.clip(quantile, start, end)
    level = level / n
    under = level * (crossing - start) - (area(crossing) - area(start))
    over = (area(end) - area(crossing)) - level * (end - crossing)
    left = float(area(live[:1])[0])
    right = max(reference[-1], live[-1])
    beyond = (right - live[-1]) - float(area(np.array([right]))[0] - area(live[-1:])[0])
    return left + float(under.sum() + over.sum()) + float(beyond)


def _chi_squared(reference: Floats, live: Floats) -> float:
    expected = reference * (live.sum() / reference.sum())
    with np.errstate(divide="ignore"):
        statistic = float(((live - expected) ** 2 / expected).sum())
    return float(stats.chi2.sf(statistic, len(live) - 1))


def _proportions(reference: Floats, live: Floats) -> float:
    if len(live) == 1:
        return 1.0
    m, n = reference.sum(), live.sum()
    one, two = reference[1] / m, live[1] / n
    pooled = (reference[1] + live[1]) / (m + n)
    z = (one - two) / np.sqrt(pooled * (1 - pooled) * (1 / m + 1 / n))
    return float(2 * (1 - stats.norm.cdf(abs(z))))


def package(reference: pl.DataFrame, time: str | None) -> Judge:
    """Evidently itself, for `run.py --rules ours,evidently_rule:package`: seconds a window."""
    return lambda window: word(preset(reference, window, time)[1])


package.every = 20


def preset(
    reference: pl.DataFrame, window: pl.DataFrame, time: str | None = None
) -> tuple[dict[str, float], bool]:
    """Scores by column and the alarm, from Evidently's own DataDriftPreset."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # Evidently's own
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset

        numbers, levels = split(reference, time)
        definition = DataDefinition(numerical_columns=numbers, categorical_columns=levels)
        sides = [
            Dataset.from_pandas(frame.to_pandas(), data_definition=definition)
            for frame in (window, reference)
        ]
        found = Report([DataDriftPreset()]).run(sides[0], sides[1]).dict()["metrics"]
    scores = {item["config"]["column"]: float(item["value"]) for item in found[1:]}
    return scores, bool(found[0]["value"]["share"] >= SHARE)


def verify(seed: int = 0) -> float:
    """The largest difference to Evidently's own scores on small windows of several kinds.

    Raises:
        ImportError: Evidently is not installed.
        AssertionError: a score differs by more than 1e-9, or an alarm differs.
    """
    from changes import CHANGES
    from streams import STREAMS

    rng = np.random.default_rng(seed)
    stream = STREAMS["independent"]
    names = ("x0", "x3", "x4", "x5", "x7", "c27", "c28")
    worst = 0.0
    cases = [(800, 60, "stuck sensor"), (1500, 200, "unit x 1000, a column")]
    cases += [(1500, 300, "new level, 5 %"), (1020, 150, "missing 0 to 30 %")]
    for reference_rows, rows, change in cases:
        reference = few_values(stream.frame(rng, reference_rows).select(names))
        window = few_values(CHANGES[change](stream.frame(rng, rows).select(names), rng))
        mine = scorer(reference, None)(window)
        theirs, alarm = preset(reference, window)
        assert mine.keys() == theirs.keys(), (sorted(mine), sorted(theirs))
        for name, score in theirs.items():
            worst = max(worst, abs(mine[name][0] - score))
        assert worst <= 1e-9, f"{change}: scores differ by {worst}"
        answer = evidently(reference, None)(window)
        assert isinstance(answer, dict)
        assert answer["evidently"] == word(alarm), change
    return worst


def few_values(frame: pl.DataFrame) -> pl.DataFrame:
    """The table with a number of two values and one of four."""
    two = (pl.col("x0") > 0.5).cast(pl.Float64)
    return frame.with_columns(two=two, four=pl.col("x4").clip(-1, 2))
