"""Checks over time: one place for each, whatever their number; alarms and versions in sight."""

import re
from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.records import Check, Checks, Outcome
from lifecycle.views import notebook, timeline_plots, timelines
from lifecycle.views.svg import LIVE, REFERENCE

SHAPE = "{http://www.w3.org/2000/svg}"


def parsed(text):
    return ElementTree.fromstring(text)


def texts(tree):
    return [item.text for item in tree.iter(f"{SHAPE}text")]


def paths(tree, **wanted):
    return [
        item.get("d")
        for item in tree.iter(f"{SHAPE}path")
        if all(item.get(key) == value for key, value in wanted.items())
    ]


def places(path):
    return sorted({float(x) for x in re.findall(r"M(-?[\d.]+) ", path)})


def test_columns_that_moved_most_often_come_first(make_checks):
    made = list(make_checks(10, columns=30))
    assert timelines.columns(made)[:3] == ["column 0", "column 1", "column 2"]
    assert len(timelines.columns(made)) == timelines.CALM_COLUMNS
    often = [replace(one, drifted_columns=("column 7",)) for one in made]
    assert timelines.columns(often)[0] == "column 7"
    many = [replace(one, drifted_columns=tuple(one.effects)) for one in made]
    assert len(timelines.columns(many)) == timelines.MOST_COLUMNS


def test_a_column_without_an_effect_is_listed_when_it_moved():
    one = Check("2026-01-01", 1, Outcome.FAIL, drifted_columns=("gone",))
    assert timelines.columns([one]) == ["gone"]
    assert "gone" in texts(parsed(timelines.drift([one])))


def test_the_verdicts_and_the_alarms_have_their_colours(make_checks):
    tree = parsed(timelines.drift(make_checks(10).latest))
    (calm,) = paths(tree, fill=timelines.GOOD)
    assert len(places(calm)) == 5
    failed, moved, *_ = paths(tree, fill=LIVE)
    assert len(places(failed)) == 5
    assert places(moved) == places(failed), "column 0 moved in the checks that failed"
    assert {"verdict", "column 0", "version 1", "v2"} <= set(texts(tree))


def test_a_darker_cell_is_a_larger_effect():
    assert [timelines.tone(limit) for limit in timelines.EFFECTS] == [1, 2, 3, 4, 5]
    assert list(timelines.TONES) == sorted(timelines.TONES)
    assert len(timelines.TONES) == len(timelines.EFFECTS)


def test_versions_and_calls_for_retraining_are_marked(make_checks):
    made = make_checks(10).latest
    assert timelines.versions(made) == [(0, 1), (8, 2)]
    assert timelines.versions([]) == []
    for tree in (parsed(timelines.drift(made)), parsed(timelines.performance(made))):
        (line,) = [
            item.get("d") for item in tree.iter(f"{SHAPE}path")
            if item.get("stroke-dasharray") == "3 2"
        ]  # fmt: skip
        assert places(line) == [pytest.approx(timelines.LEFT + 8 * timelines.WIDEST - 0.5)]
        tips = [item.text for item in tree.iter(f"{SHAPE}title")]
        assert "retraining is called for from here on" in tips


def test_the_metric_has_its_interval_the_hold_out_and_the_estimate(make_checks):
    made = make_checks(6).latest
    tree = parsed(timelines.performance(made))
    whiskers = paths(tree, stroke="currentColor", opacity=".75")
    assert len(places(whiskers[0])) == 3
    harmed = paths(tree, stroke=LIVE, opacity=".75")
    assert len(places(harmed[0])) == 3, "harmed ones are drawn apart"
    assert len(paths(tree, fill=REFERENCE, opacity=".25")) == 6
    dashed = [i for i in tree.iter(f"{SHAPE}path") if i.get("stroke-dasharray") == "5 3"]
    assert len(dashed) == 1
    assert {"roc_auc", "with labels", "harmed", "estimated", "hold-out"} <= set(texts(tree))
    tops = re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)", whiskers[0])
    assert all(float(top) < float(base) for top, base in tops)


def test_without_labels_there_are_estimates_and_without_them_no_picture(make_checks):
    guessed = timelines.performance(make_checks(4, labels=False).latest)
    assert "estimated" in texts(parsed(guessed))
    assert "with labels" not in texts(parsed(guessed))
    assert timelines.performance(make_checks(4, labels=False, estimates=False).latest) == ""
    assert timelines.performance([]) == ""


def test_checks_of_another_metric_are_left_out(make_checks):
    made = list(make_checks(4))
    made[0] = replace(made[0], metric="rmse", value=1e6, low=None, high=None)
    assert [at for at, _ in timelines.measured(made)] == [1, 2, 3]
    assert timelines.limits([one for _, one in timelines.measured(made)])[1] < 2


@pytest.mark.parametrize("number", [1, 2, 7, 53, 400])
def test_any_number_of_checks_fits(make_checks, number):
    made = make_checks(number, columns=5).latest
    for text in (timelines.drift(made), timelines.performance(made)):
        tree = parsed(text)
        high = float(tree.get("viewBox").split()[3])
        for path in (item.get("d") for item in tree.iter(f"{SHAPE}path")):
            for x, y in re.findall(r"M(-?[\d.]+) (-?[\d.]+)", path):
                assert -1 <= float(x) <= timelines.WIDTH
                assert -1 <= float(y) <= high
        days = [item for item in tree.iter(f"{SHAPE}text") if re.match(r"\d{4}-", item.text)]
        at = sorted(float(item.get("x")) for item in days)
        assert all(later - sooner >= 55 for sooner, later in pairwise(at))
    assert len(timelines.drift(made)) < 60_000


@settings(max_examples=40, deadline=None)
@given(
    value=st.floats(-1e9, 1e9),
    spread=st.floats(0, 1e6),
    much=st.lists(st.none() | st.floats(-1e9, 1e9), min_size=2, max_size=2),
)
def test_any_metric_has_an_axis(value, spread, much):
    one = Check("2026-01-01", 1, Outcome.PASS, metric="m", value=value, low=value - spread,
                high=value + spread, expected=much[0], estimate=much[1])  # fmt: skip
    low, high = timelines.limits([one])
    assert low < value < high
    marks = timelines.ticks(low, high)
    assert 1 <= len(marks) <= 8
    assert all(low - 1e-6 * abs(low) <= mark <= high + 1e-6 * abs(high) for mark in marks)
    parsed(timelines.performance([one]))


def test_an_interval_without_end_does_not_flatten_the_picture(make_checks):
    made = [replace(one, low=-1e9, high=1e9) for one in make_checks(5)]
    low, high = timelines.limits(made)
    assert high - low < 1


def test_the_notebook_shows_both_and_each_check(make_checks):
    page = notebook.html(make_checks(30))
    assert page.count("<svg") == 2
    assert page.count("<td>1</td>") + page.count("<td><bdi>1</bdi></td>") > 0
    assert "18 earlier checks" in page


def test_hostile_names_are_texts(hostile):
    one = Check("2026-01-01", 1, Outcome.FAIL, drifted_columns=(hostile,), effects={hostile: 1.0},
                metric=hostile, value=0.5)  # fmt: skip
    page = notebook.html(Checks(hostile, (one,)))
    assert "<script" not in page
    assert "\x1b" not in page
    assert timeline_plots.png([one]).startswith(b"\x89PNG")


@pytest.mark.parametrize("number", [0, 1, 30])
def test_the_png_is_drawn_for_any_number(make_checks, number):
    assert timeline_plots.png(make_checks(number).checks).startswith(b"\x89PNG")


def test_the_png_shows_both_timelines(make_checks):
    heat, metric = timeline_plots.figure(make_checks(10).latest).axes
    assert [item.get_text() for item in heat.get_yticklabels()][:2] == ["verdict", "column 0"]
    assert metric.get_ylabel() == "roc_auc"
    assert [item.get_text() for item in heat.texts] == ["version 1", "version 2"]
    (alone,) = timeline_plots.figure(make_checks(3, labels=False, estimates=False).latest).axes
    assert alone.get_yticklabels()[0].get_text() == "verdict"


def test_names_of_other_scripts_and_formulas_are_no_crash():
    names = ("気温", "price in $ of $", "x" * 90, "$\\frac{1}{0}$")
    one = Check("2026-01-01", 1, Outcome.FAIL, drifted_columns=names,
                effects=dict.fromkeys(names, 0.3))  # fmt: skip
    assert timeline_plots.png([one]).startswith(b"\x89PNG")
