"""Local copies: made whole or not at all, verified, noted, and tidied up."""

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import DigestMismatch, LogError, ModelNotFound, RegistryError
from lifecycle.records import Column, ModelRef, ModelSpec, ModelVersion
from lifecycle.serve import copies
from lifecycle.stores import registry
from lifecycle.stores.tracking import connect

REF = ModelRef.parse("churn/1")
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)


def made(served, ref=REF):
    """A copy of a version of the registry."""
    client = connect(served)
    return copies.copy(client, registry.find(client, ref), served)


def answer(loaded, x):
    (found,) = loaded.predict({"x": np.array([x])}).prediction
    return found


@pytest.fixture
def copied(served):
    """A copy of churn/1, as another server left it."""
    return made(served)


# names ------------------------------------------------------------------------------------------


def test_a_copy_is_named_after_what_it_holds():
    keys = {
        copies.key(version)
        for version in (
            ModelVersion("churn", 7, digest=A),
            ModelVersion("churn", 7, digest=B),
            ModelVersion("churn", 8, digest=A),
            ModelVersion("late", 7, digest=A),
            ModelVersion("churn", 7, source="models:/m-1"),
            ModelVersion("churn", 7, source="models:/m-2"),
            ModelVersion("churn", 7, created="2026-01-01"),
        )
    }
    assert len(keys) == 7


def test_a_stage_or_an_alias_does_not_make_another_copy():
    plain = ModelVersion("churn", 7, digest=A)
    staged = ModelVersion("churn", 7, digest=A, stage="production", aliases=("champion",))
    assert copies.key(plain) == copies.key(staged)


@given(name=names, version=st.integers(1, 2**31), digest=st.sampled_from([A, B, ""]))
@settings(max_examples=80, deadline=None)
def test_any_name_is_one_folder_that_a_disk_can_have(name, version, digest):
    key = copies.key(ModelVersion(name, version, digest=digest, source="models:/m-0/../x"))
    assert Path(key).name == key
    assert key not in {".", ".."}
    assert len(key.encode()) <= 255
    # the draft beside it has a longer name, and the note an ending
    assert len(copies._pointer(Path(), ModelRef(name, version)).name.encode()) <= 240


def test_long_names_that_begin_alike_stay_apart():
    first, second = ("顧客離反予測" * 20 + ending for ending in "甲乙")
    assert copies.key(ModelVersion(first, 1)) != copies.key(ModelVersion(second, 1))


def test_a_long_name_is_remembered_like_any_other(served):
    ref = ModelRef("顧客離反予測" * 20, 1)
    folder = Path(served.log.dir) / copies.FOLDER / copies.key(ModelVersion(ref.name, 1))
    folder.mkdir(parents=True)
    copies.remember(ref, folder)
    assert copies.last(ref, served) == folder


# making -----------------------------------------------------------------------------------------


def test_a_copy_is_whole_and_says_what_it_is(copied):
    assert {path.name for path in copied.iterdir()} == {"model", "spec.json", "version.json"}
    known = json.loads((copied / "version.json").read_text())
    assert (known["name"], known["version"]) == ("churn", 1)
    assert known["copied_digest"].startswith("sha256:")
    assert [path.name for path in copied.parent.iterdir()] == [copied.name]


def test_a_second_start_copies_nothing(served, copied):
    before = copied.stat().st_mtime_ns
    marked = copied / "model" / "MLmodel"
    stamp = marked.stat().st_mtime_ns
    assert made(served) == copied
    assert (copied.stat().st_mtime_ns, marked.stat().st_mtime_ns) == (before, stamp)


def test_workers_that_start_at_once_share_one_copy(served):
    client = connect(served)
    version = registry.find(client, REF)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: copies.copy(client, version, served), range(4)))
    assert len(found) == 1
    folder = found.pop()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert answer(copies.open_copy(folder, served), 2.0) == pytest.approx(2.0)


def test_a_version_without_its_files_leaves_nothing(served, tmp_path):
    client = connect(served)
    version = registry.find(client, "churn/1")
    place = client.get_model_version_download_uri("churn", "1")
    if place.startswith("models:/m-"):
        place = client.get_logged_model(place.removeprefix("models:/")).artifact_location
    folder = Path(place.removeprefix("file://"))
    folder.rename(tmp_path / "aside")
    try:
        with pytest.raises(ModelNotFound):
            copies.copy(client, version, served)
    finally:
        (tmp_path / "aside").rename(folder)
    parent = Path(served.log.dir) / copies.FOLDER
    assert not parent.exists() or not list(parent.iterdir())


@pytest.mark.parametrize("blocked", ["", copies.FOLDER])
def test_a_folder_that_cannot_be_written_is_named(served, blocked):
    path = Path(served.log.dir) / blocked
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a file, no folder")
    with pytest.raises(LogError, match="local copy of churn/1 cannot be written") as caught:
        made(served)
    assert copies.FOLDER in caught.value.where
    assert "[log] dir" in caught.value.fix


# opening ----------------------------------------------------------------------------------------


def test_a_copy_answers_without_the_registry(copied, served):
    away = served.with_values(tracking__uri="http://127.0.0.1:1")
    loaded = copies.open_copy(copied, away)
    assert answer(loaded, 4.0) == pytest.approx(4.0)
    assert loaded.version.ref == "churn/1"


@pytest.mark.parametrize("name", ["MLmodel", "model.skops", "requirements.txt"])
def test_a_changed_file_is_refused(copied, served, name):
    path = copied / "model" / name
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(DigestMismatch, match="not those that were registered"):
        copies.open_copy(copied, served)


def test_a_file_that_was_added_is_refused(copied, served):
    (copied / "model" / "more.py").write_text("import os")
    with pytest.raises(DigestMismatch):
        copies.open_copy(copied, served)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        "{}",
        "null",
        '"text"',
        '{"copied_digest": "sha256:0"}',
        '{"copied_digest": "x", "name": "churn", "version": 1, "from_a_newer_release": 1}',
        "\udcff",
    ],
)
def test_a_damaged_description_says_what_to_do(copied, served, text):
    note = copied / "version.json"
    note.unlink()
    if text is not None:
        note.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelNotFound, match="no whole local copy") as caught:
        copies.open_copy(copied, served)
    assert caught.value.where == str(copied)
    assert "delete the folder" in caught.value.fix


def test_a_copy_without_its_specification_is_none(copied, served):
    (copied / "spec.json").unlink()
    with pytest.raises(ModelNotFound):
        copies.open_copy(copied, served)


# notes ------------------------------------------------------------------------------------------


def folders(tmp_path, *wanted, hours=0.0):
    """Empty copies of an age."""
    for name in wanted:
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - hours * 3600,) * 2)
    return [tmp_path / name for name in wanted]


def at(served, tmp_path):
    """A configuration whose copies stand in `tmp_path/.models`."""
    parent = tmp_path / copies.FOLDER
    parent.mkdir()
    return parent, served.with_values(log__dir=str(tmp_path))


def test_the_last_note_stands(config, tmp_path):
    parent, config = at(config, tmp_path)
    first, second = folders(parent, "one", "two")
    assert copies.last(REF, config) is None
    copies.remember(REF, first)
    assert copies.last(REF, config) == first
    copies.remember(REF, second)
    assert copies.last(REF, config) == second
    assert copies.last(ModelRef.parse("churn"), config) is None
    assert copies.last(ModelRef.parse("late/1"), config) is None


def test_references_of_one_model_are_noted_apart(config, tmp_path):
    parent, config = at(config, tmp_path)
    refs = [ModelRef.parse(text) for text in ("churn", "churn/1", "churn@staging", "churn/11")]
    for ref, folder in zip(refs, folders(parent, *"abcd"), strict=True):
        copies.remember(ref, folder)
    assert [copies.last(ref, config).name for ref in refs] == list("abcd")


def test_a_note_of_a_copy_that_is_gone_is_none(config, tmp_path):
    parent, config = at(config, tmp_path)
    (folder,) = folders(parent, "one")
    copies.remember(REF, folder)
    folder.rmdir()
    assert copies.last(REF, config) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '"one"', '{"copy": ""}', "7"])
def test_a_damaged_note_is_none_and_is_written_again(config, tmp_path, text):
    parent, config = at(config, tmp_path)
    (folder,) = folders(parent, "one")
    copies._pointer(parent, REF).write_text(text)
    assert copies.last(REF, config) is None
    copies.remember(REF, folder)
    assert copies.last(REF, config) == folder


def test_only_old_copies_that_nothing_means_go(config, tmp_path):
    parent, config = at(config, tmp_path)
    (theirs,) = folders(parent, "theirs", hours=48)
    copies.remember(ModelRef.parse("late"), theirs)
    folders(parent, "young", hours=23.5)  # another worker may be about to note it
    _, mine = folders(parent, "old", "mine", hours=24.5)
    (parent / "notes.txt").write_text("of a person")
    os.utime(parent / "notes.txt", (0, 0))
    copies.remember(REF, mine)
    left = {path.name for path in parent.iterdir() if path.suffix != ".json"}
    assert left == {"mine", "theirs", "young", "notes.txt"}


def test_a_note_that_cannot_be_written_says_where(config, tmp_path):
    parent, config = at(config, tmp_path)
    (folder,) = folders(parent, "one")
    pointer = copies._pointer(parent, REF)
    pointer.mkdir()  # in the way
    with pytest.raises(LogError, match="which local copy churn/1 means cannot be noted") as caught:
        copies.remember(REF, folder)
    assert caught.value.where == str(pointer)
    assert "writable" in caught.value.fix
    assert {path.name for path in parent.iterdir()} == {"one", pointer.name}  # and no draft


def test_a_folder_that_vanished_is_no_traceback(config, tmp_path):
    parent, config = at(config, tmp_path)
    (folder,) = folders(parent, "one")
    shutil.rmtree(parent)
    with pytest.raises(LogError, match="No such file"):
        copies.remember(REF, folder)


# warming ----------------------------------------------------------------------------------------


def rewritten(folder, example):
    """Replace the example of a copy, and its digest, as if it had been registered so."""
    from lifecycle.models import files

    path = folder / "model" / "serving_input_example.json"
    path.unlink()
    if example is not None:
        path.write_text(example)
    note = json.loads((folder / "version.json").read_text())
    note["copied_digest"] = note["digest"] = files.digest(folder / "model")
    (folder / "version.json").write_text(json.dumps(note))


def test_a_warm_slot_has_answered_its_own_example(copied, served):
    one = copies.warmed(REF, copied, served)
    assert (one.model, one.version) == ("churn", 1)
    assert one.decoder.names == ("x",)


@pytest.mark.parametrize(
    "example", [None, "", '{"inputs": {"unknown": 1}}', '{"messages": []}', "\x00", '{"inputs": 1}']
)
def test_an_example_that_we_do_not_read_is_no_reason_to_refuse(copied, served, example):
    rewritten(copied, example)
    one = copies.warmed(REF, copied, served)
    assert answer(one.loaded, 3.0) == pytest.approx(3.0)


def test_an_example_is_kept_to_be_shown_and_mlflows_nan_is_null(copied, served):
    spec = json.loads((copied / "spec.json").read_text())
    spec["features"][0]["required"] = False
    (copied / "spec.json").write_text(json.dumps(spec))
    rewritten(copied, '{"dataframe_split": {"columns": ["x"], "data": [[1.5], [2.0]]}}')
    one = copies.warmed(REF, copied, served)
    assert json.loads(one.example)["dataframe_split"]["data"] == [[1.5], [2.0]]
    rewritten(copied, '{"inputs": {"other": [NaN]}}')
    assert copies.warmed(REF, copied, served).example == b""
    rewritten(copied, '{"inputs": {"x": [NaN]}}')  # read, and the estimator takes no nulls
    with pytest.raises(RegistryError, match="fails on its own example"):
        copies.warmed(REF, copied, served)


def test_a_model_that_fails_its_own_example_takes_no_traffic(copied, served):
    # the signature allows the column that the estimator has never seen
    spec = json.loads((copied / "spec.json").read_text())
    spec["features"].append({"name": "y", "dtype": "double", "required": True})
    (copied / "spec.json").write_text(json.dumps(spec))
    rewritten(copied, '{"inputs": {"x": 1.0, "y": 2.0}}')
    with pytest.raises(RegistryError, match="churn/1 fails on its own example: ") as caught:
        copies.warmed(REF, copied, served)
    assert caught.value.where == str(copied)


def test_a_plain_row_has_each_type():
    types = (*copies.PLAIN, "string", "binary", "any")
    spec = ModelSpec(1, "regression", tuple(Column(f"c_{name}", name) for name in types))
    row = copies._plain_row(spec)
    assert list(row) == [f"c_{name}" for name in types]
    assert all(len(array) == 1 for array in row.values())
    for name, dtype in copies.PLAIN.items():
        assert row[f"c_{name}"].dtype == np.dtype(dtype)
        assert not row[f"c_{name}"].astype("int64")[0]
    assert row["c_string"].tolist() == [""]


def test_a_name_of_a_copy_holds_nothing_that_mlflow_takes_for_an_escape():
    version = ModelVersion("a b%25é", 7, source="models:/m-1")
    assert copies.key(version) == "a=20b=2525=C3=A9-7-models=3A=2Fm-1"
