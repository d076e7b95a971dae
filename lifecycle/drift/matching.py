"""Hold a short window against the same hours of the reference, where its hours differ.

>>> hours = np.arange(60 * 24)
>>> bands = (hours % 24 >= 12).astype(int)  # every afternoon is of the second band
>>> times = hours * 3600
>>> blocks = Blocks.count(bands, times, width=2)
>>> seasons = Seasons.count(bands, times, width=2)
>>> pattern = pattern_of(blocks, seasons, np.array([[0.0, 1.0]]))
>>> pattern.seconds
86400
>>> live = Seasons.count(np.array([1, 1]), times[13:15], width=2)
>>> matched = Matched.of(pattern, live, np.array([[0.0, 1.0]]))
>>> matched.means.tolist(), matched.rows.tolist()  # of all rows, half are of the second band
([1.0], [120.0])

Whether a column has a season is read from the reference alone: its hours of the day, or its
weekdays and the hours of its weeks, differ by more than what comes in runs explains. Then each
hour of the reference counts as much as it does among the live rows (direct standardisation), and
the variance is that around the hours' own means. A window of whole days or weeks weighs all hours
alike, which is the plain comparison.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lifecycle.drift.blocks import Blocks
from lifecycle.drift.cells import Floats
from lifecycle.drift.runs import Runs, Spread
from lifecycle.drift.seasons import DAY_HOURS, HOUR, WEEK_HOURS, Pattern, Seasons
from lifecycle.drift.tails import two_sided

FEWEST = 3  # days or weeks from which a season can be told
CHANCE = 0.005  # of taking a column without a season for one with; it costs power only
ROUNDING = 1e-9  # of sums of squares, in hours in which a column never varies
BALANCED = 0.05  # of the rows at other hours make no difference
DAY = DAY_HOURS * HOUR
WEEK = WEEK_HOURS * HOUR


def pattern_of(blocks: Blocks, seasons: Seasons, scores: Floats) -> Pattern | None:
    """The hours by which a reference column differs from itself; None where it has no season.

    The answer is kept with `seasons`, as it does not depend on the live rows.

    Args:
        blocks: the column's counts by time.
        seasons: the same by hour of the week.
        scores: what to look at, shape (k, width); NaN for bands that do not count.
    """
    asked = scores.tobytes()
    if asked not in seasons.known:
        seasons.known[asked] = _pattern(blocks, seasons, scores)
    return seasons.known[asked]


def _pattern(blocks: Blocks, seasons: Seasons, scores: Floats) -> Pattern | None:
    span = len(blocks.counts) * blocks.seconds
    if span >= FEWEST * WEEK:
        weekly = Pattern.of(seasons, weekly=True)
        if _weekdays_differ(blocks, weekly, scores):
            return weekly
    daily = Pattern.of(seasons, weekly=False)
    if span >= FEWEST * DAY and _hours_differ(blocks, daily, scores):
        return daily
    return None


def _hours_differ(blocks: Blocks, pattern: Pattern, scores: Floats) -> bool:
    """Whether the hours of the day differ from their mean."""
    used, centred = _centred(blocks, scores)
    means = pattern.means(centred, used)[:DAY_HOURS]
    rows = pattern.rows(used)[:DAY_HOURS] * (WEEK_HOURS / DAY_HOURS)
    return _differ(Runs(blocks, HOUR, pattern), scores, means, rows)


def _weekdays_differ(blocks: Blocks, pattern: Pattern, scores: Floats) -> bool:
    """Whether weekdays differ, or the hours of the week from the mean of their hour of the day."""
    used, centred = _centred(blocks, scores)
    rows = pattern.rows(used)
    means = pattern.means(centred, used)
    days = (-1, DAY_HOURS, len(scores))
    held = rows.reshape(days)
    total = held.sum(axis=0)
    usual = (held * means.reshape(days)).sum(axis=0)
    usual = np.divide(usual, total, out=np.zeros_like(usual), where=total > 0)
    gaps = (means.reshape(days) - usual) * (held > 0)
    by_day = held.sum(axis=1)
    daily = (held * gaps).sum(axis=1)
    daily = np.divide(daily, by_day, out=np.zeros_like(daily), where=by_day > 0)
    return _differ(Runs(blocks, DAY, pattern), scores, daily, by_day) or _differ(
        Runs(blocks, HOUR, pattern), scores, gaps.reshape(means.shape), rows
    )


def _differ(runs: Runs, scores: Floats, gaps: Floats, rows: Floats) -> bool:
    """Whether any of the gaps, shape (slots, k), is more than chance; sure at any dependence."""
    assert runs.pattern is not None
    times = runs.span / runs.pattern.seconds
    share = CHANCE / gaps.size
    for place, spread in enumerate(runs.spreads(scores)):
        many = rows[:, place]
        seen = many > 0
        if not seen.any():
            continue
        variance = spread.live / times + spread.row / np.maximum(1.0, many)
        sizes = np.divide(
            gaps[:, place], np.sqrt(variance), out=np.zeros(len(many)), where=variance > 0
        )
        sure = (variance <= 0) & (np.abs(gaps[:, place]) > 0)  # no hour ever differs from itself
        largest = float(np.abs(sizes[seen]).max())
        if (sure & seen).any() or two_sided(largest, spread.freedom) < share:
            return True
    return False


def _centred(blocks: Blocks, scores: Floats) -> tuple[Floats, Floats]:
    used = np.isfinite(scores)
    totals = blocks.counts.sum(axis=0)
    rows = np.maximum(1.0, used @ totals.astype(np.float64))
    given = np.where(used, scores, 0.0)
    centred = np.where(used, given - (given @ totals / rows)[:, None], 0.0)
    return used.astype(np.float64), centred


@dataclass(frozen=True)
class Matched:
    """The reference with each hour weighed as among the live rows, for k scores.

    Attributes:
        means: mean of each score, shape (k,).
        row: variance between rows of the same hour, at the live rows' hours.
        rows: how many reference rows that comes to.
        busier: how much more rows vary at the live rows' hours than at all hours.
        distance: share of the live rows whose hours would have to move for the plain comparison.
        pattern: the reference's hours.
        weights: share of the live rows at each hour, shape (24 or 168, k).
    """

    means: Floats
    row: Floats
    rows: Floats
    busier: Floats
    distance: float
    pattern: Pattern
    weights: Floats

    @property
    def uneven(self) -> bool:
        """Whether the live rows' hours are not those of the whole reference."""
        return self.distance > BALANCED

    @classmethod
    def of(cls, pattern: Pattern, live: Seasons, scores: Floats) -> "Matched | None":
        """Weigh the reference; None where it has no rows at an hour of the live ones.

        Args:
            pattern: the reference's hours.
            live: the live rows by hour of the week.
            scores: shape (k, width); NaN for bands that do not count.
        """
        used = np.isfinite(scores).astype(np.float64)
        given = np.where(used > 0, scores, 0.0)
        held = pattern.fold((live.counts @ used.T).astype(np.float64))
        known = (pattern.counts @ used.T).astype(np.float64)
        if ((held > 0) & (known <= 0)).any() or (held.sum(axis=0) <= 0).any():
            return None
        weights = held / held.sum(axis=0)
        many = np.maximum(known, 1.0)
        means = pattern.counts @ given.T / many
        raw = pattern.counts @ (given**2).T
        squares = raw - known * means**2
        squares = np.where(squares > ROUNDING * raw, squares, 0.0)
        pooled = squares.sum(axis=0) / np.maximum(1.0, known.sum(axis=0))
        own = (squares + pooled) / many  # as if each hour had one more row of the usual spread
        row = (weights * own).sum(axis=0)
        error = (weights**2 * own / many).sum(axis=0)
        rows = np.divide(row, error, out=1 / (weights**2 / many).sum(axis=0), where=error > 0)
        busier = np.divide(row, pooled, out=np.ones_like(row), where=pooled > 0)
        shares = known / known.sum(axis=0)
        distance = float(np.abs(weights - shares).sum(axis=0).max()) / 2
        standard = (weights * means).sum(axis=0)
        return cls(standard, row, rows, busier, distance, pattern, weights)

    def covariance(self, groups: Floats) -> Floats:
        """Of one row's membership in groups of bands at the live rows' hours, shape (k, k).

        Args:
            groups: 1 where a band belongs to a group, shape (k, width), 0 for null.
        """
        held = self.pattern.counts @ groups.T
        shares = held / np.maximum(1.0, held.sum(axis=1, keepdims=True))
        weights = self.weights[:, 0]
        both = (shares * weights[:, None]).T @ shares
        return np.asarray(np.diag(weights @ shares) - both, dtype=np.float64)

    def shares(self, groups: Floats) -> Floats:
        """Shares of groups of bands, of the values at the live rows' hours, shape (k,)."""
        held = self.pattern.counts @ groups.T
        shares = held / np.maximum(1.0, held.sum(axis=1, keepdims=True))
        return np.asarray(self.weights[:, 0] @ shares, dtype=np.float64)

    def spread(self, spread: Spread, place: int) -> Spread:
        """The spread at the live rows' hours of what was measured at all hours."""
        busier = max(1.0, float(self.busier[place]))
        return replace(spread.scaled(busier), row=float(self.row[place]))


def in_words(columns: Sequence[Matched | None], span: float) -> str:
    """What live rows were held against; nothing where that is the whole reference.

    Args:
        columns: one entry a column, None for those without a season.
        span: the reference's length in seconds.
    """
    held = [item for item in columns if item is not None and item.uneven]
    if not held:
        return ""
    weekly = sum(item.pattern.seconds == WEEK for item in held)
    hours = f"the same hours of {round(span / DAY)} days"
    weekdays = f"the same hours and weekdays of {round(span / WEEK)} weeks"
    words = weekdays if weekly == len(held) else hours
    if len(held) < len(columns):
        words += f" in {len(held)} of {len(columns)} columns"
    if 0 < weekly < len(held):
        words += f", {weekdays} in {weekly} of them"
    return f"{words}; correlations between columns with a season were not tested"
