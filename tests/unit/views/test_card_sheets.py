"""Cards as Markdown, pages and tables: whatever people wrote, it stays text in its place."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.records import Card, CardFact, CardSection
from lifecycle.views import audit_pages, card_sheets
from lifecycle.views.terminal import text

TEXTS = st.text(
    st.characters(codec="utf-8") | st.sampled_from("|\\\n\r\t[](){}<>*`_#!&\"'\x1b\u202e"),
    max_size=40,
)
VOID = {"meta", "br", "hr", "img", "link"}


class Tags(HTMLParser):
    """The tags of a page; those that are opened must be closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.seen, self.words = [], set(), []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def card(*facts, title="Data", name="churn"):
    return Card(name, 3, "staging", (CardSection(title, tuple(facts)),))


@settings(max_examples=60, deadline=None)
@given(name=TEXTS, value=TEXTS, source=TEXTS)
def test_a_fact_is_one_row_of_three_cells_whatever_it_says(name, value, source):
    words = card_sheets.markdown(card(CardFact(name, value, source)))
    rows = [line for line in words.split("\n") if line.startswith("| ")]
    assert len(rows) == 2  # the heads and the fact
    marks = re.sub(r"\\.", "", rows[1])
    assert marks.count("|") == 4
    assert not set("[]<*`") & set(marks)
    assert not any(ord(mark) < 32 for mark in words if mark != "\n")


@settings(max_examples=40, deadline=None)
@given(name=TEXTS, value=TEXTS, source=TEXTS)
def test_a_page_has_only_our_tags_whatever_it_says(name, value, source):
    page = audit_pages.card(card(CardFact(name, value, source), title=value, name=name))
    found = Tags()
    found.feed(page)
    found.close()
    assert found.open == []
    assert not found.seen & {"script", "iframe", "object", "img", "a", "form"}


@settings(max_examples=30, deadline=None)
@given(name=TEXTS, value=TEXTS, width=st.integers(30, 160))
def test_a_terminal_is_not_steered_whatever_it_says(name, value, width):
    shown = text(card(CardFact(name, value, "spec.json")), width=width)
    assert not any(mark in shown for mark in "\x1b\u202e\r\x07")


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        ("a|b", "a\\|b"),
        ("back\\slash", "back\\\\slash"),
        ("two\nlines", "two lines"),
        ("![x](http://x)", "!\\[x\\](http://x)"),
        ("<img src=x>", "\\<img src=x>"),
        ("`code` *strong*", "\\`code\\` \\*strong\\*"),
        ("roc_auc # 1", "roc_auc # 1"),
    ],
)
def test_marks_of_markdown_are_escaped_and_no_others(given_, shown):
    words = card_sheets.markdown(card(CardFact("x", given_, "y")))
    assert f"| x | {shown} | y |" in words


def test_sections_become_tables_in_their_order():
    record = Card(
        "churn", 3, "none",
        (
            CardSection("Data", (CardFact("rows", "12", "spec.json"),)),
            CardSection("Gates", (CardFact("floor", "pass", "entry 2"),)),
        ),
    )  # fmt: skip
    assert [item.title for item in card_sheets.sections(record)] == ["Data", "Gates"]
    whole = card_sheets.card(record)
    assert [row[0] for row in whole.rows] == ["DATA", "  rows", "GATES", "  floor"]
    page = audit_pages.card(record)
    places = [page.index(said) for said in ("Data<", ">12<", "Gates<", ">entry 2<")]
    assert places == sorted(places)
    assert card_sheets.title(record) == "churn, version 3"
