"""Labels that are missing by chance, because they are late, and for some kind of row."""

import datetime as dt

import numpy as np
import polars as pl
import pytest

from lifecycle.drift.coverage import label_coverage
from lifecycle.records import Outcome

FIRST = dt.datetime.fromisoformat("2026-01-01")
NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


def window(seed, rows=800):
    """Rows of several kinds, one an hour, one column with a trend."""
    rng = np.random.default_rng(seed)
    gaps = rng.normal(size=rows)
    gaps[rng.random(rows) < 0.1] = np.nan
    frame = pl.DataFrame(
        {
            "trend": rng.normal(size=rows) + np.arange(rows) / rows * 3,
            "gaps": gaps,
            "carrier": rng.choice(list("abcdef"), rows),
            "late": rng.random(rows) < 0.3,
            "score": rng.random(rows),
        }
    )
    times = pl.Series([FIRST + dt.timedelta(hours=hour) for hour in range(rows)])
    return frame, times, rng.random(rows)


def share(kind, frame):
    """How probably each row has its label."""
    rows, order = frame.height, np.arange(frame.height)
    return {
        "chance": np.full(rows, 0.8),
        "few missing": np.full(rows, 0.95),
        "newest late": np.clip(2.0 * (rows - order) / rows, 0, 0.95),
        "outages": np.where((order // 60) % 4 == 0, 0.0, 1.0),
        "score": np.where(frame["score"].to_numpy() > 0.8, 0.4, 1.0),
        "spread": np.where(np.abs(frame["score"].to_numpy() - 0.5) < 0.15, 0.3, 0.95),
        "level": np.where(frame["carrier"].to_numpy() == "a", 0.5, 0.95),
        "boolean": np.where(frame["late"].to_numpy(), 0.6, 0.95),
        "missing": np.where(np.isnan(frame["gaps"].to_numpy()), 0.4, 0.95),
    }[kind]


@pytest.mark.parametrize("kind", ["chance", "few missing", "newest late", "outages"])
def test_labels_missing_for_no_kind_of_row_are_left_alone(kind):
    flagged = 0
    for seed in range(60):
        frame, times, draw = window(seed)
        found = label_coverage(frame, draw < share(kind, frame), times)
        flagged += found.selective
        assert found.outcome is not Outcome.UNSURE
    assert flagged <= 2, "60 windows at alpha 1 %"


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("score", "score"),
        ("spread", "score"),
        ("level", "carrier"),
        ("boolean", "late"),
        ("missing", "gaps"),
    ],
)
def test_labels_missing_for_a_kind_of_row_are_flagged_with_the_column(kind, column):
    for seed in range(10):
        frame, times, draw = window(seed)
        found = label_coverage(frame, draw < share(kind, frame), times)
        assert found.selective, (seed, found)
        assert found.column == column
        assert "missing selectively" in found.reason
        assert found.p_value <= 0.01


def test_the_reason_names_figures():
    frame, times, draw = window(0)
    by_score = label_coverage(frame, draw < share("score", frame), times).reason
    assert "labelled rows are lower in score: median 0.4" in by_score
    by_level = label_coverage(frame, draw < share("level", frame), times).reason
    assert "carrier is 'a' in" in by_level
    assert "of the others" in by_level


def test_a_window_of_a_million_rows_does_not_flag_a_trifle():
    rng = np.random.default_rng(0)
    score = rng.random(300_000)
    labelled = rng.random(300_000) < 0.8 - 0.01 * score
    assert label_coverage(pl.DataFrame({"score": score}), labelled).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("labelled", "outcome", "reason"),
    [
        ([True] * 100, Outcome.PASS, "every row has its label"),
        ([True] * 1, Outcome.PASS, "every row has its label"),
        ([False] * 100, Outcome.UNSURE, "0 labelled rows cannot tell"),
        ([True] * 90 + [False] * 10, Outcome.UNSURE, "10 unlabelled rows cannot tell"),
        ([True] * 5000 + [False] * 20, Outcome.PASS, "too few are missing to matter"),
        ([True] * 400 + [False] * 400, Outcome.UNSURE, "no stretch of time has rows with"),
        ([], Outcome.UNSURE, "there are no rows"),
    ],
)
def test_what_cannot_be_compared_says_why(labelled, outcome, reason):
    rows = pl.DataFrame({"x": np.random.default_rng(0).normal(size=len(labelled))})
    found = label_coverage(rows, labelled)
    assert found.outcome is outcome
    assert reason in found.reason
    assert found.missing == labelled.count(False)


def streamed(seed, rows=1000, *, days=5.0):
    """Labels that come one by one within `days`, those of high scores at once."""
    frame, times, _ = window(seed, rows)
    rng = np.random.default_rng(seed + 1000)
    wait = rng.random(rows) * days * np.where(frame["score"].to_numpy() > 0.7, 0.1, 1.0)
    came = [at + dt.timedelta(days=float(w)) for at, w in zip(times, wait, strict=True)]
    now = times[-1] + dt.timedelta(hours=1)
    known = np.array([at <= now for at in came])
    label_times = pl.Series(
        [at if ok else None for at, ok in zip(came, known, strict=True)], dtype=pl.Datetime("us")
    ).dt.replace_time_zone("UTC")
    return frame, known, times, label_times, now.replace(tzinfo=dt.UTC)


def test_rows_younger_than_the_usual_delay_are_left_out():
    for seed in range(10):
        frame, known, times, label_times, now = streamed(seed)
        found = label_coverage(frame, known, times, label_times, now=now)
        assert found.delay_seconds == pytest.approx(4.3 * 86_400, rel=0.15)
        assert found.compared < found.rows
        assert not found.selective, found


def test_rows_that_are_all_too_young_are_no_evidence():
    frame, known, times, label_times, now = streamed(0, 60)
    found = label_coverage(frame, known, times, label_times, now=now)
    assert found.compared < 60
    assert found.outcome is Outcome.UNSURE


def test_overdue_labels_that_lack_for_a_kind_are_flagged_all_the_same():
    frame, known, times, label_times, now = streamed(0)
    gone = known & ~((frame["carrier"] == "b").to_numpy() & (np.arange(1000) % 3 > 0))
    label_times = label_times.set(pl.Series(~gone), None)
    found = label_coverage(frame, gone, times, label_times, now=now)
    assert (found.selective, found.column) == (True, "carrier")
    assert "of those older than" in found.reason


def test_labels_that_came_in_one_go_tell_no_delay():
    frame, times, draw = window(0)
    known = draw < 0.8
    came = pl.Series([NOW if ok else None for ok in known], dtype=pl.Datetime("us", "UTC"))
    found = label_coverage(frame, known, times, came, now=NOW)
    assert found.delay_seconds is None
    assert found.compared == found.rows


def test_the_oldest_row_without_label_is_named():
    frame, times, _ = window(0, 100)
    known = np.ones(100, dtype=bool)
    known[[40, 60]] = False
    assert label_coverage(frame, known, times).oldest_missing == times[40].isoformat()


def test_odd_columns_are_passed_over():
    rows = 200
    frame = pl.DataFrame(
        {
            "same": ["x"] * rows,
            "null": pl.Series([None] * rows, dtype=pl.Float64),
            "list": [[1, 2]] * rows,
            "at": [FIRST] * rows,
            "id": [f"c{row}" for row in range(rows)],
        }
    )
    known = np.random.default_rng(0).random(rows) < 0.5
    found = label_coverage(frame, known)
    assert found.outcome is not Outcome.FAIL
