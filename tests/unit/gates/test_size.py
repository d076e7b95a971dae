"""Bytes of the files that serve."""

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from lifecycle.config import GatesConfig
from lifecycle.gates import Files, GateInput
from lifecycle.gates.size import size
from lifecycle.models.predicting import LoadedModel
from lifecycle.records import ModelSpec, Outcome

MODEL = LoadedModel(ModelSpec(1, "regression", ()), "sklearn", lambda _columns: None)


def given(sizes: dict[str, int], limit: float = 0.0) -> GateInput:
    return GateInput(MODEL, files=Files(sizes), limits=GatesConfig(size_mb=limit))


@pytest.mark.parametrize(
    ("limit", "outcome"), [(0.0, "pass"), (3.0, "pass"), (2.5, "pass"), (2.4, "fail")]
)
def test_sum_of_all_files_counts(limit: float, outcome: str) -> None:
    result = size(given({"MLmodel": 100_000, "compiled/model.onnx": 2_400_000}, limit))
    assert result.outcome == outcome
    assert result.value == pytest.approx(2.5)
    assert "compiled/model.onnx (2.40 MB)" in result.reason


@settings(max_examples=30, deadline=None)
@drawn(
    st.dictionaries(st.text(min_size=1), st.integers(0, 10**10), min_size=1), st.floats(0.1, 1e4)
)
def test_limit_is_kept_exactly_when_the_sum_is_within(sizes: dict[str, int], limit: float) -> None:
    result = size(given(sizes, limit))
    assert (result.outcome is Outcome.PASS) == (result.value <= limit)


def test_files_that_nobody_looked_at_are_no_obstacle() -> None:
    assert size(GateInput(MODEL)).outcome is Outcome.PASS
    assert size(given({}, 1.0)).outcome is Outcome.PASS
