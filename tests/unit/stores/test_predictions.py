import os
import resource
import signal
import subprocess
import sys
import threading
import time as clock
from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DataError, LogError
from lifecycle.stores import journal, predictions, sealed
from lifecycle.stores.predictions import PredictionLog, PredictionWriter
from lifecycle.stores.rows import COLUMNS, TIME

NOW = 1_775_044_800_000_000  # 2026-04-01T12:00
DAY = 86_400_000_000


@pytest.fixture
def writer(tmp_path):
    with PredictionWriter(tmp_path, seal_seconds=1e6, background=False) as made:
        yield made


def append(writer, prediction_id="id", **changes):
    given = {
        "time": NOW,
        "features": {"age": np.array([41.0]), "plan": np.array(["pro"], object)},
        "prediction": np.array([1]),
        "score": np.array([0.75]),
        "latency_ms": 0.5,
    }
    writer.append(
        changes.pop("model", "churn"), changes.pop("version", 7), prediction_id, **given | changes
    )


def parquet(folder):
    return sorted(folder.glob("model=*/date=*/*.parquet"))


def test_a_row_comes_back_as_it_was_before_and_after_sealing(tmp_path, writer):
    append(writer, arm="challenger", step=3, key="c1")
    before = PredictionLog(tmp_path).read("churn")
    assert not parquet(tmp_path)
    writer.seal()
    PredictionLog(tmp_path).seal()
    assert len(parquet(tmp_path)) == 1
    assert not PredictionLog(tmp_path)._unsealed("churn", skip_damaged=False)
    after = PredictionLog(tmp_path).read("churn")
    assert before.equals(after)
    assert after.schema == before.schema
    assert after.row(0, named=True) == {
        "prediction_id": "id",
        "time": datetime(2026, 4, 1, 12, tzinfo=UTC),
        "model": "churn",
        "version": 7,
        "arm": "challenger",
        "step": 3,
        "key": "c1",
        "latency_ms": 0.5,
        "features": {"age": 41.0, "plan": "pro"},
        "prediction": 1,
        "score": 0.75,
        "error": None,
    }


def test_the_files_have_the_promised_schema(tmp_path, writer):
    append(writer)
    writer.close()
    PredictionLog(tmp_path).seal()
    (path,) = parquet(tmp_path)
    assert path.parent == tmp_path / "model=churn" / "date=2026-04-01"
    assert pl.read_parquet_metadata(path)["lifecycle.schema"] == "1"
    schema = pl.read_parquet_schema(path)
    assert tuple(schema) == COLUMNS
    assert schema["time"] == TIME
    assert schema["features"] == pl.Struct({"age": pl.Float64, "plan": pl.String})
    assert schema["score"] == pl.Float64


@pytest.mark.parametrize(
    ("prediction", "score", "kinds"),
    [
        (np.array([1, 0]), np.array([0.5, 0.2]), (pl.Int64, pl.Float64)),
        (np.array([True, False]), np.array([0.5, 0.2]), (pl.Boolean, pl.Float64)),
        (np.array(["yes", "no"]), np.array([0.5, 0.2]), (pl.String, pl.Float64)),
        (np.array(["a", "b"], object), np.eye(3)[:2], (pl.String, pl.List(pl.Float64))),
        (np.array([2, 1], np.int8), np.eye(3)[:2], (pl.Int64, pl.List(pl.Float64))),
        (np.array([1.5, np.inf], np.float32), None, (pl.Float64, pl.Float64)),
        (np.array([1.5, -2.0]), None, (pl.Float64, pl.Float64)),
    ],
)
def test_answers_keep_their_type(tmp_path, writer, prediction, score, kinds):
    append(
        writer, features={"x": np.array([1.0, 2.0])}, prediction=prediction, score=score, key=None
    )
    rows = PredictionLog(tmp_path).read("churn")
    assert (rows.schema["prediction"], rows.schema["score"]) == kinds
    assert rows["prediction"].to_list() == prediction.tolist()
    assert rows["score"].to_list() == ([None, None] if score is None else score.tolist())
    assert rows["prediction_id"].to_list() == ["id.0", "id.1"]


def test_each_kind_of_feature_comes_back(tmp_path, writer):
    features = {
        "double": np.array([1.5, np.nan]),
        "float": np.array([1.5, np.nan], np.float32),
        "long": np.array([2**60, -1]),
        "integer": np.array([3, 4], np.int32),
        "flag": np.array([True, False]),
        "gap": np.array([True, None], object),
        "text": np.array(["é", None], object),
        "when": np.array(["2026-01-01", "NaT"], "M8[us]"),
        "bytes": np.array(["ab", "c"]),
    }
    append(writer, features=features, prediction=np.array([1, 0]), score=None)
    found = PredictionLog(tmp_path).read("churn")["features"].struct.unnest()
    assert found.to_dict(as_series=False) == {
        "double": [1.5, None],
        "float": [1.5, None],
        "long": [2**60, -1],
        "integer": [3, 4],
        "flag": [True, False],
        "gap": [True, None],
        "text": ["é", None],
        "when": [datetime(2026, 1, 1), None],  # noqa: DTZ001 - a feature's own clock
        "bytes": ["ab", "c"],
    }


def test_a_column_of_nothing_keeps_its_declared_type(tmp_path, writer):
    features = {"gap": np.array([None], object), "text": np.array([None], object)}
    append(writer, features=features, types={"gap": "boolean", "text": "string"})
    assert PredictionLog(tmp_path).read("churn").schema["features"] == pl.Struct(
        {"gap": pl.Boolean, "text": pl.String}
    )


def test_times_and_keys_of_rows_are_their_own(tmp_path, writer):
    times = np.array(["2026-04-01T10:00", "2026-04-02T10:00", "NaT"], "M8[us]")
    append(
        writer,
        time=times,
        key=["a", None, "b"],
        features={"x": np.zeros(3)},
        prediction=np.array([1, 2, 3]),
        score=None,
    )
    append(writer, "other")
    writer.close()
    PredictionLog(tmp_path).seal()
    rows = PredictionLog(tmp_path).read("churn")
    assert rows["prediction_id"].to_list() == ["id.0", "other", "id.1", "id.2"]
    assert rows["key"].to_list() == ["a", None, None, "b"]
    today = datetime.now(UTC).date()
    assert rows["time"].dt.date().to_list() == [*[date(2026, 4, 1)] * 2, date(2026, 4, 2), today]
    days = {path.parent.name for path in parquet(tmp_path)}
    assert days == {"date=2026-04-01", "date=2026-04-02", f"date={today}"}


def test_failed_requests_stand_among_the_answered_ones(tmp_path, writer):
    append(writer, "first", prediction=None, score=None, features={}, error="no columns")
    append(writer, "second", time=NOW + 1)
    append(writer, "third", time=NOW + 2, prediction=None, score=None, error="it broke")
    append(writer, "fourth", time=NOW + 3, prediction=None, score=None, features={}, error="x")
    append(writer, "fifth", time=NOW + 4)
    rows = PredictionLog(tmp_path).read("churn")
    assert rows["prediction"].to_list() == [None, 1, None, None, 1]
    assert rows["score"].to_list() == [None, 0.75, None, None, 0.75]
    assert rows["error"].to_list() == ["no columns", None, "it broke", "x", None]
    known = {"age": 41.0, "plan": "pro"}
    assert rows["features"].to_list() == [None, known, known, None, known]
    writer.close()
    PredictionLog(tmp_path).seal()
    assert PredictionLog(tmp_path).read("churn").equals(rows)


def test_versions_with_other_columns_are_read_together(tmp_path, writer):
    append(writer, "old", version=1, features={"age": np.array([41]), "plan": np.array([1])})
    new = {"age": np.array([0.5]), "region": np.array(["x"], object), "plan": np.array(["p"])}
    append(writer, "new", version=2, features=new, prediction=np.array(["yes"]), time=NOW + 1)
    several = np.array([[0.1, 0.2, 0.7]])
    append(writer, "more", version=3, features=new, score=several, time=NOW + 2)
    log = PredictionLog(tmp_path)
    for _ in range(2):
        rows = log.read("churn")
        assert rows["features"].to_list() == [
            {"age": 41.0, "plan": "1", "region": None},
            {"age": 0.5, "plan": "p", "region": "x"},
            {"age": 0.5, "plan": "p", "region": "x"},
        ]
        assert rows["prediction"].to_list() == ["1", "yes", "1"]
        assert rows["score"].to_list() == [[0.75], [0.75], [0.1, 0.2, 0.7]]
        assert log.read("churn", version=1)["prediction"].to_list() == [1]
        writer.seal()
        log.seal()


def test_models_with_odd_names_have_folders_of_their_own(tmp_path, writer):
    names = ["a/b", "..", "ü x", "100%", "model=x", "a b?#&"]
    for name in names:
        append(writer, name, model=name)
    writer.close()
    log = PredictionLog(tmp_path)
    log.seal()
    assert len(parquet(tmp_path)) == len(names)
    assert log.models() == tuple(sorted(names))
    for name in names:
        assert log.read(name)["prediction_id"].to_list() == [name]


def test_a_window_is_inclusive_at_its_start_only(tmp_path, writer):
    for day in range(4):
        append(writer, str(day), time=NOW + day * DAY, version=day % 2)
    log = PredictionLog(tmp_path)

    def ids(**window):
        return log.read("churn", **window)["prediction_id"].to_list()

    for _ in range(2):
        assert ids(since="2026-04-02") == ["1", "2", "3"]
        assert ids(since="2026-04-02T12:00", until="2026-04-04T12:00") == ["1", "2"]
        assert ids(since="2026-04-02T14:00+02:00", until=date(2026, 4, 3)) == ["1"]
        assert ids(until=datetime(2026, 4, 2, tzinfo=UTC)) == ["0"]
        assert ids(version=1) == ["1", "3"]
        assert ids(since="2027-01-01") == []
        writer.seal()
        log.seal()


def test_columns_are_chosen_and_known(tmp_path, writer):
    append(writer)
    assert PredictionLog(tmp_path).read("churn", columns=["score"]).to_dicts() == [{"score": 0.75}]
    with pytest.raises(DataError, match="no column 'age'"):
        PredictionLog(tmp_path).read("churn", columns=["age"])
    with pytest.raises(DataError, match="since is 'yesterday'"):
        PredictionLog(tmp_path).read("churn", since="yesterday")
    assert sealed.moment(date(2026, 4, 1)) == datetime(2026, 4, 1, tzinfo=UTC)


def test_a_log_that_is_not_there_is_empty(tmp_path):
    rows = PredictionLog(tmp_path / "none").read("churn")
    assert tuple(rows.columns) == COLUMNS
    assert len(rows) == 0
    assert PredictionLog(tmp_path / "none").seal() == 0
    assert PredictionLog(tmp_path / "none").damaged() == ()
    assert not (tmp_path / "none").exists()


def test_other_tools_read_the_partitions(tmp_path, writer):
    for day in range(3):
        append(writer, str(day), time=NOW + day * DAY)
    writer.close()
    PredictionLog(tmp_path).seal()
    rows = pl.scan_parquet(f"{tmp_path}/model=*/date=*/*.parquet", hive_partitioning=True)
    one = rows.filter(pl.col("date") == date(2026, 4, 2)).collect()
    assert one["prediction_id"].to_list() == ["1"]
    assert one["model"].to_list() == ["churn"]
    for folder, ignored in ((tmp_path / "model=churn", []), (tmp_path, ["journal", "labels"])):
        found = ds.dataset(folder, partitioning="hive", ignore_prefixes=[".", *ignored])
        one = found.to_table(filter=ds.field("date") == "2026-04-02")
        assert one["prediction_id"].to_pylist() == ["1"]
        assert one["model"].to_pylist() == ["churn"]


def test_a_torn_tail_is_ignored_at_every_length(tmp_path, writer):
    append(writer, "whole")
    (path,) = (tmp_path / "journal").glob("*.journal")
    whole = path.stat().st_size
    append(writer, "torn")
    content = path.read_bytes()
    for length in range(whole, len(content)):
        path.write_bytes(content[:length])
        assert PredictionLog(tmp_path).read("churn")["prediction_id"].to_list() == ["whole"]


def test_a_damaged_journal_is_named_and_can_be_skipped(tmp_path, writer):
    append(writer, "whole")
    (path,) = (tmp_path / "journal").glob("*.journal")
    size = path.stat().st_size
    append(writer, "broken")
    content = bytearray(path.read_bytes())
    content[size + 30] ^= 255
    path.write_bytes(content)
    log = PredictionLog(tmp_path)
    with pytest.raises(LogError, match=path.name):
        log.read("churn")
    with pytest.warns(UserWarning, match="read up to the damage"):
        assert log.read("churn", skip_damaged=True)["prediction_id"].to_list() == ["whole"]
    assert path.name in log.damaged()[0]
    writer.close()
    with pytest.raises(LogError, match=path.name):
        log.seal()
    assert path.exists()


@pytest.mark.parametrize("damage", ["footer", "pages", "empty", "foreign", "future"])
def test_a_damaged_file_is_named_and_can_be_skipped(tmp_path, writer, damage):
    append(writer, "good", version=1)
    append(writer, "bad", version=2)
    writer.close()
    log = PredictionLog(tmp_path)
    log.seal()
    path = parquet(tmp_path)[-1]
    content = bytearray(path.read_bytes())
    if damage == "footer":
        path.write_bytes(content[:-10])
    elif damage == "pages":
        path.write_bytes(content[:4] + bytes(200) + content[204:])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        pl.DataFrame({"a": [1]}).write_parquet(path)
    else:
        pl.read_parquet(path).write_parquet(path, metadata={"lifecycle.schema": "2"})
    with pytest.raises(LogError, match=path.name):
        log.read("churn")
    with pytest.warns(UserWarning, match=path.name):
        assert log.read("churn", skip_damaged=True)["prediction_id"].to_list() == ["good"]


def test_a_crash_between_the_steps_of_sealing_doubles_nothing(tmp_path, writer):
    for day in range(3):
        append(writer, str(day), time=NOW + day * DAY)
    writer.close()
    (path,) = (tmp_path / "journal").glob("*.journal")
    content = path.read_bytes()
    log = PredictionLog(tmp_path)
    whole = log.read("churn")
    log.seal()
    path.write_bytes(content)  # all Parquet written, the journal not removed
    assert log.read("churn").equals(whole)
    parquet(tmp_path)[1].unlink()  # one day not written yet
    assert log.read("churn").equals(whole)
    assert log.seal() == 1
    assert len(parquet(tmp_path)) == 3
    assert log.read("churn").equals(whole)
    assert not list((tmp_path / "journal").iterdir())


def test_a_living_journal_is_read_but_not_sealed_by_others(tmp_path, writer):
    append(writer)
    assert PredictionLog(tmp_path).seal() == 0
    assert len(PredictionLog(tmp_path).read("churn")) == 1
    with PredictionWriter(tmp_path, seal_seconds=1e6) as other:
        append(other, "other")
        assert len(PredictionLog(tmp_path).read("churn")) == 2
    assert len(parquet(tmp_path)) == 1


def test_sealing_happens_by_itself(tmp_path):
    with PredictionWriter(tmp_path, seal_seconds=0.1) as writer:
        append(writer)
        _wait(lambda: parquet(tmp_path))
    with PredictionWriter(tmp_path / "b", seal_seconds=1e6, seal_bytes=1000) as writer:
        for index in range(150):
            append(writer, str(index))
        _wait(lambda: parquet(tmp_path / "b"))
        assert len(PredictionLog(tmp_path / "b").read("churn")) == 150
    assert not list((tmp_path / "b" / "journal").iterdir())
    writer.close()


def test_full_journals_are_let_go_and_wait_to_be_sealed_together(tmp_path):
    with PredictionWriter(tmp_path, seal_seconds=1e6, seal_bytes=1000) as writer:
        for index in range(30):
            append(writer, str(index))
        let_go = len(list((tmp_path / "journal").glob("*.journal"))) - 1
        assert 1 < let_go < predictions.TOGETHER
        assert not parquet(tmp_path)
        assert len(PredictionLog(tmp_path).read("churn")) == 30
        writer.seal()
        assert len(parquet(tmp_path)) == let_go + 1
        assert len(PredictionLog(tmp_path).read("churn")) == 30


def test_rows_are_sealed_in_time_also_while_journals_fill(tmp_path):
    with PredictionWriter(tmp_path, seal_seconds=0.5, seal_bytes=2000) as writer:
        for index in range(200):
            append(writer, str(index))
            if parquet(tmp_path):
                break
            threading.Event().wait(0.05)
        assert parquet(tmp_path)
        assert writer.trouble == ""


def _wait(happened):
    event = threading.Event()
    for _ in range(200):
        if happened():
            return
        event.wait(0.02)
    raise AssertionError("it did not happen")


def test_readers_lose_and_double_nothing_while_threads_write_and_seal(tmp_path):
    writer = PredictionWriter(tmp_path, seal_seconds=0.02, seal_bytes=3000)
    acknowledged, stop = [], threading.Event()

    def work(name):
        for index in range(150):
            append(writer, f"{name}-{index}", time=NOW + (index % 2) * DAY)
            acknowledged.append(f"{name}-{index}")
        stop.set()

    threads = [threading.Thread(target=work, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    while not stop.is_set():
        before = set(acknowledged)
        found = PredictionLog(tmp_path).read("churn")["prediction_id"].to_list()
        assert len(found) == len(set(found))
        assert before <= set(found)
    for thread in threads:
        thread.join()
    writer.close()
    assert sorted(PredictionLog(tmp_path).read("churn")["prediction_id"]) == sorted(acknowledged)


def test_a_forked_child_writes_a_journal_of_its_own(tmp_path, writer):
    append(writer, "parent")
    code = os.fork()
    if code == 0:
        append(writer, "child")
        writer.close()
        os._exit(0)
    os.waitpid(code, 0)
    append(writer, "again")
    rows = PredictionLog(tmp_path).read("churn")
    assert sorted(rows["prediction_id"]) == ["again", "child", "parent"]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 4),
            st.integers(1, 2),
            st.integers(-3, 3),
            st.none() | st.text(max_size=5),
        ),
        max_size=12,
    )
)
def test_whatever_is_appended_is_read_once(tmp_path_factory, requests):
    folder = tmp_path_factory.mktemp("log")
    log = PredictionLog(folder)
    expected = {}
    with PredictionWriter(folder, seal_seconds=1e6, background=False) as writer:
        for number, (rows, version, day, key) in enumerate(requests):
            values = np.arange(rows) + number * 10.0
            append(
                writer,
                f"r{number}",
                version=version,
                time=NOW + day * DAY,
                key=key,
                features={"x": values},
                prediction=values,
                score=None,
            )
            for row in range(rows):
                name = f"r{number}" if rows == 1 else f"r{number}.{row}"
                expected[name] = (version, key, values[row])
        for step in range(2):
            found = log.read("churn")
            rows = zip(*(found[name] for name in ("prediction_id", "version", "key")), strict=True)
            answers = zip(found["prediction"], found["features"], strict=True)
            assert len(found) == len(expected)
            for (name, *rest), (prediction, features) in zip(rows, answers, strict=True):
                assert (*rest, prediction) == expected[name]
                assert features == {"x": prediction}
            assert found["time"].is_sorted()
            if step == 0:
                writer.seal()
                log.seal()


def test_write_stores_sealed_rows_and_replaces_by_name(tmp_path, writer):
    append(writer)
    rows = PredictionLog(tmp_path).read("churn")
    log = PredictionLog(tmp_path / "direct")
    log.write("churn", rows, name="chunk-0")
    log.write("churn", rows, name="chunk-0")
    log.write("churn", rows)
    assert len(parquet(tmp_path / "direct")) == 2
    assert log.read("churn").equals(pl.concat([rows, rows]))


def test_an_unwritable_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match="cannot be written"):
        PredictionWriter(tmp_path / "file")
    with pytest.raises(LogError, match="cannot be written"):
        sealed.write_whole(pl.DataFrame({"a": [1]}), tmp_path / "file" / "a.parquet")


FULL = """
import resource, signal, sys
import numpy as np
from lifecycle.errors import LogError
from lifecycle.stores.predictions import PredictionLog, PredictionWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = sys.argv[1]
writer = PredictionWriter(folder, seal_seconds=1e6, background=False)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
values = np.random.default_rng(0).random(8)
count = 0
try:
    for _ in range(1000):
        writer.append("churn", 1, f"id{count}", time=1775044800000000, prediction=values,
                      features={"x": values, "y": values * 7})
        count += 1
except LogError as error:
    print(count, len(PredictionLog(folder).read("churn")))
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
writer.close()
try:
    PredictionLog(folder).seal()
except LogError as error:
    print(error)
"""


def test_a_full_disk_loses_nothing_and_leaves_no_half_file(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True
    )
    counts, while_writing, while_sealing = done.stdout.splitlines()
    written, read = map(int, counts.split())
    assert written > 10
    assert read == 8 * written
    assert "File too large" in while_writing
    assert "Next: free space" in while_writing
    assert "Next: free space" in while_sealing
    assert not [path for path in tmp_path.rglob("*") if "parquet" in path.name]
    log = PredictionLog(tmp_path)
    assert log.seal() == 1
    assert len(log.read("churn")) == read


def test_trouble_in_the_background_is_shown_and_mended(tmp_path):
    with PredictionWriter(tmp_path, seal_seconds=0.05) as writer:
        (tmp_path / "model=churn").write_text("in the way")
        append(writer)
        _wait(lambda: writer.trouble)
        assert "model=churn" in writer.trouble
        (tmp_path / "model=churn").unlink()
        _wait(lambda: parquet(tmp_path))
        _wait(lambda: not writer.trouble)
    assert len(PredictionLog(tmp_path).read("churn")) == 1


def test_a_journal_of_a_living_process_cannot_be_adopted(tmp_path):
    mine = journal.Journal(tmp_path)
    assert journal.adopt(mine.path) is None
    mine.close()
    descriptor = journal.adopt(mine.path)
    assert descriptor is not None
    assert journal.adopt(mine.path) is None
    os.close(descriptor)
    assert journal.adopt(tmp_path / "gone.journal") is None


def test_a_head_that_was_not_written_is_written_with_the_next_request(tmp_path):
    made = journal.Journal(tmp_path)
    row = {"rows": 1, "time": NOW, "features": {"age": np.array([41.0])}}
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, most = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))
    try:
        with pytest.raises(LogError):
            made.append("churn", 7, "lost", **row, prediction=np.array([1]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    made.append("churn", 7, "kept", **row, prediction=np.array([1]))
    made.close()
    assert journal.read(made.path)[0]["prediction_id"].to_list() == ["kept"]


def test_rows_whose_head_is_missing_are_damage_not_a_crash(tmp_path):
    made = journal.Journal(tmp_path)
    made._known["churn", 7, (("age", "<f8/"),), "<i8/", ""] = 0
    features = {"age": np.array([41.0])}
    made.append("churn", 7, "id", rows=1, time=0, features=features, prediction=np.array([1]))
    made.close()
    with pytest.raises(LogError, match="head 0, which is missing"):
        journal.read(made.path)
    assert journal.read(made.path, damaged=True) == {}


@pytest.mark.parametrize("ending", ["close", "seal"])
def test_a_forked_child_leaves_its_parents_journal_alone(tmp_path, ending):
    with PredictionWriter(tmp_path, seal_seconds=1e6) as parent:
        append(parent, "before")
        child = os.fork()
        if not child:
            getattr(parent, ending)()
            parent.close()
            os._exit(0)
        os.waitpid(child, 0)
        assert not parquet(tmp_path)
        append(parent, "after")
    assert set(PredictionLog(tmp_path).read("churn")["prediction_id"]) == {"before", "after"}


@pytest.mark.parametrize("year", [-5000, 0, 10_000, 290_000])
def test_a_time_that_no_date_can_hold_is_the_present_one(tmp_path, writer, year):
    far = np.datetime64(year - 1970, "Y").astype("M8[us]")
    append(writer, time=np.array([far]))
    writer.seal()
    PredictionLog(tmp_path).seal()
    times = PredictionLog(tmp_path).read("churn")["time"].to_list()
    assert (datetime.now(UTC) - times[0]).total_seconds() < 60


def test_sealing_goes_on_after_a_journal_was_removed_by_hand(tmp_path):
    with PredictionWriter(tmp_path, seal_seconds=1e6) as made:
        append(made, "gone")
        made._journal.path.unlink()
        made.seal()
        append(made, "kept")
        made.seal()
        assert made._thread.is_alive()
        assert len(parquet(tmp_path)) == 1
    assert PredictionLog(tmp_path).read("churn")["prediction_id"].to_list() == ["kept"]


def test_the_sealing_thread_outlives_what_it_meets(tmp_path):
    with PredictionWriter(tmp_path, seal_seconds=0.1) as made:
        (tmp_path / "journal" / "1-1-1.journal").mkdir()  # no file: opening it fails
        append(made)
        deadline = clock.monotonic() + 10
        while not made.trouble and clock.monotonic() < deadline:
            clock.sleep(0.02)
        assert "directory" in made.trouble
        (tmp_path / "journal" / "1-1-1.journal").rmdir()
        while made.trouble and clock.monotonic() < deadline:
            clock.sleep(0.02)
        assert made.trouble == ""


def test_a_closed_journal_never_writes_into_another_file(tmp_path):
    made = journal.Journal(tmp_path)
    made.close()
    made.close()
    with pytest.raises(LogError):
        made.append("churn", 7, "id", rows=1, time=0, features={}, prediction=np.array([1]))


@pytest.mark.parametrize(
    ("since", "until", "found"),
    [
        (None, None, ["a", "b", "c"]),
        ("2026-04-01T12:00:00", "2026-04-01T12:00:00", []),
        ("2026-04-01T12:00:00", "2026-04-01T12:00:00.000001", ["a"]),
        ("2026-04-01T12:00:00.000001", None, ["b", "c"]),
        (date(2026, 4, 2), date(2026, 4, 3), ["b"]),
        ("2026-04-02T14:00:00+02:00", None, ["b", "c"]),
        ("2026-04-03", "2026-04-01", []),
        (datetime(2026, 4, 3, 12, tzinfo=UTC), None, ["c"]),
    ],
)
def test_a_window_is_the_same_before_and_after_sealing(tmp_path, writer, since, until, found):
    for day, name in enumerate("abc"):
        append(writer, name, time=NOW + day * DAY)
    log = PredictionLog(tmp_path)
    for _ in range(2):
        rows = log.read("churn", since=since, until=until)
        assert rows["prediction_id"].to_list() == found
        assert rows.columns == list(COLUMNS)
        writer.seal()
        log.seal()


@pytest.mark.parametrize("moment", ["soon", "2026-13-01", "", "12026-01-01"])
def test_a_window_of_no_time_is_named(tmp_path, moment):
    with pytest.raises(DataError) as caught:
        PredictionLog(tmp_path).read("churn", since=moment)
    assert caught.value.fix


def test_one_version_is_read_by_itself_before_and_after_sealing(tmp_path, writer):
    for version in (6, 7, 7):
        append(writer, f"v{version}", version=version)
    log = PredictionLog(tmp_path)
    for _ in range(2):
        assert log.read("churn", version=7)["prediction_id"].to_list() == ["v7", "v7"]
        assert len(log.read("churn", version=8)) == 0
        writer.seal()
        log.seal()


def test_models_are_named_as_they_are_called(tmp_path, writer):
    log = PredictionLog(tmp_path)
    assert log.models() == ()
    for name in ("churn", "late & odd=/name", "顧客"):
        writer.append(name, 1, "id", time=NOW, features={"x": np.zeros(1)}, prediction=np.zeros(1))
    writer.seal()
    log.seal()
    assert log.models() == ("churn", "late & odd=/name", "顧客")
    assert all(len(log.read(name)) == 1 for name in log.models())
    assert len(log.read("late")) == 0  # no name is another's beginning


def test_what_was_written_can_be_taken_back_and_nothing_else(tmp_path, writer):
    append(writer)
    rows = PredictionLog(tmp_path).read("churn")
    log = PredictionLog(tmp_path / "direct")
    for name in ("batch-1", "batch-1-more", "batch-2"):
        log.write("churn", rows, name=name)
    log.discard("churn", "batch-1")
    assert [path.stem for path in parquet(tmp_path / "direct")] == ["batch-2"]
    log.discard("churn", "batch-1")  # twice is no error
    log.discard("late", "batch-2")
    assert len(log.read("churn")) == 1


def test_a_window_of_one_column_is_in_its_own_type(tmp_path, writer):
    append(writer)
    log = PredictionLog(tmp_path)
    assert log.read("churn", columns=["score"]).schema == {"score": pl.Float64()}
    assert log.read("late", columns=["score"]).schema == {"score": pl.Float64()}
    with pytest.raises(DataError, match="no column 'scores'"):
        log.read("churn", columns=["score", "scores"])


@pytest.mark.parametrize(("features", "rows"), [({}, 1), ({"x": np.zeros(3)}, 3)])
def test_a_request_that_failed_has_a_line_for_each_row_known(tmp_path, writer, features, rows):
    append(writer, features=features, prediction=None, score=None, error="ValueError: x")
    log = PredictionLog(tmp_path).read("churn")
    assert log["error"].to_list() == ["ValueError: x"] * rows
    assert log["prediction"].null_count() == rows


def test_after_the_end_nothing_is_taken_and_nothing_lost(tmp_path):
    made = PredictionWriter(tmp_path, seal_seconds=1e6)
    append(made)
    made.close()
    made.close()
    with pytest.raises(LogError):
        append(made, "late")
    assert PredictionLog(tmp_path).read("churn")["prediction_id"].to_list() == ["id"]
    assert PredictionLog(tmp_path).damaged() == ()
