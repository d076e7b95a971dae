"""What a shadow answered stands beside its model's log: erased, merged and expired with it."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import LogError
from lifecycle.stores import ids, journal, tombstones
from lifecycle.stores.erasing import done, erase, key_hash
from lifecycle.stores.log import SHADOW
from lifecycle.stores.predictions import PredictionLog, PredictionWriter
from lifecycle.stores.retention import expire
from lifecycle.stores.sealed import files
from lifecycle.stores.upkeep import tend

NOW = 1_775_044_800_000_000
DAY = 86_400_000_000
SECRET = b"s" * 32
COPIES = "churn" + SHADOW


@pytest.fixture
def writer(tmp_path):
    with PredictionWriter(tmp_path, seal_seconds=1e6, background=False) as made:
        yield made


def answer(writer, key, *, rows=1, time=NOW, copied=True, logged=True):
    """One request that the champion answered and its shadow copied; its id."""
    own = key if isinstance(key, str) else None
    token = ids.issue(SECRET, model="churn", version=1, time=time, key=own, rows=rows)
    x = np.arange(float(rows))
    given = {"time": time, "prediction": x}
    if logged:
        writer.append("churn", 1, token, key=key, features={"x": x}, **given)
    if copied:
        writer.append(COPIES, 2, token, features={}, arm="shadow", **given)
    return token


def copies(folder):
    return PredictionLog(folder).read(COPIES)["prediction_id"].to_list()


def everything(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_shadow_is_no_model_of_its_own(tmp_path, writer):
    answer(writer, "ann")
    writer.append("shadow@house", 1, "id", time=NOW, features={}, prediction=np.ones(1))
    writer.seal()
    assert (tmp_path / "model=churn%40shadow").is_dir()
    assert PredictionLog(tmp_path).models() == ("churn", "shadow@house")
    assert len(PredictionLog(tmp_path).read("churn")) == 1
    assert len(PredictionLog(tmp_path).read(COPIES)) == 1


def test_sealed_copies_of_a_key_are_erased_with_its_rows(tmp_path, writer):
    gone = answer(writer, "the person", time=NOW)
    several = answer(writer, ["other", "the person", None], rows=3, time=NOW + DAY)
    kept = answer(writer, "other", time=NOW)
    writer.seal()
    erased = erase(tmp_path, "churn", "the person", secret=SECRET)
    assert (erased.sealed, erased.copies, erased.unsealed, erased.files) == (2, 2, 0, 4)
    assert sorted(copies(tmp_path)) == sorted([f"{several}.0", f"{several}.2", kept])
    done(tmp_path, erased)
    assert gone.encode() not in everything(tmp_path)
    assert f"{several}.1".encode() not in everything(tmp_path)
    assert not erase(tmp_path, "churn", "the person", secret=SECRET).anything


def test_copies_that_are_not_sealed_are_hidden_at_once_and_never_sealed(tmp_path, writer):
    gone, kept = answer(writer, "the person"), answer(writer, "other")
    erased = erase(tmp_path, "churn", "the person", secret=SECRET)
    assert (erased.unsealed, erased.copies, erased.sealed) == (1, 1, 0)
    assert copies(tmp_path) == [kept]
    later = answer(writer, "the person")
    assert sorted(copies(tmp_path)) == sorted([kept, later])
    writer.seal()
    assert sorted(copies(tmp_path)) == sorted([kept, later])
    done(tmp_path, erased)
    assert gone.encode() not in everything(tmp_path)


def test_copies_whose_originals_are_gone_are_found_by_their_ids(tmp_path, writer):
    answer(writer, "the person", logged=False)
    answer(writer, None, logged=False)
    writer.seal()
    erased = erase(tmp_path, "churn", "the person", secret=SECRET)
    assert (erased.sealed, erased.copies) == (0, 1)
    assert erased.anything
    assert len(copies(tmp_path)) == 1


def test_a_file_of_copies_that_are_all_of_one_key_is_removed(tmp_path, writer):
    answer(writer, "the person")
    writer.seal()
    erase(tmp_path, "churn", "the person", secret=SECRET)
    assert files(tmp_path, COPIES) == files(tmp_path, "churn") == []


def test_damaged_copies_are_named_and_nothing_is_erased(tmp_path, writer):
    answer(writer, "the person")
    writer.seal()
    (path,) = files(tmp_path, COPIES)
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(LogError) as refused:
        erase(tmp_path, "churn", "the person", secret=SECRET)
    assert str(path) in str(refused.value)
    assert PredictionLog(tmp_path).read("churn")["key"].to_list() == ["the person"]


def test_copies_are_remembered_until_they_are_recorded(tmp_path, writer):
    answer(writer, "the person")
    writer.seal()
    first = erase(tmp_path, "churn", "the person", secret=SECRET)
    again = erase(tmp_path, "churn", "the person", secret=SECRET)
    assert (again.copies, again.sealed, again.again) == (first.copies, first.sealed, True)
    assert again.key_hash == key_hash(SECRET, "churn", "the person")


def test_an_erasure_that_was_killed_before_its_copies_goes_on(tmp_path, writer):
    answer(writer, "the person")
    writer.seal()
    (path,) = files(tmp_path, COPIES)
    content = path.read_bytes()
    erase(tmp_path, "churn", "the person", secret=SECRET)
    path.write_bytes(content)  # as if it had not come so far; the rows themselves are gone
    assert len(copies(tmp_path)) == 1
    erase(tmp_path, "churn", "the person", secret=SECRET)
    assert copies(tmp_path) == []


def test_tombstones_of_ids_are_no_list_of_them(tmp_path):
    book = tmp_path / "1.journal"
    tombstones.bury_ids(book, COPIES, ["first", "second"], before=100)
    content = tombstones.beside(book).read_bytes()
    assert b"first" not in content
    (stone,) = tombstones.read(book)
    assert len(stone.ids) == 2


def test_tombstones_of_ids_end_where_the_journal_did_and_are_of_one_model(writer):
    answer(writer, "ann")
    book = writer._journal.path
    names = {
        frame["model"][0]: frame["prediction_id"].to_list() for frame in journal.read(book).values()
    }
    tombstones.bury_ids(book, COPIES, names[COPIES], before=book.stat().st_size)
    left = [frame["model"][0] for frame in journal.read(book).values()]
    assert left == ["churn"]


@given(
    requests=st.lists(st.tuples(st.sampled_from(["p", "q", None]), st.booleans()), max_size=8),
    sealed=st.integers(0, 8),
)
@settings(max_examples=15, deadline=None)
def test_the_others_copies_are_what_is_left(tmp_path_factory, requests, sealed):
    folder = tmp_path_factory.mktemp("log")
    with PredictionWriter(folder, seal_seconds=1e6, background=False) as made:
        wanted = []
        for at, (key, copied) in enumerate(requests):
            token = answer(made, key, copied=copied)
            wanted += [token] if copied and key != "p" else []
            if at == sealed:
                made.seal()
        erased = erase(folder, "churn", "p", secret=SECRET)
        assert erased.copies == sum(key == "p" and copied for key, copied in requests)
        for _ in range(2):
            assert sorted(copies(folder)) == sorted(wanted)
            made.seal()


def test_copies_are_merged_and_expire_by_themselves(tmp_path, writer):
    for _ in range(3):
        answer(writer, "ann")
        writer.seal()
    before = copies(tmp_path)
    tend(tmp_path, everything=True)
    assert len(files(tmp_path, COPIES)) == len(files(tmp_path, "churn")) == 1
    assert sorted(copies(tmp_path)) == sorted(before)
    later = datetime(2100, 1, 1, tzinfo=UTC)
    assert expire(tmp_path, keep_days=30, now=later)[0] == 2
    assert copies(tmp_path) == []
