"""What a finding says to a person: the column, what it did, the figures, and how sure it is.

>>> plural(2, "row"), share(0.3), chance(0.0004), chance(1e-12)
('2 rows', '30 %', 'p = 0.0004', 'p < 1e-6')
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import polars as pl

from lifecycle.drift.cells import Floats, banded
from lifecycle.drift.findings import Finding
from lifecycle.drift.kinds import numbers, texts
from lifecycle.drift.profile import ColumnProfile
from lifecycle.drift.sides import Pair

NAMED_LEVELS = 3
SHIFTED = 0.3  # a location effect from which a change of scale is told by its median


class Moved(Protocol):
    """A correlation that moved, as `lifecycle.drift.verdict` finds it."""

    @property
    def finding(self) -> Finding:
        """The test's answer."""

    @property
    def other(self) -> str:
        """The other column."""

    @property
    def before(self) -> float:
        """The correlation in the reference."""

    @property
    def after(self) -> float:
        """The correlation in the live rows."""


@dataclass(frozen=True)
class Facts:
    """What is known of one column: counts, live values, all tests, and a correlation that moved."""

    pair: Pair
    live: pl.Series
    findings: tuple[Finding, ...]
    correlation: Moved | None = None
    joined: tuple[str, ...] = ()  # columns that moved together by more than chance
    joined_chance: float = 1.0

    @property
    def name(self) -> str:
        """The column."""
        return self.pair.reference.name

    def effect(self, test: str) -> float:
        """The effect that a test saw, 0 where it did not apply."""
        return next((item.effect for item in self.findings if item.test == test), 0.0)


def plural(count: int, noun: str) -> str:
    """A count with its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def share(value: float) -> str:
    """A share of rows in per cent, with two digits where it is small."""
    percent = 100 * value
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"


def chance(p_value: float) -> str:
    """A p-value."""
    return "p < 1e-6" if p_value < 1e-6 else f"p = {p_value:.1g}"


def figure(value: float) -> str:
    """A number with at most four digits."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def reason(facts: Facts, main: Finding, flagged: Sequence[Finding], design_effect: float) -> str:
    """One sentence on one column.

    Args:
        facts: what is known of the column.
        main: the finding to tell.
        flagged: all findings that gave an alarm.
        design_effect: how many rows in a run count as one.
    """
    told = _told(facts, main)
    others = [item.test for item in flagged if item.test != main.test]
    text = f"{told}, {chance(main.p_value)}"
    others_moved = [name for name in facts.joined if name != facts.name]
    if others_moved and main.test == "location" and facts.joined_chance < main.p_value:
        more = ", …" if len(others_moved) > NAMED_LEVELS else ""
        named = ", ".join(others_moved[:NAMED_LEVELS])
        text += f" alone, {chance(facts.joined_chance)} together with {named}{more}"
    if design_effect >= 1.5:
        text += f" after counting {design_effect:,.0f} rows in a run as one"
    also = [item for item in others if item in ("missing", "new level", "out of range")]
    return text + (f"; also {' and '.join(also)}" if also else "")


def _told(facts: Facts, main: Finding) -> str:
    if main.test == "correlation":
        return _correlation(facts)
    if main.test == "missing":
        return _missing(facts)
    if main.test == "new level":
        return _new_level(facts, main)
    if main.test == "out of range":
        return _out_of_range(facts, main)
    if facts.pair.reference.kind != "numeric":
        return _levels(facts)
    return _number(facts, main)


def _number(facts: Facts, main: Finding) -> str:
    shift, spread = facts.effect("location"), facts.effect("scale")
    shifted = abs(shift) >= SHIFTED and abs(shift) >= abs(spread) / 2
    if main.test == "location":
        return _location(facts, shift)
    if main.test == "scale" and shifted:  # the rows moved out to one side of the reference
        return f"{facts.name} lies further out: {_medians(facts)}, effect {abs(shift):.1f} sd"
    if main.test == "scale":
        word = "more" if main.effect > 0 else "less"
        before, after = (_quartiles(facts, part) for part in ("reference", "live"))
        return f"{facts.name} is {word} spread out: middle half {after} instead of {before}"
    return _shape(facts)


def _correlation(facts: Facts) -> str:
    moved = facts.correlation
    assert moved is not None
    after = f"{facts.name} and {moved.other} are correlated {moved.after:.2f}"
    return f"{after} instead of {moved.before:.2f}"


def _missing(facts: Facts) -> str:
    before, after = (
        side.null / max(1, side.rows) for side in (facts.pair.reference, facts.pair.live)
    )
    return f"{facts.name} is missing in {share(after)} of rows instead of {share(before)}"


def _new_level(facts: Facts, main: Finding) -> str:
    known = facts.pair.reference.levels
    values = texts(facts.live).drop_nulls().alias("level")
    fresh = values.filter(~values.is_in(list(known))).value_counts(sort=True, name="rows")
    names = [repr(str(name)) for name in fresh["level"].head(NAMED_LEVELS)]
    more = ", …" if fresh.height > NAMED_LEVELS else ""
    held = f"in {share(main.effect)} of rows"
    return f"{facts.name} has values the reference never had {held}: {', '.join(names)}{more}"


def _out_of_range(facts: Facts, main: Finding) -> str:
    reference, live = facts.pair.reference, facts.pair.live
    above = live.counts[-2] >= live.counts[0]
    side = "above" if above else "below"
    limit = (reference.high if above else reference.low) or 0.0
    extreme = (live.high if above else live.low) or 0.0
    most = "largest" if above else "smallest"
    far = f", as far as {figure(extreme)}" if np.isfinite(extreme) else ""
    where = f"{side} {figure(limit)}, the {most} in the reference{far}"
    return f"{facts.name} is out of range: {share(main.effect)} of rows {where}"


def _location(facts: Facts, shift: float) -> str:
    word = "higher" if shift > 0 else "lower"
    return f"{facts.name} is {word}: {_medians(facts)}, effect {abs(shift):.1f} sd"


def _medians(facts: Facts) -> str:
    before = figure(quantile(facts.pair.reference, 0.5))
    after = figure(_live_quantile(facts.live, 0.5))
    return "with the same median" if after == before else f"median {after} instead of {before}"


def _quartiles(facts: Facts, part: str) -> str:
    if part == "reference":
        ends = [quantile(facts.pair.reference, at) for at in (0.25, 0.75)]
    else:
        ends = [_live_quantile(facts.live, at) for at in (0.25, 0.75)]
    return f"{figure(ends[0])} to {figure(ends[1])}"


def _shares(pair: Pair) -> tuple[Floats, Floats]:
    one, two = (banded(item, pair.reference.bands) for item in pair.counts)
    return one / max(1, one.sum()), two / max(1, two.sum())


def _shape(facts: Facts) -> str:
    before, after = _shares(facts.pair)
    band = int(np.argmax(np.abs(after - before)))
    inner = np.flatnonzero(np.array(facts.pair.reference.bands[1:-1]) == band)
    edges = facts.pair.reference.edges
    low = facts.pair.reference.low if inner[0] == 0 else edges[inner[0]]
    high = edges[inner[-1] + 1]
    between = f"between {figure(low or 0.0)} and {figure(high)}"
    if inner.size == 1 and facts.pair.reference.counts[1 + inner[0]]:
        between = f"near {figure(high)}"
    moved = f"{share(after[band])} of rows {between} instead of {share(before[band])}"
    return f"{facts.name} is distributed differently: {moved}"


def _levels(facts: Facts) -> str:
    counts = facts.pair.counts
    before, after = (item / max(1, item.sum()) for item in counts)
    place = int(np.argmax(np.abs(after - before)))
    levels = facts.pair.reference.levels
    name = repr(levels[place]) if place < len(levels) else "another value"
    return (
        f"{facts.name} is {name} in {share(after[place])} of rows instead of {share(before[place])}"
    )


def quantile(column: ColumnProfile, part: float) -> float:
    """A quantile of a numeric column: the upper edge of the cell that reaches it."""
    counts = np.array(column.counts[:-1])
    reached = np.searchsorted(np.cumsum(counts), part * counts.sum() - 1e-9)
    return float(column.edges[min(int(reached), len(column.edges) - 1)])


def _live_quantile(values: pl.Series, part: float) -> float:
    found = numbers(values)
    return float(np.quantile(found[~np.isnan(found)], part))
