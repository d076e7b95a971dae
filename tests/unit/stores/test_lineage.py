"""Lineage: enough to see that code, data and environment are the same."""

import hashlib
import subprocess
import sys
from importlib import metadata

import pytest

from lifecycle.records import Entry
from lifecycle.stores.lineage import (
    MOST_DIFFERENCE,
    changed_packages,
    code,
    difference,
    environment,
    is_dead,
    lineage,
    lock,
    process,
    requirements,
)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for key in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{key}_NAME", "a")
        monkeypatch.setenv(f"GIT_{key}_EMAIL", "a@b")

    def git(*arguments):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "train.py").write_text("x = 1\n")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    return tmp_path


def test_commit_and_uncommitted_changes_are_seen(repository):
    commit, dirty, difference = code(repository)
    assert len(commit) == 40
    assert (dirty, difference) == (False, "")
    (repository / "data.csv").write_text("x\n")
    assert code(repository)[1] is False, "files that git does not know are data"
    (repository / "train.py").write_text("x = 2\n")
    again, dirty, first = code(repository)
    assert (again, dirty, len(first)) == (commit, True, 64)
    (repository / "train.py").write_text("x = 3\n")
    assert code(repository)[2] != first


def test_a_notebook_folder_inside_the_repository_counts(repository):
    (repository / "notebooks").mkdir()
    assert code(repository / "notebooks")[0] == code(repository)[0] != ""


def test_outside_a_repository_or_without_git_there_is_no_commit(tmp_path, monkeypatch):
    assert code(tmp_path) == ("", False, "")
    monkeypatch.setenv("PATH", "")
    assert code(tmp_path) == ("", False, "")


def test_lineage_is_whole(repository, monkeypatch):
    monkeypatch.chdir(repository)
    found = lineage(
        data_digest="ab", data_rows=3, data_source="d.csv", seed=1, parent_version=2, cause="drift"
    )
    assert found.code_commit
    assert found.environment_digest == environment()
    assert len(environment()) == 64
    assert found.python.startswith("3.")
    assert (found.parent_version, found.cause) == (2, "drift")


def test_requirements_are_pinned():
    assert {item.partition("==")[0] for item in requirements()} >= {"scikit-learn", "skops"}
    assert all("==" in item for item in requirements())


def test_dead_processes_are_told_from_living_and_foreign_ones():
    assert not is_dead(process())
    host, number, started = process().rsplit(":", 2)
    assert is_dead(f"{host}:{number}:{int(started) + 1}"), "another process with the same number"
    assert not is_dead("elsewhere:1:1")
    assert not is_dead("")
    child = subprocess.run(
        [sys.executable, "-c", "from lifecycle.stores.lineage import process; print(process())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert is_dead(child.stdout.strip())


def test_the_same_change_has_the_same_digest_and_undoing_it_is_clean(repository):
    original = (repository / "train.py").read_text()
    (repository / "train.py").write_text("x = 2\n")
    first = code(repository)
    assert code(repository) == first
    subprocess.run(["git", "-C", repository, "add", "train.py"], check=True)
    assert code(repository) == first, "staged or not, it is the same difference"
    (repository / "train.py").write_text(original)
    assert code(repository) == (first[0], False, "")


def test_a_repository_without_a_commit_has_none(tmp_path):
    subprocess.run(["git", "-C", tmp_path, "init", "-q"], check=True)
    assert code(tmp_path) == ("", False, "")


@pytest.mark.parametrize("text", ["x", ":", "::", "host:1", "host:abc:1"])
def test_a_description_that_is_none_of_ours_is_no_dead_process(text):
    assert not is_dead(text)


def test_the_lock_is_what_the_digest_is_of():
    assert hashlib.sha256(lock().encode()).hexdigest() == environment()
    lines = lock().split("\n")
    assert lines == sorted(set(lines))
    assert all("==" in line for line in lines)
    assert f"scikit-learn=={metadata.version('scikit-learn')}" in lines


def test_packages_that_differ_are_named():
    before = "a==1\nb==2\nc==3"
    assert changed_packages(before, before) == ()
    assert changed_packages(before, "a==1\nb==2.1\nd==4") == ("b 2 is 2.1", "c 3 is gone",
                                                              "d 4 is new")  # fmt: skip


def test_the_difference_is_what_git_can_apply_again(repository):
    assert difference(repository) == ""
    (repository / "train.py").write_text("x = 'é'\n")
    found = difference(repository)
    assert hashlib.sha256(found.encode()).hexdigest() == code(repository)[2]
    (repository / "train.py").write_text("x = 1\n")
    command = ["git", "-C", repository, "apply"]
    subprocess.run(command, input=found.encode(), check=True, capture_output=True)
    assert (repository / "train.py").read_text() == "x = 'é'\n"


def test_a_large_difference_is_kept_as_a_list_of_files(repository):
    (repository / "train.py").write_text("x = 1\n" * 400_000)
    found = difference(repository)
    assert len(found.encode()) <= MOST_DIFFERENCE
    assert "more than are kept" in found
    assert "train.py" in found


def test_what_called_for_a_training_is_linked_by_its_digest():
    flag = Entry(7, "", "id", "", "me", "flag", evidence_digest="ab" * 32, evidence_link="runs:/x")
    found = lineage(
        data_digest="", data_rows=0, data_source="", seed=3, caused_by=flag, seeds={"numpy": "4"}
    )
    assert (found.cause_entry, found.cause_evidence, found.cause_link) == (7, "ab" * 32, "runs:/x")
    assert found.seeds == {"[train] seed": "3", "numpy": "4"}
    plain = lineage(data_digest="", data_rows=0, data_source="", seed=3)
    assert (plain.cause_entry, plain.cause_evidence) == (None, "")
