"""What msgspec says of a body, told to the person who sent it: for every form and every type."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.records import Column, ModelSpec
from lifecycle.serve.decode import Decoder
from lifecycle.serve.explain import explain, missing, unknown

NAMES = ("age", "ag", "plan")
SPEC = ModelSpec(
    1, "binary", (Column("age", "double"), Column("ag", "long"), Column("plan", "string"))
)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Expected `float`, got `str` - at `$[2].age`", "column 'age' of row 2 is text, not a"),
        ("Expected `float`, got `str` - at `$[2][0]`", "column 'age' of row 2 is text, not a"),
        ("Expected `float`, got `str` - at `$.age[2]`", "column 'age' of row 2 is text, not a"),
        ("Expected `float`, got `str` - at `$.age`", "column 'age' is text, not a number"),
        ("Expected `int`, got `bool` - at `$.ag[0]`", "column 'ag' of row 0 is true or false"),
        (
            "Expected `int | float`, got `null` - at `$[0].ag`",
            "'ag' of row 0 is null, not a number",
        ),
        ("Expected `str | null`, got `int` - at `$[1].plan`", "is a whole number, not text"),
        ("Expected `str`, got `array` - at `$[0].plan`", "'plan' of row 0 is a list, not text"),
        ("Expected `str`, got `object` - at `$[0].plan`", "'plan' of row 0 is an object, not text"),
        ("Expected `array`, got `object`", "the body is an object, not a list"),
        ("Expected `object`, got `array` - at `$[3]`", "row 3 is a list, not an object"),
        ("Expected `array` of length 3, got 2 - at `$[1]`", "row 1 does not have one value for ea"),
        ("Object missing required field `ag` - at `$[4]`", "column 'ag' is missing in row 4"),
        ("Object missing required field `ag`", "column 'ag' is missing."),
        ("Object contains unknown field `agee` - at `$[0]`", "'agee' is not known; did you mean"),
        ("Expected `int` >= -2147483648 - at `$[0].ag`", "out of range: a whole number >= -214748"),
        ("Number out of range - at `$[0].age`", "column 'age' of row 0 is a number out of range"),
    ],
)
def test_each_message_has_its_words(message, said):
    error = explain(message, SPEC, NAMES)
    assert said in str(error)
    assert "`" not in str(error)
    assert error.fix


@pytest.mark.parametrize(
    ("message", "step"),
    [
        ("Expected `float`, got `str` - at `$[2].age`", "the signature says double"),
        ("Expected `int`, got `str` - at `$[2].ag`", "the signature says long"),
        ("Expected `float`, got `null` - at `$[2].age`", "has not seen nulls in this column"),
        ("Expected `str`, got `array` - at `$[2].ts`", "the signature says text or a number"),
        ("Expected `array`, got `null`", "send rows with one value for each column"),
    ],
)
def test_the_next_step_fits_the_mistake(message, step):
    assert step in explain(message, SPEC, (*NAMES, "ts")).fix


def test_of_names_that_begin_alike_the_longer_is_meant():
    message = "Expected `float`, got `str` - at `$[2].%s`"
    assert "'age'" in str(explain(message % "age", SPEC, NAMES))
    assert "'ag'" in str(explain(message % "ag", SPEC, NAMES))


def test_a_stranger_cannot_write_the_message():
    name = "x` - at `$[7].age"
    error = explain(f"Object contains unknown field `{name}` - at `$[0]`", SPEC, NAMES)
    assert error.what.startswith(f"column {name!r} is not known")


def test_a_model_of_many_columns_names_a_few():
    wide = ModelSpec(1, "binary", tuple(Column(f"c{index}", "double") for index in range(500)))
    assert len(str(unknown("c" * 5000, wide))) < 400


def test_one_column_without_a_name_in_the_path_is_that_column():
    single = ModelSpec(1, "regression", (Column("x", "double"),))
    error = explain("Expected `float`, got `str` - at `$[5]`", single, ("x",))
    assert "column 'x' of row 5 is text" in str(error)


def test_missing_says_where_it_can():
    assert missing("age").what == "column 'age' is missing"
    assert missing("age", row=0).what == "column 'age' is missing in row 0"


WRONG = {
    "double": ["1", True, [1], {}, None],
    "float": ["1", False, [], None],
    "long": ["1", True, {}, None, 10**19, 2**63],
    "integer": ["1", True, None, 2**31, -(2**31) - 1],
    "boolean": [1, 0.0, "true", [], None],
    "string": [1, 1.5, True, [], {}, None],
    "datetime": [True, [], {}, None],
    "binary": [1, True, [], None],
}


@pytest.mark.parametrize("form", ["records", "split", "instances", "inputs", "column"])
@pytest.mark.parametrize("dtype", WRONG)
def test_every_type_in_every_form_names_column_and_row(dtype, form):
    spec = ModelSpec(1, "regression", (Column("a", "double"), Column("odd one", dtype)))
    good = {"boolean": True, "string": "x", "binary": "eA==", "datetime": "2026-01-01"}
    fine = good.get(dtype, 1)
    for cell in WRONG[dtype]:
        rows = [[1.0, fine], [2.0, cell]]
        body = {
            "records": {"dataframe_records": [{"a": a, "odd one": b} for a, b in rows]},
            "split": {"dataframe_split": {"columns": ["a", "odd one"], "data": rows}},
            "instances": {"instances": rows},
            "inputs": {"inputs": {"a": [1.0, 2.0], "odd one": [fine, cell]}},
            "column": {"inputs": [{"a": a, "odd one": b} for a, b in rows]},
        }[form]
        with pytest.raises(DataError) as caught:
            Decoder(spec).json(json.dumps(body).encode())
        assert "column 'odd one' of row 1" in str(caught.value), (cell, str(caught.value))
        assert "`" not in str(caught.value)
        assert caught.value.fix


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2)
)


@given(value=values)
@settings(max_examples=100, deadline=None)
def test_no_message_of_msgspec_reaches_a_user_as_it_is(value):
    decoder = msgspec.json.Decoder(list[tuple[float, int, str]])
    try:
        decoder.decode(msgspec.json.encode(value))
    except msgspec.ValidationError as problem:
        error = explain(str(problem), SPEC, NAMES)
        assert "$" not in error.what
        assert "Expected" not in error.what
        assert error.what[-1] != " "
