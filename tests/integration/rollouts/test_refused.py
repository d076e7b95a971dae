"""What makes no sense is refused before anything moves; what is moved by hand ends in safety."""

import pytest
from sklearn.linear_model import LogisticRegression

from lifecycle.errors import ConfigError, LifecycleError
from lifecycle.stores.tracking import connect

pytestmark = pytest.mark.slow


def _nothing_moved(story, before):
    assert [entry.seq for entry in story.entries()] == before
    assert story.alias("challenger") is None
    assert story.alias("champion") == story.versions["champion"]
    assert story.project.rollout_status().rollout is None


def test_what_is_refused(tell_story, trained_all):
    story = tell_story(trained_all)
    before = [entry.seq for entry in story.entries()]
    cases = [
        ({"steps": (50, 20, 100)}, "steps"),
        ({"steps": (0, 100)}, "step has"),
        ({"steps": (10, 120)}, "120"),
        ({"guards": ("label_eror",)}, "label_error"),
        ({"guards": ("errors:carier",)}, "carrier"),
        ({"guards": ("errors<=often",)}, "errors<=often"),
        ({"strategy": "cannary"}, "canary"),
        ({"strategy": "ab", "metric": "nothing"}, "nothing"),
    ]
    for asked, told in cases:
        with pytest.raises(ConfigError) as refused:
            story.start("good", **asked)
        assert told in str(refused.value), asked
        _nothing_moved(story, before)
    with pytest.raises(LifecycleError, match="champion itself"):
        story.start("champion")
    with pytest.raises(LifecycleError, match="reason"):
        story.start("good", reason="")
    with pytest.raises(LifecycleError, match="99"):
        story.project.rollout("flights/99", force=True, reason="no such version")
    _nothing_moved(story, before)
    for verb in ("step", "abort", "promote", "resume", "look"):
        given = {} if verb == "look" else {"reason": "why not"}
        with pytest.raises(LifecycleError, match="rollout"):
            getattr(story.project, f"rollout_{verb}")(**given)
    _nothing_moved(story, before)


def test_an_incompatible_signature(tell_story, trained_all, flown):

    story = tell_story(trained_all)
    # one that needs what the champion's clients do not send
    more = flown[0].assign(delay_before=range(len(flown[0])))
    training = story.project.train([LogisticRegression(max_iter=50)], more)
    version = story.project.register(training.best)
    before = [entry.seq for entry in story.entries()]
    with pytest.raises(LifecycleError) as refused:
        story.project.rollout(version, force=True, reason="try")
    assert "delay_before" in str(refused.value)
    _nothing_moved(story, before)


def test_started_twice(tell_story, trained_all):
    story = tell_story(trained_all)
    rollout = story.start("good")
    for which in ("good", "harmful"):
        with pytest.raises(LifecycleError) as refused:
            story.start(which)
        assert str(rollout.seq) in str(refused.value)
        assert "abort" in str(refused.value)
    assert len(story.entries("start")) == 1


def test_the_version_is_deleted_in_the_middle(tell_story, trained_all):
    story = tell_story(trained_all)
    with story.server() as server:
        story.start("good", steps=(20, 100), guards=("errors",))
        server.reaches(0.2)
        connect(story.config).delete_model_version("flights", str(story.versions["good"]))
        got = server.burst(story.rows(500))
        look = story.project.rollout_look()
        assert look.action == "finish"
        got += server.burst(story.rows(500))
    assert {one.status for one in got} == {200}
    status = story.project.rollout_status()
    assert status.rollout.status == "aborted"
    assert "deleted" in status.rollout.reason
    assert story.alias("champion") == story.versions["champion"]


def test_the_alias_is_moved_by_hand_in_the_middle(tell_story, trained_all):
    story = tell_story(trained_all)
    with story.server() as server:
        story.start("good", steps=(20, 100), guards=("errors",))
        server.reaches(0.2)
        harmful = str(story.versions["harmful"])
        connect(story.config).set_registered_model_alias("flights", "champion", harmful)
        got = server.burst(story.rows(500))
        look = story.project.rollout_look()
        assert look.action != "step"
    assert {one.status for one in got} == {200}
    status = story.project.rollout_status()
    assert status.rollout.status in ("held", "aborted", "running")
    assert status.warnings or status.rollout.reason


def test_a_promotion_by_hand_ends_it(tell_story, trained_all):
    story = tell_story(trained_all)
    with story.server() as server:
        story.start("good", steps=(20, 100), guards=("errors",))
        server.reaches(0.2)
        harmful = story.versions["harmful"]
        story.project.promote(harmful, to="production", force=True, reason="by hand")
        server.follows(lambda shares: shares == {"champion": 1.0})
        assert {one.version for one in server.burst(story.rows(200))} == {harmful}
    status = story.project.rollout_status()
    assert status.rollout.status == "aborted"
    assert "production" in status.rollout.reason
    assert story.alias("challenger") is None
