"""Following a real registry: what moves is swapped in, what cannot serve stays out."""

import json
import logging
import threading
import time
from pathlib import Path

import pytest

from lifecycle.errors import (
    LogError,
    ModelNotFound,
    RegistryError,
    RegistryUnavailable,
    ServeError,
)
from lifecycle.serve import copies, following
from lifecycle.serve.engine import Engine
from lifecycle.serve.reload import Watch
from lifecycle.serve.slots import SlotTable
from lifecycle.stores.tracking import connect

AWAY = {"tracking__uri": "http://127.0.0.1:1", "tracking__timeout": 1}


def watched(config, *names):
    engine = Engine(SlotTable(), secret=b"s" * 32)
    watch = Watch(config, engine, names or ("churn",))
    return engine, watch


def loaded(config, *names):
    engine, watch = watched(config, *names)
    watch.load()
    return engine, watch


def move(config, version, *, name="churn", alias="champion"):
    connect(config).set_registered_model_alias(name, alias, str(version))


def asked(engine, x=2.0, model=""):
    """What a request is answered with, and by which version."""
    rows = engine.choose(model).slot.decoder.json(b'{"inputs": {"x": %f}}' % x)
    answer = engine.answer(model, rows)
    return round(answer.predictions[0], 9), answer.version


# names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "both"),
    [
        (("churn/1", "churn/2"), "churn/1 and churn/2"),
        (("churn/2", "late", "churn/1"), "churn/2 and churn/1"),
        (("churn", "churn/1"), "churn@champion and churn/1"),
        (("churn", "churn"), "churn@champion and churn@champion"),
        (("churn", "models:/churn@staging"), "churn@champion and churn@staging"),
        ((" churn ", "models:/churn/1"), "churn@champion and churn/1"),
    ],
)
def test_two_references_of_one_model_are_refused(config, names, both):
    with pytest.raises(ServeError) as caught:
        watched(config, *names)
    assert f"model 'churn' is named twice, as {both}" in str(caught.value)
    assert "another server" in caught.value.fix


def test_models_whose_names_begin_alike_are_two(config):
    assert len(watched(config, "churn", "churn2", "Churn")[1].refs) == 3


@pytest.mark.parametrize("name", ["", "churn/", "churn@", "churn/one", "a/b/c", "churn@a b", "@x"])
def test_what_is_no_reference_is_said_at_once(config, name):
    with pytest.raises(ModelNotFound, match="is not a model reference"):
        watched(config, name)


# the first table --------------------------------------------------------------------------------


def test_the_first_table_has_every_model_in_the_order_given(served):
    engine, watch = loaded(served, "late", "churn/2")
    assert [str(ref) for ref in watch.refs] == ["late@champion", "churn/2"]
    assert list(engine.table.groups) == ["late", "churn"]
    assert asked(engine) == (10.0, 1)
    assert asked(engine, model="churn") == (4.0, 2)


def test_an_arm_is_named_after_the_alias(served):
    move(served, 2, alias="staging")
    engine, _ = loaded(served, "churn@staging")
    assert engine.table.find("churn").plan.arms[0].name == "staging"
    assert asked(engine)[1] == 2
    engine, _ = loaded(served, "churn/2")
    assert engine.table.find("churn").plan.arms[0].name == "champion"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("chrun", "churn"),
        ("churn/9", "9"),
        ("churn@shadow", "shadow"),
    ],
)
def test_what_the_registry_does_not_have_stops_the_start(served, name, message):
    engine, watch = watched(served, name)
    with pytest.raises(ModelNotFound, match=message):
        watch.load()
    assert engine.table.groups == {}


def test_one_model_that_cannot_load_stops_the_start(served):
    engine, watch = watched(served, "late", "churn/3")
    with pytest.raises((ModelNotFound, RegistryError)):
        watch.load()
    assert engine.table.groups == {}  # not half a table
    assert engine.figures.polls_failed == 0


def test_a_note_that_cannot_be_written_stops_the_start(served):
    folder = Path(served.log.dir) / copies.FOLDER
    copies._pointer(folder, watched(served)[1].refs[0]).mkdir(parents=True)
    with pytest.raises(LogError, match="cannot be noted"):
        loaded(served)


# without a registry -----------------------------------------------------------------------------


def test_a_start_without_registry_serves_the_last_copy(served, caplog):
    loaded(served)
    move(served, 2)
    loaded(served)
    engine, watch = loaded(served.with_values(**AWAY))
    assert asked(engine) == (4.0, 2)  # what the champion last was
    assert engine.figures.polls_failed == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    watch.poll()
    assert engine.figures.polls_failed == 2
    assert len(caplog.records) == 1  # said once, not at every look
    assert asked(engine) == (4.0, 2)


def test_a_copy_of_another_reference_is_no_stand_in(served):
    loaded(served, "churn/2")
    with pytest.raises(RegistryUnavailable):
        loaded(served.with_values(**AWAY), "churn")


def test_of_two_models_one_without_a_copy_stops_the_start(served):
    loaded(served, "churn")
    engine, watch = watched(served.with_values(**AWAY), "churn", "late")
    with pytest.raises(RegistryUnavailable):
        watch.load()
    assert engine.table.groups == {}


def test_when_the_registry_is_back_it_is_followed_again(served, caplog):
    loaded(served)
    engine, watch = loaded(served.with_values(**AWAY))
    assert asked(engine) == (2.0, 1)
    watch.config = served
    move(served, 2)
    watch.poll()
    assert asked(engine) == (4.0, 2)
    watch.config = served.with_values(**AWAY)
    watch._client = None
    watch.poll()  # gone a second time: said a second time
    assert sum("not followed" in record.message for record in caplog.records) == 2


# following --------------------------------------------------------------------------------------


def test_an_alias_that_moves_is_swapped_in_once(served, caplog):
    engine, watch = loaded(served)
    before = engine.table
    watch.poll()
    assert engine.table is before  # nothing moved
    move(served, 2)
    watch.poll()
    after = engine.table
    assert asked(engine) == (4.0, 2)
    watch.poll()
    assert engine.table is after
    assert engine.figures.swaps == {"churn": 1}
    assert "churn@champion is now version 2 (sklearn)" in caplog.text
    assert before.find("churn").plan.arms[0].version == 1  # for requests that are under way


def test_an_alias_that_moves_back_is_followed_too(served):
    engine, watch = loaded(served)
    for version in (2, 1, 2):
        move(served, version)
        watch.poll()
        assert asked(engine)[1] == version
    assert engine.figures.swaps == {"churn": 3}


def test_only_the_model_that_moved_is_swapped(served):
    engine, watch = loaded(served, "late", "churn")
    late = engine.table.find("late")
    move(served, 2)
    watch.poll()
    assert engine.table.find("late") is late
    assert list(engine.table.groups) == ["late", "churn"]
    assert engine.figures.swaps == {"churn": 1}


def test_a_version_by_number_stands_still(served):
    engine, watch = loaded(served, "churn/1")
    before = engine.table
    move(served, 2)
    watch.poll()
    assert engine.table is before


def test_what_cannot_load_stays_out_and_says_why(served, caplog, monkeypatch):
    engine, watch = loaded(served)
    before = engine.table
    move(served, 3)
    watch.poll()
    assert engine.table is before
    assert asked(engine) == (2.0, 1)
    assert engine.figures.reasons["churn"].startswith("version 3: ")
    assert 'reason="version 3: ' in engine.figures.text()
    assert "version 3 stays out, 1 serves on" in caplog.text
    assert "Traceback" not in caplog.text
    watch.poll()
    assert engine.figures.swap_failures == {"churn": 1}  # not at every look
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.0)
    watch.poll()
    assert engine.figures.swap_failures == {"churn": 2}  # but again after a while
    move(served, 2)
    watch.poll()
    assert asked(engine) == (4.0, 2)
    assert engine.figures.reasons == {}


def test_a_note_that_cannot_be_written_keeps_what_serves(served, monkeypatch):
    engine, watch = loaded(served)
    pointer = copies._pointer(Path(served.log.dir) / copies.FOLDER, watch.refs[0])
    pointer.unlink()
    pointer.mkdir()
    move(served, 2)
    watch.poll()
    assert asked(engine) == (2.0, 1)
    assert "cannot be noted" in engine.figures.reasons["churn"]
    pointer.rmdir()
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.0)
    watch.poll()
    assert asked(engine) == (4.0, 2)
    assert json.loads(pointer.read_text())["copy"].startswith("churn-2-")


def test_an_alias_that_is_gone_keeps_what_serves(served, caplog):
    engine, watch = loaded(served)
    connect(served).delete_registered_model_alias("churn", "champion")
    watch.poll()
    watch.poll()
    assert asked(engine) == (2.0, 1)
    assert engine.figures.polls_failed == 2
    assert sum("the alias is gone" in record.message for record in caplog.records) == 1
    move(served, 2)
    watch.poll()
    assert asked(engine) == (4.0, 2)


def test_a_model_whose_alias_is_gone_does_not_hold_up_the_others(served):
    engine, watch = loaded(served, "late", "churn")
    connect(served).delete_registered_model_alias("late", "champion")
    move(served, 2)
    watch.poll()
    assert asked(engine, model="late") == (10.0, 1)
    assert asked(engine, model="churn") == (4.0, 2)


# the thread -------------------------------------------------------------------------------------


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def test_the_thread_follows_until_it_is_stopped(served):
    engine, watch = loaded(served.with_values(serve__poll_seconds=0.02))
    watch.start()
    try:
        move(served, 2)
        until(lambda: asked(engine)[1] == 2)
    finally:
        watch.stop()
    watch._thread.join(20)
    assert not watch._thread.is_alive()
    move(served, 1)
    time.sleep(0.1)
    assert asked(engine)[1] == 2


def test_versions_by_number_need_no_thread(served):
    _, watch = loaded(served, "churn/1")
    before = threading.active_count()
    watch.start()
    assert threading.active_count() == before
    watch.stop()


def test_the_thread_outlives_what_nobody_thought_of(served, caplog):
    engine, watch = loaded(served.with_values(serve__poll_seconds=0.02))
    watch.start()
    one, watch._followed = watch._followed, (None,)  # every look raises AttributeError
    try:
        with caplog.at_level(logging.ERROR, "lifecycle.serve"):
            until(lambda: "trying again" in caplog.text)
        watch._followed = one
        move(served, 2)
        until(lambda: asked(engine)[1] == 2)
    finally:
        watch.stop()
        watch._thread.join(20)


def test_while_the_alias_stands_the_ledger_is_not_read(served, monkeypatch):
    watch = Watch(served, Engine(SlotTable(), secret=b"s" * 32), ("churn",))
    watch.load()
    watch.poll()  # the ledger names what serves
    looks = []
    look = following.registry.look
    monkeypatch.setattr(
        following.registry, "look", lambda *given, **more: looks.append(1) or look(*given, **more)
    )
    for _ in range(3):
        watch.poll()
    assert looks == []
    assert watch.answered > 0
    monkeypatch.setattr(following, "LEDGER_SECONDS", 0.0)
    watch.poll()
    assert looks == [1], "but now and then it is"


def test_an_alias_that_moves_is_seen_at_the_next_look(served):
    engine = Engine(SlotTable(), secret=b"s" * 32)
    watch = Watch(served, engine, ("churn",))
    watch.load()
    for version in (2, 1, 2):
        watch.poll()
        watch.poll()
        connect(served).set_registered_model_alias("churn", "champion", str(version))
        watch.poll()
        assert list(engine.table.find("churn").slots) == [version]


def test_an_alias_that_goes_is_told_though_it_stood(served):
    watch = Watch(served, Engine(SlotTable(), secret=b"s" * 32), ("churn",))
    watch.load()
    watch.poll()
    connect(served).delete_registered_model_alias("churn", "champion")
    watch.poll()
    assert "in production" in watch.trouble
    connect(served).set_registered_model_alias("churn", "champion", "1")
    watch.poll()
    assert watch.trouble == ""
