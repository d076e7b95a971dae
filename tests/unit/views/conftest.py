"""Columns and checks to draw."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from lifecycle.records import (
    Arm,
    Check,
    Checks,
    ColumnDrift,
    GuardEvidence,
    Look,
    Outcome,
    Rollout,
    RolloutSpec,
    RolloutStatus,
)

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


def _evidence(guard: str, part: float, **more: Any) -> GuardEvidence:
    known = {
        "arm": "challenger", "kind": "event", "champion_units": 12_000, "champion_events": 240,
        "units": 640, "events": 13, "champion_rate": 0.02, "rate": 0.0203, "ratio": 1.02,
        "low": 0.61, "high": 1.7, "harm": 4.1 * part, "harm_limit": 4.1,
        "certificate": 3.0 * part, "certificate_limit": 3.0, "margin": 2.0,
        "outcome": Outcome.FAIL if part >= 1 else Outcome.UNSURE,
        "reason": "3.1 times as many, proven" if part >= 1 else "not proven either way yet",
    }  # fmt: skip
    return GuardEvidence(guard, **{**known, **more})


def _rollout(
    looks: int = 12,
    *,
    guards: tuple[str, ...] = ("errors", "latency", "invalid"),
    status: str = "running",
    every: int = 1800,
    **more: Any,
) -> RolloutStatus:
    """A canary of 8 against 7 whose first guard comes nearer to its limit at each look."""
    begin = datetime(2026, 3, 1, 8, tzinfo=UTC)
    steps = (0.01, 0.05, 0.25, 0.5, 1.0)
    spec = RolloutSpec(
        "churn", "canary", (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0)), steps=steps,
        guards=guards, margins=(5, 2, 1.5, 1.25), salt="s", hold_back=0.05,
    )  # fmt: skip
    end = {"rolled back": "rollback", "promoted": "promote", "held": "hold"}.get(status, "wait")
    series, last = [], max(1, looks - 1)
    for at in range(looks):
        step = min(4, 4 * at // last) if end != "rollback" else min(1, 2 * at // last)
        share = 0.0 if end == "rollback" and at == looks - 1 else steps[step]
        rows = {}
        for place, guard in enumerate(guards):
            near = {"rolled back": 1.1}.get(status, 0.6) if place == 0 else 0.3 / place
            number = guard == "latency"
            middle, wide = (0.05, 0.8 / (1 + at)) if number else (1.0 + near, 3.0 / (1 + at))
            rows[guard] = {
                "harm": 4.1 * near * at / last, "harm_limit": 4.1,
                "certificate": 3.0 * (at % 3) / 3, "certificate_limit": 3.0, "ratio": middle,
                "low": middle - wide if number else middle / (1 + wide), "high": middle + wide,
            }  # fmt: skip
        stepped = at < looks - 1 and step < min(4, 4 * (at + 1) // last) and end != "rollback"
        series.append(
            {"time": (begin + timedelta(seconds=every * at)).isoformat(), "step": step,
             "shares": {"champion": 1 - share, "challenger": share}, "guards": rows,
             "action": end if at == looks - 1 else "step" if stepped else "wait"}
        )  # fmt: skip
    share = series[-1]["shares"]["challenger"] if series else 0.05
    made = Rollout(
        spec, 12, status, step=1, shares=(1 - share, share), started=begin.isoformat(),
        since=(begin + timedelta(hours=1)).isoformat(), run_id="run1",
        reason="errors: harm is proven" if end == "rollback" else "",
        ended=series[-1]["time"] if series and end in ("rollback", "promote") else "",
    )  # fmt: skip
    evidence = tuple(
        _evidence(guard, (1.1 if end == "rollback" else 0.6) if place == 0 else 0.2 / place)
        if guard != "latency" else
        _evidence(guard, 0.1, kind="number", champion_rate=1.2, rate=1.25, ratio=0.05, low=-0.1,
                  high=0.2, champion_events=0, events=0, margin=1.2)
        for place, guard in enumerate(guards)
    )  # fmt: skip
    look = Look(
        "churn", 12, 1, series[-1]["time"], evidence=evidence, action=end,
        reason="waiting for errors" if end == "wait" else "errors: harm is proven",
        exposed={"champion": 11_800, "challenger": 640},
        coverage={"rows": 12_640, "labelled": 0.0312},
    ) if series else None  # fmt: skip
    known = {"rollout": made, "look": look, "looks": tuple(series)}
    return RolloutStatus("churn", **{**known, **more})


@pytest.fixture(scope="session")
def make_rollout() -> Callable[..., RolloutStatus]:
    """`make_rollout(looks, guards=…, status=…, every=seconds)`."""
    return _rollout


@pytest.fixture(scope="session")
def make_evidence() -> Callable[..., GuardEvidence]:
    """`make_evidence(guard, part of the limit, …)`."""
    return _evidence
