"""Blocks count by time, merge without the rows, and keep what short windows need."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.drift.blocks import LADDER, MAX_BLOCKS, Blocks


def made(times, bands=None, width=2):
    times = np.array(times)
    return Blocks.count(np.zeros(len(times), int) if bands is None else bands, times, width=width)


def test_each_length_divides_the_next():
    assert all(long % short == 0 for short, long in itertools.pairwise(LADDER))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50))
def test_the_length_is_the_shortest_that_spans(times):
    blocks = made(times)
    assert len(blocks.counts) <= MAX_BLOCKS
    assert blocks.counts.sum() == len(times)
    assert blocks.first * blocks.seconds <= min(times)
    assert blocks.end > max(times)
    shorter = [length for length in LADDER if length < blocks.seconds]
    if shorter:
        assert max(times) // shorter[-1] - min(times) // shorter[-1] + 1 > MAX_BLOCKS


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 10**8), min_size=1, max_size=9), min_size=3, max_size=3))
def test_merge_is_associative_and_that_of_the_whole(parts):
    one, two, three = (made(part) for part in parts)
    left, right = one.merge(two).merge(three), one.merge(two.merge(three))
    assert left.to_dict() == right.to_dict()
    whole = made([time for part in parts for time in part])
    assert left.seconds == whole.seconds
    assert left.counts.tolist() == whole.counts.tolist()


def test_products_are_sums_of_outer_products():
    rng = np.random.default_rng(0)
    times, bands = np.sort(rng.integers(0, 400 * 60, 2_000)), rng.integers(0, 3, 2_000)
    blocks = made(times, bands, width=3)
    table = np.zeros((400, 3), int)
    np.add.at(table, (times // 60, bands), 1)
    assert blocks.seconds == 300
    assert blocks.products[60].tolist() == (table.T @ table).tolist()


def test_json_round_trip():
    blocks = made(range(0, 4000, 3), np.arange(1334) % 2)
    text = json.dumps(blocks.to_dict())
    again = Blocks.from_dict(json.loads(text))
    assert json.dumps(again.to_dict()) == text
    assert again.products.keys() == blocks.products.keys()


def test_coarser_keeps_the_counts():
    blocks = made(range(0, 4000, 3))
    coarse = blocks.coarser(3_600)
    assert coarse.counts.sum() == blocks.counts.sum()
    assert len(coarse.counts) == 2
    assert blocks.coarser(blocks.seconds) is blocks
    assert coarse.counts[0, 0] == pytest.approx(1200)
