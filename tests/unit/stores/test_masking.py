"""What must not be in the log is not there, in no file and in no form that can be tried out."""

import logging

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.config import LogConfig
from lifecycle.errors import ConfigError
from lifecycle.stores import ids
from lifecycle.stores.masking import Mask
from lifecycle.stores.predictions import PredictionLog, PredictionWriter

SECRET = b"s" * 32
TEXT = st.text(max_size=8)


@settings(max_examples=50, deadline=None)
@given(TEXT, TEXT)
def test_equal_values_have_equal_hashes_and_others_others(one, other):
    mask = Mask(hashed=["x"], secret=SECRET)
    assert (mask.hash_of("x", one) == mask.hash_of("x", other)) == (one == other)
    assert one == "" or one not in mask.hash_of("x", one) or len(one) < 3
    assert mask.hash_of("x", one) != mask.hash_of("y", one)
    assert Mask(hashed=["x"], secret=b"t" * 32).hash_of("x", one) != mask.hash_of("x", one)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (np.array([1.5, np.nan]), ["1.5", None]),
        (np.array([1, -2]), ["1", "-2"]),
        (np.array([1, 2], "i4"), ["1", "2"]),
        (np.array([True, False]), ["True", "False"]),
        (np.array(["a", None], object), ["a", None]),
        (np.array(["é", "b"]), ["é", "b"]),
        (np.array(["2026-01-01", "NaT"], "M8[us]"), ["2026-01-01 00:00:00", None]),
    ],
)
def test_values_of_every_type_are_hashed_and_nulls_stay(values, texts):
    mask = Mask(hashed=["x"], secret=SECRET)
    kept, types = mask.apply({"x": values}, {"x": "whatever"})
    assert kept["x"].tolist() == [mask.hash_of("x", text) for text in texts]
    assert types == {"x": "string"}
    assert all(item is None or len(item) == 32 for item in kept["x"])


def test_the_other_columns_are_as_they_were():
    features = {"a": np.array([1.0]), "b": np.array([2.0]), "c": np.array(["x"], object)}
    types = {"a": "double", "b": "double", "c": "string"}
    kept, told = Mask(["b"], ["c"], secret=SECRET).apply(features, types)
    assert list(kept) == ["a", "c"]
    assert kept["a"] is features["a"]
    assert told == types
    assert Mask(["b"], ["c"], secret=SECRET).apply({}, {})[0] == {}


def test_a_column_is_not_both_dropped_and_hashed(tmp_path):
    with pytest.raises(ConfigError, match="'b' is both dropped and hashed"):
        Mask.of(LogConfig(dir=str(tmp_path), drop=("a", "b"), hash=("b",)))
    assert Mask.of(LogConfig(dir=str(tmp_path))) is None


def test_a_name_that_is_no_feature_is_said_once(caplog):
    mask = Mask(["agee"], secret=SECRET)
    features = {"age": np.array([41.0])}
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            mask.apply(features, {})
            mask.apply({}, {})  # a request that failed
    (record,) = caplog.records
    assert "'agee', which is no feature" in record.getMessage()


def test_nothing_of_a_masked_column_is_in_any_file(tmp_path):
    mask = Mask(["name"], ["town", "age"], secret=SECRET)
    with PredictionWriter(tmp_path, seal_seconds=1e6, background=False, mask=mask) as writer:
        for number in range(3):
            block = np.array([[41.5, 19.25], [1.0, 2.0]])
            features = {
                "name": np.array(["Ada Lovelace", "Grace Hopper"], object),
                "town": np.array(["Turin", None], object),
            }
            writer.append(
                "churn",
                1,
                [f"{number}a", f"{number}b"],
                time=1_775_044_800_000_000,
                features=features | {"age": block[0], "calls": block[1]},
                prediction=np.array([1, 0]),
                types={"name": "string", "town": "string", "age": "double", "calls": "double"},
            )
        failing = {"name": np.array(["Ada Lovelace"], object)}
        writer.append("churn", 1, "bad", time=0, features=failing, prediction=None, error="no")
        journal = writer._journal.path.read_bytes()
    for step in range(2):
        content = (
            journal
            if step == 0
            else b"".join(path.read_bytes() for path in tmp_path.rglob("*.parquet"))
        )
        for secret in (b"Lovelace", b"Hopper", b"Turin", np.float64(41.5).tobytes()):
            assert secret not in content
        rows = PredictionLog(tmp_path).read("churn", since="2026-01-01")
        first = rows["features"].struct.unnest().row(0, named=True)
        assert first == {
            "town": mask.hash_of("town", "Turin"),
            "age": mask.hash_of("age", "41.5"),
            "calls": 1.0,
        }
        assert rows["features"].struct.field("town").null_count() == 3
        PredictionLog(tmp_path).seal()


def test_numbers_in_one_block_are_masked_too(tmp_path):
    mask = Mask(["a"], ["b"], secret=SECRET)
    block = np.arange(6.0).reshape(3, 2)
    with PredictionWriter(tmp_path, background=False, mask=mask) as writer:
        writer.append(
            "churn",
            1,
            "id",
            time=1_775_044_800_000_000,
            features=dict(zip("abc", block, strict=True)),
            prediction=np.ones(2),
            block=block,
        )
    rows = PredictionLog(tmp_path).read("churn")["features"].struct.unnest()
    assert rows.schema == {"b": pl.String, "c": pl.Float64}
    assert rows["b"].to_list() == [mask.hash_of("b", "2.0"), mask.hash_of("b", "3.0")]


def test_all_processes_of_a_log_hash_alike(tmp_path):
    config = LogConfig(dir=str(tmp_path), hash=("x",))
    one, other = Mask.of(config), Mask.of(config)
    assert one.hash_of("x", "a") == other.hash_of("x", "a")
    assert one.hash_of("x", "a") == Mask([], ["x"], secret=ids.secret(tmp_path)).hash_of("x", "a")
