"""What a ledger costs: `python benchmarks/ledger/run.py`.

Appends alone, eight processes that race, and a long ledger that is read, shown and verified; on
sqlite, through a server and on Postgres. Prints the tables and writes them to RESULTS.md. What was
measured is kept in `.partial`: `--only` measures some parts again and keeps the others.
"""

import argparse
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import long
import places
import races
from ledger_tables import PARTS, Cell, document

from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.tracking import connect

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
KEPT = HERE / ".partial" / "cells.json"
LIMIT = 1800  # seconds of one command


def append(uri: str, given: argparse.Namespace) -> Cell:
    """One writer, nobody else: milliseconds of an append."""
    client = connect(races.configured(uri, "alone"))
    client.create_registered_model("alone")
    ledger, took = Ledger(client, "alone"), []
    for turn in range(given.appends + 1):
        started = time.perf_counter()
        ledger.append(lambda _, turn=turn: draft(kind="flag", reason=f"turn {turn}"))
        took.append(1000 * (time.perf_counter() - started))
    took = sorted(took[1:])  # the first makes the experiment
    return {"p50": statistics.median(took), "p95": took[int(0.95 * len(took))], "n": len(took)}


def race(uri: str, given: argparse.Namespace, *, kills: int = 0) -> Cell:
    """Processes that race, some of them killed."""
    command = [sys.executable, str(HERE / "races.py"), uri, "--writers", str(given.writers)]
    command += ["--turns", str(given.turns), "--kills", str(kills)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)
    if not done.stdout:
        raise RuntimeError(done.stderr[-1000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def reading(uri: str, given: argparse.Namespace) -> Cell:
    """A long ledger: read in this process, and by the commands from their start to their end."""
    long.make(uri, given.entries)
    client = connect(races.configured(uri, long.NAME))
    started = time.perf_counter()
    assert len(Ledger(client, long.NAME).entries()) == given.entries
    cell: Cell = {"read": time.perf_counter() - started, "entries": given.entries}
    started = time.perf_counter()
    Ledger(client, long.NAME).append(lambda _: draft(kind="flag", reason="one more"))
    cell["append"] = time.perf_counter() - started
    cell |= timed("start", [sys.executable, "-c", "import mlflow"], uri, given.best)
    for words in (
        ["history"],
        ["history", "--json"],
        ["history", "--at", "2026-01-01"],
        ["verify"],
    ):
        command = [sys.executable, "-m", "lifecycle", words[0], long.NAME, *words[1:]]
        cell |= timed(" ".join(words[:2]), command, uri, given.best)
    return cell


def timed(name: str, command: list[str], uri: str, times: int) -> Cell:
    """Seconds of a command and of the processor, the best of so many times."""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
    took, used = [], []
    for _ in range(times):
        before, started = os.times(), time.perf_counter()
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=LIMIT
        )
        took.append(time.perf_counter() - started)
        after = os.times()
        used.append(after.children_user + after.children_system)
        used[-1] -= before.children_user + before.children_system
        if done.returncode:
            raise RuntimeError(
                f"{done.stdout[-500:]}{done.stderr[-500:]}{shlex.join(command)} failed"
            )
    return {name: min(took), f"{name} cpu": min(used)}


def measured(given: argparse.Namespace) -> dict[str, Cell]:
    """All cells that were asked for, with those that were kept."""
    cells: dict[str, Cell] = {}
    if KEPT.exists():
        cells = json.loads(KEPT.read_text(encoding="utf-8"))
    work: dict[str, Callable[[str], Cell]] = {
        "append": partial(append, given=given),
        "races": partial(race, given=given),
        "kills": partial(race, given=given, kills=given.kills),
        "long": partial(reading, given=given),
    }
    for place in given.places:
        for part in given.only:
            print(f"{place}, {part}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(prefix="lifecycle-bench-") as folder:
                try:
                    with places.place(place, Path(folder)) as uri:
                        cell = work[part](uri)
                except (places.Missing, RuntimeError) as error:
                    cell = {"failed": str(error)}
            cell["load"] = os.getloadavg()[0]
            cells[f"{place}, {part}"] = cell
            KEPT.parent.mkdir(exist_ok=True)
            KEPT.write_text(json.dumps(cells, indent=1), encoding="utf-8")
    return cells


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", type=listed, default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--places", type=listed, default=list(places.NAMES))
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--appends", type=int, default=100)
    parser.add_argument("--best", type=int, default=3, help="times that a command is run")
    parser.add_argument("--entries", type=int, default=10_000)
    parser.add_argument("--output", type=Path, default=HERE / "RESULTS.md")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended
    words = sys.argv[1:] if arguments is None else arguments
    cells = measured(given)
    text = document(cells, f"python benchmarks/ledger/run.py {shlex.join(words)}".rstrip())
    print(text)
    given.output.write_text(text, encoding="utf-8")
    return 0


def listed(text: str) -> list[str]:
    """Names between commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


if __name__ == "__main__":
    sys.exit(main())
