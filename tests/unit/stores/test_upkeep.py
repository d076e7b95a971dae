"""What is deleted, what never is, and the process of its own that a server leaves it to."""

import os
import threading
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from lifecycle.errors import LogError
from lifecycle.stores import ids, predictions, upkeep
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.locks import SEALING, UPKEEP, held
from lifecycle.stores.predictions import PredictionLog, PredictionWriter
from lifecycle.stores.retention import expire
from lifecycle.stores.upkeep import Kept, apart, tend

NOW = datetime(2026, 4, 10, 12, tzinfo=UTC)


def logged(folder, *days, model="churn", name="id", rows=1, background=True):
    """Sealed rows of so many days ago, sealed on their own day."""
    for day in days:
        moment = NOW - timedelta(days=day)
        with PredictionWriter(folder, seal_seconds=1e6, background=background) as writer:
            x = np.random.default_rng(day).random(rows)
            writer.append(
                model,
                1,
                [f"{name}{day}-{row}" for row in range(rows)],
                time=int(moment.timestamp() * 1e6),
                features={"x": x},
                prediction=x,
            )
        for path in folder.glob(f"model={model}/date={moment.date()}/*.parquet"):
            os.utime(path, (moment.timestamp(), moment.timestamp()))


def days(folder, model="churn"):
    found = folder.glob(f"model={model}/date=*")
    return [(NOW.date() - datetime.fromisoformat(path.name[5:]).date()).days for path in found]


def test_nothing_is_deleted_unless_it_is_asked_for(tmp_path):
    logged(tmp_path, 0, 400)
    assert expire(tmp_path, now=NOW) == (0, 0)
    assert sorted(days(tmp_path)) == [0, 400]


@pytest.mark.parametrize(
    ("keep", "left"), [(1, [0, 1]), (2, [0, 1, 2]), (0.2, [0]), (30, [0, 1, 2, 29]), (400, None)]
)
def test_whole_days_go_when_their_end_is_too_long_ago(tmp_path, keep, left):
    logged(tmp_path, 0, 1, 2, 29, 31)
    before = {path: path.stat().st_size for path in tmp_path.glob("model=*/date=*/*.parquet")}
    files, size = expire(tmp_path, keep_days=keep, now=NOW)
    gone = {path: number for path, number in before.items() if not path.exists()}
    assert sorted(days(tmp_path)) == (left or [0, 1, 2, 29, 31])
    assert (files, size) == (len(gone), sum(gone.values()))
    assert not list((tmp_path / ".merging").glob("*")) if files else True
    assert PredictionLog(tmp_path).damaged() == ()


def test_rows_of_long_ago_that_were_scored_today_stay(tmp_path):
    logged(tmp_path, 100)
    (path,) = tmp_path.glob("model=*/date=*/*.parquet")
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    assert expire(tmp_path, keep_days=30, now=NOW) == (0, 0)
    assert expire(tmp_path, keep_days=30, now=NOW + timedelta(days=31))[0] == 1


def test_the_oldest_days_of_all_models_go_until_the_rest_fits(tmp_path):
    logged(tmp_path, 1, 3, rows=2000)
    logged(tmp_path, 2, 4, rows=2000, model="fraud")
    logged(tmp_path, 0, rows=2000)
    each = next(iter(tmp_path.glob("model=*/date=*/*.parquet"))).stat().st_size
    files, size = expire(tmp_path, keep_gb=3.5 * each / 1e9, now=NOW)
    assert files == 2
    assert size == pytest.approx(2 * each, rel=0.01)
    assert (sorted(days(tmp_path)), days(tmp_path, "fraud")) == ([0, 1], [2])
    assert expire(tmp_path, keep_gb=1e-9, now=NOW)[0] == 2
    assert sorted(days(tmp_path)) == [0], "the present day stays, however large it is"


def test_journals_and_labels_are_never_deleted(tmp_path):
    logged(tmp_path, 100)
    writer = PredictionWriter(tmp_path, seal_seconds=1e6, background=False)
    x = np.ones(1)
    writer.append("churn", 1, "unsealed", time=0, features={"x": x}, prediction=x)
    secret = b"s" * 32
    token = ids.issue(secret, model="churn", version=1, time=0)
    labels = pl.DataFrame({"prediction_id": [token], "label": [1]})
    LabelStore(tmp_path).add("churn", labels, secret)
    assert expire(tmp_path, keep_days=1, keep_gb=1e-9, now=NOW)[0] == 1
    assert PredictionLog(tmp_path).read("churn")["prediction_id"].to_list() == ["unsealed"]
    assert len(LabelStore(tmp_path).read("churn")) == 1
    writer.close()


def test_a_folder_of_another_name_is_nobodys_business(tmp_path):
    strange = tmp_path / "model=churn" / "date=unknown"
    strange.mkdir(parents=True)
    (strange / "a.parquet").write_bytes(b"1")
    assert expire(tmp_path, keep_days=1, now=NOW) == (0, 0)
    assert strange.exists()


def test_one_call_seals_merges_and_deletes(tmp_path):
    logged(tmp_path, 3, 3, 3, name="a")
    logged(tmp_path, 9000)
    logged(tmp_path, 1, background=False)
    kept = tend(tmp_path, keep_days=8000, everything=True)
    assert (kept.merged, kept.deleted_files, kept.note) == (3, 1, "")
    assert kept.deleted_bytes > 0
    assert not list((tmp_path / "journal").glob("*.journal"))
    assert sorted(days(tmp_path)) == [1, 3]
    assert tend(tmp_path / "none") == Kept()
    assert not (tmp_path / "none").exists()


def test_a_process_of_its_own_does_the_same(tmp_path):
    logged(tmp_path, 3, 3, name="a")
    logged(tmp_path, 9000)
    logged(tmp_path, 1, background=False)
    assert apart(tmp_path, seal_only=True) == Kept()
    assert not list((tmp_path / "journal").glob("*.journal"))
    assert sorted(days(tmp_path)) == [1, 3, 9000]
    kept = apart(tmp_path, keep_days=8000)
    assert (kept.merged, kept.deleted_files) == (2, 1)  # a past day with no news is merged
    assert sorted(days(tmp_path)) == [1, 3]


def test_its_trouble_comes_back_as_an_error(tmp_path):
    logged(tmp_path, 1, background=False)
    (tmp_path / "model=churn").write_text("in the way")
    with pytest.raises(LogError, match="model=churn") as told:
        apart(tmp_path, seal_only=True)
    assert "Next: free space" in str(told.value)
    assert len(PredictionLog(tmp_path).journals()) == 1


def test_a_process_that_cannot_start_is_an_error_too(tmp_path, monkeypatch):
    monkeypatch.setattr(upkeep, "_CODE", "raise SystemExit('no such thing')")
    with pytest.raises(LogError, match="upkeep failed: no such thing"):
        apart(tmp_path)


def test_a_process_that_takes_too_long_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(upkeep, "_CODE", "import time; time.sleep(600)")
    monkeypatch.setattr(upkeep, "LONGEST", 0.2)
    with pytest.raises(LogError, match="upkeep failed: exit code -15"):
        apart(tmp_path)


def test_a_writer_that_ends_does_not_wait_for_it_and_seals_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(predictions, "APART_BYTES", 0)
    monkeypatch.setattr(upkeep, "_CODE", "import time; time.sleep(600)")
    writer = PredictionWriter(tmp_path, seal_seconds=0.05)
    x = np.ones(1)
    moment = int(NOW.timestamp() * 1e6)
    writer.append("churn", 1, "id", time=moment, features={"x": x}, prediction=x)
    wait(writer._sealing.locked)
    begun = time.monotonic()
    writer.close()
    assert time.monotonic() - begun < 60
    assert days(tmp_path) == [0]
    assert writer.trouble == ""


def test_one_upkeep_at_a_time(tmp_path):
    logged(tmp_path, 3, 3, name="a")
    with held(tmp_path, UPKEEP):
        assert tend(tmp_path, everything=True) == Kept()
    assert tend(tmp_path, everything=True).merged == 2


def test_sealing_goes_on_beside_sealing_and_waits_for_who_exchanges_files(tmp_path):
    logged(tmp_path, 1, background=False)
    with held(tmp_path, SEALING, shared=True):
        assert PredictionLog(tmp_path).seal() == 1
    logged(tmp_path, 1, background=False)
    done = []
    sealing = threading.Thread(target=lambda: done.append(PredictionLog(tmp_path).seal()))
    with held(tmp_path, SEALING):
        sealing.start()
        time.sleep(0.2)
        assert done == []
    sealing.join()
    assert done == [1]


def wait(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_a_writer_leaves_large_journals_and_upkeep_to_another_process(tmp_path, monkeypatch):
    monkeypatch.setattr(predictions, "APART_BYTES", 1000)
    logged(tmp_path, 9000, 3, 3)
    with PredictionWriter(tmp_path, seal_seconds=0.05, keep_days=8000) as writer:
        x = np.arange(400.0)
        moment = int(NOW.timestamp() * 1e6)
        writer.append("churn", 1, "large", time=moment, features={"x": x}, prediction=x)
        wait(lambda: 0 in days(tmp_path))
        assert writer.kept == Kept()
        writer._upkeep = 0.0
        wait(lambda: writer.kept.merged)
        assert writer.kept.deleted_files == 1
        assert writer.trouble == ""
    assert sorted(days(tmp_path)) == [0, 3]
    assert len(PredictionLog(tmp_path).read("churn")) == 402


def test_a_lock_of_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LogError, match="cannot be changed"), held(tmp_path / "file", UPKEEP):
        pass


def test_the_process_has_a_group_of_its_own_in_our_session(tmp_path, monkeypatch):
    # a session of its own would have a share of the core as large as the server's
    told = "f'{os.getpgid(0)} {os.getpid()} {os.getsid(0)}'"
    code = f"import os, json; print(json.dumps({{'note': {told}}}))"
    monkeypatch.setattr(upkeep, "_CODE", code)
    group, process, session = apart(tmp_path).note.split()
    assert group == process
    assert int(session) == os.getsid(0)


def test_the_process_has_a_low_priority(tmp_path, monkeypatch):
    code = upkeep._CODE.partition("from lifecycle")[0]
    monkeypatch.setattr(upkeep, "_CODE", f"{code} print('{{\"merged\":', os.nice(0), '}}')")
    assert apart(tmp_path).merged == min(19, os.nice(0) + upkeep._NICENESS)
