"""Checks of a served model with its labels: coverage, estimate, calibration, slices, late rows."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from lifecycle.config import Config
from lifecycle.records import MonitorReport, Outcome
from lifecycle.workflows.feedback import feedback
from lifecycle.workflows.monitor import monitor
from lifecycle.workflows.score import score

Make = Callable[..., pd.DataFrame]
LABEL = ["customer_id", "ts", "churned"]


@pytest.fixture
def live(serving: Config, make_churn: Make, tmp_path) -> pd.DataFrame:
    """Ten days that churn/1 answered; their labels have not come."""
    rows = make_churn(960, seed=7, start="2026-02-01")
    rows.drop(columns="churned").to_parquet(tmp_path / "live.parquet")
    score(serving, "churn", tmp_path / "live.parquet", None)
    return rows


def check(config: Config, **options) -> MonitorReport:
    return monitor(config, since="2026-02-01", until="2026-03-01", **options)


@pytest.mark.usefixtures("live")
def test_before_labels_come_there_is_an_estimate(serving):
    report = check(serving)
    assert report.performance is None
    assert (report.labels.rows, report.labels.labelled) == (960, 0)
    assert report.labels.oldest_missing == "2026-02-01T00:00:00"
    assert report.estimate.method == "cbpe"
    assert report.estimate.low < report.estimate.value < report.estimate.high
    assert report.estimate.expected is not None
    assert report.estimate.holds is None
    assert report.calibration.outcome is Outcome.UNSURE


def test_labels_judge_the_estimate_and_the_scores(serving, live):
    feedback(serving, live[LABEL])
    report = check(serving)
    assert report.labels.reason == "every row has its label"
    assert report.estimate.holds is True
    assert report.estimate.realised == pytest.approx(report.performance.value)
    assert report.calibration.outcome is Outcome.PASS
    assert sum(item.rows for item in report.calibration.bins) == 960
    assert len(report.performance.over_time) == 10, "days"
    assert report.slices
    tree = report.to_dict()
    assert tree["labels"]["missing"] == 0
    assert tree["estimate"]["assumption"]


def test_labels_that_turn_round_are_told_in_each_way(serving, live):
    feedback(serving, live.assign(churned=1 - live["churned"])[LABEL])
    report = check(serving)
    assert report.harmed
    assert report.estimate.holds is False
    assert report.calibration.outcome is Outcome.FAIL
    assert any("the estimate without labels is not to be relied on" in r for r in report.reasons)
    assert any("labels at equal scores have changed" in r for r in report.reasons)


def test_labels_that_only_some_customers_get_are_flagged(serving, live):
    chance = np.random.default_rng(0).random(len(live))
    known = np.where(live["plan"] == "pro", chance < 0.2, chance < 0.95)
    feedback(serving, live[known][LABEL])
    report = check(serving)
    assert report.labels.selective
    assert report.labels.column == "plan"
    assert any("missing selectively" in reason for reason in report.reasons)


def test_a_segment_is_held_against_its_own_hold_out(serving, live):
    feedback(serving, live[LABEL])
    whole, basic = check(serving), check(serving, segment="plan=basic")
    assert basic.labels.rows == (live["plan"] == "basic").sum()
    assert basic.performance.expected != whole.performance.expected
    assert basic.performance.outcome is Outcome.PASS
    assert not basic.harmed


@pytest.mark.usefixtures("live")
def test_rows_behind_their_window_are_named_in_the_next_check(serving, make_churn, tmp_path):
    monitor(serving)
    late = make_churn(12, seed=9, start="2026-02-03 00:07")
    now = make_churn(96, seed=10, start="2026-02-20")
    pd.concat([late, now]).drop(columns="churned").to_parquet(tmp_path / "late.parquet")
    score(serving, "churn", tmp_path / "late.parquet", None)
    report = monitor(serving)
    assert report.late_rows == 12
    assert any("12 rows came later than the window they belong to" in r for r in report.reasons)
    assert report.drift.current_rows == 96


def test_a_table_has_its_labels_in_the_target(serving, make_churn):
    rows = make_churn(600, seed=11, start="2026-02-01").astype({"churned": "Int64"})
    rows.loc[::5, "churned"] = pd.NA
    report = monitor(serving, rows)
    assert (report.labels.rows, report.labels.missing) == (600, 120)
    assert report.labels.outcome is Outcome.PASS
    assert report.estimate.labelled_rows == 480
