"""What a shadow costs the server: `python benchmarks/serving/shadowing_cost.py`.

One server process on one core, wrk on another. The shadow, a second slot of the champion's own
model that is given a copy of every request, is switched on and off in turns in the same process.
A part of a second after each turn is left for what waits, and belongs to it. Measured are the CPU
time of the loop's thread and of the whole process for each answer, answers a second, latency, and
how many copies the shadow answered. Prints a table and writes it to SHADOWING.md.

    apt-get install wrk
    python benchmarks/serving/shadowing_cost.py                # 5 minutes
    python benchmarks/serving/shadowing_cost.py --only linear --rounds 2
"""

import argparse
import asyncio
import datetime as dt
import json
import os
import platform
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import environments
from processes import HERE, BenchError, Load, Running, cores, free_port, missing, wrk
from subjects import SUBJECTS

USUAL = ("linear", "mixed", "forest", "uncompiled")
LOADS = (Load(1), Load(16), Load(64))
ROUNDS = 5
SECONDS = 1
REST = 0.25  # seconds after a turn, in which the shadow ends what waits
GOAL = 10.0  # per cent more CPU time of the loop's thread for each answer
VERSIONS = ("mlflow-lifecycle", "scikit-learn", "onnxruntime", "numpy", "uvloop", "httptools")


@dataclass(frozen=True)
class Turn:
    """One run: per answer in microseconds, and the rest of what was seen.

    Attributes:
        loop: CPU time of the loop's thread.
        all: CPU time of the process.
        rate: answers a second.
        p50: microseconds until an answer, at the client.
        p99: the same of the slowest hundredth.
        coverage: the share of requests that the shadow answered.
    """

    loop: float
    all: float
    rate: float
    p50: float
    p99: float
    coverage: float | None = None


Measured = dict[Load, tuple[list[Turn], list[Turn]]]  # by load: without the shadow, with it


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    given = options(arguments)
    if given.serve:
        return serve(given.serve, given.work, given.port)
    began = time.perf_counter()
    try:
        if missing():
            raise BenchError(missing())
        from run import prepare  # a name that other benches have as well

        prepare(given)
        found = {name: measured(name, given) for name in given.only}
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    text = document(found, given, minutes=(time.perf_counter() - began) / 60)
    print(text)
    given.output.write_text(text, encoding="utf-8")
    return 0


def options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=list(USUAL), help=", ".join(SUBJECTS)
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="turns of each kind")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of each turn")
    parser.add_argument("--work", type=Path, default=environments.default() / "serving")
    parser.add_argument("--output", type=Path, default=HERE / "SHADOWING.md")
    parser.add_argument("--serve", default="", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    given.work = given.work.resolve()
    unknown = [name for name in given.only if name not in SUBJECTS]
    if unknown:
        parser.error(f"unknown name {unknown[0]!r}: {', '.join(SUBJECTS)}")
    return given


def measured(name: str, given: argparse.Namespace) -> Measured:
    """All loads of one model: the turns without a shadow, and those with it."""
    port, (core, other) = free_port(), cores()
    report = given.work / name / "shadowing.json"
    command = [sys.executable, str(HERE / "shadowing_cost.py"), "--serve", name]
    command += ["--work", str(given.work), "--port", str(port)]
    output = given.work / name / "shadowing.txt"
    found: Measured = {}
    requests = given.work / name / "split-1.txt"
    with Running(command, core=core, output=output) as server:
        server.wait(port, "/ping")
        for load in LOADS:
            found[load] = [], []
            for turn in range(-2, 2 * given.rounds):  # the first of each kind only warms
                shadow = turn % 2
                seconds = 1 if turn < 0 else given.seconds
                one = timed(server, port, requests, load, report, seconds=seconds, core=other)
                if turn >= 0:
                    found[load][shadow].append(one)
                toggle(server, report)
            print(f"{name}, {load.name}: {row(load, *found[load])}", file=sys.stderr)
    return found


def timed(
    server: Running,
    port: int,
    requests: Path,
    load: Load,
    report: Path,
    *,
    seconds: float,
    core: int,
) -> Turn:
    """One turn."""
    before = told(server, report, signal.SIGUSR2)
    said = wrk(port, "/invocations", requests, load, seconds=seconds, core=core)
    time.sleep(REST)
    after = told(server, report, signal.SIGUSR2)
    count = said["requests"]
    eligible = after["eligible"] - before["eligible"]
    return Turn(
        (after["loop"] - before["loop"]) / count / 1e3,
        (after["process"] - before["process"]) / count / 1e3,
        count / said["microseconds"] * 1e6,
        said["p50_us"],
        said["p99_us"],
        (after["answered"] - before["answered"]) / eligible if eligible else None,
    )


def toggle(server: Running, report: Path) -> None:
    """Switch the shadow on, or off."""
    told(server, report, signal.SIGUSR1)


def told(server: Running, report: Path, number: int) -> dict[str, int]:
    """Signal the server and take what it writes then.

    Raises:
        BenchError: it writes nothing.
    """
    report.unlink(missing_ok=True)
    os.kill(server.process.pid, number)
    for _ in range(500):
        if report.exists():
            found: dict[str, int] = json.loads(report.read_text(encoding="utf-8"))
            return found
        time.sleep(0.01)
    raise BenchError(f"the server says nothing: {server.last_words()}")


def serve(name: str, work: Path, port: int) -> int:
    """The server's process: SIGUSR1 switches the shadow and SIGUSR2 reports."""
    from lifecycle.config import load_config
    from lifecycle.records import Arm, Plan, Rollout, RolloutSpec
    from lifecycle.serve.building import build
    from lifecycle.serve.server import bind
    from lifecycle.serve.worker import _loop_factory, answer

    folder = work / name
    os.chdir(folder)
    config = load_config(folder / "lifecycle.toml").with_values(log__dir=str(folder / "shadow-log"))
    built = build(config, (f"{name}/1",))
    engine = built.app.engine
    alone = engine.table
    one = alone.groups[name].champion
    twin = replace(one, version=one.version + 1)
    arms = (Arm("champion", one.version, 1.0), Arm("shadow", twin.version, 0.0))
    rollout = Rollout(RolloutSpec(name, "shadow", arms), seq=1, shares=(1.0, 0.0))
    both = alone.with_group(
        Plan(name, arms), {one.version: one, twin.version: twin}, rollout=rollout
    )
    report = folder / "shadowing.json"

    def tell() -> None:
        counts = {label: value for label, _, _, value in built.shadow.gauges()}
        found = {
            "loop": time.thread_time_ns(),
            "process": time.process_time_ns(),
            "eligible": counts.get("shadow_eligible", 0),
            "answered": counts.get("shadow_answered", 0),
        }
        draft = report.with_suffix(".new")
        draft.write_text(json.dumps(found), encoding="utf-8")
        draft.replace(report)

    def switch() -> None:
        engine.table = both if engine.table is alone else alone
        tell()

    async def story() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, switch)
        loop.add_signal_handler(signal.SIGUSR2, tell)
        await answer(built, config, listener, lambda: None)

    with bind("127.0.0.1", port) as listener:
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(story())
        finally:
            built.close()
    return 0


def row(load: Load, off: Sequence[Turn], on: Sequence[Turn]) -> str:
    """A row of the table: medians, and the change in per cent."""
    cells = []
    for name in ("loop", "all", "rate", "p50", "p99"):
        before, after = (
            statistics.median(getattr(one, name) for one in each) for each in (off, on)
        )
        cells.append(f"{before:,.1f} → {after:,.1f} ({(after / before - 1) * 100:+.1f} %)")
    covered = statistics.median(one.coverage or 0.0 for one in on)
    return " | ".join([load.name, *cells, f"{covered:.1%}"])


def document(
    found: dict[str, Measured],
    given: argparse.Namespace,
    *,
    minutes: float,
) -> str:
    """What is written: the table, the goal, the machine."""
    packages = ", ".join(f"{package} {metadata.version(package)}" for package in VERSIONS)
    today = dt.datetime.now(dt.UTC).date()
    made = (
        f"`python benchmarks/serving/shadowing_cost.py`, {today}, {minutes:.0f} minutes; "
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{packages}."
    )
    how = (
        "One worker on one core, wrk on another, bodies of one row (1.2 kB). Every request is "
        "copied to a second slot of the same model, and in each fifth call of it the champion "
        f"answers once more. Medians of {given.rounds} turns of {given.seconds} s without and "
        "with the shadow, in turns in one process. CPU time in microseconds an answer; latency in "
        "microseconds at the client. The answer path is the loop's thread."
    )
    heads = "model | connections | answer path | whole process | answers a second | p50 | p99"
    lines = [
        *("# What a shadow costs", "", made, "", how, ""),
        f"| {heads} | coverage |",
        "|---|---|---|---|---|---|---|---|",
    ]
    changes: list[tuple[float, str]] = []
    noise = []
    for name, loads in found.items():
        for load, (off, on) in loads.items():
            lines.append(f"| {SUBJECTS[name].title} | {row(load, off, on)} |")
            alone, beside = ([one.loop for one in each] for each in (off, on))
            change = statistics.median(beside) / statistics.median(alone) - 1
            changes.append((change * 100, f"{name} at {load.name}"))
            noise.append((max(alone) - min(alone)) / statistics.median(alone) * 100)
    most, where = max(changes)
    usual = statistics.median(change for change, _ in changes)
    verdict = "reached" if most <= GOAL else "reached by the median" if usual <= GOAL else "missed"
    goal = (
        f"Goal: at most {GOAL:g} % more CPU time an answer on the answer path: {verdict}; the "
        f"median of all rows is {usual:+.1f} %, the most {most:+.1f} % ({where}). Turns without a "
        f"shadow differ by {statistics.median(noise):.0f} % among themselves. What the shadow "
        "itself takes is the rest of the process's time; what it has no time for beside a "
        "saturated core is dropped and shown as coverage."
    )
    lines += ["", goal, ""]
    return "\n".join(lines)


if __name__ == "__main__":
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    sys.exit(main())
