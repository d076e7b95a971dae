"""Equal rates in the groups that must be held equal; needs the extra `fairness` (fairlearn).

>>> low, high = newcombe((30, 100), (20, 100), level=0.95)
>>> round(low, 3), round(high, 3)
(-0.02, 0.217)

Rates of each group are fairlearn's (`MetricFrame`, Weerts et al. 2023); their differences carry the
interval of Newcombe (1998, method 10), widened by Bonferroni for all rates and pairs of groups.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from lifecycle.errors import DataError, MissingExtra
from lifecycle.gates.given import GateInput, Missing, failed, passed, unsure
from lifecycle.gates.sanity import strange
from lifecycle.records import GateResult

FEWEST = 30  # rows of a group that a rate is taken of
GROUPS = 20  # of a column; more is no group but a name
PARTS = 4  # that a column of numbers is cut into


@dataclass(frozen=True)
class Rate:
    """Hits of one group among the rows that could be one."""

    group: str
    hits: int
    rows: int

    @property
    def share(self) -> float:
        """Their share."""
        return self.hits / self.rows


def fairness(given: GateInput) -> list[GateResult]:
    """Hold the rates of the groups of each column in `[gates] protected` against one another.

    A binary model is judged by the share of rows that it selects (its positive label), by its
    false positive and its false negative rate; one of more classes by its error rate; a
    regression by the share of rows that it overestimates. The largest difference between two
    groups of at least 30 rows fails when it is surely above `unfair`, passes when it is below and
    the rows tell differences of that size, and is not enough evidence otherwise.

    Sample weights are not used: each person counts once.
    """
    columns = given.limits.protected
    if not columns:
        return [passed("fairness", "no columns are protected: [gates] protected names them")]
    wrong = strange(given.answers, given.spec, len(given.truth))
    if wrong:
        raise DataError(wrong[0])
    found = []
    for column in columns:
        groups = _groups(given, column)
        rates = _rates(given, groups)
        tests = sum(len(list(combinations(group, 2))) for group in rates.values())
        level = 1.0 - given.alpha("fairness") / max(tests * len(columns), 1)
        found += [_held(given, column, name, group, level) for name, group in rates.items()]
    return found


def _groups(given: GateInput, column: str) -> "pd.Series[Any]":
    rows = given.rows
    if column not in rows:
        raise Missing(
            f"the hold-out rows have no column {column!r} to tell groups by",
            fix="train with it among the features, or leave it out of [gates] protected",
        )
    values = rows[column].reset_index(drop=True)
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if numeric and values.nunique() > GROUPS:
        cut = pd.qcut(values, PARTS, duplicates="drop")
        values = cut.map(lambda part: f"{part.left:.4g} to {part.right:.4g}").astype(object)
    named = values.astype(object).where(values.notna(), "null").map(str)
    if named.nunique() > GROUPS:
        raise Missing(
            f"{column!r} has {named.nunique()} values: those are no groups",
            fix="protect a column with fewer values",
        )
    return named


def _rates(given: GateInput, groups: "pd.Series[Any]") -> Mapping[str, list[Rate]]:
    """By rate, that of each group with rows enough."""
    frame = _metric_frame()
    prediction, truth = np.asarray(given.answers.prediction), given.truth
    if given.spec.task == "regression":
        above = np.asarray(prediction, dtype=float) > np.asarray(truth, dtype=float)
        parts = {"overestimated": (above, np.ones(len(above), dtype=bool))}
    elif given.spec.task == "binary":
        positive = given.spec.classes[1]
        chosen, true = prediction == positive, truth == positive
        every = np.ones(len(chosen), dtype=bool)
        parts = {
            "selected": (chosen, every),
            "false_positive": (chosen, ~true),
            "false_negative": (~chosen, true),
        }
    else:
        parts = {"wrong": (prediction != truth, np.ones(len(truth), dtype=bool))}
    found: dict[str, list[Rate]] = {}
    for name, (hits, among) in parts.items():
        found[name] = frame(hits[among], groups[among].to_numpy())
    return found


def _metric_frame() -> Any:
    try:
        from fairlearn.metrics import MetricFrame, count, selection_rate
    except ImportError as error:
        raise MissingExtra("fairlearn", extra="fairness", purpose="the gate fairness") from error

    def rates(hits: NDArray[np.bool_], groups: NDArray[Any]) -> list[Rate]:
        if not len(hits):
            return []
        made = MetricFrame(
            metrics={"share": selection_rate, "rows": count},
            y_true=np.ones(len(hits), dtype=int),
            y_pred=hits.astype(int),
            sensitive_features=pd.Series(groups, name="group"),
        )
        table = made.by_group
        return [
            Rate(str(group), round(float(line["share"]) * int(line["rows"])), int(line["rows"]))
            for group, line in table.iterrows()
            if line["rows"] >= FEWEST
        ]

    return rates


WORDS = {
    "selected": "selected",
    "false_positive": "selected although they should not be",
    "false_negative": "not selected although they should be",
    "wrong": "answered wrongly",
    "overestimated": "overestimated",
}


def _held(given: GateInput, column: str, name: str, rates: list[Rate], level: float) -> GateResult:
    gate, limit = f"fairness.{column}.{name}", given.limits.unfair
    if len(rates) < 2:
        return unsure(gate, f"fewer than two groups of {column!r} have {FEWEST} rows to judge by")
    most, least = (choose(rates, key=lambda rate: rate.share) for choose in (max, min))
    value = most.share - least.share
    low, high = newcombe((most.hits, most.rows), (least.hits, least.rows), level=level)
    figures = {"value": value, "limit": limit, "low": low, "high": high}
    said = (
        f"{most.share:.1%} of {most.rows:,} rows of {most.group!r} are {WORDS[name]}, "
        f"{least.share:.1%} of {least.rows:,} of {least.group!r}: {value:.3f} "
        f"[{low:.3f}, {high:.3f}] apart, {limit:g} is allowed"
    )
    if low > limit:
        return failed(gate, said, **figures)
    if value <= limit and (high - low) / 2.0 <= limit:
        return passed(gate, said, **figures)
    return unsure(gate, f"{said}; the rows do not decide it", **figures)


def newcombe(one: tuple[int, int], other: tuple[int, int], *, level: float) -> tuple[float, float]:
    """The interval of the difference of two shares, each as hits and rows.

    >>> newcombe((5, 10), (5, 10), level=0.95)[0] < 0.0
    True
    """
    z = float(ndtri(0.5 + level / 2.0))
    (p, lower, upper), (q, least, most) = (_wilson(*pair, z) for pair in (one, other))
    down = float(np.hypot(p - lower, most - q))
    up = float(np.hypot(upper - p, q - least))
    return p - q - down, p - q + up


def _wilson(hits: int, rows: int, z: float) -> tuple[float, float, float]:
    share, squared = hits / rows, z * z
    middle = (share + squared / (2.0 * rows)) / (1.0 + squared / rows)
    half = z * np.sqrt(share * (1.0 - share) / rows + squared / (4.0 * rows * rows))
    half = float(half) / (1.0 + squared / rows)
    return share, max(middle - half, 0.0), min(middle + half, 1.0)
