"""One key's rows go, from wherever they are; nobody else's do, whatever happens meanwhile."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import LogError
from lifecycle.stores import compaction, ids, journal, tombstones
from lifecycle.stores.erasing import Erased, done, erase, key_hash
from lifecycle.stores.labels import LabelStore
from lifecycle.stores.predictions import PredictionLog, PredictionWriter
from lifecycle.stores.upkeep import tend

NOW = 1_775_044_800_000_000
DAY = 86_400_000_000
SECRET = b"s" * 32


@pytest.fixture
def writer(tmp_path):
    with PredictionWriter(tmp_path, seal_seconds=1e6, background=False) as made:
        yield made


def append(writer, key, *, model="churn", time=NOW, rows=1, name=None):
    """One request of a key; the id that answers it."""
    token = name or ids.issue(SECRET, model=model, version=1, time=time, key=key, rows=rows)
    x = np.arange(float(rows))
    writer.append(model, 1, token, time=time, features={"x": x}, prediction=x, key=key)
    return token


def keys(folder, model="churn"):
    return PredictionLog(folder).read(model)["key"].to_list()


def everything(folder):
    """All bytes that the log has on disk."""
    return b"".join(path.read_bytes() for path in Path(folder).rglob("*") if path.is_file())


def test_sealed_rows_of_all_days_go_and_all_others_stay(tmp_path, writer):
    for day in range(3):
        for key in ("the person", "another", None):
            append(writer, key, time=NOW + day * DAY)
    append(writer, "the person", time=NOW + 5 * DAY)
    append(writer, "the person", model="fraud")
    writer.seal()
    before = PredictionLog(tmp_path).read("churn")
    erased = erase(tmp_path, "churn", "the person", secret=SECRET)
    assert (erased.sealed, erased.unsealed, erased.files) == (4, 0, 4)
    after = PredictionLog(tmp_path).read("churn")
    others = before.filter(pl.col("key").is_null() | (pl.col("key") == "another"))
    assert after.equals(others)
    assert keys(tmp_path, "fraud") == ["the person"], "another model's rows are another matter"
    assert not list(tmp_path.glob("model=churn/date=2026-04-06/*")), "an empty file is no file"
    assert b"the person" not in everything(tmp_path / "model=churn")


def test_nothing_found_changes_nothing(tmp_path, writer):
    append(writer, "another")
    writer.seal()
    before = everything(tmp_path)
    erased = erase(tmp_path, "churn", "the person", secret=SECRET)
    assert not erased.anything
    assert (erased.sealed, erased.unsealed, erased.labels, erased.files) == (0, 0, 0, 0)
    assert everything(tmp_path) == before


def test_what_a_living_process_has_not_sealed_is_hidden_at_once_and_never_sealed(tmp_path, writer):
    for key in ("the person", "another", "the person"):
        append(writer, key, rows=2)
    erased = erase(tmp_path, "churn", "the person", secret=SECRET)
    assert (erased.sealed, erased.unsealed) == (0, 4)
    assert keys(tmp_path) == ["another"] * 2
    append(writer, "another")
    append(writer, "the person")  # asked again after the erasure: that is logged
    assert keys(tmp_path) == ["another"] * 3 + ["the person"]
    assert list((tmp_path / "journal").glob("*.erased"))
    writer.seal()
    assert keys(tmp_path) == ["another"] * 3 + ["the person"]
    assert not list((tmp_path / "journal").iterdir()) or [
        path.suffix for path in (tmp_path / "journal").iterdir()
    ] == [".journal"]
    assert erase(tmp_path, "churn", "the person", secret=SECRET).sealed == 1
    assert keys(tmp_path) == ["another"] * 3


def test_a_tombstone_is_no_list_of_who_was_erased(tmp_path, writer):
    append(writer, "the person")
    erase(tmp_path, "churn", "the person", secret=SECRET)
    (stone,) = (tmp_path / "journal").glob("*.erased")
    assert b"the person" not in stone.read_bytes()


def test_a_dead_processs_journal_is_sealed_first(tmp_path):
    with PredictionWriter(tmp_path, seal_seconds=1e6, background=False) as writer:
        append(writer, "the person")
        append(writer, "another")
    erased = erase(tmp_path, "churn", "the person", secret=SECRET)
    assert (erased.sealed, erased.unsealed) == (1, 0)
    assert keys(tmp_path) == ["another"]
    assert not list((tmp_path / "journal").glob("*.journal"))


def labels(folder, tokens, model="churn"):
    frame = pl.DataFrame({"prediction_id": tokens, "label": [1] * len(tokens)})
    LabelStore(folder).add(model, frame, SECRET)


def test_labels_go_with_their_predictions(tmp_path, writer):
    theirs = [append(writer, "the person"), append(writer, "the person", rows=2)]
    others = [append(writer, "another"), append(writer, None)]
    labels(tmp_path, [theirs[0], others[0]])
    labels(tmp_path, [f"{theirs[1]}.1"])
    labels(tmp_path, [others[1]])
    assert erase(tmp_path, "churn", "the person", secret=SECRET).labels == 2
    assert sorted(LabelStore(tmp_path).read("churn")["prediction_id"]) == sorted(others)
    assert len(list(tmp_path.glob("labels/model=churn/*.parquet"))) == 2


def test_labels_whose_predictions_are_gone_are_found_by_their_ids(tmp_path, writer):
    token = append(writer, "the person")
    several = append(writer, "the person", rows=2)  # whose rows they are only the log could tell
    labels(tmp_path, [token, f"{several}.0"])
    writer.seal()
    for path in tmp_path.glob("model=churn/date=*/*.parquet"):
        path.unlink()  # as retention does
    erased = erase(tmp_path, "churn", "the person", secret=SECRET)
    assert (erased.sealed, erased.labels) == (0, 1)
    assert LabelStore(tmp_path).read("churn")["prediction_id"].to_list() == [f"{several}.0"]


def test_rows_of_others_that_came_under_the_persons_routing_key_keep_their_labels(tmp_path, writer):
    token = ids.issue(SECRET, model="churn", version=1, time=NOW, key="the person", rows=2)
    x = np.arange(2.0)
    writer.append(
        "churn", 1, token, time=NOW, features={"x": x}, prediction=x, key=["another", "the person"]
    )
    labels(tmp_path, [f"{token}.0", f"{token}.1"])
    erased = erase(tmp_path, "churn", "the person", secret=SECRET)
    assert (erased.unsealed, erased.labels) == (1, 1)
    assert LabelStore(tmp_path).read("churn")["prediction_id"].to_list() == [f"{token}.0"]


def test_merged_files_and_what_a_killed_merge_left_are_erased_too(tmp_path):
    for number in range(3):
        with PredictionWriter(tmp_path, seal_seconds=1e6) as writer:
            append(writer, "the person")
            append(writer, f"another {number}")
    tend(tmp_path, everything=True)
    (day,) = tmp_path.glob("model=churn/date=*")
    left = tmp_path / ".merging" / "model=churn~date=2026-04-01"
    left.mkdir(parents=True, exist_ok=True)
    (left / "old.parquet").write_bytes(b"the person")
    (day / ".half.parquet.tmp").write_bytes(b"the person")
    assert erase(tmp_path, "churn", "the person", secret=SECRET).sealed == 3
    assert b"the person" not in everything(tmp_path)
    assert sorted(keys(tmp_path)) == [f"another {number}" for number in range(3)]


@pytest.mark.parametrize("what", ["parquet", "journal", "labels", "tombstones", "note"])
def test_damage_is_named_and_nothing_is_erased(tmp_path, writer, what):
    token = append(writer, "the person")
    writer.seal()
    labels(tmp_path, [token])
    append(writer, "the person")
    (sealed,) = tmp_path.glob("model=churn/date=*/*.parquet")
    (label,) = tmp_path.glob("labels/model=churn/*.parquet")
    (book,) = (tmp_path / "journal").glob("*.journal")
    note = tmp_path / ".erasing" / key_hash(SECRET, "churn", "the person")
    path = {
        "parquet": sealed,
        "journal": book,
        "labels": label,
        "tombstones": tombstones.beside(book),
        "note": note,
    }[what]
    path.parent.mkdir(exist_ok=True)
    content = path.read_bytes() if path.exists() else b"[1]"
    path.write_bytes(content[: len(content) // 2] + b"\0" + content[len(content) // 2 + 1 :])
    if what in {"parquet", "labels"}:
        path.write_bytes(content[:-10])
    with pytest.raises(LogError) as told:
        erase(tmp_path, "churn", "the person", secret=SECRET)
    assert path.name in str(told.value)
    path.write_bytes(content)
    if what in {"tombstones", "note"}:
        path.unlink()
    assert keys(tmp_path) == ["the person"] * 2
    assert erase(tmp_path, "churn", "the person", secret=SECRET).anything


def test_what_was_erased_is_remembered_until_it_is_recorded(tmp_path, writer):
    append(writer, "the person")
    writer.seal()
    first = erase(tmp_path, "churn", "the person", secret=SECRET)
    assert not first.again
    again = erase(tmp_path, "churn", "the person", secret=SECRET)
    assert again.again
    assert again.sealed == first.sealed == 1
    assert b"the person" not in everything(tmp_path)
    done(tmp_path, again)
    assert not erase(tmp_path, "churn", "the person", secret=SECRET).anything


def test_a_hash_tells_neither_model_nor_key():
    one = key_hash(SECRET, "churn", "c7")
    others = [("churn", "c8", SECRET), ("fraud", "c7", SECRET), ("churn", "c7", b"t" * 32)]
    assert len({one, *(key_hash(secret, model, key) for model, key, secret in others)}) == 4
    assert len(one) == 32
    assert Erased(one).anything is False


def test_a_model_that_was_never_logged_has_nothing_to_erase(tmp_path):
    assert not erase(tmp_path / "none", "churn", "c7", secret=SECRET).anything


# An erasure that is killed before its n-th change of a folder, whatever that is.
ERASING = """
import os, signal, sys
from pathlib import Path
from lifecycle.stores.erasing import erase
left = int(sys.argv[2])
def counted(change):
    def change_or_die(*args, **more):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return change(*args, **more)
    return change_or_die
Path.rename, Path.unlink = counted(Path.rename), counted(Path.unlink)
erase(sys.argv[1], "churn", "the person", secret=b"s" * 32)
"""


def test_an_erasure_that_is_killed_harms_nobody_and_goes_on(tmp_path):
    wanted, tokens = [], []
    for number in range(12):
        with PredictionWriter(tmp_path, seal_seconds=1e6) as made:
            tokens.append(append(made, "the person", time=NOW + number * DAY))
            wanted.append(append(made, "another", time=NOW + number * DAY))
    with PredictionWriter(tmp_path, seal_seconds=1e6, background=False) as living:
        tokens.append(append(living, "the person"))
        wanted.append(append(living, "another"))
        labels(tmp_path, tokens + wanted)
        ended, killed = False, 0
        for step in (1, 2, 3, 5, 8, 13, 21, 1000):
            command = [sys.executable, "-c", ERASING, str(tmp_path), str(step)]
            code = subprocess.run(command, check=False).returncode
            ended, killed = code == 0, killed + (code == -signal.SIGKILL)
            found = PredictionLog(tmp_path).read("churn")
            others = found.filter(pl.col("key") == "another")
            assert sorted(others["prediction_id"]) == sorted(wanted)
            if ended:
                break
        assert ended
        assert killed > 3
        assert erase(tmp_path, "churn", "the person", secret=SECRET).again
    assert sorted(PredictionLog(tmp_path).read("churn")["prediction_id"]) == sorted(wanted)
    assert sorted(LabelStore(tmp_path).read("churn")["prediction_id"]) == sorted(wanted)
    PredictionLog(tmp_path).seal()
    assert b"the person" not in everything(tmp_path)


def test_a_server_that_logs_and_seals_meanwhile_loses_no_row_of_others(tmp_path):
    stop = threading.Event()
    logged = []

    def serve():
        with PredictionWriter(tmp_path, seal_seconds=0.03, seal_bytes=4000) as made:
            number = 0
            while not stop.is_set() and number < 3000:
                append(made, "the person", name=f"theirs-{number}")
                logged.append(append(made, f"another {number}", name=f"other-{number}"))
                number += 1
                time.sleep(0.002)

    serving = threading.Thread(target=serve)
    serving.start()
    try:
        for _ in range(6):
            so_far = len(logged)
            erase(tmp_path, "churn", "the person", secret=SECRET)
            found = set(PredictionLog(tmp_path).read("churn")["prediction_id"])
            early = {f"theirs-{number}" for number in range(so_far)}
            assert not found & early, "what was logged before the call is gone"
            tend(tmp_path, everything=True)
    finally:
        stop.set()
        serving.join()
    erase(tmp_path, "churn", "the person", secret=SECRET)
    found = PredictionLog(tmp_path).read("churn")["prediction_id"].to_list()
    assert sorted(found) == sorted(logged)
    assert b"theirs-" not in everything(tmp_path / "model=churn")
    assert not list((tmp_path / "journal").iterdir())


SERVING = """
import sys
import numpy as np
from lifecycle.stores.predictions import PredictionWriter
x = np.ones(1)
with PredictionWriter(sys.argv[1], seal_seconds=1e6) as writer:
    for line in sys.stdin:
        name, key = line.split()
        writer.append("churn", 1, name, time=1775044800000000, key=key, features={"x": x},
                      prediction=x)
        print("answered", flush=True)
"""


def test_another_process_goes_on_logging_and_seals_what_is_left(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", SERVING, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def ask(name, key):
            process.stdin.write(f"{name} {key}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "answered\n"

        for number in range(3):
            ask(f"theirs-{number}", "person")
            ask(f"other-{number}", "another")
        erased = erase(tmp_path, "churn", "person", secret=SECRET)
        assert (erased.sealed, erased.unsealed) == (0, 3)
        ask("other-3", "another")
        assert keys(tmp_path) == ["another"] * 4
        process.stdin.close()
        process.wait()
    assert keys(tmp_path) == ["another"] * 4
    assert b"theirs-" not in everything(tmp_path / "model=churn")
    assert not list((tmp_path / "journal").iterdir())


def test_an_erasure_waits_for_a_merge_and_is_not_undone_by_it(tmp_path, monkeypatch):
    for _ in range(3):
        with PredictionWriter(tmp_path, seal_seconds=1e6) as made:
            append(made, "the person")
            append(made, "another")
    begun, go = threading.Event(), threading.Event()
    write = compaction.sealed.write_whole

    def slowly(frame, path):
        begun.set()
        go.wait(10)
        write(frame, path)

    monkeypatch.setattr(compaction.sealed, "write_whole", slowly)
    merging = threading.Thread(target=tend, args=(tmp_path,), kwargs={"everything": True})
    merging.start()
    begun.wait(10)
    found = []
    erasing = threading.Thread(
        target=lambda: found.append(erase(tmp_path, "churn", "the person", secret=SECRET))
    )
    erasing.start()
    time.sleep(0.1)
    assert not found, "files that are read for a merge must not change under it"
    go.set()
    merging.join()
    erasing.join()
    assert found[0].sealed == 3
    assert keys(tmp_path) == ["another"] * 3


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["p", "q", None]), st.integers(1, 3)), max_size=10),
    st.integers(0, 10),
    st.integers(0, 10),
)
def test_whatever_was_logged_the_others_rows_are_what_is_left(
    tmp_path_factory, requests, sealed_after, erased_after
):
    folder = tmp_path_factory.mktemp("log")
    wanted = []
    with PredictionWriter(folder, seal_seconds=1e6, background=False) as made:
        for number, (key, rows) in enumerate(requests):
            if number == sealed_after:
                made.seal()
            if number == erased_after:
                erase(folder, "churn", "p", secret=SECRET)
            x = np.arange(float(rows))
            names = [f"{number}-{row}" for row in range(rows)]
            given_keys = [key if row % 2 == 0 else "r" for row in range(rows)]
            made.append(
                "churn", 1, names, time=NOW, features={"x": x}, prediction=x, key=given_keys
            )
            wanted += [
                name
                for name, its in zip(names, given_keys, strict=True)
                if its != "p" or (number >= erased_after)
            ]
        if erased_after >= len(requests):
            wanted = [
                name
                for name in wanted
                if requests[int(name.split("-")[0])][0] != "p" or name.endswith("-1")
            ]
            erase(folder, "churn", "p", secret=SECRET)
        for _ in range(2):
            found = PredictionLog(folder).read("churn")["prediction_id"].to_list()
            assert sorted(found) == sorted(wanted)
            made.seal()


def test_a_tombstone_ends_where_the_journal_did(writer):
    append(writer, "p")
    book = writer._journal.path
    tombstones.bury(book, "churn", "p", before=book.stat().st_size)
    append(writer, "p", name="later")
    tombstones.bury(book, "churn", "q", before=book.stat().st_size)
    (rows,) = journal.read(book).values()
    assert rows["prediction_id"].to_list() == ["later"]
    assert len(tombstones.read(book)) == 2
    assert not [path for path in book.parent.iterdir() if path.suffix == ".tmp"]


def test_a_tombstone_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path):
    book = tmp_path / "none" / "1.journal"
    with pytest.raises(LogError, match="nothing can be erased"):
        tombstones.bury(book, "churn", "p", before=1)
    assert not list(tmp_path.iterdir())
