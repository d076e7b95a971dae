"""Windows of the log: complete ones only, each once and by itself, none left out."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import polars as pl
import pytest

from lifecycle.config import Config
from lifecycle.errors import ConfigError, DataError, LogError, ModelNotFound
from lifecycle.records import MonitorReport, Outcome
from lifecycle.stores import checks
from lifecycle.stores.ledger import Ledger
from lifecycle.stores.predictions import PredictionLog
from lifecycle.stores.tracking import connect
from lifecycle.workflows.feedback import feedback
from lifecycle.workflows.monitor import monitor
from lifecycle.workflows.score import score
from lifecycle.workflows.status import status

Make = Callable[..., pd.DataFrame]
HOLDER = """
import sys
from lifecycle.stores.turns import turn
with turn(sys.argv[1], "churn"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def found_runs(config: Config) -> list:
    client = connect(config)
    experiment = client.get_experiment_by_name("churn/monitoring")
    found = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    return [run for run in found if run.info.status == "FINISHED"]


def ends(config: Config) -> list[str]:
    """Where the recorded windows end, in the order they were checked."""
    return [run.data.tags[checks.WINDOW_END][:16] for run in found_runs(config)]


def all_of(report: MonitorReport) -> list[MonitorReport]:
    return [*report.earlier, report]


@pytest.fixture
def logged(serving: Config, make_churn: Make) -> Config:
    """Five days of predictions, 96 a day, from noon of 2025-03-03."""
    live = make_churn(480, seed=1, start="2025-03-03 12:00").drop(columns="churned")
    score(serving, "churn", live)
    return serving


def test_missed_windows_are_caught_up_one_run_each(logged: Config) -> None:
    report = monitor(logged, every="1d", until="2025-03-06 09:00")
    assert [item.drift.current_rows for item in all_of(report)] == [48, 96, 96]
    assert ends(logged) == ["2025-03-04T00:00", "2025-03-05T00:00", "2025-03-06T00:00"]
    assert len({item.run_id for item in all_of(report)}) == 3
    assert report.exit_code == max(item.exit_code for item in all_of(report))
    assert report.to_dict()["earlier"][0]["run_id"] == report.earlier[0].run_id

    waiting = monitor(logged, every="1d", until="2025-03-06 09:00")
    assert waiting.waiting
    assert (waiting.exit_code, waiting.run_id) == (0, "")
    assert waiting.reasons == (
        "nothing to check yet: 36 rows wait for the end of their window, 2025-03-07 00:00",
    )
    assert len(found_runs(logged)) == 3, "the same windows again change nothing"

    later = monitor(logged, every="1d", until="2025-03-08 01:00")
    assert [item.drift.current_rows for item in all_of(later)] == [96, 96]
    assert ends(logged)[3:] == ["2025-03-07T00:00", "2025-03-08T00:00"]


def test_one_call_catches_up_so_many_windows_the_oldest_first(logged: Config) -> None:
    few = logged.with_values(monitor__catch_up=2, monitor__every="12h")
    first = monitor(few, until="2025-03-05 12:00")
    assert ends(logged) == ["2025-03-04T00:00", "2025-03-04T12:00"]
    assert any(note.startswith("2 more windows are due, behind 2025-03-04") for note in first.notes)
    second = monitor(few, until="2025-03-05 12:00")
    assert ends(logged)[2:] == ["2025-03-05T00:00", "2025-03-05T12:00"]
    assert not second.notes


def test_windows_of_rows_and_the_rest_waits(logged: Config) -> None:
    report = monitor(logged, rows=150)
    assert [item.drift.current_rows for item in all_of(report)] == [150, 150, 150]
    waiting = monitor(logged, rows=150)
    assert waiting.reasons == ("nothing to check yet: 30 rows wait for 120 more",)
    assert waiting.exit_code == 0
    assert len(found_runs(logged)) == 3


def test_nothing_that_was_ever_complete_is_not_enough_evidence(serving: Config) -> None:
    never = monitor(serving, every="1d")
    assert (never.exit_code, never.waiting) == (3, True)
    assert never.reasons == ("nothing to check yet: no row has been logged",)
    assert found_runs(serving) == []


def test_windows_without_rows_are_named_and_silence_is_no_all_clear(
    logged: Config, make_churn: Make
) -> None:
    score(logged, "churn", make_churn(96, seed=2, start="2025-03-11").drop(columns="churned"))
    report = monitor(logged, every="1d", since="2025-03-07", until="2025-03-14 06:00")
    assert len(found_runs(logged)) == 3
    assert "2 windows without rows were skipped" in report.notes
    assert report.exit_code == 3
    assert report.reasons[0].startswith("churn/1 logged no predictions")
    assert len(report.earlier) == 3
    again = monitor(logged, every="1d", until="2025-03-14 06:00")
    assert again.exit_code == 3, "as long as nothing is logged"
    assert len(found_runs(logged)) == 3


def test_a_window_that_is_named_is_one_window_whatever_is_configured(logged: Config) -> None:
    daily = logged.with_values(monitor__every="1d")
    report = monitor(daily, since="2025-03-04", until="2025-03-06")
    assert report.drift.current_rows == 192
    assert monitor(daily, since="2025-03-04", until="2025-03-06").repeated
    windows = monitor(daily, since="2025-03-06", until="2025-03-08", every="1d")
    assert [item.drift.current_rows for item in all_of(windows)] == [96, 96]
    told = monitor(daily, since="2025-03-06", until="2025-03-08", every="1d")
    assert [item.repeated for item in all_of(told)] == [True, True]


def test_an_old_window_looked_at_again_does_not_turn_the_clock_back(logged: Config) -> None:
    monitor(logged, every="1d", until="2025-03-05")
    monitor(logged, since="2025-03-03", until="2025-03-04 06:00")
    assert monitor(logged, every="1d", until="2025-03-05").waiting


def test_a_row_of_the_future_does_not_stop_the_checks(logged: Config, make_churn: Make) -> None:
    wrong = make_churn(1, seed=9, start="2199-01-01").drop(columns="churned")
    score(logged, "churn", wrong)
    first = monitor(logged)
    assert first.drift.current_rows == 481
    assert found_runs(logged)[0].data.tags[checks.WINDOW_END] < "2199"
    assert monitor(logged, every="1d", until="2025-03-09").waiting


def test_a_year_of_alarms_is_shared_by_the_length_of_the_windows(logged: Config) -> None:
    yearly = logged.with_values(monitor__alarms_per_year=4)
    report = monitor(yearly, every="1d", until="2025-03-05")
    half, day = report.earlier[0], report
    assert day.drift.alpha == pytest.approx(4 / 365.25 / 2), "half for drift, half for harm"
    assert half.drift.alpha == pytest.approx(day.drift.alpha), "the window is a day all the same"
    said = "alpha 0.011: 4 false alarms a year for 24 h; half for drift, half for harm"
    assert said in day.reasons
    other = connect(logged).create_experiment("flights/monitoring")
    connect(logged).set_experiment_tag(other, checks.CHECKED, "2999-01-01T00:00:00+00:00")
    shared = monitor(yearly, every="6h", until="2025-03-05 06:00")
    assert shared.drift.alpha == pytest.approx(day.drift.alpha / 4 / 2), "two models"
    repeated = monitor(yearly, since="2025-03-04", until="2025-03-05")
    assert repeated.repeated
    assert repeated.drift.alpha == pytest.approx(day.drift.alpha), "as when it was recorded"
    assert repeated.reasons[-1].endswith("what this check had when it was recorded")
    assert monitor(logged, since="2025-03-05", until="2025-03-06").drift.alpha == 0.01


def test_rows_without_a_time_have_no_part_in_a_year(serving: Config, make_churn: Make) -> None:
    table = make_churn(60, seed=3).drop(columns=["ts", "churned"])
    report = monitor(serving, table, alarms_per_year=4)
    assert any("have no part in alarms a year" in reason for reason in report.reasons)


def test_arms_and_versions_and_segments_follow_their_own_windows(logged: Config) -> None:
    log = PredictionLog(logged.log.dir)
    rows = log.read("churn").head(120)
    twice = rows.with_columns(arm=pl.lit("shadow"), prediction_id=rows["prediction_id"] + "s")
    log.write("churn", twice)
    whole = monitor(logged, until="2025-03-05")
    arm = monitor(logged, arm="shadow")
    assert arm.drift.current_rows == 120
    assert monitor(logged, arm="shadow").exit_code == 3
    segment = monitor(logged, segment="plan=pro", until="2025-03-05")
    assert 0 < segment.drift.current_rows < whole.drift.current_rows
    assert segment.drift.reference_rows < whole.drift.reference_rows, "held against its like"
    assert segment.decision.reasons == (
        "a check of the champion's rows as a whole decides on retraining",
    )
    scopes = [run.data.tags[checks.SCOPE] for run in found_runs(logged)]
    assert scopes == ["champion", "champion, arm shadow", "champion, plan=pro"]
    assert monitor(logged, version=1, until="2025-03-05").exit_code == 3, "the champion it is"
    assert status(logged)[0].last_check.endswith(str(whole.outcome))
    with pytest.raises(DataError, match="no arm 'shadwo' of churn/1"):
        monitor(logged, arm="shadwo", since="2025-03-03")
    with pytest.raises(DataError, match="plan=gold"):
        monitor(logged, segment="plan=gold")
    with pytest.raises(DataError, match="no column 'plam'"):
        monitor(logged, segment="plam=pro")
    for version in (9, "churn/9"):
        with pytest.raises(ModelNotFound):
            monitor(logged, version=version)
    with pytest.raises(ModelNotFound, match="not a version of churn"):
        monitor(logged, version="flights/1")


def test_a_harmed_segment_is_no_call_for_training(logged: Config, make_churn: Make) -> None:
    live = make_churn(480, seed=1, start="2025-03-03 12:00")
    feedback(logged, live.assign(churned=1 - live["churned"])[["customer_id", "ts", "churned"]])
    report = monitor(logged, segment="plan=basic")
    assert report.harmed
    assert not report.retrain
    assert report.performance.expected is not None, "of the hold-out's rows of the segment"
    table = monitor(logged, live, segment="plan=basic")
    assert table.drift.current_rows == (live["plan"] == "basic").sum()
    whole = monitor(logged)
    assert whole.harmed
    assert whole.retrain
    flags = [e for e in Ledger(connect(logged), "churn").entries() if e.kind == "flag"]
    assert flags[-1].extra["retrain"]
    assert "part" not in flags[-1].extra


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"every": "1d", "rows": 5}, "are both given"),
        ({"every": "daily"}, "'every' is 'daily', which is no length"),
        ({"rows": -5}, "'rows' is -5"),
        ({"alarms_per_year": -1.0}, "'alarms_per_year' is -1"),
        ({"alarms_per_year": float("nan")}, "'alarms_per_year' is nan"),
        ({"notify": ["nonsense://hunter2"]}, "^nonsense://… is no address"),
        ({"notify": ["env:NOBODY_SET_IT"]}, "NOBODY_SET_IT"),
    ],
)
def test_a_call_that_cannot_be_done_does_nothing(
    logged: Config, options: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as told:
        monitor(logged, **options)
    assert told.value.fix
    assert "hunter2" not in str(told.value)
    assert connect(logged).get_experiment_by_name("churn/monitoring") is None


def test_a_table_has_no_windows_and_no_arms(serving: Config, make_churn: Make) -> None:
    for options in ({"every": "1d"}, {"rows": 10}, {"arm": "shadow"}):
        with pytest.raises(ConfigError, match="not from a table"):
            monitor(serving, make_churn(40), **options)
    daily = serving.with_values(monitor__every="1d")
    assert monitor(daily, make_churn(60, seed=2)).drift.current_rows == 60


def test_both_lengths_in_the_configuration_are_refused_with_its_place(serving: Config) -> None:
    both = replace(serving.with_values(monitor__every="1d", monitor__rows=9), path="here.toml")
    with pytest.raises(ConfigError, match="are both given") as told:
        monitor(both)
    assert told.value.where == "here.toml"
    assert monitor(both, rows=50).waiting, "what is asked for wins"


def test_a_second_check_is_told_and_nothing_is_lost(logged: Config) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, logged.log.dir],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(
            LogError, match=rf"another check of churn is running \(pid {holder.pid}"
        ):
            monitor(logged, every="1d", until="2025-03-05")
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()
    monitor(logged, every="1d", until="2025-03-05")
    assert len(found_runs(logged)) == 2


def test_a_late_row_is_told_of(logged: Config, make_churn: Make) -> None:
    monitor(logged, every="1d", until="2025-03-05")
    late = make_churn(3, seed=5, start="2025-03-03 13:00").drop(columns="churned")
    score(logged, "churn", late)
    report = monitor(logged, every="1d", until="2025-03-07")
    assert [item.late_rows for item in all_of(report)] == [3, 0], "counted once"


def test_an_outcome_of_any_window_is_that_of_the_call(logged: Config, make_churn: Make) -> None:
    calm = make_churn(96, seed=1, start="2025-03-09").drop(columns="churned")
    moved = calm.assign(charges=calm["charges"] + 60)
    score(logged, "churn", moved)
    score(logged, "churn", make_churn(96, seed=4, start="2025-03-10").drop(columns="churned"))
    report = monitor(logged, every="1d", since="2025-03-09", until="2025-03-11")
    assert [item.outcome for item in all_of(report)] == [Outcome.FAIL, Outcome.PASS]
    assert report.exit_code == 2
