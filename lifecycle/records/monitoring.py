"""What a check of live data says: columns, performance, the verdict and what follows from it.

>>> Decision(retrain=False, reasons=("labelled rows grew by 3 %",)).retrain
False
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lifecycle.errors import ModelNotFound
from lifecycle.records.performance import (
    Calibration,
    Estimate,
    LabelCoverage,
    PerformancePoint,
    Slice,
)
from lifecycle.records.record import EXIT_CODES, Outcome, Record


@dataclass(frozen=True)
class ColumnDrift(Record):
    """What one column's comparison says, worst finding first."""

    name: str
    kind: str  # numeric, categorical, boolean, datetime, text, constant …
    drifted: bool
    outcome: Outcome
    score: float | None = None  # Evidently's own figure
    score_name: str = ""  # wasserstein, jensenshannon
    scores: Mapping[str, float] = field(default_factory=dict)  # wasserstein, jensenshannon, psi
    bounds: Mapping[str, float] = field(default_factory=dict)  # how far off a score may be; else 0
    p_value: float | None = None  # of the strongest test, as it is, before correction
    effect: float | None = None
    test: str = ""  # location, scale, shape, missing, out of range, new level, schema …
    reason: str = ""
    design_effect: float = 1.0  # how many rows in a run count as one
    reference: Mapping[str, Any] = field(default_factory=dict, repr=False)  # for pictures
    current: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class DriftReport(Record):
    """One verdict on live against reference data, with a row a column, worst first."""

    outcome: Outcome
    columns: Mapping[str, ColumnDrift]
    reference_rows: int
    current_rows: int
    reasons: tuple[str, ...] = ()
    not_monitored: Mapping[str, str] = field(default_factory=dict)  # column: why
    alpha: float = 0.01
    window: tuple[str, str] | None = None
    matched: str = ""  # the hours of the reference that it was held against; empty: all
    draw: Callable[[], str] | None = field(default=None, repr=False, compare=False)

    @property
    def drifted(self) -> bool:
        """Whether the live data differ by more than chance and by enough to matter."""
        return self.outcome is Outcome.FAIL

    @property
    def exit_code(self) -> int:
        """0 no drift, 2 drifted, 3 not enough evidence."""
        return EXIT_CODES[self.outcome]

    def evidently(self) -> str:
        """Evidently's report of the same comparison as one HTML page."""
        if self.draw is None:
            raise ModelNotFound(
                "this report was read back and its data are gone",
                fix="open the HTML file that was written with it, or compare again",
            )
        return self.draw()

    def to_dict(self) -> dict[str, Any]:
        """The report with its verdict."""
        return {**super().to_dict(), "drifted": self.drifted, "outcome": str(self.outcome)}


@dataclass(frozen=True)
class Performance(Record):
    """The live metric on labelled rows against the hold-out's."""

    metric: str
    value: float | None
    low: float | None
    high: float | None
    expected: float | None  # the metric on the hold-out rows at training
    expected_low: float | None
    expected_high: float | None
    labelled_rows: int
    unlabelled_rows: int
    outcome: Outcome
    reason: str = ""
    higher_is_better: bool = True
    over_time: tuple[PerformancePoint, ...] = ()  # stretches of the window, oldest first

    @property
    def harmed(self) -> bool:
        """Whether the model is worse on live rows by more than chance."""
        return self.outcome is Outcome.FAIL


@dataclass(frozen=True)
class Evidence(Record):
    """What `triggers.decide` looks at; figures only."""

    drifted: bool
    harmed: bool
    labelled_rows: int  # labelled rows since the model was trained
    trained_rows: int
    recent_losses: tuple[float, ...] = ()  # of the last labelled windows, oldest first
    holdout_loss: float | None = None
    holdout_loss_error: float | None = None  # its standard error


@dataclass(frozen=True)
class Decision(Record):
    """Whether to retrain, and why."""

    retrain: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Incident(Record):
    """What is wrong with a model in service, from a check that found it to one that finds none."""

    change: Literal["opened", "worse", "resolved", ""]  # by this check; empty: nothing new
    columns: Mapping[str, float | None] = field(default_factory=dict)  # moved: effect told of
    harmed: bool = False
    since: str = ""  # start of the window that opened it
    run_id: str = ""  # of the check that opened it


@dataclass(frozen=True)
class MonitorReport(Record):
    """One check of a model in service."""

    name: str
    version: int
    outcome: Outcome  # fail: drifted or harmed
    reasons: tuple[str, ...]
    decision: Decision
    drift: DriftReport
    performance: Performance | None = None
    window: tuple[str, str] | None = None
    run_id: str = ""
    html: str = ""  # path of Evidently's report; empty where none was asked for
    repeated: bool = False  # the same window was checked before; nothing was written
    labels: LabelCoverage | None = None
    estimate: Estimate | None = None
    calibration: Calibration | None = None
    slices: tuple[Slice, ...] = ()  # worst first
    late_rows: int = 0  # of earlier windows, logged after their check
    waiting: bool = False  # no window was complete yet, so nothing was checked
    incident: Incident | None = None  # that is open, or that this check resolved
    notes: tuple[str, ...] = ()  # on the checking itself: what remains, who could not be told
    earlier: tuple["MonitorReport", ...] = ()  # windows that were caught up before this one

    @property
    def drifted(self) -> bool:
        """Whether the inputs or scores moved."""
        return self.drift.drifted

    @property
    def harmed(self) -> bool:
        """Whether labels show a worse model."""
        return self.performance is not None and self.performance.harmed

    @property
    def retrain(self) -> bool:
        """Whether retraining is called for."""
        return self.decision.retrain

    @property
    def columns(self) -> Mapping[str, ColumnDrift]:
        """One row a column, worst first."""
        return self.drift.columns

    @property
    def exit_code(self) -> int:
        """0 fine, 2 flagged (drifted, harmed or due for retraining), 3 not enough evidence.

        Of several windows the first that holds for any of 2, 3, 0.
        """
        codes = {item.exit_code for item in self.earlier}
        codes.add(EXIT_CODES[Outcome.FAIL if self.retrain else self.outcome])
        return next(code for code in (2, 3, 0) if code in codes)

    def to_dict(self) -> dict[str, Any]:
        """The report with its verdicts."""
        verdicts = {"drifted": self.drifted, "harmed": self.harmed, "retrain": self.retrain}
        return {**super().to_dict(), **verdicts, "outcome": str(self.outcome)}
