"""What is too good to be true: targets in other words, rows seen before, times that overlap."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lifecycle.gates import GateInput, run
from lifecycle.gates.leakage import alone, leakage
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Column, GateResult, ModelSpec, Outcome


def given(y: np.ndarray, classes: tuple = (0, 1), **columns: object) -> GateInput:
    task = {0: "regression", 2: "binary"}.get(len(classes), "multiclass")
    features = tuple(Column(name, "double") for name in columns)
    spec = ModelSpec(1, task, features, target="y", classes=classes)
    model = LoadedModel(spec, "sklearn", lambda _columns: Output(y))
    return GateInput(model, pd.DataFrame({**columns, "y": y}), Output(y))


def target_of(case: GateInput) -> GateResult:
    return leakage(case)[0]


def labels(rows: int, seed: int, classes: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, rows)


def leak(how: str, y: np.ndarray) -> object:
    rng = np.random.default_rng(9)
    return {
        "copy": y,
        "turned": 1 - y,
        "texts": np.where(y == 1, "gone", "here"),
        "numbers as texts": np.array([str(7 * item) for item in y], dtype=object),
        "truth": y == 1,
        "monotone": y * 10.0 + rng.random(len(y)),
        "both ends": np.where(y == 1, rng.choice([-3.0, 3.0], len(y)), 0.0) + rng.random(len(y)),
        "null where it is one": np.where(y == 1, np.nan, rng.random(len(y))),
        "codes": np.where(y == 1, rng.choice([2, 5, 9], len(y)), rng.choice([1, 3, 8], len(y))),
        "dates": pd.Timestamp("2026-01-01") + pd.to_timedelta(y * 400, "D"),
    }[how]


@pytest.mark.parametrize(
    "how",
    [
        "copy",
        "turned",
        "texts",
        "numbers as texts",
        "truth",
        "monotone",
        "both ends",
        "null where it is one",
        "codes",
        "dates",
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_leaked_target_is_refused_and_named(how: str, seed: int) -> None:
    y = labels(1000, seed)
    noise = np.random.default_rng(seed).normal(size=1000)
    result = target_of(given(y, honest=noise, leaked=leak(how, y)))
    assert result.outcome is Outcome.FAIL, result.reason
    assert "'leaked'" in result.reason
    assert "'honest'" not in result.reason


@pytest.mark.parametrize("how", ["copy", "texts", "truth"])
def test_copy_is_refused_on_few_rows(how: str) -> None:
    y = np.arange(24) % 2
    assert target_of(given(y, leaked=leak(how, y))).outcome is Outcome.FAIL


def test_leak_on_few_rows_is_left_open() -> None:
    y = np.arange(40) % 2
    result = target_of(given(y, leaked=leak("monotone", y)))
    assert result.outcome is Outcome.UNSURE
    assert "too few to be sure" in result.reason


def test_twelve_rows_tell_nothing() -> None:
    y = np.arange(12) % 2
    assert target_of(given(y, leaked=y)).outcome is Outcome.UNSURE


@pytest.mark.parametrize("rows", [200, 2000])
def test_honest_strong_feature_is_let_through(rows: int) -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        y = labels(rows, seed)
        strong = rng.normal(size=rows) + 2.6 * y  # an area of 0.967
        assert target_of(given(y, strong=strong)).outcome is Outcome.PASS


def test_column_with_a_value_a_row_is_no_leak() -> None:
    y = labels(300, 0)
    names = np.array([f"customer {place}" for place in range(300)], dtype=object)
    assert target_of(given(y, who=names)).outcome is Outcome.PASS


def test_rare_classes_do_not_make_a_leak_of_any_column() -> None:
    y = np.zeros(300, dtype=int)
    y[:2] = 1
    rng = np.random.default_rng(0)
    columns = {f"x{place}": rng.normal(size=300) for place in range(20)}
    assert target_of(given(y, **columns)).outcome is not Outcome.FAIL


@pytest.mark.parametrize("how", ["texts", "codes"])
def test_three_classes(how: str) -> None:
    y = labels(600, 1, 3)
    leaked = np.array(["red", "green", "blue"], dtype=object)[y] if how == "texts" else y * 10 + 1
    noise = np.random.default_rng(0).normal(size=600)
    assert target_of(given(y, (0, 1, 2), leaked=leaked, x=noise)).outcome is Outcome.FAIL
    assert target_of(given(y, (0, 1, 2), x=noise + 2 * y)).outcome is Outcome.PASS


def test_one_class_of_three_told_is_no_leak() -> None:
    y = labels(600, 1, 3)
    assert target_of(given(y, (0, 1, 2), x=(y == 2).astype(float))).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "turn", [lambda y: y, lambda y: -3 * y + 1, np.exp, np.round, lambda y: y.astype(str)]
)
def test_number_in_other_words_is_refused(turn) -> None:
    y = np.random.default_rng(0).normal(5, 8, 500).clip(-20, 30)
    assert target_of(given(y, (), leaked=turn(y))).outcome is Outcome.FAIL


def test_honest_number_is_let_through() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=1000)
    result = target_of(given(y, (), x=y + 0.1 * rng.normal(size=1000), plan=["a", "b"] * 500))
    assert result.outcome is Outcome.PASS
    assert 0.99 < result.value < 0.999


def test_constant_features_and_none_at_all() -> None:
    y = labels(100, 0)
    assert "no feature has two values" in target_of(given(y, x=np.ones(100))).reason
    assert "no named features" in target_of(given(y)).reason
    case = given(y, x=np.ones(100))
    (result, *_) = run(["leakage"], replace(case, holdout=case.rows[["y"]]))
    assert result.outcome is Outcome.UNSURE


@pytest.mark.parametrize("classes", [(0, 1), ()])
def test_constant_target_leaves_it_open(classes: tuple) -> None:
    (result, *_) = run(["leakage"], given(np.zeros(50), classes, x=np.arange(50.0)))
    assert result.outcome is Outcome.UNSURE


def test_figures_of_each_feature() -> None:
    y = labels(200, 0)
    found = alone(pd.DataFrame({"x": y * 1.0, "none": 1.0}), y, (0, 1))
    assert [(item.name, item.same) for item in found] == [("x", 2)]


def seen(case: GateInput, share: float, *, copies: int = 1) -> GateInput:
    """The case with training rows, some of which are hold-out rows."""
    rng = np.random.default_rng(5)
    count = int(share * len(case.rows))
    own = pd.DataFrame({name: rng.normal(size=1000) for name in case.spec.feature_names})
    mixed = pd.concat([case.rows[list(case.spec.feature_names)][:count], *([own] * copies)])
    held = case.rows[list(case.spec.feature_names)].assign(score=0.5)
    return replace(case, reference=pd.concat([mixed.assign(score=np.nan), held]))


def rows_of(case: GateInput) -> GateResult | None:
    return next((item for item in leakage(case) if item.gate == "leakage.rows"), None)


def numbers(rows: int = 300) -> GateInput:
    rng = np.random.default_rng(1)
    return given(labels(rows, 0), a=rng.normal(size=rows), b=rng.normal(size=rows))


def test_rows_that_were_trained_on_are_refused() -> None:
    result = rows_of(seen(numbers(), 0.2))
    assert result is not None
    assert result.outcome is Outcome.FAIL
    assert result.value == pytest.approx(0.2)
    assert "20.0% of 300 hold-out rows" in result.reason


def test_rows_that_were_not_are_let_through() -> None:
    result = rows_of(seen(numbers(), 0.0, copies=3))
    assert result is not None
    assert result.outcome is Outcome.PASS


def test_rows_that_repeat_by_nature_are_let_through() -> None:
    y = labels(300, 0)
    case = given(y, plan=labels(300, 1, 4) * 1.0)
    result = rows_of(
        replace(case, reference=pd.DataFrame({"plan": labels(900, 2, 4) * 1.0, "score": np.nan}))
    )
    assert result is not None
    assert result.outcome is Outcome.PASS
    assert result.value == 1.0


def test_rows_need_to_know_which_were_trained_on() -> None:
    case = numbers()
    assert rows_of(case) is None
    assert rows_of(replace(case, reference=case.rows)) is None
    assert rows_of(replace(case, reference=case.rows.assign(score=0.1))) is None
    assert rows_of(replace(case, reference=case.rows[["y"]].assign(score=np.nan))) is None


@pytest.mark.parametrize(
    ("until", "how", "outcome"),
    [
        ("2026-02-01T00:00:00+00:00", "time", Outcome.FAIL),
        ("2025-12-31T00:00:00+00:00", "time", Outcome.PASS),
        ("2026-02-01T00:00:00+00:00", "random", None),
        ("no time", "time", None),
        (None, "time", None),
    ],
)
def test_holdout_by_time_begins_after_training(
    until: str | None, how: str, outcome: Outcome | None
) -> None:
    case = numbers()
    spec = replace(case.spec, time="day", split=how, trained_to=until)
    case = replace(
        case,
        candidate=replace(case.candidate, spec=spec),
        holdout=case.rows.assign(day=pd.date_range("2026-01-01", periods=300)),
    )
    found = [item.outcome for item in leakage(case) if item.gate == "leakage.time"]
    assert found == ([] if outcome is None else [outcome])
