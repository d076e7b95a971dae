"""Cuts on this machine: whole or not there, and said when they are damaged."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import LogError
from lifecycle.stores import cuts


def test_a_cut_is_read_as_it_was_written_and_the_last_one_counts(tmp_path):
    assert cuts.cut_of(tmp_path, "churn") is None
    cuts.cut(tmp_path, "churn", 3, "errors")
    cuts.cut(tmp_path, "churn", 12, "viel zu träge")
    assert cuts.cut_of(tmp_path, "churn") == (12, "viel zu träge")
    assert cuts.damage(tmp_path, "churn") == ""
    assert [path.name for path in (tmp_path / "rollout").iterdir()] == ["churn.json"]


def test_each_model_has_its_own(tmp_path):
    for number, name in enumerate(("churn", "churn 2", "a%2Fb", "..", "Ü")):
        cuts.cut(tmp_path, name, number, name)
    for number, name in enumerate(("churn", "churn 2", "a%2Fb", "..", "Ü")):
        assert cuts.cut_of(tmp_path, name) == (number, name)
    assert all(path.parent == tmp_path / "rollout" for path in (tmp_path / "rollout").iterdir())


def test_a_cut_can_be_taken_back_once(tmp_path):
    cuts.cut(tmp_path, "churn", 3, "errors")
    assert cuts.lift(tmp_path, "churn") is True
    assert cuts.cut_of(tmp_path, "churn") is None
    assert cuts.lift(tmp_path, "churn") is False


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"12",
        b'"text"',
        b"{}",
        b'{"rollout": 12}',
        b'{"rollout": "12", "reason": "x"}',
        b'{"rollout": true, "reason": "x"}',
        b'{"rollout": 1.5, "reason": "x"}',
        b'{"rollout": 12, "reason": null}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_no_cut_and_says_so(tmp_path, text):
    path = cuts.path_of(tmp_path, "churn")
    path.parent.mkdir()
    path.write_bytes(text)
    assert cuts.cut_of(tmp_path, "churn") is None
    assert "the cut" in cuts.damage(tmp_path, "churn")
    cuts.cut(tmp_path, "churn", 1, "again")
    assert cuts.cut_of(tmp_path, "churn") == (1, "again")


@given(text=st.binary(max_size=60))
@settings(max_examples=60, deadline=None)
def test_nothing_in_a_file_breaks_a_reader(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("cut")
    path = cuts.path_of(folder, "m")
    path.parent.mkdir()
    path.write_bytes(text)
    found = cuts.cut_of(folder, "m")
    assert (found is None) == bool(cuts.damage(folder, "m"))


def test_a_folder_where_the_file_should_be_is_told(tmp_path):
    cuts.path_of(tmp_path, "churn").mkdir(parents=True)
    assert cuts.cut_of(tmp_path, "churn") is None
    assert "cannot be read" in cuts.damage(tmp_path, "churn")
    with pytest.raises(LogError, match="cannot be cut here"):
        cuts.cut(tmp_path, "churn", 1, "x")
    with pytest.raises(LogError, match="cannot be taken back"):
        cuts.lift(tmp_path, "churn")
    names = [path.name for path in (tmp_path / "rollout").iterdir()]
    assert names == ["churn.json"], f"nothing half-written is left by {os.getpid()}"


def test_a_log_that_is_no_folder_is_told(tmp_path):
    (tmp_path / "log").write_text("a file")
    assert cuts.cut_of(tmp_path / "log", "churn") is None
    with pytest.raises(LogError, match="cannot be cut here"):
        cuts.cut(tmp_path / "log", "churn", 1, "x")


def test_a_name_that_no_file_can_have_is_told(tmp_path):
    with pytest.raises(LogError, match="too long"):
        cuts.cut(tmp_path, "ü" * 100, 1, "x")
