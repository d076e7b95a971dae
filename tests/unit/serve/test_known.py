import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.models.predicting import Table
from lifecycle.records import Column, ModelSpec
from lifecycle.serve.decode import Decoder
from lifecycle.serve.known import Known

COLUMNS = (
    Column("age", "double"),
    Column("plan", "string"),
    Column("fee", "double", required=False),
    Column("note", "string", required=False),
)
SPEC = ModelSpec(1, "binary", COLUMNS, target="churned", time="ts", key="id", classes=("n", "y"))
TYPED = ModelSpec(
    1,
    "binary",
    (
        Column("calls", "long"),
        Column("days", "integer", required=False),
        Column("paid", "boolean"),
        Column("gone", "boolean", required=False),
        Column("age", "double"),
    ),
)


def text(value, **how):
    return json.dumps(value, **how).encode()


def split(columns, data, **more):
    return text({"dataframe_split": {"columns": columns, **more, "data": data}})


ROW = [31.5, "pro", None, "x"]
NAMES = [column.name for column in COLUMNS]


class Slow(Decoder):
    """A decoder that remembers nothing."""

    def __init__(self, spec):
        super().__init__(spec)
        self._known = Known(ModelSpec(1, "binary", ()), ())


def same(found, wanted):
    assert found.count == wanted.count
    assert list(found.columns) == list(wanted.columns)
    for name, array in wanted.columns.items():
        assert found.columns[name].dtype == array.dtype
        np.testing.assert_array_equal(found.columns[name], array)
    assert found.key == wanted.key
    assert (found.time is None) == (wanted.time is None)
    if wanted.time is not None:
        np.testing.assert_array_equal(found.time, wanted.time)


def outcome(decoder, body):
    try:
        return decoder.json(body)
    except DataError as error:
        return str(error)


def agree(decoder, body, spec=SPEC):
    """The decoder that learns says what the one without a memory says; twice."""
    wanted = outcome(Slow(spec), body)
    for _ in range(2):
        found = outcome(decoder, body)
        if isinstance(wanted, str):
            assert found == wanted
        else:
            same(found, wanted)
    return wanted


@pytest.fixture
def taught():
    """A decoder that has met a good body of each form."""
    decoder = Decoder(SPEC)
    for body in (
        split(NAMES, [ROW]),
        split([*NAMES[::-1], "id", "ts"], [[*ROW[::-1], "c", None]]),
        text({"instances": [ROW]}),
        text({"inputs": [ROW]}),
        text({"dataframe_records": [dict(zip(NAMES, ROW, strict=True))]}),
    ):
        decoder.json(body)
    return decoder


def test_the_second_body_is_known_and_its_rows_stay_rows(taught):
    body = split(NAMES, [[1, "a", 2, None], [3, "b", None, "é"]])
    rows = taught._known.rows(body)
    assert isinstance(rows.columns, Table)
    assert rows.count == 2
    same(rows, Slow(SPEC).json(body))


cells = (
    st.none()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.text(max_size=4)
    | st.sampled_from(["a:b", '"data":', "}}", "]", "\\u003a", "2026-01-01"])
)
names = st.permutations([*NAMES, "id", "ts", "churned"]) | st.lists(
    st.sampled_from([*NAMES, "id", "ts", "data", "other"]), max_size=7
)


@given(data=st.data(), names=names, rows=st.integers(0, 3))
@settings(max_examples=70, deadline=None)
def test_lists_of_cells_are_read_as_if_for_the_first_time(data, names, rows):
    taught = Decoder(SPEC)
    good = {"age": 1.0, "plan": "p", "fee": 2.0, "note": "n"}
    outcome(taught, split(names, [[good.get(name) for name in names]]))
    outcome(taught, text({"instances": [[good.get(name) for name in names]]}))
    row = [
        data.draw(cells if data.draw(st.integers(0, 9)) == 0 else st.just(good.get(name)))
        for name in names
    ]
    table = [row[: data.draw(st.integers(len(row) - 1, len(row)))] for _ in range(rows)]
    agree(taught, split(names, table))
    agree(taught, text({"instances": table}))
    agree(taught, text({"inputs": table}))


@given(
    records=st.lists(
        st.fixed_dictionaries(
            {"age": st.floats(0, 9), "plan": st.text(max_size=3)},
            optional={
                "fee": cells,
                "note": cells,
                "id": cells,
                "ts": cells,
                "churned": cells,
                "x": cells,
            },
        ),
        max_size=3,
    ),
    spaced=st.booleans(),
)
@settings(max_examples=70, deadline=None)
def test_records_are_read_as_if_for_the_first_time(records, spaced):
    separators = None if spaced else (",", ":")
    for form in ("dataframe_records", "instances", "inputs"):
        agree(Decoder(SPEC), text({form: records}, separators=separators))


columns_of_cells = st.integers(0, 3).flatmap(
    lambda count: st.fixed_dictionaries(
        {
            "age": st.lists(st.floats(0, 9), min_size=count, max_size=count),
            "plan": st.lists(st.text(max_size=3), min_size=count, max_size=count),
        },
        optional={
            name: st.lists(cells, min_size=count, max_size=count) | cells
            for name in ("fee", "note", "id", "ts", "churned", "x")
        },
    )
)


@given(columns=columns_of_cells, count=st.integers(0, 3))
@settings(max_examples=70, deadline=None)
def test_columns_are_read_as_if_for_the_first_time(columns, count):
    agree(Decoder(SPEC), text({"inputs": columns}))
    full = {"fee": [1.0] * count, "note": [None] * count, "id": ["a:b"] * count}
    agree(Decoder(SPEC), text({"inputs": {**columns, **full}}))


def test_columns_of_all_features_are_known_at_once():
    known = Known(SPEC, ("ts", "id", "churned"))
    body = text(
        {"inputs": {"age": [1, 2], "plan": ["a", "b"], "fee": [None, 1], "note": ["", None]}}
    )
    assert known.rows(body).count == 2
    assert known.rows(body.replace(b'"note"', b'"id": ["x", "y"], "note"')).key == ["x", "y"]
    for wrong in (
        body.replace(b"[1, 2]", b"[1]"),
        body.replace(b"[1, 2]", b"1"),
        body.replace(b'"a"', b'"a:"'),
        body.replace(b'"note"', b'"age": [3, 4], "note"'),
        body.replace(b'"note"', b'"other": [3, 4], "note"'),
    ):
        assert known.rows(wrong) is None


@given(
    rows=st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63) | st.floats(0, 9),
            st.none() | st.integers(-(2**31) - 1, 2**31),
            st.booleans(),
            st.none() | st.booleans(),
            st.floats(0, 9) | st.integers(0, 9),
        ),
        min_size=1,
        max_size=3,
    )
)
@settings(max_examples=60, deadline=None)
def test_whole_numbers_and_flags_are_read_as_if_for_the_first_time(rows):
    decoder = Decoder(TYPED)
    decoder.json(text({"instances": [[1, 2, True, False, 1.5]]}))
    agree(decoder, text({"instances": rows}), TYPED)
    names = TYPED.feature_names
    records = [dict(zip(names, row, strict=True)) for row in rows]
    agree(decoder, text({"dataframe_records": records}), TYPED)


GOOD = split(NAMES, [ROW])


@pytest.mark.parametrize(
    "body",
    [
        GOOD[:-1],
        GOOD + b"}",
        GOOD + b" ",
        GOOD.replace(b'"data":', b'"data"'),
        GOOD.replace(b'"data":', b'"data" :'),
        GOOD.replace(b'"data": [[', b'"data": [[],['),
        GOOD.replace(b"}}", b'}, "params": {}}'),
        GOOD.replace(b"]]}}", b']], "data": [[1, "a", 2, "b"]]}}'),
        GOOD.replace(b"]]}}", b']], "index": [0]}}'),
        GOOD.replace(b"[[31.5", b"[[1e999"),
        GOOD.replace(b"[[31.5", b"[[NaN"),
        GOOD.replace(b'"pro"', b'"\xff"'),
        GOOD.replace(b'"pro"', b'{"a": 1, "a": 2}'),
        GOOD.replace(b"[[31.5", b"[" * 100_000),
        b'{"instances": [[31.5, "pro", null, "x"]], "instances": [[1, "a", 2, "b"]]}',
        b'{"instances": [[31.5, "pro", null, "x"]]',
        b'{"instances": [31.5, "pro", null, "x"]}',
        b'{"instances": []}',
        b"",
        b"[",
        b'"data"',
        b'{"dataframe_records": [{"age": 1, "plan": "a", "age": 2}]}',
        b'{"dataframe_records": [{"age": 1, "plan": "a", "fee": 1, "note": "x", "fee": 2}]}',
        b'{"dataframe_records": [{"age": 1, "plan": "a:b", "fee": 1, "note": "x"}]}',
        b'{"dataframe_records": [{"\\u0061ge": 1, "plan": "a", "fee": 1, "note": "x"}]}',
        b'{"dataframe_records": [{"\\u0061ge": 1, "age": 2, "plan": "a", "fee": 1, "note": "x"}]}',
        b'{"dataframe_records": [], "dataframe_records": []}',
    ],
)
def test_what_is_not_quite_known_is_read_at_length(taught, body):
    agree(taught, body)


def test_an_index_speaks_of_as_many_rows():
    decoder = Decoder(SPEC)
    decoder.json(split(NAMES, [ROW, ROW], index=[0, 1]))
    assert decoder._known.rows(split(NAMES, [ROW, ROW], index=[0, 1])).count == 2
    assert decoder._known.rows(split(NAMES, [ROW], index=[0, 1])) is None


def test_a_body_that_is_wrong_teaches_nothing():
    decoder = Decoder(SPEC)
    twice = text({"dataframe_split": {"columns": NAMES, "data": [ROW]}}).replace(
        b'"columns"', b'"index": [0], "index": [0], "columns"'
    )
    for _ in range(2):
        with pytest.raises(DataError, match="twice"):
            decoder.json(twice)


def test_heads_are_kept_in_bounds():
    decoder = Decoder(SPEC)
    for number in range(200):
        decoder.json(split(NAMES, [ROW], index=[number]))
    assert len(decoder._known._heads) <= 64
    agree(decoder, GOOD)


def test_a_model_of_one_column_takes_rows_of_one_cell():
    decoder = Decoder(ModelSpec(1, "binary", (Column("age", "double"),), key="id"))
    body = split(["id", "age"], [["c", 1], ["d", 2]])
    for _ in range(2):
        rows = decoder.json(body)
        assert rows.columns["age"].tolist() == [1.0, 2.0]
        assert rows.key == ["c", "d"]
