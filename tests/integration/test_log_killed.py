"""A process is killed with SIGKILL at random moments while it writes and seals."""

import random
import signal
import time

import polars as pl
import pytest

from lifecycle.stores.predictions import PredictionLog, PredictionWriter

WRITER = """
import sys
import numpy as np
from lifecycle.stores.predictions import PredictionWriter
writer = PredictionWriter(sys.argv[1], seal_seconds=0.05, seal_bytes=20_000)
rng = np.random.default_rng(0)
number = 0
while True:
    rows = 1 + number % 3
    name = f"{sys.argv[2]}-{number}"
    writer.append("churn", 1 + number % 2, name, time=1775044800000000 + number * 1_000_000_000,
                  features={"x": np.full(rows, float(number)), "s": np.array(["é"] * rows, object)},
                  prediction=np.full(rows, number), score=rng.random(rows))
    sys.stdout.write(f"{name} {rows}\\n")
    sys.stdout.flush()
    number += 1
"""


def killed(forked, folder, name, seconds):
    with forked(WRITER, folder, name) as process:
        first = process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
    lines = [line for line in (first + rest).splitlines(keepends=True) if line.endswith("\n")]
    return [tuple(line.split()) for line in lines]


def expected(acknowledged):
    names = set()
    for name, count in acknowledged:
        rows = int(count)
        names |= {name} if rows == 1 else {f"{name}.{row}" for row in range(rows)}
    return names


@pytest.mark.parametrize("seed", range(2))
def test_what_was_acknowledged_is_there_once_after_a_kill(tmp_path, seed, forked):
    rng = random.Random(seed)
    log = PredictionLog(tmp_path)
    acknowledged = []
    for life in range(3):
        acknowledged += killed(forked, tmp_path, f"life{life}", rng.uniform(0.0, 0.3))
        found = log.read("churn")["prediction_id"].to_list()
        assert len(found) == len(set(found))
        assert expected(acknowledged) <= set(found)
        # one request at most was in flight when the process died
        assert len(found) - len(expected(acknowledged)) <= 3 * (life + 1)
    before = log.read("churn")
    with PredictionWriter(tmp_path):  # the next writer seals what the dead left
        pass
    log.seal()
    assert not list((tmp_path / "journal").glob("*.journal"))
    after = log.read("churn")
    assert after.sort("prediction_id").equals(before.sort("prediction_id"))
    assert (after["features"].struct.field("x") == after["prediction"]).all()
    for path in tmp_path.glob("model=*/date=*/*.parquet"):
        assert len(pl.read_parquet(path)) > 0
    assert log.damaged() == ()
