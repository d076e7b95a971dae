"""The checks of a model over time, as they are recorded.

>>> one = Check("2026-03-08T01:00:00+00:00", 3, Outcome.FAIL, drifted_columns=("charges",))
>>> Checks("churn", (one,)).to_dict()["checks"][0]["drifted_columns"]
['charges']
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lifecycle.records.record import Outcome, Record

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Check(Record):
    """One check that was recorded: its verdict and its figures."""

    time: str  # when it was made, ISO 8601, UTC
    version: int
    outcome: Outcome
    window: tuple[str, str] | None = None  # times of the first and last row
    rows: int = 0
    drifted_columns: tuple[str, ...] = ()  # worst first
    effects: Mapping[str, float] = field(default_factory=dict)  # by column, signed
    metric: str = ""
    value: float | None = None  # of the metric on labelled rows
    low: float | None = None  # of its 95 % interval
    high: float | None = None
    expected: float | None = None  # on the hold-out at training
    expected_low: float | None = None
    expected_high: float | None = None
    estimate: float | None = None  # without labels
    estimate_low: float | None = None
    estimate_high: float | None = None
    harmed: bool = False
    retrain: bool = False
    part: str = ""  # of the rows, as in "arm shadow, carrier=EV"; empty: all of them
    run_id: str = ""

    @property
    def drifted(self) -> bool:
        """Whether a column moved."""
        return bool(self.drifted_columns)

    @property
    def end(self) -> str:
        """The last moment that it is about; without one, when it was made."""
        return self.window[1] if self.window else self.time

    def to_dict(self) -> dict[str, Any]:
        """The check with its verdict."""
        return {**super().to_dict(), "drifted": self.drifted}


@dataclass(frozen=True)
class Checks(Record):
    """A model's checks, oldest window first."""

    name: str
    checks: tuple[Check, ...]

    def __len__(self) -> int:
        return len(self.checks)

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    def __getitem__(self, at: int) -> Check:
        return self.checks[at]

    @property
    def latest(self) -> tuple[Check, ...]:
        """Of each window and version the last check, which has most labels; oldest first."""
        found = {(one.window or one.time, one.version, one.part): one for one in self.checks}
        return tuple(found.values())

    def to_frame(self) -> "pd.DataFrame":
        """One row a check, in order; effects as columns `effect of COLUMN`."""
        import pandas as pd

        rows = []
        for one in self.checks:
            row = {key: getattr(one, key) for key in Check.__dataclass_fields__}
            start, end = row.pop("window") or (None, None)
            effects = {f"effect of {name}": size for name, size in row.pop("effects").items()}
            rows.append({"start": start, "end": end, **row, "drifted": one.drifted, **effects})
        frame = pd.DataFrame(rows)
        for name in frame.columns.intersection(["start", "end"]):
            frame[name] = pd.to_datetime(frame[name], format="ISO8601")
        return frame
