import base64

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.models.parameters import Parameters
from lifecycle.records import Column, ModelSpec
from lifecycle.serve.decode import Decoder
from lifecycle.serve.protocols.inputs import rows_of
from lifecycle.serve.protocols.tensors import DATATYPES, Tensor, of_raw, of_values

EVERY = {
    "double": "FP64",
    "float": "FP32",
    "long": "INT64",
    "integer": "INT32",
    "boolean": "BOOL",
    "string": "BYTES",
    "datetime": "BYTES",
    "binary": "BYTES",
}
GOOD = {
    "double": [1.5, 2.0],
    "float": [0.5, 2.0],
    "long": [1, 2**62],
    "integer": [1, 2],
    "boolean": [True, False],
    "string": ["a", "ü"],
    "datetime": ["2026-01-31T12:00:00", "2026-01-31T23:00:00"],
    "binary": [b"\x00\xff", b""],
}


def decoder(*columns, **more):
    return Decoder(ModelSpec(1, "regression", columns, **more))


def all_of(required=True):
    return decoder(*(Column(dtype, dtype, required) for dtype in EVERY))


def sent(**changes):
    return [
        of_values(name, EVERY[name], [2], values) for name, values in {**GOOD, **changes}.items()
    ]


def test_one_tensor_a_column_of_every_type():
    rows = rows_of(all_of(), sent())
    found = {name: array.tolist() for name, array in rows.columns.items()}
    moments = found.pop("datetime")
    assert rows.count == 2
    assert found == {name: GOOD[name] for name in found}
    assert [str(moment) for moment in moments] == ["2026-01-31 12:00:00", "2026-01-31 23:00:00"]
    assert rows.columns["float"].dtype == np.float32
    assert rows.columns["integer"].dtype == np.int32


def test_the_same_rows_as_json():
    import msgspec

    wire = {**GOOD, "binary": [base64.b64encode(item).decode() for item in GOOD["binary"]]}
    said = all_of().json(msgspec.json.encode({"inputs": wire}))
    rows = rows_of(all_of(), sent())
    for name, array in said.columns.items():
        np.testing.assert_array_equal(rows.columns[name], array)
        assert rows.columns[name].dtype == array.dtype


@pytest.mark.parametrize("dtype", EVERY)
@pytest.mark.parametrize("datatype", [*DATATYPES, "BYTES"])
def test_a_column_takes_what_loses_nothing_and_no_other_datatype(dtype, datatype):
    numbers = [name for name in DATATYPES if name != "BOOL"]
    whole = [name for name in numbers if "INT" in name]
    taken = {"boolean": ["BOOL"], "string": ["BYTES"], "binary": ["BYTES"]}
    taken["datetime"] = ["BYTES", *whole]
    value = {"BYTES": "2026-01-31", "BOOL": True}.get(datatype, 0)
    tensor = of_values(dtype, datatype, [1, 1], [value])
    one = decoder(Column(dtype, dtype))
    if datatype in taken.get(dtype, numbers):
        assert rows_of(one, [tensor]).count == 1
    else:
        with pytest.raises(DataError, match=f"tensor '{dtype}' is of {datatype}.*{dtype}"):
            rows_of(one, [tensor])


WRONG = {
    "NaN in a required column": ("double", "FP64", [1.0, float("nan")], "nan in row 1"),
    "infinity": ("double", "FP64", [float("inf"), 1.0], "inf in row 0"),
    "infinity where nulls may be": ("double?", "FP64", [float("inf"), 1.0], "inf in row 0"),
    "infinity in a narrow column": ("float", "FP32", [float("-inf"), 1.0], "-inf in row 0"),
    "null in a required column": ("double", "INT64", [1, None], "null in row 1"),
    "null for a whole number": ("long?", "INT64", [None, 1], "null in row 0"),
    "NaN for a whole number": ("long?", "FP64", [1.0, float("nan")], "nan in row 1"),
    "a fraction": ("long", "FP64", [1.0, 2.5], "2.5.*no whole number"),
    "too large for long": ("long", "UINT64", [1, 2**63], "9223372036854775808 in row 1"),
    "too large for integer": ("integer", "INT64", [1, 2**31], "2147483648 in row 1"),
    "too large as a number": ("long", "FP64", [1.0, 1e300], "no whole number"),
    "too large for float": ("float", "FP64", [1.0, 1e300], "32-bit"),
    "null for a boolean": ("boolean", "BOOL", [None, True], "null in row 0"),
    "null for a text": ("string", "BYTES", ["a", None], "null in row 1"),
    "no UTF-8": ("string", "BYTES", ["a", b"\xff"], "no text in row 1"),
    "no time": ("datetime", "BYTES", ["soon", "later"], "no time"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_value_that_a_column_cannot_hold_is_refused_by_name(what):
    dtype, datatype, values, reason = WRONG[what]
    one = decoder(Column("c", dtype.rstrip("?"), not dtype.endswith("?")))
    with pytest.raises(DataError, match=f"'c'.*{reason}"):
        rows_of(one, [of_values("c", datatype, [2], values)])


def test_nulls_where_the_model_has_seen_them():
    names = ["double", "float", "boolean", "string", "datetime", "binary"]
    nulls = [of_values(name, EVERY[name], [2], [None, GOOD[name][0]]) for name in names]
    one = decoder(*(Column(name, name, False) for name in names))
    rows = rows_of(one, nulls)
    assert np.isnan(rows.columns["double"][0])
    assert rows.columns["string"].tolist() == [None, "a"]
    assert rows.columns["boolean"].tolist() == [None, True]
    assert rows_of(one, nulls[:1]).columns["string"].tolist() == [None, None]


SHAPES = {
    "three dimensions": ([2, 1, 1], "shape"),
    "two columns in one": ([1, 2], "shape"),
    "no dimension": ([], "elements"),
}


@pytest.mark.parametrize("what", SHAPES)
def test_a_column_is_a_vector(what):
    shape, reason = SHAPES[what]
    with pytest.raises(DataError, match=f"tensor 'x'.*{reason}"):
        rows_of(decoder(Column("x", "double")), [of_values("x", "FP64", shape, [1.0, 2.0])])


def test_a_scalar_is_no_column():
    with pytest.raises(DataError, match=r"tensor 'x' has the shape \[\]"):
        rows_of(decoder(Column("x", "double")), [of_values("x", "FP64", [], [1.0])])


def test_columns_that_are_missing_unknown_twice_or_of_other_lengths():
    two = decoder(Column("x", "double"), Column("y", "double"))
    x, y = (of_values(name, "FP64", [2], [1.0, 2.0]) for name in "xy")
    with pytest.raises(DataError, match="'y' is missing"):
        rows_of(two, [x])
    with pytest.raises(DataError, match=r"'yy' is not known.*'y'"):
        rows_of(two, [x, of_values("yy", "FP64", [2], [1.0, 2.0])])
    with pytest.raises(DataError, match="tensor 'x' is there twice"):
        rows_of(two, [x, y, x])
    with pytest.raises(DataError, match="'x' has 2, 'y' has 1"):
        rows_of(two, [x, of_values("y", "FP64", [1], [1.0])])
    with pytest.raises(DataError, match="there are no inputs"):
        rows_of(two, [])
    with pytest.raises(DataError, match="there are no rows"):
        rows_of(two, [of_values(name, "FP64", [0, 1], []) for name in "xy"])


def test_one_tensor_of_all_features():
    one = decoder(Column("x", "double"), Column("n", "long"), key="id")
    block = of_values("input-0", "FP32", [2, 2], [0.5, 1.0, 1.5, 2.0])
    rows = rows_of(one, [block])
    assert rows.columns["x"].tolist() == [0.5, 1.5]
    assert rows.columns["n"].tolist() == [1, 2]
    keyed = rows_of(one, [of_values("id", "BYTES", [2], ["a", "b"]), block])
    assert keyed.key == ["a", "b"]
    texts = decoder(Column("a", "string"), Column("b", "string"))
    said = rows_of(texts, [of_values("in", "BYTES", [1, 2], ["p", b"q"])])
    assert (said.columns["a"].tolist(), said.columns["b"].tolist()) == (["p"], ["q"])


def test_one_tensor_of_all_features_that_does_not_fit():
    two = decoder(Column("x", "double"), Column("plan", "string"))
    with pytest.raises(DataError, match="tensor 'in' has 3 columns, the model has 2"):
        rows_of(two, [of_values("in", "FP64", [1, 3], [1.0, 2.0, 3.0])])
    with pytest.raises(DataError, match="tensor 'plan' is of FP64"):
        rows_of(two, [of_values("in", "FP64", [1, 2], [1.0, 2.0])])
    with pytest.raises(DataError, match="'in' is not known"):
        rows_of(two, [of_values("in", "FP64", [2], [1.0, 2.0])])


def test_time_key_and_target_may_come_along():
    one = decoder(Column("x", "double"), time="ts", key="id", target="y")
    extra = [
        of_values("ts", "BYTES", [1], ["2026-01-31T12:00:00"]),
        of_values("id", "INT64", [1], [7]),
        of_values("y", "BOOL", [1], [True]),
    ]
    rows = rows_of(one, [of_values("x", "FP64", [1], [1.0]), *extra])
    assert str(rows.time[0]) == "2026-01-31T12:00:00.000000"
    assert rows.key == ["7"]
    assert list(rows.columns) == ["x"]


def test_content_types_of_mlserver():
    def read(kind, values, dtype="string"):
        tensor = of_values("c", "BYTES", [1], values, {"content_type": kind})
        return rows_of(decoder(Column("c", dtype, False)), [tensor]).columns["c"].tolist()

    for kind in ("str", "pd", "np", "datetime", None):
        assert read(kind, ["a"]) == ["a"]
    assert read("base64", ["w7w="]) == ["ü"]
    assert read("base64", [b"AP8="], "binary") == [b"\x00\xff"]
    assert read("pd_json", ['"a"']) == ["a"]
    assert read("pd_json", ["null"]) == [None]
    with pytest.raises(DataError, match=r"content_type 'hf'.*base64"):
        read("hf", ["a"])
    for kind, values in (("base64", ["%"]), ("pd_json", ["{"]), ("pd_json", ["1"])):
        with pytest.raises(
            DataError, match=f"tensor 'c' is no text in row 0; it is read as {kind}"
        ):
            read(kind, values)


def test_parameters_that_are_not_the_protocols_are_the_models():
    schema = '[{"name": "top", "type": "long", "default": 3, "shape": null}]'
    spec = ModelSpec(1, "regression", (Column("x", "double"),))
    one, plain = Decoder(spec, Parameters(schema)), Decoder(spec)
    x = [of_values("x", "FP64", [1], [1.0])]
    own = {"binary_data_output": True, "content_type": "pd", "priority": 1, "triton_x": 1}
    assert rows_of(one, x, {"top": 5, **own}).params == {"top": 5}
    assert rows_of(one, x, own).params is None
    assert rows_of(plain, x, own).count == 1
    with pytest.raises(DataError, match=r"takes no params.*top"):
        rows_of(plain, x, {"top": 5})
    with pytest.raises(DataError, match="'tpo' is not known; did you mean 'top'"):
        rows_of(one, x, {"tpo": 5})


KINDS = st.sampled_from([*DATATYPES, "BYTES"])
SIZES = st.integers(0, 3)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["x", "n", "plan", "in", "id"]),
            KINDS,
            st.lists(SIZES, max_size=3),
            st.binary(max_size=24),
        ),
        max_size=4,
    )
)
@settings(max_examples=150, deadline=None)
def test_any_tensors_are_rows_or_one_clear_error(parts):
    spec = (Column("x", "double"), Column("n", "long"), Column("plan", "string", False))
    one = decoder(*spec, key="id")
    try:
        tensors = [of_raw(name, kind, shape, raw) for name, kind, shape, raw in parts]
        rows = rows_of(one, tensors)
    except DataError as error:
        said = str(error)
    else:
        said = "rows"
        assert {len(array) for array in rows.columns.values()} == {rows.count}
        assert np.isfinite(rows.columns["x"]).all()
    assert 0 < len(said) < 1000


def test_a_thousand_names_are_refused_at_once():
    tensors = [Tensor(f"t{index}", "FP64", (1,), np.zeros(1)) for index in range(2000)]
    with pytest.raises(DataError, match="is not known"):
        rows_of(decoder(Column("x", "double")), tensors)


UNSIGNED = {
    "one array": ([("in", [2, 2], [1.0, 2.0, 3.0, 4.0])], [[1.0, 2.0], [3.0, 4.0]]),
    "columns": ([("a", [2], [1.0, 3.0]), ("b", [2, 1], [2.0, 4.0])], [[1.0, 2.0], [3.0, 4.0]]),
    "one column": ([("a", [2], [1.0, 3.0])], [[1.0], [3.0]]),
}


@pytest.mark.parametrize("what", UNSIGNED)
def test_a_model_without_a_signature_is_given_what_it_would_be_given_of_json(what):
    parts, expected = UNSIGNED[what]
    tensors = [of_values(name, "FP64", shape, values) for name, shape, values in parts]
    rows = rows_of(decoder(), tensors)
    assert rows.count == 2
    assert np.asarray(rows.columns.data).tolist() == expected


def test_a_model_without_a_signature_needs_rows_too():
    for shape in ([0], [0, 3], [0, 2**62]):
        with pytest.raises(DataError, match=r"tensor 'in'.*no rows"):
            rows_of(decoder(), [of_values("in", "FP64", shape, [])])
