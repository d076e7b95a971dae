"""The nouns: frozen records that flow from one verb to the next; standard library only.

>>> ModelRef.parse("churn@champion")
ModelRef(name='churn', version=None, alias='champion')

Every record has `to_dict()` (what `--json` prints) and, in a notebook, a view of its own, which
`lifecycle.views` draws and which is loaded only when it is shown.
"""

from lifecycle.records.approvals import Approval, ApprovalRequest, Identity
from lifecycle.records.audits import (
    Card,
    CardFact,
    CardSection,
    Exported,
    FolderCheck,
    SigningKey,
    Transfer,
)
from lifecycle.records.checks import Check, Checks
from lifecycle.records.governance import (
    Arm,
    Diagnosis,
    Entry,
    Erasure,
    Evaluation,
    Feedback,
    Finding,
    GateReport,
    GateResult,
    History,
    Plan,
    Retraining,
    Scored,
    Served,
    Status,
    Tenure,
    Verification,
)
from lifecycle.records.models import (
    Candidate,
    Column,
    Label,
    Lineage,
    Metric,
    ModelRef,
    ModelSpec,
    ModelVersion,
    Task,
    Training,
)
from lifecycle.records.monitoring import (
    ColumnDrift,
    Decision,
    DriftReport,
    Evidence,
    Incident,
    MonitorReport,
    Performance,
)
from lifecycle.records.performance import (
    Calibration,
    CalibrationBin,
    Estimate,
    LabelCoverage,
    PerformancePoint,
    Slice,
)
from lifecycle.records.record import (
    EXIT_CODES,
    Outcome,
    Record,
    plain,
)
from lifecycle.records.reproductions import Reproduction

__all__ = [
    "EXIT_CODES",
    "Approval",
    "ApprovalRequest",
    "Arm",
    "Calibration",
    "CalibrationBin",
    "Candidate",
    "Card",
    "CardFact",
    "CardSection",
    "Check",
    "Checks",
    "Column",
    "ColumnDrift",
    "Decision",
    "Diagnosis",
    "DriftReport",
    "Entry",
    "Erasure",
    "Estimate",
    "Evaluation",
    "Evidence",
    "Exported",
    "Feedback",
    "Finding",
    "FolderCheck",
    "GateReport",
    "GateResult",
    "History",
    "Identity",
    "Incident",
    "Label",
    "LabelCoverage",
    "Lineage",
    "Metric",
    "ModelRef",
    "ModelSpec",
    "ModelVersion",
    "MonitorReport",
    "Outcome",
    "Performance",
    "PerformancePoint",
    "Plan",
    "Record",
    "Reproduction",
    "Retraining",
    "Scored",
    "Served",
    "SigningKey",
    "Slice",
    "Status",
    "Task",
    "Tenure",
    "Training",
    "Transfer",
    "Verification",
    "plain",
]
