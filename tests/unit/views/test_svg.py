"""Pictures within pages: well-formed, safe, told apart, and of the right heights."""

import re
from xml.etree import ElementTree

import pytest

from lifecycle import records as r
from lifecycle.records import Outcome
from lifecycle.views import notebook, pages, svg
from lifecycle.views.bars import Bars, bars

SHAPE = "{http://www.w3.org/2000/svg}"
FORBIDDEN = re.compile(
    r"<script|javascript:|\son\w+\s*=|@import|<link|<iframe|<img|url\(", re.IGNORECASE
)


def drawn(column, words=""):
    text = svg.histogram(bars(column), column.name, words)
    return ElementTree.fromstring(text)


def texts(tree):
    return [item.text for item in tree.iter(f"{SHAPE}text")]


def paths(tree, colour):
    found = tree.iter(f"{SHAPE}path")
    return [item.get("d") for item in found if colour in (item.get("fill"), item.get("stroke"))]


def heights(path):
    """Of bars drawn as `v-HEIGHT`."""
    return [float(found) for found in re.findall(r"v-([\d.]+)h", path)]


def test_a_picture_has_a_title_a_description_and_a_role(numeric):
    tree = drawn(numeric("temp", reference=[0, 9, 9, 0], live=[0, 9, 9, 0]), "nothing moved")
    assert tree.get("role") == "img"
    assert "temp" in tree.get("aria-label")
    assert tree.find(f"{SHAPE}title").text == "temp: reference and live rows"
    assert tree.find(f"{SHAPE}desc").text == "nothing moved"


def test_texts_take_the_pages_colour_and_nothing_has_a_background(numeric):
    text = svg.histogram(bars(numeric(reference=[0, 9, 9, 0], live=[0, 9, 9, 9])), "x")
    assert 'fill="currentColor"' in text
    assert "<rect" not in text
    colours = set(re.findall(r"#[0-9a-f]{6}", text))
    assert colours == {svg.REFERENCE, svg.LIVE}


@pytest.mark.parametrize("paper", [(255, 255, 255), (30, 30, 30)], ids=["light", "dark"])
@pytest.mark.parametrize("colour", [svg.REFERENCE, svg.LIVE])
def test_both_tones_stand_out_on_light_and_dark(colour, paper):
    """WCAG 2.1, 1.4.11: shapes need a contrast of 3."""
    ink = tuple(int(colour[at : at + 2], 16) for at in (1, 3, 5))
    light, dark = sorted((_luminance(ink), _luminance(paper)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3


def _luminance(colour):
    parts = [value / 255 for value in colour]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_bars_of_levels_have_the_heights_of_their_shares(levels):
    tree = drawn(levels(levels=["a", "b"], reference=[75, 25, 0], live=[25, 75, 0]))
    one, two = (heights(paths(tree, colour)[0]) for colour in (svg.REFERENCE, svg.LIVE))
    assert one[0] / one[1] == pytest.approx(3.0, rel=0.02)
    assert two == pytest.approx(one[::-1])
    assert texts(tree) == ["a", "b"]


def test_a_bar_far_above_the_reference_is_cut_and_labelled(numeric):
    tree = drawn(numeric(reference=[0, *[10] * 10, 0], live=[0, *[0] * 9, 100, 0]))
    assert "100 %" in texts(tree)
    assert svg.scale(bars(numeric(reference=[0, 10, 10, 0], live=[0, 20, 0, 0]))) == 1.0


def test_the_range_stands_below_and_rows_beyond_it_apart(numeric):
    tree = drawn(numeric(reference=[0, 9, 9, 0], live=[3, 9, 9, 3], edges=[-2.5, 0.0, 1500.0]))
    assert texts(tree) == ["-2.5", "1,500", "<", ">"]


def test_null_rows_stand_apart_where_there_are_any(numeric):
    sides = {"reference": [0, 70, 0], "live": [0, 70, 0]}
    assert "null" not in texts(drawn(numeric(**sides)))
    assert "null" not in texts(drawn(numeric(**sides, nulls=(0, 0.1))))
    assert texts(drawn(numeric(**sides, nulls=(0, 70))))[-2:] == ["50 %", "null"]


def test_everything_stays_within_the_picture(numeric, levels):
    for column in (
        numeric(reference=[0, *[10] * 60, 0], live=[900, *[1] * 60, 900], nulls=(5, 500)),
        levels(reference=[10] * 50, live=[1] * 49 + [5000], nulls=(1, 1)),
        levels(levels=["x" * 80, "気温の平均値" * 9], reference=[1, 1, 0], live=[0, 5, 9]),
    ):
        tree = drawn(column)
        for path in (item.get("d") for item in tree.iter(f"{SHAPE}path")):
            for x, y in re.findall(r"M(-?[\d.]+) (-?[\d.]+)", path):
                assert -0.5 <= float(x) <= svg.WIDTH + 0.5
                assert 0 <= float(y) <= svg.HEIGHT
        for item in tree.iter(f"{SHAPE}text"):
            assert 0 <= float(item.get("x")) <= svg.WIDTH
            assert len(item.text) <= 40


def test_nothing_to_draw_is_an_empty_picture():
    tree = ElementTree.fromstring(svg.histogram(Bars((), (), (), (0.0, 0.0)), "x"))
    assert list(tree.iter(f"{SHAPE}path")) == []


@pytest.fixture
def report(numeric, levels, hostile):
    columns = {
        name: numeric(name, reference=[0, *[10] * 60, 0], live=[3, *[10] * 60, 3], nulls=(0, 30),
                      reason=f"{name} moved", effect=0.5, p_value=1e-9, test="location")
        for name in (hostile, "x" * 80, "気温の平均値", "טמפרטורה", *(f"c{at}" for at in range(30)))
    }  # fmt: skip
    columns["plan"] = levels(levels=[hostile, "b"], reference=[9, 9, 0], live=[9, 9, 9])
    drift = r.DriftReport(Outcome.FAIL, columns, 600, 606, not_monitored={hostile: hostile})
    return r.MonitorReport(
        hostile, 3, Outcome.FAIL, (hostile,), r.Decision(True, (hostile,)), drift,
        notes=(hostile,), run_id="run",
    )  # fmt: skip


def test_pages_run_nothing_load_nothing_and_escape_names(report, make_checks):
    for page in (notebook.html(report), pages.report(report, list(make_checks(5)))):
        assert not FORBIDDEN.search(page), FORBIDDEN.search(page)
        addresses = set(re.findall(r"[a-z]+://[^\"'<\s]+", page))
        assert addresses == {"http://www.w3.org/2000/svg"}
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert "\x1b" not in page
        assert "\u202e" not in page
        for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
            ElementTree.fromstring(picture)


def test_thirty_columns_are_a_small_page(report):
    assert len(notebook.html(report)) < 100_000


def test_the_worst_are_drawn_and_the_rest_is_folded_away(report):
    page = notebook.html(report)
    assert page.count("<svg") == 12
    assert "<details><summary>23 more columns, none of them worse</summary>" in page


def test_a_page_says_how_it_looks_in_the_dark(report):
    page = pages.report(report, [])
    assert page.startswith("<!doctype html>")
    assert "prefers-color-scheme:dark" in page
    assert '<meta charset="utf-8">' in page
    assert page.rstrip().endswith("</html>")


def test_a_page_is_well_formed(report, make_checks):
    page = pages.report(report, list(make_checks(5)))
    body = page[page.index("<body>") : page.index("</html>")]
    ElementTree.fromstring(body.replace("&nbsp;", " "))
