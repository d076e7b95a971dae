"""The same bars on both sides, whatever a column is; exact strings for small cases."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.records import ColumnDrift, Outcome
from lifecycle.views.bars import BLOCKS, INNER, LEVELS, PLAIN_BLOCKS, bars, percent, short, spark
from lifecycle.workflows.compare import compare


def test_few_values_have_a_bar_each(numeric):
    made = bars(numeric(reference=[0, 10, 20, 10, 0], live=[0, 0, 10, 30, 0]))
    assert made.labels == ("1", "2", "3")
    assert made.reference == (0.25, 0.5, 0.25)
    assert made.live == (0.0, 0.25, 0.75)
    assert spark(made.reference) == "▄█▄"
    assert spark(made.live) == " ▃█"
    assert made.notes() == ()


def test_rows_outside_the_range_have_bars_of_their_own(numeric):
    made = bars(numeric(reference=[0, 10, 10, 0], live=[5, 5, 5, 5]))
    assert made.labels == ("below", "1", "2", "above")
    assert made.reference == (0.0, 0.5, 0.5, 0.0)
    assert made.live == (0.25, 0.25, 0.25, 0.25)
    assert made.outside == (True, True)
    above = bars(numeric(reference=[0, 10, 10, 0], live=[0, 5, 5, 5]))
    assert above.labels == ("1", "2", "above")


def test_many_cells_become_equal_bars_over_the_range(numeric):
    flat = [0, *[10] * 56, 0]
    made = bars(numeric(reference=flat, live=flat))
    assert len(made.labels) == INNER
    assert made.reference == pytest.approx([1 / INNER] * INNER)
    assert made.ends == (0.0, 56.0)


def test_a_long_tail_does_not_squeeze_the_rest(numeric):
    edges = [*range(60), 1_000_000]
    flat = [0, *[10] * 60, 0]
    made = bars(numeric(reference=flat, live=flat, edges=edges))
    assert max(made.reference) < 0.2, "not all in the first bar"
    assert sum(made.reference) == pytest.approx(1.0)
    assert made.ends == (0.0, 1_000_000.0)


def test_levels_come_in_the_references_order_and_others_last(levels):
    made = bars(levels(levels=["a", "b"], reference=[50, 50, 0], live=[10, 40, 50]))
    assert made.labels == ("a", "b", "other")
    assert made.live == (0.1, 0.4, 0.5)
    assert made.notes() == ("other 0 % → 50 %",)
    assert spark(made.live) == "▂▇█"


def test_of_many_levels_the_common_ones_of_either_side_are_kept(levels):
    reference = [100 - at for at in range(40)] + [0]
    live = [1] * 39 + [1000, 0]
    made = bars(levels(reference=reference, live=live))
    assert len(made.labels) == LEVELS + 1
    assert "level 39" in made.labels, "rare before, common now"
    assert made.labels[-1] == "30 more"
    assert sum(made.reference) == pytest.approx(1.0)
    assert sum(made.live) == pytest.approx(1.0)


def test_nulls_are_said_where_they_changed(numeric):
    sides = {"reference": [0, 70, 0], "live": [0, 70, 0]}
    assert bars(numeric(**sides, nulls=(0, 30))).notes() == ("null 0 % → 30 %",)
    assert bars(numeric(**sides, nulls=(30, 30))).notes() == ()


def test_a_column_that_is_all_null_now(numeric):
    made = bars(numeric(reference=[0, 10, 10, 0], live=[0, 0, 0, 0], nulls=(0, 20)))
    assert made.live == (0.0, 0.0)
    assert spark(made.live) == "  "
    assert made.notes() == ("null 0 % → 100 %",)


def test_texts_have_no_bars_but_their_nulls():
    one, two = {"rows": 10, "null": 0}, {"rows": 10, "null": 5}
    column = ColumnDrift("note", "text", True, Outcome.FAIL, reference=one, current=two)
    assert bars(column).labels == ()
    assert bars(column).notes() == ("null 0 % → 50 %",)
    assert bars(replace(column, current=one)) is None
    assert bars(replace(column, current={})) is None
    assert bars(replace(column, current={"rows": 0, "null": 0})) is None


def test_sides_that_were_counted_differently_have_no_bars(numeric):
    column = numeric(reference=[0, 5, 5, 0], live=[0, 5, 5, 0])
    other = {**column.current, "counts": [1, 2]}
    assert bars(replace(column, current=other)) is None


@pytest.mark.parametrize("ramp", [BLOCKS, PLAIN_BLOCKS])
@settings(max_examples=50, deadline=None)
@given(shares=st.lists(st.floats(0, 1), max_size=20))
def test_few_rows_are_never_nothing_and_more_rows_never_less(ramp, shares):
    drawn = spark(shares, ramp)
    assert len(drawn) == len(shares)
    for share, mark in zip(shares, drawn, strict=True):
        assert (mark == " ") == (share == 0)
    order = sorted(range(len(shares)), key=lambda at: shares[at])
    heights = [ramp.index(drawn[at]) for at in order]
    assert heights == sorted(heights)


def test_a_top_of_its_own():
    assert spark([0.5, 1.0], top=1.0) == "▄█"
    assert spark([0.5, 0.25], top=1.0) == "▄▂"
    assert spark([2.0], top=1.0) == "█"


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.integers(-(10**6), 10**6), min_size=40, max_size=90),
    st.lists(st.integers(-(10**7), 10**7), min_size=40, max_size=60),
)
def test_bars_hold_all_rows_of_any_numbers(one, two):
    frames = [pd.DataFrame({"x": values}) / 10 for values in (one, two)]
    report = compare(*frames)
    made = bars(report.columns["x"])
    if made is None:
        return
    assert len(made.labels) == len(made.reference) == len(made.live) <= INNER + 2
    assert sum(made.reference) == pytest.approx(1.0)
    assert sum(made.live) == pytest.approx(1.0)


def test_percent_and_short_say_much_in_little():
    assert [percent(share) for share in (0.05, 0.094, 0.1, 0.996)] == [
        "5.0 %", "9.4 %", "10 %", ">99 %",
    ]  # fmt: skip
    assert [short(value) for value in (0.0, -0.0, 999.4, -12345.6, 1e9)] == [
        "0", "0", "999", "-12,346", "1e+09",
    ]  # fmt: skip
    assert np.isfinite(float(short(1.23e-7)))
