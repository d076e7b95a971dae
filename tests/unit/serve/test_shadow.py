import asyncio
import json
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifecycle.errors import PredictionFailed
from lifecycle.models.predicting import LoadedModel, Output
from lifecycle.records import Arm, Column, ModelSpec, ModelVersion, Plan, Rollout, RolloutSpec
from lifecycle.serve.batch import Batcher
from lifecycle.serve.choices import Choice
from lifecycle.serve.engine import Engine
from lifecycle.serve.rows import Rows
from lifecycle.serve.shadow import Shadow
from lifecycle.serve.shadow_line import BATCH_ROWS, MOST_ROWS
from lifecycle.serve.slots import SlotTable, slot
from lifecycle.stores.predictions import PredictionLog, PredictionWriter

SPEC = ModelSpec(1, "regression", (Column("x", "double"),), key="id", time="ts")
CHAMPION, SHADOW = Arm("champion", 1, 1.0), Arm("shadow", 2, 0.0)


@dataclass
class Model:
    """`factor` times x; -13 breaks it; a shadow's further habits are what the tests are about."""

    factor: float = 2.0
    sizes: list = field(default_factory=list)
    seconds: float = 0.0
    gate: threading.Event | None = None
    raises: BaseException | None = None
    short: bool = False
    breaks: float = -13

    def answer(self, columns, params=None):
        x = np.asarray(columns["x"])
        self.sizes.append(len(x))
        if self.gate is not None:
            self.gate.wait(20)
        time.sleep(self.seconds)
        if self.raises is not None:
            raise self.raises
        if (x == self.breaks).any():
            raise ZeroDivisionError("no")
        return Output(x[: -1 if self.short else None] * (self.factor if params is None else 1.0))


def loaded(model, version, spec=SPEC, **more):
    one = LoadedModel(spec, "sklearn", model.answer, ModelVersion("m", version))
    return slot("m", replace(one, **more))


def table_of(champion, shadow, *, sample=1.0, step=0, seq=3):
    spec = RolloutSpec("m", "shadow", (CHAMPION, SHADOW), sample=sample)
    rollout = Rollout(spec, seq=seq, step=step, shares=(1.0, 0.0))
    plan = Plan("m", spec.arms, step)
    return SlotTable().with_group(plan, {1: champion, 2: shadow}, rollout=rollout)


@dataclass
class Server:
    """An engine with a shadow, and what its clients were told."""

    engine: Engine
    shadow: Shadow
    folder: object
    told: list = field(default_factory=list)

    def ask(self, *bodies, key=None, version=None, together=True):
        """Ask one after the other, or what can be answered in one call."""

        async def story():
            batcher, loop, answers = Batcher(self.engine, None, self.shadow), None, []
            loop = asyncio.get_running_loop()
            for each in bodies:
                answered = loop.create_future()
                choice = self.engine.choose("m", key=key, version=version)
                rows = each if isinstance(each, Rows) else choice.slot.decoder.json(each)
                batcher.ask(choice, rows, answered.set_result, begun=time.perf_counter_ns())
                answers.append(answered)
                if not together:
                    await asyncio.wait_for(answered, 30)
            found = await asyncio.wait_for(asyncio.gather(*answers), 30)
            batcher.close()
            return found

        found = asyncio.run(story())
        self.told += found
        return found

    @property
    def counts(self):
        return {name[7:]: int(value) for name, _, _, value in self.shadow.gauges()}

    def settled(self):
        """The counts once nothing waits."""
        self.wait(lambda: not self.counts.get("waiting"))
        return self.counts

    def wait(self, done: Callable[[], bool]):
        end = time.monotonic() + 20
        while not done():
            assert time.monotonic() < end, self.counts
            time.sleep(0.005)

    def log(self, model="m@shadow", arm="shadow"):
        rows = PredictionLog(self.folder).read(model)
        return rows.filter(arm=arm).sort("prediction_id")


@contextmanager
def serving(
    folder, champion, shadow, *, queue=1024, again=0, early=0, seconds=5.0, table=None, **more
):
    with PredictionWriter(folder, background=False) as writer:
        made = table or table_of(loaded(champion, 1), loaded(shadow, 2), **more)
        engine = Engine(made, secret=b"s" * 32, writer=writer)
        copier = Shadow(
            lambda: engine.table, directory=folder, queue=queue, again=again, early=early
        )
        try:
            yield Server(engine, copier, folder)
        finally:
            copier.close(seconds)


def body(*values, key=None, ts=None):
    more = {name: text for name, text in (("id", key), ("ts", ts)) if text}
    return json.dumps({"dataframe_records": [{"x": value, **more} for value in values]}).encode()


def test_the_shadow_is_logged_under_the_ids_of_the_champions_answers(tmp_path):
    shadow = Model(3.0)
    with serving(tmp_path, Model(2.0), shadow, step=0) as server:
        answers = server.ask(body(1), body(2, 3), body(4, key="c4"))
        assert server.settled() == {
            "eligible": 3, "copied": 3, "answered": 3, "failed": 0, "dropped": 0, "waiting": 0,
        }  # fmt: skip
        mine, copies = server.log("m", "champion"), server.log()
    assert [answer.predictions for answer in answers] == [[2.0], [4.0, 6.0], [8.0]]
    assert shadow.sizes == [4]
    assert copies["prediction_id"].to_list() == mine["prediction_id"].to_list()
    assert (copies["prediction"] / mine["prediction"]).to_list() == [1.5] * 4
    assert copies["key"].to_list() == mine["key"].to_list()
    assert set(copies["version"]) == {2}
    assert (copies["latency_ms"] > 0).all()
    assert copies["error"].null_count() == 4
    assert copies.columns == mine.columns
    assert (copies["time"] - mine["time"]).dt.total_seconds().abs().max() < 5


def test_copies_of_several_turns_share_a_call(tmp_path):
    shadow = Model()
    with serving(tmp_path, Model(), shadow) as server:
        server.ask(*(body(value) for value in range(10)), together=False)
        server.settled()
        ids = server.log()["prediction_id"].to_list()
    assert len(shadow.sizes) < 10
    assert sum(shadow.sizes) == 10
    assert ids == sorted(answer.id for answer in server.told)


def test_a_call_has_its_limit_of_rows(tmp_path):
    shadow = Model()
    with serving(tmp_path, Model(), shadow) as server:
        server.ask(*[body(*range(200))] * 6)
        server.settled()
    assert sum(shadow.sizes) == 1200
    assert max(shadow.sizes) <= max(BATCH_ROWS, 1200)


def test_own_times_and_keys_stand_in_the_log_of_copies(tmp_path):
    with serving(tmp_path, Model(), Model()) as server:
        server.ask(body(1, 2, ts="2026-01-01", key="a"), body(3), key="r")
        server.settled()
        mine, copies = server.log("m", "champion"), server.log()
    assert (
        copies["time"].dt.strftime("%Y-%m").to_list() == mine["time"].dt.strftime("%Y-%m").to_list()
    )
    assert sorted(copies["key"]) == sorted(mine["key"]) == ["a", "a", "r"]


@pytest.mark.parametrize(
    "raises", [ZeroDivisionError("boom"), SystemExit(3), KeyboardInterrupt(), MemoryError()]
)
def test_a_shadow_that_raises_is_logged_and_harms_nobody(tmp_path, raises):
    shadow = Model(raises=raises)
    with serving(tmp_path, Model(), shadow) as server:
        answers = server.ask(body(1), body(2, 3))
        assert server.settled()["failed"] == 2
        rows = server.log()
        assert server.shadow.state("m")["coverage"] == 1.0
        shadow.raises = None
        server.ask(body(5))
        assert server.settled()["answered"] == 1
    assert [answer.predictions for answer in answers] == [[2.0], [4.0, 6.0]]
    assert all(type(raises).__name__ in error for error in rows["error"])
    assert rows["prediction_id"].to_list() == sorted(
        [answers[0].id, f"{answers[1].id}.0", f"{answers[1].id}.1"]
    )


def test_one_copy_that_breaks_the_shadow_does_not_harm_its_neighbours(tmp_path):
    with serving(tmp_path, Model(), Model(3.0)) as server:
        answers = server.ask(*(body(value) for value in (1, 2, -13, 4, 5)))
        counts = server.settled()
        rows = {row["prediction_id"]: row for row in server.log().to_dicts()}
    assert isinstance(answers[2], PredictionFailed)
    assert (counts["answered"], counts["failed"]) == (4, 1)
    assert rows[answers[2].error_id]["error"] == "ZeroDivisionError: no"
    assert [rows[answers[at].id]["prediction"] for at in (0, 1, 3, 4)] == [3.0, 6.0, 12.0, 15.0]


def test_too_few_answers_are_a_failure(tmp_path):
    with serving(tmp_path, Model(), Model(short=True)) as server:
        server.ask(body(1, 2))
        assert server.settled()["failed"] == 1
        assert "1 answers for 2 rows" in server.log()["error"][0]


def test_a_hanging_shadow_fills_its_queue_and_no_more(tmp_path):
    gate = threading.Event()
    with serving(tmp_path, Model(), Model(gate=gate), queue=5, seconds=0.1) as server:
        server.ask(body(0))
        server.wait(
            lambda: bool(server.engine.table.groups["m"].shadow.loaded.answer.__self__.sizes)
        )
        for start in range(0, 40, 4):
            answers = server.ask(*(body(start + each) for each in range(4)))
            assert all(not isinstance(answer, Exception) for answer in answers)
        counts = server.counts
        assert (counts["copied"], counts["waiting"], counts["eligible"]) == (5, 5, 41)
        assert counts["dropped"] == 36
        begun = time.monotonic()
        server.shadow.close(0.1)
        assert time.monotonic() - begun < 5
        assert server.shadow.stuck
        assert server.counts["dropped"] == 40  # all but the one that never came back
        assert server.counts["waiting"] == 1
        gate.set()


def test_few_requests_of_many_rows_fill_the_queue_as_well(tmp_path):
    gate, many = threading.Event(), body(*range(10_000))
    with serving(tmp_path, Model(), Model(gate=gate), seconds=0.1) as server:
        for _ in range(9):
            server.ask(many)
        counts = server.counts
        assert counts["copied"] <= MOST_ROWS // 10_000 + 1 < 9
        assert counts["copied"] + counts["dropped"] == counts["eligible"] == 9
        gate.set()


def test_a_shadow_rests_after_a_call_unless_the_queue_is_long_and_nobody_waits(tmp_path):
    gate, busy = threading.Event(), [False]
    with serving(tmp_path, Model(), Model(gate=gate), queue=8, seconds=0.1) as server:
        server.shadow._busy = lambda: busy[0]
        server.ask(body(0))
        line = server.shadow._lines["m"]
        assert line._rest(0.01) == pytest.approx(0.09)
        assert line._rest(60.0) == 1.0
        server.ask(*(body(value) for value in range(4)))
        assert line._rest(0.01) == 0.0
        busy[0] = True
        assert line._rest(0.01) == pytest.approx(0.09)
        gate.set()


def test_copies_gather_while_the_thread_rests(tmp_path):
    slow = Model(seconds=0.05)
    with serving(tmp_path, Model(), slow) as server:
        server.ask(body(0))
        server.wait(lambda: server.counts["answered"] == 1)
        for value in range(5):
            server.ask(body(value))
        server.settled()
    assert slow.sizes[0] == 1
    assert len(slow.sizes) < 6
    assert sum(slow.sizes) == 6


def test_what_waits_at_the_end_is_answered_or_counted(tmp_path):
    slow = Model(seconds=0.05)
    with serving(tmp_path, Model(), slow) as server:
        for _ in range(4):
            server.ask(body(1), body(2))
        server.shadow.close(5.0)
        assert server.counts["answered"] == 8
        assert not server.shadow.stuck
        assert len(server.log()) == 8
        server.ask(body(3))  # after the end nothing is copied, and nobody waits
        assert server.counts["eligible"] == 8


def test_a_log_that_cannot_be_written_is_counted(tmp_path):
    with serving(tmp_path / "log", Model(), Model()) as server:
        blocked = tmp_path / "file"
        blocked.write_text("")
        server.shadow._directory = blocked
        answers = server.ask(body(1), body(2))
        counts = server.settled()
    assert [answer.predictions for answer in answers] == [[2.0], [4.0]]
    assert (counts["answered"], counts["dropped"]) == (0, 2)


@pytest.mark.parametrize("name", ["fallback", "asked", "challenger"])
def test_only_what_fell_to_the_champion_is_copied(tmp_path, name):
    with serving(tmp_path, Model(), Model()) as server:
        one = server.engine.table.groups["m"].champion
        question = Server(Engine(SlotTable(), secret=b""), server.shadow, "")
        asked = type("Asked", (), {})()
        asked.choice = Choice(one, Arm(name, 1, 1.0), 0, None)
        asked.rows = one.decoder.json(body(1))
        question.shadow.offer([asked], asked.rows, [PredictionFailed("x", error_id="id")])
        assert server.counts["eligible"] == 0
        server.ask(body(1))
        assert server.settled()["eligible"] == 1


def test_a_model_without_a_shadow_has_no_thread_and_no_counts(tmp_path):
    before = threading.active_count()
    alone = SlotTable().with_only(loaded(Model(), 1))
    with serving(tmp_path, None, None, table=alone) as server:
        server.ask(body(1))
        assert (server.counts, server.shadow.state("m")) == ({}, None)
        assert threading.active_count() == before
    assert not (tmp_path / "journal").exists() or server.log().is_empty()


def test_an_ended_shadow_ends_its_thread_and_another_gets_its_own(tmp_path):
    with serving(tmp_path, Model(), Model(3.0)) as server:
        champion = server.engine.table.groups["m"].champion
        server.ask(body(1))
        server.settled()
        first = server.shadow._lines["m"]
        server.engine.table = SlotTable().with_only(champion)
        server.ask(body(2))
        first.thread.join(5)
        assert not first.thread.is_alive()
        assert server.shadow.state("m") is None
        server.engine.table = table_of(champion, loaded(Model(5.0), 2), seq=9)
        server.ask(body(3))
        server.settled()
        assert server.log()["prediction"].sort().to_list() == [3.0, 15.0]
        assert server.counts["eligible"] == 2


def test_a_hanging_shadow_does_not_keep_the_next_from_answering(tmp_path):
    gate = threading.Event()
    with serving(tmp_path, Model(), Model(gate=gate), seconds=0.1) as server:
        champion = server.engine.table.groups["m"].champion
        server.ask(body(1))
        server.engine.table = table_of(champion, loaded(Model(4.0), 2), seq=9)
        server.ask(body(2))
        server.wait(lambda: server.counts["answered"] == 1)
        gate.set()


def test_a_sample_is_copied_and_the_rest_is_no_gap(tmp_path):
    with serving(tmp_path, Model(), Model(), sample=0.3, queue=5000) as server:
        for _ in range(10):
            server.ask(*(body(1, 2) for _ in range(100)))
        counts = server.settled()
        ids = server.log()["prediction_id"].to_list()
    assert counts["eligible"] == 1000
    assert 200 < counts["copied"] == counts["answered"] < 400
    assert counts["dropped"] == 0
    assert len(ids) == len(set(ids)) == 2 * counts["copied"]


def test_the_champion_answers_some_copies_again(tmp_path):
    champion = Model()
    with serving(tmp_path, champion, Model(3.0), again=2) as server:
        for value in range(6):
            server.ask(body(value, value))
            server.settled()
        again, copies = server.log(arm="champion"), server.log()
    assert len(again) == 6
    assert set(again["version"]) == {1}
    assert set(again["prediction_id"]) < set(copies["prediction_id"])
    mine = dict(server.log("m", "champion").select("prediction_id", "prediction").rows())
    assert all(
        mine[name] == value for name, value in again.select("prediction_id", "prediction").rows()
    )
    assert (again["latency_ms"] > 0).all()


def test_the_first_rows_are_all_answered_again(tmp_path):
    with serving(tmp_path, Model(), Model(3.0), again=100, early=4) as server:
        for value in range(5):
            server.ask(body(value, value))
            server.settled()
        assert len(server.log(arm="champion")) == 4


def test_a_champion_that_fails_the_second_time_is_not_asked_to_explain(tmp_path):
    with serving(tmp_path, Model(), Model(3.0), again=1) as server:
        server.ask(body(-13))
        counts = server.settled()
        assert (counts["failed"], counts["dropped"]) == (1, 0)
        assert server.log(arm="champion").is_empty()


def test_requests_with_params_go_alone(tmp_path):
    shadow = Model(3.0)
    with serving(tmp_path, Model(), shadow) as server:
        plain = Rows({"x": np.array([1.0])}, 1)
        server.ask(plain, Rows({"x": np.array([2.0, 3.0])}, 2), Rows({"x": np.array([4.0])}, 1))
        server.settled()
        assert sorted(shadow.sizes) == [4]
        assert server.log()["prediction"].sort().to_list() == [3.0, 6.0, 9.0, 12.0]


def test_a_shadow_that_answers_rows_apart_gets_them_apart(tmp_path):
    shadow = Model(3.0)
    made = table_of(loaded(Model(), 1), loaded(shadow, 2, together=False))
    with serving(tmp_path, None, None, table=made) as server:
        server.ask(body(1), together=False)
        server.ask(body(2), together=False)
        server.settled()
    assert shadow.sizes == [1, 1]


def test_a_broken_offer_is_nobodys_trouble(tmp_path):
    with serving(tmp_path, Model(), Model()) as server:
        server.shadow.offer([object()], Rows({}, 1), [])
        server.shadow.offer([], Rows({}, 1), [])
        assert server.ask(body(1))[0].predictions == [2.0]


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=25),
    queue=st.integers(1, 30),
    sample=st.sampled_from([1.0, 0.5]),
)
@settings(max_examples=10, deadline=None)
def test_each_copy_is_answered_failed_or_dropped_once(tmp_path_factory, sizes, queue, sample):
    folder = tmp_path_factory.mktemp("log")
    with serving(folder, Model(), Model(3.0), queue=queue, sample=sample) as server:
        for count in sizes:
            server.ask(*(body(value) for value in range(count)))
        counts = server.settled()
        rows = server.log()
    assert counts["eligible"] == sum(sizes)
    assert counts["copied"] == counts["answered"] + counts["failed"]
    assert counts["copied"] + counts["dropped"] <= counts["eligible"]
    if sample == 1.0:
        assert counts["copied"] + counts["dropped"] == counts["eligible"]
    assert len(rows) == rows["prediction_id"].n_unique() == counts["copied"]
    assert set(rows["prediction_id"]) <= {answer.id for answer in server.told}


def test_a_shadow_that_cannot_take_the_requests_fails_on_each_and_says_why(tmp_path):
    needy = ModelSpec(1, "regression", (Column("x", "double"), Column("y", "double")))
    made = table_of(loaded(Model(), 1), loaded(Model(), 2, needy))
    with serving(tmp_path, None, None, table=made) as server:
        assert server.ask(body(1))[0].predictions == [2.0]
        assert server.settled()["failed"] == 1
        assert "it needs column 'y'" in server.log()["error"][0]


def test_one_of_several_copies_with_texts_breaks_the_shadow(tmp_path):
    spec = ModelSpec(1, "regression", (Column("x", "double"), Column("town", "string")))
    shadow = Model(3.0)
    table = table_of(loaded(Model(), 1, spec), loaded(shadow, 2, spec))

    def sent(*values):
        rows = [{"x": value, "town": "Turin"} for value in values]
        return json.dumps({"dataframe_records": rows}).encode()

    with serving(tmp_path, None, None, table=table) as server:
        shadow.breaks = 7
        answers = server.ask(*(sent(*range(start, start + 3)) for start in range(0, 15, 3)))
        counts = server.settled()
        rows = server.log()
    assert (counts["answered"], counts["failed"]) == (4, 1)
    assert rows["error"].null_count() == 12
    broken = rows.drop_nulls("error")["prediction_id"].to_list()
    assert broken == [f"{answers[2].id}.{row}" for row in range(3)]
    mine = dict(zip((f"{answers[0].id}.{row}" for row in range(3)), (0.0, 3.0, 6.0), strict=True))
    assert mine.items() <= dict(rows.select("prediction_id", "prediction").rows()).items()


def test_a_shadow_with_another_signature_answers(tmp_path):
    shadow = ModelSpec(
        1, "regression", (Column("y", "double", required=False), Column("x", "double"))
    )
    made = table_of(loaded(Model(), 1), loaded(Model(7.0), 2, shadow))
    with serving(tmp_path, None, None, table=made) as server:
        server.ask(body(1), body(2))
        server.settled()
        assert server.log()["prediction"].sort().to_list() == [7.0, 14.0]
