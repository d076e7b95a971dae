"""What was counted of a rollout: units and events by guard, arm and step, from the log alone.

>>> from lifecycle.records import Arm, Rollout, RolloutSpec
>>> arms = (Arm("champion", 7, 0.5), Arm("challenger", 8, 0.5))
>>> rollout = Rollout(RolloutSpec("churn", "ab", arms), seq=3, started="2026-04-01T00:00:00Z")
>>> counted(["nowhere"], rollout, ()).tallies
()

All is counted anew at each look, so that nothing is lost with a process and labels count whenever
they come. A unit is a key, or a request that has none. It is at risk of an event until its first
one, over the whole rollout: its later rows count in no arm and at no step, since events of one key
are not independent. So tallies of logs that share no key add up.

Of a number each row is a unit (each request, where a measure is of requests), and the contrast
between the arms is summed in the order of time with the rows of one key as one cluster.

What labels tell is counted by blocks of time, in which arms are held against each other: labels
that take longer in one arm are otherwise held against those of other hours.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lifecycle.records import Arm, Rollout, Tally
from lifecycle.stores.arms import (
    SLACK,
    Measure,
    answered,
    began,
    folders,
    labels_of,
    of_arms,
    segments,
    ticks,
    within,
)
from lifecycle.stores.arrivals import arrivals
from lifecycle.stores.log import SHADOW, PredictionLog
from lifecycle.stores.rows import TIME
from lifecycle.stores.sealed import unified

__all__ = ["Counted", "Measure", "counted", "pairs"]

# values, whether the arm's, its share at that time, clusters or None, steps -> S, V, W by step
Contrasts = Callable[
    [np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, np.ndarray],
    Mapping[int, tuple[float, float, float]],
]

FOREVER = 2**62  # microseconds
# (hours since the rollout began, hours of a block from then on)
BLOCKS = ((0, 1), (48, 4), (336, 24))


@dataclass(frozen=True)
class Counted:
    """What one look at the log gives.

    Attributes:
        tallies: of each measure, and of guard "" that counts each unit once, at the step where it
            was first met, to hold against the planned shares; its total is all units of a step.
        exposed: by arm, the units that were given to another arm than the champion.
        coverage: `rows` counted, `others` by arm that were not, the share of `labelled` rows by
            arm, the `first` and the `last` time, ISO 8601.
    """

    tallies: tuple[Tally, ...]
    exposed: Mapping[str, int] = field(default_factory=dict)
    coverage: Mapping[str, Any] = field(default_factory=dict)


def counted(
    directories: Sequence[str | Path],
    rollout: Rollout,
    watched: Sequence[Measure],
    *,
    contrasts: Contrasts | None = None,
    classes: Sequence[object] = (),
    settling: timedelta | None = None,
) -> Counted:
    """Count a rollout's rows in one or several logs, which may overlap.

    Args:
        directories: the logs' folders.
        rollout: as the ledger has it; rows of steps that it has not reached do not count yet.
        watched: what is counted.
        contrasts: for measures of numbers, `rollout.numbers.contrasts`.
        classes: those that the model may answer; empty: any.
        settling: how late servers may hear of the rollout. What the champion answered at the first
            step before all had the challenger says nothing of the planned shares: until then, and
            as long again as it took until the first row of another arm. None: from the beginning.

    Raises:
        LogError: a file is damaged or cannot be read; names it.
        ConfigError: a measure cannot be computed.
    """
    labelled = any(measure.labelled for measure in watched)
    rows = answered(directories, rollout, watched, classes=classes)
    names = [arm.name for arm in rollout.spec.arms]
    rows = rows.sort("at", "step", "id", "arm")
    tallies = _met(rows, names, _settled(rows, rollout, settling))
    places = {
        name: {value: at for at, value in enumerate(values)}
        for name, values in segments(watched).items()
    }
    for measure in watched:
        theirs = _theirs(rows, measure, places.get(measure.column, {}))
        block = _block(rollout) if measure.labelled else pl.lit(0)
        theirs = theirs.with_columns(block.cast(pl.Int64).alias("block"))
        if measure.kind == "number":
            tallies += _numbers(theirs, measure.text, names, contrasts)
        else:
            tallies += _events(theirs, measure.text, names)
    exposed = {
        name: rows.filter(pl.col("arm") == at)["unit"].n_unique()
        for at, name in enumerate(names)
        if at and name != "shadow"
    }
    coverage = {"rows": len(rows), "others": _others(directories, rollout), **_times(rows)}
    if labelled:
        coverage["labelled"] = {
            name: rows.filter(pl.col("arm") == at)["labelled"].mean() or 0.0
            for at, name in enumerate(names)
        }
    return Counted(tuple(tallies), exposed, coverage)


def _times(rows: pl.DataFrame) -> dict[str, str]:
    found = {"first": rows["at"].min(), "last": rows["at"].max()}
    return {
        name: datetime.fromtimestamp(at / 1e6, UTC).isoformat() if isinstance(at, int) else ""
        for name, at in found.items()
    }


def _others(directories: Sequence[str | Path], rollout: Rollout) -> dict[str, int]:
    """Rows since the rollout began that are not counted, by arm, as asked or fallback."""
    name = rollout.spec.name
    counts: dict[str, int] = {}
    where = ~of_arms(rollout)

    def each(rows: pl.DataFrame) -> pl.DataFrame:
        since = rows.select("arm", arrivals(name)).filter(within(rollout))
        return since.group_by(pl.col("arm").cast(pl.String)).agg(pl.len().cast(pl.Int64))

    for folder in folders(directories):
        log = PredictionLog(folder)
        columns = ["prediction_id", "time", "arm"]
        found = log.read(
            name, columns=columns, written=began(rollout) - SLACK, where=where, each=each
        )
        for arm, count in found.rows():
            counts[arm] = counts.get(arm, 0) + count
    return dict(sorted(counts.items()))


def _block(rollout: Rollout) -> pl.Expr:
    """The block of time of a row; its bounds are those of the clock, and never move."""
    hours = (pl.col("at").cast(TIME) - began(rollout)).dt.total_hours()
    block, first = pl.lit(0, dtype=pl.Int64), 0
    for at, (start, length) in enumerate(BLOCKS):
        block = pl.when(hours >= start).then(first + (hours - start) // length).otherwise(block)
        if at + 1 < len(BLOCKS):
            first += (BLOCKS[at + 1][0] - start) // length
    return block


def _theirs(rows: pl.DataFrame, measure: Measure, places: Mapping[str, int]) -> pl.DataFrame:
    """The rows of a measure: id, request, unit, at, arm, step and value."""
    chosen = pl.col(measure.held).is_not_null()
    if measure.column:
        chosen &= pl.col(f"segment:{measure.column}") == places[measure.value or ""]
    columns = ["id", "request", "unit", "at", "arm", "step"]
    found = rows.filter(chosen).select(*columns, value=pl.col(measure.held))
    return _requests(found) if measure.by_request else found


def _requests(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a request; it is its own unit where its rows are of several keys."""
    if rows["request"].n_unique() == len(rows):
        return rows
    torn = pl.col("unit").n_unique() > 1
    unit = pl.when(torn).then(pl.col("request").first()).otherwise(pl.col("unit").first())
    return rows.group_by("request", "arm", maintain_order=True).agg(
        pl.col("id", "at", "step").first(), unit.alias("unit"), pl.col("value").max()
    )


def _settled(rows: pl.DataFrame, rollout: Rollout, settling: timedelta | None) -> int | None:
    """When all servers had the challenger, in microseconds; None: they always had."""
    if settling is None:
        return None
    first = rows.filter(pl.col("arm") != 0)["at"].min()
    if not isinstance(first, int):
        return FOREVER
    start = ticks(began(rollout))
    return start + 2 * (first - start) + settling // timedelta(microseconds=1)


def _met(rows: pl.DataFrame, names: Sequence[str], settled: int | None) -> list[Tally]:
    """Each unit once, where it was met first: a key keeps its arm, and so says nothing again.

    The total counts all units of a step, those that were met before too.
    """
    seen = rows.group_by("arm", "step").agg(total=pl.col("unit").n_unique())
    if settled is not None:
        early = (pl.col("step") == 0) & (pl.col("at") < settled)
        rows = rows.filter(~early)
    first = rows.unique("unit", keep="first")
    counts = first.group_by("arm", "step").agg(units=pl.len(), events=pl.len())
    counts = seen.join(counts, on=["arm", "step"], how="left")
    return _tallies("", names, counts.with_columns(pl.col("units", "events").fill_null(0)))


def _events(rows: pl.DataFrame, text: str, names: Sequence[str]) -> list[Tally]:
    """Units at risk and first events."""
    cell = ["arm", "step", "block"]
    first = rows.filter("value").unique("unit", keep="first")
    stops = rows.join(first.select("unit", stop="at"), on="unit", how="left")
    at_risk = stops.filter(pl.col("stop").is_null() | (pl.col("at") <= pl.col("stop")))
    units = at_risk.group_by(cell).agg(units=pl.col("unit").n_unique())
    events = first.group_by(cell).agg(events=pl.len())
    counts = units.join(events, on=cell, how="left").with_columns(total="events")
    return _tallies(text, names, counts)


def _numbers(
    rows: pl.DataFrame,
    text: str,
    names: Sequence[str],
    contrasts: Contrasts | None,
) -> list[Tally]:
    """Rows and sums, and in other arms than the champion's the contrast with it."""
    rows = rows.sort("step", "at", "id", "arm")
    counts = rows.group_by("arm", "step").agg(units=pl.len(), total=pl.col("value").sum())
    found = _tallies(text, names, counts)
    if contrasts is None:
        return found
    sums: dict[tuple[str, int], tuple[float, float, float]] = {}
    for at, name in enumerate(names[1:], 1):
        both = rows.filter(pl.col("arm").is_in([0, at]))
        realised = (pl.col("arm") == at).mean().over("step", "block")
        share = both.select(realised).to_series().to_numpy()
        clusters = None if both["unit"].n_unique() == len(both) else both["unit"].to_numpy()
        values, steps = both["value"].to_numpy(), both["step"].to_numpy()
        mine = (both["arm"] == at).to_numpy()
        made = contrasts(values, mine, share, clusters, steps)
        sums |= {(name, step): given for step, given in made.items()}
    return [_with(tally, sums.get((tally.arm, tally.step))) for tally in found]


def _with(tally: Tally, sums: tuple[float, float, float] | None) -> Tally:
    return tally if sums is None else replace(tally, s=sums[0], v=sums[1], w=sums[2])


def _tallies(text: str, names: Sequence[str], counts: pl.DataFrame) -> list[Tally]:
    """A tally of each arm for each step and block at which anything was counted, in their order."""
    known = {(row["arm"], row["step"], row.get("block", 0)): row for row in counts.to_dicts()}
    found = []
    for step, block in sorted({key[1:] for key in known}):
        for at, name in enumerate(names):
            row = known.get((at, step, block), {})
            units, events = row.get("units", 0), row.get("events") or 0
            total = float(row.get("total") or 0)
            found.append(Tally(text, name, step, units, events, total, block=block))
    return found


def pairs(directories: Sequence[str | Path], rollout: Rollout) -> pl.DataFrame:
    """What the champion and its shadow answered to the same rows, in the order of time.

    Returns:
        prediction_id, time (of the answer, UTC), step, key, then latency_ms, prediction, score and
        error of the champion, the same of the shadow as `shadow_…`, the same of the champion asked
        once more as `again_…`, null where it was not, and label, null where none came.

    Raises:
        LogError: a file is damaged; names it.
    """
    name, (champion, shadow) = rollout.spec.name, rollout.spec.arms[:2]
    answers = ["latency_ms", "prediction", "score", "error"]
    mine, copies, again = (
        _read(directories, rollout, model, arm, ["prediction_id", "time", "step", "key", *answers])
        for model, arm in ((name, champion), (name + SHADOW, shadow), (name + SHADOW, champion))
    )
    copies = copies.select("prediction_id", pl.col(answers).name.prefix("shadow_"))
    again = again.select("prediction_id", pl.col(answers).name.prefix("again_"))
    both = mine.join(copies, on="prediction_id", how="inner", maintain_order="left")
    both = both.join(again, on="prediction_id", how="left", maintain_order="left")
    labels = labels_of(directories, name)
    return both.join(labels, on="prediction_id", how="left", maintain_order="left")


def _read(
    directories: Sequence[str | Path], rollout: Rollout, model: str, arm: Arm, columns: list[str]
) -> pl.DataFrame:
    frames = [
        PredictionLog(folder).read(
            model,
            columns=columns,
            version=arm.version,
            written=began(rollout) - SLACK,
            where=pl.col("arm") == arm.name,
        )
        for folder in folders(directories)
    ]
    rows = unified([frame for frame in frames if len(frame)] or frames[:1], columns)
    rows = rows.with_columns(arrivals(rollout.spec.name)).filter(within(rollout))
    rows = rows.with_columns(time=pl.col("at").cast(TIME)).sort("at", "prediction_id")
    return rows.drop("at").unique("prediction_id", keep="first", maintain_order=True)
