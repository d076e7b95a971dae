"""Which models may answer the rows of many requests in one call: it is tried, never assumed."""

import itertools

import numpy as np
import pandas as pd
import pytest

from lifecycle.errors import DataError
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.models.separable import by_table, separable
from lifecycle.records import Column, ModelSpec

SPEC = ModelSpec(1, "regression", (Column("x", "double"), Column("plan", "string")))
ROWS = {"x": np.array([3.0, 1.0, 2.5, np.nan]), "plan": np.array(["a", "b", None, "a"], object)}


def tried(answer, rows=ROWS, spec=SPEC):
    return separable(LoadedModel(spec, "pyfunc", answer), rows)


def frame(columns):
    return pd.DataFrame(dict(columns))


ALONE = {
    "an array": lambda columns: Output(columns["x"] * 2),
    "texts": lambda columns: Output(columns["plan"]),
    "scores": lambda columns: Output(columns["plan"], np.stack([columns["x"]] * 2, axis=1)),
    "a frame": lambda columns: Output(columns["x"], raw=frame(columns)[["plan", "x"]]),
    "a series": lambda columns: Output(columns["x"], raw=frame(columns)["x"] > 2),
    "a list": lambda columns: Output(columns["x"], raw=columns["plan"].tolist()),
    "records": lambda columns: Output(
        columns["x"], raw=[{"x": [value, "y"]} for value in columns["x"].tolist()]
    ),
    "last digits": lambda columns: Output(columns["x"] * (1 + 1e-12 * len(columns["x"]))),
}


@pytest.mark.parametrize("name", ALONE)
def test_rows_that_are_answered_alone_may_come_together(name):
    assert tried(ALONE[name])
    assert tried(ALONE[name], {key: values[:1] for key, values in ROWS.items()})


def fails_on_many(columns):
    if len(columns["x"]) > 1:
        raise ValueError("one row, please")
    return Output(columns["x"])


calls = itertools.count()
TOGETHER = {
    "the mean": lambda columns: Output(columns["x"] - np.nanmean(columns["x"])),
    "ranks": lambda columns: Output(columns["x"].argsort()),
    "the number of rows": lambda columns: Output(np.full(len(columns["x"]), len(columns["x"]))),
    "one answer for all": lambda columns: Output(columns["x"][:1]),
    "a dict": lambda columns: Output(columns["x"], raw={"x": columns["x"].tolist()}),
    "the index": lambda columns: Output(columns["x"], raw=frame(columns).index.to_numpy()),
    "the number of calls": lambda columns: Output(columns["x"] * 0 + next(calls)),
    "another type for many": lambda columns: Output(
        columns["x"].astype(np.float32 if len(columns["x"]) > 1 else np.float64)
    ),
    "another column for many": lambda columns: Output(
        columns["x"], raw=frame(columns).set_axis([f"n{len(columns['x'])}", "plan"], axis=1)
    ),
    "another type of column for many": lambda columns: Output(
        columns["x"], raw=frame(columns).fillna({"x": 0}).assign(plan=len(columns["x"]) > 1 or 0)
    ),
    "a list or an array": lambda columns: Output(
        columns["x"], raw=[1.0] * 4 if len(columns["x"]) > 1 else np.array([1.0])
    ),
    "an error for many": fails_on_many,
}


@pytest.mark.parametrize("name", TOGETHER)
def test_a_model_that_looks_at_its_neighbours_keeps_its_requests_alone(name):
    assert not tried(TOGETHER[name])


def test_an_example_of_one_row_is_filled_up_with_rows_that_differ():
    seen = []

    def note(columns):
        seen.append({name: values.tolist() for name, values in columns.items()})
        return Output(np.zeros(len(columns["number"])))

    rows = {
        "number": np.array([2.0]),
        "small": np.array([1], dtype=np.int32),
        "least": np.array([-(2**63)]),
        "flag": np.array([True]),
        "when": np.array(["2026-01-31"], dtype="datetime64[us]"),
        "plan": np.array(["a"], dtype=object),
    }
    assert tried(note, rows, ModelSpec(1, "regression", ()))
    assert seen[0]["number"] == [2.0, 3.0, 4.0]
    assert seen[0]["small"] == [1, 0, -1]
    assert seen[0]["least"] == [-(2**63), -(2**63) + 1, -(2**63) + 2]
    assert seen[0]["flag"] == [True, False, True]
    assert [moment.day for moment in seen[0]["when"]] == [31, 1, 2]
    assert seen[0]["plan"] == ["a", "a", "a"]


def test_the_mean_of_one_row_is_not_taken_for_an_answer_of_its_own():
    assert not tried(TOGETHER["the mean"], {"x": np.array([3.0]), "plan": np.array(["a"], object)})


def test_no_more_than_a_few_rows_are_tried():
    seen = []
    many = {"x": np.arange(1000.0), "plan": np.array(["a"] * 1000, object)}
    assert tried(lambda columns: seen.append(len(columns["x"])) or Output(columns["x"]), many)
    assert seen == [8] + [1] * 8


def test_rows_of_a_table_tell_it_too():
    frame = pd.DataFrame({"x": [3.0, 1.0, 2.5], "plan": ["a", None, "b"], "customer": [1, 2, 3]})
    spec = ModelSpec(
        1, "regression", (Column("x", "double"), Column("plan", "string", required=False))
    )

    def model(answer, **more):
        return LoadedModel(spec, "pyfunc", answer, **more)

    alone = model(ALONE["a frame"], together=False)
    assert by_table(alone, frame)
    assert not by_table(alone, None)
    assert not by_table(model(TOGETHER["the mean"], together=False), frame)
    assert by_table(model(TOGETHER["the mean"]), frame)  # as its flavour says
    with pytest.raises(DataError, match="'x' is missing"):
        by_table(alone, frame.drop(columns="x"))
