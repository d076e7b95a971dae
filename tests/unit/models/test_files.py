"""A model's files are those that were registered, or they are refused."""

import pytest

from lifecycle.errors import DigestMismatch, ModelNotFound
from lifecycle.models.files import digest, file_digest, verify, verify_file


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "MLmodel").write_text("flavors: {}")
    (tmp_path / "data" / "model.skops").write_bytes(b"\x00\x01")
    return tmp_path


def test_the_digest_holds_names_and_contents(folder):
    first = digest(folder)
    assert first.startswith("sha256:")
    assert len(first) == 71
    (folder / "data" / "model.skops").write_bytes(b"\x00\x02")
    second = digest(folder)
    (folder / "data" / "model.skops").rename(folder / "data" / "other.skops")
    third = digest(folder)
    (folder / "new").write_text("")
    assert len({first, second, third, digest(folder)}) == 4


def test_what_mlflow_writes_at_registration_does_not_count(folder):
    first = digest(folder)
    (folder / "registered_model_meta").write_text("model_name: churn")
    assert digest(folder) == first
    verify(folder, first)


def test_content_cannot_move_between_files(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for root, texts in ((one, ("ab", "c")), (two, ("a", "bc"))):
        root.mkdir()
        for name, text in zip(("x", "y"), texts, strict=True):
            (root / name).write_text(text)
    assert digest(one) != digest(two)


def test_changed_files_are_refused(folder):
    known = digest(folder)
    (folder / "MLmodel").write_text("flavors: {evil: {}}")
    with pytest.raises(DigestMismatch, match="not those that were registered") as caught:
        verify(folder, known)
    assert str(folder) in str(caught.value)
    assert known in str(caught.value)


def test_one_file_is_checked_by_its_name(folder):
    path = folder / "MLmodel"
    verify_file(path, file_digest(path))
    with pytest.raises(DigestMismatch, match="MLmodel is not the one"):
        verify_file(path, "sha256:" + "0" * 64)


def test_an_empty_folder_is_no_model(tmp_path):
    with pytest.raises(ModelNotFound, match="missing or empty"):
        digest(tmp_path)
    with pytest.raises(ModelNotFound):
        digest(tmp_path / "gone")
