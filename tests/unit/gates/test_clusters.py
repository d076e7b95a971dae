"""Which rows go together, and what it does to the champion gate."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lifecycle.gates import GateInput
from lifecycle.gates.champion import champion
from lifecycle.gates.clusters import MOST, STRETCHES, clusters, said
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import ModelSpec, Outcome

SPEC = ModelSpec(1, "binary", (), target="y", classes=(0, 1), primary_metric="roc_auc")


def given(rows: pd.DataFrame, **spec: str) -> GateInput:
    return GateInput(LoadedModel(replace(SPEC, **spec), "sklearn", lambda _columns: None), rows)


def test_keys_that_repeat_are_clusters() -> None:
    case = given(pd.DataFrame({"who": ["a", "b", "a", None, None]}), key="who")
    (codes,) = clusters(case)
    assert codes[0] == codes[2]
    assert len(set(codes.tolist())) == 4  # a row without a key stands alone
    assert "(4)" in said(case)


def test_keys_that_do_not_repeat_are_none() -> None:
    case = given(pd.DataFrame({"who": [1, 2, 3]}), key="who")
    assert clusters(case) == ()
    assert said(case) == ""


def test_many_keys_are_put_together() -> None:
    case = given(pd.DataFrame({"who": np.repeat(np.arange(3 * MOST), 2)}), key="who")
    (codes,) = clusters(case)
    assert len(np.unique(codes)) == MOST
    assert (codes[::2] == codes[1::2]).all()


@pytest.mark.parametrize("kind", ["datetime64[ns]", "str"])
def test_times_are_cut_into_stretches(kind: str) -> None:
    days = pd.Series(pd.date_range("2026-01-01", periods=200))
    (codes,) = clusters(given(pd.DataFrame({"day": days.astype(kind)}), time="day"))
    assert np.bincount(codes).tolist() == [10] * STRETCHES


@pytest.mark.parametrize(
    "days", [["2026-01-01"] * 3, ["2026-01-01", None, "2026-01-03"], ["x"] * 3]
)
def test_times_that_tell_nothing_are_none(days: list[str | None]) -> None:
    assert clusters(given(pd.DataFrame({"day": days}), time="day")) == ()


def test_key_and_time_are_two_ways() -> None:
    rows = pd.DataFrame({"who": [1, 1, 2], "day": pd.date_range("2026", periods=3)})
    case = given(rows, key="who", time="day")
    assert len(clusters(case)) == 2
    assert said(case) == "; rows of one 'who' or stretch of time count together (2, 3)"


def test_columns_that_the_rows_lack_are_none() -> None:
    assert clusters(given(pd.DataFrame({"y": [1, 0]}), key="who", time="day")) == ()


def alike(seed: int, *, known: bool) -> GateInput:
    """Equal models whose errors are those of 40 customers."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(40), 25)
    y = (rng.random(1000) < 0.4).astype(int)

    def answers() -> Output:
        raw = 1.2 * y + rng.normal(size=40)[who] + 0.3 * rng.normal(size=1000)
        scores = 1 / (1 + np.exp(-raw))
        return Output((scores > 0.5).astype(int), np.column_stack([1 - scores, scores]))

    case = given(pd.DataFrame({"y": y, "who": who}), **({"key": "who"} if known else {}))
    return replace(case, output=answers(), champion=case.candidate, champion_output=answers())


def test_equal_candidate_of_few_customers_is_refused_as_seldom_as_any() -> None:
    refused = {
        known: np.mean(
            [champion(alike(seed, known=known)).outcome is Outcome.FAIL for seed in range(60)]
        )
        for known in (True, False)
    }
    assert refused[True] <= 0.1
    assert refused[False] > 2 * refused[True]


def test_reason_says_that_rows_count_together() -> None:
    assert "rows of one 'who' count together (40)" in champion(alike(0, known=True)).reason
