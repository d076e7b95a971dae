"""A model's ledger: an append-only, gap-free, hash-chained record that MLflow keeps for us.

>>> draft(kind="flag", reason="drift").kind
'flag'

MLflow has no compare-and-set for aliases and tags, but a run's parameter can be written once only:
entry n is the parameter `t/000001` … of a run, its value the entry as canonical JSON. Of two who
write the same n one wins; the other reads again and decides again. Each entry names the sha256 of
the text before it, so that nothing in the middle can be changed unseen. After 1,000 entries a last
one of kind `continue` names the next run.

The run lives in the experiment `NAME/ledger`, whose tag `lifecycle.ledger` names it. To make both
at once, the experiment is built under another name and then renamed, which only one can do.
"""

import random
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from lifecycle.errors import LedgerError, RegistryError, RegistryUnavailable
from lifecycle.records import Entry, Identity
from lifecycle.stores import signing
from lifecycle.stores.entries import (
    CONTINUE,
    FIRST,
    LONGEST,
    actor,
    draft,
    dumps,
    loads,
    sha256,
    verify,
)
from lifecycle.stores.identities import authenticated
from lifecycle.stores.tracking import answers, quiet

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

ROOT_TAG = "lifecycle.ledger"
PREFIX = "t/"
PER_RUN = 1000  # entries of one run; then comes `continue`
BUSY = 5  # writes without an answer, in a row, before that is the answer
ATTEMPTS = 50  # lost races in a row before something must be wrong


__all__ = ["FIRST", "LONGEST", "Ledger", "actor", "draft", "dumps", "loads", "verify"]

# entries of runs that have ended: MLflow lets nobody change them, and `verify` reads them anew
_ended: dict[tuple[str, str], tuple[Entry, ...]] = {}


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
        unanswered = 0
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
            written, text = self._written(wanted, entries)
            try:
                won = self._put(run_id, written.seq, text)
            except RegistryError as error:
                busy = isinstance(error, RegistryUnavailable) or "locked" in str(error)
                unanswered += 1
                if not busy or unanswered > BUSY:
                    raise
                # whether it was written the next reading tells; until then its run must stay
                won, last, following = False, written, ""
            else:
                unanswered = 0
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

    def _written(self, wanted: Entry, entries: tuple[Entry, ...]) -> tuple[Entry, str]:
        """A draft with its place, actor and signature, and its text."""
        by = self.me.actor if self.me.authenticated else wanted.actor
        previous = entries[-1].digest if entries else FIRST
        entry = replace(wanted, seq=len(entries) + 1, prev=previous, actor=by, identity=self.me.how)
        text = dumps(entry)
        signature = signing.sign(signing.of(self._client), text, purpose="entry")
        if signature:
            entry = replace(entry, signature=signature)
            text = dumps(entry)
        return replace(entry, digest=sha256(text)), text

    def _read(self) -> tuple[tuple[Entry, ...], str, int]:
        """All entries, the run that takes the next one ("" when there is none), how many it has."""
        run_id = self._root()
        if run_id is None:
            return (), "", 0
        entries: list[Entry] = []
        seen: set[str] = set()
        while True:
            if not run_id or run_id in seen:
                raise LedgerError(
                    "the ledger does not say in which run it is",
                    where=self.experiment,
                    fix=f"restore the experiment's tag {ROOT_TAG} from a backup",
                )
            seen.add(run_id)
            found = self._of_run(run_id, entries)
            entries += found
            if not found or found[-1].kind != CONTINUE:
                return tuple(entries), run_id, len(found)
            run_id = str(found[-1].extra.get("run", ""))

    def _of_run(self, run_id: str, before: list[Entry]) -> tuple[Entry, ...]:
        """The entries of one run, checked to follow those before it."""
        prev = before[-1].digest if before else FIRST
        key = (str(self._client.tracking_uri), run_id)
        known = _ended.get(key, ())
        if known and (known[0].seq, known[0].prev) == (len(before) + 1, prev):
            return known
        first = len(before) + 1
        texts = self._texts(self._run(run_id), first=first)
        found = verify(texts, where=self.experiment, first=first, prev=prev)
        if found and found[-1].kind == CONTINUE:
            _ended[key] = found
        return found

    def texts(self) -> dict[int, str]:
        """All entries as they are stored, by number, read anew; nothing of them is checked.

        Raises:
            LedgerError: the ledger or a run of it was deleted.
            RegistryUnavailable: no answer in time.
        """
        run_id, texts = self._root() or "", dict[int, str]()
        seen = {""}
        while run_id not in seen:
            seen.add(run_id)
            params = self._run(run_id).data.params
            numbered = {key.removeprefix(PREFIX): value for key, value in params.items()}
            found = {int(key): value for key, value in numbered.items() if key.isdigit()}
            texts |= found
            run_id = _following(found[max(found)]) if found else ""
        return dict(sorted(texts.items()))

    def _root(self) -> str | None:
        """The first run, "" when the ledger does not say which; None: there is no ledger."""
        with answers(self.name):
            experiment = self._client.get_experiment_by_name(self.experiment)
        if experiment is None:
            return None
        if experiment.lifecycle_stage != "active":
            raise LedgerError(
                f"the ledger of {self.name!r} was deleted",
                where=self.experiment,
                fix=f"mlflow experiments restore --experiment-id {experiment.experiment_id}",
            )
        return str(experiment.tags.get(ROOT_TAG, ""))

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


def _following(text: str) -> str:
    """The run that an entry's text names as the next one; empty where it names none."""
    try:
        entry = loads(text)
    except LedgerError:
        return ""
    return str(entry.extra.get("run", "")) if entry.kind == CONTINUE else ""


def _key(seq: int) -> str:
    return f"{PREFIX}{seq:06d}"
