"""What a check leaves behind: a run with figures, files and verdict, tags, an entry for a flag.

>>> from lifecycle.records import Decision
>>> first(Decision(retrain=True, reasons=()))
'called for'

The run ends as FINISHED after all of it; whatever is killed before is done again by the next call,
which finds entries of the ledger that were made already by the check's key.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import polars as pl

from lifecycle.config import Config
from lifecycle.errors import DataError, MissingExtra, ModelNotFound
from lifecycle.records import (
    Check,
    Decision,
    DriftReport,
    Entry,
    Incident,
    Metric,
    ModelSpec,
    ModelVersion,
    MonitorReport,
    Outcome,
)
from lifecycle.stores import artifacts, checks, runs
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import answers
from lifecycle.triggers import open_flag
from lifecycle.workflows.alerts import Post, follow, message
from lifecycle.workflows.checks import as_check, enter, pictures
from lifecycle.workflows.compare import to_polars
from lifecycle.workflows.live import Live
from lifecycle.workflows.segments import Segment, within

if TYPE_CHECKING:
    from mlflow import MlflowClient

MOST_REASON = 1000  # characters of a reason in the ledger, as ASCII JSON
AT_ONCE = 300  # figures in one call to MLflow, with two limits each


def _nothing() -> Live:
    return Live(pl.DataFrame(), pl.Series(dtype=pl.Null), pl.Series(dtype=pl.Datetime("us")))


@dataclass(frozen=True)
class Case:
    """One check: whose, of which rows, and where it is recorded.

    Attributes:
        arm: only what this arm of a rollout answered.
        segment: only rows of this segment.
        champion: the version is in production.
        logged: the rows are the log's, and the next window of the log begins behind them.
        end: of the window, UTC; None: behind its last row.
        recent: no later window of the series was checked before.
        alpha: chance of a false alarm that the check may have.
        spending: why it is that, where it is not `[monitor] alpha`.
    """

    config: Config
    client: "MlflowClient"
    version: ModelVersion
    spec: ModelSpec
    experiment: str
    live: Live = field(default_factory=_nothing)
    arm: str | None = None
    segment: Segment | None = None
    champion: bool = True
    logged: bool = True
    end: datetime | None = None
    recent: bool = True
    alpha: float = 0.01
    spending: str = ""

    @property
    def part(self) -> str:
        """Which of the version's rows, as in "arm shadow, carrier=EV"; empty: all."""
        arm = [f"arm {self.arm}"] if self.arm else []
        return ", ".join([*arm, *([str(self.segment)] if self.segment else [])])

    @property
    def scope(self) -> str:
        """The rows whose checks follow each other, in words."""
        name = checks.CHAMPION if self.champion else f"version {self.version.version}"
        return f"{name}, {self.part}" if self.part else name

    @property
    def closes(self) -> datetime:
        """Where the next window begins, UTC; not behind a row that is dated in the future."""
        if self.end is not None:
            return self.end.astimezone(UTC)
        last = datetime.fromisoformat(self.live.end).replace(tzinfo=UTC)
        return min(last, datetime.now(UTC))

    @property
    def decides(self) -> bool:
        """Whether it may call for retraining: a check of all that the champion answered."""
        return self.champion and not self.part


def reference(case: Case) -> pd.DataFrame:
    """The stored sample of the rows that the model was made with, those of the segment.

    Raises:
        DataError: it has none of the segment.
        ModelNotFound: none is stored with the version.
    """
    before = artifacts.reference(case.client, case.version)
    if case.segment is None:
        return before
    of_it = within(to_polars(before, "reference"), case.segment).to_numpy()
    if not of_it.any():
        raise DataError(
            f"none of the {len(before):,} reference rows has {case.segment}",
            where=case.version.ref,
            fix="there is nothing to compare with; name a segment that was there at training",
        )
    return before[of_it].reset_index(drop=True)


def page(case: Case, drift: DriftReport) -> str:
    """Evidently's report of a check; needs the extra `monitor`."""
    from lifecycle.drift.evidently_report import html

    before = reference(case)
    return html(before, case.live.rows, drift, sample=case.config.monitor.sample)


def write_page(case: Case, report: MonitorReport, path: str | Path | None) -> None:
    """Write Evidently's report where one is asked for.

    Raises:
        DataError: the file cannot be written.
    """
    if path is None:
        return
    drawn = page(case, report.drift)
    try:
        Path(path).write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"the report cannot be written: {error.strerror}",
            where=path,
            fix="name a file in a folder that exists and can be written",
        ) from error


def identity(case: Case) -> str:
    """What was checked, as sha256: version, rows and labels."""
    rows = case.live.rows.hash_rows(seed=0)
    columns = list(case.live.rows.columns)
    parts = [case.version.ref, case.version.digest, columns, rows.len(), case.part]
    content = json.dumps(parts).encode() + rows.to_numpy().tobytes()
    return hashlib.sha256(content + case.live.label_bytes()).hexdigest()


def record(case: Case, report: MonitorReport, *, key: str, post: Post) -> MonitorReport:
    """Record a check, and tell of what it made of the open incident.

    Args:
        case: what was checked.
        report: what came out.
        key: what `identity` gave.
        post: what is told goes through it.

    Returns:
        The report with its run, the incident, and a note where somebody could not be told.

    Raises:
        RegistryUnavailable: no answer in time; the next call does what was not done.
    """
    client, name = case.client, case.version.name
    label = f"check of {case.version.ref}" + (f", {case.part}" if case.part else "")
    with runs.run(client, case.experiment, label, tags=_tags(case, report, key)) as run_id:
        report = replace(report, run_id=run_id)
        known = figures(report)
        for start in range(0, len(known), AT_ONCE):
            params = {"version": case.version.ref} if not start else {}
            runs.log_figures(client, run_id, known[start : start + AT_ONCE], params)
        brief = as_check(report, time=datetime.now(UTC), part=case.part)
        runs.log_files(client, run_id, _files(case, report, brief))
        evidence = artifacts.evidence(client, run_id, "monitor", report.to_dict())
        ledger = Ledger(client, name)
        _flag(case, ledger, report, key, evidence)
        incident, news = follow(
            ledger,
            report,
            scope=case.scope,
            key=key,
            recent=case.recent,
            told=lambda other: checks.told(client, case.experiment, other),
        )
        _mark(case, report, incident, news=news, post=post)
        enter(client, brief, name=name, key=key)
    return replace(
        report, incident=incident, notes=(*report.notes, *(post.deliver() if news else ()))
    )


def _tags(case: Case, report: MonitorReport, key: str) -> dict[str, str]:
    tags = {
        checks.CHECK: key,
        checks.VERSION: str(case.version.version),
        checks.SCOPE: case.scope,
        checks.OUTCOME: str(report.outcome),
        checks.ALPHA: repr(case.alpha),
    }
    if case.live.window:
        tags[checks.WINDOW_START] = case.live.window[0]
    if case.logged:
        tags[checks.SERIES] = checks.key_of(case.version.ref, case.part)
        end = case.closes.replace(tzinfo=None)
        tags[checks.WINDOW_END] = end.isoformat(timespec="microseconds")
    return tags


def _mark(
    case: Case, report: MonitorReport, incident: Incident | None, *, news: str, post: Post
) -> None:
    """Tags of the run, the experiment and the version, before the run ends."""
    client, now = case.client, datetime.now(UTC).isoformat(timespec="seconds")
    with answers(case.version.ref):
        if incident is not None and news:
            client.set_tag(report.run_id, checks.NEWS, news)
            told = message(
                report,
                incident,
                part=case.part,
                address=case.config.tracking_uri,
                place=case.experiment,
            )
            for name, value in post.marks(told).items():
                client.set_tag(report.run_id, name, value)
        client.set_experiment_tag(case.experiment, checks.CHECKED, now)
        if not case.part:
            for name, value in (("last_check", now), ("drift", str(report.drift.outcome))):
                client.set_model_version_tag(
                    case.version.name, str(case.version.version), f"lifecycle.{name}", value
                )


def figures(report: MonitorReport) -> list[Metric]:
    """The figures of a check, those of every column, under names that MLflow allows."""
    found = [
        Metric("drifted_columns", sum(item.drifted for item in report.columns.values())),
        Metric("live_rows", report.drift.current_rows),
    ]
    seen, guessed, kept = report.performance, report.estimate, report.calibration
    if seen is not None and seen.value is not None:
        found.append(Metric(f"live_{seen.metric}", seen.value, seen.low, seen.high))
    if seen is not None and seen.expected is not None:
        name = f"expected_{seen.metric}"
        found.append(Metric(name, seen.expected, seen.expected_low, seen.expected_high))
    if guessed is not None and guessed.value is not None:
        name = f"estimated_{guessed.metric}"
        found.append(Metric(name, guessed.value, guessed.low, guessed.high))
    if kept is not None and kept.error is not None:
        found.append(Metric("calibration_error", kept.error))
    if report.labels is not None:
        found.append(Metric("labelled_rows", report.labels.labelled))
    taken = {item.name for item in found}
    for column, name in zip(report.columns.values(), _names(report, taken), strict=True):
        for key, value in (
            ("score", column.score),
            ("p_value", column.p_value),
            ("effect", column.effect),
            *column.scores.items(),
        ):
            if value is not None:
                found.append(Metric(f"{name}/{key}", value))
    return found


def _names(report: MonitorReport, taken: set[str]) -> Iterator[str]:
    """A name for each column that MLflow allows; two columns never share one."""
    for column in report.columns.values():
        plain = "".join(mark if mark.isalnum() or mark in "_-. " else "_" for mark in column.name)
        name, number = plain[:200], 1
        while name in taken:
            number += 1
            name = f"{plain[:200]}.{number}"
        taken.add(name)
        yield name


def _files(case: Case, report: MonitorReport, brief: Check) -> Mapping[str, str | bytes]:
    files = pictures(case.client, report, brief)
    if report.html:
        files["evidently.html"] = Path(report.html).read_text(encoding="utf-8")
    elif report.drifted:
        try:
            files["evidently.html"] = page(case, report.drift)
        except (MissingExtra, ModelNotFound) as error:
            files["evidently.txt"] = f"{error}\n"
    return files


def _flag(
    case: Case, ledger: Ledger, report: MonitorReport, key: str, evidence: tuple[str, str]
) -> None:
    """Enter a check that found something, and one that calls off what an earlier one called for."""
    entry = draft(
        kind="flag",
        version=case.version.version,
        evidence_digest=evidence[0],
        evidence_link=evidence[1],
        extra={
            "drifted": report.drifted,
            "harmed": report.harmed,
            "retrain": report.retrain,
            "window": report.window,
            "check": key,
            **({"part": case.part} if case.part else {}),
        },
    )

    def once(entries: Sequence[Entry]) -> Entry | None:
        told = any(item.kind == "flag" and item.extra.get("check") == key for item in entries)
        certain = report.outcome is not Outcome.UNSURE  # what cannot tell calls nothing off
        called = case.decides and open_flag(entries, case.version) is not None
        clears = certain and called and not report.retrain
        flags = report.drifted or report.harmed or report.retrain
        if told or not (flags or clears):
            return None
        said = [f"cleared: {first(report.decision)}"] if clears else []
        said += [summary(report)] if flags else []
        return replace(entry, reason=shortened("; ".join(said)))

    ledger.append(once)


def shortened(text: str, most: int = MOST_REASON) -> str:
    """The beginning of a text that fits an entry of the ledger, where other letters count more.

    >>> len(shortened("x" * 2000)), len(shortened("列" * 2000))
    (1000, 166)
    """
    size = 0
    for place, mark in enumerate(text):
        size += len(json.dumps(mark)) - 2
        if size > most:
            return text[:place]
    return text


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
