"""What a check knows beside its columns stands above the table, each sentence once."""

from dataclasses import replace

import pytest

from lifecycle import records as r
from lifecycle.records import Outcome
from lifecycle.views import notebook, terminal
from lifecycle.views.layout import BAD, GOOD, UNSURE
from lifecycle.views.monitor_sheets import span
from lifecycle.views.sheets import sheet

CALM = r.DriftReport(Outcome.PASS, {}, 3000, 400)
FINE = r.MonitorReport("churn", 3, Outcome.PASS, (), r.Decision(False, ()), CALM)
SEEN = r.Performance("auc", 0.7, 0.68, 0.72, 0.81, 0.8, 0.82, 1, 0, Outcome.PASS)
GUESS = r.Estimate("cbpe", "auc", 0.78, 0.77, 0.79, 0.81, 90, assumption="all is as it was")
SLICE = r.Slice("plan = 'pro'", 90, 40, "mae", 2.0, 1.9, 2.1, 1.0, 1.1, 0.001, Outcome.FAIL)


def facts(**more):
    return dict(sheet(replace(FINE, **more)).facts)


def test_a_bare_check_says_its_rows_and_no_more():
    assert facts() == {"rows": "400 live against 3,000 of the reference"}
    assert sheet(FINE).mark == GOOD
    assert sheet(FINE).title == "churn version 3: fine"


def test_what_the_window_was_held_against():
    assert facts(drift=replace(CALM, matched="06:00 to 12:00"))["held against"] == "06:00 to 12:00"


def test_labels_known_and_missing():
    known = r.LabelCoverage(200, 150, Outcome.PASS)
    assert facts(labels=known)["labels"] == "150 of 200 known, 50 missing"
    told = replace(known, reason="missing selectively: plan 'pro'")
    assert facts(labels=told)["labels"] == "missing selectively: plan 'pro'"


def test_performance_has_its_interval_and_what_was_expected():
    said = facts(performance=SEEN)["performance"]
    assert said == (
        "auc 0.7000 [0.6800, 0.7200], expected 0.8100 [0.8000, 0.8200], on 1 labelled row"
    )
    assert facts(performance=replace(SEEN, reason="as before"))["performance"] == "as before"


@pytest.mark.parametrize(
    ("estimate", "words"),
    [
        (GUESS, "assuming that all is as it was; not yet checked against labels"),
        (replace(GUESS, reason="the assumption is not refuted"), "; the assumption is not refuted"),
        (replace(GUESS, value=None, reason="90 rows, 100 are needed"), "90 rows, 100 are needed"),
        (replace(GUESS, value=None), "auc cannot be estimated"),
    ],
)
def test_an_estimate_says_its_assumption_and_how_that_fared(estimate, words):
    assert facts(estimate=estimate)["estimate"].endswith(words)


def test_calibration():
    held = r.Calibration(90, Outcome.PASS)
    assert facts(calibration=held)["calibration"] == "no change shown"
    changed = r.Calibration(90, Outcome.FAIL, error=0.12, expected_error=0.02)
    said = facts(calibration=changed)["calibration"]
    assert said == "scores have changed; calibration error 0.12, 0.02 before"


def test_the_worst_slices_only():
    slices = tuple(replace(SLICE, where=f"plan = {at}") for at in range(9))
    shown = [words for name, words in sheet(replace(FINE, slices=slices)).facts if name == "slice"]
    assert len(shown) == 3
    assert shown[0] == "worse: plan = 0: mae 2.0000 [1.9000, 2.1000]"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("opened", "new, since 2026-03-01 00:00: harmed, a, b, c and 1 more"),
        ("worse", "grew worse, since 2026-03-01 00:00: harmed, a, b, c and 1 more"),
        ("", "still open, since 2026-03-01 00:00: harmed, a, b, c and 1 more"),
        ("resolved", "resolved; it was open since 2026-03-01 00:00"),
    ],
)
def test_incidents(change, words):
    columns = dict.fromkeys("abcd", 0.5)
    incident = r.Incident(change, columns, harmed=True, since="2026-03-01T00:00:00")
    assert facts(incident=incident)["incident"] == words


def test_windows_that_were_caught_up_and_rows_that_came_late():
    moved = r.ColumnDrift("temp", "numeric", True, Outcome.FAIL)
    drifted = replace(
        FINE, outcome=Outcome.FAIL, window=("2026-03-01", "2026-03-02"),
        drift=r.DriftReport(Outcome.FAIL, {"temp": moved}, 9, 9),
    )  # fmt: skip
    shown = sheet(replace(FINE, earlier=(drifted, FINE), late_rows=1))
    said = [words for name, words in shown.facts if name == "caught up"]
    assert said == ["2026-03-01 to 2026-03-02: drifted (temp)", "window: pass"]
    assert dict(shown.facts)["late"] == "1 row of earlier windows came after their check"
    assert shown.mark == BAD, "its exit code is 2"


def test_nothing_was_due():
    waiting = replace(FINE, outcome=Outcome.UNSURE, waiting=True, reasons=("2 rows are missing",))
    assert sheet(waiting).title == "churn version 3: waiting for rows"
    assert sheet(waiting).mark == UNSURE
    assert "2 rows are missing" in sheet(waiting).notes


def test_each_sentence_stands_once():
    told = replace(SEEN, reason="worse than before", outcome=Outcome.FAIL)
    moved = r.ColumnDrift("temp", "numeric", True, Outcome.FAIL, reason="temp is higher")
    report = replace(
        FINE, outcome=Outcome.FAIL, reasons=("worse than before", "temp is higher", "a note"),
        performance=told, drift=r.DriftReport(Outcome.FAIL, {"temp": moved}, 9, 9),
        notes=("a note",),
    )  # fmt: skip
    for shown in (terminal.text(report, width=80), terminal.text(report, width=140)):
        flat = " ".join(shown.split())
        for words in ("worse than before", "temp is higher", "a note"):
            assert flat.count(words) == 1, words
    page = notebook.html(report)
    assert page.count("worse than before") == 1


def test_the_metric_within_the_window_is_drawn():
    points = tuple(
        r.PerformancePoint(f"2026-03-0{at}", f"2026-03-0{at}", 9, 9, 0.8, 0.7, 0.9)
        for at in range(1, 5)
    )
    page = notebook.html(replace(FINE, performance=replace(SEEN, over_time=points)))
    assert "within the window" in page
    assert page.count("<svg") == 1
    alone = replace(FINE, performance=replace(SEEN, over_time=points[:1]))
    assert "<svg" not in notebook.html(alone)


def test_scores_have_their_bound_where_they_are_not_exact():
    column = r.ColumnDrift(
        "x", "numeric", False, Outcome.PASS, 0.25, "psi", bounds={"psi": 0.01, "wasserstein": 9.0}
    )
    (row,) = sheet(r.DriftReport(Outcome.PASS, {"x": column}, 9, 9)).rows
    assert row[-1] == "0.25\n± 0.01"
    exact = replace(column, bounds={"psi": 1e-12})
    (row,) = sheet(r.DriftReport(Outcome.PASS, {"x": exact}, 9, 9)).rows
    assert row[-1] == "0.25"


def test_a_window_in_words():
    assert span(("2026-03-01T06:00:00", "2026-03-01T08:30:00")) == "2026-03-01 06:00 to 08:30"
    assert span(("1", "9")) == "1 to 9"
