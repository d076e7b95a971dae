"""Cells hold equal shares, common values stand alone, every value has one place."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.drift.cells import (
    MAX_BANDS,
    MAX_CELLS,
    MAX_LEVELS,
    LevelCells,
    banded,
    common_levels,
    level_bands,
    numeric_bands,
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
