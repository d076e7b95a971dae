"""Rollouts by statistics, each rule side by side: `python benchmarks/rollout/run.py`.

Prints the tables and writes them to RESULTS.md, with a picture beside it. `--quick` has a
twentieth of the rollouts and takes under a minute.
"""

import argparse
import os
import shlex
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from event_tables import (
    agreement,
    certificates,
    detection,
    false_rollbacks,
    sample_ratio,
    shadow,
    sticky,
    sticky_table,
)
from number_tables import CASES, latency_false, latency_found, whole, whole_table
from rollout_picture import draw
from shown import Section, document

if TYPE_CHECKING:
    from decisions import End

HERE = Path(__file__).parent
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
# tables and how many rollouts each row of them has
TABLES: dict[Callable[[int, int], Section], int] = {
    false_rollbacks: 4000,
    detection: 2000,
    shadow: 4000,
    certificates: 4000,
    sample_ratio: 2000,
    latency_false: 2000,
    latency_found: 600,
}
# … and those that `decide` leads, one after the other
WHOLE = {"equal, 2 %": 2000, "1.25 times worse, the last margin": 2000}
WHOLE_OTHERS = 200
STICKY = 2000
QUICK = 20
PART = 100  # whole rollouts that a process does at a time


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    given = options(arguments)
    for threads in THREADS:  # the processes are as many as the cores
        os.environ.setdefault(threads, "1")
    started = time.perf_counter()
    less = QUICK if given.quick else 1
    with ProcessPoolExecutor(given.jobs, mp_context=get_context("spawn")) as pool:
        ends = {case: _whole(pool, given.seed, case, less) for case in CASES}
        keyed = [
            pool.submit(sticky, given.seed, at, min(PART, STICKY // less - at))
            for at in range(0, STICKY // less, PART)
        ]
        tables = [
            pool.submit(table, given.seed, max(rollouts // less, 20))
            for table, rollouts in TABLES.items()
        ]
        apart = pool.submit(agreement, given.seed, max(200 // less, 10))
        sections = [table.result() for table in tables]
        parts = {case: [end for job in jobs for end in job.result()] for case, jobs in ends.items()}
        keys = [alarms for job in keyed for alarms in job.result()]
        sections = [*sections[:1], sticky_table(keys), *sections[1:], whole_table(parts)]
        worst = apart.result()
    if worst > 1e-9:
        raise AssertionError(f"the bench's evidence is {worst:g} from weigh()'s")
    words = sys.argv[1:] if arguments is None else arguments
    command = f"python benchmarks/rollout/run.py {shlex.join(words)}".rstrip()
    picture = given.output.with_name("rates.png")
    draw(sections, picture)
    minutes = (time.perf_counter() - started) / 60.0
    text = document(sections, command, minutes, picture.name)
    print(text)
    given.output.write_text(text, encoding="utf-8")
    return 1 if "**missed**" in text and not given.quick else 0


def _whole(pool: ProcessPoolExecutor, seed: int, case: str, less: int) -> list["Future[list[End]]"]:
    rollouts = max(WHOLE.get(case, WHOLE_OTHERS) // less, 10)
    return [
        pool.submit(whole, seed + at, min(PART, rollouts - at), case)
        for at in range(0, rollouts, PART)
    ]


def options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a twentieth, in under a minute")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--output", type=Path, default=HERE / "RESULTS.md")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
