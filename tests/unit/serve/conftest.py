"""An engine of a small model, and an ASGI application asked without a server."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lifecycle.models.predicting import Columns, LoadedModel, Output, labels
from lifecycle.records import Column, ModelSpec, ModelVersion
from lifecycle.serve.app import App
from lifecycle.serve.engine import Engine
from lifecycle.serve.slots import Slot, SlotTable, slot
from lifecycle.stores.predictions import PredictionWriter

SECRET = b"s" * 32
SPEC = ModelSpec(
    1,
    "binary",
    (Column("age", "double"), Column("plan", "string")),
    target="churned",
    time="ts",
    key="id",
    classes=("no", "yes"),
)


def rule(columns: Columns) -> Output:
    """Older than 40 says yes; 99 breaks the model."""
    if (columns["age"] == 99).any():
        raise ZeroDivisionError("no one is 99 in /secret/path")
    scores = np.where(columns["age"] > 40, 0.9, 0.1)
    both = np.column_stack([1 - scores, scores])
    return Output(labels(both, SPEC.classes, threshold=None), both)


def slot_of(
    version: int = 7,
    answer: Callable[[Columns], Output] = rule,
    spec: ModelSpec = SPEC,
    name: str = "churn",
) -> Slot:
    return slot(name, LoadedModel(spec, "sklearn", answer, ModelVersion(name, version)))


@pytest.fixture
def make_slot() -> Callable[..., Slot]:
    """`slot_of(version, answer, spec, name)`."""
    return slot_of


@pytest.fixture
def engine(tmp_path: Path):
    """Version 7 of churn, with a prediction log in `tmp_path`."""
    with PredictionWriter(tmp_path, background=False) as writer:
        yield Engine(SlotTable().with_only(slot_of()), secret=SECRET, writer=writer)


async def _ask(
    app: App,
    method: str,
    path: str,
    body: bytes | list[bytes],
    *,
    headers: dict[str, str],
    wait: float,
) -> tuple[int, dict[str, str], bytes]:
    parts = body if isinstance(body, list) else [body]
    sent: list[dict[str, Any]] = []
    queue = [
        {"type": "http.request", "body": part, "more_body": index < len(parts) - 1}
        for index, part in enumerate(parts)
    ]

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(wait)
        return queue.pop(0) if queue else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    await app(scope, receive, send)
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(message["body"] for message in sent[1:])


@pytest.fixture
def ask() -> Callable[..., tuple[int, dict[str, str], bytes]]:
    """`ask(app, method, path, body, **headers)` -> status, headers, body."""

    def run(
        app: App,
        method: str,
        path: str,
        body: bytes | list[bytes] = b"",
        *,
        headers: dict[str, str] | None = None,
        wait: float = 0.0,
    ) -> tuple[int, dict[str, str], bytes]:
        return asyncio.run(_ask(app, method, path, body, headers=headers or {}, wait=wait))

    return run
