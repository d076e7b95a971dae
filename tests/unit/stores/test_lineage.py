"""Lineage: enough to see that code, data and environment are the same."""

import subprocess
import sys

import pytest

from lifecycle.stores.lineage import code, environment, is_dead, lineage, process, requirements


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
