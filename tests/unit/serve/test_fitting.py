"""Which versions can answer the champion's requests, and from which columns."""

from dataclasses import replace

import numpy as np
import pytest

from lifecycle.errors import ModelRefused
from lifecycle.models.parameters import Parameters
from lifecycle.models.predicting import Lacking, LoadedModel, Output
from lifecycle.records import Column, ModelSpec, ModelVersion
from lifecycle.serve.fitting import fitted
from lifecycle.serve.rows import Rows
from lifecycle.serve.slots import slot


def version(number, *columns, **spec):
    loaded = LoadedModel(
        ModelSpec(1, spec.pop("task", "regression"), columns, **spec),
        "sklearn",
        lambda given: Output(given["x"]),
        ModelVersion("m", number),
    )
    return slot("m", loaded)


X, Y = Column("x", "double"), Column("y", "string")


def test_versions_of_one_signature_need_no_turning():
    assert fitted(version(1, X, Y), version(2, X, Y)) is None
    assert fitted(version(1), version(2)) is None


def test_one_that_may_have_nulls_takes_what_never_has_them():
    assert fitted(version(1, X, Y), version(2, X, replace(Y, required=False))) is None


@pytest.mark.parametrize(
    ("given", "wanted", "dtype"),
    [
        ("integer", "long", np.int64),
        ("integer", "double", np.float64),
        ("long", "double", np.float64),
        ("float", "double", np.float64),
    ],
)
def test_a_wider_type_takes_a_narrower_one(given, wanted, dtype):
    turn = fitted(version(1, Column("x", given)), version(2, Column("x", wanted)))
    narrow = np.array([1, 2], dtype=np.float32 if given == "float" else np.int32)
    rows = turn(Rows({"x": narrow}, 2, key=["a", "b"]))
    assert rows.columns["x"].dtype == dtype
    assert rows.columns["x"].tolist() == [1, 2]
    assert (rows.count, rows.key) == (2, ["a", "b"])


@pytest.mark.parametrize(
    ("champion", "other", "why"),
    [
        ((X,), (X, Y), "it needs column 'y', which the champion's requests do not have"),
        ((X, replace(Y, required=False)), (X, Y), "which the champion's requests may leave out"),
        ((X,), (Column("x", "long"),), "column 'x' is long, and the champion's is double"),
        ((Column("x", "long"),), (Column("x", "integer"),), "column 'x' is integer"),
        ((X,), (Column("x", "string"),), "column 'x' is string"),
    ],
)
def test_what_the_champions_requests_lack_is_named(champion, other, why):
    with pytest.raises(ModelRefused) as caught:
        fitted(version(1, *champion), version(2, *other))
    assert why in str(caught.value)
    assert caught.value.where == "m/2"


def test_columns_are_picked_in_the_others_order_and_gaps_are_null():
    wide = version(2, Column("z", "long", required=False), replace(Y, required=False), X)
    turn = fitted(version(1, X, replace(Y, required=False), Column("w", "double")), wide)
    columns = {"x": np.array([1.5]), "y": np.array(["a"], dtype=object), "w": np.array([9.0])}
    rows = turn(Rows(columns, 1))
    assert list(rows.columns) == ["z", "y", "x"]
    assert np.isnan(rows.columns["z"][0])
    assert rows.columns.absent == {"z"}
    assert "w" not in rows.columns
    rows = turn(Rows(Lacking({**columns, "y": np.array([None], dtype=object)}, {"y"}), 1))
    assert rows.columns.absent == {"z", "y"}, "what was not sent is not sent on"


def test_another_task_or_other_classes_are_refused():
    with pytest.raises(ModelRefused, match="its task is binary, the champion's is regression"):
        fitted(version(1, X), version(2, X, task="binary", classes=(0, 1)))
    with pytest.raises(ModelRefused, match="its classes are not the champion's"):
        fitted(
            version(1, X, task="multiclass", classes=("a", "b", "c")),
            version(2, X, task="multiclass", classes=("a", "c", "b")),
        )


def test_inputs_that_are_no_columns_are_not_mixed_with_columns():
    other = version(2, X)
    other = replace(other, loaded=replace(other.loaded, forms=object()))
    with pytest.raises(ModelRefused, match="another kind of input"):
        fitted(version(1, X), other)


TOP = '[{"name": "top", "type": "long", "default": 3, "shape": null}]'
MORE = '[{"name": "top", "type": "long", "default": 5, "shape": null}, {"name": "low", "type": "long", "default": 1, "shape": null}]'  # noqa: E501


def with_params(one, schema):
    return replace(one, loaded=replace(one.loaded, parameters=Parameters(schema)))


def test_params_of_the_champion_must_be_the_others_too():
    champion = with_params(version(1, X), TOP)
    with pytest.raises(ModelRefused, match="it does not take the param 'top'"):
        fitted(champion, version(2, X))
    assert fitted(champion, with_params(version(2, X), TOP)) is None
    turn = fitted(champion, with_params(version(2, X), MORE))
    assert turn(Rows({"x": np.zeros(1)}, 1, params={"top": 7})).params == {"top": 7, "low": 1}
    assert turn(Rows({"x": np.zeros(1)}, 1)).params is None
    assert fitted(version(1, X), champion) is None, "nobody sends any"
