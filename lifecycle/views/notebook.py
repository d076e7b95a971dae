"""Sheets in a notebook: self-contained HTML that reads well on light and dark pages.

>>> from lifecycle.records import Feedback
>>> "3 labels accepted" in html(Feedback("churn", accepted=3))
True

No script and no address: pictures are SVG within the page, and what is folded away opens by HTML's
own means.
"""

from typing import Any

from lifecycle.views import svg
from lifecycle.views.bars import Bars
from lifecycle.views.layout import BAD, GOOD, PLAIN, UNSURE, Cell, Gauge, Sheet, Strip
from lifecycle.views.sheets import sheet
from lifecycle.views.svg import clean

# mid tones that keep a contrast of at least 4.5 on both white and near-black pages are rare;
# colour therefore marks a bar beside the row and never carries the text
COLOURS = {GOOD: "#2e9e5b", BAD: "#d64545", UNSURE: "#c58a00", PLAIN: "transparent"}
LONG = 60  # characters of a cell from which on it may be broken into lines
LEGEND = (
    f'<span style="color:{svg.REFERENCE}">■</span> reference '
    f'<span style="color:{svg.LIVE}">■</span> live'
)
STYLE = """
<style>
.lifecycle{font:13px/1.45 system-ui,sans-serif;color:inherit;max-width:72em}
.lifecycle b.title{font-size:14px;display:block;padding:2px 0 6px 8px;border-left:4px solid}
.lifecycle table{border-collapse:collapse;color:inherit;font:inherit;margin:4px 0}
.lifecycle th,.lifecycle td{text-align:left;padding:3px 8px;vertical-align:top;
 background:transparent;color:inherit;border-bottom:1px solid rgba(128,128,128,.25);
 white-space:nowrap}
.lifecycle td:first-child,.lifecycle td.words{white-space:normal;overflow-wrap:anywhere;
 min-width:8em}
.lifecycle th{font-weight:600;opacity:.75}
.lifecycle td:first-child{border-left:4px solid transparent}
.lifecycle td.bars{padding:4px 8px 0}
.lifecycle .facts td{border:0;padding:0 12px 1px 8px;white-space:normal}
.lifecycle .facts td:first-child{opacity:.75;white-space:nowrap}
.lifecycle .gauge{display:inline-flex;gap:8px;align-items:center}
.lifecycle small{display:block;opacity:.75}
.lifecycle summary{cursor:pointer;margin:6px 0 0 8px}
.lifecycle p{margin:4px 0 0 8px;opacity:.85;overflow-wrap:anywhere}
.lifecycle svg{display:block}
</style>
"""


def html(record: Any) -> str:
    """A record, or a sheet, as one block of HTML; every text is escaped."""
    return STYLE + block(record)


def block(record: Any) -> str:
    """The same without the style, for a page that has it already."""
    shown = record if isinstance(record, Sheet) else sheet(record)
    edge = COLOURS[shown.mark] if shown.mark else "rgba(128,128,128,.5)"
    parts = ['<div class="lifecycle">']
    parts.append(f'<b class="title" style="border-color:{edge}">{clean(shown.title)}</b>')
    facts = [(name, what) for name, what in shown.facts if not isinstance(what, Strip)]
    if facts:
        rows = "".join(f"<tr><td>{clean(name)}</td><td>{_fact(b)}</td></tr>" for name, b in facts)
        parts.append(f'<table class="facts">{rows}</table>')
    parts.extend(shown.pictures)
    if shown.rows:
        parts.append(_table(shown))
    if shown.rest:
        cells = "".join(_cells(row) for row in shown.rest)
        parts.append(
            f"<details><summary>{clean(shown.folded)}</summary><table>{cells}</table></details>"
        )
    parts.extend(f"<p>{clean(note)}</p>" for note in shown.notes)
    parts.append("</div>")
    return "\n".join(parts)


def _fact(what: str | Gauge) -> str:
    if isinstance(what, str):
        return clean(what)
    return f'<span class="gauge">{_gauge(what, 240)}{clean(what.words)}</span>'


def _gauge(what: Gauge, wide: int) -> str:
    """A bar; what is more than nothing can be seen."""
    share = min(1.0, max(0.0, what.share))
    filled = max(2.0, share * wide) if share > 0 else 0.0
    colour = COLOURS[what.mark] if what.mark else svg.FILLED
    shapes = [
        f'<path d="M0 2h{wide}v8H0z" fill="currentColor" opacity=".15"/>',
        f'<path d="M0 2h{filled:.4g}v8H0z" fill="{colour}"/>',
    ]
    return svg.frame(wide, 12, what.words, "", shapes)


def _cells(row: tuple[str, ...]) -> str:
    cells = [f"<td>{_text(cell)}</td>" for cell in row[:-1]]
    return f'<tr>{"".join(cells)}<td class="words">{_text(row[-1])}</td></tr>'


def _table(shown: Sheet) -> str:
    said = any(shown.said)
    headers = (*shown.headers, *(["reason"] if said else []))
    parts = ["<table>"]
    if any(headers):
        cells = "".join(f"<th>{_header(header)}</th>" for header in headers)
        parts.append(f"<thead><tr>{cells}</tr></thead>")
    for index, row in enumerate(shown.rows):
        mark = shown.marks[index] if index < len(shown.marks) else PLAIN
        words = shown.said[index] if said else None
        parts.append(_row(row, mark, words))
    parts.append("</table>")
    return "\n".join(parts)


def _header(header: str) -> str:
    return LEGEND if header == "reference\nlive" else clean(header)


def _row(row: tuple[Cell, ...], mark: str, words: str | None) -> str:
    first, *rest = row
    name = str(first).partition("\n")[0]
    cells = [f'<td style="border-left-color:{COLOURS[mark]}">{_text(str(first))}</td>']
    for cell in rest:
        if isinstance(cell, Bars):
            cells.append(f'<td class="bars">{svg.histogram(cell, name, words or "")}</td>')
        elif isinstance(cell, Gauge):
            cells.append(f"<td>{_gauge(cell, 96)}<small>{clean(cell.words)}</small></td>")
        else:
            kind = ' class="words"' if len(cell) > LONG else ""
            cells.append(f"<td{kind}>{_text(cell)}</td>")
    if words is not None:
        cells.append(f'<td class="words">{clean(words)}</td>')
    return f"<tr>{''.join(cells)}</tr>"


def _text(cell: str) -> str:
    """A cell; each line below the first is small. Names keep the direction of their script."""
    first, *more = cell.split("\n")
    small = "".join(f"<small>{clean(line)}</small>" for line in more)
    return f"<bdi>{clean(first)}</bdi>{small}"
