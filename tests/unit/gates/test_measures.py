"""Figures of groups: the same as the metric on the group's rows alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.gates import measures
from lifecycle.gates.groups import Groups
from lifecycle.gates.measures import Ranked
from lifecycle.models import influence


def groups_of(codes: np.ndarray) -> Groups:
    return Groups(("g",), [f"g = {place}" for place in range(int(codes.max()) + 1)], codes)


@given(st.integers(0, 10_000), st.sampled_from([3, 20, 10_000]))
@settings(max_examples=40, deadline=None)
def test_areas_and_errors_are_those_of_the_groups_rows(seed: int, levels: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(-1, 4, 300)
    y = rng.integers(0, 2, 300).astype(float)
    scores = rng.integers(0, levels, 300) / levels
    weights = rng.choice([1.0, 2.0], 300)
    found = measures.area(groups_of(codes), Ranked.of(scores), y * weights, (1 - y) * weights)
    for group in range(4):
        here = codes == group
        if len(np.unique(y[here])) < 2:
            assert np.isnan(found.values[group])
            continue
        alone = influence.roc_auc(y[here] == 1, scores[here], weights[here])
        assert found.values[group] == pytest.approx(alone.value)
        assert found.carried[group] == pytest.approx(alone.rows)
        if alone.rows > 5:
            error = np.sqrt((found.parts[here] ** 2).sum())
            assert error == pytest.approx(alone.error, rel=0.15)
    assert (found.parts[codes < 0] == 0).all()


def test_means_and_errors_are_those_of_the_groups_rows() -> None:
    rng = np.random.default_rng(0)
    codes, values = rng.integers(-1, 3, 200), rng.normal(size=200)
    found = measures.mean(groups_of(codes), values)
    for group in range(3):
        here = codes == group
        alone = influence.mean(values[here], np.ones(int(here.sum())))
        assert found.values[group] == pytest.approx(alone.value)
        assert np.sqrt((found.parts[here] ** 2).sum()) == pytest.approx(alone.error)


def test_groups_of_one_class_or_no_rows_have_no_area() -> None:
    groups = Groups(("g",), ["one class", "nobody", "both"], np.array([0, 0, 2, 2]))
    y = np.array([1.0, 1.0, 0.0, 1.0])
    found = measures.area(groups, Ranked.of(np.arange(4)), y, 1 - y)
    assert np.isnan(found.values[:2]).all()
    assert found.values[2] == 1.0
    nobody = Groups(("g",), ["nobody"], np.full(4, -1))
    assert np.isnan(measures.area(nobody, Ranked.of(np.arange(4)), y, 1 - y).values).all()


def test_honest_scores_fall_short_of_nothing() -> None:
    """Over many draws: no bias, and an error as large as the spread."""
    groups = groups_of(np.arange(2000) % 4)
    far = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        scores = 1 / (1 + np.exp(1 - rng.normal(size=2000) * (1 + np.arange(2000) % 4)))
        y = (rng.random(2000) < scores).astype(float)
        found = measures.shortfall(groups, Ranked.of(scores), y, scores)
        errors = np.sqrt(np.bincount(groups.codes, weights=found.parts**2))
        far.append(found.values / errors)
    assert np.abs(np.mean(far, axis=0)).max() < 0.35
    assert np.std(far, axis=0) == pytest.approx(1.0, abs=0.25)


def test_scores_that_promise_too_much_fall_short() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(4000)
    groups = groups_of(np.arange(4000) % 2)
    honest = np.where(groups.codes == 1, 0.5, scores)  # in the second group they are a guess
    y = (rng.random(4000) < honest).astype(float)
    found = measures.shortfall(groups, Ranked.of(scores), y, scores)
    assert abs(found.values[0]) < 0.04
    assert found.values[1] < -0.25


def test_difference_is_paired() -> None:
    groups = groups_of(np.zeros(50, dtype=int))
    found = measures.mean(groups, np.arange(50.0))
    same = found.minus(found)
    assert same.values.tolist() == [0.0]
    assert not same.parts.any()
