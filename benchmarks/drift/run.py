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
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from evidently_rule import verify
from measuring import measure
from picture import draw_rates
from rates import Row, gather
from report import document
from rules import RULES, rule
from tables import TABLES, Plan, plans

from lifecycle.errors import LifecycleError

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
HERE = Path(__file__).parent
SPEED = "speed"
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
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "jobs.jsonl"
    if not given.resume:
        kept.unlink(missing_ok=True)
    every = {name: plans(name, quick=given.quick, windows=given.windows) for name in TABLES}
    done = read(kept)
    kept.write_text("".join(json.dumps(item) + "\n" for item in done.values()), encoding="utf-8")
    todo = [
        (plan, draw)
        for plan in sorted((p for name in every for p in every[name]), key=lambda p: -p.reference)
        for draw in range(plan.draws)
        if plan.table in given.only and identity(plan, draw, given.rules) not in done
    ]
    todo.sort(key=lambda job: job[1])  # a run that is ended has something of each row
    for result in measured(todo, given.rules, given.jobs, kept):
        done[result["key"]] = result
    if SPEED in given.only and SPEED not in done:
        keep(kept, result := {"key": SPEED, "rows": speed_rows()})
        done[SPEED] = result
    rows = {name: gathered(every[name], done, given.rules) for name in every}
    notes = [f"Measured in {(time.perf_counter() - started) / 60:.1f} minutes."]
    if "evidently" in given.rules:
        notes.append(checked())
    words = sys.argv[1:] if arguments is None else arguments
    command = f"python benchmarks/drift/run.py {shlex.join(words)}".rstrip()
    picture = given.output.with_name("rates.png")
    if draw_rates(rows, picture):
        notes.append(f"![False alarms by window size]({picture.name})")
    speed = done.get(SPEED, {}).get("rows", [])
    text = document(rows, speed, command=command, notes=notes)
    print(text)
    given.output.write_text(text, encoding="utf-8")
    return 0


def options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [*TABLES, SPEED]
    parser.add_argument(
        "--quick", action="store_true", help="two minutes: few windows, no large ones, no speed"
    )
    parser.add_argument("--only", type=listed, help=", ".join(names))
    parser.add_argument("--rules", type=listed, default=list(RULES), help="or module:function")
    parser.add_argument("--windows", type=int, help="windows a row, up to 10,000 rows")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--resume", action="store_true", help="go on from a run that was ended")
    parser.add_argument("--output", type=Path, default=HERE / "RESULTS.md")
    given = parser.parse_args(arguments)
    given.only = given.only or [*TABLES, *([] if given.quick else [SPEED])]
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


def gathered(plans: list[Plan], done: dict[str, Any], rules: list[str]) -> list[Row]:
    """The rows of a table that something was measured for."""
    rows = []
    for plan in plans:
        keys = [identity(plan, draw, rules) for draw in range(plan.draws)]
        rows += gather(plan, [done[key] for key in keys if key in done])
    return rows


def checked() -> str:
    """Whether Evidently itself gives the scores that its rule is computed with."""
    try:
        worst = verify()
    except ImportError:
        return "Evidently is not installed: its scores were not checked against it."
    except Exception as error:  # noqa: BLE001 - what was measured is still shown
        return f"**Evidently's own scores are others**: {error}"
    return f"Evidently's own preset gave the same alarms and scores (within {worst:.0e})."


def speed_rows() -> list[dict[str, Any]]:
    """The rows of speed.py, measured in a process of its own with nothing beside it."""
    code = "import json, speed; print(json.dumps(speed.rows()))"
    threads = {key: value for key, value in os.environ.items() if key not in THREADS}
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=HERE, env=threads, stdout=subprocess.PIPE, check=False
    )
    try:
        return list(json.loads(child.stdout.splitlines()[-1]))
    except (ValueError, IndexError):
        return [{"failed": f"speed.py ended with {child.returncode} and no rows"}]


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


def keep(kept: Path, result: dict[str, Any]) -> None:
    """Add one result to what is kept."""
    with kept.open("a", encoding="utf-8") as file:
        file.write(json.dumps(result) + "\n")


def measured(todo: list[Job], rules: list[str], jobs: int, kept: Path) -> Iterator[Any]:
    """Measure all jobs and keep each result as soon as it is there."""
    started = time.perf_counter()
    for place, (job, result) in enumerate(pooled(todo, rules, jobs), 1):
        result["key"] = identity(*job, rules)
        keep(kept, result)
        spent = time.perf_counter() - started
        left = spent / place * (len(todo) - place)
        text = f"[{place}/{len(todo)}] {job[0].key}, {spent:.0f} s, about {left:.0f} s left"
        print(text, file=sys.stderr, flush=True)
        yield result


def pooled(todo: list[Job], rules: list[str], jobs: int) -> Iterator[tuple[Job, Any]]:
    """Results as they come; a job that kills its process fails alone.

    When a process dies, the jobs of its pool are lost: they are measured again one by one, so that
    the one that did it is known.
    """
    left = list(todo)
    for job, result in _pool(todo, rules, jobs):
        left.remove(job)
        yield job, result
    for job in left:
        found = [result for _, result in _pool([job], rules, 1)]
        yield job, found[0] if found else died(rules, job[1])


def _pool(todo: list[Job], rules: list[str], jobs: int) -> Iterator[tuple[Job, Any]]:
    """What a pool of processes gives until one of them dies."""
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(measure, *job, rules): job for job in todo}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool:
            return
        finally:
            pool.shutdown(cancel_futures=True)


def died(rules: list[str], draw: int) -> dict[str, Any]:
    """The result of a job whose process ended."""
    errors = {f"0|{name}": "the process died, perhaps for want of memory" for name in rules}
    return {"draw": draw, "counts": {}, "errors": errors, "seconds": {}}


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("ended; what was measured is kept: go on with --resume")
