r"""What a sheet is made of, before anyone draws it.

>>> Sheet("churn: fine", mark=GOOD, notes=("nothing moved",)).notes
('nothing moved',)
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from lifecycle.records import Outcome
from lifecycle.views.bars import Bars

GOOD, BAD, UNSURE, PLAIN = "good", "bad", "unsure", ""
MARKS = {Outcome.PASS: GOOD, Outcome.FAIL: BAD, Outcome.UNSURE: UNSURE}
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # writing's direction


@dataclass(frozen=True)
class Strip:
    """A figure over time, 0 to 1 for each moment; one character each in a terminal."""

    heights: tuple[float, ...]


@dataclass(frozen=True)
class Gauge:
    """How much of something is reached, drawn as a bar, with words beside or below it.

    Attributes:
        share: 0 to 1; what lies outside is drawn as the nearer end.
        words: what the bar says.
        mark: of the filled part.
    """

    share: float
    words: str
    mark: str = PLAIN


Cell = str | Bars | Gauge  # a second line of a text is smaller where that can be done


@dataclass(frozen=True)
class Sheet:
    """What is drawn: each row has a mark that colours it.

    Attributes:
        facts: what they are about, and what is known, above the table; pages have pictures in
            place of strips.
        said: a sentence a row: the last column where there is room, else below the table.
        rest: more rows, folded away on a page and left out in a terminal.
        folded: what the rest is.
        notes: sentences below the table.
        pictures: SVG, drawn on pages only.
    """

    title: str
    mark: str = PLAIN
    headers: tuple[str, ...] = ()
    rows: Sequence[tuple[Cell, ...]] = ()
    marks: Sequence[str] = ()  # one a row
    notes: Sequence[str] = field(default_factory=tuple)
    facts: Sequence[tuple[str, str | Strip | Gauge]] = ()
    said: Sequence[str] = ()
    rest: Sequence[tuple[str, ...]] = ()
    folded: str = ""
    pictures: Sequence[str] = ()


def number(value: float | None, digits: int = 4) -> str:
    """A figure at the precision people read.

    >>> number(0.123456), number(None), number(1234567.0)
    ('0.1235', '', '1.235e+06')
    """
    return "" if value is None else f"{value + 0.0:.{digits}g}"  # + 0.0: no "-0"


def probability(value: float | None) -> str:
    """A p-value: never an exact zero.

    >>> probability(0.0)
    '<1e-12'
    """
    if value is None:
        return ""
    return "<1e-12" if value < 1e-12 else f"{value:.2g}"


def count(number: int, one: str, many: str = "") -> str:
    """A number of things.

    >>> count(1, "row"), count(2000, "entry", "entries")
    ('1 row', '2,000 entries')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """A figure with its 95 % interval.

    >>> interval(0.81234, 0.8, 0.82), interval(0.5, None, None)
    ('0.8123 [0.8000, 0.8200]', '0.5')
    """
    if value is None or low is None or high is None:
        return number(value)
    return f"{value:.4f} [{low:.4f}, {high:.4f}]"


def harmless(text: str) -> str:
    r"""A text of others without marks that steer a terminal or turn the writing round.

    >>> harmless("a\x1b[31m\nb\u202ec")
    'a�[31m\nb�c'
    """
    return "".join(
        "�"
        if mark in TURNING or (mark != "\n" and unicodedata.category(mark) in ("Cc", "Cs"))
        else mark
        for mark in text
    )


def middle(text: str, most: int) -> str:
    """A long name without its middle.

    >>> middle("average_distance_of_all_flights", 12)
    'averag…ights'
    """
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}…{text[-((most - 1) // 2) :]}"
