"""A disk that is really full: a small tmpfs in a mount namespace of its own, which ends with it."""

import json
import shutil
import subprocess
import sys

import pytest

DISK = """
import json, os, sys
import numpy as np
from lifecycle.errors import LogError
from lifecycle.stores.predictions import PredictionLog, PredictionWriter
disk, policy = sys.argv[1:]
writer = PredictionWriter(disk + "/log", seal_seconds=0.1, seal_bytes=40_000, policy=policy)
x = np.arange(8.0)
answered, refused = [], []
def append(count):
    for _ in range(count):
        names = [f"{len(answered) + len(refused) + row}" for row in range(8)]
        try:
            writer.append("churn", 1, names, time=1775044800000000, features={"x": x, "y": x * 7},
                          prediction=x, score=x / 8)
            answered.extend(names)
        except LogError as error:
            refused.extend(names)
            assert "No space left" in str(error) or "cannot be written" in str(error), error
append(20)
with open(disk + "/ballast", "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
append(200)
full = {"lost": writer.lost, "refused": len(refused)}
seen = PredictionLog(disk + "/log").read("churn")["prediction_id"].to_list()
os.remove(disk + "/ballast")
writer._retry = 0.0
append(20)
writer.close()
log = PredictionLog(disk + "/log")
log.seal()
found = log.read("churn")["prediction_id"].to_list()
print(json.dumps({**full, "answered": answered, "refused_ids": refused, "found": found,
                  "seen": seen, "damaged": log.damaged(), "trouble": writer.trouble,
                  "journals": len(log.journals())}))
"""


def on_a_small_disk(folder, policy):
    """What the process said that had 400 kB of disk to itself."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare(1) to mount a small disk with")
    script = 'mount -t tmpfs -o size=400k tmpfs "$0" || exit 77; shift 0; exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, str(folder)]
    done = subprocess.run(
        [*command, sys.executable, "-c", DISK, str(folder), policy],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


def test_strict_answers_only_what_is_logged(tmp_path):
    told, _ = on_a_small_disk(tmp_path, "strict")
    assert told["refused"] > 0
    assert told["lost"] == 0
    assert sorted(told["found"]) == sorted(told["answered"])
    assert told["damaged"] == []
    assert told["journals"] == 0


def test_available_answers_everything_and_counts_what_is_missing(tmp_path):
    told, said = on_a_small_disk(tmp_path, "available")
    assert told["refused"] == 0
    assert told["lost"] > 0
    assert len(told["found"]) == len(set(told["found"])) == len(told["answered"]) - told["lost"]
    assert set(told["seen"]) <= set(told["found"])
    assert set(told["answered"][-160:]) <= set(told["found"]), "it goes on when there is room"
    assert told["damaged"] == []
    assert said.count("answered without being logged") >= 1
