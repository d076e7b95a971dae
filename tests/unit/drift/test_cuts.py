"""Columns that are counted in chunks: where they are cut, and what stays exact."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.drift.cells import MAX_CELLS, ordered_cells
from lifecycle.drift.columns import Column, Ordered, sample_rows
from lifecycle.drift.cuts import counted, fine_cuts

VALUES = st.lists(
    st.one_of(st.floats(-1e3, 1e3), st.integers(-4, 4).map(float), st.just(np.inf)),
    min_size=1,
    max_size=80,
)


def fine(values, sample):
    """Counts of all values at the edges that a sample gives."""
    cuts = fine_cuts(Ordered.of(np.array(sample)).values)
    return cuts, counted("x", Ordered.of(np.array(values)), cuts.all)


@settings(max_examples=80, deadline=None)
@given(VALUES, st.integers(1, 9))
def test_cuts_of_a_sample_count_all_rows(values, step):
    cuts, counts = fine(values, values[::step])
    cuts, counts = cuts.opened(counts)
    profile = cuts.coarse(counts)
    known = Ordered.of(np.array(values))
    assert sum(profile.counts) == len(values) == sum(counts.counts)
    assert (profile.counts[0], profile.counts[-2]) == known.infinite
    assert (profile.low, profile.high) == (counts.low, counts.high)
    assert len(profile.counts) == len(profile.edges) + 2
    assert len(profile.edges) - 1 <= MAX_CELLS
    wanted = counted("x", Ordered.of(np.array(values)), profile.edges)
    assert profile.counts == wanted.counts
    assert list(profile.edges) == sorted(set(profile.edges))


@settings(max_examples=40, deadline=None)
@given(VALUES)
def test_a_sample_of_all_rows_cuts_as_the_rows_do(values):
    cuts, counts = fine(values, values)
    cuts, counts = cuts.opened(counts)
    known = Ordered.of(np.array(values))
    wanted = counted("x", known, ordered_cells(known.values).edges)
    assert cuts.coarse(counts) == wanted


def test_a_rare_value_beyond_the_sample_moves_the_last_edge_or_adds_one():
    cuts, counts = fine([0.0, 1.0, 1.0, 5.0], [0.0, 1.0])
    assert not cuts.opened(counts)[1].complete
    assert cuts.opened(counts)[0].edges[1:] == (0.0, 1.0, 5.0)
    many = np.arange(500.0)
    cuts, counts = fine(np.append(many, 900.0), many)
    edges = cuts.opened(counts)[0].edges
    assert edges[-1] == 900.0
    assert len(edges) - 1 == MAX_CELLS


def test_sums_beyond_all_numbers_are_the_largest_number():
    profile = counted("x", Ordered.of(np.full(9, 1e300)), (0.0, 1e300))
    assert np.isfinite(profile.squares)
    assert profile.total == pytest.approx(9e300)


def test_sums_are_those_of_all_pieces():
    values = np.random.default_rng(0).normal(size=20_000)
    profile = counted("x", Ordered.of(values.copy()), (-9.0, 9.0))
    assert profile.squares == pytest.approx(float((values**2).sum()), rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5_000), st.integers(1, 700))
def test_sampled_rows_are_one_of_each_stretch(rows, most):
    chosen = sample_rows(rows, most)
    if rows <= most:
        assert chosen is None
        return
    step = -(-rows // most)
    assert len(chosen) <= most
    assert (chosen < rows).all()
    assert (chosen // step).tolist() == list(range(len(chosen)))
    assert sample_rows(rows, most).tolist() == chosen.tolist()


def test_sampled_rows_see_all_of_those_that_write_in_turn():
    machine = np.arange(1_000_000) % 200
    seen = np.bincount(machine[sample_rows(1_000_000)], minlength=200)
    assert seen.min() > 300


def test_rows_of_a_column_in_chunks():
    series = pl.Series("x", range(100))
    column = Column.of(series, 30)
    assert not column.whole
    assert column.held() is column
    assert column.at(None).to_list() == series.to_list()
    assert column.at(np.array([0, 29, 30, 99])).to_list() == [0, 29, 30, 99]
    assert [chunk.len() for chunk in column.read()] == [30, 30, 30, 10]
    assert Column.of(series[:0]).at(None).len() == 0


def test_the_rows_that_stand_for_all_are_drawn_once_and_stay_as_they_are():
    drawn = sample_rows(250_000)
    assert drawn is sample_rows(250_000)
    assert drawn is not None
    with pytest.raises(ValueError, match="read-only"):
        drawn[0] = 1
    assert pl.Series(range(250_000))[drawn].to_list() == drawn.tolist()
