"""What is printed and written: Markdown tables with the goals beside the figures.

>>> Goal(25.0).judged(31.2, "x"), Goal(25.0).judged(3.21, "x")
('31x (≥ 25x)', '**3.2x** (missed: ≥ 25x)')
"""

import datetime as dt
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from cells import Kept
from environments import PACKAGES, versions
from extras import FIXED, LATENCY, WORKERS
from processes import HERE
from servers import KNOWN, OWN, PEERS, SERVERS
from subjects import ASKED, SUBJECTS
from turns import LOADS

VERSIONS = ("mlflow-lifecycle", "mlflow", "scikit-learn", "onnxruntime", "xgboost", "uvicorn")
FULL = LOADS[1].name
LIMITS = ("uvicorn", "granian")
HEADS = [f"{load.name} connections" if load.connections > 1 else "1 connection" for load in LOADS]


@dataclass(frozen=True)
class Goal:
    """A bound that a figure must reach.

    Attributes:
        bound: the bound.
        most: whether the figure must not be more, instead of not less.
    """

    bound: float
    most: bool = False

    def reached(self, value: float) -> bool:
        """Whether a figure reaches it."""
        return value <= self.bound if self.most else value >= self.bound

    def judged(self, value: float, unit: str) -> str:
        """A figure as it stands in a table."""
        text, bound = f"{shown(value)}{unit}", f"{'≤' if self.most else '≥'} {self.bound:g}{unit}"
        return f"{text} ({bound})" if self.reached(value) else f"**{text}** (missed: {bound})"


_ANY = (1.5, 10.0, 30.0, 6.0)
_FRAMES = (1.5, 4.0, 8.0, None)
RATIOS: dict[str, tuple[float | None, ...]] = {  # to `mlflow models serve`, a load each
    "linear": (25.0, 60.0, 100.0, 15.0),
    "mixed": (25.0, 60.0, 100.0, 10.0),
    "forest": (50.0, 100.0, 180.0, 8.0),
    "uncompiled": _ANY,
    "uncompiled-linear": _ANY,
    "uncompiled-forest": _ANY,
    "xgboost": _FRAMES,
    "custom": _FRAMES,
}
OF_LIMIT = {"ours": Goal(45.0), "unlogged": Goal(55.0)}  # percent
LOG_COST = Goal(80.0)  # percent of the throughput without the log
READY = Goal(4.0, most=True)  # seconds
MEMORY = Goal(300.0, most=True)  # MB
GROWTH = Goal(15.0, most=True)  # percent more CPU time a request with two workers
TAIL = Goal(5.0, most=True)  # p99 / p50


def shown(value: float) -> str:
    """A figure with the digits that count.

    >>> shown(12345.6), shown(12.34), shown(1.234)
    ('12,346', '12', '1.2')
    """
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.1f}"


def markdown(heads: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table and an empty line."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return [*lines, *("| " + " | ".join(cells) + " |" for cells in body), ""]


def document(kept: Kept, *, command: str, minutes: float, environments: Path) -> str:
    """The whole of RESULTS.md."""
    tables = [
        *ratios(kept), *costs(kept), *limits(kept), *rest(kept), *latencies(kept),
        *throughput(kept), *processor(kept), *failures(kept),
    ]  # fmt: skip
    missed = sum(line.count("missed: ") for line in tables)
    runs = max((int(key.split("|")[3]) + 1 for key in kept.cells), default=0)
    how = (
        f"One worker on core 0, the client on core 1; medians of {runs} alternating runs; bodies "
        f"of one row have 1.2 kB, long ones {ASKED} rows. Load average of the machine while the "
        f"cells were measured: {loads(kept)}{niceness(kept)}. This run took {minutes:.0f} minutes:"
    )
    lines = [
        "# Serving, side by side", "",
        f"{dt.datetime.now(tz=dt.UTC).date().isoformat()}, {machine()}, {own()}.", "",
        *peer_versions(kept, environments),
        how, "",
        f"    {command}", "",
        f"**{missed} figures miss their goal**, {marked(tables)} more reach it." if missed
        else f"All {marked(tables)} figures that have a goal reach it.", "",
        *tables,
    ]  # fmt: skip
    return "\n".join(lines).rstrip() + "\n"


def marked(lines: Sequence[str]) -> int:
    """How many figures reach their goals."""
    bounds = sum(line.count("≥") + line.count("≤") for line in lines)
    return bounds - sum(line.count("missed: ") for line in lines)


def measured(kept: Kept) -> list[str]:
    """The models of which something was measured, in the order of SUBJECTS."""
    seen = {key.split("|")[1] for key in kept.cells}
    return [name for name in SUBJECTS if name in seen]


def ratios(kept: Kept) -> list[str]:
    """Ours beside `mlflow models serve`."""
    body = []
    for model in measured(kept):
        cells = []
        for load, bound in zip(LOADS, RATIOS[model], strict=True):
            value = kept.ratio("ours", "mlflow", model, load.name)
            goal = None if bound is None else Goal(bound)
            cells.append(cell(value, goal, "x"))
        if any(cells):
            body.append([SUBJECTS[model].title, *cells])
    title = "## Requests a second, ratio to `mlflow models serve`, prediction log on"
    return [title, "", *markdown(["model", *HEADS], body)] if body else []


def costs(kept: Kept) -> list[str]:
    """The same by CPU time, which says more where other work shares the cores."""
    body = []
    for model in measured(kept):
        found = [kept.ratio("mlflow", "ours", model, load.name, "cpu_us") for load in LOADS]
        if any(found):
            body.append([SUBJECTS[model].title, *(cell(value, None, "x") for value in found)])
    title = "## CPU time a request, `mlflow models serve` to ours"
    note = (
        "It says more than requests a second where other work shares the cores; at 1 connection "
        "it leaves out that both wait for the client."
    )
    return [title, "", note, "", *markdown(["model", *HEADS], body)] if body else []


def cell(value: float | None, goal: Goal | None, unit: str) -> str:
    """A cell with a figure and its goal, empty without a figure."""
    if value is None:
        return ""
    return f"{shown(value)}{unit}" if goal is None else goal.judged(value, unit)


def limit(kept: Kept, model: str, load: str) -> float | None:
    """Requests a second of the faster limit with bodies like the model's."""
    like = "mixed" if SUBJECTS[model].texts else "linear"
    found = [kept.median(name, like, load, "per_second") for name in LIMITS]
    return max((value for value in found if value is not None), default=None)


def limits(kept: Kept) -> list[str]:
    """Ours beside a server that only decodes the JSON, and with the log beside without."""
    body = []
    for model in KNOWN:
        top = limit(kept, model, FULL)
        row = []
        for server, goal in OF_LIMIT.items():
            value = kept.median(server, model, FULL, "per_second")
            row.append(cell(value and top and 100 * value / top, goal, " %"))
        share = kept.ratio("ours", "unlogged", model, FULL)
        row.append(cell(share and 100 * share, LOG_COST, " %"))
        if any(row):
            body.append([SUBJECTS[model].title, *row])
    heads = ["compiled model", "log on, of the limit", "log off, of the limit", "log on, of off"]
    note = (
        "At 16 connections. The limit is the faster of uvicorn (raw ASGI) and granian (RSGI), "
        "which decode the JSON and give a fixed answer; our server has an HTTP layer of its own."
    )
    return ["## Beside the HTTP limit, and what the log costs", "", note, "",
            *markdown(heads, body)] if body else []  # fmt: skip


def rest(kept: Kept) -> list[str]:
    """Time to ready, memory, and CPU time with two workers."""
    body = []
    for server in (SERVERS["mlflow"], SERVERS["ours"]):
        ours = server.name == "ours"
        for model in measured(kept):
            start = next(kept.turns(server.name, model, "start"))
            if not start:
                continue
            sizes = [
                turn["mb"] for load in LOADS for turn in kept.turns(server.name, model, load.name)
                if turn
            ]  # fmt: skip
            one, two = (
                kept.median("ours", model, f"{count} {WORKERS}", "cpu_us") for count in (1, 2)
            )
            growth = 100 * (two / one - 1) if one and two and ours else None
            body.append([
                server.title, SUBJECTS[model].title,
                cell(start["ready"], READY if ours else None, " s"), f"{start['spent']:.1f} s",
                cell(max([start["mb"], *sizes]), MEMORY if ours else None, " MB"),
                cell(growth, GROWTH, " %"), f"{start['compared']}",
            ])  # fmt: skip
    heads = ["server", "model", "ready after", "CPU time till then", "memory of the worker",
             "CPU time a request with two workers", "answers that were compared"]  # fmt: skip
    note = (
        "Memory is resident, the most that was seen after a load. CPU time is user and system "
        "time of all processes at 32 connections a worker, two on the core of the servers."
    )
    return ["## Start, memory, two workers", "", note, "", *markdown(heads, body)] if body else []


def latencies(kept: Kept) -> list[str]:
    """Open-loop latency."""
    body = []
    figures = ("rate", "p50_us", "p99_us", "late_p99_us", "busy")
    for model, name in [(model, name) for model in measured(kept) for name in ("ours", *FIXED)]:
        found = [kept.median(name, model, LATENCY, figure) for figure in figures]
        rate, half, tail, late, busy = (value or 0.0 for value in found)
        if rate:
            ratio = f"{tail / half:.2g}" if name in FIXED else TAIL.judged(tail / half, "")
            body.append([
                SERVERS[name].title, SUBJECTS[model].title, shown(rate), shown(half), shown(tail),
                ratio, shown(late), f"{100 * busy:.0f} %",
            ])  # fmt: skip
    heads = ["server", "model", "requests/s", "p50, µs", "p99, µs", "p99 / p50",
             "client late, p99, µs", "client busy"]  # fmt: skip
    note = (
        "Poisson arrivals at half of the server's own capacity at 64 connections; latency counts "
        "from when a request was due. Where the client was late by as much, the figure is its own. "
        "The limit gives a fixed answer: what it shows is the machine's and the client's."
    )
    return ["## Latency at half of the capacity, open loop", "", note, "",
            *markdown(heads, body)] if body else []  # fmt: skip


def throughput(kept: Kept) -> list[str]:
    """Requests a second of all servers, and which peer is ahead of ours."""
    return [*_every(kept, "per_second", "Requests a second"), *ahead(kept, "per_second")]


def processor(kept: Kept) -> list[str]:
    """CPU time a request of all servers, and which peer needs less than ours."""
    title = "CPU time of the server a request, µs"
    return [*_every(kept, "cpu_us", title), *ahead(kept, "cpu_us", less=True)]


def ahead(kept: Kept, figure: str, *, less: bool = False) -> list[str]:
    """The cells of a figure in which a peer is better than ours."""
    found, compared = [], False
    for model in measured(kept):
        for load, head in zip(LOADS, HEADS, strict=True):
            ours = kept.median("ours", model, load.name, figure)
            for peer in PEERS:
                theirs = kept.median(peer.name, model, load.name, figure)
                if ours is None or theirs is None:
                    continue
                compared = True
                if theirs < ours if less else theirs > ours:
                    found.append(f"{peer.title} ({SUBJECTS[model].title}, {head})")
    if found:
        return [f"**Ahead of ours** (missed: ≤ none): {'; '.join(found)}.", ""]
    return ["No peer is ahead of ours in any cell.", ""] if compared else []


def _every(kept: Kept, figure: str, title: str) -> list[str]:
    lines = []
    for model in measured(kept):
        body = []
        for server in (*OWN, *PEERS):
            row = [kept.median(server.name, model, load.name, figure) for load in LOADS]
            if any(row):
                body.append([server.title, *("" if v is None else shown(v) for v in row)])
        if body:
            lines += markdown([SUBJECTS[model].title, *HEADS], body)
    return [f"## {title}", "", *lines] if lines else []


def failures(kept: Kept) -> list[str]:
    """What could not be measured."""
    lines = []
    for key, why in kept.failures():
        server, model, what, _ = key.split("|")
        lines.append(f"- {SERVERS[server].title}, {SUBJECTS[model].title}, {what}: {why}")
    return ["## Not measured", "", *dict.fromkeys(lines), ""] if lines else []


def loads(kept: Kept) -> str:
    """The machine's load average while cells were measured."""
    found = [item["load"] for item in kept.cells.values() if "load" in item]
    return f"{min(found):.1f} to {max(found):.1f}" if found else "not measured"


def niceness(kept: Kept) -> str:
    """Whether some cells ran with another priority, as under `nice -n -10`."""
    found = sorted({item.get("nice", 0) for item in kept.cells.values()})
    return f"; niceness {' and '.join(map(str, found))}" if any(found) else ""


def own() -> str:
    """Our versions."""
    commit = _said("git", "-C", str(HERE), "rev-parse", "--short", "HEAD")
    found = [f"commit {commit}"] if commit else []
    found += [f"{name} {_version(name)}" for name in VERSIONS]
    wrk = next(iter(_said("wrk", "-v").split("[")), "").strip()
    return ", ".join([*found, wrk] if wrk else found)


def peer_versions(kept: Kept, environments: Path) -> list[str]:
    """The versions of the peers that were measured."""
    seen = {key.split("|")[0] for key in kept.cells}
    names = {server.environment for server in (*OWN, *PEERS) if server.name in seen} - {""}
    found: dict[str, str] = {}
    for name in PACKAGES:
        if name in names:
            found |= versions(name, environments)
    return [f"Beside them: {', '.join(f'{n} {v}' for n, v in found.items())}.", ""] if found else []


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _said(*command: str) -> str:
    """The first line of what a program says; empty where it is not there."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def machine() -> str:
    """Processor, cores and Python."""
    names = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    )
    name = next(names, platform.machine())
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"
