"""A swap beside requests: none fails, one version answers each, and the old one's memory goes."""

import gc
import socket
import threading
import time
import weakref

import pytest

from lifecycle.serve.engine import Engine
from lifecycle.serve.pauses import settle
from lifecycle.serve.reload import Watch
from lifecycle.serve.slots import SlotTable
from lifecycle.serve.state import state
from lifecycle.serve.wire import Service
from lifecycle.stores.predictions import PredictionWriter
from lifecycle.stores.tracking import connect


def watched(config, *names, **more):
    engine = Engine(SlotTable(), secret=b"s" * 32)
    return engine, Watch(config, engine, names or ("churn",), **more)


def loaded(config, *names, **more):
    engine, watch = watched(config, *names, **more)
    watch.load()
    return engine, watch


def move(config, version):
    connect(config).set_registered_model_alias("churn", "champion", str(version))


def ask(engine, x=2.0):
    choice = engine.choose()
    rows = choice.slot.decoder.json(b'{"inputs": {"x": %f}}' % x)
    answer = engine.record(choice, rows, engine.predict(choice, rows), begun=0)
    return answer.version, round(answer.predictions[0], 6)


def until(done, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert done()


@pytest.fixture
def no_collection():
    """What is freed here is freed because nothing refers to it."""
    settle()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


# memory -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_collection")
def test_the_old_version_is_freed_as_soon_as_nothing_uses_it(served):
    engine, watch = loaded(served)
    ask(engine)
    old = weakref.ref(engine.table.find("churn").slots[1].loaded)
    estimator = weakref.ref(old().estimator)
    move(served, 2)
    watch.poll()
    gc.disable()  # the swap turned it on again
    assert ask(engine) == (2, 4.0)
    assert old() is None
    assert estimator() is None


@pytest.mark.usefixtures("no_collection")
def test_a_request_in_flight_keeps_its_version_until_it_ends(served):
    engine, watch = loaded(served)
    choice = engine.choose()
    rows = choice.slot.decoder.json(b'{"inputs": {"x": 2.0}}')
    old = weakref.ref(choice.slot.loaded)
    move(served, 2)
    watch.poll()
    gc.disable()
    output = engine.predict(choice, rows)
    assert engine.record(choice, rows, output, begun=0).version == 1
    assert output.prediction.round(6).tolist() == [2.0]
    assert old() is not None
    del choice, rows
    assert ask(engine) == (2, 4.0)
    assert old() is None


@pytest.mark.usefixtures("no_collection")
def test_many_swaps_leave_one_version(served):
    engine, watch = loaded(served)
    seen = weakref.WeakSet()
    for version in (2, 1) * 5:
        move(served, version)
        watch.poll()
        gc.disable()
        seen.add(next(iter(engine.table.find("churn").slots.values())).loaded.estimator)
    assert len(seen) == 1
    assert engine.figures.swaps == {"churn": 10}


# requests ---------------------------------------------------------------------------------------


def test_requests_beside_swaps_are_answered_by_one_version_each(served):
    engine, watch = loaded(served)
    wrong, asked, done = [], [0], threading.Event()

    def load():
        try:
            while not done.is_set():
                version, answer = ask(engine)
                asked[0] += 1
                if answer != 2.0 * version:
                    wrong.append((version, answer))
        except Exception as error:  # noqa: BLE001 - any is a failed request
            wrong.append(error)

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in (2, 1, 3, 2):
        before = asked[0]
        move(served, version)
        watch.poll()
        until(lambda before=before: asked[0] > before + 20 or wrong)
    done.set()
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert engine.figures.swaps == {"churn": 3}, "version 3 has lost its weights and stays out"


# when to look -----------------------------------------------------------------------------------


@pytest.fixture
def rarely(served):
    """A server that looks once an hour by itself."""
    started = []

    def start(**more):
        engine, watch = loaded(served.with_values(serve__poll_seconds=3600.0), **more)
        watch.start()
        started.append(watch)
        return engine, watch

    yield start
    for watch in started:
        watch.stop()
        watch._thread.join(30)
        assert not watch._thread.is_alive(), "a thread that waits is told too"


def serves(engine):
    return engine.table.find("churn").plan.arms[0].version


def test_one_that_is_told_to_hurry_looks_at_once(rarely, served):
    engine, watch = rarely()
    for version in (2, 1):
        move(served, version)
        watch.hurry()
        until(lambda version=version: serves(engine) == version)


def test_what_one_worker_hears_all_follow(rarely, served, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    (one, heard), (two, _) = rarely(shared=shared), rarely(shared=shared)
    for version in (2, 1):
        move(served, version)
        heard.hurry()
        until(lambda version=version: (serves(one), serves(two)) == (version, version))


def test_a_shared_folder_that_is_gone_hurries_the_one_alone(rarely, served, tmp_path):
    engine, watch = rarely(shared=tmp_path / "gone")
    move(served, 2)
    watch.hurry()
    until(lambda: serves(engine) == 2)


def test_a_registry_that_hangs_is_waited_for_once_a_look(served):
    engine, watch = loaded(served, "late", "churn")
    with socket.socket() as registry:  # takes connections, answers never
        registry.bind(("127.0.0.1", 0))
        registry.listen()
        address = f"http://127.0.0.1:{registry.getsockname()[1]}"
        watch.config = served.with_values(tracking__uri=address, tracking__timeout=1)
        watch._client = None
        watch.poll()
    assert engine.figures.polls_failed == 1, "not once for each of the two models"
    assert serves(engine) == 1
    watch.config = served
    move(served, 2)
    watch.poll()
    assert serves(engine) == 2
    assert watch.trouble == ""


# what is told -----------------------------------------------------------------------------------


def told(engine, watch, folder):
    with PredictionWriter(folder, background=False) as writer:
        return state(Service(engine), watch, writer, None)


def test_the_state_says_what_serves_and_what_was_refused(served, tmp_path):
    engine, watch = loaded(served, "late", "churn")
    found = told(engine, watch, tmp_path / "log")
    assert found["ready"] is True
    assert found["models"][1] == {
        "model": "churn",
        "serving": [
            {
                "version": 1,
                "arm": "champion",
                "share": 1.0,
                "how": "sklearn",
                "not_compiled": "not compiled",
            }
        ],
        "refused": "",
    }
    assert found["registry"]["answered"] is not None
    move(served, 3)
    watch.poll()
    found = told(engine, watch, tmp_path / "log")
    assert found["models"][0]["refused"] == ""
    assert found["models"][1]["refused"].startswith("version 3: ")
    assert str(tmp_path) not in str(found)
    move(served, 1)
    watch.poll()
    assert told(engine, watch, tmp_path / "log")["models"][1]["refused"] == ""


def test_the_state_says_that_the_registry_is_away(served, tmp_path):
    loaded(served)
    away = served.with_values(tracking__uri="http://127.0.0.1:1", tracking__timeout=1)
    engine, watch = loaded(away)
    found = told(engine, watch, tmp_path / "log")["registry"]
    assert (found["answered"], found["failures"]) == (None, 1)
    assert "did not answer" in found["trouble"]
    assert "127.0.0.1" not in found["trouble"]
    gauges = {name: value for name, _, _, value in watch.gauges()}
    assert gauges == {"registry_down": 1, "registry_age_seconds": -1.0}


def test_versions_that_stand_still_have_no_registry_to_watch(served):
    _, watch = loaded(served, "churn/1")
    assert list(watch.gauges()) == []


def test_one_model_in_trouble_is_said_once_while_others_are_well(served, caplog):
    engine, watch = loaded(served, "churn", "late")
    connect(served).delete_registered_model_alias("churn", "champion")
    for _ in range(3):
        watch.poll()
    assert engine.figures.polls_failed == 3
    assert sum("not followed" in record.message for record in caplog.records) == 1
    assert "in production" in watch.trouble
    move(served, 1)
    watch.poll()
    assert watch.trouble == ""
