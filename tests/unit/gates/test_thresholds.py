"""MetricThreshold as it is: the same verdicts and figures as MLflow's own validation."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from packaging.version import Version

from lifecycle.errors import ConfigError
from lifecycle.gates import GateInput, run
from lifecycle.gates.thresholds import check, figure, misses, thresholds
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Column, ModelSpec, Outcome

CLASSES = {"binary": ("no", "yes"), "multiclass": (1, 2, 3), "regression": ()}


def asked(**fields: object) -> SimpleNamespace:
    empty = {"threshold": None, "min_absolute_change": None, "min_relative_change": None}
    return SimpleNamespace(**{**empty, "greater_is_better": True, **fields})


def case(task: str, *, champion: float | None = None, **wanted: object) -> GateInput:
    rng = np.random.default_rng(0)
    classes, rows = CLASSES[task], 400
    x = rng.normal(size=rows)

    def output(noise: float) -> Output:
        level = x + noise * np.random.default_rng(1).normal(size=rows)
        if task == "regression":
            return Output(level)
        if task == "binary":
            share = 1.0 / (1.0 + np.exp(-level))
            labels = np.where(share >= 0.5, "yes", "no").astype(object)
            return Output(labels, np.column_stack([1.0 - share, share]))
        raw = np.exp(-((level[:, None] - np.array([-1.0, 0.0, 1.0])) ** 2))
        scores = raw / raw.sum(axis=1, keepdims=True)
        return Output(np.array(classes)[scores.argmax(axis=1)], scores)

    truth = {
        "regression": x,
        "binary": np.where(x > 0, "yes", "no").astype(object),
        "multiclass": np.digitize(x, [-0.5, 0.5]) + 1,
    }[task]
    spec = ModelSpec(1, task, (Column("x", "double"),), target="y", classes=classes)
    model = LoadedModel(spec, "sklearn", lambda _columns: output(0.5))
    return GateInput(
        model,
        pd.DataFrame({"x": x, "y": truth}),
        output(0.5),
        champion=None if champion is None else model,
        champion_output=None if champion is None else output(champion),
        thresholds=wanted,
    )


def test_nothing_asked_nothing_refused() -> None:
    (result,) = thresholds(case("binary"))
    assert result.outcome is Outcome.PASS


def test_each_metric_is_a_result_with_its_figure() -> None:
    given = case(
        "binary",
        accuracy_score=asked(threshold=0.5),
        log_loss=asked(threshold=0.1, greater_is_better=False),
    )
    good, bad = thresholds(given)
    assert (good.gate, good.outcome, good.limit) == ("thresholds.accuracy_score", "pass", 0.5)
    assert (bad.gate, bad.outcome) == ("thresholds.log_loss", "fail")
    assert "at most 0.1 is asked for" in bad.reason


def test_changes_are_held_against_the_champion() -> None:
    wanted = {"roc_auc": asked(min_absolute_change=0.02, min_relative_change=0.01)}
    for noise, outcome in ((2.0, "pass"), (0.5, "fail"), (0.1, "fail")):
        (result,) = thresholds(case("binary", champion=noise, **wanted))
        assert result.outcome == outcome, result.reason
    (first,) = thresholds(case("binary", **wanted))
    assert first.outcome is Outcome.PASS
    assert "first version" in first.reason


def test_champion_that_does_not_answer_leaves_it_open() -> None:
    from dataclasses import replace

    given = case("binary", champion=1.0, roc_auc=asked(min_absolute_change=0.1))
    given = replace(given, champion_output=None, champion_problem="column 'w' is missing")
    (result,) = thresholds(given)
    assert result.outcome is Outcome.UNSURE
    assert "column 'w' is missing" in result.reason


def test_unknown_metric_is_refused_and_the_nearest_named() -> None:
    (result,) = run(["thresholds"], case("binary", accuracy_scor=asked(threshold=0.5)))
    assert result.outcome is Outcome.FAIL
    assert "did you mean 'accuracy_score'" in result.reason
    (other,) = thresholds(case("regression", roc_auc=asked(threshold=0.5)))
    assert other.outcome is Outcome.FAIL


@pytest.mark.parametrize("strange", [0.8, {"threshold": 0.8}, asked(greater_is_better=None)])
def test_what_is_no_threshold_is_an_error(strange: object) -> None:
    with pytest.raises(ConfigError, match="MetricThreshold"):
        check({"roc_auc": strange})
    check({"roc_auc": asked(threshold=0.8)})


NUMBERS = st.one_of(st.just(0.0), st.floats(-2.0, 2.0).map(lambda x: round(x, 2)))


@settings(max_examples=100, deadline=None)
@drawn(
    NUMBERS,
    NUMBERS,
    st.tuples(
        st.one_of(st.none(), NUMBERS),
        st.one_of(st.none(), st.floats(0.01, 1.0).map(lambda x: round(x, 2))),
        st.one_of(st.none(), st.floats(0.0, 1.0).map(lambda x: round(x, 2))),
        st.booleans(),
    ),
)
def test_verdict_is_that_of_mlflow(
    value: float, before: float, wanted: tuple[float | None, float | None, float | None, bool]
) -> None:
    import mlflow
    from mlflow.models import EvaluationResult, MetricThreshold
    from mlflow.models.evaluation.validation import ModelValidationFailedException

    threshold, step, share, greater = wanted
    if threshold is None and step is None and share is None:
        return
    if share is not None and before < 0 and Version(mlflow.__version__) < Version("3.17"):
        return  # it took shares of negative figures with their sign
    item = MetricThreshold(
        threshold=threshold,
        min_absolute_change=step,
        min_relative_change=share,
        greater_is_better=greater,
    )
    check({"m": item})
    try:
        mlflow.validate_evaluation_results(
            {"m": item}, EvaluationResult({"m": value}, {}), EvaluationResult({"m": before}, {})
        )
        refused = False
    except ModelValidationFailedException:
        refused = True
    assert bool(misses(item, value, before)) == refused


@pytest.mark.parametrize("task", CLASSES)
def test_figures_are_those_of_mlflow(task: str) -> None:
    from mlflow.models.evaluation.evaluators import classifier, regressor
    from sklearn import metrics

    given = case(task)
    output, truth = given.answers, given.truth
    if task == "regression":
        theirs = regressor._get_regressor_metrics(truth, output.prediction, None)
        for name in ("example_count", "sum_on_target", "mean_on_target"):
            theirs.pop(name)
    elif task == "binary":
        labels = (truth == "yes").astype(int), (output.prediction == "yes").astype(int)
        theirs = classifier._get_common_classifier_metrics(
            y_true=labels[0],
            y_pred=labels[1],
            y_proba=output.scores,
            labels=[0, 1],
            average="binary",
            pos_label=1,
            sample_weights=None,
        )
        theirs["roc_auc"] = metrics.roc_auc_score(labels[0], output.score)
        theirs["precision_recall_auc"] = metrics.average_precision_score(labels[0], output.score)
    else:
        theirs = classifier._get_multiclass_classifier_metrics(
            y_true=truth, y_pred=output.prediction, y_proba=output.scores, labels=[1, 2, 3]
        )
    theirs.pop("example_count", None)
    assert len(theirs) >= 6
    for name, value in theirs.items():
        assert figure(given, name, output) == pytest.approx(float(value), abs=1e-9), name
