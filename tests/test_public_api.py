"""What users import may grow; a name that goes breaks someone's notebook."""

import inspect

import lifecycle as lc

NAMES = {
    "ApprovalRefused", "ApprovalRequest", "Candidate", "Card", "Check", "Checks", "Config",
    "ConfigError", "DataError", "Decision", "Diagnosis", "DigestMismatch", "DriftReport", "Entry",
    "Erasure", "Evaluation", "Exported", "Feedback", "FolderCheck", "GateRefused", "GateReport",
    "GateResult", "GuardEvidence", "History", "LabelError", "LedgerError", "LifecycleError",
    "LogError", "Look", "Metric", "MissingExtra", "ModelNotFound", "ModelRef", "ModelRefused",
    "ModelSpec", "ModelVersion", "MonitorReport", "Outcome", "Performance", "Project",
    "RegistryError", "RegistryUnavailable", "Reproduction", "Retraining", "Rollout", "RolloutPlan",
    "RolloutSpec", "RolloutStatus", "Scored", "ServeError", "Served", "Status", "Tenure",
    "Training", "TrainingFailed", "Transfer", "TransitionRefused", "UntrustedModel",
    "Verification",
    "__version__", "compare", "load_config",
}  # fmt: skip
VERBS = {
    "reproduce", "export_audit", "transfer", "card", "verify",
    "train", "register", "evaluate", "gate", "promote", "rollback", "history", "status", "score",
    "feedback", "erase", "monitor", "checks", "retrain", "adopt",
    "request", "approve", "reject",
    "rollout", "rollout_plan", "rollout_status", "rollout_look", "rollout_step", "rollout_promote",
    "rollout_abort", "rollout_resume", "rollout_explain",
}  # fmt: skip


def test_exported_names():
    assert set(lc.__all__) == NAMES
    assert set(dir(lc)) == NAMES


def test_every_exported_name_can_be_had():
    for name in NAMES:
        assert getattr(lc, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(lc, "no_such_name")


def test_the_notebooks_verbs():
    public = {name for name in vars(lc.Project) if not name.startswith("_")}
    assert public - {"name"} == VERBS


def test_every_public_object_says_what_it_does():
    for name in NAMES - {"__version__"}:
        assert inspect.getdoc(getattr(lc, name)), name
    for verb in VERBS:
        assert inspect.getdoc(getattr(lc.Project, verb)), verb
