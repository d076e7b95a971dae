"""Who asked for a move, who agreed, and whether that is enough; pure functions of the ledger.

>>> policy = ApprovalsConfig(needed=2, approvers=("ann", "bob", "eve"))
>>> lacking((), "churn", 3, "production", policy)
'2 approvals are needed and nobody has asked for them'

An entry of kind `request` names the gate report that is to be approved. The request stays open, and
its approvals count, until the version gets another gate report or other files, the champion
changes, somebody rejects it, or the version is where it was to go. Whoever wants it after that
asks anew. Nothing of this is stored beside the ledger: it is folded from the entries each time.
"""

from collections.abc import Sequence
from dataclasses import replace

from lifecycle.config import ApprovalsConfig
from lifecycle.errors import ApprovalRefused, ConfigError
from lifecycle.named import nearest
from lifecycle.records import Approval, ApprovalRequest, Entry, Identity, Outcome
from lifecycle.stages import BIRTHS, MOVES, ORDER, PRODUCTION, gated, standing

MADE = (*BIRTHS, "adopt", "retrain")  # kinds of entries whose actors made a version
VOTES = ("request", "approve", "reject")


def fresh_gate(entries: Sequence[Entry], version: int) -> Entry | None:
    """The newest gate entry of a version, unless the champion has changed since."""
    for entry in reversed(entries):
        if entry.kind in MOVES and entry.to == PRODUCTION:
            return None
        if entry.kind in BIRTHS and entry.version == version:
            return None
        if entry.kind == "gate" and entry.version == version:
            return entry
    return None


def requests(
    entries: Sequence[Entry], name: str = "", policy: ApprovalsConfig | None = None
) -> tuple[ApprovalRequest, ...]:
    """The open requests of a model, one a version, oldest first.

    Args:
        entries: all entries of the ledger.
        name: the model, for the records.
        policy: whose approvals count; by default anyone's but the authors'.
    """
    rules = policy or ApprovalsConfig()
    found: dict[int, ApprovalRequest] = {}
    made: dict[int, list[str]] = {}
    for entry in entries:
        version = entry.version
        if version is None:
            continue
        if entry.kind in MADE:
            before = [] if entry.kind in BIRTHS else made.get(version, [])
            made[version] = [*before, entry.actor]
        if entry.kind == "request":
            found.pop(version, None)  # the newest comes last
            found[version] = _request(entry, name, made.get(version, []), rules)
        elif version in found and entry.kind == "approve":
            found[version] = _with(found[version], entry, rules)
        else:
            found = {key: item for key, item in found.items() if not _ends(item, entry)}
    return tuple(found.values())


def request_of(
    entries: Sequence[Entry], name: str, version: int, policy: ApprovalsConfig | None = None
) -> ApprovalRequest | None:
    """The open request of one version; None when there is none."""
    open_ = requests(entries, name, policy)
    return next((item for item in open_ if item.version == version), None)


def ended(entries: Sequence[Entry], version: int) -> str:
    """Why the last request of a version no longer counts; empty when it does or never was."""
    for at in range(len(entries) - 1, -1, -1):
        if entries[at].kind == "request" and entries[at].version == version:
            asked = _request(entries[at], "", [], ApprovalsConfig())
            whys = (_ends(asked, entry) for entry in entries[at + 1 :])
            return next((why for why in whys if why), "")
    return ""


def lacking(
    entries: Sequence[Entry], name: str, version: int, to: str, policy: ApprovalsConfig
) -> str:
    """What a version still lacks of a policy's approvals for a stage; empty: nothing.

    >>> lacking((), "churn", 3, "staging", ApprovalsConfig(needed=2))
    ''
    """
    if policy.needed <= 0 or to not in policy.stages:
        return ""
    needed = "1 approval is" if policy.needed == 1 else f"{policy.needed} approvals are"
    asked = request_of(entries, name, version, policy)
    if asked is None or asked.to != to:
        why = ended(entries, version)
        since = f": the last request is void, {why}" if why else ""
        return f"{needed} needed and nobody has asked for them{since}"
    if not asked.missing:
        return ""
    names = ", ".join(item.actor for item in asked.approvals) or "nobody"
    return f"{needed} needed; so far {names} agreed to entry {asked.seq}"


def check_policy(policy: ApprovalsConfig, order: Sequence[str] = ORDER) -> None:
    """Refuse a policy that nobody could ever meet.

    >>> check_policy(ApprovalsConfig(needed=2, approvers=("ann",)))
    Traceback (most recent call last):
        ...
    lifecycle.errors.ConfigError: approvals.needed is 2, but only ann may approve. \
Next: name more approvers, or ask for fewer.

    Raises:
        ConfigError: a stage is unknown, or more approvals are asked for than there are approvers.
    """
    for stage in policy.stages:
        if stage not in order[1:]:
            raise ConfigError(f"approvals.stages has {stage!r}; {nearest(stage, order[1:])}")
    if policy.needed < 0:
        raise ConfigError(f"approvals.needed is {policy.needed}", fix="write 0 or more")
    known = list(dict.fromkeys(policy.approvers))
    if known and policy.needed > len(known):
        raise ConfigError(
            f"approvals.needed is {policy.needed}, but only {', '.join(known)} may approve",
            fix="name more approvers, or ask for fewer",
        )


def check_vote(
    asked: ApprovalRequest, who: Identity, policy: ApprovalsConfig, *, agrees: bool = True
) -> None:
    """Refuse an approval that would not count, or a rejection by one who has no say.

    Args:
        asked: the open request.
        who: who votes.
        policy: who may.
        agrees: whether it is an approval; authors may reject what they asked for, not approve it.

    Raises:
        ApprovalRefused: says why, and who may.
    """
    where = f"{asked.name}/{asked.version}"
    voted = next((item for item in asked.approvals if item.actor == who.actor), None)
    done = (*asked.authors, *(item.actor for item in asked.approvals))
    others = ", ".join(item for item in policy.approvers if not _among(item, done))
    may = f"ask one of {others}" if others else "ask somebody else"
    author = _among(who.actor, asked.authors)
    if not agrees and author:
        return
    if policy.approvers and who.actor not in policy.approvers:
        raise ApprovalRefused(f"{who.actor!r} is no approver", where=where, fix=may)
    if policy.authenticated and not who.authenticated:
        raise ApprovalRefused(
            f"{who.actor!r} is {who.how}, but approvers must be known to the tracking server",
            where=where,
            fix="set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD for a server that"
            " asks for them",
        )
    if not agrees:
        return
    if author:
        raise ApprovalRefused(
            f"{who.actor!r} made or requested it, and so cannot approve it", where=where, fix=may
        )
    if voted is not None:
        raise ApprovalRefused(
            f"{who.actor!r} approved it already, entry {voted.seq}", where=where, fix=may
        )


def objection(
    entries: Sequence[Entry], seq: int, policy: ApprovalsConfig, order: Sequence[str] = ORDER
) -> str:
    """What the rules say against a move that the ledger has; empty: nothing.

    Entries that our verbs wrote have none: those were refused before. It finds what somebody
    wrote into the ledger past them.

    Args:
        entries: all entries.
        seq: the move.
        policy: the approvals that are asked for.
        order: the stages.
    """
    move = next(item for item in entries if item.seq == seq)
    before = [item for item in entries if item.seq < seq]
    version, to = move.version, move.to or ""
    if version is None or not gated(to, order):
        return ""
    if move.extra.get("forced"):
        return "" if move.reason.strip() else "it was forced without a reason"
    if move.kind == "rollback":
        there = standing(before, order).previous == version
        return "" if there else "it was not in production before"
    gate = fresh_gate(before, version)
    if gate is None or gate.seq != move.extra.get("gate"):
        return "no gate report of it was in force"
    if gate.extra.get("outcome") != Outcome.PASS:
        return f"its gate report, entry {gate.seq}, is no pass"
    return lacking(before, "", version, to, policy)


def _among(actor: str, authors: Sequence[str]) -> bool:
    """Whether somebody is an author; MLflow records who trained without the host."""
    return actor in authors or actor.partition("@")[0] in authors


def _request(
    entry: Entry, name: str, makers: Sequence[str], policy: ApprovalsConfig
) -> ApprovalRequest:
    trained = entry.extra.get("trained_by")
    authors = dict.fromkeys([*makers, entry.actor, *([trained] if trained else [])])
    return ApprovalRequest(
        name=name,
        version=entry.version or 0,
        to=entry.to or "",
        actor=entry.actor,
        seq=entry.seq,
        time=entry.time,
        reason=entry.reason,
        gate=entry.extra.get("gate"),
        evidence_digest=entry.evidence_digest,
        digest=str(entry.extra.get("digest") or ""),
        authors=tuple(authors),
        needed=policy.needed if entry.to in policy.stages else 0,
    )


def _with(asked: ApprovalRequest, entry: Entry, policy: ApprovalsConfig) -> ApprovalRequest:
    """The request with one more approval, where that counts."""
    same = (
        entry.extra.get("request") == asked.seq
        and entry.evidence_digest == asked.evidence_digest
        and str(entry.extra.get("digest") or "") == asked.digest
    )
    try:
        check_vote(asked, Identity(entry.actor, entry.identity), policy)
    except ApprovalRefused:
        same = False
    if not same:
        return asked
    vote = Approval(entry.actor, entry.identity, entry.seq, entry.time, entry.reason)
    return replace(asked, approvals=(*asked.approvals, vote))


def _ends(asked: ApprovalRequest, entry: Entry) -> str:
    """Why a request is no longer open after an entry; empty when it still is."""
    at = f"entry {entry.seq}"
    if entry.kind in MOVES and PRODUCTION in (entry.source, entry.to):
        return f"the champion changed with {at}"
    if entry.version != asked.version:
        return ""
    if entry.kind == "reject":
        return f"{entry.actor} rejected it in {at}: {entry.reason}"
    if entry.kind in MOVES and entry.to == asked.to:
        return f"{at} brought it there"
    if entry.kind == "gate":
        return f"the gates ran again in {at}"
    if entry.kind in BIRTHS:
        return f"the version was registered anew in {at}"
    if entry.kind == "adopt" and entry.extra.get("digest", asked.digest) != asked.digest:
        return f"the version was adopted with other files in {at}"
    return ""
