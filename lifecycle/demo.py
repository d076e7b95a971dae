"""The whole loop on real flights, on the public API alone.

    lifecycle demo

NYC flights of 2013 with hourly weather; the model says whether a flight will arrive 15 minutes
late or more, from what is known before departure. 1 January to 10 March trains, later days are
live traffic, and their labels come late.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import lifecycle as lc
from lifecycle.errors import DataError, ServeError
from lifecycle.records import Record
from lifecycle.workflows.progress import only_bar

if TYPE_CHECKING:
    import pandas as pd

NAME = "flights"
TRAINED_UNTIL, APRIL, MAY, JULY = "2013-03-11", "2013-04-01", "2013-05-01", "2013-07-01"
BATCH = 1000  # flights a request
STEPS = 12


@dataclass(frozen=True)
class Demonstration(Record):
    """What the demo found."""

    folder: str
    promoted: int
    refused_with: int  # exit code of the bad candidate's promotion
    march: str
    april: str
    drifted_columns: tuple[str, ...]
    harmed: bool
    retrained: int
    gain: float  # AUC on May and June, new minus old
    gain_low: float
    gain_high: float
    rolled_back_to: int
    report: str
    seconds: float


def flights() -> "pd.DataFrame":
    """The bundled table: one row a flight, `late` is the target.

    Returns:
        327,346 rows ordered by `time` (scheduled departure, local), keyed by `flight_id`.
    """
    import pandas as pd

    with as_file(files("lifecycle") / "data" / "flights.parquet") as path:
        return pd.read_parquet(path)


class _Screen:
    """Lines for people on standard error and one progress bar below them."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task = self.progress.add_task("", total=STEPS)

    def doing(self, what: str) -> None:
        self.progress.update(self.task, description=what, advance=1)

    def say(self, head: str, *lines: str) -> None:
        self.console.print(f"[bold]{head:<10}[/] {lines[0]}", soft_wrap=True)
        for line in lines[1:]:
            self.console.print(f"{'':<10} {line}", soft_wrap=True)


def demo(keep: str | None = None) -> Demonstration:
    """Run the loop once and tell it in about 25 lines.

    Args:
        keep: the folder to work in; by default a temporary one, which is left for a look.

    Raises:
        DataError: the folder cannot be made.
    """
    folder = Path(keep or tempfile.mkdtemp(prefix="lifecycle-demo-")).resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"the folder cannot be made: {reason}", where=folder) from error
    screen = _Screen()
    with screen.progress, only_bar(), chdir(folder):
        return _loop(folder, screen)


def _loop(folder: Path, screen: _Screen) -> Demonstration:  # noqa: PLR0915 - one story
    started = time.monotonic()
    screen.doing("reading a year of flights")
    table = flights()
    day = table["time"]
    known = table[day < TRAINED_UNTIL]
    project = lc.Project(
        NAME,
        target="late",
        time="time",
        key="flight_id",
        tracking__uri=f"sqlite:///{folder / 'mlflow.db'}",
        log__dir=str(folder / "lifecycle-log"),
    )
    screen.say("data", f"{len(table):,} flights of 2013, {len(known):,} of them before 11 March")

    screen.doing("training three candidates")
    champion = _train_and_promote(project, known, screen)

    with _server(folder) as port:
        screen.doing("training a bad candidate on shuffled labels")
        refused_with = _refuse_a_bad_one(project, known, screen)

        screen.doing("sending live flights over HTTP")
        live = table[(day >= TRAINED_UNTIL) & (day < MAY)]
        sent = _send(port, live.drop(columns="late"))
    screen.say("served", f"{sent:,} live flights over HTTP on port {port}, all of them logged")

    screen.doing("checking March")
    march = project.monitor(since=TRAINED_UNTIL, until=APRIL)
    screen.say("March", f"{_verdict(march)}, exit code {march.exit_code}")
    screen.doing("checking April")
    report = folder / "april.html"
    april = project.monitor(since=APRIL, until=MAY, html=report)
    moved = [column for column in april.columns.values() if column.drifted]
    screen.say(
        "April",
        f"{_verdict(april)}, exit code {april.exit_code}",
        *(f"{column.name}: {column.reason}" for column in moved[:3]),
    )

    screen.doing("joining late labels")
    labels = live.loc[live["time"] >= APRIL, ["flight_id", "late"]]
    joined = project.feedback(labels)
    checked = project.monitor(since=APRIL, until=MAY)
    assert checked.performance is not None
    screen.say(
        "labels",
        f"{joined.accepted:,} late labels joined; {checked.performance.reason}",
        *checked.decision.reasons,
    )

    screen.doing("retraining on all rows so far")
    retraining = project.retrain(table[day < MAY])
    assert retraining.version is not None
    assert not retraining.refused, retraining.refused
    project.promote(retraining.version, to="staging")
    new = project.promote(retraining.version, to="production")
    later = table[(day >= MAY) & (day < JULY)]
    gain = project.evaluate(new, later, against=champion).difference
    assert gain is not None
    assert gain.low is not None
    assert gain.high is not None
    chosen = next(why for why in retraining.decision.reasons if why.startswith("trained on"))
    screen.say(
        "retrained",
        f"version {new.version} passed the gates and is in production; {chosen.partition(': ')[0]}",
        f"on May and June ({len(later):,} flights, unseen by both) its AUC is "
        f"{gain.value:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] to version {champion.version}'s",
    )

    screen.doing("looking back")
    back = project.rollback(reason="show that one command undoes it")
    entries = project.history().entries
    screen.say(
        "history",
        *(
            f"{entry.seq:>2} {entry.kind:<9} version {entry.version}  {entry.source or ''}"
            f"{' → ' if entry.to else ''}{entry.to or ''}"
            for entry in entries[-3:]
        ),
    )
    screen.say("rollback", f"version {back.version} is in production again")
    seconds = time.monotonic() - started
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    screen.say("done", f"{seconds:.0f} s; Evidently's report of April: {report}")
    screen.say("look", f"mlflow ui --backend-store-uri {uri}")
    return Demonstration(
        str(folder), champion.version, refused_with, str(march.outcome), str(april.outcome),
        tuple(column.name for column in moved), checked.harmed, new.version,
        gain.value, gain.low, gain.high, back.version, str(report), seconds,
    )  # fmt: skip


def _train_and_promote(
    project: "lc.Project", known: "pd.DataFrame", screen: _Screen
) -> "lc.ModelVersion":
    from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    training = project.train(
        [
            LogisticRegression(max_iter=300),
            HistGradientBoostingClassifier(max_iter=80),
            RandomForestClassifier(n_estimators=40, min_samples_leaf=20),
        ],
        known,
    )
    screen.say(
        "trained",
        *(
            f"{'★' if candidate is training.best else ' '} {candidate.name:<31}"
            f"{next(m for m in candidate.metrics if m.name == training.metric)}"
            for candidate in training.candidates
        ),
    )
    version = project.register(training.best)
    gates = project.gate(version)
    project.promote(version, to="staging")
    champion = project.promote(version, to="production")
    compiled = champion.tags.get("lifecycle.compiled", "")
    how = "compiled" if compiled.startswith("sha256") else f"not compiled ({compiled[4:]})"
    screen.say(
        "promoted",
        f"version {champion.version} to production: {len(gates.results)} gates passed, {how}",
    )
    return champion


def _refuse_a_bad_one(project: "lc.Project", known: "pd.DataFrame", screen: _Screen) -> int:
    from sklearn.ensemble import HistGradientBoostingClassifier

    cut = known["time"].quantile(0.8)
    fit, validation = known[known["time"] < cut].copy(), known[known["time"] >= cut]
    fit["late"] = fit["late"].sample(frac=1, random_state=0).to_numpy()
    training = project.train(
        [HistGradientBoostingClassifier(max_iter=30)], fit, validation=validation
    )
    version = project.register(training.best)
    project.gate(version)
    try:
        project.promote(version, to="staging")
    except lc.GateRefused as refusal:
        failed = [r for r in refusal.report.results if r.outcome is lc.Outcome.FAIL]
        screen.say(
            "refused",
            f"version {version.version} (shuffled labels), exit code {refusal.exit_code}:",
            *(f"{result.gate}: {result.reason}" for result in failed),
        )
        return refusal.exit_code
    raise AssertionError("the gates let a model through that was trained on shuffled labels")


@contextmanager
def _server(folder: Path) -> Iterator[int]:
    """`lifecycle serve` on a free port of loopback, stopped at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "lifecycle", "serve", NAME, "--port", str(port)]
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "LIFECYCLE_LOG_DIR": str(folder / "lifecycle-log"),
    }
    with (folder / "server.log").open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)  # noqa: S603 - our own command
    try:
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)


def _send(port: int, live: "pd.DataFrame") -> int:
    """Post flights in the order they left, as one does with any MLflow server."""
    connection = _connect(port)
    sent = 0
    for start in range(0, len(live), BATCH):
        batch = live.iloc[start : start + BATCH]
        rows = batch.to_json(orient="split", index=False, date_format="iso")
        body = f'{{"dataframe_split": {rows}}}'
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        payload = json.loads(answer.read())
        if answer.status != http.client.OK:
            raise ServeError(f"the server answered {answer.status}: {payload}")
        sent += len(payload["predictions"])
    return sent


def _connect(port: int, *, patience: float = 30.0) -> http.client.HTTPConnection:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", "/health")
            answer = connection.getresponse()
            answer.read()
            if answer.status == http.client.OK:
                return connection
        except OSError:
            pass
        connection.close()
        time.sleep(0.1)
    raise ServeError(
        "the server did not get ready", where=f"port {port}", fix="read server.log in the folder"
    )


def _verdict(report: "lc.MonitorReport") -> str:
    if report.outcome is lc.Outcome.PASS:
        return f"{report.drift.current_rows:,} flights, no drift"
    if report.outcome is lc.Outcome.UNSURE:
        return "not enough evidence"
    moved = sum(column.drifted for column in report.columns.values())
    return f"flagged: {moved} of {len(report.columns)} columns moved"
