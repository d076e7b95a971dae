"""Versions that are as fast, in arms of unequal shares: their calls are shared by more or fewer."""

import pytest

from lifecycle.records import Outcome

pytestmark = pytest.mark.slow


def test_equal_versions_raise_no_alarm_of_latency(tell_story, trained_once):
    story = tell_story(trained_once, rollout__hold_back=5.0)
    with story.server() as server:
        story.start("good", steps=(5, 50, 100), guards=("latency",))
        looks = []
        for share in (0.05, 0.5, 0.95):
            server.reaches(share)
            server.burst(story.rows(3000), clients=16)
            look = story.project.rollout_look()
            looks.append(look)
            if look.action == "wait" and share < 0.9:
                story.project.rollout_step(reason="go on")
    found = [item for look in looks for item in look.evidence if item.guard == "latency"]
    assert len(found) == 3
    assert [item.reason for item in found if item.outcome is Outcome.FAIL] == []
    assert {look.action for look in looks} <= {"wait", "step", "promote"}
