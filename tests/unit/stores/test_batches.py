"""Several requests in one record: each row keeps its own id, time, key and latency."""

import os
import struct
from zlib import crc32

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError
from lifecycle.stores import journal
from lifecycle.stores.predictions import PredictionLog, PredictionWriter

NOW = 1_775_044_800_000_000


@pytest.fixture
def writer(tmp_path):
    with PredictionWriter(tmp_path, seal_seconds=1e6, background=False) as made:
        yield made


def everything(folder):
    """The log before and after sealing, which must be the same."""
    log = PredictionLog(folder)
    before = log.read("churn")
    log.seal()
    assert log.read("churn").equals(before)
    return before


def test_a_batch_is_one_record_and_one_write(tmp_path, writer):
    writer.append(
        "churn",
        7,
        ["a", "b.0", "b.1"],
        time=NOW,
        features={"x": np.array([1.0, 2.0, 3.0]), "plan": np.array(["p", None, "q"], object)},
        prediction=np.array([1, 0, 1]),
        score=np.array([0.9, 0.1, 0.8]),
        key=["k", None, "m"],
        latency_ms=[0.5, 0.25, 0.125],
        arm="challenger",
        step=2,
    )
    assert len(list(journal._records(writer._journal.path, damaged=False))) == 2  # and the head
    writer.close()
    rows = everything(tmp_path)
    assert rows["prediction_id"].to_list() == ["a", "b.0", "b.1"]
    assert rows["key"].to_list() == ["k", None, "m"]
    assert rows["latency_ms"].to_list() == [0.5, 0.25, 0.125]
    assert rows["arm"].to_list() == ["challenger"] * 3
    assert rows["step"].to_list() == [2] * 3
    assert rows["features"].struct.unnest().rows() == [(1.0, "p"), (2.0, None), (3.0, "q")]
    assert rows["score"].to_list() == [0.9, 0.1, 0.8]


@pytest.mark.parametrize("times", [[NOW, NOW + 1], np.array([NOW, NOW + 1])])
def test_each_row_of_a_batch_may_have_its_own_time(tmp_path, writer, times):
    times = np.array(times).astype("M8[us]") if isinstance(times, list) else times
    x = np.array([1.0, 2.0])
    writer.append("churn", 7, ["a", "b"], time=times, features={"x": x}, prediction=x)
    writer.close()
    assert everything(tmp_path)["time"].dt.timestamp("us").to_list() == [NOW, NOW + 1]


def test_latencies_may_come_as_an_array(tmp_path, writer):
    x = np.array([1.0, 2.0])
    taken = np.array([0.5, 1.5])
    writer.append(
        "churn", 7, ["a", "b"], time=NOW, features={"x": x}, prediction=x, latency_ms=taken
    )
    writer.append("churn", 7, "c", time=NOW, features={"x": x[:1]}, prediction=x[:1], latency_ms=2)
    writer.close()
    assert everything(tmp_path)["latency_ms"].to_list() == [0.5, 1.5, 2.0]


BLOCKS = {
    "columns after columns": lambda block: block,
    "rows after rows": lambda block: np.ascontiguousarray(block.T).T,
    "every second column": lambda block: np.repeat(block, 2, axis=1)[:, ::2],
}


@pytest.mark.parametrize("layout", BLOCKS)
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i4"])
def test_a_block_is_logged_as_its_columns_would_be(tmp_path, layout, rows, dtype):
    block = BLOCKS[layout](np.arange(3 * rows).reshape(3, rows).astype(dtype))
    features = dict(zip("abc", block, strict=True))
    found = []
    for folder, extra in (("plain", {}), ("block", {"block": block})):
        with PredictionWriter(tmp_path / folder, background=False) as made:
            for name in ("r", "s"):
                made.append(
                    "churn",
                    1,
                    name,
                    time=NOW,
                    features=features,
                    prediction=np.ones(rows),
                    **extra,
                )
        found.append(everything(tmp_path / folder))
    assert found[0].equals(found[1])
    assert found[1]["features"].struct.field("c").to_list() == [*block[2]] * 2


@pytest.mark.parametrize("layout", BLOCKS)
def test_a_block_of_numbers_may_stand_among_texts(tmp_path, layout):
    block = BLOCKS[layout](np.arange(6.0).reshape(2, 3))
    texts = {"plan": np.array(["a", None, "c"], object), "town": np.array(["x", "y", "z"], object)}
    features = {"plan": texts["plan"], "n": block[0], "town": texts["town"], "m": block[1]}
    found = []
    for folder, extra in (("plain", {}), ("block", {"block": block})):
        with PredictionWriter(tmp_path / folder, background=False) as made:
            for name in ("r", "s"):
                made.append(
                    "churn", 1, name, time=NOW, features=features, prediction=np.ones(3), **extra
                )
        found.append(everything(tmp_path / folder))
    assert found[0].equals(found[1])
    assert found[1]["features"].struct.unnest().columns == ["plan", "n", "town", "m"]


def test_a_block_and_single_columns_may_take_turns(tmp_path, writer):
    for turn in range(4):
        values = np.array([[turn + 0.5, turn], [turn, -turn]])
        features = {"a": values[0], "b": values[1]}
        block = values if turn % 2 else None
        writer.append(
            "churn", 1, f"{turn}", time=NOW, features=features, prediction=values[0], block=block
        )
    writer.close()
    rows = everything(tmp_path)["features"].struct.unnest()
    assert rows["a"].to_list() == [0.5, 0, 1.5, 1, 2.5, 2, 3.5, 3]
    assert rows["b"].to_list() == [0, 0, 1, -1, 2, -2, 3, -3]


def test_columns_of_all_widths_and_orders_come_back(tmp_path, writer):
    features = {
        "flag": np.array([True, False, True]),
        "text": np.array(["a", "é", None], object),
        "double": np.array([1.5, np.nan, -2.0]),
        "big": np.array([1, 2, 3], ">i4"),
        "when": np.array(["2026-01-01", "NaT", "2026-01-03"], "M8[us]"),
        "half": np.array([0.5, 1.5, 2.5], "f2"),
        "pair": np.arange(6.0).reshape(3, 2),
        "gap": np.array([None, True, False], object),
        "short": np.array([1, 2, 3], "i2")[::-1],
    }
    for size in (3, 1, 3, 2):
        names = [f"{size}{row}" for row in range(size)]
        part = {name: values[:size] for name, values in features.items()}
        writer.append("churn", 1, names, time=NOW, features=part, prediction=np.ones(size))
    writer.close()
    rows = everything(tmp_path)["features"].struct.unnest()
    assert rows.columns == list(features)
    for name, values in features.items():
        whole = [*values.tolist(), *values[:1].tolist(), *values.tolist(), *values[:2].tolist()]
        assert rows[name].to_list() == [None if item != item else item for item in whole]  # noqa: PLR0124


def test_a_request_that_failed_stands_among_batches(tmp_path, writer):
    x = np.array([1.0, 2.0])
    text = np.array(["a", "b"], object)
    writer.append("churn", 1, ["a", "b"], time=NOW, features={"x": x, "s": text}, prediction=x)
    writer.append("churn", 1, "bad", time=NOW, features={}, prediction=None, error="no")
    writer.append("churn", 1, ["c", "d"], time=NOW, features={"x": x, "s": text}, prediction=x)
    writer.close()
    rows = everything(tmp_path)
    assert rows["prediction_id"].to_list() == ["a", "b", "bad", "c", "d"]
    assert rows["features"].to_list()[2] is None
    assert rows["features"].struct.field("s").to_list() == ["a", "b", None, "a", "b"]
    assert rows["error"].to_list() == [None, None, "no", None, None]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"prediction_id": ["a"]}, "ids, times, keys or latencies are not 2"),
        ({"key": ["k", "l", "m"]}, "ids, times, keys or latencies are not 2"),
        ({"latency_ms": [0.5]}, "ids, times, keys or latencies are not 2"),
        ({"features": {"x": np.ones(3)}}, "the features are not 2"),
        ({"features": {"x": np.ones(2), "s": np.array(["a"], object)}}, "the features are not 2"),
        ({"features": {"x": np.ones(2)}, "block": np.ones((1, 3))}, "the features are not 2"),
        ({"time": np.array([NOW])}, "ids, times, keys or latencies are not 2"),
    ],
)
def test_what_does_not_fit_is_refused_and_harms_no_other_row(tmp_path, writer, wrong, named):
    given = {
        "prediction_id": ["a", "b"],
        "time": NOW,
        "features": {"x": np.ones(2)},
        "prediction": np.ones(2),
    }
    writer.append("churn", 1, **given)
    with pytest.raises(DataError, match=named):
        writer.append("churn", 1, **(given | wrong))
    writer.append("churn", 1, **given)
    writer.close()
    assert everything(tmp_path)["prediction_id"].to_list() == ["a", "b"] * 2


def framed(*values):
    payload = msgspec.msgpack.encode(values)
    return struct.pack("<II", len(payload), crc32(payload)) + payload


def test_a_journal_of_the_first_format_is_still_read(tmp_path):
    folder = tmp_path / "journal"
    folder.mkdir()
    columns = [("x", "<f8/"), ("plan", "Ostring"), ("n", "<i4/")]
    x, n = np.array([1.5, 2.5]), np.array([7, 8], "i4")
    values = [x.tobytes(), ["p", None], n.tobytes()]
    answers, scores = np.array([1, 0]).tobytes(), np.array([0.75, 0.25]).tobytes()
    time = NOW
    (folder / "1-1-1.journal").write_bytes(
        framed(0, 0, "churn", 7, columns, "<i8/", "<f8/")
        + framed(1, 0, "old", 2, time, "champion", 0, "k", 0.5, values, answers, scores, None)
        + framed(1, 0, "bad", 1, time, "champion", 0, None, None, [], None, None, "no")
    )
    rows = everything(tmp_path)
    assert rows["error"].to_list() == [None, None, "no"]
    assert rows.drop("time", "error").rows() == [
        ("old.0", "churn", 7, "champion", 0, "k", 0.5, {"x": 1.5, "plan": "p", "n": 7}, 1, 0.75),
        ("old.1", "churn", 7, "champion", 0, "k", 0.5, {"x": 2.5, "plan": None, "n": 8}, 0, 0.25),
        ("bad", "churn", 7, "champion", 0, None, None, None, None, None),
    ]


SIZES = st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.booleans()), max_size=8)


@settings(max_examples=30, deadline=None)
@given(SIZES)
def test_however_requests_are_put_together_each_row_is_its_own(tmp_path_factory, batches):
    folder = tmp_path_factory.mktemp("log")
    wanted = {}
    with PredictionWriter(folder, seal_seconds=1e6, background=False) as made:
        for number, (rows, together, across) in enumerate(batches):
            x = np.arange(rows) + 10.0 * number
            block = np.array([x, -x])
            block = np.ascontiguousarray(block.T).T if across else block
            names = [f"{number}-{row}" for row in range(rows)]
            made.append(
                "churn",
                1,
                names,
                time=NOW,
                features={"x": block[0], "minus": block[1]},
                prediction=x * 2,
                key=[f"k{name}" for name in names],
                block=block if together else None,
            )
            wanted |= {
                name: (f"k{name}", {"x": value, "minus": -value}, 2 * value)
                for name, value in zip(names, x.tolist(), strict=True)
            }
    rows = everything(folder).select("prediction_id", "key", "features", "prediction")
    assert {name: tuple(rest) for name, *rest in rows.rows()} == wanted


def test_a_cut_batch_was_never_answered_and_is_left_out_whole(writer):
    x = np.arange(4.0)
    for name in "ab":
        ids = [f"{name}{row}" for row in range(4)]
        writer.append("churn", 1, ids, time=NOW, features={"x": x}, prediction=x)
    path = writer._journal.path
    whole = path.stat().st_size
    for cut in (1, 40):
        os.truncate(path, whole - cut)
        names = pl.concat(journal.read(path).values())["prediction_id"].to_list()
        assert names == ["a0", "a1", "a2", "a3"]


PARTS = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=5), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None)
@given(PARTS, st.booleans())
def test_one_id_and_one_latency_a_request_become_those_of_its_rows(
    tmp_path_factory, batches, several
):
    folder = tmp_path_factory.mktemp("log")
    wanted = []
    with PredictionWriter(folder, seal_seconds=1e6, background=False) as made:
        for number, parts in enumerate(batches):
            names = [f"{number}-{place}" for place in range(len(parts))]
            latencies = [number + place / 8 for place in range(len(parts))]
            x = np.arange(float(sum(parts)))
            made.append(
                "churn",
                1,
                names,
                time=NOW + number,
                features={"x": x},
                prediction=x,
                latency_ms=latencies if several else 0.5,
                parts=parts,
            )
            rows = zip(names, latencies, parts, strict=True)
            wanted += [
                (name if count == 1 else f"{name}.{row}", latency if several else 0.5)
                for name, latency, count in rows
                for row in range(count)
            ]
        made.append("churn", 1, "one", time=NOW + 99, features={"x": x[:1]}, prediction=x[:1])
    found = everything(folder)
    assert found.select("prediction_id", "latency_ms").rows() == [*wanted, ("one", None)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"parts": [1, 1]},  # of three rows
        {"parts": [1, 1, 1]},  # three requests, two ids
        {"parts": [1, 2], "latency_ms": [0.5] * 3},
        {"parts": [1, 2], "key": ["a", "b"]},
        {"parts": [1, 2], "time": np.array([NOW, NOW], "M8[us]")},
        {"parts": [3], "prediction_id": "id"},
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, writer, wrong):
    x = np.arange(3.0)
    given = {"prediction_id": ["a", "b"], "time": NOW, "features": {"x": x}, "prediction": x}
    given |= wrong
    with pytest.raises(DataError, match="log as many rows as were answered"):
        writer.append("churn", 1, given.pop("prediction_id"), **given)
    writer.close()
    assert len(everything(tmp_path)) == 0


def test_records_without_parts_are_read_as_before(writer):
    x = np.arange(2.0)
    writer.append("churn", 1, ["a", "b"], time=NOW, features={"x": x}, prediction=x)
    record = list(journal._records(writer._journal.path, damaged=False))[-1][1]
    old = msgspec.msgpack.encode(msgspec.msgpack.decode(msgspec.msgpack.encode(record))[:-1])
    assert msgspec.msgpack.decode(old, type=type(record)) == record
