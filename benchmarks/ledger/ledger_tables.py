"""The tables of RESULTS.md, from what was measured."""

import os
import platform
from collections.abc import Sequence
from typing import Any

import places

PARTS = ("append", "races", "kills", "long")
Cell = dict[str, Any]

HEAD = """# What a ledger costs

Written by `{command}`. Python {python}, {cores} cores; server, database and writers are all on this
one machine. `load` is its load average when a row was done: above the number of cores something
else was running, and the times are too long.
"""
APPEND = """
## One writer

| registry | append p50 ms | p95 ms | appends | load |
|---|---|---|---|---|
"""
RACES = """
## {title}

A move is a decision upon the ledger that brings a version to production; the loser of a race
decides again. `broken` counts gaps, lost and doubled entries, decisions upon an old ledger, moments
without exactly one version in production, wrong aliases, and writers that failed.

| registry | entries | decisions | killed | broken | append p50 ms | p95 ms | s | load |
|---|---|---|---|---|---|---|---|---|
"""
TITLES = {
    "races": "Processes that race",
    "kills": "Processes that race, some of them killed (SIGKILL) and replaced",
}
LONG = """
## A long ledger

Seconds. `read` and `append` are one call in a process that has read the ledger before; commands are
whole processes, in brackets the seconds of the processor that they used, and `import mlflow` is
what each of them begins with.

| registry | entries | read | append | import mlflow | history | --json | --at | verify | load |
|---|---|---|---|---|---|---|---|---|---|
"""
COMMANDS = ("history", "history --json", "history --at", "verify")


def document(cells: dict[str, Cell], command: str) -> str:
    """RESULTS.md as a whole."""
    parts = [HEAD.format(command=command, python=platform.python_version(), cores=os.cpu_count())]
    parts += [APPEND, rows(cells, "append", ("p50", "p95", "n"))]
    keys = ("entries", "decisions", "killed", "broken", "p50_ms", "p95_ms", "seconds")
    for part, title in TITLES.items():
        parts += [RACES.format(title=title), rows(cells, part, keys)]
    parts += [LONG, rows(cells, "long", ("entries", "read", "append", "start", *COMMANDS))]
    return "".join(parts)


def rows(cells: dict[str, Cell], part: str, keys: Sequence[str]) -> str:
    """A row a registry; what was not measured, or could not be, says so."""
    return "".join(row(name, cells.get(f"{name}, {part}"), keys) for name in places.NAMES)


def row(name: str, cell: Cell | None, keys: Sequence[str]) -> str:
    """One row of a table, with its line's end."""
    if cell is None or isinstance(cell.get("failed"), str):
        said = "not measured" if cell is None else str(cell["failed"]).splitlines()[-1][:80]
        return f"| {name} | {said} |" + " |" * len(keys) + "\n"
    shown = {**cell}
    if "broken" in cell:
        shown["broken"] = len(cell["broken"]) + len(cell["failed"])
    return f"| {name} | " + " | ".join(_both(shown, key) for key in (*keys, "load")) + " |\n"


def _both(cell: Cell, key: str) -> str:
    """A figure, with that of the processor where there is one."""
    used = cell.get(f"{key} cpu")
    return figure(cell.get(key)) + (f" ({figure(used)})" if used is not None else "")


def figure(value: object) -> str:
    """A number as people read it."""
    if isinstance(value, float):
        return f"{value:.2f}" if value < 100 else f"{value:.0f}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
