"""The tests of one column: what moved, how far, and how likely that is by chance.

>>> import polars as pl
>>> from lifecycle.drift.counting import build_profile
>>> rows = pl.DataFrame({"x": [float(value) for value in range(1000)]})
>>> reference = build_profile(rows)
>>> live = build_profile(rows + 200.0, like=reference)
>>> found = column_findings(reference.columns["x"], live.columns["x"], seconds=None)
>>> [item.test for item in found if item.p_value < 1e-6]
['location', 'out of range', 'shape']

To add a test: write a function (Pair) -> Finding | None and name it in `TESTS`; it gives None where
it does not apply, so that it is not counted when chance is shared out among the tests.

Sources: Mann & Whitney (1947), location; Mood (1954), scale; Rao & Scott (1984), shape; Good (1953)
and Robbins (1968), unseen levels; the exact law of how many live rows lie beyond the reference's
extremes is hypergeometric (Wilks 1942).
"""

from dataclasses import dataclass

import numpy as np

from lifecycle.drift.cells import Floats, Integers, banded
from lifecycle.drift.matching import Matched
from lifecycle.drift.means import Mean, ends, few_pieces
from lifecycle.drift.pairs import mid_ranks
from lifecycle.drift.profile import LEVELLED, ColumnProfile
from lifecycle.drift.runs import Runs, Spread
from lifecycle.drift.sides import SEEN_BLOCKS, Pair, null_score, rank_scores
from lifecycle.drift.tails import chi_squared, fisher, hypergeometric, negative_binomial

LEAST_EFFECT = {
    "location": 0.05,
    "scale": 0.05,
    "shape": 0.07,
    "missing": 0.01,
    "out of range": 0.005,
    "new level": 0.005,
    "correlation": 0.05,
}
FEWEST_FOR_RANKS = 10  # below, only exact tests speak
LEAST_EXPECTED = 5.0  # independent rows in a group of the chi-squared test


@dataclass(frozen=True)
class Finding:
    """One test's answer; `effect` in standard deviations of ranks, or as a share of rows."""

    test: str
    p_value: float
    effect: float

    @property
    def matters(self) -> bool:
        """Whether the effect is large enough to be worth an alarm."""
        return abs(self.effect) >= LEAST_EFFECT[self.test]


def _rank_test(pair: Pair, test: str, place: int) -> Finding | None:
    m, n = pair.rows
    if pair.reference.kind != "numeric" or min(m, n) < FEWEST_FOR_RANKS:
        return None
    reference, live = pair.counts
    own = rank_scores(pair.ranks)[place]
    own = own - own @ reference / m
    deviation = float(own**2 @ reference / m) ** 0.5
    few = test == "scale"
    if pair.matched is not None and deviation > 0:
        gap = _gap(pair, pair.matched, place, own)
        rows = (float(pair.matched.rows[place]), n)
        found = Mean(gap, pair.spreads[place], rows, ends(own, 0.0))
        return Finding(test, found.p_value(few=few), gap / deviation)
    pooled = reference + live
    scores = rank_scores(mid_ranks(pooled))[place]
    scores = scores - scores @ pooled / (m + n)
    spread = float(scores**2 @ pooled) / (m + n - 1)
    if spread <= 0:
        return None
    gap = float(scores @ live) / n - float(scores @ reference) / m
    p_value = Mean(gap, Spread(spread), (m, n), ends(scores, 0.0)).p_value()
    if deviation <= 0:
        return Finding(test, p_value, gap / spread**0.5)
    shift = float(own @ live) / n
    if pair.runs is not None:
        found = Mean(shift, pair.spreads[place], (m, n), ends(own, 0.0))
        p_value = max(p_value, found.p_value(few=few))
    return Finding(test, p_value, shift / deviation)


def _gap(pair: Pair, matched: Matched, place: int, own: Floats) -> float:
    """How far the live mean lies from that of the same hours.

    By band, as the reference's hours are known by band only. Where the hours are those of the whole
    reference all but exactly, by cell, less what the hours make of it.
    """
    (m, n), (reference, live) = pair.rows, pair.counts
    scores, expected = pair.values[place][:-2], float(matched.means[place])
    if matched.uneven:
        return float(scores @ banded(live, pair.reference.bands)) / n - expected
    whole = float(scores @ banded(reference, pair.reference.bands)) / m
    return float(own @ live) / n - (expected - whole)


def location(pair: Pair) -> Finding | None:
    """Whether values are higher or lower: the mean rank."""
    return _rank_test(pair, "location", 0)


def scale(pair: Pair) -> Finding | None:
    """Whether values lie further out: the mean squared distance from the middle rank."""
    return _rank_test(pair, "scale", 1)


@dataclass(frozen=True)
class _Moved:
    """Shares of k groups of bands that moved."""

    gap: Floats  # (k,)
    share: Floats  # (k,), in both together
    held: Floats  # (k, k), covariance of one row's membership


def shape(pair: Pair) -> Finding | None:
    """Whether shares of bands moved: chi-squared, with runs as a sum of weighted chi-squared."""
    m, n = pair.rows
    if pair.reference.kind not in ("numeric", *LEVELLED) or min(m, n) < FEWEST_FOR_RANKS:
        return None
    matched, runs = pair.matched, pair.runs
    held_one, held_two = (banded(item, pair.reference.bands) for item in pair.counts)
    one, two, before = held_one / m, held_two / n, pair.compared_rows
    if matched is not None:
        one = matched.shares(np.eye(len(one) + 2)[:-2])
    groups = _merged((one * before + two * n) / (before + n) * min(pair.pieces()))
    if groups.max() < 1:
        return None
    merge = np.eye(int(groups.max()) + 1)[groups].T
    gap, share = merge @ (two - one), merge @ (one * before + two * n) / (before + n)
    distance = float((gap**2 / share).sum())
    p_value = 0.0
    held = np.diag(share) - np.outer(share, share)
    if matched is not None:
        held = matched.covariance(np.column_stack((merge, np.zeros((len(merge), 2)))))
    else:
        p_value = chi_squared(distance / (1 / m + 1 / n), len(gap) - 1)
    if runs is not None:
        p_value = max(p_value, _rao_scott(pair, runs, _Moved(gap, share, held), merge))
    return Finding("shape", p_value, distance**0.5)


def _merged(expected: Floats) -> Integers:
    """Group of each band, neighbours together until a group expects 5 rows."""
    groups = np.zeros(len(expected), dtype=np.int64)
    group, filled = 0, 0.0
    for place, rows in enumerate(expected):
        groups[place] = group
        filled += rows
        if filled >= LEAST_EXPECTED:
            group, filled = group + 1, 0.0
    if group and filled < LEAST_EXPECTED:  # what is left joins the last full group
        groups[groups == group] = group - 1
    return groups


def _rao_scott(pair: Pair, runs: Runs, moved: _Moved, merge: Floats) -> float:
    """The second-order corrected p-value, with an F tail for a variance that is itself measured."""
    m, n, share = pair.compared_rows, pair.rows[1], moved.share
    scores = np.column_stack((merge, np.zeros(len(merge)), np.full(len(merge), np.nan)))
    spreads, correlation = runs.together(scores)
    if pair.matched is not None:
        busier = max(1.0, float(pair.matched.busier.max()))
        spreads = [item.scaled(busier) for item in spreads]
    excess = np.sqrt([item.live + item.reference for item in spreads])
    covariance = moved.held * (1 / m + 1 / n) + correlation * np.outer(excess, excess)
    weighted = covariance / np.sqrt(np.outer(share, share))
    mean, square = float(np.trace(weighted)), float((weighted**2).sum())
    if mean <= 0:
        return 1.0
    tails = np.array([min(1e6, item.tails(n, m), few_pieces(item, n)) for item in spreads])
    freedom = float(np.average(tails, weights=np.maximum(np.diag(weighted), 1e-12)))
    statistic = float((moved.gap**2 / share).sum()) / mean
    return fisher(statistic, mean**2 / square, freedom)


def missing(pair: Pair) -> Finding | None:
    """Whether more or fewer values are null."""
    reference, live = pair.reference, pair.live
    if not reference.null + live.null or not min(reference.rows, live.rows):
        return None
    runs, matched = pair.gone
    if runs is not None and matched is not None:
        effect = live.null / live.rows - float(matched.means[0])
        spread = matched.spread(runs.spread(null_score(runs.blocks.counts.shape[1])[0]), 0)
        usual = float(matched.means[0])
        mean = Mean(effect, spread, (float(matched.rows[0]), live.rows), (-usual, 1 - usual))
        return Finding("missing", mean.p_value(), effect)
    effect = live.null / live.rows - reference.null / reference.rows
    counts = (live.null, reference.rows + live.rows, reference.null + live.null, live.rows)
    p_value = _two_sided_exact(*counts)
    if runs is not None:
        p_value = max(p_value, _missing_in_runs(pair, runs, effect))
    return Finding("missing", p_value, effect)


def _missing_in_runs(pair: Pair, runs: Runs, effect: float) -> float:
    reference, live = pair.reference, pair.live
    width = runs.blocks.counts.shape[1]
    if (runs.blocks.counts[:, -1] > 0).sum() >= SEEN_BLOCKS:
        spread = runs.spread(null_score(width)[0])
        usual = reference.null / reference.rows
        return Mean(effect, spread, (reference.rows, live.rows), (-usual, 1 - usual)).p_value()
    m, n = pair.pieces()
    held = min(n, pair.events(width - 1, live.null, live))
    before = min(m, pair.events(width - 1, reference.null, reference))
    return _two_sided_exact(int(held), round(m + n), round(before) + int(held), round(n))


def _two_sided_exact(held: int, every: int, marked: int, drawn: int) -> float:
    more = hypergeometric(held, total=every, marked=marked, drawn=drawn)
    # as few: as many of those that are not marked
    fewer = hypergeometric(drawn - held, total=every, marked=every - marked, drawn=drawn)
    return min(1.0, 2 * min(more, fewer))


def out_of_range(pair: Pair) -> Finding | None:
    """Whether more rows lie beyond the reference's smallest and largest than chance allows.

    At least k live rows lie out there when all but one of the k + 1 outermost rows of both tables
    are live. Of a column with a season, only as many reference rows count as there are at the live
    rows' hours.
    """
    if pair.reference.kind != "numeric" or not min(pair.rows):
        return None
    (reference, live), (_, n) = pair.counts, pair.rows
    outside, before = int(live[0] + live[-1]), int(reference[0] + reference[-1])
    if not outside:
        return Finding("out of range", 1.0, 0.0)
    m = max(1, int(pair.compared_rows))
    p_value = _beyond(outside, before, m, n)
    runs = pair.events(pair.reference.bands[-1] + 1, outside, pair.live)
    if runs < outside:
        pieces_m, pieces_n = (round(item) for item in pair.pieces())
        p_value = max(p_value, _beyond(min(pieces_n, int(runs)), before, pieces_m, pieces_n))
    return Finding("out of range", p_value, outside / n)


def _beyond(held: int, before: int, m: int, n: int) -> float:
    """Chance of at least `held` of n rows beyond all but `before` of m rows, on both sides."""
    outermost = min(m + n, held + before + 1)
    return hypergeometric(held, total=m + n, marked=outermost, drawn=n)


def new_level(pair: Pair) -> Finding | None:
    """Whether more rows carry levels the reference never had than its rare levels let expect.

    The unseen mass has the law of (levels seen once + 1) further draws: Good-Turing's estimate with
    its own uncertainty, so that the count of new rows is negative binomial.
    """
    if pair.reference.kind not in LEVELLED or not pair.reference.complete or not min(pair.rows):
        return None
    (reference, live), (_, n) = pair.counts, pair.rows
    fresh = int(live[-1])
    if not fresh:
        return Finding("new level", 1.0, 0.0)
    m = pair.compared_rows
    once = int((reference[:-1] == 1).sum()) + int(reference[-1])
    p_value = negative_binomial(fresh, once + 1, m / (m + n))
    runs = pair.events(max(pair.reference.bands) + 1, fresh, pair.live)
    if runs < fresh:
        pieces_m, pieces_n = pair.pieces()
        rare = int((reference[:-1] <= pair.design_effects[0]).sum()) + int(reference[-1] > 0)
        chance = pieces_m / (pieces_m + pieces_n)
        p_value = max(p_value, negative_binomial(int(runs), rare + 1, chance))
    return Finding("new level", p_value, fresh / n)


TESTS = (location, out_of_range, new_level, scale, shape, missing)


def column_findings(
    reference: ColumnProfile, live: ColumnProfile, *, seconds: float | None
) -> tuple[Finding, ...]:
    """All tests that apply to a column.

    Args:
        reference: the column's reference counts.
        live: counts of the live rows in the same cells.
        seconds: length of the live window; None where rows are taken as independent.
    """
    return findings(Pair(reference, live, seconds))


def findings(pair: Pair) -> tuple[Finding, ...]:
    """All tests that apply to a column."""
    return tuple(found for test in TESTS if (found := test(pair)) is not None)
