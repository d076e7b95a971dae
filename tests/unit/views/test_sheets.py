"""Every record draws in the terminal and in a notebook, with the words people look for."""

import pytest

from lifecycle import records as r
from lifecycle.records import Outcome
from lifecycle.views import notebook, terminal
from lifecycle.views.sheets import BAD, GOOD, UNSURE, sheet

AUC = r.Metric("roc_auc", 0.8123, 0.80, 0.82)
BEST = r.Candidate("forest", "run1", metrics=(AUC,), fit_seconds=1.0, overhead_seconds=0.4)
VERSION = r.ModelVersion("churn", 3, stage="production", aliases=("champion",), digest="ab" * 32)
MOVED = r.ColumnDrift("temp", "numeric", True, Outcome.FAIL, 0.9, "wasserstein", p_value=1e-15,
                      effect=0.8, test="location", reason="temp is higher")  # fmt: skip
DRIFT = r.DriftReport(
    Outcome.FAIL, {"temp": MOVED}, 1000, 500, ("1 column moved",), {"note": "text"}
)
WORSE = r.Performance("roc_auc", 0.7, 0.68, 0.72, 0.81, 0.8, 0.82, 400, 10, Outcome.FAIL, "worse")
DECISION = r.Decision(True, ("labelled rows grew by 30 %",))
GATES = r.GateReport("churn", 3, (r.GateResult("floor", Outcome.FAIL, "AUC <b>0.5</b>", 0.5),), 2)
RECORDS = {
    "forest": r.Training("churn", "run", "roc_auc", (BEST, r.Candidate("knn", error="boom"))),
    "0.8123 [0.8000, 0.8200]": BEST,
    "champion": VERSION,
    "refused against champion version 2": GATES,
    "drifted: 500 rows against 1,000": DRIFT,
    "drifted and harmed": r.MonitorReport(
        "churn", 3, Outcome.FAIL, ("temp moved",), DECISION, DRIFT, WORSE, html="report.html"
    ),
    "none → staging": r.History(
        "churn",
        (r.Entry(1, "0" * 64, "i", "2026-01-01T10:00:00", "ada", "stage", 3, "none", "staging"),),
        ("alias champion was moved by hand",),
    ),
    "12 labels accepted": r.Feedback("churn", 12, repeated=2, unmatched=1),
    "3 predictions and 1 label erased": r.Erasure("churn", 3, unsealed=2, labels=1, entry=7),
    "1,000 rows/s": r.Scored("churn", 3, 1000, "out.parquet", 1.0, "onnx", resumed_rows=10),
    "trained and refused": r.Retraining("churn", DECISION, VERSION, GATES, refused="floor"),
    "not retrained": r.Retraining("churn", r.Decision(False, ("nothing new",))),
    "1 model": (r.Status("churn", VERSION, 3, "yes"),),
    "canary of version 4 at 5 %": (r.Status("a", None, 4, rollout="canary of version 4 at 5 %"),),
    "1 problem found": r.Diagnosis((r.Finding("uv", Outcome.FAIL, "missing", "install uv"),)),
    "labelled rows grew": DECISION,
}


@pytest.mark.parametrize("words", RECORDS)
def test_every_record_says_what_people_look_for(words: str):
    assert words in " ".join(terminal.text(RECORDS[words], width=200).split())


@pytest.mark.parametrize("words", RECORDS)
def test_the_notebook_shows_the_same_sheet(words: str):
    page = notebook.html(RECORDS[words])
    shown = sheet(RECORDS[words])
    drawn = page.count("<tr>") - page.count("<thead>")
    assert drawn == len(shown.rows) + len(shown.facts) + len(shown.rest)
    assert page.count("<p>") == len(shown.notes)


def test_notebook_text_is_escaped():
    page = notebook.html(GATES)
    assert "&lt;b&gt;0.5" in page
    assert "<b>0.5" not in page


def test_marks_follow_outcomes():
    assert sheet(GATES).mark == BAD
    assert sheet(r.GateReport("churn", 1, ())).mark == GOOD


def test_many_columns_are_counted_not_listed():
    columns = {f"c{i}": r.ColumnDrift(f"c{i}", "numeric", False, Outcome.PASS) for i in range(30)}
    shown = sheet(r.DriftReport(Outcome.PASS, columns, 10, 10))
    assert len(shown.rows) == 12
    assert len(shown.rest) == 18
    assert shown.folded == "18 more columns, none of them worse"
    assert shown.folded in terminal.text(shown)


def test_a_training_shows_few_metrics_and_its_candidate_all():
    metrics = (AUC, *(r.Metric(f"m{i}", 0.5) for i in range(6)))
    best = r.Candidate("forest", "run1", metrics=metrics)
    headers = sheet(r.Training("churn", "run", "roc_auc", (best,))).headers
    assert headers[2:6] == ("roc_auc", "m0", "m1", "m2")
    assert "m3" not in headers
    assert len(sheet(best).rows) == 7


def test_a_version_says_a_digest_once_and_short():
    digest = "sha256:" + "ab" * 32
    version = r.ModelVersion("churn", 3, digest=digest, tags={"lifecycle.compiled": digest})
    rows = dict(sheet(version).rows)
    assert rows["files"] == "sha256 abababababababab…"
    assert rows["compiled"] == "yes, sha256 abababababababab…"
    told = r.ModelVersion("churn", 3, tags={"lifecycle.compiled_how": "exact, on 3 rows"})
    assert dict(sheet(told).rows)["compiled how"] == "exact, on 3 rows"
    refused = r.ModelVersion("churn", 3, tags={"lifecycle.compiled": "no: no converter"})
    assert dict(sheet(refused).rows)["compiled"] == "no: no converter"


def test_labels_that_met_no_prediction_stand_out():
    assert sheet(r.Feedback("churn", 0, unmatched=1)).mark == UNSURE
    assert sheet(r.Feedback("churn", 1)).mark == ""
    assert sheet(r.Feedback("churn", 1)).title == "churn: 1 label accepted"


def test_plain_text_has_no_colour_codes():
    assert "\x1b" not in terminal.text(GATES)


def test_a_narrow_terminal_keeps_the_sentences():
    entry = r.Entry(1, "0" * 64, "i", "2026-01-01T10:00:00", "ada@host", "stage", 3, "staging",
                    "production", reason="the long reason")  # fmt: skip
    shown = terminal.text(r.History("c", (entry,)), width=80)
    assert all(word in shown for word in ("the", "long", "reason", "production"))
    assert "…" not in shown


def test_a_zero_has_no_sign():
    report = r.GateReport("c", 1, (r.GateResult("champion", Outcome.PASS, "why", 0.1, -0.0),))
    assert sheet(report).rows[0][3] == "0"


def test_a_model_that_is_due_for_retraining_is_flagged_though_it_is_fine():
    calm = r.DriftReport(Outcome.PASS, {}, 10, 10)
    due = r.MonitorReport("churn", 3, Outcome.PASS, (), DECISION, calm)
    assert due.exit_code == 2
    assert "due for retraining" in sheet(due).title
    assert sheet(due).mark == BAD


def test_a_long_cell_is_broken_into_lines_and_a_short_one_is_not():
    said = r.GateResult("floor", Outcome.PASS, "better than no skill " * 5)
    page = notebook.html(r.GateReport("churn", 2, (said,)))
    assert page.count('<td class="words"><bdi>better than') == 1
    assert "<td><bdi>pass" in page


def test_an_incident_shows_what_became_of_it():
    moves = (("incident", "champion", "opened"), ("stage", "staging", "production"))
    entries = tuple(
        r.Entry(at, "0" * 64, "i", "2026-01-01T10:00:00", "ada", kind, 3, source, to)
        for at, (kind, source, to) in enumerate(moves, start=1)
    )
    shown = [row[5] for row in sheet(r.History("churn", entries)).rows]
    assert shown == ["opened", "staging → production"]
