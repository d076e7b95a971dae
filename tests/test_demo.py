"""The story that the README tells, on the real flights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str, Path]:
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "lifecycle", "demo", "--json", "--keep", str(folder)]
    answer = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=dict(os.environ)
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return json.loads(answer.stdout), answer.stderr, folder


def test_the_bad_candidate_is_refused_with_its_exit_code(told):
    assert told[0]["refused_with"] == 2


def test_march_passes_and_april_is_flagged_with_its_columns(told):
    assert told[0]["march"] == "pass"
    assert told[0]["april"] == "fail"
    assert "temp" in told[0]["drifted_columns"]


def test_what_days_share_is_no_harm_and_retraining_gains(told):
    assert told[0]["harmed"] is False
    assert told[0]["gain_low"] > 0
    assert told[0]["gain_low"] < told[0]["gain"] < told[0]["gain_high"]


def test_rollback_returns_to_the_first_version(told):
    assert told[0]["rolled_back_to"] == told[0]["promoted"] != told[0]["retrained"]


def test_the_report_and_the_registry_are_left_for_a_look(told):
    report = Path(told[0]["report"])
    assert report.stat().st_size > 1_000_000
    assert (told[2] / "mlflow.db").is_file()


def test_every_flight_that_was_served_is_in_the_log(told):
    import polars as pl

    logged = pl.read_parquet(told[2] / "lifecycle-log/model=flights/date=*/*.parquet")
    assert logged["prediction_id"].n_unique() == logged.height
    keys = logged["key"].n_unique()
    assert keys == logged.height, "each flight was sent once"


def test_the_story_is_told_in_about_25_lines(told):
    lines = [line for line in told[1].splitlines() if line.strip()]
    assert 18 <= len(lines) <= 34, told[1]
    assert lines[-1].split()[0] == "look"
