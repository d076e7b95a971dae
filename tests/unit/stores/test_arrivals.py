"""When rows were answered, by their ids; and reading a log piece by piece."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import LogError
from lifecycle.stores import ids
from lifecycle.stores.arrivals import arrivals
from lifecycle.stores.predictions import PredictionLog, PredictionWriter

SECRET = b"k" * 32
NOW = 1_775_044_800_000_000


def at(names, model="churn"):
    rows = pl.DataFrame(
        {"prediction_id": names, "time": [7] * len(names)},
        schema={"prediction_id": pl.String, "time": pl.Int64},
    )
    return rows.select(arrivals(model)).to_series().to_list()


@given(
    ticks=st.integers(0, 253_402_300_799_999_999),
    numbers=st.tuples(*[st.integers(0, 2**32 - 1)] * 2, st.integers(1, 10_000)),
    key=st.none() | st.text(alphabet="abc", max_size=5),
    arm=st.sampled_from(["champion", "challenger-12", "π"]),
)
@settings(max_examples=80, deadline=None)
def test_the_time_is_that_which_an_id_tells_by_itself(ticks, numbers, key, arm):
    version, step, rows = numbers
    token = ids.issue(
        SECRET, model="churn", version=version, time=ticks, arm=arm, step=step, key=key, rows=rows
    )
    told = ids.issued_at(token)
    found = at([token, f"{token}.{rows - 1}"])
    assert found == [ticks // 1000 * 1000] * 2
    by_float = (told - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
    assert abs(found[0] - by_float) <= 1000


@given(name=st.text(max_size=120))
@settings(max_examples=80, deadline=None)
def test_whatever_is_no_id_has_the_time_of_its_row(name):
    assert at([name]) == [7]


def test_an_id_of_another_model_or_half_an_id_is_none():
    token = ids.issue(SECRET, model="churn", version=1, time=NOW)
    broken = token[:28] + "%" * 12 + token[40:]
    assert at([token], model="fraud") == [7]
    assert at([token[:30], broken, "", token]) == [7, 7, 7, NOW]
    assert at([]) == []


def logged(folder, *names, version=1, seal=True):
    with PredictionWriter(folder, seal_seconds=1e6, background=False) as writer:
        for name in names:
            writer.append(
                "churn", version, name, time=NOW, features={"x": np.zeros(1)},
                prediction=np.ones(1), arm=f"arm of {name}",
            )  # fmt: skip
        if seal:
            writer.seal()


def test_pieces_are_files_and_what_is_made_of_them_is_put_together(tmp_path):
    logged(tmp_path, "a", "b")
    logged(tmp_path, "c")
    with PredictionWriter(tmp_path, seal_seconds=1e6, background=False) as writer:
        given = {"time": NOW, "features": {}, "prediction": np.ones(1)}
        writer.append("churn", 1, "d", **given)
        sizes = []

        def each(rows):
            sizes.append(rows.height)
            return rows.select(name=pl.col("prediction_id") + "!")

        log = PredictionLog(tmp_path)
        found = log.read("churn", columns=["prediction_id"], each=each)
    assert sorted(found["name"]) == ["a!", "b!", "c!", "d!"]
    assert sorted(sizes) == [1, 1, 2]
    empty = PredictionLog(tmp_path / "none").read("churn", columns=["prediction_id"], each=each)
    assert (empty.columns, empty.height) == (["name"], 0)


def test_only_rows_that_are_asked_for_are_read(tmp_path):
    logged(tmp_path, "a", "b")
    logged(tmp_path, "c", seal=False)
    log = PredictionLog(tmp_path)
    wanted = pl.col("arm").is_in(["arm of b", "arm of c"])
    assert sorted(log.read("churn", where=wanted)["prediction_id"]) == ["b", "c"]
    assert log.read("churn", where=wanted, version=2).height == 0


@pytest.mark.parametrize("asked", [["a.b"], ["b", "none"], ["none"], []])
def test_only_the_features_that_are_asked_for_are_decoded(tmp_path, asked):
    features = {"a.b": np.ones(1), "b": np.array(["x"], object), "c": np.zeros(1)}
    with PredictionWriter(tmp_path, seal_seconds=1e6, background=False) as writer:
        writer.append("churn", 1, "id", time=NOW, features=features, prediction=np.ones(1))
        writer.append("churn", 2, "id", time=NOW, features={}, prediction=np.ones(1))
        writer.seal()
    met = []

    def each(rows):
        known = rows.schema.get("features")
        met.append(sorted(item.name for item in known.fields) if known else [])
        return rows.select("prediction_id")

    where = pl.col("version") == 1
    columns = ["prediction_id", "features"]
    found = PredictionLog(tmp_path).read(
        "churn", columns=columns, fields=asked, each=each, where=where
    )
    assert found.height == 1
    assert [] in met
    assert sorted({*asked} & {*features}) in met


def test_a_damaged_piece_is_named(tmp_path):
    logged(tmp_path, "a")
    logged(tmp_path, "b")
    path = min(tmp_path.glob("model=*/date=*/*.parquet"))
    content = path.read_bytes()
    path.write_bytes(content[:4] + bytes(40) + content[44:])
    with pytest.raises(LogError) as refused:
        PredictionLog(tmp_path).read("churn", each=lambda rows: rows.select("prediction_id"))
    assert str(path) in str(refused.value)
