import gc
import threading
import weakref
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lifecycle.errors import LogError, ModelNotFound, PredictionFailed
from lifecycle.models.predicting import Output
from lifecycle.records import Arm, Plan
from lifecycle.serve.engine import Engine
from lifecycle.serve.slots import SlotTable
from lifecycle.stores import ids
from lifecycle.stores.predictions import PredictionLog, PredictionWriter

BODY = b'{"dataframe_records": [{"age": 30, "plan": "pro"}, {"age": 50, "plan": "basic"}]}'


def rows_of(engine, body=BODY):
    return engine.choose().slot.decoder.json(body)


def test_an_answer_was_logged_before(engine, tmp_path):
    answer = engine.answer("churn", rows_of(engine), key="c9")
    assert answer.predictions == ["no", "yes"]
    assert (answer.model, answer.version, answer.arm) == ("churn", 7, "champion")
    log = PredictionLog(tmp_path).read("churn")
    assert log["prediction_id"].to_list() == [f"{answer.id}.0", f"{answer.id}.1"]
    assert log["prediction"].to_list() == ["no", "yes"]
    assert log["score"].to_list() == [0.1, 0.9]
    assert log["key"].to_list() == ["c9", "c9"]
    assert log["version"].to_list() == [7, 7]
    assert log["features"].struct.field("age").to_list() == [30.0, 50.0]
    assert (log["latency_ms"] > 0).all()
    assert ids.check(engine.secret, f"{answer.id}.1", model="churn").arm == "champion"


def test_the_requests_own_time_and_key_are_logged(engine, tmp_path):
    body = (
        b'{"dataframe_records": [{"age": 1, "plan": "a", "ts": "2026-01-01", "id": "c1"},'
        b' {"age": 2, "plan": "b"}]}'
    )
    engine.answer("churn", rows_of(engine, body), key="fallback")
    log = PredictionLog(tmp_path).read("churn")
    assert log["key"].to_list() == ["c1", "fallback"]
    assert log["time"].dt.year().to_list()[0] == 2026
    assert log["time"].dt.date().n_unique() == 2  # the second has its time of arrival


def test_a_model_that_raises_is_logged_and_keeps_its_secret(engine, tmp_path):
    rows = rows_of(engine, b'{"inputs": {"age": 99, "plan": "x"}}')
    with pytest.raises(PredictionFailed) as caught:
        engine.answer("churn", rows)
    assert "secret" not in str(caught.value)
    log = PredictionLog(tmp_path).read("churn")
    assert log["error"].to_list() == ["ZeroDivisionError: no one is 99 in /secret/path"]
    assert log["prediction_id"].to_list() == [caught.value.error_id]
    assert log["prediction"].to_list() == [None]
    assert engine.figures.requests == {("churn", 7, 500): 1}


def test_too_few_answers_are_a_failure(make_slot):
    short = make_slot(answer=lambda columns: Output(columns["age"][:1]))
    engine = Engine(SlotTable().with_only(short), secret=b"s" * 32)
    with pytest.raises(PredictionFailed):
        engine.answer("churn", rows_of(engine))


def test_what_cannot_be_logged_is_not_answered(engine):
    class Full:
        def append(self, *_arguments, **_more):
            raise LogError("no space left on device")

    engine.writer = Full()
    with pytest.raises(LogError):
        engine.answer("churn", rows_of(engine))
    assert engine.figures.requests == {}


def test_arms_share_by_key_and_can_be_overridden(make_slot):
    slots = {7: make_slot(7), 8: make_slot(8)}
    plan = Plan("churn", (Arm("champion", 7, 0.5), Arm("challenger", 8, 0.5)), step=2, salt="r")
    engine = Engine(SlotTable().with_group(plan, slots), secret=b"s" * 32)
    arms = {f"k{index}": engine.choose(key=f"k{index}").drawn().arm.name for index in range(200)}
    assert set(arms.values()) == {"champion", "challenger"}
    assert all(engine.choose(key=key).drawn().arm.name == arm for key, arm in arms.items())
    assert {engine.choose().drawn().arm.name for _ in range(100)} == {"champion", "challenger"}
    answer = engine.answer("churn", rows_of(engine), version=8)
    assert (answer.version, answer.arm) == (8, "asked")
    assert ids.check(engine.secret, f"{answer.id}.0", model="churn").step == 2
    with pytest.raises(ModelNotFound, match="version 9 is not served"):
        engine.choose(version=9)


def test_a_version_that_was_replaced_is_let_go(engine, make_slot):
    gone = weakref.ref(engine.choose().slot.decoder)
    engine.answer("churn", rows_of(engine))
    engine.table = engine.table.with_only(make_slot(8))
    gc.collect()
    assert gone() is None


def test_the_choice_of_a_model_that_one_arm_serves_needs_no_thought(engine, make_slot):
    assert engine.choose() is engine.choose("churn")
    engine.table = engine.table.with_only(make_slot(5, name="late"))
    assert engine.choose("late").slot.version == 5
    assert engine.choose().slot.version == 7  # the first stays the first
    engine.table = engine.table.with_only(make_slot(8))
    assert engine.choose().slot.version == 8
    assert engine.choose("churn", key="k").key == "k"


def test_a_swap_does_not_split_a_request(engine, make_slot):
    choice = engine.choose()
    rows = choice.slot.decoder.json(BODY)
    engine.table = engine.table.with_only(make_slot(8))
    answer = engine.record(choice, rows, engine.predict(choice, rows), begun=0)
    assert answer.version == 7
    assert engine.answer("churn", rows).version == 8


def test_prediction_may_run_in_another_thread(engine):
    choice, found = engine.choose(), []
    rows = choice.slot.decoder.json(BODY)
    thread = threading.Thread(target=lambda: found.append(engine.predict(choice, rows)))
    thread.start()
    thread.join()
    assert engine.record(choice, rows, found[0], begun=0).predictions == ["no", "yes"]


def test_frames_are_answered_as_records_and_logged_as_text(make_slot, engine, tmp_path):
    def answer(columns):
        frame = pd.DataFrame({"low": columns["age"] - 1, "high": columns["age"] + 1})
        return Output(np.array(frame.to_dict("records"), dtype=object), raw=frame)

    engine.table = SlotTable().with_only(make_slot(answer=answer))
    found = engine.answer("churn", rows_of(engine)).predictions
    assert found == [{"low": 29.0, "high": 31.0}, {"low": 49.0, "high": 51.0}]
    logged = PredictionLog(tmp_path).read("churn")["prediction"].to_list()
    assert logged[0] == '{"low": 29.0, "high": 31.0}'


def test_an_unknown_model_names_the_nearest(engine):
    with pytest.raises(ModelNotFound, match="did you mean 'churn'"):
        engine.choose("chrun")


def test_a_request_of_a_model_without_key_takes_the_routing_key(make_slot, engine, tmp_path):
    spec = replace(engine.choose().slot.loaded.spec, key=None)
    engine.table = SlotTable().with_only(make_slot(spec=spec))
    engine.answer("churn", rows_of(engine), key="r1")
    assert PredictionLog(tmp_path).read("churn")["key"].to_list() == ["r1", "r1"]


def test_a_row_is_logged_under_its_own_key_and_signed_for_it(engine, tmp_path):
    body = b'{"dataframe_records": [{"age": 1, "plan": "a", "id": "own"}]}'
    answer = engine.answer("churn", rows_of(engine, body), key="routing")
    assert PredictionLog(tmp_path).read("churn")["key"].to_list() == ["own"]
    signed = ids.check(engine.secret, answer.id, model="churn")
    assert signed.key_hash == ids.key_hash(engine.secret, "own")
    routed = engine.answer("churn", rows_of(engine), key="routing")
    signed = ids.check(engine.secret, f"{routed.id}.0", model="churn")
    assert signed.key_hash == ids.key_hash(engine.secret, "routing")


def test_a_plans_step_stands_in_the_id_and_in_the_log(make_slot, engine, tmp_path):
    arms = (Arm("champion", 7, 0.0), Arm("challenger", 8, 1.0))
    plan = Plan("churn", arms, salt="r1", step=3)
    engine.table = SlotTable().with_group(plan, {7: make_slot(7), 8: make_slot(8)})
    answer = engine.answer("churn", rows_of(engine), key="k")
    assert (answer.version, answer.arm) == (8, "challenger")
    signed = ids.check(engine.secret, f"{answer.id}.1", model="churn")
    assert (signed.version, signed.arm, signed.step) == (8, "challenger", 3)
    log = PredictionLog(tmp_path).read("churn")
    assert set(zip(log["version"], log["arm"], log["step"], strict=True)) == {(8, "challenger", 3)}
    asked = engine.answer("churn", rows_of(engine), key="k", version=7)
    assert (asked.version, asked.arm) == (7, "asked")  # asked for, though it has no share


def test_what_plain_mlflow_answers_is_answered_and_the_label_is_logged(make_slot, engine, tmp_path):
    both = np.array([[0.8, 0.2], [0.3, 0.7]])

    def answer(_columns):
        return Output(np.array(["no", "yes"], dtype=object), both, raw=both)

    engine.table = SlotTable().with_only(make_slot(answer=answer))
    assert engine.answer("churn", rows_of(engine)).predictions == both.tolist()
    log = PredictionLog(tmp_path).read("churn")
    assert log["prediction"].to_list() == ["no", "yes"]
    assert log["score"].to_list() == [0.2, 0.7]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_as_many_answers_as_rows_or_none(make_slot, tmp_path, count):
    one = make_slot(answer=lambda _columns: Output(np.zeros(count)))
    with PredictionWriter(tmp_path, background=False) as writer:
        engine = Engine(SlotTable().with_only(one), secret=b"s" * 32, writer=writer)
        with pytest.raises(PredictionFailed) as caught:
            engine.answer("churn", rows_of(engine))
        log = PredictionLog(tmp_path).read("churn")
    assert log["error"].to_list() == [f"ValueError: {count} answers for 2 rows"] * 2
    assert caught.value.error_id in log["prediction_id"][0]
    assert caught.value.where == "churn/7"


def test_requests_that_fail_do_not_slow_down_the_pace(make_slot):
    def fail(_columns):
        raise ValueError

    engine = Engine(SlotTable().with_only(make_slot(answer=fail)), secret=b"s" * 32)
    choice = engine.choose("churn")
    assert isinstance(engine.predict(choice, rows_of(engine)), ValueError)
    assert engine.expected(choice, 1) == 0.0


def test_another_version_is_measured_by_itself(make_slot):
    engine = Engine(SlotTable().with_only(make_slot(7)), secret=b"s" * 32)
    old = engine.choose("churn")
    engine.predict(old, rows_of(engine))
    assert engine.expected(old, 1) > 0.0
    engine.table = SlotTable().with_only(make_slot(8))
    assert engine.expected(engine.choose("churn"), 1) == 0.0
