"""Requests a second: all servers of a model by turns.

    start all, each checked and paused -> three times: wake one, every load, pause it, the next

What idles is stopped (SIGSTOP), so that it costs the one that is measured nothing. Servers that do
not bear that have their turns one after another at the end. One that did not start is not tried
with the next model.
"""

import argparse
import shutil
import sys
from contextlib import ExitStack
from typing import Any

import environments
from cells import Cell, Kept
from processes import BenchError, Load, Running, cores, free_port, wrk
from servers import PEERS, SERVERS, Place, Server, check, requests, start
from subjects import ASKED, Subject

LOADS = (Load(1), Load(16), Load(64), Load(16, ASKED))
FEWER = {"unlogged": (Load(16),), "uvicorn": (Load(16),), "granian": (Load(16),)}
WARM_SECONDS = 1  # before the first load of a server


def throughput(subject: Subject, given: argparse.Namespace, kept: Kept) -> None:
    """All servers of a model by turns: each load, then the next server, three times."""
    names = [name for name in given.servers if subject.name in SERVERS[name].models]
    cells = {
        name: [
            Cell(name, subject.name, load.name, turn)
            for turn in range(given.rounds)
            for load in FEWER.get(name, LOADS)
        ]
        for name in names
    }
    todo = [name for name in names if not all(kept.has(cell) for cell in cells[name])]
    with ExitStack() as stack:
        idle: dict[str, tuple[Running, Place]] = {}
        for name in (name for name in todo if SERVERS[name].pausable):
            ready = started(SERVERS[name], subject, given, kept)
            if ready is not None:
                stack.enter_context(ready[0])
                idle[name] = ready
                ready[0].pause()
        for turn in range(given.rounds):
            for name, one in idle.items():
                one[0].go_on()
                timed(SERVERS[name], one, turn, given, kept)
                one[0].pause()
        idle.clear()
    for name in (name for name in todo if not SERVERS[name].pausable):
        ready = started(SERVERS[name], subject, given, kept)
        if ready is not None:
            with ready[0]:
                for turn in range(given.rounds):
                    timed(SERVERS[name], ready, turn, given, kept)


def started(
    server: Server, subject: Subject, given: argparse.Namespace, kept: Kept
) -> tuple[Running, Place] | None:
    """Start a server and compare its answers; what stands against it is kept."""
    place = placed(server, subject, given)
    cell = Cell(server.name, subject.name, "start")
    if server.name in kept.absent:
        kept.add(cell, {"failed": "it did not start with another model"})
        return None
    said(f"{subject.name}: {server.title} starts")
    try:
        running, ready = start(server, place, cores()[0])
    except BenchError as error:
        kept.add(cell, {"failed": str(error)})
        if server in PEERS:
            kept.absent.add(server.name)
        return None
    spent = running.cpu_seconds()
    try:
        compared = check(server, place)
    except BenchError as error:
        running.end()
        kept.add(cell, {"failed": f"its answers are not the model's: {error}"})
        return None
    except BaseException:
        running.end()
        raise
    found = {"ready": ready, "spent": spent, "compared": compared, "mb": running.resident_mb()}
    kept.add(cell, found)
    return running, place


def placed(
    server: Server, subject: Subject, given: argparse.Namespace, *, workers: int = 1
) -> Place:
    """An empty folder and a free port for a server."""
    folder = given.work / "servers" / f"{subject.name}-{server.name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    programs = environments.folder_of(server.environment, given.environments)
    return Place(subject, given.work, folder, free_port(), programs, workers)


def timed(
    server: Server, found: tuple[Running, Place], turn: int, given: argparse.Namespace, kept: Kept
) -> None:
    """One server's turn: every load once."""
    running, place = found
    for at, load in enumerate(FEWER.get(server.name, LOADS)):
        cell = Cell(server.name, place.subject.name, load.name, turn)
        if kept.has(cell):
            continue
        try:
            if not turn and not at:
                drive(server, place, load, WARM_SECONDS)
            kept.add(cell, run(running, server, place, load, given.seconds))
        except BenchError as error:
            kept.add(cell, {"failed": str(error)})


def drive(server: Server, place: Place, load: Load, seconds: int) -> dict[str, int]:
    """What wrk says of some seconds of a load, from the client's core.

    Raises:
        BenchError: an answer was not 200, or a connection broke.
    """
    path, file = server.path(place.subject.name), requests(server, place, load.rows)
    found: dict[str, int] = wrk(place.port, path, file, load, seconds=seconds, core=cores()[1])
    return found


def run(running: Running, server: Server, place: Place, load: Load, seconds: int) -> dict[str, Any]:
    """One run of wrk and what the server spent on it.

    Raises:
        BenchError: an answer was not 200, or a connection broke.
    """
    running.settle()
    before = running.cpu_seconds()
    found = drive(server, place, load, seconds)
    spent = running.cpu_seconds() - before
    wall = found["microseconds"] / 1e6
    figures = {
        "per_second": found["requests"] / wall,
        "cpu_us": spent / found["requests"] * 1e6,
        "busy": spent / wall,
        "p50_us": found["p50_us"],
        "p99_us": found["p99_us"],
        "mb": running.resident_mb(),
    }
    said(
        f"  {load.name:>12}: {figures['per_second']:8,.0f}/s, {figures['cpu_us']:7.1f} us of CPU "
        f"each, core {100 * figures['busy']:.0f} % busy"
    )
    return figures


def said(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)
