"""Load what is served, and follow the registry: a thread that swaps in what moved.

>>> Watch(Config(), Engine(SlotTable(), secret=b"s" * 32), ("churn",)).refs
(ModelRef(name='churn', version=None, alias='champion'),)

`following.py` says what is to serve of each reference: the champion, or a rollout's plan.

A version takes traffic only after it was loaded, verified and has answered; one that cannot stays
out, the old one stays in, and the reason stands in /metrics and the log. While the registry does
not answer, what is loaded keeps serving, and a start falls back to the last good local copy.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lifecycle.config import Config
from lifecycle.errors import LifecycleError, ModelNotFound, RegistryUnavailable, ServeError
from lifecycle.records import ModelRef
from lifecycle.serve.engine import Engine
from lifecycle.serve.following import Following, differs, told
from lifecycle.serve.outward import outward
from lifecycle.serve.pauses import gently
from lifecycle.serve.slots import Group, SlotTable
from lifecycle.serve.wire import Gauge
from lifecycle.stores.tracking import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

GLANCE_SECONDS = 0.2  # between two looks whether another worker was told to hurry
_LOG = logging.getLogger("lifecycle.serve")


def _distinct(names: Sequence[str]) -> tuple[ModelRef, ...]:
    """The references; one model has one place in the table, so two of it are refused."""
    found: dict[str, ModelRef] = {}
    for ref in map(ModelRef.parse, names):
        if ref.name in found:
            raise ServeError(
                f"model {ref.name!r} is named twice, as {found[ref.name]} and {ref}",
                fix="name each model once; for a second version start another server",
            )
        found[ref.name] = ref
    return tuple(found.values())


class Watch:
    """Keeps an engine's table as the registry has it.

    Args:
        config: where the registry and the local copies are.
        engine: whose table is kept.
        names: model references; those with an alias are followed, versions stand still.
        shared: a folder that the workers of one server share; None: there is one worker.

    Attributes:
        polled: when the registry was last asked, seconds since 1970; 0: never.
        answered: when it last answered.

    Raises:
        ModelNotFound: a name is no model reference.
        ServeError: two names are of one model.
    """

    def __init__(
        self, config: Config, engine: Engine, names: Sequence[str], *, shared: Path | None = None
    ) -> None:
        self.config = config
        self.engine = engine
        self.refs = _distinct(names)
        self.polled = self.answered = 0.0
        self._followed = [Following(ref, config, engine.figures) for ref in self.refs]
        self._swapping = threading.Lock()
        self._client: MlflowClient | None = None
        self._stop = threading.Event()
        self._hurry = threading.Event()
        self._told = shared / "hurry" if shared else None  # its time says when a worker was told
        self._heard = 0
        self._thread = threading.Thread(target=self._run, name="lifecycle-reload", daemon=True)

    def load(self) -> SlotTable:
        """The first table: every model must load; the registry may be down if copies are there.

        Raises:
            ModelNotFound: no such model or version, or it has no champion.
            ModelRefused: the files must not be loaded.
            RegistryUnavailable: no answer, and no local copy either.
        """
        table = SlotTable()
        for one in self._followed:
            try:
                self._client = self._client or connect(self.config)
                group = one.found(self._client, None)
                self.polled = self.answered = time.time()
            except RegistryUnavailable as error:
                stored = one.without()
                if stored is None:
                    raise
                group = stored
                self._trouble(one, error)
            table = table.placed(group)
        self.engine.table = table
        return table

    @property
    def trouble(self) -> str:
        """Why the registry, or a model of it, is not followed now; empty when all are."""
        return "; ".join(dict.fromkeys(one.trouble for one in self._followed if one.trouble))

    def start(self) -> None:
        """Begin to follow the registry."""
        if any(ref.alias for ref in self.refs):
            self._thread.start()

    def stop(self) -> None:
        """Stop following; a load that is under way is let go."""
        self._stop.set()
        self._hurry.set()

    def hurry(self) -> None:
        """Look now, and have the other workers look, instead of when the time has come."""
        self._hurry.set()
        if self._told is not None:
            with contextlib.suppress(OSError):  # the others look when their time has come
                self._told.write_text(str(time.time_ns()))

    def gauges(self) -> Iterator[Gauge]:
        """Whether the registry answers, for /metrics; nothing where no alias is followed."""
        if not any(ref.alias for ref in self.refs):
            return
        yield (
            "registry_down",
            "Workers that cannot follow the registry.",
            {},
            int(bool(self.trouble)),
        )
        age = time.time() - self.answered if self.answered else -1.0
        yield "registry_age_seconds", "Since the registry last answered; -1: never.", {}, age

    def poll(self) -> None:
        """Look once what is to serve, and swap if that changed; never raises a LifecycleError."""
        for one in self._followed:
            if one.ref.alias is None:
                continue
            self.polled = time.time()
            serving = self.engine.table.groups.get(one.ref.name)
            try:
                if self._client is None:
                    with gently():
                        self._client = connect(self.config)
                stands = serving is not None and one.stands(self._client)
                group = serving if stands else one.found(self._client, serving)
            except RegistryUnavailable as error:
                self._trouble(one, error)
                break  # each further model would wait as long
            except LifecycleError as error:
                self._trouble(one, error)
                continue
            self.answered = time.time()
            one.trouble = ""
            if group is not None and group is not serving:
                self._swap(one, group)
        self.look_for_cuts()

    def look_for_cuts(self) -> None:
        """Take a challenger's traffic away where a file says so; needs no registry, any thread."""
        for one in self._followed:
            serving = self.engine.table.groups.get(one.ref.name)
            if serving is not None and serving.rollout is not None:
                group = one.cut(serving)
                if group is not serving:
                    self._swap(one, group, serving)

    def _swap(self, one: Following, group: Group, cut: Group | None = None) -> None:
        """Have a group serve; one that was cut only as long as nothing else came in between."""
        with self._swapping:
            before = self.engine.table.groups.get(one.ref.name)
            if cut is not None and before is not cut:
                return
            group = one.cut(group)
            if not differs(before, group):
                return
            self.engine.table = self.engine.table.placed(group)
        ref, champion = one.ref, group.champion
        more = {"event": "swapped", "model": ref.name, "version": champion.version}
        if before is None or before.champion is not champion:
            self.engine.figures.swapped(ref.name)
            _LOG.warning(
                "%s is now version %s (%s)", ref, champion.version, champion.loaded.how, extra=more
            )
        elif before.rollout is not None or group.rollout is not None:
            more["event"] = "routed"
            _LOG.warning("%s: %s", ref, told(group), extra=more)

    def _trouble(self, one: Following, error: LifecycleError) -> None:
        """Count a registry that does not answer; say so once, not at every look."""
        self.engine.figures.polls_failed += 1
        said = outward(error.what)
        if all(said != other.trouble for other in self._followed):
            where = " (the alias is gone)" if isinstance(error, ModelNotFound) else ""
            more = {"event": "registry_down"}
            _LOG.warning("the registry is not followed%s: %s", where, error, extra=more)
        one.forget(said)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._rest()
            if self._stop.is_set():
                return
            try:
                self.poll()
            except Exception:  # noqa: BLE001 - the server must not stop following for any reason
                _LOG.exception("following the registry failed; trying again")

    def _rest(self) -> None:
        """Wait until the next look, or until this worker or another is told to hurry."""
        end = time.monotonic() + self.config.serve.poll_seconds
        while (left := end - time.monotonic()) > 0:
            glance = left if self._told is None else min(left, GLANCE_SECONDS)
            told = self._when_told()
            if self._hurry.wait(glance) or told != self._heard:
                self._heard = told
                break
        self._hurry.clear()

    def _when_told(self) -> int:
        try:
            return self._told.stat().st_mtime_ns if self._told else 0
        except OSError:
            return 0
