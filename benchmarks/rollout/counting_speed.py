"""How long one look at a large log takes, and how much memory.

    python benchmarks/rollout/counting_speed.py [--rows 1000000]

The log has 16 sealed files of two versions with ten features, half of the rows with one of 50,000
keys, and labels for a third of them. It is counted with three sets of guards, each in a process of
its own: memory is what that process had at most, above what it had before it counted.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from lifecycle.records import Arm, Rollout, RolloutSpec
from lifecycle.rollout.guards import parse
from lifecycle.rollout.numbers import contrasts
from lifecycle.stores import ids
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.log import PredictionLog
from lifecycle.stores.rows import COLUMNS
from lifecycle.stores.tallies import counted
from lifecycle.workflows.counting import measures

SECRET = b"s" * 32
FILES = 16
KEYS = 50_000
CARRIERS = [f"C{number:02}" for number in range(20)]
PLAIN = ("errors", "invalid", "latency")
SETS = {
    "errors, invalid, latency": PLAIN,
    "with labels": (*PLAIN, "label_error"),
    "with labels and 20 segments": (
        *PLAIN, "label_error", *(f"errors:carrier={name}" for name in CARRIERS),
    ),
}  # fmt: skip


def log_of(folder: Path, rows: int, began: int) -> None:
    """A log of a canary at its second step, and labels."""
    rng = np.random.default_rng(0)
    makers = {
        arm: ids.issuer(SECRET, "churn", version, arm, 1)
        for arm, version in (("champion", 7), ("challenger", 8))
    }
    each = rows // FILES
    for file in range(FILES):
        arms = np.where(rng.random(each) < 0.25, "challenger", "champion")
        times = began + (file * each + np.arange(each)) * 1000
        hashed = ids.key_hash(SECRET, None)
        tokens = [makers[arm](int(at), hashed, 1) for arm, at in zip(arms, times, strict=True)]
        keyed = rng.random(each) < 0.5
        keys = np.char.add("customer-", rng.integers(0, KEYS, each).astype(str))
        failed = rng.random(each) < 0.01
        features = {f"x{number}": rng.normal(size=each) for number in range(9)}
        frame = pl.DataFrame(
            {
                "prediction_id": tokens,
                "time": pl.Series(times).cast(pl.Datetime("us", "UTC")),
                "model": ["churn"] * each,
                "arm": arms.tolist(),
                "version": np.where(arms == "champion", 7, 8),
                "step": np.ones(each, int),
                "key": pl.Series(keys).zip_with(
                    pl.Series(keyed), pl.Series([None] * each, dtype=pl.String)
                ),
                "latency_ms": rng.lognormal(1.0, 0.4, each),
                "features": pl.DataFrame(
                    {**features, "carrier": rng.choice(CARRIERS, each)}
                ).to_struct(),
                "prediction": rng.integers(0, 2, each),
                "score": rng.random(each),
                "error": ["ValueError: no" if bad else None for bad in failed],
            }
        )
        PredictionLog(folder).write("churn", frame.select(COLUMNS), name=f"part-{file}")
        labels = frame.filter(pl.Series(rng.random(each) < 1 / 3)).select(
            "prediction_id", label="prediction"
        )
        LabelStore(folder).add("churn", labels, SECRET)


def look(folder: str, guards: tuple[str, ...], began: int) -> dict[str, float]:
    """One look in this process."""
    arms = (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))
    spec = RolloutSpec("churn", "canary", arms, steps=(0.05, 0.25, 1.0), guards=guards)
    started = datetime.fromtimestamp(began / 1e6, UTC).isoformat()
    rollout = Rollout(spec, seq=1, step=1, started=started)
    watched = measures([parse(text) for text in guards])
    before, start, used = _memory("VmRSS"), time.perf_counter(), time.process_time()
    found = counted([folder], rollout, watched, contrasts=contrasts, classes=(0, 1))
    seconds = time.perf_counter() - start
    return {
        "rows": int(found.coverage["rows"]),
        "seconds": seconds,
        "cpu": time.process_time() - used,
        "megabytes": _memory("VmHWM") - before,
    }


def _memory(name: str) -> float:
    """What /proc says of this process, in 10^6 bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (found,) = [line.split() for line in lines if line.startswith(f"{name}:")]
    return int(found[1]) * 1024 / 1e6


def figures(rows: int = 1_000_000) -> dict[str, dict[str, float]]:
    """Rows, seconds, seconds of processors and megabytes of one look, by set of guards."""
    began = time.time_ns() // 1_000_000 * 1000 - 86_400_000_000
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        log_of(Path(folder), rows, began)
        for name, guards in SETS.items():
            asked = json.dumps([folder, guards, began])
            done = subprocess.run(
                [sys.executable, __file__, "--look", asked], capture_output=True, text=True,
                check=True,
            )  # fmt: skip
            found[name] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the table, or look once for `figures`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--look", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.look:
        folder, guards, began = json.loads(given.look)
        print(json.dumps(look(folder, tuple(guards), began)))
        return
    print("| guards | rows | seconds | of processors | MB |\n|---|---|---|---|---|")
    for name, made in figures(given.rows).items():
        told = f"{made['seconds']:.2f} | {made['cpu']:.2f} | {made['megabytes']:.0f}"
        print(f"| {name} | {made['rows']:,} | {told} |")


if __name__ == "__main__":
    main()
