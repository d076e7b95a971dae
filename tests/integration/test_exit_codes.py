"""The contract of exit codes, 0 fine, 1 error, 2 refused or flagged, 3 not enough evidence."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

Cli = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def files(world: Path, make_churn: Callable[..., pd.DataFrame]) -> Path:
    """Files that each command has something to say about."""
    good = pd.read_parquet(world / "good.parquet")
    moved = make_churn(400, seed=3, start="2026-02-01")
    moved.assign(charges=moved["charges"] + 200).to_parquet(world / "moved.parquet")
    make_churn(5, seed=4, start="2026-02-01").to_parquet(world / "five.parquet")
    target = good["churned"].to_numpy(copy=True)
    target[-500:] = 1 - target[-500:]  # the hold-out contradicts what was learned
    good.assign(churned=target).to_parquet(world / "reversed.parquet")
    pd.read_parquet(world / "live.parquet").drop(columns="tenure").to_csv(
        world / "short.csv", index=False
    )
    scores = pd.read_parquet(world / "scores.parquet")
    ids = scores[["prediction_id"]].assign(label=scores["prediction"])
    ids.to_parquet(world / "labels.parquet")
    ids.head(2).assign(prediction_id="forged").to_parquet(world / "forged.parquet")
    return world


DAILY = ["monitor", "churn", "--every", "1d", "--until"]
SCORE = ["score", "churn", "--input", "live.parquet", "--output"]
# in order: each builds on what those above have done to the registry
SITUATIONS: list[tuple[int, list[str]]] = [
    (0, ["status"]),
    (0, ["status", "churn"]),
    (1, ["status", "ghost"]),
    (0, ["history", "churn"]),
    (1, ["history", "ghost"]),
    (0, ["history", "churn", "--csv", "history.csv", "--head", "churn.head"]),
    (1, ["history", "churn", "--csv", "no/folder/history.csv"]),
    (0, ["history", "churn", "--at", "2020-01-01"]),
    (1, ["history", "churn", "--at", "someday"]),
    (0, ["evaluate", "churn", "--data", "good.parquet"]),
    (1, ["evaluate", "churn", "--data", "gone.parquet"]),
    (0, [*SCORE, "again.parquet"]),
    (1, [*SCORE, "no/folder/again.parquet"]),
    (0, ["drift", "good.parquet", "good.parquet"]),
    (1, ["drift", "good.parquet", "gone.parquet"]),
    (2, ["drift", "good.parquet", "moved.parquet"]),
    (3, ["drift", "good.parquet", "five.parquet"]),
    (0, ["monitor", "churn", "--live", "live.parquet"]),
    (1, ["monitor", "churn", "--live", "gone.parquet"]),
    (2, ["monitor", "churn", "--live", "moved.parquet"]),
    (2, ["monitor", "churn", "--live", "short.csv"]),
    (3, ["monitor", "churn", "--live", "five.parquet"]),
    (3, ["monitor", "churn", "--since", "2030-01-01"]),
    (3, [*DAILY, "2026-02-01T12:00"]),
    (0, [*DAILY, "2026-02-02"]),
    (0, [*DAILY, "2026-02-02T12:00"]),
    (3, [*DAILY, "2026-02-03"]),
    (0, ["monitor", "churn", "--rows", "5000"]),
    (1, ["monitor", "churn", "--rows", "5000", "--every", "1d"]),
    (1, ["monitor", "churn", "--every", "daily"]),
    (1, ["monitor", "churn", "--version", "9"]),
    (1, ["monitor", "churn", "--arm", "nobody", "--since", "2026-02-01"]),
    (1, ["monitor", "churn", "--segment", "plan"]),
    (1, ["monitor", "churn", "--alarms-per-year", "-1"]),
    (1, ["monitor", "churn", "--notify", "nonsense://hunter2"]),
    (0, ["feedback", "churn", "--labels", "labels.parquet"]),
    (1, ["feedback", "churn", "--labels", "forged.parquet"]),
    (0, ["erase", "churn", "--key", "nobody", "--reason", "asked for"]),
    (1, ["erase", "churn", "--key", "nobody", "--reason", " "]),
    (1, ["erase", "ghost", "--key", "nobody", "--reason", "asked for"]),
    (0, ["doctor"]),
    (1, ["adopt", "churn/1"]),
    (0, ["init", "good.parquet", "--output", "new.toml"]),
    (1, ["init", "good.parquet", "--output", "new.toml"]),
    (1, ["rollback", "churn", "--reason", "nothing to go back to"]),
    (0, ["train", "churn", "--data", "reversed.parquet"]),
    (2, ["gate", "churn/2"]),
    (2, ["promote", "churn/2", "--to", "staging"]),
    (1, ["promote", "churn/2", "--to", "production"]),
    (0, ["promote", "churn/2", "--to", "production", "--force", "--reason", "to see it"]),
    (0, ["rollback", "churn", "--reason", "it was bad"]),
    (0, ["verify", "churn", "--head", "churn.head"]),
    (2, ["verify", "churn", "--head", "0" * 64]),
    (1, ["verify", "churn", "--head", "nowhere"]),
    (1, ["verify", "ghost"]),
    (0, ["gate", "churn/1"]),
    (0, ["retrain", "churn", "--data", "good.parquet", "--if-flagged"]),
    (2, ["retrain", "churn", "--data", "reversed.parquet"]),
    (1, ["retrain", "churn", "--data", "gone.parquet"]),
    (1, ["serve", "ghost", "--port", "0"]),
    (1, ["train", "churn", "--data", "good.parquet", "--candidate", "nothing"]),
    (1, ["nonsense"]),
]


@pytest.mark.usefixtures("files", "in_world")
def test_each_command_exits_as_the_surface_says(cli: Cli) -> None:
    wrong = []
    for expected, arguments in SITUATIONS:
        code, told = cli(*arguments)
        if code != expected:
            wrong.append(f"{' '.join(arguments)}: {code} instead of {expected}: {str(told)[:300]}")
        if expected == 1:
            assert set(told) == {"error"}, arguments
            assert told["error"]["message"], arguments
            assert told["error"]["type"] != "LifecycleError" or arguments == ["nonsense"], told
        elif "error" in told:
            assert told["error"]["type"] == "GateRefused", arguments
            assert told["error"]["report"]["results"], arguments
    assert not wrong, "\n".join(wrong)


@pytest.mark.usefixtures("new_world")
def test_too_few_rows_to_judge_by_are_not_enough_evidence(
    cli: Cli, make_churn: Callable[..., pd.DataFrame]
) -> None:
    make_churn(60).to_parquet("few.parquet")
    assert cli("train", "churn", "--data", "few.parquet")[0] == 0
    code, report = cli("gate", "churn/1")
    assert code == 3, report
    assert not report["passed"]
    code, told = cli("promote", "churn/1", "--to", "staging")
    assert code == 3, told
    assert told["error"]["type"] == "GateRefused"


@pytest.mark.usefixtures("new_world")
def test_a_doctor_with_a_finding_exits_with_1_and_still_tells_all(cli: Cli) -> None:
    Path("mlruns/0").mkdir(parents=True)
    Path("mlruns/0/meta.yaml").write_text("name: Default")
    code, told = cli("doctor")
    assert code == 1
    assert "error" not in told
    assert [item["check"] for item in told["findings"] if item["outcome"] == "fail"] == [
        "file store"
    ]


@pytest.mark.usefixtures("new_world")
def test_odd_columns_are_told_and_are_no_reason_to_stop(
    cli: Cli, make_churn: Callable[..., pd.DataFrame]
) -> None:
    """A column that is all null is left out, one of mixed types is read as text."""
    frame = make_churn(400).assign(nothing=None)
    plan = frame["plan"].astype(object)
    plan.iloc[::2] = 7
    frame.assign(plan=plan).to_csv("odd.csv", index=False)
    code, told = cli("train", "--data", "odd.csv", "--no-register")
    assert code == 0
    assert any("nothing" in note for note in told["notes"])
