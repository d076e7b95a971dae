"""One verdict on a table: which columns moved by more than chance and by enough to matter.

>>> import polars as pl
>>> rows = pl.DataFrame({"age": [float(30 + row % 40) for row in range(400)]})
>>> report = compare_frames(rows, rows[:200] + 25.0)
>>> report.drifted, report.columns["age"].test
(True, 'location')
>>> print(report.reasons[0])
age is higher: median 74.5 instead of 49, effect 1.5 sd, p < 1e-6; also out of range

The chance of any alarm on unchanged data is at most about alpha: every test's p-value is held
against its part of it (`lifecycle.drift.sharing`). An alarm also needs an effect that matters, so
that large tables do not alarm for nothing. Where the rows have a time, p-values count rows in runs
for what they are worth (`lifecycle.drift.runs`), and columns whose hours differ are held against
the same hours of the reference (`lifecycle.drift.matching`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from lifecycle.drift.bounds import from_profiles
from lifecycle.drift.correlations import Correlation, correlations
from lifecycle.drift.counting import build_profile
from lifecycle.drift.findings import FEWEST_FOR_RANKS, Finding, findings
from lifecycle.drift.matching import in_words
from lifecycle.drift.omnibus import moved_together
from lifecycle.drift.profile import ColumnProfile, Profile
from lifecycle.drift.reasons import Facts, plural, reason
from lifecycle.drift.scores import Scores, exact
from lifecycle.drift.sharing import SHARES, limits
from lifecycle.drift.sides import Pair
from lifecycle.drift.tails import limit
from lifecycle.records import ColumnDrift, DriftReport, Outcome

SAME_PERIOD = 0.9  # windows that overlap by so much share whatever came in runs
PRACTICAL = 1.0  # a shift of one standard deviation is what a window must be able to show
POWER = 0.8
SCORED = ("numeric", "categorical", "boolean")
EXACT_TESTS = ("out of range", "new level", "missing")  # hold at any number of rows


@dataclass(frozen=True)
class _Case:
    """One comparison: both profiles, live rows to tell of, and what was asked."""

    reference: Profile
    live: Profile
    rows: pl.DataFrame  # the live rows, or a sample of them
    scores: Mapping[str, Scores | None]
    seconds: float | None
    alpha: float
    min_rows: int


def compare_frames(
    reference: Profile | pl.DataFrame,
    current: pl.DataFrame,
    *,
    time: str | None = None,
    alpha: float = 0.01,
    min_rows: int = 30,
    ignore: Collection[str] = (),
) -> DriftReport:
    """Compare live rows with reference rows or with their profile.

    Args:
        reference: the reference rows, or the profile that was stored with the model.
        current: the live rows.
        time: the column that orders the rows of both; by default the profile's own.
        alpha: chance of an alarm on unchanged data.
        min_rows: with fewer live rows only exact tests and the schema can alarm.
        ignore: columns to leave out.

    Returns:
        The report; a column that is missing, new or of another type is a finding of its own.
    """
    if isinstance(reference, Profile):
        profile, time = reference, time or reference.time
    else:
        profile = build_profile(reference, time=time, ignore=ignore)
    left_out = {*ignore, *([time] if time else [])}
    live = build_profile(current, time=time, ignore=left_out, like=profile)
    scores: dict[str, Scores | None] = {}
    if isinstance(reference, pl.DataFrame):
        for name, column in live.columns.items():
            if column.kind in SCORED and column.kind == profile.columns[name].kind:
                scores[name] = exact(reference[name], current[name])
    return compare_profiles(
        profile, live, current, alpha=alpha, min_rows=min_rows, ignore=left_out, scores=scores
    )


def compare_profiles(
    reference: Profile,
    live: Profile,
    rows: pl.DataFrame,
    *,
    alpha: float = 0.01,
    min_rows: int = 30,
    ignore: Collection[str] = (),
    scores: Mapping[str, Scores | None] | None = None,
) -> DriftReport:
    """Compare two profiles; the second was counted in the first one's cells.

    Args:
        reference: the reference's profile.
        live: the live rows' profile, made with `like=reference`.
        rows: the live rows, or a sample of them with all their columns: for types and reasons.
        alpha: chance of an alarm on unchanged data.
        min_rows: with fewer live rows only exact tests and the schema can alarm.
        ignore: columns to leave out.
        scores: Evidently's scores where they are known exactly; others follow from the profiles.
    """
    seconds = _window_seconds(reference, live)
    case = _Case(reference, live, rows, scores or {}, seconds, alpha, min_rows)
    columns = _schema(case, ignore)
    shared = [
        name
        for name in reference.columns
        if name not in ignore and name not in columns and name in live.columns
    ]
    pairs = _pairs(case, shared)
    columns |= _columns(case, pairs)
    ranked = dict(sorted(columns.items(), key=lambda item: _rank(item[1])))
    outcome, reasons = _verdict(case, ranked)
    notes = {**reference.not_monitored, **live.not_monitored}
    return DriftReport(
        outcome=outcome,
        columns=ranked,
        reference_rows=reference.rows,
        current_rows=live.rows,
        reasons=reasons,
        not_monitored={name: note for name, note in notes.items() if name in ranked},
        alpha=alpha,
        window=live.window,
        matched=_matched(reference, pairs),
    )


def _matched(reference: Profile, pairs: Mapping[str, Pair]) -> str:
    if not reference.window:
        return ""
    first, last = (datetime.fromisoformat(item) for item in reference.window)
    return in_words([pair.matched for pair in pairs.values()], (last - first).total_seconds())


def _window_seconds(reference: Profile, live: Profile) -> float | None:
    """The live window's length; None where rows count as independent."""
    if not reference.window or not live.rows:
        return None
    first, last = (datetime.fromisoformat(item) for item in reference.window)
    whole = max(1.0, (last - first).total_seconds())
    if not live.window:  # unordered live rows are taken as one stretch at the reference's rate
        return max(1.0, whole * live.rows / max(1, reference.rows))
    start, end = (datetime.fromisoformat(item) for item in live.window)
    shared = (min(last, end) - max(first, start)).total_seconds()
    if shared > SAME_PERIOD * (max(last, end) - min(first, start)).total_seconds():
        return None
    return max(1.0, (end - start).total_seconds() * live.rows / max(1, live.rows - 1))


def _schema(case: _Case, left_out: Collection[str]) -> dict[str, ColumnDrift]:
    found: dict[str, ColumnDrift] = {}
    if not case.rows.height:  # no rows say nothing, not even of columns
        return found

    def add(name: str, kind: str, text: str) -> None:
        found[name] = ColumnDrift(
            name, kind, True, Outcome.FAIL, p_value=0.0, effect=1.0, test="schema", reason=text
        )

    for name, column in case.reference.columns.items():
        if name in left_out:
            continue
        if name not in case.live.columns:
            add(name, column.kind, f"{name} is missing from the live data")
        elif case.live.rows and not _same_type(column.kind, case.live.columns[name].kind):
            kind = case.live.columns[name].kind
            dtype = case.rows.schema[name]
            add(name, kind, f"{name} is of type {dtype} ({kind}) instead of {column.kind}")
    for name in case.rows.columns:
        if name not in left_out and name not in case.reference.columns:
            add(name, "unknown", f"{name} is new: the reference has no such column")
    return found


def _same_type(reference: str, live: str) -> bool:
    texts = {"categorical", "text"}
    return reference == live or "empty" in (reference, live) or {reference, live} <= texts


def _pairs(case: _Case, shared: list[str]) -> dict[str, Pair]:
    sides = (case.reference.columns, case.live.columns)
    return {
        name: Pair(sides[0][name], _as(sides[1][name], case, name), case.seconds) for name in shared
    }


def _columns(case: _Case, pairs: Mapping[str, Pair]) -> dict[str, ColumnDrift]:
    enough = case.live.rows >= case.min_rows
    tested = {
        name: tuple(item for item in findings(pair) if enough or item.test in EXACT_TESTS)
        for name, pair in pairs.items()
    }
    kinds = {
        name: (pairs[name].reference.kind, tuple(item.test for item in found))
        for name, found in tested.items()
    }
    held = limits(case.alpha, kinds)
    correlated: dict[str, Correlation] = {}
    joined: tuple[tuple[str, ...], float] = ((), 1.0)
    if enough:
        sums = (case.reference.pairs, case.live.pairs)
        correlated = correlations(*sums, pairs, alpha=SHARES["correlation"] * case.alpha)
        joined = moved_together(sums[0], pairs, tested, limit=SHARES["together"] * case.alpha)
    columns = {}
    for name, pair in pairs.items():
        told = joined if name in joined[0] else ((), 1.0)
        facts = Facts(pair, case.rows[name], tested[name], correlated.get(name), *told)
        columns[name] = _column(case, facts, held)
    return columns


def _as(live: ColumnProfile, case: _Case, name: str) -> ColumnProfile:
    """Live counts in the reference's cells where the live column is all null."""
    known = case.reference.columns[name]
    if live.same_cells(known) or len(live.counts) == len(known.counts):
        return live
    counts = (*([0] * (len(known.counts) - 1)), live.null)
    return ColumnProfile(name, known.kind, live.rows, counts, known.edges, known.levels)


def _column(case: _Case, facts: Facts, held: Mapping[tuple[str, str], float]) -> ColumnDrift:
    pair, correlation, name = facts.pair, facts.correlation, facts.name
    flagged = [
        item
        for item in facts.findings
        if item.matters
        and (item.p_value <= held[name, item.test] or (facts.joined and item.test == "location"))
    ]
    effect = pair.design_effects[1]
    main = min(flagged, key=_weight) if flagged else None
    if main is None and correlation is not None:
        main = correlation.finding
    shown = main or min(facts.findings, key=lambda item: item.p_value, default=None)
    outcome, text = Outcome.FAIL, ""
    if main is not None:
        text = reason(facts, main, flagged, effect)
    else:
        least = held.get((name, "location")) or held.get((name, "shape")) or case.alpha
        outcome, text = _quiet(case, facts, least)
    score = _score(case, name)
    return ColumnDrift(
        name=name,
        kind=pair.reference.kind if pair.reference.kind != "empty" else pair.live.kind,
        drifted=main is not None,
        outcome=outcome,
        score=score.value if score else None,
        score_name=score.name if score else "",
        scores=score.figures if score else {},
        bounds=score.bounds if score else {},
        p_value=shown.p_value if shown else None,
        effect=shown.effect if shown else None,
        test=shown.test if shown else "",
        reason=text,
        design_effect=effect,
        reference=_picture(pair.reference),
        current=_picture(pair.live),
    )


def _weight(finding: Finding) -> tuple[float, float]:
    """The finding that says most: where values lie before how they are spread and shaped."""
    weight = {"new level": 3.0, "scale": 0.5, "shape": 0.1}.get(finding.test, 1.0)
    size = weight * min(1.0, abs(finding.effect))
    return (-size, finding.p_value)


def _rank(column: ColumnDrift) -> tuple[int, float, float]:
    order = {Outcome.FAIL: 0, Outcome.UNSURE: 1, Outcome.PASS: 2}[column.outcome]
    if column.test == "schema":
        return (-1, 0.0, 0.0)
    p_value = 1.0 if column.p_value is None else column.p_value
    return (order, -abs(column.effect or 0.0) if column.drifted else p_value, p_value)


def _quiet(case: _Case, facts: Facts, share: float) -> tuple[Outcome, str]:
    """What is said of a column that gave no alarm: nothing, or that it could not have given one."""
    pair = facts.pair
    if pair.reference.kind not in ("numeric", "categorical", "boolean"):
        return Outcome.PASS, ""
    m, n = pair.rows
    if min(m, n) < FEWEST_FOR_RANKS or case.live.rows < case.min_rows:
        return Outcome.UNSURE, f"only {plural(min(m, n), 'row')} with a value"
    least = smallest_shift(pair, share)
    if least <= PRACTICAL:
        return Outcome.PASS, ""
    text = f"only a shift above {least:.1f} sd could be told from chance"
    effect = pair.design_effects[1]
    return Outcome.UNSURE, f"{text}: {effect:,.0f} rows in a run count as one"


def smallest_shift(pair: Pair, share: float) -> float:
    """The shift, in standard deviations, that would be found in four of five such windows."""
    m, n = pair.compared_rows, pair.rows[1]
    spread = pair.common
    if spread.row <= 0:
        return 0.0
    freedom = spread.tails(n, m)
    deviation = (spread.variance(n, m) / spread.row) ** 0.5
    return (limit(share / 2, freedom) + limit(1 - POWER)) * float(deviation)


def _score(case: _Case, name: str) -> Scores | None:
    one, two = case.reference.columns[name], case.live.columns[name]
    if one.kind not in SCORED or one.kind != two.kind:
        return None
    return case.scores[name] if name in case.scores else from_profiles(one, two)


def _picture(column: ColumnProfile) -> dict[str, Any]:
    """What the plots need of one side."""
    cells: dict[str, Any] = {"rows": column.rows, "null": column.null}
    if column.kind == "numeric":
        cells |= {"edges": list(column.edges), "counts": list(column.counts[:-1])}
        cells |= {"low": column.low, "high": column.high}
    elif column.levels:
        cells |= {"levels": list(column.levels), "counts": list(column.counts[:-1])}
    return cells


def _verdict(case: _Case, columns: Mapping[str, ColumnDrift]) -> tuple[Outcome, tuple[str, ...]]:
    drifted = [item.reason for item in columns.values() if item.drifted]
    if drifted:
        return Outcome.FAIL, tuple(drifted)
    rows = case.live.rows
    if not case.reference.rows or not case.reference.columns:
        return Outcome.UNSURE, ("the reference has no rows to compare with",)
    if rows < case.min_rows:
        seen = "there are no live rows" if not rows else f"{plural(rows, 'live row')} are too few"
        seen = "1 live row is too few" if rows == 1 else seen
        return Outcome.UNSURE, (f"{seen}: at least {case.min_rows} are needed",)
    judged = [item for item in columns.values() if item.name not in case.reference.not_monitored]
    blind = [item for item in judged if item.outcome is Outcome.UNSURE]
    if not judged:
        return Outcome.UNSURE, ("no column can be compared by value",)
    if len(blind) == len(judged):
        text = "the window is too short to tell: rows come in runs"
        return Outcome.UNSURE, (f"{text} ({blind[0].name}: {blind[0].reason})",)
    if blind:
        names = ", ".join(item.name for item in blind)
        return Outcome.PASS, (f"only large changes could be seen in {names}",)
    return Outcome.PASS, ()
