r"""A model card on a terminal, in a notebook, as Markdown and as a page of its own.

>>> from lifecycle.records import CardSection
>>> fact = CardFact("roc_auc", "0.81 | [0.79, 0.83]", "spec.json")
>>> print(markdown(Card("churn", 3, "none", (CardSection("Metrics", (fact,)),))))
# churn, version 3
<BLANKLINE>
Stage: none. Every line names the record that it was taken from.
<BLANKLINE>
## Metrics
<BLANKLINE>
| | | recorded in |
|---|---|---|
| roc_auc | 0.81 \| \[0.79, 0.83\] | spec.json |
<BLANKLINE>
"""

from lifecycle.records import Card, CardFact
from lifecycle.views.layout import Sheet, harmless

SAID = "every line names the record that it was taken from"
STEERING = str.maketrans({mark: f"\\{mark}" for mark in "\\|[]`*<"})


def card(record: Card) -> Sheet:
    """The whole card as one table, for terminals and notebooks."""
    rows: list[tuple[str, ...]] = []
    for section in record.sections:
        rows.append((section.title.upper(), "", ""))
        rows += [(f"  {fact.name}", fact.value, fact.source) for fact in section.facts]
    return Sheet(title(record), headers=("", "", "recorded in"), rows=rows, notes=(SAID,))


def sections(record: Card) -> list[Sheet]:
    """A sheet a section, for pages."""
    return [
        Sheet(
            section.title,
            headers=("", "", "recorded in"),
            rows=[(fact.name, fact.value, fact.source) for fact in section.facts],
        )
        for section in record.sections
    ]


def markdown(record: Card) -> str:
    """The card as Markdown; texts of others cannot become links, pictures or marks."""
    lines = [f"# {_plain(title(record))}", ""]
    lines += [f"Stage: {_plain(record.stage)}. {SAID[0].upper()}{SAID[1:]}.", ""]
    for section in record.sections:
        lines += [f"## {_plain(section.title)}", "", "| | | recorded in |", "|---|---|---|"]
        lines += [_line(fact) for fact in section.facts]
        lines.append("")
    return "\n".join(lines)


def title(record: Card) -> str:
    """What the card is about."""
    return f"{record.name}, version {record.version}"


def _line(fact: CardFact) -> str:
    return f"| {_plain(fact.name)} | {_plain(fact.value)} | {_plain(fact.source)} |"


def _plain(text: str) -> str:
    """A text on one line, with the marks that Markdown gives a meaning escaped."""
    return " ".join(harmless(text).split()).translate(STEERING)
