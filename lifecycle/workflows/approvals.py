"""Ask that a version may move, and say yes or no to it; each is one entry of the ledger.

>>> from lifecycle.config import Config
>>> request(Config(name="churn"), "churn/3", to="production").missing  # doctest: +SKIP
2
>>> approve(Config(name="churn"), "churn/3").missing  # doctest: +SKIP
1

What is approved is one gate report and the files that it looked at. `promote` moves the version
once there are as many approvals as `[approvals] needed` asks for; nothing moves by itself.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lifecycle.approvals import check_policy, check_vote, ended, fresh_gate, request_of
from lifecycle.config import Config
from lifecycle.errors import ApprovalRefused, TransitionRefused
from lifecycle.named import nearest
from lifecycle.records import ApprovalRequest, Entry, ModelRef, ModelVersion
from lifecycle.stages import check_order, gated, stage_of
from lifecycle.stores import registry
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import answers, connect
from lifecycle.workflows.promote import gate_passed, verify_files

if TYPE_CHECKING:
    from mlflow import MlflowClient

Ref = str | ModelRef | ModelVersion
USER = "mlflow.user"  # MLflow's tag of a run: who trained
RACES = 5  # how often the gates may run anew meanwhile


def request(config: Config, ref: Ref, *, to: str, reason: str = "") -> ApprovalRequest:
    """Ask for the approvals that a stage needs; once, however often it is called.

    A stage on the way to production is asked for with a passing gate report, which those who
    approve can read; when none is in force, the gates run now.

    Args:
        config: tracking, stages, gates and approvals.
        ref: the version.
        to: one of `[approvals] stages`.
        reason: goes into the ledger.

    Raises:
        TransitionRefused: the stage is unknown, needs no approval, or the version is there.
        GateRefused: the gates did not pass; `.report` has every check.
        DigestMismatch: the files are not those that were registered.
        ModelNotFound: no such version.
        RegistryUnavailable: no answer in time.
    """
    order, policy = config.stages.order, config.approvals
    check_order(order)
    check_policy(policy, order)
    client = connect(config)
    version = registry.find(client, ref, order=order)
    if to not in order:
        raise TransitionRefused(f"unknown stage {to!r}; {nearest(to, order)}", where=version.ref)
    if policy.needed <= 0 or to not in policy.stages:
        raise TransitionRefused(
            f"nobody has to approve a move to {to!r}",
            where=version.ref,
            fix=f"lifecycle promote {version.ref} --to {to}; or set [approvals] needed and stages",
        )
    registry.heal(client, version.name, order=order)
    verify_files(client, version)
    ledger = Ledger(client, version.name)
    trained_by = _trained_by(client, version)
    for _ in range(RACES):
        seen = ledger.entries()
        if stage_of(seen, version.version, order) == to:
            raise TransitionRefused(f"it is in stage {to!r} already", where=version.ref)
        gate = gate_passed(config, client, version, seen) if gated(to, order) else None

        def ask(entries: Sequence[Entry], gate: Entry | None = gate) -> Entry | None:
            open_ = request_of(entries, version.name, version.version, policy)
            if open_ is not None and open_.to == to and open_.digest == version.digest:
                return None
            if gate is not None and fresh_gate(entries, version.version) != gate:
                return None
            return draft(
                kind="request",
                version=version.version,
                source=stage_of(entries, version.version, order),
                to=to,
                reason=reason,
                evidence_digest=gate.evidence_digest if gate else "",
                evidence_link=gate.evidence_link if gate else "",
                extra={
                    "gate": gate.seq if gate else None,
                    "digest": version.digest,
                    "trained_by": trained_by,
                },
            )

        ledger.append(ask)
        open_ = request_of(ledger.entries(), version.name, version.version, policy)
        if open_ is not None and open_.to == to and open_.digest == version.digest:
            return open_
    raise TransitionRefused(
        "the gates ran anew each time it was asked for",
        where=version.ref,
        fix="see `lifecycle history` for who runs them, then run it again",
    )


def approve(config: Config, ref: Ref, *, reason: str = "") -> ApprovalRequest:
    """Approve what was asked for a version.

    Args:
        config: tracking and approvals.
        ref: the version.
        reason: goes into the ledger.

    Returns:
        The request with the approvals that count, this one among them.

    Raises:
        ApprovalRefused: nothing is asked for, or this approval would not count: by an author, for
            the second time, or by somebody whom the policy does not name; says who may.
        DigestMismatch: the files are not those that were registered.
        ModelNotFound: no such version.
        RegistryUnavailable: no answer in time.
    """
    client, version, ledger = _open(config, ref)
    verify_files(client, version)
    policy = config.approvals

    def agree(entries: Sequence[Entry]) -> Entry:
        asked = _asked(entries, version, config)
        check_vote(asked, ledger.me, policy)
        return _vote("approve", asked, reason)

    ledger.append(agree)
    return _asked(ledger.entries(), version, config)


def reject(config: Config, ref: Ref, *, reason: str) -> ApprovalRequest:
    """Say no to what was asked for a version; its approvals are void, and it may be asked anew.

    Args:
        config: tracking and approvals.
        ref: the version.
        reason: goes into the ledger.

    Returns:
        The request as it was, `.rejected` by whom and why.

    Raises:
        ApprovalRefused: nothing is asked for, no reason was given, or whoever asks has no say.
        ModelNotFound: no such version.
        RegistryUnavailable: no answer in time.
    """
    if not reason.strip():
        raise ApprovalRefused("a rejection needs a reason", where=ref, fix="say why: --reason")
    _, version, ledger = _open(config, ref)
    before: list[ApprovalRequest] = []

    def refuse(entries: Sequence[Entry]) -> Entry:
        asked = _asked(entries, version, config)
        check_vote(asked, ledger.me, config.approvals, agrees=False)
        before[:] = [asked]
        return _vote("reject", asked, reason)

    written = ledger.append(refuse)
    said = f"{written.actor} in entry {written.seq}: {reason}" if written else reason
    return replace(before[0], rejected=said)


def _open(config: Config, ref: Ref) -> tuple["MlflowClient", ModelVersion, Ledger]:
    check_policy(config.approvals, config.stages.order)
    client = connect(config)
    version = registry.find(client, ref, order=config.stages.order)
    return client, version, Ledger(client, version.name)


def _asked(entries: Sequence[Entry], version: ModelVersion, config: Config) -> ApprovalRequest:
    """The request that is open.

    Raises:
        ApprovalRefused: there is none, or the version's digest is another since.
    """
    found = request_of(entries, version.name, version.version, config.approvals)
    if found is None:
        why = ended(entries, version.version)
        stage = next(iter(config.approvals.stages), "STAGE")
        raise ApprovalRefused(
            "nothing is asked for" + (f": {why}" if why else ""),
            where=version.ref,
            fix=f"lifecycle request {version.ref} --to {stage}",
        )
    if found.digest != version.digest:
        raise ApprovalRefused(
            f"the version's digest is not the one that entry {found.seq} asks approvals for",
            request=found,
            where=version.ref,
            fix=f"lifecycle request {version.ref} --to {found.to}",
        )
    return found


def _vote(kind: str, asked: ApprovalRequest, reason: str) -> Entry:
    return draft(
        kind=kind,
        version=asked.version,
        to=asked.to,
        reason=reason,
        evidence_digest=asked.evidence_digest,
        extra={"request": asked.seq, "digest": asked.digest},
    )


def _trained_by(client: "MlflowClient", version: ModelVersion) -> str:
    """Whom MLflow recorded as the run's user; empty where there is no run to ask."""
    if not version.run_id:
        return ""
    try:
        with answers(version.ref):
            tags: Any = client.get_run(version.run_id).data.tags
    except LookupError:
        return ""
    return str(tags.get(USER, ""))
