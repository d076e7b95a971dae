"""Check the champion on live rows: have they moved, is it harmed, should it be trained again?

>>> from lifecycle.config import Config
>>> monitor(Config(name="churn"), since="2026-03-01").reasons  # doctest: +SKIP
('charges is higher: median 110 instead of 70, effect 1.4 sd, p < 1e-6',)
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.config import Config
from lifecycle.drift import Profile, compare_frames
from lifecycle.errors import DataError, ModelNotFound
from lifecycle.records import (
    DriftReport,
    ModelRef,
    ModelVersion,
    MonitorReport,
    Outcome,
)
from lifecycle.stores import artifacts, registry
from lifecycle.stores.sealed import Moment, moment
from lifecycle.stores.tracking import answers, connect, experiment_id
from lifecycle.workflows.compare import Table
from lifecycle.workflows.judge import Judged, judge
from lifecycle.workflows.live import from_log, from_table
from lifecycle.workflows.recording import VERSION, WINDOW_END, Check, page, record, write_page

if TYPE_CHECKING:
    from mlflow import MlflowClient


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
    check = Check(config, client, version, spec, found, experiment, live is None)
    report = _report(check, profile)
    if not found.rows.height:
        return report
    write_page(check, report, html)
    if html is not None:
        report = replace(report, html=str(html))
    return record(check, report)


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


def _report(check: Check, profile: Profile) -> MonitorReport:
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
    drift = replace(drift, draw=lambda: page(check, drift))
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


def _reasons(check: Check, drift: DriftReport, judged: Judged) -> tuple[str, ...]:
    if not check.live.rows.height:
        return (check.live.empty,)
    reasons = [*drift.reasons, *check.live.notes]
    if judged.performance is not None and judged.performance.harmed:
        reasons.insert(0, judged.performance.reason)
    return tuple(reasons)
