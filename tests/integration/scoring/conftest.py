"""MLflow's scoring application and ours on the same model, asked the same without a socket."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.pyfunc import scoring_server

from lifecycle.models import loading, specs
from lifecycle.serve.app import App
from lifecycle.serve.engine import Engine
from lifecycle.serve.slots import SlotTable, slot
from lifecycle.serve.wire import Request, Service

Answer = tuple[int, Any]  # status and JSON
Ask = Callable[[str, bytes], tuple[Answer, Answer]]


class Echo(mlflow.pyfunc.PythonModel):
    """Answers one row a row: the type and text of all that it was given."""

    def predict(self, context, model_input, params=None):  # noqa: ARG002 - MLflow's signature
        def shown(values):
            if hasattr(values, "dtype"):
                cells = np.asarray(values).tolist()
                return [str(values.dtype), list(np.shape(values)), repr(cells)]
            return [type(values).__name__, repr(values)]

        if isinstance(model_input, pd.DataFrame):
            types = {str(name): str(kind) for name, kind in model_input.dtypes.items()}
            rows = repr(model_input.to_dict("records")).replace("np.str_", "")
            told = repr(sorted((params or {}).items()))
            return [{"types": types, "rows": rows, "params": told}] * len(model_input)
        if isinstance(model_input, dict):
            return [{name: shown(values) for name, values in model_input.items()}]
        return [shown(model_input)]


@pytest.fixture(scope="session")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Ask]]:
    """`side_by_side(signature)` -> `ask(content_type, body)` -> MLflow's answer and ours.

    The model tells what it was given; each signature is loaded once.
    """
    saved = tmp_path_factory.mktemp("model") / "saved"
    mlflow.pyfunc.save_model(saved, python_model=Echo(), signature=False, pip_requirements=[])
    made: dict[str, tuple[Any, App]] = {}

    def get(signature: ModelSignature | None) -> Ask:
        known = repr(signature)
        if known not in made:
            folder = saved.with_name(str(len(made)))
            shutil.copytree(saved, folder)
            described = mlflow.models.Model.load(str(folder))
            described.signature = signature
            described.save(str(folder / "MLmodel"))
            made[known] = _applications(folder)
        return lambda kind, body: _both(made[known], kind, body)

    yield get
    for _, app in made.values():
        app.close()


@pytest.fixture
def of_folder() -> Iterator[Callable[[Path], Ask]]:
    """`of_folder(path)` -> the same for a model that is saved there."""
    made: list[App] = []

    def get(folder: Path) -> Ask:
        apps = _applications(folder)
        made.append(apps[1])
        return lambda kind, body: _both(apps, kind, body)

    yield get
    for app in made:
        app.close()


def _applications(folder: Path) -> tuple[Any, App]:
    theirs = scoring_server.init(mlflow.pyfunc.load_model(str(folder)))
    spec = specs.from_signature(loading.describe(folder).get("signature"))
    loaded = loading.load(folder, spec=spec, digest="", allow_pickle=True)
    engine = Engine(SlotTable().with_only(slot("m", loaded)), secret=b"s" * 32)
    return theirs, App(Service(engine))


def _both(apps: tuple[Any, App], kind: str, body: bytes) -> tuple[Answer, Answer]:
    theirs = asyncio.run(_mlflow(apps[0], kind, body))
    ours = asyncio.run(_ours(apps[1], kind, body))
    return theirs, ours


async def _mlflow(app: Any, kind: str, body: bytes) -> Answer:
    """What MLflow's application says to a request as a server hands it over."""
    sent: list[dict[str, Any]] = []
    messages = iter([{"type": "http.request", "body": body}])

    async def receive() -> dict[str, Any]:
        message = next(messages, None)
        while message is None:  # it listens for the end of the connection
            await asyncio.sleep(60)
        return message

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/invocations",
        "raw_path": b"/invocations",
        "query_string": b"",
        "headers": [(b"content-type", kind.encode())] if kind else [],
        "http_version": "1.1",
    }
    try:
        await app(scope, receive, send)
    except Exception:  # noqa: BLE001 - a server answers 500 then
        return 500, None
    content = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], _json(content)


async def _ours(app: App, kind: str, body: bytes) -> Answer:
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    headers = {b"content-type": kind.encode()} if kind else {}
    app.handle(Request("POST", "/invocations", headers=headers, body=body), answered.set_result)
    answer = await asyncio.wait_for(answered, 30)
    return answer.status, _json(answer.body)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content
