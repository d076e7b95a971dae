"""Sheets in a notebook: self-contained HTML that reads well on light and dark pages.

>>> from lifecycle.records import Feedback
>>> "3 labels accepted" in html(Feedback("churn", accepted=3))
True
"""

from html import escape
from typing import Any

from lifecycle.views.sheets import BAD, GOOD, PLAIN, UNSURE, Sheet, sheet

# mid tones that keep a contrast of at least 4.5 on both white and near-black pages are rare;
# colour therefore marks a bar beside the row and never carries the text
COLOURS = {GOOD: "#2e9e5b", BAD: "#d64545", UNSURE: "#c58a00", PLAIN: "transparent"}
STYLE = """
<style>
.lifecycle{font:13px/1.45 system-ui,sans-serif;color:inherit;max-width:72em}
.lifecycle b.title{font-size:14px;display:block;padding:2px 0 6px 8px;border-left:4px solid}
.lifecycle table{border-collapse:collapse;color:inherit;font:inherit}
.lifecycle th,.lifecycle td{text-align:left;padding:3px 12px 3px 8px;vertical-align:top;
 background:transparent;color:inherit;border-bottom:1px solid rgba(128,128,128,.25)}
.lifecycle th{font-weight:600;opacity:.75}
.lifecycle td:first-child{border-left:4px solid transparent}
.lifecycle p{margin:4px 0 0 8px;opacity:.85}
</style>
"""


def html(record: Any) -> str:
    """A record as one block of HTML; every text is escaped."""
    shown = record if isinstance(record, Sheet) else sheet(record)
    edge = COLOURS[shown.mark] if shown.mark else "rgba(128,128,128,.5)"
    parts = [STYLE, '<div class="lifecycle">']
    parts.append(f'<b class="title" style="border-color:{edge}">{escape(shown.title)}</b>')
    if shown.rows:
        parts.append("<table>")
        if any(shown.headers):
            cells = "".join(f"<th>{escape(header)}</th>" for header in shown.headers)
            parts.append(f"<thead><tr>{cells}</tr></thead>")
        parts.extend(_row(shown, index) for index in range(len(shown.rows)))
        parts.append("</table>")
    parts.extend(f"<p>{escape(note)}</p>" for note in shown.notes)
    parts.append("</div>")
    return "\n".join(parts)


def _row(shown: Sheet, index: int) -> str:
    mark = shown.marks[index] if index < len(shown.marks) else PLAIN
    first, *rest = shown.rows[index]
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in rest)
    return f'<tr><td style="border-left-color:{COLOURS[mark]}">{escape(first)}</td>{cells}</tr>'
