"""Evidently's page: what it can draw is drawn, what it cannot is named, the verdict is ours."""

import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pytest

from lifecycle.drift import compare_frames
from lifecycle.drift.evidently_report import _drawn, _sampled, _with_verdict, drawable, html
from lifecycle.records import ColumnDrift, DriftReport, Outcome


def column(name, kind, *, drifted=False, test="location", reason="", score=0.1):
    outcome = Outcome.FAIL if drifted else Outcome.PASS
    return ColumnDrift(name, kind, drifted, outcome, score=score, test=test, reason=reason)


def report(*columns, reasons=()):
    found = {item.name: item for item in columns}
    bad = any(item.drifted for item in columns)
    return DriftReport(
        Outcome.FAIL if bad else Outcome.PASS,
        found,
        reference_rows=40,
        current_rows=20,
        reasons=tuple(reasons),
    )


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)

    def made(rows):
        return pd.DataFrame(
            {
                "x": rng.normal(size=rows),
                "plan": rng.choice(["a", "b"], rows),
                "flag": rng.random(rows) < 0.5,
                "when": pd.date_range("2026-01-01", periods=rows),
                "empty": np.full(rows, np.nan),
            }
        )

    return made(40), made(20)


def test_columns_are_sorted_by_what_can_be_drawn(frames):
    before, after = frames
    given = report(
        column("x", "numeric"),
        column("plan", "categorical"),
        column("flag", "boolean"),
        column("when", "datetime"),
        column("empty", "numeric"),
        column("gone", "numeric"),
        column("odd", "numeric", test="schema", reason="odd became text"),
    )
    numeric, levels, left_out = drawable(before.assign(odd=1), after.assign(odd="1"), given)
    assert numeric == ["x"]
    assert levels == ["plan", "flag"]
    assert left_out == {
        "when": "Evidently has no picture for datetime columns",
        "empty": "one side has no value",
        "gone": "it is not on both sides",
        "odd": "odd became text",
    }


def test_drawn_rows_are_a_seeded_sample_in_order():
    frame = pd.DataFrame({"x": range(100)})
    some = _sampled(frame, 10, 0)["x"].tolist()
    assert len(some) == 10
    assert some == sorted(some)
    assert some == _sampled(frame, 10, 0)["x"].tolist()
    assert some == _sampled(pl.from_pandas(frame), 10, 0)["x"].tolist()
    assert some != _sampled(frame, 10, 1)["x"].tolist()
    assert _sampled(frame, 100, 0)["x"].tolist() == list(range(100))
    assert _sampled(pl.DataFrame(), 100, 0).empty


def test_drawn_values_are_what_evidently_takes():
    frame = pd.DataFrame(
        {
            "number": [1.0, np.inf, None],
            "wait": [dt.timedelta(minutes=1), None, dt.timedelta(seconds=2)],
            "flag": [True, False, None],
        }
    )
    drawn = _drawn(frame, ["number", "wait"], ["flag"])
    assert drawn["number"].tolist()[0] == 1.0
    assert drawn["number"].isna().tolist() == [False, True, True]
    assert drawn["wait"].tolist()[::2] == [60.0, 2.0]
    assert drawn["flag"].tolist() == ["True", "False", None]


def test_the_verdict_stands_above_the_page_and_is_escaped():
    given = report(column("x", "numeric", drifted=True), reasons=["x < 3 & higher"])
    page = _with_verdict("<html><body><p>theirs</p></body></html>", given, {"<b>": "a > b"})
    assert page.index("Drift: fail") < page.index("theirs")
    assert "x &lt; 3 &amp; higher" in page
    assert "not drawn: &lt;b&gt; (a &gt; b)" in page
    assert "20 live rows against 40 reference rows" in page


def test_without_anything_to_draw_the_page_is_the_verdict():
    empty = pd.DataFrame({"when": pd.date_range("2026-01-01", periods=3)})
    page = html(empty, empty, report(column("when", "datetime")))
    assert page.startswith("<!DOCTYPE html>")
    assert "Drift: pass" in page
    assert "not drawn: when" in page


def test_evidently_shows_our_score_and_our_verdict(frames):
    pytest.importorskip("evidently")
    before, after = frames
    given = report(
        column("x", "numeric", drifted=True, score=0.4321), column("plan", "categorical")
    )
    page = html(before, after, given, sample=15)
    assert "0.4321" in page
    assert "verdict of lifecycle" in page
    assert page.count("<body>") == 1


def test_what_has_no_value_in_the_sample_is_left_out_not_a_crash():
    frame = pl.DataFrame(
        {
            "rare": [1.0] + [None] * 3_999,
            "endless": [float("inf")] * 4_000,
            "x": [float(place % 70) for place in range(4_000)],
        }
    )
    page = html(frame, frame, compare_frames(frame, frame), sample=50)
    for name in ("rare", "endless"):
        assert f"not drawn: {name} (one side has no value)" in page
