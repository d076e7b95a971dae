"""Error rates of the gates: `python benchmarks/gates/run.py`.

Prints the tables and writes them to RESULTS.md. What was measured is kept in the folder `.partial`
next to it; `--resume` goes on from there. `--write` measures nothing and writes what is kept.
"""

import argparse
import datetime as dt
import json
import multiprocessing
import os
import platform
import shlex
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from rows import ALL, ROWS, Row
from scipy.stats import beta

from lifecycle.gates import run
from lifecycle.records import Outcome

HERE = Path(__file__).parent
CHUNK = 25
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")
PACKAGES = ("mlflow-lifecycle", "numpy", "scipy", "pandas", "scikit-learn")
LEGEND = """\
Each figure is the share of repetitions and its 95 % interval (Clopper & Pearson). *Refused* is a
candidate that any of the gates fails; *not enough evidence* one that none fails and some leave
open, which is neither. `all` are the default gates but latency, at their default limits; alpha is
5 % for all of them together. A row may have fewer repetitions than asked for, where a run was
ended; `--resume` goes on."""


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    given = options(arguments)
    for threads in THREADS:
        os.environ.setdefault(threads, "1")
    kept = given.output.parent / ".partial" / "chunks.jsonl"
    kept.parent.mkdir(parents=True, exist_ok=True)
    if not (given.resume or given.write):
        kept.unlink(missing_ok=True)
    started = time.perf_counter()
    done = read(kept)
    todo = [
        (place, first, min(CHUNK, count - first))
        for place, row in enumerate(ROWS)
        if given.only in row.name and not given.write
        for count in [max(CHUNK, round(given.repetitions * row.share))]
        for first in range(0, count, CHUNK)
        if f"{row.name}|{first}" not in done
    ]
    # a run that is ended has something of each row, and most of those with a goal
    todo.sort(key=lambda job: (job[1] // (400 if ROWS[job[0]].share == 1.0 else 50), job[0]))
    for place, (key, result) in enumerate(measured(todo, given.jobs), 1):
        done[key] = result
        with kept.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": key, **result}) + "\n")
        if place % 20 == 0:
            spent = time.perf_counter() - started
            print(f"[{place}/{len(todo)}] {spent:.0f} s", file=sys.stderr, flush=True)
    words = sys.argv[1:] if arguments is None else arguments
    command = f"python benchmarks/gates/run.py {shlex.join(words)}".rstrip()
    text = document(done, command=command, minutes=(time.perf_counter() - started) / 60.0)
    print(text)
    given.output.write_text(text, encoding="utf-8")
    return 0


def options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=1000, help="of rows with a goal")
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--resume", action="store_true", help="go on from a run that was ended")
    parser.add_argument("--write", action="store_true", help="write what is kept, measure nothing")
    parser.add_argument("--output", type=Path, default=HERE / "RESULTS.md")
    return parser.parse_args(arguments)


def read(kept: Path) -> dict[str, Any]:
    """Results of earlier runs; a line that was cut off is measured again."""
    found = {}
    for line in kept.read_text(encoding="utf-8").splitlines() if kept.exists() else ():
        try:
            result = json.loads(line)
        except ValueError:
            continue
        found[result.pop("key")] = result
    return found


def measured(todo: list[tuple[int, int, int]], jobs: int) -> Any:
    """Each chunk's key and result, as they come."""
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(chunk, *job) for job in todo]
        for future in as_completed(futures):
            yield future.result()


def chunk(place: int, first: int, count: int) -> tuple[str, dict[str, Any]]:
    """Ask the gates about some repetitions of a row."""
    row = ROWS[place]
    seed = [ord(letter) for letter in row.name]
    refused = unsure = 0
    by_gate: Counter[str] = Counter()
    for repetition in range(first, first + count):
        results = run(row.gates, row.make(np.random.default_rng([repetition, *seed])))
        failing = {item.gate for item in results if item.outcome is Outcome.FAIL}
        open_ = {item.gate for item in results if item.outcome is Outcome.UNSURE}
        refused += bool(failing)
        unsure += bool(open_) and not failing
        by_gate.update(failing)
    result = {"count": count, "refused": refused, "unsure": unsure, "gates": dict(by_gate)}
    return f"{row.name}|{first}", result


def share(hits: int, count: int) -> str:
    """A share in percent with its interval."""
    low = beta.ppf(0.025, hits, count - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, count - hits) if hits < count else 1.0
    return f"{100 * hits / count:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def verdict(row: Row, refused: float) -> str:
    """The goal, and whether it is reached."""
    if row.most is not None:
        return f"≤ {100 * row.most:g} % " + ("reached" if refused <= row.most else "**missed**")
    if row.least is not None:
        return f"≥ {100 * row.least:g} % " + ("reached" if refused >= row.least else "**missed**")
    return ""


def table(title: str, done: dict[str, Any]) -> list[str]:
    """One table in Markdown."""
    heads = [
        "case",
        "gates",
        "repetitions",
        "refused",
        "not enough evidence",
        "passed",
        "by",
        "goal",
    ]
    lines = [f"## {title}", "", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in ROWS:
        found = [item for key, item in done.items() if key.rpartition("|")[0] == row.name]
        if row.table != title or not found:
            continue
        count, refused, unsure = (
            sum(item[key] for item in found) for key in ("count", "refused", "unsure")
        )
        by = sum((Counter(item["gates"]) for item in found), Counter[str]())
        named = ", ".join(f"{name} {hits}" for name, hits in by.most_common(4))
        gates = "all" if row.gates == ALL else ", ".join(row.gates)
        rates = [share(hits, count) for hits in (refused, unsure, count - refused - unsure)]
        cells = [row.name, gates, f"{count:,}", *rates, named]
        lines.append("| " + " | ".join([*cells, verdict(row, refused / count)]) + " |")
    return [*lines, ""]


def document(done: dict[str, Any], *, command: str, minutes: float) -> str:
    """The whole of RESULTS.md."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    today = dt.datetime.now(tz=dt.UTC).date().isoformat()
    machine = f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    lines = ["# Error rates of the gates", "", f"{today}, {machine}, {versions}.", ""]
    load = f"load {os.getloadavg()[0]:.1f}"
    lines += [f"The last part was measured in {minutes:.1f} minutes, {load} at the end.", ""]
    lines += [f"    {command}", "", LEGEND, ""]
    for title in dict.fromkeys(row.table for row in ROWS):
        lines += table(title, done)
    return "\n".join(lines).rstrip() + "\n"


def processor() -> str:
    """The processor's name."""
    known = Path("/proc/cpuinfo")
    lines = known.read_text(encoding="utf-8").splitlines() if known.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


if __name__ == "__main__":
    sys.exit(main())
