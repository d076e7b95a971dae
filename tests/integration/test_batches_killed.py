"""A process that logs batches is killed at random moments, again and again, as a server may be.

Every row that was acknowledged is in the log exactly once: for our reader at once, for a reader
that knows nothing of us once another process has sealed what the dead left.
"""

import random
import signal
import subprocess
import sys
import time

import duckdb
import polars as pl
import pytest

from lifecycle.stores.predictions import PredictionLog
from lifecycle.stores.upkeep import tend

# Batches of 1 to 64 rows as fast as they go; what is printed was acknowledged. A thread answers
# for a second model meanwhile. Journals are short, so that many are sealed and some merged.
WRITER = """
import sys, threading
import numpy as np
from lifecycle.stores import predictions
from lifecycle.stores.predictions import PredictionWriter
predictions.UPKEEP_SECONDS = 0.3
if sys.argv[3] == "apart":
    predictions.APART_BYTES = 100_000
writer = PredictionWriter(sys.argv[1], seal_seconds=0.05, seal_bytes=300_000)
rng = np.random.default_rng()
say = threading.Lock()
def answer(model, limit):
    number = 0
    while number < limit:
        rows = int(rng.integers(1, 65))
        name = f"{sys.argv[2]}-{model}-{number}"
        names = [f"{name}-{row}" for row in range(rows)]
        block = np.full((30, rows), float(number))
        features = {f"f{at}": block[at] for at in range(30)}
        if number % 3 == 0:
            features["plan"] = np.array(["é"] * rows, object)
        writer.append(model, 1 + number % 3, names, time=1775044800000000 + number,
                      features=features, prediction=np.full(rows, number),
                      score=rng.random(rows), key=names, latency_ms=[0.5] * rows,
                      block=None if number % 3 == 0 else block)
        with say:
            sys.stdout.write(f"{model} {name} {rows}\\n")
            sys.stdout.flush()
        number += 1
threading.Thread(target=answer, args=("fraud", 400), daemon=True).start()
answer("churn", 400)
threading.Event().wait()
"""


def killed(forked, folder, life, seconds, how):
    """What a process acknowledged that lived so many seconds: (model, id) of each row."""
    with forked(WRITER, folder, f"life{life}", how) as process:
        first = process.stdout.readline()
        timer = time.monotonic() + seconds
        time.sleep(max(0.0, timer - time.monotonic()))
        process.send_signal(signal.SIGKILL)
        lines = [first, *process.stdout.read().splitlines(keepends=True)]
    said = [line.split() for line in lines if line.endswith("\n")]
    return {
        model: {
            f"{name}-{row}" for at, name, rows in said if at == model for row in range(int(rows))
        }
        for model in ("churn", "fraud")
    }


@pytest.mark.parametrize("how", ["within", "apart"])
@pytest.mark.slow
def test_every_acknowledged_row_of_a_batch_is_in_the_log_exactly_once(tmp_path, how, forked):
    rng = random.Random(how)
    log = PredictionLog(tmp_path)
    acknowledged = {"churn": set(), "fraud": set()}
    for life in range(3):
        for model, names in killed(forked, tmp_path, life, rng.uniform(0.05, 0.5), how).items():
            acknowledged[model] |= names
            found = log.read(model, columns=["prediction_id"])["prediction_id"]
            assert found.n_unique() == len(found), "no row is there twice"
            missing = names - set(found)
            assert not missing, f"{len(missing)} rows of {model} were acknowledged and are lost"
            # one batch at most was in flight when the process died
            assert len(set(found) - acknowledged[model]) <= 64 * (life + 1)
    before = {model: len(log.read(model, columns=["key"])) for model in acknowledged}
    sealing = "import sys; from lifecycle.stores.predictions import PredictionLog as Log;"
    sealing += "Log(sys.argv[1]).seal()"
    _wait_for_sealing_of_the_dead(tmp_path)
    subprocess.run([sys.executable, "-c", sealing, str(tmp_path)], check=True)
    assert not log.journals()
    for merged in (False, True):
        if merged:
            tend(tmp_path, everything=True, wait=True)
        for model, names in acknowledged.items():
            pattern = f"{tmp_path}/model={model}/date=*/*.parquet"
            scanned = pl.scan_parquet(pattern).select("prediction_id", "key").collect()
            assert (scanned["prediction_id"] == scanned["key"]).all()
            assert len(scanned) == scanned["prediction_id"].n_unique() == before[model]
            assert names <= set(scanned["prediction_id"])
            query = f"SELECT count(*), count(DISTINCT prediction_id) FROM read_parquet('{pattern}')"
            assert duckdb.sql(query).fetchall() == [(before[model], before[model])]
    whole = log.read("churn")
    fields = whole["features"].struct
    assert (fields.field("f0") == whole["prediction"]).all()
    assert (fields.field("f29") == whole["prediction"]).all()
    assert log.damaged() == ()


def _wait_for_sealing_of_the_dead(folder):
    """A process of low priority that the killed one had started may still be sealing."""
    end = time.monotonic() + 120
    while PredictionLog(folder).journals() and time.monotonic() < end:
        PredictionLog(folder).seal()
        time.sleep(0.05)
