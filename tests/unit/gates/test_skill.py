"""Skill: better than chance, whatever is configured, and no worse than a plain model."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lifecycle.config import GatesConfig
from lifecycle.gates import GateInput
from lifecycle.gates.skill import skill
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import ModelSpec, Outcome


def given(y: np.ndarray, scores: np.ndarray, **limits: float) -> GateInput:
    spec = ModelSpec(1, "binary", (), target="y", classes=(0, 1), primary_metric="roc_auc")
    output = Output((scores > 0.5).astype(int), np.column_stack([1 - scores, scores]))
    model = LoadedModel(spec, "sklearn", lambda _columns: output)
    return GateInput(model, pd.DataFrame({"y": y}), output, limits=GatesConfig(floor=limits))


def scored(rows: int, seed: int, *, signal: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (rng.random(rows) < 0.3).astype(int)
    return y, 1 / (1 + np.exp(1 - signal * y - rng.normal(size=rows)))


def test_skill_passes() -> None:
    result, *_ = skill(given(*scored(1000, 0, signal=1.2)))
    assert result.outcome is Outcome.PASS
    assert result.gate == "skill"
    assert result.low > result.limit == 0.5


def test_no_skill_on_many_rows_is_refused_every_time() -> None:
    for seed in range(100):
        result, *_ = skill(given(*scored(3000, seed, signal=0.0)))
        assert result.outcome is Outcome.FAIL, result.reason
        assert "no better than no skill" in result.reason


def test_no_skill_on_few_rows_is_never_passed() -> None:
    outcomes = [skill(given(*scored(120, seed, signal=0.0)))[0].outcome for seed in range(300)]
    assert outcomes.count(Outcome.PASS) <= 2  # nominal 0.05 %
    assert outcomes.count(Outcome.UNSURE) > 200


def test_reversed_scores_are_refused() -> None:
    y, scores = scored(800, 1, signal=1.5)
    result, *_ = skill(given(y, 1 - scores))
    assert result.outcome is Outcome.FAIL


def test_skill_of_some_days_only_does_not_decide() -> None:
    rng = np.random.default_rng(3)
    day = np.repeat(np.arange(40), 50)
    lasting, turning = np.ones(40), rng.choice([-1.0, 1.2], 40)
    seen = []
    for sign in (lasting, turning):
        y, noise = (rng.random(2000) < 0.4).astype(int), rng.normal(size=2000)
        asked = given(y, 1 / (1 + np.exp(-(sign[day] * (y - 0.4) * 1.5 + noise))))
        asked.rows["ts"] = pd.Timestamp("2026-01-01") + pd.to_timedelta(day, unit="D")
        model = replace(asked.candidate, spec=replace(asked.spec, time="ts"))
        seen.append(skill(replace(asked, candidate=model))[0])
    assert seen[0].outcome is Outcome.PASS, seen[0].reason
    assert seen[1].outcome is not Outcome.PASS, seen[1].reason


def test_one_positive_row_does_not_decide() -> None:
    y = np.zeros(50, dtype=int)
    y[3] = 1
    result, *_ = skill(given(y, np.where(y, 0.9, 0.1) + np.arange(50) / 1e4))
    assert result.outcome is Outcome.UNSURE
    assert "one class" in result.reason


def test_labels_alone_are_judged_by_balanced_accuracy() -> None:
    y, scores = scored(1000, 5, signal=2.0)
    case = given(y, scores)
    assert case.output is not None
    case = replace(case, output=Output(case.output.prediction))
    result, *_ = skill(case)
    assert result.outcome is Outcome.PASS
    assert "balanced_accuracy" in result.reason


def test_sample_weights_count() -> None:
    y, scores = scored(600, 3, signal=1.5)
    misled = np.where(np.arange(600) < 300, scores, 1 - scores)
    case = given(y, misled)
    assert skill(case)[0].outcome is not Outcome.PASS
    trusted = replace(case, weights=(np.arange(600) < 300).astype(float))
    assert skill(trusted)[0].outcome is Outcome.PASS
    half = given(y[:300], misled[:300])
    assert skill(trusted)[0].value == pytest.approx(skill(half)[0].value)


def test_model_trained_on_shuffled_labels_is_refused_always() -> None:
    """Real models on real shuffles; whatever order of rows luck gave them is not skill enough."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    passes = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(3000, 10))
        y = (rng.random(3000) < 1 / (1 + np.exp(1 - x @ np.linspace(0.1, 0.6, 10)))).astype(int)
        shuffled = rng.permutation(y)  # before the split: the hold-out's labels are shuffled too
        for estimator in (
            LogisticRegression(),
            RandomForestClassifier(20, max_depth=6, random_state=seed),
        ):
            estimator.fit(x[:2000], shuffled[:2000])
            result, *_ = skill(given(shuffled[2000:], estimator.predict_proba(x[2000:])[:, 1]))
            passes += result.outcome is Outcome.PASS
    assert passes == 0
