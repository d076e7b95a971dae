"""Challengers that harm are taken back, by the guard that is for it, before many have met them."""

from collections import Counter

import pytest

pytestmark = pytest.mark.slow
STEPS = (10, 25, 50, 100)


def _back(story, server, rollout):
    """What holds after any rollback."""
    server.follows(lambda shares: shares == {"champion": 1.0})
    after = server.burst(story.rows(200))
    assert {one.version for one in after} == {story.versions["champion"]}
    assert story.alias("champion") == story.versions["champion"]
    assert story.alias("challenger") is None
    (end,) = story.entries("end")
    assert end.extra["outcome"] == "rolled back"
    assert end.extra["rollout"] == rollout.seq
    assert end.evidence_digest
    status = story.project.rollout_status()
    assert status.rollout.status == "rolled back"
    assert status.exit_code == 2
    again = story.project.rollout_look()  # of whoever waits for the end
    assert (again.action, again.exit_code) == ("rollback", 2)
    assert len(story.entries("end")) == 1


def test_harm_to_one_carrier_is_seen_by_its_segment(tell_story, trained_all):
    story = tell_story(trained_all)
    with story.server() as server:
        server.burst(story.rows(2000))  # which carriers there are
        guards = ("label_error", "label_error:carrier")
        rollout = story.start("harmful", steps=STEPS, guards=guards)
        server.reaches(0.1)
        looks, got = story.go_on(server, looks=20, size=2000)
        _back(story, server, rollout)
    last = looks[-1]
    assert last.action == "rollback"
    guilty = {one.guard for one in last.evidence if one.outcome == "fail"}
    assert guilty == {"label_error:carrier=MQ"}
    assert "MQ" in last.reason
    overall = next(one for one in last.evidence if one.guard == "label_error")
    assert overall.harm < overall.harm_limit  # which all carriers together would not have shown
    # few have met it
    met = sum(one.arm == "challenger" for one in got)
    assert last.exposed["challenger"] == met
    assert met < 2500
    assert {one.status for one in got} == {200}


def test_a_slow_challenger(tell_story, trained_all):
    story = tell_story(trained_all)
    with story.server() as server:
        rollout = story.start("slow", steps=STEPS, guards=("latency",))
        server.reaches(0.1)
        looks, got = story.go_on(server, looks=20, size=1000, tell=False)
        _back(story, server, rollout)
    last = looks[-1]
    assert last.action == "rollback"
    assert [one.guard for one in last.evidence if one.outcome == "fail"] == ["latency"]
    assert last.exposed["challenger"] < 1000
    assert {one.status for one in got} == {200}


def test_a_crashing_challenger_and_everybody_is_answered(tell_story, trained_all):
    story = tell_story(trained_all)
    with story.server() as server:
        rollout = story.start("crashing", steps=STEPS, guards=("errors",))
        server.reaches(0.1)
        looks, got = story.go_on(server, looks=20, size=1000, tell=False)
        _back(story, server, rollout)
    last = looks[-1]
    assert last.action == "rollback"
    assert {one.status for one in got} == {200}
    arms = Counter(one.arm for one in got)
    assert arms["fallback"] > 0
    champion = story.versions["champion"]
    carriers = story.live["carrier"].tolist()
    for one in got:
        if one.arm == "fallback":  # answered by the champion, and only where it was needed
            assert one.version == champion
            assert carriers[one.row] == "B6"
        elif one.arm == "challenger":
            assert carriers[one.row] != "B6"
    (errors,) = [one for one in last.evidence if one.guard == "errors"]
    assert errors.events == arms["fallback"]
    assert errors.champion_events == 0


def test_another_scale_is_seen_in_shadow(tell_story, trained_all):
    story = tell_story(trained_all)
    with story.server() as server:
        rollout = story.start("scaled", strategy="shadow")
        server.follows(lambda shares: "shadow" in shares)
        looks, got = story.go_on(server, looks=20, size=1000)
        _back(story, server, rollout)
    last = looks[-1]
    assert last.action == "rollback"
    assert {(one.status, one.arm) for one in got} == {(200, "champion")}
    wrong = {one.guard for one in last.evidence if one.outcome == "fail"}
    assert "scale" in " ".join(wrong), wrong
    assert "differing" not in " ".join(wrong)
