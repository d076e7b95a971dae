"""A version judged on labelled rows, alone and against another, on a real registry."""

from collections.abc import Callable

import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

import lifecycle as lc
from lifecycle.config import Config


@pytest.fixture
def project(config: Config, churn: pd.DataFrame) -> lc.Project:
    project = lc.Project(config=config.with_values(models__compile=False))
    for seed in (0, 1):
        rows = churn.sample(frac=0.5, random_state=seed)
        project.register(project.train(["logistic_regression"], rows).best)
    return project


def test_metrics_are_scikit_learns(project: lc.Project, make_churn: Callable[..., pd.DataFrame]):
    rows = make_churn(800, seed=4)
    told = project.evaluate(1, rows)
    scores = project.score(rows, version=1)
    auc = next(metric for metric in told.metrics if metric.name == "roc_auc")
    assert auc.value == pytest.approx(roc_auc_score(rows["churned"], scores["score"]), abs=1e-12)
    assert auc.low < auc.value < auc.high
    assert told.rows == 800
    assert told.difference is None


def test_a_difference_is_paired_and_antisymmetric(project, make_churn):
    rows = make_churn(800, seed=4)
    one = project.evaluate(1, rows, against=2).difference
    two = project.evaluate(2, rows, against=1).difference
    assert one.value == pytest.approx(-two.value)
    assert one.low <= one.value <= one.high
    assert project.evaluate(1, rows, against=1).difference.value == 0.0


def test_nothing_is_logged(project, make_churn):
    project.evaluate(1, make_churn(100, seed=4))
    from lifecycle.stores.predictions import PredictionLog

    assert PredictionLog(project.config.log.dir).read("churn").is_empty()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda rows: rows.drop(columns="churned"), "'churned' is missing"),
        (lambda rows: rows.assign(churned=rows["churned"].where(rows.index > 2)), "3 of 100"),
        (lambda rows: rows.assign(churned=7), "7 is none of the model's classes"),
        (lambda rows: rows.drop(columns="tenure"), "tenure"),
    ],
)
def test_rows_that_cannot_be_judged_are_named(project, make_churn, spoil, words):
    with pytest.raises(lc.DataError, match=words):
        project.evaluate(1, spoil(make_churn(100, seed=4)))
