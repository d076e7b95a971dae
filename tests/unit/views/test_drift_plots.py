"""Pictures of the worst columns, whatever the columns are."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lifecycle.views.drift_plots import LINE, MOST, NAME, figure, png
from lifecycle.workflows.compare import compare


@pytest.fixture
def report():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"x{n}": rng.normal(size=300) for n in range(8)})
    frame["plan"] = rng.choice(list("abc"), 300)
    frame["none"] = None
    return compare(frame, frame.assign(x3=frame["x3"] * 1000, plan="a"))


def name(axes):
    return axes.texts[0].get_text()


def test_worst_columns_come_first(report):
    axes = figure(report).axes
    assert len(axes) == MOST
    assert {name(item) for item in axes[:2]} == {"plan", "x3"}


def test_a_long_reason_wraps_and_does_not_run_out_of_its_plot(report):
    moved = report.columns["x3"]
    longer = replace(report, columns={"x3": replace(moved, reason="word " * 100)})
    lines = figure(longer).axes[0].get_title(loc="left").split("\n")
    assert len(lines) == 2
    assert max(map(len, lines)) <= LINE
    assert lines[1].endswith("…")


def test_bars_hold_all_rows_that_are_in_view(report):
    column = next(item for item in figure(report).axes if name(item) == "x1")
    for patch in column.patches:
        assert patch.get_data().values.sum() == pytest.approx(1.0, abs=0.05)


def test_png_and_no_columns(report):
    assert png(report).startswith(b"\x89PNG")
    nothing = pd.DataFrame({"none": [None] * 40})
    drawn = figure(compare(nothing, nothing))
    assert drawn.axes == []
    assert "no column" in drawn.texts[0].get_text()


def test_long_names_and_formulas_stay_in_their_place(report):
    moved = report.columns["x3"]
    odd = replace(moved, name="$" + "x" * 90 + "$", reason="from $ 3 to $ 5 " * 20)
    shown = name(figure(replace(report, columns={odd.name: odd})).axes[0])
    assert len(shown.replace("\\$", "$")) == NAME
    assert png(replace(report, columns={odd.name: odd})).startswith(b"\x89PNG")


def test_pictures_do_not_overlap(report):
    boxes = [axes.get_position() for axes in figure(report).axes]
    for one in boxes:
        assert 0 <= one.x0 < one.x1 <= 1
        assert 0 <= one.y0 < one.y1 <= 1
        assert sum(one.overlaps(other) for other in boxes) == 1, "with itself"
