"""The servers that are compared: how each is started, what it is sent, how it answers.

>>> SERVERS["mlflow"].path("linear")
'/invocations'

To add one: a program in apps/ that takes a port and loads `model.joblib` from its folder, its
packages in environments.py, and a row in SERVERS.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes import HERE, BenchError, Running, ask, free_port
from subjects import ASKED, SUBJECTS, Subject, uri

APPS = HERE / "apps"
KNOWN = ("linear", "mixed", "forest")  # what servers that know no MLflow are given
SINGLE = 100  # single-row bodies whose answers are checked


@dataclass(frozen=True)
class Place:
    """Where one server runs.

    Attributes:
        subject: the model.
        work: the scratch folder of subjects.py.
        folder: the server's own folder, empty at the start.
        port: where it must listen.
        bin: the folder of its environment's programs.
        workers: how many processes answer.
    """

    subject: Subject
    work: Path
    folder: Path
    port: int
    bin: Path
    workers: int = 1

    @property
    def model(self) -> Path:
        """The folder of the model."""
        return self.work / self.subject.name


Command = Callable[[Place], list[str]]


@dataclass(frozen=True)
class Server:
    """One way to serve a model.

    Attributes:
        name: what options and results call it.
        title: what tables call it.
        command: what starts it.
        environment: whose packages it has; empty: ours.
        form: of its requests, see `subjects.body`.
        where: the path of predictions; `{model}` is the model's name.
        alive: the path that answers 200 when it is ready; empty: a prediction tells.
        models: the models that it can serve.
        answers: whether it predicts; the limit gives a fixed answer.
        pausable: whether its processes bear to be stopped for minutes.
        variables: environment variables for it.
    """

    name: str
    title: str
    command: Command
    environment: str = ""
    form: str = "split"
    where: str = "/invocations"
    alive: str = "/ping"
    models: Sequence[str] = tuple(SUBJECTS)
    answers: bool = True
    pausable: bool = True
    variables: dict[str, str] = field(default_factory=dict)

    def path(self, model: str) -> str:
        """Where a model's predictions are asked for."""
        return self.where.format(model=model)


def script(name: str, *arguments: str) -> Command:
    """A program of apps/, run by its environment's Python: folder of the model, port, options."""

    def command(place: Place) -> list[str]:
        given = [str(place.model), str(place.port), *arguments]
        return [str(place.bin / "python"), str(APPS / name), *given]

    return command


def mlflow(place: Place) -> list[str]:
    """`mlflow models serve`."""
    uri = f"models:/{place.subject.name}@champion"
    return [
        str(place.bin / "mlflow"), "models", "serve", "--model-uri", uri, "--env-manager", "local",
        "--host", "127.0.0.1", "--port", str(place.port), "--workers", str(place.workers),
    ]  # fmt: skip


def ours(place: Place) -> list[str]:
    """`lifecycle serve`."""
    return [str(place.bin / "python"), "-m", "lifecycle", *_serve(place)]


def unlogged(place: Place) -> list[str]:
    """The same without the prediction log, which no option switches off."""
    return [str(place.bin / "python"), str(APPS / "unlogged.py"), *_serve(place)]


def _serve(place: Place) -> list[str]:
    config = str(place.model / "lifecycle.toml")
    return [
        "serve", place.subject.name, "--config", config, "--port", str(place.port),
        "--log", str(place.folder / "log"), "--workers", str(place.workers),
    ]  # fmt: skip


def uvicorn(place: Place) -> list[str]:
    """Raw ASGI on uvicorn: the JSON is decoded, the answer is fixed."""
    return [
        str(place.bin / "python"), "-m", "uvicorn", "limit_asgi:app", "--app-dir", str(APPS),
        "--port", str(place.port), "--loop", "uvloop", "--http", "httptools",
        "--no-access-log", "--log-level", "warning", "--interface", "asgi3",
    ]  # fmt: skip


def granian(place: Place) -> list[str]:
    """Raw RSGI on granian: the JSON is decoded, the answer is fixed."""
    return [
        str(place.bin / "granian"), "limit_rsgi:app", "--working-dir", str(APPS),
        "--interface", "rsgi", "--host", "127.0.0.1", "--port", str(place.port),
        "--workers", "1", "--loop", "uvloop", "--no-access-log",
    ]  # fmt: skip


def mlserver(batch: int, seconds: float) -> Command:
    """MLServer in one process, with its adaptive batching where `batch` is more than 0."""

    def command(place: Place) -> list[str]:
        settings: dict[str, Any] = {
            "parallel_workers": 0,
            "host": "127.0.0.1",
            "http_port": place.port,
        }
        settings |= {"grpc_port": free_port(), "metrics_endpoint": None, "debug": False}
        model: dict[str, Any] = {
            "name": place.subject.name,
            "implementation": "mlserver_sklearn.SKLearnModel",
            "parameters": {"uri": str(place.model / "model.joblib")},
        }
        if batch:
            model |= {"max_batch_size": batch, "max_batch_time": seconds}
        for name, tree in (("settings", settings), ("model-settings", model)):
            path = place.folder / f"{name}.json"
            path.write_text(json.dumps(tree), encoding="utf-8")
        return [str(place.bin / "mlserver"), "start", str(place.folder)]

    return command


def bentoml(service: str) -> Command:
    """One of the services of apps/bento_service.py."""

    def command(place: Place) -> list[str]:
        (place.folder / "model.txt").write_text(str(place.model), encoding="utf-8")
        text = (APPS / "bento_service.py").read_text(encoding="utf-8")
        (place.folder / "bento_service.py").write_text(text, encoding="utf-8")
        return [
            str(place.bin / "bentoml"), "serve", f"bento_service:{service}",
            "--host", "127.0.0.1", "--port", str(place.port), "--working-dir", str(place.folder),
        ]  # fmt: skip

    return command


V2 = "/v2/models/{model}/infer"
READY = "/v2/health/ready"
QUIET = {"PYTHONWARNINGS": "ignore"}  # arrays instead of frames: a warning a request
BENTO = {**QUIET, "BENTOML_DO_NOT_TRACK": "true"}
RAY = {**QUIET, "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}

OWN = (
    Server("mlflow", "`mlflow models serve`", mlflow),
    Server("ours", "`lifecycle serve`", ours),
    Server("unlogged", "`lifecycle serve`, log off", unlogged),
    Server("uvicorn", "HTTP limit: raw ASGI on uvicorn", uvicorn, models=KNOWN[:2], answers=False),
    Server(
        "granian", "HTTP limit: granian RSGI", granian, "granian", models=KNOWN[:2], answers=False
    ),
)
PEERS = (
    Server(
        "mlserver", "MLServer", mlserver(0, 0), "mlserver",
        form="v2", where=V2, alive=READY, models=KNOWN, variables=QUIET,
    ),
    Server(
        "mlserver-batching", "MLServer, adaptive batching", mlserver(64, 0.002), "mlserver",
        form="v2", where=V2, alive=READY, models=KNOWN, variables=QUIET,
    ),
    Server(
        "bentoml", "BentoML", bentoml("Plain"), "bentoml",
        form="rows", where="/predict", alive="/readyz", models=KNOWN, variables=BENTO,
    ),
    Server(
        "bentoml-batching", "BentoML, batching", bentoml("Batching"), "bentoml",
        form="rows", where="/predict", alive="/readyz", models=KNOWN, variables=BENTO,
    ),
    Server(
        "litserve", "LitServe", script("litserve_app.py"), "litserve",
        form="rows", alive="/health", models=KNOWN, variables=QUIET,
    ),
    Server(
        "litserve-batching", "LitServe, batching", script("litserve_app.py", "64"), "litserve",
        form="rows", alive="/health", models=KNOWN, variables=QUIET,
    ),
    Server(
        "fastapi", "FastAPI, by hand", script("fastapi_app.py"), "fastapi",
        form="rows", models=KNOWN, variables=QUIET,
    ),
    Server(
        "ray", "Ray Serve", script("ray_app.py"), "ray",
        form="rows", alive="", models=KNOWN, pausable=False, variables=RAY,
    ),
    Server(
        "ray-batching", "Ray Serve, batching", script("ray_app.py", "64"), "ray",
        form="rows", alive="", models=KNOWN, pausable=False, variables=RAY,
    ),
)  # fmt: skip
SERVERS = {server.name: server for server in (*OWN, *PEERS)}


def predictions(answer: bytes) -> list[Any]:
    """The predictions of an answer of any of them, flat.

    >>> predictions(b'{"predictions": [1]}'), predictions(b'{"outputs": [{"data": [1]}]}')
    ([1], [1])
    """
    found = json.loads(answer)
    if isinstance(found, dict):
        found = found["outputs"][0]["data"] if "outputs" in found else found["predictions"]
    return [item[0] if isinstance(item, list) else item for item in found]


def check(server: Server, place: Place) -> int:
    """Compare a server's answers with the model's own: labels equal, scores within 1e-6.

    Returns:
        How many predictions were compared.

    Raises:
        BenchError: an answer is not 200, or says something else.
    """
    expected = json.loads((place.model / "answers.json").read_text(encoding="utf-8"))["answers"]
    path, compared = server.path(place.subject.name), 0
    for rows in (1, ASKED):
        bodies = requests(server, place, rows).read_text(encoding="utf-8").splitlines()
        given: list[Any] = []
        for body in bodies[:SINGLE]:
            status, answer = ask(place.port, path, body)
            if status != 200:
                raise BenchError(f"{rows} rows: {status}: {answer[:300].decode(errors='replace')}")
            given += predictions(answer) if server.answers else []
        if server.answers:
            compared += len(given)
            _same(given, expected, rows)
    return compared


def equal(given: Any, expected: float) -> bool:
    """Whether an answer is the label, or near enough to the score.

    >>> equal(1, 1), equal(1.0000001, 1), equal(0.5000001, 0.5), equal("1", 1)
    (True, False, True, False)
    """
    if not isinstance(given, int | float):
        return False
    return given == expected if isinstance(expected, int) else abs(given - expected) <= 1e-6


def _same(given: Sequence[Any], expected: Sequence[Any], rows: int) -> None:
    wrong = [
        (place, mine, theirs)
        for place, (mine, theirs) in enumerate(zip(given, expected, strict=False))
        if not equal(mine, theirs)
    ]
    if len(given) != len(expected):
        raise BenchError(f"{rows} rows a body: {len(given)} answers to {len(expected)} rows")
    if wrong:
        raise BenchError(f"{rows} rows a body: {len(wrong)} answers differ, the first {wrong[0]}")


def requests(server: Server, place: Place, rows: int) -> Path:
    """The file of a server's requests."""
    return place.model / f"{server.form}-{rows}.txt"


def start(server: Server, place: Place, core: int | str) -> tuple[Running, float]:
    """Start a server and wait until it is ready.

    Returns:
        What runs, and seconds until it answered.

    Raises:
        BenchError: it did not become ready.
    """
    if not (place.bin / "python").exists():
        raise BenchError("it is not installed: python benchmarks/serving/run.py --install")
    variables = {"MLFLOW_TRACKING_URI": uri(place.work), "PYTHONUNBUFFERED": "1"}
    variables["PATH"] = f"{place.bin}:{os.environ.get('PATH', '')}"
    running = Running(
        server.command(place),
        core=core,
        folder=place.folder,
        variables={**variables, **server.variables},
        output=place.folder / "output.txt",
    )
    try:
        if server.alive:
            return running, running.wait(place.port, server.alive)
        first = requests(server, place, 1).read_text(encoding="utf-8").splitlines()[0]
        return running, running.wait(place.port, server.path(place.subject.name), body=first)
    except BaseException:
        running.end()
        raise
