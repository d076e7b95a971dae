"""Logged requests against the rows that a candidate was made with."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lifecycle.gates import GateInput, Traffic, run
from lifecycle.gates.traffic import differences, traffic
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Column, GateResult, ModelSpec, Outcome

SPEC = ModelSpec(
    1,
    "regression",
    (
        Column("price", "double"),
        Column("age", "long"),
        Column("plan", "string"),
        Column("since", "datetime"),
        Column("note", "string", required=False),
    ),
    target="y",
    time="ts",
)
MODEL = LoadedModel(SPEC, "sklearn", lambda columns: Output(columns["price"] * 2.0))


def rows(count: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "price": rng.lognormal(3.0, 1.0, count),
            "age": rng.integers(18, 90, count),
            "plan": rng.choice(["basic", "pro", "team"], count),
            "since": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 600, count), "D"),
            "note": rng.choice(["a", "b", "c", None], count),
            "ts": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(count), "min"),
        }
    )


GIVEN = GateInput(MODEL, reference=rows(2000))


def found(frame: pd.DataFrame, given: GateInput = GIVEN, **more: object) -> dict[str, GateResult]:
    logged = Traffic(frame.drop(columns="ts", errors="ignore"), **more)
    return {item.gate: item for item in traffic(replace(given, traffic=logged))}


def test_same_kind_of_requests_pass_and_say_on_what() -> None:
    results = found(rows(400, 1))
    assert {item.outcome for item in results.values()} == {Outcome.PASS}
    assert "400 logged requests against 2,000 training rows" in results["traffic.units"].reason
    assert set(results) == {"traffic.columns", "traffic.units"}


def test_no_log_is_no_obstacle() -> None:
    for logged in (None, Traffic(rows(0))):
        (result,) = traffic(replace(GIVEN, traffic=logged))
        assert result.outcome is Outcome.PASS
        assert "no requests are logged" in result.reason


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x.assign(price=x.price * 100), "'price': a factor of 100"),
        (lambda x: x.assign(price=x.price / 100), "'price': a factor of 100"),
        (lambda x: x.assign(age=x.age * 12), "'age': a factor of 12"),
        (lambda x: x.assign(price=x.age, age=x.price), "'price': its values are those that 'age'"),
        (lambda x: x.assign(plan=x.plan.str.upper()), "'plan': 100% of the rows"),
        (lambda x: x.assign(plan=x.plan.map({"basic": "1", "pro": "2", "team": "3"})), "'plan'"),
        (lambda x: x.assign(note=None), "'note': null in 100%"),
        (
            lambda x: x.assign(since=pd.Timestamp("1970-01-21")),
            "'since': its times are around 1970",
        ),
    ],
)
def test_units_and_codings_are_refused_by_name(change: Callable, said: str) -> None:
    result = found(change(rows(400, 2)))["traffic.units"]
    if "age" in said and "price" in said:
        result = found(change(rows(400, 2)).assign(age=lambda x: x.age.round().astype(int)))[
            "traffic.units"
        ]
    assert result.outcome is Outcome.FAIL
    assert said in result.reason


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.assign(price=x.price * 1.3),
        lambda x: x.assign(age=x.age + 15),
        lambda x: x.assign(plan=["pro"] * len(x)),
        lambda x: x.assign(plan=["basic"] * (len(x) - 80) + ["enterprise"] * 80),
        lambda x: x.assign(note=x.note.where(np.arange(len(x)) % 2 == 0)),
        lambda x: x.assign(since=x.since + pd.Timedelta(days=365)),
        lambda x: x[x.age < 40],
        lambda x: pd.concat([x.head(1)] * 400),
    ],
)
def test_what_drifts_passes(change: Callable) -> None:
    results = found(change(rows(400, 3)))
    assert [item.reason for item in results.values() if item.outcome is not Outcome.PASS] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x.drop(columns="age"), "no request has 'age'"),
        (lambda x: x.drop(columns="note"), "no request has 'note'"),
        (lambda x: x.assign(region="north"), "requests have 'region'"),
        (lambda x: x.assign(age=x.age.astype(str)), "'age'"),
        (lambda x: x.assign(plan=1.0), "'plan'"),
        (lambda x: x.assign(age=x.age.where(x.age > 20)), "'age' is null in"),
    ],
)
def test_columns_and_types_that_differ_are_refused(change: Callable, said: str) -> None:
    known = frozenset({"price", "age", "plan", "since", "note", "region"})
    result = found(change(rows(200, 4)), known=known)["traffic.columns"]
    assert result.outcome is Outcome.FAIL
    assert said in result.reason


def test_new_optional_column_cannot_be_in_the_log_yet() -> None:
    known = frozenset({"price", "age", "plan", "since"})
    result = found(rows(200).drop(columns="note"), known=known)["traffic.columns"]
    assert result.outcome is Outcome.PASS
    assert "not logged yet: note" in result.reason


def test_masked_columns_are_not_compared() -> None:
    frame = rows(200).assign(plan="8f3a11").drop(columns="price")
    results = found(frame, hidden=frozenset({"plan", "price"}))
    assert {item.outcome for item in results.values()} == {Outcome.PASS}


def test_few_rows_are_open_only_where_they_look_wrong() -> None:
    assert found(rows(10, 5))["traffic.units"].outcome is Outcome.PASS
    assert "units are told by 30" in found(rows(10, 5))["traffic.units"].reason
    odd = found(rows(10, 5).assign(age=lambda x: x.age * 100))["traffic.units"]
    assert odd.outcome is Outcome.UNSURE
    assert "'age' lies outside" in odd.reason


def test_counter_that_goes_with_time_is_always_elsewhere() -> None:
    spec = ModelSpec(1, "regression", (Column("order", "long"),), time="ts")
    before = rows(800).assign(order=np.arange(800) + 1_000_000)
    after = pd.DataFrame({"order": np.arange(300) + 1_020_000})
    assert differences(spec, before, after) == {}
    assert "outside" in differences(spec, before.drop(columns="ts"), after)["order"]


def test_without_training_rows_it_is_open_and_names_the_next_step() -> None:
    given = GateInput(MODEL, traffic=Traffic(rows(50)))
    (result,) = run(["traffic"], given)
    assert result.outcome is Outcome.UNSURE
    assert "lifecycle adopt" in result.reason


def test_answers_of_this_version_must_be_what_it_answers_now() -> None:
    own = rows(100, 6)
    same = found(own, own=own, answers=Output(own.price.to_numpy() * 2.0))["traffic.answers"]
    assert same.outcome is Outcome.PASS
    skewed = own.price.to_numpy() * 2.0
    skewed[:5] += 40.0
    other = found(own, own=own, answers=Output(skewed))["traffic.answers"]
    assert (other.outcome, other.value) == (Outcome.FAIL, 0.05)
    lost = found(own, own=own.drop(columns="age"), answers=Output(skewed))["traffic.answers"]
    assert lost.outcome is Outcome.UNSURE


def test_scores_and_labels_are_compared_where_there_are() -> None:
    spec = ModelSpec(1, "binary", (Column("price", "double"),), classes=("no", "yes"))
    frame = rows(60)[["price"]]
    share = 1.0 / (1.0 + frame.price.to_numpy())
    scores = np.column_stack([1.0 - share, share])
    labels = np.where(share > 0.5, "yes", "no").astype(object)
    model = LoadedModel(spec, "sklearn", lambda _columns: Output(labels, scores))
    given = GateInput(model, reference=rows(500))
    for answers, outcome in (
        (Output(labels, scores), Outcome.PASS),
        (Output(labels, scores[:, ::-1]), Outcome.FAIL),
        (Output(labels), Outcome.PASS),
        (Output(np.full(60, "yes", dtype=object)), Outcome.FAIL),
    ):
        assert found(frame, given, own=frame, answers=answers)["traffic.answers"].outcome is outcome


def test_target_time_and_key_may_be_sent_along() -> None:
    """A model without a signature takes any column, and the log keeps what came."""
    asked = rows(400, 1).assign(y=1.0)
    (columns, *_) = traffic(replace(GIVEN, traffic=Traffic(asked)))
    assert columns.outcome is Outcome.PASS, columns.reason
