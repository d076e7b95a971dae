"""The slice that is served worse: found, named, and seldom seen where there is none."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lifecycle.config import GatesConfig
from lifecycle.gates import GateInput, measures, run
from lifecycle.gates.groups import Groups
from lifecycle.gates.slices import judge, slices
from lifecycle.models.predicting import LoadedModel, Output, labels
from lifecycle.records import Column, GateResult, ModelSpec, Outcome

ROWS = 6000
SPEC = ModelSpec(
    1,
    "binary",
    (Column("plan", "string"), Column("age", "double")),
    target="y",
    classes=(0, 1),
    primary_metric="roc_auc",
)


def scored(positive: np.ndarray) -> Output:
    scores = np.column_stack([1 - positive, positive])
    return Output(labels(scores, (0, 1), threshold=0.5), scores)


def given(seed: int, *, bad: str = "", rows: int = ROWS, **limits: object) -> GateInput:
    """Equal models, but for the bad slice in which the candidate guesses more."""
    rng = np.random.default_rng(seed)
    y = (rng.random(rows) < 0.4).astype(int)
    frame = pd.DataFrame(
        {"plan": rng.choice(list("abcdefghij"), rows), "age": rng.normal(size=rows)}
    )
    signal = 1.2 * y + 0.8 * rng.normal(size=rows)
    worse = np.zeros(rows, dtype=bool)
    if bad == "plan":
        worse = (frame["plan"] == "c").to_numpy()
    if bad == "age":
        worse = (frame["age"] > 1.3).to_numpy()
    if bad == "both":
        worse = (frame["plan"].isin(["c", "d"]) & (frame["age"] > 0.2)).to_numpy()
    noise = rng.normal(size=(2, rows))
    mine = signal + 0.5 * noise[0] + np.where(worse, 2.5 * rng.normal(size=rows), 0.0)
    model = LoadedModel(SPEC, "sklearn", lambda _columns: None)
    return GateInput(
        model,
        frame.assign(y=y),
        scored(1 / (1 + np.exp(0.7 - mine))),
        champion=model,
        champion_output=scored(1 / (1 + np.exp(0.7 - signal - 0.5 * noise[1]))),
        limits=GatesConfig(**limits),
    )


def only(case: GateInput) -> GateResult:
    (result,) = slices(case)
    return result


@pytest.mark.parametrize(("bad", "named"), [("plan", "plan = 'c'"), ("age", "age >= ")])
def test_bad_slice_is_refused_and_named_with_its_figures(bad: str, named: str) -> None:
    result = only(given(0, bad=bad))
    assert result.outcome is Outcome.FAIL
    assert named in result.reason
    for part in ("rows: roc_auc 0.", "against the champion's 0.", "groups were looked at"):
        assert part in result.reason
    assert result.value < result.limit == -0.02


def test_pair_of_columns_is_found() -> None:
    result = only(given(0, bad="both"))
    assert result.outcome is Outcome.FAIL
    assert "plan = 'c'" in result.reason or "plan = 'd'" in result.reason


def test_equal_models_are_seldom_refused() -> None:
    refused = [only(given(seed, rows=1500)).outcome is Outcome.FAIL for seed in range(60)]
    assert np.mean(refused) <= 0.05


def test_margin_lets_through_what_is_smaller() -> None:
    assert only(given(0, bad="plan", slice_margin=0.5)).outcome is Outcome.PASS


def test_same_model_has_no_worse_slice() -> None:
    case = given(0)
    result = only(replace(case, champion_output=case.output))
    assert result.outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("task", "classes", "metric"),
    [
        ("binary", (0, 1), "log_loss"),
        ("binary", (0, 1), "accuracy"),
        ("binary", (0, 1), "f1"),
        ("binary", (0, 1), "average_precision"),
        ("multiclass", (0, 1, 2), "roc_auc_ovr"),
        ("regression", (), "rmse"),
        ("regression", (), "r2"),
    ],
)
def test_each_metric_has_a_figure_for_slices(task: str, classes: tuple, metric: str) -> None:
    rng = np.random.default_rng(3)
    plan = rng.choice(list("abcdef"), 3000)
    y = rng.integers(0, len(classes), 3000) if classes else rng.normal(size=3000)

    def answer(bad: bool) -> Output:
        noise = np.where(bad & (plan == "b"), 4.0, 0.7) * rng.normal(size=3000)
        if not classes:
            return Output(y + noise)
        raw = np.exp(
            2.0 * (np.arange(len(classes)) == y[:, None]) + noise[:, None] * np.eye(len(classes))[0]
        )
        scores = raw / raw.sum(axis=1, keepdims=True)
        return Output(labels(scores, classes, threshold=None), scores)

    spec = ModelSpec(
        1, task, (Column("plan", "string"),), target="y", classes=classes, primary_metric=metric
    )
    model = LoadedModel(spec, "sklearn", lambda _columns: None)
    case = GateInput(
        model,
        pd.DataFrame({"plan": plan, "y": y}),
        answer(True),
        champion=model,
        champion_output=answer(False),
    )
    result = only(case)
    assert result.outcome is Outcome.FAIL, result.reason
    assert "plan = 'b'" in result.reason
    equal = only(replace(case, output=answer(False)))
    assert equal.outcome is Outcome.PASS, equal.reason


def test_named_columns_have_a_result_each() -> None:
    first, named, absent = slices(given(0, bad="plan", slices=("plan", "colour")))
    assert first.gate == "slices"
    assert (named.gate, named.outcome) == ("slices.plan", Outcome.FAIL)
    assert (absent.gate, absent.outcome) == ("slices.colour", Outcome.UNSURE)
    assert "no such column" in absent.reason
    calm = slices(given(1, slices=("plan",)))
    assert [item.outcome for item in calm] == [Outcome.PASS] * 2


def test_named_column_that_is_no_feature_is_looked_at() -> None:
    case = given(0, bad="plan", slices=("region",))
    region = np.where(case.rows["plan"] == "c", "north", "south")
    spec = replace(SPEC, features=(Column("age", "double"),))
    case = replace(
        case,
        candidate=replace(case.candidate, spec=spec),
        holdout=case.rows.assign(region=region).drop(columns="plan"),
    )
    first, named = slices(case)
    assert first.outcome is Outcome.PASS
    assert named.outcome is Outcome.FAIL
    assert "region = 'north'" in named.reason


def test_first_version_names_what_falls_short_and_passes() -> None:
    case = replace(given(0, bad="plan"), champion=None, champion_output=None)
    result = only(case)
    assert "plan = 'c'" in result.reason
    assert "what its scores promise" in result.reason
    broken = replace(case, limits=GatesConfig(slice_margin=0.01))
    assert only(broken).outcome is Outcome.FAIL


def test_honest_first_version_passes() -> None:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"plan": rng.choice(list("abc"), 4000), "age": rng.normal(size=4000)})
    chance = 1 / (1 + np.exp(-1.5 * frame["age"].to_numpy()))
    y = (rng.random(4000) < chance).astype(int)
    model = LoadedModel(SPEC, "sklearn", lambda _columns: None)
    result = only(GateInput(model, frame.assign(y=y), scored(chance)))
    assert result.outcome is Outcome.PASS
    assert "none of" in result.reason  # though within a bin of age there is little to order


def test_few_rows_are_not_looked_at() -> None:
    result = only(given(0, rows=199))
    assert result.outcome is Outcome.PASS
    assert "too few" in result.reason
    _, named = slices(given(0, rows=199, slices=("plan",)))
    assert named.outcome is Outcome.UNSURE


def test_champion_that_does_not_answer_leaves_it_open() -> None:
    case = replace(given(0), champion_output=None, champion_problem="column 'w' is missing")
    (result,) = run(["slices"], case)
    assert result.outcome is Outcome.UNSURE
    assert "column 'w' is missing" in result.reason


def test_rows_of_one_key_count_together() -> None:
    """Four customers have the bad plan: that tells little of others."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=2000)
    codes = (np.arange(2000) % 500 < 40).astype(np.int64)
    who = np.arange(2000) // 500
    values[(codes == 1) & (who == 2)] -= 3.0
    groups = [Groups(("plan",), ["plan = 'pro'", "plan = 'basic'"], codes)]

    def figure(cut: Groups) -> measures.Measured:
        return measures.mean(cut, values)

    apart = judge(groups, figure, margin=0.1, alpha=0.01, ways=())[1]
    together = judge(groups, figure, margin=0.1, alpha=0.01, ways=(who,))[1]
    assert [item.where for item in apart] == ["plan = 'basic'"]
    assert together == []


def test_search_pays_for_each_group() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=5000)
    groups = [Groups((f"x{place}",), ["a", "b"], rng.integers(0, 2, 5000)) for place in range(300)]
    found = judge(groups, lambda cut: measures.mean(cut, values), margin=0.0, alpha=0.05, ways=())
    assert found == (600, [])
