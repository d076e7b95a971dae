"""Generated requests, answered by MLflow's own scoring application and by ours: the same JSON.

The model tells what it was given: the type and value of every cell. So a difference in what
reaches a model is seen here even where few models would mind.
"""

import datetime
import io
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map, Object, Property

JSON = "application/json"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


def columns(**kinds):
    """A signature of plain columns; a name that ends in _maybe is optional."""
    specs = [ColSpec(kind, name, not name.endswith("_maybe")) for name, kind in kinds.items()]
    return ModelSignature(Schema(specs))


PLAIN = {
    "doubles": columns(x="double", y="double"),
    "floats": columns(x="float", y_maybe="float"),
    "whole": columns(i="integer", n="long"),
    "mixed": columns(x="double", n="long", s="string", b="boolean", y_maybe="double"),
    "texts": columns(s="string", t="string"),
    "times": columns(at="datetime", x="double"),
    "booleans": columns(b="boolean", c="boolean"),
    "one": columns(x="double"),
    "all": columns(
        d="double", f="float", n="long", i="integer", b="boolean", s="string", t="datetime"
    ),
}
TENSORS = {
    "tensor": ModelSignature(Schema([TensorSpec(np.dtype("float64"), (-1, 3))])),
    "small tensor": ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 2, 2))])),
    "whole tensor": ModelSignature(Schema([TensorSpec(np.dtype("int64"), (-1,))])),
    "named tensors": ModelSignature(
        Schema(
            [
                TensorSpec(np.dtype("float32"), (-1, 2), "x"),
                TensorSpec(np.dtype("int64"), (-1,), "n"),
            ]
        )
    ),
}
NESTED = {
    "lists": columns(v=Array("double"), s="string"),
    "objects": columns(o=Object([Property("a", "long"), Property("b", "string", False)])),
    "maps": columns(m=Map("double"), x="double"),
    "anything": columns(z=AnyType(), s="string"),
}
UNNAMED = {"unnamed": ModelSignature(Schema([ColSpec("double"), ColSpec("double")]))}
SIGNATURES = {**PLAIN, **TENSORS, **NESTED, **UNNAMED, "none": None}
CELLS = {
    "double": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
    "float": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "long": st.integers(-(2**63), 2**63 - 1),
    "integer": st.integers(-(2**31), 2**31 - 1),
    "boolean": st.booleans(),
    # numpy drops a text's last NUL on MLflow's way
    "string": st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
    ),
    "datetime": st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)).map(  # noqa: DTZ001
        lambda moment: moment.isoformat(timespec="microseconds")
    ),
}


@pytest.fixture
def ask(side_by_side):
    """`ask(name, kind, body)` -> MLflow's answer and ours, each a status and JSON."""
    return lambda name, kind, body: side_by_side(SIGNATURES[name])(kind, body)


def body_of(form, rows):
    """Rows (dicts) in one of the four JSON forms."""
    if form == "dataframe_split":
        cells = [[row[name] for name in rows[0]] for row in rows]
        data = {"columns": list(rows[0]), "data": cells}
    elif form == "inputs":
        data = {name: [row[name] for row in rows] for name in rows[0]}
    else:
        data = rows
    return json.dumps({form: data}).encode()


def rows_of(signature):
    cells = {column.name: CELLS[column.type.name] for column in signature.inputs}
    return st.lists(st.fixed_dictionaries(cells), min_size=1, max_size=3)


QUICK = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", PLAIN)
def test_json_reaches_the_model_as_in_mlflow(ask, name, form):
    @QUICK
    @given(rows_of(PLAIN[name]))
    def same(rows):
        theirs, ours = ask(name, JSON, body_of(form, rows))
        assert theirs[0] == 200, theirs
        assert ours == theirs

    same()


# values of one request by signature; MLflow takes each in the forms that are named
NUMBER = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000)
SMALL = st.integers(-1000, 1000)
TEXT = CELLS["string"]


def nested(value, *lengths):
    """Lists of lists of `value`, of these lengths; the first varies."""
    for length in reversed(lengths):
        value = st.lists(value, min_size=length, max_size=length)
    return st.lists(value, min_size=1, max_size=3)


SHAPES = {
    "tensor": nested(NUMBER, 3),
    "small tensor": nested(NUMBER, 2, 2),
    "whole tensor": nested(SMALL),
    "unnamed": nested(SMALL, 2),
    "none": nested(NUMBER, 2),
}


@pytest.mark.parametrize("form", ["instances", "inputs"])
@pytest.mark.parametrize("name", SHAPES)
def test_arrays_reach_the_model_as_in_mlflow(ask, name, form):
    @QUICK
    @given(SHAPES[name])
    def same(value):
        theirs, ours = ask(name, JSON, json.dumps({form: value}).encode())
        assert theirs[0] == 200, theirs
        assert ours == theirs

    same()


RECORDS = {
    "named tensors": {"x": st.lists(NUMBER, min_size=2, max_size=2), "n": SMALL},
    "lists": {"v": st.lists(st.floats(0, 1), min_size=1, max_size=3), "s": TEXT},
    "objects": {"o": st.fixed_dictionaries({"a": SMALL}, optional={"b": TEXT})},
    "maps": {"m": st.dictionaries(TEXT, st.floats(0, 1), min_size=1, max_size=2), "x": NUMBER},
    "anything": {"z": st.none() | SMALL | TEXT | st.lists(SMALL, max_size=2), "s": TEXT},
    "none": {"a": NUMBER, "b": TEXT, "c": st.booleans(), "d": st.none() | SMALL},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", RECORDS)
def test_cells_of_any_type_reach_the_model_as_in_mlflow(ask, name, form):
    @QUICK
    @given(st.lists(st.fixed_dictionaries(RECORDS[name]), min_size=1, max_size=3))
    def same(rows):
        theirs, ours = ask(name, JSON, body_of(form, rows))
        assert ours[0] == 200 if theirs[0] == 200 else 400 <= ours[0] < 500, (theirs, ours)
        if theirs[0] == 200:
            assert ours == theirs

    same()


def table(kind, rows):
    """Rows as a CSV or Parquet body."""
    frame = pd.DataFrame(rows)
    if kind == CSV:
        return frame.to_csv(index=False).encode()
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


WORD = st.text(st.characters(categories=["L"]), min_size=1, max_size=6).filter(
    lambda text: text.lower() not in {"nan", "na", "null", "none", "true", "false", "inf"}
)
QUARTERS = st.integers(-(2**20), 2**20).map(lambda number: number / 4)  # pandas rounds others
TABLES = {
    "doubles": {"x": QUARTERS, "y": QUARTERS},
    "mixed": {
        "x": QUARTERS,
        "n": CELLS["long"],
        "s": WORD,
        "b": st.booleans(),
        "y_maybe": QUARTERS,
    },
    "booleans": {"b": st.booleans(), "c": st.booleans()},
    "none": {"a": QUARTERS, "b": WORD},
    "unnamed": {"a": QUARTERS, "b": QUARTERS},
}


@pytest.mark.parametrize("kind", [CSV, PARQUET])
@pytest.mark.parametrize("name", TABLES)
def test_tables_reach_the_model_as_in_mlflow(ask, name, kind):
    @QUICK
    @given(st.lists(st.fixed_dictionaries(TABLES[name]), min_size=1, max_size=3))
    def same(rows):
        theirs, ours = ask(name, kind, table(kind, rows))
        assert theirs[0] == 200 == ours[0], (theirs, ours)
        assert ours == theirs

    same()


@pytest.mark.parametrize("name", ["times", "all", "floats", "whole"])
def test_a_parquet_table_of_each_type(ask, name):
    @QUICK
    @given(rows_of(SIGNATURES[name]))
    def same(rows):
        frame = pd.DataFrame(rows)
        for column in SIGNATURES[name].inputs:
            frame[column.name] = (
                pd.to_datetime(frame[column.name])
                if column.type.name == "datetime"
                else frame[column.name].astype(column.type.to_pandas())
            )
        buffer = io.BytesIO()
        frame.to_parquet(buffer)
        theirs, ours = ask(name, PARQUET, buffer.getvalue())
        assert theirs[0] == 200, theirs
        assert ours == theirs

    same()


OPTIONAL = columns(
    x="double", d_maybe="double", s_maybe="string", n_maybe="long", b_maybe="boolean"
)
SIGNATURES["optional"] = OPTIONAL
SENT = {"x": st.floats(0, 1), "d_maybe": st.none() | st.floats(0, 1)}
ALSO = {"s_maybe": st.none() | TEXT, "n_maybe": SMALL, "b_maybe": st.booleans()}


@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records"])
def test_what_may_be_null_or_left_out_reaches_the_model_as_in_mlflow(ask, form):
    @QUICK
    @given(st.data())
    def same(data):
        kinds = {**SENT, **data.draw(st.sampled_from([{}, ALSO, {"s_maybe": ALSO["s_maybe"]}]))}
        rows = data.draw(st.lists(st.fixed_dictionaries(kinds), min_size=1, max_size=3))
        theirs, ours = ask("optional", JSON, body_of(form, rows))
        assert theirs[0] == 200, theirs
        assert ours == theirs

    same()


SIGNATURES["params"] = ModelSignature(
    Schema([ColSpec("double", "x")]),
    params=ParamSchema([ParamSpec("top", "long", 3), ParamSpec("names", "string", ["a"], (-1,))]),
)


@QUICK
@given(
    st.fixed_dictionaries(
        {}, optional={"top": SMALL | st.floats(0, 1) | TEXT, "names": st.lists(TEXT, max_size=2)}
    )
)
def test_params_reach_the_model_as_in_mlflow(ask, params):
    body = json.dumps({"inputs": {"x": [1.5]}, "params": params}).encode()
    theirs, ours = ask("params", JSON, body)
    assert ours[0] == theirs[0]
    if ours[0] == 200:
        assert ours == theirs
    else:
        assert "'top'" in ours[1]["message"]
