"""Error rates of drift verdicts, side by side: `python benchmarks/drift/run.py`.

Prints the tables and writes them to RESULTS.md, with a picture beside it. What was measured is
kept in the folder `.partial` next to it: `--resume` goes on from there, and keeps the tables that
are not asked for again.
"""

import argparse
import json
import multiprocessing
import os
import shlex
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from rates import gather
from report import document
from rules import RULES, rule
from tables import TABLES, Plan, plans

from lifecycle.errors import LifecycleError

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
HERE = Path(__file__).parent
Job = tuple[Plan, int]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    given = options(arguments)
    try:
        for name in given.rules:
            rule(name)
    except LifecycleError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for threads in THREADS:  # the processes are as many as the cores
        os.environ.setdefault(threads, "1")
    started = time.perf_counter()
    folder = given.output.parent / ".partial"
    kept = folder / "jobs.jsonl"
    if not given.resume:
        kept.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    every = {name: plans(name, quick=given.quick, windows=given.windows) for name in TABLES}
    asked = [plan for name in given.only if name in every for plan in every[name]]
    done = read(kept)
    todo = [
        (plan, draw)
        for plan in sorted(asked, key=lambda plan: -plan.reference)
        for draw in range(plan.draws)
        if identity(plan, draw, given.rules) not in done
    ]
    for result in measured(todo, given.rules, given.jobs, kept):
        done[result["key"]] = result
    rows = {
        name: [
            row for plan in every[name] for row in gather(plan, results(done, plan, given.rules))
        ]
        for name in every
    }
    minutes = (time.perf_counter() - started) / 60
    command = "python benchmarks/drift/run.py " + shlex.join(arguments or sys.argv[1:])
    text = document(rows, [], command=command.rstrip(), notes=[f"{minutes:.1f} minutes."])
    print(text)
    given.output.write_text(text, encoding="utf-8")
    return 0


def options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*TABLES, "speed"]
    parser.add_argument(
        "--quick", action="store_true", help="two minutes: few windows, no large ones"
    )
    parser.add_argument("--only", type=listed, default=names, help=", ".join(names))
    parser.add_argument("--rules", type=listed, default=list(RULES), help="or module:function")
    parser.add_argument("--windows", type=int, help="windows a row, up to 10,000 rows")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--resume", action="store_true", help="go on from a run that was ended")
    parser.add_argument("--output", type=Path, default=HERE / "RESULTS.md")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.only if name not in names]
    if unknown:
        parser.error(f"unknown table {unknown[0]!r}: {', '.join(names)}")
    return given


def listed(text: str) -> list[str]:
    """Names between commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


def identity(plan: Plan, draw: int, rules: list[str]) -> str:
    """What names one job's result: all that it depends on."""
    return f"{plan!r} {draw} {','.join(rules)}"


def results(done: dict[str, Any], plan: Plan, rules: list[str]) -> list[Any]:
    """What was measured for a plan."""
    keys = (identity(plan, draw, rules) for draw in range(plan.draws))
    return [done[key] for key in keys if key in done]


def read(kept: Path) -> dict[str, Any]:
    """Results of earlier runs; a line that was cut off is measured again."""
    found = {}
    for line in kept.read_text(encoding="utf-8").splitlines() if kept.exists() else ():
        try:
            result = json.loads(line)
        except ValueError:
            continue
        found[result["key"]] = result
    return found


def measured(todo: list[Job], rules: list[str], jobs: int, kept: Path) -> Iterator[Any]:
    """Measure all jobs and keep each result as soon as it is there."""
    started = time.perf_counter()
    with kept.open("a", encoding="utf-8") as file:
        for place, (job, result) in enumerate(pooled(todo, rules, jobs), 1):
            result["key"] = identity(*job, rules)
            file.write(json.dumps(result) + "\n")
            file.flush()
            spent = time.perf_counter() - started
            left = spent / place * (len(todo) - place)
            text = f"[{place}/{len(todo)}] {job[0].key}, {spent:.0f} s, about {left:.0f} s left"
            print(text, file=sys.stderr, flush=True)
            yield result


def pooled(todo: list[Job], rules: list[str], jobs: int) -> Iterator[tuple[Job, Any]]:
    """Results as they come; a job that kills its process fails alone.

    When a process dies all jobs of its pool are lost: they are measured again one by one, so that
    the one that did it is known.
    """
    left = list(todo)
    while left:
        first = left[:1] if jobs == 0 else left
        with ProcessPoolExecutor(max(1, jobs), multiprocessing.get_context("spawn")) as pool:
            futures: dict[Future[Any], Job] = {
                pool.submit(_measure, job, rules): job for job in first
            }
            for future in as_completed(futures):
                job = futures[future]
                try:
                    result = future.result()
                except BrokenProcessPool:
                    if jobs:
                        continue
                    result = failed("the process died (out of memory?)", job[1], rules)
                left.remove(job)
                yield job, result
        jobs = 0 if left else jobs


def _measure(job: Job, rules: list[str]) -> Any:
    from measuring import measure

    return measure(*job, rules)


def failed(text: str, draw: int, rules: list[str]) -> dict[str, Any]:
    """A result that says only why there is none."""
    errors = {f"0|{name}": text for name in rules}
    return {"draw": draw, "counts": {}, "errors": errors, "seconds": {}}


if __name__ == "__main__":
    sys.exit(main())
