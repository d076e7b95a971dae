import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.models.parameters import Parameters
from lifecycle.records import Column, ModelSpec
from lifecycle.serve.decode import Decoder

SPEC = ModelSpec(
    1,
    "binary",
    (
        Column("age", "double"),
        Column("plan", "string"),
        Column("calls", "long"),
        Column("paperless", "boolean"),
        Column("charge", "double", required=False),
    ),
    target="churned",
    time="ts",
    key="id",
)
ROW = {"age": 31.5, "plan": "pro", "calls": 2, "paperless": True, "charge": None}
CELLS = tuple(ROW.values())
DECODER = Decoder(SPEC)


def records(*changes, drop=()):
    rows = [{**ROW, **change} for change in changes or ({},)]
    kept = [{name: cell for name, cell in row.items() if name not in drop} for row in rows]
    return json.dumps({"dataframe_records": kept}).encode()


def split(rows=(CELLS,), columns=tuple(ROW), **more):
    return json.dumps({"dataframe_split": {"columns": columns, "data": rows, **more}}).encode()


def instances(*rows):
    return json.dumps({"instances": rows}).encode()


def inputs(value):
    return json.dumps({"inputs": value}).encode()


COLUMNS = {name: [cell, cell] for name, cell in ROW.items()}


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (records({}, {}), 2),
        (split([list(ROW.values())] * 2), 2),
        (split([list(ROW.values())] * 2, index=[5, 6]), 2),
        (split([list(ROW.values())[::-1]] * 2, columns=list(ROW)[::-1]), 2),
        (instances(ROW, ROW), 2),
        (instances(list(ROW.values()), list(ROW.values())), 2),
        (inputs(COLUMNS), 2),
        (inputs([ROW, ROW]), 2),
        (inputs(ROW), 1),
    ],
)
def test_every_form_gives_the_same_columns(body, count):
    rows = DECODER.json(body)
    assert rows.count == count
    assert list(rows.columns) == list(SPEC.feature_names)
    assert rows.columns["age"].tolist() == [31.5] * count
    assert rows.columns["plan"].tolist() == ["pro"] * count
    assert rows.columns["calls"].tolist() == [2] * count
    assert rows.columns["paperless"].tolist() == [True] * count
    assert np.isnan(rows.columns["charge"]).all()
    kinds = {name: str(array.dtype) for name, array in rows.columns.items()}
    assert kinds == {
        "age": "float64",
        "plan": "object",
        "calls": "int64",
        "paperless": "bool",
        "charge": "float64",
    }
    assert (rows.time, rows.key, rows.params) == (None, None, None)


def test_a_column_that_may_be_null_may_be_left_out():
    assert np.isnan(DECODER.json(records(drop=["charge"])).columns["charge"]).all()
    body = split([list(ROW.values())[:4]], columns=list(ROW)[:4])
    assert np.isnan(DECODER.json(body).columns["charge"]).all()
    given = {name: cells for name, cells in COLUMNS.items() if name != "charge"}
    assert np.isnan(DECODER.json(inputs(given)).columns["charge"]).all()


def test_time_and_key_go_to_the_log_and_the_target_nowhere():
    extra = {"ts": "2026-01-01T02:00:00+02:00", "id": 17, "churned": 1}
    rows = DECODER.json(records(extra, {**extra, "ts": None, "id": None}))
    assert list(rows.columns) == list(SPEC.feature_names)
    assert rows.time.astype(str).tolist() == ["2026-01-01T00:00:00.000000", "NaT"]
    assert rows.key == ["17", None]
    assert DECODER.json(records({"ts": None})).time is None
    columns = [*ROW, "id"]
    assert DECODER.json(split([[*ROW.values(), "c7"]], columns=columns)).key == ["c7"]


TOP = Parameters('[{"name": "top", "type": "long", "default": 3, "shape": null}]')


def test_params_are_checked_and_kept():
    decoder = Decoder(DECODER.spec, TOP)
    body = json.dumps({"inputs": ROW, "params": {"top": 5}}).encode()
    assert decoder.json(body).params == {"top": 5}
    assert decoder.json(json.dumps({"inputs": ROW, "params": {}}).encode()).params == {"top": 3}
    assert decoder.json(json.dumps({"inputs": ROW, "params": None}).encode()).params is None
    assert decoder.json(json.dumps({"inputs": ROW}).encode()).params is None
    with pytest.raises(DataError, match="the param 'top' is 'x', not of type long"):
        decoder.json(json.dumps({"inputs": ROW, "params": {"top": "x"}}).encode())
    with pytest.raises(DataError, match="'top' is there twice"):
        decoder.json(b'{"inputs": %s, "params": {"top": 1, "top": 2}}' % json.dumps(ROW).encode())


def test_params_that_no_model_takes_are_refused_and_never_ignored():
    body = json.dumps({"inputs": ROW, "params": {"top": 3}}).encode()
    with pytest.raises(DataError, match="takes no params, and these came: top"):
        DECODER.json(body)
    assert DECODER.json(json.dumps({"inputs": ROW, "params": {}}).encode()).params is None


def test_whole_numbers_may_be_written_as_floats():
    assert DECODER.json(records({"calls": 3.0, "age": 4})).columns["calls"].tolist() == [3]


REFUSED = [
    (records({}, {"age": "31"}), "column 'age' of row 1 is text, not a number"),
    (records({}, {"age": True}), "column 'age' of row 1 is true or false, not a number"),
    (records({"age": None}), "column 'age' of row 0 is null"),
    (records({"plan": None}), "column 'plan' of row 0 is null"),
    (records({"plan": 7}), "column 'plan' of row 0 is a whole number, not text"),
    (records({"calls": 2.5}), "column 'calls' of row 0 is 2.5, which is no whole number"),
    (records({"calls": 2**63}), "column 'calls' of row 0 is out of range"),
    (records({"calls": 1e30}), "column 'calls' of row 0 is 1e\\+30"),
    (records({"calls": True}), "column 'calls' of row 0 is true or false"),
    (records({"paperless": 1}), "column 'paperless' of row 0 is a whole number, not true"),
    (records({"age": [1]}), "column 'age' of row 0 is a list"),
    (records({"age": {}}), "column 'age' of row 0 is an object"),
    (records({"ts": "yesterday"}), "column 'ts' of row 0 is no time"),
    (records({"ts": True}), "column 'ts' of row 0 is no time"),
    (records({"id": ["a"]}), "column 'id' of row 0 is a list"),
    (records(drop=["age"]), "column 'age' is missing in row 0"),
    (records({"agee": 1}), "column 'agee' is not known; did you mean 'age'"),
    (split(columns=["age", "plan"]), "column 'calls' is missing"),
    (split(columns=["agee", *list(ROW)[1:]]), "column 'agee' is not known; did you mean 'age'"),
    (split(columns=["age", "age", *list(ROW)[2:]]), "column 'age' is there twice"),
    (split([list(ROW.values()), [1, "pro"]]), "row 1 does not have one value for each of the 5"),
    (split([["x", *list(ROW.values())[1:]]]), "column 'age' of row 0 is text, not a number"),
    (split([]), "no rows"),
    (split([5]), "row 0 is a whole number, not a list"),
    (split(columns=None), "has no columns"),
    (b'{"dataframe_split": {"columns": ["age"]}}', "'dataframe_split': .*`data`"),
    (b'{"dataframe_split": []}', "'dataframe_split': Expected `object`"),
    (b'{"dataframe_split": {"columns": [], "data": [], "x": 1}}', "unknown field `x`"),
    (instances(), "no rows"),
    (instances(5), "row 0 is a whole number, not a list"),
    (instances([1, "pro"]), "row 0 does not have one value for each"),
    (b'{"instances": {}}', "the body is an object, not a list"),
    (b'{"dataframe_records": {}}', "the body is an object, not a list"),
    (inputs({**COLUMNS, "age": [1.0]}), "different lengths: 'age' has 1, 'plan' has 2"),
    (inputs({**COLUMNS, "age": ["x", 1.0]}), "column 'age' of row 0 is text"),
    (inputs({**COLUMNS, "odd": [1]}), "column 'odd' is not known"),
    (inputs({"age": [1.0]}), "column 'plan' is missing"),
    (inputs({name: [] for name in ROW}), "no rows"),
    (inputs("x"), "the body is text"),
    (b"{}", "none of them is there"),
    (b"[]", "not a request"),
    (b"5", "not a request"),
    (b"null", "not a request"),
    (b'{"instances": [], "inputs": []}', "instances and inputs"),
    (b'{"rows": []}', "unknown field `rows`"),
    (b'{"inputs": {}, "params": 5}', "not a request"),
    (b"", "not JSON"),
    (b"{", "not JSON"),
    (b'{"inputs": {}} x', "not JSON"),
    (
        records().replace(b"31.5", b"NaN"),
        "column 'age' is -?(NaN|Infinity), which is not JSON.*send null",
    ),
    (
        records().replace(b"31.5", b"Infinity"),
        "column 'age' is -?(NaN|Infinity), which is not JSON.*send null",
    ),
    (
        records().replace(b"31.5", b"-Infinity"),
        "column 'age' is -?(NaN|Infinity), which is not JSON.*send null",
    ),
    (records().replace(b"31.5", b"1e400"), "column 'age' of row 0 is a number out of range"),
    (records().replace(b"31.5", b"9" * 500), "column 'age' of row 0 is a number out of range"),
    (records().replace(b"pro", b"\xff"), "not UTF-8"),
    (b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    (b"[" * 100_000, "not a request"),
    (records({"churned": 5}).replace(b'": 5', b'": ' + b"[" * 100_000), "nested too deeply"),
    (b'{"inputs": {}, "params": {"a": ' + b"[" * 100_000 + b"}}", "nested too deeply"),
]


@pytest.mark.parametrize(("body", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_does_not_fit_is_refused_by_name(body, message):
    with pytest.raises(DataError, match=message) as caught:
        DECODER.json(body)
    assert len(str(caught.value)) < 1000


DUPLICATES = [
    records().replace(b'"age": 31.5', b'"age": 1, "age": 2'),
    records({"plan": "a:b"}).replace(b'"plan": "a:b"', b'"plan": "a:b", "plan": "c"'),
    records({"plan": "a:b"}).replace(b'"plan": "a:b"', b'"plan": "c", "plan": "a:b"'),
    records(drop=["charge"]).replace(b'"age"', b'"age": 1, "age"'),
    records().replace(b'"age"', b'"\\u0061ge": 1, "age"'),
    records({"plan": "x"}).replace(b'"x"', b'"\\u003a", "plan": "x"'),
    split().replace(b'"columns"', b'"columns": ["age"], "columns"'),
    split().replace(b'{"dataframe_split"', b'{"dataframe_split": 1, "dataframe_split"'),
    inputs(ROW).replace(b'"age"', b'"age": 1, "age"'),
    b'{"params": {"a": 1, "a": 2}, "inputs": ' + json.dumps(ROW).encode() + b"}",
    b'{"instances": [], "instances": [' + json.dumps(list(ROW.values())).encode() + b"]}",
]


@pytest.mark.parametrize("body", DUPLICATES, ids=range(len(DUPLICATES)))
def test_a_key_that_is_there_twice_is_refused(body):
    with pytest.raises(DataError, match="is there twice"):
        DECODER.json(body)


@pytest.mark.parametrize("text", ["12:30:00", "a:b", "ünï", "\\", '"', "\u003a", "{'a': 1}", "\n"])
def test_any_text_is_text(text):
    assert DECODER.json(records({"plan": text})).columns["plan"].tolist() == [text]
    assert DECODER.json(split([[31.5, text, 2, True, None]])).columns["plan"].tolist() == [text]


@given(names=st.lists(st.text(min_size=1), min_size=1, max_size=4, unique=True))
@example(["a\\b", 'c"d', "e\nf", "g:h"])
@settings(max_examples=80, deadline=None)
def test_columns_may_have_any_name(names):
    decoder = Decoder(ModelSpec(1, "regression", tuple(Column(name, "double") for name in names)))
    row = dict.fromkeys(names, 1.0)
    for form in ({"dataframe_records": [row]}, {"inputs": row}, {"instances": [row]}):
        found = decoder.json(json.dumps(form).encode()).columns
        assert {name: array.tolist() for name, array in found.items()} == {
            name: [1.0] for name in names
        }
    unknown = json.dumps({"inputs": {**row, "".join(names) + "x": 1.0}}).encode()
    with pytest.raises(DataError, match="not known"):
        decoder.json(unknown)
    twice = json.dumps({"inputs": row})[:-2] + ", " + json.dumps({names[0]: 2})[1:] + "}"
    with pytest.raises(DataError, match="is there twice"):
        decoder.json(twice.encode())
    wrong = json.dumps({"dataframe_records": [{**row, names[-1]: "x"}]}).encode()
    with pytest.raises(DataError) as caught:
        decoder.json(wrong)
    assert caught.value.what.startswith(f"column {names[-1]!r} of row 0 is text")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [*ROW, "dataframe_split", "instances", "inputs", "data", "columns"]
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(["dataframe_split", "dataframe_records", "instances", "inputs", ""]),
)
@settings(max_examples=200, deadline=None)
def test_whatever_comes_is_rows_or_one_clear_error(value, form):
    body = json.dumps({form: value} if form else value).encode()
    for decoder in (DECODER, Decoder(ModelSpec(1, "regression", ()))):
        try:
            rows = decoder.json(body)
        except DataError as error:
            assert error.what  # noqa: PT017 - either outcome is fine, a third is not
        else:
            assert all(len(array) == rows.count > 0 for array in rows.columns.values())


def test_all_doubles_come_as_one_block():
    spec = ModelSpec(1, "regression", (Column("a", "double"), Column("b", "double", False)))
    rows = Decoder(spec).json(b'{"dataframe_records": [{"a": 1, "b": 2}, {"a": 3}]}')
    assert rows.columns["a"].tolist() == [1.0, 3.0]
    np.testing.assert_array_equal(rows.columns["b"], [2.0, np.nan])
    assert rows.columns["a"].base is rows.columns["b"].base


def test_one_column_may_come_as_a_list_of_values():
    decoder = Decoder(ModelSpec(1, "regression", (Column("a", "double"),)))
    for body in (b'{"instances": [1, 2]}', b'{"instances": [[1], [2]]}', b'{"inputs": [1, 2]}'):
        assert decoder.json(body).columns["a"].tolist() == [1.0, 2.0]
    with pytest.raises(DataError, match="column 'a' of row 1 is text"):
        decoder.json(b'{"instances": [1, "x"]}')


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"dataframe_split": {"columns": ["a"], "data": [[1], [2]]}}', {"a": [1, 2]}),
        (b'{"dataframe_split": {"data": [[1, 2]]}}', {"0": [1], "1": [2]}),
        (b'{"dataframe_records": [{"a": 1}, {"b": "x"}]}', {"a": [1.0, None], "b": [None, "x"]}),
        (b'{"instances": [[1, true], [2, false]]}', {"0": [1, 2], "1": [True, False]}),
        (b'{"inputs": {"a": [1.5], "b": ["x"]}}', {"a": [1.5], "b": ["x"]}),
        (b'{"inputs": [1, 2]}', {"0": [1, 2]}),
    ],
)
def test_without_a_signature_columns_come_as_they_are(body, expected):
    rows = Decoder(ModelSpec(1, "regression", ())).json(body)
    found = {name: array.tolist() for name, array in rows.columns.items()}
    assert {
        name: [None if cell != cell else cell for cell in cells]  # noqa: PLR0124 - NaN
        for name, cells in found.items()
    } == expected


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs": {"a": [1], "b": [1, 2]}}',
        b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}',
        b'{"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}',
        b'{"dataframe_records": [{"a": 1, "a": 2}]}',
        b'{"instances": []}',
        b'{"inputs": {}}',
        b'{"dataframe_split": 5}',
    ],
)
def test_without_a_signature_rows_must_still_be_rows(body):
    with pytest.raises(DataError):
        Decoder(ModelSpec(1, "regression", ())).json(body)
