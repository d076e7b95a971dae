"""One check at a time, between processes, and a holder that dies holds nothing up."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lifecycle.errors import LogError
from lifecycle.stores.turns import turn

HOLDER = """
import sys, time
from lifecycle.stores.turns import turn
with turn(sys.argv[1], "churn"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the turn until it is told to go on, or killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_one_is_told_who_is_first(holder, tmp_path):
    with (
        pytest.raises(LogError, match="another check of churn is running") as told,
        turn(tmp_path, "churn", wait=0.1),
    ):
        pytest.fail("two at once")
    assert f"pid {holder.pid} on " in told.value.what
    assert ", since 20" in told.value.what
    assert told.value.exit_code == 1
    assert "nothing was lost" in told.value.fix


def test_another_model_has_a_turn_of_its_own(holder, tmp_path):
    assert holder.poll() is None
    for name in ("flights", "team/churn", "../churn"):
        with turn(tmp_path, name, wait=0):
            pass
    assert sorted(item.name for item in (tmp_path / "checks").iterdir()) == [
        "..%2Fchurn.lock", "churn.lock", "flights.lock", "team%2Fchurn.lock",
    ]  # fmt: skip


def test_who_waits_comes_next(holder, tmp_path):
    def let_go():
        holder.stdin.write("go on\n")
        holder.stdin.flush()

    threading.Timer(0.3, let_go).start()
    with turn(tmp_path, "churn", wait=30):
        assert (tmp_path / "checks" / "churn.lock").read_text().startswith(f"pid {os.getpid()} ")


def test_a_holder_that_is_killed_holds_nothing_up(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with turn(tmp_path, "churn", wait=0):
        pass


def test_two_threads_of_a_process_exclude_each_other_too(tmp_path):
    with turn(tmp_path, "churn"), pytest.raises(LogError), turn(tmp_path, "churn", wait=0):
        pytest.fail("two at once")


def test_an_error_inside_ends_the_turn(tmp_path):
    with pytest.raises(ZeroDivisionError), turn(tmp_path, "churn"):
        raise ZeroDivisionError
    with turn(tmp_path, "churn", wait=0):
        pass


def test_where_nothing_can_be_locked_the_block_runs_all_the_same(tmp_path):
    with turn(tmp_path / "missing", "churn"):
        assert not (tmp_path / "missing").exists(), "a check makes no log"
    (tmp_path / "checks").write_text("a file where the folder would be")
    with turn(tmp_path, "churn"), turn(tmp_path, "churn", wait=0):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only_has_no_turns(tmp_path: Path):
    tmp_path.chmod(0o500)
    try:
        with turn(tmp_path, "churn"):
            pass
    finally:
        tmp_path.chmod(0o700)
