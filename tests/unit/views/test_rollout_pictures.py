"""A rollout over time, as SVG for pages and as files for the run in MLflow."""

import re
from datetime import UTC, datetime, timedelta
from io import BytesIO
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.records import RolloutStatus
from lifecycle.views import rollout_plots
from lifecycle.views.rollout_pictures import RIGHT, _apart, picture
from lifecycle.views.rollout_series import COLOURS, HIGH, LOW, series, ticks

START = datetime(2026, 3, 1, 8, tzinfo=UTC)


def texts(drawn: str) -> list[str]:
    root = ElementTree.fromstring(drawn)
    return ["".join(one.itertext()) for one in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_series_is_read_in_the_order_of_time(make_rollout) -> None:
    made = make_rollout(4, status="rolled back")
    turned = RolloutStatus("churn", made.rollout, made.look, made.looks[::-1])
    assert series(turned) == series(made)
    found = series(made)
    assert found.seconds == (0.0, 1800.0, 3600.0, 5400.0)
    assert [line.name for line in found.guards] == ["errors", "latency", "invalid"]
    assert found.guards[0].harm[-1] == pytest.approx(1.1)
    assert found.guards[0].words == "4.5 of 4.1"
    assert found.decisions == ((3, "rolled back"),)


def test_the_guard_that_came_nearest_stands_first(make_rollout) -> None:
    looks = make_rollout(3).looks
    rows = {"calm": {"harm": 0.1, "harm_limit": 4.0}, "worst": {"harm": 3.0, "harm_limit": 4.0}}
    found = series(RolloutStatus("churn", looks=tuple({**look, "guards": rows} for look in looks)))
    assert [line.name for line in found.guards] == ["worst", "calm"]


def test_units_follow_from_the_kind_of_the_guard(make_rollout) -> None:
    units = {line.name: line.unit for line in series(make_rollout(3)).guards}
    assert units == {"errors": "ratio", "latency": "percent", "invalid": "ratio"}
    rows = {"score": {"ratio": 0.1, "low": -0.2, "high": 0.4}}
    look = {"time": START.isoformat(), "guards": rows}
    assert series(RolloutStatus("churn", looks=(look,))).guards[0].unit == "difference"


def test_what_is_not_there_is_left_out() -> None:
    looks = ({"time": "not a time"}, {"time": START.isoformat(), "guards": {"errors": {}}}, {})
    found = series(RolloutStatus("churn", looks=looks))
    assert found.times == (START,)
    assert found.guards[0].harm == (None,)
    assert picture(RolloutStatus("churn", looks=looks)).endswith("</svg>")


def test_a_hold_that_lasts_is_one_decision(make_rollout) -> None:
    looks = [{**look, "action": "hold"} for look in make_rollout(4).looks]
    assert series(RolloutStatus("churn", looks=tuple(looks))).decisions == ((0, "held"),)


def test_shares_are_told_by_their_stretches(make_rollout) -> None:
    found = series(make_rollout(5))
    assert [found.shares["challenger"][start] for start, _ in found.stays] == [
        0.01, 0.05, 0.25, 0.5, 1.0,
    ]  # fmt: skip
    assert found.stays[-1] == (4, 5)


@pytest.mark.parametrize(
    ("seconds", "first", "last"),
    [
        (20, "03-01 08:00:00", "08:00:20"),
        (4 * 3600, "03-01 08:00", "12:00"),
        (3 * 86400, "03-01 08:00", "03-04 08:00"),
        (30 * 86400, "03-01", "03-31"),
    ],
)
def test_the_clock_is_as_fine_as_it_must_be(seconds: int, first: str, last: str) -> None:
    written = ticks([START, START + timedelta(seconds=seconds)])
    assert (written[0], written[-1]) == ((0.0, first), (float(seconds), last))
    assert ticks([]) == []
    assert ticks([START]) == [(0.0, "03-01 08:00")]


@pytest.mark.parametrize("looks", [1, 2, 40, 300])
@pytest.mark.parametrize("status", ["running", "rolled back", "promoted", "held"])
def test_a_picture_is_well_formed_and_stays_inside(make_rollout, looks: int, status: str) -> None:
    drawn = picture(make_rollout(looks, status=status))
    root = ElementTree.fromstring(drawn)
    width, height = (float(n) for n in root.attrib["viewBox"].split()[2:])
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        assert 0 <= float(text.attrib["x"]) <= width
        assert 0 <= float(text.attrib["y"]) <= height
    assert len(drawn) < 60_000
    words = {"rolled back", "promoted", "held"} & set(texts(drawn))
    assert words == {status} - {"running"}


def test_a_picture_names_guards_with_their_evidence(make_rollout) -> None:
    said = texts(picture(make_rollout(6)))
    assert "errors 2.5 of 4.1" in said
    assert "errors: ratio to the champion's, with its interval" in said
    assert "limit" in said
    assert "challenger 100 %" in said
    assert "5 %" in said


def test_many_guards_are_grey_and_counted(make_rollout) -> None:
    names = tuple(f"errors:carrier={at}" for at in range(len(COLOURS) + 4))
    drawn = picture(make_rollout(6, guards=names))
    assert "and 4 more, in grey" in texts(drawn)
    assert max(float(x) for x in re.findall(r"H([\d.]+)V", drawn)) <= RIGHT + 4


def test_nothing_is_drawn_of_nothing(make_rollout) -> None:
    assert picture(make_rollout(0)) == ""


def test_names_of_others_are_no_elements(make_rollout, hostile: str) -> None:
    drawn = picture(make_rollout(3, guards=(hostile,)))
    assert "<script" not in drawn
    ElementTree.fromstring(drawn)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_names_do_not_stand_on_each_other(ends: list[float]) -> None:
    places = sorted(_apart(ends, 0.0, 120.0))
    assert all(two - one > 12.9 for one, two in pairwise(places))
    assert places[-1] <= 120.0


values = st.one_of(st.none(), st.floats(width=32), st.just("x"))


ROW = ("harm", "harm_limit", "certificate", "certificate_limit", "ratio", "low", "high")


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(ROW, values)), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_any_series_can_be_drawn(rows: list[dict[str, object]]) -> None:
    looks = tuple(
        {"time": (START + timedelta(minutes=at)).isoformat(), "guards": {"g": row},
         "shares": {"champion": 0.5, "challenger": 0.5}, "action": "wait"}
        for at, row in enumerate(rows)
    )  # fmt: skip
    made = RolloutStatus("churn", looks=looks)
    ElementTree.fromstring(picture(made))
    assert "nan" not in picture(made)
    for line in series(made).guards:
        assert all(part is None or LOW <= part <= HIGH for part in line.harm)


@pytest.mark.parametrize("looks", [0, 1, 30])
def test_files_for_the_run(make_rollout, looks: int) -> None:
    from PIL import Image

    made = make_rollout(looks, status="rolled back")
    shown = Image.open(BytesIO(rollout_plots.png(made)))
    assert shown.size[0] == 1100
    drawn = rollout_plots.svg(made)
    ElementTree.fromstring(drawn)
    assert drawn == rollout_plots.svg(made), "the same bytes for the same status"


def test_the_panels_of_the_figure(make_rollout) -> None:
    made = rollout_plots.figure(make_rollout(6, status="rolled back"))
    assert [axes.get_title(loc="left") for axes in made.axes] == [
        "evidence of harm (log e-value by its limit)",
        "proof towards the next step (log e-value by its limit)",
        "errors: ratio to the champion's, with its interval",
        "latency: % slower than the champion, with its interval",
        "invalid: ratio to the champion's, with its interval",
        "share of requests, %",
    ]
    said = [text.get_text() for text in made.axes[0].texts]
    assert said == ["rolled back"]
    assert made.get_suptitle() == (
        "churn: canary of version 8 against version 7, rolled back: errors: harm is proven"
    )


def test_dollars_and_marks_in_names_are_no_formula(make_rollout, hostile: str) -> None:
    assert rollout_plots.png(make_rollout(2, guards=("cost in $ and $x$", hostile)))
