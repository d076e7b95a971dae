"""Figures over all workers of a server, also those that died: each writes its own, one adds up.

>>> one, two = Figures(), Figures()
>>> one.answered("churn", 7, 200, rows=3, nanoseconds=400_000)
>>> two.answered("churn", 7, 200, rows=2, nanoseconds=900_000)
>>> total = Figures()
>>> for worker in (one, two):
...     add(total, plain(worker))
>>> total.requests, total.rows
({('churn', 7, 200): 2}, {('churn', 7): 5})

A worker writes its figures once a second, at each /metrics and at its end, and what /metrics gives
is the sum of what is written, so a counter never falls, whichever worker is asked. A worker that
is killed takes up to a second of counts with it; its file is added to that of all who ended.
"""

import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from lifecycle.serve.figures import Figures
from lifecycle.serve.wire import Gauge

ENDED = "ended.json"
_REMEMBERED = 100  # names of ended workers' files, for one that reads while they are added up


class Counts:
    """One worker's part of the figures of all.

    Args:
        figures: the worker's own.
        folder: what the workers of one server share; None: there is one worker.
    """

    def __init__(self, figures: Figures, folder: Path | None) -> None:
        self.figures, self.folder = figures, folder
        self._name = f"{os.getpid()}-{time.time_ns()}.counts"

    def write(self, gauges: Iterable[Gauge] = ()) -> None:
        """Write this worker's figures for the others; nothing where there are none."""
        if self.folder is None:
            return
        tree = {"counts": plain(self.figures), "gauges": list(gauges)}
        with contextlib.suppress(OSError):  # what is served does not depend on it
            _replace(self.folder / self._name, tree)

    def total(self, gauges: list[Gauge]) -> tuple[Figures, list[Gauge]]:
        """The figures of all workers.

        Args:
            gauges: this worker's.
        """
        if self.folder is None:
            return self.figures, gauges
        self.write(gauges)
        trees = {path.name: _read(path) for path in sorted(self.folder.glob("*.counts"))}
        ended = _read(self.folder / ENDED)  # read last: who vanished meanwhile is in it
        for name in ended.get("names", ()):
            trees.pop(name, None)
        found, shown = Figures(), list(gauges)
        add(found, ended.get("counts", {}))
        for name, tree in trees.items():
            add(found, tree.get("counts", {}))
            if name != self._name:
                shown.extend(tuple(item) for item in tree.get("gauges", ()))
        shown.append(("workers_died", "Workers that ended unasked.", {}, ended.get("died", 0)))
        return found, joined(shown)


def bury(folder: Path, pid: int) -> None:
    """Add the files of a worker that ended to those of all who ended; the parent's work alone.

    Args:
        folder: what the workers share.
        pid: of the worker.
    """
    paths = list(folder.glob(f"{pid}-*.counts"))
    ended = _read(folder / ENDED)
    total = Figures()
    for tree in (ended, *map(_read, paths)):
        add(total, tree.get("counts", {}))
    total.reasons.clear()  # of the living alone
    names = [*ended.get("names", ()), *(path.name for path in paths)][-_REMEMBERED:]
    tree = {"counts": plain(total), "names": names, "died": ended.get("died", 0) + 1}
    with contextlib.suppress(OSError):
        _replace(folder / ENDED, tree)
        for path in paths:
            path.unlink()


def plain(figures: Figures) -> dict[str, Any]:
    """Figures as JSON types: numbers, and tables as lists of key and value."""
    return {
        name: list(value.items()) if isinstance(value, dict) else value
        for name, value in vars(figures).items()
    }


def add(figures: Figures, tree: dict[str, Any]) -> None:
    """Add what `plain` gave, also by way of JSON; texts replace each other."""
    for name, value in tree.items():
        if not isinstance(value, list):
            setattr(figures, name, getattr(figures, name) + value)
            continue
        table = getattr(figures, name)
        for key, item in value:
            place = tuple(key) if isinstance(key, (list, tuple)) else key
            table[place] = _sum(table[place], item) if place in table else item


def _sum(one: Any, other: Any) -> Any:
    if isinstance(one, str):
        return other
    if isinstance(one, list):
        return [left + right for left, right in zip(one, other, strict=True)]
    return one + other


def joined(gauges: Iterable[Gauge]) -> list[Gauge]:
    """Gauges of several workers: of `…_info`, `…_seconds` and the like the largest, else the sum.

    >>> joined([("waiting", "…", {}, 2), ("ready", "…", {}, 1), ("waiting", "…", {}, 3)])
    [('waiting', '…', {}, 5), ('ready', '…', {}, 1)]
    """
    found: dict[str, dict[tuple[tuple[str, object], ...], Gauge]] = {}
    for name, about, labels, value in gauges:
        same, key = found.setdefault(name, {}), tuple(labels.items())
        before = same[key][3] if key in same else None
        if before is None:
            both = value
        elif name.endswith(("_info", "_seconds", "_share", "_step")):
            both = max(before, value)
        else:
            both = before + value
        same[key] = (name, about, labels, both)
    return [gauge for same in found.values() for gauge in same.values()]


def _replace(path: Path, tree: dict[str, Any]) -> None:
    draft = path.with_suffix(f".{os.getpid()}")
    draft.write_bytes(msgspec.json.encode(tree))
    draft.replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        tree = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return tree if isinstance(tree, dict) else {}
