"""Checks in a row: what they are asked for in a notebook."""

import json

import pandas as pd

from lifecycle.records import Check, Checks, Outcome

FIRST = Check("2026-03-08T01:00:00+00:00", 3, Outcome.PASS, ("2026-03-01", "2026-03-07T23:00:00"),
              effects={"charges": 0.1}, metric="mae", run_id="a")  # fmt: skip
LATER = Check("2026-03-20T01:00:00+00:00", 3, Outcome.FAIL, FIRST.window, effects=FIRST.effects,
              drifted_columns=("charges",), metric="mae", value=0.5, run_id="b")  # fmt: skip
OTHER = Check("2026-03-15T01:00:00+00:00", 3, Outcome.UNSURE, run_id="c")
CHECKS = Checks("churn", (FIRST, LATER, OTHER))


def test_they_are_a_sequence():
    assert len(CHECKS) == 3
    assert list(CHECKS) == [FIRST, LATER, OTHER]
    assert CHECKS[-1] is OTHER


def test_the_last_check_of_a_window_counts():
    assert CHECKS.latest == (LATER, OTHER)
    parts = Checks("churn", (FIRST, Check(**{**FIRST.__dict__, "part": "plan=pro"})))
    assert len(parts.latest) == 2, "a part of the rows is another check"


def test_a_check_without_a_window_is_about_the_moment_it_was_made():
    assert OTHER.end == OTHER.time
    assert FIRST.end == "2026-03-07T23:00:00"


def test_they_are_json():
    tree = json.loads(json.dumps(CHECKS.to_dict()))
    assert tree["name"] == "churn"
    assert [item["outcome"] for item in tree["checks"]] == ["pass", "fail", "not enough evidence"]
    assert [item["drifted"] for item in tree["checks"]] == [False, True, False]


def test_they_are_a_frame():
    frame = CHECKS.to_frame()
    assert list(frame["start"]) == [pd.Timestamp("2026-03-01")] * 2 + [pd.NaT]
    assert list(frame["drifted"]) == [False, True, False]
    assert frame["effect of charges"].tolist()[:2] == [0.1, 0.1]
    assert frame["value"].iloc[1] == 0.5
    assert Checks("churn", ()).to_frame().empty
