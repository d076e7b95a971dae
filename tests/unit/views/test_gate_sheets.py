"""A gate report in a terminal, a notebook and as a picture."""

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.records import GateReport, GateResult, Outcome
from lifecycle.views import notebook, pages, terminal
from lifecycle.views.gate_sheets import MOST, gates, picture

FLOOR = GateResult("floor.roc_auc", Outcome.PASS, "at least 0.7", 0.8, 0.7, 0.76, 0.84)
WORSE = GateResult("champion", Outcome.FAIL, "worse <b>by far</b>", -0.04, 0.0, -0.06, -0.02)
OPEN = GateResult("slices.plan=pro", Outcome.UNSURE, "12 rows", -0.01, -0.02, -0.2, 0.2)
QUICK = GateResult("latency", Outcome.PASS, "one row takes 0.3 ms", 0.3, 50.0)
COUNTED = GateResult("traffic.units", Outcome.PASS, "no column", 0.0, 0.0)
REPORT = GateReport("churn", 3, (FLOOR, WORSE, QUICK, OPEN, COUNTED), 2, digest="ab" * 32)


def test_refusals_stand_first_and_the_title_counts_them() -> None:
    shown = gates(REPORT)
    assert [row[0] for row in shown.rows] == [
        "champion",
        "slices.plan=pro",
        "floor.roc_auc",
        "latency",
        "traffic.units",
    ]
    assert shown.title == (
        "churn version 3 refused against champion version 2: 5 checks (1 refuse, 1 open)"
    )
    assert shown.mark == "bad"
    assert "evidence sha256 abababababababab…" in shown.notes


@pytest.mark.parametrize(
    ("results", "title"),
    [
        ((FLOOR, QUICK), "churn version 3 passed: 2 checks"),
        ((OPEN,), "churn version 3 not enough evidence: 1 check (1 open)"),
        ((), "churn version 3 passed: 0 checks"),
    ],
)
def test_titles(results: tuple[GateResult, ...], title: str) -> None:
    assert gates(GateReport("churn", 3, results)).title == title


def test_interval_stands_below_its_figure_and_text_is_harmless() -> None:
    shown = terminal.text(REPORT, width=160)
    assert "-0.04" in shown
    assert "[-0.06, -0.02]" in shown
    page = notebook.html(REPORT)
    assert "<b>by far" not in page
    assert "<small>[0.76, 0.84]</small>" in page


def test_terminal_of_ascii_alone() -> None:
    assert terminal.text(REPORT, width=60, blocks=False).count("champion") >= 1


def test_picture_has_a_row_for_each_figure_with_a_limit() -> None:
    drawn = picture(REPORT.results)
    ElementTree.fromstring(drawn)
    assert drawn.count("<circle") == 4  # a count of findings is no figure to see
    assert "traffic.units" not in drawn
    assert "by far&lt;/b&gt;" in drawn
    assert picture([COUNTED]) == ""
    assert picture([GateResult("sanity", Outcome.PASS, "fine")]) == ""


def test_many_slices_are_cut() -> None:
    drawn = picture([OPEN] * 100)
    assert drawn.count("<circle") == MOST


FINITE = st.floats(-1e6, 1e6)


@settings(max_examples=40, deadline=None)
@given(FINITE, FINITE, st.none() | st.tuples(FINITE, FINITE), st.sampled_from(Outcome))
def test_marks_stay_within_the_picture(
    value: float, limit: float, ends: tuple[float, float] | None, outcome: Outcome
) -> None:
    low, high = sorted(ends) if ends else (None, None)
    drawn = picture([GateResult("g", outcome, "why", value, limit, low, high)])
    for place in re.findall(r'(?:cx|x1|x2)="([^"]+)"', drawn):
        assert 0.0 <= float(place) <= 800.0


def test_page_stands_alone() -> None:
    page = pages.page("churn version 3: gates", [REPORT])
    assert page.startswith("<!doctype html>")
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in page
    assert page.count("<svg") == 1
