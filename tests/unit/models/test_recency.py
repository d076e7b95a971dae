"""All rows, unless recent ones are shown to be better on the newest."""

import numpy as np
import pandas as pd
import pytest

from lifecycle.models.recency import choose
from lifecycle.models.tables import Table, check_training


def stream(rows: int, *, turn: float, seed: int = 0, task: str = "binary") -> Table:
    """What x says of y turns round after the share `turn` of the rows."""
    rng = np.random.default_rng(seed)
    x, other = rng.normal(size=rows), rng.normal(size=rows)
    sign = np.where(np.arange(rows) < turn * rows, -1.0, 1.0)
    signal = 2.0 * sign * x + rng.normal(size=rows)
    target = signal if task == "regression" else (signal > 0).astype(int)
    times = pd.date_range("2026-01-01", periods=rows, freq="h")
    frame = pd.DataFrame({"ts": times, "x": x, "other": other, "y": target})
    return check_training(frame.sample(frac=1, random_state=0), target="y", time="ts")


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_rows_before_a_turn_are_left_out(task: str) -> None:
    choice = choose(stream(3000, turn=0.5, task=task), share=0.2, seed=0)
    # 2,400 rows come before the newest, their last third begins at row 1,600
    assert choice.since == pd.Timestamp("2026-01-01") + pd.Timedelta(hours=1600)
    assert "trained on rows since 2026-03-08" in choice.reason
    assert "last 800 rows against one on 2,400, judged on the newest 600" in choice.reason


def test_stable_rows_are_all_kept() -> None:
    for seed in range(2):
        choice = choose(stream(2000, turn=0.0, seed=seed), share=0.2, seed=0)
        assert choice.since is None
        assert "not shown to be better" in choice.reason


def test_few_rows_are_all_kept() -> None:
    choice = choose(stream(500, turn=0.5), share=0.2, seed=0)
    assert choice.since is None
    assert "133 recent rows are fewer than 200" in choice.reason


def test_without_a_time_all_rows_are_kept() -> None:
    frame = stream(900, turn=0.5).frame.drop(columns="ts")
    choice = choose(check_training(frame, target="y"), share=0.2, seed=0)
    assert choice.since is None
    assert "no time column" in choice.reason


def test_newest_rows_that_cannot_judge_keep_all() -> None:
    frame = stream(2000, turn=0.0).frame
    frame.loc[frame.index >= 1500, "y"] = 1
    choice = choose(check_training(frame, target="y", time="ts"), share=0.2, seed=0)
    assert choice.since is None
    assert "cannot judge" in choice.reason


def test_rows_of_one_instant_are_all_recent_or_none() -> None:
    made = stream(3000, turn=0.5)
    frame = made.frame.copy()
    frame["ts"] = frame["ts"].dt.floor("D")
    table = check_training(frame, target="y", time="ts")
    choice = choose(table, share=0.2, seed=0)
    assert choice.since is not None
    assert choice.since == choice.since.floor("D")
    assert choice.since in set(table.frame["ts"])


def test_the_same_seed_chooses_the_same_with_the_same_figures() -> None:
    table = stream(2000, turn=0.4, seed=3)
    assert choose(table, share=0.2, seed=1) == choose(table, share=0.2, seed=1)


def test_the_order_in_which_rows_come_does_not_matter() -> None:
    frame = stream(2400, turn=0.5).frame
    tables = [
        check_training(frame.sample(frac=1.0, random_state=seed), target="y", time="ts")
        for seed in (1, 2)
    ]
    assert choose(tables[0], share=0.2, seed=0) == choose(tables[1], share=0.2, seed=0)
