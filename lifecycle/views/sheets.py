"""A record as a sheet: a title, a verdict, a table and notes, before anyone draws it.

>>> from lifecycle.records import Feedback
>>> sheet(Feedback("churn", accepted=12)).title
'churn: 12 labels accepted'

Terminal and notebook draw the same sheet. To give a record a view, register a function here;
those of monitoring are in `monitor_sheets` and `check_sheets`, the ledger's in `history_sheets`,
those of rollouts in `rollout_sheets` and `plan_sheets`.
"""

from functools import singledispatch
from typing import Any

from lifecycle import records
from lifecycle.records import Outcome
from lifecycle.views import (
    approval_sheets,
    audit_sheets,
    card_sheets,
    check_sheets,
    gate_sheets,
    history_sheets,
    monitor_sheets,
    plan_sheets,
    rollout_sheets,
)
from lifecycle.views.layout import (
    BAD,
    GOOD,
    MARKS,
    PLAIN,
    UNSURE,
    Sheet,
    count,
    interval,
    number,
)

SHOWN_METRICS = 3  # of a training beside the one that decides; a candidate's own sheet has them all


@singledispatch
def sheet(record: Any) -> Sheet:
    """The sheet of a record; a record without one of its own is shown field by field."""
    facts = record.to_dict() if isinstance(record, records.Record) else {"value": record}
    rows = [(key, str(value)) for key, value in facts.items() if value not in (None, "", [], {})]
    return Sheet(type(record).__name__, headers=("field", "value"), rows=rows)


@sheet.register
def _training(record: records.Training) -> Sheet:
    done = [item for item in record.candidates if not item.error]
    names = [metric.name for metric in done[0].metrics] if done else []
    others = [name for name in names if name != record.metric][:SHOWN_METRICS]
    rows: list[tuple[str, ...]] = []
    for candidate in record.candidates:
        if candidate.error:
            rows.append(("", candidate.name, f"failed: {candidate.error}"))
            continue
        figures = {metric.name: metric for metric in candidate.metrics}
        rows.append(
            (
                "★" if candidate is record.best else "",
                candidate.name,
                _interval(figures.get(record.metric)),
                *(number(figures[n].value) if n in figures else "" for n in others),
                f"{candidate.fit_seconds + candidate.score_seconds:.1f}",
                f"{candidate.overhead_seconds:.1f}",
            )
        )
    return Sheet(
        f"{record.name}: {len(done)} of {len(record.candidates)} candidates trained",
        headers=("", "candidate", record.metric, *others, "fit + score s", "tracking s"),
        rows=rows,
        marks=[BAD if c.error else GOOD if c is record.best else PLAIN for c in record.candidates],
        notes=(*record.notes, f"run {record.run_id}, {record.seconds:.1f} s in all"),
    )


def _interval(metric: records.Metric | None) -> str:
    return "" if metric is None else interval(metric.value, metric.low, metric.high)


@sheet.register
def _candidate(record: records.Candidate) -> Sheet:
    return Sheet(
        f"{record.name}" + (f": failed, {record.error}" if record.error else ""),
        mark=BAD if record.error else PLAIN,
        headers=("metric", "value and 95 % interval"),
        rows=[(metric.name, _interval(metric)) for metric in record.metrics],
    )


@sheet.register
def _evaluation(record: records.Evaluation) -> Sheet:
    notes = []
    if record.difference is not None:
        figure = _interval(record.difference)
        notes.append(f"{record.difference.name} minus that of {record.against}: {figure}")
    return Sheet(
        f"{record.name}/{record.version} on {record.rows:,} labelled rows",
        headers=("metric", "value and 95 % interval"),
        rows=[(metric.name, _interval(metric)) for metric in record.metrics],
        notes=notes,
    )


@sheet.register
def _version(record: records.ModelVersion) -> Sheet:
    facts = {
        "stage": record.stage,
        "aliases": ", ".join(record.aliases),
        "compiled": _compiled(record.tags.get("lifecycle.compiled", "")),
        "compiled how": record.tags.get("lifecycle.compiled_how", ""),
        "files": f"sha256 {_short(record.digest)}" if record.digest else "not recorded",
        "run": record.run_id,
        "created": record.created,
    }
    rows = [(key, value) for key, value in facts.items() if value]
    return Sheet(f"{record.name} version {record.version}", headers=("", ""), rows=rows)


def _short(digest: str) -> str:
    """The beginning of a digest, enough to tell it from others."""
    return f"{digest.removeprefix('sha256:')[:16]}…"


def _compiled(tag: str) -> str:
    return f"yes, sha256 {_short(tag)}" if tag.startswith("sha256:") else tag


sheet.register(records.GateReport, gate_sheets.gates)
sheet.register(records.DriftReport, monitor_sheets.drift)
sheet.register(records.MonitorReport, monitor_sheets.monitor)
sheet.register(records.Checks, check_sheets.checks)
sheet.register(records.Card, card_sheets.card)
sheet.register(records.Exported, audit_sheets.exported)
sheet.register(records.FolderCheck, audit_sheets.check)
sheet.register(records.Transfer, audit_sheets.transfer)
sheet.register(records.Reproduction, audit_sheets.reproduction)
sheet.register(records.SigningKey, audit_sheets.signing_key)


sheet.register(records.RolloutStatus, rollout_sheets.status)
sheet.register(records.Rollout, rollout_sheets.rollout)
sheet.register(records.Look, rollout_sheets.look)
sheet.register(records.GuardEvidence, rollout_sheets.evidence)
sheet.register(records.RolloutPlan, plan_sheets.plan)
sheet.register(records.ApprovalRequest, approval_sheets.request)
sheet.register(records.History, history_sheets.history)
sheet.register(records.Served, history_sheets.served)
sheet.register(records.Verification, history_sheets.verification)


@sheet.register
def _feedback(record: records.Feedback) -> Sheet:
    notes = []
    if record.repeated:
        notes.append(f"{record.repeated} were known already")
    if record.unmatched:
        why = f": {record.hint}" if record.hint else ""
        notes.append(f"{record.unmatched} met no prediction and were not stored{why}")
    return Sheet(
        f"{record.name}: {count(record.accepted, 'label')} accepted",
        mark=UNSURE if record.unmatched else PLAIN,
        notes=notes,
    )


@sheet.register
def _erasure(record: records.Erasure) -> Sheet:
    if not record.entry:
        return Sheet(f"{record.name}: nothing of this key was found", mark=PLAIN)
    predictions = count(record.predictions, "prediction")
    notes = [f"recorded as entry {record.entry} of the ledger, the key as {record.key_hash}"]
    if record.unsealed:
        notes.append(
            f"{record.unsealed} of them are hidden from all readers, and leave the disk when the"
            " server that wrote them seals its journal"
        )
    if record.copies:
        notes.append(f"with {count(record.copies, 'copy', 'copies')} that a shadow had answered")
    if record.interrupted:
        notes.append("an earlier call was interrupted: what it erased is counted, or nearly so")
    labels = count(record.labels, "label")
    return Sheet(f"{record.name}: {predictions} and {labels} erased", mark=GOOD, notes=notes)


@sheet.register
def _scored(record: records.Scored) -> Sheet:
    rate = record.rows / record.seconds if record.seconds else 0.0
    resumed = [f"{record.resumed_rows:,} rows had been scored before the interruption"]
    return Sheet(
        f"{record.rows:,} rows scored by {record.name} version {record.version} ({record.how})",
        mark=GOOD,
        notes=[f"{record.output}", f"{record.seconds:.1f} s, {rate:,.0f} rows/s"]
        + (resumed if record.resumed_rows else []),
    )


@sheet.register
def _retraining(record: records.Retraining) -> Sheet:
    if record.version is None:
        title, mark = f"{record.name}: not retrained", PLAIN
    elif record.refused:
        title, mark = f"{record.version.ref}: trained and refused", BAD
    else:
        title, mark = f"{record.version.ref}: trained, gates passed", GOOD
    gates = sheet(record.report) if record.report else Sheet("")
    return Sheet(
        title, mark, gates.headers, gates.rows, gates.marks,
        [*record.decision.reasons, *([record.refused] if record.refused else [])],
    )  # fmt: skip


@sheet.register(tuple)
def _statuses(record: tuple[records.Status, ...]) -> Sheet:
    tried = any(s.rollout for s in record)
    rows = [
        (s.name, str(s.production.version) if s.production else "none", str(s.versions),
         s.compiled, s.last_check, *([s.rollout] if tried else []), "; ".join(s.warnings))
        for s in record
    ]  # fmt: skip
    headers = ("model", "in production", "versions", "compiled", "last check")
    return Sheet(
        count(len(rows), "model") if rows else "no models yet: lifecycle train NAME --data FILE",
        headers=(*headers, *(["rollout"] if tried else []), "warnings"),
        rows=rows,
        marks=[UNSURE if s.warnings else PLAIN for s in record],
        notes=[approval_sheets.line(asked) for s in record for asked in s.requests],
    )


@sheet.register
def _diagnosis(record: records.Diagnosis) -> Sheet:
    broken = sum(f.outcome is Outcome.FAIL for f in record.findings)
    return Sheet(
        f"{count(broken, 'problem')} found" if broken else "everything needed is in place",
        mark=BAD if broken else GOOD,
        headers=("check", "", "finding", "what to do"),
        rows=[(f.check, _sign(f.outcome), f.detail, f.fix) for f in record.findings],
        marks=[MARKS[f.outcome] for f in record.findings],
    )


def _sign(outcome: Outcome) -> str:
    return {Outcome.PASS: "ok", Outcome.FAIL: "broken"}.get(outcome, "note")
