"""Small files become one: no reader and no killed process doubles or loses a row."""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lifecycle.errors import LogError
from lifecycle.stores import compaction, sealed
from lifecycle.stores.compaction import exchange, merge
from lifecycle.stores.locks import UPKEEP, held
from lifecycle.stores.predictions import PredictionLog, PredictionWriter

NOW = 1_775_044_800_000_000  # 2026-04-01T12:00
DAY = 86_400_000_000


def small_files(folder, count, *, rows=3, version=1, day=0, model="churn", start=0, dtype="f8"):
    """So many sealed files of a few rows each, whose ids count up from `start`."""
    for number in range(start, start + count):
        with PredictionWriter(folder, seal_seconds=1e6) as writer:
            x = (np.arange(rows) + rows * number).astype(dtype)
            writer.append(
                model,
                version,
                [f"{version}-{number}-{row}" for row in range(rows)],
                time=NOW + day * DAY + number,
                features={"x": x},
                prediction=x,
            )


def plain(folder, model="churn"):
    """What a reader that knows nothing of us sees."""
    frames = pl.scan_parquet(f"{folder}/model={model}/date=*/*.parquet", hive_partitioning=False)
    return frames.select("prediction_id").collect()["prediction_id"].to_list()


def files(folder):
    return sorted(path.name for path in folder.glob("model=*/date=*/*.parquet"))


def test_a_days_files_become_one_and_its_rows_are_the_same(tmp_path):
    small_files(tmp_path, 5)
    small_files(tmp_path, 2, day=1)
    small_files(tmp_path, 2, model="late & odd")
    before = PredictionLog(tmp_path).read("churn")
    assert len(files(tmp_path)) == 9
    assert merge(tmp_path, everything=True) == 9
    assert len(files(tmp_path)) == 3
    assert all(name.startswith("merged-") for name in files(tmp_path))
    assert PredictionLog(tmp_path).read("churn").equals(before)
    assert PredictionLog(tmp_path).damaged() == ()
    assert not (tmp_path / ".merging").exists() or not list((tmp_path / ".merging").iterdir())
    assert merge(tmp_path, everything=True) == 0, "one file is merged with nothing"


def test_files_of_other_types_are_left_apart_so_that_versions_keep_theirs(tmp_path):
    small_files(tmp_path, 3)
    small_files(tmp_path, 2, version=2, dtype="i8")
    before = PredictionLog(tmp_path).read("churn", version=2)
    assert merge(tmp_path, everything=True) == 5
    assert len(files(tmp_path)) == 2
    after = PredictionLog(tmp_path).read("churn", version=2)
    assert after.equals(before)
    assert after.schema["features"] == pl.Struct({"x": pl.Int64})


def test_merged_files_are_merged_again_and_large_ones_left(tmp_path, monkeypatch):
    small_files(tmp_path, 3)
    merge(tmp_path, everything=True)
    small_files(tmp_path, 3, start=3)
    assert merge(tmp_path, everything=True) == 4
    (name,) = files(tmp_path)
    monkeypatch.setattr(compaction, "LARGE", 2000)
    small_files(tmp_path, 3, start=6)
    assert merge(tmp_path, everything=True) == 0
    assert name in files(tmp_path)
    assert len(plain(tmp_path)) == len(set(plain(tmp_path))) == 27


def test_a_file_whose_journal_is_still_there_is_not_touched(tmp_path):
    small_files(tmp_path, 3)
    first = files(tmp_path)[0]
    journal = tmp_path / "journal" / f"{first.rpartition('.parquet')[0].rpartition('.')[0]}.journal"
    journal.write_bytes(b"")  # the crash came before it was removed
    assert merge(tmp_path, everything=True) == 2
    assert first in files(tmp_path)


def test_what_a_scoring_job_wrote_keeps_its_name(tmp_path):
    small_files(tmp_path, 3)
    rows = PredictionLog(tmp_path).read("churn")
    for part in range(2):
        renamed = rows.with_columns(pl.col("prediction_id") + f"-{part}")
        PredictionLog(tmp_path).write("churn", renamed, name=f"score-job-{part:05}")
    assert merge(tmp_path, everything=True) == 3
    kept = {"score-job-00000.parquet", "score-job-00001.parquet"}
    assert kept < set(files(tmp_path))
    PredictionLog(tmp_path).discard("churn", "score-job")
    assert len(PredictionLog(tmp_path).read("churn")) == 9


@pytest.mark.parametrize(
    ("count", "now", "age", "merged"),
    [
        (3, datetime(2026, 4, 1, 18, tzinfo=UTC), 7200, 0),  # the day lasts
        (33, datetime(2026, 4, 1, 18, tzinfo=UTC), 0, 33),  # but these are many
        (3, datetime(2026, 4, 2, 18, tzinfo=UTC), 7200, 0),  # rows of midnight may still come
        (3, datetime(2026, 4, 3, 18, tzinfo=UTC), 7200, 3),
        (3, datetime(2026, 4, 3, 18, tzinfo=UTC), 0, 0),  # something came just now
    ],
)
def test_when_a_day_is_merged(tmp_path, count, now, age, merged):
    small_files(tmp_path, 1)
    (path,) = tmp_path.glob("model=*/date=*/*.parquet")
    for number in range(1, count):
        named = f"{number}-1-0a0a0a0a.0.parquet"
        (path.parent / named).write_bytes(path.read_bytes())
    moment = time.time() - age
    for item in path.parent.iterdir():
        os.utime(item, (moment, moment))
    assert merge(tmp_path, now=now) == merged


def test_readers_who_ask_what_came_since_are_not_told_of_old_rows(tmp_path):
    small_files(tmp_path, 3)
    for path in tmp_path.glob("model=*/date=*/*.parquet"):
        os.utime(path, (1e9, 1e9))
    merge(tmp_path, everything=True)
    since = datetime(2020, 1, 1, tzinfo=UTC)
    assert len(PredictionLog(tmp_path).read("churn", written=since)) == 0
    assert len(PredictionLog(tmp_path).read("churn")) == 9


def test_a_damaged_file_is_named_and_everything_stays(tmp_path):
    small_files(tmp_path, 3)
    path = next(iter(tmp_path.glob("model=*/date=*/*.parquet")))
    path.write_bytes(path.read_bytes()[:-20])
    before = files(tmp_path)
    with pytest.raises(LogError, match=path.name):
        merge(tmp_path, everything=True)
    assert files(tmp_path) == before


def test_folders_exchange_their_names(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"in {name}").write_text("")
    exchange(tmp_path / "one", tmp_path / "other")
    assert [item.name for item in (tmp_path / "one").iterdir()] == ["in other"]
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "one", tmp_path / "none")


def test_a_file_system_that_cannot_exchange_is_told_apart(tmp_path):
    (tmp_path / "one").mkdir()
    places = [Path(name) for name in ("/dev/shm", "/run") if os.access(name, os.W_OK)]
    places = [path for path in places if path.stat().st_dev != tmp_path.stat().st_dev]
    if not places:
        pytest.skip("there is no second file system to write to")
    other = places[0] / f"lifecycle-{os.getpid()}"
    other.mkdir()
    try:
        with pytest.raises(NotImplementedError, match="cannot exchange"):
            exchange(tmp_path / "one", other)
    finally:
        other.rmdir()


def test_what_was_sealed_while_files_were_merged_is_there(tmp_path, monkeypatch):
    small_files(tmp_path, 4)
    write = sealed.write_whole

    def slowly(frame, path):
        write(frame, path)
        if path.name.startswith("merged-"):
            small_files(tmp_path, 1, start=10)  # another process, at the worst moment

    monkeypatch.setattr(compaction.sealed, "write_whole", slowly)
    assert merge(tmp_path, everything=True) == 4
    assert len(plain(tmp_path)) == len(set(plain(tmp_path))) == 15


def test_files_that_changed_meanwhile_are_not_merged(tmp_path, monkeypatch):
    small_files(tmp_path, 3)
    write = sealed.write_whole

    def erased_meanwhile(frame, path):
        write(frame, path)
        if path.name.startswith("merged-"):
            first = next(iter(sorted(tmp_path.glob("model=*/date=*/*.parquet"))))
            write(pl.read_parquet(first).head(1), first)

    monkeypatch.setattr(compaction.sealed, "write_whole", erased_meanwhile)
    assert merge(tmp_path, everything=True) == 0
    assert len(plain(tmp_path)) == 7


def test_no_reader_ever_sees_a_row_twice_or_not_at_all(tmp_path):
    small_files(tmp_path, 6)
    wanted = sorted(plain(tmp_path))
    stop = threading.Event()
    wrong, looks = [], 0

    def split():
        """Merge, and take the merged file apart again, in the same atomic way."""
        while not stop.is_set():
            with held(tmp_path, UPKEEP):
                merge(tmp_path, everything=True)
            (day,) = tmp_path.glob("model=*/date=*")
            draft = tmp_path / "apart"
            draft.mkdir()
            rows = pl.read_parquet(day / files(tmp_path)[0])
            for number in range(6):
                part = rows.slice(3 * number, 3)
                sealed.write_whole(part, draft / f"{number}-1-0a0a0a0a.0.parquet")
            exchange(draft, day)
            for path in draft.iterdir():
                path.unlink()
            draft.rmdir()

    changing = threading.Thread(target=split)
    changing.start()
    try:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            ours = sorted(PredictionLog(tmp_path).read("churn")["prediction_id"])
            if ours != wanted:
                wrong.append(ours)
            try:
                theirs = sorted(plain(tmp_path))
            except (OSError, pl.exceptions.PolarsError):
                continue  # it opened what it had listed too late, and says so
            looks += 1
            if theirs != wanted:
                wrong.append(theirs)
    finally:
        stop.set()
        changing.join()
    assert wrong == []
    assert looks > 0


MERGING = """
import sys
from lifecycle.stores.upkeep import tend
print("ready", flush=True)
sys.stdin.readline()
print(tend(sys.argv[1], everything=True).merged, flush=True)
"""


def killed_after(folder, seconds):
    """A process that merges, killed so many seconds after it began; whether it was done."""
    with subprocess.Popen(
        [sys.executable, "-c", MERGING, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        return process.stdout.read() != ""


def test_a_merge_that_is_killed_at_any_moment_loses_and_doubles_nothing(tmp_path):
    small_files(tmp_path, 12)
    wanted = sorted(plain(tmp_path))
    for number in range(8):
        done = killed_after(tmp_path, 0.006 * number)
        assert sorted(plain(tmp_path)) == wanted
        assert sorted(PredictionLog(tmp_path).read("churn")["prediction_id"]) == wanted
        if done:
            small_files(tmp_path, 2, start=100 + 2 * number)
            wanted = sorted(plain(tmp_path))
    merge(tmp_path, everything=True)
    assert len(files(tmp_path)) == 1
    assert sorted(plain(tmp_path)) == wanted
    assert not (tmp_path / ".merging").exists() or not list((tmp_path / ".merging").iterdir())
