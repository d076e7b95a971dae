"""What two workers cost, and latency at half of what one worker can do."""

import argparse
import json
import subprocess
import sys
from contextlib import ExitStack

from cells import Cell, Kept
from processes import HERE, BenchError, Load, Running, cores
from servers import SERVERS, Place, Server, check, requests, start
from subjects import Subject
from turns import WARM_SECONDS, drive, placed, run, said

OURS = SERVERS["ours"]
FULL = Load(64)
EACH = 32  # connections a worker: as many requests meet in a batch of one as of two
HALF = 0.5
WORKERS = "workers"
LATENCY = "latency"
STEADY = 10  # seconds: one stall of the machine is then no hundredth of them
FIXED = ("uvicorn", "granian")  # what a fixed answer takes: the limit of p99 / p50 here


def two_workers(subject: Subject, given: argparse.Namespace, kept: Kept) -> None:
    """CPU time a request with one worker and with two, both on the core of the servers.

    On the client's core a second worker would be charged for what the client does to its caches.
    """
    cells = {
        workers: [
            Cell(OURS.name, subject.name, f"{workers} {WORKERS}", turn)
            for turn in range(given.rounds)
        ]
        for workers in (1, 2)
    }
    if all(kept.has(cell) for workers in cells for cell in cells[workers]):
        return
    with ExitStack() as stack:
        idle: dict[int, tuple[Running, Place]] = {}
        for workers in cells:
            said(f"{subject.name}: {workers} workers")
            place = placed(OURS, subject, given, workers=workers)
            try:
                running, _ = start(OURS, place, cores()[0])
                stack.enter_context(running)
                check(OURS, place)
                drive(OURS, place, Load(EACH * workers), WARM_SECONDS)
            except BenchError as error:
                kept.add(cells[workers][0], {"failed": str(error)})
                continue
            idle[workers] = running, place
            running.pause()
        for turn in range(given.rounds):
            for workers, (running, place) in idle.items():
                running.go_on()
                try:
                    load = Load(EACH * workers)
                    kept.add(cells[workers][turn], run(running, OURS, place, load, given.seconds))
                except BenchError as error:
                    kept.add(cells[workers][turn], {"failed": str(error)})
                running.pause()


def latency(subject: Subject, given: argparse.Namespace, kept: Kept) -> None:
    """Open-loop latency at half of the capacity that wrk found just before; the limit's, too."""
    for server in (OURS, *(SERVERS[name] for name in FIXED if name in given.servers)):
        if server is OURS or subject.name == "linear":
            _latency(server, subject, given, kept)


def _latency(server: Server, subject: Subject, given: argparse.Namespace, kept: Kept) -> None:
    cells = [Cell(server.name, subject.name, LATENCY, turn) for turn in range(given.rounds)]
    if all(kept.has(cell) for cell in cells):
        return
    place = placed(server, subject, given)
    said(f"{subject.name}: {server.name}: latency at half of its capacity")
    try:
        running, _ = start(server, place, cores()[0])
    except BenchError as error:
        kept.add(cells[0], {"failed": str(error)})
        return
    with running:
        file, path = requests(server, place, 1), server.path(subject.name)
        for cell in cells:
            try:
                full = run(running, server, place, FULL, given.seconds)
                rate = HALF * full["per_second"]
                seconds = max(given.seconds, STEADY)
                kept.add(cell, open_loop(place.port, path, str(file), rate, seconds))
            except BenchError as error:
                kept.add(cell, {"failed": str(error)})


def open_loop(port: int, path: str, file: str, rate: float, seconds: int) -> dict[str, float]:
    """What open_loop.py measures, on the client's core.

    Raises:
        BenchError: an answer was not 200, or is missing.
    """
    command = ["taskset", "-c", str(cores()[1]), sys.executable, str(HERE / "open_loop.py")]
    command += [str(port), path, file, f"{rate:.0f}", str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(done.stderr.strip().splitlines()[-1])
    found: dict[str, float] = json.loads(done.stdout)
    said(
        f"  {rate:8,.0f}/s: p50 {found['p50_us']:.0f} us, p99 {found['p99_us']:.0f} us, "
        f"client {100 * found['busy']:.0f} % busy"
    )
    return found
