"""The journal: what was appended is read back, damage is told from a cut end, locks from dead."""

import fcntl
import os
import struct
import subprocess
import sys
from contextlib import suppress
from zlib import crc32

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import LogError
from lifecycle.stores import journal
from lifecycle.stores.journal import Journal, adopt, read


@pytest.fixture
def book(tmp_path):
    made = Journal(tmp_path / "log")
    yield made
    made.close()


def add(book, name="id", *, model="churn", version=1, ages=(41.0, 19.0), **changes):
    ages = np.asarray(ages)
    given = {
        "rows": len(ages),
        "time": 1_700_000_000_000_000,
        "features": {"age": ages},
        "prediction": np.ones(len(ages), dtype=np.int64),
    }
    book.append(model, version, name, **{**given, **changes})


def test_a_new_journal_has_its_name_and_its_lock_at_once(book):
    assert [item.name for item in book.path.parent.iterdir()] == [book.path.name]
    assert book.path.suffix == journal.SUFFIX
    assert f"-{os.getpid()}-" in book.path.name
    assert (book.size, read(book.path)) == (0, {})
    assert book.path.stat().st_mode & 0o007 == 0, "predictions are not for everybody"
    assert adopt(book.path) is None, "its process lives"


def test_two_journals_of_one_process_do_not_meet(tmp_path):
    one, two = Journal(tmp_path), Journal(tmp_path)
    add(one, "a")
    add(two, "b")
    assert read(one.path)[0]["prediction_id"].to_list() == ["a.0", "a.1"]
    assert read(two.path)[0]["prediction_id"].to_list() == ["b.0", "b.1"]
    one.close()
    two.close()


def test_what_is_appended_can_be_read_at_once_by_others(book):
    add(book, "id", score=np.array([0.9, 0.1]), key=["x", "y"], arm="shadow", step=3)
    code = (
        "import sys; from pathlib import Path; from lifecycle.stores.journal import read;"
        "print(read(Path(sys.argv[1]))[0].select('arm', 'step', 'key', 'score').rows())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, book.path], capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[('shadow', 3, 'x', 0.9), ('shadow', 3, 'y', 0.1)]"
    assert book.size == book.path.stat().st_size


def test_a_head_is_written_once_for_equal_columns_and_again_for_others(book):
    add(book, "a")
    first = book.size
    add(book, "b")
    assert book.size - first < first, "the second request carries no head"
    add(book, "c", features={"age": np.array([1, 2])})
    add(book, "d", version=2)
    add(book, "e", prediction=np.array(["no", "yes"], dtype=object))
    add(book, "f")
    found = read(book.path)
    ids = {index: rows["prediction_id"].to_list() for index, rows in found.items()}
    assert ids == {
        0: ["a.0", "a.1", "b.0", "b.1", "f.0", "f.1"],
        1: ["c.0", "c.1"],
        2: ["d.0", "d.1"],
        3: ["e.0", "e.1"],
    }
    assert found[2]["version"].to_list() == [2, 2]
    assert found[3]["prediction"].to_list() == ["no", "yes"]


def test_only_one_models_rows_are_read_when_asked(book):
    add(book, "a")
    add(book, "b", model="fraud", ages=[1.0])
    (rows,) = read(book.path, model="fraud").values()
    assert rows["prediction_id"].to_list() == ["b"]
    assert read(book.path, model="nobody") == {}


def test_a_failed_request_keeps_its_reason(book):
    add(book, "good")
    add(book, "bad", ages=[5.0], features={}, prediction=None, error="ValueError: no")
    (rows,) = read(book.path).values()
    assert rows["error"].to_list() == [None, None, "ValueError: no"]
    assert rows["prediction"].to_list() == [1, 1, None]


def test_a_cut_end_is_left_out_and_everything_before_it_stands(book):
    add(book, "a")
    whole = book.size
    add(book, "b")
    for length in (book.size - 1, whole + 9, whole + 7, whole + 1, whole):
        os.truncate(book.path, length)
        assert read(book.path)[0]["prediction_id"].to_list() == ["a.0", "a.1"]


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_a_changed_byte_is_never_taken_for_a_prediction(tmp_path_factory, place, flip):
    book = Journal(tmp_path_factory.mktemp("log"))
    add(book, "a", score=np.array([0.25, 0.75]))
    whole = read(book.path)[0]
    content = bytearray(book.path.read_bytes())
    content[place % len(content)] ^= flip
    book.path.write_bytes(bytes(content))
    book.close()
    found = read(book.path, damaged=True)
    with suppress(LogError):  # damage is said, or looks like a cut end
        assert read(book.path).keys() == found.keys()
    for rows in found.values():  # a length that grew reads as a cut end: less, never other rows
        assert rows.equals(whole)


def test_rows_without_their_head_are_damage(book):
    record = [1, 5, "id", 1, 0, "champion", 0, None, None, [], None, None, None]
    payload = msgspec.msgpack.encode(record)
    book.path.write_bytes(struct.pack("<II", len(payload), crc32(payload)) + payload)
    with pytest.raises(LogError, match="name head 5, which is missing"):
        read(book.path)
    assert read(book.path, damaged=True) == {}


def test_a_closed_journal_belongs_to_nobody_and_is_adopted_once(book):
    add(book)
    book.close()
    book.close()  # twice is once
    descriptor = adopt(book.path)
    assert descriptor is not None
    assert adopt(book.path) is None, "somebody has it"
    os.close(descriptor)
    with pytest.raises(LogError, match="cannot be written"):
        add(book)


def test_a_journal_that_is_gone_cannot_be_adopted(book, tmp_path):
    assert adopt(tmp_path / "none.journal") is None
    waiting = os.open(book.path, os.O_RDWR)
    book.close()
    fcntl.flock(waiting, fcntl.LOCK_EX)
    book.path.unlink()
    os.close(waiting)
    assert adopt(book.path) is None


def test_a_dead_process_lets_go_of_its_journal(tmp_path):
    code = (
        "import os, sys, numpy as np; from lifecycle.stores.journal import Journal;"
        "book = Journal(sys.argv[1]); book.append('churn', 1, 'id', rows=1, time=0,"
        " features={'age': np.array([1.0])}, prediction=np.array([0])); print(book.path);"
        "sys.stdout.flush(); os._exit(9)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False
    )
    assert told.returncode == 9
    (path,) = tmp_path.glob("*.journal")
    assert str(path) == told.stdout.strip()
    descriptor = adopt(path)
    assert descriptor is not None
    os.close(descriptor)
    assert read(path)[0]["prediction_id"].to_list() == ["id"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "log").write_text("a file")
    with pytest.raises(LogError, match="cannot be written") as told:
        Journal(tmp_path / "log")
    assert told.value.where == str(tmp_path / "log")
    assert "nothing was logged" in told.value.fix
