"""Load beside requests without making them wait: what would stop all threads is put off.

>>> import sys
>>> before = sys.getswitchinterval()
>>> with gently():
...     sys.getswitchinterval() < before
True
>>> sys.getswitchinterval() == before
True

Measured while a forest of 100 trees is loaded: a full collection of garbage stops everything for
0.1 to 0.25 s, since it walks all that was ever imported; the loading itself never for more than
20 ms. And a thread that computes gives the interpreter away every 5 ms only, which the event loop
has to wait for once a callback.
"""

import contextlib
import ctypes
import gc
import sys
import threading
from collections.abc import Iterator

INTERVAL = 0.0002  # seconds after which a computing thread lets another one run
_lock = threading.Lock()
_inside = 0
_before = 0.005


def settle() -> None:
    """Collect garbage once, and never walk what is there now again; before requests come.

    What loading has used and let go (20 MB for a forest of 100 trees) goes back to the system.
    """
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):  # of the GNU library alone
        ctypes.CDLL(None).malloc_trim(0)


@contextlib.contextmanager
def gently() -> Iterator[None]:
    """Load something in a thread beside the event loop."""
    global _inside, _before  # noqa: PLW0603 - both are settings of the interpreter
    with _lock:
        _inside += 1
        if _inside == 1:
            _before = sys.getswitchinterval()
            sys.setswitchinterval(INTERVAL)
            gc.disable()
    modules = len(sys.modules)
    try:
        yield
    finally:
        if len(sys.modules) != modules:  # modules stay, so they need not be walked
            gc.freeze()
        with _lock:
            _inside -= 1
            if _inside == 0:
                sys.setswitchinterval(_before)
                gc.enable()
