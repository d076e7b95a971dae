"""Cells hold equal shares, common values stand alone, every value has one place."""

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lifecycle.drift.cells import (
    MANY,
    MAX_BANDS,
    MAX_CELLS,
    MAX_LEVELS,
    LevelCells,
    banded,
    common_levels,
    level_bands,
    numeric_bands,
    outer_sums,
    quantile_cells,
)

FINITE = st.floats(-1e6, 1e6, allow_nan=False)


@settings(max_examples=40, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=300), st.lists(FINITE, max_size=20))
def test_every_value_has_one_place(reference, live):
    values = np.array(reference)
    cells = quantile_cells(values)
    assert 2 <= len(cells.edges) <= MAX_CELLS + 1
    assert np.all(np.diff(cells.edges) > 0)
    inside = cells.index(values)
    assert inside.min() >= 1
    assert inside.max() <= len(cells.edges) - 1
    for value, place in zip(live, cells.index(np.array(live, dtype=float)), strict=True):
        assert (place == 0) == (value < min(reference))
        assert (place == len(cells.edges)) == (value > max(reference))


def test_cells_hold_about_equal_shares():
    values = np.random.default_rng(0).normal(size=64_000)
    counts = np.bincount(quantile_cells(values).index(values))[1:]
    assert counts.size == MAX_CELLS
    assert counts.min() > 900
    assert counts.max() < 1_100


def test_few_values_are_their_own_cells():
    values = np.repeat([1.0, 2.0, 7.0], [5, 1, 3])
    cells = quantile_cells(values)
    assert cells.edges[1:] == (1.0, 2.0, 7.0)
    assert np.bincount(cells.index(values))[1:].tolist() == [5, 1, 3]


def test_infinite_and_null_values_lie_outside():
    cells = quantile_cells(np.array([1.0, 2.0, np.inf]))
    assert cells.index(np.array([np.inf, -np.inf, np.nan])).tolist() == [3, 0, 4]


def test_levels_that_are_not_known_share_a_place():
    cells = LevelCells(("a", "b"))
    assert cells.index(pl.Series(["b", "z", None, "a"])).tolist() == [1, 2, 3, 0]
    assert LevelCells(()).index(pl.Series(["z", None])).tolist() == [0, 1]


def test_levels_are_bounded():
    names = pl.Series("x", [f"level {n}" for n in range(MAX_LEVELS + 5)] + ["level 3"])
    levels, complete, distinct = common_levels(names)
    assert levels[0] == "level 3"
    assert len(levels) == MAX_LEVELS
    assert not complete
    assert distinct == MAX_LEVELS + 5


@pytest.mark.parametrize("size", [1, 2, 9, 10, 11, 60])
def test_bands_cover_all_cells(size):
    counts = np.array([0, *([10] * size), 0, 3])
    bands = numeric_bands(counts)
    assert len(bands) == size + 2
    assert set(bands) == set(range(min(size, MAX_BANDS)))
    assert banded(counts[:-1], bands).sum() == 10 * size


@pytest.mark.parametrize("size", [1, 9, 10, 11, 60])
def test_common_levels_have_bands_of_their_own(size):
    counts = np.array([*range(size, 0, -1), 0, 3])
    bands = level_bands(counts, complete=True)
    assert len(bands) == size + 1
    assert max(bands) <= MAX_BANDS - 1
    assert len(set(bands[: min(size, MAX_BANDS - 1)])) == min(size, MAX_BANDS - 1)


@settings(max_examples=40, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=300), st.lists(FINITE, min_size=1, max_size=30))
def test_a_larger_value_is_never_in_an_earlier_cell(reference, asked):
    cells = quantile_cells(np.array(reference))
    ordered = np.sort(np.array(asked))
    assert (np.diff(cells.index(ordered)) >= 0).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=300), st.integers(0, 99))
def test_cells_do_not_depend_on_the_order_of_rows(reference, seed):
    mixed = np.random.default_rng(seed).permutation(np.array(reference))
    assert quantile_cells(mixed) == quantile_cells(np.array(reference))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", "", "é", None]), min_size=1, max_size=60))
def test_levels_are_ranked_by_rows_then_by_name_and_counted_once(values):
    series = pl.Series("rows", values, dtype=pl.String)
    levels, complete, distinct = common_levels(series)
    known = [value for value in values if value is not None]
    assert list(levels) == sorted(set(known), key=lambda level: (-known.count(level), level))
    assert complete
    assert distinct == len(levels)
    index = LevelCells(levels).index(series)
    counts = np.bincount(index, minlength=len(levels) + 2)
    assert counts.tolist() == [*map(known.count, levels), 0, len(values) - len(known)]


@pytest.mark.parametrize("share", [0.02, 0.2, 0.6, 0.98])
def test_a_value_as_common_as_a_cell_stands_alone(share):
    rng = np.random.default_rng(1)
    values = rng.normal(size=6400)
    values[: int(share * 6400)] = 0.25
    cells = quantile_cells(values)
    place = int(cells.index(np.array([0.25]))[0])
    inside = cells.index(values) == place
    assert set(values[inside]) == {0.25}
    assert len(cells.edges) <= MAX_CELLS + 1


@example([0, 3, 0, 1, 1, 1, 2, 1, 0, 2, 0])  # the last cells may be empty
@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 500), min_size=1, max_size=64))
def test_bands_keep_the_order_of_cells_and_lose_no_row(inner):
    counts = np.array([0, *inner, 0, 7])
    bands = numeric_bands(counts)
    assert list(bands) == sorted(bands)
    assert (bands[0], bands[-1]) == (bands[1], bands[-2])
    assert max(bands) < MAX_BANDS
    assert banded(counts[:-1], bands).sum() == sum(inner)


SPREAD = st.sampled_from([1e-300, 1e-9, 1.0, 50.0, 1e12, 1e307])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), SPREAD, st.sampled_from([0.0, 1.0, -1e6, 1e300]))
def test_the_cells_of_many_values_are_those_of_each(seed, spread, middle):
    rng = np.random.default_rng(seed)
    shapes = (rng.normal, rng.standard_cauchy, lambda size: np.rint(rng.normal(size=size) * 3))
    with np.errstate(over="ignore"):
        values = shapes[seed % 3](size=6_000) * spread + middle
    values[:5] = [np.inf, -np.inf, np.nan, 1.7e308, -1.7e308]
    cells = quantile_cells(values[5 if seed % 2 else 100 :])
    assert values.size > MANY
    pieces = [cells.index(part) for part in np.array_split(values, 3)]
    assert cells.index(values).tolist() == np.concatenate(pieces).tolist()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 5_000))
def test_sums_in_pieces_are_the_products(rows, columns, size):
    rng = np.random.default_rng(size)
    one, two = rng.integers(0, 9, (rows, size)) * 1.0, rng.integers(0, 9, (columns, size)) * 1.0
    assert outer_sums(one, two).tolist() == (one @ two.T).tolist()
