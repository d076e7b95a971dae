"""A model's ledger: an append-only, gap-free, hash-chained record that MLflow keeps for us.

>>> entry = draft(kind="stage", version=3, source="none", to="staging", reason="first try")
>>> (entry.seq, entry.kind, entry.to)
(0, 'stage', 'staging')

MLflow has no compare-and-set for aliases and tags, but a run's parameter can be written once only:
entry n is the parameter `t/000001` … of a run, its value the entry as canonical JSON. Of two who
write the same n one wins; the other reads again and decides again. Each entry names the sha256 of
the text before it, so that nothing in the middle can be changed unseen. After 1,000 entries a last
one of kind `continue` names the next run.

The run lives in the experiment `NAME/ledger`, whose tag `lifecycle.ledger` names it. To make both
at once, the experiment is built under another name and then renamed, which only one can do.
"""

import getpass
import hashlib
import json
import os
import random
import socket
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lifecycle.errors import DataError, LedgerError, RegistryError, RegistryUnavailable
from lifecycle.records import Entry, Identity, plain
from lifecycle.stores.identities import authenticated
from lifecycle.stores.tracking import answers, quiet

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

ROOT_TAG = "lifecycle.ledger"
PREFIX = "t/"
LONGEST = 6000  # characters that MLflow keeps of a parameter
PER_RUN = 1000  # entries of one run; then comes `continue`
CONTINUE = "continue"  # the kind of the entry that names the next run
FIRST = "0" * 64  # what the first entry names as the one before it
BUSY = 5  # writes without an answer, in a row, before that is the answer
ATTEMPTS = 50  # lost races in a row before something must be wrong
VERSION = 1


class Ledger:
    """The entries of one model.

    >>> from lifecycle.config import Config
    >>> from lifecycle.stores.tracking import connect
    >>> ledger = Ledger(connect(Config()), "churn")  # doctest: +SKIP
    >>> ledger.append(lambda entries: draft(kind="flag", reason="drift"))  # doctest: +SKIP
    Entry(seq=1, ..., kind='flag', ...)

    Args:
        client: what `stores.tracking.connect` gave.
        name: the model.
    """

    def __init__(self, client: "MlflowClient", name: str) -> None:
        self._client = client
        self.name = name

    @property
    def experiment(self) -> str:
        """The name of the experiment that holds the ledger."""
        return f"{self.name}/ledger"

    @cached_property
    def me(self) -> Identity:
        """Who writes: the user whom the tracking server authenticates, else who one says one is."""
        return authenticated(self._client) or Identity(actor())

    def entries(self) -> tuple[Entry, ...]:
        """All entries, oldest first, after the chain was checked; none when there is no ledger.

        Raises:
            LedgerError: an entry is missing, changed or unreadable, or the ledger was deleted.
            RegistryUnavailable: no answer in time.
        """
        return self._read()[0]

    def append(self, decide: Callable[[tuple[Entry, ...]], Entry | None]) -> Entry | None:
        """Write one entry that was decided upon what the ledger says.

        Args:
            decide: makes a draft from the entries so far, or None to write nothing; it is asked
                again whenever another writer was faster, so it must not act by itself.

        Returns:
            The entry as it was written, or None.

        Raises:
            DataError: the entry is longer than MLflow keeps.
            LedgerError: the ledger is broken or deleted.
            RegistryUnavailable: no answer in time; whether it was written the ledger will say.
        """
        last: Entry | None = None
        for attempt in range(ATTEMPTS):
            entries, run_id, held = self._read()
            found = next((entry for entry in entries if last and entry.id == last.id), None)
            if found is not None and found.kind != CONTINUE:
                return found
            wanted = decide(entries)
            if wanted is None:
                return None
            if not run_id:
                self._create()
                continue
            following = ""
            if held >= PER_RUN:
                following = self._new_run(self._experiment_id())
                wanted = draft(kind=CONTINUE, extra={"run": following})
            previous = entries[-1].digest if entries else FIRST
            by = self.me.actor if self.me.authenticated else wanted.actor
            written = replace(
                wanted, seq=len(entries) + 1, prev=previous, actor=by, identity=self.me.how
            )
            text = dumps(written)
            written = replace(written, digest=_sha256(text))
            try:
                won = self._put(run_id, written.seq, text)
            except RegistryError as error:
                busy = isinstance(error, RegistryUnavailable) or "locked" in str(error)
                if not busy or attempt >= BUSY:
                    raise
                # whether it was written the next reading tells; until then its run must stay
                won, last, following = False, written, ""
            if won and not following:
                return written
            if following and not won:
                with answers(self.name):
                    self._client.delete_run(following)
            if not won:
                time.sleep(random.uniform(0, 0.02 * (1 + min(attempt, 10))))  # noqa: S311 - spread
        raise LedgerError(
            f"{ATTEMPTS} attempts to write were all overtaken",
            where=self.experiment,
            fix="see which process writes without end, then run it again",
        )

    def _read(self) -> tuple[tuple[Entry, ...], str, int]:
        """All entries, the run that takes the next one ("" when there is none), how many it has."""
        with answers(self.name):
            experiment = self._client.get_experiment_by_name(self.experiment)
        if experiment is None:
            return (), "", 0
        if experiment.lifecycle_stage != "active":
            raise LedgerError(
                f"the ledger of {self.name!r} was deleted",
                where=self.experiment,
                fix=f"mlflow experiments restore --experiment-id {experiment.experiment_id}",
            )
        run_id = experiment.tags.get(ROOT_TAG, "")
        texts: list[str] = []
        seen: set[str] = set()
        while True:
            if not run_id or run_id in seen:
                raise LedgerError(
                    "the ledger does not say in which run it is",
                    where=self.experiment,
                    fix=f"restore the experiment's tag {ROOT_TAG} from a backup",
                )
            seen.add(run_id)
            found = self._texts(self._run(run_id), first=len(texts) + 1)
            texts += found
            last = loads(found[-1]) if found else None
            if last is None or last.kind != CONTINUE:
                return verify(texts, where=self.experiment), run_id, len(found)
            run_id = str(last.extra.get("run", ""))

    def _run(self, run_id: str) -> "Run":
        try:
            with answers(self.name):
                run = self._client.get_run(run_id)
        except LookupError as error:
            raise LedgerError(
                f"the run {run_id}, which holds the ledger, is gone",
                where=self.experiment,
                fix="restore the tracking database from a backup",
            ) from error
        if run.info.lifecycle_stage != "active":
            raise LedgerError(
                f"the run {run_id}, which holds the ledger, was deleted",
                where=self.experiment,
                fix=f"mlflow runs restore --run-id {run_id}",
            )
        return run

    def _texts(self, run: "Run", *, first: int) -> list[str]:
        """The texts of one run, whose keys must go from `first` on without a gap."""
        found = {key: value for key, value in run.data.params.items() if key.startswith(PREFIX)}
        keys = [_key(seq) for seq in range(first, first + len(found))]
        for key in keys:
            if key not in found:
                raise LedgerError(
                    f"entry {key} is missing",
                    where=self.experiment,
                    fix="restore the tracking database from a backup",
                )
        return [found[key] for key in keys]

    def _put(self, run_id: str, seq: int, text: str) -> bool:
        """Write an entry if there is none; False when another was first."""
        from mlflow.exceptions import MlflowException

        with answers(self.name), quiet():
            try:
                self._client.log_param(run_id, _key(seq), text)
            except MlflowException as error:
                if "Changing param values is not allowed" in str(error):
                    return False
                raise
        return True

    def _experiment_id(self) -> str:
        with answers(self.name):
            return str(self._client.get_experiment_by_name(self.experiment).experiment_id)

    def _new_run(self, experiment_id: str) -> str:
        with answers(self.name), quiet():
            run = self._client.create_run(experiment_id, run_name="ledger")
            self._client.set_terminated(run.info.run_id)  # parameters may be written all the same
        return str(run.info.run_id)

    def _create(self) -> None:
        """Make the experiment with its first run; when another was faster, that one stays."""
        from mlflow.exceptions import MlflowException

        with answers(self.name):
            made = self._client.create_experiment(f"{self.experiment}.{uuid.uuid4().hex}")
        run_id = self._new_run(made)
        with answers(self.name), quiet():
            self._client.set_experiment_tag(made, ROOT_TAG, run_id)
            try:
                self._client.rename_experiment(made, self.experiment)
            except MlflowException:
                self._client.delete_experiment(made)
                if self._client.get_experiment_by_name(self.experiment) is None:
                    raise


def draft(
    *,
    kind: str,
    version: int | None = None,
    source: str | None = None,
    to: str | None = None,
    reason: str = "",
    evidence_digest: str = "",
    evidence_link: str = "",
    extra: Mapping[str, Any] | None = None,
) -> Entry:
    """An entry with id, time and actor; its place and chain are set when it is written.

    >>> draft(kind="flag").seq
    0
    """
    return Entry(
        seq=0,
        prev="",
        id=str(uuid.uuid4()),
        time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        actor=actor(),
        kind=kind,
        version=version,
        source=source,
        to=to,
        reason=reason,
        evidence_digest=evidence_digest,
        evidence_link=evidence_link,
        extra=plain(dict(extra or {})),
    )


def dumps(entry: Entry) -> str:
    """An entry as canonical JSON: sorted keys, no spaces, ASCII; what is hashed and stored.

    Raises:
        DataError: it is longer than MLflow keeps.
    """
    values = {item.name: getattr(entry, item.name) for item in fields(entry)}
    del values["digest"]
    text = json.dumps(plain(values), sort_keys=True, separators=(",", ":"))
    if len(text) > LONGEST:
        raise DataError(
            f"a ledger entry of {len(text):,} characters is longer than the {LONGEST:,} that MLflow"
            " keeps",
            where=f"kind {entry.kind}, reason of {len(entry.reason):,} characters",
            fix="give a shorter reason and link to the long one",
        )
    return text


def loads(text: str) -> Entry:
    """An entry from its stored text, with its digest.

    >>> loads(dumps(draft(kind="flag", reason="drift"))).reason
    'drift'

    Raises:
        LedgerError: the text is no entry, or of a later version of lifecycle.
    """
    try:
        values = json.loads(text)
        if values["v"] != VERSION:
            raise LedgerError(
                f"an entry has version {values['v']!r}, this lifecycle reads {VERSION}",
                fix="upgrade mlflow-lifecycle",
            )
        return Entry(**values, digest=_sha256(text))
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, LedgerError):
            raise
        raise LedgerError(f"an entry cannot be read: {error}: {text[:80]!r}") from error


def verify(texts: Sequence[str], *, where: str = "") -> tuple[Entry, ...]:
    """Read stored texts, oldest first, and check numbers and chain.

    >>> first = replace(draft(kind="flag"), seq=1, prev=FIRST)
    >>> len(verify([dumps(first)]))
    1

    Raises:
        LedgerError: names the entry that does not fit the one before it.
    """
    entries: list[Entry] = []
    expected = FIRST
    for seq, text in enumerate(texts, start=1):
        try:
            entry = loads(text)
        except LedgerError as error:
            raise LedgerError(
                f"entry {seq}: {error.what}", where=where, fix=error.fix or "restore a backup"
            ) from error
        if entry.seq != seq or entry.prev != expected:
            what = (
                f"has number {entry.seq}" if entry.seq != seq else "does not follow the one before"
            )
            raise LedgerError(
                f"entry {seq} {what}: the ledger was changed",
                where=where,
                fix="restore the tracking database from a backup",
            )
        entries.append(entry)
        expected = entry.digest
    return tuple(entries)


def actor() -> str:
    """Who acts: `LIFECYCLE_ACTOR`, else user@host.

    >>> bool(actor())
    True
    """
    named = os.environ.get("LIFECYCLE_ACTOR", "").strip()
    if named:
        return named
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _key(seq: int) -> str:
    return f"{PREFIX}{seq:06d}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
