"""What a check leaves behind: a run with figures, files and verdict, tags, an entry for a flag.

>>> from lifecycle.records import Decision
>>> first(Decision(retrain=True, reasons=()))
'called for'
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.config import Config
from lifecycle.errors import DataError, MissingExtra, ModelNotFound
from lifecycle.records import (
    Decision,
    DriftReport,
    Entry,
    Metric,
    ModelSpec,
    ModelVersion,
    MonitorReport,
    Outcome,
)
from lifecycle.stores import artifacts, runs
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import answers
from lifecycle.triggers import open_flag
from lifecycle.views import drift_plots
from lifecycle.workflows.live import Live

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHECK = "lifecycle.check"  # run tag: what was checked, so that it is checked once
WINDOW_END = "lifecycle.window_end"
VERSION = "lifecycle.version"
MOST_METRICS = 900
MOST_REASON = 1000  # characters of a reason in the ledger


@dataclass(frozen=True)
class Check:
    """One check: whose, of which rows, and where it is recorded."""

    config: Config
    client: "MlflowClient"
    version: ModelVersion
    spec: ModelSpec
    live: Live
    experiment: str
    logged: bool  # the rows are the log's, and the next window of the log begins behind them


def page(check: Check, drift: DriftReport) -> str:
    """Evidently's report of a check; needs the extra `monitor`."""
    from lifecycle.drift.evidently_report import html

    before = artifacts.reference(check.client, check.version)
    return html(before, check.live.rows.to_pandas(), drift, sample=check.config.monitor.sample)


def write_page(check: Check, report: MonitorReport, path: str | Path | None) -> None:
    """Write Evidently's report where one is asked for.

    Raises:
        DataError: the file cannot be written.
    """
    if path is None:
        return
    drawn = page(check, report.drift)
    try:
        Path(path).write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"the report cannot be written: {error.strerror}",
            where=path,
            fix="name a file in a folder that exists and can be written",
        ) from error


def identity(check: Check) -> str:
    """What was checked, as sha256: version, rows and labels."""
    rows = check.live.rows.hash_rows(seed=0)
    parts = [check.version.ref, check.version.digest, list(check.live.rows.columns), rows.len()]
    content = json.dumps(parts).encode() + rows.to_numpy().tobytes()
    return hashlib.sha256(content + check.live.label_bytes()).hexdigest()


def record(check: Check, report: MonitorReport) -> MonitorReport:
    """Record a check once; one that was recorded before gets its run and changes nothing."""
    key = identity(check)
    with answers("monitoring runs"):
        known = check.client.search_runs(
            [check.experiment],
            f"tags.`{CHECK}` = '{key}' AND attributes.status = 'FINISHED'",
            max_results=1,
        )
    if known:
        return replace(report, run_id=known[0].info.run_id, repeated=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    tags = {
        CHECK: key,
        VERSION: str(check.version.version),
        "lifecycle.outcome": str(report.outcome),
    }
    if check.logged:
        tags[WINDOW_END] = check.live.end
    label = f"check of {check.version.ref}"
    with runs.run(check.client, check.experiment, label, tags=tags) as run_id:
        report = replace(report, run_id=run_id)
        runs.log_figures(check.client, run_id, figures(report), {"version": check.version.ref})
        runs.log_files(check.client, run_id, _files(check, report))
        digest, link = artifacts.evidence(check.client, run_id, "monitor", report.to_dict())
        _flag(check, report, key, digest, link)
    with answers(check.version.ref):
        for key, value in (("last_check", now), ("drift", str(report.drift.outcome))):
            check.client.set_model_version_tag(
                check.version.name, str(check.version.version), f"lifecycle.{key}", value
            )
    return report


def figures(report: MonitorReport) -> list[Metric]:
    """The figures of a check under names that MLflow allows, as many as one call takes."""
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


def _files(check: Check, report: MonitorReport) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {"drift.png": drift_plots.png(report.drift)}
    if report.html:
        files["evidently.html"] = Path(report.html).read_text(encoding="utf-8")
    elif report.drifted:
        try:
            files["evidently.html"] = page(check, report.drift)
        except (MissingExtra, ModelNotFound) as error:
            files["evidently.txt"] = f"{error}\n"
    return files


def _flag(check: Check, report: MonitorReport, key: str, digest: str, link: str) -> None:
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
            "check": key,
        },
    )

    def once(entries: Sequence[Entry]) -> Entry | None:
        told = any(item.extra.get("check") == key for item in entries)
        certain = report.outcome is not Outcome.UNSURE  # what cannot tell calls nothing off
        called = open_flag(entries, check.version) is not None
        clears = certain and called and not report.retrain
        flags = report.drifted or report.harmed or report.retrain
        if told or not (flags or clears):
            return None
        said = [f"cleared: {first(report.decision)}"] if clears else []
        said += [summary(report)] if flags else []
        return replace(entry, reason="; ".join(said)[:MOST_REASON])

    Ledger(check.client, check.version.name).append(once)


def summary(report: MonitorReport) -> str:
    """Harm, the columns that moved and a call for training in one line; empty without any."""
    moved = [item.name for item in report.columns.values() if item.drifted]
    parts = []
    if report.harmed and report.performance is not None:
        parts.append(report.performance.reason)
    if moved:
        more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
        parts.append(f"moved: {', '.join(moved[:3])}{more}")
    if report.retrain:
        parts.append(f"retrain: {first(report.decision)}")
    return "; ".join(parts)


def first(decision: Decision) -> str:
    """The reason that counts most."""
    return decision.reasons[0] if decision.reasons else "called for"
