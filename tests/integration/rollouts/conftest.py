"""Flights with a champion and five challengers, servers, and crowds of clients over real HTTP."""

import asyncio
import copy
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import lifecycle as lc
from lifecycle.config import Config
from lifecycle.demo import flights as all_flights
from lifecycle.stores.tracking import connect

LEVELS = ["carrier", "origin", "dest"]
NUMBERS = ["distance", "sched_dep", "weekday", "temp", "wind_speed", "precip", "visib"]
FEATURES = [*LEVELS, *NUMBERS]
HARMED = "MQ"  # the carrier that the harmful challenger is wrong about
UNKNOWN = "B6"  # the carrier that the crashing challenger never saw
ENDS = ("promote", "rollback", "finish", "hold")
BOUND = 60.0  # seconds until a burst that has not ended fails its test
SERVE = """
import json, sys
from lifecycle.config import Config
from lifecycle.serve.server import serve
config = Config().with_values(**json.loads(sys.argv[1]))
serve(config, ("flights",), port=int(sys.argv[2]))
"""


@dataclass(frozen=True, slots=True)
class Got:
    """What a client got for a row: status, who answered, the id to send its label with."""

    row: int
    key: str | None
    status: int
    version: int
    arm: str
    id: str
    body: bytes


class _Client(asyncio.Protocol):
    """One connection that stays open: sends a request, waits for its answer, sends the next."""

    def __init__(self, rest: Iterator[tuple[int, str | None, bytes]], got: list[Got]) -> None:
        self.rest, self.got, self.buffer = rest, got, b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.asked = next(self.rest, None)
        if self.asked is None:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)
        else:
            self.transport.write(self.asked[2])

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode().split("\r\n")
        named = {name.lower(): text for name, _, text in (line.partition(": ") for line in lines)}
        if len(body) < int(named["content-length"]):
            return
        self.buffer = b""
        row, key, _ = self.asked
        self.got.append(
            Got(
                row, key, int(first.split()[1]), int(named.get("x-model-version", 0)),
                named.get("x-model-arm", ""), named.get("x-prediction-id", ""), body,
            )
        )  # fmt: skip
        self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("the server closed the connection"))


class Server:
    """A server, or several behind one address, as clients see them."""

    def __init__(self, address: str, rows: pd.DataFrame, columns: Sequence[str] = FEATURES) -> None:
        self.address, self.rows = address, rows
        host, _, port = address.rpartition(":")
        self.place = host, int(port)
        sent = rows[list(columns)].to_json(orient="records", lines=True, date_format="iso")
        lines = sent.splitlines()
        self.bodies = [f'{{"dataframe_records": [{line}]}}'.encode() for line in lines]

    def burst(
        self,
        rows: Sequence[int],
        *,
        keys: Sequence[str] | None = None,
        headers: str = "",
        clients: int = 16,
    ) -> list[Got]:
        """One request a row, from that many clients at once; with routing keys where given."""

        def requests() -> Iterator[tuple[int, str | None, bytes]]:
            for index, row in enumerate(rows):
                key, body = keys[index] if keys else None, self.bodies[row]
                more = headers + (f"X-Routing-Key: {key}\r\n" if key else "")
                head = (
                    f"POST /invocations HTTP/1.1\r\nHost: x\r\n{more}"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                )
                yield row, key, head.encode() + body

        async def all_of_them() -> list[Got]:
            got: list[Got] = []
            rest = requests()
            loop = asyncio.get_running_loop()
            made = [
                (await loop.create_connection(lambda: _Client(rest, got), *self.place))[1]
                for _ in range(clients)
            ]
            await asyncio.wait_for(asyncio.gather(*(client.done for client in made)), BOUND)
            return got

        return asyncio.run(all_of_them())

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        """One request with a connection of its own; the status and the JSON of the answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://{self.address}{path}", data, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def metrics(self) -> list[str]:
        """The lines of /metrics."""
        with urllib.request.urlopen(f"http://{self.address}/metrics", timeout=30) as answer:
            return str(answer.read().decode()).splitlines()

    def tell(self, got: Sequence[Got]) -> int:
        """Send what came of the flights, by the ids of their answers; how many were taken."""
        labels = self.rows["late"].tolist()
        taken = 0
        for start in range(0, len(got), 2000):
            part = [{"prediction_id": one.id, "label": labels[one.row]}
                    for one in got[start : start + 2000]]  # fmt: skip
            status, said = self.ask("/feedback", {"labels": part})
            assert status == 200, said
            taken += said["accepted"]
        return taken

    def shares(self) -> dict[str, float]:
        """The share of each arm, as the server has it now."""
        serving = self.ask("/status")[1]["models"][0]["serving"]
        return {arm["arm"]: round(arm["share"], 6) for arm in serving}

    def reaches(self, share: float) -> None:
        """Wait until the challenger has that share."""
        self.follows(lambda shares: shares.get("challenger") == round(share, 6))

    def follows(self, wanted: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        """Wait until the server's shares are as they should be."""
        deadline = time.monotonic() + 30
        while not wanted(found := self.shares()):
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found


class Story:
    """A folder with a registry of its own, which has the champion and the challengers.

    Attributes:
        config: of the model `flights`, whose prediction log lies in the folder.
        live: the flights that clients ask about, with what came of them.
        versions: by what they are: champion, good, and on `challenger` the others.
    """

    def __init__(self, config: Config, live: pd.DataFrame, versions: dict[str, int]) -> None:
        self.config, self.live, self.versions = config, live, versions
        self.project = lc.Project(config=config)
        self.serving: Callable[..., Any]
        self.forwarding: Callable[..., Any]
        self._next = 0

    def over(self, address: str) -> "Story":
        """The same story with its registry behind an MLflow server."""
        other = Story(self.config.with_values(tracking__uri=address), self.live, self.versions)
        other.serving, other.forwarding = self.serving, self.forwarding
        (Path(self.config.log.dir).parent / "lifecycle.toml").write_text(_toml(other.config))
        return other

    def rows(self, count: int) -> list[int]:
        """The next flights, one after the other, round and round."""
        first, self._next = self._next, self._next + count
        return [index % len(self.live) for index in range(first, first + count)]

    @contextmanager
    def server(
        self,
        *,
        log: str = "",
        workers: int = 1,
        columns: Sequence[str] = FEATURES,
        **values: Any,
    ) -> Iterator[Server]:
        """A server in a process of its own, whose clients send those columns."""
        config = self.config
        given = {
            "name": "flights", "tracking__uri": config.tracking_uri,
            "log__dir": log or config.log.dir, "models__allow_pickle": True,
            "serve__poll_seconds": 0.1, "serve__workers": workers,
            "serve__drain_seconds": 0.0, **values,
        }  # fmt: skip
        with self.serving(given, script=SERVE) as process:
            server = Server(process.address, self.live, columns)
            server.process = process
            yield server

    def start(self, which: str, **asked: Any) -> Any:
        """A rollout of that version; what the gates say of it is not this story."""
        given = {"force": True, "reason": "try it", **asked}
        return self.project.rollout(self.versions[which], **given)

    def go_on(
        self,
        server: "Server",
        *,
        looks: int,
        size: int = 4000,
        tell: bool = True,
        logs: Sequence[str] = (),
        keys: Callable[[Sequence[int]], Sequence[str]] | None = None,
    ) -> tuple[list[Any], list[Got]]:
        """Bursts with a look after each, until a look ends the rollout; the looks, the answers."""
        seen: list[Any] = []
        got: list[Got] = []
        for _ in range(looks):
            rows = self.rows(size)
            burst = server.burst(rows, keys=keys(rows) if keys else None)
            got += burst
            if tell:
                server.tell(burst)
            look = self.project.rollout_look(log=logs)
            seen.append(look)
            if look.action in ENDS:
                break
            if look.action == "step":
                server.reaches(look.shares[1])
        return seen, got

    def entries(self, *events: str) -> list[Any]:
        """The ledger's entries, of a rollout only those events."""
        found = self.project.history().entries
        return [one for one in found if not events or one.extra.get("event") in events]

    def alias(self, name: str) -> int | None:
        """The version that an alias points at; None where there is none."""
        aliases = connect(self.config).get_registered_model("flights").aliases
        return int(aliases[name]) if name in aliases else None

    @contextmanager
    def replicas(self, logs: Sequence[str], **values: Any) -> Iterator[Server]:
        """Several servers behind one address: each new connection goes to the next of them."""
        with ExitStack() as stack:
            made = [stack.enter_context(self.server(log=log, **values)) for log in logs]
            address = stack.enter_context(self.forwarding([one.place for one in made]))
            server = Server(address, self.live)
            server.each = made
            yield server


def _config(folder: Path, **values: Any) -> Config:
    return Config().with_values(
        name="flights", target="late", time="time", key="flight_id",
        tracking__uri=f"sqlite:///{folder / 'mlflow.db'}", log__dir=str(folder / "log"),
        models__allow_pickle=True, **values,
    )  # fmt: skip


def _toml(config: Config) -> str:
    """The configuration for commands that are given in a story's folder."""
    return (
        f'name = "{config.name}"\ntarget = "late"\ntime = "time"\nkey = "flight_id"\n'
        f'[tracking]\nuri = "{config.tracking_uri}"\n[log]\ndir = "{config.log.dir}"\n'
        "[models]\nallow_pickle = true\n"
    )


@pytest.fixture(scope="session")
def flown() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Flights to learn from, before 11 March, and flights that are asked about, after it."""
    table = all_flights()[["flight_id", "time", *FEATURES, "late"]]
    before = table["time"] < "2013-03-11"
    after = ~before & (table["time"] < "2013-05-01")
    known = table[before].sample(8000, random_state=0).sort_values("time")
    return known, table[after].sample(20_000, random_state=0).reset_index(drop=True)


@pytest.fixture(scope="session")
def trained_once(
    template_database: Path,
    flown: tuple[pd.DataFrame, pd.DataFrame],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, int]]:
    """A registry with the champion in production and a challenger that is as good."""
    folder = tmp_path_factory.mktemp("flights")
    shutil.copy(template_database, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        project = lc.Project(config=_config(folder))
        champion = _trained(project, LogisticRegression(max_iter=200), flown[0])
        project.promote(champion, to="production", force=True, reason="the first")
        good = _trained(project, LogisticRegression(max_iter=200, C=0.5), flown[0])
    return folder, {"champion": champion, "good": good}


def _trained(project: lc.Project, estimator: Any, rows: pd.DataFrame) -> int:
    training = project.train([estimator], rows)
    return project.register(training.best).version


@pytest.fixture(scope="session")
def trained_all(
    trained_once: tuple[Path, dict[str, int]], flown: tuple[pd.DataFrame, pd.DataFrame]
) -> tuple[Path, dict[str, int]]:
    """The same registry with the challengers that should not get through."""
    folder, versions = trained_once
    known = flown[0]
    harmed = known.assign(late=known["late"].where(known["carrier"] != HARMED, 1))
    careless = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(), ["carrier", "origin"]),
            (make_pipeline(SimpleImputer(), StandardScaler()), NUMBERS),
        ),
        LogisticRegression(max_iter=200),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        project = lc.Project(config=_config(folder))
        uri = f"models:/flights/{versions['champion']}"
        patch.setenv("MLFLOW_TRACKING_URI", project.config.tracking_uri)
        champion = mlflow.sklearn.load_model(uri)
        scaled = copy.deepcopy(champion)
        scaled[-1].coef_, scaled[-1].intercept_ = (
            0.2 * scaled[-1].coef_,
            0.2 * scaled[-1].intercept_,
        )
        more = {
            "harmful": _trained(project, LogisticRegression(max_iter=200), harmed),
            "crashing": _trained(project, careless, known[known["carrier"] != UNKNOWN]),
            "scaled": _adopted(project, scaled, known, "skops"),
            "slow": _adopted(project, _slow(champion), known, "cloudpickle"),
        }
    return folder, {**versions, **more}


def _slow(model: Any) -> Any:
    class Slow(ClassifierMixin, BaseEstimator):  # local, so that its pickle holds the class
        """Answers as another does, 5 ms later."""

        def __init__(self, model: Any = None) -> None:
            self.model = model
            self.classes_ = model.classes_

        def predict(self, rows: Any) -> Any:
            time.sleep(0.005)
            return self.model.predict(rows)

        def predict_proba(self, rows: Any) -> Any:
            time.sleep(0.005)
            return self.model.predict_proba(rows)

    return Slow(model)


def _adopted(project: lc.Project, estimator: Any, known: pd.DataFrame, how: str) -> int:
    """Log with plain MLflow, register, take over."""
    frame, info = known[FEATURES].head(1), mlflow.models.get_model_info("models:/flights/1")
    trusted = {"skops_trusted_types": ["numpy.dtype"]} if how == "skops" else {}
    with mlflow.start_run(experiment_id=mlflow.create_experiment(f"elsewhere {how}")):
        logged = mlflow.sklearn.log_model(
            estimator, name="model",
            signature=info.signature, input_example=frame, pip_requirements=[],
            serialization_format=how, **trusted,
        )  # fmt: skip
    number = int(mlflow.register_model(logged.model_uri, "flights").version)
    return project.adopt(number, reference=known.tail(2000)).version


@pytest.fixture
def tell_story(
    flown: tuple[pd.DataFrame, pd.DataFrame],
    serving: Callable[..., Any],
    forwarding: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Story]:
    """`tell_story(trained, rollout__steps=…)`: a new folder with a copy of that registry."""
    monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", None)
    monkeypatch.setenv("LIFECYCLE_SECRET", "the replicas of a story share this")

    def made(trained: tuple[Path, dict[str, int]], **values: Any) -> Story:
        shutil.copy(trained[0] / "mlflow.db", tmp_path / "mlflow.db")
        monkeypatch.chdir(tmp_path)
        story = Story(_config(tmp_path, **values), flown[1], trained[1])
        story.serving, story.forwarding = serving, forwarding
        (tmp_path / "lifecycle.toml").write_text(_toml(story.config))
        return story

    return made
