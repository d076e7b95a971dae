"""What labels say of a model in service, and what can be said while they are missing.

>>> LabelCoverage(200, 150, Outcome.PASS).missing
50
"""

from dataclasses import dataclass
from typing import Literal

from lifecycle.records.record import Outcome, Record


@dataclass(frozen=True)
class LabelCoverage(Record):
    """How many labels of a window have come, and whether those that are missing are like them.

    Labels that are missing for some kind of row only make every figure on labelled rows a figure
    on the other kind. Rows whose label may still be on its way are left out of that comparison.
    """

    rows: int
    labelled: int
    outcome: Outcome  # fail: missing selectively
    reason: str = ""
    compared: int = 0  # rows that are old enough to have their label
    compared_labelled: int = 0
    column: str = ""  # what differs most between rows with and without label
    p_value: float | None = None  # the smallest, after correction for all columns
    delay_seconds: float | None = None  # within which 95 % of the labels came
    oldest_missing: str | None = None  # time of the oldest row without label

    @property
    def missing(self) -> int:
        """Rows without label."""
        return self.rows - self.labelled

    @property
    def share(self) -> float | None:
        """Labelled rows among all; None where there are no rows."""
        return self.labelled / self.rows if self.rows else None

    @property
    def selective(self) -> bool:
        """Whether labels are missing for some kind of row more than for others."""
        return self.outcome is Outcome.FAIL

    def to_dict(self) -> dict[str, object]:
        """The record with what follows from its counts."""
        return {**super().to_dict(), "missing": self.missing, "share": self.share}


@dataclass(frozen=True)
class Estimate(Record):
    """The metric as it is estimated without labels, and how that fared where labels came.

    It rests on an assumption that live inputs alone cannot check (`assumption`). Once labels come,
    the same rows are estimated and realised, and `outcome` says whether the two agree.
    """

    method: Literal["cbpe", "direct loss"]
    metric: str
    value: float | None  # None: it cannot be estimated, `reason` says why
    low: float | None
    high: float | None
    expected: float | None  # the metric on the hold-out rows at training
    rows: int
    higher_is_better: bool = True
    assumption: str = ""
    outcome: Outcome = Outcome.UNSURE  # pass: estimate and labels agree; fail: they do not
    reason: str = ""
    labelled_rows: int = 0
    realised: float | None = None  # on the labelled rows
    estimated: float | None = None  # on those very rows
    difference: float | None = None  # realised minus estimated
    difference_low: float | None = None
    difference_high: float | None = None
    recalibrated: bool = False  # scores were mapped to shares seen on the hold-out first

    @property
    def holds(self) -> bool | None:
        """Whether labels bear the estimate out; None where they are too few to tell."""
        return None if self.outcome is Outcome.UNSURE else self.outcome is Outcome.PASS


@dataclass(frozen=True)
class CalibrationBin(Record):
    """Rows of similar score: what the model promised, and what happened."""

    low: float  # of the scores in it
    high: float
    rows: int  # labelled live rows
    score: float | None  # their mean score
    label: float | None  # share of positive labels
    label_low: float | None = None  # 95 % interval of that share
    label_high: float | None = None
    expected: float | None = None  # the share that the hold-out had at such scores


@dataclass(frozen=True)
class Calibration(Record):
    """Whether scores still mean what they meant on the hold-out.

    For several classes, each row's largest score is held against whether its class was right; for
    a regression, predictions take the place of scores and the target's mean that of the share.
    """

    rows: int  # labelled live rows
    outcome: Outcome  # fail: labels at equal scores have changed
    bins: tuple[CalibrationBin, ...] = ()
    error: float | None = None  # expected calibration error, live
    expected_error: float | None = None  # on the hold-out
    p_value: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Slice(Record):
    """One group of rows on which the loss was looked at by itself."""

    where: str  # carrier = 'EV', 3 <= hour < 6
    rows: int
    labelled: int
    metric: str  # the mean loss a row: log_loss, mae, …
    value: float | None
    low: float | None
    high: float | None
    rest: float | None  # the same on all other rows
    expected: float | None  # on the hold-out's rows of this group
    p_value: float | None  # after correction for all groups that were looked at
    outcome: Outcome  # fail: worse than it should be, by more than chance
    reason: str = ""
    named: bool = False  # by `[monitor] segments`; else found


@dataclass(frozen=True)
class PerformancePoint(Record):
    """The metric on one stretch of a window, with its 95 % interval."""

    start: str  # time of the first row, ISO 8601; the row's number where rows have no time
    end: str
    rows: int
    labelled: int
    value: float | None
    low: float | None
    high: float | None
