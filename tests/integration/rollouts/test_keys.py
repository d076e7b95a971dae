"""Users with a key keep their version, whichever process answers; all counts add up."""

import pytest

pytestmark = pytest.mark.slow
KEYS = [f"user-{number}" for number in range(400)]


def _arms(got):
    """The arm that each key met; it must be one."""
    met = {}
    for one in got:
        assert met.setdefault(one.key, one.arm) == one.arm, one.key
    return met


def _ask_all(story, server):
    """Each key asks three times, in a mixed order."""
    order = [KEYS[index * 7 % len(KEYS)] for index in range(3 * len(KEYS))]
    return server.burst(story.rows(len(order)), keys=order)


def _steps(story, server, followers):
    """All keys at each step of a rollout that is stepped up by hand."""
    at_each = []
    for share in (0.1, 0.5, 1.0):
        for one in followers:
            one.reaches(share)
        at_each.append(_ask_all(story, server))
        if share < 1.0:
            story.project.rollout_step(reason="next")
    return at_each


def _moves_once(at_each):
    """Each key moves at most once, from the champion to the challenger."""
    met = [_arms(got) for got in at_each]
    for key in KEYS:
        seen = [arms[key] for arms in met]
        assert seen == sorted(seen, reverse=True), seen  # "champion" after "challenger"? never
    first = sum(arm == "challenger" for arm in met[0].values()) / len(KEYS)
    assert 0.04 < first < 0.18
    assert set(met[-1].values()) == {"challenger"}


def test_two_workers(tell_story, trained_once):
    story = tell_story(trained_once, rollout__hold_back=0.0)
    with story.server(workers=2) as server:
        story.start("good", steps=(10, 50, 100), guards=("errors",))
        at_each = []
        for share in (0.1, 0.5, 1.0):
            for _ in range(10):  # /status is of the worker that is asked
                server.reaches(share)
            at_each.append(_ask_all(story, server))
            if share < 1.0:
                story.project.rollout_step(reason="next")
    _moves_once(at_each)


@pytest.mark.parametrize("shared", [True, False], ids=["one log", "a log each"])
def test_two_replicas_behind_one_address(tell_story, trained_once, tmp_path, shared):
    story = tell_story(trained_once, rollout__hold_back=0.0)
    logs = [str(tmp_path / "log")] * 2 if shared else [str(tmp_path / name) for name in "ab"]
    with story.replicas(logs) as server:
        story.start("good", steps=(10, 50, 100), guards=("label_error",), log=logs)
        at_each = _steps(story, server, server.each)
        for got in at_each:
            server.tell(got)
        _moves_once(at_each)
        look = story.project.rollout_look(log=sorted(set(logs)))
        state = [one.ask("/status")[1] for one in server.each]
    assert state[0]["pid"] != state[1]["pid"]
    assert look.exposed == {"challenger": len(KEYS)}

    # the guard's counts are those of all replicas: each key until its first wrong answer
    labels = story.live["late"].tolist()
    counted = {}
    known = set()
    for step, got in enumerate(at_each):
        wrong = {one.key for one in got if _said(one) != labels[one.row]}
        for key, arm in _arms(got).items():
            if key in known:
                continue
            units, events = counted.get((arm, step), (0, 0))
            counted[arm, step] = units + 1, events + (key in wrong)
        known |= wrong
    found = {(tally.arm, tally.step): (tally.units, tally.events)
             for tally in look.tallies if tally.guard == "label_error"}  # fmt: skip
    assert {key: pair for key, pair in found.items() if pair[0]} == counted


def _said(one):
    """The label of an answer."""
    return int(one.body.partition(b"[")[2].partition(b"]")[0])


def test_the_key_column_of_a_request_is_as_good_as_the_header(tell_story, trained_once):
    story = tell_story(trained_once)
    columns = [name for name in story.live.columns if name not in ("late", "time")]
    with story.server(columns=columns) as server:
        story.start("good", steps=(50, 100), guards=("errors",))
        server.reaches(0.5)
        got = server.burst([row for _ in range(3) for row in range(200)])
    met = {}
    for one in got:
        assert met.setdefault(one.row, one.arm) == one.arm
    assert 60 < sum(arm == "challenger" for arm in met.values()) < 140
