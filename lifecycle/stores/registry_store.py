"""A registry that refuses on the server what the ledger does not say.

>>> GuardedRegistry("lifecycle+sqlite:///mlflow.db")  # doctest: +SKIP

    mlflow server --backend-store-uri sqlite:///mlflow.db \
        --registry-store-uri lifecycle+sqlite:///mlflow.db

MLflow loads it by the entry points `mlflow.model_registry_store` of this package. It is MLflow's
own store, which reads the model's ledger from the tracking store before it writes what is ours:
see `stores.guarding` for the rules. Which stages there are, and which approvals are asked for, the
server's own `lifecycle.toml` or `LIFECYCLE_*` variables say. Whoever may write to the database or
to its files itself is not stopped by it.
"""

import os
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from mlflow import MlflowClient
from mlflow.environment_variables import MLFLOW_ENABLE_WORKSPACES
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INVALID_PARAMETER_VALUE,
    PERMISSION_DENIED,
    TEMPORARILY_UNAVAILABLE,
)
from mlflow.server.constants import BACKEND_STORE_URI_ENV_VAR
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

from lifecycle.approvals import check_policy
from lifecycle.config import load_config
from lifecycle.errors import ConfigError, LedgerError, LifecycleError
from lifecycle.stages import check_order
from lifecycle.stores.guarding import OURS, Guard, plain
from lifecycle.stores.ledger import Ledger

NEXT = "Next: use `lifecycle promote`, `rollback` or `doctor --fix`, which write the ledger first"


class GuardedRegistry(SqlAlchemyStore):
    """MLflow's registry in a database, with the ledger's word above every client's.

    Args:
        store_uri: `lifecycle+` and the database's address.

    Raises:
        MlflowException: the server's configuration cannot be used, or workspaces are on.
    """

    def __init__(self, store_uri: str) -> None:
        if MLFLOW_ENABLE_WORKSPACES.get():
            raise MlflowException(
                "lifecycle's registry store does not know workspaces. Next: start the server"
                " without --enable-workspaces",
                error_code=INVALID_PARAMETER_VALUE,
            )
        try:
            config = load_config()
            check_order(config.stages.order, config.stages.ways)
            check_policy(config.approvals, config.stages.order)
        except ConfigError as error:
            raise MlflowException(str(error), error_code=INVALID_PARAMETER_VALUE) from error
        self._order, self._policy = config.stages.order, config.approvals
        super().__init__(plain(store_uri))

    def set_registered_model_alias(self, name: str, alias: str, version: Any) -> None:
        """Set an alias; ours only as the ledger says."""
        self._refuse(name, self._guard(name).alias(alias, _number(version)))
        super().set_registered_model_alias(name, alias, version)

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        """Remove an alias; ours only when the ledger names nobody."""
        self._refuse(name, self._guard(name).no_alias(alias))
        super().delete_registered_model_alias(name, alias)

    def transition_model_version_stage(
        self, name: str, version: Any, stage: str, archive_existing_versions: bool
    ) -> Any:
        """Set MLflow's own stage to the one that the ledger says."""
        archive = bool(archive_existing_versions)
        self._refuse(name, self._guard(name).stage(_number(version), stage, archive=archive))
        return super().transition_model_version_stage(
            name, version, stage, archive_existing_versions
        )

    def delete_model_version(self, name: str, version: Any) -> None:
        """Delete a version that is not in production."""
        self._refuse(name, self._guard(name).deletion(_number(version)))
        super().delete_model_version(name, version)

    def delete_registered_model(self, name: str) -> None:
        """Delete a model of which nothing is in production."""
        self._refuse(name, self._guard(name).deletion())
        super().delete_registered_model(name)

    def rename_registered_model(self, name: str, new_name: str) -> Any:
        """Rename a model that has no ledger."""
        self._refuse(name, self._guard(name).rename())
        return super().rename_registered_model(name, new_name)

    def create_registered_model(
        self, name: str, tags: Any = None, description: Any = None, deployment_job_id: Any = None
    ) -> Any:
        """Make a model; with tags of ours only as the ledger says."""
        if _ours(tags):
            guard = self._guard(name)
            for tag in _ours(tags):
                self._refuse(name, guard.model_tag(tag.key, tag.value))
        return super().create_registered_model(name, tags, description, deployment_job_id)

    def create_model_version(
        self, name: str, source: Any, run_id: Any = None, tags: Any = None, *args: Any, **more: Any
    ) -> Any:
        """Make a version; its tags cannot say what nobody has decided yet."""
        if _ours(tags):
            guard = self._guard(name)
            for tag in _ours(tags):
                self._refuse(name, guard.tag(0, tag.key, tag.value, {}))
        return super().create_model_version(name, source, run_id, tags, *args, **more)

    def set_model_version_tag(self, name: str, version: Any, tag: Any) -> None:
        """Set a tag of a version; ours only as the ledger says."""
        if _ours([tag]):
            present = super().get_model_version(name, version).tags
            guard = self._guard(name)
            self._refuse(name, guard.tag(_number(version), tag.key, tag.value, present))
        super().set_model_version_tag(name, version, tag)

    def delete_model_version_tag(self, name: str, version: Any, key: str) -> None:
        """Remove a tag of a version; never one of ours."""
        if key.startswith(OURS):
            self._refuse(name, self._guard(name).no_tag(key))
        super().delete_model_version_tag(name, version, key)

    def set_registered_model_tag(self, name: str, tag: Any) -> None:
        """Set a tag of a model; ours only as the ledger says."""
        if _ours([tag]):
            self._refuse(name, self._guard(name).model_tag(tag.key, tag.value))
        super().set_registered_model_tag(name, tag)

    def delete_registered_model_tag(self, name: str, key: str) -> None:
        """Remove a tag of a model; never one of ours."""
        if key.startswith(OURS):
            self._refuse(name, self._guard(name).no_tag(key))
        super().delete_registered_model_tag(name, key)

    @cached_property
    def _client(self) -> MlflowClient:
        """Reads ledgers from the server's tracking store; without a server from our database."""
        backend = plain(os.environ.get(BACKEND_STORE_URI_ENV_VAR) or self.db_uri)
        return MlflowClient(backend, backend)

    def _guard(self, name: str) -> Guard:
        """The rules for a model as its ledger is now.

        Raises:
            MlflowException: the ledger is broken or gone; nothing is written until it is mended.
        """
        try:
            entries = Ledger(self._client, name).entries()
        except LedgerError as error:
            raise MlflowException(str(error), error_code=PERMISSION_DENIED) from error
        except LifecycleError as error:
            raise MlflowException(str(error), error_code=TEMPORARILY_UNAVAILABLE) from error
        return Guard(entries, self._policy, self._order)

    def _refuse(self, name: str, why: str) -> None:
        if why:
            raise MlflowException(
                f"lifecycle refuses this for {name!r}: {why}. {NEXT}.",
                error_code=PERMISSION_DENIED,
            )


def _ours(tags: Iterable[Any] | None) -> list[Any]:
    return [tag for tag in tags or () if str(tag.key).startswith(OURS)]


def _number(version: Any) -> int:
    """A version's number; MLflow itself refuses what is none."""
    text = str(version)
    return int(text) if text.isascii() and text.isdigit() else 0
