"""The champion's registry as a client sees it, and a second version with the champion's files."""

import pytest

from lifecycle.records import ModelVersion
from lifecycle.stores import registry
from lifecycle.stores.tracking import connect


@pytest.fixture
def client(serving):
    return connect(serving)


@pytest.fixture
def second(client) -> ModelVersion:
    """The champion's twin."""
    first = registry.find(client, "churn/1")
    return registry.register(client, "churn", model_uri=first.source, tags=dict(first.tags))
