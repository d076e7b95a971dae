"""Check the champion on live rows: have they moved, is it harmed, should it be trained again?

>>> from lifecycle.config import Config
>>> monitor(Config(name="churn"), since="2026-03-01").reasons  # doctest: +SKIP
('charges is higher: median 110 instead of 70, effect 1.4 sd, p < 1e-6',)
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.config import Config
from lifecycle.drift import Profile, compare_frames
from lifecycle.errors import DataError, MissingExtra, ModelNotFound
from lifecycle.records import (
    Decision,
    DriftReport,
    Entry,
    Metric,
    ModelRef,
    ModelSpec,
    ModelVersion,
    MonitorReport,
    Outcome,
)
from lifecycle.stores import artifacts, registry, runs
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.sealed import Moment, moment
from lifecycle.stores.tracking import answers, connect, experiment_id
from lifecycle.triggers import open_flag
from lifecycle.views import drift_plots
from lifecycle.workflows.compare import Table
from lifecycle.workflows.judge import Judged, judge
from lifecycle.workflows.live import Live, from_log, from_table

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHECK = "lifecycle.check"  # run tag: what was checked, so that it is checked once
WINDOW_END = "lifecycle.window_end"
VERSION = "lifecycle.version"
MOST_METRICS = 900
MOST_REASON = 1000  # characters of a reason in the ledger


@dataclass(frozen=True)
class _Check:
    config: Config
    client: "MlflowClient"
    version: ModelVersion
    spec: ModelSpec
    live: Live
    experiment: str
    logged: bool  # the rows are the log's, and the next window of the log begins behind them


def monitor(
    config: Config,
    live: Table | None = None,
    *,
    since: Moment = None,
    until: Moment = None,
    html: str | Path | None = None,
) -> MonitorReport:
    """Check the champion once and record the check.

    Live rows are the predictions that the champion logged, with the labels that came for them; or
    a table, scored here unless it has predictions, with labels in its target column. One check is
    one run of experiment NAME/monitoring with figures, verdict and pictures; a flag also becomes
    an entry of the ledger, and so does the check that calls off the retraining that an earlier
    one called for. The same rows, window and labels are recorded once.

    Args:
        config: names the model; `[monitor]`, `[retrain]`, `[log]`.
        live: a frame, a Parquet or CSV file or a folder; without it the prediction log is read.
        since: start of the window; by default where the last check of this version's log ended.
        until: end of the window, exclusive.
        html: where to write Evidently's report.

    Returns:
        The report; no live rows are not enough evidence and record nothing.

    Raises:
        ModelNotFound: no version is in production, or it was never trained or adopted here.
        DataError: the table or the report's path cannot be used.
        RegistryUnavailable: no answer in time; nothing was recorded.
    """
    first, last = moment(since, "since"), moment(until, "until")
    if first is not None and last is not None and first >= last:
        raise DataError(
            f"the window ends ({until}) before it begins ({since})", fix="correct since or until"
        )
    client = connect(config)
    version = _champion(client, config.name)
    spec = artifacts.spec(client, version)
    profile = Profile.loads(artifacts.profile_text(client, version))
    experiment = experiment_id(client, f"{config.name}/monitoring")
    if live is None:
        start = since if since is not None else _last_end(client, experiment, version)
        found = from_log(config, version, spec, since=start, until=until)
    else:
        found = from_table(
            live, spec, lambda: artifacts.load(client, version, config), since=since, until=until
        )
    check = _Check(config, client, version, spec, found, experiment, live is None)
    report = _report(check, profile)
    if not found.rows.height:
        return report
    _write_page(check, report, html)
    if html is not None:
        report = replace(report, html=str(html))
    return _recorded(check, report)


def _champion(client: "MlflowClient", name: str) -> ModelVersion:
    version = registry.find(client, ModelRef(name, alias="champion"))
    if not version.adopted:
        raise ModelNotFound(
            f"{version.ref} was not trained here: it has no reference to compare with",
            where=name,
            fix=f"lifecycle adopt {version.ref} --reference TRAINING_DATA",
        )
    return version


def _last_end(client: "MlflowClient", experiment: str, version: ModelVersion) -> str | None:
    with answers("monitoring runs"):
        known = client.search_runs(
            [experiment],
            f"tags.`{VERSION}` = '{version.version}' AND tags.`{WINDOW_END}` != ''"
            " AND attributes.status = 'FINISHED'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
    return known[0].data.tags.get(WINDOW_END) if known else None


def _report(check: _Check, profile: Profile) -> MonitorReport:
    config, live = check.config, check.live
    known = [name for name in profile.columns if name in live.rows.columns]
    unscored = {"prediction", "score"} - set(check.spec.feature_names) - set(known)
    time = profile.time if profile.time in live.rows.columns else None
    drift = compare_frames(
        profile,
        live.rows.select(*known, *([time] if time else [])),
        time=time,
        alpha=config.monitor.alpha,
        min_rows=config.monitor.min_rows,
        ignore=unscored,
    )
    drift = replace(drift, draw=lambda: _page(check, drift))
    judged = judge(config, check.version, check.spec, live, drifted=drift.drifted)
    return MonitorReport(
        name=check.version.name,
        version=check.version.version,
        outcome=_outcome(drift, judged),
        reasons=_reasons(check, drift, judged),
        decision=judged.decision,
        drift=drift,
        performance=judged.performance,
        window=drift.window or live.window,
    )


def _outcome(drift: DriftReport, judged: Judged) -> Outcome:
    harmed = judged.performance is not None and judged.performance.harmed
    return Outcome.FAIL if harmed else drift.outcome


def _reasons(check: _Check, drift: DriftReport, judged: Judged) -> tuple[str, ...]:
    if not check.live.rows.height:
        return (check.live.empty,)
    reasons = [*drift.reasons, *check.live.notes]
    if judged.performance is not None and judged.performance.harmed:
        reasons.insert(0, judged.performance.reason)
    return tuple(reasons)


def _page(check: _Check, drift: DriftReport) -> str:
    from lifecycle.drift.evidently_report import html

    before = artifacts.reference(check.client, check.version)
    return html(before, check.live.rows.to_pandas(), drift, sample=check.config.monitor.sample)


def _write_page(check: _Check, report: MonitorReport, path: str | Path | None) -> None:
    if path is None:
        return
    page = _page(check, report.drift)
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"the report cannot be written: {error.strerror}",
            where=path,
            fix="name a file in a folder that exists and can be written",
        ) from error


def _identity(check: _Check) -> str:
    """What was checked, as sha256: version, rows and labels."""
    rows = check.live.rows.hash_rows(seed=0)
    parts = [check.version.ref, check.version.digest, list(check.live.rows.columns), rows.len()]
    content = json.dumps(parts).encode() + rows.to_numpy().tobytes()
    return hashlib.sha256(content + check.live.label_bytes()).hexdigest()


def _recorded(check: _Check, report: MonitorReport) -> MonitorReport:
    identity = _identity(check)
    with answers("monitoring runs"):
        known = check.client.search_runs(
            [check.experiment],
            f"tags.`{CHECK}` = '{identity}' AND attributes.status = 'FINISHED'",
            max_results=1,
        )
    if known:
        return replace(report, run_id=known[0].info.run_id, repeated=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    tags = {
        CHECK: identity,
        VERSION: str(check.version.version),
        "lifecycle.outcome": str(report.outcome),
    }
    if check.logged:
        tags[WINDOW_END] = check.live.end
    label = f"check of {check.version.ref}"
    with runs.run(check.client, check.experiment, label, tags=tags) as run_id:
        report = replace(report, run_id=run_id)
        runs.log_figures(check.client, run_id, _metrics(report), {"version": check.version.ref})
        runs.log_files(check.client, run_id, _files(check, report))
        digest, link = artifacts.evidence(check.client, run_id, "monitor", report.to_dict())
        _flag(check, report, identity, digest, link)
    with answers(check.version.ref):
        for key, value in (("last_check", now), ("drift", str(report.drift.outcome))):
            check.client.set_model_version_tag(
                check.version.name, str(check.version.version), f"lifecycle.{key}", value
            )
    return report


def _metrics(report: MonitorReport) -> list[Metric]:
    found = [
        Metric("drifted_columns", sum(item.drifted for item in report.columns.values())),
        Metric("live_rows", report.drift.current_rows),
    ]
    if report.performance is not None and report.performance.value is not None:
        seen = report.performance
        found.append(Metric(f"live_{seen.metric}", seen.value or 0.0, seen.low, seen.high))
    for column in report.columns.values():
        name = "".join(mark if mark.isalnum() or mark in "_-. " else "_" for mark in column.name)
        for key, value in (
            ("score", column.score),
            ("p_value", column.p_value),
            ("effect", column.effect),
        ):
            if value is not None:
                found.append(Metric(f"{name[:200]}/{key}", value))
    return found[:MOST_METRICS]


def _files(check: _Check, report: MonitorReport) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {"drift.png": drift_plots.png(report.drift)}
    if report.html:
        files["evidently.html"] = Path(report.html).read_text(encoding="utf-8")
    elif report.drifted:
        try:
            files["evidently.html"] = _page(check, report.drift)
        except (MissingExtra, ModelNotFound) as error:
            files["evidently.txt"] = f"{error}\n"
    return files


def _flag(check: _Check, report: MonitorReport, identity: str, digest: str, link: str) -> None:
    """Enter a check that found something, and one that calls off what an earlier one called for."""
    entry = draft(
        kind="flag",
        version=check.version.version,
        evidence_digest=digest,
        evidence_link=link,
        extra={
            "drifted": report.drifted,
            "harmed": report.harmed,
            "retrain": report.retrain,
            "window": report.window,
            "check": identity,
        },
    )

    def once(entries: Sequence[Entry]) -> Entry | None:
        told = any(item.extra.get("check") == identity for item in entries)
        certain = report.outcome is not Outcome.UNSURE  # what cannot tell calls nothing off
        called = open_flag(entries, check.version) is not None
        clears = certain and called and not report.retrain
        flags = report.drifted or report.harmed or report.retrain
        if told or not (flags or clears):
            return None
        said = [f"cleared: {_first(report.decision)}"] if clears else []
        said += [_summary(report)] if flags else []
        return replace(entry, reason="; ".join(said)[:MOST_REASON])

    Ledger(check.client, check.version.name).append(once)


def _summary(report: MonitorReport) -> str:
    moved = [item.name for item in report.columns.values() if item.drifted]
    parts = []
    if report.harmed and report.performance is not None:
        parts.append(report.performance.reason)
    if moved:
        more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
        parts.append(f"moved: {', '.join(moved[:3])}{more}")
    if report.retrain:
        parts.append(f"retrain: {_first(report.decision)}")
    return "; ".join(parts)


def _first(decision: Decision) -> str:
    return decision.reasons[0] if decision.reasons else "called for"
