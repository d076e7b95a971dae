"""What a comparison and a check say, as sheets: the worst columns with their bars, then reasons.

>>> from lifecycle.records import DriftReport, Outcome
>>> drift(DriftReport(Outcome.PASS, {}, 1000, 200)).title
'no drift: 200 rows against 1,000'
"""

from collections.abc import Iterator
from typing import Any

from lifecycle import records
from lifecycle.records import EXIT_CODES, Outcome
from lifecycle.views import timelines
from lifecycle.views.bars import bars
from lifecycle.views.layout import BAD, MARKS, Sheet, count, interval, number, probability

SHOWN = 12  # columns with their bars; the rest is counted
LISTED = 500  # of the rest, on pages
SLICES = 3
ROUNDING = 1e-6  # a bound that is less of its score is one of arithmetic
TOLD = {"opened": "new", "worse": "grew worse", "": "still open"}


def drift(record: records.DriftReport) -> Sheet:
    """The sheet of a comparison."""
    verdict = {Outcome.PASS: "no drift", Outcome.FAIL: "drifted"}.get(
        record.outcome, record.outcome
    )
    return Sheet(
        f"{verdict}: {record.current_rows:,} rows against {record.reference_rows:,}",
        mark=MARKS[record.outcome],
        facts=tuple(_matched(record)),
        notes=_notes([*record.reasons, *_left_out(record)], record),
        **_columns(record),
    )


def monitor(record: records.MonitorReport) -> Sheet:
    """The sheet of a check."""
    words = [word for word, on in (("drifted", record.drifted), ("harmed", record.harmed)) if on]
    calm = "fine" if record.outcome is Outcome.PASS else str(record.outcome)
    verdict = " and ".join(words) or ("due for retraining" if record.retrain else calm)
    if record.waiting:
        verdict = "waiting for rows"
    window = f", {span(record.window)}" if record.window else ""
    notes = [*record.reasons, *record.decision.reasons, *_left_out(record.drift)]
    notes.append("retraining is called for" if record.retrain else "no retraining is called for")
    notes.extend(record.notes)
    if record.repeated:
        notes.append("this window had been checked before; nothing was written")
    if record.html:
        notes.append(f"report: {record.html}")
    facts = tuple(_facts(record))
    told = {words for _, words in facts}
    notes = [note for note in notes if note not in told]
    flagged = EXIT_CODES[Outcome.FAIL] == record.exit_code
    return Sheet(
        f"{record.name} version {record.version}: {verdict}{window}",
        mark=BAD if flagged else MARKS[record.outcome],
        facts=facts,
        pictures=tuple(_over_time(record)),
        notes=_notes(notes, record.drift),
        **_columns(record.drift),
    )


def _over_time(record: records.MonitorReport) -> Iterator[str]:
    """The metric from stretch to stretch of the window."""
    seen = record.performance
    if seen is None or sum(point.value is not None for point in seen.over_time) < 2:
        return
    points = [
        records.Check(
            point.start, record.version, Outcome.PASS, (point.start, point.end), point.rows,
            metric=seen.metric, value=point.value, low=point.low, high=point.high,
            expected=seen.expected, expected_low=seen.expected_low,
            expected_high=seen.expected_high,
        )
        for point in seen.over_time
    ]  # fmt: skip
    yield timelines.performance(points, caption="within the window")


def span(window: tuple[str, str]) -> str:
    """A window in words, to the day, or to the minute where it begins and ends on one day.

    >>> span(("2026-03-01T00:00:00", "2026-03-08T23:30:00"))
    '2026-03-01 to 2026-03-08'
    >>> span(("2026-03-01T06:00:00", "2026-03-01T08:30:00"))
    '2026-03-01 06:00 to 08:30'
    """
    first, last = window
    if first[:10] != last[:10] or len(first) < 16 or len(last) < 16:
        return f"{first[:10]} to {last[:10]}"
    return f"{first[:10]} {first[11:16]} to {last[11:16]}"


def _matched(report: records.DriftReport) -> Iterator[tuple[str, str]]:
    if report.matched:
        yield "held against", report.matched


def _facts(record: records.MonitorReport) -> Iterator[tuple[str, str]]:
    """What is known beside the columns, each in a line."""
    drift = record.drift
    yield "rows", f"{drift.current_rows:,} live against {drift.reference_rows:,} of the reference"
    yield from _matched(drift)
    if record.labels is not None:
        yield "labels", _labels(record.labels)
    if record.performance is not None:
        yield "performance", _performance(record.performance)
    if record.estimate is not None:
        yield "estimate", _estimate(record.estimate)
    if record.calibration is not None:
        yield "calibration", _calibration(record.calibration)
    yield from (("slice", _slice(item)) for item in record.slices[:SLICES])
    if record.incident is not None:
        yield "incident", _incident(record.incident)
    if record.late_rows:
        late = count(record.late_rows, "row")
        yield "late", f"{late} of earlier windows came after their check"
    yield from (("caught up", _caught_up(item)) for item in record.earlier)


def _caught_up(item: records.MonitorReport) -> str:
    """What a check of an earlier window said."""
    window = span(item.window) if item.window else "window"
    moved = ", ".join(name for name, column in item.columns.items() if column.drifted)
    said = "harmed" if item.harmed else "drifted" if item.drifted else str(item.outcome)
    return f"{window}: {said}" + (f" ({moved})" if moved else "")


def _labels(labels: records.LabelCoverage) -> str:
    known = f"{labels.labelled:,} of {labels.rows:,} known, {labels.missing:,} missing"
    return labels.reason or known


def _performance(seen: records.Performance) -> str:
    if seen.reason:
        return seen.reason
    known = f"{seen.metric} {interval(seen.value, seen.low, seen.high)}"
    if seen.expected is not None:
        expected = interval(seen.expected, seen.expected_low, seen.expected_high)
        known += f", expected {expected}"
    return f"{known}, on {count(seen.labelled_rows, 'labelled row')}"


def _estimate(estimate: records.Estimate) -> str:
    if estimate.value is None:
        return estimate.reason or f"{estimate.metric} cannot be estimated"
    figure = interval(estimate.value, estimate.low, estimate.high)
    text = f"{estimate.metric} {figure} without labels ({estimate.method})"
    if estimate.assumption:
        text += f", assuming that {estimate.assumption}"
    return f"{text}; {estimate.reason or 'not yet checked against labels'}"


def _calibration(seen: records.Calibration) -> str:
    told = {Outcome.PASS: "no change shown", Outcome.FAIL: "scores have changed"}
    text = seen.reason or told.get(seen.outcome, str(seen.outcome))
    if seen.error is None or seen.outcome is not Outcome.FAIL:
        return text
    before = "" if seen.expected_error is None else f", {number(seen.expected_error, 2)} before"
    return f"{text}; calibration error {number(seen.error, 2)}{before}"


def _slice(item: records.Slice) -> str:
    mark = {Outcome.FAIL: "worse: ", Outcome.UNSURE: "not enough evidence: "}.get(item.outcome, "")
    text = item.reason or f"{item.metric} {interval(item.value, item.low, item.high)}"
    return f"{mark}{item.where}: {text}"


def _incident(incident: records.Incident) -> str:
    if incident.change == "resolved":
        return f"resolved; it was open since {incident.since[:16].replace('T', ' ')}"
    what = [*(["harmed"] if incident.harmed else []), *incident.columns]
    since = f", since {incident.since[:16].replace('T', ' ')}" if incident.since else ""
    more = f" and {len(what) - 4} more" if len(what) > 4 else ""
    return f"{TOLD[incident.change]}{since}: {', '.join(what[:4])}{more}"


def _columns(report: records.DriftReport) -> dict[str, Any]:
    columns = list(report.columns.values())
    shown, rest = columns[:SHOWN], columns[SHOWN:]
    if not shown:
        return {}
    return {
        "headers": ("column", "reference\nlive", "moved in", "effect", "p", "distance"),
        "rows": [
            (f"{c.name}\n{c.kind}", bars(c) or "", *_figures(c)) for c in shown
        ],
        "marks": [MARKS[c.outcome] for c in shown],
        "said": [c.reason for c in shown],
        "rest": [
            (c.name, c.kind, *(cell.replace("\n", " ") for cell in _figures(c)), c.reason)
            for c in rest[:LISTED]
        ],
        "folded": f"{count(len(rest), 'more column')}, none of them worse" if rest else "",
    }  # fmt: skip


def _figures(column: records.ColumnDrift) -> tuple[str, ...]:
    return (
        column.test if column.drifted else "",
        number(_visible(column.effect), 2),
        probability(column.p_value),
        _score(column),
    )


def _visible(effect: float | None) -> float | None:
    """An effect without what is left of rounding."""
    return effect if effect is None else round(effect, 4)


def _score(column: records.ColumnDrift) -> str:
    bound = column.bounds.get(column.score_name, 0.0)
    shown = f"\n± {number(bound, 1)}" if bound > ROUNDING * abs(column.score or 1.0) else ""
    return number(column.score, 3) + shown


def _left_out(report: records.DriftReport) -> list[str]:
    return [f"{name}: not monitored, {why}" for name, why in report.not_monitored.items()]


def _notes(notes: list[str], report: records.DriftReport) -> list[str]:
    """Each sentence once, and none that stands beside its column."""
    beside = {column.reason for column in list(report.columns.values())[:SHOWN]}
    return [note for note in dict.fromkeys(notes) if note and note not in beside]
