"""Who acts, what is asked for, and who agreed.

>>> Identity("ann").authenticated
False
"""

from dataclasses import dataclass
from typing import Any

from lifecycle.records.record import Record

SELF_DECLARED = "self-declared"
AUTHENTICATED = "authenticated by "  # … and the tracking server that vouches for the name


@dataclass(frozen=True)
class Identity(Record):
    """Who acts, and who says so.

    >>> Identity("ann", "authenticated by https://mlflow.example.org").authenticated
    True
    """

    actor: str
    how: str = SELF_DECLARED

    @property
    def authenticated(self) -> bool:
        """Whether a tracking server checked a password or a token for this name."""
        return self.how.startswith(AUTHENTICATED)


@dataclass(frozen=True)
class Approval(Record):
    """One approval that counts: the ledger's entry of it."""

    actor: str
    identity: str
    seq: int
    time: str
    reason: str = ""


@dataclass(frozen=True)
class ApprovalRequest(Record):
    """A request to bring a version to a stage, with the approvals that count for it now."""

    name: str
    version: int
    to: str
    actor: str  # who asked
    seq: int  # the ledger's entry
    time: str
    reason: str = ""
    gate: int | None = None  # entry of the gate report that is to be approved
    evidence_digest: str = ""  # … and the sha256 of its evidence
    digest: str = ""  # of the version's files
    authors: tuple[str, ...] = ()  # who registered and asked; they do not approve
    approvals: tuple[Approval, ...] = ()
    needed: int = 0
    rejected: str = ""  # by whom and why; empty while it is open

    @property
    def missing(self) -> int:
        """How many approvals are still needed."""
        return max(0, self.needed - len(self.approvals))

    def to_dict(self) -> dict[str, Any]:
        """The request with what it lacks."""
        return {**super().to_dict(), "missing": self.missing}
