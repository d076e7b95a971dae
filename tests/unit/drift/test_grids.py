"""Numbers counted on a grid: the answers of a search for each value, whatever the numbers are."""

import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.drift import grids
from lifecycle.drift.cells import quantile_cells
from lifecycle.drift.columns import Ordered
from lifecycle.drift.counting import build_profile
from lifecycle.drift.cuts import counted, tallied
from lifecycle.drift.grids import Grid

MOST = sys.float_info.max
TINY = sys.float_info.min
NUMBERS = st.one_of(
    st.floats(-5, 5),
    st.floats(-TINY, TINY),  # most of them denormal
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 5e-324, -5e-324, TINY, MOST, -MOST, 1e16, 1e16 + 2, 1 / 3]),
)
EDGES = st.lists(NUMBERS, min_size=1, max_size=70, unique=True).map(
    lambda item: tuple(sorted(item))
)
ANY = st.lists(
    st.one_of(NUMBERS, st.sampled_from([np.inf, -np.inf, np.nan])), min_size=0, max_size=60
)


def around(edges, values):
    """The values, the edges and the numbers next to them."""
    cuts = np.array(edges)
    with np.errstate(over="ignore"):
        sides = [np.nextafter(cuts, way) for way in (-np.inf, np.inf)]
    return np.concatenate((np.array(values, dtype=float), cuts, *sides))


@settings(max_examples=300, deadline=None)
@given(EDGES, ANY)
def test_an_index_is_that_of_a_search(edges, values):
    tried = around(edges, values)
    tried = tried[~np.isnan(tried)]
    wanted = np.searchsorted(np.array(edges), tried)
    assert Grid.of(edges).index(tried).tolist() == wanted.tolist()


@settings(max_examples=300, deadline=None)
@given(EDGES, ANY, st.integers(1, 40))
def test_counts_are_those_of_sorted_values(edges, values, piece):
    tried = around(edges, values)
    tried = tried[np.isfinite(tried)]
    pieces = [tried[at : at + piece] for at in range(0, tried.size, piece)]
    upto, equal = Grid.of(edges).upto(pieces)
    ordered = np.sort(tried)
    ends = np.searchsorted(ordered, np.array(edges), side="right")
    assert upto.tolist() == ends.tolist()
    assert equal.tolist() == (ends - np.searchsorted(ordered, np.array(edges))).tolist()


@settings(max_examples=200, deadline=None)
@given(EDGES, ANY, st.sets(st.integers(0, 59), max_size=5))
def test_a_tally_is_the_count_of_sorted_values(edges, values, nulls):
    tried = [None if at in nulls else value for at, value in enumerate(around(edges, values))]
    series = pl.Series("x", tried, dtype=pl.Float64)
    found = tallied("x", series, edges)
    known = np.array([np.nan if value is None else value for value in tried])
    wanted = counted("x", Ordered.of(known), edges)
    for name in ("rows", "counts", "edges", "complete", "low", "high", "infinite", "null"):
        assert getattr(found, name) == getattr(wanted, name), name
    if found.squares < MOST:  # else what overflows first depends on the order
        assert found.squares == pytest.approx(wanted.squares, rel=1e-12)
        slack = 1e-12 * max(abs(found.low or 0.0), abs(found.high or 0.0))
        assert found.total == pytest.approx(wanted.total, rel=1e-12, abs=slack)


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1.0, 1e300, 1e307])
@pytest.mark.parametrize("law", ["normal", "exponential", "standard_cauchy"])
def test_many_values_of_any_law_and_unit(law, scale):
    rng = np.random.default_rng(5)
    with np.errstate(over="ignore"):
        before, after = (getattr(rng, law)(size=80_000) * scale for _ in range(2))
    edges = quantile_cells(before).edges
    found = tallied("x", pl.Series(after), edges)
    wanted = counted("x", Ordered.of(after.copy()), edges)
    assert (found.counts, found.infinite) == (wanted.counts, wanted.infinite)
    assert Grid.of(edges).index(after).tolist() == np.searchsorted(edges, after).tolist()


def test_values_in_few_places_are_told_apart():
    values = np.random.default_rng(1).integers(0, 30, 50_000).astype(float)
    edges = quantile_cells(values).edges
    found = tallied("x", pl.Series(values), edges)
    assert found.complete
    assert found.counts[1:-2] == tuple(np.bincount(values.astype(int)).tolist())
    assert not tallied("x", pl.Series(values + 0.5), edges).complete


def test_chunks_and_types_do_not_matter():
    values = pl.Series("x", np.arange(100_000) % 977)
    edges = tuple(np.arange(-0.5, 977, 20.0).tolist())
    wanted = tallied("x", values, edges)
    parts = pl.concat([values[:10], values[10:70_000], values[70_000:]], rechunk=False)
    for other in (parts, values.cast(pl.Int16), values.cast(pl.Float32), values.cast(pl.Duration)):
        found = tallied("x", other, edges)
        assert (found.counts, found.low, found.high) == (wanted.counts, 0.0, 976.0)
        assert found.total == wanted.total


def test_no_value_at_all_is_counted_in_no_cell():
    found = tallied("x", pl.Series("x", [None, np.nan, np.inf]), (0.0, 1.0))
    assert (found.counts, found.low, found.high) == ((0, 0, 1, 2), None, None)
    assert tallied("x", pl.Series("x", [], dtype=pl.Float64), (0.0, 1.0)).rows == 0


def test_sums_beyond_all_numbers_stay_json_numbers():
    found = tallied("x", pl.Series([MOST] * 4), (0.0, 1.0))
    assert (found.total, found.squares, found.counts) == (MOST, MOST, (0, 0, 4, 0))


def test_a_large_live_table_counts_as_its_parts_do():
    rng = np.random.default_rng(3)
    frame = pl.DataFrame({"a": rng.normal(size=90_000), "b": rng.integers(0, 9, 90_000)})
    reference = build_profile(frame[:3_000])
    whole = build_profile(frame, like=reference)
    pieces = [
        build_profile(frame[at : at + 4_500], like=reference) for at in range(0, 90_000, 4_500)
    ]
    merged = pieces[0]
    for piece in pieces[1:]:
        merged = merged.merge(piece)
    for name in "ab":
        one, two = whole.columns[name], merged.columns[name]
        assert (one.counts, one.low, one.high) == (two.counts, two.low, two.high)
        assert one.total == pytest.approx(two.total)
    assert (whole.pairs.sums == merged.pairs.sums).all()


def test_a_grid_is_made_once_for_the_same_edges():
    edges = (0.0, 0.25, 9.0)
    assert Grid.of(edges) is Grid.of(edges)
    assert Grid.of(edges).close.sum() == 3
    assert Grid.of((1.0,)).scale == 0.0  # no range, no steps
    assert grids.PIECE > grids.STEPS
