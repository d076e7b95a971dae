"""Where is the model worst? Groups of rows whose loss is above what the hold-out had there.

>>> rng = np.random.default_rng(0)
>>> rows = pl.DataFrame({"carrier": rng.choice(["EV", "UA", "DL"], 900), "hour": rng.random(900)})
>>> losses, before = rng.exponential(size=(2, 900))
>>> losses[(rows["carrier"] == "EV").to_numpy()] += 0.5
>>> worst_slices(rows, losses, rows, before, metric="mae")[0].where
"carrier = 'EV'"

Groups are the levels of each column, quantile bins of numbers, rows where it is missing, and pairs
of these. A group is worse when its mean loss exceeds the hold-out's in the same group by more than
the rest exceeds the rest's, so that neither a group that was always hard nor a model that is worse
everywhere is news; a group that the hold-out lacks is held against the rest, a pair is not judged
then. The test is Welch's
(Biometrika 34, 1947), one-sided; single groups and pairs share alpha, and the groups of each share
their half (Bonferroni).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import polars as pl
from scipy.special import stdtr, stdtrit

from lifecycle.drift.calibration import quantile_edges
from lifecycle.drift.reasons import chance
from lifecycle.models.influence import Array, Floats
from lifecycle.records import Outcome, Slice

BINS = 5
FEW_VALUES = 10  # numbers with so few are taken one by one
MOST_LEVELS = 25
PAIRED = 12  # columns that are paired
ROWS_TO_PAIR = (1_000, 200_000)  # fewer tell nothing, more take seconds
UNKNOWN = 1e90  # an error that nothing is known of; finite, so that sums of it are
FEWEST_STRETCHES = 1.5  # of time that must hold a group, where rows of one go together
LEAST_EXCESS = 0.1  # of the hold-out's mean loss
MOST_NAMED = 20  # groups of a named column that are shown


@dataclass(frozen=True)
class _Cells:
    """One column, or a pair, cut into groups."""

    columns: tuple[str, ...]
    names: list[str]
    live: Array  # the group of each live row, -1 for none
    held: Array


@dataclass(frozen=True)
class _Losses:
    """Each row's loss, which are known, and the stretches of both sides."""

    live: Floats
    held: Floats
    known: Array
    live_blocks: Array | None
    held_blocks: Array | None


@dataclass(frozen=True)
class _Sums:
    """Count, mean and variance of the mean, by group and of all that are not in it."""

    rows: Floats
    mean: Floats
    error: Floats  # variance of the mean
    rest: Floats
    rest_error: Floats
    freedom: Floats  # of the variance

    @classmethod
    def of(cls, cells: Array, losses: Floats, size: int, blocks: Array | None) -> "_Sums":
        kept = cells >= 0
        own, values = cells[kept], losses[kept]
        rows, total, squares = (
            np.bincount(own, weights=item, minlength=size).astype(float)
            for item in (np.ones(len(own)), values, values**2)
        )
        mean, error = _moments(rows, total, squares)
        rest, rest_error = _moments(
            len(losses) - rows, losses.sum() - total, (losses**2).sum() - squares
        )
        free = np.maximum(rows - 1.0, 1.0)
        if blocks is not None:
            together = _together(cells, losses, blocks, (rows, mean, error, rest_error))
            error, rest_error, stretches = together
            free = np.minimum(free, np.maximum(stretches - 1.0, 1.0))
        return cls(rows, mean, error, rest, rest_error, free)


def _together(
    cells: Array, losses: Floats, blocks: Array, found: tuple[Floats, Floats, Floats, Floats]
) -> tuple[Floats, Floats, Floats]:
    """The variances of the means where the rows of a block go together; never smaller ones.

    And how many equally filled blocks hold a group: rows of one day alone tell nothing of others.
    """
    rows, mean, error, rest_error = found
    size, count = len(rows), int(blocks.max()) + 1
    kept = cells >= 0
    place = cells[kept] * count + blocks[kept]
    held, sums = (
        np.bincount(place, weights=item, minlength=size * count).reshape(size, count)
        for item in (np.ones(len(place)), losses[kept])
    )
    everyone, total = (
        np.bincount(blocks, weights=item, minlength=count)
        for item in (np.ones(len(losses)), losses)
    )
    filled = int((everyone > 0).sum())
    scale = filled / max(1, filled - 1)
    stretches = rows**2 / np.maximum((held**2).sum(axis=1), 1.0)
    own = ((sums - mean[:, None] * held) ** 2).sum(axis=1)
    own *= stretches / np.maximum(stretches - 1.0, 1e-9)
    own[stretches < FEWEST_STRETCHES] = UNKNOWN
    others = np.maximum(len(losses) - rows, 1.0)
    mean_rest = (losses.sum() - sums.sum(axis=1)) / others
    away = (total - sums) - mean_rest[:, None] * (everyone - held)
    rest = (away**2).sum(axis=1) * scale
    return (
        np.maximum(error, own / np.maximum(rows, 1.0) ** 2),
        np.maximum(rest_error, rest / others**2),
        stretches,
    )


def _moments(rows: Floats, total: Floats, squares: Floats) -> tuple[Floats, Floats]:
    mean = total / np.maximum(rows, 1.0)
    spread = np.maximum(squares - rows * mean**2, 0.0) / np.maximum(rows - 1.0, 1.0)
    return mean, spread / np.maximum(rows, 1.0)


def worst_slices(
    rows: pl.DataFrame,
    losses: Any,
    holdout_rows: pl.DataFrame,
    holdout_losses: Any,
    *,
    metric: str,
    named: Sequence[str] = (),
    blocks: tuple[Array | None, Array | None] = (None, None),
    alpha: float = 0.01,
    min_rows: int = 30,
    most: int = 5,
) -> tuple[Slice, ...]:
    """Look for groups of rows with too large a loss.

    Rows count as independent, but for `blocks`.

    Args:
        rows: (n,) features of live rows.
        losses: (n,) each row's loss; NaN where its label has not come.
        holdout_rows: (m,) features of the hold-out.
        holdout_losses: (m,) each row's loss.
        metric: what the mean loss is called.
        named: columns whose groups are shown in any case, worse or not.
        blocks: (n,) and (m,) the stretch of each row, live and held out; rows of one stretch may
            go together.
        alpha: how often unchanged losses may show any group as worse.
        min_rows: a group with fewer labelled rows is not judged.
        most: groups that are shown beside the named ones.

    Returns:
        Groups that are worse, by how sure that is; then those of named columns; where nothing is
        worse, the three that come nearest to it.
    """
    live, held = np.asarray(losses, dtype=float), np.asarray(holdout_losses, dtype=float)
    known = ~np.isnan(live)
    if known.sum() < min_rows or len(held) < min_rows:
        return ()
    singles = list(_singles(rows, holdout_rows))
    pairs: list[_Cells] = []
    if ROWS_TO_PAIR[0] <= known.sum() and rows.height <= ROWS_TO_PAIR[1]:
        pairs = [_paired(*two) for two in combinations(singles[:PAIRED], 2)]
    figures = _Losses(live, held, known, *blocks)
    found = [
        *_judged(singles, figures, metric, alpha, min_rows, halves=1 + bool(pairs)),
        *_judged(pairs, figures, metric, alpha, min_rows, halves=2),
    ]
    return _shown(found, named, most)


def _shown(
    found: list[tuple[tuple[str, ...], Slice]], named: Sequence[str], most: int
) -> tuple[Slice, ...]:
    def place(item: Slice) -> float:
        return 2.0 if item.p_value is None else item.p_value

    alone = {item.where for _, item in found if item.outcome is Outcome.FAIL}
    worse, own, others = [], [], []
    for columns, item in found:
        asked = len(columns) == 1 and columns[0] in named
        if asked:
            own.append(Slice(**{**item.__dict__, "named": True}))
        elif item.outcome is Outcome.FAIL:
            parts = item.where.split(" and ")
            if len(columns) == 1 or not any(part in alone for part in parts):
                worse.append(item)
        elif item.p_value is not None:
            others.append(item)
    worse, own = sorted(worse, key=place)[:most], sorted(own, key=place)[:MOST_NAMED]
    if not worse and not own:
        return tuple(sorted(others, key=place)[:3])
    failed = [item for item in own if item.outcome is Outcome.FAIL]
    calm = [item for item in own if item.outcome is not Outcome.FAIL]
    return (*sorted([*worse, *failed], key=place), *calm)


def _judged(
    groups: Sequence[_Cells],
    figures: _Losses,
    metric: str,
    alpha: float,
    min_rows: int,
    *,
    halves: int,
) -> list[tuple[tuple[str, ...], Slice]]:
    live, held, known = figures.live, figures.held, figures.known
    then_blocks, now_blocks = figures.held_blocks, figures.live_blocks
    now_blocks = None if now_blocks is None else now_blocks[known]
    least = LEAST_EXCESS * float(held.mean())
    drawn = []
    for cells in groups:
        size = len(cells.names)
        now = _Sums.of(cells.live[known], live[known], size, now_blocks)
        then = _Sums.of(cells.held, held, size, then_blocks)
        drawn.append((cells, now, then, *_excess(now, then, min_rows)))
    count = sum(int(_judgeable(*item[:3], min_rows).sum()) for item in drawn)
    found = []
    for cells, now, then, excess, p_value in drawn:
        everyone = np.bincount(cells.live[cells.live >= 0], minlength=len(cells.names))
        able = _judgeable(cells, now, then, min_rows)
        for index in np.flatnonzero(able if len(cells.columns) > 1 else everyone > 0).tolist():
            name, judged = cells.names[index], bool(able[index])
            corrected = min(1.0, float(p_value[index]) * count * halves) if judged else None
            worse = corrected is not None and corrected <= alpha and excess[index] >= least
            outcome = Outcome.FAIL if worse else Outcome.PASS
            there = then.rows[index] >= min_rows
            wide = float(stdtrit(now.freedom[index], 0.975) * np.sqrt(now.error[index]))
            reach = wide if now.error[index] < UNKNOWN / 1e30 else None
            value, expected = float(now.mean[index]), float(then.mean[index])
            found.append((
                cells.columns,
                Slice(
                    where=name,
                    rows=int(everyone[index]),
                    labelled=int(now.rows[index]),
                    metric=metric,
                    value=value if judged else None,
                    low=max(value - reach, 0.0) if judged and reach is not None else None,
                    high=value + reach if judged and reach is not None else None,
                    rest=float(now.rest[index]),
                    expected=expected if there else None,
                    p_value=corrected,
                    outcome=outcome if judged else Outcome.UNSURE,
                    reason=_reason(metric, now, index, expected if there else None, corrected),
                ),
            ))  # fmt: skip
    return found


def _judgeable(cells: _Cells, now: _Sums, then: _Sums, min_rows: int) -> Array:
    total = now.rows.sum() if len(cells.columns) == 1 else np.inf
    enough: Array = (now.rows >= min_rows) & (total - now.rows >= min_rows)  # and a rest to compare
    return enough if len(cells.columns) == 1 else enough & (then.rows >= min_rows)


def _excess(now: _Sums, then: _Sums, min_rows: int) -> tuple[Floats, Floats]:
    """By how much each group is worse, and how probable that is by chance (one-sided)."""
    there = then.rows >= min_rows
    everywhere = np.maximum(now.rest - then.rest, 0.0)  # what the rest has lost as well
    excess = np.where(there, now.mean - then.mean - everywhere, now.mean - now.rest)
    # few hold-out rows with small losses by chance look surer than they are: the larger spread
    spread = np.maximum(then.error, now.error * now.rows / np.maximum(then.rows, 1.0))
    parts = np.where(
        there, [now.error, spread, now.rest_error + then.rest_error],
        [now.error, np.zeros_like(now.error), now.rest_error],
    )  # fmt: skip
    error = parts.sum(axis=0)
    tails = parts[0] ** 2 / now.freedom + parts[1] ** 2 / then.freedom
    tails = np.where(tails > 0, error**2 / np.maximum(tails, 1e-300), np.inf)
    far = np.where(error > 0, excess / np.sqrt(np.maximum(error, 1e-300)), np.sign(excess) * 1e3)
    return excess, np.asarray(stdtr(np.minimum(tails, 1e9), -far))


def _reason(
    metric: str, now: _Sums, index: int, expected: float | None, corrected: float | None
) -> str:
    rows = f"{int(now.rows[index]):,} labelled rows"
    if corrected is None:
        return f"{rows}: too few to judge"
    there = (
        f"{now.rest[index]:.3g} on the rest, none in the hold-out"
        if expected is None
        else f"{expected:.3g} on the hold-out's, {now.rest[index]:.3g} on the rest"
    )
    return f"{metric} {now.mean[index]:.3g} on {rows}, {there} ({chance(corrected)})"


def _singles(rows: pl.DataFrame, before: pl.DataFrame) -> Iterator[_Cells]:
    for name in rows.columns:
        if name not in before.columns:
            continue
        live, held = rows[name], before[name]
        if live.dtype.is_numeric() and held.dtype.is_numeric():
            values = pl.concat([live.cast(pl.Float64), held.cast(pl.Float64)])
            known = values.drop_nulls()
            if known.head(1000).n_unique() > FEW_VALUES or known.n_unique() > FEW_VALUES:
                yield _binned(name, live, held)
                continue
        elif live.dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Boolean):
            continue
        made = _levels(name, live, held)
        if len(made.names) <= MOST_LEVELS + 1:
            yield made


def _binned(name: str, live: pl.Series, held: pl.Series) -> _Cells:
    numbers = [item.cast(pl.Float64).fill_null(float("nan")).to_numpy() for item in (live, held)]
    known = numbers[1][~np.isnan(numbers[1])]
    edges = quantile_edges(known if len(known) else np.zeros(1), BINS)
    shown = [f"{edge:.6g}" for edge in edges]
    names = [f"{low} <= {name} < {high}" for low, high in pairwise(shown)]
    if shown:
        names = [f"{name} < {shown[0]}", *names, f"{name} >= {shown[-1]}"]
    else:
        names = [f"{name} is known"]
    names.append(f"{name} is missing")
    cells = [
        np.where(np.isnan(item), len(names) - 1, np.searchsorted(edges, item, side="right"))
        for item in numbers
    ]
    return _Cells((name,), names, cells[0], cells[1])


def _levels(name: str, live: pl.Series, held: pl.Series) -> _Cells:
    numeric = live.dtype.is_numeric() or live.dtype == pl.Boolean
    kind = pl.Float64 if live.dtype.is_numeric() else pl.String
    both = [item.cast(kind) for item in (live, held)]
    counted = pl.concat(both).drop_nulls().value_counts(sort=True)
    known = counted[counted.columns[0]].head(MOST_LEVELS).to_list()
    if numeric:
        names = [
            f"{name} = {item:g}" if kind == pl.Float64 else f"{name} = {item}" for item in known
        ]
    else:
        names = [f"{name} = {item!r}" for item in known]
    codes = [
        np.where(
            item.is_null(),
            len(known),
            item.replace_strict(known, range(len(known)), default=-1, return_dtype=pl.Int64)
            .fill_null(-1)
            .to_numpy(),
        )
        for item in both
    ]
    return _Cells((name,), [*names, f"{name} is missing"], codes[0], codes[1])


def _paired(one: _Cells, two: _Cells) -> _Cells:
    size = len(two.names)
    names = [f"{first} and {second}" for first in one.names for second in two.names]
    cells = [
        np.where((left >= 0) & (right >= 0), left * size + right, -1)
        for left, right in ((one.live, two.live), (one.held, two.held))
    ]
    return _Cells((*one.columns, *two.columns), names, cells[0], cells[1])
