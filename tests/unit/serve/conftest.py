"""An engine of a small model, an ASGI application asked without a server, a real registry."""

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lifecycle.config import Config
from lifecycle.models.predicting import Columns, LoadedModel, Output, labels
from lifecycle.records import Column, ModelSpec, ModelVersion
from lifecycle.serve.app import App, Guard
from lifecycle.serve.batch import Limits
from lifecycle.serve.engine import Engine
from lifecycle.serve.slots import Slot, SlotTable, slot
from lifecycle.serve.wire import Request, Response, Service
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


@pytest.fixture(scope="module")
def one_slot() -> Slot:
    """Version 7 of churn, for tests that ask many times."""
    return slot_of()


@pytest.fixture
def engine(tmp_path: Path):
    """Version 7 of churn, with a prediction log in `tmp_path`."""
    with PredictionWriter(tmp_path, background=False) as writer:
        yield Engine(SlotTable().with_only(slot_of()), secret=SECRET, writer=writer)


@pytest.fixture
def make_app() -> Iterator[Callable[..., App]]:
    """`make_app(engine, add_labels=…, guard=…, limits=…)`; its threads end with the test."""
    made: list[App] = []

    def make(
        engine: Engine, *, guard: Guard | None = None, limits: Limits | None = None, **more: Any
    ) -> App:
        made.append(App(Service(engine, **more), guard=guard, limits=limits))
        return made[-1]

    yield make
    for app in made:
        app.close()


async def _ask(app: App, request: Request) -> Response:
    answered: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
    app.handle(request, answered.set_result)
    return await asyncio.wait_for(answered, 30)


@pytest.fixture
def ask() -> Callable[..., tuple[int, dict[str, str], bytes]]:
    """`ask(app, method, path, body, headers)` -> status, headers, body; no socket."""

    def run(
        app: App,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        path, _, query = path.partition("?")
        raw = {name.lower().encode(): value.encode() for name, value in (headers or {}).items()}
        request = Request(method, path, query.encode(), raw, body, time.perf_counter_ns())
        answer = asyncio.run(_ask(app, request))
        found = {name.decode(): value.decode() for name, value in answer.headers}
        found["content-type"] = answer.kind.decode()
        return answer.status, found, answer.body

    return run


@pytest.fixture(scope="session")
def registered(template_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of plain MLflow models that answer a multiple of x; champions are the first.

    churn/1 once, churn/2 twice, churn/3 thrice but its weights are gone; late/1 five times.
    """
    import mlflow
    from mlflow.models import infer_signature
    from sklearn.linear_model import LinearRegression

    from lifecycle.stores.tracking import connect, experiment_id, quiet

    folder = tmp_path_factory.mktemp("registered")
    shutil.copy(template_database, folder / "mlflow.db")
    frame = pd.DataFrame({"x": [0.0, 1.0, 2.0]})
    with pytest.MonkeyPatch.context() as patch, quiet():
        patch.chdir(folder)
        client = connect(Config().with_values(tracking__uri=f"sqlite:///{folder}/mlflow.db"))
        for name, factor in (("churn", 1.0), ("churn", 2.0), ("churn", 3.0), ("late", 5.0)):
            model = LinearRegression().fit(frame, factor * frame["x"])
            with mlflow.start_run(experiment_id=experiment_id(client, "elsewhere")):
                logged = mlflow.sklearn.log_model(
                    model,
                    name="model",
                    signature=infer_signature(frame, model.predict(frame)),
                    input_example=frame.head(1),
                    pip_requirements=["scikit-learn"],
                )
            version = mlflow.register_model(logged.model_uri, name).version
            if factor == 3.0:
                place = client.get_logged_model(logged.model_id).artifact_location
                Path(place.removeprefix("file://"), "model.skops").unlink()
            if str(version) == "1":
                client.set_registered_model_alias(name, "champion", "1")
    return folder / "mlflow.db"


@pytest.fixture
def served(registered: Path, config: Config, tmp_path: Path) -> Config:
    """A configuration of that registry, which a test may change, with a log of its own."""
    shutil.copy(registered, tmp_path / "mlflow.db")
    return config.with_values(tracking__uri=f"sqlite:///{tmp_path}/mlflow.db")
