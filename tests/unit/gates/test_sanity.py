"""Answers that can be answers."""

import numpy as np
import pandas as pd
import pytest

from lifecycle.gates import GateInput
from lifecycle.gates.sanity import problems, sanity
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import ModelSpec, Outcome

BINARY = ModelSpec(1, "binary", (), target="y", classes=("no", "yes"))
REGRESSION = ModelSpec(1, "regression", (), target="y")
LABELS = np.array(["no", "yes", "no"], dtype=object)
SCORES = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (Output(LABELS[:2], SCORES), "answers of shape (2,)"),
        (Output(LABELS, SCORES[:2]), "scores have shape (2, 2)"),
        (Output(LABELS, SCORES[:, :1]), "scores have shape (3, 1)"),
        (Output(LABELS, np.where(SCORES > 0.8, np.nan, SCORES)), "1 rows have missing"),
        (Output(LABELS, np.where(SCORES > 0.8, np.inf, SCORES)), "1 rows have missing"),
        (Output(LABELS, SCORES * [[1.0, 1.0], [1.0, 1.5], [1.0, 1.0]]), "outside 0 … 1"),
        (Output(LABELS, SCORES * 0.9), "sum to 0.9"),
        (Output(LABELS, np.tile([0.7, 0.3], (3, 1))), "the same scores"),
        (Output(np.array(["no", "yes", "what"]), SCORES), "'what', which is none"),
        (Output(np.array(["no"] * 3), None), "same answer, no"),
    ],
)
def test_what_is_wrong_is_named(output: Output, said: str) -> None:
    found = problems(output, BINARY, 3)
    assert any(said in line for line in found), found


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, np.nan, 2.0], "1 answers are missing or infinite"),
        ([1.0, np.inf, np.inf], "2 answers are missing or infinite"),
        ([2.0, 2.0, 2.0], "same answer, 2.0"),
        (["a", "b", "c"], "not numbers"),
    ],
)
def test_regression_answers(values: list, said: str) -> None:
    assert any(said in line for line in problems(Output(np.array(values)), REGRESSION, 3))


@pytest.mark.parametrize(
    "output",
    [
        Output(LABELS, SCORES),
        Output(LABELS, None),
        Output(LABELS, SCORES.astype(np.float32)),
        Output(np.array(["no"] * 3), SCORES),  # a rare class: the scores still differ
    ],
)
def test_good_answers_have_no_problem(output: Output) -> None:
    assert problems(output, BINARY, 3) == []


def test_one_label_for_all_rows_is_remarked() -> None:
    output = Output(np.array(["no"] * 3), SCORES)
    model = LoadedModel(BINARY, "sklearn", lambda _columns: output)
    result = sanity(GateInput(model, pd.DataFrame({"y": LABELS}), output))
    assert result.outcome is Outcome.PASS
    assert "every row gets the label 'no'" in result.reason


def test_one_row_is_never_all_alike() -> None:
    assert problems(Output(LABELS[:1], SCORES[:1]), BINARY, 1) == []


def test_labels_are_met_across_types() -> None:
    spec = ModelSpec(1, "binary", (), target="y", classes=(0, 1))
    assert problems(Output(np.array([0.0, 1.0])), spec, 2) == []
    assert problems(Output(np.array([False, True])), spec, 2) == []
