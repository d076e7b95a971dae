"""What came of training a version again.

>>> Reproduction("churn", 3, same=False, rows=400, changed_answers=7).exit_code
2
"""

from dataclasses import dataclass
from typing import Any

from lifecycle.records.models import Metric
from lifecycle.records.record import Record


@dataclass(frozen=True)
class Reproduction(Record):
    """A version beside its estimator trained again on the recorded rows with the recorded seed.

    Attributes:
        same: no answer to a hold-out row differs by more than rounding does.
        rows: that were answered.
        largest_difference: of a score; of a number, as a share of the largest recorded one.
        changed_answers: labels that are others.
        metrics: of the model that was trained now.
        recorded: the same of the version.
        differs: what is not as it was at the first training: commit, changes, packages.
    """

    name: str
    version: int
    same: bool
    rows: int
    largest_difference: float = 0.0
    changed_answers: int = 0
    metrics: tuple[Metric, ...] = ()
    recorded: tuple[Metric, ...] = ()
    differs: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def metric_differences(self) -> tuple[Metric, ...]:
        """Each metric of now minus the recorded one."""
        old = {item.name: item.value for item in self.recorded}
        return tuple(
            Metric(item.name, item.value - old[item.name], None, None, item.higher_is_better)
            for item in self.metrics
            if item.name in old
        )

    @property
    def exit_code(self) -> int:
        """0 the same, 2 another model."""
        return 0 if self.same else 2

    def __str__(self) -> str:
        what = f"; {'; '.join(self.differs)}" if self.differs else ""
        if self.same:
            gap = self.largest_difference
            exact = "exactly" if gap == 0 else f"within {gap:.1e}"
            return f"trained again, it gives the same {self.rows:,} answers {exact}{what}"
        moved = [item for item in self.metric_differences if item.value]
        worst = f" ({', '.join(f'{item.name} {item.value:+.4f}' for item in moved)})"
        return (
            f"trained again, {self.changed_answers:,} of {self.rows:,} answers are others, by up to"
            f" {self.largest_difference:.2g}{worst if moved else ''}{what}"
        )

    def to_dict(self) -> dict[str, Any]:
        """The record with the differences of its metrics."""
        told = [item.to_dict() for item in self.metric_differences]
        return {**super().to_dict(), "metric_differences": told}
