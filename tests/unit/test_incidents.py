"""Who is told when: a rule on what was open and what a check found."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.incidents import GROWTH, MOST_TEXT, advance, last, read
from lifecycle.records import Entry, Incident, Outcome

PASS, FAIL, UNSURE = Outcome.PASS, Outcome.FAIL, Outcome.UNSURE
EFFECTS = st.dictionaries(
    st.sampled_from("abcde"), st.none() | st.floats(0.01, 10), min_size=1, max_size=5
)
OUTCOMES = st.sampled_from(Outcome)
CHECKS = st.lists(st.tuples(OUTCOMES, OUTCOMES, EFFECTS), max_size=30)


def follow(checks):
    """What each check makes of the incident, and what is told."""
    state, told = None, []
    for drift, harm, moved in checks:
        state = advance(state, drift=drift, harm=harm, moved=moved)
        told.append(state.change if state else "")
    return state, told


def entry(to, scope="champion", **extra):
    return Entry(1, "", "", "", "", "incident", version=3, source=scope, to=to, extra=extra)


@settings(max_examples=200, deadline=None)
@given(CHECKS)
def test_nothing_opens_twice_or_ends_twice(checks):
    _, told = follow(checks)
    news = [item for item in told if item]
    edges = [item for item in news if item != "worse"]
    assert edges == ["opened", "resolved"] * (len(edges) // 2) + ["opened"] * (len(edges) % 2)
    for before, item in zip(["resolved", *news], news, strict=False):
        assert (before == "resolved") == (item == "opened"), "worse only while it is open"


@settings(max_examples=100, deadline=None)
@given(CHECKS, OUTCOMES, OUTCOMES, EFFECTS)
def test_the_same_check_again_says_nothing(checks, drift, harm, moved):
    state, _ = follow(checks)
    once = advance(state, drift=drift, harm=harm, moved=moved)
    again = advance(once, drift=drift, harm=harm, moved=moved)
    assert again is None or again.change == ""


@settings(max_examples=100, deadline=None)
@given(CHECKS)
def test_a_check_that_cannot_tell_changes_nothing(checks):
    state, _ = follow(checks)
    after = advance(state, drift=UNSURE, harm=UNSURE)
    if state is None or state.change == "resolved":
        assert after is None
    else:
        assert after.change == ""
        assert (after.columns, after.harmed) == (state.columns, state.harmed)


@settings(max_examples=100, deadline=None)
@given(CHECKS)
def test_an_all_clear_of_both_ends_whatever_is_open(checks):
    state, _ = follow(checks)
    after = advance(state, drift=PASS, harm=PASS)
    assert after is None or after.change == "resolved"
    assert advance(after, drift=PASS, harm=PASS) is None


def test_worse_is_harm_a_new_column_or_an_effect_grown_by_half():
    begun = advance(None, drift=FAIL, moved={"a": 0.4, "b": 1.0})
    assert begun == Incident("opened", {"a": 0.4, "b": 1.0})
    same = [{"a": 0.4}, {"a": 0.59, "b": 1.5}, {"b": None}, {}]
    assert {advance(begun, drift=FAIL, moved=item).change for item in same} == {""}
    grown = advance(begun, drift=FAIL, moved={"a": 0.61})
    assert (grown.change, grown.columns) == ("worse", {"a": 0.61, "b": 1.0})
    assert advance(grown, drift=FAIL, moved={"a": 0.61}).change == ""
    assert advance(begun, drift=FAIL, moved={"c": 0.1}).change == "worse"
    harmed = advance(begun, drift=FAIL, harm=FAIL, moved={"a": 0.4})
    assert (harmed.change, harmed.harmed, harmed.columns) == ("worse", True, begun.columns)
    assert advance(harmed, drift=FAIL, harm=FAIL, moved={"a": 0.4}).change == ""


def test_slow_growth_is_news_in_the_end():
    state = advance(None, drift=FAIL, moved={"a": 1.0})
    told = []
    for effect in (1.2, 1.4, 1.6, 1.8, 2.0, 2.3, 2.5):
        state = advance(state, drift=FAIL, moved={"a": effect})
        told.append(state.change)
    assert told == ["", "", "worse", "", "", "", "worse"], f"{GROWTH} times what was told"


def test_a_column_that_comes_and_goes_is_told_of_once():
    state = advance(None, drift=FAIL, moved={"a": 1.0})
    changes = []
    for moved in ({"a": 1.0, "b": 1.0}, {"a": 1.0}, {"a": 1.0, "b": 1.0}):
        state = advance(state, drift=FAIL, moved=moved)
        changes.append(state.change)
    assert changes == ["worse", "", ""]


def test_harm_is_over_when_labels_say_so_not_when_they_are_missing():
    harmed = advance(None, drift=PASS, harm=FAIL)
    assert advance(harmed, drift=PASS, harm=UNSURE).change == ""
    assert advance(harmed, drift=FAIL, harm=PASS, moved={"a": 1.0}).change == "worse"
    assert advance(harmed, drift=PASS, harm=PASS).change == "resolved"
    assert advance(harmed, drift=UNSURE, harm=PASS).change == "resolved", "nothing had moved"
    both = advance(None, drift=FAIL, harm=FAIL, moved={"a": 1.0})
    assert advance(both, drift=UNSURE, harm=PASS).change == ""
    assert advance(both, drift=PASS, harm=UNSURE).change == ""


def test_the_moved_columns_of_a_check_that_did_not_fail_do_not_count():
    assert advance(None, drift=UNSURE, moved={"a": 9.0}) is None


@pytest.mark.parametrize("letter", ["x", "ß", "列"])
def test_a_wide_table_keeps_its_worst_columns_and_a_further_one_is_no_news(letter):
    wide = {f"column {number} {letter * 200}": float(number) for number in range(300)}
    begun = advance(None, drift=FAIL, moved=wide)
    kept = len(begun.columns)
    assert 7 <= kept < 100
    assert list(begun.columns) == [name[:60] for name in list(wide)[:kept]], "the worst first"
    assert len(json.dumps(begun.columns)) <= MOST_TEXT
    assert advance(begun, drift=FAIL, moved={"another": 5.0}).change == ""
    assert advance(begun, drift=FAIL, moved=wide).change == ""


def test_the_ledger_says_what_is_open_for_a_scope():
    opened = entry("opened", columns={"a": 0.5}, harmed=False, since="2026-02-01", run="r1")
    other = entry("opened", scope="champion, plan=pro", columns={"z": 2.0})
    worse = entry("worse", columns={"a": 0.9, "b": None}, harmed=True, since="2026-02-01", run="r1")
    flag = Entry(1, "", "", "", "", "flag", version=3)
    assert last([], "champion") is None
    found = last([opened, other, worse, flag], "champion")
    assert found == Incident("", {"a": 0.9, "b": None}, True, "2026-02-01", "r1")
    assert last([opened, other], "champion").columns == {"a": 0.5}
    assert last([opened, other, entry("resolved")], "champion") is None
    assert last([opened, entry("resolved"), other], "champion, plan=pro").columns == {"z": 2.0}


def test_an_entry_reads_as_the_incident_that_it_told_of():
    told = read(entry("resolved", columns={"a": 1.0}, harmed=True, since="2026", run="r"))
    assert told == Incident("resolved", {"a": 1.0}, True, "2026", "r")


@pytest.mark.parametrize("extra", [{}, {"columns": None, "run": None}])
def test_an_entry_with_little_in_it_is_still_open(extra):
    assert last([entry("opened", **extra)], "champion") == Incident("")
