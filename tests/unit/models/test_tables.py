"""Every bad training table is one clear error, before anything is trained."""

import numpy as np
import pandas as pd
import pytest

from lifecycle.errors import DataError
from lifecycle.models.tables import check_training, joined

GOOD = {
    "age": [31, 42, 53, 64],
    "plan": ["pro", None, "basic", "pro"],
    "paid": [True, False, True, True],
    "since": pd.date_range("2026-01-01", periods=4),
    "ts": ["2026-01-04", "2026-01-03", "2026-01-02", "2026-01-01"],
    "id": ["a", "b", "a", "c"],
    "w": [1.0, 2.0, 0.0, 1.0],
    "late": [0, 1, 0, 1],
}
ROLES = {"target": "late", "time": "ts", "key": "id", "weight": "w"}


def frame(**changes):
    return pd.DataFrame({**GOOD, **changes})


def test_features_are_typed_and_roles_are_none_of_them():
    table = check_training(frame(), **ROLES)
    assert [(item.name, item.dtype, item.required) for item in table.features] == [
        ("age", "double", True),
        ("plan", "string", False),
        ("paid", "boolean", True),
        ("since", "datetime", True),
    ]
    assert table.frame["id"].tolist() == ["c", "a", "b", "a"], "rows in order of time"
    assert table.y.tolist() == [1, 0, 1, 0]
    assert table.weights.tolist() == [1.0, 0.0, 2.0, 1.0]
    assert table.frame["ts"].dtype == np.dtype("datetime64[us]")


@pytest.mark.parametrize(
    ("changes", "roles", "message"),
    [
        ({}, {"target": "latee"}, "the target column 'latee' is missing; did you mean 'late'"),
        ({}, {"target": ""}, "no target column is named.*set `target`"),
        ({}, {"time": "gone"}, "the time column 'gone' is missing"),
        ({}, {"key": "ts"}, "one column has two roles"),
        ({"late": [1, 1, 1, 1]}, {}, "the target 'late' is always 1"),
        ({"late": [0, None, 1, None]}, {}, "'late' is null in 2 of 4 rows, first in row 1"),
        ({"late": [0, "yes", 1, "no"]}, {}, "kind mixed-integer \\(int, str\\)"),
        ({"late": [0.5, np.inf, 1, 2]}, {}, "infinite in row 1"),
        ({"age": [31, "x", 53, 64]}, {}, "'age' holds more than one type: int .31 in row 0., str"),
        ({"age": [[1], [2], [3], [4]]}, {}, "type list, which no model takes"),
        ({"age": [31, np.inf, 53, 64]}, {}, "column 'age' holds inf"),
        ({"ts": ["2026-01-04", "soon", "2026-01-02", "2026-01-01"]}, {}, "'soon' in row 1"),
        ({"ts": ["2026-01-04", None, "2026-01-02", "2026-01-01"]}, {}, "'ts' is null in row 1"),
        ({"id": ["a", None, "b", "c"]}, {}, "the key column 'id' is null in row 1"),
        ({"w": [1.0, -1.0, 1.0, 1.0]}, {}, "'w' are negative"),
        ({"w": [0.0, 0.0, 0.0, 0.0]}, {}, "all zero"),
    ],
)
def test_bad_tables_name_column_row_and_next_step(changes, roles, message):
    with pytest.raises(DataError, match=message) as caught:
        check_training(frame(**changes), **{**ROLES, **roles}, where="train.csv")
    assert "train.csv" in caught.value.where
    assert caught.value.fix


def test_an_all_null_column_is_left_out_with_a_note():
    table = check_training(frame(age=[None] * 4), **ROLES)
    assert "age" not in table.names
    assert table.notes == ("column 'age' is all null: left out",)
    with pytest.raises(DataError, match="no feature column"):
        check_training(pd.DataFrame({"x": [None, None], "y": [0, 1]}), target="y")


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        ([0, 1, 0, 1], "binary", (0, 1)),
        ([True, False, True, False], "binary", (False, True)),
        (["no", "yes", "no", "no"], "binary", ("no", "yes")),
        (pd.Categorical(["no", "yes", "no", "no"]), "binary", ("no", "yes")),
        ([0.0, 1.0, 1.0, 0.0], "binary", (0.0, 1.0)),
        ([0, 1, 2, 1], "multiclass", (0, 1, 2)),
        ([0.5, 1.0, 2.0, 1.5], "regression", ()),
    ],
)
def test_the_task_is_seen_from_the_target(values, task, classes):
    table = check_training(frame(late=values), **ROLES)
    assert (table.task, table.classes) == (task, classes)
    assert [type(item) for item in table.classes] == [type(item) for item in classes]


def test_many_whole_numbers_are_amounts():
    many = pd.DataFrame({"x": range(40), "y": range(40)})
    assert check_training(many, target="y").task == "regression"
    assert check_training(many.assign(y=many.x % 3), target="y", task="regression").classes == ()


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        (["a", "b", "a", "b"], "regression", "needs a target of numbers"),
        ([0, 1, 2, 1], "binary", "has two values, this one has 3"),
        (["a", "b", "c", "d"], "", "text with 4 values in 4 rows"),
    ],
)
def test_a_task_that_does_not_fit_is_refused(values, task, message):
    with pytest.raises(DataError, match=message):
        check_training(frame(late=values), **ROLES, task=task)


def test_the_positive_class_can_be_named():
    table = check_training(frame(late=["no", "yes", "no", "yes"]), **ROLES, positive="no")
    assert table.classes == ("yes", "no")
    with pytest.raises(DataError, match="'maybe' is none of the target's two classes: 0, 1"):
        check_training(frame(), **ROLES, positive="maybe")


def test_validation_rows_are_known_after_the_rows_are_put_in_order_of_time():
    whole = joined(frame(), frame(age=[1, 2, 3, 4], extra=0), where="v.csv")
    table = check_training(whole, **ROLES, held=np.arange(8) >= 4)
    assert sorted(table.frame["age"][table.held]) == [1, 2, 3, 4]
    with pytest.raises(DataError, match="columns of the training data are missing: plan"):
        joined(frame(), frame().drop(columns="plan"), where="v.csv")
