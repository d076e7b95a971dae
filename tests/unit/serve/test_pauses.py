"""Loading beside requests: settings of the interpreter are changed and put back."""

import gc
import subprocess
import sys
import threading

import pytest

from lifecycle.serve.pauses import INTERVAL, gently, settle


@pytest.fixture(autouse=True)
def _as_before():
    interval = sys.getswitchinterval()
    yield
    assert gc.isenabled()
    assert sys.getswitchinterval() == interval
    gc.unfreeze()


def test_inside_garbage_stays_and_threads_switch_soon():
    with gently():
        assert not gc.isenabled()
        assert sys.getswitchinterval() == pytest.approx(INTERVAL)


def test_an_error_puts_all_back():
    with pytest.raises(ZeroDivisionError), gently():
        raise ZeroDivisionError


def test_two_at_once_put_back_what_was_there_before_the_first():
    inside, leave = threading.Event(), threading.Event()

    def load():
        with gently():
            inside.set()
            leave.wait(20)

    other = threading.Thread(target=load)
    other.start()
    assert inside.wait(20)
    with gently():
        pass
    assert not gc.isenabled(), "the other one still loads"
    leave.set()
    other.join()


def test_what_is_there_is_not_walked_again():
    settle()
    frozen = gc.get_freeze_count()
    assert frozen > 1000
    with gently():
        pass
    assert gc.get_freeze_count() <= frozen, "nothing new was imported, so nothing is put aside"


def test_new_modules_are_put_aside():
    settle()
    frozen = gc.get_freeze_count()
    sys.modules.pop("this_is_no_module", None)
    with gently():
        kept = [[] for _ in range(5000)]
        sys.modules["this_is_no_module"] = sys
    del sys.modules["this_is_no_module"]
    assert gc.get_freeze_count() >= frozen + len(kept) - 100


def test_memory_that_was_let_go_goes_back_to_the_system():
    code = """
import os
from lifecycle.serve.pauses import settle

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

blocks = [bytearray(60_000) for _ in range(1000)]  # each small enough for the heap
last = bytearray(60_000)  # above them: nothing goes back by itself
full = resident()
del blocks
settle()
print(full - resident())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 30e6
