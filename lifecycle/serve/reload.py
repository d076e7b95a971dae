"""Load what is served, and follow the registry: a thread that swaps in what moved.

>>> Watch(Config(), Engine(SlotTable(), secret=b"s" * 32), ("churn",)).refs
(ModelRef(name='churn', version=None, alias='champion'),)

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
from lifecycle.rollout.plan import CHAMPION
from lifecycle.serve import copies
from lifecycle.serve.engine import Engine
from lifecycle.serve.outward import outward
from lifecycle.serve.pauses import gently
from lifecycle.serve.slots import Slot, SlotTable
from lifecycle.serve.wire import Gauge
from lifecycle.stores import registry
from lifecycle.stores.tracking import connect

if TYPE_CHECKING:
    from mlflow import MlflowClient

GLANCE_SECONDS = 0.2  # between two looks whether another worker was told to hurry
LEDGER_SECONDS = 20.0  # between looks at the ledger while the alias stands
RETRY_SECONDS = 60.0  # before a version that could not be loaded is tried again
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
        self._troubles: dict[ModelRef, str] = {}
        self._client: MlflowClient | None = None
        self._failed: dict[tuple[str, int], float] = {}  # when a version failed to load
        self._settled: dict[ModelRef, float] = {}  # when the ledger named what serves
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
        for ref in self.refs:
            try:
                self._client = self._client or connect(self.config)
                one = self._fetched(ref, None)
                assert one is not None
                self.polled = self.answered = time.time()
            except RegistryUnavailable as error:
                folder = copies.last(ref, self.config)
                if folder is None:
                    raise
                self._trouble(ref, error)
                one = copies.warmed(ref, folder, self.config)
            table = table.with_only(one, arm=ref.alias or CHAMPION)
        self.engine.table = table
        return table

    @property
    def trouble(self) -> str:
        """Why the registry, or a model of it, is not followed now; empty when all are."""
        return "; ".join(dict.fromkeys(self._troubles.values()))

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
        """Look once whether an alias moved, and swap if it did; never raises a LifecycleError."""
        for ref in self.refs:
            if ref.alias is None:
                continue
            self.polled = time.time()
            group = self.engine.table.groups.get(ref.name)
            serving = next(iter(group.slots.values())) if group else None
            try:
                if self._client is None:
                    with gently():
                        self._client = connect(self.config)
                one = self._fetched(ref, serving)
            except RegistryUnavailable as error:
                self._trouble(ref, error)
                return  # each further model would wait as long
            except LifecycleError as error:
                self._trouble(ref, error)
                continue
            self.answered = time.time()
            self._troubles.pop(ref, None)
            if one is not None:
                self._swap(ref, one)

    def _swap(self, ref: ModelRef, one: Slot) -> None:
        assert ref.alias is not None
        self.engine.table = self.engine.table.with_only(one, arm=ref.alias)
        self.engine.figures.swapped(ref.name)
        more = {"event": "swapped", "model": ref.name, "version": one.version}
        _LOG.warning("%s is now version %s (%s)", ref, one.version, one.loaded.how, extra=more)

    def _fetched(self, ref: ModelRef, serving: Slot | None) -> Slot | None:
        """A warmed slot of what the reference means; None when that serves, or cannot."""
        assert self._client is not None
        if serving and self._stands(self._client, ref, serving):
            return None
        version = registry.find(self._client, ref)
        loaded = serving.loaded.version if serving else None
        if loaded and (loaded.version, loaded.digest) == (version.version, version.digest):
            self._settled[ref] = time.monotonic()
            self.engine.figures.reasons.pop(ref.name, None)  # what was refused is not asked for
            return None
        mark = (ref.name, version.version)
        if serving and time.monotonic() - self._failed.get(mark, -RETRY_SECONDS) < RETRY_SECONDS:
            return None
        try:
            with gently():
                folder = copies.copy(self._client, version, self.config)
                one = copies.warmed(ref, folder, self.config)
            copies.remember(ref, folder)
        except RegistryUnavailable:
            raise
        except LifecycleError as error:
            if serving is None:
                raise
            self._failed[mark] = time.monotonic()
            reason = f"version {version.version}: {outward(error.what)}"
            self.engine.figures.not_swapped(ref.name, reason)
            _LOG.error(
                "version %s stays out, %s serves on: %s",
                version.version,
                serving.version,
                error,
                extra={"event": "refused", "model": ref.name, "version": version.version},
            )
            return None
        return one

    def _stands(self, client: "MlflowClient", ref: ModelRef, serving: Slot) -> bool:
        """Whether the alias is where it was: one cheap question, a tenth of reading the ledger.

        The ledger goes before the alias, so it is read as well every now and then, and at once
        where anything is out of the ordinary.
        """
        settled = self._settled.get(ref)
        if settled is None or time.monotonic() - settled > LEDGER_SECONDS:
            return False
        if ref in self._troubles or ref.name in self.engine.figures.reasons or not ref.alias:
            return False
        try:
            pointed = client.get_model_version_by_alias(ref.name, ref.alias)
        except Exception:  # noqa: BLE001 - the whole look says what is wrong
            return False
        return int(pointed.version) == serving.version

    def _trouble(self, ref: ModelRef, error: LifecycleError) -> None:
        """Count a registry that does not answer; say so once, not at every look."""
        self.engine.figures.polls_failed += 1
        told = outward(error.what)
        if told not in self._troubles.values():
            where = " (the alias is gone)" if isinstance(error, ModelNotFound) else ""
            more = {"event": "registry_down"}
            _LOG.warning("the registry is not followed%s: %s", where, error, extra=more)
        self._troubles[ref] = told

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
