"""What labels say of a champion: harm, growth and losses, from tables as from the log."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from lifecycle.records import Column, Metric, ModelSpec, ModelVersion, Outcome
from lifecycle.workflows.judge import LEAST_LABELS, judge
from lifecycle.workflows.live import Live

VERSION = ModelVersion("churn", 3)
SPEC = ModelSpec(
    1,
    "binary",
    (Column("x", "double"),),
    target="late",
    classes=(0, 1),
    primary_metric="accuracy",
    metrics=(Metric("accuracy", 0.9, 0.88, 0.92),),
    trained_rows=1_000,
)


def live(rows, *, right, labelled=None):
    """Rows of which a share is answered rightly; labels of the first few only."""
    truth = np.arange(rows) % 2
    answers = np.where(np.arange(rows) < right * rows, truth, 1 - truth)
    order = np.random.default_rng(0).permutation(rows)
    labels = truth[order].tolist()
    known = rows if labelled is None else labelled
    return Live(
        pl.DataFrame({"x": np.zeros(rows), "prediction": answers[order]}),
        pl.Series("label", [*labels[:known], *[None] * (rows - known)], dtype=pl.Int64),
        pl.Series("time", [None] * rows, dtype=pl.Datetime("us")),
    )


def test_a_model_as_good_as_before_is_not_harmed(config):
    judged = judge(config, VERSION, SPEC, live(200, right=0.9), drifted=False)
    assert judged.performance.outcome is Outcome.PASS
    assert judged.performance.value == pytest.approx(0.9)
    assert not judged.decision.retrain


def test_a_model_that_is_worse_is_harmed_and_called_for(config):
    judged = judge(config, VERSION, SPEC, live(200, right=0.7), drifted=False)
    assert judged.performance.harmed
    assert judged.decision.retrain
    assert "worse on live rows" in judged.decision.reasons[0]


def test_drift_alone_calls_for_a_look_only(config):
    judged = judge(config, VERSION, SPEC, live(100, right=0.9, labelled=0), drifted=True)
    assert judged.performance is None
    assert not judged.decision.retrain
    assert "look at them" in judged.decision.reasons[0]


@pytest.mark.parametrize(("rows", "called"), [(249, False), (250, True)])
def test_a_quarter_more_labelled_rows_calls_for_training(config, rows, called):
    judged = judge(config, VERSION, SPEC, live(rows, right=0.9), drifted=False)
    assert judged.decision.retrain is called


def test_only_labelled_rows_count(config):
    judged = judge(config, VERSION, SPEC, live(400, right=0.9, labelled=100), drifted=False)
    assert judged.performance.labelled_rows == 100
    assert judged.performance.unlabelled_rows == 300
    assert not judged.decision.retrain


@pytest.mark.parametrize("labelled", [LEAST_LABELS - 1, LEAST_LABELS])
def test_a_loss_needs_enough_labels(config, labelled):
    judged = judge(config, VERSION, SPEC, live(100, right=0.9, labelled=labelled), drifted=False)
    told = any("one labelled window" in item for item in judged.decision.reasons)
    assert told is (labelled == LEAST_LABELS)


def test_rows_without_predictions_are_not_judged(config):
    given = live(100, right=0.9)
    given = replace(given, rows=given.rows.drop("prediction"))
    assert judge(config, VERSION, SPEC, given, drifted=False).performance is None
