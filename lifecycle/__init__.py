"""lifecycle: the operational half of MLflow.

>>> import lifecycle as lc
>>> lc.ModelRef.parse("churn@champion").alias
'champion'

Train, version, gate, stage, serve, watch and retrain models on top of MLflow's tracking and
registry. Public names are loaded on first use, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_RECORDS = (
    "ApprovalRequest", "Candidate", "Card", "Check", "Checks", "Decision", "Diagnosis",
    "DriftReport", "Entry", "Erasure", "Evaluation", "Exported", "Feedback", "FolderCheck",
    "GateReport", "GateResult", "GuardEvidence", "History", "Look", "Metric", "ModelRef",
    "ModelSpec", "ModelVersion", "MonitorReport", "Outcome", "Performance", "Reproduction",
    "Retraining", "Rollout", "RolloutPlan", "RolloutSpec", "RolloutStatus", "Scored", "Served",
    "Status", "Tenure", "Training", "Transfer", "Verification",
)  # fmt: skip
_ERRORS = (
    "ApprovalRefused", "ConfigError", "DataError", "DigestMismatch", "GateRefused",
    "LabelError", "LedgerError", "LifecycleError", "LogError", "MissingExtra", "ModelNotFound",
    "ModelRefused", "RegistryError", "RegistryUnavailable", "ServeError", "TrainingFailed",
    "TransitionRefused", "UntrustedModel",
)  # fmt: skip
_WHERE = {
    **dict.fromkeys(_RECORDS, "lifecycle.records"),
    **dict.fromkeys(_ERRORS, "lifecycle.errors"),
    "Config": "lifecycle.config",
    "load_config": "lifecycle.config",
    "Project": "lifecycle.project",
    "compare": "lifecycle.workflows.compare",
}

__all__ = [*sorted(_WHERE), "__version__"]  # noqa: PLE0604 - names are strings, sorted

if TYPE_CHECKING:
    from lifecycle.config import Config as Config
    from lifecycle.config import load_config as load_config
    from lifecycle.errors import *  # noqa: F403 - for type checkers only
    from lifecycle.project import Project as Project
    from lifecycle.records import *  # noqa: F403 - for type checkers only
    from lifecycle.workflows.compare import compare as compare


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'lifecycle' has no attribute {name!r}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
