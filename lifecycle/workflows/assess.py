"""What the live rows of a check say: drift, harm, and whether to train; nothing is recorded.

>>> spoken_alpha(0.0027, rate=1, models=2, window=timedelta(days=2))
'alpha 0.0027: 1 false alarm a year, of 2 models, for 2 days; half for drift, half for harm'
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from lifecycle.config import Config
from lifecycle.drift import Profile, compare_frames
from lifecycle.drift.spending import alpha_of
from lifecycle.durations import spoken
from lifecycle.records import (
    Decision,
    DriftReport,
    ModelSpec,
    MonitorReport,
    Outcome,
    Performance,
)
from lifecycle.stores import checks
from lifecycle.workflows.holdout import Holdout, expected_in, holdout
from lifecycle.workflows.judge import Judged, judge
from lifecycle.workflows.recording import Case, page


def assess(case: Case, profile: Profile) -> MonitorReport:
    """Compare, judge and decide.

    Args:
        case: the rows, and the chance of a false alarm that they may have.
        profile: what they are compared with.
    """
    config, live = _halved(case), case.live
    known = [name for name in profile.columns if name in live.rows.columns]
    unscored = {"prediction", "score"} - set(case.spec.feature_names) - set(known)
    time = profile.time if profile.time in live.rows.columns else None
    drift = compare_frames(
        profile,
        live.rows.select(*known, *([time] if time else [])),
        time=time,
        alpha=config.monitor.alpha,
        min_rows=config.monitor.min_rows,
        ignore=unscored | set(live.masked),
    )
    left_out = {**drift.not_monitored, **live.masked}
    drift = replace(drift, not_monitored=left_out, draw=lambda: page(case, drift))
    spec, before, why = _held_against(case)
    judged = judge(config, case.version, spec, live, drifted=drift.drifted, before=before, why=why)
    judged = _of_a_part(case, judged, expected=before is not None)
    told = judged.told
    return MonitorReport(
        name=case.version.name,
        version=case.version.version,
        outcome=_outcome(drift, judged),
        reasons=_reasons(case, drift, judged),
        decision=judged.decision,
        drift=drift,
        performance=judged.performance,
        window=drift.window or live.window,
        late_rows=live.late,
        labels=told.labels if told else None,
        estimate=told.estimate if told else None,
        calibration=told.calibration if told else None,
        slices=told.slices if told else (),
    )


def _held_against(case: Case) -> tuple[ModelSpec, Holdout | None, str]:
    """The hold-out, of a segment its rows there, and the metrics that are to be expected."""
    if not case.live.rows.height:
        return case.spec, None, ""
    before, why = holdout(case.client, case.config, case.version, case.spec)
    if before is None:
        return case.spec, None, why
    if case.segment is None:
        spec = case.spec if before.blocks is None else expected_in(case.spec, before)
        return spec, before, why
    part = before.part(case.segment)
    if not len(part.labels):
        return case.spec, None, f"the hold-out has no rows with {case.segment}"
    return expected_in(case.spec, part), part, ""


def _outcome(drift: DriftReport, judged: Judged) -> Outcome:
    harmed = judged.performance is not None and judged.performance.harmed
    return Outcome.FAIL if harmed else drift.outcome


def _reasons(case: Case, drift: DriftReport, judged: Judged) -> tuple[str, ...]:
    if not case.live.rows.height:
        return (case.live.empty,)
    reasons = [*drift.reasons, *case.live.notes]
    if judged.performance is not None and judged.performance.harmed:
        reasons.insert(0, judged.performance.reason)
    reasons += judged.told.notes if judged.told else ()
    if case.spending:
        reasons.append(case.spending)
    return tuple(reasons)


def _of_a_part(case: Case, judged: Judged, *, expected: bool) -> Judged:
    """A part of the rows, or another version, calls for no training of the champion."""
    if case.decides:
        return judged
    said = "a check of the champion's rows as a whole decides on retraining"
    seen = judged.performance
    if case.segment is not None and seen is not None and not expected:
        seen = _unjudged(seen)
    return replace(judged, decision=Decision(retrain=False, reasons=(said,)), performance=seen)


def _unjudged(seen: Performance) -> Performance:
    """A segment's figure; a harder segment is no harm, so it is not held against all rows'."""
    told = f"{seen.metric} {seen.value:.4g}" if seen.value is not None else seen.metric
    return replace(
        seen,
        outcome=Outcome.UNSURE,
        expected=None,
        expected_low=None,
        expected_high=None,
        reason=f"{told} on {seen.labelled_rows:,} labelled rows; what to expect of the segment is"
        " not known, the hold-out's figure is of all rows",
    )


def _halved(case: Case) -> Config:
    """Both drift and harm may alarm: where alarms a year are counted, they share them."""
    alpha = case.alpha / 2 if case.spending else case.alpha
    return case.config.with_values(monitor__alpha=alpha)


def spend(case: Case, start: datetime | None, end: datetime | None) -> tuple[float, str]:
    """The chance of a false alarm that a check may have, and why it is that.

    Args:
        case: names the model and `[monitor]`.
        start: of the window, UTC; by default the first row's time.
        end: of the window, UTC; by default the last row's.

    Returns:
        `[monitor] alpha` and no words where no alarms a year are asked for.
    """
    rate = case.config.monitor.alarms_per_year
    if not rate:
        return case.config.monitor.alpha, ""
    if case.live.window is not None:
        first, last = (datetime.fromisoformat(item) for item in case.live.window)
        start, end = start or first.replace(tzinfo=UTC), end or last.replace(tzinfo=UTC)
    if start is None or end is None:
        alpha = case.config.monitor.alpha
        return alpha, f"alpha {alpha:g}: rows without a time have no part in alarms a year"
    models = checks.monitored(case.client, datetime.now(UTC), beside=case.experiment)
    alpha = alpha_of(end - start, alarms_per_year=rate, models=models)
    return alpha, spoken_alpha(alpha, rate=rate, models=models, window=end - start)


def spoken_alpha(alpha: float, *, rate: float, models: int, window: timedelta) -> str:
    """Which alpha a check has, and why."""
    alarms = f"{rate:g} false alarm{'' if rate == 1 else 's'} a year"
    of = f", of {models} models," if models > 1 else ""
    return f"alpha {alpha:.2g}: {alarms}{of} for {spoken(window)}; half for drift, half for harm"
