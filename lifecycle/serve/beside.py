"""The controller of rollouts beside a server, in a process of its own.

>>> from lifecycle.config import Config
>>> told(Config().with_values(rollout__controller=True), ["churn", "late/3"])
', with the controller of churn'
>>> told(Config(), ["churn"])
''

`[rollout] controller = true` starts it: what `lifecycle rollout run NAME` does, for every model
whose champion is followed, at low priority, one process for the whole server however many workers
it has. It ends with the server, and one that dies is replaced. Controllers elsewhere do no harm:
a lease in the ledger says whose decisions count.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from typing import Any

from lifecycle.config import Config
from lifecycle.errors import LifecycleError, ModelNotFound
from lifecycle.named import named
from lifecycle.records import ModelRef
from lifecycle.rollout.plan import CHAMPION
from lifecycle.serve.logs import set_up

# by import string: what decides stands above the server
CONTROLLERS = {"controller": "lifecycle.workflows.controller:run"}
NICE = 10  # how far the controller stands back behind the workers
GLANCE_SECONDS = 0.5  # between two looks whether it, or the server, is still there
LONGEST_SECONDS = 60.0  # before one that dies again and again is replaced
END_SECONDS = 10.0  # that it may take to end
_LOG = logging.getLogger("lifecycle.serve")


def controlled(config: Config, names: Sequence[str]) -> tuple[str, ...]:
    """The models whose rollouts the server's own controller decides; none without the option.

    >>> controlled(Config().with_values(rollout__controller=True), ["a", "b@staging", "c/2"])
    ('a',)
    """
    if not config.rollout.controller:
        return ()
    refs = map(ModelRef.parse, names)
    return tuple(ref.name for ref in refs if ref.alias == CHAMPION)


def told(config: Config, names: Sequence[str]) -> str:
    """What the line that says what is ready adds; empty where there is no controller."""
    models = controlled(config, names)
    return f", with the controller of {', '.join(models)}" if models else ""


class Beside:
    """Keeps the controller's process going while a server runs.

    Args:
        config: of the server; its registry and its log are the controller's.
        names: model references, as for the server.
    """

    def __init__(self, config: Config, names: Sequence[str]) -> None:
        self.config, self.names = config, controlled(config, names)
        self.process: Any = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="lifecycle-beside", daemon=True)

    def __enter__(self) -> "Beside":
        if self.names:
            self._begin()
            self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.process is not None:
            self.process.terminate()
            self.process.join(END_SECONDS)
            if self.process.is_alive():
                self.process.kill()
                self.process.join()

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")
        arguments = (self.config, self.names, os.getpid())
        self.process = context.Process(
            target=control, args=arguments, name="lifecycle-controller", daemon=True
        )
        self.process.start()

    def _watch(self) -> None:
        pause = GLANCE_SECONDS
        while not self._stop.wait(GLANCE_SECONDS):
            if self.process.exitcode is None:
                continue
            _LOG.error(
                "the controller died (%s); replaced in %g s",
                self.process.exitcode,
                pause,
                extra={"event": "controller_died"},
            )
            if self._stop.wait(pause):
                return
            pause = min(2 * pause, LONGEST_SECONDS)
            self._begin()


def control(config: Config, names: Sequence[str], parent: int) -> None:
    """The controller's process: decides the rollouts of some models until it is told to end.

    Args:
        config: of the server.
        names: the models.
        parent: the server's process; without it this one ends.
    """
    ending = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells all; the server ends this one
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    with contextlib.suppress(OSError):
        os.nice(NICE)
    set_up(config.serve.logs)
    threads = [
        threading.Thread(target=_decide, args=(config.with_values(name=name), ending))
        for name in names
    ]
    for thread in threads:
        thread.daemon = True
        thread.start()
    while not ending.wait(GLANCE_SECONDS):
        if os.getppid() != parent:
            ending.set()
    for thread in threads:
        thread.join(END_SECONDS / 2)


def _decide(config: Config, ending: threading.Event) -> None:
    """Decide one model's rollouts, one after the other, and wait for the next."""
    run = named("controller", CONTROLLERS, kind="controller")
    said = ""
    while not ending.is_set():
        try:
            run(config, stop=ending)
            said = ""
        except ModelNotFound:  # there is no rollout yet
            said = ""
        except LifecycleError as error:
            if str(error) != said:
                _LOG.warning("the controller of %s: %s", config.name, error)
            said = str(error)
        except Exception:  # noqa: BLE001 - it must not stop deciding for any reason
            _LOG.exception("the controller of %s failed; trying again", config.name)
        ending.wait(config.rollout.every_seconds)
