"""What is decided about a version and who answers: gates, ledger, plan, batches, set-up.

>>> GateReport("churn", 3, (GateResult("floor", Outcome.UNSURE, "40 rows"),)).exit_code
3
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lifecycle.records.approvals import SELF_DECLARED, ApprovalRequest
from lifecycle.records.models import Metric, ModelVersion, Training
from lifecycle.records.monitoring import Decision
from lifecycle.records.record import EXIT_CODES, Outcome, Record

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class GateResult(Record):
    """What one check says of a candidate, with the figure and the limit it was held against."""

    gate: str
    outcome: Outcome
    reason: str
    value: float | None = None
    limit: float | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class GateReport(Record):
    """All checks of one version; it passes only when every one of them passes."""

    name: str
    version: int
    results: tuple[GateResult, ...]
    champion: int | None = None
    created: str = ""
    digest: str = ""  # sha256 of the canonical JSON of the results

    @property
    def outcome(self) -> Outcome:
        """Fail before not enough evidence before pass."""
        outcomes = {result.outcome for result in self.results}
        for outcome in (Outcome.FAIL, Outcome.UNSURE):
            if outcome in outcomes:
                return outcome
        return Outcome.PASS

    @property
    def passed(self) -> bool:
        """Whether every check passed; not enough evidence is no pass."""
        return self.outcome is Outcome.PASS

    @property
    def exit_code(self) -> int:
        """0 passed, 2 refused, 3 not enough evidence."""
        return EXIT_CODES[self.outcome]

    def to_dict(self) -> dict[str, Any]:
        """The report with its verdict."""
        return {**super().to_dict(), "passed": self.passed, "outcome": str(self.outcome)}


@dataclass(frozen=True)
class Entry(Record):
    """One entry of a model's ledger, version 1."""

    seq: int
    prev: str  # sha256 of the previous entry's JSON; 64 zeros for the first
    id: str  # uuid4
    time: str  # ISO 8601, UTC
    actor: str
    kind: str  # register, adopt, gate, stage, flag, retrain …
    version: int | None = None
    source: str | None = None  # the state it moves from
    to: str | None = None
    reason: str = ""
    evidence_digest: str = ""
    evidence_link: str = ""
    v: int = 1
    identity: str = SELF_DECLARED  # or which server authenticated the actor
    extra: Mapping[str, Any] = field(default_factory=dict)
    signature: str = ""  # over its JSON without it; only where [signing] key is set
    digest: str = field(default="", repr=False, compare=False)  # of its own JSON; not part of it

    def to_dict(self) -> dict[str, Any]:
        """The entry as it is stored, with its digest."""
        return {**super().to_dict(), "digest": self.digest}


@dataclass(frozen=True)
class Tenure(Record):
    """A time for which one version was in production, and the entries that began and ended it."""

    version: int
    since: str = ""  # ISO 8601, UTC; empty: from before the ledger
    until: str = ""  # empty: to this day
    entry: Entry | None = None  # that brought it there
    ended: Entry | None = None


@dataclass(frozen=True)
class Served(Record):
    """Which version was in production at a moment or on a day, and why."""

    name: str
    asked: str
    tenures: tuple[Tenure, ...]  # oldest first; several where the day saw a change

    @property
    def version(self) -> int | None:
        """The version; of several the last. None: nobody served."""
        return self.tenures[-1].version if self.tenures else None

    def to_dict(self) -> dict[str, Any]:
        """What served, with the answer itself."""
        return {**super().to_dict(), "version": self.version}

    def to_frame(self) -> "pd.DataFrame":
        """One row a tenure: since, until, version, and the entry that brought it there."""
        return _frame(
            {"since": item.since, "until": item.until, **_row(item.entry), "version": item.version}
            for item in self.tenures
        )


@dataclass(frozen=True)
class History(Record):
    """A model's ledger, oldest entry first, with what was found beside it."""

    name: str
    entries: tuple[Entry, ...]
    warnings: tuple[str, ...] = ()  # aliases moved by hand, lagging projections
    requests: tuple[ApprovalRequest, ...] = ()  # those that are open

    @property
    def head(self) -> str:
        """The digest of the last entry, which stands for all of them; empty: there is none."""
        return self.entries[-1].digest if self.entries else ""

    def __len__(self) -> int:
        return len(self.entries)

    def to_dict(self) -> dict[str, Any]:
        """The entries with the digest of the last."""
        return {**super().to_dict(), "head": self.head}

    def to_frame(self) -> "pd.DataFrame":
        """One row an entry, oldest first; `extra` as JSON, times with their zone."""
        return _frame(map(_row, self.entries))


@dataclass(frozen=True)
class Arm(Record):
    """A version and the share of requests that it answers, 0 … 1."""

    name: str  # champion, challenger, shadow
    version: int
    share: float


@dataclass(frozen=True)
class Plan(Record):
    """Who answers: immutable, replaced as a whole."""

    model: str
    arms: tuple[Arm, ...]
    step: int = 0
    salt: str = ""


@dataclass(frozen=True)
class Feedback(Record):
    """What became of a batch of late labels."""

    name: str
    accepted: int
    repeated: int = 0  # the same label had been stored before
    unmatched: int = 0  # key and time that met no prediction; never stored
    hint: str = field(default="", compare=False)  # why those met none


@dataclass(frozen=True)
class Erasure(Record):
    """What was erased of one key; all zero when nothing was found, which is not recorded."""

    name: str
    predictions: int = 0
    unsealed: int = 0  # of these, rows that leave the disk when a living server seals them
    labels: int = 0
    files: int = 0  # sealed files that were written anew
    key_hash: str = ""  # stands for the key in the ledger
    entry: int = 0  # the ledger's entry; 0: none
    interrupted: bool = False  # an earlier call did not end; its counts are in these
    copies: int = 0  # that a shadow had answered


@dataclass(frozen=True)
class Evaluation(Record):
    """How good a version is on labelled rows, alone or against another on the same rows."""

    name: str
    version: int
    rows: int
    metrics: tuple[Metric, ...]
    against: str = ""  # the other version
    difference: Metric | None = None  # primary metric, this version minus the other


@dataclass(frozen=True)
class Scored(Record):
    """What became of a batch scoring job."""

    name: str
    version: int
    rows: int
    output: str
    seconds: float
    how: str  # onnx, sklearn, pyfunc
    resumed_rows: int = 0  # rows that an earlier, interrupted run had written


@dataclass(frozen=True)
class Retraining(Record):
    """What became of a retraining: a new version, or why there is none."""

    name: str
    decision: Decision
    version: ModelVersion | None = None
    report: GateReport | None = None
    training: Training | None = None
    refused: str = ""  # why the new version may not be promoted; empty when it may

    @property
    def exit_code(self) -> int:
        """0 a good version or nothing to do, otherwise what the gates say."""
        return self.report.exit_code if self.report and self.refused else 0


@dataclass(frozen=True)
class Status(Record):
    """What serves and how: one row a model."""

    name: str
    production: ModelVersion | None
    versions: int
    compiled: str = ""  # yes, or why not
    last_check: str = ""
    warnings: tuple[str, ...] = ()
    requests: tuple[ApprovalRequest, ...] = ()  # open ones
    rollout: str = ""  # the open one: how, of which version, at which share; empty: there is none


@dataclass(frozen=True)
class Finding(Record):
    """One thing that `doctor` or `verify` looked at."""

    check: str
    outcome: Outcome
    detail: str
    fix: str = ""


@dataclass(frozen=True)
class Verification(Record):
    """What `verify` looked at of a model's ledger, files and aliases: one finding a thing.

    A finding fails where something is not as it was recorded; it is "not enough evidence" where
    what was recorded is not there any more.
    """

    name: str
    entries: int  # that were read
    head: str  # digest of the last of them; keep it elsewhere
    findings: tuple[Finding, ...]
    signed: int = 0  # entries whose signature is that of a trusted key

    @property
    def passed(self) -> bool:
        """Whether everything is there and as it was recorded."""
        return self.exit_code == 0

    @property
    def exit_code(self) -> int:
        """2 when something is not as it was recorded, 3 when something is gone, otherwise 0."""
        outcomes = {item.outcome for item in self.findings}
        return next((EXIT_CODES[o] for o in (Outcome.FAIL, Outcome.UNSURE) if o in outcomes), 0)

    def to_dict(self) -> dict[str, Any]:
        """The findings with the verdict."""
        return {**super().to_dict(), "passed": self.passed}


@dataclass(frozen=True)
class Diagnosis(Record):
    """All that `doctor` found."""

    findings: Sequence[Finding]

    @property
    def exit_code(self) -> int:
        """1 when something is broken, otherwise 0."""
        return 1 if any(item.outcome is Outcome.FAIL for item in self.findings) else 0


def _row(entry: Entry | None) -> dict[str, Any]:
    """An entry as a row of a table."""
    if entry is None:
        return {}
    row = {name: getattr(entry, name) for name in Entry.__dataclass_fields__}
    return {**row, "extra": json.dumps(row["extra"], sort_keys=True) if row["extra"] else ""}


def _frame(rows: Iterable[Mapping[str, Any]]) -> "pd.DataFrame":
    import pandas as pd

    frame = pd.DataFrame(list(rows))
    for name in frame.columns.intersection(["time", "since", "until"]):
        frame[name] = pd.to_datetime(frame[name].replace("", None), format="ISO8601", utc=True)
    for name in frame.columns.intersection(["version"]):
        frame[name] = frame[name].astype("Int64")
    return frame
