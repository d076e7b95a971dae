r"""Sheets in a terminal, drawn with rich.

>>> from lifecycle.records import Feedback
>>> text(Feedback("churn", accepted=3, repeated=1))
'churn: 3 labels accepted\n  1 were known already\n'
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from math import ceil
from typing import Any

from rich.box import ASCII, SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from lifecycle.views.bars import BLOCKS, PLAIN_BLOCKS, Bars, spark
from lifecycle.views.layout import BAD, GOOD, PLAIN, UNSURE, Cell, Gauge, Sheet, harmless
from lifecycle.views.sheets import sheet

STYLES = {GOOD: "green", BAD: "red", UNSURE: "yellow", PLAIN: ""}
NARROW = 6  # characters that any column keeps
ROOMY = 110  # characters from which on a row's sentence stands beside it
GAUGE, WIDE_GAUGE = 12, 30  # characters of a bar in a table, and above it
UNKNOWN_WIDTH = 140  # of a pipe or file
AS_ASCII = str.maketrans({"→": "->", "±": "+/-", "…": "...", "★": "*"})


def drawn(record: Any) -> RenderableType:
    """A record as something rich can print."""
    return Drawing(record if isinstance(record, Sheet) else sheet(record))


def text(record: Any, *, width: int = 120, blocks: bool = True) -> str:
    """A record as plain text, without colours.

    Args:
        record: or a sheet.
        width: characters of a line.
        blocks: draw bars with block characters rather than ASCII.
    """
    shown = record if isinstance(record, Sheet) else sheet(record)
    console = Console(file=StringIO(), width=width, no_color=True)
    console.print(Drawing(shown, blocks=blocks))
    assert isinstance(console.file, StringIO)
    lines = (line.rstrip() for line in console.file.getvalue().splitlines())
    return "\n".join(lines).strip("\n") + "\n"


@dataclass(frozen=True)
class Drawing:
    """A sheet that asks the console that prints it what that can show.

    Bars are drawn in block characters on a terminal, in ASCII in a pipe or file. Where the
    encoding knows ASCII alone, so are all texts, other marks by their numbers.
    """

    sheet: Sheet
    blocks: bool | None = None  # None: where the output is a terminal

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """The title, facts, the table, what is said of its rows, notes."""
        shown = self.sheet
        ascii_only = options.ascii_only
        blocks = console.is_terminal if self.blocks is None else self.blocks
        pen = _Pen(ascii_only, BLOCKS if blocks and not ascii_only else PLAIN_BLOCKS)
        roomy = options.max_width >= ROOMY
        yield Text(pen.written(shown.title), style=f"bold {STYLES[shown.mark]}".strip())
        if shown.facts:
            yield Padding(_facts(shown, pen), (0, 0, 0, 2), expand=False)
        if shown.rows:
            yield _table(shown, pen, roomy=roomy)
        below = [] if roomy else _below(shown)
        folded = [shown.folded] if shown.folded else []
        for note in (*below, *folded, *shown.notes):
            yield Padding(Text(pen.written(note)), (0, 0, 0, 2), expand=False)


@dataclass(frozen=True)
class _Pen:
    ascii_only: bool
    ramp: str

    def written(self, words: str) -> str:
        """A text in characters that can be printed."""
        safe = harmless(words)
        if self.ascii_only:
            safe = safe.translate(AS_ASCII).encode("ascii", "backslashreplace").decode()
        return safe

    def drawn(self, cell: Cell) -> Text:
        """A cell: a text, or two lines of bars and what they do not say."""
        if isinstance(cell, str):
            return Text(self.written(cell))
        if isinstance(cell, Gauge):
            return Text("\n").join([self.gauge(cell, GAUGE), Text(self.written(cell.words))])
        lines = [spark(side, self.ramp) for side in (cell.reference, cell.live) if side]
        return Text("\n".join([*lines, *map(self.written, cell.notes())]))

    def gauge(self, cell: Gauge, wide: int) -> Text:
        """A bar; whatever is more than nothing can be seen, and is full only where it is."""
        share = min(1.0, max(0.0, cell.share))
        filled = wide if share >= 1.0 else min(wide - 1, ceil(share * wide))
        full, empty = ("█", "░") if self.ramp == BLOCKS else ("#", ".")
        return Text.assemble((full * filled, STYLES[cell.mark]), (empty * (wide - filled), "dim"))


def _facts(shown: Sheet, pen: _Pen) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column()
    for name, what in shown.facts:
        if isinstance(what, str):
            table.add_row(pen.written(name), Text(pen.written(what)))
        elif isinstance(what, Gauge):
            bar = pen.gauge(what, WIDE_GAUGE)
            table.add_row(pen.written(name), bar.append(f" {pen.written(what.words)}", style=""))
        else:
            table.add_row(pen.written(name), Text(spark(what.heights, pen.ramp, top=1.0)))
    return table


def _table(shown: Sheet, pen: _Pen, *, roomy: bool) -> Table:
    said = roomy and any(shown.said)
    headers = (*shown.headers, *(["reason"] if said else []))
    box = ASCII if pen.ascii_only else SIMPLE_HEAD
    table = Table(box=box, pad_edge=False, padding=(0, 1, 0, 0), show_header=any(headers))
    drawings = {at for row in shown.rows for at, cell in enumerate(row) if isinstance(cell, Bars)}
    for at, header in enumerate(headers):  # on a narrow terminal the widest wrap first
        least = max(map(len, header.split("\n")))
        least = _widest(shown, at) if at in drawings else min(least, NARROW)
        table.add_column(pen.written(header), overflow="fold", min_width=least)
    for index, row in enumerate(shown.rows):
        mark = shown.marks[index] if index < len(shown.marks) else PLAIN
        cells: tuple[Cell, ...] = (*row, *([shown.said[index]] if said else []))
        table.add_row(*map(pen.drawn, cells), style=STYLES[mark])
    return table


def _widest(shown: Sheet, at: int) -> int:
    """Characters of the longest row of bars in a column of the table."""
    cells = [cell for row in shown.rows for cell in row[at : at + 1]]
    return max([9, *(len(cell.live) for cell in cells if isinstance(cell, Bars))])


def _below(shown: Sheet) -> list[str]:
    """What is said of the rows, where there is no room beside them."""
    found = []
    for row, words in zip(shown.rows, shown.said, strict=False):
        name = str(row[0]).partition("\n")[0]
        if words:
            found.append(words if words.startswith(name) else f"{name}: {words}")
    return found
