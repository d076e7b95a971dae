"""A profile that was damaged, by accident or on purpose, is one error and never a wrong verdict."""

import copy
import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.drift import Profile, build_profile, compare_frames
from lifecycle.errors import DataError

RNG = np.random.default_rng(0)
TIMES = pl.Series("ts", 1_700_000_000_000_000 + np.arange(200) * 600_000_000).cast(
    pl.Datetime("us")
)
FRAME = pl.DataFrame(
    {"x": RNG.normal(size=200), "y": RNG.normal(size=200), "plan": RNG.choice(["a", "b"], 200)}
).with_columns(TIMES)
TREE = json.loads(build_profile(FRAME, time="ts").dumps())


def paths(tree, before=()):
    """Every place in the tree."""
    yield before
    if isinstance(tree, dict | list):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        for key, value in list(items)[:6]:
            yield from paths(value, (*before, key))


PLACES = [path for path in paths(TREE) if path]
ODD = [None, True, -1, 10**30, 1.5, "", "x", [], [None], {}, {"a": 1}, [[1]], [10**30], -(10**18)]


@settings(max_examples=250, deadline=None, derandomize=True)
@given(st.sampled_from(PLACES), st.sampled_from(ODD))
def test_any_part_that_is_replaced_is_refused_or_read_but_no_traceback(path, odd):
    tree = copy.deepcopy(TREE)
    place = tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = odd
    try:
        found = Profile.loads(json.dumps(tree))
    except DataError:
        return
    if path[-1] in ("counts", "bands", "edges", "levels", "kind"):
        changed = [column.counts for column in found.columns.values()]
        assert all(min(counts) >= 0 for counts in changed)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40))
def test_a_file_that_was_cut_or_overwritten_is_refused_or_the_same_shape(start, size):
    text = json.dumps(TREE)
    start %= len(text)
    with pytest.raises(DataError, match="damaged"):
        Profile.loads(text[:start])
    try:
        found = Profile.loads(text[:start] + "#" * size + text[start + size :])
    except DataError:
        return
    assert found.rows == 200, "only inside a text can it stay readable"


@pytest.mark.parametrize("key", ["schema", "rows", "columns", "pairs", "time", "window"])
def test_a_part_that_is_missing_is_named(key):
    tree = {name: value for name, value in TREE.items() if name != key}
    with pytest.raises(DataError, match=key):
        Profile.loads(json.dumps(tree))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("counts", [1, 2, 3], "x has 3 counts"),
        ("bands", [0], "1 bands"),
        ("rows", 7, "the counts of x are not those of 7 rows"),
        ("kind", "level", "x has"),
        ("edges", [0.0, 1.0], "x has"),
    ],
)
def test_counts_that_do_not_fit_their_cells_are_found_when_it_is_read(key, value, said):
    tree = copy.deepcopy(TREE)
    tree["columns"][0][key] = value
    with pytest.raises(DataError, match=said):
        Profile.loads(json.dumps(tree))


def test_counts_below_zero_are_refused():
    tree = copy.deepcopy(TREE)
    counts = tree["columns"][0]["counts"]
    counts[0], counts[1] = counts[0] - 5, counts[1] + 5
    with pytest.raises(DataError, match="counts of x"):
        Profile.loads(json.dumps(tree))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema":1,"a":' * 50_000, "1" * 5_000, "NaN"])
def test_a_text_that_was_made_to_break_the_reader_is_one_error(text):
    with pytest.raises(DataError, match="damaged"):
        Profile.loads(text)


def test_the_undamaged_profile_is_read_and_passes():
    report = compare_frames(Profile.loads(json.dumps(TREE)), FRAME)
    assert not report.drifted
    assert set(report.columns) == {"x", "y", "plan"}
