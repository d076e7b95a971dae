"""Thompson's shares: replayable, above a floor, and not misled by a base rate that moves."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.records import Arm, RolloutSpec, Tally
from lifecycle.rollout.allocation import DRAWS, best, shares, worth
from lifecycle.rollout.guards import parse

SPEC = RolloutSpec(
    "churn",
    "ab",
    (Arm("champion", 7, 0.4), Arm("challenger", 8, 0.3), Arm("challenger-2", 9, 0.3)),
    metric="errors",
    allocation="thompson",
    salt="s",
)
ERRORS, LABEL = parse("errors"), parse("label")


def events(*counts, step=0, block=0):
    names = ("champion", "challenger", "challenger-2")
    return [
        Tally("errors", name, step, units, wrong, block=block)
        for name, (units, wrong) in zip(names, counts, strict=False)
    ]


def test_nothing_seen_is_nothing_preferred():
    found = best(SPEC, 0, [], ERRORS)
    assert sum(found) == pytest.approx(1.0)
    assert found[1] == pytest.approx(found[2], abs=0.08)


def test_it_is_replayable_and_another_step_or_salt_draws_anew():
    counts = events((400, 40), (300, 30), (300, 28))
    found = best(SPEC, 0, counts, ERRORS)
    assert best(SPEC, 0, list(reversed(counts)), ERRORS) == found
    assert best(SPEC, 1, counts, ERRORS) != found
    other = RolloutSpec("churn", "ab", SPEC.arms, metric="errors", salt="t")
    assert best(other, 0, counts, ERRORS) != found
    assert best(other, 0, counts, ERRORS) == pytest.approx(found, abs=0.1)


def test_a_release_allocates_the_same():
    found = best(SPEC, 3, events((400, 44), (300, 30), (300, 28)), ERRORS)
    assert found == (0.089, 0.373, 0.538)


def test_the_better_arm_is_more_probable():
    found = best(SPEC, 0, events((4000, 600), (3000, 300), (3000, 60)), ERRORS)
    assert found[2] > 0.999
    found = best(SPEC, 0, events((4000, 60), (3000, 300), (3000, 600)), ERRORS)
    assert found[0] > 0.999


def test_no_events_and_no_units_are_no_certainty():
    for counts in (events((50, 0), (50, 0), (50, 0)), events((0, 0), (0, 0), (0, 0))):
        assert max(best(SPEC, 0, counts, ERRORS)) < 0.9


def test_one_event_decides_little():
    found = best(SPEC, 0, events((50, 1), (50, 0), (50, 0)), ERRORS)
    assert all(0.05 < item < 0.7 for item in found)


def test_a_base_rate_that_moves_with_the_shares_misleads_nobody():
    # equal within each step; pooled, the challenger looks twice as bad
    moved = [
        *events((9000, 90), (1000, 10), (1, 0)),
        *events((1000, 100), (9000, 900), (1, 0), step=1),
    ]
    found = best(SPEC, 1, moved, ERRORS)
    assert found[0] < 3 * max(found[1], 0.05)
    assert found[1] > 0.1


def test_blocks_of_time_are_compared_within_themselves_as_well():
    moved = [
        *events((9000, 90), (1000, 10), block=0),
        *events((1000, 100), (9000, 900), block=1),
    ]
    pair = RolloutSpec("churn", "ab", SPEC.arms[:2], metric="errors", salt="s")
    assert 0.2 < best(pair, 0, moved, ERRORS)[1] < 0.8


def numbers(*means, w=1000.0, spread=2.0):
    names = ("challenger", "challenger-2")
    return [Tally("label", "champion", 0, 3000)] + [
        Tally("label", name, 0, 3000, 0, 0.0, mean * w, spread**2 * w, w)
        for name, mean in zip(names, means, strict=True)
    ]


def test_numbers_in_their_own_direction():
    assert best(SPEC, 0, numbers(0.1, 0.8), LABEL)[2] > 0.99
    assert best(SPEC, 0, numbers(-0.8, -0.8), LABEL)[0] > 0.99
    small = [item / 1e6 for item in (0.1, 0.8)]
    tiny = best(SPEC, 0, numbers(*small, spread=2e-6), LABEL)
    assert tiny[2] > 0.99  # whatever the unit


def test_numbers_without_any_spread_are_no_error():
    assert sum(best(SPEC, 0, numbers(0.0, 0.0, spread=0.0), LABEL)) == pytest.approx(1.0)
    assert sum(best(SPEC, 0, numbers(0.0, 0.0, w=0.0), LABEL)) == pytest.approx(1.0)


PROBABILITIES = st.lists(st.integers(0, 100), min_size=2, max_size=10).filter(any)


@given(weights=PROBABILITIES)
@settings(max_examples=100, deadline=None)
def test_shares_are_a_division_that_starves_nobody(weights):
    total = sum(weights)
    found = shares([item / total for item in weights])
    assert sum(found) == pytest.approx(1.0, abs=1e-12)
    floor = min(0.1, 0.5 / len(weights))
    assert all(floor - 0.001 * len(weights) <= item <= 1.0 for item in found)
    order = sorted(range(1, len(weights)), key=weights.__getitem__)
    assert [found[at] for at in order] == sorted(found[1:])


@given(
    counts=st.lists(
        st.tuples(st.integers(0, 1000), st.integers(0, 1000)).map(lambda c: (max(c), min(c))),
        min_size=3,
        max_size=3,
    ),
    step=st.integers(0, 3),
)
@settings(max_examples=30, deadline=None)
def test_any_counts_have_probabilities(counts, step):
    found = best(SPEC, step, events(*counts), ERRORS)
    assert sum(found) == pytest.approx(1.0)
    assert all(item * DRAWS == pytest.approx(round(item * DRAWS)) for item in found)


def test_a_step_is_worth_it_by_its_largest_change():
    assert not worth((0.5, 0.3, 0.2), (0.48, 0.32, 0.2))
    assert worth((0.5, 0.3, 0.2), (0.44, 0.36, 0.2))
