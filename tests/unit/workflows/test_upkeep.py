"""The log's upkeep by hand does what the configuration says, and waits for its turn."""

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from lifecycle.config import Config
from lifecycle.stores.locks import UPKEEP, held
from lifecycle.stores.predictions import PredictionLog, PredictionWriter
from lifecycle.workflows.upkeep import upkeep


def logged(config: Config, moment: datetime, *, name: str) -> None:
    with PredictionWriter(config.log.dir) as writer:
        x = np.ones(1)
        time = int(moment.timestamp() * 1e6)
        writer.append("churn", 1, name, time=time, features={"x": x}, prediction=x)


def test_days_files_are_merged_at_once_and_old_ones_deleted(config: Config) -> None:
    today = datetime.now(UTC).replace(hour=12)
    for name in "abc":
        logged(config, today, name=name)
    logged(config, datetime(2020, 1, 1, tzinfo=UTC), name="old")
    assert upkeep(config, everything=False).merged == 0
    assert upkeep(config).merged == 3
    kept = upkeep(config.with_values(log__keep_days=1e-9))
    assert kept.deleted_files == 1
    left = PredictionLog(config.log.dir).read("churn")["prediction_id"].to_list()
    assert sorted(left) == ["a", "b", "c"]


def test_it_waits_for_who_is_at_it(config: Config) -> None:
    for name in "ab":
        logged(config, datetime.now(UTC), name=name)
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(upkeep(config).merged))
    with held(config.log.dir, UPKEEP):
        thread.start()
        time.sleep(0.2)
        assert done == []
    thread.join()
    assert done == [2]


def test_a_log_that_is_not_there_needs_none(config: Config) -> None:
    assert upkeep(config).merged == 0
    assert not Path(config.log.dir).exists()
