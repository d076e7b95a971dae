"""A log that holds no clear values of some columns is monitored by the others, which is said."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import polars as pl
import pytest

from lifecycle.config import Config
from lifecycle.records import Outcome
from lifecycle.stores import ids
from lifecycle.stores.masking import Mask
from lifecycle.stores.predictions import PredictionLog
from lifecycle.views.terminal import text
from lifecycle.workflows.feedback import feedback
from lifecycle.workflows.monitor import monitor
from lifecycle.workflows.score import score

Make = Callable[..., pd.DataFrame]
MASK = {"log__drop": ("support_calls",), "log__hash": ("plan", "charges")}


@pytest.fixture
def masked(serving: Config, make_churn: Make) -> Config:
    """480 scored rows with their labels, whose log lacks one column and holds hashes of two."""
    config = serving.with_values(**MASK)
    live = make_churn(480, seed=1, start="2025-03-03 12:00")
    scored = score(config, "churn", live.drop(columns="churned"))
    labels = pd.DataFrame({"prediction_id": scored["prediction_id"], "label": live["churned"]})
    feedback(config, labels)
    return config


def test_scoring_logs_what_the_mask_allows(masked: Config) -> None:
    logged = PredictionLog(masked.log.dir).read("churn")["features"].struct.unnest()
    assert "support_calls" not in logged.columns
    assert logged.schema["charges"] == pl.String
    mask = Mask(hashed=("plan",), secret=ids.secret(masked.log.dir))
    assert set(logged["plan"]) == {mask.hash_of("plan", name) for name in ("basic", "plus", "pro")}
    assert logged["tenure"].dtype == pl.Float64


def test_masked_columns_are_named_as_not_monitored_and_judged_by_nobody(masked: Config) -> None:
    report = monitor(masked, since="2025-03-01")
    assert report.drift.not_monitored["support_calls"] == (
        "the log does not hold it, see [log] drop"
    )
    for name in ("plan", "charges"):
        assert report.drift.not_monitored[name] == "the log holds a hash of it, see [log] hash"
    assert not {"support_calls", "plan", "charges"} & report.drift.columns.keys()
    assert {"tenure", "paperless", "prediction"} <= report.drift.columns.keys()
    assert report.drift.outcome is not Outcome.FAIL, report.reasons
    assert report.performance.labelled_rows == 480
    shown = text(report)
    assert "plan: not monitored, the log holds a hash of it" in shown
    assert "support_calls: not monitored, the log does not hold it" in shown


def test_the_same_rows_in_a_table_are_monitored_by_all_columns(
    masked: Config, make_churn: Make
) -> None:
    live = make_churn(480, seed=1, start="2025-03-03 12:00")
    report = monitor(masked, live)
    assert {"support_calls", "plan", "charges"} <= report.drift.columns.keys()


def test_the_page_shows_the_columns_that_are_there(masked: Config, tmp_path: Path) -> None:
    monitor(masked, since="2025-03-01", html=tmp_path / "page.html")
    assert "tenure" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_segment_of_the_metrics_may_be_masked(masked: Config) -> None:
    config = masked.with_values(monitor__segments=("plan", "support_calls"))
    assert monitor(config, since="2025-03-01").performance is not None
