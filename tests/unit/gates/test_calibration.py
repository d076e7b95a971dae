"""Scores that mean what they say: what is refused, what is not, and how often by chance."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st

from lifecycle.config import GatesConfig
from lifecycle.gates import GateInput, run
from lifecycle.gates.calibration import calibration, gap
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import ModelSpec, Outcome

SPEC = ModelSpec(1, "binary", (), target="y", classes=(0, 1), primary_metric="roc_auc")


def output(scores: np.ndarray) -> Output:
    return Output((scores > 0.5).astype(int), np.column_stack([1 - scores, scores]))


def given(y: np.ndarray, scores: np.ndarray, **more: object) -> GateInput:
    model = LoadedModel(SPEC, "sklearn", lambda _columns: output(scores))
    return GateInput(model, pd.DataFrame({"y": y}), output(scores), **more)


def honest(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(1 - 1.5 * rng.normal(size=rows)))
    return (rng.random(rows) < scores).astype(int), scores


def bold(scores: np.ndarray, times: float = 4.0) -> np.ndarray:
    odds = np.log(scores / (1 - scores))
    return 1 / (1 + np.exp(-times * odds))


@pytest.mark.parametrize("rows", [100, 500, 5000])
def test_honest_scores_are_never_refused(rows: int) -> None:
    outcomes = {calibration(given(*honest(rows, seed))).outcome for seed in range(60)}
    assert Outcome.FAIL not in outcomes


def test_chance_has_no_part_in_the_figure() -> None:
    found = [gap(*honest(200, seed))[0] for seed in range(200)]
    assert abs(np.mean(found)) < 0.01


def test_bold_scores_are_refused_with_their_figures() -> None:
    y, scores = honest(3000, 0)
    result = calibration(given(y, bold(scores, 10.0)))
    assert result.outcome is Outcome.FAIL
    assert result.low > result.limit == 0.1
    assert "0.1 is allowed" in result.reason


def test_scores_that_are_all_too_high_are_named_so() -> None:
    y, scores = honest(3000, 1)
    assert "too high by" in calibration(given(y, scores**0.2)).reason
    assert "too low by" in calibration(given(y, scores**6)).reason


def test_limit_is_the_configured_one() -> None:
    y, scores = honest(20_000, 2)
    strict, lenient = (
        calibration(given(y, bold(scores, 2.0), limits=GatesConfig(calibration=limit)))
        for limit in (0.02, 0.3)
    )
    assert (strict.outcome, lenient.outcome) == (Outcome.FAIL, Outcome.PASS)


def test_no_worse_than_the_champion_is_let_through() -> None:
    y, scores = honest(3000, 3)
    case = given(y, bold(scores, 10.0))
    same = replace(case, champion=case.candidate, champion_output=case.output)
    result = calibration(same)
    assert result.outcome is Outcome.PASS
    assert "so are the champion's" in result.reason
    better = replace(case, champion=case.candidate, champion_output=output(scores))
    assert calibration(better).outcome is Outcome.FAIL
    labels = replace(case, champion=case.candidate, champion_output=Output(case.answers.prediction))
    assert calibration(labels).outcome is Outcome.FAIL


@pytest.mark.parametrize("rows", [99, 30])
def test_few_rows_do_not_decide(rows: int) -> None:
    assert calibration(given(*honest(rows, 4))).outcome is Outcome.UNSURE


def test_few_of_one_class_do_not_decide() -> None:
    y = np.zeros(500, dtype=int)
    y[:9] = 1
    result = calibration(given(y, np.full(500, 0.5) + np.arange(500) / 1e4))
    assert result.outcome is Outcome.UNSURE
    assert "9 of the rarer class" in result.reason


def test_labels_alone_and_other_tasks_are_not_judged() -> None:
    y, scores = honest(300, 5)
    case = given(y, scores)
    assert "not judged" in calibration(replace(case, output=Output(y))).reason
    spec = ModelSpec(1, "regression", (), target="y")
    numbers = GateInput(LoadedModel(spec, "sklearn", lambda _c: None), case.rows, Output(scores))
    assert calibration(numbers).outcome is Outcome.PASS


def test_clusters_widen_the_interval() -> None:
    y, scores = honest(50, 6)
    y, scores = np.repeat(y, 20), np.repeat(scores, 20)
    together = gap(y, scores, ways=(np.repeat(np.arange(50), 20),))
    apart = gap(y, scores)
    assert np.ptp(together[1]) > 2 * np.ptp(apart[1])


def test_one_cluster_does_not_decide() -> None:
    y, scores = honest(300, 7)
    case = given(y, scores)
    case = replace(
        case,
        candidate=replace(case.candidate, spec=replace(SPEC, key="who")),
        holdout=case.rows.assign(who="a"),
    )
    (result,) = run(["calibration"], case)
    assert result.outcome is Outcome.UNSURE


def test_weights_count() -> None:
    y, scores = honest(2000, 8)
    first = np.arange(2000) < 1000
    mixed = np.where(first, scores, bold(scores, 10.0))
    whole = gap(y, mixed)[0]
    trusted = gap(y, mixed, weights=first.astype(float))[0]
    assert trusted < whole / 2


@examples(st.integers(0, 1000), st.floats(0.3, 3.0))
@settings(max_examples=25, deadline=None)
def test_figure_is_never_above_the_largest_distance(seed: int, power: float) -> None:
    y, scores = honest(300, seed)
    found, (low, high) = gap(y, scores**power)
    assert low <= found <= high
    assert found <= 1.0
