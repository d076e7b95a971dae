"""What routing costs a server: `python benchmarks/serving/routing.py`.

One server answers with its champion alone; beside it stand servers whose ledger has an open canary
at some share, with a challenger that is the same model once more. All on one core, wrk on another,
by turns; each server's turn with a load comes right after the one it is compared with. The
prediction log is on. Prints the tables and writes them to benchmarks/rollout/ROUTING.md.

    apt-get install wrk
    python benchmarks/serving/routing.py    # 6 minutes
"""

import argparse
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import environments
from processes import HERE, BenchError, Load, Running, ask, cores, free_port, missing, wrk
from results import machine, markdown, own
from subjects import SUBJECTS, Subject, prepare, uri
from turns import said

SHARES = (0.0001, 0.05, 0.5)  # of the challenger; the first is as good as the routing alone
LOADS = (Load(16), Load(64))
ALONE = "champion alone"
KEYS = 1000  # routing keys that the keyed load sends
GOAL = 0.95  # of the requests a second of the champion alone
WARM_SECONDS = 1


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    given = options(arguments)
    began = time.perf_counter()
    tables: list[str] = []
    try:
        if missing():
            raise BenchError(missing())
        for name in given.only:
            subject = SUBJECTS[name]
            tables += table(subject, measured(subject, given))
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    command = "python benchmarks/serving/routing.py "
    command += shlex.join(sys.argv[1:] if arguments is None else arguments)
    about = f"""# What routing costs the server

Requests a second of a server with an open canary, as a share of those of the same server with its
champion alone: the median over {given.rounds} alternating runs of {given.seconds} s, and the
lowest and highest. One worker on one core, wrk on another, single-row bodies of 1.2 kB, the
prediction log on. `keys`: each request has one of {KEYS} routing keys, on both sides. Goal: at
least {GOAL:.0%}. With {100 * SHARES[0]:g}% hardly anybody meets the challenger: that is what
drawing an arm costs. With larger shares the requests of one turn of the loop are two versions', so
that they take two calls instead of one, each with half of the rows.
"""
    minutes = (time.perf_counter() - began) / 60
    day = f"{datetime.now(UTC):%Y-%m-%d}"
    end = f"""Written by `{command.strip()}` on {day} in {minutes:.0f} minutes.
{machine()}. {own()}.
"""
    text = "\n".join([about, *tables, end])
    print(text)
    given.output.write_text(text, encoding="utf-8")
    return 0


def options(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=["linear", "mixed"], choices=list(SUBJECTS))
    parser.add_argument("--seconds", type=int, default=2, help="of each run")
    parser.add_argument("--rounds", type=int, default=5, help="alternating runs")
    cache = environments.default()
    parser.add_argument("--work", type=Path, default=cache / "routing", help="a scratch folder")
    output = HERE.parent / "rollout" / "ROUTING.md"
    parser.add_argument("--output", type=Path, default=output)
    given = parser.parse_args(arguments)
    given.work = given.work.resolve()
    return given


Runs = dict[tuple[str, str], list[dict[str, Any]]]  # by server and load


def measured(subject: Subject, given: argparse.Namespace) -> Runs:
    """All runs of one model.

    Raises:
        BenchError: a server did not start, does not split, or an answer was not 200.
    """
    made(subject, given.work)
    keyed = keys(subject, given.work)
    plain = given.work / subject.name / "split-1.txt"
    loads = [(load, plain, load.name) for load in LOADS]
    loads.append((LOADS[-1], keyed, f"{LOADS[-1].name}, keys"))
    found: Runs = {}
    with ExitStack() as stack:
        servers: dict[str, tuple[Running, int]] = {}
        for share in (0.0, *SHARES):
            name = titled(share)
            said(f"{subject.name}: {name} starts")
            running, port = started(subject, share, given.work)
            stack.enter_context(running)
            check(port, plain, share)
            running.pause()
            servers[name] = running, port
        for turn in range(given.rounds):
            for load, requests, label in loads:
                for name, (running, port) in servers.items():
                    running.go_on()
                    if not turn:
                        drive(port, requests, load, WARM_SECONDS)
                    found.setdefault((name, label), []).append(
                        run(running, port, requests, load, given.seconds)
                    )
                    running.pause()
                    said(
                        f"  {label:>10} {name:>14}: {found[name, label][-1]['per_second']:8,.0f}/s"
                    )
    return found


def titled(share: float) -> str:
    """What tables call the server of a share."""
    return f"canary {100 * share:g}%" if share else ALONE


def drive(port: int, requests: Path, load: Load, seconds: int) -> dict[str, int]:
    """What wrk says of some seconds of a load."""
    found: dict[str, int] = wrk(
        port, "/invocations", requests, load, seconds=seconds, core=cores()[1]
    )
    return found


def run(running: Running, port: int, requests: Path, load: Load, seconds: int) -> dict[str, float]:
    """One run of wrk and what the server spent on it."""
    running.settle()
    before = running.cpu_seconds()
    found = drive(port, requests, load, seconds)
    spent = running.cpu_seconds() - before
    return {
        "per_second": found["requests"] / found["microseconds"] * 1e6,
        "cpu_us": spent / found["requests"] * 1e6,
        "p99_us": found["p99_us"],
    }


def made(subject: Subject, work: Path) -> None:
    """Train and register the model, and the same files once more as version 2.

    In a process of its own, so that this one stays small.
    """
    work.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(Path(__file__)), "--make", str(work), subject.name]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"the model could not be made: {done.stderr.strip()[-300:]}")


def make(work: Path, name: str) -> None:
    """What that process does: a registry for each share, beside the one that trained."""
    from lifecycle.config import load_config
    from lifecycle.records import Arm, RolloutSpec
    from lifecycle.rollout.state import begun
    from lifecycle.stores import registry
    from lifecycle.stores.ledger import Ledger, draft
    from lifecycle.stores.tracking import connect

    prepare([SUBJECTS[name]], work)
    config = load_config(work / name / "lifecycle.toml")
    client = connect(config)
    first = registry.find(client, f"{name}/1")
    if len(registry.versions(client, name)) < 2:
        registry.register(client, name, model_uri=first.source, tags=first.tags)
    for share in (0.0, *SHARES):
        folder = place(work, name, share)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(work / "mlflow.db", folder / "mlflow.db")
        text = (work / name / "lifecycle.toml").read_text(encoding="utf-8")
        (folder / "lifecycle.toml").write_text(text.replace(uri(work), uri(folder)), "utf-8")
        if share:
            arms = (Arm("champion", 1, 0.0), Arm("challenger", 2, 0.0))
            spec = RolloutSpec(name, "canary", arms, steps=(share, 1.0), salt="routing")
            entry = draft(**begun(spec))
            ledger = Ledger(connect(load_config(folder / "lifecycle.toml")), name)
            ledger.append(lambda _entries, entry=entry: entry)  # type: ignore[misc]


def place(work: Path, name: str, share: float) -> Path:
    """The folder of one server."""
    return work / "servers" / f"{name}-{share:g}"


def keys(subject: Subject, work: Path) -> Path:
    """The requests with routing keys before them, for wrk.lua: as many as there are keys."""
    bodies = (work / subject.name / "split-1.txt").read_text(encoding="utf-8").splitlines()
    lines = [f"customer-{at}\t{bodies[at % len(bodies)]}" for at in range(KEYS)]
    path = work / subject.name / "keyed-1.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def started(subject: Subject, share: float, work: Path) -> tuple[Running, int]:
    """A server of one share, on the first core."""
    folder, port = place(work, subject.name, share), free_port()
    command = [
        sys.executable, "-m", "lifecycle", "serve", subject.name, "--port", str(port),
        "--config", str(folder / "lifecycle.toml"), "--log", str(folder / "log"),
    ]  # fmt: skip
    running = Running(command, core=cores()[0], folder=folder, output=folder / "said.txt")
    try:
        running.wait(port, "/ping")
    except BenchError:
        running.end()
        raise
    return running, port


def check(port: int, requests: Path, share: float) -> None:
    """Whether the server splits as it should: by what it says of itself, after some requests.

    Raises:
        BenchError: it does not.
    """
    for body in requests.read_text(encoding="utf-8").splitlines() * 5:
        status, answer = ask(port, "/invocations", body)
        if status != 200:
            raise BenchError(f"it answered {status}: {answer[:200]!r}")
    text = ask(port, "/metrics")[1].decode()
    arms = [line for line in text.splitlines() if line.startswith("lifecycle_arm_requests_total{")]
    counts = {line.split('arm="')[1].split('"')[0]: float(line.split()[-1]) for line in arms}
    part = counts.get("challenger", 0.0) / sum(counts.values())
    if abs(part - share) > 0.15 or (share > 0.01 and not part):
        raise BenchError(f"the challenger answered {part:.0%} instead of {share:.0%}")


def table(subject: Subject, found: Runs) -> list[str]:
    """One model's table."""
    body = []
    for name, label in found:
        runs, base = found[name, label], found[ALONE, label]
        speed = statistics.median(item["per_second"] for item in runs)
        spent = statistics.median(item["cpu_us"] for item in runs)
        late = statistics.median(item["p99_us"] for item in runs) / 1000
        cells = [label, name, f"{speed:,.0f}", "", f"{spent:.1f}", f"{late:.1f}"]
        if name != ALONE:
            pairs = zip(runs, base, strict=True)
            parts = [one["per_second"] / other["per_second"] for one, other in pairs]
            middle = statistics.median(parts)
            reached = f"≥ {GOAL:.0%}" if middle >= GOAL else f"missed: {GOAL:.0%}"
            cells[3] = f"{middle:.1%} ({min(parts):.1%} to {max(parts):.1%}), {reached}"
        body.append(cells)
    heads = ["connections", "server", "requests/s", "of the champion alone", "CPU µs", "p99 ms"]
    return [f"## {subject.title}", "", *markdown(heads, body)]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--make"]:
        make(Path(sys.argv[2]), sys.argv[3])
    else:
        sys.exit(main())
