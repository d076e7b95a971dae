"""Erasing by key: what goes, what is recorded, and what is refused."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lifecycle import Project
from lifecycle.config import Config
from lifecycle.errors import ConfigError, DataError, LogError, ModelNotFound
from lifecycle.stores import erasing, ids
from lifecycle.stores.erasing import key_hash
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.ledger import Ledger
from lifecycle.stores.predictions import PredictionLog, PredictionWriter
from lifecycle.stores.tracking import connect
from lifecycle.views.terminal import text
from lifecycle.workflows.erase import erase
from lifecycle.workflows.feedback import feedback
from lifecycle.workflows.history import history
from lifecycle.workflows.score import score

Make = Callable[..., pd.DataFrame]
WHY = "asked for in ticket 12"


@pytest.fixture
def logged(serving: Config, make_churn: Make) -> Config:
    """Forty scored rows with labels, four of which are of the customer `ada`."""
    rows = make_churn(40, seed=1)
    rows["customer_id"] = ["ada l." if at % 10 == 3 else f"c{at}" for at in range(40)]
    scored = score(serving, "churn", rows.drop(columns="churned"))
    labels = pd.DataFrame({"prediction_id": scored["prediction_id"], "label": rows["churned"]})
    feedback(serving, labels)
    return serving


def entries(config: Config) -> list:
    return [item for item in Ledger(connect(config), "churn").entries() if item.kind == "erase"]


def test_a_persons_rows_and_labels_go_and_the_ledger_says_so_without_them(logged: Config) -> None:
    done = erase(logged, key="ada l.", reason=WHY)
    assert (done.predictions, done.labels, done.unsealed) == (4, 4, 0)
    left = PredictionLog(logged.log.dir).read("churn")
    assert len(left) == 36
    assert "ada l." not in left["key"].to_list()
    assert len(LabelStore(logged.log.dir).read("churn")) == 36
    (entry,) = entries(logged)
    assert entry.seq == done.entry
    assert entry.reason == WHY
    assert entry.actor
    hashed = key_hash(ids.secret(logged.log.dir), "churn", "ada l.")
    assert entry.extra == {"predictions": 4, "labels": 4, "key": hashed, "interrupted": False}
    assert done.key_hash == hashed
    assert history(logged).entries[-1].kind == "erase"
    assert "ada l." not in json.dumps(history(logged).to_dict())


def test_what_is_shown(logged: Config) -> None:
    shown = text(Project(config=logged).erase(key="ada l.", reason=WHY))
    assert "churn: 4 predictions and 4 labels erased" in shown
    assert "of the ledger, the key as" in shown
    again = text(Project(config=logged).erase(key="ada l.", reason=WHY))
    assert "churn: nothing of this key was found" in again
    assert len(entries(logged)) == 1, "nothing found is nothing to record"


def test_the_command_prints_it_and_ends_with_0(logged: Config) -> None:
    command = [sys.executable, "-m", "lifecycle", "erase", "churn", "--log", logged.log.dir]
    command += ["--reason", WHY, "--json", "--key"]
    first, second = (
        subprocess.run([*command, "ada l."], capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    told = json.loads(first.stdout)
    assert (told["predictions"], told["labels"], told["entry"] > 0) == (4, 4, True)
    assert json.loads(second.stdout)["entry"] == 0
    missing = subprocess.run(command[:-2], capture_output=True, text=True, check=False)
    assert missing.returncode == 1


@pytest.mark.parametrize(
    ("key", "reason", "named"),
    [
        ("", WHY, "no key was given"),
        ("ada l.", " ", "needs a reason"),
        ("ada l.", "ada l. asked for it", "the reason names the key"),
        ("a.d+a", "that was (a.d+a)", "the reason names the key"),
    ],
)
def test_what_is_refused_erases_nothing(logged: Config, key: str, reason: str, named: str) -> None:
    with pytest.raises(DataError, match=named):
        erase(logged, key=key, reason=reason)
    assert len(PredictionLog(logged.log.dir).read("churn")) == 40
    assert entries(logged) == []


def test_a_reason_may_hold_the_key_within_a_word(logged: Config) -> None:
    assert erase(logged, key="ada l.", reason="asked for in Canada l.").predictions == 4


def test_a_misspelt_model_is_named(serving: Config) -> None:
    with pytest.raises(ModelNotFound, match="churm"):
        erase(serving.with_values(name="churm"), key="ada l.", reason=WHY)
    with pytest.raises(ConfigError, match="no model name"):
        erase(serving.with_values(name=""), key="ada l.", reason=WHY)
    assert erase(serving, key="ada l.", reason=WHY).entry == 0, "it was never logged"


def test_a_model_that_only_the_log_knows_can_be_erased_from(config: Config) -> None:
    with PredictionWriter(config.log.dir) as writer:
        x = np.ones(1)
        writer.append("gone", 1, "id", time=0, features={"x": x}, prediction=x, key="ada l.")
    assert erase(config.with_values(name="gone"), key="ada l.", reason=WHY).predictions == 1


def test_what_was_erased_and_not_recorded_is_recorded_by_the_next_call(logged: Config) -> None:
    secret = ids.secret(logged.log.dir)
    erasing.erase(logged.log.dir, "churn", "ada l.", secret=secret)  # killed before the ledger
    done = erase(logged, key="ada l.", reason=WHY)
    assert (done.predictions, done.labels, done.interrupted) == (4, 4, True)
    assert "an earlier call was interrupted" in text(done)
    assert entries(logged)[0].extra["interrupted"] is True
    assert erase(logged, key="ada l.", reason=WHY).entry == 0


def test_damage_is_named_before_anything_is_erased(logged: Config) -> None:
    path = next(iter(Path(logged.log.dir).glob("model=churn/date=*/*.parquet")))
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    with pytest.raises(LogError, match=path.name):
        erase(logged, key="ada l.", reason=WHY)
    assert entries(logged) == []
    path.write_bytes(content)
    assert erase(logged, key="ada l.", reason=WHY).predictions == 4
