"""Every error that lifecycle raises, drawn as a tree.

    LifecycleError
    ├── ConfigError          (ValueError)       a setting that is wrong: file, key, allowed values
    ├── DataError            (ValueError)       rows or columns that cannot be used
    │   └── LabelError                          late labels that are refused as a whole
    ├── ModelNotFound        (LookupError)      a name, version or alias that does not exist
    ├── ModelRefused                            a model file that must not be loaded
    │   ├── DigestMismatch                      … because it is not the file that was registered
    │   └── UntrustedModel                      … because it holds types that are not on our list
    ├── TrainingFailed       (RuntimeError)     no candidate could be trained
    ├── GateRefused                             a promotion that the gates do not allow (`.report`)
    ├── TransitionRefused    (ValueError)       a move that the stages do not allow
    │   └── ApprovalRefused                     … because approvals are missing, or not yours
    ├── RegistryError        (RuntimeError)     MLflow answered with something unexpected
    │   └── RegistryUnavailable (ConnectionError)  MLflow did not answer in time
    ├── LedgerError          (RuntimeError)     a ledger whose chain does not hold
    ├── LogError             (OSError)          a prediction or label log that cannot be used
    ├── ServeError           (RuntimeError)     a server that cannot start
    ├── PredictionFailed    (RuntimeError)     a model that raised while it answered (`.error_id`)
    └── MissingExtra         (ImportError)      an optional package that is not installed

Each says what was wrong, where, and the next step:

>>> print(DataError("column 'age' is missing", where="train.parquet", fix="add it"))
column 'age' is missing (train.parquet). Next: add it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lifecycle.records import ApprovalRequest, GateReport


class LifecycleError(Exception):
    """The root of all errors.

    >>> LifecycleError("no rows", where="live.csv", fix="check the export").to_dict()["what"]
    'no rows'

    Attributes:
        what: what was wrong.
        where: the file, column, model or address it was found in; empty when there is none.
        fix: the next step.
        exit_code: what the command line exits with.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = "", fix: str = "") -> None:
        self.what = what
        self.where = str(where)
        self.fix = fix
        place = f" ({self.where})" if self.where else ""
        step = f". Next: {fix.rstrip('.')}." if fix else ""
        super().__init__(f"{what}{place}{step}")

    def to_dict(self) -> dict[str, Any]:
        """The error as the JSON that `--json` prints."""
        return {
            "type": type(self).__name__,
            "what": self.what,
            "where": self.where,
            "fix": self.fix,
            "message": str(self),
        }


class ConfigError(LifecycleError, ValueError):
    """A setting that is wrong: the message names file, key and the allowed values."""


class DataError(LifecycleError, ValueError):
    """Rows or columns that cannot be used: the message names file and column."""


class LabelError(DataError):
    """A batch of late labels that was refused as a whole; nothing of it was stored."""


class ModelNotFound(LifecycleError, LookupError):
    """A model, version or alias that does not exist; the message names the nearest that does."""


class ModelRefused(LifecycleError):
    """A model file that must not be loaded."""


class DigestMismatch(ModelRefused):
    """A model file that is not the one that was registered."""


class UntrustedModel(ModelRefused):
    """A model file with types that are not on our trusted list, or a pickle."""


class TrainingFailed(LifecycleError, RuntimeError):
    """No candidate could be trained; the message carries each one's reason."""


class GateRefused(LifecycleError):
    """A promotion that the gates do not allow.

    Attributes:
        report: the gate report with one result a check.
    """

    exit_code = 2

    def __init__(
        self, what: str, *, report: "GateReport", where: object = "", fix: str = ""
    ) -> None:
        super().__init__(what, where=where, fix=fix)
        self.report = report
        self.exit_code = report.exit_code or 2

    def to_dict(self) -> dict[str, Any]:
        """The error with its report."""
        return {**super().to_dict(), "report": self.report.to_dict()}


class TransitionRefused(LifecycleError, ValueError):
    """A move that the stages do not allow; the message names those that are."""


class ApprovalRefused(TransitionRefused):
    """A move that lacks approvals, or an approval that would not count; says who may approve.

    Attributes:
        request: the open request with the approvals so far; None when nobody asked.
    """

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        request: "ApprovalRequest | None" = None,
        where: object = "",
        fix: str = "",
    ) -> None:
        super().__init__(what, where=where, fix=fix)
        self.request = request

    def to_dict(self) -> dict[str, Any]:
        """The error with the request."""
        asked = self.request.to_dict() if self.request else None
        return {**super().to_dict(), "request": asked}


class RegistryError(LifecycleError, RuntimeError):
    """MLflow answered with something unexpected."""


class RegistryUnavailable(RegistryError, ConnectionError):
    """MLflow did not answer in time; nothing was changed."""


class LedgerError(LifecycleError, RuntimeError):
    """A ledger whose chain does not hold; the message names the entry."""


class LogError(LifecycleError, OSError):
    """A prediction or label log that cannot be read or written."""


class ServeError(LifecycleError, RuntimeError):
    """A server that cannot start."""


class PredictionFailed(LifecycleError, RuntimeError):
    """A model that raised while it answered; the reason is in the log, not in the message.

    Attributes:
        error_id: the prediction id under which the log has the reason.
    """

    def __init__(self, what: str, *, error_id: str, where: object = "", fix: str = "") -> None:
        super().__init__(what, where=where, fix=fix)
        self.error_id = error_id


class MissingExtra(LifecycleError, ImportError):
    """An optional package that is not installed; the message names the extra to install."""

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed",
            fix=f'pip install "mlflow-lifecycle[{extra}]"',
        )
