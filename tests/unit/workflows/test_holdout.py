"""The hold-out and what a version answered to it, as stored, as computed, and as missing."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from lifecycle.models import metrics
from lifecycle.models.predicting import Output
from lifecycle.records import Metric, ModelRef, ModelSpec, ModelVersion
from lifecycle.stores import artifacts, registry
from lifecycle.stores.tracking import connect
from lifecycle.workflows.holdout import Holdout, expected_in, holdout
from lifecycle.workflows.segments import Segment

SPEC = ModelSpec(1, "regression", (), target="y")


def champion(config):
    client = connect(config)
    version = registry.find(client, ModelRef("churn", alias="champion"))
    return client, version, artifacts.spec(client, version)


def stored(client, version) -> Path:
    root = client.get_run(version.tags[artifacts.SPEC_RUN]).info.artifact_uri
    return artifacts.local(root) / "lifecycle" / artifacts.ANSWERS


def test_the_answers_are_stored_with_a_training(serving):
    client, version, spec = champion(serving)
    before, why = holdout(client, serving, version, spec)
    assert why == ""
    assert before.rows.columns == list(spec.feature_names)
    assert len(before.labels) == spec.holdout_rows == before.rows.height
    found = metrics.evaluate("roc_auc", before.labels, None, before.output.scores, classes=(0, 1))
    assert found.value == pytest.approx(spec.metric.value)


def test_what_was_not_stored_is_computed_by_the_model(serving, monkeypatch):
    client, version, spec = champion(serving)
    with_file, _ = holdout(client, serving, version, spec)
    monkeypatch.setattr(artifacts, "ANSWERS", "data/never_stored.parquet")
    without, why = holdout(client, serving, version, spec)
    assert why == ""
    np.testing.assert_allclose(without.output.scores, with_file.output.scores)
    assert (without.output.prediction == with_file.output.prediction).all()


def test_every_candidate_keeps_its_own_answers(config, churn):
    from lifecycle.workflows.train import train

    training = train(
        config.with_values(models__compile=False), churn[:400],
        candidates=["dummy", "logistic_regression"],
    )  # fmt: skip
    client = connect(config)
    sizes = []
    for candidate in training.candidates:
        root = client.get_run(candidate.run_id).info.artifact_uri
        table = pd.read_parquet(artifacts.local(root) / "lifecycle" / artifacts.ANSWERS)
        sizes.append(table["score"].nunique())
    assert sizes[0] > 50, "the regression scores each row by itself"
    assert sizes[1] == 1, "the dummy scores all alike"


@pytest.mark.parametrize(
    "output",
    [
        Output(np.array([1.5, 2.5])),
        Output(np.array(["a", "b"], dtype=object), np.array([[0.7, 0.3], [0.2, 0.8]])),
        Output(np.array([True, False]), np.array([[0.3, 0.7], [0.8, 0.2]])),
        Output(np.array([2, 0]), np.array([[0.1, 0.2, 0.7], [0.6, 0.3, 0.1]])),
    ],
)
def test_answers_read_back_as_they_were(tmp_path, output):
    path = tmp_path / "answers.parquet"
    artifacts.answers_table(output).to_parquet(path, index=False)
    found = artifacts.as_output(pd.read_parquet(path))
    assert found.prediction.tolist() == output.prediction.tolist()
    if output.scores is None:
        assert found.scores is None
    else:
        np.testing.assert_allclose(found.scores, output.scores)


def test_a_version_without_hold_out_says_so(config):
    before, why = holdout(connect(config), config, ModelVersion("churn", 9), SPEC)
    assert before is None
    assert "churn/9 has no hold-out rows" in why


def test_the_expectation_for_a_segment_is_that_of_its_rows():
    rng = np.random.default_rng(0)
    y = rng.normal(size=400)
    plan = np.array(["pro", "basic"] * 200)
    guess = y + np.where(plan == "pro", 2.0, 0.1) * rng.normal(size=400)
    whole = Holdout(pl.DataFrame({"plan": plan}), y, Output(guess))
    spec = ModelSpec(
        1, "regression", (), primary_metric="rmse",
        metrics=(Metric("rmse", 1.4, 1.3, 1.5, False), Metric("mae", 1.0, 0.9, 1.1, False)),
    )  # fmt: skip
    hard = expected_in(spec, whole.part(Segment("plan", "pro")))
    easy = expected_in(spec, whole.part(Segment("plan", "basic")))
    assert hard.metric.value == pytest.approx(2.0, rel=0.15)
    assert easy.metric.value == pytest.approx(0.1, rel=0.15)
    assert hard.holdout_rows == 200
    assert {item.name for item in hard.metrics} == {"rmse", "mae"}


def test_a_metric_that_a_segment_cannot_give_is_left_out():
    whole = Holdout(
        pl.DataFrame({"plan": ["pro"] * 50}),
        np.ones(50, dtype=int),
        Output(np.ones(50, dtype=int), np.full((50, 2), 0.5)),
    )
    spec = ModelSpec(
        1, "binary", (), classes=(0, 1), primary_metric="roc_auc",
        metrics=(Metric("roc_auc", 0.8, 0.7, 0.9), Metric("accuracy", 0.8, 0.7, 0.9)),
    )  # fmt: skip
    found = expected_in(spec, whole.part(Segment("plan", "pro")))
    assert [item.name for item in found.metrics] == ["accuracy"]


def in_time(rows, *, shared):
    """A hold-out of 40 days whose errors have a part that each day shares."""
    rng = np.random.default_rng(1)
    day = np.arange(rows) * 40 // rows
    y = rng.normal(size=rows)
    error = shared * rng.normal(size=40)[day] + rng.normal(size=rows)
    stamps = pl.Series(day * 86_400_000_000 + np.arange(rows)).cast(pl.Datetime("us", "UTC"))
    segment = np.where(np.arange(rows) % 2, "a", "b")
    return Holdout(pl.DataFrame({"plan": segment}), y, Output(y + error), stamps)


RMSE = ModelSpec(
    1, "regression", (), time="ts", primary_metric="rmse",
    metrics=(Metric("rmse", 1.4, 1.3, 1.5, False),),
)  # fmt: skip


def width(spec):
    return spec.metric.high - spec.metric.low


def test_days_that_share_their_errors_make_the_expectation_wider():
    rows = in_time(4000, shared=2.0)
    alone = Holdout(rows.rows, rows.labels, rows.output)
    assert alone.blocks is None
    assert rows.blocks.shape == (4000,)
    assert width(expected_in(RMSE, rows)) > 2 * width(expected_in(RMSE, alone))


def test_days_that_share_nothing_leave_the_expectation_nearly_as_it_is():
    rows = in_time(4000, shared=0.0)
    alone = Holdout(rows.rows, rows.labels, rows.output)
    assert width(expected_in(RMSE, rows)) < 1.8 * width(expected_in(RMSE, alone))
    assert expected_in(RMSE, rows).metric.value == expected_in(RMSE, alone).metric.value


def test_a_part_of_a_holdout_keeps_its_times():
    rows = in_time(400, shared=1.0)
    part = rows.part(Segment("plan", "a"))
    assert part.times.len() == part.rows.height == 200
    assert part.times.to_list() == rows.times.to_list()[1::2]
    assert len(np.unique(part.blocks)) == len(np.unique(rows.blocks))
