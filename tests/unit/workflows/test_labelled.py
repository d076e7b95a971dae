"""What a check says of labels, the estimate without them, calibration and slices."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from lifecycle.config import Config
from lifecycle.errors import ConfigError
from lifecycle.models.predicting import Output
from lifecycle.records import Column, ModelSpec, Outcome
from lifecycle.workflows.holdout import Holdout
from lifecycle.workflows.judge import judge
from lifecycle.workflows.labelled import told
from lifecycle.workflows.live import Live

FEATURES = (Column("x", "double"), Column("plan", "string"))
SPECS = {
    "binary": ModelSpec(1, "binary", FEATURES, classes=("no", "yes"), primary_metric="roc_auc"),
    "multiclass": ModelSpec(
        1, "multiclass", FEATURES, classes=("a", "b", "c"), primary_metric="accuracy"
    ),
    "regression": ModelSpec(1, "regression", FEATURES, primary_metric="rmse"),
}


def draw(task, rows, seed, *, moved=0.0, concept=False, bad=""):
    """Rows, answers and labels; `concept` changes labels everywhere, `bad` at one plan."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows) + moved
    plan = rng.choice(["basic", "plus", "pro"], rows, p=[0.6, 0.3, 0.1])
    frame = pl.DataFrame({"x": x, "plan": plan})
    off = np.full(rows, concept) | (plan == bad)
    if task == "regression":
        truth = x + rng.normal(size=rows) + 4.0 * off * rng.normal(size=rows) + 2.0 * off
        return frame, Output(x), truth
    shift = x[:, None] * np.array([0.0, 2.0, -1.0][: 2 if task == "binary" else 3])
    scores = np.exp(shift) / np.exp(shift).sum(axis=1, keepdims=True)
    real = np.where(off[:, None], np.roll(scores, 1, axis=1), scores)
    code = (real.cumsum(axis=1) > rng.random(rows)[:, None]).argmax(axis=1)
    names = np.array(SPECS[task].classes, dtype=object)
    return frame, Output(names[scores.argmax(axis=1)], scores), names[code]


def held(task, rows=1500):
    frame, output, truth = draw(task, rows, 1)
    return Holdout(frame, truth, output)


def live(task, rows=1200, *, labelled=1.0, **change):
    frame, output, truth = draw(task, rows, 2, **change)
    kept = np.random.default_rng(3).random(rows) < labelled
    labels = [item if ok else None for item, ok in zip(truth.tolist(), kept, strict=True)]
    kind = pl.Float64 if task == "regression" else pl.String
    rows_ = frame.with_columns(prediction=pl.Series(output.prediction.tolist()))
    return Live(
        rows_,
        pl.Series("label", labels, dtype=kind),
        pl.Series("time", [None] * rows, dtype=pl.Datetime("us")),
        scores=output.score,
    )


def look(task, config=None, **options):
    return told(config or Config(), SPECS[task], live(task, **options), held(task))


@pytest.mark.parametrize("task", SPECS)
def test_a_model_as_it_was_raises_nothing(task):
    found = look(task, labelled=0.8, moved=0.3)
    assert found.notes == ()
    assert found.labels.outcome is Outcome.PASS
    assert found.estimate.holds is True
    assert found.calibration.outcome is Outcome.PASS
    assert all(item.outcome is Outcome.PASS for item in found.slices)


@pytest.mark.parametrize("task", SPECS)
def test_labels_that_mean_something_else_are_told(task):
    found = look(task, concept=True)
    assert found.estimate.holds is False
    assert found.calibration.outcome is Outcome.FAIL
    assert any("the estimate without labels is not to be relied on" in note for note in found.notes)
    assert any("labels at equal" in note for note in found.notes)


@pytest.mark.parametrize("task", SPECS)
def test_a_plan_that_went_bad_is_named(task):
    found = look(task, bad="pro", rows=2000)
    assert any(note.startswith("worse where plan = 'pro': ") for note in found.notes), found.notes
    metric = {"regression": "mae"}.get(task, "log_loss")
    assert {item.metric for item in found.slices} == {metric}


@pytest.mark.parametrize("task", SPECS)
def test_without_labels_there_is_an_estimate_only(task):
    found = look(task, labelled=0.0)
    assert found.labels.labelled == 0
    assert found.estimate.low < found.estimate.value < found.estimate.high
    assert found.estimate.holds is None
    assert found.calibration.reason == "there are no labels"
    assert found.slices == ()
    assert found.notes == ()


def test_labels_missing_by_plan_are_told():
    given = live("binary")
    gone = (given.rows["plan"] == "pro") & pl.Series(np.arange(1200) % 4 > 0)
    given = replace(given, labels=given.labels.set(gone, None))
    found = told(Config(), SPECS["binary"], given, held("binary"))
    assert found.labels.selective
    assert found.labels.column == "plan"
    assert "figures on labelled rows are those of such rows only" in found.notes[0]


def test_without_a_hold_out_the_reason_stands_in_each_place():
    found = told(Config(), SPECS["binary"], live("binary"), None, "churn/1 has no hold-out rows")
    assert found.estimate.reason == found.calibration.reason == "churn/1 has no hold-out rows"
    assert found.labels.outcome is Outcome.PASS
    assert found.slices == ()


def test_a_model_without_scores_has_slices_by_its_errors():
    before, given = held("binary"), live("binary", bad="pro")
    before = replace(before, output=Output(before.output.prediction))
    found = told(Config(), SPECS["binary"], replace(given, scores=None), before)
    assert "needs scores" in found.estimate.reason
    assert "needs scores" in found.calibration.reason
    assert found.slices[0].metric == "error rate"


def test_rows_without_predictions_are_not_judged():
    given = live("regression")
    given = replace(given, rows=given.rows.drop("prediction"))
    found = told(Config(), SPECS["regression"], given, held("regression"))
    assert found.estimate.reason == "the rows have no predictions"


def test_labels_of_another_kind_are_said_not_raised():
    given = replace(live("regression"), labels=pl.Series("label", ["high"] * 1200))
    found = told(Config(), SPECS["regression"], given, held("regression"))
    assert found.calibration.outcome is Outcome.UNSURE
    assert found.slices == ()
    assert found.estimate.holds is None


def test_a_small_hold_out_is_not_enough():
    found = told(Config(), SPECS["regression"], live("regression"), held("regression", 100))
    assert "too few to learn the loss from" in found.estimate.reason


def test_named_segments_are_shown_and_must_exist():
    named = Config().with_values(monitor__segments=("plan",))
    found = look("binary", named)
    shown = {item.where for item in found.slices if item.named}
    assert shown == {"plan = 'basic'", "plan = 'plus'", "plan = 'pro'"}
    with pytest.raises(ConfigError, match=r"segments names 'pln', no feature; did you mean 'plan'"):
        look("binary", Config().with_values(monitor__segments=("pln",)))


def test_judging_gives_all_of_it(config):
    from lifecycle.records import ModelVersion

    judged = judge(
        config, ModelVersion("churn", 3), SPECS["regression"], live("regression"), drifted=False,
        before=held("regression"),
    )  # fmt: skip
    assert judged.told.labels.rows == 1200
    assert [point.labelled for point in judged.performance.over_time][:2] == [100, 100]
    assert judged.told.estimate.method == "direct loss"


def test_no_rows_are_told_nothing(config):
    from lifecycle.records import ModelVersion

    empty = Live(
        pl.DataFrame({"x": [], "prediction": []}), pl.Series("label", [], dtype=pl.Float64),
        pl.Series("time", [], dtype=pl.Datetime("us")),
    )  # fmt: skip
    version = ModelVersion("churn", 3)
    assert judge(config, version, SPECS["regression"], empty, drifted=False).told is None
