"""A tracking store that keeps ledgers whole on the server, and their entries' names true.

>>> GuardedTracking("lifecycle+sqlite:///mlflow.db", "mlruns")  # doctest: +SKIP

    MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow server \
        --backend-store-uri lifecycle+sqlite:///mlflow.db

is MLflow's own store, which refuses to delete or rename a ledger, and any entry that does not
follow the last one or does not name the user whom the server has authenticated for the very
request. With it a client can put into a ledger only what is by itself. The same address then
serves the registry, see `stores.registry_store`.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, PERMISSION_DENIED
from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from lifecycle.errors import LedgerError, LifecycleError
from lifecycle.records import Entry
from lifecycle.records.approvals import AUTHENTICATED, SELF_DECLARED
from lifecycle.stores.guarding import plain
from lifecycle.stores.ledger import FIRST, PREFIX, ROOT_TAG, Ledger, loads

SUFFIX = "/ledger"


class GuardedTracking(SqlAlchemyStore):
    """MLflow's tracking store in a database, with ledgers that nobody can take apart.

    Args:
        store_uri: `lifecycle+` and the database's address.
        artifact_uri: where files of new experiments go; by default where MLflow puts them.
    """

    def __init__(self, store_uri: str, artifact_uri: str | None = None) -> None:
        super().__init__(plain(store_uri), artifact_uri or DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)

    @cached_property
    def _client(self) -> MlflowClient:
        """Reads ledgers; made late, because MLflow holds a lock while it makes a store."""
        return MlflowClient(self.db_uri, self.db_uri)

    def delete_experiment(self, experiment_id: str) -> None:
        """Delete an experiment that is no ledger."""
        self._refuse_ledger(experiment_id, "is not deleted")
        super().delete_experiment(experiment_id)

    def rename_experiment(self, experiment_id: str, new_name: str) -> None:
        """Rename an experiment that is no ledger."""
        self._refuse_ledger(experiment_id, "is not renamed")
        super().rename_experiment(experiment_id, new_name)

    def set_experiment_tag(self, experiment_id: str, tag: Any) -> None:
        """Set a tag; the one that names the ledger's run is set before it is a ledger."""
        if tag.key == ROOT_TAG:
            self._refuse_ledger(experiment_id, "stays in its run")
        super().set_experiment_tag(experiment_id, tag)

    def delete_experiment_tag(self, experiment_id: str, key: str) -> None:
        """Remove a tag other than the one that names the ledger's run."""
        if key == ROOT_TAG:
            self._refuse_ledger(experiment_id, "stays in its run")
        super().delete_experiment_tag(experiment_id, key)

    def delete_run(self, run_id: str) -> None:
        """Delete a run without entries of a ledger."""
        run = self.get_run(run_id)
        if any(key.startswith(PREFIX) for key in run.data.params):
            self._refuse_ledger(run.info.experiment_id, "is not deleted")
        super().delete_run(run_id)

    def log_param(self, run_id: str, param: Any) -> Any:
        """Write a parameter; one of a ledger is its next entry."""
        self._check(run_id, [param])
        return super().log_param(run_id, param)

    def log_batch(self, run_id: str, metrics: Any, params: Any, tags: Any) -> None:
        """Write a batch; its parameters of a ledger are its next entries."""
        self._check(run_id, params)
        super().log_batch(run_id, metrics, params, tags)

    def _check(self, run_id: str, params: Sequence[Any]) -> None:
        """Refuse what is no next entry of the ledger by the one who asks.

        Raises:
            MlflowException: says what is wrong with it.
        """
        texts = [param.value for param in params if str(param.key).startswith(PREFIX)]
        if not texts:
            return
        name = self._ledger(self.get_run(run_id).info.experiment_id)
        if not name:
            return
        if len(texts) > 1:
            _refuse(name, "its entries are written one by one")
        try:
            entry, known = loads(texts[0]), Ledger(self._client, name).entries()
        except LedgerError as error:
            raise MlflowException(str(error), error_code=PERMISSION_DENIED) from error
        except LifecycleError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from error
        if entry.seq <= len(known):
            return  # its writer has lost a race, and MLflow will say so
        last = known[-1].digest if known else FIRST
        if entry.seq != len(known) + 1 or entry.prev != last:
            _refuse(name, f"entry {entry.seq} does not follow entry {len(known)}")
        why = untrue(entry, user())
        if why:
            _refuse(name, why)

    def _refuse_ledger(self, experiment_id: str, what: str) -> None:
        name = self._ledger(experiment_id)
        if name:
            _refuse(name, f"a ledger {what}")

    def _ledger(self, experiment_id: str) -> str:
        """The model whose ledger an experiment is; empty for any other."""
        found = self.get_experiment(experiment_id)
        known = found.name.endswith(SUFFIX) and ROOT_TAG in found.tags
        return str(found.name.removesuffix(SUFFIX)) if known else ""


def untrue(entry: Entry, user: str) -> str:
    """What is wrong with the name in an entry; empty: nothing.

    >>> known = Entry(1, "", "", "", "ann", "flag", identity="authenticated by https://mlflow")
    >>> untrue(known, "ann"), untrue(known, "bob")
    ('', "the entry says that it is by 'ann', but it is by 'bob'")

    Args:
        entry: as a client wants it written.
        user: whom the server authenticated; empty where it asks nobody.
    """
    if not user:
        same = entry.identity == SELF_DECLARED
        return (
            ""
            if same
            else "the entry says that its actor is authenticated, but this server asks nobody"
        )
    if entry.actor != user:
        return f"the entry says that it is by {entry.actor!r}, but it is by {user!r}"
    known = entry.identity.startswith(AUTHENTICATED)
    return (
        ""
        if known
        else "the entry says that its actor is self-declared, but the server knows who it is"
    )


def user() -> str:
    """The user whom the server has authenticated for the present request; empty: nobody."""
    from flask import current_app, has_request_context

    if not has_request_context():
        return ""
    checks = current_app.before_request_funcs.get(None, ())
    if not any(check.__module__ == "mlflow.server.auth" for check in checks):
        return ""
    from mlflow.server.auth import authenticate_request

    return str(getattr(authenticate_request(), "username", None) or "")


def _refuse(name: str, why: str) -> None:
    raise MlflowException(
        f"lifecycle refuses this for the ledger of {name!r}: {why}.",
        error_code=PERMISSION_DENIED,
    )
