"""Move a version to a stage: checked against the order and the gates, decided in the ledger.

>>> from lifecycle.config import Config
>>> promote(Config(name="churn"), "churn/3", to="production")  # doctest: +SKIP
ModelVersion(name='churn', version=3, ..., stage='production', aliases=('champion',), ...)

One ledger entry brings a version to production and says which one it replaces; aliases and tags
follow it (`stores.registry.project`). A process that is killed in between leaves the decision made
or not made; running it again finishes it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lifecycle.approvals import check_policy, fresh_gate, lacking, request_of
from lifecycle.config import ApprovalsConfig, Config
from lifecycle.errors import (
    ApprovalRefused,
    GateRefused,
    LifecycleError,
    ModelNotFound,
    TransitionRefused,
)
from lifecycle.models import files
from lifecycle.records import (
    Entry,
    GateReport,
    GateResult,
    ModelRef,
    ModelVersion,
    Outcome,
    Rollout,
)
from lifecycle.rollout.state import promotion, refusal
from lifecycle.stages import PRODUCTION, check_move, check_order, gated, standing
from lifecycle.stores import artifacts, registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect

RACES = 5  # how often the champion may move while the gates run


@dataclass(frozen=True)
class Proof:
    """The rollout that a promotion ends, and what the rollout found.

    Attributes:
        rollout: as it was decided upon.
        digest: of the look's evidence; empty: there is none.
        link: where it is.
    """

    rollout: Rollout
    digest: str = ""
    link: str = ""


def promote(
    config: Config,
    ref: str | ModelRef | ModelVersion,
    *,
    to: str,
    force: bool = False,
    reason: str = "",
    proof: Proof | None = None,
) -> ModelVersion:
    """Bring a version to a stage; nothing happens when it is there already.

    On the way to production the newest gate report of the version must be a pass; when there is
    none, or the champion has changed since, the gates run now. A stage of `[approvals] stages`
    needs approvals of that very report and of the version's files as they are.

    Args:
        config: tracking, stages, gates and approvals.
        ref: the version.
        to: one of `[stages] order`.
        force: skip gates, approvals and stages between; recorded as such.
        reason: goes into the ledger; needed with `force`.
        proof: the rollout that ends with it; the entry carries the evidence of its last look.

    Raises:
        TransitionRefused: the stage is unknown or may not follow, and names those that may; or the
            version's registration failed; or the rollout has ended, or another controller decides.
        ConfigError: the stages themselves cannot be used.
        ApprovalRefused: approvals are missing; `.request` has those that there are.
        DigestMismatch: the files to be approved are not those that were registered.
        GateRefused: the gates did not pass; `.report` has every check.
        ModelNotFound: no such version.
        RegistryUnavailable: no answer in time.
    """
    order, ways = config.stages.order, config.stages.ways
    check_order(order, ways)
    if force and not reason.strip():
        raise TransitionRefused(
            "a forced move needs a reason", where=ref, fix="say why: reason=… or --reason"
        )
    client = connect(config)
    version = registry.find(client, ref, order=order)
    if to not in (order[0], order[-1]):
        registry.check_ready(client, version)
    registry.heal(client, version.name, order=order)
    ledger = Ledger(client, version.name)
    check_policy(config.approvals, order)
    needs_gates = gated(to, order) and not force if to in order else False
    for _ in range(RACES):
        entries = ledger.entries()
        now = standing(entries, order)
        source = now.stages.get(version.version, order[0])
        if source == to:
            break
        check_move(source, to, order, force, ways=ways, where=version.ref)
        passed = gate_passed(config, client, version, entries) if needs_gates else None
        if not force and _asked(config.approvals, to):
            verify_files(client, version)
        before = now.production if now.promoted else _champion(client, version.name)
        decide = partial(
            _decide, version=version, to=to, order=order, force=force, reason=reason, gate=passed,
            before=before, policy=config.approvals, ways=ways,
            proof=proof,
        )  # fmt: skip
        written = ledger.append(decide)
        if written is not None:
            break
    else:
        raise TransitionRefused(
            "the champion changed each time the gates had passed",
            where=version.ref,
            fix="see `lifecycle history` for who else promotes, then run it again",
        )
    registry.project(client, version.name, order=order)
    return registry.find(client, version, order=order)


def _decide(
    entries: Sequence[Entry],
    *,
    version: ModelVersion,
    to: str,
    order: Sequence[str],
    force: bool,
    reason: str,
    gate: Entry | None,
    before: int | None,
    policy: ApprovalsConfig,
    ways: Sequence[str] = (),
    proof: Proof | None = None,
) -> Entry | None:
    """The entry for this move upon what the ledger says now; None: look at it again."""
    now = standing(entries, order)
    source = now.stages.get(version.version, order[0])
    if proof is not None and source != to:
        _check_open(entries, proof.rollout, version, order)
    if source == to or (gate is not None and fresh_gate(entries, version.version) != gate):
        return None
    check_move(source, to, order, force, ways=ways, where=version.ref)
    extra: dict[str, Any] = {"source": version.source}
    if force:
        extra["forced"] = True
        without = lacking(entries, version.name, version.version, to, policy)
        extra |= {"unapproved": without} if without else {}
    elif _asked(policy, to):
        extra["approvals"] = _agreed(entries, version, to, policy)
    if gate is not None:
        extra["gate"] = gate.seq
    if to == PRODUCTION:
        extra |= {"replaced": now.production if now.promoted else before, "replaced_to": order[-1]}
    seen = (gate.evidence_digest, gate.evidence_link) if gate else ("", "")
    if proof is not None:
        extra |= promotion(proof.rollout)
        seen = (proof.digest, proof.link) if proof.link else seen
    return draft(
        kind="stage",
        version=version.version,
        source=source,
        to=to,
        reason=reason or (f"gates passed, entry {gate.seq}" if gate else ""),
        evidence_digest=seen[0],
        evidence_link=seen[1],
        extra=extra,
    )


def _check_open(
    entries: Sequence[Entry], rollout: Rollout, version: ModelVersion, order: Sequence[str]
) -> None:
    why = refusal(entries, rollout.seq, rollout.generation, rollout.step, order=order)
    if why:
        raise TransitionRefused(why, where=version.ref, fix="see `lifecycle rollout status`")


def _asked(policy: ApprovalsConfig, to: str) -> bool:
    return policy.needed > 0 and to in policy.stages


def _agreed(
    entries: Sequence[Entry], version: ModelVersion, to: str, policy: ApprovalsConfig
) -> list[int]:
    """The entries that approve the move.

    Raises:
        ApprovalRefused: there are too few of them, or the version's digest has changed since.
    """
    asked = request_of(entries, version.name, version.version, policy)
    missing = lacking(entries, version.name, version.version, to, policy)
    if not missing and asked is not None and asked.digest != version.digest:
        missing = f"the version's digest is not the one that entry {asked.seq} asks approvals for"
    if missing or asked is None:
        open_ = asked is not None and asked.to == to and asked.digest == version.digest
        steps = "approve" if open_ else "request"
        to_stage = "" if open_ else f" --to {to}"
        who = f" as {' or '.join(policy.approvers)}" if open_ and policy.approvers else ""
        raise ApprovalRefused(
            missing,
            request=asked,
            where=version.ref,
            fix=f"lifecycle {steps} {version.ref}{to_stage}{who}; or force it with a reason",
        )
    return [item.seq for item in asked.approvals]


def verify_files(client: Any, version: ModelVersion) -> None:
    """Refuse a version whose files are not those that were registered.

    Raises:
        DigestMismatch: names the file.
    """
    if version.digest:
        with artifacts.files(client, version) as folder:
            files.verify(folder, version.digest)


def gate_passed(
    config: Config, client: Any, version: ModelVersion, entries: Sequence[Entry]
) -> Entry:
    """The gate entry that allows the move; runs the gates when there is none that still counts.

    Raises:
        GateRefused: its outcome is no pass.
    """
    entry = fresh_gate(entries, version.version)
    report = None
    if entry is None:
        from lifecycle.workflows.gate import gate

        report = gate(config, version)
        entry = fresh_gate(Ledger(client, version.name).entries(), version.version)
    if entry is not None and entry.extra.get("outcome") == Outcome.PASS:
        return entry
    shown = report or read_report(client, version, entry)
    failed = [item.gate for item in shown.results if item.outcome is not Outcome.PASS]
    raise GateRefused(
        f"the gates do not allow it: {', '.join(failed) or shown.outcome}",
        report=shown,
        where=version.ref,
        fix="see each check's reason; train a better version, or force it with a reason",
    )


def read_report(client: Any, version: ModelVersion, entry: Entry | None) -> GateReport:
    """A gate report as the ledger's entry recorded it, read back from its evidence."""
    outcome = Outcome(entry.extra["outcome"]) if entry else Outcome.UNSURE
    try:
        if entry is None or not entry.evidence_link:
            raise ModelNotFound("the gate report was not kept")
        tree = artifacts.read_evidence(client, entry.evidence_link, entry.evidence_digest)
        return report_of(tree)
    except (LifecycleError, KeyError, TypeError, ValueError) as error:
        lost = GateResult("evidence", outcome, f"the report cannot be read: {error}")
        return GateReport(version.name, version.version, (lost,))


def report_of(tree: Mapping[str, Any]) -> GateReport:
    """A gate report from its `to_dict()`.

    >>> report = GateReport("churn", 3, (GateResult("floor", Outcome.PASS, "0.8"),))
    >>> report_of(report.to_dict()) == report
    True
    """
    results = tuple(
        GateResult(**{**item, "outcome": Outcome(item["outcome"])}) for item in tree["results"]
    )
    kept = {key: tree[key] for key in ("name", "version", "champion", "created", "digest")}
    return GateReport(results=results, **kept)


def _champion(client: Any, name: str) -> int | None:
    """What plain MLflow calls the champion, before anything was promoted through the ledger."""
    try:
        return registry.find(client, ModelRef(name, alias="champion")).version
    except ModelNotFound:
        return None
