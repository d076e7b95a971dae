"""Each row of the tables in docs/serving.md, asked of MLflow's scoring application and of ours."""

import io
import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

JSON = "application/json"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
PAGE = Path(__file__).parents[3] / "docs" / "serving.md"
MIXED = ModelSignature(
    Schema(
        [
            ColSpec("double", "x"),
            ColSpec("long", "n"),
            ColSpec("string", "s"),
            ColSpec("boolean", "b"),
            ColSpec("string", "t", False),
            ColSpec("boolean", "c", False),
        ]
    )
)
TIME = ModelSignature(Schema([ColSpec("datetime", "at")]))
BYTES = ModelSignature(Schema([ColSpec("binary", "w")]))
TENSOR = ModelSignature(Schema([TensorSpec(np.dtype("float64"), (-1, 2))]))
PARAMS = ModelSignature(
    Schema([ColSpec("double", "x")]), params=ParamSchema([ParamSpec("top", "long", 3)])
)


def record(x="1.5", n="2", s='"a"', b="true", *, more="", form="dataframe_records", end=""):
    row = f'{{"x": {x}, "n": {n}, "s": {s}, "b": {b}{more}}}'
    return f'{{"{form}": [{row}]{end}}}'.encode()


def times(*cells, form="dataframe_records"):
    value = {"at": list(cells)} if form == "inputs" else [{"at": cell} for cell in cells]
    return json.dumps({form: value}).encode()


def csv(line, header="x,n,s,b"):
    return f"{header}\n{line}\n".encode()


def parquet(**columns):
    buffer = io.BytesIO()
    pd.DataFrame(columns).to_parquet(buffer)
    return buffer.getvalue()


def split(*rows):
    data = {"columns": ["x", "n", "s", "b"], "data": rows}
    return json.dumps({"dataframe_split": data}).encode()


# row of the page -> signature, content type, body; what MLflow's model is given; what we say
REFUSED = {
    "a null in a required column": (MIXED, JSON, record(x="null"), "'x': nan", "column 'x'"),
    "a number that is written as text": (MIXED, JSON, record(x='"1.5"'), "'x': 1.5", "column 'x'"),
    "true or false for a number": (MIXED, JSON, record(n="true"), "'n': 1", "column 'n'"),
    "a fraction for a whole number": (MIXED, JSON, record(n="2.5"), "'n': 2", "column 'n'"),
    "a number for text": (MIXED, JSON, record(s="5"), "'s': 5", "column 's'"),
    "a number or text for true or false": (
        MIXED,
        JSON,
        record(b='"false"'),
        "'b': True",
        "column 'b'",
    ),
    "NaN, infinity, or a number out of range": (
        MIXED,
        JSON,
        record(x="1e999"),
        "'x': inf",
        "column 'x'",
    ),
    "a column that the model does not know": (
        MIXED,
        JSON,
        record(more=', "z": 1'),
        "'x': 1.5",
        "column 'z'",
    ),
    "a key that is there twice": (MIXED, JSON, record(more=', "x": 2'), "'x': 2.0", "key 'x'"),
    "rows of unequal length": (
        MIXED,
        JSON,
        split([1.5, 2, "a", True], [1.5, 2, "a"]),
        "'b': False",
        "row 1",
    ),
    "no rows": (MIXED, JSON, split(), "[]", "no rows"),
    "a member beside the form and `params`": (
        MIXED,
        JSON,
        record(end=', "more": 1'),
        "'x': 1.5",
        "`more`",
    ),
    "params that the signature does not have": (
        PARAMS,
        JSON,
        b'{"inputs": {"x": [1]}, "params": {"tap": 1}}',
        "'x': 1.0",
        "param 'tap'",
    ),
    "a time that is not written as ISO 8601": (
        TIME,
        JSON,
        times("Jan 5 2026"),
        "2026-01-05",
        "column 'at' of row 0",
    ),
    "a time with a zone": (
        TIME,
        JSON,
        times("2026-01-31T12:00:00+02:00", form="inputs"),
        "2026-01-31 10:00:00",
        "column 'at' of row 0",
    ),
    "a time finer than microseconds": (
        TIME,
        JSON,
        times("2026-01-31T12:00:00.123456789"),
        ".123456789",
        "column 'at' of row 0",
    ),
    "text that is not base64": (
        BYTES,
        JSON,
        b'{"dataframe_records": [{"w": "aGk=!"}]}',
        "b'hi'",
        "column 'w' of row 0",
    ),
    "a column that is twice in a CSV header": (
        MIXED,
        CSV,
        csv("1.5,2,a,true,3", "x,n,s,b,x"),
        "'x': 1.5",
        "column 'x'",
    ),
    "truth values, texts and nulls in a tensor of numbers": (
        TENSOR,
        JSON,
        b'{"inputs": [[true, "2"]]}',
        "[[1.0, 2.0]]",
        "'inputs'",
    ),
}
CHANGED = {
    "a null in an optional text, in `instances` or `inputs`": (
        MIXED,
        JSON,
        record(more=', "t": null', form="instances"),
        "'t': 'None'",
        "'t': None",
    ),
    "a null in an optional column of true and false": (
        MIXED,
        JSON,
        record(more=', "c": null'),
        "'c': False",
        "'c': None",
    ),
    "the texts `NA`, `null`, `None` and their like in CSV": (
        MIXED,
        CSV,
        csv("1.5,2,NA,true"),
        "'s': nan",
        "'s': 'NA'",
    ),
    "a number of 16 digits in CSV": (
        MIXED,
        CSV,
        csv("0.9623125912865669,2,a,true"),
        "0.9623125912865668",
        "0.9623125912865669",
    ),
}
TAKEN = {
    "rows as lists in `instances` and `inputs`": (
        MIXED,
        JSON,
        b'{"instances": [[1.5, 2, "a", true, "u", true]]}',
        "'x': 1.5, 'n': 2, 's': 'a', 'b': True, 't': 'u', 'c': True",
    ),
    "an optional column that some rows leave out, in `instances`": (
        MIXED,
        JSON,
        record(more='}, {"x": 1, "n": 2, "s": "a", "b": true, "t": "u"', form="instances"),
        "'t': None",
    ),
    "times in CSV": (TIME, CSV, csv("2026-01-31T12:00:00", "at"), "2026-01-31 12:00:00"),
    "whole numbers in a Parquet column of doubles": (PARAMS, PARQUET, parquet(x=[5]), "'x': 5.0"),
}
ERRORS = {"no content type", "JSON that is nested too deeply", "the model raises"}


def table(heading):
    """The first cells of the page's table whose head begins so."""
    rows = PAGE.read_text(encoding="utf-8").split(f"\n| {heading} |")[1].split("\n\n")[0]
    return [line.split(" | ")[0].removeprefix("| ") for line in rows.splitlines()[2:]]


@pytest.mark.parametrize("what", table("refused"))
def test_what_is_refused_and_what_mlflow_makes_of_it(side_by_side, what):
    signature, kind, body, given, said = REFUSED[what]
    theirs, ours = side_by_side(signature)(kind, body)
    assert theirs[0] == 200
    assert given in str(theirs[1]["predictions"])
    assert ours[0] == 400
    assert said in ours[1]["message"]


@pytest.mark.parametrize("what", table("sent"))
def test_what_mlflow_changes_on_the_way(side_by_side, tmp_path, of_folder, what):
    if what.startswith("NaN or infinity"):
        body = b'{"inputs": {"x": [1.0]}}'
        theirs, ours = of_folder(saved(Infinite(), tmp_path))(JSON, body)
        assert str(theirs) == "(200, {'predictions': [inf, nan]})"
        assert ours == (200, {"predictions": [None, None]})
        return
    signature, kind, body, given, kept = CHANGED[what]
    theirs, ours = side_by_side(signature)(kind, body)
    assert theirs[0] == ours[0] == 200
    assert given in str(theirs[1])
    assert kept in str(ours[1])


@pytest.mark.parametrize("what", table("taken"))
def test_what_mlflow_refuses_and_we_take(side_by_side, what):
    signature, kind, body, given = TAKEN[what]
    theirs, ours = side_by_side(signature)(kind, body)
    assert theirs[0] == 400
    assert ours[0] == 200
    assert given in str(ours[1])


class Infinite(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):  # noqa: ARG002
        return np.array([np.inf, np.nan])


class Raising(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):  # noqa: ARG002
        raise ZeroDivisionError("/secret/path")


def saved(model, folder):
    signature = ModelSignature(Schema([ColSpec("double", "x")]))
    mlflow.pyfunc.save_model(
        folder / "m", python_model=model, signature=signature, pip_requirements=[]
    )
    return folder / "m"


@pytest.mark.parametrize("what", table("error"))
def test_errors_themselves(side_by_side, tmp_path, of_folder, what):
    if what == "no content type":
        theirs, ours = side_by_side(MIXED)("", record())
        assert (theirs[0], ours[0]) == (500, 415)
    elif what == "JSON that is nested too deeply":
        theirs, ours = side_by_side(MIXED)(JSON, b'{"inputs": ' + b"[" * 200_000)
        assert (theirs[0], ours[0]) == (500, 400)
    else:
        assert what == "the model raises"
        theirs, ours = of_folder(saved(Raising(), tmp_path))(JSON, b'{"inputs": {"x": [1.0]}}')
        assert (theirs[0], ours[0]) == (400, 500)
        assert "Traceback" in str(theirs)
        assert "secret" not in str(ours)


def test_no_row_of_the_page_is_untested():
    assert set(table("refused")) == set(REFUSED)
    assert set(table("taken")) == set(TAKEN)
    assert set(table("sent")) - set(CHANGED) == {"NaN or infinity as the model's answer"}
    assert set(table("error")) == ERRORS


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
    st.sampled_from(["5", "1.5", "nan", "true", "2026-01-31", [], {}, [1], {"a": 1}]),
)
CELLS = {"x": 1.5, "n": 2, "s": "a", "b": True, "t": "u", "c": False}


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(list(CELLS)),
    odd=ODD,
    form=st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs"]),
    rows=st.integers(1, 2),
)
def test_one_odd_cell_is_answered_as_by_mlflow_or_refused(side_by_side, name, odd, form, rows):
    row = {**CELLS, name: odd}
    value = [row, CELLS][:rows]
    if form == "dataframe_split":
        value = {"columns": list(row), "data": [list(one.values()) for one in value]}
    elif form == "inputs":
        value = {key: [one[key] for one in value] for key in row}
    theirs, ours = side_by_side(MIXED)(JSON, json.dumps({form: value}).encode())
    assert ours[0] in {200, 400}
    if ours[0] == 400:
        assert repr(name) in ours[1]["message"]
    else:
        assert theirs[0] == 200
        assert ours == theirs or (odd is None and name in {"t", "c"})
