"""Serving, side by side: `python benchmarks/serving/run.py`.

Trains three models and their likes, registers them, and starts `mlflow models serve`, our server
and the HTTP limit one after another: one worker on one core, wrk on another. Every server's answers
are compared with the model's own before it is timed. Prints the tables and writes them to
RESULTS.md. What was measured is kept in `.partial` beside it.

    apt-get install wrk
    python benchmarks/serving/run.py                       # ours, mlflow and the limit, 13 minutes
    python benchmarks/serving/run.py --install             # the peers' environments, once
    python benchmarks/serving/run.py --resume --peers all  # the peers too, beside what is there
    python benchmarks/serving/run.py --resume --again ours --only linear
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import environments
from cells import ROUNDS, Kept
from extras import latency, two_workers
from processes import HERE, BenchError, missing
from results import document
from servers import KNOWN, OWN, PEERS, SERVERS
from subjects import SUBJECTS
from turns import said, throughput

USUAL = ("linear", "mixed", "forest", "uncompiled", "xgboost", "custom")
PARTS = ("throughput", "workers", "latency")


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    given = options(arguments)
    began = time.perf_counter()
    try:
        if given.install:
            return install(given)
        if missing():
            raise BenchError(missing())
        prepare(given)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    kept = Kept(given.output.parent / ".partial" / "cells.jsonl")
    kept.forget(tuple(given.again) if given.resume else tuple(SERVERS))
    for name in given.only:
        if "throughput" in given.parts:
            throughput(SUBJECTS[name], given, kept)
        for part, measure in (("workers", two_workers), ("latency", latency)):
            if part in given.parts and name in KNOWN and "ours" in given.servers:
                measure(SUBJECTS[name], given, kept)
    words = sys.argv[1:] if arguments is None else arguments
    text = document(
        kept,
        command=f"python benchmarks/serving/run.py {shlex.join(words)}".rstrip(),
        minutes=(time.perf_counter() - began) / 60,
        environments=given.environments,
    )
    print(text)
    given.output.write_text(text, encoding="utf-8")
    return 0


def options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    own, peers = ([server.name for server in servers] for servers in (OWN, PEERS))
    cache = environments.default()
    parser.add_argument("--only", type=listed, help=f"models: {', '.join(SUBJECTS)}")
    parser.add_argument("--parts", type=listed, help=", ".join(PARTS))
    parser.add_argument("--servers", type=listed, help=f"of {', '.join(own)}; by default all")
    parser.add_argument("--peers", type=listed, default=[], help=f"all, or of {', '.join(peers)}")
    parser.add_argument("--again", type=listed, default=[], help="servers to measure anew")
    parser.add_argument("--seconds", type=int, default=2, help="of each run")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="alternating runs, up to 3")
    parser.add_argument("--resume", action="store_true", help="keep what was measured before")
    parser.add_argument("--install", action="store_true", help="make the peers' environments")
    parser.add_argument("--environments", type=Path, default=cache / "environments")
    parser.add_argument("--work", type=Path, default=cache / "serving", help="a scratch folder")
    parser.add_argument("--output", type=Path, default=HERE / "RESULTS.md")
    given = parser.parse_args(arguments)
    given.only = given.only or list(USUAL)
    given.parts = given.parts or list(PARTS)
    given.peers = peers if given.peers == ["all"] else given.peers
    given.servers = [*(own if given.servers is None else given.servers), *given.peers]
    for asked, known in (
        (given.only, SUBJECTS), (given.parts, PARTS), (given.servers, SERVERS),
        (given.again, SERVERS),
    ):  # fmt: skip
        unknown = [name for name in asked if name not in known]
        if unknown:
            parser.error(f"unknown name {unknown[0]!r}: {', '.join(known)}")
    given.work, given.environments = given.work.resolve(), given.environments.resolve()
    return given


def listed(text: str) -> list[str]:
    """Names between commas."""
    return [item.strip() for item in text.split(",") if item.strip()]


def install(given: argparse.Namespace) -> int:
    """Make the environments of the peers that are named, or of all."""
    named = [SERVERS[name].environment for name in given.peers]
    wanted = [name for name in environments.PACKAGES if not named or name in named]
    failed = 0
    for name in wanted:
        try:
            environments.install(name, given.environments)
            found = environments.versions(name, given.environments)
            said(", ".join(f"{package} {version}" for package, version in found.items()))
        except BenchError as error:
            said(f"error: {error}")
            failed = 1
    return failed


def prepare(given: argparse.Namespace) -> None:
    """Train and register in a process of its own, so that this one stays small.

    Raises:
        BenchError: a model could not be made.
    """
    given.work.mkdir(parents=True, exist_ok=True)
    output = given.work / "training.txt"
    command = [sys.executable, str(HERE / "subjects.py"), str(given.work), *given.only]
    with output.open("wb") as file:
        done = subprocess.run(
            command, cwd=given.work, stdout=file, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode:
        last = output.read_text(errors="replace").strip().splitlines()[-1:]
        raise BenchError(f"the models could not be made: {' '.join(last)} ({output})")


if __name__ == "__main__":
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers that are paused end too
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("ended; what was measured is kept: go on with --resume")
