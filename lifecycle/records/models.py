"""What a model is: references, specification, candidates, versions.

>>> ModelRef.parse("churn@champion")
ModelRef(name='churn', version=None, alias='champion')
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lifecycle.errors import ModelNotFound
from lifecycle.records.record import Record

Task = Literal["binary", "multiclass", "regression"]
Label = bool | int | float | str


@dataclass(frozen=True)
class ModelRef(Record):
    """A name with a version or an alias; neither means the champion.

    >>> ModelRef.parse("models:/churn/7").version
    7
    """

    name: str
    version: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> "ModelRef":
        """Read MLflow's grammar (`models:/churn@champion`) or its short form (`churn/7`).

        Raises:
            ModelNotFound: the text is not a model reference.
        """
        found = re.fullmatch(r"(?:models:/)?([^/@:]+)(?:/(\d+)|@([A-Za-z0-9_-]+))?", text.strip())
        if not found:
            raise ModelNotFound(
                f"{text!r} is not a model reference",
                fix="write NAME, NAME/VERSION or NAME@ALIAS, as in churn@champion",
            )
        name, version, alias = found.groups()
        if version is None and alias is None:
            alias = "champion"
        return cls(name, int(version) if version else None, alias)

    def __str__(self) -> str:
        return f"{self.name}/{self.version}" if self.version else f"{self.name}@{self.alias}"


@dataclass(frozen=True)
class Column(Record):
    """One input of a model; `dtype` is MLflow's name (double, long, string, boolean, …)."""

    name: str
    dtype: str
    required: bool = True


@dataclass(frozen=True)
class Metric(Record):
    """One figure with its 95 % interval on the hold-out rows; the interval may be absent."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    higher_is_better: bool = True

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.name} {self.value:.4f}"
        return f"{self.name} {self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True)
class Lineage(Record):
    """Where a model comes from: enough to train it again and to see that it is the same."""

    data_digest: str = ""  # sha256 over all rows and all types
    data_rows: int = 0
    data_source: str = ""
    code_commit: str = ""  # git commit, empty outside a repository
    code_dirty: bool = False
    code_diff_digest: str = ""  # sha256 of the uncommitted difference
    environment_digest: str = ""  # sha256 of the installed packages, one a line
    python: str = ""
    seed: int = 0
    parent_version: int | None = None
    cause: str = ""  # the request or drift report that caused the training
    data_unordered: str = ""  # the same for all orders of the rows
    seeds: Mapping[str, str] = field(default_factory=dict)  # of all that draws random numbers
    cause_entry: int | None = None  # the ledger's entry that called for the training
    cause_evidence: str = ""  # sha256 of that entry's drift report
    cause_link: str = ""  # where MLflow keeps it


@dataclass(frozen=True)
class ModelSpec(Record):
    """What every verb needs to know of a version; stored with it as `lifecycle/spec.json`."""

    schema: int
    task: Task
    features: tuple[Column, ...]
    target: str | None = None
    time: str | None = None
    key: str | None = None
    classes: tuple[Label, ...] = ()  # sorted; the second is the positive one when binary
    threshold: float | None = None  # label = positive when score >= threshold; None: the larger
    estimator: str = ""
    primary_metric: str = ""
    metrics: tuple[Metric, ...] = ()
    split: str = ""  # time, stratified, group, random, given
    trained_from: str | None = None  # ISO times of the training rows, where there is a time
    trained_to: str | None = None
    known_to: str | None = None  # of the last row that was there, the hold-out's included
    trained_rows: int = 0
    holdout_rows: int = 0
    created: str = ""
    data_run_id: str = ""  # the run whose `lifecycle/` holds hold-out, reference and profile
    lineage: Lineage = field(default_factory=Lineage)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The model's input columns, in order."""
        return tuple(column.name for column in self.features)

    @property
    def metric(self) -> Metric:
        """The primary metric with its interval on the hold-out rows."""
        return next(item for item in self.metrics if item.name == self.primary_metric)


@dataclass(frozen=True)
class Candidate(Record):
    """One trained model; `error` says why when it could not be trained."""

    name: str
    run_id: str = ""
    model_uri: str = ""
    metrics: tuple[Metric, ...] = ()
    fit_seconds: float = 0.0
    score_seconds: float = 0.0
    overhead_seconds: float = 0.0  # tracking and logging on top of fit and score
    error: str = ""
    spec: ModelSpec | None = field(default=None, repr=False)
    estimator: Any = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Training(Record):
    """The outcome of `train`: candidates from best to worst, failed ones last."""

    name: str
    run_id: str
    metric: str
    candidates: tuple[Candidate, ...]
    extras_seconds: float = 0.0  # plots, importance and compilation of the best
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Candidate:
        """The candidate with the best primary metric."""
        return self.candidates[0]


@dataclass(frozen=True)
class ModelVersion(Record):
    """A version in MLflow's registry, seen through the ledger.

    >>> ModelVersion("churn", 7).uri
    'models:/churn/7'
    """

    name: str
    version: int
    run_id: str = ""
    source: str = ""  # models:/m-…, MLflow's address of the files
    digest: str = ""  # sha256 of the model files, recorded at registration; empty: not ours
    stage: str = "none"
    aliases: tuple[str, ...] = ()
    created: str = ""
    tags: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def uri(self) -> str:
        """The version as MLflow writes it."""
        return f"models:/{self.name}/{self.version}"

    @property
    def ref(self) -> str:
        """The short form."""
        return f"{self.name}/{self.version}"

    @property
    def adopted(self) -> bool:
        """Whether it carries what our verbs need: trained here, or taken over with `adopt`."""
        return "lifecycle.spec_run" in self.tags

    def to_dict(self) -> dict[str, Any]:
        """The record with its address."""
        return {**super().to_dict(), "uri": self.uri}
