"""A challenger that fails, in whichever way, never costs an answer: the champion gives it."""

import asyncio
import json
import logging
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from lifecycle.errors import LogError
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Arm, Column, ModelSpec, ModelVersion, Plan
from lifecycle.serve import batch
from lifecycle.serve.batch import Batcher, Limits
from lifecycle.serve.engine import Answer, Engine
from lifecycle.serve.slots import SlotTable, slot
from lifecycle.serve.wire import Refused
from lifecycle.stores import ids
from lifecycle.stores.predictions import PredictionLog, PredictionWriter

SPEC = ModelSpec(1, "regression", (Column("x", "double"),), key="id")


def version(number, answer, spec=SPEC):
    return slot("m", LoadedModel(spec, "sklearn", answer, ModelVersion("m", number)))


def times(factor):
    return lambda columns: Output(np.asarray(columns["x"]) * factor)


def both(challenger, champion=None, *, share=1.0, writer=None, spec=SPEC, measured=True, step=2):
    """An engine whose challenger, version 2, answers a share of the requests."""
    arms = (Arm("champion", 1, 1.0 - share), Arm("challenger", 2, share))
    slots = {1: version(1, champion or times(1)), 2: version(2, challenger, spec)}
    table = SlotTable().with_group(Plan("m", arms, step, "r"), slots)
    engine = Engine(table, secret=b"s" * 32, writer=writer)
    if measured:  # so that it is called on the loop's thread
        engine.paced("m", 2).measured(1, 1000)
    return engine


def body(*values, key=None):
    more = {} if key is None else {"id": key}
    return json.dumps({"dataframe_records": [{"x": value, **more} for value in values]}).encode()


async def answered(batcher, bodies, keys=None):
    loop, found = asyncio.get_running_loop(), []
    for place, each in enumerate(bodies):
        choice = batcher.engine.choose("m", key=keys[place] if keys else None)
        found.append(loop.create_future())
        rows = choice.slot.decoder.json(each)
        batcher.ask(choice, rows, found[-1].set_result, begun=time.perf_counter_ns())
    return await asyncio.wait_for(asyncio.gather(*found), 30)


def told(engine, bodies, *, keys=None, limits=None):
    """What each of some requests that come at once is answered."""

    async def story():
        batcher = Batcher(engine, limits)
        found = await answered(batcher, bodies, keys)
        assert batcher.waiting == 0
        batcher.close()
        return found

    return asyncio.run(story())


def breaks(_columns):
    raise ZeroDivisionError("it breaks")


def leaves(_columns):
    raise SystemExit(3)


class Unspeakable(np.ndarray):
    """An array whose elements cannot be given to anyone."""

    def tolist(self):
        raise RuntimeError("no list")


FAILURES = {
    "raises": (breaks, "ZeroDivisionError: it breaks"),
    "exits": (leaves, "RuntimeError: the model exits"),
    "is short": (lambda columns: Output(columns["x"][:0]), "ValueError: 0 answers for 1 rows"),
    "gives none": (lambda _columns: None, "AttributeError: "),
    "is no array": (lambda _columns: Output(None), "TypeError: "),
    "recurses": (lambda _columns: recursing(), "RecursionError: "),
    "runs out of memory": (lambda _columns: np.zeros(10**15), "MemoryError"),
}


def recursing():
    return recursing()


@pytest.mark.parametrize("kind", list(FAILURES))
@pytest.mark.parametrize("measured", [True, False], ids=["inline", "in a thread"])
def test_whatever_a_challenger_does_the_champion_answers(tmp_path, kind, measured):
    challenger, error = FAILURES[kind]
    with PredictionWriter(tmp_path, background=False) as writer:
        engine = both(challenger, writer=writer, measured=measured)
        (answer,) = told(engine, [body(3.0)], keys=["c7"])
        log = PredictionLog(tmp_path).read("m").sort("version")
    assert (answer.predictions, answer.version, answer.arm) == ([3.0], 1, "fallback")
    assert log["version"].to_list() == [1, 2]
    assert log["arm"].to_list() == ["fallback", "challenger"]
    assert log["step"].to_list() == [2, 2]
    assert log["key"].to_list() == ["c7", "c7"]
    assert log["prediction"].to_list() == [3.0, None]
    assert log["error"][0] is None
    assert error in log["error"][1]
    assert log["prediction_id"][0] == answer.id != log["prediction_id"][1]
    signed = ids.check(engine.secret, log["prediction_id"][1], model="m")
    assert (signed.version, signed.arm, signed.step) == (2, "challenger", 2)
    assert engine.figures.requests == {("m", 1, 200): 1}, "the client was told of no error"
    assert engine.figures.arms["m", 2, "challenger", 2] == [0, 1, 1]
    assert engine.figures.arms["m", 1, "fallback", 2] == [1, 0, 0]


def test_of_64_requests_together_only_the_poisoned_one_falls_back(tmp_path):
    calls = []

    def challenger(columns):
        calls.append(len(columns["x"]))
        if (columns["x"] == 13).any():
            raise ZeroDivisionError("13")
        return Output(columns["x"] * 2)

    with PredictionWriter(tmp_path, background=False) as writer:
        engine = both(challenger, writer=writer)
        answers = told(engine, [body(x) for x in range(64)])
        log = PredictionLog(tmp_path).read("m")
    assert [answer.predictions[0] for answer in answers] == [
        x if x == 13 else 2.0 * x for x in range(64)
    ]
    assert [answer.arm for answer in answers].count("fallback") == 1
    assert len(calls) <= 2 * 6 + 1, "the poisoned one is looked for by halves"
    assert len(log) == 65
    assert len(set(log["prediction_id"])) == 65
    assert engine.figures.arms["m", 2, "challenger", 2] == [63, 1, 1]


def test_one_that_always_breaks_costs_nobody_an_answer(tmp_path):
    with PredictionWriter(tmp_path, background=False) as writer:
        engine = both(breaks, share=0.5, writer=writer)
        keys = [f"k{place}" for place in range(64)]
        answers = told(engine, [body(x) for x in range(64)], keys=keys)
        log = PredictionLog(tmp_path).read("m")
    assert [answer.predictions for answer in answers] == [[float(x)] for x in range(64)]
    drawn = [engine.choose(key=key).drawn().arm.name for key in keys]
    assert [answer.arm for answer in answers] == [
        "fallback" if arm == "challenger" else "champion" for arm in drawn
    ]
    assert log["error"].is_not_null().sum() == drawn.count("challenger")
    assert len(log) == 64 + drawn.count("challenger")


def test_the_servers_own_log_is_not_flooded(caplog):
    caplog.set_level(logging.ERROR, "lifecycle.serve")
    told(both(breaks), [body(x) for x in range(20)])
    assert len(caplog.records) == 1
    assert "the champion answers" in caplog.text


def test_when_both_break_the_client_is_told_once(tmp_path):
    with PredictionWriter(tmp_path, background=False) as writer:
        engine = both(breaks, breaks, writer=writer)
        (answer,) = told(engine, [body(1)])
        log = PredictionLog(tmp_path).read("m")
    assert answer.where == "m/1"
    assert sorted(log["arm"]) == ["challenger", "fallback"]
    assert log["error"].is_not_null().all()


def test_what_was_asked_for_by_its_version_has_no_stand_in():
    engine = both(breaks)

    async def story():
        choice = engine.choose("m", version=2)
        found = asyncio.get_running_loop().create_future()
        Batcher(engine).ask(choice, choice.slot.decoder.json(body(1)), found.set_result, begun=0)
        return await found

    assert asyncio.run(story()).where == "m/2"


def test_a_full_disk_is_told_as_ever():
    class Full:
        lost = 0

        def append(self, *_arguments, **_more):
            raise LogError("no space left")

    (answer,) = told(both(breaks, writer=Full()), [body(1)])
    assert isinstance(answer, LogError)
    (answer,) = told(both(times(2), writer=Full()), [body(1)])
    assert isinstance(answer, LogError), "the champion could not log its answer either"


def test_an_answer_that_nobody_can_be_given_is_a_failure(tmp_path):
    odd = lambda columns: Output(columns["x"], raw=columns["x"].view(Unspeakable))  # noqa: E731
    with PredictionWriter(tmp_path, background=False) as writer:
        answers = told(both(odd, writer=writer), [body(1), body(2)])
        log = PredictionLog(tmp_path).read("m")
    assert [(answer.arm, answer.predictions) for answer in answers] == [
        ("fallback", [1.0]),
        ("fallback", [2.0]),
    ]
    assert sorted(log["arm"]) == ["challenger", "challenger", "fallback", "fallback"]


# time -------------------------------------------------------------------------------------------


def test_one_that_hangs_is_given_up_and_then_asked_no_more(tmp_path):
    gate = threading.Event()

    def hangs(columns):
        assert gate.wait(20)
        return Output(columns["x"] * 2)

    with PredictionWriter(tmp_path, background=False) as writer:
        engine = both(hangs, writer=writer, measured=False)

        async def story():
            batcher = Batcher(engine, Limits(seconds=0.4))
            first = await answered(batcher, [body(1), body(2)])
            second = await answered(batcher, [body(3)])
            gate.set()
            while batcher.predicting:
                await asyncio.sleep(0.01)
            third = await answered(batcher, [body(4)])
            batcher.close()
            return first + second + third

        answers = asyncio.run(story())
        log = PredictionLog(tmp_path).read("m")
    assert [(a.arm, a.predictions) for a in answers] == [
        ("fallback", [1.0]),
        ("fallback", [2.0]),
        ("fallback", [3.0]),
        ("challenger", [8.0]),
    ]
    assert log.filter(log["error"].is_null())["arm"].to_list().count("challenger") == 1
    failed = log.filter(log["error"].is_not_null())["error"].to_list()
    assert sorted(failed) == [
        "TimeoutError: the prediction takes too long",
        "TimeoutError: the prediction takes too long",
        "TimeoutError: the version does not return",  # while a call hangs nobody waits for it
    ]
    assert len(log) == 7, "what came too late is not logged a second time"


def test_one_that_cannot_keep_up_does_not_fill_the_queue():
    gate = threading.Event()

    def hangs(columns):
        assert gate.wait(20)
        return Output(columns["x"] * 2)

    engine = both(hangs, measured=False)

    async def story():
        batcher = Batcher(engine, Limits(queue=16, batch_rows=1))
        loop, found = asyncio.get_running_loop(), []
        for value in range(12):
            choice = engine.choose("m")
            found.append(loop.create_future())
            rows = choice.slot.decoder.json(body(value))
            batcher.ask(choice, rows, found[-1].set_result, begun=0)
            await asyncio.sleep(0.005)
        done = [each.result().arm for each in found if each.done()]
        gate.set()
        rest = await asyncio.wait_for(asyncio.gather(*found), 20)
        batcher.close()
        return done, [answer.arm for answer in rest]

    done, arms = asyncio.run(story())
    assert done == ["fallback"] * 7, "one is predicted, four wait, the rest goes to the champion"
    assert arms.count("challenger") == 5


def test_nobody_calls_on_the_loop_what_was_never_measured():
    threads = []

    def challenger(columns):
        threads.append(threading.current_thread().name)
        return Output(columns["x"] * 2)

    engine = both(challenger, measured=False)
    told(engine, [body(1)])
    told(engine, [body(1)])
    assert threads[0].startswith("lifecycle-predict")
    assert threads[1] == "MainThread", "then it is known to be fast"


def test_one_that_held_up_the_loop_is_called_in_a_thread_from_then_on(monkeypatch):
    monkeypatch.setattr(batch, "STALL_NS", 20_000_000)
    threads = []

    def challenger(columns):
        threads.append(threading.current_thread().name)
        if len(threads) == 1:
            time.sleep(0.03)
        return Output(columns["x"] * 2)

    engine = both(challenger)

    async def story():
        batcher = Batcher(engine)
        for _ in range(3):
            await answered(batcher, [body(1)])
        batcher.close()

    asyncio.run(story())
    assert threads[0] == "MainThread"
    assert all(name.startswith("lifecycle-predict") for name in threads[1:])


def test_a_slow_challenger_holds_up_no_champion():
    gate = threading.Event()

    def hangs(columns):
        assert gate.wait(20)
        return Output(columns["x"] * 2)

    engine = both(hangs, share=0.5, measured=False)
    keys = [f"k{place}" for place in range(40)]
    arms = [engine.choose(key=key).drawn().arm.name for key in keys]

    async def story():
        batcher, loop, found = Batcher(engine), asyncio.get_running_loop(), []
        for key in keys:
            choice = engine.choose("m", key=key)
            found.append(loop.create_future())
            rows = choice.slot.decoder.json(body(1))
            batcher.ask(choice, rows, found[-1].set_result, begun=0)
        await asyncio.sleep(0.1)
        done = [each.done() for each in found]
        gate.set()
        await asyncio.wait_for(asyncio.gather(*found), 20)
        batcher.close()
        return done

    assert asyncio.run(story()) == [arm == "champion" for arm in arms]


def test_a_request_that_came_too_late_for_both_is_told_so():
    gate = threading.Event()

    def hangs(columns):
        assert gate.wait(20)
        return Output(columns["x"])

    engine = both(hangs, hangs, measured=False)
    engine.paced("m", 1).measured(1, 5_000_000)
    found = told_with_gate(engine, gate)
    assert isinstance(found, Refused)
    assert found.status == 504


def told_with_gate(engine, gate):
    async def story():
        batcher = Batcher(engine, Limits(seconds=0.3))
        (found,) = await answered(batcher, [body(1)])
        gate.set()
        while batcher.predicting:
            await asyncio.sleep(0.01)
        batcher.close()
        return found

    return asyncio.run(story())


# versions that come and go ----------------------------------------------------------------------


def test_the_threads_of_versions_that_left_end():
    engine = both(times(2), measured=False)

    async def story():
        batcher = Batcher(engine)
        await answered(batcher, [body(1)])
        assert len(batcher._lines) == 1
        one = version(3, times(3))
        engine.table = engine.table.with_only(one)
        (answer,) = await answered(batcher, [body(1)])
        assert answer.version == 3
        assert [line.slot for line in batcher._lines.values()] == [one]
        batcher.close()

    asyncio.run(story())


def test_what_is_under_way_ends_as_it_began(tmp_path):
    """One that was drawn before a cut is still the challenger's, and falls back if it must."""
    with PredictionWriter(tmp_path, background=False) as writer:
        engine = both(breaks, writer=writer)

        async def story():
            batcher, found = Batcher(engine), asyncio.get_running_loop().create_future()
            choice = engine.choose("m")
            rows = choice.slot.decoder.json(body(5))
            batcher.ask(choice, rows, found.set_result, begun=0)
            engine.table = engine.table.with_only(choice.slot)
            return await found

        answer = asyncio.run(story())
    assert (answer.arm, answer.predictions) == ("fallback", [5.0])


# other columns ----------------------------------------------------------------------------------


def test_a_challenger_of_other_columns_answers_from_those_it_knows(tmp_path):
    wide = replace(SPEC, features=(Column("x", "double"), Column("z", "double", required=False)))

    def answer(columns):
        assert np.isnan(columns["z"]).all()
        if (columns["x"] == 13).any():
            raise ZeroDivisionError("13")
        return Output(columns["x"] * 2)

    with PredictionWriter(tmp_path, background=False) as writer:
        engine = both(answer, spec=wide, writer=writer)
        answers = told(engine, [body(1, 2), body(13), body(4, key="c")])
        log = PredictionLog(tmp_path).read("m")
    assert [(a.arm, a.predictions) for a in answers] == [
        ("challenger", [2.0, 4.0]),
        ("fallback", [13.0]),
        ("challenger", [8.0]),
    ]
    assert all(isinstance(answer, Answer) for answer in answers)
    assert len(log) == 5


def test_the_figures_tell_errors_and_fallbacks_of_each_arm():
    engine = both(breaks, share=1.0)
    told(engine, [body(1), body(2)])
    text = engine.figures.text()
    arm = 'model="m",version="2",arm="challenger",step="2"'
    assert f"lifecycle_arm_requests_total{{{arm}}} 2" in text
    assert f"lifecycle_arm_errors_total{{{arm}}} 2" in text
    assert f"lifecycle_arm_fallbacks_total{{{arm}}} 2" in text
    stood_in = 'model="m",version="1",arm="fallback",step="2"'
    assert f"lifecycle_arm_requests_total{{{stood_in}}} 2" in text
    assert 'arm="asked"' not in text, "nobody asked"


def test_the_arm_that_is_served_last_does_not_look_slower():
    slow = lambda columns: (time.sleep(0.03), times(1)(columns))[1]  # noqa: E731
    engine = both(slow, slow, share=0.5)
    record, found = engine.record_all, []

    def watched(batch, *given, others):
        found.append((batch[0].choice.arm.name, others))
        return record(batch, *given, others=others)

    engine.record_all = watched
    told(engine, [body(1)] * 30, keys=[f"k{place}" for place in range(30)])
    (first, before), (second, after) = found
    assert {first, second} == {"champion", "challenger"}
    assert after >= 30_000_000 > before, "the time of the first one's call is not the second's"
