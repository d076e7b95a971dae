"""Cutting columns into groups with names in plain words."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.gates.groups import COARSE, MOST_LEVELS, Groups, cut, paired


def members(groups: Groups) -> dict[str, int]:
    return {
        name: int((groups.codes == place).sum())
        for place, name in enumerate(groups.names)
        if (groups.codes == place).any()
    }


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a", "b", "a", None], {"x = 'a'": 2, "x = 'b'": 1, "x is missing": 1}),
        ([1, 2, 2], {"x = 2": 2, "x = 1": 1}),
        ([0.5, np.nan, 0.5], {"x = 0.5": 2, "x is missing": 1}),
        ([True, False, True], {"x = True": 2, "x = False": 1}),
        ([None, None], {"x is missing": 2}),
        (pd.Series(["a", "b"], dtype="category"), {"x = 'a'": 1, "x = 'b'": 1}),
        (pd.Series([1, None, 1], dtype="Int64"), {"x = 1": 2, "x is missing": 1}),
    ],
)
def test_levels(values: object, expected: dict[str, int]) -> None:
    assert members(cut(pd.DataFrame({"x": values}), "x")) == expected


def test_numbers_are_cut_at_quantiles_with_ends() -> None:
    groups = cut(pd.DataFrame({"age": np.arange(1000.0)}), "age")
    assert list(members(groups).values()) == [50, 150, 200, 200, 200, 150, 50]
    assert groups.names[0].startswith("age < ")
    assert groups.names[-2].startswith("age >= ")
    coarse = cut(pd.DataFrame({"age": np.arange(1000.0)}), "age", shares=COARSE)
    assert list(members(coarse).values()) == [200] * 5


def test_rare_levels_are_in_no_group() -> None:
    values = [f"town {place}" for place in range(100)] + ["big"] * 50
    groups = cut(pd.DataFrame({"town": values}), "town")
    assert len(groups.names) == MOST_LEVELS + 1
    assert members(groups)["town = 'big'"] == 50
    assert (groups.codes == -1).sum() == 100 - (MOST_LEVELS - 1)


def test_pairs_hold_the_rows_that_both_hold() -> None:
    frame = pd.DataFrame({"a": ["x", "x", "y", None], "b": [1, 2, 1, 1]})
    groups = paired(cut(frame, "a"), cut(frame, "b"))
    assert groups.columns == ("a", "b")
    found = members(groups)
    assert found["a = 'x' and b = 2"] == 1
    assert found["a is missing and b = 1"] == 1
    rare = Groups(("c",), ["c = 1"], np.array([0, -1, -1, 0]))
    assert sum(members(paired(cut(frame, "a"), rare)).values()) == 2


@given(
    st.lists(
        st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False, width=32)),
        min_size=1,
        max_size=60,
    )
)
@settings(max_examples=60, deadline=None)
def test_every_number_is_in_one_group(values: list[float | None]) -> None:
    groups = cut(pd.DataFrame({"x": pd.Series(values, dtype=float)}), "x")
    missing = [value is None for value in values]
    assert groups.codes.min() >= 0
    assert groups.codes.max() < len(groups.names)
    assert ((groups.codes == len(groups.names) - 1) == missing).all()
