"""Are labels missing by chance, or for some kind of row? Then figures on labelled rows mislead.

>>> rng = np.random.default_rng(0)
>>> score = rng.random(2000)
>>> rows = pl.DataFrame({"score": score})
>>> label_coverage(rows, rng.random(2000) < 0.7).outcome
<Outcome.PASS: 'pass'>
>>> label_coverage(rows, rng.random(2000) < 1.1 - score).column
'score'

Labels come late, so the newest rows of a window have fewer: that alone is no selection. Rows that
are younger than labels usually are when they come are left out, and the others are compared within
stretches of time only: in each stretch labelled and unlabelled rows must look alike. Numbers are
compared by their ranks (van Elteren, Bulletin of the International Statistical Institute 37, 1960)
in location and in spread, levels by the generalised test of Cochran, Mantel and Haenszel (Landis,
Heyman, Koch, International Statistical Review 46, 1978), and columns share alpha (Bonferroni).
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from scipy.special import chdtrc, ndtr

from lifecycle.durations import spoken
from lifecycle.models.influence import Array, Floats
from lifecycle.records import LabelCoverage, Outcome

STRETCH = 40  # rows that are compared with each other
MOST_ROWS = 200_000  # of a larger window every n-th row is compared
MOST_LEVELS = 20
LEAST = 20  # rows on either side
USUAL = 0.95  # share of labels that have come within the delay
TRIFLE = 0.01  # share of missing labels that cannot matter
LEAST_SHIFT = 0.1  # standard deviations of ranks
LEAST_SHARE = 0.03  # of a level, between labelled and unlabelled rows
AT_ONCE = 0.2  # labels that came in so small a part of the rows' time came in one go


@dataclass(frozen=True)
class _Finding:
    column: str
    p_value: float
    matters: bool
    said: str


def label_coverage(
    rows: pl.DataFrame,
    labelled: Any,
    times: pl.Series | None = None,
    label_times: pl.Series | None = None,
    *,
    now: datetime | None = None,
    alpha: float = 0.01,
) -> LabelCoverage:
    """Count the labels of a window and compare the rows that have one with those that have none.

    Args:
        rows: features, prediction and score; columns of other types than numbers, booleans and
            text are not looked at.
        labelled: (n,) whether each row's label has come.
        times: (n,) of the rows, UTC without a zone; without them the rows' order is that of time.
        label_times: (n,) when each label came, null where it has not.
        now: when the check is; rows that are younger than the usual delay are left out.
        alpha: how often labels that are missing by chance may be called selective.
    """
    known = np.asarray(labelled, dtype=bool)
    times = times if times is not None and times.null_count() < times.len() else None
    delay = _delay(times, label_times, known)
    due = np.ones(len(known), dtype=bool) if delay is None else _due(times, delay, now)
    seen = LabelCoverage(
        rows=len(known),
        labelled=int(known.sum()),
        outcome=Outcome.UNSURE,
        compared=int(due.sum()),
        compared_labelled=int(known[due].sum()),
        delay_seconds=None if delay is None else delay.total_seconds(),
        oldest_missing=_oldest(times, known),
    )
    chosen = np.flatnonzero(due)
    if times is not None:
        chosen = chosen[np.argsort(times.gather(chosen).to_physical().to_numpy(), kind="stable")]
    outcome, reason, worst = _judged(rows, known, chosen, seen, alpha)
    return LabelCoverage(
        **{
            **seen.__dict__,
            "outcome": outcome,
            "reason": reason,
            "column": worst.column if worst else "",
            "p_value": worst.p_value if worst else None,
        }
    )


def _judged(
    rows: pl.DataFrame,
    known: Array,
    chosen: Array,
    seen: LabelCoverage,
    alpha: float,
) -> tuple[Outcome, str, _Finding | None]:
    counted = f"{seen.labelled:,} of {seen.rows:,} rows have their label"
    if not seen.rows:
        return Outcome.UNSURE, "there are no rows", None
    if not seen.missing:
        return Outcome.PASS, "every row has its label", None
    usual = "" if seen.delay_seconds is None else spoken(timedelta(seconds=seen.delay_seconds))
    if not seen.compared:
        return Outcome.UNSURE, f"{counted}; no row is older than labels take ({usual})", None
    missing = seen.compared - seen.compared_labelled
    within = f"; of those older than {usual} {missing:,} have none" if usual else ""
    if missing <= TRIFLE * seen.compared:
        return Outcome.PASS, f"{counted}{within}: too few are missing to matter", None
    if min(missing, seen.compared_labelled) < LEAST:
        side = "labelled" if seen.compared_labelled < LEAST else "unlabelled"
        few = f"{min(missing, seen.compared_labelled):,} {side} rows"
        return Outcome.UNSURE, f"{counted}{within}: {few} cannot tell whom it concerns", None
    chosen = chosen[:: -(-len(chosen) // MOST_ROWS)]
    found = _findings(rows[chosen], known[chosen])
    if not found:
        alike = "no stretch of time has rows with and without label to compare"
        return Outcome.UNSURE, f"{counted}{within}; {alike}", None
    corrected = [
        _Finding(item.column, min(1.0, item.p_value * len(found)), item.matters, item.said)
        for item in found
    ]
    worst = min(corrected, key=lambda item: (not item.matters, item.p_value))
    if worst.matters and worst.p_value <= alpha:
        return Outcome.FAIL, f"{counted}, missing selectively: {worst.said}{within}", worst
    worst = min(corrected, key=lambda item: item.p_value)
    return Outcome.PASS, f"{counted}{within}; they look like the others", worst


def _delay(times: pl.Series | None, came: pl.Series | None, known: Array) -> timedelta | None:
    """Within which labels usually come; None where they came in one go, which tells nothing."""
    if times is None or came is None or known.sum() < LEAST:
        return None
    chosen = pl.Series(known) & times.is_not_null() & came.is_not_null()
    row = _seconds(times.filter(chosen))
    label = _seconds(came.filter(chosen))
    if len(row) < LEAST:
        return None
    spread = [float(np.subtract(*np.quantile(item, [0.9, 0.1]))) for item in (label, row)]
    if spread[0] <= AT_ONCE * spread[1]:
        return None
    return timedelta(seconds=max(0.0, float(np.quantile(label - row, USUAL))))


def _seconds(times: pl.Series) -> Floats:
    return times.cast(pl.Datetime("us")).to_physical().to_numpy().astype(float) / 1e6


def _due(times: pl.Series | None, delay: timedelta, now: datetime | None) -> Array:
    assert times is not None  # without times no delay is known
    moment = datetime.now(UTC) if now is None else now
    last = moment.astimezone(UTC).replace(tzinfo=None) - delay
    return (times.cast(pl.Datetime("us")) <= last).fill_null(value=False).to_numpy()


def _oldest(times: pl.Series | None, known: Array) -> str | None:
    if times is None or known.all():
        return None
    first = times.filter(pl.Series(~known)).min()
    return first.isoformat() if isinstance(first, datetime) else None


def _findings(rows: pl.DataFrame, known: Array) -> list[_Finding]:
    """One for each test of each column; rows are in the order of time."""
    stretch = np.arange(len(known)) // STRETCH
    found: list[_Finding] = []
    for name in rows.columns:
        column = rows[name]
        null = column.is_null() | (column.is_nan() if column.dtype.is_float() else False)
        if null.any() and not null.all():
            found += _levels(f"{name} is missing", null.to_numpy().astype(int), known, stretch)
        if column.dtype.is_numeric():
            found += _numbers(name, column.cast(pl.Float64), null.to_numpy(), known, stretch)
        elif column.dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean):
            text = column.cast(pl.String)
            most = text.drop_nulls().value_counts(sort=True)[name].head(MOST_LEVELS).to_list()
            code = text.replace_strict(most, range(1, len(most) + 1), default=0)
            found += _levels(name, code.fill_null(0).to_numpy(), known, stretch, ["other", *most])
    return found


def _numbers(
    name: str, column: pl.Series, null: Array, known: Array, stretch: Array
) -> list[_Finding]:
    frame = pl.DataFrame({"value": column, "stretch": stretch, "null": null}).with_columns(
        value=pl.when(~pl.col("null")).then("value")
    )
    ranked = frame.select(
        rank=pl.col("value").rank("average").over("stretch"),
        count=pl.col("value").count().over("stretch"),
    )
    rank, count = ranked["rank"].to_numpy(), ranked["count"].to_numpy()
    there = ~null & (count > 1)
    place = np.where(there, rank, 0.0) / np.where(there, count + 1.0, 1.0) - 0.5
    found = []
    for what, values in (("location", place), ("spread", place**2)):
        z, shift = _stratified(values[there], known[there], stretch[there])
        if z is None:
            continue
        median = [float(np.median(column.to_numpy()[there & side])) for side in (known, ~known)]
        words = (
            ("higher" if shift > 0 else "lower")
            if what == "location"
            else ("further out" if shift > 0 else "nearer the middle")
        )
        said = (
            f"labelled rows are {words} in {name}: median {median[0]:.4g} instead of "
            f"{median[1]:.4g}, {abs(shift):.2g} sd"
        )
        matters = abs(shift) >= LEAST_SHIFT
        found.append(_Finding(name, float(2.0 * ndtr(-abs(z))), matters, said))
    return found


def _stratified(values: Floats, known: Array, stretch: Array) -> tuple[float | None, float]:
    """Sum over stretches of what labelled rows exceed the mean by; as z and in deviations."""
    size = int(stretch.max()) + 1 if len(stretch) else 0
    if not size:
        return None, 0.0
    rows = np.bincount(stretch, minlength=size).astype(float)
    with_label = np.bincount(stretch, weights=known, minlength=size)
    mean = np.bincount(stretch, weights=values, minlength=size) / np.maximum(rows, 1.0)
    centred = values - mean[stretch]
    excess = float((centred * known).sum())
    squares = np.bincount(stretch, weights=centred**2, minlength=size)
    both = with_label * (rows - with_label)
    variance = float((both * squares / np.maximum(rows * (rows - 1.0), 1.0)).sum())
    pairs = float((both / np.maximum(rows, 1.0)).sum())
    used = both > 0
    if (
        variance <= 0.0
        or min((with_label * used).sum(), ((rows - with_label) * used).sum()) < LEAST
    ):
        return None, 0.0
    deviation = float(np.sqrt(squares[used].sum() / np.maximum((rows - 1.0)[used].sum(), 1.0)))
    return excess / np.sqrt(variance), excess / pairs / deviation


def _levels(
    name: str, codes: Array, known: Array, stretch: Array, names: list[str] | None = None
) -> list[_Finding]:
    levels = int(codes.max()) + 1
    size = int(stretch.max()) + 1
    cell = stretch * levels + codes
    table = np.bincount(cell, minlength=size * levels).reshape(size, levels).astype(float)
    own = np.bincount(cell, weights=known, minlength=size * levels).reshape(size, levels)
    rows, with_label = table.sum(axis=1), own.sum(axis=1)
    share = table / np.maximum(rows, 1.0)[:, None]
    both = with_label * (rows - with_label)
    used = both > 0
    if min(with_label[used].sum(), (rows - with_label)[used].sum()) < LEAST:
        return []
    excess = (own - with_label[:, None] * share)[used].sum(axis=0)
    weight = np.where(used, both / np.maximum(rows - 1.0, 1.0), 0.0)
    spread = np.diag((weight[:, None] * share).sum(axis=0)) - (share * weight[:, None]).T @ share
    common = np.flatnonzero(np.diag(spread) >= 1.0)  # rarer ones carry no test
    if len(common) < 2:
        return []
    kept = common[:-1]
    inverse = np.linalg.pinv(spread[np.ix_(kept, kept)], hermitian=True)
    statistic = float(excess[kept] @ inverse @ excess[kept])
    p_value = float(chdtrc(len(kept), max(statistic, 0.0)))
    pairs = float((both / np.maximum(rows, 1.0)).sum())
    shift = excess / pairs
    far = int(common[np.argmax(np.abs(shift[common]))])
    totals = [own[:, far].sum() / with_label.sum()]
    totals.append((table - own)[:, far].sum() / (rows - with_label).sum())
    place = name if names is None else f"{name} is {names[far]!r}"
    said = f"{place} in {totals[0]:.1%} of labelled rows, {totals[1]:.1%} of the others"
    return [
        _Finding(name.removesuffix(" is missing"), p_value, abs(shift[far]) >= LEAST_SHARE, said)
    ]
