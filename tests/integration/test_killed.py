"""Kill -9 at writes of promote, register, train, monitor and a rollout: the next finds sense.

A driver process imports everything once and forks a child for each point; the child kills itself
with SIGKILL right before its n-th write to the database, in the middle of whatever it does.
"""

import json
import shutil

import pytest

from lifecycle.models import files
from lifecycle.records import Outcome
from lifecycle.stages import standing
from lifecycle.stores import artifacts
from lifecycle.stores.checks import MESSAGE
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.registry import alias_warnings, find, heal, register, unborn, versions
from lifecycle.stores.tracking import connect
from lifecycle.workflows.promote import promote
from lifecycle.workflows.rollback import rollback

DRIVER = """
import json, os, random, shutil, signal, sys, traceback
from pathlib import Path
import mlflow.sklearn, pandas
from sqlalchemy import event
from sqlalchemy.engine import Engine
from lifecycle.config import Config
from lifecycle.stores.registry import register
from lifecycle.stores.tracking import connect
from lifecycle.workflows.promote import promote
from lifecycle.workflows.rollback import rollback

base, given, most = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
config = Config().with_values(**given["config"])

def act():
    if given["verb"] == "promote":
        promote(config, given["ref"], **given["options"])
    elif given["verb"] == "rollback":
        rollback(config, reason="worse")
    elif given["verb"] == "monitor":
        from lifecycle.workflows.monitor import monitor
        monitor(config, **given["options"])
    elif given["verb"] == "look":
        from lifecycle.workflows.controller import look
        look(config)
    elif given["verb"] == "register":
        register(connect(config), config.name, model_uri=given["uri"], tags=given["tags"])
    else:
        from lifecycle.workflows.train import register as enter, train
        enter(config, train(config, given["data"], candidates=["logistic_regression"]).best)

def child(folder, point):
    os.chdir(folder)
    os.environ["MLFLOW_TRACKING_URI"] = "sqlite:///mlflow.db"
    writes = 0
    @event.listens_for(Engine, "before_cursor_execute")
    def count(connection, cursor, statement, parameters, context, executemany):
        nonlocal writes
        if statement.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE"):
            writes += 1
            if writes == point:
                os.kill(os.getpid(), signal.SIGKILL)
    def opened(event, given):
        nonlocal writes
        if event == "open" and "/evidence/look-" in str(given[0]) and "w" in str(given[1]):
            writes += 1
            if writes == point:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(opened)
    act()
    Path("writes").write_text(str(writes))

def run(point):
    folder = base.parent / f"killed-{point}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(base / "mlflow.db", folder)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child(folder, point)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    return folder, (os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))

folder, code = run(0)
assert code == 0, "the verb itself fails"
total = int((folder / "writes").read_text())
points = list(range(1, total + 1))
if len(points) > most:
    points = sorted(random.Random(0).sample(points[:-1], most - 1)) + points[-1:]
reached = []
for point in points:
    folder, code = run(point)
    while code == 0:  # it had fewer writes than the first time: the last that it had, then
        point = int((folder / "writes").read_text())
        if point in reached:
            break
        folder, code = run(point)
    assert code in (0, signal.SIGKILL), (point, code)
    reached += [point] if code else []
print(json.dumps({"total": total, "points": reached}))
"""


# a seeded sample of the points; of a promotion a small one for `make test` as well
points = pytest.mark.parametrize("most", [pytest.param(20, marks=pytest.mark.slow)])


@pytest.fixture
def kill(config, tmp_path, run_forked):
    """Kill a verb at its writes; gives a configuration for each folder that was left behind."""

    def killed(verb, *, most=100, **given):
        base = tmp_path / "base"
        base.mkdir()
        shutil.copy(tmp_path / "mlflow.db", base)
        settings = {"name": "churn", "target": "churned", "log__dir": config.log.dir}
        settings |= given.pop("settings", {})
        work = {"verb": verb, "config": settings, **given}
        done = run_forked(DRIVER, base, json.dumps(work), most, timeout=900)
        assert done.returncode == 0, done.stderr[-3000:]
        said = json.loads(done.stdout.splitlines()[-1])
        assert len(said["points"]) >= min(most, 5), said
        for point in said["points"]:
            uri = f"sqlite:///{tmp_path}/killed-{point}/mlflow.db"
            yield point, config.with_values(tracking__uri=uri)

    return killed


@pytest.fixture
def client(config):
    return connect(config)


@pytest.fixture
def make(client, logged_model, with_spec):
    def version(slope=1.0):
        uri = logged_model(client, slope=slope)
        with artifacts.logged_files(client, uri) as folder:
            digest = files.digest(folder)
        run_id = with_spec(client, uri)
        tags = {"lifecycle.digest": digest, "lifecycle.spec_run": run_id}
        return register(client, "churn", model_uri=uri, tags=tags)

    return version


def consistent(config):
    """What holds of a registry at any time after its next reader; gives client and ledger."""
    client = connect(config)
    entries = Ledger(client, "churn").entries()  # checks the chain
    now = standing(entries)
    serving = [item for item in versions(client, "churn") if item.stage == "production"]
    assert len(serving) <= 1
    if now.production:
        assert find(client, "churn").version == now.production
        assert alias_warnings(client, "churn") == (), "reading has mended the aliases"
        served = client.get_model_version_by_alias("churn", "champion")
        assert int(served.version) == now.production
    return client, entries


@pytest.mark.parametrize("most", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_promote_killed_at_every_write(most, config, client, make, kill):
    for slope in (1.0, 2.0):
        version = make(slope)
        for stage in ("staging", "production"):
            Ledger(client, "churn").append(
                lambda _, number=version.version: draft(
                    kind="gate", version=number, extra={"outcome": str(Outcome.PASS)}
                )
            )
            if (slope, stage) != (2.0, "production"):
                promote(config, version, to=stage)
    moved = set()
    options = {"to": "production"}
    for _, left in kill("promote", most=most, ref="churn/2", options=options):
        _, entries = consistent(left)
        moved.add(standing(entries).production)
        assert promote(left, "churn/2", to="production").aliases == ("champion",)
        again, entries = consistent(left)
        moves = [item for item in entries if item.kind == "stage" and item.to == "production"]
        assert [item.version for item in moves] == [1, 2], "decided once, however often it is run"
        assert find(again, "churn@previous").version == 1
        tags = {item.version: item.tags["lifecycle.stage"] for item in versions(again, "churn")}
        assert tags == {1: "archived", 2: "production"}
    assert 2 in moved, "killed after the decision"


@points
def test_the_first_promotion_of_a_plain_model_killed_at_every_write(
    most, client, logged_model, kill
):
    client.create_registered_model("churn")
    client.create_model_version("churn", logged_model(client))
    options = {"to": "production", "force": True, "reason": "first"}
    for _, left in kill("promote", most=most, ref="churn/1", options=options):
        consistent(left)
        assert promote(left, "churn/1", **options).stage == "production"
        _, entries = consistent(left)
        assert [entry.kind for entry in entries] == ["stage"]


@points
def test_rollback_killed_at_every_write(most, config, make, kill):
    for slope in (1.0, 2.0):
        promote(config, make(slope), to="production", force=True, reason="set up")
    for _, left in kill("rollback", most=most):
        _, entries = consistent(left)
        if standing(entries).production == 2:
            assert rollback(left, reason="worse").version == 1
        _, entries = consistent(left)
        assert standing(entries).production == 1
        assert [entry.kind for entry in entries].count("rollback") == 1


AT_ONCE = {"serve__poll_seconds": 1e-6}  # servers know of a rollout
WORSE, BETTER = (400, 120), (400, 8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        ("step", 10),
        ("promote", 16),
        ("rollback", 10),
    ],
    ids=lambda case: f"{case[0]}-{case[1]}",
)
def test_a_controller_killed_at_every_write(case, config, make, kill, answer):
    from lifecycle.rollout import state
    from lifecycle.workflows.controller import explain, look
    from lifecycle.workflows.rollout import start, status

    decides, most = case
    client, forced = connect(config), {"force": True, "reason": "set up"}
    promote(config, make(1.0), to="production", **forced)
    version = make(2.0)
    Ledger(client, "churn").append(
        lambda _: draft(kind="gate", version=2, extra={"outcome": str(Outcome.PASS)})
    )
    steps = (50, 90) if decides == "step" else (50,)
    tried = start(config, version, steps=steps, guards=("errors",), **forced)
    champion, challenger = (BETTER, WORSE) if decides == "rollback" else (WORSE, BETTER)
    answer(config, tried, champion=champion, challenger=challenger)
    kinds = {"step": "step", "promote": "stage", "rollback": "end"}
    aliases = {
        "step": {"champion": 1, "challenger": 2, "staging": 2},
        "promote": {"champion": 2, "previous": 1},
        "rollback": {"champion": 1, "staging": 2},
    }
    written = set()
    for point, left in kill("look", most=most, settings=AT_ONCE):
        again = left.with_values(**AT_ONCE)
        client = connect(again)
        entries = Ledger(client, "churn").entries()
        written.add(len(entries))
        before = state.latest(entries)
        assert sum(arm.share for arm in state.plan_of(before).arms) == pytest.approx(1.0), point
        assert (before.status, before.step) in {("running", 0), _after(decides)}, point
        found = look(again)
        assert found.action in (decides, "finish", "wait"), (point, found.reason)
        if found.action != decides:
            assert len(entries) == len(Ledger(client, "churn").entries()), "it was decided before"
        _, entries = consistent(again)
        told = [item.extra.get("event", item.kind) for item in entries if _decided(item, tried)]
        assert told == [kinds[decides]], (point, "decided once")
        registered = client.get_registered_model("churn")
        assert {key: int(item) for key, item in registered.aliases.items()} == aliases[decides]
        rollout = state.latest(entries)
        assert (rollout.status, rollout.step) == _after(decides)
        tag = client.get_model_version("churn", "2").tags["lifecycle.rollout"]
        assert tag.startswith(rollout.status)
        assert json.loads(registered.tags["lifecycle.rollout"])["status"] == rollout.status
        assert explain(again).action == decides
        ended = "RUNNING" if rollout.open else "FINISHED"
        assert client.get_run(tried.run_id).info.status == ended
        assert status(again).warnings == ()
    assert len(written) > 1, "killed before and after the decision"


def _after(decides):
    return {"step": ("running", 1), "promote": ("promoted", 0), "rollback": ("rolled back", 0)}[
        decides
    ]


def _decided(entry, rollout):
    return entry.extra.get("rollout") == rollout.seq and entry.extra.get("event") != "lease"


@points
def test_register_killed_at_every_write(most, client, make, logged_model, kill):
    make()
    uri = logged_model(client, slope=2.0)
    tags = {"lifecycle.digest": "sha256:x", "lifecycle.spec_run": "f" * 32}
    counts = set()
    for _, left in kill("register", most=most, uri=uri, tags=tags):
        again, _ = consistent(left)
        found = versions(again, "churn")
        counts.add(len(found))
        assert all(item.tags.keys() >= tags.keys() for item in found), "whole or not there"
        heal(again, "churn")
        assert unborn(again, "churn") == ()
        made = register(again, "churn", model_uri=uri, tags=tags)
        _, entries = consistent(left)
        born = [entry.version for entry in entries if entry.kind == "register"]
        assert born == list(range(1, made.version + 1))
    assert 2 in counts, "killed after the version was made"


@points
def test_train_killed_all_over(most, churn, tmp_path, kill):
    from lifecycle.workflows.train import register as enter
    from lifecycle.workflows.train import train

    data = tmp_path / "train.parquet"
    churn.head(300).to_parquet(data)
    for _, left in kill("train", data=str(data), most=2 if most < 10 else most):
        training = train(left, data, candidates=["logistic_regression"])
        client = connect(left)
        experiment = client.get_experiment_by_name("churn").experiment_id
        states = {run.info.run_id: run.info.status for run in client.search_runs([experiment])}
        assert "RUNNING" not in states.values(), "runs of dead processes are closed"
        assert states[training.run_id] == "FINISHED"
        enter(left, training.best)
        client, entries = consistent(left)
        found = versions(client, "churn")
        assert [entry.version for entry in entries] == [item.version for item in found]
        for item in found:
            with artifacts.files(client, item) as folder:
                files.verify(folder, item.digest)
        assert artifacts.holdout(client, found[-1]).shape[0] > 0


@points
def test_monitor_killed_all_over(most, config, make_churn, kill, webhook):
    from lifecycle.workflows.monitor import monitor
    from lifecycle.workflows.score import score
    from lifecycle.workflows.train import register as enter
    from lifecycle.workflows.train import train

    config = config.with_values(models__compile=False)
    best = train(config, make_churn(600), candidates=["logistic_regression"]).best
    promote(config, enter(config, best), to="production", force=True, reason="set up")
    live = make_churn(288, seed=1, start="2025-03-03").drop(columns="churned")
    live.loc[96:191, "charges"] += 80  # the second of three days
    score(config, "churn", live)
    options = {"every": "1d", "until": "2025-03-06", "notify": [webhook.address]}
    for point, left in kill("monitor", most=2 if most < 10 else most, options=options):
        again = left.with_values(models__compile=False)
        monitor(again, **options)
        client = connect(again)
        place = client.get_experiment_by_name("churn/monitoring").experiment_id
        runs = client.search_runs([place], order_by=["attributes.start_time ASC"])
        assert "RUNNING" not in {run.info.status for run in runs}, "those of the dead are closed"
        tags = [run.data.tags for run in runs if run.info.status == "FINISHED"]
        ends = [item["lifecycle.window_end"][:10] for item in tags]
        assert ends == ["2025-03-04", "2025-03-05", "2025-03-06"], (point, "each window once")
        entries = Ledger(client, "churn").entries()
        flags = [entry.extra for entry in entries if entry.kind == "flag"]
        assert len(flags) == len({flag["check"] for flag in flags}), point
        assert [flag["drifted"] for flag in flags].count(True) == 1
        news = [entry.to for entry in entries if entry.kind == "incident"]
        assert news == ["opened", "resolved"], point
        messages = [json.loads(item[MESSAGE]) for item in tags if MESSAGE in item]
        assert [item["title"] for item in messages] == ["churn/1 drifted", "churn/1: resolved"]
        alerts = [item[key] for item in tags for key in item if key.startswith("lifecycle.alert.")]
        assert len(alerts) == 2
        assert all(alert.startswith("20") for alert in alerts), "each was sent"
    assert {item["title"] for item in webhook.got} == {"churn/1 drifted", "churn/1: resolved"}
