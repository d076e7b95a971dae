"""What serves of a model while a rollout is open in its ledger."""

import json
import logging
from dataclasses import replace

import pytest

from lifecycle.models.predicting import Output
from lifecycle.records import Arm, Column, ModelSpec, Rollout, RolloutSpec
from lifecycle.rollout import state
from lifecycle.serve import copies, following
from lifecycle.serve.engine import Engine
from lifecycle.serve.following import differs, in_time, routed, told
from lifecycle.serve.reload import Watch
from lifecycle.serve.slots import FALLBACK, SlotTable
from lifecycle.stores import cuts
from lifecycle.stores.ledger import Ledger, draft
from lifecycle.stores.registry import project
from lifecycle.stores.tracking import connect

AWAY = {"tracking__uri": "http://127.0.0.1:1", "tracking__timeout": 1}
ARMS = (Arm("champion", 1, 0.0), Arm("challenger", 2, 0.0))
SPEC = RolloutSpec("churn", "canary", ARMS, steps=(0.25, 0.5, 1.0), hold_back=0.05, salt="r")


def write(config, said, reason="", **more):
    """One entry of the ledger; gives its number. Aliases and tags follow, as a controller does."""
    client = connect(config)
    entry = Ledger(client, "churn").append(lambda _entries: draft(**said, reason=reason, **more))
    project(client, "churn")
    return entry.seq


def opened(config, spec=SPEC):
    write(config, state.begun(spec))
    return now(config)


def now(config):
    return state.latest(Ledger(connect(config), "churn").entries())


def serving(config, **more):
    engine = Engine(SlotTable(), secret=b"s" * 32)
    watch = Watch(config, engine, ("churn",), **more)
    watch.load()
    return engine, watch


def arms(engine):
    plan = engine.table.find("churn").plan
    return [(arm.name, arm.version, arm.share) for arm in plan.arms]


def moved_by_hand(config, version, to="production", **extra):
    """The entry that brings a version to production; aliases follow."""
    said = {"kind": "stage", "version": version, "source": "none", "to": to}
    return write(config, {**said, "extra": extra})


# a real registry --------------------------------------------------------------------------------


def test_a_rollout_is_followed_from_its_first_entry_to_its_end(served, caplog):
    caplog.set_level(logging.WARNING, "lifecycle.serve")
    engine, watch = serving(served)
    watch.poll()
    champion = engine.table.find("churn").champion
    rollout = opened(served)
    watch.poll()
    group = engine.table.find("churn")
    assert arms(engine) == [("champion", 1, 0.75), ("challenger", 2, 0.25)]
    assert (group.plan.step, group.plan.salt, group.rollout.seq) == (0, "r", rollout.seq)
    assert group.champion is champion, "what serves is not loaded again"
    challenger = group.slots[2]
    write(served, state.stepped(now(served), 1))
    watch.poll()
    assert arms(engine) == [("champion", 1, 0.5), ("challenger", 2, 0.5)]
    write(served, state.held(now(served)))
    watch.poll()
    assert engine.table.find("churn").rollout.status == "held"
    write(served, state.resumed(now(served)))
    write(served, state.stepped(now(served), 2))
    watch.poll()
    assert arms(engine) == [("champion", 1, 0.05), ("challenger", 2, 0.95)]
    assert engine.table.find("churn").plan.step == 2
    assert engine.table.find("churn").slots[2] is challenger
    write(served, state.ended(now(served), "rolled back"), reason="errors")
    watch.poll()
    assert arms(engine) == [("champion", 1, 1.0)]
    assert list(engine.table.find("churn").slots) == [1]
    assert engine.table.find("churn").rollout is None
    assert engine.figures.swaps == {}, "the champion was the same all along"
    assert "champion/1 75 %, challenger/2 25 % (rollout 1, step 0)" in caplog.text


def test_a_promotion_makes_the_challengers_slot_the_champions(served, monkeypatch):
    engine, watch = serving(served)
    rollout = opened(served)
    watch.poll()
    slot = engine.table.find("churn").slots[2]
    monkeypatch.setattr(copies, "warmed", lambda *_: pytest.fail("it is loaded already"))
    moved_by_hand(served, 2, **state.promotion(rollout))
    watch.poll()
    assert arms(engine) == [("champion", 2, 1.0)]
    assert engine.table.find("churn").champion is slot
    assert engine.figures.swaps == {"churn": 1}


def test_a_move_by_hand_ends_the_rollout(served):
    engine, watch = serving(served)
    opened(served)
    watch.poll()
    moved_by_hand(served, 1)
    watch.poll()
    assert arms(engine) == [("champion", 1, 1.0)]


def test_a_server_that_starts_in_a_rollout_follows_it_at_once(served):
    write(served, state.begun(SPEC))
    engine, _ = serving(served)
    assert arms(engine) == [("champion", 1, 0.75), ("challenger", 2, 0.25)]


def test_a_challenger_that_cannot_be_loaded_takes_no_traffic(served, caplog, monkeypatch):
    engine, watch = serving(served)
    spec = replace(SPEC, arms=(ARMS[0], Arm("challenger", 3, 0.0)))  # its weights are gone
    rollout = opened(served, spec)
    watch.poll()
    group = engine.table.find("churn")
    assert arms(engine) == [(FALLBACK, 1, 1.0)]
    assert group.withheld.startswith("version 3: ")
    assert group.rollout.seq == rollout.seq
    assert engine.figures.reasons["churn"].startswith("version 3: ")
    assert "version 3 stays out, 1 serves on" in caplog.text
    watch.poll()
    assert engine.figures.swap_failures == {"churn": 1}, "not at every look"
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.0)
    watch.poll()
    assert engine.figures.swap_failures == {"churn": 2}, "but again after a while"
    write(served, state.ended(now(served), "aborted"))
    watch.poll()
    assert arms(engine) == [("champion", 1, 1.0)]
    assert engine.figures.reasons == {}


def test_a_start_is_not_stopped_by_a_challenger(served):
    write(served, state.begun(replace(SPEC, arms=(ARMS[0], Arm("challenger", 9, 0.0)))))
    engine, _ = serving(served)
    assert arms(engine) == [(FALLBACK, 1, 1.0)]
    assert "has no version 9" in engine.table.find("churn").withheld


def test_an_alias_other_than_the_champion_follows_no_rollout(served):
    connect(served).set_registered_model_alias("churn", "mine", "2")
    write(served, state.begun(SPEC))
    engine = Engine(SlotTable(), secret=b"s" * 32)
    Watch(served, engine, ("churn@mine",)).load()
    assert arms(engine) == [("mine", 2, 1.0)]
    Watch(served, engine, ("churn/2",)).load()
    assert arms(engine) == [("champion", 2, 1.0)]


def test_a_shadow_stands_beside_the_champion_and_answers_nobody(served):
    spec = RolloutSpec("churn", "shadow", (ARMS[0], Arm("shadow", 2, 0.0)), salt="r")
    write(served, state.begun(spec))
    engine, watch = serving(served)
    group = engine.table.find("churn")
    assert group.shadow is group.slots[2]
    assert {engine.choose(key=f"k{place}").arm.name for place in range(50)} == {"champion"}
    cuts.cut(served.log.dir, "churn", group.rollout.seq, "too slow")
    watch.poll()
    assert engine.table.find("churn").shadow is None
    assert arms(engine) == [("champion", 1, 1.0)], "its answers count all the same"


def test_several_challengers_share_as_the_spec_says(served):
    spec = RolloutSpec(
        "churn", "ab", (Arm("champion", 1, 0.5), Arm("challenger", 2, 0.5)), salt="ab"
    )
    write(served, state.begun(spec))
    engine, _ = serving(served)
    assert arms(engine) == [("champion", 1, 0.5), ("challenger", 2, 0.5)]


def test_leases_change_nothing_for_requests(served):
    engine, watch = serving(served)
    rollout = opened(served)
    watch.poll()
    table = engine.table
    write(served, state.leased(rollout, "a:1", "2027-01-01T00:00:00+00:00"))
    watch.poll()
    assert engine.table is table


def test_the_ledger_is_read_only_when_something_moved(served, monkeypatch):
    engine, watch = serving(served)
    opened(served)
    watch.poll()
    looks = []
    look = following.registry.look
    monkeypatch.setattr(
        following.registry, "look", lambda *given, **more: looks.append(1) or look(*given, **more)
    )
    for _ in range(3):
        watch.poll()
    assert looks == []
    write(served, state.stepped(now(served), 1))
    looks.clear()
    watch.poll()
    assert looks == [1]
    assert engine.table.find("churn").plan.step == 1


# cuts -------------------------------------------------------------------------------------------


def test_a_cut_takes_effect_with_and_without_the_registry(served, caplog):
    engine, watch = serving(served)
    seq = opened(served).seq
    watch.poll()
    watch.config = served.with_values(**AWAY)
    watch._client = None
    cuts.cut(served.log.dir, "churn", seq, "errors are 3 times as many")
    watch.poll()
    assert watch.trouble != ""
    assert arms(engine) == [(FALLBACK, 1, 1.0)]
    assert "errors are 3 times as many" in engine.table.find("churn").withheld
    assert "errors are 3 times as many" in caplog.text
    cuts.lift(served.log.dir, "churn")
    watch.look_for_cuts()
    assert arms(engine) == [("champion", 1, 0.75), ("challenger", 2, 0.25)], "nothing is loaded"
    cuts.cut(served.log.dir, "churn", seq, "again")
    watch.config = served
    watch.poll()
    assert arms(engine) == [(FALLBACK, 1, 1.0)], "the ledger does not know of it yet"
    write(served, state.ended(now(served), "rolled back"))
    watch.poll()
    assert arms(engine) == [("champion", 1, 1.0)]


def test_a_cut_of_another_rollout_is_none(served):
    cuts.cut(served.log.dir, "churn", 99, "another one")
    cuts.cut(served.log.dir, "late", 1, "another model")
    write(served, state.begun(SPEC))
    engine, _ = serving(served)
    assert arms(engine) == [("champion", 1, 0.75), ("challenger", 2, 0.25)]


def test_a_damaged_cut_is_none_but_is_said_once(served, caplog):
    path = cuts.path_of(served.log.dir, "churn")
    path.parent.mkdir(parents=True)
    path.write_text('{"rollout": ')
    write(served, state.begun(SPEC))
    engine, watch = serving(served)
    watch.poll()
    watch.look_for_cuts()
    assert len(arms(engine)) == 2
    assert caplog.text.count("the cut is damaged") == 1


# without a registry -----------------------------------------------------------------------------


def test_while_the_registry_is_down_the_last_plan_goes_on(served):
    engine, watch = serving(served)
    opened(served)
    watch.poll()
    before = engine.table
    watch.config = served.with_values(**AWAY)
    watch._client = None
    watch.poll()
    assert engine.table is before


def test_a_start_without_registry_serves_the_champion_alone_and_says_so(served, caplog):
    write(served, state.begun(SPEC))
    serving(served)
    engine, watch = serving(served.with_values(**AWAY))
    group = engine.table.find("churn")
    assert arms(engine) == [(FALLBACK, 1, 1.0)]
    assert group.withheld == "rollout 1 was under way when the registry last answered"
    assert "the champion answers everything" in caplog.text
    watch.config = served
    watch.poll()
    assert arms(engine) == [("champion", 1, 0.75), ("challenger", 2, 0.25)]
    assert engine.table.find("churn").champion is group.champion


def test_the_copy_of_a_challenger_is_kept_while_its_rollout_is_open(served, monkeypatch):
    monkeypatch.setattr(copies, "_KEPT", -1.0)
    write(served, state.begun(SPEC))
    engine, watch = serving(served)
    folders = {copies.key(one.loaded.version) for one in engine.table.find("churn").slots.values()}
    parent = copies.last(watch.refs[0], served).parent
    assert {path.name for path in parent.iterdir() if path.is_dir()} == folders
    write(served, state.ended(now(served), "aborted"))
    watch.poll()
    assert {path.name for path in parent.iterdir() if path.is_dir()} < folders


# pure -------------------------------------------------------------------------------------------


ROLLOUT = Rollout(
    RolloutSpec("churn", "canary", (Arm("champion", 7, 0.0), Arm("challenger", 8, 0.0))),
    seq=12,
    shares=(0.9, 0.1),
)


def test_a_plan_names_only_what_is_loaded(make_slot):
    seven, eight = make_slot(7), make_slot(8)
    whole = routed(seven, [eight], ROLLOUT)
    assert [arm.version for arm in whole.plan.arms] == [7, 8]
    alone = routed(seven, [], ROLLOUT, withheld="version 8: gone")
    assert [(arm.name, arm.version) for arm in alone.plan.arms] == [(FALLBACK, 7)]
    assert (alone.plan.step, alone.plan.salt) == (whole.plan.step, whole.plan.salt)
    ended = routed(seven, [], None, arm="staging")
    assert [(arm.name, arm.version) for arm in ended.plan.arms] == [("staging", 7)]


def test_only_what_can_be_seen_makes_a_difference(make_slot):
    seven, eight = make_slot(7), make_slot(8)
    group = routed(seven, [eight], ROLLOUT)
    assert differs(None, group)
    assert not differs(group, routed(seven, [eight], replace(ROLLOUT, holder="b", generation=2)))
    assert differs(group, routed(seven, [eight], replace(ROLLOUT, status="held")))
    assert differs(group, routed(seven, [eight], replace(ROLLOUT, shares=(0.8, 0.2))))
    assert differs(group, routed(seven, [eight], replace(ROLLOUT, seq=13)))
    assert differs(group, routed(seven, [make_slot(8)], ROLLOUT)), "loaded anew"
    assert differs(group, routed(seven, [], None))


def test_the_log_says_why_nothing_goes_to_the_challenger(make_slot):
    group = routed(make_slot(7), [], ROLLOUT, withheld="version 8: gone")
    assert told(group) == "fallback/7 100 % (rollout 12, step 0); version 8: gone"


def test_a_version_that_hangs_or_exits_while_it_is_loaded_is_refused(make_slot):
    import threading

    gate = threading.Event()
    one = make_slot(7)
    assert in_time(lambda: one, 5.0) is one
    with pytest.raises(Exception, match=r"not loaded after 0\.05 s"):
        in_time(lambda: gate.wait(20) and one, 0.05)
    gate.set()

    def leave():
        raise SystemExit(3)

    with pytest.raises(Exception, match="ends the process"):
        in_time(leave, 5.0)

    def fail():
        raise cuts.LogError("full")

    with pytest.raises(cuts.LogError, match="full"):
        in_time(fail, 5.0)


def test_a_challenger_that_needs_other_columns_takes_no_traffic(make_slot):
    wide = ModelSpec(1, "regression", (Column("x", "double"), Column("z", "double")))
    narrow = ModelSpec(1, "regression", (Column("x", "double"),))
    answer = lambda columns: Output(columns["x"])  # noqa: E731
    from lifecycle.errors import ModelRefused
    from lifecycle.serve.fitting import fitted

    assert fitted(make_slot(1, answer, wide), make_slot(2, answer, narrow)) is not None
    with pytest.raises(ModelRefused, match="it needs column 'z'"):
        fitted(make_slot(1, answer, narrow), make_slot(2, answer, wide))


# what is told -----------------------------------------------------------------------------------


def test_the_figures_and_the_status_say_how_a_rollout_stands(served, ask):
    from lifecycle.serve.building import build

    write(served, state.begun(SPEC))
    built = build(served, ("churn", "late"))
    try:
        (model, other) = json.loads(ask(built.app, "GET", "/status")[2])["models"]
        shares = [(arm["arm"], arm["version"], arm["share"]) for arm in model["serving"]]
        assert shares == [("champion", 1, 0.75), ("challenger", 2, 0.25)]
        assert model["rollout"] == {
            "rollout": 1,
            "strategy": "canary",
            "status": "running",
            "step": 0,
            "withheld": "",
        }
        assert "rollout" not in other
        text = ask(built.app, "GET", "/metrics")[2].decode()
        assert 'arm_share{model="churn",version="2",arm="challenger"} 0.25' in text
        assert 'arm_share{model="late",version="1",arm="champion"} 1.0' in text
        labels = 'model="churn",rollout="1",strategy="canary"'
        assert f'rollout_info{{{labels},status="running"}} 1' in text
        assert f"rollout_step{{{labels}}} 0" in text
        assert "rollout_withheld_info{" not in text
        cuts.cut(served.log.dir, "churn", 1, "too slow")
        built.look()
        (model, _) = json.loads(ask(built.app, "GET", "/status")[2])["models"]
        assert model["rollout"]["withheld"] == "cut on this machine: too slow"
        text = ask(built.app, "GET", "/metrics")[2].decode()
        assert 'rollout_withheld_info{model="churn",reason="cut on this machine: too slow"}' in text
    finally:
        built.close()
