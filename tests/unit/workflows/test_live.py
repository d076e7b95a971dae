"""The live rows of a check: windows, labels, scores, and what is said when there are none."""

import datetime as dt
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from lifecycle.errors import DataError
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Column, Metric, ModelSpec, ModelVersion, Outcome
from lifecycle.stores import ids
from lifecycle.stores import rows as log_rows
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionLog
from lifecycle.workflows.judge import judge
from lifecycle.workflows.live import from_log, from_table

SPEC = ModelSpec(
    1,
    "binary",
    (Column("x", "double"),),
    target="late",
    time="ts",
    classes=(0, 1),
    primary_metric="accuracy",
    metrics=(Metric("accuracy", 0.9, 0.88, 0.92), Metric("log_loss", 0.3, 0.28, 0.32, False)),
    trained_rows=1_000,
)
VERSION = ModelVersion("churn", 3)
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def table(rows=100):
    rng = np.random.default_rng(0)
    step = dt.timedelta(hours=1)
    first = START.replace(tzinfo=None)
    x = rng.normal(size=rows)
    return pl.DataFrame(
        {
            "ts": pl.datetime_range(first, first + step * (rows - 1), step, eager=True),
            "x": x,
            "late": (x > 0).astype(int),
        }
    )


def model():
    def answer(columns):
        score = 1 / (1 + np.exp(-4 * columns["x"]))
        return Output((score > 0.5).astype(int), np.column_stack((1 - score, score)))

    return LoadedModel(SPEC, "sklearn", answer)


def log(config, frame, *, wrong=False):
    output = model().predict({"x": frame["x"].to_numpy()})
    answers = 1 - output.prediction if wrong else output.prediction
    times = frame["ts"].to_numpy().astype("datetime64[us]")
    secret = ids.secret(config.log.dir)
    token = ids.issue(secret, model="churn", version=3, time=0, arm="champion", rows=frame.height)
    rows = log_rows.frame(
        "churn", 3, token, rows=frame.height, time=times, features={"x": frame["x"].to_numpy()},
        prediction=answers, score=output.score, arm="champion", key=None, types={"x": "double"},
    )  # fmt: skip
    PredictionLog(config.log.dir).write("churn", rows)
    labels = rows.select("prediction_id").with_columns(label=frame["late"])
    LabelStore(config.log.dir).add("churn", labels, secret)


def test_a_table_is_cut_scored_and_labelled():
    live = from_table(table(), SPEC, model, since="2026-01-02", until="2026-01-03")
    assert live.rows.columns == ["ts", "x", "prediction", "score"]
    assert live.rows.height == 24
    assert live.window == ("2026-01-02T00:00:00", "2026-01-02T23:00:00")
    assert live.labels.null_count() == 0
    assert live.scores.shape == (24,)


def test_predictions_that_are_there_are_kept():
    given = table().with_columns(prediction=pl.lit(1))
    live = from_table(given, SPEC, None)
    assert live.rows["prediction"].unique().to_list() == [1]
    assert live.scores is None


def test_a_table_without_time_or_target():
    live = from_table(table().drop("ts", "late"), SPEC, model)
    assert live.window is None
    assert live.end == ""
    assert live.labels.null_count() == 100


@pytest.mark.parametrize("odd", [["no"] * 100, ["2026-01-01 00:00:00"] * 99 + ["no"]])
def test_times_that_do_not_parse_are_named(odd):
    frame = table().with_columns(ts=pl.Series(odd))
    with pytest.raises(DataError, match="time column 'ts' holds 'no', no date or time"):
        from_table(frame, SPEC, None)


@pytest.mark.parametrize("ts", [list(range(100)), [None] * 100])
def test_a_window_of_times_that_are_none(ts):
    frame = table().with_columns(ts=pl.Series(ts))
    with pytest.raises(DataError, match="rows without a time have no window"):
        from_table(frame, SPEC, None, since="2026-01-01")


def test_the_log_is_read_with_its_labels(config):
    frame = table()
    log(config, frame)
    live = from_log(config, VERSION, SPEC, since=None, until="2026-01-03")
    assert live.rows.columns == ["x", "prediction", "score", "ts"]
    assert live.rows.height == 48
    assert live.labels.to_list() == frame["late"][:48].to_list()


def test_an_empty_log_says_what_to_do(config):
    live = from_log(config, VERSION, SPEC, since="2026-01-01", until=None)
    assert live.rows.height == 0
    assert "churn/3 logged no predictions since 2026-01-01" in live.empty


def test_labels_judge_and_call_for_training(config):
    log(config, table(400), wrong=True)
    live = from_log(config, VERSION, SPEC, since=None, until=None)
    judged = judge(config, VERSION, SPEC, live, drifted=False)
    assert judged.performance.outcome is Outcome.FAIL
    assert judged.performance.labelled_rows == 400
    assert judged.decision.retrain


def test_a_good_model_with_few_labels_is_left_alone(config):
    log(config, table(100))
    live = from_log(config, VERSION, SPEC, since=None, until=None)
    judged = judge(config, VERSION, SPEC, live, drifted=True)
    assert not judged.performance.harmed
    assert not judged.decision.retrain
    assert "drift alone does not call for training" in judged.decision.reasons[0]


def test_without_labels_nothing_is_judged(config):
    live = from_table(table().drop("late"), SPEC, model)
    judged = judge(config, VERSION, SPEC, live, drifted=False)
    assert judged.performance is None
    assert not judged.decision.retrain


def test_a_row_that_was_scored_twice_counts_once():
    from lifecycle.records import ModelSpec
    from lifecycle.workflows.live import _once

    answered = pl.DataFrame(
        {
            "key": ["a", "a", "a", None, None],
            "time": [1, 1, 2, 1, 1],
            "features": [{"x": 1.0}] * 5,
            "prediction": [0, 1, 0, 0, 0],
        }
    )
    known = ModelSpec(1, "binary", (), key="customer", time="ts")
    once = _once(answered, known)
    assert once["prediction"].to_list() == [1, 0, 0, 0], "the last answer of a, rows without key"
    assert _once(answered, ModelSpec(1, "binary", (), key="customer")).height == 5


def test_the_same_moment_with_other_inputs_is_another_row():
    from lifecycle.records import ModelSpec
    from lifecycle.workflows.live import _once

    answered = pl.DataFrame(
        {"key": ["a", "a"], "time": [1, 1], "features": [{"x": 1.0}, {"x": 2.0}]}
    )
    assert _once(answered, ModelSpec(1, "binary", (), key="k", time="t")).height == 2


@pytest.mark.parametrize(
    ("known_to", "counted"), [(None, 500), ("2026-01-01T00:00:00+00:00", 499), (99, 400), (499, 0)]
)
def test_the_labels_that_training_knew_are_not_counted_as_new(config, known_to, counted):
    frame = table(500)
    log(config, frame)
    if isinstance(known_to, int):
        known_to = (START + dt.timedelta(hours=known_to)).isoformat()
    spec = replace(SPEC, known_to=known_to, trained_rows=400)
    empty = from_log(
        config, VERSION, spec, since="2027-01-01T00:00:00+00:00", until="2027-01-02T00:00:00+00:00"
    )
    judged = judge(config, VERSION, spec, empty, drifted=False)
    said = next(item for item in judged.decision.reasons if item.startswith("labelled rows"))
    assert f"of the 400 training rows ({counted})" in said
    assert ("below" in said) is (counted < 0.25 * 400)
    assert judged.decision.retrain is (counted >= 0.25 * 400)


def test_what_training_knew_goes_before_where_its_rows_ended(config):
    log(config, table(500))
    spec = replace(
        SPEC,
        trained_to=(START + dt.timedelta(hours=99)).isoformat(),
        known_to=(START + dt.timedelta(hours=498)).isoformat(),
        trained_rows=1,
    )
    window = {"since": "2027-01-01T00:00:00+00:00", "until": "2027-01-02T00:00:00+00:00"}
    judged = judge(config, VERSION, spec, from_log(config, VERSION, spec, **window), drifted=False)
    assert any("of the 1 training rows (1)" in reason for reason in judged.decision.reasons)


def test_stretches_are_of_models_that_know_the_time(config):
    log(config, table(200))
    window = {"since": START, "until": START + dt.timedelta(days=30)}
    live = from_log(config, VERSION, SPEC, **window)
    assert live.blocks(SPEC).shape == (live.rows.height,)
    assert live.blocks(replace(SPEC, time=None)) is None
