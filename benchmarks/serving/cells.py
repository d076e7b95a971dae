"""What is measured, a cell each, kept as it comes: one line of JSON in .partial/cells.jsonl.

>>> Cell("ours", "linear", "16", 0).key
'ours|linear|16|0'

A cell holds what was measured, or the reason why it was not (`failed`).
"""

import json
import os
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROUNDS = 3  # alternating runs; tables show medians


@dataclass(frozen=True)
class Cell:
    """One run: a server, a model, what was measured, and which of the alternating runs it is."""

    server: str
    model: str
    what: str
    turn: int = 0

    @property
    def key(self) -> str:
        """What it is kept under."""
        return f"{self.server}|{self.model}|{self.what}|{self.turn}"


class Kept:
    """All cells, in memory and in a file.

    Args:
        path: the file; what it holds is read.

    Attributes:
        absent: servers that did not start in this run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.absent: set[str] = set()
        self.cells: dict[str, dict[str, Any]] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
            try:
                found = json.loads(line)
            except ValueError:
                continue  # a line that was cut off is measured again
            self.cells[found.pop("key")] = found
        self._write()

    def forget(self, servers: tuple[str, ...]) -> None:
        """Drop the cells of some servers: they are measured again."""
        kept = {key: item for key, item in self.cells.items() if key.split("|")[0] not in servers}
        self.cells = kept
        self._write()

    def add(self, cell: Cell, found: Mapping[str, Any]) -> None:
        """Keep a cell."""
        around = {"load": round(os.getloadavg()[0], 1), "nice": os.nice(0)}
        self.cells[cell.key] = {**found, **around}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"key": cell.key, **self.cells[cell.key]}) + "\n")

    def has(self, cell: Cell) -> bool:
        """Whether a cell was measured; one that failed is tried again."""
        return "failed" not in self.cells.get(cell.key, {"failed": "not measured"})

    def turns(self, server: str, model: str, what: str) -> Iterator[dict[str, Any]]:
        """The runs of a cell that were measured, by turn; a failed one is empty."""
        for turn in range(ROUNDS):
            found = self.cells.get(Cell(server, model, what, turn).key, {})
            yield {} if "failed" in found else found

    def median(self, server: str, model: str, what: str, figure: str) -> float | None:
        """The median of a figure over the runs; None where there is none."""
        found = [turn[figure] for turn in self.turns(server, model, what) if figure in turn]
        return statistics.median(found) if found else None

    def ratio(
        self, server: str, other: str, model: str, what: str, figure: str = "per_second"
    ) -> float | None:
        """The median of the ratio of a figure in runs that came after one another."""
        pairs = zip(self.turns(server, model, what), self.turns(other, model, what), strict=True)
        found = [a[figure] / b[figure] for a, b in pairs if a and b]
        return statistics.median(found) if found else None

    def failures(self) -> Iterator[tuple[str, str]]:
        """What could not be measured, and why."""
        for key, found in self.cells.items():
            if "failed" in found:
                yield key, found["failed"]

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = (json.dumps({"key": key, **found}) + "\n" for key, found in self.cells.items())
        self.path.write_text("".join(lines), encoding="utf-8")
