"""Columns and checks to draw."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from lifecycle.records import Check, Checks, ColumnDrift, Outcome

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"


def _numeric(name: str = "x", *, reference: Any, live: Any, **more: Any) -> ColumnDrift:
    """Counts below, by cell, above, of cells 0 … k; nulls as (reference, live)."""
    nulls = more.pop("nulls", (0, 0))
    edges = more.pop("edges", list(range(len(reference) - 1)))
    one, two = (
        {"rows": sum(counts) + null, "null": null, "edges": edges, "counts": list(counts),
         "low": edges[0], "high": edges[-1]}
        for counts, null in zip((reference, live), nulls, strict=True)
    )  # fmt: skip
    known = {"kind": "numeric", "drifted": True, "outcome": Outcome.FAIL, **more}
    return ColumnDrift(name, reference=one, current=two, **known)


def _levels(name: str = "plan", *, reference: Any, live: Any, **more: Any) -> ColumnDrift:
    """Counts by level, then of others."""
    nulls = more.pop("nulls", (0, 0))
    levels = more.pop("levels", [f"level {at}" for at in range(len(reference) - 1)])
    one, two = (
        {"rows": sum(counts) + null, "null": null, "levels": levels, "counts": list(counts)}
        for counts, null in zip((reference, live), nulls, strict=True)
    )
    known = {"kind": "categorical", "drifted": True, "outcome": Outcome.FAIL, **more}
    return ColumnDrift(name, reference=one, current=two, **known)


def _checks(
    number: int, *, columns: int = 3, labels: bool = True, estimates: bool = True
) -> Checks:
    """Weekly checks: column 0 moves from half of them on, with version 2 three checks later."""
    found = []
    for at in range(number):
        start = date(2025, 1, 6) + timedelta(days=7 * at)
        moved = ("column 0",) if 2 * at >= number and columns else ()
        found.append(
            Check(
                f"{start + timedelta(days=7)}T01:00:00+00:00", 1 + (2 * at >= number + 6),
                Outcome.FAIL if moved else Outcome.PASS,
                (f"{start}T00:00:00", f"{start + timedelta(days=6)}T23:00:00"),
                1000 + at, moved,
                {f"column {n}": 0.9 / (n + 1) if moved else 0.06 for n in range(columns)},
                metric="roc_auc" if labels or estimates else "",
                value=0.8 - 0.001 * at if labels else None,
                low=0.78 - 0.001 * at if labels else None,
                high=0.82 - 0.001 * at if labels else None,
                expected=0.8 if labels else None, expected_low=0.79 if labels else None,
                expected_high=0.81 if labels else None,
                estimate=0.79 if estimates else None,
                harmed=labels and bool(moved), retrain=bool(moved), run_id=f"run{at}",
            )
        )  # fmt: skip
    return Checks("churn", tuple(found))


@pytest.fixture(scope="session")
def numeric() -> Callable[..., ColumnDrift]:
    """`numeric(reference=counts, live=counts, nulls=…)`."""
    return _numeric


@pytest.fixture(scope="session")
def levels() -> Callable[..., ColumnDrift]:
    """`levels(reference=counts, live=counts, nulls=…)`."""
    return _levels


@pytest.fixture(scope="session")
def make_checks() -> Callable[..., Checks]:
    """`make_checks(number, columns=…, labels=…, estimates=…)`."""
    return _checks


@pytest.fixture(scope="session")
def hostile() -> str:
    """A name that would run a script, colour a terminal and turn the writing round."""
    return HOSTILE
