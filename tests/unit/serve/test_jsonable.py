import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.serve.jsonable import jsonable, scalars
from lifecycle.serve.protocols.mlflow import success


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (np.array([1, 2]), [1, 2]),
        (np.array([True]), [True]),
        (np.array([[0.5, 0.25]]), [[0.5, 0.25]]),
        (np.array(["a", None], dtype=object), ["a", None]),
        (pd.DataFrame({"a": [1], "b": ["x"]}), [{"a": 1, "b": "x"}]),
        (pd.Series([1.5], name="y"), [{"y": 1.5}]),
        ([{"a": np.int64(1)}], [{"a": 1}]),
        (pd.DataFrame({"t": [pd.Timestamp("2026-01-01")]}), [{"t": "2026-01-01T00:00:00"}]),
        ({"a": np.array([1])}, {"a": [1]}),
    ],
)
def test_answers_are_what_mlflow_makes_of_them(answer, expected):
    assert jsonable(answer) == expected


cells = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=5)


nests = st.recursive(
    cells | cells.map(lambda cell: np.array([cell], dtype=object)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.integers() | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(answer=nests)
@settings(max_examples=150, deadline=None)
def test_any_answer_can_be_sent_and_read_again(answer):
    body = success(jsonable(answer))
    found = json.loads(body, parse_constant=pytest.fail)
    assert found.keys() == {"predictions"}


@pytest.mark.parametrize(
    ("prediction", "logged"),
    [
        (np.array([1, 2]), [1, 2]),
        (np.array(["a", None], dtype=object), ["a", None]),
        (np.array([{"a": np.int64(1)}, [0.5]], dtype=object), ['{"a": 1}', "[0.5]"]),
        (np.array([[1, 2], [3, 4]]), ["[1, 2]", "[3, 4]"]),
        (np.array([True, None], dtype=object), ["true", None]),
    ],
)
def test_the_log_holds_scalars_or_their_text(prediction, logged):
    assert scalars(prediction).tolist() == logged


@given(numbers=st.lists(st.floats() | st.integers(-5, 5) | st.none(), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_part_of_an_answer_is_the_answer_of_the_part(numbers):
    array = np.empty(len(numbers), dtype=object)
    array[:] = numbers
    assert success(jsonable(array)[:2]) == success(jsonable(array[:2]))
