"""The champion's registry as a client sees it, and a second version with the champion's files."""

from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
import pytest

from lifecycle.records import ModelVersion
from lifecycle.stores import registry
from lifecycle.stores.predictions import PredictionLog
from lifecycle.stores.tracking import connect

SENT = pl.Struct({"plan": pl.String})


@pytest.fixture
def client(serving):
    return connect(serving)


@pytest.fixture
def second(client) -> ModelVersion:
    """The champion's twin."""
    first = registry.find(client, "churn/1")
    return registry.register(client, "churn", model_uri=first.source, tags=dict(first.tags))


@pytest.fixture
def answer() -> Callable[..., None]:
    """Log requests of a rollout's present step: `answer(config, rollout, champion=(n, failed))`."""
    return _answer


def _answer(config, rollout, **counts):
    now = datetime.now(UTC)
    for arm in rollout.spec.arms:
        rows, failed = counts.get(arm.name, (0, 0))
        numbers = pl.int_range(rows, eager=True)
        frame = pl.DataFrame(
            {
                "prediction_id": numbers.cast(pl.String) + f"-{now.timestamp()}-{arm.name}",
                "time": pl.Series([now] * rows, dtype=pl.Datetime("us", "UTC")),
                "model": [rollout.spec.name] * rows,
                "version": [arm.version] * rows,
                "arm": [arm.name] * rows,
                "step": [rollout.step] * rows,
                "key": pl.Series([None] * rows, dtype=pl.String),
                "latency_ms": [1.0] * rows,
                "features": pl.Series(
                    [{"plan": "pro"}] * rows, dtype=pl.Struct({"plan": pl.String})
                ),
                "prediction": [1] * rows,
                "score": [0.5] * rows,
                "error": pl.Series(["failed"] * failed + [None] * (rows - failed), dtype=pl.String),
            }
        )
        PredictionLog(config.log.dir).write(rollout.spec.name, frame)
