"""What MLflow finds under its entry points; imports nothing until a server asks for it.

>>> registry_store("lifecycle+sqlite:///mlflow.db")  # doctest: +SKIP

MLflow loads the entry points of every installed package whenever it starts, in clients too.
"""

from typing import Any


def registry_store(store_uri: str) -> Any:
    """The store for `--registry-store-uri lifecycle+sqlite:///mlflow.db`."""
    from lifecycle.stores.registry_store import GuardedRegistry

    return GuardedRegistry(store_uri)


def tracking_store(store_uri: str, artifact_uri: str | None = None) -> Any:
    """The store for `--backend-store-uri lifecycle+sqlite:///mlflow.db`."""
    from lifecycle.stores.tracking_store import GuardedTracking

    return GuardedTracking(store_uri, artifact_uri)
