"""What is decided about a version and who answers: gates, ledger, plan, batches, set-up.

>>> GateReport("churn", 3, (GateResult("floor", Outcome.UNSURE, "40 rows"),)).exit_code
3
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lifecycle.records.models import Metric, ModelVersion, Training
from lifecycle.records.monitoring import Decision
from lifecycle.records.record import EXIT_CODES, Outcome, Record


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
    extra: Mapping[str, Any] = field(default_factory=dict)
    digest: str = field(default="", repr=False, compare=False)  # of its own JSON; not part of it

    def to_dict(self) -> dict[str, Any]:
        """The entry as it is stored, with its digest."""
        return {**super().to_dict(), "digest": self.digest}


@dataclass(frozen=True)
class History(Record):
    """A model's ledger, oldest entry first, with what was found beside it."""

    name: str
    entries: tuple[Entry, ...]
    warnings: tuple[str, ...] = ()  # aliases moved by hand, lagging projections


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


@dataclass(frozen=True)
class Finding(Record):
    """One thing that `doctor` looked at."""

    check: str
    outcome: Outcome
    detail: str
    fix: str = ""


@dataclass(frozen=True)
class Diagnosis(Record):
    """All that `doctor` found."""

    findings: Sequence[Finding]

    @property
    def exit_code(self) -> int:
        """1 when something is broken, otherwise 0."""
        return 1 if any(item.outcome is Outcome.FAIL for item in self.findings) else 0
