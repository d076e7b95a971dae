"""Params are checked as MLflow checks them; what it ignores is refused."""

import datetime
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.models.utils import _enforce_params_schema
from mlflow.types import DataType, ParamSchema, ParamSpec

from lifecycle.errors import DataError, ModelRefused
from lifecycle.models.parameters import Parameters, refuse

SCHEMA = ParamSchema(
    [
        ParamSpec("top", DataType.long, 3),
        ParamSpec("small", DataType.integer, 1),
        ParamSpec("share", DataType.double, 0.5),
        ParamSpec("rough", DataType.float, 0.25),
        ParamSpec("label", DataType.string, "a"),
        ParamSpec("exact", DataType.boolean, False),
        ParamSpec("since", DataType.datetime, datetime.datetime(2026, 1, 1)),  # noqa: DTZ001
        ParamSpec("stops", DataType.string, ["x"], (-1,)),
        ParamSpec("none", DataType.string, None),
    ]
)
PARAMS = Parameters(SCHEMA.to_json())


def mlflows(given):
    return _enforce_params_schema(given, SCHEMA)


def test_what_is_not_sent_is_the_default():
    assert PARAMS.checked({}) == PARAMS.defaults == mlflows({})
    assert PARAMS.checked({"top": 9}) == {**PARAMS.defaults, "top": 9}


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["2026-01-31", "2026-01-31T12:00:00", "soon"]),
    st.lists(st.text(max_size=2), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([spec.name for spec in SCHEMA]), VALUES, max_size=3))
def test_every_value_is_taken_or_refused_as_by_mlflow(sent):
    try:
        expected = mlflows(dict(sent))
    except MlflowException:
        with pytest.raises(DataError, match="the param"):
            PARAMS.checked(sent)
        return
    found = PARAMS.checked(sent)
    assert repr(found) == repr({name: expected[name] for name in found})
    assert found.keys() == expected.keys()


def test_an_unknown_param_is_named_with_the_nearest():
    with pytest.raises(DataError, match="'lable' is not known; did you mean 'label'"):
        PARAMS.checked({"lable": 1})


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"top": "many"}, "the param 'top' is 'many', not of type long"),
        ({"stops": "x"}, "the param 'stops' is 'x', not of type string, in a list"),
        ({"label": "x" * 3 + "\n", "top": None, "exact": 1}, "'exact' is 1, not of type boolean"),
        ({"top": ["y" * 500]}, "'top' is \\['y{58}, not"),
    ],
)
def test_a_value_of_another_type_is_shown_in_short(sent, said):
    with pytest.raises(DataError, match=said):
        PARAMS.checked(sent)


def test_an_object_is_a_param_too():
    schema = [
        {
            "name": "rules",
            "type": "object",
            "properties": {"low": {"type": "double", "required": True}},
            "default": {"low": 0.5},
            "shape": None,
        }
    ]
    params = Parameters(json.dumps(schema))
    assert params.checked({"rules": {"low": 0.75}}) == {"rules": {"low": 0.75}}
    with pytest.raises(DataError, match="not of type object"):
        params.checked({"rules": {"high": 1}})


@pytest.mark.parametrize("text", ["7", "{", '[{"name": "x"}]', '[{"name": 1, "type": "odd"}]'])
def test_a_damaged_schema_is_the_models_fault(text):
    with pytest.raises(ModelRefused, match="schema of the params"):
        Parameters(text)


def test_a_model_without_params_takes_none():
    refuse({})
    with pytest.raises(DataError, match="takes no params, and these came: a, b"):
        refuse({"a": 1, "b": 2})
