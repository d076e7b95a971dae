r"""Sheets in a terminal, drawn with rich.

>>> from lifecycle.records import Feedback
>>> text(Feedback("churn", accepted=3, repeated=1))
'churn: 3 labels accepted\n  1 were known already\n'
"""

from io import StringIO
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from lifecycle.views.sheets import BAD, GOOD, PLAIN, UNSURE, Sheet, sheet

STYLES = {GOOD: "green", BAD: "red", UNSURE: "yellow", PLAIN: ""}
NARROW = 6  # characters that any column keeps
UNKNOWN_WIDTH = 140  # of a pipe or file


def drawn(record: Any) -> RenderableType:
    """A record as something rich can print."""
    return _draw(record if isinstance(record, Sheet) else sheet(record))


def text(record: Any, *, width: int = 120) -> str:
    """A record as plain text, without colours."""
    console = Console(file=StringIO(), width=width, no_color=True)
    console.print(drawn(record))
    assert isinstance(console.file, StringIO)
    lines = (line.rstrip() for line in console.file.getvalue().splitlines())
    return "\n".join(lines).strip("\n") + "\n"


def _draw(shown: Sheet) -> Group:
    parts: list[RenderableType] = [Text(shown.title, style=f"bold {STYLES[shown.mark]}".strip())]
    if shown.rows:
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_header=any(shown.headers))
        for header in shown.headers:  # on a narrow terminal the widest wrap first
            table.add_column(header, overflow="fold", min_width=min(len(header), NARROW))
        for index, row in enumerate(shown.rows):
            mark = shown.marks[index] if index < len(shown.marks) else PLAIN
            table.add_row(*(Text(cell) for cell in row), style=STYLES[mark])
        parts.append(table)
    parts.extend(Text(f"  {note}") for note in shown.notes)
    return Group(*parts)
