"""Skill: better than chance, whatever is configured, and no worse than a plain model."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lifecycle.config import GatesConfig
from lifecycle.gates import GateInput
from lifecycle.gates.skill import plain_answers, skill
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Column, ModelSpec, Outcome


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
    for seed in range(40):
        result, *_ = skill(given(*scored(3000, seed, signal=0.0)))
        assert result.outcome is Outcome.FAIL, result.reason
        assert "no better than no skill" in result.reason


def test_no_skill_on_few_rows_is_never_passed() -> None:
    outcomes = [skill(given(*scored(120, seed, signal=0.0)))[0].outcome for seed in range(300)]
    assert outcomes.count(Outcome.PASS) <= 2  # nominal 0.05 %
    assert outcomes.count(Outcome.UNSURE) > 100


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
    for seed in range(6):
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


def test_lucky_direction_is_refused_without_a_champion() -> None:
    """Skill alone would let it through: it orders the rows better than chance."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 2))
    y = (rng.random(800) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(int)
    lucky = 1 / (1 + np.exp(-0.4 * x[:, 0] - 1.5 * x[:, 1]))
    case = with_features(given(y, lucky), x)
    chance, plain = skill(case)
    assert chance.outcome is Outcome.PASS
    assert (plain.gate, plain.outcome) == ("skill.plain", Outcome.FAIL)
    assert "shuffled labels" in plain.reason
    assert plain.high < 0
    # with a champion the paired comparison judges it
    assert len(skill(replace(case, champion=case.candidate))) == 1


def with_features(case: GateInput, x: np.ndarray, **more: object) -> GateInput:
    names = [f"x{place}" for place in range(x.shape[1])]
    columns = tuple(Column(name, "double") for name in (*names, *more))
    rows = case.rows.assign(**dict(zip(names, x.T, strict=True)), **more)
    spec = replace(case.spec, features=columns)
    return replace(case, candidate=replace(case.candidate, spec=spec), holdout=rows)


def test_as_good_as_a_plain_model_passes() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(500, 2))
    y = (rng.random(500) < 1 / (1 + np.exp(-2 * x[:, 0]))).astype(int)
    plan = np.where(rng.random(500) < 0.5, "basic", "pro")
    late = np.where(rng.random(500) < 0.1, np.nan, x[:, 1])
    case = with_features(given(y, 1 / (1 + np.exp(-2 * x[:, 0]))), x, plan=plan, late=late)
    assert [item.outcome for item in skill(case)] == [Outcome.PASS] * 2


@pytest.mark.parametrize("rows", [59, 40])
def test_few_rows_have_no_plain_model(rows: int) -> None:
    y, scores = scored(rows, 3, signal=3.0)
    case = with_features(given(y, scores), np.random.default_rng(0).normal(size=(rows, 1)))
    assert len(skill(case)) == 1


def test_features_without_values_leave_no_plain_model() -> None:
    y, scores = scored(300, 3, signal=2.0)
    nothing = np.full((300, 2), np.nan)
    assert len(skill(with_features(given(y, scores), nothing))) == 1
    assert len(skill(with_features(given(y, scores), np.ones((300, 1))))) == 1


def test_plain_model_answers_rows_of_a_group_by_others() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    x = np.eye(40)[groups]  # which tells who it is
    y = rng.integers(0, 2, 40)[groups]
    inside = plain_answers(x, y, (0, 1)).prediction
    outside = plain_answers(x, y, (0, 1), groups=groups).prediction
    assert (inside == y).mean() > 0.95
    assert (outside == y).mean() < 0.7


def test_plain_model_of_numbers_and_of_three_classes() -> None:
    x = np.linspace(-1, 1, 300)[:, None]
    found = plain_answers(x, 2.0 * x[:, 0] + 1.0, ())
    assert np.abs(found.prediction - 2.0 * x[:, 0] - 1.0).max() < 0.05
    three = plain_answers(x, np.digitize(x[:, 0], [-0.3, 0.3]), (0, 1, 2))
    assert three.scores is not None
    assert three.scores.sum(axis=1) == pytest.approx(1.0)


def test_rows_of_one_key_count_together() -> None:
    y, scores = scored(40, 3, signal=1.6)
    many = given(np.tile(y, 25), np.tile(scores, 25))
    keyed = replace(many.candidate, spec=replace(many.spec, key="who"))
    rows = many.rows.assign(who=np.tile(np.arange(40), 25))
    together = skill(replace(many, candidate=keyed, holdout=rows))[0]
    apart = skill(many)[0]
    assert together.low < apart.low
    assert "rows of one 'who' count together (40)" in together.reason


def test_a_plain_model_does_not_learn_from_the_same_day() -> None:
    """What a day has to itself helps nobody who was trained before it."""
    rng = np.random.default_rng(5)
    day = np.repeat(np.arange(40), 50)
    weather = [f"w{number}" for number in range(30)]
    own = rng.normal(size=(40, 30))  # the day's weather: the same for all of its rows
    late = rng.normal(size=40) * 1.5
    lasting = rng.normal(size=2000)
    y = (rng.random(2000) < 1 / (1 + np.exp(-(lasting + late[day])))).astype(int)
    frame = pd.DataFrame(own[day], columns=weather).assign(
        x=lasting,
        y=y,
        who=np.arange(2000) // 2,
        ts=pd.Timestamp("2026-01-01") + pd.to_timedelta(day, unit="D"),
    )
    columns = tuple(Column(name, "double") for name in [*weather, "x"])
    scores = 1 / (1 + np.exp(-lasting))
    spec = ModelSpec(
        1,
        "binary",
        columns,
        target="y",
        time="ts",
        key="who",
        classes=(0, 1),
        primary_metric="roc_auc",
    )
    output = Output((scores > 0.5).astype(int), np.column_stack([1 - scores, scores]))
    asked = GateInput(LoadedModel(spec, "sklearn", lambda _columns: output), frame, output)
    assert {item.outcome for item in skill(asked)} == {Outcome.PASS}
