import asyncio
import json
import sys
import threading
import time
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import LogError, PredictionFailed
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Arm, Column, ModelSpec, ModelVersion, Plan
from lifecycle.serve.batch import Batcher, Limits
from lifecycle.serve.engine import Answer, Engine
from lifecycle.serve.rows import Rows
from lifecycle.serve.slots import SlotTable, slot
from lifecycle.serve.wire import Refused
from lifecycle.stores import ids
from lifecycle.stores.predictions import PredictionLog, PredictionWriter

SPEC = ModelSpec(1, "regression", (Column("x", "double"),), key="id", time="ts")


@dataclass
class Model:
    """Twice x; what it is called with is kept; 13 breaks it, 14 ends the process it is in."""

    sizes: list = field(default_factory=list)
    seconds: float = 0.0
    gate: threading.Event | None = None
    threads: set = field(default_factory=set)
    raw: object = None

    def answer(self, columns, params=None):
        x = np.asarray(columns["x"])
        self.sizes.append(len(x))
        self.threads.add(threading.current_thread().name)
        if self.gate is not None:
            assert self.gate.wait(20)
        if self.seconds:
            time.sleep(self.seconds)
        if (x == 13).any():
            raise ZeroDivisionError("13")
        if (x == 14).any():
            raise SystemExit(14)
        if (x == 15).any():
            return Output(x[:-1])
        factor = 2 if params is None else params["factor"]
        return Output(x * factor, raw=None if self.raw is None else self.raw(x * factor))


def engine_of(model, *, writer=None, together=True, arms=None):
    def made(version):
        loaded = LoadedModel(SPEC, "sklearn", model.answer, ModelVersion("m", version))
        return slot("m", replace(loaded, together=together))

    table = SlotTable()
    if arms is None:
        table = table.with_only(made(1))
    else:
        table = table.with_group(arms, {arm.version: made(arm.version) for arm in arms.arms})
    return Engine(table, secret=b"s" * 32, writer=writer)


def body(*values, key=None, ts=None):
    more = {name: text for name, text in (("id", key), ("ts", ts)) if text}
    return json.dumps({"dataframe_records": [{"x": value, **more} for value in values]}).encode()


def told(engine, bodies, *, limits=None, keys=None, spread=0.0):
    """What each of some requests that come at once is answered."""

    async def story():
        loop = asyncio.get_running_loop()
        batcher, answers = Batcher(engine, limits), []
        for place, each in enumerate(bodies):
            answered = loop.create_future()
            answers.append(answered)
            choice = engine.choose("m", key=keys[place] if keys else None)
            rows = choice.slot.decoder.json(each) if isinstance(each, bytes) else each
            batcher.ask(choice, rows, answered.set_result, begun=time.perf_counter_ns())
            if spread:
                await asyncio.sleep(spread)
        found = await asyncio.wait_for(asyncio.gather(*answers), 30)
        assert batcher.waiting == 0
        batcher.close()
        return found

    return asyncio.run(story())


def shown(answer):
    """An answer without what differs each time."""
    if isinstance(answer, PredictionFailed):
        return ("failed", answer.what)
    if isinstance(answer, Exception):
        return (type(answer).__name__, str(answer))
    return (answer.predictions, answer.version, answer.arm, answer.output.prediction.tolist())


def test_what_comes_in_one_turn_is_one_call_and_one_record(tmp_path):
    model = Model()
    with PredictionWriter(tmp_path, background=False) as writer:
        records = []
        append = writer.append
        writer.append = lambda *args, **more: (records.append(args[2]), append(*args, **more))
        engine = engine_of(model, writer=writer)
        answers = told(engine, [body(1), body(2, 3), body(4, key="c4")], keys=[None, "r", "r"])
        log = PredictionLog(tmp_path).read("m")
    assert model.sizes == [4]
    assert len(records) == 1
    assert [answer.predictions for answer in answers] == [[2.0], [4.0, 6.0], [8.0]]
    names = [answers[0].id, f"{answers[1].id}.0", f"{answers[1].id}.1", answers[2].id]
    assert dict(zip(log["prediction_id"], log["prediction"], strict=True)) == dict(
        zip(names, [2.0, 4.0, 6.0, 8.0], strict=True)
    )
    assert dict(zip(log["prediction_id"], log["key"], strict=True)) == dict(
        zip(names, [None, "r", "r", "c4"], strict=True)
    )
    assert (log["latency_ms"] > 0).all()
    for name, key in zip(names, [None, "r", "r", "c4"], strict=True):
        signed = ids.check(engine.secret, name, model="m")
        assert signed.key_hash == ids.key_hash(engine.secret, key)
    assert engine.figures.requests == {("m", 1, 200): 3}
    assert engine.figures.rows == {("m", 1): 4}
    assert engine.figures.batched == {("m", 1): 3}
    assert sum(engine.figures.buckets["m", 1]) == 3


def test_own_times_stand_in_the_log(tmp_path):
    with PredictionWriter(tmp_path, background=False) as writer:
        engine = engine_of(Model(), writer=writer)
        told(engine, [body(1, 2, ts="2026-01-01"), body(3), body(4, ts="2026-02-01")])
        log = PredictionLog(tmp_path).read("m").sort("prediction")
    months = log["time"].dt.strftime("%Y-%m").to_list()
    assert [months[0], months[1], months[3]] == ["2026-01", "2026-01", "2026-02"]
    assert log["time"].dt.date().n_unique() == 3


poisons = st.sampled_from([13.0, 14.0, 15.0])
requests = st.lists(
    st.tuples(
        st.lists(st.floats(-9, 9) | poisons, min_size=1, max_size=3),
        st.none() | st.sampled_from(["a", "b"]),
        st.none() | st.sampled_from(["k1", "k2"]),
    ),
    min_size=1,
    max_size=12,
)


@given(asked=requests, rows=st.integers(1, 8), slow=st.booleans())
@settings(max_examples=60, deadline=None)
def test_each_request_is_told_what_it_is_told_alone(asked, rows, slow):
    plan = Plan("m", (Arm("champion", 1, 0.5), Arm("challenger", 2, 0.5)), salt="r", step=2)
    bodies = [body(*values, key=own) for values, own, _ in asked]
    keys = [routed or "k1" for _, _, routed in asked]
    engine = engine_of(Model(), arms=plan)
    if slow:
        for version in (1, 2):
            engine.paced("m", version).measured(1, 5_000_000)
    found = told(engine, bodies, limits=Limits(batch_rows=rows), keys=keys)
    alone = engine_of(Model(), arms=plan)
    for answer, each, key in zip(found, bodies, keys, strict=True):
        (wanted,) = told(alone, [each], keys=[key])
        assert shown(answer) == shown(wanted)
    assert len({a.id for a in found if isinstance(a, Answer)}) == sum(
        isinstance(a, Answer) for a in found
    )


def test_what_a_poisoned_request_costs_is_bounded(tmp_path):
    model = Model()
    with PredictionWriter(tmp_path, background=False) as writer:
        answers = told(engine_of(model, writer=writer), [body(x) for x in range(32)])
        log = PredictionLog(tmp_path).read("m")
    failed = [place for place, answer in enumerate(answers) if isinstance(answer, Exception)]
    assert failed == [13, 14, 15]
    assert len(model.sizes) < 32  # not each by itself
    assert len(log) == 32
    assert log["error"].is_not_null().sum() == 3


@pytest.mark.parametrize(
    ("limit", "sizes"), [(1, [1, 2, 1]), (2, [1, 2, 1]), (3, [3, 1]), (256, [4])]
)
def test_a_call_takes_so_many_rows(limit, sizes):
    model = Model()
    answers = told(
        engine_of(model), [body(1), body(2, 3), body(4)], limits=Limits(batch_rows=limit)
    )
    # those that fit may go before one that does not
    assert sorted(model.sizes) == sorted(sizes) if limit != 2 else sum(model.sizes) == 4
    assert [answer.predictions for answer in answers] == [[2.0], [4.0, 6.0], [8.0]]


@pytest.mark.parametrize(("each", "most"), [(1.0, 900), (25_000.0, 400), (1e8, 300)])
def test_a_call_has_no_more_rows_than_end_in_time_but_always_many_requests(each, most):
    model = Model()
    engine = engine_of(model)
    pace = engine.paced("m", 1)
    pace.call = pace.last_call = 1.0
    pace.row = pace.last_row = each
    answers = told(engine, [body(*range(20, 120)) for _ in range(9)])
    assert max(model.sizes) == most - most % 100 if each < 1e8 else max(model.sizes) == 200
    assert sum(model.sizes) == 900
    assert all(len(answer.predictions) == 100 for answer in answers)


def test_requests_with_params_and_models_that_answer_whole_tables_go_alone():
    model = Model()
    told(engine_of(model, together=False), [body(1), body(2)])
    assert model.sizes == [1, 1]
    engine = engine_of(model)
    rows = [engine.choose().slot.decoder.json(body(value)) for value in (1, 2, 3)]
    rows[1].params = {}
    model.sizes.clear()
    answers = told(engine, rows)
    assert sorted(model.sizes) == [1, 2]
    assert [answer.predictions for answer in answers] == [[2.0], [4.0], [6.0]]


def test_columns_of_other_types_are_not_mixed():
    model = Model()
    columns = [np.array([1.0]), np.array([2], dtype=np.int64), np.array([3.0])]
    answers = told(engine_of(model), [Rows({"x": column}, 1) for column in columns])
    assert sorted(model.sizes) == [1, 2]
    assert [answer.predictions for answer in answers] == [[2.0], [4], [6.0]]
    assert isinstance(answers[1].predictions[0], int)


@pytest.mark.parametrize(
    ("raw", "calls"),
    [
        (lambda y: y.tolist(), 1),
        (lambda y: pd.DataFrame({"y": y}), 1),
        (lambda y: pd.Series(y, name="y"), 1),
        (lambda y: np.column_stack([y, y]), 1),
        (lambda y: {"mean": float(y.mean())}, 4),
        (lambda y: tuple(y.tolist()), 4),
        (lambda y: [float(y.sum())], 4),
        (lambda y: np.array(float(y.sum())), 4),
        (lambda y: np.array([float(y.sum())] * 2), 4),
        (lambda y: float(y.sum()), 4),
    ],
)
def test_what_is_no_answer_by_row_is_predicted_singly(raw, calls):
    model = Model(raw=raw)
    answers = told(engine_of(model), [body(1), body(2), body(3)])
    assert len(model.sizes) == calls
    for answer, value in zip(answers, (1, 2, 3), strict=True):
        (wanted,) = told(engine_of(model), [body(value)])
        assert answer.predictions == wanted.predictions


def test_arms_and_models_have_calls_of_their_own(tmp_path):
    plan = Plan("m", (Arm("champion", 1, 0.5), Arm("challenger", 2, 0.5)), salt="r", step=4)
    model = Model()
    keys = [f"k{number}" for number in range(20)]
    with PredictionWriter(tmp_path, background=False) as writer:
        engine = engine_of(model, writer=writer, arms=plan)
        answers = told(engine, [body(1)] * 20, keys=keys)
        log = PredictionLog(tmp_path).read("m")
    assert len(model.sizes) == 2
    assert {answer.arm for answer in answers} == {"champion", "challenger"}
    assert [answer.arm for answer in answers] == [
        engine.choose(key=key).drawn().arm.name for key in keys
    ]
    assert set(zip(log["version"], log["arm"], log["step"], strict=True)) == {
        (1, "champion", 4),
        (2, "challenger", 4),
    }


def test_a_request_that_cannot_be_logged_harms_no_other(tmp_path):
    with PredictionWriter(tmp_path, background=False) as writer:
        answers = told(engine_of(Model(), writer=writer), [body(1)] * 3, keys=["a", "\ud800", "b"])
        log = PredictionLog(tmp_path).read("m")
    assert [isinstance(answer, Exception) for answer in answers] == [False, True, False]
    assert sorted(log["key"]) == ["a", "b"]


def test_when_the_disk_is_full_nobody_is_answered():
    class Full:
        calls = 0

        def append(self, *_arguments, **_more):
            self.calls += 1
            raise LogError("no space left")

    engine = engine_of(Model(), writer=Full())
    answers = told(engine, [body(1)] * 3)
    assert [type(answer) for answer in answers] == [LogError] * 3
    assert engine.writer.calls == 1
    assert engine.figures.requests == {}


def test_while_a_thread_predicts_requests_gather():
    gate = threading.Event()
    model = Model(gate=gate)
    engine = engine_of(model)
    engine.paced("m", 1).measured(1, 5_000_000)

    async def story():
        loop = asyncio.get_running_loop()
        batcher, answers = Batcher(engine), []
        for value in range(5):
            answered = loop.create_future()
            answers.append(answered)
            choice = engine.choose()
            rows = choice.slot.decoder.json(body(value))
            batcher.ask(choice, rows, answered.set_result, begun=0)
            await asyncio.sleep(0.01)
        assert not any(answered.done() for answered in answers)  # and the loop runs
        assert batcher.waiting == 4
        gate.set()
        found = await asyncio.wait_for(asyncio.gather(*answers), 20)
        batcher.close()
        return found

    found = asyncio.run(story())
    assert [answer.predictions for answer in found] == [[2.0 * value] for value in range(5)]
    assert model.sizes == [1, 4]
    assert all(name.startswith("lifecycle-predict") for name in model.threads)


def test_those_that_were_answered_ask_again_in_one_call():
    model = Model(seconds=0.002)
    engine = engine_of(model)
    engine.paced("m", 1).measured(1, 5_000_000)

    async def client(batcher, value):
        for _ in range(5):
            answered = asyncio.get_running_loop().create_future()
            choice = engine.choose()
            rows = choice.slot.decoder.json(body(value))
            batcher.ask(choice, rows, answered.set_result, begun=0)
            assert (await answered).predictions == [2.0 * value]

    async def story():
        batcher = Batcher(engine)
        await asyncio.wait_for(asyncio.gather(*(client(batcher, v) for v in range(8))), 20)
        batcher.close()

    asyncio.run(story())
    assert model.sizes == [8] * 5
    assert sys.getswitchinterval() <= 0.0005  # so that the loop goes on meanwhile


def test_too_many_that_wait_are_sent_away_and_too_late_ones_told(tmp_path):
    gate = threading.Event()
    with PredictionWriter(tmp_path, background=False) as writer:
        model = Model(gate=gate)
        engine = engine_of(model, writer=writer)
        engine.paced("m", 1).measured(1, 5_000_000)

        async def story():
            loop = asyncio.get_running_loop()
            batcher, answers = Batcher(engine, Limits(queue=2, seconds=0.2)), []
            for value in range(5):
                answered = loop.create_future()
                answers.append(answered)
                choice = engine.choose()
                rows = choice.slot.decoder.json(body(value))
                batcher.ask(choice, rows, answered.set_result, begun=0)
                await asyncio.sleep(0.005)
            found = await asyncio.wait_for(asyncio.gather(*answers), 20)
            assert batcher.waiting == 0
            gate.set()
            answered = loop.create_future()
            rows = engine.choose().slot.decoder.json(body(9))
            batcher.ask(engine.choose(), rows, answered.set_result, begun=0)
            found.append(await asyncio.wait_for(answered, 20))
            batcher.close()
            return found

        found = asyncio.run(story())
        log = PredictionLog(tmp_path).read("m")
    assert all(isinstance(answer, Refused) for answer in found[:5])
    assert [answer.status for answer in found[:5]] == [504, 504, 504, 503, 503]
    assert found[5].predictions == [18.0]
    # the one that was predicted when its time was over does not look answered
    assert sorted(log["error"].fill_null("")) == [
        "",
        "TimeoutError: the prediction came after the request was answered 504",
    ]
    assert log.filter(log["error"].is_not_null())["prediction"].to_list() == [None]
    assert engine.figures.requests == {("m", 1, 200): 1}


def test_a_full_queue_is_served_before_anyone_is_sent_away():
    model = Model()
    answers = told(engine_of(model), [body(value) for value in range(10)], limits=Limits(queue=4))
    assert [answer.predictions for answer in answers] == [[2.0 * value] for value in range(10)]
    assert model.sizes == [4, 4, 2]


def test_one_whose_answer_cannot_be_given_harms_no_other():
    engine = engine_of(Model())

    async def story():
        found = []
        batcher = Batcher(engine)

        def refuse(_answer):
            raise RuntimeError("the connection is gone")

        for done in (found.append, refuse, found.append):
            choice = engine.choose()
            rows = choice.slot.decoder.json(body(1))
            batcher.ask(choice, rows, done, begun=0)
        while len(found) < 2:
            await asyncio.sleep(0)
        return found

    assert [answer.predictions for answer in asyncio.run(story())] == [[2.0], [2.0]]


class Partless(np.ndarray):
    """An array that gives no part of itself."""

    def __getitem__(self, place):
        raise RuntimeError("no part")


class Odd:
    """What looks like a frame and is none."""

    iloc = None

    def __len__(self):
        raise RuntimeError("no length")


def test_nobody_is_left_without_an_answer(tmp_path):
    with PredictionWriter(tmp_path, background=False) as writer:
        engine = engine_of(Model(raw=lambda y: y.view(Partless)), writer=writer)
        # the second cannot be logged, so each is recorded by itself, and there are no parts
        answers = told(engine, [body(1), body(2), body(3)], keys=["a", "\ud800", "b"])
    assert all(isinstance(answer, Exception) for answer in answers)
    answers = told(engine_of(Model(raw=lambda _y: Odd())), [body(1), body(2)])
    assert all(isinstance(answer, PredictionFailed) for answer in answers)


def test_an_answer_may_lead_to_the_next_question():
    engine = engine_of(Model())

    async def story():
        found = []
        batcher = Batcher(engine, Limits(queue=1))

        def again(answer):
            found.append(answer)
            if len(found) < 50:
                ask()

        def ask():
            choice = engine.choose()
            batcher.ask(choice, choice.slot.decoder.json(body(1)), again, begun=0)

        ask()
        while len(found) < 50:
            await asyncio.sleep(0)
        return found

    assert all(answer.predictions == [2.0] for answer in asyncio.run(story()))


def test_a_call_that_does_not_return_holds_no_end():
    gate = threading.Event()
    engine = engine_of(Model(gate=gate))
    engine.paced("m", 1).measured(1, 5_000_000)

    async def story():
        answered = asyncio.get_running_loop().create_future()
        batcher, choice = Batcher(engine), engine.choose()
        assert batcher.predicting == {}
        rows = choice.slot.decoder.json(body(1))
        batcher.ask(choice, rows, answered.set_result, begun=0)
        await asyncio.sleep(0.05)
        assert batcher.predicting == {"m": 1}
        batcher.close()  # at once, though the thread is in the model
        assert not answered.done()
        gate.set()
        assert (await asyncio.wait_for(answered, 20)).predictions == [2.0]
        assert batcher.predicting == {}

    asyncio.run(story())
