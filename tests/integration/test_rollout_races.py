"""Several controllers and several starts at once, on sqlite, over HTTP and on Postgres.

The processes are forked by one that has opened no registry. A controller is stopped (SIGSTOP) right
before it stores its evidence, until its lease is over and others have ended the rollout.
"""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks" / "ledger"))

import places

RACE = """
import json, os, signal, sys, time, traceback
from datetime import UTC, datetime
from functools import partial
import pandas, polars as pl
import mlflow.sklearn
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression
from lifecycle.config import Config
from lifecycle.errors import RegistryError, TransitionRefused
from lifecycle.rollout import state
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.predictions import PredictionLog
from lifecycle.stores.registry import alias_warnings
from lifecycle.stores.tracking import connect, experiment_id, quiet
from lifecycle.workflows.controller import run
from lifecycle.workflows.promote import promote
from lifecycle.workflows.rollout import explain, start

uri, controllers = sys.argv[1], int(sys.argv[2])
config = Config().with_values(
    name="race", tracking__uri=uri, tracking__timeout=30, log__dir=os.path.abspath("log"),
    serve__poll_seconds=1e-6, rollout__lease_seconds=2.0,
)

def forked(work):
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

def ended(*pids):
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0, "a process failed"

def prepare():
    client = connect(config)
    frame = pandas.DataFrame({"x": [0.0, 1.0, 2.0]})
    client.create_registered_model("race")
    for slope in (1.0, 2.0):
        model = LinearRegression().fit(frame, frame["x"] * slope)
        with quiet(), mlflow.start_run(experiment_id=experiment_id(client, "race")):
            logged = mlflow.sklearn.log_model(
                model, name="model", signature=infer_signature(frame, model.predict(frame)),
                pip_requirements=["scikit-learn"],
            )
        with quiet():
            mlflow.register_model(logged.model_uri, "race")
    promote(config, "race/1", to="production", force=True, reason="first")
    gate = draft(kind="gate", version=2, extra={"outcome": "pass"})
    Ledger(client, "race").append(lambda _: gate)
    promote(config, "race/2", to="staging")

def begin(number):
    try:
        start(config, "race/2", steps=(50, 80), guards=("errors",), force=True, reason="race")
        told = "began"
    except TransitionRefused as error:
        told = str(error)
    open(f"start-{number}", "w").write(told)

def feed():
    client, fed = connect(config), -1
    while True:
        try:
            now = state.latest(Ledger(client, "race").entries())
        except RegistryError:
            continue
        if not now.open:
            return
        if now.step > fed:
            fed = now.step
            for version, (arm, rows, failed) in enumerate(
                [("champion", (400, 95)[fed], (120, 80)[fed]), ("challenger", 400, 8)], 1
            ):
                moment = [datetime.now(UTC)] * rows
                PredictionLog(config.log.dir).write("race", pl.DataFrame({
                    "prediction_id": [f"{fed}-{arm}-{row}" for row in range(rows)],
                    "time": pl.Series(moment, dtype=pl.Datetime("us", "UTC")),
                    "model": ["race"] * rows, "version": [version] * rows, "arm": [arm] * rows,
                    "step": [fed] * rows, "key": pl.Series([None] * rows, dtype=pl.String),
                    "latency_ms": [1.0] * rows, "features": [{"x": 1.0}] * rows,
                    "prediction": [1.0] * rows,
                    "score": pl.Series([None] * rows, dtype=pl.Float64),
                    "error": pl.Series(["bad"] * failed + [None] * (rows - failed)),
                }))
        time.sleep(0.1)

def control(number, stops=False):
    def opened(event, given):
        nonlocal stops
        if stops and event == "open" and "/evidence/look-" in str(given[0]):
            stops = False
            os.kill(os.getpid(), signal.SIGSTOP)
    if stops:
        sys.addaudithook(opened)
    for _ in range(20):
        try:
            found = run(config, seconds=0.1)
            break
        except RegistryError:  # nobody answered at its first look
            time.sleep(0.2)
    open(f"control-{number}", "w").write(json.dumps([found.action, found.reason]))

def told():
    client = connect(config)
    entries = Ledger(client, "race").entries()
    aliases = client.get_registered_model("race").aliases
    last = state.latest(entries)
    print(json.dumps({
        "entries": [
            [item.seq, item.kind, item.extra.get("event"), item.extra.get("generation"),
             item.extra.get("holder"), item.extra.get("until"), item.time]
            for item in entries
        ],
        "aliases": {key: int(item) for key, item in aliases.items()},
        "warnings": alias_warnings(client, "race"),
        "status": last.status, "shares": last.shares, "action": explain(config).action,
        "run": client.get_run(last.run_id).info.status,
        "starts": sorted(open(f"start-{number}").read() for number in (1, 2)),
        "controls": [json.load(open(f"control-{number}")) for number in range(controllers)],
    }))

ended(forked(prepare))
ended(forked(partial(begin, 1)), forked(partial(begin, 2)))
feeder = forked(feed)
stopped = forked(partial(control, 0, stops=True))
assert os.WIFSTOPPED(os.waitpid(stopped, os.WUNTRACED)[1]), "it was to stop"
others = [forked(partial(control, number)) for number in range(1, controllers)]
ended(feeder, *others)
os.kill(stopped, signal.SIGCONT)
ended(stopped)
ended(forked(told))
"""


@pytest.fixture
def race(run_forked, template_database, tmp_path, monkeypatch):
    """Let controllers race on a registry of a kind; gives what was left."""

    def run(kind, *, controllers=4):
        why = places.without_postgres() if kind == "postgres" else ""
        if why:
            pytest.skip(why)
        monkeypatch.chdir(tmp_path)
        with places.place(kind, tmp_path, template=template_database) as uri:
            done = run_forked(RACE, uri, controllers, timeout=600)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.mark.slow
@pytest.mark.parametrize("kind", places.NAMES)
def test_of_many_controllers_one_decides_each_time(race, kind):
    found = race(kind)
    events = [event or name for _, name, event, *_ in found["entries"] if event != "lease"]
    assert events == ["stage", "gate", "stage", "start", "step", "stage"], "each decided once"
    assert (found["status"], found["action"]) == ("promoted", "promote")
    assert found["shares"] == [0.0, 1.0]
    assert found["aliases"] == {"champion": 2, "previous": 1}
    assert found["warnings"] == []
    assert found["run"] == "FINISHED"
    began, refused = sorted(found["starts"], key=len)
    assert began == "began"
    assert "a rollout of version 2 is open, entry " in refused

    leases = [item for item in found["entries"] if item[2] == "lease"]
    generations = [item[3] for item in leases]
    assert generations == sorted(generations)
    holders = {}
    for item in leases:
        holders.setdefault(item[3], set()).add(item[4])
    assert all(len(names) == 1 for names in holders.values()), "a generation has one holder"
    assert generations[0] == 1
    assert generations[-1] > 1, "another took over from the one that was stopped"
    decided = [item[3] for item in found["entries"] if item[2] == "step"]
    decided += [item[3] for item in found["entries"][-1:]]
    assert 1 not in decided, "nothing of the stopped one counts"
    action, reason = found["controls"][0]
    assert action in ("wait", "finish"), reason
    assert "promoted" in reason
