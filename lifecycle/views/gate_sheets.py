"""A gate report as a sheet: what refuses first, and a picture of figures against their limits.

>>> from lifecycle.records import GateReport, GateResult, Outcome
>>> floor = GateResult("floor.roc_auc", Outcome.PASS, "at least 0.7", 0.8, 0.7, 0.76, 0.84)
>>> gates(GateReport("churn", 3, (floor,))).title
'churn version 3 passed: 1 check'
>>> picture([floor])[-6:]
'</svg>'
"""

from collections.abc import Sequence

from lifecycle.records import GateReport, GateResult, Outcome
from lifecycle.views.layout import MARKS, Sheet, count, middle, number
from lifecycle.views.svg import clean, frame, label

COLOURS = {Outcome.PASS: "#2e9e5b", Outcome.FAIL: "#d64545", Outcome.UNSURE: "#c58a00"}
ORDER = (Outcome.FAIL, Outcome.UNSURE, Outcome.PASS)
WORDS = {Outcome.PASS: "passed", Outcome.FAIL: "refused"}
MOST = 40  # figures in the picture
WIDTH, LEFT, RIGHT = 800, 230, 560
ROW, HEAD = 20, 26


def gates(record: GateReport) -> Sheet:
    """The sheet of a gate report: refusals first, then what is open, then what passed."""
    ranked = sorted(record.results, key=lambda result: ORDER.index(result.outcome))
    counts = {outcome: sum(item.outcome is outcome for item in ranked) for outcome in ORDER}
    verdict = WORDS.get(record.outcome, str(record.outcome))
    said = [f"{counts[Outcome.FAIL]} refuse"] if counts[Outcome.FAIL] else []
    said += [f"{counts[Outcome.UNSURE]} open"] if counts[Outcome.UNSURE] else []
    of = f" ({', '.join(said)})" if said else ""
    against = f" against champion version {record.champion}" if record.champion else ""
    drawn = picture(ranked)
    return Sheet(
        f"{record.name} version {record.version} {verdict}{against}: "
        f"{count(len(ranked), 'check')}{of}",
        mark=MARKS[record.outcome],
        headers=("gate", "outcome", "value", "limit", "reason"),
        rows=[
            (item.gate, str(item.outcome), _value(item), number(item.limit), item.reason)
            for item in ranked
        ],
        marks=[MARKS[item.outcome] for item in ranked],
        notes=(f"evidence sha256 {_short(record.digest)}",) if record.digest else (),
        pictures=[drawn] if drawn else (),
    )


def _short(digest: str) -> str:
    return f"{digest.removeprefix('sha256:')[:16]}…"


def _value(item: GateResult) -> str:
    if item.low is None or item.high is None:
        return number(item.value)
    return f"{number(item.value)}\n[{number(item.low)}, {number(item.high)}]"


def picture(results: Sequence[GateResult]) -> str:
    """Each figure with its interval against its limit, as SVG; empty where none has both.

    All limits stand in one line. Figures have different units, so each row has a scale of its own:
    its farthest end is at the edge.
    """
    shown = [item for item in results if _drawable(item)][:MOST]
    if not shown:
        return ""
    at, height = (LEFT + RIGHT) / 2, HEAD + ROW * len(shown) + 8
    look = 'stroke="currentColor" stroke-opacity=".45" stroke-dasharray="3 3"'
    shapes = [_line((at, HEAD - 6), (at, height - 4), look)]
    shapes.append(label(at, HEAD - 12, "limit", anchor="middle"))
    for place, item in enumerate(shown):
        shapes += _row(item, HEAD + ROW * (place + 0.5))
    words = "; ".join(f"{item.gate} {item.outcome}" for item in shown)
    return frame(WIDTH, height, "Figures against their limits", words, shapes, grows=True)


def _drawable(item: GateResult) -> bool:
    """Whether there is a figure and a limit to see; a count of findings has none."""
    if item.value is None or item.limit is None:
        return False
    return item.low is not None or item.limit != 0.0


def _row(item: GateResult, y: float) -> list[str]:
    assert item.value is not None
    assert item.limit is not None
    ends = [end for end in (item.low, item.high) if end is not None]
    reach = max(abs(end - item.limit) for end in (*ends, item.value)) or 1.0
    half = (RIGHT - LEFT) / 2 - 8

    def across(value: float) -> float:
        assert item.limit is not None
        return (LEFT + RIGHT) / 2 + half * (value - item.limit) / reach

    colour = COLOURS[item.outcome]
    shapes = [label(LEFT - 10, y + 3.5, middle(item.gate, 36), anchor="end", more="")]
    if len(ends) == 2:
        low, high = map(across, ends)
        look = f'stroke="{colour}" stroke-width="2"'
        shapes.append(_line((low, y), (high, y), look))
        shapes += [_line((end, y - 4), (end, y + 4), look) for end in (low, high)]
    shapes.append(
        f'<circle cx="{across(item.value):.1f}" cy="{y}" r="4" fill="{colour}">'
        f"<title>{clean(item.reason)}</title></circle>"
    )
    interval = f" [{number(ends[0])}, {number(ends[1])}]" if len(ends) == 2 else ""
    figure = f"{number(item.value)}{interval}, limit {number(item.limit)}"
    shapes.append(label(RIGHT + 12, y + 3.5, figure))
    return shapes


def _line(start: tuple[float, float], end: tuple[float, float], look: str) -> str:
    (x1, y1), (x2, y2) = start, end
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {look}/>'
